"""`vpc`: data that the model simulates beside the data, percentile by percentile."""

from dataclasses import dataclass, replace
from typing import Annotated, Literal

import numpy as np
import pandas as pd

from nlmebayes.arguments import Array, Count, Names, Seed, Share, Switch, Text, Tree, checked, number
from nlmebayes.criticism import comparison, limits
from nlmebayes.criticism.bins import Binning, Bins, binned, rolling
from nlmebayes.criticism.comparison import Records
from nlmebayes.criticism.limits import Limit
from nlmebayes.criticism.npde import ABOVE, BELOW, MEASURED
from nlmebayes.criticism.replicates import study_of
from nlmebayes.criticism.tad import since_dose
from nlmebayes.errors import ModelError, warn
from nlmebayes.evaluation.fitted import fitted
from nlmebayes.model.model import Data, Model

OWN = ("row", "value", "lower", "upper")  # columns of observations that are no place
PERCENTILES = (5.0, 50.0, 95.0)
Correction = Literal["prediction", "variance"]
Percentile = Annotated[float, number("a number between 0 and 100, both excluded", 0.0, 100.0)]


@dataclass(frozen=True, eq=False)
class CheckOptions:
    """How records are compared with replicates; see `vpc`."""

    by: Names = ()
    bins: Bins = 8
    binning: Binning = "count"
    correct: Correction | None = None
    logged: Switch = False
    percentiles: list[Percentile] = PERCENTILES
    ci_prob: Share = 0.9


@dataclass(frozen=True, eq=False)
class Comparison:
    """The ``table`` of a check; what stands in it (``"percentiles"``, ``"shares"`` or ``"survival"``); its `Records`,
    corrected as they were, on the axis ``x``; the columns ``by`` that make its strata."""

    kind: str
    table: pd.DataFrame
    x: str
    by: tuple
    records: Records | None = None


@checked
def vpc(
    tree: Tree | None = None, data: Data | None = None, *, outcome: Text | None = None, x: Text | None = None,
    observed: pd.DataFrame | None = None, simulated: Array | None = None, pred: Text | None = None,
    replicates: Count = 1000, lloq: Limit | None = None, uloq: Limit | None = None, random_seed: Seed | None = 0,
    model: Model | None = None, **options: CheckOptions,
) -> pd.DataFrame:  # fmt: skip
    """The numbers of a visual predictive check: of a tree, or of simulations from anywhere.

    Parameters
    ----------
    tree, data : DataTree and Dataset, optional
        A population and the records to compare with it, by default its own. Individuals are simulated anew.
    outcome : str, optional
        By default the first; of ``observed`` the column of measurements.
    x : str, optional
        Column of the axis: ``"tad"`` (time after dose), an input, a covariate; by default time, or the first input.
    observed, simulated, pred : DataFrame, array (replicate, record), str, optional
        In place of a tree: one row per record, their replicates, and the column of predictions without effects.
    by : str or list of str
        Columns that make strata.
    bins : int, list of float or str
        How many bins, their edges, or the column whose values they are.
    binning : {"count", "k-means", "rolling"}
        Of a number of bins. ``"rolling"`` has none: each of up to 40 windows holds the nearest records to its centre,
        one in ``bins`` of all, and a correction is that of the window.
    correct : {"prediction", "variance"}, optional
        Removes what doses, covariates and times within a bin explain; see `comparison.corrected`.
    logged : bool
        Whether measurements are logarithms, which are corrected by differences.
    percentiles : list of float
    ci_prob : float
        Of all intervals.
    replicates : int
    lloq, uloq : float, str or dict of outcome -> float or str, optional
        Limits of quantification of all records, a number or a column.
    random_seed, model
        As of `predict`.

    Returns
    -------
    DataFrame
        One row per stratum, bin and ``statistic`` (a percentile, ``"censored"``, a share, ``"survival"``): the columns
        ``by``, ``bin``, ``x`` (the median of the bin), ``n`` records, ``observed`` with ``observed_lb`` and
        ``observed_ub`` (as of independent records; infinite where these are too few), and ``median``, ``eti_lb``,
        ``eti_ub`` of the replicates'. Counts are per unit of exposure; of trials and categories there are shares, of
        times to an event the Kaplan-Meier curve. Percentiles among censored records stand at the limit, or are missing
        where there is a correction.

    Raises
    ------
    ModelError
        Columns that are not there; limits that are not those of all records; a correction of shares.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> from model_zoo import OneCompartment
    >>> model = nb.Model(OneCompartment("first-order"), residual=nb.Combined())
    >>> tree = nb.fit(model, nb.datasets.theophylline(), method="ml")
    >>> table = nb.vpc(tree, bins=4, random_seed=1)
    >>> table[table["statistic"] == "50 %"][["x", "n", "observed", "eti_lb", "eti_ub"]].round(1)
           x   n  observed  eti_lb  eti_ub
    1    0.2  33       1.9     1.8     3.5
    4    2.0  34       7.7     6.6     8.2
    7    5.1  33       5.9     5.7     6.8
    10  12.0  20       4.3     3.5     4.8
    13  24.2  12       1.2     0.9     1.8
    """
    options = CheckOptions(**options)
    if (tree is None) == (observed is None and simulated is None):
        raise ModelError("vpc: give a tree, or observed= and simulated=")
    for name, given in (("pred", pred if tree is not None else None), ("data", data if tree is None else None)):
        if given is not None:
            raise ModelError(
                f"vpc: {name}= does not go with {'a tree' if name == 'pred' else 'observed='}; leave it out"
            )
    if tree is None:
        return of_frame(observed, simulated, outcome, x, pred, lloq, uloq, options).table
    study = study_of(fitted(tree, model), data)
    drawn = study.replicated(replicates, np.random.default_rng(random_seed))
    return of_study(study, drawn, outcome, x, lloq, uloq, options).table


def of_study(study, simulated, outcome, x, lloq=None, uloq=None, options=None):
    """The `Comparison` of the records of a `replicates.Study` with replicates by outcome (replicate, record)."""
    options = options or CheckOptions()
    outcome = outcome_of(study.data, outcome)
    residual, o, frame = study.model.residual_of(outcome), study.design.outcome(outcome), study.frame(outcome)
    tad, number = since_dose(study.data, frame)
    frame = frame if "tad" in frame else frame.assign(tad=tad)
    frame = frame if "dose_number" in frame else frame.assign(dose_number=number)
    if residual.folds:
        return _of_events(residual, o, frame, simulated[outcome], options)
    x = axis_of(study.model, study.data, x, ("tad", "dose_number") if len(study.data.doses) else ())
    at, known = frame[x].to_numpy(dtype=float), np.isfinite(o.values) | o.censored
    nowhere = known & ~np.isfinite(at)
    if nowhere.any():
        warn(f"vpc: {nowhere.sum()} records of {outcome} have no {x} (row {o.row[nowhere][0]}) and are left out")
    kept = np.flatnonzero(known & np.isfinite(at))
    if not len(kept):
        raise ModelError(f"vpc: no measurement of {outcome} has a value of {x}")
    flags, *limit = limits.quantified(o, frame, lloq, uloq)
    pred = study.at()[outcome] if options.correct else np.ones(len(at))
    records = _binned(frame, at, o.values, simulated[outcome], flags, limit, pred, kept, options)
    return _compared(residual, o.at(kept).columns, records, x, options)


def of_frame(frame, simulated, outcome, x, pred, lloq, uloq, options):
    """The `Comparison` of the rows of a frame with their replicates (replicate, record)."""
    if frame is None or simulated is None or outcome is None or x is None:
        raise ModelError("vpc: of numbers from anywhere give observed=, simulated=, outcome= and x=")
    if isinstance(lloq, dict) or isinstance(uloq, dict):
        raise ModelError("vpc: lloq= and uloq= of numbers from anywhere are a number, or a column of observed")
    if options.correct and pred is None:
        raise ModelError("vpc: a correction needs the column of predictions, pred=")
    wanted = [outcome, x, *filter(None, [pred]), *(n for n in (lloq, uloq) if isinstance(n, str))]
    lost = [name for name in wanted if not (name in frame and _whole(frame[name]))]
    if lost:
        raise ModelError(f"vpc: observed has no column {lost[0]!r} of numbers without a gap")
    if simulated.ndim != 2 or simulated.shape[1] != len(frame):
        raise ModelError(f"vpc: simulated must be (replicate, record) of {len(frame)} records; got {simulated.shape}")
    at, y = (frame[name].to_numpy(dtype=float) for name in (x, outcome))
    limit = [None if n is None else np.array(frame[n], dtype=float) if isinstance(n, str) else np.full(len(y), n)
             for n in (lloq, uloq)]  # fmt: skip
    low, high = (np.full(len(y), end) if n is None else n for n, end in zip(limit, (-np.inf, np.inf), strict=True))
    flags = np.where(y < low, BELOW, np.where(y > high, ABOVE, MEASURED))
    expected = frame[pred].to_numpy(dtype=float) if pred else np.ones(len(y))
    records = _binned(frame, at, y, simulated, flags, limit, expected, np.arange(len(y)), options)
    return _percentiles(records, x, options)


def _whole(column):
    """Whether a column holds numbers without a gap."""
    return pd.api.types.is_numeric_dtype(column) and bool(np.isfinite(column.to_numpy(dtype=float)).all())


def _binned(frame, at, y, simulated, flags, limit, pred, kept, options):
    """`Records` of those that are kept."""
    found = Records(frame, at, np.zeros(len(at), dtype=int), y, simulated, flags, *limit, pred).take(kept)
    if options.binning != "rolling":
        return found.binned(binned(found.at, found.frame, options.bins, options.binning))
    members, window, own = rolling(found.at, options.bins)
    return replace(found.take(members).binned(window), own=own)


def _compared(residual, columns, records, x, options):
    """Percentiles, or shares of what has no percentiles."""
    observed = residual.shares(records.y, columns)
    if observed is None:
        scaled = [residual.of_one(y, columns) for y in (records.y, records.simulated)]
        return _percentiles(records.scaled(*scaled), x, options)
    if options.correct:
        raise ModelError("correct: shares of trials and categories have no correction; leave it out")
    drawn = residual.shares(records.simulated, columns)
    table = comparison.shares(records, options.by, observed, drawn, options.ci_prob)
    return Comparison("shares", table, x, options.by, records)


def _percentiles(records, x, options):
    if options.correct:
        records = comparison.corrected(records, options.by, options.correct, options.logged)
    table = comparison.percentiles(records, options.by, options.percentiles, options.ci_prob)
    return Comparison("percentiles", table, x, options.by, records)


def _of_events(residual, o, frame, simulated, options):
    """Survival: of times that are known, or to lie beyond follow-up."""
    if options.correct:
        raise ModelError("correct: times to an event have no correction; leave it out")
    value, lower, upper = o.values, o.lower, o.upper
    kept, entry = np.isfinite(value) | np.isfinite(lower), residual.entry
    seen, left = kept & np.isnan(lower), kept & np.isposinf(upper)
    if (kept & ~seen & ~left).any():
        raise ModelError(f"{o.name}: times known to an interval have no Kaplan-Meier curve; look at f_{o.name}")
    entry = np.zeros(len(frame)) if entry is None else frame[entry].to_numpy(dtype=float)
    end, own = np.where(left, lower, value)[kept], frame[kept]
    table = comparison.survival(own, options.by, end, seen[kept], entry[kept], simulated[:, kept], options.ci_prob)
    return Comparison("survival", table, "time", options.by)


def outcome_of(data, outcome=None):
    """The outcome that is meant, by default the first."""
    if outcome is not None and outcome not in data.outcomes:
        raise ModelError(f"no outcome {outcome!r} in the data; there are {', '.join(data.outcomes)}")
    return outcome or data.outcomes[0]


def axis_of(model, data, x=None, beside=()):
    """Column for the axis: ``x``, which must hold numbers, of the data or ``beside`` them; or time, or the first input
    of the structure."""
    if x is not None:
        numbers = [c for c in data.observations.columns if data.observations[c].dtype.kind in "iuf" and c not in OWN]
        numbers += [c for c in beside if c not in numbers]
        if x not in numbers:
            raise ModelError(f"no column {x!r} of numbers in the data for x=; there are {', '.join(numbers)}")
        return x
    wanted = [model.inputs.get(i, data.time if i == "time" else i) for i in model.structure.inputs]
    options = [*wanted, data.time, *data.inputs]
    found = [c for c in options if c and data.observations[c].dtype.kind == "f"]
    if not found:
        raise ModelError("no time and no numeric input to plot over; give x=")
    return found[0]
