"""Times that differ by rounding are one time, with NONMEM's order of records, in every solver and reader."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytensor
import pytensor.tensor as pt
import pytest
from laws import BolusResponse

import nlmebayes as nb
from model_zoo import OneCompartment, TwoCompartment
from nlmebayes.data.ties import ROUNDING, merged, same, snapped
from nlmebayes.dosing.regimen import with_occasions
from nlmebayes.model.build import designed
from nlmebayes.structure.structure import Named


@dataclass(frozen=True)
class Late(nb.System):
    states = ("central",)
    parameters = (nb.Parameter("cl", "L/h", 5.0), nb.Parameter("v", "L", 50.0), nb.Parameter("tlag", "h", 10.0))

    def routes(self, p):
        return {"central": nb.Route("central", lag=p.tlag)}

    def rhs(self, t, y, p):
        return {"central": -p.cl / p.v * y.central}

    def outcomes(self, t, y, p):
        return {"conc": y.central / p.v}


SOLVERS = {
    "single": OneCompartment(lag=True), "modal": TwoCompartment(lag=True),
    "dense": OneCompartment(lag=True, metabolite=True), "differential equations": Late(),
}  # fmt: skip
LAG = float(np.exp(np.log(10.0)))  # 10.000000000000002
assert LAG > 10


def doses_and_samples(rows):
    """(time, amount or 0) in the order of the records."""
    frame = pd.DataFrame(rows, columns=["TIME", "AMT"]).assign(ID=1, DV=1.0, EVID=lambda x: (x["AMT"] > 0).astype(int))
    return nb.Dataset.from_nonmem(frame.assign(DV=frame["DV"].where(frame["EVID"] == 0)), outcome="conc")


def predictor(structure, data, mode="FAST_COMPILE"):
    """A function of the parameters that gives the concentrations and the slopes of their sum, by name."""
    design = designed(nb.Model(structure, *(f"{p.name} ~ 1" for p in structure.parameters)), data)
    x = {name: pt.constant(value) for name, (value, _) in structure.arrays(design).items()}
    phi = {p.name: pt.dvector(p.name) for p in structure.parameters}
    value = structure.predict(Named(**phi), Named(**x), ("conc",))["conc"]
    slopes = pytensor.grad(value.sum(), list(phi.values()), disconnected_inputs="ignore")
    compute = pytensor.function(list(phi.values()), [value, *slopes], mode=mode)

    def evaluate(**change):
        typical = {p.name: p.typical for p in structure.parameters} | change
        found = compute(*(np.array([float(v)]) for v in typical.values()))
        return found[0], {name: slope[0] for name, slope in zip(typical, found[1:], strict=True)}

    return evaluate


@pytest.mark.parametrize("kind", SOLVERS)
def test_a_lag_that_is_rounded_past_a_record_ends_at_it(kind):
    predict = predictor(SOLVERS[kind], doses_and_samples([(0.0, 100.0), (10.0, 0.0), (12.0, 0.0)]))
    found, slopes = predict(tlag=LAG)
    exact, wanted = predict(tlag=10.0)
    sooner, before = predict(tlag=10.0 - 1e-9)
    assert found == pytest.approx(exact, rel=1e-12)
    assert found == pytest.approx(sooner, rel=1e-8)
    assert found[0] > 0.5
    for name, slope in wanted.items():
        assert slopes[name] == pytest.approx(slope, rel=1e-9)
        assert slopes[name] == pytest.approx(before[name], rel=1e-6)


@pytest.mark.parametrize("kind", SOLVERS)
@pytest.mark.parametrize("sign", [1, -1])
def test_what_is_further_than_rounding_is_not_at_the_record(kind, sign):
    predict = predictor(SOLVERS[kind], doses_and_samples([(0.0, 100.0), (10.0, 0.0)]))
    found, _ = predict(tlag=10.0 * (1 + 100 * sign * ROUNDING))
    assert (found[0] > 0) == (sign < 0)


def test_the_lag_of_a_steady_state_ends_at_a_record():
    frame = pd.DataFrame({"ID": 1, "TIME": [0.0, 10.0, 22.0], "AMT": [100.0, 0, 0], "SS": [1, 0, 0], "II": [12.0, 0, 0],
                          "ADDL": [2, 0, 0], "DV": [np.nan, 1, 1], "EVID": [1, 0, 0]})  # fmt: skip
    predict = predictor(OneCompartment(lag=True), nb.Dataset.from_nonmem(frame, outcome="conc"))
    peak = {p.name: p.typical for p in OneCompartment().parameters}
    k = peak["cl"] / peak["v"]
    assert predict(tlag=LAG)[0] == pytest.approx([100 / peak["v"] / (1 - np.exp(-12 * k))] * 2, rel=1e-9)


@pytest.mark.parametrize("structure", [OneCompartment(), BolusResponse()], ids=["compartments", "superposition"])
@pytest.mark.parametrize("times", [(0.3, 0.1 * 3), (0.1 * 3, 0.3)])
def test_of_records_at_one_time_the_earlier_row_comes_first(structure, times):
    typical = {"cl": 5.0, "v": 50.0}
    dose_first = predictor(structure, doses_and_samples([(times[0], 100.0), (times[1], 0.0)]))(**typical)[0]
    sample_first = predictor(structure, doses_and_samples([(times[0], 0.0), (times[1], 100.0), (1.0, 0.0)]))(**typical)[
        0
    ]
    assert dose_first == pytest.approx([2.0], rel=1e-12)
    assert sample_first == pytest.approx([0.0, 2.0 * np.exp(-0.07)], rel=1e-12)


@pytest.mark.parametrize("structure", [OneCompartment(), BolusResponse()], ids=["compartments", "superposition"])
def test_doses_of_a_table_of_their_own_act_before_a_sample_at_their_time(structure):
    doses = pd.DataFrame({"id": 1, "time": [0.1], "amt": [100.0], "addl": [2], "ii": [0.1]})
    frame = pd.DataFrame({"id": 1, "time": [0.3], "conc": 1.0})
    data = nb.Dataset.from_frame(frame, outcome="conc", levels="id", time="time", doses=doses)
    found = predictor(structure, data)(cl=5.0, v=50.0)[0]
    assert found == pytest.approx([2 * np.exp(-0.1 * np.arange(3) * 0.1).sum()], rel=1e-12)


def test_a_sum_of_steps_is_the_time_that_it_means():
    steps = np.cumsum(np.full(1000, 0.1))
    assert (steps != np.arange(1, 1001) / 10).sum() > 900
    assert same(steps, np.arange(1, 1001) / 10).all()
    assert snapped(0.1 * 3, np.array([0.2, 0.3, 0.4])) == 0.3
    assert snapped(0.31, np.array([0.2, 0.3, 0.4])) == 0.31
    assert merged(np.array([0.1 * 3, 0.3, 0.3, 0.1 * 3]), np.array([0, 0, 1, 2])).tolist() == [0.3, 0.3, 0.3, 0.1 * 3]


def test_a_grid_of_times_meets_the_records():
    frame = pd.DataFrame({"id": "a", "time": [0.0, 0.3, 1.0], "conc": 1.0, "x": [0.0, 1.0, 2.0]})
    data = nb.Dataset.from_frame(frame, outcome="conc", levels="id", time="time")
    assert data.over(time=[0.1 * 3]).observations["x"].tolist() == [1.0]


def test_a_record_at_a_planned_dose_ends_the_occasion_before():
    frame = pd.DataFrame({"id": "a", "occ": "1", "time": [0.1, 0.1 * 3, 0.31], "conc": 1.0})
    data = nb.Dataset.from_frame(frame, outcome="conc", levels=("id", "occ"), subject="id", time="time")
    found = with_occasions(data, np.array([0.3])).observations["occ"]
    assert found.str.contains("next").tolist() == [False, False, True]


def test_jax_has_the_same_ties():
    """Starts and their slopes; the whole course, 57 s of compilation, agrees as well."""
    jax = pytest.importorskip("jax")
    traced = pytest.importorskip("nlmebayes.solver.ode.traced")
    time, known = jax.numpy.array([0.0, 10.0, 12.0]), jax.numpy.array([True, True, False])
    fixed = traced.Fixed(time, None, known, None, None, None)
    starts = jax.numpy.array([LAG, 10.1, 12.0 * (1 + 2e-16)])
    assert traced._at_records(starts, fixed).tolist() == [10.0, 10.1, 12.0 * (1 + 2e-16)]
    assert jax.jacobian(lambda x: traced._at_records(x, fixed))(starts).tolist() == np.eye(3).tolist()
