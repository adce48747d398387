"""What may be called in a formula: functions of numbers, transforms that learn from the data, codings of factors.

This list is the whole of it. A name that is not here is refused, whatever a module might have under it.
"""

from difflib import get_close_matches
from inspect import signature

import numpy as np
from formulae.transforms import TRANSFORMS
from scipy import special

from nlmebayes.formula.scan import FormulaError
from nlmebayes.formula.smooth import Smooth

ELEMENTWISE = {
    "log": np.log, "log2": np.log2, "log10": np.log10, "log1p": np.log1p, "exp": np.exp, "expm1": np.expm1,
    "sqrt": np.sqrt, "abs": np.abs, "sin": np.sin, "cos": np.cos, "tan": np.tan, "tanh": np.tanh, "arctan": np.arctan,
    "floor": np.floor, "ceil": np.ceil, "logit": special.logit, "expit": special.expit,
    "minimum": np.minimum, "maximum": np.maximum, "where": np.where, "clip": np.clip,
}  # fmt: skip
ARGUMENTS = {"minimum": 2, "maximum": 2, "where": 3, "clip": 3}  # of the others one
STATEFUL = {name: TRANSFORMS[name] for name in ("center", "scale", "standardize", "poly", "bs", "cr", "cc", "tp")} | {
    "s": Smooth
}
FACTORS = ("C", "T", "S")
CONTRASTS = {"Treatment": ("reference",), "Sum": ("omit",)}  # the second argument of C
OUTDATED = ("intercept", "seed", "max_knots")  # arguments of formulae's transforms that are not for formulas
LITERALS = (
    {  # that follow the column, in order
        name: tuple(p for p in list(signature(kind.__call__).parameters)[2:] if p not in OUTDATED)
        for name, kind in STATEFUL.items()
    }
    | {"C": ("contrast", "levels"), "T": ("ref", "levels"), "S": ("omit", "levels")}
)
ALONE = (*FACTORS, "offset", "poly", "bs", "cr", "cc", "tp", "s")  # terms: categories, or several columns
NAMES = (*ELEMENTWISE, *LITERALS, "I", "offset")
MOST = {"df": 1000, "k": 1000, "degree": 20, "period": np.inf}  # what asks for columns
OTHERS = {  # what people of other programs write
    "ln": "log", "factor": "C", "as.factor": "C", "ns": "cr", "pmin": "minimum", "pmax": "maximum",
    "inv_logit": "expit", "ifelse": "where", "te": "s", "ti": "s", "t2": "s", "gp": "s", "hsgp": "s", "mo": "C",
}  # fmt: skip
PHRASES = {
    "pow": "a power is written x**2", "binary": "write I(x == 'yes')", "B": "write I(x == 'yes')",
    "proportion": "it belongs to the outcome, not to a formula",
}  # fmt: skip


def known(name):
    """Refuse a function that is not listed, with the one that was meant."""
    if name in NAMES or name in CONTRASTS:
        return
    last = name.rpartition(".")[2]
    meant = OTHERS.get(name) or (last if last in NAMES else None) or next(iter(get_close_matches(last, NAMES, 1)), None)
    hint = PHRASES.get(name) or (f"write {meant}(...)" if meant else f"there are {', '.join(NAMES)}")
    raise FormulaError(f"no function {name!r}: {hint}")


def literals(name, positional, named):
    """The literal arguments of a call by name, checked."""
    allowed = LITERALS[name] if name in LITERALS else CONTRASTS[name]
    if len(positional) > len(allowed):
        raise FormulaError(f"{name}() takes {', '.join(('a column', *allowed))}; got {1 + len(positional)} arguments")
    found = dict(zip(allowed, positional, strict=False))
    for key, value in named.items():
        if key not in allowed:
            raise FormulaError(f"{name}() has no argument {key!r}; it has {', '.join(allowed) or 'none'}")
        if key in found:
            raise FormulaError(f"{name}(): {key} is given twice")
        found[key] = value
    for key, most in MOST.items():
        value = found.get(key, 1)
        if value is not None and (isinstance(value, str | list | bool) or not 0 < value <= most):
            raise FormulaError(f"{name}(): {key}={value!r} must be a number above 0, at most {most:g}")
    return found
