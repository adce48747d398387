"""Every public function answers a bad argument within a second, in one sentence of the library's own that names it."""

import inspect
import time
import traceback
from pathlib import Path

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
    names = (n for n, p in inspect.signature(function).parameters.items() if p.kind is p.VAR_POSITIONAL)
    return next(names, "").removesuffix("s")


def is_nonsense(value):
    return any(value is each for each in NONSENSE)


def judged(case, valid):
    """One call with another value: refused by name, or its result is that of the canonical spelling."""
    name, (kind, arguments, place) = case
    result, refusal = answered(WANTED[name], arguments)
    if refusal is not None:
        assert kind != "spelling", f"{name}: {place} in another spelling is refused: {refusal}"
        shown = arguments.get(place)
        inner = {str(each) for each in shown} if isinstance(shown, dict | list | tuple) else set()
        words = {place.replace(REST, positional(WANTED[name])), str(shown)} | inner
        assert any(word and word in refusal for word in words), f"{name}: {place} is not named: {refusal}"
        return
    assert kind != "unknown" and not is_nonsense(arguments.get(place)), f"{name}: {place} is taken"
    if kind == "spelling":
        assert same(result, valid(name)), f"{name}: {place} in another spelling is another value"
    assert missing(result) <= missing(valid(name)), f"{name}: missing values"


cases = st.sampled_from([name for name in WANTED if name in CALLS]).flatmap(
    lambda name: st.tuples(st.just(name), mutations(name, WANTED[name]))
)
QUIET = {"deadline": None, "suppress_health_check": list(HealthCheck), "database": None}


@settings(max_examples=150, **QUIET)
@given(case=cases)
def test_a_bad_argument_is_refused_by_name(case, valid):
    judged(case, valid)


@pytest.mark.arguments
@settings(max_examples=1600, **QUIET)
@given(case=cases)
def test_two_thousand_bad_arguments(case, valid):
    judged(case, valid)
