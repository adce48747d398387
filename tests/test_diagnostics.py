"""What `check` says of the sampler, on a small fit whose draws are then disturbed."""

import json

import numpy as np
import pytest

import nlmebayes as nb
from model_zoo import LinearMixed
from nlmebayes.criticism.convergence import ESS
from nlmebayes.evaluation import storage
from nlmebayes.inference import pilot

MODEL = nb.Model(LinearMixed(), "mu ~ 1 + (1|Batch)")


@pytest.fixture(scope="module")
def tree():
    return nb.fit(MODEL, nb.datasets.dyestuff(), draws=200, tune=200, chains=4, random_seed=1, progressbar=False)


def disturbed(tree, group, **values):
    changed = tree.copy(deep=True)
    for name, value in values.items():
        changed[group][name].values[...] = value
    return changed


def found(tree):
    return " | ".join(nb.check(tree).findings)


def test_the_report_says_how_effects_were_sampled(tree):
    report = nb.check(tree)
    assert report.parametrisation[["level", "effect", "parametrisation"]].to_numpy().tolist() == [
        ["Batch", "mu", "transport"]
    ]
    assert "the data say" in report.parametrisation["why"][0]
    assert "transport" in str(report)
    for words in ("different modes", "energy", "pilot"):
        assert words not in found(tree)


def test_what_is_too_little_to_check_is_said(tree):
    with pytest.raises(nb.ModelError, match="check needs 25 draws of all chains together"):
        nb.check(tree.isel(draw=slice(6)))
    assert nb.check(tree.isel(draw=slice(7))).findings
    population = tree.copy()
    population["posterior"] = population["posterior"].to_dataset().drop_vars("eta_Batch")
    with pytest.raises(nb.ModelError, match="this tree holds a population alone"):
        nb.check(population)


def test_chains_in_different_modes_are_told_with_their_groups(tree):
    eta = tree["posterior"]["eta_Batch"].to_numpy().copy()
    eta[1, :, [0, 3]] += 1e4
    text = found(disturbed(tree, "posterior", eta_Batch=eta))
    assert "different modes of mu for Batch A, D" in text
    assert "Batch B" not in text


def test_a_chain_that_does_not_move_is_told(tree):
    changed = tree.copy(deep=True)
    for group in ("posterior", "log_likelihood"):
        for values in changed[group].data_vars.values():
            values.values[2] = values.values[2, :1]
    assert "chain 2 did not move" in found(changed)
    assert "did not move" not in found(tree)


@pytest.mark.parametrize(("slow", "advised"), [("omega_Batch", True), ("theta_mu", True), ("sigma_Yield_a", False)])
def test_another_parametrisation_is_advised_of_what_has_random_effects_alone(tree, slow, advised):
    draws = np.repeat(tree["posterior"][slow].to_numpy()[:, ::100], 100, axis=1)
    text = found(disturbed(tree, "posterior", **{slow: draws}))
    assert f"(< {ESS}): take more draws" in text
    assert ("another parametrisation" in text) == advised


def test_a_prior_that_the_data_contradict_is_told(tree):
    changed = disturbed(tree, "posterior", theta_mu=tree["posterior"]["theta_mu"].to_numpy() + 1000.0)
    said = [text for text in nb.check(changed).findings if "prior SDs from the middle of its prior" in text]
    assert [text.split(" lies")[0] for text in said] == ["the posterior of theta_mu[Intercept]"]


def test_the_tree_carries_the_priors_of_its_fit(tree):
    laws = storage.laws_of(tree, None, None)
    table = nb.priors(MODEL, nb.datasets.dyestuff())
    assert [law.row for law in laws] == table.drop(columns="means").to_dict("records")


def test_slow_energy_is_told(tree):
    energy = np.cumsum(np.random.default_rng(0).normal(size=(4, 200)), axis=1)
    assert "the energy moves slowly (E-BFMI 0.0" in found(disturbed(tree, "sample_stats", energy=energy))


def test_divergences_where_an_sd_is_small_are_a_funnel(tree):
    omega = tree["posterior"]["omega_Batch"].to_numpy()[..., 0]
    diverging = omega < np.quantile(omega, 0.05)
    assert "omega_Batch of mu is small: a funnel" in found(disturbed(tree, "sample_stats", diverging=diverging))
    elsewhere = omega > np.quantile(omega, 0.95)
    assert "a funnel. The data" not in found(disturbed(tree, "sample_stats", diverging=elsewhere))


def test_a_pilot_far_from_the_posterior_is_told(tree):
    changed = tree.copy()
    said = json.loads(tree.attrs["nlmebayes_pilot"])
    changed.attrs = tree.attrs | {"nlmebayes_pilot": json.dumps(said | {"theta_mu": [0.0]})}
    assert "SDs from the posterior of theta_mu" in found(changed)


def test_a_pilot_that_fails_leaves_effects_without_information_and_says_so(monkeypatch):
    def fails(*args):
        raise np.linalg.LinAlgError("singular")

    monkeypatch.setattr(pilot, "_found", fails)
    tree = nb.fit(MODEL, nb.datasets.dyestuff(), draws=50, tune=100, chains=2, random_seed=1, progressbar=False)
    assert "the pilot failed" in found(tree)
    assert not tree["transport"]["transport_j"].any()
