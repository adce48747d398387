"""What each dose is under the parameters of a draw, when it starts and stops, and the adjoint of that."""

import math

import numpy as np

from nlmebayes.data.ties import ROUNDING
from nlmebayes.solver.shared.kernel import cached

MOST = 1000  # implied doses of a steady state that still act; beyond, the point is rejected
BOLUS, MODELLED_RATE, MODELLED_DURATION = 0.0, -1.0, -2.0  # NONMEM's codes of RATE


@cached
def _describe(doses, of_dose, fraction, lag, extra, given):
    """Per dose: amount, rate, duration (0 for a bolus) and lag, into ``given`` (4, dose).

    The rate of an infusion so short that its length is rounded at its time is that which gives the whole amount.
    """
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
        if given[2, k] > 0.0:
            at = doses[k, 0] + given[3, k]
            length = (at + given[2, k]) - at
            if length == 0.0:
                given[1, k], given[2, k] = 0.0, 0.0
            elif abs(length - given[2, k]) > 1e-9 * length:
                given[1, k] = amount / length


@cached
def implied(given, doses, head):
    """(running, phase, pending) of a steady-state dose: infusions that still run, lag within the cycle, doses to come.

    Running is -1 where they are too many or not finite.
    """
    period, lag, duration = doses[head, 4], given[3, head], given[2, head]
    if period <= 0.0:
        return 0, 0.0, 0
    if not (0.0 <= lag < MOST * period and duration < MOST * period and given[0, head] < np.inf):
        return -1, 0.0, 0
    running = max(0, math.ceil(duration / period) - 1)
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
def _at_record(at, lag, records, first, last):
    """The time of the record at which a lagged dose starts, but for rounding; ``at`` itself if there is none."""
    if lag == 0.0:
        return at
    low, high = first, last
    while low < high:
        middle = (low + high) // 2
        if records[middle, 0] < at:
            low = middle + 1
        else:
            high = middle
    for i in range(max(first, low - 1), min(last, low + 1)):
        time = records[i, 0]
        if abs(time - at) <= ROUNDING * max(abs(time), abs(at)):
            return time
    return at


@cached
def starts_and_stops(course, records, doses, given, starts, stops, of_start, of_stop):
    """Times at which doses of a course start and infusions stop, sorted; returns (how many, how many, time of begin).

    ``starts`` and ``stops`` hold times and positions; a steady-state head brings its implied doses. A dose whose lag
    ends at a record but for rounding starts at it, before or after as their positions say.
    """
    n = m = 0
    head, begin = course[4], 0.0
    if head >= 0:
        time, period, duration = doses[head, 0], doses[head, 4], given[2, head]
        running, phase, pending = implied(given, doses, head)
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
                at = _at_record(begin + j * period, given[3, head], records, course[0], course[1])
                starts[0, n], starts[1, n], of_start[n] = at, doses[head, 1], head
                n += 1
                if given[2, head] > 0.0:
                    stops[0, m], stops[1, m], of_stop[m] = at + duration, -np.inf, head
                    m += 1
    for k in range(course[2], course[3]):
        at = _at_record(doses[k, 0] + given[3, k], given[3, k], records, course[0], course[1])
        starts[0, n], starts[1, n], of_start[n] = at, doses[k, 1], k
        n += 1
        if given[2, k] > 0.0:
            stops[0, m], stops[1, m], of_stop[m] = at + given[2, k], -np.inf, k
            m += 1
    _sorted(starts[0], starts[1], of_start, n)
    _sorted(stops[0], stops[1], of_stop, m)
    return n, m, begin


@cached
def plan(courses, doses, of_dose, fraction, lag, extra, given):
    """Fill ``given`` (see `_describe`); returns (rows of the tape, most starts or stops of a course).

    Both are -1 where a dose is not a number or a steady state cannot be reached.
    """
    _describe(doses, of_dose, fraction, lag, extra, given)
    if not np.isfinite(given).all():
        return -1, -1
    rows, most = 0, 1
    for course in courses:
        n = 2 * (course[3] - course[2])
        if course[4] >= 0:
            running, _, pending = implied(given, doses, course[4])
            if running < 0:
                return -1, -1
            n += running + 2 * (pending + 2) + 4
        rows += n + course[1] - course[0] + 1
        most = max(most, n)
    return rows, most


@cached
def to_parameters(doses, of_dose, given, givenbar, fraction, extra, fractionbar, lagbar, extrabar):
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
