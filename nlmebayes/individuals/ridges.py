"""Where a posterior reaches beyond its modes: the best places with one effect held.

A sample that comes too late to tell a volume from a small one leaves a ridge: the other effects follow, and only the
prior ends it. No normal law at the mode covers it, and draws of the population hardly ever meet it. So each effect is
held at a few values across the population, the others climb (the profile of the log-density), and the proposal has a
component at each place that may hold mass.
"""

import numpy as np

from nlmebayes.individuals.climbing import climb
from nlmebayes.individuals.modes import Mode
from nlmebayes.individuals.starts import scattered

HELD = np.array([-2.5, -1.25, 0.0, 1.25, 2.5])  # values of an effect, in SDs of the population
COVERED = 3.0  # posterior SDs from the mode within which there is none
MOST = 25  # places
TRIED = 8  # places from which the others begin
NEAR, FIRST, STEPS = 0.05, 3, 8  # last step of a climb, and most of them, all and those that are worth it
HOPELESS = 25.0  # how far below the mode one is not
FAINT = 8.0  # how far below the best mode, in the log of its mass, a place is left out


def ridges(target, found):
    """`Mode` (none, perhaps) of the places on the profiles through the best mode of one patient."""
    best, which = found.z[0], np.zeros(MOST, dtype=int)
    column, value = _far(best, np.sqrt(np.diagonal(found.covariance[0])))
    held = column[:, None] == np.arange(len(best))
    if not len(held):
        return _none(found)
    z = _begun(target, held, value, best)
    top = climb(target, z[:, None], which[: len(z)], NEAR, FIRST, free=~held)
    worth = top.value[:, 0] > found.value[0] - HOPELESS
    if not worth.any():
        return _none(found)
    top = climb(target, top.z[worth], which[: worth.sum()], NEAR, STEPS, free=~held[worth])
    covariance = np.linalg.inv(top.information[:, 0])
    mass = top.value[:, 0] + 0.5 * np.linalg.slogdet(covariance)[1] + 0.5 * len(best) * np.log(2 * np.pi)
    kept = mass > found.mass.max() - FAINT
    return Mode(top.z[kept, 0], top.value[kept, 0], covariance[kept], mass[kept])


def _none(found):
    return Mode(*(x[:0] for x in vars(found).values()))


def _far(best, sd):
    """Columns and the values at which they are held, far from the best mode, the nearest `MOST` of them."""
    column, value = (x.ravel() for x in np.meshgrid(np.arange(len(best)), HELD, indexing="ij"))
    away = np.abs(value - best[column]) / sd[column]
    used = np.argsort(away, kind="stable")[np.sort(away) > COVERED][:MOST]
    return column[used], value[used]


def _begun(target, held, value, best):
    """The best of some places (row, column) with the columns ``held`` at their values (row,)."""
    some = np.concatenate([best[None], scattered(len(best))[:TRIED]])
    many = np.where(held[:, None], value[:, None, None], some)
    dense = target.log_density(many.reshape(-1, 1, len(best)), np.zeros(many[..., 0].size, dtype=int))
    first = np.argmax(np.nan_to_num(dense, nan=-np.inf).reshape(many.shape[:2]), axis=1)
    return many[np.arange(len(many)), first]
