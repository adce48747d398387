"""`influence`: how far each group moves each estimate of the population."""

import numpy as np
import pandas as pd

from nlmebayes.arguments import Count, Seed, Tree, checked
from nlmebayes.errors import ModelError
from nlmebayes.evaluation.fitted import ESTIMATES, fitted
from nlmebayes.evaluation.quantities import quantities
from nlmebayes.individuals.likelihood import MARGINAL, log_likelihood
from nlmebayes.model.model import Model

FEWEST = 25  # draws of which a covariance is one


@checked
def influence(
    tree: Tree, *, draws: Count = 400, random_seed: Seed | None = None, model: Model | None = None,
) -> pd.DataFrame:  # fmt: skip
    r"""How far each outermost group moves each estimate of the population, in its standard errors.

    To first order it is the estimate less that without the group,

    .. math:: \frac{H^{-1} s_i}{SE} \quad (maximum), \qquad
              \frac{cov(\psi, \log L_i)}{SD(\psi)} \quad (posterior)

    with the scores s_i of the group and H the observed information, or over draws of the posterior, from the marginal
    likelihood, random effects integrated out.

    Parameters
    ----------
    tree : DataTree
        From `fit`.
    draws : int
        Of a posterior, evenly out of all.
    random_seed : int, optional
    model : Model, optional
        That of the tree, where its structure cannot be imported again; by default the one stored in it.

    Returns
    -------
    DataFrame
        A row for each group, a column for each quantity of `summary`; missing where an estimate has no standard error,
        as one that was stated.

    Raises
    ------
    ModelError
        Too few draws.

    Notes
    -----
    Cook (1986), J. R. Stat. Soc. B 48, 133-169; for posteriors Giordano, Broderick and Jordan (2018), JMLR 19(51).

    Examples
    --------
    How many standard errors batch A moves each estimate:

    >>> import nlmebayes as nb
    >>> from model_zoo import VarianceComponents
    >>> tree = nb.fit(nb.Model(VarianceComponents()), nb.datasets.dyestuff(), method="ml")
    >>> nb.influence(tree).loc["A"].round(1).to_dict()
    {'mu': -0.2, 'omega_Batch mu': -0.3, 'sigma_Yield_a': 0.4}
    """
    known = fitted(tree, model)
    if ESTIMATES in tree.children:
        told = tree[ESTIMATES].to_dataset()
        level = next(dim for dim in told["influence"].dims if dim != "quantity")
        each = (told["influence"] / told["se"]).transpose(level, "quantity")
        return each.to_pandas().rename_axis(columns=None)
    told = log_likelihood(tree, draws=draws, random_seed=random_seed, model=model)
    values, _ = quantities(known.model, known.training, told["posterior"].to_dataset())
    dense = told["log_likelihood"][MARGINAL].stack(sample=("chain", "draw"), create_index=False)
    if dense.sizes["sample"] < FEWEST:
        raise ModelError(f"influence needs {FEWEST} draws or more; this tree has {dense.sizes['sample']}")
    level = next(dim for dim in dense.dims if dim != "sample")
    away = dense.to_numpy() - dense.mean("sample").to_numpy()[:, None]
    x = np.stack([v.to_numpy().ravel() for v in values.values()])
    spread = x.std(axis=1, keepdims=True)
    x = (x - x.mean(axis=1, keepdims=True)) / np.where(spread > 0, spread, np.nan)
    return pd.DataFrame(
        away @ x.T / x.shape[1], index=pd.Index(dense[level].to_numpy(), name=level), columns=list(values)
    )
