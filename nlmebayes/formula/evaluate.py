"""Expressions on whole columns: the tree of `arithmetic` is walked, and transforms remember the data they saw first."""

import ast
import operator
from dataclasses import dataclass
from functools import reduce
from itertools import pairwise

import numpy as np
import pandas as pd
from formulae.categorical import ENCODINGS, Encoding

from nlmebayes.data.tidy import label
from nlmebayes.formula import functions
from nlmebayes.formula.arithmetic import options
from nlmebayes.formula.scan import FormulaError

BINARY = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod, ast.Pow: operator.pow, ast.BitAnd: np.logical_and,
    ast.BitOr: np.logical_or, ast.USub: operator.neg, ast.UAdd: operator.pos, ast.Not: np.logical_not,
    ast.Invert: np.logical_not, ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge,
    ast.Eq: operator.eq, ast.NotEq: operator.ne, ast.And: np.logical_and, ast.Or: np.logical_or,
}  # fmt: skip
LOGICAL = (ast.BitAnd, ast.BitOr, ast.Not, ast.Invert, ast.And, ast.Or)
JOINED = "'and', 'or', 'not', & and | join comparisons, e.g. I((age > 60) & (sex == 'F'))"
SAME = (ast.Eq, ast.NotEq)


class UnseenError(FormulaError):
    """New data have a category that the training data have not."""


@dataclass(frozen=True, eq=False)
class Labels:
    """A column of categories: ``codes`` (record,) into ``levels``, which are in their declared order."""

    name: str
    codes: np.ndarray
    levels: tuple
    ordered: bool = False


@dataclass(frozen=True, eq=False)
class Factor:
    """A term of categories and how it is coded."""

    codes: np.ndarray
    levels: tuple
    encoding: Encoding


def evaluate(expression, frame, memory):
    """The value of an expression on the rows of a frame.

    Parameters
    ----------
    memory : dict
        What transforms and categories remember, by text: empty for training data, then filled; as it is for new data.

    Returns
    -------
    ndarray (row,) or (row, column), or `Factor`

    Raises
    ------
    FormulaError, UnseenError
    """
    walk = _Walk(frame, memory)
    node = expression.node
    if expression.function in functions.FACTORS:
        return walk.factor(node, expression.text)
    value = walk.value(node)
    if isinstance(value, Labels):
        return Factor(value.codes, value.levels, ENCODINGS["Treatment"]())
    value = np.asarray(value, dtype=float)
    return np.broadcast_to(value, (len(frame),)) if value.ndim == 0 else value


def counted(value):
    """What is true as 1 and what is false as 0 of a comparison, array or tensor, whose sum NumPy takes for "or"."""
    return value * np.float64(1.0) if str(getattr(value, "dtype", "")) == "bool" else value


class _Walk:
    """One pass over a tree; a method for each kind of node."""

    def __init__(self, frame, memory):
        self.frame, self.memory = frame, memory

    def value(self, node):
        return getattr(self, type(node).__name__)(node)

    def number(self, node):
        value = self.value(node)
        if isinstance(value, Labels):
            raise FormulaError(
                f"{value.name} is text, and arithmetic takes numbers; write {value.name} as a term of its own, or "
                f"I({value.name} == {str(value.levels[0])!r})"
            )
        return value

    def Name(self, node):
        values = self.frame[node.column]
        numeric = pd.api.types.is_numeric_dtype(values) and not isinstance(values.dtype, pd.CategoricalDtype)
        was_numeric = self.memory.setdefault(("numeric", node.id), numeric)
        if not was_numeric:
            return self.remembered(node.id, values.map(label) if numeric else values)
        if not numeric:
            raise UnseenError(f"{node.id} is text ({label(values.iloc[0])!r}); in the training data it is a number")
        return values.to_numpy(dtype=float)

    def remembered(self, name, values):
        """Categories among those of the training data."""
        if name not in self.memory:
            self.memory[name] = _levels(values), bool(getattr(values.dtype, "ordered", False))
        levels, ordered = self.memory[name]
        place = {level: i for i, level in enumerate(levels)}
        codes = np.array([place.get(value, -1) for value in values.tolist()], dtype=int)
        if (codes < 0).any():
            strange = label(values.tolist()[np.argmax(codes < 0)])
            raise UnseenError(f"{name} has the category {strange!r}; those of the training data are {_listed(levels)}")
        return Labels(name, codes, levels, ordered)

    def Constant(self, node):
        return node.value if isinstance(node.value, str) else np.float64(node.value)

    def BinOp(self, node):
        return self.applied(node.op, self.number(node.left), self.number(node.right))

    def UnaryOp(self, node):
        return self.applied(node.op, self.number(node.operand))

    def BoolOp(self, node):
        return reduce(lambda one, other: self.applied(node.op, one, other), map(self.number, node.values))

    def applied(self, op, *values):
        if isinstance(op, LOGICAL) and not all(np.asarray(v).dtype == bool for v in values):
            raise FormulaError(JOINED)
        return BINARY[type(op)](*(values if isinstance(op, LOGICAL) else map(counted, values)))

    def Compare(self, node):
        sides = [node.left, *node.comparators]
        pairs = [self.compared(op, *pair) for op, pair in zip(node.ops, pairwise(sides), strict=True)]
        return reduce(np.logical_and, pairs)

    def compared(self, op, left, right):
        one, other = self.value(left), self.value(right)
        if isinstance(one, str) and isinstance(other, Labels):
            one, other = _place(one, other), other.codes
        elif isinstance(one, Labels) and isinstance(other, str):
            _in_order(op, one)
            one, other = one.codes, _place(other, one)
        elif isinstance(one, Labels | str) or isinstance(other, Labels | str):
            raise FormulaError(f"{ast.unparse(left)} and {ast.unparse(right)} cannot be compared: one is text")
        return BINARY[type(op)](one, other)

    def Call(self, node):
        name = node.func.id
        values = [self.number(n) for n in node.args[: functions.ARGUMENTS.get(name, 1)]]
        if name in functions.ELEMENTWISE:
            return functions.ELEMENTWISE[name](*map(counted, values))
        if name not in functions.STATEFUL:
            return values[0]
        text = ast.unparse(node)
        transform = self.memory.setdefault(text, functions.STATEFUL[name]())
        try:
            return np.asarray(transform(np.asarray(values[0], dtype=float), **options(node)))
        except (ValueError, TypeError, np.linalg.LinAlgError) as error:
            raise FormulaError(f"{text}: {error}") from error

    def factor(self, node, text):
        """`Factor` of ``C(x, ...)``, ``T(x, ref)`` or ``S(x, omit)``."""
        said, value = options(node), self.value(node.args[0])
        if not isinstance(value, Labels):
            value = self.remembered(text, pd.Series(np.asarray(value, dtype=float)))
        codes, levels = value.codes, value.levels
        if said.get("levels") is not None:
            order = [_position(level, value, text) for level in said["levels"]]
            if sorted(order) != list(range(len(levels))):
                raise FormulaError(f"{text}: levels= must name each category of the data once: {_listed(levels)}")
            codes, levels = np.argsort(order)[codes], tuple(levels[i] for i in order)
        kind, given = _contrast(node.func.id, said)
        known = Labels(text, codes, levels)
        given = {k: label(levels[_position(v, known, text)]) for k, v in given.items() if v is not None}
        return Factor(codes, levels, ENCODINGS[kind](**given))


def _levels(values):
    """The categories that occur, in their declared order, else sorted."""
    if isinstance(values.dtype, pd.CategoricalDtype):
        seen = set(values.dropna().unique())
        return tuple(c for c in values.cat.categories if c in seen)
    return tuple(sorted(values.dropna().unique().tolist()))


def _listed(levels):
    return ", ".join(map(label, levels))


def _position(level, value, text):
    if level not in value.levels:
        raise FormulaError(f"{text}: there is no category {level!r} in the data; there are {_listed(value.levels)}")
    return value.levels.index(level)


def _place(text, value):
    """The code of a text among the categories of a column."""
    return _position(text, value, value.name)


def _in_order(op, value):
    if not isinstance(op, SAME) and not value.ordered:
        raise FormulaError(f"{value.name} has no declared order; compare with == or !=, or make it an ordered category")


def _contrast(function, said):
    """Name of the coding and its options."""
    if function == "C":
        given = said.get("contrast")
        if isinstance(given, str | list | int | float):
            raise FormulaError(f"C(): the contrast is Treatment('reference') or Sum, not {given!r}")
        return given or ("Treatment", {})
    return ("Treatment", {"reference": said.get("ref")}) if function == "T" else ("Sum", {"omit": said.get("omit")})
