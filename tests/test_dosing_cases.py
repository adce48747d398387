"""Occasions to come, saturable and lagged drugs, and charts that cannot be meant."""

import json
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pytensor.tensor as pt
import pytest
import xarray as xr
from scipy.integrate import solve_ivp

import nlmebayes as nb
from model_zoo import MichaelisMenten, OneCompartment
from nlmebayes.dosing import plausibility, regimen
from nlmebayes.dosing.prospect import Case, course, curves, prospect
from nlmebayes.evaluation import storage
from nlmebayes.forecasting import plausibility as charts


def known(model, training, patient, values, draws, **effects):
    """A forecast made by hand: population ``values``, effects by level as {label: (draw, effect)}."""
    tree = nb.simulate(model, training, draws=draws, values=values, random_seed=0)
    posterior = tree["prior"].to_dataset().copy(deep=True)
    for level, given in effects.items():
        for label, eta in given.items():
            posterior[f"eta_{level}"].loc[{level: label}] = np.broadcast_to(eta, posterior[f"eta_{level}"].shape[1::2])
    found = xr.DataTree.from_dict({"posterior": posterior})
    storage.attach(found, model, patient, training)
    found["posterior"] = nb.predict(found, patient)["posterior"]
    report = {"effective_sample_size": float(draws), "khat": 0.0, "log_evidence": 0.0}
    found.attrs["nlmebayes_forecast"] = json.dumps(report)
    return found


def event_table(rows, levels=("id",)):
    """Datasets of the patient "one" and of the patient with a twin."""
    one = pd.DataFrame(rows).assign(ID="one")
    one["EVID"] = one["AMT"].notna().astype(int)
    one["AMT"] = one["AMT"].fillna(0.0)
    both = pd.concat([one, one.assign(ID="twin")], ignore_index=True)
    return tuple(nb.Dataset.from_nonmem(x, outcome="conc", levels=levels) for x in (one, both))


@dataclass(frozen=True)
class Washout(nb.Superposition):
    """One compartment as a superposition."""

    parameters = (nb.Parameter("cl", "L/h", typical=3.0), nb.Parameter("v", "L", typical=30.0))

    def response(self, p, t):
        return pt.exp(-p.cl / p.v * t) / p.v


def test_a_superposition_is_scaled_too():
    rows = [{"TIME": 0.0, "AMT": 100.0, "DV": np.nan}, {"TIME": 6.0, "AMT": np.nan, "DV": 2.0}]
    one, both = event_table(rows)
    model = nb.Model(Washout(), "cl ~ 1 + (1|id)", "v ~ 1")
    values = {"theta_cl": [np.log(CL)], "theta_v": [np.log(V)], "omega_id": [0.3], "sigma_conc_a": 1.0}
    forecast = known(model, both, one, values, 3, id={"one": [[-0.4], [0.0], [0.3]]})
    found = course(Case.of(forecast), nb.Regimen(50.0, start=24.0, every=12.0, doses=3), np.linspace(24.5, 80.0, 9))
    scaled = curves(found, [200.0])
    assert scaled != found.predicted
    np.testing.assert_allclose(scaled([70.0]), found.predicted([70.0]), rtol=1e-12)
    with pytest.raises(nb.ModelError, match="a superposition of responses, takes boluses only"):
        nb.recommend(forecast, nb.Regimen(50.0, start=24.0, every=12.0, steady=True), nb.Trough(1, 2))


def test_a_reset_goes_with_the_doses_it_belongs_to():
    frame = pd.DataFrame({"TIME": [0.0, 6.0, 10.0], "AMT": [100.0, 100.0, 0], "EVID": [1, 4, 0]}).assign(ID="one")
    one = nb.Dataset.from_nonmem(frame.assign(DV=[np.nan, np.nan, 2.0]), outcome="conc")
    for history, start, resets, doses in (("none", 0.0, 0, 0), ("replace", 3.0, 0, 1), ("replace", 8.0, 1, 2)):
        left = regimen.kept(one, nb.Regimen(1.0, start=start), history)
        assert (left.events["kind"] == "reset").sum() == resets and len(left.doses) == doses


CL, V, BETWEEN = 3.0, 30.0, 0.3
BEFORE = (0.4, -0.2)  # effects of the two occasions so far


@pytest.fixture(scope="module", params=["nocb", "locf"])
def occasions(request):
    """One compartment, boluses in two occasions of a day, effects of occasions on clearance."""
    nan = np.nan
    rows = [(0.0, 100.0, nan, 1), (10.0, nan, 2.0, 1), (24.0, 100.0, nan, 2), (34.0, nan, 2.0, 2)]
    rows = [dict(zip(("TIME", "AMT", "DV", "OCC"), row, strict=True)) for row in rows]
    one, both = (replace(x, interpolation=request.param) for x in event_table(rows, ("id", "occ")))
    model = nb.Model(OneCompartment(), "cl ~ 1 + (1|occ)", "v ~ 1")
    values = {"theta_cl": [np.log(CL)], "theta_v": [np.log(V)], "omega_occ": [BETWEEN], "sigma_conc_a": 1.0}
    return known(model, both, one, values, 4000, occ={f"one/{n}": [e] for n, e in enumerate(BEFORE, start=1)})


def exposures(forecast, regimen, target, **options):
    case = Case.of(forecast, **options)
    return prospect(case, regimen, [target]).exposures([part.amount for part in regimen.parts])[0]


def test_a_future_occasion_is_drawn_from_the_population(occasions):
    """What is left of the past at 2000 h is nothing: AUC = amount / cl of the occasion."""
    cl = 300 / exposures(occasions, nb.Regimen(300.0, start=2000.0), nb.AUC(1, 2, 2000.0, 4000.0))
    effect = np.log(cl / CL)
    assert abs(effect.mean()) < 4 * BETWEEN / np.sqrt(4000) and effect.std() == pytest.approx(BETWEEN, rel=0.05)
    last = 300 / exposures(occasions, nb.Regimen(300.0, start=2000.0), nb.AUC(1, 2, 2000.0, 4000.0), occasions="last")
    np.testing.assert_allclose(np.log(last / CL), BEFORE[1], atol=1e-9)


def test_each_dose_may_begin_an_occasion(occasions):
    regimen = nb.Regimen(300.0, start=2000.0, every=1000.0, doses=2)
    parts = [nb.AUC(1, 2, 2000.0, 3000.0), nb.AUC(1, 2, 3000.0, 4000.0)]
    for kind, correlation in (("each", 0.0), ("new", 1.0)):
        case = Case.of(occasions, occasions=kind)
        first, second = np.log(prospect(case, regimen, parts).exposures([300.0]))
        assert np.corrcoef(first, second)[0, 1] == pytest.approx(correlation, abs=0.06)


def test_new_occasions_of_a_patient_who_drifts_go_on_from_the_last(occasions):
    """A random walk: n steps after the last occasion the effect has the variance of n, and those share their steps."""
    drifting = occasions.copy()
    report = json.loads(occasions.attrs["nlmebayes_forecast"])
    drifting.attrs["nlmebayes_forecast"] = json.dumps(report | {"drift": "occ"})
    plan = nb.Regimen(300.0, start=2000.0, every=1000.0, doses=2)
    areas = [nb.AUC(1, 2, 2000.0, 3000.0), nb.AUC(1, 2, 3000.0, 4000.0)]
    for kind, steps, shared in (("new", 1, 1.0), ("each", 2, np.sqrt(0.5))):
        case = Case.of(drifting, occasions=kind)
        first, second = np.log(300 / CL / np.array(prospect(case, plan, areas).exposures([300.0])))
        for effect, n in ((first, 1), (second, steps)):
            sd = BETWEEN * np.sqrt(n)
            assert abs(effect.mean() - BEFORE[1]) < 4 * sd / np.sqrt(4000) and effect.std() == pytest.approx(
                sd, rel=0.05
            )
        assert np.corrcoef(first, second)[0, 1] == pytest.approx(shared, abs=0.04)
    early = nb.Regimen(300.0, start=-5.0)
    with pytest.raises(nb.ModelError, match="who drifts has no occ before -5 to go on from: give a later start="):
        exposures(drifting, early, nb.AUC(1, 2, 0.0, 5.0), history="none")
    middle = nb.Regimen(300.0, start=12.0)  # after the first occasion, whose effect is 0.4
    trough = exposures(drifting, middle, nb.Trough(1, 2, 22.0), history="none")
    assert np.log(np.log(300 / V / trough) * V / 10 / CL).mean() == pytest.approx(BEFORE[0], abs=0.02)


def test_the_past_keeps_its_occasion_up_to_the_dose(occasions):
    """Between the last sample and the first planned dose the clearance is that of the second occasion; with nocb it is
    so from the last record of the first occasion, at 10 h."""
    cl = CL * np.exp(BEFORE)
    until = 10 if storage.stored_dataset(occasions).interpolation == "nocb" else 24
    at_24 = 100 / V * np.exp(-(until * cl[0] + (24 - until) * cl[1]) / V)
    trough = exposures(occasions, nb.Regimen(300.0, start=48.0), nb.Trough(1, 2, time=48.0))
    np.testing.assert_allclose(trough, (at_24 + 100 / V) * np.exp(-24 * cl[1] / V), rtol=1e-9)


def test_a_covariate_that_changed_between_doses_acts_as_it_did():
    """Creatinine clearance of records without a dose governs the past; the last one holds for what comes."""
    rows = [{"TIME": t, "AMT": a, "DV": y, "CRCL": c}
            for t, a, y, c in [(0, 100.0, np.nan, 1.0), (10, np.nan, 2.0, 2.0), (20, np.nan, 1.0, 3.0)]]  # fmt: skip
    one, both = event_table(rows)
    model = nb.Model(OneCompartment(), "cl ~ 1 + log(CRCL) + (1|id)", "v ~ 1")
    values = {"theta_cl": [np.log(CL), 1.0], "theta_v": [np.log(V)], "omega_id": [0.3], "sigma_conc_a": 1.0}
    forecast = known(model, both, one, values, 3, id={"one": [[0.0]] * 3})
    target = nb.Trough(1, 2, time=40.0)
    found = exposures(forecast, nb.Regimen(50.0, start=30.0), target)
    past = 100 * np.exp(-CL / V * (10 * 2 + 10 * 3 + 20 * 3))
    np.testing.assert_allclose(found, (past + 50 * np.exp(-CL / V * 10 * 3)) / V, rtol=1e-9)
    with pytest.warns(UserWarning, match="the regimen starts at 0, and .* change up to 20: those of the past hold"):
        nb.recommend(forecast, nb.Regimen(50.0, start=0.0), nb.Trough(0, 2, time=40.0), history="none")
    with pytest.raises(nb.ModelError, match="is about times from 30 on, before the regimen 50 starts at 40"):
        exposures(forecast, nb.Regimen(50.0, start=40.0), nb.AUC(1, 2, 30.0, 60.0), history="none")


@pytest.fixture(scope="module")
def phenytoin():
    """One compartment, elimination of Michaelis and Menten, boluses; three draws of vmax."""
    rows = [{"TIME": 0.0, "AMT": 300.0, "DV": np.nan}, {"TIME": 20.0, "AMT": np.nan, "DV": 5.0}]
    one, both = event_table(rows)
    model = nb.Model(MichaelisMenten(rtol=1e-9), "vmax ~ 1 + (1|id)", "km ~ 1", "v ~ 1")
    values = {
        "theta_vmax": [np.log(17.0)], "theta_km": [np.log(5.7)], "theta_v": [np.log(45.0)], "omega_id": [0.3],
        "sigma_conc_a": 1.0,
    }  # fmt: skip
    return known(model, both, one, values, 3, id={"one": [[-0.4], [0.0], [0.3]]})


def test_a_saturable_drug_is_not_scaled_and_agrees_with_scipy(phenytoin):
    regimen = nb.Regimen(300.0, start=24.0, every=24.0, doses=2)
    found = course(Case.of(phenytoin), regimen, np.array([30.0, 72.0]))
    assert curves(found, [600.0]) == found.predicted
    vmax = 17.0 * np.exp([-0.4, 0.0, 0.3])
    targets = [nb.AUC(1, 2), nb.Peak(1, 2), nb.Trough(1, 2), nb.TimeAbove(50, mic=9.0)]
    got = prospect(Case.of(phenytoin), regimen, targets).exposures([300.0])
    for i, fastest in enumerate(vmax):
        area, peak, trough, above = saturable(fastest, targets[3].mic)
        assert [x[i] for x in got] == pytest.approx([area, peak, trough, above], rel=1e-5)


def saturable(vmax, threshold):
    """Exposures of the last of three daily doses of 300, by SciPy."""

    def slope(t, y):
        return [-vmax * y[0] / (5.7 + y[0]) / 45.0, y[0]]

    def crossing(t, y):
        return y[0] - threshold

    y = [0.0, 0.0]
    for _ in range(3):
        peak = y[0] + 300 / 45
        run = solve_ivp(slope, (0, 24), [peak, 0.0], rtol=1e-11, atol=1e-12, method="LSODA", events=crossing)
        y = [run.y[0, -1], run.y[1, -1]]
    hit = run.t_events[0]
    above = hit[0] if hit.size else 24.0 * (peak > threshold)
    return y[1], peak, y[0], 100 * above / 24


def test_a_steady_state_that_is_never_reached_counts_as_above(phenytoin):
    """400 mg a day is more than the slowest of the three can eliminate, 17 exp(-0.4) mg/h."""
    regimen = nb.Regimen(400.0, start=24.0, every=24.0, steady=True)
    with pytest.warns(
        UserWarning, match="no solution in 33 % of the draws, such as no steady state; they count as above"
    ):
        table = nb.recommend(phenytoin, regimen, nb.DailyAUC(10, 5000))
    assert table["p_above"].iloc[0] == pytest.approx(2 / 3) and table["eti_ub"].iloc[0] == np.inf
    with pytest.warns(UserWarning, match="they count as above"):
        table = nb.recommend(phenytoin, regimen, [nb.TimeAbove(50, 90, mic=100.0), nb.Peak(10, 5000)])
    assert table["p_above"].tolist() == pytest.approx([2 / 3, 1 / 3])
    with pytest.warns(UserWarning, match="they count as above"):
        row = nb.recommend(phenytoin, regimen, nb.DailyAUC(10)).iloc[0]
    assert [row["p_below"], row["p_in"], row["p_above"], row["loss"]] == pytest.approx([0, 2 / 3, 1 / 3, 1 / 3])
    for kind, lost in (("outside", 3.0), ("relative", np.inf), ("log", np.inf)):
        assert nb.Loss(1, 3, kind).of(nb.DailyAUC(10), [20.0, np.inf]).tolist() == [0.0, lost]


def test_amounts_of_a_saturable_drug_are_searched_for(phenytoin):
    regimen = nb.Regimen(300.0, start=24.0, every=24.0, doses=5)
    table = nb.optimise(phenytoin, regimen, nb.Trough(10, 20), optimum="at least", probability=0.5, between=(100, 900))
    assert table["median"].iloc[0] == pytest.approx(10.0, rel=1e-6)


def test_lags_that_differ_between_draws():
    """The peak of each draw is that of the closed form, wherever its kink lies in a panel."""
    rows = [{"TIME": 0.0, "AMT": 100.0, "DV": np.nan}, {"TIME": 20.0, "AMT": np.nan, "DV": 5.0}]
    one, both = event_table(rows)
    structure = OneCompartment(absorption="first-order", lag=True)
    model = nb.Model(structure, "cl ~ 1", "v ~ 1", "ka ~ 1", "tlag ~ 1 + (1|id)")
    values = {
        "theta_cl": [np.log(3.0)], "theta_v": [np.log(30.0)], "theta_ka": [np.log(2.0)], "theta_tlag": [np.log(0.5)],
        "omega_id": [0.4], "sigma_conc_a": 1.0,
    }  # fmt: skip
    forecast = known(model, both, one, values, 5, id={"one": np.linspace(-0.6, 0.6, 5)[:, None]})
    regimen, targets = nb.Regimen(100.0, start=500.0), [nb.Peak(1, 2, 500, 524), nb.AUC(1, 2, 500, 524)]
    peak, area = prospect(Case.of(forecast), regimen, targets).exposures([100.0])
    tmax, lag = np.log(2 / 0.1) / 1.9, 0.5 * np.exp(np.linspace(-0.6, 0.6, 5))
    top = 100 / 30 * 2 / 1.9 * (np.exp(-0.1 * tmax) - np.exp(-2 * tmax))
    exact = 100 / 30 * 2 / 1.9 * (-np.expm1(-0.1 * (24 - lag)) / 0.1 + np.expm1(-2 * (24 - lag)) / 2)
    np.testing.assert_allclose(peak, top, rtol=1e-7)
    np.testing.assert_allclose(area, exact, rtol=2e-6)


@pytest.fixture(scope="module")
def bolus():
    rows = [{"TIME": 0.0, "AMT": 100.0, "DV": np.nan}, {"TIME": 6.0, "AMT": np.nan, "DV": 2.0}]
    one, both = event_table(rows)
    model = nb.Model(OneCompartment(), "cl ~ 1 + (1|id)", "v ~ 1")
    values = {"theta_cl": [np.log(CL)], "theta_v": [np.log(V)], "omega_id": [0.3], "sigma_conc_a": 1.0}
    return known(model, both, one, values, 3, id={"one": [[-0.4], [0.0], [0.3]]})


LATER = nb.Regimen(100.0, start=24.0)


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda: nb.Regimen(-5.0), "Regimen: amount must be a number from 0 on; got -5.0"),
        (lambda: nb.Regimen(np.inf), "amount must be a number from 0 on; got inf"),
        (lambda: nb.Regimen(5.0, start=np.nan), "start must be a finite number or None; got nan"),
        (lambda: nb.Regimen(5.0, every=6.0, doses=2, duration=8.0), "over 8 is longer than the interval of 6"),
        (lambda: nb.Regimen(5.0, every=6.0, doses=2, rate=0.5), "over 10 is longer than the interval of 6"),
        (lambda: nb.Regimen(5.0, duration=1.0, rate=5.0), "duration and rate say the same"),
        (lambda: nb.Regimen(5.0, steady=True), "a steady state needs an interval, every="),
        (lambda: nb.Regimen(5.0, salt=0.0), "salt must be a positive number; got 0.0"),
        (lambda: nb.Plan(), "Plan: parts must be regimens"),
        (lambda: nb.Plan(LATER, nb.Regimen(5.0, start=24.0)), "starts at 24, before the last dose of 100 at 24"),
        (lambda: nb.AUC(600, 400), "AUC: low 600 is not below high 400"),
        (lambda: nb.AUC(400, 600, 24.0), "give both start and end, or neither"),
        (lambda: nb.Peak(30, 40, 24.0, 24.0), "Peak: start 24 is not before end 24"),
        (lambda: nb.TimeAbove(50), "TimeAbove: give the threshold, mic="),
        (lambda: nb.TimeAbove(101, mic=1.0), "low 101 % is above 100 %"),
        (lambda: nb.AUC(400, free=1.5), "free must be a fraction above 0, at most 1; got 1.5"),
        (lambda: nb.Loss(kind="square"), "kind must be 'outside', 'relative' or 'log'; got 'square'"),
        (lambda: nb.tablets(), "give the sizes of tablets"),
        (lambda: nb.regimens([]), "amounts, every, duration and rate must each hold a value"),
        (lambda: nb.regimens([5.0], until=96.0), "until= needs an interval"),
    ],
)
def test_what_cannot_be_is_refused(made, message):
    with pytest.raises(ValueError, match=message):
        made()


@pytest.mark.parametrize(
    ("target", "words"),
    [
        (nb.DailyAUC(400, mic=2), "AUC/MIC per day at least 400, mic 2"),
        (nb.DailyAUC(400, 600, mic=0.5, free=0.5), "free AUC/MIC per day in 400 to 600, mic 0.5, free 0.5"),
        (nb.TimeAbove(50, mic=4, free=0.7, dose=0), "free % of time above 4 at least 50, free 0.7, after dose 1"),
        (nb.Trough(10, 15, dose=2), "trough in 10 to 15, after dose 3"),
        (nb.Trough(10, 15, dose=-2), "trough in 10 to 15, after dose 2 from the last"),
        (nb.Trough(10, 15, 48.0, dose=2), "concentration at 48 in 10 to 15"),
        (nb.DailyAUC(1, 2, day=1.0), "AUC per 1 in 1 to 2"),
        (nb.Peak(30, 40), "peak in 30 to 40"),
    ],
)
def test_targets_that_differ_have_other_words(target, words):
    assert str(target) == words


def recommended(forecast, regimen=LATER, target=nb.Trough(0, 9, time=48.0), **options):  # noqa: B008 (frozen)
    return nb.recommend(forecast, regimen, target, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"now": -1.0},
            "row 1, column time: a dose at 0 is recorded as given, and now is -1; leave it out, or plan it",
        ),
        ({"now": 30.0}, "the regimen 100 starts at 24, and now is 30; give a later start="),
        ({"target": nb.AUC(400, 600)}, "AUC: the interval of the regimen 100 is not known; give it every="),
        ({"target": nb.Trough(1, 2, dose=3)}, "has no dose number 3; it has 1"),
        ({"outcome": "cp"}, "no outcome 'cp' in the forecast; its outcomes are conc"),
        ({"regimen": nb.Plan(LATER, nb.Regimen(5.0, start=48.0, state="gut"))}, "no state 'gut'; there are central, 1"),
    ],
)
def test_plans_that_cannot_be_are_one_line(bolus, options, message):
    with pytest.raises(nb.ModelError, match=message) as raised:
        recommended(bolus, **options)
    assert "\n" not in str(raised.value)


def test_additional_doses_after_now_are_refused_unless_they_go(bolus):
    """Recorded at 0, 12 and 24 h; now is 13 h."""
    found, patient = bolus.copy(), storage.stored_dataset(bolus)
    patient = replace(patient, doses=patient.doses.assign(addl=2, ii=12.0))
    storage.attach(found, storage.stored_model(bolus), patient, storage.training_dataset(bolus))
    with pytest.raises(nb.ModelError, match="a dose at 24 is recorded as given, and now is 13; leave it out"):
        recommended(found, nb.Regimen(100.0, start=30.0), now=13.0)
    with pytest.warns(UserWarning, match="a dose at 24 is recorded as given, and now is 13"):
        charts.check_now(patient, 13.0)
    assert len(recommended(found, nb.Regimen(100.0, start=20.0), now=13.0, history="replace")) == 1
    assert len(recommended(found, nb.Regimen(100.0, start=20.0), now=13.0, history="none")) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"regimen": nb.Regimen(100e3, start=24.0)},
            "amount is 1e+03 times the largest of the doses known, 100; is it in",
        ),
        (
            {"regimen": nb.Regimen(0.1, start=24.0)},
            "amount is 1e+03 times less than the smallest of the doses known, 100",
        ),
        ({"target": nb.Trough(1e3, 2e3, time=30.0)}, "conc"),
        ({"target": nb.Trough(1e-3, 2e-3, time=30.0)}, "conc"),
    ],
)
def test_another_unit_is_warned_of(bolus, options, message):
    with pytest.warns(UserWarning) as caught:
        recommended(bolus, **options)
    assert any(message in str(w.message) for w in caught) and not any("\n" in str(w.message) for w in caught)


def test_doubts_about_recorded_doses():
    frame = pd.DataFrame({
        "ID": 1, "TIME": [0.0, 6.0, 12.0, 20.0], "AMT": [100.0, 1e5, 100.0, 0.0], "RATE": [10.0, 0.0, 0.0, 0.0],
        "EVID": [1, 1, 1, 0], "DV": [np.nan, np.nan, np.nan, 5.0],
    })  # fmt: skip
    patient = nb.Dataset.from_nonmem(frame)
    training = replace(patient, doses=patient.doses[patient.doses["amount"] == 100.0])
    first, second = plausibility.doubts(training, patient, [])
    assert first.endswith(
        "row 2, column amount: 100000 is 1e+03 times the largest of the doses known, 100; is it in another unit?"
    )
    assert second.endswith("row 1, column rate: the infusion lasts 10, the next dose comes after 6; is the rate right?")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"optimum": "most"}, "optimum must be 'in range', 'loss', 'at least' or 'at most'; got 'most'"),
        ({"optimum": "at least"}, "give probability= with 'at least' and 'at most'"),
        (
            {"optimum": "at least", "probability": 1.0},
            "must be a number between 0 and 1, both excluded or None",
        ),
        (
            {"optimum": "at most", "probability": 0.5, "targets": nb.Trough(1, time=30.0)},
            "needs a limit that is finite",
        ),
        ({"targets": nb.Trough(1, time=30.0)}, "without an upper limit more is always better; take optimum='at least'"),
        ({"targets": nb.Trough(0, 2, 30.0)}, "without a lower limit less is always better; take optimum='at most'"),
        ({"vary": "start"}, "vary must be 'amount', 'every', 'duration' or 'rate'; got 'start'"),
        ({"vary": "duration"}, r"say between which values duration may vary, between=\(low, high\)"),
        ({"between": (5.0, 1.0)}, "between must be two values, the lower first"),
        (
            {"optimum": "at least", "probability": 0.9, "between": (1.0, 2.0)},
            "no amount between 1 and 2 gives at least 1",
        ),
        ({"history": "forget"}, "history must be 'follow', 'replace' or 'none'; got 'forget'"),
    ],
)
def test_searches_that_cannot_be(bolus, options, message):
    target = options.pop("targets", nb.Trough(1, 2, time=30.0))
    with pytest.raises(ValueError, match=message):
        nb.optimise(bolus, LATER, target, **options)


def test_one_of_several_outcomes_is_aimed_at():
    """A metabolite that is formed from all of the drug: its area at steady state is amount / clm."""
    frame = pd.DataFrame({"ID": ["one"] * 3 + ["twin"] * 3, "TIME": [0.0, 5.0, 5.0] * 2, "EVID": [1, 0, 0] * 2})
    frame = frame.assign(AMT=[100.0, 0, 0] * 2, DV=[np.nan, 2.0, 1.0] * 2, DVID=[1, 1, 2] * 2)
    both = nb.Dataset.from_nonmem(frame, outcome={1: "conc", 2: "metabolite"})
    model = nb.Model(
        OneCompartment(metabolite=True), "cl ~ 1 + (1|id)", "v ~ 1", "fm ~ 1", "clm ~ 1", "vm ~ 1",
        residual={"conc": nb.Additive(), "metabolite": nb.Additive()},
    )  # fmt: skip
    values = {
        "theta_cl": [np.log(3.0)], "theta_v": [np.log(30.0)], "theta_fm": [0.0], "theta_clm": [np.log(5.0)],
        "theta_vm": [np.log(20.0)], "omega_id": [0.3], "sigma_conc_a": 1.0, "sigma_metabolite_a": 1.0,
    }  # fmt: skip
    forecast = known(model, both, both.sel(id="one"), values, 2, id={"one": [[-0.3], [0.3]]})
    regimen = nb.Regimen(100.0, start=12.0, every=12.0, steady=True)
    with pytest.raises(nb.ModelError, match="several outcomes; choose one with outcome=: conc, metabolite"):
        nb.recommend(forecast, regimen, nb.AUC(5, 50))
    found = nb.recommend(forecast, regimen, nb.AUC(5, 50), outcome="metabolite")
    assert found["eti_lb"].iloc[0] == pytest.approx(50 / 5.0) and found["eti_ub"].iloc[0] == pytest.approx(50 / 5.0)
    parent = nb.recommend(forecast, regimen, nb.AUC(5, 50), outcome="conc")
    assert parent["median"].iloc[0] == pytest.approx(np.mean(100 / 3.0 * np.exp([-0.3, 0.3])))
    figure = nb.plot.doses(forecast, regimen, nb.AUC(5, 50), outcome="metabolite")
    assert figure.axes[0].get_ylabel() == "metabolite"
    with pytest.raises(nb.ModelError, match="several outcomes; choose one with outcome=: conc, metabolite"):
        nb.next_sample(forecast, [13.0, 20.0], "cl")
    table = nb.next_sample(forecast, [13.0, 20.0], "cl", plan=regimen, outcome="metabolite")
    assert len(table) == 2


def test_an_infusion_that_starts_late_in_some_draws():
    """Kinks at the start and at the end, where the peak is, differ from draw to draw."""
    rows = [{"TIME": 0.0, "AMT": 100.0, "DV": np.nan}, {"TIME": 20.0, "AMT": np.nan, "DV": 5.0}]
    one, both = event_table(rows)
    model = nb.Model(OneCompartment(lag=True), "cl ~ 1", "v ~ 1", "tlag ~ 1 + (1|id)")
    values = {
        "theta_cl": [np.log(3.0)], "theta_v": [np.log(30.0)], "theta_tlag": [np.log(0.1)], "omega_id": [0.4],
        "sigma_conc_a": 1.0,
    }  # fmt: skip
    forecast = known(model, both, one, values, 40, id={"one": np.linspace(-1, 1, 40)[:, None]})
    regimen = nb.Regimen(100.0, start=500.0, every=8.0, duration=0.5)
    targets = [nb.Peak(1, 2), nb.AUC(1, 2), nb.TimeAbove(50, mic=2.5)]
    peak, area, above = prospect(Case.of(forecast), regimen, targets).exposures([100.0])
    lag, top = 0.1 * np.exp(np.linspace(-1, 1, 40)), 100 / 0.5 / 3 * -np.expm1(-0.05)
    np.testing.assert_allclose(peak, top, rtol=1e-3)
    exact = (200 / 3) * (0.5 - (1 - np.exp(-0.05)) / 0.1) + top / 0.1 * -np.expm1(-0.1 * (7.5 - lag))
    np.testing.assert_allclose(area, exact, rtol=1e-11)
    rises = -10 * np.log1p(-2.5 * 3 / 200)
    falls = 0.5 + 10 * np.log(top / 2.5)
    np.testing.assert_allclose(above, 100 * (falls - rises) / 8, rtol=1e-3)
    once = nb.Regimen(100.0, start=500.0, every=8.0)
    area = prospect(Case.of(forecast), once, [nb.AUC(1, 2)]).exposures([100.0])[0]
    np.testing.assert_allclose(area, 100 / 3 * -np.expm1(-0.1 * (8 - lag)), rtol=1e-11)
