"""Pictures: of data, a fit and its checks, effects, covariates, groups, a forecast and its regimens, models compared.

Every function returns a matplotlib Figure, whose attribute ``numbers`` is the table of what is drawn, and takes
``ax=``, axes to draw on. docs/pictures.md says what each answers.
"""

from nlmebayes.plot.checks import prior, vpc
from nlmebayes.plot.comparison import comparison
from nlmebayes.plot.covariate_effects import forest
from nlmebayes.plot.curves import fits, forecast, hysteresis
from nlmebayes.plot.distributions import priors
from nlmebayes.plot.effects import effects
from nlmebayes.plot.goodness import gof
from nlmebayes.plot.groups import shrinkage
from nlmebayes.plot.influence import influence
from nlmebayes.plot.planned import design
from nlmebayes.plot.power import power
from nlmebayes.plot.random_effects import etas
from nlmebayes.plot.records import data
from nlmebayes.plot.regimens import doses, regimens

__all__ = [
    "comparison", "data", "design", "doses", "effects", "etas", "fits", "forecast", "forest", "gof", "hysteresis",
    "influence", "power", "prior", "priors", "regimens", "shrinkage", "vpc",
]  # fmt: skip
