"""Censored measurements: densities against SciPy in the middle and far out, gradients, one observed variable."""

from functools import lru_cache
from itertools import pairwise

import numpy as np
import nutpie
import pymc as pm
import pytensor
import pytensor.tensor as pt
import pytest
from scipy import integrate, optimize, special, stats

from nlmebayes.errors import ModelError
from nlmebayes.inference import compilation
from nlmebayes.outcomes.censoring import limits, log_density, measurement, register
from nlmebayes.outcomes.residual import Additive, Combined, LogNormal, Power, Proportional, Residual, StudentT
from nlmebayes.structure.structure import Named

INF, NAN = np.inf, np.nan
# Residual, its parts, and its distribution in SciPy's terms.
CASES = {
    "additive": (Additive(), {"a": 0.7}, lambda f, a: stats.norm(f, a)),
    "proportional": (Proportional(), {"b": 0.4}, lambda f, b: stats.norm(f, b * np.abs(f))),
    "combined sd": (Combined(), {"a": 0.3, "b": 0.2}, lambda f, a, b: stats.norm(f, a + b * np.abs(f))),
    "combined variance": (
        Combined("variance"), {"a": 0.3, "b": 0.2}, lambda f, a, b: stats.norm(f, np.sqrt(a**2 + b**2 * f**2))
    ),
    "power": (Power(), {"b": 0.4, "c": 0.6}, lambda f, b, c: stats.norm(f, b * np.abs(f) ** c)),
    "log-normal": (LogNormal(), {"a": 0.4}, lambda f, a: stats.lognorm(a, scale=f)),
    "student": (StudentT(), {"a": 0.7, "nu": 6.0}, lambda f, a, nu: stats.t(nu, f, a)),
}  # fmt: skip
EVERY = pytest.mark.parametrize(("residual", "parts", "law"), CASES.values(), ids=list(CASES))
M3_OR_M4 = pytest.mark.parametrize("positive", [False, True], ids=["M3", "M4"])
# Records: value, lower and upper limit.
KINDS = {
    "measured": (1.1, NAN, NAN), "left": (NAN, -INF, 0.8), "right": (NAN, 1.2, INF), "interval": (NAN, 0.5, 1.5),
    "from zero": (NAN, 0.0, 0.8), "upper tail": (NAN, 3.0, 3.5), "lower tail": (NAN, 0.05, 0.1),
}  # fmt: skip


@lru_cache
def compiled(residual, parts, positive):
    """Log-density (draw, record), and its slopes in f and in each part, as functions of arrays."""
    value, lower, upper = pt.drow("value"), pt.drow("lower"), pt.drow("upper")
    at = [pt.dmatrix("f"), *(pt.dmatrix(part) for part in parts)]
    s = Named(**dict(zip(parts, at[1:], strict=True)))
    density = log_density(residual, at[0], s, value, lower, upper, positive)
    slopes = pytensor.grad(density.sum(), at)
    inputs = [value, lower, upper, *at]
    return [pytensor.function(inputs, out, mode="FAST_COMPILE") for out in (density, slopes)]


def arrays(parts, f, records):
    """Inputs of the compiled functions for predictions f (draw, 1) and records (value, lower, upper)."""
    values, lower, upper = np.array(records, dtype=float).T[:, None, :]
    f = np.reshape(f, (-1, 1)) + np.zeros((1, values.size))
    return values, lower, upper, f, *(np.full_like(f, part) for part in parts.values())


def density(residual, parts, f, records, positive=False):
    """Log-density (draw, record)."""
    return compiled(residual, tuple(parts), positive)[0](*arrays(parts, f, records))


def gradient(residual, parts, f, records, positive=False):
    """Slopes (coordinate, draw, record)."""
    return np.array(compiled(residual, tuple(parts), positive)[1](*arrays(parts, f, records)))


def exact(law, record, positive):
    """Log-density of one record by its definition, for a frozen law of SciPy."""
    value, lower, upper = record
    within = law.sf(0) if positive else 1.0
    if np.isnan(lower):
        return law.logpdf(value) - np.log(within)
    lower = max(lower, 0) if positive else lower
    tail = np.where(lower > law.median(), law.sf(lower) - law.sf(upper), law.cdf(upper) - law.cdf(lower))
    return np.log(tail / within)


# --- values ----------------------------------------------------------------------------------------------------------


@M3_OR_M4
@EVERY
def test_densities_are_those_of_scipy(residual, parts, law, positive):
    f = np.array([[0.3], [1.0], [2.5]])
    expected = np.hstack([exact(law(f, *parts.values()), record, positive) for record in KINDS.values()])
    assert density(residual, parts, f, list(KINDS.values()), positive) == pytest.approx(expected, rel=1e-9)


@EVERY
def test_without_censoring_it_is_the_plain_density(residual, parts, law):
    records = [(y, *bounds) for y in (0.3, 2.0) for bounds in ((NAN, NAN), (y, y))]
    expected = law(np.array([[1.3]]), *parts.values()).logpdf([[0.3, 0.3, 2.0, 2.0]])
    assert density(residual, parts, 1.3, records) == pytest.approx(expected, rel=1e-12)


@M3_OR_M4
@EVERY
def test_intervals_that_tile_the_line_hold_everything(residual, parts, law, positive):
    edges = [0.0, 1e-9, 0.1, 0.1 + 1e-6, 0.5, 1.4, 3.0, 9.0, INF]
    edges = edges if positive else [-INF, -5.0, -1e-3, *edges]
    records = [(NAN, lower, upper) for lower, upper in pairwise(edges)]
    held = np.exp(density(residual, parts, [0.2, 1.0, 4.0], records, positive)).sum(axis=1)
    assert held == pytest.approx(np.ones(3), abs=1e-12)


def test_a_law_of_positive_measurements_knows_that_they_are():
    residual, parts, _ = CASES["log-normal"]
    records = list(KINDS.values())
    ones = density(residual, parts, [0.01, 1.0, 50.0], records)
    others = density(residual, parts, [0.01, 1.0, 50.0], records, positive=True)
    assert np.isfinite(ones).all()
    assert (ones == others).all()


def test_given_positive_measurements_nothing_is_at_or_below_zero():
    residual, parts, _ = CASES["additive"]
    records = [(0.0, NAN, NAN), (-1.0, NAN, NAN), (NAN, -2.0, -1.0), (NAN, -INF, 0.0)]
    assert (density(residual, parts, 0.5, records, positive=True) == -INF).all()
    assert (density(residual, parts, 0.5, records) > -INF).all()


# --- tails and narrow intervals --------------------------------------------------------------------------------------


@pytest.mark.parametrize("z", [-200.0, -40.0, -9.0, 0.0, 9.0, 40.0])
def test_normal_tails_are_right_far_out(z):
    left, right = density(Additive(), {"a": 0.1}, 5.0 - 0.1 * z, [(NAN, -INF, 5.0), (NAN, 5.0, INF)])[0]
    assert left == pytest.approx(special.log_ndtr(z), rel=1e-12)
    assert right == pytest.approx(special.log_ndtr(-z), rel=1e-12)


@pytest.mark.parametrize("z", [-40.0, 40.0])
def test_log_normal_tails_are_right_far_out(z):
    left, right = density(LogNormal(), {"a": 0.1}, 5.0 * np.exp(-0.1 * z), [(NAN, -INF, 5.0), (NAN, 5.0, INF)])[0]
    assert left == pytest.approx(special.log_ndtr(z), rel=1e-12)
    assert right == pytest.approx(special.log_ndtr(-z), rel=1e-12)


def student_tail(size, nu):
    """Log-probability beyond ``size``: the logarithm of the density at it, and that of a mild integral."""

    def ratio(u):
        return np.exp(-0.5 * (nu + 1) * np.log1p((2 * size * u + u**2) / (nu + size**2)))

    width = (nu + size**2) / ((nu + 1) * size)
    mild = integrate.quad(lambda x: width * ratio(width * x), 0, INF, epsabs=0, epsrel=1e-12, limit=500)[0]
    return stats.t.logpdf(size, nu) + np.log(mild)


@pytest.mark.parametrize("size", [0.3, 2.0, 40.0, 1000.0])
@pytest.mark.parametrize("nu", [1.0, 2.5, 30.0, 1e4])
def test_student_tails_are_right_far_out(nu, size):
    records = [(NAN, -INF, 5.0 - size), (NAN, 5.0 + size, INF), (NAN, -INF, 5.0 + size)]
    left, right, rest = density(StudentT(), {"a": 1.0, "nu": nu}, 5.0, records)[0]
    expected = student_tail(size, nu)
    assert [left, right] == pytest.approx([expected] * 2, rel=1e-9)
    assert rest == pytest.approx(np.log1p(-np.exp(expected)), rel=1e-9, abs=1e-300)


@pytest.mark.parametrize("size", [0.0, 1e-7, 0.2, 3.0])
def test_student_is_cauchy_and_normal_at_its_ends(size):
    record = [(NAN, -INF, -size)]
    assert density(StudentT(), {"a": 1.0, "nu": 1.0}, 0.0, record) == pytest.approx(stats.cauchy.logcdf(-size))
    assert density(StudentT(), {"a": 1.0, "nu": 1e12}, 0.0, record) == pytest.approx(stats.norm.logcdf(-size))


@pytest.mark.parametrize("nu", [0.1, 0.3])
def test_student_with_tails_heavier_than_any_in_use(nu):
    found = density(StudentT(), {"a": 1.0, "nu": nu}, 0.0, [(NAN, -INF, -2.0), (NAN, -INF, 0.0)])[0]
    assert found == pytest.approx([np.log(0.5 * special.betainc(nu / 2, 0.5, nu / (nu + 4))), np.log(0.5)], abs=1e-6)


@EVERY
def test_a_narrow_interval_is_the_density_times_its_width(residual, parts, law):
    middle = np.array([0.2, 1.0, 6.0])
    widths = 10.0 ** np.arange(-300, -6, 6)
    for y in middle:
        records = [(NAN, y - w / 2, y + w / 2) for w in widths if y + w / 2 > y - w / 2]
        width = np.array([upper - lower for _, lower, upper in records])
        found = density(residual, parts, 1.0, records)[0] - np.log(width)
        assert found == pytest.approx(law(1.0, *parts.values()).logpdf(y), abs=1e-8)


@pytest.mark.parametrize("y", [0.0, 2.0, 40.0])
def test_narrow_and_wide_intervals_meet(y):
    widths = y + np.geomspace(1e-3, 1e-8, 40) - y
    found = density(Additive(), {"a": 1.0}, 0.0, [(NAN, y, y + w) for w in widths])[0]
    # log of the mean over the interval of exp(-y x - x^2 / 2), to second order
    expected = stats.norm.logpdf(y) + np.log(widths) - y * widths / 2 + (y**2 - 4) * widths**2 / 24
    assert found == pytest.approx(expected, abs=3e-8 if y == 40 else 1e-9)


# --- no scatter ------------------------------------------------------------------------------------------------------


@M3_OR_M4
@pytest.mark.parametrize("f", [0.0, 1e-300, 1e-200, 1e-91, 1e-80])
@pytest.mark.parametrize("name", ["proportional", "power", "log-normal"])
def test_a_prediction_of_zero_is_below_the_limit(name, f, positive):
    residual, parts, _ = CASES[name]
    records = [(NAN, -INF, 0.5), (NAN, 0.0, 0.5), (NAN, 0.5, INF), (NAN, 0.2, 0.5)]
    left, from_zero, right, between = density(residual, parts, f, records, positive)[0]
    assert left == pytest.approx(0, abs=1e-12)
    assert from_zero == pytest.approx(0, abs=1e-12) if positive else from_zero >= np.log(0.5) - 1e-12
    assert max(right, between) < -1e3
    assert np.isfinite(gradient(residual, parts, f, records, positive)).all()


def test_no_measurement_goes_with_a_negative_median():
    found = density(LogNormal(), {"a": 0.2}, -1.0, [(NAN, -INF, 0.5), (NAN, 0.5, INF), (0.5, NAN, NAN)])
    assert (found == -INF).all()


# --- gradients -------------------------------------------------------------------------------------------------------


@M3_OR_M4
@EVERY
def test_gradients_are_those_of_finite_differences(residual, parts, law, positive):
    evaluate = compiled(residual, tuple(parts), positive)[0]
    records = [*KINDS.values(), (NAN, 0.9, 0.9 + 1e-7)]
    at = arrays(parts, [0.4, 1.0, 2.5], records)
    for i, slope in enumerate(gradient(residual, parts, [0.4, 1.0, 2.5], records, positive), start=3):
        h = 2e-3 * at[i]
        by = {k: evaluate(*at[:i], at[i] + k * h, *at[i + 1 :]) for k in (-3, -2, -1, 1, 2, 3)}
        difference = (by[3] - 9 * by[2] + 45 * by[1] - 45 * by[-1] + 9 * by[-2] - by[-3]) / (60 * h)
        scale = np.abs(difference).max()
        assert slope == pytest.approx(difference, rel=1e-6, abs=1e-8 * scale)


@M3_OR_M4
@EVERY
def test_gradients_are_finite_far_out(residual, parts, law, positive):
    s = {part: value if part in ("c", "nu") else 0.05 for part, value in parts.items()}
    records = list(KINDS.values())[1:]
    f = [1e-12, 1e-3, 0.05, 10.0, 1e3, 1e8, *([] if residual.positive else [-1e-3, -3.0, -100.0])]
    assert not np.isnan(density(residual, s, f, records, positive)).any()
    assert np.isfinite(gradient(residual, s, f, records, positive)).all()


def test_the_gradient_far_out_is_the_hazard():
    f = np.array([-50.0, -5.0, 5.0, 50.0])
    slope = gradient(Additive(), {"a": 1.0}, f, [(NAN, -INF, 0.0)])[0, :, 0]
    assert slope == pytest.approx(-np.exp(stats.norm.logpdf(f) - special.log_ndtr(-f)), rel=1e-10)


def test_what_a_branch_not_taken_would_give_does_not_reach_the_gradient():
    # f = 0 has no density under proportional error; its censored record must not spoil the sum.
    records = [(NAN, -INF, 0.5), (1.0, NAN, NAN)]
    values, lower, upper, *_ = arrays({}, 1.0, records)
    f, b = np.array([[0.0, 1.1]]), np.full((1, 2), 0.3)
    slopes = compiled(Proportional(), ("b",), False)[1](values, lower, upper, f, b)
    alone = gradient(Proportional(), {"b": 0.3}, 1.1, records[1:])
    assert (np.array(slopes)[:, 0, 0] == 0).all()
    assert np.array(slopes)[:, 0, 1] == pytest.approx(alone[:, 0, 0], rel=1e-12)


# --- a known answer --------------------------------------------------------------------------------------------------


def test_the_estimate_from_a_left_censored_sample_is_that_of_its_own_likelihood():
    rng = np.random.default_rng(11)
    y = rng.normal(2.0, 1.5, 400)
    low = y < 1.5
    records = np.where(low[:, None], [NAN, -INF, 1.5], np.column_stack([y, np.full((400, 2), NAN)]))

    def ours(x):
        return -density(Additive(), {"a": np.exp(x[1])}, x[0], records).sum()

    def theirs(x):
        law = stats.norm(x[0], np.exp(x[1]))
        return -low.sum() * law.logcdf(1.5) - law.logpdf(y[~low]).sum()

    found, expected = (optimize.minimize(loss, [1.0, 0.0], tol=1e-8).x for loss in (ours, theirs))
    assert found == pytest.approx(expected, abs=1e-4)
    assert found == pytest.approx([2.0, np.log(1.5)], abs=0.25)


# --- draws -----------------------------------------------------------------------------------------------------------

N = 4000


@EVERY
def test_draws_of_positive_measurements_follow_the_cut_law(residual, parts, law):
    variable = measurement(residual, pt.as_tensor(np.full(N, 0.6)), Named(**parts), positive=True)
    drawn = pm.draw(variable, mode="FAST_COMPILE", random_seed=3)
    whole = law(0.6, *parts.values())
    assert drawn.min() > 0
    assert stats.kstest(drawn, lambda y: (whole.cdf(y) - whole.cdf(0)) / whole.sf(0)).pvalue > 1e-3


@pytest.mark.parametrize("positive", [False, True])
def test_draws_without_scatter_are_the_prediction(positive):
    variable = measurement(Proportional(), pt.as_tensor([0.0, 2.0, 0.0]), Named(b=0.1), positive)
    drawn = pm.draw(variable, mode="FAST_COMPILE", random_seed=3)
    assert (drawn[[0, 2]] == 0).all()
    assert drawn[1] != 2


# --- encoding and the observed variable ------------------------------------------------------------------------------


def test_limits_have_no_missing_numbers():
    records = np.array([(1.0, NAN, NAN), (NAN, -INF, 0.5), (NAN, 2.0, INF), (0.7, 0.6, 0.8), (NAN, -INF, INF)])
    value, lower, upper = limits(*records.T)
    assert value.tolist() == [1.0, 0.5, 2.0, 0.7, 0.0]
    assert lower.tolist() == [1.0, -INF, 2.0, 0.6, -INF]
    assert upper.tolist() == [1.0, 0.5, INF, 0.8, INF]


@EVERY
def test_the_encoding_does_not_change_the_density(residual, parts, law):
    encoded = np.column_stack(limits(*np.array(list(KINDS.values())).T))
    found, expected = (density(residual, parts, [0.5, 2.0], r, True) for r in (encoded, list(KINDS.values())))
    assert (found == expected).all()


def built(residual, positive):
    records = list(KINDS.values())
    with pm.Model(coords={"obs": range(len(records))}) as model:
        f = pt.exp(pm.Normal("theta", 0, 1)) * pm.Data("t", np.linspace(0.5, 1.5, len(records)), dims="obs")
        s = Named(**{part: pm.HalfNormal(part, 1) for part in residual.priors(1.0)})
        register(residual, f, s, *np.array(records).T, "y", "obs", positive)
    return model


@M3_OR_M4
@pytest.mark.parametrize("name", CASES)
def test_the_observed_variable_has_this_density_record_by_record(name, positive):
    residual, parts, _ = CASES[name]
    model = built(residual, positive)
    assert [rv.name for rv in model.observed_RVs] == ["y"]
    compute = model.compile_fn(model.logp(vars=model["y"], sum=False), mode="FAST_COMPILE")
    (found,) = compute({"theta": np.log(1.2)} | {f"{part}_log__": np.log(value) for part, value in parts.items()})
    f = 1.2 * np.linspace(0.5, 1.5, len(KINDS))
    expected = [density(residual, parts, each, [r], positive)[0, 0] for each, r in zip(f, KINDS.values(), strict=True)]
    assert found == pytest.approx(expected, rel=1e-12)


def test_its_draws_are_uncensored_measurements():
    model = built(Additive(), positive=False)
    drawn = pm.draw(model["y"], 400, mode="FAST_COMPILE", random_seed=1)
    assert drawn.shape == (400, len(KINDS))
    assert (drawn < 0).any()
    assert (pm.draw(built(Additive(), positive=True)["y"], 400, mode="FAST_COMPILE", random_seed=1) > 0).all()


def test_it_samples_and_takes_other_data_without_another_compilation():
    model = built(StudentT(), positive=True)
    compiled = nutpie.compile_pymc_model(model, backend="numba")
    many = dict(draws=4000, tune=1000, chains=2, cores=1, seed=2, progress_bar=False)
    one = nutpie.sample(compiled, **many).posterior["theta"]
    value, lower, upper = limits(*(np.array(list(KINDS.values())) * 20).T)
    other = compiled.with_data(y_observed=value, y_lower=lower, y_upper=upper)
    assert nutpie.sample(other, **many).posterior["theta"].mean() > one.mean() + 0.5  # 0.54, with an SE of 0.02
    with model:
        pm.set_data({"y_observed": value, "y_lower": lower, "y_upper": upper})
    exact, free = model.compile_logp(mode="FAST_COMPILE"), model.initial_point()
    places = {name: (place, shape) for name, place, shape in zip(*other.shape_info, strict=True) if name in free}
    for x in np.random.default_rng(1).normal(size=(3, other.n_dim)):
        point = {name: x[place].reshape(shape) for name, (place, shape) in places.items()}
        assert compilation.density(other)(x)[0] == pytest.approx(float(exact(point)), rel=1e-9)


class Flat(Residual):
    """A residual of one's own, without what censoring needs."""

    def priors(self, scale):
        return {}

    def likelihood(self, f, s):
        return pm.Uniform.dist(0, f)


def test_a_residual_without_tails_is_refused_by_name():
    with pytest.raises(ModelError, match=r"Flat has no log_tails\(f, s, y\), which censored measurements need"):
        log_density(Flat(), pt.as_tensor([1.0]), Named(), [1.0], [0.0], [2.0])
