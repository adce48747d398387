"""Bins of records along an axis."""

import warnings
from typing import Literal

import numpy as np
from scipy.cluster.vq import kmeans2

from nlmebayes.arguments import Count, Number, Text
from nlmebayes.errors import ModelError

FEW = 12  # distinct values that have a bin each
GAP = 0.2  # of the axis without a record, which no bin reaches over
Bins = Count | list[Number] | Text  # how many, their edges, or a column whose values they are
WINDOWS = 40  # that roll along an axis
Binning = Literal["count", "k-means", "rolling"]


def binned(at, frame, bins, binning):
    """Bin of each record, numbered along the axis.

    Parameters
    ----------
    at : array (record,)
    frame : DataFrame
        The rows of the records, of which a column may hold the bins.
    bins : int, list of float or str
        How many bins; their edges, all records between the first and the last; the column whose values are the bins.
    binning : {"count", "k-means"}
        Bins with as many records each, or around clusters; see `rolling` for the third. Up to 12 distinct values have a
        bin each.

    Raises
    ------
    ModelError
        A column that is not there; records outside the edges.
    """
    if isinstance(bins, str):
        if bins not in frame.columns:
            raise ModelError(f"bins: no column {bins!r}; there are {', '.join(map(str, frame.columns))}")
        return _along(at, np.unique(frame[bins].to_numpy(), return_inverse=True)[1])
    if isinstance(bins, list):
        return _between(at, np.array(bins))
    distinct = np.unique(at)
    if len(distinct) <= max(bins, FEW):
        return np.searchsorted(distinct, at)
    return _clustered(at, bins) if binning == "k-means" else _counted(at, distinct, bins)


def _along(at, which):
    """The same bins, numbered in the order of their medians."""
    order = np.argsort([np.median(at[which == b]) for b in range(which.max() + 1)], kind="stable")
    return np.argsort(order)[which]


def _between(at, edges):
    if len(edges) < 2 or (np.diff(edges) <= 0).any():
        raise ModelError("bins: edges must be two or more numbers that increase")
    outside = (at < edges[0]) | (at > edges[-1])
    if outside.any():
        raise ModelError(
            f"bins: {outside.sum()} records lie outside the edges {edges[0]:g} and {edges[-1]:g}, the first at "
            f"{at[outside][0]:g}; widen them"
        )
    which = np.clip(np.searchsorted(edges, at, side="right") - 1, 0, len(edges) - 2)
    return np.unique(which, return_inverse=True)[1]


def _counted(at, distinct, bins):
    edges = np.unique(np.quantile(at, np.linspace(0, 1, bins + 1)))
    which = np.clip(np.searchsorted(edges, at, side="left") - 1, 0, len(edges) - 2)
    wide = distinct[1:][np.diff(distinct) > GAP * (distinct[-1] - distinct[0])]
    which = which * (len(wide) + 1) + np.searchsorted(wide, at, side="right")
    return np.unique(which, return_inverse=True)[1]


def _clustered(at, bins):
    start = np.unique(np.quantile(at, (np.arange(bins) + 0.5) / bins))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a cluster that lost its records: there is one fewer
        which = kmeans2(at[:, None], start[:, None], iter=100, minit="matrix")[1]
    return _along(at, np.unique(which, return_inverse=True)[1])


def rolling(at, bins):
    """Windows along the axis, each with the nearest records to its centre, one in ``bins`` of all and those as near.

    A window does not reach over a fifth of the axis without a record, unless less than half a window lies beyond.
    Centres are evenly spaced among the records.

    Returns
    -------
    tuple of array (member,)
        The positions of their records, the window of each, and whether no other window's centre is nearer.

    Raises
    ------
    ModelError
        ``bins`` is not a number.
    """
    if not isinstance(bins, int):
        raise ModelError("bins: rolling windows take a number, one in how many records a window holds")
    order = np.argsort(at, kind="stable")
    size = max(2, round(len(at) / bins))
    centre = np.unique(np.quantile(at, np.linspace(0, 1, WINDOWS), method="nearest"))
    nearest = np.abs(at[:, None] - centre).argmin(axis=1)
    members, window = [], []
    for part in _parts(at, order, size):
        for k in np.flatnonzero((centre >= at[part[0]]) & (centre <= at[part[-1]])):
            distance = np.abs(at[part] - centre[k])
            reach = np.partition(distance, min(size, len(part)) - 1)[min(size, len(part)) - 1]
            members.append(part[distance <= reach])
            window.append(np.full(len(members[-1]), k))
    members, window = np.concatenate(members), np.concatenate(window)
    return members, np.unique(window, return_inverse=True)[1], nearest[members] == window


def _parts(at, order, size):
    """Positions in ``order``, cut at gaps; what is less than half a window goes with its nearer neighbour."""
    cuts = list(np.flatnonzero(np.diff(at[order]) > GAP * np.ptp(at)) + 1)
    while cuts:
        lengths = np.diff([0, *cuts, len(order)])
        small = int(lengths.argmin())
        if lengths[small] >= size / 2:
            break
        sides = [k for k in (small - 1, small) if 0 <= k < len(cuts)]
        cuts.pop(min(sides, key=lambda k: at[order][cuts[k]] - at[order][cuts[k] - 1]))
    return np.split(order, cuts)
