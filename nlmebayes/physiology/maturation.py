"""How filtration matures, from the premature child to the adult."""

from typing import Annotated

from nlmebayes.arguments import Positive, checked, number
from nlmebayes.physiology.body import Weight

Postmenstrual = Annotated[float, number("a postmenstrual age from 22 weeks on", 22.0, 6500.0, "[]")]


@checked
def maturation(postmenstrual_age: Postmenstrual, *, half: Positive = 47.7, hill: Positive = 3.4) -> float:
    """Part of an adult's clearance per size that is there, age^hill / (half^hill + age^hill), of the age in weeks.

    The defaults are those of glomerular filtration: Rhodin et al. (2009), Pediatr Nephrol 24, 67-76,
    doi:10.1007/s00467-008-0997-5; 923 people from 22 weeks of postmenstrual age to 31 years.

    Parameters
    ----------
    postmenstrual_age : float
        Weeks.
    half : float
        Weeks at which half of it is there.
    hill : float
        Steepness.

    Returns
    -------
    float

    Raises
    ------
    ModelError
        A value that nobody has, or for whom the formula is not meant.

    References
    ----------
    Rhodin et al. (2009), Pediatr Nephrol 24, 67-76, doi:10.1007/s00467-008-0997-5; 923 people from 22 weeks of
    postmenstrual age to 31 years.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> nb.physiology.maturation(47.7)
    0.5
    """
    ratio = (postmenstrual_age / half) ** hill
    return ratio / (1 + ratio)


@checked
def glomerular_filtration(postmenstrual_age: Postmenstrual, *, weight: Weight) -> float:
    """Filtration (mL/min) that is expected of a weight and an age in weeks: 121.2 (weight / 70)^0.75 `maturation`.

    Parameters
    ----------
    postmenstrual_age : float
        Weeks.
    weight : float
        kg.

    Returns
    -------
    float

    Raises
    ------
    ModelError
        A value that nobody has, or for whom the formula is not meant.

    References
    ----------
    Rhodin et al. (2009), Pediatr Nephrol 24, 67-76, doi:10.1007/s00467-008-0997-5.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> round(nb.physiology.glomerular_filtration(40, weight=3.5), 1)
    4.5
    """
    return 121.2 * (weight / 70) ** 0.75 * maturation(postmenstrual_age)
