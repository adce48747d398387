r"""Groups whose weights have heavy tails: draws are moved to where the posterior without the group has its moments.

Draws of the population, unconstrained, are shifted, scaled and turned until their weights

.. math:: w_s \propto p(\psi_s) \prod_h L_h(\psi_s) / p(y_g | \psi_s, y_{-g}) \times |\text{Jacobian}|

have a k-hat that so many draws bear (Paananen, Piironen, Bürkner and Vehtari 2021, Stat. Comput. 31, 16,
doi:10.1007/s11222-020-09982-2; ArviZ' `loo_moment_match`). Correlations stay where they are.
"""

import warnings

import numpy as np
import pytensor.tensor as pt
import xarray as xr
from arviz_stats import loo, loo_moment_match

from nlmebayes.criticism.leave_out import MATCHED, bearable
from nlmebayes.evaluation import log_priors, storage
from nlmebayes.parameter.laws import Between
from nlmebayes.runtime.uncompiled import UNCOMPILED

ITERATIONS = 10
SAMPLE = "chain", "draw"


def matched(known, marginals, found):
    """`LeftOut` with better estimates where moment matching finds some.

    Parameters
    ----------
    known : Fitted
    marginals : Marginals
        Whose `LeftOut` ``found`` is.
    """
    if not len(found.worst):
        return found
    moved = _Moved(known, marginals)
    group = xr.Dataset({"elpd": ((*SAMPLE, "group"), marginals.values[None])}, coords={"group": list(found.groups)})
    tree = xr.DataTree.from_dict({"posterior": marginals.drawn, "log_likelihood": group})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of k, which is said below
        before = loo(tree, pointwise=True, reff=1.0)
        k = np.zeros(len(found.groups))
        k[found.worst] = found.khat[found.worst]  # only these
        before.pareto_k = before.pareto_k.copy(data=k)
        after = loo_moment_match(
            tree, before, moved.log_posterior, moved.log_density, moved.unconstrained, reff=1.0, max_iters=ITERATIONS,
            k_threshold=bearable(len(marginals.values)), pointwise=True,
        )  # fmt: skip
    for i in found.worst:
        if float(after.pareto_k[i]) < found.khat[i]:
            found = found.replaced(i, float(after.elpd_i[i]), float(after.pareto_k[i]), MATCHED)
    return found


class _Moved:
    """Densities at moved draws, which ArviZ asks for."""

    def __init__(self, known, marginals):
        self.known, self.marginals = known, marginals
        laws = storage.laws_of(known.tree, known.model, known.training)
        self.laws = log_priors.within(laws, marginals.drawn)
        self.between = Between(*np.array([law.bounds for law in self.laws]).T)
        values = log_priors.values_of(self.laws, marginals.drawn)
        x = self.between.forward(pt.as_tensor(values)).eval(mode=UNCOMPILED)
        coords = {"chain": marginals.drawn.chain, "draw": marginals.drawn.draw}
        self.unconstrained = xr.DataArray(x, dims=(*SAMPLE, "coordinate"), coords=coords)
        self.last = None

    def log_posterior(self, x):
        """log p(psi) + sum of log L_h + log Jacobian, (chain, draw)."""
        population, whole = self._at(x)
        values = log_priors.values_of(self.laws, population)
        prior = log_priors.log_priors(self.laws, values).sum(axis=-1)
        slope = self.between.log_jac_det(pt.as_tensor(x.to_numpy())).eval(mode=UNCOMPILED).sum(axis=-1)
        return xr.DataArray(
            prior + slope + sum(whole.values()), dims=SAMPLE, coords=x.drop_vars("coordinate", errors="ignore").coords
        )

    def log_density(self, x, i):
        """log p(y_g | psi, y_-g) of the i-th group, (chain, draw)."""
        population, whole = self._at(x)
        each = self.marginals.of_group(self.known, self.marginals.groups[i], population, whole)
        return xr.DataArray(each[None], dims=SAMPLE, coords=x.coords)

    def _at(self, x):
        """The population at moved draws, and its log-likelihoods by outermost group, (1, draw) each."""
        key = x.to_numpy().tobytes()
        if self.last is None or self.last[0] != key:
            population = self._population(x)
            self.last = key, population, self.marginals.whole_at(self.known, population)
        return self.last[1:]

    def _population(self, x):
        values = self.between.backward(pt.as_tensor(x.to_numpy())).eval(mode=UNCOMPILED)
        moved = self.marginals.drawn.copy(deep=True)
        for k, law in enumerate(self.laws):
            variable = moved[law.variable]
            own = {variable.dims[2]: law.coordinate} if variable.ndim > 2 else {}
            variable.loc[own] = values[..., k]
        return moved
