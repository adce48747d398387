"""Families of outcomes that are no measurement with scatter: counts, proportions, categories, skewed amounts.

``f`` is the mean on the family's natural scale (a probability, a rate, an amount), so that the link of a structure's
parameter makes the generalised linear mixed model: a logit link with `Binomial`, a log link with `Poisson`. Only
`OrderedLogistic` takes ``f`` on the logit scale. Dispersions are like standard deviations, not precisions: ``a`` is
zero without overdispersion, so that its prior can say that there is little.

Each family gives the expected information on ``f``, which makes the pilot iteratively reweighted least squares.
"""

from abc import abstractmethod
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from pytensor.tensor import TensorVariable

from nlmebayes.arguments import Count, Text, checked, whole
from nlmebayes.errors import ModelError
from nlmebayes.outcomes.residual import Residual
from nlmebayes.parameter.parameter import Prior
from nlmebayes.structure.stable import trigamma
from nlmebayes.structure.structure import Named

LEAST = 1e-30  # least squared dispersion: one of zero is the limit
EDGE = 1e-15  # least distance of a probability from 0 and 1


class Family(Residual):
    """An outcome with a distribution of its own. A new one gives `priors`, `likelihood`, `information`, `outside`."""

    comparable = False
    reads = ()  # fields that name a column of the data, or are a number
    values = ""  # what its outcomes can be, in words

    @property
    def columns(self):
        return {name: getattr(self, name) for name in self.reads if getattr(self, name) is not None}

    @abstractmethod
    def information(self, f, s):
        """Expected information of one record on ``f``, with the shape of ``f``."""

    @abstractmethod
    def outside(self, y, s):
        """Which outcomes (record,) are impossible; ``s`` holds the columns, arrays (record,)."""

    def log_precision(self, f, s):
        return 0.5 * pt.log(self.information(f, s))

    def log_tails(self, f, s, y):
        raise ModelError(
            f"{self} cannot be censored or cut at zero: limits of quantification (M3, M4) are of measurements with a "
            "residual, such as Additive() or LogNormal(). Leave the limits out of the Dataset"
        )


def not_whole(y):
    return (y < 0) | (y != np.round(y))


def _probability(f):
    return pt.clip(f, EDGE, 1 - EDGE)


@checked
@dataclass(frozen=True)
class Bernoulli(Family):
    """y ~ Bernoulli(f): f is the probability that y is 1.

    Examples
    --------
    >>> import numpy as np, pymc as pm, nlmebayes as nb
    >>> pm.draw(nb.Bernoulli().likelihood(np.array([0.0, 1.0]), nb.Named())).tolist()
    [0, 1]
    """

    probability = True
    discrete = True
    values = "0 or 1"

    def priors(self, scale):
        return {}

    def likelihood(self, f, s):
        return pm.Bernoulli.dist(p=_probability(f))

    def information(self, f, s):
        return 1 / (_probability(f) * (1 - _probability(f)))

    def outside(self, y, s):
        return ~np.isin(y, (0.0, 1.0))

    def shares(self, y, s):
        return {"1": (y, np.ones_like(y))}


@checked
@dataclass(frozen=True)
class Binomial(Family):
    """y ~ Binomial(n, f): y successes in n trials of probability f.

    Parameters
    ----------
    n : str or int
        Column of the data with the number of trials (``"n"`` by default), or that number.

    Raises
    ------
    ModelError
        A number of trials below 1.

    Examples
    --------
    >>> import numpy as np, pymc as pm, nlmebayes as nb
    >>> pm.draw(nb.Binomial(10).likelihood(np.array([0.0, 1.0]), nb.Named(n=10))).tolist()
    [0, 10]
    """

    n: Text | Count = "n"
    reads = ("n",)
    probability = True
    discrete = True
    values = "whole numbers from 0 to n"

    def priors(self, scale):
        return {}

    def likelihood(self, f, s):
        return pm.Binomial.dist(n=pt.cast(s.n, "int64"), p=_probability(f))

    def information(self, f, s):
        return s.n / (_probability(f) * (1 - _probability(f)))

    def outside(self, y, s):
        return not_whole(y) | (y > s["n"]) | not_whole(s["n"])

    def of_one(self, y, s):
        return y / s["n"]

    def shares(self, y, s):
        return {"successes": (y, s["n"] + np.zeros_like(y))}


@checked
@dataclass(frozen=True)
class Gamma(Family):
    """y ~ Gamma with mean f and coefficient of variation a (shape 1/a^2). Prior: a ~ HalfNormal(0.5).

    Examples
    --------
    >>> import nlmebayes as nb
    >>> nb.Gamma().priors(scale=1.0)
    {'a': HalfNormal(sigma=0.5)}
    """

    comparable = True
    positive = True
    values = "positive numbers"

    def priors(self, scale):
        return {"a": Prior("HalfNormal", sigma=0.5)}

    def likelihood(self, f, s):
        shape = 1 / square(s.a)
        return pm.Gamma.dist(alpha=shape + pt.zeros_like(f), beta=shape / f)

    def information(self, f, s):
        return 1 / (square(s.a) * f**2)

    def outside(self, y, s):
        return y <= 0


@checked
@dataclass(frozen=True)
class Beta(Family):
    r"""y ~ Beta with mean f and SD :math:`a \sqrt{f (1 - f)}`, the fraction a of the largest possible SD.

    The precision of Ferrari and Cribari-Neto (2004), J. Appl. Stat. 31, 799-815, is 1/a^2 - 1. Prior: a ~ Beta(1, 3).

    Examples
    --------
    >>> import nlmebayes as nb
    >>> nb.Beta().priors(scale=1.0)
    {'a': Beta(alpha=1.0, beta=3.0)}
    """

    positive = True
    probability = True
    values = "between 0 and 1, both excluded"

    def priors(self, scale):
        return {"a": Prior("Beta", alpha=1.0, beta=3.0)}

    def _shapes(self, f, s):
        precision = 1 / square(s.a) - 1
        return precision * _probability(f), precision * (1 - _probability(f))

    def likelihood(self, f, s):
        alpha, beta = self._shapes(f, s)
        return pm.Beta.dist(alpha=alpha, beta=beta)

    def information(self, f, s):
        alpha, beta = self._shapes(f, s)
        return (1 / square(s.a) - 1) ** 2 * (trigamma(alpha) + trigamma(beta))

    def log_precision(self, f, s):
        return -pt.log(s.a) - 0.5 * pt.log(_probability(f) * (1 - _probability(f)))  # that of the variance: cheaper

    def outside(self, y, s):
        return (y <= 0) | (y >= 1)


@checked
@dataclass(frozen=True)
class OrderedLogistic(Family):
    r"""Ordered categories 1, 2, ..., K: a cumulative logit model (proportional odds).

    .. math:: P(y > k) = \operatorname{logit}^{-1}(f - c_k), \qquad c_1 = 0, \quad c_k = c_{k-1} + step_k

    ``f`` is on the logit scale: its structure has an identity link, and its intercept is the place of the first
    cutpoint. The parts are the steps between cutpoints, ``step2``, ..., ``step{K-1}``. Priors: step ~ Gamma(2, 1).

    Parameters
    ----------
    categories : int
        K, at least 2.

    Raises
    ------
    ModelError
        An argument of another kind: it is named, with what it may be.

    References
    ----------
    McCullagh (1980), J. R. Stat. Soc. B 42, 109-142.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> nb.OrderedLogistic(4).priors(scale=1.0)
    {'step2': Gamma(alpha=2.0, beta=1.0), 'step3': Gamma(alpha=2.0, beta=1.0)}
    """

    categories: Annotated[int, whole("a whole number from 2 to 1000", 2, 1000)] = 2

    discrete = True

    @property
    def values(self):
        return f"whole numbers from 1 to {self.categories}"

    def priors(self, scale):
        return {f"step{k}": Prior("Gamma", alpha=2.0, beta=1.0) for k in range(2, self.categories)}

    def _above(self, f, s):
        """Logits of P(y > k) for k = 1, ..., K - 1, along a new last axis."""
        cut, found = pt.zeros_like(f), [f]
        for k in range(2, self.categories):
            cut = cut + vars(s)[f"step{k}"]
            found.append(f - cut)
        return found

    def probabilities(self, f: TensorVariable, s: Named) -> TensorVariable:
        """P(y = 1), ..., P(y = K), along a new last axis.

        Parameters
        ----------
        f, s
            As in `likelihood`.

        Returns
        -------
        tensor (..., record, category)

        Examples
        --------
        >>> import numpy as np, nlmebayes as nb
        >>> nb.OrderedLogistic(2).probabilities(np.array([0.0]), nb.Named()).eval().tolist()
        [[0.5, 0.5]]
        """
        return pt.exp(self._log_probabilities(f, s))

    def _log_probabilities(self, f, s):
        above = self._above(f, s)
        inner = [
            -pt.softplus(-low) - pt.softplus(high) + pt.log(-pt.expm1(high - low)) for low, high in pairwise(above)
        ]
        return pt.stack([-pt.softplus(above[0]), *inner, -pt.softplus(-above[-1])], axis=-1)

    def likelihood(self, f, s):
        parts = list(vars(s))

        def probabilities(f, *values):
            given = type(s)(**dict(zip(parts, values, strict=True)))
            return self._log_probabilities(f, given)

        def density(y, f, *values):
            at = pt.cast(y, "int64") - 1
            found = [pt.switch(pt.eq(at, k), probabilities(f, *values)[..., k], 0.0) for k in range(self.categories)]
            return pt.switch(pt.ge(at, 0) & pt.lt(at, self.categories), sum(found), -np.inf)

        def draw(f, *values_and_size):
            return 1 + pm.Categorical.dist(logit_p=probabilities(f, *values_and_size[:-1]))

        return pm.CustomDist.dist(f, *vars(s).values(), dist=draw, logp=density, class_name="Ordered", dtype="int64")

    def of_one(self, y, s):
        raise ModelError("a category has no place on the scale of the prediction, which is that of logits")

    def shares(self, y, s):
        return {f"above {k}": (np.asarray(y > k, dtype=float), np.ones_like(y)) for k in range(1, self.categories)}

    def information(self, f, s):
        above = [pt.sigmoid(x) for x in self._above(f, s)]
        slopes = [x * (1 - x) for x in above]
        probability = self.probabilities(f, s)
        ends = [0.0 * f, *slopes, 0.0 * f]
        each = [(ends[k] - ends[k + 1]) ** 2 / probability[..., k] for k in range(self.categories)]
        return sum(each)

    def outside(self, y, s):
        return not_whole(y) | (y < 1) | (y > self.categories)


def square(a):
    return pt.maximum(a**2, LEAST)
