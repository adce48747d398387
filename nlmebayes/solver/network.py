"""Amounts of a network of linear compartments at the records of every course, and the adjoint of that.

A *course* is a run of records and doses of one subject that starts empty or at a steady state (see
`nlmebayes.timeline`). Between events the system is carried by `modal` (one central state with peripherals, fed by at
most one depot) or by `dense` (any other network). Events are sorted anew in every evaluation, because lag times and
durations are parameters. The forward run writes each step on a tape, which the adjoint reads backwards, so that the
cost is linear in records and doses.
"""

import math

import numpy as np

from nlmebayes.solver import dense, modal, schedule, single, system
from nlmebayes.solver.kernel import cached, inlined

# Kinds of events; EMPTY is the record of a steady-state dose, from which collecting states start.
RECORD, START, STOP, CYCLE, PHASE, PERIODIC, CONSTANT, EMPTY = range(8)
HEADER = 6  # columns of the tape before the state: h, unit, kind of event, of which, first of a course, infusions run


@inlined
def _write(tape, row, h, unit, what, which, first, fed, state):
    """One row of the tape: the step of length h, then the event. Input rates are written only where there are some."""
    if len(tape) > 0:
        n = state.shape[1]
        tape[row, 0], tape[row, 1], tape[row, 2], tape[row, 3] = h, unit, what, which
        tape[row, 4], tape[row, 5] = first, fed
        for i in range(n):
            tape[row, HEADER + i] = state[modal.X, i]
        if fed:
            for i in range(n):
                tape[row, HEADER + n + i] = state[modal.R, i]


@cached
def _cycle(head, doses, of_dose, routes, given, kind, a, basis, collecting, state, running, tape, row, work):
    """The steady state just before an implied dose, from one cycle; ``state`` is empty. Returns the tape's next row."""
    unit, target, period = of_dose[head, 0], routes[of_dose[head, 1]], doses[head, 4]
    rate, duration = given[1, head], given[2, head]
    x, r = state[modal.X], state[modal.R]
    if period <= 0.0:
        _write(tape, row, 0.0, unit, CONSTANT, head, 0, False, state)
        x[target] = rate
        system.balance(a[unit], collecting, x)
        r[target] = rate
        return row + 1
    _write(tape, row, 0.0, unit, CYCLE, head, 0, False, state)
    row += 1
    h = period
    if duration > 0.0:
        r[target] = (running + 1) * rate
        rest = duration - running * period
        _write(tape, row, rest, unit, PHASE, head, 0, True, state)
        system.advance(rest, unit, kind, a, basis, state, True, work)
        r[target] = running * rate
        h = period - rest
        row += 1
    else:
        x[target] = given[0, head]
    _write(tape, row, h, unit, PERIODIC, head, 0, running > 0, state)
    if h > 0.0:
        system.advance(h, unit, kind, a, basis, state, running > 0, work)
    system.periodic(period, unit, kind, a, basis, collecting, x, False, work)
    return row + 1


@cached
def forward(edges, routes, reads, kind, courses, records, of_record, doses, of_dose, rates, y, tape, given, most):
    """Add the amounts of the states ``reads`` at the records to ``y`` (read, record); returns rows of tape written.

    On a tape of length 0 nothing is written. ``given`` and ``most`` are those of `schedule.plan`.
    """
    n = kind[0]
    a, basis = system.prepare(rates, edges, kind)
    collecting = system.collecting_states(edges, n)
    starts, stops = np.empty((2, most)), np.empty((2, most))
    of_start, of_stop = np.empty(most, np.int64), np.empty(most, np.int64)
    state, active = np.zeros((modal.ROWS, n)), np.zeros(n, np.int64)
    work = np.zeros((8, n + 1, n + 1))
    depot, central, modes, kept = kind[1], kind[2], kind[3], HEADER + 2 * n
    row = 0
    for c in range(len(courses)):
        course = courses[c]
        head, i, last = course[4], course[0], course[1]
        n_start, n_stop, time = schedule.starts_and_stops(course, doses, given, starts, stops, of_start, of_stop)
        state[:] = 0.0
        active[:] = 0
        infusions, j, k, first = 0, 0, 0, 1
        if head >= 0:
            running, _, _ = schedule.implied(given, doses, head)
            row = _cycle(
                head, doses, of_dose, routes, given, kind, a, basis, collecting, state, running, tape, row, work
            )
            infusions = running if doses[head, 4] > 0.0 else 1
            active[routes[of_dose[head, 1]]] = infusions
            first = 0
        while i < last:
            unit = of_record[i, 0]
            at, position, what, which = records[i, 0], records[i, 1], RECORD, i
            if j < n_start and (starts[0, j] < at or (starts[0, j] == at and starts[1, j] < position)):
                at, what, which = starts[0, j], START, of_start[j]
            if k < n_stop and (stops[0, k] < at or (stops[0, k] == at and what == RECORD)):  # never before its start
                at, what, which = stops[0, k], STOP, of_stop[k]
            if head >= 0 and what == RECORD and i == course[0]:
                what = EMPTY
            h = 0.0 if first == 1 else at - time
            time = at
            if len(tape) > 0:  # as `_write`, whose call would cost more than the step
                tape[row, 0], tape[row, 1], tape[row, 2], tape[row, 3] = h, unit, what, which
                tape[row, 4], tape[row, 5] = first, infusions > 0
                for p in range(n):
                    tape[row, HEADER + p] = state[modal.X, p]
                    if infusions > 0:
                        tape[row, HEADER + n + p] = state[modal.R, p]
            row += 1
            first = 0
            if h > 0.0:
                if modes == 1 and infusions == 0:
                    m = state[modal.X, central]
                    if depot >= 0:
                        ka, g = basis[unit, 0], state[modal.X, depot]
                        ea, e, al, aal = single.exponentials(h, ka, basis[unit, 1])
                        state[modal.X, depot] = g * ea
                        state[modal.X, central] = m * e + ka * g * al
                    else:
                        ea, e, al, aal = 0.0, math.exp(-basis[unit, 1] * h), 0.0, 0.0
                        state[modal.X, central] = m * e
                    if len(tape) > 0:
                        tape[row - 1, kept], tape[row - 1, kept + 1] = ea, e
                        tape[row - 1, kept + 2], tape[row - 1, kept + 3] = al, aal
                elif modes > 0:
                    modal.step(h, unit, depot, central, modes, basis, state, infusions > 0)
                else:
                    dense.step(h, a[unit], state, work)
            if what == RECORD:
                i += 1
                place = of_record[which, 1]
                if place >= 0:
                    for p in range(len(reads)):
                        y[p, place] += state[modal.X, reads[p]]
                continue
            if what == EMPTY:
                i += 1
                system.empty(state[modal.X], collecting)
                continue
            target = routes[of_dose[which, 1]]
            if what == STOP:
                k += 1
                active[target] -= 1
                infusions -= 1
                left = state[modal.R, target] - given[1, which]
                state[modal.R, target] = left if active[target] > 0 else 0.0
                continue
            j += 1
            if given[2, which] > 0.0:
                state[modal.R, target] += given[1, which]
                active[target] += 1
                infusions += 1
            else:
                state[modal.X, target] += given[0, which]
    return row


@cached
def reverse(edges, routes, reads, kind, of_record, doses, of_dose, rates, given, ybar, tape, rows, timed, ratesbar,
            givenbar):  # fmt: skip
    """Adjoint of `forward` from its tape: ``ratesbar`` (edge, unit), ``givenbar`` (amount, rate, duration, lag).

    ``timed``: whether a time depends on parameters (lag, duration).
    """
    n, units = kind[0], rates.shape[1]
    a, basis = system.prepare(rates, edges, kind)
    collecting = system.collecting_states(edges, n)
    depot, central, modes, kept = kind[1], kind[2], kind[3], HEADER + 2 * n
    modal_slopes = np.zeros((units if modes > 0 else 0, modes + 1, max(2, modes)))
    slopes, work, state = np.zeros((units, n, n)), np.zeros((8, n + 1, n + 1)), np.zeros((modal.ROWS, n))
    later = 0.0
    for row in range(rows - 1, -1, -1):
        h, unit, what, which = tape[row, 0], int(tape[row, 1]), int(tape[row, 2]), int(tape[row, 3])
        if what == RECORD:
            place = of_record[which, 1]
            if place >= 0:
                for p in range(len(reads)):
                    state[modal.W, reads[p]] += ybar[p, place]
        elif what == EMPTY:
            system.empty(state[modal.W], collecting)
        elif what == START and given[2, which] == 0.0:
            givenbar[0, which] += state[modal.W, routes[of_dose[which, 1]]]
        else:
            _undo(row, unit, what, which, routes, kind, doses, of_dose, given, a, basis, collecting, tape, state,
                  modal_slopes, slopes, work, givenbar)  # fmt: skip
        fed = tape[row, 5] == 1.0
        if modes == 1 and not fed and not timed and what <= STOP:
            if h > 0.0:
                g = tape[row, HEADER + depot] if depot >= 0 else 0.0
                wg = state[modal.W, depot] if depot >= 0 else 0.0
                wg, w, slope, flow, loss = single.adjoint(
                    h, basis[unit, 0], g, tape[row, HEADER + central], wg, state[modal.W, central],
                    tape[row, kept], tape[row, kept + 1], tape[row, kept + 2], tape[row, kept + 3],
                )  # fmt: skip
                state[modal.W, central] = w
                modal_slopes[unit, 0, 0] += slope
                if depot >= 0:
                    state[modal.W, depot] = wg
                    modal_slopes[unit, 1, 0] += flow
                    modal_slopes[unit, 1, 1] += loss
        else:
            for i in range(n):
                state[modal.X, i] = tape[row, HEADER + i]
                state[modal.R, i] = tape[row, HEADER + n + i] if fed else 0.0
            if h > 0.0 and modes > 0:
                modal.adjoint(h, unit, depot, central, modes, basis, state, fed, modal_slopes)
            elif h > 0.0:
                dense.adjoint(h, a[unit], state, slopes[unit], work)
        if timed:
            # w . dx/dt is constant along a step: the slope of the outcome in its length. The step after a steady
            # state starts at the time of the next event, whatever the parameters.
            earlier = 0.0
            if not (row > 0 and tape[row - 1, 2] == PERIODIC):
                for i in range(n):
                    flow = state[modal.R, i]
                    for j in range(n):
                        flow += a[unit, i, j] * state[modal.X, j]
                    earlier += state[modal.W, i] * flow
            if what in (START, STOP):
                givenbar[3, which] += earlier - later
            if what in (STOP, PHASE):
                givenbar[2, which] += earlier - later
            later = earlier
        if tape[row, 4] == 1.0:
            state[modal.W] = 0.0
            state[modal.RBAR] = 0.0
    system.to_edges(edges, kind, basis, modal_slopes, slopes, ratesbar)


@cached
def _undo(row, unit, what, which, routes, kind, doses, of_dose, given, a, basis, collecting, tape, state, modal_slopes,
          slopes, work, givenbar):  # fmt: skip
    """Adjoint of the start or end of an infusion, or of a steady state."""
    w, rbar = state[modal.W], state[modal.RBAR]
    target, period = routes[of_dose[which, 1]], doses[which, 4]
    n = len(w)
    if what == START:
        givenbar[1, which] += rbar[target]
    elif what in (STOP, PHASE):
        givenbar[1, which] -= rbar[target]
    elif what == CONSTANT:
        system.balance(a[unit].T, collecting, w)
        for i in range(n):
            for j in range(n):
                slopes[unit, i, j] += w[i] * tape[row + 1, HEADER + j]
        givenbar[1, which] += w[target] + rbar[target]
    elif what == PERIODIC:
        system.periodic(period, unit, kind, a, basis, collecting, w, True, work)
        before = state.copy()
        for i in range(n):
            before[modal.X, i] = tape[row + 1, HEADER + i]
        before[modal.R] = 0.0
        system.retreat(period, unit, kind, a, basis, before, False, modal_slopes, slopes, work)
    elif what == CYCLE:
        if given[2, which] > 0.0:
            running, _, _ = schedule.implied(given, doses, which)
            givenbar[1, which] += (running + 1) * rbar[target]
        else:
            givenbar[0, which] += w[target]
    if what in (CYCLE, CONSTANT):
        w[:] = 0.0
        rbar[:] = 0.0


@cached
def _width(kind):
    """Columns of the tape."""
    return HEADER + 2 * kind[0] + single.KEPT


@cached
def amounts(edges, routes, reads, kind, courses, records, of_record, doses, of_dose, rates, fraction, lag, extra):
    """Amounts of the states ``reads`` at the records, (draw, read, record), and the tape of a single draw.

    The amounts are NaN where a draw has no solution. With several draws the tape is empty, as only a sampler, which has
    one, needs it.
    """
    size = 0
    for i in range(len(of_record)):
        size = max(size, of_record[i, 1] + 1)
    y = np.zeros((rates.shape[0], len(reads), size))
    given = np.empty((4, len(doses)))
    tape = np.empty((0, _width(kind)))
    for s in range(rates.shape[0]):
        capacity, most = schedule.plan(courses, doses, of_dose, fraction[s], lag[s], extra[s], given)
        if capacity < 0:
            y[s] = np.nan
            continue
        if rates.shape[0] == 1:
            tape = np.empty((capacity, _width(kind)))
        rows = forward(edges, routes, reads, kind, courses, records, of_record, doses, of_dose, rates[s], y[s], tape,
                       given, most)  # fmt: skip
        tape = tape[:rows] if rates.shape[0] == 1 else tape
    return y, tape


@cached
def pullback(edges, routes, reads, kind, courses, records, of_record, doses, of_dose, rates, fraction, lag, extra,
             ybar, tape):  # fmt: skip
    """Adjoint of `amounts`: slopes in rates, fraction, lag and extra, each with the shape of its input."""
    ratesbar, fractionbar = np.zeros_like(rates), np.zeros_like(fraction)
    lagbar, extrabar = np.zeros_like(lag), np.zeros_like(extra)
    given, givenbar = np.empty((4, len(doses))), np.empty((4, len(doses)))
    timed = lag.shape[1] > 0 or (doses[:, 3] != schedule.BOLUS).any()
    y = np.empty(ybar.shape[1:])
    for s in range(rates.shape[0]):
        capacity, most = schedule.plan(courses, doses, of_dose, fraction[s], lag[s], extra[s], given)
        if capacity < 0:
            ratesbar[s], fractionbar[s], lagbar[s], extrabar[s] = np.nan, np.nan, np.nan, np.nan
            continue
        rows = len(tape)
        if rates.shape[0] > 1 or rows == 0:
            tape = np.empty((capacity, _width(kind)))
            rows = forward(edges, routes, reads, kind, courses, records, of_record, doses, of_dose, rates[s], y, tape,
                           given, most)  # fmt: skip
        givenbar[:] = 0.0
        reverse(edges, routes, reads, kind, of_record, doses, of_dose, rates[s], given, ybar[s], tape, rows, timed,
                ratesbar[s], givenbar)  # fmt: skip
        schedule.to_parameters(
            doses, of_dose, given, givenbar, fraction[s], extra[s], fractionbar[s], lagbar[s], extrabar[s]
        )
    return ratesbar, fractionbar, lagbar, extrabar
