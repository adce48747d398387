"""`RepeatedMeasures`: its implied correlation against quadrature and SciPy, and a simulated study."""

import numpy as np
import pandas as pd
import pytest
from mixed import agrees
from scipy import stats
from trees import stated

import nlmebayes as nb
from model_zoo import RepeatedMeasures
from nlmebayes.evaluation import measurement
from nlmebayes.model.build import designed

QTC = RepeatedMeasures()
HOURS = np.array([1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 24.0])
EFFECT = np.array([2.0, 5.0, 8.0, 7.0, 5.0, 4.0, 2.0, 0.0])
RESIDUALS = {
    "compound symmetry": nb.Additive(),
    "by order": nb.Autoregressive(),
    "in time": nb.Autoregressive(over="hour", unit=2.0),
}
TRUTH = {
    "theta_mu": [400.0, *np.zeros(7), *EFFECT], "omega_subject": [10.0],
    "sigma_qtc_a": 6.0, "sigma_qtc_rho": 0.7,
}  # fmt: skip


def design(subjects=40, missed=11):
    frame = pd.DataFrame({"subject": np.arange(subjects)}).merge(pd.DataFrame({"hour": HOURS}), how="cross")
    frame["treatment"] = np.where(frame["subject"] % 2, "drug", "0 placebo")
    frame["qtc"] = 400.0 + np.arange(len(frame)) % 7
    return nb.Dataset.from_frame(frame.drop(range(5, len(frame), missed)), outcome="qtc", levels="subject")


def values_of(residual):
    return {k: v for k, v in TRUTH.items() if k != "sigma_qtc_rho" or residual != nb.Additive()}


@pytest.fixture(scope="module")
def tree():
    model, data = nb.Model(QTC, residual=RESIDUALS["in time"]), design()
    data = data.with_values(qtc=stated(model, data, seed=3, **TRUTH)["prior_predictive"]["qtc"].to_numpy().ravel())
    return nb.fit(model, data, draws=300, tune=300, chains=2, random_seed=1, progressbar=False)


@pytest.mark.parametrize("residual", RESIDUALS.values(), ids=list(RESIDUALS))
def test_a_subject_has_the_normal_law_of_the_implied_correlation(residual):
    """The likelihood, integrated over the effect of the subject on a grid, is SciPy's of the covariance."""
    data = design().sel(subject=["0", "1"])
    model = nb.Model(QTC, residual=residual)
    y = data.observations["value"].to_numpy()
    hour, who = (data.observations[c].to_numpy() for c in ("hour", "subject"))
    place = np.concatenate([np.arange(n) for n in np.unique(who, return_counts=True)[1]])
    at = hour / 2 if residual == RESIDUALS["in time"] else place
    distance = np.abs(np.subtract.outer(at, at))
    implied = QTC.correlation(stated(model, data, **values_of(residual)), distance.ravel())[0, 0].to_numpy()
    covariance = 136.0 * np.where(who == who[:, None], implied.reshape(distance.shape), 0.0)
    (outcome,) = designed(model, data).outcomes
    grid = np.linspace(-90, 90, 2001)
    s = {k[10:]: np.full(len(grid), v) for k, v in values_of(residual).items() if k.startswith("sigma_qtc_")}
    each = measurement.log_density(residual, np.tile(400 + grid[:, None], len(y)), s, outcome)
    total = 0.0
    for subject in np.unique(who):
        joint = each[:, who == subject].sum(axis=1) + stats.norm.logpdf(grid, 0, 10.0)
        total += np.log(np.exp(joint - joint.max()).sum() * (grid[1] - grid[0])) + joint.max()
    assert total == pytest.approx(stats.multivariate_normal(np.full(len(y), 400.0), covariance).logpdf(y), rel=1e-9)


def test_the_truth_is_found_again(tree):
    agrees(tree, {"omega_subject mu": 10.0, "sigma_qtc_a": 6.0, "sigma_qtc_rho": 0.7}, within=2.5)
    found = nb.intervals(QTC.difference(tree))
    assert found.index.tolist() == [f"drug at {hour:g}" for hour in HOURS]
    assert (np.abs(found["mean"] - EFFECT) / found["sd"]).max() < 2.5


def test_the_effects_agree_with_generalised_least_squares(tree):
    """At the posterior means of omega, a and rho, by NumPy; flat priors of the means."""
    frame = nb.training_dataset(tree).observations
    posterior = tree["posterior"]
    omega, a, rho = (float(posterior[v].mean()) for v in ("omega_subject", "sigma_qtc_a", "sigma_qtc_rho"))
    hour, who = frame["hour"].to_numpy(), frame["subject"].to_numpy()
    v = (omega**2 + a**2 * rho ** (np.abs(np.subtract.outer(hour, hour)) / 2)) * (who == who[:, None])
    at = (hour[:, None] == HOURS).astype(float)
    x = np.hstack([at, at * (frame["treatment"] == "drug").to_numpy()[:, None]])
    information = x.T @ np.linalg.solve(v, x)
    beta = np.linalg.solve(information, x.T @ np.linalg.solve(v, frame["value"].to_numpy()))[8:]
    found = nb.intervals(QTC.difference(tree))
    assert (np.abs(found["mean"] - beta) / found["sd"]).max() < 0.35
    assert found["sd"].to_numpy() == pytest.approx(np.sqrt(np.diag(np.linalg.inv(information))[8:]), rel=0.2)


def test_formulas_follow_the_columns():
    assert RepeatedMeasures(treatment="").formulas == ("mu ~ 1 + C(hour) + (1|subject)",)
    wanted = ("mu ~ 1 + C(week) + C(week):arm + base + (1|id)",)
    assert RepeatedMeasures("id", "week", "arm", "base").formulas == wanted


def test_a_correlation_of_another_model_is_refused():
    data = design(4)
    with pytest.raises(ValueError, match="this fit has a, b of the residual and mu of each subject"):
        QTC.correlation(stated(nb.Model(QTC, residual=nb.Combined()), data, draws=1), [1])
    negative = stated(nb.Model(QTC, residual=nb.Autoregressive()), data, sigma_qtc_rho=-0.3)
    with pytest.raises(ValueError, match=r"whole where rho may be negative; got \[0.5\]"):
        QTC.correlation(negative, [0.5])
    with pytest.raises(ValueError, match=r"mu has no terms C\(hour\):arm"):
        RepeatedMeasures(treatment="arm").difference(negative)
