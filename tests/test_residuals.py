"""Residuals against closed forms: linear models, whose WRES and CWRES are exact; NONMEM's numbers; families; events."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy import linalg, optimize, stats
from trees import stated

import nlmebayes as nb
from model_zoo import HospitalProfile, LinearMixed, OneCompartment, ParametricSurvival
from nlmebayes.criticism import linearised
from nlmebayes.criticism.linearised import Linearised, of_measurements
from nlmebayes.criticism.replicates import study_of
from nlmebayes.evaluation.evaluator import evaluator
from nlmebayes.evaluation.fitted import fitted

TIMES = np.array([0.0, 1.0, 2.0, 5.0])
MEAN = 2.0 + 0.5 * TIMES


def study(subjects=6, seed=1, **columns):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"id": np.repeat(np.arange(subjects), 4), "time": np.tile(TIMES, subjects)})
    return frame.assign(y=np.tile(MEAN, subjects) + rng.normal(size=len(frame)), **columns)


def dataset(frame, levels="id", **options):
    return nb.Dataset.from_frame(frame, outcome="y", time="time", levels=levels, **options)


def linear(frame, *formulas, residual=None, levels="id", **values):
    model = nb.Model(
        LinearMixed(), *(formulas or ("mu ~ 1 + time + (1 + time||id)",)), residual=residual or nb.Additive()
    )
    values = {"theta_mu": [2.0, 0.5], "omega_id": [0.8, 0.3], "sigma_y_a": 0.4} | values
    return stated(model, dataset(frame, levels), **values)


def by_root(variance, deviations):
    return (linalg.inv(linalg.sqrtm(variance)) @ deviations.T).T


def values(table, column):
    return table[column].to_numpy().reshape(-1, 4)


def test_of_a_linear_model_wres_and_cwres_are_exact():
    frame = study()
    z = np.stack([np.ones(4), TIMES], axis=1)
    variance = z @ np.diag([0.64, 0.09]) @ z.T + 0.16 * np.eye(4)
    table, away = nb.residuals(linear(frame), replicates=100), frame["y"].to_numpy().reshape(-1, 4) - MEAN
    assert values(table, "WRES") == pytest.approx(by_root(variance, away))
    assert values(table, "CWRES") == pytest.approx(by_root(variance, away))
    blup = away @ linalg.inv(variance) @ z @ np.diag([0.64, 0.09]) @ z.T
    assert values(table, "PRED") == pytest.approx(np.tile(MEAN, (6, 1)))
    assert values(table, "IPRED") == pytest.approx(MEAN + blup)
    assert values(table, "IWRES") == pytest.approx((away - blup) / 0.4)
    assert values(table, "RES") == pytest.approx(away) and values(table, "IRES") == pytest.approx(away - blup)


def test_of_a_linear_model_simulated_residuals_are_near_the_exact_ones():
    frame = study()
    z = np.stack([np.ones(4), TIMES], axis=1)
    variance = z @ np.diag([0.64, 0.09]) @ z.T + 0.16 * np.eye(4)
    table, away = nb.residuals(linear(frame), replicates=20_000), frame["y"].to_numpy().reshape(-1, 4) - MEAN
    exact = (linalg.inv(linalg.cholesky(variance, lower=True)) @ away.T).T
    assert values(table, "EWRES") == pytest.approx(exact, abs=0.06)
    inner = np.abs(exact) < 2
    assert values(table, "npde")[inner] == pytest.approx(exact[inner], abs=0.1)
    assert values(table, "npd") == pytest.approx(away / np.sqrt(np.diag(variance)), abs=0.1)
    assert values(table, "EPRED") == pytest.approx(np.tile(MEAN, (6, 1)), abs=0.06)


def test_all_levels_of_a_subject_are_in_its_variance():
    frame = study(site=np.repeat([0, 1, 2], 8))
    formula = "mu ~ 1 + time + (1|site/id)"
    tree = linear(frame, formula, levels=("site", "site/id"), omega_site=[0.7], omega_id=[0.5])
    table = nb.residuals(tree, replicates=50)
    variance, away = (0.49 + 0.25) * np.ones((4, 4)) + 0.16 * np.eye(4), frame["y"].to_numpy().reshape(-1, 4) - MEAN
    assert values(table, "CWRES") == pytest.approx(by_root(variance, away))
    whole = np.kron(np.eye(3), 0.49 * np.ones((8, 8))) + np.kron(np.eye(6), 0.25 * np.ones((4, 4)))
    blup = whole @ linalg.solve(whole + 0.16 * np.eye(24), away.ravel())
    assert table["IPRED"].to_numpy() == pytest.approx(np.tile(MEAN, 6) + blup)


def test_a_residual_with_a_memory_is_decorrelated():
    frame = study()
    tree = linear(frame, residual=nb.Autoregressive(nb.Additive(), over="time"), sigma_y_rho=0.6)
    z, gap = np.stack([np.ones(4), TIMES], axis=1), np.abs(TIMES[:, None] - TIMES)
    variance = z @ np.diag([0.64, 0.09]) @ z.T + 0.16 * 0.6**gap
    table, away = nb.residuals(tree, replicates=50), frame["y"].to_numpy().reshape(-1, 4) - MEAN
    assert values(table, "CWRES") == pytest.approx(by_root(variance, away))
    blup = away @ linalg.inv(variance) @ z @ np.diag([0.64, 0.09]) @ z.T
    assert values(table, "IPRED") == pytest.approx(MEAN + blup)
    assert np.isnan(table["LOO_PIT"]).all()


def test_a_log_normal_residual_with_a_memory_is_decorrelated_as_logarithms():
    frame = study().assign(y=lambda x: np.exp(0.2 * (x["y"] - MEAN.mean()) + 1.0))
    given = {"theta_mu": [np.e], "omega_id": [0.3], "sigma_y_a": 0.15, "sigma_y_rho": 0.6}
    tree = linear(frame, "mu ~ 1 + (1|id)", residual=nb.Autoregressive(nb.LogNormal(), over="time"), **given)
    scatter = 0.15**2 * 0.6 ** np.abs(TIMES[:, None] - TIMES)
    table, inverse = nb.residuals(tree, replicates=50), np.linalg.inv(scatter)
    for y, ipred, cwres in zip(*(values(table, c) for c in ("DV", "IPRED", "CWRES")), strict=True):

        def objective(eta, y=y):
            away = np.log(y) - np.log(np.e + eta)
            return away @ inverse @ away + eta**2 / 0.09

        eta = optimize.minimize_scalar(objective, bounds=(-2, 2), method="bounded", options={"xatol": 1e-9}).x
        slope = np.ones((4, 1)) / (np.e + eta)
        away = np.log(y) - np.log(np.e + eta) + slope[:, 0] * eta
        assert ipred == pytest.approx(np.full(4, np.e + eta), abs=1e-4)
        assert cwres == pytest.approx(by_root(0.09 * slope @ slope.T + scatter, away), abs=1e-3)


def test_modes_of_a_series_that_ends_below_quantification_are_those_of_its_likelihood():
    y = np.array([[3.1, 3.4, 2.9, 1.4], [2.2, 2.0, 1.6, 1.4], [4.0, 3.2, 2.6, 2.4]])
    frame = study(3).assign(y=y.ravel())
    model = nb.Model(LinearMixed(), "mu ~ 1 + (1|id)", residual=nb.Autoregressive(nb.LogNormal(), over="time"))
    given = {"theta_mu": [np.e], "omega_id": [0.3], "sigma_y_a": 0.15, "sigma_y_rho": 0.6}
    table = nb.residuals(stated(model, dataset(frame, lloq=1.5), **given), replicates=50)
    law, r = stats.multivariate_normal(cov=0.6 ** np.abs(TIMES[:3, None] - TIMES[:3])), 0.6**3
    for values_, ipred in zip(y, values(table, "IPRED"), strict=True):

        def objective(eta, y=values_):
            z = (np.log(np.maximum(y, 1.5)) - np.log(np.e + eta)) / 0.15
            last = stats.norm.logpdf if y[3] > 1.5 else stats.norm.logcdf
            return eta**2 / 0.18 - law.logpdf(z[:3]) - last((z[3] - r * z[2]) / np.sqrt(1 - r**2))

        eta = optimize.minimize_scalar(objective, bounds=(-2, 2), method="bounded", options={"xatol": 1e-9}).x
        assert ipred == pytest.approx(np.full(4, np.e + eta), abs=1e-4)
    assert (table["CENS"].to_numpy().reshape(3, 4)[:, 3] == [1, 1, 0]).all()
    assert np.isnan(table["CWRES"].to_numpy()[3]) and np.isfinite(table["npde"]).all()


def test_student_measurements_are_correlated_a_little_less_than_their_scores():
    x, w = np.polynomial.hermite_e.hermegauss(80)
    w, nu = w / w.sum(), 6.0

    def measurement(z):
        return np.sign(z) * stats.t.isf(stats.norm.sf(np.abs(z)), nu)

    for r in (0.3, 0.9, -0.9):
        second = measurement(r * x[:, None] + np.sqrt(1 - r**2) * x)
        exact = (w * measurement(x)) @ second @ w * (nu - 2) / nu
        assert of_measurements(nb.StudentT(), np.array([[r]]), {"nu": nu})[0, 0] == pytest.approx(exact, abs=1e-4)
    assert of_measurements(nb.StudentT(), np.array([[1.0]]), {"nu": nu}) == pytest.approx(1.0)


class Rate(nb.Curve):
    """A rate that does not change."""

    parameters = (nb.Parameter("rate", typical=2.0),)
    inputs = ("time",)

    def curve(self, p, x):
        return p.rate + 0.0 * x.time


class Twice(nb.Curve):
    """A level, and its double, which another assay measures."""

    parameters = (nb.Parameter("level", typical=2.0, spread=1.0, link="identity"),)
    inputs = ("time",)
    outcomes = ("one", "two")

    def curve(self, p, x):
        return {"one": p.level + 0.0 * x.time, "two": 2.0 * p.level + 0.0 * x.time}


def test_all_outcomes_of_a_subject_are_decorrelated_together():
    rng = np.random.default_rng(2)
    frame = study().drop(columns="y").assign(one=rng.normal(2, 1, 24), two=rng.normal(4, 1, 24))
    data = nb.Dataset.from_frame(frame, outcome=("one", "two"), time="time", levels="id")
    model = nb.Model(Twice(), residual={"one": nb.Additive(), "two": nb.Additive()})
    values = {"theta_level": [2.0], "omega_id": [0.7], "sigma_one_a": 0.5, "sigma_two_a": 0.9}
    table = nb.residuals(stated(model, data, **values), replicates=50)
    loads = np.repeat([1.0, 2.0], 4)
    variance = 0.49 * np.outer(loads, loads) + np.diag(np.repeat([0.25, 0.81], 4))
    away = np.hstack([frame[name].to_numpy().reshape(-1, 4) - mean for name, mean in (("one", 2.0), ("two", 4.0))])
    expected = by_root(variance, away)
    for name, here in (("one", slice(0, 4)), ("two", slice(4, 8))):
        own = table[table["outcome"] == name]
        assert own["CWRES"].to_numpy().reshape(-1, 4) == pytest.approx(expected[:, here])
    assert table["outcome"].tolist()[:4] == data.observations["outcome"].tolist()[:4]


def rates(residual, y, **sigma):
    frame = study().assign(y=y)
    model = nb.Model(Rate(), "rate ~ 1 + (1|id)", residual=residual)
    return frame, stated(model, dataset(frame), theta_rate=[0.3], omega_id=[0.5], **sigma)


def test_of_log_normal_measurements_residuals_are_those_of_logarithms():
    y = np.exp(np.random.default_rng(3).normal(0.3, 0.6, 24))
    _, tree = rates(nb.LogNormal(), y, sigma_y_a=0.2)
    table, away = nb.residuals(tree, replicates=50), np.log(y).reshape(-1, 4) - 0.3
    variance = 0.25 * np.ones((4, 4)) + 0.04 * np.eye(4)
    assert values(table, "CWRES") == pytest.approx(by_root(variance, away), abs=1e-6)
    assert values(table, "IWRES") == pytest.approx((np.log(y) - np.log(table["IPRED"])).to_numpy().reshape(-1, 4) / 0.2)
    assert values(table, "RES") == pytest.approx(y.reshape(-1, 4) - np.exp(0.3))


def test_of_counts_npd_are_randomised_and_pearson_stands_for_iwres():
    y = np.random.default_rng(3).poisson(1.4, 24).astype(float)
    _, tree = rates(nb.Poisson(), y)
    table = nb.residuals(tree, replicates=4000)
    assert table["IWRES"].to_numpy() == pytest.approx((y - table["IPRED"]) / np.sqrt(table["IPRED"]))
    assert np.isnan(table[["WRES", "CWRES", "EWRES"]]).all(axis=None)
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    at = np.exp(0.3 + 0.5 * nodes)
    low, high = (stats.poisson.cdf(y[:, None] - k, at) @ weights / weights.sum() for k in (1, 0))
    share = stats.norm.cdf(table["npd"])
    assert (share > low - 0.03).all() and (share < high + 0.03).all()


def test_of_categories_only_discrepancies_remain():
    frame = study().assign(y=np.arange(24) % 3 + 1.0)
    tree = stated(nb.Model(LinearMixed(), "mu ~ 1 + (1|id)", residual=nb.OrderedLogistic(3)), dataset(frame))
    table = nb.residuals(tree, replicates=50)
    assert np.isnan(table[["RES", "IWRES", "CWRES", "EPRED"]]).all(axis=None)
    assert np.isfinite(table[["PRED", "IPRED", "npd", "npde"]]).all(axis=None)


def test_of_trials_residuals_are_those_of_the_proportion():
    frame = study().assign(y=np.arange(24) % 3 + 0.0, n=np.arange(24) % 4 + 3)
    tree = stated(nb.Model(HospitalProfile(), residual=nb.Binomial("n")), dataset(frame, inputs=("n",)))
    table = nb.residuals(tree, replicates=50)
    assert table["RES"].to_numpy() == pytest.approx(frame["y"] / frame["n"] - table["PRED"])
    p = table["IPRED"]
    assert table["IWRES"].to_numpy() == pytest.approx(table["IRES"] / np.sqrt(p * (1 - p) / frame["n"]))


def test_of_event_times_there_are_cox_snell_and_martingale_residuals():
    rng = np.random.default_rng(3)
    frame = pd.DataFrame({"id": np.arange(200), "t": rng.exponential(2.0, 200).round(2) + 0.01})
    frame["seen"] = (frame["t"] < 3).astype(int)
    frame["t"] = frame["t"].clip(upper=3.0)
    data = nb.Dataset.from_frame(frame, outcome="t", levels="id", status="seen")
    tree = stated(nb.Model(ParametricSurvival("exponential"), "rate ~ 1", residual=nb.TimeToEvent()), data, draws=1)
    table = nb.residuals(tree, replicates=300)
    rate = table["PRED"].to_numpy() / frame["t"].to_numpy()
    assert rate == pytest.approx(rate[0])
    assert table["cox_snell"].to_numpy() == pytest.approx(rate[0] * frame["t"])
    assert table["martingale"].to_numpy() == pytest.approx(frame["seen"] - rate[0] * frame["t"])
    assert (table["CENS"] == np.where(frame["seen"], 0, -1)).all()
    share, survival = stats.norm.cdf(table["npd"]), np.exp(-rate[0] * frame["t"])
    assert (np.abs(share - (1 - survival))[frame["seen"] == 1] < 0.12).all()
    assert (share > 1 - survival - 0.12)[frame["seen"] == 0].all()


def test_of_events_in_an_interval_only_discrepancies_remain():
    frame = pd.DataFrame({"id": np.arange(60), "t": np.repeat([2.0, 3.0, 5.0], 20), "cens": 1, "low": np.nan})
    frame.loc[:29, "low"], frame.loc[30:, "cens"] = 1.0, 0
    data = nb.Dataset.from_frame(frame, outcome="t", levels="id", censored="cens", limit="low")
    model = nb.Model(ParametricSurvival("exponential"), "rate ~ 1", residual=nb.TimeToEvent())
    tree = stated(model, data, draws=200, theta_rate=[-1.0])
    table, within = nb.residuals(tree, replicates=400), frame["low"].notna()
    assert (np.isnan(table[["LOO_PIT", "cox_snell", "martingale"]]).all(axis=1) == within).all()
    share = stats.norm.cdf(table["npd"])[within]
    low, high = (1 - np.exp(-np.exp(-1.0) * t) for t in (1.0, frame["t"][within]))
    assert (share > low - 0.1).all() and (share < high + 0.1).all()


def occasions():
    """Two doses, the second while much of the first is left, with a clearance that changes between occasions."""
    times = np.array([1.0, 6.0, 9.0, 13.0, 18.0])
    frame = pd.DataFrame({"id": np.repeat([1, 2, 3], 5), "time": np.tile(times, 3)})
    frame["occ"] = np.where(frame["time"] < 12, 1, 2)
    frame["y"] = np.random.default_rng(1).lognormal(1.5, 0.4, 15)
    doses = pd.DataFrame({"id": np.repeat([1, 2, 3], 2), "time": np.tile([0.0, 12.0], 3), "amt": 100.0})
    doses["occ"] = np.tile([1, 2], 3)
    data = dataset(frame, ("id", "id/occ"), doses=doses, subject="id")
    model = nb.Model(OneCompartment(), "cl ~ 1 + (1|id) + (1|occ)", "v ~ 1 + (1|id)", residual=nb.Proportional())
    tree = stated(model, data, theta_cl=[0.7], theta_v=[2.5], omega_id=[0.4, 0.3], omega_occ=[0.5], sigma_y_b=0.2)
    return study_of(fitted(tree))


def test_slopes_are_exact_where_the_state_is_carried_into_the_next_occasion():
    study = occasions()
    found = Linearised(study.model, study.design, study.middle)
    u = np.random.default_rng(2).normal(size=found.loads.shape[1])
    compute = evaluator(study.model, study.design)

    def f(u):
        eta = {name: x[None] for name, x in found.effects(u).items()}
        return compute(study.middle.theta, eta)[1]["y"][0]

    steps = 1e-5 * np.eye(len(u))
    expected = np.stack([(f(u + h) - f(u - h)) / 2e-5 for h in steps], axis=1)
    place = found.at(u)
    assert place.f["y"] == pytest.approx(f(u), rel=1e-12)
    assert place.slopes["y"].toarray() == pytest.approx(expected, abs=1e-7 * np.abs(expected).max())


def test_of_many_records_slopes_by_differences_agree(monkeypatch):
    _, tree = rates(nb.Proportional(), np.linspace(1.0, 3.0, 24), sigma_y_b=0.2)
    exact = nb.residuals(tree, replicates=20)
    monkeypatch.setattr(linearised, "MANY", 2)
    monkeypatch.setattr(Linearised, "_of_records", None)
    other = nb.residuals(tree, replicates=20)
    assert other["CWRES"].to_numpy() == pytest.approx(exact["CWRES"].to_numpy(), abs=1e-6)


def test_effects_that_are_not_found_are_told_and_their_residuals_missing(monkeypatch):
    _, tree = rates(nb.Proportional(), np.linspace(1.0, 3.0, 24), sigma_y_b=0.2)
    monkeypatch.setattr(Linearised, "_lost", lambda *_: (1, 4))
    with pytest.warns(UserWarning, match="the most probable effects of id 1, 4 were not found"):
        table = nb.residuals(tree, replicates=20)
    lost = table["id"].isin(["1", "4"])
    assert (np.isnan(table[["IPRED", "IRES", "IWRES", "CWRES"]]).all(axis=1) == lost).all()
    assert np.isfinite(table[["PRED", "WRES", "npde"]]).all(axis=None)


def test_modes_are_those_of_the_density_where_the_state_is_carried_on():
    study = occasions()
    found = Linearised(study.model, study.design, study.middle)
    observed = study.design.outcome("y").values

    def negative(u):
        f = found.at(u).f["y"]
        return -stats.norm.logpdf(observed, f, 0.2 * f).sum() + 0.5 * u @ u

    best = optimize.minimize(negative, found.modes.u, method="BFGS")
    assert found.modes.u == pytest.approx(best.x, abs=2e-4)


def test_time_after_dose_counts_additional_doses_and_the_order_of_rows():
    event = pd.DataFrame({
        "ID": 1, "TIME": [0.0, 0, 1, 8, 8, 20, 30], "DV": [np.nan, 1, 2, 3, np.nan, 4, 5],
        "AMT": [100.0, 0, 0, 0, 50, 0, 0], "ADDL": [1.0, 0, 0, 0, 0, 0, 0], "II": [12.0, 0, 0, 0, 0, 0, 0],
    })  # fmt: skip
    data = nb.Dataset.from_nonmem(event)
    tree = nb.population(
        OneCompartment(), theta={"cl": 1.0, "v": 10.0}, omega={"sd": {"cl": 0.3}}, sigma={"b": 0.2}, outcome="dv"
    )
    table = nb.residuals(tree, data, replicates=50)
    assert table["tad"].tolist() == [0.0, 1.0, 8.0, 8.0, 18.0]
    assert table["dose_number"].tolist() == [1, 1, 1, 3, 3]


def censored(frame, limit=1.5, **options):
    low = frame["y"] < limit
    frame = frame.assign(y=frame["y"].clip(lower=limit), cens=low.astype(int))
    return linear_of(dataset(frame, censored="cens", **options))


def linear_of(data):
    model = nb.Model(LinearMixed(), "mu ~ 1 + time + (1 + time||id)")
    return stated(model, data, theta_mu=[2.0, 0.5], omega_id=[0.8, 0.3], sigma_y_a=0.4)


def test_below_quantification_plain_residuals_are_missing_and_discrepancies_drawn():
    frame = study(seed=4)
    table = nb.residuals(censored(frame), replicates=500)
    low = (frame["y"] < 1.5).to_numpy()
    assert low.any() and (table["CENS"] == low).all()
    assert (np.isnan(table[["RES", "IRES", "IWRES", "WRES", "CWRES"]]).all(axis=1) == low).all()
    sd = np.sqrt(0.64 + 0.09 * table["time"] ** 2 + 0.16)
    limit = (1.5 - table["PRED"]) / sd
    assert (table["npd"] < limit + 0.1)[low].all() and np.isfinite(table["npde"]).all()
    z = np.stack([np.ones(4), TIMES], axis=1)
    one = np.flatnonzero(low)[0] // 4
    here = np.flatnonzero(~low.reshape(-1, 4)[one])
    variance = (z @ np.diag([0.64, 0.09]) @ z.T + 0.16 * np.eye(4))[np.ix_(here, here)]
    assert values(table, "WRES")[one, here] == pytest.approx(
        by_root(variance, (frame["y"].to_numpy().reshape(-1, 4)[one] - MEAN)[here])
    )


def test_limits_that_differ_are_asked_for_and_a_column_of_them_is_taken():
    frame = study(seed=4).assign(limit=np.repeat([1.5, 1.0], 12))
    low = frame["y"] < frame["limit"]
    frame = frame.assign(cens=low.astype(int), y=np.maximum(frame["y"], frame["limit"]))
    tree = linear_of(dataset(frame, censored="cens"))
    with pytest.raises(nb.ModelError, match=r"row \d+: y .* does not go with the limit .*give lloq=, a column"):
        nb.residuals(tree, replicates=50)
    assert (nb.residuals(tree, replicates=50, lloq="limit")["CENS"] == low).all()
    with pytest.raises(nb.ModelError, match="lloq: no column 'no' of numbers in the data; there are"):
        nb.residuals(tree, replicates=50, lloq="no")


def test_a_value_in_an_interval_is_refused_by_its_row():
    frame = study(seed=4).assign(cens=0, lower=np.nan)
    frame.loc[3, ["cens", "lower"]] = [1, 0.5]
    tree = linear_of(dataset(frame, censored="cens", limit="lower"))
    with pytest.raises(nb.ModelError, match=r"row 4: y is known to lie between 0\.5 and"):
        nb.residuals(tree, replicates=50)


def test_replicates_must_exceed_the_records_of_a_subject():
    with pytest.raises(nb.ModelError, match="0 has 4 records and there are 4 replicates"):
        nb.residuals(linear(study()), replicates=4)


def test_leave_one_out_shares_are_those_of_the_conjugate_posterior():
    """Normal measurements with a known SD and a flat mean: the others' mean has SD sigma / sqrt(n - 1)."""
    rng = np.random.default_rng(5)
    frame = study().assign(y=rng.normal(1.0, 2.0, 24))
    tree = stated(nb.Model(LinearMixed(), "mu ~ 1"), dataset(frame), draws=1000, sigma_y_a=2.0)
    drawn = rng.normal(frame["y"].mean(), 2 / np.sqrt(24), 1000)
    tree["posterior"] = (
        tree["posterior"].to_dataset().assign(theta_mu=(("chain", "draw", "mu_term"), drawn[None, :, None]))
    )
    table, y = nb.residuals(tree, replicates=50), frame["y"].to_numpy()
    others = (y.sum() - y) / 23
    assert table["LOO_PIT"].to_numpy() == pytest.approx(stats.norm.cdf(y, others, 2 * np.sqrt(1 + 1 / 23)), abs=0.06)
    assert table["IPRED_eti_lb"].to_numpy() == pytest.approx(np.quantile(drawn, 0.05))


def test_bands_of_npd_are_those_over_populations():
    """Means drawn from a posterior of SD 0.5, measurements of SD 1: npd y - mean."""
    rng = np.random.default_rng(5)
    frame = study().assign(y=np.linspace(0.0, 2.0, 24))
    tree = stated(nb.Model(LinearMixed(), "mu ~ 1"), dataset(frame), draws=400, sigma_y_a=1.0)
    drawn = rng.normal(1.0, 0.5, 400)
    tree["posterior"] = (
        tree["posterior"].to_dataset().assign(theta_mu=(("chain", "draw", "mu_term"), drawn[None, :, None]))
    )
    table, y = nb.residuals(tree, replicates=800, populations=100), frame["y"].to_numpy()
    for column, p in (("npd_eti_lb", 0.05), ("npd_eti_ub", 0.95)):
        assert table[column].to_numpy() == pytest.approx(y - 1 + 0.5 * stats.norm.ppf(p), abs=0.3)
    assert (table["npd_eti_lb"] < table["npd"]).all() and (table["npd"] < table["npd_eti_ub"]).all()


@pytest.mark.external
def test_run_504_has_the_cwres_of_nonmem(reference):
    folder = reference / "criticism"
    told = json.loads((folder / "nonmem_bauer2019.json").read_text())["cwres_504"]["estimates"]
    table = pd.read_csv(folder / "nonmem_504_foce_table.csv").query("DV != 0").reset_index(drop=True)
    raw = pd.read_csv(folder / "bauer_501.csv", skiprows=1).drop(columns="C")
    data = nb.Dataset.from_nonmem(raw.assign(MDV=(raw["AMT"] > 0).astype(int)))
    theta = [told[f"THETA{i}"] for i in range(1, 9)]
    terms = ("log(WT/70)", "log(AGE/50)", "SEX")
    coefficients = {
        name: {"Intercept": np.exp(theta[k])} | dict(zip(terms, theta[k + 2 :: 2], strict=True))
        for k, name in enumerate(("cl", "v"))
    }
    matrix = [[told["OMEGA(1,1)"], told["OMEGA(2,1)"]], [told["OMEGA(2,1)"], told["OMEGA(2,2)"]]]
    formula = " + ".join(("~ 1", *terms, "(1|p|id)"))
    tree = nb.population(
        OneCompartment(), f"cl {formula}", f"v {formula}", theta=coefficients, outcome="dv", reference={"SEX": 0.0},
        omega={"covariance": {"names": ["cl", "v"], "matrix": matrix}}, sigma={"variance": {"b": told["SIGMA(1,1)"]}},
    )  # fmt: skip
    found = nb.residuals(tree, data, replicates=50)
    assert len(found) == 240
    assert found["CWRES"].to_numpy() == pytest.approx(table["CWRES"].to_numpy(), abs=1e-4)
    assert found["IWRES"].to_numpy() == pytest.approx(table["CIWRES"].to_numpy(), abs=1e-4)
    for ours, theirs in (("PRED", "PRED"), ("IPRED", "IPRE")):
        assert found[ours].to_numpy() == pytest.approx(table[theirs].to_numpy(), rel=1e-4)
