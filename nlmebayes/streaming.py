"""A fit on disk: draws go to a zarr store as they are sampled; what follows from them is computed block by block."""

import shutil
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import nutpie
import xarray as xr

from nlmebayes.variables import ModelError

NUMBERS = 2_000_000  # in the arrays of one block of draws, about


def check(store, method="nuts", resume=None):
    """Refuse a store before anything is compiled.

    Raises
    ------
    ModelError
        There is something of that name; what is asked for is kept in memory.
    """
    if store is None:
        return
    if method != "nuts" or resume is not None:
        what = f"an approximation ({method})" if method != "nuts" else "what is appended to a tree (resume=)"
        raise ModelError(f"store: {what} is kept in memory; leave store= out")
    for path in (Path(store), _beside(store)):
        if path.exists():
            raise ModelError(f"store: {path} exists; delete it, or name another folder")


def _beside(store):
    return Path(store).with_name(Path(store).name + ".sampling")


@contextmanager
def raw(store):
    """Options of the sampler that make it write its draws beside the folder ``store`` of the tree, until the end.

    Where the tree cannot be finished, what there is of it is deleted, and the draws stay, which the error says.
    """
    if store is None:
        yield {}
        return
    folder = _beside(store)
    folder.mkdir(parents=True)
    try:
        yield {"zarr_store": nutpie.zarr_store.LocalStore(str(folder))}
    except BaseException as error:
        shutil.rmtree(store, ignore_errors=True)
        if _drawn(folder):
            error.add_note(f"store: the tree could not be finished; the draws are in {folder}, group posterior (zarr)")
        else:
            shutil.rmtree(folder)
        raise
    shutil.rmtree(folder)


def _drawn(folder):
    """Whether the sampler wrote a draw."""
    try:
        found = xr.open_zarr(folder, group="sample_stats", consolidated=False)
    except (OSError, KeyError):
        return False
    return bool(np.isfinite(found["logp"]).any())


def blocks(drawn, design):
    """Parts of the draws, in order, from which a few million numbers follow."""
    each = sum(3 * len(o.values) for o in design.outcomes) + 2 * len(design.labels) * len(design.fixed)
    step = max(1, NUMBERS // (each * drawn.sizes["chain"]))
    for start in range(0, drawn.sizes["draw"], step):
        yield drawn.isel(draw=slice(start, start + step)).load()


def written(store, parts, rest, tree_of, attrs):
    """Write the groups of each block to the folder ``store``, one after the other, and open it.

    ``rest``: the other groups by name; ``tree_of``: a function of groups and ``attrs`` that gives a tree.
    """
    done = 0
    for groups in parts:
        long = {name: group for name, group in groups.items() if "draw" in group.dims}
        size = long["posterior"].sizes["draw"]
        for name, group in long.items():
            group = group.assign_coords(draw=np.arange(done, done + size))
            group.to_zarr(store, group=name, mode="a", consolidated=False, append_dim="draw" if done else None)
        rest |= {name: group for name, group in groups.items() if name not in long}
        done += size
    tree_of(rest, attrs).to_zarr(store, mode="a", consolidated=False)
    return xr.open_datatree(store, engine="zarr", consolidated=False)
