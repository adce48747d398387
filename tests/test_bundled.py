"""The public datasets that come with the library."""

from importlib.resources import files

import numpy as np
import pandas as pd
import pytest

from nlmebayes.data import bundled
from nlmebayes.data.dataset import Dataset
from nlmebayes.data.validate import DataError


@pytest.mark.parametrize("name", bundled.names())
def test_becomes_a_dataset_named_after_itself(name):
    data = getattr(bundled, name)()
    assert isinstance(data, Dataset)
    assert data.source == name


@pytest.mark.parametrize("name", bundled.names())
def test_every_column_of_the_table_is_described(name):
    text = bundled.describe(name)
    columns = bundled._CATALOGUE[name]["columns"]
    assert list(columns) == bundled.table(name).columns.tolist()
    assert all(meaning in text for meaning in columns.values())
    assert set(text.splitlines()) <= set(getattr(bundled, name).__doc__.splitlines())


@pytest.mark.parametrize("name", bundled.names())
def test_every_row_of_the_table_is_accounted_for(name):
    data = getattr(bundled, name)()
    others = len(data.doses) + len(data.events) if name in ("phenobarbital", "quinidine") else 0
    assert len(data.observations) + sum(data.excluded.values()) + others == len(bundled.table(name))


@pytest.mark.parametrize("name", bundled.names())
def test_observations_keep_the_values_of_their_rows(name):
    data = getattr(bundled, name)()
    entry = bundled._CATALOGUE[name]
    column = bundled.table(name)[entry["dataset"]["outcome"]].replace(entry.get("codes", {}).get("y", {}))
    assert np.array_equal(data.observations["value"], column.iloc[data.observations["row"] - 1].astype(float))


def test_there_is_one_entry_for_each_file():
    shipped = {path.name for path in (files("nlmebayes.data") / "tables").glob("*.csv")}
    listed = [entry["file"] for entry in bundled._CATALOGUE.values()]
    assert set(listed) == shipped
    assert len(listed) == len(set(listed)) == 34


@pytest.mark.parametrize("ask", [bundled.table, bundled.describe])
def test_unknown_name_lists_the_names(ask):
    with pytest.raises(DataError, match=r"no dataset 'Theoph'; the datasets are theophylline, indometh, "):
        ask("Theoph")


def test_theophylline_has_its_subjects_samples_and_doses_in_mg():
    data = bundled.theophylline()
    assert data.units["id"].tolist() == [str(i) for i in range(1, 13)]
    assert (data.levels, data.time, data.outcomes) == (("id",), "time", ("conc",))
    assert data.covariates == ("wt", "dose")
    assert len(data.observations) == 132
    assert len(data.doses) == 12
    assert data.doses["amount"].iloc[0] == pytest.approx(319.992)  # 4.02 mg/kg to 79.6 kg
    assert (data.doses["time"] == 0).all()


def test_phenobarbital_has_its_infants_samples_and_repeated_doses():
    data = bundled.phenobarbital()
    assert data.observations["id"].nunique() == 59
    assert len(data.observations) == 155
    assert len(data.doses) == 589
    assert data.covariates == ("wt", "apgar", "apgarind")


def test_phenobarbital_units_give_the_published_volume():
    """Soon after a first dose, dose / conc / wt is near 0.96 L/kg (Grasela and Donn 1985)."""
    data = bundled.phenobarbital()
    doses = data.doses.drop_duplicates("id")[["id", "time", "amount"]]
    first = data.observations.drop_duplicates("id").merge(doses, on="id")
    early = first[(first["time_x"] - first["time_y"]).between(0, 3)]
    assert len(early) > 20
    assert (early["amount"] / early["value"] / early["wt"]).median() == pytest.approx(0.96, rel=0.1)


def test_indometh_has_one_bolus_per_subject():
    doses = bundled.indometh().doses
    assert doses["id"].tolist() == ["1", "2", "3", "4", "5", "6"]
    assert (doses["amount"] == 25.0).all()
    assert (doses["time"] == 0.0).all()


def test_quinidine_doses_with_an_interval_are_steady_states():
    data, table = bundled.quinidine(), bundled.table("quinidine")
    steady = data.doses[data.doses["ss"] == 1]
    assert len(data.doses) == 1028
    assert steady["ii"].tolist() == table["interval"].dropna().tolist()
    assert steady["row"].tolist() == (np.flatnonzero(table["interval"].notna()) + 1).tolist()
    assert (data.doses[data.doses["ss"] == 0]["ii"] == 0).all()
    assert (data.events["kind"] == "other").all()
    assert {"Weight", "Creatinine", "glyco"} <= set(data.inputs)


def test_remifentanil_infusions_follow_one_another_without_a_gap():
    """Amt / Rate is the time to the next row, as the reading of the columns has it."""
    data, table = bundled.remifentanil(), bundled.table("remifentanil")
    ahead = table.groupby("ID")["Time"].shift(-1)[table["Amt"] > 0]
    end = data.doses["time"] + data.doses["amount"] / data.doses["rate"]
    assert end.to_numpy() == pytest.approx(ahead.to_numpy(), abs=1e-6)
    assert data.doses["amount"].sum() == pytest.approx(table["Amt"].sum())
    assert data.covariates == ("Subject", "Age", "Sex", "Ht", "Wt", "BSA", "LBM")


def test_nested_labels_carry_their_parents():
    assert bundled.pastes().levels == ("batch", "cask")
    assert bundled.wafer().observations["Site"].nunique() == 80
    assert bundled.cake().observations["replicate"].unique()[[0, 1]].tolist() == ["A/1", "B/1"]


def test_numbers_that_name_groups_are_categories():
    assert isinstance(bundled.bodyweight().units["Diet"].dtype, pd.CategoricalDtype)
    assert bundled.cbpp().observations["period"].cat.categories.tolist() == ["1", "2", "3", "4"]


def test_bacteria_are_zero_or_one():
    assert bundled.bacteria().observations["value"].value_counts().to_dict() == {1.0: 177, 0.0: 43}
