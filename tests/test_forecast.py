"""Forecasts with an exact answer: a linear model with normal effects, the population given."""

import json

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import stats
from trees import stated

import nlmebayes as nb
from model_zoo import LinearMixed, OneCompartment, ReliabilityICC
from nlmebayes.dosing.prospect import Case, course
from nlmebayes.dosing.regimen import with_doses
from nlmebayes.formula.design import resolve

SIGMA, OMEGA_SITE, OMEGA = 0.7, 1.1, 1.6


def study(labels, sites, values):
    frame = pd.DataFrame({"site": sites, "id": labels, "y": values})
    return nb.Dataset.from_frame(frame, outcome="y", levels=("site", "id"))


def population(theta, model, data, etas=None):
    """A tree with the given population draws, as `fit` would leave it; ``etas`` of the sites may be set."""
    tree = nb.simulate(model, data, draws=len(theta), random_seed=0, values=None)
    prior = tree["prior"].to_dataset().copy(deep=True)
    prior["theta_mu"][:] = np.asarray(theta)[None, :, None]
    prior["omega_site"][:], prior["omega_id"][:], prior["sigma_y_a"][:] = OMEGA_SITE, OMEGA, SIGMA
    if etas is not None:
        prior["eta_site"][:] = np.asarray(etas)[None, None, :, None]
    tree["posterior"] = xr.DataTree(prior)
    return tree


@pytest.fixture(scope="module")
def trained():
    data = study(list("aabbccdd"), list("SSSSTTTT"), np.arange(8.0))
    return nb.Model(LinearMixed(), "mu ~ 1 + (1|site) + (1|id)"), data


def moments(forecast):
    values = forecast["posterior"]["mu"].to_numpy().ravel()
    return values.mean(), values.std()


@pytest.mark.parametrize("samples", [[4.2], [4.2, 6.1], [30.0, 31.0, 29.0]])
@pytest.mark.filterwarnings("ignore:forecast of id U/new. samples like these are rare")
def test_new_patient_at_a_new_site(trained, samples):
    """mu ~ Normal(theta, OMEGA^2 + OMEGA_SITE^2), y ~ Normal(mu, SIGMA): conjugate, evidence included."""
    model, data = trained
    tree = population(np.full(50, 3.0), model, data)
    patient = study(["new"] * len(samples), ["U"] * len(samples), samples)
    forecast = nb.forecast(tree, patient, draws=8000, random_seed=1)
    prior_variance = OMEGA**2 + OMEGA_SITE**2
    precision = 1 / prior_variance + len(samples) / SIGMA**2
    mean, sd = (3.0 / prior_variance + np.sum(samples) / SIGMA**2) / precision, precision**-0.5
    report = json.loads(forecast.attrs["nlmebayes_forecast"])
    error = sd / np.sqrt(min(report["effective_sample_size"], 8000))
    ours = moments(forecast)
    assert abs(ours[0] - mean) < 4 * error and abs(ours[1] / sd - 1) < 0.06
    covariance = prior_variance + SIGMA**2 * np.eye(len(samples))
    exact = stats.multivariate_normal.logpdf(samples, np.full(len(samples), 3.0), covariance)
    assert report["log_evidence"] == pytest.approx(exact, abs=0.05)


def test_new_patient_at_a_known_site_keeps_the_site(trained):
    model, data = trained
    tree = population(np.full(50, 3.0), model, data, etas=[2.0, -2.0])
    for site, effect in (("S", 2.0), ("T", -2.0)):
        forecast = nb.forecast(tree, study(["new"], [site], [3.0]), draws=8000, random_seed=2)
        precision = 1 / OMEGA**2 + 1 / SIGMA**2
        exact = ((3.0 + effect) / OMEGA**2 + 3.0 / SIGMA**2) / precision
        assert moments(forecast)[0] == pytest.approx(exact, abs=4 * precision**-0.5 / np.sqrt(4000))
        assert float(forecast["posterior"]["eta_site"].std()) == 0.0


def test_population_draws_that_explain_the_patient_count_for_more(trained):
    """Two population draws, theta 0 and 6: posterior odds are the ratio of their evidences."""
    model, data = trained
    tree = population(np.array([0.0, 6.0] * 25), model, data)
    forecast = nb.forecast(tree, study(["new"], ["U"], [5.0]), draws=20_000, random_seed=3)
    evidence = stats.norm.pdf(5.0, [0.0, 6.0], np.sqrt(OMEGA**2 + OMEGA_SITE**2 + SIGMA**2))
    exact = evidence[1] / evidence.sum()
    share = float((forecast["posterior"]["theta_mu"] > 3).mean())
    assert share == pytest.approx(exact, abs=4 * np.sqrt(exact * (1 - exact) / 5000))


def test_design_of_a_new_patient_keeps_the_training_state():
    """center(x) of one patient is not zero: it is x minus the training mean."""
    frame = pd.DataFrame({"id": [1, 2, 3], "x": [1.0, 2.0, 6.0], "y": [1.0, 2.0, 3.0]})
    data = nb.Dataset.from_frame(frame, outcome="y", levels="id")
    model = nb.Model(LinearMixed(), "mu ~ 1 + center(x) + (1|id)")
    values = {"theta_mu": [10.0, 2.0], "omega_id": [1e-9], "sigma_y_a": 100.0}
    tree = nb.simulate(model, data, draws=20, values=values, random_seed=0)
    tree["posterior"] = tree["prior"]
    patient = nb.Dataset.from_frame(frame.assign(id=9).iloc[[2]], outcome="y", levels="id")
    forecast = nb.forecast(tree, patient, draws=100, random_seed=1)
    assert moments(forecast)[0] == pytest.approx(10 + 2 * (6 - 3), abs=1e-6)
    again = nb.predict(forecast, patient)
    assert float(again["posterior"]["mu"].mean()) == pytest.approx(16, abs=1e-6)


def test_forecast_of_a_known_label_keeps_its_draws_in_predict(trained):
    model, data = trained
    tree = population(np.linspace(2, 4, 50), model, data)
    patient = study(["new", "new"], ["U", "U"], [4.0, 5.0])
    forecast = nb.forecast(tree, patient, draws=500, random_seed=5)
    again = nb.predict(forecast)
    np.testing.assert_array_equal(again["posterior"]["f_y"], forecast["posterior"]["f_y"])


def test_an_impossible_patient_is_reported():
    """A sample 60 SDs from the population: it is found, and the warning says that the population has none like it."""
    data = nb.datasets.theophylline()
    model = nb.Model(OneCompartment(absorption="first-order"), residual=nb.Additive())
    values = {"theta_cl": [1.0], "theta_v": [3.4], "theta_ka": [0.4], "omega_id": [0.01] * 3, "sigma_conc_a": 0.1}
    tree = nb.simulate(model, data.drop_sel(id="12"), draws=50, values=values, random_seed=0)
    tree["posterior"] = tree["prior"]
    patient = data.sel(id="12", time=[9.03]).with_values(conc=[60.0])
    with pytest.warns(UserWarning, match="forecast of id 12: samples like these are rare in this population"):
        forecast = nb.forecast(tree, patient, random_seed=1)
    assert json.loads(forecast.attrs["nlmebayes_forecast"])["z_scores"]["id: v"] < -5


def bolus(doses, samples, values):
    frame = pd.DataFrame({"id": "new", "time": samples, "conc": values})
    table = pd.DataFrame({"id": "new", "time": doses, "amt": 100.0})
    return nb.Dataset.from_frame(frame, outcome="conc", time="time", levels="id", doses=table, unmeasured="predict")


@pytest.fixture(scope="module")
def boluses():
    """A population of boluses, known to two per cent."""
    frame = pd.DataFrame({"id": [1, 1, 2, 2], "time": [1.0, 5.0] * 2, "conc": [9.0, 6.0, 9.5, 6.2]})
    doses = pd.DataFrame({"id": [1, 2], "time": 0.0, "amt": 100.0})
    data = nb.Dataset.from_frame(frame, outcome="conc", time="time", levels="id", doses=doses)
    model = nb.Model(OneCompartment())
    values = {"theta_cl": [0.0], "theta_v": [np.log(10.0)], "omega_id": [0.02, 0.02], "sigma_conc_a": 0.3}
    tree = nb.simulate(model, data, draws=400, values=values, random_seed=0)
    tree["posterior"] = tree["prior"]
    return model, tree


def test_a_trough_at_a_recorded_dose_is_before_it(boluses):
    _model, tree = boluses
    forecast = nb.forecast(tree, bolus([0.0, 12.0], [1.0], [9.0]), draws=500, random_seed=1)
    later = nb.Regimen(100.0, start=200.0)
    found = course(Case.of(forecast), later, np.array([12.0 - 1e-9, 12.0])).predicted([100.0])
    np.testing.assert_allclose(found[:, 1], found[:, 0], rtol=1e-8)
    with pytest.raises(nb.ModelError, match="is about times up to 12, before the regimen 100 starts at 200"):
        nb.recommend(forecast, later, nb.Trough(0, 9, time=12.0))
    with pytest.raises(nb.ModelError, match="the patient's last recorded dose, at 12, stays"):
        nb.recommend(forecast, nb.Regimen(100.0, start=0.0), nb.Trough(0, 9, time=30.0))


def test_the_tree_of_a_forecast_has_its_groups_in_order_and_is_no_others(boluses):
    """Coordinates are made once for many trees; what is written on one tree is on no other."""
    model, tree = boluses
    ready, patient = nb.forecaster(tree, model=model), bolus([0.0], [1.0, 5.0], [9.0, 6.0])
    first, second = (ready.forecast(patient, method="map", draws=30, random_seed=1) for _ in range(2))
    assert list(first.children) == [
        "posterior", "posterior_predictive", "constant_data", "log_likelihood", "observed_data", "prior", "dataset",
        "training",
    ]  # fmt: skip
    assert first["posterior"].sizes["draw"] == 1 and first["prior"].sizes["draw"] == 30
    assert list(first["posterior"].to_dataset().coords) == [
        "chain", "draw", "unit", "cl_term", "v_term", "id", "id_effect", "conc_obs",
    ]  # fmt: skip
    for name in ("chain", "cl_term", "unit", "conc_obs"):
        first["posterior"].coords[name].attrs["written"] = True
        first["posterior"][name].attrs["written"] = True
    first["posterior"] = xr.DataTree(first["posterior"].to_dataset().assign_coords(unit=["another"], chain=[7]))
    assert second.identical(ready.forecast(patient, method="map", draws=30, random_seed=1))
    assert all(not x.attrs for group in second.children.values() for x in group.to_dataset().coords.values())


def test_without_a_sample_the_forecast_is_the_population(boluses):
    model, tree = boluses
    patient = bolus([0.0], [1.0, 5.0], [np.nan, np.nan])
    forecast = nb.forecast(tree, patient, draws=4000, random_seed=1)
    assert float(np.log(forecast["posterior"]["cl"]).std()) == pytest.approx(0.02, rel=0.06)
    assert json.loads(forecast.attrs["nlmebayes_forecast"])["log_evidence"] == pytest.approx(0.0, abs=1e-9)
    assert nb.recommend(forecast, nb.Regimen(100.0, start=24.0), nb.Trough(0, 9, time=48.0))["p_in"].iloc[0] == 1.0
    with pytest.raises(nb.ModelError, match="row 1 has no measurement"):
        nb.fit(model, patient)


def test_the_error_of_a_probability_follows_the_effective_sample_size(boluses):
    _model, tree = boluses
    forecast = nb.forecast(tree, bolus([0.0], [1.0], [9.0]), draws=1000, random_seed=1)
    report = json.loads(forecast.attrs["nlmebayes_forecast"]) | {"effective_sample_size": 100.0}
    regimen = nb.Regimen(100.0, start=24.0)
    median = nb.recommend(forecast, regimen, nb.Trough(0, 9, time=36.0))["median"].iloc[0]
    target = nb.Trough(0, median, time=36.0)
    before = nb.recommend(forecast, regimen, target)["mcse"].iloc[0]
    forecast.attrs["nlmebayes_forecast"] = json.dumps(report)
    assert nb.recommend(forecast, regimen, target)["mcse"].iloc[0] == pytest.approx(before * np.sqrt(10), rel=0.05)


def test_what_is_no_forecast_is_refused(boluses):
    _model, tree = boluses
    with pytest.raises(nb.ModelError, match="recommend needs the tree of one patient"):
        nb.recommend(tree, nb.Regimen(100.0, start=24.0), nb.Trough(0, 9, time=48.0))
    patient = bolus([0.0], [1.0], [9.0])
    other = nb.Dataset.from_frame(
        patient.observations[["id", "time", "value"]].rename(columns={"value": "dv"}), outcome="dv", time="time",
        levels="id", doses=pd.DataFrame({"id": ["new"], "time": [0.0], "amt": [100.0]}),
    )  # fmt: skip
    with pytest.raises(nb.ModelError, match="the outcome 'dv' is not one that was fitted: conc"):
        nb.forecast(tree, other)


def test_planned_doses_belong_to_the_last_occasion():
    """A patient with two occasions: what comes next does not bring the first one back."""
    frame = pd.DataFrame({
        "ID": 1, "OCC": [1, 1, 2, 2], "TIME": [0.0, 5.0, 24.0, 30.0], "AMT": [100.0, 0, 100.0, 0], "EVID": [1, 0, 1, 0],
        "DV": [np.nan, 1.0, np.nan, 1.0],
    })  # fmt: skip
    patient = nb.Dataset.from_nonmem(frame, levels=("id", "occ"))
    regimen = nb.Regimen(50.0, start=48.0, every=12.0, doses=2, duration=1.0)
    planned = with_doses(patient.over(time=[80.0]), regimen)
    records = resolve(nb.Model(OneCompartment(), "cl ~ 1 + occ", "v ~ 1"), planned).records
    assert records.loc[records["time"] == 5.0, "occ"].tolist() == ["1/1"]
    records = records[records["what"] != "other"]
    assert records["occ"].tolist() == ["1/1", "1/2", "1/2", "1/2", "1/2"]
    assert records["rate"].tolist()[-3:-1] == [50.0, 50.0]


def test_an_outcome_that_the_patient_has_not_can_be_predicted():
    """Of two features only one was measured; the scatter of the other is that of the population."""
    model, columns = nb.Model(ReliabilityICC(("a", "b"))), {"levels": "id", "inputs": ("scan",)}
    frame = pd.DataFrame({"id": np.repeat(np.arange(5), 2), "scan": [0.0, 1.0] * 5, "a": range(10), "b": range(10)})
    values = {"theta_mu_a": [0.0], "theta_mu_b": [0.0], "omega_id": [1e-9] * 2, "sigma_a_a": 1.0, "sigma_b_a": 3.0}
    tree = stated(model, nb.Dataset.from_frame(frame, outcome=("a", "b"), **columns), draws=4000, **values)
    one = nb.Dataset.from_frame(frame[:2].assign(id="new"), outcome="a", **columns)
    forecast = nb.forecast(tree, one, random_seed=1)
    other = pd.DataFrame({"id": ["new"], "scan": [2.0], "b": [np.nan]})
    other = nb.Dataset.from_frame(other, outcome="b", unmeasured="predict", **columns)
    drawn = nb.predict(forecast, other, random_seed=1)["posterior_predictive"]["b"]
    assert float(drawn.std()) == pytest.approx(3.0, rel=0.05)


# --- a patient who has had no dose yet ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def undosed():
    """Before the first dose: a record of interest, no sample, AMT 0."""
    table = pd.DataFrame({"ID": "new", "TIME": [0.0], "AMT": [0.0], "DV": [np.nan]})
    return nb.Dataset.from_nonmem(table, outcome="conc", unmeasured="predict")


@pytest.mark.parametrize("history", ["follow", "none"])
def test_the_first_dose_of_a_patient_can_be_chosen(boluses, undosed, history):
    """Of 100 mg in 10 L at 1 L/h, 10 exp(-0.6) mg/L are left after 6 h: the median of a population known to 2 %."""
    forecast = nb.forecast(boluses[1], undosed, random_seed=1)
    assert json.loads(forecast.attrs["nlmebayes_forecast"])["method"] == "auto"
    table = nb.recommend(forecast, nb.Regimen(100.0, start=0.0), nb.Trough(1, 20, time=6.0), history=history)
    assert table["median"].iloc[0] == pytest.approx(10 * np.exp(-0.6), rel=0.01)
    np.testing.assert_array_equal(nb.predict(forecast)["posterior"]["f_conc"], 0.0)


def test_the_best_first_dose_is_found(boluses, undosed):
    forecast = nb.forecast(boluses[1], undosed, random_seed=1)
    target = nb.Trough(8.0, time=6.0)
    best = nb.optimise(forecast, nb.Regimen(1.0, start=0.0), target, optimum="at least", probability=0.5)
    assert best["amount"].iloc[0] == pytest.approx(80 * np.exp(0.6), rel=0.01)


def test_a_sample_of_a_patient_without_a_dose_is_refused(boluses):
    table = pd.DataFrame({"ID": "new", "TIME": [4.0], "DV": [5.0]})
    patient = nb.Dataset.from_nonmem(table, outcome="conc")
    with pytest.raises(nb.ModelError, match=r"conc 5 was measured at 4, and no dose is recorded; .* give the doses"):
        nb.forecast(boluses[1], patient)


def test_data_without_doses_are_no_data_to_predict_or_fit(boluses, undosed):
    for verb in (
        lambda: nb.predict(boluses[1], undosed),
        lambda: nb.build(boluses[0], undosed.with_values(conc=[1])),
    ):
        with pytest.raises(nb.ModelError, match="needs doses, and the data have none: give doses=, or AMT"):
            verb()


def test_a_negative_sample_beyond_the_residual_is_refused(boluses):
    """The residual has an SD of 0.3: -0.4 can be at the end of the curve, -4 nowhere."""
    with pytest.raises(nb.ModelError, match=r"row 1: conc -4 is negative, further below .* or give the limit .* lloq="):
        nb.forecast(boluses[1], bolus([0.0], [1.0], [-4.0]))
    nb.forecast(boluses[1], bolus([0.0], [40.0], [-0.4]), draws=100, random_seed=1)
