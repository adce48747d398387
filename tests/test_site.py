"""The site of the documentation: it builds without a warning, all is in it, and its links lead somewhere."""

import importlib
import inspect
import os
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import jupytext
import numpy as np
import pytest

import model_zoo
import nlmebayes as nb
from nlmebayes.app import zoo as collection

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.py"))
OUTSIDE = {"https", "http", "mailto"}


class Page(HTMLParser):
    """What a page has of anchors and links, and what it loads by itself."""

    def __init__(self, path):
        super().__init__()
        self.anchors, self.links, self.loaded, self.formulas, self.place = {""}, [], [], 0, ""
        self.under = {}  # anchor of a section -> links in it
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.formulas += tag == "math"
        self.anchors |= {given.get("id"), given.get("name")}
        if tag == "section":
            self.place = given.get("id")
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
            self.under.setdefault(self.place, []).append(given["href"])
        elif tag in ("img", "script", "link", "iframe", "source"):
            self.loaded += [given[key] for key in ("src", "href") if given.get(key)]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The folder of the site of what is there: no notebook is run."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "docs/build.py", "--as-is", "--into", str(folder)]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": ""}
    made = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stdout + made.stderr
    return folder / "html"


@pytest.fixture(scope="module")
def site(built):
    return {path.relative_to(built): Page(path) for path in built.rglob("*.html")}


def targets(path, href):
    """(page or file, anchor) that an internal link means."""
    parts = urlsplit(href)
    file = Path(os.path.normpath(path.parent / unquote(parts.path))) if parts.path else path
    return file, unquote(parts.fragment)


def internal(site):
    for path, page in site.items():
        yield from ((path, *targets(path, href)) for href in page.links if urlsplit(href).scheme not in OUTSIDE)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_says_its_field_its_question_and_its_data(path):
    header = jupytext.read(path).metadata["gallery"]
    assert {"field", "question", "asks", "data"} <= set(header)
    assert header["asks"].endswith("?") and header["data"].startswith(("real: ", "simulated", "none yet"))


def test_names_for_authors_of_structures_are_found_together():
    assert (
        {"System", "Curve", "Parameter", "Absorption", "seamless"}
        <= set(nb.structure.__all__)
        <= set(dir(nb.structure))
    )
    assert all(getattr(nb.structure, name) is getattr(nb, name) for name in nb.structure.__all__)
    with pytest.raises(AttributeError, match="has no 'Sytem'; it has Absorption, Curve"):
        nb.structure.Sytem  # noqa: B018


INTERACTIVE = "from matplotlib.backends.backend_agg import *; import matplotlib; matplotlib.interactive(True)"
DRAWS = "import matplotlib.pyplot as plt; from nlmebayes.plot.panels import sheet; sheet(1); print(plt.isinteractive())"


def test_the_first_picture_leaves_a_backend_interactive_so_that_jupyter_shows_the_next_ones(tmp_path):
    (tmp_path / "said.py").write_text(INTERACTIVE)
    environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}", "MPLBACKEND": "module://said"}
    found = subprocess.run([sys.executable, "-c", DRAWS], env=environment, capture_output=True, text=True, check=True)
    assert found.stdout == "True\n"


def test_no_link_within_the_site_is_dead(built, site):
    dead = [
        (str(path), str(file), anchor)
        for path, file, anchor in internal(site)
        if file in site and anchor not in site[file].anchors
    ]
    missing = [(str(path), str(file)) for path, file, _ in internal(site) if not (built / file).exists()]
    assert dead + missing == []


def test_no_page_loads_anything_from_outside(site):
    assert [src for page in site.values() for src in page.loaded if urlsplit(src).scheme in OUTSIDE] == []


def test_every_notebook_is_in_the_gallery_by_question_and_by_field_with_both_downloads(site):
    for path in NOTEBOOKS:
        assert Path(f"gallery/{path.stem}.html") in site
        for cards in ("index", "fields"):
            assert f"{path.stem}.html" in site[Path(f"gallery/{cards}.html")].links
        files = [href for href in site[Path(f"gallery/{path.stem}.html")].links if "_downloads" in href]
        assert {Path(href).name for href in files} == {f"{path.stem}.ipynb", f"{path.stem}.py"}


def public():
    """Public names; those of a module by module and name."""
    for name in nb.__all__:
        value = getattr(nb, name)
        yield from [f"{name}.{each}" for each in value.__all__] if inspect.ismodule(value) else [name]


def test_every_public_name_is_in_the_reference(site):
    documented = {anchor for path, page in site.items() if path.parts[0] == "reference" for anchor in page.anchors}
    tables = {f"datasets.{name}" for name in nb.datasets.names()}
    assert {f"nlmebayes.{name}" for name in set(public()) - tables} <= documented
    assert {name.replace(".", "-") for name in tables} <= documented


def test_every_zoo_class_has_its_page_with_its_formula_and_its_notebook(site):
    for name in model_zoo.__all__:
        page = site[Path(f"zoo/{name}.html")]
        module = getattr(model_zoo, name).__module__.rpartition(".")[2]
        assert page.formulas and f"../gallery/{module}.html" in page.links, name


@pytest.fixture
def making(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "docs")
    return lambda name: importlib.import_module(f"making.{name}")


def test_a_page_of_a_class_says_what_the_command_line_prints(making):
    page = making("zoo").page(model_zoo.Emax, making("notebooks").Notebook(ROOT / "notebooks" / "emax.py"), None)
    told = "\n".join(collection.told("emax"))
    for name, unit, typical, _ in collection.rows(model_zoo.Emax):
        assert f"| `{name}` | {unit} | {typical} |" in page and f"{typical} {unit}" in told
    for what, each in collection.facts(model_zoo.Emax):
        assert f"{what}\n: `{each}`" in page and f"{what}: {each}" in told
    assert "tests/test_emax.py" in page and "Test: tests/test_emax.py" in told


def test_the_picture_of_a_class_is_its_curve_at_typical_values(making):
    curves, structure = making("curves"), model_zoo.Emax()
    found = curves.predicted(structure, ("y",), np.array([0.0, 5.0, 50.0]), 1e-9, 1)["y"]
    assert found[0] == pytest.approx([0.0, 25.0, 50.0 * 50.0 / 55.0], abs=1e-6)
    assert curves.horizon(structure, ("y",)) == 50.0  # 91 % of what happens up to 2000 mg/L
    assert curves.horizon(model_zoo.TreatmentHeterogeneity(), ("y",)) is None


def clicks(site):
    """How many clicks each page is away from the start."""
    away, now = {Path("index.html"): 0}, [Path("index.html")]
    for path in now:
        new = [file for href in site[path].links if (file := targets(path, href)[0]) in site and file not in away]
        away |= dict.fromkeys(new, away[path] + 1)
        now += dict.fromkeys(new)
    return away


def test_a_run_keeps_its_pictures_whatever_backend_the_shell_asks_for(making, monkeypatch, tmp_path):
    monkeypatch.setenv("MPLBACKEND", "agg")
    runs = making("notebooks")
    monkeypatch.setattr(runs, "CACHE", tmp_path)
    (tmp_path / "line.py").write_text("# %%\nimport matplotlib.pyplot as plt\n\nplt.plot([0, 1])\n")
    line = runs.Notebook(tmp_path / "line.py")
    runs.run(line, short=True)
    (cell,) = runs.best(line)[0].cells
    assert [list(output.data) for output in cell.outputs] == [["image/png"]]  # and no [<matplotlib...>]


def followed(site, path, href):
    """The links of the section that a link leads to, as (page, link)."""
    file, anchor = targets(path, href)
    return [(file, each) for each in site[file].under[anchor]]


ASKED = {
    "which-dose": "vancomycin_dosing",
    "which-hospital-which-site": "hospital_profile",
    "how-many-samples-how-many-people": "design_of_a_study",
    "my-own-equation": "write_your_own_model",
}


@pytest.mark.parametrize("question", ASKED)
def test_a_question_of_the_start_page_is_answered_in_two_clicks_and_its_script_is_the_third(site, question):
    start = Path("index.html")
    (asked,) = {href for href in site[start].links if urlsplit(href).fragment == question}
    found = {targets(*each)[0]: each for each in followed(site, start, asked)}
    answer = Path(f"gallery/{ASKED[question]}.html")
    assert answer in found
    assert f"{ASKED[question]}.py" in {Path(urlsplit(href).path).name for href in site[answer].links}


def test_every_page_is_found_in_three_clicks(site):
    away = clicks(site)
    made = {path for path in site if path.parts[0] != "_static"} - {Path("search.html"), Path("genindex.html")}
    assert {str(path) for path in made if away.get(path, 9) > 3} == set()
