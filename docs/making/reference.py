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


def section(name):
    """A heading and what the docstring says."""
    value = named(name)
    error = inspect.isclass(value) and issubclass(value, Exception)
    kind = "autoexception" if error else "autoclass" if inspect.isclass(value) else "autofunction"
    members = "   :members:\n" if kind == "autoclass" else ""
    return (
        f"## `{name}`\n\n```{{eval-rst}}\n.. currentmodule:: nlmebayes\n\n.. {kind}:: nlmebayes.{name}\n{members}```\n"
    )


def overview(names):
    rows = [f"| [`{name}`](#nlmebayes.{name}) | {first_line(named(name))} |" for name in names]
    return "\n".join(["| name | |", "|---|---|", *rows, ""])


def page(title, intro, names):
    return "\n".join([f"# {title}\n", f"{intro}\n", overview(names), *map(section, names)])


def dataset(name):
    return f"## `datasets.{name}`\n\n```text\n{nb.datasets.describe(name)}\n```\n"


def commands():
    """The command line, as its own help has it."""
    command = typer.main.get_command(cli.app)
    context = typer.Context(command, info_name="nlmebayes")
    return get_docs_for_click(obj=command, ctx=context, name="nlmebayes", title="Command line")


def pages():
    """Name -> content of every page of the reference."""
    made = {}
    for room, names in rooms().items():
        intro = first_line(importlib.import_module(f"nlmebayes.{room}"))
        made[f"{room}.md"] = page(room.capitalize(), intro, sorted(names, key=str.lower))
    made["plot.md"] = page("Plot", first_line(nb.plot), [f"plot.{name}" for name in nb.plot.__all__])
    described = map(dataset, nb.datasets.names())
    made["datasets.md"] = "\n".join(["# Datasets\n", f"{first_line(nb.datasets)}\n", *described])
    made["commands.md"] = commands()
    listed = "\n".join(sorted(name.removesuffix(".md") for name in made))
    made["index.md"] = f"# Reference\n\n```{{toctree}}\n:maxdepth: 1\n\n{listed}\n```\n"
    return made
