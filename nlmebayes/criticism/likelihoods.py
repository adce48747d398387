"""Marginal log-likelihoods at draws of a tree that was read."""

import warnings

import numpy as np
from xarray import DataTree

from nlmebayes.individuals.likelihood import MARGINAL, log_likelihood

POPULATION = ("theta_", "omega_", "corr_", "sigma_")


def population(known, draws):
    """The population at about so many draws of a tree, evenly out of all: a Dataset of one chain."""
    posterior = known.posterior
    own = posterior[[name for name in posterior.data_vars if name.startswith(POPULATION)]]
    flat = own.stack(sample=("chain", "draw"), create_index=False)
    kept = np.unique(np.linspace(0, flat.sizes["sample"] - 1, min(draws, flat.sizes["sample"])).astype(int))
    return _one_chain(flat, kept)


def at_draws(known, drawn, data, seed):
    """Marginal log-likelihoods by outermost group of the model, {label: (draw,)}, and the largest error of each group.

    Parameters
    ----------
    drawn : Dataset
        From `population`.
    """
    flat = drawn.stack(sample=("chain", "draw"), create_index=False)
    tree = DataTree.from_dict(
        {name: group.to_dataset() for name, group in known.tree.children.items() if name != "posterior"}
        | {"posterior": _one_chain(flat, np.arange(flat.sizes["sample"]))}
    )
    tree.attrs = known.tree.attrs
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="log_likelihood: ")  # what is left of it is said by whoever asks
        told = log_likelihood(tree, data, draws=flat.sizes["sample"], random_seed=seed, model=known.model)
    values = told["log_likelihood"][MARGINAL][0]
    (dim,) = (d for d in values.dims if d != "draw")
    labels = values[dim].to_numpy().tolist()
    each = values.transpose(dim, "draw").to_numpy()
    errors = told[MARGINAL]["error"].to_numpy().tolist()
    return dict(zip(labels, each, strict=True)), dict(zip(labels, errors, strict=True))


def _one_chain(flat, kept):
    """Some draws of a Dataset with a dimension ``sample``, as one chain."""
    part = flat.isel(sample=kept).drop_vars(["chain", "draw", "sample"], errors="ignore")
    part = part.rename(sample="draw").expand_dims("chain").transpose("chain", "draw", ...)
    return part.assign_coords(chain=[0], draw=np.arange(len(kept)))
