"""Places to climb from.

Places are scattered over the population, the more the fewer of them explain the samples, so that a patient whose
samples meet another mode (flip-flop kinetics, a wide prior) is climbed from there too. Three kinds of modes are too
narrow or too far out for that, and are looked for where they must be:

- where the structure says that predictions are the same (`mirrored`: absorption and elimination exchanged);
- where a lag ends just before a sample (`before_samples`): the prediction rises from there on, so a small measurement
  holds the lag between two close values;
- where samples are met that heavy tails let pass (`through_samples`): wherever they are missed, their log-density has
  hardly a slope, so they are fitted by normal residuals first.
"""

from functools import lru_cache

import numpy as np
import pytensor.tensor as pt
from scipy import special
from scipy.stats import qmc

from nlmebayes.evaluation.evaluator import evaluator
from nlmebayes.individuals.climbing import climb
from nlmebayes.individuals.density import LOG_2PI
from nlmebayes.structure.structure import Named

SCATTERED, MOST = 64, 1024  # places, and where few of them explain the samples
EXPLAINED = 10.0  # effective number of places that explain the samples, below which there are more
SPREAD, CLOSER = 0.7, 0.3  # least distance between places that are climbed from
EARLIER = np.array([0.003, 0.01, 0.03, 0.1, 0.3])  # parts of its time by which a lag ends before a sample
REACH = 4.0  # of the population: no lag is farther out
MISSED = 4.5  # how far the log-density of a sample is below that of a prediction that equals it: 3 SDs if normal
FITTED, FITS = 0.03, 10  # relative SD of normal residuals, and steps of a fit with them


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


def explored(target, most=MOST):
    """Places (place, subject, column) and their log-densities (place, subject): as many as it takes until several
    explain the samples of each patient, or ``most``."""
    places, value, n = scattered(target.size, MOST)[:, None] * target.real, np.zeros((0, len(target.labels))), SCATTERED
    while True:
        more = places[len(value) : n]
        dense = target.log_density(more, np.zeros(len(more), dtype=int))
        value = np.concatenate([value, np.where(np.isnan(dense), -np.inf, dense)])
        if len(value) >= min(most, len(places)) or not few_explain(places[:n], value).any():
            return places[: len(value)], value
        n *= 4


def few_explain(places, value):
    """Whether few of the places explain the samples of a patient, by their likelihood, (subject,)."""
    likelihood = value + 0.5 * (places**2).sum(axis=2)
    with np.errstate(invalid="ignore"):
        weight = np.exp(likelihood - likelihood.max(axis=0))
        return ~(weight.sum(axis=0) ** 2 / (weight**2).sum(axis=0) >= EXPLAINED)


def best_of(many, value, starts, apart=SPREAD, *, at_middle=True):
    """The first one ``at_middle``, and for each subject the best places ``apart`` from those taken, at most ``starts``
    of those that have a density, (place, subject, column)."""
    chosen = [many[0]] if at_middle else []
    while len(chosen) < max(1, min(starts, len(many))):
        if chosen:
            value = np.where(np.abs(many - chosen[-1]).max(axis=2) <= apart, -np.inf, value)
            if np.isneginf(value).all():
                break
        best = np.argmax(value, axis=0)
        chosen.append(np.take_along_axis(many, best[None, :, None], axis=0)[0])
    return np.stack(chosen)


def mirrored(target, z):
    """Places (place, subject, column) with the same predictions as z (subject, column), as near as effects can come;
    none where the structure has no mirror."""
    mirror, which = target.model.structure.mirror, np.zeros(1, dtype=int)
    if mirror is None:
        return np.zeros((0, *z.shape))
    phi, _, _ = evaluator(target.model, target.design)(target.population.theta, target.effects(z[None], which))
    linear = target.linear(z[None], which)[0]
    phi = Named(**{name: np.broadcast_to(x[0], linear.shape[1:]) for name, x in phi.items()})
    return np.stack([_nearest(target, z, linear, values) for values in mirror(phi)])


def _nearest(target, z, linear, values):
    """Effects (subject, column) that come nearest to values of some parameters (unit,) by name, the others as they
    are, ``linear`` (parameter, unit)."""
    links, names = dict(target.model.scales), [p.name for p in target.model.structure.parameters]
    wanted, found = linear.copy(), z.copy()
    for name, value in values.items():
        wanted[names.index(name)] = links[name].forward(value)
    away = wanted - target.base[0]
    for subject in range(len(z)):
        units = np.flatnonzero(target.of_unit == subject)
        loads = target.loads[0][:, units].reshape(-1, z.shape[1])
        found[subject] = np.linalg.lstsq(loads, away[:, units].ravel())[0]
    return np.clip(found, -REACH, REACH)


def before_samples(target, z, most):
    """Places (place, subject, column) beside z (subject, column) where a lag ends just before a sample: the best for
    each sample, and the best ``most`` of those."""
    moved = [_moved(target, z, name) for name in _lags(target.model.structure)]
    if not any(np.isfinite(value).any() for _, value in moved):
        return np.zeros((0, *z.shape))
    many, value = (np.concatenate(each) for each in zip(*moved, strict=True))
    return best_of(many, value, most, 0.0, at_middle=False)


def _moved(target, z, name):
    """Those of one lag, and their log-densities (place, subject), which are -inf where there is none."""
    parameter = [p.name for p in target.model.structure.parameters].index(name)
    link = dict(target.model.scales)[name]
    linear, loads = target.linear(z[None], np.zeros(1, dtype=int))[0, parameter], target.loads[0, parameter]
    several = [[] for _ in z]
    for unit, after in _times_after_dose(target):
        subject, column = target.of_unit[unit], np.argmax(np.abs(loads[unit]))
        if loads[unit, column]:
            far = (link.forward(after * (1 - EARLIER)) - linear[unit]) / loads[unit, column]
            several[subject].append((column, z[subject, column] + far))
    count = max(map(len, several))
    if not count:  # the lag does not vary
        return np.zeros((0, *z.shape)), np.zeros((0, len(z)))
    many = np.tile(z, (count, len(EARLIER), 1, 1))
    real = np.zeros(many.shape[:3], dtype=bool)
    for subject, each in enumerate(several):
        for i, (column, there) in enumerate(each):
            many[i, :, subject, column], real[i, :, subject] = there, np.abs(there) < REACH
    value = target.log_density(many.reshape(-1, *z.shape), np.zeros(count * len(EARLIER), dtype=int))
    value = np.where(real & ~np.isnan(value.reshape(real.shape)), value.reshape(real.shape), -np.inf)
    first = np.argmax(value, axis=1)[:, None]
    return np.take_along_axis(many, first[..., None], axis=1)[:, 0], np.take_along_axis(value, first, axis=1)[:, 0]


@lru_cache(maxsize=64)
def _lags(structure):
    """Names of the parameters that are the lag of a dose."""
    if structure.routes is None:
        return ()
    p = {q.name: pt.dvector(q.name) for q in structure.parameters}
    routes = [r for each in structure.routes(Named(**p)).values() for r in np.atleast_1d(each)]
    return tuple(name for name, value in p.items() if any(r.lag is value for r in routes))


def _times_after_dose(target):
    """(unit, time since the last dose) of each sample that has a dose before it."""
    records = target.design.records
    doses = records[(records["what"] == "dose").to_numpy()]
    owner, start, every, more = (doses[name].to_numpy() for name in (target.subject, "time", "ii", "addl"))
    repeated = every > 0
    for samples in target.observed:
        own = samples.records
        for unit, subject, time in zip(own.unit, own.subject, own.inputs["time"], strict=True):
            given = (owner == subject) & (start < time)
            if given.any():
                since, again = time - start, given & repeated
                since[again] -= every[again] * np.minimum(np.ceil(since[again] / every[again]) - 1, more[again])
                yield unit, since[given].min()


def through_samples(target, found):
    """Places (place, subject, column) from fits by normal residuals of all samples, and of those alone that are missed
    at the best places found; none where no sample is."""
    if not some_missed(target, found).any():
        return found.z[:0]
    which, z = np.zeros(1, dtype=int), found.best[None]
    f, _ = target.at(z, which)
    missed = {samples.name: _missed(target, samples, f[samples.name][:, samples.places]) for samples in target.observed}
    if not any(each.any() for each in missed.values()):
        return found.z[:0]
    every = {name: np.ones_like(each) for name, each in missed.items()}
    return np.concatenate([climb(target, z, which, 0.1, FITS, _fit_of(x)).z for x in (every, missed)])


def some_missed(target, found):
    """Whether the samples of a subject are so far off at its best place that one may be missed, (subject,)."""
    best = found.best
    gap = -found.value.max(axis=0) - 0.5 * (best**2 + LOG_2PI * target.real).sum(axis=1)
    for samples in target.observed:
        gap = gap + (samples.counted(_met(target, samples)[None])[0] @ samples.sums)[0]
    return gap > MISSED


def _met(target, samples):
    """Log-density of each measurement at a prediction that equals it, 0 where there is no such thing."""
    known, y = _comparable(samples), samples.records.values
    if not known.any():
        return np.zeros(len(y))
    dense = target.densities(samples, np.where(known, y, samples.size)[None], np.zeros(1, dtype=int))[0]
    return np.where(known & np.isfinite(dense), dense, 0.0)


def _comparable(samples):
    """Which records are measurements beside which a prediction can stand: no limits, no times to an event."""
    return np.isfinite(samples.records.values) & (samples.records.nodes is None)


def _missed(target, samples, f):
    """Which measurements are far off predictions (1, place)."""
    known = _comparable(samples)
    if not known.any():
        return known
    return known & (_met(target, samples) - target.densities(samples, f, np.zeros(1, dtype=int))[0] > MISSED)


def _fit_of(chosen):
    """As `record_slopes`, of normal residuals of `FITTED` times the measurements that are ``chosen``, by outcome."""

    def slopes(target, samples, f, which):
        y, known = samples.records.values, _comparable(samples) & chosen[samples.name]
        sd = FITTED * np.maximum(np.abs(y), 0.1 * samples.size)
        off = np.where(known, (y - f) / sd, 0.0)
        dense, share = samples.counted(-0.5 * off**2)
        return dense, share * off / sd, np.broadcast_to(share * np.where(known, 1 / sd**2, 0.0), f.shape)

    return slopes
