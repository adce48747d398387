"""`SmoothExposure`: a simulated study beside its truth and a penalised least-squares fit of NumPy's."""

import numpy as np
import pandas as pd
import pytest
from trees import stated

import nlmebayes as nb
from model_zoo import SmoothExposure

PARK = SmoothExposure(covariates=("age", "sex"))
GRID = np.linspace(0.2, 4.8, 24)


def truth(x):
    return 30 + 20 * np.exp(-x) + 4 * np.sin(2 * x)


def study(areas=20, each=12, seed=2):
    rng = np.random.default_rng(seed)
    n = areas * each
    frame = pd.DataFrame({"area": np.repeat(np.arange(areas), each), "distance": rng.uniform(0, 5, n)})
    frame["age"], frame["sex"] = rng.normal(50, 10, n), rng.choice(["f", "m"], n, p=[0.6, 0.4])
    mean = truth(frame["distance"]) - 0.2 * (frame["age"] - 50) + 3.0 * (frame["sex"] == "m")
    frame["minutes"] = mean + rng.normal(0, 3, areas)[frame["area"]] + rng.normal(0, 4, n)
    return nb.Dataset.from_frame(frame, outcome="minutes", levels="area")


@pytest.fixture(scope="module")
def tree():
    return nb.fit(nb.Model(PARK), study(), draws=300, tune=300, chains=2, random_seed=1, progressbar=False)


def thin_plate(x, at, k=10):
    """Wood (2003), in one dimension: columns at x and at ``at``, of equal curvature, orthogonal over x to the line and
    scaled together to a mean square of one."""
    null = np.column_stack([np.ones(len(x)), x])
    size, vector = np.linalg.eigh(np.abs(np.subtract.outer(x, x)) ** 3 / 12)
    keep = np.argsort(-np.abs(size))[:k]
    size, vector = size[keep], vector[:, keep]
    free = np.linalg.svd(null.T @ vector)[2][2:].T  # coefficients that take no line
    root = np.linalg.cholesky(free.T @ (size[:, None] * free))
    weights = vector @ free @ np.linalg.inv(root).T
    columns = [np.abs(np.subtract.outer(to, x)) ** 3 / 12 @ weights for to in (x, at)]
    line = np.linalg.lstsq(null, columns[0], rcond=None)[0]
    own, there = columns[0] - null @ line, columns[1] - np.column_stack([np.ones(len(at)), at]) @ line
    return own / np.sqrt((own**2).mean(axis=0).sum()), there / np.sqrt((own**2).mean(axis=0).sum())


def penalised(frame, basis, omega, between, sigma):
    """Mean and SD of the curve over `GRID` at one set of variances."""
    x, age = frame["distance"].to_numpy(), frame["age"].to_numpy()
    curved, curved_there = basis
    areas = pd.get_dummies(frame["area"]).to_numpy(float)
    columns = np.column_stack([np.ones(len(x)), x, age - age.mean(), frame["sex"] == "m", curved, areas])
    precision = np.concatenate([np.zeros(4), np.full(8, omega**-2.0), np.full(areas.shape[1], between**-2.0)])
    covariance = np.linalg.inv(columns.T @ columns / sigma**2 + np.diag(precision))
    wanted = np.column_stack([np.ones(len(GRID)), GRID, np.zeros((len(GRID), 2)), curved_there])
    wanted = np.pad(wanted, ((0, 0), (0, areas.shape[1])))
    mean = wanted @ covariance @ columns.T @ frame["value"].to_numpy() / sigma**2
    return mean, np.sqrt(np.einsum("ij,jk,ik->i", wanted, covariance, wanted))


def test_the_curve_is_that_of_penalised_least_squares_over_the_draws_of_the_variances(tree):
    posterior = tree["posterior"]
    variances = [posterior[v].to_numpy().ravel()[::10] for v in ("omega_mu_smooth", "omega_area", "sigma_minutes_a")]
    frame = nb.training_dataset(tree).observations
    basis = thin_plate(frame["distance"].to_numpy(), GRID)
    found = [penalised(frame, basis, *each) for each in zip(*variances, strict=True)]
    mean, sd = (np.array(each) for each in zip(*found, strict=True))
    total = np.sqrt((sd**2).mean(axis=0) + mean.var(axis=0))
    table = nb.intervals(PARK.response(tree, GRID))
    assert (np.abs(table["mean"] - mean.mean(axis=0)) / total).max() < 0.2
    assert table["sd"].to_numpy() == pytest.approx(total, rel=0.12)


def test_the_truth_is_found_again(tree):
    table = nb.intervals(PARK.response(tree, GRID, age=50.0))
    assert (np.abs(table["mean"] - truth(GRID)) / table["sd"]).max() < 3
    difference = nb.intervals(PARK.response(tree, GRID, reference=2.0))
    assert (np.abs(difference["mean"] - truth(GRID) + truth(2.0)) / difference["sd"]).max() < 3


def test_covariates_shift_the_curve_and_a_reference_takes_the_shift_out(tree):
    women, men = (PARK.response(tree, [1.0, 2.0, 3.0], sex=sex) for sex in ("f", "m"))
    effect = tree["posterior"]["theta_mu"].sel(mu_term="sex[m]").to_numpy()[..., None]
    assert (men - women).to_numpy() == pytest.approx(np.broadcast_to(effect, men.shape))
    apart = [PARK.response(tree, [1.0, 2.0, 3.0], reference=2.0, sex=sex).to_numpy() for sex in ("f", "m")]
    assert apart[0] == pytest.approx(apart[1])
    assert apart[0] == pytest.approx((women - women.sel(distance=2.0)).to_numpy())


def test_formulas_follow_the_columns():
    assert SmoothExposure().formulas == ("mu ~ 1 + s(distance, k=10) + (1|area)",)
    wanted = ("mu ~ 1 + s(no2, k=6) + age + (1|ward)",)
    assert SmoothExposure("no2", "ward", ("age",), 6).formulas == wanted


def test_what_has_no_curve_is_refused(tree):
    with pytest.raises(ValueError, match="no covariate 'weight'; there are age, sex"):
        PARK.response(tree, [1.0], weight=70.0)
    data = study(4)
    sloped = stated(nb.Model(PARK, "mu ~ 1 + s(distance, k=5) + (1 + age|area)"), data)
    with pytest.raises(ValueError, match="effects of the level alone; this fit has mu:age"):
        PARK.response(sloped, [1.0])
