"""Approximations of known laws, and of a model beside its samples; chains that were interrupted or go on."""

import json
import re

import numpy as np
import pytest
import xarray as xr
from scipy import stats

import nlmebayes as nb
from model_zoo import LinearMixed
from nlmebayes.errors import ModelError
from nlmebayes.inference import approximation, trace

RNG = np.random.default_rng(4)
SIZE = 8
MEAN = RNG.normal(size=SIZE)
ROOT = np.tril(0.3 * RNG.normal(size=(SIZE, SIZE)), -1) + np.diag(np.geomspace(0.3, 3.0, SIZE))
COVARIANCE = ROOT @ ROOT.T


def normal(x):
    pull = np.linalg.solve(COVARIANCE, x - MEAN)
    return -0.5 * (x - MEAN) @ pull, -pull


@pytest.mark.parametrize("method", ["laplace", "pathfinder"])
def test_a_normal_law_is_found(method):
    starts = [MEAN + 5 * RNG.normal(size=SIZE) for _ in range(2)]
    found = approximation.found(normal, starts, method, 60_000, np.random.default_rng(1))
    assert found.khat < 0.7
    assert found.log_density == pytest.approx(0.0, abs=1e-6)
    sd = np.sqrt(np.diag(COVARIANCE))
    np.testing.assert_allclose((found.draws.mean(axis=0) - MEAN) / sd, 0, atol=0.06)
    np.testing.assert_allclose(np.cov(found.draws.T) / np.outer(sd, sd), COVARIANCE / np.outer(sd, sd), atol=0.06)


def test_the_mode_is_found():
    found = approximation.found(normal, [MEAN + 3.0], "map", 1000, np.random.default_rng(1))
    np.testing.assert_allclose(found.draws, MEAN[None], atol=1e-4)
    assert np.isnan(found.khat)


def test_the_curved_law_is_that_of_its_matrix():
    """Covariance D + B G B' of the compact form: the last step is reproduced, the log-density is SciPy's."""
    place, alpha = RNG.normal(size=SIZE), np.ones(SIZE)
    precision, pairs = np.linalg.inv(COVARIANCE), []
    for _ in range(4):
        s = RNG.normal(size=SIZE)
        alpha = approximation._diagonal(alpha, s, precision @ s)
        pairs.append((s, precision @ s))
    law = approximation._LowRankNormal(place, np.zeros(SIZE), alpha, pairs)
    low = law.q @ (law.vectors * (law.values - 1)) @ law.vectors.T @ law.q.T
    matrix = law.root[:, None] * (np.eye(SIZE) + low) * law.root
    np.testing.assert_allclose(matrix @ pairs[-1][1], pairs[-1][0], rtol=1e-8)
    x, log_q = law.drawn(np.random.default_rng(2), 50)
    expected = stats.multivariate_normal(place, matrix).logpdf(x) + 0.5 * SIZE * np.log(2 * np.pi)
    np.testing.assert_allclose(log_q, expected, rtol=1e-8)


def test_a_law_that_is_not_normal_is_said_to_be_far():
    def heavy(x):
        return -1.5 * np.log1p(x @ x), -3 * x / (1 + x @ x)

    found = approximation.found(heavy, [np.full(SIZE, 0.1)], "laplace", 4000, np.random.default_rng(1))
    assert found.khat > 0.7


def test_what_cannot_be_approximated_is_refused(monkeypatch):
    rng = np.random.default_rng(0)
    with pytest.raises(ModelError, match="no method 'advi'; there are nuts, map, laplace, pathfinder"):
        approximation.found(normal, [MEAN], "advi", 10, rng)
    with pytest.raises(ModelError, match="no finite density where the search"):
        approximation.found(lambda x: (-np.inf, x), [MEAN], "map", 10, rng)
    monkeypatch.setattr(approximation, "MOST", 3)
    with pytest.raises(ModelError, match="up to 3 coordinates, not 8"):
        approximation.found(normal, [MEAN], "laplace", 10, rng)


# --- of a model ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ready():
    model = nb.Model(LinearMixed(), "mu ~ 1 + (1|Batch)")
    return model, nb.sampler(model, nb.datasets.dyestuff())


@pytest.fixture(scope="module")
def sampled(ready):
    return ready[1].sample(draws=500, tune=300, chains=2, random_seed=1, progressbar=False)


@pytest.mark.parametrize("method", approximation.METHODS)
def test_of_a_model_it_is_near_its_samples(ready, sampled, method):
    _model, sampler = ready
    tree = sampler.approximate(method, draws=800, random_seed=1)
    ours, theirs = (nb.summary(t).set_index("quantity") for t in (tree, sampled))
    assert list(ours.index) == list(theirs.index)
    assert (abs(ours["mean"] - theirs["mean"]) < 0.6 * theirs["sd"]).all()
    assert json.loads(tree.attrs["nlmebayes_fit"])["method"] == method
    if method == "map":
        assert tree["posterior"].sizes["draw"] == 1
        with pytest.raises(ModelError, match="a posterior mode"):
            nb.check(tree)
    else:
        assert nb.check(tree).findings[0].startswith(f"an approximation by {method}, k-hat")


@pytest.mark.parametrize("unit", [1e-3, 1e3])
def test_laplace_does_not_depend_on_the_unit(ready, unit):
    model, sampler = ready
    data = nb.datasets.dyestuff()
    values = data.observations["value"].to_numpy()
    here, there = (
        s.approximate("laplace", draws=800, random_seed=1)["posterior"]["theta_mu"]
        for s in (sampler, nb.sampler(model, data.with_values(Yield=unit * values)))
    )
    assert float(there.std()) == pytest.approx(unit * float(here.std()), rel=0.15)
    assert float(there.mean()) == pytest.approx(unit * float(here.mean()), rel=0.01)


def test_a_fit_goes_on_where_it_ended(ready, sampled, tmp_path):
    _, sampler = ready
    longer = sampler.sample(draws=300, tune=100, chains=2, random_seed=2, progressbar=False, resume=sampled)
    for group in ("posterior", "sample_stats", "posterior_predictive", "log_likelihood"):
        assert longer[group].sizes["draw"] == 800
    first = longer["posterior"].to_dataset().isel(draw=slice(500))
    xr.testing.assert_allclose(first, sampled["posterior"].to_dataset())
    assert longer["transport"].equals(sampled["transport"])  # in which the positions mean the same
    assert not longer["sample_stats"]["position"].equals(sampled["sample_stats"]["position"])
    assert json.loads(longer.attrs["nlmebayes_fit"])["draws"] == 800
    assert (nb.summary(longer)["rhat"] < 1.05).all()
    longer.to_netcdf(tmp_path / "longer.nc")


def test_each_chain_goes_on_from_its_own_end(ready):
    """Whichever asks first: where the end of one chain is moved, the draws of that chain alone are others."""
    _, sampler = ready
    settings = {"draws": 8, "tune": 8, "chains": 6, "cores": 6, "progressbar": False}
    short = sampler.sample(**settings, random_seed=3)

    def gone_on(tree):
        return sampler.sample(**settings, random_seed=2, resume=tree)["posterior"]["theta_mu"].to_numpy()[:, 8:, 0]

    first = gone_on(short)
    for chain in (None, 0, 3, 5):
        moved = short.copy(deep=True)
        if chain is not None:
            moved["sample_stats"]["position"][chain] += 0.1
        other = (gone_on(moved) != first).any(axis=1)
        assert np.flatnonzero(other).tolist() == ([] if chain is None else [chain])


def test_what_was_cut_short_goes_on(ready, monkeypatch):
    """Of a continuation whose second chain lags far behind, the first chain alone is kept, with what it had before."""
    _, sampler = ready
    settings = {"draws": 20, "tune": 20, "chains": 2, "progressbar": False}
    first = sampler.sample(**settings, random_seed=1)
    whole = trace.whole

    def late(drawn, stats, draws):
        stats["logp"] = stats["logp"].where((stats["chain"] == 0) | (stats["draw"] < 3))
        return whole(drawn, stats, draws)

    monkeypatch.setattr(trace, "whole", late)
    with pytest.warns(UserWarning, match="20 draws of each of 1 chains"):
        longer = sampler.sample(**settings, random_seed=2, resume=first)
    assert dict(longer["posterior"].sizes)["chain"] == 1
    assert longer["posterior"].sizes["draw"] == longer["sample_stats"].sizes["draw"] == 40
    before = first["posterior"]["theta_mu"].to_numpy()[:1]
    np.testing.assert_array_equal(longer["posterior"]["theta_mu"].to_numpy()[:, :20], before)


def test_whole_numbers_of_any_type_are_taken_and_others_refused_at_once(ready):
    model, sampler = ready
    data = nb.datasets.dyestuff()
    tree = sampler.sample(
        draws=np.int64(5), tune=np.int32(5), chains=np.int64(1), random_seed=np.int64(3), progressbar=False
    )
    assert json.loads(tree.attrs["nlmebayes_fit"])["random_seed"] == 3
    for wrong, said in (
        (
            {"random_seed": np.random.default_rng(1)},
            "a whole number from 0 on or None; got a Generator",
        ),
        ({"random_seed": -1}, "random_seed must be a whole number from 0 on or None; got -1"),
        ({"draws": 10.5}, "draws must be a whole number from 1 to 10,000,000; got 10.5"),
        ({"chains": 0}, "chains must be a whole number from 1 to 10,000,000; got 0"),
        ({"cores": 0}, "cores must be a whole number from 1 to 10,000,000 or None; got 0"),
        ({"target_accept": 1.5}, "target_accept must be a number between 0 and 1, both excluded or None; got 1.5"),
        ({"save_warmup": True}, "save_warmup= is set by fit"),
        ({"method": "map", "backend": "jax"}, "method='map' takes backend=\"numba\""),
    ):
        with pytest.raises(ModelError, match=re.escape(said)):
            nb.fit(model, data, **wrong)


def test_only_the_same_fit_goes_on(ready, sampled):
    model, sampler = ready
    other = nb.datasets.dyestuff().with_values(Yield=np.arange(30.0))
    said = "fitted to other data: observations, column value, record 1: 0.0 here, 1545.0 there"
    with pytest.raises(ModelError, match=said):
        nb.fit(model, other, resume=sampled)
    with pytest.raises(ModelError, match=said):
        sampler.with_values(Yield=np.arange(30.0)).sample(draws=10, tune=10, chains=2, resume=sampled)
    with pytest.raises(ModelError, match=r"row 3 has no measurement"):
        sampler.with_values(Yield=np.where(np.arange(30) == 2, np.nan, 1500.0))
    with pytest.raises(nb.DataError, match=r"Yield, row 3: is infinite"):
        sampler.with_values(Yield=np.where(np.arange(30) == 2, np.inf, 1500.0))
    with pytest.raises(ModelError, match="the tree has 2 chains"):
        sampler.sample(draws=10, tune=10, chains=4, progressbar=False, resume=sampled)
    mode = sampler.approximate("map", random_seed=1)
    with pytest.raises(ModelError, match="resume takes the tree of a sampled fit"):
        sampler.sample(draws=10, tune=10, chains=2, progressbar=False, resume=mode)
    with pytest.raises(ModelError, match=r"method must be 'nuts', .* or 'reml'; got 'advi'"):
        nb.fit(model, nb.datasets.dyestuff(), method="advi")


def test_interrupted_chains_are_cut_to_what_all_have():
    done = [90, 80, 20, 0]
    logp = np.where(np.arange(100) < np.array(done)[:, None], 1.0, np.nan)
    stats_ = xr.Dataset({"logp": (("chain", "draw"), logp)})
    drawn = xr.Dataset({"theta": (("chain", "draw"), logp)})
    with pytest.warns(UserWarning, match="80 draws of each of 2 chains are kept, of 100 of 4"):
        cut, stats_cut, kept = trace.whole(drawn, stats_, 100)
    assert kept.tolist() == [0, 1]
    assert dict(cut.sizes) == dict(stats_cut.sizes) == {"chain": 2, "draw": 80}
    assert np.isfinite(cut["theta"]).all()
    with pytest.raises(KeyboardInterrupt, match="before the first draw"):
        trace.whole(drawn, stats_ * np.nan, 100)
