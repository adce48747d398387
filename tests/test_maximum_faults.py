"""Maximum likelihood where groups differ in their number of effects, beside closed forms."""

import json

import numpy as np
import pandas as pd
import pytest
from quadrature import linear_by_group

import nlmebayes as nb
from model_zoo import CountGLMM, LinearMixed, ParametricSurvival


def ragged(seed=0):
    """Three nested levels, other numbers of each in each, and a covariate."""
    rng, rows = np.random.default_rng(seed), []
    for s, persons in enumerate((4, 3, 5)):
        rows += [(s, p, o) for p in range(persons) for o in range(1 + (p + s) % 3) for _ in range(1 + (o + p) % 3)]
    frame = pd.DataFrame(rows, columns=["site", "id", "occ"])
    frame["id"] = frame["site"].astype(str) + "." + frame["id"].astype(str)
    frame["occ"] = frame["id"] + "." + frame["occ"].astype(str)
    y = 0.3 * rng.standard_normal(len(frame))
    for level, sd in {"site": 0.8, "id": 0.7, "occ": 0.5}.items():
        code = pd.factorize(frame[level])[0]
        y = y + sd * rng.standard_normal(code.max() + 1)[code]
    return frame.assign(y=y)


def test_three_ragged_levels_are_exact_at_a_maximum():
    """Of a linear model, beside the multivariate normal density, in which no step is a gain."""
    frame = ragged()
    data = nb.Dataset.from_frame(frame, outcome="y", levels=("site", "id", "occ"))
    tree = nb.fit(nb.Model(LinearMixed(), "mu ~ 1 + (1|site/id/occ)"), data, method="ml")
    told, names = tree["posterior"], ("site", "id", "occ")
    sds = [told[f"omega_{name}"].item() for name in names] + [told["sigma_y_a"].item()]

    def exact(mu, *sd):
        levels = [(frame[name].to_numpy(), each) for name, each in zip(names, sd, strict=False)]
        return linear_by_group(frame["y"].to_numpy(), None, np.full(len(frame), mu), levels, sd[-1])["all"]

    mu, best = told["theta_mu"].item(), json.loads(tree.attrs["nlmebayes_fit"])
    assert best["converged"]
    here = exact(mu, *sds)
    assert -best["minus2ll"] / 2 == pytest.approx(here, abs=1e-8)
    for k in range(4):
        for factor in (0.97, 1.03):
            assert exact(mu, *(sd * (factor if i == k else 1) for i, sd in enumerate(sds))) < here


def test_units_of_a_covariate_do_not_matter():
    frame, found = nb.datasets.table("sleepstudy"), []
    for unit in (1.0, 1e6):
        scaled = nb.Dataset.from_frame(
            frame.assign(Days=frame["Days"] * unit)[["Subject", "Days", "Reaction"]],
            outcome="Reaction",
            levels="Subject",
        )
        tree = nb.fit(nb.Model(LinearMixed(), "mu ~ 1 + Days + (1|Subject)"), scaled, method="ml")
        found.append(json.loads(tree.attrs["nlmebayes_fit"])["minus2ll"])
    assert found[0] == pytest.approx(found[1], abs=1e-4)


def test_a_time_to_an_event_is_one_record():
    """Not one for each node of the hazard's integral: criteria count them."""
    rng = np.random.default_rng(1)
    t = rng.exponential(5.0, 20)
    frame = pd.DataFrame(
        {
            "id": np.repeat(np.arange(5), 4),
            "person": np.arange(20),
            "event": np.minimum(t, 6.0),
            "seen": (t < 6).astype(int),
        }
    )
    data = nb.Dataset.from_frame(frame, outcome="event", levels=("id", "person"), status="seen")
    model = nb.Model(ParametricSurvival(), "rate ~ 1 + (1|id)", residual=nb.TimeToEvent())
    assert json.loads(nb.fit(model, data, method="ml").attrs["nlmebayes_fit"])["records"] == 20


def test_counts_without_more_scatter_than_poisson_are_checked():
    """The part of the residual drifts to 0, its error is without bound: `check` says so, and draws stay finite."""
    rng = np.random.default_rng(21)
    y = rng.poisson(3 * np.exp(0.5 * np.repeat(rng.normal(size=12), 4)))
    frame = pd.DataFrame({"id": np.repeat(np.arange(12), 4), "y": y})
    model = nb.Model(CountGLMM(), "rate ~ 1 + (1|id)", residual=nb.NegativeBinomial())
    tree = nb.fit(model, nb.Dataset.from_frame(frame, outcome="y", levels="id"), method="ml", random_seed=1)
    assert tree["posterior"]["sigma_y_a"].item() < 1e-3
    assert any("leave it open" in line for line in nb.check(tree).findings)
