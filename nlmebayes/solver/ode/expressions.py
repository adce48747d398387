"""PyTensor expressions of numbers as Python source, which Numba compiles and JAX traces."""

import math
import re

import numpy as np
import pytensor.tensor as pt
from pytensor.compile.ops import DeepCopyOp
from pytensor.graph.rewriting.utils import rewrite_graph
from pytensor.graph.traversal import toposort
from pytensor.scalar.basic import ScalarOp
from pytensor.tensor.basic import ScalarFromTensor, TensorFromScalar
from pytensor.tensor.elemwise import DimShuffle, Elemwise

SYMBOLS = {
    "Add": "+", "Mul": "*", "Sub": "-", "TrueDiv": "/", "Pow": "**", "LT": "<", "GT": ">", "LE": "<=", "GE": ">=",
    "EQ": "==", "NEQ": "!=", "AND": "&", "OR": "|", "XOR": "^",
}  # fmt: skip
FORMS = {
    "Neg": "(-{0})", "Sqr": "({0} * {0})", "Reciprocal": "(1.0 / {0})", "Identity": "{0}", "Second": "{1}",
    "Invert": "negated({0})", "Switch": "where({0}, {1}, {2})", "Clip": "minimum(maximum({0}, {1}), {2})",
    "Maximum": "maximum({0}, {1})", "Minimum": "minimum({0}, {1})", "Sign": "sign({0})", "Cast": "(1.0 * {0})",
    "Exp2": "(2.0 ** {0})", "Sigmoid": "(1.0 / (1.0 + exp(-{0})))", "Softplus": "softplus({0})",
    "IsNan": "({0} != {0})", "Mod": "({0} - floor({0} / {1}) * {1})",
}  # fmt: skip
FUNCTIONS = {
    "Exp": "exp", "Log": "log", "Log2": "log2", "Log10": "log10", "Log1p": "log1p", "Expm1": "expm1", "Sqrt": "sqrt",
    "Sin": "sin", "Cos": "cos", "Tan": "tan", "Sinh": "sinh", "Cosh": "cosh", "Tanh": "tanh", "ArcTan": "atan",
    "ArcSin": "asin", "ArcCos": "acos", "Abs": "fabs", "Floor": "floor", "Ceil": "ceil", "Erf": "erf",
    "Erfc": "erfc", "GammaLn": "lgamma", "Psi": "digamma",
}  # fmt: skip
PASSED = (DimShuffle, DeepCopyOp, ScalarFromTensor, TensorFromScalar)
SIMPLER = ("canonicalize", "stabilize", "specialize")


class ExpressionError(ValueError):
    """An expression that cannot be compiled; its message is the whole explanation."""


def function(name, inputs, outputs):
    """Source of a function of numbers that returns a tuple.

    Parameters
    ----------
    name : str
    inputs : dict of str -> variable
        Names of the arguments; the variables are PyTensor scalars.
    outputs : list of variables

    Raises
    ------
    ExpressionError
        An output is no number, depends on something else than the inputs, or uses an operation on whole arrays.
    """
    for output in outputs:
        if output.ndim:
            raise ExpressionError(f"an expression has {output.ndim} dimensions where one number is needed: {output}")
    outputs = simplified([pt.as_tensor(o, dtype="float64") for o in outputs])
    names = {variable: label for label, variable in inputs.items()}
    lines = []
    for node in toposort(outputs, blockers=list(names)):
        for variable in node.inputs:
            if variable not in names:
                names[variable] = _constant(variable)
        text = _term(node, [names[variable] for variable in node.inputs])
        label = names[node.outputs[0]] = f"x{len(lines)}"
        lines.append(f"    {label} = {text}")
    for variable in outputs:
        if variable not in names:
            names[variable] = _constant(variable)
    found = "".join(f"{names[variable]}, " for variable in outputs)
    return "\n".join([f"def {name}({', '.join(inputs)}):", *lines, f"    return ({found})"]) + "\n"


def simplified(outputs):
    """The same expressions, without what is known."""
    return rewrite_graph(outputs, include=SIMPLER, exclude=("local_pow_to_nested_squaring",))


def _constant(variable):
    value = getattr(variable, "data", None)
    if value is None:
        raise ExpressionError(f"an expression depends on {variable}, which is none of its states and parameters")
    if np.size(value) != 1:
        raise ExpressionError(f"an expression holds an array of {np.size(value)} numbers where one is needed")
    value = float(np.asarray(value).item())
    return repr(value) if math.isfinite(value) else {"inf": "INF", "-inf": "-INF"}.get(repr(value), "NAN")


def _term(node, given):
    op = node.op.scalar_op if isinstance(node.op, Elemwise) else node.op
    name = type(op).__name__
    if isinstance(op, PASSED):
        return given[0]
    if isinstance(op, ScalarOp):
        if name == "Pow" and re.fullmatch(r"[2-9]\.0", given[1]):
            return f"({given[0]} ** {given[1][0]})"  # a power with a whole exponent is multiplied out
        if name in SYMBOLS:
            return "(" + f" {SYMBOLS[name]} ".join(given) + ")"
        if name in FORMS:
            return FORMS[name].format(*given)
        if name in FUNCTIONS:
            return f"{FUNCTIONS[name]}({given[0]})"
    raise ExpressionError(
        f"{name} cannot be compiled into a right-hand side; it takes arithmetic, comparisons, pt.switch and "
        f"{', '.join(sorted(FUNCTIONS.values()))} of single numbers"
    )
