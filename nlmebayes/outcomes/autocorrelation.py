r"""Residuals that remember: AR(1), in order or in continuous time, within any level.

With w the scatter of the residual inside and :math:`u_i = (y_i - f_i) / w_i`, the u of one series are a stationary
normal process whose correlation falls with the distance d of two records,

.. math:: u_i \mid u_{i-1} \sim N(r_i u_{i-1}, 1 - r_i^2), \qquad r_i = \rho^{d_i}

which is exact for any distances, so that a record that is missing from a series only widens a gap. The log-likelihood
of a record is conditional on the one before it: their sum is that of the series, and the LOO of `check` asks how well a
record is predicted from its predecessor by parameters that do not know it.
"""

from dataclasses import dataclass, field, replace

import numpy as np
import pymc as pm
import pytensor.tensor as pt

from nlmebayes.arguments import Positive, Text, checked
from nlmebayes.data.validate import DataError
from nlmebayes.errors import ModelError
from nlmebayes.outcomes.residual import Additive, Gaussian, Residual
from nlmebayes.parameter.parameter import Prior

FIRST = -1.0  # gap of the first record of a series


@checked
@dataclass(frozen=True)
class Autoregressive(Residual):
    """A residual whose deviations are correlated within a series: nlme's corAR1, or corCAR1 with ``over``.

    Predictions draw new series from the stationary law; they do not go on from the last measurement. Measurements
    cannot be censored: a censored record has no density of its own given its neighbours.

    Parameters
    ----------
    residual : Additive, Proportional, Combined or Power
    within : str, optional
        Level (or column) whose groups are the series; by default the subject.
    over : str, optional
        Column of positions or times: ``rho`` is then the correlation at the distance ``unit``, between 0 and 1. By
        default records are equally spaced, in their order, and ``rho`` lies between -1 and 1. Where visits are
        missing, name the column that numbers them.
    unit : float
        Distance at which ``rho`` is the correlation.

    Priors: those of ``residual``, and rho uniform.
    """

    residual: Gaussian = field(default_factory=Additive)
    within: Text | None = None
    over: Text | None = None
    unit: Positive = 1.0

    correlated = True

    def __post_init__(self):
        if self.residual.columns:
            raise ModelError(f"Autoregressive: residual must be {Gaussian.ARGUMENT}; got {self.residual}")

    @property
    def columns(self):
        return {"gap": 0.0}  # and those that `series` makes

    def priors(self, scale):
        lowest = -1.0 if self.over is None else 0.0
        return self.residual.priors(scale) | {"rho": Prior("Uniform", lower=lowest, upper=1.0)}

    def _correlation(self, s):
        """r of each record; 0 for the first of a series."""
        first = pt.lt(s.gap, 0)
        if self.over is None:
            return pt.switch(first, 0.0, s.rho)
        return pt.switch(first, 0.0, s.rho ** pt.switch(first, 1.0, s.gap))

    def likelihood(self, f, s):
        before = pt.cast(pt.as_tensor(s.before).flatten(), "int64")
        w, r = self.residual.scatter(f, s), self._correlation(s)
        pull = w * r * (s.previous - f[..., before]) / w[..., before]
        return pm.Normal.dist(f + pull, w * pt.sqrt(1 - r**2))

    def log_precision(self, f, s):
        """Of the level of a series: n records are worth n (1 - r) / (1 + r) independent ones."""
        rho = vars(s).get("rho", 0.0)
        r = rho ** pt.maximum(s.gap, 0.0) if self.over is not None and "rho" in vars(s) else rho
        return self.residual.log_precision(f, s) + 0.5 * (pt.log1p(-r) - pt.log1p(r))

    def log_tails(self, f, s, y):
        raise ModelError(
            "Autoregressive has no exact likelihood of censored measurements; leave them out (blq='M1'), or take "
            f"{self.residual} without correlation"
        )

    def draw(self, f, scatter, columns, rho, rng):
        """New series, (sample, record), from predictions and scatters (sample, record) and the columns of `series`."""
        gap, order = columns["gap"], order_of(columns["gap"], columns["before"].astype(int))
        u = rng.standard_normal(f.shape)
        r = np.where(gap < 0, 0.0, rho[:, None] ** np.where(self.over is None, 1.0, np.maximum(gap, 0.0)))
        fresh = u * np.sqrt(1 - r**2)
        for now, before in order:
            u[:, now] = r[:, now] * u[:, before] + fresh[:, now]
        return f + scatter * u


def series(residual, data, frame, observed):
    """An `ObservedOutcome` with what the likelihood reads: ``before`` the position of the record before each, its value
    ``previous``, and the ``gap`` to it in units (negative for the first of a series)."""
    within = residual.within or data.subject
    for column in filter(None, (within, residual.over)):
        if column not in frame.columns:
            have = ", ".join(c for c in frame.columns if c not in ("row", "outcome", "value", "lower", "upper"))
            raise DataError(f"{residual} reads the column {column!r}, which the data do not have; there are {have}")
    labels = frame[within].to_numpy()
    at = frame[residual.over].to_numpy(dtype=float) if residual.over else np.arange(len(frame), dtype=float)
    group = np.unique(labels.astype(str), return_inverse=True)[1]
    order = np.lexsort((at, group))
    same = group[order][1:] == group[order][:-1]
    before, gap = np.arange(len(frame)), np.full(len(frame), FIRST)
    before[order[1:][same]] = order[:-1][same]
    gap[order[1:][same]] = np.diff(at[order])[same] / residual.unit if residual.over else 1.0
    twice = np.flatnonzero((gap == 0) | ~np.isfinite(at))
    if twice.size:
        i = twice[0]
        what = "is missing" if not np.isfinite(at[i]) else f"is {at[i]:g} twice within {within} {labels[i]}"
        raise DataError(f"{data.source}, row {observed.row[i]}, column {residual.over}: {what}; a series has an order")
    previous = np.where(np.isnan(observed.values[before]), 0.0, observed.values[before])
    return replace(observed, columns={"gap": gap, "before": before.astype(float), "previous": previous})


def order_of(gap, before):
    """Pairs (records, those before them) by which series are followed, all series at once."""
    later = np.flatnonzero(gap >= 0)
    pairs, known = [], gap < 0
    while later.size:
        ready = later[known[before[later]]]
        pairs.append((ready, before[ready]))
        known[ready] = True
        later = np.setdiff1d(later, ready, assume_unique=True)
    return pairs
