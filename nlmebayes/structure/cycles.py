"""How many doses make the cycle of a steady state, and which steady states there are none of."""

from fractions import Fraction
from functools import lru_cache

import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor.graph.traversal import ancestors

from nlmebayes.data.ties import same
from nlmebayes.data.validate import DataError
from nlmebayes.structure.structure import Named

MOST = 100  # doses of a cycle
AGREE = 1e-6  # relative, of slopes a period apart


def doses_of_cycles(structure, records, source):
    """Doses after which each steady state of the records repeats itself, (record,): 1 but where slopes read the time.

    Slopes with the period P under doses every II repeat after the fewest doses m that last a multiple of P.

    Raises
    ------
    DataError
        Slopes that read the time without a period, or with one that no `MOST` intervals are a multiple of; an infusion
        since for ever, or doses with a lag, under such slopes. Names the row.
    """
    found = np.ones(len(records))
    steady = np.flatnonzero(records["ss"].to_numpy() > 0)
    if structure.superposed or not len(steady) or not reads_time(structure):
        return found
    lagged = [
        name for name, routes in structure._routes(structure._dummies()) if any(r.lag is not None for r in routes)
    ]
    for i in steady:
        record = records.iloc[i]
        why = _no_cycle(structure, record["ii"], lagged, record["state"])
        if why:
            raise DataError(
                f"{source}, row {int(record['row'])}, column SS: {structure.label} {why}; write the doses out"
            )
        found[i] = _doses(record["ii"], structure.period)
    return found


def _no_cycle(structure, interval, lagged, state):
    """Why there is no steady state of doses at an interval, or none whose gradient is known."""
    name = state if state in structure.states else structure.dosed or structure.states[0]
    if str(state).isdigit() and 0 < int(state) <= len(structure.states):
        name = structure.states[int(state) - 1]
    if structure.period is None:
        return (
            "has slopes that read the time, and then nothing repeats itself from dose to dose unless they do. Give the "
            "class their period (period = 24.0)"
        )
    if not repeats(structure):
        return f"has slopes that are others a period of {structure.period:g} later"
    if interval == 0:
        return f"has slopes of the period {structure.period:g}, under which no infusion settles"
    if name in lagged:
        return f"has slopes of the period {structure.period:g}, and its doses a lag, which would move their phase"
    if _doses(interval, structure.period) > MOST:
        return (
            f"has slopes of the period {structure.period:g}, of which {MOST} intervals of {interval:g} or fewer are no "
            "multiple"
        )
    return None


def _doses(interval, period):
    """The fewest doses whose intervals are a multiple of the period; more than `MOST` if there are none."""
    share = interval / period
    near = Fraction(share).limit_denominator(MOST)
    return near.denominator if same(float(near), share) else MOST + 1


@lru_cache(maxsize=64)
def reads_time(structure):
    """Whether the slopes of a structure read the time."""
    t, _, slopes = _slopes(structure)
    return t in set(ancestors(slopes))


@lru_cache(maxsize=64)
def repeats(structure):
    """Whether the slopes are the same a period later, at some random times, states and parameters."""
    t, others, slopes = _slopes(structure)
    rng, count = np.random.default_rng(1), 20
    compute = pytensor.function([t, *others], slopes, mode="FAST_COMPILE", on_unused_input="ignore")
    for at, *values in rng.uniform(0.1, 3.0, (count, 1 + len(others))):
        at *= structure.period
        if not np.allclose(compute(at, *values), compute(at + structure.period, *values), rtol=AGREE, atol=0.0):
            return False
    return True


def _slopes(structure):
    """The time, states with parameters, and the slopes, as expressions."""
    t = pt.dscalar("t")
    y = {state: pt.dscalar(state) for state in structure.states}
    p = {parameter.name: pt.dscalar(parameter.name) for parameter in structure.parameters}
    slopes = structure.rhs(t, Named(**y), Named(**p))
    return t, [*y.values(), *p.values()], [pt.as_tensor(slope, dtype="float64") for slope in slopes.values()]
