"""What `check` finds in residuals and random effects: its p-values against other packages, at true parameters without a
fit, where they are exact, and the findings of wrong models, whose mends are pasted and come out clean."""

import re

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from trees import stated

import model_zoo
import nlmebayes as nb
from model_zoo import LinearMixed
from nlmebayes.criticism import doubts, significance, unused
from nlmebayes.criticism.examination import examined
from nlmebayes.criticism.scores import scored
from nlmebayes.evaluation.fitted import fitted

RNG = np.random.default_rng(1)
LINE = nb.Model(LinearMixed(), "mu ~ 1 + time + (1|id)")
AT = {"theta_mu": [10.0, 1.0], "omega_id": [2.0], "sigma_y_a": 1.0}


def study(subjects=30, times=8, **columns):
    """A frame of subjects with as many records each, and columns by subject (subject,) or record."""
    frame = pd.DataFrame(
        {"id": np.repeat(np.arange(subjects), times), "time": np.tile(np.arange(times) * 1.0, subjects)}
    )
    each = {k: np.repeat(np.asarray(x), times) if len(x) == subjects else x for k, x in columns.items()}
    return frame.assign(y=np.arange(len(frame)) * 1.0, **each)


def dataset(frame, **options):
    return nb.Dataset.from_frame(frame, outcome="y", levels="id", time="time", **options)


def at_truth(model, data, seed, **values):
    """Every `Doubt` on data of a model, at the parameters and effects that made them."""
    made = nb.simulate(model, data, draws=1, values=values, random_seed=seed)
    data = data.with_values(y=made["prior_predictive"]["y"].to_numpy().ravel().astype(float))
    return examined(fitted(stated(model, data, seed=seed, **values)))


def outcome(values, lower=None, upper=None):
    data = dataset(study(1, len(values)))
    observed = fitted(stated(nb.Model(LinearMixed(), "mu ~ 1"), data, theta_mu=[0.0], sigma_y_a=1.0)).training.outcomes[
        0
    ]
    none = np.full(len(values), np.nan)
    return type(observed)(**vars(observed) | {
        "values": np.asarray(values, dtype=float), "lower": none if lower is None else lower,
        "upper": none if upper is None else upper,
    })  # fmt: skip


def test_a_regression_on_labels_is_the_analysis_of_variance():
    labels, y = np.repeat(["a", "b", "c"], 20), RNG.normal(size=(3, 60))
    log_p, share = significance.explained(y, significance.indicators(labels))
    other = [stats.f_oneway(*(row[labels == g] for g in "abc")).pvalue for row in y]
    assert np.exp(log_p) == pytest.approx(other) and (share < 1).all()


def test_a_regression_on_a_line_is_the_test_of_the_correlation():
    x, y = RNG.normal(size=40), RNG.normal(size=(3, 40))
    log_p, share = significance.explained(y, significance.orthonormal(x[:, None]))
    other = [stats.pearsonr(x, row) for row in y]
    assert np.exp(log_p) == pytest.approx([r.pvalue for r in other])
    assert share == pytest.approx([r.statistic**2 for r in other])


def test_serial_correlation_has_its_level_and_its_power():
    pairs = np.array([(i, i + 1) for i in range(200) if i % 5 < 4])
    basis = significance.polynomials(np.tile(np.arange(5.0), 40)[:201], 3)[:200]
    free, noise = RNG.normal(size=(4000, 200)), RNG.normal(size=(50, 200))
    log_p, _ = significance.serial(free, pairs, basis)
    assert stats.kstest(np.exp(log_p), "uniform").pvalue > 0.01
    moved = noise.copy()
    moved[:, pairs[:, 1]] += noise[:, pairs[:, 0]]
    found, r = significance.serial(moved, pairs, basis)
    assert found.max() < np.log(1e-3) and r.mean() == pytest.approx(0.5, abs=0.1)


def test_p_values_of_draws_are_merged_by_e_times_their_geometric_mean():
    assert significance.merged(np.log([1e-4, 1e-6])) == pytest.approx(np.log(np.e * 1e-5))
    assert significance.merged(np.log([0.9, 0.9])) == 0.0


def test_what_subjects_have_of_their_own_does_not_pass_for_an_effect():
    """A bend of each subject's own: records are taken for independent, and the F test alone would find an effect."""
    x, who = np.tile(np.linspace(-1, 1, 8), 40), np.repeat(np.arange(40), 8)
    y = (3 * RNG.normal(size=(50, 40, 1)) * x.reshape(40, 8) + RNG.normal(size=(50, 40, 8))).reshape(50, 320)
    alone, _ = significance.explained(y, significance.polynomials(x, 1))
    apart = [significance.explained(row[None], significance.polynomials(x, 1), who)[0][0] for row in y]
    assert np.mean(alone < np.log(0.01)) > 0.3
    assert np.mean(np.array(apart) < np.log(0.01)) < 0.15


def test_scores_are_standardised_residuals_and_censored_ones_are_drawn_below_their_limit():
    f, sigma = RNG.normal(size=(4, 5)), {"a": np.full(4, 0.5)}
    y = outcome(np.arange(5.0))
    z = scored(nb.Additive(), f, sigma, y, False, RNG)
    assert z == pytest.approx((np.arange(5.0) - f) / 0.5)
    below = outcome(np.ones(5), lower=np.full(5, -np.inf), upper=np.ones(5))
    drawn = scored(nb.Additive(), np.ones((2000, 5)), {"a": np.ones(2000)}, below, False, RNG)
    assert stats.kstest(2 * stats.norm.cdf(drawn.ravel()), "uniform").pvalue > 0.01


def test_scores_of_measurements_known_to_be_positive_are_those_of_a_law_that_is_cut():
    y = outcome([0.1, 0.5, 2.0])
    z = scored(nb.Additive(), np.full((1, 3), 0.5), {"a": np.ones(1)}, y, True, RNG)
    law = stats.truncnorm(-0.5, np.inf, loc=0.5)
    assert z[0] == pytest.approx(stats.norm.ppf(law.cdf(y.values)))


def test_scores_of_counts_are_standard_normal():
    y = outcome(RNG.poisson(2.0, size=4000))
    z = scored(nb.Poisson(), np.full((1, 4000), 2.0), {}, y, False, RNG)
    assert stats.kstest(z[0], "norm").pvalue > 0.01


def test_scores_of_a_residual_with_a_memory_are_its_innovations():
    model = nb.Model(LinearMixed(), "mu ~ 1", residual=nb.Autoregressive())
    data = dataset(study(1, 4).assign(y=[1.0, 2.0, 0.0, 1.0]))
    o = fitted(stated(model, data, theta_mu=[0.0], sigma_y_a=2.0, sigma_y_rho=0.6)).training.outcomes[0]
    z = scored(model.residual, np.zeros((1, 4)), {"a": np.array([2.0]), "rho": np.array([0.6])}, o, False, RNG)
    u = np.array([1.0, 2.0, 0.0, 1.0]) / 2
    assert z[0] == pytest.approx([u[0], *(u[1:] - 0.6 * u[:-1]) / 0.8])


def columns(subjects, rng):
    return {
        "wt": rng.lognormal(4.2, 0.2, subjects), "sex": rng.choice(["f", "m"], subjects),
        "centre": rng.integers(1, 6, subjects), "run": rng.permutation(8 * subjects) + 1.0,
    }  # fmt: skip


EXACT = ("serial correlation", "effects by column", "law of effects")  # those that no second test bounds


def test_at_true_parameters_p_values_are_uniform_or_larger():
    exact, bounded = [], []
    for seed in range(12):
        data = dataset(study(**columns(30, np.random.default_rng(seed))))
        for d in at_truth(LINE, data, seed, **AT):  # of the one draw that there is p is a third of what was merged
            (exact if d.family in EXACT else bounded).append(np.exp(d.log_p - 1))
    small = np.array(exact)[np.array(exact) < np.exp(-1)]
    assert stats.binomtest(len(small), len(exact), np.exp(-1)).pvalue > 0.01
    assert stats.kstest(small * np.e, "uniform").pvalue > 0.01
    assert np.mean(np.array(bounded) < 0.05) < 0.1


def test_columns_that_say_nothing_raise_no_alarm_and_hide_no_centre():
    rng = np.random.default_rng(1)
    noise = {f"x{i}": rng.normal(size=40) for i in range(25)} | {f"g{i}": rng.choice(list("abc"), 40) for i in range(5)}
    data = dataset(study(40, centre=rng.permutation(list("abcd") * 10), **noise))
    assert not list(doubts.findings(at_truth(LINE, data, 1, **AT)))
    made = nb.simulate(LINE, data, draws=1, values=AT, random_seed=1)
    more = 6.0 * (data.units["centre"] == "a").to_numpy() - 1.5
    shifted = made["prior"]["eta_id"].to_numpy() + more[:, None]
    data = data.with_values(y=made["prior_predictive"]["y"].to_numpy().ravel() + np.repeat(more, 8))
    tree = stated(LINE, data, seed=1, **AT | {"omega_id": [shifted.std()]})
    tree["posterior"]["eta_id"].values[...] = shifted
    (found,) = doubts.findings(examined(fitted(tree)))
    assert found.startswith(
        'the effects of mu at level id differ between the labels of centre: "mu ~ 1 + time + centre'
    )


def test_columns_are_numbers_labels_or_dates_and_no_copies_of_the_measurements():
    rows = np.arange(240)
    frame = study(30, sex=RNG.choice(["f", "m"], 30), code=RNG.integers(1, 5, 30), logged=np.log1p(rows),
                  day=pd.Timestamp("2024-03-01") + pd.to_timedelta(rows % 50, "D"), same=np.ones(30))  # fmt: skip
    kinds = [(c.name, c.labelled, c.dates) for c in unused.columns_of(dataset(frame))]
    assert kinds == [("id", True, False), ("sex", True, False), ("code", False, False), ("code", True, False),
                     ("day", False, True)]  # fmt: skip


def test_a_column_that_a_structure_or_a_residual_reads_is_used():
    model = nb.Model(LinearMixed(), residual=nb.Autoregressive(within="visit", over="week"))
    assert {"visit", "week"} <= unused.read_by(model)
    assert "dose" in unused.read_by(nb.Model(LinearMixed(), residual=nb.Poisson("dose")))


def wrong(model=LINE, more=0.0, **columns):
    """Findings on data of `LINE` to which something was added (record,), at the parameters and effects of the rest."""
    data = dataset(study(30, **columns))
    made = nb.simulate(LINE, data, draws=1, values=AT, random_seed=2)
    data = data.with_values(y=made["prior_predictive"]["y"].to_numpy().ravel() + more)
    return list(doubts.findings(examined(fitted(stated(model, data, seed=2, **AT)))))


def test_an_instrument_that_drifts_is_found_by_the_running_number():
    run = np.random.default_rng(3).permutation(240) + 1.0
    (found,) = wrong(more=(run - 120) / 120, run=run)
    assert "residuals drift with run" in found and '"mu ~ 1 + time + center(run) + (1|id)"' in found


def test_a_bend_is_found_and_the_term_that_is_named_makes_a_model():
    bend = 0.15 * (np.tile(np.arange(8.0), 30) - 3.5) ** 2
    found = wrong(more=bend)[0]
    assert "the mean of residuals changes with time" in found
    assert '"mu ~ 1 + time + I((time - 3.5)**2) + (1|id)"' in found


def test_scatter_that_changes_with_a_column_or_the_prediction_is_found_with_its_mend():
    lab, noise = np.random.default_rng(3).choice(["p", "q"], 240), np.random.default_rng(4).normal(size=240)
    (found,) = wrong(more=np.where(lab == "p", 3.0, 0.0) * noise, lab=lab)
    assert found.startswith('y: the scatter of residuals differs by lab: "sigma ~ 1 + lab" (p = ')
    rising = wrong(more=0.1 * np.tile(np.arange(8.0), 30) ** 2 * noise)[0]
    assert rising.startswith("y: the scatter of residuals changes with the prediction: residual=nb.Combined() (p = ")


def test_effects_that_are_correlated_or_not_normal_are_found():
    model, values = nb.Model(LinearMixed(), "mu ~ 1 + time + (1 + time||id)"), AT | {"omega_id": [2.0, 0.2]}
    made = nb.simulate(model, dataset(study(40)), draws=1, values=values, random_seed=2)
    data = dataset(study(40)).with_values(y=made["prior_predictive"]["y"].to_numpy().ravel())
    tree = stated(model, data, seed=2, **values)
    eta = tree["posterior"]["eta_id"].values
    eta[0, 0, :, 1] = eta[0, 0, :, 0] / 10 + np.random.default_rng(1).normal(scale=0.05, size=40)
    assert any("mu:time at level id are correlated" in text for text in doubts.findings(examined(fitted(tree))))
    eta[0, 0, :, 0] = np.sign(eta[0, 0, :, 0]) * (2 + 0.1 * eta[0, 0, :, 0])
    assert any("of mu at level id are not normal" in text for text in doubts.findings(examined(fitted(tree))))


def test_effects_of_occasions_that_follow_the_time_are_found():
    frame = study(20, 12).assign(occ=np.tile(np.repeat(np.arange(4), 3), 20))
    data = nb.Dataset.from_frame(frame, outcome="y", levels=("id", "id/occ"), time="time", subject="id")
    model, values = nb.Model(LinearMixed(), "mu ~ 1 + (1|id/occ)"), AT | {"theta_mu": [10.0], "omega_occ": [1.0]}
    made = nb.simulate(model, data, draws=1, values=values, random_seed=2)
    tree = stated(model, data.with_values(y=made["prior_predictive"]["y"].to_numpy().ravel()), seed=2, **values)
    tree["posterior"]["eta_occ"].values[0, 0, :, 0] += np.tile(np.arange(4) - 1.5, 20)
    found = list(doubts.findings(examined(fitted(tree))))
    assert any('follow time: "mu ~ 1 + center(time) + (1|id/occ)"' in text for text in found)


@pytest.mark.parametrize("name", model_zoo.__all__)
def test_the_structure_that_a_class_names_as_larger_is_one(name):
    try:
        structure = getattr(model_zoo, name)()
    except TypeError:  # one that wraps others, or needs names
        return
    if structure.larger is not None:
        assert isinstance(eval(structure.larger, vars(model_zoo)), nb.Structure)


def approximated(model, data):
    return nb.check(nb.fit(model, data, method="laplace", draws=400, random_seed=1, progressbar=False))


def alarms(report):
    return [text for text in report.findings if re.search(r"\(p = [^)]*\)$", text)]


def test_correlation_of_0_9_and_a_centre_effect_of_factor_two_are_found_and_the_mends_that_are_named_come_out_clean():
    options = {"links": {"mu": "log"}, "typical": {"mu": 10.0}}
    data = dataset(study(40, centre=np.random.default_rng(4).permutation(list("abcde") * 8)))
    twice = "mu ~ 1 + offset(log(2)*((centre == 'a') or (centre == 'b'))) + (1|id)"
    truth = nb.Model(LinearMixed(), twice, residual=nb.Autoregressive(nb.Proportional()), **options)
    values = {"theta_mu": [2.0], "omega_id": [0.3], "sigma_y_b": 0.15, "sigma_y_rho": 0.9}
    made = nb.simulate(truth, data, draws=1, values=values, random_seed=4)
    data = data.with_values(y=made["prior_predictive"]["y"].to_numpy().ravel())
    found = " | ".join(alarms(approximated(nb.Model(LinearMixed(), residual=nb.Proportional(), **options), data)))
    formula, residual = (
        re.search('"(mu ~ .*?)"', found).group(1),
        re.search(r"residual=(nb\..*?\)) \(p", found).group(1),
    )
    assert (formula, residual) == (
        "mu ~ 1 + (1|id) + (1|centre)", "nb.Autoregressive(nb.Proportional(), over='time')"
    )  # fmt: skip
    mended = nb.Model(LinearMixed(), formula, residual=eval(residual, {"nb": nb}), **options)
    assert not alarms(approximated(mended, data))
