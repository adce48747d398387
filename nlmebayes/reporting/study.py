"""The data of a fit in a report: who was measured, how often, what was left out."""

import pandas as pd

from nlmebayes import plot
from nlmebayes.reporting.blocks import Points, Section, Words
from nlmebayes.reporting.figures import pictured
from nlmebayes.reporting.tables import as_given, interval, number, table

SHOWN = 12  # values of a category that are named


def section(data, drawn):
    """The section on the data, with pictures of the outcomes ``drawn``."""
    blocks = [Words(_levels(data)), table(outcomes(data), "data_outcomes", "What was measured.", shown=as_given)]
    if len(data.doses):
        blocks.append(table(doses(data), "data_doses", "Doses.", shown=as_given))
    others = covariates(data)
    if len(others):
        blocks.append(table(others, "data_covariates", "Covariates, by group or by record.", shown=as_given))
    left = [f"{n} × {why}" for why, n in data.excluded.items()]
    blocks.append(Points(("Left out: " + ("; ".join(left) or "nothing."), *data.notes)))
    blocks += [pictured(lambda name=name: plot.data(data, outcome=name), f"Measurements of {name}.") for name in drawn]
    return Section("data", "Data", tuple(blocks))


def _levels(data):
    counts = [f"{data.observations[level].nunique()} of level {level}" for level in data.levels]
    time = ""
    if data.time:
        span = data.observations[data.time]
        time = f"; {data.time} from {as_given(span.min())} to {as_given(span.max())}"
        time += f" {data.unit_of.get(data.time, '')}".rstrip()
    return f"{len(data.observations)} records: {', '.join(counts) or 'no groups'}{time}."


def outcomes(data):
    """A row per outcome: subjects, records, those beyond a limit of quantification, values."""
    rows = []
    for name in data.outcomes:
        here = data.observations[data.observations["outcome"] == name]
        censored = (here["lower"] < here["upper"]).to_numpy()
        seen = here["value"][~censored & here["value"].notna()]
        rows.append({
            "Outcome": name, "Unit": data.unit_of.get(name, ""), f"Subjects ({data.subject})":
            here[data.subject].nunique(), "Records": len(here), "Beyond a limit": int(censored.sum()),
            "Method": data.blq if censored.any() else "", "Median": number(seen.median()),
            "Range": interval(seen.min(), seen.max(), as_given),
        })  # fmt: skip
    return pd.DataFrame(rows)


def doses(data):
    """One row: how many, to whom, how much, of which kinds."""
    given = data.doses
    row = {
        "Subjects": given[data.subject].nunique(), "Records": len(given), "Amounts": interval(
            given["amount"].min(), given["amount"].max(), as_given
        ), "Unit": data.unit_of.get("amount", ""), "Infusions": int((given["rate"] != 0).sum()),
        "At steady state": int((given["ss"] > 0).sum()), "Additional doses": int(given["addl"].sum()),
    }  # fmt: skip
    return pd.DataFrame([row])


def covariates(data):
    """A row per covariate and input: median and range, or how often each category is there."""
    rows = []
    for name in (*data.covariates, *(n for n in data.inputs if n != data.time)):
        per_group = name in data.covariates and data.levels
        frame = data.observations.drop_duplicates(data.levels[-1]) if per_group else data.observations
        values = frame[name].dropna()
        rows.append({
            "Covariate": name, "Unit": data.unit_of.get(name, ""), "Values": len(values), **_spread(values),
            "Missing": int(frame[name].isna().sum()), "Of": data.levels[-1] if per_group else "record",
        })  # fmt: skip
    return pd.DataFrame(rows)


def _spread(values):
    if pd.api.types.is_numeric_dtype(values) and len(values):
        return {"Median": number(values.median()), "Range or counts": interval(values.min(), values.max(), as_given)}
    counts = [f"{label}: {n}" for label, n in values.value_counts(sort=False).items()]
    more = f" and {len(counts) - SHOWN} more" if len(counts) > SHOWN else ""
    return {"Median": "", "Range or counts": ", ".join(counts[:SHOWN]) + more}
