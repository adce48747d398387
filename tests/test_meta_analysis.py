"""`MetaAnalysis`: formulas, slopes, limits, and what metafor prints of the BCG trials."""

import numpy as np
import pandas as pd
import pytest
from laws import curve, records, slopes, values
from trees import stated

import nlmebayes as nb
from model_zoo import MetaAnalysis


def effect(mu):
    return mu


def dose_response(e0, emax, ed50, dose):
    return e0 + emax * dose / (ed50 + dose)


EVERY = pytest.mark.parametrize(
    ("structure", "law"), [(MetaAnalysis(), effect), (MetaAnalysis("dose"), dose_response)], ids=["effect", "dose"]
)


@EVERY
def test_the_curve_is_its_formula(structure, law):
    found, expected = values(structure, law)
    assert found == pytest.approx(expected, rel=1e-12)


@EVERY
def test_slopes_are_those_of_finite_differences(structure, law):
    found, expected = slopes(structure, law)
    assert found == pytest.approx(expected, rel=1e-4, abs=1e-6)


@EVERY
def test_records_are_reached_through_formulas_and_units(structure, law):
    found, expected = records(structure, law)
    assert found == pytest.approx(expected, rel=1e-12)


def arms():
    """Three arms of three studies, exposure and response."""
    frame = pd.DataFrame({"study": np.repeat(["a", "b", "c"], 3), "dose": [0.0, 10.0, 40.0] * 3})
    frame = frame.assign(exposure=1.0, response=2.0)
    return nb.Dataset.from_frame(frame, outcome=("exposure", "response"), levels="study", inputs=["dose"])


CHAIN = {
    "theta_cl": [np.log(2.0)], "theta_e0": [1.0], "theta_emax": [8.0], "theta_ec50": [np.log(5.0)],
    "omega_study": [1e-9] * 3, "sigma_exposure_a": 0.1, "sigma_response_a": 0.1,
}  # fmt: skip


def test_the_response_follows_the_exposure_and_the_exposure_the_dose():
    tree = stated(nb.Model(MetaAnalysis("exposure")), arms(), **CHAIN)
    exposure, response = (tree["prior"][f"f_{name}"].to_numpy().ravel()[:3] for name in ("exposure", "response"))
    assert exposure == pytest.approx([0.0, 5.0, 20.0], abs=1e-6)
    assert response == pytest.approx([1.0, 5.0, 1.0 + 8.0 * 20 / 25], abs=1e-6)


def test_placebo_is_the_response_without_a_dose():
    value, _ = curve(MetaAnalysis("dose"))(e0=3.0, emax=-5.0, ed50=10.0, dose=[0.0, 10.0, 1e12])
    assert value == pytest.approx([3.0, 0.5, -2.0])
