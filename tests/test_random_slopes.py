"""`RandomSlopes`: sleepstudy by lme4, statsmodels and Bambi; slopes of new groups; what a moderator explains."""

import numpy as np
import pandas as pd
import pytest
from mixed import agrees, alike, restricted
from scipy import stats
from trees import stated

import nlmebayes as nb
from model_zoo import RandomSlopes


@pytest.fixture(scope="module")
def tree():
    """Intercepts and slopes are independent, as in Bambi."""
    model = nb.Model(RandomSlopes(group="Subject", condition="Days"), "mu ~ 1 + Days + (1 + Days||Subject)")
    return nb.fit(model, nb.datasets.sleepstudy(), draws=700, tune=400, chains=2, random_seed=1, progressbar=False)


def test_sleepstudy_agrees_with_lme4(tree):
    """lme4 1.1-31, REML: Reaction ~ Days + (Days || Subject)."""
    printed = {"mu": 251.405, "mu: Days": 10.467, "omega_Subject mu": 25.0513, "omega_Subject mu:Days": 5.9882}
    agrees(tree, printed | {"sigma_Reaction_a": 25.5653})


def test_sleepstudy_agrees_with_statsmodels(tree):
    fitted = restricted("Reaction ~ Days", "sleepstudy", groups="Subject", re_formula="1 + Days")
    sd = np.sqrt(np.diag(fitted.cov_re))
    found = {"mu: Days": fitted.fe_params["Days"], "omega_Subject mu": sd[0], "omega_Subject mu:Days": sd[1]}
    agrees(tree, found | {"sigma_Reaction_a": np.sqrt(fitted.scale)})


def test_sleepstudy_agrees_with_bambi(tree):
    names = {"theta_mu Intercept": "Intercept", "theta_mu Days": "Days", "omega_Subject mu": "1|Subject_sigma"}
    alike(tree, "sleepstudy", names | {"omega_Subject mu:Days": "Days|Subject_sigma", "sigma_Reaction_a": "sigma"})


MODERATED = RandomSlopes(moderator="age")
TRUTH = {
    "theta_mu": {"Intercept": 10.0, "condition": 2.0, "age": 0.5, "condition:age": 1.5}, "omega_donor": [1.0, 0.8],
    "corr_donor": [[1.0, 0.3], [0.3, 1.0]], "sigma_y_a": 0.7,
}  # fmt: skip


def donors(count=40, each=6, seed=1):
    age = np.random.default_rng(seed).normal(size=count).round(2)
    frame = pd.DataFrame({"donor": np.repeat(np.arange(count), each), "condition": np.tile([0, 1], count * each // 2)})
    frame = frame.assign(age=age[frame["donor"]], y=np.arange(len(frame), dtype=float))
    return nb.Dataset.from_frame(frame, outcome="y", levels="donor", duplicates="keep")


def truth(structure, data, **options):
    """A tree at the truth; terms are those of the structure's formula."""
    model = nb.Model(structure, *structure.formulas)
    terms = nb.priors(model, data).query("variable == 'theta_mu'")["coordinate"]
    return stated(model, data, **(TRUTH | {"theta_mu": [TRUTH["theta_mu"][t] for t in terms]} | options))


def test_the_slope_of_a_new_donor_depends_on_the_moderator():
    found = MODERATED.slope(truth(MODERATED, donors()), moderator=-1.0)
    assert found["average"].item() == pytest.approx(0.5)
    assert found["positive"].item() == pytest.approx(stats.norm.cdf(0.5 / 0.8))


def test_the_share_of_positive_slopes_is_that_of_simulated_donors():
    structure = RandomSlopes()
    tree = truth(structure, donors(), draws=500)
    slopes = 2.0 + tree["posterior"]["eta_donor"].sel(donor_effect="mu:condition")
    assert structure.slope(tree)["positive"].mean().item() == pytest.approx((slopes > 0).mean().item(), abs=0.01)


def test_what_a_moderator_explains_is_its_share_of_the_variance_of_slopes():
    """Against the slopes of many donors drawn from the population."""
    age = donors().units["age"]
    tree = truth(MODERATED, donors(), draws=2000)
    eta = tree["posterior"]["eta_donor"].sel(donor_effect="mu:condition")
    of_age = 1.5 * age.to_numpy()
    share = of_age.var() / (of_age + eta).var("donor").mean().item()
    assert MODERATED.explained(tree, age).mean().item() == pytest.approx(share, abs=0.01)


def test_a_cross_level_interaction_is_found_again():
    data, model = donors(), nb.Model(MODERATED, *MODERATED.formulas)
    drawn = truth(MODERATED, data, seed=3)["prior_predictive"]["y"].to_numpy().ravel()
    tree = nb.fit(model, data.with_values(y=drawn), draws=300, tune=400, chains=2, random_seed=1, progressbar=False)
    known = {f"mu: {term}": value for term, value in TRUTH["theta_mu"].items() if term != "Intercept"}
    agrees(tree, known | {"omega_donor mu:condition": 0.8, "sigma_y_a": 0.7}, within=2.5)
