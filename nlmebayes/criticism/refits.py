"""Groups whose weights are not to be trusted, left out by fitting again without them."""

from functools import partial

import numpy as np
from scipy.special import logsumexp

from nlmebayes.criticism.leave_out import REFITTED
from nlmebayes.criticism.likelihoods import at_draws, population
from nlmebayes.evaluation.fitted import fitted
from nlmebayes.inference.fit import fit
from nlmebayes.runtime.spread import Lost, Work, each, in_order


def refitted(known, marginals, found, seed, client=None):
    """`LeftOut` in which the elpd of each of the worst groups is that of a fit without it, by workers of a client.

    Raises
    ------
    FormulaError, ModelError
        Without a group the model cannot be fitted, such as where a category is in that group only.
    """
    draws = len(marginals.values)
    work = Work(_ready, (known.tree, known.model, marginals), partial(_without, draws, seed))
    groups = [marginals.groups[i] for i in found.worst]
    refits = in_order(each(work, groups, client, ready=(known, marginals)))
    for i, dense in zip(found.worst, refits, strict=True):
        if isinstance(dense, Lost):
            raise dense
        elpd = float(logsumexp(dense) - np.log(len(dense)))
        noise = np.zeros(draws)
        noise[: len(dense)] = np.expm1(dense - elpd) / len(dense)
        found = found.replaced(i, elpd, np.nan, REFITTED, noise)
    return found


def _ready(tree, model, marginals):
    return fitted(tree, model), marginals


def _without(draws, seed, ready, group):
    """log p(y_g | psi, y_-g) at draws of a fit without the group, (draw,)."""
    (known, marginals), sizes = ready, ready[0].posterior.sizes
    rest = known.training_data.drop_sel(**{marginals.level: [group]})
    tree = fit(known.model, rest, draws=sizes["draw"], chains=sizes["chain"], random_seed=seed, progressbar=False)
    return _log_density(fitted(tree, known.model), marginals, group, known.training_data, draws)


def _log_density(known, marginals, group, data, draws):
    """log p(y_g | psi, y_-g) at draws of a fit without the group, (draw,)."""
    mates = [each for outer in marginals.holds[group] for each in marginals.within[outer]]
    own = data.sel(**{marginals.level: mates})
    drawn = population(known, draws)
    whole, _ = at_draws(known, drawn, own, marginals.seed)
    return marginals.of_group(known, group, drawn, whole, own)
