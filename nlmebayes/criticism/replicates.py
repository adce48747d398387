"""Replicates of a study: the records of a dataset simulated anew, with other individuals, from a population."""

from dataclasses import dataclass, replace

import numpy as np

from nlmebayes.errors import ModelError, warn
from nlmebayes.evaluation.evaluator import Draws, effects, evaluator, middle, spread
from nlmebayes.evaluation.measurement import measure
from nlmebayes.evaluation.prediction import unsolved
from nlmebayes.formula.design import Design

FEWEST = 20  # replicates that solve, without which nothing is said


@dataclass(frozen=True, eq=False)
class Study:
    """A model, the design of the records that are looked at, and the draws of its population.

    ``data`` are their `Dataset`.
    """

    model: object
    data: object
    design: Design
    draws: Draws

    @property
    def middle(self):
        """The mean population."""
        return middle(self.draws)

    def frame(self, name):
        """The rows of the data of an outcome, in the order of its records."""
        return self.data.observations[self.data.observations["outcome"] == name]

    def known(self):
        """Whether the draws know the effects of each record's groups, by outcome (record,)."""
        found = {o.name: np.ones(len(o.unit), dtype=bool) for o in self.design.outcomes}
        for level in self.design.levels:
            told = np.isin(np.asarray(level.labels, dtype=object), list(self.draws.groups.get(level.name, ())))
            for o in self.design.outcomes:
                found[o.name] &= told[level.of_unit[o.unit]]
        return found

    def predictions(self, draws, eta):
        """Predictions by outcome, (draw, record), or (draw, record, node) of times to an event."""
        return evaluator(self.model, self.design)(draws.theta, eta)[1]

    def at(self, eta=None):
        """What is reported of the predictions of the mean population, by outcome (record,): at no effects, or at those
        by level (group, effect)."""
        none = {v.name: np.zeros((len(v.labels), len(v.effects))) for v in self.design.levels}
        f = self.predictions(self.middle, {name: x[None] for name, x in (none if eta is None else eta).items()})
        return {o.name: o.read(f[o.name])[0] for o in self.design.outcomes}

    def measured(self, f, draws, rng):
        """Measurements by outcome, (draw, record), around predictions."""
        return {
            o.name: measure(
                self.model.residual_of(o.name), f[o.name], draws.sigma.get(o.name, {}), rng, self.design.positive, o
            )
            for o in self.design.outcomes
        }

    def replicated(self, many, rng):
        """Measurements of so many studies with other individuals, by outcome (replicate, record).

        Replicates without a prediction for some record are left out, with a warning.

        Raises
        ------
        ModelError
            There are none left, or one was asked for.
        """
        if many < 2:
            raise ModelError("replicates must be two or more; a thousand serve most data")
        draws = spread(self.draws, many)
        f = self.predictions(draws, effects(self.design, replace(draws, eta={}, groups={}), rng))
        whole = np.all([np.isfinite(x.reshape(len(x), -1)).all(axis=1) for x in f.values()], axis=0)
        if whole.sum() < min(FEWEST, many):
            raise ModelError(f"replicates: {'; '.join(unsolved(self.design, f))}")
        if not whole.all():
            warn(f"{many - whole.sum()} of {many} replicates are left out: {'; '.join(unsolved(self.design, f))}")
        draws = draws.take(np.flatnonzero(whole))
        return self.measured({name: x[whole] for name, x in f.items()}, draws, rng)


def study_of(known, data=None):
    """The `Study` of a tree that was read, a `Fitted`, on some data, by default its own."""
    data = known.data if data is None else known.completed(data)
    if data.blq == "M1":
        warn(
            f"{data.source}: records below quantification were left out (M1), which simulated ones are not; read the "
            "data with blq='M3'"
        )
    return Study(known.model, data, known.design(data), known.draws_of(data.outcomes))
