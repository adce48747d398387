"""Clearance of creatinine and filtration of the kidney, from the creatinine of serum."""

from functools import partial
from typing import Annotated, Literal

from nlmebayes.arguments import Positive, Text, checked, number
from nlmebayes.errors import ModelError
from nlmebayes.physiology.body import (
    GrownWeight,
    Height,
    Sex,
    Weight,
    adjusted_weight,
    body_mass_index,
    body_surface,
    ideal_weight,
)

MOLAR = 113.12  # g/mol of creatinine, C4H7N3O
PER_MG_DL = 1e4 / MOLAR  # umol/L
POSSIBLE = 0.05, 30.0  # mg/dL of serum; beyond it the unit is another
UNDERWEIGHT, OVERWEIGHT = 18.5, 25.0  # kg/m²
Adult = Annotated[float, number("an age from 18 to 120 years (of children: schwartz)", 18.0, 120.0, "[]")]
Child = Annotated[float, number("an age from 1 to 18 years (of adults: cockcroft_gault, ckd_epi)", 1.0, 18.0, "[]")]
Creatinine = Annotated[float, number("a positive number", 0.0)]
Unit = Literal["umol/L", "mg/dL"]
WEIGHTS = {
    "actual": lambda sex, weight, height: weight,
    "ideal": lambda sex, weight, height: ideal_weight(sex=sex, height=height),
    "adjusted": lambda sex, weight, height: adjusted_weight(sex=sex, weight=weight, height=height),
}


def _mg_per_dl(creatinine, unit):
    value = creatinine / PER_MG_DL if unit == "umol/L" else creatinine
    if not POSSIBLE[0] <= value <= POSSIBLE[1]:
        low, high = (limit * (PER_MG_DL if unit == "umol/L" else 1.0) for limit in POSSIBLE)
        other = "mg/dL" if unit == "umol/L" else "umol/L"
        raise ModelError(
            f"creatinine {creatinine:g} {unit} is outside {low:.3g} to {high:.3g} {unit}; is it in {other}?"
        )
    return value


@checked
def cockcroft_gault(
    *, age: Adult, sex: Sex, weight: GrownWeight, creatinine: Creatinine, unit: Unit = "umol/L"
) -> float:
    """Creatinine clearance of an adult (mL/min), (140 - age) weight / (72 creatinine in mg/dL), of women times 0.85.

    ``weight`` is the actual, ideal or adjusted one, see `cockcroft_gault_weight`.

    Parameters
    ----------
    age : float
        Years.
    sex : {"female", "male"}
    weight : float
        kg.
    creatinine : float
        Of serum, in ``unit``.
    unit : {"umol/L", "mg/dL"}

    Returns
    -------
    float

    Raises
    ------
    ModelError
        A value that nobody has, or for whom the formula is not meant.

    References
    ----------
    Cockcroft and Gault (1976), Nephron 16, 31-41, doi:10.1159/000180580; patients of 18 to 92 years.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> round(nb.physiology.cockcroft_gault(age=60, sex="male", weight=72, creatinine=1.0, unit="mg/dL"), 1)
    80.0
    """
    return (140 - age) * weight * (1.0 if sex == "male" else 0.85) / (72 * _mg_per_dl(creatinine, unit))


@checked
def cockcroft_gault_weight(*, sex: Sex, weight: GrownWeight, height: Height) -> tuple[str, float]:
    """Which weight `cockcroft_gault` takes by the rule of Winter, Guhr and Berg (2012), and how many kg.

    The actual one below a body mass index of 18.5 kg/m², the ideal one below 25, else the adjusted one.

    Parameters
    ----------
    sex : {"female", "male"}
    weight : float
        kg.
    height : float
        cm.

    Returns
    -------
    (str, float)

    Raises
    ------
    ModelError
        A value that nobody has, or for whom the formula is not meant.

    References
    ----------
    Pharmacotherapy 32, 604-612, doi:10.1002/j.1875-9114.2012.01098.x.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> nb.physiology.cockcroft_gault_weight(sex="male", weight=50, height=177.8)
    ('actual', 50.0)
    """
    index = body_mass_index(weight=weight, height=height)
    kind = "actual" if index < UNDERWEIGHT else "ideal" if index < OVERWEIGHT else "adjusted"
    return kind, WEIGHTS[kind](sex, weight, height)


@checked
def ckd_epi(*, age: Adult, sex: Sex, creatinine: Creatinine, unit: Unit = "umol/L") -> float:
    """Estimated filtration of an adult (mL/min/1.73 m²), CKD-EPI 2021 without race.

    142 min(c / k, 1)^a max(c / k, 1)^-1.2 0.9938^age, times 1.012 of women; c in mg/dL; k 0.7 and a -0.241 of women,
    0.9 and -0.302 of men. `deindexed` makes it mL/min.

    Parameters
    ----------
    age : float
        Years.
    sex : {"female", "male"}
    creatinine : float
        Of serum, in ``unit``.
    unit : {"umol/L", "mg/dL"}

    Returns
    -------
    float

    Raises
    ------
    ModelError
        A value that nobody has, or for whom the formula is not meant.

    References
    ----------
    Inker et al. (2021), N Engl J Med 385, 1737-1749, doi:10.1056/NEJMoa2102953.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> round(nb.physiology.ckd_epi(age=50, sex="male", creatinine=0.9, unit="mg/dL"), 1)
    104.0
    """
    k, a, of_women = (0.9, -0.302, 1.0) if sex == "male" else (0.7, -0.241, 1.012)
    ratio = _mg_per_dl(creatinine, unit) / k
    return 142 * min(ratio, 1.0) ** a * max(ratio, 1.0) ** -1.2 * 0.9938**age * of_women


@checked
def schwartz(*, age: Child, height: Height, creatinine: Creatinine, unit: Unit = "umol/L") -> float:
    """Estimated filtration of a child (mL/min/1.73 m²), the bedside formula 0.413 height / creatinine in mg/dL.

    Parameters
    ----------
    age : float
        Years.
    height : float
        cm.
    creatinine : float
        Of serum, in ``unit``.
    unit : {"umol/L", "mg/dL"}

    Returns
    -------
    float

    Raises
    ------
    ModelError
        A value that nobody has, or for whom the formula is not meant.

    References
    ----------
    Schwartz et al. (2009), J Am Soc Nephrol 20, 629-637, doi:10.1681/ASN.2008030287; children of 1 to 16 years
    with chronic kidney disease.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> round(nb.physiology.schwartz(age=8, height=130, creatinine=0.6, unit="mg/dL"), 1)
    89.5
    """
    return 0.413 * height / _mg_per_dl(creatinine, unit)


@checked
def deindexed(rate: Positive, *, weight: Weight, height: Height) -> float:
    """A rate per 1.73 m² as that of the patient: times his surface (Mosteller) / 1.73.

    Parameters
    ----------
    rate : float
        mL/min/1.73 m².
    weight : float
        kg.
    height : float
        cm.

    Returns
    -------
    float

    Raises
    ------
    ModelError
        A value that nobody has, or for whom the formula is not meant.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> round(nb.physiology.deindexed(90, weight=100, height=190), 1)
    119.5
    """
    return rate * body_surface(weight=weight, height=height) / 1.73


@checked
def creatinine_clearance(
    equation: Text = "cockcroft-gault", *, age: Positive, creatinine: Creatinine, sex: Sex | None = None,
    weight: Weight | None = None, height: Height | None = None, unit: Unit = "umol/L",
) -> float:  # fmt: skip
    """Clearance (mL/min) by an equation of `EQUATIONS`.

    Parameters
    ----------
    equation : str
        ``"cockcroft-gault"`` (actual weight), with ``" ideal"``, ``" adjusted"`` or ``" automatic"`` after it for
        another weight (`cockcroft_gault_weight`); ``"ckd-epi 2021"`` or ``"schwartz"``, `deindexed`.
    age : float
        Years.
    creatinine : float
        Of serum, in ``unit``.
    sex : {"female", "male"}, optional
    weight : float, optional
        kg.
    height : float, optional
        cm.
    unit : {"umol/L", "mg/dL"}

    Returns
    -------
    float

    Raises
    ------
    ModelError
        There is no such equation, it needs more, or it is not meant for such a patient.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> patient = {"age": 60, "sex": "male", "weight": 72, "creatinine": 88.4}
    >>> round(nb.physiology.creatinine_clearance("cockcroft-gault", **patient), 1)
    80.0
    """
    if equation not in EQUATIONS:
        raise ModelError(f"creatinine_clearance: no equation {equation[:40]!r}; there are {', '.join(EQUATIONS)}")
    needed, function = EQUATIONS[equation]
    given = {"age": age, "sex": sex, "weight": weight, "height": height}
    lacking = [name for name in needed if given[name] is None]
    if lacking:
        raise ModelError(f"creatinine_clearance: {equation} needs the {' and the '.join(lacking)} too")
    return function(**{name: given[name] for name in needed}, creatinine=creatinine, unit=unit)


def _by_weight(kind, height=None, **given):
    chosen = WEIGHTS[kind](given["sex"], given["weight"], height)
    return cockcroft_gault(**given | {"weight": chosen})


def _by_the_rule(height, **given):
    _, chosen = cockcroft_gault_weight(sex=given["sex"], weight=given["weight"], height=height)
    return cockcroft_gault(**given | {"weight": chosen})


def _by_surface(formula, weight, **given):
    return deindexed(formula(**given), weight=weight, height=given["height"])


def _ckd_epi(height, **given):
    return ckd_epi(**given)


BODY = ("age", "sex", "weight", "height")
EQUATIONS = {  # name -> what it needs beside creatinine, and the function
    "cockcroft-gault": (BODY[:3], partial(_by_weight, "actual")),
    "cockcroft-gault ideal": (BODY, partial(_by_weight, "ideal")),
    "cockcroft-gault adjusted": (BODY, partial(_by_weight, "adjusted")),
    "cockcroft-gault automatic": (BODY, _by_the_rule),
    "ckd-epi 2021": (BODY, partial(_by_surface, _ckd_epi)),
    "schwartz": (("age", "weight", "height"), partial(_by_surface, schwartz)),
}
