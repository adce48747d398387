"""`DirectEffect`: laws beside plain NumPy, kinetics beside SciPy and closed forms, slopes, units, refusals."""

from itertools import product

import numpy as np
import pytest
from laws import compiled, predicted
from pytensor.compile.mode import Mode
from scipy.integrate import solve_ivp

import nlmebayes as nb
from model_zoo import DirectEffect, EffectCompartment, MichaelisMenten, OneCompartment, TwoCompartment
from nlmebayes.structure.structure import Named

T = np.array([0.0, 0.5, 1.0, 2.0, 3.5, 7.0, 12.0, 24.0])
ORAL = {"cl": 3.0, "v": 20.0, "ka": 0.9}
LAWS = {
    "emax": ({"most": 0.8, "half": 2.0}, lambda c: 0.8 * c / (2 + c)),
    "sigmoid": ({"most": 0.8, "half": 2.0, "gamma": 2.5}, lambda c: 0.8 * c**2.5 / (2**2.5 + c**2.5)),
    "linear": ({"slope": 0.15}, lambda c: 0.15 * c),
    "power": ({"slope": 0.15, "gamma": 0.6}, lambda c: 0.15 * c**0.6),
    "threshold": ({"slope": 0.15, "threshold": 1.2}, lambda c: np.where(c > 1.2, 0.15 * (c - 1.2), 0.0)),
}
BASELINES = {"additive": lambda s: 10 + s, "proportional": lambda s: 10 * (1 + s), "none": lambda s: s}
SIGNS = {"stimulates": 1, "inhibits": -1}
EVERY = pytest.mark.parametrize(("law", "baseline", "direction"), list(product(LAWS, BASELINES, SIGNS)))


def values(law, baseline, direction):
    """Parameters of the effect by their names."""
    names = dict(zip(("most", "half"), ("imax", "ic50") if direction == "inhibits" else ("emax", "ec50"), strict=True))
    own = {names.get(name, name): value for name, value in LAWS[law][0].items()}
    return own if baseline == "none" else {"e0": 10.0} | own


def oral(t):
    """Bateman's function after 100 mg."""
    return 5 * 0.9 / (0.9 - 0.15) * (np.exp(-0.15 * t) - np.exp(-0.9 * t))


@EVERY
def test_the_effect_is_the_law_at_the_concentration_of_the_moment(law, baseline, direction):
    structure = DirectEffect(OneCompartment("first-order"), law, baseline, direction)
    found = predicted(structure, T, [(0, 100)], outcome="effect", **ORAL, **values(law, baseline, direction))
    expected = BASELINES[baseline](SIGNS[direction] * LAWS[law][1](oral(T)))
    assert found == pytest.approx(expected, rel=1e-11, abs=1e-12)


@EVERY
def test_slopes_are_those_of_finite_differences_and_finite_without_drug(law, baseline, direction):
    structure, own = DirectEffect(OneCompartment(), law, baseline, direction), values(law, baseline, direction)

    def effect(at):
        p = Named(**{name: at[name] for name in own}, cl=0.15, v=1.0)
        return structure.outcomes(None, Named(central=at["central"]), p)["effect"]

    # Without rewrites, some of which would hide 0 times infinity.
    evaluate = compiled(effect, [*own, "central"], Mode(linker="py", optimizer=None))
    at = own | {"central": np.array([0.0, 0.7, 1.9, 40.0])}
    value, slopes = evaluate(**at)
    assert np.isfinite([*slopes.values()]).all()
    for name in own:
        step = 1e-5 * own[name]
        up, down = (evaluate(**at | {name: own[name] + s})[0] for s in (step, -step))
        assert slopes[name] == pytest.approx((up - down) / (2 * step), rel=1e-6, abs=1e-8)
    up, down = (evaluate(**at | {"central": at["central"] + s})[0] for s in (1e-5, -1e-5))
    assert slopes["central"][1:] == pytest.approx(((up - down) / 2e-5)[1:], rel=1e-6, abs=1e-8)
    none = BASELINES[baseline](0.0)
    assert value[0] == pytest.approx(none)


def test_over_kinetics_that_saturate_it_is_scipys():
    values = {"vmax": 8.0, "km": 1.5, "v": 20.0}
    structure = DirectEffect(MichaelisMenten(rtol=1e-10, atol=1e-12), "sigmoid")
    phi = {p.name: values[p.name] for p in structure.kinetics.parameters}
    found = predicted(structure, T, [(0, 100)], outcome="effect", **phi, e0=10.0, emax=0.8, ec50=2.0, gamma=2.5)
    ode = solve_ivp(lambda t, c: -0.4 * c / (1.5 + c), (0, 24), [5.0], t_eval=T, rtol=1e-11, atol=1e-13)
    assert found == pytest.approx(10 + LAWS["sigmoid"][1](ode.y[0]), rel=1e-8)


def test_a_fast_effect_site_is_no_delay():
    kinetics, own = TwoCompartment("first-order"), {"e0": 10.0, "emax": 50.0, "ec50": 2.0}
    phi = {"cl": 3.0, "v1": 12.0, "q": 4.0, "v2": 20.0, "ka": 0.9} | own
    site = predicted(EffectCompartment(kinetics), T, [(0, 100)], outcome="effect", **phi, ke0=1e7)
    assert predicted(DirectEffect(kinetics), T, [(0, 100)], outcome="effect", **phi) == pytest.approx(site, rel=1e-5)


def test_a_steep_sigmoid_is_a_step():
    structure = DirectEffect(OneCompartment(), "sigmoid", "none")
    phi = {"cl": 3.0, "v": 20.0, "emax": 7.0, "ec50": 2.0, "gamma": 1e4}
    found = predicted(structure, T[1:], [(0, 100)], outcome="effect", **phi)
    assert found == pytest.approx(np.where(5 * np.exp(-0.15 * T[1:]) > 2, 7.0, 0.0), abs=1e-9)


def test_it_holds_in_other_units_of_time():
    model = nb.Model(DirectEffect(OneCompartment("first-order"), "emax"), units={"time": "day"})
    known = {p.name: (p.unit, p.typical) for p in model.parameters}
    assert known["cl"] == ("L/day", 72.0) and known["ka"] == ("1/day", 36.0)
    assert known["ec50"] == ("mg/L", 5.0)
    by_day = ORAL | {"cl": 72.0, "ka": 21.6} | {"e0": 10.0, "emax": 0.8, "ec50": 2.0}
    found = predicted(model.structure, T / 24, [(0, 100)], outcome="effect", **by_day)
    assert found == pytest.approx(10 + LAWS["emax"][1](oral(T)), rel=1e-11)


def test_in_proportion_to_the_baseline_an_inhibition_is_at_most_whole():
    links = {p.name: p.link for p in DirectEffect(baseline="proportional", direction="inhibits").parameters}
    assert links["imax"] == "logit"
    slope = next(p for p in DirectEffect(law="linear", baseline="proportional").parameters if p.name == "slope")
    assert slope.in_units(amount="ug").unit == "L/ug"
    with pytest.raises(nb.ModelError, match="cannot be converted"):
        nb.Model(DirectEffect(law="power"), units={"amount": "ug"})  # its slope is per (mg/L)^gamma


def test_what_is_no_kinetics_is_refused_by_name():
    with pytest.raises(nb.ModelError, match=r"DirectEffect: law must be 'emax', 'sigmoid', .* or 'threshold'"):
        DirectEffect(law="step")
    inner = DirectEffect(law="linear", baseline="none")
    with pytest.raises(
        ValueError, match=r"kinetics need no outcome 'effect'.*has conc, effect|LinearSystem or a System"
    ):
        DirectEffect(inner, "emax")
