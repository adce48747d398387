"""The arms of a dataset: subjects with the same records, doses, occasions and limits."""

import numpy as np

from nlmebayes.design.arm import ARM, DOSE, Arm
from nlmebayes.errors import ModelError


def arms_of(data):
    """An `Arm` for all subjects of a `Dataset` who are treated and sampled in the same way.

    Raises
    ------
    ModelError
        What an arm cannot state: resets, several levels below the subject, a column with a missing value.
    """
    for column in (*data.covariates, *data.inputs):
        lost = data.observations["row"][data.observations[column].isna()]
        if len(lost):
            raise ModelError(
                f"from_dataset: {data.source}, row {lost.iloc[0]}, column {column}: is missing; fill it in, or leave "
                "out the column, or the records (complete=)"
            )
    below = data.levels[data.levels.index(data.subject) + 1 :]
    if len(below) > 1:
        raise ModelError(
            f"from_dataset: {data.source} has the levels {', '.join(below)} below {data.subject}; one can be"
        )
    if len(data.events) and (data.events["kind"] == "reset").any():
        raise ModelError(f"from_dataset: {data.source} has resets (EVID 3 or 4), which a design does not state")
    kinds, limits = {}, _limits(data.observations)
    for label, own in data.observations.groupby(data.subject, sort=False):
        said = _schedule(data, label, own, below[0] if below else None) | limits
        said |= {"name": str(own[ARM].iloc[0])} if ARM in data.covariates else {}
        kinds.setdefault(repr(said), (said, []))[1].append(own.iloc[0])
    found = [_arm(data, said, members) for said, members in kinds.values()]
    names = [arm.name for arm in found]
    return found if len(set(names)) == len(names) else [arm.but(name=None) for arm in found]


def _schedule(data, label, own, occasion):
    """What is done with one subject, as arguments of `Arm`."""
    found = {}
    if data.time is not None:
        found["times"] = {name: each[data.time].tolist() for name, each in own.groupby("outcome", sort=False)}
    varying = [c for c in data.inputs if c != data.time]
    if occasion is not None:
        varying = _of_occasions(data, own, occasion, varying, found)
    if varying:
        rows = own.drop_duplicates("row")
        found["inputs"] = {name: rows[name].tolist() for name in varying}
        if data.time is not None:
            found["times"] = rows[data.time].tolist()
    if data.time is None and not varying:  # replicates, which have nothing to tell them apart
        found["times"] = {name: list(range(len(each))) for name, each in own.groupby("outcome", sort=False)}
    doses = data.doses[data.doses[data.subject] == label]
    if len(doses):
        found["doses"] = [_dose(dose, data.time) for dose in doses.to_dict("records")]
    return found


def _of_occasions(data, own, occasion, varying, found):
    """Put when occasions begin, and what changes from one to the next, into ``found``; the inputs that are left."""
    first = own.drop_duplicates(occasion)
    if data.time is None:
        raise ModelError(f"from_dataset: {data.source} has occasions and no time; write the arms, occasions=2")
    doses = data.doses[data.doses[data.subject] == own[data.subject].iloc[0]]
    starts = []
    for label in first[occasion]:
        frames = (own, doses) if len(doses) else (own,)
        starts.append(min(frame.loc[frame[occasion] == label, data.time].min() for frame in frames
                          if (frame[occasion] == label).any()))  # fmt: skip
    found["occasions"] = [float(t) for t in starts]
    still = [c for c in varying if own.groupby(occasion, sort=False)[c].nunique(dropna=False).max() == 1]
    constant = [c for c in data.covariates if own[c].nunique(dropna=False) > 1]
    if still or constant:
        found["by_occasion"] = {name: first[name].tolist() for name in (*still, *constant)}
    return [c for c in varying if c not in still]


def _dose(dose, time):
    said = {"time": dose[time], "amt": dose["amount"]} | {k: dose[k] for k in DOSE if k in dose and k != "time"}
    return {key: x for key, x in said.items() if key in ("time", "amt") or not (x is None or x != x or x == 0)}


def _limits(frame):
    """Limits at which records are censored, by outcome."""
    found = {"lloq": {}, "uloq": {}}
    for name, each in frame.groupby("outcome", sort=False):
        for word, end in (("lloq", "upper"), ("uloq", "lower")):
            at = each.loc[each["value"].notna() & (each["value"] == each[end]) & np.isfinite(each[end]), end].unique()
            if len(at) > 1:
                raise ModelError(f"from_dataset: {name} has several limits of quantification; write the arms, {word}=")
            if len(at):
                found[word][name] = float(at[0])
    return {word: each for word, each in found.items() if each}


def _arm(data, said, members):
    one = said.get("by_occasion", {})
    covariates = {}
    for name in (c for c in data.covariates if c not in (*one, ARM)):
        values = [member[name] for member in members]
        covariates[name] = values[0] if len(set(values)) == 1 else values
    outer = data.levels[: data.levels.index(data.subject)]
    own = {level: [_last(member[level]) for member in members] for level in outer}
    return Arm(len(members), **said, covariates=covariates or None, within=own or None)


def _last(label):
    return str(label).rsplit("/", 1)[-1]
