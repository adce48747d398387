"""The Kaplan-Meier curve of times to an event."""

import numpy as np


def kaplan_meier(end, seen, entry, at):
    """Estimate of the survival function at times ``at``.

    ``end`` of follow-up, ``seen``, whether the event was then, ``entry``, from when there was a risk, (record,) each.
    Source: Kaplan and Meier (1958), J. Am. Stat. Assoc. 53, 457-481, doi:10.1080/01621459.1958.10501452.
    """
    times, events = np.unique(end[seen], return_counts=True)
    at_risk = np.searchsorted(np.sort(entry), times) - np.searchsorted(np.sort(end), times)
    left = np.concatenate([[1.0], np.cumprod(1 - events / at_risk)])
    return left[np.searchsorted(times, at, side="right")]
