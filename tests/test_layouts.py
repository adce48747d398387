"""More than sixty tables as programs, laboratories and people write them (`tests/layouts`): the frame that each must
give, or the sentence that it must get."""

import tomllib
from pathlib import Path

import pandas as pd
import pytest
import transport
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import nlmebayes as nb
from model_zoo import LinearMixed

HOME = Path(__file__).parent / "layouts"
LAYOUTS = [each for path in sorted(HOME.glob("*.toml")) for each in tomllib.loads(path.read_text("utf-8"))["layout"]]


def read(layout, folder):
    encoding, sas = layout.get("encoding", "utf-8"), "transport" in layout
    path = folder / layout.get("file", "t.xpt" if sas else "t.csv")
    tables = [layout["transport"]] * layout.get("tables", 1) if sas else []
    files = [transport.written(table, layout.get("formats"), encoding) for table in tables]
    path.write_bytes(b"".join(files) or layout["text"].encode(encoding))
    options = dict(layout.get("options", {}))
    if isinstance(options.get("outcome"), dict):
        options["outcome"] = {int(code): name for code, name in options["outcome"].items()}
    reader = nb.Dataset.from_frame if layout.get("reader") == "frame" else nb.Dataset.from_nonmem
    return reader(path, **options)


@pytest.mark.parametrize("layout", LAYOUTS, ids=[each["is"] for each in LAYOUTS])
def test_a_table_gives_its_frame_or_its_sentence(layout, tmp_path):
    if "refused" in layout:
        with pytest.raises(nb.DataError) as refused:
            read(layout, tmp_path)
        assert layout["refused"] in str(refused.value)
        return
    data = read(layout, tmp_path)
    seen, time = data.observations, [data.time] if data.time else []
    assert seen[["row", data.levels[-1], *time, "value"]].to_numpy().tolist() == layout["observed"]
    known = seen.loc[seen["lower"].notna(), ["row", "lower", "upper"]]
    assert known.to_numpy(float).tolist() == [list(map(float, each)) for each in layout.get("censored", [])]
    doses = data.doses[[data.subject, *time, "amount"]] if time else data.doses
    assert doses.to_numpy().tolist() == layout.get("doses", [])
    assert (list(data.covariates), list(data.inputs)) == (layout.get("covariates", []), layout.get("inputs", []))
    assert (data.excluded, data.unit_of) == (layout.get("excluded", {}), layout.get("units", {}))


def test_there_are_sixty_layouts():
    assert len(LAYOUTS) >= 60
    assert len({each["is"] for each in LAYOUTS}) == len(LAYOUTS)


TIDY = {"outcome": "y", "levels": "id", "time": "time"}


def test_one_sheet_is_read_and_several_are_asked_about(tmp_path):
    frame, path = pd.DataFrame({"id": ["01", "01"], "time": [0.0, 1.0], "y": [1.0, "<0.5"]}), tmp_path / "t.xlsx"
    with pd.ExcelWriter(path) as book:
        frame.to_excel(book, sheet_name="data", index=False)
        pd.DataFrame().to_excel(book, sheet_name="notes")
    data = nb.Dataset.from_frame(path, **TIDY, lloq="<")
    assert data.observations[["id", "value"]].to_numpy().tolist() == [["01", 1.0], ["01", 0.5]]
    with pd.ExcelWriter(path, mode="a") as book:
        frame.to_excel(book, sheet_name="day2", index=False)
    with pytest.raises(
        nb.DataError, match=r"hold a table: 'data', 'day2'; give one: pd.read_excel\('t.xlsx', sheet_name"
    ):
        nb.Dataset.from_frame(path, **TIDY)


def test_a_package_that_is_not_there_is_told_with_its_mend(tmp_path, monkeypatch):
    def without(*_, **__):
        raise ImportError("Missing optional dependency 'openpyxl'.")

    monkeypatch.setattr(pd, "read_excel", without)
    (tmp_path / "t.xlsx").write_bytes(b"PK")
    with pytest.raises(nb.DataError, match=r"pip install 'nlmebayes\[excel\]'; or save the sheet as CSV"):
        nb.Dataset.from_frame(tmp_path / "t.xlsx", **TIDY)


def test_parquet_is_read_and_a_broken_file_is_told(tmp_path):
    path = tmp_path / "t.parquet"
    pd.DataFrame({"id": ["01", "02"], "time": 0.0, "y": [1.0, 2.0]}).to_parquet(path)
    assert nb.Dataset.from_frame(path, **TIDY).observations["id"].tolist() == ["01", "02"]
    path.write_bytes(b"PAR1")
    with pytest.raises(nb.DataError, match=r"t.parquet cannot be read: "):
        nb.Dataset.from_frame(path, **TIDY)


@pytest.mark.parametrize("decimal", [".", ","])
@pytest.mark.parametrize("separator", [";", "\t"])
def test_what_pandas_writes_is_read_back(tmp_path, decimal, separator):
    """Numbers of any size and the labels, whatever parts cells and decimals."""
    frame = pd.DataFrame({"id": ["01", "1", "é;x"], "time": [0.0, 1.25, 1e-9], "y": [1e300, -0.001, 12.5], "x": "1,2"})
    frame.to_csv(tmp_path / "t.csv", sep=separator, decimal=decimal, index=False)
    if decimal == ".":
        with pytest.raises(nb.DataError, match="row 1, column x: '1,2' has a decimal comma, or is a list"):
            nb.Dataset.from_frame(tmp_path / "t.csv", **TIDY, decimal=decimal)
        return
    data = nb.Dataset.from_frame(tmp_path / "t.csv", **TIDY, decimal=decimal)
    assert (
        data.observations[["id", "time", "value"]].to_numpy().tolist() == frame[["id", "time", "y"]].to_numpy().tolist()
    )


def test_doses_beside_a_table_follow_its_names_and_none_of_its_rules():
    seen = pd.DataFrame({"SUBJ": [1, 1], "T": [1.0, 2.0], "CONC": [5.0, 900.0]})
    doses = pd.DataFrame({"SUBJ": [1], "T": [0.0], "amt": [100.0]})
    data = nb.Dataset.from_frame(
        seen, outcome="y", levels="id", time="time", doses=doses, columns={"SUBJ": "id", "T": "time", "CONC": "y"},
        ignore="y.GT.100",
    )  # fmt: skip
    assert data.doses[["id", "time", "amount"]].to_numpy().tolist() == [["1", 0.0, 100.0]]
    assert data.observations["row"].tolist() == [1]
    assert data.excluded == {"ignored (y.GT.100)": 1}
    assert "columns: SUBJ is id, T is time, CONC is y" in repr(data)


def test_a_pages_title_of_a_printed_table_comes_back_after_900_records(tmp_path):
    page = "TABLE NO.  1\n ID TIME DV\n"
    lines = [f" 1.0000E+00 {t:.4E} 1.0000E+00\n" for t in range(1000)]
    (tmp_path / "sdtab1").write_text(page + "".join(lines[:900]) + page + "".join(lines[900:]))
    data = nb.Dataset.from_nonmem(tmp_path / "sdtab1")
    assert data.observations["time"].tolist() == list(map(float, range(1000)))
    assert "five digits" in repr(data)


def test_a_short_line_far_down_is_refused(tmp_path):
    """Its cells would stand below the wrong names."""
    lines = ["ID TIME AMT DV", *(f"1 {t} . {t}.5" for t in range(200)), "1 200 3.5"]
    (tmp_path / "t.txt").write_text("\n".join(lines))
    with pytest.raises(nb.DataError, match="row 201, column DV: the line has fewer cells"):
        nb.Dataset.from_nonmem(tmp_path / "t.txt")


NUMBERS = st.decimals(-1e6, 1e6, places=3, allow_nan=False).map(lambda x: x.normalize()).filter(lambda x: x != 0)
TABLES = st.lists(st.tuples(st.sampled_from(["01", "a b", "é", "1E1", "7"]), NUMBERS, NUMBERS), min_size=2, max_size=5)


def spelled(rows, separator, decimal, quotes, titles, ends, break_):
    """The text of a table ``id, y, x`` in one of the ways in which people write one."""

    def cell(value):
        text = f"{value:f}".replace(".", decimal) if not isinstance(value, str) else value
        return f'"{text}"' if quotes or (separator in text) else text

    lines = [[f'"{i}"'] * bool(titles) + [cell(value) for value in row] for i, row in enumerate(rows, 1)]
    header = ['""'] * (titles == "named") + ["id", "y", "x"]
    return break_.join(separator.join(line) + separator * ends for line in [header, *lines]) + break_


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    TABLES, st.sampled_from([",", ";", "\t", "|", " "]), st.sampled_from([".", ","]), st.booleans(),
    st.sampled_from(["", "unnamed", "named"]), st.booleans(), st.sampled_from(["\n", "\r\n", "\r"]),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]), st.booleans(),
)  # fmt: skip
def test_a_table_is_read_as_it_was_meant_or_refused(
    tmp_path, rows, separator, decimal, quotes, titles, ends, break_, encoding, said
):
    """However it is spelled: the same labels and numbers, or a sentence; never other ones."""
    text = spelled(rows, separator, decimal, quotes, titles, ends and separator != " ", break_)
    (tmp_path / "t.csv").write_bytes(text.encode(encoding))
    options = {"decimal": decimal} if said else {}
    try:
        data = nb.Dataset.from_frame(
            tmp_path / "t.csv", outcome="y", levels="id", duplicates="keep", missing=(), **options
        )
    except nb.DataError:
        return
    seen = data.observations
    assert seen[["id", "value", "x"]].to_numpy().tolist() == [[label, float(y), float(x)] for label, y, x in rows]


def test_a_frame_with_bytes_or_the_zeros_of_a_sas_file_is_refused():
    """As pandas' `read_sas` gives them."""
    frame = pd.DataFrame({"ID": [b"01", b"01"], "TIME": [0.0, 1.0], "AMT": [100.0, None], "DV": [None, 3.0]})
    with pytest.raises(nb.DataError, match="row 1, column ID: b'01' is of bytes, no text; give the path"):
        nb.Dataset.from_nonmem(frame)
    with pytest.raises(nb.DataError, match=r"row 2, column TIME: 5.39.*e-79 is what pandas reads for the 0 of a SAS"):
        nb.Dataset.from_nonmem(frame.assign(ID="01", TIME=[0.0, 2.0**-260]))


def test_a_rule_that_is_true_of_no_record_is_remarked_on():
    frame = pd.DataFrame({"ID": 1, "TIME": [0, 1, 2], "AMT": [100, 0, 0], "DV": [0.0, 3.0, 2.0], "STUDY": [1, 1, 2]})
    data = nb.Dataset.from_nonmem(frame, ignore=["(STUDY.EQ.3, STUDY.EQ.2)"], accept="TIME.LT.9")
    assert data.notes == ("ignore: no record has STUDY.EQ.3",)
    assert "ignore: no record has STUDY.EQ.3" in repr(data)


def test_labels_of_a_frame_with_points_stay_text():
    """Of ``.`` in another row nobody becomes a number: 01 and 1 are two people."""
    frame = pd.DataFrame({"id": ["01", "1", "1"], "y": ["1.5", ".", "2,5"], "x": ["007", ".", "12"]})
    data = nb.Dataset.from_frame(frame.replace("2,5", "2.5"), outcome="y", levels="id", unmeasured="predict")
    assert data.observations["id"].tolist() == ["01", "1", "1"]
    assert data.observations["x"].tolist()[::2] == ["007", "12"]
    assert data.observations["value"].tolist()[::2] == [1.5, 2.5]


def test_a_column_with_a_slash_in_its_name_is_kept_by_a_tree():
    frame = pd.DataFrame({"id": [1, 1, 2], "time": [0.0, 1.0, 1.0], "y": 1.0, "dose mg/kg": [4.0, 4.0, 5.0]})
    data = nb.Dataset.from_frame(frame, outcome="y", levels="id", time="time")
    tree = nb.simulate(nb.Model(LinearMixed()), data, draws=2, random_seed=1)
    pd.testing.assert_frame_equal(nb.training_dataset(tree).observations, data.observations, check_dtype=False)
