"""The numbers of a population that a design tells, as people read them, and how they follow from its coordinates."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from nlmebayes.errors import ModelError
from nlmebayes.evaluation.prediction import labelled_population
from nlmebayes.evaluation.quantities import quantities

STEP = 1e-5  # of a coordinate
GONE = -300.0  # logarithm of an SD that is 0
KINDS = SD, VARIANCE = "sd", "variance"


@dataclass(frozen=True, eq=False)
class Numbers:
    """Names, ``kinds`` (theta, omega, corr or cov, sigma), ``values``, and slopes ``jacobian`` (number, coordinate) in
    the coordinates that are not at a boundary, ``inside`` (coordinate,)."""

    names: tuple
    kinds: tuple
    values: np.ndarray
    jacobian: np.ndarray
    inside: np.ndarray

    @cached_property
    def inverse(self):
        """Slopes (coordinate, number) of the coordinates in the numbers."""
        return np.linalg.inv(self.jacobian)

    def information(self, matrix):
        """Information (number, number) of that on the coordinates."""
        return self.inverse.T @ matrix[np.ix_(self.inside, self.inside)] @ self.inverse

    def place(self, name):
        """Position of a number by its name.

        Raises
        ------
        ModelError
            There is no such number.
        """
        plain = [text.removesuffix("²") for text in self.names]
        if name in self.names:
            return self.names.index(name)
        if name in plain:
            return plain.index(name)
        raise ModelError(f"no parameter {name!r} in the information; there are {', '.join(self.names)}")

    def places(self, names):
        """Positions of numbers; a word such as ``omega_id`` means all that begin so."""
        found = []
        for name in names:
            of = [i for i, text in enumerate(self.names) if text.startswith((f"{name} ", f"{name}_", f"{name}:"))]
            found += of if name not in self.names and of else [self.place(name)]
        return np.array(sorted(set(found)), dtype=int)


def numbers_of(model, design, coordinates, x, *, link=False, variances=()):
    """The `Numbers` of a population at coordinates x.

    Parameters
    ----------
    link : bool
        Whether typical values are on the scale of their link.
    variances : of "omega", "sigma"
        What is given as variances and covariances; the rest as SDs and correlations.
    """
    steps = STEP * np.eye(len(x))
    rows = np.concatenate([x[None], x + steps, x - steps])
    drawn = coordinates.population(rows)
    found, _ = quantities(model, design, labelled_population(design, drawn, (1, len(rows))))
    names = list(found)
    table = np.stack([v.to_numpy()[0] for v in found.values()])
    n = len(coordinates.theta)
    if link:
        table[:n] = rows.T[:n]
    kinds = ["theta"] * n + [name.partition("_")[0] for name in names[n:]]
    names, kinds, table = _as_variances(model, design, names, kinds, table, variances)
    slope = (table[:, 1 : len(x) + 1] - table[:, len(x) + 1 :]) / (2 * STEP)
    inside = np.ones(len(x), dtype=bool)
    inside[coordinates.of_factor] = ~(coordinates.is_log & (x[coordinates.of_factor] < GONE))
    kept = (slope[:, inside] != 0).any(axis=1)
    take = [i for i in range(len(names)) if kept[i]]
    return Numbers(
        tuple(names[i] for i in take),
        tuple(kinds[i] for i in take),
        table[take, 0],
        slope[np.ix_(kept, inside)],
        inside,
    )


def _as_variances(model, design, names, kinds, table, variances):
    """The same with variances in the place of SDs, and covariances in that of correlations."""
    names, kinds, table = list(names), list(kinds), table.copy()
    place = {name: i for i, name in enumerate(names)}
    if "omega" in variances:
        for level in design.levels:
            sd = [place[f"omega_{level.name} {e.name}"] for e in level.effects]
            for b in level.blocks:
                for i, j in ((i, j) for i in b.effects for j in b.effects if b.name and i < j):
                    pair = f"{level.effects[i].name}, {level.effects[j].name}"
                    at = place[f"corr_{level.name} {pair}"]
                    table[at] *= table[sd[i]] * table[sd[j]]
                    names[at], kinds[at] = f"cov_{level.name} {pair}", "cov"
            for at in sd:
                table[at], names[at] = table[at] ** 2, names[at] + "²"
    if "sigma" in variances:
        for outcome, part in _scales(model, design):
            at = place[f"sigma_{outcome}_{part}"]
            table[at], names[at] = table[at] ** 2, names[at] + "²"
    return names, kinds, table


def _scales(model, design):
    """Parts of residuals that are SDs or fractions, not coefficients of a formula."""
    for o in design.outcomes:
        for part, prior in model.residual_of(o.name).priors(1.0).items():
            if prior.family == "HalfNormal" and (o.name, part) not in design.scales:
                yield o.name, part
