"""Full disks, damaged files, other versions, caches: one sentence each, and nothing lost."""

import errno
import json
import os
import pickle
import resource
import subprocess
import sys
from contextlib import contextmanager
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from trees import stated

import nlmebayes as nb
from model_zoo import LinearMixed, OneCompartment
from nlmebayes.evaluation import storage
from nlmebayes.files import trees, versions, whole
from nlmebayes.runtime import caches
from nlmebayes.solver.shared.kernel import cached


@pytest.fixture(scope="module")
def tree():
    return nb.population(
        OneCompartment(), "cl ~ 1 + (1|id)", theta={"cl": 3.0, "v": 40.0}, omega={"sd": {"cl": 0.3}}, sigma={"b": 0.2}
    )


@contextmanager
def full_disk(size=1000):
    """No file may grow beyond ``size`` bytes, which fails where a full disk would."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_tree_on_a_full_disk_leaves_what_was_there(tmp_path, tree):
    path = tmp_path / "fit.nc"
    with full_disk(), pytest.raises(nb.FileError, match=r"fit\.nc is not written: File too large; what was there"):
        nb.save(tree, path)
    assert list(tmp_path.iterdir()) == []
    nb.save(tree, path)
    before = path.read_bytes()
    with full_disk(), pytest.raises(nb.FileError, match="is not written"):
        nb.save(tree.assign({}), path)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]
    assert nb.load(path)["posterior"].equals(tree["posterior"])  # and the one in memory is whole, too


def test_a_folder_on_a_full_disk_is_not_half_written(tmp_path):
    with (
        full_disk(),
        pytest.raises(nb.FileError, match="results is not written"),
        whole.folder(tmp_path / "results", ()) as folder,
    ):
        (folder / "a.csv").write_text("1" * 2000, encoding="utf-8")
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_written_to_is_one_sentence(tmp_path, tree):
    (tmp_path / "file").touch()
    for path in (tmp_path / "file" / "fit.nc", "/proc/fit.nc", tmp_path):
        with pytest.raises(nb.FileError):
            nb.save(tree, path)
    for what in (None, tree["posterior"].to_dataset(), "fit.nc"):
        with pytest.raises(nb.FileError, match="save: tree must be a tree"):
            nb.save(what, tmp_path / "fit.nc")


def test_what_does_not_read_back_the_same_is_refused(tmp_path, tree, monkeypatch):
    other = tree.copy(deep=True)
    other["posterior"]["theta_cl"][...] = 0.0
    monkeypatch.setattr(trees, "_read", lambda *_: other)
    with pytest.raises(nb.FileError, match=r"what was read back .* \(/posterior, theta_cl\)|is not written"):
        nb.save(tree, tmp_path / "fit.nc")
    assert list(tmp_path.iterdir()) == []


def test_every_kind_of_value_is_read_back(tmp_path):
    values = {
        "text": ("x", ["a", "", "\N{GREEK SMALL LETTER MU}g"]), "flag": ("x", [True, False, True]),
        "whole": ("x", np.array([1, 2, 3], dtype=np.int32)), "missing": ("x", [1.0, np.nan, np.inf]),
    }  # fmt: skip
    tree = xr.DataTree.from_dict({"posterior": xr.Dataset(values, {"x": ["p", "q", "r"]})})
    nb.save(tree, tmp_path / "fit.nc")
    again = nb.load(tmp_path / "fit.nc")["posterior"]
    for name in values:
        np.testing.assert_array_equal(again[name], tree["posterior"][name])


def test_a_file_that_is_open_elsewhere_is_read_and_replaced(tmp_path, tree):
    nb.save(tree, path := tmp_path / "fit.nc")
    for settings in ({}, {"locking": False}, {"locking": "best-effort"}):
        with h5py.File(path, "r", **settings):
            assert nb.load(path).identical(nb.load(path))
            nb.save(tree, path)


def test_a_tree_says_which_version_wrote_it(tmp_path, tree):
    nb.save(tree, tmp_path / "fit.nc")
    said = json.loads(nb.load(tmp_path / "fit.nc").attrs[versions.WRITTEN])
    assert said == {"version": nb.__version__, "format": versions.FORMAT}


def written(tree, path, **attrs):
    """The tree with other attributes, written without a checksum; None leaves one out."""
    other = tree.copy()
    other.attrs = {k: v for k, v in (other.attrs | attrs).items() if v is not None}
    other.to_netcdf(path, engine="h5netcdf")
    return path


def test_older_trees_load_and_newer_ones_say_why_not(tmp_path, tree):
    old = nb.load(written(tree, tmp_path / "old.nc", **{versions.WRITTEN: None}))
    assert old["posterior"].equals(tree["posterior"])
    newer = json.dumps({"version": "9.1", "format": versions.FORMAT + 1})
    with pytest.raises(nb.FileError, match=r"written by nlmebayes 9\.1, which this one .* does not read; install"):
        nb.load(written(tree, tmp_path / "new.nc", **{versions.WRITTEN: newer}))
    for bad in ("3", "{}", '{"format": "x"}', "{"):
        with pytest.raises(nb.FileError, match="is damaged"):
            nb.load(written(tree, tmp_path / "bad.nc", **{versions.WRITTEN: bad}))


@pytest.mark.parametrize("name", [storage.STATEMENT, "nlmebayes_published", "nlmebayes_fit"])
@pytest.mark.parametrize("text", ["", "{", "nope", "[" * 60 + "]" * 60])
def test_bad_json_is_one_sentence(tmp_path, tree, name, text):
    with pytest.raises(nb.FileError, match=f"bad.nc, {name}, is damaged"):
        nb.load(written(tree, tmp_path / "bad.nc", **{name: text}))


@pytest.mark.parametrize("text", ["{}", "3", "[]", '{"class": 1}', '{"items": 3}', '{"class": "a:b", "fields": 3}'])
def test_a_statement_of_something_else_is_one_sentence(tmp_path, tree, text):
    bad = nb.load(written(tree, tmp_path / "bad.nc", **{storage.STATEMENT: text}))
    with pytest.raises(nb.ModelError):
        nb.predict(bad)


def test_a_tree_without_its_variables_is_one_sentence(tmp_path, tree):
    nb.save(xr.DataTree.from_dict({"posterior": xr.Dataset(attrs={"a": 1})}), tmp_path / "empty.nc")
    with pytest.raises(nb.FileError, match="it holds no variables"):
        nb.load(tmp_path / "empty.nc")
    for group, name, said in (
        ("posterior", "theta_cl", "posterior has no theta_cl"), ("posterior", "omega_id", "posterior has no omega_id"),
        ("dataset", "observations column time", "the dataset of the tree is damaged"),
    ):  # fmt: skip
        other = tree.copy()
        other[group] = xr.DataTree(other[group].to_dataset().drop_vars(name))
        with pytest.raises(nb.ModelError, match=said):
            nb.forecast(other, nb.training_dataset(tree))
    for attrs in ({"kind": "{"}, {"columns": "{}"}, {"kind": '{"nope": 1}'}, {"kind": "3"}):
        other = tree.copy()
        other["dataset"] = xr.DataTree(other["dataset"].to_dataset().assign_attrs(attrs))
        with pytest.raises((nb.ModelError, nb.FileError)):
            nb.predict(other)


@pytest.mark.parametrize("dim", ["cl_term", "id_effect"])
def test_draws_in_another_order_are_no_other_numbers(dim):
    """xarray sorts what it merges: coefficients were read by their places, one for another."""
    cl = {"Intercept": 3.0, "log(wt/70)": 0.75, "crcl": 0.1}
    omega = {"sd": {"v": 0.2, "cl": 0.3}}
    tree = nb.population(OneCompartment(), theta={"cl": cl, "v": 40.0}, omega=omega, sigma={"b": 0.2})
    told = tree["posterior"].to_dataset()
    tree["posterior"] = told.isel({dim: slice(None, None, -1)})
    with pytest.raises(nb.ModelError, match=f"the tree is damaged: number 1 of its {dim} is .*; load it again"):
        nb.summary(tree)
    tree["posterior"] = tree["posterior"].to_dataset().isel({dim: slice(None, None, -1)})
    assert len(nb.summary(tree)) == 7


def test_effects_of_groups_in_another_order_are_those_of_no_others():
    """`pooling` gave the effect of one group to another."""
    frame = pd.DataFrame({"id": np.repeat(["z", "b", "a"], 3), "y": np.arange(9.0)})
    data = nb.Dataset.from_frame(frame, outcome="y", levels="id")
    tree = stated(nb.Model(LinearMixed(), "mu ~ 1 + (1|id)"), data, draws=20)
    told = tree["posterior"].to_dataset()
    for other in (told.sortby("id"), told.assign(eta_id=told["eta_id"].transpose("chain", "draw", "id_effect", "id"))):
        tree["posterior"] = other
        with pytest.raises(nb.ModelError, match=r"the tree is damaged: (number 1 of its id is a|eta_id has another)"):
            nb.pooling(tree)


def test_flipped_and_missing_bytes_are_one_sentence(tmp_path, tree):
    """With its checksum every change is found; without, HDF5 finds some, and what it does not is a number or a text."""
    whole_file, plain = tmp_path / "whole.nc", written(tree, tmp_path / "plain.nc")
    nb.save(tree, whole_file)
    rng, bad = np.random.default_rng(1), tmp_path / "bad.nc"
    for source, checked in ((whole_file, True), (plain, False)):
        good = source.read_bytes()
        places = [0, 8, 40, 100, len(good) - 200, *rng.integers(len(good) - 200, size=25)]
        changed = [good[:i] + bytes([good[i] ^ 255]) + good[i + 1 :] for i in places]
        for content in (*changed, b"", good[:10], good[: len(good) // 2]):
            bad.write_bytes(content)
            try:
                nb.load(bad)
            except nb.FileError as error:
                assert "\n" not in str(error)
            else:
                assert not checked


def test_files_that_are_no_tree(tmp_path):
    for name, content in (("a.csv", b"id,time\n1,2\n"), ("b.nc", b"CDF\x01"), ("c.nc", pickle.dumps([1]))):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(nb.FileError, match=f"^{name} cannot be read as NetCDF"):
            nb.load(tmp_path / name)
    with h5py.File(tmp_path / "d.nc", "w") as file:
        file["x"] = np.arange(3.0)
    for bad in (tmp_path / "d.nc", tmp_path / "nothing.nc", None, 3, tmp_path):
        with pytest.raises(nb.FileError):
            nb.load(bad)


def test_a_damaged_file_of_a_kernel_is_compiled_anew(tmp_path, monkeypatch):
    path = tmp_path / "kernels.py"
    path.write_text("def twice(x):\n    return 2 * x\n", encoding="utf-8")
    spec = spec_from_file_location("kernels", path)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr("numba.config.CACHE_DIR", str(tmp_path / "cache"))
    assert cached(module.twice)(2) == 4
    for end in ("nbi", "nbc"):
        for content in (b"", None):
            (file,) = (tmp_path / "cache").rglob(f"*.{end}")
            file.write_bytes(file.read_bytes()[:-20] if content is None else content)
            with pytest.warns(UserWarning, match=r"cache of compiled code is damaged: it is compiled anew"):
                assert cached(module.twice)(2) == 4
            assert cached(module.twice)(3) == 6


def test_damaged_files_of_pytensor_are_deleted_and_the_call_repeated(tmp_path):
    for name, content in (("a.nbi", b"x"), ("b.nbc", b""), ("good.nbi", pickle.dumps(1))):
        (tmp_path / name).write_bytes(content)
    calls = []

    @caches.rebuilt(lambda: tmp_path)
    def compile_it():
        calls.append(1)
        if (tmp_path / "a.nbi").exists():
            raise EOFError("Ran out of input")
        if len(calls) > 2:
            raise EOFError("something else")
        return "compiled"

    with pytest.warns(UserWarning, match="compiled anew"):
        assert compile_it() == "compiled"
    assert [path.name for path in tmp_path.iterdir()] == ["good.nbi"]
    with pytest.raises(EOFError, match="something else"):
        compile_it()


def test_a_home_that_cannot_be_written_has_a_temporary_cache(tmp_path):
    code = "import nlmebayes, os; print(os.environ['PYTENSOR_FLAGS'], os.environ['NUMBA_CACHE_DIR'])"
    (tmp_path / "home").touch()
    kept = {k: v for k, v in os.environ.items() if k not in ("PYTENSOR_FLAGS", "NUMBA_CACHE_DIR")}
    run = {"capture_output": True, "text": True, "check": True}
    found = subprocess.run(
        [sys.executable, "-c", code], env=kept | {"HOME": str(tmp_path / "home"), "TMPDIR": str(tmp_path)}, **run
    )
    flags, numba = found.stdout.split()
    folder = Path(numba).parent
    assert flags == f"base_compiledir={folder}/pytensor" and folder.parent == tmp_path and not folder.exists()
    assert "cannot be written: compiled code is kept in" in found.stderr
    code = "import nlmebayes, os; print(os.environ.get('PYTENSOR_FLAGS'))"
    found = subprocess.run([sys.executable, "-c", code], env=kept | {"HOME": str(tmp_path)}, **run)
    assert (found.stdout, found.stderr) == ("None\n", "")


def test_an_error_of_the_system_keeps_its_reason(tmp_path):
    with pytest.raises(nb.FileError, match="No space left on device") as caught, whole.file(tmp_path / "a.csv") as file:
        file.touch()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert caught.value.__cause__.errno == errno.ENOSPC and list(tmp_path.iterdir()) == []
