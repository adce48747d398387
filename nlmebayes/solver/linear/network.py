"""Amounts of a network of linear compartments at the records of every course, and the adjoint of that.

Between events the system is carried by `modal` (one central state with peripherals, fed by at most one depot) or by
`dense` (any other network). Events are ordered anew in every evaluation where lag times or durations are parameters.
The forward run writes the amounts before each step on a tape, which the adjoint reads backwards, so that the cost is
linear in records and doses.
"""

import numpy as np

from nlmebayes.solver.linear import dense, events, modal, single, system
from nlmebayes.solver.shared import schedule
from nlmebayes.solver.shared.kernel import cached, inlined
from nlmebayes.solver.shared.link import keep, lend


@cached
def _steady(what, unit, which, routes, kind, doses, of_dose, given, a, basis, collecting, state, active, work):
    """One event of the cycle from which a steady state follows; ``state`` is empty before the first."""
    target, period, rate = routes[of_dose[which, 1]], doses[which, 4], given[1, which]
    x, r = state[modal.X], state[modal.R]
    if what == events.CONSTANT:
        x[target] = rate
        system.balance(a[unit], collecting, x)
        r[target], active[target] = rate, 1
        return
    running, _, _ = schedule.implied(given, doses, which)
    if what == events.PERIODIC:
        system.periodic(period, unit, kind, a, basis, collecting, x, False, work)
        active[target] = running
    elif what == events.PHASE:
        r[target] = running * rate
    elif given[2, which] > 0.0:
        r[target] = (running + 1) * rate
    else:
        x[target] = given[0, which]


@cached
def forward(edges, routes, reads, kind, of_record, doses, of_dose, rates, given, steps, tape, y):
    """Add the amounts of the states ``reads`` at the records to ``y`` (read, record), and write the tape.

    The tape (row, step) holds the amounts before each step, the input rates of steps in which infusions run, and what
    `single` keeps.
    """
    n, depot, central, modes = kind[0], kind[1], kind[2], kind[3]
    a, basis = system.prepare(rates, edges, kind)
    collecting = system.collecting_states(edges, n)
    owner, active, work = np.zeros((modal.ROWS, n)), np.zeros(n, np.int64), np.zeros((8, n + 1, n + 1))
    state, factors = lend(owner), tape[2 * n :]
    if modes == 1:
        single.exponentials(steps, basis, depot >= 0, factors)
    for row in range(tape.shape[1]):
        h, unit, what, which = events.read(steps, row)
        fed = steps[events.FED, row] == 1.0
        if steps[events.FIRST, row] == 1.0:
            state[:] = 0.0
            active[:] = 0
        for p in range(n):
            tape[p, row] = state[modal.X, p]
            if fed:
                tape[n + p, row] = state[modal.R, p]
        if modes == 1 and not fed:
            m = state[modal.X, central] * factors[single.E, row]
            if depot >= 0:
                g = state[modal.X, depot]
                m += basis[unit, 0] * factors[single.AL, row] * g
                state[modal.X, depot] = g * factors[single.EA, row]
            state[modal.X, central] = m
        elif h > 0.0 and modes > 0:
            modal.step(h, unit, depot, central, modes, basis, state, fed)
        elif h > 0.0:
            dense.step(h, a[unit], state, work)
        if what == events.RECORD:
            place = of_record[which, 1]
            if place >= 0:
                for p in range(len(reads)):
                    y[p, place] += state[modal.X, reads[p]]
        elif what == events.START:
            target = routes[of_dose[which, 1]]
            if given[2, which] > 0.0:
                state[modal.R, target] += given[1, which]
                active[target] += 1
            else:
                state[modal.X, target] += given[0, which]
        elif what == events.STOP:
            target = routes[of_dose[which, 1]]
            active[target] -= 1
            left = state[modal.R, target] - given[1, which]
            state[modal.R, target] = left if active[target] > 0 else 0.0
        elif what == events.EMPTY:
            system.empty(state[modal.X], collecting)
        else:
            _steady(what, unit, which, routes, kind, doses, of_dose, given, a, basis, collecting, state, active, work)
    keep(owner)


@inlined
def _undo_one(h, unit, depot, central, row, basis, tape, factors, state, slopes):
    """The adjoint of a step of one mode without infusions, from what `single` kept of it."""
    g = tape[depot, row] if depot >= 0 else 0.0
    wg = state[modal.W, depot] if depot >= 0 else 0.0
    wg, w, slope, flow, loss = single.adjoint(
        h, basis[unit, 0], g, tape[central, row], wg, state[modal.W, central], factors[single.EA, row],
        factors[single.E, row], factors[single.AL, row], factors[single.AAL, row],
    )  # fmt: skip
    state[modal.W, central] = w
    slopes[unit, 0, 0] += slope
    if depot >= 0:
        state[modal.W, depot] = wg
        slopes[unit, 1, 0] += flow
        slopes[unit, 1, 1] += loss


@inlined
def _slope_in_length(n, unit, a, state):
    """w . dx/dt, which is constant along a step: the slope of the outcome in its length."""
    total = 0.0
    for i in range(n):
        flow = state[modal.R, i]
        for j in range(n):
            flow += a[unit, i, j] * state[modal.X, j]
        total += state[modal.W, i] * flow
    return total


@cached
def reverse(edges, routes, reads, kind, of_record, doses, of_dose, rates, given, ybar, steps, tape, timed, ratesbar,
            givenbar):  # fmt: skip
    """Adjoint of `forward` from its tape: ``ratesbar`` (edge, unit), ``givenbar`` (amount, rate, duration, lag).

    ``timed``: whether a time depends on parameters (lag, duration).
    """
    n, units = kind[0], rates.shape[1]
    a, basis = system.prepare(rates, edges, kind)
    collecting = system.collecting_states(edges, n)
    depot, central, modes = kind[1], kind[2], kind[3]
    modal_slopes = np.zeros((units if modes > 0 else 0, modes + 1, max(2, modes)))
    slopes, work, owner = np.zeros((units, n, n)), np.zeros((8, n + 1, n + 1)), np.zeros((modal.ROWS, n))
    state, factors = lend(owner), tape[2 * n :]
    later = 0.0
    for row in range(tape.shape[1] - 1, -1, -1):
        h, unit, what, which = events.read(steps, row)
        if what == events.RECORD:
            place = of_record[which, 1]
            if place >= 0:
                for p in range(len(reads)):
                    state[modal.W, reads[p]] += ybar[p, place]
        elif what == events.EMPTY:
            system.empty(state[modal.W], collecting)
        elif what == events.START and given[2, which] == 0.0:
            givenbar[0, which] += state[modal.W, routes[of_dose[which, 1]]]
        else:
            _undo(row, unit, what, which, routes, kind, doses, of_dose, given, a, basis, collecting, tape, state,
                  modal_slopes, slopes, work, givenbar)  # fmt: skip
        fed = steps[events.FED, row] == 1.0
        if modes == 1 and not fed and not timed and what <= events.STOP:
            _undo_one(h, unit, depot, central, row, basis, tape, factors, state, modal_slopes)
        else:
            for i in range(n):
                state[modal.X, i] = tape[i, row]
                state[modal.R, i] = tape[n + i, row] if fed else 0.0
            if h > 0.0 and modes > 0:
                modal.adjoint(h, unit, depot, central, modes, basis, state, fed, modal_slopes)
            elif h > 0.0:
                dense.adjoint(h, a[unit], state, slopes[unit], work)
        if timed:
            # the step after a steady state starts at the time of the next event, whatever the parameters
            settled = row > 0 and steps[events.WHAT, row - 1] == events.PERIODIC
            earlier = 0.0 if settled else _slope_in_length(n, unit, a, state)
            if what in (events.START, events.STOP):
                givenbar[3, which] += earlier - later
            if what in (events.STOP, events.PHASE):
                givenbar[2, which] += earlier - later
            later = earlier
        if steps[events.FIRST, row] == 1.0:
            state[modal.W] = 0.0
            state[modal.RBAR] = 0.0
    system.to_edges(edges, kind, basis, modal_slopes, slopes, ratesbar)
    keep(owner)


@cached
def _undo(row, unit, what, which, routes, kind, doses, of_dose, given, a, basis, collecting, tape, state, modal_slopes,
          slopes, work, givenbar):  # fmt: skip
    """Adjoint of the start or end of an infusion, or of a steady state."""
    w, rbar = state[modal.W], state[modal.RBAR]
    target, period = routes[of_dose[which, 1]], doses[which, 4]
    n = len(w)
    if what == events.START:
        givenbar[1, which] += rbar[target]
    elif what in (events.STOP, events.PHASE):
        givenbar[1, which] -= rbar[target]
    elif what == events.CONSTANT:
        system.balance(a[unit].T, collecting, w)
        for i in range(n):
            for j in range(n):
                slopes[unit, i, j] += w[i] * tape[j, row + 1]
        givenbar[1, which] += w[target] + rbar[target]
    elif what == events.PERIODIC:
        system.periodic(period, unit, kind, a, basis, collecting, w, True, work)
        before = state.copy()
        for i in range(n):
            before[modal.X, i] = tape[i, row + 1]
        before[modal.R] = 0.0
        system.retreat(period, unit, kind, a, basis, before, False, modal_slopes, slopes, work)
    elif what == events.CYCLE:
        if given[2, which] > 0.0:
            running, _, _ = schedule.implied(given, doses, which)
            givenbar[1, which] += (running + 1) * rbar[target]
        else:
            givenbar[0, which] += w[target]


@cached
def _ordered(courses, records, of_record, doses, of_dose, given, capacity, most, kind):
    """The steps of a draw, and an empty tape of them."""
    steps = np.empty((events.WIDTH, capacity))
    count = events.order(courses, records, of_record, doses, of_dose, given, most, steps)
    return steps, np.empty((_width(kind), count))


@cached
def _width(kind):
    """Rows of the tape."""
    return 2 * kind[0] + single.KEPT


@cached
def _timed(doses, lag):
    """Whether times of events depend on parameters."""
    return lag.shape[1] > 0 or (doses[:, 3] != schedule.BOLUS).any()


@cached
def amounts(edges, routes, reads, kind, courses, records, of_record, doses, of_dose, rates, fraction, lag, extra):
    """Amounts of the states ``reads`` at the records, (draw, read, record), and steps and tape for `pullback`.

    The amounts are NaN where a draw has no solution. Steps and tape are empty for several draws, as only a sampler,
    which has one, needs them.
    """
    size = 0
    for i in range(len(of_record)):
        size = max(size, of_record[i, 1] + 1)
    draws, timed = rates.shape[0], _timed(doses, lag)
    y, owner = np.zeros((draws, len(reads), size)), np.empty((4, len(doses)))
    given, steps, tape = lend(owner), np.empty((events.WIDTH, 0)), np.empty((_width(kind), 0))
    for s in range(draws):
        capacity, most = schedule.plan(courses, doses, of_dose, fraction[s], lag[s], extra[s], given)
        if capacity < 0:
            y[s] = np.nan
            continue
        if timed or tape.shape[1] == 0:
            steps, tape = _ordered(courses, records, of_record, doses, of_dose, given, capacity, most, kind)
        forward(edges, routes, reads, kind, of_record, doses, of_dose, rates[s], given, steps, tape, y[s])
    keep(owner)
    if draws > 1:
        steps, tape = np.empty((events.WIDTH, 0)), np.empty((_width(kind), 0))
    return y, steps, tape


@cached
def pullback(edges, routes, reads, kind, courses, records, of_record, doses, of_dose, rates, fraction, lag, extra,
             ybar, steps, tape):  # fmt: skip
    """Adjoint of `amounts`: slopes in rates, fraction, lag and extra, each with the shape of its input."""
    ratesbar, fractionbar = np.zeros_like(rates), np.zeros_like(fraction)
    lagbar, extrabar = np.zeros_like(lag), np.zeros_like(extra)
    given, givenbar, y = np.empty((4, len(doses))), np.empty((4, len(doses))), np.empty(ybar.shape[1:])
    timed, written = _timed(doses, lag), tape.shape[1] > 0
    for s in range(rates.shape[0]):
        capacity, most = schedule.plan(courses, doses, of_dose, fraction[s], lag[s], extra[s], given)
        if capacity < 0:
            ratesbar[s], fractionbar[s], lagbar[s], extrabar[s] = np.nan, np.nan, np.nan, np.nan
            continue
        if not written:
            if timed or tape.shape[1] == 0:
                steps, tape = _ordered(courses, records, of_record, doses, of_dose, given, capacity, most, kind)
            forward(edges, routes, reads, kind, of_record, doses, of_dose, rates[s], given, steps, tape, y)
        givenbar[:] = 0.0
        reverse(edges, routes, reads, kind, of_record, doses, of_dose, rates[s], given, ybar[s], steps, tape, timed,
                ratesbar[s], givenbar)  # fmt: skip
        schedule.to_parameters(
            doses, of_dose, given, givenbar, fraction[s], extra[s], fractionbar[s], lagbar[s], extrabar[s]
        )
    return ratesbar, fractionbar, lagbar, extrabar
