"""Pictures: names with units on every axis, a legend of all that is drawn, numbers that are right, curves through
everything that happens."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from scipy import stats
from trees import stated

import nlmebayes as nb
from model_zoo import EffectCompartment, LinearMixed, OneCompartment, TumourGrowth
from nlmebayes.design.performance import Studies
from nlmebayes.parameter.units import time_of
from nlmebayes.plot import moments, trends
from nlmebayes.plot.labels import labelled

UNITS = {"time": "h", "conc": "mg/L", "wt": "kg"}
CL, V = 3.0, 30.0
EXPONENT = "cl: log(wt / 70)"


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def study(times=(0.5, 2.0, 6.0, 12.0), people=6, occasions=1, structure=None, residual=None, formulas=(), **values):
    """Infusions of 100 over an hour, a week apart; a tree whose population and effects are stated."""
    rows = [(f"{i}", f"{k}", 168.0 * k + t) for i in range(people) for k in range(occasions) for t in times]
    frame = pd.DataFrame(rows, columns=["id", "occ", "time"])
    frame["wt"] = 50.0 + 8 * frame["id"].astype(int)
    frame["arm"] = np.where(frame["id"].astype(int) % 2, "b", "a")
    frame["conc"] = 1.0 + np.random.default_rng(0).integers(0, 3, len(frame))
    doses = frame.drop_duplicates(["id", "occ"])[["id", "occ"]]
    doses = doses.assign(time=168.0 * doses["occ"].astype(int), amt=100.0, duration=1.0)
    levels = ["id", "id/occ"] if occasions > 1 else ["id"]
    frame, doses = (x if occasions > 1 else x.drop(columns="occ") for x in (frame, doses))
    data = nb.Dataset.from_frame(
        frame, outcome="conc", time="time", levels=levels, doses=doses, subject="id", units=UNITS
    )
    model = nb.Model(structure or OneCompartment(), *formulas, residual=residual or nb.Proportional())
    values = {"theta_cl": [np.log(CL)], "theta_v": [np.log(V)]} | values
    return stated(model, data, draws=30, **values)


WEIGHT = ("cl ~ 1 + log(wt/70) + (1|id)", "v ~ 1 + (1|id)")


@pytest.fixture(scope="module")
def kinetics():
    return study(formulas=WEIGHT, theta_cl=[np.log(CL), 0.75], omega_id=[0.3, 0.2], sigma_conc_b=0.1)


@pytest.fixture(scope="module")
def forecast(kinetics):
    frame = pd.DataFrame({"id": "new", "time": [1.0, 5.0], "conc": [3.0, 1.9], "wt": 70.0})
    doses = pd.DataFrame({"id": ["new"], "time": 0.0, "amt": 100.0, "duration": 1.0})
    patient = nb.Dataset.from_frame(frame, outcome="conc", time="time", levels="id", doses=doses)
    return nb.forecast(kinetics, patient, draws=30, proposals=100, rounds=0, random_seed=1)


def loops():
    rows = pd.DataFrame({"id": 1, "time": [1.0, 5.0], "conc": [9.0, 6.0], "effect": [3.0, 4.0]})
    doses = pd.DataFrame({"id": [1], "time": 0.0, "amt": 100.0})
    units = UNITS | {"effect": "mmHg"}
    del units["wt"]
    data = nb.Dataset.from_frame(rows, outcome=["conc", "effect"], time="time", levels="id", doses=doses, units=units)
    return stated(nb.Model(EffectCompartment()), data, draws=5)


def plans():
    return [nb.Regimen(amount, start=24.0, every=12.0, doses=2, duration=1.0) for amount in (100.0, 200.0)]


def planned():
    doses = {"time": 0, "amt": 100, "duration": 1}
    arms = [nb.Arm(4, [0.5, (2, 3), 12], doses=doses, covariates={"wt": 70.0}, lloq=0.5),
            nb.Arm(4, [6, 24], doses=doses, covariates={"wt": 50.0}, name="light")]  # fmt: skip
    return nb.Design(arms)


PICTURES = {  # what makes it of a tree and of a forecast, and names of axes that it has
    "data": (lambda t, f, **o: nb.plot.data(nb.training_dataset(t), by="wt", **o),
             {"time (h)", "conc (mg/L)", "conc (mg/L), logarithmic"}),
    "prior": (lambda t, f, **o: nb.plot.prior(t, bins=4, **o), {"time (h)", "conc (mg/L)"}),
    "vpc": (lambda t, f, **o: nb.plot.vpc(t, x="tad", replicates=30, **o), {"time after dose (h)", "conc (mg/L)"}),
    "fits": (lambda t, f, **o: nb.plot.fits(t, subjects=["1", "2"], **o), {"time (h)", "conc (mg/L)"}),
    "hysteresis": (lambda t, f, **o: nb.plot.hysteresis(loops(), **o), {"conc (mg/L)", "effect (mmHg)"}),
    "gof": (lambda t, f, **o: nb.plot.gof(t, replicates=30, **o),
            {"time (h)", "PRED (mg/L)", "IPRED (mg/L)", "observed conc (mg/L)", "CWRES", "npde"}),
    "etas": (lambda t, f, **o: nb.plot.etas(t, **o), {"effect on cl", "effect on v", "wt (kg)", "arm"}),
    "forest": (lambda t, f, **o: nb.plot.forest(t, {"wt": 50}, **o), {"ratio to a person with wt 70 kg"}),
    "effects": (lambda t, f, **o: nb.plot.effects(t, "time", by="wt", at={"wt": [50, 90]}, points=9, **o),
                {"time (h)", "conc (mg/L)"}),
    "effects_on_groups": (lambda t, f, **o: nb.plot.effects(t, "id", of="cl", **o), {"id", "cl (L/h)"}),
    "priors": (lambda t, f, **o: nb.plot.priors(t, **o), {"log cl (L/h)", "change of log cl (L/h)", "SD of log v (L)"}),
    "shrinkage": (lambda t, f, **o: nb.plot.shrinkage(t, effect="v", **o),
                  {"deviation of v from the typical one", "id"}),
    "influence": (lambda t, f, **o: nb.plot.influence(t, **o), {"estimate less that without the id (standard errors)"}),
    "design": (lambda t, f, **o: nb.plot.design(t, planned(), **o), {"time (h)", "conc (mg/L)"}),
    "power": (lambda t, f, **o: nb.plot.power(nb.information(t, planned()), EXPONENT, **o),
              {"subjects", f"power to tell {EXPONENT} from 0"}),
    "forecast": (lambda t, f, **o: nb.plot.forecast(f, **o), {"time (h)", "conc (mg/L)"}),
    "doses": (lambda t, f, **o: nb.plot.doses(f, plans(), [nb.Trough(1, 5), nb.AUC(5, 50)], **o),
              {"time (h)", "conc (mg/L)"}),
    "regimens": (lambda t, f, **o: nb.plot.regimens(nb.recommend(f, plans(), nb.Trough(1, 5)), **o), {"probability"}),
}  # fmt: skip


@pytest.mark.parametrize(("draw", "names"), PICTURES.values(), ids=PICTURES)
def test_a_picture_says_what_it_shows(draw, names, kinetics, forecast):
    figure = draw(kinetics, forecast)
    shown = [axis for axis in figure.axes if axis.get_visible()]
    assert names <= {label for axis in shown for label in (axis.get_xlabel(), axis.get_ylabel())}
    drawn = {label for axis in shown for label in axis.get_legend_handles_labels()[1]}
    legends = [*figure.legends, *filter(None, (axis.get_legend() for axis in shown))]
    assert drawn and drawn == {text.get_text() for legend in legends for text in legend.get_texts()}
    assert figure.get_suptitle() or shown[0].get_title(loc="left")
    assert isinstance(figure.numbers, pd.DataFrame) and len(figure.numbers)
    # on axes of somebody else
    other, axes = plt.subplots(1, len(shown))
    assert draw(kinetics, forecast, ax=axes) is other
    with pytest.raises(nb.ModelError, match=f"has {len(shown)} panels; got {len(shown) + 1} axes"):
        draw(kinetics, forecast, ax=plt.subplots(1, len(shown) + 1)[1])


def test_a_planned_study_is_drawn_over_what_its_subjects_are_expected_to_have(kinetics):
    """Medians by the closed form, for covariates of each arm; windows, limits and samples stand as planned."""
    numbers = (figure := nb.plot.design(kinetics, planned())).numbers
    for arm, wt, axis in zip(("1", "light"), (70.0, 50.0), figure.axes, strict=True):
        part = numbers[numbers["arm"] == arm]
        expected = infused(part["x"].to_numpy(), CL * (wt / 70) ** 0.75)
        assert part["median"].to_numpy()[1:] == pytest.approx(expected[1:], rel=0.1)
        assert {0.0, 1.0} <= set(part["x"])
        where = {line.get_label(): line for line in axis.lines}["samples of each subject"]
        assert where.get_xdata().tolist() == {"1": [0.5, 12.0], "light": [6.0, 24.0]}[arm]
    assert "sampling window, a sample each" in figure.axes[0].get_legend_handles_labels()[1]
    assert "lower limit of quantification" not in figure.axes[1].get_legend_handles_labels()[1]
    twice = nb.plot.design(kinetics, nb.Design([planned().arms[0].but(times=[1, 6, 6])]))
    assert [text.get_text() for text in twice.axes[0].texts] == ["×2"]


@pytest.mark.parametrize("outcome", ["conc", ""])
def test_what_one_more_sample_would_add_stands_below_the_course(outcome, kinetics):
    gains = pd.DataFrame({"outcome": outcome, "time": [0.0, 6.0, 24.0], "gain": [0.0, 0.5, 0.2]})
    figure = nb.plot.design(kinetics, planned(), sensitivity=gains)
    assert [axis.get_ylabel() for axis in figure.axes] == ["conc (mg/L)", "", "gain", ""]
    assert figure.axes[3].lines[0].get_ydata().tolist() == [0.0, 0.5, 0.2]
    with pytest.raises(nb.ModelError, match="sensitivity has the columns outcome, time, gain"):
        nb.plot.design(kinetics, planned(), sensitivity=gains[["time"]])
    with pytest.raises(nb.ModelError, match="sensitivity says nothing of 'conc'; there are effect"):
        nb.plot.design(kinetics, planned(), sensitivity=gains.assign(outcome="effect"))


def test_power_is_that_of_designs_of_as_many_subjects(kinetics):
    """The curve beside the information of larger designs; points of simulated studies where they were made."""
    told = nb.information(kinetics, planned())
    wide = planned().but(covariates={"wt": [40.0, 100.0]})
    each = {"two weights": told, "wide": nb.information(kinetics, wide)}
    estimates = pd.DataFrame({"quantity": EXPONENT, "value": [1.0, 0.1], "se": [0.2, 0.2]})
    none = pd.DataFrame(columns=["quantity", "ratio", "df"])
    figure = nb.plot.power(each, "cl: log(wt/70)", wanted=0.9, studies=[Studies(estimates, none, {}, {}, 16, 0.9)])
    numbers = figure.numbers
    assert set(numbers["design"]) == {*each, "simulated"}
    for name, plan in (("two weights", planned()), ("wide", wide)):
        enough = each[name].subjects_for(EXPONENT, 0.9)
        assert f"{name}, {enough} subjects reach it" in figure.axes[0].get_legend_handles_labels()[1]
        part = numbers[numbers["design"] == name]
        row = part.iloc[(part["subjects"] - 40).abs().argmin()]
        n = int(row["subjects"]) // 2 * 2
        exact = nb.information(kinetics, plan.but(n=n // 2)).power(EXPONENT)
        assert np.interp(n, part["subjects"], part["power"]) == pytest.approx(exact, abs=2e-3)
    assert numbers[numbers["design"] == "simulated"][["subjects", "power"]].to_numpy().tolist() == [[16, 0.5]]
    with pytest.raises(nb.ModelError, match="no quantity 'clearance'; there are cl"):
        nb.plot.power(told, "clearance")


def infused(t, cl=CL, v=V):
    """Concentration under 100 over an hour, by the closed form."""
    k = cl / v
    return 100 / cl * np.where(t < 1, 1 - np.exp(-k * t), (np.exp(k) - 1) * np.exp(-k * t))


def test_curves_go_through_what_happens_a_week_apart():
    """Case 20: the peak at the end of an infusion is on the curve of either occasion."""
    tree = study(occasions=2, formulas=("cl ~ 1 + (1|id)", "v ~ 1"), omega_id=[1e-9], sigma_conc_b=0.1)
    figure = nb.plot.fits(tree, page=1, columns=3)
    drawn = figure.numbers
    assert len([axis for axis in figure.axes if axis.get_visible()]) == 6  # a panel is a subject
    for start in (0.0, 168.0):
        here = drawn[(drawn["id"] == "0") & drawn["x"].between(start, start + 20)]
        assert {start, start + 0.5, start + 1.0, start + 2.0} <= set(here["x"])
    first = drawn[(drawn["id"] == "0") & (drawn["x"] < 160)]
    for name in ("median", "pred"):
        assert first[name].to_numpy() == pytest.approx(infused(first["x"].to_numpy()), rel=1e-5, abs=1e-6)


def test_curves_go_through_lags():
    structure = OneCompartment(absorption="first-order", lag=True)
    tree = study(structure=structure, formulas=("tlag ~ 1", "cl ~ 1", "v ~ 1", "ka ~ 1 + (1|id)"),
                 theta_tlag=[np.log(0.7)], theta_ka=[np.log(1.5)])  # fmt: skip
    drawn = nb.plot.fits(tree, subjects=["0"]).numbers
    assert np.isclose(drawn["x"], 0.7).any()
    assert (drawn["median"][drawn["x"] < 0.7 - 1e-4] == 0).all() and (drawn["median"][drawn["x"] > 0.7001] > 0).all()


@pytest.mark.parametrize(("residual", "values", "low", "high"), [
    (nb.LogNormal(), {"sigma_conc_a": 1.5}, 0.0, np.inf), (nb.Poisson(), {}, 0.0, np.inf),
    (nb.Gamma(), {"sigma_conc_a": 1.5}, 0.0, np.inf),
], ids=lambda x: getattr(x, "label", None) or str(x)[:12])  # fmt: skip
def test_no_interval_lies_where_the_law_has_nothing(residual, values, low, high):
    tree = study(residual=residual, formulas=("cl ~ 1 + (1|id)", "v ~ 1"), omega_id=[0.5], **values)
    drawn = nb.plot.fits(tree, subjects=["0", "1"]).numbers
    assert (drawn[["new_eti_lb", "eti_lb"]] >= low).all(axis=None) and (drawn["new_eti_ub"] <= high).all()


def test_pages_follow_one_another():
    tree = study(people=14, times=(1.0, 5.0), formulas=("cl ~ 1 + (1|id)", "v ~ 1"), omega_id=[0.3], sigma_conc_b=0.1)
    figure = nb.plot.fits(tree, page=2)
    assert [axis.get_title() for axis in figure.axes] == ["id 12", "id 13"]
    assert figure.get_suptitle().endswith("(page 2 of 2)")
    with pytest.raises(nb.ModelError, match="no page 3; the 14 ids fill 2"):
        nb.plot.fits(tree, page=3)


def test_bands_of_a_true_model_are_those_of_its_order_statistics():
    expected, low, high = trends.ordered(9, 0.9)
    assert expected == pytest.approx(-expected[::-1])
    law = stats.beta(5, 5)  # of the middle one of nine uniform numbers
    assert (low[4], high[4]) == pytest.approx(stats.norm.ppf(law.ppf([0.05, 0.95])))
    assert trends.counted([-50, 0, 50], 10, 0.9) == pytest.approx(stats.binom(10, 0.5).ppf([[0.05] * 2, [0.95] * 2]))


def test_a_smooth_line_does_not_cross_a_gap():
    x = np.concatenate([np.linspace(0, 1, 30), np.linspace(9, 10, 30)])
    places, heights = trends.smooth(x, np.where(x < 5, x, 20 - x))
    assert np.isnan(places).sum() == 2 and not ((places > 1) & (places < 9)).any()
    inside = np.isfinite(places)
    assert heights[inside] == pytest.approx(np.where(places < 5, places, 20 - places)[inside], abs=1e-3)
    assert trends.smooth(np.array([1.0, 2.0]), np.array([0.0, 1.0])) is None


def test_effects_are_held_against_their_law_and_covariates(kinetics):
    tree = kinetics.copy()
    wt = nb.training_dataset(tree).observations.drop_duplicates("id")["wt"].to_numpy()
    posterior = tree["posterior"].to_dataset()
    eta = posterior["eta_id"].copy()
    eta[..., 0] = 0.3 * (wt - wt.mean()) / wt.std()  # on a line of the weight, with the SD of the law
    eta[..., 1] = np.where(np.arange(6) % 2, 0.2, -0.2)  # the arm and nothing else
    tree["posterior"] = posterior.assign(eta_id=eta)
    table = nb.plot.etas(tree).numbers.set_index(["effect", "against"])
    assert table.loc[("cl", "its law"), "mean"] == pytest.approx(1.0)
    assert table.loc[("cl", "wt"), ["mean", "eti_lb", "eti_ub"]].tolist() == pytest.approx([1, 1, 1])
    assert table.loc[("v", "arm"), "mean"] == pytest.approx(1.0)
    assert table.loc[("v", "arm"), "measure"] == "share"
    assert table.loc[("v", "cl"), "mean"] == pytest.approx(np.corrcoef(wt, np.arange(6) % 2)[0, 1])


def test_the_forest_has_the_ratios_of_the_formula(kinetics):
    figure = nb.plot.forest(kinetics, {"wt": [50, 90]}, reference={"wt": 70.0}, exposure="auc")
    table = figure.numbers.set_index(["of", "value"])
    assert list(dict.fromkeys(figure.numbers["of"])) == ["cl", "auc"]  # v reads no weight
    assert table.loc[("cl", 50), "median"] == pytest.approx((50 / 70) ** 0.75)
    assert table.loc[("cl", 90), "p_inside"] == 1.0 and table.loc[("cl", 50), "p_inside"] == 0.0
    t = np.linspace(0, 12, 200_001)
    whole = [np.trapezoid(infused(t, CL * (wt / 70) ** 0.75), t) for wt in (50, 70)]
    assert table.loc[("auc", 50), "median"] == pytest.approx(whole[0] / whole[1], rel=1e-3)
    with pytest.raises(nb.ModelError, match="no formula reads 'age'; they read wt"):
        nb.plot.forest(kinetics, {"age": 4})
    with pytest.raises(nb.ModelError, match="no parameter 'ka'; there are cl, v"):
        nb.plot.forest(kinetics, {"wt": 50}, parameters="ka")


def test_a_forest_of_a_factor_stands_on_its_commonest_label():
    tree = study(people=5, formulas=("cl ~ 1 + arm + (1|id)", "v ~ 1"), theta_cl=[np.log(CL), 0.2], omega_id=[0.3],
                 sigma_conc_b=0.1)  # fmt: skip
    table = nb.plot.forest(tree, {"arm": "b"}).numbers
    assert table.loc[0, ["covariate", "value", "reference"]].tolist() == ["arm", "b", "a"]
    assert table.loc[0, "median"] == pytest.approx(np.exp(0.2))


def test_priors_are_drawn_as_they_are(kinetics):
    figure = nb.plot.priors(kinetics, ["theta_v", "omega_id[cl]"])
    assert [axis.get_title() for axis in figure.axes] == ["theta_v[Intercept]", "omega_id[cl]"]
    (line,) = [k for k in figure.axes[1].lines if k.get_label() == "prior"]
    assert line.get_ydata() == pytest.approx(stats.halfnorm(scale=0.5).pdf(line.get_xdata()), rel=1e-6)
    assert figure.axes[1].get_xlim()[0] >= 0
    row = figure.numbers.set_index("quantity").loc["theta_v[Intercept]"]
    assert row["median"] == pytest.approx(np.log(V)) and row["ratio"] == 0.0
    with pytest.raises(nb.ModelError, match="no variable 'theta_ka' with a proper prior; there are theta_cl"):
        nb.plot.priors(kinetics, "theta_ka")


def test_data_over_time_after_dose_have_a_line_for_each_dose():
    frame = pd.DataFrame({"id": [1] * 5, "time": [0.0, 1.0, 5.0, 13.0, 17.0], "conc": [1.0, 9.0, 6.0, 12.0, 8.0]})
    doses = pd.DataFrame({"id": [1], "time": [0.5], "amt": [100.0], "addl": [1], "ii": [12.0]})
    options = {"outcome": "conc", "time": "time", "levels": "id", "units": {"time": "h"}}
    figure = nb.plot.data(nb.Dataset.from_frame(frame, doses=doses, **options), x="tad")
    lines = [line.get_xdata().tolist() for line in figure.axes[0].lines[:2]]
    assert lines == [[0.5, 4.5], [0.5, 4.5]]
    assert figure.get_suptitle() == "What was measured? 1 records before the first dose are not here."
    assert figure.axes[0].get_xlabel() == "time after dose (h)"


def test_data_that_are_not_positive_are_counted_on_the_logarithmic_axis():
    frame = pd.DataFrame({"id": [1, 1, 2, 2], "time": [0.0, 1.0, 0.0, 1.0], "y": [0.0, 2.0, 0.0, 3.0], "w": 1.0})
    data = nb.Dataset.from_frame(frame, outcome="y", time="time", levels="id")
    linear, log = nb.plot.data(data).axes
    assert log.get_yscale() == "log" and linear.get_ylim()[0] == 0
    assert [text.get_text() for text in log.texts] == ["2 values of 0 or less are not here"]
    with pytest.raises(nb.ModelError, match="no covariate 'age' for by=; there are id, w"):
        nb.plot.data(data, by="age")


def test_a_covariate_of_many_numbers_is_cut_into_thirds():
    figure = nb.plot.data(nb.training_dataset(study(people=9)), by="wt")
    titles = [axis.get_title() for axis in figure.axes[::2]]
    assert titles == ["wt 50 to 66 kg (3 ids)", "wt 74 to 90 kg (3 ids)", "wt 98 to 114 kg (3 ids)"]


def test_units_are_read_from_a_table_and_kept_in_a_tree(kinetics, tmp_path):
    table = pd.DataFrame({"ID": 1, "TIME": [0.0, 1.0], "AMT": [100.0, 0], "DV": [np.nan, 5.0], "DVUNIT": "ug/L",
                          "AMTUNIT": "mg", "TIMEUNIT": "day", "WTUNIT": "kg"})  # fmt: skip
    data = nb.Dataset.from_nonmem(table, outcome="conc", units={"time": "h"})
    assert data.unit_of == {"conc": "ug/L", "amount": "mg", "time": "h"}
    with pytest.raises(nb.DataError, match="units= names 'dose'; there are id, time"):
        nb.Dataset.from_nonmem(table, units={"dose": "mg"})
    nb.save(kinetics, tmp_path / "tree.nc")
    assert nb.training_dataset(nb.load(tmp_path / "tree.nc")).unit_of == UNITS
    assert nb.datasets.theophylline().unit_of["conc"] == "mg/L"


def test_time_is_in_the_unit_of_the_parameters():
    assert time_of(OneCompartment(absorption="first-order").parameters) == "h"
    assert time_of(LinearMixed().parameters) == ""
    assert time_of((nb.Parameter("a", "1/days"), nb.Parameter("b", "mg/h"))) == ""


@pytest.mark.parametrize(("name", "label"), [("day", "day"), ("hours", "hours"), ("time", "time (day)")])
def test_a_time_that_is_named_after_its_unit_has_it_once(name, label):
    frame = pd.DataFrame({"id": 1, name: [0.0, 1.0], "size": [30.0, 40.0]})
    data = nb.Dataset.from_frame(frame, outcome="size", time=name, levels="id", units={"size": "mm³"})
    names = labelled(nb.Model(TumourGrowth(), residual=nb.Proportional()), data)
    assert (names(name), names("size")) == (label, "size (mm³)")


def test_a_published_model_brings_its_units():
    tree = nb.published("vancomycin_goti_2018", draws=20, random_seed=1)
    reads = {"wt": 70.0, "crcl": 90.0, "dial": 0}
    frame = pd.DataFrame({"id": "p", "time": [2.0, 11.0], "conc": [30.0, 12.0]} | reads)
    doses = pd.DataFrame({"id": ["p"], "time": 0.0, "amt": 1000.0, "duration": 1.0})
    patient = nb.Dataset.from_frame(frame, outcome="conc", time="time", levels="id", doses=doses)
    figure = nb.plot.forecast(nb.forecast(tree, patient, draws=30, proposals=100, random_seed=1))
    assert (figure.axes[0].get_xlabel(), figure.axes[0].get_ylabel()) == ("time (h)", "conc (mg/L)")


def test_fits_over_the_time_after_each_dose():
    """The curve after the second dose is that over time, moved by 24 hours; where nobody measured there is none."""
    frame = pd.DataFrame({"id": 1, "time": [-1.0, 1.0, 8.0, 25.0, 30.0], "conc": [0.0, 4.0, 2.0, 5.0, 3.0]})
    doses = pd.DataFrame({"id": 1, "time": [0.0], "amt": 100.0, "addl": 2, "ii": 24.0})
    data = nb.Dataset.from_frame(frame, outcome="conc", levels="id", time="time", doses=doses, units={"time": "h"})
    tree = stated(nb.Model(OneCompartment()), data, draws=4)
    plain, figure = nb.plot.fits(tree).numbers, nb.plot.fits(tree, x="tad")
    found = figure.numbers
    assert set(found["dose_number"]) == {1, 2} and figure.axes[0].get_xlabel() == "time after dose (h)"
    second = plain[plain["x"] >= 24.0]
    here = found[found["dose_number"] == 2]
    assert here["x"].tolist() == pytest.approx(second["x"] - 24.0)
    assert here["median"].tolist() == second["median"].tolist()
    assert [text.get_text() for text in figure.axes[0].texts] == ["1", "2"]
    (points,) = (line for line in figure.axes[0].lines if line.get_label() == "measured")
    assert points.get_xdata().tolist() == [1.0, 8.0, 1.0, 6.0]


@pytest.mark.parametrize("name", ["tad", "dose_number"])
def test_fits_over_the_time_after_each_dose_need_its_names(name):
    frame = pd.DataFrame({"id": 1, "time": [1.0, 8.0], "conc": [4.0, 2.0], name: [1.0, 1.0]})
    doses = pd.DataFrame({"id": 1, "time": [0.0], "amt": 100.0})
    data = nb.Dataset.from_frame(frame, outcome="conc", levels="id", time="time", doses=doses, inputs=name)
    with pytest.raises(nb.ModelError, match=rf"the data have a column '{name}'; read it under another name"):
        nb.plot.fits(stated(nb.Model(OneCompartment()), data, draws=4), x="tad")


def test_axes_from_nothing_have_room_for_logarithms(kinetics):
    figure = nb.plot.fits(kinetics, subjects=["1"])
    (axis,) = figure.axes
    low, high = axis.get_ylim()
    assert low == 0.0
    axis.set_yscale("log")
    assert 0.5 * figure.numbers["new_eti_lb"].min() < axis.get_ylim()[0] < axis.get_ylim()[1] < 2 * high


def test_what_is_censored_stands_apart_at_its_limit():
    frame = pd.DataFrame({"id": "1", "time": [1.0, 5.0, 9.0], "conc": [3.0, 1.9, 0.1]})
    doses = pd.DataFrame({"id": ["1"], "time": 0.0, "amt": 100.0})
    data = nb.Dataset.from_frame(frame, outcome="conc", time="time", levels="id", doses=doses, lloq=0.5)
    tree = stated(nb.Model(OneCompartment(), residual=nb.Proportional()), data, draws=5,
                  theta_cl=[np.log(CL)], theta_v=[np.log(V)], sigma_conc_b=0.1)  # fmt: skip
    for figure in (nb.plot.fits(tree), nb.plot.data(data)):
        lines = {line.get_label(): line.get_xydata().tolist() for line in figure.axes[0].lines}
        assert lines["measured"] == [[1.0, 3.0], [5.0, 1.9]]
        assert lines["measured, censored, at its limit"] == [[9.0, 0.5]]


def test_regimens_say_the_units_of_their_names(forecast):
    table = nb.recommend(forecast, plans(), [nb.Trough(1, 5), nb.Peak(2, 9)])
    assert table.attrs["units"] == {"times": "h", "conc": "mg/L"}
    figure = nb.plot.regimens(table[["amount", "regimen", "target", "p_below", "p_in", "p_above"]])
    assert figure.get_suptitle() == "Which regimen reaches the target? (times in h, conc in mg/L)"


@pytest.mark.parametrize("places", [[0.0, 0.01, 0.1, 1.0, 30.0], [3.0], list(range(500))])
def test_curves_part_the_gaps_between_neighbouring_places(places):
    found = moments.fine(places, 60)
    assert np.isin(places, found).all() and found.min() == places[0] and found.max() == places[-1]
    parted = np.histogram(found, places)[0][:-1] if len(places) > 2 else [8]
    assert min(parted) >= (8 if len(places) < 10 else 1) and len(found) <= 60 + 8 * len(places)
