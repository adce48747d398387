"""`to_frame` and `write_table`: what an analyst exports, beside the trees and tables that it is made of."""

import calls
import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

import nlmebayes as nb

DRAWN = {"mean": lambda x: x.mean(axis=0), "sd": lambda x: x.std(axis=0), "median": lambda x: np.median(x, axis=0),
         "eti_lb": lambda x: np.quantile(x, 0.1, axis=0), "eti_ub": lambda x: np.quantile(x, 0.9, axis=0)}  # fmt: skip


def samples(variable):
    return variable.to_numpy().reshape(variable.sizes["chain"] * variable.sizes["draw"], -1)


def agrees(frame, variable):
    for name, value in DRAWN.items():
        np.testing.assert_allclose(frame[name], value(samples(variable)), rtol=1e-12, err_msg=name)


def test_parameters_are_the_summary_with_units():
    frame = nb.to_frame(calls.tree(), "parameters", ci_prob=0.8)
    assert_frame_equal(frame, nb.summary(calls.tree(), ci_prob=0.8))
    assert frame.attrs["units"] == {"cl": "L/h", "v": "L"}


def test_population_has_a_row_per_draw():
    tree = calls.tree()
    frame = nb.to_frame(tree, "population")
    assert frame.shape[0] == 30
    np.testing.assert_allclose(frame["v"], np.exp(samples(tree["posterior"]["theta_v"])[:, 0]))
    np.testing.assert_array_equal(frame["omega_id cl"], samples(tree["posterior"]["omega_id"])[:, 0])
    assert len(nb.to_frame(tree, "population", draws=7)) == 7


def test_effects_and_individual_parameters_are_those_of_the_tree():
    tree = calls.tree()
    etas = nb.to_frame(tree, "etas", ci_prob=0.8)
    assert etas[["level", "group", "effect"]].to_numpy().tolist() == [
        ["id", "1", "cl"], ["id", "1", "v"], ["id", "2", "cl"], ["id", "2", "v"],
    ]  # fmt: skip
    agrees(etas, tree["posterior"]["eta_id"])
    own = nb.to_frame(tree, "individual", ci_prob=0.8)
    assert own[["id", "parameter", "unit"]].to_numpy().tolist() == [
        ["1", "cl", "L/h"], ["2", "cl", "L/h"], ["1", "v", "L"], ["2", "v", "L"],
    ]  # fmt: skip
    agrees(own[own["parameter"] == "v"], tree["posterior"]["v"])


def test_predictions_stand_beside_their_records():
    tree = calls.tree()
    frame = nb.to_frame(tree, "predictions", ci_prob=0.8)
    assert frame[["row", "id", "time", "DV", "tad", "dose_number"]].to_numpy().tolist() == [
        [1, "1", 1.0, 9.0, 1.0, 1], [2, "1", 5.0, 6.0, 5.0, 1], [3, "2", 1.0, 9.5, 1.0, 1], [4, "2", 5.0, 6.2, 5.0, 1],
    ]  # fmt: skip
    agrees(frame, tree["posterior"]["f_conc"])
    assert (frame["predictive_lb"] < frame["predictive_ub"]).all()


def test_residuals_are_those_of_the_verb():
    assert_frame_equal(
        nb.to_frame(calls.tree(), "residuals", ci_prob=0.8), nb.residuals(calls.tree(), ci_prob=0.8), check_exact=True
    )


def test_fewer_draws_are_evenly_spaced_ones():
    tree = calls.tree()
    frame = nb.to_frame(tree, "individual", draws=3)
    chosen = samples(tree["posterior"]["cl"])[[0, 14, 29]]  # round(14.5) is 14
    np.testing.assert_allclose(frame.loc[frame["parameter"] == "cl", "mean"], chosen.mean(axis=0))


@pytest.mark.parametrize("made", [calls.tree, calls.prior])
def test_simulated_studies_are_whole(made):
    frame = nb.to_frame(made(), "simulated", draws=5)
    assert frame.groupby("replicate")["row"].apply(list).tolist() == [[1, 2, 3, 4]] * 5
    assert np.isfinite(frame["value"]).all()
    if made is calls.prior:
        drawn = samples(made()["prior_predictive"]["conc"])
        np.testing.assert_array_equal(frame["value"][:4], drawn[0])


def test_columns_of_the_data_with_the_name_of_a_result_keep_their_values():
    frame = pd.DataFrame({"id": [1, 1], "time": [1.0, 5.0], "conc": [9.0, 6.0], "mean": [7.0, 7.0], "unit": ["a", "a"]})
    doses = pd.DataFrame({"id": [1], "time": 0.0, "amt": 100.0})
    units = {"time": "h", "conc": "mg/L"}
    new = nb.Dataset.from_frame(frame, outcome="conc", time="time", levels="id", doses=doses, units=units)
    found = nb.to_frame(calls.tree(), "predictions", new)
    assert (found["mean_data"].tolist(), found["unit_data"].tolist()) == ([7.0, 7.0], ["a", "a"])
    assert found.attrs["units"] == units | {"tad": "h"}


def test_what_belongs_to_the_population_takes_no_data():
    with pytest.raises(nb.ModelError, match="'parameters' is of the population, and takes no data="):
        nb.to_frame(calls.tree(), "parameters", calls.data())


@pytest.mark.parametrize("what", ["parameters", "population", "etas", "individual", "predictions", "simulated"])
@pytest.mark.parametrize("ending", ["csv", "tsv", "parquet"])
def test_a_table_reads_back_the_same(tmp_path, what, ending):
    frame, path = nb.to_frame(calls.tree(), what), tmp_path / f"t.{ending}"
    nb.write_table(frame, path)
    text = {name: str for name in frame.columns if not pd.api.types.is_numeric_dtype(frame[name])}
    options = {"sep": "\t" if ending == "tsv" else ",", "dtype": text}
    again = (
        pd.read_parquet(path)
        if ending == "parquet"
        else pd.read_csv(path, keep_default_na=False, na_values=[""], **options)
    )
    assert_frame_equal(
        again.fillna({c: "" for c in text}), frame.fillna({c: "" for c in text}), check_dtype=False, check_exact=True
    )
    if ending == "parquet":
        assert again.attrs == frame.attrs


def test_a_table_is_there_whole_or_not_at_all(tmp_path):
    (tmp_path / "t.csv").write_text("before")
    with pytest.raises(nb.FileError, match=r"t.csv exists"):
        nb.write_table(calls.doses(), tmp_path / "t.csv", force=False)
    with pytest.raises(nb.FileError, match=r"t.xlsx: a table is written as .csv, .tsv, .parquet; name the file so"):
        nb.write_table(calls.doses(), tmp_path / "t.xlsx")
    with pytest.raises(ValueError, match="Could not convert"):
        nb.write_table(pd.DataFrame({"x": [object(), 1]}), tmp_path / "t.parquet")
    assert (tmp_path / "t.csv").read_text() == "before"
    assert [p.name for p in tmp_path.iterdir()] == ["t.csv"]


def test_a_single_draw_has_no_interval():
    """The mode of a maximum says nothing of its error; an interval of no width would."""
    frame = nb.to_frame(calls.tree(), "predictions", draws=1)
    assert frame[["sd", "eti_lb", "eti_ub", "predictive_lb", "predictive_ub"]].isna().all(axis=None)
    assert frame["mean"].equals(frame["median"]) and frame["mean"].notna().all()
