"""Curves without a class: what a formula and a function are, how they are stored, and what is refused."""

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytensor.tensor as pt
import pytest
from trees import stated

import nlmebayes as nb
from model_zoo import Emax
from nlmebayes.evaluation import storage

A = nb.Parameter("a", "mg/L", typical=10.0)
TEXT = "a * (1 - exp(-k * time))"


def data(outcome="y"):
    frame = pd.DataFrame({"id": np.repeat([1, 2], 3), "time": [0.0, 1.0, 4.0] * 2, "dose": [1.0, 2.0, 3.0] * 2})
    return nb.Dataset.from_frame(
        frame.assign(**{outcome: 1.0}), outcome=outcome, levels="id", time="time", inputs="dose"
    )


def growth(x, a, k):
    return a * (1 - pt.exp(-k * x.time))


def predicted(structure, **values):
    model = nb.Model(structure, *(f"{p.name} ~ 1 + (1|id)" for p in structure.parameters))
    return stated(model, data(), draws=3, **values)


@pytest.mark.parametrize(
    "law", [TEXT, growth, lambda x, k, a: a * (1 - np.exp(-k * x.time))], ids=["text", "function", "lambda"]
)
def test_a_curve_is_its_formula_with_its_units(law):
    structure = nb.curve(law, a=A, k=0.3)
    assert structure.inputs == ("time",)
    assert [(p.name, p.unit, p.typical) for p in structure.parameters] == [("a", "mg/L", 10.0), ("k", "", 0.3)]
    post = predicted(structure)["posterior"]
    expected = post["a"].to_numpy().repeat(3, axis=-1) * (
        1 - np.exp(-post["k"].to_numpy().repeat(3, axis=-1) * np.tile([0, 1, 4.0], 2))
    )
    assert post["f_y"].to_numpy() == pytest.approx(expected, rel=1e-12)


def test_a_formula_is_what_a_zoo_class_is():
    e0, emax, ec50 = Emax().parameters
    own = nb.curve("e0 + emax * concentration / (ec50 + concentration)", e0=e0, emax=emax, ec50=ec50)
    given = {"inputs": {"concentration": "dose"}}
    values = {"theta_e0": [1.0], "theta_emax": [2.0], "theta_ec50": [0.5]}
    ours, theirs = (stated(nb.Model(s, **given), data(), draws=2, **values)["posterior"]["f_y"] for s in (own, Emax()))
    assert ours.to_numpy() == pytest.approx(theirs.to_numpy(), rel=1e-12)
    assert len(nb.priors(nb.Model(own, **given), data())) == len(nb.priors(nb.Model(Emax(), **given), data()))


def test_a_formula_is_read_again_from_a_file(tmp_path):
    tree = predicted(nb.curve(TEXT, a=A, k=0.3))
    nb.save(tree, tmp_path / "fit.nc")
    start = f"import nlmebayes as nb; t = nb.load({str(tmp_path / 'fit.nc')!r})"
    code = f"{start}; print(float(nb.predict(t)['posterior']['f_y'].sum()))"
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert float(found.stdout.split()[-1]) == pytest.approx(float(tree["posterior"]["f_y"].sum()), rel=1e-9)
    assert storage.stored_model(tree) == nb.Model(nb.curve(TEXT, a=A, k=0.3), "a ~ 1 + (1|id)", "k ~ 1 + (1|id)")


def test_a_function_needs_its_model_in_another_process(tmp_path):
    structure = nb.curve(growth, a=A, k=0.3)
    tree = predicted(structure)
    assert nb.predict(tree)["posterior"]["f_y"].equals(tree["posterior"]["f_y"])  # this process knows it
    nb.save(tree, tmp_path / "fit.nc")
    path = str(tmp_path / "fit.nc")
    start = f"import nlmebayes as nb, pytensor.tensor as pt; t = nb.load({path!r})"
    code = f"""{start}
try:
    nb.predict(t)
except nb.ModelError as error:
    print(error)
for sign in (1, -1):
    own = nb.curve(lambda x, a, k: a * (sign - pt.exp(-k * x.time)), a=nb.Parameter("a", "mg/L", typical=10.0), k=0.3)
    model = nb.Model(own, "a ~ 1 + (1|id)", "k ~ 1 + (1|id)")
    try:
        print(float(nb.predict(t, model=model)["posterior"]["f_y"].sum()))
    except nb.ModelError as error:
        print(str(error).splitlines()[0])
"""
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.splitlines()
    assert "made by nb.curve of a function, which no file holds" in said[0]
    assert float(said[1]) == pytest.approx(float(tree["posterior"]["f_y"].sum()), rel=1e-9)
    assert "another model" in said[2] or "no file holds" in said[2]


def test_functions_are_told_apart_by_what_they_give():
    one, other = (nb.curve(_scaled(s), a=2.0) for s in (1, 2))
    assert one != other and one == nb.curve(_scaled(1), a=2.0) and hash(one) == hash(nb.curve(_scaled(1), a=2.0))


def test_functions_are_told_apart_where_a_typical_value_is_1():
    assert nb.curve(lambda x, a: a * x.time, a=1.0) != nb.curve(lambda x, a: a**2 * x.time, a=1.0)
    assert nb.curve(lambda x, a, b: a * x.time, a=1.0, b=1.0) != nb.curve(lambda x, a, b: b * x.time, a=1.0, b=1.0)


def _scaled(s):
    return lambda x, a: s * a * x.time


def test_a_function_may_give_several_outcomes():
    structure = nb.curve(lambda x, a: {"y": a * x.time, "z": a + x.dose}, a=2.0)
    assert structure.outcomes == ("y", "z") and structure.inputs == ("time", "dose")
    post = stated(nb.Model(structure, "a ~ 1"), data("z"), draws=1, theta_a=[np.log(3.0)])["posterior"]
    assert post["f_z"].to_numpy().ravel() == pytest.approx([4.0, 5.0, 6.0] * 2)


@pytest.mark.parametrize(("call", "words"), [
    (lambda: nb.curve("__import__('os').system('true')", a=1.0), "cannot read|no function"),
    (lambda: nb.curve("a.__class__", a=1.0), "there is no 'a'; it has a.__class__"),
    (lambda: nb.curve("a * center(time)", a=1.0), r"center\(\) is no function of numbers"),
    (lambda: nb.curve("k * time", a=1.0, k=1.0), "there is no 'a'; it has k, time"),
    (lambda: nb.curve("a * time"), "name its parameters"),
    (lambda: nb.curve("a * time", a=0.0), r"a=0 is not positive.*a=nb.Parameter\('a', typical=0, spread=1.0"),
    (lambda: nb.curve("a * time", a=nb.Parameter("b")), "a is given a Parameter that is called 'b'"),
    (lambda: nb.curve("a * time", a="x"), "a must be a Parameter .* or a finite number|a must be"),
    (lambda: nb.curve(lambda x, b: b, a=1.0), "has the parameters b after its inputs, and given are a"),
    (lambda: nb.curve(lambda: 1.0, a=1.0), "write the function as lambda x, a, k"),
    (lambda: nb.curve(lambda x, a: 1 / 0, a=1.0), "fails, ZeroDivisionError: .*import pytensor.tensor as pt"),
    (lambda: nb.curve(3.0, a=1.0), "law must be"),
])  # fmt: skip
def test_what_is_no_curve_is_refused(call, words):
    with pytest.raises((nb.ModelError, nb.FormulaError), match=words):
        call()


def test_a_stored_text_of_a_stranger_runs_nothing():
    tree = predicted(nb.curve(TEXT, a=A, k=0.3))
    said = json.loads(tree.attrs[storage.STATEMENT])
    said["fields"]["structure"]["fields"]["text"] = "a * k * __import__('os').getpid()"
    tree.attrs[storage.STATEMENT] = json.dumps(said)
    with pytest.raises(nb.FormulaError, match=r"cannot read|no function"):
        nb.predict(tree)


def test_a_curve_says_what_it_is():
    assert nb.curve(TEXT, a=A, k=0.3).label == f"FormulaCurve(text={TEXT!r})"
    assert "a ~ 1" in str(nb.Model(nb.curve(growth, a=A, k=0.3)))
