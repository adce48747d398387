"""`report`: what stands in the file, that it loads nothing, that a label is never markup, and what is refused."""

import hashlib
import re
from html.parser import HTMLParser

import calls
import docx
import numpy as np
import pandas as pd
import pytest
from trees import stated

import nlmebayes as nb
from model_zoo import Emax, LinearMixed
from nlmebayes.evaluation.fitted import fitted
from nlmebayes.evaluation.storage import training_dataset
from nlmebayes.reporting import blocks, figures, pictures, tables, word
from nlmebayes.reporting.document import INTENDED

SECTIONS = ["data", "model", "priors", "diagnosis", "parameters", "gof", "vpc", "individuals", "effects", "made"]
LOADED = {"src", "srcset", "data", "poster", "background", "action", "formaction", "ping", "manifest"}


class Page(HTMLParser):
    """Anchors of sections, what a browser would load, images without words, tags, cells by table."""

    def __init__(self, text):
        super().__init__()
        self.sections, self.loaded, self.silent, self.tags, self.links = [], [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.tags.append(tag)
        self.sections += [given["id"]] if tag == "section" else []
        self.silent += [given] if tag == "img" and not given.get("alt") else []
        self.links += [given["href"]] if tag == "a" else []
        self.loaded += [v for k, v in attrs if k in LOADED or (k == "href" and tag not in ("a", "area"))]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "small"
    assert nb.report(calls.tree(), path, date="2020-01-02", title="Two people", word=True) == path / "report.html"
    return path


@pytest.fixture(scope="module")
def text(folder):
    return (folder / "report.html").read_text(encoding="utf-8")


def test_a_report_has_its_sections_and_loads_nothing(text):
    page = Page(text)
    assert page.sections == SECTIONS
    assert page.links == [f"#{name}" for name in SECTIONS]
    assert page.loaded and all(uri.startswith("data:image/") for uri in page.loaded)
    assert not page.silent and "script" not in page.tags
    assert not re.search(r"url\(|@import|http", re.sub(r'"data:[^"]*"', "", text))
    assert "2020-01-02" in text and "<h1>Two people</h1>" in text


def test_diagnosis_stands_with_its_findings_and_on_top(text):
    found = nb.check(calls.tree()).findings
    assert all(finding.split(":")[0] in text for finding in found) and 'class="alert"' in text
    assert f"{len(found)} findings, see Diagnosis" in text


def test_tables_stand_beside_it(folder, text):
    summary, written = nb.summary(calls.tree()), pd.read_csv(folder / "parameters.csv")
    assert written["quantity"].tolist() == summary["quantity"].tolist()
    np.testing.assert_allclose(written["mean"], summary["mean"])
    names = {path.stem for path in folder.glob("*.csv")}
    assert names == set(re.findall(r'id="caption-(\w+)"', text))


def test_tables_stand_in_word_too(folder, text):
    found = docx.Document(folder / "report.docx")
    heads = [p.text for p in found.paragraphs if p.style.name == "Heading 1"]
    assert heads[:2] == ["Data", "Model"] and "2020-01-02" in [p.text for p in found.paragraphs]
    assert len(found.tables) == text.count("<table")
    (made,) = (t for t in found.tables if t.cell(0, 0).text == "Quantity")
    printed = [[cell.text for cell in row.cells] for row in made.rows]
    for row in re.findall(
        r'<td class="number">([^<]*)</td>', text.split('id="caption-parameters"')[1].split("</table")[0]
    )[:9]:
        assert any(row in cells for cells in printed)


def test_a_table_in_word_is_the_one_of_the_report(tmp_path):
    """Heads, cells, headings of groups; and no character that XML has not."""
    frame = pd.DataFrame({"a": ["x\x01", "y"], "mean": [1.0, 2.0]})
    section = blocks.Section("s", "Title", (tables.table(frame, "t", "Caption", groups=["first", "second"]),))
    word.written(tmp_path / "t.docx", "T", None, [section])
    (made,) = docx.Document(tmp_path / "t.docx").tables
    assert [[cell.text for cell in row.cells] for row in made.rows] == [
        ["a", "Mean"], ["first", "first"], ["x\N{REPLACEMENT CHARACTER}", "1.00"], ["second", "second"], ["y", "2.00"],
    ]  # fmt: skip


def test_the_tables_of_a_forecast_stand_in_word_alone(tmp_path):
    path = nb.report(calls.forecast(), tmp_path / "p.docx")
    found = docx.Document(path)
    assert [p.name for p in tmp_path.iterdir()] == ["p.docx"]
    assert "Patient" in [cell.text for table in found.tables for cell in table.rows[0].cells]
    assert INTENDED in [p.text for p in found.paragraphs]


def test_without_the_extra_a_word_file_is_refused(tmp_path, monkeypatch):
    def without(_):
        raise ImportError("No module named 'docx'")

    monkeypatch.setattr(word, "import_module", without)
    with pytest.raises(nb.FileError, match=r"pip install 'nlmebayes\[word\]'; or write .html"):
        nb.report(calls.forecast(), tmp_path / "p.html", word=True)
    assert not list(tmp_path.iterdir())


def test_data_are_summed_up_and_hashed(folder):
    data = training_dataset(calls.tree())
    row = pd.read_csv(folder / "data_outcomes.csv").iloc[0]
    assert row[["records", "subjects", "below", "above"]].tolist() == [4, 2, 0, 0]
    assert data.summary().outcomes["median"].item() == row["median"]
    told = pd.read_csv(folder / "data_hashes.csv").set_index("Frame")["SHA-256"]
    own = hashlib.sha256(data.observations.to_csv(index=False).encode()).hexdigest()
    assert told["observations"] == own


def test_the_same_fit_gives_the_same_bytes(tmp_path):
    page = [nb.report(calls.forecast(), tmp_path / f"{i}.html").read_bytes() for i in range(2)]
    assert page[0] == page[1]


LABELS = ["<script>alert(1)</script>", "\"><img src=x onerror='alert(1)'>", "{{ 7 * 7 }}", "$\\no$"]


@pytest.mark.parametrize("label", LABELS)
def test_labels_of_a_stranger_run_nothing(label, tmp_path):
    column = label.replace("/", "|")  # no tree takes a column with a slash
    frame = pd.DataFrame({"site": [label, label, "b", "b"], column: [label, "q"] * 2, "y": [0.1, 0.3, -0.2, 0.5]})
    data = nb.Dataset.from_frame(frame, outcome="y", levels="site", inputs=[column], source=label)
    tree = nb.predict(stated(nb.Model(LinearMixed(), "mu ~ 1 + (1|site)"), data, draws=30), random_seed=1)
    page = Page(nb.report(tree, tmp_path / "r.html", title=label).read_text(encoding="utf-8"))
    assert "script" not in page.tags and all(uri.startswith("data:") for uri in page.loaded)
    assert page.sections == [name for name in SECTIONS if name in page.sections] and "made" in page.sections


def test_a_forecast_has_its_page(tmp_path):
    table, samples = calls.table(), nb.next_sample(calls.forecast(), [6.0, 10.0], "cl", replicates=20)
    given = {"regimens": table, "samples": samples, "warned": ["a doubt"]}
    text = nb.report(calls.forecast(), tmp_path, **given).read_text(encoding="utf-8")
    assert Page(text).sections == ["doubts", "patient", "standing", "course", "regimens", "next"]
    assert INTENDED in text and "a doubt" in text and f"{table['p_in'].iloc[0]:.2f}" in text
    own, before = (calls.forecast()[group]["cl"].to_numpy().ravel() for group in ("posterior", "prior"))
    standing = pd.read_csv(tmp_path / "standing.csv").set_index("parameter")
    assert standing.loc["cl", "median"] == pytest.approx(np.median(own))
    assert standing.loc["cl", "percentile"] == pytest.approx(100 * (before < np.median(own)).mean())


def test_a_fit_that_cannot_be_diagnosed_says_why(tmp_path):
    tree = nb.predict(stated(calls.model(), calls.data(), draws=1), random_seed=1)
    text = nb.report(tree, tmp_path / "r.html").read_text(encoding="utf-8")
    assert "There is no diagnosis: check needs" in text


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        (
            {"path": "r.pdf"},
            nb.FileError,
            "r.pdf: a report is a file that ends in .html, or a folder; its tables alone",
        ),
        ({"regimens": pd.DataFrame()}, nb.ModelError, "regimens= is of a forecast, and this tree is none"),
        ({"others": {"this": calls.tree}}, nb.ModelError, "others.* must be a tree"),
        ({"tree": nb.published, "name": "vancomycin_goti_2018"}, nb.ModelError, "stated, not fitted"),
    ],
)
def test_refusals(given, error, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = given.pop("name", None)
    given = {"tree": calls.tree(), "path": "r.html"} | given
    given["tree"] = given["tree"](name) if name else given["tree"]
    with pytest.raises(error, match=words):
        nb.report(**given)
    assert not list(tmp_path.iterdir())


def test_a_report_that_is_there_stays_without_force(tmp_path):
    (tmp_path / "r.html").write_text("mine")
    with pytest.raises(nb.FileError, match="exists"):
        nb.report(calls.forecast(), tmp_path / "r.html", force=False)
    assert (tmp_path / "r.html").read_text() == "mine"


PRINTED = [(0.0, "0"), (12345.6, "12346"), (-2e-9, "−2.00e−9"), (3, "3"), (np.inf, "inf"), (np.nan, "")]


@pytest.mark.parametrize(("x", "words"), PRINTED)
def test_numbers_are_printed_with_three_digits(x, words):
    assert tables.number(x) == words


def test_intervals_and_numbers_stand_right_and_words_left():
    frame = pd.DataFrame({"a": ["1.20 to 3.40"], "b": ["x to y"], "c": [1.0]})
    assert [column.numeric for column in tables.table(frame, "t", "").columns] == [True, False, True]


def test_formulas_are_outlines_of_letters():
    (picture,) = figures.formulas([r"\log\,\mathrm{cl} = \theta_{\mathrm{cl}}"]).lines
    assert picture.alt.startswith(r"\log") and picture.uri.startswith("data:image/svg+xml;base64,")


def test_covariates_are_asked_at_both_ends_of_their_range():
    frame = calls.tidy_table().assign(id=[1, 2, 3, 4], wt=[50.0, 70.0, 80.0, 99.0], sex=["m", "f", "f", "f"])
    data = nb.Dataset.from_frame(frame, outcome="conc", levels="id", covariates=["wt", "sex"], time="time")
    model = nb.Model(Emax(), "e0 ~ wt", "emax ~ 1 + wt + sex", "ec50 ~ 1", inputs={"concentration": "crp"})
    known = fitted(stated(model, data))
    assert pictures.asked_of(known) == {"wt": [50.0, 99.0], "sex": ["m"]}
