"""A large population: time, memory and effective draws of a fit as the number of subjects grows.

One-compartment oral kinetics, one dose, 6 samples each, 10 % error; 2 chains of 500 + 500 draws on 2 cores, as `fit`
does it; with --store the draws go to a folder, which is deleted afterwards. Every size runs in a process of its own,
whose largest resident memory is reported. Seconds: of the pilot with the compilation, of the sampling with what `fit`
computes afterwards.

Run: python benchmarks/large.py [--subjects 500 1000 5000] [--store]
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import results
from sampling import drawn

import nlmebayes as nb
from model_zoo import OneCompartment


def measure(subjects, store):
    model = nb.Model(OneCompartment(absorption="first-order"), residual=nb.Proportional())
    values = {
        "theta_cl": [1.1], "theta_v": [3.4], "theta_ka": [0.4], "omega_id": [0.3, 0.2, 0.5], "sigma_conc_b": 0.1,
    }  # fmt: skip
    data = drawn(model, [0.5, 1.0, 2.0, 4.0, 8.0, 24.0], subjects, 300.0, values)
    began = time.perf_counter()
    sampler = nb.sampler(model, data)
    ready = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        disk = {"store": Path(folder) / "fit"} if store else {}
        tree = sampler.sample(draws=500, tune=500, chains=2, cores=2, random_seed=1, progressbar=False, **disk)
        done = time.perf_counter()
        report(subjects, store, tree, ready - began, done - ready)


def report(subjects, store, tree, ready, sampled):
    table, steps = nb.summary(tree), float(tree["sample_stats"]["n_steps"].mean())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    measured = {"ready s": ready, "sampled s": sampled, "steps a draw": steps, "GiB": peak}
    quality = {"ess_bulk": float(table["ess_bulk"].min()), "rhat": float(table["rhat"].max())}
    results.keep(f"large_{subjects}_{'disk' if store else 'memory'}", **measured, **quality)
    print(
        f"{subjects} subjects: ready {ready:.0f} s, sampled {sampled:.0f} s, {steps:.1f} steps a draw, "
        f"min bulk ESS {table['ess_bulk'].min():.0f}, max R-hat {table['rhat'].max():.3f}, {peak:.1f} GiB",
        flush=True,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--subjects", type=int, nargs="+", default=[500, 1000, 5000])
    parser.add_argument("--store", action="store_true", help="draws to disk")
    given = parser.parse_args()
    if len(given.subjects) == 1:
        measure(given.subjects[0], given.store)
        return
    for subjects in given.subjects:
        subprocess.run([sys.executable, __file__, "--subjects", str(subjects), *["--store"] * given.store], check=True)


if __name__ == "__main__":
    main()
