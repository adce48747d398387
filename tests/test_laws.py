"""Priors by coefficient, of several families, and of variances: densities are SciPy's, the rest keeps its own."""

import json

import numpy as np
import pymc as pm
import pytensor.tensor as pt
import pytest
from scipy import stats

import nlmebayes as nb
from model_zoo import OneCompartment
from nlmebayes.app import arguments, statement
from nlmebayes.evaluation import storage
from nlmebayes.files import toml
from nlmebayes.parameter.laws import Between

P = nb.Prior
FORMULAS = "cl ~ 1 + log(wt/70) + (1|id)", "v ~ 1 + log(wt/70) + (1|id)", "ka ~ 1 + (1|id)"
MIXED = {
    "cl": {"log(wt/70)": P("Normal", mu=0.75, sigma=0.1)},
    "theta_v": {"log(wt/70)": P("Uniform", lower=0.5, upper=2.0), "Intercept": P("StudentT", nu=4, mu=3.4, sigma=0.2)},
    "omega_id**2": {"cl": P("InverseGamma", alpha=3, beta=0.2)},
    "sigma_conc_a**2": P("Exponential", lam=2.0),
}


def model(priors):
    return nb.Model(OneCompartment("first-order"), *FORMULAS, residual=nb.Additive(), priors=priors)


def table(priors):
    return nb.priors(model(priors), nb.datasets.theophylline()).set_index(["variable", "coordinate"])


def test_what_is_stated_of_one_coefficient_leaves_the_rest():
    usual, found = table({}), table(MIXED)
    stated = [("theta_cl", "log(wt / 70)"), ("theta_v", "Intercept"), ("theta_v", "log(wt / 70)"), ("omega_id", "cl"),
              ("sigma_conc_a", "")]  # fmt: skip
    assert list(found.index[found["from"] == "model"]) == stated
    assert found.loc[stated, "prior"].tolist() == [
        "Normal(mu=0.75, sigma=0.1)", "StudentT(nu=4, mu=3.4, sigma=0.2)", "Uniform(lower=0.5, upper=2)",
        "InverseGamma(alpha=3, beta=0.2) of its square", "Exponential(lam=2) of its square",
    ]  # fmt: skip
    assert (found.drop(index=stated) == usual.drop(index=stated)).all(axis=None)


def test_densities_are_those_of_scipy():
    built = nb.build(model(MIXED), nb.datasets.theophylline())
    values = {"theta_v": np.array([3.1, 1.2]), "omega_id": np.array([0.3, 0.2, 0.6]), "sigma_conc_a": np.array(0.8)}
    half = stats.halfnorm(scale=0.5)
    wanted = {
        "theta_v": stats.t(4, 3.4, 0.2).logpdf(3.1) - np.log(1.5),
        "omega_id": stats.invgamma(3, scale=0.2).logpdf(0.09) + np.log(0.6) + half.logpdf(0.2) + half.logpdf(0.6),
        "sigma_conc_a": stats.expon(scale=0.5).logpdf(0.64) + np.log(1.6),
    }
    for name, value in values.items():
        found = pm.logp(built[name], value).sum().eval(mode="FAST_COMPILE")
        assert found == pytest.approx(wanted[name], rel=1e-6)


def test_draws_are_those_of_the_laws():
    built = nb.build(model(MIXED), nb.datasets.theophylline())
    omega, v = pm.draw([built["omega_id"], built["theta_v"]], 4000, random_seed=2, mode="FAST_COMPILE")
    assert stats.kstest(omega[:, 0] ** 2, stats.invgamma(3, scale=0.2).cdf).statistic < 0.03  # 99.8 % of samples
    assert stats.kstest(v[:, 1], stats.uniform(0.5, 1.5).cdf).statistic < 0.03


@pytest.mark.parametrize("bounds", [(-np.inf, np.inf), (2.0, np.inf), (-np.inf, 3.0), (2.0, 3.0)])
def test_a_bounded_coordinate_is_undone_and_its_jacobian_is_the_slope(bounds):
    law = Between(*np.array([bounds, (0.0, np.inf)]).T)
    x = np.array([0.7, -0.4])
    there = law.backward(x).eval(mode="FAST_COMPILE")
    assert law.forward(there).eval(mode="FAST_COMPILE") == pytest.approx(x, rel=1e-12)
    assert (np.array([bounds[0], 0.0]) < there).all() and there[0] < bounds[1]
    up, down = (law.backward(x + h).eval(mode="FAST_COMPILE") for h in (1e-6, -1e-6))
    slope = np.exp(law.log_jac_det(pt.as_tensor(x)).eval(mode="FAST_COMPILE"))
    assert slope == pytest.approx((up - down) / 2e-6, rel=1e-6)


def test_a_statement_and_a_file_bring_them_back():
    told = model(MIXED)
    assert storage.revive(json.loads(storage.statement(told))) == told
    written = toml.written({"priors": {k: statement._written(v) for k, v in told.priors.items()}})
    read = statement.tomllib.loads(written)["priors"]
    assert {k: statement.prior(v, k) for k, v in read.items()} == told.priors


@pytest.mark.parametrize(("priors", "words"), [
    ({"cl": {"wt": P("Normal", mu=0, sigma=1)}},
     "no coefficient 'wt'; its coefficients are Intercept, log\\(wt / 70\\)"),
    ({"omega_id": {"q": P("HalfNormal", sigma=1)}}, "prior of omega_id: no coefficient 'q'; .* are cl, v, ka"),
    ({"theta_cl**2": P("Gamma", alpha=1, beta=1)}, "theta_cl is no SD, so it has no variance"),
    ({"omega_id": P("HalfNormal", sigma=1), "omega_id**2": P("Gamma", alpha=1, beta=1)}, "are one variable"),
    ({"cl": P("Flat"), "theta_cl": P("Flat")}, "cl and theta_cl are one variable"),
    ({"sigma_conc_a": {"x": P("HalfNormal", sigma=1)}}, "prior of sigma_conc_a: it is one number"),
    ({"cl": {"log(wt/70)": P("Flat")}}, "give all of them an improper prior, or none"),
    ({"omega_id**2": P("Normal", mu=0, sigma=1)}, "omega_id\\*\\*2: Normal.* has values from -inf to inf"),
    ({"omega_id": {"cl": P("Normal", mu=0, sigma=1)}}, "prior of omega_id\\[cl\\]: Normal.* has values from -inf"),
    ({"cl": {"log(wt/70)": P("Normal", mu=[1, 2], sigma=1)}}, "it is one number; got Normal"),
    ({"cl": {"log(wt/70)": P("Normal", mu=0, sigma=-1)}}, "theta_cl\\[log\\(wt/70\\)\\]: .* is no distribution"),
    ({"omega_id**3": P("HalfNormal", sigma=1)}, "no variable 'omega_id\\*\\*3' in the graph"),
])  # fmt: skip
def test_what_cannot_be_is_refused(priors, words):
    with pytest.raises(nb.ModelError, match=words):
        table(priors)


def test_the_command_line_states_them():
    said = arguments.said(
        {"prior": ["cl[log(wt/70)]=Normal(mu=0.75, sigma=0.1)", "omega_id**2=Gamma(alpha=1, beta=1)"]}
    )
    assert said["model"]["priors"] == {
        "cl": {"log(wt/70)": "Normal(mu=0.75, sigma=0.1)"}, "omega_id**2": "Gamma(alpha=1, beta=1)",
    }  # fmt: skip
    for bad in (["cl[I(a == 1)]=Flat()"], ["cl=Flat()", "cl[wt]=Flat()"], ["cl[wt]=Flat()", "cl=Flat()"]):
        with pytest.raises(ValueError, match="--prior"):
            arguments.said({"prior": bad})
