"""Removable singularities, against 60 digits."""

from decimal import Decimal, localcontext
from functools import cache

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from laws import compiled, exact_bateman, exact_slope, quick

from nlmebayes.structure.stable import bateman, decay_ratio


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


def test_a_ratio_far_out_is_made_without_a_warning():
    assert float(decay_ratio(1e300).eval(mode="FAST_COMPILE")) == pytest.approx(1e-300)
