"""What is relied on of nutpie, beyond its documentation: a version that changes it fails here, by name.

`compilation._by_numba` makes nutpie's model of compiled functions of its own, and `streaming` reads nutpie's folders.
"""

import dataclasses
import inspect
import tomllib
from pathlib import Path

import numpy as np
import nutpie
import pymc as pm
import pytest
from nutpie import compile_pymc
from packaging.requirements import Requirement

from nlmebayes.inference import compilation

SAY = f"nutpie {nutpie.__version__} changed it: see nlmebayes/compilation.py and the ceiling in pyproject.toml"


@pytest.fixture(scope="module")
def compiled():
    with pm.Model(coords={"two": ["a", "b"]}) as built:
        data = pm.Data("data", np.array([1.0, 2.0, 4.0]))
        m = pm.HalfNormal("m", 1.0, dims="two")
        pm.Normal("y", m[0] + m[1], 1.0, observed=data)
    return compilation.compiled(built, "numba", ["m"])


def test_the_version_has_a_ceiling():
    stated = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text(encoding="utf-8"))
    wanted = next(r for r in map(Requirement, stated["project"]["dependencies"]) if r.name == "nutpie")
    assert wanted.specifier.contains(nutpie.__version__), SAY
    assert not wanted.specifier.contains("1.0") and not wanted.specifier.contains("0.17"), "test it, then raise it"


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("_make_functions", ["model", "mode", "compute_grad", "join_expanded", "pymc_initial_point_fn", "var_names"]),
        ("make_user_data", ["shared_var_keys", "shared_data"]),
        ("_prepare_dims_and_coords", ["model", "shape_info", "reparameterized_names"]),
    ],
)
def test_functions_that_are_called(name, arguments):
    assert list(inspect.signature(getattr(compile_pymc, name, lambda: None)).parameters) == arguments, SAY


def test_fields_of_a_model():
    fields = {field.name for field in dataclasses.fields(compile_pymc.CompiledPyMCModel)}
    assert fields == {
        "dims", "reparameterized_names", "compiled_logp_func", "compiled_expand_func", "initial_point_func",
        "shared_data", "shared_var_keys", "user_data", "n_expanded", "shape_info", "logp_func", "expand_func", "_n_dim",
        "_shapes", "_coords", "_transform_adapt_args",
    }, SAY  # fmt: skip


def test_the_record_of_shared_arrays(compiled):
    """Addresses, sizes and shapes, all of eight bytes, in this order: `callback` reads them by place."""
    kind = compiled.user_data.dtype["shared"]
    assert list(kind.fields) == ["data", "size", "shape"], SAY
    assert all(np.dtype(kind.fields[part][0][name].base).itemsize == 8 for part in kind.fields for name in ("shared0",))
    values = compiled.shared_data["shared0"]
    record = np.frombuffer(compiled.user_data.tobytes(), np.int64)
    assert values.ctypes.data in record and len(values) in record, SAY


def test_a_folder_of_draws(compiled, tmp_path):
    """Groups and names that `streaming` reads, and draws that are missing as NaN."""
    store = nutpie.zarr_store.LocalStore(str(tmp_path))
    tree = compilation.sampled(
        compiled, draws=20, tune=40, chains=2, seed=1, progress_bar=False, save_warmup=False, zarr_store=store,
        store_unconstrained=True,
    )  # fmt: skip
    assert {"posterior", "sample_stats"} <= set(tree.children), SAY
    assert {"logp", "unconstrained_draw", "diverging"} <= set(tree["sample_stats"].data_vars), SAY
    assert tree["posterior"]["m"].dims == ("chain", "draw", "two"), SAY
    assert np.isnan(tree["sample_stats"]["logp"].encoding.get("_FillValue", np.nan)), SAY
