"""`compare`: groups left out beside exact answers, criteria beside printed ones, and what is refused."""

import numpy as np
import pandas as pd
import pytest
from quadrature import DYESTUFF, MONOLIX, OneWay
from scipy import stats
from trees import stated
from typer.testing import CliRunner

import nlmebayes as nb
from model_zoo import CountGLMM, Emax, LinearMixed, OneCompartment
from nlmebayes.cli import app
from nlmebayes.criticism import criteria, leave_out, likelihoods, model_comparison, refits
from nlmebayes.evaluation.fitted import REPORT, fitted
from nlmebayes.model.build import designed

DRAWS = 2000  # in these, weights of batch E have a heavy tail
RNG = np.random.default_rng(5)


def with_draws(model, data, **values):
    """A tree of a model with these draws of population variables, (draw, ...) each."""
    tree = stated(model, data, draws=len(next(iter(values.values()))))
    posterior = tree["posterior"].to_dataset()
    for name, x in values.items():
        posterior[name] = posterior[name].copy(data=np.reshape(x, posterior[name].shape))
    tree["posterior"] = posterior
    return tree


@pytest.fixture(scope="module")
def batches():
    frame = nb.datasets.table("dyestuff")
    return OneWay(np.stack([rows.to_numpy() for _, rows in frame.groupby("Batch")["Yield"]]))


@pytest.fixture(scope="module")
def dyestuff(batches):
    """A tree with draws from the exact posterior of Dyestuff."""
    data, (mu, tau, sigma) = nb.datasets.dyestuff(), batches.draws(DRAWS, seed=4)
    wide = nb.Prior("HalfNormal", sigma=100.0)
    priors = {"theta_mu": nb.Prior("Normal", mu=1500.0, sigma=200.0), "omega_Batch": wide, "sigma_Yield_a": wide}
    model = nb.Model(LinearMixed(), "mu ~ 1 + (1|Batch)", priors=priors)
    return with_draws(model, data, theta_mu=mu, omega_Batch=tau, sigma_Yield_a=sigma)


def test_batches_left_out_are_those_of_exact_integrals(dyestuff):
    found = nb.compare({"one": dyestuff}, draws=DRAWS)
    each = found.by_group.set_index("group")
    assert each["elpd"][list(DYESTUFF["elpd"])].to_numpy() == pytest.approx(list(DYESTUFF["elpd"].values()), abs=0.05)
    assert each["how"]["E"] == "moment matching" and (each["how"].drop("E") == "psis").all()
    assert not found.table["high_k"].any()


def test_without_moment_matching_the_batch_is_named(dyestuff):
    found = nb.compare({"one": dyestuff}, draws=DRAWS, match=False)
    assert found.table["high_k"]["one"] == 1
    assert any("1 of 6 groups of Batch with Pareto k above 0.70: E" in text for text in found.warnings)


def test_a_fit_without_the_batch_is_exact(dyestuff, batches, monkeypatch):
    """The draws of that fit are those of the exact posterior of the other batches."""
    known, asked = fitted(dyestuff), []

    def fit(model, data, **settings):
        asked.append((sorted(data.observations["Batch"].unique()), settings["draws"], settings["chains"]))
        mu, tau, sigma = OneWay(np.delete(batches.y, 4, axis=0)).draws(DRAWS, seed=7)
        return with_draws(model, data, theta_mu=mu, omega_Batch=tau, sigma_Yield_a=sigma)

    monkeypatch.setattr(refits, "fit", fit)
    found = nb.compare({"one": dyestuff}, draws=DRAWS, match=False, refit=True)
    row = found.by_group.set_index("group").loc["E"]
    assert asked == [(["A", "B", "C", "D", "F"], DRAWS, 1)]
    assert row["how"] == "refit" and np.isnan(row["khat"]) and not found.table["high_k"]["one"]
    assert row["elpd"] == pytest.approx(DYESTUFF["elpd"]["E"], abs=0.05)
    assert known.training_data.observations["Batch"].nunique() == 6


def test_a_subject_is_left_out_by_a_fit_given_its_site_mates(sites, monkeypatch):
    trees, _ = sites
    monkeypatch.setattr(refits, "fit", lambda *_, **__: trees["both"])  # the draws do not matter here
    known = fitted(trees["both"])
    whole = leave_out.marginals(known, "id", likelihoods.population(known, SITES), seed=0)
    left = leave_out.left_out("id", whole.groups, whole.values)
    left = left.replaced(7, 0.0, 9.0, "psis")
    found = refits.refitted(known, whole, left, seed=0)
    assert found.how[7] == "refit" and (np.delete(found.how, left.worst) == "psis").all()
    mean = np.log(np.exp(whole.values[:, 7] - whole.values[:, 7].max()).mean()) + whole.values[:, 7].max()
    assert found.elpd[7] == pytest.approx(mean, abs=0.01)


def test_draws_with_an_sd_near_zero_are_exact_as_well(dyestuff, batches):
    """Nodes for the mean of the draws lie on both sides of so narrow a law."""
    mu, tau, sigma = np.tile([[1527.0], [50.0], [50.0]], 60)
    tau = tau * np.exp(0.3 * RNG.normal(size=60))
    tau[:3] = 0.3, 1.0, 3.0
    tree = with_draws(fitted(dyestuff).model, nb.datasets.dyestuff(), theta_mu=mu, omega_Batch=tau, sigma_Yield_a=sigma)
    known = fitted(tree)
    drawn = likelihoods.population(known, 60)
    found, error = likelihoods.at_draws(known, drawn, known.training_data, seed=0)
    exact = batches.log_likelihood(mu, tau, sigma)
    assert np.stack(list(found.values()), axis=1) == pytest.approx(exact, abs=0.05)
    assert max(error.values()) < 0.05


# --- subjects within sites --------------------------------------------------------------------------------------------

SITE, SUBJECT = np.repeat(np.arange(4), 9), np.repeat(np.arange(12), 3)
SITES = 60  # draws


@pytest.fixture(scope="module")
def sites():
    """Trees of three models with the same draws, whose likelihoods have closed forms."""
    y = 10 + RNG.normal(0, 1, 4)[SITE] + RNG.normal(0, 0.7, 12)[SUBJECT] + RNG.normal(0, 0.5, 36)
    frame = pd.DataFrame({"site": [f"s{i}" for i in SITE], "id": [f"p{i}" for i in SUBJECT], "y": y})
    data = nb.Dataset.from_frame(frame, outcome="y", levels=("site", "id"))
    mu, tau, omega, sigma = (
        10 + 0.2 * RNG.normal(size=SITES),
        *(x * np.exp(0.15 * RNG.normal(size=SITES)) for x in (1, 0.7, 0.5)),
    )
    shared = {"theta_mu": mu, "sigma_y_a": sigma}
    both = nb.Model(LinearMixed(), "mu ~ 1 + (1|site) + (1|id)")
    alone = nb.Model(LinearMixed(), "mu ~ 1 + (1|id)")
    trees = {
        "both": with_draws(both, data, omega_site=tau, omega_id=omega, **shared),
        "id": with_draws(alone, data, omega_id=omega, **shared),
    }
    return trees, (y, mu, tau, omega, sigma)


def of_records(here, numbers, draw):
    y, mu, tau, omega, sigma = numbers
    cover = sigma[draw] ** 2 * np.eye(len(here)) + omega[draw] ** 2 * np.equal.outer(SUBJECT[here], SUBJECT[here])
    cover += tau[draw] ** 2 * np.equal.outer(SITE[here], SITE[here])
    return stats.multivariate_normal(np.full(len(here), mu[draw]), cover).logpdf(y[here])


def test_a_subject_is_left_out_given_its_site_mates(sites):
    trees, numbers = sites
    known = fitted(trees["both"])
    found = leave_out.marginals(known, "id", likelihoods.population(known, SITES), seed=0)
    for k, group in enumerate(found.groups):
        site, subject = group.split("/")
        mates = np.flatnonzero(int(site[1:]) == SITE)
        others = mates[SUBJECT[mates] != int(subject[1:])]
        exact = [of_records(mates, numbers, d) - of_records(others, numbers, d) for d in range(SITES)]
        assert found.values[:, k] == pytest.approx(exact, abs=0.02)


def test_a_site_is_left_out_with_all_its_subjects(sites):
    trees, (y, mu, tau, omega, sigma) = sites
    known = fitted(trees["id"])
    found = leave_out.marginals(known, "site", likelihoods.population(known, SITES), seed=0)
    assert found.groups == ("s0", "s1", "s2", "s3")
    numbers = y, mu, 0.0 * tau, omega, sigma
    exact = [of_records(np.flatnonzero(SITE == 2), numbers, d) for d in range(SITES)]
    assert found.values[:, 2] == pytest.approx(exact, abs=0.02)


def test_models_with_other_levels_are_compared_by_subjects_and_by_sites(sites):
    found = nb.compare(sites[0], match=False)
    assert set(found.differences["left out"]) == {"id", "site"}
    assert set(found.by_group.groupby("level").size()) == {24, 8}
    assert nb.compare(sites[0], by="site", match=False).level == "site"
    assert found.table[["stacking", "pseudo_bma"]].sum().to_numpy() == pytest.approx(1.0)
    assert len(nb.plot.comparison(found).axes) == 4


def test_weights_do_not_underflow():
    """exp(-1000) is 0: groups of many records have no weights unless a constant is taken from all models."""
    elpd = -1000.0 + RNG.normal(size=(2, 20))
    elpd[1] -= 3.0
    each = {n: leave_out.left_out("id", range(20), np.tile(x, (50, 1))) for n, x in zip("ab", elpd, strict=True)}
    found = model_comparison._weights(each, ["a", "b"])
    assert found["stacking"][0] > 0.9 and found["pseudo_bma"][0] > 0.99


def test_levels_that_cross_are_left_out_exactly_where_the_model_is_linear():
    """log p(y_g | psi, y_-g) of each sample, rated on every plate: a difference of multivariate normal densities."""
    data, n = nb.datasets.penicillin(), 10
    frame, scale = data.observations, np.exp(0.2 * RNG.normal(size=(n, 3))) * [0.85, 1.77, 0.55]
    mu = 23 + 0.5 * RNG.normal(size=n)
    tree = with_draws(
        nb.Model(LinearMixed(), "mu ~ 1 + (1|plate) + (1|sample)"), data, theta_mu=mu, omega_plate=scale[:, 0],
        omega_sample=scale[:, 1], sigma_diameter_a=scale[:, 2],
    )  # fmt: skip
    found = leave_out.marginals(fitted(tree), "sample", likelihoods.population(fitted(tree), n), seed=0)
    y, plate, sample = (frame[name].to_numpy() for name in ("value", "plate", "sample"))
    plates, samples, own = plate[:, None] == plate, sample[:, None] == sample, np.eye(len(y))
    for i in (0, n - 1):
        cover = sum(s**2 * part for s, part in zip(scale[i], (plates, samples, own), strict=True))
        dense = {g: stats.multivariate_normal(mu[i] * np.ones(kept.sum()), cover[np.ix_(kept, kept)]).logpdf(y[kept])
                 for g, kept in ((g, sample != g) for g in (None, *found.groups))}  # fmt: skip
        assert found.values[i] == pytest.approx([dense[None] - dense[g] for g in found.groups], abs=1e-6)


def test_levels_that_cross_are_left_out_by_nobody_elsewhere():
    frame = pd.DataFrame({"plate": list("aabbcc"), "rater": list("xyxyxy"), "y": [3, 1, 4, 1, 5, 2]})
    data = nb.Dataset.from_frame(frame, outcome="y", levels="plate")
    model = nb.Model(CountGLMM(), "rate ~ 1 + (1|plate) + (1|rater)", residual=nb.Poisson())
    found = nb.compare({"one": stated(model, data, draws=30)})
    assert found.table["elpd"].isna().all()
    assert any("levels that cross are integrated as one" in text for text in found.warnings)


# --- criteria of a maximum --------------------------------------------------------------------------------------------


def test_criteria_of_monolix_are_the_printed_ones():
    count = criteria.Counted(typical=3, slopes=0, typical_fixed=0, slopes_fixed=0, spreads=3, residual=1)
    printed = MONOLIX["criteria"]
    found = criteria.criteria(printed["minus2ll"], count, subjects=12, records=120)
    assert found["aic"] == pytest.approx(printed["aic"], abs=0.006)
    assert found["bic_subjects"] == pytest.approx(printed["bic"], abs=0.006)
    assert found["bicc_monolix"] == pytest.approx(printed["bicc"], abs=0.006)
    assert found["bicc_delattre"] == pytest.approx(printed["minus2ll"] + 6 * np.log(12) + np.log(120))
    # PD1 of Monolix 2019: three parameters, a covariate on EC50, additive error; 100 subjects, 300 records.
    other = criteria.Counted(typical=3, slopes=1, typical_fixed=0, slopes_fixed=0, spreads=3, residual=1)
    assert criteria.criteria(2454.36, other, 100, 300)["bicc_monolix"] == pytest.approx(2495.59, abs=0.006)


def test_parameters_are_counted_by_what_they_are_of():
    frame = pd.DataFrame({"id": np.repeat([1, 2, 3], 2), "concentration": 1.0, "x": np.repeat([0, 1, 1], 2), "e": 2.0})
    data = nb.Dataset.from_frame(frame.assign(e=np.arange(6.0)), outcome="e", levels="id", inputs=("concentration",))
    model = nb.Model(
        Emax(), "e0 ~ 1 + (1|p|id)", "emax ~ 1 + x + (1|p|id)", "ec50 ~ 1 + x", residual=nb.Combined()
    )  # fmt: skip
    assert criteria.counted(model, designed(model, data), data.outcomes) == criteria.Counted(2, 1, 1, 1, 3, 2)
    known = nb.Model(Emax(), fixed={"ec50": 3.0})
    assert criteria.counted(known, designed(known, data), data.outcomes).typical_fixed == 0


@pytest.mark.parametrize("term", ["1 + sex", "0 + sex", "C(sex, Sum)", "sex + center(x)"])
def test_the_coding_of_a_factor_changes_no_count(term):
    frame = FRAME.assign(id=range(6), sex=list("FMFMFM"), x=np.arange(6.0))
    data = nb.Dataset.from_frame(frame, outcome="y", levels="id")
    model = nb.Model(LinearMixed(), f"mu ~ {term} + (1|id)")
    slopes = 2 if "x)" in term else 1
    assert criteria.counted(model, designed(model, data), data.outcomes) == criteria.Counted(1, slopes, 0, 0, 1, 1)


def test_a_search_that_did_not_end_at_a_maximum_has_no_criteria(sites, monkeypatch):
    monkeypatch.setattr(model_comparison, "said", lambda *_: {"method": "ml", "converged": False, "minus2ll": 1.0})
    found = nb.compare(sites[0], match=False)
    assert found.table["aic"].isna().all() and any("did not end at one" in text for text in found.warnings)


# --- refusals ---------------------------------------------------------------------------------------------------------


def linear(frame, draws=30, formula="mu ~ 1 + (1|id)", **options):
    data = nb.Dataset.from_frame(frame, **{"outcome": "y", "levels": "id"} | options)
    return stated(nb.Model(LinearMixed(), formula), data, draws=draws)


FRAME = pd.DataFrame({"id": np.repeat([1, 2, 3], 2), "site": "a", "x": np.repeat([0, 1, 1], 2), "y": np.arange(6.0)})


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (FRAME.assign(y=np.log1p(FRAME["y"])), r"observations, row 2, column value: 1.0 in a, 0.69.* in b"),
        (FRAME.iloc[:-1], "observations, 6 rows in a, 5 in b"),
        (FRAME.assign(id=[1, 1, 2, 2, 4, 4]), "row 5, column id: 3 in a, 4 in b"),
    ],
)
def test_trees_of_different_data_are_refused_by_row_and_column(other, words):
    with pytest.raises(nb.ModelError, match=words):
        nb.compare({"a": linear(FRAME), "b": linear(other)})


def test_what_else_is_refused():
    with pytest.raises(nb.ModelError, match="a has the levels id, b site, id; fit both"):
        nb.compare({"a": linear(FRAME), "b": linear(FRAME, levels=("site", "id"))})
    with pytest.raises(nb.ModelError, match="by='x' is no level of the data; these are id"):
        nb.compare({"a": linear(FRAME)}, by="x")
    with pytest.raises(nb.ModelError, match="got none"):
        nb.compare({})
    with pytest.raises(nb.ModelError, match="draws=3 are too few"):
        nb.compare({"a": linear(FRAME)}, draws=3)
    with pytest.raises(nb.ModelError, match="no weights 'aic'; there are stacking, pseudo_bma"):
        nb.compare({"a": linear(FRAME)}, match=False).weights("aic")
    with pytest.raises(nb.ModelError, match=r"plot\.comparison needs two models or more"):
        nb.plot.comparison(nb.compare({"a": linear(FRAME)}, match=False))


def test_what_is_no_fit_is_refused():
    population = nb.population(
        OneCompartment(), theta={"cl": 3.0, "v": 30.0}, omega={"sd": {"cl": 0.3}}, sigma={"b": 0.1}
    )
    with pytest.raises(nb.ModelError, match="a is a stated population, which has no data"):
        nb.compare({"a": population})
    forecast = linear(FRAME)
    forecast.attrs[REPORT] = "{}"
    with pytest.raises(nb.ModelError, match="a is a forecast; compare takes trees of fit"):
        nb.compare({"a": forecast})


def test_other_values_of_a_covariate_are_said():
    found = nb.compare({"a": linear(FRAME), "b": linear(FRAME.assign(x=[5, 5, 1, 1, 1, 1]))}, match=False)
    assert any("x: other values in the data of b than in those of a" in text for text in found.warnings)


# --- what reads a comparison ------------------------------------------------------------------------------------------


def test_forecasts_are_averaged_by_the_weights_of_a_comparison():
    shared = {"theta": {"cl": 3.0, "v": 30.0}, "omega": {"cv_percent": {"cl": 30, "v": 20}}}
    trees = {"a": nb.population(OneCompartment(), **shared, sigma={"b": 0.1})}
    trees["b"] = nb.population(OneCompartment(), **shared, sigma={"b": 0.3})
    doses = pd.DataFrame({"id": ["p"], "time": 0.0, "amt": 100.0})
    frame = pd.DataFrame({"id": ["p"], "time": [1.0], "conc": [3.0]})
    patient = nb.Dataset.from_frame(frame, outcome="conc", time="time", levels="id", doses=doses)
    table = pd.DataFrame({"stacking": [0.25, 0.75], "pseudo_bma": [0.5, 0.5]}, index=["a", "b"])
    compared = nb.Comparison("id", table, table, table, ())
    found = nb.average(trees, patient, weights=compared, method="map")
    assert found.weights == {"a": 0.25, "b": 0.75}
    found = nb.average(trees, patient, weights=compared.weights("pseudo_bma"), method="map")
    assert found.weights == {"a": 0.5, "b": 0.5}
    with pytest.raises(nb.ModelError, match="weights= stand in place of prior= and scheme="):
        nb.average(trees, patient, weights={"a": 1.0, "b": 1.0}, scheme="ofv")
    with pytest.raises(nb.ModelError, match="weights must give each of a, b a probability"):
        nb.average(trees, patient, weights={"a": 1.0})


def test_the_command_line_compares_what_it_fitted(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    nb.datasets.table("dyestuff").to_csv("dyestuff.csv", index=False)
    run = CliRunner()
    shared = ["fit", "dyestuff.csv", "--tidy", "--level", "Batch", "--outcome", "Yield", "--model", "linear-mixed"]
    for name, formula in (("groups", "mu ~ 1 + (1|Batch)"), ("none", "mu ~ 1")):
        found = run.invoke(app, [*shared, "--formula", formula, "--method", "ml", "--out", name, "--quiet"])
        assert found.exit_code == 0, found.output
        assert "method ml, seed 1" in found.stdout
    found = run.invoke(app, ["compare", "groups", "none/fit.nc"])
    assert found.exit_code == 0, found.output
    table = pd.read_csv("comparison/table.csv", index_col="model")
    # lme4 1.1, REML = FALSE: -2 log L 327.3271; without batches that of a normal sample
    assert table["minus2ll"]["groups"] == pytest.approx(327.3271, abs=0.01)
    y = nb.datasets.table("dyestuff")["Yield"]
    assert table["minus2ll"]["none"] == pytest.approx(
        -2 * stats.norm(y.mean(), y.std(ddof=0)).logpdf(y).sum(), abs=0.01
    )
    assert table["parameters"].to_dict() == {"groups": 3, "none": 2}
    again = run.invoke(app, ["compare", "groups", "none", "--out", "comparison"])
    assert again.exit_code == 1 and "comparison" in again.stderr
    same = run.invoke(app, ["compare", "groups", "groups/fit.nc", "--out", "other"])
    assert same.exit_code == 1 and "two fits are called 'groups'" in same.stderr
