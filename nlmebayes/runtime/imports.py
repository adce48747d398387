"""Modules imported without what makes it slow: rounds of the garbage collector, and the sources of all callers.

ArviZ imports through `lazy_loader`, which asks `inspect.stack` who wanted a package that is not installed. That reads
the sources of eighty callers and looks at every module, which imports JAX where it is installed: half of the time.
What it gives for JAX stands among the modules as if that were imported; SciPy then asks it for its arrays at the first
`logsumexp`, which imports JAX in whole: half a second of every fit.
"""

import importlib
import importlib.util
import inspect
import sys
import types

from nlmebayes.runtime.garbage import collected_seldom

_STACK = inspect.stack
JAX, MENTIONED = "jax", ("arviz_base.io_numpyro",)  # and where ArviZ holds it


@collected_seldom
def imported(name):
    """The module of that name."""
    inspect.stack = _callers
    try:
        return importlib.import_module(name)
    finally:
        inspect.stack = _STACK
        _take_back()


class _Later(types.ModuleType):
    """A module that is imported when it is asked for something, and no module until then."""

    def __getattr__(self, name):
        return getattr(importlib.import_module(self.__name__), name)


def _take_back():
    """JAX is no module as long as nobody has used it."""
    if isinstance(sys.modules.get(JAX), importlib.util._LazyModule):
        del sys.modules[JAX]
        for name in MENTIONED:
            sys.modules[name].jax = _Later(JAX)


def imported_with(name, needed, instead):
    """The same of a module that imports all of ``needed`` for what ``instead`` has; others find ``needed`` as it is."""
    if needed in sys.modules:
        return imported(name)
    sys.modules[needed] = imported(instead)
    try:
        return imported(name)
    finally:
        del sys.modules[needed]


def _callers(context=1):
    """What `inspect.stack` gives, without the lines of the sources."""
    found, frame = [], sys._getframe(1)
    while frame is not None:
        code = frame.f_code
        found.append(inspect.FrameInfo(frame, code.co_filename, frame.f_lineno, code.co_name, None, None))
        frame = frame.f_back
    return found
