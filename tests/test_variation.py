"""Variance by level, ICC, design effect, new units: beside marginal covariances, closed forms and brute force."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
from trees import stated

import nlmebayes as nb
from model_zoo import LinearMixed, LitterDecay, OneCompartment
from nlmebayes.summaries.moments import residual_moments


def only(variable, **labels):
    """The number of a single draw."""
    return variable.sel(**labels).to_numpy().ravel()


def test_the_icc_of_dyestuff_is_that_of_lme4():
    """lme4 1.1-31, REML: variances 1764.050 and 2451.250, ICC 0.4184874; six batches of five."""
    model = nb.Model(LinearMixed(), "mu ~ 1 + (1|Batch)")
    values = {"theta_mu": [1527.5], "omega_Batch": [42.00059531], "sigma_Yield_a": 49.51009997}
    found = nb.partition(stated(model, nb.datasets.dyestuff(), **values))
    assert only(found["icc"], level="Batch") == pytest.approx(0.4184874, abs=5e-8)
    assert only(found["design_effect"]) == pytest.approx(1 + 4 * 0.4184874, abs=1e-6)
    assert only(found["effective_size"]) == pytest.approx(30 / (1 + 4 * 0.4184874), abs=1e-6)


def test_levels_that_cross_have_an_icc_of_their_own():
    """Penicillin, lme4 1.1-31, REML: SDs 0.8467 (plate), 1.9316 (sample), 0.5499."""
    model = nb.Model(LinearMixed(), "mu ~ 1 + (1|plate) + (1|sample)")
    sd = np.array([0.8467025103, 1.9316137923, 0.5499226821])
    values = {"theta_mu": [23.0], "omega_plate": [sd[0]], "omega_sample": [sd[1]], "sigma_diameter_a": sd[2]}
    found = nb.partition(stated(model, nb.datasets.penicillin(), **values))
    assert only(found["variance"]) == pytest.approx(sd**2, rel=1e-9)
    assert only(found["icc"]) == pytest.approx(sd[:2] ** 2 / (sd**2).sum(), rel=1e-9)


def uneven(seed=3):
    """Sites with 1 to 4 subjects of 1 to 5 records, a covariate that varies from record to record."""
    rng = np.random.default_rng(seed)
    subjects = [(site, k) for site in "abcde" for k in range(rng.integers(1, 5))]
    rows = [(*who, x) for who in subjects for x in rng.normal(size=rng.integers(1, 6)).round(2)]
    frame = pd.DataFrame(rows, columns=["site", "id", "x"]).assign(y=0.0, device=rng.choice(["p", "q", "r"], len(rows)))
    return frame, nb.Dataset.from_frame(frame, outcome="y", levels=("site", "site/id"), duplicates="keep")


OMEGA_ID, CORR = np.array([0.8, 0.5]), np.array([[1.0, -0.4], [-0.4, 1.0]])
SLOPES = nb.Model(LinearMixed(), "mu ~ 1 + x + (1|site) + (1 + x|id) + (1|device)")
POPULATION = {
    "theta_mu": [3.0, 1.0], "omega_site": [1.1], "omega_id": OMEGA_ID, "corr_id": CORR, "omega_device": [0.6],
    "sigma_y_a": 0.7,
}  # fmt: skip


def covariances(frame):
    """Marginal covariance of all records by source, (source, record, record), record by record."""
    n, inner = len(frame), np.diag(OMEGA_ID) @ CORR @ np.diag(OMEGA_ID)
    found = np.zeros((4, n, n))
    for i, one in enumerate(frame.itertuples()):
        for j, other in enumerate(frame.itertuples()):
            if one.site == other.site:
                found[0, i, j] = 1.1**2
                found[1, i, j] = (one.id == other.id) * np.array([1, one.x]) @ inner @ np.array([1, other.x])
            found[2, i, j] = 0.6**2 * (one.device == other.device)
            found[3, i, j] = 0.7**2 * (i == j)
    return found


def test_the_partition_is_that_of_the_marginal_covariance():
    frame, data = uneven()
    found, expected = nb.partition(stated(SLOPES, data, **POPULATION)), covariances(frame)
    variance = np.array([np.trace(v) / len(frame) for v in expected])
    assert list(found["source"].to_numpy()) == ["site", "id", "device", "residual"]
    assert only(found["variance"]) == pytest.approx(variance, rel=1e-9)
    assert only(found["share"]).sum() == pytest.approx(1.0, rel=1e-12)
    assert only(found["icc"]) == pytest.approx(np.array([variance[0], variance[:2].sum(), variance[2]]) / sum(variance))
    whole = expected.sum(axis=0)
    assert only(found["design_effect"]) == pytest.approx(whole.sum() / np.trace(whole), rel=1e-9)


def test_simulation_agrees_where_delta_is_exact():
    _, data = uneven()
    tree = stated(SLOPES, data, **POPULATION)
    exact, simulated = (nb.partition(tree, method=m, random_seed=1)["variance"] for m in ("delta", "simulation"))
    assert only(simulated) == pytest.approx(only(exact), rel=0.05)


def test_rows_in_another_order_change_nothing():
    frame, data = uneven()
    other = nb.Dataset.from_frame(frame[::-1], outcome="y", levels=("site", "site/id"), duplicates="keep")
    one, two = (nb.partition(stated(SLOPES, d, **POPULATION)) for d in (data, other))
    for name in ("variance", "icc", "design_effect"):
        assert only(two[name]) == pytest.approx(only(one[name]), rel=1e-9)


@dataclass(frozen=True)
class Rate(nb.Curve):
    """A log-normal prediction."""

    parameters = (nb.Parameter("k", "1/day"),)

    def curve(self, p, x):
        return p.k


def lognormal(residual, **sigma):
    frame = pd.DataFrame({"site": ["a", "a", "b", "b"], "id": [1, 2, 3, 4], "y": 1.0})
    data = nb.Dataset.from_frame(frame, outcome="y", levels=("site", "id"))
    model = nb.Model(Rate(), "k ~ 1 + (1|site/id)", residual=residual)
    return stated(model, data, theta_k=[0.5], omega_site=[0.4], omega_id=[0.3], **sigma)


def test_a_log_normal_rate_has_the_variances_of_nested_log_normals():
    """E[y | site] = exp(m + u + 0.3^2 / 2), and so on outwards; the mean of y^2 is that of a log-normal, too."""
    found = only(nb.partition(lognormal(nb.Proportional(), sigma_y_b=0.2), random_seed=1)["variance"])
    site = np.exp(1.0 + 0.16 + 0.09) * np.expm1(0.16)
    both = np.exp(1.0 + 0.16 + 0.09) * np.expm1(0.16 + 0.09)
    square = np.exp(1.0 + 2 * (0.16 + 0.09))
    assert found == pytest.approx([site, both - site, 0.2**2 * square], rel=0.05)


def test_a_log_normal_measurement_is_split_on_the_scale_of_the_outcome():
    found = only(nb.partition(lognormal(nb.LogNormal(), sigma_y_a=0.2), random_seed=1)["variance"])
    total = np.exp(1.0 + 0.29) * np.expm1(0.29)
    assert found.sum() == pytest.approx(total, rel=0.03)
    assert found[2] == pytest.approx(np.exp(1.0 + 0.5 + 0.04) * np.expm1(0.04), rel=0.05)


def test_the_variance_of_student_errors_is_known_and_infinite_up_to_two_degrees():
    found = [only(nb.partition(lognormal(nb.StudentT(), sigma_y_a=0.2, sigma_y_nu=nu), method="delta")["variance"])[2]
             for nu in (5.0, 2.0)]  # fmt: skip
    assert found == [pytest.approx(0.2**2 * 5 / 3), np.inf]


def test_delta_is_the_slope_of_the_curve():
    """d exp(-k t) / d log k = -k t exp(-k t)."""
    frame = pd.DataFrame({"site": ["a", "a", "b", "b"], "plot": [1, 2, 3, 4], "t": [1.0, 2.0, 4.0, 8.0], "y": 1.0})
    data = nb.Dataset.from_frame(frame, outcome="y", time="t", levels=("site", "plot"))
    tree = stated(nb.Model(LitterDecay()), data, theta_k=[-1.5], omega_site=[0.4], omega_plot=[0.15], sigma_y_a=0.1)
    found = only(nb.partition(tree, method="delta")["variance"])
    kt = np.exp(-1.5) * frame["t"].to_numpy()
    slope = (kt * np.exp(-kt)) ** 2
    assert found == pytest.approx([0.16 * slope.mean(), 0.0225 * slope.mean(), 0.01], rel=1e-6)


def population_of_draws(data, model=SLOPES):
    return stated(model, data, draws=4000, seed=2)


def test_predictive_variance_of_new_units_is_that_of_replicated_studies():
    """Against the spread of measurements drawn anew, with all draws of the prior as a population; 2 % of noise."""
    _, data = uneven()
    tree = stated(SLOPES, data, draws=4000, seed=2, sigma_y_a=0.7, omega_device=[0.6])
    table = nb.new_unit(tree, draws=4000)
    drawn = nb.predict(tree, redraw=True, random_seed=1)["posterior_predictive"]["y"]
    assert list(table.index) == ["estimates", "site", "id", "device", "residual", "total"]
    assert table.loc["total", "variance"] == pytest.approx(drawn.var(("chain", "draw")).mean().item(), rel=0.03)
    assert table["share"].iloc[:-1].sum() == pytest.approx(1.0, rel=1e-12)


def test_a_new_patient_at_a_known_site_leaves_out_the_variance_among_sites():
    frame, data = uneven()
    tree = stated(SLOPES, data, draws=4000, seed=2, sigma_y_a=0.7, omega_device=[0.6])
    patient = frame.iloc[:1].assign(id="new", y=np.nan)
    patient = nb.Dataset.from_frame(patient, outcome="y", levels=("site", "site/id"), unmeasured="predict")
    table = nb.new_unit(tree, patient, draws=4000)
    drawn = nb.predict(tree, patient, random_seed=1)["posterior_predictive"]["y"]
    assert table.loc[["site", "device"], "variance"].tolist() == [0.0, 0.0]
    assert table.loc["total", "variance"] == pytest.approx(drawn.var(("chain", "draw")).item(), rel=0.05)


def test_occasions_of_a_patient_under_doses_are_split_by_simulation():
    """The whole is the spread of measurements drawn anew."""
    frame = pd.DataFrame({"id": np.repeat([1, 2, 3], 4), "time": [2.0, 8.0, 26.0, 32.0] * 3, "conc": 1.0})
    frame["occ"] = 1 + frame["time"] // 24
    doses = pd.DataFrame({"id": [1, 2, 3], "time": 0.0, "amt": 100.0, "addl": 1, "ii": 24.0})
    data = nb.Dataset.from_frame(
        frame, outcome="conc", time="time", levels=("id", "id/occ"), doses=doses.assign(occ=1), subject="id"
    )
    model = nb.Model(OneCompartment(), "cl ~ 1 + (1|id/occ)", "v ~ 1 + (1|id)", residual=nb.Proportional())
    values = {"theta_cl": [1.0], "theta_v": [3.0], "omega_id": [0.3, 0.2], "omega_occ": [0.2], "sigma_conc_b": 0.1}
    tree = stated(model, data, draws=40, **values)
    table = nb.new_unit(tree, random_seed=1)
    drawn = nb.predict(stated(model, data, draws=4000, **values), redraw=True, random_seed=2)
    spread = drawn["posterior_predictive"]["conc"].var(("chain", "draw")).mean().item()
    assert table.loc["total", "variance"] == pytest.approx(spread, rel=0.06)
    assert (table["variance"].drop("estimates") > 0).all()


def test_intervals_are_those_of_the_draws():
    _, data = uneven()
    share = nb.partition(stated(SLOPES, data, draws=200))["share"]
    table, site = nb.intervals(share, 0.8), share.sel(source="site").to_numpy().ravel()
    assert list(table.columns) == ["mean", "sd", "median", "eti_lb", "eti_ub"]
    expected = [site.mean(), site.std(), *np.quantile(site, [0.5, 0.1, 0.9])]
    assert table.loc["site"].tolist() == pytest.approx(expected)


@dataclass(frozen=True)
class Unknown(nb.Residual):
    """A residual that says nothing of its moments."""

    def priors(self, scale):
        return {"a": nb.Prior("HalfNormal", sigma=1.0)}

    def likelihood(self, f, s):
        return nb.Additive().likelihood(f, s)


@pytest.mark.parametrize(
    ("residual", "options", "words"),
    [
        (nb.Proportional(), {"outcome": "z"}, "no outcome 'z' in the data; there are y"),
        (nb.Proportional(), {"method": "guess"}, "method must be 'delta' or 'simulation' or None; got 'guess'"),
        (Unknown(), {}, "its mean and variance are not known here"),
    ],
)
def test_what_cannot_be_split_is_refused(residual, options, words):
    with pytest.raises(ValueError, match=words):
        nb.partition(lognormal(residual), **options)


@pytest.mark.parametrize(
    ("residual", "parts", "variance"),
    [
        (nb.Bernoulli(), {}, 0.3 * 0.7),
        (nb.Binomial(n=12), {}, 0.3 * 0.7 / 12),
        (nb.Poisson(), {}, 0.3),
        (nb.Poisson(exposure=4.0), {}, 0.3 / 4.0),
        (nb.NegativeBinomial(), {"a": 0.8}, 0.3 + (0.8 * 0.3) ** 2),
        (nb.Gamma(), {"a": 0.8}, (0.8 * 0.3) ** 2),
    ],
    ids=lambda x: type(x).__name__,
)
def test_variances_of_families_are_those_of_their_law(residual, parts, variance):
    """Of the mean, the proportion, or the rate."""
    s = {k: np.array([[v]]) for k, v in parts.items()}
    s |= {k: np.array([[float(v)]]) for k, v in residual.columns.items()}
    _, found = residual_moments(residual, np.full((1, 2), 0.3), s)
    assert found == pytest.approx(np.full((1, 2), variance), rel=1e-9)
