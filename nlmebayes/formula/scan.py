"""First stage of the formula language: a text as tokens, every character of which is used.

What a formula may hold is decided here and in `functions`; nothing a stranger writes is ever evaluated as Python.
"""

import re
from dataclasses import dataclass

LONGEST = 20_000  # characters of a formula; a longer one is no formula
NAME = r"[^\W\d]\w*(?:\.\w+)*"
SPACE = re.compile(r"\s+")
TOKEN = re.compile(
    rf"""(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)
      | (?P<name>{NAME})
      | `(?P<quoted>[^`\n]+)`
      | (?P<text>'[^'\\\n]*'|"[^"\\\n]*")
      | (?P<sign>\*\*|\|\||==|!=|<=|>=|//|[-+*/:()\[\]{{}},<>=|~%&])""",
    re.VERBOSE,
)
HINTS = {
    "^": "a power is written **, and that of a column stands in a call: I(x**2)",
    "\\": "texts hold no backslash",
    "'": "a text is not closed",
    '"': "a text is not closed",
    "`": "a name in backquotes is not closed",
    "\N{EN DASH}": "a minus is '-'",
    "\N{MINUS SIGN}": "a minus is '-'",
    "\N{MULTIPLICATION SIGN}": "a product is written '*'",
}


class FormulaError(ValueError):
    """A formula that cannot be read, or that names something that does not exist.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> from model_zoo import Emax
    >>> nb.Model(Emax(), "cl ~ 1")
    Traceback (most recent call last):
        ...
    nlmebayes.formula.scan.FormulaError: no parameter 'cl' in Emax; its parameters are e0, emax, ec50
    """


@dataclass(frozen=True)
class Token:
    """A piece of a formula: ``number``, ``name`` (of a column, or of a function), ``text`` or ``sign``."""

    kind: str
    text: str
    start: int
    end: int
    quoted: bool = False  # a name in backquotes


def scan(text):
    """The tokens of a formula, in order.

    Raises
    ------
    FormulaError
        A character that belongs to no token, a number with letters behind it, brackets that do not match.
    """
    if len(text) > LONGEST:
        raise FormulaError(f"is {len(text)} characters long; a formula has at most {LONGEST}")
    tokens, place = [], 0
    while place < len(text):
        blank = SPACE.match(text, place)
        if blank:
            place = blank.end()
            continue
        token = _token(text, place)
        tokens.append(token)
        place = token.end
    _brackets_match(tokens)
    return tuple(tokens)


def _token(text, place):
    found = TOKEN.match(text, place)
    if not found:
        hint = HINTS.get(text[place], "it has no meaning in a formula")
        raise FormulaError(f"cannot read {text[place]!r} (character {place + 1}): {hint}")
    end = found.end()
    if found.lastgroup == "number" and re.match(r"[\w.]", text[end:]):
        word = re.match(r"[\w.]*", text[place:])[0]
        raise FormulaError(f"cannot read {word}: it is neither a number nor a name")
    if found.lastgroup == "quoted":
        return Token("name", found["quoted"], place, end, quoted=True)
    return Token(found.lastgroup, found[0], place, end)


def _brackets_match(tokens):
    pairs, open_ = {")": "(", "]": "[", "}": "{"}, []
    for token in tokens:
        if token.kind != "sign":
            continue
        if token.text in pairs.values():
            open_.append(token.text)
        elif token.text in pairs and (not open_ or open_.pop() != pairs[token.text]):
            raise FormulaError(f"a bracket is closed that was not opened: {token.text!r} (character {token.start + 1})")
    if open_:
        raise FormulaError(f"a bracket is not closed: {open_[-1]!r}")


def closing(tokens, place):
    """Place of the bracket that closes the one at ``place``."""
    depth = 0
    for i in range(place, len(tokens)):
        if tokens[i].kind == "sign":
            depth += (tokens[i].text in "([{") - (tokens[i].text in ")]}")
        if depth == 0:
            return i
    raise FormulaError("a bracket is not closed")


def outside(tokens):
    """Places of the tokens that stand in no bracket."""
    depth, found = 0, []
    for i in range(len(tokens)):
        depth -= is_sign(tokens, i, ")", "]", "}")
        found += [i] if depth == 0 else []
        depth += is_sign(tokens, i, "(", "[", "{")
    return found


def is_sign(tokens, place, *texts):
    """Whether the token at ``place`` is one of these signs."""
    return place < len(tokens) and tokens[place].kind == "sign" and tokens[place].text in texts


def written(name):
    """A name as it stands in a formula: in backquotes where it could not be read without."""
    return name if re.fullmatch(NAME, name) else f"`{name}`"
