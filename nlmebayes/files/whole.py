"""Files and folders that are there whole or not at all: written beside their place, moved into it at the end."""

import os
import re
import shutil
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path

from nlmebayes.files.errors import FileError

LONGEST = 60  # characters of a name that comes from data; file systems take 255 bytes


@contextmanager
def folder(path, own, *, force=False):
    """A new folder to write into, which becomes ``path`` when all has gone well and is on the disk.

    Parameters
    ----------
    own : sequence of str
        Patterns of the names that are written; ``force`` replaces a folder that holds nothing else.

    Raises
    ------
    FileError
        Before anything is written; or the disk is full, and nothing has changed.
    """
    path = Path(path).resolve()
    _replaceable(path, own, force)
    partial, old = _beside(path, "partial"), _beside(path, "old")
    with _written(path):
        partial.mkdir(parents=True)
        try:
            yield partial
            settle(partial)
            if path.exists():
                path.rename(old)
            partial.rename(path)
            _settle(path.parent)
        finally:
            for left in (partial, old):
                shutil.rmtree(left, ignore_errors=True)


@contextmanager
def file(path, *, force=False):
    """The same for one file."""
    path = Path(path).resolve()
    if os.path.exists(path) and not (force and path.is_file()):
        raise FileError(f"{path} exists; " + ("name another" if path.is_dir() else "--force replaces it"))
    partial = _beside(path, "partial")
    with _written(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield partial
            _settle(partial)
            partial.replace(path)
            _settle(path.parent)
        finally:
            partial.unlink(missing_ok=True)


def names(labels):
    """A part of a file name for each label of the data, all of them different: ``../../x`` becomes ``x``.

    Examples
    --------
    >>> names(["conc", "../../x", "x"])
    {'conc': 'conc', '../../x': 'x', 'x': 'x-2'}
    """
    found = {}
    for label in labels:
        plain = re.sub(r"[^\w.-]+", "_", str(label)).strip("._-")[:LONGEST] or "unnamed"
        same = [name for name in found.values() if re.fullmatch(rf"{re.escape(plain)}(-\d+)?", name, re.IGNORECASE)]
        found[label] = f"{plain}-{len(same) + 1}" if same else plain
    return found


@contextmanager
def _written(path):
    """What the system refuses, in one line."""
    try:
        yield
    except OSError as error:
        raise FileError(f"{path} is not written: {error.strerror or error}; what was there before is as it was") from (
            error
        )


def settle(path):
    """Wait until a file, or a folder with all that is in it, is on the disk."""
    for inner in sorted(path.rglob("*")) if path.is_dir() else ():
        _settle(inner)
    _settle(path)


def _settle(path):
    """Wait until a file or a folder is on the disk, where the system lets one ask."""
    if os.name == "nt" and path.is_dir():
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _beside(path, what):
    return path.with_name(f".{path.name}.{what}.{os.getpid()}")


def _replaceable(path, own, force):
    if path.exists() and not path.is_dir():
        raise FileError(f"{path} is a file; --out names a folder")
    if path == Path.cwd() or path in Path.cwd().parents:
        raise FileError(f"--out {path} is the current folder or above it; name a folder of its own")
    held = sorted(p.name for p in path.iterdir()) if path.exists() else []
    foreign = [name for name in held if not any(fnmatch(name, pattern) for pattern in own)]
    if held and not force:
        raise FileError(f"the folder {path} is not empty; name another with --out, or replace it with --force")
    if foreign:
        raise FileError(f"--force replaces results only, and {path} holds other things: {', '.join(foreign[:5])}")
