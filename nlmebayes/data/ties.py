"""Times that differ by rounding are one time."""

import numpy as np

# Of the larger of two times. A time is a sum, a product or an exponential of numbers that are rounded to 2e-16 of
# themselves: a lag of exp(log 10) h is 10.000000000000002 h, a thousand steps of 0.1 h end at 99.9999999999986 h. No
# clock tells times apart that agree to twelve digits (30 ms in a thousand years).
ROUNDING = 1e-12


def same(one, other):
    """Whether two times are one; arrays are broadcast."""
    return np.abs(one - other) <= ROUNDING * np.maximum(np.abs(one), np.abs(other))


def snapped(at, times):
    """The time among ``times`` that ``at`` would be, but for rounding; ``at`` itself if there is none."""
    near = times[np.argmin(np.abs(times - at))]
    return near if same(near, at) else at


def merged(times, owner):
    """Times, of which those of one owner (a number each) that are one are the same number: the least of them."""
    order = np.lexsort((times, owner))
    sorted_times, sorted_owner = times[order], owner[order]
    again = same(sorted_times[1:], sorted_times[:-1]) & (sorted_owner[1:] == sorted_owner[:-1])
    new = np.append(True, ~again)[: len(times)]
    found = np.empty_like(times)
    found[order] = sorted_times[new][np.cumsum(new) - 1]
    return found
