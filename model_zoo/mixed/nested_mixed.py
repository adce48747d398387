from dataclasses import dataclass

import numpy as np
import xarray as xr

from nlmebayes import LinearPredictor, partition


@dataclass(frozen=True)
class NestedMixed(LinearPredictor):
    r"""Variation at each level of a nest: lesions in patients, trials in neurons in animals, mice in cages.

    .. math::
        y = \mu + b_1 + b_2 + \dots + e, \qquad
        n_{\ell+1} = \sqrt{\frac{c_\ell}{c_{\ell+1}} \cdot \frac{\sigma_{\ell+1}^2}{\sigma_\ell^2}}

    ``mu`` expected value (unit of the outcome), b_l the effect of the groups of level l, outermost first, inside one
    another. Where a further group of level l costs c_l, n_{l+1} members in each group of level l give the mean the
    least variance for the money. The default model has an effect at every level of the data; `partition` has their
    variances, ICC, design effect and effective sample size.

    References
    ----------
    Cochran (1977), Sampling Techniques, 3rd ed., Wiley, chapter 10; Aarts et al. (2014), Nat. Neurosci. 17,
    491-496, doi:10.1038/nn.3648, for what becomes of tests that leave the nest out.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> from model_zoo import NestedMixed
    >>> tree = nb.fit(nb.Model(NestedMixed()), nb.datasets.pastes(), method="ml")
    >>> nb.partition(tree)["share"].squeeze().to_series().round(2).to_dict()
    {'batch': 0.12, 'cask': 0.82, 'residual': 0.07}
    """

    formulas = ()

    def allocation(self, tree: xr.DataTree, *costs: float, random_seed: int | None = None) -> xr.DataArray:
        """The best number of members inside a group of each level, (chain, draw, level).

        Parameters
        ----------
        tree : DataTree
            From `fit`.
        *costs : float
            Of one more group of each level, outermost first, and of one more record.
        random_seed : int, optional
            Of `partition`.

        Returns
        -------
        DataArray
            Numbers that need not be whole; ``level`` is the level whose groups have so many members.

        Raises
        ------
        ValueError
            Another number of costs.

        Examples
        --------
        >>> import nlmebayes as nb
        >>> from model_zoo import NestedMixed
        >>> tree = nb.fit(nb.Model(NestedMixed()), nb.datasets.pastes(), method="ml")
        >>> NestedMixed().allocation(tree, 100.0, 10.0, 1.0).squeeze().to_series().round(1).to_dict()
        {'batch': 8.4, 'cask': 0.9}
        """
        variance = partition(tree, draws=10**7, random_seed=random_seed)["variance"]
        sources = variance["source"].to_numpy()
        if len(costs) != len(sources):
            raise ValueError(f"allocation needs a cost for each of {', '.join(sources)}; got {len(costs)}")
        price = xr.DataArray(np.array(costs, dtype=float), dims="source", coords={"source": sources})
        ratio = np.sqrt(variance / price)
        inner, outer = ratio.isel(source=slice(1, None)), ratio.isel(source=slice(None, -1))
        return (inner.assign_coords(source=outer["source"]) / outer).rename(source="level")
