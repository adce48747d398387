"""Amounts of a network of linear compartments at the records of every course, and the adjoint of that.

A *course* is a run of records and doses of one subject that starts empty or at a steady state (see
`nlmebayes.timeline`). Between events the system is carried by `modal` (one central state with peripherals, fed by at
most one depot) or by `dense` (any other network). Events are sorted anew in every evaluation, because lag times and
durations are parameters. The forward run writes each step on a tape, which the adjoint reads backwards, so that the
cost is linear in records and doses.
"""

import math

import numpy as np

from nlmebayes.solver import dense, modal, single
from nlmebayes.solver.kernel import cached, inlined

# Kinds of events; EMPTY is the record of a steady-state dose, from which collecting states start.
RECORD, START, STOP, CYCLE, PHASE, PERIODIC, CONSTANT, EMPTY = range(8)
HEADER = 6  # columns of the tape before the state: h, unit, kind of event, of which, first of a course, infusions run
MOST = 1000  # implied doses of a steady state that still act; beyond, the point is rejected
BOLUS, MODELLED_RATE, MODELLED_DURATION = 0.0, -1.0, -2.0  # NONMEM's codes of RATE


@cached
def _matrices(rates, edges, kind, a, out):
    """The matrix of each unit, (unit, state, state), and the rate at which its central state leaves the modes."""
    central, last = kind[3], kind[3] + kind[4]
    a[:] = 0.0
    out[:] = 0.0
    for e in range(len(edges)):
        source, target, kept = edges[e]
        for u in range(rates.shape[1]):
            k = rates[e, u]
            if target >= 0:
                a[u, target, source] += k
            if kept == 0:
                a[u, source, source] -= k
            if source == central and (target < central or target >= last):
                out[u] += k


@cached
def _prepare(rates, edges, kind):
    """Matrix and modal basis of every unit; the basis is empty for the dense kernel."""
    units, n, count = rates.shape[1], kind[0], kind[4]
    a, out = np.empty((units, n, n)), np.zeros(units)
    _matrices(rates, edges, kind, a, out)
    basis = np.zeros((units if count > 0 else 0, modal.width(count)))
    for u in range(len(basis)):
        modal.decompose(a[u], out[u], kind[3], count, basis[u])
        if kind[2] >= 0:
            basis[u, 0] = a[u, kind[3], kind[2]]
    return a, basis


@cached
def _doses(doses, of_dose, routes, fraction, lag, extra, given):
    """Per dose: amount, rate (0 for a bolus), duration and lag, into ``given`` (4, dose)."""
    for k in range(len(doses)):
        unit, route = of_dose[k]
        amount, rate = doses[k, 2], doses[k, 3]
        if fraction.shape[0] > 0:
            amount *= fraction[route, unit]
        given[0, k], given[1, k], given[2, k] = amount, 0.0, 0.0
        given[3, k] = lag[route, unit] if lag.shape[0] > 0 else 0.0
        if rate > 0.0:
            given[1, k], given[2, k] = rate, amount / rate
        elif rate == MODELLED_RATE:
            given[1, k] = extra[route, unit]
            given[2, k] = amount / given[1, k]
        elif rate == MODELLED_DURATION:
            given[2, k] = extra[route, unit]
            given[1, k] = amount / given[2, k]


@cached
def _implied(given, doses, head):
    """(running, phase, pending) of a steady-state dose: infusions that still run, lag within the cycle, doses to come.

    Running is -1 where they are too many or not finite.
    """
    period, lag, duration = doses[head, 4], given[3, head], given[2, head]
    if period <= 0.0:
        return 0, 0.0, 0
    if not (0.0 <= lag < MOST * period and duration < MOST * period and given[0, head] < np.inf):
        return -1, 0.0, 0
    running = 0 if given[1, head] == 0.0 else max(0, math.ceil(duration / period) - 1)
    pending = math.floor(lag / period)
    return running, lag - pending * period, pending


@cached
def _sorted(times, positions, which, n):
    """Insertion sort by (time, position), which is linear on the almost sorted lists met here."""
    for i in range(1, n):
        time, position, k = times[i], positions[i], which[i]
        j = i - 1
        while j >= 0 and (times[j] > time or (times[j] == time and positions[j] > position)):
            times[j + 1], positions[j + 1], which[j + 1] = times[j], positions[j], which[j]
            j -= 1
        times[j + 1], positions[j + 1], which[j + 1] = time, position, k


@cached
def _starts_and_stops(course, doses, given, starts, stops, of_start, of_stop):
    """Times at which doses of a course start and infusions stop, sorted; returns (how many, how many, time of begin).

    ``starts`` and ``stops`` hold times and positions; a steady-state head brings its implied doses.
    """
    n = m = 0
    head, begin = course[4], 0.0
    if head >= 0:
        time, period, duration = doses[head, 0], doses[head, 4], given[2, head]
        running, phase, pending = _implied(given, doses, head)
        begin = time
        if period <= 0.0:
            stops[0, m], stops[1, m], of_stop[m] = time + given[3, head], -np.inf, head
            m += 1
        else:
            first = 0 if given[3, head] > 0.0 else 1
            begin = time + phase - (1 - first) * period
            for j in range(1, running + 1):
                stops[0, m], stops[1, m], of_stop[m] = begin - j * period + duration, -np.inf, head
                m += 1
            for j in range(pending + 2 - first):
                at = begin + j * period
                starts[0, n], starts[1, n], of_start[n] = at, doses[head, 1], head
                n += 1
                if given[1, head] > 0.0:
                    stops[0, m], stops[1, m], of_stop[m] = at + duration, -np.inf, head
                    m += 1
    for k in range(course[2], course[3]):
        at = doses[k, 0] + given[3, k]
        starts[0, n], starts[1, n], of_start[n] = at, doses[k, 1], k
        n += 1
        if given[1, k] > 0.0:
            stops[0, m], stops[1, m], of_stop[m] = at + given[2, k], -np.inf, k
            m += 1
    _sorted(starts[0], starts[1], of_start, n)
    _sorted(stops[0], stops[1], of_stop, m)
    return n, m, begin


@cached
def _capacity(courses, doses, given):
    """(rows of the tape, most starts or stops of a course), or (-1, -1) if a steady state cannot be reached."""
    rows, most = 0, 1
    for course in courses:
        n = 2 * (course[3] - course[2])
        if course[4] >= 0:
            running, _, pending = _implied(given, doses, course[4])
            if running < 0:
                return -1, -1
            n += running + 2 * (pending + 2) + 4
        rows += n + course[1] - course[0] + 1
        most = max(most, n)
    return rows, most


@cached
def _advance(h, unit, kind, a, basis, state, fed, work):
    if kind[4] > 0:
        modal.step(h, unit, kind[2], kind[3], kind[4], basis, state, fed)
    else:
        dense.step(h, a[unit], state, work)


@cached
def _retreat(h, unit, kind, a, basis, state, fed, modal_slopes, slopes, work):
    if kind[4] > 0:
        modal.adjoint(h, unit, kind[2], kind[3], kind[4], basis, state, fed, modal_slopes)
    else:
        dense.adjoint(h, a[unit], state, slopes[unit], work)


@cached
def _periodic(period, unit, kind, a, basis, collecting, x, transposed, work):
    """x = (1 - P)^-1 x (or with the transpose) for the propagator P of one period; collecting states are left empty."""
    if kind[4] > 0 and transposed:
        modal.periodic_adjoint(period, unit, kind[2], kind[3], kind[4], basis, x)
    elif kind[4] > 0:
        modal.periodic(period, unit, kind[2], kind[3], kind[4], basis, x)
    else:
        zero = work[7, 0]
        zero[:] = 0.0
        halvings = dense.scaled(a[unit], zero, period, transposed, work[0])
        dense.exponential_minus_one(work[0], halvings, work[1], work[2], work[3])
        _balance(work[1], collecting, x)


@cached
def _balance(d, collecting, x):
    """Solve -d x = x over the states that do not collect, which are left empty."""
    n = len(x)
    matrix, b = np.eye(n), np.zeros(n)
    for i in range(n):
        if not collecting[i]:
            b[i] = x[i]
            for j in range(n):
                if not collecting[j]:
                    matrix[i, j] = -d[i, j]
    dense.solve(matrix, b)
    x[:] = b


@cached
def _empty(x, collecting):
    for i in range(len(x)):
        if collecting[i]:
            x[i] = 0.0


@cached
def _collecting(edges, n):
    """Whether a state has no way out, such as urine."""
    found = np.ones(n, np.bool_)
    for e in range(len(edges)):
        if edges[e, 2] == 0:
            found[edges[e, 0]] = False
    return found


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
    """The steady state just before an implied dose, from one cycle that starts empty; returns the tape's next row."""
    unit, target, period = of_dose[head, 0], routes[of_dose[head, 1]], doses[head, 4]
    rate, duration = given[1, head], given[2, head]
    x, r = state[modal.X], state[modal.R]
    if period <= 0.0:
        _write(tape, row, 0.0, unit, CONSTANT, head, 0, False, state)
        x[:] = 0.0
        x[target] = rate
        _balance(a[unit], collecting, x)
        r[target] = rate
        return row + 1
    _write(tape, row, 0.0, unit, CYCLE, head, 0, False, state)
    x[:] = 0.0
    row += 1
    h = period
    if rate > 0.0:
        r[target] = (running + 1) * rate
        rest = duration - running * period
        _write(tape, row, rest, unit, PHASE, head, 0, True, state)
        _advance(rest, unit, kind, a, basis, state, True, work)
        r[target] = running * rate
        h = period - rest
        row += 1
    else:
        x[target] = given[0, head]
    _write(tape, row, h, unit, PERIODIC, head, 0, running > 0, state)
    if h > 0.0:
        _advance(h, unit, kind, a, basis, state, running > 0, work)
    _periodic(period, unit, kind, a, basis, collecting, x, False, work)
    return row + 1


@cached
def forward(edges, routes, reads, kind, courses, records, of_record, doses, of_dose, rates, y, tape, given):
    """Add the amounts of the states ``reads`` at the records to ``y`` (read, record); returns rows of tape written.

    On a tape of length 0 nothing is written.
    """
    n = kind[0]
    a, basis = _prepare(rates, edges, kind)
    collecting = _collecting(edges, n)
    _, most = _capacity(courses, doses, given)
    starts, stops = np.empty((2, most)), np.empty((2, most))
    of_start, of_stop = np.empty(most, np.int64), np.empty(most, np.int64)
    state, active = np.zeros((modal.ROWS, n)), np.zeros(n, np.int64)
    work = np.zeros((8, n + 1, n + 1))
    depot, central, modes, kept = kind[2], kind[3], kind[4], HEADER + 2 * n
    row = 0
    for c in range(len(courses)):
        course = courses[c]
        head, i, last = course[4], course[0], course[1]
        n_start, n_stop, time = _starts_and_stops(course, doses, given, starts, stops, of_start, of_stop)
        state[:] = 0.0
        active[:] = 0
        infusions, j, k, first = 0, 0, 0, 1
        if head >= 0:
            running, _, _ = _implied(given, doses, head)
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
            if k < n_stop and stops[0, k] <= at:
                at, what, which = stops[0, k], STOP, of_stop[k]
            if head >= 0 and what == RECORD and i == course[0]:
                what = EMPTY
            h = 0.0 if first == 1 else at - time
            time = at
            _write(tape, row, h, unit, what, which, first, infusions > 0, state)
            row += 1
            first = 0
            if h > 0.0:
                if modes == 1 and infusions == 0:
                    single.step(h, unit, depot, central, basis, state, tape, row - 1, kept)
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
                _empty(state[modal.X], collecting)
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
            if given[1, which] > 0.0:
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
    a, basis = _prepare(rates, edges, kind)
    collecting = _collecting(edges, n)
    depot, central, modes, kept = kind[2], kind[3], kind[4], HEADER + 2 * n
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
            _empty(state[modal.W], collecting)
        elif what == START and given[1, which] == 0.0:
            givenbar[0, which] += state[modal.W, routes[of_dose[which, 1]]]
        else:
            _undo(row, unit, what, which, routes, kind, doses, of_dose, given, a, basis, collecting, tape, state,
                  modal_slopes, slopes, work, givenbar)  # fmt: skip
        fed = tape[row, 5] == 1.0
        if modes == 1 and not fed and not timed and what <= STOP:
            if h > 0.0:
                single.adjoint(h, unit, depot, central, basis, state, modal_slopes, tape, row, HEADER, kept)
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
    _to_edges(edges, kind, basis, modal_slopes, slopes, ratesbar)


@cached
def _undo(row, unit, what, which, routes, kind, doses, of_dose, given, a, basis, collecting, tape, state, modal_slopes,
          slopes, work, givenbar):  # fmt: skip
    """Adjoint of a dose, of the end of an infusion, or of a steady state."""
    w, rbar = state[modal.W], state[modal.RBAR]
    target, period = routes[of_dose[which, 1]], doses[which, 4]
    n, infused = len(w), given[1, which] > 0.0
    if what == START:
        if infused:
            givenbar[1, which] += rbar[target]
        else:
            givenbar[0, which] += w[target]
    elif what in (STOP, PHASE):
        givenbar[1, which] -= rbar[target]
    elif what == CONSTANT:
        _balance(a[unit].T, collecting, w)
        for i in range(n):
            for j in range(n):
                slopes[unit, i, j] += w[i] * tape[row + 1, HEADER + j]
        givenbar[1, which] += w[target] + rbar[target]
    elif what == PERIODIC:
        _periodic(period, unit, kind, a, basis, collecting, w, True, work)
        before = state.copy()
        for i in range(n):
            before[modal.X, i] = tape[row + 1, HEADER + i]
            if collecting[i]:
                before[modal.X, i] = 0.0
        before[modal.R] = 0.0
        _retreat(period, unit, kind, a, basis, before, False, modal_slopes, slopes, work)
    elif what == CYCLE:
        if infused:
            running = max(0, math.ceil(given[2, which] / period) - 1)
            givenbar[1, which] += (running + 1) * rbar[target]
        else:
            givenbar[0, which] += w[target]
    if what in (CYCLE, CONSTANT):
        w[:] = 0.0
        rbar[:] = 0.0


@cached
def _to_edges(edges, kind, basis, modal_slopes, slopes, ratesbar):
    """Slopes of the matrices to those of the rates."""
    depot, central, n = kind[2], kind[3], kind[4]
    forth, back = n + 1, n + 1 + n * n
    for u in range(len(slopes)):
        if n > 0:
            for j in range(n):
                for k in range(n):
                    total = 0.0
                    for i in range(n):
                        for m in range(n):
                            total += basis[u, forth + n * i + j] * modal_slopes[u, i, m] * basis[u, back + n * k + m]
                    slopes[u, central + j, central + k] += total
            if depot >= 0:
                slopes[u, central, depot] += modal_slopes[u, n, 0]
                slopes[u, depot, depot] -= modal_slopes[u, n, 1]
        for e in range(len(edges)):
            source, target, kept = edges[e]
            if target >= 0:
                ratesbar[e, u] += slopes[u, target, source]
            if kept == 0:
                ratesbar[e, u] -= slopes[u, source, source]


@cached
def _to_parameters(doses, of_dose, given, givenbar, fraction, extra, fractionbar, lagbar, extrabar):
    """Slopes of what each dose is to those of bioavailability, lag, and modelled rate or duration."""
    for k in range(len(doses)):
        unit, route = of_dose[k]
        rate, amount = doses[k, 3], givenbar[0, k]
        if rate > 0.0:
            amount += givenbar[2, k] / rate
        elif rate == MODELLED_RATE:
            modelled = extra[route, unit]
            amount += givenbar[2, k] / modelled
            extrabar[route, unit] += givenbar[1, k] - givenbar[2, k] * given[0, k] / modelled**2
        elif rate == MODELLED_DURATION:
            modelled = extra[route, unit]
            amount += givenbar[1, k] / modelled
            extrabar[route, unit] += givenbar[2, k] - givenbar[1, k] * given[0, k] / modelled**2
        if fraction.shape[0] > 0:
            fractionbar[route, unit] += amount * doses[k, 2]
        if lagbar.shape[0] > 0:
            lagbar[route, unit] += givenbar[3, k]


@cached
def _width(kind):
    """Columns of the tape."""
    return HEADER + 2 * kind[0] + single.KEPT


@cached
def _finite(given):
    """Whether every dose is a number."""
    for k in range(given.shape[1]):
        for i in range(4):
            if not np.isfinite(given[i, k]):
                return False
    return True


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
        _doses(doses, of_dose, routes, fraction[s], lag[s], extra[s], given)
        capacity = _capacity(courses, doses, given)[0] if _finite(given) else -1
        if capacity < 0:
            y[s] = np.nan
            continue
        if rates.shape[0] == 1:
            tape = np.empty((capacity, _width(kind)))
        rows = forward(edges, routes, reads, kind, courses, records, of_record, doses, of_dose, rates[s], y[s], tape,
                       given)  # fmt: skip
        tape = tape[:rows] if rates.shape[0] == 1 else tape
    return y, tape


@cached
def pullback(edges, routes, reads, kind, courses, records, of_record, doses, of_dose, rates, fraction, lag, extra,
             ybar, tape):  # fmt: skip
    """Adjoint of `amounts`: slopes in rates, fraction, lag and extra, each with the shape of its input."""
    ratesbar, fractionbar = np.zeros_like(rates), np.zeros_like(fraction)
    lagbar, extrabar = np.zeros_like(lag), np.zeros_like(extra)
    given, givenbar = np.empty((4, len(doses))), np.empty((4, len(doses)))
    timed = lag.shape[1] > 0 or (doses[:, 3] != BOLUS).any()
    y = np.empty(ybar.shape[1:])
    for s in range(rates.shape[0]):
        _doses(doses, of_dose, routes, fraction[s], lag[s], extra[s], given)
        capacity = _capacity(courses, doses, given)[0] if _finite(given) else -1
        if capacity < 0:
            ratesbar[s], fractionbar[s], lagbar[s], extrabar[s] = np.nan, np.nan, np.nan, np.nan
            continue
        rows = len(tape)
        if rates.shape[0] > 1 or rows == 0:
            tape = np.empty((capacity, _width(kind)))
            rows = forward(edges, routes, reads, kind, courses, records, of_record, doses, of_dose, rates[s], y, tape,
                           given)  # fmt: skip
        givenbar[:] = 0.0
        reverse(edges, routes, reads, kind, of_record, doses, of_dose, rates[s], given, ybar[s], tape, rows, timed,
                ratesbar[s], givenbar)  # fmt: skip
        _to_parameters(doses, of_dose, given, givenbar, fraction[s], extra[s], fractionbar[s], lagbar[s], extrabar[s])
    return ratesbar, fractionbar, lagbar, extrabar
