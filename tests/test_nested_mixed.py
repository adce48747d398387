"""`NestedMixed`: Pastes by lme4, statsmodels and Bambi; the best allocation by brute force."""

import numpy as np
import pytest
from mixed import agrees, alike, restricted
from scipy import optimize
from trees import stated

import nlmebayes as nb
from model_zoo import NestedMixed

MODEL = nb.Model(NestedMixed())
SD = np.array([1.2873658811, 2.9040774665, 0.8234075234])
VALUES = {"theta_mu": [60.0], "omega_batch": SD[:1], "omega_cask": SD[1:2], "sigma_strength_a": SD[2]}


@pytest.fixture(scope="module")
def tree():
    settings = {"draws": 600, "tune": 400, "chains": 2, "target_accept": 0.95, "random_seed": 1, "progressbar": False}
    return nb.fit(MODEL, nb.datasets.pastes(), **settings)


def test_pastes_agrees_with_lme4(tree):
    """lme4 1.1-31, REML: strength ~ 1 + (1 | batch/cask)."""
    agrees(tree, {"mu": 60.0533, "omega_batch mu": SD[0], "omega_cask mu": SD[1], "sigma_strength_a": SD[2]})


def test_pastes_agrees_with_statsmodels(tree):
    nest = {"cask": "0 + C(cask)"}
    fitted = restricted("strength ~ 1", "pastes", groups="batch", re_formula="1", vc_formula=nest)
    found = {"omega_batch mu": fitted.cov_re.iloc[0, 0], "omega_cask mu": fitted.vcomp[0]}
    agrees(tree, {k: np.sqrt(v) for k, v in (found | {"sigma_strength_a": fitted.scale}).items()})


def test_pastes_agrees_with_bambi(tree):
    names = {"omega_batch": "1|batch_sigma", "omega_cask": "1|batch:cask_sigma", "sigma_strength_a": "sigma"}
    alike(tree, "pastes", names | {"theta_mu": "Intercept"})


def test_sixty_tests_of_paste_are_worth_no_more_than_a_few_batches():
    """Design effect by hand: ten batches of three casks of two tests."""
    found = nb.partition(stated(MODEL, nb.datasets.pastes(), **VALUES))
    of_mean = (SD**2 / [10, 30, 60]).sum()
    assert found["design_effect"].item() == pytest.approx(of_mean * 60 / (SD**2).sum(), rel=1e-9)
    assert found["effective_size"].item() == pytest.approx((SD**2).sum() / of_mean, rel=1e-9)


COSTS = (50.0, 10.0, 2.0)


def test_the_best_allocation_is_that_of_a_search():
    """The least variance of the mean for a budget, over the numbers of casks and tests."""

    def variance(log_members):
        casks, tests = np.exp(log_members)
        batches = 1000 / (COSTS[0] + casks * (COSTS[1] + tests * COSTS[2]))
        return (SD**2 / [batches, batches * casks, batches * casks * tests]).sum()

    expected = np.exp(optimize.minimize(variance, np.zeros(2), method="Nelder-Mead", options={"xatol": 1e-6}).x)
    found = NestedMixed().allocation(stated(MODEL, nb.datasets.pastes(), **VALUES), *COSTS)
    assert found["level"].to_numpy().tolist() == ["batch", "cask"]
    assert found.to_numpy().ravel() == pytest.approx(expected, rel=1e-3)


def test_the_unit_of_money_does_not_matter():
    tree = stated(MODEL, nb.datasets.pastes(), draws=3, **VALUES)
    one, other = (NestedMixed().allocation(tree, *(k * c for c in COSTS)) for k in (1, 100))
    assert other.to_numpy() == pytest.approx(one.to_numpy(), rel=1e-12)


def test_a_cost_for_each_level_is_asked_for():
    with pytest.raises(ValueError, match="a cost for each of batch, cask, residual; got 1"):
        NestedMixed().allocation(stated(MODEL, nb.datasets.pastes(), **VALUES), 10.0)
