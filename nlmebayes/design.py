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

from nlmebayes.data.tidy import label
from nlmebayes.data.validate import RESERVED, DataError, changes
from nlmebayes.formula import Formula, FormulaError, parse
from nlmebayes.grouping import Level, group_terms
from nlmebayes.observed import ObservedOutcome, event_nodes, observed
from nlmebayes.scales import is_scale, scale_formulas
from nlmebayes.smooth import Smooth, smooth_of
from nlmebayes.timeline import in_order, places

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
    nodes, units = event_nodes(model, data, columns, units)
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
    outcomes = tuple(observed(model, data, name, of_record, scales, nodes.get(name)) for name in data.outcomes)
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
