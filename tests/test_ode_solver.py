"""The solvers on systems whose difficulties are known: SUNDIALS and SciPy for values, differences for gradients."""

from types import SimpleNamespace

import numpy as np
import pytensor.tensor as pt
import pytest
from odes import EXPLICIT, SYSTEMS, solution, system
from scipy.integrate import solve_ivp
from sksundae.cvode import CVODE

from nlmebayes.solver.ode import call, law, march, tableaus
from nlmebayes.solver.ode.op import located

METHODS = ("auto", "explicit", "stiff")
PAIRS = [(name, method) for name in SYSTEMS for method in METHODS if name in EXPLICIT or method != "explicit"]
# Relative steps of the differences; relaxation oscillators jump, and where depends on everything.
STEP = {"Robertson (stiff)": 1e-2, "van der Pol (stiff)": 1e-5, "Oregonator (stiff)": 1e-5}


def sundials(case, times):
    """States (state, time) by CVODE."""

    def rhs(t, y, yp):
        yp[:] = case.rhs(t, y)

    method = CVODE(rhs, rtol=1e-11, atol=1e-14, max_num_steps=1_000_000)
    return method.solve(np.array([0.0, *times]), case.start).y[1:].T


def scipy(case, times, stiff):
    return solve_ivp(
        case.rhs, (0, times[-1]), case.start, t_eval=times, method="Radau" if stiff else "DOP853", rtol=1e-11,
        atol=1e-14,
    ).y  # fmt: skip


@pytest.mark.parametrize("name", SYSTEMS)
def test_values_are_those_of_sundials_and_of_scipy(name):
    case, times = SYSTEMS[name]
    wanted = scipy(case, times, name not in EXPLICIT)
    size = np.abs(wanted).max(axis=1, keepdims=True)
    close = 1e-5 if "Oregonator" in name else 1e-7  # the references differ by 2e-6 in the spikes of the Oregonator
    np.testing.assert_allclose(sundials(case, times) / size, wanted / size, atol=max(close, 1e-6))
    for method in METHODS:
        if (name, method) in PAIRS:
            y, failed, _ = solution(case.cls(rtol=1e-9, atol=1e-12, solver=method), times, **case.typical)()
            assert not failed.any()
            np.testing.assert_allclose(y / size, wanted / size, atol=close)


@pytest.mark.parametrize(("name", "method"), PAIRS)
def test_gradients_are_differences(name, method):
    case, times = SYSTEMS[name]
    tight = {"rtol": 1e-12, "atol": 1e-15, "max_steps": 1_000_000}  # of b of Robertson, which is 1e-5, too
    evaluate = solution(case.cls(**tight, solver=method), times, **case.typical)
    size = np.abs(evaluate()[0]).max(axis=1, keepdims=True)
    weights = np.random.default_rng(1).normal(size=(len(case.states), len(times))) / size
    values, h = np.array(list(case.typical.values())), STEP.get(name, 1e-3)
    slopes = evaluate(weights)[2] * values

    def difference(key, value, e):
        up, down = (evaluate(**{key: value * (1 + sign * e)})[0] for sign in (1, -1))
        return ((up - down) * weights).sum() / (2 * e)

    for slope, (key, value) in zip(slopes, case.typical.items(), strict=True):
        d = [difference(key, value, h / k) for k in (1, 2, 4)]
        wanted = (64 * d[2] - 20 * d[1] + d[0]) / 45
        assert slope == pytest.approx(wanted, rel=1e-6, abs=1e-6 * np.abs(slopes).max()), key


# --- one step --------------------------------------------------------------------------------------------------------


def steps(method, lengths):
    """Errors of one step, of its dense output, and what it estimates, for several lengths."""
    t, x, v = pt.dscalar("t"), pt.dscalar("x"), pt.dscalar("v")
    text, _ = law.source(t, [x, v], [], [v + pt.cos(t), -pt.sin(x) * x])
    at = located(text)
    y, rate, par, tol = np.array([1.0, 0.3]), np.zeros(2), np.zeros((1, 0)), np.array([0.0, 1.0, 1.0, 1.0, 1.0])
    for h in lengths:
        exact = solve_ivp(
            lambda t, y: [y[1] + np.cos(t), -np.sin(y[0]) * y[0]], (0, h), y, method="DOP853", rtol=1e-13, atol=1e-15,
            t_eval=[0.3 * h, h],
        ).y.T  # fmt: skip
        k, new, found = np.zeros((8, 2)), np.zeros(2), np.zeros(2)
        if method == march.EXPLICIT:
            call.field(at, 0.0, y, rate, par, 0, k[0])
            call.explicit(at, 0.0, h, y, rate, k, np.zeros((8, 2)), 0, par, 0, new, tol, found)
        else:
            call.stiff(at, 0.0, h, y, rate, k, 0, par, 0, new, tol, found)
        middle, records = np.zeros((2, 1)), np.array([[0.3 * h, 0.0]])
        march.between(middle, method, 0.0, h, y, new, k, 0, records, np.array([[0, 0]]), np.array([0, 1]), 0, 1)
        yield np.abs(new - exact[1]).max(), np.abs(middle[:, 0] - exact[0]).max(), np.sqrt(found[0])


@pytest.mark.parametrize("method", [march.EXPLICIT, march.STIFF], ids=["explicit", "stiff"])
def test_orders_are_those_of_the_papers(method):
    lengths = np.array([0.1, 0.05, 0.025])
    errors = np.log(np.array(list(steps(method, lengths))))
    new, dense, estimate = np.polyfit(np.log(lengths), errors, 1)[0]
    assert 5.7 < new < 7.0  # at least the local error of order 5
    assert 4.8 < dense < 5.2  # of order 4
    assert 4.3 < estimate < 5.2  # the embedded solution, of order 4


def test_tableaus_agree_with_themselves():
    for row, time in zip(tableaus.A, tableaus.C, strict=True):
        assert sum(row) == pytest.approx(time, abs=1e-14)
    np.testing.assert_allclose(tableaus.DENSE.sum(axis=1), [*tableaus.A[6], 0.0], atol=1e-12)
    gamma = np.linalg.inv(np.diag(np.full(8, 1 / tableaus.GAMMA)) - tableaus.COUPLING)
    np.testing.assert_allclose((tableaus.RODAS_A @ gamma).sum(axis=1), tableaus.RODAS_C, atol=1e-12)
    np.testing.assert_allclose(gamma.sum(axis=1), tableaus.RODAS_D, atol=1e-12)


# --- what cannot be solved -------------------------------------------------------------------------------------------

BLOWS_UP = system("BlowsUp", ("x",), lambda m, t, y, p: (p.k * y.x**2,), (1.0,), k=0.1)


@pytest.mark.parametrize("method", METHODS)
def test_a_solution_that_ends_is_a_failure_with_finite_gradients(method):
    evaluate = solution(BLOWS_UP.cls(solver=method), [1.0, 20.0], **BLOWS_UP.typical)
    y, failed, slopes = evaluate(np.ones((1, 2)))
    np.testing.assert_array_equal(failed, [False, True])
    np.testing.assert_allclose(y[0, 0], 1 / (1 - 0.1), rtol=1e-5)
    assert np.isfinite(y).all()
    assert slopes == 0.0
    y, failed, slopes = evaluate(np.ones((1, 2)), k=0.01)
    assert not failed.any()
    np.testing.assert_allclose(y[0], [1 / (1 - 0.01), 1 / (1 - 0.2)], rtol=1e-5)


def test_the_limit_of_steps_is_a_failure():
    case, times = SYSTEMS["predator and prey"]
    y, failed, _ = solution(case.cls(max_steps=20), times, **case.typical)()
    wanted, _, _ = solution(case.cls(), times, **case.typical)()
    assert failed[-1]
    np.testing.assert_allclose(y[:, ~failed], wanted[:, ~failed], rtol=1e-9)  # what was reached before is kept
    assert not solution(case.cls(max_steps=2000), times, **case.typical)()[1].any()


def test_parameters_that_are_no_numbers_are_a_failure():
    case, times = SYSTEMS["an epidemic"]
    for bad in (np.nan, np.inf):
        y, failed, slopes = solution(case.cls(), times, **case.typical)(np.ones((3, len(times))), b=bad)
        assert failed.all()
        assert np.isfinite(y).all()
        assert (slopes == 0).all()


def test_stiffness_is_noticed():
    case, times = SYSTEMS["a target that binds fast (stiff)"]
    few = {"rtol": 1e-6, "atol": 1e-9, "max_steps": 1500}
    assert solution(case.cls(**few, solver="explicit"), times, **case.typical)()[1].all()
    assert not solution(case.cls(**few), times, **case.typical)()[1].any()


def test_a_state_that_a_class_forgets_is_named():
    bad = SimpleNamespace(**vars(system("Forgets", ("a", "b"), lambda m, t, y, p: (p.k, p.k), (0.0, 0.0), k=1.0)))
    bad.cls.rhs = lambda self, t, y, p: {"a": p.k}
    with pytest.raises(ValueError, match="rhs must return a dict with the slope of each of a, b; got a"):
        solution(bad.cls(), [1.0], **bad.typical)
