"""`npc`: how many observations lie outside the intervals that the model predicts for them."""

from typing import Annotated

import numpy as np
import pandas as pd

from nlmebayes.arguments import Count, Names, Seed, Share, Text, Tree, checked, number
from nlmebayes.criticism import comparison
from nlmebayes.criticism.limits import Limit, clipped
from nlmebayes.criticism.predictive import outcome_of
from nlmebayes.criticism.replicates import study_of
from nlmebayes.errors import ModelError
from nlmebayes.evaluation.fitted import fitted
from nlmebayes.evaluation.tails import tails
from nlmebayes.model.model import Data, Model

INTERVALS = (0.0, 0.2, 0.4, 0.5, 0.6, 0.8, 0.9, 0.95)  # those of PsN
Probability = Annotated[float, number("a number from 0 on, below 1", 0.0, 1.0, "[)")]


@checked
def npc(
    tree: Tree, data: Data | None = None, *, outcome: Text | None = None, by: Names = (),
    intervals: list[Probability] = INTERVALS, replicates: Count = 1000, lloq: Limit | None = None,
    uloq: Limit | None = None, ci_prob: Share = 0.9, random_seed: Seed | None = 0, model: Model | None = None,
) -> pd.DataFrame:  # fmt: skip
    """Numerical predictive check: the shares of observations below and above the prediction interval of each record.

    Each record has its own interval, so no bins are needed and doses and covariates may differ.

    Parameters
    ----------
    tree, data, outcome, by, replicates, lloq, uloq, ci_prob, random_seed, model
        As of `vpc`.
    intervals : list of float
        Probabilities of the intervals; 0 is the median.

    Returns
    -------
    DataFrame
        By stratum, ``interval`` and ``side`` ("below", "above"): ``n`` records, the ``expected`` share
        (1 - interval) / 2, the ``observed`` one, and ``median``, ``eti_lb``, ``eti_ub`` of the replicates', as if each
        were observed. Censored records stand at their limits, as those of the replicates do.

    Raises
    ------
    ModelError
        As `vpc`; no probability among ``intervals``.

    References
    ----------
    Lindbom, Pihlgren and Jonsson (2005), Comput. Methods Programs Biomed. 79, 241-257 (PsN),
    doi:10.1016/j.cmpb.2005.04.005; Karlsson and Holford (2008), PAGE 17, abstract 1434.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> from model_zoo import OneCompartment
    >>> model = nb.Model(OneCompartment("first-order"), residual=nb.Combined())
    >>> tree = nb.fit(model, nb.datasets.theophylline(), method="ml")
    >>> table = nb.npc(tree, intervals=[0, 0.9], random_seed=1)
    >>> table[["interval", "side", "n", "expected", "observed"]].round(2)
       interval   side    n  expected  observed
    0       0.0  below  132      0.50      0.54
    1       0.0  above  132      0.50      0.46
    2       0.9  below  132      0.05      0.01
    3       0.9  above  132      0.05      0.09
    """
    study = study_of(fitted(tree, model), data)
    outcome = outcome_of(study.data, outcome)
    residual, o, frame = study.model.residual_of(outcome), study.design.outcome(outcome), study.frame(outcome)
    if residual.folds or residual.discrete:
        raise ModelError(f"npc: {outcome} is no measurement with an interval; vpc has shares, or survival")
    drawn = study.replicated(replicates, np.random.default_rng(random_seed))[outcome]
    kept = np.flatnonzero(np.isfinite(o.values))
    y, drawn = o.values[kept], clipped(o, frame, drawn, lloq, uloq)[:, kept]
    rows = []
    for values, here in comparison.strata(frame.iloc[kept], by):
        for interval in intervals:
            bounds = np.quantile(drawn[:, here], tails(interval), axis=0)
            sides = {"below": (y[here] < bounds[0], drawn[:, here] < bounds[0]),
                     "above": (y[here] > bounds[1], drawn[:, here] > bounds[1])}  # fmt: skip
            for side, (own, every) in sides.items():
                low, middle, high = np.quantile(every.mean(axis=1), [*tails(ci_prob)[:1], 0.5, *tails(ci_prob)[1:]])
                rows.append(values | {
                    "interval": interval, "side": side, "n": len(here), "expected": (1 - interval) / 2,
                    "observed": own.mean(), "median": middle, "eti_lb": low, "eti_ub": high,
                })  # fmt: skip
    return pd.DataFrame(rows)
