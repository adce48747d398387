"""Levels that cross: plates and samples of penicillin, whose posterior is known by quadrature, beside lme4."""

import numpy as np
import pytest
from arviz_stats import ess
from scipy import stats

import nlmebayes as nb
from model_zoo import LinearMixed

PLATES, SAMPLES = 24, 6
LME4 = 0.8467, 1.9316, 0.5499  # REML of lme4 1.1-31
SPREAD = 2.02  # of the half-normal priors; that of the mean is 2.5 times as wide


def marginal(data):
    """Means and SDs of the SDs of plates, samples and measurements by quadrature.

    With one measurement in each cell the covariance of all has four eigenvalues: of the mean (whose prior it holds), of
    plates, of samples and of what is left.
    """
    y = data.observations.pivot_table(index="plate", columns="sample", values="value").to_numpy()
    assert y.shape == (PLATES, SAMPLES)
    rows, columns, mean = y.mean(axis=1), y.mean(axis=0), y.mean()
    left = ((y - rows[:, None] - columns + mean) ** 2).sum()
    grids = np.linspace(0.3, 1.8, 81), np.linspace(0.4, 8.0, 161), np.linspace(0.42, 0.75, 61)
    plate, sample, sigma = np.meshgrid(*grids, indexing="ij")
    of_plates, of_samples = SAMPLES * plate**2 + sigma**2, PLATES * sample**2 + sigma**2
    of_mean = PLATES * SAMPLES * (2.5 * SPREAD) ** 2 + of_plates + of_samples - sigma**2
    terms = (
        (1, PLATES * SAMPLES * (mean - 22.97) ** 2, of_mean),
        (PLATES - 1, SAMPLES * ((rows - mean) ** 2).sum(), of_plates),
        (SAMPLES - 1, PLATES * ((columns - mean) ** 2).sum(), of_samples),
        ((PLATES - 1) * (SAMPLES - 1), left, sigma**2),
    )
    height = -0.5 * sum(df * np.log(value) + square / value for df, square, value in terms)
    height += sum(stats.halfnorm.logpdf(x, scale=SPREAD) for x in (plate, sample, sigma))
    weight = np.exp(height - height.max())
    weight /= weight.sum()
    means = np.array([(weight * x).sum() for x in (plate, sample, sigma)])
    return means, np.sqrt([(weight * x**2).sum() - m**2 for x, m in zip((plate, sample, sigma), means, strict=True)])


def test_the_posterior_of_crossed_levels_is_that_of_quadrature():
    data = nb.datasets.penicillin()
    model = nb.Model(LinearMixed(), "mu ~ 1 + (1|plate) + (1|sample)")
    tree = nb.fit(model, data, draws=2000, chains=2, random_seed=1, progressbar=False)
    drawn = [tree["posterior"][f"omega_{level}"][..., 0] for level in ("plate", "sample")]
    drawn.append(tree["posterior"]["sigma_diameter_a"])
    report = nb.check(tree)
    assert report.population["rhat"].max() < 1.01
    kinds = set(report.parametrisation[["level", "parametrisation"]].itertuples(index=False, name=None))
    assert kinds == {("plate", "transport"), ("sample", "centred")}
    for x, mean, sd, estimate in zip(drawn, *marginal(data), LME4, strict=True):
        assert mean == pytest.approx(estimate, abs=sd)
        effective = float(ess(x))
        assert effective > 400
        assert float(x.mean()) == pytest.approx(mean, abs=4 * sd / np.sqrt(effective))
        assert float(x.std()) == pytest.approx(sd, rel=0.12)
