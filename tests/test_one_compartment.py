"""`OneCompartment` against its differential equations, exact arithmetic and limits."""

from decimal import Decimal, localcontext

import numpy as np
import pytest
from laws import BOLUS, ORAL, exact_bateman, exact_slope, predicted, response
from scipy.integrate import solve_ivp

from model_zoo import OneCompartment
from nlmebayes.structure.structure import Named


def test_a_bolus_decays_exponentially():
    """Gibaldi and Perrier (1982), eq. 1.9: C = D / V exp(-CL / V t)."""
    t = np.linspace(0, 48, 9)
    assert predicted(BOLUS, t, [(0, 320)], cl=2.8, v=32.0) == pytest.approx(10 * np.exp(-2.8 / 32 * t), rel=1e-13)


def test_first_order_absorption_is_the_formula_of_the_docstring():
    """Gibaldi and Perrier (1982), eq. 1.95."""
    t, ka, k, v = np.linspace(0, 48, 9), 1.5, 2.8 / 32, 32.0
    expected = 320 * ka / (v * (ka - k)) * (np.exp(-k * t) - np.exp(-ka * t))
    assert predicted(ORAL, t, [(0, 320)], cl=2.8, v=v, ka=ka) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("ka", [1.5, 0.09375, 0.02])
def test_one_compartment_solves_its_differential_equations(ka):
    """The middle ka equals cl / v, the last one is slower (flip-flop)."""
    cl, v, doses, times = 3.0, 32.0, [(0, 100), (6, 50), (12.5, 200), (24, 10)], np.linspace(0, 48, 33)[1:]
    state, start, solution = np.zeros(2), 0.0, {}
    for dose, stop in zip(doses, [6, 12.5, 24, 48], strict=True):
        state[0] += dose[1]
        inside = times[(times > start) & (times <= stop)]
        found = solve_ivp(
            lambda _, y: [-ka * y[0], ka * y[0] - cl / v * y[1]], (start, stop), state,
            method="DOP853", t_eval=np.union1d(inside, [stop]), rtol=1e-10, atol=1e-12,
        )  # fmt: skip
        solution |= dict(zip(found.t, found.y[1] / v, strict=True))
        state, start = found.y[:, -1].copy(), stop
    expected = [solution[t] for t in times]
    # At 6 and 24 a dose meets a sample and acts before it, which in this state changes nothing yet.
    assert predicted(ORAL, times, doses, cl=cl, v=v, ka=ka) == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("gap", [0.0, *(10.0**-k for k in range(2, 13)), -1e-12, -1e-6, -1e-2])
def test_oral_concentrations_near_equal_rates(gap):
    cl, v, t = 3.0, 32.0, [0.1, 2.0, 24.0, 200.0]
    ka = cl / v * (1 + gap)
    exact = [float(Decimal(ka) / Decimal(v) * exact_bateman(ka, cl / v, x)) for x in t]
    assert response(ORAL)(cl=cl, v=v, ka=ka, t=t)[0] == pytest.approx(exact, rel=1e-12, abs=0)


def exact_oral(cl, v, ka, t):
    with localcontext(prec=60):
        return Decimal(ka) / Decimal(v) * exact_bateman(ka, Decimal(cl) / Decimal(v), t)


@pytest.mark.parametrize("ka", [0.09375, 0.09375 * (1 + 1e-9), 0.09375 * (1 - 1e-4), 1.5, 0.01])
@pytest.mark.parametrize("t", [0.5, 10.0, 100.0])
def test_oral_gradients_are_exact_also_at_equal_rates(ka, t):
    at = {"cl": 3.0, "v": 32.0, "ka": ka, "t": t}
    _, slopes = response(ORAL)(**at)
    exact = [float(exact_slope(exact_oral, tuple(at.values()), i)) for i in range(3)]
    assert [slopes[name][0] for name in ("cl", "v", "ka")] == pytest.approx(exact, rel=1e-9)


EXTREME = [
    {"cl": 1e-8, "v": 1e4, "ka": 1e6, "t": 1e5},
    {"cl": 1e6, "v": 1e-2, "ka": 1e-6, "t": 1e3},
    {"cl": 1e3, "v": 1e-3, "ka": 1e6, "t": 10.0},
    {"cl": 1e-12, "v": 1.0, "ka": 1e-12, "t": 1e6},
    {"cl": 3.0, "v": 30.0, "ka": 1.5, "t": 1e7},
    {"cl": 3.0, "v": 30.0, "ka": 1.5, "t": 0.0},
]


@pytest.mark.parametrize("at", EXTREME, ids=str)
def test_extreme_rates_and_times_are_finite_and_right(at):
    value, slopes = response(ORAL)(**at)
    exact = float(exact_oral(*at.values()))
    assert value == pytest.approx(exact, rel=1e-10, abs=1e-300)
    assert all(np.isfinite(s).all() for s in slopes.values())


def test_fast_absorption_is_a_bolus():
    t = np.linspace(0.1, 48, 9)
    oral = predicted(ORAL, t, [(0, 100)], cl=3.0, v=30.0, ka=1e9)
    assert oral == pytest.approx(predicted(BOLUS, t, [(0, 100)], cl=3.0, v=30.0), rel=1e-8)


def test_the_area_under_the_curve_is_dose_over_clearance():
    t = np.concatenate([np.linspace(0, 20, 20_001), np.linspace(20, 400, 20_001)[1:]])
    value = predicted(ORAL, t, [(0, 1)], cl=3.0, v=30.0, ka=1.5)
    assert np.trapezoid(value, t) == pytest.approx(1 / 3.0, rel=1e-6)


def test_flip_flop_is_the_same_curve():
    """ka and k exchanged, with v scaled by k / ka."""
    t = np.linspace(0, 48, 9)
    one = predicted(ORAL, t, [(0, 100)], cl=3.0, v=30.0, ka=1.5)
    other = predicted(ORAL, t, [(0, 100)], cl=3.0, v=2.0, ka=0.1)
    assert one == pytest.approx(other, rel=1e-12)


def test_the_order_of_rates_is_declared_unless_flip_flop_is_asked_for():
    (gap,) = OneCompartment("first-order").order
    found = gap(Named(cl=3.0, v=30.0, ka=np.array([0.2, 0.1, 0.05]))).eval(mode="FAST_COMPILE")
    assert np.sign(np.round(found, 12)).tolist() == [1, 0, -1]
    assert ORAL.order == BOLUS.order == ()


def test_unknown_absorption_lists_what_there_is():
    with pytest.raises(ValueError, match="OneCompartment: absorption must be 'bolus', 'first-order', 'zero-order'"):
        OneCompartment("oral")
