"""Covariates that change on lines between records, beside integration with the covariate as a function of time."""

import numpy as np
import pandas as pd
import pytest
from scipy.integrate import solve_ivp

import nlmebayes as nb
from model_zoo import MichaelisMenten, OneCompartment
from nlmebayes.data import lines

TIME = np.array([2.0, 12.0, 30.0, 48.0])
CRCL, WT = np.array([90.0, 90.0, 40.0, 70.0]), np.array([80.0, 78.0, 70.0, 71.0])
FORMULAS = ("cl ~ 1 + log(crcl/90)", "v ~ 1 + log(wt/70)")
GIVEN = pd.DataFrame({"id": "a", "time": [0.0, 20.0], "amt": 100.0, "duration": [1.0, 0.0], "addl": [0, 2],
                      "ii": [0.0, 9.0]})  # fmt: skip


def chart(**columns):
    records = pd.DataFrame({"id": "a", "time": TIME, "conc": 1.0, "crcl": CRCL, "wt": WT} | columns)
    return nb.Dataset.from_frame(records, outcome="conc", time="time", levels="id", doses=GIVEN, interpolation="linear")


def predicted(structure, data, **theta):
    values = {f"theta_{name}": np.atleast_1d(value) for name, value in theta.items()} | {"sigma_conc_a": 1.0}
    tree = nb.simulate(nb.Model(structure, *FORMULAS), data, draws=1, values=values, random_seed=1)
    return tree["prior"]["f_conc"].to_numpy().ravel()


def integrated(slope, times, bioavailable=lambda t: 1.0):
    """Concentrations by SciPy, from event to event."""
    boluses, y, at, found = [20.0, 29.0, 38.0], 0.0, 0.0, {}
    stops = sorted({1.0, *TIME, *boluses, *times})
    for stop in stops:
        rate = 100.0 if stop <= 1.0 else 0.0
        known = solve_ivp(lambda t, y, rate=rate: rate + slope(t, y), (at, stop), [y], rtol=1e-11, atol=1e-13)
        y, at = known.y[0, -1], stop
        y += 100.0 * bioavailable(stop) * (stop in boluses)
        found[stop] = y
    return np.array([found[t] for t in times]) / volume(np.asarray(times))


def volume(t):
    return np.exp(3.0) * np.interp(t, TIME, WT) / 70


def linear(t, y):
    return -np.exp(1.0) * (np.interp(t, TIME, CRCL) / 90) ** 0.8 / volume(t) * y


def saturable(t, y):
    return -np.exp(1.5) * y / volume(t) / (np.exp(1.0) + y / volume(t))


@pytest.mark.parametrize("times", [TIME, np.array([0.5, 6.0, 20.5, 29.5, 47.0, 48.0, 60.0])])
def test_a_closed_form_follows_the_line(times):
    data = chart() if times is TIME else chart().over(time=times)
    found = predicted(OneCompartment(), data, cl=[1.0, 0.8], v=[3.0, 1.0])
    assert found == pytest.approx(integrated(linear, times), rel=2e-4)


def test_the_error_falls_with_the_square_of_the_parts(monkeypatch):
    exact, errors = integrated(linear, TIME)[-1], []
    for parts in (8, 32):
        monkeypatch.setattr(lines, "PARTS", parts)
        errors.append(predicted(OneCompartment(), chart(), cl=[1.0, 0.8], v=[3.0, 1.0])[-1] - exact)
    assert errors[0] / errors[1] == pytest.approx(16, rel=0.1)


def test_equations_follow_the_line():
    formulas = ("vmax ~ 1", "km ~ 1", "v ~ 1 + log(wt/70)")
    values = {"theta_vmax": [1.5], "theta_km": [1.0], "theta_v": [3.0, 1.0], "sigma_conc_a": 1.0}
    tree = nb.simulate(nb.Model(MichaelisMenten(), *formulas), chart(), draws=1, values=values, random_seed=1)
    assert tree["prior"]["f_conc"].to_numpy().ravel() == pytest.approx(integrated(saturable, TIME), rel=2e-4)


def test_an_additional_dose_takes_the_value_at_its_time():
    """Of which half the weight's share of 80 kg is absorbed."""
    records = pd.DataFrame({"id": "a", "time": [0.0, 40.0], "conc": 1.0, "wt": [80.0, 40.0]})
    doses = pd.DataFrame({"id": "a", "time": [0.0], "amt": 100.0, "addl": 3, "ii": 10.0})
    data = nb.Dataset.from_frame(records, outcome="conc", time="time", levels="id", doses=doses, interpolation="linear")
    model = nb.Model(OneCompartment(bioavailability=True), "cl ~ 1", "v ~ 1", "f ~ 1 + wt")
    values = {"theta_cl": [1.0], "theta_v": [3.0], "theta_f": [-4.0, 0.05], "sigma_conc_a": 1.0}
    found = float(nb.simulate(model, data, draws=1, values=values, random_seed=1)["prior"]["f_conc"][0, 0, -1])
    times = np.array([0.0, 10.0, 20.0, 30.0])
    fraction = 1 / (1 + np.exp(4.0 - 0.05 * (80 - times)))
    left = 100 * fraction * np.exp(-np.exp(1.0 - 3.0) * (40 - times))
    assert found == pytest.approx(left.sum() / np.exp(3.0), rel=1e-9)


def test_indicators_and_words_are_carried_to_their_record():
    data = chart(dial=[0, 1, 1, 0], ward=["a", "b", "b", "a"]).over(time=[7.0, 40.0, 99.0]).observations
    assert data["dial"].tolist() == [1, 0, 0] and data["ward"].tolist() == ["b", "a", "a"]
    assert data["wt"].tolist() == pytest.approx([79.0, 70 + 10 / 18, 71.0])


def test_a_value_stated_twice_at_once_is_a_jump():
    at = np.array([5.0, 10.0, 15.0])
    assert lines.between(np.array([0.0, 10.0, 10.0, 20.0]), np.array([1.0, 2.0, 5.0, 6.0]), at).tolist() == [
        1.5,
        5,
        5.5,
    ]


def test_a_forecast_and_its_doses_follow_the_line():
    formulas = ("cl ~ 1 + log(crcl/90) + (1|id)", "v ~ 1 + log(wt/70)")
    theta = {"cl": {"Intercept": np.exp(1.0), "log(crcl/90)": 0.8}, "v": {"Intercept": np.exp(3.0), "log(wt/70)": 1.0}}
    tree = nb.population(OneCompartment(), *formulas, theta=theta, omega={"sd": {"cl": 1e-9}}, sigma={"b": 0.1})
    forecast = nb.forecast(tree, chart(conc=integrated(linear, TIME)), method="map", random_seed=1)
    assert forecast["posterior"]["f_conc"].to_numpy().ravel() == pytest.approx(integrated(linear, TIME), rel=2e-4)
    table = nb.recommend(forecast, nb.Regimen(0.0, start=50.0), nb.Trough(1, 2, time=60.0))
    assert table["median"].iloc[0] == pytest.approx(integrated(linear, [60.0])[0], rel=2e-4)
