"""Climbing a log-density from many places and for many patients at once.

A step is Gauss-Newton's with the curvature of each record's log-density in its prediction, damped where it does not
lead upwards (Marquardt 1963, J. Soc. Ind. Appl. Math. 11, 431-441). Slopes are central differences in the standardised
effects: one evaluation of the graph serves all places, their neighbours and all patients.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

STEP = 1e-4  # of z, for slopes
CLOSE = 1e-5  # last step
ROUNDS = 30
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

    def beside(self, other):
        """The places of both."""
        return Climb(*(np.concatenate(pair) for pair in zip(vars(self).values(), vars(other).values(), strict=True)))

    @property
    def best(self):
        """The best place of each subject, (subject, column)."""
        return np.take_along_axis(self.z, np.argmax(self.value, axis=0)[None, :, None], axis=0)[0]

    def at(self, first):
        """The places at positions (place, subject)."""
        return Climb(*(np.take_along_axis(x, _as(first, x), axis=0) for x in vars(self).values()))

    def where(self, known, other):
        """These where ``known`` (place, subject), and ``other`` elsewhere."""
        pairs = zip(vars(self).values(), vars(other).values(), strict=True)
        return Climb(*(np.where(_as(known, x), x, y) for x, y in pairs))


def _as(which, x):
    """(place, subject) with as many axes as x."""
    return which.reshape(*which.shape, *(1,) * (x.ndim - 2))


def climb(target, z, which, close=CLOSE, rounds=ROUNDS, slopes=None, free=None):
    """`Climb` from z (place, subject, column) under the populations ``which`` (place,), until steps are ``close``.
    ``slopes`` says what the records tell, as `record_slopes` does; columns that are not ``free`` (place, column) stay
    where they are."""
    slopes = slopes or record_slopes
    free = np.ones((len(z), z.shape[2]), dtype=bool) if free is None else free
    value, slope, information = probe(target, z, which, slopes)
    damping = np.zeros(value.shape)
    closed = np.zeros(value.shape, dtype=bool)
    z = z.copy()
    for _ in range(rounds):
        on = np.flatnonzero(~closed.all(axis=1))
        if not len(on):
            break
        diagonal = np.diagonal(information[on], axis1=2, axis2=3)
        damped = information[on] + damping[on, :, None, None] * diagonal[..., None] * np.eye(z.shape[2])
        step = _solved(damped, slope[on], free[on])
        step *= np.minimum(1.0, 4.0 / np.maximum(np.abs(step).max(axis=2, initial=1e-9), 1e-9))[..., None]
        step[closed[on]] = 0.0
        found = z[on] + step, *probe(target, z[on] + step, which[on], slopes)
        better = found[1] > value[on]
        moved, gain = np.abs(step).max(axis=2, initial=0.0), np.einsum("psc,psc->ps", step, slope[on])
        closed[on] |= (better & (moved < close)) | (~better & (gain < 1e-9)) | (damping[on] > 1e6)
        for kept, new in zip((z, value, slope, information), found, strict=True):
            kept[on] = np.where(better.reshape(better.shape + (1,) * (new.ndim - 2)), new, kept[on])
        less = damping[on] * 0.1 * (damping[on] > 1e-3)
        damping[on] = np.where(better, less, np.maximum(4 * damping[on], 0.3))
    short = np.abs(_solved(information, slope, free)).max(axis=2, initial=0.0) < 2 * close
    return Climb(z, value, information, short)


def _solved(information, slope, free):
    """Newton's steps, on the scale of each column: where one record tells 1e8 times what the prior does, the matrix
    itself is singular in double precision."""
    if not free.all():
        slope = slope * free[:, None]
        held = np.eye(slope.shape[2]) * ~free[:, None, None]
        information = information * (free[:, None, :, None] & free[:, None, None]) + held
    scale = 1 / np.sqrt(np.diagonal(information, axis1=2, axis2=3))
    scaled = information * scale[..., None] * scale[..., None, :] + SMALLEST * np.eye(slope.shape[2])
    return scale * np.linalg.solve(scaled, (scale * slope)[..., None])[..., 0]


@lru_cache(maxsize=64)
def _neighbours(size):
    """A place and those a `STEP` above and below it in each column, (place, column), from there."""
    rows = np.concatenate([np.zeros((1, size)), STEP * np.eye(size), -STEP * np.eye(size)])
    rows.setflags(write=False)
    return rows


def probe(target, z, which, slopes):
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
        dense, s, w = slopes(target, samples, here[:, 0], which)
        known = np.isfinite(s) & np.isfinite(w) & np.isfinite(g).all(axis=1)
        if not known.all():
            g, s, w = np.where(known[:, None], g, 0.0), np.where(known, s, 0.0), np.where(known, w, 0.0)
        told = g
        if samples.records.series is not None:
            told, w = target.whitened(samples, here[:, 0], which, dense, g), np.ones_like(w)
        if subjects == 1:
            value = value + dense.sum(axis=1, keepdims=True)
            slope += (g @ s[..., None])[:, None, :, 0]
            information += ((told * w[:, None]) @ told.transpose(0, 2, 1))[:, None]
        else:
            sums = samples.sums
            value = value + dense @ sums
            both = (g * s[:, None]).reshape(-1, g.shape[2]) @ sums
            slope += both.reshape(places, size, subjects).transpose(0, 2, 1)
            both = (told[:, :, None] * told[:, None] * w[:, None, None]).reshape(-1, g.shape[2]) @ sums
            information += both.reshape(places, size, size, subjects).transpose(0, 3, 1, 2)
    return np.where(np.isnan(value), -np.inf, value), slope, information


def record_slopes(target, samples, f, which, floor=FLOOR):
    """Log-density of each record, its slope in the prediction and minus its curvature, (place, record) each, which is
    at least ``floor`` times the square of the slope.

    Of correlated records the slope is that of the sum of all; the information of `probe` is then not by record.
    """
    if samples.records.series is not None:
        dense, slope = target.gradients(samples, f, which)
        return dense, slope, np.zeros_like(f)
    n, h = len(f), 1e-4 * (np.abs(f) + 0.01 * samples.size)
    three = target.densities(samples, np.concatenate([f, f + h, f - h]), np.concatenate([which] * 3))
    dense, up, down = three[:n], three[n : 2 * n], three[2 * n :]
    with np.errstate(all="ignore"):
        s, w = (up - down) / (2 * h), -(up - 2 * dense + down) / h**2
    dense, share = samples.counted(dense)
    return dense, share * s, share * np.maximum(np.abs(w), floor * s**2)
