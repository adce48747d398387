"""What a regimen leaves open: the next dose, its infusion and its state, from the records; what can be given."""

import json

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from typer.testing import CliRunner

import nlmebayes as nb
from model_zoo import OneCompartment
from nlmebayes.app.forecast import parameters, told
from nlmebayes.cli import app
from nlmebayes.dosing.inheritance import Chart, stated
from nlmebayes.populations.dispensing import Dispensing

IV = OneCompartment()
ORAL = OneCompartment("first-order")
HEADER = ["TIME", "AMT", "RATE", "ADDL", "II", "CMT", "EVID", "DV"]


def table(*rows, **columns):
    """Rows (time, amount, rate, addl, ii, cmt), or (time, value)."""
    full = [(*r, 1, np.nan) if len(r) == 6 else (r[0], 0.0, 0.0, 0, 0.0, 0, 0, r[1]) for r in rows]
    return pd.DataFrame(full, columns=HEADER).assign(ID="a", **columns)


def chart(*rows, structure=IV, infused=False):
    frame = table(*rows)
    if (frame["CMT"] == 0).all():
        frame = frame.drop(columns="CMT")
    return Chart.of(nb.Dataset.from_nonmem(frame, outcome="conc", unmeasured="predict"), structure, infused)


TWICE = ((0.0, 1000.0, 500.0, 0, 0.0, 0), (12.0, 1000.0, 500.0, 0, 0.0, 0), (16.0, 9.0))
PLANNED = ((0.0, 1000.0, 0.0, 5, 12.0, 0), (16.0, 9.0))
ONCE = ((0.0, 1000.0, 0.0, 0, 0.0, 0), (4.0, 9.0))


@pytest.mark.parametrize(
    ("rows", "every", "history", "now", "start"),
    [
        (TWICE, None, "follow", None, 24.0),  # 12 after 12, not the sample at 16
        (TWICE, 8.0, "follow", None, 24.0),  # the interval of the doses that were given
        (TWICE, None, "follow", 20.0, 24.0),
        (TWICE, None, "follow", 30.0, 30.0),  # that at 24 was not given
        ((*TWICE, (24.0, 5.0)), None, "follow", None, 24.0),  # a trough: the dose comes after it
        ((*TWICE, (27.0, 5.0)), None, "follow", None, 27.0),
        (TWICE, None, "none", None, 16.0),
        (PLANNED, None, "follow", None, 72.0),  # five more every 12
        (PLANNED, None, "replace", None, 24.0),
        (PLANNED, None, "replace", 25.0, 36.0),
        (ONCE, 8.0, "follow", None, 8.0),  # its own interval is the only one
        (ONCE, 8.0, "follow", 9.0, 9.0),
        (((0.0, np.nan),), 8.0, "follow", None, 0.0),  # nothing is recorded
    ],
)
def test_the_next_dose(rows, every, history, now, start):
    plan, words = stated(nb.Regimen(500.0, every=every), chart(*rows), history, now)
    assert plan.start == start and any(f"starts at {start:g}" in text for text in words)


def test_what_is_stated_stays():
    regimen = nb.Regimen(500.0, start=18.0, duration=0.0, state="central")
    assert stated(regimen, chart(*TWICE)) == (regimen, {})
    rated = nb.Regimen(500.0, start=18.0, rate=100.0)
    assert stated(rated, chart(*TWICE)) == (rated, {})


def test_an_infusion_and_a_state_are_inherited():
    plan, words = stated(nb.Regimen(500.0, start=24.0), chart(*TWICE))
    assert plan.infusion == 2.0 and words == {"runs over 2, as the last dose": "duration"}
    oral = chart((0.0, 100.0, 0.0, 0, 0.0, 1), (4.0, 9.0), structure=ORAL)
    assert stated(nb.Regimen(50.0, start=24.0), oral)[1] == {}
    drip = chart((0.0, 100.0, 0.0, 0, 0.0, 1), (12.0, 60.0, 20.0, 0, 0.0, 2), (13.0, 9.0), structure=ORAL)
    plan, words = stated(nb.Regimen(50.0), drip)
    assert (plan.state, plan.infusion, plan.start) == ("central", 3.0, 24.0) and len(words) == 3
    assert stated(nb.Regimen(50.0, state="depot"), drip)[0].infusion is None  # as the last dose into the depot


def test_parts_of_a_plan_follow_one_another():
    plan, _ = stated(nb.Plan(nb.Regimen(2000.0), nb.Regimen(1000.0, every=12.0, doses=3)), chart(*TWICE))
    assert plan.times.tolist() == [24.0, 36.0, 48.0, 60.0] and {part.infusion for part in plan.parts} == {2.0}


@pytest.mark.parametrize(
    ("rows", "regimen", "message"),
    [
        (ONCE, {}, "imply no next dose after that at 0, the only one: say when the regimen starts"),
        (
            ((0.0, 100.0, 0.0, 0, 0.0, 1), (0.0, 60.0, 20.0, 0, 0.0, 2), (1.0, 9.0)), {"every": 12.0},
            "the last doses went into several states, depot, central; say which, state=",
        ),
        (
            ((0.0, 90.0, 30.0, 0, 0.0, 2), (0.0, 60.0, 30.0, 0, 0.0, 2), (1.0, 9.0)), {"every": 12.0},
            "over several lengths of time, 3.0, 2.0; say which, duration=",
        ),
    ],
)  # fmt: skip
def test_what_the_records_do_not_tell_is_asked_for(rows, regimen, message):
    with pytest.raises(nb.ModelError, match=message):
        stated(nb.Regimen(50.0, **regimen), chart(*rows, structure=ORAL))


def test_a_drug_that_is_infused_is_not_given_at_once_unasked():
    nothing = chart((0.0, np.nan), infused=True)
    with pytest.raises(nb.ModelError, match="this drug is infused, and no dose is recorded that says over how long"):
        stated(nb.Regimen(50.0, start=0.0), nothing)
    assert stated(nb.Regimen(50.0, start=0.0, duration=1.0), nothing)[1] == {}


def peaks(tree, amounts, lasting, every):
    """Peak at the end of the last of infusions that follow one another, of each draw, by the closed form."""
    cl, v = (tree["posterior"][name].to_numpy()[0, :, -1] for name in ("cl", "v"))
    k = (cl / v)[:, None]
    ends = every * (len(amounts) - 1) + lasting - every * np.arange(len(amounts)) - lasting
    each = np.array(amounts) / lasting / cl[:, None] * -np.expm1(-k * lasting) * np.exp(-k * ends)
    return each.sum(axis=1)


def test_a_new_regimen_is_an_infusion_where_all_doses_were():
    """Case 21: two infusions over 2 h, a sample 4 h after the second; P(peak > 40) of the third, written out."""
    tree = nb.population(IV, theta={"cl": 3.0, "v": 40.0}, omega={"sd": {"cl": 0.3, "v": 0.3}}, sigma={"b": 0.2})
    patient = nb.Dataset.from_nonmem(table(*TWICE[:2], (16.0, 24.0)).drop(columns="CMT"), outcome="conc")
    forecast = nb.forecast(tree, patient, random_seed=1)
    with pytest.warns(UserWarning, match="starts at 24, 12 after the last dose, at 12 and runs over 2, as the last"):
        found = nb.recommend(forecast, nb.Regimen(1000.0, every=12.0), nb.Peak(0, 40))
    exact = peaks(forecast, [1000.0] * 3, 2.0, 12.0)
    assert found["p_above"][0] == (exact > 40).mean() and found["median"][0] == pytest.approx(np.median(exact))
    at_once = nb.recommend(forecast, nb.Regimen(1000.0, start=24.0, every=12.0, duration=0.0), nb.Peak(0, 40))
    assert at_once["p_above"][0] > found["p_above"][0] + 0.1


def test_amounts_that_can_be_given():
    vials = Dispensing(250.0, source="label")
    assert vials.nearest(574.349) == (500.0, 750.0) and vials.nearest(750.0) == (750.0, 1000.0)
    assert vials.nearest(20.0) == (250.0,)
    assert Dispensing(1000.0, 2000.0, source="label").nearest(1500.0) == (2000.0,)
    assert Dispensing().nearest(574.349) == (574.0,) and Dispensing().nearest(0.0123456) == (0.0123,)
    with pytest.raises(nb.ModelError, match="say where it is from, source="):
        Dispensing(250.0)


def test_the_best_amount_of_a_published_model_can_be_given():
    tree = nb.published("vancomycin_buelga_2005")
    frame = table(*TWICE, crcl=60.0, wt=70.0).drop(columns="CMT")
    forecast = nb.forecast(tree, nb.Dataset.from_nonmem(frame, outcome="conc"), draws=400, random_seed=1)
    regimen = nb.Regimen(1000.0, start=24.0, every=12.0, duration=2.0, steady=True)
    found = nb.optimise(forecast, regimen, nb.DailyAUC(400, 600))
    exact = found["amount"].iloc[-1]
    assert found["rounded"].tolist() == [True, True, False]
    assert sorted(found["amount"][:2]) == [250 * np.floor(exact / 250), 250 * np.ceil(exact / 250)]
    assert nb.optimise(forecast, regimen, nb.DailyAUC(400, 600), given=100.0)["amount"][0] % 100 == 0


RUN = CliRunner()


def run(folder, frame, *words, model="vancomycin_buelga_2005"):
    frame.drop(columns="CMT").to_csv(folder / "patient.csv", index=False, na_rep=".")
    found = RUN.invoke(app, ["forecast", model, str(folder / "patient.csv"), "--out", str(folder / "out"), *words])
    said = folder / "out" / "forecast.json"
    return found, json.loads(said.read_text(encoding="utf-8")) if said.exists() else {}


def test_doses_on_the_command_line_have_units_and_a_clock(tmp_path):
    frame = table(*TWICE, crcl=60.0, wt=70.0)
    frame = frame.assign(TIME=["08:00", "20:00", "00:00"], DAT2=["2026-03-02", "2026-03-02", "2026-03-03"])
    found, said = run(tmp_path, frame, "--target", "auc24 400-600 mg*h/L", "--target", "peak -40", "--every", "12")
    assert found.exit_code == 0, found.output
    best = said["best"][0]
    assert best["amount"] % 250 == 0 and best["duration"] == 2.0 and best["start"] == 24.0
    assert f"Best: {best['amount']:g} mg over 2 h every 12 h at steady state, from 24 h (2026-03-03 08:00) on" in (
        found.stdout
    )
    assert "AUC per day in 400 to 600 mg*h/L:" in found.stdout and "peak in 0 to 40 mg/L:" in found.stdout
    assert "Assumed: the regimen starts at 24, 12 after the last dose, at 12 and runs over 2, as the" in found.stdout
    assert "Assumed: amounts are multiples of 250 mg, as the published model states" in found.stdout
    assert found.stdout.count("Intended use: ") == 1 and said["intended_use"] in found.stdout
    assert said["units"]["amount"] == "mg" and len(said["assumed"]) == 2
    tree = xr.open_datatree(tmp_path / "out" / "forecast.nc").load()
    cl = tree["posterior"]["cl"].to_numpy()[0, :, -1]
    assert best["median"] == pytest.approx(np.median(2 * best["amount"] / cl))  # AUC = dose / clearance


def test_the_first_dose_of_a_patient_of_whom_nothing_is_recorded(tmp_path):
    frame = table((0.0, np.nan), crcl=60.0, wt=70.0)
    words = ["--target", "auc24 400-600", "--every", "12"]
    found, _ = run(tmp_path, frame, *words)
    assert found.exit_code == 1 and "this drug is infused, and no dose is recorded" in found.stderr
    found, said = run(tmp_path, frame, *words, "--duration", "1", "--history", "none")
    assert found.exit_code == 0, found.output
    assert said["best"][0]["start"] == 0.0 and said["best"][0]["amount"] % 250 == 0
    cl = 1.08 * 0.06 * 60  # typical, L/h
    assert said["best"][0]["median"] == pytest.approx(2 * said["best"][0]["amount"] / cl, rel=0.03)


def test_nothing_measured_is_told_with_the_mend():
    with pytest.raises(nb.DataError, match="without measurements say unmeasured='predict'"):
        nb.Dataset.from_nonmem(table((0.0, np.nan)).drop(columns="CMT"), outcome="conc")


OWN = """
name = "A drug"
structure = "OneCompartment"
theta = { cl = 3.0, v = 40.0 }
omega = { sd = { cl = 0.3 } }
sigma = { b = 0.1 }
"""


def test_without_a_step_three_digits_are_given_and_that_is_said(tmp_path):
    (tmp_path / "own.toml").write_text(OWN, encoding="utf-8")
    words = ["--target", "auc24 400-600", "--every", "12"]
    found, said = run(tmp_path, table(*TWICE), *words, model=str(tmp_path / "own.toml"))
    assert found.exit_code == 0, found.output
    amount = said["best"][0]["amount"]
    assert amount == float(f"{amount:.3g}") and "three significant digits, for the steps that" in found.stdout
    found, said = run(tmp_path, table(*TWICE), *words, "--step", "80", "--force", model=str(tmp_path / "own.toml"))
    assert said["best"][0]["amount"] % 80 == 0 and "multiples of 80; for others" in found.stdout


def test_steps_in_a_file_are_checked(tmp_path):
    (tmp_path / "own.toml").write_text(OWN + "dispensing = { stepp = 3 }\n", encoding="utf-8")
    found, _ = run(tmp_path, table(*TWICE), model=str(tmp_path / "own.toml"))
    assert found.exit_code == 1 and "own.toml: Dispensing: no argument 'stepp'" in found.stderr


def test_published_models_are_listed_and_a_slip_is_answered(tmp_path):
    found = RUN.invoke(app, ["models"])
    assert found.exit_code == 0, found.output
    for name in nb.published_names():
        assert f"\n{name}: " in found.stdout and json.loads(nb.published(name).attrs["nlmebayes_published"])["doi"] in (
            found.stdout
        )
    assert "domain: crcl 2 to 250 mL/min" in found.stdout and "multiples of 500 ug" in found.stdout
    with pytest.raises(nb.ModelError, match="no published model 'Vancomycin-Goti', did you mean vancomycin_goti_2018"):
        nb.published("Vancomycin-Goti")
    found, _ = run(tmp_path, table(*TWICE), model="tacrolimus_woilard_2011")
    assert found.exit_code == 1 and "did you mean tacrolimus_woillard_2011?" in found.stderr


def test_a_patient_at_a_site_that_nobody_knows():
    model = nb.Model(IV, "cl ~ 1 + (1|site) + (1|id)", "v ~ 1", residual=nb.Proportional())
    rows = [(site, f"{site}{i}", t, a) for site in "xyz" for i in range(2) for t, a in ((0.0, 100.0), (6.0, 0.0))]
    frame = pd.DataFrame(rows, columns=["site", "id", "TIME", "AMT"]).assign(EVID=lambda x: (x["AMT"] > 0).astype(int))
    data = nb.Dataset.from_nonmem(frame.assign(DV=1.0), outcome="conc", levels=("site", "id"))
    values = {"theta_cl": [1.0], "theta_v": [3.0], "omega_site": [0.4], "omega_id": [0.3], "sigma_conc_b": 0.1}
    tree = nb.simulate(model, data, draws=300, values=values, random_seed=1)
    tree["posterior"] = tree["prior"].copy()
    one = frame.iloc[:2].assign(site="w", id="new", DV=[np.nan, 2.0])
    patient = nb.Dataset.from_nonmem(one.iloc[1:].assign(DV=np.nan), outcome="conc", levels=("site", "id"),
                                     unmeasured="predict")  # fmt: skip
    forecast = nb.forecast(tree, patient, draws=4000, random_seed=1)
    said = json.loads(forecast.attrs["nlmebayes_forecast"])
    assert said["unseen"] == {"site": ["w"]}
    found = {"patient": {"id": "new", "samples": 0, "dose_records": 0} | said, "parameters": parameters(forecast)}
    assert told(found)[1].startswith("site w: none that the population knows; its effects are as uncertain as")
    spread = np.log(forecast["posterior"]["cl"].to_numpy()[0, :, -1]).std()
    assert spread == pytest.approx(np.hypot(0.4, 0.3), rel=0.05)
