"""Fits whose draws go to disk: the same draws, read lazily; refused where there is something else."""

import _thread
import threading
import time

import numpy as np
import pytest
import xarray as xr

import nlmebayes as nb
from model_zoo import LinearMixed
from nlmebayes import streaming
from nlmebayes.model import ModelError

MODEL = nb.Model(LinearMixed(), "mu ~ 1 + (1|Batch)")
SETTINGS = {"draws": 30, "tune": 200, "chains": 2, "random_seed": 4, "progressbar": False}


@pytest.fixture(scope="module")
def fits(tmp_path_factory):
    """A fit in memory, and the same on disk in blocks of 7 draws, with its folder."""
    folder = tmp_path_factory.mktemp("streaming") / "fit"
    ready = nb.sampler(MODEL, nb.datasets.dyestuff())
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
    np.testing.assert_array_equal(nb.summary(disk)["estimate"], nb.summary(memory)["estimate"])
    assert nb.check(MODEL, disk).parametrisation.equals(nb.check(MODEL, memory).parametrisation)
    f = nb.predict(MODEL, disk)["posterior"]["f_Yield"]
    np.testing.assert_array_equal(f, memory["posterior"]["f_Yield"])


def test_a_tree_on_disk_goes_on_in_memory(fits):
    _, disk, _ = fits
    longer = nb.fit(MODEL, nb.datasets.dyestuff(), resume=disk, **SETTINGS)
    assert longer["posterior"].sizes["draw"] == longer["log_likelihood"].sizes["draw"] == 60
    assert longer["posterior"]["draw"].to_numpy().tolist() == list(range(60))


def test_draws_stay_where_the_tree_cannot_be_finished(tmp_path, monkeypatch):
    folder = tmp_path / "fit"
    ready = nb.sampler(MODEL, nb.datasets.dyestuff())

    def full(*_, **__):
        folder.mkdir()
        raise OSError("no space left")

    monkeypatch.setattr(streaming, "written", full)
    with pytest.raises(OSError, match="no space left") as caught:
        ready.sample(**SETTINGS, store=folder)
    assert "the draws are in" in caught.value.__notes__[0]
    assert not folder.exists()
    drawn = xr.open_zarr(streaming._beside(folder), group="posterior", consolidated=False)
    assert drawn["theta_mu"].shape[:2] == (2, 30) and np.isfinite(drawn["theta_mu"]).all()


def test_what_cannot_be_stored_is_refused_before_anything_is_compiled(fits, tmp_path):
    memory, _, folder = fits
    data = nb.datasets.dyestuff()
    with pytest.raises(ModelError, match="fit exists; delete it, or name another folder"):
        nb.fit(MODEL, data, store=folder)
    with pytest.raises(ModelError, match=r"an approximation \(map\) is kept in memory"):
        nb.fit(MODEL, data, method="map", store=tmp_path / "map")
    with pytest.raises(ModelError, match=r"appended to a tree \(resume=\) is kept in memory"):
        nb.fit(MODEL, data, resume=memory, store=tmp_path / "more")


def test_an_interrupted_fit_leaves_its_draws_on_disk(tmp_path):
    folder = tmp_path / "fit"
    ready = nb.sampler(MODEL, nb.datasets.dyestuff())

    def interrupt():
        written = streaming._beside(folder) / "sample_stats" / "logp" / "c"
        while not any(written.rglob("0")):
            time.sleep(0.02)
        _thread.interrupt_main()

    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.warns(UserWarning, match="interrupted: .* of 100000 of 2"):
        ready.sample(**SETTINGS | {"draws": 100_000}, store=folder)
    tree = xr.open_datatree(folder, engine="zarr", consolidated=False)
    for name in ("posterior", "posterior_predictive", "log_likelihood"):
        assert 0 < tree[name].sizes["draw"] < 100_000
        assert all(np.isfinite(x).all() for x in tree[name].data_vars.values())
    assert not streaming._beside(folder).exists()
