"""`TumourGrowth` against closed forms, the curves of the zoo, SciPy, and its own limits."""

import numpy as np
import pytest
from laws import curve, dosed, extrapolated_slope, predicted
from scipy.integrate import solve_ivp
from test_system_events import predictions

from model_zoo import Gompertz, LogisticGrowth, TumourGrowth
from nlmebayes.formula.design import resolve
from nlmebayes.model.model import Model

T = np.array([0.0, 0.5, 3.0, 8.0, 20.0, 45.0, 90.0])
TIGHT = {"rtol": 1e-10, "atol": 1e-12}
PHI = {
    "exponential": {"y0": 80.0, "r": 0.15},
    "logistic": {"y0": 80.0, "r": 0.3, "k": 4000.0},
    "gompertz": {"y0": 80.0, "r": 0.09, "k": 4000.0},
    "simeoni": {"y0": 80.0, "lambda0": 0.3, "lambda1": 150.0},
}
EVERY = pytest.mark.parametrize("law", PHI)


def sizes(law, times=T, **change):
    return predicted(TumourGrowth(law, **TIGHT), times, [], **PHI[law] | change)


def exact(law, y0, t=T, r=None, k=None):
    """Closed forms; Benzekry et al. (2014), doi:10.1371/journal.pcbi.1003800, with k = y0 exp(a / beta), r = beta."""
    if law == "exponential":
        return y0 * np.exp(r * t)
    if law == "logistic":
        return y0 * k / (y0 + (k - y0) * np.exp(-r * t))
    return k * np.exp(np.log(y0 / k) * np.exp(-r * t))


def simeoni(t, y0, lambda0, lambda1):
    def rhs(t, y):
        return lambda0 * y / (1 + (lambda0 / lambda1 * y) ** 20) ** (1 / 20)

    found = solve_ivp(rhs, (0, t[-1]), [y0], method="DOP853", t_eval=t, rtol=1e-12, atol=1e-12)
    return found.y[0]


@pytest.mark.parametrize("law", ["exponential", "logistic", "gompertz"])
@pytest.mark.parametrize("y0", [80.0, 0.01, 3999.0])
def test_closed_forms(law, y0):
    assert sizes(law, y0=y0) == pytest.approx(exact(law, **PHI[law] | {"y0": y0}), rel=1e-8)


@pytest.mark.parametrize("law", ["logistic", "gompertz"])
def test_a_tumour_above_its_capacity_shrinks_to_it(law):
    found = sizes(law, y0=9000.0)
    assert found == pytest.approx(exact(law, **PHI[law] | {"y0": 9000.0}), rel=1e-8)
    assert (np.diff(found) < 0).all()


def test_gompertz_is_the_curve_of_the_zoo():
    y0, r, k = PHI["gompertz"].values()
    wanted, _ = curve(Gompertz())(v0=y0, alpha=r * np.log(k / y0), beta=r, time=T)
    assert sizes("gompertz") == pytest.approx(wanted, rel=1e-8)


def test_logistic_is_the_curve_of_the_zoo():
    y0, r, k = PHI["logistic"].values()
    wanted, _ = curve(LogisticGrowth())(asym=k, xmid=np.log(k / y0 - 1) / r, scal=1 / r, time=T)
    assert sizes("logistic") == pytest.approx(wanted, rel=1e-8)


@pytest.mark.parametrize("y0", [0.01, 80.0, 5000.0])
def test_simeoni_is_scipys(y0):
    assert sizes("simeoni", y0=y0) == pytest.approx(simeoni(T, **PHI["simeoni"] | {"y0": y0}), rel=1e-8)


def test_simeoni_is_exponential_then_linear():
    small, large = sizes("simeoni", y0=0.1), sizes("simeoni", y0=5000.0)
    assert small[:5] == pytest.approx(0.1 * np.exp(0.3 * T[:5]), rel=1e-8)
    assert large == pytest.approx(5000 + 150 * T, rel=1e-8)


@pytest.mark.parametrize("law", ["logistic", "gompertz"])
def test_growth_ends_at_the_carrying_capacity(law):
    assert sizes(law, [400.0])[0] == pytest.approx(PHI[law]["k"], rel=1e-8)


def test_a_logistic_tumour_far_below_its_capacity_is_exponential():
    assert sizes("logistic", k=1e15, r=0.15) == pytest.approx(sizes("exponential"), rel=1e-7)


def test_records_that_start_late_count_from_time_zero():
    assert sizes("gompertz", [20.0, 45.0]) == pytest.approx(sizes("gompertz")[4:6], rel=1e-9)


@EVERY
def test_gradients_are_those_of_differences(law):
    structure = TumourGrowth(law, **TIGHT)
    compute = predictions(structure, resolve(Model(structure), dosed(T, [], "size")))
    at, weights = PHI[law], np.linspace(1.0, -0.5, len(T))
    _, *slopes = compute(*([x] for x in at.values()), weights)
    for name, slope in zip(at, slopes, strict=True):
        wanted = extrapolated_slope(
            lambda x, name=name: weights @ compute(*([y] for y in (at | {name: x}).values()), weights)[0], at[name]
        )
        assert slope[0] == pytest.approx(wanted, rel=1e-6)
