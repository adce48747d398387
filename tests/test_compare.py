"""`compare`: groups left out beside exact answers, criteria beside printed ones, and what is refused."""

import numpy as np
import pytest
from quadrature import DYESTUFF, OneWay
from trees import stated

import nlmebayes as nb
from model_zoo import LinearMixed

DRAWS = 4000


@pytest.fixture(scope="module")
def batches():
    """A tree with draws from the exact posterior of Dyestuff."""
    frame = nb.datasets.table("dyestuff")
    exact = OneWay(np.stack([rows.to_numpy() for _, rows in frame.groupby("Batch")["Yield"]]))
    mu, tau, sigma = exact.draws(DRAWS, seed=3)
    return replaced(nb.datasets.dyestuff(), mu=mu, tau=tau, sigma=sigma), exact


def replaced(data, mu, tau, sigma):
    (level,), (name,) = data.levels, data.outcomes
    wide = nb.Prior("HalfNormal", sigma=100.0)
    priors = {"theta_mu": nb.Prior("Normal", mu=1500.0, sigma=200.0), f"omega_{level}": wide, f"sigma_{name}_a": wide}
    tree = stated(nb.Model(LinearMixed(), f"mu ~ 1 + (1|{level})", priors=priors), data, draws=len(mu))
    posterior = tree["posterior"].to_dataset()
    for variable, values in (("theta_mu", mu), (f"omega_{level}", tau), (f"sigma_{name}_a", sigma)):
        posterior[variable] = posterior[variable].copy(data=values.reshape(posterior[variable].shape))
    tree["posterior"] = posterior
    return tree


def test_batches_are_left_out_as_exactly(batches):
    tree, _ = batches
    found = nb.compare({"one": tree}, draws=DRAWS)
    each = found.by_group.set_index("group")["elpd"]
    assert each[list(DYESTUFF["elpd"])].to_numpy() == pytest.approx(list(DYESTUFF["elpd"].values()), abs=0.05)
    assert abs(found.table["elpd"]["one"] - sum(DYESTUFF["elpd"].values())) < 4 * found.table["mcse"]["one"]
