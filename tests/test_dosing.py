"""Regimens, targets and searches against closed forms and printed answers of other programs."""

import json
from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import nlmebayes as nb
from model_zoo import OneCompartment, TwoCompartment
from nlmebayes.dosing.exposure import panels
from nlmebayes.dosing.prospect import Case, course, curves, prospect
from nlmebayes.evaluation import storage


def fixed(model, training, patient, values, etas, *, size=None):
    """A forecast, made by hand, of a patient whose random effects are ``etas`` (draw, effect) in a known population."""
    etas = np.atleast_2d(np.asarray(etas, dtype=float))
    tree = nb.simulate(model, training, draws=len(etas), values=values, random_seed=0)
    posterior = tree["prior"].to_dataset().copy(deep=True)
    label = patient.observations["id"].iloc[0]
    posterior["eta_id"].loc[{"id": label}] = etas[None]
    found = xr.DataTree.from_dict({"posterior": posterior})
    storage.attach(found, model, patient, training)
    found["posterior"] = nb.predict(found, patient)["posterior"]
    report = {"effective_sample_size": float(size or len(etas)), "khat": 0.0, "log_evidence": 0.0}
    found.attrs["nlmebayes_forecast"] = json.dumps(report)
    return found


def events(doses, samples, **covariates):
    """Dataset of one patient, and with a twin, whom a population needs; doses are (time, amount, duration)."""
    rows = [{"TIME": t, "AMT": a, "RATE": a / d if d else 0.0, "EVID": 1} for t, a, d in doses]
    rows += [{"TIME": t, "DV": y, "AMT": 0.0, "RATE": 0.0, "EVID": 0} for t, y in samples]
    one = pd.DataFrame(rows).assign(ID="one", **covariates).sort_values(["TIME", "EVID"], ascending=[True, False])
    both = pd.concat([one, one.assign(ID="twin")], ignore_index=True)
    return tuple(nb.Dataset.from_nonmem(x, outcome="conc", levels="id") for x in (one, both))


# Vancomycin of Goti et al. 2018, doi:10.1097/FTD.0000000000000490, as posologyr's vignette and tests use it
# (levenc/posologyr 4af150b): CL 4.5 (CLCR/120)^0.8, V1 58.4 WT/70, V2 38.4, Q 6.5; variances 0.147, 0.51, 0.282.
def goti():
    return nb.Model(
        TwoCompartment(), "cl ~ 1 + log(clcr/120) + (1|id)", "v1 ~ 1 + log(wt/70) + (1|id)", "q ~ 1",
        "v2 ~ 1 + (1|id)", residual=nb.Combined(),
    )  # fmt: skip


GOTI = {
    "theta_cl": [np.log(4.5), 0.8], "theta_v1": [np.log(58.4), 1.0], "theta_q": [np.log(6.5)],
    "theta_v2": [np.log(38.4)], "omega_id": np.sqrt([0.147, 0.51, 0.282]), "sigma_conc_a": 3.4, "sigma_conc_b": 0.227,
}  # fmt: skip
PATIENT_B = events([(0.0, 2000.0, 2.0), (24.2, 1000.0, 2.0)], [(13.0, 12.0), (48.0, 9.5)], clcr=65.0, wt=70.0)
PATIENT_4 = events([(0.0, 2000.0, 2.0), (24.2, 1400.0, 2.0)], [(13.0, 12.0), (48.0, 10.5)], clcr=65.0, wt=70.0)


@cache
def patient_b():
    """At the mode that posologyr prints."""
    return fixed(goti(), PATIENT_B[1], PATIENT_B[0], GOTI, [0.08208197, 0.06122329, 0.06285911])


@cache
def patient_4():
    return fixed(goti(), PATIENT_4[1], PATIENT_4[0], GOTI, [0.10796221, 0.04643863, 0.06859768])


def exposure(forecast, regimen, target, **options):
    return nb.recommend(forecast, regimen, target, **options)["median"].iloc[0]


def amount(forecast, regimen, target, **options):
    table = nb.optimise(forecast, regimen, target, optimum="at least", probability=0.5, **options)
    return table["amount"].iloc[0]


@pytest.mark.parametrize(("start", "end", "printed"), [(0.0, 24.0, 337.8963), (24.0, 48.0, 325.3071)])
def test_areas_of_the_past_as_posologyr_prints_them(start, end, printed):
    later = nb.Regimen(0.0, start=48.0)
    assert exposure(patient_b(), later, nb.AUC(300, 400, start, end)) == pytest.approx(printed, rel=1e-3)


ELEVEN = {"every": 24.0, "doses": 11}


@pytest.mark.parametrize(
    ("forecast", "regimen", "target", "history", "printed"),
    [
        (patient_b, {"start": 48.0, "duration": 2.0}, nb.AUC(400, 600, 48, 72), "follow", 1411.593),
        (patient_b, {"duration": 2.0, **ELEVEN}, nb.AUC(400, 600, 216, 240), "none", 1198.269),
        (patient_b, {"duration": 24.0, **ELEVEN}, nb.AUC(400, 600, 216, 240), "none", 1198.923),
        (patient_4, {"duration": 2.0}, nb.AUC(400, 600, 0, 24), "none", 2377.758),
        (patient_4, {"duration": 2.0}, nb.Trough(11.04931, 20, 24), "none", 2530.699),
        (patient_4, {"duration": 2.0, **ELEVEN}, nb.AUC(400, 600, 216, 240), "none", 1229.366),
        (patient_4, {"duration": 24.0, **ELEVEN}, nb.Trough(100 / 6, 20, 237.6), "none", 1229.426),
    ],
)
def test_doses_as_posologyr_prints_them(forecast, regimen, target, history, printed):
    found = amount(forecast(), nb.Regimen(1000.0, **{"start": 0.0} | regimen), target, history=history)
    assert found == pytest.approx(printed, rel=1e-3)


def test_a_dose_for_the_mode_reaches_its_limit():
    """Of a single draw the probability is 0 or 1; the dose is on the side of 1."""
    regimen, target = nb.Regimen(1000.0, start=48.0, duration=2.0), nb.AUC(400, 600, 48, 72)
    for optimum, column in (("at least", "p_below"), ("at most", "p_above")):
        table = nb.optimise(patient_b(), regimen, target, optimum=optimum, probability=0.5)
        assert table[column].iloc[0] == 0.0 and table["p_in"].iloc[0] == 1.0


def test_an_interval_as_posologyr_prints_it():
    """10 mg/L before the last of 11 doses; posologyr reads it on a coarse grid, which makes it 35.9 h."""
    regimen = nb.Regimen(2000.0, start=0.0, every=24.0, doses=11, duration=2.0)
    table = nb.optimise(
        patient_4(), regimen, nb.Trough(10.0, 20.0, dose=-2), optimum="at least", probability=0.5, vary="every",
        between=(12.0, 60.0), history="none",
    )  # fmt: skip
    assert table["every"].iloc[0] == pytest.approx(35.807, abs=0.01)


def test_a_dose_that_replaces_the_last_as_tdmore_prints_it():
    """tdmore-dev/tdmore 67c2082, testNlmixr.R: 2-compartment oral, 5 mg at 0 and 24 h; 0.0395 mg/L at 35 h."""
    model = nb.Model(
        TwoCompartment(absorption="first-order"), "cl ~ 1 + (1|p|id)", "v1 ~ 1 + (1|p|id)", "v2 ~ 1 + (1|p|id)",
        "q ~ 1", "ka ~ 1", residual=nb.Proportional(),
    )  # fmt: skip
    one, both = events([(0.0, 5.0, 0), (24.0, 5.0, 0)], [(2.0, 0.04), (26.0, 0.0675)])
    values = {
        "theta_cl": [np.log(3.7)], "theta_v1": [np.log(61.0)], "theta_v2": [np.log(61.0)], "theta_q": [np.log(10.0)],
        "theta_ka": [np.log(3.7)], "omega_id": [0.28, 0.19, 0.19], "sigma_conc_b": 0.23,
    }  # fmt: skip
    eta = tdmore_mode(model, both, one, values)
    forecast = fixed(model, both, one, values, [eta[0], eta[1], eta[1]])
    found = amount(forecast, nb.Regimen(5.0, start=24.0), nb.Trough(0.0395, 1.0, 35.0), history="replace")
    assert found == pytest.approx(5.84, rel=2e-3)


def tdmore_mode(model, both, one, values):
    """Mode of (eta_cl, eta_v), with V2 = V1, by a search over a grid that closes in."""
    centre, width = np.zeros(2), 0.5
    y = one.observations["value"].to_numpy()
    for _ in range(7):
        steps = centre + width * np.stack(np.meshgrid(*[np.linspace(-1, 1, 21)] * 2), axis=-1).reshape(-1, 2)
        tree = fixed(model, both, one, values, steps[:, [0, 1, 1]])
        f = nb.predict(tree, one)["posterior"]["f_conc"].to_numpy()[0]
        var = (0.23 * f) ** 2
        objective = (np.log(var) + (y - f) ** 2 / var).sum(axis=1) + (steps**2 / [0.0784, 0.0361]).sum(axis=1)
        centre, width = steps[objective.argmin()], width / 5
    return centre


# Exact posterior of patient B by importance sampling with 400,000 draws, shared reference of the same case.
ATTAINMENT = {"p_below": 0.55362, "p_in": 0.41473, "p_above": 0.03165}
QUANTILES = {"eti_lb": 255.573, "median": 387.2497, "eti_ub": 571.576}


@cache
def posterior_b():
    """A forecast of patient B in the known population."""
    one, both = PATIENT_B
    names = {"one": "first", "twin": "second"}
    frames = {part: getattr(both, part).replace({"id": names}) for part in ("observations", "doses")}
    tree = nb.simulate(goti(), replace(both, **frames), draws=500, values=GOTI, random_seed=0)
    tree["posterior"] = tree["prior"]
    return nb.forecast(tree, one, draws=20_000, proposals=20_000, random_seed=1)


def test_attainment_of_the_exact_posterior():
    regimen = nb.Regimen(1411.593, start=48.0, duration=2.0)
    row = nb.recommend(posterior_b(), regimen, nb.AUC(400, 600, 48, 72)).iloc[0]
    for name, exact in ATTAINMENT.items():
        error = row["mcse" + ("" if name == "p_in" else name[1:])]
        assert abs(row[name] - exact) < 4 * error, name
    for name, exact in QUANTILES.items():
        assert row[name] == pytest.approx(exact, rel=0.02), name


@pytest.mark.parametrize(("probability", "exact"), [(0.5, 1490.02), (0.8, 2064.80), (0.9, 2442.71)])
def test_doses_of_a_stated_probability(probability, exact):
    regimen, target = nb.Regimen(1000.0, start=48.0, duration=2.0), nb.AUC(400, 600, 48, 72)
    table = nb.optimise(posterior_b(), regimen, target, optimum="at least", probability=probability)
    assert table["amount"].iloc[0] == pytest.approx(exact, rel=0.02)
    assert table["p_below"].iloc[0] == pytest.approx(1 - probability, abs=1e-3)


def test_the_dose_most_probably_in_range():
    """Exact: 0.5968 at 2010 mg; the curve is flat there."""
    regimen, target = nb.Regimen(1000.0, start=48.0, duration=2.0), nb.AUC(400, 600, 48, 72)
    table = nb.optimise(posterior_b(), regimen, target, given=range(250, 4001, 250))
    assert table["rounded"].tolist() == [True, True, False] and set(table["amount"][:2]) <= {1750.0, 2000.0, 2250.0}
    best = table.iloc[2]
    assert abs(best["p_in"] - 0.5968) < 4 * best["mcse"] and best["amount"] == pytest.approx(2010, rel=0.1)


def draws_b(n=40, seed=3):
    """Patient B with random draws of the effects."""
    rng = np.random.default_rng(seed)
    return fixed(goti(), PATIENT_B[1], PATIENT_B[0], GOTI, rng.normal(size=(n, 3)) * GOTI["omega_id"])


@pytest.mark.parametrize("steady", [False, True])
def test_scaled_curves_equal_evaluated_ones(steady):
    """Loading and maintenance after a true history: any amounts from three evaluations."""
    loading = nb.Regimen(2000.0, start=50.0, duration=2.0)
    plan = nb.Plan(loading, nb.Regimen(750.0, start=62.0, every=12.0, doses=4, duration=1.0, salt=0.9))
    plan = nb.Regimen(800.0, start=50.0, every=12.0, duration=1.0, steady=True) if steady else plan
    found = course(Case.of(draws_b()), plan, np.linspace(48.5, 120.0, 40))
    largest = [3000.0] * len(plan.parts)
    scaled = curves(found, largest)
    assert scaled != found.predicted
    for amounts in ([2000.0, 750.0], [10.0, 2990.0], [0.0, 500.0]):
        amounts = amounts[-len(largest) :]
        np.testing.assert_allclose(scaled(amounts), found.predicted(amounts), rtol=1e-11)


def test_a_regimen_among_many_has_the_numbers_it_has_alone():
    many = nb.regimens([500, 1000, 1500], every=(12, 24), duration=(1, 2), start=48, until=120)
    targets = [nb.DailyAUC(400, 600), nb.Peak(20, 40), nb.Trough(10, 15), nb.TimeAbove(50, mic=12)]
    forecast = draws_b()
    table = nb.recommend(forecast, many, targets).set_index(["regimen", "target"])
    assert len(many) == 12 and len(table) == 48
    for regimen in (many[0], many[7]):
        alone = nb.recommend(forecast, regimen, targets).set_index(["regimen", "target"])
        there = table.loc[alone.index, ["p_in", "eti_lb", "median", "eti_ub", "loss"]]
        np.testing.assert_allclose(there, alone[there.columns], rtol=1e-9)


def test_a_modelled_rate_is_not_scaled():
    """At a rate that is a parameter the duration grows with the amount: exposures are not linear in it."""
    model = nb.Model(OneCompartment(absorption="constant-rate"), "cl ~ 1 + (1|id)", "v ~ 1", "r0 ~ 1")
    one, both = events([(0.0, 100.0, 0)], [(1.0, 5.0)])
    values = {
        "theta_cl": [np.log(3.0)], "theta_v": [np.log(30.0)], "theta_r0": [np.log(50.0)], "omega_id": [0.3],
        "sigma_conc_a": 1.0,
    }  # fmt: skip
    forecast = fixed(model, both, one, values, [[0.1], [-0.2]])
    found = course(Case.of(forecast), nb.Regimen(100.0, start=24.0), np.linspace(24.5, 60.0, 9))
    assert curves(found, [500.0]) == found.predicted


# One compartment, bolus: C(t) = dose / v exp(-k t), k = cl / v; a patient without a past.
CL, V = np.array([2.0, 3.0, 5.0]), 30.0
K = CL / V


@cache
def bolus():
    model = nb.Model(OneCompartment(), "cl ~ 1 + (1|id)", "v ~ 1", residual=nb.Proportional())
    one, both = events([(0.0, 100.0, 0)], [(1.0, 5.0)])
    values = {"theta_cl": [np.log(3.0)], "theta_v": [np.log(V)], "omega_id": [0.5], "sigma_conc_b": 0.1}
    return fixed(model, both, one, values, np.log(CL / 3.0)[:, None], size=3)


def exposures(regimen, target, **options):
    case = Case.of(bolus(), history=options.pop("history", "none"), **options)
    return prospect(case, regimen, [target]).exposures([part.amount for part in regimen.parts])[0]


REPEATED = nb.Regimen(300.0, start=0.0, every=12.0, doses=3)
AFTER_THREE = 300 / V * (1 + np.exp(-12 * K) + np.exp(-24 * K))  # right after the third dose
STEADY = nb.Regimen(300.0, start=0.0, every=12.0, steady=True)
AT_STEADY = 300 / V / -np.expm1(-12 * K)


@pytest.mark.parametrize(
    ("regimen", "target", "exact"),
    [
        (REPEATED, nb.Trough(1, 2), AFTER_THREE * np.exp(-12 * K)),
        (REPEATED, nb.Trough(1, 2, dose=0), 300 / V * np.exp(-12 * K)),
        (REPEATED, nb.Trough(1, 2, time=30.0), AFTER_THREE * np.exp(-6 * K)),
        (REPEATED, nb.Peak(1, 2), AFTER_THREE),
        (REPEATED, nb.Peak(1, 2, 26.0, 30.0), AFTER_THREE * np.exp(-2 * K)),
        (REPEATED, nb.AUC(1, 2), AFTER_THREE / K * -np.expm1(-12 * K)),
        (STEADY, nb.DailyAUC(1, 2), 2 * 300 / CL),
        (STEADY, nb.DailyAUC(1, 2, day=1.0), 300 / CL / 12),
        (STEADY, nb.DailyAUC(1, 2, mic=0.5, free=0.4), 2 * 300 / CL * 0.8),
        (STEADY, nb.AverageConcentration(1, 2), 300 / CL / 12),
        (STEADY, nb.Trough(1, 2), AT_STEADY * np.exp(-12 * K)),
        (STEADY, nb.Peak(1, 2, mic=2.0), AT_STEADY / 2),
        (STEADY, nb.TimeAbove(50, mic=8.0), 100 * np.clip(np.log(AT_STEADY / 8) / K / 12, 0, 1)),
        (STEADY, nb.TimeAbove(50, mic=6.0, free=0.5), 100 * np.clip(np.log(AT_STEADY / 12) / K / 12, 0, 1)),
        (nb.Regimen(375.0, start=0.0, every=12.0, steady=True, salt=0.8), nb.AverageConcentration(1, 2), 300 / CL / 12),
        (nb.Plan(nb.Regimen(600.0, start=0.0), nb.Regimen(300.0, start=12.0, every=12.0)), nb.Trough(1, 2),
         300 / V * (2 * np.exp(-24 * K) + np.exp(-12 * K))),
    ],
)  # fmt: skip
def test_exposures_are_those_of_the_closed_form(regimen, target, exact):
    np.testing.assert_allclose(exposures(regimen, target), exact, rtol=1e-8)


def test_all_of_the_time_above_is_a_target():
    """Troughs at steady state of the three draws are 8.2, 4.3 and 1.6."""
    troughs = AT_STEADY * np.exp(-12 * K)
    for mic in (0.5, 2.0, 6.0, 9.0):
        row = nb.recommend(bolus(), STEADY, nb.TimeAbove(100, mic=mic), history="none").iloc[0]
        assert row["p_in"] == pytest.approx((troughs > mic).mean())
        assert row["p_below"] == pytest.approx((troughs < mic).mean())
    least = amount(bolus(), STEADY, nb.TimeAbove(100, mic=6.0), history="none")
    assert least == pytest.approx(300 * 6.0 / troughs[1], rel=1e-6)
    grid = panels(0.0, 7.3, np.arange(0.1, 7, 0.37))
    assert nb.TimeAbove(100, mic=1.0).measure(grid, np.full((1, len(grid.times)), 1.5)) == 100.0


def test_the_peak_of_an_infusion_is_at_its_end():
    regimen = nb.Regimen(300.0, start=0.0, every=12.0, duration=1.5, steady=True)
    exact = 300 / 1.5 / CL * -np.expm1(-1.5 * K) / -np.expm1(-12 * K)
    np.testing.assert_allclose(exposures(regimen, nb.Peak(1, 2)), exact, rtol=1e-9)
    at_rate = replace(regimen, duration=None, rate=200.0)
    np.testing.assert_allclose(exposures(at_rate, nb.Peak(1, 2)), exact, rtol=1e-9)


def test_a_new_steady_state_is_where_a_long_regimen_goes():
    long = nb.Regimen(300.0, start=24.0, every=12.0, doses=40)
    assert exposures(long, nb.Peak(1, 2), history="follow") == pytest.approx(exposures(STEADY, nb.Peak(1, 2)), rel=1e-9)


def test_recorded_doses_stay_or_are_replaced_or_left_out():
    """The recorded dose, 100 at 0, then 300 at 0 or 12."""
    at_12, at_0, target = nb.Regimen(300.0, start=12.0), nb.Regimen(300.0, start=0.0), nb.Trough(1, 2, time=20.0)
    recorded, new = 100 / V * np.exp(-20 * K), 300 / V * np.exp(-8 * K)
    np.testing.assert_allclose(exposures(at_12, target, history="follow"), recorded + new, rtol=1e-10)
    np.testing.assert_allclose(exposures(at_12, target, history="replace"), recorded + new, rtol=1e-10)
    np.testing.assert_allclose(exposures(at_12, target, history="none"), new, rtol=1e-10)
    np.testing.assert_allclose(exposures(at_0, target, history="replace"), 3 * recorded, rtol=1e-10)
    with pytest.raises(nb.ModelError, match="or take history='replace' if the doses from there on have not been given"):
        exposures(at_0, target, history="follow")


def test_additional_doses_are_replaced_from_the_start_on():
    one = bolus_with(addl=4)
    case = Case.of(one, history="replace")
    found = prospect(case, nb.Regimen(50.0, start=24.0), [nb.Trough(1, 2, time=30.0)]).exposures([50.0])[0]
    exact = (100 * (np.exp(-30 * K) + np.exp(-18 * K)) + 50 * np.exp(-6 * K)) / V
    np.testing.assert_allclose(found, exact, rtol=1e-10)


def bolus_with(**dose):
    """The bolus patient with other columns of the dose."""
    found = bolus().copy(deep=True)
    patient = storage.stored_dataset(found)
    doses = patient.doses.assign(**dose).assign(ii=12.0 if "addl" in dose else 0.0)
    return storage.attach(
        found, storage.stored_model(found), replace(patient, doses=doses), storage.training_dataset(found)
    )


def test_losses():
    target = nb.Trough(10, 20, weight=2.0)
    at = [5.0, 12.0, 40.0]
    assert nb.Loss(1, 3).of(target, at).tolist() == [2, 0, 6]
    assert nb.Loss(1, 3, "relative").of(target, at) == pytest.approx([1, 0, 6])
    assert nb.Loss(1, 3, "log").of(target, at) == pytest.approx([2 * np.log(2), 0, 6 * np.log(2)])
    assert nb.Loss(1, 3, "log").of(nb.AUC(400), [200.0, 800.0]) == pytest.approx([np.log(2), 0])


def test_an_asymmetric_loss_asks_for_less():
    regimen, target = nb.Regimen(300.0, start=0.0, every=12.0, steady=True), nb.DailyAUC(150, 200)
    many = [replace(regimen, amount=a) for a in (150.0, 250.0, 350.0)]
    fair = nb.recommend(bolus(), many, target, history="none", loss=nb.Loss(kind="log"))
    careful = nb.recommend(bolus(), many, target, history="none", loss=nb.Loss(1, 20, "log"))
    assert fair["loss"].is_monotonic_increasing and careful["amount"].iloc[0] < fair["amount"].iloc[0]
    best = nb.optimise(bolus(), regimen, target, history="none", optimum="loss", loss=nb.Loss(1, 20, "log"))
    values = np.linspace(20, 600, 581)
    daily = 2 * values[:, None] / CL
    lost = np.log(150 / np.minimum(daily, 150)) + 20 * np.log(np.maximum(daily, 200) / 200)
    assert best["loss"].iloc[0] <= lost.mean(axis=1).min() + 1e-3


def test_what_can_be_given():
    assert nb.tablets(100, 250, most=2) == [100, 200, 250, 350, 500]
    assert nb.tablets(100, most=2, halves=True) == [50, 100, 150, 200]
    regimen, target = nb.Regimen(300.0, start=0.0, every=12.0, steady=True), nb.DailyAUC(150, 300)
    table = nb.optimise(
        bolus(), regimen, target, history="none", optimum="at least", probability=0.5, given=nb.tablets(50, most=9)
    )
    exact = 150 * 3.0 / 2
    assert table["amount"].tolist() == [pytest.approx(250.0), pytest.approx(200.0), pytest.approx(exact, rel=1e-6)]
    assert (
        nb.optimise(
            bolus(), regimen, target, history="none", optimum="at most", probability=0.5, given=nb.tablets(50, most=9)
        )["amount"].iloc[0]
        == 450.0
    )


def test_nothing_is_given_beyond_where_to_look():
    """Of a largest dose of 210, 250 was said to be best: the wanted amounts are larger."""
    regimen, target = nb.Regimen(200.0, start=0.0, every=12.0, steady=True), nb.DailyAUC(150, 300)
    for given, amounts in ((50, [200.0]), ([150, 180, 250], [180.0]), (None, [])):
        table = nb.optimise(bolus(), regimen, target, history="none", between=(100, 210), given=given)
        assert table["amount"].tolist() == [*amounts, pytest.approx(210.0, rel=1e-3)]
    with pytest.raises(nb.ModelError, match="given= holds no value between 100 and 210"):
        nb.optimise(bolus(), regimen, target, history="none", between=(100, 210), given=[50, 250])


def test_infusions_longer_than_the_interval_are_no_choice():
    found = nb.regimens([500], every=(6, 12), duration=(1, 8))
    assert [(r.every, r.duration) for r in found] == [(6, 1), (12, 1), (12, 8)]
    with pytest.raises(ValueError, match="an infusion over 8 is longer than the interval of 6"):
        nb.regimens([500], every=6, duration=8)


def test_several_targets_are_met_together():
    targets = [nb.DailyAUC(150, 450), nb.Trough(4, 6)]
    table = nb.recommend(bolus(), nb.Regimen(300.0, start=0.0, every=12.0, steady=True), targets, history="none")
    daily, trough = 2 * 300 / CL, AT_STEADY * np.exp(-12 * K)
    both = (daily >= 150) & (daily <= 450) & (trough >= 4) & (trough <= 6)
    assert table["p_all"].tolist() == [both.mean()] * 2
    assert table["loss"].iloc[0] == pytest.approx((1 - table["p_in"]).sum())


def test_a_picture_of_regimens():
    targets = [nb.Trough(10, 15), nb.DailyAUC(400, 600), nb.TimeAbove(50, mic=4, free=0.5)]
    many = nb.regimens([500, 1000], every=12, duration=1, start=48, until=96)
    figure = nb.plot.doses(draws_b(), many, targets)
    table = nb.recommend(draws_b(), many, targets)
    titles = {axis.get_title() for axis in figure.axes}
    assert titles == {f"{r['regimen']}: {100 * r['p_all']:.0f} %" for r in table.to_dict("records")}
    (line, *_) = figure.axes[0].get_lines()
    middle = np.median(course(Case.of(draws_b()), many[0], np.array([60.0])).predicted([500.0])[:, 0])
    assert np.interp(60.0, *line.get_data()) == pytest.approx(middle, rel=1e-6)
