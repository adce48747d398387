"""Simulated studies: estimates and standard errors of closed forms, files that go on, failures that stop nothing."""

import json

import numpy as np
import pandas as pd
import pytest
from trees import stated

import nlmebayes as nb
from model_zoo import HospitalProfile, LinearMixed, OneCompartment, ParametricSurvival
from nlmebayes.design import estimates
from nlmebayes.design.performance import Studies

GROUPS, EACH, MU, OMEGA, SIGMA = 12, 4, 10.0, 2.0, 1.0
MODEL = nb.Model(LinearMixed(), "mu ~ 1 + treated + (1|id)")


def frame(groups=GROUPS):
    rows = pd.DataFrame({"id": np.repeat(np.arange(groups), EACH), "y": 0.0})
    return rows.assign(treated=rows["id"] % 2.0)


def plan(**options):
    return nb.Dataset.from_frame(frame(**options), outcome="y", levels="id", duplicates="keep")


def law(model=MODEL, slope=0.0, **options):
    return nb.population(
        model, theta={"mu": {"Intercept": MU, "treated": slope}}, omega={"sd": {"mu": OMEGA}}, sigma={"a": SIGMA},
        outcome="y", reference={"treated": 0.0}, **options,
    )  # fmt: skip


def data_of(n, *args, **options):
    """The datasets of studies, none of which is fitted."""
    seen = []
    with pytest.warns(UserWarning, match="could not be fitted"):
        studies(n, *args, fit=seen.append, **options)
    return seen


def studies(n=3, tree=None, data=None, **options):
    return nb.simulate_studies(tree or law(), data or plan(), n, progressbar=False, **options)


def by_quantity(found, column):
    return found.estimates.pivot(index="study", columns="quantity", values=column)


@pytest.fixture(scope="module")
def fifty():
    return studies(50)


def test_standard_errors_are_those_of_a_balanced_mixed_model(fifty):
    """The difference of the halves has variance 4 (omega^2 + sigma^2 / m) / n, the variance of the scatter
    2 sigma^4 / (n (m - 1)) (Searle, Casella and McCulloch 1992, ch. 4)."""
    value, se = by_quantity(fifty, "value"), by_quantity(fifty, "se")
    sigma, away = value["sigma_y_a"], value["omega_id mu"] ** 2 + value["sigma_y_a"] ** 2 / EACH
    assert se["mu: treated"].to_numpy() == pytest.approx(np.sqrt(4 * away / GROUPS), rel=1e-4)
    assert se["sigma_y_a"].to_numpy() == pytest.approx(sigma / np.sqrt(2 * GROUPS * (EACH - 1)), rel=1e-3)
    exact = {"mu: treated": np.sqrt(4 * (OMEGA**2 + SIGMA**2 / EACH) / GROUPS), "sigma_y_a": 1 / np.sqrt(2 * 36)}
    for name, each in exact.items():
        row = fifty.table.loc[name]
        assert row["empirical_se"] == pytest.approx(each, abs=4 * row["empirical_se_mcse"])
        assert abs(row["bias"]) < 4 * row["bias_mcse"]
        assert abs(row["coverage"] - 0.9) < 4 * np.sqrt(0.09 / 50)
    assert fifty.failed == (0.0, 0.0) and fifty.n == (50, 50)


def test_each_study_is_fitted_as_fit_does():
    seen = []

    def keep(data):
        seen.append(data)
        return nb.fit(MODEL, data, method="ml")

    direct, ours = studies(2, fit=keep), studies(2)
    for column in ("value", "se", "lower", "upper"):
        assert ours.estimates[column].to_numpy() == pytest.approx(direct.estimates[column].to_numpy(), rel=2e-3)
    y = seen[0].observations.groupby("treated")["value"].mean()
    assert ours.estimates["value"][1] == pytest.approx(y[1] - y[0], rel=1e-6)


def test_a_curve_is_fitted_from_the_truth_as_from_a_pilot():
    """One-compartment kinetics of eight subjects, a share of whose samples is below quantification."""
    times = [1.0, 4.0, 12.0, 24.0]
    rows = pd.DataFrame({"id": np.repeat(np.arange(8), 4), "time": times * 8, "conc": 1.0})
    doses = pd.DataFrame({"id": np.arange(8), "time": 0.0, "amt": 100.0})
    data = nb.Dataset.from_frame(rows, outcome="conc", time="time", levels="id", doses=doses)
    tree = nb.population(
        OneCompartment(), theta={"cl": 1.0, "v": 10.0}, omega={"sd": {"cl": 0.3, "v": 0.2}}, sigma={"b": 0.15}
    )
    seen = data_of(1, tree, data, lloq=1.5)
    below = seen[0].observations["upper"] == 1.5
    assert below.any() and (seen[0].observations["value"][~below] > 1.5).all()
    ours = studies(1, tree, data, lloq=1.5).estimates.set_index("quantity")
    direct = nb.summary(nb.fit(nb.Model(OneCompartment(), residual=nb.Proportional()), seen[0], method="ml"))
    direct = direct.set_index("quantity")
    assert (np.abs(ours["value"] - direct["mean"]) / direct["sd"]).max() < 0.02
    assert ours["se"].to_numpy() == pytest.approx(direct["sd"].to_numpy(), rel=0.02, nan_ok=True)


@pytest.mark.parametrize(
    ("model", "data", "values"),
    [
        (nb.Model(HospitalProfile(), "risk ~ 1 + (1|herd)", residual=nb.Binomial("size")), nb.datasets.cbpp,
         {"theta_risk": [-1.0], "omega_herd": [0.9]}),
        (nb.Model(LinearMixed(), "mu ~ 1 + (1|batch/cask)"), nb.datasets.pastes,
         {"theta_mu": [60.0], "omega_batch": [2.0], "omega_cask": [3.0], "sigma_strength_a": 1.0}),
    ],
    ids=["counts", "nested"],
)  # fmt: skip
def test_other_families_and_nestings_are_fitted_as_fit_does(model, data, values):
    tree = stated(model, data(), **values)
    ours = studies(1, tree, data()).estimates
    direct = nb.summary(nb.fit(model, data_of(1, tree, data())[0], method="ml"))
    assert (np.abs(ours["value"] - direct["mean"]) / direct["sd"]).max() < 0.02
    assert ours["se"].to_numpy() == pytest.approx(direct["sd"].to_numpy(), rel=0.02)


def test_a_design_has_its_own_limits_windows_and_covariates():
    """Samples of each study are drawn in their windows, and censored at the limit of their arm."""
    arms = [nb.Arm(6, [1.0, 8.0, (20.0, 30.0)], doses={"time": 0, "amt": 100}, lloq=3.0),
            nb.Arm(4, [1.0, 8.0, 16.0], doses={"time": 0, "amt": 200})]  # fmt: skip
    tree = nb.population(
        OneCompartment(), theta={"cl": 1.0, "v": 10.0}, omega={"sd": {"cl": 0.3, "v": 0.2}}, sigma={"b": 0.15}
    )
    seen = data_of(2, tree, nb.Design(arms))
    first, second = (data.observations for data in seen)
    late = (first["arm"] == "1") & (first["time"] > 8)
    assert first["time"][late].between(20, 30).all() and not (first["time"] == second["time"]).all()
    assert (first["upper"][late] == 3.0).any() and first["upper"][first["arm"] == "2"].isna().all()
    with pytest.raises(nb.ModelError, match="a Design has its own limits"):
        studies(2, tree, nb.Design(arms), lloq=1.0)


def test_a_file_goes_on_where_it_ended(tmp_path, fifty):
    path = tmp_path / "studies.jsonl"
    studies(2, file=path)
    with path.open("a") as file:
        file.write('{"study": 2, "sec')  # the power failed
    with pytest.warns(UserWarning, match="its last line was cut off"):
        found = studies(4, file=path)
    assert found.estimates.equals(fifty.estimates[fifty.estimates["study"] < 4])
    assert [json.loads(line).get("study") for line in path.read_text().splitlines()] == [None, 0, 1, 2, 3]
    for other, word in (({"random_seed": 1}, "random_seed"), ({"data": plan(groups=6)}, "design"),
                        ({"tree": law(slope=1.0)}, "population"), ({"fit": "map"}, "fit")):  # fmt: skip
        with pytest.raises(nb.FileError, match=f"another {word}"):
            studies(4, file=path, **other)
    for text, word in ((b"[1]\n", "is no file of simulated studies"), (b"\xff\n", "cannot be read"),
                       (b"{\n", "line 1 is damaged")):  # fmt: skip
        path.write_bytes(text)
        with pytest.raises(nb.FileError, match=word):
            studies(2, file=path)
    with pytest.raises(nb.FileError, match="is not written: No such file"):
        studies(2, file=tmp_path / "nowhere" / "studies.jsonl")


def test_a_failure_stops_nothing_and_is_counted():
    count = []

    def sometimes(data):
        count.append(data)
        if len(count) == 2:
            raise ZeroDivisionError("one over nothing")
        return nb.fit(MODEL, data, method="ml")

    with pytest.warns(UserWarning, match="1 of 3 studies could not .*in the table; 1 of them: ZeroDiv"):
        found = studies(3, fit=sometimes)
    assert found.reasons == {"ZeroDivisionError: one over nothing": 1} and list(found.failures) == [1]
    assert found.failed[0] == pytest.approx(1 / 3) and set(found.estimates["study"]) == {0, 2}
    with pytest.warns(UserWarning, match="2 of 2 studies could not be fitted"):
        nothing = studies(2, fit=lambda data: 1 / 0)
    assert nothing.failed[0] == 1 and nothing.table.empty


def test_what_a_design_cannot_part_is_said_before_it_is_simulated():
    one = nb.Dataset.from_frame(frame().drop_duplicates("id"), outcome="y", levels="id")
    said = "simulate_studies: the records cannot part omega_id of mu and sigma_y_a: each id has one record"
    with pytest.warns(UserWarning, match=said):
        found = studies(1, data=one).table
    assert found.loc["sigma_y_a", "stated_se"] > 10 * found.loc["sigma_y_a", "truth"]


def test_what_is_said_of_estimates_is_what_is_defined():
    """Three studies written out: bias, SD, coverage, boundary, and the power of Wald's test and the ratio's."""
    each = [(1.2, 0.1, 1.0, 1.4), (0.9, 0.2, 0.5, 1.3), (1.5, None, None, None)]
    names = ("value", "se", "lower", "upper")
    entries = [{"study": i, "seconds": 1.0, "quantity": ["a"], "truth": [1.1], "ratios": {"a": [ratio, 1]}}
               | {name: [x] for name, x in zip(names, row, strict=True)}
               for i, (row, ratio) in enumerate(zip(each, (9.0, 3.0, 5.0), strict=True))]  # fmt: skip
    found = Studies.of(entries, 12, 0.9)
    row = found.table.loc["a"]
    assert row[["bias", "empirical_se", "stated_se", "coverage", "boundary"]].to_numpy(float) == pytest.approx(
        [0.1, np.std([1.2, 0.9, 1.5], ddof=1), 0.15, 1.0, 1 / 3]
    )
    assert row["bias_pct"] == pytest.approx(100 * 0.1 / 1.1) and row["bias_mcse"] == pytest.approx(0.3 / np.sqrt(3))
    assert found.power("a", null=0.5)["power"].tolist() == pytest.approx([2 / 3, 2 / 3])
    with pytest.raises(nb.ModelError, match="no quantity 'b'; there are a"):
        found.power("b")


def test_a_ratio_of_likelihoods_is_twice_their_difference():
    smaller = MODEL.but(formulas=("mu ~ 1 + (1|id)",))
    tree = law(slope=4.0)
    found, seen = studies(2, tree, without={"mu:treated": smaller}), data_of(2, tree)
    fits = [[json.loads(nb.fit(m, data, method="ml").attrs["nlmebayes_fit"])["minus2ll"] for m in (smaller, MODEL)]
            for data in seen]  # fmt: skip
    assert found.ratios["ratio"].to_numpy() == pytest.approx(-np.diff(fits)[:, 0], abs=1e-3)
    assert found.ratios["df"].tolist() == [1, 1]
    assert found.power("mu: treated")["test"].tolist() == ["Wald", "likelihood ratio"]


def test_each_study_may_have_its_own_truth():
    tree = law(uncertainty={"mu": 10.0}, draws=30, random_seed=1)
    truth = by_quantity(studies(3, tree, draws=True), "truth")["mu"]
    assert truth.nunique() == 3 and truth.isin(tree["posterior"]["theta_mu"][..., 0].to_numpy().ravel()).all()
    assert by_quantity(studies(2, tree), "truth")["mu"].nunique() == 1


def test_a_posterior_is_judged_by_its_interval(monkeypatch):
    """Each study is given to `fit`; the mean, the SD and the interval are those of its summary."""
    tree = law(uncertainty={"mu": 10.0}, draws=30, random_seed=1)
    asked = []

    def stand_in(model, data, **options):
        asked.append(options)
        return tree

    monkeypatch.setattr(estimates, "fit", stand_in)
    found = studies(2, fit="laplace").estimates.set_index("quantity").loc["mu"]
    told = nb.summary(tree).set_index("quantity").loc["mu"]
    assert [each["method"] for each in asked] == ["laplace"] * 2
    assert asked[0]["random_seed"] != asked[1]["random_seed"]
    for ours, theirs in zip(("value", "se", "lower", "upper"), ("mean", "sd", "eti_lb", "eti_ub"), strict=True):
        assert (found[ours] == told[theirs]).all()


def test_a_transform_that_would_mean_something_else_is_refused():
    model = nb.Model(LinearMixed(), "mu ~ 1 + center(treated) + (1|id)")
    tree = nb.population(
        model, theta={"mu": {"Intercept": MU, "center(treated)": 1.0}}, omega={"sd": {"mu": OMEGA}},
        sigma={"a": SIGMA}, outcome="y", reference={"treated": 0.0},
    )  # fmt: skip
    assert studies(1, tree).n == (1, 1)
    with pytest.raises(nb.ModelError, match="the formula of mu means something else in each simulated study"):
        studies(1, tree, fit="nuts")


def test_what_cannot_be_judged_is_refused_before_the_first_study():
    with pytest.raises(nb.ModelError, match="no quantity 'cl'; there are mu, mu: treated"):
        studies(without={"cl": MODEL})
    with pytest.raises(nb.ModelError, match="need fit='ml'"):
        studies(without={"mu: treated": MODEL}, fit="map")
    larger = MODEL.but(formulas=("mu ~ 1 + treated + (1 + treated|id)",))
    with pytest.raises(nb.ModelError, match="which the tree's model lacks"):
        studies(without={"mu": larger})
    data = nb.Dataset.from_frame(pd.DataFrame({"id": [1, 2], "death": [3.0, 4.0]}), outcome="death", levels="id")
    with pytest.raises(nb.ModelError, match="death is a time to an event; give a Design"):
        studies(1, survival(), data)


def survival():
    return nb.population(
        ParametricSurvival("exponential"), "rate ~ 1", theta={"rate": 0.2}, omega={}, sigma={}, outcome="death",
        levels=("id",), residual=nb.TimeToEvent(),
    )  # fmt: skip


def test_events_are_followed_until_the_planned_time():
    """The rate is the number of events by the time at risk, its error that divided by their root."""
    plan = nb.Design([nb.Arm(40, [5.0])])
    seen = data_of(1, survival(), plan)
    value, lower = (seen[0].observations[name].to_numpy() for name in ("value", "lower"))
    events = np.isnan(lower).sum()
    assert (value[~np.isnan(lower)] == 5.0).all() and 15 < events < 35 and value.max() == 5.0
    studied = studies(1, survival(), plan)
    found = studied.estimates.set_index("quantity").loc["rate"]
    assert studied.subjects == 40
    assert found["value"] == pytest.approx(events / value.sum(), rel=1e-4)
    assert found["se"] == pytest.approx(events**0.5 / value.sum(), rel=1e-3)


def test_what_was_done_before_an_interruption_is_kept():
    tree = law(uncertainty={"mu": 10.0}, draws=30, random_seed=1)
    count = []

    def stopped(data):
        count.append(data)
        if len(count) == 2:
            raise KeyboardInterrupt
        return tree

    with pytest.warns(UserWarning, match="interrupted; 1 of 5 studies are done"):
        assert studies(5, tree, fit=stopped).n == (1, 1)
