"""What the page at the bedside answers: the numbers of the library, errors beside their fields, no other patient."""

import html
import re
import resource
import threading
import time
import tomllib

import httpx
import pandas as pd
import pytest
from bedsides import served

import nlmebayes as nb
from nlmebayes.reporting.tables import interval, number

GOTI = "vancomycin_goti_2018"
HAND = {
    "models": GOTI, "label": "bed 7", "patient.weight": "70", "patient.crcl": "65", "patient.dial": "no",
    "doses.0.time": "0", "doses.0.amount": "2000", "doses.0.duration": "2", "doses.1.time": "24.2",
    "doses.1.amount": "1 g", "doses.1.duration": "120 min", "samples.0.time": "13", "samples.0.value": "12",
    "samples.1.time": "48", "samples.1.value": "9500 ug/L", "targets.0": "auc24 400-600", "now": "48",
    "regimens.0.amount": "1250", "regimens.0.every": "12", "regimens.0.duration": "2", "regimens.0.start": "48.2",
    "regimens.1.amount": "1000", "regimens.1.every": "12", "regimens.1.duration": "2", "regimens.1.start": "48.2",
}  # fmt: skip


class Visitor:
    """A browser at the page."""

    def __init__(self, service):
        self.here = service.address.partition("/?")[0]
        self.client = httpx.Client(base_url=self.here, timeout=120, follow_redirects=True)
        self.client.get(service.address)

    def asked(self, fields, *, do="answer", file=None):
        """The page after a button was pressed."""
        parts = [(name, (None, text)) for name, text in (fields | {"do": do}).items()]
        parts += [("file", file)] if file else []
        self.answer = self.client.post("/", files=parts, headers={"origin": self.here})
        assert self.answer.status_code == 200
        return self.answer.text

    def opened(self, text, name="case.toml"):
        return self.asked({}, do="open", file=(name, text.encode()))

    @property
    def sheet(self):
        """The address of the last page."""
        return str(self.answer.url).partition("#")[0]


@pytest.fixture(scope="module")
def service():
    with served() as found:
        yield found


@pytest.fixture(scope="module")
def visitor(service):
    found = Visitor(service)
    yield found
    found.client.close()


def wrong(text):
    """Problems by the field that they are beside."""
    fields = re.findall(r'name="([^"]+)"[^>]*aria-invalid="true"[^>]*>\s*(?:</select>)?\s*<div [^>]*>(.*?)</div>', text,
                        re.S)  # fmt: skip
    return {name: html.unescape(" ".join(re.sub("<[^>]+>", " ", said).split())) for name, said in fields}


def shown(text):
    """The text of the answer, without markup."""
    return html.unescape(" ".join(re.sub("<[^>]+>", " ", text.partition('id="answer"')[2]).split()))


@pytest.fixture(scope="module")
def truth():
    """The same case in the words of the library."""
    doses = pd.DataFrame({"id": "p", "time": [0.0, 24.2], "amt": [2000.0, 1000.0], "rate": [1000.0, 500.0]})
    seen = pd.DataFrame({"id": "p", "time": [13.0, 48.0], "conc": [12.0, 9.5], "crcl": 65.0, "wt": 70.0, "dial": 0.0})
    patient = nb.Dataset.from_frame(seen, outcome="conc", time="time", levels="id", doses=doses)
    forecast = nb.forecast(nb.published(GOTI), patient, random_seed=1)
    plans = [nb.Regimen(mg, start=48.2, every=12, duration=2, steady=True) for mg in (1250, 1000)]
    return nb.recommend(forecast, plans, nb.DailyAUC(400, 600))


def agree(text, truth):
    """Whether the page shows what `recommend` says, to the digits shown."""
    for row in truth.itertuples():
        shares = " ".join(f"{p:.2f}" for p in (row.p_below, row.p_in, row.p_above))
        assert f"{row.amount:g} mg over 2 h every 12 h at steady state" in text
        assert f"{row.target} {shares} {number(row.median)} {interval(row.eti_lb, row.eti_ub)}" in text


def test_a_case_entered_by_hand_is_answered_as_the_library_does(visitor, truth):
    page = visitor.asked(HAND)
    agree(shown(page), truth)
    assert "= 9.5 mg/L" in page and "= 1000 mg" in page and "= 2 h" in page and wrong(page) == {}


TABLE = """time; dose (mg); infused over (h); level (mg/L)
0; 2000; 2;
13; ; ; 12
24,2; 1000; 2;
48; ; ; 9,5
"""


def test_a_chart_that_is_uploaded_or_pasted_is_the_same(visitor, truth):
    rest = {name: text for name, text in HAND.items() if not name.startswith(("doses", "samples"))}
    uploaded = visitor.asked(rest, do="open", file=("chart.csv", TABLE.encode()))
    assert 'value="24,2"' in uploaded and 'value="9,5 mg/L"' in uploaded and 'id="answer"' not in uploaded
    assert 'value="24,2"' in visitor.asked(rest | {"chart": TABLE}, do="paste")
    fields = dict(re.findall(r'<input id="[^"]+" name="((?:doses|samples)\.[^"]+)" value="([^"]*)"', uploaded))
    agree(shown(visitor.asked(rest | fields)), truth)


def test_dates_are_hours_since_the_first_record(visitor, truth):
    moments = {"0": "2026-05-01 08:00", "13": "2026-05-01 21:00", "24.2": "2026-05-02 08:12", "48": "2026-05-03 08:00",
               "48.2": "2026-05-03 08:12"}  # fmt: skip
    timed = {n: moments[t] if n.endswith(("time", "start")) or n == "now" else t for n, t in HAND.items()}
    text = shown(visitor.asked(timed))
    agree(text, truth)
    assert "from 2026-05-03 08:12" in text and "05-02 00:00" in text


BAD = [  # what is changed, the field that it is said beside, and words of what is said
    ({"doses.0.amount": "-2000"}, "doses.0.amount", "not above 0"),
    ({"doses.0.amount": "2000 mmol"}, "doses.0.amount", "cannot be converted"),
    ({"doses.0.amount": "two"}, "doses.0.amount", "is no number"),
    ({"samples.0.time": "-3"}, "samples.0.time", "first dose was given at 0 h"),
    ({"samples.1.time": "50", "samples.1.value": "9"}, "samples.1.time", "lies after now"),
    ({"samples.0.time": "2026-05-01 08:00"}, "samples.0.time", "another kind of time"),
    ({"patient.weight": "70 L"}, "patient.weight", "cannot be converted to kg"),
    ({"patient.weight": "70 g"}, "patient.weight", "another unit"),
    ({"patient.weight": ""}, "patient.weight", "enter the weight"),
    ({"patient.crcl": "", "patient.creatinine": "90"}, "patient.creatinine", "has no unit"),
    ({"targets.0": "auc24 lots"}, "targets.0", "is no range"),
    ({"regimens.0.start": "12"}, "regimens.0", ""),
]


@pytest.mark.parametrize(("change", "field", "said"), BAD, ids=[str(case[0]) for case in BAD])
def test_what_cannot_be_is_said_beside_its_field(visitor, change, field, said):
    page = visitor.asked(HAND | change)
    found = wrong(page) if field.count(".") == 2 or not field.startswith("regimens") else {field: page}
    assert field in found and said in found[field] and 'id="problems"' in page
    assert (f'name="{field}" value="{change.get(field, "")}"' in page) == (field in change)


def test_what_can_hardly_be_meant_is_said(visitor):
    thousandfold = visitor.asked(HAND | {"samples.0.value": "12000", "samples.1.value": "9500"})
    assert "1000" in thousandfold and ("look" in thousandfold or "wrong" in thousandfold)
    outside = visitor.asked(HAND | {"patient.crcl": "400"})
    assert re.search(r'class="look".*crcl', outside) and 'id="answer"' in outside


def test_a_dose_that_is_missed_or_late(visitor):
    text = shown(visitor.asked(HAND | {"late": "4 h"}))
    assert all(word in text for word in ("If the next dose is late or missed", "as planned", "4 h late", "missed"))


def test_two_models_are_averaged_with_weights(visitor):
    fields = list(HAND.items())
    parts = [(n, (None, t)) for n, t in [*fields, ("models", "vancomycin_thomson_2009"), ("do", "answer")]]
    text = shown(visitor.client.post("/", files=parts, headers={"origin": visitor.here}).text)
    weights = [float(w) for w in re.findall(r"vancomycin_\w+_\d+: ([01]\.\d\d)", text)]
    assert len(weights) == 2 and sum(weights) == pytest.approx(1.0, abs=0.011)


def test_the_next_sample_is_named(visitor):
    text = shown(visitor.asked(HAND | {"next_sample": "50.2, 54, 60"}))
    assert re.search(r"Next sample (50.2|54|60) h: the uncertainty about .* falls by \d+ %", text)


def test_the_report_has_the_same_best_regimen_and_no_script(visitor):
    visitor.asked(HAND)
    report = visitor.client.get(f"{visitor.sheet}/report.html")
    assert "no medical device" in report.text and "Best of those compared" in report.text
    assert "script-src" not in report.headers["content-security-policy"] and "<script" not in report.text
    assert "attachment" in visitor.client.get(f"{visitor.sheet}/report.html?save").headers["content-disposition"]


def test_a_saved_case_gives_the_same_answer(visitor):
    before = shown(visitor.asked(HAND))
    saved = visitor.client.get(f"{visitor.sheet}/case.toml").text
    assert shown(visitor.opened(saved)) == before
    assert nb.answer(nb.Case.of(tomllib.loads(saved))).best.amount in (1000.0, 1250.0)


@pytest.mark.parametrize("text", ["", "models = 3", "models = ['x']", "x" * 10_000, "[" * 5000, "models = ['../../x']"])
def test_a_file_that_is_no_case_is_refused(visitor, text):
    page = visitor.opened(text)
    assert 'class="wrong"' in page and 'id="answer"' not in page and "Traceback" not in page


def test_what_is_entered_is_text(visitor):
    page = visitor.asked(HAND | {"label": "<script>alert(1)</script>", "samples.0.value": '"><img src=x onerror=y>'})
    assert "<script>alert" not in page and "<img" not in page and "&lt;script&gt;" in page


def test_tabs_at_once_see_their_own_patients(service):
    """Ten tabs, each with a patient of its own, and the page meanwhile."""
    pages, waited = {}, []

    def tab(i):
        visitor = Visitor(service)
        visitor.asked(HAND | {"label": f"ward {i}", "doses.0.amount": f"{1500 + 50 * i}"})
        pages[i] = visitor.client.get(visitor.sheet).text
        visitor.client.close()

    threads = [threading.Thread(target=tab, args=(i,)) for i in range(10)]
    for thread in threads:
        thread.start()
    visitor = Visitor(service)
    while any(thread.is_alive() for thread in threads):
        start = time.perf_counter()
        assert visitor.client.get("/").status_code == 200
        waited.append(time.perf_counter() - start)
        time.sleep(0.2)
    visitor.client.close()
    assert sorted(pages) == list(range(10))
    for i, text in pages.items():
        wards = set(re.findall(r"ward \d", text))
        assert wards == {f"ward {i}"} and f'value="{1500 + 50 * i}"' in text
    assert len(waited) > 10  # while one computed after the other


def test_one_after_the_other_without_growth(visitor, service):
    """Fifty answers; the peak of memory is that after the first ones."""
    plain = {name: text for name, text in HAND.items() if not name.startswith(("targets", "regimens"))}
    before = 0
    for i in range(50):
        assert f'<h2 id="answer-title">case {i}</h2>' in visitor.asked(plain | {"label": f"case {i}"})
        before = before if i > 5 else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # kB
    assert len(service.bedside.sheets) <= service.bedside.sheets.most


def test_a_fault_or_a_queue_loses_nothing_that_was_entered(visitor, service, monkeypatch):
    monkeypatch.setattr("nlmebayes.cases.answers.answer", lambda case: 1 / 0)
    page = visitor.asked(HAND)
    assert "Something went wrong in the program" in page and 'value="9500 ug/L"' in page
    assert "ZeroDivision" not in page and "division by zero" not in page
    monkeypatch.setattr("nlmebayes.bedside.server.WAITING", 0)
    assert "Other cases are being computed" in visitor.asked(HAND) and 'value="9500 ug/L"' in visitor.answer.text
