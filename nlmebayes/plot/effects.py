"""Predictions over a variable, with all else as it is usually."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from nlmebayes.arguments import Count, Name, Seed, Share, Tree, checked
from nlmebayes.errors import ModelError
from nlmebayes.evaluation.fitted import fitted
from nlmebayes.model.model import Data, Model
from nlmebayes.plot import panels
from nlmebayes.plot.labels import labels_of
from nlmebayes.plot.panels import CYCLE, GRID, Places
from nlmebayes.summaries import effects as verbs
from nlmebayes.summaries.effects import Groups, Of, Others, Points, Values

WHOSE = {"none": "a typical person", "average": "people on average", "new": "a new person"}
LINES = ("-", "--", "-.", ":")
MARKERS = ("o", "s", "^", "D", "v", "P")
APART = 0.16  # of the room of a category, between lines
OTHERS = 4  # that the title names


@checked
def effects(
    tree: Tree, x: Name, *, by: Name | None = None, of: Of | None = None, groups: Groups = "none",
    at: dict[Name, Values] | None = None, others: Others = "typical", data: Data | None = None, points: Points = GRID,
    draws: Count = 1000, ci_prob: Share = panels.CI_PROB, random_seed: Seed | None = None, ax: Places | None = None,
    model: Model | None = None,
) -> Figure:  # fmt: skip
    """Predictions over x: a line with its band for each value of ``by``; for categories points with their intervals.

    Parameters
    ----------
    tree, x, by, of, groups, at, others, data, points, draws, ci_prob, random_seed, model
        As in `effects`, which has the numbers.
    ax : Axes, optional

    Returns
    -------
    Figure

    Raises
    ------
    ModelError, FormulaError, DataError
        As `effects`; more values of ``by`` than lines can be told apart.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> from model_zoo import OneCompartment
    >>> tree = nb.population(OneCompartment(), theta={"cl": {"Intercept": 3.0, "log(wt/70)": 0.75}, "v": 40.0},
    ...                      omega={"sd": {"cl": 0.3, "v": 0.2}}, sigma={"b": 0.15}, random_seed=1,
    ...                      uncertainty={"cl": {"Intercept": 10.0, "log(wt/70)": 20.0}, "v": 5.0}, draws=200)
    >>> nb.plot.effects(tree, "wt", of="cl", at={"wt": [50, 60, 70, 80, 90]}).savefig("weight.png")
    """
    told = verbs.effects(
        tree, x, by=by, of=of, groups=groups, at=at, others=others, data=data, points=points, draws=draws,
        ci_prob=ci_prob, random_seed=random_seed, model=model,
    )  # fmt: skip
    by = verbs.CATEGORY if by is None and verbs.CATEGORY in told else by
    parts = [(None, told)] if by is None else list(told.groupby(by, sort=False, observed=True))
    if verbs.CATEGORY in told and by != verbs.CATEGORY:
        raise ModelError(f"plot.effects: a line for each category leaves no room for by=; say at={{{by!r}: ...}}")
    if len(parts) > len(CYCLE):
        raise ModelError(
            f"plot.effects: {len(parts)} lines cannot be told apart; name up to {len(CYCLE)} values: at={{{by!r}: ...}}"
        )
    known, name = fitted(tree, model), told.attrs["of"]
    names = labels_of(known)
    share = by == verbs.CATEGORY or (name in known.outcomes and known.model.residual_of(name).probability)
    made = panels.sheet(1, size=(5.4, 3.4), ax=ax)
    (axis,) = made.axes
    categories = not pd.api.types.is_numeric_dtype(told[x])
    for i, (value, part) in enumerate(parts):
        label = WHOSE[groups] if by is None else _value(names, by, value)
        _drawn(axis, part, x, i, len(parts), label, ci_prob, categories)
    if categories:
        axis.set_xticks(range(len(parts[0][1])), parts[0][1][x])
    panels.from_nothing(made.axes, told["eti_lb"])
    made.named(names(x), f"probability of {name}" if share else names(name))
    return made.finished(f"How does {name} depend on {x}? ({', '.join([WHOSE[groups], *_others(told, names)])})", told)


def _drawn(axis, part, x, i, many, label, ci_prob, categories):
    """One line with its band, or points with their intervals side by side."""
    color, low, high = CYCLE[i], part["eti_lb"], part["eti_ub"]
    interval = f"{label}, {panels.percent(ci_prob)}"
    if categories:
        place = np.arange(len(part)) + APART * (i - (many - 1) / 2)
        axis.vlines(place, low, high, color=color, linewidth=1.5, label=interval)
        panels.points(axis, place, part["median"], f"{label}, median", color=color, marker=MARKERS[i], markersize=5)
        return
    axis.fill_between(part[x], low, high, color=color, alpha=0.18, linewidth=0, label=interval)
    style = LINES[i % len(LINES)]
    axis.plot(part[x], part["median"], color=color, linestyle=style, label=f"{label}, median")


def _value(names, by, value):
    """``wt 50 kg``."""
    unit = names.units.get(by, "")
    return f"{by} {value:.4g} {unit}".rstrip() if isinstance(value, int | float) else f"{by} {value}"


def _others(told, names):
    """Where everything else stood, of what was the same everywhere."""
    after = list(told.columns)[list(told.columns).index("eti_ub") + 1 :]
    same = [name for name in after if told[name].nunique() == 1]
    return [_value(names, name, told[name].iloc[0]) for name in same[:OTHERS]] + ["..."] * bool(same[OTHERS:])
