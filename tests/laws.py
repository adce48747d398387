"""Laws as functions of numbers, with their slopes, beside plain NumPy and exact arithmetic."""

from dataclasses import dataclass
from decimal import Decimal, localcontext
from functools import cache
from itertools import pairwise

import numpy as np
import pandas as pd
import pytensor
import pytensor.tensor as pt
from hypothesis import settings

from model_zoo import OneCompartment
from nlmebayes.data.dataset import Dataset
from nlmebayes.evaluation.evaluator import evaluator
from nlmebayes.formula.design import resolve
from nlmebayes.model.model import Model
from nlmebayes.outcomes.residual import Additive
from nlmebayes.parameter.parameter import Parameter
from nlmebayes.structure.stable import bateman
from nlmebayes.structure.structure import Named
from nlmebayes.structure.superposition import Superposition

quick = settings(deadline=None, max_examples=150)
ORAL, BOLUS = OneCompartment("first-order", flip_flop=True), OneCompartment()


def compiled(expression, names, mode="FAST_COMPILE"):
    """Values and slopes (by name) of an expression of named vectors, evaluated without compilation."""
    at = {name: pt.dvector(name) for name in names}
    value = expression(at)
    slopes = pytensor.grad(value.sum(), list(at.values()), disconnected_inputs="ignore")
    compute = pytensor.function(list(at.values()), [value, *slopes], mode=mode, on_unused_input="ignore")

    def evaluate(**values):
        arrays = np.broadcast_arrays(*(np.atleast_1d(np.asarray(values[name], dtype=float)) for name in names))
        found = compute(*arrays)
        return found[0], dict(zip(names, found[1:], strict=True))

    return evaluate


@cache
def _unit_doses(structure):
    """Predictions and slopes of units that each have a dose of 1 at time 0 and one record, one outcome."""
    names = [p.name for p in structure.parameters]
    phi, time = {name: pt.dvector(name) for name in names}, pt.dvector("time")
    each = pt.arange(time.size)
    pairs, zero = pt.stack([each, each], axis=1), pt.zeros_like(time)
    courses = pt.stack([each, each + 1, each, each + 1, -pt.ones_like(each)], axis=1)
    x = {
        "timeline_courses": courses, "timeline_records": pt.stack([time, zero + 1], axis=1),
        "timeline_of_record": pairs, "timeline_doses": pt.stack([zero, zero, zero + 1, zero, zero], axis=1),
        "timeline_of_dose": pt.stack([each, pt.zeros_like(each)], axis=1), "time_y": time, "unit_y": each,
        "place_y": each,
    }  # fmt: skip
    value = structure.predict(Named(**phi), Named(**x), ("y",))["y"]
    slopes = pytensor.grad(value.sum(), list(phi.values()))
    return names, pytensor.function([*phi.values(), time], [value, *slopes], mode="FAST_COMPILE")


def response(structure):
    """The response to a unit bolus and its slopes in the parameters, as a function of parameters and ``t``."""
    names, compute = _unit_doses(structure)

    def evaluate(**values):
        found = compute(*np.array(np.broadcast_arrays(*(np.atleast_1d(values[n]) for n in (*names, "t"))), dtype=float))
        return found[0], dict(zip(names, found[1:], strict=True))

    return evaluate


@dataclass(frozen=True)
class BolusResponse(Superposition):
    """One compartment after boluses, dose by dose: the twin of `OneCompartment`."""

    parameters = (Parameter("cl", "L/h"), Parameter("v", "L"))

    def response(self, p, t):
        return pt.exp(-p.cl / p.v * t) / p.v


@dataclass(frozen=True)
class OralResponse(Superposition):
    """One compartment with first-order absorption, dose by dose."""

    parameters = (Parameter("cl", "L/h"), Parameter("v", "L"), Parameter("ka", "1/h"))

    def response(self, p, t):
        return p.ka / p.v * bateman(p.ka, p.cl / p.v, t)


@cache
def curve(structure, mode="FAST_COMPILE"):
    """A curve and its slopes, as a function of parameters and inputs."""
    names = [p.name for p in structure.parameters]
    return compiled(
        lambda at: structure.curve(Named(**{n: at[n] for n in names}), Named(**{n: at[n] for n in structure.inputs})),
        (*names, *structure.inputs),
        mode,
    )


def predicted(structure, times, doses, *, outcome="y", **phi):
    """Predictions for one subject with the given doses, through formulas and data.

    ``doses`` are (time, amount), or a dict of columns as in `Dataset.from_frame`; ``phi`` holds numbers, or draws of
    them, which become the first axis.
    """
    data = dosed(times, doses, outcome)
    model = Model(structure, *(f"{p.name} ~ 1" for p in structure.parameters), residual=Additive())
    theta = {p.name: np.atleast_2d(p.scale.forward(np.asarray(phi[p.name]))).T for p in structure.parameters}
    found = evaluator(model, resolve(model, data))(theta, {})[1][outcome]
    return found if np.ndim(next(iter(phi.values()))) else found[0]


def dosed(times, doses, outcome="y"):
    """A `Dataset` of one subject."""
    frame = pd.DataFrame({"id": 1, "time": np.asarray(times, dtype=float), outcome: 0.0})
    given = doses if isinstance(doses, dict) else dict(zip(("time", "amt"), np.reshape(doses, (-1, 2)).T, strict=True))
    return Dataset.from_frame(
        frame, outcome=outcome, time="time", levels="id", doses=pd.DataFrame(given).assign(id=1), sort=True,
        duplicates="keep",
    )  # fmt: skip


def area(function, edges):
    """Integral by Gauss-Legendre quadrature with 24 points between neighbouring edges."""
    x, weight = np.polynomial.legendre.leggauss(24)
    low, half = np.asarray(edges[:-1])[:, None], np.diff(edges)[:, None] / 2
    at = low + half * (1 + x)
    return float((weight * half * np.reshape(function(at.ravel()), at.shape)).sum())


def extrapolated_slope(function, x, relative=1e-3):
    """Slope of a smooth function at x > 0 by central differences of three steps, extrapolated twice."""
    found = [(function(x + d) - function(x - d)) / (2 * d) for d in x * relative / np.array([1, 2, 4])]
    first = [(4 * b - a) / 3 for a, b in pairwise(found)]
    return (16 * first[1] - first[0]) / 15


def dosed_slopes(structure, times, doses, outcome, **phi):
    """Of the sum of the predictions in the log of each parameter: the gradient, and differences."""
    design = resolve(
        Model(structure, *(f"{name} ~ 1" for name in phi), residual=Additive()), dosed(times, doses, outcome)
    )
    x = Named(**{name: value for name, (value, _) in structure.arrays(design).items()})
    p = {name: pt.dvector(name) for name in phi}
    total = structure.predict(Named(**p), x, (outcome,))[outcome].sum()
    gradient = pytensor.grad(total, list(p.values()))
    compute = pytensor.function(list(p.values()), [total, *gradient], mode="FAST_COMPILE")

    def at(**change):
        return compute(*([value] for value in (phi | change).values()))

    wanted = [phi[n] * extrapolated_slope(lambda value, n=n: at(**{n: value})[0], phi[n]) for n in phi]
    return np.concatenate(at()[1:]) * list(phi.values()), np.array(wanted)


def response_slopes(structure, **at):
    """Slopes of the response to a unit bolus at one point in the logarithm of each parameter, relative to the
    response, beside those of differences."""
    value, found = response(structure)(**at)
    wanted = {n: extrapolated_slope(lambda x, n=n: response(structure)(**at | {n: x})[0], at[n]) for n in found}
    scale = np.array([at[n] for n in found]) / value
    return np.concatenate(list(found.values())) * scale, np.concatenate(list(wanted.values())) * scale


def parameter_names(structure):
    return [p.name for p in structure.parameters]


def random_point(structure, seed, size=50):
    """Parameters around their typical values and inputs from 0 up, by name."""
    rng = np.random.default_rng(seed)
    point = {}
    for p in structure.parameters:
        middle = 0.0 if p.typical is None else float(p.scale.forward(p.typical))
        spread = (p.spread or p.scale.spread or 1.0) * 0.5
        point[p.name] = np.asarray(
            p.scale.inverse(pt.as_tensor(rng.normal(middle, spread, size))).eval(mode="FAST_COMPILE")
        )
    return point | {name: rng.uniform(0, 30, size) for name in structure.inputs}


def values(structure, law):
    """Values of a curve at random points, and those of its law in NumPy."""
    at = random_point(structure, 4)
    return curve(structure)(**at)[0], law(**at)


def slopes(structure, law):
    """Slopes of a curve in each parameter (rows) at random points, and the finite differences of its law."""
    at = random_point(structure, 5)
    _, found = curve(structure)(**at)
    differences = []
    for name in parameter_names(structure):
        h = 1e-6 * np.maximum(np.abs(at[name]), 1e-3)
        up, down = (law(**(at | {name: at[name] + step})) for step in (h, -h))
        differences.append((up - down) / (2 * h))
    return np.stack([found[name] for name in parameter_names(structure)]), np.stack(differences)


def records(structure, law):
    """Predictions of two subjects with their own parameters and three records each, and those of the law."""
    inputs = {name: [0.0, 2.0, 9.0] * 2 for name in structure.inputs}
    frame = pd.DataFrame({"id": np.repeat(["u", "w"], 3), "y": 1.0} | inputs)
    data = Dataset.from_frame(frame, outcome="y", levels="id", inputs=structure.inputs)
    model = Model(
        structure,
        *(f"{p.name} ~ 0 + id" for p in structure.parameters),
        inputs={n: n for n in structure.inputs},
        residual=Additive(),
    )
    at = {name: value for name, value in random_point(structure, 6, 2).items() if name in parameter_names(structure)}
    theta = {p.name: np.atleast_2d(p.scale.forward(at[p.name])) for p in structure.parameters}
    _, f, _ = evaluator(model, resolve(model, data))(theta, {})
    of_record = {name: value[[0, 0, 0, 1, 1, 1]] for name, value in at.items()}
    return f["y"][0], law(**of_record, **{n: frame[n].to_numpy() for n in inputs})


def exact_bateman(a, b, t):
    """(exp(-b t) - exp(-a t)) / (a - b) in 60 digits, for floats or Decimals."""
    with localcontext(prec=60):
        a, b, t = +Decimal(a), +Decimal(b), +Decimal(t)  # the sign rounds to the precision of the context
        return t * (-a * t).exp() if a == b else ((-b * t).exp() - (-a * t).exp()) / (a - b)


def exact_slope(function, arguments, position):
    """Central difference with a step of 1e-18, which 60 digits can afford."""
    with localcontext(prec=60):
        at = [Decimal(x) for x in arguments]
        step = at[position] * Decimal("1e-18") or Decimal("1e-18")
        up, down = (function(*at[:position], at[position] + s, *at[position + 1 :]) for s in (step, -step))
        return (up - down) / (2 * step)


def exact_amounts(matrix, h, amounts, inputs):
    """Amounts after a time ``h`` of x' = matrix x + inputs, numbers or Decimals, by its exponential in 100 digits."""
    n = len(amounts)
    with localcontext(prec=100):
        rows = [(*row, u) for row, u in zip(matrix, inputs, strict=True)]
        whole = [[Decimal(x) * Decimal(h) for x in row] for row in (*rows, (0.0,) * (n + 1))]
        largest = max((abs(x) for row in whole for x in row[:n]), default=Decimal(0))
        halvings = max(0, int(np.ceil(np.log2(float(largest) + 1e-300))) + 4)
        small = [[x / 2**halvings for x in row] for row in whole]
        found = term = [[Decimal(int(i == j)) for j in range(n + 1)] for i in range(n + 1)]
        for k in range(1, 40):
            term = [[x / k for x in row] for row in _product(small, term)]
            found = [[x + y for x, y in zip(*rows, strict=True)] for rows in zip(found, term, strict=True)]
        for _ in range(halvings):
            found = _product(found, found)
        at = [*map(Decimal, map(float, amounts)), Decimal(1)]
        return np.array([float(sum(x * y for x, y in zip(row, at, strict=True))) for row in found[:n]])


def _product(one, other):
    columns = list(zip(*other, strict=True))
    return [
        [sum((x * y for x, y in zip(row, column, strict=True) if x and y), Decimal(0)) for column in columns]
        for row in one
    ]
