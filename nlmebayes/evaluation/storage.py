"""What a result tree must carry to be used in another process: the model statement and the dataset it saw.

The statement is stored as JSON: frozen dataclasses by module, class and fields. The dataset is stored as one group,
``dataset``, number for number, its frames side by side (``observations column time``, ...), so that the design of new
data can be evaluated in the state of the training data.
"""

import dataclasses
import json

import numpy as np
import pandas as pd
import xarray as xr

from nlmebayes.arguments import Tree, checked
from nlmebayes.data.dataset import Dataset
from nlmebayes.data.tidy import MEASUREMENT
from nlmebayes.errors import ModelError
from nlmebayes.evaluation import nouns
from nlmebayes.files import versions
from nlmebayes.files.text import read_json
from nlmebayes.model.build import assemble
from nlmebayes.model.model import Model
from nlmebayes.outcomes.residual import Residual
from nlmebayes.parameter.laws import Law
from nlmebayes.parameter.parameter import Link, Prior
from nlmebayes.structure.structure import Structure

STATEMENT, DATASET, TRAINING = "nlmebayes_model", "dataset", "training"
IMPUTED = "nlmebayes_imputed"  # covariates that a forecast drew, and the values at which its records stand
LAWS = "nlmebayes_priors"  # attribute of a tree: the priors of its fit
FRAMES = ("observations", "doses", "events")
MISSING = "\N{SYMBOL FOR NULL}"  # a missing label; NetCDF strings cannot be missing, and end at a true null


def plain(value):
    """JSON form of a model statement or a part of it."""
    if dataclasses.is_dataclass(value):
        values = [(f, getattr(value, f.name)) for f in dataclasses.fields(value)]
        fields = {f.name: plain(each) for f, each in values if each or not f.metadata.get("stored_if_any")}
        return {"class": nouns.name_of(type(value)), "fields": fields}
    if isinstance(value, Structure | Residual | Link):
        fields = {k: plain(v) for k, v in vars(value).items()}
        return {"class": nouns.name_of(type(value)), "fields": fields}
    if isinstance(value, dict):
        items = [[plain(k), plain(v)] for k, v in value.items()]
        return {"items": sorted(items, key=lambda item: json.dumps(item[0]))}
    if isinstance(value, tuple):
        return {"tuple": [plain(v) for v in value]}
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    return value


def statement(model):
    """The model as JSON text; refuses a structure that cannot be stored or compared."""
    try:
        hash(model.structure)
        return json.dumps(plain(model))
    except TypeError as error:
        raise ModelError(
            f"{type(model.structure).__name__} cannot be stored: {error}. Make it a @dataclass(frozen=True) with "
            "options that are numbers, texts and tuples of them"
        ) from error


def revive(stored):
    """The object of a JSON form; its classes are those that a file may name, see `nouns`."""
    if isinstance(stored, dict) and "items" in stored:
        return {revive(k): revive(v) for k, v in stored["items"]}
    if isinstance(stored, dict) and "tuple" in stored:
        return tuple(revive(v) for v in stored["tuple"])
    if not isinstance(stored, dict):
        return stored
    kind = nouns.named(stored["class"])
    fields = {k: revive(v) for k, v in stored["fields"].items()}
    if kind is Model:
        structure, formulas = fields.pop("structure"), fields.pop("formulas")
        return nouns.made(Model, fields, "the model of the tree", structure, *formulas)
    if kind is Prior:
        return Prior(fields["family"], dict(fields["parameters"]))
    return nouns.made(kind, fields, f"{kind.__name__} of the tree")


def stored_model(tree):
    """The `Model` a tree was made with."""
    if STATEMENT not in tree.attrs:
        raise ModelError("this tree was not made by fit, simulate or forecast: it holds no model statement")
    said = read_json(tree.attrs[STATEMENT], "the model statement of the tree")
    try:
        found = revive(said)
    except (KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"the model statement of the tree is damaged: {error}") from error
    if not isinstance(found, Model):
        raise ModelError("the model statement of the tree is damaged: it states no model")
    return found


def same_model(model, tree):
    """Refuse a model other than the tree's: its parameters would mean something else."""
    if statement(model) != tree.attrs.get(STATEMENT):
        raise ModelError(f"the tree was made with another model.\nThe tree's:\n{stored_model(tree)}\nGiven:\n{model}")


def written_laws(laws):
    """Laws as JSON."""
    return json.dumps([dataclasses.asdict(law) for law in laws])


def laws_of(tree, model, design):
    """The laws under which the draws of a tree were taken: those that it carries, or the model's on its data."""
    if LAWS not in tree.attrs:
        return assemble(model, design)[1].laws
    try:
        return [
            Law(**law | {"prior": Prior(law["prior"]["family"], law["prior"]["parameters"])})
            for law in json.loads(tree.attrs[LAWS])
        ]
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ModelError(f"the tree is damaged: its attribute {LAWS}: {error}; load it again, or fit anew") from error


def as_tree(groups):
    """DataTree of datasets by name, in this order."""
    tree = xr.DataTree()
    tree.children = {name: xr.DataTree(group) for name, group in groups.items()}  # `from_dict` copies each twice
    return tree


def attach(tree, model, data, training=None):
    """Add the statement, the dataset and, where it is another, the training dataset to a tree; returns the tree."""
    tree.attrs |= {STATEMENT: statement(model), versions.WRITTEN: versions.mark()}
    tree[DATASET] = xr.DataTree(stored(data))
    if training is not None and training is not data:
        tree[TRAINING] = xr.DataTree(stored(training))
    return tree


def attached(groups, model, data, training):
    """A tree of groups by name with the statement, the dataset, and the training dataset as `stored` gives it."""
    tree = as_tree(groups | {DATASET: stored(data), TRAINING: training})
    tree.attrs |= {STATEMENT: statement(model), versions.WRITTEN: versions.mark()}
    return tree


def stored_dataset(tree):
    """The `Dataset` whose records the tree's predictions are for."""
    return _revived(tree, DATASET)


@checked
def training_dataset(tree: Tree) -> Dataset:
    """The `Dataset` that the population was fitted to, in whose state designs are evaluated.

    Parameters
    ----------
    tree : DataTree
        From `fit`, `population` or `forecast`.

    Returns
    -------
    Dataset

    Raises
    ------
    ModelError
        The tree holds none.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> from model_zoo import VarianceComponents
    >>> tree = nb.fit(nb.Model(VarianceComponents()), nb.datasets.dyestuff(), method="ml")
    >>> nb.training_dataset(tree).outcomes
    ('Yield',)
    """
    return _revived(tree, TRAINING if TRAINING in tree.children else DATASET)


def difference(data, tree):
    """In words, where data are not those that a tree was fitted to; empty if they are."""
    ours, theirs = stored(data), stored(training_dataset(tree))
    if ours.attrs != theirs.attrs:
        return "other columns or options"
    for name, x in ours.data_vars.items():
        a, b = x.to_numpy(), theirs[name].to_numpy()
        if a.shape != b.shape:
            return f"{len(a)} {x.dims[0].replace('_', ' ')}s, {len(b)} there"
        same = (a == b) | ((a != a) & (b != b))
        if not same.all():
            frame, _, column = name.partition(" column ")
            at = int(np.argmin(same))
            return f"{frame}, column {column}, record {at + 1}: {a[at]} here, {b[at]} there"
    return ""


def stored(data):
    """A dataset as an xarray Dataset."""
    kind = {f.name: getattr(data, f.name) for f in dataclasses.fields(data) if f.name not in FRAMES}
    found, columns = {}, {}
    for name in FRAMES:
        frame = getattr(data, name)
        columns[name] = list(frame.columns)
        found |= {_stored_as(name, column): _variable(frame[column], f"{name}_record") for column in frame.columns}
    return xr.Dataset(found, attrs={"kind": json.dumps(kind), "columns": json.dumps(columns)})


def _revived(tree, name):
    """The `Dataset` of a group.

    Raises
    ------
    ModelError
        There is no such group, or it lacks something, or holds another thing in its place.
    """
    if name not in tree.children:
        raise ModelError("this tree was not made by fit, simulate or forecast: it holds no dataset")
    group = tree[name]
    try:
        kind, columns = (
            read_json(group.attrs[name], f"the dataset of the tree, {name},") for name in ("kind", "columns")
        )
        kind = {k: tuple(v) if isinstance(v, list) else v for k, v in kind.items()}
        frames = {frame: _frame(group, frame, columns[frame]) for frame in FRAMES}
        data = Dataset(**frames, **kind)
        held = ["row", *data.levels, *filter(None, [data.time]), *MEASUREMENT, *data.covariates, *data.inputs]
        data.observations[held]
        return data
    except (KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"the dataset of the tree is damaged: {error}") from error


def _frame(group, name, columns):
    found = {column: group[_stored_as(name, column)] for column in columns}
    for column, variable in found.items():
        if variable.dims != (f"{name}_record",):
            raise ModelError(f"the dataset of the tree is damaged: {name}, column {column}, is of another shape")
    return pd.DataFrame({column: _column(variable) for column, variable in found.items()})


def _stored_as(frame, column):
    """The name of a column in a tree, where a slash would part groups."""
    return f"{frame} column {column}".replace("/", "\N{DIVISION SLASH}")


def _variable(values, dim):
    attrs = {}
    if isinstance(values.dtype, pd.CategoricalDtype):
        attrs["categories"] = json.dumps(list(values.cat.categories))
        attrs["ordered"] = int(values.cat.ordered)
        values = values.astype(object)
    if values.dtype == object or not pd.api.types.is_numeric_dtype(values.dtype):
        values = np.array([MISSING if x is None or x != x else str(x) for x in values.tolist()], dtype=object)
        attrs["text"] = 1
    return xr.Variable((dim,), np.asarray(values), attrs, fastpath=True)


def _column(variable):
    values = variable.to_numpy()
    if variable.attrs.get("text"):
        values = np.array([None if v == MISSING else v for v in values.tolist()], dtype=object)
    if "categories" in variable.attrs:
        categories = read_json(variable.attrs["categories"], "the categories of the tree")
        values = pd.Categorical(values, categories=categories, ordered=bool(variable.attrs.get("ordered", 0)))
    return values
