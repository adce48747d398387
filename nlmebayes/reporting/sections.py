"""The sections of the report of a fit, in the order in which they are read."""

from nlmebayes import plot
from nlmebayes.criticism.check import check
from nlmebayes.criticism.model_comparison import compare
from nlmebayes.errors import ModelError
from nlmebayes.evaluation.fitted import said
from nlmebayes.reporting import diagnosis, estimates, pictures, provenance, statement, study
from nlmebayes.reporting.blocks import Points, Section, Words
from nlmebayes.reporting.figures import pictured
from nlmebayes.reporting.tables import HEADS, number, table

THIS = "this"  # the name of the fit in a comparison


def of_fit(known, options, others, found, doubts):
    """All sections of a fit; ``doubts`` fills up with what is warned of while they are made.

    Parameters
    ----------
    options : dict
        ``model`` and ``ci_prob``.
    others : dict of name -> DataTree
    found : Diagnosis, optional
    """
    found = found or diagnosed(known, options)
    sections = [
        study.section(known.training_data, [name for name in known.outcomes if pictures.has_percentiles(known, name)]),
        statement.section(known.model, known.training_data),
        statement.prior_section(known.model, known.training_data),
        diagnosis.section(found),
        estimates.section(known, options["ci_prob"]),
        *pictures.sections(known, options),
    ]
    if others:
        sections.append(_comparison(known, others))
    sections.append(provenance.section(known, doubts))
    return _brief(known, found), sections


def diagnosed(known, options):
    """The `Diagnosis` of a fit, or in words why there is none."""
    try:
        return check(known.tree, model=options["model"])
    except ModelError as refusal:
        return str(refusal)


def _brief(known, found):
    """What stands on top: names and texts."""
    data, settings = known.training_data, said(known.tree, provenance.FIT)
    people = ", ".join(f"{data.observations[level].nunique()} of level {level}" for level in data.levels)
    told = {"Data": provenance.source(data), "Records": f"{len(data.observations)}" + (f"; {people}" * bool(people))}
    told |= {"Model": known.model.structure.label.removesuffix("()"), "Residual": ", ".join(
        f"{name}: {type(known.model.residual_of(name)).__name__}" for name in known.outcomes
    )}  # fmt: skip
    told |= {"Fit": _method(settings), "Diagnosis": diagnosis.brief(found)}
    return told


def _method(settings):
    chains, draws = settings.get("chains", 1), settings.get("draws")
    several = f", {chains} chains of {draws} draws" if draws and chains > 1 else f", {draws} draws" if draws else ""
    return f"{settings.get('method', 'unknown')}{several}"


def _comparison(known, others):
    found = compare({THIS: known.tree, **others})
    frame = found.table.dropna(axis=1, how="all").rename_axis("model").reset_index()
    caption = f"Groups of {found.level} left out, the best model first; {THIS!r} is the one of this report."
    blocks = [table(frame, "comparison", caption, {c: HEADS.get(c, c) for c in frame})]
    if len(found.differences):
        differences = found.differences.reset_index(drop=found.differences.index.name is None)
        blocks += [
            table(differences, "comparison_differences", "Differences to the best model."),
            pictured(lambda: plot.comparison(found), "Models compared."),
        ]
    blocks += [Points(tuple(found.warnings), alert=True)] if found.warnings else []
    words = Words(f"How well new groups would be predicted: differences of a few times their SE, and above {number(4)} "
                  "in elpd, are worth talking of.")  # fmt: skip
    return Section("comparison", "Comparison", (words, *blocks))
