"""Doubts before a fit: which quantities of a population the records cannot part, and what to sample so that they can.

The expected information (`expected_information`) has directions in which the records say next to nothing beside the
default priors; the quantities that lie in them are named. A prior that was stated is believed.
"""

import numpy as np

from nlmebayes.formula.design import resolve
from nlmebayes.formula.grouping import contains
from nlmebayes.inference import expected_information
from nlmebayes.inference.gauss_newton import GaussNewton
from nlmebayes.model.build import independent
from nlmebayes.parameter.units import TIMES, time_of

LITTLE = 0.05  # information, beside 1 of the default prior, below which records say next to nothing
SHARE = 0.1  # of a quantity that lies in such directions, from which on it is named
TOGETHER = 0.05  # of two quantities in one direction that are told together
ALONE = 0.7  # share of the records that are the only one of their group, from which on that is the reason
FEW = 6  # places that are written out
GRID = 120  # places that are tried
BEYOND = 20.0  # how far, in the range of the records
GOOD = 0.5  # of what the best place would tell
LEAST = 0.02  # what the best place must tell, in squares of a change of the prediction by its size
ENOUGH = 0.1  # the same, of a place among the records, which is preferred to one beyond them
SMALL = 0.05  # of the largest prediction, the size of a prediction near 0


def unparted(model, data, design, theta, sigma):
    """Sentences on what records cannot part, and on units of data and parameters that differ.

    Parameters
    ----------
    theta : dict of (term,) by parameter, where the information is taken
    sigma : dict of part -> value by outcome
    """
    yield from _units(model, data)
    found = expected_information.expected(model, design, theta, sigma)
    if found is None:
        return
    alone, alike, rest = {}, {}, []
    every = [quantity for quantity in found.quantities if quantity.kind in ("omega", "corr")]
    sets = [
        [*every, *chosen] if _lonely(found, chosen) else chosen  # what effects leave of a scatter is a matter of both
        for chosen in _together(model, found)
        if not _small(found, chosen)
    ]
    pairs = list(_same(design, {quantity.of for chosen in sets for quantity in chosen}))
    for chosen in sets:
        of = list(dict.fromkeys(quantity.of for quantity in chosen if quantity.kind in ("omega", "corr")))
        lone = next((name for name in reversed(of) if found.lone[name] > ALONE), None)
        pair = next((pair for pair in pairs if set(of) & set(pair)), None)
        if lone:
            alone[lone] = [q for q in found.quantities if (q.kind == "omega" and q.of == lone) or q.kind == "sigma"]
        elif pair:
            alike.setdefault(pair, []).extend(chosen)
        else:
            rest += chosen
    for name, chosen in alone.items():
        reason = f"{_most(found.lone[name])} {name} has one record"
        yield _sentence(chosen, reason, f"take two or more of some {name}s")
    for (outer, inner, share), chosen in alike.items():
        reason = f"{_most(share)} {outer} has one {inner}"
        yield _sentence(chosen, reason, f"take records on two or more {inner}s of some {outer}s")
    if rest:
        if all(quantity.kind == "sigma" for quantity in rest):
            rest = [q for q in found.quantities if q.kind == "sigma" and q.of in {quantity.of for quantity in rest}]
        yield _sentence(*_elsewhere(model, data, design, theta, rest))


def _lonely(found, chosen):
    """Whether a set is the only part of the scatter of an outcome."""
    parts = [quantity.of for quantity in found.quantities if quantity.kind == "sigma"]
    return len(chosen) == 1 and chosen[0].kind == "sigma" and parts.count(chosen[0].of) == 1


def _small(found, chosen):
    """Whether a set is a part of the scatter that is next to nothing beside another: no matter of the records."""
    outcomes = [quantity.of for quantity in chosen if quantity.kind == "sigma"]
    several = any([q.of for q in found.quantities if q.kind == "sigma"].count(name) > 1 for name in outcomes)
    return len(outcomes) == len(chosen) and several and not set(outcomes) & set(found.alike)


def _sentence(quantities, reason, mend):
    names = list(dict.fromkeys(quantity.name for quantity in quantities))
    if len(names) == 1:
        return f"the records say next to nothing of {names[0]}: {reason}; {mend}, or state its prior"
    named = ", ".join(names[:-1]) + f" and {names[-1]}"
    return f"the records cannot part {named}: {reason}; {mend}, or state a prior of one of them"


def _same(design, names):
    """Pairs of levels, the outer one first, of which most groups are the same, and the share of them."""
    levels = [level for level in design.levels if level.name in names]
    for outer in levels:
        for inner in levels:
            share = len(outer.labels) / len(inner.labels)
            if outer is not inner and contains(outer, inner) and share > ALONE:
                yield outer.name, inner.name, share


def _units(model, data):
    """Time in another unit than that of the parameters."""
    said = TIMES.get(data.unit_of.get(data.time, "")) if data.time else None
    meant = time_of(model.parameters)
    if said and meant and said != meant and not model.typical:
        yield (
            f"{data.time} is in {data.unit_of[data.time]}, and the parameters of {model.structure.label} and their "
            f"default priors are in {meant}: convert the time, or state typical values (typical=)"
        )


def _together(model, found):
    """Sets of quantities that lie in the directions of which the records say next to nothing."""
    believed = np.diag([float(_stated(model, q) or q.of in found.hidden) for q in found.quantities])
    values, vectors = np.linalg.eigh(found.matrix + believed)
    space = vectors[:, values < LITTLE]
    projection = space @ space.T
    left = [k for k in range(len(projection)) if projection[k, k] > SHARE]
    while left:
        group, edge = [], [left[0]]
        while edge:
            k = edge.pop()
            group.append(k)
            left.remove(k)
            edge += [m for m in left if abs(projection[k, m]) > TOGETHER and m not in edge]
        yield [found.quantities[k] for k in sorted(group)]


def _stated(model, quantity):
    """Whether the prior of a quantity was stated, by itself or as the spread beside a typical value."""
    if quantity.kind == "theta" and isinstance(model.typical.get(quantity.of), tuple):
        return True
    variable = {"theta": f"theta_{quantity.of}", "omega": f"omega_{quantity.of}", "corr": f"corr_{quantity.of}"}
    return variable.get(quantity.kind, quantity.name) in model.priors


def _most(share):
    return "each" if share == 1 else "almost every"


def _elsewhere(model, data, design, theta, chosen):
    """Quantities, what is known of the places of the records, and where one more would tell most."""
    if all(quantity.kind == "sigma" for quantity in chosen):
        return chosen, "predictions are too much alike", "take records where they are much lower or higher"
    x = _axis(model, data)
    wanted = [p.name for p in model.parameters if any(p.name in quantity.parameters for quantity in chosen)]
    if x is not None and wanted:
        best = _best(model, data, design, theta, x, wanted)
        unit = f" {data.unit_of.get(x) or time_of(model.parameters) * (x == data.time)}".rstrip()
        if best is not None:
            low, high = best
            span = f"near {low:.3g}" if high <= low * 1.05 else f"between {low:.3g} and {high:.3g}"
            return chosen, f"{_places(data, x)}{unit} only", f"take some at {x} {span}{unit} too"
    return chosen, *_counts(design, chosen)


def _places(data, x):
    seen = np.unique(data.observations[x].to_numpy(dtype=float))
    words = ", ".join(f"{t:.3g}" for t in seen) if len(seen) <= FEW else f"{seen[0]:.3g} to {seen[-1]:.3g}"
    same = data.observations.groupby(data.subject)[x].nunique().eq(len(seen)).all()
    return f"{'all have the same records,' if same else 'there are records'} at {x} {words}"


def _counts(design, chosen):
    """Records and effects of the groups of a level, where the former are as few."""
    units = np.concatenate([o.unit for o in design.outcomes])
    for level in design.levels:
        most, effects = np.bincount(level.of_unit[units]).max(), len(level.effects)
        if most <= effects and any(quantity.of == level.name for quantity in chosen):
            return f"each {level.name} has {most} records for {effects} effects", f"take more of some {level.name}s"
    return "they are too few or too much alike", "take more of them, under other conditions"


def _axis(model, data):
    """The column along which records can be taken elsewhere."""
    numbers = [c for c in (data.time, *data.inputs) if c and data.observations[c].dtype.kind == "f"]
    read = [model.inputs.get(i, data.time if i == "time" else i) for i in model.structure.inputs]
    found = [c for c in numbers if c in read or (c == data.time and model.structure.doses)]
    return found[0] if found else None


def _best(model, data, design, theta, x, wanted):
    """Ends of the places where one more record of a subject would tell most of some parameters; None where none would.

    What records tell is measured by how much they change, relative to their size: g' (G'G + 1)^-1 g, with the slopes g
    of one more record and G of those that there are.
    """
    label = data.observations[data.subject].value_counts().index[0]
    one = data.sel(**{data.subject: label})
    own = one.observations[x].to_numpy(dtype=float)
    every = data.observations[x].to_numpy(dtype=float)
    first = min(every.min(), 0.0)
    if x == data.time and len(one.doses):
        first = one.doses[data.time].min()
    span = max(every.max() - first, abs(every.max())) or 1.0
    inside, beyond = np.linspace(first, every.max(), GRID), first + span * np.geomspace(1, BEYOND, GRID)
    grid = np.unique(np.concatenate([inside, beyond]))
    known, tried = (_relative(model, one.over(**{x: at}), design, theta, x, wanted) for at in (np.unique(own), grid))
    inverse = np.linalg.inv(np.einsum("rp,rq->pq", known[1], known[1]) + np.eye(len(wanted)))
    told = np.einsum("rp,pq,rq->r", tried[1], inverse, tried[1])
    at, within = tried[0], tried[0] <= every.max()
    if told[within].max() >= ENOUGH:
        at, told = at[within], told[within]
    if not np.isfinite(told).all() or told.max() < LEAST:
        return None
    peak = int(np.argmax(told))
    low = high = peak
    while low > 0 and told[low - 1] > GOOD * told[peak]:
        low -= 1
    while high < len(told) - 1 and told[high + 1] > GOOD * told[peak]:
        high += 1
    return at[low], at[high]


def _relative(model, data, design, theta, x, wanted):
    """Places of records, and their slopes in some parameters (record, parameter), relative to their size."""
    own = resolve(model, data, design)
    problem = GaussNewton(*independent(model, own))
    fixed = np.concatenate([np.zeros(0), *(theta[name] for name in problem.names)])
    linear = (problem.matrix[:, : problem.terms] @ fixed).reshape(problem.offset.shape) + problem.offset
    steps = np.concatenate([np.diag(problem.lengths), -np.diag(problem.lengths), np.zeros((1, len(problem.lengths)))])
    moved = np.ascontiguousarray((linear[None] + steps[:, None]).transpose(0, 2, 1))
    f = problem.predict(moved)[0]
    places, slopes, n = [], [], len(problem.names)
    for o in own.outcomes:
        here = f[o.name]
        g = (here[:n] - here[n : 2 * n]) / (2 * problem.lengths[:, None])
        size = np.maximum(np.abs(here[-1]), SMALL * np.abs(here[-1]).max()) + 1e-300
        slopes.append((g / size).T[:, [problem.names.index(name) for name in wanted]])
        frame = data.observations[data.observations["outcome"] == o.name]
        places.append(frame[x].to_numpy(dtype=float))
    order = np.argsort(np.concatenate(places), kind="stable")
    return np.concatenate(places)[order], np.concatenate(slopes)[order]
