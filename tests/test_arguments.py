"""Every public function answers a bad argument within a second, in one sentence of the library's own that names it."""

import inspect
import time
import tomllib
import traceback
from dataclasses import dataclass, field
from pathlib import Path

import calls
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pymc as pm
import pytest
import xarray as xr
from calls import CALLS, NONSENSE, REST, called, mutations, public
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import nlmebayes as nb
from nlmebayes import infer
from nlmebayes.app import toml
from nlmebayes.library import HOME, read_population

PUBLIC = dict(public())
ELSEWHERE = ("nlmebayes.structure", "nlmebayes.data", "nlmebayes.storage", "nlmebayes.solver")  # rooms of other doors
WANTED = {name: f for name, f in PUBLIC.items() if not f.__module__.startswith(ELSEWHERE)}
MADE = ("build", "fit", "sampler")  # whose results are no values to compare
OWN = Path(nb.__file__).parent
SECOND = 1.0


class Reached(Exception):
    """All arguments were taken."""


@pytest.fixture(autouse=True)
def nothing_is_compiled(monkeypatch):
    def reached(*_):
        raise Reached

    monkeypatch.setattr(infer, "pilot", reached)


def answered(function, given):
    """The result of a call, or its refusal, which must be one line of the library's own, and come soon."""
    start = time.process_time()
    try:
        return called(function, given), None
    except Reached:
        return "reached", None
    except ValueError as error:
        where = Path(traceback.extract_tb(error.__traceback__)[-1].filename)
        assert isinstance(error, nb.ModelError | nb.DataError | nb.FormulaError) or OWN in where.parents, repr(error)
        assert str(error).count("\n") == 0 and len(str(error)) > 10
        assert time.process_time() - start < SECOND
        return None, str(error)
    finally:
        plt.close("all")


def same(one, other):
    """Whether two results are the same values."""
    if isinstance(one, xr.DataTree):
        return all(one[name].to_dataset().identical(other[name].to_dataset()) for name in one.children)
    if isinstance(one, pd.DataFrame | xr.Dataset):
        return one.equals(other)
    if isinstance(one, plt.Figure | pm.Model | np.ndarray):
        return type(one) is type(other)
    if isinstance(one, nb.Average | nb.Forecasts | nb.Retrospect):
        return one.table.equals(other.table)
    if type(one).__eq__ is object.__eq__ or isinstance(one, nb.Report):
        return type(one) is type(other)
    return one == other


def missing(result):
    """How many numbers of a result are missing."""
    if isinstance(result, xr.DataTree):
        kept = ("posterior", "posterior_predictive", "prior", "prior_predictive", "log_likelihood")
        groups = [result[name].to_dataset() for name in kept if name in result.children]
        return sum(int(x.isnull().sum()) for group in groups for x in group.values() if x.dtype.kind == "f")
    table = result if isinstance(result, pd.DataFrame) else getattr(result, "table", None)
    return 0 if table is None else int(table.select_dtypes("number").isna().sum().sum())


@pytest.fixture(scope="module")
def valid():
    """The results of the valid calls, made once."""
    found = {}

    def result(name):
        if name not in found:
            found[name], refusal = answered(WANTED[name], CALLS[name]())
            assert refusal is None, refusal
        return found[name]

    return result


def test_every_public_function_has_a_valid_call():
    needed = {name for name, f in WANTED.items() if inspect.signature(f).parameters}
    assert needed == set(CALLS)


@pytest.mark.parametrize("name", CALLS)
def test_a_valid_call_is_taken(name, valid):
    valid(name)


def positional(function):
    """The name of the arguments of any number."""
    return next((n for n, p in inspect.signature(function).parameters.items() if p.kind is p.VAR_POSITIONAL), "")


def is_nonsense(value):
    return any(value is each for each in NONSENSE)


def judged(call, valid):
    """A call with another value is refused by name, or its result is that of the canonical spelling."""
    function, value = WANTED[call.name], call.value
    result, refusal = answered(function, call.given)
    if refusal is not None:
        assert call.kind != "spelling", f"{call} is refused: {refusal}"
        inner = [*value] if isinstance(value, dict | list | tuple) else []
        place = call.place.replace(REST, positional(function)).removesuffix("s")
        words = [place, *(str(each) or repr(each) for each in (value, *inner))]
        assert any(word in refusal for word in words), f"{call} is not named: {refusal}"
        return
    assert call.kind != "unknown" and not is_nonsense(value), f"{call} is taken"
    if call.kind == "spelling":
        assert same(result, valid(call.name)), f"{call} is another value"
    assert missing(result) <= missing(valid(call.name)), f"{call} gives missing values"


cases = st.sampled_from(list(CALLS)).flatmap(lambda name: mutations(name, WANTED[name]))
QUIET = {"deadline": None, "suppress_health_check": list(HealthCheck), "database": None}


@settings(max_examples=140, **QUIET)
@given(case=cases)
def test_a_bad_argument_is_refused_by_name(case, valid):
    judged(case, valid)


# --- trees and files -------------------------------------------------------------------------------------------------

READERS = {
    "predict": lambda tree: nb.predict(None, tree, random_seed=1), "forecaster": lambda tree: nb.forecaster(None, tree),
    "check": lambda tree: nb.check(None, tree), "summary": lambda tree: nb.summary(tree),
    "pooling": lambda tree: nb.pooling(tree), "partition": lambda tree: nb.partition(tree, draws=5),
}  # fmt: skip
READERS_OF_FORECASTS = {
    "predict": READERS["predict"], "summary": READERS["summary"],
    "recommend": lambda tree: nb.recommend(tree, nb.Regimen(100, 24, 12), nb.Trough(1, 4)),
    "next_sample": lambda tree: nb.next_sample(tree, [30.0], "cl", replicates=5),
    "update": lambda tree: nb.update(tree, calls.later(), draws=5, proposals=50, rounds=0),
}  # fmt: skip


@st.composite
def damaged(draw, tree):
    """A tree without a group, a variable, an attribute or a part of its JSON, or with values that are none."""
    tree = tree.copy()
    kind = draw(st.sampled_from(["group", "variable", "missing", "attribute", "json", "dim"]))
    group = draw(st.sampled_from(["posterior", "dataset", *(name for name in tree.children if name != "training")]))
    if kind == "group":
        del tree[group]
    elif kind in ("attribute", "json"):
        attrs = draw(st.sampled_from([tree.attrs, tree["dataset"].attrs]))
        name = draw(st.sampled_from(list(attrs)))
        text = attrs.pop(name)
        if kind == "json":
            attrs[name] = draw(st.sampled_from(["", "{", "[1]", "null", "3", text[: len(text) // 2], text[:-1], "{}"]))
    else:
        found = tree[group].to_dataset()
        name = draw(st.sampled_from([n for n in found.data_vars if not n.startswith("f_")] or [None]))
        if kind == "variable" and name:
            found = found.drop_vars(name)
        elif kind == "missing" and name and found[name].dtype.kind == "f":
            found[name] = found[name] * np.nan
        elif kind == "dim" and name and group != "dataset" and found[name].size and found[name].ndim:
            found[name] = found[name].isel({found[name].dims[-1]: 0}, drop=True)
        tree[group] = xr.DataTree(found)
    return Damaged(kind, group, tree)


@dataclass(frozen=True)
class Damaged:
    """A tree and what was done to it."""

    kind: str
    group: str
    tree: xr.DataTree = field(repr=False)


def read(name, tree):
    """The answer to a damaged tree is a refusal, or that to the whole one with no number missing."""
    result, refusal = answered((READERS | READERS_OF_FORECASTS)[name], {"tree": tree})
    return refusal is not None or missing(result) == 0 or isinstance(result, nb.Report | pd.DataFrame)


def of(readers, tree):
    return st.deferred(lambda: st.tuples(st.sampled_from(list(readers)), damaged(tree())))


fits, forecasts = of(READERS, calls.tree), of(READERS_OF_FORECASTS, calls.forecast)


def read_whole(case):
    name, damage = case
    assert read(name, damage.tree), f"{name}: missing values"


@settings(max_examples=30, **QUIET)
@given(case=fits | forecasts)
def test_a_damaged_tree_is_refused(case):
    read_whole(case)


@st.composite
def papers(draw):
    """The tables of a published model with one part missing, another, or unknown."""
    said = toml_of(draw(st.sampled_from(nb.published_names())))
    return draw(calls.inside(said))


def toml_of(name):
    return tomllib.loads((HOME / f"{name}.toml").read_text(encoding="utf-8"))


def writable(value):
    """What TOML can hold of a value."""
    if isinstance(value, dict):
        return {str(k): writable(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [writable(v) for v in value]
    return value if isinstance(value, bool | int | float | str) else str(value)


def written(said):
    """TOML of tables on one line each."""
    tables = writable(said) if isinstance(said, dict) else {"structure": str(said)}
    return "\n".join(f"{toml._key(key)} = {toml._value(value)}" for key, value in tables.items())


def published(said, folder):
    path = folder / "paper.toml"
    path.write_text(written(said), encoding="utf-8")
    result, refusal = answered(read_population, {"path": path})
    assert (refusal and "paper.toml" in refusal) or missing(result) == 0


@settings(max_examples=30, **QUIET)
@given(said=papers())
def test_a_published_model_with_another_part_is_refused_in_one_line(said, tmp_path_factory):
    published(said, tmp_path_factory.mktemp("toml"))


# --- the same two thousand times -------------------------------------------------------------------------------------


@pytest.mark.arguments
@settings(max_examples=1500, **QUIET)
@given(case=cases)
def test_many_bad_arguments_are_refused_by_name(case, valid):
    judged(case, valid)


@pytest.mark.arguments
@settings(max_examples=250, **QUIET)
@given(case=fits | forecasts)
def test_many_damaged_trees_are_refused(case):
    read_whole(case)


@pytest.mark.arguments
@settings(max_examples=250, **QUIET)
@given(said=papers())
def test_many_published_models_are_refused_in_one_line(said, tmp_path_factory):
    published(said, tmp_path_factory.mktemp("toml"))
