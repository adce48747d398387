"""Axes and bands that the pictures share."""

import matplotlib.pyplot as plt
import numpy as np

from nlmebayes.errors import ModelError
from nlmebayes.evaluation.tails import tails

CI_PROB = 0.9  # of the outer band; that of the inner one is a half
GRID = 60


def of_one(known, data, outcome, y=None):
    """Measurements of the records of an outcome, or others ``y`` of the same records, on the scale of the prediction.

    Raises
    ------
    ModelError
        They have no place there.
    """
    o = known.design(data).outcome(outcome)
    try:
        return known.model.residual_of(outcome).of_one(o.values if y is None else y, o.columns)
    except ModelError as error:
        raise ModelError(f"{outcome}: {error}; plot.vpc has a picture of it") from None


def _spread(values):
    return np.linspace(float(np.min(values)), float(np.max(values)), GRID)


def fine(data, x):
    return data.over(**{x: _spread(data.observations[x])})


def quantiles(variable, ci_prob):
    """Of the outer band, the inner one, the median, and back, (5, record)."""
    return variable.quantile(edges(ci_prob), dim=("chain", "draw")).to_numpy()


def edges(ci_prob):
    """Where `bands` begin and end, as probabilities."""
    low, high = tails(ci_prob)
    return [low, 0.25, 0.5, 0.75, high]


def bands(axis, x, f, measured=()):
    axis.fill_between(x, f[0], f[4], color="#3b6ea5", alpha=0.2, linewidth=0)
    axis.fill_between(x, f[1], f[3], color="#3b6ea5", alpha=0.3, linewidth=0)
    axis.plot(x, f[2], color="#3b6ea5")
    for edge in measured[::4]:
        axis.plot(x, edge, color="#3b6ea5", linestyle="--", linewidth=0.8)


def panels(n, columns, size=(2.8, 2.3)):
    rows = -(-n // columns)
    shape = (size[0] * columns, size[1] * rows)
    figure, axes = plt.subplots(rows, columns, figsize=shape, sharex=True, squeeze=False, layout="constrained")
    for axis in axes.flat[n:]:
        axis.set_visible(False)
    return figure, axes.flat[:n]


def name_axes(figure, x, y):
    figure.supxlabel(x, fontsize=10)
    figure.supylabel(y, fontsize=10)
