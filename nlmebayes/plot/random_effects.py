"""Random effects beside the law that they are said to have, beside each other, and beside covariates."""

from itertools import combinations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy import stats

from nlmebayes.arguments import Names, Share, Text, Tree, checked
from nlmebayes.criticism.unused import columns_of
from nlmebayes.errors import ModelError
from nlmebayes.evaluation.evaluator import spread
from nlmebayes.evaluation.fitted import fitted
from nlmebayes.evaluation.tails import tails
from nlmebayes.model.model import Model
from nlmebayes.plot import panels, trends
from nlmebayes.plot.labels import labels_of
from nlmebayes.plot.panels import BLACK, BLUE, CI_PROB, GREY, RED, Places

DRAWS = 400  # of the posterior, from which correlations are taken
SHOWN = 20  # of them whose points are drawn


@checked
def etas(
    tree: Tree, level: Text | None = None, *, covariates: Names | None = None, ci_prob: Share = CI_PROB,
    ax: Places | None = None, model: Model | None = None,
) -> Figure:  # fmt: skip
    """Random effects beside their law, in pairs, and over every covariate, with a smooth line and the correlation.

    Everything is taken from draws of the posterior, not from its means, which shrinkage makes alike.

    Parameters
    ----------
    tree : DataTree
        From `fit` or `forecast`.
    level : str, optional
        By default the innermost one with effects.
    covariates : sequence of str, optional
        Columns with one value per group; by default all that there are.
    ci_prob : float
        Probability of the intervals of correlations.
    ax : Axes, optional
        Axes to draw on, as many as the picture has panels.
    model : Model, optional
        That of the tree, where its structure cannot be imported again; by default the one stored in it.

    Returns
    -------
    Figure
        Its ``numbers``: a row for each panel with ``effect``, what it is ``against``, ``measure`` (``sd / omega``,
        ``correlation``, or ``share`` of its variance that labels explain) and its ``mean``, ``eti_lb``, ``eti_ub``.

    Raises
    ------
    ModelError
        An unknown level or covariate; a tree that knows no group.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> from model_zoo import OneCompartment
    >>> model = nb.Model(OneCompartment("first-order"), residual=nb.Combined())
    >>> tree = nb.fit(model, nb.datasets.theophylline(), method="ml")
    >>> nb.plot.etas(tree).savefig("etas.png")
    """
    known = fitted(tree, model)
    chosen = _level(known, level)
    draws = spread(known.draws_of(known.training_data.outcomes), DRAWS)
    if not draws.groups.get(chosen.name):
        raise ModelError(f"plot.etas: this tree has a population, and no effects of {chosen.name}; give that of a fit")
    eta, omega = draws.eta[chosen.name], draws.omega[chosen.name]
    names, columns = [effect.name for effect in chosen.effects], _columns(known, chosen, covariates)
    labels = labels_of(known, known.training_data)
    drawn = [(_law, (eta[..., k], omega[:, k]), name, "its law", f"effect on {name}") for k, name in enumerate(names)]
    drawn += [(_pair, (eta[..., j], eta[..., k]), names[k], names[j], f"effect on {names[j]}")
              for j, k in combinations(range(len(names)), 2)]  # fmt: skip
    drawn += [(_groups if column.labelled else _pair, (column.values, eta[..., k]), name, column.name,
               labels(column.name)) for k, name in enumerate(names) for column in columns]  # fmt: skip
    made = panels.sheet(len(drawn), min(4, len(drawn)), (2.7, 2.3), ax)
    rows = []
    for axis, (draw, values, effect, against, x) in zip(made.axes, drawn, strict=True):
        measure, found = draw(axis, *values)
        low, high = np.quantile(found, tails(ci_prob))
        rows.append((effect, against, measure, found.mean(), low, high))
        axis.set_title(f"{measure} {found.mean():.2f} ({low:.2f} to {high:.2f})", fontsize=panels.TEXT)
        axis.set(xlabel=x, ylabel="density" if draw is _law else f"effect on {effect}")
    table = pd.DataFrame(rows, columns=["effect", "against", "measure", "mean", "eti_lb", "eti_ub"])
    interval = panels.percent(ci_prob)
    return made.finished(f"Are the effects of {chosen.name} what the model says? ({interval} in brackets)", table)


def _level(known, name):
    levels = {level.name: level for level in known.training.levels}
    if name is not None and name not in levels:
        raise ModelError(f"no level {name!r} with effects in this tree; there are {', '.join(levels) or 'none'}")
    if not levels:
        raise ModelError("plot.etas: the model has no random effects")
    return levels[name or next(reversed(levels))]


def _columns(known, level, wanted):
    """Covariates with one value per group, in the order of the groups."""
    data, labels = known.training_data, list(level.labels)
    of_row = level.of_unit[np.concatenate([o.unit for o in known.training.outcomes])]
    order = np.concatenate([o.row for o in known.training.outcomes])
    group = pd.Series(of_row, index=order).groupby(level=0).first().reindex(data.observations["row"]).to_numpy()
    first = np.array([np.flatnonzero(group == g)[0] for g in range(len(labels))])
    found = {}
    for column in columns_of(data):
        one = pd.Series(column.values).groupby(group).nunique(dropna=False).le(1).all()
        here = column.take(first)
        if one and here.known.all() and here.enough(here.values):
            found.setdefault(column.name, here)
    for name in wanted or ():
        if name not in found:
            raise ModelError(f"plot.etas: no covariate {name!r} with one value per {level.name}; "
                             f"there are {', '.join(found) or 'none'}")  # fmt: skip
    return list(found.values()) if wanted is None else [found[name] for name in wanted]


def _law(axis, eta, omega):
    """Draws of all groups over the density that the draws of omega give; the ratio of their SDs."""
    reach = 1.05 * max(np.abs(eta).max(), 3 * omega.mean())
    at = np.linspace(-reach, reach, 200)
    axis.hist(eta.ravel(), 30, density=True, color=GREY, alpha=0.5, label="draws of all groups")
    density = stats.norm.pdf(at[:, None] / omega) / omega
    axis.plot(at, density.mean(axis=1), color=BLUE, label="law in the model")
    axis.set_xlim(-reach, reach)
    return "sd / omega", np.sqrt((eta**2).mean(axis=1)) / omega


def _pair(axis, x, y):
    """Draws of y over x, which may be draws too, with a smooth line; the correlation in each draw."""
    both = np.broadcast_to(x.astype(float), y.shape)
    some = np.linspace(0, len(y) - 1, min(SHOWN, len(y))).astype(int)
    panels.points(axis, both[some], y[some], None, markersize=1.5, alpha=0.4, color=GREY)
    axis.lines[-1].set_label("draws")
    for line in axis.lines[:-1]:
        line.set_label("_draws")
    panels.points(axis, both.mean(axis=0), y.mean(axis=0), "posterior mean of a group", markersize=3)
    axis.axhline(0, color=BLACK, linewidth=0.6)
    line = trends.smooth(both.ravel(), y.ravel())
    if line is not None:
        axis.plot(*line, color=RED, label="smooth")
    return "correlation", _correlations(both, y)


def _correlations(x, y):
    x, y = (a - a.mean(axis=1, keepdims=True) for a in (x, y))
    return (x * y).sum(axis=1) / np.sqrt((x**2).sum(axis=1) * (y**2).sum(axis=1))


def _groups(axis, labels, y):
    """Draws of y by label, with the mean of each; the share of the variance that labels explain in each draw."""
    values, which = np.unique(labels.astype(str), return_inverse=True)
    some = np.linspace(0, len(y) - 1, min(SHOWN, len(y))).astype(int)
    beside = which + np.random.default_rng(0).uniform(-0.15, 0.15, y[some].shape)
    panels.points(axis, beside.ravel(), y[some].ravel(), "draws", markersize=1.5, alpha=0.4, color=GREY)
    panels.points(axis, which, y.mean(axis=0), "posterior mean of a group", markersize=3)
    means = np.stack([y[:, which == k].mean(axis=1) for k in range(len(values))], axis=1)
    axis.axhline(0, color=BLACK, linewidth=0.6)
    axis.plot(range(len(values)), means.mean(axis=0), "_", color=RED, markersize=18, label="mean")
    axis.set_xticks(range(len(values)), values, rotation=0 if len(values) < 5 else 45)
    rest = y - means[:, which]
    return "share", 1 - (rest**2).sum(axis=1) / ((y - y.mean(axis=1, keepdims=True)) ** 2).sum(axis=1)
