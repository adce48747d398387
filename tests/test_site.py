"""The site of the documentation: what its pages are made of, and that all of it is there."""

from pathlib import Path

import jupytext
import pytest

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.py"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_says_its_field_its_question_and_its_data(path):
    header = jupytext.read(path).metadata["gallery"]
    assert {"field", "question", "asks", "data"} <= set(header)
    assert header["asks"].endswith("?") and header["data"].startswith(("real: ", "simulated", "none yet"))
