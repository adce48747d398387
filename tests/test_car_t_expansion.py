"""`CarTExpansion` against its closed forms, SciPy, and the limit of a sharp switch."""

from itertools import pairwise

import numpy as np
import pytest
from laws import area, dosed, extrapolated_slope, predicted
from test_system_events import predictions

from model_zoo import CarTExpansion
from nlmebayes.formula.design import resolve
from nlmebayes.model.model import Model

T = np.array([0.0, 1.0, 4.0, 8.0, 9.2, 9.4, 11.0, 20.0, 60.0, 365.0, 1000.0])
PHI = {"c0": 6.0, "rho": 0.9, "tmax": 9.3, "alpha": 0.16, "kem": 0.0125, "beta": 0.0032}


def tight(width=0.1):
    return CarTExpansion(width, rtol=1e-10, atol=1e-12)


def levels(times=T, width=0.1, **change):
    return predicted(tight(width), times, [], **PHI | change)


def softplus(x):
    return np.logaddexp(0.0, x)


def effectors(t, width, c0, rho, tmax, alpha, kem, **_):
    """c0 exp(rho S - (alpha + kem) (t - S)), S the integral of the switch from 0 to t."""
    on = width * (softplus(tmax / width) - softplus((tmax - t) / width))
    return c0 * np.exp(rho * on - (alpha + kem) * (t - on))


def memory(t, width, tmax, kem, beta, **rest):
    def into(u):
        off = 0.5 * (1 + np.tanh((u - tmax) / width / 2))
        return kem * off * effectors(u, width, tmax=tmax, kem=kem, **rest) * np.exp(-beta * (t - u))

    edges = tmax + width * np.append(np.arange(-60, 61), np.geomspace(61, 1e6, 200))  # nothing is off before
    edges = [max(edges[0], 0.0), *(x for x in edges if 0 < x < t), t]
    return area(into, edges) if t > edges[0] else 0.0


def sharp(t, c0, rho, tmax, alpha, kem, beta):
    """Stein et al. (2019), eq. 1, doi:10.1002/psp4.12388, with alpha + kem as alpha and F_B = kem / (alpha - beta)."""
    peak, share = c0 * np.exp(rho * tmax), kem / (alpha + kem - beta)
    late = np.maximum(t - tmax, 0.0)
    fall = peak * ((1 - share) * np.exp(-(alpha + kem) * late) + share * np.exp(-beta * late))
    return np.where(t < tmax, c0 * np.exp(rho * np.minimum(t, tmax)), fall)


@pytest.mark.parametrize("width", [0.02, 0.1, 0.5, 2.0])
def test_levels_are_effectors_and_memory(width):
    wanted = [effectors(t, width, **PHI) + memory(t, width, **PHI) for t in T]
    assert levels(width=width) == pytest.approx(wanted, rel=1e-7)


def test_without_memory_only_effectors_are_left():
    wanted = effectors(T[:9], 0.1, **PHI | {"kem": 0.0})
    assert levels(T[:9], kem=1e-13) == pytest.approx(wanted, rel=1e-7)


def test_a_sharp_switch_gives_the_piecewise_exponentials_of_the_source():
    """Its error is a series in the width that starts with the square; three widths extrapolate to none."""
    away = T[np.abs(T - 9.3) > 1]
    found, exact = [levels(away, w) for w in (0.04, 0.02, 0.01)], sharp(away, **PHI)
    assert np.abs(found[0] / exact - 1).max() > 1e-4
    first = [(4 * b - a) / 3 for a, b in pairwise(found)]
    assert (8 * first[1] - first[0]) / 7 == pytest.approx(exact, rel=1e-8)


def test_numbers_of_the_source():
    """Table 1: 3900-fold expansion to 24000 copies/ug at 9.3 days, alpha 0.16, beta 0.0032, F_B 0.0079."""
    kem = 0.0079 * (0.16 - 0.0032)
    phi = {"c0": 24000 / 3900, "rho": np.log(3900) / 9.3, "alpha": 0.16 - kem, "kem": kem}
    late = np.array([30.0, 100.0, 400.0])
    wanted = 24000 * ((1 - 0.0079) * np.exp(-0.16 * (late - 9.3)) + 0.0079 * np.exp(-0.0032 * (late - 9.3)))
    assert levels(late, 0.01, **phi) == pytest.approx(wanted, rel=1e-4)
    assert levels([5.0], 0.01, **phi) == pytest.approx(24000 / 3900 * np.exp(np.log(3900) / 9.3 * 5), rel=1e-8)


@pytest.mark.parametrize("width", [0.1, 0.5])
def test_the_peak_is_lower_than_that_of_a_sharp_switch_by_a_known_part(width):
    """log peak falls by width (rho + a) times the entropy of a / (rho + a), a = alpha + kem, where E' = 0."""
    a = PHI["alpha"] + PHI["kem"]
    share = a / (PHI["rho"] + a)
    at = PHI["tmax"] + width * np.log((1 - share) / share)
    lost = -width * (PHI["rho"] + a) * (share * np.log(share) + (1 - share) * np.log(1 - share))
    found = levels([at], width) - memory(at, width, **PHI)
    assert found == pytest.approx([6 * np.exp(0.9 * 9.3 - lost)], rel=1e-7)


def test_levels_go_with_the_start():
    assert levels(c0=600.0) == pytest.approx(100 * levels(), rel=1e-8)


@pytest.mark.parametrize("width", [0.1, 0.5])
def test_gradients_are_those_of_differences(width):
    structure = tight(width)
    compute = predictions(structure, resolve(Model(structure), dosed(T, [], "level")))
    weights = 1 / levels(width=width)
    _, *slopes = compute(*([x] for x in PHI.values()), weights)
    for name, slope in zip(PHI, slopes, strict=True):
        wanted = extrapolated_slope(
            lambda x, name=name: weights @ compute(*([y] for y in (PHI | {name: x}).values()), weights)[0], PHI[name]
        )
        assert slope[0] == pytest.approx(wanted, rel=1e-5)
