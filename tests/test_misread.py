"""What a case or a chart says must not be read as something else without a word."""

from dataclasses import replace

import pytest

import nlmebayes as nb
from nlmebayes.cases import file
from nlmebayes.cases.entry import read

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
    assert not stopping(doses=doses, samples=samples[:1])


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
