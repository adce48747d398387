"""`LitterDecay`: formula, slopes, limits."""

import numpy as np
import pytest
from laws import curve, has_its_slopes, is_its_formula, reaches_its_records

from model_zoo import LitterDecay

LAWS = [
    (LitterDecay(), lambda k, time: np.exp(-k * time)),
    (LitterDecay(asymptote=True), lambda k, a, time: a + (1 - a) * np.exp(-k * time)),
]


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


@pytest.mark.parametrize(("asymptote", "end"), [(False, 0.0), (True, 0.25)])
def test_litter_is_whole_at_first_and_ends_at_its_asymptote(asymptote, end):
    value, _ = curve(LitterDecay(asymptote=asymptote))(k=0.5, a=0.25, time=[0.0, 1e5])
    assert value.tolist() == [1.0, end]


def test_litter_without_an_asymptote_is_the_limit():
    t = np.linspace(0, 10, 5)
    limit, _ = curve(LitterDecay(asymptote=True))(k=0.5, a=1e-15, time=t)
    assert limit == pytest.approx(curve(LitterDecay())(k=0.5, time=t)[0], rel=1e-11)
