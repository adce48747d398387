"""Events: where a step leaves a case that it was taken under (see `cases`), it ends, and the case changes.

A step is taken with every case held, so it is smooth. The margin of a case along it is a polynomial of order 4, exactly
if it is linear in the states, else nearly; what of it lies outside, be it between two points of the step, brackets the
event, which is found on the dense output. The step is taken again up to there, and the time mended by Newton's method
until the state that was reached is at the event. After Shampine and Thompson (2000), Comput. Math. Appl. 39, 43-54,
doi:10.1016/S0898-1221(00)00045-6.
"""

import numpy as np

from nlmebayes.solver.ode import call, crossing, march
from nlmebayes.solver.ode.call import HEADER
from nlmebayes.solver.ode.cases import STAIRCASE
from nlmebayes.solver.ode.crossing import NONE
from nlmebayes.solver.ode.march import (
    BEGAN,
    COUNT,
    FIRST_CASE,
    FRESH,
    FULL,
    HELD,
    NEXT,
    NOW,
    SAMPLES,
    SETTLED,
)
from nlmebayes.solver.shared.kernel import cached

TURN = 1.0  # radians of the fastest sine in a margin that a step may take
STILL = 1e-13  # of the time: what gets on by less gets on by a rounding
ROUNDS = 6  # steps taken again for one event


@cached
def natural(pb, b, time, y, unit):
    """Hold the cases as they are at a point."""
    first = pb.par.shape[1] - (len(pb.cases) - FIRST_CASE)
    call.modes(pb.law, time, y, pb.par, unit, b.margins)
    for j in range(len(pb.cases) - FIRST_CASE):
        pb.par[unit, first + j] = b.margins[0, j]


@cached
def settle(pb, b, time, unit):
    """Hold the cases of a unit at the state of ``b``.

    Those that were held before are held on, unless a dose has carried the state over a threshold: that is no event.
    """
    before, count = b.control[SETTLED], len(pb.cases) - FIRST_CASE
    b.control[SETTLED] = unit + 1.0
    if abs(before) != unit + 1.0:
        natural(pb, b, time, b.state, unit)
    elif before < 0.0:
        for _ in range(count):
            if not _carried_over(pb, b, time, unit, count):
                break


@cached
def _carried_over(pb, b, time, unit, count):
    """Whether a case is not what is held, which it is from now on."""
    first, changed = pb.par.shape[1] - count, False
    call.margins(pb.law, time, b.state, pb.par, unit, b.margins)
    call.modes(pb.law, time, b.state, pb.par, unit, b.margins[1])
    for j in range(count):
        z, v = pb.par[unit, first + j], b.margins[0, j]
        inside = z <= v <= z + 1.0 if pb.cases[FIRST_CASE + j] == STAIRCASE else v >= 0.0 if z > 0.5 else v <= 0.0
        if not inside and z != b.margins[1, j]:
            pb.par[unit, first + j] = b.margins[1, j]
            changed = True
    return changed


@cached
def held(pb, b, time, unit, which, tape, row):
    """Write what is held up to a time, and which case changes there; returns the tape and its next row."""
    tape, row = march.row_of(tape, row, HELD, time, unit, 0, 0, which, b)
    write(pb, b, unit, tape, row, 0)
    return tape, row


@cached
def write(pb, b, unit, tape, row, place):
    """Write what is held into the row before: at place 0 before an event, at place 1 after it."""
    if len(tape) > 0:
        count, start = len(pb.cases) - FIRST_CASE, HEADER + 2 * len(b.state)
        for j in range(count):
            tape[row - 1, start + place * count + j] = pb.par[unit, pb.par.shape[1] - count + j]


@cached
def advance(pb, b, end, unit, here, last, y, tape, row):
    """Steps until ``end`` and the events on the way; returns the tape, its next row and record, and success.

    Cases that change without getting on (a slope that leads back on both sides of a threshold) are a failure.
    """
    control, count, still = b.control, len(pb.cases) - FIRST_CASE, 0
    while control[NOW] < end:
        start, record, first = control[NOW], here, row
        if control[FRESH] == 0.0:
            call.field(pb.law, start, b.state, b.rate, pb.par, unit, b.k)
            control[FRESH] = 1.0
        _keep(b)
        call.margins(pb.law, start, b.state, pb.par, unit, b.margins)
        turns = b.margins[0, count]
        stop = min(end, start + TURN / turns) if turns > 0.0 else end
        tape, row, here, ok = run(pb, b, stop, unit, here, last, y, tape, row, True)
        if not ok:
            which, side = _imminent(pb, b, unit)
            still += 1
            if control[COUNT] > b.tol[1] or which == NONE or still > 2 * count + 2:
                return tape, row, here, False
            tape, row = _change(pb, b, which, side, unit, tape, row)
            control[NEXT] = max(control[NEXT], 0.01 * (end - control[NOW]))
            continue
        crossing.stages(b, tape, row)
        which, side, at = crossing.leaving(pb, b, start, control[NOW] - start, unit)
        if which == NONE:
            still = 0
            continue
        _unread(pb, y, record, here)
        level = pb.par[unit, pb.par.shape[1] - count + which] + max(side, 0.0)
        level = level if pb.cases[FIRST_CASE + which] == STAIRCASE else 0.0
        for _ in range(ROUNDS):
            here, row = record, first
            _restore(b, at - start)
            if not at > start:
                break
            tape, row, here, ok = run(pb, b, at, unit, here, last, y, tape, row, False)
            if not ok:
                return tape, row, here, False
            change = _correction(pb, b, which, level, unit)
            if not 1e-15 * abs(at) < abs(change) < at - start:
                break
            at += change
        still = still + 1 if at - start <= STILL * max(abs(at), abs(end)) else 0
        if still > 2 * count + 2:
            return tape, row, here, False
        tape, row = _change(pb, b, which, side, unit, tape, row)
    return tape, row, here, True


@cached
def _imminent(pb, b, unit):
    """The case that is left next, and on which side, where no step is short enough: what it holds has no value beyond
    (the root of a state that empties). `NONE` if that is further away than a rounding of the time."""
    count, time, which, side = len(pb.cases) - FIRST_CASE, b.control[NOW], NONE, 0.0
    least = 1e-12 * max(abs(time), abs(b.control[BEGAN] - time))
    call.margins(pb.law, time, b.state, pb.par, unit, b.margins)
    call.field(pb.law, time, b.state, b.rate, pb.par, unit, b.f)
    for j in range(count):
        z, v = pb.par[unit, pb.par.shape[1] - count + j], b.margins[0, j]
        fast = speed(pb, time, b.state, b.f, unit, b.margins[1], j, b.trial, b.spare, b.found)
        way = 1.0 if fast > 0.0 else -1.0
        level = z + max(way, 0.0) if pb.cases[FIRST_CASE + j] == STAIRCASE else 0.0
        left = (level - v) / fast if fast != 0.0 else np.inf
        leads = pb.cases[FIRST_CASE + j] == STAIRCASE or way == 1.0 - 2.0 * z
        if leads and left < least:
            which, side, least = j, way, left
    return which, side


@cached
def run(pb, b, end, unit, here, last, y, tape, row, one):
    """Steps until ``end``, or ``one``; returns the tape, which may have grown, its next row and record, and success."""
    status = FULL
    while status == FULL:
        row, here, status = march.steps(pb, b, end, unit, here, last, y, tape, row, one)
        if status == FULL:
            tape = march.grown(tape)
    return tape, row, here, status == march.DONE


@cached
def _unread(pb, y, first, last):
    """Forget what a step that is taken back gave to records."""
    for i in range(first, last):
        if pb.of_record[i, 1] >= 0:
            y[0, pb.of_record[i, 1]] = np.nan


@cached
def _change(pb, b, which, side, unit, tape, row):
    """Let a case change, and others whose margins jump by that; returns the tape and its next row."""
    count, time = len(pb.cases) - FIRST_CASE, b.control[NOW]
    first, before, after = pb.par.shape[1] - count, b.margins[0], b.margins[1]
    tape, row = held(pb, b, time, unit, which, tape, row)
    call.margins(pb.law, time, b.state, pb.par, unit, before)
    z = pb.par[unit, first + which]
    pb.par[unit, first + which] = z + side if pb.cases[FIRST_CASE + which] == STAIRCASE else 1.0 - z
    for _ in range(count):
        changed = False
        call.margins(pb.law, time, b.state, pb.par, unit, after)
        for j in range(count):
            if after[j] != before[j] and j != which and not changed:
                z = np.floor(after[j]) if pb.cases[FIRST_CASE + j] == STAIRCASE else 1.0 if after[j] > 0.0 else 0.0
                changed = z != pb.par[unit, first + j]
                pb.par[unit, first + j] = z
        if not changed:
            break
    write(pb, b, unit, tape, row, 1)
    b.control[FRESH] = 0.0
    b.control[COUNT] += 1.0
    return tape, row


@cached
def _keep(b):
    """Remember where a step starts."""
    n = len(b.state)
    for i in range(len(b.control)):
        b.kept[i] = b.control[i]
    for i in range(n):
        b.point[0, i], b.point[1, i] = b.state[i], b.k[0, i]


@cached
def _restore(b, length):
    """Go back to there, for a step of at least a length."""
    n = len(b.state)
    for i in range(len(b.control)):
        b.control[i] = b.kept[i]
    b.control[NEXT] = max(b.control[NEXT], length)
    for i in range(n):
        b.state[i], b.k[0, i] = b.point[0, i], b.point[1, i]


@cached
def speed(pb, time, y, f, unit, w, which, ybar, parbar, tbar):
    """How fast a margin grows along slopes ``f``; its own slopes go to ``ybar``, ``parbar`` (parameter,), ``tbar``."""
    ybar[:] = 0.0
    parbar[:] = 0.0
    tbar[0] = 0.0
    for j in range(len(pb.cases) - FIRST_CASE):
        w[j] = 1.0 if j == which else 0.0
    call.unmargins(pb.law, time, y, pb.par, unit, w, ybar, parbar, tbar)
    total = tbar[0]
    for i in range(len(y)):
        total += ybar[i] * f[i]
    return total


@cached
def _correction(pb, b, which, level, unit):
    """By how much later a margin would be at a level."""
    time = b.control[NOW]
    call.margins(pb.law, time, b.state, pb.par, unit, b.margins[SAMPLES + 1])
    left = level - b.margins[SAMPLES + 1, which]
    call.field(pb.law, time, b.state, b.rate, pb.par, unit, b.f)
    fast = speed(pb, time, b.state, b.f, unit, b.margins[1], which, b.trial, b.spare, b.found)
    return left / fast if fast != 0.0 else 0.0
