"""Numbers of the scatter around predictions: measurements drawn, densities, slopes, what a measurement says.

As in `evaluation`, nothing is compiled and the leading axis of arrays is that of samples.
"""

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from pymc.pytensorf import reseed_rngs
from pytensor.tensor.random.type import RandomType
from scipy import special

from nlmebayes.errors import ModelError
from nlmebayes.evaluation import series
from nlmebayes.evaluation.evaluator import CHUNK, FILLED, UNCHECKED, function
from nlmebayes.formula.sigma import link_of, values_of
from nlmebayes.outcomes import censoring, runs
from nlmebayes.outcomes.autocorrelation import RUN, Series
from nlmebayes.runtime.threads import in_turns, remembered
from nlmebayes.runtime.uncompiled import UNCOMPILED
from nlmebayes.structure.structure import Named

NODES, WEIGHTS = np.polynomial.legendre.leggauss(8)


def parts_at(residual, s, observed=None):
    """Parts and columns of a residual by name, of shape (sample, 1), (1, record) or (sample, record).

    ``s`` holds the parts, (sample,), or (sample, term) of those with a formula.
    """
    found = {}
    for part, values in s.items():
        values = np.asarray(values, dtype=float)
        scale = values.ndim == 2
        found[part] = values[:, None]
        if scale:
            found[part] = values_of(link_of(residual, part), values @ observed.scales[part].T)
    if residual.columns and observed is None:
        raise ModelError(f"{residual} reads columns of the data at each record, which cannot be given here")
    columns = observed.columns if residual.columns else {}
    return found | {part: np.asarray(x, dtype=float)[None] for part, x in columns.items()}


def _cut(parts, rows, here):
    """Parts at some samples and records."""
    return [x[rows if len(x) > 1 else slice(None)][:, here if x.shape[1] > 1 else slice(None)] for x in parts.values()]


def shapes_of(parts):
    """Names of parts, and which of their axes are of length one whatever the data: what a graph depends on."""
    return tuple((name, *(1 if n == 1 else None for n in x.shape)) for name, x in parts.items())


@in_turns
def measure(residual, f, s, rng, positive=False, observed=None, past=None):
    """Draws of the measurement, (sample, record); ``s`` holds the residual's parts, see `parts_at`.

    ``past``: an `ObservedOutcome` and its predictions, given whose measurements those without one are drawn where they
    go on with a series of it.
    """
    if residual.folds:
        return residual.draw(f, observed.nodes, rng)
    if residual.correlated:
        return _of_series(residual, f, s, rng, observed, past)
    parts = parts_at(residual, s, observed)
    compute, generators = _measured(residual, shapes_of(parts), positive)
    reseed_rngs(generators, int(rng.integers(2**31)))
    if positive and len(f) == 1:  # PyMC's truncated laws take a first axis of one, that of a single sample, for another
        return compute(np.repeat(f, 2, axis=0), *parts.values())[:1].astype(float)
    return compute(f, *parts.values()).astype(float)


def _of_series(residual, f, s, rng, observed, past):
    """Draws of correlated measurements: new series, but what was not measured goes on with the past."""
    parts = parts_at(residual, s, observed)
    rho, unseen = np.broadcast_to(parts["rho"], (len(f), 1)), ~np.isfinite(observed.values) & ~observed.censored
    z = series.fresh(observed.series, rho, rng)
    if past is not None and unseen.any():
        earlier = _seen(past[0])
        both = Series(*(np.concatenate(x) for x in zip(
            vars(earlier[0].series).values(), vars(observed.series.at(unseen)).values(), strict=True)))  # fmt: skip
        known = np.arange(len(both.place)) < len(earlier[1])
        scores = _scores(residual, past[1][:, earlier[1]], s, earlier[0], rho, rng)
        scores = np.concatenate([scores, np.zeros((len(f), unseen.sum()))], axis=1)
        z[:, unseen] = series.given(both, known, scores, rho, rng)[:, ~known]
    return _at_score(residual.alone, shapes_of(parts))(z, f, *parts.values())


def _seen(observed):
    """An `ObservedOutcome` of the records that are measured or censored, and their positions."""
    places = np.flatnonzero(np.isfinite(observed.values) | observed.censored)
    return observed.at(places), places


def _scores(residual, f, s, observed, rho, rng):
    """Scores (sample, record) of the records of series; those of censored ones are drawn."""
    parts = parts_at(residual, s, observed)
    limits = censoring.limits(observed.values, observed.lower, observed.upper)
    compute = _score(residual.alone, shapes_of(parts))
    z, bottom, top = (compute(x[None], f, *parts.values()) for x in limits)
    return series.filled(observed.columns, z, bottom, top, rho, rng)


def innovations(residual, f, s, observed, rng):
    """What is new in each correlated measurement: its score given the one before it in its series, standard normal and
    independent, (sample, record). Scores of censored ones are drawn within their limits."""
    seen, places = _seen(observed)
    rho = np.broadcast_to(parts_at(residual, s, observed)["rho"], (len(f), 1))
    z, (before, step) = _scores(residual, f[:, places], s, seen, rho, rng), seen.series.links()
    r, found = series.correlations(rho, step), np.full(f.shape, np.nan)
    found[:, places] = (z - r * z[:, before]) / np.sqrt(1 - r**2)
    return found


@remembered
def _at_score(residual, parts):
    prediction, tensors = _given(residual, parts)
    z = pt.dmatrix("z")
    return function([z, prediction, *tensors.values()], residual.at_score(prediction, Named(**tensors), z), UNCHECKED)


@remembered
def _score(residual, parts):
    prediction, tensors = _given(residual, parts)
    y = pt.drow("y")
    score = residual.score(prediction, Named(**tensors), y + pt.zeros_like(prediction))
    return function([y, prediction, *tensors.values()], score, UNCHECKED)


@remembered
def _measured(residual, parts, positive):
    """A function that draws measurements, and its generators of random numbers, which are seeded anew for each use."""
    prediction, tensors = _given(residual, parts)
    variable = censoring.measurement(residual, prediction, Named(**tensors), positive)
    compute = pm.compile([prediction, *tensors.values()], variable, mode=UNCOMPILED, on_unused_input="ignore")
    return compute, [v for v in compute.get_shared() if isinstance(v.type, RandomType)]


def probabilities(residual, f, s, observed):
    """Probability of each ordered category at predictions, (sample, record, category)."""
    parts = parts_at(residual, s, observed)
    return _probabilities(residual, shapes_of(parts))(f, *parts.values())


@remembered
def _probabilities(residual, parts):
    prediction, tensors = _given(residual, parts)
    found = residual.probabilities(prediction, Named(**tensors))
    return function([prediction, *tensors.values()], found, UNCHECKED)


def log_density(residual, f, s, observed, positive=False):
    """Log-density of the measurements of an `ObservedOutcome`, (sample, record)."""
    limits = censoring.limits(observed.values, observed.lower, observed.upper)
    parts = parts_at(residual, s, observed)
    if residual.correlated:
        return _together(_density(residual, shapes_of(parts), True, False), limits, f, parts, observed)[0]
    special = (observed.censored | positive) & (not residual.folds)  # tails cost much more than a density
    f = f[..., : observed.nodes.time.shape[1]] if residual.folds else f
    found = np.empty(f.shape[:2])
    for censored, here in ((False, ~special), (True, special)):
        if not here.any():
            continue
        compute = _density(residual, shapes_of(parts), censored, positive)
        here = here if special.any() else slice(None)
        step = max(1, CHUNK // 20 // max(1, len(special)))  # arrays of a size that the cache of a processor holds
        for i in range(0, len(f), step):
            rows = slice(i, i + step)
            given = (x[None, here] for x in limits)
            found[rows, here] = compute(*given, f[rows, here], *_cut(parts, rows, here))
    return found


def _together(compute, limits, f, parts, observed):
    """What a function of limits, predictions and parts gives for records that depend on one another: a few samples at a
    time, for censored ones take room."""
    size = len(observed.row) + sum(len(runs.NODES) ** 2 * x.shape[1] for k, x in observed.columns.items() if RUN in k)
    found = []
    for i in range(0, len(f), max(1, CHUNK // size)):
        rows = slice(i, i + max(1, CHUNK // size))
        own = [x[rows] if len(x) > 1 else x for x in parts.values()]
        found.append(np.atleast_1d(compute(*(x[None] for x in limits), f[rows], *own)).reshape(-1, *f[rows].shape))
    return np.concatenate(found, axis=1)


def gradients(residual, f, s, observed):
    """Log-densities of correlated measurements, (sample, record), and the slopes of their sum in each prediction."""
    limits, parts = censoring.limits(observed.values, observed.lower, observed.upper), parts_at(residual, s, observed)
    return _together(_gradient(residual, shapes_of(parts)), limits, f, parts, observed)


def whitening(residual, f, s, observed, dense):
    """Two numbers (sample, record) that make of slopes g of correlated measurements those of independent ones of SD 1,
    own * g + other * g[..., before], of which the products sum up to the expected information.

    A censored record, of the log-density ``dense``, tells what the probability of its limit does: -(log Phi(x))''.
    """
    scale = np.exp(precisions(residual.alone, f, parts_at(residual.alone, s, observed))) * np.sqrt(2 * np.pi)
    r = series.correlations(np.reshape(s["rho"], (-1, 1)), observed.columns["gap"])
    hidden = dense[:, observed.censored]
    x = special.ndtri_exp(np.minimum(hidden, -1e-12))
    hazard = np.exp(-0.5 * x**2 - hidden) / np.sqrt(2 * np.pi)
    share = np.ones(f.shape)
    share[:, observed.censored] = np.sqrt(np.clip(hazard * (hazard + x), 0.0, 1.0))
    share = share / np.sqrt(1 - r**2)
    return share * scale, -share * r * scale[:, observed.columns["before"].astype(int)]


def slopes(residual, f, s, observed, positive=False):
    """Log-density of the measurements of an `ObservedOutcome`, its slope in the prediction and minus its curvature,
    (record,) or (draw, record) as the predictions ``f``. ``s`` holds the residual's parts, numbers or (term,).

    The curvature is the expected one where the residual gives it. Otherwise it is the mean of those at measurements one
    scatter above and below the prediction, which is the expected one of a normal residual; of censored records it is
    their own. The scatter follows from the precision. Where records depend on one another, the slope is that of the sum
    of all, and the curvature that of each record alone.
    """
    if residual.correlated:
        every = np.atleast_2d(f)
        value, slope = gradients(residual, every, one(s), observed)
        _, _, curvature = slopes(residual.alone, every, s, observed)
        return np.stack([value, slope, curvature]).reshape(3, *np.shape(f))
    limits = [x[None] for x in censoring.limits(observed.values, observed.lower, observed.upper)]
    special = observed.censored | positive
    every = np.atleast_2d(f)
    draws, found = len(every), np.zeros((3, *every.shape))
    parts = parts_at(residual, one(s), observed)
    for censored, here in ((False, ~special), (True, special)):
        if here.any():
            compute, at = _slopes(residual, shapes_of(parts), censored, positive), every[:, here].reshape(1, -1)
            given, own = [np.tile(x[:, here], draws) for x in limits], _cut(parts, slice(None), here)
            own = [np.tile(x, draws) if x.shape[1] > 1 else x for x in own]
            if censored or _expects(residual):
                value, slope, curvature = compute(*given, at, *own)
            else:
                value, slope, curvature = _spread(residual, compute, given, at, dict(zip(parts, own, strict=True)))
            found[:, :, here] = np.reshape([value, slope, np.maximum(-curvature, 0.0)], (3, draws, -1))
    return found.reshape(3, *np.shape(f))


def _spread(residual, compute, given, at, parts):
    """Log-densities and slopes of measurements, with the mean curvature at one scatter above and below predictions; all
    in one evaluation, for most of its time is none of arithmetic."""
    scatter = np.exp(-precisions(residual, at, parts)) / np.sqrt(2 * np.pi)
    apart = np.exp(scatter / at) if residual.positive else None
    pair = (at * apart, at / apart) if residual.positive else (at + scatter, at - scatter)
    limits = [np.concatenate([given[0], *pair], axis=1), *(np.tile(x, 3) for x in given[1:])]
    own = [np.tile(x, 3) if x.shape[1] > 1 else x for x in parts.values()]
    each = [x.reshape(3, -1) for x in compute(*limits, np.tile(at, 3), *own)]
    value, slope, (_, above, below) = each[0][0], each[1][0], each[2]
    return value, slope, (above + below) / 2


def one(s):
    """Parts of one sample, (1,) or (1, term)."""
    return {part: np.asarray(values, dtype=float)[None] for part, values in s.items()}


@remembered
def _expects(residual):
    """Whether a residual gives the information it expects."""
    parts = {part: pt.dcol(part) for part in (*residual.priors(1.0), *residual.columns)}
    return residual.information(pt.dmatrix("f"), Named(**parts)) is not None


def log_precisions(residual, f, s, observed=None):
    """How closely measurements tell predictions ``f``, (record,), see `Residual.log_precision`, by the mean record."""
    parts = parts_at(residual, one(s), observed)
    mean = {part: x.mean(axis=1, keepdims=True) for part, x in parts.items()}
    # of a part with a formula the mean is that on the formula's scale
    mean |= {k: np.exp(np.log(parts[k]).mean(axis=1, keepdims=True)) for k, x in s.items() if np.ndim(x)}
    return precisions(residual, f[None], mean)[0]


def precisions(residual, f, parts):
    return _height(residual, shapes_of(parts))(f, *parts.values())


@remembered
def _height(residual, parts):
    prediction, tensors = pt.dmatrix("f"), _given(residual, parts)[1]
    log_precision = residual.log_precision(prediction, Named(**tensors))
    return function([prediction, *tensors.values()], log_precision, UNCHECKED)


def distances(residual, f, s, observed, positive=False):
    """How many scatters the measurements of an `ObservedOutcome` lie above predictions ``f``, (record,).

    The integral of 1 / scatter from one to the other, which is the logarithm of a ratio where the scatter is
    proportional; 0 for censored records.
    """
    found, residual = np.zeros(len(f)), residual.alone
    if _expects(residual):
        return found
    here = ~(observed.censored | positive) & np.isfinite(f) & np.isfinite(observed.values)
    at, y = f[here], observed.values[here]
    both = (at > 0) & (y > 0)
    ratio = np.log(np.divide(y, at, out=np.ones_like(y), where=both))
    share = (NODES[:, None] + 1) / 2
    x = np.where(both, at * np.exp(share * ratio), at + share * (y - at))
    parts = parts_at(residual, one(s), observed)
    each = np.exp(precisions(residual, x, dict(zip(parts, _cut(parts, slice(None), here), strict=True))))
    found[here] = WEIGHTS / 2 @ (np.sqrt(2 * np.pi) * each * np.where(both, x * ratio, y - at))
    return found


@remembered
def _gradient(residual, parts):
    prediction, tensors, limits, density = _terms(residual, parts, True, False)
    outputs = [density, pt.grad(density.sum(), prediction)]
    mode = FILLED.including("local_remove_check_parameter")
    return function([*limits, prediction, *tensors.values()], outputs, mode)


@remembered
def _slopes(residual, parts, censored, positive):
    prediction, tensors, limits, density = _terms(residual, parts, censored, positive)
    slope = pt.grad(density.sum(), prediction)
    expected = None if censored else residual.information(prediction, Named(**tensors))
    bent = pt.grad(slope.sum(), prediction, disconnected_inputs="ignore") if expected is None else -expected
    return function([*limits, prediction, *tensors.values()], [density, slope, bent], UNCHECKED)


def _given(residual, parts):
    return (pt.dtensor3 if residual.folds else pt.dmatrix)("f"), {
        name: pt.tensor(name, dtype="float64", shape=shape) for name, *shape in parts
    }


@remembered
def _density(residual, parts, censored, positive):
    prediction, tensors, limits, density = _terms(residual, parts, censored, positive)
    # Without scatter there is no density, not an error: a particle of a forecast then has no weight.
    mode = FILLED.including("local_remove_check_parameter")
    return function([*limits, prediction, *tensors.values()], density, mode, trust=True)


def _terms(residual, parts, censored, positive):
    prediction, tensors = _given(residual, parts)
    s, limits = Named(**tensors), [pt.drow("measured"), pt.drow("lower"), pt.drow("upper")]
    if censored:
        density = censoring.log_density(residual, prediction, s, *limits, positive)
    else:
        first = prediction[..., 0] if residual.folds else prediction
        density = pm.logp(residual.likelihood(prediction, s), limits[0] + pt.zeros_like(first))
    return prediction, tensors, limits, density
