"""`report`: one HTML file that a colleague can read, with everything in it and nothing loaded from elsewhere."""

import warnings
from contextlib import contextmanager
from datetime import date
from functools import cache

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
from nlmebayes.reporting.provenance import source
from nlmebayes.runtime import quiet

NAME = "report.html"
OWN = (NAME, "*.csv")  # of a folder
INTENDED = (
    "Intended use: research and teaching. This is no medical device: whoever treats the patient decides, and checks "
    "doses, units and times."
)


@checked
def report(
    tree: Tree, path: File, *, others: dict[Text, Tree] | Comparison | None = None, diagnosis: Diagnosis | None = None,
    regimens: Frame | None = None, samples: Frame | None = None, warned: list[Text] = (), title: Text | None = None,
    date: Text | None = None, ci_prob: Share = 0.9, force: Switch = True, model: Model | None = None,
):  # fmt: skip
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
        A file that ends in ``.html``, or a folder, which gets ``report.html`` and every table as CSV.
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
    ci_prob : float
        Probability of the intervals.
    force : bool
        Replace a report that is there.
    model : Model, optional
        That of the tree, where its structure cannot be imported again.

    Returns
    -------
    Path
        Of the HTML file.

    Raises
    ------
    ModelError
        A tree that is neither; arguments of the one for the other.
    FileError
        Another ending, or the file cannot be written; what was there before is as it was.

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
    if path.suffix not in ("", ".html") or path.name == "":
        raise FileError(f"{path.name}: a report is a file that ends in .html, or a folder")
    known = fitted(tree, model)
    _check(known, others, diagnosis, regimens, samples, warned)
    options = {"model": model, "ci_prob": ci_prob}
    with _collected() as doubts:
        if known.report is None:
            text, tables = fit_report(known, options, others, diagnosis, doubts, title, date)
        else:
            text, tables = forecast_report(known, options, regimens, samples, warned, doubts, title, date)
    return _written(path, text, tables, force)


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
    """The text of a fit's report, and its tables."""
    brief, parts = sections.of_fit(known, options, others, diagnosis, doubts)
    title = (
        title or f"{source(known.training_data)}: {type(known.model.structure).__name__} of {', '.join(known.outcomes)}"
    )
    text = _rendered("fit.html.j2", title=title, date=date, brief=brief, sections=parts)
    return text, _tables(block for section in parts for block in section.blocks)


def forecast_report(known, options, regimens, samples, warned, doubts, title, date):
    """The text of a forecast's page, and its tables."""
    page = patient.of_forecast(known, options, regimens, samples)
    title = title or f"Forecast of {known.data.subject} {known.data.observations[known.data.subject].iloc[0]}"
    said = tuple(dict.fromkeys([*warned, *page.doubts, *doubts]))
    text = _rendered("forecast.html.j2", title=title, date=date, page=page, doubts=said, intended=INTENDED)
    return text, _tables(page.blocks)


def _tables(blocks):
    return {block.name: block.frame for block in blocks if block.kind == "table"}


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


def _written(path, text, tables, force):
    if path.suffix:
        with whole.file(path, force=force) as file:
            file.write_text(text, encoding="utf-8")
        return path
    with whole.folder(path, OWN, force=force) as folder:
        (folder / NAME).write_text(text, encoding="utf-8")
        for name, frame in tables.items():
            frame.to_csv(folder / f"{name}.csv", index=False)
    return path / NAME
