"""The search of a design that tells most: times by exchange, numbers of the doses by SciPy, group sizes by exchange."""

from itertools import permutations

import numpy as np
from scipy import optimize

from nlmebayes.design import freedom
from nlmebayes.design.design import Design
from nlmebayes.design.exchange import BETTER, LINEAR, Candidates, placed
from nlmebayes.errors import ModelError

NARROWER, TIMES = 8.0, 3  # how much narrower the candidates lie about the best, so many times
ENDS = 2  # of exchanges that are sought more finely
FINE = 1e-4  # step of a slope, of the range of a number
MOVES = (16, 8, 4, 2, 1, 0)  # subjects that change arms at once; with none of them, what is left is spent


class Search:
    """A search from one design.

    ``scenarios``: under which designs are compared; ``free`` and ``budget`` as `optimise_design` takes them;
    ``starts``: how many exchanges of times.
    """

    def __init__(self, scenarios, design, free, budget, starts, rng):
        self.scenarios, self.design, self.free, self.budget = scenarios, design, free, budget or {}
        self.slots = freedom.slots_of(design, free["times"]) if "times" in free else []
        self.amounts = freedom.amounts_of(design, free)
        self.starts, self.rng, self.tried = starts, rng, []
        if "n" in free and any(arm.within for arm in design.arms):
            raise ModelError("optimise_design: arms share groups, so that their sizes cannot change one by one")

    def value(self, design):
        """The criterion of any design, on average over scenarios."""
        return float(np.mean([each.criterion(each.matrix(design.arms)) for each in self.scenarios]))

    def best(self):
        """The best design, and its criterion; ``tried`` are the criteria where exchanges began and ended."""
        ends = self._exchanged() if self.slots else [self.design]
        ends = [self._moved(end) for end in ends]
        if "n" in self.free:
            ends = [self.sized(end) for end in ends]
        return max(((end, self.value(end)) for end in ends), key=lambda pair: pair[1])

    def _exchanged(self):
        """The designs at which the best exchanges end."""
        coarse = Candidates(self.scenarios, self.design, self.slots, [slot.candidates() for slot in self.slots])
        found = []
        for k in range(self.starts):
            begun = times_of(self.design, self.slots) if k == 0 else [self.rng.choice(t) for t in coarse.times]
            begun = coarse.nearest(begun)
            chosen, value = coarse.improved(begun)
            self.tried.append((coarse.value(begun), value))
            if not any(np.allclose(np.sort(chosen), np.sort(other)) for other, _ in found):
                found.append((chosen, value))
        found = sorted(found, key=lambda pair: -pair[1])[:ENDS]
        return [self._with_times(self._closer(chosen)) for chosen, _ in found]

    def _closer(self, chosen):
        """Times that candidates drawn closer about them make better."""
        width = np.array([(slot.high - slot.low) / LINEAR for slot in self.slots])
        for _ in range(TIMES):
            near = [slot.near(t, w) for slot, t, w in zip(self.slots, chosen, width, strict=True)]
            chosen, _ = Candidates(self.scenarios, self.design, self.slots, near).improved(chosen)
            width = width / NARROWER
        return chosen

    def _with_times(self, chosen, design=None):
        design = design or self.design
        return Design(with_times(design, placed(design, self.slots, chosen)))

    def _moved(self, design):
        """The design after L-BFGS-B in all times and amounts together, if that is better."""
        free = [*self.slots, *self.amounts]
        if not self.amounts:
            return design
        low, high = (np.array([getattr(each, end) for each in free]) for end in ("low", "high"))
        amounts = [np.clip(each.value, each.low, each.high) for each in self.amounts]
        start = (np.array([*times_of(design, self.slots), *amounts]) - low) / (high - low)

        def made(x):
            values, n = low + np.clip(x, 0, 1) * (high - low), len(self.slots)
            other = Design(freedom.with_amounts(design, self.amounts, values[n:]))
            return self._with_times(values[:n], other) if n else other

        end = optimize.minimize(
            lambda x: -self.value(made(x)), start, method="L-BFGS-B", bounds=[(0, 1)] * len(start),
            options={"eps": FINE, "ftol": 1e-9, "maxiter": 60},
        )  # fmt: skip
        return made(end.x)

    def sized(self, design):
        """The design with subjects moved between arms, within the budget, until no move makes it better."""
        arms, (low, high) = design.arms, self.free["n"]
        each = [[s.matrix([arm]) / arm.n for arm in arms] for s in self.scenarios]
        price = np.array([freedom.cost(arm, self.budget) if self.budget else 1.0 for arm in arms])
        sizes = np.clip([arm.n for arm in arms], np.ceil(low), np.floor(high)).astype(int)
        total = self.budget.get("total", float(sum(arm.n for arm in arms)))
        if sizes @ price > total * (1 + 1e-9):
            raise ModelError(f"optimise_design: arms of at least {low:g} subjects cost more than {total:g}")

        def value(n):
            wholes = [sum(k * m for k, m in zip(n, own, strict=True)) for own in each]
            return float(np.mean([s.criterion(m) for s, m in zip(self.scenarios, wholes, strict=True)]))

        best, moving = value(sizes), True
        while moving:
            moving = False
            for a, b in permutations(range(len(arms)), 2):
                for count in MOVES:
                    other = sizes.copy()
                    other[a] -= count
                    other[b] = min(np.floor(high), np.floor((total - other @ price) / price[b] + other[b] + 1e-9))
                    if other[a] >= max(1, low) and value(other) > best + BETTER:
                        sizes, best, moving = other, value(other), True
        return Design([arm.but(n=int(n)) for arm, n in zip(arms, sizes, strict=True)])

    def rounded(self, design, step):
        """The best design whose times and amounts are multiples of ``step``."""
        steps = [(each, step.get(each.key)) for each in self.amounts]
        now = freedom.amounts_now(design, self.amounts)
        near = [x if s is None else freedom.multiple(x, s, a) for x, (a, s) in zip(now, steps, strict=True)]
        design = Design(freedom.with_amounts(design, self.amounts, near))
        if "times" not in step or not self.slots:
            return design
        every = [slot.candidates(step["times"]) for slot in self.slots]
        candidates = Candidates(self.scenarios, design, self.slots, every)
        return self._with_times(candidates.improved(times_of(design, self.slots))[0], design)


def times_of(design, slots):
    """Times (slot,) of a design."""
    arms = {arm.name: arm.by_outcome for arm in design.arms}
    return [arms[slot.arms[0]][slot.outcome][slot.number] for slot in slots]


def with_times(design, times):
    """The arms of a design with these times by arm and outcome, in order."""
    found = []
    for arm in design.arms:
        own = {name: tuple(sorted(each)) for name, each in times[arm.name].items()}
        found.append(arm.but(times=own if isinstance(arm.times, dict) else own[""]))
    return found
