"""The gallery: a page for each notebook with its downloads, and cards by question and by field."""

import base64
import io
from itertools import groupby

import nbformat
from PIL import Image

from making import notebooks

WIDTH = 420  # pixels of a thumbnail
FIRST = ("Which dose?", "Which hospital, which site?", "How many samples, how many people?", "My own equation")
SHORT = """
:::{note}
Figures and numbers of this page come from short chains, as tests run them; `make docs` runs them in full.
:::
"""
CARD = """::::{{grid-item-card}} {title}
:link: /gallery/{name}
:link-type: doc
{image}
{asks}

:::{{card-footer}}
{data}
:::
::::
"""


def downloads(notebook):
    files = f"{{download}}`Notebook <files/{notebook.name}.ipynb>` · {{download}}`script <files/{notebook.name}.py>`"
    return f"{files} · {notebook.header['field']} · data {notebook.header['data']}"


def answered(notebook):
    """The question of a notebook with its answer, where the header has one."""
    said = notebook.header
    return f":::{{admonition}} {said['asks']}\n{said['answer']}.\n:::\n" if "answer" in said else ""


def page(notebook, cells, length):
    """The notebook as it was run, with its downloads below the title."""
    title, _, rest = cells.cells[0].source.partition("\n")
    note = SHORT if length == "short" else ""
    cells.cells[0].source = f"{title}\n\n{downloads(notebook)}\n\n{answered(notebook)}{note}\n{rest}"
    return nbformat.writes(cells)


def thumbnail(picture, width=WIDTH):
    """A picture in base64, small, as JPEG."""
    small = io.BytesIO()
    with Image.open(io.BytesIO(base64.b64decode(picture))) as image:
        image.thumbnail((width, width))
        image.convert("RGB").save(small, "JPEG", quality=85)
    return small.getvalue()


def card(notebook, pictured):
    image = f":img-top: /gallery/files/{notebook.name}.jpg\n:img-alt: {notebook.title}\n" if pictured else ""
    said = {key: notebook.header[key] for key in ("asks", "data")}
    return CARD.format(title=notebook.title, name=notebook.name, image=image, **said)


def grouped(found, key):
    """(value of the header, its notebooks): the questions of the start page, then by size."""
    groups = {value: list(group) for value, group in groupby(sorted(found, key=key), key=key)}
    order = [*FIRST, *sorted(groups, key=lambda value: (-len(groups[value]), value))]
    return [(value, groups[value]) for value in dict.fromkeys(order) if value in groups]


def cards(found, said, pictured):
    for value, group in grouped(found, lambda notebook: notebook.header[said]):
        yield f"## {value}\n\n:::::{{grid}} 1 2 3 3\n:gutter: 3\n"
        yield from (card(notebook, notebook in pictured) for notebook in group)
        yield ":::::\n"


def contents(found):
    return "```{toctree}\n:hidden:\n\nfields\n" + "\n".join(notebook.name for notebook in found) + "\n```\n"


def pages():
    """Name -> content of every page, picture and download."""
    found, made, pictured = notebooks.found(), {}, set()
    for notebook in found:
        cells, length = notebooks.best(notebook)
        if chosen := notebooks.chosen(notebook, cells):
            made[f"files/{notebook.name}.jpg"] = thumbnail(chosen)
            pictured.add(notebook)
        made[f"{notebook.name}.ipynb"] = page(notebook, cells, length)
        made[f"files/{notebook.name}.ipynb"] = nbformat.writes(notebook.plain())
        made[f"files/{notebook.name}.py"] = notebook.text
    by_question, by_field = ("\n".join(cards(found, said, pictured)) for said in ("question", "field"))
    intro = f"{len(found)} analyses, each from a question to a forecast, to read here or to download and run."
    made["index.md"] = (
        f"# Gallery\n\n{intro} By question; or [by field](fields.md).\n\n{by_question}\n{contents(found)}"
    )
    made["fields.md"] = f"# Gallery by field\n\n{intro} Or [by question](index.md).\n\n{by_field}"
    return made
