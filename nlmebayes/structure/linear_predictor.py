"""`LinearPredictor`: linear mixed models, whose classes declare a formula in place of a curve."""

from abc import abstractmethod

from nlmebayes.parameter.parameter import Parameter
from nlmebayes.structure.curve import Curve


class LinearPredictor(Curve):
    """f = mu, the linear predictor itself; a final class says which terms answer the question of its field.

    ``nb.Model(structure)`` takes the formula that the class declares; one that is written out instead may say more.
    Where ``formulas`` is empty the default of `Model` is meant: ``mu ~ 1`` and an effect at every level of the data.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> from model_zoo import RandomSlopes
    >>> isinstance(RandomSlopes(), nb.LinearPredictor), RandomSlopes().formulas
    (True, ('mu ~ 1 + condition + (1 + condition|donor)',))
    """

    parameters = (Parameter("mu", "outcome", typical=None, link="identity"),)
    direct = ("mu",)

    @property
    @abstractmethod
    def formulas(self) -> tuple[str, ...]:
        """The formula of ``mu``, from the options of the class."""

    def curve(self, p, x):
        return p.mu
