"""Other answers for linear mixed models: point estimates of lme4 and statsmodels, posteriors of Bambi."""

import numpy as np
import statsmodels.formula.api as smf
from arviz_stats import ess, mcse

import nlmebayes as nb

# Bambi 0.21.0 with formulae 0.6.2 on PyMC 6.4.0, sampled by nutpie 0.16: 4 chains of 4000 draws, R-hat below 1.0025,
# priors as this library's by default, `center_predictors=False`. Posterior mean, SD, Monte Carlo SE of the mean. No
# dependency of the tests: it holds formulae back (below 0.7).
BAMBI = {
    "dyestuff": {
        "Intercept": (1527.61, 22.334, 0.4),
        "sigma": (51.9958, 7.9563, 0.09636),
        "1|Batch_sigma": (46.779, 20.403, 0.3586),
    },
    "pastes": {
        "Intercept": (60.0481, 0.7605, 0.008951),
        "sigma": (0.862532, 0.12038, 0.001623),
        "1|batch_sigma": (1.3433, 0.86008, 0.01879),
        "1|batch:cask_sigma": (3.02364, 0.47057, 0.006909),
    },
    "machines": {
        "Intercept": (52.6522, 2.9218, 0.03664),
        "Machine[B]": (7.69811, 2.558, 0.02476),
        "Machine[C]": (13.5789, 2.5541, 0.02539),
        "sigma": (0.999331, 0.1245, 0.001565),
        "1|Worker_sigma": (5.30632, 2.375, 0.03279),
        "1|Worker:Machine_sigma": (4.30959, 1.1554, 0.01848),
    },
    "sleepstudy": {
        "Intercept": (251.626, 7.3225, 0.08377),
        "Days": (10.4377, 1.6918, 0.02423),
        "sigma": (25.8119, 1.5106, 0.01251),
        "1|Subject_sigma": (26.6904, 6.3544, 0.08461),
        "Days|Subject_sigma": (6.43303, 1.4064, 0.01911),
    },
}


def agrees(tree, printed, within=1.0):
    """Printed point estimates lie within so many posterior SDs of the posterior means."""
    table = nb.summary(tree).set_index("quantity")
    away = {name: abs(table.loc[name, "mean"] - value) / table.loc[name, "sd"] for name, value in printed.items()}
    assert max(away.values()) < within, away


def restricted(formula, data, **options):
    """REML by statsmodels' MixedLM, of a bundled table or a frame."""
    frame = nb.datasets.table(data) if isinstance(data, str) else data
    return smf.mixedlm(formula, frame, **options).fit(reml=True, method="bfgs")


def alike(tree, case, names):
    """Posterior means and SDs are those of `BAMBI`, within four Monte Carlo errors and 15 %.

    ``names``: by variable, or variable and coordinate, the name there.
    """
    for name, other in names.items():
        variable, _, label = name.partition(" ")
        draws = tree["posterior"][variable]
        draws = draws.sel({draws.dims[-1]: label}) if label else draws.squeeze(drop=True)
        mean, sd, error = BAMBI[case][other]
        assert abs(float(draws.mean()) - mean) < 4 * np.hypot(float(mcse(draws)), error), name
        assert abs(float(draws.std()) / sd - 1) < max(0.15, 4 / np.sqrt(2 * float(ess(draws)))), name
