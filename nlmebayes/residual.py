"""How a measurement scatters around the prediction: frozen records, one method that gives the likelihood.

In every formula ``f`` is the individual prediction (IPRED), in the unit of the outcome. The scale parameters
(``a``, ``b``, ...) are standard deviations or fractions, never variances; they enter the posterior as
``sigma_<outcome>_<part>``.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import pymc as pm
import pytensor.tensor as pt

from nlmebayes.parameter import Prior


class Residual(ABC):
    """A distribution of the measurement given the prediction."""

    positive = False  # whether only positive measurements have a density

    @abstractmethod
    def priors(self, scale) -> dict[str, Prior]:
        """Default prior of each part, by name, in the order of the docstring.

        ``scale`` is the SD of the measurements, in their unit.
        """

    @abstractmethod
    def likelihood(self, f, s):
        """Distribution of the measurement: an unregistered PyMC variable with the shape of ``f``.

        ``f`` is a tensor (record,) or (draw, record); ``s`` holds the parts by name, scalars or (draw, 1).
        """


def _additive(scale):
    return Prior("HalfNormal", sigma=float(f"{scale:.3g}"))


_PROPORTIONAL = Prior("HalfNormal", sigma=0.5)


@dataclass(frozen=True)
class Additive(Residual):
    """y ~ Normal(f, a). Prior: a ~ HalfNormal(SD of the measurements)."""

    def priors(self, scale):
        return {"a": _additive(scale)}

    def likelihood(self, f, s):
        return pm.Normal.dist(f, s.a + pt.zeros_like(f))


@dataclass(frozen=True)
class Proportional(Residual):
    """y ~ Normal(f, b |f|). Prior: b ~ HalfNormal(0.5)."""

    def priors(self, scale):
        return {"b": _PROPORTIONAL}

    def likelihood(self, f, s):
        return pm.Normal.dist(f, s.b * pt.abs(f))


@dataclass(frozen=True)
class Combined(Residual):
    """Additive and proportional error together, in one of the two conventions in use.

    ``Combined("sd")``: y ~ Normal(f, a + b |f|) (NONMEM's W = a + b*F, Monolix' combined1, posologyr).
    ``Combined("variance")``: y ~ Normal(f, sqrt(a^2 + b^2 f^2)) (two epsilons in NONMEM, Monolix' combined2,
    saemix, nlmixr2's default). The same data give values of a and b that differ by 20 to 45 % between the two.
    Priors: a ~ HalfNormal(SD of the measurements), b ~ HalfNormal(0.5).
    """

    form: str = "sd"

    def __post_init__(self):
        if self.form not in ("sd", "variance"):
            raise ValueError(f"Combined: no form {self.form!r}; forms are 'sd' (a + b f) and 'variance' (a² + b² f²)")

    def priors(self, scale):
        return {"a": _additive(scale), "b": _PROPORTIONAL}

    def likelihood(self, f, s):
        if self.form == "sd":
            return pm.Normal.dist(f, s.a + s.b * pt.abs(f))
        return pm.Normal.dist(f, pt.sqrt(s.a**2 + (s.b * f) ** 2))


@dataclass(frozen=True)
class Power(Residual):
    """y ~ Normal(f, b |f|^c). Priors: b ~ HalfNormal(0.5), c ~ LogNormal(0, 0.5)."""

    def priors(self, scale):
        return {"b": _PROPORTIONAL, "c": Prior("LogNormal", mu=0.0, sigma=0.5)}

    def likelihood(self, f, s):
        # |f|^c has an infinite slope at f = 0 for c < 1; there the scatter is zero in any case.
        size = pt.abs(f)
        positive = pt.gt(size, 0.0)
        return pm.Normal.dist(f, pt.switch(positive, s.b * pt.switch(positive, size, 1.0) ** s.c, 0.0))


@dataclass(frozen=True)
class LogNormal(Residual):
    """log y ~ Normal(log f, a): f is the median of the measurement. Prior: a ~ HalfNormal(0.5)."""

    positive = True

    def priors(self, scale):
        return {"a": _PROPORTIONAL}

    def likelihood(self, f, s):
        # No density where the prediction is not positive; the inner switch keeps the gradient finite there.
        positive = pt.gt(f, 0.0)
        median = pt.switch(positive, pt.log(pt.switch(positive, f, 1.0)), -np.inf)
        return pm.LogNormal.dist(median, s.a + pt.zeros_like(f))


@dataclass(frozen=True)
class StudentT(Residual):
    """y ~ StudentT(nu, f, a): additive with heavy tails. Priors: a as `Additive`, nu ~ Gamma(2, 0.1).

    The prior of nu is that of Juárez and Steel (2010), J. Bus. Econ. Stat. 28, 52-66.
    """

    def priors(self, scale):
        return {"a": _additive(scale), "nu": Prior("Gamma", alpha=2.0, beta=0.1)}

    def likelihood(self, f, s):
        return pm.StudentT.dist(nu=s.nu + pt.zeros_like(f), mu=f, sigma=s.a + pt.zeros_like(f))


def scale_of(values):
    """SD of the measurements (1 where there is none), the unit of the default prior of an additive part."""
    values = np.asarray(values, dtype=float)
    values = values[np.isfinite(values)]
    spread = values.std() if values.size > 1 else 0.0
    return float(spread) if spread > 0 else 1.0
