"""`retrospect`: how well a population would have forecast the samples of past patients, visit by visit."""

from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, Any

import numpy as np
import pandas as pd
from rich.progress import track

from nlmebayes.arguments import Count, Seed, Share, Switch, Text, Tree, Whole, checked
from nlmebayes.errors import ModelError
from nlmebayes.evaluation.refusals import why
from nlmebayes.forecasting.batches import pieces_of
from nlmebayes.forecasting.forecaster import forecaster, forecaster_of, rare_allowed
from nlmebayes.forecasting.options import Method, Options
from nlmebayes.model.model import Data, Model
from nlmebayes.runtime.spread import Client, Lost, Work, each

NEAR = 0.2  # relative, of a prediction that pharmacists call right


@dataclass(frozen=True, eq=False)
class Retrospect:
    """What `retrospect` found.

    Attributes
    ----------
    table : DataFrame
        One row per forecast sample: patient, ``used`` (visits known when the forecast was made), time, outcome,
        ``observed``, ``predicted`` (median of the individual prediction), ``eti_lb`` and ``eti_ub`` (of a measurement),
        ``pit`` (where the measurement lies among the forecast ones, uniform if forecasts are right).
    failures : dict of patient -> str
        Why there is none.

    Examples
    --------
    >>> import pandas as pd, nlmebayes as nb
    >>> from model_zoo import OneCompartment
    >>> tree = nb.population(OneCompartment(), theta={"cl": 3.0, "v": 40.0},
    ...                      omega={"sd": {"cl": 0.3, "v": 0.2}}, sigma={"b": 0.15})
    >>> records = pd.DataFrame({"id": "ann", "time": [0, 2, 8], "amt": [100, 0, 0], "dv": [None, 2.1, 0.9]})
    >>> patient = nb.Dataset.from_nonmem(records, outcome="conc")
    >>> nb.retrospect(tree, patient, draws=200, random_seed=1).summary()[["used", "n"]]
       used  n
    0     0  1
    1     1  1
    """

    table: pd.DataFrame
    failures: dict

    def summary(self) -> pd.DataFrame:
        """By number of visits used: n, rBias %, rRMSE %, share within 20 %, share within the interval.

        rBias = mean((predicted - observed) / observed), rRMSE = sqrt(mean(((predicted - observed) / observed)^2)), the
        definitions of Sheiner and Beal (1981), J. Pharmacokinet. Biopharm. 9, 503-512, of relative errors; observations
        of zero count for the interval only.

        Returns
        -------
        DataFrame

        Examples
        --------
        >>> import pandas as pd, nlmebayes as nb
        >>> from model_zoo import OneCompartment
        >>> tree = nb.population(OneCompartment(), theta={"cl": 3.0, "v": 40.0},
        ...                      omega={"sd": {"cl": 0.3, "v": 0.2}}, sigma={"b": 0.15})
        >>> records = pd.DataFrame({"id": "ann", "time": [0, 2, 8], "amt": [100, 0, 0], "dv": [None, 2.1, 0.9]})
        >>> patient = nb.Dataset.from_nonmem(records, outcome="conc")
        >>> found = nb.retrospect(tree, patient, draws=200, random_seed=1)
        >>> found.summary()[["used", "n", "coverage"]]
           used  n  coverage
        0     0  1       1.0
        1     1  1       1.0
        """
        rows = []
        for used, part in self.table.groupby("used"):
            known = part[part["observed"] != 0]
            error = (known["predicted"] - known["observed"]) / known["observed"]
            inside = part["observed"].between(part["eti_lb"], part["eti_ub"])
            rows.append({
                "used": used, "n": len(part), "rbias_percent": 100 * error.mean(),
                "rrmse_percent": 100 * np.sqrt((error**2).mean()), "within_20": (error.abs() <= NEAR).mean(),
                "coverage": inside.mean(),
            })  # fmt: skip
        return pd.DataFrame(rows)

    @checked
    def pit_histogram(self, bins: Count = 10) -> np.ndarray:
        """Counts of the PIT in equal bins: flat where the forecasts are calibrated.

        Parameters
        ----------
        bins : int
            How many.

        Returns
        -------
        DataFrame

        Raises
        ------
        ModelError
            An argument of another kind: it is named, with what it may be.

        Examples
        --------
        >>> import pandas as pd, nlmebayes as nb
        >>> from model_zoo import OneCompartment
        >>> tree = nb.population(OneCompartment(), theta={"cl": 3.0, "v": 40.0},
        ...                      omega={"sd": {"cl": 0.3, "v": 0.2}}, sigma={"b": 0.15})
        >>> records = pd.DataFrame({"id": "ann", "time": [0, 2, 8], "amt": [100, 0, 0], "dv": [None, 2.1, 0.9]})
        >>> patient = nb.Dataset.from_nonmem(records, outcome="conc")
        >>> nb.retrospect(tree, patient, draws=200, random_seed=1).pit_histogram(bins=2)
        array([1, 1])
        """
        return np.histogram(self.table["pit"], bins=bins, range=(0.0, 1.0))[0]


@checked
def retrospect(
    tree: Tree, data: Data, *, visit: Text | None = None, most: Whole | None = None, method: Method = "importance",
    draws: Count = 1000, ci_prob: Share = 0.9, random_seed: Seed | None = None, progressbar: Switch = False,
    client: Client | None = None, model: Model | None = None, **options: Annotated[Any, Options],
) -> Retrospect:  # fmt: skip
    """Forecast every visit of every patient from the visits before it.

    Parameters
    ----------
    tree, model
        As in `forecast`. The patients must be none that the tree was fitted to.
    data : Dataset
        Past patients with their samples.
    visit : str, optional
        Column that tells visits apart, such as an occasion; by default every time of sampling is one.
    most : int, optional
        Visits that are used at most.
    ci_prob : float
        Probability of the intervals.
    method, draws, random_seed, **options
        Of `forecast`.
    progressbar, client
        As in `forecast_each`.

    Returns
    -------
    Retrospect
        Censored samples are used, but not judged; a record without a measurement is neither.

    Raises
    ------
    ModelError
        No column ``visit``.

    Examples
    --------
    >>> import pandas as pd, nlmebayes as nb
    >>> from model_zoo import OneCompartment
    >>> tree = nb.population(OneCompartment(), theta={"cl": 3.0, "v": 40.0},
    ...                      omega={"sd": {"cl": 0.3, "v": 0.2}}, sigma={"b": 0.15})
    >>> records = pd.DataFrame({"id": "ann", "time": [0, 2, 8], "amt": [100, 0, 0], "dv": [None, 2.1, 0.9]})
    >>> patient = nb.Dataset.from_nonmem(records, outcome="conc")
    >>> found = nb.retrospect(tree, patient, draws=200, random_seed=1)
    >>> found.table[["used", "time", "observed", "predicted"]].round(1)
       used  time  observed  predicted
    0     0   2.0       2.1        2.1
    1     1   8.0       0.9        1.3
    """
    column = visit or data.time
    if column not in data.observations.columns:
        raise ModelError(f"retrospect: no column {column!r} in the data, to tell visits apart")
    ready, rows, failures = forecaster(tree, model=model), [], {}
    labels = list(dict.fromkeys(data.observations[data.subject]))
    options = {"method": method, "draws": draws} | options
    work = Work(forecaster_of, (tree, ready.model), partial(_visited, column, most, ci_prob, random_seed, options))
    items = zip(range(len(labels)), labels, pieces_of(data, [[label] for label in labels]), strict=True)
    done = track(each(work, items, client, ready=ready), "Patients", len(labels), disable=not progressbar)
    for i, found in sorted(done, key=lambda pair: pair[0]):
        own, failure = ([], why(found)) if isinstance(found, Lost) else found
        rows += own
        failures |= {} if failure is None else {labels[i]: failure}
    return Retrospect(pd.DataFrame(rows), failures)


def _visited(column, most, ci_prob, seed, options, ready, item):
    """Rows of the visits of one patient, and why there are no more of them, or None."""
    number, label, patient = item
    visits, rows = list(dict.fromkeys(patient.observations.sort_values(patient.time, kind="stable")[column])), []
    try:
        for used in range(len(visits) if most is None else min(most + 1, len(visits))):
            own = None if seed is None else seed + 1000 * number + used
            known, judged = visits[:used], visits[used]
            with rare_allowed():  # what is rare shows in the table, and in a thousand one is
                found = ready.forecast(_known(patient, column, known), random_seed=own, **options)
            rows += _judged(found, patient, column, judged, label, used, ci_prob)
    except Exception as error:  # whatever it is, the next patient is forecast
        return rows, why(error)
    return rows, None


def _known(patient, column, visits):
    """The patient with the measurements of some visits only; the others are times to predict."""
    hidden = ~patient.observations[column].isin(visits)
    frame = patient.observations.copy()
    frame.loc[hidden, ["value", "lower", "upper"]] = np.nan
    return replace(patient, observations=frame)


def _judged(found, patient, column, visit, label, used, ci_prob):
    rows = []
    for outcome in patient.outcomes:
        frame = patient.observations[patient.observations["outcome"] == outcome]
        here = np.flatnonzero(((frame[column] == visit) & frame["lower"].isna() & frame["value"].notna()).to_numpy())
        f = found["posterior"][f"f_{outcome}"].to_numpy()[0][:, here]
        drawn = found["posterior_predictive"][outcome].to_numpy()[0][:, here]
        edge = (1 - ci_prob) / 2
        low, high = np.quantile(drawn, [edge, 1 - edge], axis=0) if here.size else ([], [])
        for k, i in enumerate(here):
            record = frame.iloc[i]
            rows.append({
                patient.subject: label, "used": used, "time": record[patient.time], "outcome": outcome,
                "observed": record["value"], "predicted": float(np.median(f[:, k])), "eti_lb": float(low[k]),
                "eti_ub": float(high[k]), "pit": float((drawn[:, k] < record["value"]).mean()),
            })  # fmt: skip
    return rows
