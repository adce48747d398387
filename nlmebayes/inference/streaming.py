"""A fit on disk: draws go to a zarr store as they are sampled; what follows from them is computed block by block.

While it samples, the folder ``NAME.sampling`` holds ``about.nc`` (model, data, the information of the effects) and one
folder of draws for each time that the fit was begun, ``001_0_1`` for chains 0 and 1, or for each chain, ``001_0_-``
and ``002_-_1``, where they are drawn in processes of their own. The tree is made in it and moved.
"""

import errno
import json
import os
import shutil
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr
from numcodecs import Blosc

from nlmebayes.errors import ModelError
from nlmebayes.files import trees, whole
from nlmebayes.files.errors import FileError
from nlmebayes.inference.nuts import nutpie

NUMBERS = 2_000_000  # in the arrays of one block of draws, about
ABOUT, TREE = "about.nc", "tree"
ELSEWHERE = "-"  # in the name of a folder, in the place of a chain that is in another one
PLAIN = {"compat": "override", "coords": "minimal", "join": "override", "combine_attrs": "override"}  # of `xr.concat`
PATIENCE = 2.0  # seconds
LAST = 64  # draws at the end of a chain that are looked at for what was not written; nutpie writes 16 at once
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
SPARE = 1_000_000  # bytes of a disk below which a failure to write is taken for a full disk


def check(store, method="nuts", resume=None):
    """Refuse a store before anything is compiled.

    Raises
    ------
    ModelError
        There is something of that name; what is asked for is kept in memory.
    """
    if store is None:
        if resume is True:
            raise ModelError("resume=True goes on from draws on disk: say where, store=; or give the tree of a fit")
        return
    if method != "nuts" or not (resume is None or resume is True):
        what = f"an approximation ({method})" if method != "nuts" else "what is appended to a tree (resume=)"
        raise ModelError(f"store: {what} is kept in memory; leave store= out")
    if Path(store).exists():
        raise ModelError(f"store: {store} exists; delete it, or name another folder")
    beside = _beside(store)
    if beside.exists() and resume is None:
        raise ModelError(
            f"store: {beside} holds {_told(beside)} of a fit that did not end; go on from them with resume=True, or "
            "delete it"
        )


def _beside(store):
    return Path(store).with_name(Path(store).name + ".sampling")


def _told(beside):
    """How many draws there are, in words."""
    counts = [chain.size for chain in chains(beside).values()]
    return f"{' + '.join(map(str, counts)) or 'no'} draws"


@dataclass(frozen=True, eq=False)
class Piece:
    """Draws of a chain in one of the folders: the folder, its tree, the chain's place in it, how many draws."""

    folder: Path
    tree: xr.DataTree
    place: int
    size: int

    def read(self, group, names, low, high):
        """Variables of a group in memory, of the draws from ``low`` to ``high``, with their axis of one chain."""
        held = self.tree[group].to_dataset()
        found = {}
        for name in names:
            values = _values(self.folder / group / name, self.place, low, high)
            if values is None:
                values = held[name].isel(chain=self.place, draw=slice(low, high)).to_numpy()
            found[name] = held[name].dims, values[None]
        dims = {dim for name in names for dim in held[name].dims} - {"chain", "draw"}
        return xr.Dataset(found, {dim: held[dim].to_numpy() for dim in sorted(dims) if dim in held.coords})


def _values(folder, place, low, high):
    """Draws ``low`` to ``high`` of a chain of an array as nutpie writes it, (draw, ...), or None of others.

    zarr takes a millisecond for each of its files, which hold 16 draws of one variable; this takes a twentieth.
    """
    about = json.loads((folder / "zarr.json").read_text(encoding="utf-8"))
    one, size, *rest = about["chunk_grid"]["configuration"]["chunk_shape"]
    plain = one == 1 and rest == about["shape"][2:] and [c["name"] for c in about["codecs"]] == ["bytes", "blosc"]
    if not (plain and isinstance(about["data_type"], str) and about["fill_value"] in ("NaN", 0, 0.0, False)):
        return None
    kind, first, codec = np.dtype(about["data_type"]), low // size, Blosc()
    found = np.full((-(-high // size) - first, size, *rest), np.nan if about["fill_value"] == "NaN" else 0, kind)
    for i, values in enumerate(found, first):
        file = folder.joinpath("c", str(place), str(i), *("0" for _ in rest))
        if file.exists():
            values[...] = np.frombuffer(codec.decode(file.read_bytes()), kind).reshape(values.shape)
    return found.reshape(-1, *rest)[low - first * size : high - first * size]


@dataclass(frozen=True, eq=False)
class Chain:
    """A chain on disk: its pieces in order."""

    pieces: tuple = ()

    @property
    def size(self):
        return sum(piece.size for piece in self.pieces)

    @property
    def end(self):
        """The point where it ended, (coordinate,), or None."""
        last = [piece for piece in self.pieces if piece.size][-1:]
        names = ["unconstrained_draw"]
        return (
            last[0].read("sample_stats", names, last[0].size - 1, last[0].size)[names[0]].to_numpy()[0, 0]
            if last
            else None
        )

    def read(self, group, names, start, stop):
        """Variables of a group in memory, of the draws from ``start`` to ``stop``."""
        found, passed = [], 0
        for piece in self.pieces:
            low, high = max(start - passed, 0), min(stop - passed, piece.size)
            if low < high:
                found.append(piece.read(group, names, low, high))
            passed += piece.size
        return found[0] if len(found) == 1 else xr.concat(found, "draw", **PLAIN)


@contextmanager
def room(store):
    """The folder of the draws beside the folder ``store`` of the tree, until the end.

    Where the tree cannot be finished the draws stay, and the error says so; on a full disk in one sentence.
    """
    folder = _beside(store)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(folder / TREE, ignore_errors=True)
        yield folder
    except BaseException as error:
        shutil.rmtree(folder / TREE, ignore_errors=True)
        held = any(chain.size for chain in chains(folder).values())
        if not held:
            shutil.rmtree(folder, ignore_errors=True)
        said = f"{_told(folder)} are in {folder}; go on from them with resume=True" if held else "there is no draw yet"
        if _full(error, folder):
            raise FileError(f"store: the disk is full, {store} is not written: {said}") from error
        if held:
            error.add_note(f"store: the tree could not be finished: {said}")
        raise
    _discard(folder)


def _discard(folder):
    """Delete a folder. Its name is free at once; where so many files take long, the caller goes on meanwhile."""
    old = folder.with_name(f".{folder.name}.old.{os.getpid()}")
    folder.rename(old)
    deleting = threading.Thread(target=shutil.rmtree, args=(old,), kwargs={"ignore_errors": True})
    deleting.start()
    deleting.join(PATIENCE)


def _full(error, folder):
    """Whether an error is that of a full disk, which the sampler calls by many names."""
    if isinstance(error, OSError) and error.errno in FULL:
        return True
    place = next(place for place in (folder, *folder.parents) if place.exists())
    return isinstance(error, Exception) and (
        "os error 28" in str(error) or "os error 27" in str(error) or shutil.disk_usage(place).free < SPARE
    )


def begin(folder, tree):
    """Keep beside the draws what is needed to go on from them."""
    trees.save(tree, folder / ABOUT)


def beginning(store):
    """What `begin` kept beside a store, or None."""
    return None if store is None else about(_beside(store))


def about(folder):
    """The same, of the folder of the draws."""
    return trees.load(folder / ABOUT) if (folder / ABOUT).exists() else None


def segments(folder, numbers):
    """Options of the sampler that make it write draws of the chains with these numbers to the folder, again and again;
    what was written under those before is deleted."""
    name = f"{_last(folder) + 1:03}" + "".join(f"_{c}" for c in numbers)
    while True:
        (folder / name).mkdir()
        yield {"zarr_store": nutpie.zarr_store.LocalStore(str(folder / name))}
        _discard(folder / name)


def apart(folder, numbers):
    """The same for chains that are drawn in processes of their own: a folder for each, whose arrays have a place for
    all of them."""
    first = _last(folder) + 1
    names = [[c if i == place else ELSEWHERE for i, c in enumerate(numbers)] for place in range(len(numbers))]
    made = [folder / "_".join(map(str, (f"{first + place:03}", *name))) for place, name in enumerate(names)]
    while True:
        for path in made:
            path.mkdir()
        yield {"folders": made}
        for path in made:
            _discard(path)


def _last(folder):
    """Number of the last folder of draws."""
    return max((int(path.name.split("_")[0]) for path in _segments(folder)), default=0)


def _segments(folder):
    return sorted(path for path in folder.glob("[0-9]*_*") if path.is_dir())


def chains(folder):
    """Every `Chain` in a folder of draws, by number, a dict."""
    found = {}
    for path in _segments(folder):
        numbers = {place: int(n) for place, n in enumerate(path.name.split("_")[1:]) if n != ELSEWHERE}
        try:
            tree = xr.open_datatree(path, engine="zarr", consolidated=False)
            begun = {place: _whole_draws(path, tree, place) for place in numbers}
        except (OSError, KeyError, ValueError):  # ended before it began
            continue
        for place, number in numbers.items():
            pieces = found.get(number, Chain()).pieces
            found[number] = Chain((*pieces, Piece(path, tree, place, begun[place])))
    return dict(sorted(found.items()))


def times(folder):
    """How often the fit was begun, or more."""
    return _last(folder)


def held(folder, size):
    """The chains in a folder of draws, as many as the fit has; those without a draw are empty.

    Raises
    ------
    ModelError
        There are more.
    """
    found = chains(folder)
    if any(number >= size for number in found):
        raise ModelError(
            f"store: {folder} holds {max(found) + 1} chains, this fit has {size}; give chains={max(found) + 1}"
        )
    return [found.get(number, Chain()) for number in range(size)]


def _whole_draws(path, tree, place):
    """Draws of a chain that are on disk whole; what was not written reads NaN."""
    size = tree["sample_stats"]["logp"].encoding["chunks"][1]
    files = (path / "sample_stats" / "logp" / "c" / str(place)).glob(
        "*"
    )  # to look for one that is missing takes as long
    most = size * (1 + max((int(file.name) for file in files if file.name.isdecimal()), default=-1))
    piece = Piece(path, tree, place, min(most, tree["sample_stats"].sizes["draw"]))
    done = int(np.isfinite(piece.read("sample_stats", ["logp"], 0, piece.size)["logp"].to_numpy()).cumprod().sum())
    first = max(0, done - LAST)
    names = {"posterior": list(tree["posterior"].data_vars), "sample_stats": ["unconstrained_draw"]}
    complete = np.ones(done - first, dtype=bool)
    for group, each in names.items():
        for values in piece.read(group, each, first, done).values():
            complete &= np.isfinite(values.to_numpy().reshape(len(complete), -1)).all(axis=1)
    return first + int(complete.cumprod().sum())


def joined(kept, group, names, start, stop):
    """Variables of a group of the chains that are kept, of draws from ``start`` to ``stop``, as a dataset in memory."""
    each = [chain.read(group, names, start, stop) for chain in kept]
    numbered = [x.assign_coords(chain=[i], draw=np.arange(stop - start)) for i, x in enumerate(each)]
    return xr.concat(numbered, "chain", **PLAIN)


def blocks(kept, draws, names, design):
    """The variables of these names of chains, in parts from which a few million numbers follow."""
    each = sum(3 * len(o.values) for o in design.outcomes) + 2 * len(design.labels) * len(design.fixed)
    step = max(1, NUMBERS // (each * len(kept)))
    for start in range(0, draws, step):
        yield joined(kept, "posterior", names, start, min(draws, start + step))


def written(store, parts, rest, tree_of, attrs):
    """Write the groups of each block one after the other, move the tree to the folder ``store``, and open it.

    ``rest``: the other groups by name; ``tree_of``: a function of groups and ``attrs`` that gives a tree.
    """
    done, made = 0, _beside(store) / TREE
    for groups in parts:
        long = {name: group for name, group in groups.items() if "draw" in group.dims}
        size = long["posterior"].sizes["draw"]
        for name, group in long.items():
            group = group.assign_coords(draw=np.arange(done, done + size))
            group.to_zarr(made, group=name, mode="a", consolidated=False, append_dim="draw" if done else None)
        rest |= {name: group for name, group in groups.items() if name not in long}
        done += size
    tree_of(rest, attrs).to_zarr(made, mode="a", consolidated=False)
    whole.settle(made)
    made.rename(store)
    return xr.open_datatree(store, engine="zarr", consolidated=False)
