"""Studies that were not run: measurements of planned records drawn from a population, with the truth beside them."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from nlmebayes.data.dataset import Dataset
from nlmebayes.data.limits import limited, quantified
from nlmebayes.design.design import Design as Planned
from nlmebayes.errors import ModelError
from nlmebayes.evaluation import storage
from nlmebayes.evaluation.evaluator import Draws, effects, evaluator, middle
from nlmebayes.evaluation.measurement import measure
from nlmebayes.evaluation.prediction import unsolved
from nlmebayes.formula.design import Design, resolve

SEEDS = 2**31


@dataclass(frozen=True, eq=False)
class Plan:
    """What is planned: ``dataset(seed)``, the records of one study; ``measured(data, **values)``, these with what was
    measured, by outcome; ``words``, what tells it from other plans."""

    dataset: Callable
    measured: Callable
    words: str


@dataclass(frozen=True, eq=False)
class Simulated:
    """A study drawn from a population of one draw, with the effects by level (group, effect); its design is resolved in
    the state of the training data."""

    data: Dataset
    design: Design
    population: Draws
    eta: dict


def plan_of(known, design, lloq=None, uloq=None):
    """The `Plan` of a `Design`, or of a `Dataset` with its limits of quantification.

    Raises
    ------
    ModelError
        Limits of a design, which has its own; a dataset with censored records, whose limits nobody said, or with times
        to an event, of which it does not say until when they were followed.
    """
    if isinstance(design, Planned):
        if lloq is not None or uloq is not None:
            raise ModelError("simulate_studies: a Design has its own limits; write Arm(..., lloq=)")
        return Plan(partial(design.dataset, known.tree), design.measured, repr(design))
    for name in design.outcomes:
        if known.model.residual_of(name).folds:
            raise ModelError(
                f"simulate_studies: {name} is a time to an event; give a Design, whose times are the ends of follow-up"
            )
    censored = design.observations["lower"].notna()
    if censored.any() and lloq is None and uloq is None:
        raise ModelError(
            f"simulate_studies: {censored.sum()} records are censored, and simulated ones have no limit: give lloq= or "
            "uloq="
        )
    words = repr([storage.stored(design).to_dict(), lloq, uloq])
    return Plan(lambda seed: design, partial(_measured, lloq, uloq), words)


def drawn(known, plan, draws, rng):
    """`Simulated` individuals on planned records, without measurements, from one of ``draws``."""
    data = plan.dataset(int(rng.integers(SEEDS)))
    design = resolve(known.model, data, known.training)
    population = draws.take(rng.integers(draws.size, size=1))
    population = replace(population, sigma={name: population.sigma.get(name, {}) for name in data.outcomes})
    eta = effects(design, population, rng)
    return Simulated(data, design, population, {name: x[0] for name, x in eta.items()})


def simulated(known, plan, draws, rng):
    """`Simulated` study of a `Fitted` tree's model on planned records, from one of ``draws``.

    Raises
    ------
    ModelError
        A record without a prediction.
    """
    study = drawn(known, plan, draws, rng)
    eta = {name: x[None] for name, x in study.eta.items()}
    f = evaluator(known.model, study.design)(study.population.theta, eta)[1]
    for line in unsolved(study.design, f):
        raise ModelError(line)
    values, followed = {}, {}
    for o in study.design.outcomes:
        residual, s = known.model.residual_of(o.name), study.population.sigma[o.name]
        values[o.name] = measure(residual, f[o.name], s, rng, study.design.positive, o)[0]
        if residual.folds:
            frame = study.data.observations
            followed[o.name] = frame.loc[frame["outcome"] == o.name, study.data.time].to_numpy(float)
            values[o.name] = np.minimum(values[o.name], followed[o.name])
    data = _ended(plan.measured(study.data, **values), followed)
    return replace(study, data=data, design=resolve(known.model, data, known.training))


def _ended(data, followed):
    """The data with events that had not happened by the end of follow-up, by outcome, censored there."""
    frame = data.observations.copy()
    for name, end in followed.items():
        late = frame.index[frame["outcome"] == name][frame["value"][frame["outcome"] == name] == end]
        frame.loc[late, "lower"], frame.loc[late, "upper"] = frame["value"][late], np.inf
    return replace(data, observations=frame)


def drawable(known, *, each):
    """`Draws` of the population that studies come from, ``each`` from another one, or all from their mean."""
    draws = replace(known.draws_of(known.outcomes), eta={}, groups={})
    return draws if each else middle(draws)


def _measured(lloq, uloq, data, **values):
    """A dataset with measurements by outcome, those beyond the limits as ``data.blq`` says."""
    found = data.with_values(**values).observations.assign(lower=np.nan, upper=np.nan)
    low, high = quantified(lloq, uloq, found, data.outcomes, data.source)
    none = found["value"] * 0.0
    found = limited(found, none, none * np.nan, low, high, data.blq, {"limit": "limit"}, data.source)
    left_out = (found["lower"] <= 0) & (data.blq == "M1")
    return replace(data, observations=found[~left_out].reset_index(drop=True))
