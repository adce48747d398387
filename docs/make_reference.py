"""Write one Markdown page per room of the public API, and one for the zoo, from the docstrings."""

import inspect
from pathlib import Path

import model_zoo
import nlmebayes as nb

FOLDER = Path(__file__).parent / "reference"


def section(name, value):
    """One name: its signature and its docstring."""
    plain = isinstance(value, type) and issubclass(value, Exception)
    signature = name if plain else f"{name}{inspect.signature(value)}"
    return f"## `{name}`\n\n```python\n{signature}\n```\n\n{inspect.getdoc(value) or ''}\n"


def zoo_section(kind):
    """A zoo class: its docstring and its parameters."""
    rows = [
        f"| `{p.name}` | {p.unit} | {'from the data' if p.typical is None else p.typical} | {type(p.scale).__name__} |"
        for p in kind().parameters
    ]
    table = "\n".join(["| parameter | unit | typical | link |", "|---|---|---|---|", *rows])
    return f"## `{kind.__name__}`\n\n{inspect.getdoc(kind)}\n\n{table}\n"


def data_section(name):
    return f"## `nb.datasets.{name}()`\n\n```\n{nb.datasets.describe(name)}\n```\n"


def main():
    FOLDER.mkdir(exist_ok=True)
    values = {name: getattr(nb, name) for name in nb.__all__}
    public = [section(n, v) for n, v in values.items() if not inspect.ismodule(v)]
    plots = [section(f"plot.{n}", v) for n, v in vars(nb.plot).items() if inspect.isfunction(v) and n[0] != "_"]
    pages = {
        "api": ["# Public names\n", *public, *plots],
        "zoo": ["# Model zoo\n", *(zoo_section(getattr(model_zoo, name)) for name in model_zoo.__all__)],
        "datasets": ["# Bundled datasets\n", *(data_section(name) for name in nb.datasets.names())],
    }
    for name, parts in pages.items():
        (FOLDER / f"{name}.md").write_text("\n".join(parts), encoding="utf-8")
        print(f"wrote {FOLDER / name}.md")


if __name__ == "__main__":
    main()
