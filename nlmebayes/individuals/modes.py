"""Most probable effects of patients: many places tried (`starts`), the best climbed from (`climbing`), all at once.

Of 64 places 4 are climbed from, of 1,024 places 16, which go a little way first, and those that are still apart to the
top; then from those where narrow modes must be. What could not be climbed, for a lag has kinks, is tried nearby.
"""

from dataclasses import dataclass, replace

import numpy as np

from nlmebayes.errors import ModelError
from nlmebayes.individuals.climbing import CLOSE, ROUNDS, Climb, climb
from nlmebayes.individuals.starts import (
    CLOSER,
    SCATTERED,
    before_samples,
    best_of,
    explored,
    few_explain,
    mirrored,
    scattered,
    some_missed,
    through_samples,
)

NEGLIGIBLE = 1e-6  # step of Newton's method
QUICK = 2e-3  # the same where the curvature may be one of a step before: the next step is about the square of this one
WIDE = 1e-3  # of z, for curvatures
NEAR = 0.1  # step after which Newton's method takes over
FAR = 0.5  # step of Newton's method that is not believed
KEPT = 6  # places that are climbed from to the top
ROUGH, SOON = 4, 12  # steps of the first, and where those who take more are climbed for again
WORTHLESS = 15.0  # how far below the best one, in log-density, a mode holds no mass
NEARER = 3  # places that are climbed from there
NEARBY = (1.0, 0.3, 0.1)  # of the population, around a place that could not be climbed from
BETWEEN, VALLEY = np.linspace(0.0, 1.0, 7)[1:-1], 0.02  # places on the way, and a depth there, that part two modes
APART = 0.1  # modes closer than this are one
FLAT = 0.05  # least curvature of the log-density that a mode may have; the prior alone gives 1


@dataclass(frozen=True, eq=False)
class Mode:
    """The modes of one patient, the best first: z (mode, column), value (mode,), covariance (mode, column, column),
    and the log of the mass that each has by Laplace, (mode,)."""

    z: np.ndarray
    value: np.ndarray
    covariance: np.ndarray
    mass: np.ndarray

    def nearest(self, z):
        """Which of them places (place, column) belong to, (place,): the one whose Gaussian is densest there."""
        if len(self.z) == 1:
            return np.zeros(len(z), dtype=int)
        inverse, constant = np.linalg.inv(self.covariance), self.mass - 0.5 * np.linalg.slogdet(self.covariance)[1]
        square = [np.einsum("pi,ij,pj->p", z - m, back, z - m) for m, back in zip(self.z, inverse, strict=True)]
        return np.argmax(constant[:, None] - 0.5 * np.stack(square), axis=0)


def curvature(target, z):
    """Log-density (place, subject), its slope (place, subject, column) and minus its second derivatives (place,
    subject, column, column) at z (place, subject, column) under the first population."""
    places, subjects, size = z.shape
    pairs = [(i, j) for i in range(size) for j in range(i)]
    eye = WIDE * np.eye(size)
    both = [eye[i] + eye[j] for i, j in pairs]
    rows = np.concatenate([np.zeros((1, size)), eye, -eye, np.reshape([*both, *(-x for x in both)], (-1, size))])
    many = (z[:, None] + rows[:, None]).reshape(-1, subjects, size)
    value = target.log_density(many, np.zeros(len(many), dtype=int))
    value = value.reshape(places, len(rows), subjects).transpose(0, 2, 1)
    middle, up, down = value[..., 0], value[..., 1 : size + 1], value[..., size + 1 : 2 * size + 1]
    found = np.zeros((places, subjects, size, size))
    k = np.arange(size)
    found[..., k, k] = (2 * middle[..., None] - up - down) / WIDE**2
    for n, (i, j) in enumerate(pairs):
        sums = value[..., 2 * size + 1 + n] + value[..., 2 * size + 1 + len(pairs) + n]
        cross = (2 * middle + sums - up[..., i] - up[..., j] - down[..., i] - down[..., j]) / (2 * WIDE**2)
        found[..., i, j] = found[..., j, i] = -cross
    return middle, (up - down) / (2 * WIDE), found


def modes(target, last=NEGLIGIBLE):
    """`Mode` of one patient under the first population of the target.

    ``last``: the step of Newton's method after which no other is made. With `QUICK` the modes are as good, but the
    covariance is that of the place before, to three digits.

    Raises
    ------
    ModelError
        No place gives the samples a density.
    """
    return summits(target, climbed(target), last)


def summits(target, found, last=NEGLIGIBLE):
    """`Mode` of one patient above places that were climbed to; errors as of `modes`."""
    found = _apart(found)
    top = polished(target, found.z, last)
    if not top.closed.all():
        climbed_on = climb(target, found.z, np.zeros(len(found.z), dtype=int), rounds=3 * ROUNDS)
        top = _apart(_finished(target, climbed_on, CLOSE))
        top = replace(top, information=positive(curvature(target, top.z)[2], top.information))
    return _laplace(target, top.z[:, 0], top.value[:, 0], top.information[:, 0])


def joined(target, known, z, last=QUICK):
    """The `Mode` of one patient with those that are climbed to from z (place, column)."""
    which = np.zeros(len(z), dtype=int)
    found = climb(target, z[:, None], which, NEAR)
    far = [i for i, x in enumerate(found.z[:, 0]) if np.abs(known.z - x).max(axis=1).min() > 2 * APART]
    if not far:
        return known
    new = summits(target, Climb(*(x[far] for x in vars(found).values())), last)
    z, value = np.concatenate([known.z, new.z]), np.concatenate([known.value, new.value])
    kept = [i for i in _divided(target, z, value) if value[i] > value.max() - WORTHLESS]
    both = (np.concatenate(pair)[kept] for pair in zip(vars(known).values(), vars(new).values(), strict=True))
    return Mode(*both)


def _apart(found):
    """The places of one patient that are apart and have a density, the best first."""
    value, places = found.value[:, 0], found.z[:, 0]
    kept = [i for i in _distinct(places, value) if value[i] > value.max() - WORTHLESS]
    if not kept:
        raise ModelError("no proposal gives the patient's samples a finite density; check units, doses and times")
    return Climb(*(x[kept] for x in vars(found).values()))


def _distinct(z, value):
    """Positions of the places that are no neighbours of a better one, the best first."""
    kept = []
    for i in np.argsort(-value, kind="stable"):
        if all(np.abs(z[i] - z[k]).max(initial=0.0) > APART for k in kept):
            kept.append(i)
    return kept


def polished(target, z, last):
    """`Climb` by Newton's steps from z (place, subject, column) to the modes, with the curvature there; it is closed
    where one arrived."""
    lost, before = np.zeros(z.shape[:2], dtype=bool), -np.inf
    for _ in range(6):
        value, slope, exact = curvature(target, z)
        known = np.isfinite(exact).all(axis=(2, 3)) & np.isfinite(value)
        known[known] = _is_positive(exact[known])
        lost |= ~known | (value < before - 1e-9)
        exact, slope = np.where(lost[..., None, None], np.eye(z.shape[2]), exact), np.where(lost[..., None], 0.0, slope)
        step = np.linalg.solve(exact, slope[..., None])[..., 0]
        length = np.abs(step).max(axis=2, initial=0.0)
        lost |= length > FAR
        if (lost | (length < last)).all():
            break
        z, before = np.where(lost[..., None], z, z + step), value
    arrived = ~lost & (length < last)
    step = np.where(arrived[..., None], step, 0.0)
    return Climb(z + step, value + 0.5 * (step * slope).sum(axis=2), exact, arrived)


def _is_positive(matrices):
    return np.linalg.eigvalsh(matrices).min(axis=-1, initial=np.inf) > FLAT


def positive(exact, instead):
    """Curvatures that are positive; where one is not, the information of the records."""
    good = np.isfinite(exact).all(axis=(-2, -1))
    good[good] = _is_positive(exact[good])
    return np.where(good[..., None, None], exact, instead)


def climbed(target):
    """`Climb` of every patient from the best of many places, under the first population, `NEAR` to the modes."""
    many, value = explored(target)
    z = best_of(many, value, int(np.sqrt(len(many)) / 2))
    if len(z) > KEPT:
        found = climb(target, z, np.zeros(len(z), dtype=int), NEAR, ROUGH)
        z = best_of(found.z, found.value, KEPT, CLOSER, at_middle=False)
    found = climb(target, z, np.zeros(len(z), dtype=int), NEAR)
    found = _with(target, found, mirrored(target, found.best), NEAR)
    found = _with(target, found, before_samples(target, found.best, NEARER), NEAR)
    found = _with(target, found, through_samples(target, found), NEAR)
    return _finished(target, found, NEAR)


def climbed_soon(target):
    """`Climb` of every patient, the first place the best one, from few places in few steps, and for whom that is not
    enough, (subject,)."""
    many, value = explored(target, SCATTERED)
    z = best_of(many, value, int(np.sqrt(len(many)) / 2))
    found = climb(target, z, np.zeros(len(z), dtype=int), NEAR, SOON)
    found = _with(target, found, mirrored(target, found.best), NEAR, SOON)
    found = _with(target, found, before_samples(target, found.best, NEARER), NEAR, SOON)
    top, settled = _atop(target, found)
    return top, few_explain(many, value) | some_missed(target, found) | ~settled


def climbed_well(target):
    """The same, from as many places and in as many steps as it takes."""
    top, settled = _atop(target, climbed(target))
    if settled.all():
        return top
    top = _finished(target, climb(target, top.z, np.zeros(len(top.z), dtype=int), rounds=3 * ROUNDS), CLOSE)
    return top.at(np.argsort(-top.value, axis=0, kind="stable"))


def _atop(target, found):
    """`Climb` of the best place of each patient and of those that may be other modes, and whether all of them arrived
    there, (subject,)."""
    best, value = found.best, found.value.max(axis=0)
    other = (np.abs(found.z - best).max(axis=2, initial=0.0) > 2 * APART) & (found.value > value - WORTHLESS)
    here = np.flatnonzero(other.any(axis=1))
    rough = found.at(np.argmax(found.value, axis=0)[None]).beside(Climb(*(x[here] for x in vars(found).values())))
    top = polished(target, rough.z, QUICK)
    return top.where(top.closed, rough), top.closed[0] & (top.closed[1:] | ~other[here]).all(axis=0)


def _with(target, found, z, close, rounds=ROUNDS):
    """The same with climbs from z (place, subject, column)."""
    return found.beside(climb(target, z, np.zeros(len(z), dtype=int), close, rounds)) if len(z) else found


def elsewhere(target, top):
    """Probability (subject,) of all modes but the best one, by Laplace, of places of which the first one is that."""
    if len(top.z) == 1:
        return np.zeros(len(target.labels))
    exact = positive(curvature(target, top.z)[2], top.information)
    mass = top.value - 0.5 * np.linalg.slogdet(exact)[1]
    share = np.where(_are_modes(target, top.z, top.value), np.exp(mass - mass[0]), 0.0)
    return 1 - 1 / share.sum(axis=0)


def _are_modes(target, z, value):
    """Which places z (place, subject, column), the first one the best, are modes: apart from those before, and with a
    valley on the straight way to the first one."""
    kept = value > value[0] - WORTHLESS
    for i in range(1, len(z)):
        near = np.abs(z[:i] - z[i]).max(axis=2, initial=0.0) <= APART
        kept[i] &= ~(near & kept[:i]).any(axis=0)
    way = z[1:] + BETWEEN[:, None, None, None] * (z[0] - z[1:])
    dense = target.log_density(way.reshape(-1, *z.shape[1:]), np.zeros(way.shape[0] * way.shape[1], dtype=int))
    kept[1:] &= dense.reshape(way.shape[:3]).min(axis=0) < value[1:] - VALLEY
    return kept


def _finished(target, found, close):
    """The same, and where a climb did not end, those from places around the best one."""
    return found if found.closed.any(axis=0).all() else _nearby(target, found, close)


def _nearby(target, found, close):
    """Climbs from places around the best ones, which may sit at a kink; the better of the two is kept."""
    best = found.best[None]
    spread = scattered(target.size)
    near = np.resize(NEARBY, len(spread))[:, None, None]
    many = best + near * spread[:, None] * target.real
    value = target.log_density(many, np.zeros(len(many), dtype=int))
    z = np.concatenate([best, best_of(many, np.nan_to_num(value, nan=-np.inf), NEARER, 0.0)[1:]])
    return found.beside(climb(target, z, np.zeros(len(z), dtype=int), close, 2 * ROUNDS))


def _laplace(target, z, value, exact):
    """`Mode` of the places that are still apart, the best first."""
    kept = _divided(target, z, value)
    z, value, covariance = z[kept], value[kept], np.linalg.inv(exact[kept])
    mass = value + 0.5 * np.linalg.slogdet(covariance)[1] + 0.5 * z.shape[1] * np.log(2 * np.pi)
    return Mode(z, value, covariance, mass)


def _divided(target, z, value):
    """Those of `_distinct` from which no way straight to a better one is without a valley."""
    near = _distinct(z, value)
    kept = near[:1]
    for i in near[1:]:
        way = z[i] + BETWEEN[:, None, None] * (z[kept] - z[i])
        dense = target.log_density(way.reshape(-1, 1, z.shape[1]), np.zeros(way.shape[0] * way.shape[1], dtype=int))
        if (dense.reshape(way.shape[:2]).min(axis=0) < value[i] - VALLEY).all():
            kept.append(i)
    return kept
