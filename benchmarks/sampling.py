"""Effective draws per second and per 1000 gradients, by parametrisation: what `auto` chooses, centred, non-centred.

Models: theophylline (12 subjects); an oral population of 60 subjects with 2, 10 and 20 samples each (10 % error), the
2 samples at the same or at each subject's own times; a population with saturable elimination by differential equations
(60 subjects, 6 samples); a mixed model of three levels (Pastes). Every run: same priors, pilot, starts, chains and
draws; compiled before the clock starts. The effective sample size is the least bulk ESS over all population parameters.
Writes the table docs/benchmarks.md.

Peers, where they are asked for, run the same models with the same priors and number of chains; acceptance is aimed at
0.9. Stan (--stan) and NumPyro (--numpyro), hand-written centred and non-centred, start near the truth; PyMC's own
sampler (--pymc) takes the graph of `nb.build`, non-centred, and its own starts. Their seconds are those of warm-up and
sampling, compilation left out.

Run: python benchmarks/sampling.py [--seeds 1] [--draws 1000] [--only NAME ...] [--kinds KIND ...]
     [--pymc] [--stan PYTHON] [--numpyro PYTHON] [--peer-draws 200]
where the environments of Stan and NumPyro are made by pip install pystan setuptools, and pip install numpyro.
"""

import argparse
import json
import os
import platform
import shlex
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
import pymc as pm
from arviz_stats.base import array_stats

import nlmebayes as nb
from model_zoo import LinearMixed, MichaelisMenten, OneCompartment

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "benchmarks.md"
NEXT = "## Forecasting"  # what follows on the page, which stays
KINDS = ("auto", "centred", "noncentred")


TIMES = np.array([0.25, 0.5, 1, 2, 3, 4, 6, 8, 12, 24])


def oral(times):
    values = {
        "theta_cl": [np.log(3.0)], "theta_v": [np.log(30.0)], "theta_ka": [np.log(1.5)],
        "omega_id": [0.3, 0.2, 0.5], "sigma_conc_b": 0.1,
    }  # fmt: skip
    model = nb.Model(OneCompartment(absorption="first-order"), residual=nb.Proportional())
    return model, drawn(model, times, 60, 300.0, values)


def own_times(samples):
    """Times of each of 60 subjects, (subject, sample)."""
    rng = np.random.default_rng(5)
    return np.stack([np.sort(rng.choice(TIMES, samples, replace=False)) for _ in range(60)])


def saturable():
    values = {
        "theta_vmax": [np.log(10.0)], "theta_km": [np.log(2.0)], "theta_v": [np.log(20.0)],
        "omega_id": [0.3, 0.2, 0.2], "sigma_conc_b": 0.1,
    }  # fmt: skip
    formulas = ("vmax ~ 1 + (1|id)", "km ~ 1 + (1|id)", "v ~ 1 + (1|id)")
    model = nb.Model(MichaelisMenten(), *formulas, residual=nb.Proportional())
    return model, drawn(model, [0.5, 2.0, 6.0, 12.0, 18.0, 24.0], 60, 200.0, values)


def drawn(model, times, subjects, dose, values):
    """A dataset simulated at stated values of the population; ``times`` of all subjects, or (subject, sample)."""
    times = np.broadcast_to(times, (subjects, np.shape(times)[-1]))
    frame = pd.DataFrame({"id": np.repeat(np.arange(subjects), times.shape[1]), "time": times.ravel(), "conc": 1.0})
    doses = pd.DataFrame({"id": np.arange(subjects), "time": 0.0, "amt": dose})
    design = nb.Dataset.from_frame(frame, outcome="conc", time="time", levels="id", doses=doses)
    found = nb.simulate(model, design, draws=1, values=values, random_seed=1)["prior_predictive"]["conc"]
    return design.with_values(conc=found.to_numpy().ravel())


def theophylline():
    model = nb.Model(OneCompartment(absorption="first-order"), residual=nb.Combined())
    return model, nb.datasets.theophylline()


def pastes():
    return nb.Model(LinearMixed(), "mu ~ 1 + (1|batch/cask)"), nb.datasets.pastes()


CASES = {
    "theophylline": theophylline,
    "oral, 2 samples": lambda: oral([1.0, 12.0]),
    "oral, 2 samples at own times": lambda: oral(own_times(2)),
    "oral, 10 samples": lambda: oral(TIMES),
    "oral, 20 samples": lambda: oral(np.geomspace(0.1, 24, 20)),
    "saturable (ODE), 6 samples": saturable,
    "pastes, three levels": pastes,
}
STAN = ("oral, 10 samples", "saturable (ODE), 6 samples")
NUMPYRO = ("oral, 10 samples",)
PYMC = ("theophylline", "oral, 10 samples", "pastes, three levels")


def run(model, data, kind, draws, seeds):
    """One row for each seed."""
    stated = nb.Model(
        model.structure, *model.formulas, residual=model.residual, typical=model.typical, parametrisation=kind
    )
    sampler = nb.sampler(stated, data)
    for seed in range(1, seeds + 1):
        start = time.perf_counter()
        tree = sampler.sample(draws=draws, tune=draws, chains=2, cores=2, random_seed=seed, progressbar=False)
        took = time.perf_counter() - start
        yield row(population(tree), tree["sample_stats"]["n_steps"], tree["sample_stats"]["diverging"], took)


def population(tree):
    """Draws of every population variable, (chain, draw) each; correlations left out."""
    found = tree["posterior"]
    kept = [found[v].to_numpy() for v in found.data_vars if v.startswith(("theta_", "omega_", "sigma_"))]
    return [column for x in kept for column in np.moveaxis(x.reshape(*x.shape[:2], -1), 2, 0)]


def peer(python, script, name, kind, draws, seed):
    """One row of another program's on a population, hand-written in a language of its own."""
    with tempfile.TemporaryDirectory() as folder:
        asked, answer = Path(folder, "work.json"), Path(folder, "draws.npz")
        asked.write_text(json.dumps(work_of(name, kind, draws, seed)), encoding="utf-8")
        subprocess.run([python, str(HERE / script), str(asked), str(answer)], check=True, capture_output=True)
        found = dict(np.load(answer))
    each = [x.T for name in ("theta", "omega", "sigma") for x in found[name]]  # (chain, draw)
    return row(each, found["steps"], found["diverging"], float(found["took"]))


def work_of(name, kind, draws, seed):
    """What a peer's script is told: data, priors, starts, settings."""
    model, data = CASES[name]()
    times = np.unique(data.observations["time"])
    frame = data.observations
    given = {
        "N": len(frame), "J": int(frame["id"].nunique()), "id": (frame["id"].astype(int) + 1).tolist(),
        "y": frame["value"].tolist(), "dose": float(data.doses["amount"].iloc[0]), "centred": int(kind == "centred"),
        "middle": [float(np.log(p.typical)) for p in model.parameters],
    }  # fmt: skip
    ode = name.startswith("saturable")
    if ode:
        given |= {"M": len(times), "rtol": model.structure.rtol, "atol": model.structure.atol}
    given["time"] = (times if ode else frame["time"]).tolist()
    theta = np.log([10.0, 2.0, 20.0] if ode else [3.0, 30.0, 1.5]).tolist()
    return {
        "program": str(HERE / "stan" / f"{'saturable' if ode else 'oral'}_population.stan"), "data": given,
        "draws": draws, "chains": 2, "seed": seed, "sigma": 0.1, "theta": theta,
        "omega": [0.3, 0.2, 0.2 if ode else 0.5],
    }  # fmt: skip


def plain(name, draws, seed):
    """One row of PyMC's own sampler on the graph that `build` gives, compiled by Numba."""
    with nb.build(*CASES[name]()):
        tree = pm.sample(
            draws, tune=draws, chains=2, cores=2, target_accept=0.9, random_seed=seed, progressbar=False,
            compile_kwargs={"mode": "NUMBA"}, compute_convergence_checks=False, quiet=True,
        )  # fmt: skip
    stats, took = tree["sample_stats"], tree["posterior"].attrs["sampling_time"]
    return row(population(tree), stats["n_steps"], stats["diverging"], took)


def row(each, steps, diverging, took):
    """A row of the table from the population's draws, (chain, draw) each."""
    least, total = min(float(array_stats.ess(x)) for x in each), float(steps.sum())
    return {
        "steps per draw": total / steps.size, "min bulk ESS": least, "ESS per 1000 gradients": 1000 * least / total,
        "ESS per s": least / took, "max R-hat": max(float(array_stats.rhat(x)) for x in each),
        "divergences": int(diverging.sum()),
    }  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--only", nargs="*", default=list(CASES))
    parser.add_argument("--kinds", nargs="*", default=list(KINDS))
    parser.add_argument("--stan", metavar="PYTHON", help="of an environment with pystan")
    parser.add_argument("--numpyro", metavar="PYTHON", help="of an environment with numpyro")
    parser.add_argument("--pymc", action="store_true")
    parser.add_argument("--peer-draws", type=int, default=200)
    given = parser.parse_args()
    rows = []
    for name in given.only:
        for kind, seed, found in runs(name, given):
            rows.append({"model": name, "parametrisation": kind, "seed": seed, **found})
            print(", ".join(f"{key} {text(value)}" for key, value in rows[-1].items()), flush=True)
    rest = PAGE.read_text(encoding="utf-8").partition(NEXT)[2]
    PAGE.write_text(page(pd.DataFrame(rows), given) + (f"\n{NEXT}{rest}" if rest else ""), encoding="utf-8")


def runs(name, given):
    """(parametrisation, seed, row) of everything that is asked for on a case."""
    model, data = CASES[name]()
    for kind in given.kinds:
        for seed, found in enumerate(run(model, data, kind, given.draws, given.seeds), start=1):
            yield kind, seed, found
    if given.pymc and name in PYMC:
        yield "PyMC, noncentred", 1, plain(name, given.peer_draws, 1)
    for peers, python, script, label in (
        (STAN, given.stan, "sampling_stan.py", "Stan"), (NUMPYRO, given.numpyro, "sampling_numpyro.py", "NumPyro"),
    ):  # fmt: skip
        for kind in KINDS[1:] if python and name in peers else ():
            yield f"{label}, {kind}", 1, peer(python, script, name, kind, given.peer_draws, 1)


def text(value):
    return str(value) if not isinstance(value, float) else f"{value:.3g}" if value < 1000 else f"{value:.0f}"


def page(frame, given):
    """The table with what was run, as Markdown."""
    names = ("nlmebayes", "pymc", "pytensor", "nutpie", "numba", "numpy")
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    command = shlex.join(["python", "benchmarks/sampling.py", *sys.argv[1:]])
    lines = [
        "# Sampling",
        f"Written by `{command}`. Machine: {machine}; " + ", ".join(f"{name} {version(name)}" for name in names) + ".",
        __doc__.split("\n\n")[1].replace("\nWrites the table docs/benchmarks.md.", ""),
        f"2 chains of {given.draws} + {given.draws} draws; seconds count warm-up and what `fit` computes afterwards.",
        *(
            [f"{__doc__.split(chr(10) * 2)[2]} They take {given.peer_draws} + {given.peer_draws} draws."]
            if any((given.pymc, given.stan, given.numpyro))
            else []
        ),
    ]
    table = ["| " + " | ".join(frame.columns) + " |", "|" + "---|" * len(frame.columns)]
    table += ["| " + " | ".join(text(x) for x in row) + " |" for row in frame.itertuples(index=False)]
    return "\n\n".join([*lines, "\n".join(table)]) + "\n"


if __name__ == "__main__":
    main()
