"""`MultiCentre`: a simulated trial, its effect at a new site, and the variance of a future patient."""

import numpy as np
import pandas as pd
import pytest
from mixed import agrees, restricted
from trees import stated

import nlmebayes as nb
from model_zoo import MultiCentre

TRIAL = MultiCentre()
MODEL = nb.Model(TRIAL, *TRIAL.formulas)
TRUTH = {
    "theta_mu": [10.0, 2.0], "omega_site": [1.5, 0.8], "corr_site": [[1.0, -0.2], [-0.2, 1.0]], "sigma_y_a": 3.0,
}  # fmt: skip


def trial(sites=12, seed=1):
    """Sites of 6 to 30 patients in two arms."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"site": np.repeat(np.arange(sites), rng.integers(3, 16, sites) * 2)})
    frame["treatment"] = np.where(np.arange(len(frame)) % 2, "new", "control")
    data = nb.Dataset.from_frame(frame.assign(y=0.0), outcome="y", levels="site", duplicates="keep")
    return data.with_values(y=stated(MODEL, data, seed=seed, **TRUTH)["prior_predictive"]["y"].to_numpy().ravel())


@pytest.fixture(scope="module")
def tree():
    return nb.fit(MODEL, trial(), draws=400, tune=400, chains=2, random_seed=1, progressbar=False)


def test_the_truth_is_found_again(tree):
    truth = {"mu": 10.0, "mu: treatment[new]": 2.0, "omega_site mu": 1.5, "sigma_y_a": 3.0}
    agrees(tree, truth | {"omega_site mu:treatment[new]": 0.8}, within=2.5)


def test_the_trial_agrees_with_statsmodels(tree):
    frame = trial().observations.rename(columns={"value": "y"}).assign(new=lambda x: 1.0 * (x["treatment"] == "new"))
    fitted = restricted("y ~ new", frame, groups="site", re_formula="1 + new")
    found = {"mu: treatment[new]": fitted.fe_params["new"], "sigma_y_a": np.sqrt(fitted.scale)}
    agrees(tree, found | {"omega_site mu": np.sqrt(fitted.cov_re.iloc[0, 0])})


def test_the_effect_at_a_new_site_is_less_certain_than_the_average(tree):
    found = TRIAL.effect(tree)
    average = (found["average"] > 0).mean().item()
    assert 0.5 < found["positive"].mean().item() < average
    assert found["by_site"].sizes["site"] == 12


def test_the_probability_at_a_new_site_is_that_of_simulated_sites():
    tree = stated(MODEL, trial(), draws=1000, **TRUTH)
    found = TRIAL.effect(tree)
    assert found["positive"].mean().item() == pytest.approx((found["by_site"] > 0).mean().item(), abs=0.01)


def test_a_future_patient_at_a_new_site_has_the_variance_of_site_and_patient():
    """In the new arm 1.5^2 + 0.8^2 - 2 * 0.2 * 1.5 * 0.8 among sites, by hand."""
    patient = pd.DataFrame({"site": ["new"], "treatment": ["new"], "y": [np.nan]})
    patient = nb.Dataset.from_frame(patient, outcome="y", levels="site", unmeasured="predict")
    table = nb.new_unit(stated(MODEL, trial(), draws=5, **TRUTH), patient)
    assert table.loc["site", "variance"] == pytest.approx(2.25 + 0.64 - 0.48, rel=1e-9)
    assert table.loc[["estimates", "residual"], "variance"].tolist() == pytest.approx([0.0, 9.0], abs=1e-9)


def test_formulas_follow_the_columns():
    assert MultiCentre(treatment="").formulas == ("mu ~ 1 + (1|site)",)
    wanted = ("mu ~ 1 + arm + (1 + arm|centre) + (1|id)",)
    assert MultiCentre(site="centre", subject="id", treatment="arm").formulas == wanted


def test_an_effect_needs_two_arms():
    structure = MultiCentre(treatment="dose")
    with pytest.raises(ValueError, match="effect is about a treatment of two arms; the terms are none"):
        structure.effect(stated(MODEL, trial(), **TRUTH))
