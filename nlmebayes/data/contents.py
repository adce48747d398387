"""`Contents`: what a dataset holds, as tables that print and that a report shows."""

from dataclasses import dataclass, fields

import numpy as np
import pandas as pd

AMOUNT = "amount"  # of the doses, among units
SHOWN = 12  # categories that are named


@dataclass(frozen=True, eq=False)
class Contents:
    """What a `Dataset` holds; every field is a frame, empty where there is nothing to say.

    Attributes
    ----------
    levels : DataFrame
        ``level, groups``, and least, median and most groups of it in one of the level above (``per_group_min``, ...):
        occasions per subject.
    outcomes : DataFrame
        ``outcome, unit, records, subjects``, records of a subject (``per_subject_min, _median, _max``), how many are
        ``below`` and ``above`` quantification or ``predicted`` only, and ``min, median, max`` of the measured.
    times : DataFrame
        ``outcome, unit, first, last`` of the records.
    doses : DataFrame
        ``state, unit, records, doses`` (additional ones included), ``subjects, infusions, steady_states``, and ``min,
        median, max`` of the amounts.
    covariates : DataFrame
        ``column, unit, varies`` (an input), ``values`` and how many are ``missing`` (of units; of records for
        an input), ``min, median, max`` of numbers, ``categories`` of text with their counts.
    excluded : DataFrame
        ``reason, records``.
    notes : DataFrame
        ``note``: how the table was read.
    """

    levels: pd.DataFrame
    outcomes: pd.DataFrame
    times: pd.DataFrame
    doses: pd.DataFrame
    covariates: pd.DataFrame
    excluded: pd.DataFrame
    notes: pd.DataFrame
    source: str = "data"

    @property
    def tables(self):
        """Name -> frame, of those that hold something."""
        found = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "source"}
        return {name: frame for name, frame in found.items() if len(frame)}

    def __repr__(self):
        parts = [f"{name}\n{_printed(frame)}" for name, frame in self.tables.items()]
        return "\n\n".join([f"Dataset of {self.source}", *parts])


def contents(data):
    """The `Contents` of a dataset."""
    return Contents(
        _levels(data), _outcomes(data), _times(data), _doses(data), _covariates(data),
        pd.DataFrame(data.excluded.items(), columns=["reason", "records"]),
        pd.DataFrame({"note": list(data.notes)}), data.source,
    )  # fmt: skip


def _printed(frame):
    shown = frame.dropna(axis=1, how="all").astype(object)
    shown = shown.map(lambda x: "" if x is None or x != x else f"{x:.6g}" if isinstance(x, float) else str(x))
    return shown.to_string(index=False)


def _spread(values, prefix=""):
    """Least, median and most."""
    values = np.asarray(values, dtype=float)
    values = values[np.isfinite(values)]
    ends = (values.min(), np.median(values), values.max()) if len(values) else (np.nan,) * 3
    return {f"{prefix}{name}": float(x) for name, x in zip(("min", "median", "max"), ends, strict=True)}


def _levels(data):
    rows = []
    for i, level in enumerate(data.levels):
        groups = data.observations[[*data.levels[: i + 1]]].drop_duplicates()
        inside = groups.groupby(data.levels[i - 1], sort=False).size() if i else []
        rows.append({"level": level, "groups": groups[level].nunique()} | _spread(inside, "per_group_"))
    return pd.DataFrame(rows)


def _outcomes(data):
    rows = []
    for name in data.outcomes:
        here = data.observations[data.observations["outcome"] == name]
        each, censored = here.groupby(data.subject, sort=False).size(), here["lower"].notna()
        measured = here["value"][~censored]
        rows.append(
            {"outcome": name, "unit": data.unit_of.get(name, ""), "records": len(here), "subjects": len(each)}
            | _spread(each, "per_subject_")
            | {"below": int((censored & (here["value"] == here["upper"])).sum()),
               "above": int((censored & (here["value"] == here["lower"])).sum()),
               "predicted": int(here["value"].isna().sum())}
            | _spread(measured)
        )  # fmt: skip
    return pd.DataFrame(rows)


def _times(data):
    if data.time is None:
        return pd.DataFrame()
    span = data.observations.groupby("outcome", sort=False)[data.time].agg(first="min", last="max").reset_index()
    span.insert(1, "unit", data.unit_of.get(data.time, ""))
    return span


def _doses(data):
    rows = []
    frame = data.doses.assign(state=data.doses["state"].fillna("") if len(data.doses) else "")
    for state, here in frame.groupby("state", sort=False):
        rows.append(
            {"state": state or "default", "unit": data.unit_of.get(AMOUNT, ""), "records": len(here),
             "doses": int(len(here) + here["addl"].sum()), "subjects": here[data.subject].nunique(),
             "infusions": int((here["rate"] != 0).sum()), "steady_states": int((here["ss"] > 0).sum())}
            | _spread(here["amount"])
        )  # fmt: skip
    return pd.DataFrame(rows)


def _covariates(data):
    rows = []
    for column in (*data.covariates, *data.inputs):
        varies = column in data.inputs
        values = data.observations[column] if varies else data.units[column]
        about = {"column": column, "unit": data.unit_of.get(column, ""), "varies": varies, "values": len(values)}
        about["missing"] = int(values.isna().sum())
        if pd.api.types.is_numeric_dtype(values):
            rows.append(about | _spread(values))
        else:
            counts = [f"{label} ({n})" for label, n in values.value_counts(sort=False).items()]
            more = f" and {len(counts) - SHOWN} more" if len(counts) > SHOWN else ""
            rows.append(about | {"categories": ", ".join(counts[:SHOWN]) + more})
    return pd.DataFrame(rows)
