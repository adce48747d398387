"""Files and folders that are there whole or not at all: written beside their place, moved into it at the end."""

import os
import shutil
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path

from nlmebayes.app.words import StatementError


@contextmanager
def folder(path, own, *, force=False):
    """A new folder to write into, which becomes ``path`` when all has gone well.

    Parameters
    ----------
    own : sequence of str
        Patterns of the names that are written; ``force`` replaces a folder that holds nothing else.

    Raises
    ------
    StatementError
        Before anything is written.
    """
    path = Path(path).resolve()
    _replaceable(path, own, force)
    partial, old = _beside(path, "partial"), _beside(path, "old")
    partial.mkdir(parents=True)
    try:
        yield partial
        if path.exists():
            path.rename(old)
        partial.rename(path)
    finally:
        for left in (partial, old):
            shutil.rmtree(left, ignore_errors=True)


@contextmanager
def file(path, *, force=False):
    """The same for one file."""
    path = Path(path).resolve()
    if path.exists() and not (force and path.is_file()):
        raise StatementError(f"{path} exists; " + ("name another" if path.is_dir() else "--force replaces it"))
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = _beside(path, "partial")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _beside(path, what):
    return path.with_name(f".{path.name}.{what}.{os.getpid()}")


def _replaceable(path, own, force):
    if path.exists() and not path.is_dir():
        raise StatementError(f"{path} is a file; --out names a folder")
    if path == Path.cwd() or path in Path.cwd().parents:
        raise StatementError(f"--out {path} is the current folder or above it; name a folder of its own")
    held = sorted(p.name for p in path.iterdir()) if path.exists() else []
    foreign = [name for name in held if not any(fnmatch(name, pattern) for pattern in own)]
    if held and not force:
        raise StatementError(f"the folder {path} is not empty; name another with --out, or replace it with --force")
    if foreign:
        raise StatementError(f"--force replaces results only, and {path} holds other things: {', '.join(foreign[:5])}")
