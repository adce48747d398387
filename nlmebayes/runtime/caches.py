"""Caches of compiled code that cannot be written or are damaged: a temporary one, or compiled anew, with a note.

Imported before anything that compiles, so it imports nothing that does.
"""

import atexit
import os
import pickle
import shutil
import sys
import tempfile
import warnings
from functools import wraps
from pathlib import Path

DAMAGE = (EOFError, pickle.UnpicklingError)  # what reading a truncated file raises


def provide():
    """Where the home folder cannot be written, let PyTensor and Numba keep what they compile in a temporary folder."""
    flags = os.environ.get("PYTENSOR_FLAGS", "")
    if "pytensor" in sys.modules or "compiledir" in flags or _writable(Path.home() / ".pytensor"):
        return
    folder = tempfile.mkdtemp(prefix="nlmebayes-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.environ["PYTENSOR_FLAGS"] = ",".join(filter(None, (flags, f"base_compiledir={folder}/pytensor")))
    os.environ.setdefault("NUMBA_CACHE_DIR", f"{folder}/numba")
    warnings.warn(
        f"{Path.home()} cannot be written: compiled code is kept in {folder} until this process ends. Name a folder "
        "that stays: PYTENSOR_FLAGS=base_compiledir=..., NUMBA_CACHE_DIR=...",
        stacklevel=3,
    )


def folder():
    """Where PyTensor keeps what it compiles, found without it; a `.pytensorrc` is not read."""
    flags = dict(flag.split("=", 1) for flag in os.environ.get("PYTENSOR_FLAGS", "").split(",") if "=" in flag)
    return Path(flags.get("base_compiledir", Path.home() / ".pytensor")).expanduser()


def _writable(path):
    """Whether a folder exists or could be made, and written to."""
    place = next((each for each in (path, *path.parents) if each.exists()), None)
    return place is not None and place.is_dir() and os.access(place, os.W_OK | os.X_OK)


def rebuilt(*folders):
    """A decorator: where a file of these caches is damaged, it is deleted with a note and the function called again.

    ``folders`` are functions that give the folders of the caches, which are known only when something is compiled.
    """

    def decorate(function):
        @wraps(function)
        def mended(*args, **kwargs):
            try:
                return function(*args, **kwargs)
            except DAMAGE:
                if not _swept(folder() for folder in folders):
                    raise
                return function(*args, **kwargs)

        return mended

    return decorate


def _swept(folders):
    """Delete damaged files of Numba's caches; whether there was one. A pickle ends with a full stop."""
    found = [path for folder in folders for end in ("nbi", "nbc") for path in Path(folder).rglob(f"*.{end}")]
    damaged = [path for path in found if not path.read_bytes().endswith(b".")]
    for path in damaged:
        path.unlink(missing_ok=True)
        note(path)
    return bool(damaged)


def note(path):
    """Say that a file is compiled anew."""
    warnings.warn(f"{path} of the cache of compiled code is damaged: it is compiled anew", stacklevel=2)
