"""Exposures of concentration curves that are known as polynomials on panels: integral, maximum, time above.

Between two doses a curve is smooth. It is predicted at the Gauss-Legendre nodes of panels, each four times as long as
the one before, fine where a dose acts; on a panel it is the polynomial through its nodes. Nodes lie inside of panels,
so a jump at a dose is on neither side of it, and the peak of a bolus is the limit from the right.
"""

from dataclasses import dataclass

import numpy as np
from numpy.polynomial import legendre

NODES = 16  # per panel
GRADES = 4.0 ** -np.arange(5, -1, -1)  # panel ends between two doses, as fractions
MANY = 16  # doses in a window beyond which each interval starts with half as many panels
CELLS = 32  # of a panel, in which a maximum or a crossing is bracketed
RESOLVED = 1e-7  # of the largest value: a last coefficient below it makes a panel fine enough
PARTS = 4  # into which one is cut that is not
CUTS = 8  # panels that are cut at once, those first that matter most for an area
JUMP = 1e-2  # of the largest value: with a last coefficient above it a curve jumps in the panel, and overshoots there


@dataclass(frozen=True, eq=False)
class Panels:
    """Adjoining panels, ``edges`` (panel + 1,), with ``nodes`` nodes each."""

    edges: np.ndarray
    nodes: int = NODES

    @property
    def widths(self):
        return np.diff(self.edges)

    @property
    def times(self):
        """Times of all nodes, (panel * nodes,)."""
        x, _ = legendre.leggauss(self.nodes)
        return (self.edges[:-1, None] + self.widths[:, None] * (1 + x) / 2).ravel()

    def refined(self, values):
        """Panels of which those are cut that the values (draw, panel * nodes) show to be too wide; None if none is."""
        values = values[np.isfinite(values).all(axis=1)]
        if not len(values):
            return None
        last = np.abs(coefficients(self, values)[..., -2:]).max(axis=(0, 2))
        coarse = np.flatnonzero(last > RESOLVED * np.abs(values).max())
        coarse = coarse[np.argsort(-(last * self.widths)[coarse], kind="stable")][:CUTS]
        if not coarse.size:
            return None
        inner = self.edges[coarse, None] + self.widths[coarse, None] * np.arange(1, PARTS) / PARTS
        return Panels(np.sort(np.append(self.edges, inner)), self.nodes)


@dataclass(frozen=True, eq=False)
class Ends:
    """A window of which the area up to both ends is predicted, instead of a curve; ``times`` are its ends, and between
    them those at which the area starts at nothing again, as the states do; ``anew`` says so of each but the last."""

    times: np.ndarray
    anew: np.ndarray

    @classmethod
    def of(cls, start, end, restarts):
        restarts = np.asarray(restarts, dtype=float)
        inner = np.unique(restarts[(restarts > start) & (restarts < end)])
        times = np.array([start, *inner, end])
        return cls(times, np.isin(times[:-1], restarts))

    @property
    def widths(self):
        return np.diff(self.times)


def panels(start, end, breaks):
    """`Panels` from start to end, given the times at which doses and infusions start and end.

    Exponentials of rates up to 3000 per interval between breaks are integrated to 1e-13; where one is not interpolated
    well enough for its maximum, `Panels.refined` cuts the panels.
    """
    breaks = np.asarray(breaks, dtype=float)
    stops = np.array([start, *breaks[(breaks > start) & (breaks < end)], end])
    grades = GRADES if len(stops) <= MANY else GRADES[len(GRADES) // 2 :]
    return Panels(np.append(start, (stops[:-1, None] + np.diff(stops)[:, None] * grades).ravel()))


def coefficients(grid, values):
    """Legendre coefficients on each panel, (draw, panel, nodes), of values (draw, panel * nodes)."""
    x, w = legendre.leggauss(grid.nodes)
    order = np.arange(grid.nodes)
    forward = (legendre.legvander(x, grid.nodes - 1) * w[:, None]) * (2 * order + 1) / 2
    return values.reshape(len(values), -1, grid.nodes) @ forward


def integral(grid, values):
    """Area under each curve, (draw,), of values (draw, panel * nodes), or of areas (draw, time) up to `Ends`."""
    if isinstance(grid, Ends):
        return values[:, 1:].sum(axis=1) - values[:, :-1][:, ~grid.anew].sum(axis=1)
    _, w = legendre.leggauss(grid.nodes)
    return values @ (grid.widths[:, None] / 2 * w).ravel()


def maximum(grid, values):
    """Largest value of each curve, (draw,): over panels and their ends, refined by Newton steps on the slope; where a
    curve jumps within a panel, that of its nodes."""
    polynomials = coefficients(grid, values)
    x, fine = _cells(grid, polynomials)
    nodes = values.reshape(len(values), -1, grid.nodes)
    largest = np.abs(values).max(axis=1)[:, None]
    jumps = (np.abs(polynomials[..., -2:]).max(axis=2) > JUMP * largest) & (grid.nodes > 2)
    fine = np.where(jumps[..., None], np.minimum(fine, nodes.max(axis=2)[..., None]), fine)
    best = fine.reshape(len(fine), -1).argmax(axis=1)
    panel, cell = np.divmod(best, len(x))
    c = polynomials[np.arange(len(fine)), panel].T
    at, found = x[cell], fine.reshape(len(fine), -1)[np.arange(len(fine)), best]
    slope, bend = (legendre.legder(c, k) if grid.nodes > k else c[:1] * 0 for k in (1, 2))
    low, high = x[np.maximum(cell - 1, 0)], x[np.minimum(cell + 1, len(x) - 1)]
    for _ in range(3):
        curvature = legendre.legval(at, bend, tensor=False)
        step = np.where(curvature < 0, legendre.legval(at, slope, tensor=False) / np.minimum(curvature, -1e-300), 0.0)
        at = np.clip(at - step, low, high)
    smooth = ~jumps[np.arange(len(fine)), panel]
    return np.where(smooth, np.maximum(found, legendre.legval(at, c, tensor=False)), found)


def time_above(grid, values, threshold):
    """Time that each curve spends above the threshold, (draw,), with crossings found to rounding."""
    polynomials = coefficients(grid, values)
    x, fine = _cells(grid, polynomials)
    above = fine > threshold
    share = (above[..., :-1] & above[..., 1:]) * np.diff(x) / 2
    crossed = np.nonzero(above[..., :-1] != above[..., 1:])
    c = polynomials[crossed[0], crossed[1]].T
    left, right = x[crossed[2]], x[crossed[2] + 1]
    up = ~above[crossed]
    at = _root(c, threshold, left, right, up)
    share[crossed] = np.where(up, right - at, at - left) / 2
    return np.where(np.isnan(values).any(axis=1), np.nan, np.einsum("dpc,p->d", share, grid.widths))


def _cells(grid, polynomials):
    """Ends of cells on [-1, 1] and the values there, (draw, panel, end)."""
    x = np.linspace(-1.0, 1.0, CELLS + 1)
    return x, polynomials @ legendre.legvander(x, grid.nodes - 1).T


def _root(c, threshold, left, right, up):
    """Where each polynomial, with coefficients (order, polynomial), crosses the threshold between left and right:
    Newton steps, and bisection where these leave the bracket."""
    slope = legendre.legder(c) if len(c) > 1 else c * 0
    at = (left + right) / 2
    for _ in range(60):
        value = legendre.legval(at, c, tensor=False) - threshold
        beyond = (value > 0) == up
        left, right = np.where(beyond, left, at), np.where(beyond, at, right)
        with np.errstate(divide="ignore", invalid="ignore"):
            new = at - value / legendre.legval(at, slope, tensor=False)
        new = np.where((new >= left) & (new <= right), new, (left + right) / 2)
        if np.all(np.abs(new - at) < 1e-14):
            return new
        at = new
    return at
