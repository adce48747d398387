"""Most probable effects of patients: many places tried, the best climbed from, all at once.

A step is Gauss-Newton's with the curvature of each record's log-density in its prediction, damped where it does not
lead upwards (Marquardt 1963, J. Soc. Ind. Appl. Math. 11, 431-441). Slopes are central differences in the standardised
effects: one evaluation of the graph serves all places, their neighbours and all patients. Places to start from are
scattered over the population, the more the fewer of them explain the samples, so that a patient whose samples meet
another mode (flip-flop, a lag longer than the first sample's time) is climbed from there too. Of 64 places 4 are
climbed from, of 1,024 places 16, which go a little way first, and those that are still apart to the top. What could not
be climbed, for a lag has kinks, is tried nearby; and unless several places explain the samples, so are the peaks along
the axes through the best mode.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import special
from scipy.stats import qmc

from nlmebayes.model.model import ModelError

STEP = 1e-4  # of z, for slopes
NEGLIGIBLE = 1e-6  # step of Newton's method
QUICK = 2e-3  # the same where the curvature may be one of a step before: the next step is about the square of this one
WIDE = 1e-3  # of z, for curvatures
CLOSE = 1e-5  # last step
NEAR = 0.1  # step after which Newton's method takes over
FAR = 0.5  # step of Newton's method that is not believed
SCATTERED, MOST = 64, 1024  # places, and where few of them explain the samples
EXPLAINED = 10.0  # effective number of places that explain the samples, below which there are more
KEPT = 6  # places that are climbed from to the top
ROUGH = 4  # steps of the first
WORTHLESS = 15.0  # how far below the best one, in log-density, a mode holds no mass
LINE = np.linspace(-3.6, 3.6, 121)  # of the population, along an axis
NEARER = 3  # places that are climbed from there
NEARBY = (1.0, 0.3, 0.1)  # of the population, around a place that could not be climbed from
SPREAD, CLOSER = 0.7, 0.3  # least distance between places that are climbed from
FORBIDDEN = 1e6  # what a place closer than that loses
ROUNDS = 30
BETWEEN, VALLEY = np.linspace(0.0, 1.0, 7)[1:-1], 0.02  # places on the way, and a depth there, that part two modes
APART = 0.1  # modes closer than this are one
FLAT = 0.05  # least curvature of the log-density that a mode may have; the prior alone gives 1
SMALLEST = 1e-13  # of the correlations of an information
FLOOR = 0.1  # least curvature of a record, in squared slopes


@dataclass(frozen=True, eq=False)
class Climb:
    """Where it ended: z (place, subject, column), value (place, subject), information (place, subject, column, column)
    and whether the last step was short (place, subject)."""

    z: np.ndarray
    value: np.ndarray
    information: np.ndarray
    closed: np.ndarray


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


@lru_cache(maxsize=64)
def scattered(size, n=SCATTERED):
    """Places (place, column): the middle, then quasi-random normal ones, every fourth twice as far out."""
    if size == 0:
        return np.zeros((1, 0))
    points = special.ndtri(np.clip(qmc.Sobol(min(size, 21201), seed=1).random(n), 1e-4, 1 - 1e-4))
    points[::4] *= 2.0
    points[0] = 0.0
    points.setflags(write=False)
    return points


def climb(target, z, which, close=CLOSE, rounds=ROUNDS):
    """`Climb` from z (place, subject, column) under the populations ``which`` (place,), until steps are ``close``."""
    value, slope, information = probe(target, z, which)
    damping = np.zeros(value.shape)
    closed = np.zeros(value.shape, dtype=bool)
    z = z.copy()
    for _ in range(rounds):
        on = np.flatnonzero(~closed.all(axis=1))
        if not len(on):
            break
        diagonal = np.diagonal(information[on], axis1=2, axis2=3)
        damped = information[on] + damping[on, :, None, None] * diagonal[..., None] * np.eye(z.shape[2])
        step = _solved(damped, slope[on])
        step *= np.minimum(1.0, 4.0 / np.maximum(np.abs(step).max(axis=2, initial=1e-9), 1e-9))[..., None]
        step[closed[on]] = 0.0
        found = z[on] + step, *probe(target, z[on] + step, which[on])
        better = found[1] > value[on]
        moved, gain = np.abs(step).max(axis=2, initial=0.0), np.einsum("psc,psc->ps", step, slope[on])
        closed[on] |= (better & (moved < close)) | (~better & (gain < 1e-9)) | (damping[on] > 1e6)
        for kept, new in zip((z, value, slope, information), found, strict=True):
            kept[on] = np.where(better.reshape(better.shape + (1,) * (new.ndim - 2)), new, kept[on])
        less = damping[on] * 0.1 * (damping[on] > 1e-3)
        damping[on] = np.where(better, less, np.maximum(4 * damping[on], 0.3))
    short = np.abs(_solved(information, slope)).max(axis=2, initial=0.0) < 2 * close
    return Climb(z, value, information, short)


def _solved(information, slope):
    """Newton's steps, on the scale of each column: where one record tells 1e8 times what the prior does, the matrix
    itself is singular in double precision."""
    scale = 1 / np.sqrt(np.diagonal(information, axis1=2, axis2=3))
    scaled = information * scale[..., None] * scale[..., None, :] + SMALLEST * np.eye(slope.shape[2])
    return scale * np.linalg.solve(scaled, (scale * slope)[..., None])[..., 0]


@lru_cache(maxsize=64)
def _neighbours(size):
    """A place and those a `STEP` above and below it in each column, (place, column), from there."""
    rows = np.concatenate([np.zeros((1, size)), STEP * np.eye(size), -STEP * np.eye(size)])
    rows.setflags(write=False)
    return rows


def probe(target, z, which):
    """Log-density (place, subject), its slope and its information in z, at z (place, subject, column)."""
    places, subjects, size = z.shape
    rows = _neighbours(size)
    many = (z[:, None] + rows[:, None]).reshape(-1, subjects, size)
    f, order = target.at(many, np.repeat(which, len(rows)))
    order = order.reshape(places, len(rows), subjects)
    first = {name: x.reshape(places, len(rows), -1) for name, x in f.items()}
    value = order[:, 0] - 0.5 * (z**2 + np.log(2 * np.pi) * target.real).sum(axis=2)
    up, down = order[:, 1 : size + 1], order[:, size + 1 :]
    slope = ((up - down) / (2 * STEP)).transpose(0, 2, 1) - z
    information = np.tile(np.eye(size), (places, subjects, 1, 1))
    for samples in target.observed:
        here = first[samples.name][:, :, samples.places]
        g = (here[:, 1 : size + 1] - here[:, size + 1 :]) / (2 * STEP)  # (place, column, record)
        dense, s, w = _record_slopes(target, samples, here[:, 0], which)
        known = np.isfinite(s) & np.isfinite(w) & np.isfinite(g).all(axis=1)
        if not known.all():
            g, s, w = np.where(known[:, None], g, 0.0), np.where(known, s, 0.0), np.where(known, w, 0.0)
        if subjects == 1:
            value = value + dense.sum(axis=1, keepdims=True)
            slope += (g @ s[..., None])[:, None, :, 0]
            information += ((g * w[:, None]) @ g.transpose(0, 2, 1))[:, None]
        else:
            sums = samples.sums
            value = value + dense @ sums
            both = (g * s[:, None]).reshape(-1, g.shape[2]) @ sums
            slope += both.reshape(places, size, subjects).transpose(0, 2, 1)
            both = (g[:, :, None] * g[:, None] * w[:, None, None]).reshape(-1, g.shape[2]) @ sums
            information += both.reshape(places, size, size, subjects).transpose(0, 3, 1, 2)
    return np.where(np.isnan(value), -np.inf, value), slope, information


def _record_slopes(target, samples, f, which):
    """Log-density of each record, its slope in the prediction and minus its curvature, (place, record) each."""
    n, h = len(f), 1e-4 * (np.abs(f) + 0.01 * samples.size)
    three = target.densities(samples, np.concatenate([f, f + h, f - h]), np.concatenate([which] * 3))
    dense, up, down = three[:n], three[n : 2 * n], three[2 * n :]
    with np.errstate(all="ignore"):
        s, w = (up - down) / (2 * h), -(up - 2 * dense + down) / h**2
    dense, share = samples.counted(dense)
    return dense, share * s, share * np.maximum(np.abs(w), FLOOR * s**2)


def curvature(target, z):
    """Log-density (place,), its slope (place, column) and minus its second derivatives (place, column, column), of one
    patient at z (place, column) under the first population."""
    places, size = z.shape
    pairs = [(i, j) for i in range(size) for j in range(i)]
    eye = WIDE * np.eye(size)
    both = [eye[i] + eye[j] for i, j in pairs]
    rows = np.concatenate([np.zeros((1, size)), eye, -eye, np.reshape([*both, *(-x for x in both)], (-1, size))])
    many = (z[:, None] + rows).reshape(-1, 1, size)
    value = target.log_density(many, np.zeros(len(many), dtype=int)).reshape(places, len(rows))
    middle, up, down = value[:, 0], value[:, 1 : size + 1], value[:, size + 1 : 2 * size + 1]
    found = np.zeros((places, size, size))
    k = np.arange(size)
    found[:, k, k] = (2 * middle[:, None] - up - down) / WIDE**2
    for n, (i, j) in enumerate(pairs):
        sums = value[:, 2 * size + 1 + n] + value[:, 2 * size + 1 + len(pairs) + n]
        cross = (2 * middle + sums - up[:, i] - up[:, j] - down[:, i] - down[:, j]) / (2 * WIDE**2)
        found[:, i, j] = found[:, j, i] = -cross
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
    return summits(target, climbed(target, NEAR), last)


def summits(target, found, last=NEGLIGIBLE):
    """`Mode` of one patient above places that were climbed to; errors as of `modes`."""
    found = _apart(found)
    polished = _polished(target, found.z[:, 0], last)
    if polished is None:
        found = _apart(_finished(target, climb(target, found.z, np.zeros(len(found.z), dtype=int)), CLOSE))
        z, value = found.z[:, 0], found.value[:, 0]
        polished = z, value, _positive(curvature(target, z)[2], found.information[:, 0])
    return _laplace(target, *polished)


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


def _polished(target, z, last):
    """Newton steps to the modes: z, value and curvature there, or None where they do not arrive."""
    before = -np.inf
    for _ in range(6):
        value, slope, exact = curvature(target, z)
        if not (np.isfinite(exact).all() and (value >= before - 1e-9).all() and _is_positive(exact).all()):
            return None
        step = np.linalg.solve(exact, slope[..., None])[..., 0]
        if np.abs(step).max(initial=0.0) < last:
            return z + step, value + 0.5 * (step * slope).sum(axis=1), exact
        if np.abs(step).max(initial=0.0) > FAR:
            return None
        z, before = z + step, value
    return None


def _is_positive(matrices):
    return np.linalg.eigvalsh(matrices).min(axis=1, initial=np.inf) > FLAT


def _positive(exact, instead):
    """Curvatures that are positive; where one is not, the information of the records."""
    good = np.isfinite(exact).all(axis=(1, 2))
    good[good] = _is_positive(exact[good])
    return np.where(good[:, None, None], exact, instead)


def climbed(target, close=CLOSE):
    """`Climb` of every patient from the best of many places, under the first population."""
    many, value = explored(target)
    z = _best(many, value, int(np.sqrt(len(many)) / 2))
    if len(z) > KEPT:
        found = climb(target, z, np.zeros(len(z), dtype=int), close, ROUGH)
        z = _best(found.z, found.value, KEPT, CLOSER, at_middle=False)
    found = climb(target, z, np.zeros(len(z), dtype=int), close)
    found = found if len(many) == SCATTERED else _beside(target, found, close)
    return _finished(target, found, close)


def _beside(target, found, close):
    """The same with climbs from the peaks of each patient's log-density along the axes through the best place: a lag
    that ends just before a sample has a peak of its own, too narrow for places that are scattered."""
    best = np.take_along_axis(found.z, np.argmax(found.value, axis=0)[None, :, None], axis=0)[0]
    size, n = best.shape[1], len(LINE)
    many = np.repeat(best[None], size * n, axis=0).reshape(size, n, *best.shape)
    for k in range(size):
        many[k, :, :, k] = LINE[:, None] * target.real[:, k]
    many = many.reshape(-1, *best.shape)
    value = target.log_density(many, np.zeros(len(many), dtype=int)).reshape(size, n, -1)
    before, after = value[:, :-2], value[:, 2:]
    peaks = np.full(value.shape, -np.inf)
    peaks[:, 1:-1] = np.where((value[:, 1:-1] > before) & (value[:, 1:-1] >= after), value[:, 1:-1], -np.inf)
    peaks = np.where(np.abs(many - best).max(axis=2) > CLOSER, peaks.reshape(len(many), -1), -np.inf)
    if not np.isfinite(peaks).any():
        return found
    z = _best(many, peaks, NEARER, CLOSER, at_middle=False)
    return _both(found, climb(target, z, np.zeros(len(z), dtype=int), close))


def _both(one, other):
    return Climb(*(np.concatenate(pair) for pair in zip(vars(one).values(), vars(other).values(), strict=True)))


def explored(target):
    """Places (place, subject, column) and their log-densities (place, subject): as many as it takes until several
    explain the samples of each patient, or `MOST`."""
    places, value, n = scattered(target.size, MOST)[:, None] * target.real, np.zeros((0, len(target.labels))), SCATTERED
    while True:
        more = places[len(value) : n]
        dense = target.log_density(more, np.zeros(len(more), dtype=int))
        value = np.concatenate([value, np.where(np.isnan(dense), -np.inf, dense)])
        if len(value) >= len(places) or _explained(places[:n], value) >= EXPLAINED:
            return places[: len(value)], value
        n *= 4


def _explained(places, value):
    """Effective number of the places by their likelihood, that of the patient with the fewest."""
    likelihood = value + 0.5 * (places**2).sum(axis=2)
    with np.errstate(invalid="ignore"):
        weight = np.exp(likelihood - likelihood.max(axis=0))
        return np.nan_to_num(weight.sum(axis=0) ** 2 / (weight**2).sum(axis=0)).min(initial=np.inf)


def _finished(target, found, close):
    """The same, and where a climb did not end, those from places around the best one."""
    return found if found.closed.any(axis=0).all() else _nearby(target, found, close)


def _best(many, value, starts, apart=SPREAD, *, at_middle=True):
    """The first one ``at_middle``, and for each subject the best places ``apart`` from those taken, (place, subject,
    column)."""
    chosen = [many[0]] if at_middle else []
    while len(chosen) < max(1, min(starts, len(many))):
        if chosen:
            value = value - FORBIDDEN * (np.abs(many - chosen[-1]).max(axis=2) <= apart)
        best = np.argmax(value, axis=0)
        chosen.append(np.take_along_axis(many, best[None, :, None], axis=0)[0])
    return np.stack(chosen)


def _nearby(target, found, close):
    """Climbs from places around the best ones, which may sit at a kink; the better of the two is kept."""
    best = np.take_along_axis(found.z, np.argmax(found.value, axis=0)[None, :, None], axis=0)
    spread = scattered(target.size)
    near = np.resize(NEARBY, len(spread))[:, None, None]
    many = best + near * spread[:, None] * target.real
    value = target.log_density(many, np.zeros(len(many), dtype=int))
    z = np.concatenate([best, _best(many, np.nan_to_num(value, nan=-np.inf), NEARER, 0.0)[1:]])
    return _both(found, climb(target, z, np.zeros(len(z), dtype=int), close, 2 * ROUNDS))


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
