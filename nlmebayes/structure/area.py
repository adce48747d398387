"""The area under an outcome of a linear system, as one more state of it."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pytensor
import pytensor.tensor as pt

from nlmebayes.runtime.threads import in_turns
from nlmebayes.structure.linear import Drive, LinearSystem
from nlmebayes.structure.structure import Named
from nlmebayes.structure.traits import passed_on

AREA = "area under it"  # name of the state
AGREE = 1e-10  # relative, of an outcome and the same in terms of its slopes


@passed_on("base")
@dataclass(frozen=True)
class Area(LinearSystem):
    r"""A linear system with the integral of one of its outcomes for prediction.

    .. math:: \dot A = f = \sum_i c_i x_i

    ``f`` is the outcome, ``x`` the amounts, ``c`` its slopes in them: an outcome that is no such sum is refused by
    `area_of`. The area is exact under any doses, lags and changes of parameters; parameters are those of ``base``.
    """

    base: LinearSystem
    outcome: str

    states = property(lambda self: (*self.base.states, AREA))

    def flows(self, p):
        read = self.base._read([self.outcome])
        first = next(iter(vars(p).values()))
        slopes = _slopes(self.base, self.outcome, pt.zeros_like(first), p)
        return self.base.flows(p) | {(s, AREA): Drive(slope) for s, slope in zip(read, slopes, strict=True)}

    def outcomes(self, t, y, p):
        return {self.outcome: getattr(y, AREA)}


def _slopes(base, outcome, t, p):
    """Slopes of an outcome in the states that it reads, each of the shape of ``t``."""
    y = {state: pt.zeros_like(t) for state in base.states}
    value = base._outcome(base.outcomes(t, Named(**y), p), outcome)
    return pt.grad(value.sum(), [y[state] for state in base._read([outcome])])


@in_turns
@lru_cache(maxsize=64)
def area_of(structure, outcome):
    """The `Area` of an outcome, or None where the structure is not linear or the outcome no sum of amounts."""
    if not isinstance(structure, LinearSystem):
        return None
    rng = np.random.default_rng(1)
    t = pt.constant(rng.uniform(1, 9, 3))
    p = Named(**{q.name: pt.constant((q.typical or 1.0) * rng.uniform(0.8, 1.0, 3)) for q in structure.parameters})
    amounts = rng.uniform(1, 9, (len(structure.states), 3))
    y = Named(**{state: pt.constant(x) for state, x in zip(structure.states, amounts, strict=True)})
    value = structure._outcome(structure.outcomes(t, y, p), outcome)
    read = [getattr(y, state) for state in structure._read([outcome])]
    summed = sum(slope * x for slope, x in zip(_slopes(structure, outcome, t, p), read, strict=True))
    known, ours = pytensor.function([], [value, summed], mode="FAST_COMPILE")()
    return Area(structure, outcome) if np.allclose(known, ours, rtol=AGREE, atol=0.0) else None
