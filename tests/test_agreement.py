"""Answers printed by other software on public data: lme4, nlme. Point estimates, so within the posterior spread."""

import numpy as np
import pandas as pd
import pytest
from arviz_stats import mcse
from mixed import alike

import nlmebayes as nb
from model_zoo import Gompertz, LinearMixed, LitterDecay, LogisticGrowth, OneCompartment


def spread_from(table, name, value):
    """How many posterior SDs the estimate is from a printed value."""
    row = table.set_index("quantity").loc[name]
    return abs(row["mean"] - value) / row["sd"]


def test_sleepstudy_agrees_with_lme4():
    """lme4 1.1-31, REML: Reaction ~ Days + (Days | Subject)."""
    model = nb.Model(LinearMixed(), "mu ~ 1 + Days + (1 + Days|Subject)")
    table = nb.summary(nb.fit(model, nb.datasets.sleepstudy(), random_seed=1, progressbar=False))
    printed = {"mu": 251.405, "mu: Days": 10.467, "omega_Subject mu": 24.741, "omega_Subject mu:Days": 5.922}
    printed |= {"corr_Subject mu, mu:Days": 0.066, "sigma_Reaction_a": 25.592}
    assert all(spread_from(table, name, value) < 1 for name, value in printed.items())
    assert (table["rhat"] < 1.01).all()


def test_pastes_agrees_with_lme4():
    """lme4 1.1-31, REML: strength ~ 1 + (1 | batch/cask)."""
    model = nb.Model(LinearMixed(), "mu ~ 1 + (1|batch/cask)")
    table = nb.summary(nb.fit(model, nb.datasets.pastes(), target_accept=0.95, random_seed=1, progressbar=False))
    printed = {"mu": 60.0533, "omega_cask mu": 2.9041, "omega_batch mu": 1.2874, "sigma_strength_a": 0.8234}
    assert all(spread_from(table, name, value) < 1 for name, value in printed.items())


def test_machines_agrees_with_bambi():
    """Workers, and machines within workers, as levels; the machine is a fixed effect."""
    model = nb.Model(LinearMixed(), "mu ~ 1 + Machine + (1|Worker) + (1|Worker:Machine)")
    settings = {"draws": 700, "target_accept": 0.95, "random_seed": 1, "progressbar": False}
    tree = nb.fit(model, nb.datasets.machines(), **settings)
    names = {f"theta_mu {m}": m for m in ("Machine[B]", "Machine[C]")} | {"theta_mu Intercept": "Intercept"}
    names |= {"omega_Worker": "1|Worker_sigma", "omega_Worker_Machine": "1|Worker:Machine_sigma"}
    alike(tree, "machines", names | {"sigma_score_a": "sigma"})


def test_orange_agrees_with_nlme():
    """nlme 3.1-162, ML: SSlogis, asymptote random by tree."""
    model = nb.Model(LogisticGrowth())
    tree = nb.fit(model, nb.datasets.orange(), target_accept=0.95, random_seed=1, progressbar=False)
    table = nb.summary(tree)
    printed = {
        "asym": 191.05,
        "xmid": 722.5595,
        "scal": 344.1685,
        "omega_Tree asym": 31.48,
        "sigma_circumference_a": 7.846,
    }
    assert all(spread_from(table, name, value) < 1 for name, value in printed.items())
    modes = {"3": -37.000226, "1": -29.403591, "5": -5.179435, "2": 31.564982, "4": 40.018271}
    eta = tree["posterior"]["eta_Tree"].mean(("chain", "draw")).squeeze()
    differences = eta.sel(Tree=list(modes)).to_numpy() - np.array(list(modes.values()))
    assert differences.std() < 2  # the trees stand to each other as in nlme; the mean goes with the asymptote


@pytest.mark.external
def test_litter_agrees_with_nlme(external):
    """nlme, ML: y ~ exp(-exp(lk) t), lk random by site and by plot in site; 22 sites, 70 plots, 364 bags."""
    frame = pd.read_csv(f"{external}/litter_nutnet.csv")
    data = nb.Dataset.from_frame(frame, outcome="y", time="t", levels=("site", "site/plot"), sort=True)
    tree = nb.fit(nb.Model(LitterDecay(), "k ~ 1 + (1|site/plot)"), data, random_seed=1, progressbar=False)
    table = nb.summary(tree)
    printed = {"k": np.exp(-1.58260), "omega_site k": 0.40948, "omega_plot k": 0.14756, "sigma_y_a": 0.11677}
    assert all(spread_from(table, name, value) < 1 for name, value in printed.items())
    halls = tree["posterior"]["eta_site"].sel(site="Halls Prairie")
    assert abs(float(halls.mean()) - 0.83005753) < float(halls.std())


@pytest.mark.external
def test_pine_needles_agree_with_nls(external):
    """nls: k 0.27802 (SE 0.02201) on 5 degrees of freedom; one bag each at 6 times, no groups.

    Under a flat prior of sigma the posterior of k is, to first order, a t of 4 degrees of freedom about it.
    """
    frame = pd.read_csv(f"{external}/pineneedles.csv").assign(site="one")
    data = nb.Dataset.from_frame(frame, outcome="Mass.remaining", time="Year", levels="site")
    table = nb.summary(nb.fit(nb.Model(LitterDecay()), data, random_seed=1, progressbar=False)).set_index("quantity")
    assert abs(table.loc["k", "mean"] - 0.27802) < 0.02201 / 2
    assert table.loc["k", "sd"] == pytest.approx(0.02201 * np.sqrt(5 / 4) * np.sqrt(4 / 2), rel=0.1)


@pytest.mark.external
def test_tumours_agree_with_saemix(external):
    """saemix: Gompertz from 1 mm^3, proportional error, alpha and beta correlated; 0.98, near the edge."""
    frame = pd.read_csv(f"{external}/tumour_lung_volume.txt", sep="\t")
    data = nb.Dataset.from_frame(frame, outcome="Observation", time="Time", levels="ID")
    model = nb.Model(
        Gompertz(),
        "v0 ~ 1", "alpha ~ 1 + (1|p|ID)", "beta ~ 1 + (1|p|ID)",
        residual=nb.Proportional(),
        priors={"theta_v0": nb.Prior("Normal", mu=0.0, sigma=1e-6)},
    )  # fmt: skip
    table = nb.summary(nb.fit(model, data, draws=2000, target_accept=0.95, random_seed=1, progressbar=False))
    printed = {"alpha": 0.77075, "beta": 0.08473, "omega_ID alpha": 0.19744, "omega_ID beta": 0.29629}
    printed |= {"sigma_Observation_b": 0.24571}
    assert all(spread_from(table, name, value) < 1 for name, value in printed.items())
    assert table.set_index("quantity").loc["corr_ID alpha, beta", "eti_ub"] > 0.9


@pytest.mark.external
@pytest.mark.parametrize("parametrisation", ["centred", "noncentred"])
def test_many_patients_agree_with_stan(external, parametrisation):
    """120 simulated patients, 2273 samples (rstan 2.21.7, centred, min ESS 2047; printed to three digits).

    From starts at zeros the same model stops in flip-flop modes; here both parametrisations reach the posterior.
    """
    frame = pd.read_csv(f"{external}/Oral_1CPT.csv").query("SD == 1 and EVID != 2")
    data = nb.Dataset.from_nonmem(frame[["ID", "TIME", "DV", "AMT", "EVID", "MDV"]])
    model = nb.Model(
        OneCompartment(absorption="first-order"),
        residual=nb.Proportional(),
        parametrisation=parametrisation,
        priors={
            "theta_ka": nb.Prior("Normal", mu=0.45, sigma=1),
            "theta_cl": nb.Prior("Normal", mu=1, sigma=1),
            "theta_v": nb.Prior("Normal", mu=3.45, sigma=1),
            "omega_id": nb.Prior("HalfNormal", sigma=1),
            "sigma_dv_b": nb.Prior("HalfCauchy", beta=2.5),
        },
    )
    tree = nb.fit(model, data, random_seed=1, progressbar=False)
    printed = {"theta_ka": (-0.0117, 0.0335), "theta_cl": (1.38, 0.0234), "theta_v": (4.19, 0.0267)}
    printed |= {"omega_id ka": (0.330, 0.0263), "omega_id cl": (0.258, 0.0176), "omega_id v": (0.279, 0.0196)}
    printed |= {"sigma_dv_b": (0.198, 0.0033)}
    for name, (mean, sd) in printed.items():
        values = tree["posterior"][name.split()[0]]
        values = values.sel(id_effect=name.split()[1]) if " " in name else values
        rounding = 0.005 * 10.0 ** np.floor(np.log10(abs(mean)))  # of the third digit
        error = 4 * np.hypot(float(mcse(values.squeeze())), sd / np.sqrt(2047))
        assert abs(float(values.mean()) - mean) < error + rounding, name
        assert float(values.std()) == pytest.approx(sd, rel=0.12), name
    assert (nb.summary(tree)["rhat"] < 1.02).all()
