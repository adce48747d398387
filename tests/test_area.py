"""The area under an outcome as a state, beside quadrature of the curve."""

import numpy as np
import pandas as pd
import pytensor.tensor as pt
import pytest

import nlmebayes as nb
from model_zoo import MichaelisMenten, OneCompartment, TwoCompartment
from nlmebayes.dosing.exposure import integral, panels
from nlmebayes.structure.area import Area, area_of

CASES = {
    "lag": (OneCompartment("first-order", lag=True), "conc"),
    "transit": (TwoCompartment("transit", transits=2), "conc"),
    "metabolite": (TwoCompartment("mixed", metabolite=True), "metabolite"),
}


def predicted(structure, outcome, times):
    """Curve of one subject after a dose, an infusion and a steady state, with its volume changing in between."""
    frame = pd.DataFrame({"id": "a", "time": times, outcome: 1.0, "wt": np.where(times < 30, 70.0, 50.0)})
    doses = pd.DataFrame({"id": "a", "time": [0.0, 5.0, 24.0], "amt": 100.0, "ii": [0.0, 0.0, 12.0], "ss": [0, 0, 1]})
    data = nb.Dataset.from_frame(frame, outcome=outcome, time="time", levels="id", doses=doses)
    volume = "v" if "v" in {p.name for p in structure.parameters} else "v1"
    model = nb.Model(structure, *(f"{p.name} ~ 1" for p in structure.parameters if p.name != volume),
                     f"{volume} ~ 1 + log(wt/70)")  # fmt: skip
    values = {f"theta_{p.name}": [float(p.scale.forward(p.typical))] for p in structure.parameters}
    values |= {f"theta_{volume}": [np.log(30.0), 1.0], f"sigma_{outcome}_a": 1.0}
    return nb.simulate(model, data, draws=1, values=values, random_seed=1)["prior"][f"f_{outcome}"].to_numpy()[0]


@pytest.mark.parametrize("case", CASES)
def test_an_area_is_the_integral_of_the_curve(case):
    structure, outcome = CASES[case]
    breaks = [0.5, 1.0, 5.0, 5.5, 6.0, 24.0, 24.5, 25.0]
    for start, end in ((0.0, 23.9), (25.0, 29.9)):  # the volume is what a record says, up to it
        grid = panels(start, end, breaks)
        curve = predicted(structure, outcome, np.append(grid.times, 60.0))[:, :-1]
        ends = predicted(area_of(structure, outcome), outcome, np.array([start, end, 60.0]))
        assert ends[0, 1] - ends[0, 0] == pytest.approx(integral(grid, curve)[0], rel=1e-7)


class Shifted(nb.LinearSystem):
    """An outcome that is no sum of amounts."""

    states = ("central",)
    parameters = (nb.Parameter("cl", "L/h", 3.0), nb.Parameter("v", "L", 30.0))

    def flows(self, p):
        return {("central", None): p.cl / p.v}

    def outcomes(self, t, y, p):
        return {"shifted": 1.0 + y.central / p.v, "root": pt.sqrt(y.central), "plain": y.central / p.v}


def test_an_outcome_that_is_no_sum_of_amounts_has_panels():
    assert area_of(Shifted(), "shifted") is None and area_of(Shifted(), "root") is None
    assert isinstance(area_of(Shifted(), "plain"), Area)
    assert area_of(MichaelisMenten(), "conc") is None


def test_an_area_goes_on_where_the_states_start_anew():
    """A steady state in the chart, a reset, and another steady state with the plan."""
    rows = pd.DataFrame({
        "ID": 1, "TIME": [0.0, 10.0, 20.0, 30.0, 36.0], "AMT": [100.0, 80.0, 0.0, 60.0, 0.0], "EVID": [1, 1, 3, 1, 0],
        "SS": [0, 1, 0, 0, 0], "II": [0.0, 8.0, 0.0, 0.0, 0.0], "DV": [np.nan] * 4 + [1.5],
    })  # fmt: skip
    patient = nb.Dataset.from_nonmem(rows, outcome="conc")
    tree = nb.population(OneCompartment(), theta={"cl": 3.0, "v": 30.0}, omega={"sd": {"cl": 0.3}}, sigma={"b": 0.1})
    forecast = nb.forecast(tree, patient, method="map")
    plan = nb.Regimen(90.0, start=40.0, every=12.0, steady=True)
    table = nb.recommend(forecast, plan, [nb.AUC(1, 2, 5.0, 47.0), nb.AUC(1, 2)]).set_index("target")
    k, v = float(forecast["posterior"]["cl"][0, 0, 0]) / 30.0, 30.0
    steady = 80 / -np.expm1(-8 * k)
    parts = [100 * np.exp(-5 * k) * -np.expm1(-5 * k), steady * -np.expm1(-10 * k), 60 * -np.expm1(-10 * k)]
    ours = table["median"].to_numpy()
    assert ours[1] == pytest.approx(90 / k / v, rel=1e-10)
    last = 90 / -np.expm1(-12 * k) * -np.expm1(-7 * k)
    assert ours[0] == pytest.approx((sum(parts) + last) / k / v, rel=1e-10)
