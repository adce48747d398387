"""The chains of a fit on the workers of a client, each the one that it is among all chains on one machine.

nutpie gives a chain its random numbers by the seed of the run and its place among the chains. So a worker starts a run
of all chains, holds the others where they ask for their start, and ends the run when its own chain is done: the others
cost nothing.
"""

import contextlib
import shutil
import threading
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import xarray as xr
from rich.progress import Progress

from nlmebayes.errors import ModelError
from nlmebayes.files.errors import FileError
from nlmebayes.inference import compilation, trace
from nlmebayes.inference.nuts import nutpie
from nlmebayes.inference.pilot import Pilot
from nlmebayes.inference.starts import initial_points
from nlmebayes.runtime import spread
from nlmebayes.runtime.quiet import quietly

LOOK = 0.1  # seconds between two looks at a chain
RELEASE = 0.05  # seconds after which the others are let go, which by then know that they are ended
TOLD = ("logp", "diverging")  # statistics of draws on disk that whoever asked for them looks at
PLAIN = {"compat": "override", "coords": "minimal", "join": "override", "combine_attrs": "override"}  # of `xr.concat`


@dataclass(frozen=True, eq=False)
class Chain:
    """What a worker needs to draw one chain of several, beside the compiled model.

    ``place`` among the chains; the ``seeds`` with which they first ask for their starts, and the ``point`` where this
    one starts; ``pilot`` and ``arrays`` of the sampler; ``options`` of nutpie; the ``folder`` on disk, or None.
    """

    place: int
    seeds: tuple
    point: np.ndarray
    pilot: Pilot
    arrays: dict
    options: dict
    folder: Path | None


def sampled(ready, work, client, *, cores, progress_bar, folders=None, **options):
    """What `compilation.sampled` gives of a `Sampler`, or `trace.unlabelled` of a run whose trace is raw.

    Parameters
    ----------
    work : Work
        That makes the sampler ready on a worker, and draws a `Chain` with it.
    cores : int or None
        Chains at a time.
    folders : list of paths, optional
        Where the draws of each chain go, on a disk that the workers have too.
    """
    if "progress_callback" in options:
        raise ModelError("fit: progress_callback= is for chains in this process; leave it or client= out")
    seeds = ready.asked(options["seed"], options)
    given = seeds, ready.pilot, ready.arrays, options, folders
    tasks = (_chain(ready.start(seed), place, *given) for place, seed in enumerate(seeds))
    with _shown(progress_bar, len(seeds) * (options["draws"] + options["tune"])) as said:
        parts = spread.in_order(spread.each(work, tasks, client, most=cores, said=said))
    for part in parts:
        if isinstance(part, spread.Lost):
            raise part
    found = {name: xr.concat([part[name] for part in parts], "chain", **PLAIN) for name in parts[0]}
    return found[""] if "" in found else xr.DataTree.from_dict(found)


def _chain(point, place, seeds, pilot, arrays, options, folders):
    return Chain(place, seeds, point, pilot, arrays, options, folders and Path(folders[place]).resolve())


@contextlib.contextmanager
def _shown(progress_bar, total):
    """A function that is told how many draws a chain has made, for the user to see; None where he does not want to."""
    if not progress_bar:
        yield None
        return
    with Progress() as progress:
        bar, made = progress.add_task("Draws of all chains", total=total), {}

        def said(place, count):
            made[place] = count
            progress.update(bar, completed=sum(made.values()))

        yield said
        progress.update(bar, completed=total)


# On a worker


def drawn(ready, chain):
    """What nutpie gives of one chain, datasets by group; of a raw trace the dataset of its draws, by no name."""
    ready, options = ready.with_arrays(chain.arrays), chain.options | _place_of(chain.folder)
    done, made = threading.Event(), [0]
    total = options["draws"] + options["tune"]

    @lru_cache
    def usual():
        return initial_points(ready.built, ready.design, chain.pilot)

    def start(seed):
        if seed == chain.seeds[chain.place]:
            return chain.point
        if seed not in chain.seeds:  # this chain again, whose density is not finite where it started
            return usual()(seed)
        done.wait()
        return chain.point

    def watch(progress):
        made[0] = progress[chain.place].finished_draws

    options |= {"cores": options["chains"], "progress_bar": False, "progress_callback": watch, "progress_rate": 100}
    try:
        with quietly():
            run = nutpie.sample(
                compilation.started(ready.compiled, ready.backend, start), blocking=False, **options
            )  # fmt: skip
            found = _waited(run, made, total, done)
    finally:
        done.set()
    return _part(found, chain, options)


def _place_of(folder):
    """Options that say where draws go, in a folder that is emptied: a worker before may have died at them."""
    if folder is None:
        return {}
    if not folder.is_dir():
        raise FileError(f"store: a worker finds no {folder}: it must be on a disk that this machine and workers share")
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    return {"zarr_store": nutpie.zarr_store.LocalStore(str(folder))}


def _waited(run, made, total, done):
    """The trace of a run that is ended when its chain has ``made`` all draws."""
    told = 0
    while True:
        try:
            return run.wait(timeout=LOOK)  # of a run of one chain
        except TimeoutError:
            pass
        if made[0] >= total:
            threading.Timer(RELEASE, done.set).start()
            return run.abort()
        if made[0] > told:
            told = made[0]
            spread.say(told)
        if spread.abandoned():
            threading.Timer(RELEASE, done.set).start()
            run.cancel()
            raise ModelError("nobody waits for this chain")


def _part(found, chain, options):
    """The chain's part of a trace of all."""
    if options.get("return_raw_trace"):
        return {"": trace.unlabelled([found.get_arrow_trace()[0][chain.place]], options["draws"])}
    if chain.folder is None:
        return {name: found[name].to_dataset().isel(chain=[chain.place]) for name in ("posterior", "sample_stats")}
    stats = found["sample_stats"].to_dataset()[list(TOLD)]
    return {"sample_stats": stats.isel(chain=[chain.place]).load()}
