"""`Design`: a model's formulas resolved against a dataset, as arrays.

Group terms are indexed over *observed* combinations only. The design of new data is evaluated in the state of the
training design (centres, categories, spline knots), which is why `resolve` takes it.
"""

from collections import Counter
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from nlmebayes.data.tidy import label
from nlmebayes.data.validate import RESERVED, DataError, changes
from nlmebayes.formula import Formula, FormulaError, matrix, parse
from nlmebayes.formula.evaluate import UnseenError
from nlmebayes.formula.grouping import Level, group_terms
from nlmebayes.formula.matrix import Matrix
from nlmebayes.formula.scan import written
from nlmebayes.formula.sigma import is_scale, scale_formulas
from nlmebayes.outcomes.records import ObservedOutcome, event_nodes, observed
from nlmebayes.structure.timeline import in_order, places


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
    nested: tuple[str, ...] = ()  # levels of the data, outermost first
    unique: tuple[str, ...] = ()  # those of them whose labels say who is meant without the level above

    def outcome(self, name):
        """The `ObservedOutcome` of that name."""
        return next(o for o in self.outcomes if o.name == name)


def resolve(model, data, training=None):
    """The `Design` of ``model`` on ``data``; ``training`` is the design whose state new data are evaluated in."""
    formulas, data = _spelled(training.formulas if training else _formulas(model, data), data)
    columns = _columns(formulas, data)
    units, of_record, records = _units(model, data, columns)
    nodes, units = event_nodes(model, data, columns, units)
    if not model.structure.changing:
        _one_unit_per_subject(data, columns)
    fixed = {f.parameter: _matrix(f.fixed, units, f.text, training and training.fixed[f.parameter]) for f in formulas}
    random = {}
    for f in formulas:
        for term in f.groups:
            key = (f.parameter, term.effects.text)
            random[key] = _matrix(term.effects, units, f.text, training and training.random[key])
    levels, level_of = group_terms(model, data, units, formulas, random, training)
    scales = _scales(model, data, training)
    outcomes = tuple(observed(model, data, name, of_record, scales, nodes.get(name)) for name in data.outcomes)
    return Design(
        units, _unit_labels(data, units), formulas, fixed, levels, outcomes, records, data.interpolation, data.source,
        data.blq == "M4", random, level_of, scales, data.levels, data.unique,
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
        names = list(f.fixed.columns)
        for name in names:
            if name not in known:
                raise FormulaError(f"formula {f.text!r}: no column {name!r} in the data; there are {', '.join(known)}")
            missing = np.flatnonzero(frame[name].isna())
            if missing.size:
                row = frame["row"].iloc[missing[0]]
                raise DataError(f"{data.source}, row {row}, column {name}: is missing, and {f.text!r} needs it")
        trained = training.scales[outcome, part] if training else None
        found[outcome, part] = _matrix(f.fixed, frame[["row", *names]].reset_index(drop=True), f.text, trained)
        if not found[outcome, part].terms:
            raise FormulaError(f"formula {f.text!r}: has no terms")
    return found


def _formulas(model, data):
    """The formula of every parameter; one that is not stated varies at every level of the data."""
    stated = {f.parameter: f for f in map(parse, model.formulas) if not is_scale(f.text)}
    several = [level for level in data.levels if data.observations[level].nunique() > 1]
    default = "".join(f" + (1|{written(level)})" for level in several)
    return tuple(
        stated.get(p.name) or parse(f"{p.name} ~ 1{default if p.varies else ''}") for p in model.structure.parameters
    )


def _spelled(formulas, data):
    """Formulas and data in which a name in another case (``wt`` for ``WT``), if it can be only one, is found."""
    known = [c for c in data.observations.columns if c not in RESERVED]

    def column(name):
        alike = [c for c in known if c.lower() == name.lower()]
        return alike[0] if name not in known and len(alike) == 1 else name

    read = {name for f in formulas for name in f.columns[0]}
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


def _columns(formulas, data):
    """Columns that the formulas read beside the levels; unknown and missing ones are errors."""
    known = [c for c in data.observations.columns if c not in RESERVED]
    found = {}
    for f in formulas:
        read, factors = f.columns
        for name in (*read, *factors):
            if name in found:
                continue
            if name not in known:
                kind = "level or column" if name in factors else "column"
                raise FormulaError(
                    f"formula {f.text!r}: no {kind} {name!r} in the data; levels are {', '.join(data.levels)}; "
                    f"columns are {', '.join(c for c in known if c not in data.levels) or 'none'}"
                )
            missing = np.flatnonzero(pd.isna(data.observations[name].values))
            if missing.size:
                row = data.observations["row"].iloc[missing[0]]
                raise DataError(
                    f"{data.source}, row {row}, column {name}: is missing, and {f.text!r} needs it; "
                    "fill it in or leave the record out"
                )
            found[name] = None
    return [name for name in found if name not in data.levels]


def _units(model, data, columns):
    """Distinct combinations of levels and ``columns`` in order of appearance, the unit of each observation, and all
    records in order if doses act (then doses and events may belong to units of their own)."""
    keys = [*data.levels, *columns]
    followed = model.structure.doses and data.time is not None
    records = in_order(data, columns) if followed else data.observations
    number, first = _numbered(records, keys)
    columns = [records.columns.get_loc(key) for key in keys]  # a list of names is made an index, which takes longer
    units = _declared(records.iloc[first, columns].reset_index(drop=True), data.observations)
    if not followed:
        return units, number, None
    records["unit"], records["subject"] = number, _numbered(records, [data.subject])[0]
    seen = (records["what"] == "observation").to_numpy()
    in_outcome = np.empty(seen.sum(), dtype=int)
    in_outcome[records["place"].to_numpy(int)[seen]] = number[seen]
    return units, in_outcome[places(data)], records


def _declared(units, observations):
    """Units whose categories have the order that the observations declare, which records joined with doses lose."""
    for column in units.columns:
        kind = observations[column].dtype
        if isinstance(kind, pd.CategoricalDtype) and units[column].dtype != kind:
            strange = [v for v in units[column].dropna().unique() if v not in kind.categories]
            categories = [*kind.categories, *dict.fromkeys(strange)]
            units[column] = pd.Categorical(units[column].astype(object), categories=categories, ordered=kind.ordered)
    return units


def _numbered(records, keys):
    """The number of each record's combination of values, in order of appearance, and where each stands first."""
    columns = [pd.factorize(records[key].values, use_na_sentinel=False)[0].tolist() for key in keys]
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


def _matrix(terms, units, formula, trained):
    """The `Matrix` of terms on units, in the state of the trained one if there is one."""
    try:
        with np.errstate(all="ignore"):  # what is not finite is refused below, with its unit
            found = matrix.matrix(terms, units) if trained is None else matrix.again(trained, units)
    except UnseenError as error:
        raise DataError(f"formula {formula!r}: {error}") from None
    except FormulaError as error:
        raise FormulaError(f"formula {formula!r}: {error}") from error
    finite = np.isfinite(found.values)
    if not finite.all():
        unit, column = np.argwhere(~finite)[0]
        raise DataError(f"formula {formula!r}: term {found.terms[column]} is not finite for {_where(units, unit)}")
    if not np.isfinite(found.offset).all():
        unit = np.argmin(np.isfinite(found.offset))
        offsets = " + ".join(o.text for o in terms.offsets)
        raise DataError(f"formula {formula!r}: term {offsets} is not finite for {_where(units, unit)}")
    return found


def _where(units, unit):
    return ", ".join(f"{k} {v}" for k, v in units.iloc[unit].items())
