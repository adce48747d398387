"""What an HDF5 file or a zarr folder may hold before anything else opens it: plain numbers and texts of its own.

HDF5 can point to other files (external links, external and virtual datasets), and zarr can name a codec that unpickles.
Nothing of the kind is written here, so nothing of the kind is read.
"""

import os
from pathlib import Path

import h5py

from nlmebayes.files.errors import FileError
from nlmebayes.files.text import read_json

DEEPEST = 8  # groups inside one another; a tree has 2
FILTERS = (1, 2, 3)  # HDF5's own: deflate, shuffle, fletcher32; others are loaded as shared libraries
UNFOLDED = 2_000  # numbers of bytes that one stored byte may become; deflate's most is 1032
SMALL = 100_000_000  # bytes that need no such bound
CODECS = ("bytes", "vlen-utf8", "vlen-bytes", "zstd", "gzip", "blosc", "crc32c", "transpose", "sharding_indexed")
OLD_ZARR = (".zarray", ".zgroup", ".zattrs", ".zmetadata")


def check_hdf5(opened, name):
    """Refuse an HDF5 file, opened in binary and called ``name`` in errors, that holds anything but numbers and texts.

    Raises
    ------
    FileError
        Names what it is, and where.
    """
    try:
        with h5py.File(opened, "r") as file:
            _check_group(file, name, 0)
    except (OSError, RuntimeError, KeyError, TypeError, UnicodeDecodeError) as error:
        raise FileError(f"{name} cannot be read as NetCDF: {line(error)}") from error


def _check_group(group, source, depth):
    if depth > DEEPEST:
        raise FileError(f"{source}: groups stand more than {DEEPEST} deep in one another, or a group holds itself")
    for name in group:
        where = f"{group.name.rstrip('/')}/{name}"
        if type(group.get(name, getlink=True)) is not h5py.HardLink:
            raise FileError(f"{source}: {where} is a link to somewhere else; a tree holds everything itself")
        item = group[name]
        if isinstance(item, h5py.Group):
            _check_group(item, source, depth + 1)
        elif isinstance(item, h5py.Dataset):
            _check_dataset(item, source, where)
        else:
            raise FileError(f"{source}: {where} is neither a group nor an array")


def _check_dataset(array, source, where):
    if array.is_virtual or array.external:
        raise FileError(f"{source}: the numbers of {where} lie in another file; a tree holds everything itself")
    if array.dtype.kind not in "biufS" and h5py.check_string_dtype(array.dtype) is None:
        raise FileError(f"{source}: {where} holds objects ({array.dtype}); a tree holds numbers and texts")
    settings = array.id.get_create_plist()
    if any(settings.get_filter(i)[0] not in FILTERS for i in range(settings.get_nfilters())):
        raise FileError(f"{source}: {where} is compressed by what is not part of HDF5")
    if array.nbytes > SMALL + UNFOLDED * array.id.get_storage_size():
        raise FileError(f"{source}: {where} claims {array.nbytes} bytes and stores {array.id.get_storage_size()}")


def check_zarr(folder):
    """Refuse a zarr folder that holds links, or arrays by a codec that is not of plain numbers and texts.

    Raises
    ------
    FileError
        Names what it is, and where.
    """
    folder = Path(folder)
    for place, folders, names in os.walk(folder):
        for name in (*folders, *names):
            where = f"{folder.name}: {(Path(place) / name).relative_to(folder)}"
            if (Path(place) / name).is_symlink():
                raise FileError(f"{where} is a link to somewhere else; a tree holds everything itself")
            if name in OLD_ZARR:
                raise FileError(f"{where} is of zarr's old format, whose arrays may hold objects")
            if name == "zarr.json":
                _check_codecs((Path(place) / name).read_text(encoding="utf-8", errors="replace"), where)


def _check_codecs(text, where):
    said = read_json(text, where)
    for codec in _listed(said, "codecs"):
        if not isinstance(codec, dict) or codec.get("name") not in CODECS:
            raise FileError(f"{where} has the codec {str(codec)[:80]!r}; a tree holds numbers and texts")
    if _listed(said, "storage_transformers"):
        raise FileError(f"{where} has storage transformers; a tree holds numbers and texts")


def _listed(said, key):
    """Every entry of the lists under a key, at any depth."""
    inner = said.values() if isinstance(said, dict) else said if isinstance(said, list) else ()
    found = said.get(key) if isinstance(said, dict) else None
    return [*(found if isinstance(found, list) else ()), *(entry for each in inner for entry in _listed(each, key))]


def line(error):
    """What an error says, in one line."""
    return " ".join(str(error).split())[:200]
