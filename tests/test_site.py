"""The site of the documentation: it builds without a warning, all is in it, and its links lead somewhere."""

import inspect
import os
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import jupytext
import pytest

import model_zoo
import nlmebayes as nb

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.py"))
OUTSIDE = {"https", "http", "mailto"}


class Page(HTMLParser):
    """What a page has of anchors and links, and what it loads by itself."""

    def __init__(self, path):
        super().__init__()
        self.anchors, self.links, self.loaded = {""}, [], []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.anchors |= {given.get("id"), given.get("name")}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        elif tag in ("img", "script", "link", "iframe", "source"):
            self.loaded += [given[key] for key in ("src", "href") if given.get(key)]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site of what is there: no notebook is run."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "docs/build.py", "--as-is", "--into", str(folder)]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": ""}
    made = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stdout + made.stderr
    return {path.relative_to(folder / "html"): Page(path) for path in (folder / "html").rglob("*.html")}


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


def test_no_link_within_the_site_is_dead(site):
    dead = [
        (str(path), str(file), anchor)
        for path, file, anchor in internal(site)
        if file in site and anchor not in site[file].anchors
    ]
    missing = [(str(p), str(file)) for p, file, _ in internal(site) if file.suffix == ".html" and file not in site]
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


def test_every_zoo_class_has_its_page(site):
    assert {f"{name}.html" for name in model_zoo.__all__} <= {path.name for path in site if path.parts[0] == "zoo"}
