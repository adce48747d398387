"""The model of a report: formulas, parameters, priors."""

import inspect

import pandas as pd

from nlmebayes.model import notation
from nlmebayes.model.priors import priors
from nlmebayes.reporting.blocks import Section, Words
from nlmebayes.reporting.figures import formulas
from nlmebayes.reporting.tables import HEADS, table

SYMBOLS = (
    "θ: fixed effects on the scale of the link, one for each term. η: random effects of a group, normal around 0 with "
    "the SD ω, or the covariance Ω. f: the prediction of the structure. The parts of the residual are σ, SDs always."
)


def section(model, data):
    """The section on the model, without the priors."""
    kind = type(model.structure)
    first = " ".join((inspect.getdoc(kind) or "").partition("\n\n")[0].split()).replace("`", "")
    named = Words(f"{model.structure.label.removesuffix('()')}. {first}".strip())
    stated = formulas(notation.statement(model, data))
    return Section("model", "Model", (named, stated, Words(SYMBOLS), _parameters(model)))


def _parameters(model):
    rows = [{"parameter": p.name, "unit": p.unit, "link": type(p.scale).__name__.lower()} for p in model.parameters]
    found = table(pd.DataFrame(rows), "model_parameters", "Individual parameters.", {k: HEADS[k] for k in rows[0]})
    return found


def prior_section(model, data):
    """The section on the priors."""
    caption = "Priors on the scale of the link, and what they mean on the columns of these data."
    return Section("priors", "Priors", (table(priors(model, data), "priors", caption),))
