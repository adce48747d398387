"""`ObservedOutcome`: the records of one outcome as arrays, with what their residual reads."""

from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from nlmebayes.data.validate import RESERVED, DataError
from nlmebayes.errors import ModelError
from nlmebayes.outcomes.autocorrelation import Series, among, series_of
from nlmebayes.outcomes.hazards import AHEAD, Nodes, checked, nodes_of
from nlmebayes.outcomes.histories import AtRisk, at_nodes, histories, table_of


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
    series: Series | None = None  # of correlated residuals

    @property
    def censored(self):
        """Whether each record is censored."""
        return ~np.isnan(self.lower)

    def at(self, chosen):
        """The records where ``chosen``; of a series the others are as if they had not been taken."""
        whole = self if self.series is None else replace(self, columns={})
        values = {
            name: {k: v[chosen] for k, v in value.items()} if isinstance(value, dict) else value[chosen]
            for name, value in vars(whole).items()
            if name not in ("name", "nodes", "series")
        }
        found = replace(self, **values, nodes=self.nodes and self.nodes.at(chosen))
        return found if self.series is None else among(found, self.series.at(chosen))

    @property
    def asked(self):
        """The records at which the structure is asked: these, or those of all nodes as records of their own.

        Of a node the value is 1 where it is the time of an event that was seen, and ``weight`` that of the hazard.
        """
        if self.nodes is None:
            return self
        rows = self.nodes.rows()
        many = len(rows["values"]) // max(1, len(self.row))
        own = replace(self, nodes=None, columns={}).at(np.repeat(np.arange(len(self.row)), many))
        rows["inputs"] = {name: x for name, x in rows["inputs"].items() if name in (*self.inputs, "cumulative")}
        return replace(own, **rows)

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


def observed(model, data, name, of_record, scales, nodes=None):
    """The records of an outcome, with the units that they belong to, the designs of their residual's parts, and the
    nodes of event times (see `event_nodes`)."""
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
        return among(found, series_of(residual, data, frame, found))
    if nodes is None:
        return found
    inputs = found.inputs | ({"time": nodes.end} if "time" in model.structure.inputs else {})
    return replace(found, inputs=inputs, columns=nodes.columns(), nodes=nodes)


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


def event_nodes(model, data, columns, units):
    """`Nodes` of every outcome that is the time of an event, by name, and the units with those that only nodes have.

    ``columns`` are those that the formulas read, ``units`` the distinct combinations of them at records.
    """
    folding = [name for name in data.outcomes if model.residual_of(name).folds]
    read = {name: model.inputs.get(name, name) for name in model.structure.inputs if name != "time"} if folding else {}
    wanted = list(dict.fromkeys([*columns, *read.values()]))
    table, position = table_of(data, wanted) if folding else (None, None)
    found = {}
    for name in folding:
        nodes, own = _nodes(model, data, name, table, position, wanted)
        frame = at_nodes(own, table, nodes.asked, nodes.governing, [*data.levels, *wanted])
        inputs = {n: frame[c].to_numpy(float).reshape(nodes.governing.shape) for n, c in read.items()}
        keys = list(units.columns)
        number, units = _with_units(units, frame[keys])
        found[name] = replace(nodes, unit=number.reshape(nodes.governing.shape), inputs=inputs)
    return found, units


def _with_units(units, frame):
    """The number of the unit of each row, and the units with those that are new."""
    both = pd.concat([units, frame], ignore_index=True)
    number = both.groupby(list(both.columns), sort=False, dropna=False, observed=True).ngroup().to_numpy()
    new = np.append(True, np.diff(np.maximum.accumulate(number)) > 0)
    return number[len(units) :], both[new].reset_index(drop=True)


def _nodes(model, data, name, table, position, columns):
    """The nodes of an event outcome, and the histories of its records. A record without an event time is one at which
    survival is predicted."""
    structure, residual = model.structure, model.residual_of(name)
    if not structure.recordwise:
        raise ModelError(
            f"{structure.label} cannot give the hazard of {name}: TimeToEvent takes a Curve, whose prediction is a "
            "formula of the time"
        )
    if data.blq == "M4":
        raise ModelError(f"{name} is the time of an event, which blq='M4' does not know; use blq='M3'")
    frame = data.observations[data.observations["outcome"] == name]
    values, lower, upper = (frame[c].to_numpy(dtype=float) for c in ("value", "lower", "upper"))
    ahead = np.isnan(values)
    if ahead.any() and data.time is None:
        raise DataError(f"{data.source}: {name} without a value is predicted at a time; give time='column'")
    until = frame[data.time].to_numpy(dtype=float) if ahead.any() else values
    lower, upper = np.where(ahead, until, lower), np.where(ahead, np.inf, upper)
    row, entry = frame["row"].to_numpy(), _read(frame, residual.columns["entry"], residual, data, "entry")
    seen, start, end = checked(name, row, values, lower, upper, entry)
    ends = np.concatenate([values, lower, upper, [1.0]])
    risk = AtRisk(row, entry, end, seen == AHEAD)
    own = histories(data, name, table, position, columns, risk)
    return nodes_of(residual, structure, seen, start, end, entry, ends[np.isfinite(ends)].max(), own), own


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
