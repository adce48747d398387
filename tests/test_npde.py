"""Prediction discrepancies and distribution errors: npde's and tidyvpc's numbers, closed forms, uniform where true."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy import linalg, stats

import nlmebayes as nb
from nlmebayes.criticism.decorrelation import by_cholesky, by_symmetric_root
from nlmebayes.criticism.npde import randomised

RHO = np.array([[1.0, 0.8, 0.3], [0.8, 2.0, 0.5], [0.3, 0.5, 0.7]])


def normal(n, seed=1):
    return np.random.default_rng(seed).multivariate_normal([1.0, 2.0, 3.0], RHO, size=n)


@pytest.mark.external
def test_theophylline_has_the_numbers_of_npde(reference):
    told = json.loads((reference / "criticism/npde_vpc.json").read_text())
    data = pd.read_csv(reference / "criticism/npde_theopp.tab", sep=r"\s+")
    simulated = pd.read_csv(reference / "criticism/npde_simtheopp.tab.gz", sep=r"\s+")["ysim"].to_numpy()
    kept = data["Conc"].notna().to_numpy()
    simulated = simulated.reshape(100, -1)[:, kept]
    found = nb.npde(data["Conc"][kept].to_numpy(), simulated, by=data["ID"][kept].tolist())
    for name in ("npde", "npd"):
        assert found[name][:10].round(5).tolist() == told["first_subject"][name]
        own = told["result"][name]
        assert [found[name].mean(), found[name].var()] == pytest.approx([own["mean"], own["variance"]], rel=1e-12)


@pytest.mark.external
def test_a_study_has_the_numbers_of_tidyvpc(reference):
    folder = reference / "criticism"
    data, told = pd.read_csv(folder / "vpc_obs.csv.gz"), pd.read_csv(folder / "vpc_npdeobs.csv")
    seen = (data["MDV"] == 0).to_numpy()
    simulated = pd.read_csv(folder / "vpc_sim.csv.gz")["DV"].to_numpy().reshape(100, -1)[:, seen]
    found = nb.npde(data["DV"][seen].to_numpy(), simulated, by=data["ID"][seen].tolist())
    for name in ("epred", "eres", "ewres", "npd", "npde"):
        assert found[name].to_numpy() == pytest.approx(told[name].to_numpy(), abs=1e-12)


def test_roots_are_those_of_scipy():
    y, m = np.array([0.3, 2.5, 2.0]), np.array([1.0, 2.0, 3.0])
    assert by_cholesky(y, m, RHO) == pytest.approx(linalg.inv(linalg.cholesky(RHO, lower=True)) @ (y - m))
    assert by_symmetric_root(y, m, RHO) == pytest.approx(linalg.inv(linalg.sqrtm(RHO)) @ (y - m))


def test_a_share_is_that_of_the_replicates_below():
    found = nb.npde([2.5, 0.0, 9.0], np.tile([[1.0], [2.0], [3.0], [4.0]], 3), by=[1, 2, 3])
    assert found["pd"].tolist() == [0.5, 0.125, 0.875]  # none and all: 1/(2K) and 1 - 1/(2K)
    assert found["npd"].to_numpy() == pytest.approx(stats.norm.ppf(found["pd"]))
    assert found["ewres"].to_numpy() == pytest.approx((np.array([2.5, 0, 9]) - 2.5) / np.sqrt(5 / 3))


def test_without_ties_each_share_is_spread_over_its_step():
    simulated = np.tile(np.arange(4.0)[:, None], (1, 400))
    found = nb.npde(np.full(400, 9.0), simulated, by=list(range(400)), ties=False)["pd"]
    assert stats.kstest(found, stats.uniform(0.75, 0.25).cdf).pvalue > 0.001
    found = nb.npde(np.full(400, 1.5), simulated, by=list(range(400)), ties=False)["pd"]
    assert stats.kstest(found, stats.uniform(0.5, 0.25).cdf).pvalue > 0.001


def test_the_order_of_subjects_changes_nothing():
    simulated, y = np.hstack([normal(200, 1), normal(200, 2)]), np.r_[normal(1, 3)[0], normal(1, 4)[0]]
    order = np.array([0, 3, 1, 4, 2, 5])
    one = nb.npde(y, simulated, by=list("aaabbb"))
    other = nb.npde(y[order], simulated[:, order], by=list("ababab"))
    assert one["npde"][order].to_numpy() == pytest.approx(other["npde"].to_numpy())


@pytest.mark.parametrize("share", [0.2, 0.5])
def test_below_quantification_errors_stay_standard_normal_and_independent(share):
    """Six hundred subjects with correlated records: imputed alone, observations would decorrelate wrongly."""
    lloq = stats.norm.ppf(share, [1.0, 2.0, 3.0], np.sqrt(np.diag(RHO)))
    simulated = np.hstack([normal(600, seed) for seed in range(600)])
    y, by = normal(600, 1000).ravel(), np.repeat(np.arange(600), 3).tolist()
    found = nb.npde(y, simulated, by=by, lloq=np.tile(lloq, 600))
    every = found["npde"].to_numpy().reshape(-1, 3)
    assert stats.kstest(found["npd"], "norm").pvalue > 0.001 and stats.kstest(found["npde"], "norm").pvalue > 0.001
    assert np.corrcoef(every.T) - np.eye(3) == pytest.approx(0.0, abs=0.13)
    low = (found["ycomp"] < np.tile(lloq, 600)).to_numpy()
    assert (low == (y < np.tile(lloq, 600))).all() and low.mean() == pytest.approx(share, abs=0.04)


def test_above_quantification_mirrors_below():
    simulated, y = normal(500, 5), normal(1, 6)[0]
    limit = y + np.array([0.0, 0.1, 0.0])
    low, high = nb.npde(y, simulated, lloq=limit), nb.npde(-y, -simulated, uloq=-limit)
    assert low["pd"][0] == pytest.approx(1 - high["pd"][0], abs=1e-12)
    below = (simulated[:, 1] < limit[1]).mean()
    assert 0 < low["pd"][1] < below and 0 < 1 - high["pd"][1] < below
    assert low["ycomp"][1] < limit[1] and high["ycomp"][1] > -limit[1]


def test_a_record_at_its_limit_is_censored_where_the_flag_says_so():
    simulated = normal(500)
    lloq = np.array([1.0, 2.0, 3.0])
    measured, flagged = (nb.npde(lloq, simulated, lloq=lloq, censored=flags) for flags in ([0, 0, 0], [1, 1, 1]))
    below = (simulated < lloq).mean(axis=0)
    assert measured["pd"].to_numpy() == pytest.approx(below)
    assert (flagged["pd"].to_numpy() < below).all() and (flagged["ycomp"] < lloq).all()


def test_randomised_shares_of_counts_are_uniform():
    rng = np.random.default_rng(2)
    found = randomised(rng.poisson(2.0, 2000).astype(float), rng.poisson(2.0, (1000, 2000)).astype(float), rng)
    assert stats.kstest(found, "uniform").pvalue > 0.001


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"simulated": np.ones((3, 2))}, r"simulated must be \(replicate, record\) of 3 records"),
        ({"simulated": normal(3)}, "x has 3 records and there are 3 replicates; .* more replicates"),
        ({"simulated": normal(50) * [1, 0, 1]}, "npde: x: the records cannot be decorrelated, for some"),
        ({"simulated": normal(50)[:, [0, 0, 1]]}, "records that stand twice"),
        ({"by": ["x"]}, "by must have one value for each of 3 records"),
        ({"lloq": [1.0, 2.0]}, "lloq must have one value for each"),
        ({"censored": [0, 0, 2]}, r"must be 1 \(below lloq\)"),
        ({"censored": [0, 0, 1]}, "need their limit, which all records have; give lloq="),
        ({"observed": [1.0, np.nan, 2.0]}, "observed must be a finite number"),
    ],
)  # fmt: skip
def test_what_cannot_be_right_is_refused_by_name(given, message):
    with pytest.raises(nb.ModelError, match=message):
        nb.npde(**{"observed": np.arange(3.0), "simulated": normal(50), "by": ["x"] * 3} | given)
