"""Marginal log-likelihoods at stated draws of the population of a fit."""

import numpy as np
from xarray import DataTree

from nlmebayes.errors import unheard
from nlmebayes.individuals.likelihood import MARGINAL, log_likelihood

POPULATION = ("theta_", "omega_", "corr_", "sigma_")


def population(known, draws):
    """The population at about so many draws of a tree, evenly out of all: a Dataset of one chain."""
    posterior = known.posterior
    own = posterior[[name for name in posterior.data_vars if name.startswith(POPULATION)]]
    flat = own.stack(sample=("chain", "draw"), create_index=False)
    kept = np.unique(np.linspace(0, flat.sizes["sample"] - 1, min(draws, flat.sizes["sample"])).astype(int))
    part = flat.isel(sample=kept).drop_vars(["chain", "draw", "sample"], errors="ignore")
    part = part.rename(sample="draw").expand_dims("chain").transpose("chain", "draw", ...)
    return part.assign_coords(chain=[0], draw=np.arange(len(kept)))


def at_draws(known, drawn, data, seed):
    """Marginal log-likelihoods by outermost group of the model, {label: (draw,)}, and the error of each group's.

    Parameters
    ----------
    drawn : Dataset
        From `population`, or draws moved from there.
    """
    groups = {name: group.to_dataset() for name, group in known.tree.children.items() if name != "posterior"}
    tree = DataTree.from_dict(groups | {"posterior": drawn})
    tree.attrs = known.tree.attrs
    with unheard("log_likelihood: "):  # of errors, which whoever asks tells
        told = log_likelihood(tree, data, draws=drawn.sizes["draw"], random_seed=seed, model=known.model)
    values = told["log_likelihood"][MARGINAL][0]
    (dim,) = (d for d in values.dims if d != "draw")
    labels = values[dim].to_numpy().tolist()
    each = values.transpose(dim, "draw").to_numpy()
    return dict(zip(labels, each, strict=True)), dict(zip(labels, told[MARGINAL]["error"].to_numpy(), strict=True))
