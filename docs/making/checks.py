"""What is checked and measured, out of the files that do it: a table of the tests, and one of the benchmarks."""

import ast

from making.files import DOCS

ROOT = DOCS.parent
PATTERNS = {"tests": "test_*.py", "benchmarks": "*.py"}
INTRO = {
    "tests": "What each file of tests asserts, and how many tests it has before they are multiplied by cases. "
    "`make test` runs them all; figures are in [validation](validation.md).",
    "benchmarks": "What each script measures; run one by `python benchmarks/NAME.py`. Results are in "
    "[benchmarks](benchmarks.md) and [validation](validation.md).",
}


def said(path):
    """(first paragraph of the docstring, number of test functions) of a file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    tests = sum(isinstance(node, ast.FunctionDef) and node.name.startswith("test_") for node in tree.body)
    return " ".join((ast.get_docstring(tree) or "").split("\n\n")[0].split()).replace("|", r"\|"), tests


def table(folder, pattern):
    files = {path: said(path) for path in sorted((ROOT / folder).glob(pattern))}
    rows = [f"| `{path.name}` | {about} | {tests or ''} |" for path, (about, tests) in files.items() if about]
    total = sum(tests for _, tests in files.values())
    head = f"{INTRO[folder]}\n\n" + (f"{total} tests in {len(files)} files.\n\n" if total else "")
    return f"{head}| file | says | tests |\n|---|---|---|\n" + "\n".join(rows)


def pages():
    """Name -> content."""
    parts = [f"## {folder.capitalize()}\n\n{table(folder, pattern)}\n" for folder, pattern in PATTERNS.items()]
    return {"checks.md": "# What is checked and measured\n\n" + "\n".join(parts)}
