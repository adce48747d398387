"""Counts: Poisson and negative binomial, by exposure, with more zeros than they have."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from pytensor.tensor import TensorVariable

from nlmebayes.arguments import Positive, Text, checked, instance
from nlmebayes.outcomes.families import Family, not_whole, square
from nlmebayes.parameter.parameter import Prior
from nlmebayes.structure.stable import stirling

if TYPE_CHECKING:
    from nlmebayes.structure.structure import Named

STIRLING = 20.0  # from here on the series of log Gamma is exact to rounding


class Counts(Family):
    """Counts in an ``exposure``."""

    reads = ("exposure",)
    discrete = True
    values = "whole numbers from 0, with a positive exposure"

    def outside(self, y, s):
        return not_whole(y) | (_exposure_of(s) <= 0)

    def of_one(self, y, s):
        return y / _exposure_of(s)


@checked
@dataclass(frozen=True)
class Poisson(Counts):
    """y ~ Poisson(e f): f is the rate per unit of the exposure e.

    Parameters
    ----------
    exposure : str or float, optional
        Column with the exposure (person-years, area, size factor of a library), on the natural scale; 1 by default.

    Raises
    ------
    ModelError
        An argument of another kind: it is named, with what it may be.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> nb.Poisson("years").exposure
    'years'
    """

    exposure: Text | Positive | None = None

    def priors(self, scale):
        return {}

    def likelihood(self, f, s):
        return pm.Poisson.dist(f * _exposure(s))

    def information(self, f, s):
        return _exposure(s) / f

    def log_zero(self, f: TensorVariable, s: "Named") -> tuple[TensorVariable, TensorVariable]:
        """Log-probability of no event, and its slope in f.

        Parameters
        ----------
        f : array
            Rate.
        s : Named
            The parts and the columns by name.

        Returns
        -------
        tuple of array

        Examples
        --------
        >>> import numpy as np, nlmebayes as nb
        >>> value, slope = nb.Poisson().log_zero(np.array([2.0]), nb.Named(exposure=1.0))
        >>> value.tolist()
        [-2.0]
        """
        return -f * _exposure(s), -_exposure(s) * pt.ones_like(f)


@checked
@dataclass(frozen=True)
class NegativeBinomial(Counts):
    r"""Overdispersed counts with mean e f and variance :math:`e f + (a e f)^2`.

    The rate has a coefficient of variation a: 1/a^2 is R's ``size``, brms' ``shape``, PyMC's ``alpha``; a = 0 is
    `Poisson`. Prior: a ~ HalfNormal(1).

    Parameters
    ----------
    exposure : str or float, optional
        As of `Poisson`.

    Raises
    ------
    ModelError
        An argument of another kind: it is named, with what it may be.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> nb.NegativeBinomial("years").priors(scale=1.0)
    {'a': HalfNormal(sigma=1.0)}
    """

    exposure: Text | Positive | None = None

    def priors(self, scale):
        return {"a": Prior("HalfNormal", sigma=1.0)}

    def likelihood(self, f, s):
        return pm.CustomDist.dist(
            f * _exposure(s), s.a + pt.zeros_like(f), dist=_draw_counts, logp=_log_counts,
            class_name="Counts", dtype="int64",
        )  # fmt: skip

    def information(self, f, s):
        return _exposure(s) / (f * (1 + s.a**2 * f * _exposure(s)))

    def log_zero(self, f: TensorVariable, s: "Named") -> tuple[TensorVariable, TensorVariable]:
        """Log-probability of no event, and its slope in f.

        Parameters
        ----------
        f : tensor
            Rate.
        s : Named
            The parts and the columns by name.

        Returns
        -------
        tuple of tensor

        Examples
        --------
        >>> import pytensor.tensor as pt, nlmebayes as nb
        >>> value, slope = nb.NegativeBinomial().log_zero(pt.constant(2.0), nb.Named(exposure=1.0, a=pt.constant(1.0)))
        >>> float(value.eval().round(2)), float(slope.eval().round(2))
        (-1.1, -0.33)
        """
        e, u = _exposure(s), square(s.a)
        return -pt.log1p(u * e * f) / u, -e / (1 + u * e * f)


@checked
@dataclass(frozen=True)
class ZeroInflated(Family):
    """Counts of ``counts``, but 0 with probability pi whatever they would be. f is the mean (rate) of ``counts``.

    Prior: pi ~ Beta(1, 1).

    Parameters
    ----------
    counts : Poisson or NegativeBinomial
        Their law where they are not 0 for that reason.

    Raises
    ------
    ModelError
        An argument of another kind: it is named, with what it may be.

    References
    ----------
    Lambert (1992), Technometrics 34, 1-14, doi:10.2307/1269547.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> list(nb.ZeroInflated(nb.NegativeBinomial()).priors(scale=1.0))
    ['a', 'pi']
    """

    counts: Annotated[Counts, instance("Poisson() or NegativeBinomial()", Counts)] = field(default_factory=Poisson)

    discrete = True

    @property
    def columns(self):
        return self.counts.columns

    @property
    def values(self):
        return self.counts.values

    def priors(self, scale):
        return self.counts.priors(scale) | {"pi": Prior("Beta", alpha=1.0, beta=1.0)}

    def likelihood(self, f, s):
        pi = s.pi + pt.zeros_like(f)
        zero, counts = pm.DiracDelta.dist(pt.zeros_like(f, dtype="int64")), self.counts.likelihood(f, s)
        return pm.Mixture.dist(pt.stack([pi, 1 - pi], axis=-1), [zero, counts])

    def information(self, f, s):
        zero, slope = self.counts.log_zero(f, s)
        none = pt.exp(zero)
        lost = s.pi * none * slope**2 / (s.pi + (1 - s.pi) * none)
        return (1 - s.pi) * (self.counts.information(f, s) - lost)

    def outside(self, y, s):
        return self.counts.outside(y, s)

    def of_one(self, y, s):
        return self.counts.of_one(y, s)


def _exposure(s):
    return vars(s).get("exposure", 1.0)


def _exposure_of(columns):
    return columns.get("exposure", 1.0)


def _log_counts(y, mean, a):
    """Log-probability of the negative binomial, exact to rounding for any dispersion down to none.

    With r = 1/a^2, log Gamma(y + r) - log Gamma(r) - y log r is taken from the series of log Gamma where r is large.
    """
    r = 1 / square(a)
    large = pt.gt(r, STIRLING)
    far, near = pt.switch(large, r, STIRLING), pt.switch(large, STIRLING, r)
    rise = (y + far - 0.5) * pt.log1p(y / far) - y + stirling(y + far) - stirling(far)
    plain = pt.gammaln(y + near) - pt.gammaln(near) - y * pt.log(near)
    power = y * pt.log(pt.switch(pt.gt(mean, 0), mean, 1.0))
    found = pt.switch(large, rise, plain) + power - pt.gammaln(y + 1) - (y + r) * pt.log1p(mean / r)
    return pt.switch(pt.ge(y, 0) & (pt.gt(mean, 0) | pt.eq(y, 0)), found, -np.inf)


def _draw_counts(mean, a, size):
    rate = pm.Gamma.dist(alpha=1 / square(a), beta=1 / (square(a) * mean))
    return pm.Poisson.dist(pt.switch(pt.gt(a, 1e-7), rate, mean))
