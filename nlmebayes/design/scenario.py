"""A population under which designs are compared, and the criterion of any design there."""

from dataclasses import dataclass

import numpy as np

from nlmebayes.criticism.replicates import spread
from nlmebayes.design.design import Design
from nlmebayes.design.expectation import criterion_of
from nlmebayes.design.information import Asked
from nlmebayes.design.numbers import Numbers
from nlmebayes.errors import ModelError
from nlmebayes.evaluation.evaluator import middle
from nlmebayes.evaluation.fitted import Fitted


@dataclass(frozen=True, eq=False)
class Scenario:
    """A tree that was read, coordinates ``x`` of one population, its ``numbers``, positions ``free`` of those that are
    estimated, and ``of`` those of interest among them; the ``method`` of the information, the ``kind`` of criterion."""

    known: Fitted
    x: np.ndarray
    numbers: Numbers
    free: np.ndarray
    of: list
    method: str
    kind: str
    seed: int

    @property
    def many(self):
        """How many numbers the criterion is about."""
        return len(self.of) if self.kind == "Ds" else len(self.free)

    def asked(self, arms):
        """What is `Asked` of a design of some arms."""
        return Asked(self.known, Design(arms), self.seed)

    def matrix(self, arms):
        """Information on the coordinates."""
        return self.asked(arms).matrix(self.x, self.method)

    def criterion(self, whole):
        """That of information on the coordinates, by number that it is about."""
        value = criterion_of(self.numbers.information(whole)[np.ix_(self.free, self.free)], self.kind, self.of)
        return value if self.kind == "A" else value / self.many


def scenarios(trees, design, *, method, kind, of, fixed, draws, seed):
    """A `Scenario` for each tree that was read, or for each of some draws of it."""
    found = []
    for known in trees:
        asked = Asked(known, design, seed)
        some = [middle(asked.population)] if draws is None else _each(spread(asked.population, draws))
        for population in some:
            x = asked.x(population)
            numbers = asked.numbers(x)
            out = set(numbers.places(fixed).tolist())
            free = [i for i in range(len(numbers.names)) if i not in out]
            interest = [k for k, i in enumerate(free) if i in set(numbers.places(of).tolist())]
            if kind == "Ds" and not interest:
                raise ModelError("optimise_design: criterion 'Ds' is that of some numbers; name them, of=")
            found.append(Scenario(known, x, numbers, np.array(free), interest, method, kind, seed))
    return found


def _each(population):
    return [population.take(np.array([k])) for k in range(population.size)]
