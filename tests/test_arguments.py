"""Every public function answers a bad argument within a second, in one sentence of the library's own that names it."""

import inspect
import re
import time
import tomllib
import traceback
from dataclasses import dataclass, field, fields
from pathlib import Path

import calls
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pymc as pm
import pytest
import texts
import xarray as xr
from calls import CALLS, NONSENSE, REST, called, mutations, public
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import nlmebayes as nb
from model_zoo import LatentConstructs, LinearMixed, OneCompartment, ParametricSurvival
from nlmebayes.app import statement
from nlmebayes.evaluation import storage
from nlmebayes.files import toml
from nlmebayes.forecasting.options import Options
from nlmebayes.inference import sampler, starts
from nlmebayes.populations.library import HOME, read_population

PUBLIC = dict(public())
ELSEWHERE = ("nlmebayes.solver",)  # `seamless` marks an expression, which only a right-hand side has
WANTED = {
    name: f for name, f in PUBLIC.items() if not f.__module__.startswith(ELSEWHERE) and f is not nb.Named
}  # which takes anything under any name
MADE = ("build", "fit", "sampler")  # whose results are no values to compare
KINDS = nb.ModelError | nb.DataError | nb.FormulaError | nb.FileError | statement.StatementError
OWN = Path(nb.__file__).parent
SECOND = 1.0


class Reached(Exception):
    """All arguments were taken."""


@pytest.fixture(autouse=True)
def a_folder_of_its_own(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def nothing_is_compiled(monkeypatch):
    def reached(*_):
        raise Reached

    monkeypatch.setattr(sampler, "pilot", reached)


def answered(function, given):
    """The result of a call, or its refusal, which must be one line of the library's own, and come soon."""
    start = time.process_time()
    try:
        return called(function, given), None
    except Reached:
        return "reached", None
    except ValueError as error:
        where = Path(traceback.extract_tb(error.__traceback__)[-1].filename)
        assert isinstance(error, KINDS) or OWN in where.parents, repr(error)
        assert str(error).count("\n") == 0 and len(str(error)) > 10
        assert time.process_time() - start < SECOND
        return None, str(error)
    finally:
        plt.close("all")


def same(one, other):
    """Whether two results are the same values."""
    if isinstance(one, xr.DataTree):
        return all(one[name].to_dataset().identical(other[name].to_dataset()) for name in one.children)
    if isinstance(one, nb.Dataset):
        return storage.stored(one).identical(storage.stored(other))
    if isinstance(one, pd.DataFrame | xr.Dataset):
        return one.equals(other)
    if isinstance(one, plt.Figure | pm.Model | np.ndarray):
        return type(one) is type(other)
    if isinstance(one, nb.Average | nb.Forecasts | nb.Retrospect):
        return one.table.equals(other.table)
    if type(one).__eq__ is object.__eq__ or isinstance(one, nb.Diagnosis):
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
        words = [place, call.given.get("source", place), *(str(each) or repr(each) for each in (value, *inner))]
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


# --- what was taken once ----------------------------------------------------------------------------------------------


def stated(**changed):
    return lambda: nb.population(**CALLS["population"]() | changed)


def prior(name, *given, **values):
    return lambda: nb.build(nb.Model(OneCompartment(), priors={name: nb.Prior(*given, **values)}), calls.data())


def forecast(**options):
    return lambda: nb.forecast(calls.tree(), calls.patient(), **options)


def before(target):
    return lambda: nb.recommend(calls.forecast(), nb.Regimen(100.0, start=24.0, every=12.0), target)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (stated(sigma={"b": -0.1}), "sigma of b must be a number from 0 on .*; got -0.1"),
        (stated(sigma={"b": np.nan}), "sigma of b .*; got nan"),
        (stated(domain={"wt": (120.0, 40.0)}), "domain of wt: write .low, high., the lower first"),
        (stated(domain={"wt": ()}), "domain of wt"),
        (stated(uncertainty={"cl": -10.0}), "uncertainty of cl .*; got -10.0"),
        (stated(uncertainty={"cl": np.nan}), "uncertainty of cl .*; got nan"),
        (stated(theta={"cl": np.nan, "v": 40.0}), "theta of cl must be a finite number .*; got nan"),
        (stated(theta={"cl": {"Intercept": 3.0, "log(wt/70)": np.nan}, "v": 40.0}), "theta of cl of log.wt/70."),
        (stated(covariates={"wt": {"mean": 70.0, "sd": -1.0}}), "covariates of wt: sd .*; got -1.0"),
        (lambda: nb.Regimen(100.0, every=np.nan), "every must be a positive number or None; got nan"),
        (lambda: nb.Regimen(100.0, every=12.0, doses=2.5), "doses must be a whole number .*; got 2.5"),
        (lambda: nb.Trough(1.0, 4.0, time=np.nan), "time must be a finite number or None; got nan"),
        (lambda: nb.Trough(np.nan, 4.0), "low must be a finite number; got nan"),
        (lambda: nb.tablets(100.0, 250.0, 300.0, 450.0, most=50), "tablets: most=50 of 4 sizes make more than 100000"),
        (
            lambda: nb.regimens([100.0], start=0.0, every=1e-9, until=1e12),
            "doses must be a whole number from 1 to 100000",
        ),
        (before(nb.Trough(1.0, 4.0, time=10.0)), "is about times up to 10, before the regimen .* starts at 24"),
        (before(nb.AUC(1.0, 4.0, 0.0, 24.0)), "is about times up to 24, before the regimen"),
        (lambda: nb.Model(OneCompartment(), typical={"cl": -1.0}), "parameter cl: typical value -1 is outside"),
        (forecast(flatten=0.0), "flatten must be a positive number; got 0.0"),
        (forecast(half_life=np.nan), "half_life must be a positive number or None; got nan"),
        (forecast(draws=0), "draws must be a whole number from 1 to 10,000,000; got 0"),
        (forecast(method="nut"), "method must be 'auto', .* or 'nuts'; got 'nut'"),
        (prior("theta_cl", "Normal", mu=0.0, sigma=0.0), "prior of theta_cl: Normal.* is no distribution, .*sigma > 0"),
        (prior("theta_cl", "Poisson", mu=1.0), "prior Poisson: its values are whole numbers"),
        (prior("theta_cl", "Normal", mu=np.nan, sigma=1.0), "prior Normal: mu must be a number"),
        (prior("sigma_conc_a", "Normal", mu=0.0, sigma=1.0), "sigma_conc_a lies between 0 and inf"),
        (
            prior("omega_id", "Uniform", lower=-1.0, upper=1.0),
            "omega_id lies between 0 and inf",
        ),
        (
            lambda: nb.Model(OneCompartment(), residual="proportional"),
            "written nb.Proportional.*; got 'proportional'",
        ),
        (lambda: nb.Model(LatentConstructs(), residual={"f1": nb.Bernoulli()}), r"Bernoulli\(\) takes a probability"),
        (lambda: nb.Model(OneCompartment(), residual=nb.Beta()), r"Beta\(\) takes a probability.* can predict"),
        (lambda: nb.predict(calls.tree(), [1.0]), "data must be a Dataset, from .*, a DataFrame .*; got .1.0"),
        (lambda: nb.forecast(calls.tree(), pd.DataFrame()), "patient must be a Dataset, from .*; got a DataFrame"),
        (lambda: nb.forecast(calls.tree(), None), "patient must be a Dataset, from .*; got None"),
        (lambda: nb.fit(calls.model(), calls.data(), nope=1), "fit: no argument 'nope'; its arguments are model, data"),
        (lambda: nb.fit(calls.model(), calls.data(), maxdepth=-1), "nutpie does not take maxdepth=-1"),
        (lambda: nb.plot.vpc(calls.tree(), x="nope"), "no column 'nope' of numbers in the data for x=; there are"),
        (lambda: nb.plot.fits(calls.tree(), outcome="cp"), "no outcome 'cp' in the data; there are conc"),
        (lambda: nb.intervals(calls.tree()["posterior"]["cl"], 1.5), "ci_prob must be .*; got 1.5"),
        (lambda: nb.Parameter("k", spread=np.inf), "spread must be a positive number or None; got inf"),
        (lambda: nb.Logit(0.0, np.inf), "upper must be a finite number; got inf"),
    ],
)
def test_nonsense_is_refused_at_once(call, words):
    begun = time.process_time()
    with pytest.raises(nb.ModelError, match=words):
        call()
    assert time.process_time() - begun < SECOND


def test_a_probability_may_be_predicted():
    model = nb.Model(LatentConstructs(link="logit"), residual={"outcome": nb.Bernoulli()})
    assert model.residual_of("outcome") == nb.Bernoulli()


def test_measurements_without_scatter_are_refused_before_the_fit(monkeypatch):
    frame = pd.DataFrame({"id": np.repeat(list("abcde"), 4), "x": np.arange(20.0), "y": 2.0 + 3.0 * np.arange(20.0)})
    data = nb.Dataset.from_frame(frame, outcome="y", levels="id")
    monkeypatch.setattr(sampler, "pilot", starts.pilot)
    with pytest.raises(nb.ModelError, match=r"y: the measurements lie on the predictions .* no residual scatter"):
        nb.fit(nb.Model(LinearMixed(), "mu ~ 1 + x + (1|id)"), data)


def test_a_reference_that_cannot_be_is_asked_for():
    """A covariate of which nothing is said stands at what it is counted from, and the entry of an event time at 0."""
    formula, without = (f"cl ~ 1 + offset(log({x})) + (1|id)" for x in ("1 + 0.0154 * (crcl - 66)", "crcl - 66"))
    rest = {"theta": {"cl": 3.0, "v": 30.0}, "omega": {"sd": {"cl": 0.3}}, "sigma": {"b": 0.1}}
    with pytest.raises(nb.ModelError, match=r"state the covariates at which the model stands, reference={'crcl': "):
        nb.population(OneCompartment(), without, **rest)
    assert nb.population(OneCompartment(), without, **rest, reference={"crcl": 80.0})
    assert nb.population(OneCompartment(), formula, **rest)
    typical = {p.name: p.typical for p in ParametricSurvival().parameters}
    nb.population(
        ParametricSurvival(), theta=typical, omega={}, sigma={}, residual=nb.TimeToEvent("start"), outcome="event"
    )


# --- trees and files -------------------------------------------------------------------------------------------------

READERS = {
    "predict": lambda tree: nb.predict(tree, random_seed=1), "forecaster": lambda tree: nb.forecaster(tree),
    "check": lambda tree: nb.check(tree), "summary": lambda tree: nb.summary(tree),
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
        elif kind == "dim" and name and found[name].size and found[name].ndim:
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
    return refusal is not None or missing(result) == 0 or isinstance(result, nb.Diagnosis | pd.DataFrame)


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
    return value if isinstance(value, bool | int | float | str) else " ".join(str(value).split())


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


def of_text(text, folder):
    """What is read of a table of text, or a refusal that names the file."""
    path = folder / "table.csv"
    path.write_text(text, encoding="utf-8", newline="")
    data, refusal = answered(nb.Dataset.from_nonmem, {"data": path})
    if refusal is not None:
        assert "table.csv" in refusal
        return
    assert np.isfinite(data.observations[["time", "value"]]).all(axis=None)
    assert np.isfinite(data.doses[["time", "amount", "rate", "ii"]]).all(axis=None)
    cells = texts.cells(text)
    if cells is None:  # what a plain reader of cells parted by commas does not take
        return
    again, refusal = answered(nb.Dataset.from_nonmem, {"data": pd.DataFrame(cells[1:], columns=cells[0])})
    assert refusal is None, refusal
    for name in ("observations", "doses", "events"):
        pd.testing.assert_frame_equal(getattr(data, name), getattr(again, name))


@settings(max_examples=40, **QUIET)
@given(text=texts.tables())
def test_an_event_table_of_another_text_is_read_as_written_or_refused(text, tmp_path_factory):
    of_text(text, tmp_path_factory.mktemp("csv"))


def statements():
    """The tables of a run of an event table, and of one of a tidy table."""
    event = {
        "file": "events.csv", "levels": ["id"], "outcome": "conc", "covariates": ["WT", "SEX"], "inputs": ["occ"],
        "sort": False, "duplicates": "keep", "lloq": 0.1, "uloq": {"conc": 100.0}, "blq": "M3",
    }  # fmt: skip
    tidy = {
        "file": "tidy.csv", "tidy": True, "levels": ["id"], "outcome": ["conc"], "time": "time", "doses": "doses.csv",
        "amount": "amt", "subject": "id", "covariates": ["wt"], "inputs": ["crp"], "censored": "below", "limit": "low",
        "lloq": {"conc": 0.1}, "complete": ["wt"],
    }  # fmt: skip
    one = {
        "name": "one-compartment", "options": {"absorption": "first-order", "lag": True, "transits": 3},
        "formulas": ["cl ~ 1 + (1|id)", "v ~ 1"], "residual": "combined",
        "priors": {"theta_v": "Normal(mu=1, sigma=2)"}, "typical": {"cl": [2.0, 0.5], "v": 10.0},
        "parametrisation": {"cl": "centred"},
    }  # fmt: skip
    other = {"name": "michaelis-menten", "options": {"rtol": 1e-5, "compartments": 2, "solver": "stiff"}}
    sampling = {"draws": 100, "tune": 100, "chains": 2, "seed": 1, "target_accept": 0.9, "cores": 1}
    return [{"data": event, "model": one, "sampling": sampling}, {"data": tidy, "model": other}]


def stated_run(path):
    said = statement.read(path)
    data, model = statement.dataset(said.get("data", {})), statement.model(said.get("model", {}))
    return data, statement.complete(said, model)


def of_run(said):
    Path("events.csv").write_text("\n".join(map(",".join, (texts.NAMES, *texts.ROWS))), encoding="utf-8")
    calls.tidy_table().to_csv("tidy.csv", index=False)
    calls.doses().to_csv("doses.csv", index=False)
    Path("run.toml").write_text(written(said), encoding="utf-8")
    return answered(stated_run, {"path": "run.toml"})


def test_the_runs_are_taken():
    assert [of_run(said)[1] for said in statements()] == [None, None]


@settings(max_examples=30, **QUIET)
@given(said=st.sampled_from(statements()).flatmap(calls.inside))
def test_a_run_with_another_part_is_refused_in_one_line(said):
    of_run(said)


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


@pytest.mark.arguments
@settings(max_examples=250, **QUIET)
@given(text=texts.tables())
def test_many_event_tables_of_text_are_read_as_written_or_refused(text, tmp_path_factory):
    of_text(text, tmp_path_factory.mktemp("csv"))


@pytest.mark.arguments
@settings(max_examples=250, **QUIET)
@given(said=st.sampled_from(statements()).flatmap(calls.inside))
def test_many_runs_are_refused_in_one_line(said):
    of_run(said)


@pytest.mark.parametrize("first", [None, "model"])
@pytest.mark.parametrize(
    ("verb", "order"),
    [
        (nb.check, "check(tree)"), (nb.summary, "summary(tree)"), (nb.predict, "predict(tree)"),
        (nb.forecast, "forecast(tree, patient)"), (nb.forecaster, "forecaster(tree)"),
        (nb.forecast_each, "forecast_each(tree, data)"), (nb.retrospect, "retrospect(tree, data)"),
        (nb.plot.vpc, "vpc(tree)"), (nb.plot.fits, "fits(tree)"), (nb.plot.hysteresis, "hysteresis(tree)"),
    ],
)  # fmt: skip
def test_a_model_in_the_place_of_the_tree_is_told_the_order(verb, order, first):
    with pytest.raises(nb.ModelError, match=re.escape(f": write {order}: the tree comes first and knows its model")):
        verb(calls.model() if first else None, calls.tree(), calls.patient())


def test_options_of_a_forecast_are_those_of_every_verb_that_forecasts():
    own = [f.name for f in fields(Options)]
    for verb in (nb.forecast, nb.forecast_each, nb.retrospect, nb.average, nb.update, nb.Forecaster.forecast):
        assert set(own) <= set(inspect.signature(verb).parameters), verb.__name__
    with pytest.raises(nb.ModelError, match=r"update: .*'prior'.*its arguments are tree, patient, method, .*unusual"):
        nb.update(calls.forecast(), calls.later(), prior=2)
