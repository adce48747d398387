"""`Gompertz`: formula, slopes, limits."""

import numpy as np
import pytest
from laws import curve, has_its_slopes, is_its_formula, reaches_its_records

from model_zoo import Gompertz

LAWS = [(Gompertz(), lambda v0, alpha, beta, time: v0 * np.exp(alpha / beta * (1 - np.exp(-beta * time))))]


EVERY = pytest.mark.parametrize(("structure", "law"), LAWS, ids=lambda x: getattr(x, "label", ""))


@EVERY
def test_the_curve_is_its_formula(structure, law):
    is_its_formula(structure, law)


@EVERY
def test_slopes_are_those_of_finite_differences(structure, law):
    has_its_slopes(structure, law)


@EVERY
def test_records_are_reached_through_formulas_and_units(structure, law):
    reaches_its_records(structure, law)


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
