"""The events of a dataset in order, and their expansion into courses."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nlmebayes.data.dataset import Dataset
from nlmebayes.data.validate import DataError
from nlmebayes.structure.timeline import expand, in_order, places

KIND = {"sample": 0, "dose": 1, "other": 2, "reset": 3, "redose": 4}
DEPOT, CENTRAL = ((0, "as given"),), ((1, "as given"),)
ENTRIES = {None: DEPOT, "depot": DEPOT, "1": DEPOT, "central": CENTRAL, "2": CENTRAL}


def read(*records, by="nocb", **options):
    """A dataset of (time, kind, columns) in the order given, ``wt`` 70 unless it is said; subject 1 unless ``ID``."""
    rows = [{"ID": 1, "TIME": time, "EVID": KIND[kind], "wt": 70.0, "AMT": 0.0} | more for time, kind, more in records]
    frame = pd.DataFrame(rows)
    frame["DV"] = np.where(frame["EVID"] == 0, 1.0, np.nan)
    for column in {"RATE", "ADDL", "II", "SS"} & set(frame.columns):
        frame[column] = frame[column].fillna(0)
    return Dataset.from_nonmem(frame, inputs=["wt"], interpolation=by, duplicates="keep", **options)


def sample(time, **more):
    return time, "sample", more


def dose(time, amount=100.0, **more):
    return time, "dose", {"AMT": amount} | more


def other(time, **more):
    return time, "other", more


def reset(time, **more):
    return time, "reset", more


def ordered(data):
    """As `design` numbers them: a unit for each combination of subject and weight."""
    records = in_order(data, ["wt"])
    number = records.groupby(["id"], sort=False).ngroup()
    return records.assign(unit=records.groupby(["id", "wt"], sort=False).ngroup(), subject=number)


def expanded(*records, by="nocb", entries=ENTRIES):
    """Courses as they are read: records (time, unit, place), doses (time, amount, rate, unit, route), the head."""
    return unpacked(expand(ordered(read(*records, by=by)), entries, by, "data"))


def unpacked(timeline):
    courses = []
    for first, last, from_dose, to_dose, head in timeline.courses:
        records = [(timeline.records[i, 0], *timeline.of_record[i].tolist()) for i in range(first, last)]
        given = [(timeline.doses[k, 0], *timeline.doses[k, 2:4], *timeline.of_dose[k].tolist())
                 for k in range(from_dose, to_dose)]  # fmt: skip
        start = None if head < 0 else (*timeline.doses[head, [0, 2, 3, 4]].tolist(), *timeline.of_dose[head].tolist())
        courses.append(SimpleNamespace(records=records, doses=given, head=start))
    return courses


def times(course):
    return [record[0] for record in course.records]


def dosed(course):
    return [given[0] for given in course.doses]


# --- order -----------------------------------------------------------------------------------------------------------


def test_records_come_by_subject_time_and_row():
    data = read(sample(0), dose(0), sample(0), dose(5), sample(7), dose(1, ID=2), sample(2, ID=2))
    found = in_order(data, [])
    assert found["what"].str[0].tolist() == ["o", "d", "o", "d", "o", "d", "o"]
    assert found["row"].tolist() == [1, 2, 3, 4, 5, 6, 7]
    assert found["id"].tolist() == ["1"] * 5 + ["2"] * 2


def test_a_reset_and_the_dose_of_its_row_come_in_this_order():
    found = in_order(read(sample(0), (2, "redose", {"AMT": 50.0}), sample(3)), [])
    assert found["what"].tolist() == ["observation", "reset", "dose", "observation"]
    assert found["row"].tolist() == [1, 2, 2, 3]


def test_doses_of_a_frame_come_before_the_samples_of_their_time():
    frame = pd.DataFrame({"id": 1, "time": [0.0, 5.0], "y": 1.0})
    doses = pd.DataFrame({"id": 1, "time": [5.0, 0.0], "amt": [1.0, 2.0]})
    data = Dataset.from_frame(frame, outcome="y", time="time", levels="id", doses=doses, sort=True)
    found = in_order(data, [])
    assert found["what"].tolist() == ["dose", "observation"] * 2
    assert found["amount"].dropna().tolist() == [2.0, 1.0]


def test_places_count_outcome_by_outcome():
    frame = pd.DataFrame({"ID": 1, "TIME": [0, 0, 1, 1], "AMT": 0.0, "EVID": 0, "DV": 1.0, "DVID": [2, 1, 2, 1]})
    data = Dataset.from_nonmem(frame, outcome={1: "conc", 2: "effect"})
    first = data.outcomes.index("conc") == 0
    assert places(data).tolist() == ([2, 0, 3, 1] if first else [0, 2, 1, 3])


def test_places_of_the_records_are_those_of_the_samples():
    (course,) = expanded(dose(0), sample(1), other(2, wt=80.0), sample(3))
    assert [place for *_, place in course.records] == [-1, 0, -1, 1]


# --- doses -----------------------------------------------------------------------------------------------------------


def test_additional_doses_stop_at_the_last_record():
    (course,) = expanded(dose(0, ADDL=500, II=12), sample(30))
    assert dosed(course) == [0, 12, 24]


def test_an_additional_dose_at_the_last_record_is_given():
    (course,) = expanded(dose(0, ADDL=500, II=12), sample(24))
    assert dosed(course) == [0, 12, 24]


def test_additional_doses_and_others_come_by_time():
    (course,) = expanded(dose(0, ADDL=2, II=12), dose(5, 7.0, ADDL=1, II=12), sample(30))
    assert [(time, amount) for time, amount, *_ in course.doses] == [(0, 100), (5, 7), (12, 100), (17, 7), (24, 100)]


def test_a_dose_after_the_last_sample_does_not_matter():
    (course,) = expanded(dose(0), sample(5), dose(7))
    assert times(course) == [5]
    assert course.doses[0][:2] == (0, 100)


def test_a_subject_without_doses_has_a_course():
    (course,) = expanded(sample(0), sample(5))
    assert (times(course), course.doses, course.head) == ([0, 5], [], None)


def test_a_dose_goes_by_its_compartment():
    (course,) = expanded(dose(0, CMT=2), dose(1, CMT=1), dose(2, CMT=0), sample(3, CMT=2))
    assert [route for *_, route in course.doses] == [1, 0, 0]


def test_a_dose_of_two_routes_is_two():
    two = {None: ((0, "as given"), (1, "duration"))}
    (course,) = expanded(dose(0, ADDL=1, II=5), sample(9), entries=two)
    assert course.doses == [(0, 100, 0, 0, 0), (0, 100, -2, 0, 1), (5, 100, 0, 0, 0), (5, 100, -2, 0, 1)]


@pytest.mark.parametrize(("kind", "code"), [("as given", 0), ("rate", -1), ("duration", -2)])
def test_a_record_without_rate_takes_the_modelled_one(kind, code):
    entries = {None: ((0, kind),)}
    (course,) = expanded(
        dose(0), dose(1, RATE=20.0), *([dose(2, RATE=code)] if code else []), sample(3), entries=entries
    )
    assert [rate for _, _, rate, *_ in course.doses] == [code, 20] + [code] * (code < 0)


@pytest.mark.parametrize(("rate", "word"), [(-1, "rate"), (-2, "duration")])
@pytest.mark.parametrize("entries", [ENTRIES, {None: ((0, "rate"),)}, {None: ((0, "duration"),)}])
def test_a_modelled_input_that_the_structure_lacks_is_named(rate, word, entries):
    records = (sample(0), dose(0, RATE=rate), sample(1))
    if entries[None][0][1] == word:
        assert len(expanded(*records, entries=entries)) == 1
        return
    with pytest.raises(DataError, match=f"data, row 2, column RATE: {rate} asks for a modelled {word} of the input"):
        expanded(*records, entries=entries)


def test_a_state_that_is_not_there_is_named():
    with pytest.raises(DataError, match=r"data, row 3, column CMT: no state '7' .* depot, 1, central, 2"):
        expanded(dose(0), sample(1), dose(2, CMT=7), sample(3))


def test_an_unknown_state_after_the_last_sample_is_named_as_well():
    with pytest.raises(DataError, match="row 3, column CMT"):
        expanded(dose(0), sample(1), dose(2, CMT=7))


# --- courses ---------------------------------------------------------------------------------------------------------


def test_a_reset_ends_a_course_and_all_that_was_to_come():
    one, two = expanded(dose(0, ADDL=9, II=5), sample(7), reset(12), sample(12), dose(13, 50.0), sample(20))
    assert (times(one), one.doses[0][:2]) == ([7], (0, 100))
    assert (times(two), [given[:2] for given in two.doses]) == ([12, 20], [(13, 50)])


def test_courses_without_samples_are_left_out():
    (course,) = expanded(dose(0), reset(5), dose(6), reset(7), dose(8, 30.0), sample(9))
    assert (times(course), dosed(course)) == ([9], [8])


def test_a_steady_state_replaces_what_was():
    one, two = expanded(dose(0, ADDL=9, II=5), sample(7), dose(12, 50.0, SS=1, II=8, ADDL=1), sample(13), sample(30))
    assert (times(one), one.head) == ([7], None)
    assert times(two) == [12, 13, 30]
    assert two.head == (12, 50, 0, 8, 0, 0)
    assert two.doses == [(20, 50, 0, 0, 0)]


def test_the_first_record_of_a_steady_state_is_that_of_its_dose():
    (course,) = expanded(dose(3, SS=1, II=8), sample(3), sample(4))
    assert [(time, place) for time, _, place in course.records] == [(3, -1), (3, 0), (4, 1)]


def test_a_steady_state_may_be_added():
    main, beside = expanded(
        dose(0, ADDL=3, II=5), sample(7), dose(12, 50.0, SS=2, II=8, ADDL=2), sample(13), sample(30)
    )
    assert [place for *_, place in main.records if place >= 0] == [0, 1, 2]
    assert main.doses == [(time, 100, 0, 0, 0) for time in (0, 5, 10, 15)] + [(time, 50, 0, 0, 0) for time in (20, 28)]
    assert (times(beside), beside.doses, beside.head) == ([12, 13, 30], [], (12, 50, 0, 8, 0, 0))


def test_steady_states_add_until_one_replaces_them():
    found = expanded(
        dose(0, SS=1, II=8), dose(1, SS=2, II=6), dose(2, SS=2, II=4), sample(3), dose(4, SS=1, II=3), sample(5)
    )  # fmt: skip
    assert [course.head[3] for course in found] == [8, 6, 4, 3]
    assert [[place for *_, place in course.records if place >= 0] for course in found] == [[0], [0], [0], [1]]


def test_a_reset_ends_added_steady_states():
    main, beside, after = expanded(dose(0), dose(1, SS=2, II=6), sample(3), reset(4), sample(5))
    assert (beside.head[3], after.head, times(after)) == (6, None, [5])
    assert times(main)[-1] == times(beside)[-1] == 3


def test_a_steady_state_of_two_routes_is_two_courses():
    two = {None: ((0, "as given"), (1, "duration"))}
    one, other = expanded(dose(0, SS=1, II=8, ADDL=1), sample(9), entries=two)
    assert (one.head, other.head) == ((0, 100, 0, 8, 0, 0), (0, 100, -2, 8, 0, 1))
    assert one.doses + other.doses == [(8, 100, 0, 0, 0), (8, 100, -2, 0, 1)]


def test_a_constant_infusion_has_no_interval():
    (course,) = expanded(dose(0, 0.0, RATE=20.0, SS=1), sample(5))
    assert course.head == (0, 0, 20, 0, 0, 0)


# --- parameters in time ----------------------------------------------------------------------------------------------

CHANGES = (dose(0, wt=50.0, ADDL=3, II=2), sample(1, wt=60.0), other(4, wt=70.0), sample(5, wt=80.0))


def test_backward_a_record_governs_the_interval_before_it():
    (course,) = expanded(*CHANGES)
    assert [(time, unit) for time, unit, _ in course.records] == [(0, 0), (1, 1), (4, 2), (5, 3)]
    assert [(time, unit) for time, _, _, unit, _ in course.doses] == [(0, 0), (2, 2), (4, 2)]


def test_forward_a_record_governs_the_interval_after_it():
    (course,) = expanded(*CHANGES, by="locf")
    assert [(time, unit) for time, unit, _ in course.records] == [(0, 0), (1, 0), (4, 1), (5, 2)]
    assert [(time, unit) for time, _, _, unit, _ in course.doses] == [(0, 0), (2, 1), (4, 2)]


def test_records_that_change_nothing_are_left_out():
    (course,) = expanded(dose(0), other(1), sample(2), other(3), sample(4), other(9))
    assert times(course) == [2, 4]


def test_a_weight_that_a_dose_lacks_is_that_of_the_governing_sample():
    frame = pd.DataFrame({"id": 1, "time": [1.0, 5.0], "y": 1.0, "wt": [60.0, 80.0]})
    doses = pd.DataFrame({"id": 1, "time": [0.0, 3.0, 7.0], "amt": 1.0})
    for by, expected in (("nocb", [60, 60, 80, 80, 80]), ("locf", [60, 60, 60, 80, 80])):
        data = Dataset.from_frame(
            frame, outcome="y", time="time", levels="id", inputs=["wt"], doses=doses, interpolation=by
        )  # fmt: skip
        found = in_order(data, ["wt"])
        assert found["time"].tolist() == [0, 1, 3, 5, 7]
        assert found["wt"].tolist() == expected


def test_a_dose_may_have_a_weight_of_its_own():
    frame = pd.DataFrame({"id": 1, "time": [1.0, 5.0], "y": 1.0, "wt": [60.0, 80.0]})
    doses = pd.DataFrame({"id": 1, "time": [3.0], "amt": 1.0, "wt": 65.0})
    data = Dataset.from_frame(frame, outcome="y", time="time", levels="id", inputs=["wt"], doses=doses)
    assert in_order(data, ["wt"])["wt"].tolist() == [60, 65, 80]


# --- whole and parts -------------------------------------------------------------------------------------------------


@st.composite
def subjects(draw):
    """Records of one subject: any kinds, several at one time."""
    time, found = 0.0, [(0.0, "dose", {"AMT": 20.0, "wt": 60.0})]
    for _ in range(draw(st.integers(1, 8))):
        time += draw(st.sampled_from([0, 0, 1, 2.5]))
        weight = {"wt": draw(st.sampled_from([60.0, 70.0]))}
        train = draw(st.sampled_from([{}, {}, {"ADDL": 2, "II": 2.0}, {"SS": 1, "II": 3.0}, {"SS": 2, "II": 3.0}]))
        if train.get("SS") == 1 and any(at == time and more.get("SS") == 1 for at, _, more in found):
            train = train | {"SS": 2}  # a second SS 1 at one time is refused
        kind = draw(st.sampled_from(list(KIND)))
        found.append((time, kind, weight | ({"AMT": 50.0} | train if kind in ("dose", "redose") else {})))
    return [*found, (time + draw(st.sampled_from([0, 4.0])), "sample", {"wt": 70.0})]


def shape(course, first_unit, first_place):
    """A course with units and places counted from those of its subject."""
    records = [(time, unit - first_unit, place - first_place * (place >= 0)) for time, unit, place in course.records]
    given = [(*rest, unit - first_unit, route) for *rest, unit, route in course.doses]
    head = course.head and (*course.head[:-2], course.head[-2] - first_unit, course.head[-1])
    return records, given, head


@settings(deadline=None, max_examples=25)
@given(st.lists(subjects(), min_size=1, max_size=4), st.sampled_from(["nocb", "locf"]))
def test_expanding_each_subject_is_expanding_all(each, by):
    whole = [(time, kind, more | {"ID": i}) for i, records in enumerate(each) for time, kind, more in records]
    together, apart, units, place = expanded(*whole, by=by), [], 0, 0
    for records in each:
        apart += [(course, units, place) for course in expanded(*records, by=by)]
        units += ordered(read(*records, by=by))["unit"].max() + 1
        place += sum(kind == "sample" for _, kind, _ in records)
    assert len(together) == len(apart)
    for one, (other, unit, first) in zip(together, apart, strict=True):
        assert shape(one, unit, first) == shape(other, 0, 0)


@settings(deadline=None, max_examples=25)
@given(subjects(), st.sampled_from(["nocb", "locf"]))
def test_what_an_expansion_is(records, by):
    """Every sample once or more; records and doses in order; places of one subject from 0."""
    timeline = expand(ordered(read(*records, by=by)), ENTRIES, by, "data")
    seen = timeline.of_record[:, 1]
    assert set(seen[seen >= 0]) == set(range(sum(kind == "sample" for _, kind, _ in records)))
    for first, last, from_dose, to_dose, head in timeline.courses:
        assert (np.diff(timeline.records[first:last, 0]) >= 0).all()
        assert (np.diff(timeline.doses[from_dose:to_dose, 0]) >= 0).all()
        assert timeline.of_record[last - 1, 1] >= 0
        assert head in (-1, from_dose - 1)
        assert (timeline.doses[from_dose:to_dose, 4] == 0).all()
