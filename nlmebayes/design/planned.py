"""The subjects of a design, dealt to groups and given covariates and times, as a `Dataset` without measurements."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from nlmebayes.data.dataset import Dataset
from nlmebayes.data.tidy import label
from nlmebayes.data.ties import ROUNDING
from nlmebayes.design.arm import ARM
from nlmebayes.errors import ModelError

FIRST = -2  # place of the end of an occasion among what happens at its time: before the doses of the next one
OCCASION = "occasion"  # level below the subject where the model names none


@dataclass(frozen=True)
class Subject:
    """One planned subject: ``label``, its arm, labels of the groups outside of it, covariates and times by outcome."""

    label: str
    arm: object
    groups: tuple
    covariates: dict
    times: dict

    @property
    def kind(self):
        """What two subjects share who are alike but for their groups."""
        return self.arm.name, tuple(self.covariates.items()), tuple(self.times.items())


def subjects_of(arms, rng, prefix="", copies=1):
    """Every `Subject` of a design, or of so many independent copies of it; labels begin with ``prefix``."""
    found = []
    for copy in range(copies):
        for arm in arms:
            for i, covariates in enumerate(arm.dealt(arm.n, rng)):
                groups = _groups(arm, i, prefix, f"{copy + 1}:" if copies > 1 else "")
                found.append(Subject(f"{prefix}{len(found) + 1}", arm, groups, covariates, arm.drawn(rng)))
    return found


def _groups(arm, i, prefix, copy):
    """Labels of the groups outside of subject i of an arm: counted ones are dealt in turn, the outermost first, and
    those that are named may be known to a fit."""
    found = []
    for said in (arm.within or {}).values():
        if isinstance(said, int):
            found.append(f"{prefix}{copy}{i % said + 1}")
            i //= said
        else:
            found.append(f"{copy}{said[i % len(said)]}")
    return tuple(found)


def distinct(subjects):
    """Subjects of one outermost group of each kind, and how many groups of that kind there are, by its label."""
    groups = {}
    for each in subjects:
        groups.setdefault(each.groups[0] if each.groups else each.label, []).append(each)
    kept, first, count = [], {}, {}
    for name, members in groups.items():
        kind = tuple(sorted((repr(each.groups[1:]), repr(each.kind)) for each in members))
        if kind not in first:
            first[kind] = name
            kept += members
        count[first[kind]] = count.get(first[kind], 0) + 1
    return kept, count


def planned(arms, setting, rng):
    """The `Dataset` of all subjects of some arms."""
    return dataset_of(subjects_of(arms, rng, setting.prefix), setting)


def dataset_of(subjects, setting):
    """The `Dataset` of subjects, with nothing measured.

    Raises
    ------
    ModelError, DataError
        Levels, outcomes or columns that do not fit together.
    """
    arms = list({each.arm.name: each.arm for each in subjects}.values())
    outer, subject, occasion = _levels(arms, setting)
    _check_outcomes(arms, setting)
    rows = [row for each in subjects for row in _rows(each, setting, outer, subject, occasion)]
    doses = [row for each in subjects for row in _doses(each, setting, outer, subject, occasion)]
    names = [*outer, subject, *([occasion] if occasion else [])]
    declared = ["/".join(names[: i + 1]) for i in range(len(names))]
    timed = any(arm.times is not None for arm in arms)
    frame = pd.DataFrame(rows)
    frame[ARM] = pd.Categorical(frame[ARM], [arm.name for arm in arms])  # a name of digits is no number
    for column in (c for c in setting.categories if c in frame and c != ARM):
        frame[column] = _categories(frame[column], setting.categories[column])
    data = Dataset.from_frame(
        frame, outcome=list(setting.outcomes), levels=declared, time=(setting.time or "time") if timed else None,
        doses=pd.DataFrame(doses) if doses else None, subject=subject, sort=True, duplicates="keep", source="design",
    )  # fmt: skip
    events = data.events.assign(position=FIRST) if len(data.events) else data.events
    return replace(data, observations=data.observations.assign(value=np.nan), events=events, excluded={})


def _categories(values, kind):
    """A column of the categories that it has in the data of a fit.

    Raises
    ------
    ModelError
        A value that is none of them.
    """
    labels = values.map(label, na_action="ignore")
    strange = values[labels.notna() & ~labels.isin(kind.categories)]
    if len(strange):
        known = ", ".join(map(str, kind.categories))
        raise ModelError(f"Design: {values.name} is {label(strange.iloc[0])}, and its categories are {known}")
    return pd.Series(pd.Categorical(labels, dtype=kind), index=values.index)


def _levels(arms, setting):
    """Names of the levels outside of the subject, of the subject, and of its occasions or None."""
    outer = list(arms[0].within or {})
    if any(list(arm.within or {}) != outer for arm in arms):
        raise ModelError("Design: arms differ in within=; state the same levels, outermost first, in each")
    stated = {c for arm in arms for part in (arm.covariates, arm.by_occasion, arm.inputs) for c in part or {}}
    rest = [level for level in setting.levels if level not in outer and level not in stated]
    if any(bool(arm.starts) != bool(arms[0].starts) for arm in arms):
        raise ModelError("Design: some arms have occasions and some do not; state occasions= in each")
    if setting.followed in rest:
        below = rest[rest.index(setting.followed) + 1 :]
        above = rest[: rest.index(setting.followed)]
        if above:
            raise ModelError(f"Design: the model has the level {above[0]}: say how many, within={{{above[0]!r}: 10}}")
        if below and not arms[0].starts:
            raise ModelError(f"Design: the model has the level {below[0]}: say when occasions begin, occasions=[0]")
        rest = [setting.followed, *below]
    if not rest:
        raise ModelError(f"Design: within= names {', '.join(outer)}, and the model has no other level: no subjects")
    if len(rest) > 1 + bool(arms[0].starts):
        raise ModelError(
            f"Design: the model has the levels {', '.join(setting.levels)}: say how many groups there are outside of "
            f"subjects, within={{{rest[0]!r}: 10}}, or when occasions begin, occasions=[0, 168]"
        )
    occasion = (rest[1] if len(rest) > 1 else OCCASION) if arms[0].starts else None
    return outer, rest[0], occasion


def _check_outcomes(arms, setting):
    for arm in arms:
        for what in (arm.by_outcome, arm.limits("lloq"), arm.limits("uloq")):
            for name in what:
                if name and name not in setting.outcomes:
                    raise ModelError(
                        f"Design: arm {arm.name!r} names the outcome {name!r}; there are {', '.join(setting.outcomes)}"
                    )


def _labels(each, outer, subject):
    return dict(zip(outer, each.groups, strict=True)) | {subject: each.label, ARM: each.arm.name} | each.covariates


def _rows(each, setting, outer, subject, occasion):
    """Records of one subject, and the starts of its occasions, at which nothing is measured."""
    arm, fixed = each.arm, _labels(each, outer, subject)
    inputs = arm.inputs or {}
    if arm.times is None:
        for number in range(max(1, len(arm.starts))):
            for k in range(len(next(iter(inputs.values())))):
                measured = dict.fromkeys(setting.outcomes, 1.0) | {name: x[k] for name, x in inputs.items()}
                yield fixed | _of_occasion(arm, number, occasion) | measured
        return
    time = setting.time or "time"
    for (at, _), measured in _taken(each.times, setting.outcomes, inputs).items():
        yield fixed | _of_occasion(arm, _before(arm.starts, at), occasion) | {time: at} | measured
    for number, start in enumerate(arm.starts[1:]):
        nothing = dict.fromkeys(setting.outcomes, np.nan) | dict.fromkeys(inputs, np.nan)
        yield fixed | _of_occasion(arm, number, occasion) | {time: start} | nothing


def _taken(times, outcomes, inputs):
    """What is measured, with the inputs, by time and number of the record at that time."""
    found = {}
    for name, each in times.items():
        seen = {}
        for k, at in enumerate(each):
            seen[at] = seen.get(at, -1) + 1
            row = found.setdefault((at, seen[at]), dict.fromkeys(outcomes, np.nan))
            row |= dict.fromkeys([name] if name else outcomes, 1.0) | {c: x[k] for c, x in inputs.items()}
    return found


def _of_occasion(arm, number, occasion):
    if occasion is None:
        return {}
    return {occasion: str(number + 1)} | {name: x[number] for name, x in (arm.by_occasion or {}).items()}


def _before(starts, at):
    """Number of the occasion of a record: one at the start of another belongs to the one before."""
    edges = np.array(starts[1:], dtype=float)
    return int(np.searchsorted(edges + ROUNDING * np.abs(edges), at, side="left"))


def _doses(each, setting, outer, subject, occasion):
    """Doses of one subject, written out where they are on several occasions."""
    for dose in each.arm.doses or ():
        fixed = _labels(each, outer, subject)
        fixed = {name: fixed[name] for name in (*outer, subject)}
        for given in _written_out(dose) if len(each.arm.starts) > 1 else [dose]:
            edges = np.array(each.arm.starts[1:], dtype=float)
            number = int(np.searchsorted(edges, given["time"], side="right"))
            own = {(setting.time or "time") if key == "time" else key: x for key, x in given.items()}
            yield fixed | ({occasion: str(number + 1)} if occasion else {}) | own


def _written_out(dose):
    """A dose and its additional ones, each alone."""
    many, every = int(dose.get("addl", 0)), float(dose.get("ii", 0.0))
    alone = {key: x for key, x in dose.items() if key != "addl"}
    if not many:
        return [dose]
    later = {key: x for key, x in alone.items() if key not in ("ii", "ss")}
    times = (dose["time"] + k * every for k in range(1, many + 1))
    times = (float(f"{time:.12g}") for time in times)  # 0.1 + 0.7 is 0.8, at which an occasion may begin
    rest = [later | {"time": time} for time in times]
    return [alone if dose.get("ss") else later, *rest]
