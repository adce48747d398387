"""Backward in time: the adjoint of the tape, one row after another.

It is the exact derivative of the steps taken, except for times that are parameters (lag, duration), whose slope is that
of the solution itself: moving an event by dt changes the outcome by w (f before it - f after it) dt. So it is with the
events of cases, whose times follow from the state and the parameters there.
"""

from collections import namedtuple

import numpy as np

from nlmebayes.solver.ode import call, events
from nlmebayes.solver.ode.call import HEADER
from nlmebayes.solver.ode.march import (
    EMPTY,
    EXPLICIT,
    FIRST,
    FIRST_CASE,
    HELD,
    KIND,
    LAST,
    LENGTH,
    PHASE,
    READ,
    START,
    STIFF,
    STOP,
    TIME,
    UNIT,
    WHICH,
)
from nlmebayes.solver.ode.tableaus import DENSE, EXPLICIT_STAGES, RODAS_DENSE, STIFF_STAGES
from nlmebayes.solver.shared.kernel import cached, inlined
from nlmebayes.solver.shared.link import lend

# Adjoints of the state and of the input rates, of (unit, parameter), and of what each dose is; and what is written to.
Adjoint = namedtuple(
    "Adjoint", "w rbar parbar givenbar kbar direct state rate matrix slope pivot held weights bar tbar"
)


@cached
def adjoint(w, parbar, givenbar, cases):
    """An `Adjoint` that adds to ``parbar`` and ``givenbar``."""
    n = len(w)
    return Adjoint(
        w, np.zeros(n), parbar, givenbar, np.empty((STIFF_STAGES, n)), np.empty(n), np.empty(n), np.empty(n),
        np.empty((n, n)), np.empty(n), np.empty(n, np.int64), np.empty(cases), np.empty(cases),
        np.empty(parbar.shape[1]), np.empty(1),
    )  # fmt: skip


@cached
def lent(q):
    """An `Adjoint` that is not counted, of one that is."""
    return Adjoint(
        lend(q.w), lend(q.rbar), lend(q.parbar), lend(q.givenbar), lend(q.kbar), lend(q.direct), lend(q.state),
        lend(q.rate), lend(q.matrix), lend(q.slope), lend(q.pivot), lend(q.held), lend(q.weights), lend(q.bar),
        lend(q.tbar),
    )  # fmt: skip


@inlined
def _dense(pb, q, tape, row, ybar):
    """Adjoint of the records that a step read; the part of the state before it goes to ``direct``."""
    kind, time, h = int(tape[row, KIND]), tape[row, TIME], tape[row, LENGTH]
    records, of_record, reads, kbar, direct, w = pb.records, pb.of_record, pb.reads, q.kbar, q.direct, q.w
    kbar[:] = 0.0
    direct[:] = 0.0
    for i in range(int(tape[row, FIRST]), int(tape[row, LAST])):
        place = of_record[i, 1]
        if place < 0:
            continue
        x = (records[i, 0] - time) / h
        for p in range(len(reads)):
            j, weight = reads[p], ybar[p, place]
            if kind == EXPLICIT:
                direct[j] += weight
                for s in range(EXPLICIT_STAGES):
                    inner = DENSE[s, 0] + x * (DENSE[s, 1] + x * (DENSE[s, 2] + x * DENSE[s, 3]))
                    kbar[s, j] += weight * h * x * inner
            else:
                direct[j] += (1.0 - x) * weight
                w[j] += x * weight
                for s in range(STIFF_STAGES):
                    inner = RODAS_DENSE[0, s] + x * (RODAS_DENSE[1, s] + x * RODAS_DENSE[2, s])
                    kbar[s, j] += weight * x * (1.0 - x) * inner


@cached
def flow(pb, q, tape, row, unit):
    """w f at the state of a row, with its input rates and the cases as they are there."""
    n, total, count = len(q.w), 0.0, len(pb.cases) - FIRST_CASE
    for i in range(n):
        q.state[i], q.rate[i] = tape[row, HEADER + i], tape[row, HEADER + n + i]
    if count > 0:
        first = pb.par.shape[1] - count
        call.modes(pb.law, tape[row, TIME], q.state, pb.par, unit, q.weights)
        for j in range(count):
            q.held[j], pb.par[unit, first + j] = pb.par[unit, first + j], q.weights[j]
    call.field(pb.law, tape[row, TIME], q.state, q.rate, pb.par, unit, q.direct)
    for i in range(n):
        total += q.w[i] * q.direct[i]
    for j in range(count):
        pb.par[unit, pb.par.shape[1] - count + j] = q.held[j]
    return total


@cached
def _hold(pb, q, tape, row, unit, place):
    """Hold what was held before (place 0) or after (1) the event of a row."""
    count, start = len(pb.cases) - FIRST_CASE, HEADER + 2 * len(q.w)
    for j in range(count):
        pb.par[unit, pb.par.shape[1] - count + j] = tape[row, start + place * count + j]


@cached
def _unheld(pb, q, tape, row, unit, which):
    """Hold what was held up to a row, and the adjoint of the event there if a case changed.

    The event comes -dv / (dv/dt) later for a margin larger by dv, and moves the outcome by w (f before - f after) a
    time.
    """
    n, count, time = len(q.w), len(pb.cases) - FIRST_CASE, tape[row, TIME]
    first = pb.par.shape[1] - count
    _hold(pb, q, tape, row, unit, 0)
    if which < 0:
        return
    for i in range(n):
        q.state[i], q.rate[i] = tape[row, HEADER + i], tape[row, HEADER + n + i]
    call.field(pb.law, time, q.state, q.rate, pb.par, unit, q.direct)
    _hold(pb, q, tape, row, unit, 1)
    call.field(pb.law, time, q.state, q.rate, pb.par, unit, q.slope)
    _hold(pb, q, tape, row, unit, 0)
    moved = 0.0
    for i in range(n):
        moved += q.w[i] * (q.direct[i] - q.slope[i])
    fast = events.speed(pb, time, q.state, q.direct, unit, q.weights, which, q.slope, q.bar, q.tbar)
    if moved == 0.0 or fast == 0.0:
        return
    for i in range(n):
        q.w[i] -= moved / fast * q.slope[i]
    for j in range(first):
        q.parbar[unit, j] -= moved / fast * q.bar[j]


@cached
def rows(pb, q, tape, start, stop, ybar, timed):
    """Adjoint of rows ``start`` to ``stop`` of a tape that hold steps, reads and doses; the last one first.

    ``timed``: whether a time depends on parameters.
    """
    law, par, parbar, kbar, direct, w, rbar = pb.law, pb.par, q.parbar, q.kbar, q.direct, q.w, q.rbar
    n = len(w)
    for row in range(stop - 1, start - 1, -1):
        kind, which, unit = int(tape[row, KIND]), int(tape[row, WHICH]), int(tape[row, UNIT])
        if kind in (EXPLICIT, STIFF):
            dense = tape[row, FIRST] < tape[row, LAST]
            if dense:
                _dense(pb, q, tape, row, ybar)
            function = law[call.UNEXPLICIT] if kind == EXPLICIT else law[call.UNSTIFF]
            call.unstep(function, tape, row, par, unit, 1.0 if dense else 0.0, kbar, w, rbar, parbar)
            if dense:
                for i in range(n):
                    w[i] += direct[i]
        elif kind == READ:
            for i in range(int(tape[row, FIRST]), int(tape[row, LAST])):
                place = pb.of_record[i, 1]
                if place >= 0:
                    for p in range(len(pb.reads)):
                        w[pb.reads[p]] += ybar[p, place]
        elif kind == HELD:
            _unheld(pb, q, tape, row, unit, which)
        elif kind == EMPTY:
            for i in range(n):
                w[i] = 0.0 if pb.collecting[i] else w[i]
        else:
            _undose(pb, q, tape, row, kind, which, unit, timed and row + 1 < stop)


@cached
def _undose(pb, q, tape, row, kind, which, unit, timed):
    """Adjoint of a dose, or of the start, change or end of an infusion."""
    target, givenbar = pb.routes[pb.of_dose[which, 1]], q.givenbar
    if timed:
        moved = flow(pb, q, tape, row, unit) - flow(pb, q, tape, row + 1, int(tape[row + 1, UNIT]))
        if kind in (START, STOP):
            givenbar[3, which] += moved
        if kind in (STOP, PHASE):
            givenbar[2, which] += moved
    if kind == START and pb.given[2, which] == 0.0:
        givenbar[0, which] += q.w[target]
    elif kind == START:
        givenbar[1, which] += q.rbar[target]
    elif kind in (STOP, PHASE):
        givenbar[1, which] -= q.rbar[target]
