"""Measurements that are stated in words: ``<0.5``, ``BLQ``, ``>100``."""

import re

import numpy as np
import pandas as pd

from nlmebayes.data import validate

WRITTEN = {"lloq": "<", "uloq": ">"}  # as a limit of quantification: each cell says its own
WORDS = {
    "lloq": re.compile(r"(<\s*)?(BLQ|BQL|BLOQ|BLLOQ|LLOQ|LLQ|LOQ)|below (the )?(LLOQ|LOQ)", re.I),
    "uloq": re.compile(r"(>\s*)?(ALQ|AQL|ALOQ|ULOQ|ULQ)|above (the )?ULOQ", re.I),
}
NUMBER = r"\s*(\d+\.?\d*(?:[eE][-+]?\d+)?|\.\d+)"
UNSURE = re.compile(r"n\.?d\.?|b?lod|<\s*lod|not det.*|trace", re.I)


def stated(frame, column, limits, source, mend):
    """Numbers of a column, and -1, 0 or 1 as CENS: measured, or above or below the number.

    Parameters
    ----------
    limits : dict
        ``lloq`` and ``uloq``: None where nothing was said, `WRITTEN`, or a limit for each record (Series).

    Raises
    ------
    DataError
        Other text; a limit that is not the one that was stated; names row and column.
    """
    cells = frame[column]
    flag = pd.Series(0.0, index=frame.index)
    if pd.api.types.is_numeric_dtype(cells):
        return validate.numeric(frame, column, source, mend), flag
    cells = cells.astype(object).copy()
    for word, sign in (("lloq", 1.0), ("uloq", -1.0)):
        text = cells.map(lambda x: x.strip() if isinstance(x, str) else "")
        number = text.str.extract(f"^{WRITTEN[word]}{NUMBER}$")[0].astype(float)
        named = text.map(lambda x, word=word: WORDS[word].fullmatch(x) is not None).astype(bool)
        here = number.notna() | named
        if limits[word] is None or not here.any():
            continue
        known = _known(frame, column, number, here, limits[word], word, source)
        cells, flag = cells.mask(here, known), flag.mask(here, sign)
    text = cells.map(lambda x: isinstance(x, str) and UNSURE.fullmatch(x.strip()) is not None).astype(bool)
    problem = "{!r} is text where a number belongs; it may mean not done, or below a limit of detection" + mend
    validate.refuse(frame, text, column, problem, source)
    return validate.numeric(frame.assign(**{column: cells}), column, source, mend), flag


def _known(frame, column, number, here, limit, word, source):
    """The limits of the records that are stated in words."""
    if isinstance(limit, str):
        problem = f"{{!r}} says no number; give {word}= as a number"
        validate.refuse(frame, here & number.isna(), column, problem, source)
        return number
    off = here & number.notna() & ~np.isclose(number, limit, rtol=1e-9, equal_nan=False)
    problem = f"{{!r}} is not the limit that {word}= states; say {word}={WRITTEN[word]!r} if each cell says its own"
    validate.refuse(frame, off, column, problem, source)
    validate.refuse(frame, here & limit.isna(), column, f"{{!r}}, and {word}= states no limit for it", source)
    return limit
