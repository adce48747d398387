"""Tests of a fit: what was compared with what, how likely it is in a true model, and the sentence that tells of it."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from nlmebayes.criticism.significance import merged

ALARM = 0.05  # probability that any test of a true model is reported
SHOWN = 6  # findings that are written out


@dataclass(frozen=True, eq=False)
class Doubt:
    """A test: its ``family``, ``of`` what, ``against`` what; log of the p-value; how large the effect is; what tells of
    it if it is found. Of tests about the same ``subject`` only the most important is written out."""

    family: str
    of: str
    against: str
    log_p: float
    size: float
    subject: tuple
    sentence: Callable


def doubt(found, family, of, against, subject, sentence):
    """A `Doubt` from logarithms of p-values and sizes of draws (draw,); nothing from what could not be tested."""
    if found is not None:
        log_p, size = found
        yield Doubt(family, of, against, merged(log_p), float(np.mean(size)), subject, sentence)


def table(doubts):
    """One row per test, the most important first, with p-values adjusted for all of them: each family has the same
    share of false alarms, and each test of a family (Bonferroni)."""
    each = Counter(d.family for d in doubts)
    rows = [
        {"test": d.family, "of": d.of, "against": d.against, "size": d.size, "p": float(_adjusted(d, each))}
        for d in _ordered(doubts)
    ]
    return pd.DataFrame(rows, columns=["test", "of", "against", "size", "p"])


def findings(doubts):
    """Sentences of what is found, the most important first, one of each subject."""
    each, told = Counter(d.family for d in doubts), {}
    for d in _ordered(doubts):
        if _adjusted(d, each) < ALARM:
            told.setdefault(d.subject, d)
    chosen = list(told.values())
    for d in chosen[:SHOWN]:
        yield f"{d.sentence()} (p = {_adjusted(d, each):.2g})"
    if len(chosen) > SHOWN:
        yield f"{len(chosen) - SHOWN} more tests are found that may follow from these; see `tests` of the report"


def _ordered(doubts):
    return sorted(doubts, key=lambda d: d.log_p)


def _adjusted(d, each):
    return min(1.0, np.exp(d.log_p) * each[d.family] * len(each))
