"""Events: where a step leaves a case that it was taken under (see `cases`), it ends, and the case changes.

A step is taken with every case held, so it is smooth. The margin of a case along it is a polynomial of order 4, exactly
if it is linear in the states, else nearly; what of it lies outside, be it between two points of the step, brackets the
event, which is found on the dense output. The step is taken again up to there, and the time mended by Newton's method
until the state that was reached is at the event. After Shampine and Thompson (2000), Comput. Math. Appl. 39, 43-54,
doi:10.1016/S0898-1221(00)00045-6.
"""

import numpy as np

from nlmebayes.solver.kernel import cached
from nlmebayes.solver.ode import call, march
from nlmebayes.solver.ode.call import HEADER
from nlmebayes.solver.ode.cases import STAIRCASE
from nlmebayes.solver.ode.march import (
    BEGAN,
    COUNT,
    EXPLICIT,
    FRESH,
    FULL,
    HELD,
    KINDS,
    METHOD,
    NEXT,
    NOW,
    SAMPLES,
    SETTLED,
)
from nlmebayes.solver.ode.tableaus import DENSE, EXPLICIT_STAGES, RODAS_DENSE, STIFF_STAGES

POLYNOMIAL = np.linalg.inv(np.vander(np.linspace(0, 1, SAMPLES + 1), increasing=True))  # coefficients of samples
PARTS = 8  # of a step, in which the polynomial is looked at
TURN = 1.0  # radians of the fastest sine in a margin that a step may take
HALVINGS = 60  # at most, of a bracket
NEAR = 0.05  # of the way from an end of a step to a level, below which a summit is looked at closely
GOLDEN = 0.5 * (np.sqrt(5.0) - 1.0)
STILL = 1e-13  # of the time: what gets on by less gets on by a rounding
ROUNDS = 6  # steps taken again for one event
NONE = -1


@cached
def natural(pb, b, time, y, unit):
    """Hold the cases as they are at a point."""
    first = pb.par.shape[1] - (len(pb.cases) - KINDS)
    call.modes(pb.law, time, y, pb.par, unit, b.margins)
    for j in range(len(pb.cases) - KINDS):
        pb.par[unit, first + j] = b.margins[0, j]


@cached
def settle(pb, b, time, unit):
    """Hold the cases of a unit at the state of ``b``.

    Those that were held before are held on, unless a dose has carried the state over a threshold: that is no event.
    """
    before, count = b.control[SETTLED], len(pb.cases) - KINDS
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
        inside = z <= v <= z + 1.0 if pb.cases[KINDS + j] == STAIRCASE else v >= 0.0 if z > 0.5 else v <= 0.0
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
        count, start = len(pb.cases) - KINDS, HEADER + 2 * len(b.state)
        for j in range(count):
            tape[row - 1, start + place * count + j] = pb.par[unit, pb.par.shape[1] - count + j]


@cached
def advance(pb, b, end, unit, here, last, y, tape, row):
    """Steps until ``end`` and the events on the way; returns the tape, its next row and record, and success.

    Cases that change without getting on (a slope that leads back on both sides of a threshold) are a failure.
    """
    control, count, still = b.control, len(pb.cases) - KINDS, 0
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
        _stages(b, tape, row)
        which, side, at = _leaving(pb, b, start, control[NOW] - start, unit)
        if which == NONE:
            still = 0
            continue
        _unread(pb, y, record, here)
        level = pb.par[unit, pb.par.shape[1] - count + which] + max(side, 0.0)
        level = level if pb.cases[KINDS + which] == STAIRCASE else 0.0
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
    count, time, which, side = len(pb.cases) - KINDS, b.control[NOW], NONE, 0.0
    least = 1e-12 * max(abs(time), abs(b.control[BEGAN] - time))
    call.margins(pb.law, time, b.state, pb.par, unit, b.margins)
    call.field(pb.law, time, b.state, b.rate, pb.par, unit, b.f)
    for j in range(count):
        z, v = pb.par[unit, pb.par.shape[1] - count + j], b.margins[0, j]
        fast = speed(pb, time, b.state, b.f, unit, b.margins[1], j, b.trial, b.spare, b.found)
        way = 1.0 if fast > 0.0 else -1.0
        level = z + max(way, 0.0) if pb.cases[KINDS + j] == STAIRCASE else 0.0
        left = (level - v) / fast if fast != 0.0 else np.inf
        leads = pb.cases[KINDS + j] == STAIRCASE or way == 1.0 - 2.0 * z
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
    count, time = len(pb.cases) - KINDS, b.control[NOW]
    first, before, after = pb.par.shape[1] - count, b.margins[0], b.margins[1]
    tape, row = held(pb, b, time, unit, which, tape, row)
    call.margins(pb.law, time, b.state, pb.par, unit, before)
    z = pb.par[unit, first + which]
    pb.par[unit, first + which] = z + side if pb.cases[KINDS + which] == STAIRCASE else 1.0 - z
    for _ in range(count):
        changed = False
        call.margins(pb.law, time, b.state, pb.par, unit, after)
        for j in range(count):
            if after[j] != before[j] and j != which and not changed:
                z = np.floor(after[j]) if pb.cases[KINDS + j] == STAIRCASE else 1.0 if after[j] > 0.0 else 0.0
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
def _stages(b, tape, row):
    """The stages of the last step, into ``b.dense``: the next one overwrites some."""
    n, explicit = len(b.state), b.kept[METHOD] == EXPLICIT
    for s in range(EXPLICIT_STAGES if explicit else STIFF_STAGES):
        for i in range(n):
            if explicit:
                b.dense[s, i] = b.k[s, i] if s > 0 else b.point[1, i]
            elif len(tape) > 0:
                b.dense[s, i] = tape[row - 1, HEADER + (2 + s) * n + i]
            else:
                b.dense[s, i] = b.stages[s, i]


@cached
def _inside(b, x, h):
    """The state at a part ``x`` of the last step, into ``b.point[2]``."""
    for i in range(len(b.state)):
        total, start = 0.0, b.point[0, i]
        if b.kept[METHOD] == EXPLICIT:
            for s in range(EXPLICIT_STAGES):
                inner = DENSE[s, 0] + x * (DENSE[s, 1] + x * (DENSE[s, 2] + x * DENSE[s, 3]))
                total += b.dense[s, i] * x * inner
            b.point[2, i] = start + h * total
        else:
            for s in range(STIFF_STAGES):
                total += b.dense[s, i] * (RODAS_DENSE[0, s] + x * (RODAS_DENSE[1, s] + x * RODAS_DENSE[2, s]))
            b.point[2, i] = (1.0 - x) * start + x * (b.state[i] + (1.0 - x) * total)


@cached
def _margins(pb, b, x, start, h, unit, row):
    """The margins at a part of the last step, into a row of ``b.margins``."""
    _inside(b, x, h)
    call.margins(pb.law, start + x * h, b.point[2], pb.par, unit, b.margins[row])


@cached
def _leaving(pb, b, start, h, unit):
    """The case that the last step leaves first (or `NONE`), on which side, and when."""
    count, which, side, least = len(pb.cases) - KINDS, NONE, 0.0, 2.0
    for s in range(1, SAMPLES + 1):
        _margins(pb, b, s / SAMPLES, start, h, unit, s)
    for j in range(count):
        z = pb.par[unit, pb.par.shape[1] - count + j]
        if pb.cases[KINDS + j] == STAIRCASE:
            for way in (-1.0, 1.0):
                x = _crossing(pb, b, j, way, z + max(way, 0.0), start, h, unit)
                if x < least:
                    which, side, least = j, way, x
        else:
            way = 1.0 - 2.0 * z
            x = _crossing(pb, b, j, way, 0.0, start, h, unit)
            if x < least:
                which, side, least = j, way, x
    return which, side, start + h if least == 1.0 else start + least * h


@cached
def _crossing(pb, b, j, way, level, start, h, unit):
    """The part of the last step after which a margin is beyond a level, 2 if it stays inside.

    A margin that starts beyond, by a rounding, has left when it is further out.
    """
    c = np.zeros(SAMPLES + 1)
    level = max(way * b.margins[0, j], way * level)
    for i in range(SAMPLES + 1):
        for s in range(SAMPLES + 1):
            c[i] += POLYNOMIAL[i, s] * (way * b.margins[s, j] - level)
    before = 0.0
    for part in range(1, PARTS + 1):
        x = part / PARTS
        beyond = x
        if _value(c, x) <= 0.0:
            beyond = _turn(c, before, x, 1.0)
            if beyond > 0.0 and _value(c, beyond) <= 0.0:
                beyond = _summit(pb, b, j, way, level, start, h, unit, before, x, _value(c, beyond))
        if beyond > 0.0:
            if part == 1 and _slope(c, 0.0) < 0.0:  # inside first
                before = _turn(c, 0.0, beyond, -1.0)
            found = _root(pb, b, j, way, level, start, h, unit, before, beyond)
            if found <= 1.0:
                return found
        before = x
    return 2.0


@cached
def _value(c, x):
    return c[0] + x * (c[1] + x * (c[2] + x * (c[3] + x * c[4])))


@cached
def _slope(c, x):
    return c[1] + x * (2.0 * c[2] + x * (3.0 * c[3] + x * 4.0 * c[4]))


@cached
def _turn(c, low, high, way):
    """Where a polynomial is largest (``way`` 1) or smallest (-1) between two points; 0 if it does not turn there."""
    if not way * _slope(c, low) > 0.0 > way * _slope(c, high):
        return 0.0
    for _ in range(HALVINGS):
        middle = 0.5 * (low + high)
        if way * _slope(c, middle) > 0.0:
            low = middle
        else:
            high = middle
    return high


@cached
def _summit(pb, b, j, way, level, start, h, unit, low, high, nearly):
    """Where the margin itself is beyond a level between two points, though the polynomial is not (by ``nearly``, the
    least it is inside), which is no exact one; 0 if it is not. Golden sections."""
    if nearly < -NEAR * abs(way * b.margins[0, j] - level) and nearly < -NEAR * abs(
        way * b.margins[SAMPLES, j] - level
    ):
        return 0.0
    left, right = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
    f = _beyond(pb, b, j, way, level, start, h, unit, left)
    g = _beyond(pb, b, j, way, level, start, h, unit, right)
    for _ in range(HALVINGS):
        if f > 0.0:
            return left
        if g > 0.0:
            return right
        if f > g:
            high, right, g = right, left, f
            left = high - GOLDEN * (high - low)
            f = _beyond(pb, b, j, way, level, start, h, unit, left)
        else:
            low, left, f = left, right, g
            right = low + GOLDEN * (high - low)
            g = _beyond(pb, b, j, way, level, start, h, unit, right)
    return 0.0


@cached
def _beyond(pb, b, j, way, level, start, h, unit, x):
    """How far a margin is beyond a level at a part of the last step."""
    _margins(pb, b, x, start, h, unit, SAMPLES + 1)
    return way * b.margins[SAMPLES + 1, j] - level


@cached
def _root(pb, b, j, way, level, start, h, unit, low, high):
    """The part of the last step at which a margin is at a level, between one inside and one beyond it; 2 if there is
    none. False position with the Illinois rule (Dowell and Jarratt 1971, BIT 11, 168-174)."""
    f, g = _beyond(pb, b, j, way, level, start, h, unit, low), _beyond(pb, b, j, way, level, start, h, unit, high)
    if not g > 0.0:
        return 2.0
    if f >= 0.0:
        return low
    for _ in range(HALVINGS):
        middle = low + f / (f - g) * (high - low)
        if middle <= low:
            return low
        if middle >= high or high - low < 1e-15:
            break
        value = _beyond(pb, b, j, way, level, start, h, unit, middle)
        if value > 0.0:
            high, g, f = middle, value, 0.5 * f
        else:
            low, f, g = middle, value, 0.5 * g
        if value == 0.0:
            return middle
    return high


@cached
def speed(pb, time, y, f, unit, w, which, ybar, parbar, tbar):
    """How fast a margin grows along slopes ``f``; its own slopes go to ``ybar``, ``parbar`` (parameter,), ``tbar``."""
    ybar[:] = 0.0
    parbar[:] = 0.0
    tbar[0] = 0.0
    for j in range(len(pb.cases) - KINDS):
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
