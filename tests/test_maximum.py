"""Maximum likelihood beside lme4, nlme, exact quadrature and differences of the likelihood."""

import json

import gibbs
import numpy as np
import pandas as pd
import pytest
from scipy import stats

import nlmebayes as nb
from model_zoo import HospitalProfile, LinearMixed, LogisticGrowth, OneCompartment, TwoCompartment
from nlmebayes.evaluation.evaluator import Draws
from nlmebayes.individuals.clusters import at_many
from nlmebayes.individuals.placing import populated
from nlmebayes.model.build import designed

THEO = nb.Model(OneCompartment(absorption="first-order"), residual=nb.Additive())
LINEAR = {
    "sleepstudy": nb.Model(LinearMixed(), "mu ~ 1 + Days + (1 + Days | Subject)"),
    "pastes": nb.Model(LinearMixed(), "mu ~ 1 + (1|batch/cask)"),
    "penicillin": nb.Model(LinearMixed(), "mu ~ 1 + (1|plate) + (1|sample)"),
}


LINEAR_BATCH = nb.Model(LinearMixed(), "mu ~ 1 + (1|Batch)")


def about(tree):
    return json.loads(tree.attrs["nlmebayes_fit"])


def fitted(name, method):
    return nb.fit(LINEAR[name], getattr(nb.datasets, name)(), method=method)


@pytest.fixture(scope="module")
def theophylline():
    """Without the samples at time 0, as saemix has them."""
    return nb.fit(THEO, nb.datasets.theophylline().drop_sel(time=0.0), method="ml", random_seed=1)


def test_a_linear_mixed_model_is_that_of_lme4():
    """sleepstudy by lmer(REML = FALSE): log-likelihood, estimates, standard errors."""
    tree = fitted("sleepstudy", "ml")
    assert -about(tree)["minus2ll"] / 2 == pytest.approx(-875.9696722, abs=1e-5)
    table = nb.summary(tree).set_index("quantity")
    expected = [251.4051, 10.46729, 23.77976, 5.716799, 0.08132, 25.59191]
    assert table["mean"].to_numpy() == pytest.approx(expected, rel=1e-4)
    assert table["sd"].to_numpy()[:2] == pytest.approx([6.632, 1.502], abs=1e-3)


def of_balanced(data):
    """SDs of plates and samples by mean squares (Searle, Casella and McCulloch 1992, ch. 4)."""
    y = data.observations.pivot(index="plate", columns="sample", values="value").to_numpy()
    rows, columns = y.mean(axis=1, keepdims=True), y.mean(axis=0, keepdims=True)
    (a, b), total = y.shape, y.mean()
    error = ((y - rows - columns + total) ** 2).sum() / ((a - 1) * (b - 1))
    between = [((each - total) ** 2).sum() * n / (k - 1) for each, n, k in ((rows, b, a), (columns, a, b))]
    return [np.sqrt((square - error) / n) for square, n in zip(between, (b, a), strict=True)]


@pytest.mark.parametrize(
    ("name", "log_likelihood", "sds"),
    [
        ("sleepstudy", -871.814136, [24.74065799, 5.92213766]),
        ("pastes", -123.4953729, [1.28736588, 2.90407747]),
        ("penicillin", -165.4302945, None),
    ],
)
def test_restricted_likelihoods_are_those_of_lme4(name, log_likelihood, sds):
    """Correlated effects, nested and crossed levels; of balanced crossed ones the SDs are those of the analysis of
    variance (lme4 stops at 1.93161379, 3e-5 above)."""
    tree, sds = fitted(name, "reml"), of_balanced(nb.datasets.penicillin()) if sds is None else sds
    assert -about(tree)["minus2reml"] / 2 == pytest.approx(log_likelihood, abs=1e-6)
    table = nb.summary(tree).set_index("quantity")["mean"]
    assert table[table.index.str.startswith("omega")].to_numpy() == pytest.approx(sds, rel=2e-5)


def test_restricted_likelihood_is_refused_where_a_model_is_not_linear():
    for model, data in ((THEO, nb.datasets.theophylline()), (nb.Model(LogisticGrowth()), nb.datasets.orange())):
        with pytest.raises(nb.ModelError, match="not linear in its effects: take method='ml'"):
            nb.fit(model, data, method="reml")


def test_fixed_effects_without_random_ones_are_those_of_lme4():
    """Orange trees by nlmer, whose Laplace approximation is exact where the asymptote alone varies."""
    tree = nb.fit(nb.Model(LogisticGrowth(), residual=nb.Additive()), nb.datasets.orange(), method="ml")
    assert -about(tree)["minus2ll"] / 2 == pytest.approx(-131.5719, abs=1e-4)
    table = nb.summary(tree).set_index("quantity")
    away = table["mean"].to_numpy() - [192.0528, 727.9045, 348.0721, 31.646, 7.843]
    assert np.abs(away / table["sd"].to_numpy()).max() < 0.005


def test_a_logistic_model_is_that_of_lme4_with_25_nodes():
    """glmer on cbpp, nAGQ = 25: estimates and standard errors as printed."""
    model = nb.Model(HospitalProfile(), "risk ~ 1 + period + (1|herd)", residual=nb.Binomial("size"))
    table = nb.summary(nb.fit(model, nb.datasets.cbpp(), method="ml")).set_index("quantity")
    printed = [(-0.9914088838, 0.306779), (-1.1278095942, 0.326780), (-1.5794809507, 0.427610)]
    for (estimate, error), (_, row) in zip(printed, table.iloc[1:4].iterrows(), strict=True):
        assert row["mean"] == pytest.approx(estimate, abs=1e-3)
        assert row["sd"] == pytest.approx(error, abs=2e-3)
    assert table["mean"].iloc[4] == pytest.approx(0.6475199, abs=1e-4)


def test_theophylline_is_the_exact_maximum(theophylline):
    """Adaptive Gauss-Hermite quadrature with 15 nodes by another program."""
    assert about(theophylline)["minus2ll"] == pytest.approx(345.4349, abs=2e-3)
    table = nb.summary(theophylline).set_index("quantity")
    exact = [2.7477, 31.6255, 1.5790, 0.2660, 0.1337, 0.6276, 0.7380]
    assert np.abs((table["mean"].to_numpy() - exact) / table["sd"].to_numpy()).max() < 0.01
    at = {"theta_cl": [np.log(2.8)], "theta_v": [np.log(32.0)], "theta_ka": [np.log(1.5)],
          "omega_id": [0.25, 0.15, 0.6], "sigma_conc_a": 0.75}  # fmt: skip
    stated = nb.log_likelihood(theophylline, at=at)["log_likelihood"]["marginal"]
    assert -2 * float(stated.sum()) == pytest.approx(345.9039, abs=2e-3)


def test_a_maximum_is_a_tree_like_any_other(theophylline, tmp_path):
    nb.save(theophylline, tmp_path / "ml.nc")
    again = nb.load(tmp_path / "ml.nc")
    assert nb.summary(again).equals(nb.summary(theophylline))
    report = nb.check(again)
    assert report.findings[0].startswith("maximum likelihood, -2 log L 345.4")
    assert len(nb.residuals(again)) == 120
    one = pd.DataFrame({"ID": "new", "TIME": [0.0, 2.0], "AMT": [320.0, 0.0], "EVID": [1, 0], "DV": [np.nan, 8.0]})
    forecast = nb.forecast(again, nb.Dataset.from_nonmem(one, outcome="conc"), random_seed=1)
    assert forecast["posterior"]["cl"].std() > 0
    mean = nb.log_likelihood(again, at="mean")["log_likelihood"]["marginal"]
    assert -2 * float(mean.sum()) == pytest.approx(about(theophylline)["minus2ll"], abs=1e-6)


def test_shrinkage_is_that_of_the_most_probable_effects(theophylline):
    told, eta = theophylline["estimates"], theophylline["posterior"]["eta_id"].to_numpy()[0, 0]
    omega = theophylline["posterior"]["omega_id"].to_numpy()[0, 0]
    share = eta.std(axis=0, ddof=1) / omega
    assert told["shrinkage_sd_id"].to_numpy() == pytest.approx(100 * (1 - share))
    assert told["shrinkage_variance_id"].to_numpy() == pytest.approx(100 * (1 - share**2))


def integral(model, data, order=None):
    """An `Integral` at the pilot's population, and its coordinates."""
    from_pilot = nb.fit(model, data, method="ml")  # its estimate, moved off
    population = populated(model, designed(model, data, measured=True))
    x = from_pilot["estimates"]["point"].to_numpy() + 0.05
    place = population.place(x)
    return population, x, place, population.rule(x, place, 400, 256, 1)


@pytest.mark.parametrize("name", ["sleepstudy", "pastes"])
def test_scores_are_the_slopes_of_the_log_likelihood(name):
    """Of every group, correlated effects and nested levels, beside differences."""
    _, x, _, found = integral(LINEAR[name], getattr(nb.datasets, name)())
    local = found.local(x, np.full(len(x), 1e-3))
    scores = found.weighed(x, local.value).scores(local.slope)
    for k, move in enumerate(1e-5 * np.eye(len(x))):
        slope = (found.log_likelihood(x + move) - found.log_likelihood(x - move)) / 2e-5
        assert scores[:, k] == pytest.approx(slope, rel=1e-4, abs=1e-4 * np.abs(slope).max())


def test_an_sd_that_the_data_set_to_zero_is_at_its_boundary():
    rng = np.random.default_rng(2)
    frame = pd.DataFrame({"id": np.repeat(np.arange(20), 4), "y": 0.0})
    y = rng.standard_normal((20, 4))
    frame["y"] = (y - y.mean(axis=1, keepdims=True)).ravel()  # less between groups than by chance
    model = nb.Model(LinearMixed(), "mu ~ 1 + (1|id)")
    tree = nb.fit(model, nb.Dataset.from_frame(frame, outcome="y", levels="id"), method="ml")
    assert about(tree)["boundary"] == ["omega_id mu"]
    assert np.isnan(nb.summary(tree).set_index("quantity").loc["omega_id mu", "sd"])
    sd = frame["y"].std(ddof=0)
    assert -about(tree)["minus2ll"] / 2 == pytest.approx(-40 * np.log(2 * np.pi * np.e * sd**2), abs=1e-3)
    assert any("at its boundary 0" in line for line in nb.check(tree).findings)


def test_a_smooth_has_a_law_of_its_own():
    data = nb.datasets.sleepstudy()
    with pytest.raises(nb.ModelError, match="has a smooth"):
        nb.fit(nb.Model(LinearMixed(), "mu ~ 1 + s(Days) + (1|Subject)"), data, method="ml")


RIDGE = pd.DataFrame({
    "ID": np.repeat([1, 2, 3, 4], 3), "TIME": [0.0, 12.0, 24.0] * 4, "AMT": [320.0, 0.0, 0.0] * 4,
    "EVID": [1, 0, 0] * 4, "MDV": [1, 0, 0] * 4,
    "DV": [np.nan, 3.2, 1.1, np.nan, 2.9, 2.2, np.nan, 0.6, 0.05, np.nan, 0.4, 0.3],
})  # fmt: skip


def brute(y, at, sd, omega, grid):
    """Log-likelihood of one person with two samples, on a grid over three standardised effects."""
    cl, v, ka = (np.exp(np.log(t) + w * grid) for t, w in zip(at, omega, strict=True))
    h, total = 3 * np.log(grid[1] - grid[0]), -np.inf
    weight = -0.5 * (grid[:, None] ** 2 + grid[None] ** 2) - 1.5 * np.log(2 * np.pi) + h
    k = cl[:, None] / v
    for z, rate in zip(grid, ka, strict=True):
        with np.errstate(divide="ignore", invalid="ignore"):
            f = [320 * rate / (v * (rate - k)) * (np.exp(-k * t) - np.exp(-rate * t)) for t in (12.0, 24.0)]
            dense = sum(
                -0.5 * ((x - y) / sd) ** 2 - np.log(sd) - 0.5 * np.log(2 * np.pi) for x, y in zip(f, y, strict=True)
            )
        dense = np.where(np.isfinite(dense), dense, -np.inf)
        total = np.logaddexp(total, np.logaddexp.reduce((dense + weight - 0.5 * z**2).ravel()))
    return total


def test_a_ridge_is_integrated_whole():
    """Two late samples and a wide population: a product of nodes at the mode misses up to all of it."""
    data = nb.Dataset.from_nonmem(RIDGE, levels=("id",))
    tree = nb.population(
        THEO, theta={"cl": 2.8, "v": 32.0, "ka": 1.5}, omega={"sd": {"cl": 1.0, "v": 1.0, "ka": 1.0}},
        sigma={"a": 0.05}, outcome="dv",
    )  # fmt: skip
    found = nb.log_likelihood(tree, data, at="mean")
    grid = np.linspace(-5.5, 5.5, 221)
    exact = [brute(y, (2.8, 32.0, 1.5), 0.05, (1.0, 1.0, 1.0), grid)
             for y in RIDGE["DV"].dropna().to_numpy().reshape(4, 2)]  # fmt: skip
    assert found["log_likelihood"]["marginal"].to_numpy()[0, 0] == pytest.approx(exact, abs=0.06)
    assert found["marginal"].attrs["alone"] > 0
    population = populated(THEO, designed(THEO, data, measured=True))
    sds = np.array([0.02, 0.06, 1.0])
    theta = {name: np.full((3, 1), np.log(value)) for name, value in {"cl": 2.8, "v": 32.0, "ka": 1.5}.items()}
    drawn = Draws(theta, {"id": sds[:, None] * np.ones(3)}, {}, {"dv": {"a": np.full(3, 0.05)}}, {}, {})
    many = at_many(population, data, population.coordinates.vector(drawn), 0)  # far apart, and one of them has ridges
    assert many.value[2] == pytest.approx(exact, abs=0.06)


def test_draws_far_apart_have_nodes_that_cover_them():
    """SDs of effects from 0.001 to 100, six batches, beside the multivariate normal density."""
    data, model, rng, n = nb.datasets.dyestuff(), LINEAR_BATCH, np.random.default_rng(1), 120
    tau, sigma, mu = np.geomspace(1e-3, 100, n), 52 * np.exp(0.15 * rng.standard_normal(n)), rng.normal(1527, 20, n)
    population = populated(model, designed(model, data, measured=True))
    drawn = Draws({"mu": mu[:, None]}, {"Batch": tau[:, None]}, {}, {"Yield": {"a": sigma}}, {}, {})
    found = at_many(population, data, population.coordinates.vector(drawn), 0)
    y, one = data.observations["value"].to_numpy().reshape(6, 5), np.ones((5, 5))
    exact = [[stats.multivariate_normal(np.full(5, m), s**2 * np.eye(5) + t**2 * one).logpdf(each) for each in y]
             for m, t, s in zip(mu, tau, sigma, strict=True)]  # fmt: skip
    assert found.value == pytest.approx(np.array(exact), abs=0.03)
    assert found.error.max() < 0.01


def test_influence_is_what_leaving_one_out_does():
    """Of each subject on each estimate, to first order: the fits without it lie on the other side, about as far."""
    data, model = nb.datasets.sleepstudy(), nb.Model(LinearMixed(), "mu ~ 1 + Days + (1|Subject)")
    whole = nb.fit(model, data, method="ml")
    told = nb.influence(whole)["mu: Days"]
    without = nb.fit(model, data.drop_sel(Subject=told.idxmax()), method="ml")
    here, there = (nb.summary(tree).set_index("quantity").loc["mu: Days"] for tree in (whole, without))
    assert (here["mean"] - there["mean"]) / here["sd"] == pytest.approx(told.max(), rel=0.15)
    assert nb.plot.influence(whole).numbers["mu: Days"].equals(told)


def test_influence_on_a_posterior_is_that_on_the_estimate():
    """Exact draws: covariances with the marginal log-likelihoods of subjects, up to their Monte Carlo error."""
    data, formula = nb.datasets.sleepstudy(), "mu ~ 1 + Days + (1|Subject)"
    days = data.observations["Days"].to_numpy()
    fixed = np.stack([np.ones(len(days)), days], axis=1)
    drawn = gibbs.tree(data, formula, fixed, fixed[:, :1], count=1600)
    whole = nb.fit(nb.Model(LinearMixed(), formula), data, method="ml")
    columns = ["mu", "mu: Days"]
    assert nb.influence(drawn, draws=1600)[columns].to_numpy() == pytest.approx(
        nb.influence(whole)[columns].to_numpy(), abs=0.13
    )


def test_a_compartment_that_is_not_there_is_said_to_be_open():
    """Its volume drifts without end, the likelihood does not: the search ends, and the standard errors tell."""
    rng, times = np.random.default_rng(4), np.array([0.5, 1.0, 2.0, 4.0, 8.0, 12.0, 24.0])
    cl, v = np.exp(rng.normal(np.log(3), 0.3, 12)), np.exp(rng.normal(np.log(30), 0.2, 12))
    frame = pd.DataFrame({"id": np.arange(12)}).merge(pd.DataFrame({"time": times}), how="cross")
    i, t = frame["id"].to_numpy(), frame["time"].to_numpy()
    conc = 300 / v[i] * np.exp(-cl[i] / v[i] * t) * np.exp(0.1 * rng.standard_normal(len(frame)))
    data = nb.Dataset.from_frame(
        frame.assign(conc=conc), outcome="conc", time="time", levels="id",
        doses=pd.DataFrame({"id": np.arange(12), "time": 0.0, "amt": 300.0}),
    )  # fmt: skip
    both = ("cl ~ 1 + (1|id)", "v1 ~ 1 + (1|id)", "q ~ 1", "v2 ~ 1")
    with pytest.warns(UserWarning, match="cannot part q and v2"):
        tree = nb.fit(nb.Model(TwoCompartment(), *both, residual=nb.Proportional()), data, method="ml")
    small = nb.Model(OneCompartment(), "cl ~ 1 + (1|id)", "v ~ 1 + (1|id)", residual=nb.Proportional())
    assert 0 < about(nb.fit(small, data, method="ml"))["minus2ll"] - about(tree)["minus2ll"] + 0.05 < 4
    assert about(tree)["rounds"] < 30
    assert any("the data leave it open" in line for line in nb.check(tree).findings)


def test_a_search_over_drawn_nodes_ends():
    """Five effects, whose nodes are drawn: drawn anew in every round they moved the estimates to and fro for ever."""
    times, truth = [0.5, 1.0, 2.0, 4.0, 8.0, 12.0, 24.0, 48.0], np.array([4.0, 70.0, 4.0, 40.0, 1.0])
    model = nb.Model(TwoCompartment(absorption="first-order"), residual=nb.Proportional())
    names = [p.name for p in model.parameters]
    rows = [(i, t, 100.0 * (t == 0), int(t == 0)) for i in range(30) for t in (0.0, *times)]
    frame = pd.DataFrame(rows, columns=["ID", "TIME", "AMT", "EVID"]).assign(DV=1.0)
    values = {f"theta_{name}": [np.log(x)] for name, x in zip(names, truth, strict=True)}
    values |= {"omega_id": [0.3] * 5, "sigma_dv_b": 0.1}
    drawn = nb.simulate(model, nb.Dataset.from_nonmem(frame), draws=1, values=values, random_seed=1)
    measured = drawn["prior_predictive"]["dv"].to_numpy().ravel()
    frame.loc[frame["EVID"] == 0, "DV"] = measured
    tree = nb.fit(model, nb.Dataset.from_nonmem(frame), method="ml", random_seed=1)
    assert about(tree)["integral"] == "importance" and about(tree)["converged"] and about(tree)["rounds"] < 15
    table = nb.summary(tree).set_index("quantity").loc[names]
    assert (np.abs(np.log(table["mean"] / truth)) < 4 * table["sd"] / table["mean"]).all()


def test_draws_of_a_model_without_scales_are_those_of_each():
    """A logistic model, whose residual has no part: many draws over nodes of one."""
    model = nb.Model(HospitalProfile(), "risk ~ 1 + (1|herd)", residual=nb.Binomial("size"))
    data = nb.datasets.cbpp()
    population = populated(model, designed(model, data, measured=True))
    x = np.array([[-2.0, -0.5], [-1.9, -0.4], [-2.1, -0.3]])
    each = [at_many(population, data, one[None], 0).value[0] for one in x]
    assert at_many(population, data, x, 0).value == pytest.approx(np.array(each), abs=1e-4)
