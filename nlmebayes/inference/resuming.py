"""A fit that goes on: what must be the same, where its chains start, and the tree of both parts."""

import json

import numpy as np
import xarray as xr

from nlmebayes.errors import ModelError
from nlmebayes.evaluation import storage
from nlmebayes.inference import accuracy


def same_fit(model, data, tree):
    """Refuse to append draws to those of another model or other data."""
    storage.same_model(model, tree)
    other = storage.difference(data, tree)
    if other:
        raise ModelError(f"resume: the tree was fitted to other data: {other}")


def ends(tree, chains, size):
    """The points where the chains of a tree ended, (chain, coordinate)."""
    if "sample_stats" not in tree.children or "position" not in tree["sample_stats"]:
        raise ModelError("resume takes the tree of a sampled fit")
    points = tree["sample_stats"]["position"].to_numpy()
    if points.shape != (chains, size):
        raise ModelError(
            f"resume: the tree has {len(points)} chains of {points.shape[1]} coordinates, this fit {chains} of {size}"
        )
    return points


def appended(before, after, kept):
    """The draws of a tree, of the chains that are ``kept``, and those that follow them."""
    groups = {}
    for name in ("posterior", "sample_stats", "posterior_predictive", "log_likelihood"):
        if name in before.children and name in after.children:
            first, second = (tree[name].to_dataset().drop_vars("draw", errors="ignore") for tree in (before, after))
            first = first.isel(chain=kept).assign_coords(chain=np.arange(len(kept)))
            whole = xr.concat(
                [first, second], dim="draw", data_vars="minimal", coords="minimal", compat="override", join="override"
            )
            last = second.get("position")
            groups[name] = whole if last is None else whole.assign(position=last)
            groups[name] = groups[name].assign_coords(draw=np.arange(groups[name].sizes["draw"]))
    tree = after.copy()
    for name, values in groups.items():
        tree[name] = xr.DataTree(values)
    settings = json.loads(after.attrs["nlmebayes_fit"])
    tree.attrs["nlmebayes_fit"] = json.dumps(settings | {"draws": tree["posterior"].sizes["draw"]})
    if accuracy.SOLVER in after.attrs:
        tree.attrs[accuracy.SOLVER] = accuracy.together(before.attrs[accuracy.SOLVER], after.attrs[accuracy.SOLVER])
    return tree
