"""Models whose truth is drawn from the prior and fitted, again and again; ranks of the truth, also as a script.

Simulation-based calibration (Talts et al. 2018, arXiv:1804.06788): the rank of a true value among draws of its
posterior is uniform. One replicate is a dataset simulated from the prior and fitted by 2 chains of 400 + 380 draws, of
which 19 that are nearly independent are kept. Replicates are shared out among processes, each of which compiles once.

Run: python tests/recovery.py [CASE ...] [-n WORKERS] [--replicates 200] [--folder FOLDER]
Each replicate is a file of the folder; a run goes on from those that are there.
"""

import argparse
import json
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd
import pytensor.tensor as pt
from scipy import stats

import nlmebayes as nb
from model_zoo import (
    AntibodyDecay,
    CarTExpansion,
    CarTPredatorPrey,
    Crossover,
    DoseResponseNested,
    Emax,
    Gompertz,
    IndirectResponse,
    LatentConstructs,
    LinearMixed,
    LitterDecay,
    LogisticGrowth,
    MichaelisMenten,
    MultiCentre,
    OneCompartment,
    RandomSlopes,
    ReliabilityICC,
    TargetMediatedDisposition,
    TrajectoryPredictor,
    TreatmentHeterogeneity,
    TumourGrowth,
    TumourGrowthInhibition,
)
from nlmebayes.structure.compartments import outcome_names

REPLICATES = 24


def design(times, subjects, **columns):
    frame = pd.DataFrame({"id": np.repeat(np.arange(subjects), len(times)), "time": np.tile(times, subjects)})
    return frame.assign(y=np.arange(float(len(frame))), **columns)


def dataset(frame, levels="id", **options):
    return nb.Dataset.from_frame(frame, outcome="y", time="time", levels=levels, **options)


def half(scale):
    return nb.Prior("HalfNormal", sigma=scale)


def normal(mu, sigma):
    return nb.Prior("Normal", mu=mu, sigma=sigma)


def one_compartment():
    subjects = np.arange(20)
    doses = pd.DataFrame({"id": np.repeat(subjects, 2), "time": np.tile([0.0, 12.0], 20), "amt": 320.0})
    priors = {"theta_cl": normal(1.0, 0.3), "theta_v": normal(3.4, 0.3), "theta_ka": normal(0.8, 0.3)}
    priors |= {"omega_id": half(0.3), "sigma_y_a": half(0.5), "sigma_y_b": half(0.2)}
    structure = OneCompartment(absorption="first-order", flip_flop=True)
    model = nb.Model(structure, residual=nb.Combined(), priors=priors)
    return model, dataset(design([0.5, 1, 2, 4, 8, 11.5, 13, 18, 24], 20), doses=doses)


def emax():
    model = nb.Model(
        Emax(), "emax ~ 1 + (1|p|id)", "ec50 ~ 1 + (1|p|id)", "e0 ~ 1",
        residual=nb.Additive(), inputs={"concentration": "time"},
        priors={"theta_e0": normal(5, 2), "theta_emax": normal(4, 0.3), "theta_ec50": normal(1.5, 0.4)}
        | {"omega_id": half(0.4), "sigma_y_a": half(3.0)},
    )  # fmt: skip
    return model, dataset(design([0, 1, 2, 5, 10, 30, 100], 24))


def linear_mixed():
    frame = design(np.arange(6.0), 30).assign(site=lambda x: x["id"] // 3)
    priors = {"theta_mu": normal({"Intercept": 2, "time": 0}, {"Intercept": 2, "time": 1})}
    priors |= {"omega_site": half(1.0), "omega_id": half({"mu": 1.0, "mu:time": 0.5}), "sigma_y_a": half(1.0)}
    model = nb.Model(LinearMixed(), "mu ~ 1 + time + (1|site) + (1 + time|id)", priors=priors)
    return model, dataset(frame, levels=("site", "id"))


def gompertz():
    priors = {"theta_v0": normal(0, 0.1), "theta_alpha": normal(-0.25, 0.15), "theta_beta": normal(-2.5, 0.2)}
    priors |= {"omega_id": half(0.15), "sigma_y_b": half(0.3)}
    return nb.Model(Gompertz(), residual=nb.Proportional(), priors=priors), dataset(design(np.arange(4.0, 25, 3), 15))


def logistic_growth():
    priors = {"theta_asym": normal(200, 30), "theta_xmid": normal(6.55, 0.2), "theta_scal": normal(5.85, 0.2)}
    priors |= {"omega_id": half(40), "sigma_y_a": half(10)}
    return nb.Model(LogisticGrowth(), priors=priors), dataset(design(np.linspace(100, 1600, 8), 15))


def litter_decay():
    frame = design([0.5, 1, 2, 3, 5, 7], 30).assign(site=lambda x: x["id"] // 3)
    priors = {"theta_k": normal(-1.2, 0.5), "omega_site": half(0.5), "omega_id": half(0.3), "sigma_y_a": half(0.1)}
    return nb.Model(LitterDecay(), priors=priors), dataset(frame, levels=("site", "id"))


def mechanistic(structure, times, varying, doses=None, subjects=16):
    """A `System` with effects of two parameters and priors around its typical values; combined error."""
    own, ids = outcome_names(structure) or ("y",), np.arange(subjects)
    frame = pd.DataFrame({"id": np.repeat(ids, len(times)), "time": np.tile(times, subjects)})
    frame = frame.assign(**{name: np.arange(1.0, len(frame) + 1) for name in own})
    if doses is not None:
        doses = doses.merge(pd.DataFrame({"id": ids}), how="cross")
    data = nb.Dataset.from_frame(frame, outcome=own, time="time", levels="id", doses=doses)
    priors = {f"theta_{p.name}": normal(float(p.scale.forward(p.typical)), 0.2) for p in structure.parameters}
    priors |= {"omega_id": half(0.3)} | {f"sigma_{name}_b": half(0.2) for name in own}
    priors |= {f"sigma_{name}_a": half(0.5) for name in own}
    formulas = (f"{p.name} ~ 1" + (" + (1|id)" if p.name in varying else "") for p in structure.parameters)
    residual = {name: nb.Combined() for name in own}
    return nb.Model(structure, *formulas, residual=residual, priors=priors), data


def doses(**columns):
    return pd.DataFrame({"time": 0.0} | columns, index=[0])


def michaelis_menten():
    times = [0.5, 4, 12, 24]
    return mechanistic(MichaelisMenten(), times, ("vmax", "v"), doses(amt=1000.0))


def target_mediated_disposition():
    times = [0.1, 1, 3, 7, 14, 28]
    return mechanistic(TargetMediatedDisposition(), times, ("cl", "ksyn"), doses(amt=100.0))


def indirect_response():
    return mechanistic(IndirectResponse(), [1.0, 6, 12, 24, 48, 96], ("cl", "kout"), doses(amt=300.0))


def tumour_growth():
    return mechanistic(TumourGrowth(), [0.0, 10, 20, 40, 60, 90], ("y0", "r"))


def tumour_growth_inhibition():
    times = [1.0, 3, 6, 9, 14, 21]
    return mechanistic(TumourGrowthInhibition(), times, ("y0", "k2"), doses(amt=30.0, addl=4, ii=1.0))


def car_t_predator_prey():
    return mechanistic(CarTPredatorPrey(), [1.0, 4, 8, 14, 21, 28], ("kill", "expansion"), doses(amt=0.5))


def car_t_expansion():
    return mechanistic(CarTExpansion(), [1.0, 4, 8, 14, 28, 90, 300], ("c0", "alpha"))


def antibody_decay():
    return mechanistic(AntibodyDecay(), [0.0, 14, 28, 60, 120, 240], ("a0", "thalf"))


def litter_of_two_pools():
    frame = design([0.25, 0.5, 1, 2, 4, 8], 24).assign(site=lambda x: x["id"] // 4)
    priors = {"theta_k": normal(0.5, 0.3), "theta_a": normal(0.0, 0.3), "theta_k_slow": normal(-2.3, 0.3)}
    priors |= {"omega_site": half(0.3), "omega_id": half(0.2), "sigma_y_a": half(0.05)}
    formulas = ("k ~ 1 + (1|site/id)", "a ~ 1", "k_slow ~ 1")
    return nb.Model(LitterDecay("double"), *formulas, priors=priors), dataset(frame, levels=("site", "id"))


def declared(structure, frame, priors, levels, **options):
    """The model that a class of linear predictors declares."""
    data = nb.Dataset.from_frame(frame, outcome="y", levels=levels, duplicates="keep", **options)
    return nb.Model(structure, *structure.formulas, priors=priors), data


def crossover():
    words = ("ABDC", "BCAD", "CDBA", "DACB")
    rows = [(i, words[i % 4], k + 1.0, words[i % 4][k]) for i in range(24) for k in range(4) for _ in range(2)]
    frame = pd.DataFrame(rows, columns=["subject", "sequence", "period", "treatment"])
    structure = Crossover(carry="carry", by_period=True)
    frame = frame.assign(carry=structure.carried(frame, "A"), y=np.arange(float(len(frame)))).drop(range(0, 150, 13))
    priors = {"theta_mu": normal(0, 1), "omega_subject": half(1.0), "omega_subject_period": half(0.5)}
    return declared(structure, frame, priors | {"sigma_y_a": half(0.5)}, "subject")


def random_slopes():
    frame = design([0.0, 1, 0, 1, 0, 1], 30).rename(columns={"id": "donor", "time": "condition"})
    frame["age"] = np.random.default_rng(1).normal(size=30).round(2)[frame["donor"]]
    priors = {"theta_mu": normal(0, 1), "omega_donor": half(1.0), "sigma_y_a": half(1.0)}
    return declared(RandomSlopes(moderator="age"), frame, priors, "donor")


def multi_centre():
    frame = design(np.arange(8.0), 20).rename(columns={"id": "site"})
    frame = frame.assign(treatment=np.where(frame["time"] % 2, "new", "control"))
    priors = {"theta_mu": normal(0, 1), "omega_site": half(1.0), "sigma_y_a": half(1.0)}
    return declared(MultiCentre(), frame, priors, "site")


def reliability_icc():
    features = ("one", "two", "three")
    frame = design([0.0, 1, 2], 25).assign(**{f: np.arange(75.0) for f in features}).drop(columns="y")
    frame.loc[::7, "two"] = np.nan
    data = nb.Dataset.from_frame(frame, outcome=features, time="time", levels="id")
    priors = {f"theta_mu_{f}": normal(0, 1) for f in features} | {f"sigma_{f}_a": half(1.0) for f in features}
    return nb.Model(ReliabilityICC(features), priors=priors | {"omega_id": half(1.0)}), data


def dose_response():
    frame = design([0.0, *np.geomspace(0.01, 30, 8)], 24).rename(columns={"id": "plate", "time": "dose"})
    frame["patient"] = frame["plate"] // 2
    priors = {"theta_top": normal(1.0, 0.1), "theta_bottom": normal(0.2, 0.1), "theta_ec50": normal(-0.7, 0.5)}
    priors |= {"theta_hill": normal(0.3, 0.3), "omega_patient": half(0.5), "omega_plate": half(0.2)}
    formulas = ("top ~ 1", "bottom ~ 1", "ec50 ~ 1 + (1|patient/plate)", "hill ~ 1")
    model = nb.Model(DoseResponseNested(), *formulas, priors=priors | {"sigma_y_a": half(0.1)})
    return model, nb.Dataset.from_frame(frame, outcome="y", levels=("patient", "plate"), inputs=["dose"])


def treatment_heterogeneity():
    frame = design(np.arange(10.0), 16).rename(columns={"id": "centre"})
    frame = frame.assign(treated=frame["time"] % 2, score=frame["time"] // 2 - 2.0)
    priors = {"theta_risk": normal({"Intercept": -1.4, "score": 0.7}, 0.3), "theta_ratio": normal(-0.3, 0.3)}
    priors |= {"omega_centre": half(0.5), "sigma_y_a": half(0.05)}
    formulas = "risk ~ 1 + score + (1|centre)", "ratio ~ 1"
    model = nb.Model(TreatmentHeterogeneity(), *formulas, residual=nb.Additive(), priors=priors)
    return model, nb.Dataset.from_frame(frame, outcome="y", levels="centre", inputs=["treated"])


def latent_constructs():
    structure = LatentConstructs()
    frame = design(np.arange(3.0), 30).drop(columns=["time", "y"]).rename(columns={"id": "clinic"})
    frame = frame.assign(provider=np.arange(90), **dict.fromkeys(structure.outcomes, np.arange(90.0)))
    frame.loc[::8, "f2"] = np.nan
    data = nb.Dataset.from_frame(frame, outcome=structure.outcomes, levels=("clinic", "provider"))
    priors = {f"theta_{p.name}": normal(0, 0.5) for p in structure.parameters if p.name not in structure.items}
    priors |= {f"theta_{p.name}": normal(0, 0.3) for p in structure.parameters if p.name.startswith("lambda_")}
    priors |= {"omega_clinic": half(0.7), "omega_provider": half(1.0)}
    return nb.Model(structure, priors=priors | {f"sigma_{name}_a": half(1.0) for name in structure.outcomes}), data


def trajectory_predictor():
    frame = design([0.0, 1, 2, 3], 60).rename(columns={"y": "feature"})
    frame["response"] = np.where(frame["time"] == 0, frame["id"] % 2.0, np.nan)
    data = nb.Dataset.from_frame(frame, outcome=("feature", "response"), time="time", levels="id")
    priors = {f"theta_{name}": normal(0, 1) for name in ("level", "slope", "log_odds")}
    priors |= {"theta_per_slope": normal(0, 2), "omega_id": half(1.0), "sigma_feature_a": half(1.0)}
    residual = {"feature": nb.Additive(), "response": nb.Bernoulli()}
    formulas = ("level ~ 1 + (1|p|id)", "slope ~ 1 + (1|p|id)")
    return nb.Model(TrajectoryPredictor(), *formulas, residual=residual, priors=priors), data


CASES = [
    one_compartment, emax, linear_mixed, gompertz, logistic_growth, litter_decay, michaelis_menten,
    target_mediated_disposition, indirect_response, tumour_growth, tumour_growth_inhibition, car_t_predator_prey,
    car_t_expansion, antibody_decay, litter_of_two_pools, crossover, random_slopes, multi_centre, reliability_icc,
    dose_response, treatment_heterogeneity, latent_constructs, trajectory_predictor,
]  # fmt: skip


def refitted(case, replicates, seed, which=None, **settings):
    """Truth and posterior of the population, datasets, of replicates whose truth is drawn from the prior; of those
    ``which`` alone, if they are given."""
    model, data = case()
    simulated = nb.simulate(model, data, draws=replicates, random_seed=seed)
    truths = simulated["prior"].to_dataset()
    truths = truths[[v for v in truths if v.startswith(("theta_", "omega_", "sigma_"))]]

    def values(k):
        return {name: simulated["prior_predictive"][name][0, k].to_numpy() for name in data.outcomes}

    compiled = nb.sampler(model, data.with_values(**values(0)))
    for k in range(replicates) if which is None else which:
        tree = compiled.with_values(**values(k)).sample(
            chains=2, target_accept=0.95, random_seed=k, progressbar=False, **settings
        )
        yield truths.isel(chain=0, draw=k), tree["posterior"].to_dataset()[list(truths)]


def three_levels():
    """Six sites with three subjects each, two visits, two records each."""
    visit = np.arange(72) // 2
    frame = pd.DataFrame({"visit": visit, "id": visit // 2, "site": visit // 6, "y": np.arange(72.0)})
    priors = {"theta_mu": normal(2, 2), "sigma_y_a": half(1.0)}
    priors |= {"omega_site": half(1.0), "omega_id": half(1.0), "omega_visit": half(1.0)}
    model = nb.Model(LinearMixed(), "mu ~ 1 + (1|site/id/visit)", priors=priors)
    return model, nb.Dataset.from_frame(frame, outcome="y", levels=("site", "id", "visit"))


def saturable():
    return mechanistic(MichaelisMenten(), [0.5, 4, 12, 24], ("vmax",), doses(amt=1000.0), subjects=10)


class Shedding(nb.System):
    """Elimination that is faster above a threshold of the concentration."""

    states = ("central",)
    parameters = (
        nb.Parameter("fast", "1/h", typical=0.3), nb.Parameter("slow", "1/h", typical=0.05),
        nb.Parameter("threshold", "mg/L", typical=5.0), nb.Parameter("v", "L", typical=10.0),
    )  # fmt: skip

    def rhs(self, t, y, p):
        return {"central": -pt.switch(y.central > p.threshold * p.v, p.fast, p.slow) * y.central}

    def outcomes(self, t, y, p):
        return {"conc": y.central / p.v}


def threshold():
    """An event of the state in every subject, at a time that depends on all its parameters."""
    return mechanistic(Shedding(), [0.5, 2, 4, 8, 24], ("fast", "threshold"), doses(amt=100.0), subjects=5)


CALIBRATED = [one_compartment, three_levels, saturable, threshold, trajectory_predictor]
BINS = 20


def each_ranked(case, replicates, which=None, **settings):
    """Ranks of the truth among 19 draws, 0 to 19, by variable and coordinate, of each replicate."""
    for truth, drawn in refitted(case, replicates, 7, which, draws=380, tune=400, **settings):
        few = drawn.stack(s=("chain", "draw")).isel(s=slice(20, None, 40))
        below = {name: np.atleast_1d((few[name] < truth[name]).sum("s").to_numpy()).ravel() for name in truth}
        yield {f"{name}[{i}]": int(rank) for name, all_of in below.items() for i, rank in enumerate(all_of)}


def gathered(each):
    """Lists of ranks by variable and coordinate."""
    return pd.DataFrame(each).to_dict("list")


def ranks(case, replicates):
    return gathered(each_ranked(case, replicates))


def p_values(found):
    """Of the uniformity of ranks, by variable and coordinate: chi-square in ten bins, fewer for few replicates."""
    bins = {key: min(10, len(each) // 5) for key, each in found.items()}
    counts = {k: np.histogram(each, bins[k], (-0.5, BINS - 0.5))[0] for k, each in found.items()}
    widths = {k: np.histogram(np.arange(BINS), bins[k], (-0.5, BINS - 0.5))[0] / BINS for k in found}
    return {k: float(stats.chisquare(counts[k], len(found[k]) * widths[k]).pvalue) for k in found}


def _share(name, replicates, which, folder):
    """Write the ranks that one process finds, a file a replicate."""
    for k, found in zip(which, each_ranked(globals()[name], replicates, which, cores=1), strict=True):
        (folder / f"{k}.json").write_text(json.dumps(found), encoding="utf-8")


def resumed(name, replicates, workers, folder):
    """Ranks of so many replicates, by variable and coordinate; those that a file holds are not found anew."""
    folder.mkdir(parents=True, exist_ok=True)
    left = [k for k in range(replicates) if not (folder / f"{k}.json").exists()]
    shares = [left[i::workers] for i in range(workers) if left[i::workers]]
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        running = [pool.submit(_share, name, replicates, which, folder) for which in shares]
        for each in running:
            each.result()
    return gathered(json.loads((folder / f"{k}.json").read_text(encoding="utf-8")) for k in range(replicates))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = [case.__name__ for case in CALIBRATED]
    parser.add_argument("cases", nargs="*", metavar="CASE", help=", ".join(names))
    parser.add_argument("-n", "--workers", type=int, default=2)
    parser.add_argument("--replicates", type=int, default=200)
    parser.add_argument("--folder", type=Path, default=Path("build/ranks"))
    given = parser.parse_args()
    if set(given.cases) - set(names):
        parser.error(f"no such case; there are {', '.join(names)}")
    passed = True
    for name in given.cases or names:
        began = time.perf_counter()
        found = resumed(name, given.replicates, given.workers, given.folder / f"{name}-{given.replicates}")
        p = p_values(found)
        passed &= min(p.values()) > 0.01 / len(p)
        took = time.perf_counter() - began
        print(f"{name}: {given.replicates} replicates, {given.workers} processes, {took:.0f} s; p-values of ranks:")
        print("  " + ", ".join(f"{key} {x:.3f}" for key, x in p.items()), flush=True)
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
