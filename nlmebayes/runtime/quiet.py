"""Warnings of the libraries beneath that the user can do nothing about, which are not shown."""

import threading
import warnings

# Of its C code, which evaluates the transform of a correlation matrix and no more.
NO_BLAS = "PyTensor could not link to a BLAS"
UNHEEDED = (  # warnings
    NO_BLAS,
    "Skipping Assert",  # JAX checks no shapes; those of a model follow from its design
    "Found dimension named 'sample'",  # which a level may be called
    "Found chain dimension to be longer",  # few draws are the user's wish
)


def ignore_no_blas():
    """Add a filter for the whole process: whichever graph is rewritten first makes PyTensor look for a BLAS."""
    warnings.filterwarnings("ignore", message=NO_BLAS)


def ignore():
    """Add filters of those warnings to the ones that hold."""
    for beginning in UNHEEDED:
        warnings.filterwarnings("ignore", message=beginning)


class _Quiet:
    """Filters of warnings, which are those of the whole process: set by the first who asks, reset by the last."""

    def __init__(self):
        self.lock, self.depth, self.filters = threading.Lock(), 0, None

    def __enter__(self):
        with self.lock:
            self.depth += 1
            if self.depth == 1:
                self.filters = warnings.catch_warnings()
                self.filters.__enter__()
                ignore()

    def __exit__(self, *error):
        with self.lock:
            self.depth -= 1
            if self.depth == 0:
                self.filters.__exit__(*error)


_QUIET = _Quiet()


def quietly():
    """Without the warnings that are `UNHEEDED`, in any number of threads."""
    return _QUIET
