"""The classes that a file may name: nouns of a model's statement, and nothing is imported to find out.

They are those of this library, of installed packages of models (entry point ``nlmebayes.models``), and of modules that
this process has imported already. A class is looked up in a module's own names, so that no code of the module runs.
"""

import inspect
import sys
from importlib.metadata import entry_points
from types import ModuleType

import nlmebayes
from nlmebayes.errors import ModelError
from nlmebayes.model.model import Model
from nlmebayes.outcomes.residual import Residual
from nlmebayes.parameter.parameter import Link, Parameter, Prior
from nlmebayes.structure.structure import Structure

GROUP = "nlmebayes.models"
NOUNS = (Model, Parameter, Prior, Structure, Residual, Link)


def structures():
    """Structures by name, over all installed packages of models."""
    found = {}
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name):
        for name, value in sorted(vars(entry.load()).items()):
            if is_noun(value, Structure) and not inspect.isabstract(value):
                found[name] = value
    return found


def residuals():
    """Residuals of the library by name."""
    public = [getattr(nlmebayes, name) for name in nlmebayes.__all__]
    return {kind.__name__: kind for kind in public if is_noun(kind, Residual) and not inspect.isabstract(kind)}


def residual(said, source):
    """The residual of a table such as ``{"kind": "Combined", "form": "sd"}``.

    Raises
    ------
    ModelError
        There is no such residual, or it has no such option.
    """
    known = residuals()
    kind = said.get("kind") if isinstance(said, dict) else said
    if kind is said or not isinstance(kind, str) or kind not in known:
        raise ModelError(f"{source}: no residual {kind!r}; there are {', '.join(known)}")
    kind = known[said["kind"]]
    return made(kind, {key: value for key, value in said.items() if key != "kind"}, f"{source}: {kind.__name__}")


def named(text):
    """The class of a name such as ``"model_zoo.pharmacodynamics.emax:Emax"``.

    Raises
    ------
    ModelError
        It is not there, or no part of a model's statement.
    """
    module, _, name = str(text).partition(":")
    own = module.partition(".")[0] == "nlmebayes" and name in nlmebayes.__all__  # wherever it stood when it was written
    kind = getattr(nlmebayes, name) if own else _within(sys.modules.get(module), name)
    if kind is None and _load(module, name):
        kind = _within(sys.modules.get(module), name)
    if kind is None:
        raise ModelError(
            f"the tree was made with {str(text)[:200]!r}, which cannot be imported from a file: it is in no installed "
            "package of models and not loaded here; import it first, or give model="
        )
    if not is_noun(kind, *NOUNS):
        raise ModelError(f"the tree names {str(text)[:200]!r}, which is no part of a model")
    return kind


def name_of(kind):
    """The name by which `named` finds a class: for one that the library exports, whatever room it is in."""
    own = kind.__module__.partition(".")[0] == "nlmebayes" and kind.__qualname__ in nlmebayes.__all__
    return f"{'nlmebayes' if own else kind.__module__}:{kind.__qualname__}"


def made(kind, fields, source, *given):
    """An instance of a class, of values by place and fields by name; fields that it does not have are refused."""
    known = [name for name, p in inspect.signature(kind).parameters.items() if p.kind is not p.VAR_KEYWORD]
    for name in fields:
        if name not in known:
            raise ModelError(f"{source} has no {str(name)[:80]!r}; it has {', '.join(known) or 'no options'}")
    try:
        return kind(*given, **fields)
    except TypeError as error:
        raise ModelError(f"{source}: {error}") from error


def is_noun(value, *kinds):
    """Whether a value is a class of one of these kinds; nothing of the value runs."""
    return issubclass(type(value), type) and any(kind in type.__dict__["__mro__"].__get__(value) for kind in kinds)


def _within(module, name):
    """The value of a module's own name, or None."""
    if not issubclass(type(module), ModuleType):
        return None
    return object.__getattribute__(module, "__dict__").get(name)


def _load(module, name):
    """Load what an installed package of models exports; whether there was something to load."""
    entries = [entry for entry in entry_points(group=GROUP) if f"{module}.".startswith(f"{entry.module}.")]
    return any(entry.load() is not None for entry in entries)
