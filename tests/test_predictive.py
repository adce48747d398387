"""Visual predictive checks in numbers: tidyvpc's, closed forms, strata, corrections, censoring; own statistics."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from scipy import stats
from trees import stated

import nlmebayes as nb
from model_zoo import LinearMixed, OneCompartment, ParametricSurvival
from nlmebayes.criticism.bins import binned


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


@pytest.mark.external
def test_a_stratified_corrected_check_has_the_numbers_of_tidyvpc(reference):
    folder = reference / "criticism"
    data, simulated = pd.read_csv(folder / "vpc_obs.csv.gz"), pd.read_csv(folder / "vpc_sim.csv.gz")
    told = pd.read_csv(folder / "vpc_predcor_strat_stats.csv")
    seen = (data["MDV"] == 0).to_numpy()
    data["PRED"] = simulated["PRED"].to_numpy().reshape(100, -1)[0]
    drawn = simulated["DV"].to_numpy().reshape(100, -1)[:, seen]
    table = nb.vpc(
        observed=data[seen], simulated=drawn, outcome="DV", x="TIME", by="GENDER", bins="NTIME", pred="PRED",
        correct="prediction", ci_prob=0.95,
    )  # fmt: skip
    names = {"q0.05": "5 %", "q0.5": "50 %", "q0.95": "95 %"}
    told = told.assign(statistic=told["qname"].map(names), x=told["xbin"]).set_index(["GENDER", "x", "statistic"])
    both = table.set_index(["GENDER", "x", "statistic"]).join(told[["y", "lo", "md", "hi"]])
    assert len(both) == len(told) == 66
    for ours, theirs in (("observed", "y"), ("eti_lb", "lo"), ("median", "md"), ("eti_ub", "hi")):
        assert both[ours].to_numpy() == pytest.approx(both[theirs].to_numpy(), rel=1e-12)


def frame(n=60):
    """Two sexes with predictions of their own, at three times."""
    rng = np.random.default_rng(1)
    found = pd.DataFrame({"t": np.tile([1.0, 2.0, 4.0], n), "sex": np.repeat(["f", "m"], 3 * n // 2)})
    found["pred"] = np.where(found["sex"] == "f", 10.0, 20.0) * found["t"]
    return found.assign(y=found["pred"] * rng.lognormal(0, 0.3, 3 * n))


def drawn(frame, many=400, seed=2):
    return frame["pred"].to_numpy() * np.random.default_rng(seed).lognormal(0, 0.3, (many, len(frame)))


def checked(frame, simulated, **options):
    return nb.vpc(observed=frame, simulated=simulated, outcome="y", x="t", **options)


def test_percentiles_are_those_of_numpy_by_bin():
    data = frame()
    simulated = drawn(data)
    table = checked(data, simulated, percentiles=[10, 50], ci_prob=0.8)
    for t in (1.0, 2.0, 4.0):
        here = (data["t"] == t).to_numpy()
        row = table[(table["x"] == t) & (table["statistic"] == "10 %")].iloc[0]
        each = np.percentile(simulated[:, here], 10, axis=1)
        assert row["observed"] == pytest.approx(np.percentile(data["y"][here], 10))
        assert [row["eti_lb"], row["median"], row["eti_ub"]] == pytest.approx(np.percentile(each, [10, 50, 90]))
        assert row["n"] == 60 and row["observed_lb"] < row["observed"] < row["observed_ub"]


def test_the_interval_of_an_observed_percentile_covers_as_often_as_it_says():
    rng, inside = np.random.default_rng(4), 0
    for _ in range(300):
        one = pd.DataFrame({"t": np.ones(40), "y": rng.normal(size=40)})
        row = checked(one, rng.normal(size=(3, 40)), percentiles=[50]).iloc[0]
        inside += row["observed_lb"] <= 0 <= row["observed_ub"]
    low, high = stats.binom.ppf([0.001, 0.999], 300, 0.92)
    assert low <= inside <= high


def test_a_correction_takes_out_what_predictions_tell():
    """After it the two sexes and all times have the law of the scatter around the median prediction."""
    data = frame(4000)
    table = checked(data, drawn(data, 30), correct="prediction", pred="pred")
    spread = np.exp(0.3 * stats.norm.ppf([0.05, 0.5, 0.95]))
    for t, middle in ((1.0, 15.0), (2.0, 30.0), (4.0, 60.0)):
        assert table.loc[table["x"] == t, "observed"].to_numpy() == pytest.approx(middle * spread, rel=0.03)
    logged = data.assign(y=np.log(data["y"]), pred=np.log(data["pred"]))
    other = checked(logged, np.log(drawn(data, 30)), correct="prediction", pred="pred", logged=True, percentiles=[50])
    expected = np.log(data["pred"].groupby(data["t"]).median()) + np.median(np.log(data["y"] / data["pred"]))
    assert other["observed"].to_numpy() == pytest.approx(expected.to_numpy(), abs=0.36)


def test_a_variance_correction_makes_scatters_alike():
    rng = np.random.default_rng(3)
    data = pd.DataFrame({"t": 1.0, "sd": np.repeat([1.0, 2.0, 4.0], 2000), "pred": 10.0}, index=range(6000))
    data["y"], simulated = (
        10 + data["sd"] * rng.normal(size=6000),
        10 + data["sd"].to_numpy() * rng.normal(size=(60, 6000)),
    )
    table = checked(data, simulated, correct="variance", pred="pred", percentiles=[5, 95])
    assert table["observed"].to_numpy() == pytest.approx(10 + 2 * stats.norm.ppf([0.05, 0.95]), abs=0.2)


def test_strata_stand_apart_and_have_one_check_each():
    data = frame()
    simulated = drawn(data)
    whole = checked(data, simulated, by="sex")
    for sex in "fm":
        here = (data["sex"] == sex).to_numpy()
        alone = checked(data[here], simulated[:, here])
        same = whole[whole["sex"] == sex].drop(columns="sex").reset_index(drop=True)
        pd.testing.assert_frame_equal(same, alone)


def test_censored_records_have_a_share_and_stand_at_their_limit():
    data = frame()
    table = checked(data, drawn(data), lloq=9.0)
    censored = table[table["statistic"] == "censored"].set_index("x")
    expected = (data["y"] < 9.0).groupby(data["t"]).mean()
    assert censored["observed"].to_numpy() == pytest.approx(expected.to_numpy())
    interval = stats.binomtest(round(60 * expected[1.0]), 60).proportion_ci(0.9)
    assert censored.loc[1.0, ["observed_lb", "observed_ub"]].tolist() == pytest.approx([interval.low, interval.high])
    assert table[(table["x"] == 1) & (table["statistic"] == "5 %")]["observed"].item() == 9.0


def test_a_corrected_percentile_below_quantification_is_missing_not_guessed():
    data = frame()
    table = checked(data, drawn(data), lloq=9.0, correct="prediction", pred="pred")
    first = table[(table["x"] == 1) & (table["statistic"] == "5 %")].iloc[0]
    assert np.isnan(first[["observed", "median"]].astype(float)).all()
    free = checked(data, drawn(data), correct="prediction", pred="pred")
    same = (table["x"] == 4) & (table["statistic"] == "95 %")
    expected = free[(free["x"] == 4) & (free["statistic"] == "95 %")]
    assert table[same][["observed", "eti_ub"]].to_numpy() == pytest.approx(expected[["observed", "eti_ub"]].to_numpy())


def test_bins_by_count_by_clusters_by_edges_and_by_a_column():
    at = np.concatenate([np.arange(20) / 100, 5 + np.arange(20) / 100, 9 + np.arange(20) / 100])
    nominal = pd.DataFrame({"nominal": np.repeat([9.0, 5.0, 0.0], 20)[::-1].copy()})
    for bins, binning in ((3, "count"), (3, "k-means"), ([0.0, 4.0, 8.0, 10.0], "count"), ("nominal", "count")):
        which = binned(at, nominal, bins, binning)
        assert which.tolist() == np.repeat([0, 1, 2], 20).tolist()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"bins": [0.0, 2.0]}, "60 records lie outside the edges 0 and 2, the first at 4"),
        ({"bins": [2.0, 1.0]}, "edges must be two or more numbers that increase"),
        ({"bins": "no"}, "bins: no column 'no'; there are t, sex"),
        ({"by": "no"}, "by: no column 'no'; there are t, sex"),
        ({"by": "y"}, "by: y has 180 values, 0 are missing"),
        ({"correct": "prediction"}, "needs the column of predictions, pred="),
        ({"outcome": "sex"}, "observed has no column 'sex' of numbers"),
        ({"simulated": np.ones((3, 2))}, r"must be \(replicate, record\) of 180 records"),
        ({"tree": None, "observed": None, "simulated": None}, "give a tree, or observed= and simulated="),
        ({"lloq": {"y": 1.0}}, "lloq= and uloq= of numbers from anywhere are a number, or a column"),
        ({"binning": "kmeans"}, "binning must be 'count', 'k-means' or 'rolling'"),
    ],
)
def test_what_cannot_be_compared_is_refused_by_name(given, message):
    data = frame()
    with pytest.raises(nb.ModelError, match=message):
        nb.vpc(**{"observed": data, "simulated": drawn(data), "outcome": "y", "x": "t"} | given)


@pytest.fixture(scope="module")
def oral():
    times = np.array([1.0, 4.0, 9.0, 13.0, 16.0])
    data = pd.DataFrame({"id": np.repeat(np.arange(30), 5), "time": np.tile(times, 30)})
    data = data.assign(y=5.0, sex=np.where(data["id"] % 2, "m", "f"))
    doses = pd.DataFrame({"id": np.repeat(np.arange(30), 2), "time": np.tile([0.0, 12.0], 30), "amt": 100.0})
    data = nb.Dataset.from_frame(data, outcome="y", time="time", levels="id", doses=doses)
    model = nb.Model(OneCompartment(), "cl ~ 1 + (1|id)", "v ~ 1", residual=nb.Proportional())
    tree = nb.simulate(
        model, data, draws=1, random_seed=4,
        values={"theta_cl": [0.7], "theta_v": [2.5], "omega_id": [0.3], "sigma_y_b": 0.2},
    )  # fmt: skip
    data = data.with_values(y=tree["prior_predictive"]["y"].to_numpy().ravel())
    return stated(model, data, theta_cl=[0.7], theta_v=[2.5], omega_id=[0.3], sigma_y_b=0.2)


def test_a_check_over_time_after_dose_joins_the_doses(oral):
    table = nb.vpc(oral, x="tad", replicates=200, percentiles=[50])
    assert table["x"].tolist() == [1.0, 4.0, 9.0] and table["n"].tolist() == [60, 60, 30]
    assert ((table["observed"] > table["eti_lb"] - 0.5) & (table["observed"] < table["eti_ub"] + 0.5)).all()


def test_records_without_a_place_are_counted(oral):
    data = nb.training_dataset(oral)
    early = data.observations.assign(time=data.observations["time"] - 2.0)
    frame = early.rename(columns={"value": "y"})[["id", "time", "y", "sex"]]
    doses = data.doses[["id", "time"]].assign(amt=100.0)
    moved = nb.Dataset.from_frame(frame, outcome="y", time="time", levels="id", doses=doses)
    with pytest.warns(UserWarning, match=r"vpc: 30 records of y have no tad \(row 1\) and are left out"):
        table = nb.vpc(oral, moved, x="tad", replicates=20, percentiles=[50])
    assert table["n"].sum() == 120


def test_records_that_m1_left_out_are_told():
    frame = pd.DataFrame({"id": np.repeat(np.arange(10), 2), "y": np.linspace(0, 3, 20)})
    data = nb.Dataset.from_frame(frame, outcome="y", levels="id", lloq=1.0, blq="M1")
    tree = stated(nb.Model(LinearMixed(), "mu ~ 1 + (1|id)"), data)
    with pytest.warns(UserWarning, match=r"were left out \(M1\), which simulated ones are not"):
        nb.ppc(tree, lambda rows: rows["DV"].min(), replicates=20)


def test_a_picture_draws_the_table_with_a_panel_for_each_stratum(oral):
    figure = nb.plot.vpc(oral, by="sex", correct="prediction", replicates=100)
    table = nb.vpc(oral, by="sex", correct="prediction", replicates=100)
    assert [axis.get_title() for axis in figure.axes] == ["sex f", "sex m"]
    for axis, sex in zip(figure.axes, "fm", strict=True):
        (shown,) = [k for k in axis.lines if k.get_label() == "observed 50 %"]
        own = table[(table["sex"] == sex) & (table["statistic"] == "50 %")]
        assert shown.get_xydata() == pytest.approx(own[["x", "observed"]].to_numpy())
    words = [text.get_text() for text in figure.legends[0].get_texts()]
    assert {"simulated 50 %, 90 % interval", "observed, 90 % interval"} <= set(words)


def test_events_have_a_survival_curve_in_each_stratum():
    rng = np.random.default_rng(3)
    data = pd.DataFrame({"id": np.arange(80), "arm": np.repeat(["a", "b"], 40), "t": rng.exponential(3, 80) + 0.1})
    data = nb.Dataset.from_frame(data.assign(seen=1), outcome="t", levels="id", status="seen")
    tree = stated(nb.Model(ParametricSurvival("exponential"), residual=nb.TimeToEvent()), data)
    table = nb.vpc(tree, by="arm", replicates=50)
    own = data.observations.query("arm == 'a'")["value"]
    expected = [(own > t).mean() for t in table.loc[table["arm"] == "a", "x"]]
    assert table.loc[table["arm"] == "a", "observed"].to_numpy() == pytest.approx(expected)
    assert len(nb.plot.vpc(tree, by="arm", replicates=20).axes) == 2
    with pytest.raises(nb.ModelError, match="correct: times to an event have no correction"):
        nb.vpc(tree, correct="prediction", replicates=20)


def test_a_numerical_check_counts_what_lies_outside_of_each_interval():
    """Records at quantiles of their law, which is normal with variance 0.36 + 0.64."""
    tree = linear(1.0 + stats.norm.ppf((np.arange(120) + 0.5) / 120))
    table = nb.npc(tree, replicates=4000, intervals=[0.0, 0.5, 0.9])
    assert table["observed"].to_numpy() == pytest.approx([0.5, 0.5, 0.25, 0.25, 0.05, 0.05], abs=0.018)
    assert table["expected"].to_numpy() == pytest.approx([0.5, 0.5, 0.25, 0.25, 0.05, 0.05])
    assert table["median"].to_numpy() == pytest.approx(table["expected"].to_numpy(), abs=0.01)
    # of one subject's three records, with correlation 0.36, 40 subjects
    each = stats.multivariate_normal(cov=0.36 + 0.64 * np.eye(2)).cdf(np.zeros(2))
    sd = np.sqrt((0.25 * 3 + 6 * (each - 0.25)) / 9 / 40)
    assert table.loc[0, "eti_ub"] - 0.5 == pytest.approx(stats.norm.ppf(0.95) * sd, abs=0.01)


def test_logarithmic_axes_are_those_asked_for(oral):
    figure = nb.plot.vpc(oral, by="sex", log="y", replicates=20)
    assert [axis.get_yscale() for axis in figure.axes] == ["log", "log"]
    assert [axis.get_xscale() for axis in figure.axes] == ["linear", "linear"]


def linear(y):
    rows = pd.DataFrame({"id": np.repeat(np.arange(40), 3), "time": np.tile([0.0, 1.0, 2.0], 40), "y": y})
    data = nb.Dataset.from_frame(rows, outcome="y", time="time", levels="id")
    model = nb.Model(LinearMixed(), "mu ~ 1 + (1|id)")
    return stated(model, data, theta_mu=[1.0], omega_id=[0.6], sigma_y_a=0.8)


def test_a_statistic_of_ones_own_has_its_law():
    """The mean of 120 records of 40 subjects: variance 0.36 / 40 + 0.64 / 120."""
    sd = np.sqrt(0.36 / 40 + 0.64 / 120)
    tree = linear(np.full(120, 1.0 + sd))
    table = nb.ppc(tree, lambda rows: pd.Series({"mean": rows["DV"].mean(), "n": len(rows)}), replicates=2000)
    assert table.loc["mean", ["observed", "mean", "sd"]].tolist() == pytest.approx([1 + sd, 1, sd], abs=0.006)
    assert table.loc["mean", "p"] == pytest.approx(1 - stats.norm.cdf(1), abs=0.03)
    assert table.loc["n", "p"] == 0.5


@pytest.mark.parametrize(
    ("statistic", "message"),
    [
        (lambda rows: np.nan, "must give a number, or a Series of them; got nan"),
        (lambda rows: rows["dv"].max(), "failed with KeyError: 'dv'"),
    ],
)
def test_a_statistic_that_is_no_number_is_refused(statistic, message):
    with pytest.raises(nb.ModelError, match=f"ppc: the statistic {message}"):
        nb.ppc(linear(np.ones(120)), statistic, replicates=20)


def spread_out(n=300, seed=5):
    """Records at times of their own, whose spread grows with the time."""
    rng = np.random.default_rng(seed)
    t = np.sort(rng.uniform(0, 10, n))
    return pd.DataFrame({"t": t, "pred": 5 + t, "y": 5 + t + (0.2 + 0.1 * t) * rng.standard_normal(n)})


def test_rolling_percentiles_are_those_of_the_nearest_records():
    data = spread_out()
    simulated = data["pred"].to_numpy() + np.random.default_rng(1).standard_normal((50, 300))
    table = checked(data, simulated, binning="rolling", bins=10, percentiles=[50])
    assert len(table) == 40 and (table["n"] == 30).all() and table["x"].is_monotonic_increasing
    centres = np.quantile(data["t"], np.linspace(0, 1, 40), method="nearest")
    for centre, row in zip(centres, table.itertuples(), strict=True):
        near = np.argsort(np.abs(data["t"].to_numpy() - centre))[:30]
        assert row.observed == pytest.approx(np.median(data["y"].iloc[near]))
        assert row.median == pytest.approx(np.median(np.median(simulated[:, near], axis=1)))


def test_a_rolling_window_does_not_reach_over_a_gap_and_takes_a_number():
    data = pd.concat([spread_out(60), spread_out(60, 6).assign(t=lambda x: x["t"] + 100)])
    table = checked(data, np.tile(data["y"].to_numpy(), (30, 1)), binning="rolling", bins=4)
    assert (table["x"] < 15).sum() + (table["x"] > 95).sum() == len(table)
    with pytest.raises(nb.ModelError, match="rolling windows take a number"):
        checked(data, np.tile(data["y"].to_numpy(), (30, 1)), binning="rolling", bins=[0.0, 200.0])


def test_a_rolling_correction_is_that_of_the_window():
    """Of predictions that are linear in the time and no scatter, corrected values are the median of the window."""
    data = spread_out().assign(y=lambda x: x["pred"])
    table = checked(
        data, np.tile(data["y"].to_numpy(), (30, 1)), binning="rolling", bins=10, pred="pred", correct="prediction"
    )
    assert (table["observed"] - 5 - table["x"]).abs().max() < 1e-9


def test_a_few_records_beyond_a_gap_go_with_their_neighbours():
    data = pd.concat([spread_out(60), spread_out(60).assign(t=100.0).iloc[:1]])
    table = checked(data, np.tile(data["y"].to_numpy(), (30, 1)), binning="rolling", bins=4)
    assert (table["x"] < 10).all() and (table["n"] >= 15).all()


def test_a_series_with_runs_of_censored_records_is_checked_like_any_other():
    """The law of each record alone is that of the residual inside, so percentiles and counts are those of no memory."""
    times = np.array([1.0, 4.0, 12.0, 24.0])
    frame = pd.DataFrame(
        {"id": np.repeat(np.arange(40), 4), "time": np.tile(times, 40), "y": np.tile([9.0, 7, 2, 1], 40)}
    )
    doses = pd.DataFrame({"id": np.arange(40), "time": 0.0, "amt": 300.0})
    options = {"outcome": "y", "time": "time", "levels": "id", "doses": doses, "lloq": 2.5}
    data = nb.Dataset.from_frame(frame, **options)
    values = {"theta_cl": [1.1], "theta_v": [3.4], "omega_id": [0.3, 0.2], "sigma_y_a": 0.2}
    plain = nb.Model(OneCompartment(), residual=nb.LogNormal())
    series = plain.but(residual=nb.Autoregressive(nb.LogNormal(), over="time"))
    tables = [
        nb.vpc(stated(model, data, **values, **more), replicates=2000)
        for model, more in ((plain, {}), (series, {"sigma_y_rho": 0.9}))
    ]
    same = [table.loc[table["statistic"] != "censored", "median"].to_numpy() for table in tables]
    assert same[0] == pytest.approx(same[1], rel=0.05)
    tree = stated(series, data, **values, sigma_y_rho=0.9)
    assert (
        nb.npc(tree, replicates=200)["n"].tolist()
        == nb.npc(stated(plain, data, **values), replicates=200)["n"].tolist()
    )
    assert nb.ppc(tree, _last, replicates=50)["observed"].tolist() == [2.5]  # censored ones stand at their limit


def _last(rows):
    return rows.groupby("id")["DV"].last().mean()
