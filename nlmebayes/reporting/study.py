"""The data of a fit in a report: who was measured, how often, what was left out."""

from dataclasses import replace

from nlmebayes import plot
from nlmebayes.reporting.blocks import Points, Section, Words
from nlmebayes.reporting.figures import pictured
from nlmebayes.reporting.tables import as_given, interval, table

CAPTIONS = {
    "outcomes": "What was measured.", "doses": "Doses.",
    "covariates": "Covariates, by group, and those that vary, by record.",
}  # fmt: skip
HEADS = {
    "outcome": "Outcome", "state": "State", "column": "Covariate", "unit": "Unit", "subjects": "Subjects",
    "records": "Records", "each": "Records of each", "doses": "Doses", "below": "Below a limit",
    "above": "Above a limit", "predicted": "Without a measurement", "infusions": "Infusions",
    "steady_states": "At steady state", "values": "Values", "missing": "Missing", "median": "Median", "range": "Range",
    "categories": "Categories",
}  # fmt: skip
RARE = ("below", "above", "predicted", "infusions", "steady_states", "missing")  # counts of which 0 says nothing


def section(data, drawn):
    """The section on the data, with pictures of the outcomes ``drawn``."""
    held = data.summary().tables
    blocks = [Words(_levels(data))] + [_table(held[name], name) for name in CAPTIONS if name in held]
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


def _table(frame, name):
    """A table of `Contents` as printed: ranges in one column, nothing for what there is none of."""
    shown = frame.assign(range=_ranges(frame, "min", "max"))
    if "per_subject_min" in frame:
        shown["each"] = _ranges(frame, "per_subject_min", "per_subject_max")
    rare = [column for column in RARE if column in frame]
    shown[rare] = shown[rare].astype(object).where(shown[rare] != 0, None)
    heads = {column: head for column, head in HEADS.items() if column in shown}
    return replace(table(shown, f"data_{name}", CAPTIONS[name], heads, shown=as_given), frame=frame)


def _ranges(frame, low, high):
    ends = frame.reindex(columns=[low, high])
    return [interval(a, b, as_given) if a != b else as_given(a) for a, b in ends.itertuples(index=False)]
