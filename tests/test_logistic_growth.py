"""`LogisticGrowth`: formula, slopes, limits."""

import numpy as np
import pytest
from laws import curve, has_its_slopes, is_its_formula, reaches_its_records

from model_zoo import LogisticGrowth

LAWS = [(LogisticGrowth(), lambda asym, xmid, scal, time: asym / (1 + np.exp(-(time - xmid) / scal)))]


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


def test_logistic_growth_has_half_its_asymptote_at_xmid_and_73_percent_one_scale_later():
    value, _ = curve(LogisticGrowth())(asym=192.0, xmid=728.0, scal=354.0, time=[728.0, 728.0 + 354.0, 1e6])
    assert value == pytest.approx([96.0, 192 / (1 + np.exp(-1)), 192.0], rel=1e-14)
    assert value[1] / 192 == pytest.approx(0.73, abs=0.005)
