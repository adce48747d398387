"""The reference: a page for each room of the public names, and pages of pictures, datasets and commands."""

import importlib
import inspect
from collections import defaultdict
from operator import attrgetter

import typer
from typer.cli import get_docs_for_click

import nlmebayes as nb
from nlmebayes import cli


def rooms():
    """Folder of the package -> its public names, the folders in their order in docs/architecture.md."""
    found = defaultdict(list)
    for name in nb.__all__:
        value = getattr(nb, name)
        if not inspect.ismodule(value):
            found[value.__module__.split(".")[1]].append(name)
    return found


def first_line(value):
    return (inspect.getdoc(value) or "").split("\n\n")[0].replace("\n", " ")


def named(name):
    """The object of a public name, which may be one of a module: plot.vpc."""
    return attrgetter(name)(nb)


def kind(value):
    """Which directive of Sphinx documents a value; none for one that is no function and no class."""
    if inspect.isclass(value):
        return "autoexception" if issubclass(value, Exception) else "autoclass"
    return "autofunction" if callable(value) else None


def section(name):
    """A heading and what the docstring says, or the values of a collection."""
    value = named(name)
    members = "   :members:\n" if kind(value) == "autoclass" else ""
    said = f".. {kind(value)}:: nlmebayes.{name}\n{members}"
    if kind(value) is None:
        said = f".. py:data:: {name}\n\n   " + ", ".join(f"``{each}``" for each in value) + "\n"
    return f"## `{name}`\n\n```{{eval-rst}}\n.. currentmodule:: nlmebayes\n\n{said}```\n"


def overview(names):
    about = {name: first_line(named(name)) if kind(named(name)) else "" for name in names}
    rows = [f"| [`{name}`](#nlmebayes.{name}) | {text} |" for name, text in about.items()]
    return "\n".join(["| name | |", "|---|---|", *rows, ""])


def page(title, intro, names):
    return "\n".join([f"# {title}\n", f"{intro}\n", overview(names), *map(section, names)])


def beside(module):
    """The names that a module shows beside its own."""
    names = [name for each in getattr(module, "BELOW", {}).values() for name in each]
    return "\n\nIn it too: " + ", ".join(f"[`{name}`](#nlmebayes.{name})" for name in names) + "." if names else ""


def tables():
    """What each dataset is."""
    return [f"## `datasets.{name}`\n\n```text\n{nb.datasets.describe(name)}\n```\n" for name in nb.datasets.names()]


def commands():
    """The command line, as its own help has it."""
    command = typer.main.get_command(cli.app)
    context = typer.Context(command, info_name="nlmebayes")
    return get_docs_for_click(obj=command, ctx=context, name="nlmebayes", title="Command line")


def modules():
    """Public modules, such as `plot` -> their names, each dataset aside."""
    found = {name: getattr(nb, name) for name in nb.__all__ if inspect.ismodule(getattr(nb, name))}
    own = set(nb.datasets.names())
    return {name: [f"{name}.{each}" for each in module.__all__ if each not in own] for name, module in found.items()}


def pages():
    """Name -> content of every page of the reference."""
    made = {}
    for room, names in rooms().items():
        module = importlib.import_module(f"nlmebayes.{room}")
        intro = first_line(module) + beside(module)
        made[f"{room}.md"] = page(room.capitalize(), intro, sorted(names, key=str.lower))
    for module, names in modules().items():
        made[f"{module}.md"] = page(module.capitalize(), first_line(getattr(nb, module)), names)
    made["datasets.md"] += "\n" + "\n".join(tables())
    made["commands.md"] = commands()
    listed = "\n".join(sorted(name.removesuffix(".md") for name in made))
    made["index.md"] = f"# Reference\n\n```{{toctree}}\n:maxdepth: 1\n\n{listed}\n```\n"
    return made
