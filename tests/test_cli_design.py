"""``nlmebayes design``: the errors that a planned study of a published or fitted population is expected to have."""

import pandas as pd
import pytest
from typer.testing import CliRunner

import nlmebayes as nb
from nlmebayes.cli import app

RUN = CliRunner()


@pytest.fixture(scope="module")
def planned(tmp_path_factory):
    design = nb.Design([nb.Arm(20, [1, 6, 11, 24], doses={"time": 0, "amt": 1500, "duration": 1}, lloq=0.5,
                               covariates={"wt": 70.0, "crcl": 66.0})])  # fmt: skip
    path = tmp_path_factory.mktemp("design") / "design.toml"
    design.to_toml(path)
    return design, path


def run(*said):
    return RUN.invoke(app, ["design", *map(str, said)])


def test_errors_of_a_published_population_are_those_of_information(planned, tmp_path):
    design, path = planned
    found = run("vancomycin_buelga_2005", path, "--out", tmp_path / "out", "--power", "v")
    assert found.exit_code == 0, found.output
    told = nb.information(nb.published("vancomycin_buelga_2005"), design)
    assert str(told) in found.stdout
    assert f"80 % with {told.subjects_for('v')}" in found.stdout
    table = pd.read_csv(tmp_path / "out" / "information.csv", index_col=0)
    assert table["rse"].to_numpy() == pytest.approx(told.table["rse"].to_numpy())
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"design.png", "information.csv", "shrinkage.csv"}


def test_options_are_those_of_information(planned):
    design, path = planned
    found = run("vancomycin_buelga_2005", path, "--method", "full", "--fixed", "omega_id", "--variances")
    tree = nb.published("vancomycin_buelga_2005")
    assert str(nb.information(tree, design, method="full", fixed=["omega_id"], variances=True)) in found.stdout


def test_the_best_times_are_those_of_optimise_design(planned, tmp_path):
    design, path = planned
    out = tmp_path / "best"
    found = run("vancomycin_buelga_2005", path, "--optimise", "times=0.5:24", "--step", "times=0.5", "--out", out)
    assert found.exit_code == 0, found.output
    tree = nb.published("vancomycin_buelga_2005")
    best = nb.optimise_design(tree, design, free={"times": (0.5, 24.0)}, step={"times": 0.5}).rounded
    assert nb.Design.from_toml(out / "optimal.toml") == best
    assert str(nb.information(tree, best)) in found.stdout
    assert (out / "design.png").stat().st_size > 0


@pytest.mark.parametrize(
    ("said", "part"),
    [
        (("vancomycin_buelga_2005", "nowhere.toml"), "nowhere.toml"),
        (("vancomycin_bulga_2005", "{path}"), "vancomycin_buelga_2005"),
        (("vancomycin_buelga_2005", "{path}", "--method", "first"), "'fo', 'full', 'foce' or 'exact'"),
        (("vancomycin_buelga_2005", "{path}", "--power", "clearance"), "no parameter 'clearance'"),
        (("vancomycin_buelga_2005", "{path}", "--optimise", "times"), "write --optimise times=0.5:24"),
        (("vancomycin_buelga_2005", "{path}", "--optimise", "times=3"), "write --optimise times=0.5:24"),
        (("vancomycin_buelga_2005", "{path}", "--optimise", "length=3:4"), "names 'length'; what may change are times"),
        (("vancomycin_buelga_2005", "{path}", "--step", "times=1"), "--step needs --optimise"),
    ],
)
def test_what_cannot_be_told_is_one_line(planned, said, part):
    found = run(*(word.format(path=planned[1]) for word in said))
    assert found.exit_code == 1 and part in found.stderr and len(found.stderr.splitlines()) == 1
