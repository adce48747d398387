"""Questions that are asked of every fit: `effects`, `slopes` and `contrast` of what a model predicts.

One set of predictions answers all: draws of a parameter, an outcome or a calculation at people who differ in one or two
columns only, by random effects of zero, of one new person, or averaged over the population.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Literal

import numpy as np
import pandas as pd

from nlmebayes.arguments import Count, Kind, Name, Number, Seed, Share, Text, Tree, checked, whole
from nlmebayes.errors import ModelError, warn
from nlmebayes.evaluation.fitted import fitted
from nlmebayes.model.model import Data, Model
from nlmebayes.summaries import people
from nlmebayes.summaries.questions import question, table, with_draws

Groups = Literal["none", "average", "new"]
Others = Literal["typical", "observed"]
Comparison = Literal["difference", "ratio", "odds ratio"]
Pairs = Literal["each to first", "all"]
Values = Number | Text | list[Number | Text]


def _callable(value):
    if not callable(value) or isinstance(value, type):
        raise TypeError
    return value


Of = Text | Annotated[Callable, Kind("a function of the parameters, such as lambda p: p.v / p.cl", _callable)]
Points = Annotated[int, whole("a whole number from 2 to 1,000", 2, 1000)]
CATEGORY = "category"  # the column of ordered ones
STEP = 3e-3  # of the range of the data, by which a slope is taken
CENTRAL, FORWARD = np.arange(-2, 3), np.arange(5)  # places of a slope, in steps
BEND = (
    np.array([-1, 4, -6, 4, -1]) / 4
)  # of values at such places: half of what a slope jumps by at the middle one, in steps
FLAT = 1e-7  # of the largest value: differences of it that are rounding, or a solver's tolerance
BENT = 0.02  # of the largest slope: two orders that differ by more do not agree


@checked
def effects(
    tree: Tree, x: Name, *, by: Name | None = None, of: Of | None = None, groups: Groups = "none",
    at: dict[Name, Values] | None = None, others: Others = "typical", data: Data | None = None, points: Points = 25,
    draws: Count = 1000, ci_prob: Share = 0.9, random_seed: Seed | None = None, model: Model | None = None,
) -> pd.DataFrame:  # fmt: skip
    """What the model predicts over a variable, all else as it is usually.

    Parameters
    ----------
    tree : DataTree
        From `fit`, `forecast` or `population`.
    x : str
        A covariate, an input (``"time"``), ``"amount"`` of each dose (infusions last as long as they did), or a level,
        whose groups then keep their own effects. Numbers are taken over the range of the data, times from the first
        dose on, categories one by one.
    by : str, optional
        Another one. A numeric one has lines at its values, if these are up to five, or at its quantiles 10, 50 and
        90 %.
    of : str or function, optional
        A parameter (``"cl"``), an outcome (the first by default), a calculation from them and from covariates
        (``"log(2) * v / cl"``), or a function of the parameters. Of an outcome it is the individual prediction f, see
        its residual: the mean of a measurement, of `LogNormal` its median, of counts a proportion or rate, of
        `OrderedLogistic` the probability of each category (the logit is that of its parameter), of times to an event
        the cumulative hazard. A calculation may name several outcomes (``"effect / conc"``).
    groups : {"none", "average", "new"}
        Whose random effects: of a typical person, who has none; the average over people, integrated over the
        population; or one new person per draw. Groups that x, by or at name keep theirs.
    at : dict of column -> value
        Where others stand, and which values of x and by are asked. By default numeric covariates are at their means
        (over people; inputs over records of the outcome), categories and columns with two values at their commonest
        one, in groups that are named at those of the group.
    others : {"typical", "observed"}
        Whether covariates that are not stated stand there, or are those of everybody in the training data in turn (of
        each record where they change), over which the prediction is averaged: standardisation, the ``avg_`` of
        marginaleffects.
    data : Dataset, optional
        The doses and events of its first subject are everybody's; by default those of the training data.
    points : int
        Of a numeric x.
    draws : int
        At most so many, evenly spaced.
    ci_prob : float
        Probability of the interval.
    random_seed : int, optional
        Of new people.
    model : Model, optional
        That of the tree, where its structure cannot be imported again.

    Returns
    -------
    DataFrame
        x, by, ``category`` of an ordered outcome, ``mean, sd, median, eti_lb, eti_ub``, and a column for everything
        else that the prediction depends on, with the value it had. ``attrs``: ``of``, ``unit``, ``x``, ``by``,
        ``groups``, ``ci_prob``, ``doses``.

    Raises
    ------
    ModelError, FormulaError, DataError
        A name that there is not, or on which the prediction does not depend; a category that there is not.

    Examples
    --------
    Clearance by weight, of a typical person:

    >>> import nlmebayes as nb
    >>> from model_zoo import OneCompartment
    >>> tree = nb.population(OneCompartment(), theta={"cl": {"Intercept": 3.0, "log(wt/70)": 0.75}, "v": 40.0},
    ...                      omega={"sd": {"cl": 0.3, "v": 0.2}}, sigma={"b": 0.15}, random_seed=1,
    ...                      uncertainty={"cl": {"Intercept": 10.0, "log(wt/70)": 20.0}, "v": 5.0}, draws=200)
    >>> nb.effects(tree, "wt", of="cl", at={"wt": [50, 90]})[["wt", "median", "eti_lb", "eti_ub"]].round(1)
         wt  median  eti_lb  eti_ub
    0  50.0     2.3     1.9     2.7
    1  90.0     3.6     3.1     4.2
    """
    asked = question(with_draws(fitted(tree, model), (x, by, *(at or {}))), x, by, of, at, data, points, others)
    return _of_each(asked, random_seed, lambda one, seed: _effects(one, groups, draws, seed, ci_prob))


def _effects(asked, groups, draws, seed, ci_prob):
    drawn, cases = asked.draws(groups, draws, seed)
    return _told(table(drawn, cases, asked.values, ci_prob), asked, groups, ci_prob)


@checked
def slopes(
    tree: Tree, x: Name, *, by: Name | None = None, of: Of | None = None, groups: Groups = "none",
    at: dict[Name, Values] | None = None, others: Others = "typical", data: Data | None = None, points: Points = 25,
    draws: Count = 1000, ci_prob: Share = 0.9, random_seed: Seed | None = None, model: Model | None = None,
) -> pd.DataFrame:  # fmt: skip
    """How fast the predictions of `effects` change with a numeric x: their derivative.

    By differences of fourth order, which are judged by those of second order and by the slopes on both sides: places
    where they disagree, such as those of a dose or the end of an infusion, are named in a warning.

    Parameters
    ----------
    tree, x, by, of, groups, at, others, data, points, draws, ci_prob, random_seed, model
        As in `effects`.

    Returns
    -------
    DataFrame
        As that of `effects`, with ``p_direction``, the probability of the sign that is the likelier.

    Raises
    ------
    ModelError, FormulaError, DataError
        As `effects`; x holds categories.

    Examples
    --------
    Litres per hour that clearance grows by kilogram:

    >>> import nlmebayes as nb
    >>> from model_zoo import OneCompartment
    >>> tree = nb.population(OneCompartment(), theta={"cl": {"Intercept": 3.0, "log(wt/70)": 0.75}, "v": 40.0},
    ...                      omega={"sd": {"cl": 0.3, "v": 0.2}}, sigma={"b": 0.15}, random_seed=1,
    ...                      uncertainty={"cl": {"Intercept": 10.0, "log(wt/70)": 20.0}, "v": 5.0}, draws=200)
    >>> nb.slopes(tree, "wt", of="cl", at={"wt": [50, 90]})[["wt", "median", "eti_lb", "eti_ub"]].round(3)
         wt  median  eti_lb  eti_ub
    0  50.0   0.034   0.025   0.042
    1  90.0   0.030   0.019   0.040
    """
    known = with_draws(fitted(tree, model), (x, by, *(at or {})))
    asked = question(known, x, by, of, at, data, points, others)
    values = asked.values[x]
    if x in known.training_data.levels or people.is_factor(known, x) or any(isinstance(v, str) for v in values):
        raise ModelError(f"slopes: {x} holds categories, which have no slope; nb.contrast compares them")
    return _of_each(asked, random_seed, lambda one, seed: _slopes(one, x, groups, draws, seed, ci_prob))


def _slopes(asked, x, groups, draws, seed, ci_prob):
    values = asked.values[x]
    middle, step = np.array(values, dtype=float), _step(asked.known, x, values)
    ahead = (middle - 2 * step < 0) & (middle >= 0)
    places = middle[:, None] + step * np.where(ahead[:, None], FORWARD, CENTRAL)
    drawn, cases = replace(asked, values=asked.values | {x: places.ravel().tolist()}).draws(groups, draws, seed)
    each = drawn.reshape(*drawn.shape[:2], len(middle), len(CENTRAL))
    found, rough = (np.einsum("dbxk,xk->dbx", each, _weights(ahead, order)) / step for order in (4, 2))
    _agree(found, np.stack([found - rough, each @ BEND / step]), np.abs(drawn).max() * FLAT / step, x, values)
    told = table(found, [row[:: len(CENTRAL)] for row in cases], asked.values, ci_prob)
    return _told(told, asked, groups, ci_prob, _direction(found, 0.0))


@checked
def contrast(
    tree: Tree, x: Name, *, pairs: Pairs | dict[Number | Text, Number | Text] = "each to first",
    kind: Comparison = "difference", by: Name | None = None, of: Of | None = None, groups: Groups = "none",
    at: dict[Name, Values] | None = None, others: Others = "typical", data: Data | None = None, draws: Count = 1000,
    ci_prob: Share = 0.9, random_seed: Seed | None = None, model: Model | None = None,
) -> pd.DataFrame:  # fmt: skip
    """How the predictions of `effects` differ between values of x.

    Parameters
    ----------
    pairs : {"each to first", "all"} or dict of value -> reference
        What is compared with what. A numeric x needs its values: ``at={"wt": [50, 90]}``.
    kind : {"difference", "ratio", "odds ratio"}
        How.
    tree, x, by, of, groups, at, others, data, draws, ci_prob, random_seed, model
        As in `effects`; ``by="site"`` compares in each known site.

    Returns
    -------
    DataFrame
        As that of `effects`; x is compared with its ``reference``, and ``p_direction`` is the probability that the
        difference has the sign, a ratio the side of 1, that is the likelier.

    Raises
    ------
    ModelError, FormulaError, DataError
        As `effects`; fewer than two values of x; a ratio of what is not positive, odds of what is no probability.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> from model_zoo import OneCompartment
    >>> tree = nb.population(OneCompartment(), theta={"cl": {"Intercept": 3.0, "log(wt/70)": 0.75}, "v": 40.0},
    ...                      omega={"sd": {"cl": 0.3, "v": 0.2}}, sigma={"b": 0.15}, random_seed=1,
    ...                      uncertainty={"cl": {"Intercept": 10.0, "log(wt/70)": 20.0}, "v": 5.0}, draws=200)
    >>> found = nb.contrast(tree, "wt", of="cl", at={"wt": [50, 90]}, kind="ratio")
    >>> found[["wt", "reference", "median", "p_direction"]].round(2)
         wt  reference  median  p_direction
    0  90.0       50.0    1.55          1.0
    """
    known = with_draws(fitted(tree, model), (x, by, *(at or {})))
    wanted = _of_pairs(pairs)
    if wanted:
        at = dict(at or {}) | {x: wanted}
    asked = question(known, x, by, of, at, data, 2, others)
    values = asked.values[x]
    if x not in (at or {}) and not (x in known.training_data.levels or people.is_factor(known, x)):
        raise ModelError(f"contrast: {x} is numeric; say which of its values are compared: at={{{x!r}: [low, high]}}")
    if len(values) < 2:
        raise ModelError(f"contrast: compares two values of {x} or more; there is {values[0]!r} alone")
    return _of_each(asked, random_seed, lambda one, seed: _contrast(one, x, pairs, kind, groups, draws, seed, ci_prob))


def _contrast(asked, x, pairs, kind, groups, draws, seed, ci_prob):
    values = asked.values[x]
    drawn, cases = asked.draws(groups, draws, seed)
    chosen = _positions(pairs, values)
    new, reference = (drawn[..., [pair[i] for pair in chosen]] for i in (0, 1))
    found = _compared(new, reference, kind, asked.target.name)
    compared = dict(asked.values) | {x: [values[i] for i, _ in chosen]}
    cases = [[row[i] for i, _ in chosen] for row in cases]
    told = table(found, cases, compared, ci_prob)
    told.insert(1, "reference", [values[j] for _, j in chosen] * found.shape[1])
    return _told(told, asked, groups, ci_prob, _direction(found, 0.0 if kind == "difference" else 1.0))


def _of_each(asked, random_seed, answer):
    """The table of an answer (question, seed); of ordered categories those of each, one below the other."""
    each = asked.each
    if each[0].target.category is None:
        return answer(asked, random_seed)
    seed = int(np.random.default_rng(random_seed).integers(2**31))  # one new person for all categories
    tables = [answer(one, seed) for one in each]
    told, parts = pd.concat(tables, ignore_index=True), [one.target.category for one in each]
    told.insert(told.columns.get_loc("mean"), CATEGORY, np.repeat(parts, len(tables[0])))
    told.attrs = tables[0].attrs
    return told


def _told(found, asked, groups, ci_prob, direction=None):
    """A table with what was asked in its ``attrs``, and probabilities of a direction beside its intervals."""
    if direction is not None:
        found.insert(found.columns.get_loc("eti_ub") + 1, "p_direction", direction)
    names = list(asked.values)
    subject = asked.template.subject
    doses = f"{subject} {asked.template.observations[subject].iloc[0]}" if len(asked.template.doses) else ""
    found.attrs = {
        "of": asked.target.name, "unit": asked.target.unit, "x": names[0], "by": names[1] if names[1:] else None,
        "groups": groups, "ci_prob": ci_prob, "doses": doses,
    }  # fmt: skip
    return found


def _step(known, x, values):
    """The step of a slope."""
    data = known.training_data
    column = data.doses[x] if x == people.AMOUNT else data.observations[x]
    wide = max(float(np.ptp(column.dropna())), float(np.ptp(values)))
    return STEP * (wide or float(np.abs(values).max()) or 1.0)


def _weights(ahead, order):
    """Weights (x, place) of a derivative at the first or the middle of five places, exact for polynomials up to an
    ``order``."""
    found = []
    for here in (CENTRAL, FORWARD):
        chosen = np.isin(here, [-2, 0, 2] if here is CENTRAL else [0, 2, 4]) if order == 2 else np.ones(5, dtype=bool)
        powers = np.vander(here[chosen].astype(float), increasing=True).T
        weights = np.zeros(5)
        weights[chosen] = np.linalg.solve(powers, np.eye(len(powers))[1])
        found.append(weights)
    return np.where(ahead[:, None], found[1], found[0])


def _agree(found, off, rounding, x, values):
    """Name the places at which a curve bends too sharply to have a slope."""
    large = max(BENT * np.nanmax(np.abs(found), initial=0.0), rounding)
    apart = np.abs(off).max(axis=(0, 1, 2)) > large
    if apart.any():
        places = ", ".join(f"{values[i]:g}" for i in np.flatnonzero(apart))
        warn(f"slopes: the prediction bends or jumps at {x} {places}, so that its slope there depends on the side")


def _direction(found, null):
    """Probability of the likelier side of ``null``, of draws (draw, by, x), in the order of a table."""
    above, below = ((s * (found - null) > 0).mean(axis=0) for s in (1, -1))
    return np.maximum(above, below).ravel()


def _of_pairs(pairs):
    """The values that a dict of pairs names, or none."""
    return list(dict.fromkeys(v for pair in pairs.items() for v in pair[::-1])) if isinstance(pairs, dict) else []


def _positions(pairs, values):
    """(position, position of its reference) of what is compared."""
    if isinstance(pairs, dict):
        return [(values.index(new), values.index(reference)) for new, reference in pairs.items()]
    if pairs == "all":
        return [(i, j) for i in range(len(values)) for j in range(i)]
    return [(i, 0) for i in range(1, len(values))]


def _compared(new, reference, kind, name):
    if kind == "difference":
        return new - reference
    low, high = (min(new.min(), reference.min()), max(new.max(), reference.max()))
    if low <= 0 or (kind == "odds ratio" and high >= 1):
        what = "is not positive" if kind == "ratio" else "is no probability between 0 and 1"
        raise ModelError(
            f"contrast: {name} {what} everywhere (it is between {low:.3g} and {high:.3g}), so it has no {kind}"
        )
    return new / reference if kind == "ratio" else new / (1 - new) / (reference / (1 - reference))
