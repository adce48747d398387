"""`TumourGrowthInhibition` against SciPy, `TumourGrowth`, and what becomes of damaged cells."""

from itertools import pairwise

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from laws import dosed, extrapolated_slope, predicted
from scipy.integrate import solve_ivp
from test_system_events import predictions

from model_zoo import OneCompartment, TumourGrowth, TumourGrowthInhibition, TwoCompartment
from nlmebayes import Named
from nlmebayes.formula.design import resolve
from nlmebayes.model.model import Model

T = np.array([0.0, 2.0, 5.0, 8.0, 12.0, 17.0, 25.0, 40.0])
TIGHT = {"rtol": 1e-10, "atol": 1e-12}
ONE = {"cl": 20.0, "v": 10.0}
GROWTH = {"simeoni": {"y0": 90.0, "lambda0": 0.27, "lambda1": 200.0}, "exponential": {"y0": 90.0, "r": 0.2}}
KILL = {"k1": 0.9, "k2": 0.6}
DOSES = [(4.0, 30.0), (8.0, 30.0), (12.0, 30.0)]
LAWS = pytest.mark.parametrize("law", GROWTH)


def values(law, doses=DOSES, times=T, transits=3, outcome="size", kinetics=None, own=ONE, **change):
    structure = TumourGrowthInhibition(kinetics or OneCompartment(), law, transits, **TIGHT)
    phi = own | GROWTH[law] | KILL | change
    return predicted(structure, times, doses, outcome=outcome, **{p.name: phi[p.name] for p in structure.parameters})


def scipys(law, conc, transits, times=T, breaks=(4.0, 8.0, 12.0)):
    """Sizes under a concentration that is a function of time, smooth between the breaks; plain NumPy."""
    g = GROWTH[law]

    def rhs(t, x):
        linear = 0.0 if law == "exponential" else g["lambda0"] / g["lambda1"] * x.sum()
        rate = g["r"] if law == "exponential" else g["lambda0"] / (1 + linear**20) ** 0.05
        moved = np.concatenate([[0.6 * conc(t) * x[0]], 0.9 * x[1:]])
        slope = -moved
        slope[0] += rate * x[0]
        slope[1:] += moved[:-1]
        return slope

    x, edges, found = np.array([g["y0"], *[0.0] * transits]), [0.0, *breaks, times[-1]], []
    for begin, end in pairwise(edges):
        middle = np.nextafter(begin, np.inf), np.nextafter(end, -np.inf)  # a bolus acts within
        ode = solve_ivp(rhs, middle, x, method="DOP853", dense_output=True, rtol=1e-12, atol=1e-13)
        found.append(ode.sol(times[(times >= begin) & ((times < end) | (end == times[-1]))]).sum(axis=0))
        x = ode.y[:, -1]
    return np.concatenate(found)


def boluses(t):
    return sum(3.0 * np.exp(-2.0 * (t - at)) * (t >= at) for at, _ in DOSES)


@LAWS
@pytest.mark.parametrize("transits", [0, 1, 3])
def test_the_size_is_scipys(law, transits):
    assert values(law, transits=transits) == pytest.approx(scipys(law, boluses, transits), rel=1e-7)


@LAWS
@pytest.mark.parametrize("doses", [[], [(4.0, 0.0)]])
def test_without_drug_it_is_the_growth(law, doses):
    wanted = predicted(TumourGrowth(law, **TIGHT), T, [], **GROWTH[law])
    assert values(law, doses) == pytest.approx(wanted, rel=1e-8)
    assert values(law, k2=1e-14) == pytest.approx(wanted, rel=1e-8)


def test_concentrations_are_those_of_the_kinetics():
    two = {"cl": 20.0, "v1": 6.0, "q": 5.0, "v2": 15.0, "ka": 9.0}
    kinetics = TwoCompartment("first-order")
    wanted = predicted(kinetics, T, DOSES, **two)
    assert values("simeoni", kinetics=kinetics, own=two, outcome="conc") == pytest.approx(wanted, rel=1e-7, abs=1e-10)


def in_tumour(ke0):
    """Concentration in the tumour after the boluses: one that follows a sum of exponentials."""
    decay = lambda t, rate: np.exp(-rate * t)  # noqa: E731
    return lambda t: sum(
        3.0 * ke0 / (2.0 - ke0) * (decay(t - at, ke0) - decay(t - at, 2.0)) * (t >= at) for at, _ in DOSES
    )


def slopes_of(structure, **phi):
    """Slopes of the states as a function of time and states, from the class's own equations."""
    y, names = pt.dvector(), structure.states
    found = structure.rhs(0.0, Named(**{name: y[i] for i, name in enumerate(names)}), Named(**phi))
    compiled = pytensor.function([y], pt.stack([found[name] for name in names]), mode="FAST_COMPILE")
    return lambda t, state: compiled(state)


def test_a_tumour_that_follows_the_plasma_is_scipys():
    """The equations by SciPy, beside a concentration in the tumour in closed form."""
    structure = TumourGrowthInhibition(OneCompartment(), site="tumour")
    rhs = slopes_of(structure, **ONE | GROWTH["simeoni"] | KILL, ke0=0.3)
    names, state, found = list(structure.states), np.zeros(len(structure.states)), []
    state[names.index("cycling")] = GROWTH["simeoni"]["y0"]
    for begin, end in pairwise([0.0, *(at for at, _ in DOSES), T[-1]]):
        state[names.index("central")] += 30.0 * (begin > 0)
        ode = solve_ivp(rhs, (begin, end), state, method="LSODA", dense_output=True, rtol=1e-9, atol=1e-10)
        found.append(ode.sol(T[(begin <= T) & ((end > T) | (end == T[-1]))]))
        state = ode.y[:, -1]
    found = dict(zip(names, np.concatenate(found, axis=1), strict=True))
    size = sum(x for name, x in found.items() if name not in ("central", "site"))
    assert size == pytest.approx(scipys("simeoni", in_tumour(0.3), 3), rel=1e-6)
    assert found["site"] == pytest.approx(in_tumour(0.3)(T), rel=1e-5, abs=1e-7)


def test_a_tumour_in_equilibrium_is_the_plasma():
    far, near = (TumourGrowthInhibition(OneCompartment(), site=site) for site in ("tumour", "plasma"))
    phi = ONE | GROWTH["simeoni"] | KILL
    state = {"central": 20.0, "site": 2.0, "cycling": 80.0, "damaged1": 9.0, "damaged2": 8.0, "damaged3": 7.0}
    there = slopes_of(far, **phi, ke0=0.3)(0.0, [state[name] for name in far.states])
    here = slopes_of(near, **phi)(0.0, [state[name] for name in near.states])
    assert dict(zip(far.states, there, strict=True)) == pytest.approx(
        {"site": 0.0} | dict(zip(near.states, here, strict=True))
    )


def test_kinetics_within_kinetics():
    found = values("simeoni", kinetics=TwoCompartment(), own={"cl": 20.0, "v1": 10.0, "q": 1e-12, "v2": 5.0})
    assert found == pytest.approx(values("simeoni"), rel=1e-8)


def test_damaged_cells_are_conserved_until_they_die():
    """Damaged cells that do not move on, of a tumour that does not grow, keep the size what it was."""
    assert values("exponential", r=1e-14, k1=1e-14) == pytest.approx(np.full(len(T), 90.0), rel=1e-9)


@pytest.mark.parametrize("transits", [1, 3])
def test_cells_die_after_as_many_stages_on_average(transits):
    """All cells are damaged at once: the area under the size is y0 times the mean time to death, transits / k1."""
    fine = np.linspace(0, 40, 4001)
    found = values("exponential", [(0.0, 1e4)], fine, transits, r=1e-14, k2=1.0, cl=1e-9)
    assert np.trapezoid(found, fine) == pytest.approx(90 * (transits / 0.9 + 1e-3), rel=1e-4)


def test_a_constant_concentration_above_the_threshold_shrinks_the_tumour_at_a_known_rate():
    """Cycling cells then change by exp((r - k2 C) t)."""
    steady = {"time": [0.0, 0.0], "amt": [10.0 * 0.5, 1000.0], "rate": [0.0, 20.0 * 0.5]}
    found = values("exponential", steady, transits=0)
    assert found == pytest.approx(90 * np.exp((0.2 - 0.6 * 0.5) * T), rel=1e-8)


@pytest.mark.parametrize("transits", [0, 5])
def test_any_number_of_stages(transits):
    structure = TumourGrowthInhibition(transits=transits)
    assert len(structure.states) == 2 + transits
    assert ("k1" in [p.name for p in structure.parameters]) == (transits > 0)


def test_gradients_are_those_of_differences():
    structure = TumourGrowthInhibition(**TIGHT)
    at = ONE | GROWTH["simeoni"] | KILL
    compute = predictions(structure, resolve(Model(structure), dosed(T, DOSES, "size")))
    weights = 1 / values("simeoni")
    _, *slopes = compute(*([x] for x in at.values()), weights)
    for name, slope in zip(at, slopes, strict=True):
        wanted = extrapolated_slope(
            lambda x, name=name: weights @ compute(*([y] for y in (at | {name: x}).values()), weights)[0], at[name]
        )
        assert slope[0] == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize(("amount", "every", "count"), [(120.0, 4.0, 3), (360.0, 1.0, 1), (30.0, 1.0, 12)])
def test_days_below_the_size_at_the_start_are_those_of_the_area_so_far(amount, every, count):
    """Without stages and with exponential growth, size = y0 exp(r t - k2 AUC(t)), whatever the regimen."""
    times, doses = np.linspace(0, 20, 161), [(every * i, amount) for i in range(count)]
    area = sum(amount / 20 * -np.expm1(-2.0 * np.maximum(times - at, 0.0)) for at, _ in doses)
    expected = 90 * np.exp(0.2 * times - 0.15 * area)
    found = values("exponential", doses, times, transits=0, k2=0.15)
    assert found == pytest.approx(expected, rel=1e-7)
    away = np.abs(expected / 90 - 1) > 1e-6  # where rounding decides nothing
    assert ((found < 90) == (expected < 90))[away].all()
