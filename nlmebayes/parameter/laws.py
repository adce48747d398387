"""Priors coordinate by coordinate: of one family, or each of its own, of a value or of its square (a variance)."""

from dataclasses import dataclass

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from pymc.logprob.transforms import Transform
from scipy import stats

from nlmebayes.errors import ModelError
from nlmebayes.parameter.parameter import Prior, support
from nlmebayes.runtime.uncompiled import UNCOMPILED

SQUARED = "**2"  # after the name of a variable: the prior is one of its square
IMPROPER = ("Flat", "HalfFlat")
DRAWS = 20_000  # for quantiles that have no closed form


@dataclass(frozen=True)
class Law:
    """The prior of one coordinate of a variable, or of its square; ``origin`` is "default" or "model"."""

    variable: str
    coordinate: str
    prior: Prior
    squared: bool
    origin: str

    @property
    def name(self):
        """As it is called in words."""
        return f"{self.variable}[{self.coordinate}]" if self.coordinate else self.variable

    @property
    def text(self):
        """As it is written, numbers to six digits."""
        values = ", ".join(f"{k}={v}" if v is None else f"{k}={v:g}" for k, v in self.prior.parameters.items())
        text = f"{self.prior.family}({values})"
        return f"{text} of its square" if self.squared else text

    @property
    def row(self):
        """As `priors` lists it."""
        return {"variable": self.variable, "coordinate": self.coordinate, "prior": self.text, "from": self.origin}

    @property
    def bounds(self):
        """Least and largest value."""
        low, high = support(self.prior)
        return (max(low, 0.0) ** 0.5, high**0.5) if self.squared else (low, high)

    def value(self):
        """A PyMC variable of the value."""
        return pt.sqrt(self.prior.of()) if self.squared else self.prior.of()


def alike(laws):
    """(positions, prior of all of them, whether of the square) for laws of one family with the same parameters."""
    found = {}
    for k, law in enumerate(laws):
        kind = law.prior.family, law.squared, tuple((key, v is None) for key, v in law.prior.parameters.items())
        found.setdefault(kind, []).append(k)
    for (family, squared, keys), here in found.items():
        values = {key: None if none else [laws[k].prior.parameters[key] for k in here] for key, none in keys}
        yield here, Prior(family, values), squared


def quantiles(laws, shares):
    """Quantiles of each law, (law, share), None of an improper one; of correlations those of one of them."""
    found = [None] * len(laws)
    for here, prior, squared in alike(laws):
        if prior.family in IMPROPER:
            continue
        if prior.family == "LKJCorr":
            each = [_correlation(laws[k].prior.parameters, shares) for k in here]
        else:
            each = _quantiles(prior, len(here), shares)
        for k, q in zip(here, each, strict=True):
            found[k] = np.sqrt(q) if squared else np.asarray(q)
    return found


def _quantiles(prior, n, shares):
    """Quantiles of the coordinates of a prior, (coordinate, share), from draws where PyMC has no inverse."""
    variable = prior.of()
    try:
        return np.stack([pm.icdf(variable, np.full(n, q)).eval(mode=UNCOMPILED) for q in shares], axis=1)
    except NotImplementedError:
        drawn = pm.draw(variable, DRAWS, random_seed=0, mode=UNCOMPILED)
        return np.quantile(drawn, shares, axis=0).T


def _correlation(given, shares):
    """Of one correlation under an LKJ law: 2 Beta(a, a) - 1, a = eta + n / 2 - 1 (Lewandowski et al. 2009)."""
    a = given["eta"] + given["n"] / 2 - 1
    return 2 * stats.beta(a, a).ppf(shares) - 1


def add_each(laws, dim, transform=None):
    """Add the variable of these laws, of one name, to the current PyMC model; without bounds under a ``transform``.

    Raises
    ------
    ModelError
        One of several families is improper, which leaves nothing to draw from.
    """
    name, (_, prior, squared), *others = laws[0].variable, *alike(laws)
    low, high = np.array([law.bounds for law in laws]).T
    free = np.isinf(low).all() and np.isinf(high).all()
    if not others and not squared:
        same = {k: v and len(set(v)) == 1 for k, v in prior.parameters.items()}
        whole = Prior(prior.family, {k: v[0] if same[k] else v for k, v in prior.parameters.items()})
        return whole.add(name, dims=dim, **({"default_transform": transform} if free and transform else {}))
    improper = [law for law in laws if law.prior.family in IMPROPER]
    if improper:
        raise ModelError(f"prior of {name}: {improper[0].text} of {improper[0].coordinate or name} beside others; give "
                         "all of them an improper prior, or none")  # fmt: skip
    if dim is None:
        own, shape = Between(low[0], high[0]), {}
    else:
        own, shape = Between(low, high), {"dims": dim, "signature": "->(k)"}

    def drawn(size):
        return pt.stack([law.value() for law in laws]) if dim else laws[0].value()

    return pm.CustomDist(
        name, dist=drawn, default_transform=transform if free and transform else own, class_name="Each", **shape
    )


class Between(Transform):
    """Coordinates between bounds of their own, taken to the real line: as they are, by a logarithm, by a logit."""

    name = "between"

    def __init__(self, low, high):
        low, high = np.asarray(low, dtype=float), np.asarray(high, dtype=float)
        self.below, self.above = np.isfinite(low), np.isfinite(high)
        self.low, self.high = np.where(self.below, low, 0.0), np.where(self.above, high, 1.0)

    def _cases(self, free, above, below, both):
        one = pt.switch(self.below, below, above)
        return pt.switch(self.below & self.above, both, pt.switch(self.below | self.above, one, free))

    def forward(self, value, *inputs):
        over = pt.log(pt.switch(self.below, value - self.low, 1.0))
        under = pt.log(pt.switch(self.above, self.high - value, 1.0))
        return self._cases(value, -under, over, over - under)

    def backward(self, value, *inputs):
        inside = self.low + (self.high - self.low) * pt.sigmoid(value)
        bounded = pt.switch(self.below ^ self.above, value, 0.0)
        return self._cases(value, self.high - pt.exp(-bounded), self.low + pt.exp(bounded), inside)

    def log_jac_det(self, value, *inputs):
        inside = np.log(np.abs(self.high - self.low)) - pt.softplus(value) - pt.softplus(-value)
        return self._cases(pt.zeros_like(value), -value, value, inside)
