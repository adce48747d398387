"""`TrajectoryPredictor`: likelihood and forecast by quadrature, two stages by other packages, folds without leakage."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytensor.tensor as pt
import pytest
import statsmodels.api as sm
from mixed import agrees
from scipy import special, stats
from trees import stated

import nlmebayes as nb
from model_zoo import JointModel, TrajectoryPredictor
from nlmebayes.structure.structure import Named

T = np.array([0.0, 1.5, 4.0])
THETA = {"level": 2.0, "slope": -0.3, "log_odds": 0.4, "per_slope": 1.7, "per_level": -0.6}
OMEGA = np.array([[0.8**2, -0.3 * 0.8 * 0.5], [-0.3 * 0.8 * 0.5, 0.5**2]])
SIGMA = 0.6
VALUES = {f"theta_{name}": [value] for name, value in THETA.items()}
VALUES |= {"omega_patient": [0.8, 0.5], "corr_patient": [[1.0, -0.3], [-0.3, 1.0]], "sigma_feature_a": SIGMA}
BOTH = TrajectoryPredictor(with_level=True, reference=-0.3, reference_level=2.0)
FORMULAS = ("level ~ 1 + (1|p|patient)", "slope ~ 1 + (1|p|patient)")
RESIDUAL = {"feature": nb.Additive(), "response": nb.Bernoulli()}
MODEL = nb.Model(BOTH, *FORMULAS, residual=RESIDUAL)


def study(patients=40, seed=3, label="P"):
    """Uneven visits of patients, whose response stands on their first row."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(patients):
        level, slope = rng.multivariate_normal([THETA["level"], THETA["slope"]], OMEGA)
        logit = THETA["log_odds"] + 1.7 * (slope + 0.3) - 0.6 * (level - 2.0)
        times = np.sort(rng.choice(np.arange(0, 4, 0.25), rng.integers(2, 7), replace=False))
        for k, t in enumerate(times):
            y = float(rng.random() < special.expit(logit)) if k == 0 else np.nan
            rows.append((f"{label}{i}", t, level + slope * t + rng.normal(0, SIGMA), y, i % 7 - 3.0))
    return pd.DataFrame(rows, columns=["patient", "time", "feature", "response", "age"])


def dataset(frame, **options):
    return nb.Dataset.from_frame(
        frame, outcome=("feature", "response"), levels="patient", time="time", covariates=["age"], **options
    )


FRAME = study()
DATA = dataset(FRAME)
COLUMNS = {"per_slope": -0.3, "per_level": 2.0}


@pytest.mark.parametrize("structure", [BOTH, replace(BOTH, with_level=False)])
def test_feature_and_probability_are_their_formulas(structure):
    p = Named(**{k: pt.as_tensor(v) for k, v in (THETA | {"level": 1.2, "slope": 0.9}).items()})
    found = structure.curve(p, Named(time=pt.as_tensor(T)))
    assert found["feature"].eval(mode="FAST_COMPILE") == pytest.approx(1.2 + 0.9 * T, rel=1e-14)
    logit = 0.4 + 1.7 * (0.9 + 0.3) - 0.6 * (1.2 - 2.0) * structure.with_level
    assert found["response"].eval(mode="FAST_COMPILE") == pytest.approx(1 / (1 + np.exp(-logit)), rel=1e-14)


@pytest.fixture(scope="module")
def population():
    return stated(MODEL, DATA, **VALUES)


def given_the_features(frame):
    """Log-density of the features of a patient, and mean and covariance of level and slope given them."""
    z, y = np.column_stack([np.ones(len(frame)), frame["time"]]), frame["feature"].to_numpy()
    mean, total = np.array([2.0, -0.3]), z @ OMEGA @ z.T + SIGMA**2 * np.eye(len(y))
    gain = OMEGA @ z.T @ np.linalg.inv(total)
    density = stats.multivariate_normal(z @ mean, total).logpdf(y)
    return density, mean + gain @ (y - z @ mean), OMEGA - gain @ z @ OMEGA


def probability(mean, covariance):
    """E[expit] of the linear predictor, which is normal, by quadrature with 80 nodes."""
    load = np.array([-0.6, 1.7])
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    logit = 0.4 + load @ (mean - [2.0, -0.3]) + np.sqrt(load @ covariance @ load) * nodes
    return weights @ special.expit(logit) / np.sqrt(2 * np.pi)


@pytest.mark.parametrize("response", [0.0, 1.0])
def test_the_marginal_likelihood_of_a_patient_is_that_of_quadrature(population, response):
    """The library's log-density of standardised effects, integrated over them about their normal law given the
    features, beside the product of the normal density of the features and the integral of the logistic function."""
    new = study(1, seed=9, label="N").assign(response=[response, *[np.nan] * (len(study(1, seed=9)) - 1)])
    density, mean, covariance = given_the_features(new)
    factor = np.linalg.cholesky(OMEGA)
    centre = np.linalg.solve(factor, mean - [2.0, -0.3])
    spread = np.linalg.cholesky(np.linalg.solve(factor, np.linalg.solve(factor, covariance).T))
    nodes, weights = np.polynomial.hermite_e.hermegauss(40)
    unit = np.stack(np.meshgrid(nodes, nodes), axis=-1).reshape(-1, 2)
    target, _ = nb.forecaster(population).target(dataset(new))
    whole = target.log_density((centre + unit @ spread.T)[:, None], np.zeros(len(unit), dtype=int))[:, 0]
    whole += 0.5 * (unit**2).sum(axis=1) + np.log(np.outer(weights, weights).ravel()) + np.log(np.diag(spread)).sum()
    p = probability(mean, covariance)
    expected = density + np.log(p if response else 1 - p)
    assert special.logsumexp(whole) == pytest.approx(expected, abs=1e-9)


def test_the_forecast_of_a_response_is_that_of_quadrature(population):
    new = study(1, seed=9, label="N")
    _, mean, covariance = given_the_features(new)
    patient = dataset(new.assign(response=np.nan), unmeasured="predict")
    forecast = nb.forecast(
        population, patient, method="importance", draws=20_000, proposals=20_000, rounds=0, random_seed=1
    )
    drawn = forecast["posterior"]["f_response"].isel(response_obs=0)
    error = float(drawn.std()) / np.sqrt(10_000)
    assert float(drawn.mean()) == pytest.approx(probability(mean, covariance), abs=4 * error)


def test_lines_are_those_of_polyfit():
    lines = BOTH.lines(DATA)
    for patient, own in FRAME.groupby("patient"):
        slope, level = np.polyfit(own["time"], own["feature"], 1)
        assert lines.loc[patient, ["times", "level", "slope"]].tolist() == pytest.approx([len(own), level, slope])
    assert (lines["response"] == FRAME.dropna().set_index("patient")["response"]).all()


def by_statsmodels(covariates=(), frame=FRAME):
    lines = BOTH.lines(dataset(frame)).join(frame.groupby("patient")[list(covariates)].first()).dropna()
    x = pd.DataFrame({"log_odds": 1.0} | {k: lines[k[4:]] - c for k, c in COLUMNS.items()})
    return sm.Logit(lines["response"], x.join(lines[list(covariates)])).fit(disp=False, tol=1e-12)


@pytest.mark.parametrize("covariates", [(), ("age",)])
def test_two_stages_are_the_logistic_regression_of_statsmodels(covariates):
    found, wanted = BOTH.two_stage(DATA, covariates), by_statsmodels(covariates)
    assert found["estimate"].to_dict() == pytest.approx(wanted.params.to_dict(), rel=1e-6)
    assert found["se"].to_dict() == pytest.approx(wanted.bse.to_dict(), rel=1e-6)


def test_units_do_not_matter():
    other = dataset(FRAME.assign(time=FRAME["time"] * 1e-4, feature=FRAME["feature"] * 1e5 + 1e7))
    estimate = TrajectoryPredictor(reference=-0.3e9).two_stage(other)["estimate"]
    plain = TrajectoryPredictor(reference=-0.3).two_stage(DATA)["estimate"]
    assert estimate["per_slope"] * 1e9 == pytest.approx(plain["per_slope"], rel=1e-5)
    assert estimate["log_odds"] == pytest.approx(plain["log_odds"], rel=1e-5)


def test_patients_without_a_slope_are_named():
    frame = FRAME.drop(FRAME.index[FRAME["patient"].eq("P5") & FRAME["patient"].duplicated()])
    frame.loc[frame["patient"].eq("P7"), "response"] = np.nan
    with pytest.warns(UserWarning, match="2 of 40 patients have no slope .*left out: P5, P7$"):
        found = BOTH.two_stage(dataset(frame))
    kept = FRAME[~FRAME["patient"].isin(["P5", "P7"])]
    assert found["estimate"].to_dict() == pytest.approx(by_statsmodels(frame=kept).params.to_dict(), rel=1e-6)


def test_what_has_no_answer_is_refused():
    slopes = BOTH.lines(DATA)["slope"]
    with pytest.raises(ValueError, match="log_odds, per_slope separate the responses of 40 patients"):
        y = (slopes > slopes.median()).astype(float)
        TrajectoryPredictor().two_stage(dataset(FRAME.assign(response=FRAME["response"] * 0 + FRAME["patient"].map(y))))
    with pytest.raises(ValueError, match="separate the responses"):
        TrajectoryPredictor().two_stage(dataset(FRAME.assign(response=FRAME["response"] * 0)))
    with pytest.raises(ValueError, match="cannot tell log_odds, per_slope, same apart"):
        TrajectoryPredictor().two_stage(dataset(FRAME.assign(same=2.0)), ["same"])
    with pytest.raises(ValueError, match=r"covariates \['sex'\]; those of numbers are age"):
        TrajectoryPredictor().two_stage(DATA, ["sex"])
    for wrong in (FRAME.assign(response=1.0), FRAME.assign(response=FRAME["response"] * 2)):
        with pytest.raises(ValueError, match=r"one response .0 or 1. of each patient; see patient P"):
            TrajectoryPredictor().two_stage(dataset(wrong))
    with pytest.raises(ValueError, match=r"takes a Model of TrajectoryPredictor; got JointModel\(\)"):
        BOTH.cross_validated(nb.Model(JointModel(), residual=nb.Additive()), DATA)
    with pytest.raises(ValueError, match="50 folds"):
        BOTH.cross_validated(MODEL, DATA, folds=50)


@pytest.fixture
def validated(monkeypatch):
    """Cross-validation with stated populations in place of fits; what was to be fitted, and what was forecast."""

    def run(frame, **options):
        fitted, asked = [], []

        def fit(model, data, **settings):
            fitted.append(data)
            return stated(model, data, **VALUES)

        def forecast_each(tree, data, **settings):
            asked.append(data)
            return each(tree, data, **settings)

        each = nb.forecast_each
        monkeypatch.setattr(nb, "fit", fit)
        monkeypatch.setattr(nb, "forecast_each", forecast_each)
        return BOTH.cross_validated(MODEL, dataset(frame), random_seed=2, **options), fitted, asked

    return run


def test_a_held_out_patient_enters_no_fit_and_no_response_a_forecast(validated):
    table, fitted, asked = validated(FRAME, folds=4)
    assert table.index.tolist() == list(dict.fromkeys(FRAME["patient"])) and table.notna().all(axis=None)
    counts = table.groupby(["fold", "response"]).size().unstack()
    assert (table["fold"].value_counts() == 10).all() and (counts.max() - counts.min()).max() <= 1
    for k, (training, new) in enumerate(zip(fitted, asked, strict=True)):
        held = table.index[table["fold"] == k]
        assert set(training.observations["patient"]) == set(table.index) - set(held)
        assert set(new.observations["patient"]) == set(held)
        assert new.observations.loc[new.observations["outcome"] == "response", "value"].isna().all()
        b, lines = BOTH.two_stage(training)["estimate"], BOTH.lines(DATA).loc[held]
        logit = b["log_odds"] + b["per_slope"] * (lines["slope"] + 0.3) + b["per_level"] * (lines["level"] - 2.0)
        assert table.loc[held, "two_stage"].to_numpy() == pytest.approx(special.expit(logit).to_numpy(), rel=1e-9)
    wanted = {label: probability(*given_the_features(own)[1:]) for label, own in FRAME.groupby("patient")}
    assert table["one_stage"].to_dict() == pytest.approx(wanted, abs=0.03)


def test_patients_with_one_time_no_feature_or_no_response_take_part_where_they_can(validated):
    frame = FRAME.drop(FRAME.index[FRAME["patient"].eq("P5") & FRAME["patient"].duplicated()])
    frame.loc[frame["patient"].eq("P7"), "response"] = np.nan
    frame.loc[frame["patient"].eq("P9"), "feature"] = np.nan
    with pytest.warns(UserWarning, match="left out: P5, P7, P9$"):
        table, fitted, _ = validated(frame, folds=2)
    assert len(table) == 39 and table.index[table["two_stage"].isna()].tolist() == ["P5", "P9"]
    assert table.loc["P9", "one_stage"] == pytest.approx(probability(np.array([2.0, -0.3]), OMEGA), abs=0.03)
    assert table["one_stage"].notna().all()
    assert all("P7" in set(training.observations["patient"]) for training in fitted)
    assert (TrajectoryPredictor.scores(table)["n"] == 37).all()


def test_scores_are_their_definitions():
    rng = np.random.default_rng(5)
    p = pd.DataFrame({"sharp": rng.random(80), "coarse": rng.integers(1, 10, 80) / 10})
    y = (rng.random(80) < p["sharp"]).astype(int)
    found = TrajectoryPredictor.scores(p.assign(fold=0, response=y))
    for name in p:
        one, none = p[name][y == 1].to_numpy()[:, None], p[name][y == 0].to_numpy()
        assert found.loc[name, "auc"] == pytest.approx(((one > none) + 0.5 * (one == none)).mean(), rel=1e-12)
        assert found.loc[name, "brier"] == pytest.approx(np.mean((p[name] - y) ** 2), rel=1e-12)
        assert found.loc[name, "log_score"] == pytest.approx(stats.bernoulli(p[name]).logpmf(y).mean(), rel=1e-12)
        wanted = sm.Logit(y, sm.add_constant(special.logit(p[name]))).fit(disp=False, tol=1e-12).params.iloc[1]
        assert found.loc[name, "calibration_slope"] == pytest.approx(wanted, rel=1e-6)
    perfect = TrajectoryPredictor.scores(pd.DataFrame({"p": np.where(y == 1, 0.9, 0.2), "response": y}))
    assert perfect.loc["p", "auc"] == 1.0 and np.isnan(perfect.loc["p", "calibration_slope"])
    with pytest.raises(ValueError, match="all the same response"):
        TrajectoryPredictor.scores(p.assign(response=1))


def test_a_logistic_regression_is_calibrated_where_it_was_fitted():
    x, fitted = BOTH.lines(DATA), BOTH.two_stage(DATA)["estimate"]
    logit = fitted["log_odds"] + fitted["per_slope"] * (x["slope"] + 0.3) + fitted["per_level"] * (x["level"] - 2.0)
    table = pd.DataFrame({"p": special.expit(logit), "response": x["response"]})
    assert TrajectoryPredictor.scores(table).loc["p", "calibration_slope"] == pytest.approx(1.0, abs=1e-8)


def test_one_stage_finds_the_truth_again_where_two_stages_are_drawn_to_zero():
    """The study of the notebook, whose compiled density is of the same shapes."""
    structure = TrajectoryPredictor(reference=-0.2)
    typical = {"level": (0.0, 1.0), "slope": (0.0, 0.5), "per_slope": (0.0, 5.0)}
    formulas = ("level ~ 1 + (1|patient)", "slope ~ 1 + (1|patient)", "log_odds ~ 1", "per_slope ~ 1")
    model = nb.Model(structure, *formulas, residual=RESIDUAL, typical=typical)
    frame = pd.MultiIndex.from_product([range(80), np.arange(4.0)], names=["patient", "time"]).to_frame(index=False)
    frame = frame.assign(feature=0.0, response=np.where(frame["time"] == 0, 0.0, np.nan), age=0.0)
    truth = {"level": 0.0, "slope": -0.2, "log_odds": -0.4, "per_slope": -5.0}
    values = {f"theta_{k}": [v] for k, v in truth.items()} | {"omega_patient": [1.0, 0.3], "sigma_feature_a": 0.5}
    drawn = stated(model, dataset(frame), seed=1, **values)["prior_predictive"]
    data = dataset(frame).with_values(**{name: drawn[name].to_numpy().ravel() for name in ("feature", "response")})
    tree = nb.fit(model, data, draws=250, tune=400, chains=2, random_seed=1, progressbar=False)
    agrees(tree, truth | {"omega_patient slope": 0.3, "sigma_feature_a": 0.5}, within=3)
    two = structure.two_stage(data).loc["per_slope"]
    assert two["estimate"] - 2 * two["se"] > -5.0
