"""The models: a page for each zoo class, from what `nlmebayes zoo NAME` prints, and cards of all of them."""

from making import notebooks
from nlmebayes.app import zoo

CARD = """:::{{grid-item-card}} {name}
:link: /zoo/{name}
:link-type: doc

{about}
:::
"""


def table(kind):
    rows = [
        f"| `{name}` | {unit} | {typical} | {option and f'`{option}`'} |"
        for name, unit, typical, option in zoo.rows(kind)
    ]
    return "\n".join(["| parameter | unit | typical value | with the option |", "|---|---|---|---|", *rows])


def facts(kind):
    return "\n".join(f"{what}\n: `{each}`\n" for what, each in zoo.facts(kind))


def page(kind):
    """The page of a class: picture, formula and text of its docstring, parameters, where it is used and tested."""
    name, module = kind.__name__, kind.__module__.rpartition(".")[2]
    documented = (
        f"```{{eval-rst}}\n.. currentmodule:: nlmebayes\n\n.. autoclass:: model_zoo.{name}\n   :no-index-entry:\n```\n"
    )
    return f"""# {name}

{documented}
## Parameters of {name}

{table(kind)}

## What it reads and predicts

{facts(kind)}
## Where it is used and tested

- Notebook: [{module}](../gallery/{module}.ipynb)
- Test: `tests/test_{module}.py`
- On the command line: `nlmebayes zoo {name}`, `nlmebayes fit DATA.csv --model {name}`
"""


def by_field():
    """Folder of the zoo -> its classes."""
    found = {}
    for kind in zoo.classes().values():
        found.setdefault(kind.__module__.split(".")[1], []).append(kind)
    return found


def pages():
    """Name -> content of every page."""
    kinds = zoo.classes()
    made = {f"{name}.md": page(kind) for name, kind in kinds.items()}
    parts = ["# Models\n", f"{len(kinds)} classes, each with formula, units, typical values, notebook and test.\n"]
    for field, members in sorted(by_field().items()):
        parts.append(f"## {field.capitalize()}\n\n::::{{grid}} 1 2 3 3\n:gutter: 3\n")
        parts += [CARD.format(name=kind.__name__, about=zoo.about(kind)) for kind in members]
        parts.append("::::\n")
    listed = "\n".join(kinds)
    parts.append(f"```{{toctree}}\n:hidden:\n\n{listed}\n```\n")
    return made | {"index.md": "\n".join(parts)}
