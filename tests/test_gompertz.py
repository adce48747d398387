"""`Gompertz`: formula, slopes, limits."""

import numpy as np
import pytest
from laws import curve, records, slopes, values
from scipy.integrate import solve_ivp

from model_zoo import Gompertz


def gompertz(v0, alpha, beta, time):
    return v0 * np.exp(alpha / beta * (1 - np.exp(-beta * time)))


def test_the_curve_is_its_formula():
    found, expected = values(Gompertz(), gompertz)
    assert found == pytest.approx(expected, rel=1e-12)


def test_slopes_are_those_of_finite_differences():
    found, expected = slopes(Gompertz(), gompertz)
    assert found == pytest.approx(expected, rel=1e-4, abs=1e-6)


def test_records_are_reached_through_formulas_and_units():
    found, expected = records(Gompertz(), gompertz)
    assert found == pytest.approx(expected, rel=1e-12)


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


def test_a_tumour_can_be_taken_up_again_at_any_time():
    """From day 6 on it is a Gompertz curve of the size and the relative rate of then."""
    t = np.linspace(0, 30, 7)
    whole, _ = curve(Gompertz())(v0=2.0, alpha=0.8, beta=0.2, time=6 + t)
    size, _ = curve(Gompertz())(v0=2.0, alpha=0.8, beta=0.2, time=6.0)
    rest, _ = curve(Gompertz())(v0=size, alpha=0.8 * np.exp(-0.2 * 6), beta=0.2, time=t)
    assert rest == pytest.approx(whole, rel=1e-13)


def test_gompertz_solves_its_differential_equations():
    """The size grows at a relative rate that itself decays: V' = a V, a' = -beta a."""
    t = np.linspace(0, 40, 9)
    found = solve_ivp(lambda _, y: [y[1] * y[0], -0.1 * y[1]], (0, 40), [2.0, 0.8], "DOP853", t, rtol=1e-10, atol=1e-12)
    assert curve(Gompertz())(v0=2.0, alpha=0.8, beta=0.1, time=t)[0] == pytest.approx(found.y[0], rel=1e-8)
