"""Parts of the page at the bedside: who may listen where, what is kept, fields as a case, charts that are pasted."""

import sys
from pathlib import Path

import httpx
import pytest
from bedsides import served
from typer.testing import CliRunner

import nlmebayes as nb
from nlmebayes.bedside import form, guard, pasted, service, view
from nlmebayes.bedside.consultation import Sheet
from nlmebayes.bedside.sheets import Sheets
from nlmebayes.cases.problems import Problem
from nlmebayes.cli import app

LONG = "a long password"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.3", "2001:db8::1"])
def test_other_machines_are_answered_only_with_a_password(host):
    with pytest.raises(nb.ModelError, match="give a password"):
        service.checked(host, None)
    assert service.checked(host, LONG) is None


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.0.0.2"])
def test_this_machine_needs_none(host):
    assert service.checked(host, None) is None


def test_a_short_password_a_name_and_a_port_that_is_taken_are_refused():
    with pytest.raises(nb.ModelError, match="12 letters"):
        service.checked("0.0.0.0", "short")
    with pytest.raises(nb.ModelError, match="is no address"):
        service.checked("example.org", LONG)
    with (
        service.bound("127.0.0.1", 0) as opened,
        pytest.raises(nb.ModelError, match="another --port"),
        service.bound("127.0.0.1", opened.getsockname()[1]),
    ):
        pass


def test_the_command_says_in_one_line_what_it_refuses(monkeypatch):
    refused = CliRunner().invoke(app, ["bedside", "--host", "0.0.0.0", "--no-browser"])
    assert refused.exit_code == 1 and refused.output.startswith("error: other machines reach 0.0.0.0")
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    monkeypatch.delitem(sys.modules, "nlmebayes.bedside.service")
    missing = CliRunner().invoke(app, ["bedside", "--no-browser"])
    assert missing.output == "error: the page needs uvicorn, which is not there: pip install 'nlmebayes[bedside]'\n"


def test_a_password_opens_the_page_and_a_wrong_one_does_not(monkeypatch):
    monkeypatch.setattr(guard, "PAUSE", 0.01)
    with served(password=LONG) as found, httpx.Client(base_url=found.address) as client:
        own = {"origin": found.address.rstrip("/")}
        assert LONG not in repr(found.bedside.keys) and "token" not in found.address
        assert client.get("/").headers["location"] == client.get("/?token=x").headers["location"] == "/enter"
        assert client.post("/enter", data={"password": "wrong"}, headers=own).status_code == 403
        assert client.post("/enter", data={"password": LONG}).status_code == 403  # of another origin
        assert client.post("/enter", data={"password": LONG}, headers=own).status_code == 303
        assert client.get("/").status_code == 200


def test_names_of_a_server_are_its_own():
    assert guard.names("127.0.0.1") == guard.names("::1") == ["127.0.0.1", "[::1]", "localhost"]
    assert "192.168.0.3" in guard.names("192.168.0.3") and "evil.example" not in guard.names("0.0.0.0")


def test_sheets_are_few_and_young():
    now = [0.0]
    kept = Sheets(most=3, oldest=10.0, clock=lambda: now[0])
    names = [kept.put(i) for i in range(5)]
    assert [kept.get(name) for name in names] == [None, None, 2, 3, 4] and len({*names}) == 5
    now[0] = 11.0
    assert kept.get(names[-1]) is None and len(kept) == 0 and len(names[0]) >= 20


def test_fields_are_a_case_and_back():
    fields = [
        ("models", "a"), ("models", "b"), ("label", " bed 7 "), ("patient.age", "60"), ("patient.sex", ""),
        ("doses.0.time", ""), ("doses.2.time", "12"), ("doses.2.amount", "1 g"), ("doses.1.time", "0"),
        ("targets.0", ""), ("targets.1", "auc24 400-600"), ("do", "answer"), ("os.0.system", "x"), ("seed", "3"),
    ]  # fmt: skip
    assert form.tables(fields) == {
        "models": ["a", "b"], "label": "bed 7", "patient": {"age": "60"}, "targets": ["auc24 400-600"],
        "doses": [{"time": "0"}, {"time": "12", "amount": "1 g"}],
    }  # fmt: skip
    assert form.tables([], {"seed": "2"}) == {"seed": "2"}


def test_too_many_rows_are_refused():
    with pytest.raises(nb.DataError, match="501 rows of doses; at most 500"):
        form.tables([(f"doses.{i}.time", "1") for i in range(501)])


CHART = """Date and time; Dose (mg); Infused over (h); Level (mg/L); SCr (mg/dL); dial
2026-05-01 08:00; 1000; 1; ; 1,0; 0
2026-05-01 20:00; 1000; 90 min; .; ;
2026-05-02 07:30; ; ; <0.5; 1.2;
"""


def test_a_pasted_chart_becomes_rows_with_units():
    assert pasted.rows(CHART, ("dial",)) == {
        "doses": [
            {"time": "2026-05-01 08:00", "amount": "1000 mg", "duration": "1 h"},
            {"time": "2026-05-01 20:00", "amount": "1000 mg", "duration": "90 min"},
        ],
        "samples": [{"time": "2026-05-02 07:30", "value": "<0.5 mg/L"}],
        "later": [{"time": "2026-05-02 07:30", "creatinine": "1.2 mg/dL"}],
        "patient": {"creatinine": "1,0 mg/dL", "dial": "0"},
    }
    assert pasted.rows(CHART.replace(";", "\t"), ("dial",)) == pasted.rows(CHART, ("dial",))


def test_an_event_table_of_one_patient_is_a_chart():
    text = (Path(__file__).parent / "charts" / "vancomycin_b.csv").read_text(encoding="utf-8")
    found = pasted.rows(text.replace("13,.,.,12", "13,0,0,12"), ("crcl", "dial"))
    assert found["label"] == "vancomycin_b" and found["samples"][0] == {"time": "13", "value": "12"}
    assert found["doses"][1] == {"time": "24.2", "amount": "1000", "rate": "500"} and len(found["doses"]) == 2
    assert found["patient"] == {"crcl": "65", "weight": "70", "dial": "0"} and found["later"] == []
    with pytest.raises(nb.DataError, match="holds 2 patients, b, vancomycin_b"):
        pasted.rows(text.replace("vancomycin_b,48", "b,48"), ("crcl", "dial"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "begins with a line of names"), ("time, dose", "begins with a line of names"),
        ("time, colour\n1, 2", "'colour' is not known"), ("dose, conc\n1, 2", "needs one time"),
        ("time, dose, amt\n1, 2, 3", "no column twice"), ("time, dose\n1, 2, 3", "line 2 of the chart has 3 cells"),
        ("time, dose\n, 2", "line 2 of the chart has no time"), ("time, dose\n" + "1, 2\n" * 60_000, "at most 200,000"),
    ],
)  # fmt: skip
def test_a_chart_that_cannot_be_read_is_refused_by_name(text, said):
    with pytest.raises(nb.DataError, match=said):
        pasted.rows(text)


def test_a_value_that_no_choice_has_and_a_column_that_a_problem_is_about_are_shown():
    tables = {"models": ["piperacillin_roberts_2010"], "patient": {"sex": "f"}, "doses": [{"time": "0"}]}
    problems = (Problem("doses.0.rate", "write one"), Problem("models.0", "is none"))
    shown = view.of(Sheet(tables, problems=problems))
    sex = next(field for field in shown["patient"] if field.name == "patient.sex")
    assert ("f", "f") in sex.choices and sex.value == "f"
    assert [c.key for c in shown["tables"]["doses"].heads][-2:] == ["rate", "occasion"]
    assert [each[1:] for each in shown["problems"]] == [("Dose 1: ", "doses-0-rate"), ("", "models")]
