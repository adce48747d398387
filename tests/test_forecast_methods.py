"""Methods of forecasting against each other and against exact answers; charts; many patients; many models."""

import json
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, stats

import nlmebayes as nb
from model_zoo import LinearMixed, OneCompartment
from nlmebayes.evaluation.evaluator import Draws
from nlmebayes.forecasting.nuts import _Vector
from nlmebayes.individuals.climbing import climb
from nlmebayes.parameter.parameter import support

THETA, OMEGA = {"cl": 3.0, "v": 40.0}, {"sd": {"cl": 0.3, "v": 0.25}}


@pytest.fixture(scope="module")
def tree():
    return nb.population(OneCompartment(), theta=THETA, omega=OMEGA, sigma={"a": 0.2, "b": 0.1}, residual=nb.Combined())


def chart(times, values, *, label="p", doses=((0.0, 400.0), (12.0, 400.0)), **options):
    frame = pd.DataFrame({"id": label, "time": times, "conc": values})
    given = pd.DataFrame(doses, columns=["time", "amt"]).assign(id=label)
    return nb.Dataset.from_frame(frame, outcome="conc", time="time", levels="id", doses=given, **options)


def report(forecast):
    return json.loads(forecast.attrs["nlmebayes_forecast"])


def drawn(forecast, name="eta_id"):
    return forecast["posterior"][name].to_numpy()[0].reshape(forecast["posterior"].sizes["draw"], -1)


CHARTS = {
    "rich": chart([1.0, 3.0, 6.0, 11.0, 13.0, 20.0], [9.0, 7.8, 6.0, 4.5, 12.6, 8.1]),
    "sparse": chart([11.0], [4.0]),
    "none": chart([11.0], [np.nan], unmeasured="predict"),
    "censored": chart([6.0, 11.0], [1.0, 0.5], lloq=2.0),
    "outlier": chart([1.0, 6.0, 11.0], [9.0, 30.0, 4.5]),
}


@pytest.mark.parametrize("kind", CHARTS)
def test_a_mode_is_that_of_scipy(tree, kind):
    mode, target = nb.forecaster(tree).mode(CHARTS[kind])
    which = np.zeros(1, dtype=int)

    def negative(z):
        return -target.log_density(z[None, None], which)[0, 0]

    starts = np.random.default_rng(1).standard_normal((5, 2))
    best = min((optimize.minimize(negative, z, method="Nelder-Mead", options={"xatol": 1e-8, "fatol": 1e-12}) for z in
                starts), key=lambda x: x.fun)  # fmt: skip
    assert mode.value[0] == pytest.approx(-best.fun, abs=1e-8)
    assert mode.z[0] == pytest.approx(best.x, abs=1e-4)


@pytest.mark.parametrize("kind", CHARTS)
@pytest.mark.filterwarnings("ignore:forecast of id p. samples like these are rare")
def test_importance_sampling_is_integration_on_a_grid(tree, kind):
    """Two effects: the posterior on a fine grid is exact."""
    ready = nb.forecaster(tree)
    _, target = ready.target(CHARTS[kind])
    x = np.linspace(-6, 6, 241)
    z = np.stack(np.meshgrid(x, x, indexing="ij"), axis=-1).reshape(-1, 2)
    dense = target.log_density(z[:, None], np.zeros(len(z), dtype=int))[:, 0]
    weight = np.exp(dense - dense.max())
    evidence = np.log(weight.sum()) + dense.max() + 2 * np.log(x[1] - x[0])
    mean = weight @ z / weight.sum()
    sd = np.sqrt(weight @ (z - mean) ** 2 / weight.sum())
    forecast = ready.forecast(CHARTS[kind], method="importance", draws=8000, proposals=16_000, random_seed=1)
    assert report(forecast)["log_evidence"] == pytest.approx(evidence, abs=0.02) and report(forecast)["khat"] < 0.7
    ours = drawn(forecast) / np.array([0.3, 0.25])
    assert np.abs(ours.mean(axis=0) - mean).max() < 4 * sd.max() / np.sqrt(5000)
    assert ours.std(axis=0) == pytest.approx(sd, rel=0.05)


def test_laplace_is_exact_where_everything_is_normal():
    tree = nb.population(LinearMixed(), theta={"mu": 3.0}, omega={"sd": {"mu": 1.6}}, sigma={"a": 0.7}, outcome="y")
    frame = pd.DataFrame({"id": "p", "y": [4.2, 6.1]})
    patient = nb.Dataset.from_frame(frame, outcome="y", levels="id")
    forecast = nb.forecast(tree, patient, method="laplace", random_seed=1)
    covariance = 1.6**2 + 0.7**2 * np.eye(2)
    exact = stats.multivariate_normal.logpdf([4.2, 6.1], [3.0, 3.0], covariance)
    assert report(forecast)["log_evidence"] == pytest.approx(exact, abs=1e-6)
    at = nb.forecast(tree, patient, method="map")
    precision = 1 / 1.6**2 + 2 / 0.7**2
    assert float(at["posterior"]["mu"].squeeze()) == pytest.approx((3 / 1.6**2 + 10.3 / 0.7**2) / precision, abs=1e-6)


def test_many_populations_are_integrated_over():
    """A grid over both effects under each of 100 populations is exact."""
    tree = nb.population(
        OneCompartment(), theta=THETA, uncertainty={"cl": 20.0, "v": 5.0}, draws=100, random_seed=3, omega=OMEGA,
        sigma={"a": 0.2, "b": 0.1}, residual=nb.Combined(),
    )  # fmt: skip
    ready = nb.forecaster(tree)
    target, _ = ready.target(CHARTS["rich"])
    x = np.linspace(-5, 5, 51)
    z = np.tile(np.stack(np.meshgrid(x, x, indexing="ij"), axis=-1).reshape(-1, 2), (100, 1))
    which = np.repeat(np.arange(100), len(x) ** 2)
    dense = target.log_density(z[:, None], which)[:, 0]
    weight = np.exp(dense - dense.max())
    evidence = np.log(weight.sum() / 100) + dense.max() + 2 * np.log(x[1] - x[0])
    cl = target.population.theta["cl"][which, 0] + 0.3 * z[:, 0]
    mean = weight @ cl / weight.sum()
    forecast = ready.forecast(CHARTS["rich"], method="importance", draws=8000, proposals=20_000, random_seed=1)
    assert report(forecast)["log_evidence"] == pytest.approx(evidence, abs=0.02)
    ours = np.log(forecast["posterior"]["cl"].to_numpy())
    assert ours.mean() == pytest.approx(mean, abs=0.004)
    assert ours.std() == pytest.approx(np.sqrt(weight @ (cl - mean) ** 2 / weight.sum()), rel=0.05)


def test_two_modes_are_both_found():
    """Flip-flop kinetics without a barrier: ka and cl / v exchange; the prior tells them apart but little."""
    tree = nb.population(
        OneCompartment("first-order", flip_flop=True), theta={"cl": 20.0, "v": 40.0, "ka": 0.6},
        omega={"sd": {"cl": 0.7, "v": 0.7, "ka": 0.7}}, sigma={"b": 0.1},
    )  # fmt: skip
    times = np.array([0.5, 1.0, 2.0, 4.0, 8.0])
    k, ka = 1.2, 0.3
    values = 400 / 30 * ka / (ka - k) * (np.exp(-k * times) - np.exp(-ka * times))
    mode, _ = nb.forecaster(tree).mode(chart(times, values, doses=[(0.0, 400.0)]))
    assert len(mode.z) == 2
    forecast = nb.forecast(tree, chart(times, values, doses=[(0.0, 400.0)]), random_seed=1)
    faster = (forecast["posterior"]["ka"] > forecast["posterior"]["cl"] / forecast["posterior"]["v"]).mean()
    assert 0.01 < float(faster) < 0.99 and report(forecast)["khat"] < 0.7


def test_a_lag_later_than_the_first_sample_is_left():
    """Half of the places start where the first sample comes before the drug: a plateau without a slope in the lag."""
    tree = nb.population(
        OneCompartment("first-order", lag=True), theta={"cl": 3.0, "v": 40.0, "ka": 1.5, "tlag": 1.0},
        omega={"sd": {"cl": 0.3, "v": 0.2, "ka": 0.5, "tlag": 0.6}}, sigma={"a": 0.3},
    )  # fmt: skip
    patient = chart([0.75, 2.0, 6.0, 11.0], [2.5, 7.5, 6.3, 4.4], doses=[(0.0, 400.0)])
    mode, target = nb.forecaster(tree).mode(patient)
    which = np.zeros(1, dtype=int)
    found = optimize.differential_evolution(
        lambda z: -target.log_density(z[None, None], which)[0, 0], [(-4, 4)] * 4, seed=1, tol=1e-10, maxiter=300
    )
    assert mode.value[0] > -found.fun - 1e-3


def test_no_patient_with_a_lag_stops_in_a_worse_mode():
    """50 charts, the first sample often before the lag: none is better from the best 30 of 3,000 places."""
    tree = nb.population(
        OneCompartment("first-order", lag=True, flip_flop=True), theta={"cl": 3.0, "v": 40.0, "ka": 0.8, "tlag": 1.0},
        omega={"sd": {"cl": 0.5, "v": 0.4, "ka": 0.7, "tlag": 0.6}}, sigma={"a": 0.1, "b": 0.1}, residual=nb.Combined(),
    )  # fmt: skip
    rng, ready = np.random.default_rng(3), nb.forecaster(tree)
    every = [0.25, 0.5, 0.75, 1, 1.5, 2, 3, 4, 6, 8, 12, 24]
    for _ in range(50):
        times = np.sort(rng.choice(every, size=rng.integers(2, 6), replace=False))
        values = simulated(1, tree, rng, times=times).observations["value"].to_numpy()
        mode, target = ready.mode(chart(times, np.maximum(values, 0.01), doses=[(0.0, 400.0)]))
        z = 1.3 * rng.standard_normal((3000, 4))
        value = target.log_density(z[:, None], np.zeros(len(z), dtype=int))[:, 0]
        best = climb(target, z[np.argsort(-value)[:30], None], np.zeros(30, dtype=int), 1e-6, 60).value.max()
        assert mode.value[0] > best - 1e-3


def test_flattened_priors_and_old_samples(tree):
    patient = chart([2.0, 11.0], [12.0, 2.0])
    ordinary, flat = (nb.forecast(tree, patient, method="map", flatten=x) for x in (1.0, 4.0))
    assert abs(drawn(flat)[0, 0]) > abs(drawn(ordinary)[0, 0])
    last = nb.forecast(tree, chart([11.0], [2.0]), method="map")
    aged = nb.forecast(tree, patient, method="map", half_life=0.2)
    assert drawn(aged)[0] == pytest.approx(drawn(last)[0], abs=1e-4)


def test_the_distance_from_the_population_is_told(tree):
    ordinary = report(nb.forecast(tree, CHARTS["rich"], random_seed=1))
    assert ordinary["prior_p"] > 0.05 and abs(ordinary["z_scores"]["id: cl"]) < 1
    assert 0 < ordinary["overlap"]["id: cl"] < 0.7
    with pytest.warns(UserWarning, match="samples like these are rare in this population"):
        strange = report(nb.forecast(tree, chart([1.0, 6.0, 11.0], [3.0, 30.0, 0.9]), random_seed=1))
    assert strange["prior_p"] < 0.001


@pytest.mark.parametrize(
    "residual, draws",
    [
        (nb.Autoregressive(), {"a": [0.5, 0.6, 0.7], "rho": [-0.9, -0.3, 0.2]}),
        (nb.ZeroInflated(nb.Poisson()), {"pi": [0.02, 0.5, 0.99]}),
    ],
    ids=["negative", "share"],
)
def test_nuts_of_a_patient_knows_the_range_of_every_residual_part(residual, draws):
    draws = {part: np.array(values) for part, values in draws.items()}
    population = Draws(theta={}, omega={}, corr={}, eta={}, sigma={"y": draws}, groups={})
    vector = _Vector(SimpleNamespace(population=population, model=nb.Model(LinearMixed(), residual=residual)))
    ends = np.linalg.lstsq(vector.factor, np.stack([p[:, 0] for *_, p in vector.parts]) - vector.mean[:, None])[0].T
    far = vector.draws(np.concatenate([ends, 9 * ends])).sigma["y"]
    for part, values in draws.items():
        np.testing.assert_allclose(far[part][:3], values)
        low, high = support(residual.priors(1.0)[part])
        assert (far[part] > low).all() and (far[part] <= high).all()


def test_samples_before_any_dose_and_units_are_refused(tree):
    with pytest.raises(nb.ModelError, match=r"row 1: conc 5 was measured at 2, before the first dose at 3"):
        nb.forecast(tree, chart([2.0, 5.0], [5.0, 8.0], doses=[(3.0, 400.0)]))
    with pytest.raises(nb.ModelError, match=r"times what the population expects .* check the units"):
        nb.forecast(tree, chart([2.0, 5.0], [8200.0, 6900.0]))
    with pytest.warns(UserWarning, match="check the units|are rare|k-hat"):
        nb.forecast(tree, chart([2.0], [8200.0]), method="map", unusual="warn")


def test_what_is_planned_is_told_from_what_was_given(tree):
    with pytest.warns(UserWarning, match="a dose at 12 is recorded as given, and now is 11.5"):
        nb.forecast(tree, CHARTS["sparse"], method="map", now=11.5)
    with pytest.raises(nb.ModelError, match="a sample at 11 lies after now=10"):
        nb.forecast(tree, CHARTS["sparse"], now=10.0)


def test_a_patient_outside_the_domain_is_warned_of():
    domain, theta = {"wt": (40.0, 120.0)}, {"cl": {"Intercept": 3.0, "log(wt/70)": 0.75}, "v": 40.0}
    tree = nb.population(OneCompartment(), theta=theta, omega=OMEGA, sigma={"b": 0.1}, domain=domain)
    frame = pd.DataFrame({"id": "p", "time": [5.0], "conc": 7.0, "wt": 150.0})
    doses = pd.DataFrame({"id": ["p"], "time": 0.0, "amt": 400.0})
    patient = nb.Dataset.from_frame(frame, outcome="conc", time="time", levels="id", doses=doses)
    with pytest.warns(UserWarning, match="id p: wt 150.0 is outside 40 to 120"):
        nb.forecast(tree, patient, method="map")
    missing = nb.Dataset.from_frame(frame.drop(columns="wt"), outcome="conc", time="time", levels="id", doses=doses)
    with pytest.raises(nb.FormulaError, match="no column 'wt' in the data"):
        nb.forecast(tree, missing)


def test_future_occasions_are_drawn_and_past_ones_inform():
    omega = {"id": {"sd": {"cl": 0.3}}, "occ": {"sd": {"cl": 0.2}}}
    tree = nb.population(OneCompartment(), theta=THETA, omega=omega, sigma={"b": 0.05})
    frame = pd.DataFrame({
        "ID": 1, "OCC": [1, 1, 1, 2, 2], "TIME": [0.0, 5.0, 11.0, 24.0, 30.0], "AMT": [400.0, 0, 0, 400.0, 0],
        "EVID": [1, 0, 0, 1, 0], "DV": [np.nan, 8.8, 7.1, np.nan, np.nan],
    })  # fmt: skip
    patient = nb.Dataset.from_nonmem(frame, levels=("id", "occ"), outcome="conc", unmeasured="predict")
    found = nb.forecast(tree, patient, random_seed=1, draws=4000)["posterior"]
    eta = found["eta_occ"].to_numpy()[0, :, :, 0]
    assert eta.std(axis=0)[1] == pytest.approx(0.2, rel=0.05) and eta.std(axis=0)[0] < 0.19
    assert abs(eta.mean(axis=0)[1]) < 0.015


def test_a_patient_who_drifts():
    """A random walk over occasions: normal, so the mode is exact by linear algebra."""
    omega = {"id": {"sd": {"mu": 1.5}}, "occ": {"sd": {"mu": 0.8}}}
    tree = nb.population(LinearMixed(), theta={"mu": 3.0}, omega=omega, sigma={"a": 0.7}, outcome="y")
    y = np.array([3.1, 4.0, 5.2, 6.3])
    frame = pd.DataFrame({"id": "p", "occ": [1, 2, 3, 4], "y": y})
    patient = nb.Dataset.from_frame(frame, outcome="y", levels=("id", "id/occ"), subject="id")
    walk = 1.5**2 + 0.8**2 * np.minimum.outer(np.arange(1, 5), np.arange(1, 5))
    exact = 3 + walk @ np.linalg.solve(walk + 0.49 * np.eye(4), y - 3)
    found = nb.forecast(tree, patient, method="map", drift="occ")["posterior"]["mu"].to_numpy().ravel()
    assert found == pytest.approx(exact, abs=1e-5)
    drawn_ = nb.forecast(tree, patient, drift="occ", random_seed=1, draws=8000)
    assert report(drawn_)["log_evidence"] == pytest.approx(
        stats.multivariate_normal.logpdf(y, np.full(4, 3.0), walk + 0.49 * np.eye(4)), abs=0.03
    )
    assert drawn_["posterior"]["mu"].mean(("chain", "draw")).to_numpy() == pytest.approx(exact, abs=0.05)
    with pytest.raises(nb.ModelError, match="drift='site' is no level below id"):
        nb.forecast(tree, patient, drift="site")


def test_the_page_on_forecasting_runs_as_printed():
    text = (Path(__file__).parent.parent / "docs" / "forecasting.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    names = {}
    exec(compile(code, "forecasting.md", "exec"), names)
    assert names["report"]["khat"] < 0.7 and float(names["later"].median()) == pytest.approx(6.597, rel=0.05)


def simulated(n, tree, rng, *, times=(2.0, 11.0, 20.0)):
    """Patients of the population, as one dataset."""
    times = np.asarray(times)
    labels = [f"p{i}" for i in range(n)]
    frame = pd.DataFrame({"id": np.repeat(labels, len(times)), "time": np.tile(times, n), "conc": 1.0})
    doses = pd.DataFrame({"id": np.repeat(labels, 2), "time": np.tile([0.0, 12.0], n), "amt": 400.0})
    data = nb.Dataset.from_frame(frame, outcome="conc", time="time", levels="id", doses=doses)
    seed = int(rng.integers(2**31))
    values = nb.predict(tree, data, random_seed=seed)["posterior_predictive"]["conc"].to_numpy()[0, 0]
    return data.with_values(conc=values)


def test_each_of_many_patients_is_forecast_as_alone(tree):
    data = simulated(30, tree, np.random.default_rng(1))
    together = nb.forecast_each(tree, data)
    assert not together.failures and len(together.table) == 30
    for label in ("p0", "p17"):
        alone = nb.forecast(tree, data.sel(id=label), method="map")["posterior"]
        ours = together.table.set_index("id").loc[label]
        assert [ours["cl"], ours["v"]] == pytest.approx(
            [float(alone["cl"].squeeze()), float(alone["v"].squeeze())], rel=1e-4
        )


def test_one_failure_stops_no_other(tree):
    data = simulated(5, tree, np.random.default_rng(2))
    frame = data.observations.copy()
    frame.loc[frame["id"] == "p2", "time"] = [-3.0, -2.0, -1.0]
    ill = nb.population(OneCompartment(), theta=THETA, omega=OMEGA, sigma={"b": 0.1})
    broken = nb.Dataset(**vars(data) | {"observations": frame})
    for method in ("map", "importance"):
        found = nb.forecast_each(ill, broken, method=method, random_seed=1)
        assert list(found.failures) == ["p2"] and set(found.table["id"]) == {"p0", "p1", "p3", "p4"}


def test_the_next_visit_is_all_visits_at_once(tree):
    first = nb.forecast(tree, chart([2.0, 11.0], [8.0, 5.0], doses=[(0.0, 400.0)]), random_seed=1)
    later = nb.update(first, chart([14.0, 23.0], [12.0, 7.0], doses=[(12.0, 400.0)]), random_seed=2, draws=8000)
    both = chart([2.0, 11.0, 14.0, 23.0], [8.0, 5.0, 12.0, 7.0])
    once = nb.forecast(tree, both, random_seed=3, draws=8000)
    assert report(later)["log_evidence"] == pytest.approx(report(once)["log_evidence"], abs=0.03)
    assert drawn(later).mean(axis=0) == pytest.approx(drawn(once).mean(axis=0), abs=0.006)
    assert later["posterior"].sizes["conc_obs"] == 4
    with pytest.raises(nb.ModelError, match="a record at 3 is not later than 11"):
        nb.update(first, chart([3.0], [8.0], doses=[(12.0, 400.0)]))


def test_models_are_averaged_by_their_evidence():
    """Linear models with known evidence, and the objective of Uster et al. beside it."""

    def of(mu, sd):
        return nb.population(LinearMixed(), theta={"mu": mu}, omega={"sd": {"mu": sd}}, sigma={"a": 0.7}, outcome="y")

    patient = nb.Dataset.from_frame(pd.DataFrame({"id": "p", "y": [4.2, 6.1]}), outcome="y", levels="id")
    prior = {"one": 0.3, "two": 0.7}
    found = nb.average(
        {"one": of(3.0, 1.6), "two": of(5.0, 6.0)}, patient, prior=prior, random_seed=1, proposals=20_000
    )
    exact = [
        stats.multivariate_normal.logpdf([4.2, 6.1], [m, m], s**2 + 0.49 * np.eye(2)) for m, s in ((3, 1.6), (5, 6))
    ]
    odds = np.exp(exact[0] - exact[1]) * 0.3 / 0.7
    assert found.weights["one"] == pytest.approx(odds / (1 + odds), abs=0.01)
    precision = 1 / 6.0**2 + 2 / 0.49
    mu = (5 / 36 + 10.3 / 0.49) / precision
    ofv = 2 * np.log(0.49) + ((4.2 - mu) ** 2 + (6.1 - mu) ** 2) / 0.49 + (mu - 5) ** 2 / 36
    assert found.table["ofv"][1] == pytest.approx(ofv, abs=1e-6)
    f, measured = found.predict(patient, draws=500, random_seed=1)
    assert f["y"].shape == measured["y"].shape == (500, 2)
    other = nb.average({"one": of(3.0, 1.6), "two": of(5.0, 6.0)}, patient, scheme="ofv", method="map")
    assert other.weights["two"] > found.weights["two"]
    with pytest.raises(nb.ModelError, match="trees must hold models by name"):
        nb.average({}, patient)


def test_the_class_probabilities_of_a_mixture_are_calibrated():
    """Poor and extensive metabolisers, 20 : 80: among patients called poor with about p, about p are."""
    trees = {
        name: nb.population(OneCompartment(), theta={"cl": cl, "v": 40.0}, omega=OMEGA, sigma={"b": 0.15})
        for name, cl in (("extensive", 6.0), ("poor", 2.5))
    }
    rng = np.random.default_rng(5)
    truth, said = [], []
    for name, n in (("extensive", 32), ("poor", 8)):
        data = simulated(n, trees[name], rng, times=(6.0, 11.0))
        for label in dict.fromkeys(data.observations["id"]):
            found = nb.average(trees, data.sel(id=label), prior={"extensive": 0.8, "poor": 0.2}, method="map")
            truth.append(name == "poor")
            said.append(found.weights["poor"])
    truth, said = np.array(truth), np.array(said)
    error = np.sqrt((said * (1 - said)).sum())
    assert abs(said.sum() - truth.sum()) < 3 * error
    assert said[truth].mean() > 0.5 > said[~truth].mean()


def test_past_patients_validate_a_population(tree):
    data = simulated(25, tree, np.random.default_rng(4))
    found = nb.retrospect(tree, data, draws=300, random_seed=1, rounds=0, proposals=600)
    summary = found.summary().set_index("used")
    assert summary["n"].tolist() == [25, 25, 25] and not found.failures
    assert summary["coverage"].between(0.7, 1.0).all() and summary["rbias_percent"].abs().max() < 25
    last = found.table[found.table["used"] == 2]
    error = (last["predicted"] / last["observed"] - 1).to_numpy()
    assert summary.loc[2, "rrmse_percent"] == pytest.approx(100 * np.sqrt(np.mean(error**2)))
    assert summary.loc[2, "within_20"] == pytest.approx(np.mean(np.abs(error) <= 0.2))
    assert found.pit_histogram(5).sum() == 75
    with pytest.raises(nb.ModelError, match="no column 'day' in the data"):
        nb.retrospect(tree, data, visit="day")


@pytest.mark.recovery
@pytest.mark.filterwarnings("ignore:forecast of id p. samples like these are rare")
def test_importance_sampling_is_nuts_on_twenty_patients(tree):
    """Rich, sparse, censored, with outliers: means within Monte Carlo error, SDs within 12 per cent."""
    rng, ready = np.random.default_rng(8), nb.forecaster(tree)
    for i in range(20):
        times = [np.array([1.0, 3.0, 6.0, 11.0, 13.0, 20.0]), np.array([11.0])][i % 2]
        data = simulated(1, tree, rng, times=times)
        values = data.observations["value"].to_numpy() * (3.0 if i % 5 == 4 else 1.0)
        patient = chart(times, values, **({"lloq": 5.0} if i % 4 == 3 else {}))
        nuts, importance = (
            drawn(ready.forecast(patient, method=m, draws=4000, random_seed=i, unusual="warn")) for m in
            ("nuts", "importance")
        )  # fmt: skip
        sd = nuts.std(axis=0)
        assert np.abs(nuts.mean(axis=0) - importance.mean(axis=0)).max() < 5 * sd.max() / np.sqrt(1500)
        assert importance.std(axis=0) == pytest.approx(sd, rel=0.12)


@pytest.mark.recovery
def test_forecast_intervals_cover(tree):
    """500 patients of the population; the concentration at 24 h from samples at 2 and 11 h."""
    data = simulated(500, tree, np.random.default_rng(6), times=(2.0, 11.0, 24.0))
    found = nb.retrospect(tree, data, draws=1000, random_seed=1, proposals=2000)
    assert found.summary()["coverage"].between(0.87, 0.93).all()
    counts = found.pit_histogram(10)
    assert stats.chisquare(counts).pvalue > 1e-3
