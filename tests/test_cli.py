import pandas as pd
import pytest
from typer.testing import CliRunner

from nlmebayes.cli import app

RUN = CliRunner()


def test_zoo_lists_models_with_parameters_and_units():
    found = RUN.invoke(app, ["zoo"])
    assert found.exit_code == 0
    assert "OneCompartment: One compartment with linear elimination" in found.stdout
    assert "cl" in found.stdout and "L/h" in found.stdout


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
