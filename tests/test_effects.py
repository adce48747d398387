"""Effects, slopes and contrasts: beside the same draws by hand, closed forms, quadrature and printed numbers."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from scipy import integrate, special, stats
from trees import stated

import nlmebayes as nb
from model_zoo import Emax, LinearMixed, MichaelisMenten, OneCompartment, ParametricSurvival
from nlmebayes.summaries import savage_dickey
from nlmebayes.summaries.predictions import nodes

RNG = np.random.default_rng(4)
NUMBERS = ["mean", "sd", "median", "eti_lb", "eti_ub"]


def by_hand(draws, ci_prob=0.9):
    """The columns of an answer, from draws."""
    low = (1 - ci_prob) / 2
    return [draws.mean(), draws.std(), *np.quantile(draws, [0.5, low, 1 - low])]


def sites(model, draws=60, **values):
    """Subjects at sites, a drug given to half of them, ages, and a score."""
    frame = pd.DataFrame({"site": np.repeat(list("abcd"), 6), "id": np.tile(np.repeat([1, 2, 3], 2), 4)})
    frame["drug"] = np.where(np.arange(24) // 2 % 2, "active", "placebo")
    frame["age"] = 40.0 + 3 * (np.arange(24) // 2)
    frame["man"] = (np.arange(24) // 2 % 3 == 0).astype(float)
    frame["score"] = (np.arange(24) % 2).astype(float)
    data = nb.Dataset.from_frame(
        frame, outcome="score", levels=("site", "site/id"), duplicates="keep", units={"score": "points"}
    )
    return stated(model, data, draws=draws, **values)


LINEAR = nb.Model(LinearMixed(), "mu ~ 1 + drug * age + man + (1 + drug|site) + (1|id)")


@pytest.fixture(scope="module")
def linear():
    return sites(LINEAR)


def theta(tree, parameter="mu"):
    """Coefficients by term, (draw,) each."""
    values = tree["posterior"][f"theta_{parameter}"].stack(sample=("chain", "draw"))
    return {
        str(term): values.sel({f"{parameter}_term": term}).to_numpy() for term in values[f"{parameter}_term"].values
    }


def test_effects_of_a_linear_model_are_those_of_its_coefficients(linear):
    found, b = nb.effects(linear, "age", by="drug", at={"age": [50, 60]}), theta(linear)
    assert found[["age", "drug"]].values.tolist() == [
        [50, "active"], [60, "active"], [50, "placebo"], [60, "placebo"]
    ]  # fmt: skip
    shift = b["Intercept"] + 0.0 * b["man"]  # the commoner of two values, not a third of a man
    expected = [shift + b["age"] * x for x in (50, 60)]
    expected += [v + b["drug[placebo]"] + b["drug[placebo]:age"] * x for v, x in zip(expected, (50, 60), strict=True)]
    assert found[NUMBERS].to_numpy() == pytest.approx(np.array([by_hand(v) for v in expected]), rel=1e-9)
    assert (found["man"] == 0).all()
    assert found.attrs == {
        "of": "score", "unit": "points", "x": "age", "by": "drug", "groups": "none", "ci_prob": 0.9, "doses": ""
    }  # fmt: skip


def test_others_stand_at_their_means_over_people(linear):
    assert nb.effects(linear, "drug")["age"].tolist() == pytest.approx([56.5, 56.5])
    assert nb.effects(linear, "drug", at={"age": 41, "man": 1})[["age", "man"]].values.tolist() == [[41, 1], [41, 1]]


def test_a_person_with_many_occasions_is_one_person():
    """Of 11 occasions 8 are of the two heavy men, and 6 fed."""
    person = np.repeat([0, 1, 2, 3, 4], [1, 1, 1, 4, 4])
    frame = pd.DataFrame({"id": person, "occ": [0, 0, 0, *range(4), *range(4)], "time": [0.0] * 3 + [*range(4)] * 2})
    frame = frame.assign(wt=np.array([50.0, 60, 55, 100, 110])[person], sex=np.array(list("fffmm"))[person], score=1.0)
    frame["fed"] = np.where(frame["occ"] > 0, "fed", "fasted")
    data = nb.Dataset.from_frame(frame, outcome="score", levels=("id", "id/occ"), time="time", subject="id")
    tree = stated(nb.Model(LinearMixed(), "mu ~ 1 + wt + sex + fed + (1|id) + (1|occ)"), data, draws=5)
    assert nb.effects(tree, "fed")[["wt", "sex"]].values.tolist() == [[75.0, "f"]] * 2
    assert set(nb.effects(tree, "sex")["fed"]) == {"fed"}
    tree = stated(nb.Model(LinearMixed(), "mu ~ 1 + wt + sex + (1|id) + (1|occ)"), data, draws=5)
    found, b = nb.effects(tree, "sex", others="observed"), theta(tree)
    assert found["mean"].tolist() == pytest.approx(
        [(b["Intercept"] + 75 * b["wt"] + k * b["sex[m]"]).mean() for k in (0, 1)]
    )


def test_contrasts_of_a_linear_model_are_those_of_its_coefficients(linear):
    found, b = nb.contrast(linear, "drug", at={"age": 44}), theta(linear)
    draws = b["drug[placebo]"] + 44 * b["drug[placebo]:age"]
    assert found.loc[0, ["drug", "reference"]].tolist() == ["placebo", "active"]
    assert found.loc[0, NUMBERS].tolist() == pytest.approx(by_hand(draws), rel=1e-9)
    assert found.loc[0, "p_direction"] == max((draws > 0).mean(), (draws < 0).mean())
    other = nb.contrast(linear, "drug", at={"age": 44}, pairs={"active": "placebo"})
    assert other["mean"].item() == pytest.approx(-draws.mean(), rel=1e-9)
    assert len(nb.contrast(linear, "site", pairs="all")) == 6


def test_a_site_that_is_known_keeps_its_effects_and_its_own_people(linear):
    found, b = nb.contrast(linear, "drug", by="site"), theta(linear)
    eta = linear["posterior"]["eta_site"].stack(sample=("chain", "draw"))
    for row in found.itertuples():
        own = eta.sel(site=row.site, site_effect="mu:drug[placebo]").to_numpy()
        draws = b["drug[placebo]"] + row.age * b["drug[placebo]:age"] + own
        assert row.mean == pytest.approx(draws.mean(), rel=1e-9)
    assert found["age"].tolist() == [43.0, 52.0, 61.0, 70.0]
    person = nb.effects(linear, "id", at={"id": ["b/2"], "drug": "placebo"})
    assert person.loc[0, ["site", "age"]].tolist() == ["b", 52.0]
    known = nb.training_dataset(linear).sel(id="b/2")
    mu = nb.predict(linear, known)["posterior"]["mu"].isel(unit=0).to_numpy()
    assert person["mean"].item() == pytest.approx(mu.mean(), rel=1e-9)


LOGIT = LINEAR.but(links={"mu": "logit"}, typical={"mu": 0.4}, residual=nb.Bernoulli())


def test_a_population_average_of_probabilities_is_the_integral_over_people():
    tree = sites(LOGIT, draws=5)
    found = nb.effects(tree, "drug", groups="average", at={"age": 41, "man": 1})
    b, post = theta(tree), tree["posterior"].isel(chain=0)
    for row, new in zip(found.itertuples(), (0, 1), strict=True):
        expected = []
        for d in range(5):
            middle = b["Intercept"][d] + 41 * b["age"][d] + b["man"][d]
            middle += new * (b["drug[placebo]"][d] + 41 * b["drug[placebo]:age"][d])
            sd, corr = post["omega_site"].values[d], post["corr_site"].values[d]
            z = np.array([1.0, new])
            variance = z @ (np.outer(sd, sd) * corr) @ z + post["omega_id"].values[d, 0] ** 2
            law = stats.norm(middle, np.sqrt(variance))
            whole = integrate.quad(
                lambda x, law=law: special.expit(x) * law.pdf(x), *law.interval(1 - 1e-14), limit=400,
                points=[0.0] if abs(middle) < 7 * np.sqrt(variance) else None,
            )  # fmt: skip
            expected.append(whole[0])
        assert row.mean == pytest.approx(np.mean(expected), rel=2e-4)
    typical = nb.effects(tree, "drug", at={"age": 41, "man": 1})
    assert not np.allclose(typical["mean"], found["mean"], rtol=1e-3)


def test_a_mean_over_the_people_of_the_data_is_that_of_their_predictions():
    tree = sites(LOGIT, draws=20)
    found = nb.effects(tree, "drug", others="observed")
    frame = nb.training_dataset(tree).observations[["age", "man"]].iloc[::2]
    for row in found.itertuples():
        f = nb.predict(tree, frame.assign(drug=row.drug), groups="none")["posterior"]["f_score"].mean("score_obs")
        assert [row.mean, row.sd] == pytest.approx([float(f.mean()), float(f.std())], rel=1e-9)
    assert "age" not in found and "man" not in found
    one = nb.effects(tree, "drug", others="observed", at={"age": 50, "man": 0})
    assert one["mean"].tolist() == pytest.approx(nb.effects(tree, "drug", at={"age": 50, "man": 0})["mean"].tolist())
    here = nb.contrast(tree, "drug", others="observed", by="site", groups="average")
    assert len(here) == 4 and here["mean"].nunique() == 4


def test_bacteria_have_the_average_effects_of_statsmodels():
    """A logistic regression of the 220 records, at its maximum: effects of the drugs averaged over all records, and the
    slope in time at the means of the columns."""
    frame = nb.datasets.table("bacteria").assign(y=lambda t: (t["y"] == "y").astype(float))
    fit = smf.logit("y ~ C(trt) + week", frame).fit(disp=0)
    labels = [name.replace("C(trt)[T.", "trt[") for name in fit.params.index]
    model = nb.Model(
        LinearMixed(),
        "mu ~ 1 + trt + week + (1|ID)",
        links={"mu": "logit"},
        typical={"mu": 0.8},
        residual=nb.Bernoulli(),
    )
    tree = stated(model, nb.datasets.bacteria(), omega_ID=[1.0])
    tree = stated(model, nb.datasets.bacteria(), omega_ID=[1.0], theta_mu=[
        dict(zip(labels, fit.params, strict=True))[str(t)] for t in tree["posterior"]["mu_term"].values
    ])  # fmt: skip
    expected = {}
    for arm in ("drug", "drug+", "placebo"):
        expected[arm] = fit.predict(frame.assign(trt=arm)).mean()
    found = nb.effects(tree, "trt", others="observed").set_index("trt")["mean"]
    assert found.to_dict() == pytest.approx(expected, rel=1e-9)
    effect = nb.contrast(tree, "trt", others="observed", pairs={"drug": "placebo"})["mean"].item()
    assert effect == pytest.approx(expected["drug"] - expected["placebo"], rel=1e-9)
    at = {"week": 4.0, "trt": "placebo"}
    p = fit.predict(pd.DataFrame([at])).item()
    assert nb.slopes(tree, "week", at=at)["mean"].item() == pytest.approx(fit.params["week"] * p * (1 - p), rel=1e-8)


def test_cbpp_has_the_odds_ratios_that_lme4_prints():
    """lme4 2.0, glmer(cbind(incidence, size - incidence) ~ period + (1 | herd)): -1.3983, -0.9919, -1.1282, -1.5797."""
    model = nb.Model(
        LinearMixed(), "mu ~ 1 + period + (1|herd)", links={"mu": "logit"}, typical={"mu": 0.2},
        residual=nb.Binomial("size"),
    )  # fmt: skip
    values = {"theta_mu": [-1.3983, -0.9919, -1.1282, -1.5797], "omega_herd": [0.6421]}
    tree = stated(model, nb.datasets.cbpp(), **values)
    found = nb.contrast(tree, "period", kind="odds ratio")
    assert found["mean"].tolist() == pytest.approx(np.exp([-0.9919, -1.1282, -1.5797]), rel=1e-9)
    average = nb.contrast(tree, "period", kind="odds ratio", groups="average")
    p = [integrate.quad(lambda z, m=m: special.expit(m + 0.6421 * z) * stats.norm.pdf(z), -9, 9)[0]
         for m in (-1.3983, -1.3983 - 0.9919)]  # fmt: skip
    assert average["mean"][0] == pytest.approx(p[1] / (1 - p[1]) / (p[0] / (1 - p[0])), rel=1e-7)


CL, V, KA = 3.0, 30.0, 1.2


def oral(formulas, draws=1, **values):
    """Tablets of 100 and 200 to people of different weights."""
    frame = pd.DataFrame({"id": np.repeat(range(6), 3), "time": np.tile([1.0, 4.0, 12.0], 6), "conc": 1.0})
    frame["wt"] = 50.0 + 10 * frame["id"]
    doses = pd.DataFrame({"id": range(6), "time": 0.0, "amt": [100.0, 200.0] * 3})
    data = nb.Dataset.from_frame(
        frame, outcome="conc", time="time", levels="id", doses=doses, units={"conc": "mg/L", "time": "h"}
    )
    values = {"theta_ka": [np.log(KA)], "theta_v": [np.log(V)]} | values
    return stated(nb.Model(OneCompartment(absorption="first-order"), *formulas), data, draws=draws, **values)


WEIGHT = ("cl ~ 1 + log(wt/70) + (1|p|id)", "v ~ 1 + (1|p|id)", "ka ~ 1 + (1|id)")
POPULATION = {
    "theta_cl": [np.log(CL), 0.75],
    "omega_id": [0.4, 0.3, 0.5],
    "corr_id": [[1, 0.5, 0], [0.5, 1, 0], [0, 0, 1]],
}


def absorbed(t, cl, v, ka, dose=100.0):
    k = cl / v
    return dose * ka / v / (ka - k) * (np.exp(-k * t) - np.exp(-ka * t))


@pytest.fixture(scope="module")
def kinetics():
    return oral(WEIGHT, **POPULATION)


def test_a_typical_course_is_the_closed_form_whatever_the_order_of_times(kinetics):
    times = [8.0, 1.0, 3.5]
    found = nb.effects(kinetics, "time", by="amount", at={"time": times, "amount": [100, 250], "wt": 90})
    cl = CL * (90 / 70) ** 0.75
    expected = [absorbed(t, cl, V, KA, dose) for dose in (100, 250) for t in times]
    assert found["mean"].tolist() == pytest.approx(expected, rel=1e-9)
    later = nb.effects(kinetics, "amount", at={"amount": [50, 400], "time": 3.5, "wt": 70})
    assert later["mean"].tolist() == pytest.approx([absorbed(3.5, CL, V, KA, dose) for dose in (50, 400)], rel=1e-9)
    assert nb.effects(kinetics, "time", points=7)["time"].tolist() == pytest.approx(np.linspace(0, 12, 7))


def test_slopes_are_those_of_the_closed_form(kinetics):
    times, h = [0.0, 2.0, 9.0], 1e-6
    found = nb.slopes(kinetics, "time", at={"time": times, "wt": 70})
    expected = [KA * 100 / V, *((absorbed(t + h, CL, V, KA) - absorbed(t - h, CL, V, KA)) / (2 * h) for t in times[1:])]
    assert found["mean"].tolist() == pytest.approx(expected, rel=1e-5)
    assert found["p_direction"].tolist() == [1.0, 1.0, 1.0]
    of_weight = nb.slopes(kinetics, "wt", of="cl", at={"wt": [50, 70]})
    assert of_weight["mean"].tolist() == pytest.approx([0.75 * CL / 50 * (50 / 70) ** 0.75, 0.75 * CL / 70], rel=1e-8)


def test_a_slope_at_a_dose_is_not_told_without_a_word():
    frame = pd.DataFrame({"id": [1, 1, 2], "time": [1.0, 8.0, 2.0], "conc": 1.0})
    doses = pd.DataFrame({"id": [1, 1, 2], "time": [0.0, 4.0, 0.0], "amt": 100.0})
    data = nb.Dataset.from_frame(frame, outcome="conc", time="time", levels="id", doses=doses)
    tree = stated(nb.Model(OneCompartment()), data)
    with pytest.warns(UserWarning, match="bends or jumps at time 4, so"):
        nb.slopes(tree, "time", at={"time": [2, 4]})


@pytest.fixture(scope="module")
def infused():
    """Two hours of an infusion, from 0 and from 24."""
    frame = pd.DataFrame({"id": [1, 1, 2], "time": [1.0, 30.0, 2.0], "conc": 1.0})
    doses = pd.DataFrame({"id": [1, 2], "time": 0.0, "amt": 100.0, "duration": 2.0, "addl": 1, "ii": 24.0})
    data = nb.Dataset.from_frame(frame, outcome="conc", time="time", levels="id", doses=doses)
    return stated(nb.Model(OneCompartment(), "cl ~ 1", "v ~ 1"), data)


def test_a_slope_at_the_end_of_an_infusion_is_named_too(infused):
    """A bend, at which differences of every order agree on the mean of both sides."""
    with pytest.warns(UserWarning, match="bends or jumps at time 2, 24, so"):
        nb.slopes(infused, "time", at={"time": [0, 2, 5, 24, 29]})


def test_an_infusion_of_another_amount_takes_as_long(infused):
    small, large = nb.effects(infused, "amount", at={"amount": [100, 250], "time": 5})["mean"]
    cl, v = (float(np.exp(infused["posterior"][f"theta_{name}"]).item()) for name in ("cl", "v"))
    assert small == pytest.approx(50 / cl * (1 - np.exp(-2 * cl / v)) * np.exp(-3 * cl / v), rel=1e-9)
    assert large == pytest.approx(2.5 * small, rel=1e-9)


def test_the_average_of_a_parameter_is_that_of_a_log_normal_law(kinetics):
    found = nb.effects(kinetics, "wt", of="cl", groups="average", at={"wt": [70]})
    assert found["mean"].item() == pytest.approx(CL * np.exp(0.4**2 / 2), rel=1e-10)
    half_life = nb.effects(kinetics, "wt", of="log(2) * v / cl", groups="average", at={"wt": [70]})
    variance = 0.4**2 + 0.3**2 - 2 * 0.5 * 0.4 * 0.3
    assert half_life["mean"].item() == pytest.approx(np.log(2) * V / CL * np.exp(variance / 2), rel=1e-10)
    same = nb.effects(kinetics, "wt", of=lambda p: np.log(2) * p.v / p.cl, groups="average", at={"wt": [70]})
    assert same["mean"].item() == pytest.approx(half_life["mean"].item(), rel=1e-12)


def test_an_average_at_a_site_that_is_known_is_over_its_people():
    model = LINEAR.but(
        links={"mu": "log"}, typical={"mu": 2.0}, residual=nb.Additive(), formulas=("mu ~ 1 + (1|site) + (1|id)",)
    )
    tree = sites(model)
    found = nb.effects(tree, "site", of="mu", groups="average", at={"site": ["b", "d"]})
    post = tree["posterior"]
    middle = post["theta_mu"].values[..., 0] + post["omega_id"].values[..., 0] ** 2 / 2
    for row in found.itertuples():
        own = np.exp(middle + post["eta_site"].sel(site=row.site).values[..., 0])
        assert row.median == pytest.approx(np.median(own), rel=1e-6)


def test_groups_whose_effects_nobody_knows_are_refused(kinetics):
    frame = pd.DataFrame({"id": "p", "time": [2.0], "conc": 3.0, "wt": 70.0})
    doses = pd.DataFrame({"id": ["p"], "time": 0.0, "amt": 100.0})
    patient = nb.Dataset.from_frame(frame, outcome="conc", time="time", levels="id", doses=doses)
    forecast = nb.forecast(kinetics, patient, draws=20, proposals=50, rounds=0, random_seed=1)
    with pytest.raises(nb.ModelError, match="does not know the effects of id 2; it knows those of p"):
        nb.effects(forecast, "id", of="cl", at={"id": "2"})
    with pytest.raises(nb.ModelError, match="no id 'p' in the training data"):
        nb.effects(forecast, "id", of="cl", at={"id": "p"})
    assert len(nb.effects(forecast, "wt", of="cl", at={"wt": [50, 70]})) == 2


def test_the_average_course_is_that_of_many_people(kinetics):
    found = nb.effects(kinetics, "time", groups="average", at={"time": [1, 6, 12], "wt": 70})
    z = np.random.default_rng(0).standard_normal((400_000, 3))
    half = np.linalg.cholesky(np.array(POPULATION["corr_id"])) * np.array(POPULATION["omega_id"])[:, None]
    cl, v, ka = (np.array([CL, V, KA]) * np.exp(z @ half.T)).T
    for row, t in zip(found.itertuples(), (1, 6, 12), strict=True):
        people = absorbed(t, cl, v, ka)
        assert row.mean == pytest.approx(people.mean(), abs=4 * people.std() / np.sqrt(len(people)))


def test_new_people_are_the_same_at_every_value():
    tree = oral(WEIGHT, draws=400, **POPULATION)
    found = nb.contrast(tree, "wt", of="cl", groups="new", at={"wt": [70, 90]}, kind="ratio", random_seed=1)
    assert found.loc[0, ["mean", "sd"]].tolist() == pytest.approx([(90 / 70) ** 0.75, 0.0], abs=1e-12)
    one = nb.effects(tree, "wt", of="log(cl)", groups="new", at={"wt": [70]}, random_seed=1)
    assert one["sd"].item() == pytest.approx(0.4, rel=0.15)
    assert one["mean"].item() == pytest.approx(np.log(CL), abs=0.08)


def test_the_rules_of_the_average_have_the_moments_of_a_normal_law():
    for size in range(6):
        x, w = nodes(size)
        assert w.sum() == pytest.approx(1.0) and w @ x == pytest.approx(np.zeros(size), abs=1e-12)
        assert (w * x.T) @ x == pytest.approx(np.eye(size), abs=1e-10)


def test_a_dose_that_formulas_read_as_a_category_has_no_other_values():
    frame = pd.DataFrame({"id": range(9), "dose": np.tile([0.0, 5.0, 20.0], 3), "y": RNG.normal(size=9)})
    data = nb.Dataset.from_frame(frame, outcome="y", levels="id")
    tree = stated(nb.Model(LinearMixed(), "mu ~ 1 + C(dose)"), data, draws=10)
    assert nb.effects(tree, "dose")["dose"].tolist() == [0.0, 5.0, 20.0]
    with pytest.raises(nb.DataError, match="has the category '7'"):
        nb.effects(tree, "dose", at={"dose": 7})
    with pytest.raises(nb.ModelError, match="holds categories, which have no slope"):
        nb.slopes(tree, "dose")


def test_an_input_is_varied_within_a_person():
    frame = pd.DataFrame({"id": np.repeat([1, 2], 3), "c": [0.0, 2, 8] * 2, "y": 1.0, "sex": ["f"] * 3 + ["m"] * 3})
    data = nb.Dataset.from_frame(frame, outcome="y", levels="id", inputs="c")
    model = nb.Model(Emax(), "e0 ~ 1", "emax ~ 1 + sex", "ec50 ~ 1 + (1|id)", inputs={"concentration": "c"})
    values = {"theta_e0": [1.0], "theta_emax": [np.log(10), 0.5], "theta_ec50": [np.log(4)]}
    tree = stated(model, data, **values)
    found = nb.effects(tree, "c", by="sex", at={"c": [0, 4]})
    assert found["mean"].tolist() == pytest.approx([1, 6, 1, 1 + 5 * np.exp(0.5)], rel=1e-9)
    slope = nb.slopes(tree, "c", at={"c": [0, 4], "sex": "f"})
    assert slope["mean"].tolist() == pytest.approx([10 / 4, 10 * 4 / 64], rel=1e-6)
    assert nb.effects(tree, "sex")["c"].tolist() == pytest.approx([10 / 3] * 2)


def test_a_hazard_is_told_as_the_cumulative_one():
    frame = pd.DataFrame({"id": range(4), "time": [1.0, 2.0, 3.0, 4.0], "age": [50.0, 60, 70, 80]})
    frame["event"] = frame["time"]
    data = nb.Dataset.from_frame(frame, outcome="event", time="time", levels="id")
    model = nb.Model(ParametricSurvival("exponential"), residual=nb.TimeToEvent())
    name = model.parameters[0].name
    tree = stated(model.but(formulas=(f"{name} ~ 1 + age",)), data, draws=3)
    found = nb.effects(tree, "time", at={"time": [1, 2, 4], "age": 60})
    assert found["mean"].to_numpy() / found["mean"][0] == pytest.approx([1, 2, 4], rel=1e-6)
    plain = nb.Dataset.from_frame(frame.drop(columns="time"), outcome="event", levels="id")
    tree = stated(model.but(formulas=(f"{name} ~ 1 + age",)), plain, **{f"theta_{name}": [0.5, 0.01]})
    assert nb.effects(tree, "age", of=name, at={"age": 60})["mean"].item() == pytest.approx(np.exp(1.1), rel=1e-9)
    with pytest.raises(nb.DataError, match="event without a value is predicted at a time"):
        nb.effects(tree, "age")


@pytest.mark.parametrize(("given", "words"), [
    ({"x": "wt", "of": "ka"}, "ka does not depend on 'wt'; it depends on id"),
    ({"x": "nope"}, "conc does not depend on 'nope'; it depends on wt, id, time, amount"),
    ({"x": "wt", "of": "cl", "at": {"time": 1}}, "cl does not depend on 'time'"),
    ({"x": "wt", "of": "cl + bad"}, "there is no 'bad'; there are cl, v, ka, conc, wt, time"),
    ({"x": "wt", "of": "__import__('os')"}, "no function '__import__'"),
    ({"x": "wt", "of": "2"}, "has no parameter and no outcome"),
    ({"x": "wt", "by": "wt"}, "by='wt' is x itself"),
    ({"x": "wt", "at": {"time": [1, 2]}}, "one value of time, unless it is x or by; got 2"),
    ({"x": "wt", "at": {"wt": ["heavy"]}}, "wt holds numbers in the training data; got 'heavy'"),
    ({"x": "id", "at": {"id": "99"}}, "no id '99' in the training data"),
    ({"x": "wt", "of": lambda p: "text"}, "gives no array"),
    ({"x": "wt", "at": {"wt": []}}, "at: wt has no values"),
])  # fmt: skip
def test_what_cannot_be_asked_is_refused(given, words, kinetics):
    with pytest.raises((nb.ModelError, nb.FormulaError), match=words):
        nb.effects(kinetics, **given)


@pytest.mark.parametrize(("given", "words"), [
    ({"x": "wt", "of": "cl"}, r"wt is numeric; say which of its values are compared: at=\{'wt'"),
    ({"x": "wt", "of": "cl", "at": {"wt": 70}}, "compares two values of wt or more; there is 70.0 alone"),
    ({"x": "wt", "of": "log(cl/9)", "at": {"wt": [50, 70]}, "kind": "ratio"}, "is not positive everywhere"),
    ({"x": "wt", "of": "cl", "at": {"wt": [50, 70]}, "kind": "odds ratio"}, "is no probability between 0 and 1"),
])  # fmt: skip
def test_what_cannot_be_compared_is_refused(given, words, kinetics):
    with pytest.raises(nb.ModelError, match=words):
        nb.contrast(kinetics, **given)


def test_a_typical_course_of_an_equation_is_that_of_predict():
    """A system without a closed form, at a time that is stated, under amounts that are not those of the data."""
    frame = pd.DataFrame({"id": [1, 1, 2, 2], "time": [1.0, 4.0] * 2, "conc": 1.0})
    doses = pd.DataFrame({"id": [1, 2], "time": 0.0, "amt": 100.0})

    def read(amount):
        given = doses.assign(amt=amount)
        return nb.Dataset.from_frame(frame, outcome="conc", time="time", levels="id", doses=given)

    tree = stated(nb.Model(MichaelisMenten()), read(100.0), theta_km=[0.0], theta_v=[np.log(10.0)])
    found = nb.effects(tree, "amount", at={"amount": [50, 200], "time": 4})["mean"]
    expected = [nb.predict(tree, read(a), groups="none")["posterior"]["f_conc"][0, 0, 1].item() for a in (50.0, 200.0)]
    assert found.tolist() == pytest.approx(expected, rel=1e-6)


def test_a_maximum_tells_its_errors():
    tree = nb.fit(nb.Model(LinearMixed(), "mu ~ 1 + Days + (1|Subject)"), nb.datasets.sleepstudy(), method="ml")
    told = nb.summary(tree).set_index("quantity").loc["mu: Days"]
    found = nb.slopes(tree, "Days", at={"Days": [2]})
    assert found["mean"].item() == pytest.approx(told["mean"], abs=4 * told["sd"] / np.sqrt(1000))
    assert found["sd"].item() == pytest.approx(told["sd"], rel=0.1)
    own = nb.effects(tree, "Subject", at={"Subject": ["308", "309"], "Days": 0})
    modes = tree["posterior"]["eta_Subject"].squeeze()
    assert own["mean"].diff()[1] == pytest.approx(float(modes.sel(Subject="309") - modes.sel(Subject="308")), rel=0.1)
    with pytest.raises(nb.ModelError, match="= needs a posterior from fit"):
        nb.hypothesis(tree, "theta_mu[Days] = 10")
    assert nb.hypothesis(tree, "theta_mu[Days] > 0")["probability"].item() == 1.0


def test_doses_are_those_of_a_subject_who_is_given(kinetics):
    patient = nb.training_dataset(kinetics).sel(id="1")
    found = nb.effects(kinetics, "time", at={"time": [2], "wt": 70}, data=patient)
    assert found["mean"].item() == pytest.approx(absorbed(2, CL, V, KA, 200.0), rel=1e-9)
    assert found.attrs["doses"] == "id 1"


def test_the_page_runs_as_printed(monkeypatch):
    """With draws of the priors in place of fits."""
    page = (Path(__file__).parent.parent / "docs" / "effects.md").read_text(encoding="utf-8")

    def drawn(model, data, random_seed):
        return stated(model, data, draws=300, seed=random_seed)

    monkeypatch.setattr(nb, "fit", drawn)
    monkeypatch.setattr(savage_dickey, "_has_a_prior", lambda known: None)
    names = {"print": lambda table: printed.append(table)}
    printed = []
    for block in re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL):
        exec(compile(block, "docs/effects.md", "exec"), names)
    assert len(printed) == 13 and all(np.isfinite(table["mean"]).all() for table in printed)
    assert names["law"].inputs == ("age",)


def test_a_residual_of_ones_own_is_one(monkeypatch):
    page = (Path(__file__).parent.parent / "docs" / "outcomes.md").read_text(encoding="utf-8")
    (block,) = [b for b in re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL) if "class Laplace" in b]
    names = {"__name__": __name__}
    exec(compile(block, "docs/outcomes.md", "exec"), names)
    y, f = (names["drawn"][g][n].to_numpy() for g, n in (("prior_predictive", "Reaction"), ("prior", "f_Reaction")))
    a = names["drawn"]["prior"]["sigma_Reaction_a"].to_numpy()
    assert np.abs(y - f).mean(axis=-1) == pytest.approx(a, rel=0.5)  # the mean of |y - f| is a


@pytest.fixture(scope="module")
def pain():
    """Three ordered categories by age and drug, with and without people who differ."""
    model = LINEAR.but(formulas=("mu ~ 1 + drug + center(age) + (1|site)",), residual=nb.OrderedLogistic(3))
    frame = pd.DataFrame(
        {"site": np.repeat(list("abcd"), 6), "age": 40.0 + np.arange(24), "score": np.arange(24) % 3 + 1}
    )
    frame["drug"] = np.where(np.arange(24) % 2, "active", "placebo")
    data = nb.Dataset.from_frame(frame, outcome="score", levels="site", duplicates="keep")
    return stated(model, data, draws=6)


def categories(logit, step):
    """P(y = 1), P(y = 2), P(y = 3), of the definition."""
    above = special.expit(np.stack([logit, logit - step]))
    return np.stack([1 - above[0], above[0] - above[1], above[1]])


def test_effects_of_ordered_categories_are_their_probabilities(pain):
    found, b = nb.effects(pain, "drug", at={"age": 50}), theta(pain)
    step = pain["posterior"]["sigma_score_step2"].to_numpy().ravel()
    assert found[["category", "drug"]].to_numpy().tolist() == [[k, d] for k in (1, 2, 3) for d in ("active", "placebo")]
    slope = b["center(age)"]
    logits = [b["Intercept"] - 1.5 * slope + new * b["drug[placebo]"] for new in (0, 1)]
    each = np.stack([categories(logit, step) for logit in logits], axis=1)  # category, drug, draw
    expected = [by_hand(each[k, j]) for k in range(3) for j in range(2)]
    assert found[NUMBERS].to_numpy() == pytest.approx(np.array(expected), rel=1e-9, abs=1e-12)
    more = nb.contrast(pain, "drug", at={"age": 50})
    assert more["mean"].tolist() == pytest.approx((each[:, 1] - each[:, 0]).mean(axis=1), rel=1e-9, abs=1e-12)
    found = nb.slopes(pain, "age", at={"age": 50, "drug": "active"})["mean"]
    assert found.sum() == pytest.approx(0, abs=1e-9)
    high = special.expit(logits[0] - step)
    assert found.iloc[-1] == pytest.approx((slope * high * (1 - high)).mean(), rel=1e-5)


def test_an_average_of_ordered_categories_is_the_integral_of_their_probabilities(pain):
    found, b = nb.effects(pain, "drug", at={"age": 50, "drug": "active"}, groups="average"), theta(pain)
    omega = pain["posterior"]["omega_site"].to_numpy().ravel()
    step = pain["posterior"]["sigma_score_step2"].to_numpy().ravel()
    z, w = np.polynomial.hermite_e.hermegauss(80)
    logit = b["Intercept"] - 1.5 * b["center(age)"] + omega * z[:, None]
    expected = np.einsum("kzd,z->k", categories(logit, step), w / w.sum()) / len(omega)
    assert found["mean"].tolist() == pytest.approx(expected, abs=1e-6)
    new = nb.effects(pain, "drug", at={"age": 50}, groups="new")  # one person per draw, the same in each category
    assert new.groupby("drug")["mean"].sum().tolist() == pytest.approx([1, 1])
    with pytest.raises(nb.ModelError, match="score has categories, with which nothing is calculated"):
        nb.effects(pain, "drug", of="2 * score")


def test_a_calculation_may_name_several_outcomes():
    """What is bound of what is there, over time: the ratio of two predictions, by draw."""
    frame = pd.DataFrame({"id": np.repeat([1, 2], 3), "time": [1.0, 4.0, 9.0] * 2, "conc": 1.0, "metabolite": 0.5})
    doses = pd.DataFrame({"id": [1, 2], "time": 0.0, "amt": 100.0})
    data = nb.Dataset.from_frame(frame, outcome=["conc", "metabolite"], levels="id", time="time", doses=doses)
    model = nb.Model(OneCompartment(metabolite=True), residual={name: nb.Additive() for name in data.outcomes})
    tree = stated(model, data, draws=8)
    at = {"time": [1.0, 4.0]}
    found = nb.effects(tree, "time", of="metabolite / conc", at=at)
    typical = nb.predict(tree, data.sel(id="1", time=[1.0, 4.0]), groups="none")["posterior"]
    ratio = (typical["f_metabolite"].to_numpy() / typical["f_conc"].to_numpy()).mean(axis=(0, 1))
    assert found["mean"].tolist() == pytest.approx(ratio, rel=1e-9)
    average = nb.effects(tree, "time", of="metabolite + conc", at=at, groups="average", draws=3)["mean"]
    parts = [nb.effects(tree, "time", of=of, at=at, groups="average", draws=3)["mean"] for of in data.outcomes]
    assert average.tolist() == pytest.approx(sum(parts), rel=1e-9)


def test_effects_are_the_means_that_emmeans_prints():
    """``emmeans(lmer(Reaction ~ factor(Days) + (1|Subject), sleepstudy), "Days")``, as Whalley prints it in
    "Just Enough R" (contrasts and follow-up tests using lmer); draws are of the normal law of REML, in closed form as
    data are balanced."""
    printed, many = [257, 264, 265, 283, 289, 309, 312, 319, 337, 351], 2000
    data = nb.datasets.sleepstudy()
    y = data.observations.pivot(index="Subject", columns="Days", values="value").to_numpy()
    between = 10 * y.mean(axis=1).var(ddof=1)
    within = ((y - y.mean(axis=1, keepdims=True) - y.mean(axis=0) + y.mean()) ** 2).sum() / (17 * 9)
    means = RNG.multivariate_normal(y.mean(axis=0), ((between - within) / 10 + within * np.eye(10)) / 18, many)
    tree = stated(nb.Model(LinearMixed(), "mu ~ 1 + C(Days) + (1|Subject)"), data, draws=many)
    coefficients = np.column_stack([means[:, 0], means[:, 1:] - means[:, :1]])[None]
    posterior = tree["posterior"].to_dataset()
    tree["posterior"] = posterior.assign(theta_mu=posterior["theta_mu"].copy(data=coefficients))
    found = nb.effects(tree, "Days", draws=many)
    assert found["mean"].to_numpy() == pytest.approx(np.array(printed), abs=0.5 + 4 * 11.5 / np.sqrt(many))
    assert found["sd"].to_numpy() == pytest.approx(11.5, rel=0.07)  # four Monte Carlo errors of an SD
    typical = nb.predict(tree, pd.DataFrame({"Days": range(10)}), groups="none")["posterior"]["f_Reaction"]
    assert typical.mean(("chain", "draw")).to_numpy() == pytest.approx(found["mean"], rel=1e-9)
