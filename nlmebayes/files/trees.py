"""`save` and `load`: a tree on disk, whole or not at all, with its checksum and the version that wrote it."""

import errno
import os
from hashlib import sha256

import numpy as np
import xarray as xr

from nlmebayes import arguments
from nlmebayes.arguments import File, Switch, Tree
from nlmebayes.files import containers, versions, whole
from nlmebayes.files.errors import FileError
from nlmebayes.files.text import read_json
from nlmebayes.runtime.spread import here

MARK = b"\nnlmebayes sha256 "  # after the end of the HDF5 data, which HDF5 passes over
TRAILER = len(MARK) + 64 + 1
BLOCK = 1 << 24  # bytes that are read at once


def checked[Thing](thing: Thing) -> Thing:
    """`arguments.checked`, which refuses by `FileError`."""
    return arguments.checked(thing, error=FileError)


@checked
def save(tree: Tree, path: File, *, force: Switch = True) -> None:
    """Write a tree to one NetCDF file, so that the file is whole or what was there before is as it was.

    It is written beside its place, waited for until it is on the disk, read back and compared, then moved.

    Parameters
    ----------
    tree : DataTree
        Of `fit`, `population`, `predict`, `forecast`, ...
    path : path
        Name of the file; `load` reads it, and so does ``xarray.open_datatree``.
    force : bool
        Whether a file of that name is replaced.

    Raises
    ------
    FileError
        The disk is full, the file may not be written, or what was written does not read the same. The tree in memory
        is untouched, and nothing is left under the name.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> nb.save(nb.published("vancomycin_goti_2018"), "population.nc")
    >>> sorted(nb.load("population.nc").children)
    ['dataset', 'posterior']
    """
    # HDF5 ends the process where the disk is full while it writes: it writes to memory, and Python to the disk.
    with whole.file(path, force=force) as beside:
        with here(), versions.stamped(tree).to_netcdf(engine="h5netcdf") as image, beside.open("wb") as file:
            file.write(image)
            file.write(MARK + sha256(image).hexdigest().encode() + b"\n")
        _check_same(tree, _read(beside, path.name), path.name)


@checked
def load(path: File) -> Tree:
    """The tree of a file that `save` or ``tree.to_netcdf`` wrote, or of a folder that ``fit(store=)`` wrote.

    Nothing in the file runs, and nothing outside it is read: see ``docs/security.md``. A file is read into memory and
    closed; of a folder, draws are read when they are asked for.

    Parameters
    ----------
    path : path

    Returns
    -------
    DataTree

    Raises
    ------
    FileError
        There is no such file; it is damaged, no tree, of a newer version, or holds what no tree of this library holds.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> nb.save(nb.published("vancomycin_goti_2018"), "population.nc")
    >>> float(nb.load("population.nc")["posterior"]["sigma_conc_b"].squeeze())
    0.227
    """
    if not os.path.exists(path):  # which Path.exists does not answer of a name that is too long
        raise FileError(f"no file {str(path)!r}")
    tree = _opened_folder(path) if path.is_dir() else _read(path, path.name)
    if not any(group.data_vars for group in tree.subtree):
        raise FileError(f"{path.name} is no tree of this library: it holds no variables")
    versions.check(tree, path.name)
    for name, text in tree.attrs.items():
        if name.startswith("nlmebayes_"):
            read_json(text, f"{path.name}, {name},")
    return tree


def _read(path, name):
    """The tree of a NetCDF file, in memory.

    One opened file is summed, checked and read: nobody can change it in between. HDF5 sees no path, so that it neither
    locks the file nor minds who else has it open.
    """
    try:
        with path.open("rb") as file:
            _check_sum(file, name)
            containers.check_hdf5(file, name)
            return _loaded(file, name)
    except OSError as error:
        raise FileError(f"{name} cannot be read: {error.strerror or error}") from error


def _loaded(file, name):
    try:
        with xr.open_datatree(file, engine="h5netcdf") as tree:
            return tree.load()
    except Exception as error:  # what xarray and HDF5 raise of a damaged file is of any kind
        raise FileError(f"{name} cannot be read as NetCDF: {containers.line(error)}") from error


def _opened_folder(path):
    containers.check_zarr(path)
    try:
        return xr.open_datatree(path, engine="zarr", consolidated=False, zarr_format=3)
    except Exception as error:  # likewise
        raise FileError(f"{path.name} cannot be read as a folder of draws: {containers.line(error)}") from error


def _check_sum(file, name):
    """Refuse an opened file whose bytes are not those that were written; a file without a checksum passes."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - TRAILER))
    end = file.read()
    if not end.startswith(MARK):
        return
    file.seek(0)
    found, left = sha256(), size - TRAILER
    while left:
        block = file.read(min(BLOCK, left))
        found.update(block)
        left -= len(block)
    if found.hexdigest().encode() != end[len(MARK) : -1]:
        raise FileError(f"{name} is damaged: its bytes are not those that were written; take another copy of it")


def _check_same(tree, again, name):
    """What was read back has the groups, the variables and the values of the tree."""
    for group in tree.subtree:
        other = again[group.relative_to(tree)].dataset if group.relative_to(tree) in (".", *_paths(again)) else None
        for key, x in group.dataset.variables.items():
            if other is None or key not in other.variables or not _equal(x.to_numpy(), other[key].to_numpy()):
                raise OSError(errno.EIO, f"what was read back of {name} is not what was written ({group.path}, {key})")


def _paths(tree):
    return [group.relative_to(tree) for group in tree.subtree]


def _equal(a, b):
    if a.shape != b.shape:
        return False
    if a.dtype.kind in "OUST" or b.dtype.kind in "OUST":
        return a.astype(str).tolist() == b.astype(str).tolist()
    return np.array_equal(a, b, equal_nan=a.dtype.kind in "fc")
