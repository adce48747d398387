"""Other units of a structure: values that are worked out by hand, and a law that holds in them or is refused."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytensor.tensor as pt
import pytest

import model_zoo
import nlmebayes as nb
from model_zoo import CarTExpansion, Emax, LitterDecay, OneCompartment, ParametricSurvival, TumourGrowthInhibition
from nlmebayes.parameter.units import KINDS, converted


def typical(model):
    return {p.name: (p.unit, p.typical) for p in model.parameters}


@pytest.mark.parametrize(
    ("written", "dimension", "unit", "there", "factor"),
    [
        ("L/h", "time", "day", "L/day", 24.0),
        ("h", "time", "day", "day", 1 / 24),
        ("1/h", "time", "min", "1/min", 1 / 60),
        ("L/mg/day", "amount", "ug", "L/ug/day", 1e-3),
        ("mg/L", "volume", "mL", "mg/mL", 1e-3),
        ("mL/min", "volume", "L", "L/min", 1e-3),
        ("mg/h^2", "time", "day", "mg/day^2", 576.0),
        ("nmol/L/day", "amount", "umol", "umol/L/day", 1e-3),
        ("nmol/L", "amount", "mg", "nmol/L", 1.0),  # no molar mass is known
        ("marker/time", "time", "day", "marker/day", 1.0),  # that of the data
        ("10^9 cells", "amount", "g", "10^9 cells", 1.0),
        ("mm^3", "volume", "mL", "mm^3", 1.0),
        ("", "time", "h", "", 1.0),
    ],
)
def test_a_unit_is_written_anew(written, dimension, unit, there, factor):
    found, times, _ = converted(written, dimension, unit)
    assert found == there
    assert times == pytest.approx(factor, rel=1e-12)


@pytest.mark.parametrize(
    ("units", "says"),
    [
        ({"time": "fortnight"}, "'fortnight' is no unit of time; there are s, min, h"),
        ({"length": "m"}, "no dimension 'length'; there are time, amount, volume"),
        ({"time": "month"}, "no unit of time"),  # of no fixed length
        ({"amount": "ug"}, "no parameter of OneCompartment"),
    ],
)
def test_what_cannot_be_said_is_refused(units, says):
    with pytest.raises(nb.ModelError, match=says):
        nb.Model(OneCompartment(), units=units)


def test_a_unit_that_cannot_be_read_is_refused():
    with pytest.raises(nb.ModelError, match="'mg h/L' cannot be converted; write it with /"):
        nb.Parameter("auc", "mg h/L").in_units(time="day")


def test_what_a_link_has_in_the_unit_goes_along():
    bounded = nb.Parameter("lag", "h", typical=2.0, link=nb.Logit(0, 12)).in_units(time="day")
    assert (bounded.typical, bounded.link) == (2 / 24, nb.Logit(0, 0.5))
    shifted = nb.Parameter("shift", "h", typical=-6.0, spread=12.0, variation=3.0, link="identity").in_units(time="day")
    assert (shifted.typical, shifted.spread, shifted.variation) == (-0.25, 0.5, 0.125)
    positive = nb.Parameter("cl", "L/h", typical=3.0, spread=0.5).in_units(time="day")
    assert (positive.typical, positive.spread, positive.variation) == (72.0, 0.5, None)


def test_defaults_follow_and_what_is_stated_is_in_the_new_unit():
    model = nb.Model(OneCompartment("first-order"), units={"time": "day"}, typical={"ka": 30.0})
    assert typical(model) == {"cl": ("L/day", 72.0), "v": ("L", 30.0), "ka": ("1/day", 30.0)}
    assert model.but(links={"ka": nb.Logit(0, 99)}).units == {"time": "day"}
    assert "L/day" in str(model)


def test_the_posterior_is_the_same_in_other_units():
    """Densities of a population at one point, in hours and in days, differ by the Jacobian of nothing: sigma is of the
    concentration, and log clearances differ by their prior's middle."""
    frame = nb.datasets.theophylline().observations.rename(columns={"value": "conc"})[["id", "time", "conc"]]
    doses = pd.DataFrame({"id": frame["id"].unique(), "time": 0.0, "amt": 320.0})
    found = []
    for size, units in ((1.0, {}), (24.0, {"time": "day"})):
        data = nb.Dataset.from_frame(
            frame.assign(time=frame["time"] / size), outcome="conc", time="time", levels="id",
            doses=doses.assign(time=doses["time"] / size),
        )  # fmt: skip
        model = nb.Model(OneCompartment("first-order"), "cl ~ 1", "v ~ 1", "ka ~ 1", units=units)
        built = nb.build(model, data)
        at = built.initial_point()
        at["theta_cl"], at["theta_ka"] = np.array([np.log(2.8 * size)]), np.array([np.log(1.5 * size)])
        at["theta_v"] = np.array([np.log(32.0)])
        found.append(float(built.compile_logp(mode="FAST_COMPILE")(at)))
    assert found[0] == pytest.approx(found[1], abs=1e-8)


def test_kinetics_are_in_the_unit_of_what_they_drive():
    own = typical(nb.Model(TumourGrowthInhibition()))
    assert own["cl"] == ("L/day", 72.0) and own["k1"] == ("1/day", 1.0)


def test_units_of_concentrations_and_of_the_time_of_the_data():
    assert typical(nb.Model(Emax(), units={"amount": "ug"}))["ec50"] == ("ug/L", 5000.0)
    survival = nb.Model(ParametricSurvival(), residual=nb.TimeToEvent(), units={"time": "year"})
    assert typical(survival)["rate"] == ("1/year", 0.1)
    assert typical(nb.Model(LitterDecay(), units={"time": "day"}))["k"][1] == pytest.approx(0.3 / 365.25)


def test_options_in_the_unit_of_the_data_stay():
    structure = ParametricSurvival(breaks=(1.0, 2.0))
    assert typical(nb.Model(structure, residual=nb.TimeToEvent(), units={"time": "week"}))["rate"] == ("1/week", 0.1)


def test_numbers_in_a_structure_are_seen():
    """The turn of an expansion is so many days wide."""
    with pytest.raises(nb.ModelError, match="in its own unit of time, day"):
        nb.Model(CarTExpansion(), units={"time": "week"})


@dataclass(frozen=True)
class Meals(nb.System):
    """Something that is made at noon, whatever the unit of time."""

    states, dosed = ("a",), "a"
    parameters = (nb.Parameter("k", "1/h", 0.1), nb.Parameter("s", "mg/h", 1.0))
    period: float = 24.0

    def rhs(self, t, y, p):
        return {"a": p.s * (1 + pt.cos(2 * np.pi * t / self.period)) - p.k * y.a}

    def outcomes(self, t, y, p):
        return {"conc": y.a}


def test_a_clock_in_hours_is_seen_and_an_amount_is_not_its_matter():
    with pytest.raises(nb.ModelError, match="numbers in its equations or options that are in its own unit of time, h"):
        nb.Model(Meals(), units={"time": "day"})
    assert typical(nb.Model(Meals(), units={"amount": "g"}))["s"] == ("g/h", 1e-3)


@dataclass(frozen=True)
class Mixed(nb.Curve):
    """Rates per hour and per day: their ratio stands in an equation, where no unit can be told."""

    parameters = (nb.Parameter("a", "1/h", 1.0), nb.Parameter("b", "1/day", 1.0))
    inputs = ("time",)

    def curve(self, p, x):
        return pt.exp(-(p.a + p.b / 24) * x.time)


def test_several_units_of_one_dimension_are_refused():
    with pytest.raises(nb.ModelError, match=r"parameters of Mixed\(\) have time in day, h"):
        nb.Model(Mixed(), units={"time": "day"})


@pytest.mark.parametrize("name", model_zoo.__all__)
def test_every_class_holds_in_other_units_or_says_that_it_does_not(name):
    for dimension, kinds in KINDS.items():
        unit = next(iter(kinds[0]))
        try:
            model = nb.Model(getattr(model_zoo, name)(), residual=nb.Additive(), units={dimension: unit})
        except nb.ModelError as error:
            assert str(error).startswith("units: "), error
            continue
        assert any(unit in p.unit.split("/") for p in model.parameters)


def test_a_tree_keeps_them(tmp_path):
    model = nb.Model(OneCompartment(), units={"time": "min"})
    stated = {"theta": {"cl": 0.05, "v": 30.0}, "omega": {"sd": {"cl": 0.3, "v": 0.2}}, "sigma": {"a": 1.0}}
    nb.save(nb.population(model, **stated, outcome="conc"), tmp_path / "a.nc")
    table = nb.summary(nb.load(tmp_path / "a.nc")).set_index("quantity")
    assert table.loc["cl", "unit"] == "L/min"
    assert table.loc["cl", "mean"] == pytest.approx(0.05)
