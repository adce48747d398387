"""What of a design may change: sampling times, numbers in the doses, group sizes; and what it may cost."""

from dataclasses import dataclass

import numpy as np

from nlmebayes.design.exchange import Slot
from nlmebayes.errors import ModelError

OF_DOSES = ("amt", "duration", "rate", "ii")
WORDS = ("times", "samples", "n", *OF_DOSES)
COSTS = ("total", "subject", "visit", "sample")


@dataclass(frozen=True)
class Amount:
    """A number in the doses of an arm that may change: the ``key`` of those at ``places``, which have the ``value``."""

    arm: str
    key: str
    places: tuple
    value: float
    low: float
    high: float


def check(free, budget, step):
    """Refuse words that nothing is called by, and bounds that are none."""
    if not free:
        raise ModelError(f"optimise_design: free= is empty; what may change are {', '.join(WORDS)}")
    for word, bounds in free.items():
        if word not in WORDS:
            raise ModelError(f"optimise_design: free= names {word!r}; what may change are {', '.join(WORDS)}")
        several = bool(bounds) and isinstance(bounds[0], tuple)
        for pair in bounds if several else (bounds,):
            if len(pair) != 2 or not pair[0] < pair[1]:
                raise ModelError(f"optimise_design: free={word!r} is between (low, high); got {pair}")
        if several and word != "times":
            raise ModelError(f"optimise_design: free={word!r} is between one (low, high); got {bounds}")
    for word in budget or {}:
        if word not in COSTS:
            raise ModelError(f"optimise_design: budget= names {word!r}; there are {', '.join(COSTS)}")
    if budget and "total" not in budget:
        raise ModelError("optimise_design: budget= needs the total beside what a subject, a visit and a sample cost")
    for word in step or {}:
        if word not in free or word in ("n", "samples"):
            raise ModelError(f"optimise_design: step= names {word!r}; it rounds times and doses that are free")
    if "samples" in free and (not budget or isinstance(free.get("times", (0.0,))[0], tuple)):
        raise ModelError("optimise_design: free='samples' needs a budget=, and times between one (low, high)")


def numbers(design, free):
    """The arms; or, with each number of samples that there may be, these spread evenly."""
    if "samples" not in free:
        return [design.arms]
    low, high = (int(x) for x in free["samples"])
    last = max(t for arm in design.arms for times in arm.by_outcome.values() for t in times)
    ends = free.get("times", (0.0, last))
    found = []
    for count in range(max(1, low), high + 1):
        even = tuple(np.linspace(*ends, count + 2)[1:-1].tolist())
        found.append([
            arm.but(times=dict.fromkeys(arm.times, even) if isinstance(arm.times, dict) else even)
            for arm in design.arms
        ])  # fmt: skip
    return found


def slots_of(design, bounds):
    """A `Slot` for each time; arms that have the same times keep the same ones."""
    alike = {}
    for arm in design.arms:
        if arm.times is None:
            raise ModelError(f"optimise_design: arm {arm.name!r} has no times")
        if any(isinstance(t, tuple) for times in arm.by_outcome.values() for t in times):
            raise ModelError(f"optimise_design: arm {arm.name!r} has windows; give times, windows follow from the best")
        if arm.inputs:
            raise ModelError(
                f"optimise_design: arm {arm.name!r} has inputs beside its times, which would not move along"
            )
        alike.setdefault(repr(arm.by_outcome), []).append(arm)
    found = []
    for arms in alike.values():
        names = tuple(arm.name for arm in arms)
        for outcome, times in arms[0].by_outcome.items():
            several = isinstance(bounds[0], tuple)
            if several and len(bounds) != len(times):
                raise ModelError(f"optimise_design: {len(bounds)} bounds of times, and {len(times)} times")
            pairs = bounds if several else [bounds] * len(times)
            found += [Slot(names, outcome, k, *pair) for k, pair in enumerate(pairs)]
    return found


def amounts_of(design, free):
    """An `Amount` for each number of the doses of an arm that may change; those that are alike stay alike."""
    found = []
    for key in (key for key in OF_DOSES if key in free):
        known = len(found)
        for arm in design.arms:
            alike = {}
            for k, dose in enumerate(arm.doses or ()):
                if key in dose:
                    alike.setdefault(dose[key], []).append(k)
            found += [Amount(arm.name, key, tuple(places), value, *free[key]) for value, places in alike.items()]
        if len(found) == known:
            raise ModelError(f"optimise_design: no dose has {key}; state one where it is to start")
    return found


def with_amounts(design, amounts, values):
    """The arms with other numbers in their doses."""
    arms = {arm.name: [dict(dose) for dose in arm.doses or ()] for arm in design.arms}
    for amount, value in zip(amounts, values, strict=True):
        for place in amount.places:
            arms[amount.arm][place][amount.key] = float(value)
    return [arm.but(doses=arms[arm.name] or None) for arm in design.arms]


def amounts_now(design, amounts):
    """Numbers of the doses of a design that may change."""
    arms = {arm.name: arm.doses for arm in design.arms}
    return [arms[amount.arm][amount.places[0]][amount.key] for amount in amounts]


def multiple(value, step, amount):
    """The multiple of ``step`` between the ends of an `Amount` that is nearest to a value."""
    low, high = np.ceil(amount.low / step - 1e-9), np.floor(amount.high / step + 1e-9)
    return float(step * np.clip(np.round(value / step), low, high))


def cost(arm, budget):
    """What a subject of an arm costs."""
    visits = max(1, len(arm.starts))
    each = {"subject": 1, "visit": visits, "sample": arm.records}
    return sum(budget.get(word, 0.0) * count for word, count in each.items())


def afforded(arms, budget):
    """The arms in numbers that the budget allows, in the proportions that they have."""
    if not budget:
        return arms
    share = budget["total"] / sum(arm.n * cost(arm, budget) for arm in arms)
    sizes = [int(np.floor(arm.n * share + 1e-9)) for arm in arms]
    if min(sizes) < 1:
        raise ModelError(f"optimise_design: the budget of {budget['total']:g} allows no subject in some arm")
    return [arm.but(n=size) for arm, size in zip(arms, sizes, strict=True)]
