"""Ranks with uncertainty, and groups alone beside groups in the model."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import stats
from trees import stated

import nlmebayes as nb
from model_zoo import LinearMixed


def of_groups(mean, sd, draws=4000, seed=1):
    values = np.random.default_rng(seed).normal(mean, sd, size=(2, draws, len(mean)))
    return xr.DataArray(values, dims=("chain", "draw", "site"), coords={"site": list("abcde")[: len(mean)]}, name="eta")


def test_ranks_are_those_of_scipy_draw_by_draw():
    draws = of_groups([0.0, 0.5, 0.2, -1.0, 0.4], 0.7, draws=300)
    each = stats.rankdata(-draws.to_numpy().reshape(-1, 5), axis=1)
    table = nb.ranking(draws).loc[list("abcde")]
    assert table["rank"].to_numpy() == pytest.approx(each.mean(axis=0))
    assert table["p_first"].to_numpy() == pytest.approx((each == 1).mean(axis=0))


def test_of_two_normal_groups_the_probabilities_are_known():
    """P(a > b) = Phi(difference / SD of it)."""
    table = nb.ranking(of_groups([1.0, 0.0], [0.6, 0.8]))
    expected = stats.norm.cdf(1.0)
    assert table.loc["a", ["p_first", "p_above"]].tolist() == pytest.approx([expected] * 2, abs=0.015)
    assert table.loc["b", "rank"] == pytest.approx(1 + expected, abs=0.015)


def test_the_probability_of_exceeding_a_value_is_that_of_the_draws():
    table = nb.ranking(of_groups([1.0, 0.0], [0.6, 0.8]), above=0.5)
    assert table.loc["b", "p_above"] == pytest.approx(stats.norm.sf(0.5 / 0.8), abs=0.015)


def test_the_smallest_may_be_the_first():
    draws = of_groups([3.0, 2.0, 1.0], 0.01, draws=50)
    assert nb.ranking(draws, largest_first=False).index.tolist() == ["c", "b", "a"]
    assert nb.ranking(draws).index.tolist() == ["a", "b", "c"]


def test_draws_of_several_effects_are_refused():
    with pytest.raises(ValueError, match="one dimension of groups; these have chain, draw, site, effect"):
        nb.ranking(of_groups([0.0, 1.0], 1.0).expand_dims(effect=["mu"], axis=3))


MODEL = nb.Model(LinearMixed(), "mu ~ 1 + Days + (1 + Days|Subject)")
POPULATION = {"theta_mu": [250.0, 10.0], "omega_Subject": [25.0, 6.0], "corr_Subject": np.eye(2)}


@pytest.fixture(scope="module")
def tree():
    return stated(MODEL, nb.datasets.sleepstudy(), draws=50, sigma_Reaction_a=25.0, **POPULATION)


@pytest.mark.parametrize("effect", ["mu", "mu:Days"])
def test_a_group_alone_has_its_own_line(tree, effect):
    table, frame = nb.pooling(tree, effect=effect), nb.datasets.table("sleepstudy")
    place = {"mu:Days": (0, 10.0), "mu": (1, 250.0)}[effect]
    for subject, own in frame.groupby("Subject"):
        fitted = np.polyfit(own["Days"], own["Reaction"], 1)[place[0]]
        assert table.loc[str(subject), "alone"] == pytest.approx(fitted - place[1], abs=1e-6)
    assert (table["records"] == 10).all()
    eta = tree["posterior"]["eta_Subject"].sel(Subject_effect=effect).mean(("chain", "draw"))
    assert table["mean"].to_numpy() == pytest.approx(eta.to_numpy())


def test_the_alone_estimate_of_an_outer_group_is_the_mean_of_its_records():
    model = nb.Model(LinearMixed(), "mu ~ 1 + (1|batch/cask)")
    values = {"theta_mu": [60.0], "omega_batch": [1.3], "omega_cask": [2.9], "sigma_strength_a": 0.8}
    table = nb.pooling(stated(model, nb.datasets.pastes(), draws=20, **values), "batch")
    means = nb.datasets.table("pastes").groupby("batch")["strength"].mean()
    assert table["alone"].to_numpy() == pytest.approx(means.to_numpy() - 60.0, abs=1e-6)


def test_a_group_with_too_few_records_has_no_estimate_alone():
    frame = nb.datasets.table("sleepstudy")
    frame = pd.concat([frame[frame["Subject"] != 308], frame[frame["Subject"] == 308].iloc[:1]])
    data = nb.Dataset.from_frame(frame, outcome="Reaction", time="Days", levels="Subject")
    table = nb.pooling(stated(MODEL, data, draws=5, sigma_Reaction_a=25.0, **POPULATION))
    assert table["alone"].isna().sum() == 1 and np.isnan(table.loc["308", "alone"])
    assert table["mean"].notna().all()


def test_what_a_balanced_group_says_is_that_of_the_textbook():
    """One-way layout, n records each: SE sigma / sqrt(n), shrinkage sigma^2 / (sigma^2 + n tau^2)."""
    data, tau, sigma = nb.datasets.dyestuff(), 40.0, 50.0
    model = nb.Model(LinearMixed(), "mu ~ 1 + (1|Batch)")
    table = nb.pooling(stated(model, data, draws=20, theta_mu=[1527.5], omega_Batch=[tau], sigma_Yield_a=sigma))
    means = data.observations.groupby("Batch")["value"].mean() - 1527.5
    assert table["alone_se"].to_numpy() == pytest.approx(sigma / np.sqrt(5), rel=1e-6)
    assert table["shrinkage_pct"].to_numpy() == pytest.approx(100 * sigma**2 / (sigma**2 + 5 * tau**2), rel=1e-6)
    expected = 2 * stats.norm.cdf(-np.abs(means[table.index]) / np.sqrt(tau**2 + sigma**2 / 5))
    assert table["p_conflict"].to_numpy() == pytest.approx(expected, rel=1e-6)
    assert (table["omega"] == tau).all() and {"mean", "sd", "median", "eti_lb", "eti_ub"} <= set(table)


def test_what_a_balanced_group_says_has_the_scatter_of_the_groups_inside_it():
    """Batches of 3 casks with 2 records: SE² tau_cask²/3 + sigma²/6, shrinkage SE² / (SE² + tau_batch²)."""
    model = nb.Model(LinearMixed(), "mu ~ 1 + (1|batch/cask)")
    values = {"theta_mu": [60.0], "omega_batch": [1.3], "omega_cask": [2.9], "sigma_strength_a": 0.8}
    table = nb.pooling(stated(model, nb.datasets.pastes(), draws=20, **values), "batch")
    square = 2.9**2 / 3 + 0.8**2 / 6
    assert table["alone_se"].to_numpy() == pytest.approx(np.sqrt(square), rel=1e-6)
    assert table["shrinkage_pct"].to_numpy() == pytest.approx(100 * square / (square + 1.3**2), rel=1e-6)
    expected = 2 * stats.norm.cdf(-np.abs(table["alone"]) / np.sqrt(square + 1.3**2))
    assert table["p_conflict"].to_numpy() == pytest.approx(expected, rel=1e-6)


def test_who_is_not_of_the_population_is_marked():
    frame = nb.datasets.table("dyestuff")
    frame.loc[frame["Batch"] == "A", "Yield"] += 400.0
    data = nb.Dataset.from_frame(frame, outcome="Yield", levels="Batch", duplicates="keep")
    model = nb.Model(LinearMixed(), "mu ~ 1 + (1|Batch)")
    tree = stated(model, data, draws=20, theta_mu=[1527.5], omega_Batch=[40.0], sigma_Yield_a=50.0)
    assert (nb.pooling(tree)["p_conflict"] < 0.05 / 6).tolist() == [True] + [False] * 5
    assert "contradicts the population" in nb.plot.shrinkage(tree).axes[0].get_legend_handles_labels()[1]


def test_unknown_levels_and_effects_are_told(tree):
    with pytest.raises(ValueError, match="no level 'site' in this tree; there are Subject"):
        nb.pooling(tree, "site")
    with pytest.raises(ValueError, match="no effect 'k' in this tree; there are mu, mu:Days"):
        nb.pooling(tree, effect="k")


def test_the_picture_shows_every_group(tree):
    figure = nb.plot.shrinkage(tree, effect="mu:Days")
    alone, estimate = [line for line in figure.axes[0].lines if line.get_linestyle() == "None"]
    assert len(alone.get_xdata()) == len(estimate.get_xdata()) == 18
    assert np.ptp(alone.get_xdata()) > 0
    plt.close(figure)
