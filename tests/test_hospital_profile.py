"""`HospitalProfile`: the risk itself, lme4's printed estimates, and how far a small hospital is drawn to the others."""

import numpy as np
import pandas as pd
import pytest
from laws import slopes, values
from scipy import special, stats

import nlmebayes as nb
from model_zoo import HospitalProfile
from nlmebayes.inference.starts import pilot
from nlmebayes.model.build import designed


def risk(risk):
    return risk


def test_the_curve_is_its_formula():
    found, expected = values(HospitalProfile(), risk)
    assert found == pytest.approx(expected, rel=1e-12)
    found, expected = slopes(HospitalProfile(), risk)
    assert found == pytest.approx(expected, rel=1e-4, abs=1e-6)


def test_cattle_of_lme4():
    """glmer on cbpp, 25 quadrature points (printed by lme4 1.1): the pilot is within half a standard error."""
    model = nb.Model(HospitalProfile(), "risk ~ 1 + period + (1|herd)", residual=nb.Binomial("size"),
                     priors={"theta_risk": nb.Prior("Normal", mu=0, sigma=10)})  # fmt: skip
    found = pilot(model, designed(model, nb.datasets.cbpp(), measured=True))
    estimate, error = [-1.3992, -0.9914, -1.1278, -1.5795], [0.2335, 0.3068, 0.3268, 0.4276]
    assert (found.theta["risk"] - estimate) / error == pytest.approx(0, abs=0.5)
    assert np.linalg.norm(found.factor["herd"]) == pytest.approx(0.6475, abs=0.1)


@pytest.mark.parametrize(("y", "n"), [(2.0, 4.0), (50.0, 100.0)])
def test_a_hospital_is_drawn_to_the_others_by_as_much_as_quadrature_says(y, n):
    model = nb.Model(HospitalProfile(), "risk ~ 1 + (1|hospital)", residual=nb.Binomial("n"))
    tree = nb.population(model, theta={"risk": 0.2}, omega={"sd": {"risk": 0.4}}, sigma={}, outcome="y")
    frame = pd.DataFrame({"hospital": "new", "y": [y], "n": [n]})
    one = nb.Dataset.from_frame(frame, outcome="y", levels="hospital")
    found = nb.forecast(tree, one, random_seed=1, unusual="warn")["posterior"]["risk"].to_numpy()
    eta = np.linspace(-4, 4, 4001)
    p = special.expit(special.logit(0.2) + eta)
    weight = stats.norm(0, 0.4).pdf(eta) * stats.binom(n, p).pmf(y)
    assert found.mean() == pytest.approx((p * weight).sum() / weight.sum(), rel=0.02)
