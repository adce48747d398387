r"""Times to an event: the likelihood of a hazard, whatever law gives it.

A structure predicts the hazard :math:`h(t)` at any time. A record says that the event was seen at T, or lies in an
interval (L, U), with U infinite where follow-up ended (right-censored), and that the unit was at risk from its entry e
(left truncation). With the cumulative hazard H from e,

.. math:: \log p = \log h(T) - H(T), \qquad
          \log p = -H(L) + \log\left(1 - e^{-(H(U) - H(L))}\right), \qquad \log p = -H(L)

Each record has a row of times (`Nodes`) at which the structure is asked: Gauss-Legendre nodes between the breaks of the
hazard, so that a hazard may depend on a trajectory (a joint model), or the two ends where the structure knows its
cumulative hazard (`Hazard`). Both are the same sum of weights times predictions.
"""

import math
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Annotated

import numpy as np
import pymc as pm
import pytensor.tensor as pt

from nlmebayes.arguments import Text, checked, whole
from nlmebayes.families import Family
from nlmebayes.variables import ModelError

# What a record says: at risk to the end of follow-up, an event then, or in an interval; nothing, survival is predicted.
LEFT, SEEN, WITHIN, AHEAD = 0, 1, 2, 3
LEAST = 5  # nodes of a panel
PANELS = 4  # of the times that are simulated, at least
KNOTS = 33  # of a closed cumulative hazard that is inverted


@checked
@dataclass(frozen=True)
class TimeToEvent(Family):
    """The outcome is the time of an event; ``f`` is the hazard, and what is reported of it the cumulative hazard.

    ``exp(-f_<outcome>)`` is the probability that there was no event up to the time of the record, given none at its
    entry. Simulated times beyond the longest time of the data continue with a constant hazard.

    Parameters
    ----------
    entry : str, optional
        Column with the time at which a unit came under observation (left truncation); 0 by default.
    nodes : int
        Quadrature nodes of a record (at least 5 between two breaks); not used where the structure is a `Hazard`.
    """

    entry: Text | None = None
    nodes: Annotated[int, whole("a whole number from 2 to 1000", 2, 1000)] = 15

    folds = True
    positive = True
    values = "positive times after the entry"

    @property
    def columns(self):
        return {"entry": 0.0 if self.entry is None else self.entry}

    def priors(self, scale):
        return {}

    def likelihood(self, f, s):
        def density(value, f, until, within, seen):
            return log_density(f, until, within, seen)

        return pm.CustomDist.dist(
            f, s.until, s.within, s.seen, logp=density, signature="(r),(r),(r),()->()", class_name="TimeToEvent",
        )  # fmt: skip

    def information(self, f, s):
        raise ModelError("the information of an event time is that of its rows")

    def height(self, f, s):
        return pt.zeros_like(f)

    def outside(self, y, s):
        return np.zeros(len(y), dtype=bool)  # `nodes_of` has looked

    def of_one(self, y, s):
        raise ModelError("the time of an event is not on the scale of the prediction, a cumulative hazard")

    def draw(self, f, nodes, rng):
        """Times of events, (sample, record), from predictions (sample, record, column) at all nodes."""
        return nodes.inverted(f, rng.standard_exponential(f.shape[:2]))


def log_density(f, until, within, seen):
    """Log-density of records from predictions (..., record, column) and the arrays of `Nodes`."""
    through, inside = (until * f).sum(axis=-1), (within * f).sum(axis=-1)
    hazard = pt.log(pt.switch(pt.eq(seen, SEEN), f[..., -1], 1.0))
    lost = pt.switch(pt.eq(seen, WITHIN), inside, 1.0)
    return -through + hazard + pt.switch(pt.eq(seen, WITHIN), pt.log(-pt.expm1(-lost)), 0.0)


@dataclass(frozen=True)
class Rows(Family):
    """Nodes as records of their own, for the pilot: y log f - w f, a Poisson likelihood in the hazard."""

    folds = False

    @property
    def columns(self):
        return {"weight": 0.0}

    def priors(self, scale):
        return {}

    def likelihood(self, f, s):
        def density(y, f, weight):
            seen = pt.gt(y, 0)
            return pt.switch(seen, pt.log(pt.switch(seen, f, 1.0)), 0.0) - weight * f

        return pm.CustomDist.dist(f, s.weight, logp=density, class_name="Rows")

    def information(self, f, s):
        some = pt.gt(s.weight, 0) & pt.gt(f, 0)
        return pt.switch(some, s.weight / pt.switch(some, f, 1.0), 0.0)

    def height(self, f, s):
        return pt.zeros_like(f)

    def outside(self, y, s):
        return np.zeros(len(y), dtype=bool)


@dataclass(frozen=True, eq=False)
class Nodes:
    """Times at which the records of an event outcome ask for a prediction, (record, column).

    Columns: those of H up to the end of what is known to be without event (weights ``until``), of H in the interval
    (weights ``within``), the event's own time last; after them those for simulation (``later``). ``cumulative``
    (column,): where the structure gives its cumulative hazard. ``seen`` (record,) says what a record is.
    """

    time: np.ndarray
    until: np.ndarray
    within: np.ndarray
    seen: np.ndarray
    later: np.ndarray
    cumulative: np.ndarray
    edges: np.ndarray = field(default=None)  # (record, panel + 1) of the later times; none where closed

    @property
    def fitted(self):
        """The same without the times that only a simulation needs."""
        return replace(self, later=self.later[:, :0])

    @property
    def asked(self):
        """All times, (record, column), and whether each column is cumulative."""
        flags = np.concatenate([self.cumulative, np.full(self.later.shape[1], self.edges is None)])
        return np.concatenate([self.time, self.later], axis=1), flags.astype(float)

    @property
    def end(self):
        """The last time of each record, (record,)."""
        return self.time[:, -1]

    def counts(self):
        """Values and columns of the nodes as records of their own, see `Rows`: (record and column,)."""
        many = self.later.shape[1]
        value, weight = np.zeros_like(self.time), self.until + self.within
        value[:, -1] = (self.seen == SEEN) | (self.seen == WITHIN)  # in an interval: as if at its end
        value[self.seen == AHEAD] = np.nan
        value, weight = (np.pad(x, ((0, 0), (0, many))).ravel() for x in (value, weight))
        return {"values": value, "lower": np.full(value.size, np.nan), "upper": np.full(value.size, np.nan),
                "columns": {"weight": weight}}  # fmt: skip

    def columns(self):
        """What the likelihood needs."""
        return {"until": self.until, "within": self.within, "seen": self.seen}

    def at(self, chosen):
        return replace(self, **{
            name: value[chosen] for name, value in vars(self).items() if name != "cumulative" and value is not None
        })  # fmt: skip

    def total(self, f):
        """Cumulative hazard from the entry to the last time of each record, (sample, record)."""
        return ((self.until + self.within) * f[..., : self.time.shape[1]]).sum(axis=-1)

    def inverted(self, f, level):
        """Times at which the cumulative hazard from the entry reaches ``level``, (sample, record)."""
        time, height = self._knots(f[..., self.time.shape[1] :])
        place = np.clip((height < level[..., None]).sum(axis=-1), 1, height.shape[-1] - 1)[..., None]
        low, high = (np.take_along_axis(height, place - k, axis=-1)[..., 0] for k in (1, 0))
        at = np.broadcast_to(time, height.shape)
        start, end = (np.take_along_axis(at, place - k, axis=-1)[..., 0] for k in (1, 0))
        with np.errstate(all="ignore"):
            share = (level - low) / (high - low)
        return np.where(high > low, start + share * (end - start), np.inf)

    def _knots(self, f):
        """Times (record, knot) and cumulative hazards (sample, record, knot) that rise from 0."""
        if self.edges is None:
            return self.later, f - f[..., :1]
        panels = self.edges.shape[1] - 1
        x, _ = np.polynomial.legendre.leggauss(f.shape[-1] // panels)
        width = np.diff(self.edges, axis=1)[..., None]
        each = f.reshape(*f.shape[:2], panels, -1) @ _integrals(x).T * width
        whole = np.cumsum(each[..., -1], axis=-1)
        before = np.concatenate([np.zeros_like(whole[..., :1]), whole[..., :-1]], axis=-1)
        height = (before[..., None] + each).reshape(*f.shape[:2], -1)
        share = np.append((x + 1) / 2, 1.0)
        time = (self.edges[:, :-1, None] + width * share).reshape(len(self.edges), -1)
        height = np.concatenate([np.zeros_like(height[..., :1]), height], axis=-1)
        return np.concatenate([self.edges[:, :1], time], axis=1), np.maximum.accumulate(height, axis=-1)


def _integrals(x):
    """(knot, node): integrals from 0 to each node and to 1 of the polynomials that are 1 at one node, on [0, 1]."""
    legendre = np.polynomial.legendre
    basis = np.linalg.inv(legendre.legvander(x, len(x) - 1)).T  # coefficients of each polynomial
    ends = np.append(x, 1.0)
    return np.stack([legendre.legval(ends, legendre.legint(row, lbnd=-1)) / 2 for row in basis], axis=1)


def nodes_of(residual, structure, outcome, row, values, lower, upper, entry, horizon):
    """`Nodes` of records with these values and limits, (record,) each; see `TimeToEvent`.

    ``values`` of a censored record are not read; ``horizon``: the longest time that is simulated without extrapolation.
    """
    censored = lower < upper
    start = np.where(censored, np.maximum(np.where(np.isfinite(lower), lower, entry), entry), values)
    end = np.where(censored & np.isfinite(upper), upper, start)
    seen = np.where(~censored, SEEN, np.where(np.isfinite(upper), WITHIN, np.where(np.isnan(values), AHEAD, LEFT)))
    last = np.where(seen == SEEN, values, np.where(seen == WITHIN, upper, lower))
    for bad, why in (
        (~np.isfinite(last) | ~np.isfinite(entry), "is missing"),
        (entry < 0, "an entry before time 0"),
        (last < entry, "a time before the entry"),
        ((seen == SEEN) & (start <= entry), "an event at its entry or before it, which no hazard explains"),
        ((seen == WITHIN) & (end <= start), "an interval that ends at the entry"),
    ):
        if bad.any():
            i = np.flatnonzero(bad)[0]
            raise ModelError(f"row {row[i]}: {outcome} {last[i]:g} with the entry {entry[i]:g}: {why}")
    edges = np.array(structure.breaks, dtype=float)
    block = _ends if structure.closed else lambda a, b: _panels(_cut(a, b, edges), residual.nodes)
    first, inner = block(entry, start), block(start, end)
    if not (seen == WITHIN).any():
        inner = tuple(x[:, :0] for x in inner)
    time = np.concatenate([first[0], inner[0], np.where(end > 0, end, 1.0)[:, None]], axis=1)
    until, within = np.zeros_like(time), np.zeros_like(time)
    until[:, : first[1].shape[1]] = first[1]
    within[:, first[1].shape[1] : -1] = inner[1]
    flags = np.append(np.full(time.shape[1] - 1, structure.closed), False)
    last = np.maximum(horizon, end)
    if structure.closed:
        share = np.linspace(0, 1, KNOTS) ** 2
        return Nodes(time, until, within, seen, entry[:, None] + (last - entry)[:, None] * share, flags)
    panels = _halved(_cut(entry, last, edges))
    return Nodes(time, until, within, seen, _panels(panels, residual.nodes)[0], flags, panels)


def _ends(start, end):
    """Times and weights (record, 2) of a closed cumulative hazard."""
    return np.stack([start, end], axis=1), np.tile([-1.0, 1.0], (len(start), 1))


def _cut(start, end, breaks):
    """Edges of panels, (record, panel + 1)."""
    inside = np.clip(breaks, start[:, None], end[:, None])
    return np.concatenate([start[:, None], inside, end[:, None]], axis=1)


def _halved(edges):
    """More panels, of equal parts of those there are."""
    parts = math.ceil(PANELS / (edges.shape[1] - 1))
    share = np.arange(parts) / parts
    fine = [a[:, None] + (b - a)[:, None] * share for a, b in pairwise(edges.T)]
    return np.concatenate([*fine, edges[:, -1:]], axis=1)


def _panels(edges, nodes):
    """Gauss-Legendre times and weights (record, node) on panels."""
    panels = edges.shape[1] - 1
    x, w = np.polynomial.legendre.leggauss(max(LEAST, math.ceil(nodes / panels)))
    width = np.diff(edges, axis=1)[..., None]
    time = edges[:, :-1, None] + width * (x + 1) / 2
    time = np.where(time > 0, time, 1.0)  # of an empty panel, without weight; a hazard may be infinite at 0
    return time.reshape(len(edges), -1), (width * w / 2).reshape(len(edges), -1)
