"""Backward in time: the adjoint of the tape, one row after another.

It is the exact derivative of the steps taken, except for times that are parameters (lag, duration), whose slope is that
of the solution itself: moving an event by dt changes the outcome by w (f before it - f after it) dt.
"""

import numpy as np

from nlmebayes.solver.kernel import cached, inlined
from nlmebayes.solver.ode import call, rosenbrock
from nlmebayes.solver.ode.call import HEADER
from nlmebayes.solver.ode.march import (
    EMPTY,
    EXPLICIT,
    FIRST,
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
from nlmebayes.solver.ode.tableaus import DENSE, EXPLICIT_STAGES, RODAS_DENSE


@inlined
def unstep(law, tape, row, par, ybar, records, of_record, reads, w, rbar, parbar, work):
    """Adjoint of a step with the records that it read; ``w`` goes from after it to before it."""
    kbar, direct, state, k, matrix, vectors, pivot, g = work
    n = len(w)
    kind, time, h, unit = int(tape[row, KIND]), tape[row, TIME], tape[row, LENGTH], int(tape[row, UNIT])
    first, last = int(tape[row, FIRST]), int(tape[row, LAST])
    dense = False
    for i in range(first, last):
        place = of_record[i, 1]
        if place < 0:
            continue
        if not dense:
            kbar[:] = 0.0
            direct[:] = 0.0
            dense = True
        x = (records[i, 0] - time) / h
        for p in range(len(reads)):
            j, weight = reads[p], ybar[p, place]
            if kind == EXPLICIT:
                direct[j] += weight
                for s in range(EXPLICIT_STAGES):
                    kbar[s, j] += (
                        weight * h * x * (DENSE[s, 0] + x * (DENSE[s, 1] + x * (DENSE[s, 2] + x * DENSE[s, 3])))
                    )
            else:
                direct[j] += (1.0 - x) * weight
                w[j] += x * weight
                for s in range(rosenbrock.STAGES):
                    kbar[s, j] += weight * x * (1.0 - x) * (
                        RODAS_DENSE[0, s] + x * (RODAS_DENSE[1, s] + x * RODAS_DENSE[2, s])
                    )  # fmt: skip
    if kind == EXPLICIT:
        call.unstep(law, tape, row, par, unit, 1.0 if dense else 0.0, kbar, w, rbar, parbar)
    else:
        base = HEADER + 2 * n
        for i in range(n):
            state[i] = tape[row, HEADER + i]
        for s in range(rosenbrock.STAGES):
            for i in range(n):
                k[s, i] = tape[row, base + s * n + i]
        rosenbrock.unstep(
            law, time, h, state, k, par, unit, dense, kbar, w, rbar, parbar, matrix, vectors, pivot, g
        )  # fmt: skip
    if dense:
        for i in range(n):
            w[i] += direct[i]


@cached
def flow(law, tape, row, unit, par, w, work):
    """w f at the state of a row, with its input rates."""
    n = len(w)
    state, f, rate = work[2], work[1], work[5][4]
    for i in range(n):
        state[i], rate[i] = tape[row, HEADER + i], tape[row, HEADER + n + i]
    call.field(law, tape[row, TIME], state, rate, par, unit, f)
    total = 0.0
    for i in range(n):
        total += w[i] * f[i]
    return total


@cached
def workspace(n):
    """Arrays that the adjoint writes to."""
    return (
        np.empty((rosenbrock.STAGES, n)), np.empty(n), np.empty(n), np.empty((rosenbrock.STAGES, n)),
        np.empty((n, n)), np.empty((5, n)), np.empty(n, np.int64), np.empty((n, n)),
    )  # fmt: skip


@cached
def rows(law, tape, start, stop, par, given, of_dose, routes, collecting, ybar, records, of_record, reads, timed, w, rbar,
         parbar, givenbar, work):  # fmt: skip
    """Adjoint of rows ``start`` to ``stop`` of a tape that hold steps, reads and doses; the last one first."""
    direct = work[1]
    for row in range(stop - 1, start - 1, -1):
        kind, which, unit = int(tape[row, KIND]), int(tape[row, WHICH]), int(tape[row, UNIT])
        if kind == EXPLICIT or kind == STIFF:
            if kind == STIFF or tape[row, FIRST] < tape[row, LAST]:
                unstep(law, tape, row, par, ybar, records, of_record, reads, w, rbar, parbar, work)
            else:
                call.unstep(law, tape, row, par, unit, 0.0, direct, w, rbar, parbar)
            continue
        if kind == READ:
            for i in range(int(tape[row, FIRST]), int(tape[row, LAST])):
                place = of_record[i, 1]
                if place >= 0:
                    for p in range(len(reads)):
                        w[reads[p]] += ybar[p, place]
            continue
        if kind == EMPTY:
            for i in range(len(w)):
                if collecting[i]:
                    w[i] = 0.0
            continue
        target = routes[of_dose[which, 1]]
        if timed and row + 1 < stop:
            after = int(tape[row + 1, UNIT])
            moved = flow(law, tape, row, unit, par, w, work) - flow(law, tape, row + 1, after, par, w, work)
            if kind == START or kind == STOP:
                givenbar[3, which] += moved
            if kind == STOP or kind == PHASE:
                givenbar[2, which] += moved
        if kind == START and given[2, which] == 0.0:
            givenbar[0, which] += w[target]
        elif kind == START:
            givenbar[1, which] += rbar[target]
        elif kind == STOP or kind == PHASE:
            givenbar[1, which] -= rbar[target]
