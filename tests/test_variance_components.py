"""`VarianceComponents`: lme4 and statsmodels on dyestuff, and what a smaller variance between sites buys."""

import numpy as np
import pytest
from mixed import agrees, alike, restricted
from trees import stated

import nlmebayes as nb
from model_zoo import VarianceComponents

MODEL = nb.Model(VarianceComponents())
VALUES = {"theta_mu": [1527.5], "omega_Batch": [42.0], "sigma_Yield_a": 49.5}


@pytest.fixture(scope="module")
def tree():
    return nb.fit(MODEL, nb.datasets.dyestuff(), draws=500, tune=400, chains=2, random_seed=1, progressbar=False)


def test_dyestuff_agrees_with_lme4(tree):
    """lme4 1.1-31, REML: Yield ~ 1 + (1 | Batch)."""
    agrees(tree, {"mu": 1527.5, "omega_Batch mu": 42.00059531, "sigma_Yield_a": 49.51009997})
    table = nb.intervals(nb.partition(tree)["icc"])
    assert abs(table.loc["Batch", "mean"] - 0.4184874) < table.loc["Batch", "sd"]


def test_dyestuff_agrees_with_statsmodels(tree):
    fitted = restricted("Yield ~ 1", "dyestuff", groups="Batch")
    sd = float(np.sqrt(fitted.cov_re.iloc[0, 0]))
    agrees(tree, {"mu": fitted.fe_params["Intercept"], "omega_Batch mu": sd, "sigma_Yield_a": np.sqrt(fitted.scale)})


def test_dyestuff_agrees_with_bambi(tree):
    alike(tree, "dyestuff", {"theta_mu": "Intercept", "omega_Batch": "1|Batch_sigma", "sigma_Yield_a": "sigma"})


def test_the_effect_of_each_batch_is_shrunk_as_the_variances_say(tree):
    """Best linear unbiased prediction: given the population, omega^2 / (omega^2 + sigma^2 / 5) of the deviation of the
    batch mean is left, on average over the draws."""
    p, means = tree["posterior"], nb.datasets.table("dyestuff").groupby("Batch")["Yield"].mean()
    omega, mu = p["omega_Batch"].squeeze(drop=True), p["theta_mu"].squeeze(drop=True)
    kept = omega**2 / (omega**2 + p["sigma_Yield_a"] ** 2 / 5)
    table = nb.pooling(tree)
    assert table["alone"].to_numpy() == pytest.approx(means.to_numpy() - mu.mean().item(), abs=1e-6)
    expected = [float((kept * (mean - mu)).mean()) for mean in means]
    assert table["mean"].to_numpy() == pytest.approx(expected, abs=5.0)


def test_halving_the_variance_between_sites_buys_precision():
    """SE^2 = (b + w / n) / s, by hand."""
    found = VarianceComponents().gain(stated(MODEL, nb.datasets.dyestuff(), **VALUES), sites=8, each=10)
    between, within = 42.0**2, 49.5**2
    now, then = (between + within / 10) / 8, (between / 2 + within / 10) / 8
    assert found["se"].item() == pytest.approx(np.sqrt(now), rel=1e-9)
    assert found["se_then"].item() == pytest.approx(np.sqrt(then), rel=1e-9)
    assert (then * 8 / found["sites_then"]).item() == pytest.approx(now, rel=1e-9)
    assert found["icc_then"].item() == pytest.approx(between / 2 / (between / 2 + within), rel=1e-9)


def test_the_precision_is_that_of_the_mean_of_simulated_studies():
    tree = stated(MODEL, nb.datasets.dyestuff(), draws=4000, **VALUES)
    means = nb.predict(tree, redraw=True, random_seed=1)["posterior_predictive"]["Yield"].mean("Yield_obs")
    found = VarianceComponents().gain(tree, sites=6, each=5)
    assert found["se"].mean().item() == pytest.approx(means.std().item(), rel=0.05)


def test_a_tree_of_two_levels_is_refused():
    values = {"theta_mu": [60.0], "omega_batch": [1.3], "omega_cask": [2.9], "sigma_strength_a": 0.8}
    with pytest.raises(ValueError, match="one level, and the tree has batch, cask; NestedMixed takes more"):
        VarianceComponents().gain(stated(MODEL, nb.datasets.pastes(), **values), sites=8, each=10)
