"""Most probable effects of patients: many places tried, the best climbed from, all at once.

A step is Gauss-Newton's with the curvature of each record's log-density in its prediction, damped where it does not
lead upwards (Marquardt 1963, J. Soc. Ind. Appl. Math. 11, 431-441). Slopes are central differences in the standardised
effects: one evaluation of the graph serves all places, their neighbours and all patients. Places to start from are
scattered over the population, so that a patient whose samples meet another mode (flip-flop, a lag longer than the
first sample's time) is climbed from there too, and what could not be climbed, for a lag has kinks, is tried nearby.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import special
from scipy.stats import qmc

from nlmebayes.model import ModelError

STEP = 1e-4  # of z, for slopes
NEGLIGIBLE = 1e-6  # step of Newton's method
QUICK = 2e-3  # the same where the curvature may be one of a step before: the next step is about the square of this one
WIDE = 1e-3  # of z, for curvatures
CLOSE = 1e-5  # last step
NEAR = 0.1  # step after which Newton's method takes over
FAR = 0.5  # step of Newton's method that is not believed
SCATTERED = 64
CLIMBED = 3
NEARBY = (1.0, 0.3, 0.1)  # of the population, around a place that could not be climbed from
SPREAD = 1.0  # least distance between places that are climbed from
FORBIDDEN = 1e6  # what a place closer than that loses
ROUNDS = 30
APART = 0.1  # modes closer than this are one
FLAT = 0.05  # least curvature of the log-density that a mode may have; the prior alone gives 1
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
    for _ in range(rounds):
        diagonal = np.diagonal(information, axis1=2, axis2=3)
        damped = information + damping[..., None, None] * diagonal[..., None] * np.eye(z.shape[2])
        step = np.linalg.solve(damped, slope[..., None])[..., 0]
        step *= np.minimum(1.0, 4.0 / np.maximum(np.abs(step).max(axis=2, initial=1e-9), 1e-9))[..., None]
        step[closed] = 0.0
        tried = z + step
        found = probe(target, tried, which)
        better = found[0] > value
        moved = np.abs(step).max(axis=2, initial=0.0)
        closed |= (
            (better & (moved < close)) | (~better & (np.einsum("psc,psc->ps", step, slope) < 1e-9)) | (damping > 1e6)
        )
        z = np.where(better[..., None], tried, z)
        value = np.where(better, found[0], value)
        slope = np.where(better[..., None], found[1], slope)
        information = np.where(better[..., None, None], found[2], information)
        damping = np.where(better, damping * 0.1 * (damping > 1e-3), np.maximum(4 * damping, 0.3))
        if closed.all():
            break
    short = np.abs(np.linalg.solve(information, slope[..., None])[..., 0]).max(axis=2, initial=0.0) < 2 * close
    return Climb(z, value, information, short)


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


def modes(target, starts=CLIMBED, last=NEGLIGIBLE):
    """`Mode` of one patient under the first population of the target.

    ``last``: the step of Newton's method after which no other is made. With `QUICK` the modes are as good, but the
    covariance is that of the place before, to three digits.

    Raises
    ------
    ModelError
        No place gives the samples a density.
    """
    found = _apart(climbed(target, starts, NEAR))
    polished = _polished(target, found.z[:, 0], last)
    if polished is None:
        found = _apart(climbed(target, starts))
        z, value = found.z[:, 0], found.value[:, 0]
        polished = z, value, _positive(curvature(target, z)[2], found.information[:, 0])
    return _laplace(*polished)


def _apart(found):
    """The places of one patient that are apart and have a density, the best first."""
    value, places = found.value[:, 0], found.z[:, 0]
    kept = [i for i in _distinct(places, value) if np.isfinite(value[i])]
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


def climbed(target, starts=CLIMBED, close=CLOSE):
    """`Climb` of every patient from the best of many places, under the first population."""
    places = scattered(target.size)
    many = np.repeat(places[:, None], len(target.labels), axis=1) * target.real
    value = target.log_density(many, np.zeros(len(many), dtype=int))
    found = climb(target, _best(many, value, starts), np.zeros(min(starts, len(many)), dtype=int), close)
    if found.closed.any(axis=0).all():
        return found
    return _nearby(target, found, close)


def _best(many, value, starts, apart=SPREAD):
    """The middle, and for each subject the best places ``apart`` from those taken, (place, subject, column)."""
    chosen, value = [many[0]], np.where(np.isnan(value), -np.inf, value)
    for _ in range(min(starts, len(many)) - 1):
        far = np.abs(many - chosen[-1]).max(axis=2) > apart
        value = np.where(far, value, value - FORBIDDEN)
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
    z = np.concatenate([best, _best(many, value, CLIMBED, 0.0)[1:]])
    again = climb(target, z, np.zeros(len(z), dtype=int), close, 2 * ROUNDS)
    return Climb(*(np.concatenate(pair) for pair in zip(vars(found).values(), vars(again).values(), strict=True)))


def _laplace(z, value, exact):
    """`Mode` of the places that are still apart."""
    kept = _distinct(z, value)
    z, value, covariance = z[kept], value[kept], np.linalg.inv(exact[kept])
    mass = value + 0.5 * np.linalg.slogdet(covariance)[1] + 0.5 * z.shape[1] * np.log(2 * np.pi)
    return Mode(z, value, covariance, mass)
