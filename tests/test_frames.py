"""Prediction from a plain DataFrame, and of typical people."""

import numpy as np
import pandas as pd
import pytest
from trees import stated

import nlmebayes as nb
from model_zoo import Emax, LinearMixed, OneCompartment


def nested(draws=20, levels=("site", "site/id")):
    frame = pd.DataFrame({"site": np.repeat(list("ab"), 6), "id": np.tile(np.repeat([1, 2, 3], 2), 2)})
    frame["drug"] = np.where(np.arange(12) // 2 % 2, "active", "placebo")
    frame["age"], frame["score"] = 40.0 + np.arange(12), np.arange(12.0)
    data = nb.Dataset.from_frame(frame, outcome="score", levels=levels, duplicates="keep")
    return frame, stated(nb.Model(LinearMixed(), "mu ~ 1 + drug + age + (1|site) + (1|id)"), data, draws=draws)


def test_the_training_table_is_predicted_as_the_training_data_are():
    frame, tree = nested()
    for table in (frame, frame.drop(columns="score"), frame.assign(id=frame["site"] + "/" + frame["id"].astype(str))):
        found = nb.predict(tree, table)["posterior"]
        assert found["f_score"].equals(tree["posterior"]["f_score"])
    backwards = nb.predict(tree, frame[::-1])["posterior"]["f_score"].to_numpy()
    assert backwards[..., ::-1] == pytest.approx(tree["posterior"]["f_score"].to_numpy(), rel=1e-12)


def test_truths_in_a_frame_are_one_and_nought_as_in_the_data():
    frame = pd.DataFrame({"id": [1, 2, 3, 4], "fed": [True, False, True, False], "score": 1.0})
    data = nb.Dataset.from_frame(frame, outcome="score", levels="id")
    tree = stated(nb.Model(LinearMixed(), "mu ~ 1 + fed + (1|id)"), data, draws=3)
    assert nb.predict(tree, frame)["posterior"]["f_score"].equals(tree["posterior"]["f_score"])
    typical = nb.predict(tree, frame[["fed"]], groups="none")["posterior"]["f_score"].to_numpy()
    assert typical[..., 0] == pytest.approx(tree["posterior"]["theta_mu"].sum("mu_term").to_numpy(), rel=1e-12)


def test_groups_of_a_frame_are_known_by_the_label_that_the_data_have():
    frame, tree = nested()
    new = frame.iloc[:2].assign(id=["1", "9"])
    eta = nb.predict(tree, new, random_seed=1)["posterior"]["eta_id"]
    assert list(eta["id"].to_numpy()) == ["a/1", "a/9"]
    known = tree["posterior"]["eta_id"].sel(id="a/1").to_numpy()
    assert eta.sel(id="a/1").to_numpy() == pytest.approx(known, rel=1e-12)


def test_a_typical_prediction_has_fixed_effects_alone():
    _, tree = nested()
    found = nb.predict(tree, pd.DataFrame({"drug": ["active", "placebo"], "age": 50.0}), groups="none")["posterior"]
    b = tree["posterior"]["theta_mu"].to_numpy()
    expected = np.stack([b[..., 0] + 50 * b[..., 2], b[..., 0] + b[..., 1] + 50 * b[..., 2]], axis=-1)
    assert found["f_score"].to_numpy() == pytest.approx(expected, rel=1e-12)
    assert (found["eta_site"] == 0).all() and (found["eta_id"] == 0).all()
    typical = nb.predict(tree, groups="none")["posterior"]["f_score"].to_numpy()
    alike = nb.predict(tree, nb.training_dataset(tree), groups="none")["posterior"]["f_score"].to_numpy()
    assert typical == pytest.approx(alike, rel=1e-12)
    with pytest.raises(nb.ModelError, match="has no effects that could be drawn anew"):
        nb.predict(tree, groups="none", redraw=True)


def doses_and_times():
    frame = pd.DataFrame({"id": [1, 1, 2, 2], "time": [1.0, 5.0, 2.0, 6.0], "conc": 1.0, "wt": [70.0, 70, 90, 90]})
    doses = pd.DataFrame({"id": [1, 2], "time": 0.0, "amt": [100.0, 300.0]})
    data = nb.Dataset.from_frame(frame, outcome="conc", time="time", levels="id", doses=doses)
    model = nb.Model(OneCompartment(), "cl ~ 1 + log(wt/70) + (1|id)", "v ~ 1")
    return stated(model, data, theta_cl=[np.log(3.0), 0.75], theta_v=[np.log(30.0)], omega_id=[0.3])


def test_doses_of_a_frame_are_those_of_its_subjects():
    tree, frame = doses_and_times(), pd.DataFrame({"id": [2, 1, 2], "time": [4.0, 0.0, 1.0], "wt": [90.0, 70.0, 90.0]})
    found = nb.predict(tree, frame, groups="none")["posterior"]["f_conc"].to_numpy().ravel()
    k = 3.0 * (90 / 70) ** 0.75 / 30
    assert found == pytest.approx([10 * np.exp(-4 * k), 100 / 30, 10 * np.exp(-k)], rel=1e-9)
    with pytest.raises(nb.DataError, match="frame, row 2, column id: nobody knows the doses of 7"):
        nb.predict(tree, frame.assign(id=[2, 7, 2]))


@pytest.mark.parametrize(("change", "words"), [
    (lambda f: f.drop(columns="age"), "frame: no column 'age', which the model reads; it has site, id, drug, score"),
    (lambda f: f.drop(columns="id"), "frame: no column 'id', .*new ones are new groups., or groups='none'"),
    (lambda f: f.assign(age=[50.0, np.nan] * 6), "frame, row 2, column age: is missing, and the model needs it"),
    (lambda f: f.assign(age=["50", "old"] * 6), "frame, row 2, column age: 'old' is text"),
    (lambda f: f.assign(drug="other"), "drug has the category 'other'; those of the training data are active, placebo"),
    (lambda f: f.assign(site=[None, "a"] * 6), "frame, row 1, column site: the label is missing"),
    (lambda f: f.assign(id=["1", None] * 6), "frame, row 2, column id: the label is missing"),
    (lambda f: f.iloc[:0], "frame: it has no rows"),
])  # fmt: skip
def test_what_a_frame_lacks_is_named(change, words):
    frame, tree = nested(draws=2)
    with pytest.raises(nb.DataError, match=words):
        nb.predict(tree, change(frame))


def test_inputs_have_the_names_of_the_data():
    frame = pd.DataFrame({"id": [1, 1, 2, 2], "dose": [0.0, 4.0, 8.0, 2.0], "y": 1.0})
    data = nb.Dataset.from_frame(frame, outcome="y", levels="id", inputs="dose")
    model = nb.Model(Emax(), "e0 ~ 1", "emax ~ 1", "ec50 ~ 1", inputs={"concentration": "dose"})
    tree = stated(model, data, theta_e0=[1.0], theta_emax=[np.log(10.0)], theta_ec50=[np.log(4.0)])
    found = nb.predict(tree, pd.DataFrame({"dose": [4.0, 12.0]}), groups="none")["posterior"]["f_y"]
    assert found.to_numpy().ravel() == pytest.approx([6.0, 8.5], rel=1e-12)
    with pytest.raises(nb.DataError, match="no column 'dose', which the model reads"):
        nb.predict(tree, pd.DataFrame({"concentration": [4.0]}), groups="none")
