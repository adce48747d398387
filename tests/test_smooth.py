"""Penalised splines: the penalty is the curvature, the state that of the training, and the graph agrees with arrays."""

import json

import numpy as np
import pandas as pd
import pytest

import nlmebayes as nb
from model_zoo import LinearMixed
from nlmebayes.evaluation import storage
from nlmebayes.formula.design import resolve
from nlmebayes.formula.smooth import Smooth
from nlmebayes.inference.starts import pilot
from nlmebayes.model.build import designed


def study(groups=40, seed=1):
    rng = np.random.default_rng(seed)
    n = groups * 6
    frame = pd.DataFrame(
        {"id": np.repeat(np.arange(groups), 6), "x": rng.uniform(0, 6, n), "arm": np.tile(["a", "b"], n // 2)}
    )
    frame["y"] = 2 + np.sin(frame["x"]) + rng.normal(0, 0.5, groups)[frame["id"]] + rng.normal(0, 0.3, n)
    return nb.Dataset.from_frame(frame, outcome="y", levels="id", inputs=("x",))


def model(text="mu ~ 1 + s(x) + (1|id)", **options):
    return nb.Model(LinearMixed(), text, **options)


def test_the_squared_coefficients_are_the_integrated_squared_curvature():
    """Up to one factor, whatever the coefficients."""
    x = np.random.default_rng(2).uniform(0, 6, 80)
    s = Smooth()
    s(x, k=8)
    grid = np.linspace(x.min() - 0.5, x.max() + 0.5, 20_001)
    curves = s(grid)[:, 1:]
    bent = np.diff(curves, 2, axis=0) / (grid[1] - grid[0]) ** 2
    penalty = bent.T @ bent * (grid[1] - grid[0])
    assert penalty == pytest.approx(penalty[0, 0] * np.eye(6), rel=1e-3, abs=1e-3 * penalty[0, 0])


def test_columns_are_orthogonal_and_of_unit_size():
    x = np.random.default_rng(2).uniform(0, 6, 80)
    basis = Smooth()(x)
    assert basis.shape == (80, 9)
    assert basis.mean(axis=0) == pytest.approx(0, abs=1e-10)
    assert basis[:, 0] == pytest.approx((x - x.mean()) / x.std(), rel=1e-9)
    product = basis.T @ basis / 80
    assert product == pytest.approx(np.diag(np.diag(product)), abs=1e-9)
    assert np.diag(product)[1:].sum() == pytest.approx(1)


def test_a_pilot_finds_the_curve():
    data = study()
    found = pilot(model(), designed(model(), data))
    assert found.rounds > 0
    x = data.observations["x"].to_numpy()
    fixed = resolve(model(), data).fixed["mu"]
    shape = fixed.values[resolve(model(), data).outcomes[0].unit] @ found.theta["mu"]
    assert np.corrcoef(shape, np.sin(x))[0, 1] > 0.99


@pytest.mark.parametrize(("text", "smooths"), [
    ("mu ~ 1 + s(x) + (1|id)", ["s(x)"]),
    ("mu ~ 1 + arm + s(x, k=5):arm", ["s(x, k=5):arm[a]", "s(x, k=5):arm[b]"]),
])  # fmt: skip
def test_the_graph_has_an_sd_for_every_smooth_and_the_right_slopes(text, smooths):
    built = nb.build(model(text), study(10))
    assert list(built.coords["mu_smooth"]) == smooths
    point = built.initial_point(0)
    point["theta_mu_shrunk__"] = np.random.default_rng(1).normal(size=point["theta_mu_shrunk__"].shape)
    whole, slope = built.compile_logp(mode="FAST_COMPILE"), built.compile_dlogp(mode="FAST_COMPILE")(point)
    at = 0
    for value in built.value_vars:
        size = point[value.name].size
        step = np.random.default_rng(2).normal(size=point[value.name].shape)
        up, down = (whole({**point, value.name: point[value.name] + h * step}) for h in (1e-5, -1e-5))
        assert (slope[at : at + size] * step.ravel()).sum() == pytest.approx((up - down) / 2e-5, rel=1e-5, abs=1e-6)
        at += size


def test_without_curvature_the_smooth_is_a_line():
    data = study(10)
    values = {"theta_mu": [2.0, 0.7] + [0.0] * 8, "omega_id": [1e-9], "omega_mu_smooth": [0.1]}
    f = nb.simulate(model(), data, draws=1, values=values)["prior"]["f_y"].to_numpy().ravel()
    x = data.observations["x"].to_numpy()
    assert f == pytest.approx(2 + 0.7 * (x - x.mean()) / x.std(), abs=1e-7)


@pytest.mark.parametrize("omega", [1e-4, 2.0])
def test_a_simulation_at_a_stated_omega_is_as_curved(omega):
    tree = nb.simulate(model(), study(8), draws=400, values={"omega_mu_smooth": [omega]}, random_seed=1)
    theta = tree["prior"]["theta_mu"]
    curved = theta.sel(mu_term=[t for t in theta["mu_term"].to_numpy() if t.startswith("s(x)[") and t != "s(x)[0]"])
    assert curved.to_numpy().std() == pytest.approx(omega, rel=0.05)
    assert (tree["prior"]["omega_mu_smooth"] == omega).all()


def test_new_data_are_in_the_basis_of_the_training_and_survive_storage(tmp_path):
    data = study(10)
    tree = nb.simulate(model(), data, draws=5, random_seed=1)
    tree["posterior"] = tree["prior"]
    few = data.sel(id="3")
    again = nb.predict(tree, few)["posterior"]
    here = (data.observations["id"] == "3").to_numpy()
    assert again["f_y"].to_numpy() == pytest.approx(tree["prior"]["f_y"].to_numpy()[..., here], rel=1e-9)
    assert again["omega_mu_smooth"].to_numpy() == pytest.approx(tree["prior"]["omega_mu_smooth"].to_numpy())
    assert "omega mu: s(x)" in set(nb.summary(tree)["quantity"])
    assert storage.revive(json.loads(storage.statement(model()))) == model()


def test_priors_are_listed():
    table = nb.priors(model(), study(4)).set_index(["variable", "coordinate"])["prior"]
    assert table["omega_mu_smooth", "s(x)"].startswith("HalfNormal")
    assert table["theta_mu", "s(x)[3]"] == "Normal(mu=0, sigma=omega_mu_smooth[0])"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mu ~ 1 + s(x, k=3)", "k must be a whole number from 4"),
        ("mu ~ 1 + s(x, k=500)", "the covariate has 24 values; give a smaller k="),
        ("mu ~ 1 + s(x):s(x, k=5)", "is a product of smooths"),
        ("mu ~ 1 + (s(x)|id)", "a smooth is no random effect"),
    ],
)
def test_what_is_no_smooth_is_named(text, message):
    with pytest.raises(nb.FormulaError, match=message):
        nb.build(model(text), study(4))


def test_coefficients_beside_a_smooth_are_normal():
    told = model(priors={"theta_mu": nb.Prior("Laplace", mu=0, b=1)})
    with pytest.raises(nb.ModelError, match="prior of theta_mu: coefficients beside a smooth are Normal"):
        nb.build(told, study(4))
