"""Expressions as source: every operation beside PyTensor's own evaluation, and errors that say what is wrong."""

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest

from nlmebayes.solver.ode import expressions, numbers

X = (-2.5, -0.7, 0.0, 0.4, 1.0, 3.2)
ONE = {
    "exp": pt.exp, "log1p of a square": lambda x: pt.log1p(x**2), "log": lambda x: pt.log(x**2 + 0.1),
    "log2": lambda x: pt.log2(x**2 + 1), "log10": lambda x: pt.log10(x**2 + 1), "expm1": pt.expm1,
    "sqrt": lambda x: pt.sqrt(x**2 + 1), "sin": pt.sin, "cos": pt.cos, "tan": pt.tan, "sinh": pt.sinh,
    "cosh": pt.cosh, "tanh": pt.tanh, "arctan": pt.arctan, "arcsin": lambda x: pt.arcsin(x / 4),
    "arccos": lambda x: pt.arccos(x / 4), "abs": pt.abs, "floor": pt.floor, "ceil": pt.ceil, "erf": pt.erf,
    "erfc": pt.erfc, "gammaln": lambda x: pt.gammaln(x**2 + 0.5), "sign": pt.sign, "sigmoid": pt.sigmoid,
    "softplus": pt.softplus, "reciprocal": lambda x: pt.reciprocal(x + 9), "square": pt.sqr, "negative": lambda x: -x,
    "a power": lambda x: (x**2 + 1) ** 1.7,
    "whole powers": lambda x: x**3 + x**5 - (x**2 + 1) ** -2, "exp2": pt.exp2, "clip": lambda x: pt.clip(x, -1, 1),
    "a modulus": lambda x: pt.mod(x, 1.5), "a switch": lambda x: pt.switch(x > 0.3, x, x**2),
    "both conditions": lambda x: pt.switch(pt.and_(x > 0, x < 2), 1.0, x),
    "either": lambda x: pt.switch(pt.or_(x < 0, x >= 3), 1.0, x),
    "not": lambda x: pt.switch(pt.invert(pt.gt(x, 0)), 2.0, x), "equal": lambda x: pt.switch(pt.eq(x, 1.0), 5.0, x),
    "unequal": lambda x: pt.switch(pt.neq(x, 1.0), 5.0, x), "infinity": lambda x: pt.switch(x > 100, np.inf, x),
    "a constant": lambda x: pt.constant(2.5), "an integer": lambda x: x * 3 + 1,
}  # fmt: skip
TWO = {
    "sum": lambda x, y: x + y, "difference": lambda x, y: x - y, "product": lambda x, y: x * y,
    "ratio": lambda x, y: x / (y + 9), "maximum": pt.maximum, "minimum": pt.minimum,
    "a power of a parameter": lambda x, y: (x**2 + 0.1) ** y, "at most": lambda x, y: pt.switch(x <= y, x, y),
    "at least": lambda x, y: pt.switch(x >= y, 2 * x, y),
}  # fmt: skip


def run(source, name):
    env = dict(numbers.NAMES)
    exec(source, env)
    return numbers.njit(error_model="numpy")(env[name])


@pytest.mark.parametrize("name", [*ONE, *TWO])
def test_an_expression_and_its_slope_are_those_of_pytensor(name):
    x, y = pt.dscalar("x"), pt.dscalar("y")
    value = pt.as_tensor(ONE[name](x) if name in ONE else TWO[name](x, y), dtype="float64")
    slope = pytensor.grad(value, x, disconnected_inputs="ignore") if value.owner else pt.constant(0.0)
    compute = run(expressions.function("f", {"a": x, "b": y}, [value, slope]), "f")
    wanted = pytensor.function([x, y], [value, slope], mode="FAST_COMPILE", on_unused_input="ignore")
    for a in X:
        np.testing.assert_allclose(compute(a, 0.8), wanted(a, 0.8), rtol=1e-14, atol=1e-15, err_msg=str(a))


def test_an_expression_of_something_else_is_an_error():
    x, stranger = pt.dscalar("x"), pt.dscalar("stranger")
    with pytest.raises(expressions.ExpressionError, match="depends on stranger"):
        expressions.function("f", {"x": x}, [x + stranger])


def test_operations_on_arrays_are_errors():
    x = pt.dscalar("x")
    with pytest.raises(expressions.ExpressionError, match="1 dimensions where one number is needed"):
        expressions.function("f", {"x": x}, [pt.stack([x, x])])
    with pytest.raises(expressions.ExpressionError, match="cannot be compiled into a right-hand side"):
        expressions.function("f", {"x": x}, [pt.gammaincc(x, 2.0)])
