"""`hypothesis`: what a posterior says of a statement on the population."""

import numpy as np
import pandas as pd
import xarray as xr

from nlmebayes.arguments import Names, Share, Tree, checked
from nlmebayes.evaluation.fitted import fitted
from nlmebayes.formula import FormulaError
from nlmebayes.model.model import Model
from nlmebayes.summaries.questions import with_draws
from nlmebayes.summaries.savage_dickey import savage_dickey
from nlmebayes.summaries.statements import EXAMPLE, coordinate, read_statement
from nlmebayes.summaries.variation import intervals


@checked
def hypothesis(tree: Tree, statements: Names, *, ci_prob: Share = 0.9, model: Model | None = None) -> pd.DataFrame:
    """How probable statements on the population are.

    Parameters
    ----------
    tree : DataTree
        From `fit`.
    statements : str or sequence of str
        Comparisons (``>``, ``<``, ``>=``, ``<=``, ``=``, ``0.5 < ... < 2``, ``... between 0.5 and 2``) of arithmetic on
        population variables, with their label in brackets, and typical values: ``"theta_emax[drug] > 0"``,
        ``"omega_id[cl] > omega_occ[cl]"``, ``"log(2) * v / cl between 4 and 8"``, ``"theta_cl[log(wt/70)] = 0.75"``.
        A text says what it likes, and runs nothing.
    ci_prob : float
        Probability of the interval.
    model : Model, optional
        That of the tree, where its structure cannot be imported again.

    Returns
    -------
    DataFrame
        By statement ``mean, sd, median, eti_lb, eti_ub`` of left less right (of what lies between); its
        ``probability`` and ``evidence_ratio``, that over the probability of the opposite; of an equality, which has the
        probability 0, ``savage_dickey``, the Bayes factor for it: above 1 the data speak for it, below against it.

    Raises
    ------
    FormulaError
        What is no comparison of arithmetic.
    ModelError
        A variable or label that there is not; an equality whose ratio cannot be had, with the reason (see
        `summaries.savage_dickey`).

    Examples
    --------
    >>> import nlmebayes as nb
    >>> from model_zoo import OneCompartment
    >>> tree = nb.population(OneCompartment(), theta={"cl": {"Intercept": 3.0, "log(wt/70)": 0.75}, "v": 40.0},
    ...                      omega={"sd": {"cl": 0.3, "v": 0.2}}, sigma={"b": 0.15}, random_seed=1,
    ...                      uncertainty={"cl": {"Intercept": 10.0, "log(wt/70)": 20.0}, "v": 5.0}, draws=200)
    >>> found = nb.hypothesis(tree, ["theta_cl[log(wt/70)] > 0.5", "log(2) * v / cl between 8 and 10"])
    >>> found["probability"].round(2).tolist()
    [0.96, 0.69]
    """
    if not statements:
        raise FormulaError(f"hypothesis: statements is empty; {EXAMPLE}")
    stated = fitted(tree, model)
    known = with_draws(stated)
    return pd.concat([_judged(known, stated, read_statement(text), ci_prob) for text in statements])


def _judged(known, stated, statement, ci_prob):
    """The row of one statement; ``stated`` is the tree as it was given."""
    coordinates = {name: coordinate(known, name) for name in statement.names}
    values = {name: c.natural(c.draws) for name, c in coordinates.items()}
    sizes = [known.posterior.sizes[dim] for dim in ("chain", "draw")]
    drawn = np.broadcast_to(statement.quantity(values), sizes)
    row = intervals(xr.DataArray(drawn, dims=("chain", "draw"), name=statement.text), ci_prob)
    told = {"probability": np.nan, "evidence_ratio": np.nan, "savage_dickey": np.nan}
    if statement.equality:
        told["savage_dickey"] = savage_dickey(stated, statement, coordinates)
    else:
        share = float(np.broadcast_to(statement.holds(values), sizes).mean())
        told |= {"probability": share, "evidence_ratio": share / (1 - share) if share < 1 else np.inf}
    return row.assign(**told).rename_axis("hypothesis")
