"""Formulas of residual parts: ``"sigma ~ 1 + period"``, on the log scale; of shares between 0 and 1, such as the pi of
`ZeroInflated` (``"sigma_y_pi ~ 1 + habitat"``), on the logit scale.

``sigma`` is the part of a residual that has only one, in a model of one outcome; ``sigma_<outcome>`` that of an
outcome, ``sigma_<outcome>_<part>`` any. The coefficients are ``sigma_<outcome>_<part>`` in the posterior, with the
terms as coordinate; the part of a record is the exponential, or the logistic function, of its linear predictor.
"""

import numpy as np
from scipy import special, stats

from nlmebayes.formula import FormulaError, coefficients, parse
from nlmebayes.parameter.parameter import LINKS

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


def link(prior):
    """The link of a part by its default prior: the logit of a share, the log of what is positive."""
    return LINKS["logit"] if prior.family == "Beta" else LINKS["log"]


def link_of(residual, part):
    """The same, of a part by name."""
    return link(residual.priors(1.0)[part])


def values_of(link, linear):
    """Parts on their natural scale, arrays."""
    return special.expit(linear) if link == LINKS["logit"] else np.exp(linear)


def centre(prior, text=""):
    """Median of the default prior of a part, on the scale of its link; a part with another range has no formula."""
    p = prior.parameters
    medians = {
        "HalfNormal": lambda: p["sigma"] * stats.halfnorm.median(), "LogNormal": lambda: np.exp(p["mu"]),
        "Gamma": lambda: stats.gamma(p["alpha"], scale=1 / p["beta"]).median(),
        "Beta": lambda: stats.beta(p["alpha"], p["beta"]).median(),
    }  # fmt: skip
    if prior.family not in medians:
        raise FormulaError(
            f"formula {text!r}: this part does not range over all positive numbers, nor is it a share, so it has no "
            "formula"
        )
    return float(link(prior).forward(medians[prior.family]()))


def scale_prior(prior, matrix):
    """Default prior of the coefficients: Normal(median of the part's own on its link, SD of the link: 1 or 1.5), slopes
    as of any parameter."""
    return coefficients.prior(matrix, float(f"{centre(prior):.4g}"), link(prior).spread)
