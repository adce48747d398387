"""The kinds of refusal, and the way to warn."""

import warnings
from contextlib import contextmanager
from contextvars import ContextVar
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


def _shown(text):
    warnings.warn(text, skip_file_prefixes=(PACKAGE,))


_LISTENER = ContextVar("listener", default=_shown)


def warn(text):
    """A `UserWarning` at the line of whoever called the library, or for whoever listens."""
    _LISTENER.get()(text)


@contextmanager
def heard(listener):
    """While it lasts, warnings of the library in this thread go to a function of their text."""
    token = _LISTENER.set(listener)
    try:
        yield
    finally:
        _LISTENER.reset(token)


@contextmanager
def unheard(words):
    """While it lasts, warnings of the library in this thread that hold these words are not given."""
    outer = _LISTENER.get()
    with heard(lambda text: None if words in text else outer(text)):
        yield
