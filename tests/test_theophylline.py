"""The whole path on theophylline: fit, check, save, reload elsewhere, forecast the patient left out, choose a dose."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import nlmebayes as nb
from model_zoo import OneCompartment

# Maximum likelihood, additive residual, random effects on ka, CL, V, diagonal: nlme 3.1-162 on the 132 records
# (dose per kg, so without V and CL), and saemix on the 120 records after time 0. SDs are of the log scale.
SAEMIX = {"ka": 1.57488, "v": 31.59074, "cl": 2.75276}
SAEMIX_OMEGA = {"ka": 0.62713, "v": 0.13685, "cl": 0.26424}
SAEMIX_SIGMA = 0.73908
# Adaptive Gauss-Hermite maximum likelihood on the same 120 records.
GAUSS_HERMITE = {"ka": 1.5790, "v": 31.6255, "cl": 2.7477}
# nlmixr (SAEM) on the 132 records, log scale.
NLMIXR = {"ka": 0.451, "cl": 1.02, "v": 3.45}


def oral():
    return nb.Model(OneCompartment(absorption="first-order"), residual=nb.Additive())


@pytest.fixture(scope="module")
def data():
    return nb.datasets.theophylline()


@pytest.fixture(scope="module")
def tree(data):
    return nb.fit(oral(), data, random_seed=1, progressbar=False)


@pytest.fixture(scope="module")
def without_12(data):
    return nb.fit(oral(), data.drop_sel(id="12"), random_seed=2, progressbar=False)


@pytest.fixture(scope="module")
def patient(data):
    return data.sel(id="12", time=[1.0, 9.03])


@pytest.fixture(scope="module")
def forecast(without_12, patient):
    return nb.forecast(without_12, patient, draws=4000, random_seed=3)


def test_chains_converge(tree):
    table = nb.check(tree).population
    assert (table["rhat"] < 1.01).all() and (table["ess_bulk"] > 400).all()


def test_typical_values_agree_with_other_software_within_the_posterior_spread(tree):
    table = nb.summary(tree).set_index("quantity")
    for name, log_value in NLMIXR.items():
        others = (np.exp(log_value), SAEMIX[name], GAUSS_HERMITE[name])
        for other in others:
            assert abs(table.loc[name, "mean"] - other) < table.loc[name, "sd"], name
    for name, value in SAEMIX_OMEGA.items():
        assert abs(table.loc[f"omega_id {name}", "mean"] - value) < table.loc[f"omega_id {name}", "sd"], name
    assert abs(table.loc["sigma_conc_a", "mean"] - SAEMIX_SIGMA) < table.loc["sigma_conc_a", "sd"]


def test_predicting_the_training_data_reproduces_f(tree):
    again = nb.predict(tree, random_seed=5)
    np.testing.assert_array_equal(again["posterior"]["f_conc"], tree["posterior"]["f_conc"])
    np.testing.assert_array_equal(again["posterior"]["cl"], tree["posterior"]["cl"])


def test_row_order_does_not_matter(tree, data):
    shuffled = replace(data, observations=data.observations.sample(frac=1, random_state=1))
    again = nb.predict(tree, shuffled, random_seed=5)["posterior"]["f_conc"]
    np.testing.assert_allclose(again.sortby("conc_obs"), tree["posterior"]["f_conc"], rtol=1e-13)


def test_save_reload_predict_is_bit_equal_in_another_process(tree, tmp_path):
    here = nb.predict(tree, random_seed=7)["posterior_predictive"]["conc"].to_numpy()
    tree.to_netcdf(tmp_path / "tree.nc")
    script = (
        "import sys, numpy as np, xarray as xr, nlmebayes as nb\n"
        "from model_zoo import OneCompartment\n"
        "model = nb.Model(OneCompartment(absorption='first-order'), residual=nb.Additive())\n"
        "tree = xr.open_datatree(sys.argv[1])\n"
        "np.save(sys.argv[2], nb.predict(tree, random_seed=7)['posterior_predictive']['conc'].to_numpy())\n"
    )
    subprocess.run([sys.executable, "-c", script, tmp_path / "tree.nc", tmp_path / "there.npy"], check=True)
    np.testing.assert_array_equal(np.load(tmp_path / "there.npy"), here)


def test_the_tree_carries_its_own_model(tree, tmp_path):
    tree.to_netcdf(tmp_path / "tree.nc")
    again = xr.open_datatree(tmp_path / "tree.nc").load()
    pd.testing.assert_frame_equal(nb.summary(again), nb.summary(tree))


def test_another_model_is_refused(tree):
    other = nb.Model(OneCompartment(absorption="first-order"), residual=nb.Combined())
    with pytest.raises(nb.ModelError, match="made with another model"):
        nb.predict(tree, model=other)


def test_forecast_equals_the_fit_of_all_data_together(data, forecast, patient):
    """Eleven patients' posterior as prior and two samples, against one fit of the eleven and the two samples."""
    others = data.drop_sel(id="12")
    together = replace(
        others,
        observations=pd.concat([others.observations, patient.observations], ignore_index=True),
        doses=pd.concat([others.doses, patient.doses], ignore_index=True),
    )
    joint = nb.fit(oral(), together, draws=2000, random_seed=4, progressbar=False)["posterior"].sel(unit="12")
    size = json.loads(forecast.attrs["nlmebayes_forecast"])["effective_sample_size"]
    for name in ("cl", "v", "ka"):
        ours, exact = np.log(forecast["posterior"][name]), np.log(joint[name])
        spread = float(exact.std())
        # Monte Carlo error of both means, with a tenth of the draws of the joint fit counted as independent.
        error = spread * np.sqrt(1 / min(size, 4000) + 10 / exact.size)
        assert abs(float(ours.mean()) - float(exact.mean())) < 4 * error, name
        assert abs(float(ours.std()) / spread - 1) < 0.1, name


def test_other_samples_of_the_patient_fall_in_the_bands(data, forecast, patient):
    held_out = data.sel(id="12")
    predicted = nb.predict(forecast, held_out, random_seed=1)["posterior_predictive"]["conc"]
    low, high = predicted.quantile([0.025, 0.975], dim=("chain", "draw")).to_numpy()
    others = ~held_out.observations["row"].isin(patient.observations["row"]).to_numpy()
    seen = held_out.observations["value"].to_numpy()
    inside = ((seen >= low) & (seen <= high))[others]
    assert len(inside) == 9 and inside.sum() >= 8
    population = nb.predict(forecast, held_out, redraw=True, random_seed=1)["posterior_predictive"]["conc"]
    assert float(predicted.std(("chain", "draw")).mean()) < 0.8 * float(population.std(("chain", "draw")).mean())


def test_forecast_without_news_is_the_population(without_12, data, patient):
    """A sample at time 0, where every patient's prediction is 0, moves nothing."""
    first = data.sel(id="12", time=0.0)
    forecast = nb.forecast(without_12, first, draws=4000, random_seed=1)
    for name in ("cl", "v", "ka"):
        after, before = np.log(forecast["posterior"][name]), np.log(forecast["prior"][name])
        assert abs(float(after.mean() - before.mean())) < 5 * float(before.std()) * np.sqrt(2 / 4000)


def test_known_and_several_patients_are_refused(tree, without_12, data):
    with pytest.raises(nb.ModelError, match="id 12 was in the training data"):
        nb.forecast(tree, data.sel(id="12"))
    with pytest.raises(nb.ModelError, match="takes one patient; the data have 12"):
        nb.forecast(without_12, data)


def test_recommend_counts_draws_of_the_exact_exposure(forecast):
    """Trough and AUC of the closed form, draw by draw: AUC over a long time is dose / CL."""
    regimens = [nb.Regimen(mg, start=2000.0) for mg in (100, 300)]
    target = nb.AUC(60, 140, start=2000, end=4000)
    table = nb.recommend(forecast, regimens, target)
    clearance = forecast["posterior"]["cl"].to_numpy().ravel()
    for _, row in table.iterrows():
        exact = row["amount"] / clearance
        assert row["median"] == pytest.approx(np.median(exact), rel=1e-6)
        assert row["p_in"] == pytest.approx(np.mean((exact >= 60) & (exact <= 140)), abs=1e-12)
    assert list(table["p_all"]) == sorted(table["p_all"], reverse=True)


def test_trough_is_before_the_dose_at_its_time(forecast):
    target = nb.Trough(0, 100, time=48.0)
    once = nb.recommend(forecast, nb.Regimen(300, start=24), target)
    again = nb.recommend(forecast, nb.Regimen(300, start=24, every=24, doses=2), target)
    assert once["median"].iloc[0] == pytest.approx(again["median"].iloc[0], rel=1e-12)


def test_reports_speak(tree):
    report = nb.check(tree)
    assert "smallest values of replicated data lie below" in str(report)  # concentrations are not negative
    assert {"cl", "v", "ka"} == set(report.shrinkage["effect"])
    assert report.shrinkage["shrinkage_pct"].between(-10, 60).all()
    assert nb.plot.fits(tree).axes and nb.plot.vpc(tree).axes
