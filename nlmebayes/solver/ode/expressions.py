"""PyTensor expressions of numbers as Python source, which Numba compiles and JAX traces."""

import math
import re
from collections import Counter

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
SIGNS = {"Add": "", "Sub": "+-", "Neg": "-"}  # of the terms of a sum; all "+" of the first
CYCLES = {"Add": 4, "Sub": 4, "Neg": 1, "Mul": 4, "Sqr": 4, "TrueDiv": 13, "Reciprocal": 13}  # about; others take 30
LATE = 1000  # cycles
SIMPLER = ("canonicalize", "stabilize", "specialize")


class ExpressionError(ValueError):
    """An expression that cannot be compiled; its message is the whole explanation."""


def function(name, inputs, outputs, *, inverses=False, late=()):
    """Source of a function of numbers that returns a tuple.

    Parameters
    ----------
    name : str
    inputs : dict of str -> variable
        Names of the arguments; the variables are PyTensor scalars.
    outputs : list of variables
    inverses : bool
        Whether a quotient is a product with inverses of the factors below, each computed once. Derivatives divide by
        powers and products of a few numbers again and again, and a division costs as much as ten products.
    late : collection of str
        Inputs that are ready later than the others: products end with them.

    Raises
    ------
    ExpressionError
        An output is no number, depends on something else than the inputs, or uses an operation on whole arrays.
    """
    for output in outputs:
        if output.ndim:
            raise ExpressionError(f"an expression has {output.ndim} dimensions where one number is needed: {output}")
    outputs = simplified([pt.as_tensor(o, dtype="float64") for o in outputs])
    writer = _Writer(inputs, outputs, inverses, late)
    found = "".join(f"{writer.name(variable)}, " for variable in outputs)
    return "\n".join([f"def {name}({', '.join(inputs)}):", *writer.lines, f"    return ({found})"]) + "\n"


def simplified(outputs):
    """The same expressions, without what is known."""
    return rewrite_graph(outputs, include=SIMPLER, exclude=("local_pow_to_nested_squaring", "local_greedy_distributor"))


class _Writer:
    """Lines of a function of numbers.

    Products, and sums that are outputs, such as rates, begin with what is ready first: the stages of a step wait for
    each other, so what counts is the way from a state to its slope, not the number of operations. Sums inside stay as
    they are: large flows that cancel must meet where they were written to meet.
    """

    def __init__(self, inputs, outputs, inverses, late):
        self.names = {variable: label for label, variable in inputs.items()}
        self.lines, self.inverses, self.inverse, absorbed = [], inverses, {}, set()
        self.given, self.ready = frozenset(self.names), {inputs[label]: LATE for label in late}
        nodes = list(toposort(outputs, blockers=list(self.names)))
        self.uses = Counter([*outputs, *(variable for node in nodes for variable in node.inputs)])
        terms = {out: list(self._terms(out, absorbed)) for out in outputs if self._is_sum(out)}
        for node in nodes:
            out = node.outputs[0]
            if out in terms:
                self.names[out] = self._line(self._sum(out, terms[out]))
            elif out not in absorbed:
                self.names[out] = self._line(self._text(node))

    def name(self, variable):
        if variable not in self.names:
            self.names[variable] = _constant(variable)
        return self.names[variable]

    def _line(self, text):
        self.lines.append(f"    x{len(self.lines)} = {text}")
        return f"x{len(self.lines) - 1}"

    def _sum(self, out, terms):
        terms = sorted(terms, key=lambda term: self.ready.get(term[1], 0))
        waits = [self.ready.get(v, 0) + CYCLES["Add"] * (len(terms) - i) for i, (_, v) in enumerate(terms)]
        self.ready[out] = max(waits)
        return "(" + " ".join(f"{sign} {self.name(v)}" for sign, v in terms).removeprefix("+ ") + ")"

    def _is_sum(self, variable):
        return variable not in self.given and variable.owner is not None and operation(variable.owner) in SIGNS

    def _terms(self, variable, absorbed, sign="+"):
        """The signed terms of a sum, and of the sums in it that nothing else needs, which are ``absorbed``."""
        node = variable.owner
        for part, own in zip(node.inputs, SIGNS[operation(node)] or "+" * len(node.inputs), strict=True):
            both = "+" if sign == own else "-"
            if self._is_sum(part) and self.uses[part] == 1:
                absorbed.add(part)
                yield from self._terms(part, absorbed, both)
            else:
                yield both, part

    def _text(self, node):
        name, given = operation(node), node.inputs
        self.ready[node.outputs[0]] = max((self.ready.get(v, 0) for v in given), default=0) + CYCLES.get(name, 30)
        if self.inverses and name == "TrueDiv":
            factors = self._factors(given[1])
            each = [(self.ready.get(v, 0) + CYCLES[name], self._inverse(v)) for v in factors]
            each = sorted([*each, (self.ready.get(given[0], 0), self.name(given[0]))])
            return "(" + " * ".join(text for _, text in each) + ")"
        if name == "Mul":
            given = sorted(given, key=lambda v: self.ready.get(v, 0))
        return _term(node, [self.name(variable) for variable in given])

    def _factors(self, variable):
        """The variables whose product a variable is, itself if it is no product."""
        node = None if variable in self.given else variable.owner
        if node is None or operation(node) not in ("Mul", "Sqr"):
            return [variable]
        found = [factor for part in node.inputs for factor in self._factors(part)]
        return found * 2 if operation(node) == "Sqr" else found

    def _inverse(self, variable):
        if variable not in self.inverse:
            self.inverse[variable] = self._line(f"1.0 / {self.name(variable)}")
        return self.inverse[variable]


def operation(node):
    """Name of the operation of a node on numbers."""
    return type(node.op.scalar_op if isinstance(node.op, Elemwise) else node.op).__name__


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
