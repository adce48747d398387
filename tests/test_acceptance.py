"""The acceptance that the sampler aims at: higher where draws diverge, so that bent and flat directions keep tails."""

import json
import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
from arviz_stats import mcse
from scipy import stats

import nlmebayes as nb
from nlmebayes.inference import sampler

DOSE = np.repeat([0.05, 0.1, 0.2, 0.4, 0.7, 1.0], 3)
RESPONSE = 12 * DOSE / (3 + DOSE) * np.exp(np.random.default_rng(3).normal(0, 0.1, 18))
WIDE, NARROW = 2.0, 0.3  # SD of the priors of log(emax) and log(ec50); of sigma


@dataclass(frozen=True)
class Saturation(nb.Curve):
    inputs = ("dose",)
    parameters = (nb.Parameter("emax", "", typical=1.0), nb.Parameter("ec50", "", typical=1.0))

    def curve(self, p, x):
        return p.emax * x.dose / (p.ec50 + x.dose)


@pytest.fixture(scope="module")
def flat():
    """Doses mostly below ec50, which tell emax / ec50 and bound neither from above."""
    frame = pd.DataFrame({"id": "1", "dose": DOSE, "effect": RESPONSE})
    priors = {f"theta_{name}": nb.Prior("Normal", mu=0.0, sigma=WIDE) for name in ("emax", "ec50")}
    priors["sigma_effect_a"] = nb.Prior("HalfNormal", sigma=NARROW)
    model = nb.Model(Saturation(), "emax ~ 1", "ec50 ~ 1", residual=nb.LogNormal(), priors=priors)
    return nb.sampler(model, nb.Dataset.from_frame(frame, outcome="effect", levels="id"))


def quantiles(share):
    """Of log(ec50), from the density on a grid of log(ec50), log(emax / ec50) and sigma."""
    ec50, ratio, sigma = np.linspace(-1, 9, 300), np.linspace(0.8, 2.4, 200), np.linspace(0.05, 0.3, 80)
    u, v = np.meshgrid(ec50, ratio, indexing="ij")
    curve = v[..., None] + np.log(DOSE) - np.log1p(DOSE * np.exp(-u)[..., None])
    squares = ((np.log(RESPONSE) - curve) ** 2).sum(-1)[..., None]
    prior = stats.norm.logpdf(u, 0, WIDE) + stats.norm.logpdf(u + v, 0, WIDE)
    log = prior[..., None] - len(DOSE) * np.log(sigma) - squares / (2 * sigma**2) - sigma**2 / (2 * NARROW**2)
    mass = np.exp(log - log.max()).sum((1, 2))
    return np.interp(share, (np.cumsum(mass) - mass / 2) / mass.sum(), ec50)


def test_a_flat_direction_keeps_its_tail(flat):
    tree = flat.sample(draws=4000, random_seed=2, progressbar=False)
    values = tree["posterior"]["theta_ec50"].squeeze("ec50_term")
    for share, exact in zip((0.05, 0.5, 0.95), quantiles([0.05, 0.5, 0.95]), strict=True):
        error = float(mcse(values, method="quantile", prob=share))
        assert abs(float(values.quantile(share)) - exact) < 4 * error < 0.25, share


def settings(tree):
    return json.loads(tree.attrs["nlmebayes_fit"])


SHORT = {"draws": 200, "tune": 100, "chains": 2, "random_seed": 1, "progressbar": False}


def test_where_draws_diverge_all_are_drawn_anew(flat, monkeypatch):
    monkeypatch.setattr(sampler, "DIVERGED", -0.01)  # as if too many did, whatever the acceptance
    assert settings(flat.sample(**SHORT, target_accept=0.7))["target_accept"] == 0.7  # a stated one stays
    assert settings(flat.sample(**SHORT | {"draws": 50}))["target_accept"] == 0.9  # as one of too few draws to tell
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        tree = flat.sample(**SHORT)
    told = [str(each.message) for each in said]
    assert [[x in text for x in ("target_accept=0.9:", "anew at 0.95")] for text in told] == [[True] * 2, [False] * 2]
    assert "target_accept=0.95:" in told[1] and "anew at 0.99" in told[1]
    assert settings(tree)["target_accept"] == 0.99
    assert tree["posterior"].sizes["draw"] == 200


def test_draws_on_disk_are_drawn_anew_too(flat, monkeypatch, tmp_path):
    monkeypatch.setattr(sampler, "DIVERGED", -0.01)
    with pytest.warns(UserWarning, match="anew at 0.99"), pytest.warns(UserWarning, match="anew at 0.95"):
        tree = flat.sample(**SHORT, store=tmp_path / "fit")
    assert settings(tree)["target_accept"] == 0.99 and tree["posterior"].sizes["draw"] == 200
    assert [path.name for path in tmp_path.iterdir()] == ["fit"]


def test_a_callback_of_the_user_is_called(flat):
    seen = []
    flat.sample(**SHORT, progress_callback=lambda chains: seen.append(len(chains)))
    assert seen and set(seen) == {2}
    with pytest.raises(nb.ModelError, match="blocking= is set by fit"):
        flat.sample(**SHORT, blocking=False)
