"""Residuals that remember: densities against multivariate normal laws, nlme's printed likelihood, draws, refusals."""

import numpy as np
import pandas as pd
import pytest
from differences import check_slopes
from scipy import stats

import nlmebayes as nb
from model_zoo import LinearMixed
from nlmebayes.evaluation import measurement
from nlmebayes.formula.design import resolve
from nlmebayes.inference.starts import pilot
from nlmebayes.model.build import designed

INSIDE = {
    "additive": (nb.Additive(), {"a": 0.7}, lambda f: 0.7 + 0 * f),
    "combined": (nb.Combined(), {"a": 0.3, "b": 0.2}, lambda f: 0.3 + 0.2 * np.abs(f)),
}
# Two series whose rows are mixed, with gaps.
FRAME = pd.DataFrame({
    "id": list("abababaab"), "t": [0.0, 2.0, 1.0, 2.5, 3.5, 7.0, 4.0, 9.0, 7.2],
    "y": [1.0, 3.0, 2.5, 2.0, 4.0, 1.5, 2.2, 3.1, 0.4],
})  # fmt: skip


def outcome(residual, frame=FRAME):
    data = nb.Dataset.from_frame(frame, outcome="y", levels="id", inputs=("t",))
    return resolve(nb.Model(LinearMixed(), "mu ~ 1", residual=residual), data).outcomes[0]


def correlation(frame, rho, over=None):
    """Correlations of all records, (record, record)."""
    place = frame.groupby("id").cumcount() if over is None else frame[over]
    distance = np.abs(np.subtract.outer(place.to_numpy(float), place.to_numpy(float)))
    return np.where(np.equal.outer(frame["id"].to_numpy(), frame["id"].to_numpy()), rho**distance, 0.0)


@pytest.mark.parametrize(("inside", "parts", "scatter"), INSIDE.values(), ids=list(INSIDE))
@pytest.mark.parametrize(("over", "rho"), [(None, 0.6), (None, -0.4), ("t", 0.6), ("t", 0.05)])
def test_records_given_those_before_make_the_law_of_the_series(inside, parts, scatter, over, rho):
    residual = nb.Autoregressive(inside, over=over)
    f = np.linspace(1, 4, len(FRAME))
    w = scatter(f)
    law = stats.multivariate_normal(f, correlation(FRAME, rho, over) * np.outer(w, w))
    s = {part: np.array([value]) for part, value in (parts | {"rho": rho}).items()}
    found = measurement.log_density(residual, f[None], s, outcome(residual))[0]
    assert found.sum() == pytest.approx(law.logpdf(FRAME["y"]), rel=1e-10)


def test_a_missing_visit_widens_the_gap():
    """Leaving a record out is integrating over it."""
    residual, s = nb.Autoregressive(over="t", unit=2.0), {"a": np.array([0.7]), "rho": np.array([0.5])}
    fewer = FRAME.drop(index=4)
    law = stats.multivariate_normal(np.full(8, 2.0), 0.49 * correlation(fewer.assign(t=fewer["t"] / 2), 0.5, "t"))
    found = measurement.log_density(residual, np.full((1, 8), 2.0), s, outcome(residual, fewer))[0]
    assert found.sum() == pytest.approx(law.logpdf(fewer["y"]), rel=1e-10)


def test_draws_have_the_correlation_of_the_law():
    residual, n = nb.Autoregressive(nb.Combined(), over="t"), 40_000
    s = {"a": np.full(n, 0.3), "b": np.full(n, 0.2), "rho": np.full(n, 0.7)}
    f = np.linspace(1, 4, len(FRAME))
    y = measurement.measure(residual, np.tile(f, (n, 1)), s, np.random.default_rng(1), observed=outcome(residual))
    assert np.corrcoef(y.T) == pytest.approx(correlation(FRAME, 0.7, "t"), abs=0.02)
    assert y.std(axis=0) == pytest.approx(0.3 + 0.2 * f, rel=0.02)


@pytest.mark.parametrize("over", [None, "t"])
def test_the_graph_is_that_of_the_arrays_with_gradients_of_finite_differences(over):
    model = nb.Model(LinearMixed(), "mu ~ 1", residual=nb.Autoregressive(over=over))
    data = nb.Dataset.from_frame(FRAME, outcome="y", levels="id", inputs=("t",))
    built = nb.build(model, data)
    point = built.initial_point(0) | {"theta_mu": np.array([2.2])}
    check_slopes(built, point)


def ovary():
    frame = nb.datasets.table("ovary")
    return frame.assign(s=np.sin(2 * np.pi * frame["Time"]), c=np.cos(2 * np.pi * frame["Time"]))


def test_the_restricted_likelihood_of_nlme():
    """lme with corAR1 on Ovary (nlme 3.1, printed): logLik -774.7239581 at its estimates, from our correlations."""
    frame = ovary()
    data = nb.Dataset.from_frame(frame[["Mare", "follicles", "s", "c"]], outcome="follicles", levels="Mare")
    model = nb.Model(LinearMixed(), "mu ~ 1 + s + c", residual=nb.Autoregressive())
    o = designed(model, data).outcomes[0]
    n = len(frame)
    # The law of y - f from the conditional ones: u = L^-1 y is independent, unit by unit.
    gap, before, rho, sigma = o.columns["gap"], o.columns["before"].astype(int), 0.5721866, 3.507053
    r = np.where(gap < 0, 0.0, rho)
    root = np.eye(n) / np.sqrt(1 - r**2)[:, None]
    root[np.arange(n), before] -= r / np.sqrt(1 - r**2)
    inverse = np.linalg.inv(root / sigma)
    x = np.column_stack([np.ones(n), frame["s"], frame["c"]])
    mares = pd.get_dummies(frame["Mare"].astype(str)).to_numpy(float)
    z = np.hstack([2.858385 * mares, 1.257977 * mares * frame[["s"]].to_numpy()])
    v = inverse @ inverse.T + z @ z.T
    y = frame["follicles"].to_numpy(float)
    vx = np.linalg.solve(v, x)
    beta = np.linalg.solve(x.T @ vx, vx.T @ y)
    assert beta == pytest.approx([12.1880886, -2.9852974, -0.8777618], rel=1e-5)
    res = y - x @ beta
    logdet = np.linalg.slogdet(v)[1] + np.linalg.slogdet(x.T @ vx)[1]
    found = -0.5 * (logdet + res @ np.linalg.solve(v, res) + (n - 3) * np.log(2 * np.pi))
    assert found == pytest.approx(-774.7239581, abs=1e-5)


def test_a_pilot_starts_from_independent_records():
    frame = ovary()
    data = nb.Dataset.from_frame(frame[["Mare", "follicles", "s", "c"]], outcome="follicles", levels="Mare")
    model = nb.Model(LinearMixed(), "mu ~ 1 + s + c + (1 + s||Mare)", residual=nb.Autoregressive())
    found = pilot(model, designed(model, data))
    assert found.theta["mu"] == pytest.approx([12.19, -2.99, -0.88], abs=1.0)
    assert set(found.sigma["follicles"]) == {"a"}


def test_replicates_of_a_fitted_tree_are_whole_series():
    frame = ovary().assign(visit=lambda x: x.groupby("Mare").cumcount().astype(float))
    data = nb.Dataset.from_frame(frame, outcome="follicles", levels="Mare", inputs=("visit",))
    model = nb.Model(LinearMixed(), "mu ~ 1 + (1|Mare)", residual=nb.Autoregressive(over="visit"))
    values = {"theta_mu": [12.0], "omega_Mare": [1e-9], "sigma_follicles_a": 3.0, "sigma_follicles_rho": 0.8}
    tree = nb.simulate(model, data, draws=300, values=values, random_seed=1)
    y = tree["prior_predictive"]["follicles"].to_numpy()[0] - 12.0
    assert (y[:, 1] * y[:, 0]).mean() == pytest.approx(0.8 * 9, rel=0.25)


@pytest.mark.parametrize("inside", [nb.Poisson(), nb.TimeToEvent(), nb.Aggregate(n="n")], ids=str)
def test_only_measurements_remember(inside):
    with pytest.raises(nb.ModelError, match="Autoregressive: residual must be a residual of measurements"):
        nb.Autoregressive(inside)


def test_what_has_no_series_is_named():
    with pytest.raises(nb.DataError, match=r"row 2, column t: is 0 twice within id a; a series has an order"):
        outcome(nb.Autoregressive(over="t"), pd.DataFrame({"id": ["a", "a"], "t": [0.0, 0.0], "y": [1.0, 2.0]}))
    with pytest.raises(nb.DataError, match="reads the column 'visit', which the data do not have"):
        outcome(nb.Autoregressive(over="visit"))
    data = nb.Dataset.from_frame(FRAME, outcome="y", levels="id", lloq=0.5, inputs=("t",), blq="M4")
    with pytest.raises(nb.ModelError, match=r"Autoregressive.*does not know blq='M4'.*use blq='M3', or LogNormal"):
        nb.build(nb.Model(LinearMixed(), "mu ~ 1", residual=nb.Autoregressive()), data)
