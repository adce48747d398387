"""Formulas of residual parts: ``"sigma ~ 1 + period"``, on the log scale.

``sigma`` is the part of a residual that has only one, in a model of one outcome; ``sigma_<outcome>`` that of an
outcome, ``sigma_<outcome>_<part>`` any. The coefficients are ``sigma_<outcome>_<part>`` in the posterior, with the
terms as coordinate; the part of a record is the exponential of its linear predictor.
"""

import numpy as np
from scipy import stats

from nlmebayes import coefficients
from nlmebayes.formula import FormulaError, parse

PREFIX = "sigma"


def is_scale(text):
    """Whether a formula is of a part of a residual."""
    name = parse(text).parameter
    return name == PREFIX or name.startswith(f"{PREFIX}_")


def scale_formulas(model, outcomes):
    """(outcome, part) -> `Formula`, for the formulas of a model's residual parts."""
    names = {}
    for outcome in outcomes:
        parts = list(model.residual_of(outcome).priors(1.0))
        names |= {f"{PREFIX}_{outcome}_{part}": (outcome, part) for part in parts}
        if len(parts) == 1:
            names[f"{PREFIX}_{outcome}"] = (outcome, parts[0])
            names |= {PREFIX: (outcome, parts[0])} if len(outcomes) == 1 else {}
    found = {}
    for formula in (parse(text) for text in model.formulas if is_scale(text)):
        if formula.parameter not in names:
            raise FormulaError(
                f"formula {formula.text!r}: no part {formula.parameter!r} of a residual; there are {', '.join(names)}"
            )
        key = names[formula.parameter]
        if key in found:
            raise FormulaError(f"sigma_{key[0]}_{key[1]} has two formulas: {found[key].text!r} and {formula.text!r}")
        if formula.groups:
            raise FormulaError(
                f"formula {formula.text!r}: the scatter has no random effects; give each group its own: "
                f"{formula.parameter} ~ 0 + {formula.groups[0].factors[-1]}"
            )
        for e in formula.fixed.expressions:
            if e.function in ("offset", "s"):
                what = "offsets" if e.function == "offset" else "smooths; write bs() or poly()"
                raise FormulaError(f"formula {formula.text!r}: {e.text}: the scatter has no {what}")
        centre(model.residual_of(key[0]).priors(1.0)[key[1]], formula.text)
        found[key] = formula
    return found


def centre(prior, text=""):
    """Median of the default prior of a part, on the log scale; a part with another range has no formula."""
    p = prior.parameters
    if prior.family == "HalfNormal":
        return float(np.log(p["sigma"] * stats.halfnorm.median()))
    if prior.family == "LogNormal":
        return float(p["mu"])
    if prior.family == "Gamma":
        return float(np.log(stats.gamma(p["alpha"], scale=1 / p["beta"]).median()))
    raise FormulaError(f"formula {text!r}: this part does not range over all positive numbers, so it has no formula")


def scale_prior(prior, matrix):
    """Default prior of the coefficients: Normal(log of the median of the part's own, 1), slopes as of any parameter."""
    return coefficients.prior(matrix, float(f"{centre(prior):.4g}"), 1.0)
