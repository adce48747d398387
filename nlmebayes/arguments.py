"""What an argument may be, and the one sentence that refuses anything else: checked at the door of nouns and verbs.

    @checked
    def fit(model: Model, data: Data, *, draws: Count = 1000, random_seed: Seed | None = None): ...

Annotations say what is taken. An argument reaches the function in its canonical spelling: numbers of NumPy, whole or
not, as Python's own, lists where a tuple is meant as tuples. One without an annotation is taken as it is;
``**options: Options``, a dataclass, takes the fields of that class by name.
"""

import inspect
import reprlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from functools import wraps
from itertools import islice
from numbers import Real
from os import PathLike
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Literal, Union, get_args, get_origin

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import ArrayLike

from nlmebayes.errors import ModelError

LONGEST = 1_000_000  # elements of a list
CANNOT = (TypeError, ValueError, OverflowError, AttributeError)  # what conversions raise


class Unfit(Exception):
    """``value``, at ``place`` inside of an argument, is not what ``words`` say."""

    def __init__(self, words, value, place=""):
        super().__init__(words)
        self.words, self.value, self.place = words, value, place


@dataclass(frozen=True)
class Kind:
    """What is taken, in words, and a function that gives a value of it in its canonical spelling, or raises."""

    words: str
    canonical: Callable

    def __repr__(self):
        return self.words

    def read(self, value):
        """The value in its canonical spelling, or `Unfit`."""
        try:
            return self.canonical(value)
        except Unfit:
            raise
        except CANNOT:
            raise Unfit(self.words, value) from None


def _real(value):
    """A number of any type; a text, a truth value or an array is none."""
    value = value[()] if isinstance(value, np.ndarray) and value.ndim == 0 else value
    if isinstance(value, bool | np.bool_) or not isinstance(value, Real):
        raise TypeError
    return value


def number(words, low=-np.inf, high=np.inf, ends="()"):
    """Numbers between two, which ``ends`` include, ``[``, or not, ``(``."""

    def canonical(value):
        x = float(_real(value))
        inside = (x > low or (x == low and ends[0] == "[")) and (x < high or (x == high and ends[1] == "]"))
        if not inside:
            raise ValueError
        return x

    return Kind(words, canonical)


def whole(words, low, high=2**63 - 1):
    """Whole numbers from ``low`` to ``high``, of any type."""

    def canonical(value):
        n = int(_real(value))
        if n != value or not low <= n <= high:
            raise ValueError
        return n

    return Kind(words, canonical)


def instance(words, *kinds):
    """Objects of some classes."""

    def canonical(value):
        if not isinstance(value, kinds):
            raise TypeError
        return value

    return Kind(words, canonical)


def text(value):
    if not isinstance(value, str):
        raise TypeError
    return str(value)


def _name(value):
    if not text(value).strip():
        raise ValueError
    return str(value)


def _names(value):
    """One or several."""
    return (_name(value),) if isinstance(value, str) else SEVERAL.read(value)


def _array(value):
    array = np.asarray(value)
    if isinstance(value, pd.DataFrame) or array.dtype.kind not in "iuf" or not np.isfinite(array).all():
        raise TypeError
    return array.astype(float)


def _switch(value):
    if not isinstance(value, bool | np.bool_):
        raise TypeError
    return bool(value)


def _tuple(value):
    if not isinstance(value, list | tuple):
        raise TypeError
    return tuple(value)


def _none(value):
    if value is not None:
        raise TypeError


def _path(value):
    if not isinstance(value, str | PathLike) or not str(value) or "\0" in str(value):
        raise TypeError
    return Path(value)


ANYTHING = Kind("anything", lambda value: value)
Number = Annotated[float, number("a finite number")]
Positive = Annotated[float, number("a positive number", 0.0)]
NotNegative = Annotated[float, number("a number from 0 on", 0.0, ends="[)")]
Limit = Annotated[float, number("a number, which may be infinite", ends="[]")]
Share = Annotated[float, number("a number between 0 and 1, both excluded", 0.0, 1.0)]
Count = Annotated[int, whole("a whole number from 1 to 10,000,000", 1, 10_000_000)]
Whole = Annotated[int, whole("a whole number from 0 on", 0)]
Integer = Annotated[int, whole("a whole number", -(2**63))]
Seed = Annotated[int, whole("a whole number from 0 on", 0, 2**128)]
Array = Annotated[ArrayLike, Kind("a finite number, or an array of them", _array)]
Switch = Annotated[bool, Kind("True or False", _switch)]
Text = Annotated[str, Kind("a text", text)]
Name = Annotated[str, Kind("a name", _name)]
Names = Annotated[str | Sequence[str], Kind("a name, or a list of names", _names)]
File = Annotated[str | PathLike[str], Kind("a path", _path)]
Tree = Annotated[xr.DataTree, instance("a tree, as fit, forecast or population give it", xr.DataTree)]
Drawn = Annotated[xr.DataArray, instance("a variable of a tree, such as tree['posterior']['eta_id']", xr.DataArray)]


def kind_of(annotation):
    """The `Kind` that an annotation means."""
    return COMPOSED.get(get_origin(annotation), _plain)(annotation)


def _annotated(annotation):
    return annotation.__metadata__[0]


def _plain(annotation):
    """Of a class, or of a type without a meaning here."""
    if annotation in BUILTIN or not isinstance(annotation, type):
        return BUILTIN.get(annotation, ANYTHING)
    own = f"{_article(annotation.__name__)} {annotation.__name__}"
    return instance(getattr(annotation, "ARGUMENT", own), annotation)


def _literal(annotation):
    choices = get_args(annotation)

    def canonical(value):
        return choices[choices.index(value if isinstance(value, str) else _real(value))]

    return Kind(f"{', '.join(map(repr, choices[:-1]))} or {choices[-1]!r}", canonical)


def _either(annotation):
    """The first kind that takes the value; where none does, what is told is what is wrong furthest inside."""
    kinds = [kind_of(each) for each in get_args(annotation)]
    words = ", ".join(kind.words for kind in kinds[:-1]) + f" or {kinds[-1].words}"

    def canonical(value):
        inside = None
        for kind in kinds:
            try:
                return kind.read(value)
            except Unfit as error:
                inside = error if error.place or error.words != kind.words else inside
        raise inside or Unfit(words, value)

    return Kind(words, canonical)


def _sequence(annotation):
    """Sequences of any type as a list or a tuple."""
    made, each = get_origin(annotation), kind_of(get_args(annotation)[0])

    def canonical(value):
        if isinstance(value, str | bytes | Mapping | set | xr.DataTree | pd.DataFrame) or not isinstance(
            value, Iterable
        ):
            raise TypeError
        first = list(islice(value, LONGEST + 1))
        if len(first) > LONGEST:
            raise Unfit(f"a list of at most {LONGEST}, each {each.words}", value)
        return made(_inside(each, x, f", number {i + 1},") for i, x in enumerate(first))

    return Kind(f"a list, each {each.words}", canonical)


def _mapping(annotation):
    names, values = map(kind_of, get_args(annotation))

    def canonical(value):
        if not isinstance(value, Mapping):
            raise TypeError
        found = ((_inside(names, k, f", the name {_shown(k)},"), k, v) for k, v in value.items())
        return {name: _inside(values, v, f" of {k if isinstance(k, str) else _shown(k)}") for name, k, v in found}

    return Kind(f"a dict, each value {values.words}", canonical)


def _inside(kind, value, place):
    try:
        return kind.read(value)
    except Unfit as error:
        raise Unfit(error.words, error.value, place + error.place) from None


COMPOSED = {
    Annotated: _annotated, Union: _either, UnionType: _either, Literal: _literal, list: _sequence, tuple: _sequence,
    dict: _mapping,
}  # fmt: skip
BUILTIN = {
    int: _annotated(Integer), float: _annotated(Number), str: _annotated(Text), bool: _annotated(Switch),
    dict: instance("a dict", Mapping), tuple: Kind("a list", _tuple), NoneType: Kind("None", _none), object: ANYTHING,
    inspect.Parameter.empty: ANYTHING,
}  # fmt: skip
SEVERAL = kind_of(tuple[Name, ...])


def checked[Thing](thing: Thing, error: type[Exception] = ModelError) -> Thing:
    """A function, or a class, whose arguments are read as their annotations say.

    Raises
    ------
    ModelError, or another ``error``
        When it is called: names the argument, says what it may be and what it was. An argument that there is not, or
        one that is missing, lists those that there are.
    """
    if isinstance(thing, type):
        thing.__init__ = _with_a_door(thing.__init__, thing.__name__, error)
        return thing
    return _with_a_door(thing, thing.__name__, error)


def _with_a_door(function, owner, error):
    signature = _spelled_out(inspect.signature(function))
    kinds = {name: (p.kind, kind_of(p.annotation)) for name, p in signature.parameters.items()}
    fits, order = _quick(signature), _tree_first(signature, owner)

    @wraps(function)
    def door(*args, **given):
        try:
            if order and args and not isinstance(args[0], xr.DataTree):
                raise ModelError(f"{order}; got {_shown(args[0])} in its place")
            if fits(args, given):
                args = tuple(read(owner, name, kinds[name][1], x) for name, x in zip(kinds, args, strict=False))
                given = {name: read(owner, name, kinds[name][1], x) for name, x in given.items()}
            else:
                args, given = _bound(signature, owner, kinds, args, given)
        except ModelError as refusal:
            raise error(str(refusal)) from None
        return function(*args, **given)

    door.__signature__ = signature
    return door


def _spelled_out(signature):
    """A signature with the fields of a record in the place of ``**options``, but those that it has itself."""
    *others, last = signature.parameters.values() or [None]
    if last is None or last.kind != inspect.Parameter.VAR_KEYWORD or not is_dataclass(last.annotation):
        return signature
    own = [
        inspect.Parameter(f.name, inspect.Parameter.KEYWORD_ONLY, default=f.default, annotation=f.type)
        for f in fields(last.annotation)
        if f.name not in signature.parameters
    ]
    return signature.replace(parameters=[*others, *own])


def _tree_first(signature, owner):
    """What to say where something else than a tree stands in the place of one; nothing where none is first."""
    first = next(iter(signature.parameters.values()), None)
    if first is None or first.annotation is not Tree or "model" not in signature.parameters:
        return ""
    needed = [p.name for p in signature.parameters.values() if p.kind == first.kind and p.default is first.empty]
    call = f"{owner}({', '.join(needed)})"
    return f"{owner}: write {call}: the tree comes first and knows its model, as fit, forecast or population give it"


def _quick(signature):
    """Whether a call fits a signature without arguments of any number: what `bind` finds in ten times the time."""
    parameters = signature.parameters.values()
    positional = [p.name for p in parameters if p.kind == inspect.Parameter.POSITIONAL_OR_KEYWORD]
    named = {p.name for p in parameters if p.kind == inspect.Parameter.KEYWORD_ONLY}
    needed = {p.name for p in parameters if p.default is inspect.Parameter.empty}
    if len(positional) + len(named) < len(signature.parameters):
        return lambda args, given: False
    left = [named.union(positional[k:]) for k in range(len(positional) + 1)]  # names that k arguments leave
    return lambda args, given: (
        len(args) < len(left) and given.keys() <= left[len(args)] and needed & left[len(args)] <= given.keys()
    )


def _read_all(owner, name, place, kind, value):
    """An argument, or each of those of any number."""
    if place == inspect.Parameter.VAR_POSITIONAL:
        return tuple(read(owner, name, kind, each) for each in value)
    if place == inspect.Parameter.VAR_KEYWORD:
        return {key: read(owner, key, kind, each) for key, each in value.items()}
    return read(owner, name, kind, value)


def arguments(function, **given):
    """Those of the arguments of a `checked` function that are given, in their canonical spelling: options that are
    passed on are refused before anything is done.

    Raises
    ------
    ModelError
        As `checked`.
    """
    known, owner = inspect.signature(function).parameters, function.__name__
    for name in given:
        if name not in known:
            names = ", ".join(name for name in known if name != "self")
            raise ModelError(f"{owner}: no argument {name!r}; its arguments are {names}")
    return {name: read(owner, name, kind_of(known[name].annotation), value) for name, value in given.items()}


def _bound(signature, owner, kinds, args, given):
    try:
        bound = signature.bind(*args, **given)
    except TypeError as error:
        names = ", ".join(name for name in signature.parameters if name != "self") or "none"
        raise ModelError(f"{owner}: {error}; its arguments are {names}") from None
    for name, value in bound.arguments.items():
        bound.arguments[name] = _read_all(owner, name, *kinds[name], value)
    return bound.args, bound.kwargs


def read(owner, name, kind, value):
    """An argument in its canonical spelling.

    Raises
    ------
    ModelError
        It is not of the kind.
    """
    try:
        return kind.read(value)
    except Unfit as error:
        raise ModelError(f"{owner}: {name}{error.place} must be {error.words}; got {_shown(error.value)}") from None


def _shown(value):
    """A value in a few words on one line."""
    if isinstance(value, str | Real | NoneType | list | tuple | dict | set | bytes):
        return " ".join(reprlib.repr(value.item() if isinstance(value, np.generic) else value).split())
    name = value.__name__ if isinstance(value, type) else type(value).__name__
    return f"the class {name}" if isinstance(value, type) else f"{_article(name)} {name}"


def _article(name):
    return "an" if name[0] in "AEIOaeio" else "a"
