"""The reference of a stated population: the data on which its typical values hold."""

from itertools import product

import numpy as np
import pandas as pd

from nlmebayes.data.dataset import Dataset
from nlmebayes.data.validate import DataError
from nlmebayes.errors import ModelError
from nlmebayes.formula import parse
from nlmebayes.formula.design import resolve


def reference_data(model, levels, outcomes, reference, domain):
    """Two subjects with every level in twos, at the reference covariates."""
    formulas = [parse(text) for text in model.formulas]
    read = {name for f in formulas for name in f.columns[0]}
    _stand_somewhere(formulas, reference)
    inputs = [model.inputs.get(name, name) for name in model.structure.inputs if name != "time"]
    reads = {c: residual.reference.get(part, 1.0) for residual in map(model.residual_of, outcomes)
             for part, c in residual.columns.items() if isinstance(c, str)}  # fmt: skip
    usual = _centres(formulas, read) | reads
    wanted = sorted({*read, *inputs, *reads} - set(levels))
    columns = {name: _typical(name, reference, domain, usual.get(name, 1.0)) for name in wanted}
    most = max([2, *(len(v) for v in columns.values())])
    groups = list(product(*([range(most)] + [range(2)] * (len(levels) - 1))))
    frame = pd.DataFrame(groups, columns=list(levels)).astype(str).radd("reference ")
    for name, values in columns.items():
        frame[name] = [values[group[0] % len(values)] for group in groups]
    series = [c for c in _of_series(map(model.residual_of, outcomes)) if c not in (*columns, *levels)]
    places = dict.fromkeys(series, 1.0 + np.arange(len(frame)))
    frame = frame.assign(**{"time": 1.0} | places | dict.fromkeys(outcomes, 1.0))
    declared = ["/".join(levels[: i + 1]) for i in range(len(levels))]
    return Dataset.from_frame(frame, outcome=list(outcomes), levels=declared, time="time", source="reference")


def _of_series(residuals):
    """Columns that say which series a record belongs to and where it lies in it: no two lie at one place."""
    correlated = (residual for residual in residuals if residual.correlated)
    return [column for residual in correlated for column in (residual.within, residual.over) if column]


def _stand_somewhere(formulas, reference):
    """Refuse a transform of a column whose centre or scale would have to be guessed."""
    for f in formulas:
        learning = (each for part in f.parts for e in part.expressions for each in e.learns)
        for call, names in learning:
            for name in names:
                if name not in reference:
                    raise ModelError(
                        f"population: {call} in {f.text!r} depends on the data; state reference={{{name!r}: ...}}, the "
                        "value at which it stands"
                    )


def _centres(formulas, names):
    """What a formula first counts each covariate from: 66 in ``crcl - 66``, 70 in ``wt/70``."""
    expressions = [e for f in formulas for part in f.parts for e in part.expressions]
    found = dict(reversed([pair for e in expressions for pair in e.counted_from]))
    return {name: value for name, value in found.items() if name in names and value > 0}


def reference_design(model, data, reference):
    """The design of the reference; a formula that has no value there asks for another one."""
    try:
        return resolve(model, data)
    except DataError as error:
        free = [c for c in (*data.covariates, *data.inputs) if c not in reference]
        asked = ", ".join(f"{name!r}: ..." for name in free)
        raise ModelError(
            f"population: {error}; state the covariates at which the model stands, reference={{{asked}}}"
        ) from error


def _typical(name, reference, domain, usual):
    """Reference values of a covariate."""
    if name in reference:
        value = reference[name]
        return [value] if np.ndim(value) == 0 else list(value)
    allowed = domain.get(name)
    if allowed is None:
        return [usual]
    return list(allowed) if isinstance(allowed[0], str) else [float(np.mean(allowed))]
