"""All courses of a timeline: states at the records, and the adjoint of that.

Shapes: ``parameters`` (draw, parameter, unit); ``initial`` (draw, state or none, unit), the states at the first record
of a course; ``fraction``, ``lag``, ``extra`` (draw, route or none, unit); ``tol`` the relative tolerance, most steps of
a course, the method, and the absolute tolerance of each state.
"""

import numpy as np

from nlmebayes.solver import schedule
from nlmebayes.solver.kernel import cached
from nlmebayes.solver.ode import march, steady, sweep
from nlmebayes.solver.ode.call import HEADER
from nlmebayes.solver.ode.march import BEGIN, CONSTANT, EXPLICIT, START, STOP


@cached
def _begin(law, course, time, unit, doses, of_dose, routes, given, collecting, initial, state, rate, running, par, tol,
           work, control, records, of_record, reads, y, tape, row, recorded):  # fmt: skip
    """State, rates and running infusions at the start of a course; returns the tape, its next row, and success."""
    n, head, ok = len(state), course[4], True
    state[:] = 0.0
    rate[:] = 0.0
    running[:] = 0
    for i in range(len(initial)):
        state[i] = initial[i, unit]
    tape = march.row_of(tape, row, BEGIN, time, 0.0, unit, 0, 0, head, state, rate)
    row += 1
    control[:] = 0.0
    control[march.METHOD] = EXPLICIT if tol[2] != 2.0 else march.STIFF
    if head < 0:
        return tape, row, True
    unit, target = of_dose[head, 0], routes[of_dose[head, 1]]
    if doses[head, 4] <= 0.0:
        rate[target] = given[1, head]
        ok = steady.constant(law, time, unit, collecting, state, rate, par, tol, work)
        running[target] = 1
        tape = march.row_of(tape, row, CONSTANT, time, 0.0, unit, 0, 0, head, state, rate)
        row += 1
    else:
        implied, _, _ = schedule.implied(given, doses, head)
        running[target] = implied
        tape, row, ok = steady.periodic(law, head, time, doses, of_dose, routes, given, implied, collecting, state, rate,
                                        par, tol, work, control, records, of_record, reads, y, tape, row,
                                        recorded)  # fmt: skip
        control[march.COUNT] = 0.0
        if not recorded:
            tape = np.empty((0, tape.shape[1]))
    for i in range(n):
        if collecting[i]:
            state[i] = 0.0
    return tape, row, ok


@cached
def forward(law, routes, reads, collecting, tol, courses, records, of_record, doses, of_dose, par, initial, given, most,
            y, failed, tape):  # fmt: skip
    """States ``reads`` at the records into ``y`` (read, record), whether each failed; returns the tape and its rows.

    A course that fails reads 1 everywhere, and has no rows.
    """
    n = len(collecting)
    starts, stops = np.empty((2, most)), np.empty((2, most))
    of_start, of_stop = np.empty(most, np.int64), np.empty(most, np.int64)
    state, rate, running, control = np.empty(n), np.empty(n), np.empty(n, np.int64), np.empty(5)
    work, row, recorded = march.workspace(n), 0, len(tape) > 0
    for c in range(len(courses)):
        course = courses[c]
        i, last = course[0], course[1]
        n_start, n_stop, time = schedule.starts_and_stops(course, doses, given, starts, stops, of_start, of_stop)
        if course[4] < 0:
            time = records[i, 0]
        first_row, j, k, dosed = row, 0, 0, doses[course[4], 0] if course[4] >= 0 else 0.0
        gathers = course[4] >= 0 and time < dosed and collecting.any()
        tape, row, ok = _begin(law, course, time, of_record[i, 0], doses, of_dose, routes, given, collecting, initial,
                               state, rate, running, par, tol, work, control, records, of_record, reads, y, tape, row,
                               recorded)  # fmt: skip
        while ok and i < last:
            unit = of_record[i, 0]
            at, position, is_start = march.next_event(starts, stops, n_start, n_stop, j, k)
            empties = gathers and at >= dosed
            if empties:
                at, position, gathers = dosed, -np.inf, False
            m = march.until(records, of_record, i, last, at, position)
            event = m < last and of_record[m, 0] == unit
            end = at if event else records[m - 1, 0]
            tape, row, ok = march.integrate(law, time, end, state, rate, par, unit, tol, work, control, records,
                                            of_record, reads, i, m, y, tape, row)  # fmt: skip
            i, time = m, max(time, end)
            if not event:
                continue
            if empties:
                tape = march.row_of(tape, row, march.EMPTY, time, 0.0, unit, 0, 0, -1, state, rate)
                row += 1
                for p in range(n):
                    state[p] = 0.0 if collecting[p] else state[p]
                continue
            which = of_start[j] if is_start else of_stop[k]
            tape = march.row_of(tape, row, START if is_start else STOP, time, 0.0, unit, 0, 0, which, state, rate)
            row += 1
            march.apply(is_start, which, routes[of_dose[which, 1]], given, state, rate, running)
            if is_start:
                j += 1
            else:
                k += 1
        if not ok:
            row = first_row
            for i in range(course[0], last):
                if of_record[i, 1] >= 0:
                    failed[of_record[i, 1]] = True
                    for p in range(len(reads)):
                        y[p, of_record[i, 1]] = 1.0
    return tape, row


@cached
def backward(law, routes, reads, collecting, courses, records, of_record, doses, of_dose, par, given, ybar, tape, rows,
             timed, parbar, initialbar, givenbar):  # fmt: skip
    """Adjoint of `forward` from its tape."""
    n, stop = len(collecting), rows
    w, rbar, work = np.zeros(n), np.zeros(n), sweep.workspace(n)
    for row in range(rows - 1, -1, -1):
        if tape[row, march.KIND] != BEGIN:
            continue
        w[:] = 0.0
        rbar[:] = 0.0
        unit, head, first = int(tape[row, march.UNIT]), int(tape[row, march.WHICH]), row + 1
        if head >= 0 and tape[first, march.KIND] == march.CYCLE:
            while tape[first, march.KIND] != march.PERIODIC:
                first += 1
        if head >= 0:
            first += 1
        sweep.rows(law, tape, first, stop, par, given, of_dose, routes, collecting, ybar, records, of_record, reads,
                   timed, w, rbar, parbar, givenbar, work)  # fmt: skip
        if head < 0:
            for i in range(len(initialbar)):
                initialbar[i, unit] += w[i]
        elif tape[row + 1, march.KIND] == CONSTANT:
            steady.unconstant(law, tape, row + 1, of_dose, routes, collecting, par, w, rbar, parbar, givenbar, work)
        else:
            running, _, _ = schedule.implied(given, doses, head)
            steady.unperiodic(law, tape, row + 1, first, doses, of_dose, routes, given, running, collecting, par, ybar,
                              records, of_record, reads, timed, w, rbar, parbar, givenbar, work)  # fmt: skip
        stop = row


@cached
def _by_unit(parameters):
    par = np.empty((parameters.shape[1], parameters.shape[0]))
    for j in range(parameters.shape[0]):
        for unit in range(parameters.shape[1]):
            par[unit, j] = parameters[j, unit]
    return par


@cached
def states(law, routes, reads, collecting, tol, courses, records, of_record, doses, of_dose, parameters, initial,
           fraction, lag, extra):  # fmt: skip
    """States ``reads`` at the records (draw, read, record), which of them failed (draw, record), and the tape of a
    single draw. Several draws leave no tape, as only a sampler, which has one, needs it."""
    draws, n, size = parameters.shape[0], len(collecting), 0
    for i in range(len(of_record)):
        size = max(size, of_record[i, 1] + 1)
    y, failed = np.zeros((draws, len(reads), size)), np.zeros((draws, size), np.bool_)
    given = np.empty((4, len(doses)))
    tape = np.empty((0, HEADER + 10 * n))
    for s in range(draws):
        capacity, most = schedule.plan(courses, doses, of_dose, fraction[s], lag[s], extra[s], given)
        par = _by_unit(parameters[s])
        if capacity < 0 or not (np.isfinite(par).all() and np.isfinite(initial[s]).all()):
            y[s] = 1.0
            failed[s] = True
            continue
        if draws == 1:
            tape = np.empty((capacity + 32 * len(courses), HEADER + 10 * n))
        tape, rows = forward(law, routes, reads, collecting, tol, courses, records, of_record, doses, of_dose, par,
                             initial[s], given, most, y[s], failed[s], tape)  # fmt: skip
        tape = tape[:rows] if draws == 1 else tape
    return y, failed, tape


@cached
def pullback(law, routes, reads, collecting, tol, courses, records, of_record, doses, of_dose, parameters, initial,
             fraction, lag, extra, ybar, tape):  # fmt: skip
    """Adjoint of `states`: slopes in parameters, initial states, fraction, lag and extra."""
    draws, n = parameters.shape[0], len(collecting)
    parametersbar, initialbar = np.zeros_like(parameters), np.zeros_like(initial)
    fractionbar, lagbar, extrabar = np.zeros_like(fraction), np.zeros_like(lag), np.zeros_like(extra)
    given, givenbar = np.empty((4, len(doses))), np.empty((4, len(doses)))
    timed = lag.shape[1] > 0 or (doses[:, 3] != schedule.BOLUS).any()
    y, failed = np.empty(ybar.shape[1:]), np.empty(ybar.shape[2], np.bool_)
    for s in range(draws):
        capacity, most = schedule.plan(courses, doses, of_dose, fraction[s], lag[s], extra[s], given)
        par = _by_unit(parameters[s])
        if capacity < 0 or not (np.isfinite(par).all() and np.isfinite(initial[s]).all()):
            continue
        rows = len(tape)
        if draws > 1 or rows == 0:
            tape = np.empty((capacity + 32 * len(courses), HEADER + 10 * n))
            tape, rows = forward(law, routes, reads, collecting, tol, courses, records, of_record, doses, of_dose, par,
                                 initial[s], given, most, y, failed, tape)  # fmt: skip
        givenbar[:] = 0.0
        parbar = np.zeros_like(par)
        backward(law, routes, reads, collecting, courses, records, of_record, doses, of_dose, par, given, ybar[s], tape,
                 rows, timed, parbar, initialbar[s], givenbar)  # fmt: skip
        for unit in range(par.shape[0]):
            for j in range(par.shape[1]):
                parametersbar[s, j, unit] = parbar[unit, j]
        schedule.to_parameters(
            doses, of_dose, given, givenbar, fraction[s], extra[s], fractionbar[s], lagbar[s], extrabar[s]
        )
    return parametersbar, initialbar, fractionbar, lagbar, extrabar
