from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr
from scipy import special

from nlmebayes import LinearPredictor


@dataclass(frozen=True)
class RandomSlopes(LinearPredictor):
    r"""The effect of a condition that differs among donors, and a covariate of the donor that explains it.

    .. math::
        y_{ij} = \mu_{ij} + e_{ij}, \qquad
        \mu_{ij} = \beta_0 + b_{0i} + \gamma_0 m_i + (\beta_1 + b_{1i} + \gamma_1 m_i)\, x_{ij}

    ``mu`` expected value (unit of the outcome), x the condition, m a covariate of the donor; (b_0, b_1) are correlated.
    gamma_1 is the cross-level interaction.

    Parameters
    ----------
    group, condition, moderator : str
        Columns. Condition and moderator are numbers, as 0 and 1; the moderator may be left out.

    References
    ----------
    Raudenbush and Bryk (2002), Hierarchical Linear Models, 2nd ed., Sage, chapter 4.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> from model_zoo import RandomSlopes
    >>> structure = RandomSlopes(group="Subject", condition="Days")
    >>> tree = nb.fit(nb.Model(structure), nb.datasets.sleepstudy(), method="ml")
    >>> float(structure.slope(tree)["average"].squeeze().round(1))
    10.5
    """

    group: str = "donor"
    condition: str = "condition"
    moderator: str = ""

    @property
    def formulas(self):
        fixed = f"{self.condition} * {self.moderator}" if self.moderator else self.condition
        return (f"mu ~ 1 + {fixed} + (1 + {self.condition}|{self.group})",)

    def slope(self, tree: xr.DataTree, moderator: float = 0.0) -> xr.Dataset:
        """The effect of the condition in a new group, for every draw.

        Parameters
        ----------
        tree : DataTree
            From `fit` with the class's own formula.
        moderator : float
            Value of the moderator, if there is one.

        Returns
        -------
        Dataset (chain, draw)
            ``average`` effect at that value; ``spread`` among groups; ``positive``, the probability that it is above 0
            in a new group.

        Examples
        --------
        Milliseconds that a day without sleep adds to a reaction:

        >>> import nlmebayes as nb
        >>> from model_zoo import RandomSlopes
        >>> structure = RandomSlopes(group="Subject", condition="Days")
        >>> tree = nb.fit(nb.Model(structure), nb.datasets.sleepstudy(), method="ml")
        >>> {name: float(x.squeeze().round(2)) for name, x in structure.slope(tree).items()}
        {'average': 10.47, 'spread': 5.72, 'positive': 0.97}
        """
        theta = tree["posterior"]["theta_mu"]
        average = theta.sel(mu_term=self.condition, drop=True)
        if self.moderator:
            average = average + moderator * theta.sel(mu_term=f"{self.condition}:{self.moderator}", drop=True)
        spread = self._spread(tree)
        positive = xr.apply_ufunc(special.ndtr, average / np.maximum(spread, 1e-300))
        return xr.Dataset({"average": average, "spread": spread, "positive": positive})

    def explained(self, tree: xr.DataTree, values: Sequence[float]) -> xr.DataArray:
        """Share of the variance of the slopes that the moderator explains, for every draw.

        ``gamma_1^2 var(m) / (gamma_1^2 var(m) + omega^2)``.

        Parameters
        ----------
        tree : DataTree
            From `fit` with a moderator.
        values : sequence of float
            Those of the moderator in the groups, one for each.

        Returns
        -------
        DataArray (chain, draw)

        Examples
        --------
        >>> import nlmebayes as nb
        >>> from model_zoo import RandomSlopes
        >>> structure = RandomSlopes(moderator="old")
        >>> terms = {"Intercept": 10.0, "condition": 2.0, "old": 0.0, "condition:old": 1.0}
        >>> spread = {"sd": {"mu": 1.0, "mu:condition": 0.5}}
        >>> tree = nb.population(nb.Model(structure), theta={"mu": terms}, omega=spread, sigma={"a": 1.0})
        >>> float(structure.explained(tree, [0, 0, 1, 1]).squeeze().round(2))
        0.5
        """
        theta = tree["posterior"]["theta_mu"].sel(mu_term=f"{self.condition}:{self.moderator}", drop=True)
        explained = theta**2 * np.var(np.asarray(values, dtype=float))
        return explained / (explained + self._spread(tree) ** 2)

    def _spread(self, tree):
        effect = {f"{self.group}_effect": f"mu:{self.condition}"}
        return tree["posterior"][f"omega_{self.group}"].sel(effect, drop=True)
