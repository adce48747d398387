from dataclasses import dataclass

import numpy as np
import xarray as xr

from nlmebayes import LinearPredictor, partition


@dataclass(frozen=True)
class VarianceComponents(LinearPredictor):
    r"""Variance of a measurement between and within sites, such as house effects of biobanks.

    .. math::
        y_{sj} = \mu + b_s + e_{sj}, \qquad ICC = \frac{\sigma_b^2}{\sigma_b^2 + \sigma_w^2}, \qquad
        SE^2(\bar y) = \frac{1}{s}\left(\sigma_b^2 + \frac{\sigma_w^2}{n}\right)

    ``mu`` expected value (unit of the outcome), s sites of n records each. The default model has an effect at every
    level of the data; `gain` asks for one level.

    References
    ----------
    Searle, Casella and McCulloch (1992), Variance Components, Wiley, doi:10.1002/9780470316856, chapter 3.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> from model_zoo import VarianceComponents
    >>> tree = nb.fit(nb.Model(VarianceComponents()), nb.datasets.dyestuff(), method="ml")
    >>> nb.summary(tree).set_index("quantity")["mean"].round(0).to_dict()
    {'mu': 1527.0, 'omega_Batch mu': 37.0, 'sigma_Yield_a': 50.0}
    """

    formulas = ()

    def gain(
        self, tree: xr.DataTree, sites: int, each: int, *, factor: float = 0.5, random_seed: int | None = None
    ) -> xr.Dataset:
        """What a smaller variance between sites would buy, for every draw.

        Parameters
        ----------
        tree : DataTree
            From `fit`, with one level.
        sites, each : int
            Of a future study: sites, and records of each.
        factor : float
            By what the variance between sites is multiplied.
        random_seed : int, optional
            Of `partition`.

        Returns
        -------
        Dataset (chain, draw)
            ``se`` of the mean, ``se_then`` with the smaller variance, ``sites_then`` the sites that are then needed for
            the old ``se``, ``icc_then``.

        Examples
        --------
        How many sites do as well as 20, with 5 records each, if they vary half as much?

        >>> import nlmebayes as nb
        >>> from model_zoo import VarianceComponents
        >>> tree = nb.fit(nb.Model(VarianceComponents()), nb.datasets.dyestuff(), method="ml")
        >>> float(VarianceComponents().gain(tree, 20, 5)["sites_then"].squeeze().round(1))
        12.6
        """
        variance = partition(tree, draws=10**7, random_seed=random_seed)["variance"]
        if variance.sizes["source"] != 2:
            levels = ", ".join(variance["source"].to_numpy()[:-1])
            raise ValueError(f"gain is about one level, and the tree has {levels}; NestedMixed takes more")
        between, within = variance.isel(source=0, drop=True), variance.isel(source=1, drop=True)
        now, then = (b + within / each for b in (between, factor * between))
        return xr.Dataset({
            "se": np.sqrt(now / sites), "se_then": np.sqrt(then / sites), "sites_then": sites * then / now,
            "icc_then": factor * between / (factor * between + within),
        })  # fmt: skip
