"""How the groups of a design hang together: what is integrated as one, and the density of all of them."""

from dataclasses import dataclass, replace

import numpy as np

from nlmebayes.errors import ModelError
from nlmebayes.formula.grouping import contains, parents
from nlmebayes.individuals.density import Density
from nlmebayes.model.build import by_node
from nlmebayes.outcomes.hazards import WITHIN

GROUP = "outermost group"  # column of the units that holds the label of it
ALL = "all"  # label of the one group of crossed levels


@dataclass(frozen=True, eq=False)
class Nesting:
    """The groups whose likelihoods multiply, and the parts of which each consists.

    Effects of ``outer``, a level or None, are integrated over one set of nodes for a group; given these its parts are
    independent, and the effects of ``inner`` levels are integrated part by part. Without an outer level each group is a
    part. ``level`` names the groups, ``labels`` are theirs, (unit,) ``of_unit`` and ``part_of_unit``, (part,)
    ``parent``.
    """

    level: str
    labels: tuple
    of_unit: np.ndarray
    outer: object
    inner: tuple
    part_of_unit: np.ndarray
    parent: np.ndarray

    @property
    def together(self):
        """The same with each group as one part, all of whose effects are integrated jointly."""
        if self.outer is None:
            return self
        inner = (self.outer, *self.inner)
        return replace(
            self, outer=None, inner=inner, part_of_unit=self.of_unit,
            parent=np.arange(len(self.labels)),
        )  # fmt: skip

    def part_of(self, level):
        """The part of each group of an inner level."""
        first = np.unique(level.of_unit, return_index=True)[1]
        return self.part_of_unit[first]


def nesting(design):
    """`Nesting` of a design: by its outermost level; levels that cross are one group."""
    levels = sorted(design.levels, key=lambda level: len(level.labels))
    if not levels:
        return _without_effects(design)
    outermost = levels[0]
    if not all(contains(outermost, other) for other in levels[1:]):
        n = len(design.labels)
        zero = np.zeros(n, dtype=int)
        return Nesting("group", (ALL,), zero, None, tuple(levels), zero, np.zeros(1, dtype=int))
    own = outermost.of_unit
    whole = Nesting(
        outermost.name, outermost.labels, own, None, tuple(levels), own, np.arange(len(outermost.labels)),
    )  # fmt: skip
    series = any(o.series is not None for o in design.outcomes)
    if len(levels) != 2 or series:
        return whole
    inner = levels[1]
    return replace(
        whole, outer=outermost, inner=(inner,), part_of_unit=inner.of_unit,
        parent=parents(outermost, inner),
    )  # fmt: skip


def _without_effects(design):
    """Of a model without random effects: the outermost level of the data."""
    column = design.units[design.nested[0]].astype(str).to_numpy()
    labels = tuple(dict.fromkeys(column))
    place = {label: i for i, label in enumerate(labels)}
    own = np.array([place[label] for label in column])
    return Nesting(design.nested[0], labels, own, None, (), own, np.arange(len(labels)))


def everyone(model, design, nest, population):
    """The `Density` of the effects of all groups of a design under one population, none of them known.

    Order constraints are no part of it: a law that they cut off would not be normalised.

    Raises
    ------
    ModelError
        An event that is known to an interval.
    """
    labels = np.asarray(nest.labels, dtype=object)
    units = design.units.assign(**{GROUP: labels[nest.of_unit]})
    outcomes = tuple(replace(o, subject=labels[nest.of_unit[o.unit]]) for o in design.outcomes)
    for o in outcomes:
        if o.nodes is not None and (o.nodes.seen == WITHIN).any():
            raise ModelError(
                f"{o.name} has an event known to an interval, whose marginal likelihood is not known here; take loo of "
                "its records"
            )
    records = design.records
    if records is not None:
        records = records.assign(**{GROUP: labels[nest.of_unit[records["unit"].to_numpy()]]})
    asked, rows = by_node(model, replace(design, units=units, outcomes=outcomes, records=records))
    levels = [nest.outer, *nest.inner] if nest.outer is not None else nest.inner
    unknown = tuple((level, np.arange(len(level.labels))) for level in levels)
    return Density(asked, rows, population, unknown, GROUP, {}, ordered=False, reported=rows)
