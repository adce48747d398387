"""Parts and columns of a residual as arrays that broadcast with predictions (sample, record)."""

import numpy as np

from nlmebayes.variables import ModelError


def parts_at(residual, s, observed=None):
    """Parts and columns of a residual by name, of shape (sample, 1), (1, record) or (sample, record).

    ``s`` holds the parts, (sample,), or (sample, term) of those with a formula.
    """
    found = {}
    for part, values in s.items():
        values = np.asarray(values, dtype=float)
        scale = values.ndim == 2
        found[part] = np.exp(values @ observed.scales[part].T) if scale else values[:, None]
    if residual.columns and observed is None:
        raise ModelError(f"{residual} reads columns of the data at each record, which cannot be given here")
    return found | ({part: x[None] for part, x in observed.columns.items()} if residual.columns else {})


def cut(parts, rows, here):
    """Parts at some samples and records."""
    return [x[rows if len(x) > 1 else slice(None)][:, here if x.shape[1] > 1 else slice(None)] for x in parts.values()]


def shapes_of(parts):
    """Names of parts, and which of their axes are of length one whatever the data: what a graph depends on."""
    return tuple((name, *(1 if n == 1 else None for n in x.shape)) for name, x in parts.items())


def one_of(s):
    """Parts of one sample, (1,) or (1, term)."""
    return {part: np.asarray(values, dtype=float)[None] for part, values in s.items()}
