"""Results of studies as files: what was measured, by which command, on which day and machine, with which versions.

`docs/validation.md` is written from them. A study that is too dear to be run again at every change leaves its file in
`benchmarks/results/`, which is committed.
"""

import json
import os
import platform
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

FOLDER = Path(__file__).parent / "results"
LIBRARIES = ("nlmebayes", "pymc", "pytensor", "nutpie", "numba", "numpy")


def machine():
    """What the study runs on."""
    return f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"


def versions(names=LIBRARIES):
    return {name: version(name) for name in names}


def command():
    """The command that runs now; a path in it, which is of this machine alone, is said as PATH."""
    script, *given = sys.argv
    place = Path(script).resolve().relative_to(FOLDER.parents[1])
    return " ".join(["python", str(place), *("PATH" if os.sep in each else each for each in given)])


def keep(name, others=None, **measured):
    """Write the result file of a study: rows of tables and single figures; ``others``: versions of other programs."""
    about = {
        "command": command(),
        "date": datetime.now(UTC).date().isoformat(),
        "machine": machine(),
        "versions": versions() | (others or {}),
    }
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / f"{name}.json").write_text(json.dumps(about | measured, indent=1) + "\n", encoding="utf-8")


def read():
    """Every result file, by name."""
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("*.json"))}
