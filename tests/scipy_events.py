"""Linear compartments under NONMEM's event records, integrated by SciPy from one event to the next.

Nothing is clever here: records are taken one after another, a dose waits in a list until its time has come, and a
steady state is reached by giving the dose until nothing changes any more. The systems are lists of flows.
"""

from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise

import numpy as np
from scipy.integrate import solve_ivp

DEPOTS = {
    "first-order": ("depot",), "sequential": ("depot",), "mixed": ("depot",), "parallel": ("depot", "depot2"),
}  # fmt: skip
PERIPHERALS = {1: (), 2: ("peripheral",), 3: ("peripheral1", "peripheral2")}
SETTLED = 1e-13  # relative change of the amounts from one dose to the next that counts as none


@dataclass(frozen=True)
class Compartments:
    """A mammillary system with ``number`` compartments; amounts flow between ``states``, numbered from 1 by CMT."""

    number: int
    absorption: str = "bolus"
    lag: bool = False
    bioavailability: bool = False
    metabolite: bool = False
    urine: bool = False
    transits: int = 3

    @property
    def states(self):
        stages = tuple(f"transit{i + 1}" for i in range(self.transits + 1))
        depots = (*stages, "depot") if self.absorption == "transit" else DEPOTS.get(self.absorption, ())
        others = ("metabolite",) * self.metabolite + ("urine",) * self.urine
        return (*depots, "central", *PERIPHERALS[self.number], *others)

    @property
    def collecting(self):
        """Where amounts gather for ever: there is no steady state of these."""
        return np.array([name == "urine" for name in self.states])

    def flows(self, p):
        """(from, to, rate) of every flow; to None is out of the body."""
        if self.absorption == "transit":
            stages = self.states[: self.transits + 2]
            yield from ((a, b, (self.transits + 1) / p["mtt"]) for a, b in pairwise(stages))
        if "depot" in self.states:
            yield "depot", "central", p["ka"]
        if "depot2" in self.states:
            yield "depot2", "central", p["ka2"]
        v = p["v" if self.number == 1 else "v1"]
        for name in PERIPHERALS[self.number]:
            own = "2" if name != "peripheral2" else "3"  # the first peripheral compartment has v2
            q, volume = p["q" if self.number == 2 else f"q{own}"], p[f"v{own}"]
            yield "central", name, q / v
            yield name, "central", q / volume
        excreted = p["fe"] if self.urine else 0.0
        changed = p["fm"] * (1 - excreted) if self.metabolite else 0.0
        yield "central", None, (1 - excreted - changed) * p["cl"] / v
        if self.urine:
            yield "central", "urine", excreted * p["cl"] / v
        if self.metabolite:
            yield "central", "metabolite", changed * p["cl"] / v
            yield "metabolite", None, p["clm"] / p["vm"]

    def matrix(self, p):
        """A of y' = A y + input."""
        found, index = np.zeros((len(self.states),) * 2), self.states.index
        for source, target, rate in self.flows(p):
            found[index(source), index(source)] -= rate
            if target is not None:
                found[index(target), index(source)] += rate
        return found

    def parts(self, dose, p):
        """What a dose becomes: (state, amount, rate or 0 for a bolus, lag) of each part."""
        cmt, amount, rate = dose
        if cmt > 1 and rate >= 0:
            return [(int(cmt) - 1, amount, rate, 0.0)]
        amount, lag = amount * (p["f"] if self.bioavailability else 1.0), p["tlag"] if self.lag else 0.0
        central, modelled = self.states.index("central"), rate <= 0
        if modelled and self.absorption in ("zero-order", "sequential"):
            return [(0, amount, amount / p["dur"], lag)]
        if modelled and self.absorption == "constant-rate":
            return [(0, amount, p["r0"], lag)]
        if modelled and self.absorption == "mixed":
            slow = (1 - p["fr"]) * amount
            return [(0, p["fr"] * amount, 0.0, lag), (central, slow, slow / p["dur"], lag)]
        if modelled and self.absorption == "parallel":
            return [(0, p["fr"] * amount, 0.0, lag), (1, (1 - p["fr"]) * amount, 0.0, lag)]
        if rate < 0 or (not modelled and self.absorption in ("mixed", "parallel")):
            raise ValueError(f"RATE={rate} into compartment {cmt} means nothing under {self.absorption}")
        return [(0, amount, rate, lag)]

    def outcomes(self, amounts, p):
        """What is measured, of a vector of amounts."""
        y = dict(zip(self.states, amounts, strict=True))
        found = {"conc": y["central"] / p["v" if self.number == 1 else "v1"]}
        if self.metabolite:
            found["metabolite"] = y["metabolite"] / p["vm"]
        if self.urine:
            found["urine"] = y["urine"]
        return found


def integrated(matrix, inputs, amounts, span):
    """y' = A y + u by an explicit Runge-Kutta method of order 8."""
    scale = max(np.abs(amounts).max(), np.abs(inputs).max() * span)
    found = solve_ivp(
        lambda t, y: matrix @ y + inputs, (0.0, span), amounts, method="DOP853", rtol=1e-12, atol=1e-14 * scale
    )
    assert found.success, found.message
    return found.y[:, -1]


def exponential(matrix, inputs, amounts, span):
    """The same by the exponential of a matrix, for stiff systems and as a second opinion.

    By its series and squaring: `scipy.linalg.expm` (1.18) is off by up to a tenth where a triangular matrix has three
    rates that agree but for rounding, as with transit compartments.
    """
    scale, n = np.abs(inputs).max() or 1.0, len(amounts)
    whole = np.zeros((n + 1, n + 1))
    whole[:n, :n], whole[:n, n] = matrix * span, inputs / scale * span
    halvings = max(0, int(np.ceil(np.log2(max(np.abs(whole).sum(axis=0).max(), 1.0)))))
    found = term = np.eye(n + 1)
    for k in range(1, 22):  # 1 / 22! is below the rounding of 1
        term = term @ (whole / 2**halvings) / k
        found = found + term
    for _ in range(halvings):
        found = found @ found
    return (found @ np.append(amounts, scale))[:n]


@dataclass
class Body:
    """Amounts at a time, infusions that run (state, rate, end), and what waits (time, what then happens given p)."""

    system: Compartments
    propagate: object
    time: float
    amounts: np.ndarray
    running: list = field(default_factory=list)
    waiting: list = field(default_factory=list)

    def advance(self, until, p):
        """Time passes with the parameters p; all that waits for a time up to and including ``until`` happens."""
        while True:
            due = [time for time, _ in self.waiting if time <= until]
            ends = [end for _, _, end in self.running if end < until]
            self._pass(min([until, *due, *ends]), p)
            now = [event for event in self.waiting if event[0] <= self.time]
            if self.time >= until and not now:
                return
            self.waiting = [event for event in self.waiting if event[0] > self.time]
            for _, happen in now:
                happen(p)

    def _pass(self, until, p):
        inputs = np.zeros(len(self.amounts))
        for state, rate, _ in self.running:
            inputs[state] += rate
        if until > self.time and (inputs.any() or self.amounts.any()):
            self.amounts = self.propagate(self.system.matrix(p), inputs, self.amounts, until - self.time)
        self.time = until
        self.running = [infusion for infusion in self.running if infusion[2] > until]

    def take(self, dose, p):
        """A dose is taken; its parts arrive now or later."""
        for state, amount, rate, lag in self.system.parts(dose, p):
            arrive = partial(self._arrive, state, amount, rate)
            if lag > 0:
                self.waiting.append((self.time + lag, arrive))
            else:
                arrive(p)

    def _arrive(self, state, amount, rate, p):
        if rate > 0:
            self.running.append((state, rate, self.time + amount / rate))
        else:
            self.amounts = self.amounts + amount * (np.arange(len(self.amounts)) == state)

    def empty(self):
        self.amounts, self.running, self.waiting = np.zeros_like(self.amounts), [], []

    def add(self, other):
        """What another body holds and awaits at its own time, as of now."""
        shift = self.time - other.time
        self.amounts = self.amounts + other.amounts
        self.running += [(state, rate, end + shift) for state, rate, end in other.running]
        for time, happen in other.waiting:  # lagged parts only, which know what and where they are
            self.waiting.append((time + shift, partial(self._arrive, *happen.args)))


def steady(system, dose, interval, p, propagate):
    """A body that has taken a dose every ``interval`` for ever and is about to take the next one."""
    none = np.zeros(len(system.states))
    body, counts = Body(system, propagate, 0.0, none), ~system.collecting
    longest = max(lag + (amount / rate if rate else 0.0) for _, amount, rate, lag in system.parts(dose, p))
    for n in range(1, 1000):
        past, body = body, Body(system, propagate, -interval, none)
        body.add(past)
        body.take(dose, p)
        body.advance(0.0, p)
        change = np.abs(body.amounts - past.amounts)[counts].max()
        if n * interval > longest and change <= SETTLED * body.amounts[counts].max():
            break
    else:
        raise AssertionError("no steady state after 1000 doses")
    body.amounts = np.where(counts, body.amounts, 0.0)
    return body


def infused_for_ever(system, cmt, rate, p, propagate):
    """A body after an infusion since for ever, whose last part arrives a lag from now: what flows out flows in."""
    (_, _, _, lag), *_ = system.parts((cmt, 1.0, rate), p)
    amounts, inputs, rest = np.zeros(len(system.states)), np.zeros(len(system.states)), ~system.collecting
    inputs[int(cmt) - 1] = rate
    amounts[rest] = np.linalg.solve(system.matrix(p)[np.ix_(rest, rest)], -inputs[rest])
    return Body(system, propagate, 0.0, amounts, running=[(int(cmt) - 1, rate, lag)])


def solve(system, table, parameters, *, interpolation="nocb", propagate=integrated):
    """Amounts (record, state) of one subject at its records.

    ``table`` has TIME, EVID, AMT and may have CMT, RATE, ADDL, II, SS; ``parameters`` holds a dict per record.
    """
    table = table.reindex(columns=["TIME", "EVID", "AMT", "CMT", "RATE", "ADDL", "II", "SS"]).fillna(0.0)
    records = list(zip(table.itertuples(index=False), parameters, strict=True))
    body, found = Body(system, propagate, records[0][0].TIME, np.zeros(len(system.states))), []
    last = None
    for record, own in records:
        if last is not None:
            body.advance(record.TIME, own if interpolation == "nocb" else last)
        last = own
        if record.EVID in (3, 4):
            body.empty()
        if record.EVID in (1, 4):
            _dose(body, record, own, partial(_at, records, interpolation))
        found.append(body.amounts)
    return np.array(found)


def _at(records, interpolation, time):
    """Parameters at a time: of the first record from then on (or the last one), or of the last record until then."""
    if interpolation == "nocb":
        return next((p for record, p in records if time <= record.TIME), records[-1][1])
    return [p for record, p in records if time >= record.TIME][-1]


def _dose(body, record, p, parameters_at):
    dose = (record.CMT or 1.0, record.AMT, record.RATE)
    if record.SS == 1:
        body.empty()
    if record.SS and record.AMT == 0:
        body.add(infused_for_ever(body.system, dose[0], record.RATE, p, body.propagate))
        return
    if record.SS:
        body.add(steady(body.system, dose, record.II, p, body.propagate))
    body.take(dose, p)
    for k in range(1, int(record.ADDL) + 1):
        time = record.TIME + k * record.II
        body.waiting.append((time, partial(_again, body, dose, parameters_at(time))))


def _again(body, dose, own, _):
    """An additional dose has parameters of its own nominal time, whatever is true when it is its turn."""
    body.take(dose, own)
