"""`System`: non-linear laws under dosing histories, initial states, failures, and the compiled graph."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytensor
import pytensor.tensor as pt
import pytest
from odes import system
from scipy.integrate import solve_ivp
from test_system_events import predictions
from twin import Twin

import nlmebayes as nb
from model_zoo import IndirectResponse, OneCompartment
from nlmebayes.errors import ModelError
from nlmebayes.evaluation.evaluator import evaluator
from nlmebayes.formula.design import resolve
from nlmebayes.inference.starts import typical_start
from nlmebayes.model.build import assemble, build


class Saturable(nb.System):
    """By mouth, with saturable elimination and collected urine."""

    states = ("gut", "central", "urine")
    parameters = tuple(nb.Parameter(n, "1", t) for n, t in (("ka", 1.0), ("vmax", 12.0), ("km", 3.0), ("v", 20.0)))

    def rhs(self, t, y, p):
        out = p.vmax * y.central / (p.km * p.v + y.central)
        return {"gut": -p.ka * y.gut, "central": p.ka * y.gut - out, "urine": 0.3 * out}

    def outcomes(self, t, y, p):
        return {"conc": y.central / p.v, "urine": y.urine}


class Late(Saturable):
    """The same with a lag, a bioavailability and a modelled duration of doses into central."""

    parameters = (
        *Saturable.parameters,
        nb.Parameter("tlag", "h", 0.4),
        nb.Parameter("f", "1", 0.7, link="logit"),
        nb.Parameter("dur", "h", 2.0),
    )

    def routes(self, p):
        return {
            "gut": nb.Route("gut", fraction=p.f, lag=p.tlag),
            "central": nb.Route("central", duration=p.dur, lag=p.tlag),
        }


TIGHT = {"rtol": 1e-11, "atol": 1e-12}
POINT = {"ka": 1.0, "vmax": 12.0, "km": 3.0, "v": 20.0, "tlag": 0.4, "f": 0.7, "dur": 2.0}


def dataset(rows, times, outcome="conc", **options):
    """One subject; ``rows`` are dicts of NONMEM columns."""
    frame = pd.DataFrame([{"TIME": float(t), "EVID": 0, "DV": 1.0} for t in times] + [{"EVID": 1, **r} for r in rows])
    frame = frame.sort_values(["TIME", "EVID"], kind="stable", ascending=[True, False]).assign(ID=1)
    zero = [c for c in ("AMT", "RATE", "ADDL", "II", "SS") if c in frame]
    frame[zero] = frame[zero].fillna(0.0)
    return nb.Dataset.from_nonmem(frame.reset_index(drop=True), outcome=outcome, duplicates="keep", **options)


def of(structure, data, **change):
    """Function of numbers (predictions, slopes of their weighted sum), and the numbers at `POINT`."""
    design = resolve(nb.Model(structure, *(f"{p.name} ~ 1" for p in structure.parameters)), data)
    compute = predictions(structure, design)
    names = [p.name for p in structure.parameters]
    values = np.array([(POINT | change)[name] for name in names])
    size = sum(len(o.row) for o in design.outcomes)

    def evaluate(values, weights=None):
        f, *slopes = compute(*values[:, None], np.zeros(size) if weights is None else weights)
        return f, np.concatenate(slopes)

    return evaluate, values, size


TIMES = (0.3, 1.0, 2.5, 4.0, 6.0, 9.0, 11.9, 12.0, 14.0, 20.0, 24.0, 30.0)
HISTORIES = {
    "a dose": [{"TIME": 0, "AMT": 100}],
    "many doses": [{"TIME": 0, "AMT": 100, "ADDL": 4, "II": 5}],
    "an infusion": [{"TIME": 0, "AMT": 100, "CMT": 2, "RATE": 30}, {"TIME": 7, "AMT": 50, "CMT": 2, "RATE": 10}],
    "both ways": [{"TIME": 0, "AMT": 100, "CMT": 1}, {"TIME": 3.3, "AMT": 40, "CMT": 2, "RATE": -2}],
    "steady state by mouth": [{"TIME": 0, "AMT": 60, "SS": 1, "II": 12, "ADDL": 1}],
    "steady state of an infusion": [{"TIME": 0, "AMT": 60, "SS": 1, "II": 12, "CMT": 2, "RATE": 20}],
    "steady state of overlapping infusions": [{"TIME": 0, "AMT": 50, "SS": 1, "II": 8, "CMT": 2, "RATE": 5}],
    "steady state over a modelled duration": [{"TIME": 0, "AMT": 60, "SS": 1, "II": 12, "CMT": 2, "RATE": -2}],
    "a constant infusion for ever": [{"TIME": 0, "AMT": 0, "SS": 1, "RATE": 5, "CMT": 2}, {"TIME": 5, "AMT": 30}],
    "a reset": [{"TIME": 0, "AMT": 100}, {"TIME": 9.5, "EVID": 4, "AMT": 50}],
}


@pytest.mark.parametrize("name", HISTORIES)
def test_gradients_of_a_saturable_system_are_differences(name):
    evaluate, values, size = of(Late(**TIGHT), dataset(HISTORIES[name], TIMES))
    weights = np.random.default_rng(2).normal(size=size)
    slopes = evaluate(values, weights)[1] * values
    for i in range(len(values)):

        def change(e, i=i):
            up, down = (evaluate(values * np.where(np.arange(len(values)) == i, 1 + s * e, 1))[0] for s in (1, -1))
            return ((up - down) * weights).sum() / (2 * e)

        d = [change(h) for h in (4e-3, 2e-3, 1e-3)]
        wanted = (64 * d[2] - 20 * d[1] + d[0]) / 45
        assert slopes[i] == pytest.approx(wanted, rel=1e-6, abs=1e-7 * np.abs(slopes).max()), i


@pytest.mark.parametrize(
    ("rows", "interval"),
    [
        ({"AMT": 60.0, "CMT": 1}, 12.0),
        ({"AMT": 60.0, "CMT": 2, "RATE": 20.0}, 12.0),
        ({"AMT": 50.0, "CMT": 2, "RATE": 5.0}, 8.0),
    ],
    ids=["by mouth", "an infusion", "overlapping infusions"],
)
def test_a_steady_state_is_what_many_doses_lead_to(rows, interval):
    start = 80 * interval
    steady = dataset([{"TIME": start, "SS": 1, "II": interval, **rows}], start + np.array(TIMES))
    long = dataset([{"TIME": 0, "II": interval, "ADDL": 80, **rows}], start + np.array(TIMES))
    evaluate, values, _ = of(Saturable(**TIGHT), steady)
    other, _, _ = of(Saturable(**TIGHT), long)
    np.testing.assert_allclose(evaluate(values)[0], other(values)[0], rtol=1e-8)


def test_a_steady_state_of_more_than_can_be_eliminated_is_a_failure():
    data = dataset([{"TIME": 0, "AMT": 200, "SS": 1, "II": 12}], TIMES)
    evaluate, values, _ = of(Saturable(), data)
    f, _ = evaluate(values)
    assert np.isnan(f).all()
    f, _ = evaluate(values * [1, 2, 1, 1])
    assert np.isfinite(f).all()


def test_urine_is_collected_from_a_steady_state_dose_on():
    data = nb.Dataset.from_frame(
        pd.DataFrame({"id": 1, "time": [0.0, 12.0, 24.0], "urine": 1.0}), outcome="urine", time="time", levels="id",
        doses=pd.DataFrame({"id": [1], "time": 0.0, "amt": 60.0, "ss": 1, "ii": 12.0, "addl": 3}),
    )  # fmt: skip
    evaluate, values, _ = of(Saturable(**TIGHT), data)
    np.testing.assert_allclose(evaluate(values)[0], [0.0, 0.3 * 60, 0.3 * 120], rtol=1e-9, atol=1e-9)


# --- initial states --------------------------------------------------------------------------------------------------

GROWTH = system("Growth", ("size",), lambda m, t, y, p: (p.r * y.size,), (1.0,), r=0.1)


class Grown(GROWTH.cls):
    """Growth from a size that is a parameter."""

    parameters = (nb.Parameter("r", "1/d", 0.1), nb.Parameter("y0", "mm", 2.0))

    def initial(self, p):
        return {"size": p.y0}

    def outcomes(self, t, y, p):
        return {"size": y.size}


def grown(times, outcome="size"):
    frame = pd.DataFrame({"id": 1, "time": times, outcome: 1.0})
    return nb.Dataset.from_frame(frame, outcome=outcome, time="time", levels="id")


@pytest.mark.parametrize(("times", "start"), [((3.0, 5.0, 9.0), 0.0), ((0.0, 5.0), 0.0), ((-4.0, 0.0, 5.0), -4.0)])
def test_initial_states_hold_at_time_zero_or_at_an_earlier_first_record(times, start):
    f = evaluator(
        nb.Model(Grown(**TIGHT), "r ~ 1", "y0 ~ 1"), resolve(nb.Model(Grown(), "r ~ 1", "y0 ~ 1"), grown(times))
    )
    theta = {"r": np.log([[0.1], [0.3]]), "y0": np.log([[2.0], [5.0]])}
    found = f(theta, {})[1]["size"]
    wanted = np.array([[2.0], [5.0]]) * np.exp(np.array([[0.1], [0.3]]) * (np.array(times) - start))
    np.testing.assert_allclose(found, wanted, rtol=1e-9)


def test_a_system_without_initial_states_needs_doses():
    with pytest.raises(ModelError, match="needs doses"):
        build(nb.Model(Saturable()), grown([1.0, 2.0], outcome="conc"))


def test_an_initial_state_that_does_not_exist_is_named():
    class Wrong(Grown):
        def initial(self, p):
            return {"sise": p.y0}

    with pytest.raises(ValueError, match="no state 'sise'; its states are size"):
        build(nb.Model(Wrong()), grown([1.0, 2.0]))


# --- parameters that change ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["nocb", "locf"])
def test_parameters_change_within_a_subject_and_the_state_goes_on(by):
    times, wt = np.array([0.0, 2.0, 5.0, 9.0, 12.0]), np.array([70.0, 60.0, 90.0, 75.0, 80.0])
    frame = pd.DataFrame({"id": 1, "time": times, "conc": 1.0, "wt": wt})
    doses = pd.DataFrame({"id": [1], "time": 0.0, "amt": 100.0, "wt": 70.0})
    data = nb.Dataset.from_frame(frame, outcome="conc", time="time", levels="id", doses=doses, interpolation=by)
    model = nb.Model(Saturable(**TIGHT), "ka ~ 1", "vmax ~ 1 + log(wt/70)", "km ~ 1", "v ~ 1 + log(wt/70)")
    theta = {"ka": [[0.0]], "vmax": [[np.log(12), 0.75]], "km": [[np.log(3)]], "v": [[np.log(20), 1.0]]}
    f = evaluator(model, resolve(model, data))({k: np.array(v) for k, v in theta.items()}, {})[1]["conc"][0]
    y, found = np.array([100.0, 0.0]), [0.0]
    for i in range(1, len(times)):
        governing = wt[i] if by == "nocb" else wt[i - 1]
        vmax, v = 12 * (governing / 70) ** 0.75, 20 * governing / 70

        def rhs(t, y, vmax=vmax, v=v):
            return [-y[0], y[0] - vmax * y[1] / (3 * v + y[1])]

        y = solve_ivp(rhs, times[i - 1 : i + 1], y, method="DOP853", rtol=1e-12, atol=1e-13).y[:, -1]
        found.append(y[1] / (20 * wt[i] / 70))
    np.testing.assert_allclose(f, found, rtol=1e-9)


# --- in a model ------------------------------------------------------------------------------------------------------

BLOWS_UP = system("BlowsUp", ("x",), lambda m, t, y, p: (p.k * y.x**2,), (1.0,), k=0.01)


def blown(times=(1.0, 20.0)):
    frame = pd.DataFrame({"id": np.repeat([1, 2], len(times)), "time": np.tile(times, 2), "x": 1.1})
    return nb.Dataset.from_frame(frame, outcome="x", time="time", levels="id")


def test_a_failure_has_no_density_and_a_finite_gradient():
    model = nb.Model(BLOWS_UP.cls(), typical={"k": 0.01})
    built, _ = assemble(model, resolve(model, blown()))
    density, slope = built.compile_logp(mode="FAST_COMPILE"), built.compile_dlogp(mode="FAST_COMPILE")
    point = built.initial_point(random_seed=1) | {"theta_k": np.log([0.01])}
    assert np.isfinite(density(point))
    one = {**point, "omega_id_log__": np.log([1.0]), "z_id": np.array([[0.0], [np.log(10.0)]])}
    known = {name: one[name] for name in point if name in one}
    assert density(known) == -np.inf
    assert np.isfinite(slope(known)).all()


def test_predictions_that_fail_are_missing_and_the_others_are_not():
    model = nb.Model(BLOWS_UP.cls(), "k ~ 1")
    found = evaluator(model, resolve(model, blown((1.0, 2.0, 20.0))))({"k": np.log([[0.01], [0.1]])}, {})[1]["x"]
    assert np.isfinite(found[0]).all()
    assert np.isnan(found[1, 2::3]).all()
    for k in (0, 3):  # records before the end keep their values
        assert found[1, k : k + 2] == pytest.approx([1 / 0.9, 1 / 0.8], rel=1e-5)


def test_typical_values_without_a_solution_are_an_error_that_names_the_records():
    model = nb.Model(BLOWS_UP.cls(), typical={"k": 5.0})
    data = blown((3.0, 20.0))
    with pytest.raises(ModelError, match="first row 1, where the prediction is nan"):
        typical_start(model, resolve(model, data))


def test_the_compiled_graph_is_the_evaluated_one():
    data = dataset([{"TIME": 0, "AMT": 60, "SS": 1, "II": 12, "ADDL": 1}], TIMES)
    structure = Late(rtol=1e-8, atol=1e-10)
    design = resolve(nb.Model(structure, *(f"{p.name} ~ 1" for p in structure.parameters)), data)
    arrays = {name: value for name, (value, _) in structure.arrays(design).items()}
    p = {parameter.name: pt.dvector(parameter.name) for parameter in structure.parameters}
    f = structure.predict(nb.Named(**p), nb.Named(**arrays), ("conc",))["conc"]
    outputs = [f, *pytensor.grad((f**2).sum(), list(p.values()))]
    given = [np.array([POINT[name]]) for name in p]
    found, wanted = (pytensor.function(list(p.values()), outputs, mode=m)(*given) for m in ("NUMBA", "FAST_COMPILE"))
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)


def test_another_process_compiles_nothing_again():
    code = (
        "import numpy as np, pytensor.tensor as pt\n"
        "from pathlib import Path\n"
        "from pytensor.link.numba.cache import NUMBA_CACHE_PATH\n"
        "from nlmebayes.solver.ode import courses, law, op\n"
        "x, k, t = pt.dscalar('x'), pt.dscalar('k'), pt.dscalar('t')\n"
        "text, _ = law.source(t, [x], [k], [-k * x])\n"
        "e, i = np.zeros((1, 0, 1)), np.array([[0, -1], [0, 0]])\n"
        "y, failed, tape = courses.states(op.located(text), np.array([0]), np.array([0]), np.array([False]),\n"
        "    np.array([1e-9, 1e4, 0, 1e-9]), np.array([0, 1]), np.array([[0, 2, 0, 0, -1]]),\n"
        "    np.array([[0.0, 0], [1.0, 1]]), i, np.empty((0, 5)), np.empty((0, 2), dtype=np.int64),\n"
        "    np.array([[[0.5]]]), np.array([[[2.0]]]), e, e, e)\n"
        "name = law.symbol(text, 'step')[-24:]\n"
        "kept = sorted((p.name, p.stat().st_mtime_ns) for p in Path(NUMBA_CACHE_PATH).glob(f'*{name}*'))\n"
        "print(y[0, 0, 0], sum(courses.states.stats.cache_misses.values()), kept)\n"
    )
    runs = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True) for _ in range(2)]
    (value, kernels, laws), (_, _, first) = (run.stdout.strip().split(" ", 2) for run in reversed(runs))
    assert float(value) == pytest.approx(2 * np.exp(-0.5), rel=1e-8)
    assert kernels == "0"
    assert laws == first != "[]"


def test_doses_by_name_and_by_number_are_the_same():
    structure = Twin(of=OneCompartment("first-order", flip_flop=True))
    rows = {"id": [1, 1], "time": [0.0, 5.0], "amt": [100.0, 50.0]}
    frame = pd.DataFrame({"id": 1, "time": [1.0, 6.0, 9.0], "conc": 1.0})
    found = []
    for state in (["depot", "central"], [1, 2]):
        data = nb.Dataset.from_frame(
            frame, outcome="conc", time="time", levels="id", doses=pd.DataFrame(rows | {"state": state})
        )  # fmt: skip
        model = nb.Model(structure, *(f"{p.name} ~ 1" for p in structure.parameters))
        theta = {p.name: np.log([[p.typical]]) for p in structure.parameters}
        found.append(evaluator(model, resolve(model, data))(theta, {})[1]["conc"])
    np.testing.assert_array_equal(*found)


def test_a_driven_system_is_dosed_as_its_kinetics():
    class Reversed(Saturable):
        dosed = "central"

        def rhs(self, t, y, p):
            return super().rhs(t, y, p) | {"gut": -p.ka * y.gut}

    assert IndirectResponse(Reversed()).dosed == "central"
    assert (IndirectResponse().dosed or IndirectResponse().states[0]) == "central"
    oral = IndirectResponse(OneCompartment("first-order"))
    assert (oral.dosed or oral.states[0]) == "depot"
    with pytest.raises(ValueError, match="kinetics with initial states of their own cannot be driven yet"):
        IndirectResponse(Grown())
