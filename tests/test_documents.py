"""What the documents print runs as printed."""

import re
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytensor.tensor as pt
import pytest

import nlmebayes as nb
from nlmebayes.structure.structure import Named

ROOT = Path(__file__).parent.parent


def blocks(name):
    return re.findall(r"```python\n(.*?)```", (ROOT / name).read_text(encoding="utf-8"), flags=re.DOTALL)


def test_the_readme_runs_as_printed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (code,) = blocks("README.md")
    names = {}
    exec(compile(code, "README.md", "exec"), names)
    assert names["forecast"]["posterior"].sizes["unit"] == 1
    assert (tmp_path / "population.nc").is_file()


def test_the_skeleton_of_a_zoo_model_is_a_model():
    (code,) = blocks("CONTRIBUTING.md")
    names = {"__name__": "skeleton"}
    exec(compile(code, "CONTRIBUTING.md", "exec"), names)
    structure = names["MonomolecularGrowth"]()
    frame = pd.DataFrame({"id": [1, 1, 2, 2], "day": [0.0, 10.0, 0.0, 10.0], "size": 1.0})
    data = nb.Dataset.from_frame(frame, outcome="size", time="day", levels="id")
    values = {"theta_asym": np.log([50.0]), "theta_k": np.log([0.2]), "omega_id": [1e-9, 1e-9], "sigma_size_a": 1e-9}
    f = nb.simulate(nb.Model(structure), data, values=values, draws=1)["prior"]["f_size"].to_numpy().ravel()
    assert f == pytest.approx(50 * (1 - np.exp([0.0, -2.0, 0.0, -2.0])), abs=1e-6)


def test_the_system_of_its_page_is_a_model():
    code, cases = blocks("docs/systems.md")
    names = {"__name__": "page", "pt": pt}
    exec(compile(code, "docs/systems.md", "exec"), names)
    frame = pd.DataFrame({"id": [1, 1, 2], "time": [1.0, 8.0, 3.0], "conc": 1.0, "wt": 70.0})
    doses = pd.DataFrame({"id": [1, 2], "time": 0.0, "amt": 100.0, "wt": 70.0})
    data = nb.Dataset.from_frame(frame, outcome="conc", time="time", levels="id", doses=doses)
    f = nb.simulate(names["model"], data, draws=2, random_seed=1)["prior"]["f_conc"]
    assert (f > 0).all()
    exec(compile(cases, "docs/systems.md", "exec"), names)
    p = Named(threshold=2.0, v=10.0, meal=2.0, rate=5.0, fast=0.5, slow=0.1)
    central = [
        names["rhs"](None, pt.constant(float(t)), Named(central=pt.constant(y)), p)["central"].eval(mode="FAST_COMPILE")
        for t, y in ((25, 30.0), (3, 10.0))
    ]
    assert central == pytest.approx([5.0 - 0.5 * 30, -0.1 * 10])


def test_the_page_of_pictures_runs_as_printed():
    for code in blocks("docs/pictures.md"):
        exec(compile(code, "docs/pictures.md", "exec"), {})
    plt.close("all")


def test_the_page_of_criticism_runs_as_printed():
    names = {}
    for code in blocks("docs/criticism.md"):
        exec(compile(code, "docs/criticism.md", "exec"), names)
    assert np.isfinite(names["late"][["CWRES", "npde"]]).all(axis=None)


def test_the_page_of_dosing_runs_as_printed():
    names = {}
    for code in blocks("docs/dosing.md"):
        exec(compile(code, "docs/dosing.md", "exec"), names)
    assert names["table"]["reduction"].is_monotonic_decreasing
    plt.close("all")


def test_the_models_of_the_page_of_outcomes_are_models():
    names = {"__name__": "page"}
    for code in blocks("docs/outcomes.md"):
        exec(compile(code, "docs/outcomes.md", "exec"), names)
    assert list(names["built"].coords["share_term"]) == ["Intercept", "period[2]", "period[3]", "period[4]"]
    frame = pd.DataFrame({"id": [1, 1, 2], "time": [0.0, 1.0, 0.0], "marker": 1.0, "death": [3.0, np.nan, 2.0]})
    data = nb.Dataset.from_frame(frame, outcome=("marker", "death"), levels="id", time="time")
    assert (nb.simulate(names["model"], data, draws=2, random_seed=1)["prior"]["f_death"] > 0).all()


def test_the_page_of_the_likelihood_runs(capsys):
    (code,) = blocks("docs/likelihood.md")
    exec(compile(code, "docs/likelihood.md", "exec"), {})
    assert "omega_id ka" in capsys.readouterr().out


def test_the_comparison_of_its_page_is_that_of_lme4(capsys):
    maxima, fits = blocks("docs/comparison.md")
    names = {}
    exec(compile(maxima, "docs/comparison.md", "exec"), names)
    table = nb.compare(names["maxima"]).table["minus2ll"].round(2).to_dict()
    assert table == {"slopes": 1751.94, "intercepts": 1794.08}
    printed = capsys.readouterr().out
    assert all(text in printed for text in ("1751.94", "1794.08", "bicc_delattre"))
    compile(fits, "docs/comparison.md", "exec")


def test_the_pages_on_reading_and_exports_run_as_printed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = "PATIENT,TIME,AMT,CONC,STUDY,WT\nx,0,100,.,1,70\n1,0,100,-99,1,70\n1,2,0,BLQ,1,70\n2,2,0,7,2,-99\n"
    (tmp_path / "pk.csv").write_text(rows, encoding="utf-8")
    for page in ("reading", "exports"):
        (code,) = blocks(f"docs/{page}.md")
        exec(compile(code, f"docs/{page}.md", "exec"), {})
    assert (tmp_path / "population.parquet").is_file()


def test_the_page_of_designs_runs_as_printed(tmp_path):
    names = {}
    for code in blocks("docs/design.md"):
        exec(compile(code, "docs/design.md", "exec"), names)
    assert names["found"].efficiency > 1 and 0.05 < names["effect"].power("cl: treatment") < 1
    (text,) = re.findall(r"```toml\n(.*?)```", (ROOT / "docs/design.md").read_text(encoding="utf-8"), flags=re.DOTALL)
    (tmp_path / "design.toml").write_text(text, encoding="utf-8")
    assert nb.Design.from_toml(tmp_path / "design.toml").records == 60
