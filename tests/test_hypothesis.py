"""Statements on a population: what they say, that they run nothing, and the Savage-Dickey ratio beside exact ones."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from trees import stated

import nlmebayes as nb
from model_zoo import LinearMixed, OneCompartment
from nlmebayes.evaluation import storage
from nlmebayes.evaluation.fitted import fitted

DRAWS = 4000


def kinetics(draws=50, **values):
    frame = pd.DataFrame({"id": np.repeat(range(4), 2), "time": [1.0, 5.0] * 4, "conc": 1.0})
    frame = frame.assign(wt=60.0 + 10 * frame["id"], sex=np.where(frame["id"] % 2, "F", "M"))
    doses = pd.DataFrame({"id": range(4), "time": 0.0, "amt": 100.0})
    data = nb.Dataset.from_frame(frame, outcome="conc", time="time", levels="id", doses=doses)
    model = nb.Model(OneCompartment(), "cl ~ 1 + log(wt/70) + sex + (1|p|id)", "v ~ 1 + (1|p|id)",
                     residual=nb.Combined())  # fmt: skip
    return stated(model, data, draws=draws, **values)


@pytest.fixture(scope="module")
def tree():
    return kinetics()


def drawn(tree, variable, **labels):
    return tree["posterior"][variable].sel(labels).to_numpy()


def test_a_statement_is_that_of_its_draws(tree):
    slope, cl = drawn(tree, "theta_cl", cl_term="log(wt / 70)"), np.exp(drawn(tree, "theta_cl", cl_term="Intercept"))
    v, omega = np.exp(drawn(tree, "theta_v", v_term="Intercept")), tree["posterior"]["omega_id"].to_numpy()
    corr, man = drawn(tree, "corr_id")[..., 0, 1], drawn(tree, "theta_cl", cl_term="sex[M]")
    expected = {
        "theta_cl[log(wt/70)] > 0": (slope, slope > 0),
        "theta_cl[log( wt / 70 )] >= 0.75": (slope - 0.75, slope >= 0.75),
        "0.5 < theta_cl[log(wt/70)] < 2": (slope, (slope > 0.5) & (slope < 2)),
        "log(2) * v / cl between 2 and 20": (np.log(2) * v / cl, (np.log(2) * v / cl > 2) & (np.log(2) * v / cl < 20)),
        "omega_id[cl] - omega_id[v] < 0.1": (omega[..., 0] - omega[..., 1] - 0.1, omega[..., 0] < omega[..., 1] + 0.1),
        "corr_id[cl, v] > 0": (corr, corr > 0),
        "exp(theta_cl[sex[M]]) > 1.2": (np.exp(man) - 1.2, np.exp(man) > 1.2),
        "theta_cl['sex[M]'] <= theta_v": (man - np.log(v), man <= np.log(v)),
        "sigma_conc_a < sigma_conc_b": (
            drawn(tree, "sigma_conc_a") - drawn(tree, "sigma_conc_b"),
            drawn(tree, "sigma_conc_a") < drawn(tree, "sigma_conc_b"),
        ),
    }  # fmt: skip
    found = nb.hypothesis(tree, list(expected))
    assert list(found.index) == list(expected)
    for text, (values, true) in expected.items():
        assert found.loc[text, "mean"] == pytest.approx(values.mean(), rel=1e-9)
        assert found.loc[text, "probability"] == pytest.approx(true.mean())
        odds = true.mean() / (1 - true.mean()) if true.mean() < 1 else np.inf
        assert found.loc[text, "evidence_ratio"] == pytest.approx(odds)
    assert found["savage_dickey"].isna().all()


@pytest.mark.parametrize(("text", "words"), [
    ("__import__('os').system('true') > 0", "cannot read '.'"),
    ("__import__('os') > 0", "no function '__import__'"),
    ("cl.__class__ > 0", "no variable 'cl.__class__'; there are"),
    ("theta_cl[__import__('os')] > 0", r"theta_cl has no .*; there are Intercept, log\(wt / 70\), sex\[M\]"),
    ("(lambda: 0)() > 0", "cannot read|is no arithmetic|no function"),
    ("cl", "it compares nothing; write one such as"),
    ("cl > ", "something is missing beside a sign"),
    ("1 < cl > 2", "it compares too much"),
    ("1 < cl < 2 < v", "it compares too much"),
    ("cl != 2", "ask of =, whose ratio"),
    ("2 > 1", "it names no variable"),
    ("theta_cl > 0", r"which of theta_cl\? Write theta_cl\[...\]; there are Intercept"),
    ("theta_ka > 0", "no variable 'theta_ka'; there are theta_cl"),
    ("sexM > 0", r"no variable 'sexM'; there are .*A coefficient is written theta_cl\[sex\[M\]\]"),
    ("omega_id[ka] > 0", "omega_id has no 'ka'; there are cl, v"),
    ("corr_id > 0", "write two different ones of cl, v"),
    ("corr_id[cl, cl] > 0", "write two different ones of cl, v"),
    ("cl[1] > 0", "cl has no label"),
    ("eta_id[1] > 0", "no variable 'eta_id'"),
    ("center(cl) > 0", r"center\(\) is no function of numbers"),
    ("cl > 'a'", "stands where a number"),
    ("cl between 1", "it compares nothing"),
    ("cl > 1 > 0.5", "the middle one of three sides names no variable"),
    ("cl > 0 & v > 0", "join comparisons"),
])  # fmt: skip
def test_what_is_no_statement_is_refused(text, words, tree):
    with pytest.raises((nb.FormulaError, nb.ModelError), match=words) as refusal:
        nb.hypothesis(tree, text)
    assert "\n" not in str(refusal.value)


def posterior_of(tree, **values):
    """The tree as a fit gives it, with draws of some variables in place of its own, and its priors."""
    found = tree.copy()
    group = found["posterior"].to_dataset()
    for name, x in values.items():
        group[name] = group[name].copy(data=np.asarray(x).reshape(group[name].shape))
    found["posterior"] = group
    known = fitted(found)
    found.attrs[storage.LAWS] = storage.written_laws(storage.laws_of(found, known.model, known.training))
    return found


def conjugate(n=30, seed=2):
    """Normal measurements with a known scatter: the posterior of the mean, exact; its prior is Normal(0, 2)."""
    y = np.random.default_rng(seed).normal(0.4, 1.0, n)
    frame = pd.DataFrame({"id": range(n), "y": y, "x": np.tile([0.0, 1.0], n // 2)})
    data = nb.Dataset.from_frame(frame, outcome="y", levels="id", inputs="x")
    prior = nb.Prior("Normal", mu={"Intercept": 0.0, "x": 0.5}, sigma={"Intercept": 2.0, "x": 1.0})
    model = nb.Model(LinearMixed(), "mu ~ 1 + x", priors={"theta_mu": prior})
    design = np.stack([np.ones(n), frame["x"]], axis=1)
    precision = design.T @ design + np.diag([1 / 4, 1.0])
    covariance = np.linalg.inv(precision)
    mean = covariance @ (design.T @ y + np.array([0.0, 0.5]))
    tree = stated(model, data, draws=DRAWS, sigma_y_a=1.0)
    scores = stats.norm.ppf((np.arange(DRAWS) + 0.5) / DRAWS)
    rng = np.random.default_rng(seed)
    z = np.stack([rng.permutation(scores), rng.permutation(scores)], axis=1)
    return posterior_of(tree, theta_mu=mean + z @ np.linalg.cholesky(covariance).T), mean, covariance


def test_the_ratio_of_a_coefficient_is_the_exact_bayes_factor():
    tree, mean, covariance = conjugate()
    found = nb.hypothesis(tree, ["theta_mu[x] = 0", "mu = 0.5", "theta_mu[x] + mu = 0", "exp(theta_mu[x]) == 1"])
    of_x = stats.norm(mean[1], covariance[1, 1] ** 0.5).pdf(0) / stats.norm(0.5, 1).pdf(0)
    of_mu = stats.norm(mean[0], covariance[0, 0] ** 0.5).pdf(0.5) / stats.norm(0, 2).pdf(0.5)
    of_sum = stats.norm(mean.sum(), covariance.sum() ** 0.5).pdf(0) / stats.norm(0.5, 5**0.5).pdf(0)
    assert found["savage_dickey"].to_numpy() == pytest.approx([of_x, of_mu, of_sum, of_x], rel=0.06)
    assert found["savage_dickey"].iloc[3] == pytest.approx(found["savage_dickey"].iloc[0], rel=1e-6)
    assert found["probability"].isna().all() and found["evidence_ratio"].isna().all()


def test_the_ratio_is_the_same_on_every_scale_and_that_of_its_prior(tree):
    """Without data posterior and prior are one law: ratios of 1, of typical values, SDs and correlations."""
    texts = ["cl = 3", "log(cl) = log(3)", "theta_cl[Intercept] = log(3)", "omega_id[cl] = 0.3",
             "omega_id[v]**2 = 0.04", "corr_id[cl, v] = 0.2", "log(v) - log(cl) = 2", "sigma_conc_b = 0.2"]  # fmt: skip
    found = nb.hypothesis(posterior_of(kinetics(draws=DRAWS)), texts)["savage_dickey"]
    assert found.to_numpy() == pytest.approx(np.ones(len(texts)), rel=0.15)
    assert found.iloc[1:3].to_numpy() == pytest.approx(found.iloc[0], rel=1e-6)


def test_a_correlation_has_the_marginal_law_of_lkj(tree):
    z = stats.norm.ppf((np.arange(DRAWS) + 0.5) / DRAWS)
    r = np.tanh(0.5 + 0.3 * np.random.default_rng(1).permutation(z))
    found = posterior_of(
        kinetics(draws=DRAWS), corr_id=np.stack([np.stack([r**0, r]), np.stack([r, r**0])]).transpose(2, 0, 1)
    )
    dense = stats.norm(0.5, 0.3).pdf(0.0) / (0.75 * (1 - 0.0**2))  # LKJ(2) of two: 3/4 (1 - r^2)
    assert nb.hypothesis(found, "corr_id[cl, v] = 0")["savage_dickey"].item() == pytest.approx(dense, rel=0.05)


def test_a_posterior_that_is_not_normal_has_its_own_density():
    """A narrow mode between two others, and the end of a half-normal law, where one wide kernel would blur both."""
    tree, *_ = conjugate()
    rng = np.random.default_rng(3)
    ends, middle = stats.norm([-1.0, 1.0], 0.3), stats.norm(0.0, 0.1)
    z = np.concatenate([ends.ppf(rng.random((DRAWS // 2 - 500, 2))).ravel(), middle.ppf(rng.random(1000))])
    modes = posterior_of(tree, theta_mu=np.stack([np.zeros(DRAWS), rng.permutation(z)], axis=1))
    found = nb.hypothesis(modes, "theta_mu[x] = 0")["savage_dickey"].item()
    dense = 0.375 * ends.pdf(0.0).sum() + 0.25 * middle.pdf(0.0)
    assert found == pytest.approx(dense / stats.norm(0.5, 1.0).pdf(0.0), rel=0.3)
    half = stats.halfnorm(scale=0.3)
    sharp = posterior_of(tree, sigma_y_a=rng.permutation(half.ppf((np.arange(DRAWS) + 0.5) / DRAWS)))
    law = next(x for x in storage.laws_of(sharp, fitted(sharp).model, None) if x.variable == "sigma_y_a")
    x, prior = 0.84, stats.halfnorm(scale=law.prior.parameters["sigma"])
    found = nb.hypothesis(sharp, f"sigma_y_a = {x}")["savage_dickey"].item()
    assert found == pytest.approx(half.pdf(x) / prior.pdf(x), rel=0.3)


@pytest.mark.parametrize(("text", "words"), [
    ("cl = v", "is known only of sums of coordinates with Normal priors; .* log.cl. with log.v."),
    ("omega_id[cl] = omega_id[v]", "is known only of sums"),
    ("omega_id[cl] = 0", "an SD of 0 is at its edge"),
    ("cl = -1", "no value inside the range of its prior"),
    ("theta_cl[log(wt/70)] = 30", "draws lie beyond equality"),
    ("theta_cl[log(wt/70)] ** 2 = 1", "can be equal at several values"),
    ("cl * 0 = 1", "can be equal at several values|no value inside"),
])  # fmt: skip
def test_a_ratio_that_cannot_be_had_is_refused(text, words):
    tree = posterior_of(kinetics(draws=400))
    with pytest.raises(nb.ModelError, match=words):
        nb.hypothesis(tree, text)


def test_a_ratio_needs_the_priors_of_a_fit(tree):
    with pytest.raises(nb.ModelError, match="= needs a posterior from fit"):
        nb.hypothesis(tree, "cl = 3")
    structure = OneCompartment(absorption="first-order")
    ordered = stated(nb.Model(structure), nb.training_dataset(tree), draws=20)
    with pytest.raises(nb.ModelError, match=r"keeps the order .*, so that no prior is the stated one"):
        nb.hypothesis(posterior_of(ordered), "cl = 3")


def test_improper_and_shrunk_priors_have_no_ratio():
    frame = pd.DataFrame({"id": range(20), "x": np.linspace(0, 1, 20), "y": 1.0})
    data = nb.Dataset.from_frame(frame, outcome="y", levels="id", inputs="x")
    smooth = posterior_of(stated(nb.Model(LinearMixed(), "mu ~ 1 + s(x, k=4)"), data, draws=50))
    label = str(smooth["posterior"]["mu_term"].to_numpy()[-1])
    with pytest.raises(nb.ModelError, match=r"the prior of theta_mu\[s\(x, k=4\).*\] depends on other variables"):
        nb.hypothesis(smooth, f"theta_mu['{label}'] = 0")
    flat = nb.Model(LinearMixed(), "mu ~ 1 + x", priors={"theta_mu": nb.Prior("Flat")})
    tree = posterior_of(stated(flat, data, draws=50, theta_mu=[1.0, 0.0]))
    with pytest.raises(nb.ModelError, match="is improper, so it has no density"):
        nb.hypothesis(tree, "theta_mu[x] = 0")


def test_the_evidence_of_chance_is_even():
    tree, mean, _ = conjugate()
    row = nb.hypothesis(tree, f"theta_mu[x] > {mean[1]}").iloc[0]
    assert row["evidence_ratio"] == pytest.approx(1.0, rel=0.05)
