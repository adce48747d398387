"""All courses of a timeline: states at the records, and the adjoint of that.

Shapes: ``parameters`` (draw, parameter, unit); ``initial`` (draw, state or none, unit), the states at the first record
of a course; ``fraction``, ``lag``, ``extra`` (draw, route or none, unit); ``tol`` the relative tolerance, most steps of
a course, the method, and of each state its absolute tolerance, or minus that in parts of its size; ``cases``: see
`interval`.
"""

import numpy as np

from nlmebayes.solver.ode import events, interval, march, steady, sweep
from nlmebayes.solver.ode.call import HEADER
from nlmebayes.solver.ode.march import (
    BEGIN,
    CONSTANT,
    CYCLE,
    EMPTY,
    EXPLICIT,
    FIRST_CASE,
    KIND,
    PERIODIC,
    START,
    STIFF,
    STOP,
)
from nlmebayes.solver.shared import schedule
from nlmebayes.solver.shared.kernel import cached
from nlmebayes.solver.shared.link import keep, lend

ROOM = 64  # rows of the tape for the steps of a course, before it grows


@cached
def _begin(pb, b, head, time, unit, initial, tape, row, recorded):
    """State, rates and running infusions at the start of a course; returns the tape, its next row, and success."""
    n, ok = len(b.state), True
    b.rate[:] = 0.0
    b.running[:] = 0
    b.control[:] = 0.0
    b.control[march.BEGAN] = time
    b.control[march.METHOD] = STIFF if pb.tol[2] == 2.0 else EXPLICIT
    for i in range(n):
        b.state[i] = initial[i, unit] if len(initial) > 0 else 0.0
    tape, row = march.row_of(tape, row, BEGIN, time, unit, 0, 0, head, b)
    if head < 0:
        return tape, row, True
    unit, target = pb.of_dose[head, 0], pb.routes[pb.of_dose[head, 1]]
    if pb.doses[head, 4] <= 0.0:
        b.rate[target] = pb.given[1, head]
        b.running[target] = 1
        ok = steady.constant(pb, b, time, unit)
        tape, row = march.row_of(tape, row, CONSTANT, time, unit, 0, 0, head, b)
        if len(pb.cases) > FIRST_CASE:
            tape, row = events.held(pb, b, time, unit, events.NONE, tape, row)
    else:
        running, _, _ = schedule.implied(pb.given, pb.doses, head)
        b.running[target] = running
        found, at, ok = steady.periodic(pb, b, head, time, running, tape, row, recorded)
        if recorded:
            tape, row = found, at
        b.control[march.COUNT] = 0.0
    for i in range(n):
        b.state[i] = 0.0 if pb.collecting[i] else b.state[i]
    return tape, row, ok


@cached
def _course(pb, b, course, initial, starts, stops, of_start, of_stop, y, tape, row, recorded):
    """One course; returns the tape, its next row, and success."""
    records, of_record, head = pb.records, pb.of_record, course[4]
    i, last = course[0], course[1]
    n_start, n_stop, time = schedule.starts_and_stops(
        course, records, pb.doses, pb.given, starts, stops, of_start, of_stop
    )
    dosed = pb.doses[head, 0] if head >= 0 else 0.0
    if head < 0:
        time = records[i, 0]
    gathers = head >= 0 and time < dosed and pb.collecting.any()
    j = k = 0
    interval.tolerances(pb, b, course, initial)
    tape, row, ok = _begin(pb, b, head, time, of_record[i, 0], initial, tape, row, recorded)
    while ok and i < last:
        unit = of_record[i, 0]
        at, position, is_start = interval.next_event(starts, stops, n_start, n_stop, j, k)
        empties = gathers and at >= dosed
        if empties:
            at, position, gathers = dosed, -np.inf, False
        m = interval.until(records, of_record, i, last, at, position)
        event = m < last and of_record[m, 0] == unit
        end = at if event else records[m - 1, 0]
        tape, row, ok = interval.integrate(pb, b, time, end, unit, i, m, y, tape, row)
        i, time = m, max(time, end)
        if not event:
            continue
        if empties:
            tape, row = march.row_of(tape, row, EMPTY, time, unit, 0, 0, -1, b)
            for p in range(len(b.state)):
                b.state[p] = 0.0 if pb.collecting[p] else b.state[p]
            continue
        which = of_start[j] if is_start else of_stop[k]
        tape, row = march.row_of(tape, row, START if is_start else STOP, time, unit, 0, 0, which, b)
        interval.apply(pb, b, is_start, which)
        if is_start:
            j += 1
        else:
            k += 1
    return tape, row, ok


@cached
def forward(pb, courses, initial, most, y, failed, tape):
    """States ``reads`` at the records into ``y`` (read, record), whether each failed; returns the tape and its rows.

    Where a course fails, it reads 1 at the records from there on, and has no rows.
    """
    starts, stops = np.empty((2, most)), np.empty((2, most))
    of_start, of_stop = np.empty(most, np.int64), np.empty(most, np.int64)
    owner = march.body(len(pb.collecting), pb.par.shape[1], len(pb.cases) - FIRST_CASE)
    row, recorded = len(tape) - len(tape), len(tape) > 0
    b = march.lent(owner)
    for c in range(len(courses)):
        before = row
        for i in range(courses[c, 0], courses[c, 1]):
            if pb.of_record[i, 1] >= 0:
                y[0, pb.of_record[i, 1]] = np.nan
        tape, row, ok = _course(pb, b, courses[c], initial, starts, stops, of_start, of_stop, y, tape, row, recorded)
        if ok:
            continue
        row = before
        for i in range(courses[c, 0], courses[c, 1]):
            place = pb.of_record[i, 1]
            if place >= 0 and np.isnan(y[0, place]):
                failed[place] = True
                for p in range(len(pb.reads)):
                    y[p, place] = 1.0
    keep(owner.state)
    return tape, row


@cached
def backward(pb, q, ybar, tape, rows, timed, initialbar):
    """Adjoint of `forward` from its tape."""
    stop = rows
    for row in range(rows - 1, -1, -1):
        if tape[row, KIND] != BEGIN:
            continue
        q.w[:] = 0.0
        q.rbar[:] = 0.0
        unit, head, first = int(tape[row, march.UNIT]), int(tape[row, march.WHICH]), row + 1
        if head >= 0 and tape[first, KIND] == CYCLE:
            while tape[first, KIND] != PERIODIC:
                first += 1
        first += 1 if head >= 0 else 0
        sweep.rows(pb, q, tape, first, stop, ybar, timed)
        if head < 0:
            for i in range(len(initialbar)):
                initialbar[i, unit] += q.w[i]
        elif tape[row + 1, KIND] == CONSTANT:
            steady.unconstant(pb, q, tape, row + 1)
        else:
            running, _, _ = schedule.implied(pb.given, pb.doses, head)
            steady.unperiodic(pb, q, tape, row + 1, first, running, timed)
        stop = row


@cached
def _by_unit(parameters, held):
    """(unit, parameter and what is held) from (parameter, unit)."""
    par = np.zeros((parameters.shape[1], parameters.shape[0] + held))
    for j in range(parameters.shape[0]):
        for unit in range(parameters.shape[1]):
            par[unit, j] = parameters[j, unit]
    return par


@cached
def _problem(law, par, tol, cases, records, of_record, reads, doses, of_dose, routes, given, collecting):
    """A `march.Problem` that is not counted."""
    return march.Problem(
        law, lend(par), lend(tol), lend(cases), lend(records), lend(of_record), lend(reads), lend(doses), lend(of_dose),
        lend(routes), lend(given), lend(collecting),
    )  # fmt: skip


@cached
def _possible(capacity, par, initial):
    return capacity >= 0 and np.isfinite(par).all() and np.isfinite(initial).all()


@cached
def states(law, routes, reads, collecting, tol, cases, courses, records, of_record, doses, of_dose, parameters, initial,
           fraction, lag, extra):  # fmt: skip
    """States ``reads`` at the records (draw, read, record), which of them failed (draw, record), and the tape of a
    single draw. Several draws leave no tape, as only a sampler, which has one, needs it."""
    draws, n, size = parameters.shape[0], len(collecting), 0
    for i in range(len(of_record)):
        size = max(size, of_record[i, 1] + 1)
    y, failed = np.zeros((draws, len(reads), size)), np.zeros((draws, size), np.bool_)
    given = np.empty((4, len(doses)))
    width = HEADER + max(10 * n, 2 * (n + len(cases) - FIRST_CASE))
    tape = np.empty((0, width))
    for s in range(draws):
        capacity, most = schedule.plan(courses, doses, of_dose, fraction[s], lag[s], extra[s], given)
        par = _by_unit(parameters[s], len(cases) - FIRST_CASE)
        if not _possible(capacity, par, initial[s]):
            y[s] = 1.0
            failed[s] = True
            continue
        if draws == 1:
            tape = np.empty((capacity + ROOM * len(courses), width))
        pb = _problem(law, par, tol, cases, records, of_record, reads, doses, of_dose, routes, given, collecting)
        tape, rows = forward(pb, courses, initial[s], most, y[s], failed[s], tape)
        keep(par)
        if draws == 1:
            tape[0, march.ROWS] = rows
    keep(given)
    return y, failed, tape


@cached
def pullback(law, routes, reads, collecting, tol, cases, courses, records, of_record, doses, of_dose, parameters,
             initial, fraction, lag, extra, ybar, tape):  # fmt: skip
    """Adjoint of `states`: slopes in parameters, initial states, fraction, lag and extra."""
    draws, n = parameters.shape[0], len(collecting)
    parametersbar, initialbar = np.zeros_like(parameters), np.zeros_like(initial)
    fractionbar, lagbar, extrabar = np.zeros_like(fraction), np.zeros_like(lag), np.zeros_like(extra)
    given, givenbar = np.empty((4, len(doses))), np.empty((4, len(doses)))
    timed = lag.shape[1] > 0 or (doses[:, 3] != schedule.BOLUS).any()
    y, failed = np.empty(ybar.shape[1:]), np.empty(ybar.shape[2], np.bool_)
    for s in range(draws):
        capacity, most = schedule.plan(courses, doses, of_dose, fraction[s], lag[s], extra[s], given)
        par = _by_unit(parameters[s], len(cases) - FIRST_CASE)
        if not _possible(capacity, par, initial[s]):
            continue
        pb = _problem(law, par, tol, cases, records, of_record, reads, doses, of_dose, routes, given, collecting)
        rows = int(tape[0, march.ROWS]) if len(tape) > 0 else 0
        if draws > 1 or len(tape) == 0:
            tape = np.empty((capacity + ROOM * len(courses), HEADER + max(10 * n, 2 * (n + len(cases) - FIRST_CASE))))
            tape, rows = forward(pb, courses, initial[s], most, y, failed, tape)
        givenbar[:] = 0.0
        parbar = np.zeros_like(par)
        q = sweep.adjoint(np.zeros(n), parbar, givenbar, len(cases) - FIRST_CASE)
        backward(pb, sweep.lent(q), ybar[s], tape, rows, timed, initialbar[s])
        keep(q.w)
        for unit in range(par.shape[0]):
            for j in range(parameters.shape[1]):
                parametersbar[s, j, unit] = parbar[unit, j]
        schedule.to_parameters(
            doses, of_dose, given, givenbar, fraction[s], extra[s], fractionbar[s], lagbar[s], extrabar[s]
        )
    return parametersbar, initialbar, fractionbar, lagbar, extrabar
