"""Covariates of the models from what was entered of a patient: as they are, converted, or by a formula."""

from collections.abc import Callable
from dataclasses import dataclass

from nlmebayes import physiology
from nlmebayes.cases.quantities import Unclear, factor, quantity
from nlmebayes.physiology.kidney import MOLAR

GROWN = 18.0  # years
ALIKE = 0.01  # relative difference of two values that say the same
DEFAULT = "cockcroft-gault"  # of adults; of children schwartz
SEXES = {"female": "female", "f": "female", "woman": "female", "male": "male", "m": "male", "man": "male"}
FLAGS = {"yes": 1.0, "no": 0.0, "true": 1.0, "false": 0.0}


@dataclass(frozen=True)
class Measure:
    """What is asked of a patient: unit, the range that people have, whether the unit must be written."""

    unit: str
    low: float
    high: float
    needed: bool = False
    molar: float | None = None

    def read(self, text):
        value = quantity(text, self.unit, needed=self.needed, molar=self.molar)
        if not self.low <= value <= self.high:
            raise Unclear(f"{value:.4g} {self.unit} is outside {self.low:g} to {self.high:g} {self.unit}, what people "
                          "have; is it in another unit?")  # fmt: skip
        return value


MEASURES = {
    "age": Measure("years", 0.0, 120.0), "weight": Measure("kg", 0.3, 400.0), "height": Measure("cm", 25.0, 250.0),
    "creatinine": Measure("umol/L", 4.5, 2650.0, needed=True, molar=MOLAR),
}  # fmt: skip


@dataclass(frozen=True)
class Derived:
    """A covariate that follows from measures of a patient."""

    unit: str
    needs: tuple
    value: Callable


DERIVED = {
    **{
        name: Derived(measure.unit, (name,), lambda **own: next(iter(own.values())))
        for name, measure in MEASURES.items()
    },
    "wt": Derived("kg", ("weight",), lambda weight: weight),
    "ht": Derived("cm", ("height",), lambda height: height),
    "male": Derived("", ("sex",), lambda sex: float(sex == "male")),
    "female": Derived("", ("sex",), lambda sex: float(sex == "female")),
    "bmi": Derived("", ("weight", "height"), physiology.body_mass_index),
    "bsa": Derived("", ("weight", "height"), physiology.body_surface),
    "ffm": Derived("kg", ("age", "sex", "weight", "height"), physiology.fat_free_weight),
}
CLEARANCE = "crcl"
MEASURED = (CLEARANCE, *(name for name, rule in DERIVED.items() if rule.unit))  # that have a unit


@dataclass(frozen=True)
class Wanted:
    """A column that models of the case read."""

    name: str
    unit: str
    categories: tuple
    models: tuple
    drawn: bool

    def read(self, text):
        """The value that a text says: a number, yes or no as 1 or 0, or a category."""
        if self.categories:
            if text not in self.categories:
                raise Unclear(f"{text!r} is none of {', '.join(self.categories)}")
            return text
        value = FLAGS[text.lower()] if text.lower() in FLAGS else quantity(text, self.unit)
        if value < 0:
            raise Unclear(f"{text!r} is below 0; write what was measured")
        return value

    @property
    def shown(self):
        return f"{self.name} ({self.unit})" if self.unit else self.name


def wanted(models):
    """Column -> `Wanted` of several `Ready` models.

    Raises
    ------
    Unclear
        They read a column in units that differ, or in one that is not stated though it is derived from others.
    """
    found = {}
    for name in dict.fromkeys(name for model in models for name in model.columns):
        readers = [model for model in models if name in model.columns]
        units = {model.unit(name) for model in readers}
        if len(units) > 1:
            raise Unclear(f"the models read {name} in different units, {', '.join(sorted(units))}; ask one by one")
        if name in MEASURED and not any(units):
            raise Unclear(f"{readers[0].name} does not say in which unit it reads {name}; add it to its units")
        domain = readers[0].about.get("domain", {}).get(name, ())
        texts = tuple(domain) if domain and isinstance(domain[0], str) else ()
        found[name] = Wanted(name, units.pop(), texts, tuple(model.name for model in readers),
                             all(name in model.drawn for model in readers))  # fmt: skip
    return found


def values(texts, columns, notes, place):
    """What the texts of a patient say, name -> value; problems go to the notes."""
    found = {}
    for name, text in texts.items():
        if name == "time" or not text:
            continue
        with notes.at(f"{place}.{name}"):
            found[name] = _value(name, text, columns)
            unit = MEASURES[name].unit if name in MEASURES else columns[name].unit if name in columns else ""
            notes.shown[f"{place}.{name}"] = _shown(found[name], unit)
    return found


def _value(name, text, columns):
    if name == "sex":
        if text.lower() not in SEXES:
            raise Unclear(f"{text!r} is no sex that the formulas know; write female or male")
        return SEXES[text.lower()]
    if name in MEASURES:
        return MEASURES[name].read(text)
    if name in columns:
        return columns[name].read(text)
    known = ", ".join(dict.fromkeys(["sex", *MEASURES, *columns]))
    raise Unclear(f"no model of the case reads {name[:40]!r}; a patient has {known}")


def _shown(value, unit):
    return value if isinstance(value, str) else f"{value:.4g} {unit}".rstrip()


def columns_of(columns, known, equation, notes, place, impute):
    """Column -> (value, how it came about), of the measures ``known``; problems go to the notes."""
    found = {}
    for name, column in columns.items():
        if notes.stopped(f"{place}.{name}"):
            continue
        if name in known and name not in MEASURES:
            found[name] = known[name], f"{_shown(known[name], column.unit)}, as entered"
            _check_alike(column, known, notes, place)
        elif name == CLEARANCE and not (impute and column.drawn and "creatinine" not in known):
            found |= _cleared(column, known, equation, notes, place)
        elif name in DERIVED:
            found |= _derived(column, known, notes, place)
        elif not (impute and column.drawn):
            more = "; without it, ask for it to be imputed" if column.drawn else ""
            notes.ask(f"{place}.{name}", f"{_readers(column)} {column.shown}: enter it{more}")
    return found


def _check_alike(column, known, notes, place):
    """Refuse a covariate that says the same as a measure, and another value of it."""
    follows = _follows(column.name)
    if column.name == CLEARANCE or len(follows) != 1 or follows[0] not in known:
        return
    value, words = _derived(column, known, notes, place).get(column.name, (known[column.name], ""))
    if abs(value - known[column.name]) > ALIKE * abs(value):
        notes.say(f"{place}.{column.name}", f"{known[column.name]:g} was entered, and it is {words}; leave one out")


def check_changed(row, columns, known, notes, place):
    """Refuse a covariate that stays as it was entered where what it follows from changes with a ``row``."""
    for name in columns:
        changed = [need for need in _follows(name) if row.get(need)]
        if changed and name in known and name not in MEASURES and not row.get(name):
            message = f"{' and '.join(changed)} changes, and {name} was entered before: enter {name} here too"
            notes.say(f"{place}.{name}", f"{message}, or leave it out everywhere")


def _follows(name):
    """The measures that a covariate follows from."""
    return ("creatinine",) if name == CLEARANCE else DERIVED[name].needs if name in DERIVED else ()


def _readers(column):
    return " and ".join(column.models) + (" reads" if len(column.models) == 1 else " read")


def _lacking(column, needs, known, notes, place, instead=""):
    lacking = [name for name in needs if name not in known]
    for name in lacking:
        notes.ask(f"{place}.{name}", f"{_readers(column)} {column.shown}: enter the {name}{instead}")
    return bool(lacking)


def _derived(column, known, notes, place):
    rule = DERIVED[column.name]
    if _lacking(column, rule.needs, known, notes, place):
        return {}
    with notes.at(f"{place}.{rule.needs[0]}"):
        value = rule.value(**{name: known[name] for name in rule.needs})
        molar = MEASURES[column.name].molar if column.name in MEASURES else None
        value *= factor(rule.unit, column.unit, molar) if rule.unit and column.unit else 1.0
        return {column.name: (value, f"{_shown(value, column.unit)} from {', '.join(rule.needs)}")}
    return {}


def equation_for(stated, known):
    """The equation that is meant: the one stated, or by the age."""
    return stated or (DEFAULT if known.get("age", GROWN) >= GROWN else "schwartz")


def _cleared(column, known, stated, notes, place):
    """Creatinine clearance by an equation."""
    equation = equation_for(stated, known)
    if equation not in physiology.EQUATIONS:
        notes.say("equation", f"no equation {equation[:40]!r}; there are {', '.join(physiology.EQUATIONS)}")
        return {}
    needs = (*physiology.EQUATIONS[equation][0], "creatinine")
    if _lacking(column, needs, known, notes, place, f" (for {equation}), or {column.name}"):
        return {}
    given = {name: known[name] for name in needs}
    try:
        value = physiology.creatinine_clearance(equation, unit="umol/L", **given)
        value *= factor("mL/min", column.unit) if column.unit else 1.0
    except ValueError as error:
        meant = next((name for name in needs if f" {name} must be" in str(error)), "creatinine")
        notes.say(f"{place}.{meant}", error)
        return {}
    return {column.name: (value, f"{_shown(value, column.unit or 'mL/min')} by {equation}")}
