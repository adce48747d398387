"""Steady states of systems that need not be linear, and their adjoints.

The state x just before a dose solves x = F(x), F one interval of dosing. It is found by Newton's method, whose matrix
dF/dx comes from the adjoint of the interval, after a few intervals of dosing; where that does not come closer, another
interval is dosed. The adjoint solves (1 - dF/dx)' v = w. States that nothing depends on (urine) have no steady state and
start empty.
"""

import numpy as np

from nlmebayes.solver.kernel import cached
from nlmebayes.solver.ode import call, march, rosenbrock, sweep
from nlmebayes.solver.ode.call import HEADER

PLAIN = 3  # intervals dosed before Newton's method is tried
MOST = 500  # intervals dosed at most
CLOSE = 0.01  # last change of a steady state, in tolerances


@cached
def cycle(law, head, time, doses, of_dose, routes, given, running, state, rate, par, tol, work, control, records,
          of_record, reads, y, tape, row):  # fmt: skip
    """One interval of dosing from ``state`` at ``time``; ``rate`` is left as after it."""
    unit, target, period = of_dose[head, 0], routes[of_dose[head, 1]], doses[head, 4]
    amount, flow, duration = given[0, head], given[1, head], given[2, head]
    tape = march.row_of(tape, row, march.CYCLE, time, 0.0, unit, 0, 0, head, state, rate)
    row += 1
    middle, ok = time, True
    if duration > 0.0:
        rate[target] = (running + 1) * flow
        middle = time + duration - running * period
        tape, row, ok = march.integrate(law, time, middle, state, rate, par, unit, tol, work, control, records, of_record,
                                        reads, 0, 0, y, tape, row)  # fmt: skip
        tape = march.row_of(tape, row, march.PHASE, middle, 0.0, unit, 0, 0, head, state, rate)
        row += 1
        rate[target] = running * flow
    else:
        state[target] += amount
    if ok:
        tape, row, ok = march.integrate(law, middle, time + period, state, rate, par, unit, tol, work, control, records,
                                        of_record, reads, 0, 0, y, tape, row)  # fmt: skip
    tape = march.row_of(tape, row, march.PERIODIC, time + period, 0.0, unit, 0, 0, head, state, rate)
    return tape, row + 1, ok


@cached
def uncycle(law, tape, start, stop, doses, of_dose, routes, given, running, collecting, par, ybar, records, of_record, reads, timed,
            w, rbar, parbar, givenbar, work):  # fmt: skip
    """Adjoint of `cycle`, whose rows are ``start`` to ``stop``; ``w`` goes from after it to before it."""
    head = int(tape[start, march.WHICH])
    target = routes[of_dose[head, 1]]
    rbar[:] = 0.0
    sweep.rows(law, tape, start + 1, stop, par, given, of_dose, routes, collecting, ybar, records, of_record, reads, timed,
               w, rbar, parbar, givenbar, work)  # fmt: skip
    if given[2, head] > 0.0:
        givenbar[1, head] += (running + 1) * rbar[target]
    else:
        givenbar[0, head] += w[target]


@cached
def _propagator(law, tape, start, stop, doses, of_dose, routes, given, running, collecting, par, ybar, records, of_record, reads,
                spare, matrix, work):  # fmt: skip
    """dF/dx of a recorded interval into ``matrix``."""
    parbar, givenbar, rbar = spare
    n = len(matrix)
    for i in range(n):
        matrix[i] = 0.0
        matrix[i, i] = 1.0
        uncycle(law, tape, start, stop, doses, of_dose, routes, given, running, collecting, par, ybar, records, of_record, reads,
                False, matrix[i], rbar, parbar, givenbar, work)  # fmt: skip


@cached
def _resolvent(matrix, collecting, system, pivot):
    """Factors of 1 - dF/dx without the collecting states into ``system``."""
    n = len(matrix)
    for i in range(n):
        for j in range(n):
            alone = collecting[i] or collecting[j]
            system[i, j] = (1.0 if i == j else 0.0) - (0.0 if alone else matrix[i, j])
    rosenbrock.factorise(system, pivot)


@cached
def periodic(law, head, time, doses, of_dose, routes, given, running, collecting, state, rate, par, tol, work, control,
             records, of_record, reads, y, tape, row, recorded):  # fmt: skip
    """The steady state just before a dose, from ``state``; its last interval is on the tape if ``recorded``.

    Returns the tape, its next row, and whether the state was found.
    """
    n, start = len(state), row
    if len(tape) == 0:
        tape = np.empty((64, HEADER + (2 + rosenbrock.STAGES) * n))
        start = row = 0
    x, ahead = state.copy(), np.empty(n)
    change, matrix, system = np.empty(n), np.empty((n, n)), np.empty((n, n))
    pivot, back = np.empty(n, np.int64), sweep.workspace(n)
    spare = (np.zeros_like(par), np.zeros_like(given), np.empty(n))
    size, none = np.inf, np.zeros((len(reads), 1))
    for count in range(MOST):
        for i in range(n):
            state[i], rate[i] = x[i], 0.0
        control[march.COUNT] = 0.0
        rate[routes[of_dose[head, 1]]] = running * given[1, head]
        tape, row, ok = cycle(law, head, time, doses, of_dose, routes, given, running, state, rate, par, tol, work,
                              control, records, of_record, reads, none, tape, start)  # fmt: skip
        if not ok:
            return tape, row, False
        found = 0.0
        for i in range(n):
            if collecting[i]:
                state[i] = 0.0
            change[i], ahead[i] = state[i] - x[i], state[i]
            found = max(found, abs(change[i]) / (tol[3 + i] + tol[0] * abs(state[i])))
        if not found < np.inf:
            return tape, row, False
        if count >= PLAIN or found < 1.0:
            _propagator(law, tape, start, row, doses, of_dose, routes, given, running, collecting, par, none, records, of_record,
                        reads, spare, matrix, back)  # fmt: skip
            _resolvent(matrix, collecting, system, pivot)
            rosenbrock.solve(system, pivot, change)
            left = 0.0
            for i in range(n):
                left = max(left, abs(change[i]) / (tol[3 + i] + tol[0] * abs(x[i])))
            if left < CLOSE:
                for i in range(n):
                    state[i], rate[i] = x[i], 0.0
                rate[routes[of_dose[head, 1]]] = running * given[1, head]
                return tape, row if recorded else 0, True
            closer = found < size and left < np.inf
            for i in range(n):
                x[i] = x[i] + change[i] if closer else ahead[i]
        else:
            for i in range(n):
                x[i] = ahead[i]
        size = found
    return tape, row, False


@cached
def unperiodic(law, tape, start, stop, doses, of_dose, routes, given, running, collecting, par, ybar, records, of_record,
               reads, timed, w, rbar, parbar, givenbar, work):  # fmt: skip
    """Adjoint of `periodic`, whose interval is rows ``start`` to ``stop``."""
    n = len(w)
    head = int(tape[start, march.WHICH])
    target = routes[of_dose[head, 1]]
    if timed:
        givenbar[3, head] -= sweep.flow(law, tape, start, int(tape[start, march.UNIT]), par, w, work)
    givenbar[1, head] += running * rbar[target]
    spare = (np.zeros_like(par), np.zeros_like(given), np.empty(n))
    matrix, system, pivot = np.empty((n, n)), np.empty((n, n)), np.empty(n, np.int64)
    none = np.zeros((len(reads), 1))
    _propagator(law, tape, start, stop, doses, of_dose, routes, given, running, collecting, par, none, records, of_record, reads,
                spare, matrix, work)  # fmt: skip
    _resolvent(matrix, collecting, system, pivot)
    for i in range(n):
        if collecting[i]:
            w[i] = 0.0
    rosenbrock.solve_transposed(system, pivot, w)
    uncycle(law, tape, start, stop, doses, of_dose, routes, given, running, collecting, par, none, records, of_record, reads, timed,
            w, rbar, parbar, givenbar, work)  # fmt: skip


@cached
def constant(law, time, unit, collecting, state, rate, par, tol, work):
    """The state at which f + rate = 0, from ``state``; returns whether it was found.

    Implicit Euler steps of growing length, which become Newton's method.
    """
    k, new, f, matrix, vectors, pivot, _ = work
    n, h, size = len(state), 1e-3, np.inf
    for _ in range(MOST):
        call.field(law, time, state, rate, par, unit, f)
        call.jacobian(law, time, state, par, unit, matrix, vectors[0])
        _grounded(matrix, collecting, 1.0 / h)
        rosenbrock.factorise(matrix, pivot)
        for i in range(n):
            if collecting[i]:
                f[i] = 0.0
        rosenbrock.solve(matrix, pivot, f)
        change = 0.0
        for i in range(n):
            state[i] += f[i]
            change = max(change, abs(f[i]) / (tol[3 + i] + tol[0] * abs(state[i])))
        if not change < np.inf:
            return False
        if h > 1e12 and change < CLOSE:
            return True
        h *= 4.0 if change < 2.0 * size or h < 1e6 else 0.5
        size = change
    return False


@cached
def _grounded(matrix, collecting, shift):
    """shift - J without the collecting states."""
    n = len(matrix)
    for i in range(n):
        for j in range(n):
            alone = collecting[i] or collecting[j]
            matrix[i, j] = (shift if i == j else 0.0) - (0.0 if alone else matrix[i, j])
        if collecting[i]:
            matrix[i, i] = 1.0


@cached
def unconstant(law, tape, row, of_dose, routes, collecting, par, w, rbar, parbar, givenbar, work):
    """Adjoint of `constant`, whose state stands in a row."""
    kbar, direct, state, k, matrix, vectors, pivot, g = work
    n, unit, head = len(w), int(tape[row, march.UNIT]), int(tape[row, march.WHICH])
    for i in range(n):
        state[i] = tape[row, HEADER + i]
        if collecting[i]:
            w[i] = 0.0
    call.jacobian(law, tape[row, march.TIME], state, par, unit, matrix, vectors[0])
    _grounded(matrix, collecting, 0.0)
    rosenbrock.factorise(matrix, pivot)
    rosenbrock.solve_transposed(matrix, pivot, w)
    call.pull(law, tape[row, march.TIME], state, par, unit, w, direct, parbar)
    target = routes[of_dose[head, 1]]
    givenbar[1, head] += w[target] + rbar[target]
