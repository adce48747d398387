"""Marginal log-likelihoods at many draws of a posterior, in clusters where the draws are too far apart for one rule.

`log_likelihood` places its nodes once, at the mean of the draws. An SD of effects near zero is a law between two nodes
there, and 1 / L of such a draw is a weight like no other (98 for one of 4,000 draws of the six batches of Dyestuff).
"""

import warnings

import numpy as np
from xarray import DataTree

from nlmebayes.individuals.likelihood import MARGINAL, UNSURE, log_likelihood

POPULATION = ("theta_", "omega_", "corr_", "sigma_")
SPLITS = 40  # clusters at most
FAR = 3.0  # SDs of the logarithm of an SD of effects


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
    place = _coordinates(drawn)
    found, error, waiting, clusters = {}, {}, _apart(drawn), 0
    while waiting:
        here = waiting.pop()
        values, off = _together(known, drawn, here, data, seed)
        clusters += 1
        if (
            max(off.values()) > UNSURE
            and len(here) > 1
            and clusters < SPLITS
            and _of_distance(known, drawn, here, data, seed)
        ):
            waiting += _halves(place, here)
            continue
        for label, x in values.items():
            found.setdefault(label, np.empty(drawn.sizes["draw"]))[here] = x
            error[label] = max(error.get(label, 0.0), off[label])
    return found, error


def _together(known, drawn, here, data, seed):
    """Log-likelihoods by group at some draws over one set of nodes, and the error by group."""
    flat = drawn.stack(sample=("chain", "draw"), create_index=False)
    tree = DataTree.from_dict(
        {name: group.to_dataset() for name, group in known.tree.children.items() if name != "posterior"}
        | {"posterior": _one_chain(flat, here)}
    )
    tree.attrs = known.tree.attrs
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="log_likelihood: ")  # what is left of it is said by whoever asks
        told = log_likelihood(tree, data, draws=len(here), random_seed=seed, model=known.model)
    values = told["log_likelihood"][MARGINAL][0]
    (dim,) = (d for d in values.dims if d != "draw")
    labels = values[dim].to_numpy().tolist()
    each = values.transpose(dim, "draw").to_numpy()
    errors = told[MARGINAL]["error"].to_numpy().tolist()
    return dict(zip(labels, each, strict=True)), dict(zip(labels, errors, strict=True))


def _of_distance(known, drawn, here, data, seed):
    """Whether the error is one of draws that are far apart: that in their middle is small."""
    middle = here[[np.argmin(_away(_coordinates(drawn)[here]))]]
    _, off = _together(known, drawn, middle, data, seed)
    return max(off.values()) <= UNSURE


def _apart(drawn):
    """Draws of which no SD of effects is far below the others, and those of which one is."""
    low = np.zeros(drawn.sizes["draw"], dtype=bool)
    for name in (name for name in drawn.data_vars if name.startswith("omega_")):
        x = np.log(np.maximum(drawn[name].to_numpy()[0].reshape(len(low), -1), 1e-12))
        low |= (x < x.mean(axis=0) - FAR * x.std(axis=0)).any(axis=1)
    return [here for here in (np.flatnonzero(~low), np.flatnonzero(low)) if len(here)]


def _halves(place, here):
    """The draws nearer to their middle, and those nearer to the one that is farthest from it."""
    x = place[here]
    away = _away(x)
    middle, far = x[np.argmin(away)], x[np.argmax(away)]
    own = ((x - far) ** 2).sum(axis=1) < ((x - middle) ** 2).sum(axis=1)
    return [here[own], here[~own]]


def _away(x):
    spread = np.maximum(x.std(axis=0), 1e-12)
    return (((x - x.mean(axis=0)) / spread) ** 2).sum(axis=1)


def _coordinates(drawn):
    """Draws in units of their SDs, SDs and scales as logarithms, (draw, coordinate)."""
    found = []
    for name, variable in drawn.data_vars.items():
        x = variable.to_numpy().reshape(drawn.sizes["draw"], -1)
        found.append(np.log(np.maximum(x, 1e-12)) if name.startswith(("omega_", "sigma_")) else x)
    x = np.concatenate(found, axis=1)
    spread = x.std(axis=0)
    return (x - x.mean(axis=0))[:, spread > 1e-9] / spread[spread > 1e-9]


def _one_chain(flat, kept):
    """Some draws of a Dataset with a dimension ``sample``, as one chain."""
    part = flat.isel(sample=kept).drop_vars(["chain", "draw", "sample"], errors="ignore")
    part = part.rename(sample="draw").expand_dims("chain").transpose("chain", "draw", ...)
    return part.assign_coords(chain=[0], draw=np.arange(len(kept)))
