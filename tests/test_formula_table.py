"""What formulas mean: R's and lme4's terms, Python's numbers, patsy's matrices."""

import re

import numpy as np
import pandas as pd
import patsy
import pytest

from nlmebayes.formula import FormulaError, parse
from nlmebayes.formula.evaluate import UnseenError, evaluate
from nlmebayes.formula.matrix import again, matrix

RNG = np.random.default_rng(1)
N = 48
FRAME = pd.DataFrame({
    "a": np.tile(["a1", "a2"], N // 2), "b": np.repeat(["b1", "b2", "b3"], N // 3), "c": np.tile(list("uvvu"), N // 4),
    "x": RNG.uniform(1, 9, N), "y": RNG.normal(size=N), "z": RNG.uniform(0.1, 2, N), "wt": RNG.uniform(40, 100, N),
    "crcl": RNG.uniform(20, 120, N), "k": RNG.integers(1, 4, N), "flag": RNG.random(N) < 0.5,
    "body fat": RNG.uniform(5, 40, N), "s.creat": RNG.uniform(0.5, 2, N),
})  # fmt: skip


def sum_of(right):
    return parse(f"mu ~ {right}").fixed


def read(right, frame=FRAME):
    return matrix(sum_of(right), frame)


# --- R's terms -------------------------------------------------------------------------------------------------------
# Written out after R's help page `formula` (Chambers and Hastie 1992, ch. 2): main effects first, then interactions by
# their order; an intercept unless it is taken away, the last word counts. patsy reads them too, independently.

TERMS = {
    "1": "1", "0": "0", "-1": "0", "1 - 1": "0", "0 + 1": "1", "x": "1 x", "+ x": "1 x", "x + y": "1 x y",
    "x - 1": "0 x", "0 + x": "0 x", "x + 0": "0 x", "-1 + x + y": "0 x y", "1 + x + x": "1 x", "y + x": "1 y x",
    "x:y": "1 x:y", "x:y + x": "1 x x:y", "x*y": "1 x y x:y", "x*y - x": "1 y x:y", "x*y - x:y": "1 x y",
    "x*y*z": "1 x y z x:y x:z y:z x:y:z", "x*y*z - x:y:z": "1 x y z x:y x:z y:z", "x*(y + z)": "1 x y z x:y x:z",
    "(x + y)*z": "1 x y z x:z y:z", "(x + y):z": "1 x:z y:z", "x:(y + z)": "1 x:y x:z",
    "(x + y):(y + z)": "1 y x:y x:z y:z", "x/y": "1 x x:y", "x/y/z": "1 x x:y x:y:z", "x/(y + z)": "1 x x:y x:z",
    "(x + y)/z": "1 x y x:y:z", "x/y - x": "1 x:y", "x/y:z": "1 x x:y:z", "x*y:z": "1 x y:z x:y:z",
    "x:y*z": "1 z x:y x:y:z", "x + y:z": "1 x y:z", "(x + y)**2": "1 x y x:y",
    "(x + y + z)**2": "1 x y z x:y x:z y:z", "(x + y + z)**3": "1 x y z x:y x:z y:z x:y:z",
    "(x + y + z)**2 - x:y": "1 x y z x:z y:z", "(x*y)**2": "1 x y x:y", "(x + y)**1": "1 x y",
    "x + (y + z)": "1 x y z", "x + y + z - (x + z)": "1 y", "(x + y - 1)": "0 x y", "((x))": "1 x",
    "y:x + x:y": "1 y:x", "x*y + z*y": "1 x y z x:y z:y", "a*x": "1 a x a:x", "a/x": "1 a a:x", "a:b": "1 a:b",
    "a*b": "1 a b a:b", "0 + a": "0 a", "0 + a:x": "0 a:x", "0 + a + a:x": "0 a a:x", "a/b": "1 a a:b",
    "a/b + x": "1 a x a:b", "a*b*c": "1 a b c a:b a:c b:c a:b:c", "0 + a:b:c": "0 a:b:c", "a/x/y": "1 a a:x a:x:y",
}  # fmt: skip


def patsy_terms(right):
    """Terms by patsy; 0 in front where it has no intercept."""
    found = [term.name() for term in patsy.ModelDesc.from_formula(right.replace("0 + 1", "1")).rhs_termlist]
    names = {"Intercept": "1"}
    return {names.get(name, frozenset(name.split(":"))) for name in found} | (
        {"0"} - {"0" for n in found if n == "Intercept"}
    )


@pytest.mark.parametrize(("right", "expected"), TERMS.items(), ids=TERMS)
def test_terms_are_those_of_r_and_of_patsy(right, expected):
    expected = expected.split()
    found = sum_of(right)
    assert [str(int(found.intercept)), *(":".join(f.text for f in p) for p in found.products)] == expected
    assert patsy_terms(right) == {e if e in "01" else frozenset(e.split(":")) for e in expected}


MATRICES = [
    *[right for right in TERMS if right not in ("0 + 1",)], "np.log(x)", "x + np.exp(y)*a", "C(k)", "C(k):x",
    "a + b + c", "0 + a + b", "0 + b:c + x", "a + b:x", "b:x", "x + b:x", "x:y:a", "a:b:x", "C(b, Treatment('b2'))",
    "C(b, Sum)", "0 + C(b, Sum)", "C(b, Sum)*a", "bs(x, df=5)", "bs(x, knots=[3, 5], degree=2)",
    "C(k, levels=[3, 1, 2])", "I(x > 4)",
]  # fmt: skip


def spanned(values):
    """Projection on the columns: two matrices of the same span fit the same data alike."""
    q, r = np.linalg.qr(values)
    kept = np.abs(np.diag(r)) > 1e-9
    return np.linalg.matrix_rank(values), q[:, kept] @ q[:, kept].T


@pytest.mark.parametrize("right", MATRICES)
def test_matrices_span_what_those_of_patsy_do(right):
    ours = read(right.replace("np.", "")).values
    theirs = np.asarray(patsy.dmatrix(right, FRAME.assign(flag=0)))
    assert np.linalg.matrix_rank(theirs) == np.linalg.matrix_rank(ours) == ours.shape[1]
    both = np.linalg.matrix_rank(np.hstack([ours, theirs]), tol=1e-8)
    assert both == ours.shape[1]


CODED = [right for right in MATRICES if "bs(" not in right and "I(" not in right and "Sum" not in right]


@pytest.mark.parametrize("right", CODED)
def test_columns_are_those_of_patsy(right):
    """Up to their order, and to which main effects patsy adds for a rank that both have."""
    ours = {tuple(column) for column in read(right.replace("np.", "")).values.T.round(9)}
    theirs = {tuple(column) for column in np.asarray(patsy.dmatrix(right, FRAME.assign(flag=0))).T.round(9)}
    assert ours == theirs


# --- Python's numbers ------------------------------------------------------------------------------------------------

NUMBERS = [
    "-wt**2", "(-wt)**2", "2**3**0.5*wt", "-2**2*wt", "2**-1*wt", "wt/70", "wt/70/2", "wt - crcl - x",
    "wt - (crcl - x)", "1e-3*wt", "1E3*x", ".5*x", "5.*x", "1e+2*x", "wt*crcl/x", "wt/(crcl*x)", "x % 3", "-x % 3",
    "x // 2", "-x // 2", "log(wt/70)", "log(x)**2", "log(x**2)", "-log(x)", "log10(wt)", "log2(x)", "log1p(x)",
    "exp(-x/2)", "expm1(z)", "sqrt(x)*y", "abs(y)", "abs(y)**0.5", "sin(2*x)", "cos(x) + sin(x)", "tan(z)", "tanh(y)",
    "arctan(y)", "floor(x)", "ceil(x)", "minimum(x, 4)", "maximum(y, 0)", "maximum(minimum(x, 4), 2)",
    "clip(x, 2, 4)", "where(x > 4, y, z)", "where((x > 4) & (y > 0), 1, 0)", "(x > 4)*y",
    "2 < x < 5", "2 < x", "(2 < x) & ~(y > 0)", "(x > 8) | (y > 1)", "x == x", "k == 2", "k != 2", "k >= 2", "+x",
    "--x", "-(x + y)", "0.75*log(wt/70)", "0.8*log(crcl/120) + k*log(0.7)", "wt**3.4/(47.7**3.4 + wt**3.4)",
    "log(1 + 0.0154*(crcl - 66)**2)", "(wt/70)**0.75", "(140 - crcl)*wt/72", "x*y*z", "x + y*z", "(x + y)*z", "x**y",
    "x**-y", "x**2**0.5", "(x**2)**0.5", "100*x/wt", "1/x", "1/(1 + exp(-y))", "x - x", "flag*x", "k**2", "7e1*x",
]  # fmt: skip
NAMES = {name: getattr(np, name) for name in (
    "log", "log10", "log2", "log1p", "exp", "expm1", "sqrt", "abs", "sin", "cos", "tan", "tanh", "arctan", "floor",
    "ceil", "minimum", "maximum", "clip", "where",
)}  # fmt: skip


@pytest.mark.parametrize("text", ["(x > 4) + (y > 0)", "(x > 4) - (y > 0)", "-(x > 4)", "exp(x > 4) + (x > 4)**2"])
def test_comparisons_count_as_one_and_nought(text):
    """As in Python and R; of two arrays of truths NumPy's sum is "or"."""
    names = [dict(NAMES, x=x, y=y) for x, y in FRAME[["x", "y"]].to_numpy(float).tolist()]
    expected = [float(eval(text.replace("exp(x > 4)", "exp(1.0 * (x > 4))"), {}, own)) for own in names]
    found = matrix(sum_of(f"0 + I({text})"), FRAME).values[:, 0]
    assert found == pytest.approx(expected, rel=1e-12) and len(set(expected)) > 1


@pytest.mark.parametrize("text", NUMBERS)
def test_arithmetic_is_that_of_python(text):
    columns = {name: FRAME[name].to_numpy(dtype=float) for name in ("x", "y", "z", "wt", "crcl", "k", "flag")}
    python = text.replace("2 < x < 5", "(2 < x) & (x < 5)")
    expected = np.broadcast_to(eval(python, {}, NAMES | columns), N).astype(float)
    (expression,) = sum_of(f"0 + I({text})").expressions
    np.testing.assert_array_equal(evaluate(expression, FRAME, {}), expected)
    (offset,) = sum_of(f"offset({text})").offsets
    np.testing.assert_array_equal(evaluate(offset, FRAME, {}), expected)


def test_the_tables_have_150_formulas():
    assert len(TERMS) + len(NUMBERS) + len(set(MATRICES) - set(TERMS)) >= 150


def test_two_offsets_are_both_used():
    """The case of a clearance of 1.72 that was 4.51: 4.5 (70/70)^0.75 (30/100)^0.8."""
    frame = pd.DataFrame({"wt": [70.0], "crcl": [30.0]})
    found = read("offset(0.75*log(wt/70)) + offset(0.8*log(crcl/100))", frame)
    assert 4.5 * np.exp(found.offset) == pytest.approx(4.5 * 0.3**0.8)
    assert found.terms == ("Intercept",)


def test_names_may_be_anything_in_backquotes_and_have_points():
    found = read("log(`body fat`/20) + s.creat")
    assert found.terms == ("Intercept", "log(`body fat` / 20)", "s.creat")
    assert found.values[:, 1] == pytest.approx(np.log(FRAME["body fat"] / 20))


# --- categories ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ordered", [True, False])
def test_the_declared_order_of_categories_is_taken(ordered):
    frame = pd.DataFrame(
        {"arm": pd.Categorical(["drug", "placebo"] * 3, ["placebo", "unused", "drug"], ordered=ordered)}
    )
    assert read("arm", frame).terms == ("Intercept", "arm[drug]")
    assert read("C(arm)", frame).terms == ("Intercept", "C(arm)[drug]")
    assert read("0 + arm", frame).terms == ("arm[placebo]", "arm[drug]")
    assert read("T(arm, 'drug')", frame).terms == ("Intercept", "T(arm, 'drug')[placebo]")
    assert read("C(arm, levels=['drug', 'placebo'])", frame).terms[1].endswith("[placebo]")


def test_texts_are_sorted_and_numbers_are_too():
    frame = pd.DataFrame({"g": ["10", "9", "b"], "n": [10.0, 9.0, 11.5]})
    assert read("0 + g", frame).terms == ("g[10]", "g[9]", "g[b]")
    assert read("0 + C(n)", frame).terms == ("C(n)[9]", "C(n)[10]", "C(n)[11.5]")


def test_text_is_compared_with_its_categories():
    frame = pd.DataFrame(
        {"sex": ["F", "M", "F"], "stage": pd.Categorical(["I", "III", "II"], ["I", "II", "III"], ordered=True)}
    )
    assert read("0 + I(sex == 'F')", frame).values.ravel().tolist() == [1, 0, 1]
    assert read("0 + I('F' != sex)", frame).values.ravel().tolist() == [0, 1, 0]
    assert read("0 + I(stage >= 'II')", frame).values.ravel().tolist() == [0, 1, 1]


@pytest.mark.parametrize(
    ("right", "message"),
    [
        ("I(sex == 'f')", "there is no category 'f' in the data; there are F, M"),
        ("I(sex > 'F')", "sex has no declared order"),
        ("log(sex)", "sex is text, and arithmetic takes numbers"),
        ("I(sex + 1)", "sex is text"),
        ("I(x == 'F')", "cannot be compared: one is text"),
        ("I(sex == site)", "cannot be compared: one is text"),
        ("I((x > 1) & x)", "join comparisons"),
        ("C(sex, levels=['F'])", "levels= must name each category of the data once: F, M"),
        ("C(sex, levels=['F', 'X'])", "there is no category 'X' in the data; there are F, M"),
        ("T(sex, 'X')", "there is no category 'X'"),
        ("C(sex, 'F')", "the contrast is Treatment('reference') or Sum"),
        ("site", "site has one category only (s), so it has no effect"),
        ("poly(x, 2) + bs(x, df=2)", "bs(x, df=2): df=2 is too small"),
        ("s(x, k=20)", "the covariate has 3 values"),
    ],
)
def test_what_the_data_do_not_have_is_refused(right, message):
    frame = pd.DataFrame({"sex": ["F", "M", "F"], "x": [1.0, 2.0, 3.0], "site": ["s"] * 3})
    with pytest.raises(FormulaError, match=re.escape(message)):
        read(right, frame)


@pytest.mark.parametrize("right", ["sex", "C(sex)", "I(sex == 'F')", "x:sex", "T(sex, 'M')"])
def test_a_category_that_training_did_not_see_is_refused(right):
    trained = read(right, pd.DataFrame({"sex": ["F", "M"], "x": [1.0, 2.0]}))
    assert (again(trained, pd.DataFrame({"sex": ["M"], "x": [2.0]})).values == trained.values[1:]).all()
    with pytest.raises(UnseenError, match=r"sex.* has the category 'X'; those of the training data are F, M"):
        again(trained, pd.DataFrame({"sex": ["X"], "x": [1.0]}))


def test_a_label_may_come_as_a_number_but_a_number_not_as_text():
    """A file of one patient has no other label in the column, so that 3 is read as a number there."""
    trained = read("g", pd.DataFrame({"g": ["3", "3+", "5"]}))
    assert again(trained, pd.DataFrame({"g": [5.0]})).values.tolist() == [[1.0, 0.0, 1.0]]
    with pytest.raises(UnseenError, match="g has the category '4'; those of the training data are 3, 3\\+, 5"):
        again(trained, pd.DataFrame({"g": [4]}))
    with pytest.raises(UnseenError, match=r"x is text \('a'\); in the training data it is a number"):
        again(read("x"), pd.DataFrame({"x": ["a"]}))
