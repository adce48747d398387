"""Simulate from each zoo class, fit, recover: truths drawn from the prior lie in the 90 % interval 90 % of the time.

Simulation-based calibration (Talts et al. 2018, arXiv:1804.06788): with the truth drawn from the prior the coverage is
exact, whatever the design. Run by name (``make test-recovery``): 24 replicates of each class, one compilation each.
"""

import numpy as np
import pandas as pd
import pytest
from recovery import CALIBRATED, CASES, REPLICATES, dataset, design, doses, p_values, ranks, refitted
from scipy import stats

import nlmebayes as nb
from model_zoo import OneCompartment


@pytest.mark.recovery
@pytest.mark.parametrize("case", CASES, ids=lambda c: c.__name__)
def test_truth_is_covered_at_the_expected_rate(case):
    inside = {}
    for truth, drawn in refitted(case, REPLICATES, seed=11, draws=500, tune=500):
        low, high = (drawn.quantile(q, dim=("chain", "draw")) for q in (0.05, 0.95))
        for name in truth:
            hit = (truth[name] >= low[name]) & (truth[name] <= high[name])
            for i, value in enumerate(np.atleast_1d(hit.to_numpy())):
                inside.setdefault((name, i), []).append(bool(value))
    least = stats.binom.ppf(0.001, REPLICATES, 0.9)
    covered = {key: sum(hits) for key, hits in inside.items()}
    print(case.__name__, covered)
    assert min(covered.values()) >= least, covered
    total = sum(covered.values()) / (REPLICATES * len(covered))
    assert 0.8 < total < 0.98, covered


@pytest.mark.recovery
@pytest.mark.parametrize("case", CALIBRATED, ids=lambda c: c.__name__)
def test_ranks_of_the_truth_are_uniform(case):
    """Simulation-based calibration, 200 replicates; ``python tests/recovery.py -n 16`` is the same on many cores."""
    p = p_values(ranks(case, 200))
    print(case.__name__, {key: round(x, 3) for key, x in p.items()})
    assert min(p.values()) > 0.01 / len(p), p


@pytest.mark.recovery
def test_no_chain_ends_where_absorption_and_elimination_are_exchanged():
    """60 subjects with 10 samples and no order constraint, from 20 seeds."""
    times = [0.25, 0.5, 1, 2, 3, 4, 6, 8, 12, 24]
    structure = OneCompartment(absorption="first-order", flip_flop=True)
    model = nb.Model(structure, residual=nb.Proportional())
    data = dataset(design(times, 60), doses=doses(amt=300.0).merge(pd.DataFrame({"id": range(60)}), how="cross"))
    truth = {
        "theta_cl": [np.log(3.0)], "theta_v": [np.log(30.0)], "theta_ka": [np.log(1.5)], "omega_id": [0.3, 0.2, 0.5],
        "sigma_y_b": 0.1,
    }  # fmt: skip
    drawn = nb.simulate(model, data, draws=1, values=truth, random_seed=1)["prior_predictive"]["y"]
    compiled = nb.sampler(model, data.with_values(y=drawn.to_numpy().ravel()))
    for seed in range(20):
        tree = compiled.sample(draws=300, tune=400, chains=2, random_seed=seed, progressbar=False)
        p = tree["posterior"]
        assert (p["ka"] > p["cl"] / p["v"]).mean() > 0.98, seed
        assert (nb.summary(tree)["rhat"] < 1.05).all(), seed
