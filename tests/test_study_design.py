"""Planned studies: their subjects, records and doses, and files of them."""

import numpy as np
import pandas as pd
import pytest

import nlmebayes as nb
from model_zoo import Emax, LinearMixed, OneCompartment
from nlmebayes.design.planned import planned
from nlmebayes.design.setting import of_data

ORAL = OneCompartment(absorption="first-order")
VARIED = ("cl ~ 1 + (1|id) + (1|occ)", "v ~ 1 + (1|id)", "ka ~ 1 + (1|id)")
TIMES = [0.5, 1, 2, 6, 24, 36, 72, 120]


def warfarin(**options):
    given = {"theta": {"cl": 0.15, "v": 8.0, "ka": 1.0}, "sigma": {"b": 0.1}} | options
    return nb.population(ORAL, omega={"variance": {"cl": 0.07, "v": 0.02, "ka": 0.6}}, **given)


def by_occasions():
    return nb.population(
        ORAL, *VARIED, theta={"cl": 3.75, "v": 72.8, "ka": 0.25},
        omega={"id": {"sd": {"cl": 0.25, "v": 0.3, "ka": 0.3}}, "occ": {"sd": {"cl": 0.3}}}, sigma={"b": 0.2},
        levels=("id", "occ"),
    )  # fmt: skip


def test_a_design_is_the_subjects_and_records_that_it_says():
    design = nb.Design(
        [nb.Arm(3, TIMES, doses={"time": 0, "amt": 70}), nb.Arm(2, [1, 2], doses={"time": 0, "amt": 35})]
    )
    data = design.dataset(warfarin())
    assert (design.subjects, design.records, len(data.observations)) == (5, 28, 28)
    assert data.observations["value"].isna().all() and data.observations["id"].nunique() == 5
    assert data.doses["amount"].tolist() == [70.0] * 3 + [35.0] * 2
    assert data.observations.groupby("arm", observed=True)["time"].unique()["2"].tolist() == [1.0, 2.0]


def test_records_beyond_the_limits_of_an_arm_are_censored():
    design = nb.Design([nb.Arm(1, [1, 2], lloq=2.0), nb.Arm(1, [1, 2], uloq={"conc": 9.0})])
    found = design.measured(design.dataset(warfarin()), conc=[1.0, 3.0, 1.0, 10.0]).observations
    assert found["value"].tolist() == [2.0, 3.0, 1.0, 9.0]
    assert found["upper"].tolist()[0] == 2.0 and found["lower"].tolist()[3] == 9.0
    assert found["lower"].isna().tolist() == [False, True, True, False]


def test_predictions_and_simulations_take_a_planned_study():
    data = nb.Design([nb.Arm(4, TIMES, doses=nb.Regimen(70.0, start=0.0))]).dataset(warfarin())
    assert nb.predict(warfarin(), data, random_seed=1)["posterior_predictive"]["conc"].shape == (1, 1, 32)
    found = nb.simulate(nb.Model(ORAL), data, draws=2, values={"theta_cl": [0.0]}, random_seed=1)
    assert np.isfinite(found["prior_predictive"]["conc"]).all()


def test_windows_and_distributions_are_drawn_from_the_seed():
    arm = nb.Arm(200, [(2, 4), 8], covariates={"wt": {"mean": 70, "sd": 10}, "sex": ["f", "m", "m"]})
    one, other = (nb.Design([arm]).dataset(warfarin(), random_seed=k).observations for k in (1, 1))
    assert one.equals(other)
    early = one["time"][::2]
    assert early.between(2, 4).all() and early.std() == pytest.approx(2 / np.sqrt(12), rel=0.1)
    people = one.drop_duplicates("id")
    assert people["wt"].mean() == pytest.approx(70, abs=0.1) and (people["sex"] == "f").sum() == 67


def test_rows_of_a_table_stay_together():
    rows = pd.DataFrame({"wt": [50.0, 90.0], "sex": ["f", "m"]})
    found = nb.Design([nb.Arm(4, [1], covariates=rows)]).dataset(warfarin()).observations
    assert found[["wt", "sex"]].to_numpy().tolist() == [[50, "f"], [90, "m"]] * 2


def test_sites_are_shared_between_arms_and_occasions_begin_with_their_dose():
    tree = nb.population(
        LinearMixed(), "mu ~ 1 + (1|site) + (1|id)", theta={"mu": 1.0}, sigma={"a": 1.0}, levels=("site", "id"),
        omega={"site": {"sd": {"mu": 1.0}}, "id": {"sd": {"mu": 1.0}}},
    )  # fmt: skip
    arms = [nb.Arm(4, [1, 2], within={"site": 2}, covariates={"x": k}) for k in (0, 1)]
    found = nb.Design(arms).dataset(tree).observations
    assert found.groupby("site")["id"].nunique().tolist() == [4, 4]
    assert found.groupby("site")["x"].nunique().tolist() == [2, 2]
    arm = nb.Arm(1, [1, 144, 240], doses={"time": 0, "amt": 20, "addl": 7, "ii": 24}, occasions=[0, 144])
    data = nb.Design([arm]).dataset(by_occasions())
    assert data.observations["occ"].tolist() == ["1/1", "1/1", "1/2"]
    assert data.doses["occ"].tolist() == ["1/1"] * 6 + ["1/2"] * 2


def test_an_additional_dose_at_the_start_of_an_occasion_belongs_to_it():
    """0.1 + 0.7 and 0.1 + 3 * 0.7 are rounded to less than 0.8 and 2.2."""
    tree = nb.population(
        OneCompartment(), "cl ~ 1 + (1|id) + (1|occ)", "v ~ 1", theta={"cl": 4.0, "v": 30.0}, sigma={"a": 0.2},
        omega={"id": {"sd": {"cl": 0.3}}, "occ": {"sd": {"cl": 0.3}}}, levels=("id", "occ"),
    )  # fmt: skip
    arm = nb.Arm(1, [2.5], doses={"time": 0.1, "amt": 100, "addl": 4, "ii": 0.7}, occasions=[0, 0.8, 2.2])
    doses = nb.Design([arm]).dataset(tree).doses
    assert doses[["occ", "time"]].values.tolist() == [
        ["1/1", 0.1], ["1/2", 0.8], ["1/2", 1.5], ["1/3", 2.2], ["1/3", 2.9]
    ]  # fmt: skip


def test_parameters_change_when_the_occasion_begins():
    """Not at the last record before: C(t) = C(24) exp(-k (t - 24)) from there on."""
    arm = nb.Arm(2, [1, 30], doses={"time": 0, "amt": 100}, occasions=[0, 24])
    data = nb.Design([arm]).dataset(by_occasions())
    values = {"theta_cl": np.log([3.75]), "theta_v": np.log([72.8]), "theta_ka": np.log([1e5]),
              "omega_id": [1e-9] * 3, "omega_occ": [2.0], "sigma_conc_b": 0.1}  # fmt: skip
    model = nb.Model(ORAL, *VARIED, residual=nb.Proportional())
    found = nb.simulate(model, data, draws=1, values=values, random_seed=1)["prior"]
    cl = 3.75 * np.exp(found["eta_occ"].to_numpy().ravel())
    expected = 100 / 72.8 * np.exp(-(cl[0] * 24 + cl[1] * 6) / 72.8)
    assert found["f_conc"].to_numpy()[0, 0, 1] == pytest.approx(expected, rel=1e-5)


def test_a_crossover_gives_each_occasion_its_treatment():
    arms = [
        nb.Arm(2, [1, 169], occasions=[0, 168], by_occasion={"treatment": x, "period": [1, 2]})
        for x in (["A", "B"], ["B", "A"])
    ]
    found = nb.Design(arms).dataset(by_occasions()).observations
    assert found.groupby("arm", observed=True)["treatment"].unique().map(list).tolist() == [["A", "B"], ["B", "A"]]
    assert found["period"].tolist() == [1.0, 2.0] * 4


def test_records_of_a_curve_are_its_inputs():
    design = nb.Design([nb.Arm(3, inputs={"concentration": [0, 1, 10]}, occasions=2)])
    data = design.dataset(nb.Model(Emax(), "emax ~ 1 + (1|id) + (1|occ)"))
    assert data.observations["concentration"].tolist() == [0.0, 1.0, 10.0] * 6 and design.records == 18
    assert data.observations.groupby("occ").size().tolist() == [3] * 6


def test_a_file_and_a_dataset_give_the_design_back(tmp_path):
    arm = nb.Arm(5, {"conc": [1, (2, 4)]}, doses=[{"time": 0, "amt": 70, "rate": 35}], occasions=[0, 3], lloq=0.5,
                 covariates={"wt": {"median": 70, "cv_percent": 20}, "sex": ["f", "m"]}, within={"site": 2},
                 by_occasion={"treatment": ["A", "B"]}, name="a b")  # fmt: skip
    nb.Design([arm]).to_toml(tmp_path / "design.toml")
    assert nb.Design.from_toml(tmp_path / "design.toml") == nb.Design([arm])
    known = nb.datasets.theophylline()
    design = nb.Design.from_dataset(known)
    again = design.dataset(nb.Model(ORAL, "cl ~ 1 + (1|id)", residual={name: nb.Additive() for name in known.outcomes}))
    assert again.observations[["time"]].equals(known.observations[["time"]])
    assert again.doses["amount"].tolist() == known.doses["amount"].tolist()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[arm.x]\nn = 3\ntime = [1]", "arm 'x' has no key 'time'; there are n, times, doses"),
        ("[arm.x]\nn = 0\ntimes = [1]", "arm 'x': Arm: n must be a whole number from 1"),
        ("[arm.x]\nn = 3\ntimes = [[2, 1]]", r"a window is \(low, high\)"),
        (
            "[arm.x]\nn = 3\ntimes = [1]\ndoses = [{time = 0, amount = 3}]",
            "no word 'amount' for a dose; there are time",
        ),
        ("[arms.x]\nn = 3", "no key 'arms'; a design has arms"),
        ("arm = 3", "no arms; write a table for each"),
    ],
)
def test_a_file_that_says_something_else_is_refused_with_what_there_is(tmp_path, text, words):
    (tmp_path / "bad.toml").write_text(text)
    with pytest.raises(nb.ModelError, match=f"bad.toml.*{words}"):
        nb.Design.from_toml(tmp_path / "bad.toml")


def test_levels_that_the_design_does_not_state_are_asked_for():
    with pytest.raises(nb.ModelError, match=r"levels id, occ: say how many groups .* occasions=\[0, 168\]"):
        nb.Design([nb.Arm(3, [1])]).dataset(by_occasions())
    with pytest.raises(nb.ModelError, match="names the outcome 'dv'; there are conc"):
        nb.Design([nb.Arm(3, {"dv": [1]})]).dataset(warfarin())


def test_planned_subjects_of_a_fit_are_nobody_that_it_knows():
    """Subject 1 of the fit has effects of its own, which planned ones do not take."""
    frame = pd.DataFrame({"id": [1, 1, 2, 2], "time": [1.0, 2.0] * 2, "conc": [1.0, 2.0, 3.0, 4.0]})
    model = nb.Model(LinearMixed(), "mu ~ 1 + (1|id)")
    data = nb.Dataset.from_frame(frame, outcome="conc", time="time", levels="id")
    tree = nb.simulate(model, data, draws=4, random_seed=1)
    tree["posterior"] = tree["prior"].to_dataset()
    planned = nb.Design([nb.Arm(2, [1.0], within=None)]).dataset(tree)
    assert not set(planned.observations["id"]) & set(data.observations["id"])


@pytest.mark.parametrize("name", ["cake", "pixel", "oxide", "glucose2", "dyestuff", "quinidine", "machines"])
def test_the_design_of_a_public_dataset_gives_its_records_back(name):
    """Crossed, nested, with categories that look like numbers, with nothing but replicates, with covariates in time."""
    data = getattr(nb.datasets, name)()
    again = planned(nb.Design.from_dataset(data).arms, of_data(data), np.random.default_rng(0))
    columns = [c for c in (data.time, *data.inputs, *data.covariates) if c]
    one, other = (x.observations[columns].astype(str).to_numpy().tolist() for x in (data, again))
    assert sorted(map(tuple, one)) == sorted(map(tuple, other))
    assert sorted(data.doses["amount"]) == pytest.approx(sorted(again.doses["amount"]))
    assert [data.observations[v].nunique() for v in data.levels] == [
        again.observations[v].nunique() for v in data.levels
    ]


def test_a_value_that_is_no_category_and_a_missing_one_are_refused():
    data = nb.datasets.cake()
    arm = nb.Design.from_dataset(data).arms[0]
    with pytest.raises(nb.ModelError, match=r"temperature is 200, and its categories are 175, 185"):
        planned([arm.but(inputs=arm.inputs | {"temperature": [200.0] * arm.records})], of_data(data),
                np.random.default_rng(0))  # fmt: skip
    with pytest.raises(nb.ModelError, match="from_dataset: pbc, row 313, column trt: is missing"):
        nb.Design.from_dataset(nb.datasets.pbc())
