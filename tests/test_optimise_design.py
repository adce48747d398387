"""The design that tells most: PopED's introduction, closed forms, and what a budget allows."""

import numpy as np
import pytest
from test_information import INTRO, intro, two_arms, warfarin

import nlmebayes as nb
from model_zoo import LinearMixed, OneCompartment
from nlmebayes.design import search

BOUNDS = [(0, 10)] * 3 + [(240, 248)] * 2


@pytest.fixture(scope="module")
def found():
    design = two_arms([1, 2, 8, 240, 245])
    return nb.optimise_design(
        intro(), design, free={"times": BOUNDS}, fixed=["sigma_conc_a"], step={"times": 1.0}, starts=3
    )


def test_the_optimum_of_poped_s_introduction_is_reached(found):
    """40.5277 at 0.4574, 10, 10, 240, 240.9 h; 40.3782 at whole hours."""
    told = [
        nb.information(intro(), each, variances=True, fixed=["sigma_conc_a"]) for each in (found.best, found.rounded)
    ]
    assert told[0].criterion() >= 40.527 and told[1].criterion() >= 40.378
    assert found.best.arms[0].times == pytest.approx((0.4574, 10, 10, 240, 240.9), abs=0.1)
    assert found.rounded.arms[1].times == (1, 10, 10, 240, 241)
    assert found.efficiency == pytest.approx(1.1902, rel=1e-3)
    assert found.rounded_efficiency == pytest.approx(np.exp((40.3782 - 40.5277) / 7), rel=1e-3)


def test_another_sample_adds_and_windows_keep_what_they_say(found):
    gain = found.sensitivity
    assert gain["gain"].min() > -1e-6 and gain["time"].between(0, 248).all()
    windows = found.windows(0.9)
    late = windows.iloc[-1]
    assert late["low"] <= late["time"] <= late["high"] and late["high"] - late["low"] > 1
    for end in (late["low"], late["high"]):
        times = [*found.best.arms[0].times[:-1], end]
        told = nb.information(intro(), found.best.but(times=times), fixed=["sigma_conc_a"])
        best = nb.information(intro(), found.best, fixed=["sigma_conc_a"])
        assert told.efficiency(best) > 0.9 - 1e-6


def test_arms_of_a_comparison_are_of_one_size():
    tree = nb.population(LinearMixed(), "mu ~ 1 + x + (1|id)", theta={"mu": {"Intercept": 1.0, "x": 0.5}}, outcome="y",
                         omega={"sd": {"mu": 0.5}}, sigma={"a": 1.0})  # fmt: skip
    arms = [nb.Arm(n, [0, 1], covariates={"x": x}) for n, x in ((10, 0), (30, 1))]
    found = nb.optimise_design(tree, nb.Design(arms), free={"n": (1, 39)}, criterion="Ds", of=["mu: x"])
    assert [arm.n for arm in found.best.arms] == [20, 20]
    assert found.efficiency == pytest.approx((1 / 10 + 1 / 30) / (1 / 20 + 1 / 20), rel=1e-6)


def test_a_budget_sets_the_number_of_subjects_and_of_samples():
    """Two records a person part people from scatter; more of them cost people."""
    tree = nb.population(LinearMixed(), "mu ~ 1 + (1|id)", theta={"mu": 1.0}, omega={"sd": {"mu": 1.0}}, outcome="y",
                         sigma={"a": 1.0})  # fmt: skip
    budget = {"total": 600, "subject": 10, "sample": 1}
    found = nb.optimise_design(tree, nb.Design([nb.Arm(9, [1, 2])]), free={"samples": (1, 12)}, budget=budget, starts=1)
    (arm,) = found.best.arms
    assert arm.n == 600 // (10 + arm.records) and found.start.arms[0].n == 50
    ends = {
        k: nb.information(tree, nb.Design([nb.Arm(600 // (10 + k), list(range(k)))])).criterion() for k in range(2, 13)
    }
    assert arm.records == max(ends, key=ends.get)


def test_doses_move_to_their_bounds_and_are_rounded():
    design = nb.Design([nb.Arm(20, [1, 8, 24], doses={"time": 0, "amt": 70, "duration": 1})])
    tree = nb.population(OneCompartment(), theta={"cl": 1.0, "v": 10.0}, omega={"sd": {"cl": 0.3, "v": 0.3}},
                         residual=nb.Additive(), sigma={"a": 0.5})  # fmt: skip
    found = nb.optimise_design(tree, design, free={"amt": (50, 103)}, step={"amt": 25})
    assert found.best.arms[0].doses[0]["amt"] == pytest.approx(103, rel=1e-6)
    assert found.rounded.arms[0].doses[0]["amt"] == 100


def test_the_best_design_of_several_models_lies_between_theirs(monkeypatch):
    monkeypatch.setattr(search, "TIMES", 1)
    design = nb.Design([nb.Arm(32, [1, 40, 120], doses={"time": 0, "amt": 70})])
    options = {"free": {"times": (0.2, 120)}, "starts": 1, "fixed": ["omega_id"]}
    quick = warfarin(theta={"cl": 0.6, "v": 8.0, "ka": 1.0})
    alone = [nb.optimise_design(tree, design, **options).criterion for tree in (warfarin(), quick)]
    both = nb.optimise_design([warfarin(), quick], design, **options)
    assert both.start_criterion < both.criterion < np.mean(alone) + 1e-9
    robust = nb.optimise_design(nb.population(OneCompartment("first-order"), theta=INTRO, sigma={"b": 0.2}, draws=3,
                                omega={"sd": {"cl": 0.3}}, uncertainty={"cl": 30}, random_seed=1), design, draws=3,
                                **options | {"fixed": ()})  # fmt: skip
    assert robust.criterion > robust.start_criterion


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"free": {"dose": (1, 2)}}, "names 'dose'; what may change are times, samples, n, amt"),
        ({"free": {"times": (3, 2)}}, r"free='times' is between \(low, high\); got \(3.0, 2.0\)"),
        ({"free": {"times": [(0, 2), (3, 4)]}}, "2 bounds of times, and 3 times"),
        ({"free": {"rate": (1, 2)}}, "no dose has rate"),
        ({"free": {"samples": (1, 2)}}, "needs a budget="),
        ({"free": {"times": (0, 2)}, "budget": {"sample": 1}}, "needs the total"),
        ({"free": {"times": (0, 2)}, "budget": {"total": 1, "subject": 5}}, "allows no subject"),
        ({"free": {"times": (0, 2)}, "step": {"amt": 1}}, "step= names 'amt'"),
        ({"free": {"times": (0, 2)}, "criterion": "Ds"}, "'Ds' is that of some numbers"),
    ],
)
def test_what_cannot_change_is_refused(changed, words):
    design = nb.Design([nb.Arm(20, [1, 8, 24], doses={"time": 0, "amt": 70})])
    with pytest.raises(nb.ModelError, match=words):
        nb.optimise_design(warfarin(), design, **changed)


@pytest.mark.parametrize(("formula", "omega"), [("a ~ 1", {}), ("a ~ 1 + (1|occ)", {"occ": {"sd": {"a": 0.3}}})])
def test_records_that_hang_together_with_no_other_are_exchanged_too(formula, omega):
    """Of a straight line half of the samples belong at each end."""
    a, b = (nb.Parameter(name, typical=2.0, spread=1.0, link="identity") for name in "ab")
    tree = nb.population(
        nb.curve("a + b * time", a=a, b=b), formula, "b ~ 1", theta={"a": 5.0, "b": 2.0}, omega=omega, outcome="y",
        sigma={"a": 0.5}, levels=("id", "occ"),
    )  # fmt: skip
    start, known = nb.Design([nb.Arm(10, [1, 2, 6, 7], occasions=[0, 5])]), [*(f"omega_{level}" for level in omega)]
    found = nb.optimise_design(tree, start, free={"times": (0, 10)}, starts=1, fixed=[*known, "sigma_y_a"])
    assert found.best.arms[0].times == (0, 0, 10, 10)
    told = nb.information(tree, found.best, fixed=[*known, "sigma_y_a"])
    assert told.criterion() == pytest.approx(2 * found.criterion, rel=1e-9)


def test_what_a_budget_leaves_is_spent():
    """The least variance of a difference among all pairs of sizes that 300 pays for: nothing is left of it."""
    tree = nb.population(
        LinearMixed(), "mu ~ 1 + x + (1|id)", theta={"mu": {"Intercept": 1.0, "x": -0.5}}, omega={"sd": {"mu": 0.5}},
        sigma={"a": 1.0}, outcome="y",
    )  # fmt: skip
    arms = [nb.Arm(10, [0, 1], covariates={"x": 0}), nb.Arm(30, list(range(8)), covariates={"x": 1})]
    found = nb.optimise_design(
        tree, nb.Design(arms), free={"n": (1, 300)}, criterion="Ds", of=["mu: x"],
        budget={"total": 300, "subject": 1, "sample": 2},
    )  # fmt: skip
    pairs = [(n, (300 - 5 * n) // 17) for n in range(1, 57)]
    least = min(pairs, key=lambda pair: 0.75 / pair[0] + 0.375 / pair[1])
    assert tuple(arm.n for arm in found.best.arms) == least
