"""What is wanted of doses, in words: targets such as "trough 10-15 mg/L" or "t>mic 50% mic 4", and lists of numbers."""

import inspect
import re
import warnings

import numpy as np

from nlmebayes.dosing.targets import AUC, AverageConcentration, DailyAUC, Peak, TimeAbove, Trough
from nlmebayes.words import StatementError, assignments, chosen, number, refused

TARGETS = {
    "trough": Trough, "cmin": Trough, "peak": Peak, "cmax": Peak, "auc": AUC, "auc24": DailyAUC,
    "average": AverageConcentration, "cavg": AverageConcentration, "t>mic": TimeAbove,
}  # fmt: skip
AREAS = (AUC, DailyAUC)
MOST = 10_000  # values of a list that is given as first, last and step
OPTIONS = {"mic": "mic", "free": "free", "weight": "weight", "at": "time", "from": "start", "to": "end", "dose": "dose"}
CONCENTRATION = {  # in mg/L
    "g/l": 1e3, "mg/ml": 1e3, "mg/l": 1.0, "ug/ml": 1.0, "mg/dl": 10.0, "ug/l": 1e-3, "ng/ml": 1e-3, "ng/l": 1e-6,
    "pg/ml": 1e-6,
}  # fmt: skip
EXAMPLES = "'trough 10-15 mg/L', 'auc24 400-600', 'peak 30-40', 't>mic 50% mic 4', 'auc24/mic 400- mic 1 free 0.5'"
_RANGE = re.compile(r"([0-9.eE+]+)?\s*-\s*([0-9.eE+]+)?%?")


def target(text, unit=None):
    """The target of a text: an exposure, its range, its unit, and options (mic, free, weight, at, from, to, dose).

    Parameters
    ----------
    unit : str, optional
        Of the concentrations of the model, e.g. ``"mg/L"``; a target in another one is converted. Without it, one that
        is said is warned of.

    Raises
    ------
    StatementError
        One line that shows what can be said.
    """
    words = _ascii(text).replace("\N{EN DASH}", "-").replace(" %", "%").split()
    if len(words) < 2:
        raise StatementError(f"target {text!r}: say what, and its range: {EXAMPLES}")
    word, _, over = words[0].lower().partition("/")
    kind = TARGETS[chosen(word, TARGETS, "exposure", f" in the target {text!r}")]
    ratio = over == "mic" or kind is TimeAbove
    words = re.sub(r"^(\S+ [0-9.eE+]+) to (?=[0-9.eE+]+( |$))", r"\1-", " ".join(words)).split()  # 400 to 600
    low, high, rest = _range(words[1:], text)
    said, factor = _options(rest, text, kind in AREAS and not ratio, unit)
    if ratio != ("mic" in said):
        raise StatementError(f"target {text!r}: {words[0]} needs the MIC, e.g. 'mic 1'" if ratio else
                             f"target {text!r}: an MIC belongs to {words[0]}/mic")  # fmt: skip
    if "%" in text and kind is not TimeAbove:
        raise StatementError(f"target {text!r}: {words[0]} is no percentage; write {EXAMPLES}")
    if ratio:  # percent and ratios have no unit; what stands there is that of the MIC
        said["mic"], factor = said["mic"] * factor, 1.0
    if said.keys() - inspect.signature(kind).parameters:
        raise StatementError(f"target {text!r}: {words[0]} does not take {', '.join(said)}")
    with refused():
        return kind(low * factor, high * factor, **said)


def _ascii(text):
    return text.replace("\N{MICRO SIGN}", "u").replace("mcg", "ug")


def _range(words, text):
    """Low, high, and the words after them: ``10-15``, ``400-``, ``-15``, ``>400``, ``<15``, ``50%``."""
    first, rest = words[0], list(words[1:])
    while rest and (first[-1] in "-<>=" or rest[0].startswith("-")) and re.fullmatch(r"[-0-9.eE+%]+", rest[0]):
        first += rest.pop(0)
    sided = re.fullmatch(r"([<>]=?)?([0-9.eE+]+)%?", first)
    if sided:
        value, below = _number(sided[2], text), (sided[1] or ">").startswith("<")
        return (0.0, value, rest) if below else (value, np.inf, rest)
    both = _RANGE.fullmatch(first)
    if not both or not (both[1] or both[2]):
        raise StatementError(f"target {text!r}: {first!r} is no range; write 10-15, 400- or <15")
    low, high = (_number(part, text) if part else None for part in both.groups())
    return 0.0 if low is None else low, np.inf if high is None else high, rest


def _number(word, text):
    return float(number(word, f"target {text!r}"))


def _options(words, text, area, unit):
    """Keyword arguments of a target, and the factor of its unit."""
    said, factor, words = {}, 1.0, list(words)
    while words:
        word = words.pop(0)
        if word.lower() in OPTIONS:
            if not words:
                raise StatementError(f"target {text!r}: nothing follows {word!r}")
            name, value = OPTIONS[word.lower()], words.pop(0)
            said[name] = _dose(value, text) if name == "dose" else _number(value, text)
        else:
            factor = _factor(word, text, area, unit)
    return said, factor


def _dose(word, text):
    """Position of a dose: the first, the last, or counted from 1."""
    named = {"first": 0, "last": -1}
    if word in named:
        return named[word]
    count = number(word, f"target {text!r}, dose")
    if not isinstance(count, int) or count < 1:
        raise StatementError(f"target {text!r}: a dose is first, last, or its number from 1")
    return count - 1


def _factor(word, text, area, unit):
    """What a number in this unit is multiplied with, to be in that of the model."""
    plain, hours = word.lower(), not area
    if area:
        plain, hours = re.subn(r"^h[*.·]|[*.·]h(?=/)|[*.·]h$|(?<=g)h(?=/)", "", plain)
    if plain not in CONCENTRATION:
        known = ", ".join(CONCENTRATION) + (" times h" if area else "")
        raise StatementError(f"target {text!r}: {word!r} is no unit and no option; units are {known}; "
                             f"options are {', '.join(OPTIONS)}")  # fmt: skip
    if not hours:
        raise StatementError(f"target {text!r}: {word!r} is a concentration, and an area is one times h, as in mg*h/L")
    if unit is None:
        warnings.warn(
            f"target {text!r}: the unit of the population's concentrations is not known, so {word!r} is not converted",
            stacklevel=2,
        )
    return 1.0 if unit is None else CONCENTRATION[plain] / CONCENTRATION[_plain(unit)]


def _plain(unit):
    found = _ascii(unit).lower()
    if found not in CONCENTRATION:
        raise StatementError(f"the unit {unit!r} of the model is not known; units are {', '.join(CONCENTRATION)}")
    return found


def numbers(text, option):
    """Numbers of ``"500,750"`` or ``"250:2000:250"`` (first, last, step); None of nothing."""
    if text is None:
        return None
    if ":" not in text:
        return [float(number(part.strip(), option)) for part in text.split(",")]
    parts = [float(number(part, option)) for part in text.split(":")]
    if len(parts) != 3 or not np.isfinite(parts).all() or not parts[2] > 0 or parts[1] < parts[0]:
        raise StatementError(f"{option} {text!r}: write numbers, 500,750,1000, or first:last:step, 250:2000:250")
    if (parts[1] - parts[0]) / parts[2] > MOST:
        raise StatementError(f"{option} {text!r}: more than {MOST:,} values; take a larger step")
    return list(np.arange(parts[0], parts[1] + 1e-9 * parts[2], parts[2]))


def number_or_name(text):
    """A float, or the name of a column."""
    try:
        return None if text is None else float(text)
    except ValueError:
        return text.strip()


def coming(texts):
    """Covariates to come of ``["crcl=40", "wt=70 at 72"]``, as `recommend` takes them."""
    found = {}
    for text in texts:
        for name, said in assignments([text], "--then", "COVARIATE=VALUE or 'COVARIATE=VALUE at TIME'").items():
            value, at, time = said.partition(" at ")
            if name in found and not (at and isinstance(found[name], dict)):
                raise StatementError(f"--then {text!r}: say when, {name}=VALUE at TIME, each time")
            if at:
                found.setdefault(name, {})[float(number(time, "--then"))] = number_or_name(value)
            else:
                found[name] = number_or_name(value)
    return found
