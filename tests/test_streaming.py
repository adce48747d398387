"""Fits whose draws go to disk: the same draws, read lazily; refused where there is something else."""

import _thread
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest
import xarray as xr

import nlmebayes as nb
from model_zoo import LinearMixed
from nlmebayes.errors import ModelError
from nlmebayes.inference import compilation, streaming

MODEL = nb.Model(LinearMixed(), "mu ~ 1 + (1|Batch)")
SETTINGS = {"draws": 30, "tune": 200, "chains": 2, "random_seed": 4, "progressbar": False}


@pytest.fixture(autouse=True)
def patient(monkeypatch):
    """A fit has deleted what it leaves behind when it ends, however busy the machine is."""
    monkeypatch.setattr(streaming, "PATIENCE", 600.0)


@pytest.fixture(scope="module")
def ready():
    return nb.sampler(MODEL, nb.datasets.dyestuff())


@pytest.fixture(scope="module")
def fits(tmp_path_factory, ready):
    """A fit in memory, and the same on disk in blocks of 7 draws, with its folder."""
    folder = tmp_path_factory.mktemp("streaming") / "fit"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streaming, "NUMBERS", 7 * 2 * (3 * 30 + 2 * 6))
        return ready.sample(**SETTINGS), ready.sample(**SETTINGS, store=folder), folder


def test_draws_are_those_of_a_fit_in_memory(fits):
    memory, disk, folder = fits
    again = xr.open_datatree(folder, engine="zarr", consolidated=False)
    for tree in (disk, again):
        assert set(tree.children) == set(memory.children)
        for name in ("posterior", "log_likelihood", "sample_stats", "observed_data", "transport"):
            for v, x in memory[name].data_vars.items():
                np.testing.assert_array_equal(tree[name][v].transpose(*x.dims), x)
        assert tree.attrs == memory.attrs
        assert tree["posterior"]["draw"].to_numpy().tolist() == list(range(30))


def test_predictions_are_written_block_by_block_and_read_when_asked_for(fits):
    memory, disk, folder = fits
    replicated = disk["posterior_predictive"]["Yield"]
    assert replicated.encoding["chunks"][1] == 7
    assert not replicated.variable._in_memory
    assert replicated.shape == memory["posterior_predictive"]["Yield"].shape
    assert np.isfinite(replicated).all() and replicated.std() == pytest.approx(
        float(memory["posterior_predictive"]["Yield"].std()), rel=0.1
    )
    assert not folder.with_name("fit.sampling").exists()


def test_a_tree_on_disk_serves_the_verbs(fits):
    memory, disk, _ = fits
    np.testing.assert_array_equal(nb.summary(disk)["mean"], nb.summary(memory)["mean"])
    assert nb.check(disk).parametrisation.equals(nb.check(memory).parametrisation)
    f = nb.predict(disk)["posterior"]["f_Yield"]
    np.testing.assert_array_equal(f, memory["posterior"]["f_Yield"])


def test_a_tree_on_disk_goes_on_in_memory(fits):
    _, disk, _ = fits
    longer = nb.fit(MODEL, nb.datasets.dyestuff(), resume=disk, **SETTINGS)
    assert longer["posterior"].sizes["draw"] == longer["log_likelihood"].sizes["draw"] == 60
    assert longer["posterior"]["draw"].to_numpy().tolist() == list(range(60))


def test_draws_stay_where_the_tree_cannot_be_finished_and_the_next_call_goes_on(tmp_path, monkeypatch, ready, fits):
    folder = tmp_path / "fit"

    def broken(*_, **__):
        (streaming._beside(folder) / "tree").mkdir()
        raise KeyError("broken")

    with monkeypatch.context() as patch:
        patch.setattr(streaming, "written", broken)
        with pytest.raises(KeyError, match="broken") as caught:
            ready.sample(**SETTINGS, store=folder)
    assert "30 + 30 draws are in" in caught.value.__notes__[0] and "resume=True" in caught.value.__notes__[0]
    assert [path.name for path in tmp_path.iterdir()] == ["fit.sampling"]
    with pytest.raises(ModelError, match=r"30 \+ 30 draws of a fit that did not end; go on from them with resume=True"):
        ready.sample(**SETTINGS, store=folder)
    with pytest.raises(ModelError, match="holds 2 chains, this fit has 1"):
        ready.sample(**SETTINGS | {"chains": 1}, store=folder, resume=True)
    tree = ready.sample(**SETTINGS, store=folder, resume=True)
    np.testing.assert_array_equal(tree["posterior"]["theta_mu"], fits[0]["posterior"]["theta_mu"])
    assert [path.name for path in tmp_path.iterdir()] == ["fit"]


def test_a_full_disk_is_one_sentence(tmp_path, monkeypatch, ready):
    folder, sampled = tmp_path / "fit", compilation.sampled

    def full(*given, **options):
        sampled(*given, **options)
        if "zarr_store" in options:  # as nutpie says it
            raise RuntimeError("Chunk write operation failed\n: No space left on device (os error 28)\n backtrace")

    monkeypatch.setattr(compilation, "sampled", full)
    with pytest.raises(
        nb.FileError, match=r"^store: the disk is full, .*fit is not written: 30 \+ 30 draws are in .*=True$"
    ):
        ready.sample(**SETTINGS | {"tune": 40}, store=folder)
    assert not folder.exists()


KILLED = """
import os, signal, sys, threading, time
from pathlib import Path
import nlmebayes as nb
from model_zoo import LinearMixed

def kill(written):
    while not all(any(written.glob(f"{chain}/3")) for chain in "01"):
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGKILL)

folder = Path(sys.argv[1])
written = folder.with_name("fit.sampling") / "001_0_1" / "posterior" / "theta_mu" / "c"
threading.Thread(target=kill, args=(written,), daemon=True).start()
model = nb.Model(LinearMixed(), "mu ~ 1 + (1|Batch)")
settings = {"draws": 100_000, "tune": 40, "chains": 2, "random_seed": 4, "progressbar": False}
nb.fit(model, nb.datasets.dyestuff(), **settings, store=folder)
"""


def test_a_fit_that_was_killed_goes_on(tmp_path, ready):
    folder = tmp_path / "fit"
    killed = subprocess.run([sys.executable, "-c", KILLED, folder], check=False, capture_output=True, text=True)
    assert killed.returncode == -9, killed.stderr
    with pytest.raises(ModelError, match="go on from them with resume=True"):
        nb.fit(MODEL, nb.datasets.dyestuff(), store=folder)
    with pytest.raises(ModelError, match="made with another model"):
        other = nb.Model(LinearMixed(), "mu ~ 1 + (1|Batch)", residual=nb.Proportional())
        nb.fit(other, nb.datasets.dyestuff(), **SETTINGS, store=folder, resume=True)
    held = streaming.held(streaming._beside(folder), 2)
    before = [chain.read("posterior", ["theta_mu"], 0, chain.size)["theta_mu"].to_numpy()[0] for chain in held]
    draws = max(len(x) for x in before) + 20
    tree = ready.sample(**SETTINGS | {"draws": draws, "tune": 40}, store=folder, resume=True)
    found = tree["posterior"]["theta_mu"].to_numpy()
    assert found.shape[1] == tree["log_likelihood"].sizes["draw"] == draws and np.isfinite(found).all()
    for chain, values in zip(found, before, strict=True):
        np.testing.assert_array_equal(chain[: len(values)], values)
        assert len(np.unique(chain)) > len(values)
    assert [path.name for path in tmp_path.iterdir()] == ["fit"]


def test_a_finished_folder_has_few_files(fits):
    """nutpie writes one for each 16 draws of each variable and chain; what is kept has one for each block."""
    assert len(list(fits[2].rglob("*"))) < 600


def test_what_cannot_be_stored_is_refused_before_anything_is_compiled(fits, tmp_path):
    memory, _, folder = fits
    data = nb.datasets.dyestuff()
    with pytest.raises(ModelError, match="fit exists; delete it, or name another folder"):
        nb.fit(MODEL, data, store=folder)
    with pytest.raises(ModelError, match=r"an approximation \(map\) is kept in memory"):
        nb.fit(MODEL, data, method="map", store=tmp_path / "map")
    with pytest.raises(ModelError, match=r"appended to a tree \(resume=\) is kept in memory"):
        nb.fit(MODEL, data, resume=memory, store=tmp_path / "more")


@pytest.fixture
def interruptible():
    """Ctrl-C arrives, also where a shell started the tests in its background, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_an_interrupted_fit_leaves_its_draws_on_disk(tmp_path, ready, interruptible):
    folder, begun = tmp_path / "fit", threading.Event()

    def interrupt(chains):
        if not begun.is_set() and min(chain.finished_draws for chain in chains) > SETTINGS["tune"] + 100:
            begun.set()
            _thread.interrupt_main()

    with pytest.warns(UserWarning, match="interrupted: .* of 100000 of 2"):
        ready.sample(**SETTINGS | {"draws": 100_000}, store=folder, progress_callback=interrupt)
    tree = nb.load(folder)
    for name in ("posterior", "posterior_predictive", "log_likelihood"):
        assert 0 < tree[name].sizes["draw"] < 100_000
        assert all(np.isfinite(x).all() for x in tree[name].data_vars.values())
    assert not streaming._beside(folder).exists()
