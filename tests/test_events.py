"""Records of an event table: doses, resets, censored values, dates, and the rules that refuse what cannot be meant."""

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from nlmebayes.data.dataset import Dataset
from nlmebayes.data.validate import DataError

quick = settings(deadline=None, max_examples=20)


def table(**columns):
    """A dose in row 1, samples in rows 2 to 4; ``columns`` replaces or adds."""
    base = {"ID": 1, "TIME": [0.0, 1.0, 2.0, 3.0], "AMT": [100.0, 0, 0, 0], "DV": [np.nan, 3.0, 2.0, 1.0]}
    return pd.DataFrame(base | columns)


def read(frame=None, **options):
    return Dataset.from_nonmem(table() if frame is None else frame, **options)


def first(value, rest=0):
    """A column with ``value`` in row 1."""
    return [value, rest, rest, rest]


def third(value, rest=0):
    """A column with ``value`` in row 3, a sample."""
    return [rest, rest, value, rest]


# --- frames ----------------------------------------------------------------------------------------------------------


def test_columns_of_the_three_frames():
    data = read(table(WT=70.0, CRCL=[90, 90, 80, 70]))
    rest = ["WT", "CRCL"]
    dose = ["amount", "position", "state", "rate", "addl", "ii", "ss"]
    assert data.observations.columns.tolist() == ["row", "id", "time", "outcome", "value", "lower", "upper", *rest]
    assert data.doses.columns.tolist() == ["row", "id", "time", *dose, *rest]
    assert data.events.columns.tolist() == ["row", "id", "time", "position", "kind", *rest]
    assert (data.covariates, data.inputs) == (("WT",), ("CRCL",))


def test_a_frame_has_the_same_columns_with_and_without_doses():
    frame = pd.DataFrame({"id": 1, "time": [0.0, 1.0], "conc": [1.0, 2.0], "wt": 70.0})
    doses = pd.DataFrame({"id": [1], "time": [0.0], "amt": [5.0]})
    plain, dosed = (Dataset.from_frame(frame, outcome="conc", levels="id", time="time", doses=d) for d in (None, doses))
    assert_frame_equal(plain.doses, dosed.doses.iloc[:0])
    assert_frame_equal(plain.observations, dosed.observations)
    assert plain.events.columns.tolist() == ["row", "id", "time", "position", "kind", "wt"]
    assert plain.observations["lower"].isna().all()


def test_a_dose_record_is_one_row_with_all_it_says():
    data = read(table(RATE=first(10), ADDL=first(3), II=first(12), SS=first(1), CMT=[2, 1, 1, 1]))
    row = data.doses.iloc[0]
    assert (row["rate"], row["addl"], row["ii"], row["ss"], row["state"]) == (10, 3, 12, 1, "2")
    assert len(data.doses) == 1


@pytest.mark.parametrize("ss", [(0, 0), (1, 1), (2, 2), (3, 1)])
def test_ss_3_is_1(ss):
    assert read(table(SS=first(ss[0]), II=first(12 if ss[0] else 0))).doses["ss"].tolist() == [ss[1]]


@pytest.mark.parametrize("rate", [10, -1])
@pytest.mark.parametrize("evid", [{}, {"EVID": first(1)}])
def test_a_constant_infusion_has_no_amount(rate, evid):
    dose = read(table(AMT=0, RATE=first(rate), SS=first(1), **evid)).doses.iloc[0]
    assert (dose["amount"], dose["rate"], dose["ss"], dose["ii"]) == (0, rate, 1, 0)


def test_the_interval_may_be_a_clock_time():
    assert read(table(ADDL=first(2), II=["12:30", "0", "0", "0"])).doses["ii"].tolist() == [12.5]


def test_other_events_and_resets():
    data = read(table(EVID=[1, 2, 3, 0]))
    assert data.events[["row", "position", "kind"]].to_numpy().tolist() == [[2, 2, "other"], [3, 3, "reset"]]
    assert data.observations["row"].tolist() == [4]
    assert data.excluded == {}


def test_records_left_out_stay_other_events():
    data = read(table(MDV=[1, 1, 0, 0], DV=[np.nan, 3, np.nan, 1]))
    assert data.events[["row", "kind"]].to_numpy().tolist() == [[2, "other"], [3, "other"]]
    assert data.excluded == {"MDV is 1": 1, "dv is missing": 1}


def test_what_is_predicted_is_no_event_but_evid_2_is():
    data = read(table(EVID=[1, 2, 0, 0], MDV=[1, 1, 1, 0]), unmeasured="predict")
    assert data.events["row"].tolist() == [2]
    assert data.observations["value"].isna().tolist() == [True, False]
    assert data.observations["lower"].isna().all()


def test_events_of_a_subject_without_observations_are_dropped():
    frame = pd.concat([table(EVID=[1, 0, 0, 0]), table(ID=2, EVID=[1, 2, 3, 2])], ignore_index=True)
    data = read(frame)
    assert data.excluded == {"dose of a id without observations": 1}
    assert data.events.empty


def test_events_follow_their_subjects():
    frame = pd.concat([table(EVID=[1, 0, 2, 0]), table(ID=2, EVID=[1, 0, 3, 0])], ignore_index=True)
    data = read(frame)
    assert data.sel(id=2).events["kind"].tolist() == ["reset"]
    assert data.drop_sel(id=2).events["kind"].tolist() == ["other"]
    assert data.over(time=[5.0]).observations["row"].min() > 8


@quick
@given(st.lists(st.sampled_from([0, 1, 2, 3, 4]), min_size=1, max_size=12))
def test_evid_4_is_a_reset_and_a_dose(evids):
    def frame(evids):
        amount = [50.0 if e in (1, 4) else 0.0 for e in evids]
        return pd.DataFrame({"ID": 1, "TIME": range(len(evids)), "AMT": amount, "DV": 1.0, "EVID": evids})

    evids = [*evids, 0]
    data, plain = read(frame(evids)), read(frame([1 if e == 4 else e for e in evids]))
    assert_frame_equal(data.doses, plain.doses)
    assert_frame_equal(data.observations, plain.observations)
    resets = [i + 1 for i, e in enumerate(evids) if e in (3, 4)]
    assert data.events[data.events["kind"] == "reset"]["row"].tolist() == resets
    rows = [*data.observations["row"], *data.doses["row"], *plain.events["row"]]
    assert sorted(rows) == list(range(1, len(evids) + 1))


@quick
@given(st.permutations(range(6)), st.lists(st.sampled_from([0, 1, 2, 3]), min_size=6, max_size=6))
def test_sort_makes_the_order_of_events_irrelevant(order, evids):
    evids = [*evids[:5], 0]
    amount = [50.0 if e == 1 else 0.0 for e in evids]
    frame = pd.DataFrame({"ID": 1, "TIME": range(6), "AMT": amount, "DV": 1.0, "EVID": evids, "WT": range(6)})
    data, other = read(frame), read(frame.iloc[order], sort=True)
    for part in ("observations", "doses", "events"):
        columns = [c for c in getattr(data, part) if c not in ("row", "position")]
        assert_frame_equal(getattr(data, part)[columns], getattr(other, part)[columns])


# --- rules of records ------------------------------------------------------------------------------------------------

RULES = [
    ({"AMT": first(-1.0)}, "row 1, column AMT: -1 is negative"),
    ({"AMT": third(5.0), "EVID": third(0)}, r"row 3, column AMT: 5 on an observation record \(EVID 0\)"),
    ({"AMT": third(5.0), "EVID": third(2)}, r"row 3, column AMT: 5 on another event \(EVID 2\)"),
    ({"AMT": third(5.0), "EVID": third(3)}, r"row 3, column AMT: 5 on a reset \(EVID 3\)"),
    ({"EVID": [1, 0, 1, 0]}, r"row 3, column AMT: a dose record \(EVID 1\) without an amount"),
    ({"EVID": [1, 0, 4, 0]}, r"row 3, column AMT: a dose record \(EVID 4\) without an amount"),
    ({"EVID": [1, 0, 5, 0]}, "row 3, column EVID: 5 is none of 0, 1, 2, 3, 4$"),
    ({"EVID": [101, 0, 0, 0]}, r"row 1, column EVID: 101 .* RxODE's old coding; write EVID 1 with CMT 1 \(EVID // 100"),
    ({"EVID": [201, 0, 0, 0]}, "row 1, column EVID: 201 .* CMT 2"),
    ({"EVID": [1, 0, 0.5, 0]}, "row 3, column EVID: 0.5 is none of"),
    ({"EVID": [1, 0, np.nan, 0]}, "row 3, column EVID: is missing"),
    ({"EVID": [1, 0, "dose", 0]}, "row 3, column EVID: 'dose' is text"),
    ({"RATE": first(-3)}, "row 1, column RATE: -3 is negative; only -1 .* -2"),
    ({"RATE": third(5)}, "row 3, column RATE: 5 on a record that gives no dose"),
    ({"RATE": first(5), "AMT": 0.0}, "row 1, column RATE: 5 on a record that gives no dose"),
    ({"RATE": first(np.inf)}, "row 1, column RATE: is inf"),
    ({"RATE": first("fast")}, "row 1, column RATE: 'fast' is text"),
    ({"ADDL": first(2)}, "row 1, column ADDL: 2 additional doses without an interval II"),
    ({"ADDL": first(-2), "II": first(12)}, "row 1, column ADDL: -2 is negative; NONMEM's negative ADDL"),
    ({"ADDL": first(1.5), "II": first(12)}, "row 1, column ADDL: 1.5 is not a whole number"),
    ({"ADDL": third(2)}, "row 3, column ADDL: 2 on a record that gives no dose"),
    ({"II": first(-12)}, "row 1, column II: -12 is negative"),
    ({"II": first(12)}, "row 1, column II: 12 without ADDL or SS"),
    ({"II": third(12)}, "row 3, column II: 12 on a record that gives no dose"),
    ({"II": ["noon:30", 0, 0, 0]}, "row 1, column II: 'noon:30' is no time"),
    ({"SS": first(4), "II": first(12)}, "row 1, column SS: 4 is none of 0, 1, 2, 3"),
    ({"SS": third(1)}, "row 3, column SS: 1 on a record that gives no dose"),
    ({"SS": first(1)}, "row 1, column SS: 1: a steady state needs the interval II"),
    ({"SS": first(1), "RATE": first(5)}, "row 1, column SS: 1: a steady state needs the interval II"),
    ({"SS": first(2), "RATE": first(-2)}, "row 1, column SS: 2: .* modelled duration"),
    ({"SS": first(1), "RATE": first(-2), "AMT": 0.0, "EVID": first(1)}, "row 1, column SS: 1: .* modelled duration"),
    (
        {"SS": first(1), "RATE": first(5), "AMT": 0.0, "ADDL": first(2)},
        "row 1, column ADDL: 2 additional doses of a constant infusion",
    ),
    (
        {"SS": first(1), "RATE": first(5), "AMT": 0.0, "II": first(12), "EVID": first(1)},
        r"row 1, column AMT: a dose record \(EVID 1\) without an amount",
    ),
    ({"CMT": first(-1)}, "row 1, column CMT: -1: turning compartments off is not supported"),
    ({"CMT": third(-2), "EVID": [1, 0, 2, 0]}, "row 3, column CMT: -2: turning compartments off"),
    ({"CMT": first(1.5)}, "row 1, column CMT: 1.5 is neither a whole number nor a name"),
    ({"CENS": third(2)}, "row 3, column CENS: 2 is none of -1, 0, 1"),
    ({"CENS": first(1)}, "row 1, column CENS: 1 on a dose"),
    ({"CENS": first(0), "LIMIT": first(0.5)}, "row 1, column LIMIT: 0.5 on a dose"),
    ({"LIMIT": third(0.5)}, "row 3, column LIMIT: 0.5 on a record that is not censored"),
    ({"CENS": third(0), "LIMIT": third(0.5)}, "row 3, column LIMIT: 0.5 on a record that is not censored"),
    ({"CENS": third(1), "LIMIT": third(2.0)}, "row 3, column LIMIT: 2 is not below the DV"),
    ({"CENS": third(-1), "LIMIT": third(1.0)}, "row 3, column LIMIT: 1 is not above the DV"),
    ({"CENS": third(1), "DV": [np.nan, 3, np.nan, 1]}, "row 3, column DV: is missing on a censored record"),
    ({"TIME": [0, 2, 1, 3], "EVID": [1, 0, 3, 0]}, r"row 3, column TIME: 1: time goes back at a reset \(EVID 3 or 4\)"),
    ({"OCC": [1, 2, 1, 1]}, "row 3, column occ: occasion 1 comes back after occasion 2 within id 1; give"),
    ({"DVUNIT": ["mg", "ng/mL", "ng/mL", "ug/mL"]}, "row 4, column DVUNIT: ug/mL after ng/mL: convert to one unit"),
    ({"Units": [None, "ng/mL", "mg/L", None]}, "row 3, column Units: mg/L after ng/mL"),
    ({"TIMEUNIT": ["h", "h", "min", "h"]}, "row 3, column TIMEUNIT: min after h"),
    (
        {"AMT": [100.0, 0, 5, 0], "DV": [np.nan, 3.0, np.nan, 1.0], "AMTUNIT": ["mg", "x", "g", "y"]},
        "row 3, column AMTUNIT: g after mg: convert to one unit; nothing is converted silently",
    ),
]


@pytest.mark.parametrize(("columns", "message"), RULES, ids=[f"{i}-{'-'.join(c)}" for i, (c, _) in enumerate(RULES)])
def test_a_record_that_cannot_be_meant_is_refused(columns, message):
    with pytest.raises(DataError, match=f"^trial.csv, {message}"):
        read(table(**columns), source="trial.csv")


def test_occasions_below_a_subject_do_not_come_back():
    with pytest.raises(DataError, match="row 3, column period: period a comes back after period b within id 1"):
        read(table(PERIOD=["a", "b", "a", "a"]), levels=("id", "id/period"))
    frame = table(OCC=[1, 2, 1, 1])
    with pytest.raises(DataError, match="row 3, column occ: occasion 1 comes back after occasion 2 within id 1"):
        read(frame, levels=("id", "occ"))


def test_overlapping_infusions_are_welcome():
    frame = table(AMT=[100.0, 100, 0, 0], RATE=[1, 1, 0, 0], DV=[np.nan, np.nan, 2.0, 1.0])
    assert len(read(frame).doses) == 2


def test_outcomes_may_have_units_of_their_own():
    frame = table(DVID=[1, 1, 2, 1], DVUNIT=["mg", "mg/L", "%", "mg/L"])
    assert read(frame, outcome={1: "conc", 2: "pca"}).outcomes == ("conc", "pca")


def test_a_column_that_is_no_unit_of_measurement_is_declared():
    assert read(table(UNIT=["icu", "icu", "ward", "ward"]), inputs="UNIT").inputs == ("UNIT",)


# --- censored values -------------------------------------------------------------------------------------------------


def intervals(data):
    return data.observations[["value", "lower", "upper"]].to_numpy().tolist()


def test_cens_and_limit_give_intervals():
    data = read(table(CENS=[0, 1, 1, -1], LIMIT=[np.nan, np.nan, 0.5, np.nan]))
    assert intervals(data) == [[3, -np.inf, 3], [2, 0.5, 2], [1, 1, np.inf]]
    assert intervals(read(table(CENS=[0, -1, -1, -1], LIMIT=[0, 4, 5, 6]))) == [[3, 3, 4], [2, 2, 5], [1, 1, 6]]


def test_a_limit_of_0_bounds_a_censored_record_and_says_nothing_on_another():
    lower = read(table(CENS=[0, 0, 0, 1], LIMIT=0.0)).observations["lower"]
    assert np.array_equal(lower, [np.nan, np.nan, 0.0], equal_nan=True)


def test_mdv_wins_over_cens():
    data = read(table(CENS=third(1), MDV=third(1), DV=[np.nan, 3, np.nan, 1]))
    assert data.excluded == {"MDV is 1": 1}


@pytest.mark.parametrize(
    "limits",
    [{"lloq": 2, "uloq": 2.5}, {"lloq": {"dv": 2.0}, "uloq": {"dv": 2.5}}, {"lloq": "LOW", "uloq": "HIGH"}],
)
def test_limits_of_quantification_are_a_number_a_mapping_or_a_column(limits):
    data = read(table(LOW=2.0, HIGH=2.5), **limits)
    found = data.observations[["value", "lower", "upper"]].to_numpy()
    assert np.array_equal(found, [[2.5, 2.5, np.inf], [2, np.nan, np.nan], [2, -np.inf, 2]], equal_nan=True)
    assert ("LOW" in data.covariates) == ("LOW" not in limits.values())


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"lloq": {"conc": 1}}, "lloq= names 'conc'; the outcomes are dv"),
        ({"uloq": np.nan}, "uloq must be a finite number, a name, a dict, each value a finite number or None; got nan"),
        ({"lloq": "LLOQ"}, "no column 'LLOQ'; its columns are"),
        ({"lloq": 2, "uloq": 2}, "row 1, column lloq: the lower limit of quantification 2 is not below the upper one"),
    ],
)
def test_limits_that_are_none_are_refused(limits, message):
    with pytest.raises(DataError, match=message):
        read(**limits)


def test_m1_leaves_out_what_is_below_and_counts_it():
    data = read(lloq=2.5, blq="M1", outcome="conc")
    assert data.excluded == {"conc is below the limit of quantification (M1)": 2}
    assert data.events[["row", "kind"]].to_numpy().tolist() == [[3, "other"], [4, "other"]]
    assert intervals(read(uloq=0.5, blq="M1")) == [[0.5, 0.5, np.inf]] * 3
    with pytest.raises(DataError, match="every measurement of dv is below its limit of quantification, and blq='M1'"):
        read(lloq=9, blq="M1")


def test_m4_takes_measurements_for_positive():
    assert intervals(read(lloq=2.5, blq="M4"))[1:] == [[2.5, 0, 2.5]] * 2
    with pytest.raises(DataError, match="row 3, column DV: 0 is not positive; blq='M4'"):
        read(table(DV=[np.nan, 3, 0, 1]), blq="M4")


def test_two_values_below_the_limit_at_one_time_are_no_duplicates():
    assert len(read(table(TIME=[0, 1, 2, 2]), lloq=9).observations) == 3


@quick
@given(st.lists(st.sampled_from([-1, 0, 1]), min_size=3, max_size=3))
def test_from_frame_reads_flags_as_from_nonmem_does(flags):
    limit = [f * -0.5 + v if f else np.nan for f, v in zip(flags, (3, 2, 1), strict=True)]
    frame = pd.DataFrame({"id": 1, "time": [1, 2, 3], "dv": [3.0, 2, 1], "cens": flags, "limit": limit})
    options = {"outcome": "dv", "levels": "id", "time": "time", "censored": "cens", "limit": "limit"}
    data = Dataset.from_frame(frame, **options)
    assert_frame_equal(
        data.observations[["value", "lower", "upper"]],
        read(table(CENS=[0, *flags], LIMIT=[np.nan, *limit])).observations[["value", "lower", "upper"]],
    )
    assert data.inputs == data.covariates == ()


TIDY = pd.DataFrame({"id": 1, "time": [1.0, 2.0], "conc": [3.0, np.nan], "cens": [0, 1], "low": [1.0, 2.0]})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"censored": "cens"}, "data, row 2, column conc: is missing on a censored record"),
        ({"censored": "low"}, "data, row 2, column low: 2 is none of -1, 0, 1"),
        ({"limit": "low"}, "data, row 1, column low: 1 on a record that is not censored"),
        ({"censored": "flag"}, "no column 'flag'"),
        ({"censored": "cens", "covariates": "cens"}, "'cens' is given as a covariate and as a limit"),
        ({"censored": "cens", "outcome": ("conc", "low")}, "censored= and limit= are of a single outcome"),
    ],
)
def test_flags_of_a_frame_are_checked(options, message):
    with pytest.raises(DataError, match=message):
        Dataset.from_frame(TIDY, **({"outcome": "conc", "levels": "id", "time": "time"} | options))


def test_missing_values_stay_missing_below_the_limit():
    data = Dataset.from_frame(TIDY, outcome="conc", levels="id", time="time", lloq={"conc": 5.0}, blq="M3")
    assert intervals(data) == [[5, -np.inf, 5]]
    assert data.excluded == {"conc is missing": 1}


def test_with_values_keeps_limits():
    data = read(lloq=2.5).with_values(dv=[7.0, 8.0, 9.0])
    assert data.observations["value"].tolist() == [7, 8, 9]
    assert_frame_equal(data.observations[["lower", "upper"]], read(lloq=2.5).observations[["lower", "upper"]])


@pytest.mark.parametrize("options", [{"blq": "M2"}, {"interpolation": "spline"}])
def test_options_are_words(options):
    with pytest.raises(ValueError, match="must be '"):
        read(**options)


# --- dates and clocks ------------------------------------------------------------------------------------------------


def times(**columns):
    return read(table(**columns)).observations["time"].tolist()


def test_clock_times_are_hours_since_the_first_record():
    """The example of NM-TRAN's help on TIME: plain numbers beside clock times are hours too."""
    assert times(TIME=["8:00", "8:00:36", "14:45", "14.75"]) == pytest.approx([0.01, 6.75, 6.75])


def test_dates_of_the_help_page():
    """The example of NM-TRAN's help on DATE, dates without a year among them."""
    frame = pd.DataFrame({
        "ID": [1, 1, 1], "TIME": ["9:15", "14:40", "8:30"], "DATE": ["10-1-86", "10-1-86", "10-2-86"], "DV": 1.0,
    })  # fmt: skip
    assert read(frame).observations["time"].round(2).tolist() == [0, 5.42, 23.25]
    frame = pd.DataFrame({"ID": [2, 2], "TIME": [8, 10], "DATE": ["10-12", "10-14"], "DV": 1.0})
    assert read(frame).observations["time"].tolist() == [0, 50]


FORMATS = {"DATE": "%m{0}%d{0}%Y", "DAT1": "%d{0}%m{0}%Y", "DAT2": "%Y{0}%m{0}%d", "DAT3": "%Y{0}%d{0}%m"}
MOMENTS = st.lists(st.datetimes(pd.Timestamp("1951-01-01"), pd.Timestamp("2050-12-31")), min_size=4, max_size=4).map(
    lambda found: pd.Series(pd.to_datetime(sorted(found))).dt.floor("min")
)


@quick
@given(MOMENTS, st.sampled_from(list(FORMATS)), st.sampled_from("/-"), st.booleans())
def test_dates_are_those_of_pandas(moments, name, separator, short):
    pattern = FORMATS[name].format(separator).replace("%Y", "%y" if short else "%Y")
    found = times(TIME=moments.dt.strftime("%H:%M"), **{name: moments.dt.strftime(pattern)})
    assert found == pytest.approx(((moments - moments[0]) / pd.Timedelta(hours=1)).tolist()[1:], abs=1e-9)


@quick
@given(MOMENTS, st.sampled_from(["text", "T", "moments", "zone"]))
def test_time_may_hold_the_date(moments, kind):
    columns = {
        "text": moments.dt.strftime("%Y-%m-%d %H:%M"), "T": moments.dt.strftime("%Y-%m-%dT%H:%M:%S"),
        "moments": moments, "zone": moments.dt.tz_localize("UTC"),
    }  # fmt: skip
    expected = ((moments - moments[0]) / pd.Timedelta(hours=1)).tolist()[1:]
    assert times(TIME=columns[kind]) == pytest.approx(expected, abs=1e-9)


def test_days_may_be_numbers_or_moments():
    assert times(DATE=[3, 3, 4, 5], TIME=[8, 9, 8, 8]) == [1, 24, 48]
    assert times(DATE=pd.to_datetime(["2024-02-28"] * 3 + ["2024-03-01"]), TIME=[8, 9, 10, 8]) == [1, 2, 48]


def test_each_subject_has_its_own_first_record():
    frame = pd.concat([table(TIME=["8:00", "9:00", "10:00", "11:00"], ID=i) for i in (1, 2)], ignore_index=True)
    assert read(frame).observations["time"].tolist() == [1, 2, 3, 1, 2, 3]


def test_sorted_records_count_from_the_earliest():
    frame = table(DATE=[1, 2, 3, 4], TIME=0.0)
    assert read(frame.iloc[[2, 0, 3, 1]], sort=True).observations["time"].tolist() == [24, 48, 72]


def test_numbers_without_dates_are_taken_as_they_are():
    assert times(TIME=[5, 6, 7, 8]) == [6, 7, 8]
    assert times(TIME=[5, 6, 7, 8], DATE=np.nan) == [6, 7, 8]


BAD_TIMES = [
    (
        {"TIME": ["23:30", "23:50", "0:30", "1:00"]},
        "row 3, column TIME: the clock goes back to 0:30 within its subject",
    ),
    ({"TIME": ["8:00", "8:75", "9:00", "9:30"]}, "row 2, column TIME: '8:75' is no time; write hours, hh:mm"),
    ({"TIME": ["8:00", "noon", "9:00", "9:30"]}, "row 2, column TIME: 'noon' is no time"),
    ({"TIME": ["8:00", "", "9:00", "9:30"]}, "row 2, column TIME: is missing"),
    ({"TIME": ["8:00", "25:00", "9:00", "9:30"], "DATE": [1, 1, 2, 3]}, "row 2, column TIME: 25:00 is later than"),
    ({"DATE": [1, 1, np.nan, 2]}, "row 3, column DATE: is missing; every record needs its date"),
    (
        {"DATE": ["1/2/24", "2/30/24", "3/1/24", "3/1/24"]},
        "row 2, column DATE: '2/30/24' is no date; DATE is month/day",
    ),
    ({"DATE": ["2024-01-02"] * 4}, "row 1, column DATE: .* with the year first, name the column DAT2"),
    ({"DAT1": ["1/13/24"] * 4}, "row 1, column DAT1: '1/13/24' is no date; DAT1 is day/month/year"),
    ({"DAT2": ["20240102"] * 4}, "row 1, column DAT2: 20240102 is no date"),
    ({"DAT3": ["monday"] * 4}, "row 1, column DAT3: 'monday' is no date; DAT3 is year/day/month"),
    (
        {"DATE": ["1/2/24", "1/2/24", "3", "4"]},
        "row 3, column DATE: '3' is another kind of date than '1/2/24' in row 1",
    ),
    ({"DATE": [2, 1, 1, 1]}, "row 2, column time: time goes back"),
    ({"DATE": 1, "DAT2": 1}, "dates stand in DATE and in DAT2; leave one out"),
    ({"TIME": pd.to_datetime(["2024-01-01"] * 4), "DATE": 1}, "dates stand in DATE and in TIME; leave one out"),
    (
        {"TIME": ["2024-01-01 08:00", "2024-01-01 09:00Z", "2024-01-01", "2024-01-01"]},
        "row 2, column TIME: .* is no date with a time; write yyyy-mm-dd hh:mm, or dd.mm.yyyy hh:mm, without a zone",
    ),
    ({"TIME": pd.to_datetime(["2024-01-01", None, "2024-01-01", "2024-01-01"])}, "row 2, column TIME: is missing"),
]


@pytest.mark.parametrize(
    ("columns", "message"), BAD_TIMES, ids=[f"{i}-{'-'.join(c)}" for i, (c, _) in enumerate(BAD_TIMES)]
)
def test_a_time_that_cannot_be_read_is_refused(columns, message):
    with pytest.raises(DataError, match=message):
        read(table(**columns))


# --- doses of a frame of their own -----------------------------------------------------------------------------------


def study(doses, **options):
    frame = pd.DataFrame({
        "id": [1, 1, 2, 2], "occ": [1, 2, 1, 2], "time": [1.0, 25.0, 1.0, 25.0], "conc": [1.0, 2, 3, 4], "wt": 70.0,
        "sex": ["f", "f", "m", "m"], "diet": pd.Categorical([1, 1, 3, 3]),
    })  # fmt: skip
    options = {"outcome": "conc", "time": "time", "levels": ("id", "id/occ"), "subject": "id"} | options
    return Dataset.from_frame(frame, doses=pd.DataFrame(doses), **options)


ONE = {"id": [1, 2], "time": 0.0, "amt": 100.0}


def test_doses_of_a_frame_say_what_those_of_an_event_table_do():
    doses = study(ONE | {"rate": 50, "addl": 2, "ii": 12, "ss": 1, "state": "gut", "occ": 1}).doses
    rest = ["wt", "sex", "diet"]
    dose = ["amount", "position", "state", "rate", "addl", "ii", "ss"]
    assert doses.columns.tolist() == ["row", "id", "occ", "time", *dose, *rest]
    assert doses.iloc[0][dose].tolist() == [100, -1, "gut", 50, 2, 12, 1]
    assert doses["occ"].tolist() == ["1/1", "2/1"]
    assert doses[rest].isna().all(axis=None)


def test_levels_below_the_subject_may_be_missing_on_doses():
    doses = study(ONE).doses
    assert [*doses["occ"], *doses["state"]] == [None] * 4


def test_a_duration_gives_the_rate():
    assert study(ONE | {"duration": [4, np.nan]}).doses["rate"].tolist() == [25, 0]


def test_doses_have_covariates_of_the_kinds_of_the_observations():
    data = study(ONE | {"wt": [70, 71], "sex": ["f", None], "diet": [1, 3], "cmt": [0, 2]})
    assert (data.inputs, data.covariates) == (("wt",), ("sex", "diet"))
    assert data.doses["diet"].tolist() == ["1", "3"]
    assert data.doses["diet"].dtype == data.observations["diet"].dtype
    assert data.doses["state"].tolist() == [None, "2"]


BAD_DOSES = [
    ({"rate": [0, -3]}, "row 2, column rate: -3 is negative"),
    ({"rate": [0, 5], "amt": 0.0}, "row 2, column rate: 5 without an amount"),
    ({"duration": [1, -1]}, "row 2, column duration: -1 is negative"),
    ({"duration": [1, np.inf]}, "row 2, column duration: is inf"),
    ({"addl": [0, 1]}, "row 2, column addl: 1 additional doses without an interval II"),
    ({"ii": [0, 12]}, "row 2, column ii: 12 without ADDL or SS"),
    ({"ss": [0, 1]}, "row 2, column ss: 1: a steady state needs the interval II"),
    ({"ss": [0, "often"]}, "row 2, column ss: 'often' is text where a number belongs"),
    ({"cmt": [1, -1]}, "row 2, column cmt: -1: turning compartments off"),
    ({"diet": [1, 2]}, "row 2, column diet: 2 is no category of the observations, which are 1, 3"),
    ({"wt": [70, "heavy"]}, "row 2, column wt: 'heavy' is text where a number belongs"),
    ({"id": [1, 1], "occ": [2, 1], "time": [0.0, 1.0], "x": 0}, "no meaning for column 'x'"),
    ({"rate": 1, "duration": 1}, "columns 'rate' and 'duration' say the same; leave one out"),
    ({"cmt": 1, "state": "gut"}, "columns 'state' and 'cmt' say the same; leave one out"),
]


@pytest.mark.parametrize(
    ("columns", "message"), BAD_DOSES, ids=[f"{i}-{'-'.join(c)}" for i, (c, _) in enumerate(BAD_DOSES)]
)
def test_doses_of_a_frame_pass_the_same_rules(columns, message):
    with pytest.raises(DataError, match=f"^data, doses(, |: ){message}"):
        study(ONE | columns)


def test_an_occasion_of_doses_does_not_come_back():
    doses = {"id": 1, "time": [0.0, 24.0, 48.0], "amt": 1.0, "occ": [1, 2, 1]}
    with pytest.raises(DataError, match="doses, row 3, column occ: occasion 1 comes back after occasion 2"):
        study(doses)


def test_a_declared_covariate_may_not_differ_on_a_dose():
    with pytest.raises(DataError, match="doses, row 2, column sex: the covariate changes within occ 2/1 from m to f"):
        study(ONE | {"occ": 1, "sex": ["f", "f"]}, covariates="sex")


def test_covariates_do_not_take_the_names_of_doses():
    frame = pd.DataFrame({"id": 1, "time": [1.0], "conc": 1.0, "rate": 1.0})
    with pytest.raises(DataError, match="data: the column name 'rate' is used by doses and events; rename"):
        Dataset.from_frame(frame, outcome="conc", levels="id", time="time", doses=pd.DataFrame(ONE))


# --- the grid and the summary ----------------------------------------------------------------------------------------


def changing(**options):
    frame = table(TIME=[0, 10, 20, 30], EVID=[1, 0, 2, 0], CRCL=[90, 80, 70, 60], OCC=[1, 1, 2, 2], WT=[70, 70, 75, 75])
    return read(frame, levels=("id", "occ"), **options)


GRID = [-5, 0, 5, 10, 15, 20, 25, 30, 99]
GOVERNED = {
    "nocb": [90, 90, 80, 80, 70, 70, 60, 60, 60],
    "locf": [90, 90, 90, 80, 80, 70, 70, 60, 60],
    "linear": [90, 90, 85, 80, 75, 70, 65, 60, 60],
}


@pytest.mark.parametrize("interpolation", GOVERNED)
def test_a_grid_takes_what_governs_each_time(interpolation):
    grid = changing(interpolation=interpolation).over(time=GRID).observations
    assert grid["time"].tolist() == GRID
    assert grid["CRCL"].tolist() == GOVERNED[interpolation]
    assert grid["occ"].tolist() == ["1/1" if x > 75 else "1/2" for x in grid["CRCL"]]
    assert grid["WT"].tolist() == [70 if x > 75 else 75 for x in grid["CRCL"]]


@quick
@given(st.lists(st.integers(0, 20), min_size=1, max_size=8), st.lists(st.integers(-2, 22), min_size=1, max_size=5))
def test_a_grid_is_governed_as_by_brute_force(recorded, wanted):
    recorded, wanted = sorted(recorded), [t / 2 for t in wanted]
    frame = pd.DataFrame({"ID": 1, "TIME": [t / 2 for t in recorded], "DV": 1.0, "X": np.arange(len(recorded))})
    both = pd.concat([frame, frame.assign(ID=2, X=-1.0 - frame["X"])], ignore_index=True)
    for rule, pick in itertools.product(("nocb", "locf"), (1, 2)):
        data = read(both, duplicates="keep", interpolation=rule, inputs="X")
        grid = data.over(time=wanted).sel(id=pick).observations["X"]
        expected = [_governing(frame["TIME"], t, rule) for t in wanted]
        assert grid.tolist() == [float(i) if pick == 1 else -1.0 - i for i in expected]


def _governing(times, t, rule):
    until, at = np.flatnonzero(times <= t), np.flatnonzero(times == t)
    if rule == "locf" or len(at):
        return until[-1] if len(until) else 0
    later = np.flatnonzero(times > t)
    return later[0] if len(later) else len(times) - 1


def test_a_missing_value_governs_nothing():
    frame = table(TIME=[0, 10, 20, 30], EVID=[1, 0, 2, 0], CRCL=[np.nan, 80, np.nan, 60])
    assert read(frame).over(time=[0, 15, 25]).observations["CRCL"].tolist() == [80, 60, 60]


def test_a_grid_is_of_the_subject_for_each_outcome():
    frame = table(DVID=[1, 1, 2, 1], OCC=[1, 1, 2, 2], SEX=pd.Categorical(["f"] * 4))
    data = read(frame, levels=("id", "occ"), outcome={1: "conc", 2: "pca"}).over(time=[0.0, 2.5])
    assert data.observations["outcome"].tolist() == ["conc", "conc", "pca", "pca"]
    assert data.observations["occ"].tolist() == ["1/1", "1/2"] * 2
    assert data.observations["SEX"].tolist() == ["f"] * 4
    assert data.observations[["value", "lower", "upper"]].isna().all(axis=None)


def test_the_summary_counts_what_there_is():
    frame = pd.concat([table(), table(TIME=[4.0, 5, 6, 7])], ignore_index=True).assign(
        RATE=[10, 0, 0, 0, 0, 0, 0, 0], ADDL=[2, 0, 0, 0, 0, 0, 0, 0], II=[1, 0, 0, 0, 12, 0, 0, 0],
        SS=[0, 0, 0, 0, 1, 0, 0, 0], EVID=[1, 0, 0, 0, 4, 2, 2, 0], CENS=[0, 1, 0, 0, 0, 0, 0, 0], CRCL=range(8),
    )  # fmt: skip
    text = repr(read(frame))
    for line in (
        "outcome dv: 4 records, 1 censored (M3)", "doses: 2 (1 infusion, 1 steady state, 2 additional doses)",
        "events: 3 (1 reset, 2 other events)", "inputs: CRCL (nocb: a value holds up to its record)",
    ):  # fmt: skip
        assert line in text
    assert "locf: a value holds from its record on" in repr(read(frame, interpolation="locf"))
