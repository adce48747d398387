"""A plain DataFrame as a `Dataset`, by the roles that its columns have in the training data."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pandas as pd

from nlmebayes.data import validate
from nlmebayes.data.dataset import Dataset
from nlmebayes.data.grid import last_position
from nlmebayes.data.tidy import label
from nlmebayes.data.validate import DataError

SOURCE = "data frame"


def as_dataset(known, frame, alone=False):
    """Records to predict at, one for each row and outcome; measurements are not read.

    Parameters
    ----------
    alone : bool
        Levels that the frame lacks are those of somebody else on each row.

    Raises
    ------
    DataError
        A column is missing, or a value of one; a subject whose doses the training data do not have.
    """
    training, doses = known.training_data, known.model.structure.doses
    if not len(frame):
        raise DataError(f"{SOURCE}: it has no rows")
    frame = frame.reset_index(drop=True).rename(columns=str)
    lacking = [name for name in training.levels if name not in frame]
    if lacking and alone and not (doses and training.subject in lacking):
        frame = frame.assign(**{name: [f"row {i + 1}" for i in frame.index] for name in lacking})
    _complete(known, frame)
    frame = frame.assign(**dict.fromkeys(known.outcomes, np.nan), **_own_labels(frame, training.levels))
    kept = [c for c in training.observations.columns if c in frame]
    found = Dataset.from_frame(
        frame[[*kept, *known.outcomes]], outcome=known.outcomes, levels=_declared(training), time=training.time,
        inputs=[c for c in training.inputs if c in kept], subject=training.subject, unmeasured="predict", sort=True,
        interpolation=training.interpolation, source=SOURCE,
    )  # fmt: skip
    in_order = found.observations.sort_values("row", kind="stable", ignore_index=True)
    found = replace(found, observations=in_order, blq=training.blq, unit_of=training.unit_of)
    return _with_doses(found, training if known.report is None else known.data) if doses else found


def _complete(known, frame):
    """The frame has every column that the model reads."""
    training, model = known.training_data, known.model
    named = [model.inputs.get(i) or (training.time if i == "time" else i) for i in model.structure.inputs]
    read = [name for f in known.training.formulas for columns in f.columns for name in columns]
    laws = [c for name in known.outcomes for c in model.residual_of(name).columns.values() if isinstance(c, str)]
    scales = [name for m in known.training.scales.values() for name in m.state.terms.columns]
    timed = [training.time] if training.time is not None and (model.structure.doses or "time" in named) else []
    for name in dict.fromkeys([*training.levels, *timed, *filter(None, named), *read, *laws, *scales]):
        if name not in frame:
            mend = "; give labels (new ones are new groups), or groups='none'" if name in training.levels else ""
            raise DataError(f"{SOURCE}: no column {name!r}, which the model reads; it has {', '.join(frame)}{mend}")
        bad = np.flatnonzero(frame[name].isna())
        if bad.size and name not in training.levels:
            raise DataError(f"{SOURCE}, row {bad[0] + 1}, column {name}: is missing, and the model needs it")
        if pd.api.types.is_numeric_dtype(training.observations[name].dtype):
            validate.numeric(validate.numbered(frame), name, SOURCE)


def _own_labels(frame, levels):
    """Columns of levels without the label of the level above, with which a dataset's labels begin."""
    found = {}
    for outer, inner in pairwise(levels):
        pairs = zip(frame[outer], frame[inner], strict=True)
        found[inner] = [x if pd.isna(x) else label(x).removeprefix(f"{label(parent)}/") for parent, x in pairs]
    return found


def _declared(training):
    """The levels as `Dataset.from_frame` takes them."""
    names = training.levels
    return [name if i == 0 or name in training.unique else "/".join(names[: i + 1]) for i, name in enumerate(names)]


def _with_doses(found, training):
    """The dataset with the doses, and resets, that its subjects have in those of the tree."""
    subject = training.subject
    known = set(training.observations[subject])
    strange = np.flatnonzero(~found.observations[subject].isin(known))
    if strange.size:
        row = found.observations.iloc[strange[0]]
        raise DataError(
            f"{SOURCE}, row {row['row']}, column {subject}: nobody knows the doses of {row[subject]}; a frame has "
            "those of the training data, and a Dataset its own: nb.Dataset.from_frame(..., doses=...)"
        )
    before = last_position(training) + 1
    frames = {}
    for name in ("doses", "events"):
        frame = getattr(training, name)
        if len(frame):
            kept = frame[subject].isin(found.observations[subject]) & (name == "doses" or frame["kind"].eq("reset"))
            frames[name] = frame[kept].assign(position=lambda part: part["position"] - before).reset_index(drop=True)
    return replace(found, **frames)
