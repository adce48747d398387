"""`Emax`: formula, slopes, limits."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from laws import curve, quick, random_point, records, slopes, values
from pytensor.compile.mode import Mode

from model_zoo import Emax


def hyperbola(e0, emax, ec50, concentration):
    return e0 + emax * concentration / (ec50 + concentration)


def hill(e0, emax, ec50, gamma, concentration):
    return e0 + emax * concentration**gamma / (ec50**gamma + concentration**gamma)


EVERY = pytest.mark.parametrize(
    ("structure", "law"), [(Emax(), hyperbola), (Emax(sigmoid=True), hill)], ids=["hyperbola", "sigmoid"]
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


@pytest.mark.parametrize("structure", [Emax(), Emax(sigmoid=True)], ids=str)
def test_no_concentration_is_the_baseline_with_finite_gradients(structure):
    # Without rewrites, some of which would hide 0 times infinity.
    evaluate = curve(structure, Mode(linker="py", optimizer=None))
    value, slopes = evaluate(e0=2.0, emax=50.0, ec50=5.0, gamma=[0.5, 1.0, 3.0], concentration=0.0)
    assert value.tolist() == [2.0] * len(value)
    assert all(np.isfinite(slopes[name]).all() for name in slopes)
    assert (slopes["e0"].tolist(), slopes["ec50"].tolist()) == ([1.0] * len(value), [0.0] * len(value))


@pytest.mark.parametrize("structure", [Emax(), Emax(sigmoid=True)], ids=str)
def test_the_effect_is_half_way_at_ec50_and_whole_far_above(structure):
    value, _ = curve(structure)(e0=2.0, emax=50.0, ec50=5.0, gamma=2.5, concentration=[5.0, 1e12])
    assert value == pytest.approx([27.0, 52.0], rel=1e-10)


@quick
@given(st.floats(0, 1e4), st.floats(-5, 5), st.floats(0.1, 100), st.floats(0.01, 100))
def test_a_sigmoid_with_an_exponent_of_one_is_a_hyperbola(concentration, e0, emax, ec50):
    at = {"e0": e0, "emax": emax, "ec50": ec50, "concentration": concentration}
    hyperbola, sigmoid = curve(Emax())(**at), curve(Emax(sigmoid=True))(**at, gamma=1.0)
    assert sigmoid[0] == pytest.approx(hyperbola[0], rel=1e-12, abs=1e-12)
    for name in ("e0", "emax", "ec50"):
        assert sigmoid[1][name] == pytest.approx(hyperbola[1][name], rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("concentration", [1e-300, 1e-30, 1e30, 1e300])
def test_a_steep_sigmoid_does_not_overflow(concentration):
    value, slopes = curve(Emax(sigmoid=True))(e0=0.0, emax=1.0, ec50=1.0, gamma=20.0, concentration=concentration)
    assert value == pytest.approx(float(concentration > 1), abs=1e-12)
    assert all(np.isfinite(slopes[name]).all() for name in ("e0", "emax", "ec50", "gamma"))


@EVERY
def test_the_unit_of_concentration_does_not_matter(structure, law):
    at = random_point(structure, 7)
    micrograms = at | {name: 1000 * at[name] for name in ("ec50", "concentration")}
    assert curve(structure)(**micrograms)[0] == pytest.approx(curve(structure)(**at)[0], rel=1e-12)


@pytest.mark.parametrize("gamma", [0.5, 1.0, 4.0])
def test_ten_and_ninety_percent_are_81_to_the_power_of_one_over_gamma_apart(gamma):
    concentration = 5.0 * np.array([1 / 9, 9]) ** (1 / gamma)
    value, _ = curve(Emax(sigmoid=True))(e0=0.0, emax=1.0, ec50=5.0, gamma=gamma, concentration=concentration)
    assert value == pytest.approx([0.1, 0.9], rel=1e-12)
    assert concentration[1] / concentration[0] == pytest.approx(81 ** (1 / gamma), rel=1e-12)
