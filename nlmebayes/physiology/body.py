"""Weights, mass index and surface of the body."""

from typing import Annotated, Literal

import numpy as np

from nlmebayes.arguments import checked, number

Sex = Literal["female", "male"]
Weight = Annotated[float, number("a weight from 0.3 to 400 kg", 0.3, 400.0, "[]")]
Height = Annotated[float, number("a height from 25 to 250 cm", 25.0, 250.0, "[]")]
GrownHeight = Annotated[
    float, number("a height from 152.4 (five feet) to 250 cm, from where on it is stated", 152.4, 250.0, "[]")
]
GrownWeight = Annotated[float, number("an adult's weight from 25 to 400 kg", 25.0, 400.0, "[]")]
FromThree = Annotated[float, number("an age from 3 to 120 years", 3.0, 120.0, "[]")]
INCH, FEET5 = 2.54, 60.0  # cm; inches


@checked
def body_mass_index(*, weight: Weight, height: Height) -> float:
    """Body mass index (kg/m²), weight / height².

    Parameters
    ----------
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
    >>> round(nb.physiology.body_mass_index(weight=80, height=180), 2)
    24.69
    """
    return weight / (height / 100) ** 2


@checked
def body_surface(*, weight: Weight, height: Height, formula: Literal["mosteller", "dubois"] = "mosteller") -> float:
    """Body surface area (m²): sqrt(weight height / 3600), or 0.007184 weight^0.425 height^0.725.

    Parameters
    ----------
    weight : float
        kg.
    height : float
        cm.
    formula : {"mosteller", "dubois"}

    Returns
    -------
    float

    Raises
    ------
    ModelError
        A value that nobody has, or for whom the formula is not meant.

    References
    ----------
    Mosteller (1987), N Engl J Med 317, 1098, doi:10.1056/NEJM198710223171717; DuBois and DuBois (1916), Arch
    Intern Med 17, 863-871, doi:10.1001/archinte.1916.00080130010002.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> round(nb.physiology.body_surface(weight=70, height=170), 3)
    1.818
    """
    if formula == "mosteller":
        return float(np.sqrt(weight * height / 3600))
    return 0.007184 * weight**0.425 * height**0.725


@checked
def ideal_weight(*, sex: Sex, height: GrownHeight) -> float:
    """Ideal weight of an adult (kg): 50 (men) or 45.5 (women) + 2.3 for each inch over five feet.

    Parameters
    ----------
    sex : {"female", "male"}
    height : float
        cm.

    Returns
    -------
    float

    Raises
    ------
    ModelError
        A value that nobody has, or for whom the formula is not meant.

    References
    ----------
    Devine (1974), Drug Intell Clin Pharm 8, 650-655. It is stated from five feet (152.4 cm) on.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> round(nb.physiology.ideal_weight(sex="male", height=177.8), 1)
    73.0
    """
    return (50.0 if sex == "male" else 45.5) + 2.3 * (height / INCH - FEET5)


@checked
def adjusted_weight(*, sex: Sex, weight: GrownWeight, height: GrownHeight) -> float:
    """Adjusted weight of an adult (kg): ideal + 0.4 (weight - ideal).

    Parameters
    ----------
    sex : {"female", "male"}
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

    References
    ----------
    Winter, Guhr and Berg (2012), Pharmacotherapy 32, 604-612, doi:10.1002/j.1875-9114.2012.01098.x.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> round(nb.physiology.adjusted_weight(sex="male", weight=120, height=177.8), 1)
    91.8
    """
    ideal = ideal_weight(sex=sex, height=height)
    return ideal + 0.4 * (weight - ideal)


@checked
def lean_weight(*, sex: Sex, weight: GrownWeight, height: Height) -> float:
    """Lean (fat-free) weight of an adult (kg): 9270 weight / (6680 + 216 BMI) of men, (8780 + 244 BMI) of women.

    Parameters
    ----------
    sex : {"female", "male"}
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

    References
    ----------
    Janmahasatian, Duffull, Ash, Ward, Byrne and Green (2005), Clin Pharmacokinet 44, 1051-1065,
    doi:10.2165/00003088-200544100-00004.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> round(nb.physiology.lean_weight(sex="female", weight=100, height=160), 1)
    50.6
    """
    return _without_fat(sex, weight, height)


@checked
def fat_free_weight(*, age: FromThree, sex: Sex, weight: Weight, height: Height) -> float:
    """Fat-free weight from three years on (kg), that of `lean_weight`'s formula times its maturation with age.

    Boys: 0.88 + 0.12 / (1 + (age / 13.4)^-12.7); girls: 1.11 - 0.11 / (1 + (age / 7.1)^-1.1).

    Parameters
    ----------
    age : float
        Years.
    sex : {"female", "male"}
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

    References
    ----------
    Al-Sallami, Goulding, Grant, Taylor, Holford and Duffull (2015), Clin Pharmacokinet 54, 1169-1178,
    doi:10.1007/s40262-015-0277-z; people of 3 to 29 years.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> round(nb.physiology.fat_free_weight(age=8, sex="male", weight=26, height=128), 1)
    21.0
    """
    start, half, power = (0.88, 13.4, 12.7) if sex == "male" else (1.11, 7.1, 1.1)
    return (start + (1 - start) / (1 + (age / half) ** -power)) * _without_fat(sex, weight, height)


def _without_fat(sex, weight, height):
    index = body_mass_index(weight=weight, height=height)
    return 9270 * weight / (6680 + 216 * index if sex == "male" else 8780 + 244 * index)
