"""`log_likelihood`: how likely the measurements of each outermost group are, with its random effects integrated out."""

from typing import Literal

import numpy as np
import xarray as xr

from nlmebayes.arguments import Array, Count, Seed, Text, Tree, checked
from nlmebayes.errors import ModelError, warn
from nlmebayes.evaluation import storage
from nlmebayes.evaluation.evaluator import Draws
from nlmebayes.evaluation.fitted import fitted
from nlmebayes.evaluation.prediction import labelled_population
from nlmebayes.individuals.clusters import at_many
from nlmebayes.individuals.placing import populated
from nlmebayes.model.model import Data, Model

MARGINAL = "marginal"  # group of errors and k-hat, and variable of the log-likelihoods
UNSURE = 0.05  # error of the log-likelihood of a group that is warned of


@checked
def log_likelihood(
    tree: Tree, data: Data | None = None, *, at: Literal["draws", "mean"] | dict[Text, Array] = "draws",
    draws: Count = 400, random_seed: Seed | None = None, model: Model | None = None,
) -> Tree:  # fmt: skip
    r"""Marginal log-likelihood of every outermost group: of a subject, or of a site with all its subjects.

    .. math:: \log L_i = \log \int p(y_i | \theta, \eta, \sigma) N(\eta; 0, \Omega) d\eta

    This is what -2LL, AIC, BIC and leave-one-subject-out read; the log-likelihood given the effects, which a fit stores
    record by record, cannot stand for it.

    Parameters
    ----------
    tree : DataTree
        From `fit` or `population`.
    data : Dataset, optional
        By default those of the fit. Groups that the tree knows are integrated as all others.
    at : {"draws", "mean"} or dict
        At draws of the posterior; at its mean, which of a tree of ``method="ml"`` is the estimate; or at values of
        population variables by name, what is not named at its mean.
    draws : int
        Of the posterior, evenly out of all.
    random_seed : int, optional
        Of quasi-random nodes.
    model : Model, optional
        That of the tree, where its structure cannot be imported again; by default the one stored in it.

    Returns
    -------
    DataTree
        ``posterior``: the population; ``log_likelihood``: ``marginal`` (chain, draw, <outermost level>), which
        ``arviz.loo`` reads; ``marginal``: by group the ``error`` of the numerical integral and the Pareto ``khat`` of
        an independent one. Levels that cross are one group, "all".

    Raises
    ------
    ModelError
        Values of no variable or of another shape; an event that is known to an interval.

    Notes
    -----
    Adaptive Gauss-Hermite quadrature about the mode of each group where it takes no more than 750 nodes, or 2,500 where
    these are not enough (two nested levels: nodes of the inner effects at each of the outer ones), quasi-random
    importance sampling elsewhere. A second rule, with a share of draws from the population, judges the first; groups
    where they disagree are integrated by adaptive importance sampling from many places. Order constraints of a
    structure guide starts and sampling and are no part of the law here. (Pinheiro and Bates 1995, J. Comput. Graph.
    Stat. 4, 12-35.)

    Examples
    --------
    >>> import nlmebayes as nb
    >>> from model_zoo import VarianceComponents
    >>> tree = nb.fit(nb.Model(VarianceComponents()), nb.datasets.dyestuff(), method="ml")
    >>> found = nb.log_likelihood(tree, at="mean")
    >>> float(-2 * found["log_likelihood"]["marginal"].sum().round(2))
    327.32
    """
    known = fitted(tree, model)
    data = known.data if data is None else known.completed(data)
    design = known.design(data)
    population = populated(known.model, design)
    every = known.draws_of(data.outcomes)
    if at == "draws":
        sizes = known.posterior.sizes["chain"], known.posterior.sizes["draw"]
        kept = np.unique(np.linspace(0, sizes[1] - 1, max(1, min(sizes[1], draws // sizes[0]))).astype(int))
        chosen = (np.arange(sizes[0])[:, None] * sizes[1] + kept).ravel()
        x = population.coordinates.vector(every.take(chosen))
        shape = sizes[0], len(kept)
    else:
        x = population.coordinates.vector(every).mean(axis=0, keepdims=True)
        x, shape = (_stated(population, x, at) if isinstance(at, dict) else x), (1, 1)
    found = at_many(population, data, x, random_seed or 0, known.training)
    level, labels = population.nest.level, np.array(population.nest.labels, dtype=object)
    coords = {"chain": np.arange(shape[0]), "draw": np.arange(shape[1]), level: labels}
    values = xr.Dataset({MARGINAL: (("chain", "draw", level), found.value.reshape(*shape, -1))}, coords=coords)
    about = xr.Dataset({"error": (level, found.error), "khat": (level, found.khat)}, coords={level: labels})
    about.attrs = {"method": found.method, "nodes": found.nodes, "alone": found.alone}
    _tell(level, labels, found.error)
    groups = {
        "posterior": labelled_population(design, population.coordinates.population(x), shape),
        "log_likelihood": values, MARGINAL: about,
    }  # fmt: skip
    told = xr.DataTree.from_dict(groups)
    told.attrs = {storage.STATEMENT: storage.statement(known.model)}
    return told


def _tell(level, labels, error):
    """Warn of groups whose integrals are not sure."""
    bad = np.flatnonzero(error > UNSURE)
    if len(bad):
        named = ", ".join(f"{labels[i]} ({error[i]:.2g})" for i in bad[np.argsort(-error[bad])][:5])
        warn(
            f"log_likelihood: {len(bad)} of {len(labels)} groups of {level} may be off by more than {UNSURE:g}: {named}"
        )


def _stated(population, x, values):
    """Coordinates at stated values of population variables, others as they are."""
    drawn = population.coordinates.population(x)
    known = labelled_population(population.design, drawn, (1, 1))
    parts = {"theta": dict(drawn.theta), "omega": dict(drawn.omega), "corr": dict(drawn.corr)}
    sigma = {name: dict(each) for name, each in drawn.sigma.items()}
    for name, value in values.items():
        if name not in known:
            raise ModelError(f"at: no population variable {name!r}; there are {', '.join(map(str, known.data_vars))}")
        shape = known[name].shape[2:]
        try:
            value = np.broadcast_to(np.asarray(value, dtype=float), shape)[None]
        except ValueError as error:
            raise ModelError(f"at: {name} has the shape {shape}; got {np.shape(value)}") from error
        kind, _, rest = name.partition("_")
        if kind == "sigma":
            outcome = next(o for o in sigma if rest.startswith(f"{o}_") and rest[len(o) + 1 :] in sigma[o])
            sigma[outcome][rest[len(outcome) + 1 :]] = value
        else:
            parts[kind][rest] = value
    return population.coordinates.vector(Draws(parts["theta"], parts["omega"], parts["corr"], sigma, {}, {}))
