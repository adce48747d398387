"""What the sampler calls: values beside SciPy, other data of another shape, failures as minus infinity."""

import os
import subprocess
import sys

import numpy as np
import pymc as pm
import pytest
from numba.core import event
from pytensor.raise_op import Assert
from scipy.stats import norm

import nlmebayes as nb
from model_zoo import OneCompartment
from nlmebayes.inference.compilation import compiled, density, expanded


@pytest.fixture(scope="module")
def small():
    with pm.Model() as built:
        data, scale = pm.Data("data", [1.0, 2.0, 4.0]), pm.Data("scale", np.array([[2, 3]], dtype=np.int32))
        m = pm.Normal("m", 0.0, scale[0, 0], shape=2)
        positive = Assert("negative")(m[1], (m[1] > -1.0).all())
        pm.Deterministic("twice", 2.0 * m)
        pm.Normal("y", m[0] + positive, 1.0, observed=data)
    return compiled(built, "numba", ["m", "twice"])


def expected(x, data, scale):
    value = norm.logpdf(x, 0, scale).sum() + norm.logpdf(data, x.sum(), 1).sum()
    return value, -x / scale**2 + (np.asarray(data) - x.sum()).sum()


def test_density_and_slopes_are_those_of_scipy(small):
    x = np.array([0.3, -0.2])
    value, slopes = density(small)(x)
    wanted, wanted_slopes = expected(x, [1.0, 2.0, 4.0], 2)
    assert value == pytest.approx(wanted, rel=1e-12)
    np.testing.assert_allclose(slopes, wanted_slopes, rtol=1e-12)
    np.testing.assert_allclose(expanded(small, x[None])["twice"], 2 * x[None])


def test_other_data_of_another_shape_need_no_compilation(small):
    x, other = np.array([0.3, -0.2]), np.arange(5.0)
    changed = small.with_data(data=other, scale=np.array([[3, 1]], dtype=np.int32))
    assert density(changed)(x)[0] == pytest.approx(expected(x, other, 3)[0], rel=1e-12)
    assert density(small)(x)[0] == pytest.approx(expected(x, [1.0, 2.0, 4.0], 2)[0], rel=1e-12)


@pytest.mark.parametrize("x", [(0.3, -2.0), (np.nan, 0.0), (1e200, 0.0)], ids=["an error", "nan", "overflow"])
def test_a_failure_is_minus_infinity(small, x):
    value, slopes = density(small)(np.array(x))
    assert value == -np.inf
    assert np.isfinite(slopes).all()


def test_slopes_of_a_population_with_inputs_are_those_of_differences():
    """136 patients, most sampled long after a dose; a sampler with other slopes only looks slow."""
    model = nb.Model(OneCompartment("first-order"), "cl ~ 1 + (1|id)", "v ~ 1", "ka ~ 1", residual=nb.Proportional())
    ready = nb.sampler(model, nb.datasets.quinidine())
    evaluate, rng = density(ready.compiled), np.random.default_rng(1)
    for _ in range(3):
        x = np.asarray(ready.start(1)) + 0.05 * rng.standard_normal(ready.compiled.n_dim)
        step = 1e-6 * rng.standard_normal(len(x))
        change = (evaluate(x + step)[0] - evaluate(x - step)[0]) / 2
        assert evaluate(x)[1] @ step == pytest.approx(change, rel=1e-4, abs=1e-9)


def test_a_graph_is_compiled_once():
    """PyTensor compiles a function that calls that of the graph beside it."""
    mean, sd = np.random.default_rng().uniform(1.0, 2.0, 2)  # no file on disk has them
    with pm.Model() as built:
        pm.Deterministic("shifted", mean + pm.Normal("m", 0.0, sd))
    with event.install_recorder("numba:compile") as recorder:
        compiled(built, "numba", ["shifted"])
    names = [each.data["dispatcher"].__name__ for _, each in recorder.buffer if each.is_start]
    assert names.count("numba_funcified_fgraph") == 2  # the log-density, and what is stored


def test_draws_are_the_same_from_code_just_compiled_and_from_a_cache(tmp_path):
    code = (
        "import nlmebayes as nb\n"
        "from model_zoo import LinearMixed\n"
        "model = nb.Model(LinearMixed(), 'mu ~ 1 + (1|Batch)')\n"
        "tree = nb.fit(model, nb.datasets.dyestuff(), draws=50, tune=200, chains=2, random_seed=1, progressbar=False)\n"
        "print(tree['posterior']['theta_mu'].to_numpy().tobytes().hex())\n"
    )
    environment = os.environ | {"PYTENSOR_FLAGS": f"base_compiledir={tmp_path}"}
    cold, warm = (
        subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    )
    assert cold == warm
