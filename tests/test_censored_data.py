"""Values below or above the limit of quantification, from the table to likelihood, forecast and picture."""

import json

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import integrate, stats

import nlmebayes as nb
from model_zoo import LinearMixed
from nlmebayes.evaluation.measurement import measure

LLOQ, MU, OMEGA, SIGMA = 1.5, 2.0, 1.2, 0.7
VALUES = [0.4, 3.1, 2.0, 0.9, 1.7, 4.0]
MODEL = nb.Model(LinearMixed(), "mu ~ 1 + (1|id)")


def study(values=VALUES, labels="aabbcc", **options):
    frame = pd.DataFrame({"id": list(labels), "y": values})
    return nb.Dataset.from_frame(frame, outcome="y", levels="id", **options)


def population(data):
    """A tree whose every draw has the stated population, as `fit` would leave it."""
    tree = nb.simulate(MODEL, data, draws=40, random_seed=0)
    prior = tree["prior"].to_dataset().copy(deep=True)
    for name, value in (("theta_mu", MU), ("omega_id", OMEGA), ("sigma_y_a", SIGMA)):
        prior[name][:] = value
    tree["posterior"] = xr.DataTree(prior)
    return tree


def exact(values, f, method):
    """Log-likelihood of M3 and M4 with SciPy."""
    below = np.asarray(values) < LLOQ
    law = stats.norm(f, SIGMA)
    if method == "M3":
        return np.where(below, law.logcdf(LLOQ), law.logpdf(values))
    inside = np.log(law.cdf(LLOQ) - law.cdf(0.0))
    return np.where(below, inside, law.logpdf(values)) - law.logsf(0.0)


@pytest.mark.parametrize("method", ["M3", "M4"])
def test_the_likelihood_is_that_of_scipy(method):
    data = study(lloq=LLOQ, blq=method)
    built = nb.build(MODEL, data)
    z = np.array([0.3, -0.5, 1.0])
    point = {"theta_mu": [MU], "omega_id_log__": [np.log(OMEGA)], "sigma_y_a_log__": np.log(SIGMA), "z_id": z[:, None]}
    found = built.compile_fn(built.logp(vars=[built["y"]], sum=False), mode="FAST_COMPILE")(point)[0]
    assert found == pytest.approx(exact(VALUES, MU + OMEGA * np.repeat(z, 2), method), rel=1e-9)


@pytest.mark.parametrize("method", ["M3", "M4"])
def test_predictions_carry_the_same_likelihood_and_the_limits(method):
    tree = population(study(lloq=LLOQ, blq=method))
    again = nb.predict(tree, random_seed=1)
    f = again["posterior"]["f_y"].to_numpy()[0]
    assert again["log_likelihood"]["y"].to_numpy()[0] == pytest.approx(exact(VALUES, f, method), rel=1e-9)
    assert again["constant_data"]["upper_y"].to_numpy() == pytest.approx(
        [LLOQ, np.nan, np.nan, LLOQ] + [np.nan] * 2, nan_ok=True
    )
    drawn = again["posterior_predictive"]["y"].to_numpy()
    assert (drawn > 0).all() == (method == "M4")


def test_m1_leaves_them_out_and_says_so():
    data = study(lloq=LLOQ, blq="M1")
    assert data.observations["value"].tolist() == [3.1, 2.0, 1.7, 4.0]
    assert "2 x y is below the limit of quantification (M1)" in repr(data)


@pytest.mark.parametrize("samples", [[1.0], [1.0, 1.2, 2.5]])
def test_a_forecast_from_censored_samples_is_exact(samples):
    """The posterior of one effect by quadrature."""
    tree = population(study(lloq=LLOQ))
    patient = study(samples, ["new"] * len(samples), lloq=LLOQ)
    forecast = nb.forecast(tree, patient, draws=8000, random_seed=1)

    def density(eta):
        return np.exp(exact(samples, MU + eta, "M3").sum()) * stats.norm.pdf(eta, 0, OMEGA)

    total, mean = (integrate.quad(lambda e, k=k: e**k * density(e), -12, 12)[0] for k in (0, 1))
    report = json.loads(forecast.attrs["nlmebayes_forecast"])
    values = forecast["posterior"]["mu"].to_numpy()
    assert values.mean() == pytest.approx(MU + mean / total, abs=4 * values.std() / np.sqrt(2000))
    assert report["log_evidence"] == pytest.approx(np.log(total), abs=0.05)


def test_the_predictive_check_shows_the_censored_fraction():
    frame = pd.DataFrame({"id": np.repeat(range(20), 3), "t": [0.0, 1.0, 2.0] * 20})
    frame["y"] = 3.0 - frame["t"] + 0.5 * np.sin(np.arange(60))
    data = nb.Dataset.from_frame(frame, outcome="y", levels="id", time="t", lloq=LLOQ)
    tree = population(data)
    figure = nb.plot.vpc(tree, x="t")
    fraction = figure.axes[1].lines[0].get_ydata()
    below = frame.groupby("t")["y"].apply(lambda y: (y < LLOQ).mean())
    assert fraction == pytest.approx(below.to_numpy())


@pytest.mark.parametrize("residual", [nb.Additive(), nb.Combined(), nb.StudentT()])
@pytest.mark.parametrize("draws", [1, 2])
def test_positive_measurements_are_drawn_from_the_truncated_law_of_any_number_of_samples(residual, draws):
    parts = {"a": 1.0, "b": 0.0, "nu": 1e6}
    s = {part: np.full(draws, parts[part]) for part in residual.priors(1.0)}
    drawn = measure(residual, np.full((draws, 4000), 0.5), s, np.random.default_rng(1), positive=True)
    assert stats.kstest(drawn.ravel(), stats.truncnorm(-0.5, np.inf, loc=0.5).cdf).pvalue > 0.001


def test_other_measurements_keep_their_limits():
    data = study(lloq=LLOQ).with_values(y=[9.0] * 6)
    assert data.observations["upper"].notna().tolist() == [True, False, False, True, False, False]


def test_m4_refuses_a_measurement_that_is_not_positive():
    with pytest.raises(nb.DataError, match="row 1"):
        study([-1.0, *VALUES[1:]], blq="M4")
