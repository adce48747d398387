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
    later = nb.update(nb.forecast(population, one, random_seed=1), two, random_seed=2)
    whole = nb.forecast(population, both, random_seed=3)
    plan, target = nb.Regimen(1000, start=48, every=24, steady=True), nb.DailyAUC(400, 600)
    found = [nb.recommend(each, plan, target)["median"].iloc[0] for each in (later, whole)]
    assert found[0] == pytest.approx(found[1], rel=0.03) and found[1] == pytest.approx(557.6, rel=0.03)


def test_dates_of_two_visits_are_on_one_clock(tree):
    def visit(day, hour, y):
        moments = [f"2024-05-{day:02d} 08:00", f"2024-05-{day:02d} {hour}:00"]
        frame = pd.DataFrame({"ID": "p", "TIME": moments, "AMT": [400.0, 0], "EVID": [1, 0], "DV": [np.nan, y]})
        return nb.Dataset.from_nonmem(frame, levels="id", outcome="conc")

    first = nb.forecast(tree, visit(1, 12, 7.0), random_seed=1)
    later = nb.update(first, visit(5, 20, 3.0), random_seed=2)
    both = nb.forecast(tree, chart([(0.0, 400.0), (96.0, 400.0)], [(4.0, 7.0), (108.0, 3.0)]), random_seed=2)
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
        nb.update(nb.forecast(tree, visit("12:00"), method="map"), visit("20:00"))


def test_a_dose_is_given_once(tree):
    first = nb.forecast(tree, chart([(0.0, 400.0), (12.0, 400.0)], [(24.0, 3.0)]), method="map")
    with pytest.raises(nb.ModelError, match=r"row 1: the dose at 0 is not later .* up to 24; leave out what that had"):
        nb.update(first, chart([(0.0, 400.0), (12.0, 400.0), (24.0, 400.0)], [(36.0, 5.0)]))
    # A dose just after the last sample is new, and acts after it.
    later = nb.update(first, chart([(24.0, 400.0)], [(36.0, 5.0)]), method="map")
    doses = pd.DataFrame({"id": "p", "time": [24.0], "amt": 400.0})
    tidy = pd.DataFrame({"id": "p", "time": [36.0], "conc": 5.0})
    beside = nb.Dataset.from_frame(tidy, outcome="conc", time="time", levels="id", doses=doses)
    assert middle(nb.update(first, beside, method="map"))[0] == pytest.approx(middle(later)[0], rel=1e-6)


def test_the_options_of_the_first_forecast_hold_for_the_next(tree):
    one, two = chart([(0.0, 400.0)], [(2.0, 12.0)]), chart([(12.0, 400.0)], [(14.0, 14.0)])
    both = chart([(0.0, 400.0), (12.0, 400.0)], [(2.0, 12.0), (14.0, 14.0)])
    options = {"flatten": 4.0, "half_life": 6.0, "method": "map"}
    first = nb.forecast(tree, one, **options)
    later, whole = nb.update(first, two, method="map"), nb.forecast(tree, both, **options)
    assert middle(later, "eta_id").ravel() == pytest.approx(middle(whole, "eta_id").ravel(), abs=1e-5)
    assert later["posterior"]["omega_id"].to_numpy().ravel() == pytest.approx([0.6, 0.5])
    assert {k: report(later)[k] for k in ("flatten", "half_life", "drift")} == {
        "flatten": 4.0, "half_life": 6.0, "drift": None,
    }  # fmt: skip


@pytest.fixture(scope="module")
def drifting():
    """A patient whose clearance was 0.6 above the population's at the last of two occasions."""
    omega = {"id": {"sd": {"cl": 1e-3}}, "occ": {"sd": {"cl": 0.2}}}
    tree = nb.population(OneCompartment(), **STATED | {"omega": omega, "sigma": {"b": 0.01}})
    k = np.exp([0.2, 0.6]) * 3 / 40
    left = 400 / 40 * np.exp(-k[0] * 24)
    y = [10 * np.exp(-k[0] * 5), 10 * np.exp(-k[0] * 20), (left + 10) * np.exp(-k[1] * 6)]
    frame = pd.DataFrame({
        "ID": "p", "OCC": [1, 1, 1, 2, 2], "TIME": [0.0, 5.0, 20.0, 24.0, 30.0], "AMT": [400.0, 0, 0, 400.0, 0],
        "EVID": [1, 0, 0, 1, 0], "DV": [np.nan, *y[:2], np.nan, y[2]],
    })  # fmt: skip
    return nb.Dataset.from_nonmem(frame, levels=("id", "occ"), outcome="conc"), tree


def later(occasions, label="p"):
    """Records of further occasions, each a day later."""
    frame = pd.DataFrame({"ID": label, "OCC": occasions, "TIME": 54.0 + 24 * np.arange(len(occasions)), "EVID": 0})
    dose = pd.DataFrame({"ID": [label], "OCC": occasions[:1], "TIME": 48.0, "AMT": 400.0, "EVID": 1})
    frame = pd.concat([dose, frame.assign(DV=np.nan)], ignore_index=True)
    return nb.Dataset.from_nonmem(frame, levels=("id", "occ"), outcome="conc", unmeasured="predict")


def test_what_drifts_goes_on_from_where_it_is(drifting):
    patient, tree = drifting
    first = nb.forecast(tree, patient, drift="occ", random_seed=1, draws=4000)
    last = first["posterior"]["eta_occ"].to_numpy()[0, :, -1, 0]
    found = nb.predict(first, later([3, 4]), random_seed=2)["posterior"]["eta_occ"].to_numpy()[0, :, :, 0]
    assert found.mean(axis=0) == pytest.approx([last.mean()] * 2, abs=0.02) and last.mean() > 0.5
    assert (found - last[:, None]).std(axis=0) == pytest.approx([0.2, 0.2 * np.sqrt(2)], rel=0.05)
    new, same = (
        nb.recommend(first, nb.Regimen(400, start=48, every=24, steady=True), nb.DailyAUC(1, 1000), occasions=o)
        for o in ("new", "last")
    )
    assert new["median"].iloc[0] == pytest.approx(same["median"].iloc[0], rel=0.02)
    with pytest.raises(nb.ModelError, match="the effects of occ are a random walk of id p; forecast q too"):
        nb.predict(first, later([3], label="q"))


def test_scores_of_a_walk_are_those_of_its_steps(drifting):
    patient, tree = drifting
    scores = report(nb.forecast(tree, patient, drift="occ", random_seed=1))["z_scores"]
    assert scores["occ p/1: cl"] == pytest.approx(0.2 / 0.2, abs=0.1)
    assert scores["occ p/2: cl"] == pytest.approx(0.6 / (0.2 * np.sqrt(2)), abs=0.15)


def test_the_domain_is_kept_for_the_next_visit():
    domain, theta = {"wt": (40.0, 120.0)}, {"cl": {"Intercept": 3.0, "log(wt/70)": 0.75}, "v": 40.0}
    tree = nb.population(OneCompartment(), **STATED | {"theta": theta}, domain=domain)
    first = nb.forecast(tree, chart([(0.0, 400.0)], [(5.0, 7.0)], WT=100.0), method="map")
    with pytest.warns(UserWarning, match=r"id p: wt 150.* is outside 40 to 120"):
        nb.update(first, chart([(12.0, 400.0)], [(17.0, 9.0)], WT=150.0), method="map")


def test_no_update_loses_populations():
    tree = nb.population(OneCompartment(), **STATED, uncertainty={"cl": 20.0}, draws=500, random_seed=1)
    first = nb.forecast(tree, chart([(0.0, 400.0)], [(5.0, 7.0)]), draws=500, random_seed=1)
    second = nb.update(first, chart([(12.0, 400.0)], [(17.0, 9.0)]), draws=500, random_seed=2)
    assert len(np.unique(second["prior"]["theta_cl"].to_numpy())) == 500


def test_samples_below_the_limit_are_no_surprise_where_they_are_expected(tree):
    rows = pd.DataFrame({"id": "p", "time": [60.0, 70.0, 80.0], "conc": [1.0, 1.0, 1.0]})
    doses = pd.DataFrame({"id": ["p"], "time": 0.0, "amt": 400.0})
    faster = nb.population(OneCompartment(), **STATED | {"theta": {"cl": 6.0, "v": 40.0}})
    low = nb.Dataset.from_frame(rows, outcome="conc", time="time", levels="id", doses=doses, lloq=2.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert report(nb.forecast(faster, low, random_seed=1))["prior_p"] == 1.0
    early = nb.Dataset.from_frame(
        rows.assign(time=[1.0, 2.0, 3.0]), outcome="conc", time="time", levels="id", doses=doses, lloq=2.0
    )
    assert report(nb.forecast(tree, early, random_seed=1))["prior_p"] < 0.02


def test_few_draws_say_nothing_of_surprise(tree):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        few = nb.forecast(tree, chart([(0.0, 400.0)], [(5.0, 7.0)]), draws=1, method="map")
    assert report(few)["prior_p"] is None


def test_many_charts_are_checked_as_one_is():
    domain, theta = {"wt": (40.0, 120.0)}, {"cl": {"Intercept": 3.0, "log(wt/70)": 0.75}, "v": 40.0}
    tree = nb.population(OneCompartment(), **STATED | {"theta": theta}, domain=domain)
    labels = ["right", "late", "heavy", "units"]
    frame = pd.DataFrame({
        "id": labels, "time": [5.0, 30.0, 5.0, 5.0], "conc": [7.0, 1.5, 5.0, 7000.0], "wt": [70.0, 70.0, 150.0, 70.0],
    })  # fmt: skip
    doses = pd.DataFrame({"id": labels, "time": 0.0, "amt": 400.0})
    data = nb.Dataset.from_frame(frame, outcome="conc", time="time", levels="id", doses=doses)
    with pytest.warns(UserWarning, match=r"id heavy: wt 150.* is outside 40 to 120"):
        found = nb.forecast_each(tree, data, now=24.0, draws=500)
    assert set(found.table["id"]) == {"right", "heavy"} and set(found.failures) == {"late", "units"}
    assert "a sample at 30 lies after now=24" in found.failures["late"]
    assert "check the units" in found.failures["units"]
    with pytest.raises(nb.ModelError, match=r"unexpected keyword argument 'flat'; its arguments are .*flatten,"):
        nb.forecast_each(tree, data, flat=2.0)


def test_the_objective_of_an_average_is_that_of_its_options(tree):
    patient = chart([(0.0, 400.0)], [(2.0, 12.0), (11.0, 3.0)])
    found = [nb.average({"one": tree}, patient, method="map", flatten=x).table["ofv"][0] for x in (1.0, 4.0)]
    wide = nb.population(OneCompartment(), **STATED | {"omega": {"sd": {"cl": 0.6, "v": 0.5}}})
    assert found[1] == pytest.approx(nb.average({"one": wide}, patient, method="map").table["ofv"][0], abs=1e-6)
    assert found[1] < found[0] - 1


def test_only_what_was_measured_is_judged(tree):
    frame = pd.DataFrame({"id": "p", "time": [2.0, 8.0, 11.0], "conc": [8.0, np.nan, 5.0]})
    doses = pd.DataFrame({"id": ["p"], "time": 0.0, "amt": 400.0})
    data = nb.Dataset.from_frame(frame, outcome="conc", time="time", levels="id", doses=doses, unmeasured="predict")
    found = nb.retrospect(tree, data, draws=200, random_seed=1)
    assert not found.failures and found.table["time"].tolist() == [2.0, 11.0]
