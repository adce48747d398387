"""Statements on a population, such as ``"theta_emax[drug] > 0"``: read, and resolved against a posterior.

A name is a population variable with its label in brackets, ``theta_cl[log(wt/70)]``, ``omega_id[cl]``, ``corr_id[cl,
v]``, ``sigma_conc_b``, which needs none where it has one coordinate, or a parameter, ``cl``: its typical value.
"""

import re
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import pytensor.tensor as pt

from nlmebayes.errors import ModelError
from nlmebayes.formula.calculation import Calculation, read_tokens, subscripted
from nlmebayes.formula.parse import spelling
from nlmebayes.formula.scan import FormulaError, is_sign, outside, scan
from nlmebayes.parameter.parameter import Identity, Link
from nlmebayes.runtime.threads import in_turns
from nlmebayes.runtime.uncompiled import UNCOMPILED

EQUAL, UNEQUAL = ("=", "=="), "!="
ORDERS = {"<": np.less, "<=": np.less_equal, ">": np.greater, ">=": np.greater_equal}
SIGNS = (*EQUAL, UNEQUAL, *ORDERS)
BETWEEN, AND = "between", "and"
EXAMPLE = "write one such as 'theta_emax[drug] > 0', 'cl between 2 and 4' or 'omega_id[cl] = 0.3'"


@dataclass(frozen=True)
class Statement:
    """Its text, the calculations that are compared, left to right, and the signs between them."""

    text: str
    sides: tuple[Calculation, ...]
    signs: tuple[str, ...]

    @property
    def equality(self):
        return self.signs[0] in EQUAL

    @property
    def names(self):
        return tuple(dict.fromkeys(name for side in self.sides for name in side.names))

    def quantity(self, values):
        """What is looked at, of values by name: the difference of two sides, the middle one of three."""
        sides = [side.of(values) for side in self.sides]
        return sides[0] - sides[1] if len(sides) == 2 else sides[1]

    def holds(self, values):
        """Whether the statement is true."""
        sides = [side.of(values) for side in self.sides]
        pairs = zip(self.signs, sides, sides[1:], strict=False)
        return np.logical_and.reduce([ORDERS[sign](left, right) for sign, left, right in pairs])


def read_statement(text):
    """A `Statement` from its text.

    Raises
    ------
    FormulaError
        It compares nothing, too much, or what is no arithmetic on names.
    """
    try:
        tokens = subscripted(scan(text), text)
        pieces, signs = _split(tokens)
        found = Statement(text, tuple(read_tokens(piece, text) for piece in pieces), signs)
    except FormulaError as error:
        shown = text if len(text) <= 200 else f"{text[:200]}..."
        raise FormulaError(f"hypothesis {shown!r}: {error}") from None
    if not found.names:
        raise FormulaError(f"hypothesis {text!r}: it names no variable; {EXAMPLE}")
    if len(found.sides) > 2 and not found.sides[1].names:
        raise FormulaError(f"hypothesis {text!r}: the middle one of three sides names no variable; {EXAMPLE}")
    return found


def _split(tokens):
    """The tokens of what is compared, and the signs in between."""
    free = outside(tokens)
    words = [i for i in free if tokens[i].kind == "name" and not tokens[i].quoted and tokens[i].text in (BETWEEN, AND)]
    if [tokens[i].text for i in words] == [BETWEEN, AND]:
        first, second = words
        return [tokens[first + 1 : second], tokens[:first], tokens[second + 1 :]], ("<", "<")
    places = [i for i in free if is_sign(tokens, i, *SIGNS)]
    signs = tuple(tokens[i].text for i in places)
    if UNEQUAL in signs:
        raise FormulaError("ask of =, whose ratio says how much speaks against it")
    chain = len(signs) == 2 and all(s[0] == signs[0][0] and s in ORDERS for s in signs)
    if len(signs) != 1 and not chain:
        raise FormulaError(f"it compares {'nothing' if not signs else 'too much'}; {EXAMPLE}")
    edges = [-1, *places, len(tokens)]
    return [tokens[a + 1 : b] for a, b in pairwise(edges)], signs


@dataclass(frozen=True, eq=False)
class Coordinate:
    """One number of a population: variable and label (of a correlation two), draws (chain, draw), the link from its
    scale to the one on which it is named."""

    variable: str
    label: str | tuple
    draws: np.ndarray
    link: Link = field(default_factory=Identity)

    @in_turns
    def natural(self, values):
        """Values as they are named, of values as they are drawn."""
        with np.errstate(over="ignore"):
            return self.link.inverse(pt.as_tensor(np.asarray(values, dtype=float))).eval(mode=UNCOMPILED)


def coordinate(known, name):
    """The `Coordinate` that a name means.

    Raises
    ------
    ModelError
        There is none of that name or label; says which there are.
    """
    variable, bracket, label = name.partition("[")
    label = label[:-1] if bracket else None
    parameters = {p.name: p for p in known.model.parameters}
    posterior = known.posterior
    if variable in parameters:
        return _typical(known, parameters[variable], label)
    found = [v for v in posterior if v.startswith(("theta_", "omega_", "corr_", "sigma_"))]
    if variable not in found:
        there = ", ".join((*found, *parameters))
        raise ModelError(f"hypothesis: no variable {variable!r}; there are {there}{_meant(name, posterior)}")
    values = posterior[variable]
    dims = [d for d in values.dims if d not in ("chain", "draw")]
    labels = [str(x) for x in values[dims[0]].to_numpy()] if dims else []
    if len(dims) == 2:
        return _correlation(variable, label, labels, values)
    if not dims and label is None:
        return Coordinate(variable, "", values.to_numpy())
    if label is None and len(labels) == 1:
        label = labels[0]
    place = {spelling(x): x for x in labels}
    own = place.get(spelling(label or ""))
    if own is None:
        said = f"{variable} has no {label!r}" if label is not None else f"which of {variable}? Write {variable}[...]"
        raise ModelError(f"hypothesis: {said}; there are {', '.join(labels) or 'no labels of it'}")
    return Coordinate(variable, own, values.sel({dims[0]: own}).to_numpy())


def _meant(name, posterior):
    """Coefficients whose term is the name, but for brackets and such: YEAR96 is that of YEAR[96]."""
    terms = {v: posterior[f"{v.removeprefix('theta_')}_term"].to_numpy() for v in posterior if v.startswith("theta_")}
    found = [f"{v}[{term}]" for v, every in terms.items() for term in every if _letters(term) == _letters(name)]
    return f". A coefficient is written {' or '.join(found)}" if found else ""


def _letters(text):
    return re.sub(r"\W", "", str(text))


def _typical(known, p, label):
    """The typical value of a parameter."""
    terms = known.training.fixed[p.name].terms
    if label is not None or "Intercept" not in terms:
        have = ", ".join(f"theta_{p.name}[{term}]" for term in terms) or "nothing that is drawn"
        raise ModelError(f"hypothesis: {p.name} has no {'label' if label else 'typical value'}; there is {have}")
    values = known.posterior[f"theta_{p.name}"].sel({f"{p.name}_term": "Intercept"})
    return Coordinate(f"theta_{p.name}", "Intercept", values.to_numpy(), p.scale)


def _correlation(variable, label, labels, values):
    """One of a matrix of correlations."""
    pair = [part.strip() for part in (label or "").split(",")]
    place = {spelling(x): i for i, x in enumerate(labels)}
    if len(pair) != 2 or not all(spelling(x) in place for x in pair) or spelling(pair[0]) == spelling(pair[1]):
        raise ModelError(
            f"hypothesis: write two different ones of {', '.join(labels)}: {variable}[{', '.join(labels[:2])}]"
        )
    i, j = (place[spelling(x)] for x in pair)
    return Coordinate(variable, (labels[i], labels[j]), values.to_numpy()[..., i, j])
