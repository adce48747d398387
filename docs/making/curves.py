"""A picture of a zoo class: what it predicts at typical values, and the band of ninety people in a hundred."""

import hashlib
import inspect
import io
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import nlmebayes as nb
from making.files import CACHE, kept
from nlmebayes.parameter.parameter import Log, Logit
from nlmebayes.structure.compartments import outcome_names

PEOPLE, POINTS = 200, 81
SPREAD = 0.3  # SD of every effect between people, on its log or logit scale
DOSE = 300.0  # of a class that takes doses, in its own unit of amount
HORIZONS = (5, 10, 24, 50, 100, 200, 400, 1000, 2000)  # of which the first is drawn that holds nearly all that happens


def drawable(structure):
    """Whether it is a curve over one input, with a typical value for every parameter."""
    return len(structure.inputs) == 1 and all(p.typical is not None for p in structure.parameters)


def records(structure, outcomes, last, people):
    """People who are seen over the input, up to its last value, and the dose that they get."""
    (name,) = structure.inputs
    grid = np.linspace(0, last, POINTS)
    frame = pd.DataFrame({"id": np.repeat(np.arange(people), POINTS), name: np.tile(grid, people)})
    frame[list(outcomes)] = 1.0
    doses = pd.DataFrame({"id": np.arange(people), "time": 0.0, "amt": DOSE})
    time = {"time": "time"} if name == "time" else {}
    return nb.Dataset.from_frame(
        frame, outcome=outcomes, levels="id", **time, doses=doses if hasattr(structure, "predicted") else None
    )


def predicted(structure, outcomes, last, spread, people):
    """{outcome: array (people, points)} of a population with this spread."""
    data = records(structure, outcomes, last, people)
    centre = {p.name: p.typical for p in structure.parameters}
    varying = {p.name: spread for p in structure.parameters if isinstance(p.scale, Log | Logit) and spread}
    scatter = {"a": 1.0} if len(outcomes) == 1 else {name: {"a": 1.0} for name in outcomes}
    formulas = [f"{name} ~ 1" + " + (1|id)" * (name in varying) for name in centre]
    tree = nb.population(
        structure, *formulas, theta=centre, omega={"sd": varying}, sigma=scatter, outcome=outcomes[0], levels="id"
    )
    found = nb.predict(tree, data, random_seed=1)["posterior_predictive"]
    return {name: found[f"f_{name}"].to_numpy().reshape(people, POINTS) for name in outcomes}
