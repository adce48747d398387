"""Arithmetic that stands alone: what it gives on numbers and on tensors, and what a stranger cannot say with it."""

import numpy as np
import pytensor.tensor as pt
import pytest
from hypothesis import given
from hypothesis import strategies as st

import nlmebayes as nb
from nlmebayes.formula import functions
from nlmebayes.formula.calculation import read, read_tokens, subscripted
from nlmebayes.formula.scan import scan

VALUES = {"a": np.array([0.3, 0.5]), "b": np.array([0.9, 0.2])}
TEXTS = {
    "a + b * 2 - a / b": VALUES["a"] + VALUES["b"] * 2 - VALUES["a"] / VALUES["b"],
    "+a + (+2)": VALUES["a"] + 2,
    "-a ** 2": -(VALUES["a"] ** 2),
    "log(2) * a": np.log(2) * VALUES["a"],
    "where((a < b) & (b > 0.5), 1, 2) + (0.1 < a <= 0.4)": [2.0, 2.0],
    "minimum(a, b) + clip(a, 0, 0.4) + abs(-b) % 0.7 // 0.1": None,
    "(a > 0.4) + (b < 1) - (a > 0.2) * 2 + exp(b > 0.5) / -(a > 0)": [-1 - np.e, -1.0],
    "where(1 < a, 5, (a > 0.4) + (b > 0.1))": [1.0, 2.0],
    "expit(logit(a)) + log10(b) + tanh(a)": None,
    "where(not (a == 0.3 or b != 0.2), 1, 0)": [0.0, 1.0],
}


@pytest.mark.parametrize("text", TEXTS)
def test_numbers_and_tensors_have_the_same_value(text):
    found, expected = read(text), TEXTS[text]
    names = {name: VALUES[name] for name in found.names}
    symbolic = found.on_tensors({name: pt.as_tensor(x) for name, x in names.items()}).eval(mode="FAST_COMPILE")
    assert found.of(names) == pytest.approx(symbolic, rel=1e-14)
    assert expected is None or found.of(names) == pytest.approx(np.asarray(expected), rel=1e-14)


@pytest.mark.parametrize("name", functions.ELEMENTWISE)
def test_every_function_of_numbers_is_one_of_tensors(name):
    arguments = ", ".join(["a", "b", "0.7"][: functions.ARGUMENTS.get(name, 1)])
    found = read(f"{name}({arguments})")
    symbolic = found.on_tensors({k: pt.as_tensor(v) for k, v in VALUES.items()}).eval(mode="FAST_COMPILE")
    assert found.of(VALUES) == pytest.approx(symbolic, rel=1e-13)


def test_a_name_with_its_label_is_one_name():
    text = "theta_cl[log(wt/70)] - theta_cl[sex[M]] * omega_id['a#b' ] / x"
    names = ("theta_cl[log(wt/70)]", "theta_cl[sex[M]]", "omega_id[a#b]", "x")
    assert read_tokens(subscripted(scan(text), text), text).names == names


@pytest.mark.parametrize("text", [
    "__import__('os').system('true')", "open('x')", "a[0]", "lambda: 1", "[a for a in b]", "a if b else 1", "f'{a}'",
    "a := 1", "'a'", "True", "None", "(1).real", "`a`(1)", "a b", "", "log()", "log(a, b)", "log(a, x=1)", "center(a)",
    "C(a)", "s(a)", "a; b", "a = 1", "*a", "1" + "0" * 400, "1e999", "+" + "-" * 200 + "a",
    "a" * 30_000, "a @ b", "a ~ b", "a << 2", "{a}", "{'a': 1}", "(a, b)", "print(a)", "a is b", "a in b",
    "a > 1 & b < 1", "a & b", "not a", "~a", "a > 1 or b", "where(a > 1 | b > 1, 1, 0)",
])  # fmt: skip
def test_what_is_no_arithmetic_is_refused_in_a_sentence(text):
    with pytest.raises(nb.FormulaError) as refusal:
        read(text)
    assert "\n" not in str(refusal.value)


@given(st.text(alphabet="ab0123456789.+-*/()<>=[]'\"`_ ,:;&|!%~{}\\@logexpwhere", max_size=30))
def test_any_text_is_arithmetic_or_refused(text):
    try:
        found = read(text)
    except nb.FormulaError:
        return
    assert np.ndim(found.of(dict.fromkeys(found.names, 0.5))) == 0
