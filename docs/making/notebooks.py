"""The notebooks, run once and kept: a run is a file named after its code, so that a build goes on where it stopped.

A run depends on the code of a notebook, the length of its chains and the version of the library. Short chains are those
of the tests. What was run in full is never replaced by a short run.
"""

import hashlib
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient

from making.files import CACHE, DOCS, kept
from nlmebayes import __version__

FOLDER = DOCS.parent / "notebooks"
FULL = re.compile(r"settings = dict\(draws=1000, tune=1000, chains=4, random_seed=1\)")
PLACE = {"metadata": {"path": str(FOLDER)}}
QUIET = ["--log-level=ERROR"]
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


def shown(output):
    """Whether an output is a text, a result or a picture; bars of progress are left out."""
    return (
        output.get("name") == "stdout"
        or output.output_type == "execute_result"
        or "image/png" in output.get("data", {})
    )


def run(notebook, short):
    """Run it, and keep the run."""
    executed = notebook.plain(short)
    NotebookClient(executed, timeout=None, startup_timeout=600, extra_arguments=QUIET, resources=PLACE).execute()
    for cell in executed.cells:
        if cell.cell_type == "code":
            cell.metadata.pop("execution", None)
            cell.outputs = [output for output in cell.outputs if shown(output)]
    kept(notebook.run_file(short), nbformat.writes(executed).encode())


def with_outputs(plain, executed):
    """The cells as they are written now, with the outputs of a run: its code is the same, its texts may be older."""
    outputs = iter([cell.outputs for cell in executed.cells if cell.cell_type == "code"])
    for cell in plain.cells:
        if cell.cell_type == "code":
            cell.outputs = next(outputs)
    return plain


def best(notebook):
    """(its cells with the outputs of the longest run that there is, "full", "short" or "none")."""
    for length, short in (("full", False), ("short", True)):
        file = notebook.run_file(short)
        if file.exists():
            return with_outputs(notebook.plain(short), nbformat.read(file, as_version=4)), length
    return notebook.plain(), "none"


def pictures(cells):
    """The pictures of a notebook, in order, as PNG files in base64."""
    outputs = (output for cell in cells.cells for output in cell.get("outputs", ()))
    return [output["data"]["image/png"] for output in outputs if "image/png" in output.get("data", {})]
