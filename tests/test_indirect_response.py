"""`IndirectResponse` against its differential equation, steady states and limits, with any kinetics inside it."""

from dataclasses import dataclass

import numpy as np
import pytest
from laws import dosed, extrapolated_slope, predicted
from scipy.integrate import solve_ivp
from test_system_events import predictions

import nlmebayes as nb
from model_zoo import IndirectResponse, OneCompartment, TwoCompartment
from nlmebayes.formula.design import resolve
from nlmebayes.model.model import Model

ACTIONS = ("inhibits production", "inhibits loss", "stimulates production", "stimulates loss")
TIGHT = {"rtol": 1e-10, "atol": 1e-12}
ORAL = OneCompartment("first-order")
KINETICS = {
    OneCompartment(): {"cl": 0.3, "v": 8.0},
    ORAL: {"cl": 0.3, "v": 8.0, "ka": 0.9},
    TwoCompartment(): {"cl": 0.3, "v1": 5.0, "q": 0.5, "v2": 10.0},
}
TURNOVER = {"e0": 96.0, "kout": 0.05}
T = np.array([0.0, 1.0, 4.0, 12.0, 24.0, 48.0, 96.0, 144.0])
EVERY = pytest.mark.parametrize("action", ACTIONS)


def drug(action, sigmoid=False):
    found = {"imax": 0.9, "ic50": 1.2} if "inhibits" in action else {"emax": 2.5, "ec50": 1.2}
    return found | ({"gamma": 1.7} if sigmoid else {})


def response(action, kinetics=ORAL, *, times=T, doses=((0, 100),), sigmoid=False, outcome="effect", **change):
    structure = IndirectResponse(kinetics, action, sigmoid, **TIGHT)
    phi = KINETICS[kinetics] | TURNOVER | drug(action, sigmoid) | change
    return predicted(structure, times, doses, outcome=outcome, **phi)


def changed(action, share):
    """Production and loss, relative to those without drug."""
    factor = 1 - 0.9 * share if "inhibits" in action else 1 + 2.5 * share
    return (factor, 1) if "production" in action else (1, factor)


def followed(action, concentration, gamma=1.0):
    """kin (...) - kout (...) R by SciPy, over a concentration in closed form."""

    def slope(t, r):
        share = concentration(t) ** gamma / (1.2**gamma + concentration(t) ** gamma)
        production, loss = changed(action, share)
        return 96 * 0.05 * production - 0.05 * loss * r

    return solve_ivp(slope, (0, T[-1]), [96.0], t_eval=T, method="DOP853", rtol=1e-11, atol=1e-11, max_step=1.0).y[0]


def after_an_oral_dose(t):
    k, ka = 0.3 / 8, 0.9
    return 100 / 8 * ka / (ka - k) * (np.exp(-k * t) - np.exp(-ka * t))


def after_a_bolus_in_two_compartments(t):
    rates = np.array([[-(0.3 + 0.5) / 5, 0.5 / 10], [0.5 / 5, -0.5 / 10]])
    values, vectors = (x.real for x in np.linalg.eig(rates))
    weights = np.linalg.solve(vectors, [100.0, 0.0])
    return (vectors[0] * weights * np.exp(values * t)).sum() / 5


@EVERY
@pytest.mark.parametrize("sigmoid", [False, True])
def test_the_response_solves_its_differential_equation(action, sigmoid):
    wanted = followed(action, after_an_oral_dose, 1.7 if sigmoid else 1.0)
    assert response(action, sigmoid=sigmoid) == pytest.approx(wanted, rel=1e-8)


def test_two_compartments_drive_it_as_well():
    wanted = followed("inhibits production", after_a_bolus_in_two_compartments)
    assert response("inhibits production", TwoCompartment()) == pytest.approx(wanted, rel=1e-8)


@dataclass(frozen=True)
class Saturable(nb.System):
    states = ("central",)
    parameters = (nb.Parameter("vmax", "mg/h"), nb.Parameter("km", "mg/L"), nb.Parameter("v", "L"))

    def rhs(self, t, y, p):
        c = y.central / p.v
        return {"central": -p.vmax * c / (p.km + c)}

    def outcomes(self, t, y, p):
        return {"conc": y.central / p.v}


def test_kinetics_that_are_equations_themselves_drive_it():
    structure = IndirectResponse(Saturable(), "stimulates loss", **TIGHT)
    phi = {"vmax": 2.0, "km": 3.0, "v": 8.0} | TURNOVER | drug("stimulates loss")
    found = [predicted(structure, T, [(0, 100)], outcome=name, **phi) for name in ("conc", "effect")]

    def slope(t, y):
        return [-2 / 8 * y[0] / (3 + y[0]), 96 * 0.05 - 0.05 * (1 + 2.5 * y[0] / (1.2 + y[0])) * y[1]]

    wanted = solve_ivp(slope, (0, T[-1]), [100 / 8, 96.0], t_eval=T, method="DOP853", rtol=1e-11, atol=1e-12).y
    assert np.array(found) == pytest.approx(wanted, rel=1e-7, abs=1e-10)


@EVERY
@pytest.mark.parametrize("sigmoid", [False, True])
def test_without_drug_the_response_is_the_baseline(action, sigmoid):
    for times, doses in ((T, [(0, 0)]), ([-5.0, 0.0, 4.9], [(5, 100)])):
        found = response(action, times=times, doses=doses, sigmoid=sigmoid)
        assert (found == found[0]).all()
        assert found[0] == pytest.approx(96, rel=1e-14)  # exp(log(96))


@EVERY
@pytest.mark.parametrize("sigmoid", [False, True])
def test_at_steady_state_of_a_constant_infusion_production_and_loss_balance(action, sigmoid):
    """R = e0 production / loss at C = rate / cl = 2 mg/L."""
    gamma = 1.7 if sigmoid else 1.0
    production, loss = changed(action, 2**gamma / (1.2**gamma + 2**gamma))
    dose = {"time": [0.0], "amt": [0.0], "rate": [0.6], "ss": [1], "state": ["central"]}
    found = response(action, times=[0.0, 50.0], doses=dose, sigmoid=sigmoid)
    assert found[0] == pytest.approx(96 * production / loss, rel=1e-8)
    long = {"time": [0.0], "amt": [0.6 * 2000], "rate": [0.6], "state": ["central"]}
    assert response(action, times=[1999.0], doses=long, sigmoid=sigmoid) == pytest.approx(
        [96 * production / loss], rel=1e-8
    )


@EVERY
def test_a_drug_without_effect_leaves_the_baseline(action):
    little = {"imax": 1e-12} if "inhibits" in action else {"emax": 1e-12}
    assert response(action, **little) == pytest.approx(96, rel=1e-11)
    assert np.ptp(response(action)) > 10


@EVERY
def test_an_exponent_of_one_is_the_hyperbola(action):
    assert response(action, sigmoid=True, gamma=1.0) == pytest.approx(response(action), rel=1e-9)


@EVERY
def test_a_fast_turnover_follows_the_concentration(action):
    production, loss = changed(action, after_an_oral_dose(T) / (1.2 + after_an_oral_dose(T)))
    assert response(action, kout=1e5)[1:] == pytest.approx((96 * production / loss)[1:], rel=1e-4)


def test_the_two_inhibitions_and_the_two_stimulations_go_opposite_ways():
    down, up, rise, fall = (response(action)[1:] - 96 for action in ACTIONS)
    assert down.max() < 0 < up.min()
    assert fall.max() < 0 < rise.min()


@pytest.mark.parametrize("kinetics", KINETICS, ids=lambda x: x.label)
def test_the_response_takes_nothing_from_the_drug(kinetics):
    alone = predicted(kinetics, T, [(0, 100)], outcome="conc", **KINETICS[kinetics])
    found = response("inhibits loss", kinetics, outcome="conc")
    assert found == pytest.approx(alone, rel=1e-8, abs=1e-11)


@pytest.mark.parametrize("action", ["inhibits production", "stimulates loss"])
def test_gradients_are_those_of_differences(action):
    structure = IndirectResponse(ORAL, action, True, **TIGHT)
    model = Model(structure, *(f"{p.name} ~ 1" for p in structure.parameters))
    compute = predictions(structure, resolve(model, dosed(T, [(0, 100), (24, 50)], "effect")))
    at = KINETICS[ORAL] | TURNOVER | drug(action, sigmoid=True)
    weights = np.random.default_rng(2).normal(size=len(T))

    def total(name, x):
        return compute(*([value] for value in (at | {name: x}).values()), weights)[0] @ weights

    _, *slopes = compute(*([value] for value in at.values()), weights)
    wanted = [extrapolated_slope(lambda x, name=name: total(name, x), at[name], 1e-2) for name in at]
    scale = np.array(list(at.values()))
    assert np.ravel(slopes) * scale == pytest.approx(wanted * scale, rel=1e-6, abs=1e-6)


def test_the_parameters_are_those_of_the_kinetics_and_its_own():
    names = [p.name for p in IndirectResponse(ORAL, "stimulates loss", sigmoid=True).parameters]
    assert names == ["cl", "v", "ka", "e0", "kout", "emax", "ec50", "gamma"]
    assert [gap.__name__ for gap in IndirectResponse(ORAL).order] == ["ka_above_k"]
    with pytest.raises(ValueError, match="action must be 'inhibits production', 'inhibits loss'"):
        IndirectResponse(action="inhibits")
