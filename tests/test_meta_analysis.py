"""`MetaAnalysis`: formulas, slopes, limits, and what metafor prints of the BCG trials."""

import numpy as np
import pandas as pd
import pytest
from arviz_stats import mcse
from laws import curve, records, slopes, values
from mixed import agrees
from scipy import stats
from trees import stated

import nlmebayes as nb
from model_zoo import MetaAnalysis


def effect(mu):
    return mu


def dose_response(e0, emax, ed50, dose):
    return e0 + emax * dose / (ed50 + dose)


EVERY = pytest.mark.parametrize(
    ("structure", "law"), [(MetaAnalysis(), effect), (MetaAnalysis("dose"), dose_response)], ids=["effect", "dose"]
)


@EVERY
def test_the_curve_is_its_formula(structure, law):
    found, expected = values(structure, law)
    assert found == pytest.approx(expected, rel=1e-12)


@EVERY
def test_slopes_are_those_of_finite_differences(structure, law):
    found, expected = slopes(structure, law)
    assert found == pytest.approx(expected, rel=1e-4, abs=1e-6)


@EVERY
def test_records_are_reached_through_formulas_and_units(structure, law):
    found, expected = records(structure, law)
    assert found == pytest.approx(expected, rel=1e-12)


def arms():
    """Three arms of three studies, exposure and response."""
    frame = pd.DataFrame({"study": np.repeat(["a", "b", "c"], 3), "dose": [0.0, 10.0, 40.0] * 3})
    frame = frame.assign(exposure=1.0, response=2.0)
    return nb.Dataset.from_frame(frame, outcome=("exposure", "response"), levels="study", inputs=["dose"])


CHAIN = {
    "theta_cl": [np.log(2.0)], "theta_e0": [1.0], "theta_emax": [8.0], "theta_ec50": [np.log(5.0)],
    "omega_study": [1e-9] * 3, "sigma_exposure_a": 0.1, "sigma_response_a": 0.1,
}  # fmt: skip


def test_the_response_follows_the_exposure_and_the_exposure_the_dose():
    tree = stated(nb.Model(MetaAnalysis("exposure")), arms(), **CHAIN)
    exposure, response = (tree["prior"][f"f_{name}"].to_numpy().ravel()[:3] for name in ("exposure", "response"))
    assert exposure == pytest.approx([0.0, 5.0, 20.0], abs=1e-6)
    assert response == pytest.approx([1.0, 5.0, 1.0 + 8.0 * 20 / 25], abs=1e-6)


def test_placebo_is_the_response_without_a_dose():
    value, _ = curve(MetaAnalysis("dose"))(e0=3.0, emax=-5.0, ed50=10.0, dose=[0.0, 10.0, 1e12])
    assert value == pytest.approx([3.0, 0.5, -2.0])


KNOWN = nb.Aggregate(None, error="se")
PRIORS = {"theta_mu": nb.Prior("Normal", mu=0.0, sigma=1.0), "omega_study": nb.Prior("HalfNormal", sigma=0.5)}


def trials(studies=9, seed=2):
    """Effects of studies with known standard errors."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"study": np.arange(studies), "se": rng.uniform(0.1, 0.5, studies).round(2)})
    effects = rng.normal(-0.4, np.hypot(0.4, frame["se"])).round(3)
    return frame.assign(effect=effects)


@pytest.fixture(scope="module")
def tree():
    data = nb.Dataset.from_frame(trials(), outcome="effect", levels="study")
    model = nb.Model(MetaAnalysis(), residual=KNOWN, priors=PRIORS)
    return nb.fit(model, data, draws=1000, tune=500, chains=2, target_accept=0.95, random_seed=1, progressbar=False)


def test_average_and_spread_are_those_of_quadrature(tree):
    """The posterior on a grid, with the effects of the studies integrated out: y ~ Normal(mu, sqrt(tau^2 + se^2))."""
    frame, mu, tau = trials(), np.linspace(-2, 1.2, 321)[:, None, None], np.linspace(0, 2.5, 251)[None, :, None]
    density = stats.norm.logpdf(frame["effect"].to_numpy(), mu, np.hypot(tau, frame["se"].to_numpy())).sum(axis=-1)
    density += stats.norm.logpdf(mu[..., 0], 0, 1) + stats.halfnorm.logpdf(tau[..., 0], scale=0.5)
    weight = np.exp(density - density.max())
    weight /= weight.sum()
    for name, at in (("theta_mu", mu[..., 0]), ("omega_study", tau[..., 0])):
        drawn, mean = tree["posterior"][name].squeeze(drop=True), (weight * at).sum()
        assert abs(drawn.mean() - mean) < 4 * mcse(drawn)
        assert drawn.std() == pytest.approx(np.sqrt((weight * (at - mean) ** 2).sum()), rel=0.1)


def test_i2_sets_the_spread_of_studies_beside_a_typical_error():
    """The numbers of metafor for the BCG trials, with the sampling variance that they imply."""
    data = nb.Dataset.from_frame(trials(), outcome="effect", levels="study")
    model = nb.Model(MetaAnalysis(), residual=KNOWN, priors=PRIORS)
    known = stated(model, data, theta_mu=[-0.714532], omega_study=[np.sqrt(0.313243)])
    typical = 0.313243 * (1 / 0.9222 - 1)
    found = MetaAnalysis().heterogeneity(known, np.full(13, np.sqrt(typical)))
    assert found["i2"].item() == pytest.approx(0.9222, abs=1e-6)
    assert found["positive"].item() == pytest.approx(stats.norm.cdf(-0.714532 / 0.559681), abs=1e-5)


@pytest.mark.external
@pytest.mark.parametrize(
    ("formula", "printed"),
    [
        ("mu ~ 1 + (1|trial)", {"mu": -0.714532, "omega_trial mu": 0.559681}),
        ("mu ~ 1 + ablat + (1|trial)", {"mu": 0.251464, "mu: ablat": -0.029102, "omega_trial mu": 0.276324}),
    ],
)
def test_bcg_trials_agree_with_metafor(external, formula, printed):
    """metafor, REML: log risk ratios of 13 trials, alone and on latitude."""
    frame = pd.read_csv(f"{external}/bcg.csv").assign(se=lambda x: np.sqrt(x["vi"]))
    data = nb.Dataset.from_frame(frame, outcome="yi", levels="trial")
    model = nb.Model(MetaAnalysis(), formula, residual=KNOWN)
    tree = nb.fit(model, data, draws=1000, target_accept=0.95, random_seed=1, progressbar=False)
    agrees(tree, printed)
    if "ablat" not in formula:
        found = MetaAnalysis().heterogeneity(tree, frame["se"], study="trial")
        assert abs(found["i2"].mean() - 0.9222) < 2 * found["i2"].std()
