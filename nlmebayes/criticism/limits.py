"""Limits of quantification of all records: replicates have to be censored as the observations would have been."""

import numpy as np

from nlmebayes.arguments import Number, Text
from nlmebayes.criticism.npde import ABOVE, BELOW, MEASURED
from nlmebayes.errors import ModelError

Limit = Number | Text | dict[Text, Number | Text]  # a number, a column, or one of them by outcome


def quantified(observed, frame, lloq=None, uloq=None):
    """What each record is, as CENS, and the limits of all records, (record,) each, or None where there are none.

    Without a stated limit it is the one that all censored records of a kind have in common.

    Raises
    ------
    ModelError
        Limits differ, or are not those of the measured records; a value is known to an interval.
    """
    name, lower, upper = observed.name, observed.lower, observed.upper
    below = observed.censored & (np.isneginf(lower) | (lower <= 0)) & np.isfinite(upper)
    above = observed.censored & np.isposinf(upper)
    within = observed.censored & ~below & ~above
    if within.any():
        i = np.flatnonzero(within)[0]
        raise ModelError(
            f"row {observed.row[i]}: {name} is known to lie between {lower[i]:g} and {upper[i]:g}; residuals and "
            "checks take limits of quantification, below or above which nothing is known"
        )
    flags = np.where(below, BELOW, np.where(above, ABOVE, MEASURED))
    low = _limit(observed, frame, below, upper, np.less, _own(lloq, name), "lloq")
    high = _limit(observed, frame, above, lower, np.greater, _own(uloq, name), "uloq")
    return flags, low, high


def clipped(observed, frame, simulated, lloq=None, uloq=None):
    """Replicates (replicate, record) with those beyond a limit at it, as observations are."""
    _, low, high = quantified(observed, frame, lloq, uloq)
    return simulated if low is None and high is None else np.clip(simulated, low, high)


def _own(stated, name):
    return stated.get(name) if isinstance(stated, dict) else stated


def _limit(observed, frame, censored, known, beyond, stated, argument):
    """The limit of each record."""
    if stated is None and not censored.any():
        return None
    limits = _read(observed, frame, stated, argument) if stated is not None else np.full(len(known), known[censored][0])
    measured = ~observed.censored & np.isfinite(observed.values)
    wrong = (censored & (known != limits)) | (measured & beyond(observed.values, limits))
    if wrong.any():
        i = np.flatnonzero(wrong)[0]
        raise ModelError(
            f"row {observed.row[i]}: {observed.name} {observed.values[i]:g} does not go with the limit {limits[i]:g}: "
            f"records have several limits, or one that is not theirs; give {argument}=, a column with that of each"
        )
    return limits


def _read(observed, frame, stated, argument):
    if not isinstance(stated, str):
        return np.full(len(observed.row), float(stated))
    if stated not in frame.columns or frame[stated].dtype.kind not in "iuf":
        have = ", ".join(c for c in frame.columns if frame[c].dtype.kind in "iuf")
        raise ModelError(f"{argument}: no column {stated!r} of numbers in the data; there are {have}")
    values = frame[stated].to_numpy(dtype=float)
    if np.isnan(values).any():
        raise ModelError(f"{argument}: row {observed.row[np.isnan(values)][0]}, column {stated}: is missing")
    return values
