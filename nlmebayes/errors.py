"""The kinds of refusal, and the way to warn."""

import warnings
from pathlib import Path

PACKAGE = str(Path(__file__).parent)


class ModelError(ValueError):
    """A statement that does not fit together, or does not fit the data; an argument that is none."""


def warn(text):
    """A `UserWarning` at the line of whoever called the library."""
    warnings.warn(text, skip_file_prefixes=(PACKAGE,))
