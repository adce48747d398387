"""`ppc`: a statistic of the data beside what it is of data that the model simulates."""

from collections.abc import Callable

import numpy as np
import pandas as pd

from nlmebayes.arguments import Count, Seed, Share, Text, Tree, checked
from nlmebayes.criticism.limits import Limit, clipped
from nlmebayes.criticism.predictive import OWN, outcome_of
from nlmebayes.criticism.replicates import study_of
from nlmebayes.errors import ModelError
from nlmebayes.evaluation.fitted import fitted
from nlmebayes.evaluation.tails import tails
from nlmebayes.model.model import Data, Model


@checked
def ppc(
    tree: Tree, statistic: Callable, data: Data | None = None, *, outcome: Text | None = None,
    replicates: Count = 1000, lloq: Limit | None = None, uloq: Limit | None = None, ci_prob: Share = 0.9,
    random_seed: Seed | None = 0, model: Model | None = None,
) -> pd.DataFrame:  # fmt: skip
    """Predictive check of a statistic of one's own.

    Parameters
    ----------
    tree, data, outcome, replicates, lloq, uloq, random_seed, model
        As of `vpc`.
    statistic : callable
        Takes the rows of a study, with its measurements in the column ``DV`` and everything else as in the data, and
        gives a number, or a Series of numbers by name: ``lambda rows: rows.groupby("id")["DV"].max().mean()``.
        Censored measurements stand at their limits, and so do simulated ones beyond them.
    ci_prob : float

    Returns
    -------
    DataFrame
        By statistic the ``observed`` value, ``mean``, ``sd``, ``median``, ``eti_lb`` and ``eti_ub`` over replicates,
        and ``p``, the share of replicates above it, equal ones by half: near 0 or 1 the model gives no such data.

    Raises
    ------
    ModelError
        As `vpc`; a statistic that fails, or that is no number.

    References
    ----------
    Gelman, Meng and Stern (1996), Stat. Sin. 6, 733-807; Yano, Beal and Sheiner (2001), J. Pharmacokinet.
    Pharmacodyn. 28, 171-192, doi:10.1023/A:1011555016423.

    Examples
    --------
    Are the highest concentrations those that the model expects?

    >>> import nlmebayes as nb
    >>> from model_zoo import OneCompartment
    >>> model = nb.Model(OneCompartment("first-order"), residual=nb.Combined())
    >>> tree = nb.fit(model, nb.datasets.theophylline(), method="ml")
    >>> highest = lambda rows: rows.groupby("id")["DV"].max().mean()
    >>> table = nb.ppc(tree, highest, replicates=200, random_seed=1)
    >>> table[["observed", "eti_lb", "eti_ub"]].round(1)
              observed  eti_lb  eti_ub
    <lambda>       8.8     8.0     9.5
    """
    study = study_of(fitted(tree, model), data)
    outcome = outcome_of(study.data, outcome)
    o, frame = study.design.outcome(outcome), study.frame(outcome)
    if study.model.residual_of(outcome).folds:
        raise ModelError(f"ppc: {outcome} is the time of an event; vpc has its Kaplan-Meier curve")
    drawn = study.replicated(replicates, np.random.default_rng(random_seed))[outcome]
    drawn = clipped(o, frame, drawn, lloq, uloq)
    kept = np.isfinite(o.values)
    rows = frame[kept].drop(columns=list(OWN[1:]))
    observed, *every = (_numbers(statistic, rows.assign(DV=y)) for y in (o.values[kept], *drawn[:, kept]))
    every = pd.DataFrame(every)
    bounds = [every.quantile(p) for p in tails(ci_prob)]
    p = ((every > observed) + 0.5 * (every == observed)).mean()
    return pd.DataFrame({
        "observed": observed, "mean": every.mean(), "sd": every.std(), "median": every.median(), "eti_lb": bounds[0],
        "eti_ub": bounds[1], "p": p,
    })  # fmt: skip


def _numbers(statistic, rows):
    """Numbers by name."""
    try:
        found = statistic(rows)
    except Exception as error:  # of a function that is not ours, with rows that are
        said = " ".join(str(error).split())
        raise ModelError(f"ppc: the statistic failed with {type(error).__name__}: {said}") from error
    found = found if isinstance(found, pd.Series) else pd.Series({getattr(statistic, "__name__", "statistic"): found})
    try:
        values = found.astype(float)
    except (TypeError, ValueError):
        values = None
    if values is None or not np.isfinite(values).all():
        raise ModelError(f"ppc: the statistic must give a number, or a Series of them; got {found.iloc[0]}")
    return values
