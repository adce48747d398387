"""Pictures of a tree: individual fits, visual predictive check, prior predictive, forecast, groups, regimens, models.

Every function returns a matplotlib Figure.
"""

from nlmebayes.plot.checks import prior, vpc
from nlmebayes.plot.comparison import comparison
from nlmebayes.plot.curves import fits, forecast, hysteresis
from nlmebayes.plot.groups import shrinkage
from nlmebayes.plot.regimens import doses, regimens

__all__ = ["comparison", "doses", "fits", "forecast", "hysteresis", "prior", "regimens", "shrinkage", "vpc"]
