"""When to take the next sample: against normal cases with an exact answer."""

import numpy as np
import pandas as pd
import pytest
from test_dosing_cases import event_table, known

import nlmebayes as nb
from model_zoo import OneCompartment


class Line(nb.Curve):
    """a + b t: with normal effects and a normal residual everything is normal."""

    parameters = (
        nb.Parameter("a", "", typical=1.0, spread=1.0, link="identity"),
        nb.Parameter("b", "", typical=2.0, spread=1.0, link="identity"),
    )
    inputs = ("time",)

    def __eq__(self, other):
        return isinstance(other, Line)

    def __hash__(self):
        return 1

    def curve(self, p, x):
        return p.a + p.b * x.time


OMEGA, SIGMA, N = np.array([1.2, 0.5]), 0.8, 6000


@pytest.fixture(scope="module")
def line():
    frame = pd.DataFrame({"id": ["one", "twin"], "time": 0.0, "conc": [1.0, 2.0]})
    both = nb.Dataset.from_frame(frame, outcome="conc", time="time", levels="id")
    eta = np.random.default_rng(2).normal(size=(N, 2)) * OMEGA
    values = {"theta_a": [1.0], "theta_b": [2.0], "omega_id": OMEGA, "sigma_conc_a": SIGMA}
    return known(nb.Model(Line()), both, both.sel(id="one"), values, N, id={"one": eta})


def exact(row, times):
    """Variance of row . (a, b) given samples at times."""
    prior, x = np.diag(OMEGA**2), np.column_stack([np.ones(len(times)), times])
    after = np.linalg.inv(np.linalg.inv(prior) + x.T @ x / SIGMA**2)
    return np.sqrt(row @ after @ row)


@pytest.mark.parametrize(("name", "row"), [("a", [1, 0]), ("b", [0, 1])])
def test_the_expected_uncertainty_of_a_normal_case(line, name, row):
    candidates = [0.0, 1.0, 4.0, 10.0, (0.0, 10.0)]
    table = nb.next_sample(line, candidates, name, replicates=500, random_seed=1)
    for found in table.to_dict("records"):
        times = np.atleast_1d(found["time"])
        assert found["sd_after"] == pytest.approx(exact(np.array(row), times), rel=0.04), found["time"]
        assert found["sd_now"] == pytest.approx(OMEGA[row.index(1)], rel=0.03)
        assert found["reduction"] == pytest.approx(100 * (1 - found["sd_after"] / found["sd_now"]))
    assert table["sd_after"].is_monotonic_increasing and table["time"].iloc[0] == (0.0, 10.0)


def test_a_sample_that_says_nothing_leaves_all_as_it_was(line):
    table = nb.next_sample(line, [0.0], "b", random_seed=1)
    assert table["sd_after"].iloc[0] == pytest.approx(table["sd_now"].iloc[0], rel=0.03)


@pytest.fixture(scope="module")
def bolus():
    rows = [{"TIME": 0.0, "AMT": 100.0, "DV": np.nan}, {"TIME": 6.0, "AMT": np.nan, "DV": 2.0}]
    one, both = event_table(rows)
    model = nb.Model(OneCompartment(), "cl ~ 1 + (1|id)", "v ~ 1", residual=nb.Proportional())
    values = {"theta_cl": [np.log(3.0)], "theta_v": [np.log(30.0)], "omega_id": [0.3], "sigma_conc_b": 0.1}
    eta = np.random.default_rng(1).normal(size=(2000, 1)) * 0.3
    return known(model, both, one, values, 2000, id={"one": eta})


def test_a_late_sample_tells_of_clearance_unless_it_is_below_the_limit(bolus):
    """log C(t) = log(100 / v) - t exp(log cl) / v: the later, the better, with a proportional error."""
    table = nb.next_sample(bolus, [0.5, 5.0, 24.0], "cl")
    assert table["time"].tolist() == [24.0, 5.0, 0.5]
    censored = nb.next_sample(bolus, [0.5, 5.0, 24.0], "cl", lloq=1.5)
    assert censored["time"].tolist()[0] == 5.0
    same = table.set_index("time")["sd_after"] - censored.set_index("time")["sd_after"]
    assert abs(same[0.5]) < 1e-9 and same[24.0] < -0.02


def test_an_exposure_under_doses_to_come(bolus):
    """The log of the AUC at steady state is minus that of the clearance."""
    plan = nb.Regimen(100.0, start=24.0, every=12.0, doses=3)
    one = nb.next_sample(bolus, [12.0, 30.0, 47.0], "cl", plan=plan)
    steady = nb.Regimen(100.0, start=24.0, every=12.0, steady=True)
    two = nb.next_sample(bolus, [12.0], nb.DailyAUC(1, 2), plan=steady)
    assert two["sd_now"].iloc[0] == pytest.approx(one["sd_now"].iloc[0], rel=1e-6)
    assert two["sd_after"].iloc[0] == pytest.approx(one.set_index("time")["sd_after"][12.0], rel=1e-6)


@pytest.mark.parametrize(
    ("times", "of", "message"),
    [
        ([5.0], "ka", "no parameter 'ka' in OneCompartment"),
        ([5.0], nb.AUC(1, 2), r"the exposure AUC in 1 to 2 needs the doses to come, plan="),
        ([], "cl", "give times, which are numbers"),
        ([np.nan], "cl", "number 1, must be a finite number"),
    ],
)
def test_what_cannot_be_asked(bolus, times, of, message):
    with pytest.raises(ValueError, match=message):
        nb.next_sample(bolus, times, of)
