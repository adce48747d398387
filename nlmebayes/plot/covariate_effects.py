"""What covariates do to parameters and to an exposure: ratios to a reference person."""

from typing import Literal

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from nlmebayes.arguments import Name, Names, Number, Share, Text, Tree, checked
from nlmebayes.criticism.predictive import outcome_of
from nlmebayes.errors import ModelError, warn
from nlmebayes.evaluation.evaluator import evaluator, no_effects, spread
from nlmebayes.evaluation.fitted import fitted
from nlmebayes.evaluation.tails import tails
from nlmebayes.model.model import Model
from nlmebayes.plot import moments, panels
from nlmebayes.plot.labels import labels_of
from nlmebayes.plot.panels import BLACK, BLUE, CI_PROB, GREY, RED, Places
from nlmebayes.summaries.people import copies, covariates, label_of

Exposure = Literal["auc", "peak", "trough"]
DRAWS = 1000  # of the posterior
LINES = (0.8, 1.25)  # of bioequivalence, within which an effect is usually called small
POINTS = 400  # of an exposure


@checked
def forest(
    tree: Tree, at: dict[Name, Number | Text | list[Number | Text]], *, parameters: Names = (),
    reference: dict[Name, Number | Text] | None = None, exposure: Exposure | None = None, outcome: Text | None = None,
    lines: list[Number] = LINES, ci_prob: Share = CI_PROB, ax: Places | None = None, model: Model | None = None,
) -> Figure:  # fmt: skip
    """Effects of covariates on each parameter, and on an exposure, as ratios to a reference person.

    Parameters
    ----------
    tree : DataTree
        From `fit` or `population`.
    at : dict of covariate -> values
        What to look at, one covariate at a time: ``{"wt": [50, 90], "sex": "f"}``; the others stay at the reference.
    parameters : sequence of str, optional
        By default those whose formulas read one of the covariates.
    reference : dict of covariate -> value, optional
        By default the median of the training data, of labels the commonest one.
    exposure : {"auc", "peak", "trough"}, optional
        Of ``outcome`` from the first dose to the last record of the first subject of the training data, with doses as
        they are there: area under the curve, highest and last value.
    outcome : str, optional
        By default the first.
    lines : list of float
        Ratios between which an effect is called small.
    ci_prob : float
        Probability of the intervals, of what is not known of the typical person.
    ax : Axes, optional
    model : Model, optional
        That of the tree, where its structure cannot be imported again; by default the one stored in it.

    Returns
    -------
    Figure
        Its ``numbers``: by ``of`` (a parameter or the exposure), ``covariate``, ``value`` and ``reference`` the
        ``median`` ratio, ``eti_lb``, ``eti_ub``, and ``p_inside``, the probability that it lies between the lines.

    Raises
    ------
    ModelError
        A covariate that the model does not read; a parameter that may be negative, of which there is no ratio.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> from model_zoo import OneCompartment
    >>> tree = nb.population(OneCompartment(), theta={"cl": {"Intercept": 3.0, "log(wt/70)": 0.75}, "v": 40.0},
    ...                      omega={"sd": {"cl": 0.3, "v": 0.2}}, sigma={"b": 0.15}, random_seed=1,
    ...                      uncertainty={"cl": {"Intercept": 10.0, "log(wt/70)": 20.0}, "v": 5.0}, draws=200)
    >>> figure = nb.plot.forest(tree, {"wt": [50, 90]}, reference={"wt": 70})
    >>> figure.numbers[["value", "median", "p_inside"]].round(2)
       value  median  p_inside
    0   50.0    0.78      0.26
    1   90.0    1.21      0.88
    """
    known = fitted(tree, model)
    if not at:
        raise ModelError("plot.forest: at names no covariate; write {'wt': [50, 90]}")
    read = covariates(known)
    wanted = {name: values if isinstance(values, list) else [values] for name, values in at.items()}
    for name in wanted:
        if name not in read:
            raise ModelError(f"plot.forest: no formula reads {name!r}; they read {', '.join(read) or 'no covariate'}")
    base = {name: _usual(known.training_data, name) for name in read} | (reference or {})
    cases = [(None, None), *((name, value) for name, values in wanted.items() for value in values)]
    people = _people(known, [base | ({name: value} if name else {}) for name, value in cases])
    design, draws = known.design(people), spread(known.draws_of(people.outcomes), DRAWS)
    phi, f, _ = evaluator(known.model, design)(draws.theta, no_effects(design, draws))
    subject = design.units[people.subject].to_numpy()
    first = [int(np.flatnonzero(subject == label_of(i))[0]) for i in range(len(cases))]
    values = {name: phi[name][:, first] for name in _parameters(known, parameters, wanted)}
    if exposure:
        values[exposure] = _exposures(people, outcome_of(people, outcome), f, exposure, len(cases))
    table = _table(values, cases, base, read, lines, ci_prob)
    return _drawn(table, labels_of(known, known.training_data), base, lines, ci_prob, ax)


def _usual(data, name):
    values = data.observations.drop_duplicates(data.subject)[name].dropna()
    return float(values.median()) if pd.api.types.is_numeric_dtype(values) else values.mode().iloc[0]


def _people(known, cases):
    """The first subject of the training data, with all of its doses, once for each case of covariates."""
    data = known.training_data
    data = data.sel(**{data.subject: data.observations[data.subject].iloc[0]})
    if data.time is not None:
        times = data.observations[data.time].to_numpy(float)
        start = data.doses[data.time].min() if len(data.doses) else times.min()
        data = data.over(**{data.time: moments.through(known, data, np.linspace(start, times.max(), POINTS))})
    return copies(data, cases)


def _parameters(known, wanted, asked):
    """Names of parameters to show, whose values are positive."""
    bounds = {p.name: p.scale.bounds[0] for p in known.model.parameters}
    for name in wanted:
        if name not in bounds:
            raise ModelError(f"plot.forest: no parameter {name!r}; there are {', '.join(bounds)}")
        if bounds[name] < 0:
            raise ModelError(f"plot.forest: {name} may be negative, so that its ratios say nothing; leave it out")
    touched = dict.fromkeys(p for c, names in covariates(known).items() if c in asked for p in names)
    touched = [p for p in touched if p in bounds]  # and not the scatter
    left = [p for p in touched if bounds[p] < 0]
    if left and not wanted:
        warn(f"plot.forest: {', '.join(left)} may be negative, so that ratios say nothing, and are left out")
    return list(wanted) or [p for p in touched if bounds[p] >= 0]


def _exposures(people, outcome, f, exposure, count):
    """Exposure of each person, (draw, person)."""
    if people.time is None:
        raise ModelError("plot.forest: an exposure is one over time, and these data have none")
    seen = people.observations[people.observations["outcome"] == outcome]
    found = []
    for i in range(count):
        here = (seen[people.subject] == label_of(i)).to_numpy()
        times, values = seen[people.time].to_numpy(float)[here], f[outcome][:, here]
        found.append({"auc": lambda v, t: np.trapezoid(v, t, axis=1), "peak": lambda v, t: v.max(axis=1),
                      "trough": lambda v, t: v[:, -1]}[exposure](values, times))  # fmt: skip
    return np.stack(found, axis=1)


def _table(values, cases, base, read, lines, ci_prob):
    rows, changed = [], {name for names in read.values() for name in names}
    for name, drawn in values.items():
        for i, (covariate, value) in enumerate(cases[1:], start=1):
            if name in changed and name not in read[covariate]:
                continue
            ratio = drawn[:, i] / drawn[:, 0]
            low, median, high = np.quantile(ratio, [tails(ci_prob)[0], 0.5, tails(ci_prob)[1]])
            inside = ((ratio >= min(lines)) & (ratio <= max(lines))).mean() if lines else np.nan
            rows.append((name, covariate, value, base[covariate], median, low, high, inside))
    columns = ["of", "covariate", "value", "reference", "median", "eti_lb", "eti_ub", "p_inside"]
    return pd.DataFrame(rows, columns=columns)


def _drawn(table, names, base, lines, ci_prob, ax):
    """The picture of the table: a block of lines for each parameter."""
    place, ticks, words, heads = 0, [], [], []
    for of, part in table.groupby("of", sort=False):
        heads.append((place, of))
        for row in part.itertuples():
            place += 1
            ticks.append(place)
            words.append(_words(names, row.covariate, row.value))
        place += 1.4
    made = panels.sheet(1, size=(6.4, 0.9 + 0.24 * place), ax=ax)
    (axis,) = made.axes
    if lines:
        axis.axvspan(min(lines), max(lines), color=GREY, alpha=0.15, linewidth=0, label=_between(lines))
    axis.axvline(1, color=BLACK, linewidth=0.8, label="reference person")
    axis.hlines(ticks, table["eti_lb"], table["eti_ub"], color=BLUE, linewidth=1.5, label=panels.percent(ci_prob))
    panels.points(axis, table["median"], ticks, "median", color=BLUE, marker="s", markersize=4)
    for at, median, low, high in zip(ticks, table["median"], table["eti_lb"], table["eti_ub"], strict=True):
        text = f"{median:.2f} ({low:.2f} to {high:.2f})"
        axis.annotate(text, (1.01, at), xycoords=("axes fraction", "data"), fontsize=panels.TEXT - 1, va="center")
    for at, of in heads:
        axis.annotate(of, (0.01, at), xycoords=("axes fraction", "data"), fontsize=panels.TEXT, weight="bold",
                      va="center", color=RED if of not in names.units else BLACK)  # fmt: skip
    axis.set_yticks(ticks, words)
    axis.set_xscale("log")
    _plain_ticks(axis, table)
    axis.set_ylim(place - 0.4, -0.7)
    person = ", ".join(_words(names, name, base[name]) for name in dict.fromkeys(table["covariate"]))
    made.named(f"ratio to a person with {person}", "")
    return made.finished("How much do covariates change what matters?", table)


def _plain_ticks(axis, table):
    low, high = min(table["eti_lb"].min(), 0.75), max(table["eti_ub"].max(), 1.34)
    axis.set_xlim(low / 1.03, high * 1.03)
    every = [0.05, 0.1, 0.2, 0.33, 0.5, 0.67, 0.8, 1, 1.25, 1.5, 2, 3, 5, 10, 20]
    shown = [x for x in every if low / 1.03 <= x <= high * 1.03]
    axis.set_xticks(shown, [f"{x:g}" for x in shown])
    axis.minorticks_off()


def _between(lines):
    return f"{min(lines):g} to {max(lines):g}"


def _words(names, covariate, value):
    """``wt 50 kg``."""
    unit = names.units.get(covariate, "")
    return f"{covariate} {value:g} {unit}".rstrip() if isinstance(value, int | float) else f"{covariate} {value}"
