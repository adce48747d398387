"""The sections of the report of a fit, in the order in which they are read."""

from dataclasses import replace

from nlmebayes import plot
from nlmebayes.criticism.check import check
from nlmebayes.criticism.model_comparison import compare
from nlmebayes.errors import ModelError
from nlmebayes.evaluation.fitted import said
from nlmebayes.reporting import diagnosis, estimates, pictures, provenance, statement, study
from nlmebayes.reporting.blocks import Points, Section, Words
from nlmebayes.reporting.figures import pictured
from nlmebayes.reporting.tables import as_given, number, table

THIS = "this"  # the name of the fit in a comparison
MEASURES = {
    "elpd": "ELPD of groups left out", "se": "its SE, between groups", "mcse": "its Monte Carlo error",
    "p": "effective parameters", "high_k": "groups whose weights are not to be trusted",
    "record_elpd": "ELPD of records, given the effects of their group", "record_se": "its SE, between records",
    "record_mcse": "its Monte Carlo error", "record_p": "effective parameters, of records",
    "record_high_k": "records whose weights are not to be trusted", "parameters": "parameters of the population",
    "minus2ll": "-2 log-likelihood of the maximum",
    "stacking": "weight by stacking", "pseudo_bma": "pseudo-BMA+ weight",
}  # fmt: skip


def of_fit(known, options, others, found, doubts):
    """All sections of a fit; ``doubts`` fills up with what is warned of while they are made.

    Parameters
    ----------
    options : dict
        ``model`` and ``ci_prob``.
    others : dict of name -> DataTree, or Comparison
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
    found = compare({THIS: known.tree, **others}) if isinstance(others, dict) else others
    own = f"; {THIS!r} is the one of this report" if isinstance(others, dict) else ""
    frame = found.table.dropna(axis=1, how="all")
    rows = frame.T.rename_axis("Measure").reset_index()
    rows["Measure"] = [MEASURES.get(name, name) for name in rows["Measure"]]
    caption = f"Groups of {found.level} left out, the best model first{own}."
    shown = table(rows, "comparison", caption, shown=lambda x: as_given(round(x, 2)))
    blocks = [replace(shown, frame=frame.rename_axis("model").reset_index())]
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
