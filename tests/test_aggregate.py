"""Means beside individual data, and records left out because a covariate is missing."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import nlmebayes as nb
from model_zoo import LinearMixed
from nlmebayes.evaluation import measurement
from nlmebayes.formula.design import resolve
from nlmebayes.inference.starts import pilot
from nlmebayes.model.build import designed

FRAME = pd.DataFrame({
    "study": list("aabb"), "y": [1.0, 2.5, 2.0, 3.0], "n": [1.0, 1.0, 25.0, 16.0], "se": [np.nan, np.nan, 0.3, np.nan],
})  # fmt: skip


def outcome(residual, frame=FRAME):
    data = nb.Dataset.from_frame(frame, outcome="y", levels="study", inputs=("n", "se"))
    return resolve(nb.Model(LinearMixed(), "mu ~ 1", residual=residual), data).outcomes[0]


def test_a_mean_scatters_by_its_number_or_its_standard_error():
    residual = nb.Aggregate(nb.Combined(), n="n", error="se")
    f = np.array([[1.5, 2.0, 2.5, 3.5]])
    found = measurement.log_density(residual, f, {"a": np.array([0.4]), "b": np.array([0.1])}, outcome(residual))
    w = 0.4 + 0.1 * f[0]
    scatter = [w[0], w[1], 0.3, w[3] / 4]
    assert found[0] == pytest.approx(stats.norm(f[0], scatter).logpdf(FRAME["y"]), rel=1e-10)


def test_a_mean_tells_what_its_members_tell_together():
    """The likelihood of n measurements as a function of their mean is that of the mean, up to a constant."""
    one, mean = nb.Additive(), nb.Aggregate(n="n")
    members = pd.DataFrame({"study": "a", "y": [1.0, 2.0, 4.5], "n": 1.0, "se": np.nan})
    whole = pd.DataFrame({"study": ["a"], "y": [2.5], "n": [3.0], "se": [np.nan]})
    f, s = np.linspace(0, 5, 7)[:, None], {"a": np.full(7, 0.8)}
    each = measurement.log_density(one, np.tile(f, (1, 3)), s, outcome(one, members)).sum(axis=1)
    together = measurement.log_density(mean, f, s, outcome(mean, whole))[:, 0]
    assert np.ptp(each - together) == pytest.approx(0, abs=1e-10)


def test_a_meta_analysis_is_metafors():
    """13 trials of BCG (Colditz et al. 1994, JAMA 271, 698-702) as log risk ratios with their variances; rma's REML
    gives -0.7145 with tau^2 0.3132."""
    yi = np.array([-0.8893, -1.5854, -1.3481, -1.4416, -0.2175, -0.7861, -1.6209, 0.0120, -0.4694, -1.3713, -0.3394,
                   0.4459, -0.0173])  # fmt: skip
    vi = np.array([0.3256, 0.1946, 0.4154, 0.0200, 0.0512, 0.0069, 0.2230, 0.0040, 0.0564, 0.0730, 0.0124, 0.5325,
                   0.0714])  # fmt: skip
    frame = pd.DataFrame({"trial": np.arange(13), "y": yi, "se": np.sqrt(vi)})
    data = nb.Dataset.from_frame(frame, outcome="y", levels="trial")
    model = nb.Model(LinearMixed(), residual=nb.Aggregate(None, error="se"))
    found = pilot(model, designed(model, data))
    tau = np.linalg.norm(found.factor["trial"])
    weight = 1 / (vi + tau**2)
    assert found.theta["mu"][0] == pytest.approx((weight * yi).sum() / weight.sum(), abs=0.03)
    assert tau == pytest.approx(np.sqrt(0.3132), rel=0.2)
    assert found.theta["mu"][0] == pytest.approx(-0.7145, abs=0.06)


@pytest.mark.parametrize(
    ("residual", "frame", "message"),
    [
        (nb.Aggregate(n="n"), FRAME.assign(n=0.0), "row 1: y = 1, n = 0, to which Aggregate"),
        (nb.Aggregate(None, error="se"), FRAME, "row 1, column se: is missing"),
        (nb.Aggregate(error="se"), FRAME.assign(se=-1.0), "row 1: y = 1, error = -1, to which Aggregate"),
    ],
)
def test_impossible_means_are_named(residual, frame, message):
    data = nb.Dataset.from_frame(frame, outcome="y", levels="study", inputs=("n", "se"))
    with pytest.raises(ValueError, match=message):
        nb.build(nb.Model(LinearMixed(), "mu ~ 1", residual=residual), data)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "name the column of sample sizes"),
        ({"residual": None, "n": "n"}, "needs standard errors"),
        ({"residual": nb.Poisson(), "n": "n"}, "Aggregate: residual must be a normal residual"),
    ],
)
def test_options_are_checked(options, message):
    with pytest.raises(nb.ModelError, match=message):
        nb.Aggregate(**options)


def test_records_without_a_covariate_are_left_out_on_request_and_counted():
    frame = pd.DataFrame({"id": list("aabc"), "y": [1.0, 2.0, 3.0, np.nan], "x": [1.0, 1.0, np.nan, 2.0]})
    with pytest.raises(nb.DataError, match="row 3, column x: is missing, and"):
        nb.build(nb.Model(LinearMixed(), "mu ~ 1 + x"), nb.Dataset.from_frame(frame, outcome="y", levels="id"))
    data = nb.Dataset.from_frame(frame, outcome="y", levels="id", complete="x")
    assert data.excluded == {"y is missing": 1, "x is missing": 1}
    assert len(data.observations) == 2
    with pytest.raises(nb.DataError, match="no column 'z'"):
        nb.Dataset.from_frame(frame, outcome="y", levels="id", complete="z")
