"""Sums of responses to doses, dose by dose and by states that are carried on."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from laws import BOLUS, ORAL, BolusResponse, OralResponse, parameter_names, predicted

from nlmebayes.data.dataset import Dataset
from nlmebayes.data.validate import DataError
from nlmebayes.evaluation.evaluator import evaluator
from nlmebayes.formula.design import resolve
from nlmebayes.model.model import Model

PHI = {"cl": 3.0, "v": 30.0, "ka": 0.7}
BOTH = pytest.mark.parametrize("structure", [ORAL, BOLUS, OralResponse(), BolusResponse()], ids=str)
DOSES = st.lists(st.tuples(st.integers(0, 48), st.integers(0, 500)), min_size=1, max_size=5).map(sorted)
TIMES = np.linspace(-1, 60, 27)


def at_times(structure, doses, times=TIMES, **change):
    phi = {name: value for name, value in (PHI | change).items() if name in parameter_names(structure)}
    return predicted(structure, times, doses, **phi)


@BOTH
@settings(deadline=None, max_examples=8)
@given(doses=DOSES)
def test_two_halves_of_a_dose_are_the_dose(structure, doses):
    halves = [(time, amount / 2) for time, amount in doses for _ in range(2)]
    assert at_times(structure, halves) == pytest.approx(at_times(structure, doses), rel=1e-12)


@BOTH
@settings(deadline=None, max_examples=8)
@given(one=DOSES, other=DOSES)
def test_responses_to_doses_add_up(structure, one, other):
    together = at_times(structure, sorted(one + other))
    assert together == pytest.approx(at_times(structure, one) + at_times(structure, other), rel=1e-12)


@BOTH
@settings(deadline=None, max_examples=8)
@given(doses=DOSES, shift=st.integers(-1000, 1000))
def test_the_origin_of_time_does_not_matter(structure, doses, shift):
    moved = at_times(structure, [(time + shift, amount) for time, amount in doses], TIMES + shift)
    assert moved == pytest.approx(at_times(structure, doses), rel=1e-9)


@BOTH
@settings(deadline=None, max_examples=8)
@given(doses=DOSES)
def test_units_of_time_and_amount_do_not_matter(structure, doses):
    hours, per_mg = at_times(structure, doses), {"cl": PHI["cl"] / 60, "ka": PHI["ka"] / 60}
    minutes = at_times(structure, [(60 * time, 1000 * amount) for time, amount in doses], 60 * TIMES, **per_mg)
    assert minutes == pytest.approx(1000 * hours, rel=1e-9)


@BOTH
def test_no_dose_no_concentration(structure):
    assert (at_times(structure, [(0, 0)]) == 0).all()
    assert (at_times(structure, [(5, 100)], np.linspace(-3, 4.9, 7)) == 0).all()


@BOTH
def test_long_after_the_last_dose_nothing_is_left(structure):
    assert at_times(structure, [(0, 100), (3, 100)], np.array([1e4, 1e6, 1e9])) == pytest.approx([0, 0, 0], abs=1e-300)


@BOTH
def test_the_order_of_dose_rows_does_not_matter(structure):
    doses = [(0, 100), (6, 50), (12, 200)]
    assert at_times(structure, doses[::-1]) == pytest.approx(at_times(structure, doses), rel=1e-14)


def test_regular_doses_reach_the_steady_state_of_the_geometric_series():
    k, tau = 0.1, 12.0
    trough = predicted(BOLUS, [600 * tau - 1e-9], [(tau * i, 100) for i in range(600)], cl=3.0, v=30.0)
    assert trough == pytest.approx(100 / 30 * np.exp(-k * tau) / (1 - np.exp(-k * tau)), rel=1e-8)


def test_doses_act_on_their_own_subject():
    frame = pd.DataFrame({"id": ["a", "a", "b"], "time": [1.0, 2.0, 1.0], "y": 0.0})
    doses = pd.DataFrame({"id": ["b"], "time": [0.0], "amt": [30.0]})
    data = Dataset.from_frame(frame, outcome="y", time="time", levels="id", doses=doses)
    model = Model(BOLUS, "cl ~ 1", "v ~ 1")
    found = evaluator(model, resolve(model, data))({"cl": np.log([[3.0]]), "v": np.log([[30.0]])}, {})[1]["y"]
    assert found[0] == pytest.approx([0, 0, np.exp(-0.1)])


@BOTH
def test_draws_are_a_leading_axis(structure):
    rng = np.random.default_rng(2)
    phi = {name: PHI[name] * rng.lognormal(size=5) for name in parameter_names(structure)}
    together = predicted(structure, TIMES, [(0, 100), (7, 30)], **phi)
    for i in range(5):
        alone = predicted(structure, TIMES, [(0, 100), (7, 30)], **{name: x[i] for name, x in phi.items()})
        assert together[i] == pytest.approx(alone, rel=1e-13)


@pytest.mark.parametrize(("system", "twin"), [(ORAL, OralResponse()), (BOLUS, BolusResponse())])
@settings(deadline=None, max_examples=20)
@given(doses=DOSES, ka=st.floats(0.01, 10))
def test_the_state_that_is_carried_on_is_the_sum_of_responses(system, twin, doses, ka):
    assert at_times(system, doses, ka=ka) == pytest.approx(at_times(twin, doses, ka=ka), rel=1e-11, abs=1e-12)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rate": 10.0}, "row 1, column RATE: a superposition of responses takes boluses only"),
        ({"ss": 1, "ii": 12.0}, "row 1, column SS: a superposition of responses takes boluses only"),
    ],
)
def test_a_superposition_refuses_what_it_cannot_do(change, message):
    frame = pd.DataFrame({"id": ["a"], "time": [1.0], "y": 0.0})
    doses = pd.DataFrame({"id": ["a"], "time": [0.0], "amt": [30.0]} | {k: [v] for k, v in change.items()})
    data = Dataset.from_frame(frame, outcome="y", time="time", levels="id", doses=doses)
    with pytest.raises(DataError, match=message):
        evaluator(Model(BolusResponse()), resolve(Model(BolusResponse()), data))


def test_additional_doses_are_doses():
    frame = pd.DataFrame({"id": ["a"] * 3, "time": [1.0, 20.0, 50.0], "y": 0.0})
    one = pd.DataFrame({"id": ["a"], "time": [0.0], "amt": [30.0], "addl": [3], "ii": [12.0]})
    model = Model(BolusResponse(), "cl ~ 1", "v ~ 1")
    data = Dataset.from_frame(frame, outcome="y", time="time", levels="id", doses=one)
    found = evaluator(model, resolve(model, data))({"cl": np.log([[3.0]]), "v": np.log([[30.0]])}, {})[1]["y"][0]
    doses = [(0, 30), (12, 30), (24, 30), (36, 30)]
    assert found == pytest.approx(predicted(BolusResponse(), [1.0, 20.0, 50.0], doses, cl=3.0, v=30.0), rel=1e-13)
