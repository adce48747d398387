"""Measurements that are means: of an arm with its standard error, or of so many individuals, beside individual data."""

from dataclasses import dataclass, field

import numpy as np
import pytensor.tensor as pt

from nlmebayes.arguments import Text, checked
from nlmebayes.errors import ModelError
from nlmebayes.outcomes.residual import Additive, Gaussian


@checked
@dataclass(frozen=True)
class Aggregate(Gaussian):
    r"""A normal residual of which some records are means.

    .. math:: y \sim N(f, w / \sqrt n), \qquad\text{or}\qquad y \sim N(f, se) \;\text{ where a standard error is given}

    With ``w`` the scatter of ``residual``. A record of n = 1 without a standard error is a measurement of one
    individual. ``f`` is the prediction at the record's own parameters: the mean of an arm is taken for what its typical
    member does, which is exact where the structure is linear in the effects that differ within the arm; their variance
    belongs to the standard error.

    Parameters
    ----------
    residual : Additive, Proportional, Combined or Power, or None
        Of one individual. ``None``: every record has a standard error, as in a meta-analysis.
    n : str, optional
        Column with the number of individuals of each record, from 1.
    error : str, optional
        Column with the standard error; empty where the record is not reported with one.

    Raises
    ------
    ModelError
        An argument of another kind: it is named, with what it may be.

    References
    ----------
    Hedges and Olkin (1985), Statistical Methods for Meta-Analysis, Academic Press, for means with known errors.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> nb.Aggregate(nb.Additive(), n="n").priors(scale=2.0)
    {'a': HalfNormal(sigma=2.0)}
    """

    residual: Gaussian | None = field(default_factory=Additive)
    n: Text | None = None
    error: Text | None = None

    @property
    def optional(self):
        return ("error",) if self.residual is not None else ()

    def __post_init__(self):
        if self.residual is not None and self.residual.columns:
            raise ModelError(f"Aggregate: residual must be {self.ARGUMENT} or None; got {self.residual}")
        if self.n is None and self.error is None:
            raise ModelError("Aggregate: name the column of sample sizes, n=, or of standard errors, error=")
        if self.residual is None and self.error is None:
            raise ModelError("Aggregate without a residual needs standard errors, error='column'")

    @property
    def columns(self):
        given = {"n": self.n, "error": self.error}
        return {name: column for name, column in given.items() if column is not None}

    @property
    def values(self):
        return "measurements with n from 1 and a positive standard error"

    @property
    def spread(self):
        """In LaTeX: that of an individual by the root of n, or the standard error."""
        own = [] if self.residual is None else [f"({self.residual.spread})" + r"/\sqrt{{n}}" * (self.n is not None)]
        return r"\ \mathrm{{or}}\ ".join([*own, *(["se"] if self.error is not None else [])])

    def priors(self, scale):
        return {} if self.residual is None else self.residual.priors(scale)

    def scatter(self, f, s):
        own = vars(s)
        if self.residual is None:
            return own["error"] + pt.zeros_like(f)
        each = self.residual.scatter(f, s)
        each = each / pt.sqrt(own["n"]) if "n" in own else each
        if "error" not in own:
            return each
        return pt.switch(pt.gt(own["error"], 0), own["error"] + pt.zeros_like(f), each)

    def outside(self, y, s):
        few = s["n"] < 1 if "n" in s else np.zeros(len(y), dtype=bool)
        if "error" not in s:
            return few
        return few | (s["error"] <= 0 if self.residual is None else s["error"] < 0)
