"""Second stage: the arguments of a call, ``log(wt / 70)``, are Python arithmetic, read by Python's own parser.

Every node of what it finds is on the list `NODES`. `nlmebayes.formula.evaluate` walks it; no text is ever evaluated.
"""

import ast
import sys
from dataclasses import dataclass, field

from nlmebayes.formula import functions
from nlmebayes.formula.scan import FormulaError, closing, is_sign, written

SIGNS = (ast.operator, ast.unaryop, ast.cmpop, ast.boolop)
OPERATORS = (
    ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod, ast.Pow, ast.BitAnd, ast.BitOr, ast.USub, ast.UAdd,
    ast.Not, ast.Invert, ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.Eq, ast.NotEq, ast.And, ast.Or,
)  # fmt: skip
NODES = (ast.BinOp, ast.UnaryOp, ast.Compare, ast.BoolOp, ast.Call, ast.Name, ast.Constant)
WORDS = ("True", "False", "None", "and", "or", "not")  # Python's, and no columns
DEEPEST = 100  # nodes inside nodes
LARGEST = sys.float_info.max


@dataclass(frozen=True)
class Expression:
    """A column, or a call: its text as the posterior names it, the columns that it reads, the function called."""

    text: str
    columns: tuple[str, ...]
    function: str | None = None
    node: ast.AST = field(default=None, compare=False, repr=False)

    @property
    def learns(self):
        """(text, columns) of each transform inside that depends on the data it sees first."""
        calls = [n for n in ast.walk(self.node) if isinstance(n, ast.Call) and n.func.id in functions.STATEFUL]
        return tuple((ast.unparse(n), columns(n)) for n in calls)

    @property
    def counted_from(self):
        """(column, number) of each difference from a number and quotient by one: ``wt/70``, ``crcl - 66``."""
        pairs = [n for n in ast.walk(self.node) if isinstance(n, ast.BinOp) and isinstance(n.op, ast.Sub | ast.Div)]
        return tuple(
            (n.left.column, float(n.right.value))
            for n in pairs
            if hasattr(n.left, "column") and isinstance(n.right, ast.Constant)
        )


def column(name):
    """The expression of a bare column."""
    return Expression(written(name), (name,), None, _name(name))


def call(tokens, start):
    """The expression that begins with the name of a function at ``start``, and the place after it."""
    functions.known(tokens[start].text)
    end = closing(tokens, start + 1)
    return _expression(_tree(tokens[start : end + 1])), end + 1


def braces(tokens, start):
    """The same of ``{x + 1}``, which is ``I(x + 1)``."""
    end = closing(tokens, start)
    return _expression(ast.Call(ast.Name("I"), [_tree(tokens[start + 1 : end])], [])), end + 1


def tree(tokens):
    """Python's tree of tokens that are arithmetic on names, every node of which is on the list."""
    node = _tree(tokens)
    _shallow(node)
    _check(node)
    return node


def _expression(node):
    _shallow(node)
    _check(node, outermost=True)
    return Expression(ast.unparse(node), columns(node), node.func.id, node)


def _name(name):
    node = ast.Name(written(name))
    node.column = name
    return node


def _tree(tokens):
    """Python's tree of the tokens. A column is a number to Python, so that it may have any name."""
    names, parts = [], []
    for i, token in enumerate(tokens):
        if token.kind != "name" or (token.text in WORDS and not token.quoted):
            parts.append(token.text)
        elif is_sign(tokens, i + 1, "(") and not token.quoted:
            functions.known(token.text)
            parts.append(token.text)
        elif _keyword(tokens, i):
            parts.append(token.text if token.text.isidentifier() else "")
        else:
            parts.append(f"_{len(names)}")
            names.append(token.text)
    try:
        tree = ast.parse(" ".join(parts), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        shown = " ".join(token.text for token in tokens)
        raise FormulaError(f"cannot read {shown!r} as arithmetic") from None
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id.startswith("_"):
            node.column = names[int(node.id[1:])]
            node.id = written(node.column)
    return tree


def _keyword(tokens, i):
    """Whether a name is that of an argument: it stands after a bracket or a comma, before an '='."""
    return i > 0 and is_sign(tokens, i - 1, "(", ",") and is_sign(tokens, i + 1, "=")


def _shallow(node):
    level = [node]
    for _ in range(DEEPEST):
        level = [child for parent in level for child in ast.iter_child_nodes(parent)]
        if not level:
            return
    raise FormulaError(f"is nested more than {DEEPEST} deep")


def columns(node):
    """Columns that a node reads, in order of appearance."""
    return tuple(dict.fromkeys(_reads(node)))


def _reads(node):
    if isinstance(node, ast.Name) and hasattr(node, "column"):
        yield node.column
    children = ast.iter_child_nodes(node)
    if isinstance(node, ast.Call):
        children = node.args[:1] if getattr(node.func, "id", "") in functions.LITERALS else node.args
    for child in children:
        yield from _reads(child)


def _check(node, *, outermost=False, compared=False):
    """Refuse what is no arithmetic on columns."""
    if not isinstance(node, NODES):
        raise FormulaError(f"{ast.unparse(node)!r} is no arithmetic on columns")
    if isinstance(node, ast.Constant):
        text = isinstance(node.value, str) and compared
        if not text and (isinstance(node.value, bool) or not isinstance(node.value, int | float)):
            raise FormulaError(f"{node.value!r} stands where a number or a column belongs; write I(sex == 'F')")
        if not text and abs(node.value) > LARGEST:
            raise FormulaError(f"a number is larger than {LARGEST:.3g}")
    elif isinstance(node, ast.Call):
        _check_call(node, outermost)
    elif not isinstance(node, ast.Name):
        _check_operation(node)


def _check_operation(node):
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, SIGNS):
            _check(child, compared=isinstance(node, ast.Compare))
        elif not isinstance(child, OPERATORS):
            raise FormulaError(f"{ast.unparse(node)!r}: this operation is no arithmetic on columns")


def _check_call(node, outermost):
    if not isinstance(node.func, ast.Name) or hasattr(node.func, "column"):
        raise FormulaError(f"{ast.unparse(node.func)!r} is no function of formulas")
    name, text = node.func.id, ast.unparse(node)
    if name in functions.CONTRASTS:
        raise FormulaError(f"{text} belongs into C(), e.g. C(x, Treatment('b'))")
    if not outermost and name in functions.ALONE:
        raise FormulaError(f"{text} stands alone as a term")
    if name in functions.LITERALS:
        own = node.args[:1]
        options(node)
        if not own or not columns(own[0]):
            raise FormulaError(f"{text}: {name}() of which column?")
    else:
        own, count = node.args, functions.ARGUMENTS.get(name, 1)
        if node.keywords or len(own) != count:
            raise FormulaError(f"{text}: {name}() takes {count} column{'s' if count > 1 else ''} and no options")
    for child in own:
        _check(child)


def options(node):
    """The literal arguments of a call by name; a contrast is (its name, its options)."""
    named = {}
    for keyword in node.keywords:
        if keyword.arg is None:
            raise FormulaError(f"{ast.unparse(node)}: write each argument with its name")
        named[keyword.arg] = _literal(keyword.value)
    return functions.literals(node.func.id, [_literal(n) for n in node.args[1:]], named)


def _literal(node):
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float | str | None):
        return node.value
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        value = _literal(node.operand)
        if isinstance(value, int | float):
            return -value
    if isinstance(node, ast.List | ast.Tuple):
        return [_literal(each) for each in node.elts]
    contrast = node.func if isinstance(node, ast.Call) else node
    if isinstance(contrast, ast.Name) and contrast.id in functions.CONTRASTS:
        whole = isinstance(node, ast.Call)
        given = [_literal(n) for n in node.args] if whole else []
        named = {k.arg: _literal(k.value) for k in node.keywords} if whole else {}
        return (contrast.id, functions.literals(contrast.id, given, named))
    raise FormulaError(f"{ast.unparse(node)!r} stands where a number, a text or a list of them belongs")
