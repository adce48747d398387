"""Imports point down, none hides in a function, nothing heavy is imported at the start, and the zoo is complete."""

import ast
import subprocess
import sys
import time
from pathlib import Path

import pytest

import model_zoo
import nlmebayes as nb

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "nlmebayes"
# Top to bottom; a module imports from its own room's siblings and from below only.
ROOMS = (
    "cli", "app", "plot", "dosing", "forecasting", "library", "dispensing", "publication", "omegas", "variation",
    "ranks", "variances", "diagnostics", "summaries", "infer", "sensitivity", "trace", "continuation", "streaming",
    "approximation", "parametrisation", "start", "compilation", "callback", "recalibration", "pilot", "accuracy",
    "prediction", "fitted", "storage", "measurement", "evaluation", "imputation", "nouns", "meanings", "model",
    "declared", "agreement", "hierarchy", "transport", "censoring", "design", "grouping", "scales", "coefficients",
    "formula", "observed", "aggregate", "autocorrelation", "hazards", "histories", "families", "residual", "variables", "laws",
    "probabilities", "structure", "solver", "timeline", "data", "parameter", "weights", "tails", "threads", "caches",
    "files", "arguments", "errors",
)  # fmt: skip
# Top to bottom within rooms of several floors.
FLOORS = {
    "dosing": (
        "monitoring", "search", "recommendation", "doubts", "inheritance", "prospect", "targets", "exposure", "outlook",
        "regimen",
    ),
    "forecasting": (
        "validation", "averaging", "updating", "batches", "forecaster", "labelled", "exact", "charts", "particles",
        "proposals", "ridges", "modes", "starts", "climbing", "target", "sampling_times", "options",
    ),
    "formula": ("matrix", "evaluate", "parse", "terms", "arithmetic", "functions", "smooth", "scan"),
    "files": ("trees", "whole", "containers", "versions", "text", "errors"),
    "plot": ("regimens", "groups", "curves", "checks", "panels"),
}  # fmt: skip
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


@pytest.mark.parametrize("folder", FLOORS)
def test_imports_point_down_within_a_room(folder):
    order = FLOORS[folder]
    assert sorted(p.stem for p in (PACKAGE / folder).glob("*.py")) == sorted([*order, "__init__"])
    for name in order:
        for other in imports(PACKAGE / folder / f"{name}.py"):
            if other.startswith(f"nlmebayes.{folder}."):
                assert order.index(other.split(".")[2]) > order.index(name), (
                    f"{name} imports {other}, which is above it"
                )


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


def test_files_are_short_enough_to_read():
    assert {p.name: n for p in MODULES if (n := len(p.read_text(encoding="utf-8").splitlines())) > 420} == {}


def test_command_line_help_answers():
    start = time.perf_counter()
    found = subprocess.run([sys.executable, "-m", "nlmebayes", "--help"], check=True, capture_output=True, text=True)
    assert all(word in found.stdout for word in ("demo", "zoo", "check-data"))
    assert time.perf_counter() - start < 10  # a hang, not a benchmark; the absence of heavy imports is tested above
