"""What the sampler gives: chains that may have been interrupted, draws without labels, statistics that are kept."""

import numpy as np
import pyarrow as pa
import xarray as xr
from arviz_stats.base import array_stats

from nlmebayes.errors import warn

UNKEPT = ("divergence_", "transformation_update")  # ragged, or text with missing values: not for NetCDF


def whole(drawn, stats, draws):
    """Draws and statistics of chains that may have been interrupted, cut by `complete`; and which chains these are."""
    n, kept = complete(np.isfinite(stats["logp"].to_numpy()).sum(axis=1), draws)
    if n == draws and len(kept) == stats.sizes["chain"]:
        return drawn, stats, kept
    cut = (x.isel(chain=kept, draw=slice(n)).assign_coords(chain=np.arange(len(kept))) for x in (drawn, stats))
    return *cut, kept


def complete(done, draws):
    """How many draws are kept of chains with ``done`` (chain,) of ``draws``, so that those that got furthest are
    complete; and which chains these are."""
    if done.min() == draws:
        return draws, np.arange(len(done))
    if done.max() == 0:
        raise KeyboardInterrupt("interrupted in the warm-up, before the first draw")
    kept = np.flatnonzero(done >= done.max() / 2)
    n = int(done[kept].min())
    warn(f"interrupted: {n} draws of each of {len(kept)} chains are kept, of {draws} of {len(done)}")
    return n, kept


def unlabelled(batches, draws):
    """The last draws of a raw trace, a batch a chain, as a Dataset without labels, which take longer to make than a
    warm-up."""
    chains = [{name: batch.column(name) for name in batch.column_names} for batch in batches]
    if min(len(column) for chain in chains for column in chain.values()) < draws:
        raise KeyboardInterrupt("interrupted in the warm-up, before the first draw")
    found = {}
    for name, column in chains[0].items():
        about = {key.decode(): value.decode() for key, value in column.field.metadata.items()}
        shape = [int(n) for n in about["shape"].split(",")] if about.get("shape") else []
        dims = about["dims"].split(",") if about.get("dims") else [f"{name}_{i}" for i in range(len(shape))]
        each = [np.asarray(pa.array(chain[name]).flatten() if shape else chain[name]) for chain in chains]
        found[name] = ("chain", "draw", *dims), np.stack([x.reshape(-1, *shape)[-draws:] for x in each])
    return xr.Dataset(found)


def least(drawn):
    """The least number of effective draws per draw, over all population variables."""
    population = [x.to_numpy() for name, x in drawn.items() if name.startswith(("theta_", "omega_", "sigma_"))]
    every = np.concatenate([x.reshape(*x.shape[:2], -1) for x in population], axis=2)
    return min(float(array_stats.ess(every[..., i])) for i in range(every.shape[2])) / every[..., 0].size


def lasting(statistic):
    """Whether a statistic is kept: one of each draw, or the position of each chain."""
    ragged = {"divergence", "transformation_update"} & set(statistic.dims)
    wide = {"draw", "unconstrained_parameter"} <= set(statistic.dims)
    return not (ragged or wide or statistic.name.startswith(UNKEPT))
