"""Labels are text: those of a file are read as they are written, in every reader, level and group."""

from string import printable

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

import nlmebayes as nb
from model_zoo import LinearMixed
from nlmebayes.app import predict, statement
from nlmebayes.data.dataset import Dataset
from nlmebayes.data.validate import DataError
from nlmebayes.evaluation.storage import training_dataset
from nlmebayes.formula.design import resolve

quick = settings(deadline=None, max_examples=20)
DIFFERENT = [["01", "1"], ["1E1", "10"], ["1.1", "1.10"], ["1", "1.0"], ["007", "7"], ["007", "A1"], ["1e2", "1E2"]]
WORDS = st.text(set(printable) - set("\r\n\x0b\x0c\"',;\t# /"), min_size=1, max_size=6)


def events(labels, header="ID"):
    """An event table: each label has a dose and a sample."""
    rows = [row for label in labels for row in (f"{label},0,100,.", f"{label},1,.,2")]
    return "\n".join([f"{header},TIME,AMT,DV", *rows, ""])


@pytest.fixture
def file(tmp_path):
    """A function of the text of a file that gives its path."""

    def written(text, name="table.csv"):
        (tmp_path / name).write_text(text, encoding="utf-8")
        return tmp_path / name

    return written


@pytest.mark.parametrize("labels", DIFFERENT, ids=" and ".join)
def test_labels_of_an_event_table_are_read_as_written(file, labels):
    data = Dataset.from_nonmem(file(events(labels)))
    assert data.observations["id"].tolist() == data.doses["id"].tolist() == labels


@pytest.mark.parametrize("labels", DIFFERENT, ids=" and ".join)
def test_labels_of_a_tidy_file_and_of_its_doses_are_read_as_written(file, labels):
    table = file("\n".join(["site,id,time,y", *(f"{label},{label},1,2" for label in labels)]))
    doses = file("\n".join(["site,id,time,amt", *(f"{label},{label},0,100" for label in labels)]), "doses.csv")
    data = Dataset.from_frame(table, outcome="y", levels=("site", "id"), time="time", doses=doses)
    assert data.observations["site"].tolist() == labels
    assert data.doses["id"].tolist() == data.observations["id"].tolist() == [f"{x}/{x}" for x in labels]


def test_the_command_line_reads_labels_as_written(file):
    table, doses = file("id,time,y\n01,1,2\n1,1,3\n"), file("id,time,amt\n01,0,5\n1,0,7\n", "doses.csv")
    said = {"file": table, "outcome": "y", "time": "time", "levels": ["id"], "doses": doses}
    data = statement.dataset(said)
    assert data.observations["id"].tolist() == data.doses["id"].tolist() == ["01", "1"]


def test_occasions_and_sites_are_read_as_written(file):
    text = "SITE,ID,OCC,TIME,DV\n01,1,1,0,1\n01,1,01,1,2\n1,2,1.0,0,3\n"
    data = Dataset.from_nonmem(file(text), levels=("site", "id", "occ"))
    assert data.observations["occ"].tolist() == ["01/1/1", "01/1/01", "1/2/1.0"]
    assert data.observations["site"].tolist() == ["01", "01", "1"]


def test_a_label_is_the_same_beside_other_labels(file):
    """007 of a patient's own file is the 007 of a file that has an A1 as well."""
    alone, beside = (Dataset.from_nonmem(file(events(x))).observations["id"].iloc[0] for x in (["007"], ["007", "A1"]))
    assert alone == beside == "007"


@pytest.mark.parametrize("header", ["ID", "id", " Id "])
def test_names_of_levels_are_found_in_any_case(file, header):
    assert Dataset.from_nonmem(file(events(["01", "1"], header))).observations["id"].tolist() == ["01", "1"]


@pytest.mark.parametrize("kind", [int, float, np.float32, "Int64", object])
def test_numbers_of_a_frame_are_one_label(kind):
    frame = pd.DataFrame({"id": pd.Series([1, 1, 2], dtype=kind), "y": [1.0, 2.0, 3.0]})
    assert Dataset.from_frame(frame, outcome="y", levels="id").observations["id"].tolist() == ["1", "1", "2"]


def test_a_number_is_one_label_in_a_column_of_anything():
    frame = pd.DataFrame({"id": pd.Series([1, 1.0, np.float32(1), "1", " 1 ", "1.0"], dtype=object), "y": range(6)})
    labels = Dataset.from_frame(frame, outcome="y", levels="id").observations["id"]
    assert labels.tolist() == ["1"] * 5 + ["1.0"]


@pytest.mark.parametrize("cell", ["", "  ", ".", "NA"])
def test_an_empty_label_of_a_file_is_refused(file, cell):
    with pytest.raises(DataError, match=r"^table.csv, row 3, column id: the label is missing"):
        Dataset.from_nonmem(file(events(["1", cell])))


@pytest.mark.parametrize("cell", ["", "  ", ".", None, np.nan])
def test_an_empty_label_of_a_frame_is_refused(cell):
    frame = pd.DataFrame({"id": pd.Series(["a", cell], dtype=object), "y": [1.0, 2.0]})
    with pytest.raises(DataError, match=r"^data, row 2, column id: the label is missing"):
        Dataset.from_frame(frame, outcome="y", levels="id")


@quick
@given(labels=st.lists(WORDS, min_size=1, max_size=5, unique=True))
def test_labels_of_any_kind_come_back_as_written(tmp_path_factory, labels):
    """Those that mean a missing cell are refused; no two become one."""
    path = tmp_path_factory.getbasetemp() / "labels.csv"
    path.write_text(events(labels), encoding="utf-8")
    try:
        assert Dataset.from_nonmem(path).observations["id"].tolist() == labels
    except DataError as error:
        assert "label is missing" in str(error)
        assert {x.lower() for x in labels} & {".", "na", "nan", "null", "none", "n/a", "-nan", "<na>"}


@quick
@given(st.lists(st.integers(-(10**6), 10**6), min_size=1, max_size=6, unique=True), st.sampled_from([int, float, str]))
def test_whole_numbers_have_one_label_in_file_and_frame(tmp_path_factory, numbers, kind):
    path = tmp_path_factory.getbasetemp() / "numbers.csv"
    path.write_text(events(numbers), encoding="utf-8")
    frame = pd.DataFrame({"ID": np.repeat(np.array(numbers, dtype=kind), 2), "TIME": [0.0, 1.0] * len(numbers),
                          "AMT": [1.0, 0.0] * len(numbers), "DV": [np.nan, 1.0] * len(numbers)})  # fmt: skip
    read = [Dataset.from_nonmem(table).observations["id"].tolist() for table in (path, frame)]
    assert read[0] == read[1] == list(map(str, numbers))


# --- groups and covariates that are labels ---------------------------------------------------------------------------


def test_codes_of_a_file_stay_labels(file):
    """As in R's readr: whole numbers of which some begin with 0 are codes; others are numbers, however written."""
    data = Dataset.from_frame(file("id,plate,wt,y\n1,007,70.0,1\n2,7,70,2\n3,12,0.5,3\n"), outcome="y", levels="id")
    assert data.observations["plate"].tolist() == ["007", "7", "12"]
    assert data.observations["wt"].tolist() == [70.0, 70.0, 0.5]


def test_codes_group_as_written(file):
    data = Dataset.from_frame(file("id,plate,y\n1,01,1\n2,1,2\n3,01,3\n"), outcome="y", levels="id")
    design = resolve(nb.Model(LinearMixed(), "mu ~ 1 + (1|plate)"), data)
    assert design.levels[0].labels == ("01", "1")


@pytest.mark.parametrize("classes", [["0", "1", "2", "3+"], ["0-5", "5", "10", "10"], [5, 5.0, "0-5", "5"]])
def test_classes_among_numbers_are_labels(classes):
    frame = pd.DataFrame({"id": range(4), "y": 1.0, "x": pd.Series(classes, dtype=object)})
    found = Dataset.from_frame(frame, outcome="y", levels="id").observations["x"].tolist()
    assert found == [str(x).removesuffix(".0") for x in classes]


@pytest.mark.parametrize("slip", ["heavy", "<5", "7O", "1-2-3", "3+4"])
def test_a_slip_among_numbers_is_refused_with_a_mend(slip):
    frame = pd.DataFrame({"id": range(4), "y": 1.0, "x": ["70", "71", slip, "72"]})
    with pytest.raises(DataError, match=r"row 3, column x: '.*' is text in a column of numbers; correct it, leave it"):
        Dataset.from_frame(frame, outcome="y", levels="id")


def test_a_range_among_fractions_or_many_numbers_is_a_slip():
    for x in (["1.5", "2", "3+", "1"], [*map(str, range(30)), "3+"]):
        frame = pd.DataFrame({"id": range(len(x)), "y": 1.0, "x": x})
        with pytest.raises(DataError, match=r"'3\+' is text in a column of numbers"):
            Dataset.from_frame(frame, outcome="y", levels="id")


# --- a known patient in another centre -------------------------------------------------------------------------------


def centres(pairs, levels=("centre", "pid")):
    frame = pd.DataFrame(pairs, columns=["centre", "pid"]).assign(y=np.arange(len(pairs), dtype=float))
    return Dataset.from_frame(frame, outcome="y", levels=levels)


@pytest.fixture(scope="module")
def known():
    """Six patients in two centres, whose effects are known to 0.1; by the two declarations of their labels."""
    model = nb.Model(LinearMixed(), "mu ~ 1 + (1|centre) + (1|pid)")

    def tree(levels):
        data = centres([(f"c{i % 2}", f"p{i}") for i in range(6)], levels)
        found = nb.simulate(model, data, draws=4000, random_seed=0, values={"omega_pid": 1.5, "omega_centre": 1.0})
        prior, rng = found["prior"].to_dataset().copy(deep=True), np.random.default_rng(1)
        prior["eta_pid"][:] = 2.0 * np.arange(6)[None, None, :, None] + 0.1 * rng.standard_normal((1, 4000, 6, 1))
        prior["eta_centre"][:] = np.array([-30.0, 30.0])[None, None, :, None]
        prior["theta_mu"][:] = 100.0
        found["posterior"] = found["prior"].assign(prior)
        return found

    return tree


def expected(tree, centre, pid):
    mu = nb.predict(tree, centres([(centre, pid)], training_dataset(tree).levels))["posterior"]["mu"]
    return float(mu.mean()), float(mu.std())


def test_a_known_patient_in_another_centre_keeps_his_effects(known):
    """theta + the centre that he is in now + his own: 100 + 30 + 4 of p2, who was in the first centre."""
    tree = known(("centre", "pid"))
    assert expected(tree, "c1", "p2") == pytest.approx((134.0, 0.1), abs=0.01)
    assert expected(tree, "c0", "p2") == pytest.approx((74.0, 0.1), abs=0.01)


def test_a_stranger_in_a_known_centre_has_the_spread_of_the_population(known):
    assert expected(known(("centre", "pid")), "c1", "p9") == pytest.approx((130.0, 1.5), abs=0.1)


def test_a_label_declared_within_its_centre_is_another_patient_there(known):
    tree = known(("centre", "centre/pid"))
    moved = centres([("c1", "p2")], ("centre", "centre/pid"))
    mu = nb.predict(tree, moved)["posterior"]["mu"]
    assert (float(mu.mean()), float(mu.std())) == pytest.approx((130.0, 1.5), abs=0.1)


def test_a_moved_patient_is_not_forecast_as_a_new_one(known):
    with pytest.raises(nb.ModelError, match="pid c0/p2 was in the training data"):
        nb.forecast(known(("centre", "pid")), centres([("c1", "p2")]))


def test_a_moved_patient_is_known_after_the_tree_was_stored(known, tmp_path):
    known(("centre", "pid")).to_netcdf(tmp_path / "tree.nc", engine="h5netcdf")
    with xr.open_datatree(tmp_path / "tree.nc", engine="h5netcdf") as tree:
        assert expected(tree, "c1", "p2") == pytest.approx((134.0, 0.1), abs=0.01)


def test_those_who_are_new_are_counted_by_who_they_are():
    training = centres([("c0", "p0"), ("c1", "p1")])
    told = predict.told(centres([("c1", "p0"), ("c1", "p9")]), training)
    assert told.startswith("2 records of 2 pid, 1 of them not in the fit")


@pytest.mark.parametrize("plates", [["1.1", "1.10"], ["1E1", "10"], ["1.", "1"], ["2", "2.0"]])
def test_a_number_written_in_two_ways_is_no_label_of_a_group(file, plates):
    rows = "".join(f"{i},{plate},{i}\n" for i, plate in enumerate(["5", *plates, *plates]))
    path = file("id,plate,y\n" + rows)
    for table in (path, pd.read_csv(path, dtype=str)):
        _refused_as_a_group(Dataset.from_frame(table, outcome="y", levels="id", source="table.csv"), plates)


def _refused_as_a_group(data, plates):
    assert len(resolve(nb.Model(LinearMixed(), "mu ~ 1 + plate + (1|id)"), data).units) == 5
    message = rf"table.csv, column plate: '{plates[0]}' \(row 2\) and '{plates[1]}' \(row 3\) were read as one number"
    for formula in ("mu ~ 1 + (1|plate)", "mu ~ 1 + C(plate)"):
        with pytest.raises(DataError, match=message):
            resolve(nb.Model(LinearMixed(), formula), data)
