r"""`latex`: a model in mathematical notation: individual parameters, effects, measurements, priors.

Every line holds for itself and takes nothing but what Matplotlib's mathtext knows, so that pictures can show it too.
"""

import re

from nlmebayes.arguments import checked
from nlmebayes.formula import parse
from nlmebayes.formula.sigma import is_scale
from nlmebayes.model.build import designed
from nlmebayes.model.model import Data, Model
from nlmebayes.model.priors import priors
from nlmebayes.structure.compartments import outcome_names

ESCAPED = {
    "\\": r"\backslash ", "_": r"\_", "%": r"\%", "#": r"\#", "&": r"\&", "$": r"\$", "{": r"\{", "}": r"\}",
    " ": r"\ ", "^": r"\wedge ", "~": r"\sim ", "'": r"\text{'}",
    "-": r"\text{-}",
}  # fmt: skip
LAW = re.compile(r"(\w+)\((.*)\)", re.S)  # a prior in words: Normal(mu=0, sigma=1)


@checked
def latex(model: Model, data: Data | None = None) -> str:
    r"""A model in mathematical notation, as LaTeX.

    Parameters
    ----------
    model : Model
    data : Dataset, optional
        With them default formulas name their levels, and every prior is told; without them those that the model states.

    Returns
    -------
    str
        One formula per line, inside ``gather*`` of amsmath.

    Raises
    ------
    FormulaError, DataError, ModelError
        The statement does not fit the data.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> from model_zoo import Emax
    >>> print(nb.latex(nb.Model(Emax(), "e0 ~ 1 + (1|id)", "emax ~ 1", "ec50 ~ 1")).splitlines()[2])
    \log\,\mathrm{emax} = \theta_{\mathrm{emax}} \\
    """
    return "\\begin{gather*}\n" + " \\\\\n".join(lines(model, data)) + "\n\\end{gather*}"


def lines(model, data=None):
    """The formulas of `latex`, each of which stands for itself."""
    return [*statement(model, data), *(_priors(model) if data is None else _all_priors(model, data))]


def statement(model, data=None):
    """Those of individual parameters, effects and measurements, without the priors."""
    design = None if data is None else designed(model, data)
    formulas = {
        f.parameter: f for f in (design.formulas if design else map(parse, model.formulas)) if not is_scale(f.text)
    }
    found = [_individual(p, formulas.get(p.name)) for p in model.parameters]
    found += _effects(model, formulas)
    found += [_prediction(model), *_measurements(model, data)]
    return [*found, *(_scale(parse(text)) for text in model.formulas if is_scale(text))]


def word(text):
    """Text as upright letters, whatever it holds."""
    return r"\mathrm{" + "".join(ESCAPED.get(letter, letter) for letter in str(text)) + "}"


def _individual(p, formula):
    """link(phi) = X theta + Z eta."""
    left = p.scale.written(word(p.name))
    if formula is None:
        own = rf" + \sum_l \eta^{{(l)}}_{{{word(p.name)}}}" if p.varies else ""
        return rf"{left} = \theta_{{{word(p.name)}}}{own}"
    terms = _fixed(formula, r"\theta", word(p.name))
    for group in formula.groups:
        level = _level(group)
        terms += _sum(group.effects, rf"\eta^{{({level})}}", word(p.name))
    return f"{left} = {' + '.join(terms) or '0'}"


def _fixed(formula, letter, index):
    offsets = [word(offset.text.removeprefix("offset")) for offset in formula.fixed.offsets]
    return [*_sum(formula.fixed, letter, index), *offsets]


def _sum(terms, letter, index):
    """An intercept, and a coefficient times each term."""
    found = [f"{letter}_{{{index}}}"] if terms.intercept else []
    for product in terms.products:
        label = word(":".join(factor.text for factor in product))
        smooth = any(factor.function == "s" for factor in product)
        found.append(rf"{word('s')}_{{{index}}}({label})" if smooth else rf"{letter}_{{{index},\,{label}}}\,{label}")
    return found


def _level(group):
    return word(":".join(group.factors))


def _effects(model, formulas):
    """Laws of the random effects, those that correlate together."""
    blocks, alone = {}, []
    for name, formula in formulas.items():
        for group in formula.groups:
            symbols = _symbols(group, name)
            if group.block is not None or (group.correlated and len(symbols) > 1):
                key = group.block if group.block is not None else (name, group.text)
                blocks.setdefault((key, group.factors), []).extend(symbols)
            else:
                alone += [(symbol, _level(group)) for symbol in symbols]
    found = [_independent(symbol, level) for symbol, level in alone]
    for (_, factors), symbols in blocks.items():
        level = word(":".join(factors))
        if len(symbols) == 1:
            found.append(_independent(symbols[0], level))
        else:
            found.append(rf"\left({',\\ '.join(symbols)}\right) \sim \mathcal{{N}}\left(0,\ \Omega_{{{level}}}\right)")
    varying = [p.name for p in model.parameters if p.varies and p.name not in formulas]
    if varying:
        index = ",".join(map(word, varying))
        found.append(rf"\eta^{{(l)}}_{{k}} \sim \mathcal{{N}}\left(0,\ \omega^2_{{l,k}}\right),\quad k = {index}")
    return found


def _symbols(group, name):
    """The effects of a group term: of the intercept, of each slope."""
    level, index = _level(group), word(name)
    found = [rf"\eta^{{({level})}}_{{{index}}}"] if group.effects.intercept else []
    for product in group.effects.products:
        label = word(":".join(factor.text for factor in product))
        found.append(rf"\eta^{{({level})}}_{{{index},\,{label}}}")
    return found


def _independent(symbol, level):
    index = symbol.partition("}_{")[2].removesuffix("}")
    return rf"{symbol} \sim \mathcal{{N}}\left(0,\ \omega^2_{{{level},\,{index}}}\right)"


def _prediction(model):
    """f as the structure's function of the parameters and of what it reads."""
    read = [model.inputs.get(name, name) for name in model.structure.inputs]
    names = [p.name for p in model.parameters]
    inside = ",".join(map(word, names)) + (r";\ " + ",".join(map(word, read)) if read else "")
    law = word(type(model.structure).__name__)
    return rf"f = {law}\left({inside}\right)" if inside else rf"f = {law}"


def _measurements(model, data):
    """The law of each outcome."""
    names = data.outcomes if data is not None else tuple(model.residual) if isinstance(model.residual, dict) else ()
    names = names or outcome_names(model.structure) or ("y",)
    for name in names:
        f = "f" if len(names) == 1 else f"f_{{{word(name)}}}"
        yield rf"{word(name)} \sim {model.residual_of(name).written(f, word)}"


def _scale(formula):
    """A formula of a residual part, on the log or logit scale."""
    return (
        f"{word('link')}({word(formula.parameter)}) = {' + '.join(_fixed(formula, r'\theta', word(formula.parameter)))}"
    )


def _priors(model):
    """Of the priors that the model states."""
    for name, prior in model.priors.items():
        each = prior.items() if isinstance(prior, dict) else [("", prior)]
        for label, law in each:
            yield _law(name, label, str(law))


def _all_priors(model, data):
    for row in priors(model, data).itertuples():
        yield _law(row.variable, row.coordinate, row.prior)


def _law(variable, label, law):
    """``theta_cl[Intercept] ~ Normal(mu=0, sigma=1)``."""
    match = LAW.fullmatch(law)
    shown = rf"{word(match[1])}\left({word(match[2])}\right)" if match else word(law)
    return rf"{word(variable)}{rf'_{{{word(label)}}}' if label else ''} \sim {shown}"
