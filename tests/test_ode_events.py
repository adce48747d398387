"""Jumps and kinks of right-hand sides: closed forms for values, their extrapolated differences for gradients."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytensor.tensor as pt
import pytest
import xarray as xr
from laws import dosed_slopes, extrapolated_slope, predicted
from odes import solution, system
from scipy.integrate import solve_ivp

import nlmebayes as nb
from nlmebayes.inference import accuracy
from nlmebayes.model.build import designed
from nlmebayes.solver.ode import cases
from nlmebayes.solver.ode.expressions import ExpressionError

WIDTH = 0.15
TIGHT = {"rtol": 1e-11, "atol": 1e-13}
DAY = 24.0


def window(p, t):
    return p.r * np.clip(t - p.a, 0.0, p.b - p.a)


def meals(p, t):
    start = DAY * np.arange(np.ceil(t / DAY))
    end = np.minimum(start + p.d, t)
    return np.exp(-p.k * t) + (p.r / p.k * (np.exp(-p.k * (t - end)) - np.exp(-p.k * (t - start)))).sum()


def threshold(p, t):
    at = np.log(10.0 / p.c) / p.fast
    return 10.0 * np.exp(-p.fast * t) if t < at else p.c * np.exp(-p.slow * (t - at))


def kink(p, t):
    at = p.c / p.a
    return p.a * t if t < at else p.c + p.a / p.k * -np.expm1(-p.k * (t - at))


def shifts(p, t):
    n = np.floor(t / p.every)
    return p.r * (t + p.every * n * (n - 1) / 2 + n * (t - n * p.every))


def light(p, t):
    middle, half = p.s + 6.0 + DAY * np.arange(-1, 50), DAY / (2 * np.pi) * np.arccos(p.c)
    return p.r * np.clip(np.minimum(middle + half, t) - np.maximum(middle - half, 0.0), 0.0, None).sum()


def refractory(p, t):
    return p.r * max(0.0, t - np.log(10.0 / p.c) / p.k)


# name -> system, times, exact values of its first state
EVENTS = {
    "a window in time": (
        system("Window", ("x",), lambda m, t, y, p: (p.r * m.switch((t >= p.a) & (t < p.b), 1.0, 0.0),), (0.0,),
               r=1.35, a=1.0, b=2.0), [1.5, 17.0], window),
    "meals": (
        system("Meals", ("x",), lambda m, t, y, p: (p.r * m.switch(t % DAY < p.d, 1.0, 0.0) - p.k * y.x,), (1.0,),
               r=2.0, d=1.3, k=0.02), [0.5, 12.0, 100.0], meals),
    "a threshold of a state": (
        system("Threshold", ("x",), lambda m, t, y, p: (-m.switch(y.x > p.c, p.fast, p.slow) * y.x,), (10.0,),
               fast=1.0, slow=0.2, c=3.0), [0.5, 3.0], threshold),
    "a state that runs out": (
        system("RunsOut", ("x",), lambda m, t, y, p: (-m.switch(y.x > 0, p.k, 0.0),), (10.0,), k=2.0),
        [1.0, 4.0, 8.0], lambda p, t: max(10.0 - p.k * t, 0.0)),
    "a root that runs out": (
        system("Torricelli", ("x",), lambda m, t, y, p: (-p.k * m.sqrt(m.maximum(y.x, 0.0)),), (9.0,), k=2.0),
        [1.0, 2.0, 8.0], lambda p, t: max(3.0 - p.k * t / 2, 0.0) ** 2),
    "a kink": (
        system("Kink", ("x",), lambda m, t, y, p: (p.a - p.k * m.maximum(y.x - p.c, 0.0),), (0.0,),
               a=2.0, k=1.5, c=1.5), [0.5, 3.0], kink),
    "shifts": (
        system("Shifts", ("x",), lambda m, t, y, p: (p.r * (1.0 + m.floor(t / p.every)),), (0.0,), r=0.5, every=7.3),
        [5.0, 40.0], shifts),
    "short light every day": (
        system("Light", ("x",), lambda m, t, y, p: (
            p.r * m.switch(m.sin(2 * np.pi * (t - p.s) / DAY) > p.c, 1.0, 0.0),), (0.0,), r=1.0, c=0.97, s=3.0),
        [12.0, 1000.0], light),
    "a refractory period": (
        system("Refractory", ("z", "x"), lambda m, t, y, p: (p.r * m.switch(y.x > p.c, 0.0, 1.0), -p.k * y.x),
               (0.0, 10.0), r=1.5, c=2.0, k=0.7), [1.0, 6.0], refractory),
    "harvest above a delayed quota": (
        system("Harvest", ("x", "z"), lambda m, t, y, p: (
            y.x * (p.g * (1 - y.x / 10) - p.h * m.switch(y.z > p.c, 1.0, 0.0)), p.d * (y.x - y.z)), (2.0, 1.0),
            g=1.0, h=2.0, c=5.0, d=0.5), [1.0, 3.0, 5.0], None),
}  # fmt: skip
BOTH = pytest.mark.parametrize("solver", ["auto", "stiff"])


def exact(name, **phi):
    """Values of the first state: the closed form, or steps of SciPy that see every jump."""
    case, times, law = EVENTS[name]
    if law is not None:
        return np.array([law(SimpleNamespace(**phi), t) for t in times])
    found = solve_ivp(slopes(case, phi), (0, times[-1]), case.start, t_eval=times, rtol=1e-6, max_step=1e-3)
    return found.y[0]


def slopes(case, phi):
    def rhs(t, y):
        x, z = y
        return [x * (phi["g"] * (1 - x / 10) - phi["h"] * (z > phi["c"])), phi["d"] * (x - z)]

    return rhs


@BOTH
@pytest.mark.parametrize("name", EVENTS)
def test_values_and_gradients_hold_through_events(name, solver):
    case, times, law = EVENTS[name]
    evaluate = solution(case.cls(**TIGHT, solver=solver), times, read=case.states[:1], **case.typical)
    y, failed, found = evaluate(np.ones((1, len(times))))
    assert not failed.any()
    np.testing.assert_allclose(y[0], exact(name, **case.typical), rtol=1e-9 if law else 1e-4, atol=1e-10)
    wanted = [extrapolated_slope(lambda value, key=key: total(evaluate, name, law, key, value), at)
              for key, at in case.typical.items()]  # fmt: skip
    np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-6 * np.abs(wanted).max())


def total(evaluate, name, law, key, value):
    typical = EVENTS[name][0].typical
    return exact(name, **typical | {key: value}).sum() if law else evaluate(**{key: value})[0].sum()


def test_default_tolerances_miss_no_window():
    case, _, _ = EVENTS["a window in time"]
    evaluate = solution(case.cls(), [5000.0], **case.typical)
    for start in np.linspace(1, 4000, 40):
        np.testing.assert_allclose(evaluate(a=start, b=start + 1e-3)[0], 1.35e-3, rtol=1e-9)
    case, times, _ = EVENTS["short light every day"]
    at = case.typical | {"c": 1 - 1e-6}
    found = solution(case.cls(), times, **at)()[0][0]
    np.testing.assert_allclose(found, exact("short light every day", **at), rtol=1e-6)


# --- coincident, carried over, never, tangent, and without an end --------------------------------------------------


def test_an_event_at_a_record_belongs_to_what_follows():
    case, _, _ = EVENTS["a window in time"]
    evaluate = solution(case.cls(**TIGHT), [1.0, 2.0, 3.0], **case.typical)
    y, _, found = evaluate(np.array([[0.0, 0.0, 1.0]]))
    np.testing.assert_allclose(y, [[0.0, 1.35, 1.35]], atol=1e-12)
    np.testing.assert_allclose(found, [1.0, -1.35, 1.35], rtol=1e-9)


def test_a_threshold_that_is_not_met_matters_not():
    case, times, _ = EVENTS["a threshold of a state"]
    y, _, found = solution(case.cls(**TIGHT), times, **case.typical)(np.ones((1, 2)), c=0.1)
    np.testing.assert_allclose(y[0], 10 * np.exp(-np.array(times)), rtol=1e-9)
    np.testing.assert_allclose(found[1:], 0.0)


def test_events_at_one_time():
    """Three conditions on one threshold, of which two are the same one said in other words."""
    case = system("Together", ("x", "z"), lambda m, t, y, p: (
        -m.switch(y.x > p.c, p.k, 0.5 * p.k),
        m.switch(2 * y.x <= 2 * p.c, p.r, 0.0) + m.switch(t * p.k < 10 - p.c, 1.0, 0.0)),
        (10.0, 0.0), k=2.0, c=4.0, r=3.0)  # fmt: skip
    y, _, found = solution(case.cls(**TIGHT), [5.0], **case.typical)(np.ones((2, 1)))
    np.testing.assert_allclose(y[:, 0], [2.0, 9.0], rtol=1e-10)  # at 3: x = 4 - (t - 3), z = 3 + r (t - 3)
    k, c, r = case.typical.values()
    of_x = np.array([-5 / 2, 1 / 2, 0.0])  # of c - k / 2 (5 - at), at = (10 - c) / k
    of_z = np.array([(r - 1) * (10 - c) / k**2, (r - 1) / k, 2.0])  # of at + r (5 - at)
    np.testing.assert_allclose(found, of_x + of_z, rtol=1e-9)


class Switched(nb.System):
    """Elimination that is faster above a threshold; input that opens after a delay."""

    states = ("central",)
    parameters = tuple(nb.Parameter(name, "1", typical=1.0) for name in ("fast", "slow", "c", "lag"))

    def rhs(self, t, y, p):
        return {"central": -pt.switch(y.central > p.c, p.fast, p.slow) * y.central}

    def routes(self, p):
        return {"central": nb.Route("central", lag=p.lag)}

    def outcomes(self, t, y, p):
        return {"conc": y.central}


def test_a_dose_carries_a_state_over_a_threshold_without_an_event():
    phi, doses = {"fast": 0.5, "slow": 0.1, "c": 4.0, "lag": 0.25}, [(0.0, 3.0), (5.0, 6.0)]
    found, wanted = dosed_slopes(Switched(**TIGHT), [1.0, 6.0, 9.0, 20.0], doses, "conc", **phi)
    np.testing.assert_allclose(found, wanted, rtol=1e-6)
    low = 3 * np.exp(-0.1 * 5)
    high = (low + 6) * np.exp(-0.5 * 0.75)
    y = predicted(Switched(**TIGHT), [1.0, 6.0], doses, outcome="conc", **phi)
    np.testing.assert_allclose(y, [3 * np.exp(-0.1 * 0.75), high], rtol=1e-9)


def test_a_steady_state_through_events_is_what_many_doses_lead_to():
    phi, times = {"fast": 0.5, "slow": 0.1, "c": 4.0, "lag": 0.25}, np.array([1.0, 6.0, 11.0])
    steady = {"time": [0.0], "amt": [6.0], "ii": [12.0], "ss": [1]}
    many = {"time": [0.0], "amt": [6.0], "ii": [12.0], "addl": [40]}
    found = predicted(Switched(**TIGHT), times, steady, outcome="conc", **phi)
    np.testing.assert_allclose(found, predicted(Switched(**TIGHT), 480 + times, many, outcome="conc", **phi), rtol=1e-9)
    found, wanted = dosed_slopes(Switched(**TIGHT), times, steady, "conc", **phi)
    np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-9)
    constant = {"time": [0.0], "amt": [0.0], "rate": [3.0], "ss": [1]}
    found = predicted(Switched(**TIGHT), [0.2], constant, outcome="conc", **phi)
    np.testing.assert_allclose(found, 3.0 / 0.5, rtol=1e-9)


@pytest.mark.parametrize("c", [1 - 1e-9, 1.0, 1 + 1e-9])
def test_a_threshold_that_is_touched(c):
    """x = sin t reaches 1 for an instant: values are continuous in the threshold."""
    case = system("Touched", ("z", "x", "v"), lambda m, t, y, p: (m.switch(y.x > p.c, 1.0, 0.0), y.v, -y.x),
                  (0.0, 0.0, 1.0), c=1.0)  # fmt: skip
    y, failed, found = solution(case.cls(**TIGHT), [3.0], **case.typical)(np.ones((3, 1)), c=c)
    assert not failed.any()
    assert y[0, 0] == pytest.approx(2 * np.sqrt(2 * max(0.0, 1 - c)), abs=1e-5)
    assert np.isfinite(found).all()


def test_a_slope_that_leads_back_on_both_sides_is_a_failure_from_there_on():
    case = system("Sliding", ("x",), lambda m, t, y, p: (p.a - 2 * p.a * m.switch(y.x > p.c, 1.0, 0.0),), (0.0,),
                  a=1.0, c=1.0)  # fmt: skip
    y, failed, found = solution(case.cls(), [0.5, 3.0], **case.typical)(np.ones((1, 2)))
    np.testing.assert_array_equal(failed, [False, True])
    np.testing.assert_allclose(y[0], [0.5, 1.0])
    assert np.isfinite(found).all()


# --- what is declared, what is named --------------------------------------------------------------------------------


class Pulse(nb.System):
    """A smooth input so short that a step does not see it."""

    states = ("x",)
    parameters = (nb.Parameter("a", "1", 1.0),)

    def rhs(self, t, y, p):
        return {"x": p.a / np.sqrt(np.pi) / WIDTH * pt.exp(-(((t - 7.77) / WIDTH) ** 2)) - 0.01 * y.x}

    def initial(self, p):
        return {"x": 1.0}

    def outcomes(self, t, y, p):
        return {"x": y.x}


class Declared(Pulse):
    def breaks(self, p):
        return (7.77 - 3 * WIDTH, 7.77 * p.a / p.a, 7.77 + 3 * WIDTH)


def test_a_smooth_pulse_is_seen_where_breaks_are_declared_and_by_the_comparison_of_check():
    wanted = np.exp(-0.4) + np.exp(-0.01 * (40 - 7.77))
    assert predicted(Declared(), [40.0], [], outcome="x", a=1.0)[0] == pytest.approx(wanted, rel=1e-4)
    missed = predicted(Pulse(), [40.0], [], outcome="x", a=1.0)[0]
    seen = predicted(Pulse().tighter(100), [40.0], [], outcome="x", a=1.0)[0]
    assert abs(seen - wanted) < 1e-4
    assert abs(missed - wanted) > 0.1


@pytest.mark.parametrize("structure, amounts, told", [
    (Pulse(), [1.0, 1.0, 1.0], "of all draws alike"), (Pulse(), [0.9, 1.0, 1.1], "from draw to draw"),
    (Pulse(min_steps=300), [0.9, 1.0, 1.1], None), (Declared(), [1.0, 1.0, 1.0], None),
])  # fmt: skip
def test_check_names_a_window_that_was_missed(structure, amounts, told):
    data = nb.Dataset.from_frame(pd.DataFrame({"id": "1", "time": [40.0, 60.0], "x": [1.4, 1.1]}), outcome="x",
                                 levels="id", time="time")  # fmt: skip
    model = nb.Model(structure, "a ~ 1", residual=nb.Additive())
    theta, sigma = np.log(amounts)[None, :, None], np.full((1, 3), 0.1)
    posterior = xr.Dataset({"theta_a": (("chain", "draw", "a_term"), theta), "sigma_x_a": (("chain", "draw"), sigma)})
    tree = xr.DataTree.from_dict({"posterior": posterior})
    found = list(accuracy.findings(model, designed(model, data, measured=True), tree))
    assert len(found) == (told is not None)
    assert told is None or (told in found[0] and "min_steps=" in found[0] and "breaks of the class" in found[0])


def test_a_record_ends_a_step_where_slopes_read_the_time():
    found = predicted(Pulse(), [7.3, 7.77, 8.2, 40.0], [], outcome="x", a=1.0)[-1]
    assert found == pytest.approx(np.exp(-0.4) + np.exp(-0.01 * (40 - 7.77)), rel=1e-4)


def test_jumps_that_cannot_be_followed_are_named():
    t, x = pt.dscalars("t", "x")
    with pytest.raises(ExpressionError, match="casts a number to a whole one"):
        cases.held([x * pt.cast(t, "int64")], [t, x])
    rounded = system("Rounded", ("x",), lambda m, t, y, p: (m.round(p.k * y.x),), (1.0,), k=1.0)
    with pytest.raises(ValueError, match="RoundHalfToEven cannot be compiled"):
        solution(rounded.cls(), [1.0], **rounded.typical)


def test_what_is_said_to_be_seamless_is_no_case():
    t, x = pt.dscalars("t", "x")
    assert not cases.held([cases.seamless(pt.abs(x))], [t, x])[1]
    assert len(cases.held([pt.abs(x) + pt.abs(x)], [t, x])[1]) == 1
    assert not cases.held([pt.switch(pt.dscalar("p") > 0, x, 2 * x)], [t, x])[1]
