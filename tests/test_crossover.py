"""`Crossover`: the classical analysis of the 2x2, designs with more periods, carry-over, what a design cannot tell."""

import numpy as np
import pandas as pd
import pytest
from mixed import agrees, restricted
from scipy import optimize, stats
from trees import stated

import nlmebayes as nb
from model_zoo import Crossover

WILLIAMS = ("ABDC", "BCAD", "CDBA", "DACB")  # each treatment comes after each other one once


def design(sequences, each):
    """Subjects in sequences of treatments, by period; an outcome of zeros."""
    rows = [
        (f"{word}{i}", word, k + 1, treatment)
        for word in sequences for i in range(each) for k, treatment in enumerate(word)
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["subject", "sequence", "period", "treatment"]).assign(y=0.0)


def dataset(frame):
    return nb.Dataset.from_frame(frame, outcome="y", levels="subject", duplicates="keep")


def two_by_two(seed=4):
    """Twelve subjects in each of two sequences, of the logarithm of an exposure."""
    frame, rng = design(("TR", "RT"), 12), np.random.default_rng(seed)
    own = dict(zip(frame["subject"].unique(), rng.normal(4.0, 0.4, 24), strict=True))
    mean = frame["subject"].map(own) + 0.1 * (frame["period"] == 2) - 0.05 * (frame["treatment"] == "T")
    return frame.assign(y=mean + rng.normal(0, 0.12, len(frame)))


SIMPLE = Crossover()


@pytest.fixture(scope="module")
def tree():
    model = nb.Model(SIMPLE, *SIMPLE.formulas)
    return nb.fit(model, dataset(two_by_two()), draws=1000, tune=400, chains=2, random_seed=1, progressbar=False)


def test_the_treatment_of_a_2x2_is_half_the_difference_of_differences(tree):
    """Jones and Kenward (2014), chapter 2: estimate and t interval from the differences between periods."""
    wide = two_by_two().pivot(index=["sequence", "subject"], columns="period", values="y")
    d = {name: (own[1] - own[2]).to_numpy() for name, own in wide.groupby("sequence")}
    pooled = np.sqrt(np.mean([d["TR"].var(ddof=1), d["RT"].var(ddof=1)]) * (1 / 12 + 1 / 12)) / 2
    half = pooled * stats.t.ppf(0.95, 22)
    table = nb.intervals(SIMPLE.contrasts(tree))
    expected = (d["TR"].mean() - d["RT"].mean()) / 2
    assert table.index.tolist() == ["T - R"]
    assert table.loc["T - R", "mean"] == pytest.approx(expected, abs=0.15 * pooled)
    assert (table.loc["T - R", "eti_ub"] - table.loc["T - R", "eti_lb"]) / 2 == pytest.approx(half, rel=0.12)


def test_the_2x2_agrees_with_statsmodels(tree):
    fitted = restricted("y ~ sequence + C(period) + treatment", two_by_two(), groups="subject")
    found = {"mu: treatment[T]": fitted.fe_params["treatment[T.T]"], "sigma_y_a": np.sqrt(fitted.scale)}
    found |= {"mu: C(period)[2]": fitted.fe_params["C(period)[T.2]"]}
    agrees(tree, found | {"omega_subject mu": np.sqrt(fitted.cov_re.iloc[0, 0])})


def test_equivalence_is_said_of_the_ratio(tree):
    table, drawn = SIMPLE.equivalence(tree), np.exp(SIMPLE.contrasts(tree).to_numpy())
    assert table.loc["T - R", "p_within"] == pytest.approx(((drawn > 0.8) & (drawn < 1.25)).mean())
    assert table.loc["T - R", "eti_lb"] == pytest.approx(np.quantile(drawn, 0.05))


def test_all_pairs_of_four_treatments_are_compared():
    structure = Crossover()
    tree = stated(nb.Model(structure, *structure.formulas), dataset(design(WILLIAMS, 3)), draws=20)
    found = structure.contrasts(tree)
    assert found["contrast"].to_numpy().tolist() == ["B - A", "C - A", "D - A", "C - B", "D - B", "D - C"]
    each = {c: found.sel(contrast=c).to_numpy() for c in found["contrast"].to_numpy()}
    assert each["D - B"] == pytest.approx(each["D - A"] - each["B - A"])


FULL = Crossover(carry="carry", learning=True, by_period=True)


def test_formulas_say_every_effect_that_is_asked_for():
    assert FULL.formulas == (
        "mu ~ 1 + sequence + C(period) + treatment + carry + (1 + period|subject) + (1|subject:period)",
    )
    assert SIMPLE.formulas == ("mu ~ 1 + sequence + C(period) + treatment + (1|subject)",)
    assert nb.Model(SIMPLE).formulas == SIMPLE.formulas
    assert nb.Model(SIMPLE, "mu ~ 1 + treatment").formulas == ("mu ~ 1 + treatment",)
    assert Crossover(sequence="").formulas == ("mu ~ 1 + C(period) + treatment + (1|subject)",)


def test_what_is_carried_over_is_the_treatment_before():
    frame = design(WILLIAMS, 1)
    found = FULL.carried(frame, "A")
    assert found[frame["subject"] == "BCAD0"].tolist() == ["A", "B", "C", "A"]
    assert found.name == "carry"
    shuffled = frame.sample(frac=1, random_state=1)
    assert FULL.carried(shuffled, "A").sort_index().tolist() == found.tolist()


def test_a_missed_outcome_is_no_missed_treatment():
    frame = design(WILLIAMS, 2)
    frame.loc[(frame["subject"] == "ABDC0") & (frame["period"] == 2), "y"] = np.nan
    frame["carry"] = FULL.carried(frame, "A")
    assert frame.query("subject == 'ABDC0' and period == 3")["carry"].item() == "B"
    assert dataset(frame).observations.shape[0] == len(frame) - 1


def test_a_treatment_that_is_not_known_cannot_be_carried_over():
    frame = design(WILLIAMS, 2).query("not (subject == 'ABDC0' and period == 2)")
    with pytest.raises(
        ValueError, match="period 3 of subject ABDC0: the treatment of period 2 is not known; add a row"
    ):
        FULL.carried(frame, "A")


def test_a_2x2_does_not_tell_carry_over_from_sequence():
    with pytest.raises(ValueError, match="does not tell carry-over from the effects of sequence"):
        Crossover(carry="carry").carried(two_by_two(), "R")
    assert set(Crossover(carry="carry", sequence="").carried(two_by_two(), "R")) == {"R", "T"}


def test_all_effects_of_a_design_with_missing_periods_are_found_again():
    """Six subjects in each sequence, two records in a period, one period in ten missed; every truth within 3 SDs."""
    frame = design(WILLIAMS, 6)
    frame = pd.concat([frame, frame]).sort_values(["subject", "period"], ignore_index=True)
    structure = Crossover(carry="carry", by_period=True)
    frame["carry"] = structure.carried(frame, "A")
    frame = frame.assign(period=frame["period"].astype(float))
    gone = np.random.default_rng(2).random(len(frame)) < 0.1
    data, model = dataset(frame[~gone]), nb.Model(structure, *structure.formulas)
    terms = nb.priors(model, data).query("variable == 'theta_mu'")["coordinate"]
    known = {"Intercept": 10.0, "treatment[B]": 1.0, "treatment[C]": 2.0, "treatment[D]": -1.0, "carry[B]": 0.5}
    values = {"omega_subject": [2.0], "omega_subject_period": [0.5], "sigma_y_a": 0.4}
    truth = stated(model, data, theta_mu=[known.get(t, 0.0) for t in terms], **values)
    drawn = data.with_values(y=truth["prior_predictive"]["y"].to_numpy().ravel())
    tree = nb.fit(model, drawn, draws=200, tune=300, chains=2, random_seed=1, progressbar=False)
    agrees(tree, {f"mu: {t}": known.get(t, 0.0) for t in terms if t != "Intercept"}, within=3)
    agrees(tree, {"omega_subject_period mu": 0.5, "sigma_y_a": 0.4}, within=3)


def test_treatments_that_are_numbers_have_no_contrasts():
    frame = two_by_two().assign(treatment=lambda x: 1.0 * (x["treatment"] == "T"))
    tree = stated(nb.Model(SIMPLE, *SIMPLE.formulas), dataset(frame))
    with pytest.raises(ValueError, match="make the column text"):
        SIMPLE.contrasts(tree)


UNEQUAL = Crossover(sequence="", unequal="treatment")


def replicated(seed=6):
    """Each treatment twice; the error of R is three times that of T."""
    frame, rng = design(("TRTR", "RTRT"), 20), np.random.default_rng(seed)
    own = dict(zip(frame["subject"].unique(), rng.normal(4.0, 0.4, 40), strict=True))
    error = np.where(frame["treatment"] == "R", 0.3, 0.1) * rng.standard_normal(len(frame))
    return frame.assign(y=frame["subject"].map(own) - 0.05 * (frame["treatment"] == "T") + error)


def test_unequal_errors_agree_with_the_marginal_likelihood():
    """Maximum likelihood of the normal law of a subject's records: omega^2 + the variance of each record."""
    frame = replicated()
    x = np.stack([np.ones(160), *(frame["period"] == k for k in (2, 3, 4)), frame["treatment"] == "T"], axis=1)
    x, y, test = x.reshape(40, 4, 5), frame["y"].to_numpy().reshape(40, 4), (frame["treatment"] == "T").to_numpy()

    def misfit(p):
        scatter = np.exp(np.where(test, p[6], p[5])).reshape(40, 4)
        covariance = np.exp(2 * p[7]) + scatter[:, :, None] ** 2 * np.eye(4)
        away = y - x @ p[:5]
        solved = np.linalg.solve(covariance, away[..., None])[..., 0]
        return 0.5 * (np.linalg.slogdet(covariance)[1] + (away * solved).sum(axis=1)).sum()

    best = optimize.minimize(misfit, [4, 0, 0, 0, 0, -1, -2, -1]).x
    tree = nb.fit(nb.Model(UNEQUAL), dataset(frame), draws=500, tune=400, chains=2, random_seed=1, progressbar=False)
    errors = nb.intervals(UNEQUAL.errors(tree))
    assert errors.index.tolist() == ["R", "T"]
    assert abs(errors["mean"] - np.exp(best[5:7])).max() < 0.5 * errors["sd"].max()
    contrast = nb.intervals(UNEQUAL.contrasts(tree)).iloc[0]
    assert abs(contrast["mean"] - best[4]) < 0.3 * contrast["sd"]
    agrees(tree, {"omega_subject mu": np.exp(best[7])})


def test_errors_by_period_have_its_labels():
    structure = Crossover(sequence="", unequal="period")
    found = structure.errors(stated(nb.Model(structure), dataset(replicated()), draws=5))
    assert found["period"].to_numpy().tolist() == ["1", "2", "3", "4"]
    with pytest.raises(ValueError, match="unequal="):
        SIMPLE.errors(None)
