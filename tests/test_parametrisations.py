"""The posterior is the same in every parametrisation: means and SDs of the population within their Monte Carlo error.

Run by name (``pytest -m recovery -k parametrisation``): nested levels, a correlated intercept and slope, sparse and
rich kinetics, and a differential equation, each fitted three times.
"""

import numpy as np
import pytest
from arviz_stats import mcse
from recovery import saturable
from test_stan_posteriors import pastes, phenobarbital, sleepstudy, theophylline

import nlmebayes as nb

FAR = 4.5  # Monte Carlo SEs; with 200 differences of normal errors one is beyond them in 700 tests


def elimination():
    """Ten subjects with saturable elimination, simulated at stated values."""
    model, design = saturable()
    truth = {f"theta_{p.name}": [float(p.scale.forward(p.typical))] for p in model.structure.parameters}
    truth |= {"omega_id": [0.3], "sigma_conc_a": 0.3, "sigma_conc_b": 0.1}
    name = design.outcomes[0]
    truth = {k.replace("conc", name): v for k, v in truth.items()}
    drawn = nb.simulate(model, design, draws=1, values=truth, random_seed=3)["prior_predictive"][name]
    return model, design.with_values(**{name: drawn.to_numpy().ravel()})


CASES = [theophylline, sleepstudy, pastes, phenobarbital, elimination]


def population(model, data, kind):
    """Draws of the population, (chain, draw, quantity), in a parametrisation."""
    settings = {"draws": 3000, "chains": 2, "target_accept": 0.95, "random_seed": 5, "progressbar": False}
    tree = nb.fit(model.but(parametrisation=kind), data, **settings)
    posterior = tree["posterior"]
    names = [v for v in posterior.data_vars if v.startswith(("theta_", "omega_", "sigma_"))]
    parts = [posterior[name].to_numpy() for name in sorted(names)]
    parts += [posterior[v].to_numpy()[..., :1, 1] for v in posterior.data_vars if v.startswith("corr_")]
    return np.concatenate([x.reshape(*x.shape[:2], -1) for x in parts], axis=2)


@pytest.mark.recovery
@pytest.mark.parametrize("case", CASES, ids=lambda c: c.__name__)
def test_posterior_is_the_same_in_every_parametrisation(case):
    model, data = case()
    first = population(model, data, "transport")
    for kind in ("centred", "noncentred"):
        other = population(model, data, kind)
        for method, statistic in (("mean", np.mean), ("sd", np.std)):
            for i in range(first.shape[2]):
                a, b = first[..., i], other[..., i]
                error = np.hypot(*(mcse(x, chain_axis=0, draw_axis=1, method=method) for x in (a, b)))
                assert abs(statistic(a) - statistic(b)) < FAR * error, (case.__name__, kind, method, i)
