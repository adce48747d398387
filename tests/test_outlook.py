"""Covariates to come, beside the same course written out by hand."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

import nlmebayes as nb
from model_zoo import OneCompartment

CL, V = 5.0, 40.0
FORMULAS = ("cl ~ 1 + log(crcl/90) + (1|id)", "v ~ 1 + log(wt/70)")
THETA = {"cl": {"Intercept": CL, "log(crcl/90)": 1.0}, "v": {"Intercept": V, "log(wt/70)": 1.0}}


@pytest.fixture(scope="module", params=["nocb", "locf", "linear"])
def forecast(request):
    tree = nb.population(OneCompartment(), *FORMULAS, theta=THETA, omega={"sd": {"cl": 0.3}}, sigma={"b": 0.1},
                         domain={"crcl": [10, 150]})  # fmt: skip
    frame = pd.DataFrame({"id": "a", "time": [6.0, 20.0], "conc": [1.1, 0.35], "crcl": 90.0, "wt": [70.0, 70.0]})
    doses = pd.DataFrame({"id": "a", "time": [0.0], "amt": 100.0})
    patient = nb.Dataset.from_frame(
        frame, outcome="conc", time="time", levels="id", doses=doses, interpolation=request.param
    )
    return nb.forecast(tree, patient, method="importance", draws=400, random_seed=1)


def course(forecast, given, cuts, at, since=0.0):
    """Concentration of each draw, and the area since a time; ``cuts``: (time, crcl) from which each value holds."""
    cl = forecast["posterior"]["cl"].to_numpy()[0, :, -1]
    edges = np.unique([since, at] + [t for t, _ in given] + [t for t, _ in cuts if t < at])
    left, area = np.zeros_like(cl), np.zeros_like(cl)
    for start, end in pairwise(edges):
        left = left + sum(amount for t, amount in given if t == start)
        crcl = [90.0, *(value for t, value in cuts if t <= start)][-1]
        k = cl * crcl / 90 / V
        area = area + (start >= since) * left / V * (1 - np.exp(-k * (end - start))) / k
        left = left * np.exp(-k * (end - start))
    return left / V, area


PLAN = nb.Regimen(80.0, start=24.0, every=12.0, doses=3)
GIVEN = [(0.0, 100.0), (24.0, 80.0), (36.0, 80.0), (48.0, 80.0)]
CHANGES = {"at the start": ({"crcl": 30.0}, [(24.0, 30.0)]), "later, and back": (
    {"crcl": {30.0: 45.0, 50.0: 90.0}}, [(30.0, 45.0), (50.0, 90.0)])}  # fmt: skip


@pytest.mark.parametrize("case", CHANGES)
def test_a_covariate_changes_from_its_time_on(forecast, case):
    covariates, cuts = CHANGES[case]
    targets = [nb.Trough(0.5, 1.5, time=t) for t in (24.0, 29.0, 36.0, 60.0)]
    table = nb.recommend(forecast, PLAN, targets, covariates=covariates).set_index("target")
    for target in targets:
        exactly, _ = course(forecast, [g for g in GIVEN if g[0] < target.time], cuts, target.time)
        assert table.loc[str(target), "median"] == pytest.approx(np.median(exactly), rel=1e-6)


def test_an_area_bends_where_a_covariate_changes(forecast):
    table = nb.recommend(forecast, PLAN, nb.AUC(10, 40, 24.0, 60.0), covariates={"crcl": {30.0: 45.0}})
    _, area = course(forecast, GIVEN, [(30.0, 45.0)], 60.0, since=24.0)
    assert table["median"].iloc[0] == pytest.approx(np.median(area), rel=1e-7)


def test_the_best_amount_and_the_next_sample_know_of_it(forecast):
    low, high = (
        nb.optimise(forecast, PLAN, nb.Trough(1.0, time=60.0), optimum="at least", probability=0.5, covariates=change)
        for change in ({"crcl": 30.0}, None)
    )
    assert low["amount"].iloc[0] < 0.5 * high["amount"].iloc[0]
    exactly, _ = course(forecast, [(t, a if t == 0 else low["amount"].iloc[0]) for t, a in GIVEN], [(24.0, 30.0)], 60.0)
    assert np.quantile(exactly, 0.5) == pytest.approx(1.0, rel=1e-4)
    table = nb.next_sample(forecast, [30.0, 47.0], "cl", plan=PLAN, covariates={"crcl": 30.0})
    assert (table["reduction"] > 0).all()


REFUSED = {
    "no such": (
        {"age": 3.0},
        "'age' is no covariate that the model and the patient's records have; there are crcl, wt",
    ),
    "too early": ({"crcl": {12.0: 40.0}}, "crcl 40.0 from 12 on, but the records state it up to 20; say what comes"),
    "text": ({"crcl": "low"}, "crcl is a number in the patient's records; got 'low'"),
    "no time": ({"crcl": {np.nan: 40.0}}, "covariates of crcl, the name nan, must be a finite number"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_is_refused(forecast, case):
    covariates, problem = REFUSED[case]
    with pytest.raises(nb.ModelError, match=problem):
        nb.recommend(forecast, PLAN, nb.Trough(1, 2), covariates=covariates)


def test_a_value_outside_the_domain_is_warned_of(forecast):
    with pytest.warns(UserWarning, match="covariates: crcl 5.0 is outside 10 to 150, the range of the published model"):
        nb.recommend(forecast, PLAN, nb.Trough(1, 200), covariates={"crcl": 5.0})
    with pytest.raises(nb.ModelError, match="covariates to come need the doses to come, plan="):
        nb.next_sample(forecast, [30.0], "cl", covariates={"crcl": 30.0})
