"""The likelihood of measurements that are known to an interval only, such as those below the limit of quantification.

A record has a lower and an upper limit. It is censored where ``lower < upper``, and the measurement lies between them:
``(-inf, limit)`` left-censored, ``(limit, inf)`` right-censored. Everywhere else (no limits, or equal ones) it is
measured. With ``F`` the distribution function of the residual, the likelihood of a record is

    measured:  p(y)                      censored:  F(upper) - F(lower)

(M3 of Beal 2001, J. Pharmacokinet. Pharmacodyn. 28, 481-504, doi:10.1023/A:1012299115260; Bergstrand and Karlsson 2009,
AAPS J. 11, 371-380, doi:10.1208/s12248-009-9112-5), and where all measurements are known to be ``positive``

    measured:  p(y) / (1 - F(0))         censored:  (F(upper) - F(max(lower, 0))) / (1 - F(0))

(M4). The two are the same for a residual whose measurements are positive by themselves.
"""

import numpy as np
import pymc as pm
import pytensor.tensor as pt

from nlmebayes.structure.structure import Named

NARROW = 1e-5  # an interval that holds less than this part of its tail has the probability density times width


def limits(values, lower, upper):
    """The same three arrays (record,) without a missing number, as `pm.Data` wants them.

    A measured record gets its value for limits, a censored one without a value its finite limit for a value.
    """
    values, lower, upper = (np.asarray(array, dtype=float) for array in (values, lower, upper))
    censored = lower < upper
    finite = np.where(np.isfinite(upper), upper, np.where(np.isfinite(lower), lower, 0.0))
    return (
        np.where(censored & np.isnan(values), finite, values),
        np.where(censored, lower, values),
        np.where(censored, upper, values),
    )


def quantified(lower, upper):
    """The range (lowest, highest) in which an outcome is measured: the widest limits of its censored records.

    ``lower``, ``upper`` (record,) are missing for measured records. Replicates outside count as censored.
    """
    left, right = np.isneginf(lower) | (np.isfinite(lower) & (lower <= 0)), np.isposinf(upper)
    lowest = upper[left & ~right].max() if (left & ~right).any() else -np.inf
    return lowest, lower[right & ~left].min() if (right & ~left).any() else np.inf


def log_density(residual, f, s, value, lower, upper, positive=False):
    """Log-density of records some of which are censored, with the shape of ``f``.

    The gradient of a censored record is finite everywhere, far out in the tails and without scatter too.

    Parameters
    ----------
    residual : Residual
    f : tensor (record,) or (draw, record)
    s : Named
        The parts of the residual, scalars or (draw, 1).
    value, lower, upper : tensor (record,) or (1, record)
        The value of a censored record and missing limits of a measured one are not read.
    positive : bool
        Whether everything is conditioned on positive measurements (M4).

    Raises
    ------
    ModelError
        The residual has no `Residual.log_tails`.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> from nlmebayes.structure.structure import Named
    >>> density = log_density(nb.Additive(), pt.as_tensor([1.0, 1.0]), Named(a=0.5), [1.0, np.nan], [np.nan, -np.inf],
    ...                       [np.nan, 1.0])
    >>> np.exp(density.eval(mode="FAST_COMPILE")).round(4)
    array([0.7979, 0.5   ])
    """
    value, lower, upper = (pt.as_tensor_variable(x) + pt.zeros_like(f) for x in (value, lower, upper))
    if residual.correlated:
        return residual.log_density(f, s, value, lower, upper)
    censored = pt.lt(lower, upper)
    if positive:
        lower, upper = pt.maximum(lower, 0.0), pt.maximum(upper, 0.0)
    bottom, top = pt.switch(censored, lower, -np.inf), pt.switch(censored, upper, np.inf)
    # One call for all the limits, not one each, keeps the compilation short.
    below, above = residual.log_tails(f, s, pt.stack([bottom, top, pt.zeros_like(f)][: 3 if positive else 2]))
    inside, narrow = log_interval(below, above)
    # One density serves the measured records and the narrow intervals; the others are computed, away from zero scatter,
    # and thrown away.
    read = pt.invert(censored) | narrow
    at = pt.switch(censored, pt.switch(narrow, 0.5 * (lower + upper), 1.0), value)
    density = pm.logp(residual.likelihood(pt.switch(read, f, 1.0), s), at)
    width = pt.log(pt.switch(narrow, upper - lower, 1.0))
    found = pt.switch(censored, pt.switch(narrow, density + width, inside), density)
    if not positive:
        return found
    possible = pt.neq(above[2], -np.inf) & pt.or_(censored, pt.gt(value, 0.0))
    return pt.switch(possible, found - pt.switch(possible, above[2], 0.0), -np.inf)


def log_interval(below, above):
    """log(F(top) - F(bottom)) from the log-tails at (bottom, top, ...), and where the interval is too narrow for that.

    The difference is taken in the tail in which the interval lies.
    """
    upper = pt.lt(above[0], below[1])
    whole, part = pt.switch(upper, above[0], below[1]), pt.switch(upper, above[1], below[0])
    alone = pt.isinf(part)  # nothing to subtract
    gap = pt.switch(alone, 1.0, pt.switch(alone, 0.0, whole) - pt.switch(alone, 0.0, part))
    narrow = pt.lt(gap, NARROW)
    rest = pt.log(-pt.expm1(-pt.switch(narrow, 1.0, gap)))
    return whole + pt.switch(alone, 0.0, rest), narrow


def measurement(residual, f, s, positive=False):
    """A draw of the measurement itself, uncensored, as a tensor with the shape of ``f``.

    With ``positive`` the law of the residual is cut at zero; where there is no scatter the draw is ``f``.
    """
    if residual.positive or not positive:
        return residual.likelihood(f, s)
    exact = pt.isinf(residual.log_tails(f, s, f)[0])
    law = residual.likelihood(pt.switch(exact, 1.0, f), s)
    return pt.switch(exact, f, pm.Truncated.dist(law, lower=0.0))


def register(residual, f, s, values, lower, upper, name, dim, positive=False):
    """Add the records of an outcome to the PyMC model in context, as one observed variable ``name``.

    Its log-density is `log_density`; its draws are of `measurement`, new series where records are correlated. What
    differs between datasets is the data ``<name>_observed``, ``<name>_lower`` and ``<name>_upper``, in the encoding of
    `limits`.

    Returns
    -------
    TensorVariable
    """
    given = zip(("observed", "lower", "upper"), limits(values, lower, upper), strict=True)
    data = {kind: pm.Data(f"{name}_{kind}", array, dims=dim) for kind, array in given}
    parts = vars(s)
    residual.log_tails(f, s, f)  # one without tails refuses here, not when the density is asked for

    def density(value, lower, upper, f, *values):
        return log_density(residual, f, Named(**dict(zip(parts, values, strict=True))), value, lower, upper, positive)

    def draw(lower, upper, f, *values_and_size):
        values = values_and_size[:-1]  # the size is that of f
        return measurement(residual, f, Named(**dict(zip(parts, values, strict=True))), positive)

    return pm.CustomDist(
        name, data["lower"], data["upper"], f, *parts.values(), dist=draw, logp=density, observed=data["observed"],
        dims=(dim,), class_name="Censored",
    )  # fmt: skip
