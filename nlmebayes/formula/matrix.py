"""`Matrix`: terms evaluated on data, with what is needed to evaluate new data in the same state.

Whether a factor is coded in full or by contrasts is formulae's choice, as patsy's, which keeps matrices of full rank.
"""

from collections import defaultdict
from dataclasses import dataclass, field
from functools import reduce

import numpy as np
from formulae.contrasts import pick_contrasts

from nlmebayes.data.tidy import label
from nlmebayes.formula.evaluate import Factor, evaluate
from nlmebayes.formula.scan import FormulaError
from nlmebayes.formula.terms import Terms

INTERCEPT = "Intercept"


@dataclass(frozen=True, eq=False)
class State:
    """What new data are evaluated in: what transforms remember, and how the factors of each block of columns are coded.

    ``blocks`` holds (factors of a product, name of each factor that is coded in full -> True, by contrasts -> False).
    """

    terms: Terms
    memory: dict
    blocks: tuple


@dataclass(frozen=True, eq=False)
class Matrix:
    """Evaluated terms: labels, values (row, term), the sum of offsets (row,), the smooth that shrinks each term."""

    terms: tuple[str, ...]
    values: np.ndarray
    offset: np.ndarray
    smooths: tuple
    state: State = field(repr=False)

    def at(self, frame):
        """Values (row, term) and sum of the offsets (row,) on new data."""
        values, offset, _ = _evaluated(self.state, frame)
        return values, offset


def matrix(terms, frame):
    """The `Matrix` of terms on training data.

    Raises
    ------
    FormulaError
        A term that these data cannot have.
    """
    memory = {}
    pieces = {e.text: evaluate(e, frame, memory) for e in terms.expressions}
    state = State(terms, memory, tuple(_blocks(terms, pieces)))
    values, offset, labels = _evaluated(state, frame, pieces)
    _several(state, pieces)
    names = tuple(name for name, _ in labels)
    return Matrix(names, values, offset, tuple(smooth for _, smooth in labels), state)


def again(trained, frame):
    """The same terms on new data, as a `Matrix` in the state of the trained one."""
    values, offset = trained.at(frame)
    return Matrix(trained.terms, values, offset, trained.smooths, trained.state)


def _several(state, pieces):
    """Refuse a factor of one category, of which contrasts leave nothing."""
    for product, full in state.blocks:
        for f in product:
            piece = pieces[f.text]
            if isinstance(piece, Factor) and len(piece.levels) == 1 and full.get(f.text) is False:
                raise FormulaError(
                    f"{f.text} has one category only ({label(piece.levels[0])}), so it has no effect; leave it out"
                )


def _blocks(terms, pieces):
    """Each product with the coding of its factors; a product may need two codings to span what it should."""
    codings = _codings(terms, pieces)
    for product in terms.products:
        for coding in codings[product]:
            yield product, coding


def _codings(terms, pieces):
    """Product -> how its factors are coded: those of one numeric part are chosen together, the intercept among them."""
    together = defaultdict(dict)
    if terms.intercept:
        together[frozenset()][()] = []
    for product in terms.products:
        factors = [f.text for f in product if isinstance(pieces[f.text], Factor)]
        numeric = frozenset(f for f in product if f.text not in factors)
        together[numeric][product] = factors
    return {product: found for group in together.values() for product, found in pick_contrasts(group).items()}


def _evaluated(state, frame, pieces=None):
    """Values (row, term), the sum of the offsets (row,), and (label, smooth) of each column."""
    terms, rows = state.terms, len(frame)
    pieces = pieces or {e.text: evaluate(e, frame, state.memory) for e in terms.expressions}
    columns = [np.ones((rows, 1))] if terms.intercept else [np.ones((rows, 0))]
    labels = [(INTERCEPT, None)] if terms.intercept else []
    for product, full in state.blocks:
        coded = [f for f in product if f.text in full or not isinstance(pieces[f.text], Factor)]
        parts = [_coded(f, pieces[f.text], full.get(f.text)) for f in coded]
        columns.append(reduce(_crossed, [values for values, _ in parts]))
        labels += reduce(_joined, [names for _, names in parts])
    offset = sum((pieces[o.text] for o in terms.offsets), np.zeros(rows))
    return np.concatenate(columns, axis=1), offset, labels


def _coded(expression, piece, full):
    """Columns of a factor of a product, and (label, smooth) of each."""
    text = expression.text
    if isinstance(piece, Factor):
        levels = [label(level) for level in piece.levels]
        contrast = (piece.encoding.code_with_intercept if full else piece.encoding.code_without_intercept)(levels)
        return contrast.matrix[piece.codes].astype(float), [(f"{text}[{name}]", None) for name in contrast.labels]
    if piece.ndim == 1:
        return piece[:, None], [(text, None)]
    smooth = [None] + [text if expression.function == "s" else None] * (piece.shape[1] - 1)
    return piece, [(f"{text}[{i}]" if piece.shape[1] > 1 else text, smooth[i]) for i in range(piece.shape[1])]


def _crossed(one, other):
    """Row-wise products of every column of one with every column of the other, the first slowest."""
    return (one[:, :, None] * other[:, None, :]).reshape(len(one), -1)


def _joined(one, other):
    """Labels of `_crossed`; the smooth of a product is that of each of its categories."""
    return [
        (f"{a}:{b}", None if not (s or t) else f"{s or a}:{t or b}") for a, s in one for b, t in other
    ]  # fmt: skip
