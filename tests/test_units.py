"""Units of amount and of time change nothing: every system of the zoo, from 1e-12 to 1e12, in values and gradients."""

import dataclasses

import numpy as np
import pandas as pd
import pytensor
import pytensor.tensor as pt
import pytest
from laws import predicted
from test_zoo import ZOO, variants

from model_zoo import MichaelisMenten
from nlmebayes.data.dataset import Dataset
from nlmebayes.formula.design import resolve
from nlmebayes.model.model import Model
from nlmebayes.structure.compartments import Compartments, outcome_names
from nlmebayes.structure.structure import Named

AMOUNTS = ("mg", "nmol", "copies", "mm^3", "10^9 cells", "titre", "effect")
TIMES = ("h", "day", "days")
LENGTHS = ("width",)  # options that are a time: another one is another law
UNITS = [(1e-12, 1.0), (1e12, 1.0), (1.0, 1e-12), (1.0, 1e12), (1e-12, 1e12), (1e12, 1e-12)]
HOURS = np.array([1.0, 5.0, 12.0, 30.0, 60.0])


def power(unit, words):
    """Of a unit such as "nmol/L/day" in one of these words."""
    first, *others = unit.split("/")
    return (first in words) - sum(word in words for word in others)


def richest(cls):
    """The variant with most parameters."""
    return max(variants(cls), key=lambda structure: len(structure.parameters))


STRUCTURES = [richest(cls) for cls in ZOO if issubclass(cls, Compartments)]


def arrays(structure, amount, time):
    """Those of two subjects, one with a bolus and an infusion, one without a dose, in units so much smaller."""
    names = outcome_names(structure) or ("y",)
    frame = pd.DataFrame({"id": np.repeat(["dosed", "other"], len(HOURS)), "time": np.tile(HOURS, 2) * time})
    doses = {"id": "dosed", "time": [0.0, 6.0 * time], "amt": 100.0 * amount, "rate": [0.0, 20.0 * amount / time]}
    data = Dataset.from_frame(
        frame.assign(**dict.fromkeys(names, 1.0)), outcome=names, time="time", levels="id", doses=pd.DataFrame(doses)
    )
    design = resolve(Model(structure, *(f"{p.name} ~ 1" for p in structure.parameters)), data)
    return {name: np.asarray(value) for name, (value, _) in structure.arrays(design).items()}, names


def parameters(structure, amount, time, units):
    """Typical values in these units."""
    return [
        np.full(units, p.typical * amount ** power(p.unit, AMOUNTS) * time ** power(p.unit, TIMES))
        for p in structure.parameters
    ]


@pytest.mark.parametrize("structure", STRUCTURES, ids=lambda structure: structure.label)
def test_units_change_nothing(structure):
    given, names = arrays(structure, 1.0, 1.0)
    x = {name: pt.as_tensor(value).type(name) for name, value in given.items()}
    p = {parameter.name: pt.dvector(parameter.name) for parameter in structure.parameters}
    found = structure.predict(Named(**p), Named(**x), names)
    slopes = [pytensor.grad(found[name].sum(), list(p.values()), disconnected_inputs="ignore") for name in names]
    outputs = [*(found[name] for name in names), *(slope for each in slopes for slope in each)]
    compute = pytensor.function([*p.values(), *x.values()], outputs, mode="FAST_COMPILE", on_unused_input="ignore")

    def at(amount, time):
        here, units = arrays(structure, amount, time)[0], 1 + max(given["timeline_of_record"][:, 0])
        phi = parameters(structure, amount, time, units)
        y = compute(*phi, *here.values())
        relative = np.array(y[len(names) :]).reshape(len(names), len(p), -1) * np.array(phi)
        return np.array(y[: len(names)]), relative

    values, gradients = at(1.0, 1.0)
    for amount, time in UNITS:
        if time != 1.0 and any(field.name in LENGTHS for field in dataclasses.fields(structure)):
            continue
        others, other_gradients = at(amount, time)
        scale = others[:, :1] / values[:, :1]  # of each outcome, a power of the unit
        assert np.isfinite(scale).all()
        exponent = np.log(np.abs(scale)) / np.log(amount) if amount != 1.0 else 0.0 * scale
        np.testing.assert_allclose(exponent, np.round(exponent), atol=1e-6)
        size = np.abs(values).max(axis=1, keepdims=True)
        np.testing.assert_allclose(others / scale / size, values / size, atol=1e-6)
        np.testing.assert_allclose(others / scale, values, rtol=1e-5)
        size = np.abs(gradients).max(axis=(1, 2), keepdims=True)
        np.testing.assert_allclose(other_gradients / scale[:, :, None] / size, gradients / size, atol=1e-5)


def test_elimination_that_saturates_far_below_every_concentration_ends_at_nothing():
    phi = {"vmax": 12.0, "v": 20.0}
    for km in (1e-4, 1e-8, 1e-12):
        conc = predicted(MichaelisMenten(), [1.0, 12.0, 24.0, 26.0, 48.0], [(0.0, 300.0)], km=km, **phi)
        np.testing.assert_allclose(conc, np.maximum(15 - 0.6 * np.array([1, 12, 24, 26, 48]), 0.0), atol=20 * km + 1e-6)


def test_a_steady_state_is_the_same_in_every_unit():
    doses = {"time": [0.0], "amt": [100.0], "ii": [12.0], "ss": [1]}
    constant, phi = {"time": [0.0], "amt": [0.0], "rate": [8.0], "ss": [1]}, {"vmax": 30.0, "km": 2.0, "v": 20.0}
    wanted = predicted(MichaelisMenten(), [1.0, 11.0], doses, **phi)
    after = predicted(MichaelisMenten(), [0.0, 1.0], constant, **phi)
    assert after[0] == pytest.approx(8.0 * 2.0 / (30.0 - 8.0), rel=1e-6)
    for amount, time in UNITS:
        given = doses | {"amt": [100.0 * amount], "ii": [12.0 * time]}
        at = {"vmax": 30.0 * amount / time, "km": 2.0 * amount, "v": 20.0}
        found = predicted(MichaelisMenten(), np.array([1.0, 11.0]) * time, given, **at)
        np.testing.assert_allclose(found / amount, wanted, rtol=1e-6)
        given = constant | {"rate": [8.0 * amount / time]}
        found = predicted(MichaelisMenten(), np.array([0.0, 1.0]) * time, given, **at)
        np.testing.assert_allclose(found / amount, after, rtol=1e-6)
