"""What a tree says of itself, read once and handed on: its model, its data, its design, its draws."""

import json
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import xarray as xr

from nlmebayes.data.dataset import Dataset
from nlmebayes.errors import ModelError
from nlmebayes.evaluation import storage
from nlmebayes.evaluation.evaluator import draws_of
from nlmebayes.evaluation.imputation import filled, missing
from nlmebayes.formula.design import Design, resolve
from nlmebayes.model.build import coordinates
from nlmebayes.model.model import Model

REPORT = "nlmebayes_forecast"  # attribute of the tree of a forecast: what was found, as JSON
ESTIMATES = "estimates"  # group of a tree of maximum likelihood: estimates with their standard errors


@dataclass(frozen=True, eq=False)
class Fitted:
    """A tree of `fit`, `forecast` or `population`, with its model and the design of the data it was fitted to."""

    tree: xr.DataTree
    model: Model
    training: Design
    training_data: Dataset
    designs: dict = field(default_factory=dict)  # id of a dataset -> it, and its design

    @property
    def posterior(self):
        """The group, as a Dataset of xarray."""
        return self.tree["posterior"].to_dataset()

    @cached_property
    def data(self):
        """The `Dataset` whose records the predictions of the tree are for."""
        return storage.stored_dataset(self.tree) if storage.TRAINING in self.tree.children else self.training_data

    @cached_property
    def outcomes(self):
        """Names of what was measured where the tree was fitted."""
        return tuple(o.name for o in self.training.outcomes)

    def draws_of(self, outcomes):
        """`Draws` of the population, of the effects that the tree knows, and of the residuals of some outcomes."""
        return draws_of(self.posterior, self.training, self.model, outcomes)

    def design(self, data):
        """Of any data, in the state of the training data.

        Raises
        ------
        ModelError
            They hold an outcome that was not fitted.
        """
        if data is self.training_data:
            return self.training
        if id(data) not in self.designs:
            self.designs[id(data)] = data, self.resolved(data)
        return self.designs[id(data)][1]

    def resolved(self, data):
        """The design of data that are looked at once, and not kept."""
        self.same_outcomes(data)
        return resolve(self.model, data, self.training)

    def same_outcomes(self, data):
        """New data measure what the training data did."""
        for name in data.outcomes:
            if name not in self.outcomes:
                raise ModelError(
                    f"the outcome {name!r} is not one that was fitted: {', '.join(self.outcomes)}; rename it"
                )

    def completed(self, data):
        """The data of a patient with the covariates that his forecast imputed."""
        values = said(self.tree, storage.IMPUTED)
        return (
            filled(data, {column: values[name] for name, column in missing(data, values).items()}) if values else data
        )

    def before(self):
        """The same of a forecast with its prior in the place of its posterior: what was expected before the samples."""
        found = self.tree.copy()
        found["posterior"] = self.tree["prior"].copy()
        return replace(self, tree=found)

    @property
    def report(self):
        """What a forecast found; None of a tree that is none."""
        return said(self.tree, REPORT) if REPORT in self.tree.attrs else None


def fitted(tree, model=None):
    """A tree with what it states; ``model``, if one is given, must be the tree's.

    Raises
    ------
    ModelError
        The tree is of another model, has no posterior, or is not what the library wrote.
    """
    if "posterior" not in tree.children:
        groups = ", ".join(tree.children) or "none"
        raise ModelError(f"needs a tree from fit or forecast, with a posterior; this one has the groups {groups}")
    with _reading():
        if model is None:
            model = storage.stored_model(tree)
        else:
            storage.same_model(model, tree)
        data = storage.training_dataset(tree)
        found = Fitted(tree, model, resolve(model, data), data)
        _check_whole(found)
    return found


def said(tree, attribute, kind=dict):
    """What an attribute of a tree holds as JSON, a dict or another ``kind``; an empty one where there is none."""
    with _reading():
        found = json.loads(tree.attrs[attribute]) if attribute in tree.attrs else kind()
    if not isinstance(found, kind):
        raise ModelError(f"the tree is damaged: its attribute {attribute} holds {found!r}; load it again, or fit anew")
    return found


@contextmanager
def _reading():
    """What a damaged tree raises, in a sentence; the library's own refusals pass."""
    try:
        yield
    except (KeyError, TypeError, AttributeError, IndexError, ValueError) as error:
        if isinstance(error, ValueError) and type(error) not in (ValueError, json.JSONDecodeError):
            raise
        text = " ".join(str(error).split())
        raise ModelError(f"the tree is damaged, {type(error).__name__}: {text}; load it again, or fit anew") from error


def _check_whole(found):
    """A posterior has every variable of its population, and of the residuals of the outcomes of its own data, in its
    shape; these and the effects are finite."""
    posterior, model, design = found.posterior, found.model, found.training
    labels = {name: list(map(str, each)) for name, each in coordinates(design).items()}
    wanted = {f"theta_{name}": (f"{name}_term",) for name, matrix in design.fixed.items() if matrix.terms}
    wanted |= {f"omega_{level.name}": (f"{level.name}_effect",) for level in design.levels}
    for outcome in found.data.outcomes:
        for part in model.residual_of(outcome).priors(1.0):
            name = f"sigma_{outcome}_{part}"
            wanted[name] = (f"{name}_term",) if (outcome, part) in design.scales else ()
    for name, dims in wanted.items():
        if name not in posterior:
            raise ModelError(f"the tree is damaged: its posterior has no {name}; load it again, or fit anew")
        draws = {dim: posterior.sizes[dim] for dim in ("chain", "draw")}
        if dict(posterior[name].sizes) != draws | {dim: len(labels[dim]) for dim in dims}:
            raise ModelError(f"the tree is damaged: {name} has another shape; load it again, or fit anew")
    others = {f"{level.name}_effect_other" for level in design.levels}
    groups = () if storage.TRAINING in found.tree.children else ("unit", *(level.name for level in design.levels))
    for dim in sorted(others.union(groups, *wanted.values()) & {*posterior.coords}):  # draws are read by their places
        here = list(map(str, posterior[dim].to_numpy()))
        if here != labels[dim] and (dim not in groups or sorted(here) == sorted(labels[dim])):
            at = next((i for i, (a, b) in enumerate(zip(here, labels[dim], strict=False)) if a != b), 0)
            raise ModelError(
                f"the tree is damaged: number {at + 1} of its {dim} is {here[at]}, and its model's is "
                f"{labels[dim][at]}; load it again, or fit anew"
            )
    effects = {f"eta_{level.name}": (level.name, f"{level.name}_effect") for level in design.levels}
    each = effects | {p.name: ("unit",) for p in model.structure.parameters}
    for name in each.keys() & posterior.keys():
        dims = posterior[name].dims
        if {"chain", "draw"} - {*dims} or tuple(dim for dim in dims if dim not in ("chain", "draw")) != each[name]:
            raise ModelError(f"the tree is damaged: {name} has another shape; load it again, or fit anew")
    for name in (*wanted, *(name for name in each if name in posterior)):
        if not np.isfinite(posterior[name].to_numpy()).all():
            raise ModelError(f"the tree is damaged: {name} has missing values; load it again, or fit anew")
