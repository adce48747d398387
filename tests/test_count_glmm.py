"""`CountGLMM`: the rate itself, and a cell-by-cell analysis that finds too much."""

import numpy as np
import pandas as pd
import pytest
from laws import slopes, values

import nlmebayes as nb
from model_zoo import CountGLMM
from nlmebayes.inference.starts import pilot
from nlmebayes.model.build import designed


def rate(rate):
    return rate


def test_the_curve_is_its_formula():
    found, expected = values(CountGLMM(), rate)
    assert found == pytest.approx(expected, rel=1e-12)
    found, expected = slopes(CountGLMM(), rate)
    assert found == pytest.approx(expected, rel=1e-4, abs=1e-6)


def cells(seed=1, patients=12, each=30):
    rng = np.random.default_rng(seed)
    patient = np.repeat(np.arange(patients), each)
    size = rng.uniform(0.5, 2.0, len(patient))
    mean = 2 * size * np.exp(rng.normal(0, 0.5, patients)[patient])
    counts = rng.negative_binomial(4, 4 / (4 + mean))
    frame = pd.DataFrame({"patient": patient, "arm": patient % 2, "size": size, "count": counts})
    return nb.Dataset.from_frame(frame, outcome="count", levels="patient", inputs=("size",))


def error_of_the_effect(formula):
    model = nb.Model(CountGLMM(), formula, residual=nb.NegativeBinomial("size"))
    found = pilot(model, designed(model, cells()))
    return found.theta["rate"][1], np.sqrt(found.covariance[1, 1])


def test_cells_of_a_patient_are_not_independent():
    """Without the patient, the standard error of a difference between arms is several times too small."""
    _, alone = error_of_the_effect("rate ~ 1 + arm")
    effect, error = error_of_the_effect("rate ~ 1 + arm + (1|patient)")
    assert error > 2 * alone
    assert abs(effect) < 2.5 * error


def test_an_exposure_scales_the_rate():
    """Twice the size factor, half the rate."""
    data = cells()
    double = nb.Dataset.from_frame(
        data.observations.assign(count=data.observations["value"], size=2 * data.observations["size"])[
            ["patient", "arm", "size", "count"]
        ], outcome="count", levels="patient", inputs=("size",),
    )  # fmt: skip
    model = nb.Model(CountGLMM(), "rate ~ 1 + (1|patient)", residual=nb.NegativeBinomial("size"))
    one, other = (pilot(model, designed(model, each)).theta["rate"][0] for each in (data, double))
    assert one - other == pytest.approx(np.log(2), abs=0.02)
