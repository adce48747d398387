"""Missing covariates of a new patient, beside quadrature over effect and covariate."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import nlmebayes as nb
from model_zoo import OneCompartment
from nlmebayes.evaluation import imputation

CL, V, OMEGA, SIGMA = 5.0, 20.0, 0.3, 0.1
THETA = {"cl": {"Intercept": CL, "log(wt/70)": 0.75, "dial": -0.7}, "v": {"Intercept": V, "log(wt/70)": 1.0}}
FORMULAS = ("cl ~ 1 + log(wt/70) + dial + (1|id)", "v ~ 1 + log(wt/70)")
STATED = {"wt": {"median": 60.0, "cv_percent": 40.0}, "dial": {"share": {"0": 0.7, "1": 0.3}}}
SPREAD = np.sqrt(np.log1p(0.4**2))
SEEN = ([1.0, 6.0], [3.9, 1.9])


@pytest.fixture(scope="module")
def tree():
    return nb.population(
        OneCompartment(), *FORMULAS, theta=THETA, omega={"sd": {"cl": OMEGA}}, sigma={"b": SIGMA}, covariates=STATED
    )


def chart(**columns):
    frame = pd.DataFrame({"id": "a", "time": SEEN[0], "conc": SEEN[1]} | columns)
    doses = pd.DataFrame({"id": "a", "time": [0.0], "amt": 100.0})
    return nb.Dataset.from_frame(frame, outcome="conc", time="time", levels="id", doses=doses)


def posterior(dials=(0.0, 1.0), shares=(0.7, 0.3), centre=60.0, spread=SPREAD):
    """Evidence, and mean and SD of log cl, log wt and the indicator, on a grid."""
    z, u = np.linspace(-5, 5, 301), np.linspace(-5, 5, 301)
    z, u, d = np.meshgrid(z, u, dials, indexing="ij")
    wt = centre * np.exp(spread * u)
    log_cl, v = np.log(CL) + 0.75 * np.log(wt / 70) - 0.7 * d + OMEGA * z, V * wt / 70
    dense = stats.norm.pdf(z) * stats.norm.pdf(u) * np.asarray(shares) * (10 / 300) ** 2
    for t, y in zip(*SEEN, strict=True):
        f = 100 / v * np.exp(-np.exp(log_cl) / v * t)
        dense = dense * stats.norm.pdf(y, f, SIGMA * f)
    evidence = dense.sum()
    mean = [float((x * dense).sum() / evidence) for x in (log_cl, np.log(wt), d)]
    square = [float((x**2 * dense).sum() / evidence) for x in (log_cl, np.log(wt), d)]
    return evidence, mean, np.sqrt(np.subtract(square, np.square(mean)))


def found(forecast):
    draws = forecast["posterior"]
    return [np.log(draws["cl"][..., -1]), np.log(draws["covariate_wt"]), draws["covariate_dial"]]


def test_missing_covariates_are_weighed_by_the_samples(tree):
    forecast = nb.forecast(tree, chart(), missing="impute", draws=8000, random_seed=1)
    evidence, mean, sd = posterior()
    error = 0.03  # 1,000 values of the covariates are drawn
    for ours, m, s in zip(found(forecast), mean, sd, strict=True):
        assert float(ours.mean()) == pytest.approx(m, abs=4 * error * s)
        assert float(ours.std()) == pytest.approx(s, rel=2 * error + 0.05)
    report = json.loads(forecast.attrs["nlmebayes_forecast"])
    assert report["log_evidence"] == pytest.approx(np.log(evidence), abs=4 * error)


def test_the_mode_is_that_at_the_medians(tree):
    forecast = nb.forecast(tree, chart(), method="map", missing="impute")
    other = nb.forecast(tree, chart(wt=60.0, dial=0.0), method="map")
    assert float(forecast["posterior"]["covariate_wt"][0, 0]) == pytest.approx(60.0, rel=1e-12)
    assert float(forecast["posterior"]["cl"][0, 0, 0]) == pytest.approx(float(other["posterior"]["cl"][0, 0, 0]))


def test_a_known_covariate_stays_known(tree):
    forecast = nb.forecast(tree, chart(dial=1.0), missing="impute", draws=8000, random_seed=1)
    evidence, mean, sd = posterior((1.0,), (1.0,))
    draws = forecast["posterior"]
    assert float(np.log(draws["covariate_wt"]).mean()) == pytest.approx(mean[1], abs=0.12 * sd[1])
    assert "covariate_dial" not in draws
    report = json.loads(forecast.attrs["nlmebayes_forecast"])
    assert report["log_evidence"] == pytest.approx(np.log(evidence), abs=0.12)


def test_predictions_and_doses_follow_from_the_draws(tree, tmp_path):
    forecast = nb.forecast(tree, chart(), missing="impute", random_seed=1)
    draws = forecast["posterior"]
    cl, v = (draws[name].to_numpy()[0, :, -1] for name in ("cl", "v"))
    assert v == pytest.approx(V * draws["covariate_wt"].to_numpy()[0] / 70, rel=1e-9)
    later = nb.predict(forecast, chart().over(time=[3.0]), random_seed=1)["posterior"]["f_conc"].to_numpy()[0, :, 0]
    assert later == pytest.approx(100 / v * np.exp(-cl / v * 3.0), rel=1e-9)
    table = nb.recommend(forecast, nb.Regimen(50.0, start=8.0), nb.Trough(0.5, 2, time=12.0))
    trough = 100 / v * np.exp(-cl / v * 12) + 50 / v * np.exp(-cl / v * 4)
    assert table["median"].iloc[0] == pytest.approx(np.median(trough), rel=1e-6)


def test_the_next_visit_is_the_joint_forecast(tree):
    first = nb.forecast(tree, chart().sel(time=[1.0]), missing="impute", draws=8000, random_seed=1)
    later = chart().sel(time=[6.0])
    no_dose = nb.Dataset.from_frame(
        later.observations[["id", "time"]].assign(conc=later.observations["value"]), outcome="conc", time="time",
        levels="id",
    )  # fmt: skip
    both = nb.update(first, no_dose, draws=8000, random_seed=2)
    _, mean, sd = posterior()
    for ours, m, s in zip(found(both), mean, sd, strict=True):
        assert float(ours.mean()) == pytest.approx(m, abs=0.15 * s)


def test_the_covariates_of_a_fit_are_jointly_normal():
    rng = np.random.default_rng(1)
    age = np.exp(rng.normal(3.0, 0.3, 400))
    units = pd.DataFrame({"id": np.arange(400).astype(str), "wt": age**0.8 * np.exp(rng.normal(1.5, 0.1, 400)),
                          "age": age, "sex": np.where(rng.random(400) < 0.25, "m", "f")})  # fmt: skip
    law = imputation.of_subjects(units, "id", ["wt", "age", "sex"]).given({"age": 30.0}, ["wt", "sex"])
    drawn = law.drawn(4000, rng)
    assert np.log(drawn["wt"]).mean() == pytest.approx(1.5 + 0.8 * np.log(30.0), abs=0.02)
    assert np.log(drawn["wt"]).std() == pytest.approx(0.1, rel=0.1)
    assert (drawn["sex"] == "m").mean() == pytest.approx((units["sex"] == "m").mean(), abs=1e-3)
    assert law.middle()["sex"] == "f"


def test_a_fit_imputes_from_its_subjects():
    rng = np.random.default_rng(2)
    wt = 60 * np.exp(rng.normal(0, SPREAD, 300))
    frame = pd.DataFrame({"id": np.arange(300).astype(str), "time": 1.0, "conc": 1.0, "wt": wt, "dial": 0.0})
    frame.loc[:89, "dial"] = 1.0
    doses = pd.DataFrame({"id": frame["id"], "time": 0.0, "amt": 100.0})
    data = nb.Dataset.from_frame(frame, outcome="conc", time="time", levels="id", doses=doses)
    model = nb.Model(OneCompartment(), *FORMULAS, residual=nb.Proportional())
    values = {"theta_cl": [np.log(CL), 0.75, -0.7], "theta_v": [np.log(V), 1.0], "omega_id": [OMEGA],
              "sigma_conc_b": SIGMA}  # fmt: skip
    tree = nb.simulate(model, data, draws=4, values=values, random_seed=0)
    tree["posterior"] = tree["prior"].copy()
    forecast = nb.forecast(tree, chart(), missing="impute", draws=8000, random_seed=1)
    logs = np.log(wt)
    _, mean, sd = posterior(centre=np.exp(logs.mean()), spread=logs.std(ddof=1))
    for ours, m, s in zip(found(forecast), mean, sd, strict=True):
        assert float(ours.mean()) == pytest.approx(m, abs=0.15 * s)


REFUSED = {
    "no covariate is missing": ({"missing": "guess"}, "missing must be 'refuse' or 'impute'; got 'guess'"),
    "refuse": ({}, "no column 'dial' in the data"),
    "laplace": ({"missing": "impute", "method": "laplace"}, "takes no imputed covariates; use"),
    "nuts": ({"missing": "impute", "method": "nuts"}, "takes no imputed covariates; use"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused(tree, case):
    options, problem = REFUSED[case]
    with pytest.raises((nb.ModelError, nb.FormulaError), match=problem):
        nb.forecast(tree, chart(), **options)


def test_a_covariate_that_is_not_stated_or_has_a_slope_of_its_own_is_refused():
    same = {"theta": THETA, "omega": {"sd": {"cl": OMEGA}}, "sigma": {"b": SIGMA}}
    with pytest.raises(
        nb.ModelError, match=r"wt is missing, and its distribution is not known \(that of none is\): give"
    ):
        nb.forecast(nb.population(OneCompartment(), *FORMULAS, **same), chart(dial=0.0), missing="impute")
    with pytest.raises(nb.ModelError, match="covariates: wt is stated as 70; write"):
        nb.population(OneCompartment(), *FORMULAS, **same, covariates={"wt": 70})
    with pytest.raises(nb.ModelError, match="covariates: no formula reads 'age'; they read dial, wt"):
        nb.population(OneCompartment(), *FORMULAS, **same, covariates={"age": {"mean": 60, "sd": 10}})
    varying = chart(dial=[0.0, 1.0])
    formulas = ("cl ~ 1 + log(wt/70):dial + (1|id)", "v ~ 1")
    theta = {"cl": {"Intercept": CL, "log(wt/70):dial": 0.5}, "v": V}
    tree = nb.population(OneCompartment(), *formulas, **same | {"theta": theta}, covariates={"wt": STATED["wt"]})
    with pytest.raises(
        nb.ModelError, match="wt cannot be imputed: cl has no intercept, or an effect of it that changes"
    ):
        nb.forecast(tree, varying, missing="impute")
