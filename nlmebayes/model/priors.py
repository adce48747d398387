"""`priors`: every prior, and what it means on the columns of a dataset: 90 % intervals of values, changes, spreads."""

import numpy as np
import pandas as pd
import pytensor.tensor as pt

from nlmebayes.arguments import checked
from nlmebayes.formula.coefficients import indicators, levels
from nlmebayes.model.build import assemble, designed
from nlmebayes.model.model import Data, Model
from nlmebayes.parameter.laws import quantiles
from nlmebayes.parameter.parameter import Identity, Log
from nlmebayes.runtime.uncompiled import UNCOMPILED

ENDS = (0.05, 0.95)


@checked
def priors(model: Model, data: Data) -> pd.DataFrame:
    """Every prior of the model on these data, one row per variable and coordinate, and what it means there.

    Parameters
    ----------
    model : Model
    data : Dataset

    Returns
    -------
    DataFrame

    Raises
    ------
    FormulaError, DataError, ModelError
        As `build`.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> from model_zoo import LinearMixed
    >>> table = nb.priors(nb.Model(LinearMixed(), "mu ~ 1 + (1|Batch)"), nb.datasets.dyestuff())
    >>> table[["variable", "prior"]]
            variable                         prior
    0       theta_mu  Normal(mu=1527.5, sigma=155)
    1    omega_Batch          HalfNormal(sigma=62)
    2  sigma_Yield_a          HalfNormal(sigma=62)
    """
    design = designed(model, data)
    variables = assemble(model, design)[1]
    words = meanings(model, design, variables.laws)
    return pd.DataFrame(
        [row | {"means": words.get((row["variable"], row["coordinate"]), "")} for row in variables.rows]
    )


def meanings(model, design, laws):
    """Words by (variable, coordinate) for the laws of a model's free variables; "" where there is nothing to add."""
    ends = {(law.variable, law.coordinate): q for law, q in zip(laws, quantiles(laws, ENDS), strict=True)}
    words = {}
    for p in model.parameters:
        words |= _fixed(p, design, ends)
    for level in design.levels:
        words |= _spreads(level, {p.name: p for p in model.parameters}, design, ends)
    for (variable, coordinate), q in ends.items():
        if variable.startswith("chol_corr_") and q is not None:
            words[variable, coordinate] = f"each correlation between {_span(q)} (90 %)"
        elif variable.startswith("sigma_") and q is not None:
            words[variable, coordinate] = _scatter(variable, coordinate, design, q)
    return words


def _fixed(p, design, ends):
    """Of the fixed effects of a parameter."""
    matrix, found = design.fixed[p.name], {}
    place, plain = levels(matrix), indicators(matrix.values)
    for k, label in enumerate(matrix.terms):
        q = ends.get((f"theta_{p.name}", label))
        if q is None:
            continue
        if label in place:
            value = p.scale.inverse(pt.as_tensor(np.array(q))).eval(mode=UNCOMPILED)
            unit = f" {p.unit}" if p.unit not in ("", "1") else ""
            where = "" if len(matrix.terms) == 1 or label != "Intercept" else " where its other columns are 0"
            words = f"{p.name} between {_span(value)}{unit}{where}"
        elif plain[k]:
            words = f"{_linear(p)} changes by {_change(q)} with {label}"
        else:
            name, low, high, size = _range(matrix, k, design.units)
            words = f"{_linear(p)} changes by {_change(size * np.array(q))} from {name} {low:.3g} to {high:.3g}"
        found[f"theta_{p.name}", label] = f"{words} (90 %)"
    return found


def _spreads(level, parameters, design, ends):
    """Of the SDs of a level."""
    found = {}
    for effect in level.effects:
        q, p = ends.get((f"omega_{level.name}", effect.name)), parameters[effect.parameter]
        if q is None:
            continue
        what = _linear(p) if effect.column == "Intercept" else f"the effect of {effect.column} on {_linear(p)}"
        words = f"SD of {what} between {level.name}s: {_span(q)}"
        if isinstance(p.scale, Log) and effect.column == "Intercept":
            words = f"CV of {p.name} between {level.name}s: {_span(100 * np.sqrt(np.expm1(np.square(q))))} %"
        found[f"omega_{level.name}", effect.name] = f"{words} (90 %)"
    return found


def _scatter(variable, coordinate, design, q):
    """Of a residual part, or a coefficient of its formula."""
    if coordinate == "":
        return f"between {_span(q)} (90 %)"
    matrix = next(m for (o, part), m in design.scales.items() if variable == f"sigma_{o}_{part}")
    if coordinate in levels(matrix):
        return f"between {_span(np.exp(q))} (90 %)"
    column = matrix.values[:, matrix.terms.index(coordinate)]
    return f"its logarithm changes by {_change(np.ptp(column) * np.array(q))} over the data (90 %)"


def _linear(p):
    """A parameter on its link scale."""
    return p.name if isinstance(p.scale, Identity) else f"{type(p.scale).__name__.lower()}({p.name})"


def _range(matrix, k, units):
    """(name, lowest, highest) of the column that a term follows, or of the term itself, and how far the term goes."""
    label, values = matrix.terms[k], matrix.values[:, k]
    read = [e.columns for e in matrix.state.terms.expressions if e.text == label]
    if read and len(read[0]) == 1 and np.issubdtype(units[read[0][0]].dtype, np.number):
        x = units[read[0][0]].to_numpy(float)
        steps = np.diff(values[np.argsort(x)])
        if (steps >= 0).all() or (steps <= 0).all():
            return read[0][0], x.min(), x.max(), values[x.argmax()] - values[x.argmin()]
    return label, values.min(), values.max(), np.ptp(values)


def _span(q):
    return f"{q[0]:.3g} and {q[1]:.3g}"


def _change(q):
    low, high = sorted(q)
    return f"±{high:.3g}" if np.isclose(-low, high, rtol=1e-6) else f"{low:.3g} to {high:.3g}"
