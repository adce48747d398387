"""From one event of a timeline to the next.

Records between events are read from the dense output, so that they force no steps, unless the slopes read the time or
change by cases: then each record ends a step. The state carries over where parameters change.

Absolute tolerances are parts of the sizes of the states of a course: what is given into them, where they start, what
has been reached, and before that what flows into them while their sources last. So they have the units of the states.
"""

import numpy as np

from nlmebayes.solver.ode import call, events, march
from nlmebayes.solver.ode.march import FIRST_CASE, FRESH, LEAST, NEXT, NOW, READ, SETTLED, STOPS
from nlmebayes.solver.shared.kernel import cached, inlined

LEAST_STEP = 4e-15  # of the time: an infusion may be that short, and less is a rounding
LEAST_SIZE = 1e-290  # of an absolute tolerance: an error of 0 in a state of 0 is none


@cached
def tolerances(pb, b, course, initial):
    """Sizes of the states of a course and their absolute tolerances, into ``b.size`` and ``b.tol``."""
    records, size, given = pb.records, b.size, pb.given
    time, unit, head = records[course[0], 0], pb.of_record[course[0], 0], course[4]
    span = records[course[1] - 1, 0] - time
    for i in range(len(size)):
        size[i] = abs(initial[i, unit]) if len(initial) > 0 else 0.0
    for k in range(head if head >= 0 else course[2], course[3]):
        target = pb.routes[pb.of_dose[k, 1]]
        size[target] = max(size[target], abs(given[0, k]) if given[0, k] != 0.0 else abs(given[1, k]) * span)
    b.rate[:] = 0.0
    for _ in range(len(size)):
        if not (size.min() == 0.0 and _fed(pb, b, time, span, unit)):
            break
    _tolerances(pb, b)


@cached
def _fed(pb, b, time, span, unit):
    """Sizes of states without one that others feed, from what flows in while these last, or until it flows out as fast;
    returns whether there were such states. Where nothing flows at first, the time may open a way later."""
    size, f, trial, found = b.size, b.f, b.trial, False
    for part in range(4):
        at, lasting = time + 0.25 * part * span, span
        if len(pb.cases) > FIRST_CASE:
            events.natural(pb, b, at, size, unit)
        call.field(pb.law, at, size, b.rate, pb.par, unit, f)
        for i in range(len(size)):
            trial[i] = size[i]
            if size[i] > 0.0 and abs(f[i]) * lasting > size[i]:
                lasting = size[i] / abs(f[i])
        for i in range(len(size)):
            if trial[i] == 0.0 and f[i] != 0.0:
                trial[i] = f[i] * lasting
                call.field(pb.law, at, trial, b.rate, pb.par, unit, b.slope)
                if b.slope[i] * f[i] < 0.0:
                    trial[i] *= f[i] / (f[i] - b.slope[i])
                size[i] = abs(trial[i]) if abs(trial[i]) < np.inf else 0.0
                trial[i] = 0.0
                found = True
        if found:
            break
    return found


@cached
def _tolerances(pb, b):
    """Absolute tolerances of the states: as given, or in parts of their sizes (a negative ``pb.tol``)."""
    for i in range(3):
        b.tol[i] = pb.tol[i]
    for i in range(len(b.size)):
        part = pb.tol[3 + i]
        b.tol[3 + i] = part if part > 0.0 else max(-part * b.size[i], LEAST_SIZE)


@cached
def reached(pb, b):
    """Sizes of the states are at least those that they have."""
    for i in range(len(b.size)):
        b.size[i] = max(b.size[i], abs(b.state[i]))
    _tolerances(pb, b)


@inlined
def _first_step(pb, b, time, span, unit):
    """A length for the first step, from the slope ``k[0]`` and its change over a short one.

    After Hairer, Norsett and Wanner, Solving ODEs I, II.4, with the sizes of the states as their scales: most are empty
    at first, and what they are would say nothing. What is too long is rejected.
    """
    state, k, trial, f, size = b.state, b.k, b.new, b.f, b.size
    n, largest, slope, bend = len(state), 0.0, 0.0, 0.0
    for i in range(n):
        if size[i] > 0.0:
            largest, slope = max(largest, abs(state[i]) / size[i]), max(slope, abs(k[0, i]) / size[i])
    h = min(span, 0.01 * largest / slope if largest > 0.0 and slope > 0.0 else 1e-6 * span)
    for i in range(n):
        trial[i] = state[i] + h * k[0, i]
    call.field(pb.law, time + h, trial, b.rate, pb.par, unit, f)
    for i in range(n):
        if size[i] > 0.0:
            bend = max(bend, abs(f[i] - k[0, i]) / size[i])
    most = h * max(slope, bend) / (b.tol[0] * max(largest, 0.01))  # of a step h, in tolerances
    h *= min(100.0, (0.01 / most) ** 0.2) if most * span > 1e-15 * h else 100.0
    return min(span, max(h, LEAST_STEP * abs(time)))


@cached
def integrate(pb, b, time, end, unit, first, last, y, tape, row):
    """From ``time`` to ``end`` under one unit and constant inputs, reading records ``first`` to ``last`` on the way.

    Returns the tape, its next row, and whether the end was reached.
    """
    records, of_record, reads, state, control = pb.records, pb.of_record, pb.reads, b.state, b.control
    here, ok = first, True
    while here < last and records[here, 0] <= time:
        place = of_record[here, 1]
        if place >= 0:
            for p in range(len(reads)):
                y[p, place] = state[reads[p]]
        here += 1
    if here > first:
        tape, row = march.row_of(tape, row, READ, time, unit, first, here, -1, b)
    if end > time:
        reached(pb, b)
        if len(pb.cases) > FIRST_CASE:
            events.settle(pb, b, time, unit)
        call.field(pb.law, time, state, b.rate, pb.par, unit, b.k)
        control[NOW], control[FRESH] = time, 1.0
        control[NEXT] = _first_step(pb, b, time, end - time, unit)
    while ok and time < end:
        until = min(end, records[here, 0]) if pb.cases[STOPS] > 0 and here < last else end
        for part in range(1, pb.cases[LEAST] + 1):
            at = until if part == pb.cases[LEAST] else time + (until - time) * part / pb.cases[LEAST]
            if len(pb.cases) > FIRST_CASE:
                tape, row, here, ok = events.advance(pb, b, at, unit, here, last, y, tape, row)
            else:
                tape, row, here, ok = events.run(pb, b, at, unit, here, last, y, tape, row, False)
            if not ok:
                break
        time = until
    if len(pb.cases) > FIRST_CASE:
        tape, row = events.held(pb, b, time, unit, events.NONE, tape, row)
    return tape, row, ok


@cached
def next_event(starts, stops, n_start, n_stop, j, k):
    """(time, position, whether it is a start) of the next dose or end of an infusion; a start goes before a stop."""
    if j < n_start and (k >= n_stop or starts[0, j] <= stops[0, k]):
        return starts[0, j], starts[1, j], True
    if k < n_stop:
        return stops[0, k], -np.inf, False
    return np.inf, np.inf, False


@cached
def until(records, of_record, i, last, at, position):
    """One past the last record that comes before an event and under the unit of record ``i``."""
    m = i
    while m < last and of_record[m, 0] == of_record[i, 0]:
        time = records[m, 0]
        if time > at or (time == at and records[m, 1] > position):
            break
        m += 1
    return m


@cached
def apply(pb, b, start, which):
    """A dose, or the start or end of an infusion."""
    target = pb.routes[pb.of_dose[which, 1]]
    if not start:
        b.running[target] -= 1
        b.rate[target] = b.rate[target] - pb.given[1, which] if b.running[target] > 0 else 0.0
    elif pb.given[2, which] > 0.0:
        b.running[target] += 1
        b.rate[target] += pb.given[1, which]
    else:
        b.state[target] += pb.given[0, which]
        b.control[SETTLED] = -abs(b.control[SETTLED])
