"""`optimise_design`: the times, doses, group sizes and numbers of samples that tell most of a population."""

from typing import Literal

import numpy as np
import pandas as pd

from nlmebayes.arguments import Count, Name, Names, NotNegative, Number, Positive, Seed, Tree, checked
from nlmebayes.design import freedom
from nlmebayes.design.design import Design
from nlmebayes.design.optimum import OptimalDesign
from nlmebayes.design.scenario import scenarios
from nlmebayes.design.search import Search
from nlmebayes.errors import ModelError
from nlmebayes.evaluation.fitted import fitted

Pair = tuple[Number, ...]


@checked
def optimise_design(
    tree: Tree | list[Tree], design: Design, *, free: dict[Name, Pair | tuple[Pair, ...]],
    budget: dict[Name, NotNegative] | None = None, criterion: Literal["D", "Ds", "A"] = "D", of: Names = (),
    method: Literal["fo", "full"] = "fo", fixed: Names = (), draws: Count | None = None, starts: Count = 6,
    step: dict[Name, Positive] | None = None, random_seed: Seed = 0,
) -> OptimalDesign:  # fmt: skip
    """The design that tells most of a population.

    Parameters
    ----------
    tree : DataTree, or list of DataTree
        Of several, such as rival models, the mean criterion is maximised.
    design : Design
        Where the search begins; what is not free is kept.
    free : dict
        What may change, between which two numbers: ``"times"`` (or a pair for each time; arms with the same times keep
        the same ones); ``"amt"``, ``"duration"``, ``"rate"``, ``"ii"`` of the doses; ``"n"``, the size of each arm,
        all together as many as there are, or as the budget allows; ``"samples"``, the number of times.
    budget : dict, optional
        ``{"total": 1000, "subject": 10, "visit": 2, "sample": 1}``: what there is, and what each costs; a visit is an
        occasion. The arms grow or shrink together to meet it.
    criterion, of, method, fixed
        As `information` takes them.
    draws : int, optional
        Of each tree, over which the criterion is averaged (robust, ED).
    starts : int
        Exchanges of times, the first from the design, the others from random times.
    step : dict, optional
        Of what can be carried out: ``{"times": 0.5, "amt": 25}`` are multiples in the rounded design.
    random_seed : int

    Returns
    -------
    OptimalDesign

    Raises
    ------
    ModelError
        Something that cannot change, or bounds that are none.

    Notes
    -----
    Times are exchanged over candidates between their bounds, which are then drawn closer about the best ends; with
    numbers of the doses, all move together by SciPy's L-BFGS-B. Subjects are exchanged between arms.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> from model_zoo import OneCompartment
    >>> tree = nb.population(OneCompartment(), theta={"cl": 4.0, "v": 50.0},
    ...                      omega={"sd": {"cl": 0.3, "v": 0.2}}, sigma={"b": 0.15})
    >>> design = nb.Design([nb.Arm(30, [1, 2, 3], doses={"time": 0, "amt": 100})])
    >>> found = nb.optimise_design(tree, design, free={"times": (0.5, 24)}, starts=1, step={"times": 0.5})
    >>> found.rounded.arms[0].times, round(found.efficiency, 1)
    ((0.5, 0.5, 24.0), 3.7)
    """
    freedom.check(free, budget, step)
    if isinstance(tree, list) and not tree:
        raise ModelError("optimise_design: tree is an empty list; give a tree, or several")
    trees = [fitted(each) for each in (tree if isinstance(tree, list) else [tree])]
    options = {"method": method, "kind": criterion, "of": of, "fixed": fixed, "draws": draws, "seed": random_seed}
    every, rng = tuple(scenarios(trees, design, **options)), np.random.default_rng(random_seed)
    start = Design(freedom.afforded(design.arms, budget))
    found, tried = [], []
    for arms in freedom.numbers(design, free):
        search = Search(every, Design(freedom.afforded(arms, budget)), free, budget, starts, rng)
        found.append((*search.best(), search))
        tried += [(arms[0].records, *values) for values in search.tried]
    best, value, search = max(found, key=lambda each: each[1])
    rounded = search.rounded(best, step) if step else best
    if not np.isfinite(value):
        raise ModelError("optimise_design: no design between these bounds tells all numbers apart; fix some, fixed=")
    return OptimalDesign(
        best, rounded, start, value, search.value(rounded), search.value(start), criterion,
        pd.DataFrame(tried, columns=["samples", "begun", "ended"]), tuple(search.slots), every,
    )  # fmt: skip
