"""Cases as they are entered: files, quantities with units, times, and problems beside their fields."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import nlmebayes as nb
from nlmebayes.cases import file
from nlmebayes.cases.entry import read
from nlmebayes.cases.quantities import Unclear, quantity
from nlmebayes.data import clock

CHARTS = sorted((Path(__file__).parent / "charts").glob("*.toml"))
PATIENT = {"weight": "70 kg", "crcl": "65 mL/min", "dial": "no"}
DOSES = ({"time": "0", "amount": "2 g", "duration": "2 h"}, {"time": "24.2", "amount": "1000", "duration": "2"})
SAMPLES = ({"time": "13", "value": "12 mg/L"}, {"time": "48", "value": "9.5"})
CASE = nb.Case(
    models=["vancomycin_goti_2018"], patient=PATIENT, doses=DOSES, samples=SAMPLES, targets=["auc24 400-600"],
    regimens=[{"amount": "1 g", "every": "12 h"}],
)  # fmt: skip


def problems(case):
    return {problem.field: problem.message for problem in read(case).problems}


@pytest.mark.parametrize("path", CHARTS, ids=lambda path: path.stem)
def test_a_case_comes_back_from_its_file(path, tmp_path):
    case = nb.read_case(path)
    assert nb.read_case(nb.write_case(case, tmp_path / "again.toml")) == case
    assert not read(case).problems


def test_a_file_is_there_whole_or_as_it_was(tmp_path):
    nb.write_case(CASE, tmp_path / "case.toml")
    with pytest.raises(nb.FileError, match="exists"):
        nb.write_case(CASE, tmp_path / "case.toml")
    assert [p.name for p in tmp_path.iterdir()] == ["case.toml"] and nb.read_case(tmp_path / "case.toml") == CASE


def test_numbers_dates_and_truth_values_stand_for_texts():
    text = b"models = ['a']\n[patient]\nweight = 70.5\ndial = false\n[[doses]]\ntime = 2024-03-01 08:30:00\n"
    case = file.of_bytes(text)
    assert case.patient == {"weight": "70.5", "dial": "no"} and case.doses[0] == {"time": "2024-03-01 08:30:00"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"models = ['a']\ncolour = 'red'", "no key 'colour'; its keys are models, label"),
        (b"models = ['a']\n[[doses]]\nmg = 3", "doses, number 1: no key 'mg'; its keys are time, amount"),
        (b"models = ['a']\ndoses = 3", "doses must be a list"),
        (b"models = ['a']\n[patient]\nage = [3]", "patient of age must be a text"),
        (b"models = ['a']\nlabel = '" + b"x" * 300 + b"'", "label: a text of 300 characters; at most 200"),
        (b"models = ['a']\n" + b"[[samples]]\ntime = 1\n" * 201, "201 samples; at most 200 are read"),
        (b"models = ['a'", "case cannot be read as TOML"),
        (b"structure = 'OneCompartment'", "is no case: it names no models"),
        (b"models = ['a']\nx" + b".x" * 20 + b" = 1", "more than 8 deep"),
        (b"\xff\xfe", "cannot be read as TOML"),
        (b"models = ['a']\nx" + b".x" * 90_000 + b" = 1", "a key of 50 parts or more"),
        (b"models = ['a']\nx = " + b"[" * 150_000, "maximum recursion depth"),
        (b"models = ['a']\n" + b"".join(b"a%d = 1\n" % i for i in range(15_000)), "no key 'a0'"),
    ],
)
def test_what_is_no_case_is_refused_by_name(text, message):
    with pytest.raises(nb.DataError, match=message):
        file.of_bytes(text)


def test_a_large_file_and_none_at_all(tmp_path):
    with pytest.raises(nb.FileError, match="larger than 200,000 bytes"):
        file.of_bytes(b" " * 600_000)
    with pytest.raises(nb.FileError, match="cannot be read: No such file"):
        nb.read_case(tmp_path / "none.toml")


@pytest.mark.parametrize(
    "text", ["__import__('os').system('touch X')", "../../../etc/passwd", "/etc/passwd", "{{7*7}}"]
)
def test_what_a_stranger_writes_runs_nothing_and_opens_nothing(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    filled = nb.Case.of({
        "models": [text, "m"], "label": text, "patient": {"weight": text, text: text}, "now": text, "late": text,
        "doses": [{"time": text, "amount": text}], "samples": [{"time": text, "value": text}], "targets": [text],
        "regimens": [{"amount": text}], "equation": text, "seed": text, "missing": text, "next_sample": text,
        "population": {"m": {"structure": text, "theta": {text: 1.0}, "omega": {}, "sigma": {"a": 1.0},
                             "formulas": [f"cl ~ 1 + offset({text})"]}},
    })  # fmt: skip
    found = read(filled)
    assert found.stopping and found.patient is None and not list(tmp_path.iterdir())
    assert all("\n" not in problem.message for problem in found.problems)


def test_the_code_in_a_formula_of_a_stated_model_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    stated = {
        "structure": "OneCompartment", "formulas": ["cl ~ 1 + offset(pd.io.common.os.system('touch X')) + (1|id)"],
        "theta": {"cl": 3.0, "v": 40.0}, "omega": {"id": {"sd": {"cl": 0.3}}}, "sigma": {"a": 1.0},
    }  # fmt: skip
    found = problems(replace(CASE, models=("m",), population={"m": stated}))
    assert "m: " in found["models.0"] and not list(tmp_path.iterdir())


STATED = nb.read_case(CHARTS[-3]).population["tobramycin"]


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        (
            STATED | {"options": {"absorption": "transit", "transits": 10**7}},
            "transits is 1e[+]07; a case takes at most 100",
        ),
        (STATED | {"options": 3}, "and so are its options"),
        (STATED | {"units": {}}, "tobramycin does not say in which unit it reads crcl; add it to its units"),
        (STATED | {"units": STATED["units"] | {"time": "day"}}, "has times in day, and a case has hours"),
        (
            STATED | {"units": {"crcl": "mL/min", "wt": "kg", "time": "h", "conc": "mg/L"}},
            "in which unit doses are; add amo",
        ),
        (STATED | {"levels": ["id", "occ"], "colour": 1}, "tobramycin: no key 'colour'"),
    ],
)
def test_a_stated_model_that_cannot_serve_a_case(stated, message):
    case = nb.read_case(CHARTS[-3])
    found = read(replace(case, population={"tobramycin": stated}))
    assert re.search(message, "; ".join(map(str, found.stopping)))


def test_a_covariate_goes_to_the_unit_of_the_model():
    case = nb.read_case(CHARTS[-3])
    stated = STATED | {"units": STATED["units"] | {"crcl": "L/h"}}
    found = read(replace(case, population={"tobramycin": stated})).patient.observations["crcl"]
    assert found.unique() == pytest.approx([80 * 0.06])


@pytest.mark.parametrize(
    ("text", "unit", "value"),
    [
        ("154 lb", "kg", 69.85322), ("5 ft 10 in", "cm", 177.8), ("1.75 m", "cm", 175.0), ("12,5 µg/mL", "mg/L", 12.5),
        ("1.2 mg/dL", "mg/L", 12.0), ("90 mL/min", "L/h", 5.4), ("2 g", "mg", 2000.0), ("1 h 30 min", "h", 1.5),
        ("500 ug", "mg", 0.5), ("9.5", "mg/L", 9.5), ("3 months", "years", 0.25), ("0.35", "", 0.35),
        ("1e3 ng/mL", "mg/L", 1.0), ("35 %", "%", 35.0), ("35 %", "", 0.35),
    ],
)  # fmt: skip
def test_quantities(text, unit, value):
    assert quantity(text, unit) == pytest.approx(value, rel=1e-7)


@pytest.mark.parametrize(
    ("text", "unit", "message"),
    [
        ("1,000", "mg", "can be read in two ways; write 1000 or 1.000"), ("12 umol/L", "mg/L", "moles of a drug"),
        ("12 kg", "cm", "'kg' cannot be converted to cm"), ("ten", "mg", "is no number; write a number, such as 10 mg"),
        ("", "mg", "a number is missing"), ("3 stones", "kg", "'stones' is no unit; write kg, or with ng"),
        ("1 2", "kg", "is no number"), ("5 mg", "", "cannot be converted to a number without a unit"),
    ],
)  # fmt: skip
def test_quantities_that_cannot_be_read(text, unit, message):
    with pytest.raises(Unclear, match=message):
        quantity(text, unit)


def test_values_are_shown_as_they_were_understood():
    patient = {
        "age": "64",
        "sex": "f",
        "weight": "154 lb",
        "height": "5 ft 7 in",
        "creatinine": "1.1 mg/dL",
        "dial": "no",
    }
    found = read(replace(CASE, patient=patient))
    assert found.shown["patient.weight"] == "69.85 kg" and found.shown["patient.creatinine"] == "97.24 umol/L"
    assert found.shown["patient.height"] == "170.2 cm" and found.shown["doses.0.amount"] == "2000 mg"
    expected = nb.physiology.cockcroft_gault(age=64, sex="female", weight=69.85322, creatinine=1.1, unit="mg/dL")
    assert found.patient.observations["crcl"].unique() == pytest.approx([expected])
    assert found.covariates["crcl"] == f"{expected:.4g} mL/min by cockcroft-gault" and not found.problems


def test_a_child_is_cleared_by_schwartz_and_creatinine_changes():
    patient = {"age": "8", "weight": "30", "height": "130", "creatinine": "60 umol/L", "dial": "no"}
    found = read(replace(CASE, patient=patient, later=({"time": "20", "creatinine": "120 umol/L"},)))
    clearance = [nb.physiology.creatinine_clearance("schwartz", age=8, weight=30, height=130, creatinine=c)
                 for c in (60, 120)]  # fmt: skip
    assert found.patient.observations["crcl"].tolist() == pytest.approx(clearance)
    assert found.patient.doses["crcl"].tolist() == pytest.approx(clearance)
    assert found.patient.interpolation == "locf"


def test_all_problems_are_found_at_once_each_at_its_field():
    bad = replace(
        CASE, patient={"weight": "700 kg", "creatinine": "88", "dial": "maybe", "colour": "red"}, equation="mdrd",
        doses=({"time": "10", "amount": "-2 g"}, {"time": "08:30", "amount": "1 g", "every": "12"}, {"amount": "1 g"}),
        samples=({"time": "3", "value": "12 umol/L"}, {"time": "48", "value": ""}), now="40 h", targets=("throgh 2",),
        regimens=({"amount": "-1 g", "every": "twelve"},), seed="-1", late="soon", missing="guess",
    )  # fmt: skip
    found = problems(bad)
    for field, message in {
        "patient.weight": "outside 0.3 to 400 kg", "patient.creatinine": "has no unit; write one, such as 88 umol/L",
        "patient.dial": "is no number", "patient.colour": "no model of the case reads 'colour'",
        "doses.0.amount": "is not above 0", "doses.1.time": "another kind of time", "doses.2.time": "a time is missing",
        "doses.1.doses": "how many doses were given", "samples.0.time": "the first dose was given at 10 h",
        "samples.0.value": "moles of a drug are not converted", "samples.1.value": "a value is missing",
        "samples.1.time": "48 h lies after now, 40 h", "targets.0": "did you mean trough?",
        "regimens.0.amount": "is not above 0", "regimens.0.every": "is no number", "equation": "no equation 'mdrd'",
        "seed": "no seed", "late": "is no number", "missing": "none of refuse, impute",
    }.items():  # fmt: skip
        assert message in found[field], field
    assert read(bad).patient is None


@pytest.mark.parametrize(
    ("change", "field", "message"),
    [
        ({"models": ("vancomycin_goti",)}, "models.0", "did you mean vancomycin_goti_2018?"),
        ({"models": ()}, "models", "choose a model"),
        ({"models": ("vancomycin_goti_2018",) * 2}, "models.1", "stands twice"),
        ({"models": ("vancomycin_goti_2018", "piperacillin_roberts_2010")}, "models", "has levels id, .* id, occ"),
        ({"models": ("vancomycin_goti_2018", "tacrolimus_woillard_2011")}, "models", "amounts in mg, .* ug: ask them"),
        ({"patient": {"weight": "70 kg", "dial": "no"}}, "patient.creatinine", "or crcl"),
        ({"patient": {"weight": "70 kg", "crcl": "65"}}, "patient.dial", "vancomycin_goti_2018 reads dial: enter it"),
        ({"samples": ({"time": "13", "value": "12000 mg/L"},)}, "samples.0.value", "times what the population expects"),
        ({"doses": ({"time": "0", "amount": "2 mg", "duration": "2"},)}, "doses.0.amount", "far below the least"),
        ({"patient": PATIENT | {"crcl": "400"}}, "patient.crcl", "crcl 400.0 is outside 1 to 150 mL/min"),
        ({"patient": PATIENT | {"age": "6 years"}}, "patient.age", "age 6.0 is outside 18 to 120 years, the range of"),
        ({"doses": ({"time": "0", "amount": "2 g", "duration": "2", "rate": "1"},)}, "doses.0.rate", "say the same"),
        ({"doses": ({"time": "0", "amount": "2 g", "occasion": "1"},)}, "doses.0.occasion", "leave it out"),
        ({"doses": ()}, "samples.0.time", "no dose was entered"),
        ({"now": "50", "regimens": ({"amount": "1 g", "every": "12", "start": "49"},)}, "regimens.0", "before now"),
        ({"now": "20"}, "doses.1.time", "a dose to come is a regimen"),
        ({"now": "2024-03-01"}, "now", "has no hour"),
        ({"regimens": ({"amount": "1 g", "every": "12", "duration": "13"},)}, "regimens.0", "longer than the interval"),
        ({"doses": (), "samples": ()}, "regimens.0", "this drug is infused"),
        ({"regimens": (), "targets": ("t>mic 100% mic 4",)}, "regimens", "more is always better; enter the amounts"),
        ({"regimens": ({"every": "12"},), "targets": ("trough <15",)}, "regimens.0", "less is always better"),
        ({"late": "12 h"}, "late", "a dose that is 12 h late is the next one"),
        ({"doses": DOSES + DOSES[:1]}, "doses.2.time", "dose number 1 was given at this time too"),
        ({"samples": SAMPLES[:1] * 2}, "samples.0.value", "duplicate records"),
        ({"patient": PATIENT | {"crcl": "-5"}}, "patient.crcl", "is below 0"),
        ({"regimens": ({"amount": "1 g"},)}, "regimens.0", "the interval of the regimen .* is not known"),
        ({"regimens": ({"amount": "1 g", "every": "12", "start": "20"},)}, "regimens.0", "last recorded dose, at 24.2"),
    ],
)  # fmt: skip
def test_a_problem_at_its_field(change, field, message):
    found = problems(replace(CASE, **change))
    assert re.search(message, found[field])


def test_what_is_only_to_be_looked_at_does_not_stop():
    found = read(replace(CASE, patient=PATIENT | {"crcl": "400"}))
    assert [p.stops for p in found.problems] == [False] and found.patient is not None


@pytest.mark.parametrize(
    ("times", "kind", "hours", "words"),
    [
        (("2024-12-06 09:30", "2024-12-07 09:42", "2024-12-06 22:30", "2024-12-08 09:30"), "date", [0.0, 24.2, 13, 48],
         "2024-12-08 09:30"),
        (("08:00", "day 2, 08:12", "21:00", "day 3 08:00"), "clock", [0.0, 24.2, 13, 48], "day 3, 08:00"),
        (("0 h", "24.2", "13", "2 days"), "hours", [0.0, 24.2, 13, 48], "48 h"),
    ],
)  # fmt: skip
def test_the_same_chart_by_dates_by_the_clock_and_in_hours(times, kind, hours, words):
    doses = tuple(dose | {"time": time} for dose, time in zip(DOSES, times[:2], strict=True))
    samples = tuple(sample | {"time": time} for sample, time in zip(SAMPLES, times[2:], strict=True))
    found = read(replace(CASE, doses=doses, samples=samples, label="p"))
    assert list(found.times.hours.values())[:2] == hours[:2]
    frames = found.patient.observations, found.patient.doses
    assert np.concatenate([frame["time"] for frame in reversed(frames)]).tolist() == hours
    assert found.times.kind == kind and found.times.worded(48.0) == words
    if kind != "hours":
        assert clock.moment(found.patient.origin["p"], 48.0) == words


def test_a_sample_is_taken_before_the_dose_at_its_time():
    samples = ({"time": "24.2", "value": "<5 mg/L"},)
    found = read(replace(CASE, samples=samples)).patient
    assert found.observations["row"].iloc[0] < found.doses["row"].iloc[1] == found.doses["position"].iloc[1]
    assert found.observations["upper"].tolist() == [5.0]


def test_repeated_doses_and_a_steady_state():
    doses = ({"time": "0", "amount": "1 g", "rate": "1 g/h", "every": "12 h", "doses": "4"},)
    found = read(replace(CASE, doses=doses)).patient.doses.iloc[0]
    assert found[["amount", "rate", "addl", "ii", "ss"]].tolist() == [1000.0, 1000.0, 3, 12.0, 0]
    doses = ({"time": "0", "amount": "1 g", "duration": "2 h", "every": "12 h", "steady": "yes"},)
    assert read(replace(CASE, doses=doses)).patient.doses["ss"].tolist() == [1]


def test_a_covariate_that_was_not_entered_may_be_imputed():
    case = replace(CASE, models=("tacrolimus_woillard_2011",), patient={"hct": "33 %", "prograf": "yes"},
                   doses=({"time": "0", "amount": "2 mg"},), samples=({"time": "12", "value": "6 ng/mL"},),
                   targets=(), regimens=())  # fmt: skip
    assert "ask for it to be imputed" in problems(case)["patient.cyp3a5"]
    found = read(replace(case, missing="impute"))
    assert not found.problems and found.patient.doses["amount"].tolist() == [2000.0]
