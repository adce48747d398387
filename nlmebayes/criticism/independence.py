"""Are the residuals independent of one another, and of all that is known of their records?

Each test is of the scores of `scores`, standard normal and independent in a true model, for the mean, and of
:math:`\\Phi^{-1}(2 \\Phi(|z|) - 1)`, which is standard normal too, for the scatter.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy import special

from nlmebayes.criticism import unused
from nlmebayes.criticism.doubts import doubt
from nlmebayes.criticism.scores import scored
from nlmebayes.criticism.significance import explained, orthonormal, polynomials, serial
from nlmebayes.criticism.tad import since_dose
from nlmebayes.evaluation.evaluator import evaluator, predictor
from nlmebayes.evaluation.fitted import Fitted
from nlmebayes.evaluation.measurement import log_precisions
from nlmebayes.formula.scan import written

FEWEST = 20  # scores that are tested
SHAPE = 4  # degree of the trends that are looked for
ALIKE = 0.999  # rank correlation of two axes of which one is left out
STEP = 1e-3  # of a parameter on the link scale
REPLICATES = 5  # records of each label whose scatter is compared, on average


@dataclass(frozen=True, eq=False)
class Scored:
    """Records of an outcome: scores ``z`` and predictions ``f`` (draw, record), places ``at`` in its design, rows
    ``of`` the observations, labels of ``subject`` and, in order, of ``time``."""

    name: str
    z: np.ndarray
    f: np.ndarray
    at: np.ndarray
    of: np.ndarray
    subject: np.ndarray

    @cached_property
    def scatter(self):
        """Normal scores of the sizes of z."""
        share = 2 * special.ndtr(-np.abs(self.z))
        return -special.ndtri(np.clip(share, 1e-300, 1 - 1e-16))

    @cached_property
    def pairs(self):
        """Records next to each other within a subject, in their order, (pair, 2)."""
        order = np.argsort(self.subject, kind="stable")
        same = self.subject[order][1:] == self.subject[order][:-1]
        return np.column_stack([order[:-1][same], order[1:][same]])


def records(known: Fitted, draws, f, rng):
    """`Scored` records of every outcome that has enough of them; times to an event have none."""
    design, data = known.training, known.training_data
    for o in design.outcomes:
        residual = known.model.residual_of(o.name)
        if residual.folds:
            continue
        z = scored(residual, f[o.name], draws.sigma.get(o.name, {}), o, design.positive, rng)
        at = np.flatnonzero(np.isfinite(z).all(axis=0) & np.isfinite(f[o.name]).all(axis=0))
        if len(at) >= FEWEST:
            rows = np.flatnonzero((data.observations["outcome"] == o.name).to_numpy())[at]
            yield Scored(o.name, z[:, at], f[o.name][:, at], at, rows, o.subject_number[at])


def doubts(known: Fitted, draws, f, columns, mends, rng):
    """Every `Doubt` on the residuals."""
    for each in records(known, draws, f, rng):
        axes = _axes(known, each)
        yield from _serial(each, axes, mends)
        yield from _trends(each, axes, mends)
        yield from _scatter(each, axes, mends)
        yield from _by_column(known, each, draws, columns, mends)


def _axes(known, each):
    """What a prediction is a function of, by name (record,): time, time after dose, inputs of the structure."""
    data, o = known.training_data, known.training.outcome(each.name)
    found = {}
    if data.time is not None:
        found[data.time] = data.observations[data.time].to_numpy(dtype=float)[each.of]
        if len(data.doses):
            found["tad"] = np.nan_to_num(since_dose(data, data.observations)[0][each.of], nan=-1.0)
    found |= {known.model.inputs.get(k, k): x[each.at] for k, x in o.inputs.items() if k != "time"}
    return {name: x for i, (name, x) in enumerate(found.items())
            if len(np.unique(x)) > 2 and not any(_alike(x, y) for y in list(found.values())[:i])}  # fmt: skip


def _alike(x, y):
    """Whether two axes put records in the same order."""
    x, y = polynomials(x, 1), polynomials(y, 1)
    return bool(x.size and y.size and abs((x * y).sum()) > ALIKE)


def _serial(each, axes, mends):
    """Correlation of records next to each other, beside any trend that all subjects share."""
    if len(each.pairs) < FEWEST:
        return
    shared = [polynomials(x, SHAPE) for x in axes.values()]
    basis = orthonormal(np.hstack(shared)) if shared else np.zeros((len(each.of), 0))

    def sentence():
        line = mends.with_memory(each.name)
        mend = f"let them remember, {line}" if line else "a structure or random effects that follow each of them closer"
        return f"{each.name}: residuals next to each other within each {mends.data.subject} are alike: {mend}"

    found = serial(each.z, each.pairs, basis)
    yield from doubt(found, "serial correlation", each.name, "the record before", (each.name, "serial"), sentence)


def _trends(each, axes, mends):
    """Means of residuals along what the structure takes."""
    for name, x in axes.items():
        yield from _trend(each, name, x, polynomials(x, SHAPE), mends)


def _trend(each, name, x, basis, mends):
    """Means of residuals along a column that the model reads."""

    def sentence():
        using = [f.parameter for f in mends.design.formulas if name in unused.of_formula(f)]
        bend = f"I(({written(name)} - {float(np.median(x)):.3g})**2)"
        lines = [mends.with_term(parameter, bend) for parameter in using]
        line = next(filter(None, (*lines, mends.model.structure.larger)), "or option of it")
        other = "another term" if any(lines) else "another structure"
        return (
            f"{each.name}: the mean of residuals changes with {name}, so the curve has another shape: {other}, {line}"
        )

    found = explained(each.z, basis, each.subject)
    yield from doubt(found, "trend", each.name, name, (each.name, "trend"), sentence)


def _scatter(each, axes, mends):
    """Sizes of residuals along the prediction, and what the structure takes."""

    def sentence():
        line = mends.with_scatter(each.name)
        mend = line or "another residual, or a formula of its scatter (sigma ~ ...)"
        return f"{each.name}: the scatter of residuals changes with the prediction: {mend}"

    bases = [polynomials(x, unused.BEND) for x in each.f]
    width = min(basis.shape[1] for basis in bases)
    found = explained(each.scatter, np.stack([basis[:, :width] for basis in bases]), each.subject)
    yield from doubt(found, "scatter", each.name, "prediction", (each.name, "scatter"), sentence)
    for name, x in axes.items():
        found = explained(each.scatter, polynomials(x, unused.BEND), each.subject)
        yield from doubt(found, "scatter", each.name, name, (each.name, "scatter"), sentence)


def _by_column(known, each, draws, columns, mends):
    """Means and sizes of residuals by the columns of the data that may tell them apart."""
    scattered, read = unused.of_scatter(known.model), unused.read_by(known.model)
    shown = {name for f in known.training.formulas for name in unused.of_formula(f)}
    for column in columns:
        own = column.take(each.of)
        here = np.flatnonzero(own.known)
        values = own.values[here]
        if len(here) < FEWEST or not own.enough(values) or column.name in read:
            continue
        part = replace(each, z=each.z[:, here], f=each.f[:, here], at=each.at[here], of=each.of[here],
                       subject=each.subject[here])  # fmt: skip
        basis = own.curve(values)
        if _changes(known, part, values) and column.name not in shown:
            yield from _drift(known, part, draws, column, basis, mends)
        elif _changes(known, part, values) and not column.labelled:
            yield from _trend(part, column.name, values, basis, mends)
        if column.name not in scattered and (not column.labelled or REPLICATES * len(set(values)) <= len(values)):
            yield from _scatter_by(part, column, basis, mends)


def _changes(known, each, values):
    """Whether a column has several values within a group of the innermost effects."""
    if not known.training.levels:
        return True
    o = known.training.outcome(each.name)
    groups = np.stack([level.of_unit[o.unit[each.at]] for level in known.training.levels], axis=1)
    group = np.unique(groups, axis=0, return_inverse=True)[1].ravel()
    code = np.unique(values, return_inverse=True)[1]
    return len(set(zip(group.tolist(), code.tolist(), strict=True))) > len(set(group.tolist()))


def _drift(known, each, draws, column, basis, mends):
    def sentence():
        line = _carried(known, each, draws, column, mends)
        cause = "labels differ" if column.labelled else "an instrument out of calibration, or a parameter that changes"
        mend = f", {line}" if line else ": correct the measurements"
        return f"{each.name}: residuals drift with {column.name}, which the model does not read ({cause}){mend}"

    found = explained(each.z, basis, each.subject)
    yield from doubt(found, "drift", each.name, column.name, (column.name, "drift"), sentence)


def _scatter_by(each, column, basis, mends):
    def sentence():
        line = mends.of_scatter(each.name, column.drift if not column.labelled else column.term)
        mend = line or "a formula of the scatter (sigma ~ ...)"
        return f"{each.name}: the scatter of residuals differs by {column.name}: {mend}"

    found = explained(each.scatter, basis, each.subject)
    yield from doubt(found, "scatter by column", each.name, column.name, (column.name, "scatter"), sentence)


def _carried(known, each, draws, column, mends):
    """The formula, with the column in it, of the parameter that would explain the drift best, or None."""
    o, one = known.training.outcome(each.name), draws.take(np.array([0]))
    model = known.model
    phi, f, _ = evaluator(model, known.training)(one.theta, one.eta)
    linear = np.stack([link.forward(phi[name]) for name, link in model.scales], axis=1)
    moved = linear + STEP * np.eye(linear.shape[1])[:, :, None]
    shifted = predictor(model, known.training)(moved)[0][each.name]
    sigma = {part: x[0] for part, x in one.sigma.get(each.name, {}).items()}
    precision = np.exp(log_precisions(model.residual_of(each.name), f[each.name][0], sigma, o))
    slopes = ((shifted - f[each.name]) * precision)[:, each.at]
    values = column.take(each.of).values
    line = unused.indicators(values) if column.labelled else orthonormal(values.astype(float)[:, None])
    gain = [_gain(each.z, slope[:, None] * line) for slope in slopes]
    names = [name for name, _ in model.scales]
    for k in np.argsort(gain)[::-1]:
        term = column.term if column.labelled else column.drift
        found = mends.with_group(names[k], column.factor) if column.many else mends.with_term(names[k], term)
        if found and gain[k] > 0:
            return found
    return None


def _gain(z, columns):
    """Share of the mean scores that columns explain."""
    if not np.isfinite(columns).all():
        return 0.0
    found = explained(z.mean(axis=0, keepdims=True), orthonormal(columns))
    return 0.0 if found is None else float(found[1][0])
