"""`RandomSlopes`: sleepstudy by lme4, statsmodels and Bambi; slopes of new groups; what a moderator explains."""

import numpy as np
import pandas as pd
import pytest
from mixed import agrees, alike, restricted
from scipy import stats
from trees import stated

import nlmebayes as nb
from model_zoo import RandomSlopes

SLEEP = RandomSlopes(group="Subject", condition="Days")


@pytest.fixture(scope="module")
def tree():
    model = nb.Model(SLEEP, *SLEEP.formulas)
    return nb.fit(model, nb.datasets.sleepstudy(), draws=500, chains=2, random_seed=1, progressbar=False)


def test_sleepstudy_agrees_with_lme4(tree):
    """lme4 1.1-31, REML: Reaction ~ Days + (Days | Subject)."""
    printed = {"mu": 251.405, "mu: Days": 10.467, "omega_Subject mu": 24.741, "omega_Subject mu:Days": 5.922}
    agrees(tree, printed | {"corr_Subject mu, mu:Days": 0.066, "sigma_Reaction_a": 25.592})


def test_sleepstudy_agrees_with_statsmodels(tree):
    fitted = restricted("Reaction ~ Days", "sleepstudy", groups="Subject", re_formula="1 + Days")
    sd = np.sqrt(np.diag(fitted.cov_re))
    found = {"mu: Days": fitted.fe_params["Days"], "omega_Subject mu": sd[0], "omega_Subject mu:Days": sd[1]}
    agrees(tree, found | {"sigma_Reaction_a": np.sqrt(fitted.scale)})


def test_sleepstudy_agrees_with_bambi():
    """Intercepts and slopes are independent there."""
    model = nb.Model(SLEEP, "mu ~ 1 + Days + (1 + Days||Subject)")
    tree = nb.fit(model, nb.datasets.sleepstudy(), draws=1000, chains=2, random_seed=1, progressbar=False)
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
    return stated(model, data, **(TRUTH | {"theta_mu": [TRUTH["theta_mu"][t] for t in terms]}), **options)


def test_the_slope_of_a_new_donor_depends_on_the_moderator():
    found = MODERATED.slope(truth(MODERATED, donors()), moderator=-1.0)
    assert found["average"].item() == pytest.approx(0.5)
    assert found["positive"].item() == pytest.approx(stats.norm.cdf(0.5 / 0.8))


def test_the_share_of_positive_slopes_is_that_of_simulated_donors():
    structure = RandomSlopes()
    tree = truth(structure, donors(), draws=500)
    slopes = 2.0 + tree["posterior"]["eta_donor"].sel(donor_effect="mu:condition")
    assert structure.slope(tree)["positive"].mean().item() == pytest.approx((slopes > 0).mean().item(), abs=0.01)


def test_what_a_moderator_explains_is_found_again():
    """Slopes have the variance 0.8^2 + 1.5^2 var(age) without it."""
    data = donors()
    drawn = truth(MODERATED, data, seed=3)["prior_predictive"]["y"].to_numpy().ravel()
    data, trees = data.with_values(y=drawn), {}
    for structure in (MODERATED, RandomSlopes()):
        model = nb.Model(structure, *structure.formulas)
        trees[structure] = nb.fit(model, data, draws=300, chains=2, random_seed=1, progressbar=False)
    terms = trees[MODERATED]["posterior"]["theta_mu"].sel(mu_term="condition:age")
    assert abs(terms.mean() - 1.5) < 2.5 * terms.std()
    share = MODERATED.explained(trees[MODERATED], trees[RandomSlopes()])
    of_age = data.units["age"].var(ddof=0)
    assert share.mean().item() == pytest.approx(1 - 0.64 / (0.64 + 2.25 * of_age), abs=2.5 * share.std().item())
