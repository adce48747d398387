import functools
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from typer.testing import CliRunner

import nlmebayes as nb
from nlmebayes import words
from nlmebayes.app import arguments, predict, statement
from nlmebayes.app import zoo as collection
from nlmebayes.cli import app
from nlmebayes.evaluation import storage
from nlmebayes.files import toml, whole

RUN = CliRunner()


def test_zoo_lists_models_with_parameters_and_units():
    found = RUN.invoke(app, ["zoo"])
    assert found.exit_code == 0
    assert "OneCompartment: One compartment with linear elimination" in found.stdout
    assert "cl" in found.stdout and "L/h" in found.stdout


def test_zoo_tells_all_about_one_model_in_any_spelling():
    found = RUN.invoke(app, ["zoo", "emax"])
    assert found.exit_code == 0
    said = (r"E = E_0 + E_{max} \frac{C^{\gamma}}", "sigmoid=True", "ec50               5 mg/L",
            "Inputs: concentration", "Holford and Sheiner (1981)", "Notebook: notebooks/emax.py")  # fmt: skip
    assert [text for text in said if text not in found.stdout] == []
    for name, kind in collection.classes().items():
        assert collection.about(kind) in "\n".join(collection.told(name))
    wrong = RUN.invoke(app, ["zoo", "emx"])
    assert (wrong.exit_code, wrong.stderr.splitlines()[0][:37]) == (1, "error: no model 'emx', did you mean E")


def test_version_is_printed():
    found = RUN.invoke(app, ["--version"])
    assert (found.exit_code, found.stdout) == (0, f"nlmebayes {nb.__version__}\n")


def test_a_file_is_read_by_the_options_of_its_layout(tmp_path):
    text = "PAT;TIME;AMT;Y;GR\n1;0;100;;1\n1;2,5;;<0,5;1\n1;3;;7;1\n2;1;;-99;2\n"
    (tmp_path / "t.csv").write_bytes(text.encode("cp1252"))
    options = ["--column", "PAT=ID", "--column", "Y=DV", "--ignore", "GR.EQ.2", "--accept", "TIME.GE.0", "--lloq", "<"]
    options += ["--encoding", "cp1252", "--decimal", ","]
    found = RUN.invoke(app, ["check-data", str(tmp_path / "t.csv"), *options])
    assert found.exit_code == 0, found.stderr
    assert "2 records, 1 censored (M3)" in found.stdout and "1 x ignored (GR.EQ.2)" in found.stdout


@pytest.fixture
def event_table(tmp_path):
    frame = pd.DataFrame({"ID": [1, 1, 1, 2, 2], "TIME": [0, 1, 5, 0, 2], "AMT": [100, 0, 0, 100, 0]})
    frame["DV"], frame["WT"] = [0, 4.5, 2.1, 0, 3.3], [70, 70, 70, 82, 82]
    frame.to_csv(tmp_path / "table.csv", index=False)
    return tmp_path / "table.csv", frame


def test_check_data_describes_a_good_file(event_table):
    found = RUN.invoke(app, ["check-data", str(event_table[0])])
    assert found.exit_code == 0
    assert "outcome dv: 3 records" in found.stdout and "doses: 2" in found.stdout and "covariates: WT" in found.stdout


def test_check_data_says_in_one_line_what_is_wrong(event_table):
    path, frame = event_table
    frame.assign(TIME=[0, 5, 1, 0, 2]).to_csv(path, index=False)
    found = RUN.invoke(app, ["check-data", str(path)])
    assert found.exit_code == 1
    assert found.stderr.startswith("error: table.csv, row 3, column time: time goes back from 5 to 1 within id 1")
    assert len(found.stderr.strip().splitlines()) == 1
    assert RUN.invoke(app, ["check-data", str(path), "--sort"]).exit_code == 0


def test_check_data_reads_tidy_tables(tmp_path):
    pd.DataFrame({"tree": [1, 1, 2], "age": [1, 2, 1], "size": [3.0, 4.0, 5.0]}).to_csv(tmp_path / "t.csv", index=False)
    arguments = ["check-data", str(tmp_path / "t.csv"), "--level", "tree", "--outcome", "size", "--time", "age"]
    found = RUN.invoke(app, arguments)
    assert found.exit_code == 0 and "level tree: 2" in found.stdout


def test_a_missing_file_is_an_error():
    found = RUN.invoke(app, ["check-data", "nowhere.csv"])
    assert found.exit_code == 1 and "no file 'nowhere.csv'" in found.stderr


def test_demo_writes_what_it_says(tmp_path):
    found = RUN.invoke(app, ["demo", str(tmp_path), "--draws", "300", "--tune", "500", "--chains", "2", "--quiet"])
    assert found.exit_code == 0, found.output
    pictures = {"prior.png", "fits.png", "vpc.png", "forecast.png", "regimens.png"}
    tables = {"check.txt", "population.csv", "regimens.csv", "population.nc"}
    assert {p.name for p in tmp_path.iterdir()} == pictures | tables
    assert all((tmp_path / name).stat().st_size > 0 for name in pictures | tables)
    regimens = pd.read_csv(tmp_path / "regimens.csv")
    assert (regimens["p_below"] + regimens["p_in"] + regimens["p_above"]).round(9).eq(1).all()
    assert "other samples lie in the 95 % band" in found.stdout


PAGE = (Path(__file__).parent.parent / "docs" / "command_line.md").read_text(encoding="utf-8")
SHORT = ["--draws", "50", "--tune", "100", "--chains", "2", "--quiet"]


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", PAGE, flags=re.DOTALL)


@pytest.fixture(scope="module")
def compiled_once():
    """`fit` that compiles a model once for the same data: what the page shows fits one statement three times."""
    samplers = {}

    def fit(model, data, **settings):
        key = storage.statement(model), data.observations.to_json(), data.doses.to_json()
        samplers[key] = samplers.get(key) or nb.sampler(model, data)
        return samplers[key].sample(**settings)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nb, "fit", functools.wraps(nb.fit)(fit))
        yield samplers


@pytest.fixture(scope="module")
def printed(tmp_path_factory, compiled_once):
    """A folder in which the page has been run as printed, with few draws; what each command gave, by its line."""
    folder, found = tmp_path_factory.mktemp("page"), {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        exec(compile(blocks("python")[0], "command_line.md", "exec"), {})
        Path("theophylline.toml").write_text(blocks("toml")[0], encoding="utf-8")
        for line in "".join(blocks("sh")).replace("\\\n", " ").strip().splitlines():
            name, *said = shlex.split(line)
            assert name == "nlmebayes"
            again = ("--no-report",) if Path("results").exists() else ()
            found[line] = RUN.invoke(app, [*said, *((*SHORT, *again) if said[0] == "fit" else ())])
    return folder, found


def test_the_page_runs_as_printed(printed):
    folder, found = printed
    assert [run.output for run in found.values() if run.exit_code] == []
    tables = ["fit.nc", "summary.csv", "check.txt", "priors.csv", "data.txt", "model.toml"]
    files = [*tables, "fits.png", "vpc.png", "ranks.png", "report.html"]
    assert {p.name for p in (folder / "results").iterdir()} == set(files)
    assert all((folder / "results" / name).stat().st_size > 0 for name in files)
    assert not [p for p in folder.iterdir() if p.name.startswith(".")]
    assert "Findings:" in next(run.stdout for line, run in found.items() if line.startswith("nlmebayes fit"))


def test_a_statement_repeats_the_run(printed, compiled_once):
    folder, names = printed[0], ("results", "from_file", "again")
    first, *others = [pd.read_csv(folder / name / "summary.csv") for name in names]
    assert len(compiled_once) == 2  # the last fit of the page is another model
    for other in others:
        pd.testing.assert_frame_equal(first, other, check_exact=True)
    other = tomllib.loads((folder / "other" / "model.toml").read_text(encoding="utf-8"))["model"]
    assert other["residual"] == "combined-variance" and other["formulas"][1] == "v ~ 1 + (1|id)"
    statements = [tomllib.loads((folder / name / "model.toml").read_text(encoding="utf-8")) for name in names]
    assert statements[0] == statements[1] == statements[2]
    assert statements[0]["model"]["options"].items() >= {"absorption": "first-order", "flip_flop": False}.items()


def test_predictions_of_known_records_are_those_of_the_fit(printed):
    folder, _ = printed
    table = pd.read_csv(folder / "prediction.csv")
    tree = xr.open_datatree(folder / "results" / "fit.nc")
    f = tree["posterior"]["f_conc"]
    assert table["row"].tolist() == f["conc_obs"].to_numpy().tolist()
    assert table["f_mean"].to_numpy() == pytest.approx(f.mean(("chain", "draw")).to_numpy(), rel=1e-12)
    assert table["f_eti_ub"].to_numpy() == pytest.approx(f.quantile(0.95, ("chain", "draw")).to_numpy(), rel=1e-12)
    later = table[table["time"] > 0]
    assert (later["y_eti_lb"] < later["f_eti_lb"]).all() and (later["f_eti_ub"] < later["y_eti_ub"]).all()


def test_a_grid_for_a_new_patient(printed):
    folder, found = printed
    table = pd.read_csv(folder / "patient_prediction.csv")
    assert table["time"].tolist() == np.linspace(0, 24, 49).tolist() and set(table["id"]) == {99}
    assert pd.read_csv(folder / "patient_times.csv")["time"].tolist() == [2, 12, 24]
    tree = xr.open_datatree(folder / "patient_prediction.nc")
    assert tree["posterior_predictive"]["conc"].mean(("chain", "draw")).to_numpy() == pytest.approx(table["y_mean"])
    assert "49 records of 1 id, 1 of them not in the fit" in next(
        r.stdout for line, r in found.items() if "--grid" in line
    )


def test_results_are_replaced_only_by_force_and_only_if_they_are_results(printed, monkeypatch):
    folder, _ = printed
    monkeypatch.chdir(folder)
    refused(["fit", "--config", "theophylline.toml"], "the folder", "is not empty")
    (folder / "mine").mkdir()
    (folder / "mine" / "notes.txt").write_text("mine", encoding="utf-8")
    refused(["fit", "--config", "theophylline.toml", "--out", "mine", "--force"], "holds other things: notes.txt")
    refused(["fit", "--config", "theophylline.toml", "--out", "."], "is the current folder")
    refused(["predict", "results/fit.nc", "theophylline.csv"], "prediction.csv exists; --force replaces it")
    refused(["predict", "theophylline.csv", "theophylline.csv", "--out", "x.csv"], "cannot be read as NetCDF")


def refused(words, *parts):
    found = RUN.invoke(app, words)
    assert found.exit_code == 1, found.output
    assert found.stderr.startswith("error: ") and len(found.stderr.strip().splitlines()) == 1
    assert all(part in found.stderr for part in parts), found.stderr


@pytest.mark.parametrize(
    "words, part",
    [
        ([], "no model: give --model; there are "),
        (
            ["--model", "one-compartmnt"],
            "no model 'one-compartmnt', did you mean OneCompartment? there are AntibodyDecay, CarTExpansion",
        ),
        (
            ["--model", "OneCompartment", "--option", "absorbtion=bolus"],
            "did you mean absorption? there are absorption =",
        ),
        (
            ["--model", "OneCompartment", "--option", "absorption=oral"],
            "cannot be 'oral'; its values: bolus | first-order",
        ),
        (["--model", "OneCompartment", "--option", "flip_flop=perhaps"], "its values: true | false"),
        (["--model", "OneCompartment", "--option", "absorption"], "--option 'absorption': write --option NAME=VALUE"),
        (["--model", "OneCompartment", "--residual", "combind"], "no residual 'combind', did you mean combined?"),
        (
            ["--model", "OneCompartment", "--residual", "a=power", "--residual", "power"],
            "write --residual OUTCOME=KIND",
        ),
        (["--model", "OneCompartment", "--prior", "omega_id=__import__('os')"], "write it as HalfNormal(sigma=0.3)"),
        (["--model", "OneCompartment", "--prior", "omega_id=HalfNormal(0.3)"], "write it as HalfNormal(sigma=0.3)"),
        (["--model", "OneCompartment", "--prior", "omega_id=HalfNormal(sigm=0.3)"], "no parameter 'sigm'"),
        (["--model", "OneCompartment", "--prior", "omega=HalfNormal(sigma=0.3)"], "no variable 'omega'"),
        (["--model", "OneCompartment", "--formula", "cL ~ 1"], "no parameter 'cL' in OneCompartment"),
        (["--model", "OneCompartment", "--typical", "cl=much"], "--typical cl: 'much' is not a number"),
        (["--model", "OneCompartment", "--draws", "0"], "draws must be at least 1, not 0"),
        (
            ["--model", "OneCompartment", "--draws", "1000000000000"],
            "draws must be at most 10,000,000, not 1000000000000",
        ),
        (["--model", "OneCompartment", "--time", "time"], "a tidy table needs the name of its outcome column"),
        (["--model", "OneCompartment", "--config", "nowhere.toml"], "no file 'nowhere.toml'"),
    ],
)
def test_what_cannot_be_fitted_is_one_line(event_table, words, part, monkeypatch):
    path, frame = event_table
    frame.to_csv(path, index=False)
    monkeypatch.chdir(path.parent)
    refused(["fit", str(path), "--out", "results", *words], part)
    assert [p.name for p in path.parent.iterdir()] == ["table.csv"]


@pytest.mark.parametrize(
    "text, part",
    [
        ("[data]\nfil = 'a.csv'", "no key 'fil' in [data] of run.toml, did you mean file? there are file, "),
        ("[modell]\nname = 'emax'", "no section 'modell' in run.toml, did you mean model? there are data, model"),
        ("model = 'emax'", "run.toml: model is a section, written [model]"),
        ("[sampling]\nseed 1", "run.toml cannot be read as TOML"),
        (
            "[data]\nfile = 'table.csv'\n[model]\nname = 'emax'\noptions = 3",
            "options is a table, written [model.options]",
        ),
        (
            "[data]\nfile = 'table.csv'\nsubject = 'id'\ntidy = false",
            "an event table does not take 'subject'; a tidy table",
        ),
        (
            "[data]\nfile = 'table.csv'\n[model]\nname = 'one-compartment'\n[sampling]\ndraws = 'many'",
            "draws cannot be 'many'",
        ),
    ],
)
def test_a_toml_file_that_is_wrong_is_one_line(event_table, text, part):
    folder = event_table[0].parent
    (folder / "run.toml").write_text(text, encoding="utf-8")
    refused(["fit", "--config", str(folder / "run.toml"), "--out", str(folder / "results")], part)


def test_options_replace_what_a_file_says():
    file = {
        "data": {"file": "a.csv", "sha256": "0"},
        "model": {"formulas": ["cl ~ 1", "v ~ 1"], "residual": "additive", "typical": {"cl": 1, "v": 2}},
    }
    said = arguments.said(
        {"data": "b.csv", "formula": ["v ~ 1 + (1|id)"], "residual": ["x=power"], "typical": ["v=5,0.5"]}
    )
    assert statement.merged(file, said) == {
        "data": {"file": "b.csv"},
        "model": {
            "formulas": ["cl ~ 1", "v ~ 1 + (1|id)"], "residual": {"x": "power"}, "typical": {"cl": 1, "v": [5, 0.5]},
        },
    }  # fmt: skip


def test_what_options_say():
    given = {
        "outcome": ["1=conc,2=effect"], "input": ["cp", "concentration=cp"], "lloq": ["0.1"], "sort": False, "seed": 0,
        "parametrisation": ["cl=centred"], "level": [], "blq": "M3",
    }  # fmt: skip
    assert arguments.said(given) == {
        "data": {"outcome": {"1": "conc", "2": "effect"}, "inputs": ["cp"], "lloq": 0.1, "sort": False, "blq": "M3"},
        "model": {"inputs": {"concentration": "cp"}, "parametrisation": {"cl": "centred"}},
        "sampling": {"seed": 0},
    }


@pytest.mark.parametrize("name", ["one-compartment", "OneCompartment", "one_compartment", "ONECOMPARTMENT"])
def test_a_model_in_any_spelling(name):
    found = statement.structure(name, {"flip-flop": "true", "absorption": "first-order"})
    assert found == collection.classes()["OneCompartment"](absorption="first-order", flip_flop=True)


@pytest.mark.parametrize(
    "name, residual",
    [
        ("additive", nb.Additive()), ("combined", nb.Combined()), ("combined-variance", nb.Combined("variance")),
        ("lognormal", nb.LogNormal()), ("student-t", nb.StudentT()), ("Power", nb.Power()),
    ],
)  # fmt: skip
def test_a_residual_by_name(name, residual):
    said = {"name": "emax", "residual": {"effect": name}}
    assert statement.model(said).residual == {"effect": residual}


def test_a_model_in_other_units():
    model = statement.model({"name": "one-compartment", "units": {"time": "day"}})
    assert [p.unit for p in model.parameters] == ["L/day", "L"]


def test_values_take_the_type_of_their_option():
    assert words.converted("2", Literal[1, 2], "n") == 2
    assert words.converted("1e-3", float, "x") == 0.001 and words.converted(3, float, "x") == 3.0
    assert words.converted("none", float | None, "x") is None and words.converted("2", float | None, "x") == 2.0
    assert words.converted("1,2", tuple[int, ...], "n") == (1, 2)
    for value, kind in (("1.5", int), (True, int), (1.0, int), ("yes", bool), ("3", Literal[1, 2])):
        with pytest.raises(words.StatementError, match="its values"):
            words.converted(value, kind, "n")


def test_a_prior_is_read_as_it_prints():
    prior = nb.Prior("Normal", mu={"Intercept": 250.0, "Days": -1.0}, sigma=[1.0, 2.0])
    assert repr(statement.prior(repr(prior), "theta_a")) == repr(prior)


def test_toml_written_is_toml_read():
    said = {
        "a": {"text": 'quo"te \\ \n \x7f é', "n": 3, "x": 1e-20, "on": True, "list": ["a", "b"], "pair": [1, 0.5]},
        "b": {"inner": {"key with space": "v", "deep": {"1": "conc"}}, "after": False, "mixed": [{"k": 1}, []]},
        "empty": {},
    }  # fmt: skip
    assert tomllib.loads(toml.written(said)) == said


def test_what_has_changed_since_a_statement_was_written(event_table):
    said = {"data": {"file": event_table[0], "sha256": "0"}, "versions": {"pymc": "1.0"}}
    first, second = statement.differences(said)
    assert first == "table.csv has changed since the statement was written"
    assert second.startswith("the statement was written with pymc 1.0, here is ")


def test_a_file_that_fails_is_not_half_written(tmp_path):
    with pytest.raises(KeyError), whole.file(tmp_path / "a.csv") as file:
        file.write_text("half", encoding="utf-8")
        raise KeyError
    with pytest.raises(KeyError), whole.folder(tmp_path / "results", ()) as folder:
        (folder / "a.csv").write_text("half", encoding="utf-8")
        raise KeyError
    assert list(tmp_path.iterdir()) == []


def test_force_replaces_a_folder_of_results(tmp_path):
    for text in ("first", "second"):
        with whole.folder(tmp_path / "results", ("a.csv",), force=True) as folder:
            (folder / "a.csv").write_text(text, encoding="utf-8")
    assert (tmp_path / "results" / "a.csv").read_text(encoding="utf-8") == "second"
    assert [p.name for p in tmp_path.iterdir()] == ["results"]


def test_grids():
    assert predict.grid_of(None, "0:2:5").tolist() == [0, 0.5, 1, 1.5, 2]
    assert predict.grid_of("0,1.5", None) == [0, 1.5] and predict.grid_of(None, None) is None
    for times, grid in (("0", "0:1:2"), (None, "0:1"), (None, "0:1:0"), ("a", None)):
        with pytest.raises(words.StatementError):
            predict.grid_of(times, grid)


def test_the_zoo_is_told_again_without_a_library_that_compiles(tmp_path):
    """In another process nothing heavy is imported."""
    code = (
        "import sys; from typer.testing import CliRunner; from nlmebayes.cli import app; "
        "found = [CliRunner().invoke(app, said).output for said in (['zoo'], ['zoo', 'emax'])]; "
        "print(found, [name for name in ('pymc', 'pytensor', 'numba', 'arviz', 'pandas') if name in sys.modules])"
    )
    environment = os.environ | {"PYTENSOR_FLAGS": f"base_compiledir={tmp_path}"}
    first, second = (
        subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    )
    assert "'pymc'" in first and second.strip().endswith("[]") and "emax" in second
    assert first.rsplit("[", 1)[0] == second.rsplit("[", 1)[0]
