"""`Dataset.from_frame`: the checks at the door, and the verbs of a dataset."""

from dataclasses import FrozenInstanceError

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from nlmebayes.data.dataset import Dataset
from nlmebayes.data.validate import DataError

quick = settings(deadline=None, max_examples=20)


def tidy(**columns):
    """Two subjects with two samples each; ``columns`` replaces or adds."""
    base = {"id": [1, 1, 2, 2], "time": [0.0, 1.0, 0.0, 1.0], "conc": [1.0, 2.0, 3.0, 4.0], "wt": [70, 70, 82, 82]}
    return pd.DataFrame(base | columns)


def boluses(**columns):
    return pd.DataFrame({"id": [1, 2], "time": [0.0, 0.0], "amt": [100.0, 50.0]} | columns)


def read(frame=None, **options):
    frame = tidy() if frame is None else frame
    return Dataset.from_frame(frame, **({"outcome": "conc", "time": "time", "levels": "id"} | options))


def by_subject(data, *columns):
    """What each subject has, in order: label -> list of tuples."""
    columns = columns or (data.time, "outcome", "value", *data.covariates)
    return {label: list(map(tuple, part[list(columns)].to_numpy())) for label, part in data.observations.groupby("id")}


# --- what is read ----------------------------------------------------------------------------------------------------


def test_observations_are_long_and_numbered_by_source_row():
    data = read(tidy(effect=[5.0, np.nan, 7.0, 8.0]), outcome=("conc", "effect"))
    assert data.outcomes == ("conc", "effect")
    assert data.observations["row"].tolist() == [1, 1, 2, 3, 3, 4, 4]
    assert data.observations["outcome"].tolist() == ["conc", "effect", "conc", "conc", "effect", "conc", "effect"]
    assert data.observations["value"].tolist() == [1, 5, 2, 3, 7, 4, 8]


def test_missing_measurements_are_counted_and_reported():
    data = read(tidy(conc=[1.0, np.nan, np.nan, 4.0], effect=[5.0, np.nan, 7.0, 8.0]), outcome=("conc", "effect"))
    assert data.excluded == {"conc is missing": 2, "effect is missing": 1}
    assert "excluded: 2 x conc is missing; 1 x effect is missing" in repr(data)


def test_doses_of_subjects_without_observations_are_counted():
    data = read(doses=boluses(id=[1, 9]))
    assert data.doses["id"].tolist() == ["1"]
    assert data.excluded == {"dose of a id without observations": 1}


def test_columns_sort_themselves_into_covariates_and_inputs():
    data = read(tidy(temperature=[20.0, 25.0, 20.0, 20.0], sex=["f", "f", "m", "m"]))
    assert (data.covariates, data.inputs) == (("wt", "sex"), ("temperature",))


def test_a_constant_column_may_be_declared_an_input():
    assert read(inputs="wt").inputs == ("wt",)


def test_text_of_digits_is_read_as_numbers():
    data = read(tidy(time=["0", "1", "0", "1"], wt=["70", "70", "82", "82"]))
    assert data.observations["time"].tolist() == [0, 1, 0, 1]
    assert data.observations["wt"].tolist() == [70, 70, 82, 82]


def test_nullable_integers_may_be_missing():
    assert read(tidy(conc=pd.array([1, None, 3, 4], dtype="Int64"))).excluded == {"conc is missing": 1}


@pytest.mark.parametrize(
    "ids", [[1, 1, 2, 2], [1.0, 1.0, 2.0, 2.0], ["1", "1", "2", "2"], pd.Categorical([1, 1, 2, 2])]
)
def test_labels_do_not_depend_on_the_type_of_the_column(ids):
    assert read(tidy(id=ids)).observations["id"].tolist() == ["1", "1", "2", "2"]


def test_categories_stay_categories_with_text_labels():
    data = read(tidy(diet=pd.Categorical([1, 1, 3, 3])))
    assert data.observations["diet"].cat.categories.tolist() == ["1", "3"]


def test_data_without_time_need_none():
    data = Dataset.from_frame(tidy().drop(columns="time"), outcome="conc", levels="id")
    assert data.time is None
    assert len(data.observations) == 4


def test_units_are_the_distinct_levels_and_covariates():
    assert read().units.to_dict("list") == {"id": ["1", "2"], "wt": [70.0, 82.0]}


def test_neither_the_record_nor_its_source_changes():
    frame, doses = tidy(), boluses()
    data = read(frame, doses=doses, sort=True)
    assert_frame_equal(frame, tidy())
    assert_frame_equal(doses, boluses())
    with pytest.raises(FrozenInstanceError):
        data.time = "hours"


def test_repr_says_what_is_there():
    text = repr(read(doses=boluses()))
    for line in ("level id: 2", "outcome conc: 4 records", "time time: 0 to 1", "doses: 2", "covariates: wt"):
        assert line in text


# --- nested levels ---------------------------------------------------------------------------------------------------


def at_sites(**columns):
    return tidy(**({"site": ["A", "A", "B", "B"]} | columns))


def test_nested_labels_carry_their_parents():
    nested = read(at_sites(id=[1, 1, 1, 1]), levels=("site", "site/id"))
    unique = read(at_sites(), levels=("site", "id"))
    assert nested.levels == unique.levels == ("site", "id")
    assert nested.observations["id"].tolist() == ["A/1", "A/1", "B/1", "B/1"]
    assert unique.observations["id"].tolist() == ["A/1", "A/1", "B/2", "B/2"]


def test_three_levels_nest():
    frame = pd.DataFrame({"a": ["x"] * 4, "b": [1, 1, 2, 2], "c": [1, 2, 1, 2], "y": [1.0, 2, 3, 4]})
    data = Dataset.from_frame(frame, outcome="y", levels=("a", "a/b", "a/b/c"))
    assert data.observations["c"].tolist() == ["x/1/1", "x/1/2", "x/2/1", "x/2/2"]


def test_labels_reused_across_parents_are_explained():
    with pytest.raises(
        DataError, match=r"row 3, column id: label '1' .*'A' \(row 1\) and 'B'.*'site/id'.*'A/1' and 'B/1'"
    ):
        read(at_sites(id=[1, 1, 1, 1]), levels=("site", "id"))


def test_doses_find_nested_subjects():
    doses = boluses(site=["A", "B"], id=[1, 1])
    data = read(at_sites(id=[1, 1, 1, 1]), levels=("site", "site/id"), doses=doses)
    assert data.doses["id"].tolist() == ["A/1", "B/1"]


def test_an_occasion_lies_below_the_subject_that_is_dosed():
    data = read(tidy(occ=[1, 2, 1, 2]), levels=("id", "id/occ"), subject="id", doses=boluses())
    assert (data.subject, data.levels) == ("id", ("id", "occ"))
    assert data.doses["id"].tolist() == ["1", "2"]
    assert data.observations["occ"].tolist() == ["1/1", "1/2", "2/1", "2/2"]


# --- what is refused, with row and column ----------------------------------------------------------------------------

BAD_CELLS = [
    ({"time": [0.0, np.nan, 0.0, 1.0]}, {}, "row 2, column time: is missing"),
    ({"time": [0.0, 1.0, 0.0, np.inf]}, {}, "row 4, column time: is inf"),
    ({"time": [0.0, 1.0, 3.0, 1.0]}, {}, "row 4, column time: time goes back from 3 to 1 within id 2; sort=True"),
    ({"time": ["0", "1", "noon", "1"]}, {}, "row 3, column time: 'noon' is text where a number belongs"),
    ({"time": pd.to_datetime(["2020-01-01"] * 4)}, {}, "row 1, column time: .* is not a number"),
    ({"conc": [1.0, 2.0, np.inf, 4.0]}, {}, "row 3, column conc: is infinite"),
    ({"conc": ["1", "<2", "3", "4"]}, {}, "row 2, column conc: '<2' is text where a number belongs"),
    ({"conc": [True, False, True, True]}, {}, "row 1, column conc: .*True.* is not a number"),
    ({"conc": [np.nan] * 4}, {}, "row 1 to 4, column conc: the outcome is missing in every record"),
    ({"id": [1, 1, None, 2]}, {}, "row 3, column id: the label is missing"),
    ({"wt": ["70", "70", "heavy", "82"]}, {}, "row 3, column wt: 'heavy' is text in a column of numbers"),
    (
        {"wt": [70, 70, 82, 83]},
        {"covariates": "wt"},
        "row 4, column wt: the covariate changes within id 2 from 82.0 to 83",
    ),
    ({"wt": [70, np.nan, 82, 82]}, {"covariates": "wt"}, "row 2, column wt: the covariate changes within id 1"),
    (
        {"time": [0.0, 0.0, 0.0, 1.0], "conc": [1.0, 1.0, 3.0, 4.0]},
        {},
        "row 1, column id: duplicate records: rows 1, 2 agree",
    ),
]


@pytest.mark.parametrize(("columns", "options", "message"), BAD_CELLS, ids=[m.split(":")[0] for *_, m in BAD_CELLS])
def test_a_bad_cell_is_named_by_row_and_column(columns, options, message):
    with pytest.raises(DataError, match=f"^study.csv, {message}"):
        read(tidy(**columns), source="study.csv", **options)


BAD_DOSES = [
    ({"amt": [100.0, -1.0]}, "row 2, column amt: -1 is negative"),
    ({"amt": [np.nan, 50.0]}, "row 1, column amt: is missing"),
    ({"amt": [100.0, np.inf]}, "row 2, column amt: is inf"),
    ({"amt": ["100", "much"]}, "row 2, column amt: 'much' is text where a number belongs"),
    ({"time": [0.0, np.nan]}, "row 2, column time: is missing"),
    ({"id": [1, 1], "time": [2.0, 1.0]}, "row 2, column time: time goes back from 2 to 1 within id 1; sort=True"),
    ({"id": [1, None]}, "row 2, column id: the label is missing"),
]


@pytest.mark.parametrize(("columns", "message"), BAD_DOSES)
def test_a_bad_dose_is_named_by_the_row_and_column_of_its_own_frame(columns, message):
    with pytest.raises(DataError, match=f"^data, doses, {message}"):
        read(doses=boluses(**columns))


@pytest.mark.parametrize("name", ["RATE", "dur", "evid", "occ"])
def test_a_column_of_doses_without_a_meaning_is_refused(name):
    with pytest.raises(DataError, match=f"data, doses: no meaning for column '{name}'; a dose is id, time, amt and"):
        read(doses=boluses(**{name: [1, 1]}))


def test_a_second_column_of_doses_is_never_ignored():
    with pytest.raises(DataError, match="tinf"):
        read(doses=boluses(tinf=[2.0, 2.0]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"outcome": "dv"}, "no column 'dv'; its columns are id, time, conc, wt"),
        ({"time": "hours"}, "no column 'hours'; its columns are"),
        ({"levels": ("site", "id")}, "no column 'site'; its columns are"),
        ({"covariates": ("age",)}, "no column 'age'; its columns are"),
        ({"doses": pd.DataFrame({"id": [1], "amt": [1.0]})}, "doses: no column 'time'; its columns are id, amt"),
    ],
)
def test_an_unknown_column_lists_those_that_exist(options, message):
    with pytest.raises(DataError, match=message):
        read(**options)


@pytest.mark.parametrize(
    "options",
    [
        {"subject": "patient"},
        {"subject": "patient", "doses": boluses()},
        {"levels": ()},
        {"levels": ("id", "id")},
        {"outcome": "time"},
        {"outcome": ("conc", "conc")},
        {"covariates": "wt", "inputs": "wt"},
    ],
    ids=lambda options: " and ".join(options),
)
def test_arguments_that_contradict_each_other_are_refused(options):
    with pytest.raises(DataError, match=r"subject|level|outcome|wt"):
        read(**options)


@pytest.mark.parametrize("name", ["row", "outcome", "value", "lower", "upper"])
def test_reserved_column_names_are_refused(name):
    with pytest.raises(DataError, match=f"column name '{name}' is used by the library; rename"):
        read(tidy(**{name: 1}))


def test_measurements_may_stand_in_a_column_called_outcome():
    found = read(tidy().rename(columns={"conc": "outcome"}), outcome="outcome").observations
    assert_frame_equal(found, read().observations.replace({"outcome": {"conc": "outcome"}}))


def test_no_rows_and_no_time_for_doses_are_refused():
    with pytest.raises(DataError, match="no rows"):
        read(tidy().iloc[:0])
    with pytest.raises(DataError, match="doses need a time column"):
        Dataset.from_frame(tidy(), outcome="conc", levels="id", doses=boluses())


def test_a_second_outcome_missing_everywhere_is_named():
    with pytest.raises(DataError, match="column effect: the outcome is missing in every record"):
        read(tidy(effect=np.nan), outcome=("conc", "effect"))


def test_replicates_are_kept_on_request_and_other_values_are_welcome():
    same = tidy(time=[0.0, 0.0, 0.0, 1.0], conc=[1.0, 1.0, 3.0, 4.0])
    assert len(read(same, duplicates="keep").observations) == 4
    assert len(read(tidy(time=[0.0, 0.0, 0.0, 1.0])).observations) == 4
    with pytest.raises(ValueError, match="must be 'error' or 'keep'"):
        read(duplicates="ignore")


def test_duplicates_with_a_missing_input_name_their_rows():
    frame = tidy(time=[0.0, 0.0, 0.0, 1.0], conc=[1.0, 1.0, 3.0, 4.0], ph=[np.nan, np.nan, 7.0, 7.1])
    with pytest.raises(DataError, match="rows 1, 2 agree"):
        read(frame, inputs="ph")


# --- invariance ------------------------------------------------------------------------------------------------------

VALUES = st.one_of(st.none(), st.integers(-8, 800).map(lambda n: n / 8))


@st.composite
def studies(draw):
    """A tidy frame in order of time: subjects with distinct times, a covariate, and measurements of which some lack."""
    rows = []
    for subject in range(draw(st.integers(1, 4))):
        times = draw(st.lists(st.integers(0, 200), min_size=1, max_size=5, unique=True))
        weight = draw(st.integers(40, 120))
        rows += [(subject, t / 4, draw(VALUES), weight) for t in sorted(times)]
    frame = pd.DataFrame(rows, columns=["id", "time", "conc", "wt"]).astype({"conc": float})
    frame.loc[0, "conc"] = 1.0
    return frame


@quick
@given(studies(), st.randoms(use_true_random=False))
def test_sort_makes_the_order_of_rows_irrelevant(frame, random):
    order = random.sample(range(len(frame)), len(frame))
    shuffled = read(frame.iloc[order], sort=True)
    assert by_subject(shuffled) == by_subject(read(frame))
    assert shuffled.excluded == read(frame).excluded


@quick
@given(studies())
def test_sorting_sorted_records_changes_nothing(frame):
    assert_frame_equal(read(frame, sort=True).observations, read(frame).observations)


@quick
@given(studies(), st.permutations(["anna", "bo", "cid", "dora"]))
def test_renaming_subjects_is_harmless(frame, names):
    data, renamed = read(frame), read(frame.assign(id=frame["id"].map(dict(enumerate(names)))))
    expected = data.observations.assign(id=[names[int(label)] for label in data.observations["id"]])
    assert_frame_equal(renamed.observations, expected, check_dtype=False)


@quick
@given(studies(), studies())
def test_every_cell_is_observed_or_counted(frame, other):
    frame = frame.assign(effect=pd.Series(np.resize(other["conc"].to_numpy(), len(frame))))
    frame.loc[0, "effect"] = 1.0
    data = read(frame, outcome=("conc", "effect"))
    assert len(data.observations) + sum(data.excluded.values()) == 2 * len(frame)
    kept = data.observations[data.observations["outcome"] == "conc"]
    assert kept["row"].tolist() == (np.flatnonzero(frame["conc"].notna()) + 1).tolist()


@quick
@given(frame=studies())
def test_a_path_and_a_frame_read_equal(tmp_path_factory, frame):
    path = tmp_path_factory.getbasetemp() / "study.csv"
    frame.to_csv(path, index=False)
    assert_frame_equal(read(path).observations, read(frame).observations)
    assert read(path).source == "study.csv"


@quick
@given(studies(), st.randoms(use_true_random=False))
def test_sort_sorts_doses_too(frame, random):
    doses = frame[["id", "time"]].assign(amt=np.arange(1.0, len(frame) + 1))
    shuffled = doses.iloc[random.sample(range(len(doses)), len(doses))]
    expected, found = read(frame, doses=doses).doses, read(frame, doses=shuffled, sort=True).doses
    assert sorted(map(tuple, found[["id", "time", "amount"]].to_numpy())) == sorted(
        map(tuple, expected[["id", "time", "amount"]].to_numpy())
    )
    assert (found.groupby("id")["time"].diff().dropna() > 0).all()


# --- verbs -----------------------------------------------------------------------------------------------------------


def test_sel_chooses_by_label_and_by_value():
    data = read(doses=boluses())
    assert data.sel(id=2).observations["id"].tolist() == ["2", "2"]
    assert data.sel(id=["1", 2], time=1).observations["row"].tolist() == [2, 4]
    assert data.sel(wt=82).observations["row"].tolist() == [3, 4]


def test_doses_are_chosen_by_level_and_not_by_time():
    data = read(doses=boluses())
    assert data.sel(id=2).doses["amount"].tolist() == [50.0]
    assert data.sel(time=1).doses["amount"].tolist() == [100.0, 50.0]
    assert data.drop_sel(id=2).doses["amount"].tolist() == [100.0]
    assert data.drop_sel(time=1).doses["amount"].tolist() == [100.0, 50.0]


@pytest.mark.parametrize(
    "labels", [{"id": 1}, {"time": 1}, {"id": [1, 2], "time": 0}, {"wt": 70}, {"outcome": "conc", "id": 2}]
)
def test_sel_and_drop_sel_are_a_partition(labels):
    data = read()
    rows = [*data.sel(**labels).observations["row"], *data.drop_sel(**labels).observations["row"]]
    assert sorted(rows) == [1, 2, 3, 4]


def test_a_subject_that_keeps_records_keeps_its_doses():
    data = read(doses=boluses()).drop_sel(id=1, time=1)
    assert data.observations["row"].tolist() == [1, 3, 4]
    assert data.doses["id"].tolist() == ["1", "2"]


def test_choosing_an_outcome_leaves_that_outcome():
    data = read(tidy(effect=[5.0, 6.0, 7.0, 8.0]), outcome=("conc", "effect"))
    assert data.sel(outcome="effect").outcomes == ("effect",)


def test_an_occasion_may_be_chosen_where_doses_belong_to_the_subject():
    data = read(tidy(occ=[1, 2, 1, 2]), levels=("id", "id/occ"), subject="id", doses=boluses())
    chosen = data.sel(occ="1/2")
    assert chosen.observations["row"].tolist() == [2]
    assert "1" in chosen.doses["id"].tolist()


@pytest.mark.parametrize("verb", ["sel", "drop_sel"])
def test_unknown_columns_and_labels_are_errors(verb):
    with pytest.raises(DataError, match=r"no column 'site'; columns are row, id, time"):
        getattr(read(), verb)(site="A")
    with pytest.raises(DataError, match=r"no id '?9'? in the data"):
        getattr(read(), verb)(id=[1, 9])


def test_over_gives_each_unit_the_grid_for_every_outcome():
    data = read(tidy(effect=[5.0, 6.0, 7.0, 8.0]), outcome=("conc", "effect"), doses=boluses()).over(time=[0, 0.5, 9])
    grid = data.observations
    assert len(grid) == 2 * 2 * 3
    assert (grid.groupby(["id", "outcome"])["time"].apply(list).map(tuple) == (0.0, 0.5, 9.0)).all()
    assert grid["value"].isna().all()
    assert grid.groupby("id")["wt"].first().tolist() == [70, 82]
    assert len(data.doses) == 2


def test_over_gives_an_outcome_to_a_unit_that_was_never_measured_for_it():
    data = read(tidy(effect=[5.0, 6.0, np.nan, np.nan]), outcome=("conc", "effect")).over(time=[0, 9])
    assert data.observations.groupby(["id", "outcome"]).size().to_dict() == {
        ("1", "conc"): 2, ("1", "effect"): 2, ("2", "conc"): 2, ("2", "effect"): 2,
    }  # fmt: skip


def test_over_numbers_its_records_after_all_others():
    rows = read(doses=boluses()).over(time=[0.0]).observations["row"]
    assert rows.is_unique
    assert rows.min() > 4


def test_over_an_input_keeps_the_rest_of_the_first_record():
    data = read(tidy(temperature=[20.0, 25.0, 15.0, 10.0])).over(temperature=[0, 40])
    assert data.observations["temperature"].tolist() == [0, 40, 0, 40]
    assert data.observations["time"].tolist() == [0, 0, 0, 0]


def test_over_takes_the_time_column_under_its_own_name():
    data = Dataset.from_frame(tidy().rename(columns={"time": "day"}), outcome="conc", time="day", levels="id")
    assert_frame_equal(data.over(time=[3.0]).observations, data.over(day=[3.0]).observations)


@pytest.mark.parametrize(
    ("grid", "error", "message"),
    [
        ({}, ValueError, "give one column"),
        ({"time": [1], "wt": [1]}, ValueError, "give one column"),
        ({"wt": [1]}, DataError, "no time or input 'wt'; there are time"),
        ({"time": [0.0, np.nan]}, DataError, "time"),
    ],
)
def test_over_refuses_what_is_no_grid(grid, error, message):
    with pytest.raises(error, match=message):
        read().over(**grid)


def test_with_values_replaces_the_measurements_of_one_outcome():
    data = read(tidy(effect=[5.0, np.nan, 7.0, 8.0]), outcome=("conc", "effect"))
    found = data.with_values(effect=[50, 70, 80]).observations
    assert found["value"].tolist() == [1, 50, 2, 3, 70, 4, 80]
    assert_frame_equal(found.drop(columns="value"), data.observations.drop(columns="value"))


@pytest.mark.parametrize("measured", [{"conc": [1.0]}, {"wt": [1.0, 2.0, 3.0, 4.0]}])
def test_with_values_refuses_other_lengths_and_names(measured):
    with pytest.raises(DataError, match=r"with_values: (conc has . records|no outcome)"):
        read().with_values(**measured)


NUMBERS = [None, {}, object(), "x", [[1]], [[1, 2], [3, 4]], pd.DataFrame(), b"1", slice(1), ["a"], float("nan"), []]


@pytest.mark.parametrize("values", NUMBERS, ids=[type(x).__name__ for x in NUMBERS])
def test_what_is_no_list_of_numbers_is_one_sentence(values):
    with pytest.raises(DataError, match=r"^over: [^\n]*(takes a list of numbers|the grid of time)"):
        read().over(time=values)
    with pytest.raises(DataError, match=r"^with_values: conc (takes a list of numbers|has 4 records)[^\n]*$"):
        read().with_values(conc=values)


@pytest.mark.parametrize("values", [{}, {1: 2}, [[1]], [], pd.DataFrame(), None, slice(1)], ids=repr)
def test_what_chooses_no_record_is_one_sentence(values):
    for column in ("id", "time"):
        with pytest.raises(DataError, match=r"^(no .*|(id|time)=.*: give a value, or a list of values)$"):
            read().sel(**{column: values})


def test_choosing_nothing_is_an_error_and_one_point_is_a_grid():
    with pytest.raises(DataError, match="say what"):
        read().drop_sel()
    assert read().over(time=1).observations["time"].tolist() == [1.0, 1.0]
