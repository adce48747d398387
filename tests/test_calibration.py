"""At true parameters npd, npde and residuals of counts are standard normal, whatever is below quantification."""

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from trees import stated

import nlmebayes as nb
from model_zoo import LinearMixed, OneCompartment

SUBJECTS = 12
TIMES = np.array([0.5, 2.0, 6.0, 12.0])


class Rate(nb.Curve):
    """A rate that does not change."""

    parameters = (nb.Parameter("rate", typical=2.0),)
    inputs = ("time",)

    def curve(self, p, x):
        return p.rate + 0.0 * x.time


def oral():
    formulas = ("cl ~ 1 + (1|id)", "v ~ 1 + (1|id)", "ka ~ 1 + (1|id)")
    values = {"theta_cl": [1.0], "theta_v": [3.4], "theta_ka": [0.2], "omega_id": [0.4, 0.3, 0.5]}
    structure = OneCompartment(absorption="first-order")
    return nb.Model(structure, *formulas, residual=nb.Combined()), values | {"sigma_y_a": 0.1, "sigma_y_b": 0.15}


def remembered():
    model, values = oral()
    residual = nb.Autoregressive(nb.LogNormal(), over="time", unit=4.0)
    return model.but(residual=residual), {k: v for k, v in values.items() if k != "sigma_y_b"} | {"sigma_y_rho": 0.8}


def counts():
    return nb.Model(Rate(), "rate ~ 1 + (1|id)", residual=nb.Poisson()), {"theta_rate": [0.4], "omega_id": [0.6]}


def categories():
    values = {"theta_mu": [0.5], "omega_id": [1.0], "sigma_y_step2": 1.5}
    return nb.Model(LinearMixed(), "mu ~ 1 + (1|id)", residual=nb.OrderedLogistic(3)), values


def dataset(y, **options):
    ids = np.arange(SUBJECTS)
    frame = pd.DataFrame({"id": np.repeat(ids, len(TIMES)), "time": np.tile(TIMES, SUBJECTS), "y": y})
    doses = pd.DataFrame({"id": ids, "time": 0.0, "amt": 100.0})
    return nb.Dataset.from_frame(frame, outcome="y", time="time", levels="id", doses=doses, **options)


def tables(stating, share, many):
    """Residuals of so many studies simulated at stated values, with a share of records below quantification."""
    model, values = stating()
    first = dataset(1.0 + np.arange(SUBJECTS * len(TIMES)) % 3)
    every = nb.simulate(model, first, draws=many, values=values, random_seed=1)["prior_predictive"]["y"].to_numpy()[0]
    options = {"lloq": float(np.quantile(every, share))} if share else {}
    for seed, y in enumerate(every):
        yield nb.residuals(stated(model, dataset(y, **options), **values), replicates=1000, random_seed=seed)


def judged(stating, share, many):
    """The least p-value that npd and npde of any record of a subject are standard normal over independent subjects, and
    the largest correlation of the decorrelated measurements of two records, in standard errors.

    Decorrelated numbers are uncorrelated, not independent, and normal scores of theirs need be neither: at half of the
    records censored those of npde are correlated by -0.05, though both are standard normal.
    """
    found, n = list(tables(stating, share, many)), len(TIMES)
    scores = [np.array([t[name] for t in found])[:, k::n].ravel() for name in ("npd", "npde") for k in range(n)]
    ewres = np.array([t["EWRES"] for t in found]).reshape(-1, n)
    pairs = [ewres[:, i] * ewres[:, j] for i, j in combinations(range(n), 2)]
    return (
        min(stats.kstest(score, "norm").pvalue for score in scores),
        max(abs(pair.sum()) / np.sqrt((pair**2).sum()) for pair in pairs),
    )


CASES = [(oral, 0.0), (oral, 0.2), (oral, 0.5), (counts, 0.0), (categories, 0.0), (remembered, 0.2)]


@pytest.mark.recovery
@pytest.mark.filterwarnings(
    "ignore:residuals. the most probable effects"
)  # of one subject in thousands; npd needs none
@pytest.mark.parametrize(("stating", "share"), CASES)
def test_two_hundred_true_studies_look_true(stating, share):
    least, correlation = judged(stating, share, 200)
    assert least > 0.001
    assert not correlation > 4  # missing of counts and categories, which have no EWRES


@pytest.mark.parametrize(("stating", "share"), [(oral, 0.5), (counts, 0.0)])
def test_a_few_true_studies_look_true(stating, share):
    least, correlation = judged(stating, share, 3)
    assert least > 0.001
    assert not correlation > 4
