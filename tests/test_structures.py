"""The mathematics of structures, and the contract that every class of the zoo keeps."""

import dataclasses
import inspect
from decimal import Decimal, localcontext
from functools import cache
from itertools import product

import numpy as np
import pandas as pd
import pytensor
import pytensor.tensor as pt
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pytensor.compile.mode import Mode
from scipy.integrate import solve_ivp

import model_zoo
from model_zoo import Emax, Gompertz, LinearMixed, LitterDecay, LogisticGrowth, OneCompartment
from nlmebayes.data.dataset import Dataset
from nlmebayes.design import resolve
from nlmebayes.evaluation import evaluator
from nlmebayes.model import Model
from nlmebayes.parameter import Link
from nlmebayes.structure.curve import Curve
from nlmebayes.structure.stable import bateman, decay_ratio
from nlmebayes.structure.structure import Named, Structure
from nlmebayes.structure.superposition import Superposition

quick = settings(deadline=None, max_examples=150)
ORAL, BOLUS = OneCompartment("first-order", flip_flop=True), OneCompartment()


def compiled(expression, names, mode="FAST_COMPILE"):
    """Values and slopes (by name) of an expression of named vectors, evaluated without compilation."""
    at = {name: pt.dvector(name) for name in names}
    value = expression(at)
    slopes = pytensor.grad(value.sum(), list(at.values()), disconnected_inputs="ignore")
    compute = pytensor.function(list(at.values()), [value, *slopes], mode=mode, on_unused_input="ignore")

    def evaluate(**values):
        arrays = np.broadcast_arrays(*(np.atleast_1d(np.asarray(values[name], dtype=float)) for name in names))
        found = compute(*arrays)
        return found[0], dict(zip(names, found[1:], strict=True))

    return evaluate


@cache
def response(structure):
    """The response to a unit bolus and its slopes, as a function of parameters and ``t``."""
    names = [p.name for p in structure.parameters]
    return compiled(lambda at: structure.response(Named(**{n: at[n] for n in names}), at["t"]), (*names, "t"))


@cache
def curve(structure, mode="FAST_COMPILE"):
    """A curve and its slopes, as a function of parameters and inputs."""
    names = [p.name for p in structure.parameters]
    return compiled(
        lambda at: structure.curve(Named(**{n: at[n] for n in names}), Named(**{n: at[n] for n in structure.inputs})),
        (*names, *structure.inputs),
        mode,
    )


def predicted(structure, times, doses, **phi):
    """Predictions for one subject with the given doses, a list of (time, amount), through formulas and data."""
    frame = pd.DataFrame({"id": 1, "time": np.asarray(times, dtype=float), "y": 0.0})
    doses = pd.DataFrame(doses, columns=["time", "amt"], dtype=float).assign(id=1)
    data = Dataset.from_frame(frame, outcome="y", time="time", levels="id", doses=doses, sort=True, duplicates="keep")
    model = Model(structure, *(f"{p.name} ~ 1" for p in structure.parameters))
    theta = {p.name: np.atleast_2d(np.log(phi[p.name])).T for p in structure.parameters}
    found = evaluator(model, resolve(model, data))(theta, {})[1]["y"]
    return found if np.ndim(next(iter(phi.values()))) else found[0]


# --- removable singularities, against 60 digits ----------------------------------------------------------------------


def exact_bateman(a, b, t):
    """(exp(-b t) - exp(-a t)) / (a - b) in 60 digits, for floats or Decimals."""
    with localcontext(prec=60):
        a, b, t = +Decimal(a), +Decimal(b), +Decimal(t)  # the sign rounds to the precision of the context
        return t * (-a * t).exp() if a == b else ((-b * t).exp() - (-a * t).exp()) / (a - b)


def exact_slope(function, arguments, position):
    """Central difference with a step of 1e-18, which 60 digits can afford."""
    with localcontext(prec=60):
        at = [Decimal(x) for x in arguments]
        step = at[position] * Decimal("1e-18") or Decimal("1e-18")
        up, down = (function(*at[:position], at[position] + s, *at[position + 1 :]) for s in (step, -step))
        return (up - down) / (2 * step)


@cache
def stable_bateman():
    return compiled(lambda at: bateman(at["a"], at["b"], at["t"]), ("a", "b", "t"))


GAPS = [0.0, *(sign * 10.0**-k for k in range(1, 16) for sign in (1, -1))]


@pytest.mark.parametrize("t", [1e-3, 0.7, 5.0, 40.0])
def test_bateman_near_equal_rates(t):
    b = 0.8 * (1 + np.array(GAPS))
    value, _ = stable_bateman()(a=0.8, b=b, t=t)
    exact = np.array([float(exact_bateman(0.8, x, t)) for x in b])
    assert value == pytest.approx(exact, rel=1e-13, abs=0)


@pytest.mark.parametrize("t", [1e-3, 0.7, 5.0, 40.0])
def test_slopes_of_bateman_near_equal_rates(t):
    b = 0.8 * (1 + np.array(GAPS))
    _, slopes = stable_bateman()(a=0.8, b=b, t=t)
    for position, name in enumerate("abt"):
        exact = [float(exact_slope(exact_bateman, (0.8, x, t), position)) for x in b]
        assert slopes[name] == pytest.approx(np.array(exact), rel=1e-9, abs=1e-12 * max(map(abs, exact)))


def test_slopes_of_bateman_at_equal_rates_are_exact():
    """d/da = -t^2 exp(-a t) / 2 from either side, and d/dt = (1 - a t) exp(-a t)."""
    a, t = np.array([0.1, 1.0, 3.0]), 2.0
    _, slopes = stable_bateman()(a=a, b=a, t=t)
    assert slopes["a"] == pytest.approx(-(t**2) * np.exp(-a * t) / 2, rel=1e-14)
    assert slopes["b"] == pytest.approx(-(t**2) * np.exp(-a * t) / 2, rel=1e-14)
    assert slopes["t"] == pytest.approx((1 - a * t) * np.exp(-a * t), rel=1e-14)


RATES = st.floats(-18, 18).map(np.exp2)


@quick
@given(RATES, RATES, st.floats(-10, 12).map(np.exp2))
def test_bateman_at_any_rates(a, b, t):
    assume(min(a, b) * t < 600)
    value, slopes = stable_bateman()(a=a, b=b, t=t)
    assert value == pytest.approx(float(exact_bateman(a, b, t)), rel=1e-12, abs=0)
    assert all(np.isfinite(s).all() for s in slopes.values())


@quick
@given(RATES, RATES, st.floats(0, 1000))
def test_bateman_is_symmetric_in_its_rates(a, b, t):
    one, other = stable_bateman()(a=a, b=b, t=t), stable_bateman()(a=b, b=a, t=t)
    assert one[0] == pytest.approx(other[0], rel=1e-14, abs=0)
    assert one[1]["a"] == pytest.approx(other[1]["b"], rel=1e-12, abs=1e-300)


def test_bateman_at_the_ends():
    value, slopes = stable_bateman()(
        a=[1.0, 1e12, 1e-300, 5.0, 1.0], b=[2.0, 1.0, 1e-300, 5.0, 0.0], t=[0.0, 3.0, 7.0, 1e9, 2.0]
    )
    assert value == pytest.approx([0.0, np.exp(-3) / 1e12, 7.0, 0.0, 1 - np.exp(-2)], rel=1e-11)
    assert all(np.isfinite(s).all() for s in slopes.values())


def test_decay_ratio_and_its_slope_across_the_switch_to_the_series():
    x = np.concatenate([[0.0], np.geomspace(1e-12, 50, 60), 1e-3 * (1 + np.array([-1e-9, 0, 1e-9]))])

    def exact(y):
        return (1 - (-y).exp()) / y if y else Decimal(1)

    with localcontext(prec=60):
        values = np.array([float(exact(Decimal(y))) for y in x])
        slopes = np.array([float(exact_slope(exact, (y,), 0)) if y else -0.5 for y in x])
    found, found_slopes = compiled(lambda at: decay_ratio(at["x"]), ("x",))(x=x)
    assert found == pytest.approx(values, rel=1e-14, abs=0)
    assert found_slopes["x"] == pytest.approx(slopes, rel=1e-11, abs=0)


# --- one compartment -------------------------------------------------------------------------------------------------


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
    exact = [float(exact_slope(exact_oral, tuple(at.values()), i)) for i in range(4)]
    assert [slopes[name][0] for name in at] == pytest.approx(exact, rel=1e-9)


@pytest.mark.parametrize("structure", [ORAL, BOLUS], ids=str)
def test_gradients_are_those_of_finite_differences(structure):
    at = {
        name: value
        for name, value in {"cl": 3.0, "v": 32.0, "ka": 0.3, "t": 5.0}.items()
        if name in [*_names(structure), "t"]
    }
    _, slopes = response(structure)(**at)
    for name in at:
        h = 1e-6 * at[name]
        up, down = (response(structure)(**(at | {name: at[name] + s}))[0] for s in (h, -h))
        assert slopes[name] == pytest.approx((up - down) / (2 * h), rel=1e-7)


def _names(structure):
    return [p.name for p in structure.parameters]


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
    value, _ = response(ORAL)(cl=3.0, v=30.0, ka=1.5, t=t)
    assert np.trapezoid(value, t) == pytest.approx(1 / 3.0, rel=1e-6)


def test_flip_flop_is_the_same_curve():
    """ka and k exchanged, with v scaled by k / ka."""
    t = np.linspace(0, 48, 9)
    one = predicted(ORAL, t, [(0, 100)], cl=3.0, v=30.0, ka=1.5)
    other = predicted(ORAL, t, [(0, 100)], cl=3.0, v=2.0, ka=0.1)
    assert one == pytest.approx(other, rel=1e-12)


def test_the_order_of_rates_is_declared_unless_flip_flop_is_asked_for():
    (gap,) = OneCompartment("first-order").order(Named(cl=3.0, v=30.0, ka=np.array([0.2, 0.1, 0.05]))).values()
    assert np.sign(np.round(gap.eval(mode="FAST_COMPILE"), 12)).tolist() == [1, 0, -1]
    assert ORAL.order(Named(cl=3.0, v=30.0, ka=1.5)) == BOLUS.order(Named(cl=3.0, v=30.0)) == {}


def test_unknown_absorption_lists_what_there_is():
    with pytest.raises(ValueError, match="OneCompartment: no absorption 'oral'; there are bolus, first-order"):
        OneCompartment("oral")


# --- superposition ---------------------------------------------------------------------------------------------------

PHI = {"cl": 3.0, "v": 30.0, "ka": 0.7}
BOTH = pytest.mark.parametrize("structure", [ORAL, BOLUS], ids=str)
DOSES = st.lists(st.tuples(st.integers(0, 48), st.integers(0, 500)), min_size=1, max_size=5)
TIMES = np.linspace(-1, 60, 27)


def at_times(structure, doses, times=TIMES, **change):
    phi = {name: value for name, value in (PHI | change).items() if name in _names(structure)}
    return predicted(structure, times, doses, **phi)


@BOTH
@settings(deadline=None, max_examples=8)
@given(doses=DOSES)
def test_two_halves_of_a_dose_are_the_dose(structure, doses):
    halves = [(time, amount / 2) for time, amount in doses for _ in range(2)]
    assert at_times(structure, halves) == pytest.approx(at_times(structure, doses), rel=1e-12)


@BOTH
@settings(deadline=None, max_examples=8)
@given(one=DOSES, other=DOSES)
def test_responses_to_doses_add_up(structure, one, other):
    together = at_times(structure, one + other)
    assert together == pytest.approx(at_times(structure, one) + at_times(structure, other), rel=1e-12)


@BOTH
@settings(deadline=None, max_examples=8)
@given(doses=DOSES, shift=st.integers(-1000, 1000))
def test_the_origin_of_time_does_not_matter(structure, doses, shift):
    moved = at_times(structure, [(time + shift, amount) for time, amount in doses], TIMES + shift)
    assert moved == pytest.approx(at_times(structure, doses), rel=1e-9)


@BOTH
@settings(deadline=None, max_examples=8)
@given(doses=DOSES)
def test_units_of_time_and_amount_do_not_matter(structure, doses):
    hours, per_mg = at_times(structure, doses), {"cl": PHI["cl"] / 60, "ka": PHI["ka"] / 60}
    minutes = at_times(structure, [(60 * time, 1000 * amount) for time, amount in doses], 60 * TIMES, **per_mg)
    assert minutes == pytest.approx(1000 * hours, rel=1e-9)


@BOTH
def test_no_dose_no_concentration(structure):
    assert (at_times(structure, [(0, 0)]) == 0).all()
    assert (at_times(structure, [(5, 100)], np.linspace(-3, 4.9, 7)) == 0).all()


@BOTH
def test_long_after_the_last_dose_nothing_is_left(structure):
    assert at_times(structure, [(0, 100), (3, 100)], np.array([1e4, 1e6, 1e9])) == pytest.approx([0, 0, 0], abs=1e-300)


@BOTH
def test_the_order_of_dose_rows_does_not_matter(structure):
    doses = [(0, 100), (6, 50), (12, 200)]
    assert at_times(structure, doses[::-1]) == pytest.approx(at_times(structure, doses), rel=1e-14)


def test_regular_doses_reach_the_steady_state_of_the_geometric_series():
    k, tau = 0.1, 12.0
    trough = predicted(BOLUS, [600 * tau - 1e-9], [(tau * i, 100) for i in range(600)], cl=3.0, v=30.0)
    assert trough == pytest.approx(100 / 30 * np.exp(-k * tau) / (1 - np.exp(-k * tau)), rel=1e-8)


def test_doses_act_on_their_own_subject():
    frame = pd.DataFrame({"id": ["a", "a", "b"], "time": [1.0, 2.0, 1.0], "y": 0.0})
    doses = pd.DataFrame({"id": ["b"], "time": [0.0], "amt": [30.0]})
    data = Dataset.from_frame(frame, outcome="y", time="time", levels="id", doses=doses)
    model = Model(BOLUS, "cl ~ 1", "v ~ 1")
    found = evaluator(model, resolve(model, data))({"cl": np.log([[3.0]]), "v": np.log([[30.0]])}, {})[1]["y"]
    assert found[0] == pytest.approx([0, 0, np.exp(-0.1)])


@BOTH
def test_draws_are_a_leading_axis(structure):
    rng = np.random.default_rng(2)
    phi = {name: PHI[name] * rng.lognormal(size=5) for name in _names(structure)}
    together = predicted(structure, TIMES, [(0, 100), (7, 30)], **phi)
    for i in range(5):
        alone = predicted(structure, TIMES, [(0, 100), (7, 30)], **{name: x[i] for name, x in phi.items()})
        assert together[i] == pytest.approx(alone, rel=1e-13)


# --- curves against plain NumPy --------------------------------------------------------------------------------------


def hill(e0, emax, ec50, gamma, concentration):
    return e0 + emax * concentration**gamma / (ec50**gamma + concentration**gamma)


CURVES = {
    "Emax": (Emax(), lambda e0, emax, ec50, concentration: e0 + emax * concentration / (ec50 + concentration)),
    "sigmoid Emax": (Emax(sigmoid=True), hill),
    "Gompertz": (Gompertz(), lambda v0, alpha, beta, time: v0 * np.exp(alpha / beta * (1 - np.exp(-beta * time)))),
    "LogisticGrowth": (LogisticGrowth(), lambda asym, xmid, scal, time: asym / (1 + np.exp(-(time - xmid) / scal))),
    "LitterDecay": (LitterDecay(), lambda k, time: np.exp(-k * time)),
    "LitterDecay to an asymptote": (LitterDecay(asymptote=True), lambda k, a, time: a + (1 - a) * np.exp(-k * time)),
    "LinearMixed": (LinearMixed(), lambda mu: mu),
}  # fmt: skip
EVERY = pytest.mark.parametrize(("structure", "law"), CURVES.values(), ids=list(CURVES))


def random_point(structure, seed, size=50):
    """Parameters around their typical values and inputs from 0 up, by name."""
    rng = np.random.default_rng(seed)
    point = {}
    for p in structure.parameters:
        middle = 0.0 if p.typical is None else float(p.scale.forward(p.typical))
        spread = (p.spread or p.scale.spread or 1.0) * 0.5
        point[p.name] = np.asarray(
            p.scale.inverse(pt.as_tensor(rng.normal(middle, spread, size))).eval(mode="FAST_COMPILE")
        )
    return point | {name: rng.uniform(0, 30, size) for name in structure.inputs}


@EVERY
def test_curves_are_their_formulas(structure, law):
    at = random_point(structure, 4)
    assert curve(structure)(**at)[0] == pytest.approx(law(**at), rel=1e-12)


@EVERY
def test_slopes_of_curves_are_those_of_finite_differences(structure, law):
    at = random_point(structure, 5)
    _, slopes = curve(structure)(**at)
    for name in _names(structure):
        h = 1e-6 * np.maximum(np.abs(at[name]), 1e-3)
        difference = (law(**(at | {name: at[name] + h})) - law(**(at | {name: at[name] - h}))) / (2 * h)
        assert slopes[name] == pytest.approx(difference, rel=1e-4, abs=1e-6)


@EVERY
def test_curves_reach_their_records_through_formulas_and_units(structure, law):
    """Two subjects with their own parameters and three records each."""
    inputs = {name: [0.0, 2.0, 9.0] * 2 for name in structure.inputs}
    frame = pd.DataFrame({"id": np.repeat(["u", "w"], 3), "y": 1.0} | inputs)
    data = Dataset.from_frame(frame, outcome="y", levels="id", inputs=structure.inputs)
    model = Model(
        structure, *(f"{p.name} ~ 0 + id" for p in structure.parameters), inputs={n: n for n in structure.inputs}
    )
    at = {name: value for name, value in random_point(structure, 6, 2).items() if name in _names(structure)}
    theta = {p.name: np.atleast_2d(p.scale.forward(at[p.name])) for p in structure.parameters}
    _, f, _ = evaluator(model, resolve(model, data))(theta, {})
    expected = law(
        **{name: value[[0, 0, 0, 1, 1, 1]] for name, value in at.items()}, **{n: frame[n].to_numpy() for n in inputs}
    )
    assert f["y"][0] == pytest.approx(expected, rel=1e-12)


# --- limits of curves ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("structure", [Emax(), Emax(sigmoid=True)], ids=str)
def test_no_concentration_is_the_baseline_with_finite_gradients(structure):
    # Without rewrites, some of which would hide 0 times infinity.
    evaluate = curve(structure, Mode(linker="py", optimizer=None))
    value, slopes = evaluate(e0=2.0, emax=50.0, ec50=5.0, gamma=[0.5, 1.0, 3.0], concentration=0.0)
    assert value.tolist() == [2.0] * len(value)
    assert all(np.isfinite(slopes[name]).all() for name in slopes)
    assert (slopes["e0"].tolist(), slopes["ec50"].tolist()) == ([1.0] * len(value), [0.0] * len(value))


@pytest.mark.parametrize("structure", [Emax(), Emax(sigmoid=True)], ids=str)
def test_the_effect_is_half_way_at_ec50_and_whole_far_above(structure):
    value, _ = curve(structure)(e0=2.0, emax=50.0, ec50=5.0, gamma=2.5, concentration=[5.0, 1e12])
    assert value == pytest.approx([27.0, 52.0], rel=1e-10)


@quick
@given(st.floats(0, 1e4), st.floats(-5, 5), st.floats(0.1, 100), st.floats(0.01, 100))
def test_a_sigmoid_with_an_exponent_of_one_is_a_hyperbola(concentration, e0, emax, ec50):
    at = {"e0": e0, "emax": emax, "ec50": ec50, "concentration": concentration}
    hyperbola, sigmoid = curve(Emax())(**at), curve(Emax(sigmoid=True))(**at, gamma=1.0)
    assert sigmoid[0] == pytest.approx(hyperbola[0], rel=1e-12, abs=1e-12)
    for name in ("e0", "emax", "ec50"):
        assert sigmoid[1][name] == pytest.approx(hyperbola[1][name], rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("concentration", [1e-300, 1e-30, 1e30, 1e300])
def test_a_steep_sigmoid_does_not_overflow(concentration):
    value, slopes = curve(Emax(sigmoid=True))(e0=0.0, emax=1.0, ec50=1.0, gamma=20.0, concentration=concentration)
    assert value == pytest.approx(float(concentration > 1), abs=1e-12)
    assert all(np.isfinite(slopes[name]).all() for name in ("e0", "emax", "ec50", "gamma"))


def test_gompertz_starts_at_v0_and_ends_at_its_asymptote():
    value, _ = curve(Gompertz())(v0=2.0, alpha=0.8, beta=0.2, time=[0.0, 1e4])
    assert value == pytest.approx([2.0, 2.0 * np.exp(4.0)], rel=1e-14)


def test_gompertz_grows_at_the_relative_rate_alpha_that_declines_with_beta():
    t = np.array([0.0, 1.0, 7.0])
    value, slopes = curve(Gompertz())(v0=2.0, alpha=0.8, beta=0.2, time=t)
    assert slopes["time"] / value == pytest.approx(0.8 * np.exp(-0.2 * t), rel=1e-12)


@pytest.mark.parametrize("beta", [1e-6, 1e-9, 1e-12, 1e-15])
def test_gompertz_without_decline_is_exponential(beta):
    """f = v0 exp(alpha t) and df/dbeta = -alpha t^2 / 2 f, up to terms of order beta t."""
    value, slopes = curve(Gompertz())(v0=2.0, alpha=0.8, beta=beta, time=3.0)
    exponential = 2.0 * np.exp(0.8 * 3.0)
    assert value == pytest.approx(exponential, rel=4 * beta + 1e-14)
    assert slopes["beta"] == pytest.approx(-0.8 * 9 / 2 * exponential, rel=10 * beta + 1e-10)


def test_logistic_growth_has_half_its_asymptote_at_xmid_and_73_percent_one_scale_later():
    value, _ = curve(LogisticGrowth())(asym=192.0, xmid=728.0, scal=354.0, time=[728.0, 728.0 + 354.0, 1e6])
    assert value == pytest.approx([96.0, 192 / (1 + np.exp(-1)), 192.0], rel=1e-14)
    assert value[1] / 192 == pytest.approx(0.73, abs=0.005)


@pytest.mark.parametrize(("asymptote", "end"), [(False, 0.0), (True, 0.25)])
def test_litter_is_whole_at_first_and_ends_at_its_asymptote(asymptote, end):
    value, _ = curve(LitterDecay(asymptote=asymptote))(k=0.5, a=0.25, time=[0.0, 1e5])
    assert value.tolist() == [1.0, end]


def test_litter_without_an_asymptote_is_the_limit():
    t = np.linspace(0, 10, 5)
    limit, _ = curve(LitterDecay(asymptote=True))(k=0.5, a=1e-15, time=t)
    assert limit == pytest.approx(curve(LitterDecay())(k=0.5, time=t)[0], rel=1e-11)


# --- the contract of the zoo -----------------------------------------------------------------------------------------

ZOO = [getattr(model_zoo, name) for name in model_zoo.__all__]
EACH = pytest.mark.parametrize("cls", ZOO, ids=lambda cls: cls.__name__)
DIMENSIONLESS = {"gamma"}  # exponents


def variants(cls):
    """The default and every combination of its switches."""
    switches = [f.name for f in dataclasses.fields(cls) if f.type in (bool, "bool")]
    return [cls(**dict(zip(switches, values, strict=True))) for values in product((False, True), repeat=len(switches))]


def test_the_zoo_exports_its_classes_flat():
    assert {"OneCompartment", "Emax", "Gompertz", "LogisticGrowth", "LinearMixed", "LitterDecay"} <= set(
        model_zoo.__all__
    )


@EACH
def test_the_zoo_is_final(cls):
    (base,) = cls.__bases__
    assert inspect.isabstract(base)
    assert base.__module__.startswith("nlmebayes.")
    assert not inspect.isabstract(cls)
    assert not cls.__subclasses__()


@EACH
def test_no_concrete_method_is_overridden(cls):
    inherited = {name: value for base in reversed(cls.__mro__[1:-1]) for name, value in vars(base).items()}
    own = [name for name in vars(cls) if not name.startswith("__") and name in inherited]
    replaced = [name for name in own if inspect.isfunction(inherited[name]) or isinstance(inherited[name], property)]
    assert [name for name in replaced if not getattr(inherited[name], "__isabstractmethod__", False)] == []


@EACH
def test_structures_are_frozen_values(cls):
    assert cls() == cls()
    assert hash(cls()) == hash(cls())
    with pytest.raises(dataclasses.FrozenInstanceError):
        cls().anything = 1


@EACH
def test_the_docstring_says_formula_symbols_and_source(cls):
    assert ".. math::" in cls.__doc__
    assert "Source:" in cls.__doc__
    assert cls.__doc__.splitlines()[0].endswith(".")
    for structure in variants(cls):
        assert [p.name for p in structure.parameters if f"``{p.name}``" not in cls.__doc__] == []


@EACH
def test_parameters_have_units_and_reachable_typical_values(cls):
    for structure in variants(cls):
        names = _names(structure)
        assert names == list(dict.fromkeys(names))
        for p in structure.parameters:
            assert p.unit or p.name in DIMENSIONLESS, f"{p.name} has no unit"
            assert isinstance(p.scale, Link)
            assert p.typical is None or np.isfinite(p.scale.forward(p.typical))


@EACH
def test_a_model_of_the_class_alone_prints_itself(cls):
    for structure in variants(cls):
        text = repr(Model(structure))
        assert structure.label in text
        assert [p.name for p in structure.parameters if f"  {p.name} ~ 1" not in text] == []


@EACH
def test_the_class_lies_in_a_file_of_its_own_name(cls):
    stem = cls.__module__.rpartition(".")[2]
    assert stem.replace("_", "") == cls.__name__.lower()
    assert [c for c in ZOO if c.__module__ == cls.__module__] == [cls]


@pytest.mark.parametrize("abstract", [Structure, Curve, Superposition])
def test_structures_without_a_law_cannot_be_made(abstract):
    with pytest.raises(TypeError, match="abstract"):
        abstract()


def test_a_name_that_is_not_there_lists_those_that_are():
    with pytest.raises(AttributeError, match="no 'clearance' here; there are cl, v"):
        _ = Named(cl=1.0, v=2.0).clearance
