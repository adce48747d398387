"""What comes from somebody else runs nothing, imports nothing, reads and writes nothing outside itself.

Formulas have a test of their own; here are all other doors: trees, tables of published models, statements, names.
"""

import json
import pickle
import sys
import types
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from typer.testing import CliRunner

import nlmebayes as nb
from model_zoo import OneCompartment
from nlmebayes.app import predict, statement
from nlmebayes.cli import app
from nlmebayes.evaluation import nouns, storage
from nlmebayes.files import text, whole
from nlmebayes.populations import library

REFUSALS = (nb.FileError, nb.ModelError, nb.FormulaError, nb.DataError, ValueError)


@pytest.fixture(scope="module")
def tree():
    return nb.population(
        OneCompartment(), "cl ~ 1 + (1|id)", theta={"cl": 3.0, "v": 40.0}, omega={"sd": {"cl": 0.3}}, sigma={"b": 0.2}
    )


def stating(tree, change):
    """The tree with another statement of its model."""
    said = json.loads(tree.attrs[storage.STATEMENT])
    change(said["fields"])
    return saying(tree, storage.STATEMENT, json.dumps(said))


def saying(tree, attribute, value):
    other = tree.copy()
    other.attrs[attribute] = value
    return other


CLASSES = (
    "stranger:Law", "stranger:os", "stranger.deeper:Law", "../stranger:Law", "stranger", "", ":Law", None, 3,
    ["os:system"], "os:system", "subprocess:Popen", "builtins:eval", "builtins:exec", "importlib:import_module",
    "antigravity:x", "this:s", "nlmebayes.__main__:app", "nlmebayes.cli:app", "nlmebayes.evaluation.storage:json",
    "nlmebayes.evaluation.nouns:sys", "nlmebayes.model.model:pm", "nlmebayes.data.dataset:Dataset", "nlmebayes:fit",
    "model_zoo:importlib", "model_zoo:_classes", "model_zoo.pharmacokinetics:__path__",
    "nlmebayes.structure.structure:Structure", "nlmebayes.outcomes.residual:Residual", "lazy:Law",
)  # fmt: skip


@pytest.mark.parametrize("named", CLASSES, ids=str)
def test_a_class_of_a_tree_is_not_imported(untouched, tree, named, monkeypatch):
    lazy = types.ModuleType("lazy")
    lazy.__getattr__ = lambda name: (untouched / "ran").touch()
    monkeypatch.setitem(sys.modules, "lazy", lazy)
    bad = stating(tree, lambda fields: fields["structure"].update({"class": named}))
    with pytest.raises(nb.ModelError):
        nb.forecast(bad, nb.training_dataset(tree))


def test_a_class_that_is_loaded_is_found_and_one_of_a_package_is_loaded():
    assert nouns.named("nlmebayes:Poisson") is nouns.named("nlmebayes.outcomes.families:Poisson") is nb.Poisson
    assert nouns.named(f"{OneCompartment.__module__}:OneCompartment") is OneCompartment
    with pytest.raises(nb.ModelError, match="import it first, or give model="):
        nouns.named("stranger:Law")


FIELDS = {
    "an option it has not": lambda f: f["structure"]["fields"].update(evil=1),
    "a field of the model": lambda f: f.update(evil=1),
    "fields that are a list": lambda f: f["structure"].update(fields=[1]),
    "no fields": lambda f: f["structure"].pop("fields"),
    "a residual that is a structure": lambda f: f.update(residual=f["structure"]),
    "a prior that is a text": lambda f: f.update(priors={"items": [["theta_cl", "os.system('touch ran')"]]}),
    "a key that is a list": lambda f: f.update(inputs={"items": [[[1], 2]]}),
    "formulas that are a number": lambda f: f.update(formulas=3),
}


@pytest.mark.parametrize("change", FIELDS.values(), ids=FIELDS)
def test_a_statement_has_the_fields_of_its_classes(untouched, tree, change):
    with pytest.raises((nb.ModelError, nb.FileError)):
        storage.stored_model(stating(tree, change))


FAMILIES = (
    "CustomDist", "DensityDist", "Simulator", "Mixture", "Distribution", "Continuous", "sample", "Model", "math", "os",
    "__builtins__", "pytensor", None, ["Normal"],
)  # fmt: skip


@pytest.mark.parametrize("family", FAMILIES, ids=str)
def test_a_prior_is_a_distribution_of_numbers(untouched, tree, family):
    prior = {"class": "nlmebayes:Prior", "fields": {"family": family, "parameters": {"items": []}}}
    with pytest.raises(ValueError, match=r"no distribution|family must be a text"):
        storage.stored_model(stating(tree, lambda f: f.update(priors={"items": [["theta_cl", prior]]})))
    with pytest.raises(ValueError, match="mu must be a number"):
        nb.Prior("Normal", mu="__import__('os').system('touch ran')")


TABLE = "theta = {cl = 3.0, v = 40.0}\nomega = {sd = {cl = 0.3}}\nsigma = {b = 0.2}\n"
TABLES = {
    "structure importlib": 'structure = "importlib"', "structure pkgutil": 'structure = "pkgutil"',
    "structure _classes": 'structure = "_classes"', "structure of a module": 'structure = "stranger:Law"',
    "structure a list": 'structure = ["OneCompartment"]', "abstract": 'structure = "Structure"',
    "an option": 'structure = "OneCompartment"\noptions = {evil = 1}',
    **{
        f"residual {kind}": f'structure = "OneCompartment"\nresidual = {{kind = "{kind}"}}'
        for kind in ("np", "pm", "dataclass", "Prior", "Residual", "scale_of", "plot", "Model", "stranger:Law")
    },
    "residual with an option": 'structure = "OneCompartment"\nresidual = {kind = "Combined", evil = 1}',
    "residual a text": 'structure = "OneCompartment"\nresidual = "Combined"',
}  # fmt: skip


@pytest.mark.parametrize("said", TABLES.values(), ids=TABLES)
def test_a_table_of_a_published_model_names_what_exists(untouched, said):
    (untouched / "model.toml").write_text(f"{said}\n{TABLE}", encoding="utf-8")
    with pytest.raises(nb.ModelError):
        library.read_population(untouched / "model.toml")
    found = CliRunner().invoke(app, ["forecast", "model.toml", "patient.csv"])
    assert found.exit_code == 1 and found.output.startswith("error: ") and found.output.count("\n") == 1


@pytest.mark.parametrize("name", ("../../model", "model", "/etc/passwd", "{folder}/model", "a/../model", None, b"x"))
def test_a_published_model_is_one_of_the_library(untouched, name):
    (untouched / "model.toml").write_text(f'structure = "OneCompartment"\n{TABLE}', encoding="utf-8")
    with pytest.raises(nb.ModelError, match=r"no published model|name must be a text"):
        nb.published(name.format(folder=untouched) if isinstance(name, str) else name)


STATEMENTS = (
    {"name": "os"}, {"name": "__builtins__"}, {"name": "OneCompartment", "residual": "np"},
    {"name": "OneCompartment", "options": {"__class__": "x"}},
    {"name": "OneCompartment", "priors": {"theta_cl": "__import__('os').system('touch ran')"}},
    {"name": "OneCompartment", "priors": {"theta_cl": "Normal(mu=__import__('os').system('touch ran'))"}},
    {"name": "OneCompartment", "priors": {"theta_cl": "CustomDist(logp='os.system')"}},
)  # fmt: skip


@pytest.mark.parametrize("said", STATEMENTS, ids=str)
def test_a_statement_of_a_run_names_what_exists(untouched, said):
    with pytest.raises(REFUSALS):
        statement.model(said)


def _external_storage(file):
    place = [("stranger.py", 0, h5py.h5f.UNLIMITED)]
    file["posterior"].create_dataset("x", (4,), dtype="u1", external=place)


def _virtual(file):
    layout = h5py.VirtualLayout((4,), dtype="f8")
    layout[:] = h5py.VirtualSource("other.nc", "x", (4,))
    file["posterior"].create_virtual_dataset("x", layout)


def _filtered(file):
    settings = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    settings.set_chunk((4,))
    settings.set_filter(32_015, h5py.h5z.FLAG_OPTIONAL, ())
    h5py.h5d.create(file.id, b"x", h5py.h5t.IEEE_F64LE, h5py.h5s.create_simple((4,)), settings)


HELD = {
    "an external link": lambda f: f.__setitem__("x", h5py.ExternalLink("other.nc", "/")),
    "an external link in a group": lambda f: f["posterior"].__setitem__("x", h5py.ExternalLink("/etc/passwd", "/")),
    "a soft link": lambda f: f.__setitem__("x", h5py.SoftLink("/posterior")),
    "a soft link to nothing": lambda f: f.__setitem__("x", h5py.SoftLink("/../../x")),
    "numbers of another file": _external_storage,
    "an array of another file": _virtual,
    "a pickle": lambda f: f.create_dataset("x", data=np.void(pickle.dumps(print))),
    "lists": lambda f: f.create_dataset("x", (1,), dtype=h5py.vlen_dtype(np.uint8)),
    "references": lambda f: f.create_dataset("x", (1,), dtype=h5py.ref_dtype),
    "a record": lambda f: f.create_dataset("x", (1,), dtype=[("a", "f8"), ("b", "S4")]),
    "a type": lambda f: f.__setitem__("x", np.dtype("f8")),
    "a filter": _filtered,
    "a group in itself": lambda f: f["posterior"].__setitem__("posterior", f["posterior"]),
    "more than is stored": lambda f: f.create_dataset("x", (10**15,), chunks=(1000,), dtype="f8"),
}


@pytest.mark.parametrize("hold", HELD.values(), ids=HELD)
def test_an_hdf5_file_holds_numbers_and_texts_of_its_own(untouched, tree, hold):
    tree.to_netcdf("fit.nc")
    with h5py.File("fit.nc", "r+") as file:
        hold(file)
    with pytest.raises(nb.FileError, match=r"^fit\.nc: "):
        nb.load("fit.nc")
    pd.DataFrame({"ID": [1], "TIME": 1.0, "DV": 1.0}).to_csv("patient.csv")
    for verb in ("predict", "forecast"):
        found = CliRunner().invoke(app, [verb, "fit.nc", "patient.csv"])
        assert found.exit_code == 1 and found.output.startswith("error: fit.nc: ")


def test_a_pickle_is_no_tree(untouched):
    Path("fit.nc").write_bytes(pickle.dumps(nb.Combined()))
    np.save("fit.npy", np.array([nb.Combined()], dtype=object))
    for name in ("fit.nc", "fit.npy", "stranger.py"):
        with pytest.raises(nb.FileError, match="cannot be read as NetCDF"):
            nb.load(name)


def _edited(change):
    """A change of what an array of a zarr folder says of itself."""

    def hold(folder):
        path = folder / "posterior" / "theta_cl" / "zarr.json"
        said = json.loads(path.read_text(encoding="utf-8"))
        change(said)
        path.write_text(json.dumps(said), encoding="utf-8")

    return hold


ZARR = {
    "pickles": _edited(lambda said: said.update(codecs=[{"name": "numcodecs.pickle", "configuration": {}}])),
    "pickles in a shard": _edited(
        lambda s: s.update(codecs=[{"name": "sharding_indexed", "configuration": {"codecs": [{"name": "pickle"}]}}])
    ),
    "a codec that is a text": _edited(lambda said: said.update(codecs=["stranger"])),
    "a transformer": _edited(lambda said: said.update(storage_transformers=[{"name": "stranger"}])),
    "the old format": lambda f: (f / "posterior" / ".zarray").write_text('{"filters": [{"id": "pickle"}]}'),
    "a link": lambda f: (f / "posterior" / "x").symlink_to("/etc"),
    "no JSON": lambda f: (f / "posterior" / "zarr.json").write_text("{"),
    "deep JSON": lambda f: (f / "posterior" / "zarr.json").write_text("[" * 100_000 + "]" * 100_000),
}


@pytest.mark.parametrize("hold", ZARR.values(), ids=ZARR)
def test_a_zarr_folder_holds_numbers_and_texts_of_its_own(untouched, tree, hold):
    tree.to_zarr("fit", consolidated=False)
    assert nb.load("fit")["posterior"].equals(tree["posterior"])
    hold(untouched / "fit")
    with pytest.raises(nb.FileError):
        nb.load("fit")


@pytest.mark.parametrize(
    "said", ("[" * 60 + "]" * 60, "[" * 100_000, '{"a":' * 100_000, "nonsense", 3, None, "1" * 5000, '"' + "x" * 200)
)
def test_json_is_read_with_bounds(untouched, said, tree, monkeypatch):
    monkeypatch.setattr(text, "LONGEST", 150_000)
    bad = saying(tree, storage.STATEMENT, said)
    with pytest.raises((nb.FileError, nb.ModelError)):
        storage.stored_model(bad)
    with pytest.raises(nb.FileError, match="200001 characters"):
        text.read_json("1" * 200_001, "it")


def test_a_tree_names_no_file_that_is_read(untouched, tree):
    said = {"file": "/etc/passwd", "doses": "/etc/passwd", "levels": ["id"], "nope": 1, "unmeasured": "predict"}
    bad = saying(tree, predict.READ_AS, json.dumps(said))
    assert predict.reading(bad) == {"levels": ["id"]}


LABELS = (
    "../../x", "/etc/passwd", "..", ".", "", "a/b", "a\\b", "C:x", "~", "x\0y", "x\n", "-rf", "$(touch ran)",
    "con\u202e", ".bashrc", "x" * 300, "%2e%2e%2f", "|touch ran", None,
)  # fmt: skip


@pytest.mark.parametrize("label", LABELS, ids=repr)
def test_a_label_of_the_data_stays_in_the_folder(untouched, label):
    name = whole.names(["x", label])[label]
    path = (untouched / f"vpc_{name}.png").resolve()
    assert path.parent == untouched and len(path.name) < 80 and name == Path(name).name and name.isprintable()
    path.touch()


def test_labels_that_become_the_same_name_are_told_apart():
    labels = ["a/b", "a_b", "A_b", "a:b", "conc"]
    assert len({name.lower() for name in whole.names(labels).values()}) == 5


def test_an_outcome_with_a_folder_in_its_name_is_refused_and_another_stays_inside(untouched):
    frame = pd.DataFrame({"id": [1, 1, 2, 2], "time": [1.0, 2, 1, 2], "../../x": 1.0, "..\\y": 2.0, "z": 3.0})
    data = nb.Dataset.from_frame(frame, outcome=["..\\y", "z"], levels="id", time="time")
    assert list(whole.names(data.outcomes).values()) == ["y", "z"]
    with pytest.raises(nb.DataError, match="rename it"):
        nb.Dataset.from_frame(frame, outcome=["../../x", "z"], levels="id", time="time")


def test_a_tree_that_was_changed_is_refused(untouched, tree):
    nb.save(tree, "fit.nc")
    with xr.open_datatree("fit.nc", engine="h5netcdf") as again:
        assert again["posterior"].equals(tree["posterior"])
    written = bytearray(Path("fit.nc").read_bytes())
    written[len(written) // 2] ^= 1
    Path("fit.nc").write_bytes(written)
    with pytest.raises(nb.FileError, match=r"fit\.nc is damaged: its bytes are not those that were written"):
        nb.load("fit.nc")
