"""Every public name says what it does, takes, gives and refuses, with an example that runs as it is printed.

``python tests/test_docstrings.py`` prints what is missing.
"""

import dataclasses
import doctest
import importlib
import inspect
import re
from functools import cached_property
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

import model_zoo
import nlmebayes as nb

HEADING = re.compile(r"^([A-Z][A-Za-z ]+)\n-{3,}[ \t]*\n", re.MULTILINE)


def public():
    """(name, value) of every public function and class, of the rooms and of the zoo."""
    for name in nb.__all__:
        value = getattr(nb, name)
        inner = [(f"{name}.{each}", getattr(value, each)) for each in getattr(value, "__all__", ())]
        yield from (pair for pair in (inner if inspect.ismodule(value) else [(name, value)]) if callable(pair[1]))
    yield from ((f"model_zoo.{name}", getattr(model_zoo, name)) for name in model_zoo.__all__)


def methods(owner):
    """(name, function, whether it is read as an attribute) of what a class is the first to define."""
    for name, value in vars(owner).items():
        function = _function(value)
        if function and name[0] != "_" and not any(_declares(base, name) for base in owner.__mro__[1:]):
            yield name, function, isinstance(value, property | cached_property)


def _declares(base, name):
    return name in vars(base) or name in inspect.get_annotations(base)


def _function(value):
    value = getattr(value, "__func__", None) or getattr(value, "fget", None) or getattr(value, "func", None) or value
    return value if inspect.isfunction(value) else None


def things():
    """(name, value, whether it is read as an attribute)."""
    for name, value in public():
        yield name, value, False
        if isinstance(value, type):
            yield from ((f"{name}.{each}", function, read) for each, function, read in methods(value))


THINGS = {name: (value, read) for name, value, read in things()}


def sections(value):
    first, *parts = HEADING.split(inspect.cleandoc(value.__doc__ or ""))
    return {"": first.strip()} | dict(zip(parts[::2], parts[1::2], strict=True))


def own_fields(kind):
    """Arguments that the class itself has, not its parents."""
    fields = dataclasses.fields(kind) if dataclasses.is_dataclass(kind) else ()
    return [f.name for f in fields if f.name in inspect.get_annotations(kind)]


def arguments(value):
    if isinstance(value, type):
        return own_fields(value)
    given = inspect.signature(inspect.unwrap(value)).parameters.values()
    return [p.name for p in given if p.name not in ("self", "cls") and not _record(p.annotation)]


def _record(annotation):
    """Whether it stands for the fields of a record, each of which is an argument."""
    return any(map(dataclasses.is_dataclass, getattr(annotation, "__metadata__", ())))


def wanted(value, read):
    """Sections that a docstring must have."""
    checked = hasattr(value.__init__ if isinstance(value, type) else value, "__wrapped__")
    if read:
        return {""}
    found = {"", "Examples"}
    if isinstance(value, type) and issubclass(value, Exception):
        return found
    found |= {"Parameters"} if arguments(value) else set()
    found |= {"Raises"} if checked and arguments(value) else set()
    found |= {"Returns"} if not isinstance(value, type) and _gives(value) else set()
    return found | ({"References"} if ".. math::" in (value.__doc__ or "") and isinstance(value, type) else set())


def _gives(function):
    return inspect.signature(function).return_annotation not in (None, "None")


def missing(value, read):
    """What a docstring lacks: sections, arguments without a word, examples that show nothing."""
    found = sections(value)
    text = found["Parameters"] = found.pop("Attributes", "") + found.get("Parameters", "")
    lacks = sorted(repr(name) for name in wanted(value, read) if not found.get(name, "").strip())
    heads = " ".join(line for line in text.splitlines() if line and line[0] != " ")
    named = set(re.findall(r"\w+", heads)) | set(re.findall(r"``(\w+)", text))
    return lacks + [name for name in arguments(value) if not read and text and name not in named]


def unannotated(value, read):
    """Arguments without an annotation, and ``return`` where that has none."""
    if isinstance(value, type):
        return []
    signature = inspect.signature(value)
    names = [p.name for p in signature.parameters.values() if p.annotation is p.empty and p.name not in ("self", "cls")]
    return names + (["return"] if signature.return_annotation is signature.empty else [])


@pytest.mark.parametrize("name", THINGS)
def test_a_public_name_says_what_it_does_takes_gives_and_refuses(name):
    assert missing(*THINGS[name]) == []


def test_public_signatures_are_annotated():
    assert {name: lacks for name, thing in THINGS.items() if (lacks := unannotated(*thing))} == {}


@pytest.fixture
def shared(monkeypatch, tmp_path):
    """An empty folder, fits that examples share, and no picture left open."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(nb, "fit", _fit)
    yield
    plt.close("all")


def _once(function, found={}):  # noqa: B006 (shared on purpose)
    def fit(model, data, **options):
        key = (repr(model), data.source, len(data.observations), repr(sorted(options.items())))
        if key not in found:
            found[key] = function(model, data, **options)
        return found[key].copy()

    return fit


_fit = _once(nb.fit)


@pytest.mark.parametrize("name", [name for name, (value, _) in THINGS.items() if ">>>" in (value.__doc__ or "")])
def test_examples_run_as_they_are_printed(name, shared):
    example = doctest.DocTestParser().get_doctest(
        inspect.cleandoc(THINGS[name][0].__doc__), {"__name__": "__main__"}, name, None, 0
    )
    said = []
    doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(example, out=said.append)
    assert not said, "".join(said)
    assert not any(each.options.get(doctest.SKIP) for each in example.examples), "an example that does not run"


def within():
    """(name, example) of what is not public, which runs among the names of its module."""
    texts = {inspect.cleandoc(value.__doc__ or "") for value, _ in THINGS.values()}
    for path in sorted(Path(nb.__file__).parent.rglob("*.py")):
        if ">>> " in path.read_text(encoding="utf-8"):
            name = ".".join(("nlmebayes", *path.relative_to(Path(nb.__file__).parent).with_suffix("").parts))
            found = doctest.DocTestFinder(exclude_empty=True).find(importlib.import_module(name), name)
            yield from (each for each in found if each.examples and inspect.cleandoc(each.docstring) not in texts)


def test_examples_of_what_is_not_public_run(shared):
    said, found = [], {each.name: each for each in within()}
    for example in found.values():
        doctest.DocTestRunner().run(example, out=said.append)
    assert not said, "".join(said)
    assert "nlmebayes.data.clock.moment" in found


if __name__ == "__main__":
    lacking = {name: found for name, thing in THINGS.items() if (found := missing(*thing))}
    for name, found in lacking.items():
        print(f"{name}: {', '.join(found)}")
    shown = sum(">>>" in (value.__doc__ or "") for value, _ in THINGS.values())
    print(f"{len(THINGS) - len(lacking)} of {len(THINGS)} public names are whole; {shown} have examples")
