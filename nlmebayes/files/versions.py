"""Which version wrote a tree, and whether this one reads it."""

import json

import nlmebayes
from nlmebayes.files.errors import FileError
from nlmebayes.files.text import read_json

WRITTEN = "nlmebayes_written"  # attribute of a tree
FORMAT = 1  # of trees; counted up where an older version would read a tree wrongly. Before there was one, it was 0.


def mark():
    """The attribute of a tree that this version makes."""
    return json.dumps({"version": nlmebayes.__version__, "format": FORMAT})


def stamped(tree):
    """The tree as it is written: one that does not say which version made it says so now."""
    if WRITTEN in tree.attrs:
        return tree
    tree = tree.copy()
    tree.attrs[WRITTEN] = mark()
    return tree


def check(tree, name):
    """Refuse a tree that only a newer version reads.

    Raises
    ------
    FileError
        Says which version wrote it.
    """
    if WRITTEN not in tree.attrs:
        return
    said = read_json(tree.attrs[WRITTEN], f"the version of {name}")
    number = said.get("format") if isinstance(said, dict) else None
    if not isinstance(number, int):
        raise FileError(f"the version of {name} is damaged: {str(said)[:80]}")
    if number > FORMAT:
        raise FileError(
            f"{name} was written by nlmebayes {str(said.get('version'))[:40]}, which this one "
            f"({nlmebayes.__version__}) does not read; install that version or a newer one"
        )
