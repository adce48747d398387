"""From what was entered on the page to the sheet that is shown: read, checked, answered."""

import logging
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from nlmebayes.bedside import form, pasted, shown
from nlmebayes.bedside.offers import needed, offers
from nlmebayes.cases import answers, entry, file
from nlmebayes.cases.case import Case
from nlmebayes.data.validate import DataError
from nlmebayes.errors import ModelError
from nlmebayes.files.errors import FileError
from nlmebayes.formula import FormulaError

REFUSALS = (DataError, FileError, FormulaError, ModelError)
KEPT = ("seed", "population")  # of a case, which no field shows
ANSWER, OPEN, PASTE, MODELS, ROW = "answer", "open", "paste", "models", "row-"  # what buttons ask for
FAULT = "Something went wrong in the program, not in what you entered; the terminal says what. Nothing was computed."
NOBODY = {
    "models": ["vancomycin_goti_2018"],
    "patient": {"age": "60", "sex": "male", "weight": "70", "height": "175", "creatinine": "1 mg/dL", "dial": "0"},
    "doses": [{"time": "0", "amount": "1000", "duration": "1"}],
    "samples": [{"time": "11.5", "value": "12"}],
    "targets": ["auc24 400-600"],
}  # fmt: skip
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Said:
    """What a browser sent: texts by field, the sheet that it saw before, the name and the content of a file."""

    texts: list = field(repr=False)
    before: object = field(default=None, repr=False)
    upload: tuple[str, bytes] | None = field(default=None, repr=False)

    @property
    def asked(self):
        """Which button was pressed."""
        return dict(self.texts).get("do", ANSWER)

    @property
    def pasted(self):
        """The chart that was pasted."""
        return dict(self.texts).get("chart", "").strip()


@dataclass(frozen=True, eq=False)
class Sheet:
    """What was entered, what is wrong with it, and what the page shows of the answer.

    ``more`` are empty rows that were asked for, by table; ``refusal`` is what was wrong with all of it, ``chart`` a
    pasted one that could not be read.
    """

    tables: dict = field(default_factory=dict, repr=False)
    case: Case | None = field(default=None, repr=False)
    problems: tuple = ()
    read: dict = field(default_factory=dict, repr=False)
    covariates: dict = field(default_factory=dict, repr=False)
    answer: object = field(default=None, repr=False)
    more: dict = field(default_factory=dict)
    refusal: str = ""
    chart: str = field(default="", repr=False)

    @property
    def place(self):
        """Where on the page the eye should go."""
        if self.answer is not None:
            return "answer"
        return "problems" if self.refusal or self.problems else next(iter(self.more), "models")


def consulted(said):
    """The `Sheet` of what a browser sent; a fault of the program loses nothing of it, and is told to the terminal."""
    try:
        return _consulted(said)
    except Exception as fault:
        log.error("a case could not be computed", exc_info=fault)
        return kept(said, FAULT)


def kept(said, refusal):
    """A `Sheet` with what was entered, and why there is no answer."""
    return Sheet(form.tables(said.texts, _unseen(said)), refusal=refusal, chart=said.pasted)


def _unseen(said):
    """What no field shows, of the sheet before."""
    return {} if said.before is None else {key: said.before.tables[key] for key in KEPT if key in said.before.tables}


def _consulted(said):
    tables = _unseen(said)
    try:
        tables = form.tables(said.texts, tables)
        if said.asked == OPEN:
            return _opened(said, tables)
        if said.asked == PASTE:
            return _read(_joined(tables, said.pasted))
        if said.asked.startswith(ROW):
            name = said.asked.removeprefix(ROW)
            return Sheet(tables, more={name: form.MORE.get(name, 1)})
        return Sheet(tables) if said.asked == MODELS else _answered(tables)
    except REFUSALS as refusal:
        return Sheet(tables, refusal=" ".join(str(refusal).split()), chart=said.pasted)


def _opened(said, tables):
    """A saved case, or a chart as a table."""
    if said.upload is None:
        raise DataError("no file was chosen; choose a saved case (.toml) or a chart (.csv)")
    name, content = said.upload
    if name.lower().endswith(".toml"):
        return _answered(file.of_bytes(content, "the file").tables)
    return _read(_joined(tables, content.decode("utf-8-sig", errors="replace")))


def _joined(tables, text):
    """The tables with the rows of a pasted chart in the place of those that were entered.

    Later values of somebody before do not stay where the chart says what the patient is like.
    """
    found = pasted.rows(text, tuple(needed(tables.get("models", ()), tables.get("population", {}))))
    fresh = found.pop("patient")
    kept = {name: value for name, value in tables.items() if name != "later" or not fresh}
    return kept | {name: rows for name, rows in found.items() if rows} | {"patient": tables.get("patient", {}) | fresh}


def _case(tables):
    if not tables.get("models"):
        raise DataError("choose a drug and a model first")
    return Case.of(tables)


def _read(tables):
    """A sheet with what is wrong, and without an answer."""
    return _of(tables, entry.read(_case(tables)))


def _of(tables, read, answer=None):
    return Sheet(tables, read.case, read.problems, read.shown, read.covariates, answer)


def _answered(tables):
    """A sheet with its answer, or with what stands in its way."""
    case = _case(tables)
    try:
        found = answers.answer(case)
    except REFUSALS:
        read = entry.read(case)
        if not read.stopping:
            raise
        return _of(tables, read)
    return _of(tables, found.entry, shown.of(found))


def reported(sheet):
    """The one-page report of a sheet as text; it is computed again, which gives the same numbers."""
    with TemporaryDirectory(prefix="nlmebayes-") as folder:
        path = Path(folder) / "report.html"
        answers.answer(sheet.case).report(path)
        return path.read_text(encoding="utf-8")


def warmed():
    """A case of nobody, with its report, so that all is loaded and compiled."""
    offers()
    reported(_answered(NOBODY))
