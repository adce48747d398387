"""Posteriors equal Stan's, computed with the same priors: 4 chains x 5000 draws, R-hat < 1.0011 (pystan 3).

Columns: Stan's posterior mean, SD, Monte Carlo SE of the mean, bulk ESS.
"""

import numpy as np
import pytest
from arviz_stats import ess, mcse

import nlmebayes as nb
from model_zoo import LinearMixed, OneCompartment

THEOPHYLLINE = {
    "theta_ka": (0.4537089, 0.1910412, 0.002402045, 6325),
    "theta_cl": (1.014115, 0.09682784, 0.001091054, 7876),
    "theta_v": (3.453674, 0.0543633, 0.0005499314, 9772),
    "omega_id ka": (0.6659871, 0.1490543, 0.001571448, 8997),
    "omega_id cl": (0.3036932, 0.0839255, 0.000941869, 7940),
    "omega_id v": (0.1605517, 0.05132906, 0.0005750955, 7966),
    "sigma_conc_a": (0.7079853, 0.05232606, 0.0004079406, 16453),
}
SLEEPSTUDY = {
    "theta_mu Intercept": (251.3082, 7.424148, 0.0712535, 10856),
    "theta_mu Days": (10.40303, 1.695553, 0.01645544, 10617),
    "omega_Subject mu": (26.68073, 6.744888, 0.06834935, 9738),
    "omega_Subject mu:Days": (6.515171, 1.491141, 0.01589837, 8797),
    "corr_Subject": (0.0714181, 0.2734021, 0.00337802, 6551),
    "sigma_Reaction_a": (25.89385, 1.563004, 0.01137803, 18871),
}
PASTES = {
    "theta_mu": (60.06049, 0.7894381, 0.007586933, 10827),
    "omega_batch mu": (1.484892, 0.905494, 0.01855116, 2382),
    "omega_cask mu": (3.038085, 0.4787809, 0.006297503, 5780),
    "sigma_strength_a": (0.8596942, 0.1173716, 0.001437539, 6666),
}
PHENOBARBITAL = {
    "theta_cl": (-2.126102, 0.05577803, 0.0004825932, 13359),
    "theta_v": (4.257804, 0.02838266, 0.0002903918, 9553),
    "omega_id cl": (0.2203935, 0.06340197, 0.000898824, 4976),
    "omega_id v": (0.1805883, 0.02401034, 0.000280162, 7345),
    "sigma_conc_a": (0.1240227, 0.01088024, 0.000125793, 7481),
}


def half(scale):
    return nb.Prior("HalfNormal", sigma=scale)


def theophylline():
    model = nb.Model(
        OneCompartment(absorption="first-order", flip_flop=True),
        priors={
            "theta_ka": nb.Prior("Normal", mu=np.log(1.5), sigma=0.5),
            "theta_cl": nb.Prior("Normal", mu=np.log(3), sigma=0.5),
            "theta_v": nb.Prior("Normal", mu=np.log(30), sigma=0.5),
            "omega_id": half(0.5),
            "sigma_conc_a": half(1.0),
        },
    )
    return model, nb.datasets.theophylline()


def sleepstudy():
    model = nb.Model(
        LinearMixed(),
        "mu ~ 1 + Days + (1 + Days|Subject)",
        priors={
            "theta_mu": nb.Prior("Normal", mu={"Intercept": 250, "Days": 0}, sigma={"Intercept": 100, "Days": 20}),
            "omega_Subject": half({"mu": 50, "mu:Days": 20}),
            "sigma_Reaction_a": half(50),
        },
    )
    return model, nb.datasets.sleepstudy()


def pastes():
    priors = {"theta_mu": nb.Prior("Normal", mu=60, sigma=10), "omega_batch": half(5), "omega_cask": half(5)}
    model = nb.Model(LinearMixed(), "mu ~ 1 + (1|batch/cask)", priors=priors | {"sigma_strength_a": half(5)})
    return model, nb.datasets.pastes()


def phenobarbital():
    """Neonates with many boluses; clearance and volume per weight, the exponents fixed."""
    model = nb.Model(
        OneCompartment(),
        "cl ~ 1 + offset(0.75 * log(wt / 70)) + (1|id)",
        "v ~ 1 + offset(log(wt / 70)) + (1|id)",
        residual=nb.LogNormal(),
        priors={
            "theta_cl": nb.Prior("Normal", mu=np.log(0.12), sigma=1),
            "theta_v": nb.Prior("Normal", mu=np.log(70), sigma=1),
            "omega_id": half(0.5),
            "sigma_conc_a": half(0.5),
        },
    )
    return model, nb.datasets.phenobarbital()


def quantity(posterior, name):
    """``"omega_id ka"`` is a coordinate of a variable, ``"corr_..."`` the correlation of the first two effects."""
    variable, _, label = name.partition(" ")
    values = posterior[variable]
    if variable.startswith("corr_"):
        return values[..., 0, 1]
    inner = [d for d in values.dims if d not in ("chain", "draw")]
    return values.sel({inner[0]: label}) if label else values.squeeze(inner) if inner else values


@pytest.mark.parametrize(
    ("statement", "reference"),
    [(theophylline, THEOPHYLLINE), (sleepstudy, SLEEPSTUDY), (pastes, PASTES), (phenobarbital, PHENOBARBITAL)],
)
def test_posterior_is_that_of_stan(statement, reference):
    model, data = statement()
    posterior = nb.fit(model, data, draws=2500, target_accept=0.95, random_seed=20, progressbar=False)["posterior"]
    for name, (mean, sd, error, size) in reference.items():
        values = quantity(posterior, name)
        own_error, own_sd_error = float(mcse(values)), float(mcse(values, method="sd"))
        sd_error = own_sd_error * np.sqrt(1 + float(ess(values, method="bulk")) / size)
        assert abs(float(values.mean()) - mean) < 4 * np.hypot(own_error, error), name
        assert abs(float(values.std()) - sd) < 4 * sd_error, name
