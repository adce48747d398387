"""Two comparisons in which record-wise LOO misleads, and leave-one-subject-out does not."""

import numpy as np
import pandas as pd
import pytest
from gibbs import tree

import nlmebayes as nb
from model_zoo import LinearMixed


def covariate(seed=4, subjects=40, each=6):
    """A covariate of subjects that explains 28.7 in 2 log L, nearly all of it between them."""
    rng = np.random.default_rng(seed)
    x = np.repeat(rng.normal(size=subjects), each).round(3)
    of = np.repeat(np.arange(subjects), each)
    y = 10 + 0.9 * x + rng.normal(size=subjects)[of] + 0.5 * rng.normal(size=len(of))
    return pd.DataFrame({"id": of, "x": x, "y": y})


def growth(seed=2, animals=24, weeks=8):
    """Growth with a treatment that takes 40 mm off every animal."""
    rng = np.random.default_rng(seed)
    of, t = np.divmod(np.arange(animals * weeks), weeks)
    y = 300 + 20 * t - 40 * (of % 2) + (25 * rng.normal(size=animals))[of] + 4 * rng.normal(size=len(of))
    return pd.DataFrame({"id": of, "time": t.astype(float), "x": (of % 2).astype(float), "y": y})


CASES = {"covariate": (covariate, ()), "growth": (growth, ("time",))}


@pytest.fixture(scope="module", params=CASES)
def compared(request):
    make, others = CASES[request.param]
    frame = make()
    data = nb.Dataset.from_frame(frame, outcome="y", levels="id", inputs=others)
    one = np.ones((len(frame), 1))
    found, maxima = {}, {}
    for name, columns in (("with", ("x", *others)), ("without", others)):
        fixed = np.concatenate([one, frame[list(columns)].to_numpy()], axis=1)
        formula = " + ".join(("mu ~ 1", *columns, "(1|id)"))
        found[name] = tree(data, formula, fixed, one)
        maxima[name] = nb.fit(nb.Model(LinearMixed(), formula), data, method="ml", progressbar=False)
    return nb.compare(found, match=False), nb.compare(maxima)


def test_leave_one_subject_out_sees_what_differs_between_subjects(compared):
    by_draws, _ = compared
    difference = by_draws.differences.set_index("left out").loc["id"]
    assert difference["best"] == "with" and -difference["difference"] > 2 * difference["se"]
    assert by_draws.weights()["with"] > 0.9


def test_record_wise_loo_does_not(compared):
    by_draws, _ = compared
    difference = by_draws.differences.set_index("left out").loc["record"]
    assert abs(difference["difference"]) < 3


def test_every_criterion_of_the_maximum_agrees(compared):
    _, by_maximum = compared
    criteria = ["aic", "bic_subjects", "bic_records", "bicc_monolix", "bicc_delattre"]
    assert (by_maximum.table[criteria].idxmin() == "with").all()
    assert by_maximum.table["minus2ll"]["without"] - by_maximum.table["minus2ll"]["with"] > 12
    assert by_maximum.table["elpd"].isna().all()


def test_check_shows_both_and_says_what_each_is_of():
    frame = covariate()
    data = nb.Dataset.from_frame(frame, outcome="y", levels="id")
    one = np.ones((len(frame), 1))
    report = nb.check(tree(data, "mu ~ 1 + (1|id)", one, one))
    assert report.groups[["level", "groups"]].to_numpy().tolist() == [["id", 40]]
    assert report.groups["elpd"].item() < report.loo["elpd"].item() - 40
    assert "given the effects of their group" in str(report) and "Groups left out" in str(report)
