"""The kinds of refusal, and the way to warn."""

import warnings
from pathlib import Path

PACKAGE = str(Path(__file__).parent)


class ModelError(ValueError):
    """A statement that does not fit together, or does not fit the data; an argument that is none.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> nb.Regimen(500, doses=4)
    Traceback (most recent call last):
        ...
    nlmebayes.errors.ModelError: Regimen: 4 doses have no interval; give it, every=
    """


def warn(text):
    """A `UserWarning` at the line of whoever called the library."""
    warnings.warn(text, skip_file_prefixes=(PACKAGE,))
