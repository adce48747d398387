"""Where a step leaves the cases that it was taken under: roots of their margins along its dense output."""

import numpy as np

from nlmebayes.solver.ode import call
from nlmebayes.solver.ode.call import HEADER
from nlmebayes.solver.ode.cases import STAIRCASE
from nlmebayes.solver.ode.march import EXPLICIT, FIRST_CASE, METHOD, SAMPLES
from nlmebayes.solver.ode.tableaus import DENSE, EXPLICIT_STAGES, RODAS_DENSE, STIFF_STAGES
from nlmebayes.solver.shared.kernel import cached

POLYNOMIAL = np.linalg.inv(np.vander(np.linspace(0, 1, SAMPLES + 1), increasing=True))  # coefficients of samples
PARTS = 8  # of a step, in which the polynomial is looked at
HALVINGS = 60  # at most, of a bracket
NEAR = 0.05  # of the way from an end of a step to a level, below which a summit is looked at closely
GOLDEN = 0.5 * (np.sqrt(5.0) - 1.0)
NONE = -1  # no case


@cached
def stages(b, tape, row):
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
def leaving(pb, b, start, h, unit):
    """The case that the last step leaves first (or `NONE`), on which side, and when."""
    count, which, side, least = len(pb.cases) - FIRST_CASE, NONE, 0.0, 2.0
    for s in range(1, SAMPLES + 1):
        _margins(pb, b, s / SAMPLES, start, h, unit, s)
    for j in range(count):
        z = pb.par[unit, pb.par.shape[1] - count + j]
        if pb.cases[FIRST_CASE + j] == STAIRCASE:
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
