r"""Times to an event: the likelihood of a hazard, whatever law gives it.

A structure predicts the hazard :math:`h(t)` at any time. A record says that the event was seen at T, or lies in an
interval (L, U), with U infinite where follow-up ended (right-censored), and that the unit was at risk from its entry e
(left truncation). With the cumulative hazard H from e,

.. math:: \log p = \log h(T) - H(T), \qquad
          \log p = -H(L) + \log\left(1 - e^{-(H(U) - H(L))}\right), \qquad \log p = -H(L)

Each record has a row of times (`Nodes`) at which the structure is asked: Gauss-Legendre nodes between the breaks of the
hazard and the changes of what it reads (`histories`), so that a hazard may depend on a trajectory (a joint model) and
on covariates that change, or the ends of each part where the structure knows its cumulative hazard (`Hazard`). Both are
the same sum of weights times predictions.
"""

import math
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Annotated

import numpy as np
import pymc as pm
import pytensor.tensor as pt

from nlmebayes.arguments import Text, checked, whole
from nlmebayes.errors import ModelError
from nlmebayes.outcomes.families import Family

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
    entry. Simulated times beyond the longest time of the data continue with a constant hazard. Where covariates, inputs
    or occasions change within a subject each time has what governs it, see `histories`.

    Parameters
    ----------
    entry : str, optional
        Column with the time at which a unit came under observation (left truncation); 0 by default.
    nodes : int
        Quadrature nodes of a record (at least 5 between two breaks); not used where the structure is a `Hazard`.

    Raises
    ------
    ModelError
        An argument of another kind: it is named, with what it may be.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> from model_zoo import ParametricSurvival
    >>> nb.Model(ParametricSurvival(), residual=nb.TimeToEvent(entry="start")).residual
    TimeToEvent(entry='start', nodes=15)
    """

    entry: Text | None = None
    nodes: Annotated[int, whole("a whole number from 2 to 1000", 2, 1000)] = 15

    folds = True
    positive = True
    values = "positive times after the entry"
    reference = MappingProxyType({"entry": 0.0})

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

    def log_precision(self, f, s):
        return pt.zeros_like(f)

    def outside(self, y, s):
        return np.zeros(len(y), dtype=bool)  # `nodes_of` has looked

    def of_one(self, y, s):
        raise ModelError("the time of an event is not on the scale of the prediction, a cumulative hazard")

    def draw(self, f: np.ndarray, nodes: "Nodes", rng: np.random.Generator) -> np.ndarray:
        """Times of events; `simulate` and `predict` call it.

        Parameters
        ----------
        f : array (sample, record, column)
            Hazards, or cumulative ones, at the nodes.
        nodes : Nodes
            Where they stand.
        rng : numpy.random.Generator

        Returns
        -------
        array (sample, record)

        Examples
        --------
        >>> import numpy as np, nlmebayes as nb
        >>> from types import SimpleNamespace
        >>> constant = SimpleNamespace(inverted=lambda f, exposure: exposure / f[..., 0])
        >>> nb.TimeToEvent().draw(np.full((3, 1, 1), 2.0), constant, np.random.default_rng(1)).shape
        (3, 1)
        """
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

    def log_precision(self, f, s):
        return pt.zeros_like(f)

    def outside(self, y, s):
        return np.zeros(len(y), dtype=bool)


@dataclass(frozen=True, eq=False)
class Nodes:
    """Times at which the records of an event outcome ask for a prediction, (record, column).

    Columns: those of H up to the end of what is known to be without event (weights ``until``), of H in the interval
    (weights ``within``), the event's own time last; after them those for simulation, ``later`` (record, panel, knot),
    on panels between ``edges`` (record, panel + 1). ``seen`` (record,) says what a record is. ``cumulative`` (column,)
    is 1 where the structure gives its cumulative hazard, None of one that never does; ``closed``: whether it does in
    the later times. ``governing`` (record, column of both) is the row of a table that governs each time, ``unit`` its
    unit, ``inputs`` what the structure reads there beside the time.
    """

    time: np.ndarray
    until: np.ndarray
    within: np.ndarray
    seen: np.ndarray
    later: np.ndarray
    edges: np.ndarray
    governing: np.ndarray
    cumulative: np.ndarray | None
    closed: bool
    unit: np.ndarray | None = None
    inputs: dict = field(default_factory=dict)

    @property
    def fitted(self):
        """The same without the times that only a simulation needs."""
        return self._first(self.time.shape[1], later=self.later[:, :0], edges=self.edges[:, :1])

    def _first(self, many, **changes):
        """The first columns."""
        cut = {name: value[:, :many] for name, value in self._by_column().items()}
        inputs = {name: cut.pop(name) for name in self.inputs}
        flags = None if self.cumulative is None else self.cumulative[:many]
        return replace(self, **cut, inputs=inputs, cumulative=flags, **changes)

    def _by_column(self):
        own = {"governing": self.governing} | ({} if self.unit is None else {"unit": self.unit})
        return own | self.inputs

    @property
    def asked(self):
        """All times, (record, column)."""
        return np.concatenate([self.time, self.later.reshape(len(self.time), -1)], axis=1)

    @property
    def end(self):
        """The last time of each record, (record,)."""
        return self.time[:, -1]

    def rows(self):
        """The nodes as records of their own, see `Rows`: values, columns, units and inputs, (record and column,)."""
        many = self.later[0].size if len(self.later) else 0
        value, weight = np.zeros_like(self.time), self.until + self.within
        value[:, -1] = (self.seen == SEEN) | (self.seen == WITHIN)  # in an interval: as if at its end
        value[self.seen == AHEAD] = np.nan
        value, weight = (np.pad(x, ((0, 0), (0, many))).ravel() for x in (value, weight))
        inputs = {"time": self.asked.ravel()} | {name: x.ravel() for name, x in self.inputs.items()}
        if self.cumulative is not None:
            inputs["cumulative"] = np.tile(self.cumulative, len(self.time))
        return {"values": value, "lower": np.full(value.size, np.nan), "upper": np.full(value.size, np.nan),
                "columns": {"weight": weight}, "unit": self.unit.ravel(), "inputs": inputs}  # fmt: skip

    def columns(self):
        """What the likelihood needs."""
        return {"until": self.until, "within": self.within, "seen": self.seen}

    def at(self, chosen):
        each = {name: value[chosen] for name, value in vars(self).items() if isinstance(value, np.ndarray)}
        flags = {"cumulative": self.cumulative, "inputs": {name: x[chosen] for name, x in self.inputs.items()}}
        return replace(self, **each | flags)

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
        f = f.reshape(*f.shape[:2], *self.later.shape[1:])
        width = np.diff(self.edges, axis=1)[..., None]
        if self.closed:
            time, each = self.later, f - f[..., :1]
        else:
            x, _ = np.polynomial.legendre.leggauss(self.later.shape[2])
            each = f @ _integrals(x).T * width
            time = self.edges[:, :-1, None] + width * np.append((x + 1) / 2, 1.0)
        whole = np.cumsum(each[..., -1], axis=-1)
        before = np.concatenate([np.zeros_like(whole[..., :1]), whole[..., :-1]], axis=-1)
        height = (before[..., None] + each).reshape(*f.shape[:2], -1)
        height = np.concatenate([np.zeros_like(height[..., :1]), height], axis=-1)
        time = np.concatenate([self.edges[:, :1], time.reshape(len(self.edges), -1)], axis=1)
        return time, np.maximum.accumulate(height, axis=-1)


def _integrals(x):
    """(knot, node): integrals from 0 to each node and to 1 of the polynomials that are 1 at one node, on [0, 1]."""
    legendre = np.polynomial.legendre
    basis = np.linalg.inv(legendre.legvander(x, len(x) - 1)).T  # coefficients of each polynomial
    ends = np.append(x, 1.0)
    return np.stack([legendre.legval(ends, legendre.legint(row, lbnd=-1)) / 2 for row in basis], axis=1)


def checked(outcome, row, values, lower, upper, entry):
    """What records say, (record,) each: kind, start and end of the interval of the event.

    Raises
    ------
    ModelError
        Times that are impossible; names the row.
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
    return seen, start, end


def nodes_of(residual, structure, seen, start, end, entry, horizon, histories):
    """`Nodes` of records, (record,) each, see `checked`; ``histories`` are those of `histories.histories`.

    ``horizon``: the longest time that is simulated without extrapolation.
    """
    breaks = [np.append(history.breaks, structure.breaks) for history in histories]
    closed = structure.closed and not any(history.lines for history in histories)
    last = np.maximum(horizon, end)
    edges = [_edges(a, b, breaks) for a, b in ((entry, start), (start, end), (entry, last))]
    first, inner = (_ends(e) if closed else _panels(e, residual.nodes) for e in edges[:2])
    if not (seen == WITHIN).any():
        inner, edges[1] = tuple(x[:, :0] for x in inner), edges[1][:, :1]
    time = np.concatenate([first[0], inner[0], np.where(end > 0, end, 1.0)[:, None]], axis=1)
    until, within = np.zeros_like(time), np.zeros_like(time)
    until[:, : first[1].shape[1]] = first[1]
    within[:, first[1].shape[1] : -1] = inner[1]
    later, edges[2] = _knots(edges[2]) if closed else _fine(edges[2], residual.nodes)
    governing = np.concatenate([
        _governing(histories, edges[0], first[0].shape[1]), _governing(histories, edges[1], inner[0].shape[1]),
        _governing(histories, np.stack([end, end], axis=1), 1), _governing(histories, edges[2], later[0].size),
    ], axis=1)  # fmt: skip
    flags = np.full(governing.shape[1], float(closed)) if structure.closed else None
    if closed:
        flags[time.shape[1] - 1] = 0.0
    return Nodes(time, until, within, seen, later, edges[2], governing, flags, closed)


def _edges(start, end, breaks):
    """Edges of panels (record, panel + 1) that are cut at the breaks of each record; where these are fewer than those
    of another the widest panels are halved."""
    inside = [np.unique(b[(b > a) & (b < c)]) for a, c, b in zip(start, end, breaks, strict=True)]
    most = max((len(b) for b in inside), default=0)
    found = np.empty((len(start), most + 2))
    for i, (a, c) in enumerate(zip(start, end, strict=True)):
        own = np.array([a, *inside[i], c])
        while len(own) < most + 2:
            widest = np.argmax(np.diff(own))
            own = np.insert(own, widest + 1, (own[widest] + own[widest + 1]) / 2)
        found[i] = own
    return found


def _governing(histories, edges, columns):
    """The rows that govern the nodes of panels, each that of its middle, (record, column)."""
    middle = (edges[:, :-1] + edges[:, 1:]) / 2
    rows = np.array([history.governing(at) for history, at in zip(histories, middle, strict=True)], dtype=int)
    return np.repeat(rows.reshape(middle.shape), columns // max(1, middle.shape[1]), axis=1)


def _ends(edges):
    """Times and weights (record, 2 per panel) of a closed cumulative hazard."""
    time = np.stack([edges[:, :-1], edges[:, 1:]], axis=-1)
    return time.reshape(len(edges), -1), np.tile([-1.0, 1.0], (len(edges), edges.shape[1] - 1))


def _knots(edges):
    """Times (record, panel, knot) at which a closed cumulative hazard is known, and the edges of their panels."""
    panels = edges.shape[1] - 1
    share = np.linspace(0, 1, max(LEAST, math.ceil(KNOTS / panels))) ** 2
    return edges[:, :-1, None] + np.diff(edges, axis=1)[..., None] * share, edges


def _fine(edges, nodes):
    """Gauss-Legendre times (record, panel, node) on at least `PANELS` panels, and their edges."""
    panels = edges.shape[1] - 1
    parts = math.ceil(PANELS / panels)
    share = np.arange(parts) / parts
    inner = edges[:, :-1, None] + np.diff(edges, axis=1)[..., None] * share
    edges = np.concatenate([inner.reshape(len(edges), -1), edges[:, -1:]], axis=1)
    return _panels(edges, nodes)[0].reshape(len(edges), panels * parts, -1), edges


def _panels(edges, nodes):
    """Gauss-Legendre times and weights (record, node) on panels."""
    panels = edges.shape[1] - 1
    x, w = np.polynomial.legendre.leggauss(max(LEAST, math.ceil(nodes / panels)))
    width = np.diff(edges, axis=1)[..., None]
    time = edges[:, :-1, None] + width * (x + 1) / 2
    time = np.where(time > 0, time, 1.0)  # of an empty panel, without weight; a hazard may be infinite at 0
    return time.reshape(len(edges), -1), (width * w / 2).reshape(len(edges), -1)
