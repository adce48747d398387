"""Every kind of absorption: the convolution of its textbook input rate with the response to a unit bolus."""

import numpy as np
import pytest
from laws import area, predicted
from scipy.integrate import quad
from scipy.special import gammainc
from scipy.stats import gamma

from model_zoo import OneCompartment, ThreeCompartment, TwoCompartment
from nlmebayes.structure.absorption import Absorption, Elimination
from nlmebayes.structure.structure import Named

DISPOSITION = {
    OneCompartment: {"cl": 3.0, "v": 20.0},
    TwoCompartment: {"cl": 3.0, "v1": 12.0, "q": 4.0, "v2": 20.0},
}
INPUT = {
    "bolus": {},
    "first-order": {"ka": 0.9},
    "zero-order": {"dur": 2.6},
    "constant-rate": {"r0": 40.0},
    "sequential": {"dur": 2.6, "ka": 0.9},
    "mixed": {"ka": 0.9, "fr": 0.6, "dur": 5.3},
    "parallel": {"ka": 0.9, "ka2": 0.25, "fr": 0.6},
    "transit": {"mtt": 1.7, "ka": 0.9},
}
T = np.array([0.0, 0.3, 1.0, 2.6, 2.7, 5.0, 5.31, 9.0, 24.0])
EVERY = pytest.mark.parametrize("kind", INPUT)
BOTH = pytest.mark.parametrize("cls", DISPOSITION, ids=lambda cls: cls.__name__)


def first_order(t, ka):
    return ka * np.exp(-ka * t)


def zero_order(t, duration):
    return (t < duration) / duration


def sequential(t, ka, duration):
    """Of an amount that enters the depot over a duration: what leaves it."""
    return -np.expm1(-ka * min(t, duration)) * np.exp(-ka * max(t - duration, 0.0)) / duration


def transit(t, mtt, ka, n=3):
    """Of a gamma-distributed delay of n + 1 stages and a depot; Savic et al. (2007), doi:10.1007/s10928-007-9066-0."""
    ktr = (n + 1) / mtt
    # the integral of the gamma density times exp(-ka (t - s)), for ktr above ka
    return ka * np.exp(-ka * t) * (ktr / (ktr - ka)) ** (n + 1) * gammainc(n + 1, (ktr - ka) * t)


RATES = {  # into central, of a dose of 1 (constant-rate: of 100)
    "first-order": lambda t, p: first_order(t, p["ka"]),
    "zero-order": lambda t, p: zero_order(t, p["dur"]),
    "constant-rate": lambda t, p: zero_order(t, 100 / p["r0"]),
    "sequential": lambda t, p: sequential(t, p["ka"], p["dur"]),
    "mixed": lambda t, p: p["fr"] * first_order(t, p["ka"]) + (1 - p["fr"]) * zero_order(t, p["dur"]),
    "parallel": lambda t, p: p["fr"] * first_order(t, p["ka"]) + (1 - p["fr"]) * first_order(t, p["ka2"]),
    "transit": lambda t, p: transit(t, p["mtt"], p["ka"]),
}


def structure(cls, kind, **options):
    return cls(kind, flip_flop=True, **options)


def after_100(cls, kind, times=T, doses=((0, 100),), change=None, **options):
    phi = DISPOSITION[cls] | INPUT[kind] | (change or {})
    return predicted(structure(cls, kind, **options), times, doses, **phi)


def convolved(cls, rate, times=T):
    """100 times the integral of rate(s) times the response to a bolus, t - s later."""
    p = DISPOSITION[cls]
    if cls is OneCompartment:
        terms = [(p["cl"] / p["v"], 1 / p["v"])]
    else:
        k10, k12, k21 = p["cl"] / p["v1"], p["q"] / p["v1"], p["q"] / p["v2"]
        alpha, beta = np.sort(-np.roots([1, k10 + k12 + k21, k10 * k21]).real)[::-1]
        terms = [(alpha, (alpha - k21) / (alpha - beta) / p["v1"]), (beta, (k21 - beta) / (alpha - beta) / p["v1"])]

    def at(t):
        inside = sorted({x for x in (2.5, 2.6, 5.3) if 0 < x < t})
        return quad(
            lambda s: rate(s) * sum(a * np.exp(-k * (t - s)) for k, a in terms),
            0, t, points=inside or None, epsabs=1e-13, epsrel=1e-12, limit=200,
        )[0]  # fmt: skip

    return 100 * np.array([at(t) for t in times])


@BOTH
@pytest.mark.parametrize("kind", RATES)
def test_a_dose_is_the_convolution_of_its_input_rate(cls, kind):
    expected = convolved(cls, lambda t: RATES[kind](t, INPUT[kind]))
    assert after_100(cls, kind) == pytest.approx(expected, rel=1e-8, abs=1e-11)


@pytest.mark.parametrize("kind", RATES)
def test_input_rates_have_the_area_one(kind):
    """The references by themselves."""
    rate = RATES[kind]
    found = quad(rate, 0, 100, args=(INPUT[kind],), points=[2.5, 2.6, 5.3], epsabs=1e-12, limit=200)[0]
    assert found == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("n", [0, 1, 3, 8])
@BOTH
def test_transit_is_a_gamma_distributed_delay(cls, n):
    """Savic et al. (2007), doi:10.1007/s10928-007-9066-0: the input to the depot is ktr (ktr t)^n exp(-ktr t) / n!,
    with ktr = (n + 1) / MTT; here the depot is fast."""
    mtt = 1.7
    delay = gamma(n + 1, scale=mtt / (n + 1))
    expected = convolved(cls, delay.pdf)
    found = after_100(cls, "transit", change={"mtt": mtt, "ka": 1e7}, transits=n)
    assert found == pytest.approx(expected, rel=2e-6, abs=1e-9)


@pytest.mark.parametrize("n", [0, 1, 3, 8])
def test_the_transit_reference_is_the_convolution_of_delay_and_depot(n):
    delay = gamma(n + 1, scale=1.7 / (n + 1))
    for t in (0.3, 2.0, 7.0):
        expected = quad(lambda s, t=t: delay.pdf(s) * first_order(t - s, 0.5), 0, t, epsabs=1e-13)[0]
        assert transit(t, 1.7, 0.5, n) == pytest.approx(expected, rel=1e-9)


def test_the_mean_transit_time_is_what_it_is_called():
    """Mean residence time of the whole: MTT + 1 / ka + V / CL."""
    edges = np.geomspace(1, 2001, 80) - 1
    zeroth, first = (
        area(lambda t, k=k: t**k * after_100(OneCompartment, "transit", t, change={"mtt": 4.0}), edges) for k in (0, 1)
    )
    assert first / zeroth == pytest.approx(4.0 + 1 / 0.9 + 20 / 3, rel=1e-9)


SAME = {
    "mixed, all by the depot": ("mixed", {"fr": 1 - 1e-12}, "first-order", {}),
    "mixed, nothing by the depot": ("mixed", {"fr": 1e-12, "dur": 2.6}, "zero-order", {}),
    "mixed, exactly all by the depot": ("mixed", {"fr": 1.0}, "first-order", {}),
    "parallel, all by the first": ("parallel", {"fr": 1 - 1e-12}, "first-order", {}),
    "parallel, exactly all by the first": ("parallel", {"fr": 1.0}, "first-order", {}),
    "parallel, nothing by the first": ("parallel", {"fr": 1e-12, "ka2": 0.9}, "first-order", {}),
    "parallel, both alike": ("parallel", {"ka2": 0.9}, "first-order", {}),
    "sequential, at once": ("sequential", {"dur": 1e-9}, "first-order", {}),
    "sequential, fast": ("sequential", {"ka": 1e10}, "zero-order", {}),
    "zero-order, at once": ("zero-order", {"dur": 1e-11}, "bolus", {}),
    "constant-rate, at once": ("constant-rate", {"r0": 1e12}, "bolus", {}),
    "constant-rate of a duration": ("constant-rate", {"r0": 100 / 2.6}, "zero-order", {}),
    "first-order, at once": ("first-order", {"ka": 1e11}, "bolus", {}),
    "transit, at once": ("transit", {"mtt": 1e-9}, "first-order", {}),
}


@BOTH
@pytest.mark.parametrize("name", SAME)
def test_kinds_meet_in_their_limits(cls, name):
    one, change, other, rest = SAME[name]
    found, expected = after_100(cls, one, T[1:], change=change), after_100(cls, other, T[1:], change=rest)
    assert found == pytest.approx(expected, rel=1e-8, abs=1e-10)


@EVERY
@BOTH
def test_a_lag_moves_the_curve(cls, kind):
    found = after_100(cls, kind, T + 1.25, change={"tlag": 1.25}, lag=True)
    assert found == pytest.approx(after_100(cls, kind), rel=1e-11, abs=1e-13)
    assert (after_100(cls, kind, [0.0, 0.5, 1.2], change={"tlag": 1.25}, lag=True) == 0).all()


@EVERY
@BOTH
def test_bioavailability_is_a_smaller_dose(cls, kind):
    found = after_100(cls, kind, change={"f": 0.4}, bioavailability=True)
    assert found == pytest.approx(after_100(cls, kind, doses=((0, 40),)), rel=1e-12)


@EVERY
@pytest.mark.parametrize("cls", [OneCompartment, TwoCompartment, ThreeCompartment])
def test_the_area_is_what_is_absorbed_over_clearance(cls, kind):
    phi = DISPOSITION.get(cls, {"cl": 3.0, "v1": 10.0, "q2": 5.0, "v2": 12.0, "q3": 2.0, "v3": 18.0})
    whole = structure(cls, kind, bioavailability=True, lag=True)
    edges = np.union1d(np.geomspace(1, 1501, 80) - 1, [0.5, 100 * 0.4 / 40 + 0.5, 3.1, 5.8])
    found = area(lambda t: predicted(whole, t, [(0, 100)], **phi, **INPUT[kind], f=0.4, tlag=0.5), edges)
    assert found == pytest.approx(0.4 * 100 / 3, rel=1e-8)


@EVERY
def test_the_default_dose_goes_into_the_first_state(kind):
    system = structure(TwoCompartment, kind)
    dose = {"time": [0.0], "amt": [100.0]}
    expected = after_100(TwoCompartment, kind)
    for label in ("1", system.states[0]):
        found = predicted(system, T, dose | {"state": [label]}, **DISPOSITION[TwoCompartment], **INPUT[kind])
        assert (found == expected).all()


@EVERY
@pytest.mark.parametrize("named", [False, True])
def test_doses_into_central_pass_by_the_input(kind, named):
    """Not where central is itself the default state: there the record says so with a rate."""
    system = structure(TwoCompartment, kind, lag=True, bioavailability=True)
    number = system.states.index("central") + 1
    phi = DISPOSITION[TwoCompartment] | INPUT[kind] | {"tlag": 0.7, "f": 0.4}
    dose = {"time": [0.0], "amt": [100.0], "cmt": [number]}
    if named:
        dose = {"time": [0.0], "amt": [100.0], "state": ["central"]}
    found = predicted(system, T, dose, **phi)
    bolus = after_100(TwoCompartment, "bolus")
    if number > 1:
        assert found == pytest.approx(bolus, rel=1e-12)
    else:
        assert found == pytest.approx(predicted(system, T, [(0, 100)], **phi), rel=1e-15)


@EVERY
def test_an_infusion_into_the_default_state_keeps_its_rate(kind):
    """Of kinds with one way in; those with two split the amount, and a modelled input is for records without rate."""
    found = after_100(TwoCompartment, kind, doses={"time": [0.0], "amt": [100.0], "rate": [25.0]})
    if kind in ("bolus", "zero-order", "constant-rate"):
        expected = convolved(TwoCompartment, lambda t: zero_order(t, 4.0))
    elif kind in ("first-order", "sequential"):
        expected = convolved(TwoCompartment, lambda t: sequential(t, 0.9, 4.0))
    else:
        expected = found
        assert area(lambda t: after_100(
            TwoCompartment, kind, t, doses={"time": [0.0], "amt": [100.0], "rate": [25.0]}
        ), np.union1d(np.geomspace(1, 1001, 60) - 1, [1.6, 2.4, 4.0])) == pytest.approx(100 / 3, rel=1e-8)  # fmt: skip
    assert found == pytest.approx(expected, rel=1e-8, abs=1e-11)


@pytest.mark.parametrize("n", [0, 1, 7])
def test_states_and_parameters_of_transit(n):
    given = Absorption("transit", transits=n)
    assert len(given.states) == n + 2
    assert [p.name for p in given.parameters] == ["mtt", "ka"]
    flows = given.flows(Named(mtt=2.0, ka=0.5))
    assert list(flows.values()) == [0.5] + [(n + 1) / 2.0] * (n + 1)


@EVERY
def test_parameters_are_those_of_the_table(kind):
    names = [p.name for p in Absorption(kind, lag=True, bioavailability=True).parameters]
    assert names[-2:] == ["tlag", "f"]
    assert set(names[:-2]) == set(INPUT[kind])


def test_elimination_shares_what_leaves():
    p = Named(fe=0.3, fm=0.4, clm=2.0, vm=8.0)
    flows = Elimination(True, True).flows(p, 0.5)
    own = {"urine": 0.15, "metabolite": 0.5 * 0.7 * 0.4, None: 0.5 * 0.7 * 0.6}
    assert {target: rate for (source, target), rate in flows.items() if source == "central"} == pytest.approx(own)
    assert flows["metabolite", None] == 0.25
    assert Elimination().flows(p, 0.5) == {("central", None): 0.5}


@EVERY
def test_urine_collects_its_share_of_what_is_absorbed(kind):
    phi = DISPOSITION[OneCompartment] | INPUT[kind] | {"f": 0.4, "fe": 0.3}
    system = structure(OneCompartment, kind, bioavailability=True, urine=True)
    assert predicted(system, [2000.0], [(0, 100)], outcome="urine", **phi) == pytest.approx([12.0], rel=1e-9)


def test_a_metabolite_is_a_compartment_fed_by_its_parent():
    """Bateman's function of CL / V and CLm / Vm."""
    phi = {"cl": 3.0, "v": 20.0, "fm": 0.4, "clm": 2.0, "vm": 8.0}
    found = predicted(OneCompartment(metabolite=True), T, [(0, 100)], outcome="metabolite", **phi)
    expected = 100 / 8 * 0.4 * 0.15 / (0.25 - 0.15) * (np.exp(-0.15 * T) - np.exp(-0.25 * T))
    assert found == pytest.approx(expected, rel=1e-12)


@EVERY
def test_flip_flop_is_refused_only_where_there_is_a_depot(kind):
    names = [gap.__name__ for gap in OneCompartment(kind).order]
    oral = ["ka_above_k"] if Absorption(kind).first_order else []
    assert names == oral + (["ka_above_ka2"] if kind == "parallel" else [])
