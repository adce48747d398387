"""`LinearMixed`: the prediction is the linear predictor, and the priors follow the data."""

import re

import numpy as np
import pandas as pd
import pytest
from laws import records, slopes, values

from model_zoo import LinearMixed
from nlmebayes.data.dataset import Dataset
from nlmebayes.evaluation.evaluator import evaluator
from nlmebayes.formula.design import resolve
from nlmebayes.model.build import build
from nlmebayes.model.model import Model
from nlmebayes.model.priors import priors
from nlmebayes.parameter.parameter import Prior


def linear(mu):
    return mu


def test_the_curve_is_its_formula():
    found, expected = values(LinearMixed(), linear)
    assert found == pytest.approx(expected, rel=1e-12)


def test_slopes_are_those_of_finite_differences():
    found, expected = slopes(LinearMixed(), linear)
    assert found == pytest.approx(expected, rel=1e-4, abs=1e-6)


def test_records_are_reached_through_formulas_and_units():
    found, expected = records(LinearMixed(), linear)
    assert found == pytest.approx(expected, rel=1e-12)


def test_fixed_and_random_effects_add_up_by_hand():
    frame = pd.DataFrame({"id": [1, 1, 2], "x": [0.0, 2.0, 5.0], "y": [1.0, 2.0, 3.0]})
    data = Dataset.from_frame(frame, outcome="y", levels="id")
    model = Model(LinearMixed(), "mu ~ 1 + x + (1 + x|id)")
    eta = {"id": np.array([[[0.5, 0.1], [-1.0, 0.2]]])}
    _, f, _ = evaluator(model, resolve(model, data))({"mu": np.array([[10.0, 3.0]])}, eta)
    assert f["y"][0] == pytest.approx([10.5, 10.5 + 2 * 3.1, 9.0 + 5 * 3.2], rel=1e-14)


SITES = pd.DataFrame(
    {
        "site": ["a", "a", "a", "b", "b", "b"],
        "id": ["u", "u", "w", "y", "z", "z"],
        "x": [0.0, 2.0, 5.0, 1.0, 1.0, 4.0],
        "sex": ["f", "f", "m", "m", "f", "f"],
        "y": [1.0, 2.0, 3.0, 8.0, 4.0, 6.0],
    }
)


def test_the_prediction_is_x_theta_and_z_eta_of_every_level_for_every_draw():
    """Laird and Ware (1982), eq. 2.1, with X and Z written out: three draws, two levels, a slope in the inner one."""
    rng = np.random.default_rng(1)
    model = Model(LinearMixed(), "mu ~ 1 + x + sex + (1|site) + (1 + x|id)")
    data = Dataset.from_frame(SITES, outcome="y", levels=("site", "id"))
    theta, site, subject = rng.normal(size=(3, 3)), rng.normal(size=(3, 2, 1)), rng.normal(size=(3, 4, 2))
    _, f, _ = evaluator(model, resolve(model, data))({"mu": theta}, {"site": site, "id": subject})
    one, x = np.ones(6), SITES["x"].to_numpy()
    fixed = np.column_stack([one, x, SITES["sex"] == "m"])
    of_site = np.array([[1, 0], [1, 0], [1, 0], [0, 1], [0, 1], [0, 1]])
    of_subject = np.array([[1, 0, 0, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1], [0, 0, 0, 1]])
    random = site[..., 0] @ of_site.T + subject[..., 0] @ of_subject.T + subject[..., 1] @ (of_subject * x[:, None]).T
    assert f["y"] == pytest.approx(theta @ fixed.T + random, rel=1e-13)


def test_without_random_effects_it_is_least_squares():
    """The posterior mode under flat priors, where the gradient of the log-density vanishes."""
    flat = {"theta_mu": Prior("Flat"), "sigma_y_a": Prior("HalfFlat")}
    data = Dataset.from_frame(SITES, outcome="y", levels="id")
    built = build(Model(LinearMixed(), "mu ~ 1 + x", priors=flat), data)
    fitted, (squares,), *_ = np.linalg.lstsq(np.column_stack([np.ones(6), SITES["x"]]), SITES["y"], rcond=None)
    gradient = built.compile_dlogp(jacobian=False, mode="FAST_COMPILE")
    slope = gradient({"theta_mu": fitted, "sigma_y_a_log__": np.array(np.log(np.sqrt(squares / 6)))})
    assert slope == pytest.approx(np.zeros(3), abs=1e-10)


def priors_of(frame):
    """The numbers of the default priors, e.g. mean and SD, by variable and coordinate."""
    model = Model(LinearMixed(), "mu ~ 1 + x + (1 + x|id)")
    table = priors(model, Dataset.from_frame(frame, outcome="y", levels="id"))
    keys = zip(table["variable"], table["coordinate"], strict=True)
    return {
        key: [float(n) for n in re.findall(r"=([^,)]+)", text)] for key, text in zip(keys, table["prior"], strict=True)
    }


PAIRS = pd.DataFrame({"id": [1, 1, 2, 2], "x": [0.0, 1.0, 0.0, 4.0], "y": [1.0, 2.0, 3.0, 8.0]})


def test_default_priors_are_those_of_the_docstring():
    """At the mean of x Normal(mean, 2.5 SD) and HalfNormal(SD), a slope per SD of x, and at 0 what follows of both."""
    sd, sd_x = PAIRS["y"].std(ddof=0), PAIRS["x"].std(ddof=0)
    away = np.hypot(1, PAIRS["x"].mean() / sd_x)
    found = priors_of(PAIRS)
    assert found["theta_mu", "Intercept"] == pytest.approx([3.5, 2.5 * sd * away], rel=5e-3)
    assert found["theta_mu", "x"] == pytest.approx([0.0, 2.5 * sd / sd_x], rel=5e-3)
    scales = [found[key][-1] for key in (("omega_id", "mu"), ("omega_id", "mu:x"), ("sigma_y_a", ""))]
    assert scales == pytest.approx([sd * away, sd / sd_x, sd], rel=5e-3)


SCALED = [("theta_mu", "Intercept"), ("theta_mu", "x"), ("omega_id", "mu"), ("omega_id", "mu:x"), ("sigma_y_a", "")]


def test_default_priors_have_the_scale_of_the_data():
    one, ten = priors_of(PAIRS), priors_of(PAIRS.assign(y=10 * PAIRS["y"]))
    assert set(SCALED) <= set(one)
    for key in SCALED:
        assert ten[key][-1] == pytest.approx(10 * one[key][-1], rel=1e-5)
    assert ten["theta_mu", "Intercept"][0] == pytest.approx(10 * one["theta_mu", "Intercept"][0], rel=1e-5)


def test_default_priors_follow_the_unit_of_a_covariate():
    one, ten = priors_of(PAIRS), priors_of(PAIRS.assign(x=10 * PAIRS["x"]))
    for key in SCALED:
        factor = 0.1 if "x" in key[1] else 1.0
        assert ten[key][-1] == pytest.approx(factor * one[key][-1], rel=1e-5)


def test_only_the_mean_follows_a_shift_of_the_data():
    one, moved = priors_of(PAIRS), priors_of(PAIRS.assign(y=PAIRS["y"] + 10_000))
    assert moved["theta_mu", "Intercept"][0] == 10_003.5
    assert [moved[key][-1] for key in SCALED] == [one[key][-1] for key in SCALED]


def test_a_formula_of_the_outcome_is_told_what_it_is_of():
    """As in lme4 and brms, where it stands on the left."""
    with pytest.raises(ValueError, match=r"no parameter 'y' in LinearMixed; .* mu\. An outcome is named"):
        Model(LinearMixed(), "y ~ 1 + x + (1|id)")
