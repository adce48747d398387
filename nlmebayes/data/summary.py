"""A dataset in a few lines of text."""

HOLDS = {
    "nocb": "a value holds up to its record",
    "locf": "a value holds from its record on",
    "linear": "a number changes on a line from record to record",
}


def lines(data):
    """What a `Dataset` prints: source, levels, outcomes, time, doses, events, columns, what was left out."""
    yield f"Dataset of {data.source}"
    for level in data.levels:
        yield f"  level {level}: {data.observations[level].nunique()}"
    for name in data.outcomes:
        yield _outcome(data, name)
    if data.time:
        span = data.observations[data.time]
        yield f"  time {data.time}: {span.min():g} to {span.max():g}"
    yield f"  doses: {len(data.doses)}{_counts(_kinds_of_doses(data.doses))}"
    if len(data.events):
        yield f"  events: {len(data.events)}{_counts(_kinds_of_events(data.events))}"
    yield f"  covariates: {', '.join(data.covariates) or 'none'}"
    held = f" ({data.interpolation}: {HOLDS[data.interpolation]})" if data.inputs and data.time else ""
    yield f"  inputs: {', '.join(data.inputs) or 'none'}{held}"
    yield from (f"  {note}" for note in data.notes)
    yield "  excluded: " + ("; ".join(f"{n} x {why}" for why, n in data.excluded.items()) or "none")


def _outcome(data, name):
    here = data.observations[data.observations["outcome"] == name]
    censored = int((here["lower"] < here["upper"]).sum())
    return f"  outcome {name}: {len(here)} records" + (f", {censored} censored ({data.blq})" if censored else "")


def _kinds_of_doses(doses):
    if not len(doses):
        return {}
    return {
        "infusion": int((doses["rate"] != 0).sum()),
        "steady state": int((doses["ss"] > 0).sum()),
        "additional dose": int(doses["addl"].sum()),
    }


def _kinds_of_events(events):
    return {"reset": int((events["kind"] == "reset").sum()), "other event": int((events["kind"] == "other").sum())}


def _counts(kinds):
    present = [f"{n} {what}{'s' if n > 1 else ''}" for what, n in kinds.items() if n]
    return f" ({', '.join(present)})" if present else ""
