"""`ParametricSurvival`: hazards and their integrals against SciPy, limits, and its options."""

import numpy as np
import pytensor.tensor as pt
import pytest
from scipy import stats

from model_zoo import ParametricSurvival
from nlmebayes.structure.structure import Named

T = np.array([0.3, 1.0, 2.5, 6.0, 30.0])
VALUES = {"rate": 0.2, "shape": 1.3, "slope": -0.15, "ratio2": 0.5, "ratio3": 2.0}
SCIPY = {
    "exponential": stats.expon(scale=1 / 0.2),
    "weibull": stats.weibull_min(1.3, scale=0.2 ** (-1 / 1.3)),
    "gompertz": None,  # by quadrature
}


def both(structure, t=T, **changes):
    p = Named(**{name: pt.as_tensor(value) for name, value in (VALUES | changes).items()})
    return [law(p, pt.as_tensor(t)).eval(mode="FAST_COMPILE") for law in (structure.hazard, structure.cumulative)]


@pytest.mark.parametrize("name", ["exponential", "weibull"])
def test_hazards_are_those_of_scipy(name):
    hazard, cumulative = both(ParametricSurvival(name))
    law = SCIPY[name]
    assert cumulative == pytest.approx(-law.logsf(T), rel=1e-10)
    assert hazard == pytest.approx(np.exp(law.logpdf(T) - law.logsf(T)), rel=1e-10)


@pytest.mark.parametrize("baseline", list(SCIPY))
def test_the_cumulative_hazard_is_the_integral(baseline):
    """By Gauss and Legendre on short panels, from a time at which every hazard is smooth."""
    structure = ParametricSurvival(baseline, (1.0, 2.0))
    edges = np.linspace(0.5, 6.0, 111)
    nodes, weights = np.polynomial.legendre.leggauss(8)
    t = edges[:-1, None] + 0.05 * (nodes + 1) / 2
    each = (both(structure, t.ravel())[0].reshape(t.shape) * weights * 0.025).sum(axis=1)
    whole = both(structure, edges)[1]
    assert whole[1:] - whole[0] == pytest.approx(np.cumsum(each), rel=1e-10)


def test_a_gompertz_hazard_without_slope_is_constant():
    flat, exponential = both(ParametricSurvival("gompertz"), slope=0.0), both(ParametricSurvival("exponential"))
    assert np.array(flat) == pytest.approx(np.array(exponential), rel=1e-12)


def test_slopes_at_the_start_are_finite():
    p = {name: pt.as_tensor(value) for name, value in VALUES.items()}
    for baseline, name in [("weibull", "shape"), ("gompertz", "slope")]:
        whole = ParametricSurvival(baseline, (1.0,)).cumulative(Named(**p), pt.as_tensor([0.0]))
        assert np.isfinite(pt.grad(whole.sum(), p[name]).eval(mode="FAST_COMPILE"))


def test_breaks_increase():
    with pytest.raises(ValueError, match=r"breaks must be positive and increase; got \(2.0, 1.0\)"):
        ParametricSurvival("exponential", (2.0, 1.0))
