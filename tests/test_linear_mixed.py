"""`LinearMixed`: the prediction is the linear predictor, and the priors follow the data."""

import numpy as np
import pandas as pd
import pytest
from laws import has_its_slopes, is_its_formula, reaches_its_records

from model_zoo import LinearMixed
from nlmebayes.data.dataset import Dataset
from nlmebayes.design import resolve
from nlmebayes.evaluation import evaluator
from nlmebayes.model import Model, priors

LAWS = [(LinearMixed(), lambda mu: mu)]


EVERY = pytest.mark.parametrize(("structure", "law"), LAWS, ids=lambda x: getattr(x, "label", ""))


@EVERY
def test_the_curve_is_its_formula(structure, law):
    is_its_formula(structure, law)


@EVERY
def test_slopes_are_those_of_finite_differences(structure, law):
    has_its_slopes(structure, law)


@EVERY
def test_records_are_reached_through_formulas_and_units(structure, law):
    reaches_its_records(structure, law)


def test_fixed_and_random_effects_add_up_by_hand():
    frame = pd.DataFrame({"id": [1, 1, 2], "x": [0.0, 2.0, 5.0], "y": [1.0, 2.0, 3.0]})
    data = Dataset.from_frame(frame, outcome="y", levels="id")
    design = resolve(Model(LinearMixed(), "mu ~ 1 + x + (1 + x|id)"), data)
    eta = {"id": np.array([[[0.5, 0.1], [-1.0, 0.2]]])}
    _, f, _ = evaluator(Model(LinearMixed()), design)({"mu": np.array([[10.0, 3.0]])}, eta)
    assert f["y"][0] == pytest.approx([10.5, 10.5 + 2 * 3.1, 9.0 + 5 * 3.2], rel=1e-14)


def test_default_priors_have_the_scale_of_the_data():
    frame = pd.DataFrame({"id": [1, 1, 2, 2], "x": [0.0, 1.0, 0.0, 4.0], "y": [1.0, 2.0, 3.0, 8.0]})
    model = Model(LinearMixed(), "mu ~ 1 + x + (1|id)")
    one, ten = (
        priors(model, Dataset.from_frame(frame.assign(y=scale * frame["y"]), outcome="y", levels="id"))["prior"]
        for scale in (1.0, 10.0)
    )
    assert [_sigma(text) * 10 for text in one] == pytest.approx([_sigma(text) for text in ten], rel=0.01)


def _sigma(text):
    return float(text.split("sigma=")[1].rstrip(")"))
