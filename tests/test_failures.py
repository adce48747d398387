"""Solutions that end: what was before them stays, what is missing is said, and empty states are empty."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytensor.tensor as pt
import pytest

import model_zoo
import nlmebayes as nb
from nlmebayes.evaluation.evaluator import evaluator
from nlmebayes.evaluation.prediction import unsolved
from nlmebayes.model.build import designed


@dataclass(frozen=True)
class Ending(nb.System):
    """y' = -k y^a from 1: reaches 0 at 2 / k with a = 1/2, grows without bound at -1 / k with a = 2."""

    power: float = 0.5
    states = ("y",)
    parameters = (nb.Parameter("k", "1/h", 1.0, link="identity", spread=1.0),)

    def initial(self, p):
        return {"y": 1.0 + 0 * p.k}

    def rhs(self, t, y, p):
        return {"y": -p.k * y.y**self.power}

    def outcomes(self, t, y, p):
        return {"size": y.y}


TIMES = np.array([0.0, 0.5, 0.9, 1.9, 2.5, 3.0])
EACH = pytest.mark.parametrize(
    ("power", "k", "exact"),
    [(0.5, 1.0, (1 - TIMES[:4] / 2) ** 2), (2.0, -0.5, 1 / (1 - TIMES[:4] / 2))],
    ids=["emptied", "blown up"],
)


def study(**columns):
    frame = pd.DataFrame({"id": np.repeat(["a", "b"], 6), "time": np.tile(TIMES, 2), "size": 1.0}).assign(**columns)
    return nb.Dataset.from_frame(frame, outcome="size", levels="id", time="time")


@EACH
@pytest.mark.parametrize("solver", ["explicit", "stiff"])
def test_records_before_the_end_of_a_solution_keep_their_values(power, k, exact, solver):
    model = nb.Model(Ending(power=power, solver=solver), "k ~ 1")
    found = evaluator(model, designed(model, study()))({"k": np.array([[k]])}, {})[1]["size"][0]
    assert found[:4] == pytest.approx(exact, rel=1e-4)
    assert found[6:10] == pytest.approx(exact, rel=1e-4)
    assert np.isnan(found[[4, 5, 10, 11]]).all()


@EACH
def test_predict_says_whose_records_have_no_solution(power, k, exact):
    model = nb.Model(Ending(power=power), "k ~ 1 + x")
    stated = {"k": {"Intercept": 0.0, "x": k}}
    tree = nb.population(model, theta=stated, omega={}, sigma={"a": 0.1}, outcome="size", reference={"x": 0.1})
    with pytest.warns(
        UserWarning, match=r"predict: 2 of 12 predictions of size are missing, in 1 of 1 draws: b from 2.5"
    ):
        found = nb.predict(tree, study(x=np.repeat([0.1, 1.0], 6)), random_seed=1)
    assert np.isfinite(found["posterior"]["f_size"].to_numpy()[0, 0, :10]).all()


class Guarded(Ending):
    def rhs(self, t, y, p):
        return {"y": -p.k * pt.maximum(y.y, 0) ** self.power}


class Sliding(Ending):
    """Production that stops above the level at which it starts below."""

    def rhs(self, t, y, p):
        return {"y": pt.switch(y.y > 0.5, -p.k, p.k)}


def test_the_mend_that_is_named_of_an_empty_state_under_a_root():
    model = nb.Model(Guarded(), "k ~ 1")
    found = evaluator(model, designed(model, study()))({"k": np.array([[1.0]])}, {})[1]["size"][0, :6]
    assert found == pytest.approx(np.maximum(1 - TIMES / 2, 0) ** 2, rel=1e-4, abs=1e-9)


def test_slopes_that_lead_back_to_a_threshold_have_no_solution_and_it_is_said():
    model = nb.Model(Sliding(), "k ~ 1")
    design = designed(model, study())
    f = evaluator(model, design)({"k": np.array([[1.0]])}, {})[1]
    assert f["size"][0, :2] == pytest.approx([1.0, 0.5]) and np.isnan(f["size"][0, 2:6]).all()
    (line,) = unsolved(design, f)
    assert "a from 0.9 on" in line and "slopes lead back to a threshold from both sides" in line


def test_what_is_missing_is_counted_by_draw_and_subject():
    model = nb.Model(Ending(), "k ~ 1")
    f = np.zeros((3, 12))
    f[0, 6:], f[1, 4:6], f[2, 5] = np.nan, np.nan, np.nan
    (line,) = unsolved(designed(model, study()), {"size": f})
    assert line.startswith(
        "9 of 36 predictions of size are missing, in 3 of 3 draws: a from 2.5 on (2 draws); b at all times (1 draw). "
    )
    assert list(unsolved(designed(model, study()), {"size": np.zeros((3, 12))})) == []


@pytest.mark.parametrize("declared", [True, ("y",), ()])
def test_a_state_that_cannot_be_negative_is_empty_where_it_is_within_tolerance(declared):
    structure = type("Stated", (Ending,), {"nonnegative": declared})()
    amounts = pt.constant([[5.0, 1e-3, -4e-6, -6e-6, 0.0]])
    found = structure._emptied(amounts, None, ("y",)).eval(mode="FAST_COMPILE")
    assert found.tolist() == [[5.0, 1e-3, 0.0 if declared else -4e-6, -6e-6, 0.0]]


@pytest.mark.parametrize("said", [{"nonnegative": ("x",)}, {"scales": {"x": 1e9}}, {"dosed": "x"}], ids=str)
def test_what_a_class_says_of_a_state_that_does_not_exist_is_refused(said):
    structure = type("Stated", (Ending,), said)()
    with pytest.raises(ValueError, match="no state 'x'; its states are y"):
        structure.arrays(designed(nb.Model(structure), study()))


def test_what_is_missing_gives_no_size():
    structure = type("Stated", (Ending,), {"nonnegative": True})()
    amounts, unknown = pt.constant([[1.0, -1e-8, 0.001]]), pt.constant([True, False, False])
    assert structure._emptied(amounts, unknown, ("y",)).eval(mode="FAST_COMPILE")[0, 1] == -1e-8


def test_systems_of_the_zoo_that_hold_amounts_say_so():
    for name in model_zoo.__all__:
        structure = getattr(model_zoo, name)()
        if isinstance(structure, nb.System):
            assert structure.nonnegative is True or set(structure.nonnegative) == set(structure.states)
