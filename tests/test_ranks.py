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


def test_unknown_levels_and_effects_are_told(tree):
    with pytest.raises(ValueError, match="no level 'site' in this tree; there are Subject"):
        nb.pooling(tree, "site")
    with pytest.raises(ValueError, match="no effect 'k' in this tree; there are mu, mu:Days"):
        nb.pooling(tree, effect="k")


def test_the_picture_shows_every_group(tree):
    figure = nb.plot.shrinkage(tree, effect="mu:Days")
    alone, estimate = figure.axes[0].lines[1:3]
    assert len(alone.get_xdata()) == len(estimate.get_xdata()) == 18
    assert np.ptp(alone.get_xdata()) > 0
    plt.close(figure)
