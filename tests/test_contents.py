"""`Dataset.summary`: what a dataset holds, beside counts by hand."""

import numpy as np
import pandas as pd
import pytest

import nlmebayes as nb

TEXT = """ID,TIME,AMT,RATE,ADDL,II,SS,DV,DVID,OCC,WT,SEX,CRP
1,0,100,50,1,12,0,.,1,1,70,f,5
1,1,.,.,.,.,.,3.5,1,1,70,f,5
1,2,.,.,.,.,.,<0.5,1,1,70,f,.
1,24,.,.,.,.,.,.,1,2,70,f,7
1,25,.,.,.,.,.,8.5,2,2,70,f,7
2,0,80,0,0,12,1,.,1,1,.,m,1
2,1,.,.,.,.,.,4.5,1,1,.,m,2
2,2,.,.,.,.,.,>50,2,1,.,m,3
"""


@pytest.fixture
def data(tmp_path):
    (tmp_path / "t.csv").write_text(TEXT)
    return nb.Dataset.from_nonmem(
        tmp_path / "t.csv", outcome={1: "conc", 2: "effect"}, levels=("id", "occ"), lloq="<", uloq=">",
        units={"conc": "mg/L", "amount": "mg", "time": "h", "WT": "kg"},
    )  # fmt: skip


def test_every_table_counts_what_is_there(data):
    found = data.summary()
    assert found.levels.to_numpy().tolist()[1] == ["occ", 3, 1.0, 1.5, 2.0]
    first = ["outcome", "unit", "records", "subjects", "below", "above", "predicted", "min", "max"]
    assert found.outcomes[first].to_numpy().tolist() == [
        ["conc", "mg/L", 3, 2, 1, 0, 0, 3.5, 4.5], ["effect", "", 2, 2, 0, 1, 0, 8.5, 8.5],
    ]  # fmt: skip
    assert found.times.to_numpy().tolist() == [["conc", "h", 1.0, 2.0], ["effect", "h", 2.0, 25.0]]
    assert found.doses.to_numpy().tolist() == [["default", "mg", 2, 3, 2, 1, 1, 80.0, 90.0, 100.0]]
    about = found.covariates.set_index("column")
    assert about.loc["WT", ["unit", "varies", "values", "missing", "min", "max"]].tolist() == [
        "kg",
        False,
        3,
        1,
        70.0,
        70.0,
    ]
    assert about.loc["CRP", ["varies", "values", "missing", "min", "max"]].tolist() == [True, 5, 1, 2.0, 7.0]
    assert about.loc["SEX", "categories"] == "f (2), m (1)"
    assert found.excluded.to_numpy().tolist() == [["conc is missing", 1]]


def test_it_prints_and_leaves_out_what_is_empty(data):
    text = repr(data.summary())
    assert "WT" in text and "conc is missing" in text and "nan" not in text.lower() and "notes" not in text
    plain = nb.Dataset.from_frame(pd.DataFrame({"y": [1.0, np.nan, 2.0], "id": [1, 1, 2]}), outcome="y", levels="id")
    assert list(plain.summary().tables) == ["levels", "outcomes", "excluded"]
