"""Sampling times of a design by exchange: each time in turn moves to the best of its candidates, until none does.

All candidates are records of one planned study, whose slopes are taken once; a design is a choice of them, of which
some may be chosen twice (Fedorov 1972, Theory of Optimal Experiments).
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from nlmebayes.design.arm import ARM

SWEEPS = 30  # over all times, at most
BETTER = 1e-9  # gain of a criterion that is one
LINEAR, GEOMETRIC, NEAR = 33, 16, 21  # candidates between two ends, evenly and by ratios; about a time


@dataclass(frozen=True)
class Slot:
    """A sampling time that may move: that of ``arms`` (names) for ``outcome`` ("" for all), the ``number`` in their
    list, between ``low`` and ``high``."""

    arms: tuple
    outcome: str
    number: int
    low: float
    high: float

    def candidates(self, step=None):
        """Times between the ends; multiples of ``step`` where there is one."""
        if step is not None:
            first, last = np.ceil(self.low / step - 1e-9), np.floor(self.high / step + 1e-9)
            found = step * np.arange(first, last + 1)
            return found if len(found) else np.array([(self.low + self.high) / 2])
        span = self.high - self.low
        ratios = self.low + span * np.geomspace(1e-3, 1.0, GEOMETRIC)
        return np.unique(np.concatenate([np.linspace(self.low, self.high, LINEAR), ratios]))

    def near(self, at, width):
        """Candidates about a time."""
        low, high = max(self.low, at - width), min(self.high, at + width)
        return np.unique(np.concatenate([np.linspace(low, high, NEAR), [at]]))


class Candidates:
    """Candidate times (slot, time) of a design, and the criterion of any choice among them, on average over scenarios.

    ``more``: times by outcome that are tried beside, for all arms.
    """

    def __init__(self, scenarios, design, slots, times, more=()):
        self.design, self.slots, self.times = design, slots, [np.asarray(t, dtype=float) for t in times]
        arms = [self._whole(arm, more) for arm in design.arms]
        self.choices = [_Choice(scenario, arms) for scenario in scenarios]

    def _whole(self, arm, more):
        """An arm with all candidates as samples."""
        found = {name: {*times, *more} for name, times in arm.by_outcome.items()}
        for slot, times in zip(self.slots, self.times, strict=True):
            if arm.name in slot.arms:
                found[slot.outcome] |= set(times.tolist())
        found = {name: sorted(times) for name, times in found.items()}
        return arm.but(times=found if isinstance(arm.times, dict) else found[""])

    def value(self, chosen, more=()):
        """The criterion of the design with these times (slot,); ``more``: (outcome, time) taken beside, in all arms."""
        taken = placed(self.design, self.slots, chosen)
        for each in taken.values():
            for outcome, t in more:
                each[outcome].append(t)
        return float(np.mean([choice.value(taken) for choice in self.choices]))

    def nearest(self, chosen):
        """The candidates nearest to some times (slot,)."""
        return [times[np.argmin(np.abs(times - t))] for t, times in zip(chosen, self.times, strict=True)]

    def improved(self, chosen):
        """Times (slot,) that no exchange of one makes better, and their criterion."""
        chosen = self.nearest(chosen)
        best = self.value(chosen)
        for _ in range(SWEEPS):
            before = best
            for k, times in enumerate(self.times):
                values = [self.value([*chosen[:k], t, *chosen[k + 1 :]]) for t in times]
                top = int(np.argmax(values))
                if values[top] > best + BETTER:
                    chosen[k], best = times[top], values[top]
            if not best - before > BETTER:
                break
        return np.array(chosen), best


def placed(design, slots, chosen):
    """Times by arm and outcome, with those of the slots in their places."""
    found = {arm.name: {name: list(times) for name, times in arm.by_outcome.items()} for arm in design.arms}
    for slot, t in zip(slots, chosen, strict=True):
        for name in slot.arms:
            found[name][slot.outcome][slot.number] = float(t)
    return found


class _Choice:
    """The candidates under one scenario: the criterion of any choice among their records."""

    def __init__(self, scenario, arms):
        self.scenario, self.asked, self.known = scenario, scenario.asked(arms), {}
        self.first_order = self.asked.first_order
        self.first_order.check(scenario.method)
        self.prepared = self.first_order.prepared(scenario.x, scenario.method)

    @cached_property
    def rows(self):
        """For every block of records, their numbers by arm, outcome and time."""
        data, setting = self.asked.data[0].observations, self.asked.setting
        time = setting.time or "time"
        own = [data[data["outcome"] == name] for name in setting.outcomes]
        keys = [key for frame in own for key in zip(frame[ARM].astype(str), frame["outcome"], frame[time], strict=True)]
        found = []
        for block in self.first_order.blocks:
            found.append({})
            for row in block:
                found[-1].setdefault(keys[row], []).append(row)
        return found

    def value(self, taken):
        """The criterion of times by arm and outcome."""
        names = self.asked.setting.outcomes
        wanted = {
            arm: [(o, t) for name, times in each.items() for t in times for o in ([name] if name else names)]
            for arm, each in taken.items()
        }
        total = 0.0
        for number, rows in enumerate(self.rows):
            arms = dict.fromkeys(arm for arm, _, _ in rows)
            here = (rows.get((arm, o, t), ()) for arm in arms for o, t in wanted[arm])  # others are in other blocks
            chosen = tuple(sorted(row for found in here for row in found))
            if (number, chosen) not in self.known:
                self.known[number, chosen] = self.first_order.of_rows(np.array(chosen, dtype=int), self.prepared)
            total = total + self.known[number, chosen]
        return self.scenario.criterion(total)
