"""Imports point down, none hides in a function, nothing heavy is imported at the start, and the zoo is complete."""

import ast
import inspect
import subprocess
import sys
import time
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import model_zoo
import nlmebayes as nb

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "nlmebayes"
# Top to bottom; a room imports from rooms below it only.
ROOMS = (
    "cli", "app", "bedside", "cases", "reporting", "plot", "dosing", "forecasting", "design", "criticism", "summaries",
    "populations", "inference", "individuals", "evaluation", "model", "formula", "outcomes", "structure", "solver",
    "data", "parameter", "physiology", "files", "runtime", "words", "arguments", "errors",
)  # fmt: skip
MOST_AT_THE_TOP = 6
MODULES = sorted(PACKAGE.rglob("*.py"))


def room(name):
    return name.split(".")[1] if "." in name else None


def imports(path):
    """Names of the library's modules that a file imports at its top level."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("nlmebayes"):
            deeper = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (
                d if (PACKAGE.parent / d.replace(".", "/")).with_suffix(".py").exists() else node.module for d in deeper
            )


DOORS = ("__init__.py", "__main__.py")  # of the package: they lead to every room
INNER = [p for p in MODULES if p.parent != PACKAGE or p.name not in DOORS]


@pytest.mark.parametrize("path", INNER, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_down(path):
    own = ROOMS.index(path.relative_to(PACKAGE).with_suffix("").parts[0])
    for name in imports(path):
        if room(name) is not None:
            assert ROOMS.index(room(name)) >= own, f"{path.name} imports {name}, which is above it"


def test_rooms_are_those_of_the_order_and_few_modules_stand_beside_them():
    doors = ("__init__", "__main__")
    assert {path.relative_to(PACKAGE).with_suffix("").parts[0] for path in INNER} == set(ROOMS)
    assert len([p for p in PACKAGE.glob("*.py") if p.stem not in doors]) <= MOST_AT_THE_TOP
    verbs = {name for name in nb.__all__ if inspect.isfunction(getattr(nb, name))}
    assert not verbs & {p.name for p in PACKAGE.iterdir() if p.is_dir()}


def test_no_modules_import_each_other_in_a_circle():
    names = {path: ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts) for path in INNER}
    graph = {name: set(imports(path)) & set(names.values()) for path, name in names.items()}
    assert list(TopologicalSorter(graph).static_order())


@pytest.mark.parametrize("path", [*MODULES, *sorted((ROOT / "model_zoo").rglob("*.py"))], ids=lambda p: p.stem)
def test_no_import_inside_a_function_and_the_library_does_not_know_the_zoo(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    inside = [n for f in ast.walk(tree) if isinstance(f, ast.FunctionDef) for n in ast.walk(f)]
    assert not [n for n in inside if isinstance(n, ast.Import | ast.ImportFrom)]
    if path.is_relative_to(PACKAGE):
        names = [a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names]
        names += [n.module or "" for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)]
        assert not [n for n in names if n.startswith("model_zoo")]


def test_import_is_light_and_help_is_quick():
    code = "import sys, nlmebayes; sys.exit('pymc' in sys.modules or 'pandas' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    code = "import sys, nlmebayes.cli; sys.exit('pymc' in sys.modules or 'pandas' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_public_name_loads():
    assert all(getattr(nb, name) is not None for name in nb.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        nb.nonsense  # noqa: B018


@pytest.mark.parametrize("name", model_zoo.__all__)
def test_a_zoo_class_has_its_test_and_its_notebook(name):
    module = getattr(model_zoo, name).__module__.split(".")[-1]
    assert (ROOT / "tests" / f"test_{module}.py").is_file(), f"tests/test_{module}.py is missing"
    assert (ROOT / "notebooks" / f"{module}.py").is_file(), f"notebooks/{module}.py is missing"


def lines_of_code(path):
    """Number of lines of a file without its docstrings, whose examples may be long."""
    text = path.read_text(encoding="utf-8")
    owners = (ast.Module, ast.ClassDef, ast.FunctionDef)
    first = [n.body[0] for n in ast.walk(ast.parse(text)) if isinstance(n, owners) and ast.get_docstring(n)]
    return len(text.splitlines()) - sum(node.end_lineno - node.lineno + 1 for node in first)


def test_files_are_short_enough_to_read():
    assert {p.name: n for p in MODULES if (n := lines_of_code(p)) > 360} == {}


def test_command_line_help_answers():
    start = time.perf_counter()
    found = subprocess.run([sys.executable, "-m", "nlmebayes", "--help"], check=True, capture_output=True, text=True)
    assert all(word in found.stdout for word in ("demo", "zoo", "check-data"))
    assert time.perf_counter() - start < 10  # a hang, not a benchmark; the absence of heavy imports is tested above
