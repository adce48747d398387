"""Units of measurement as they are written, ``"mg/L/h"``: what their words are, and other ones in their place."""

import re

from nlmebayes.errors import ModelError

TIMES = {
    "s": "s", "sec": "s", "min": "min", "h": "h", "hr": "h", "hour": "h", "hours": "h", "d": "day", "day": "day",
    "days": "day", "week": "week", "weeks": "week", "month": "month", "months": "month", "year": "year",
    "years": "year",
}  # fmt: skip
SECONDS = {"s": 1.0, "min": 60.0, "h": 3600.0, "day": 86400.0, "week": 604800.0, "year": 31557600.0}
KINDS = {  # sizes of what one unit can be converted to another of, by the dimension that they are of
    "time": [SECONDS | {word: SECONDS[unit] for word, unit in TIMES.items() if unit in SECONDS}],
    "amount": [
        {"ng": 1e-6, "ug": 1e-3, "mcg": 1e-3, "mg": 1.0, "g": 1e3, "kg": 1e6},
        {"pmol": 1e-6, "nmol": 1e-3, "umol": 1.0, "mmol": 1e3, "mol": 1e6},
    ],
    "volume": [{"uL": 1e-6, "mL": 1e-3, "dL": 0.1, "L": 1.0}],
}
WORD = re.compile(r"(?P<unit>[^\W\d_]+)(?:\^(?P<power>\d+))?")


def time_of(parameters):
    """The unit of time that the units of parameters agree on; empty where they tell none, or several."""
    words = [word for p in parameters for word in p.unit.split("/")]
    found = {TIMES[word] for word in words if word in TIMES}
    return found.pop() if len(found) == 1 else ""


def sizes(dimension, unit):
    """Sizes of all units, by word, that a unit of a dimension can be converted to.

    Raises
    ------
    ModelError
        There is no such dimension, or no such unit of it.
    """
    if dimension not in KINDS:
        raise ModelError(f"units: no dimension {dimension!r}; there are {', '.join(KINDS)}")
    for kind in KINDS[dimension]:
        if unit in kind:
            return kind
    known = ", ".join(word for kind in KINDS[dimension] for word in kind)
    raise ModelError(f"units: {unit!r} is no unit of {dimension}; there are {known}")


def converted(written, dimension, unit):
    """A unit as it is written with another one of a dimension in it, the factor of values in the old one, and the words
    that were replaced. ``"1/time"`` is of a time that the data state.

    Raises
    ------
    ModelError
        A unit of the dimension stands in a word that cannot be read, such as "mg h".
    """
    known, factor, words, old = sizes(dimension, unit), 1.0, [], set()
    for place, word in enumerate(written.split("/")):
        read = WORD.fullmatch(word)
        if read and (read["unit"] in known or read["unit"] == dimension):
            size = known.get(read["unit"], known[unit]) / known[unit]
            factor *= size ** (int(read["power"] or 1) * (-1 if place else 1))
            old.add(read["unit"])
            word = f"{unit}^{read['power']}" if read["power"] else unit
        elif any(part in known for part in re.findall(r"[^\W\d_]+", word)):
            raise ModelError(f"units: {written!r} cannot be converted; write it with / between its words, as mg/L/h")
        words.append(word)
    return "/".join(words), factor, old
