"""Steps forward in time, and the tape that the adjoint reads backwards.

Steps are explicit until they are limited by stability rather than by accuracy, then stiff, and back (``tol[2]``: 0
automatic, 1 explicit, 2 stiff).
"""

import math
from collections import namedtuple

import numpy as np

from nlmebayes.solver.ode import call, rough
from nlmebayes.solver.ode.call import HEADER
from nlmebayes.solver.ode.tableaus import DENSE, EXPLICIT_STAGES, RODAS_DENSE, STIFF_STAGES
from nlmebayes.solver.shared.kernel import cached, inlined
from nlmebayes.solver.shared.link import lend

# Kinds of rows of the tape: two kinds of steps; records read between steps; a dose or the start of an infusion; the end
# of one; the start of a course; and of a steady state: the start of its cycle, the change of its rate, its end, a
# constant one, and the record of its dose, from which collecting states start; and what was held up to there.
EXPLICIT, STIFF, READ, START, STOP, BEGIN, CYCLE, PHASE, PERIODIC, CONSTANT, EMPTY, HELD = range(12)
# Columns: kind, time, length, unit, first and last-plus-one record read, dose, and in the first row of all how many
# rows there are; then state, input rates, stages.
KIND, TIME, LENGTH, UNIT, FIRST, LAST, WHICH, ROWS = range(8)
# What a course remembers: method, steps at the limit of stability, steps, time, length of the next step, and whether
# k[0] is the slope there; of which unit (numbered from 1) the cases are held: 0 of none, negative after a jump; when it
# began.
METHOD, STRAIN, COUNT, NOW, NEXT, FRESH, SETTLED, BEGAN = range(8)
DONE, FAILED, FULL = range(3)
FLAT = math.log2(1e-8)  # least log squared error of a step that the length of the next one remembers
SAFETY = math.log2(0.9)  # of the length of a step
SAMPLES = 4  # of the margins of cases in a step, which are polynomials of order 4 if they are linear
STEPS = 8  # explicit steps at the limit of stability before the method changes
LIMIT = 9.0  # of the square of h times the eigenvalue, which the explicit method is stable up to about 3.5
SMOOTH = 1.0  # of the square of h times the norm of the Jacobian, below which the explicit method takes over again


# What a population under given parameters is, for all functions here: functions of the law; (unit, parameter);
# tolerances; whether records end steps, least steps between two, and the kinds of the cases (`cases`); records and
# their units and places; states read; doses with their units and routes, states that routes enter, and what each dose
# is (see `schedule.plan`); whether nothing depends on a state.
Problem = namedtuple("Problem", "law par tol cases records of_record reads doses of_dose routes given collecting")
STOPS, LEAST, FIRST_CASE = range(3)  # of `Problem.cases`
# What is carried through a course, with the sizes of its states and its tolerances, and what its steps write to.
Body = namedtuple(
    "Body",
    "state rate running control size tol k stages new f trial matrix slope pivot found kept point dense margins spare",
)


@cached
def body(n, parameters, cases):
    """A `Body` of numbers of states, of parameters with what is held, and of cases."""
    return Body(
        np.empty(n), np.empty(n), np.empty(n, np.int64), np.empty(8), np.empty(n), np.empty(n + 3),
        np.empty((EXPLICIT_STAGES, n)), np.empty((STIFF_STAGES, n)), np.empty(n), np.empty(n), np.empty(n),
        np.empty((n, n)), np.empty(n), np.empty(n, np.int64),
        np.empty(2), np.empty(8), np.empty((3, n)), np.empty((STIFF_STAGES, n)), np.empty((SAMPLES + 2, cases + 1)),
        np.empty(parameters),
    )  # fmt: skip


@cached
def lent(b):
    """A `Body` that is not counted, of one that is."""
    return Body(
        lend(b.state), lend(b.rate), lend(b.running), lend(b.control), lend(b.size), lend(b.tol),
        lend(b.k), lend(b.stages), lend(b.new), lend(b.f), lend(b.trial), lend(b.matrix), lend(b.slope),
        lend(b.pivot), lend(b.found), lend(b.kept), lend(b.point),
        lend(b.dense), lend(b.margins), lend(b.spare),
    )  # fmt: skip


@cached
def grown(tape):
    longer = np.empty((2 * len(tape), tape.shape[1]))
    for row in range(len(tape)):
        for column in range(tape.shape[1]):
            longer[row, column] = tape[row, column]
    return longer


@cached
def row_of(tape, row, kind, time, unit, first, last, which, b):
    """Write a row that is no step; returns the tape, which has grown if it was full, and its next row."""
    if len(tape) > 0:
        if row >= len(tape):
            tape = grown(tape)
        tape[row, KIND], tape[row, TIME], tape[row, LENGTH], tape[row, UNIT] = kind, time, 0.0, unit
        tape[row, FIRST], tape[row, LAST], tape[row, WHICH] = first, last, which
        n = len(b.state)
        for i in range(n):
            tape[row, HEADER + i], tape[row, HEADER + n + i] = b.state[i], b.rate[i]
    return tape, row + 1


@inlined
def between(y, kind, time, h, state, new, stages, offset, records, of_record, reads, first, last):
    """Give records inside a step its dense output; its stages begin at an element of the array ``stages``."""
    n, k = len(state), call.pointer(stages, offset)
    for i in range(first, last):
        place = of_record[i, 1]
        if place < 0:
            continue
        x = (records[i, 0] - time) / h
        for p in range(len(reads)):
            j, total = reads[p], 0.0
            if kind == EXPLICIT:
                for s in range(EXPLICIT_STAGES):
                    total += k[s * n + j] * x * (DENSE[s, 0] + x * (DENSE[s, 1] + x * (DENSE[s, 2] + x * DENSE[s, 3])))
                y[p, place] = state[j] + h * total
            else:
                for s in range(STIFF_STAGES):
                    total += k[s * n + j] * (RODAS_DENSE[0, s] + x * (RODAS_DENSE[1, s] + x * RODAS_DENSE[2, s]))
                y[p, place] = (1.0 - x) * state[j] + x * (new[j] + (1.0 - x) * total)


@cached
def _leaves(pb, b, time, h, unit):
    """Whether a step took a state below 0 that cannot fall there: its slope is negative where the step ends, and is
    not where the state is 0, so that what it passed (the pole of Michaelis and Menten's law) was stepped over."""
    call.field(pb.law, time + h, b.new, b.rate, pb.par, unit, b.f)
    for i in range(len(b.state)):
        falls = b.new[i] < 0.0 and b.state[i] >= -b.tol[3 + i] and b.f[i] < 0.0
        if falls and _bounded(pb, b, time + h, b.new, i, unit) and _bounded(pb, b, time, b.state, i, unit):
            return True
    return False


@cached
def _bounded(pb, b, time, y, i, unit):
    """Whether a state cannot fall below 0, the others being as they are."""
    for j in range(len(y)):
        b.trial[j] = 0.0 if j == i else y[j]
    call.field(pb.law, time, b.trial, b.rate, pb.par, unit, b.slope)
    return b.slope[i] >= 0.0


@inlined
def _shorter(error):
    """By how much a step is shorter after one whose squared error was too large, or no number."""
    return 0.1 if error != error or error > 1e24 else max(0.2, 0.9 * error**-0.1)


@inlined
def _longer(size, before, rejected):
    """By how much the next step is longer, from the log squared errors of the last two (a controller with memory:
    Gustafsson 1991, ACM Trans. Math. Softw. 17, 533-554)."""
    return min(1.0 if rejected else 10.0, max(0.2, rough.exp2(SAFETY + 0.02 * before - 0.085 * size)))


@inlined
def _strained(kind, strain, stiffness):
    """How many steps in a row stood at the limit of stability; or of stiff ones, need not have been stiff."""
    if kind == EXPLICIT:
        strain = strain + 1.0 if stiffness > LIMIT else max(0.0, strain - 0.25)
    else:
        strain = strain + 1.0 if stiffness < SMOOTH else 0.0
    return strain


@inlined
def _taped(tape, row, kind, time, h, unit, first, last, state, rate):
    """Write a step into the tape, whose stages are there."""
    n = len(state)
    tape[row, KIND], tape[row, TIME], tape[row, LENGTH], tape[row, UNIT] = kind, time, h, unit
    tape[row, FIRST], tape[row, LAST] = first, last
    for i in range(n):
        tape[row, HEADER + i], tape[row, HEADER + n + i] = state[i], rate[i]


@cached
def steps(pb, b, end, unit, here, last, y, tape, row, one):
    """Steps until the end, a failure, or the end of the tape; returns the next row and record, and which it was.

    ``one``: whether to return after one step. Arrays have names of their own, since each reading of a field is counted.
    """
    law, par, tol, records, of_record, reads = pb.law, pb.par, b.tol, pb.records, pb.of_record, pb.reads
    state, rate, control, k, new, found = b.state, b.rate, b.control, b.k, b.new, b.found
    n, room, columns = len(state), len(tape), tape.shape[1]
    stages = tape if room > 0 else b.stages  # what the adjoint of a step needs
    time, h, kind, strain, count = control[NOW], control[NEXT], control[METHOD], control[STRAIN], control[COUNT]
    before, rejected, fresh, status, wanted = FLAT, False, control[FRESH] == 1.0, DONE, 0.0
    while time < end:
        if 0 < room <= row:
            status = FULL
            break
        count += 1.0
        left = end - time
        final = h >= left * (1.0 - 1e-12)
        wanted = h if final else 0.0
        h = left if final else 0.5 * left if h > 0.5 * left else h
        if count > tol[1] or not (final or h > 1e-15 * abs(time)):
            status = FAILED
            break
        offset = row * columns + HEADER + 2 * n if room > 0 else 0
        if kind == EXPLICIT:
            if not fresh:
                call.field(law, time, state, rate, par, unit, k)
            call.explicit(law, time, h, state, rate, k, stages, offset, par, unit, new, tol, found)
        else:
            call.stiff(law, time, h, state, rate, stages, offset, par, unit, new, tol, found)
        error, stiffness, fresh = found[0], found[1], kind == EXPLICIT
        if not error <= 1.0:
            h, rejected = h * _shorter(error), True
            continue
        below = False
        for i in range(n):
            below = below or (new[i] < 0.0 and state[i] >= -tol[3 + i])
        if below and _leaves(pb, b, time, h, unit):
            h, rejected = 0.25 * h, True
            continue
        at, start = end if final else time + h, here
        while here < last and records[here, 0] <= at:
            here += 1
        if here > start:
            dense, first = (k, 0) if kind == EXPLICIT else (stages, offset)
            between(y, kind, time, h, state, new, dense, first, records, of_record, reads, start, here)
        if room > 0:
            _taped(tape, row, kind, time, h, unit, start, here, state, rate)
        row += 1
        for i in range(n):
            state[i], k[0, i] = new[i], k[EXPLICIT_STAGES - 1, i]
        time, size = at, rough.log2(max(error, 1e-20))
        h *= _longer(size, before, rejected)
        before, rejected = max(size, FLAT), False
        if one:
            end = at
        if tol[2] == 0.0:
            strain = _strained(kind, strain, stiffness)
            if strain >= STEPS:
                kind, strain = STIFF if kind == EXPLICIT else EXPLICIT, 0.0
    control[NOW], control[NEXT] = time, max(h, wanted)
    control[METHOD], control[STRAIN], control[COUNT] = kind, strain, count
    control[FRESH] = 1.0 if fresh else 0.0
    return row, here, status
