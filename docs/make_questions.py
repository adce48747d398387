"""docs/questions.md: the question of each notebook, its class, data and answer, from the notebooks' headers.

Run ``python docs/make_questions.py`` after a header has changed.
"""

import ast
from pathlib import Path

import jupytext

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "questions.md"
INTRODUCTION = """\
# Questions

What each notebook asks, of which model, of which data, and what it finds. Data are tables that come with the library
(*real*), or *simulated* where the truth must be known; the truth then stands in the notebook, beside the estimates.
The page is made from the headers of the notebooks by `python docs/make_questions.py`.
"""


def header(path):
    """What a notebook says of itself: a dict with field, question, asks, data and answer."""
    return jupytext.read(path).metadata["gallery"]


def classes(path):
    """Names of the zoo classes that a notebook imports."""
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    imports = (node for node in nodes if isinstance(node, ast.ImportFrom) and node.module == "model_zoo")
    return [alias.name for node in imports for alias in node.names]


def row(path, said):
    cells = said["asks"], ", ".join(f"`{name}`" for name in classes(path)), said["data"], said["answer"]
    return f"| {' | '.join(cells)} | [{path.stem}](gallery/{path.stem}.ipynb) |"


def page(folder=ROOT / "notebooks"):
    """The text of the page, by field, in the order of the alphabet."""
    said = {path: header(path) for path in sorted(folder.glob("*.py"))}
    parts = [INTRODUCTION]
    for field in sorted({each["field"] for each in said.values()}):
        rows = [row(path, each) for path, each in said.items() if each["field"] == field]
        head = "| question | class | data | answer | page |\n|---|---|---|---|---|"
        parts.append(f"## {field}\n\n{head}\n" + "\n".join(rows) + "\n")
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
