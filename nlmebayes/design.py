"""`Design`: a model's formulas resolved against a dataset, as arrays.

Group terms are indexed over *observed* combinations only. The design of new data is evaluated in the state of the
training design (centres, categories, spline knots), which is why `resolve` takes it.
"""

import re
from collections import Counter
from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np
import pandas as pd
from formulae import design_matrices, model_description

from nlmebayes.autocorrelation import series
from nlmebayes.data.tidy import label
from nlmebayes.data.validate import RESERVED, DataError, changes
from nlmebayes.formula import Formula, FormulaError, parse
from nlmebayes.grouping import Level, group_terms
from nlmebayes.hazards import Nodes, nodes_of
from nlmebayes.scales import is_scale, scale_formulas
from nlmebayes.smooth import Smooth, smooth_of
from nlmebayes.structure.curve import Curve
from nlmebayes.timeline import in_order, places
from nlmebayes.variables import ModelError

NAMESPACE = {"log": np.log, "log2": np.log2, "log10": np.log10, "exp": np.exp, "sqrt": np.sqrt, "s": Smooth}


@dataclass(frozen=True, eq=False)
class Matrix:
    """One evaluated set of terms: labels, values (unit, term), the sum of its offsets, and formulae's state."""

    terms: tuple[str, ...]
    values: np.ndarray
    offset: np.ndarray
    state: object

    @property
    def smooths(self):
        """The smooth that shrinks each term, or None."""
        return tuple(smooth_of(term) for term in self.terms)


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


@dataclass(frozen=True, eq=False)
class Design:
    """Everything that differs between datasets, as arrays; see the module's first lines."""

    units: pd.DataFrame
    labels: tuple[str, ...]
    formulas: tuple[Formula, ...]
    fixed: dict[str, Matrix]
    levels: tuple[Level, ...]
    outcomes: tuple[ObservedOutcome, ...]
    records: pd.DataFrame | None  # of structures with doses: all records in order, see `timeline.in_order`
    interpolation: str
    source: str
    positive: bool  # whether all measurements are known to be positive (M4)
    random: dict = field(default_factory=dict)  # (parameter, term) -> Matrix, the state of slopes
    level_of: dict = field(default_factory=dict)  # columns of a group term -> the columns that say it all
    scales: dict = field(default_factory=dict)  # (outcome, part of its residual) -> Matrix of its records


def resolve(model, data, training=None):
    """The `Design` of ``model`` on ``data``; ``training`` is the design whose state new data are evaluated in."""
    formulas, data = _spelled(training.formulas if training else _formulas(model, data), data)
    columns = _columns(formulas, data)
    units, of_record, records = _units(model, data, columns)
    if not model.structure.changing:
        _one_unit_per_subject(data, columns)
    fixed = {
        f.parameter: _matrix(f.fixed, units, data, f.text, training and training.fixed[f.parameter]) for f in formulas
    }
    random = {}
    for f in formulas:
        for term in f.groups:
            key = (f.parameter, term.effects)
            if re.search(r"(?<![\w.])s\(", term.effects):
                raise FormulaError(
                    f"formula {f.text!r}: a smooth is no random effect; write s(x):group for a smooth of each group"
                )
            random[key] = _matrix(term.effects, units, data, f.text, training and training.random[key])
    levels, level_of = group_terms(model, data, units, formulas, random, training)
    scales = _scales(model, data, training)
    outcomes = tuple(_observed(model, data, name, of_record, scales) for name in data.outcomes)
    return Design(
        units, _unit_labels(data, units), formulas, fixed, levels, outcomes, records, data.interpolation, data.source,
        data.blq == "M4", random, level_of, scales,
    )  # fmt: skip


def _scales(model, data, training):
    """Designs of the residual parts that have a formula, over the records of their outcome."""
    known = [c for c in data.observations.columns if c not in RESERVED]
    found = {}
    measured = [o.name for o in training.outcomes] if training else data.outcomes
    for (outcome, part), f in scale_formulas(model, measured).items():
        if outcome not in data.outcomes:
            continue
        frame = data.observations[data.observations["outcome"] == outcome]
        names = _names(f.fixed, f.text)
        for name in names:
            if name not in known:
                raise FormulaError(f"formula {f.text!r}: no column {name!r} in the data; there are {', '.join(known)}")
            missing = np.flatnonzero(frame[name].isna())
            if missing.size:
                row = frame["row"].iloc[missing[0]]
                raise DataError(f"{data.source}, row {row}, column {name}: is missing, and {f.text!r} needs it")
        trained = training.scales[outcome, part] if training else None
        found[outcome, part] = _matrix(f.fixed, frame[["row", *names]].reset_index(drop=True), data, f.text, trained)
        if not found[outcome, part].terms:
            raise FormulaError(f"formula {f.text!r}: has no terms")
    return found


def _formulas(model, data):
    """The formula of every parameter; one that is not stated varies at every level of the data."""
    stated = {f.parameter: f for f in map(parse, model.formulas) if not is_scale(f.text)}
    several = [level for level in data.levels if data.observations[level].nunique() > 1]
    default = "".join(f" + (1|{level})" for level in several)
    return tuple(
        stated.get(p.name) or parse(f"{p.name} ~ 1{default if p.varies else ''}") for p in model.structure.parameters
    )


def _spelled(formulas, data):
    """Formulas and data in which a name in another case (``wt`` for ``WT``), if it can be only one, is found."""
    known = [c for c in data.observations.columns if c not in RESERVED]

    def column(name):
        alike = [c for c in known if c.lower() == name.lower()]
        return alike[0] if name not in known and len(alike) == 1 else name

    read = {n for f in formulas for text in (f.fixed, *(t.effects for t in f.groups)) for n in _names(text, f.text)}
    other = {name: column(name) for name in sorted(read) if column(name) != name}
    if other:
        frames = {part: getattr(data, part) for part in ("observations", "doses", "events")}
        data = replace(data, **{
            part: frame.assign(**{new: frame[old] for new, old in other.items() if old in frame})
            for part, frame in frames.items()
        }, inputs=(*data.inputs, *(new for new, old in other.items() if old in data.inputs)))  # fmt: skip
    spelled = [
        replace(f, groups=tuple(replace(t, factors=tuple(map(column, t.factors))) for t in f.groups)) for f in formulas
    ]
    return tuple(spelled), data


def _names(text, formula):
    return variables(text, formula) if text != "0" else []


def variables(text, formula):
    """Names of the columns that a formulae expression reads."""
    return list(_variables(text, formula))


@lru_cache(maxsize=1024)
def _variables(text, formula):
    try:
        terms = model_description(text).terms
    except Exception as error:  # formulae raises many kinds, some without a message
        raise FormulaError(f"formula {formula!r}: cannot read {text!r}: {error}") from error
    found = [name for term in terms for name in getattr(term, "var_names", ()) if name]
    for name in found:
        if not isinstance(name, str):
            raise FormulaError(f"formula {formula!r}: cannot read the number {name} as a term; write I({name} * x)")
    return tuple(sorted(set(found)))


def _columns(formulas, data):
    """Columns that the formulas read beside the levels; unknown and missing ones are errors."""
    known = [c for c in data.observations.columns if c not in RESERVED]
    found = {}
    for f in formulas:
        read = _names(f.fixed, f.text)
        read += [name for term in f.groups for name in _names(term.effects, f.text)]
        factors = [name for term in f.groups for name in term.factors]
        for name in read + factors:
            if name not in known:
                kind = "level or column" if name in factors else "column"
                raise FormulaError(
                    f"formula {f.text!r}: no {kind} {name!r} in the data; levels are {', '.join(data.levels)}; "
                    f"columns are {', '.join(c for c in known if c not in data.levels) or 'none'}"
                )
            missing = np.flatnonzero(data.observations[name].isna())
            if missing.size:
                row = data.observations["row"].iloc[missing[0]]
                raise DataError(
                    f"{data.source}, row {row}, column {name}: is missing, and {f.text!r} needs it; "
                    "fill it in or leave the record out"
                )
        found |= dict.fromkeys(name for name in read + factors if name not in data.levels)
    return list(found)


def _units(model, data, columns):
    """Distinct combinations of levels and ``columns`` in order of appearance, the unit of each observation, and all
    records in order if doses act (then doses and events may belong to units of their own)."""
    keys = [*data.levels, *columns]
    followed = model.structure.doses and data.time is not None
    records = in_order(data, columns) if followed else data.observations
    number, first = _numbered(records, keys)
    units = records[keys].iloc[first].reset_index(drop=True)
    if not followed:
        return units, number, None
    of_subject, _ = _numbered(records, [data.subject])
    records = records.assign(unit=number, subject=of_subject)
    seen = (records["what"] == "observation").to_numpy()
    in_outcome = np.empty(seen.sum(), dtype=int)
    in_outcome[records["place"].to_numpy(int)[seen]] = number[seen]
    return units, in_outcome[places(data)], records


def _numbered(records, keys):
    """The number of each record's combination of values, in order of appearance, and where each stands first."""
    columns = [pd.factorize(records[key], use_na_sentinel=False)[0].tolist() for key in keys]
    seen, first = {}, []
    number = np.empty(len(records), dtype=int)
    for i, combination in enumerate(zip(*columns, strict=True)):
        place = seen.setdefault(combination, len(first))
        if place == len(first):
            first.append(i)
        number[i] = place
    return number, first


def _unit_labels(data, units):
    innermost = [str(text) for text in units[data.levels[-1]].tolist()]
    count = Counter(innermost)
    rest = [c for c in units.columns if c not in data.levels]
    columns = [[f"{name}={label(value)}" for value in units[name].tolist()] for name in rest]
    extra = [" ".join(parts) for parts in zip(*columns, strict=True)] if rest else [""] * len(units)
    return tuple(
        f"{text} {more}" if count[text] > 1 and rest else text for text, more in zip(innermost, extra, strict=True)
    )


def _one_unit_per_subject(data, columns):
    inner = data.levels[data.levels.index(data.subject) + 1 :]
    for column in (*inner, *columns):
        change = changes(data.observations, data.subject, column)
        if change is not None:
            row = data.observations.iloc[change[0]]
            raise DataError(
                f"{data.source}, row {row['row']}, column {column}: changes within {data.subject} {row[data.subject]} "
                f"from {change[1]} to {row[column]}; a superposition of responses takes parameters that are constant "
                "within a subject. A LinearSystem carries its state over a change"
            )


def _matrix(text, units, data, formula, trained):
    nothing = Matrix((), np.zeros((len(units), 0)), np.zeros(len(units)), None)
    if text == "0" or (trained is not None and trained.state is None):
        return nothing
    try:
        with np.errstate(all="ignore"):  # what is not finite is refused below, with its unit
            if trained is not None:
                common = trained.state.evaluate_new_data(units)
            else:
                common = design_matrices(text, units, na_action="pass", extra_namespace=NAMESPACE).common
    except Exception as error:  # formulae raises many kinds, some without a message
        kind = DataError if trained is not None else FormulaError
        raise kind(f"formula {formula!r}: cannot evaluate {text!r} on the data: {error}") from error
    if common is None:  # formulae's answer to "1 - 1"
        return nothing
    state = trained.state if trained is not None else common
    values = np.asarray(common.design_matrix, dtype=float).reshape(len(units), -1)
    kinds = _kinds(state)
    is_offset = np.array([kind == "offset" for kind, _ in kinds], dtype=bool)
    labels = tuple(text for kind, text in kinds if kind != "offset")
    for text in labels:
        smooth_of(text, formula)
    if not np.isfinite(values).all():
        unit, column = np.argwhere(~np.isfinite(values))[0]
        where = ", ".join(f"{k} {v}" for k, v in units.iloc[unit].items())
        raise DataError(f"formula {formula!r}: term {kinds[column][1]} is not finite for {where}")
    return Matrix(labels, values[:, ~is_offset], values[:, is_offset].sum(axis=1), state)


def _kinds(state):
    """(kind, label) of each column of formulae's matrix."""
    return [(t.kind, text) for t in state.terms.values() for text in t.labels]


def evaluated(matrix, units):
    """Values (unit, term) and sum of the offsets (unit,) of a matrix at other units."""
    if matrix.state is None:
        return np.zeros((len(units), 0)), np.zeros(len(units))
    values = np.asarray(matrix.state.evaluate_new_data(units).design_matrix, dtype=float).reshape(len(units), -1)
    is_offset = np.array([kind == "offset" for kind, _ in _kinds(matrix.state)], dtype=bool)
    return values[:, ~is_offset], values[:, is_offset].sum(axis=1)


def _observed(model, data, name, of_record, scales):
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
