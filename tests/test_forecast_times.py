"""Sampling times with an error, beside quadrature over the parameter and the time."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import nlmebayes as nb
from model_zoo import OneCompartment
from nlmebayes.forecasting import nuts
from nlmebayes.forecasting.options import Options

CL, V, OMEGA, SIGMA = 5.0, 20.0, 0.4, 0.1
DOSES = [0.0, 12.0]


@pytest.fixture(scope="module")
def tree():
    return nb.population(
        OneCompartment(), theta={"cl": CL, "v": V}, omega={"sd": {"cl": OMEGA}}, sigma={"b": SIGMA}, draws=20
    )


def chart(times, values, **columns):
    frame = pd.DataFrame({"id": "a", "time": times, "conc": values} | columns)
    doses = pd.DataFrame({"id": "a", "time": DOSES, "amt": 100.0})
    return nb.Dataset.from_frame(frame, outcome="conc", time="time", levels="id", doses=doses)


def chart_after(times, values):
    frame = pd.DataFrame({"id": "a", "time": times, "conc": values})
    return nb.Dataset.from_frame(frame, outcome="conc", time="time", levels="id")


def predicted(z, t):
    k = CL * np.exp(OMEGA * z) / V
    return sum(100 / V * np.exp(-k * (t - at)) * (t >= at) for at in DOSES)


def likelihood(z, t, y, sd):
    """Of each z, (z,), by trapezes over the time between the doses around t."""
    low, high = (0.0, 12.0) if t < 12 else (12.0, 99.0)
    u = np.linspace(max(low, t - 8 * sd), min(high, t + 8 * sd) - 1e-9, 8001)
    f = predicted(z[:, None], u)
    prior = stats.norm.pdf(u, t, sd)
    return np.trapezoid(stats.norm.pdf(y, f, SIGMA * f) * prior, u) / np.trapezoid(prior, u)


CASES = {"peak": ([0.2], [4.9], 0.5), "middle": ([6.0], [0.8], 1.5), "trough and peak": ([11.6, 12.5], [0.2, 4.4], 1.0)}


@pytest.mark.parametrize("case", CASES)
def test_the_posterior_integrates_over_the_true_times(tree, case):
    times, values, sd = CASES[case]
    z = np.linspace(-5, 5, 801)
    dense = stats.norm.pdf(z)
    for t, y in zip(times, values, strict=True):
        dense = dense * likelihood(z, t, y, sd)
    evidence = np.trapezoid(dense, z)
    mean = np.trapezoid(z * dense, z) / evidence
    spread = np.sqrt(np.trapezoid((z - mean) ** 2 * dense, z) / evidence)
    found = nb.forecast(tree, chart(times, values), method="importance", time_sd=sd, draws=8000, random_seed=1)
    report = json.loads(found.attrs["nlmebayes_forecast"])
    eta = found["posterior"]["eta_id"].to_numpy().ravel() / OMEGA
    error = spread / np.sqrt(report["effective_sample_size"])
    assert abs(eta.mean() - mean) < 4 * error and eta.std() == pytest.approx(spread, rel=0.05)
    assert report["log_evidence"] == pytest.approx(np.log(evidence), abs=0.03)
    best = nb.forecast(tree, chart(times, values), method="map", time_sd=sd)["posterior"]["eta_id"]
    assert float(best[0, 0, 0, 0]) / OMEGA == pytest.approx(z[np.argmax(dense)], abs=0.0126)


def test_the_time_of_a_sample_that_looks_late_is_later(tree):
    u = np.linspace(2.0, 10.0, 8001)
    f = predicted(0.0, u)
    dense = stats.norm.pdf(u, 6.0, 1.0) * stats.norm.pdf(0.7, f, SIGMA * f)
    exactly = np.trapezoid(u * dense, u) / np.trapezoid(dense, u)
    sure = nb.population(
        OneCompartment(), theta={"cl": CL, "v": V}, omega={"sd": {"cl": 1e-9}}, sigma={"b": SIGMA}, draws=20
    )
    found = nb.forecast(sure, chart([6.0], [0.7]), method="map", time_sd=1.0)
    told = json.loads(found.attrs["nlmebayes_forecast"])["sampling_times"]
    assert told["conc row 1"][0] == pytest.approx(exactly, abs=1e-4)


def test_a_column_says_which_times_are_uncertain(tree):
    z = np.linspace(-0.5, 0.8, 81)
    dense = stats.norm.pdf(z) * likelihood(z, 6.0, 0.8, 1.0)
    f = predicted(z, 13.0)
    dense = dense * stats.norm.pdf(4.9, f, SIGMA * f)
    found = nb.forecaster(tree).target(chart([6.0, 13.0], [0.8, 4.9], sd=[1.0, 0.0]), Options(time_sd="sd"))[1]
    value = found.log_density(z[:, None, None], np.zeros(len(z), dtype=int))[:, 0]
    assert value == pytest.approx(np.log(dense), abs=1e-3)
    assert found.observed[0].starts.tolist() == [0, 48]


def test_nuts_samples_the_same_density(tree):
    target = nb.forecaster(tree).target(chart([6.0, 13.0], [0.8, 4.9], sd=[1.0, 0.0]), Options(time_sd="sd"))[1]
    vector = nuts._Vector(target)
    built = nuts._built(target, vector, nuts._data(target, vector))
    value = built.compile_logp(mode="FAST_COMPILE")
    for z in (-1.0, 0.0, 0.7):
        assert value({"z": [z]}) == pytest.approx(target.log_density(np.full((1, 1, 1), z), [0])[0, 0], abs=1e-9)


def test_weights_of_age_count_whole_samples(tree):
    chart_ = chart([6.0, 13.0], [0.8, 4.9])
    ready, z = nb.forecaster(tree), np.array([[[0.3]]])
    options = (Options(time_sd=0.5, half_life=h) for h in (7.0, 1e12))
    half, full = (ready.target(chart_, each)[1].log_density(z, [0])[0, 0] for each in options)
    first = np.log(likelihood(np.array([0.3]), 6.0, 0.8, 0.5))[0]
    assert full - half == pytest.approx(first / 2, abs=1e-3)


def test_an_error_without_a_size_is_refused(tree):
    with pytest.raises(nb.ModelError, match="no column 'late' for time_sd=; columns are sd"):
        nb.forecast(tree, chart([6.0], [0.8], sd=[1.0]), time_sd="late")
    with pytest.raises(nb.ModelError, match=r"time_sd must be a number from 0 on, a text or None; got -1.0"):
        nb.forecast(tree, chart([6.0], [0.8]), time_sd=-1.0)


def test_many_patients_and_later_visits_keep_the_option(tree):
    one = chart([6.0, 13.0], [0.8, 4.9])
    other = chart([6.0], [0.8])
    frame = pd.concat([one.observations, other.observations.assign(id="b")], ignore_index=True)
    both = nb.Dataset.from_frame(
        frame[["id", "time"]].assign(conc=frame["value"]), outcome="conc", time="time", levels="id",
        doses=pd.DataFrame({"id": ["a", "a", "b", "b"], "time": DOSES * 2, "amt": 100.0}),
    )  # fmt: skip
    table = nb.forecast_each(tree, both, time_sd=0.5).table
    for label, patient in (("a", one), ("b", other)):
        best = float(nb.forecast(tree, patient, method="map", time_sd=0.5)["posterior"]["cl"][0, 0, 0])
        assert table.loc[table["id"] == label, "cl"].iloc[0] == pytest.approx(best, rel=1e-4)
    first = nb.forecast(tree, other, method="map", time_sd=0.5)
    again = nb.update(first, chart_after([20.0], [0.35]), method="map")
    assert json.loads(again.attrs["nlmebayes_forecast"])["time_sd"] == 0.5
