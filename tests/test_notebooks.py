"""Every zoo class has its notebook, and a notebook may be about a topic instead.

Each has the sections, runs on short chains and ends in a forecast. Its run is kept: the site is built from these runs
where none in full is there.
"""

import ast
import re
from pathlib import Path

import jupytext
import numpy as np
import pytest
import xarray as xr

import model_zoo
import nlmebayes as nb
from making import notebooks

FOLDER = Path(__file__).parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.py"))
SECTIONS = [
    "Question",
    "Data and source",
    "Model",
    "Prior check",
    "Fit",
    "Check",
    "Forecast",
    "What could be wrong",
]
FULL = "settings = dict(draws=1000, tune=1000, chains=4, random_seed=1)\n"
MAXIMUM = 'nb.fit(model, training, method="ml")'  # of a notebook that samples nothing

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def read(path):
    return path.read_text(encoding="utf-8")


def test_every_zoo_class_has_its_notebook():
    modules = {getattr(model_zoo, name).__module__.rpartition(".")[2] for name in model_zoo.__all__}
    assert modules - {path.stem for path in NOTEBOOKS} == set()


@each_notebook
def test_has_one_title_and_the_sections_in_order(path):
    cells = jupytext.read(path).cells
    lines = [line for cell in cells if cell.cell_type == "markdown" for line in cell.source.splitlines()]
    assert sum(line.startswith("# ") for line in lines) == 1
    assert [line.removeprefix("## ") for line in lines if line.startswith("## ")] == SECTIONS


@each_notebook
def test_is_a_notebook_of_code_and_markdown_cells(path):
    kinds = [cell.cell_type for cell in jupytext.read(path).cells]
    assert set(kinds) == {"code", "markdown"}
    assert kinds[0] == "markdown"


@each_notebook
def test_uses_public_names_only(path):
    nodes = list(ast.walk(ast.parse(read(path))))
    imported = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    assert imported <= {"nlmebayes", "numpy", "pandas", "matplotlib.pyplot"}
    assert {node.module for node in nodes if isinstance(node, ast.ImportFrom)} == {"model_zoo"}
    attributes = [node for node in nodes if isinstance(node, ast.Attribute)]
    used = {node.attr for node in attributes if isinstance(node.value, ast.Name) and node.value.id == "nb"}
    assert used <= set(nb.__all__)


def runs_to_a_forecast(path):
    """The notebook on short chains, as the site shows it; the run is kept for the site."""
    text = read(path)
    assert text.count(FULL) == (0 if MAXIMUM in text else 1)
    executed, names = notebooks.run(notebooks.Notebook(path), short=True)
    assert isinstance(names["forecast"], xr.DataTree)
    posterior = names["forecast"]["posterior"]
    assert all(np.isfinite(values).all() for values in posterior.data_vars.values())
    assert len(notebooks.pictures(executed)) >= 3
    assert re.search(r"^\d+ of \d+ .* lie in their 90 % interval$", notebooks.printed(executed), re.MULTILINE)


@pytest.mark.parametrize("path", NOTEBOOKS[::2], ids=lambda path: path.stem)  # the others: test_other_notebooks
@pytest.mark.filterwarnings("ignore:.*rare in this population")
def test_runs_on_short_chains_to_a_forecast(path):
    runs_to_a_forecast(path)
