"""What a case or a chart says must not be read as something else without a word."""

import asyncio
import tomllib
from dataclasses import replace

import pytest
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request

import nlmebayes as nb
from nlmebayes.bedside import consultation, form, guard, pasted, server, view
from nlmebayes.cases import courses, file, quantities
from nlmebayes.cases.entry import read
from nlmebayes.populations import library

PATIENT = {"weight": "70 kg", "crcl": "65 mL/min", "dial": "no"}
DOSES = ({"time": "0", "amount": "2 g", "duration": "2 h"},)
SAMPLES = ({"time": "23", "value": "12 mg/L"},)
CASE = nb.Case(["vancomycin_goti_2018"], patient=PATIENT, doses=DOSES, samples=SAMPLES)


def stopping(**change):
    """Field -> message of what stops the case with a change."""
    return {problem.field: problem.message for problem in read(replace(CASE, **change)).stopping}


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("seed", {"seed": "1e999"}), ("doses.0.amount", {"doses": ({"time": "0", "amount": "1e999"},)}),
        ("samples.0.value", {"samples": ({"time": "23", "value": "1e999"},)}),
        ("regimens.0.doses", {"regimens": ({"amount": "1 g", "every": "12", "doses": "1e999"},)}),
        ("patient.crcl", {"patient": PATIENT | {"crcl": "1e999"}}), ("now", {"now": "1e999"}),
    ],
)  # fmt: skip
def test_a_number_without_end_is_refused_at_its_field(field, change):
    assert "larger than any number" in stopping(**change)[field]


def test_whole_numbers_of_a_file_keep_their_digits_or_are_refused():
    assert file.of_bytes(b"models = ['a']\nlabel = 12345678901234567").label == "12345678901234567"
    for digits in (b"9" * 400, b"0x" + b"f" * 9000):
        with pytest.raises(nb.DataError, match="a whole number of"):
            file.of_bytes(b"models = ['a']\nseed = " + digits)


def test_a_clock_over_midnight_needs_its_day():
    doses = tuple({"time": time, "amount": "1 g", "duration": "1 h"} for time in ("08:00", "20:00", "08:00"))
    samples = ({"time": "day 2, 19:00", "value": "12"}, {"time": "07:30", "value": "9"})
    found = stopping(doses=doses, samples=samples)
    assert "goes back from day 1, 20:00 to day 1, 08:00; write day 2, 08:00" in found["doses.2.time"]
    assert "write day 3, 07:30" in found["samples.1.time"]
    days = ("08:00", "20:00", "day 2, 08:00")
    doses = tuple(dose | {"time": time} for dose, time in zip(doses, days, strict=True))
    found = read(replace(CASE, doses=doses, samples=samples[:1]))
    assert not found.stopping and found.shown["doses.1.time"] == "day 1, 20:00"


@pytest.mark.parametrize("time", ["0830", "08.30", "08,30"])
def test_a_clock_without_its_colon_is_no_number_of_hours(time):
    assert "write 08:30" in stopping(doses=(DOSES[0] | {"time": time},))["doses.0.time"]


def test_a_steady_state_is_yes_or_no():
    doses = (DOSES[0] | {"steady": "Y"},)
    assert stopping(doses=doses)["doses.0.steady"] == "'Y' is neither yes nor no"
    found = stopping(regimens=({"amount": "1 g", "every": "12", "doses": "3", "steady": "ss"},))
    assert found["regimens.0.steady"] == "'ss' is neither yes nor no"
    assert "how many doses" in stopping(regimens=({"amount": "1", "every": "12", "steady": "no"},))["regimens.0.doses"]


def test_times_of_the_next_sample_are_parted_as_they_are_written():
    assert "can be read in two ways" in stopping(next_sample="60,5")["next_sample"]
    assert read(replace(CASE, next_sample="60; 66, 71.5")).sampled == (60.0, 66.0, 71.5)
    doses, samples = (DOSES[0] | {"time": "08:00"},), ({"time": "day 2, 07:00", "value": "12 mg/L"},)
    found = read(replace(CASE, doses=doses, samples=samples, next_sample="day 2, 08:00, day 2,20:00"))
    assert found.sampled == (24.0, 36.0)


def test_a_clearance_that_was_entered_does_not_outlast_its_creatinine():
    later = {"time": "12", "creatinine": "3 mg/dL"}
    assert "enter crcl here too" in stopping(later=(later,))["later.0.crcl"]
    assert not stopping(later=(later | {"crcl": "20"},))


def test_a_weight_that_was_entered_twice_is_one_or_refused():
    assert "40 was entered, and it is 70 kg from weight" in stopping(patient=PATIENT | {"wt": "40"})["patient.wt"]
    assert not stopping(patient=PATIENT | {"wt": "70"})


def test_a_model_may_call_its_covariates_as_they_are_asked_for():
    stated = tomllib.loads((library.HOME / "vancomycin_buelga_2005.toml").read_text())
    stated |= {
        "formulas": ["cl ~ 1 + offset(-log(creatinine)) + (1|id)", "v ~ 1 + offset(log(weight / 1000)) + (1|id)"]
    }
    stated |= {"reference": {"creatinine": 1.0, "weight": 65000.0}}
    stated["units"] |= {"creatinine": "mg/dL", "weight": "g"}
    patient = {"weight": "70 kg", "creatinine": "88.4017 umol/L"}
    found = read(replace(CASE, models=("own",), population={"own": stated}, patient=patient))
    assert not found.stopping and found.shown["patient.weight"] == "70 kg"
    assert found.patient.observations[["creatinine", "weight"]].iloc[0].tolist() == pytest.approx([1.0, 70000.0])


def test_what_stands_twice_or_lies_behind_is_refused():
    targets = ("auc24 400-600 mg*h/L", "auc24 400-600")
    assert "stands twice" in stopping(targets=targets)["targets.1"]
    assert "lies before the last sample, 23 h" in stopping(next_sample="30, 5")["next_sample"]
    assert "lies before now, 40 h" in stopping(next_sample="30", now="40")["next_sample"]


def test_values_of_a_pasted_chart_hold_from_their_times_on():
    lines = "48, , , 2.0", "0, 1000, 1, ", "24, , , 1.0"
    text = "\n".join(["time, amount (mg), duration (h), creatinine (mg/dL)", *lines])
    found = pasted.rows(text)
    assert found["patient"] == {"creatinine": "1.0 mg/dL"}
    assert found["later"] == [{"time": "48", "creatinine": "2.0 mg/dL"}]


def test_a_pasted_clock_over_midnight_needs_its_day():
    with pytest.raises(nb.DataError, match=r"line 3 of the chart: the clock goes back .* write day 2, 07:30"):
        pasted.rows("time, amount, conc\n20:00, 1000,\n07:30, , 12")


def test_capitals_of_a_covariate_are_kept():
    found = form.tables([("later.0.time", "12"), ("later.0.HCT", "0.3")])
    assert found == {"later": [{"time": "12", "HCT": "0.3"}]}
    assert pasted.rows("time, conc, hct\n12, 9, 0.3", ("HCT",))["patient"] == {"HCT": "0.3"}


def test_a_table_with_a_mark_that_does_not_close_is_refused():
    for text in ('time, conc\n12, "9\n13, 8', "time, conc\n12, " + "9" * 150_000):
        with pytest.raises(nb.DataError, match="the chart is no table"):
            pasted.rows(text)


def test_a_pasted_chart_leaves_no_later_values_of_somebody_before():
    texts = [("models", "vancomycin_goti_2018"), ("later.0.time", "20"), ("later.0.creatinine", "5 mg/dL")]
    chart = "time, dose, creatinine (mg/dL)\n0, 1000, 1"
    sheet = consultation.consulted(consultation.Said([*texts, ("do", "paste"), ("chart", chart)]))
    assert "later" not in sheet.tables and sheet.tables["patient"] == {"creatinine": "1 mg/dL"}


@pytest.mark.parametrize("name", ["=cmd|'/C calc'!A0", "@SUM(1)", "+1", "-1", "<b>"])
def test_the_name_of_a_stated_model_is_no_formula_of_a_spreadsheet(name):
    assert "a model cannot be called" in stopping(models=(name,), population={name: {}})["models.0"]


@pytest.mark.parametrize("label", ["a\\u001b[2J", "a\\nb", "\\u0000"])
def test_a_text_commands_no_terminal(label):
    with pytest.raises(nb.DataError, match="without control characters"):
        file.of_bytes(f'models = ["a"]\nlabel = "{label}"'.encode())


def test_one_dose_is_drawn_as_one():
    once, steady = nb.Regimen(1000, start=24, every=12), nb.Regimen(1000, start=24, every=12, steady=True)
    assert courses.repeated(once, 48.0) is once
    assert courses.repeated(steady, 48.0).times.tolist() == [24, 36, 48, 60]


def test_a_best_regimen_that_reaches_nothing_is_doubted():
    regimens = ({"amount": "1 g", "every": "12 h"},)
    found = nb.answer(replace(CASE, targets=("trough 1-2 mg/L",), regimens=regimens))
    assert "no regimen is likely to reach the targets: the best, 1000 over 2" in found.warnings[0]


@pytest.mark.parametrize("origins", [["http://["], ["null"], ["http://here", "http://evil"], ["http://x@here"]])
def test_an_origin_that_is_no_address_or_one_of_two_is_foreign(origins):
    own = [(b"host", b"here"), *((b"origin", origin.encode()) for origin in origins)]
    assert guard.foreign(Headers(raw=own), "POST")
    assert not guard.foreign(Headers(raw=[(b"host", b"here"), (b"origin", b"http://here")]), "POST")


def test_a_stated_model_of_another_shape_is_told_on_the_page():
    text = b"models = ['a']\n[population.a]\nstructure = 'OneCompartment'\nunits = 3\nreference = 7"
    sheet = consultation.consulted(consultation.Said([("do", "open")], upload=("case.toml", text)))
    assert sheet.refusal or sheet.problems
    assert view.of(sheet)["stated"] == ["a"]


def test_a_page_without_a_case_has_none_to_save():
    bedside = server.Bedside(guard.Keys(1), "127.0.0.1")
    name = bedside.sheets.put(consultation.Sheet())
    with pytest.raises(HTTPException, match="no case on this page yet"):
        asyncio.run(bedside.saved(Request({"type": "http", "path_params": {"name": name}})))


def test_repeated_doses_after_now_are_to_come_and_those_before_a_sample_are_counted():
    repeated = DOSES[0] | {"every": "12", "doses": "10"}
    assert "the last of these doses is at 108 h" in stopping(doses=(repeated,), now="24")["doses.0.doses"]
    steady = DOSES[0] | {"every": "12", "steady": "yes"}
    found = read(replace(CASE, doses=(steady,)))
    assert "none is recorded in the 23 h to a sample" in {p.field: p.message for p in found.problems}["doses.0.doses"]
    assert not found.stopping and not read(replace(CASE, doses=(steady | {"doses": "2"},))).problems


@pytest.mark.parametrize("text", ["12 mg/L 3 mg/L", "3 in 5 ft", "1 g 1 g"])
def test_numbers_that_do_not_follow_in_smaller_units_do_not_add_up(text):
    with pytest.raises(quantities.Unclear, match=r"has several numbers; write one"):
        quantities.quantity(text, text.rpartition(" ")[2])
