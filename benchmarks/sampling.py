"""Effective draws per second and per 1000 gradients, by parametrisation: what `auto` chooses, centred, non-centred.

Models: theophylline (12 subjects); an oral population of 60 subjects with 2, 10 and 20 samples each (10 % error); a
population with saturable elimination by differential equations (60 subjects, 6 samples); a mixed model of three levels
(Pastes). Every run: same priors, pilot, starts, chains and draws; compiled before the clock starts. The effective
sample size is the least bulk ESS over all population parameters. Writes the table docs/benchmarks.md.

With --stan, Stan (pystan, in an environment of its own: pip install pystan setuptools) samples two of the populations
too, hand-written centred and non-centred: same priors, data, tolerances and number of chains, acceptance aimed at 0.9,
starts near the truth. Its seconds are those of sampling alone.

Run: python benchmarks/sampling.py [--seeds 1] [--draws 1000] [--only NAME ...] [--stan PYTHON] [--stan-draws 200]
"""

import argparse
import json
import os
import platform
import subprocess
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
from arviz_stats.base import array_stats

import nlmebayes as nb
from model_zoo import LinearMixed, MichaelisMenten, OneCompartment

PAGE = Path(__file__).parent.parent / "docs" / "benchmarks.md"
KINDS = ("auto", "centred", "noncentred")


def oral(samples):
    times = {2: [1.0, 12.0], 10: [0.25, 0.5, 1, 2, 3, 4, 6, 8, 12, 24]}.get(samples, np.geomspace(0.1, 24, samples))
    values = {
        "theta_cl": [np.log(3.0)], "theta_v": [np.log(30.0)], "theta_ka": [np.log(1.5)],
        "omega_id": [0.3, 0.2, 0.5], "sigma_conc_b": 0.1,
    }  # fmt: skip
    model = nb.Model(OneCompartment(absorption="first-order"), residual=nb.Proportional())
    return model, drawn(model, times, 60, 300.0, values)


def saturable():
    values = {
        "theta_vmax": [np.log(10.0)], "theta_km": [np.log(2.0)], "theta_v": [np.log(20.0)],
        "omega_id": [0.3, 0.2, 0.2], "sigma_conc_b": 0.1,
    }  # fmt: skip
    formulas = ("vmax ~ 1 + (1|id)", "km ~ 1 + (1|id)", "v ~ 1 + (1|id)")
    model = nb.Model(MichaelisMenten(), *formulas, residual=nb.Proportional())
    return model, drawn(model, [0.5, 2.0, 6.0, 12.0, 18.0, 24.0], 60, 200.0, values)


def drawn(model, times, subjects, dose, values):
    """A dataset simulated at stated values of the population."""
    n = len(times)
    frame = pd.DataFrame({"id": np.repeat(np.arange(subjects), n), "time": np.tile(times, subjects), "conc": 1.0})
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
    "oral, 2 samples": lambda: oral(2),
    "oral, 10 samples": lambda: oral(10),
    "oral, 20 samples": lambda: oral(20),
    "saturable (ODE), 6 samples": saturable,
    "pastes, three levels": pastes,
}
STAN = ("oral, 10 samples", "saturable (ODE), 6 samples")


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
        table, stats = nb.summary(tree), tree["sample_stats"]
        steps, least = float(stats["n_steps"].sum()), float(table["ess_bulk"].min())
        yield {
            "steps per draw": steps / stats["n_steps"].size, "min bulk ESS": least, "ESS per 1000 gradients":
            1000 * least / steps, "ESS per s": least / took, "max R-hat": float(table["rhat"].max()),
            "divergences": int(stats["diverging"].sum()),
        }  # fmt: skip


def stan(python, name, kind, draws, seed):
    """One row of Stan's on a population, with the programs in the folder stan."""
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
    truth = {"theta": np.log([10.0, 2.0, 20.0] if ode else [3.0, 30.0, 1.5]), "omega": [0.3, 0.2, 0.2 if ode else 0.5]}
    program = Path(__file__).parent / "stan" / f"{'saturable' if ode else 'oral'}_population.stan"
    work = {
        "program": str(program), "data": given, "draws": draws, "chains": 2, "seed": seed, "sigma": 0.1,
        "theta": list(truth["theta"]), "omega": truth["omega"],
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        asked, answer = Path(folder, "work.json"), Path(folder, "draws.npz")
        asked.write_text(json.dumps(work), encoding="utf-8")
        script = Path(__file__).parent / "sampling_stan.py"
        subprocess.run([python, str(script), str(asked), str(answer)], check=True, capture_output=True)
        found = dict(np.load(answer))
    each = [x.T for name in ("theta", "omega", "sigma") for x in found[name]]  # (chain, draw)
    least, steps = min(float(array_stats.ess(x)) for x in each), float(found["steps"].sum())
    return {
        "steps per draw": steps / found["steps"].size, "min bulk ESS": least, "ESS per 1000 gradients":
        1000 * least / steps, "ESS per s": least / float(found["took"]),
        "max R-hat": max(float(array_stats.rhat(x)) for x in each), "divergences": int(found["diverging"].sum()),
    }  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--only", nargs="*", default=list(CASES))
    parser.add_argument("--stan", metavar="PYTHON", help="of an environment with pystan")
    parser.add_argument("--stan-draws", type=int, default=200)
    given = parser.parse_args()
    rows = []
    for name in given.only:
        model, data = CASES[name]()
        for kind in KINDS:
            for seed, row in enumerate(run(model, data, kind, given.draws, given.seeds), start=1):
                rows.append({"model": name, "parametrisation": kind, "seed": seed, **row})
                print(", ".join(f"{key} {text(value)}" for key, value in rows[-1].items()), flush=True)
        if given.stan and name in STAN:
            for kind in KINDS[1:]:
                row = stan(given.stan, name, kind, given.stan_draws, 1)
                rows.append({"model": name, "parametrisation": f"Stan, {kind}", "seed": 1, **row})
                print(", ".join(f"{key} {text(value)}" for key, value in rows[-1].items()), flush=True)
    PAGE.write_text(page(pd.DataFrame(rows), given), encoding="utf-8")


def text(value):
    return str(value) if not isinstance(value, float) else f"{value:.3g}" if value < 1000 else f"{value:.0f}"


def page(frame, given):
    """The table with what was run, as Markdown."""
    names = ("nlmebayes", "pymc", "pytensor", "nutpie", "numba", "numpy")
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    command = f"python benchmarks/sampling.py --draws {given.draws} --seeds {given.seeds}"
    lines = [
        "# Sampling",
        f"Written by `{command}`. Machine: {machine}; " + ", ".join(f"{name} {version(name)}" for name in names) + ".",
        __doc__.split("\n\n")[1].replace(" Writes the table docs/benchmarks.md.", ""),
        f"2 chains of {given.draws} + {given.draws} draws; seconds count warm-up and what `fit` computes afterwards.",
    ]
    table = ["| " + " | ".join(frame.columns) + " |", "|" + "---|" * len(frame.columns)]
    table += ["| " + " | ".join(text(x) for x in row) + " |" for row in frame.itertuples(index=False)]
    return "\n\n".join([*lines, "\n".join(table)]) + "\n"


if __name__ == "__main__":
    main()
