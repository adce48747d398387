"""Modules imported without what makes it slow: rounds of the garbage collector, and the sources of all callers.

ArviZ imports through `lazy_loader`, which asks `inspect.stack` who wanted a package that is not installed. That reads
the sources of eighty callers and looks at every module, which imports JAX where it is installed: half of the time.
"""

import importlib
import inspect
import sys

from nlmebayes.runtime.garbage import collected_seldom

_STACK = inspect.stack


@collected_seldom
def imported(name):
    """The module of that name."""
    inspect.stack = _callers
    try:
        return importlib.import_module(name)
    finally:
        inspect.stack = _STACK


def _callers(context=1):
    """What `inspect.stack` gives, without the lines of the sources."""
    found, frame = [], sys._getframe(1)
    while frame is not None:
        code = frame.f_code
        found.append(inspect.FrameInfo(frame, code.co_filename, frame.f_lineno, code.co_name, None, None))
        frame = frame.f_back
    return found
