"""A covariate with errors and gaps: the same laws with it known, the marginal law by hand, the pilot, refusals."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import nlmebayes as nb
from model_zoo import LinearMixed, OneCompartment
from nlmebayes.evaluation import evaluator, measurement, storage
from nlmebayes.formula.design import resolve


def latent(**options):
    return nb.LatentCovariate(LinearMixed(), "x", ("mu",), 5.0, 2.0, **options)


def study(groups=150, seed=1, error=1.0, lost=0.3):
    rng = np.random.default_rng(seed)
    true = rng.normal(5, 2, groups)
    seen = np.where(rng.uniform(size=groups) < lost, np.nan, true + rng.normal(0, error, groups))
    frame = pd.DataFrame({"id": np.repeat(np.arange(groups), 3), "y": 1 + 0.8 * np.repeat(true - 5, 3)})
    frame["y"] += rng.normal(0, 0.5, len(frame))
    frame["x"] = np.where(np.tile([True, False, False], groups), np.repeat(seen, 3), np.nan)
    frame["error"] = error
    return nb.Dataset.from_frame(frame, outcome=("y", "x"), levels="id", inputs=("error",)), frame


MODEL = nb.Model(
    latent(), "mu ~ 1", "x_true ~ 1 + (1|id)",
    residual={"y": nb.Additive(), "x": nb.Aggregate(None, error="error")},
)  # fmt: skip


def test_a_known_covariate_is_the_same_as_one_in_the_formula():
    data = nb.Dataset.from_frame(pd.DataFrame({
        "id": [1, 1, 2], "time": [1.0, 6.0, 2.0], "conc": 1.0, "wt": [60.0, np.nan, 90.0],
    }), outcome=("conc", "wt"), levels="id", time="time",
        doses=pd.DataFrame({"id": [1, 2], "time": 0.0, "amt": 100.0}))  # fmt: skip
    one = OneCompartment()
    wrapped = nb.LatentCovariate(one, "wt", ("cl",), 70.0, 15.0, "conc")
    model = nb.Model(wrapped, "cl ~ 1", "v ~ 1", "wt_true ~ 1 + (1|id)")
    design = resolve(model, data)
    values = {"cl": np.log([[3.0]]), "v": np.log([[30.0]]), "wt_true": np.array([[70.0]]), "cl_wt": np.array([[0.02]])}
    _, f, _ = evaluator.evaluator(model, design)(values, {"id": np.array([[[-10.0], [20.0]]])})
    assert f["wt"][0] == pytest.approx([60.0, 90.0])
    cl = 3 * np.exp(0.02 * np.array([-10.0, -10.0, 20.0]))
    assert f["conc"][0] == pytest.approx(100 / 30 * np.exp(-cl / 30 * np.array([1.0, 6.0, 2.0])), rel=1e-9)


def test_a_missing_covariate_is_found_from_the_response():
    """One subject with y only: the normal law of its covariate by hand."""
    tree = nb.population(
        MODEL, theta={"mu": 1.0, "x_true": 5.0, "mu_x": 0.8}, omega={"sd": {"x_true": 2.0}},
        sigma={"y": {"a": 0.5}, "x": {}},
    )  # fmt: skip
    frame = pd.DataFrame({"id": "new", "y": [3.0, 3.4], "error": 1.0})
    patient = nb.Dataset.from_frame(frame, outcome="y", levels="id")
    found = nb.forecast(tree, patient, random_seed=1)["posterior"]["x_true"].to_numpy()
    precision = 1 / 4 + 2 * 0.8**2 / 0.25
    mean = 5 + (0.8 * (2.0 + 2.4) / 0.25) / precision
    assert found.mean() == pytest.approx(mean, abs=0.05)
    assert found.std() == pytest.approx(precision**-0.5, rel=0.05)


def test_the_marginal_law_of_two_subjects_is_that_by_hand():
    data, _ = study(2, lost=0.0)
    design = resolve(MODEL, data)
    nodes = np.linspace(-8, 8, 2001)
    weights = stats.norm.pdf(nodes)
    n = len(nodes)
    theta = {"mu": np.ones((n, 1)), "x_true": np.full((n, 1), 5.0), "mu_x": np.full((n, 1), 0.8)}
    _, f, _ = evaluator.evaluator(MODEL, design)(theta, {"id": np.tile(2 * nodes[:, None, None], (1, 2, 1))})
    s = {"y": {"a": np.full(n, 0.5)}, "x": {}}
    dense = [measurement.log_density(MODEL.residual_of(o.name), f[o.name], s[o.name], o) for o in design.outcomes]
    slope = np.array([0.8, 0.8, 0.8, 1.0])
    law = stats.multivariate_normal([1, 1, 1, 5], 4 * np.outer(slope, slope) + np.diag([0.25, 0.25, 0.25, 1.0]))
    for i in range(2):
        own = [o.subject_number == i for o in design.outcomes]
        whole = sum(part[:, here].sum(axis=1) for part, here in zip(dense, own, strict=True))
        seen = np.concatenate([o.values[here] for o, here in zip(design.outcomes, own, strict=True)])
        assert np.log(np.exp(whole) @ weights / weights.sum()) == pytest.approx(law.logpdf(seen), rel=1e-8)


def test_the_statement_survives_storage():
    assert storage.revive(json.loads(storage.statement(MODEL))) == MODEL


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"on": ("cl",)}, "no parameter 'cl'; there are mu"),
        ({"on": ()}, "on= names at least one parameter"),
        ({"spread": 0.0}, "spread must be a positive number"),
    ],
)
def test_options_are_checked(options, message):
    given = {"structure": LinearMixed(), "covariate": "x", "on": ("mu",), "typical": 0.0, "spread": 1.0}
    with pytest.raises(ValueError, match=message):
        nb.LatentCovariate(**(given | options))
