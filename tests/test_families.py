"""Families: densities against SciPy, gradients, expected information, draws, and what they refuse."""

import json
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pymc as pm
import pytensor
import pytensor.tensor as pt
import pytest
from pymc.initial_point import make_initial_point_fn
from scipy import special, stats

import nlmebayes as nb
from model_zoo import LinearMixed
from nlmebayes.evaluation import measurement, storage
from nlmebayes.inference.starts import pilot
from nlmebayes.model.build import designed
from nlmebayes.structure.structure import Named

COUNTS = np.array([0.0, 1.0, 3.0, 17.0])


def inflated(law, pi):
    class Law:
        def logpdf(self, y):
            return np.log(pi * (y == 0) + (1 - pi) * law.pmf(y))

    return Law()


def ordered(f, *steps):
    cut = np.concatenate([[0.0], np.cumsum(steps)])
    above = np.concatenate([[1.0], special.expit(f - cut), [0.0]])
    return SimpleNamespace(logpdf=lambda y: np.log(above[y.astype(int) - 1] - above[y.astype(int)]))


def negative_binomial(f, a, exposure=1.0):
    return stats.nbinom(1 / a**2, 1 / (1 + a**2 * f * exposure))


# Family, its parts, its columns, f, possible outcomes, and its distribution in SciPy's terms.
CASES = {
    "bernoulli": (nb.Bernoulli(), {}, {}, 0.3, np.array([0.0, 1.0]), lambda f: stats.bernoulli(f)),
    "binomial": (nb.Binomial("n"), {}, {"n": 17.0}, 0.3, COUNTS, lambda f, n: stats.binom(n, f)),
    "poisson": (nb.Poisson(), {}, {}, 2.5, COUNTS, lambda f: stats.poisson(f)),
    "poisson, exposed": (nb.Poisson("e"), {}, {"exposure": 4.0}, 0.6, COUNTS, lambda f, e: stats.poisson(f * e)),
    "negative binomial": (nb.NegativeBinomial(), {"a": 0.8}, {}, 2.5, COUNTS, negative_binomial),
    "little overdispersion": (nb.NegativeBinomial(), {"a": 0.1}, {}, 2.5, COUNTS, negative_binomial),
    "negative binomial, exposed": (
        nb.NegativeBinomial("e"), {"a": 1.7}, {"exposure": 4.0}, 0.6, COUNTS, negative_binomial
    ),
    "zero-inflated poisson": (
        nb.ZeroInflated(), {"pi": 0.2}, {}, 2.5, COUNTS, lambda f, pi: inflated(stats.poisson(f), pi)
    ),
    "zero-inflated negative binomial": (
        nb.ZeroInflated(nb.NegativeBinomial("e")), {"a": 0.8, "pi": 0.2}, {"exposure": 4.0}, 0.6, COUNTS,
        lambda f, a, pi, e: inflated(negative_binomial(f, a, e), pi),
    ),
    "gamma": (
        nb.Gamma(), {"a": 0.4}, {}, 2.5, np.array([0.1, 2.0, 9.0]),
        lambda f, a: stats.gamma(1 / a**2, scale=f * a**2),
    ),
    "beta": (
        nb.Beta(), {"a": 0.4}, {}, 0.3, np.array([0.01, 0.3, 0.98]),
        lambda f, a: stats.beta(f * (1 / a**2 - 1), (1 - f) * (1 / a**2 - 1)),
    ),
    "ordered": (
        nb.OrderedLogistic(4), {"step2": 0.7, "step3": 1.9}, {}, 0.4, np.array([1.0, 2.0, 3.0, 4.0]), ordered
    ),
    "ordered in two": (nb.OrderedLogistic(2), {}, {}, 0.4, np.array([1.0, 2.0]), ordered),
}  # fmt: skip
EVERY = pytest.mark.parametrize(("family", "parts", "columns", "f", "y", "law"), CASES.values(), ids=list(CASES))


def observed(y, columns):
    none = np.full(len(y), np.nan)
    columns = {name: np.full(len(y), value) for name, value in columns.items()}
    return SimpleNamespace(values=y, lower=none, upper=none, censored=np.isfinite(none), columns=columns, scales={})


def log_density(law, y):
    return law.logpdf(y) if hasattr(law, "logpdf") else law.logpmf(y)


@EVERY
def test_densities_are_those_of_scipy(family, parts, columns, f, y, law):
    s = {part: np.array([value, 0.9 * value]) for part, value in parts.items()}
    found = measurement.log_density(family, np.full((2, len(y)), f), s, observed(y, columns))
    for i, factor in enumerate((1.0, 0.9)):
        expected = log_density(law(f, *(factor * x for x in parts.values()), *columns.values()), y)
        assert found[i] == pytest.approx(expected, rel=1e-10, abs=1e-12)


@EVERY
def test_gradients_are_those_of_finite_differences(family, parts, columns, f, y, law):
    at = {"f": pt.dscalar("f")} | {part: pt.dscalar(part) for part in parts}
    s = Named(**{part: at[part] for part in parts}, **columns)
    density = pm.logp(family.likelihood(at["f"] + pt.zeros(len(y)), s), y).sum()
    slopes = pytensor.function(list(at.values()), pytensor.grad(density, list(at.values())), mode="FAST_COMPILE")
    point, h = np.array([f, *parts.values()]), 1e-6

    def total(values):
        return log_density(law(*values, *columns.values()), y).sum()

    expected = [(total(point + d) - total(point - d)) / (2 * h) for d in h * np.eye(len(point))]
    assert np.array(slopes(*point)) == pytest.approx(np.array(expected), rel=1e-6, abs=1e-6)


@EVERY
def test_information_is_the_expected_square_of_the_slope(family, parts, columns, f, y, law):
    if (y.max() < 1 and len(y) == 3) or family == nb.Gamma():  # continuous: by quadrature
        end = 1.0 if family == nb.Beta() else 60.0
        nodes, weights = np.polynomial.legendre.leggauss(20)
        y = (end * (np.arange(200)[:, None] + (nodes + 1) / 2) / 200).ravel()
        weights = np.tile(end * weights / 400, 200)
        if family == nb.Beta():  # steep at both ends
            y, weights = np.sin(np.pi * y / 2) ** 2, weights * np.pi / 2 * np.sin(np.pi * y)
    else:
        y = {"ordered": np.arange(1.0, 5)}.get(type(family).__name__.lower()[:7], np.arange(0.0, 400.0))
        y = y[: family.categories] if isinstance(family, nb.OrderedLogistic) else y
        y = y[:2] if family == nb.Bernoulli() else y[:18] if family == nb.Binomial("n") else y
        weights = np.ones(len(y))
    found = measurement.slopes(family, np.full(len(y), f), parts, observed(y, columns))
    assert found[2] == pytest.approx((np.exp(found[0]) * found[1] ** 2 * weights).sum(), rel=1e-6)


@EVERY
def test_draws_have_the_mean_that_their_law_has(family, parts, columns, f, y, law):
    n, s = 40_000, {part: np.full(40_000, value) for part, value in parts.items()}
    drawn = measurement.measure(family, np.full((n, 2), f), s, np.random.default_rng(2),
                               observed=observed(np.ones(2), columns))  # fmt: skip
    mean = f * columns.get("n", 1.0) * columns.get("exposure", 1.0) * (1 - parts.get("pi", 0.0))
    if isinstance(family, nb.OrderedLogistic):
        k = np.arange(1.0, family.categories + 1)
        mean = (k * np.exp(law(f, *parts.values()).logpdf(k))).sum()
    assert drawn.mean(axis=0) == pytest.approx(mean, abs=5 * drawn.std() / np.sqrt(n))
    assert not family.outside(drawn[:, 0], {k: np.full(n, v) for k, v in columns.items()}).any()


@pytest.mark.parametrize("a", [0.0, 1e-12, 1e-4])
def test_counts_without_overdispersion_are_poisson(a):
    found = measurement.log_density(nb.NegativeBinomial(), np.full((1, 4), 2.5), {"a": np.array([a])},
                                   observed(COUNTS, {}))[0]  # fmt: skip
    assert found == pytest.approx(stats.poisson(2.5).logpmf(COUNTS), rel=1e-5 if a == 1e-4 else 1e-12)


@pytest.mark.parametrize(
    ("family", "y", "columns", "bad"),
    [
        (nb.Bernoulli(), [0, 1, 2], {}, [2]),
        (nb.Binomial("n"), [0, 3, 5, -1], {"n": [3, 3, 3, 3]}, [2, 3]),
        (nb.Poisson("e"), [0, 1.5, 2, 3], {"exposure": [1, 1, 0, 1]}, [1, 2]),
        (nb.Gamma(), [0.0, 1.0], {}, [0]),
        (nb.Beta(), [0.0, 0.5, 1.0], {}, [0, 2]),
        (nb.OrderedLogistic(3), [0, 1, 3, 4], {}, [0, 3]),
    ],
    ids=str,
)
def test_what_is_impossible_is_known(family, y, columns, bad):
    found = family.outside(np.array(y, dtype=float), {k: np.array(v, dtype=float) for k, v in columns.items()})
    assert np.flatnonzero(found).tolist() == bad


def frame(**columns):
    return pd.DataFrame({"id": list("aabb"), "y": [0, 1, 2, 3], "n": [5, 5, 5, 5]} | columns)


def model(family, **options):
    return nb.Model(LinearMixed(), "mu ~ 1 + (1|id)", residual=family, typical={"mu": (0.5, 0.2)}, **options)


class Chance(nb.Curve):
    """A probability."""

    parameters = (nb.Parameter("mu", "1", 0.5, link="logit"),)

    def curve(self, p, x):
        return p.mu


def test_errors_name_the_row_and_what_it_takes():
    data = nb.Dataset.from_frame(frame(), outcome="y", levels="id")
    with pytest.raises(nb.ModelError, match=r"row 3: y = 2, to which Bernoulli\(\) gives no density.*takes 0 or 1"):
        nb.build(nb.Model(Chance(), residual=nb.Bernoulli()), data)
    with pytest.raises(nb.DataError, match=r"Binomial\(n='trials'\) reads the column 'trials'.*columns are n"):
        nb.build(nb.Model(Chance(), residual=nb.Binomial("trials")), data)
    gone = nb.Dataset.from_frame(frame(n=[5, 5, np.nan, 5]), outcome="y", levels="id")
    with pytest.raises(nb.DataError, match=r"row 3, column n: is missing, and Binomial"):
        nb.build(nb.Model(Chance(), residual=nb.Binomial("n")), gone)


def test_counts_are_not_censored():
    data = nb.Dataset.from_frame(frame(), outcome="y", levels="id", lloq=1, inputs=("n",))
    with pytest.raises(nb.ModelError, match=r"Poisson\(exposure=None\) cannot be censored"):
        nb.build(model(nb.Poisson()), data)


def test_options_are_checked():
    with pytest.raises(nb.ModelError, match="categories must be a whole number from 2 to 1000; got 1"):
        nb.OrderedLogistic(1)
    with pytest.raises(nb.ModelError, match="counts must be Poisson"):
        nb.ZeroInflated(nb.Gamma())


# --- in a model


@dataclass(frozen=True)
class Rate(nb.Curve):
    parameters = (nb.Parameter("rate", typical=2.0),)

    def curve(self, p, x):
        return p.rate


@dataclass(frozen=True)
class Share(nb.Curve):
    parameters = (nb.Parameter("share", typical=0.4, link="logit"),)

    def curve(self, p, x):
        return p.share


@dataclass(frozen=True)
class Score(nb.Curve):
    parameters = (nb.Parameter("score", typical=0.5, spread=2.0, link="identity", variation=1.0),)

    def curve(self, p, x):
        return p.score


def study(groups=12, records=8):
    rng = np.random.default_rng(4)
    n = groups * records
    return nb.Dataset.from_frame(
        pd.DataFrame({
            "id": np.repeat(np.arange(groups), records), "x": np.tile(np.linspace(-1, 1, records), groups), "y": np.nan,
            "n": rng.integers(5, 20, n).astype(float), "e": rng.uniform(0.5, 3, n),
        }),
        outcome="y", levels="id", unmeasured="predict",
    )  # fmt: skip


MODELS = {
    "binomial": (Share(), "share", nb.Binomial("n"), {}),
    "negative binomial": (Rate(), "rate", nb.NegativeBinomial("e"), {"a": 0.5}),
    "zero-inflated": (Rate(), "rate", nb.ZeroInflated(nb.Poisson("e")), {"pi": 0.3}),
    "gamma": (Rate(), "rate", nb.Gamma(), {"a": 0.4}),
    "beta": (Share(), "share", nb.Beta(), {"a": 0.3}),
    "ordered": (Score(), "score", nb.OrderedLogistic(4), {"step2": 1.0, "step3": 0.7}),
}


@pytest.mark.parametrize(("structure", "name", "family", "parts"), MODELS.values(), ids=list(MODELS))
def test_a_pilot_finds_what_was_simulated(structure, name, family, parts):
    """Without a sampler: simulate, pilot (reweighted least squares and EM), and the statement stored and read."""
    model = nb.Model(structure, f"{name} ~ 1 + x + (1|id)", residual=family)
    values = {f"theta_{name}": [0.3, 0.6], "omega_id": [0.4]} | {f"sigma_y_{k}": v for k, v in parts.items()}
    data = study(40)
    y = nb.simulate(model, data, draws=1, values=values, random_seed=3)["prior_predictive"]["y"].to_numpy()[0, 0]
    seen = data.with_values(y=y)
    found = pilot(model, designed(model, seen, measured=True))
    assert found.rounds > 0
    error = np.sqrt(np.diag(found.covariance))
    assert np.abs(found.theta[name] - [0.3, 0.6]) == pytest.approx(0, abs=4 * error.max())
    assert np.linalg.norm(found.factor["id"]) == pytest.approx(0.4, abs=0.25)
    for part, value in parts.items():
        assert found.sigma["y"][part] == pytest.approx(value, rel=0.4)
    assert storage.revive(json.loads(storage.statement(model))) == model


@pytest.mark.parametrize(("structure", "name", "family", "parts"), MODELS.values(), ids=list(MODELS))
def test_the_graph_and_the_arrays_agree(structure, name, family, parts):
    """The log-likelihood that PyMC has is the one that prediction reports."""
    model = nb.Model(structure, f"{name} ~ 1 + (1|id)", residual=family)
    data = study(3, 4)
    tree = nb.simulate(model, data, draws=1, random_seed=1)
    seen = data.with_values(y=tree["prior_predictive"]["y"].to_numpy()[0, 0])
    built = nb.build(model, seen)
    prior = tree["prior"]
    point = {v: prior[v].to_numpy()[0, 0] for v in (f"theta_{name}", "omega_id")}
    point["z_id"] = prior["eta_id"].to_numpy()[0, 0] / point["omega_id"]
    point |= {f"sigma_y_{part}": prior[f"sigma_y_{part}"].to_numpy()[0, 0] for part in parts}
    start = make_initial_point_fn(model=built, overrides=point, jitter_rvs=set(), return_transformed=True)(None)
    found = built.compile_logp(vars=built["y"], jacobian=False, mode="FAST_COMPILE")(start)
    observed_ = designed(model, seen).outcomes[0]
    s = {part: prior[f"sigma_y_{part}"].to_numpy().ravel() for part in parts}
    dense = measurement.log_density(family, prior["f_y"].to_numpy()[0], s, observed_)
    assert found == pytest.approx(dense.sum(), rel=1e-10)


def test_a_rare_event_is_no_mistake_of_units():
    model = nb.Model(Share(), "share ~ 1 + (1|id)", residual=nb.Bernoulli())
    tree = nb.population(model, theta={"share": 0.0001}, omega={"sd": {"share": 0.5}}, outcome="y", sigma={})
    patient = nb.Dataset.from_frame(pd.DataFrame({"id": "new", "y": [1.0]}), outcome="y", levels="id")
    with pytest.warns(UserWarning, match="rare in this population"):
        assert nb.forecast(tree, patient, random_seed=1)["posterior"]["share"].mean() > 0.0001


def test_a_new_group_is_forecast_from_its_counts():
    """Poisson with a log-normal rate: the posterior of one group by quadrature."""
    model = nb.Model(Rate(), "rate ~ 1 + (1|id)", residual=nb.Poisson("e"))
    tree = nb.population(model, theta={"rate": 2.0}, omega={"sd": {"rate": 0.5}}, outcome="y", sigma={})
    patient = nb.Dataset.from_frame(pd.DataFrame({"id": "new", "y": [9.0, 7.0], "e": [2.0, 1.0]}), outcome="y",
                                    levels="id", inputs=("e",))  # fmt: skip
    found = nb.forecast(tree, patient, random_seed=1)["posterior"]["rate"].to_numpy()
    eta = np.linspace(-3, 3, 4001)
    rate = 2 * np.exp(eta)
    weight = stats.norm(0, 0.5).pdf(eta) * stats.poisson(2 * rate).pmf(9) * stats.poisson(rate).pmf(7)
    assert found.mean() == pytest.approx((rate * weight).sum() / weight.sum(), rel=0.03)
