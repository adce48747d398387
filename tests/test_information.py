"""Expected information to first order, beside the values that PopED prints and an independent programme recomputed.

Sources: PopED 0.7.0 (andrewhooker/PopED, LGPL), its tests and vignettes; Nyberg et al. (2015), doi:10.1111/bcp.12352.
All were recomputed by complex-step derivatives to the digits that stand here.
"""

import numpy as np
import pytest
from scipy import special, stats

import nlmebayes as nb
from model_zoo import LinearMixed, OneCompartment, ParametricSurvival
from nlmebayes.criticism import linearised
from nlmebayes.design import exact
from nlmebayes.inference.normal_law import information

ORAL = OneCompartment(absorption="first-order")
CLOSE = 1e-4
TYPICAL = {"cl": 0.15, "v": 8.0, "ka": 1.0}
SPREAD = {"variance": {"cl": 0.07, "v": 0.02, "ka": 0.6}}
WARFARIN = nb.Design([nb.Arm(32, [0.5, 1, 2, 6, 24, 36, 72, 120], doses={"time": 0, "amt": 70})])
BOTH = {"residual": nb.Combined("variance"), "sigma": {"variance": {"a": 0.25, "b": 0.01}}}
VARIANCES = {"cl v": 0.03, "cl ka": 0.1, "v ka": 0.09}


def warfarin(**options):
    return nb.population(ORAL, **{"theta": TYPICAL, "omega": SPREAD, "sigma": {"b": 0.1}} | options)


def rse(found):
    return found.table["rse"].to_numpy()


@pytest.mark.parametrize(
    ("method", "det", "expected"),
    [
        ("fo", 5.996147e22, [4.7383, 2.7562, 13.9258, 25.6272, 30.3443, 25.7773, 11.1708]),
        ("full", 1.220369e24, [3.561, 2.5604, 4.812, 26.2703, 30.9016, 26.5039, 12.4095]),
    ],
)
def test_warfarin(method, det, expected):
    found = nb.information(warfarin(), WARFARIN, method=method, variances=True)
    assert np.exp(found.criterion()) == pytest.approx(det, rel=CLOSE)
    assert rse(found) == pytest.approx(expected, rel=CLOSE)


def test_a_residual_may_be_told_as_an_sd_and_typical_values_on_the_scale_of_their_link():
    found = nb.information(warfarin(), WARFARIN, variances="omega")
    assert np.exp(found.criterion()) == pytest.approx(2.398459e21, rel=CLOSE)
    link = nb.information(warfarin(), WARFARIN, scale="link").table
    assert link["se"].iloc[:3].to_numpy() == pytest.approx(rse(found)[:3] / 100, rel=1e-6)
    assert link["rse"].iloc[3:].to_numpy() == pytest.approx(
        nb.information(warfarin(), WARFARIN, variances=True).table["rse"].iloc[3:].to_numpy() / 2, rel=1e-6
    )


def test_two_parts_of_a_residual_and_the_criterion_of_some_numbers():
    found = nb.information(warfarin(**BOTH), WARFARIN, variances=True)
    expected = [5.0962, 3.0312, 14.2604, 29.7612, 36.6814, 26.7486, 32.0117, 25.638]
    order = [0, 1, 2, 3, 4, 5, 7, 6]  # PopED tells the proportional part first
    assert rse(found)[order] == pytest.approx(expected, rel=CLOSE)
    assert found.criterion() == pytest.approx(55.39645, rel=1e-6)
    assert found.criterion("Ds", of=["cl", "v", "ka"]) == pytest.approx(16.49204, rel=1e-6)
    assert nb.information(warfarin(**BOTH), WARFARIN, method="full", variances=True).criterion() == pytest.approx(
        57.082755, rel=1e-6
    )


@pytest.mark.parametrize(
    ("method", "det", "expected"),
    [
        (
            "fo", 85.8882277,
            [4.7383, 2.7562, 13.9258, 25.6602, 30.482, 25.86, 30.8237, 41.4696, 30.7321, 11.1803],
        ),
        (
            "full", 88.2258039,
            [3.8337, 1.827, 4.8367, 26.5145, 30.8912, 26.0805, 31.0077, 41.6652, 31.06, 12.2666],
        ),
    ],
)  # fmt: skip
def test_covariances(method, det, expected):
    matrix = [[0.07, 0.03, 0.1], [0.03, 0.02, 0.09], [0.1, 0.09, 0.6]]
    omega = {"covariance": {"names": ["cl", "v", "ka"], "matrix": matrix}}
    found = nb.information(warfarin(omega=omega), WARFARIN, method=method, variances=True)
    assert found.criterion() == pytest.approx(det, rel=1e-6)
    assert rse(found) == pytest.approx(expected, rel=CLOSE)


@pytest.mark.parametrize(
    ("lloq", "det", "expected"),
    [
        (None, 50.8414893, [5.376, 3.648, 14.928, 33.879, 69.763, 28.386, 88.844, 35.575]),
        (2.0, 41.0480278, [5.783, 3.788, 15.024, 498.191, 427.872, 112.552, 1444.02, 2126.649]),
    ],
)
def test_records_that_are_expected_below_the_limit_tell_nothing(lloq, det, expected):
    arm = nb.Arm(32, [0.5, 3, 50, 120], doses={"time": 0, "amt": 70}, lloq=lloq)
    found = nb.information(warfarin(**BOTH), nb.Design([arm]), variances=True)
    assert found.criterion() == pytest.approx(det, rel=1e-6)
    assert rse(found)[[0, 1, 2, 3, 4, 5, 7, 6]] == pytest.approx(expected, rel=CLOSE, abs=6e-4)
    assert any("1 of 4 records" in text for text in found.sentences) == (lloq is not None)


def test_records_that_are_often_below_the_limit_are_told():
    """To first order those expected above it are taken for measured: an error is that without a limit."""
    tree = nb.population(LinearMixed(), "mu ~ 1", theta={"mu": 5.0}, omega={}, sigma={"a": 0.5})
    low, none = (nb.information(tree, nb.Design([nb.Arm(100, [1.0], lloq=at)])) for at in (4.8, 3.5))
    assert low.table["se"]["mu"] == none.table["se"]["mu"] == pytest.approx(0.05)
    told = [text for text in low.sentences if "1 of 1 records lie beyond" in text and "method='exact'" in text]
    assert len(told) == 1 and not any("lie beyond" in text for text in none.sentences)


def test_a_robust_criterion_averages_over_draws():
    """Log-normal fixed effects of CV 10 %, by 5 nodes of Gauss and Hermite each; PopED prints 55.413 and 55.420."""
    x, w = np.polynomial.hermite_e.hermegauss(5)
    sd = np.sqrt(np.log(1.01))
    nodes = np.stack(np.meshgrid(x, x, x, indexing="ij"), axis=-1).reshape(-1, 3)
    weight = np.prod(np.stack(np.meshgrid(w, w, w, indexing="ij"), axis=-1).reshape(-1, 3), axis=1)
    kept = weight > 1e-6 * weight.sum()
    centre = np.log(list(TYPICAL.values())) - sd**2 / 2
    many = int(kept.sum())
    tree = nb.population(ORAL, theta=TYPICAL, omega=SPREAD, **BOTH, draws=many)
    posterior = tree["posterior"].to_dataset()
    for k, name in enumerate(TYPICAL):
        posterior[f"theta_{name}"][0, :, 0] = centre[k] + sd * nodes[kept, k]
    tree["posterior"] = posterior
    found = nb.information(tree, WARFARIN, variances=True, draws=many)
    each = [np.linalg.slogdet(numbers.information(whole))[1] for numbers, whole in found.drawn]
    assert weight[kept] @ each / weight[kept].sum() == pytest.approx(55.40525, rel=1e-6)
    assert found.criterion("ED") == pytest.approx(np.mean(each))


# --- PopED's introduction ---------------------------------------------------------------------------------------------

EVERY = {"time": 0, "addl": 10, "ii": 24}
SMALL = {"residual": nb.Combined("variance"), "sigma": {"variance": {"a": 5e-6, "b": 0.04}}}
INTRO = {"v": 72.8, "ka": 0.25, "cl": 3.75}
ORDER = ["v", "ka", "cl", "omega_id v²", "omega_id ka²", "omega_id cl²", "sigma_conc_b²"]


def two_arms(times, share=0.9, **options):
    return nb.Design([nb.Arm(20, times, doses=EVERY | {"amt": share * dose}, **options) for dose in (20, 40)])


def intro():
    return nb.population(ORAL, theta=INTRO, omega={"variance": {"v": 0.09, "ka": 0.09, "cl": 0.0625}}, **SMALL)


def introduced(times):
    return nb.information(intro(), two_arms(times), variances=True, fixed=["sigma_conc_a"])


@pytest.mark.parametrize(
    ("times", "ofv", "expected", "close"),
    [
        (
            [1, 2, 8, 240, 245], 39.309,
            [8.215338, 10.090955, 4.400304, 39.844763, 60.65511, 27.562541, 13.865357], CLOSE,
        ),
        (
            [1, 2, 245], 29.66484,
            [44.120338, 51.256239, 5.748842, 207.94154, 280.689945, 53.350716, 22.795275], CLOSE,
        ),
        ([0.4574, 10, 10, 240, 240.9], 40.5277, [6, 8, 4, 33, 50, 26, 15], 0.1),
        ([1, 10, 10, 240, 241], 40.3782, None, None),
    ],
)  # fmt: skip
def test_the_designs_of_poped_s_introduction(times, ofv, expected, close):
    found = introduced(times)
    assert found.criterion() == pytest.approx(ofv, rel=3e-6)
    if expected is not None:
        assert found.table.loc[ORDER, "rse"].to_numpy() == pytest.approx(expected, rel=close)


def test_efficiencies():
    first, second, best = map(introduced, ([1, 2, 8, 240, 245], [1, 2, 245], [0.4574, 10, 10, 240, 240.9]))
    assert first.efficiency(second) == pytest.approx(3.965919, rel=1e-5)
    assert best.efficiency(first) == pytest.approx(1.1902, rel=CLOSE)
    doubled = nb.information(intro(), nb.Design([arm.but(n=40) for arm in two_arms([1, 2, 245]).arms]), variances=True,
                             fixed=["sigma_conc_a"])  # fmt: skip
    assert doubled.efficiency(second) == pytest.approx(2.0, rel=1e-9)


def test_one_occasion_more_hardly_parts_people_from_occasions():
    """Amounts are carried over: records of the second occasion depend on the clearance of both."""
    tree = nb.population(
        ORAL, "cl ~ 1 + (1|id) + (1|occ)", theta=INTRO, levels=("id", "occ"), **SMALL,
        omega={"id": {"variance": {"cl": 0.0625, "v": 0.09, "ka": 0.09}}, "occ": {"variance": {"cl": 0.09}}},
    )  # fmt: skip
    found = nb.information(tree, two_arms([1, 2, 8, 240, 245], 1.0, occasions=[0, 144]), variances=True,
                           fixed=["sigma_conc"])  # fmt: skip
    order = ["cl", "v", "ka", "omega_id cl²", "omega_id v²", "omega_id ka²", "omega_occ cl²"]
    expected = [6.225, 8.8171, 10.6722, 106.4389, 42.9159, 62.884, 79.4204]
    assert found.table.loc[order, "rse"].to_numpy() == pytest.approx(expected, rel=CLOSE)
    assert found.criterion() == pytest.approx(31.798759, rel=1e-6)
    assert any("omega_id cl² (RSE 106 %) and omega_occ cl² (79 %)" in text for text in found.sentences)


def test_expected_shrinkage():
    model = nb.Model(OneCompartment(absorption="first-order", parametrisation="rates"), residual=nb.Combined("sd"))
    tree = nb.population(model, theta={"ka": 2.0, "k": 0.25, "v": 15.0}, sigma={"a": 0.5, "b": 0.15},
                         omega={"variance": {"ka": 1.0, "k": 0.25, "v": 0.1}})  # fmt: skip
    found = nb.information(tree, nb.Design([nb.Arm(10, [1, 3, 8], doses={"time": 0, "amt": 100})])).shrinkage
    expected = {"ka": 50.3513, "k": 36.73427, "v": 42.44184}
    assert found.loc["id", "variance"].to_dict() == pytest.approx(expected, rel=1e-5)
    assert found.loc[("id", "ka"), "sd"] == pytest.approx(100 * (1 - np.sqrt(1 - 0.503513)), rel=1e-5)


# --- what follows -----------------------------------------------------------------------------------------------------


def balanced(people, records, mean=1.0, omega=0.5, a=1.0):
    tree = nb.population(LinearMixed(), "mu ~ 1 + (1|id)", theta={"mu": mean}, omega={"sd": {"mu": omega}},
                         sigma={"a": a}, outcome="y")  # fmt: skip
    return tree, nb.Design([nb.Arm(people, list(range(records)))])


def test_a_balanced_linear_model_in_closed_form():
    """With m records each: var(mean) = (omega² + a²/m) / n, var(a²) = 2 a⁴ / (n (m - 1))."""
    found = nb.information(*balanced(30, 4), method="full", variances=True).table
    assert found.loc["mu", "se"] == pytest.approx(np.sqrt((0.25 + 0.25) / 30), rel=1e-6)
    assert found.loc["sigma_y_a²", "se"] == pytest.approx(np.sqrt(2 / 90), rel=1e-6)
    between = 2 / 30 * ((0.25 + 0.25) ** 2 + 1 / (3 * 4**2))
    assert found.loc["omega_id mu²", "se"] == pytest.approx(np.sqrt(between), rel=1e-6)


def test_power_and_the_number_of_subjects():
    """1.96 + 0.84 standard errors for 80 %."""
    found = nb.information(*balanced(30, 4, mean=0.3))
    se = np.sqrt(0.5 / 30)
    assert found.power("mu") == pytest.approx(stats.norm.cdf(0.3 / se - 1.959964), abs=1e-5)
    assert found.subjects_for("mu") == np.ceil((2.801585 * se * np.sqrt(30) / 0.3) ** 2)
    assert found.power("mu", null=0.3) == pytest.approx(0.05)


def test_a_former_study_adds_its_information_and_fixed_numbers_are_known():
    tree, design = balanced(30, 4)
    once = nb.information(tree, design)
    twice = nb.information(tree, design, prior=once)
    assert twice.table["se"].to_numpy() == pytest.approx(once.table["se"].to_numpy() / np.sqrt(2))
    assert nb.information(tree, design, fixed=["omega_id"]).names == ("mu", "sigma_y_a")
    with pytest.raises(nb.ModelError, match="prior: it is about mu, omega_id mu, sigma_y_a, and this model has other"):
        nb.information(warfarin(), WARFARIN, prior=once)
    with pytest.raises(nb.ModelError, match="no parameter 'omega_id cl' in the information; there are mu, omega_id mu"):
        nb.information(tree, design, fixed=["omega_id cl"])


def test_more_subjects_are_no_more_of_a_former_study():
    tree, design = balanced(30, 4)
    once = nb.information(tree, design)
    whole, rest = (told.subjects_for("mu", null=0.8) for told in (once, nb.information(tree, design, prior=once)))
    assert whole > 60 and rest == whole - 30
    more = nb.information(tree, design, prior=once, draws=1).of_subjects(90)
    assert more.table["se"].to_numpy() == pytest.approx(once.table["se"].to_numpy() / 2)
    assert (more.subjects, more.records) == (90, 360)
    assert more.criterion("ED") == pytest.approx(more.criterion())


def test_covariates_that_differ_and_sites_are_those_of_everybody():
    """Groups that are alike are looked at once: the same as all of them one by one."""
    tree = nb.population(
        LinearMixed(), "mu ~ 1 + x + (1|site) + (1|id)", theta={"mu": {"Intercept": 1.0, "x": 0.5}}, sigma={"a": 1.0},
        levels=("site", "id"), omega={"site": {"sd": {"mu": 0.5}}, "id": {"sd": {"mu": 0.7}}}, outcome="y",
    )  # fmt: skip
    arms = [nb.Arm(12, [0, 1], covariates={"x": [0, 1, 1]}, within={"site": 4})]
    found = nb.information(tree, nb.Design(arms))
    x = np.resize([0.0, 1.0, 1.0], 12).repeat(2)
    site, person = np.arange(24) // 2 % 4, np.arange(24) // 2
    v = 0.25 * (site[:, None] == site) + 0.49 * (person[:, None] == person) + np.eye(24)
    design = np.stack([np.ones(24), x], axis=1)
    expected = np.sqrt(np.diag(np.linalg.inv(design.T @ np.linalg.inv(v) @ design)))
    assert found.table["se"].iloc[:2].to_numpy() == pytest.approx(expected, rel=1e-9)


def test_one_sample_a_person_cannot_part_people_from_scatter():
    found = nb.information(*balanced(30, 1))
    assert not np.isfinite(found.table["se"]).any()
    assert any("each id has one record" in text for text in found.sentences)


def test_what_would_be_wrong_to_first_order_is_refused():
    tree = nb.population(LinearMixed(), "mu ~ 1 + (1|id)", theta={"mu": 1.0}, omega={"sd": {"mu": 0.5}}, outcome="y",
                         sigma={"a": 1.0, "nu": 4.0}, residual=nb.StudentT())  # fmt: skip
    with pytest.raises(nb.ModelError, match=r"y, StudentT\(\), would be wrong to first order .*; take method='exact'"):
        nb.information(tree, nb.Design([nb.Arm(5, [0, 1])]))


# --- without linearisation --------------------------------------------------------------------------------------------


def exactly(tree, design, close=0.04, **options):
    """The exact information, to a rougher error."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exact, "CLOSE", close)
        return nb.information(tree, design, method="exact", random_seed=2, **options)


def assert_near(found, expected, errors=3.0):
    ratio = found.table["se"].to_numpy() / np.asarray(expected)
    assert (np.abs(np.log(ratio)) < errors * found.table["error"].to_numpy()).all(), ratio


def test_of_a_linear_model_the_exact_information_is_the_full_one():
    tree, design = balanced(30, 4)
    assert_near(exactly(tree, design), nb.information(tree, design, method="full").table["se"])


def test_of_nested_groups_too():
    tree = nb.population(
        LinearMixed(), "mu ~ 1 + (1|site) + (1|id)", theta={"mu": 1.0}, sigma={"a": 1.0}, levels=("site", "id"),
        omega={"site": {"sd": {"mu": 0.5}}, "id": {"sd": {"mu": 0.7}}}, outcome="y",
    )  # fmt: skip
    design = nb.Design([nb.Arm(24, [0, 1], within={"site": 8})])
    assert_near(exactly(tree, design, 0.06), nb.information(tree, design, method="full").table["se"])


def test_of_warfarin_it_is_the_reduced_one():
    """Nyberg et al. found the empirical errors of ka near the reduced matrix, 13.9 %, not the full one, 4.8 %."""
    found = exactly(warfarin(), WARFARIN, 0.05, variances=True)
    assert rse(found)[:3] == pytest.approx([4.74, 2.73, 14.1], rel=0.04)
    assert found.table["error"].max() < 0.05 and "simulated groups" in found.sentences[-1]


def test_of_answers_yes_and_no_it_is_that_of_their_patterns():
    """Three answers of each person with a random intercept: the four sums have the probabilities of a quadrature."""
    options = {"links": {"mu": nb.Logit()}, "typical": {"mu": 0.6}, "residual": nb.Bernoulli()}
    model = nb.Model(LinearMixed(), "mu ~ 1 + (1|id)", **options)
    tree = nb.population(model, theta={"mu": 0.6}, omega={"sd": {"mu": 1.2}}, sigma={}, outcome="y")
    z, w = np.polynomial.hermite_e.hermegauss(60)

    def chances(mean, omega):
        p = special.expit(mean + np.exp(omega) * z)
        return np.array([special.comb(3, k) * (w / w.sum()) @ (p**k * (1 - p) ** (3 - k)) for k in range(4)])

    x = np.array([special.logit(0.6), np.log(1.2)])
    slopes = np.stack([(chances(*(x + h)) - chances(*(x - h))) / 2e-5 for h in 1e-5 * np.eye(2)])
    inverse = np.linalg.inv(slopes / chances(*x) @ slopes.T * 100)
    expected = np.sqrt(np.diag(inverse)) * [0.6 * 0.4, 1.2]
    found = exactly(tree, nb.Design([nb.Arm(100, [0, 1, 2])]), 0.03)
    assert_near(found, expected)


def test_of_records_below_the_limit_it_is_what_their_censoring_leaves():
    """Normal records without effects, all those below the mean censored: Fisher's information in closed form."""
    tree = nb.population(LinearMixed(), "mu ~ 1", theta={"mu": 1.0}, omega={}, sigma={"a": 1.0}, outcome="y")
    found = exactly(tree, nb.Design([nb.Arm(50, [0, 1], lloq=1.0)]), fixed=["sigma_y_a"])
    expected = 1 / np.sqrt(100 * (0.5 + 2 * stats.norm.pdf(0) ** 2))
    assert_near(found, [expected])


def test_at_drawn_effects_the_errors_are_near_those_at_none():
    rough, fine = (nb.information(warfarin(), WARFARIN, method=m) for m in ("fo", "foce"))
    assert rse(fine) == pytest.approx(rse(rough), rel=0.03) and (rse(fine) != rse(rough)).all()


def test_of_many_records_a_person_slopes_are_differences():
    """Beyond sixty there are no exact ones, and nothing is measured yet."""

    def arm(times):
        return nb.Design([nb.Arm(9, times, doses={"time": 0, "amt": 70})])

    once = nb.information(warfarin(), arm(np.linspace(1, 100, 50).tolist()), variances=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(linearised, "MANY", 10)
        again = nb.information(warfarin(), arm(np.linspace(1, 100, 50).tolist()), variances=True)
    assert rse(again) == pytest.approx(rse(once), rel=1e-5)


def test_items_that_everybody_answers_are_those_of_all():
    """Crossed groups: people who are alike share their items."""
    model = nb.Model(LinearMixed(), "mu ~ 1 + (1|id) + (1|item)")
    tree = nb.population(model, theta={"mu": 1.0}, omega={"id": {"sd": {"mu": 0.7}}, "item": {"sd": {"mu": 0.5}}},
                         sigma={"a": 1.0}, outcome="y")  # fmt: skip
    found = nb.information(tree, nb.Design([nb.Arm(6, inputs={"item": ["a", "b", "c", "d"]})]))
    person, item = np.arange(24) // 4, np.arange(24) % 4
    v = 0.49 * (person[:, None] == person) + 0.25 * (item[:, None] == item) + np.eye(24)
    assert found.table.loc["mu", "se"] == pytest.approx(1 / np.sqrt(np.linalg.inv(v).sum()), rel=1e-9)


def test_a_sample_before_the_drug_scatters_by_nothing_and_tells_nothing():
    late, whole = (nb.Design([nb.Arm(9, times, doses={"time": 1, "amt": 70})]) for times in ([2, 9, 40], [0, 2, 9, 40]))
    told = nb.information(warfarin(), whole)
    assert rse(told) == pytest.approx(rse(nb.information(warfarin(), late)), rel=1e-9)
    assert "1 of 4 records are expected beyond their limits" in told.sentences[-1]
    simulated = exactly(warfarin(), whole, 0.1)
    assert np.isfinite(rse(simulated)).all() and simulated.table.loc["cl", "rse"] == pytest.approx(
        rse(told)[0], rel=0.15
    )


def test_of_correlated_records_the_exact_information_is_that_of_their_normal_law():
    tree = nb.population(
        LinearMixed(), "mu ~ 1 + (1|id)", theta={"mu": 1.0}, omega={"sd": {"mu": 0.5}}, outcome="y",
        sigma={"a": 1.0, "rho": 0.5}, residual=nb.Autoregressive(nb.Additive(), over="time"),
    )  # fmt: skip
    found = exactly(tree, nb.Design([nb.Arm(20, [0, 1, 2, 3])]), 0.05)
    apart = np.abs(np.subtract.outer(np.arange(4), np.arange(4)))
    changes = [np.zeros((4, 4)), np.ones((4, 4)), 2 * 0.5**apart, apart * 0.5 ** np.maximum(apart - 1, 0)]
    slopes = np.zeros((4, 4))
    slopes[:, 0] = 1.0
    told = 20 * information(slopes, 0.25 + 0.5**apart, changes)
    assert_near(found, np.sqrt(np.diag(np.linalg.inv(told))))


def test_of_times_to_an_event_until_follow_up_ends_in_closed_form():
    """An exponential law: each subject tells of the logarithm of the rate as much as it is likely to have its event."""
    typical = {"rate": 0.1, "shape": 1.0}
    tree = nb.population(ParametricSurvival(), theta=typical, omega={}, sigma={}, residual=nb.TimeToEvent(),
                         outcome="event")  # fmt: skip
    design = nb.Design([nb.Arm(50, [10.0], uloq=10.0)])
    found = exactly(tree, design, 0.05, fixed=["shape"], scale="link")
    assert_near(found, [1 / np.sqrt(50 * (1 - np.exp(-1.0)))])
