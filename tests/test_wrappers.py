"""The contract of structures that wrap others: what is not theirs is that of the structure inside, all of it."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pytensor.tensor as pt
import pytest

import model_zoo
import nlmebayes as nb
from model_zoo import (
    DirectEffect,
    EffectCompartment,
    IndirectResponse,
    OneCompartment,
    RandomSlopes,
    TumourGrowthInhibition,
)
from nlmebayes.dosing.recommendation import _into_a_state
from nlmebayes.evaluation.evaluator import evaluator
from nlmebayes.inference.compilation import prepare
from nlmebayes.model.build import designed
from nlmebayes.parameter.parameter import Identity, Log
from nlmebayes.structure.area import Area, area_of
from nlmebayes.structure.compartments import outcome_names
from nlmebayes.structure.traits import NAMES

ZOO = [getattr(model_zoo, name)() for name in model_zoo.__all__]
EACH = pytest.mark.parametrize("inner", ZOO, ids=lambda x: type(x).__name__)
T = np.array([0.5, 2.0, 9.0])


@dataclass(frozen=True)
class Unusual(nb.System):
    """Every trait of a system at a value that is not the default."""

    states, dosed = ("waste", "depot", "a"), "depot"
    parameters = (nb.Parameter("k", "1/h", 0.1), nb.Parameter("ka", "1/h", 1.0), nb.Parameter("s", "h", 1.0))
    formulas = ("ka ~ 1",)
    scales, origin, nonnegative, period = {"a": 1e9}, None, ("a",), 24.0
    order = (lambda p: p.ka - p.k,)

    def routes(self, p):
        return {"depot": nb.Route("depot", lag=p.s)}

    def breaks(self, p):
        return (3.0 * p.s,)

    def rhs(self, t, y, p):
        return {"waste": p.k * y.a, "depot": -p.ka * y.depot, "a": p.ka * y.depot - p.k * y.a}

    def outcomes(self, t, y, p):
        return {"conc": y.a, "lost": y.waste}


def said(structure, name):
    """A trait; functions by their names, since some are made anew."""
    value = getattr(structure.traits, name)
    return [f.__name__ for f in value] if name == "order" else value


def others(wrapper, inner, *own):
    """Names of the traits in which they differ, but for those that the wrapper adds to."""
    return [name for name in NAMES if name not in own and said(wrapper, name) != said(inner, name)]


def values_of(structure, **change):
    return {p.name: 1.0 if p.typical is None else p.typical for p in structure.parameters} | change


def frame_of(structure, outcomes):
    """One subject with every input of a structure and a record of each outcome at three times."""
    columns = {name: [1.0, 2.0, 3.0] for name in structure.inputs if name != "time"}
    frame = pd.DataFrame({"id": "1", "time": T, **columns} | dict.fromkeys(outcomes, 1.0))
    return frame[:1] if structure.closed else frame  # of an event there is one time


def evaluated(structure, outcomes, values):
    """Predictions of outcomes at population values, through FAST_COMPILE."""
    doses = pd.DataFrame({"id": ["1"], "time": [0.0], "amt": [100.0]}) if structure.doses else None
    data = nb.Dataset.from_frame(
        frame_of(structure, outcomes), outcome=list(outcomes), levels="id", time="time", doses=doses,
        duplicates="keep",
    )  # fmt: skip
    formulas = [f"{p.name} ~ 1" for p in structure.parameters]
    residuals = {name: nb.TimeToEvent() if structure.closed and name == "y" else nb.Additive() for name in outcomes}
    design = designed(nb.Model(structure, *formulas, residual=residuals), data)
    theta = {p.name: np.array([[p.scale.forward(values[p.name])]]) for p in structure.parameters}
    _, f, order = evaluator(nb.Model(structure, *formulas, residual=residuals), design)(theta, {})
    return {name: f[name][0] for name in outcomes}, order


@EACH
def test_a_latent_covariate_passes_everything_on(inner):
    on = next((p.name for p in inner.parameters if isinstance(p.scale, Log | Identity)), None)
    if on is None:
        with pytest.raises(ValueError, match="it takes log or identity"):
            nb.LatentCovariate(inner, "alb", (inner.parameters[0].name,), 5.0, 2.0)
        return
    own = outcome_names(inner) or ("y",)
    wrapped = nb.LatentCovariate(inner, "alb", (on,), 5.0, 2.0, own[0])
    assert others(wrapped, inner, "parameters", "linked") == [] and wrapped.linked == (*inner.linked, on)
    assert wrapped.parameters[: len(inner.parameters)] == inner.parameters
    assert outcome_names(wrapped) == (*own, "alb")
    assert wrapped.scattered == inner.scattered
    models = [nb.Model(each, residual=nb.Additive()) for each in (wrapped, inner)]
    assert models[0].formulas == models[1].formulas
    values = values_of(wrapped, alb_true=6.0)
    scale = next(p.scale for p in inner.parameters if p.name == on)
    moved = values[on] * np.exp(0.3) if isinstance(scale, Log) else values[on] + 0.3
    found, order = evaluated(wrapped, (*own, "alb"), values | {f"{on}_alb": 0.3})
    known, _ = evaluated(inner, own, values | {on: moved})
    assert found["alb"] == pytest.approx(np.full(len(found["alb"]), 6.0))
    for name in own:
        assert found[name] == pytest.approx(known[name], rel=1e-9)
    assert order == pytest.approx(evaluated(inner, own, values)[1])


DRIVEN = [lambda k: IndirectResponse(k), lambda k: TumourGrowthInhibition(k)]


@EACH
@pytest.mark.parametrize("wrap", DRIVEN, ids=["indirect response", "tumour"])
def test_a_driven_system_passes_its_kinetics_on_or_refuses_them_by_name(inner, wrap):
    taken = wrap is DRIVEN[0] and isinstance(inner, EffectCompartment)  # two responses with the same names
    driving = isinstance(inner, nb.LinearSystem | nb.System) and "conc" in inner.predicted
    if not driving or getattr(inner, "initial", None) or taken:
        reason = "LinearSystem or a System|has no outcome 'conc'|with initial states of their own|are called e0"
        with pytest.raises(ValueError, match=reason):
            wrap(inner)
        return
    wrapped = wrap(inner)
    own = ("parameters", "states", "needs_doses", "fallible", "superposed", "backends", "tolerances", "origin")
    assert others(wrapped, inner, *own, "nonnegative") == []
    assert inner.nonnegative is True
    assert wrapped.nonnegative == wrapped.states
    assert wrapped.states[: len(inner.states)] == inner.states
    states = nb.Named(**{state: pt.constant(1.0 + i) for i, state in enumerate(wrapped.states)})
    p = nb.Named(**{name: pt.constant(value) for name, value in values_of(wrapped).items()})
    for law in ("rhs", "outcomes"):
        found, known = (getattr(each, law)(pt.constant(2.0), states, p) for each in (wrapped, inner))
        for name, value in known.items():
            assert found[name].eval(mode="FAST_COMPILE") == value.eval(mode="FAST_COMPILE")


def test_a_driven_system_solves_its_kinetics():
    wrapped, inner = IndirectResponse(), OneCompartment()
    found, _ = evaluated(wrapped, ("conc",), values_of(wrapped))
    known, _ = evaluated(inner, ("conc",), values_of(inner))
    assert found["conc"] == pytest.approx(known["conc"], rel=1e-5)


@EACH
def test_an_effect_site_passes_its_kinetics_on_or_refuses_them(inner):
    if not isinstance(inner, nb.LinearSystem):
        with pytest.raises(ValueError, match="kinetics must be a LinearSystem"):
            EffectCompartment(inner)
        return
    if isinstance(inner, EffectCompartment):
        with pytest.raises(ValueError, match="two of its parameters are called ke0, e0, emax, ec50"):
            EffectCompartment(inner)
        return
    wrapped = EffectCompartment(inner)
    assert others(wrapped, inner, "parameters", "states") == []
    found, _ = evaluated(wrapped, inner.predicted, values_of(wrapped))
    known, _ = evaluated(inner, inner.predicted, values_of(wrapped))
    for name in inner.predicted:
        assert found[name] == pytest.approx(known[name], rel=1e-9)


@EACH
def test_a_direct_effect_passes_its_kinetics_on_or_refuses_them_by_name(inner):
    """Also systems with initial states, such as a tumour under a drug."""
    taken = isinstance(inner, IndirectResponse | EffectCompartment)  # an effect of their own
    if not isinstance(inner, nb.LinearSystem | nb.System) or "conc" not in inner.predicted or taken:
        reason = "kinetics must be a LinearSystem or a System|need an outcome 'conc'|are called e0"
        with pytest.raises((ValueError, nb.ModelError), match=reason):
            DirectEffect(inner)
        return
    wrapped = DirectEffect(inner)
    assert others(wrapped, inner, "parameters") == []
    assert outcome_names(wrapped) == (*inner.predicted, "effect")
    found, _ = evaluated(wrapped, (*inner.predicted, "effect"), values_of(wrapped))
    known, _ = evaluated(inner, inner.predicted, values_of(wrapped))
    for name in inner.predicted:
        assert found[name] == pytest.approx(known[name], rel=1e-9)
    assert found["effect"] == pytest.approx(50 * known["conc"] / (5 + known["conc"]), rel=1e-9)
    if inner.tolerances:
        assert wrapped.tighter(10).kinetics == inner.tighter(10)


@EACH
def test_an_area_passes_its_system_on(inner):
    if not isinstance(inner, nb.LinearSystem):
        assert area_of(inner, "conc") is None
        return
    area = area_of(inner, "conc")
    assert area == Area(inner, "conc")
    assert others(area, area.base, "states") == []  # equal to inner; which one it is depends on who asked first
    assert outcome_names(area) == ()


def test_unusual_kinetics_are_passed_on_whole():
    inner = Unusual()
    wrapped = IndirectResponse(inner)
    own = ("parameters", "states", "needs_doses", "breaks", "nonnegative")
    assert others(wrapped, inner, *own) == []
    assert wrapped.scales == {"a": 1e9}
    assert wrapped.origin is None
    assert wrapped.breaks(nb.Named(s=2.0)) == (6.0,)
    assert wrapped.nonnegative == ("a", "response")
    assert others(nb.LatentCovariate(wrapped, "alb", ("k",), 5.0, 2.0), wrapped, "parameters") == ["linked", "breaks"]


def test_a_response_adds_to_what_its_kinetics_say():
    @dataclass(frozen=True)
    class Own(nb.Driven):
        responses, own_parameters = ("r",), (nb.Parameter("g", "1/h", 1.0),)
        own_scales, own_breaks, own_nonnegative, own_formulas = {"r": 1e3}, (7.0,), True, ("g ~ 1",)

        def drive(self, t, y, p, conc):
            return {"r": p.g * conc - y.r}

        def effects(self, t, y, p):
            return {"effect": y.r}

    wrapped = Own(kinetics=Unusual())
    assert wrapped.scales == {"a": 1e9, "r": 1e3}
    assert wrapped.breaks(nb.Named(s=2.0)) == (6.0, 7.0)
    assert wrapped.nonnegative == ("a", "r")
    assert wrapped.formulas == ("ka ~ 1", "g ~ 1")


def test_options_of_the_solution_of_kinetics_are_not_lost():
    with pytest.raises(ValueError, match="give it rtol=1e-09, not its kinetics"):
        IndirectResponse(replace(Unusual(), rtol=1e-9))


def test_a_structure_in_another_brings_its_own_formulas():
    model = nb.Model(RandomSlopes(group="donor")).but(structure=RandomSlopes(group="batch"))
    assert model.formulas == nb.Model(RandomSlopes(group="batch")).formulas
    assert nb.Model(RandomSlopes(), "mu ~ 1").but(structure=RandomSlopes(group="x")).formulas == ("mu ~ 1",)


def test_a_regimen_enters_a_state_of_what_is_wrapped():
    wrapped = nb.LatentCovariate(OneCompartment("first-order"), "wt", ("cl",), 70.0, 15.0)
    _into_a_state(nb.Regimen(100.0, state="central"), wrapped)
    with pytest.raises(nb.ModelError, match="no state 'centre'; there are depot, central, 1, 2"):
        _into_a_state(nb.Regimen(100.0, state="centre"), wrapped)


def test_a_backend_that_cannot_take_what_is_wrapped_says_so_at_once():
    wrapped = nb.LatentCovariate(OneCompartment(), "wt", ("cl",), 70.0, 15.0)
    with pytest.raises(nb.ModelError, match='backend="jax" takes differential equations'):
        prepare("jax", wrapped)


def test_a_hazard_may_depend_on_a_latent_covariate():
    wrapped = nb.LatentCovariate(model_zoo.ParametricSurvival("exponential"), "alb", ("rate",), 5.0, 2.0, "t")
    residual = {"t": nb.TimeToEvent(), "alb": nb.Additive()}
    data = nb.Dataset.from_frame(
        pd.DataFrame({"id": "1", "time": [0.0], "t": [2.0], "alb": [6.0]}),
        outcome=("t", "alb"),
        levels="id",
        time="time",
    )
    model = nb.Model(wrapped, *(f"{p.name} ~ 1" for p in wrapped.parameters), residual=residual)
    design = designed(model, data)
    theta = {p.name: p.scale.forward(np.array([[v]])) for p, v in zip(wrapped.parameters, [0.1, 6.0, 0.3], strict=True)}
    f = evaluator(model, design)(theta, {})[1]["t"]
    assert design.outcomes[0].read(f)[0] == pytest.approx([0.2 * np.exp(0.3)])
