"""docs/questions.md: the question of each notebook, its class, data and answer, from the notebooks' headers.

Run ``python docs/make_questions.py`` after a header has changed.
"""

import ast
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from making import notebooks
from making.files import DOCS

PAGE = DOCS / "questions.md"
INTRODUCTION = """\
# Questions

What each notebook asks, of which model, of which data, and what it finds. Data are tables that come with the library
(*real*), or *simulated* where the truth must be known; the truth then stands in the notebook, beside the estimates.
The page is made from the headers of the notebooks by `python docs/make_questions.py`.
"""


def classes(notebook):
    """Names of the zoo classes that a notebook imports."""
    nodes = ast.walk(ast.parse(notebook.text))
    imports = (node for node in nodes if isinstance(node, ast.ImportFrom) and node.module == "model_zoo")
    return [alias.name for node in imports for alias in node.names]


def row(notebook):
    """A line of the table."""
    said, named = notebook.header, ", ".join(f"`{name}`" for name in classes(notebook))
    cells = said["asks"], named, said["data"], said["answer"]
    return f"| {' | '.join(cells)} | [{notebook.name}](gallery/{notebook.name}.ipynb) |"


def page():
    """The text of the page, by field, in the order of the alphabet."""
    every, parts = notebooks.found(), [INTRODUCTION]
    for field in sorted({each.header["field"] for each in every}):
        rows = [row(each) for each in every if each.header["field"] == field]
        head = "| question | class | data | answer | page |\n|---|---|---|---|---|"
        parts.append(f"## {field}\n\n{head}\n" + "\n".join(rows) + "\n")
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
