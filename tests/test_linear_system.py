"""`LinearSystem`: systems that users write, through formulas, data and gradients."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
from laws import dosed, predicted
from pymc.blocking import DictToArrayBijection, RaveledVars
from scipy.linalg import expm

from nlmebayes import Drive, LinearSystem, Parameter, Route
from nlmebayes.data.dataset import Dataset
from nlmebayes.data.validate import DataError
from nlmebayes.errors import ModelError
from nlmebayes.evaluation.evaluator import evaluator
from nlmebayes.formula.design import resolve
from nlmebayes.model.build import build
from nlmebayes.model.model import Model
from nlmebayes.structure.compartments import outcome_names
from nlmebayes.structure.linear import _kind


@dataclass(frozen=True)
class Enterohepatic(LinearSystem):
    """A parent, its metabolite, and a gall bladder that gives the metabolite back to the gut as parent."""

    states = ("gut", "parent", "metabolite", "bile")
    parameters = tuple(Parameter(n, "1/h", typical=0.5) for n in ("ka", "km", "kb", "kg", "ke"))

    def flows(self, p):
        return {
            ("gut", "parent"): p.ka, ("parent", "metabolite"): p.km, ("metabolite", "bile"): p.kb,
            ("bile", "gut"): p.kg, ("metabolite", None): p.ke,
        }  # fmt: skip

    def outcomes(self, t, y, p):
        return {"parent": y.parent, "metabolite": y.metabolite}


@dataclass(frozen=True)
class Catenary(LinearSystem):
    """A chain of any length, with a dose that is split, and an observer of its last state."""

    length: int = 3

    parameters = (
        Parameter("k", "1/h", typical=0.5), Parameter("fr", "fraction", typical=0.4, link="logit"),
        Parameter("tlag", "h", typical=1.0), Parameter("ko", "1/h", typical=0.3),
    )  # fmt: skip

    @property
    def states(self):
        return (*(f"x{i}" for i in range(self.length)), "observer")

    def flows(self, p):
        chain = {(f"x{i}", f"x{i + 1}"): p.k for i in range(self.length - 1)}
        end = f"x{self.length - 1}"
        return chain | {(end, None): p.k, (end, "observer"): Drive(2 * p.ko), ("observer", None): p.ko}

    def routes(self, p):
        return {"x0": (Route("x0", p.fr), Route("x1", 1 - p.fr, p.tlag))}

    def outcomes(self, t, y, p):
        return {"signal": y.observer + 0 * t}


@dataclass(frozen=True)
class Scaled(LinearSystem):
    """An outcome that reads the time and the parameters only, and one that reads all."""

    states = ("a", "b")
    parameters = (Parameter("k", "1/h", typical=0.5), Parameter("s", "1", typical=2.0))

    def flows(self, p):
        return {("a", None): p.k, ("b", None): 2 * p.k}

    def outcomes(self, t, y, p):
        return {"clock": p.s * t, "both": p.s * (y.a + y.b)}


LOOP = {"ka": 1.2, "km": 0.7, "kb": 0.5, "kg": 0.3, "ke": 0.2}
CHAIN = {"k": 0.8, "fr": 0.3, "tlag": 1.5, "ko": 0.4}
T = np.array([0.0, 0.4, 1.5, 2.0, 5.0, 6.0, 12.0, 30.0])


def loop(ka, km, kb, kg, ke):
    return np.array([[-ka, 0, 0, kg], [ka, -km, 0, 0], [0, km, -kb - ke, 0], [0, 0, kb, -kg]])


def chain(k, fr, tlag, ko):
    return np.array([[-k, 0, 0, 0], [k, -k, 0, 0], [0, k, -k, 0], [0, 0, 2 * ko, -ko]])


def after(matrix, start, t):
    """Amounts (state, time) after ``start`` at time 0; nothing before."""
    return np.stack([expm(matrix * max(x, 0)) @ start * (x >= 0) for x in t], axis=1)


def test_an_enterohepatic_loop_is_its_matrix_exponential():
    expected = after(loop(**LOOP), [100.0, 0, 0, 0], T) + after(loop(**LOOP), [0, 50.0, 0, 0], T - 6)
    doses = {"time": [0.0, 6.0], "amt": [100.0, 50.0], "cmt": [1, 2]}
    for row, outcome in ((1, "parent"), (2, "metabolite")):
        found = predicted(Enterohepatic(), T, doses, outcome=outcome, **LOOP)
        assert found == pytest.approx(expected[row], rel=1e-10, abs=1e-12)


def test_a_dose_of_two_routes_and_a_drive():
    early = after(chain(**CHAIN), [30.0, 0, 0, 0], T)
    late = after(chain(**CHAIN), [0, 70.0, 0, 0], T - 1.5)
    found = predicted(Catenary(), T, [(0, 100)], outcome="signal", **CHAIN)
    assert found == pytest.approx((early + late)[3], rel=1e-10, abs=1e-12)


def test_the_steady_state_of_a_loop_repeats():
    propagator = expm(loop(**LOOP) * 8)
    trough = np.linalg.solve(np.eye(4) - propagator, propagator @ [100.0, 0, 0, 0])
    dose = {"time": [0.0], "amt": [100.0], "ss": [1], "ii": [8.0], "addl": [1]}
    found = predicted(Enterohepatic(), [0.0, 8.0 - 1e-12, 8.0], dose, outcome="parent", **LOOP)
    assert found == pytest.approx([trough[1]] * 3, rel=1e-9)


def test_draws_are_a_leading_axis():
    rng = np.random.default_rng(1)
    phi = {name: x * rng.lognormal(size=4) for name, x in LOOP.items()}
    together = predicted(Enterohepatic(), T, [(0, 100)], outcome="metabolite", **phi)
    for i in range(4):
        alone = predicted(Enterohepatic(), T, [(0, 100)], outcome="metabolite", **{n: x[i] for n, x in phi.items()})
        assert together[i] == pytest.approx(alone, rel=1e-13)


@pytest.mark.parametrize("length", [1, 2, 6])
def test_a_system_may_have_any_length(length):
    assert len(Catenary(length).states) == length + 1
    if length > 1:
        found = predicted(Catenary(length), T, [(0, 100)], outcome="signal", **CHAIN)
        assert np.isfinite(found).all()


def test_a_route_into_a_state_that_is_not_there_is_an_error():
    with pytest.raises(ValueError, match="x1"):
        predicted(Catenary(1), T, [(0, 100)], outcome="signal", **CHAIN)


@dataclass(frozen=True)
class Misrouted(LinearSystem):
    """Routes of a state that is not there."""

    states = ("depot", "central")
    parameters = (Parameter("ka", "1/h", typical=0.5),)

    def flows(self, p):
        return {("depot", "central"): p.ka, ("central", None): p.ka}

    def routes(self, p):
        return {"dept": Route("depot", 0.5)}

    def outcomes(self, t, y, p):
        return {"conc": y.central}


def test_routes_of_a_state_that_is_not_there_are_an_error():
    with pytest.raises(ValueError, match="dept"):
        predicted(Misrouted(), T, [(0, 100)], ka=0.5)


def test_one_outcome_takes_the_name_of_the_data():
    assert outcome_names(Catenary()) == ()
    one, other = (predicted(Catenary(), T, [(0, 100)], outcome=name, **CHAIN) for name in ("signal", "dv"))
    assert (one == other).all()


def test_several_outcomes_must_match_the_data():
    assert outcome_names(Enterohepatic()) == ("parent", "metabolite")
    with pytest.raises(ModelError, match=r"no outcome 'dv' in Enterohepatic.*its outcomes are parent, metabolite"):
        build(Model(Enterohepatic()), dosed(T, [(0, 100)], "dv"))


def test_an_outcome_may_read_no_state():
    assert predicted(Scaled(), T, [(0, 100)], outcome="clock", k=0.3, s=2.0) == pytest.approx(2 * T)
    found = predicted(
        Scaled(), T, {"time": [0, 0], "amt": [10.0, 5.0], "state": ["a", "b"]}, outcome="both", k=0.3, s=2
    )
    assert found == pytest.approx(20 * np.exp(-0.3 * T) + 10 * np.exp(-0.6 * T), rel=1e-12)


def test_two_outcomes_of_one_subject_keep_their_records():
    frame = pd.DataFrame(
        {
            "ID": 1,
            "TIME": [0, 1, 2, 2, 5],
            "AMT": [100.0, 0, 0, 0, 0],
            "DV": [np.nan, 1, 1, 1, 1],
            "DVID": [1, 2, 1, 2, 1],
        }
    )
    data = Dataset.from_nonmem(frame, outcome={1: "parent", 2: "metabolite"})
    model = Model(Enterohepatic(), *(f"{name} ~ 1" for name in LOOP))
    found = evaluator(model, resolve(model, data))({n: np.log([[x]]) for n, x in LOOP.items()}, {})[1]
    expected = after(loop(**LOOP), [100.0, 0, 0, 0], [1.0, 2.0, 5.0])
    assert found["parent"][0] == pytest.approx(expected[1, 1:], rel=1e-11)
    assert found["metabolite"][0] == pytest.approx(expected[2, :2], rel=1e-11)


def test_doses_reach_states_by_name_and_number():
    for number, name in enumerate(Enterohepatic.states, start=1):
        ways = ({"cmt": [number]}, {"state": [name]}, {"state": [str(number)]})
        one, *others = (
            predicted(Enterohepatic(), T, {"time": [0.0], "amt": [100.0]} | way, outcome="parent", **LOOP)
            for way in ways
        )
        assert all((one == other).all() for other in others)


@pytest.mark.parametrize("label", [0, 5, "liver", "Gut"])
def test_a_state_that_is_not_there_is_named_with_those_that_are(label):
    where = "cmt" if isinstance(label, int) else "state"
    doses = {"time": [0.0], "amt": [100.0], where: [label]}
    if label == 0:
        assert np.isfinite(predicted(Enterohepatic(), T, doses, outcome="parent", **LOOP)).all()
        return
    with pytest.raises(DataError, match=rf"row 1, column CMT: no state '{label}' .* gut, 1, parent, 2"):
        predicted(Enterohepatic(), T, doses, outcome="parent", **LOOP)


# --- gradients -------------------------------------------------------------------------------------------------------


def study(outcome, subjects=3):
    """Doses, infusions and a steady state in several subjects whose weight changes from record to record."""
    times = [0.5, 2.0, 5.0, 11.0]
    frame = pd.DataFrame({"id": np.repeat(range(subjects), 4), "time": times * subjects})
    frame = frame.assign(**{outcome: 1.0 + 0.1 * np.arange(len(frame)), "wt": 60.0 + 3 * np.arange(len(frame))})
    doses = pd.DataFrame({"id": [0, 1, 1, 2], "time": [0.0, 0.0, 3.0, 0.0], "amt": [10.0, 8.0, 5.0, 9.0]})
    doses = doses.assign(rate=[0.0, 4.0, 0.0, 0.0], ss=[0, 0, 0, 1], ii=[0.0, 0.0, 0.0, 6.0])
    return Dataset.from_frame(frame, outcome=outcome, time="time", levels="id", doses=doses)


@pytest.mark.parametrize(
    ("model", "outcome"),
    [
        (Model(Enterohepatic(), "ka ~ 1 + log(wt/70)", "ke ~ 1 + (1|id)"), "parent"),
        (Model(Catenary(), "k ~ 1 + log(wt/70) + (1|id)", "fr ~ 1", "tlag ~ 1", "ko ~ 1"), "signal"),
    ],
    ids=["loop", "chain"],
)
def test_the_gradient_of_the_log_posterior_is_that_of_differences(model, outcome):
    built = build(model, study(outcome))
    value, slope = (built.compile_fn(f(), mode="FAST_COMPILE") for f in (built.logp, built.dlogp))
    point = DictToArrayBijection.map(built.initial_point(random_seed=2))
    point = RaveledVars(point.data + np.random.default_rng(4).normal(0, 0.1, len(point.data)), point.point_map_info)

    def at(x):
        return float(value(DictToArrayBijection.rmap(RaveledVars(x, point.point_map_info))))

    found = slope(DictToArrayBijection.rmap(point))
    each = np.eye(len(point.data)) * 1e-4
    wanted = [(8 * (at(point.data + d) - at(point.data - d)) - at(point.data + 2 * d) + at(point.data - 2 * d)) / 12e-4
              for d in each]  # fmt: skip
    assert found == pytest.approx(np.array(wanted), rel=1e-6, abs=1e-6)


# --- which networks are solved in their modes ------------------------------------------------------------------------

OUT = -1
MODAL = {
    "one compartment": (1, [(0, OUT)], (1, -1, 0, 1)),
    "with a depot": (2, [(0, 1), (1, OUT)], (2, 0, 1, 1)),
    "with a depot after it": (2, [(1, 0), (0, OUT)], (2, 1, 0, 1)),
    "two compartments": (2, [(0, 1), (1, 0), (0, OUT)], (2, -1, 0, 2)),
    "without elimination": (2, [(0, 1), (1, 0)], (2, -1, 0, 2)),
    "three and a depot": (4, [(0, 1), (1, OUT), (1, 2), (2, 1), (1, 3), (3, 1)], (4, 0, 1, 3)),
}
DENSE = {
    "four compartments": (4, [(0, OUT), (0, 1), (1, 0), (0, 2), (2, 0), (0, 3), (3, 0)]),
    "a depot that loses": (2, [(0, 1), (0, OUT), (1, OUT)]),
    "a peripheral that loses": (2, [(0, 1), (1, 0), (0, OUT), (1, OUT)]),
    "two depots": (3, [(0, 2), (1, 2), (2, OUT)]),
    "a depot into the peripheral": (3, [(0, 2), (1, 2), (2, 1), (1, OUT)]),
    "two states apart": (2, [(0, OUT), (1, OUT)]),
    "a metabolite": (2, [(0, 1), (0, OUT), (1, OUT)]),
    "urine": (2, [(0, 1), (0, OUT)]),
}


@pytest.mark.parametrize("name", MODAL)
def test_networks_for_the_modes(name):
    n, edges, kind = MODAL[name]
    assert tuple(_kind(n, [(*edge, 0) for edge in edges])) == kind


@pytest.mark.parametrize("name", DENSE)
def test_networks_for_the_whole_matrix(name):
    n, edges = DENSE[name]
    assert _kind(n, [(*edge, 0) for edge in edges])[3] == 0


def test_a_drive_or_two_flows_alike_are_for_the_whole_matrix():
    assert _kind(2, [(0, OUT, 0), (0, 1, 1), (1, OUT, 0)])[3] == 0
    assert _kind(1, [(0, OUT, 0), (0, OUT, 0)])[3] == 0
