"""Whether a law holds in other units: numbers in its equations and options may be in those that it was written in.

Predictions at some values of the parameters, in the old units and in the new ones, of doses, times and inputs that are
the same, differ by a power of the factor between the units or not at all. Where they do not the law is not of the
parameters alone.
"""

from itertools import product

import numpy as np
import pandas as pd
import pytensor
import pytensor.tensor as pt

from nlmebayes.data.dataset import Dataset
from nlmebayes.errors import ModelError
from nlmebayes.formula.design import resolve
from nlmebayes.parameter.units import converted, sizes
from nlmebayes.runtime.threads import remembered
from nlmebayes.structure.compartments import outcome_names
from nlmebayes.structure.structure import Named

TIMES = np.array([0.5, 2.0, 9.0])
DOSE = 100.0
POWERS = (1, 0, -1)  # of the factor, in which an input may be measured
LARGEST = 3  # power of the factor in a prediction
AGREE = 1e-3  # relative difference of predictions that are the same: a solver's tolerance and more


def check_units(plain, units):
    """Refuse other units, {dimension: unit}, of a structure that does not hold in them.

    Parameters
    ----------
    plain : Model
        Of the structure alone, with a formula and a residual for everything.

    Raises
    ------
    ModelError
        A dimension or unit that there is not; one that no parameter has, or that parameters have in several units;
        numbers in the old unit.
    """
    label = plain.structure.label
    for dimension, unit in units.items():
        old = set().union(*(converted(p.unit, dimension, unit)[2] for p in plain.structure.parameters))
        if not old:
            raise ModelError(f"units: no parameter of {label} has one of {dimension} that {unit} is of")
        known = sizes(dimension, unit)
        factors = {known.get(word, known[unit]) / known[unit] for word in old}
        if len(factors) > 1:
            raise ModelError(f"units: parameters of {label} have {dimension} in {', '.join(sorted(old))}")
        factor = factors.pop()
        if factor != 1.0 and not _holds(plain, dimension, unit, factor):
            raise ModelError(
                f"units: {label} has numbers in its equations or options that are in its own unit of {dimension}, "
                f"{', '.join(sorted(old))}; where these numbers are yours and in {unit}, state typical= instead"
            )


@remembered
def _holds(plain, dimension, unit, factor):
    """Whether predictions are the same but for a power of the factor, with inputs in some power of it."""
    columns = [name for name in plain.structure.inputs if name != "time"]
    values = _values(plain.structure.parameters)
    moved = {p.name: values[p.name] * converted(p.unit, dimension, unit)[1] for p in plain.structure.parameters}
    time, amount = (factor if dimension == name else 1.0 for name in ("time", "amount"))
    before = _predicted(plain, values, dict.fromkeys(columns, 1.0), 1.0, 1.0)
    return any(
        _alike(before, _predicted(plain, moved, dict(zip(columns, sized, strict=True)), time, amount), factor)
        for sized in product(*([factor**power for power in POWERS] for _ in columns))
    )


def _values(parameters):
    """Natural values about the typical ones, by name."""
    rng, found = np.random.default_rng(1), {}
    for p in parameters:
        at = p.scale.forward(1.0 if p.typical is None else p.typical)
        step = rng.normal(0.0, 0.1) * (p.spread or p.scale.spread or 1.0)
        found[p.name] = float(pt.as_tensor(p.scale.inverse(pt.constant(at + step))).eval(mode="FAST_COMPILE"))
    return found


def _alike(before, after, factor):
    """Whether predictions are the same but for a power of the factor each."""
    powers = factor ** np.arange(-LARGEST, LARGEST + 1.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = after / before
    close = np.isclose(ratio[..., None], powers, rtol=AGREE, atol=0.0).any(axis=-1)
    return bool((close | ((before == 0) & (after == 0))).all() and (before != 0).any())


def _predicted(plain, values, inputs, of_time, of_amount):
    """Predictions, (record of all outcomes,), of one subject at parameters by name, with inputs, times and doses so
    many times what they are."""
    structure = plain.structure
    names = outcome_names(structure) or ("y",)
    frame = pd.DataFrame({"id": "1", "time": TIMES * of_time} | dict.fromkeys(names, 1.0))
    frame = frame.assign(**{name: size * np.array([1.0, 2.0, 3.0]) for name, size in inputs.items()})
    doses = pd.DataFrame({"id": ["1"], "time": [0.0], "amt": [DOSE * of_amount]}) if structure.doses else None
    data = Dataset.from_frame(
        frame[:1] if structure.closed else frame, outcome=list(names), levels="id", time="time", doses=doses,
        duplicates="keep",
    )  # fmt: skip
    design = resolve(plain, data)
    p = Named(**{name: pt.constant(np.full(len(design.labels), value)) for name, value in values.items()})
    x = Named(**{name: pt.constant(value) for name, (value, _) in structure.arrays(design).items()})
    found = structure.predict(p, x, names)
    return np.concatenate(pytensor.function([], [found[name] for name in names], mode="FAST_COMPILE")())
