r"""Residuals that remember: AR(1), in order or in continuous time, within any level.

Every measurement is a rising function of a normal score z, :math:`\Phi(z_i) = F(y_i; f_i)` with F the law of the
residual inside: (y - f) / w of a normal one, (log y - log f) / a of a log-normal one. The scores of one series are a
stationary normal process whose correlation falls with the distance d of two records,

.. math:: z_i \mid z_j \sim N(r z_j, 1 - r^2), \qquad r = \rho^{d_{ij}}

so that each record alone has the law of the residual inside, whatever rho, and a record that is missing from a series
only widens a gap. (Of a Student law that is a normal copula: Song 2000, Scand. J. Stat. 27, 305-320,
doi:10.1111/1467-9469.00191; Masarotto and Varin 2012, Electron. J. Stat. 6, 1517-1549, doi:10.1214/12-EJS721. ``ar()``
of brms differs: with a Student family and ``cov = FALSE`` it has Student innovations around rho times the last
residual, so that a record alone is not Student's and a missing one changes the law; with ``cov = TRUE`` all records of
a series are one multivariate Student vector, which shares its outliers.)

The log-likelihood of a measured record is conditional on the measured one before it,

.. math:: \log p(y_i) + \log \phi(z_i; r z_j, 1 - r^2) - \log \phi(z_i)

and that of a censored one on all measured ones and on the censored ones just before it (`runs`). Their sum is the
density of the measured records times the normal rectangle of the censored ones given them: that of the series. The LOO
of `check` asks how well a record is told by its neighbours and by parameters that do not know it.
"""

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pymc as pm
import pytensor.tensor as pt
from pytensor.tensor import TensorVariable

from nlmebayes.arguments import Positive, Text, checked
from nlmebayes.data.validate import DataError
from nlmebayes.errors import ModelError
from nlmebayes.outcomes import runs
from nlmebayes.outcomes.residual import Additive, Continuous, Residual
from nlmebayes.parameter.parameter import Prior

if TYPE_CHECKING:
    from nlmebayes.structure.structure import Named

NONE = -1.0  # distance to a record that there is not
RUN = "run_"  # columns of the k-th censored records of runs


@checked
@dataclass(frozen=True)
class Autoregressive(Residual):
    """A residual whose deviations are correlated within a series: nlme's corAR1, or corCAR1 with ``over``.

    ``Autoregressive(LogNormal())`` is AR(1) of log y - log f; of ``StudentT()`` every record alone is Student's
    (the first lines of the module say how they hang together). Censored records have the probability that the series
    gives them (M3, limits of any kind). Priors: those of ``residual``, and rho uniform.

    What was measured is the past of a series: a forecast, and with ``over`` any prediction for a series that the tree
    has measurements of, draws the measurement at another record given them. Records that are measured themselves have
    replicates, which are series of their own.

    Parameters
    ----------
    residual : Additive, Proportional, Combined, Power, LogNormal or StudentT
        Of one record.
    within : str, optional
        Level (or column) whose groups are the series; by default the subject.
    over : str, optional
        Column of positions or times: ``rho`` is then the correlation at the distance ``unit``, between 0 and 1. By
        default records are equally spaced, in their order, and ``rho`` lies between -1 and 1; a row without a
        measurement is one of them. Where visits are missing, name the column that numbers them.
    unit : float
        Distance at which ``rho`` is the correlation.

    Raises
    ------
    ModelError
        An argument of another kind: it is named, with what it may be.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> nb.Autoregressive(nb.Additive(), over="time", unit=24.0).priors(scale=2.0)
    {'a': HalfNormal(sigma=2.0), 'rho': Uniform(lower=0.0, upper=1.0)}
    """

    residual: Continuous = field(default_factory=Additive)
    within: Text | None = None
    over: Text | None = None
    unit: Positive = 1.0

    correlated = True

    def __post_init__(self):
        if self.residual.columns:
            raise ModelError(f"Autoregressive: residual must be {Continuous.ARGUMENT}; got {self.residual}")

    @property
    def columns(self):
        return {"gap": NONE}  # and those that `linked` makes

    @property
    def alone(self):
        return self.residual

    @property
    def positive(self):
        """As of the residual inside."""
        return self.residual.positive

    def priors(self, scale):
        lowest = -1.0 if self.over is None else 0.0
        return self.residual.priors(scale) | {"rho": Prior("Uniform", lower=lowest, upper=1.0)}

    def likelihood(self, f, s):
        """A new series (record,), as an expression of standard normal ones."""
        z, n = pm.Normal.dist(size=f.shape), f.shape[-1]
        r, before = power(s.rho, s.step), _positions(s.earlier)
        moved = pt.zeros((n, n))[pt.arange(n), before].set(r)
        return self.residual.at_score(f, s, pt.linalg.solve(pt.eye(n) - moved, z * pt.sqrt(1 - r**2)))

    def log_density(
        self, f: TensorVariable, s: "Named", value: TensorVariable, lower: TensorVariable, upper: TensorVariable
    ) -> TensorVariable:
        """Log-density of all records of some series; see the first lines of the module.

        Parameters
        ----------
        f, s
            As in `likelihood`.
        value, lower, upper : tensor
            Measurements and their limits, of shapes that broadcast with ``f``.

        Returns
        -------
        tensor, with the shape of ``f``

        Examples
        --------
        One record alone has the density of ``residual``:

        >>> import numpy as np, pytensor.tensor as pt, nlmebayes as nb
        >>> s = nb.Named(a=1.0, rho=pt.constant(0.5), before=np.array([0]), gap=np.array([np.inf]), after=np.array([0]),
        ...              until=np.array([np.inf]))
        >>> y = pt.constant(np.array([0.0]))
        >>> nb.Autoregressive().log_density(pt.constant(np.array([0.0])), s, y, y, y).eval().round(3).tolist()
        [-0.919]
        """
        steps = [_positions(x).reshape((2, -1)) for name, x in vars(s).items() if name.startswith(RUN)]
        censored = pt.lt(lower, upper) & pt.ones_like(f, dtype=bool) if steps else pt.zeros_like(f, dtype=bool)
        # One call for the limits too keeps the compilation short.
        limits = [x + pt.zeros_like(f) for x in ((value, lower, upper) if steps else (value,))]
        each = self.residual.score(f, s, pt.stack(limits))
        z = each[0]
        proper = ~(pt.isinf(z) | pt.isnan(z))
        z = pt.switch(proper, z, 0.0)
        before, after = ((_positions(where), power(s.rho, d)) for where, d in ((s.before, s.gap), (s.after, s.until)))
        r = before[1]
        # away from zero scatter, for what is thrown away
        own = pm.logp(
            self.residual.likelihood(pt.switch(censored, 1.0, f), s), pt.switch(censored, 1.0, limits[0])
        ) + 0.5 * (z**2 - (z - r * z[..., before[0]]) ** 2 / (1 - r**2) - pt.log(1 - r**2))
        found = pt.switch(proper, own, -np.inf)
        if not steps:
            return found
        possible = pt.lt(each[1], each[2])  # not so where there is no law
        bottom, top = pt.switch(possible, each[1], -np.inf), pt.switch(possible, each[2], np.inf)
        for here, each in runs.log_probabilities(z, bottom, top, before, after, steps):
            found = found[..., here].set(pt.switch(possible[..., here], each, -np.inf))
        return found

    def log_precision(self, f, s):
        """Of the level of a series: n records are worth n (1 - r) / (1 + r) independent ones."""
        rho = vars(s).get("rho", 0.0)
        r = rho ** pt.maximum(s.gap, 0.0) if self.over is not None and "rho" in vars(s) else rho
        return self.residual.log_precision(f, s) + 0.5 * (pt.log1p(-r) - pt.log1p(r))

    def log_tails(self, f, s, y):
        """Of a record alone."""
        return self.residual.log_tails(f, s, y)


def power(rho, distance):
    """Correlation at a distance in units, 0 where there is none (a negative one)."""
    none = pt.lt(distance, 0)
    return pt.switch(none, 0.0, rho ** pt.switch(none, 1.0, distance))


def _positions(column):
    return pt.cast(pt.as_tensor(column).flatten(), "int64")


@dataclass(frozen=True, eq=False)
class Series:
    """Which series each record belongs to, and where it lies in it, (record,) each, in units."""

    label: np.ndarray
    place: np.ndarray

    def at(self, chosen):
        """The records where ``chosen``."""
        return Series(self.label[chosen], self.place[chosen])

    def order(self, later=None):
        """Positions of the records, series by series, and whether each has the one before it in its series. Of those at
        one place the ones that are ``later`` (record,) come last."""
        number = pd.factorize(self.label)[0]
        order = np.lexsort((np.zeros(len(number)) if later is None else later, self.place, number))
        return order, np.diff(number[order], prepend=-1) == 0

    def links(self):
        """Position of the record before each in its series, itself where there is none, and the distance to it."""
        order, follows = self.order()
        before, step = np.arange(len(order)), np.full(len(order), NONE)
        before[order[follows]] = order[np.flatnonzero(follows) - 1]
        step[order[follows]] = np.diff(self.place[order], prepend=0.0)[follows]
        return before, step


def linked(series, measured, censored):
    """What the likelihood reads of records (record,), as columns by name.

    ``earlier`` and ``step``: position of the record before in the series, and the distance to it; negative where there
    is none. ``before`` and ``gap``: the same of the measured one before, or of the censored one before in a run;
    ``after`` and ``until``: of the measured one after a censored one. ``run_k`` (2, m): positions of the k-th records
    of runs of censored ones, and which of ``run_k-1`` come before them.
    """
    earlier, step = series.links()
    seen = np.flatnonzero(measured | censored)
    order, follows = series.at(seen).order()
    order, index = seen[order], np.arange(len(seen))
    number, hidden, place = np.cumsum(~follows), censored[order], series.place[order]
    last = np.append(-1, np.maximum.accumulate(np.where(hidden, -1, index)))[: len(index)]
    past = np.where(hidden, index - 1, last)
    coming = np.minimum.accumulate(np.append(np.where(hidden, len(index), index), len(index))[::-1])[::-1][1:]
    found = {"earlier": earlier.astype(float), "step": step}
    for names, other, some in ((("before", "gap"), past, True), (("after", "until"), coming, hidden)):
        real = some & (other >= 0) & (other < len(index))
        real[real] = number[other[real]] == number[real]
        where, distance = np.arange(len(censored), dtype=float), np.full(len(censored), NONE)
        where[order[real]], distance[order[real]] = order[other[real]], np.abs(place - place[other * real])[real]
        found |= dict(zip(names, (where, distance), strict=True))
    begins = hidden & ~(follows & np.append(False, hidden)[: len(index)])
    depth = np.where(hidden, index - np.maximum.accumulate(np.where(begins, index, 0)) + 1, 0)
    parents = np.zeros(len(index), dtype=int)
    for k in range(1, int(depth.max(initial=0)) + 1):
        here = np.flatnonzero(depth == k)
        found[f"{RUN}{k}"] = np.stack([order[here], parents[here - 1]]).astype(float)
        parents[here] = np.arange(len(here))
    return found


def among(observed, series):
    """An `ObservedOutcome` with its series and what the likelihood reads of them."""
    measured = np.isfinite(observed.values) & ~observed.censored
    return replace(observed, series=series, columns=linked(series, measured, observed.censored))


def shared(observed):
    """Label of a series that several subjects share, or None."""
    pairs = pd.DataFrame({"series": observed.series.label, "subject": observed.subject}).drop_duplicates()
    twice = pairs["series"][pairs["series"].duplicated()]
    return twice.iloc[0] if len(twice) else None


def series_of(residual, data, frame, observed):
    """The `Series` of an `ObservedOutcome`.

    Raises
    ------
    DataError
        There is no such column, or a series has no order.
    ModelError
        Measurements are positive by declaration (M4).
    """
    if data.blq == "M4" and not residual.positive:
        raise ModelError(
            f"{observed.name}: {residual} does not know blq='M4', for a series that is cut at zero is no AR(1); use "
            "blq='M3', or LogNormal() inside"
        )
    within = residual.within or data.subject
    for column in filter(None, (within, residual.over)):
        if column not in frame.columns:
            have = ", ".join(c for c in frame.columns if c not in ("row", "outcome", "value", "lower", "upper"))
            raise DataError(f"{residual} reads the column {column!r}, which the data do not have; there are {have}")
    labels = frame[within].to_numpy().astype(str).astype(object)
    if residual.over is None:
        return Series(labels, frame.groupby(labels).cumcount().to_numpy(dtype=float))
    at = frame[residual.over].to_numpy(dtype=float)
    found = Series(labels, at / residual.unit)
    twice = np.flatnonzero((found.links()[1] == 0) | ~np.isfinite(at))
    if twice.size:
        i = twice[0]
        what = "is missing" if not np.isfinite(at[i]) else f"is {at[i]:g} twice within {within} {labels[i]}"
        raise DataError(f"{data.source}, row {observed.row[i]}, column {residual.over}: {what}; a series has an order")
    return found
