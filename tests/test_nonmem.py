"""`Dataset.from_nonmem`: event tables: their columns, levels, outcomes and order."""

from io import StringIO

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from model_zoo import OneCompartment
from nlmebayes.data.dataset import Dataset
from nlmebayes.data.validate import DataError
from nlmebayes.evaluation.evaluator import evaluator
from nlmebayes.formula.design import resolve
from nlmebayes.model.model import Model

quick = settings(deadline=None, max_examples=20)

TEXT = """ID,TIME,AMT,DV,WT
1,0,100,.,70
1,0,.,0.5,70
1,2,.,3,70
2,0,50,.,82
2,1,.,5,82
"""


def events(**columns):
    """Two subjects, one bolus each, in rows 1 and 4; three samples; ``columns`` replaces or adds."""
    return pd.read_csv(StringIO(TEXT), na_values=["."]).assign(**columns)


def read(frame=None, **options):
    return Dataset.from_nonmem(events() if frame is None else frame, **options)


# --- what is read ----------------------------------------------------------------------------------------------------


def test_samples_doses_and_covariates_find_their_places():
    data = read()
    assert (data.levels, data.time, data.outcomes, data.covariates) == (("id",), "time", ("dv",), ("WT",))
    assert data.observations[["row", "id", "time", "value"]].to_numpy().tolist() == [
        [2, "1", 0.0, 0.5], [3, "1", 2.0, 3.0], [5, "2", 1.0, 5.0],
    ]  # fmt: skip
    assert data.doses[["id", "time", "amount"]].to_numpy().tolist() == [["1", 0.0, 100.0], ["2", 0.0, 50.0]]
    assert data.excluded == {}


def test_a_path_and_a_frame_read_equal(tmp_path):
    path = tmp_path / "trial.csv"
    path.write_text(TEXT)
    assert_frame_equal(read(path).observations, read().observations)
    assert_frame_equal(read(path).doses, read().doses)
    assert read(str(path)).source == "trial.csv"


def test_a_point_is_missing_in_a_frame_as_in_a_file():
    assert_frame_equal(read(pd.read_csv(StringIO(TEXT))).observations, read().observations)


@quick
@given(st.lists(st.booleans(), min_size=30, max_size=30))
def test_names_are_read_in_any_case(upper):
    frame = events(EVID=[1, 0, 0, 1, 0], MDV=[1, 0, 0, 1, 0], CMT=1, DVID=1)
    flags = iter(upper)
    reserved = [c for c in frame.columns if c != "WT"]
    names = {c: "".join(x.upper() if next(flags) else x.lower() for x in c) for c in reserved}
    assert_frame_equal(read(frame.rename(columns=names)).observations, read(frame).observations)
    assert_frame_equal(read(frame.rename(columns=names)).doses, read(frame).doses)


def test_evid_says_what_amt_says():
    assert_frame_equal(read(events(EVID=[1, 0, 0, 1, 0])).doses, read().doses)
    assert_frame_equal(read(events(EVID=[1, 0, 0, 1, 0])).observations, read().observations)


@pytest.mark.parametrize("name", ["RATE", "ADDL", "II", "SS", "CENS", "LIMIT"])
@pytest.mark.parametrize("empty", [0, np.nan])
def test_columns_may_be_there_if_they_say_nothing(name, empty):
    assert_frame_equal(read(events(**{name: empty})).doses, read().doses)


@pytest.mark.parametrize(
    ("compartment", "state"), [(0, None), (np.nan, None), (1, "1"), (2.0, "2"), ("central", "central"), ("3", "3")]
)
def test_cmt_of_a_dose_is_the_state_it_goes_into(compartment, state):
    doses = read(events(CMT=[compartment, 2, 2, compartment, 2])).doses
    assert doses["state"].tolist() == [state, state]
    assert_frame_equal(doses.assign(state=None), read().doses.assign(state=None))


def test_the_outcome_takes_the_name_it_is_given():
    assert read(outcome="conc").outcomes == ("conc",)


# --- exclusions ------------------------------------------------------------------------------------------------------


def test_mdv_and_missing_dv_are_left_out_and_counted():
    data = read(events(MDV=[1, 1, 0, 1, 0]))
    assert data.excluded == {"MDV is 1": 1}
    assert data.observations["row"].tolist() == [3, 5]
    assert read(events(DV=[np.nan, 0.5, np.nan, np.nan, 5.0])).excluded == {"dv is missing": 1}


def test_mdv_of_a_dose_record_is_no_exclusion():
    assert read(events(MDV=[1, 0, 0, 1, 0])).excluded == {}


def test_a_mdv_value_that_is_no_flag_is_refused():
    with pytest.raises(DataError, match="row 2, column MDV"):
        read(events(MDV=[1, 101, 0, 1, 0]))


def test_excluded_records_are_reported():
    assert "excluded: 1 x MDV is 1" in repr(read(events(MDV=[1, 1, 0, 1, 0])))


def test_doses_of_a_subject_without_samples_are_counted():
    data = read(events().iloc[:4])
    assert data.excluded == {"dose of a id without observations": 1}
    assert data.doses["id"].tolist() == ["1"]


# --- what is refused -------------------------------------------------------------------------------------------------


def test_doses_go_into_several_compartments():
    assert read(events(CMT=[1, 2, 2, 3, 2])).doses["state"].tolist() == ["1", "3"]


def test_samples_from_several_compartments_are_not_mixed_into_one_outcome():
    with pytest.raises(DataError, match=r"row 3, column CMT: 3: samples .* outcome=\{2: 'conc', ...\}"):
        read(events(CMT=[1, 2, 3, 1, 2]))


BAD_CELLS = [
    ({"TIME": [0, 0, np.nan, 0, 1]}, "row 3, column TIME: is missing"),
    ({"TIME": [0, 0, 2, 0, np.inf]}, "row 5, column TIME: is inf"),
    ({"TIME": [0, 2, 1, 0, 1]}, "row 3, column TIME: time goes back from 2 to 1 within id 1; sort=True"),
    ({"TIME": [0, 0, 2, 0, "noon"]}, "row 5, column TIME: 'noon' is text where a number belongs"),
    ({"AMT": [100, np.nan, np.nan, -50, np.nan]}, "row 4, column AMT: -50 is negative"),
    ({"AMT": [100, np.nan, np.nan, np.inf, np.nan]}, "row 4, column AMT: is inf"),
    ({"AMT": ["100", "", "", "half", ""]}, "row 4, column AMT: 'half' is text where a number belongs"),
    ({"DV": [np.nan, np.inf, 3, np.nan, 5]}, "row 2, column DV: is infinite"),
    ({"DV": ["", "<0.5", "3", "", "5"]}, "row 2, column DV: '<0.5' is text where a number belongs"),
    ({"DV": np.nan}, "column DV: the outcome dv is missing in every record"),
    ({"MDV": 1}, "column DV: the outcome dv is missing in every record"),
    ({"ID": [1, 1, np.nan, 2, 2]}, "row 3, column ID: the label is missing"),
    ({"EVID": [1, 0, np.nan, 1, 0]}, "row 3, column EVID: is missing"),
    ({"EVID": [1, 0, 1, 1, 0]}, r"row 3, column AMT: a dose record \(EVID 1\) without an amount"),
    ({"EVID": [0, 0, 0, 1, 0]}, r"row 1, column AMT: 100 on an observation record \(EVID 0\)"),
    ({"WT": ["70", "70", "heavy", "82", "82"]}, "row 3, column WT: 'heavy' is text in a column of numbers"),
    ({"DVID": [1, np.nan, 1, 1, 1]}, "row 2, column DVID"),
]


@pytest.mark.parametrize(
    ("columns", "message"), BAD_CELLS, ids=[f"{i}-{next(iter(c))}" for i, (c, _) in enumerate(BAD_CELLS)]
)
def test_a_bad_cell_is_named_by_row_and_column(columns, message):
    frame = events(**columns)
    with pytest.raises(DataError, match=f"(?i){message}"):
        read(frame.replace("", np.nan))


def test_empty_text_is_missing():
    assert_frame_equal(read(events(DV=["", "0.5", "3", "", "5"])).observations, read().observations)


def test_duplicate_samples_are_refused_and_kept_on_request():
    twice = pd.concat([events(), events().iloc[4:]], ignore_index=True)
    with pytest.raises(DataError, match="row 5, column id: duplicate records: rows 5, 6 agree in id, time"):
        read(twice)
    assert len(read(twice, duplicates="keep").observations) == 4


@pytest.mark.parametrize("name", ["ID", "TIME", "DV"])
def test_the_columns_that_every_table_has(name):
    with pytest.raises(DataError, match=f"no column {name}; its columns are "):
        read(events().drop(columns=name))


def test_no_file_and_a_name_in_two_cases():
    with pytest.raises(DataError, match=r"no file 'absent\.csv'"):
        read("absent.csv")
    with pytest.raises(DataError, match="column TIME occurs twice"):
        read(events(Time=0))


@pytest.mark.parametrize("name", ["row", "value", "lower", "amount", "state", "kind", "event"])
def test_a_covariate_is_kept_or_its_name_refused(name):
    try:
        assert name in read(events(**{name: [7, 7, 7, 8, 8]})).covariates
    except DataError as error:
        assert f"column name '{name}' is used by " in str(error)


@pytest.mark.parametrize("outcome", ["WT", "time", "id"])
def test_the_name_of_the_outcome_must_be_free(outcome):
    with pytest.raises(DataError, match=outcome):
        read(outcome=outcome)


# --- several outcomes ------------------------------------------------------------------------------------------------


def test_dvid_numbers_are_named_by_a_mapping():
    data = read(events(DVID=[1, 1, 2, 1, 1]), outcome={1: "conc", 2: "pca"})
    assert data.outcomes == ("conc", "pca")
    assert data.observations["outcome"].tolist() == ["conc", "pca", "conc"]


def test_dvid_labels_name_themselves():
    data = read(events(DVID=["cp", "cp", "pca", None, "cp"]))
    assert data.outcomes == ("cp", "pca")
    assert data.observations["outcome"].tolist() == ["cp", "pca", "cp"]


def test_dvid_of_dose_records_does_not_matter():
    with_zero = read(events(DVID=[0, 1, 2, 0, 1]), outcome={1: "conc", 2: "pca"})
    assert_frame_equal(
        with_zero.observations, read(events(DVID=[1, 1, 2, 1, 1]), outcome={1: "conc", 2: "pca"}).observations
    )


@pytest.mark.parametrize(
    ("dvid", "outcome", "message"),
    [
        (
            [1, 1, 2, 1, 1],
            "dv",
            r"column DVID: several outcomes; name them, e.g. outcome=\{1: 'outcome1', 2: 'outcome2'\}",
        ),
        ([1, 1, 3, 1, 1], {1: "conc", 2: "pca"}, "row 3, column DVID: 3.* has no name in outcome="),
        ([1, 1, np.nan, 1, 1], {1: "conc", 2: "pca"}, "row 3, column DVID: .* has no name in outcome="),
        ([1, 1, 1, 1, 1], {1: "conc", 2: "pca"}, "column DV: the outcome pca is missing in every record"),
        ([1, 1, "pca", 1, 1], "dv", "DVID"),
    ],
)
def test_dvid_errors_say_the_mend(dvid, outcome, message):
    with pytest.raises(DataError, match=message):
        read(events(DVID=dvid), outcome=outcome)


def test_a_mapping_needs_dvid():
    with pytest.raises(DataError, match="there is no column DVID or CMT"):
        read(outcome={1: "conc"})


def test_compartments_tell_outcomes_apart_where_dvid_does_not():
    data = read(events(CMT=[1, 2, 3, 1, 2]), outcome={2: "conc", 3: "metabolite"})
    assert data.observations["outcome"].tolist() == ["conc", "metabolite", "conc"]
    named = read(events(CMT=["gut", "central", "met", "gut", "central"]), outcome={"central": "conc", "met": "met"})
    assert named.outcomes == ("conc", "met")
    with pytest.raises(DataError, match="row 3, column CMT: 3 has no name in outcome="):
        read(events(CMT=[1, 2, 3, 1, 2]), outcome={2: "conc"})


# --- levels and covariates -------------------------------------------------------------------------------------------


def test_occasions_lie_within_subjects():
    data = read(events(OCC=[1, 1, 2, 1, 2]), levels=("id", "occ"))
    assert (data.levels, data.subject) == (("id", "occ"), "id")
    assert data.observations["occ"].tolist() == ["1/1", "1/2", "2/2"]


def test_an_occasion_that_is_no_level_is_an_input():
    assert read(events(OCC=[1, 1, 2, 1, 2])).inputs == ("occ",)


def test_levels_are_named_in_any_case():
    data = read(events(SITE=["a", "a", "a", "b", "b"]), levels=("site", "id"))
    assert data.levels == ("site", "id")
    assert data.observations["id"].tolist() == ["a/1", "a/1", "b/2"]
    assert data.doses["id"].tolist() == ["a/1", "b/2"]


def test_subjects_numbered_within_sites():
    sites = events(SITE=["a", "a", "a", "b", "b"], ID=1)
    assert read(sites, levels=("site", "site/id")).observations["id"].tolist() == ["a/1", "a/1", "b/1"]
    with pytest.raises(DataError, match=r"row 4, column id: label '1' of level id .*'site/id'"):
        read(sites.assign(TIME=[0, 0, 1, 2, 3]), levels=("site", "id"))


def test_a_covariate_that_varies_is_an_input_or_one_of_occasions():
    weights = [70, 70, 71, 82, 82]
    assert read(events(WT=weights)).inputs == read(events(WT=weights), inputs="WT").inputs == ("WT",)
    assert read(events(WT=weights, OCC=[1, 1, 2, 1, 1]), levels=("id", "occ")).covariates == ("WT",)


@pytest.mark.parametrize("weight", [71, np.nan])
def test_a_declared_covariate_may_not_vary(weight):
    with pytest.raises(DataError, match=f"row 3, column WT: the covariate changes within id 1 from 70.0 to {weight}"):
        read(events(WT=[70, 70, weight, 82, 82]), covariates="WT")


def test_a_covariate_may_be_missing_on_a_dose():
    data = read(events(WT=[np.nan, 70, 70, 82, 82]))
    assert data.covariates == ("WT",)
    assert data.doses["WT"].isna().tolist() == [True, False]


@pytest.mark.parametrize("options", [{"levels": ("site", "id")}, {"covariates": "AGE"}, {"inputs": "AGE"}])
def test_unknown_columns_list_those_of_the_table(options):
    with pytest.raises(DataError, match=r"no column '(site|AGE)'; its columns are .*WT"):
        read(**options)


# --- time and record order -------------------------------------------------------------------------------------------


def concentration(data, v=10.0):
    """After boluses, without elimination to speak of: the sum of earlier doses over v."""
    model = Model(OneCompartment(), "cl ~ 1", "v ~ 1")
    f = evaluator(model, resolve(model, data))({"cl": np.log([[1e-12]]), "v": np.log([[v]])}, {})[1]
    return f["dv"][0]


def test_record_order_decides_between_a_dose_and_a_sample_at_the_same_time():
    frame = pd.DataFrame(
        {"ID": 1, "TIME": [0, 0, 0, 5, 5, 5], "AMT": [0, 100, 0, 0, 50, 0], "DV": [1, np.nan, 2, 3, np.nan, 4]}
    )
    assert concentration(read(frame)) == pytest.approx([0, 10, 10, 15])
    assert concentration(read(frame, sort=True)) == pytest.approx([0, 10, 10, 15])


def test_a_grid_comes_after_every_dose_at_its_time():
    assert concentration(read().over(time=[0.0])) == pytest.approx([10, 5])


def test_sort_reads_records_in_any_order():
    order = [4, 2, 0, 3, 1]
    data = read(events().iloc[order], sort=True)
    assert {k: v["time"].tolist() for k, v in data.observations.groupby("id")} == {"1": [0.0, 2.0], "2": [1.0]}
    with pytest.raises(DataError, match=r"time goes back|comes back"):
        read(events().iloc[order])


@st.composite
def tables(draw):
    """An event table in order of time: distinct times per subject, doses, samples, MDV and missing DV."""
    rows = []
    for subject in range(1, draw(st.integers(1, 4)) + 1):
        weight = draw(st.integers(40, 120))
        times = draw(st.lists(st.integers(0, 200), min_size=1, max_size=6, unique=True))
        for time in sorted(times):
            kind = draw(st.sampled_from(["dose", "sample", "sample", "missing", "left out"]))
            amount = draw(st.integers(1, 9)) * 25.0 if kind == "dose" else 0.0
            measured = np.nan if kind in ("dose", "missing") else draw(st.integers(0, 400)) / 8
            rows.append((subject, time / 4, amount, measured, float(kind in ("dose", "left out")), weight))
        rows.append((subject, 99.0, 0.0, 1.0, 0.0, weight))
    return pd.DataFrame(rows, columns=["ID", "TIME", "AMT", "DV", "MDV", "WT"])


def by_subject(frame, *columns):
    return {label: list(map(tuple, part[list(columns)].to_numpy())) for label, part in frame.groupby("id")}


@quick
@given(tables())
def test_every_record_is_a_sample_a_dose_or_counted(frame):
    data = read(frame)
    assert len(data.observations) + len(data.doses) + sum(data.excluded.values()) == len(frame)
    assert not set(data.observations["row"]) & set(data.doses["row"])


@quick
@given(tables(), st.randoms(use_true_random=False))
def test_sort_makes_the_order_of_records_irrelevant(frame, random):
    shuffled = read(frame.iloc[random.sample(range(len(frame)), len(frame))], sort=True)
    data = read(frame)
    columns = ("time", "value", "WT")
    assert by_subject(shuffled.observations, *columns) == by_subject(data.observations, *columns)
    assert by_subject(shuffled.doses, "time", "amount") == by_subject(data.doses, "time", "amount")
    assert shuffled.excluded == data.excluded


@quick
@given(tables(), st.permutations([11, 5, 303, 42]))
def test_renaming_subjects_is_harmless(frame, names):
    data, renamed = read(frame), read(frame.assign(ID=[names[i - 1] for i in frame["ID"]]))
    expected = data.observations.assign(id=[str(names[int(i) - 1]) for i in data.observations["id"]])
    assert_frame_equal(renamed.observations, expected, check_dtype=False)


@quick
@given(frame=tables())
def test_a_file_reads_as_its_frame(tmp_path_factory, frame):
    path = tmp_path_factory.getbasetemp() / "events.csv"
    frame.to_csv(path, index=False, na_rep=".")
    assert_frame_equal(read(path).observations, read(frame).observations)
    assert_frame_equal(read(path).doses, read(frame).doses)
    assert read(path).excluded == read(frame).excluded


@quick
@given(tables())
def test_from_frame_says_the_same(frame):
    data = read(frame)
    samples = frame[(frame["AMT"] == 0) & (frame["MDV"] == 0)].rename(columns=str.lower)
    doses = frame[frame["AMT"] > 0].rename(columns=str.lower)[["id", "time", "amt"]]
    twin = Dataset.from_frame(samples[["id", "time", "dv", "wt"]], outcome="dv", time="time", levels="id", doses=doses)
    assert by_subject(twin.observations, "time", "value", "wt") == by_subject(data.observations, "time", "value", "WT")
    assert by_subject(twin.doses, "time", "amount") == by_subject(data.doses, "time", "amount")


def test_a_subject_that_comes_back_is_refused_or_the_same():
    frame = pd.concat([events(), events().iloc[2:3].assign(TIME=9)], ignore_index=True)
    with pytest.raises(DataError, match="row 6, column id: 1 comes back after other subjects"):
        read(frame)
    assert read(frame, sort=True).observations["id"].tolist() == ["1", "1", "1", "2"]
