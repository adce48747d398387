"""`LitterDecay`: formula, slopes, limits."""

import numpy as np
import pandas as pd
import pytensor.tensor as pt
import pytest
from laws import curve, records, slopes, values
from scipy.integrate import quad

import nlmebayes as nb
from model_zoo import LitterDecay
from nlmebayes.structure.structure import Named


def exponential(k, time):
    return np.exp(-k * time)


def asymptotic(k, a, time):
    return a + (1 - a) * np.exp(-k * time)


def double(k, a, k_slow, time):
    return a * np.exp(-k_slow * time) + (1 - a) * np.exp(-k * time)


EVERY = pytest.mark.parametrize(
    ("structure", "law"),
    [
        (LitterDecay(), exponential),
        (LitterDecay(form="asymptotic"), asymptotic),
        (LitterDecay(form="double"), double),
    ],
    ids=["exponential", "asymptotic", "double"],
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


@pytest.mark.parametrize(("form", "end"), [("single", 0.0), ("asymptotic", 0.25)])
def test_litter_is_whole_at_first_and_ends_at_its_asymptote(form, end):
    value, _ = curve(LitterDecay(form=form))(k=0.5, a=0.25, time=[0.0, 1e5])
    assert value.tolist() == [1.0, end]


def test_litter_without_an_asymptote_is_the_limit():
    t = np.linspace(0, 10, 5)
    limit, _ = curve(LitterDecay(form="asymptotic"))(k=0.5, a=1e-15, time=t)
    assert limit == pytest.approx(curve(LitterDecay())(k=0.5, time=t)[0], rel=1e-11)


def test_the_lifetimes_of_olson():
    """Olson (1963): half is lost by 0.693 / k, 95 % by 3 / k and 99 % by 5 / k."""
    k = 0.3
    value, _ = curve(LitterDecay())(k=k, time=np.array([np.log(2), 3.0, 5.0]) / k)
    assert value == pytest.approx([0.5, np.exp(-3), np.exp(-5)], rel=1e-14)
    assert np.round(1 - value, 2).tolist() == [0.5, 0.95, 0.99]


@pytest.mark.parametrize(("form", "a"), [("single", 0.0), ("asymptotic", 0.25)])
def test_what_can_decay_decays_at_the_rate_k(form, a):
    value, slopes_at = curve(LitterDecay(form=form))(k=0.5, a=0.25, time=[0.0, 1.0, 7.0])
    assert slopes_at["time"] == pytest.approx(-0.5 * (value - a), rel=1e-12)


def test_the_unit_of_time_does_not_matter():
    years, _ = curve(LitterDecay(form="asymptotic"))(k=0.5, a=0.25, time=[0.0, 1.0, 7.0])
    months, _ = curve(LitterDecay(form="asymptotic"))(k=0.5 / 12, a=0.25, time=[0.0, 12.0, 84.0])
    assert months == pytest.approx(years, rel=1e-14)


def test_the_fraction_that_stays_is_between_0_and_1():
    (fraction,) = [p for p in LitterDecay(form="asymptotic").parameters if p.name == "a"]
    assert fraction.scale.inverse(pt.as_tensor([-50.0, 0.0, 50.0])).eval(mode="FAST_COMPILE") == pytest.approx(
        [0.0, 0.5, 1.0], abs=1e-15
    )


def test_two_pools_become_one_at_equal_rates_and_an_asymptote_without_the_slow():
    t, both = np.linspace(0, 10, 7), curve(LitterDecay(form="double"))
    alike, _ = both(k=0.5, a=0.3, k_slow=0.5, time=t)
    assert alike == pytest.approx(curve(LitterDecay())(k=0.5, time=t)[0], rel=1e-14)
    stays, _ = both(k=0.5, a=0.3, k_slow=1e-15, time=t)
    assert stays == pytest.approx(curve(LitterDecay(form="asymptotic"))(k=0.5, a=0.3, time=t)[0], rel=1e-12)


@pytest.mark.parametrize(("form", "law"), [("single", exponential), ("double", double)])
def test_the_time_that_litter_stays_is_the_area_under_its_curve(form, law):
    p = {"k": 0.9, "a": 0.3, "k_slow": 0.2}
    p = {q.name: p[q.name] for q in LitterDecay(form=form).parameters}
    expected, _ = quad(lambda t: law(**p, time=t), 0, np.inf, epsabs=1e-12)
    assert LitterDecay(form=form).residence(p) == pytest.approx(expected, rel=1e-9)
    assert np.isinf(LitterDecay(form="asymptotic").residence({"k": 0.9, "a": 0.3}))


def test_an_unknown_form_is_refused():
    with pytest.raises(ValueError, match="form must be 'single', 'asymptotic' or 'double'; got 'triple'"):
        LitterDecay(form="triple")


def test_the_fast_rate_is_kept_above_the_slow():
    (gap,) = LitterDecay(form="double").order
    at = [gap(Named(k=k, k_slow=0.2)).eval(mode="FAST_COMPILE") for k in (pt.as_tensor(0.9), pt.as_tensor(0.1))]
    assert at == pytest.approx([np.log(4.5), np.log(0.5)])
    assert LitterDecay().order == ()


def test_a_climate_slope_is_the_logarithm_of_q10():
    """Sites 10 degrees apart: rates in the ratio of Q10 = 2."""
    frame = pd.DataFrame({"site": ["cold", "warm"], "celsius": [5.0, 15.0], "time": 1.0, "mass": 0.7})
    data = nb.Dataset.from_frame(frame, outcome="mass", time="time", levels="site")
    model = nb.Model(LitterDecay(), "k ~ 1 + I((celsius - 10) / 10)")
    tree = nb.simulate(model, data, values={"theta_k": [-1.0, np.log(2.0)]}, draws=1)
    cold, warm = tree["prior"]["k"].to_numpy().ravel()
    assert warm / cold == pytest.approx(2.0, rel=1e-12)
