"""The notebooks, run once and kept: a run is a file named after its code, so that a build goes on where it stopped.

A run depends on the code of a notebook, the length of its chains and the version of the library. Short chains are those
of the tests, which keep their runs here too. What was run in full is never replaced by a short run.
"""

import hashlib
import multiprocessing
import re
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import jupytext
import nbformat

from making import cells
from making.files import CACHE, DOCS, kept
from nlmebayes import __version__

FOLDER = DOCS.parent / "notebooks"
FULL = re.compile(r"settings = dict\(draws=1000, tune=1000, chains=4, random_seed=1\)")
TEXT = "text/plain"
ARTIST = re.compile(r"[\[({]?(<matplotlib|Text\()")  # what Matplotlib returns, beside the figure
SHORT = "settings = dict(draws=50, tune=100, chains=2, random_seed=1)"


@dataclass(frozen=True)
class Notebook:
    """A notebook of the repository: its name, its title, and what its header says."""

    path: Path

    @property
    def name(self):
        return self.path.stem

    @cached_property
    def text(self):
        return self.path.read_text(encoding="utf-8")

    @cached_property
    def header(self):
        return self.plain()["metadata"]["gallery"]

    @cached_property
    def title(self):
        return self.plain().cells[0].source.splitlines()[0].removeprefix("# ")

    def plain(self, short=False):
        """Its cells without outputs, with chains of full length or short ones."""
        return jupytext.reads(FULL.sub(SHORT, self.text) if short else self.text, fmt="py:percent")

    def run_file(self, short):
        """Where its run of this length is kept."""
        code = "\n".join(cell.source for cell in self.plain(short).cells if cell.cell_type == "code")
        key = hashlib.sha256(f"{__version__}\n{code}".encode()).hexdigest()[:16]
        return CACHE / f"{self.name}-{key}.ipynb"


START = Notebook(DOCS / "five_minutes.py")


def found():
    """All notebooks, by name."""
    return [Notebook(path) for path in sorted(FOLDER.glob("*.py"))]


def runnable():
    """All that is run for the site: the first page and the gallery."""
    return [START, *found()]


def run(notebook, short):
    """Run it in this process, and keep the run. Returns its cells with outputs, and the names that they define."""
    executed = notebook.plain(short)
    names = cells.run(executed.cells)
    kept(notebook.run_file(short), nbformat.writes(executed).encode())
    return executed, names


def run_apart(notebook, short):
    """Run it in a process of its own, and keep the run."""
    process = multiprocessing.get_context("spawn").Process(target=run, args=(notebook, short))
    process.start()
    process.join()
    if process.exitcode:
        sys.exit(f"{notebook.path.name} ended with an error; it stands above")


def with_outputs(plain, executed):
    """The cells as they are written now, with the outputs of a run: its code is the same, its texts may be older."""
    made = iter([cell.outputs for cell in executed.cells if cell.cell_type == "code"])
    for cell in plain.cells:
        if cell.cell_type == "code":
            cell.outputs = [output for output in next(made) if not ARTIST.match(output.get("data", {}).get(TEXT, ""))]
    return plain


def best(notebook):
    """(its cells with the outputs of the longest run that there is, "full", "short" or "none")."""
    for length, short in (("full", False), ("short", True)):
        file = notebook.run_file(short)
        if file.exists():
            return with_outputs(notebook.plain(short), nbformat.read(file, as_version=4)), length
    return notebook.plain(), "none"


def outputs(executed):
    return [output for cell in executed.cells for output in cell.get("outputs", ())]


def pictures(executed):
    """The pictures of a notebook, in order, as PNG files in base64."""
    return [each["data"]["image/png"] for each in outputs(executed) if "image/png" in each.get("data", {})]


def chosen(notebook, executed):
    """The picture that stands for a notebook: that of its header, counted from 1, or the last one; None without any."""
    found = pictures(executed)
    return found[notebook.header.get("picture", 0) - 1] if found else None


def printed(executed):
    """All that a notebook printed."""
    return "".join(each["text"] for each in outputs(executed) if each.get("name") == "stdout")
