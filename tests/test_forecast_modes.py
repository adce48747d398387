"""Posteriors with several modes: forecasts against exact answers, and what is said where another mode holds mass.

Exact posteriors of patients of six populations are in ``tests/multimodal``; ``python tests/multimodal.py report``
compares them all.
"""

import json
import warnings
from dataclasses import replace
from types import SimpleNamespace

import multimodal
import numpy as np
import pandas as pd
import pytest
from scipy import optimize, stats

import nlmebayes as nb
from model_zoo import OneCompartment, ThreeCompartment, TwoCompartment
from nlmebayes.forecasting import nuts
from nlmebayes.individuals import particles
from nlmebayes.individuals.climbing import climb
from nlmebayes.individuals.modes import Mode, modes
from nlmebayes.individuals.particles import Particles
from nlmebayes.individuals.proposals import Proposal, log_normal
from nlmebayes.individuals.ridges import HELD, ridges
from nlmebayes.individuals.starts import mirrored

FLIP = multimodal.POPULATIONS["flip_flop"]
EVIDENCE, FLIPPED, ETA_V, ETA_V_SD = -3.395, 0.317, 0.72, 1.06  # from three million draws of the prior


@pytest.fixture(scope="module")
def patient():
    """Slow absorption and fast elimination, or the other way about."""
    return FLIP.patient([1.0, 4.0, 9.0, 24.0], [1.54, 1.34, 0.737, 0.102])


def flipped(forecast):
    posterior = forecast["posterior"]
    return float((posterior["ka"] < posterior["cl"] / posterior["v"]).mean())


def said(forecast):
    return json.loads(forecast.attrs["nlmebayes_forecast"])


def is_right(forecast):
    return (
        abs(said(forecast)["log_evidence"] - EVIDENCE) < 0.05 and abs(flipped(forecast) - FLIPPED) < 0.03
        and abs(said(forecast)["z_scores"]["id: v"] - ETA_V) < 0.1 * ETA_V_SD
    )  # fmt: skip


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_no_mode_is_missing_from_a_forecast(patient, seed):
    forecast = FLIP.ready.forecast(patient, random_seed=seed)
    assert is_right(forecast) and said(forecast)["khat"] < 0.7
    assert said(forecast)["modes"][1]["probability"] == pytest.approx(FLIPPED, abs=0.03)


def test_a_mode_that_the_search_misses_shows_in_the_weights(patient, monkeypatch):
    """Particles of the population itself stand where no proposal does: one of them is climbed from."""

    def best(target, **options):
        return Mode(*(x[:1] for x in vars(modes(target, **options)).values()))

    monkeypatch.setattr(particles, "modes", best)
    forecasts = [FLIP.ready.forecast(patient, random_seed=seed, proposals=20_000) for seed in (1, 2, 3)]
    assert all(is_right(forecast) for forecast in forecasts)


@pytest.mark.parametrize(("method", "words"), [
    ("map", "the most probable effects are one of 2 modes, and others hold 33 % of the probability, about cl 30"),
    ("laplace", "Laplace's approximation weighs 2 modes, and others hold 33 % of the probability, about cl 30"),
])  # fmt: skip
def test_the_mode_and_laplace_tell_of_other_modes(patient, method, words):
    with pytest.warns(UserWarning, match=words):
        forecast = FLIP.ready.forecast(patient, method=method, random_seed=1)
    assert said(forecast)["modes"][1]["probability"] == pytest.approx(FLIPPED, abs=0.03)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_nuts_starts_in_every_mode(patient, seed):
    """With seed 1 a chain goes from one mode to the other."""
    assert is_right(FLIP.ready.forecast(patient, method="nuts", random_seed=seed))


def chains(*middles, n=200):
    """(mode, chain, draw, column) around places apart."""
    rng = np.random.default_rng(1)
    return np.stack([rng.normal(m, 0.1, (2, n, 1)) for m in middles])


def guide(khat):
    """Importance sampling that gives two modes of one effect 0.8 and 0.2."""
    two = Mode(np.array([[-1.0], [1.0]]), np.zeros(2), np.full((2, 1, 1), 0.01), np.log([0.8, 0.2]))
    none = np.zeros(0)
    return Particles(none, none, none, khat, -1.0, mode=two, probabilities=np.array([0.8, 0.2]))


def test_chains_that_stay_apart_weigh_what_importance_sampling_says():
    found = nuts._pooled(chains(-1.0, 1.0), guide(0.3), [0, 1])
    assert found.weight[found.z[:, 0] > 0].sum() == pytest.approx(0.2) and found.doubt is None
    assert found.weight.sum() == pytest.approx(1.0)


def test_chains_that_change_their_mode_are_worth_what_they_are_within_it():
    change = chains(-1.0, 1.0)
    change[0, 0, 70:, 0] += 2.0
    found = nuts._pooled(change, guide(0.3), [0, 1])
    assert found.doubt is None and found.size == pytest.approx(1 / (0.8**2 / 270 + 0.2**2 / 530), rel=0.1)
    change[1, 0, :, 0] += 0.3
    assert "R-hat within modes" in nuts._pooled(change, guide(0.3), [0, 1]).doubt


def test_chains_that_stay_apart_are_not_called_exact_where_nothing_weighs_them():
    found = nuts._pooled(chains(-1.0, 1.0), guide(0.9), [0, 1])
    assert "chains of NUTS stay in 2 modes apart" in found.doubt
    assert (
        "chains of NUTS disagree (R-hat" in nuts._pooled(chains(-1.0, 1.0).reshape(1, 4, 200, 1), guide(0.3), [0]).doubt
    )


def test_chains_that_meet_count_alike():
    found = nuts._pooled(chains(0.0, 0.0), guide(0.9), [0, 1])
    assert found.doubt is None and np.ptp(found.weight) == 0


def test_a_proposal_has_the_density_that_it_draws_from():
    """The mean of p / q over draws of q is 1, and its moments are those of p."""
    rng = np.random.default_rng(1)
    factor = np.linalg.cholesky(np.array([[0.3, 0.1], [0.1, 0.2]]))
    two = Proposal(rng.normal(size=(2, 5, 2)), np.stack([factor, 0.3 * factor]), np.array([0.7, 0.3]))
    position = rng.integers(5, size=2**15)
    z = two.draw(position, rng)
    parts = two.log_parts(z, position)
    weight = np.exp(log_normal(z) - np.logaddexp.reduce(parts, axis=0))
    assert weight.mean() == pytest.approx(1, abs=0.01) and weight.max() < 1 / 0.15 + 1e-9
    assert (weight @ z**2 / len(z)) == pytest.approx([1, 1], abs=0.04)
    each = np.exp(parts - np.logaddexp.reduce(parts, axis=0)).mean(axis=1)
    assert each == pytest.approx([0.15, 0.85 * 0.7, 0.85 * 0.3], abs=0.01)


def test_a_climb_starts_wherever_a_place_is():
    """Far out one record tells 1e20 times what the prior does."""
    population = multimodal.POPULATIONS["dual_absorption"]
    _, target = population.ready.target(population.patient([0.25, 24.0], [0.01, 0.01]))
    starts = np.random.default_rng(1).normal(scale=6.0, size=(50, 1, target.size))
    found = climb(target, starts, np.zeros(50, dtype=int))
    assert np.isfinite(found.z).all() and found.value.max() == pytest.approx(modes(target).value[0], abs=1e-3)


@pytest.mark.parametrize("name", multimodal.POPULATIONS)
def test_forecasts_are_exact(name):
    """The first patients of each population; the exact answers know their own errors."""
    for row in multimodal.known(name)[:4]:
        found = multimodal.compared(name, row)
        assert multimodal.right(found) and not found["doubts"], row["patient"]
        assert found["mode"] < multimodal.OBJECTIVE_WITHIN


def test_cells_give_the_evidence_of_a_thin_ridge():
    """A normal law of three effects, one direction of which is a thousandth as wide; its evidence is 1."""
    q, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))
    law = stats.multivariate_normal([0.5, -1.0, 0.3], q @ np.diag([1.0, 0.3, 0.001]) ** 2 @ q.T)
    target = SimpleNamespace(log_density=lambda z, _: np.atleast_1d(law.logpdf(z[:, 0]))[:, None])
    z, mass, _ = multimodal.on_cells(target)
    assert np.logaddexp.reduce(mass) == pytest.approx(0.0, abs=0.01)
    assert np.exp(mass) @ z == pytest.approx(law.mean, abs=0.01)


def test_the_exact_answers_know_their_errors():
    for name in multimodal.POPULATIONS:
        errors = np.array([float(row["error"]) for row in multimodal.known(name)])
        assert len(errors) == multimodal.PATIENTS and np.median(errors) < 0.01 and errors.max() <= multimodal.ERROR


@pytest.mark.recovery
@pytest.mark.parametrize("name", multimodal.POPULATIONS)
def test_the_study(name):
    found = multimodal.table(name)
    assert found["right"] >= 0.995 and found["right, doubted"] <= 0.02 and found["mode"] >= 0.99


def test_a_forecast_of_one_mode_says_nothing():
    population = multimodal.POPULATIONS["flip_flop"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tree = nb.forecast(population.tree, population.patient([4.0], [4.0]), method="map")
    assert len(said(tree)["modes"]) == 1


@pytest.mark.parametrize(("name", "number"), [("lag", 52), ("lag", 128), ("outlier", 70), ("outlier", 137)])
def test_a_narrow_mode_is_found(name, number):
    """A lag that ends just before a sample; samples far off that one far place of the population explains."""
    row, population = multimodal.known(name)[number], multimodal.POPULATIONS[name]
    found, _ = population.ready.mode(population.patient(*(multimodal.numbers(row[x]) for x in ("times", "values"))))
    assert found.value[0] > float(row["mode"]) - multimodal.OBJECTIVE_WITHIN


@pytest.mark.parametrize("name", ["lag", "outlier", "wide_omegas"])
def test_patients_together_have_the_modes_that_each_has_alone(name):
    """And the probability of others; one warning counts those whom it concerns."""
    population, rows = multimodal.POPULATIONS[name], multimodal.known(name)[:20]
    each = [[multimodal.numbers(row[x]) for x in ("times", "values")] for row in rows]
    alone = [population.ready.mode(population.patient(*x))[0] for x in each]
    parts = [population.patient(*x, label=f"p{i:02d}") for i, x in enumerate(each)]
    frames = {k: pd.concat([getattr(p, k) for p in parts], ignore_index=True) for k in ("observations", "doses")}
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        table = nb.forecast_each(population.tree, replace(parts[0], **frames), unusual="warn").table
    assert table["log_density"].to_numpy() == pytest.approx([m.value[0] for m in alone], abs=1e-4)
    others = np.array([1 - np.exp(m.mass[0] - np.logaddexp.reduce(m.mass)) for m in alone])
    assert table["other_modes"].to_numpy() == pytest.approx(others, abs=0.05)  # on a curved ridge climbs end apart
    words = f"forecast_each: of {np.sum(others > 0.05)} of 20 patients the most probable effects are one of several"
    assert sum(words in str(w.message) for w in told) == 1


def test_ridges_are_the_profile_of_the_density():
    """A place with one effect held is the best one there, as SciPy finds it; few steps come close enough to propose."""
    population, row = multimodal.POPULATIONS["wide_omegas"], multimodal.known("wide_omegas")[76]
    _, target = population.ready.target(population.patient(*(multimodal.numbers(row[x]) for x in ("times", "values"))))
    places = ridges(target, modes(target))
    which = np.zeros(1, dtype=int)
    assert len(places.z) > 4
    for z in places.z:
        column = np.argmin(np.abs(z[:, None] - HELD).min(axis=1))
        others = np.arange(len(z)) != column

        def objective(x, z=z, others=others):
            full = z.copy()
            full[others] = x
            return -target.log_density(full[None, None], which)[0, 0]

        best = optimize.minimize(objective, z[others], method="Nelder-Mead", options={"xatol": 1e-4, "fatol": 1e-6})
        assert -objective(z[others]) == pytest.approx(-best.fun, abs=0.6)


def test_a_ridge_is_part_of_the_forecast():
    """One per cent of this posterior is a ridge of small volumes, four SDs of the population long."""
    found = multimodal.compared("wide_omegas", multimodal.known("wide_omegas")[76], seed=3)
    assert found["mean"] < 0.06 and multimodal.right(found)


def test_draws_are_spread_over_the_modes():
    """Shares of 2,000 draws on either side of 0 vary by less than a third of what those of a coin do."""
    z = np.random.default_rng(1).normal(size=(6000, 1)) + np.repeat([[-3.0], [3.0]], 3000, axis=0)
    found = Particles(np.zeros(6000, dtype=int), z, np.full(6000, 1 / 6000), 0.1, 0.0)
    share = [(z[found.draws(2000, np.random.default_rng(i)), 0] > 0).mean() for i in range(50)]
    assert np.mean(share) == pytest.approx(0.5, abs=1e-3) and np.std(share) < np.sqrt(0.25 / 2000) / 3


def test_draws_that_are_worth_little_are_doubted():
    population, row = multimodal.POPULATIONS["wide_omegas"], multimodal.known("wide_omegas")[55]
    patient = population.patient(*(multimodal.numbers(row[x]) for x in ("times", "values")))
    with pytest.warns(UserWarning, match=r"draws (are worth \d+, so posterior means )?may be off"):
        population.ready.forecast(patient, method="importance", random_seed=1, rounds=0)


@pytest.mark.parametrize("kind", ["first-order", "parallel"])
@pytest.mark.parametrize("parametrisation", ["clearance", "rates", "half-lives"])
@pytest.mark.parametrize("compartments", [OneCompartment, TwoCompartment, ThreeCompartment])
def test_a_mirrored_place_has_the_same_predictions(compartments, parametrisation, kind):
    """Absorption and a rate of disposition exchanged, two rates of absorption each in its turn."""
    structure = compartments(kind, flip_flop=True, parametrisation=parametrisation, lag=True)
    theta = {p.name: p.typical for p in structure.parameters}
    population = replace(FLIP, structure=structure, theta=theta, omega=dict.fromkeys(theta, 1.0))
    _, target = population.ready.target(population.patient([1.0, 4.0, 24.0], [1.5, 1.3, 0.1]))
    z, which = np.linspace(0.3, -0.2, len(theta))[None], np.zeros(1, dtype=int)
    exact = target.at(z[None], which)[0]["conc"]
    same = [other for other in mirrored(target, z) if target.at(other[None], which)[0]["conc"] == pytest.approx(exact)]
    assert same and all(np.abs(other - z).max() > 0.01 for other in same)


def test_what_tells_absorption_from_elimination_leaves_no_mirror():
    """A structure that orders them, and another outcome."""
    assert OneCompartment("first-order").mirror is OneCompartment("bolus").mirror is None
    assert TwoCompartment("first-order", urine=True).mirror is TwoCompartment("mixed").mirror is None


def test_a_structure_with_parameters_of_its_own_declares_none():
    """Two compartments of one volume, whose parameters `mirrors` does not know."""
    shared = type(
        "Shared", (nb.Mammillary,), {"disposition_parameters": None, "disposition": None, "disposition_order": None}
    )
    assert shared("first-order", flip_flop=True).mirror is None


def test_a_mirrored_mode_is_in_the_forecast():
    """A tenth of this posterior is four SDs of the population away: ka and cl / v exchanged."""
    row = multimodal.known("flip_flop")[108]
    assert all(multimodal.right(multimodal.compared("flip_flop", row, seed)) for seed in (1, 3))
