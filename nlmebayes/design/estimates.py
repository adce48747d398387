"""What a fit of a simulated study says of each parameter, beside the truth."""

import numpy as np
import pandas as pd

from nlmebayes.errors import ModelError
from nlmebayes.evaluation import prediction
from nlmebayes.evaluation.evaluator import Draws
from nlmebayes.evaluation.fitted import fitted
from nlmebayes.evaluation.quantities import quantities
from nlmebayes.formula.design import resolve
from nlmebayes.inference.estimation import estimates, maximum_from
from nlmebayes.inference.fit import fit
from nlmebayes.summaries.summary import summarised, wald

LIKELIEST = ("ml", "map")  # searched for from the truth; other fits are those of anybody
COLUMNS = ["value", "se", "lower", "upper"]


def truth(model, study):
    """The values that a study was drawn from, a Series by quantity."""
    posterior = prediction.labelled_population(study.design, study.population, (1, 1))
    return pd.Series({name: x.item() for name, x in quantities(model, study.design, posterior)[0].items()})


def likeliest(model, study, method, errors, ci_prob):
    """The `Maximum` of a study, and a table by quantity with `COLUMNS`.

    Raises
    ------
    ModelError
        The search did not end, or the measurements leave something open.
    """
    best = maximum_from(model, study.design, study.data, study.population, study.eta, method=method, errors=errors)
    _check_ended(best)
    if np.isnan(best.covariance).any():
        raise ModelError("no standard errors: the information is singular")
    told = estimates(model, study.design, best)
    low, high = wald(told, ci_prob)
    values = [told["value"].to_numpy(), told["se"].to_numpy(), low, high]
    return best, pd.DataFrame(dict(zip(COLUMNS, values, strict=True)), index=told["quantity"].to_numpy())


def smaller_maximum(smaller, known, study):
    """The `Maximum` of a study under a smaller model."""
    best = maximum_from(smaller, *nested(smaller, known, study))
    _check_ended(best)
    return best


def _check_ended(best):
    if not best.converged:
        raise ModelError(f"the search did not end in {best.rounds} rounds")


def standard_errors(model, study):
    """Those of the fixed effects in one study, as steps for the searches of all; None where it has no maximum."""
    best = maximum_from(model, study.design, study.data, study.population, study.eta)
    covariance = best.covariance[: len(best.population.coordinates.theta)]
    return np.sqrt(np.maximum(np.diag(covariance), 0.0))


def of_tree(tree, model, ci_prob):
    """A table by quantity with `COLUMNS` of a tree of any fit."""
    told = summarised(fitted(tree, model), ci_prob).set_index("quantity")
    return told[["mean", "sd", "eti_lb", "eti_ub"]].set_axis(COLUMNS, axis=1)


def sampled(model, study, method, seed, ci_prob):
    """A table by quantity with `COLUMNS` of a study's posterior.

    Raises
    ------
    ModelError
        A fit of the study alone would give its coefficients another meaning.
    """
    same_meaning(model, study)
    return of_tree(fit(model, study.data, method=method, random_seed=seed, progressbar=False), None, ci_prob)


def same_meaning(model, study):
    """Refuse a model whose transforms stand elsewhere in a study than in the training data, ``center(wt)`` say."""
    own = resolve(model, study.data)
    for name, matrix in study.design.fixed.items():
        other = own.fixed[name]
        same = matrix.terms == other.terms and np.allclose(matrix.values, other.values)
        if not same or [v.name for v in own.levels] != [v.name for v in study.design.levels]:
            raise ModelError(
                f"the formula of {name} means something else in each simulated study than in the tree's own data "
                "(center, scale, a level of one group): take fit='ml' or write numbers, log(wt/70)"
            )


def nested(smaller, known, study):
    """The study under a smaller model: its design, data, and the population and effects that it shares with the truth.

    Raises
    ------
    ModelError
        The model has a term or an effect that the larger one lacks.
    """
    design = resolve(smaller, study.data, resolve(smaller, known.training_data))
    draws, whole = study.population, study.design
    theta = {name: draws.theta[name][:, _places(x.terms, whole.fixed[name].terms, name)]
             for name, x in design.fixed.items()}  # fmt: skip
    omega, corr, eta = {}, {}, {}
    of = {level.name: level for level in whole.levels}
    for level in design.levels:
        if level.name not in of:
            raise ModelError(f"without=: the level {level.name} is not in the tree's model")
        kept = _places([e.name for e in level.effects], [e.name for e in of[level.name].effects], level.name)
        omega[level.name], eta[level.name] = draws.omega[level.name][:, kept], study.eta[level.name][:, kept]
        if any(block.name is not None for block in level.blocks):
            corr[level.name] = draws.corr[level.name][:, kept][:, :, kept]
    return design, study.data, Draws(theta, omega, corr, draws.sigma, {}, {}), eta


def _places(names, all_names, where):
    """Where names stand among all."""
    stray = [name for name in names if name not in all_names]
    if stray:
        raise ModelError(f"without=: {where} has {stray[0]}, which the tree's model lacks; it must be the larger one")
    return [list(all_names).index(name) for name in names]
