"""`EffectCompartment` against its differential equation, limits, and any kinetics inside it."""

import json

import numpy as np
import pandas as pd
import pytest
from laws import curve, predicted
from scipy.integrate import solve_ivp
from scipy.interpolate import CubicSpline

from model_zoo import EffectCompartment, Emax, OneCompartment, TwoCompartment
from nlmebayes.data.dataset import Dataset
from nlmebayes.evaluation.evaluator import evaluator
from nlmebayes.evaluation.storage import revive, statement
from nlmebayes.formula.design import resolve
from nlmebayes.model.build import build
from nlmebayes.model.model import Model
from nlmebayes.structure.structure import Named

KINETICS = {
    OneCompartment(): {"cl": 3.0, "v": 20.0},
    OneCompartment("first-order"): {"cl": 3.0, "v": 20.0, "ka": 0.9},
    TwoCompartment(): {"cl": 3.0, "v1": 12.0, "q": 4.0, "v2": 20.0},
    TwoCompartment("sequential"): {"cl": 3.0, "v1": 12.0, "q": 4.0, "v2": 20.0, "ka": 0.9, "dur": 2.0},
    OneCompartment("first-order", parametrisation="rates", metabolite=True): {
        "k": 0.15, "v": 20.0, "ka": 0.9, "fm": 0.4, "clm": 2.0, "vm": 8.0,
    },
}  # fmt: skip
EVERY = pytest.mark.parametrize("kinetics", KINETICS, ids=lambda x: x.label)
EFFECT = {"ke0": 0.4, "e0": 10.0, "emax": 50.0, "ec50": 2.0}
T = np.array([0.0, 0.5, 1.0, 2.0, 3.5, 7.0, 12.0, 24.0])
WAYS = {"bolus": {"time": [0.0], "amt": [100.0]}, "infusion": {"time": [0.0], "amt": [100.0], "rate": [40.0]}}
PLAIN = EffectCompartment()


def effects(kinetics, times, doses, sigmoid=False, outcome="effect", **change):
    phi = KINETICS[kinetics] | EFFECT | ({"gamma": 2.5} if sigmoid else {}) | change
    return predicted(EffectCompartment(kinetics, sigmoid), times, doses, outcome=outcome, **phi)


def emax(site, sigmoid=False):
    gamma = 2.5 if sigmoid else 1.0
    return 10 + 50 * site**gamma / (2.0**gamma + site**gamma)


def followed(kinetics, doses, ke0=0.4):
    """C_e by SciPy's integration over the concentrations of the kinetics alone; smooth but for the breaks."""
    found, at = [0.0], {0.0: 0.0}
    for begin, end in ((0.0, 2.0), (2.0, 2.5), (2.5, 24.0)):
        fine = np.linspace(begin, end, 1 + int(200 * (end - begin)))
        conc = predicted(kinetics, fine, doses, **KINETICS[kinetics])
        plasma = CubicSpline(fine, conc)
        ode = solve_ivp(
            lambda t, y, plasma=plasma: ke0 * (plasma(t) - y), (begin, end), found[-1:], method="DOP853",
            t_eval=[*(t for t in T if begin < t < end), end], rtol=1e-10, atol=1e-12,
        )  # fmt: skip
        found = list(ode.y[0])
        at |= dict(zip(ode.t, found, strict=True))
    return np.array([at[t] for t in T])


@EVERY
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("sigmoid", [False, True])
def test_the_effect_site_solves_its_differential_equation(kinetics, way, sigmoid):
    found = effects(kinetics, T, WAYS[way], sigmoid)
    assert found == pytest.approx(emax(followed(kinetics, WAYS[way]), sigmoid), rel=1e-6)


def test_after_a_bolus_it_is_batemans_function():
    """C_e = D / V ke0 / (ke0 - k) (exp(-k t) - exp(-ke0 t)); Sheiner et al. (1979), doi:10.1002/cpt1979253358."""
    site = 5 * 0.4 / (0.4 - 0.15) * (np.exp(-0.15 * T) - np.exp(-0.4 * T))
    assert effects(OneCompartment(), T, [(0, 100)]) == pytest.approx(emax(site), rel=1e-13)


@pytest.mark.parametrize("ke0", [0.15, 0.15 * (1 + 1e-12), 0.15 * (1 + 1e-6)])
def test_a_site_as_fast_as_the_elimination(ke0):
    site = 5 * 0.15 * T * np.exp(-0.15 * T)
    assert effects(OneCompartment(), T, [(0, 100)], ke0=ke0) == pytest.approx(emax(site), rel=1e-11 + (ke0 / 0.15 - 1))


@EVERY
@pytest.mark.parametrize("way", WAYS)
def test_a_fast_site_is_the_plasma(kinetics, way):
    conc = predicted(kinetics, T[1:], WAYS[way], **KINETICS[kinetics])
    found = effects(kinetics, T[1:], WAYS[way], sigmoid=True, ke0=1e7)
    assert found == pytest.approx(emax(conc, True), rel=1e-5)


@EVERY
def test_the_site_takes_nothing_from_the_plasma(kinetics):
    alone = predicted(kinetics, T, WAYS["infusion"], **KINETICS[kinetics])
    assert effects(kinetics, T, WAYS["infusion"], outcome="conc") == pytest.approx(alone, rel=1e-12, abs=1e-13)


@EVERY
def test_at_steady_state_of_a_constant_infusion_the_site_has_the_concentration_of_the_plasma(kinetics):
    dose = {"time": [0.0], "amt": [0.0], "rate": [10.0], "ss": [1], "state": ["central"]}
    assert effects(kinetics, [0.0], dose) == pytest.approx([emax(10 / 3.0)], rel=1e-12)


def test_hysteresis_is_counterclockwise():
    """At one concentration the effect is lower on the way up than on the way down."""
    oral = OneCompartment("first-order")
    t = np.linspace(0, 24, 97)
    conc, effect = predicted(oral, t, [(0, 100)], **KINETICS[oral]), effects(oral, t, [(0, 100)])
    peak = conc.argmax()
    up = np.interp(1.0, conc[: peak + 1], effect[: peak + 1])
    down = np.interp(1.0, conc[peak:][::-1], effect[peak:][::-1])
    assert up < down - 1
    assert t[effect.argmax()] > t[peak]


def test_the_effect_at_no_dose_is_the_baseline():
    assert (effects(OneCompartment(), T, [(0, 0)]) == 10).all()
    assert (effects(OneCompartment(), [-1.0, 0.0], [(5, 100)], sigmoid=True) == 10).all()


def both(**columns):
    """Concentrations and effects of one subject by DVID."""
    return pd.DataFrame({
        "ID": 1, "TIME": [0.0, 1, 1, 4, 4], "AMT": [100.0, 0, 0, 0, 0], "DV": [np.nan, 4.0, 20.0, 2.0, 30.0],
        "DVID": [np.nan, 1, 2, 1, 2],
    } | columns)  # fmt: skip


DATA = Dataset.from_nonmem(both(), outcome={1: "conc", 2: "effect"})


def at_draws(data, size=3):
    model = Model(PLAIN, *(f"{p.name} ~ 1" for p in PLAIN.parameters))
    phi = KINETICS[OneCompartment()] | EFFECT
    theta = {p.name: p.scale.forward(np.full((size, 1), phi[p.name])) for p in PLAIN.parameters}
    return evaluator(model, resolve(model, data))(theta, {})[1]


def test_two_outcomes_are_those_of_each_alone():
    found = at_draws(DATA)
    assert found["conc"] == pytest.approx(np.tile(5 * np.exp(-0.15 * np.array([1.0, 4])), (3, 1)), rel=1e-13)
    alone = effects(OneCompartment(), [1.0, 4.0], [(0, 100)])
    assert found["effect"] == pytest.approx(np.tile(alone, (3, 1)), rel=1e-13)
    for name in ("conc", "effect"):
        assert at_draws(DATA.sel(outcome=name))[name] == pytest.approx(found[name], rel=1e-13)


def test_the_order_of_the_two_in_the_data_does_not_matter():
    turned = both(DVID=[np.nan, 2, 1, 2, 1], DV=[np.nan, 20.0, 4.0, 30.0, 2.0])
    found = at_draws(Dataset.from_nonmem(turned, outcome={1: "conc", 2: "effect"}))
    assert all((found[name] == at_draws(DATA)[name]).all() for name in ("conc", "effect"))


def test_an_outcome_it_does_not_have_lists_those_it_has():
    data = Dataset.from_nonmem(both(), outcome={1: "cp", 2: "effect"})
    with pytest.raises(ValueError, match=r"no outcome 'cp' in EffectCompartment.*its outcomes are conc, effect"):
        build(Model(PLAIN), data)


@EVERY
def test_parameters_and_order_are_those_of_the_kinetics_and_its_own(kinetics):
    whole = EffectCompartment(kinetics, sigmoid=True)
    own = ["ke0", *(p.name for p in Emax(sigmoid=True).parameters)]
    assert [p.name for p in whole.parameters] == [p.name for p in kinetics.parameters] + own
    assert [gap.__name__ for gap in whole.order] == [gap.__name__ for gap in kinetics.order]
    p = Named(**{p.name: p.typical for p in whole.parameters if p.typical})
    assert all(
        one(p).eval(mode="FAST_COMPILE") == other(p).eval(mode="FAST_COMPILE")
        for one, other in zip(whole.order, kinetics.order, strict=True)
    )


@EVERY
@pytest.mark.parametrize("sigmoid", [False, True])
def test_the_statement_holds_the_kinetics(kinetics, sigmoid):
    model = Model(EffectCompartment(kinetics, sigmoid), "ke0 ~ 1")
    revived = revive(json.loads(statement(model)))
    assert revived.structure == model.structure
    assert type(revived.structure.kinetics) is type(kinetics)
    assert statement(revived) == statement(model)


def test_the_effect_is_that_of_the_emax_model():
    found, _ = curve(Emax(sigmoid=True))(e0=10.0, emax=50.0, ec50=2.0, gamma=2.5, concentration=3.0)
    assert found == pytest.approx(emax(3.0, True), rel=1e-13)
