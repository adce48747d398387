"""``nlmebayes forecast``: words of targets, a patient end to end, and what is refused in one line."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from typer.testing import CliRunner

import nlmebayes as nb
from model_zoo import OneCompartment
from nlmebayes.app.doses import choices
from nlmebayes.cli import app
from nlmebayes.dosing import wanted
from nlmebayes.dosing.inheritance import Chart
from nlmebayes.words import StatementError

RUN = CliRunner()


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("trough 10-15 mg/L", nb.Trough(10, 15)),
        ("Cmin 10 - 15", nb.Trough(10, 15)),
        ("trough 10–15 mg/L at 96", nb.Trough(10, 15, 96.0)),
        ("auc24 400-600 mg*h/L", nb.DailyAUC(400, 600)),
        ("auc24 >=400", nb.DailyAUC(400)),
        ("auc24 400-", nb.DailyAUC(400)),
        ("trough <2", nb.Trough(0, 2)),
        ("trough -2", nb.Trough(0, 2)),
        ("auc 400-600 from 48 to 72", nb.AUC(400, 600, 48.0, 72.0)),
        ("auc 400 to 600", nb.AUC(400, 600)),
        ("auc 400 to 600 from 48 to 72", nb.AUC(400, 600, 48.0, 72.0)),
        ("auc24/mic 400-600 mic 0.5 free 0.6", nb.DailyAUC(400, 600, mic=0.5, free=0.6)),
        ("peak 30-40 dose first weight 2", nb.Peak(30, 40, dose=0, weight=2.0)),
        ("peak 30-40 dose 3", nb.Peak(30, 40, dose=2)),
        ("t>mic 50% mic 4", nb.TimeAbove(50, mic=4.0)),
        ("t>mic 100% mic 4", nb.TimeAbove(100, mic=4.0)),
        ("T>MIC 40-60 % mic 4 free 0.7", nb.TimeAbove(40, 60, mic=4.0, free=0.7)),
        ("average 8-14", nb.AverageConcentration(8, 14)),
    ],
)
def test_a_target_in_words(text, target):
    assert wanted.target(text, "mg/L") == target


@pytest.mark.parametrize(
    ("text", "unit", "low"),
    [
        ("trough 10-15 mg/L", "ng/mL", 1e4), ("trough 5-10 ng/mL", "µg/L", 5), ("peak 30-40 mcg/mL", "mg/L", 30),
        ("auc 400-600 mg.h/L", "ug/L", 4e5), ("auc 400-600 h*ug/mL", "mg/L", 400), ("t>mic 50 mic 4", "ng/mL", 50),
        ("auc24 400-600", "ng/mL", 400),
    ],
)  # fmt: skip
def test_a_target_in_another_unit_than_the_model(text, unit, low):
    assert wanted.target(text, unit).low == pytest.approx(low)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("trough", "say what, and its range: 'trough 10-15 mg/L'"),
        ("throgh 10-15", "no exposure 'throgh' in the target 'throgh 10-15', did you mean trough?"),
        ("trough ten", "'ten' is no range; write 10-15, 400- or <15"),
        ("trough 15-10", "Trough: low 15 is not below high 10"),
        ("trough 10-15 mmol/L", "'mmol/L' is no unit and no option; units are g/l"),
        ("trough 10-15 at", "nothing follows 'at'"),
        ("trough 10-15 at noon", "'noon' is not a number"),
        ("trough 10-15 from 2 to 4", "trough does not take start, end"),
        ("t>mic 50%", "t>mic needs the MIC, e.g. 'mic 1'"),
        ("auc 400 to", "nothing follows 'to'"),
        ("trough 50%", "trough is no percentage"),
        ("auc24 400-600 mg/dL", "'mg/dL' is a concentration, and an area is one times h, as in mg*h/L"),
        ("auc24/mic 400-600", "needs the MIC, e.g. 'mic 1'"),
        ("auc24 400-600 mic 1", "an MIC belongs to auc24/mic"),
        ("peak 30-40 dose 0", "a dose is first, last, or its number from 1"),
    ],
)
def test_a_target_that_cannot_be_read_is_one_line(text, message):
    with pytest.raises(StatementError) as raised:
        wanted.target(text)
    assert message in str(raised.value) and "\n" not in str(raised.value)


def test_a_unit_that_cannot_be_converted_is_warned_of():
    with pytest.warns(UserWarning, match="population's concentrations is not known, so 'ng/mL' is not converted"):
        assert wanted.target("trough 10-15 ng/mL") == nb.Trough(10, 15)


def test_the_unit_of_an_mic_is_converted():
    assert wanted.target("t>mic 50% mic 4 mg/L", "ug/L") == nb.TimeAbove(50, mic=4000.0)
    assert wanted.target("auc24/mic 400- mic 2 ng/mL", "mg/L") == nb.DailyAUC(400, mic=0.002)


def test_lists_of_numbers():
    assert wanted.numbers("500, 750", "--doses") == [500, 750]
    assert wanted.numbers("0.1:0.3:0.1", "--doses") == pytest.approx([0.1, 0.2, 0.3])
    with pytest.raises(StatementError, match="write numbers, 500,750,1000, or first:last:step"):
        wanted.numbers("500:250:50", "--doses")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A population, in place of a fit, and a patient with two samples."""
    path = tmp_path_factory.mktemp("forecast")
    model = nb.Model(OneCompartment(absorption="first-order"), residual=nb.Proportional())
    values = {
        "theta_cl": [np.log(2.8)], "theta_v": [np.log(32.0)], "theta_ka": [np.log(1.5)], "omega_id": [0.3, 0.15, 0.5],
        "sigma_conc_b": 0.15,
    }  # fmt: skip
    tree = nb.simulate(model, nb.datasets.theophylline(), draws=300, values=values, random_seed=1)
    tree["posterior"] = tree["prior"].copy()
    (path / "results").mkdir()
    tree.to_netcdf(path / "results" / "fit.nc")
    table = pd.DataFrame({
        "ID": 99, "TIME": [0.0, 2.0, 11.5], "DV": [".", 8.1, 3.9], "AMT": [320, 0, 0], "EVID": [1, 0, 0]
    })  # fmt: skip
    table.to_csv(path / "patient.csv", index=False)
    return path


def run(folder, *words, out="out"):
    return RUN.invoke(app, ["forecast", str(folder / "results"), str(folder / "patient.csv"), "--force",
                            "--out", str(folder / out), *words])  # fmt: skip


def test_a_patient_end_to_end(folder):
    words = ["--target", "trough 5-10", "--target", "peak -20", "--doses", "100:400:100", "--every", "8,12"]
    found = run(folder, *words, "--start", "12", "--until", "72", "--sample", "14,20,23")
    assert found.exit_code == 0, found.output
    assert "id 99: 2 samples, 1 dose records" in found.stdout and "cl " in found.stdout
    assert "Best: " in found.stdout and "all targets together" in found.stdout and "Next sample" in found.stdout
    names = {"forecast.json", "forecast.nc", "forecast.png", "doses.png", "regimens.csv", "samples.csv", "report.html"}
    assert {p.name for p in (folder / "out").iterdir()} == names
    said = json.loads((folder / "out" / "forecast.json").read_text(encoding="utf-8"))
    table = pd.read_csv(folder / "out" / "regimens.csv")
    assert len(table) == 16 and said["best"][0]["p_all"] == table["p_all"].max()
    assert said["targets"] == ["trough in 5 to 10", "peak in 0 to 20"] and said["warnings"] == []
    tree = xr.open_datatree(folder / "out" / "forecast.nc").load()
    regimens = nb.regimens(range(100, 401, 100), every=[8, 12], start=12, until=72)
    again = nb.recommend(tree, regimens, [nb.Trough(5, 10), nb.Peak(0, 20)])
    assert table["p_in"].to_numpy() == pytest.approx(again["p_in"].to_numpy(), abs=1e-12)


def test_without_doses_the_best_amount_is_sought(folder):
    found = run(folder, "--target", "auc24 150-250", "--every", "12", out="sought")
    assert found.exit_code == 0, found.output
    table = pd.read_csv(folder / "sought" / "regimens.csv")
    assert len(table) == 1 and "every 12 at steady state" in table["regimen"][0] and table["p_in"][0] > 0.6


def test_the_page_of_a_forecast_is_that_of_the_command_report(folder):
    found = RUN.invoke(app, ["report", str(folder / "out"), "--out", str(folder / "page.html")])
    assert found.exit_code == 0 and "page.html" in found.stdout, found.output
    text = (folder / "out" / "report.html").read_text(encoding="utf-8")
    own = (folder / "page.html").read_text(encoding="utf-8")
    parts = text.split('<section id="regimens">')[0], own.split("</main>")[0]
    assert parts[0].split() == parts[1].split()


def test_without_a_target_there_are_no_doses(folder):
    found = run(folder, "--no-report", out="plain")
    assert found.exit_code == 0, found.output
    assert {p.name for p in (folder / "plain").iterdir()} == {"forecast.json", "forecast.nc", "forecast.png"}


def test_doubts_are_printed_and_kept(folder):
    found = run(folder, "--target", "trough 5000-10000 ug/L", "--doses", "300", "--every", "12", out="doubts")
    assert found.exit_code == 0, found.output
    assert "warning: the target trough in 5000 to 10000: every regimen gives" in found.stdout
    said = json.loads((folder / "doubts" / "forecast.json").read_text(encoding="utf-8"))
    assert "so 'ug/L' is not converted" in said["warnings"][0]
    assert len(said["warnings"]) == 2 and said["warnings"][1].endswith("is it in another unit?")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--target", "trough 10"], None),
        (["--target", "throgh 10-15"], "no exposure 'throgh'"),
        (["--target", "auc24 400-600", "--doses", "300"], "the records imply no next dose after that at 0"),
        (
            ["--target", "auc24 400-600", "--doses", "300", "--start", "12"],
            "the interval of the regimen 300 is not known; give it every=",
        ),
        (["--target", "trough 5-10", "--doses", "300", "--until", "48"], "need the interval, --every"),
        (["--target", "trough 5-10", "--doses", "a", "--every", "12"], "--doses: 'a' is not a number"),
        (
            ["--target", "trough 5-10", "--doses", "-5", "--every", "12"],
            "must be a number from 0 on; got -5.0",
        ),
        (
            ["--target", "trough 5-10", "--doses", "9", "--every", "12", "--duration", "20"],
            "longer than the interval of 12",
        ),
        (
            ["--target", "trough 5-10", "--doses", "9", "--every", "12", "--number", "2", "--start", "0"],
            "stays: give a later",
        ),
        (
            ["--target", "trough 5-10", "--doses", "9", "--every", "12", "--history", "forget"],
            "history must be",
        ),
        (["--now", "-1"], "row 2: a sample at 2 lies after now=-1; correct one"),
        (["--sample", "14"], "give --target"),
        (["--outcome", "cp"], "'cp'"),
    ],
)
def test_what_cannot_be_forecast_is_one_line_and_writes_nothing(folder, words, message):
    found = run(folder, *words, out="nothing")
    if message is None:
        words = [*words, "--doses", "300", "--every", "12"]
        assert run(folder, *words, out="something").exit_code == 0
        return
    assert found.exit_code == 1, found.output
    assert found.stderr.startswith("error: ") and len(found.stderr.strip().splitlines()) == 1
    assert message in found.stderr, found.stderr
    assert not (folder / "nothing").exists()


def test_a_planned_dose_may_be_replaced_and_is_refused_where_it_stays(folder):
    table = pd.read_csv(folder / "patient.csv")
    planned = pd.DataFrame({"ID": [99], "TIME": [24.0], "DV": ["."], "AMT": [320], "EVID": [1]})
    pd.concat([table, planned]).to_csv(folder / "planned.csv", index=False)
    words = ["--target", "trough 5-10", "--doses", "300", "--every", "12", "--start", "20", "--now", "12", "--force"]
    words = ["forecast", str(folder / "results"), str(folder / "planned.csv"), *words, "--out", str(folder / "late")]
    line = "row 4, column time: a dose at 24 is recorded as given, and now is 12"
    found = RUN.invoke(app, [*words, "--history", "replace"])
    assert found.exit_code == 0 and line in found.stdout, found.output
    found = RUN.invoke(app, [*words, "--start", "30"])
    assert found.exit_code == 1 and line in found.stderr, found.output


def test_a_population_that_is_none(folder):
    for name, message in (
        ("nowhere", "no file, folder or published model"),
        ("patient.csv", "cannot be read as NetCDF"),
        ("a.toml", "a.toml"),
    ):
        found = RUN.invoke(
            app, ["forecast", str(folder / name), str(folder / "patient.csv"), "--out", str(folder / "x")]
        )
        assert found.exit_code == 1 and message in found.stderr and len(found.stderr.strip().splitlines()) == 1


def test_a_new_start_is_at_the_last_record():
    """Creatinine clearance fell from 90 to 30: it is the last one that a regimen without a past meets."""
    frame = pd.DataFrame(
        {"ID": 1, "TIME": [0.0, 12.0, 24.0, 36.0], "AMT": [1000.0, 0, 1000.0, 0], "EVID": [1, 0, 1, 0]}
    )
    frame = frame.assign(DV=[np.nan, 8.0, np.nan, 14.0], CRCL=[90.0, 90.0, 30.0, 30.0])
    patient = nb.Dataset.from_nonmem(frame)

    def start(patient, now=None):
        chart = Chart.of(patient, OneCompartment())
        return choices(patient, [500.0], {"every": "24"}, chart, "none", now)[0][0].start

    assert start(patient) == 36.0 and start(patient, 48.0) == 48.0
    assert start(replace(patient, doses=patient.doses.assign(time=[0.0, 40.0]))) == 40.0


def test_times_that_are_uncertain(folder):
    found = run(folder, "--time-sd", "0.25", out="late")
    assert found.exit_code == 0, found.output
    said = json.loads((folder / "late" / "forecast.json").read_text(encoding="utf-8"))["patient"]
    assert said["time_sd"] == 0.25 and set(said["sampling_times"]) == {"conc row 2", "conc row 3"}


OWN = """
name = "A drug"
citation = "none"
structure = "OneCompartment"
formulas = ["cl ~ 1 + offset(log(crcl / 100) + 0.7 * fast) + (1|id)", "v ~ 1"]
theta = { cl = 3.0, v = 30.0 }
omega = { sd = { cl = 0.3 } }
sigma = { b = 0.1 }
covariates = { fast = { share = { 0 = 0.8, 1 = 0.2 } } }
"""


def test_covariates_to_come_and_missing_covariates(tmp_path):
    """A genotype that nobody knows, kidneys that fail; a population of one's own."""
    (tmp_path / "own.toml").write_text(OWN, encoding="utf-8")
    table = pd.DataFrame({
        "ID": "p", "TIME": [0.0, 2.0, 12.0], "DV": [".", 2.3, 0.4], "AMT": [100.0, 0, 0], "EVID": [1, 0, 0],
        "CRCL": 90.0,
    })  # fmt: skip
    table.to_csv(tmp_path / "p.csv", index=False)
    words = ["forecast", str(tmp_path / "own.toml"), str(tmp_path / "p.csv"), "--out", str(tmp_path / "out")]
    words += ["--impute", "--target", "trough 5-10", "--doses", "80", "--every", "12", "--number", "4"]
    found = RUN.invoke(app, [*words, "--start", "13", "--then", "crcl=28 at 24"])
    assert found.exit_code == 0, found.output
    said = json.loads((tmp_path / "out" / "forecast.json").read_text(encoding="utf-8"))
    assert said["patient"]["missing"] == "impute"
    tree = xr.open_datatree(tmp_path / "out" / "forecast.nc").load()
    assert float(tree["posterior"]["covariate_fast"].mean()) > 0.5  # clearance is high
    regimen = nb.Regimen(80.0, start=13.0, every=12.0, doses=4)
    again = nb.recommend(tree, regimen, nb.Trough(5, 10), covariates={"CRCL": {24.0: 28.0}})
    written = pd.read_csv(tmp_path / "out" / "regimens.csv")
    assert written["median"][0] == pytest.approx(again["median"][0], rel=1e-9)


def test_covariates_to_come_in_words():
    assert wanted.coming(["crcl=40", "ward=b"]) == {"crcl": 40.0, "ward": "b"}
    assert wanted.coming(["crcl=40 at 72", "crcl=60 at 96"]) == {"crcl": {72.0: 40.0, 96.0: 60.0}}
    for texts, problem in ((["crcl"], "write --then COVARIATE=VALUE"), (["crcl=1", "crcl=2 at 3"], "say when, crcl=")):
        with pytest.raises(StatementError, match=problem):
            wanted.coming(texts)
