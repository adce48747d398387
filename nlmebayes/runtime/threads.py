"""One thread at a time, where PyTensor needs it: its flags, its rewrites and what it compiled hold state of their own.

A verb may run in several threads: sampling, which takes the time, runs beside everything; graphs are made, compiled and
evaluated in turns.
"""

import threading
from functools import lru_cache, wraps

TURN = threading.RLock()


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
