"""Sections of a report that are pictures of the fit."""

from functools import cache

from nlmebayes import plot
from nlmebayes.criticism.residuals import residuals
from nlmebayes.plot.curves import PAGE
from nlmebayes.plot.goodness import goodness
from nlmebayes.reporting.blocks import Section, Words
from nlmebayes.reporting.figures import pictured
from nlmebayes.reporting.tables import table
from nlmebayes.summaries import people

TIMES = "Replicates are of new individuals; bands are where the percentiles of replicated data lie."
MANY_DOSES = "Amounts differ between subjects, so measurements and replicates are corrected by their predictions."


def sections(known, options):
    """Goodness of fit, predictive check, individuals, random effects and covariates, as far as there are any."""
    yield _goodness(known, options)
    yield _predictive(known, options)
    yield _individuals(known, options)
    if known.training.levels:
        yield _effects(known, options)
    asked = asked_of(known)
    if asked:
        yield _covariates(known, asked, options)


def _each(known, draw, caption):
    """A picture for each outcome; ``caption`` names it."""
    return [pictured(lambda name=name: draw(name), caption.format(name)) for name in known.outcomes]


def _goodness(known, options):
    table = cache(lambda: residuals(known.tree, model=options["model"]))  # of all outcomes at once
    blocks = _each(
        known, lambda name: goodness(known, known.data, name, table, options["ci_prob"]),
        "Goodness of fit of {}: measured beside predicted, and residuals beside what they may not depend on.",
    )  # fmt: skip
    return Section("gof", "Goodness of fit", tuple(blocks))


def _predictive(known, options):
    differ = len(known.data.doses) and known.data.doses["amount"].nunique() > 1
    plain = {name for name in known.outcomes if not has_percentiles(known, name)}

    def draw(name):
        correct = "prediction" if differ and name not in plain else None
        return plot.vpc(known.tree, outcome=name, correct=correct, **options)

    words = f"{TIMES} {MANY_DOSES}" if differ and len(plain) < len(known.outcomes) else TIMES
    blocks = _each(known, draw, "Visual predictive check of {}.")
    return Section("vpc", "Visual predictive check", (Words(words), *blocks))


def has_percentiles(known, name):
    """Whether an outcome has percentiles, which a correction is of."""
    o, residual = known.training.outcome(name), known.model.residual_of(name)
    return not residual.folds and residual.shares(o.values[:1], o.columns) is None


def _individuals(known, options):
    total = known.data.observations[known.data.subject].nunique()
    shown = f"The first {PAGE} of {total}" if total > PAGE else f"All {total}"
    options = {"model": options["model"], "ci_prob": options["ci_prob"]}
    blocks = _each(known, lambda name: plot.fits(known.tree, outcome=name, **options), "Individual predictions of {}.")
    more = "; plot.fits(tree, page=2) has the next" if total > PAGE else ""
    return Section("individuals", "Individuals", (Words(f"{shown} of level {known.data.subject}{more}."), *blocks))


def _effects(known, options):
    options = {"model": options["model"], "ci_prob": options["ci_prob"]}
    blocks = [
        pictured(
            lambda name=level.name: plot.etas(known.tree, name, **options),
            f"Random effects of {level.name} beside their law, each other and covariates.",
        )
        for level in known.training.levels
    ]
    return Section("effects", "Random effects", tuple(blocks))


def asked_of(known):
    """Values of the covariates that formulas of positive parameters read, {name: values}, but those of reference."""
    positive = {p.name for p in known.model.parameters if p.scale.bounds[0] >= 0}
    read = {name: set(by) & positive for name, by in people.covariates(known).items()}
    outcome = known.outcomes[0]
    found = {}
    for name in (name for name, by in read.items() if by):
        usual = people.usual(known, name, outcome)
        values = [v for v in people.values_of(known, name, outcome, 2, lines=True) if v != usual]
        found |= {name: values[:: max(1, len(values) - 1)] if not people.is_factor(known, name) else values}
    return {name: values for name, values in found.items() if values}


def _covariates(known, asked, options):
    figure_table = []

    def draw():
        figure = plot.forest(known.tree, asked, model=options["model"], ci_prob=options["ci_prob"])
        figure_table.append(figure.numbers)
        return figure

    words = "Ratios to a reference person, one covariate at a time; the grey band is 0.8 to 1.25."
    picture = pictured(draw, "What covariates do to the parameters.")
    heads = {
        "of": "Parameter", "covariate": "Covariate", "value": "Value", "reference": "Reference", "median": "Ratio",
        "eti_lb": "", "eti_ub": "", "p_inside": "P(0.8 to 1.25)",
    }  # fmt: skip
    tables = [
        table(frame, "covariates", "Ratios to the reference person.", heads, options["ci_prob"])
        for frame in figure_table
        if len(frame)
    ]
    return Section("covariates", "Covariates", (Words(words), picture, *tables))
