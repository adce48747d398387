"""The second engine of differential equations, JAX and diffrax, beside the first: values, gradients and failures."""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pymc as pm
import pytensor
import pytensor.tensor as pt
import pytest
from odes import SYSTEMS, solution, system
from test_event_scenarios import SCENARIOS, Scenario, table
from test_expressions import ONE, TWO, X
from test_system_events import predictions

import nlmebayes as nb
from model_zoo import OneCompartment
from nlmebayes.errors import ModelError
from nlmebayes.formula.design import resolve
from nlmebayes.runtime.uncompiled import UNCOMPILED
from nlmebayes.solver.ode import expressions, numbers, traced

OWN = (
    "0 dose 100 cmt=2; 3.3 dose 50 cmt=2 rate=-2 addl=2 ii=7; 9 dose 20 rate=4 cmt=2",
    "0 dose 100 cmt=3 addl=3 ii=11; 7 dose 30 cmt=3 rate=-1; 8 dose 60 cmt=3 rate=9",
    "0 dose 60 cmt=2 addl=9 ii=1; 14 redose 40 cmt=2; 20 dose 10",
    "8 dose 50 cmt=2 rate=1e17; 12 dose 40 cmt=2 rate=1e15",
    "0 dose 100 addl=5 ii=6; 5 other wt=90; 7 dose 40 cmt=2 wt=50; 19 sample wt=120; 30 reset wt=60",
)


class Everything(nb.System):
    """All that a system may have: routes of each kind, initial states, and an equation with conditions and time."""

    states = ("gut", "central", "deep")
    parameters = tuple(
        nb.Parameter(name, "1", typical=value)
        for name, value in {"ka": 0.9, "vmax": 12.0, "km": 3.0, "v": 20.0, "q": 0.3, "beat": 0.2, "start": 5.0,
                            "f": 0.7, "lag": 0.63, "dur": 2.6, "rate": 15.0}.items()
    )  # fmt: skip

    def rhs(self, t, y, p):
        out = p.vmax * y.central / (p.km * p.v + y.central) * (1 + p.beat * pt.sin(0.26 * t))
        spill = pt.switch(pt.invert(nb.seamless(y.central > 90.0)), 0.0, 0.1 * (y.central - 90.0) ** 3 / p.v**2)
        return {
            "gut": -p.ka * y.gut,
            "central": p.ka * y.gut - out - spill + p.q * (y.deep - y.central),
            "deep": p.q * (y.central - y.deep) + 50.0 * pt.tanh(spill / 50.0),
        }

    def initial(self, p):
        return {"central": p.start * p.v, "deep": 0.2 * p.start}

    def routes(self, p):
        return {
            "gut": nb.Route("gut", fraction=p.f, lag=p.lag),
            "central": nb.Route("central", duration=p.dur, lag=0.3 * p.lag),
            "deep": nb.Route("deep", rate=p.rate),
        }

    def outcomes(self, t, y, p):
        return {"conc": y.central / p.v + 0.1 * y.deep}


def events(structure):
    """A design in which each scenario without a steady state is one subject, whatever system it was written for."""
    usable = [s.records for s in SCENARIOS.values() if s.outcomes == ("conc",) and max(s.at) <= 60]
    usable = [text for text in usable if not any(word in text for word in ("ss=", "cmt=3", "rate=-", "occ="))]
    frames = [table(Scenario(1, text, {}, {})) for text in dict.fromkeys([*usable, *OWN])]
    frame = pd.concat([f.assign(ID=i) for i, f in enumerate(frames)], ignore_index=True)
    frame[["AMT", "RATE", "ADDL", "II"]] = frame[["AMT", "RATE", "ADDL", "II"]].fillna(0.0)
    data = nb.Dataset.from_nonmem(frame.assign(CMT=frame["CMT"].fillna(1)), outcome="conc", duplicates="keep")
    rest = (f"{p.name} ~ 1" for p in structure.parameters if p.name != "vmax")
    return resolve(nb.Model(structure, "vmax ~ 1 + log(wt/70)", *rest), data)


def test_events_act_alike():
    structure = Everything(rtol=1e-11, atol=1e-13, solver="explicit")  # of states of about 100
    design, rng = events(structure), np.random.default_rng(1)
    assert len(design.records["subject"].unique()) > 50
    phi = [p.typical * np.exp(0.3 * rng.uniform(-1, 1, len(design.labels))) for p in structure.parameters]
    weights = rng.normal(size=len(design.outcomes[0].row))
    wanted, *slopes = predictions(structure, design)(*phi, weights)
    found, *others = predictions(structure, design, "JAX")(*phi, weights)
    np.testing.assert_allclose(found, wanted, rtol=1e-8, atol=1e-9 * wanted.max())
    for p, x, slope, other in zip(structure.parameters, phi, slopes, others, strict=True):
        np.testing.assert_allclose(other * x, slope * x, rtol=1e-6, atol=1e-7 * np.abs(slope * x).max(), err_msg=p.name)


def test_stiff_equations_are_solved_after_explicit_steps_were_too_many():
    case, times = SYSTEMS["Robertson (stiff)"][0], [0.1, 10.0, 1000.0]
    structure = case.cls(rtol=1e-7, atol=1e-11)
    first, second = (solution(structure, times, mode=mode, **case.typical) for mode in ("FAST_COMPILE", "JAX"))
    weights = np.random.default_rng(1).normal(size=(3, len(times))) / np.abs(first()[0]).max(axis=1, keepdims=True)
    (wanted, _, slopes), (found, failed, others) = first(weights), second(weights)
    assert not failed.any()
    np.testing.assert_allclose(found, wanted, rtol=1e-5)
    change = np.array(list(case.typical.values()))
    np.testing.assert_allclose(others * change, slopes * change, rtol=1e-4)


@pytest.mark.parametrize("name", [*ONE, *TWO])
def test_an_expression_is_traced(name):
    x, y = pt.dscalar("x"), pt.dscalar("y")
    source = expressions.function("f", {"a": x, "b": y}, [ONE[name](x) if name in ONE else TWO[name](x, y)])
    plain, env = dict(numbers.NAMES), dict(traced.NAMES)
    exec(source, plain)
    exec(source, env)
    found = jax.vmap(lambda a: jnp.asarray(env["f"](a, 0.8)[0], dtype=float))(jnp.array(X))
    np.testing.assert_allclose(found, [plain["f"](a, 0.8)[0] for a in X], rtol=1e-13, atol=1e-14)


# --- failures --------------------------------------------------------------------------------------------------------

BURST = system("Burst", ("y",), lambda m, t, y, p: (p.k * y.y**2 - p.c * y.y,), (1.0,), k=0.5, c=0.1)
TIMELINE = {
    "courses": np.array([[0, 3, 0, 2, -1], [3, 6, 2, 3, -1]]),
    "records": np.array([[0.0, 0], [1.0, 2], [4.0, 4], [0.0, 5], [2.0, 7], [3.0, 8]]),
    "of_record": np.array([[0, -1], [0, 0], [0, 1], [1, -1], [1, 2], [1, 3]]),
    "doses": np.array([[0.0, 1, 0.1, 0, 0], [2.0, 3, 0.2, 0, 0], [1.0, 6, 0.3, 0, 0]]),
    "of_dose": np.array([[0, 0], [0, 0], [1, 0]]),
}  # fmt: skip


def shared(structure, timeline=TIMELINE, mode="JAX"):
    """A function of ``k`` and ``c`` (draw, unit) that gives states and failures (draw, place), and slopes; and its
    timeline, to be changed."""
    given = {f"timeline_{key}": pytensor.shared(value) for key, value in timeline.items()}
    p = {"k": pt.dmatrix("k"), "c": pt.dmatrix("c")}
    y, failed = structure.amounts(nb.Named(**p), given, structure.states)
    outputs = [y[:, 0], failed, *pytensor.grad((y * np.arange(1.0, 5.0)).sum(), list(p.values()))]
    return pytensor.function(list(p.values()), outputs, mode=mode), given


TIGHT = {"rtol": 1e-10, "atol": 1e-12, "solver": "explicit"}
CALM = [[0.05, 0.04], [0.06, 0.03]], [[0.3, 0.5], [0.4, 0.6]]


@pytest.fixture(scope="module")
def engines():
    """Both engines on `TIMELINE`, with few steps allowed."""
    structure = BURST.cls(**TIGHT, max_steps=150)
    return [shared(structure, mode=mode) for mode in ("FAST_COMPILE", "JAX")]


@pytest.mark.parametrize("bad", [5.0, np.nan, np.inf])
def test_a_failure_is_that_of_its_course_and_draw(engines, bad):
    """The solution ends, or takes too many steps, or there is none; slopes are numbers, and zero there."""
    k, c = CALM
    (wanted, calm, *slopes), (y, failed, *others) = engines[0][0](k, c), engines[1][0]([k[0], [k[1][0], bad]], c)
    gone = np.array([[False] * 4, [False, False, True, True]])
    assert not calm.any()
    np.testing.assert_array_equal(failed, gone)
    np.testing.assert_allclose(y, np.where(gone, 1.0, wanted), rtol=1e-8)
    for slope, other in zip(slopes, others, strict=True):
        np.testing.assert_allclose(other, slope * [[1, 1], [1, 0]], rtol=1e-7)


def test_the_limit_of_steps_is_a_failure():
    y, failed, *slopes = shared(BURST.cls(**TIGHT, max_steps=10))[0](*CALM)
    assert failed.all()
    assert (y == 1.0).all()
    assert not np.any(slopes)


def test_new_data_of_the_same_shapes_need_no_new_trace(engines):
    changed = TIMELINE | {
        "records": TIMELINE["records"] * [1.3, 1], "doses": TIMELINE["doses"] * [0.9, 1, 2, 1, 1],
        "courses": np.array([[0, 3, 0, 1, -1], [3, 6, 1, 3, -1]]), "of_dose": np.array([[0, 0], [1, 0], [1, 0]]),
    }  # fmt: skip
    found = []
    for compute, given in engines:
        before = compute(*CALM)[0]
        for key, value in changed.items():
            given[f"timeline_{key}"].set_value(value)
        found.append(compute(*CALM))
        for key, value in TIMELINE.items():
            given[f"timeline_{key}"].set_value(value)
        assert (np.abs(found[-1][0] - before) > 1e-3).all()
    assert engines[1][0].vm.jit_fn._cache_size() == 1
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-8)


@pytest.mark.parametrize(
    ("key", "value", "failing"),
    [
        ("courses", [[0, 4, 0, 2, -1], [4, 6, 2, 3, -1]], [0, 1]),
        ("courses", [[0, 3, 0, 0, -1], [3, 6, 0, 3, -1]], [2, 3]),
        ("courses", [[0, 3, 0, 2, -1], [3, 6, 3, 3, 2]], [2, 3]),
        ("doses", TIMELINE["doses"] + [0, 0, 0, 1.0, 0], [0, 1, 2, 3]),
    ],
    ids=["more records", "more doses", "a steady state", "infusions"],
)
def test_data_that_were_not_planned_for_fail(engines, key, value, failing):
    compute, given = engines[1]
    given[f"timeline_{key}"].set_value(np.array(value, dtype=TIMELINE[key].dtype))
    y, failed, *slopes = compute(*CALM)
    given[f"timeline_{key}"].set_value(TIMELINE[key])
    np.testing.assert_array_equal(np.flatnonzero(failed[1]), failing)
    assert (np.asarray(y)[:, failing] == 1.0).all()
    assert np.isfinite(slopes).all()


def test_what_jax_cannot_do_is_refused(engines):
    compute, given = engines[1]
    given["timeline_doses"].set_value(TIMELINE["doses"][:2])
    with pytest.raises(NotImplementedError, match="data of other shapes need another compilation"):
        compute(*CALM)
    given["timeline_doses"].set_value(TIMELINE["doses"])
    steady = TIMELINE | {"courses": np.array([[0, 3, 1, 2, 0], [3, 6, 2, 3, -1]])}
    with pytest.raises(NotImplementedError, match=r"steady states \(SS=1\)"):
        shared(BURST.cls(), steady)
    jumps = system("Jumps", ("y",), lambda m, t, y, p: (-p.k * m.switch(t > p.c, 1.0, y.y),), (1.0,), k=1.0, c=1.0)
    with pytest.raises(NotImplementedError, match="right-hand sides that jump or bend"):
        shared(jumps.cls())
    courses = pt.lmatrix("courses")
    timeline = {f"timeline_{key}": pt.constant(value) for key, value in TIMELINE.items()} | {
        "timeline_courses": courses
    }
    y, _ = BURST.cls().amounts(nb.Named(k=np.ones(2), c=np.ones(2)), timeline, ("y",))
    with pytest.raises(NotImplementedError, match="constant or shared data alone, not of courses"):
        pytensor.function([courses], y, mode="JAX")


# --- fits ------------------------------------------------------------------------------------------------------------


def measured(**dose):
    """Two subjects, each with a dose and three samples, the last below the limit of quantification."""
    rows = [{"TIME": 0.0, "AMT": 100.0, "EVID": 1} | dose]
    rows += [{"TIME": t, "DV": y, "CENS": int(t > 5)} for t, y in ((0.5, 2.0), (2.0, 2.5), (6.0, 1.0))]
    frame = pd.concat([pd.DataFrame(rows).assign(ID=i) for i in (1, 2)], ignore_index=True)
    return nb.Dataset.from_nonmem(frame.fillna({"EVID": 0, "AMT": 0, "CENS": 0, "SS": 0, "II": 0}), outcome="conc")


class Decay(nb.System):
    states = ("central",)
    parameters = (nb.Parameter("vmax", "mg/h", typical=10.0), nb.Parameter("v", "L", typical=30.0))

    def rhs(self, t, y, p):
        return {"central": -p.vmax * y.central / (2.0 * p.v + y.central)}

    def outcomes(self, t, y, p):
        return {"conc": y.central / p.v}


def test_a_fit():
    """Correlated effects, and censored measurements, whose branches that are not taken must not spoil the gradient."""
    formulas = "vmax ~ 1 + (1|p|id)", "v ~ 1 + (1|p|id)"
    model = nb.Model(
        Decay(solver="explicit"), *formulas, residual=nb.Proportional(), parametrisation="noncentred"
    )  # which `build` writes too
    data = measured()
    sampler = nb.sampler(model, data, backend="jax")
    other = sampler.with_values(conc=1.5 * data.observations["value"].to_numpy())
    start = pm.blocking.DictToArrayBijection.map(sampler.built.initial_point(random_seed=0))
    x = 0.1 * np.random.default_rng(1).standard_normal(len(start.data))
    found = []
    for each in (sampler, other):
        density = nb.build(model, each.data).logp_dlogp_function(ravel_inputs=True, mode=UNCOMPILED)
        density.set_extra_values({})
        wanted, slopes = density(pm.blocking.RaveledVars(x, start.point_map_info))
        value, others = each.compiled._make_logp_func()(x, **each.compiled._shared_data)
        assert value == pytest.approx(wanted, rel=1e-6)
        np.testing.assert_allclose(others, slopes, rtol=1e-5, atol=1e-6)
        found.append(value)
    assert found[0] != pytest.approx(found[1], abs=0.01)
    tree = sampler.sample(draws=4, tune=4, chains=1, random_seed=1, progressbar=False)
    assert tree["posterior"].sizes["draw"] == 4
    assert np.isfinite(tree["posterior"]["f_conc"]).all()


def test_what_the_backends_do_not_take_is_said():
    model, data = nb.Model(Decay()), measured()
    with pytest.raises(ModelError, match="backend must be 'numba' or 'jax'; got 'torch'"):
        nb.fit(model, data, backend="torch")
    with pytest.raises(ModelError, match="not linear compartments"):
        nb.fit(nb.Model(OneCompartment()), data, backend="jax")
    with pytest.raises(ModelError, match=r"steady states \(SS=1\)"):
        nb.fit(model, measured(SS=1, II=24.0), backend="jax")


def test_what_is_not_installed_is_named(monkeypatch):
    monkeypatch.delitem(sys.modules, traced.__name__)
    monkeypatch.setitem(sys.modules, "diffrax", None)
    with pytest.raises(ModelError, match=r'lacks diffrax: pip install "nlmebayes\[jax\]"'):
        nb.fit(nb.Model(Decay()), measured(), backend="jax")
