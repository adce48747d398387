"""`ObservedOutcome`: the records of one outcome as arrays, with what their residual reads."""

from dataclasses import dataclass, field, replace

import numpy as np

from nlmebayes.autocorrelation import series
from nlmebayes.data.validate import RESERVED, DataError
from nlmebayes.hazards import Nodes, nodes_of
from nlmebayes.structure.curve import Curve
from nlmebayes.variables import ModelError


@dataclass(frozen=True, eq=False)
class ObservedOutcome:
    """The records of one outcome: their units, subjects (label and number), inputs and values.

    A censored value lies between ``lower`` and ``upper``, which are missing for a measured one. ``columns`` are those
    that the residual reads, ``scales`` the designs (record, term) of its parts that have a formula.
    """

    name: str
    row: np.ndarray
    unit: np.ndarray
    subject: np.ndarray
    subject_number: np.ndarray
    inputs: dict
    values: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    columns: dict = field(default_factory=dict)
    scales: dict = field(default_factory=dict)
    nodes: Nodes | None = None  # of times to an event: where the hazard is asked for

    @property
    def censored(self):
        """Whether each record is censored."""
        return ~np.isnan(self.lower)

    def at(self, chosen):
        """The records where ``chosen`` is true."""
        if "before" in self.columns and not (chosen.dtype == bool and chosen.all()):
            raise ModelError(f"{self.name}: records with correlated residuals cannot be taken apart")
        values = {
            name: {k: v[chosen] for k, v in value.items()} if isinstance(value, dict) else value[chosen]
            for name, value in vars(self).items()
            if name not in ("name", "nodes")
        }
        return replace(self, **values, nodes=self.nodes and self.nodes.at(chosen))

    @property
    def asked(self):
        """The records at which the structure is asked: these, or those of all nodes as records of their own.

        Of a node the value is 1 where it is the time of an event that was seen, and ``weight`` that of the hazard.
        """
        if self.nodes is None:
            return self
        time, cumulative = self.nodes.asked
        many = time.shape[1]
        own = replace(self, nodes=None, columns={}).at(np.repeat(np.arange(len(self.row)), many))
        inputs = own.inputs | ({"time": time.ravel()} if "time" in own.inputs else {})
        inputs |= {"cumulative": np.tile(cumulative, len(time))} if self.nodes.cumulative.any() else {}
        return replace(own, inputs=inputs, **self.nodes.counts())

    @property
    def fitted(self):
        """The same without nodes that only a simulation needs."""
        return self if self.nodes is None else replace(self, nodes=self.nodes.fitted)

    def read(self, f):
        """What is reported of predictions (sample, record): of a hazard, the cumulative one."""
        return f if self.nodes is None else self.nodes.total(f)

    def folded(self, f):
        """Predictions at what is `asked`, (sample, node), as (sample, record, column) where records have several."""
        return f if self.nodes is None else f.reshape(len(f), len(self.row), -1)


def observed(model, data, name, of_record, scales):
    """The records of an outcome, with the units that they belong to and the designs of their residual's parts."""
    here = (data.observations["outcome"] == name).to_numpy()
    frame = data.observations[here]
    residual = model.residual_of(name)
    inputs = {
        wanted: _input(model, data, frame, wanted)
        for wanted in model.structure.inputs
        if not (residual.folds and wanted == "time")
    }
    subjects = frame[data.subject].to_numpy()
    number = {label: i for i, label in enumerate(dict.fromkeys(data.observations[data.subject]))}
    found = ObservedOutcome(
        name, frame["row"].to_numpy(), of_record[here], subjects, np.array([number[s] for s in subjects]), inputs,
        *(frame[c].to_numpy(dtype=float) for c in ("value", "lower", "upper")),
        {part: _read(frame, c, residual, data, part) for part, c in residual.columns.items()},
        {part: matrix.values for (outcome, part), matrix in scales.items() if outcome == name},
    )  # fmt: skip
    if residual.correlated:
        return series(residual, data, frame, found)
    return _with_nodes(model, data, frame, found) if residual.folds else found


def _input(model, data, frame, wanted):
    """An input of the structure at the records of an outcome."""
    column = model.inputs.get(wanted) or (data.time if wanted == "time" else wanted)
    if column is None or column not in frame.columns:
        have = ", ".join(c for c in frame.columns if c not in (*RESERVED, *data.levels))
        raise DataError(
            f"{model.structure.label} needs the input {wanted!r}, which is no column of the data ({have}); "
            f"name it: Model(..., inputs={{{wanted!r}: 'column'}})"
            + (" or Dataset.from_frame(..., time='column')" if wanted == "time" else "")
        )
    values = frame[column].to_numpy(dtype=float)
    if not np.isfinite(values).all():
        row = frame["row"].to_numpy()[np.flatnonzero(~np.isfinite(values))[0]]
        raise DataError(f"{data.source}, row {row}, column {column}: is missing, and the model needs it")
    return values


def _with_nodes(model, data, frame, o):
    """An event outcome with its nodes. A record without an event time is one at which survival is predicted."""
    structure = model.structure
    if not isinstance(structure, Curve):
        raise ModelError(
            f"{structure.label} cannot give the hazard of {o.name}: TimeToEvent takes a Curve, whose prediction is a "
            "formula of the time"
        )
    if data.blq == "M4":
        raise ModelError(f"{o.name} is the time of an event, which blq='M4' does not know; use blq='M3'")
    ahead = np.isnan(o.values)
    if ahead.any() and data.time is None:
        raise DataError(f"{data.source}: {o.name} without a value is predicted at a time; give time='column'")
    until = frame[data.time].to_numpy(dtype=float) if ahead.any() else o.values
    lower, upper = np.where(ahead, until, o.lower), np.where(ahead, np.inf, o.upper)
    ends = np.concatenate([o.values, lower, upper, [1.0]])
    nodes = nodes_of(
        model.residual_of(o.name), structure, o.name, o.row, o.values, lower, upper, o.columns["entry"],
        ends[np.isfinite(ends)].max(),
    )  # fmt: skip
    inputs = o.inputs | ({"time": nodes.end} if "time" in structure.inputs else {})
    return replace(o, inputs=inputs, columns=nodes.columns(), nodes=nodes)


def _read(frame, column, residual, data, part):
    """A column that a residual reads, or a number for every record."""
    if not isinstance(column, str):
        return np.full(len(frame), float(column))
    if column not in frame.columns or column in RESERVED:
        have = ", ".join(c for c in frame.columns if c not in (*RESERVED, *data.levels)) or "none"
        raise DataError(f"{residual} reads the column {column!r}, which the data do not have; columns are {have}")
    try:
        values = frame[column].to_numpy(dtype=float)
    except ValueError as error:
        raise DataError(f"{data.source}, column {column}: {residual} needs numbers there: {error}") from error
    bad = np.flatnonzero(~np.isfinite(values))
    if part in residual.optional:
        return np.where(np.isnan(values), 0.0, values)
    if bad.size:
        raise DataError(
            f"{data.source}, row {frame['row'].iloc[bad[0]]}, column {column}: is missing, and {residual} needs it"
        )
    return values
