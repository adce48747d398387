"""A picture of a zoo class: what it predicts at typical values, and where ninety individuals in a hundred are.

A picture is drawn once and kept until the class or this file changes.
"""

import hashlib
import inspect
import io
import sys

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import nlmebayes as nb
from making.files import CACHE, kept
from nlmebayes.parameter.parameter import Log, Logit
from nlmebayes.parameter.units import time_of
from nlmebayes.structure.compartments import outcome_names

PEOPLE, POINTS = 400, 121
SPREAD = 0.3  # SD of each effect between people on its log or logit scale
DRUG, CELLS = 300.0, 0.1  # dose in the class' own unit, of a drug that has a volume; of others, in 10^9 cells
HORIZONS = np.array([2, 5, 10, 24, 50, 100, 200, 400, 1000, 2000])
ENDLESS = 30.0  # where what happens does not end by the last horizon
NEARLY, LATE = 0.9, 0.4  # of all that happens: what is drawn; what happens in the second half where there is no end
WIDE = 20  # times the typical curve, from which on people are drawn on a logarithmic axis
BLUE = "#0072B2"


def drawable(structure):
    """Whether it is a curve over one input, with a typical value of every parameter; a hazard is none."""
    known = all(p.typical is not None for p in structure.parameters)
    return known and len(structure.inputs) == 1 and not isinstance(structure, nb.Hazard)


def doses(structure, people):
    """One dose for everybody at time 0, of a class that has one."""
    volume = any(p.unit == "L" for p in structure.parameters)
    if not volume and not getattr(structure, "dosed", None):
        return None
    return pd.DataFrame({"id": np.arange(people), "time": 0.0, "amt": DRUG if volume else CELLS})


def population(structure, outcomes, spread):
    centre = {p.name: p.typical for p in structure.parameters}
    varying = {p.name: spread for p in structure.parameters if isinstance(p.scale, Log | Logit)}
    formulas = [f"{name} ~ 1" + " + (1|id)" * (name in varying) for name in centre]
    sigma = {"a": 1.0} if len(outcomes) == 1 else {name: {"a": 1.0} for name in outcomes}
    return nb.population(
        structure,
        *formulas,
        theta=centre,
        omega={"sd": varying},
        sigma=sigma,
        residual=nb.Additive(),
        outcome=outcomes[0],
        levels="id",
    )


def predicted(structure, outcomes, grid, spread, people):
    """{outcome: array (people, points)} over a grid of the input, in a population with this spread."""
    (name,) = structure.inputs
    frame = pd.DataFrame({"id": np.repeat(np.arange(people), len(grid)), name: np.tile(grid, people)})
    frame[list(outcomes)] = 1.0
    time = "time" if name == "time" else None
    data = nb.Dataset.from_frame(frame, outcome=outcomes, levels="id", time=time, doses=doses(structure, people))
    found = nb.predict(population(structure, outcomes, spread), data, random_seed=1)["posterior"]
    return {name: found[f"f_{name}"].to_numpy().reshape(people, len(grid)) for name in outcomes}


def horizon(structure, outcomes):
    """The first of the horizons that holds nearly all that happens; None where nothing does."""
    grid = np.unique(np.concatenate([np.linspace(0, 20, 40), np.geomspace(20, HORIZONS[-1], 80), HORIZONS]))
    curves = [f[0] for f in predicted(structure, outcomes, grid, 1e-9, 1).values()]
    changes = [np.abs(np.diff(f)) / np.abs(np.diff(f)).sum() for f in curves if np.ptp(f) > 1e-3 * np.abs(f).max()]
    if not changes:
        return None
    happened = np.cumsum(np.max(changes, axis=0))
    share = {h: happened[np.searchsorted(grid, h) - 1] / happened[-1] for h in HORIZONS}
    endless = 1 - share[HORIZONS[-1] // 2] > LATE
    return ENDLESS if endless else float(next(h for h in HORIZONS if share[h] >= NEARLY))


def over(structure):
    """The input, a time with its unit."""
    (name,) = structure.inputs
    unit = time_of(structure.parameters) if name == "time" else ""
    return f"{name} ({unit})" if unit else name


def draw(structure, outcomes, last):
    """The figure: a panel for each outcome."""
    grid = np.linspace(0, last, POINTS)
    typical, people = (predicted(structure, outcomes, grid, s, n) for s, n in ((1e-9, 1), (SPREAD, PEOPLE)))
    figure, axes = plt.subplots(
        1, len(outcomes), figsize=(4.2 * len(outcomes), 2.8), squeeze=False, layout="constrained"
    )
    for axis, name in zip(axes[0], outcomes, strict=True):
        low, high = np.quantile(people[name], [0.05, 0.95], axis=0)
        axis.fill_between(grid, low, high, color=BLUE, alpha=0.2, linewidth=0, label="90 % of individuals")
        axis.plot(grid, typical[name][0], color=BLUE, label="typical")
        axis.set(xlabel=over(structure), ylabel="outcome" if name == "y" else name)
        if high.max() > WIDE * typical[name].max():
            axis.set(yscale="log", ylim=(max(low.min(), 1e-3 * typical[name].max()), None))
        axis.spines[["top", "right"]].set_visible(False)
    axes[0, 0].legend(frameon=False, fontsize=8)
    return figure


def file(kind):
    source = "".join(inspect.getsource(module) for module in (sys.modules[kind.__module__], sys.modules[__name__]))
    return CACHE / f"{kind.__name__}-{hashlib.sha256(source.encode()).hexdigest()[:16]}.png"


def picture(kind, draw=True):
    """The picture of a class as a PNG file, drawn now or before; empty where there is no curve to draw."""
    if draw and not file(kind).exists():
        kept(file(kind), drawn(kind()))
    return file(kind).read_bytes() if file(kind).exists() else b""


def drawn(structure):
    outcomes = outcome_names(structure) or ("y",)
    last = horizon(structure, outcomes) if drawable(structure) else None
    if last is None:
        return b""
    figure, content = draw(structure, outcomes, last), io.BytesIO()
    figure.savefig(content, format="png", dpi=110)
    plt.close(figure)
    return content.getvalue()
