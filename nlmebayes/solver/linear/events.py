"""The order of events of every course: records, doses, ends of infusions, and the cycle that makes a steady state.

A *course* is a run of records and doses of one subject that starts empty or at a steady state (`timeline` of the
structures). Its order depends on times alone, which lags and durations move; what happens to the amounts is in
`network`.
"""

import numpy as np

from nlmebayes.solver.shared import schedule
from nlmebayes.solver.shared.kernel import cached
from nlmebayes.solver.shared.link import keep, lend

# Kinds of events; EMPTY is the record of a steady-state dose, from which collecting states start.
RECORD, START, STOP, CYCLE, PHASE, PERIODIC, CONSTANT, EMPTY = range(8)

# Rows of ``steps`` (row, step): the length of the step, its unit, then the event that ends it: its kind, and of which
# record or dose; whether the step begins a course, and whether infusions run in it.
H, UNIT, WHAT, WHICH, FIRST, FED, WIDTH = range(7)


@cached
def _put(steps, at, h, unit, what, which, first, fed):
    steps[H, at], steps[UNIT, at], steps[WHAT, at] = h, unit, what
    steps[WHICH, at], steps[FIRST, at], steps[FED, at] = which, first, fed


@cached
def read(steps, at):
    """Length, unit, kind of event and of which, of one step."""
    return steps[H, at], int(steps[UNIT, at]), int(steps[WHAT, at]), int(steps[WHICH, at])


@cached
def _cycle(head, doses, of_dose, given, steps, at):
    """The steps of the steady state just before an implied dose; returns the next one and the infusions that run."""
    unit, period, duration = of_dose[head, 0], doses[head, 4], given[2, head]
    if period <= 0.0:
        _put(steps, at, 0.0, unit, CONSTANT, head, 1, False)
        return at + 1, 1
    _put(steps, at, 0.0, unit, CYCLE, head, 1, False)
    running, _, _ = schedule.implied(given, doses, head)
    rest = period
    if duration > 0.0:
        at += 1
        rest = duration - running * period
        _put(steps, at, rest, unit, PHASE, head, 0, True)
        rest = period - rest
    _put(steps, at + 1, rest, unit, PERIODIC, head, 0, running > 0)
    return at + 2, running


@cached
def order(courses, records, of_record, doses, of_dose, given, most, steps):
    """Write the steps of all courses; returns how many. ``given`` and ``most`` are those of `schedule.plan`."""
    room, places = np.empty((4, most)), np.empty((2, most), np.int64)
    starts, stops, of_start, of_stop = lend(room[:2]), lend(room[2:]), lend(places[0]), lend(places[1])
    at = 0
    for c in range(len(courses)):
        course = courses[c]
        head, i, last = course[4], course[0], course[1]
        n_start, n_stop, time = schedule.starts_and_stops(
            course, records, doses, given, starts, stops, of_start, of_stop
        )
        running, j, k, first = 0, 0, 0, 1
        if head >= 0:
            at, running = _cycle(head, doses, of_dose, given, steps, at)
            first = 0
        while i < last:
            now, position, what, which = records[i, 0], records[i, 1], RECORD, i
            if j < n_start and (starts[0, j] < now or (starts[0, j] == now and starts[1, j] < position)):
                now, what, which = starts[0, j], START, of_start[j]
            if k < n_stop and (stops[0, k] < now or (stops[0, k] == now and what == RECORD)):  # never before its start
                now, what, which = stops[0, k], STOP, of_stop[k]
            if head >= 0 and what == RECORD and i == course[0]:
                what = EMPTY
            h = 0.0 if first == 1 else now - time
            steps[H, at], steps[UNIT, at], steps[WHAT, at] = h, of_record[i, 0], what
            steps[WHICH, at], steps[FIRST, at], steps[FED, at] = which, first, running > 0
            time, first = now, 0
            at += 1
            if what == START:
                j += 1
                if given[2, which] > 0.0:
                    running += 1
            elif what == STOP:
                k += 1
                running -= 1
            else:
                i += 1
    keep(room)
    keep(places)
    return at
