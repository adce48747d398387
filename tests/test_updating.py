"""A second visit: the same as all records in one dataset, or refused."""

import json
import warnings

import numpy as np
import pandas as pd
import pytest

import nlmebayes as nb
from model_zoo import OneCompartment

STATED = {"theta": {"cl": 3.0, "v": 40.0}, "omega": {"sd": {"cl": 0.3, "v": 0.25}}, "sigma": {"b": 0.1}}


@pytest.fixture(scope="module")
def tree():
    return nb.population(OneCompartment(), **STATED)


def report(forecast):
    return json.loads(forecast.attrs["nlmebayes_forecast"])


def middle(forecast, name="cl"):
    return forecast["posterior"][name].median(("chain", "draw")).to_numpy()


def chart(doses, samples, **columns):
    """Doses (time, amount) and samples (time, conc) of one patient."""
    rows = [{"ID": "p", "TIME": t, "AMT": a, "EVID": 1} for t, a in doses]
    rows += [{"ID": "p", "TIME": t, "DV": y, "EVID": 0} for t, y in samples]
    frame = pd.DataFrame(rows).sort_values("TIME", kind="stable").assign(**columns)
    return nb.Dataset.from_nonmem(frame, levels="id", outcome="conc")


def test_a_covariate_that_has_changed_governs_what_comes():
    population = nb.published("vancomycin_buelga_2005")
    one, two = (
        chart([(0.0, 1000.0)], [(12.0, 8.0)], CRCL=90.0, WT=70.0),
        chart([(24.0, 1000.0)], [(36.0, 14.0)], CRCL=30.0, WT=70.0),
    )
    both = chart([(0.0, 1000.0), (24.0, 1000.0)], [(12.0, 8.0), (36.0, 14.0)], CRCL=[90.0, 90.0, 30.0, 30.0], WT=70.0)
    later = nb.update(nb.forecast(None, population, one, random_seed=1), two, random_seed=2)
    whole = nb.forecast(None, population, both, random_seed=3)
    plan, target = nb.Regimen(1000, start=48, every=24, steady=True), nb.DailyAUC(400, 600)
    found = [nb.recommend(each, plan, target)["median"].iloc[0] for each in (later, whole)]
    assert found[0] == pytest.approx(found[1], rel=0.03) and found[1] == pytest.approx(557.6, rel=0.03)


def test_dates_of_two_visits_are_on_one_clock(tree):
    def visit(day, hour, y):
        moments = [f"2024-05-{day:02d} 08:00", f"2024-05-{day:02d} {hour}:00"]
        frame = pd.DataFrame({"ID": "p", "TIME": moments, "AMT": [400.0, 0], "EVID": [1, 0], "DV": [np.nan, y]})
        return nb.Dataset.from_nonmem(frame, levels="id", outcome="conc")

    first = nb.forecast(None, tree, visit(1, 12, 7.0), random_seed=1)
    later = nb.update(first, visit(5, 20, 3.0), random_seed=2)
    both = nb.forecast(None, tree, chart([(0.0, 400.0), (96.0, 400.0)], [(4.0, 7.0), (108.0, 3.0)]), random_seed=2)
    assert later["constant_data"]["time_conc"].to_numpy() == pytest.approx([4.0, 108.0])
    assert middle(later)[0] == pytest.approx(middle(both)[0], rel=0.02)
    with pytest.raises(nb.ModelError, match="the time is a date in the earlier records and a number in the new ones"):
        nb.update(first, chart([(96.0, 400.0)], [(108.0, 3.0)]))


def test_clock_times_without_dates_cannot_be_joined(tree):
    def visit(hour):
        frame = pd.DataFrame({
            "ID": "p", "TIME": ["08:00", hour], "AMT": [400.0, 0], "EVID": [1, 0], "DV": [np.nan, 6.0],
        })  # fmt: skip
        return nb.Dataset.from_nonmem(frame, levels="id", outcome="conc")

    with pytest.raises(nb.ModelError, match="the hours between them are not known; give both with dates"):
        nb.update(nb.forecast(None, tree, visit("12:00"), method="map"), visit("20:00"))


def test_a_dose_is_given_once(tree):
    first = nb.forecast(None, tree, chart([(0.0, 400.0), (12.0, 400.0)], [(24.0, 3.0)]), method="map")
    with pytest.raises(nb.ModelError, match=r"row 1: the dose at 0 is not later .* up to 24; leave out what that had"):
        nb.update(first, chart([(0.0, 400.0), (12.0, 400.0), (24.0, 400.0)], [(36.0, 5.0)]))
    # A dose just after the last sample is new, and acts after it.
    later = nb.update(first, chart([(24.0, 400.0)], [(36.0, 5.0)]), method="map")
    doses = pd.DataFrame({"id": "p", "time": [24.0], "amt": 400.0})
    tidy = pd.DataFrame({"id": "p", "time": [36.0], "conc": 5.0})
    beside = nb.Dataset.from_frame(tidy, outcome="conc", time="time", levels="id", doses=doses)
    assert middle(nb.update(first, beside, method="map"))[0] == pytest.approx(middle(later)[0], rel=1e-6)
