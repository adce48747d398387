r"""Expected information gain of a design: by how much it is expected to narrow what is believed of a population,

.. math:: E_{\theta, y} [ \log p(y | \theta) - \log p(y) ]

in nats, effects integrated out. For each simulated study the evidence p(y) is bracketed by importance sampling of the
population about its posterior: with the population that it was simulated under among the draws it is expected too
large, which bounds the gain from below (contrastive), without it too small, which bounds it from above (nested).

Source: Foster, Jankowiak, O'Meara, Teh and Rainforth (2020), AISTATS, PMLR 108, 2959-2969, arXiv:1911.00294, section 3.
"""

from dataclasses import dataclass

import numpy as np

from nlmebayes.arguments import Count, Seed, Tree, checked
from nlmebayes.design.design import Design
from nlmebayes.design.exact import NODES, exact, scores, simulated, studies_of
from nlmebayes.design.information import Asked
from nlmebayes.errors import ModelError
from nlmebayes.evaluation.fitted import fitted
from nlmebayes.model.model import Model

NEWTON = 3  # steps to the posterior mode
WIDER = 1.15  # SD of the draws, in those of the posterior
KNOWN = 1e-8  # SD of a coordinate that is known, beside its size


@dataclass(frozen=True, eq=False)
class InformationGain:
    """Bounds of the expected information gain of a design, in nats, as `information_gain` gives them.

    Attributes
    ----------
    lower, upper : float
        The contrastive bound and the nested one.
    lower_error, upper_error : float
        Their Monte Carlo errors.
    linear : float
        Half of log det(1 + M Sigma), with the information M at the prior mean and the covariance Sigma of the prior.
    studies : int
        How many were simulated.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> from model_zoo import OneCompartment
    >>> tree = nb.population(OneCompartment(), theta={"cl": 4.0, "v": 50.0}, omega={"sd": {"cl": 0.3, "v": 0.2}},
    ...                      sigma={"b": 0.15}, uncertainty={"cl": 30.0}, draws=200, random_seed=1)
    >>> design = nb.Design([nb.Arm(10, [1, 6, 24], doses={"time": 0, "amt": 100})])
    >>> nb.information_gain(tree, design, studies=4, draws=10).studies
    4
    """

    lower: float
    upper: float
    lower_error: float
    upper_error: float
    linear: float
    studies: int


@checked
def information_gain(
    tree: Tree, design: Design, *, studies: Count = 60, draws: Count = 40, random_seed: Seed = 0,
    model: Model | None = None,
) -> InformationGain:  # fmt: skip
    """How much a design is expected to tell of a population beside what is believed, without linearisation.

    Parameters
    ----------
    tree : DataTree
        Whose draws of the population are the belief: a fit, or `population` with its ``uncertainty``. They are taken
        for normal, on the scale of the links and of logarithms.
    design : Design
    studies : int
        That are simulated.
    draws : int
        Of the population for each.
    random_seed : int
    model : Model, optional
        That of the tree, where its structure cannot be imported again.

    Returns
    -------
    InformationGain

    Raises
    ------
    ModelError
        A tree of one population, of which nothing is left to learn.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> from model_zoo import OneCompartment
    >>> tree = nb.population(OneCompartment(), theta={"cl": 4.0, "v": 50.0}, omega={"sd": {"cl": 0.3, "v": 0.2}},
    ...                      sigma={"b": 0.15}, uncertainty={"cl": 30.0}, draws=200, random_seed=1)
    >>> design = nb.Design([nb.Arm(10, [1, 6, 24], doses={"time": 0, "amt": 100})])
    >>> round(nb.information_gain(tree, design, studies=4, draws=10).linear, 1)
    1.1
    """
    asked, rng = Asked(fitted(tree, model), design, random_seed), np.random.default_rng(random_seed)
    belief = _belief(asked)
    information = _at_mean(asked, belief)
    covariance = np.linalg.inv(information + np.linalg.inv(belief.covariance))
    bounds = np.array([
        _bounds(asked, study, belief, covariance, draws, rng)
        for study, _ in zip(studies_of(asked, rng, 1), range(studies), strict=False)
    ])  # fmt: skip
    lower, upper = bounds.mean(axis=0)
    errors = bounds.std(axis=0, ddof=1) / np.sqrt(studies) if studies > 1 else (np.inf, np.inf)
    linear = 0.5 * np.linalg.slogdet(np.eye(len(information)) + information @ belief.covariance)[1]
    return InformationGain(*map(float, (lower, upper, *errors, linear)), studies)


@dataclass(frozen=True, eq=False)
class _Belief:
    """A normal law of coordinates, of which those at ``places`` are not known."""

    mean: np.ndarray
    places: np.ndarray
    covariance: np.ndarray

    def at(self, free):
        """Coordinates of those that are not known, (..., place)."""
        found = np.broadcast_to(self.mean, (*np.shape(free)[:-1], len(self.mean))).copy()
        found[..., self.places] = free
        return found

    def log_density(self, free):
        return _normal(free - self.mean[self.places], self.covariance)


def _normal(step, covariance):
    """Log-density of a normal law, (...,), of steps (..., place) from its mean."""
    quadratic = (step * np.linalg.solve(covariance, step[..., None])[..., 0]).sum(axis=-1)
    return -0.5 * (quadratic + np.linalg.slogdet(2 * np.pi * covariance)[1])


def _belief(asked):
    x = asked.coordinates.vector(asked.population)
    sd = x.std(axis=0)
    places = np.flatnonzero(sd > KNOWN * (1 + np.abs(x).max(axis=0)))
    if len(x) <= len(places) + 1 or not len(places):
        raise ModelError(
            "information_gain: the tree holds too few populations to say what is believed; give a fit, or "
            "population(..., uncertainty=)"
        )
    return _Belief(x.mean(axis=0), places, np.atleast_2d(np.cov(x[:, places].T)))


def _at_mean(asked, belief):
    """Information on what is not known at the mean: to first order, or exact where that would be wrong."""
    x, numbers = belief.mean, asked.numbers(belief.mean)
    try:
        asked.first_order.check("fo")
        whole = asked.matrix(x, "fo")
    except ModelError:
        whole = exact(asked, x, numbers, np.arange(len(numbers.names))).whole
    return whole[np.ix_(belief.places, belief.places)]


def _bounds(asked, study, belief, covariance, draws, rng):
    """Gain in one simulated study: with the true population among the draws, and without."""
    z = rng.standard_normal(len(belief.places))
    truth = belief.mean[belief.places] + np.linalg.cholesky(belief.covariance) @ z
    integral = simulated(asked, study, belief.at(truth), rng).integral(NODES[1], int(rng.integers(2**31)))
    mode = truth
    for _ in range(NEWTON):
        slope = scores(integral, belief.at(mode), asked.steps).sum(axis=0)[belief.places]
        slope = slope - np.linalg.solve(belief.covariance, mode - belief.mean[belief.places])
        mode = mode + covariance @ slope
    wide = WIDER**2 * covariance
    drawn = mode + rng.standard_normal((draws, len(mode))) @ np.linalg.cholesky(wide).T
    each = np.concatenate([truth[None], drawn])
    likelihood = np.array([integral.log_likelihood(x).sum() for x in belief.at(each)])
    weight = likelihood + belief.log_density(each) - _normal(each - mode, wide)
    with_it, without = np.logaddexp.reduce(weight), np.logaddexp.reduce(weight[1:])
    found = likelihood[0] - 0.5 * (z @ z - len(z))  # a control variate of mean 0: who is unusual tells more
    return found - with_it + np.log(draws + 1), found - without + np.log(draws)
