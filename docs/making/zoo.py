"""The models: a page for each zoo class, from what `nlmebayes zoo NAME` prints, and cards of all of them."""

from making import curves, gallery, notebooks
from nlmebayes.app import zoo

CARD = """:::{{grid-item-card}} {name}
:link: /zoo/{name}
:link-type: doc
{image}
{about}
:::
"""
PAGE = """# {name}

{picture}
## Formula

```{{eval-rst}}
.. currentmodule:: nlmebayes

.. autoclass:: model_zoo.{name}
```

## Parameters

{parameters}

{facts}## Where it is used and tested

- Notebook: [{title}](../gallery/{module}.ipynb)
- {files}
- On the command line: `nlmebayes zoo {name}` prints this page; `nlmebayes fit DATA.csv --model {name}` fits it
"""
FIGURE = """:::{{figure}} {file}
:alt: {alt}

{caption}
:::
"""
DRAWN = (
    "At typical values, and where 90 % of individuals are when each parameter on a log or logit scale has an SD of "
    f"{curves.SPREAD} between them."
)


def parameters(kind):
    rows = [(f"`{name}`", unit, typical, option and f"`{option}`") for name, unit, typical, option in zoo.rows(kind)]
    head = "| parameter | unit | typical value | with the option |\n|---|---|---|---|\n"
    return head + "\n".join("| " + " | ".join(row) + " |" for row in rows)


def facts(kind):
    """A part of the page, where there is anything to say."""
    said = "\n".join(f"{what}\n: `{each}`\n" for what, each in zoo.facts(kind))
    return f"## What it reads and predicts\n\n{said}\n" if said else ""


def pictured(kind, notebook, draw):
    """(file name, content, caption) of its picture: its curve, or else the picture of its notebook, or none."""
    name = kind.__name__
    if content := curves.picture(kind, draw):
        return f"pictures/{name}.png", content, DRAWN
    if found := notebooks.chosen(notebook, notebooks.best(notebook)[0]):
        return f"pictures/{name}.jpg", gallery.thumbnail(found, 700), f"From its notebook, {notebook.title!r}."
    return None


def page(kind, notebook, picture):
    """The page of a class: picture, formula and text of its docstring, parameters, where it is used and tested."""
    name, module = kind.__name__, notebook.name
    figure = FIGURE.format(file=picture[0], alt=f"{name}: {picture[2]}", caption=picture[2]) if picture else ""
    files = "\n- ".join(f"{what}: `{path}`" for what, path in zoo.files(kind) if what != "Notebook")
    return PAGE.format(
        name=name, picture=figure, parameters=parameters(kind), facts=facts(kind),
        title=notebook.title, module=module, files=files,
    )  # fmt: skip


def card(kind, picture):
    image = f":img-top: /zoo/{picture[0]}\n:img-alt: {kind.__name__}: {picture[2]}\n" if picture else ""
    return CARD.format(name=kind.__name__, about=zoo.about(kind), image=image)


def by_field(kinds):
    """Folder of the zoo -> its classes."""
    found = {}
    for kind in kinds:
        found.setdefault(kind.__module__.split(".")[1], []).append(kind)
    return sorted(found.items())


def pages(draw):
    """Name -> content of every page and picture."""
    used = {notebook.name: notebook for notebook in notebooks.found()}
    kinds = {kind: used[kind.__module__.rpartition(".")[2]] for kind in zoo.classes().values()}
    pictures = {kind: pictured(kind, notebook, draw) for kind, notebook in kinds.items()}
    made = {f"{kind.__name__}.md": page(kind, notebook, pictures[kind]) for kind, notebook in kinds.items()}
    made |= {picture[0]: picture[1] for picture in pictures.values() if picture}
    parts = [f"# Models\n\n{len(kinds)} classes, each with formula, units, typical values, notebook and test.\n"]
    for field, members in by_field(kinds):
        parts.append(f"## {field.capitalize()}\n\n::::{{grid}} 1 2 3 3\n:gutter: 3\n")
        parts += [*(card(kind, pictures[kind]) for kind in members), "::::\n"]
    listed = "\n".join(kind.__name__ for kind in kinds)
    parts.append(f"```{{toctree}}\n:hidden:\n\n{listed}\n```\n")
    return made | {"index.md": "\n".join(parts)}
