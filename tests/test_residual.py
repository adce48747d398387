"""Residuals: densities against SciPy, gradients, draws and default priors."""

from types import SimpleNamespace

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
import pytest
from scipy import integrate, stats

from nlmebayes.evaluation import measurement
from nlmebayes.evaluation.measurement import measure
from nlmebayes.outcomes.residual import Additive, Combined, LogNormal, Power, Proportional, StudentT, scale_of
from nlmebayes.parameter.parameter import Prior

# Residual, its parts, and its distribution in SciPy's terms.
CASES = {
    "additive": (Additive(), {"a": 0.7}, lambda f, a: stats.norm(f, a)),
    "proportional": (Proportional(), {"b": 0.2}, lambda f, b: stats.norm(f, b * np.abs(f))),
    "combined sd": (Combined(), {"a": 0.3, "b": 0.1}, lambda f, a, b: stats.norm(f, a + b * np.abs(f))),
    "combined variance": (
        Combined("variance"), {"a": 0.3, "b": 0.1}, lambda f, a, b: stats.norm(f, np.sqrt(a**2 + b**2 * f**2))
    ),
    "power": (Power(), {"b": 0.2, "c": 0.6}, lambda f, b, c: stats.norm(f, b * np.abs(f) ** c)),
    "log-normal": (LogNormal(), {"a": 0.4}, lambda f, a: stats.lognorm(a, scale=f)),
    "student": (StudentT(), {"a": 0.7, "nu": 6.0}, lambda f, a, nu: stats.t(nu, f, a)),
}  # fmt: skip
EVERY = pytest.mark.parametrize(("residual", "parts", "law"), CASES.values(), ids=list(CASES))
NAMES = pytest.mark.parametrize("name", CASES)
AT_ZERO = ["additive", "combined sd", "combined variance", "student"]  # those with a density at f = 0


def log_density(residual, f, s, values):
    """Log-density of measurements none of which is censored, (sample, record)."""
    values = np.asarray(values, dtype=float)
    none = np.full(values.shape, np.nan)
    measured = SimpleNamespace(values=values, lower=none, upper=none, censored=np.isfinite(none))
    return measurement.log_density(residual, f, s, measured)


def gradient(residual, f, parts, value):
    """Slopes of the log-density in the prediction and in each part."""
    at = {"f": pt.dscalar("f")} | {part: pt.dscalar(part) for part in parts}
    s = SimpleNamespace(**{part: at[part] for part in parts})
    density = pm.logp(residual.likelihood(at["f"], s), np.float64(value))
    slopes = pytensor.function(list(at.values()), pytensor.grad(density, list(at.values())), mode="FAST_COMPILE")
    return np.array(slopes(f, *parts.values()))


# --- densities -------------------------------------------------------------------------------------------------------


@EVERY
def test_densities_are_those_of_scipy(residual, parts, law):
    rng = np.random.default_rng(3)
    f, values = rng.uniform(0.1, 20, (5, 8)), rng.uniform(0.1, 20, 8)
    s = {part: value * rng.uniform(0.5, 2, 5) for part, value in parts.items()}
    expected = law(f, *(column[:, None] for column in s.values())).logpdf(values)
    assert log_density(residual, f, s, values) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("name", [name for name in CASES if name != "log-normal"])
def test_a_negative_prediction_scatters_by_its_size(name):
    residual, parts, law = CASES[name]
    s = {part: np.array([value]) for part, value in parts.items()}
    expected = law(np.array([-3.0]), *parts.values()).logpdf([-2.5])
    assert log_density(residual, np.array([[-3.0]]), s, [-2.5])[0] == pytest.approx(expected)


@NAMES
def test_densities_integrate_to_one(name):
    residual, parts, _ = CASES[name]
    grid = np.linspace(1e-6 if residual.positive else -60, 70, 200_001)
    s = {part: np.array([value]) for part, value in parts.items()}
    density = np.exp(log_density(residual, np.full((1, grid.size), 4.0), s, grid))[0]
    assert np.trapezoid(density, grid) == pytest.approx(1, abs=1e-4)


def test_the_two_combined_forms_meet_where_one_part_is_alone():
    f, values = np.linspace(1, 9, 5)[None], np.linspace(2, 8, 5)
    for a, b in [(0.5, 1e-12), (1e-12, 0.5)]:
        s = {"a": np.array([a]), "b": np.array([b])}
        assert log_density(Combined("sd"), f, s, values) == pytest.approx(
            log_density(Combined("variance"), f, s, values)
        )


def test_simpler_residuals_are_limits_of_richer_ones():
    f, values, a, b = np.linspace(1, 9, 5)[None], np.linspace(2, 8, 5), np.array([0.7]), np.array([0.2])
    additive = log_density(Additive(), f, {"a": a}, values)
    proportional = log_density(Proportional(), f, {"b": b}, values)
    assert log_density(StudentT(), f, {"a": a, "nu": np.array([1e9])}, values) == pytest.approx(additive)
    assert log_density(Power(), f, {"b": b, "c": np.array([1.0])}, values) == pytest.approx(proportional)
    assert log_density(Power(), f, {"b": a, "c": np.array([0.0])}, values) == pytest.approx(additive)


@EVERY
def test_a_change_of_unit_costs_its_jacobian(residual, parts, law):
    unit, f, value = 1000.0, np.array([[4.0]]), np.array([3.0])
    scaled = {"a": unit} if not residual.positive else {}
    scaled |= {"b": unit ** (1 - parts["c"])} if "c" in parts else {}
    one = log_density(residual, f, {k: np.array([v]) for k, v in parts.items()}, value)
    other = log_density(
        residual, unit * f, {k: np.array([v * scaled.get(k, 1)]) for k, v in parts.items()}, unit * value
    )
    assert other == pytest.approx(one - np.log(unit))


@pytest.mark.parametrize("value", [0.0, -1.0])
def test_log_normal_measurements_are_positive(value):
    assert LogNormal().positive
    assert log_density(LogNormal(), np.array([[2.0]]), {"a": np.array([0.4])}, [value]) == -np.inf


def test_combined_has_two_forms():
    with pytest.raises(ValueError, match=r"Combined: no form 'var'; forms are 'sd' \(a \+ b f\) and 'variance'"):
        Combined("var")


# --- gradients -------------------------------------------------------------------------------------------------------


@NAMES
@pytest.mark.parametrize("f", [0.05, 4.0])
def test_gradients_are_those_of_finite_differences(name, f):
    residual, parts, law = CASES[name]
    at, h = np.array([f, *parts.values()]), 1e-6
    steps = np.diag(h * at)
    difference = [(law(*(at + d)).logpdf(3.0) - law(*(at - d)).logpdf(3.0)) / (2 * d.sum()) for d in steps]
    assert gradient(residual, f, parts, 3.0) == pytest.approx(np.array(difference), rel=1e-5)


@pytest.mark.parametrize("name", AT_ZERO)
def test_gradients_at_a_prediction_of_zero_are_finite(name):
    residual, parts, law = CASES[name]
    found = gradient(residual, 0.0, parts, 0.4)
    assert np.isfinite(found).all()
    h = 1e-6
    difference = (law(h, *parts.values()).logpdf(0.4) - law(-h, *parts.values()).logpdf(0.4)) / (2 * h)
    assert found[0] == pytest.approx(difference, rel=1e-5)


def test_a_power_below_one_has_finite_gradients_close_to_zero():
    assert np.isfinite(gradient(Power(), 1e-8, {"b": 0.2, "c": 0.6}, 0.0)).all()


# --- tails -----------------------------------------------------------------------------------------------------------


@EVERY
def test_tails_are_those_of_scipy(residual, parts, law):
    f, y = np.array([0.1, 1.0, 5.0, 20.0]), np.array([[0.5], [3.0], [11.0]])
    found = [t.eval(mode="FAST_COMPILE") for t in residual.log_tails(pt.as_tensor(f), SimpleNamespace(**parts), y)]
    expected = law(f, *parts.values()).logcdf(y), law(f, *parts.values()).logsf(y)
    assert found[0] == pytest.approx(expected[0], rel=1e-9, abs=1e-14)
    assert found[1] == pytest.approx(expected[1], rel=1e-9, abs=1e-14)


@EVERY
def test_everything_lies_between_minus_infinity_and_infinity(residual, parts, law):
    f, s = pt.as_tensor([0.0, 1e-300, 2.0]), SimpleNamespace(**parts)
    for y, below, above in [(-np.inf, -np.inf, 0.0), (np.inf, 0.0, -np.inf)]:
        found = [t.eval(mode="FAST_COMPILE") for t in residual.log_tails(f, s, y)]
        assert (found[0] == below).all()
        assert (found[1] == above).all()


# --- draws -----------------------------------------------------------------------------------------------------------

N = 40_000


@pytest.mark.parametrize("name", [name for name in CASES if name != "log-normal"])
def test_draws_have_the_moments_of_their_law(name):
    residual, parts, law = CASES[name]
    f = np.tile([2.0, 9.0], (N, 1))
    drawn = measure(residual, f, {part: np.full(N, value) for part, value in parts.items()}, np.random.default_rng(5))
    expected = law(f[0], *parts.values())
    assert drawn.mean(axis=0) == pytest.approx(expected.mean(), abs=5 * expected.std().max() / np.sqrt(N))
    assert drawn.std(axis=0) == pytest.approx(expected.std(), rel=0.04)


def test_log_normal_draws_have_the_prediction_as_their_median():
    drawn = np.log(measure(LogNormal(), np.full((N, 1), 9.0), {"a": np.full(N, 0.4)}, np.random.default_rng(5)))
    assert drawn.mean() == pytest.approx(np.log(9), abs=5 * 0.4 / np.sqrt(N))
    assert drawn.std() == pytest.approx(0.4, rel=0.02)


@NAMES
def test_draws_are_independent_and_each_has_its_own_parts(name):
    residual, parts, _ = CASES[name]
    s = {part: np.repeat([value, value * (1 if part in ("nu", "c") else 3)], N // 2) for part, value in parts.items()}
    drawn = measure(residual, np.full((N, 2), 4.0), s, np.random.default_rng(7))
    drawn = np.log(drawn) if residual.positive else drawn
    assert abs(np.corrcoef(drawn[: N // 2].T)[0, 1]) < 0.04
    assert drawn[N // 2 :].std() / drawn[: N // 2].std() == pytest.approx(3, rel=0.05)


@NAMES
def test_a_seed_is_a_set_of_draws(name):
    residual, parts, _ = CASES[name]
    s = {part: np.full(3, value) for part, value in parts.items()}
    draw = [measure(residual, np.full((3, 2), 4.0), s, np.random.default_rng(seed)) for seed in (1, 1, 2)]
    assert (draw[0] == draw[1]).all()
    assert (draw[0] != draw[2]).any()


@pytest.mark.parametrize("residual", [Proportional(), Power()], ids=str)
def test_no_prediction_no_scatter(residual):
    s = {part: np.array([0.5]) for part in residual.priors(1.0)}
    assert measure(residual, np.array([[0.0]]), s, np.random.default_rng(1)) == 0.0


# --- default priors --------------------------------------------------------------------------------------------------


@EVERY
def test_every_part_has_a_prior(residual, parts, law):
    priors = residual.priors(2.0)
    assert list(priors) == list(parts)
    assert all(isinstance(prior, Prior) for prior in priors.values())


@pytest.mark.parametrize("residual", [Additive(), Combined(), Combined("variance"), StudentT()], ids=str)
def test_additive_parts_have_the_scale_of_the_measurements(residual):
    assert residual.priors(12.3456)["a"] == Prior("HalfNormal", sigma=12.3)


def test_fractions_do_not_depend_on_the_scale_of_the_measurements():
    for residual in (Proportional(), LogNormal(), Power()):
        assert residual.priors(1.0) == residual.priors(1000.0)
    assert Combined().priors(1.0)["b"] == Combined().priors(1000.0)["b"]


@pytest.mark.parametrize(
    ("values", "scale"), [([], 1), ([3.0], 1), ([2.0, 2.0], 1), ([1.0, 3.0, np.nan], 1), ([0.0, 10.0], 5)]
)
def test_the_scale_of_measurements_is_their_sd_or_one(values, scale):
    assert scale_of(values) == scale


@pytest.mark.parametrize("f", [0.0, -1.0])
def test_a_log_normal_has_no_density_where_the_prediction_is_not_positive(f):
    density = log_density(LogNormal(), np.array([[f]]), {"a": np.array([0.2])}, [1.0])
    assert density[0, 0] == -np.inf


@pytest.mark.parametrize("nu", [0.6, 3.0, 40.0])
def test_the_information_of_student_is_the_variance_of_the_slope(nu):
    parts = {"a": 0.7, "nu": nu}
    tensors = SimpleNamespace(**{part: pt.as_tensor(value) for part, value in parts.items()})
    found = StudentT().information(pt.as_tensor(2.0), tensors).eval(mode="FAST_COMPILE")

    def squared(z):
        slope = (nu + 1) * z / (nu + z**2) / parts["a"]
        return slope**2 * stats.t.pdf(z, nu)

    assert found == pytest.approx(integrate.quad(squared, -np.inf, np.inf)[0], rel=1e-6)
