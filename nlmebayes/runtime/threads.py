"""One thread at a time, where PyTensor needs it: its flags, its rewrites and what it compiled hold state of their own.

A verb may run in several threads: sampling, which takes the time, runs beside everything; graphs are made, compiled and
evaluated in turns.
"""

import os
import threading
from functools import lru_cache, wraps

TURN = threading.RLock()
BLAS = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def no_others():
    """One thread of BLAS, unless the user says how many: chains use the cores, and threads that wait for small matrices
    take an eighth of the processor's time. For a process of our own, before it imports NumPy."""
    for name in BLAS:
        os.environ.setdefault(name, "1")


def in_turns[Function](function: Function) -> Function:
    """The same function, for one thread at a time."""

    @wraps(function)
    def alone(*args, **kwargs):
        with TURN:
            return function(*args, **kwargs)

    return alone


def remembered(function):
    """The same function in turns, whose last results are kept."""
    return in_turns(lru_cache(maxsize=32)(function))
