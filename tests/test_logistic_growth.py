"""`LogisticGrowth`: formula, slopes, limits."""

import numpy as np
import pytest
from laws import curve, records, slopes, values
from scipy.integrate import solve_ivp

from model_zoo import LogisticGrowth


def logistic(asym, xmid, scal, time):
    return asym / (1 + np.exp(-(time - xmid) / scal))


def test_the_curve_is_its_formula():
    found, expected = values(LogisticGrowth(), logistic)
    assert found == pytest.approx(expected, rel=1e-12)


def test_slopes_are_those_of_finite_differences():
    found, expected = slopes(LogisticGrowth(), logistic)
    assert found == pytest.approx(expected, rel=1e-4, abs=1e-6)


def test_records_are_reached_through_formulas_and_units():
    found, expected = records(LogisticGrowth(), logistic)
    assert found == pytest.approx(expected, rel=1e-12)


def test_logistic_growth_has_half_its_asymptote_at_xmid_and_73_percent_one_scale_later():
    value, _ = curve(LogisticGrowth())(asym=192.0, xmid=728.0, scal=354.0, time=[728.0, 728.0 + 354.0, 1e6])
    assert value == pytest.approx([96.0, 192 / (1 + np.exp(-1)), 192.0], rel=1e-14)
    assert value[1] / 192 == pytest.approx(0.73, abs=0.005)


def test_the_s_is_symmetric_about_xmid():
    away = np.linspace(0, 2000, 9)
    (late, _), (early, _) = (
        curve(LogisticGrowth())(asym=192.0, xmid=728.0, scal=354.0, time=728.0 + sign * away) for sign in (1, -1)
    )
    assert late + early == pytest.approx(np.full(9, 192.0), rel=1e-14)


def test_growth_is_fastest_at_xmid_and_a_quarter_of_asymptote_over_scale():
    t = np.linspace(0, 1456, 101)  # its middle is xmid
    _, slopes_at = curve(LogisticGrowth())(asym=192.0, xmid=728.0, scal=354.0, time=t)
    assert t[np.argmax(slopes_at["time"])] == 728.0
    assert slopes_at["time"].max() == pytest.approx(192.0 / 354.0 / 4, rel=1e-14)


def test_logistic_growth_solves_its_differential_equation():
    """y' = y (1 - y / asym) / scal, from the size at t = 0."""
    t = np.linspace(0, 2000, 9)
    value, _ = curve(LogisticGrowth())(asym=192.0, xmid=728.0, scal=354.0, time=t)
    found = solve_ivp(
        lambda _, y: y * (1 - y / 192.0) / 354.0, (0, 2000), value[:1], "DOP853", t, rtol=1e-10, atol=1e-12
    )
    assert value == pytest.approx(found.y[0], rel=1e-8)


@pytest.mark.parametrize(("time", "end"), [(-1e6, 0.0), (1e6, 192.0)])
def test_far_from_xmid_nothing_overflows(time, end):
    value, slopes_at = curve(LogisticGrowth())(asym=192.0, xmid=728.0, scal=0.01, time=time)
    assert value == pytest.approx(end, abs=1e-300)
    assert all(np.isfinite(s).all() for s in slopes_at.values())


def test_the_asymptote_is_normal_among_individuals():
    """As in nlme: it is linear in the curve and on the identity link, so it may even be negative."""
    asym, xmid, scal = LogisticGrowth().parameters
    assert (asym.scale.forward(-5.0), xmid.varies, scal.varies) == (-5.0, False, False)
    up, down = (curve(LogisticGrowth())(asym=a, xmid=728.0, scal=354.0, time=500.0)[0] for a in (192.0, -192.0))
    assert up == -down
