"""`CarTPredatorPrey` against SciPy, the steady state, a conserved quantity, and each kind of cell alone."""

import numpy as np
import pytest
from laws import dosed, extrapolated_slope, predicted
from scipy.integrate import solve_ivp
from test_system_events import predictions

from model_zoo import CarTPredatorPrey
from nlmebayes.formula.design import resolve
from nlmebayes.model.model import Model

T = np.array([0.0, 2.0, 7.0, 10.0, 14.0, 21.0, 28.0, 60.0])
TIGHT = CarTPredatorPrey(rtol=1e-10, atol=1e-13)
PHI = {"t0": 50.0, "r": 0.03, "k": 1000.0, "kill": 0.05, "expansion": 0.8, "half": 20.0, "death": 0.2}


def cells(times=T, doses=((0.0, 0.1),), outcome="tumour", **change):
    return predicted(TIGHT, times, doses, outcome=outcome, **PHI | change)


def rhs(t, y, r, k, kill, expansion, half, death):
    tumour, cart = y
    growth, expanding = r * (1 - tumour / k), expansion * tumour / (half + tumour)
    return [(growth - kill * cart) * tumour, (expanding - death) * cart]


def scipys(times, given, t0, rate=0.0, ends=0.0, **rates):
    """Both cells at times from 0; ``given`` at once at time 0, or ``rate`` until ``ends``."""
    found, y, begin = [], [t0, given], 0.0
    for end, into in ((ends, rate), (times[-1], 0.0)):
        if end > begin:
            ode = solve_ivp(
                lambda t, y, into=into: np.add(rhs(t, y, **rates), [0.0, into]), (begin, end), y, method="DOP853",
                dense_output=True, rtol=1e-12, atol=1e-14,
            )  # fmt: skip
            here = times[(times >= begin) & ((times < end) | (end == times[-1]))]
            found.append(ode.sol(here))
            y, begin = ode.y[:, -1], end
    return np.concatenate(found, axis=1)


@pytest.mark.parametrize("change", [{}, {"half": 200.0}, {"t0": 900.0, "kill": 0.3}, {"expansion": 0.15}])
def test_a_bolus_is_scipys(change):
    wanted = scipys(T, 0.1, **PHI | change)
    for name, row in zip(("tumour", "cart"), wanted, strict=True):
        assert cells(outcome=name, **change) == pytest.approx(row, rel=1e-7)


def test_an_infusion_is_scipys():
    doses = {"time": [0.0], "amt": [0.1], "duration": [5.0]}
    wanted = scipys(T, 0.0, rate=0.02, ends=5.0, **PHI)
    for name, row in zip(("tumour", "cart"), wanted, strict=True):
        assert cells(doses=doses, outcome=name) == pytest.approx(row, rel=1e-7)


def test_without_cells_the_tumour_is_logistic():
    k, r, t0 = PHI["k"], PHI["r"], PHI["t0"]
    assert cells(doses=()) == pytest.approx(t0 * k / (t0 + (k - t0) * np.exp(-r * T)), rel=1e-9)
    assert (cells(doses=(), outcome="cart") == 0).all()


def test_without_a_target_the_cells_die():
    found = cells(t0=1e-12, kill=1e-12, outcome="cart")
    assert found == pytest.approx(0.1 * np.exp(-0.2 * T), rel=1e-9)


def test_doses_enter_the_cells_and_add_up():
    found = cells([0.0, 3.0], doses=((0.0, 0.1), (3.0, 0.4)), outcome="cart", t0=1e-12)
    assert found == pytest.approx([0.1, 0.1 * np.exp(-0.6) + 0.4], rel=1e-9)
    named = {"time": [0.0], "amt": [0.1], "state": ["cart"]}
    assert (cells(doses=named) == cells()).all()


def test_the_steady_state_is_one():
    """T* = half death / (expansion - death), C* = r (1 - T* / K) / kill."""
    target = 20 * 0.2 / 0.6
    level = 0.03 * (1 - target / 1000) / 0.05
    assert cells(doses=((0.0, level),), t0=target) == pytest.approx(np.full(len(T), target), rel=1e-8)
    assert cells(doses=((0.0, level),), t0=target, outcome="cart") == pytest.approx(np.full(len(T), level), rel=1e-8)


def test_what_lotka_and_volterra_conserve():
    """Far below K and half: V = a T - death log T + kill C - r log C with a = expansion / half is constant."""
    change = {"half": 1e9, "expansion": 0.02 * 1e9, "k": 1e12}
    t = np.linspace(0, 200, 41)
    prey, predator = (cells(t, ((0.0, 0.5),), name, **change) for name in ("tumour", "cart"))
    conserved = 0.02 * prey - 0.2 * np.log(prey) + 0.05 * predator - 0.03 * np.log(predator)
    assert np.ptp(np.log(prey)) > 3
    assert conserved == pytest.approx(np.full(len(t), conserved[0]), rel=1e-6)


@pytest.mark.parametrize("outcome", ["tumour", "cart"])
def test_gradients_are_those_of_differences(outcome):
    compute = predictions(TIGHT, resolve(Model(TIGHT), dosed(T, [(0.0, 0.1)], outcome)))
    weights = 1 / cells(outcome=outcome)
    _, *slopes = compute(*([x] for x in PHI.values()), weights)
    for name, slope in zip(PHI, slopes, strict=True):
        wanted = extrapolated_slope(
            lambda x, name=name: weights @ compute(*([y] for y in (PHI | {name: x}).values()), weights)[0], PHI[name]
        )
        assert slope[0] == pytest.approx(wanted, rel=1e-5)
