"""`MichaelisMenten` against SciPy, Lambert's function, areas, steady states, and the linear models it becomes."""

from itertools import pairwise

import numpy as np
import pytest
from laws import area, dosed_slopes, predicted
from scipy.integrate import solve_ivp
from scipy.special import lambertw

from model_zoo import MichaelisMenten, OneCompartment, TwoCompartment

TIGHT = {"rtol": 1e-11, "atol": 1e-12}
T = np.array([0.0, 0.5, 1.0, 2.0, 3.5, 7.0, 12.0, 24.0, 30.0, 48.0])
ALL = {
    "vmax": 12.0, "km": 2.0, "cl": 0.7, "v": 30.0, "v1": 15.0, "q": 4.0, "v2": 25.0, "ka": 1.1, "ka2": 0.2, "dur": 2.5,
    "r0": 70.0, "fr": 0.4, "mtt": 1.3, "tlag": 0.4, "f": 0.6,
}  # fmt: skip
KINDS = ("bolus", "first-order", "zero-order", "constant-rate", "sequential", "mixed", "parallel", "transit")
WAYS = {
    "boluses": {"time": [0.0, 24.0], "amt": [300.0, 400.0], "rate": [0.0, 0.0]},
    "infusions": {"time": [0.0, 24.0], "amt": [300.0, 400.0], "rate": [60.0, 200.0]},
}
each_size = pytest.mark.parametrize("compartments", [1, 2])
each_path = pytest.mark.parametrize("linear", [False, True])


def needed(structure):
    return {p.name: ALL[p.name] for p in structure.parameters}


def by_scipy(doses, compartments, linear, oral):
    """Concentrations at T; the state is (depot, central, peripheral)."""
    v = 30.0 if compartments == 1 else 15.0
    ka, q, cl = 1.1 if oral else 0.0, 4.0 if compartments == 2 else 0.0, 0.7 if linear else 0.0
    entry = 0 if oral else 1
    doses = list(zip(*doses.values(), strict=True))
    infused = [(start, start + amount / rate, rate) for start, amount, rate in doses if rate]
    breaks = sorted({0.0, 24.0, 48.0, *(end for _, end, _ in infused)})
    found, y = {}, np.zeros(3)
    for begin, end in pairwise(breaks):
        y[entry] += sum(amount for start, amount, rate in doses if start == begin and not rate)
        rate = np.zeros(3)
        rate[entry] = sum(r for first, last, r in infused if first <= begin < last)

        def slope(t, y, rate=rate):
            c, exchange = y[1] / v, q * (y[1] / v - y[2] / 25.0)
            own = [-ka * y[0], ka * y[0] - 12.0 * c / (2.0 + c) - cl * c - exchange, exchange]
            return np.add(rate, own)

        ode = solve_ivp(slope, (begin, end), y, method="DOP853", dense_output=True, rtol=1e-12, atol=1e-12)
        found |= {t: ode.sol(t)[1] / v for t in T if begin <= t < end or t == 48.0 == end}
        y = ode.y[:, -1].copy()
    return np.array([found[t] for t in T])


@each_size
@each_path
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", ["bolus", "first-order"])
def test_it_solves_its_differential_equation(compartments, linear, way, kind):
    structure = MichaelisMenten(kind, compartments, linear, **TIGHT)
    wanted = by_scipy(WAYS[way], compartments, linear, kind == "first-order")
    assert predicted(structure, T, WAYS[way], **needed(structure)) == pytest.approx(wanted, rel=1e-8, abs=1e-10)


@pytest.mark.parametrize(("kind", "compartments"), list(zip(KINDS, [1, 2] * 4, strict=True)))
def test_far_below_km_it_is_linear(kind, compartments):
    """Of a capacity and a km both 10^10 times larger only the ratio is left, the clearance."""
    options = {"lag": True, "bioavailability": True}
    structure = MichaelisMenten(kind, compartments, **options, **TIGHT)
    closed = (OneCompartment, TwoCompartment)[compartments - 1](kind, flip_flop=True, **options)
    doses = {"time": [0.0, 24.0], "amt": [300.0, 400.0]}
    wanted = predicted(closed, T, doses, **{p.name: (ALL | {"cl": 6.0})[p.name] for p in closed.parameters})
    found = predicted(structure, T, doses, **needed(structure) | {"vmax": 12e10, "km": 2e10})
    assert found == pytest.approx(wanted, rel=1e-8, abs=1e-10)


@each_size
def test_without_capacity_the_linear_path_is_left(compartments):
    structure = MichaelisMenten("first-order", compartments, linear=True, **TIGHT)
    closed = (OneCompartment, TwoCompartment)[compartments - 1]("first-order")
    wanted = predicted(closed, T, [(0, 300)], **{p.name: ALL[p.name] for p in closed.parameters})
    found = predicted(structure, T, [(0, 300)], **needed(structure) | {"vmax": 1e-12})
    assert found == pytest.approx(wanted, rel=1e-8)


@pytest.mark.parametrize("dose", [1.0, 100.0, 1000.0])
def test_after_a_bolus_it_is_lamberts_function(dose):
    """C / km exp(C / km) = C0 / km exp((C0 - vmax t / v) / km)."""
    start = dose / 30.0 / 2.0
    wanted = 2.0 * lambertw(start * np.exp(start - 12.0 * T / 30.0 / 2.0)).real
    structure = MichaelisMenten(rtol=1e-11, atol=1e-15)
    assert predicted(structure, T, [(0, dose)], **needed(structure)) == pytest.approx(wanted, rel=1e-8)


@pytest.mark.parametrize("dose", [10.0, 500.0])
def test_the_area_grows_faster_than_the_dose(dose):
    """AUC = C0 (km + C0 / 2) v / vmax after a bolus: the integral of dC (km + C) v / vmax."""
    structure, first = MichaelisMenten(**TIGHT), dose / 30.0
    found = area(lambda t: predicted(structure, t, [(0, dose)], **needed(structure)), np.linspace(0, 400, 41))
    assert found == pytest.approx(first * (2.0 + first / 2) * 30.0 / 12.0, rel=1e-8)


@each_size
@each_path
def test_the_steady_state_of_an_infusion_balances_it(compartments, linear):
    structure, conc = MichaelisMenten(compartments=compartments, linear=linear, **TIGHT), 9.0
    rate = 12.0 * conc / (2.0 + conc) + 0.7 * conc * linear
    dose = {"time": [0.0], "amt": [24 * rate], "rate": [rate], "ii": [24.0], "ss": [1]}
    assert predicted(structure, [0.0], dose, **needed(structure)) == pytest.approx([conc], rel=1e-8)


def test_beyond_the_capacity_only_a_linear_path_has_a_steady_state():
    dose = {"time": [0.0], "amt": [14.0 * 24], "rate": [14.0], "ii": [24.0], "ss": [1]}
    alone, both = MichaelisMenten(), MichaelisMenten(linear=True)
    assert np.isnan(predicted(alone, [0.0], dose, **needed(alone))).all()
    conc = predicted(both, [0.0], dose, **needed(both))
    assert 12.0 * conc / (2.0 + conc) + 0.7 * conc == pytest.approx(14.0, rel=1e-6)


def test_a_steady_state_of_doses_is_what_many_doses_lead_to():
    structure = MichaelisMenten("first-order", **TIGHT)
    doses = {"time": [0.0], "amt": [200.0], "ii": [24.0]}
    reached = predicted(structure, 80 * 24 + T[:7], doses | {"addl": [80]}, **needed(structure))
    assert predicted(structure, T[:7], doses | {"ss": [1]}, **needed(structure)) == pytest.approx(reached, rel=1e-7)


@each_size
@pytest.mark.parametrize("kind", ["bolus", "sequential"])
def test_slopes_are_those_of_differences(kind, compartments):
    structure = MichaelisMenten(kind, compartments, linear=True, **TIGHT)
    found, wanted = dosed_slopes(structure, T[1:], WAYS["boluses"], "conc", **needed(structure))
    assert found == pytest.approx(wanted, rel=1e-6)
    assert (np.abs(found) > 1e-3).all()


def test_slopes_of_a_steady_state_are_those_of_differences():
    structure = MichaelisMenten("first-order", **TIGHT)
    doses = {"time": [0.0], "amt": [200.0], "ii": [24.0], "ss": [1]}
    found, wanted = dosed_slopes(structure, T, doses, "conc", **needed(structure))
    assert found == pytest.approx(wanted, rel=1e-6)


def test_parallel_depots_are_told_apart_by_their_rates():
    assert [gap.__name__ for gap in MichaelisMenten("parallel").order] == ["ka_above_ka2"]


@pytest.mark.parametrize("options", [{"compartments": 3}, {"absorption": "oral"}])
def test_options_are_checked(options):
    with pytest.raises(ValueError, match=r"MichaelisMenten: \w+ must be .*; got"):
        MichaelisMenten(**options)
