"""Frames as printed tables: numbers with three digits, intervals in one column, heads in words."""

import re

import numpy as np
import pandas as pd

from nlmebayes.reporting.blocks import Column, Table

MINUS = "\N{MINUS SIGN}"
PLAIN = 1e-3, 1e5  # between which a number is written without a power of ten
ENTRY = re.compile(r"[\d.,e\s−+]*( to [\d.,e−+]+)?|−?inf")  # what a column of numbers or intervals holds
# Decimals of columns whose last digits matter, or do not; others have three significant digits.
DECIMALS = {
    "rhat": 3, "khat": 2, "ess_bulk": 0, "ess_tail": 0, "p_below": 2, "p_in": 2, "p_above": 2, "p_all": 2,
    "p_inside": 2, "percentile": 0, "reduction": 0, "rse_pct": 1, "cv_pct": 1, "shrinkage_pct": 1,
}  # fmt: skip
HEADS = {
    "quantity": "Quantity", "unit": "Unit", "mean": "Mean", "sd": "SD", "median": "Median", "rse_pct": "RSE, %",
    "cv_pct": "CV, %", "shrinkage_pct": "Shrinkage, %", "rhat": "R-hat", "ess_bulk": "ESS, bulk",
    "ess_tail": "ESS, tail", "level": "Level", "effect": "Effect", "groups": "Groups", "outcome": "Outcome",
    "min": "Minimum", "max": "Maximum", "elpd": "ELPD", "se": "SE", "mcse": "Monte Carlo error",
    "k_above_0.7": "Pareto k above 0.7", "records": "Records", "variable": "Variable", "coordinate": "Term",
    "prior": "Prior", "means": "What it means for these data", "parameter": "Parameter", "link": "Link",
    "test": "Test", "of": "Of", "against": "Against", "size": "Size",
    "from": "From", "high_k": "High k", "parametrisation": "Parametrisation", "why": "Why",
}  # fmt: skip


def number(x, decimals=None):
    """A number with three significant digits, or so many decimals; nothing where there is none.

    Examples
    --------
    >>> number(0.123456), number(2753.0), number(-1.5e-7), number(float("nan"))
    ('0.123', '2753', '−1.50e−7', '')
    """
    if pd.isna(x):
        return ""
    if isinstance(x, int | np.integer) or not np.isfinite(x):
        return f"{x:,}".replace("-", MINUS)
    size = abs(x)
    if decimals is None and size and not PLAIN[0] <= size < PLAIN[1]:
        digits, _, power = f"{x:.2e}".partition("e")
        return f"{digits}e{int(power)}".replace("-", MINUS)
    if decimals is None:
        decimals = max(0, 2 - int(np.floor(np.log10(size)))) if size else 0
    return f"{x:.{decimals}f}".replace("-", MINUS)


def as_given(x):
    """A number of the data, without digits that it has not.

    Examples
    --------
    >>> as_given(1.0), as_given(-70.25)
    ('1', '−70.25')
    """
    return "" if pd.isna(x) else f"{x:.6g}".replace("-", MINUS)


def interval(low, high, shown=number):
    """``1.20 to 3.40``, or nothing."""
    return "" if pd.isna(low) or pd.isna(high) else f"{shown(low)} to {shown(high)}"


def table(frame, name, caption, heads=None, ci_prob=None, groups=None, shown=None):
    """A `Table` of the columns of a frame that hold anything.

    Parameters
    ----------
    heads : dict of column -> str, optional
        What is shown, in this order, and how it is called; by default every column.
    ci_prob : float, optional
        Probability of the interval from ``eti_lb`` to ``eti_ub``, which becomes one column.
    groups : sequence of str, optional
        By row, the heading of its group.
    shown : callable, optional
        How a number is written, in place of `number`.
    """
    heads = heads or {column: HEADS.get(column, column) for column in frame}
    columns = []
    for key, head in heads.items():
        if key == "eti_lb":
            cells = tuple(map(interval, frame["eti_lb"], frame["eti_ub"]))
            columns.append(Column(f"{100 * ci_prob:g} % interval", True, cells))
        elif key != "eti_ub":
            columns.append(_column(frame[key], key, head, shown))
    columns = tuple(column for column in columns if any(column.cells))
    above = tuple(g if i == 0 or g != groups[i - 1] else "" for i, g in enumerate(groups or ()))
    return Table(name, caption, columns, frame, above)


def _column(values, key, head, shown):
    numeric = pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)
    if not numeric:
        cells = tuple(as_given(x) if isinstance(x, float) else "" if x is None else str(x) for x in values)
        return Column(head, all(map(ENTRY.fullmatch, cells)), cells)
    cells = tuple(shown(x) if shown else number(x, DECIMALS.get(key)) for x in values.tolist())
    return Column(head, True, cells)
