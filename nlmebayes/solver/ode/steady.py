"""Steady states of systems that need not be linear, and their adjoints.

The state x just before a dose solves x = F(x), F one cycle of dosing: an interval, or as many as it takes slopes that
read the time to repeat themselves. It is found by Newton's method, whose matrix
dF/dx comes from the adjoint of the interval, after a few intervals of dosing; where that does not come closer, another
interval is dosed. The adjoint solves (1 - dF/dx)' v = w. States that nothing depends on (urine) have no steady state
and start empty.
"""

import numpy as np

from nlmebayes.solver.ode import call, events, interval, march, sweep
from nlmebayes.solver.ode.call import HEADER
from nlmebayes.solver.ode.march import FIRST_CASE
from nlmebayes.solver.ode.tableaus import STIFF_STAGES
from nlmebayes.solver.shared import lu
from nlmebayes.solver.shared.kernel import cached
from nlmebayes.solver.shared.link import keep

PLAIN = 3  # intervals dosed before Newton's method is tried
MOST = 500  # intervals dosed at most
CLOSE = 0.01  # last change of a steady state, in tolerances; or one below 1 that rounding keeps from getting smaller


@cached
def _cycle(pb, b, head, time, running, y, tape, row):
    """One cycle of dosing from the state of ``b`` at ``time``, with ``running`` infusions of before; on the tape, where
    every dose but the first has a row of its own."""
    unit, target, period = pb.of_dose[head, 0], pb.routes[pb.of_dose[head, 1]], pb.doses[head, 4]
    amount, flow, duration = pb.given[0, head], pb.given[1, head], pb.given[2, head]
    tape, row = march.row_of(tape, row, march.CYCLE, time, unit, 0, 0, head, b)
    b.control[march.COUNT] = 0.0
    ok, i = True, row - row  # no records; of a constant 0 Numba would compile everything again
    for k in range(int(pb.doses[head, 5])):
        at = time + k * period
        middle = at
        if k > 0:
            tape, row = march.row_of(tape, row, march.START, at, unit, 0, 0, head, b)
        if duration > 0.0:
            b.rate[target] = (running + 1) * flow
            middle = at + duration - running * period
            if ok:
                tape, row, ok = interval.integrate(pb, b, at, middle, unit, i, i, y, tape, row)
            tape, row = march.row_of(tape, row, march.PHASE, middle, unit, 0, 0, head, b)
            b.rate[target] = running * flow
        else:
            b.state[target] += amount
        if ok:
            tape, row, ok = interval.integrate(pb, b, middle, time + (k + 1) * period, unit, i, i, y, tape, row)
    tape, row = march.row_of(tape, row, march.PERIODIC, time + pb.doses[head, 5] * period, unit, 0, 0, head, b)
    return tape, row, ok


@cached
def _uncycle(pb, q, tape, start, stop, running, none, timed):
    """Adjoint of `_cycle`, whose rows are ``start`` to ``stop``."""
    head = int(tape[start, march.WHICH])
    target = pb.routes[pb.of_dose[head, 1]]
    q.rbar[:] = 0.0
    sweep.rows(pb, q, tape, start + 1, stop, none, timed)
    if pb.given[2, head] > 0.0:
        q.givenbar[1, head] += (running + 1) * q.rbar[target]
    else:
        q.givenbar[0, head] += q.w[target]


@cached
def _resolvent(pb, tape, start, stop, running, none, matrix, pivot):
    """Factors of 1 - dF/dx, without the collecting states, of a recorded interval."""
    n = len(matrix)
    owner = sweep.adjoint(np.zeros(n), np.zeros_like(pb.par), np.zeros_like(pb.given), len(pb.cases) - FIRST_CASE)
    spare = sweep.lent(owner)
    for i in range(n):
        spare.w[:] = 0.0
        spare.w[i] = 1.0
        _uncycle(pb, spare, tape, start, stop, running, none, n < 0)
        for j in range(n):
            matrix[i, j] = spare.w[j]
    lu.grounded(matrix, pb.collecting, 1.0, matrix)
    lu.factorise(matrix, pivot)
    keep(owner.w)


@cached
def _reset(pb, b, head, running, x):
    """State ``x`` and the infusions of before, just before a dose."""
    for i in range(len(x)):
        b.state[i], b.rate[i] = x[i], 0.0
    b.rate[pb.routes[pb.of_dose[head, 1]]] = running * pb.given[1, head]
    b.control[march.SETTLED] = 0.0


@cached
def _change(b, x, change):
    """Largest change of a state, in tolerances."""
    size = 0.0
    for i in range(len(x)):
        size = max(size, abs(change[i]) / (b.tol[3 + i] + b.tol[0] * abs(x[i])))
        if change[i] != change[i]:
            return np.inf
    return size


@cached
def periodic(pb, b, head, time, running, tape, row, recorded):
    """The steady state just before a dose; its last interval is on the tape if ``recorded``.

    Returns the tape, its next row, and whether the state was found.
    """
    n, start = len(b.state), row
    if not recorded:
        tape = np.empty((64, HEADER + max((2 + STIFF_STAGES) * n, 2 * (n + len(pb.cases) - FIRST_CASE))))
        start = row = 0
    x, change, pivot = b.state.copy(), np.empty(n), np.empty(n, np.int64)
    matrix, none, before = np.empty((n, n)), np.zeros((len(pb.reads), 1)), np.inf
    nearest = np.inf
    for count in range(MOST):
        _reset(pb, b, head, running, x)
        tape, row, ok = _cycle(pb, b, head, time, running, none, tape, start)
        for i in range(n):
            change[i] = 0.0 if pb.collecting[i] else b.state[i] - x[i]
        size = _change(b, x, change)
        if not (ok and size < np.inf):
            return tape, row, False
        newton = count >= PLAIN or size < 1.0
        if newton:
            _resolvent(pb, tape, start, row, running, none, matrix, pivot)
            lu.solve(matrix, pivot, change)
            left = _change(b, x, change)
            if left < CLOSE or 0.5 * nearest < left < 1.0:
                _reset(pb, b, head, running, x)
                return tape, row, True
            newton, nearest = size < before and left < np.inf, min(left, nearest)
        for i in range(n):
            x[i] = x[i] + change[i] if newton else 0.0 if pb.collecting[i] else b.state[i]
        before = size
    return tape, row, False


@cached
def unperiodic(pb, q, tape, start, stop, running, timed):
    """Adjoint of `periodic`, whose interval is rows ``start`` to ``stop``."""
    n, head = len(q.w), int(tape[start, march.WHICH])
    if timed:
        q.givenbar[3, head] -= sweep.flow(pb, q, tape, start, int(tape[start, march.UNIT]))
    q.givenbar[1, head] += running * q.rbar[pb.routes[pb.of_dose[head, 1]]]
    matrix, pivot, none = np.empty((n, n)), np.empty(n, np.int64), np.zeros((len(pb.reads), 1))
    _resolvent(pb, tape, start, stop, running, none, matrix, pivot)
    for i in range(n):
        q.w[i] = 0.0 if pb.collecting[i] else q.w[i]
    lu.solve_transposed(matrix, pivot, q.w)
    _uncycle(pb, q, tape, start, stop, running, none, timed)


@cached
def constant(pb, b, time, unit):
    """The state at which f + rate = 0, from that of ``b``; returns whether it was found.

    Implicit Euler steps of growing length, which become Newton's method.
    """
    n, h, fastest, before, long, endless = len(b.state), 0.0, 0.0, np.inf, 0.0, 0.0
    for _ in range(MOST):
        if len(pb.cases) > FIRST_CASE:
            events.natural(pb, b, time, b.state, unit)
        call.field(pb.law, time, b.state, b.rate, pb.par, unit, b.f)
        call.jacobian(pb.law, time, b.state, pb.par, unit, b.matrix, b.slope)
        if h == 0.0:
            for i in range(n):
                fastest = max(fastest, abs(b.matrix[i, i]))
            h = 1e-3 / fastest if fastest > 0.0 else 1e-3
            long, endless = 1e9 * h, 1e15 * h
        lu.grounded(b.matrix, pb.collecting, 1.0 / h, b.matrix)
        lu.factorise(b.matrix, b.pivot)
        for i in range(n):
            b.f[i] = 0.0 if pb.collecting[i] else b.f[i]
        lu.solve(b.matrix, b.pivot, b.f)
        for i in range(n):
            b.state[i] += b.f[i]
        size = _change(b, b.state, b.f)
        if not size < np.inf:
            return False
        if h > endless and (size < CLOSE or 0.5 * before < size < 1.0):
            return True
        h *= 4.0 if size < max(1.0, 2.0 * before) or h < long else 0.5
        before = size
    return False


@cached
def unconstant(pb, q, tape, row):
    """Adjoint of `constant`, whose state stands in a row."""
    n, unit, head = len(q.w), int(tape[row, march.UNIT]), int(tape[row, march.WHICH])
    for i in range(n):
        q.state[i] = tape[row, HEADER + i]
        q.w[i] = 0.0 if pb.collecting[i] else q.w[i]
    call.jacobian(pb.law, tape[row, march.TIME], q.state, pb.par, unit, q.matrix, q.slope)
    lu.grounded(q.matrix, pb.collecting, 0.0, q.matrix)
    lu.factorise(q.matrix, q.pivot)
    lu.solve_transposed(q.matrix, q.pivot, q.w)
    call.pull(pb.law, tape[row, march.TIME], q.state, pb.par, unit, q.w, q.direct, q.parbar)
    target = pb.routes[pb.of_dose[head, 1]]
    q.givenbar[1, head] += q.w[target] + q.rbar[target]
