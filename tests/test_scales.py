"""Formulas of residual parts: densities by hand, the pilot, prediction of new data, and what is refused."""

import numpy as np
import pandas as pd
import pymc as pm
import pytest
from scipy import stats

import nlmebayes as nb
from model_zoo import CountGLMM, LinearMixed
from nlmebayes.evaluation import measurement, storage
from nlmebayes.evaluation.evaluator import draws_of
from nlmebayes.formula.design import resolve
from nlmebayes.inference.starts import pilot
from nlmebayes.model.build import designed


def study(groups=30, seed=1):
    rng = np.random.default_rng(seed)
    n = groups * 8
    frame = pd.DataFrame({
        "id": np.repeat(np.arange(groups), 8), "t": np.tile(np.arange(8.0), groups),
        "period": pd.Categorical(np.tile(["one", "two"], n // 2)),
    })  # fmt: skip
    scatter = np.exp(-0.5 + 0.8 * (frame["period"] == "two") + 0.1 * frame["t"])
    frame["y"] = 3 + rng.normal(0, 1, groups)[frame["id"]] + scatter * rng.standard_normal(n)
    return nb.Dataset.from_frame(frame, outcome="y", levels="id", inputs=("t",))


def model(scale="sigma ~ 1 + period + t", **options):
    return nb.Model(LinearMixed(), "mu ~ 1 + (1|id)", scale, **options)


def test_the_scatter_of_a_record_is_that_of_its_formula():
    data = study()
    (o,) = resolve(model(), data).outcomes
    s = {"a": np.array([[-0.5, 0.8, 0.1], [0.2, 0.0, 0.0]])}
    found = measurement.log_density(nb.Additive(), np.full((2, 240), 3.0), s, o)
    frame = data.observations
    scatter = np.exp(-0.5 + 0.8 * (frame["period"] == "two") + 0.1 * frame["t"])
    assert found[0] == pytest.approx(stats.norm(3, scatter).logpdf(frame["value"]), rel=1e-10)
    assert found[1] == pytest.approx(stats.norm(3, np.exp(0.2)).logpdf(frame["value"]), rel=1e-10)


def test_the_graph_has_coefficients_with_terms_and_the_right_slopes():
    built = nb.build(model(), study(4))
    assert built.named_vars_to_dims["sigma_y_a"] == ("sigma_y_a_term",)
    assert built.coords["sigma_y_a_term"] == ("Intercept", "period[two]", "t")
    point = built.initial_point(0)
    whole, slope = built.compile_logp(mode="FAST_COMPILE"), built.compile_dlogp(mode="FAST_COMPILE")(point)
    place = [v.name for v in built.value_vars].index("sigma_y_a")
    before = sum(point[v.name].size for v in built.value_vars[:place])
    for k in range(3):
        step = 1e-5 * np.eye(3)[k]
        up, down = (whole({**point, "sigma_y_a": point["sigma_y_a"] + h}) for h in (step, -step))
        assert slope[before + k] == pytest.approx((up - down) / 2e-5, rel=1e-6)


def test_a_pilot_finds_the_coefficients():
    found = pilot(model(), designed(model(), study(60)))
    assert found.sigma["y"]["a"] == pytest.approx([-0.5, 0.8, 0.1], abs=0.2)


def test_new_data_are_predicted_in_the_state_of_the_training():
    data, told = study(), model("sigma ~ 1 + center(t)")
    values = {"theta_mu": [0.0], "omega_id": [1e-9], "sigma_y_a": [0.0, 0.5]}
    tree = nb.simulate(told, data, draws=4000, values=values, random_seed=1)
    tree["posterior"] = tree["prior"]
    late = data.sel(id="0", t=[7.0])
    y = nb.predict(tree, late, random_seed=2)["posterior_predictive"]["y"]
    assert float(y.std()) == pytest.approx(np.exp(0.5 * (7 - 3.5)), rel=0.05)
    drawn = draws_of(tree["prior"].to_dataset(), resolve(told, data), told, ("y",))
    assert drawn.sigma["y"]["a"].shape == (4000, 2)
    assert "sigma_y_a: center(t)" in set(nb.summary(tree)["quantity"])
    assert storage.stored_model(tree) == told


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("sigma ~ 1 + (1|id)", {}, "the scatter has no random effects; give each group its own: sigma ~ 0 [+] id"),
        ("sigma_y_b ~ 1", {}, "no part 'sigma_y_b' of a residual; there are sigma_y_a, sigma_y, sigma"),
        ("sigma ~ 1 + dose", {}, "no column 'dose' in the data"),
        ("sigma ~ 1", {"residual": nb.Combined()}, "no part 'sigma' of a residual; there are sigma_y_a, sigma_y_b"),
        ("sigma ~ 1 + offset(t)", {}, r"offset\(t\): the scatter has no offsets"),
        ("sigma ~ 1 + s(t)", {}, r"s\(t\): the scatter has no smooths; write bs\(\) or poly\(\)"),
        ("sigma_y_rho ~ 1", {"residual": nb.Autoregressive()}, "does not range over all positive numbers"),
    ],
)
def test_what_has_no_formula_is_named(text, options, message):
    with pytest.raises(nb.FormulaError, match=message):
        nb.build(model(text, **options), study(2))


def test_two_formulas_of_one_part_are_an_error():
    two = nb.Model(LinearMixed(), "sigma ~ 1", "sigma_y_a ~ 1 + t")
    with pytest.raises(nb.FormulaError, match="sigma_y_a has two formulas"):
        nb.build(two, study(2))


def ticks(birds=400):
    rng = np.random.default_rng(3)
    frame = pd.DataFrame({"id": np.repeat(np.arange(birds), 2), "habitat": np.repeat(["heath", "wood"], birds)})
    pi = np.where(frame["habitat"] == "wood", 0.2, 0.6)
    frame["y"] = np.where(rng.random(2 * birds) < pi, 0, rng.poisson(4.0, 2 * birds))
    return nb.Dataset.from_frame(frame, outcome="y", levels="id", inputs=("habitat",))


SHARE = nb.Model(CountGLMM(), "rate ~ 1", "sigma_y_pi ~ 1 + habitat", residual=nb.ZeroInflated())


def test_the_share_of_zeros_has_a_formula_on_the_logit_scale():
    data = ticks(4)
    (o,) = resolve(SHARE, data).outcomes
    found = measurement.log_density(SHARE.residual, np.full((1, 8), 4.0), {"pi": np.array([[-1.0, 1.5]])}, o)[0]
    pi = 1 / (1 + np.exp(1.0 - 1.5 * (data.observations["habitat"] == "wood")))
    y = data.observations["value"]
    exact = np.log(pi * (y == 0) + (1 - pi) * stats.poisson(4.0).pmf(y))
    assert found == pytest.approx(exact, rel=1e-10)
    built = nb.build(SHARE, data)
    given = {"sigma_y_pi": np.array([-1.0, 1.5]), "theta_rate": np.array([np.log(4.0)])}
    density = pm.logp(built["y"], y.to_numpy().astype(int))
    values = density.eval({built[name]: value for name, value in given.items()}, mode="FAST_COMPILE")
    assert values == pytest.approx(exact, rel=1e-10)
    table = nb.priors(SHARE, data).set_index(["variable", "coordinate"])["prior"]
    assert table["sigma_y_pi", "Intercept"] == "Normal(mu=0, sigma=1.5)"


def test_the_share_of_zeros_is_found():
    found = pilot(SHARE, designed(SHARE, ticks()))
    logits = np.log(0.6 / 0.4), np.log(0.2 / 0.8) - np.log(0.6 / 0.4)
    assert found.sigma["y"]["pi"] == pytest.approx(logits, abs=0.35)
    assert np.exp(found.theta["rate"]) == pytest.approx(4.0, rel=0.05)
