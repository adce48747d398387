"""The judge of marginal likelihoods is right: two grids, printed values, closed forms."""

import numpy as np
import pytest
from quadrature import CASES, DYESTUFF, MONOLIX, OneWay, certain, linear_by_group, monolix_theophylline

import nlmebayes as nb


@pytest.fixture(scope="module")
def batches():
    frame = nb.datasets.table("dyestuff")
    return OneWay(np.stack([rows.to_numpy() for _, rows in frame.groupby("Batch")["Yield"]]))


@pytest.mark.parametrize("name", CASES)
def test_two_grids_agree(name):
    case, found = certain(name)
    assert len(case.frame) and all(np.isfinite(value) for value in found.values())


def test_subjects_of_monolix():
    frame = nb.datasets.theophylline().observations
    frame = frame[frame["time"] > 0].assign(conc=lambda x: x["value"], amt=lambda x: x["dose"] * x["wt"])
    found = monolix_theophylline(frame)
    assert [-2 * found[str(k)] for k in range(1, 13)] == pytest.approx(MONOLIX["minus2ll"], abs=1e-5)


def test_batches_of_dyestuff_are_left_out_exactly(batches):
    for k, exact in enumerate(DYESTUFF["elpd"].values()):
        rest = OneWay(np.delete(batches.y, k, axis=0))
        assert batches.log_evidence() - rest.log_evidence() == pytest.approx(exact, abs=0.002)
    mu, tau, sigma = batches.draws(20_000, seed=1)
    for drawn, mean in zip((tau, sigma, mu), DYESTUFF["mean"].values(), strict=True):
        assert drawn.mean() == pytest.approx(mean, abs=4 * drawn.std() / np.sqrt(len(drawn)))


def test_closed_forms_agree(batches):
    mu, tau, sigma = np.array([1527.0]), np.array([42.0]), np.array([49.5])
    one = batches.log_likelihood(mu, tau, sigma)[0]
    groups = np.repeat(np.arange(6), 5)
    other = linear_by_group(batches.y.ravel(), groups, np.full(30, mu[0]), [(groups, tau[0])], sigma[0])
    assert one == pytest.approx(list(other.values()), abs=1e-9)


def test_penicillin_is_that_of_lme4():
    """REML = FALSE in lme4 1.1: deviance 332.1883 at 22.97222, 0.8455722, 1.770648, 0.5499331."""
    frame = nb.datasets.table("penicillin")
    y, plate, sample = (frame[name].to_numpy() for name in ("diameter", "plate", "sample"))
    found = linear_by_group(y, None, np.full(len(y), 22.97222), [(plate, 0.8455722), (sample, 1.770648)], 0.5499331)
    assert -2 * found["all"] == pytest.approx(332.1883, abs=1e-3)
