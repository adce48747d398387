"""What ``nlmebayes zoo`` answers, kept from one process to the next: the classes themselves need PyMC, which takes
seconds to import. It is found anew where a file of the library or of a package of models is another one.
"""

import hashlib
import json
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path

import nlmebayes
from nlmebayes import app as jobs
from nlmebayes.files import whole
from nlmebayes.files.errors import FileError
from nlmebayes.runtime import caches
from nlmebayes.words import chosen

GROUP = "nlmebayes.models"  # as `evaluation.nouns` has it, which needs PyMC


def lines():
    """Every class with its options and parameters."""
    return _answers()["lines"]


def told(name):
    """All about one class, by its name in any spelling.

    Raises
    ------
    StatementError
        There is no such class.
    """
    known = _answers()["told"]
    return known[chosen(name, known, "model")]


def _answers():
    path, mark = caches.folder() / "nlmebayes_zoo.json", _mark()
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        if kept["mark"] == mark:
            return kept
    except (OSError, ValueError, KeyError, TypeError):
        pass
    found = _found() | {"mark": mark}
    try:
        with whole.file(path, force=True) as partial:
            partial.write_text(json.dumps(found), encoding="utf-8")
    except FileError:  # it is found again next time
        pass
    return found


def _found():
    zoo = jobs.zoo  # imported here
    return {"lines": list(zoo.lines()), "told": {name: list(zoo.told(name)) for name in zoo.classes()}}


def _mark():
    """Size and time of each file that an answer may depend on."""
    names = {"nlmebayes", *(entry.value.split(":")[0].split(".")[0] for entry in entry_points(group=GROUP))}
    files = []
    for name in sorted(names):
        spec = find_spec(name)
        places = [] if spec is None else spec.submodule_search_locations or [spec.origin]
        paths = sorted(
            path for place in map(Path, places) for path in ([place] if place.is_file() else place.rglob("*.py"))
        )
        files += [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in paths]
    return hashlib.sha256(repr((files, nlmebayes.__version__)).encode()).hexdigest()
