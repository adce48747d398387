"""Exposures of polynomials on panels: against closed forms, and the definitions of another program."""

import numpy as np
import pytest
from scipy import optimize

from nlmebayes.dosing import exposure

# Sampled profiles and expected exposures of Tucuxi (sotalya/tucuxi-core 8b53140, gtest_targetevaluator.cpp): curves are
# linear between samples, which panels with two nodes represent exactly.
HOURS = [0, 5, 10, 15, 20, 25, 30, 35, 40, 45]
ABOVE_15 = [
    ([12, 17, 13, 18, 12, 17, 15, 16, 15, 10], 27.0),
    ([12, 13, 14, 15, 16, 17, 18, 19, 20, 21], 30.0),
    ([19, 18, 17, 16, 14, 13, 12, 11, 10, 9], 17.5),
    ([14, 13, 13, 12, 11, 13, 14, 12, 13, 11], 0.0),
    ([16, 19, 21, 17, 16, 18, 20, 17, 18, 22], 45.0),
]


def sampled(times, values):
    grid = exposure.Panels(np.asarray(times, dtype=float), nodes=2)
    return grid, np.interp(grid.times, times, values)[None]


@pytest.mark.parametrize(("values", "expected"), ABOVE_15)
def test_time_above_a_threshold_of_sampled_profiles(values, expected):
    assert exposure.time_above(*sampled(HOURS, values), 15.0) == pytest.approx([expected], abs=1e-12)


def test_area_mean_and_peak_of_sampled_profiles():
    grid, values = sampled(range(5), [17, 18, 19, 18, 17])
    assert exposure.integral(grid, values) == pytest.approx([72.0])
    assert exposure.integral(grid, values) * 24 / grid.widths.sum() == pytest.approx([432.0])
    assert exposure.integral(*sampled(range(5), [24, 29, 16, 9, 60])) / 4 == pytest.approx([24.0])
    assert exposure.maximum(*sampled(range(5), [24000, 29000, 16000, 9000, 20000])) == pytest.approx([29000])


def bateman(ka, k):
    return lambda t: ka / (ka - k) * (np.exp(-k * t) - np.exp(-ka * t))


@pytest.mark.parametrize("ka", [0.4, 1.5, 10.0, 80.0])
@pytest.mark.parametrize("k", [0.02, 0.2])
@pytest.mark.parametrize("end", [24.0, 300.0])
def test_an_oral_curve_against_its_closed_form(ka, k, end):
    curve, grid = bateman(ka, k), exposure.panels(0.0, end, [])
    for _ in range(3):
        grid = grid.refined(curve(grid.times)[None]) or grid
    f = curve(grid.times)[None]
    tmax = np.log(ka / k) / (ka - k)
    assert exposure.maximum(grid, f) == pytest.approx([curve(tmax)], rel=1e-9)
    area = ka / (ka - k) * ((1 - np.exp(-k * end)) / k - (1 - np.exp(-ka * end)) / ka)
    assert exposure.integral(grid, f) == pytest.approx([area], rel=1e-12)
    threshold = 0.3 * curve(tmax)
    rises = optimize.brentq(lambda t: curve(t) - threshold, 0, tmax, xtol=1e-14)
    falls = optimize.brentq(lambda t: curve(t) - threshold, tmax, 1e4, xtol=1e-14)
    assert exposure.time_above(grid, f, threshold) == pytest.approx([min(falls, end) - rises], rel=1e-8)


def test_the_peak_of_a_bolus_is_the_limit_from_the_right():
    doses = np.array([0.0, 12.0])
    grid = exposure.panels(0.0, 24.0, doses)
    f = sum(np.where(grid.times >= d, np.exp(-0.3 * (grid.times - d)), 0.0) for d in doses)[None]
    assert exposure.maximum(grid, f) == pytest.approx([1 + np.exp(-3.6)], rel=1e-10)


def test_a_kink_within_a_panel_makes_it_finer():
    """A lag that differs between draws cannot be an edge: panels around it are cut."""
    lags = np.linspace(0.4, 0.6, 5)

    def curve(t):
        return np.maximum(t - lags[:, None], 0) * np.exp(-np.maximum(t - lags[:, None], 0))

    exact = 1 - np.exp(-(24 - lags)) * (25 - lags)
    grid = exposure.panels(0.0, 24.0, [])
    before = np.abs(exposure.integral(grid, curve(grid.times)) - exact).max()
    for _ in range(3):
        grid = grid.refined(curve(grid.times)) or grid
    after = np.abs(exposure.integral(grid, curve(grid.times)) - exact).max()
    assert after < 1e-5 < before
    assert exposure.maximum(grid, curve(grid.times)) == pytest.approx(np.exp(-1), rel=1e-9)
    assert exposure.panels(0.0, 24.0, []).refined(np.exp(-0.1 * exposure.panels(0.0, 24.0, []).times)[None]) is None


def test_many_doses_and_a_curve_that_is_unknown():
    grid = exposure.panels(0.0, 240.0, np.arange(0.0, 240.0, 6.0))
    assert len(grid.times) == 40 * 3 * 16
    f = np.exp(-0.2 * np.mod(grid.times, 6.0))[None]
    assert exposure.integral(grid, f) == pytest.approx([40 * -np.expm1(-1.2) / 0.2], rel=1e-11)
    assert exposure.maximum(grid, f) == pytest.approx([1.0], rel=1e-9) and grid.refined(f) is None
    unknown = np.concatenate([f, f * np.nan])
    assert grid.refined(unknown) is None and grid.refined(f * np.nan) is None
    for found in (exposure.maximum(grid, unknown), exposure.time_above(grid, unknown, 0.5)):
        assert np.isnan(found).tolist() == [False, True]


def test_a_jump_within_a_panel_does_not_overshoot():
    """A bolus after a lag that differs between draws: the largest node, and no more than the jump."""
    lags = np.linspace(0.37, 0.61, 7)[:, None]
    grid = exposure.panels(0.0, 24.0, [])

    def curve(t):
        return np.where(t > lags, np.exp(-0.1 * (t - lags)), 0.0)

    for _ in range(3):
        grid = grid.refined(curve(grid.times)) or grid
    found = exposure.maximum(grid, curve(grid.times))
    assert (found <= 1).all() and (found > 0.997).all()
    exact = -np.expm1(-0.1 * (24 - lags[:, 0])) / 0.1
    np.testing.assert_allclose(exposure.integral(grid, curve(grid.times)), exact, rtol=1e-3)
