"""Forecasts of patients whose residuals remember, against quadrature over one random effect and dense normal laws."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import nlmebayes as nb
from model_zoo import OneCompartment

CL, V, OMEGA, DOSE, RHO = 3.0, 40.0, 0.3, 400.0, 0.7
TIMES = np.array([1.0, 3.0, 6.0, 11.0, 16.0])
Y = np.array([11.0, 9.4, 7.4, 4.0, 3.0])
LIMIT = np.array([0.0, 0.0, 0.0, 4.5, 3.5])  # of the last two, where they are censored
ETA = np.linspace(-1.5, 1.5, 3001)
PARTS = {"combined": {"a": 0.3, "b": 0.1}, "log-normal": {"a": 0.15}, "student": {"a": 0.5, "nu": 4.0}}
INSIDE = {"combined": nb.Combined(), "log-normal": nb.LogNormal(), "student": nb.StudentT()}


def curve(times, eta=ETA):
    """Concentrations (eta, time)."""
    return DOSE / V * np.exp(-CL * np.exp(np.asarray(eta)[:, None]) / V * np.asarray(times))


def scored(law, y, f):
    """Normal scores of measurements and the logarithms of their slopes."""
    if law == "log-normal":
        return (np.log(y) - np.log(f)) / 0.15, -np.log(0.15 * y) + 0 * f
    if law == "student":
        z = stats.norm.ppf(stats.t.cdf(y, 4.0, f, 0.5))
        return z, stats.t.logpdf(y, 4.0, f, 0.5) - stats.norm.logpdf(z)
    w = 0.3 + 0.1 * f
    return (y - f) / w, -np.log(w)


def correlation(times):
    return RHO ** np.abs(np.subtract.outer(times, times))


def log_posterior(law, hidden):
    """Log of prior times likelihood at ``ETA``; the last ``hidden`` records are known to lie below their limits."""
    seen, f = len(TIMES) - hidden, curve(TIMES)
    r = correlation(TIMES)
    z, slope = scored(law, Y[:seen], f[:, :seen])
    found = stats.multivariate_normal(np.zeros(seen), r[:seen, :seen]).logpdf(z) + slope.sum(axis=1)
    if hidden:
        pull = r[seen:, :seen] @ np.linalg.inv(r[:seen, :seen])
        rest = r[seen:, seen:] - pull @ r[:seen, seen:]
        top, _ = scored(law, LIMIT[seen:], f[:, seen:])
        found += np.log(below(top - z @ pull.T, rest))
    return found + stats.norm.logpdf(ETA, 0, OMEGA)


def below(top, cov):
    """Probability that one normal variable, or two, lie below ``top`` (eta, variable)."""
    sd = np.sqrt(np.diag(cov))
    if len(sd) == 1:
        return stats.norm.cdf(top[:, 0] / sd[0])
    x, w = np.polynomial.legendre.leggauss(200)
    end = np.minimum(top[:, :1], 9 * sd[0])
    start = end - 12 * sd[0]
    x = start + (end - start) * (x + 1) / 2
    second = stats.norm.cdf((top[:, 1:] - cov[0, 1] / cov[0, 0] * x) / np.sqrt(cov[1, 1] - cov[0, 1] ** 2 / cov[0, 0]))
    return ((end - start) / 2 * w * stats.norm.pdf(x, 0, sd[0]) * second).sum(axis=1)


def tree_of(law):
    return nb.population(
        OneCompartment(), "v ~ 1", theta={"cl": CL, "v": V}, omega={"sd": {"cl": OMEGA}},
        sigma=PARTS[law] | {"rho": RHO}, residual=nb.Autoregressive(INSIDE[law], over="time"),
    )  # fmt: skip


def patient_of(hidden=0, ahead=()):
    seen = len(TIMES) - hidden
    values = [*Y[:seen], *LIMIT[seen:], *np.full(len(ahead), np.nan)]
    frame = pd.DataFrame({"id": "p", "time": [*TIMES, *ahead], "conc": values})
    frame["cens"] = [0] * seen + [1] * hidden + [0] * len(ahead)
    doses = pd.DataFrame({"id": ["p"], "time": [0.0], "amt": [DOSE]})
    return nb.Dataset.from_frame(
        frame, outcome="conc", time="time", levels="id", doses=doses, censored="cens", unmeasured="predict", sort=True
    )


def moments(log_density):
    """Mean and SD of eta, and the log of the evidence."""
    weight = np.exp(log_density - log_density.max())
    step, share = ETA[1] - ETA[0], weight / weight.sum()
    mean = share @ ETA
    return mean, np.sqrt(share @ (ETA - mean) ** 2), np.log(weight.sum() * step) + log_density.max()


def effects_of(tree):
    return tree["posterior"]["eta_id"].to_numpy().ravel()


CASES = [("combined", 0), ("log-normal", 2), ("student", 0), ("student", 1)]


@pytest.mark.parametrize(("law", "hidden"), CASES)
def test_posteriors_are_those_of_quadrature(law, hidden):
    density = log_posterior(law, hidden)
    mean, sd, evidence = moments(density)
    tree, patient = tree_of(law), patient_of(hidden)
    mode = effects_of(nb.forecast(tree, patient, method="map"))
    assert mode == pytest.approx(ETA[np.argmax(density)], abs=1e-3)
    assert nb.forecast_each(tree, patient).table["eta_id_cl"].to_numpy() == pytest.approx(mode, abs=1e-3)
    for method, near in (("importance", 0.03), ("laplace", 0.2)):
        found = nb.forecast(tree, patient, method=method, draws=4000, random_seed=1)
        assert effects_of(found).mean() == pytest.approx(mean, abs=near * sd)
        assert effects_of(found).std() == pytest.approx(sd, rel=0.05 if method == "importance" else 0.2)
        told = json.loads(found.attrs["nlmebayes_forecast"])["log_evidence"]
        assert told == pytest.approx(evidence, abs=0.01 if method == "importance" else 0.1)


@pytest.mark.parametrize(("law", "hidden"), [("combined", 1)])
def test_nuts_is_the_same(law, hidden):
    mean, sd, _ = moments(log_posterior(law, hidden))
    found = effects_of(nb.forecast(tree_of(law), patient_of(hidden), method="nuts", draws=2000, random_seed=1))
    assert found.mean() == pytest.approx(mean, abs=0.12 * sd)
    assert found.std() == pytest.approx(sd, rel=0.1)


AHEAD = np.array([12.0, 17.0, 30.0])  # between two samples, an hour after the last one, long after


@pytest.mark.parametrize("law", INSIDE)
def test_later_measurements_go_on_from_the_last_residuals(law):
    """Draws of the score of a new measurement around what the measured ones say of it, over the posterior of eta."""
    patient = patient_of(ahead=AHEAD)
    found = nb.forecast(tree_of(law), patient, draws=8000, random_seed=1)
    assert found["posterior"]["f_conc"].sizes["conc_obs"] == len(TIMES) + len(AHEAD)
    eta, drawn = effects_of(found), found["posterior_predictive"]["conc"].to_numpy()[0]
    drawn = drawn[:, np.searchsorted(np.sort(np.append(TIMES, AHEAD)), AHEAD)]
    r = correlation(np.append(TIMES, AHEAD))
    pull = r[5:, :5] @ np.linalg.inv(r[:5, :5])
    rest = r[5:, 5:] - pull @ r[:5, 5:]
    scores = scored(law, drawn, curve(AHEAD, eta))[0] - scored(law, Y, curve(TIMES, eta))[0] @ pull.T
    assert scores.mean(axis=0) == pytest.approx(np.zeros(3), abs=0.04)
    assert np.cov(scores.T) == pytest.approx(rest, abs=0.04)
    again = nb.predict(nb.forecast(tree_of(law), patient_of(), draws=8000, random_seed=1), patient.over(time=AHEAD),
                       random_seed=2)["posterior_predictive"]["conc"].to_numpy()[0]  # fmt: skip
    assert np.quantile(again, [0.1, 0.5, 0.9], axis=0) == pytest.approx(
        np.quantile(drawn, [0.1, 0.5, 0.9], axis=0), rel=0.03
    )


def test_a_retrospect_judges_a_visit_by_what_the_last_residual_lets_expect():
    """The predicted measurement of the last sample, which is that of a forecast from those before."""
    found = nb.retrospect(tree_of("combined"), patient_of(), draws=4000, random_seed=1).table.iloc[-1]
    times, seen = TIMES, Y[:4]
    f, r = curve(times), correlation(times)
    z, slope = scored("combined", seen, f[:, :4])
    weight = stats.multivariate_normal(np.zeros(4), r[:4, :4]).logpdf(z) + slope.sum(axis=1)
    weight = np.exp(weight - weight.max()) * stats.norm.pdf(ETA, 0, OMEGA)
    weight = weight / weight.sum()
    centre = f[:, 4] + (0.3 + 0.1 * f[:, 4]) * RHO**5 * z[:, 3]
    spread = (0.3 + 0.1 * f[:, 4]) * np.sqrt(1 - RHO**10)
    assert found["pit"] == pytest.approx(weight @ stats.norm.cdf((Y[4] - centre) / spread), abs=0.03)


def test_an_update_is_the_forecast_from_all_samples():
    both = nb.forecast(tree_of("combined"), patient_of(), method="map")
    frame = pd.DataFrame({"id": "p", "time": TIMES, "conc": Y})
    doses = pd.DataFrame({"id": ["p"], "time": [0.0], "amt": [DOSE]})
    early = nb.Dataset.from_frame(frame[:3], outcome="conc", time="time", levels="id", doses=doses)
    late = nb.Dataset.from_frame(frame[3:], outcome="conc", time="time", levels="id")
    updated = nb.update(nb.forecast(tree_of("combined"), early, method="map"), late, method="map")
    assert effects_of(updated) == pytest.approx(effects_of(both), abs=1e-4)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"half_life": 12.0}, "which half_life= does not know; leave it out"),
        ({"time_sd": 0.1}, r"conc has Autoregressive.*time_sd= does not know"),
    ],
)
def test_options_that_take_samples_one_by_one_are_refused(options, words):
    with pytest.raises(nb.ModelError, match=words):
        nb.forecast(tree_of("combined"), patient_of(), method="map", **options)


def test_series_that_patients_share_and_a_next_sample_are_refused():
    frame = pd.DataFrame(
        {"id": ["p", "q"] * 2, "time": [1.0, 1.5, 2.0, 2.5], "conc": [9.0, 9.5, 8.0, 8.5], "device": "d"}
    )
    frame = frame.sort_values(["id", "time"])
    doses = pd.DataFrame({"id": ["p", "q"], "time": 0.0, "amt": DOSE})
    data = nb.Dataset.from_frame(frame, outcome="conc", time="time", levels="id", inputs="device", doses=doses)
    tree = nb.population(
        OneCompartment(), "v ~ 1", theta={"cl": CL, "v": V}, omega={"sd": {"cl": OMEGA}},
        sigma=PARTS["combined"] | {"rho": RHO}, residual=nb.Autoregressive(nb.Combined(), within="device", over="time"),
    )  # fmt: skip
    with pytest.raises(nb.ModelError, match="the series d of conc is one of several patients"):
        nb.forecaster(tree).target(data, several=True)
    forecast = nb.forecast(tree_of("combined"), patient_of(), method="map")
    with pytest.raises(nb.ModelError, match=r"next_sample: Autoregressive.*tells beside the last ones"):
        nb.next_sample(forecast, [20.0], "cl")
