"""Effective draws per second and per 1000 gradients, by parametrisation: what `auto` chooses, centred, non-centred.

Models: theophylline (12 subjects); an oral population of 60 subjects with 2, 10 and 20 samples each (10 % error), the
2 samples at the same or at each subject's own times; a population with saturable elimination by differential equations
(60 subjects, 6 samples); mixed models of three levels (Pastes) and of crossed ones (penicillin); with --data,
Oral_1CPT.csv of nlmixr2data in R (120 subjects, proportional error), single doses and all doses. Every run: same
priors, pilot, starts, chains and draws; compiled before the clock starts. The effective sample size is the least bulk
ESS over all population parameters.
Writes the table docs/benchmarks.md.

Peers, where they are asked for, run the same models with the same priors and number of chains. Acceptance is aimed at
0.8 by "auto" where all effects are transported, at 0.9 by all others (--peer-accept: that of Stan and NumPyro). Both,
hand-written centred and non-centred (--stan, --numpyro), start near the truth; PyMC's own sampler (--pymc) takes the
graph of `nb.build`, non-centred, and its own starts. Their seconds are those of warm-up and sampling, compilation left
out.

Run: python benchmarks/sampling.py [--seeds 1] [--draws 1000] [--only NAME ...] [--kinds KIND ...]
     [--data FOLDER] [--pymc] [--stan PYTHON] [--numpyro PYTHON] [--peer-draws 200] [--peer-accept 0.9] [--rows FILE]
where the environments of Stan and NumPyro are made by pip install pystan setuptools, and pip install numpyro. --rows
keeps every finished run in a file of JSON lines, and runs found there are not made again.
"""

import argparse
import functools
import json
import os
import platform
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
from nlmebayes.inference.sampler import UNEVEN

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "benchmarks.md"
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


def penicillin():
    return nb.Model(LinearMixed(), "mu ~ 1 + (1|plate) + (1|sample)"), nb.datasets.penicillin()


def oral_1cpt(folder, query):
    """Oral_1CPT with SS = 99, which means "none" there, as 0; a cell of ``query`` keeps its rows."""
    frame = pd.read_csv(Path(folder, "Oral_1CPT.csv")).query(query)
    columns = ["ID", "TIME", "DV", "MDV", "AMT", "EVID", "II", "CMT"]
    data = nb.Dataset.from_nonmem(frame[columns].assign(SS=frame["SS"].replace(99, 0)))
    typical = {"cl": 4.0, "v": 70.0, "ka": 1.0}
    return nb.Model(OneCompartment(absorption="first-order"), residual=nb.Proportional(), typical=typical), data


CASES = {
    "theophylline": theophylline,
    "oral, 2 samples": lambda: oral([1.0, 12.0]),
    "oral, 2 samples at own times": lambda: oral(own_times(2)),
    "oral, 10 samples": lambda: oral(TIMES),
    "oral, 20 samples": lambda: oral(np.geomspace(0.1, 24, 20)),
    "saturable (ODE), 6 samples": saturable,
    "pastes, three levels": pastes,
    "penicillin, crossed levels": penicillin,
}
ORAL = (*(name for name in CASES if name.startswith("oral")), "Oral_1CPT, single dose")
STAN = (*ORAL, "saturable (ODE), 6 samples")
NUMPYRO = ORAL
PYMC = ("theophylline", "oral, 10 samples", "pastes, three levels", "penicillin, crossed levels")


def sampler(name, kind):
    """A case, compiled in one parametrisation."""
    model, data = CASES[name]()
    return nb.sampler(model.but(parametrisation=kind), data)


def run(ready, draws, seed):
    """One row of a compiled case."""
    start = time.perf_counter()
    tree = ready.sample(draws=draws, tune=draws, chains=2, cores=2, random_seed=seed, progressbar=False)
    took = time.perf_counter() - start
    return row(population(tree), tree["sample_stats"]["n_steps"], tree["sample_stats"]["diverging"], took)


def population(tree):
    """Draws of every population variable, (chain, draw) each; correlations left out."""
    found = tree["posterior"]
    kept = [found[v].to_numpy() for v in found.data_vars if v.startswith(("theta_", "omega_", "sigma_"))]
    return [column for x in kept for column in np.moveaxis(x.reshape(*x.shape[:2], -1), 2, 0)]


def peer(python, script, name, kind, draws, seed, accept=UNEVEN):
    """One row of another program's on a population, hand-written in a language of its own."""
    with tempfile.TemporaryDirectory() as folder:
        asked, answer = Path(folder, "work.json"), Path(folder, "draws.npz")
        asked.write_text(json.dumps(work_of(name, kind, draws, seed) | {"accept": accept}), encoding="utf-8")
        subprocess.run([python, str(HERE / script), str(asked), str(answer)], check=True, capture_output=True)
        found = dict(np.load(answer))
    each = [x.T for name in ("theta", "omega", "sigma") for x in found[name]]  # (chain, draw)
    return row(each, found["steps"], found["diverging"], float(found["took"]))


def work_of(name, kind, draws, seed):
    """What a peer's script is told: data, priors, starts, settings."""
    model, data = CASES[name]()
    frame = data.observations
    ids = list(pd.unique(frame["id"]))
    given = {
        "N": len(frame), "J": len(ids), "id": [ids.index(x) + 1 for x in frame["id"]],
        "time": frame["time"].tolist(), "y": frame["value"].tolist(), "centred": int(kind == "centred"),
        "dose": data.doses.set_index("id")["amount"].loc[ids].tolist(),
        "middle": [float(np.log(p.typical)) for p in model.parameters],
    }  # fmt: skip
    ode = name.startswith("saturable")
    if ode:
        times = np.unique(frame["time"])
        given |= {"M": len(times), "time": times.tolist(), "dose": given["dose"][0]}
        given |= {"rtol": model.structure.rtol, "atol": model.structure.atol}
    theta = np.log([10.0, 2.0, 20.0] if ode else [4.0, 70.0, 1.0] if "1CPT" in name else [3.0, 30.0, 1.5]).tolist()
    return {
        "program": str(HERE / "stan" / f"{'saturable' if ode else 'oral'}_population.stan"), "data": given,
        "draws": draws, "chains": 2, "seed": seed, "sigma": 0.1, "theta": theta,
        "omega": [0.3, 0.2, 0.2 if ode else 0.5],
    }  # fmt: skip


def plain(name, draws, seed):
    """One row of PyMC's own sampler on the graph that `build` gives, compiled by Numba."""
    with nb.build(*CASES[name]()):
        tree = pm.sample(
            draws, tune=draws, chains=2, cores=2, target_accept=UNEVEN, random_seed=seed, progressbar=False,
            compile_kwargs={"mode": "NUMBA"}, compute_convergence_checks=False, quiet=True,
        )  # fmt: skip
    stats, took = tree["sample_stats"], tree["posterior"].attrs["sampling_time"]
    return row(population(tree), stats["n_steps"], stats["diverging"], took)


def row(each, steps, diverging, took):
    """A row of the table from the population's draws, (chain, draw) each."""
    least, total = min(float(array_stats.ess(x)) for x in each), float(steps.sum())
    return {
        "draws": each[0].shape[1],
        "steps per draw": total / steps.size, "min bulk ESS": least, "ESS per 1000 gradients": 1000 * least / total,
        "ESS per s": least / took, "max R-hat": max(float(array_stats.rhat(x)) for x in each),
        "divergences": int(diverging.sum()),
    }  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--seeds", type=int, default=1, help="of auto; all else runs once")
    parser.add_argument("--only", nargs="*", metavar="NAME")
    parser.add_argument("--kinds", nargs="*", default=list(KINDS))
    parser.add_argument("--stan", metavar="PYTHON", help="of an environment with pystan")
    parser.add_argument("--numpyro", metavar="PYTHON", help="of an environment with numpyro")
    parser.add_argument("--pymc", action="store_true")
    parser.add_argument("--peer-draws", type=int, default=200)
    parser.add_argument("--peer-accept", type=float, default=UNEVEN)
    parser.add_argument("--data", metavar="FOLDER", help="with Oral_1CPT.csv")
    parser.add_argument("--rows", metavar="FILE", help="keeps finished runs")
    given = parser.parse_args()
    if given.data:
        for label, query in (("single dose", "SD == 1"), ("all doses", "ID > 0")):
            CASES[f"Oral_1CPT, {label}"] = lambda query=query: oral_1cpt(given.data, query)
    rows = []
    store = Path(given.rows) if given.rows else None
    kept = store.read_text(encoding="utf-8") if store and store.exists() else ""
    done = {(x["model"], x["parametrisation"], x["seed"]): x for x in map(json.loads, kept.splitlines())}
    for name in given.only or CASES:
        for kind, seed, job in jobs(name, given):
            row = done.get((name, kind, seed)) or {"model": name, "parametrisation": kind, "seed": seed, **job()}
            if store and row not in done.values():
                with store.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")
            rows.append(row)
            print(", ".join(f"{key} {text(value)}" for key, value in row.items()), flush=True)
    PAGE.write_text(page(pd.DataFrame(rows), given), encoding="utf-8")


def jobs(name, given):
    """(parametrisation, seed, what gives the row) of everything that is asked for on a case."""
    ready = functools.cache(lambda kind: sampler(name, kind))
    for kind in given.kinds:
        for seed in range(1, (given.seeds if kind == "auto" else 1) + 1):
            yield kind, seed, lambda kind=kind, seed=seed: run(ready(kind), given.draws, seed)
    if given.pymc and name in PYMC:
        yield "PyMC, noncentred", 1, lambda: plain(name, given.peer_draws, 1)
    for names, python, script, label in (
        (STAN, given.stan, "sampling_stan.py", "Stan"), (NUMPYRO, given.numpyro, "sampling_numpyro.py", "NumPyro"),
    ):  # fmt: skip
        for kind in KINDS[1:] if python and name in names else ():
            job = functools.partial(peer, python, script, name, kind, given.peer_draws, 1, given.peer_accept)
            yield f"{label}, {kind}", 1, job


def text(value):
    return str(value) if not isinstance(value, float) else f"{value:.3g}" if value < 1000 else f"{value:.0f}"


def page(frame, given):
    """The table with what was run, as Markdown."""
    names = ("nlmebayes", "pymc", "pytensor", "nutpie", "numba", "numpy")
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    places = {getattr(given, o): o.upper() for o in ("stan", "numpyro", "data", "rows") if getattr(given, o)}
    command = " ".join(["python benchmarks/sampling.py", *(str(places.get(x, x)) for x in sys.argv[1:])])
    lines = [
        "# Benchmarks: sampling",
        f"Written by `{command}`. Machine: {machine}; "
        + ", ".join([*(f"{name} {version(name)}" for name in names), *others(given)])
        + ".",
        __doc__.split("\n\n")[1].replace("\nWrites the table docs/benchmarks.md.", ""),
        "2 chains, as many draws of warm-up as are kept; seconds count warm-up and what `fit` computes afterwards.",
        *([__doc__.split("\n\n")[2]] if any((given.pymc, given.stan, given.numpyro)) else []),
    ]
    said = "ESS per second of auto by that of the better parametrisation of each program (ours: centred, non-centred):"
    rows = frame.assign(**{"max R-hat": frame["max R-hat"].map("{:.4f}".format)})
    return "\n\n".join([*lines, table(rows), said, table(ratios(frame))]) + "\n"


def others(given):
    """Names and versions of the programs in environments of their own."""
    for python, name in ((given.stan, "pystan"), (given.numpyro, "numpyro")):
        if python:
            asked = f"from importlib.metadata import version; print('{name}', version('{name}'))"
            yield subprocess.run([python, "-c", asked], check=True, capture_output=True, text=True).stdout.strip()


def table(frame):
    rows = ["| " + " | ".join(frame.columns) + " |", "|" + "---|" * len(frame.columns)]
    rows += ["| " + " | ".join(text(x) for x in row) + " |" for row in frame.itertuples(index=False)]
    return "\n".join(rows)


def ratios(frame):
    """ESS per second of "auto" over that of the better parametrisation of each program; means of the seeds."""
    program = frame["parametrisation"].str.partition(", ")[0].replace(dict.fromkeys(KINDS[1:], "ours"))
    mean = (
        frame.assign(program=program).groupby(["model", "program", "parametrisation"], sort=False)["ESS per s"].mean()
    )
    best = mean.groupby(["model", "program"], sort=False).max().unstack("program")
    found = best[["auto"]].join(best.drop(columns="auto").rdiv(best["auto"], axis=0))
    found = found.rename(columns={"auto": "ESS per s of auto"}).reindex(frame["model"].unique())
    return found.reset_index().astype(object).where(found.reset_index().notna(), "")


if __name__ == "__main__":
    main()
