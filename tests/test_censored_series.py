"""Series with censored records, of normal, log-normal and Student measurements: rectangles of normal laws."""

import numpy as np
import pandas as pd
import pytest
from differences import check_slopes
from scipy import stats

import nlmebayes as nb
from model_zoo import LinearMixed
from nlmebayes.evaluation import measurement
from nlmebayes.formula.design import resolve

A, NU, F = 0.4, 3.0, np.linspace(1.4, 1.0, 9)
INSIDE = {
    "additive": (nb.Additive(), lambda y: stats.norm.logcdf(y, F, A), lambda y: stats.norm.logpdf(y, F, A)),
    "log-normal": (
        nb.LogNormal(), lambda y: stats.lognorm.logcdf(y, A, scale=F), lambda y: stats.lognorm.logpdf(y, A, scale=F),
    ),
    "student": (nb.StudentT(), lambda y: stats.t.logcdf(y, NU, F, A), lambda y: stats.t.logpdf(y, NU, F, A)),
}  # fmt: skip
# Which records are censored, and how: below, above, in an interval. Rows of the two series are mixed.
SERIES, TIME = list("abababbaa"), np.array([0.0, 0.0, 1.0, 1.5, 2.5, 3.0, 4.0, 4.5, 7.0])
Y = np.array([1.8, 1.15, 1.7, 1.0, 1.55, 1.05, 0.9, 1.5, 1.4])
PATTERNS = {
    "one in the middle": {2: (-np.inf, 1.7)},
    "one of each kind": {2: (-np.inf, 1.7), 5: (1.05, np.inf), 4: (1.2, 1.55)},
    "the end": {7: (-np.inf, 1.5), 8: (-np.inf, 1.4)},
    "the beginning": {0: (-np.inf, 1.8), 2: (1.7, np.inf)},
    "all of a series": {1: (-np.inf, 1.15), 3: (0.7, 1.0), 5: (-np.inf, 1.05), 6: (-np.inf, 0.9)},
}


def frame_of(pattern):
    limit = [pattern[i][0] if i in pattern and np.isfinite(pattern[i]).all() else np.nan for i in range(len(Y))]
    flag = [0 if i not in pattern else 1 if np.isfinite(pattern[i][1]) else -1 for i in range(len(Y))]
    return pd.DataFrame({"id": SERIES, "t": TIME, "y": Y, "cens": flag, "limit": limit})


def data_of(pattern):
    return nb.Dataset.from_frame(
        frame_of(pattern), outcome="y", levels="id", inputs=("t",), censored="cens", limit="limit"
    )


def parts(rho):
    return {name: np.array([value]) for name, value in {"a": A, "nu": NU, "rho": rho}.items()}


def covariance(rho, place):
    distance = np.abs(np.subtract.outer(place, place))
    return np.where(np.equal.outer(np.array(SERIES), np.array(SERIES)), rho**distance, 0.0)


def reference(pattern, rho, place, cdf, pdf):
    """Log-density of the measured records times the probability of the others given them, series by series."""
    cov, score = covariance(rho, place), lambda y: stats.norm.ppf(np.exp(cdf(y)))
    z, found = score(Y), 0.0
    low, high = (score(np.array([pattern.get(i, (1.0, 1.0))[k] for i in range(len(Y))])) for k in (0, 1))
    for label in "ab":
        own = np.flatnonzero(np.array(SERIES) == label)
        hidden, seen = np.intersect1d(own, list(pattern)), np.setdiff1d(own, list(pattern))
        of_seen = cov[np.ix_(seen, seen)]
        if len(seen):
            found += stats.multivariate_normal(np.zeros(len(seen)), of_seen).logpdf(z[seen])
            found += (pdf(Y) - stats.norm.logpdf(z))[seen].sum()
        if len(hidden):
            pull = cov[np.ix_(hidden, seen)] @ np.linalg.inv(of_seen)
            rest = cov[np.ix_(hidden, hidden)] - pull @ cov[np.ix_(seen, hidden)]
            found += np.log(rectangle(pull @ z[seen], rest, low[hidden], high[hidden]))
    return found


def rectangle(mean, cov, low, high):
    """Probability of a normal vector within limits, whose components are independent given every second one."""
    held, free = np.arange(1, len(mean), 2), np.arange(0, len(mean), 2)
    sd = np.sqrt(np.diag(cov))
    ends = [(max(low[i], mean[i] - 9 * sd[i]), min(high[i], mean[i] + 9 * sd[i])) for i in held]
    x, w = np.polynomial.legendre.leggauss(300)
    grid, weight, density = np.zeros((1, 0)), np.ones(1), 1.0
    if len(held):
        axes = zip(*((a + (b - a) * (x + 1) / 2, (b - a) / 2 * w) for a, b in ends), strict=True)
        grid, weight = (np.stack(np.meshgrid(*each, indexing="ij"), -1).reshape(-1, len(held)) for each in axes)
        density = stats.multivariate_normal(mean[held], cov[np.ix_(held, held)]).pdf(grid)
    pull = cov[np.ix_(free, held)] @ np.linalg.inv(cov[np.ix_(held, held)])
    centre = mean[free] + (grid - mean[held]) @ pull.T
    spread = np.sqrt(np.diag(cov[np.ix_(free, free)] - pull @ cov[np.ix_(held, free)]))
    within = stats.norm.cdf((high[free] - centre) / spread) - stats.norm.cdf((low[free] - centre) / spread)
    return (weight.prod(axis=-1) * density * within.prod(axis=1)).sum()


def test_the_rectangles_are_those_of_scipy():
    cov, low, high = 0.7 ** np.abs(np.subtract.outer(range(4), range(4))), np.full(4, -np.inf), np.array([0.1, 1, 0, 2])
    found = stats.multivariate_normal(np.zeros(4), cov).cdf(high, rng=np.random.default_rng(1))
    assert rectangle(np.zeros(4), cov, low, high) == pytest.approx(found, abs=1e-4)


@pytest.mark.filterwarnings("ignore:divide by zero")
@pytest.mark.parametrize(
    ("law", "pattern", "over", "rho"),
    [
        *[("additive", name, None, rho) for name in PATTERNS for rho in (-0.9, 0.3)],
        *[("additive", name, "t", rho) for name in PATTERNS for rho in (0.6, 0.99)],
        *[(name, "one of each kind", "t", 0.6) for name in ("log-normal", "student")],
        *[(name, "all of a series", "t", 0.6) for name in ("log-normal", "student")],
    ],
)
def test_the_law_of_a_series_is_a_normal_rectangle(law, pattern, over, rho):
    (inside, cdf, pdf), pattern = INSIDE[law], PATTERNS[pattern]
    residual = nb.Autoregressive(inside, over=over)
    place = TIME if over else pd.Series(SERIES).groupby(SERIES).cumcount().to_numpy(float)
    o = resolve(nb.Model(LinearMixed(), "mu ~ 1", residual=residual), data_of(pattern)).outcomes[0]
    found = measurement.log_density(residual, F[None], parts(rho), o)[0].sum()
    assert found == pytest.approx(reference(pattern, rho, place, cdf, pdf), abs=1e-6)


@pytest.mark.parametrize(("law", "over"), [("additive", None), ("log-normal", "t"), ("student", "t")])
def test_the_graph_is_that_of_the_arrays_with_gradients_of_finite_differences(law, over):
    pattern = {4: (1.2, 1.55), 8: (-np.inf, 1.4)} | ({7: (-np.inf, 1.5)} if law == "additive" else {})
    residual = nb.Autoregressive(INSIDE[law][0], over=over)
    model, data = nb.Model(LinearMixed(), "mu ~ 1", residual=residual), data_of(pattern)
    built = nb.build(model, data)
    point = built.initial_point(0) | {"theta_mu": np.array([1.3])}
    check_slopes(built, point)


@pytest.mark.parametrize("pattern", [PATTERNS["the end"], PATTERNS["all of a series"]], ids=["the end", "all"])
def test_slopes_in_each_prediction_are_finite_differences(pattern):
    residual = nb.Autoregressive(over="t")
    o = resolve(nb.Model(LinearMixed(), "mu ~ 1", residual=residual), data_of(pattern)).outcomes[0]
    slope = measurement.gradients(residual, F[None], parts(0.6), o)[1][0]
    step = 1e-5 * np.concatenate([np.eye(9), -np.eye(9)])
    many = {name: np.repeat(value, 18) for name, value in parts(0.6).items()}
    up, down = np.split(measurement.log_density(residual, F + step, many, o).sum(axis=1), 2)
    assert slope == pytest.approx((up - down) / 2e-5, rel=1e-6, abs=1e-7)
