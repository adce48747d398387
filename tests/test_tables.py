"""Tables as people have them: separators, decimals, comments, flags, clocks that start anew, limits as text."""

import datetime

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

import nlmebayes as nb
from model_zoo import OneCompartment
from nlmebayes.app import predict
from nlmebayes.data.dataset import RECORDS, Dataset
from nlmebayes.data.events import MOST
from nlmebayes.data.validate import DataError
from nlmebayes.dosing import wanted
from nlmebayes.evaluation.evaluator import evaluator
from nlmebayes.formula.design import resolve
from nlmebayes.words import StatementError

quick = settings(deadline=None, max_examples=20)
HEAD = "ID,TIME,AMT,DV\n"
PLAIN = HEAD + "1,0,1.5,.\n1,1,.,2.25\n"


@pytest.fixture
def read(tmp_path):
    """Read the text of an event table."""

    def from_text(text, **options):
        (tmp_path / "t.csv").write_text(text, encoding="utf-8", newline="")
        return Dataset.from_nonmem(tmp_path / "t.csv", **options)

    return from_text


# --- how the cells are parted ----------------------------------------------------------------------------------------

SPELLINGS = {
    "tabs": PLAIN.replace(",", "\t"),
    "blanks": " " + PLAIN.replace(",", "  ").replace("\n", "\n ").rstrip(" "),
    "semicolons": PLAIN.replace(",", ";"),
    "decimal commas": PLAIN.replace(",", ";").replace("1.5", "1,5").replace("2.25", "2,25"),
    "decimal commas and tabs": PLAIN.replace(",", "\t").replace("1.5", "1,5").replace("2.25", "2,25"),
    "quotes": PLAIN.replace("1.5", '"1.5"').replace("ID", '"ID"'),
    "a byte order mark": "\ufeff" + PLAIN,
    "Windows lines": PLAIN.replace("\n", "\r\n"),
    "lines of an old Macintosh": PLAIN.replace("\n", "\r"),
    "a header that is a comment": "#" + PLAIN,
    "comments before the header": "# of a trial, 2020\n\n#" + PLAIN,
    "blank lines": "\n" + PLAIN.replace("\n", "\n\n"),
    "blanks about the cells": PLAIN.replace(",", " , "),
}


@pytest.mark.parametrize("text", SPELLINGS.values(), ids=SPELLINGS)
def test_a_table_says_the_same_in_every_spelling(read, text):
    plain, other = read(PLAIN), read(text)
    assert_frame_equal(other.observations, plain.observations)
    assert_frame_equal(other.doses, plain.doses)
    assert other.excluded == {}


UNREAD = {
    "1,0,1,.\n1,1,.,2\n": "its first line holds numbers, '1,0,1,.'; write the names of the columns above it",
    "ID;TIME;AMT;DV\n1;0;1,5;.\n1;1;.;2.25\n": "with a point and with a comma .2.25 and 1,5.; use one",
    HEAD + "1,0,1,.,9\n1,1,.,2,9\n": "row 1: has more cells than there are names of columns",
    HEAD + "1,0,1,.\n1,1,.,2,9\n": "cannot be read as CSV: .*Expected 4 fields in line 2, saw 5",
    "": "holds no line with the names of columns",
    HEAD: "no rows",
    "# nothing but this\n": "holds no line with the names of columns",
    "ID,TIME,AMT,DV,WT,WT\n1,0,1,.,70,70\n": "column WT occurs twice; leave one out, or rename it",
}


@pytest.mark.parametrize(("text", "message"), UNREAD.items(), ids=range(len(UNREAD)))
def test_what_cannot_be_read_is_told_with_its_mend(read, text, message):
    with pytest.raises(DataError, match=f"t.csv.*{message}"):
        read(text)


@pytest.mark.parametrize("path", [None, 1, 1.5, [1], {"a": 1}, b"x", pd.Series([1]), "no\0file", "x" * 5000])
def test_what_is_no_table_is_told_in_a_sentence(path):
    for reader in (Dataset.from_nonmem, lambda x: Dataset.from_frame(x, outcome="y", levels="id")):
        with pytest.raises(DataError, match=r"give a DataFrame or the path of a CSV file; got|no file"):
            reader(path)


def test_a_file_in_another_encoding_is_told(tmp_path):
    (tmp_path / "t.csv").write_bytes("ID,TIME,DV,X\n1,0,1,é\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"t.csv cannot be read as text: .*encoding='cp1252' .*or save it as UTF-8"):
        Dataset.from_nonmem(tmp_path / "t.csv")


@pytest.mark.parametrize("kind", ["gz", "bz2", "xz"])
def test_a_compressed_table_is_read_and_a_broken_one_is_told(tmp_path, kind):
    path = tmp_path / f"t.csv.{kind}"
    pd.DataFrame({"ID": [1], "TIME": [0], "DV": [2]}).to_csv(path, index=False)
    assert Dataset.from_nonmem(path).observations["value"].tolist() == [2.0]
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(DataError, match=r"t.csv.\w+ cannot be read"):
        Dataset.from_nonmem(path)


# --- flags -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mark", ["C", "c", "@", "#"])
@pytest.mark.parametrize("none", [".", "", "0"])
def test_flagged_records_are_left_out_and_counted(read, mark, none):
    """IGNORE=C and IGNORE=@: whatever a flagged record holds; rows keep their numbers."""
    data = read(f"C,{HEAD}{none},1,0,1,.\n{mark},1,0.5,.,haemolysed\n{none},1,1,.,2\n")
    assert data.observations[["row", "value"]].to_numpy().tolist() == [[3, 2.0]]
    assert data.excluded == {"flagged to be ignored (C, or #)": 1}
    assert data.covariates == data.inputs == ()


def test_a_column_of_flags_may_stand_anywhere_and_flag_doses(read):
    data = read("ID,TIME,AMT,DV,C\n1,0,1,.,.\n1,0,9,.,C\n1,1,.,2,.\n")
    assert data.doses["amount"].tolist() == [1.0]
    assert "flagged to be ignored (C, or #)" in repr(data)


def test_lines_that_are_comments_are_left_out_and_counted(read):
    """IGNORE=#, NONMEM's default; the line of names is none of them."""
    data = read("#" + HEAD + "1,0,1,.\n#1,0.5,.,9, of another, patient\n1,1,.,2\n")
    assert data.observations["row"].tolist() == [3]
    assert data.excluded == {"flagged to be ignored (C, or #)": 1}


def test_flags_that_could_be_a_covariate_are_asked_about(read):
    with pytest.raises(DataError, match="row 2, column C: 1 flags a record to be ignored, or is a covariate: take the"):
        read("ID,TIME,AMT,DV,C\n1,0,1,.,0\n1,0.5,.,9,1\n1,1,.,2,0\n")


def test_a_column_c_of_other_labels_is_a_covariate_and_all_flagged_is_an_error(read):
    assert read("ID,TIME,DV,C\n1,0,1,A\n2,0,1,C\n").covariates == ("C",)
    with pytest.raises(DataError, match="every record is flagged to be ignored"):
        read("C,ID,TIME,DV\nC,1,0,1\n")


# --- clocks that start anew ------------------------------------------------------------------------------------------

CYCLES = HEAD + "1,0,100,.\n1,24,.,2\n1,0,100,.\n1,24,.,3\n"


@pytest.mark.parametrize("sort", [False, True])
@pytest.mark.parametrize("text", [CYCLES, HEAD + "1,-1,.,0\n1,0,9,.\n1,8,.,2\n1,-1,.,0\n1,2,9,.\n1,24,.,3\n"])
def test_cycles_are_never_laid_on_one_another(read, text, sort):
    with pytest.raises(DataError, match=r"column TIME: the clock starts anew, at .*, within id 1.*: let time go on"):
        read(text, sort=sort)


def test_cycles_whose_time_goes_on_are_read(read):
    assert read(CYCLES.replace("1,0,100,.\n1,24,.,3", "1,168,100,.\n1,192,.,3")).doses["time"].tolist() == [0, 168]


def test_a_clock_that_starts_anew_at_a_reset_is_not_sorted_away(read):
    text = "ID,TIME,AMT,DV,EVID\n1,0,100,.,1\n1,24,.,2,0\n1,0,100,.,4\n1,24,.,3,0\n"
    with pytest.raises(DataError, match="the clock starts anew"):
        read(text, sort=True)


def test_doses_listed_before_samples_may_be_sorted(read):
    assert read(HEAD + "1,0,9,.\n1,24,9,.\n1,0,.,0\n1,25,.,3\n", sort=True).observations["time"].tolist() == [0, 25]


def test_cycles_of_a_tidy_frame_are_never_laid_on_one_another():
    frame = pd.DataFrame({"id": 1, "time": [1.0, 8.0, 1.0, 8.0], "y": [1.0, 2, 3, 4]})
    doses = pd.DataFrame({"id": 1, "time": [0.0, 0.0], "amt": 5.0})
    with pytest.raises(DataError, match="row 3, column time: the clock starts anew, at 1"):
        Dataset.from_frame(frame, outcome="y", levels="id", time="time", doses=doses, sort=True)
    back = pd.DataFrame({"id": 1, "time": [0.0, 24.0, 0.0], "amt": 5.0})
    with pytest.raises(DataError, match="doses, row 3, column time: the clock starts anew, at 0"):
        Dataset.from_frame(frame, outcome="y", levels="id", time="time", doses=back, sort=True)


# --- steady states, limits, dates ------------------------------------------------------------------------------------


def test_two_steady_states_at_one_time_are_told_of_nonmems_rule(read):
    text = "ID,TIME,AMT,DV,SS,II\n1,0,100,.,1,24\n1,0,50,.,{},12\n1,1,.,2,0,0\n"
    with pytest.raises(
        DataError, match=r"row 2, column SS: .*row 1, at the same time, would be lost .as in NONMEM.; wi"
    ):
        read(text.format(1))
    assert read(text.format(2)).doses["ss"].tolist() == [1, 2]


@pytest.mark.parametrize("between", ["1,0,.,3,0,0,0", "1,0,.,.,0,0,3"])
def test_a_steady_state_that_was_seen_or_wiped_may_be_followed_by_another(read, between):
    text = f"ID,TIME,AMT,DV,SS,II,EVID\n1,0,100,.,1,24,1\n{between}\n1,0,50,.,1,12,1\n1,1,.,2,0,0,0\n"
    assert read(text).doses["ss"].tolist() == [1, 1]
    assert len(read(text.replace(between + "\n", "").replace("50,.,1,12,1", "50,.,1,12,4")).doses) == 2


@pytest.mark.parametrize("record", ["1,0,9,.,99,0", "1,0,9,.,99,24", "1,0,9,.,1,0", "1,0,0,.,99,0", "1,0,0,.,1,0"])
def test_a_placeholder_in_ss_is_told_to_be_left_empty(read, record):
    with pytest.raises(DataError, match=r"row 1, column SS: .*leave (it|SS) empty"):
        read(f"ID,TIME,AMT,DV,SS,II\n{record}\n1,1,.,2,0,0\n")


@pytest.mark.parametrize("text", ["<0.5", "BLQ", "n.d."])
def test_a_limit_as_text_is_told_of_cens_and_lloq(read, text):
    with pytest.raises(DataError, match=r"column DV: '.*' is text where a number belongs; .* 1 in CENS, or .*lloq="):
        read(HEAD + f"1,0,100,.\n1,1,.,2\n1,2,.,{text}\n")
    with pytest.raises(
        DataError, match=r"column y: '.*' is text where a number belongs; .* that censored= names, or .*ll"
    ):
        Dataset.from_frame(pd.DataFrame({"id": 1, "y": ["1", text]}), outcome="y", levels="id")


YEARS = ["0001-01-01", "0999-12-31", "9999-12-31", "1677-12-31", "2262-01-01"]


@pytest.mark.parametrize("day", YEARS)
def test_years_of_placeholders_are_refused(read, day):
    message = "row 2, column (TIME|DAT2|DATE): .* lies outside the years 1678 to 2261; correct it, or leave the record"
    with pytest.raises(DataError, match=message):
        read(f"{HEAD}1,2020-01-01 08:00,9,.\n1,{day} 08:00,.,2\n")
    with pytest.raises(DataError, match=message):
        read(f"ID,TIME,DAT2,AMT,DV\n1,8:00,2020-01-01,9,.\n1,8:00,{day},.,2\n")
    moments = [datetime.datetime(2020, 1, 1, 8), datetime.datetime.fromisoformat(day)]
    for kind in ("datetime64[s]", object):
        frame = pd.DataFrame({"ID": 1, "TIME": np.array(moments, dtype=kind), "AMT": [9, 0], "DV": [np.nan, 2]})
        with pytest.raises(DataError, match=message):
            Dataset.from_nonmem(frame)
    dates = frame.assign(DATE=np.array(moments, dtype="datetime64[s]"), TIME="8:00")
    with pytest.raises(DataError, match=message):
        Dataset.from_nonmem(dates)


# --- arguments that are none -----------------------------------------------------------------------------------------

WRONG = {
    "levels": [None, 1, [1], ("id", None), [["id"]], "", {}], "covariates": [1, None, [1.5], ""],
    "inputs": [True, [None]], "outcome": [None, 1, ["dv"], {}, {1: 2}, ""], "sort": ["yes", [1], float("nan"), None],
    "lloq": [[1], "no", float("nan"), {"dv": "x"}],
    "uloq": [["WT"], (1, 2)], "source": [1, ["a"]],
}  # fmt: skip
TIDY = WRONG | {
    "outcome": [None, 1, [1], {}, ""], "time": [1, ["time"], ""], "doses": [1, [1], "no file", {"a": 1}],
    "censored": [1, ["x"], {"a": 1}], "limit": [True], "status": [1, ["x"], {"dv": 1}], "complete": [1, None],
    "amount": [1, [2]],
    "subject": [1, ["id"]],
}  # fmt: skip


@pytest.mark.parametrize(("name", "value"), [(n, v) for n, values in WRONG.items() for v in values])
def test_a_wrong_argument_of_an_event_table_is_one_sentence(name, value):
    frame = pd.DataFrame({"ID": [1, 1], "TIME": [0.0, 1.0], "AMT": [9.0, 0.0], "DV": [np.nan, 2.0]})
    with pytest.raises((DataError, ValueError), match=r"(?s)^[^\n]*(name|column|level|sort|lloq|source|text)[^\n]*$"):
        Dataset.from_nonmem(frame, **{name: value})


@pytest.mark.parametrize(("name", "value"), [(n, v) for n, values in TIDY.items() for v in values])
def test_a_wrong_argument_of_a_tidy_frame_is_one_sentence(name, value):
    frame = pd.DataFrame({"id": [1, 1], "time": [0.0, 1.0], "dv": [1.0, 2.0]})
    with pytest.raises(
        (DataError, ValueError), match=r"(?s)^[^\n]*(name|column|level|sort|loq|file|source|text)[^\n]*$"
    ):
        Dataset.from_frame(frame, **({"outcome": "dv", "levels": "id", "time": "time"} | {name: value}))


def test_columns_that_stand_twice_or_have_no_text_for_a_name_are_refused():
    frame = pd.DataFrame([[1, 2.0, 3.0]], columns=["id", "y", "y"])
    with pytest.raises(DataError, match="column y occurs twice"):
        Dataset.from_frame(frame, outcome="y", levels="id")
    with pytest.raises(DataError, match="the name of a column is text; rename 7"):
        Dataset.from_frame(frame.set_axis(["id", "y", 7], axis=1), outcome="y", levels="id")
    events = pd.DataFrame({"ID": [1, 1], "TIME": [0, 1], "AMT": [9, 0], "DV": [0, 2.0], 7: ["a", "."]})
    with pytest.raises(DataError, match="the name of a column is text; rename 7"):
        Dataset.from_nonmem(events)


# --- occasions of a tidy frame ---------------------------------------------------------------------------------------


def occasions(subject, **columns):
    frame = pd.DataFrame({"id": 1, "occ": [1, 1, 2], "time": [1.0, 12.0, 30.0], "conc": [2.0, 1.0, 0.4]} | columns)
    doses = pd.DataFrame({"id": [1], "occ": [1], "time": [0.0], "amt": [150.0]})
    return Dataset.from_frame(frame, outcome="conc", levels=("id", "id/occ"), time="time", doses=doses, subject=subject)


def test_occasions_are_asked_for_and_carry_the_drug_over():
    """150 mg in occasion 1, v 70, cl 4: 150/70 exp(-4/70 30) = 0.386 at 30 h in occasion 2."""
    with pytest.raises(
        DataError, match=r"say subject='id' .* carried over., or subject='occ' .each occ starts without dru"
    ):
        occasions(None)
    model = nb.Model(OneCompartment(), "cl ~ 1", "v ~ 1")
    for subject, right in (("id", 150 / 70 * np.exp(-4 / 70 * 30)), ("occ", 0.0)):
        design = resolve(model, occasions(subject))
        f = evaluator(model, design)({"cl": np.log([[4.0]]), "v": np.log([[70.0]])}, {})[1]["conc"]
        assert f[0, 2] == pytest.approx(right, rel=1e-9)


def test_the_subject_of_an_event_table_is_its_id_under_whatever_name(read):
    """Occasions of a level that is ID but is not called so carry the drug over."""
    text = "ID,PID,OCC,TIME,AMT,DV\n1,a,1,0,150,.\n1,a,1,1,.,2\n1,a,2,30,.,1\n2,b,1,0,9,.\n2,b,1,1,.,2\n"
    data = read(text, levels=("pid", "pid/occ"))
    assert (data.subject, read(text, levels=("id", "occ")).subject, read(text).subject) == ("pid", "id", "id")
    assert read("ID,PUP,TIME,DV\n1,1,0,1\n2,2,0,1\n", levels=("pup",)).subject == "pup"


def test_subjects_side_by_side_and_clocks_of_their_own_are_no_occasions():
    assert occasions(None, time=[1.0, 12.0, 1.0]).subject == "occ"


def test_doses_without_the_innermost_level_are_asked_about():
    frame = pd.DataFrame({"id": 1, "occ": [1, 2], "time": [1.0, 1.0], "conc": [2.0, 1.0]})
    doses = pd.DataFrame({"id": [1], "time": [0.0], "amt": [150.0]})
    with pytest.raises(DataError, match=r"no column 'occ', of the level whose doses they are: .*subject='id'"):
        Dataset.from_frame(frame, outcome="conc", levels=("id", "id/occ"), time="time", doses=doses)


# --- counts that allocate --------------------------------------------------------------------------------------------


def repeated(addl, ii, until=10.0):
    frame = {
        "ID": 1,
        "TIME": [0.0, until],
        "AMT": [9.0, 0.0],
        "DV": [np.nan, 2.0],
        "ADDL": [addl, 0.0],
        "II": [ii, 0.0],
    }
    return Dataset.from_nonmem(pd.DataFrame(frame))


@pytest.mark.parametrize("addl", [1e19, 1e9, MOST + 1])
def test_too_many_additional_doses_are_refused(addl):
    with pytest.raises(DataError, match=r"row 1, column ADDL: .* additional doses; at most 100,000 can be"):
        repeated(addl, 1e-9)


@quick
@given(addl=st.integers(1, MOST), ii=st.floats(0.5, 1e6), until=st.integers(1, 40))
def test_additional_doses_act_as_those_written_out(addl, ii, until):
    model = nb.Model(OneCompartment(), "cl ~ 1", "v ~ 1")
    times = ii * np.arange(min(addl, int(until / ii)) + 1)
    written = pd.DataFrame({"ID": 1, "TIME": times, "AMT": 9.0, "DV": np.nan})
    written.loc[len(written)] = [1, float(until), 0.0, 2.0]
    each = []
    for data in (repeated(addl, ii, float(until)), Dataset.from_nonmem(written)):
        each.append(evaluator(model, resolve(model, data))({"cl": [[0.0]], "v": [[1.0]]}, {})[1]["dv"])
    np.testing.assert_allclose(*each, rtol=1e-10)


def test_too_many_doses_before_the_last_record_are_refused():
    frame = pd.DataFrame({"ID": 1, "TIME": [0.0, 0.0, 10.0], "AMT": [9.0, 8.0, 0.0], "DV": [np.nan, np.nan, 2.0],
                          "ADDL": [99_999, 9_999, 0], "II": [1e-9, 1e-9, 0.0]})  # fmt: skip
    with pytest.raises(
        DataError, match=r"row 1, column ADDL: 99999 doses every 1e-09: a subject has more than 100,000"
    ):
        resolve(nb.Model(OneCompartment()), Dataset.from_nonmem(frame))


@pytest.mark.parametrize("grid", ["0:24:1000000000", "0:inf:5", "0:nan:5", "0:24:0", "0:24:2.5"])
def test_a_grid_is_bounded(grid):
    with pytest.raises(StatementError, match=f"^--grid '{grid}': write start:stop:n, .* with 10,000 values at most"):
        predict.grid_of(None, grid)


@pytest.mark.parametrize("text", ["0:1e12:0.001", "0:1:1e-300", "0:inf:1", "nan:1:1"])
def test_a_list_of_doses_is_bounded(text):
    with pytest.raises(StatementError, match=f"^--doses '{text}': (more than 10,000 values|write numbers)"):
        wanted.numbers(text, "--doses")


def test_a_grid_of_too_many_records_is_refused():
    data = Dataset.from_frame(
        pd.DataFrame({"id": range(1000), "time": 0.0, "y": 1.0}), outcome="y", levels="id", time="time"
    )
    with pytest.raises(
        DataError, match="over: 10,001 values of time make 10,001,000 records; at most 10,000,000 can be"
    ):
        data.over(time=np.zeros(RECORDS // 1000 + 1))


def test_the_number_of_transit_compartments_is_bounded():
    with pytest.raises(ValueError, match=r"OneCompartment: transits must be .* to 100; got 1000000"):
        OneCompartment(absorption="transit", transits=10**6)
