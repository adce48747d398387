"""Cells of a notebook run in this process show what Jupyter shows, and a run is kept for the site."""

import base64
import io
import pickle

import matplotlib.pyplot as plt
import pandas as pd
import pytest
from PIL import Image

from making import cells, notebooks

SCRIPT = """# ---
# jupyter:
#   gallery:
#     field: Tests
# ---

# %% [markdown]
# # A title

# %%
from dataclasses import dataclass
import pandas as pd
import matplotlib.pyplot as plt

@dataclass
class Law:
    rate: float

print("one")
print("two")
law = Law(2.0)

# %%
pd.DataFrame({"a": [law.rate]})

# %%
figure, axis = plt.subplots(figsize=(3, 2), dpi=100, layout="constrained")
axis.set(title="drawn")

# %%
law.rate;

# %%
plt.get_fignums()
"""


@pytest.fixture
def notebook(tmp_path, monkeypatch):
    monkeypatch.setattr(notebooks, "CACHE", tmp_path / "cache")
    (tmp_path / "small.py").write_text(SCRIPT, encoding="utf-8")
    return notebooks.Notebook(tmp_path / "small.py")


def made(executed):
    return [[dict(output) for output in cell.outputs] for cell in executed.cells if cell.cell_type == "code"]


def test_each_cell_has_what_it_printed_its_last_value_and_its_figures(notebook):
    plt.figure()  # of somebody else
    executed, names = notebooks.run(notebook, short=True)
    printed, table, drawn, silent, after = made(executed)
    assert [(each["name"], each["text"]) for each in printed] == [("stdout", "one\ntwo\n")]
    frame = pd.DataFrame({"a": [2.0]})
    assert table[0]["data"] == {"text/plain": repr(frame), "text/html": frame._repr_html_()}
    assert [each["output_type"] for each in drawn] == ["execute_result", "display_data"]
    with Image.open(io.BytesIO(base64.b64decode(drawn[1]["data"]["image/png"]))) as image:
        assert image.size == (300, 200)
    assert silent == [] and after[0]["data"]["text/plain"] == "[]"  # as in Jupyter, a figure ends with its cell
    assert pickle.loads(pickle.dumps(names["law"])) == names["law"]


def test_a_run_is_kept_for_the_site_which_shows_no_names_of_artists(notebook):
    assert notebooks.best(notebook)[1] == "none"
    executed, _ = notebooks.run(notebook, short=True)
    shown, length = notebooks.best(notebook)
    assert length == "full"  # nothing in it depends on the length of chains
    assert made(shown)[2] == made(executed)[2][1:]
    assert notebooks.printed(shown) == "one\ntwo\n" and len(notebooks.pictures(shown)) == 1


def test_nothing_is_kept_of_a_run_that_fails(notebook):
    notebook.path.write_text(SCRIPT + "\n# %%\nlaw.volume\n", encoding="utf-8")
    with pytest.raises(AttributeError, match="volume") as failed:
        notebooks.run(notebook, short=True)
    assert "cell 6" in str(failed.traceback[-1].path)
    assert notebooks.best(notebook)[1] == "none"


@pytest.mark.parametrize("code", ["", "# nothing", "x = 1"])
def test_a_cell_may_show_nothing(code):
    assert cells.outputs(code, {}, "cell") == []
