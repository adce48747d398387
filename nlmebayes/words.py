"""Single words of a statement: names in any spelling, ``NAME=VALUE``, values of options, priors."""

import ast
import re
from contextlib import contextmanager
from difflib import get_close_matches
from types import NoneType, UnionType
from typing import Literal, Union, get_args, get_origin

_BOUNDARY = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
SWITCH = {"true": True, "false": False}


class StatementError(ValueError):
    """A command line or a TOML file that cannot be read, or that names something that does not exist."""


@contextmanager
def refused():
    """What the library refuses while a statement is read, a plain ValueError included, is an error of the statement."""
    try:
        yield
    except ValueError as error:
        raise StatementError(str(error)) from error


def hyphenated(name):
    """``"two-compartment"`` of ``"TwoCompartment"``."""
    return _BOUNDARY.sub("-", name).lower()


def chosen(word, known, what, where="", listed=None):
    """The name in ``known`` that ``word`` spells, in capitals or not, with hyphens, underscores or neither.

    Raises
    ------
    StatementError
        Lists what exists (``listed``, by default the names) and suggests the closest.
    """
    plain = {_plain(name): name for name in known}
    if _plain(word) in plain:
        return plain[_plain(word)]
    close = get_close_matches(_plain(word), plain, n=1)
    hint = f", did you mean {plain[close[0]]}?" if close else ";"
    names = ", ".join(listed or known) or "none"
    raise StatementError(f"no {what} {str(word)!r}{where}{hint} there are {names}")


def _plain(word):
    return re.sub(r"[-_\s]", "", str(word)).lower()


def assignments(texts, option, form="NAME=VALUE"):
    """``{"a": "1"}`` of ``["a=1"]``."""
    found = {}
    for text in texts or ():
        name, sign, value = (part.strip() for part in text.partition("="))
        if not (name and sign and value):
            raise StatementError(f"{option} {text!r}: write {option} {form}")
        if name in found:
            raise StatementError(f"{option} names {name!r} twice")
        found[name] = value
    return found


def one_or_each(texts, option, form):
    """A word for all, or ``{name: word}``, of a repeated option."""
    if not texts or any("=" in text for text in texts):
        return assignments(texts, option, form)
    if len(texts) > 1:
        raise StatementError(f"{option} is given {len(texts)} times; give one, or {option} {form} for each")
    return texts[0].strip()


def number(text, what):
    """An int where the text is one, or a float."""
    for kind in (int, float):
        try:
            return kind(text)
        except (TypeError, ValueError):
            continue
    raise StatementError(f"{what}: {text!r} is not a number")


def values_of(kind):
    """What an option of this type may be, in words: ``"bolus | first-order"``."""
    if get_origin(kind) is Literal:
        return " | ".join(map(str, get_args(kind)))
    if _several(kind):
        return " | ".join(values_of(each) for each in get_args(kind))
    words = {bool: "true | false", int: "a whole number", float: "a number", str: "a text", NoneType: "none"}
    return words.get(kind) or str(kind)


def converted(value, kind, what):
    """The value, a text or already of TOML, as the type that an option is declared with."""
    for test in get_args(kind) if _several(kind) else (kind,):
        try:
            return _as(value, test)
        except (KeyError, TypeError, ValueError):
            continue
    raise StatementError(f"{what} cannot be {str(value)!r}; its values: {values_of(kind)}")


def _several(kind):
    return get_origin(kind) in (Union, UnionType)


def _as(value, kind):
    """Raises KeyError, TypeError or ValueError where it is not of the type."""
    if get_origin(kind) is Literal:
        return {str(choice): choice for choice in get_args(kind)}[str(value)]
    if kind is bool:
        return value if isinstance(value, bool) else SWITCH[str(value).lower()]
    if kind is NoneType:
        return {"none": None}[str(value).lower()]
    if get_origin(kind) is tuple:
        parts = value.split(",") if isinstance(value, str) else value
        return tuple(_as(part, get_args(kind)[0]) for part in parts)
    if isinstance(value, bool) or (kind is int and isinstance(value, float)):
        raise TypeError
    return kind(value)


def call(text, what):
    """(name, keyword arguments) of a text such as ``HalfNormal(sigma=0.3)``, whose values are literals.

    Nothing is evaluated: numbers, texts, lists and ``{label: number}`` only.
    """
    try:
        found = ast.parse(text.strip(), mode="eval").body
        return found.func.id, _keywords(found)
    except (AttributeError, SyntaxError, TypeError, ValueError, RecursionError, MemoryError):
        raise StatementError(f"{what} {text!r}: write it as HalfNormal(sigma=0.3), with each value named") from None


def _keywords(found):
    if found.args or any(keyword.arg is None for keyword in found.keywords):
        raise ValueError
    return {keyword.arg: ast.literal_eval(keyword.value) for keyword in found.keywords}
