"""What the data say of each effect, from draws: where all draws are the pilot's estimate it is what the pilot saw."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

import nlmebayes as nb
from model_zoo import LinearMixed, OneCompartment
from nlmebayes.evaluation.evaluator import Draws
from nlmebayes.formula.design import resolve
from nlmebayes.inference import sampler, starts
from nlmebayes.inference.recalibration import recalibrated


def case(residual):
    rng = np.random.default_rng(2)
    frame = pd.DataFrame({"id": np.repeat(np.arange(8), 4), "time": np.tile([0.5, 2.0, 6.0, 12.0], 8)})
    frame["y"] = 10 * np.exp(-0.15 * frame["time"] + 0.2 * rng.normal(size=8)[frame["id"]] + 0.1 * rng.normal(size=32))
    doses = pd.DataFrame({"id": np.arange(8), "time": 0.0, "amt": 300.0})
    data = nb.Dataset.from_frame(frame, outcome="y", time="time", levels="id", doses=doses)
    model = nb.Model(OneCompartment(), "cl ~ 1 + (1|p|id)", "v ~ 1 + (1|p|id)", residual=residual)
    design = resolve(model, data)
    return model, design, starts.pilot(model, design)


def draws_at(found, design, sigma, count=3, spread=0.0):
    """Draws that are all the pilot's, but for typical values that are apart."""

    def repeated(x):
        return np.repeat(np.asarray(x, dtype=float)[None], count, axis=0)

    apart = spread * np.linspace(-1, 1, count)[:, None]
    omega = {name: np.linalg.norm(factor, axis=1) for name, factor in found.factor.items()}
    corr = {name: factor @ factor.T / np.outer(omega[name], omega[name]) for name, factor in found.factor.items()}
    return Draws(
        theta={name: repeated(x) + apart for name, x in found.theta.items()},
        omega={name: repeated(x) for name, x in omega.items()}, corr={name: repeated(x) for name, x in corr.items()},
        sigma={o: {part: repeated(x) for part, x in parts.items()} for o, parts in sigma.items()},
        eta={name: repeated(x) for name, x in found.eta.items()},
        groups={level.name: list(level.labels) for level in design.levels},
    )  # fmt: skip


@pytest.mark.parametrize("residual", [nb.Proportional(), nb.Combined(), nb.LogNormal()], ids=str)
def test_draws_at_the_pilot_see_what_it_saw(residual):
    model, design, found = case(residual)
    again = recalibrated(model, design, found, draws_at(found, design, found.sigma))
    for name in ("j", "h", "theta", "eta", "factor", "sigma", "f"):
        before, after = getattr(found, name), getattr(again, name)
        for key in before if isinstance(before, dict) else [...]:
            for part in before[key] if name == "sigma" else [...]:
                one, other = (x[key] if name != "sigma" else x[key][part] for x in (before, after))
                np.testing.assert_allclose(other, one, rtol=1e-7, atol=1e-9)


def test_information_is_the_mean_over_draws_and_its_slope_is_zero_on_average():
    """At the mean of the draws the parabola slopes as the likelihood does on average over them."""
    model, design, found = case(nb.Proportional())
    draws = draws_at(found, design, found.sigma, spread=0.3)
    each = [recalibrated(model, design, found, draws.take([i, i])) for i in range(3)]
    whole = recalibrated(model, design, found, draws)
    np.testing.assert_allclose(whole.j, np.mean([x.j for x in each], axis=0), rtol=1e-9)
    middle = np.stack([whole.theta[name][0] + whole.eta["id"][:, k] for k, name in enumerate(("cl", "v"))], axis=1)
    slopes = []
    for x in each:
        own = np.stack([x.theta[name][0] + x.eta["id"][:, k] for k, name in enumerate(("cl", "v"))], axis=1)
        slopes.append(x.h[0] - np.einsum("upq,uq->up", x.j[0], own))
    np.testing.assert_allclose(
        whole.h[0] - np.einsum("upq,uq->up", whole.j[0], middle), np.mean(slopes, axis=0), atol=1e-8
    )


def test_a_correlated_residual_and_a_pilot_that_failed_are_taken():
    model, design, found = case(nb.Autoregressive(nb.Additive()))
    sigma = {"y": found.sigma["y"] | {"rho": 0.3}}
    again = recalibrated(model, design, dataclasses.replace(found, failure="singular"), draws_at(found, design, sigma))
    np.testing.assert_allclose(again.j, found.j, rtol=1e-7)
    assert not again.failure


@pytest.mark.parametrize(
    ("parametrisation", "options", "exact"),
    [
        ("transport", {}, True),
        ("noncentred", {}, False),
        ("transport", {"exact_normal_trajectory": False, "max_step_size": 2.0}, False),
        ("transport", {"sampler": "mclmc"}, False),
    ],
)
def test_normal_motion_is_exact_where_all_effects_are_transported(monkeypatch, parametrisation, options, exact):
    given = {}

    def sample(compiled, **settings):
        given.update(settings)
        raise KeyboardInterrupt

    monkeypatch.setattr(sampler.nutpie, "sample", sample)
    model = nb.Model(LinearMixed(), "mu ~ 1 + (1|Batch)", parametrisation=parametrisation)
    with pytest.raises(KeyboardInterrupt):
        nb.sampler(model, nb.datasets.dyestuff()).sample(tune=100, progressbar=False, random_seed=1, **options)
    assert given.get("exact_normal_trajectory", False) is exact
    assert given.get("max_step_size") == (sampler.LONGEST if exact else options.get("max_step_size"))
