"""Quantities as people write them, ``"154 lb"``, ``"5 ft 10 in"``, ``"<0.5 mg/L"``, in a unit that is wanted."""

import math
import re
from itertools import pairwise

from nlmebayes.parameter.units import KINDS, TIMES

SECONDS = KINDS["time"][0]
MASS, MOLES = KINDS["amount"]
POUND = 453592.37  # mg, by definition (1959)
INCH = 2.54  # cm
SIZES = {  # word -> what it is of, and its size
    **{word: ("time", SECONDS[TIMES[word]]) for word in TIMES if TIMES[word] in SECONDS},
    **{word: ("time", SECONDS["year"]) for word in ("y", "yr", "yrs")}, "month": ("time", SECONDS["year"] / 12),
    "months": ("time", SECONDS["year"] / 12), "minute": ("time", 60.0), "minutes": ("time", 60.0),
    **{word.lower(): ("mass", size) for word, size in MASS.items()}, "lb": ("mass", POUND), "lbs": ("mass", POUND),
    "oz": ("mass", POUND / 16), **{word.lower(): ("moles", size) for word, size in MOLES.items()},
    **{word.lower(): ("volume", size) for word, size in KINDS["volume"][0].items()},
    "mm": ("length", 0.1), "cm": ("length", 1.0), "m": ("length", 100.0), "in": ("length", INCH),
    "ft": ("length", 12 * INCH),
}  # fmt: skip
PART = re.compile(r"\s*([-+]?(?:\d+(?:[.,]\d*)?|[.,]\d+)(?:[eE][-+]?\d+)?)\s*([^\d\s<>+-][^\d<>]*)?")
THOUSANDS = re.compile(r"[-+]?[1-9]\d{0,2},\d{3}")
SIGNS = ("\N{MICRO SIGN}", "u"), ("\N{GREEK SMALL LETTER MU}", "u"), ("mcg", "ug"), ("\N{MIDDLE DOT}", "*")


class Unclear(ValueError):
    """A text that is no quantity of the kind that is wanted; one line with the mend."""


def quantity(text, unit="", *, needed=False, molar=None):
    """The number that a text means in a ``unit``.

    Parameters
    ----------
    text : str
        A number with a unit, or without one, or several, each in a smaller unit, that add up: ``"5 ft 10 in"``.
    unit : str
        What is wanted, and what is meant by a number alone; empty of numbers without a unit.
    needed : bool
        Whether a unit must be written, because people use several.
    molar : float, optional
        Molar mass in g/mol, by which moles and masses are converted.

    Raises
    ------
    Unclear
        One line with the mend.
    """
    parts, place = [], 0
    while place < len(text.rstrip()):
        found = PART.match(text, place)
        if found is None or (parts and not (found[2] and parts[-1][1])):
            raise Unclear(f"{text!r} is no number{_such_as(unit)}")
        parts.append((_number(found[1], text), (found[2] or "").strip()))
        place = found.end()
    if not parts:
        raise Unclear(f"a number is missing{_such_as(unit)}")
    if needed and not parts[0][1]:
        raise Unclear(f"{text!r} has no unit; write one, such as {text.strip()} {unit}")
    sizes = [factor(said, unit, molar) if said and said != unit else 1.0 for _, said in parts]
    if any(after >= before for before, after in pairwise(sizes)):
        raise Unclear(f"{text!r} has several numbers; write one{_such_as(unit)}")
    found = sum(value * size for (value, _), size in zip(parts, sizes, strict=True))
    if not math.isfinite(found):
        raise Unclear(f"{text!r} is larger than any number that can be meant{_such_as(unit)}")
    return found


def _such_as(unit):
    return f"; write a number, such as 10 {unit}".rstrip()


def _number(text, whole):
    if THOUSANDS.fullmatch(text):
        plain = text.replace(",", "")
        raise Unclear(f"{whole!r} can be read in two ways; write {plain} or {text.replace(',', '.')}")
    return float(text.replace(",", "."))


def factor(said, unit, molar=None):
    """What a number in one unit is multiplied with to be in another: ``factor("mg/dL", "mg/L")`` is 10.

    Raises
    ------
    Unclear
        A word that is no unit, or units of different kinds.
    """
    (wanted, wanted_size), (kinds, size) = _read(unit), _read(said, unit)
    if kinds != wanted and molar is not None:
        kinds, size = _weighed(kinds, size, molar)
        wanted, wanted_size = _weighed(wanted, wanted_size, molar)
    if kinds != wanted:
        moles = "; moles of a drug are not converted" if "moles" in dict(kinds) else ""
        raise Unclear(f"{said!r} cannot be converted to {unit or 'a number without a unit'}{moles}")
    return size / wanted_size


def _weighed(kinds, size, molar):
    """A unit with moles as one with masses: umol are ``molar`` ug, which are 1e-3 mg."""
    power = dict(kinds).get("moles", 0)
    masses = dict(kinds)
    masses["mass"] = masses.get("mass", 0) + masses.pop("moles", 0)
    return tuple(sorted((k, n) for k, n in masses.items() if n)), size * (molar * 1e-3) ** power


def _read(unit, like=""):
    """What a compound unit is of, (kind, power) in order, and its size; messages list words that are ``like`` it."""
    kinds, size = {}, 1.0
    for sign, plain in SIGNS:
        unit = unit.replace(sign, plain)
    for place, over in enumerate(unit.replace(" ", "").split("/")):
        for word in filter(None, over.split("*")):
            if word == "%":
                size *= 0.01
                continue
            if word.lower() not in SIZES:
                raise Unclear(f"{word!r} is no unit{_known(like)}")
            kind, each = SIZES[word.lower()]
            power = -1 if place else 1
            kinds[kind] = kinds.get(kind, 0) + power
            size *= each**power
    return tuple(sorted((kind, power) for kind, power in kinds.items() if power)), size


def _known(like):
    kinds = {kind for kind, _ in _read(like)[0]}
    words = [word for word, (kind, _) in SIZES.items() if kind in kinds]
    return f"; write {like}, or with {', '.join(words)}" if words else "; write a number alone"
