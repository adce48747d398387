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
