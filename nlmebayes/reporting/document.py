"""`report`: one HTML file that a colleague can read, with everything in it and nothing loaded from elsewhere."""

import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from nlmebayes.arguments import File, Share, Switch, Text, Tree, checked
from nlmebayes.criticism.check import Diagnosis
from nlmebayes.criticism.frames import Frame
from nlmebayes.criticism.model_comparison import Comparison
from nlmebayes.errors import ModelError
from nlmebayes.evaluation.fitted import fitted
from nlmebayes.files import whole
from nlmebayes.files.errors import FileError
from nlmebayes.model.model import Model
from nlmebayes.populations.stated import ABOUT
from nlmebayes.reporting import patient, sections
from nlmebayes.reporting.blocks import Points, Section, Words
from nlmebayes.reporting.provenance import source
from nlmebayes.reporting.word import library
from nlmebayes.reporting.word import written as in_word
from nlmebayes.runtime import quiet

NAME = "report.html"
WORD = ".docx"
OWN = (NAME, "*.csv", f"report{WORD}")  # of a folder
INTENDED = (
    "Intended use: research and teaching. This is no medical device: whoever treats the patient decides, and checks "
    "doses, units and times."
)


@checked
def report(
    tree: Tree, path: File, *, others: dict[Text, Tree] | Comparison | None = None, diagnosis: Diagnosis | None = None,
    regimens: Frame | None = None, samples: Frame | None = None, warned: list[Text] = (), title: Text | None = None,
    date: Text | None = None, word: Switch = False, ci_prob: Share = 0.9, force: Switch = True,
    model: Model | None = None,
) -> Path:  # fmt: skip
    """Write a report of a fit, or of a forecast, as one HTML file that loads nothing and prints to A4.

    Of a fit: data, model in mathematical notation, priors, diagnosis with its findings first, parameters, goodness of
    fit, visual predictive check, individuals, random effects, covariates, other models, and how to make it again. Of a
    forecast one page: the patient, where he stands in the population, his course before and after the samples,
    regimens with their probabilities, the next sample, doubts.

    Parameters
    ----------
    tree : DataTree
        From `fit` or `forecast`.
    path : str or Path
        A file that ends in ``.html``, or a folder, which gets ``report.html`` and every table as CSV; or one that ends
        in ``.docx``: the tables alone, with what is said of them.
    others : dict of name -> DataTree, or Comparison, optional
        Of a fit: others of the same data, with which `compare` compares it; or what it found, if it is at hand.
    diagnosis : Diagnosis, optional
        Of a fit: what `check` found, if it is at hand.
    regimens, samples : DataFrame, optional
        Of a forecast: the tables of `recommend` and of `next_sample`.
    warned : list of str, optional
        Of a forecast: what it warned of.
    title : str, optional
    date : str, optional
        To be printed; without one there is none, so that the same tree gives the same file.
    word : bool
        Whether the tables are written as a Word document too, beside the HTML file and called as it is.
    ci_prob : float
        Probability of the intervals.
    force : bool
        Replace a report that is there.
    model : Model, optional
        That of the tree, where its structure cannot be imported again.

    Returns
    -------
    Path
        Of the HTML file, or of the Word document where there is only that.

    Raises
    ------
    ModelError
        A tree that is neither; arguments of the one for the other.
    FileError
        Another ending, the extra ``word`` is not there, or the file cannot be written; what was there before is as it
        was.

    Examples
    --------
    >>> import pandas as pd, nlmebayes as nb
    >>> from model_zoo import OneCompartment
    >>> tree = nb.population(OneCompartment(), theta={"cl": 3.0, "v": 40.0},
    ...                      omega={"sd": {"cl": 0.3, "v": 0.2}}, sigma={"b": 0.15})
    >>> records = pd.DataFrame({"id": "ann", "time": [0, 2, 8], "amt": [100, 0, 0], "dv": [None, 2.1, 0.9]})
    >>> forecast = nb.forecast(tree, nb.Dataset.from_nonmem(records, outcome="conc"), random_seed=1)
    >>> table = nb.recommend(forecast, [nb.Regimen(50, start=12, every=12, doses=6)], nb.Trough(0.5, 1.5))
    >>> nb.report(forecast, "ann.html", regimens=table, title="Ann").name
    'ann.html'
    """
    if path.suffix not in ("", ".html", WORD) or path.name == "":
        raise FileError(f"{path.name}: a report is a file that ends in .html, or a folder; its tables alone in {WORD}")
    if word or path.suffix == WORD:
        library()
    known = fitted(tree, model)
    _check(known, others, diagnosis, regimens, samples, warned)
    options = {"model": model, "ci_prob": ci_prob}
    with _collected() as doubts:
        if known.report is None:
            made = fit_report(known, options, others, diagnosis, doubts, title, date)
        else:
            made = forecast_report(known, options, regimens, samples, warned, doubts, title, date)
    return _written(path, made, word, force)


@dataclass(frozen=True, eq=False)
class Made:
    """A report: its text as HTML, and its sections."""

    title: str
    date: str | None
    text: str
    sections: list

    @property
    def tables(self):
        """Name -> frame."""
        blocks = (block for section in self.sections for block in section.blocks)
        return {block.name: block.frame for block in blocks if block.kind == "table"}


def today():
    """The date, as ``date`` takes it."""
    return date.today().isoformat()


def _check(known, others, diagnosis, regimens, samples, warned):
    """Arguments belong to the kind of tree."""
    if known.report is None and ABOUT in known.tree.attrs:
        raise ModelError("report: this population was stated, not fitted; report a fit, or a forecast from it")
    given = {"regimens": regimens is not None, "samples": samples is not None, "warned": bool(warned)}
    kind = "forecast"
    if known.report is not None:
        given, kind = {"others": others is not None, "diagnosis": diagnosis is not None}, "fit"
    for name in (name for name, there in given.items() if there):
        raise ModelError(f"report: {name}= is of a {kind}, and this tree is none; leave it out")
    if isinstance(others, dict) and sections.THIS in others:
        raise ModelError(f"report: others: {sections.THIS!r} is the name of the tree itself; take another")


def fit_report(known, options, others, diagnosis, doubts, title, date):
    """The report of a fit."""
    brief, parts = sections.of_fit(known, options, others, diagnosis, doubts)
    title = (
        title or f"{source(known.training_data)}: {type(known.model.structure).__name__} of {', '.join(known.outcomes)}"
    )
    return Made(title, date, _rendered("fit.html.j2", title=title, date=date, brief=brief, sections=parts), parts)


def forecast_report(known, options, regimens, samples, warned, doubts, title, date):
    """The page of a forecast."""
    page = patient.of_forecast(known, options, regimens, samples)
    title = title or f"Forecast of {known.data.subject} {known.data.observations[known.data.subject].iloc[0]}"
    said = tuple(dict.fromkeys([*warned, *page.doubts, *doubts]))
    text = _rendered("forecast.html.j2", title=title, date=date, page=page, doubts=said, intended=INTENDED)
    blocks = (*([Points(said, alert=True)] if said else []), *page.blocks, Words(INTENDED))
    return Made(title, date, text, [Section("patient", "Patient", blocks)])


@cache
def _environment():
    return Environment(
        loader=PackageLoader("nlmebayes", "reporting/templates"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip


def _rendered(template, **content):
    return _environment().get_template(template).render(**content)


@contextmanager
def _collected():
    """Warnings as texts, in a list that fills up; they stand in the report."""
    found = []

    def collect(message, *_, **__):
        text = " ".join(str(message).split())
        if text not in found:
            found.append(text)

    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        quiet.ignore()
        warnings.showwarning = collect
        yield found


def _written(path, made, word, force):
    if not path.suffix:
        return _folder(path, made, word, force)
    if path.suffix != WORD:
        with whole.file(path, force=force) as file:
            file.write_text(made.text, encoding="utf-8")
    if word or path.suffix == WORD:
        with whole.file(path.with_suffix(WORD), force=force) as file:
            in_word(file, made.title, made.date, made.sections)
    return path


def _folder(path, made, word, force):
    with whole.folder(path, OWN, force=force) as folder:
        (folder / NAME).write_text(made.text, encoding="utf-8")
        for name, frame in made.tables.items():
            frame.to_csv(folder / f"{name}.csv", index=False)
        if word:
            in_word((folder / NAME).with_suffix(WORD), made.title, made.date, made.sections)
    return path / NAME
