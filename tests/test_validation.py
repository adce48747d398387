"""The page of validation is what its script writes from the result files, each of which says where it comes from."""

import runpy
from datetime import date
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def maker():
    return runpy.run_path(str(ROOT / "docs" / "make_validation.py"))


def test_the_page_is_what_the_script_writes(maker):
    assert (ROOT / "docs" / "validation.md").read_text(encoding="utf-8") == maker["page"]()


def test_each_result_says_its_command_its_day_its_machine_and_its_versions(maker):
    for name, study in maker["results"].read().items():
        assert date.fromisoformat(study["date"]) and "cores, Python" in study["machine"], name
        assert {"nlmebayes", "pymc", "nutpie"} <= set(study["versions"]), name
        assert study["command"] or study["transferred"], name
        assert "/" not in (study["command"] or "").replace("benchmarks/", "").replace("tests/", ""), name


def test_a_study_keeps_its_result_without_the_places_of_this_machine(maker, tmp_path, monkeypatch):
    results = maker["results"]
    monkeypatch.setattr(results, "FOLDER", tmp_path / "project" / "benchmarks" / "results")
    given = ["benchmarks/large.py", "--subjects", "5000", "--data", "/somewhere/else"]
    monkeypatch.setattr("sys.argv", [str(tmp_path / "project" / given[0]), *given[1:]])
    results.FOLDER.parent.mkdir(parents=True)
    results.keep("large", others={"pystan": "3.14.0"}, rhat=1.01)
    kept = results.read()["large"]
    assert kept["command"] == "python benchmarks/large.py --subjects 5000 --data PATH"
    assert kept["rhat"] == 1.01 and kept["versions"]["pystan"] == "3.14.0"


def test_counts_of_the_page(maker):
    assert [maker["reached"](n) for n in (24, 16, 14)] == [16, 10, 8]
    assert maker["short"]("3e-06") == "3e-6" and maker["short"]("1e+06") == "1e6"
