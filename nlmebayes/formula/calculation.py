"""Arithmetic that stands alone, such as ``"log(2) * v / cl"``, on numbers, arrays or tensors by name.

It is read as the calls of a formula are: scanned to the last character, parsed by Python, and walked over a list of
allowed nodes and functions. No text is ever evaluated.
"""

import ast
from dataclasses import dataclass, field
from functools import reduce
from itertools import pairwise

import numpy as np
import pytensor.tensor as pt

from nlmebayes.formula import functions
from nlmebayes.formula.arithmetic import columns, tree
from nlmebayes.formula.evaluate import BINARY, JOINED, LOGICAL, counted
from nlmebayes.formula.scan import FormulaError, Token, closing, is_sign, scan

SYMBOLIC = BINARY | {  # on tensors
    ast.BitAnd: pt.and_, ast.And: pt.and_, ast.BitOr: pt.or_, ast.Or: pt.or_, ast.Not: pt.invert, ast.Invert: pt.invert,
    ast.Eq: pt.eq, ast.NotEq: pt.neq, ast.UAdd: pt.as_tensor,
}  # fmt: skip
RENAMED = {  # and as NumPy has them
    "logit": lambda x: pt.log(x) - pt.log1p(-x), "expit": pt.sigmoid, "where": pt.switch,
    "clip": lambda x, low, high: pt.minimum(pt.maximum(x, low), high),
}  # fmt: skip
ON_TENSORS = {name: RENAMED.get(name) or getattr(pt, name) for name in functions.ELEMENTWISE}


@dataclass(frozen=True)
class Calculation:
    """Its text, and the names that it reads, in order of appearance."""

    text: str
    names: tuple[str, ...]
    node: ast.AST = field(compare=False, repr=False)

    def of(self, values):
        """The value where names have these ``values``, numbers or arrays whose shapes broadcast."""
        with np.errstate(all="ignore"):  # what is not finite is judged by whoever asked
            return _Walk(values, BINARY, functions.ELEMENTWISE).value(self.node)

    def on_tensors(self, values):
        """The same, of tensors."""
        return pt.as_tensor(_Walk(values, SYMBOLIC, ON_TENSORS).value(self.node))


def read(text):
    """A `Calculation` from its text.

    Raises
    ------
    FormulaError
        It is no arithmetic on names, or calls what is no function of numbers.
    """
    try:
        return read_tokens(scan(text), text)
    except FormulaError as error:
        shown = text if len(text) <= 200 else f"{text[:200]}..."
        raise FormulaError(f"{shown!r}: {error}") from None


def read_tokens(tokens, text):
    """The same of some of the tokens of a text."""
    if not tokens:
        raise FormulaError("something is missing beside a sign")
    node = tree(tokens)
    for each in ast.walk(node):
        if isinstance(each, ast.Constant) and isinstance(each.value, str):
            raise FormulaError(f"{each.value!r} is text, and arithmetic takes numbers")
        if isinstance(each, ast.Call) and each.func.id not in functions.ELEMENTWISE:
            raise FormulaError(
                f"{each.func.id}() is no function of numbers; there are {', '.join(functions.ELEMENTWISE)}"
            )
        if isinstance(getattr(each, "op", None), LOGICAL) and not all(map(_compared, _operands(each))):
            raise FormulaError(JOINED)
    return Calculation(text[tokens[0].start : tokens[-1].end], columns(node), node)


def _operands(node):
    if isinstance(node, ast.BoolOp):
        return node.values
    return [node.operand] if isinstance(node, ast.UnaryOp) else [node.left, node.right]


def _compared(node):
    """Whether a node is true or false: a comparison, or what joins some."""
    return isinstance(node, ast.Compare) or isinstance(getattr(node, "op", None), LOGICAL)


def subscripted(tokens, text):
    """Tokens in which a name with its label in brackets, ``theta_emax[drug]``, is one name."""
    found, place = [], 0
    while place < len(tokens):
        token = tokens[place]
        if token.kind == "name" and is_sign(tokens, place + 1, "["):
            end = closing(tokens, place + 1)
            label = text[tokens[place + 1].end : tokens[end].start].strip()
            quoted = len(label) > 1 and label[0] == label[-1] and label[0] in "'\""
            name = f"{token.text}[{label[1:-1] if quoted else label}]"
            token, place = Token("name", name, token.start, tokens[end].end, quoted=True), end
        found.append(token)
        place += 1
    return found


@dataclass(frozen=True)
class _Walk:
    """One pass over a tree; a method for each kind of node that `arithmetic` lets pass."""

    values: dict
    operators: dict
    calls: dict

    def value(self, node):
        return getattr(self, type(node).__name__)(node)

    def Constant(self, node):
        return np.float64(node.value)

    def Name(self, node):
        return self.values[node.column]

    def number(self, node):
        return counted(self.value(node))

    def Call(self, node):
        return self.calls[node.func.id](*map(self.number, node.args))

    def BinOp(self, node):
        return self._applied(node.op, node.left, node.right)

    def UnaryOp(self, node):
        return self._applied(node.op, node.operand)

    def _applied(self, op, *nodes):
        return self.operators[type(op)](*map(self.value if isinstance(op, LOGICAL) else self.number, nodes))

    def BoolOp(self, node):
        return reduce(self.operators[type(node.op)], map(self.value, node.values))

    def Compare(self, node):
        pairs = zip(node.ops, pairwise(map(self.value, (node.left, *node.comparators))), strict=True)
        return reduce(self.operators[ast.And], (self.operators[type(op)](*pair) for op, pair in pairs))
