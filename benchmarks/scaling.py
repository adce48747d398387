"""Cost of one log-density with its gradient as the events of a subject grow, and memory of a large population.

One compartment with first-order absorption, the parametrisation and the priors of `closed_form.py`; made-up data.

- cost: one subject, without random effects, with 50 doses and 50 samples against 500 and 500. Linear is 10; at most 12
  is wanted.
- memory: 5,000 subjects with 6 samples and 10 doses each, read, built, compiled and evaluated once in a process of its
  own: its largest resident memory, below 1 GiB, and that of the imports alone.

Run: python benchmarks/scaling.py
"""

import os
import platform
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
from closed_form import PARAMETERS, PRIORS, Density, compiled, print_machine

import nlmebayes as nb
from model_zoo import OneCompartment

SIZES = (50, 500)
LARGEST_RATIO = 12.0
POPULATION = {"subjects": 5000, "samples": 6, "doses": 10}
LARGEST_MEMORY = 1024.0  # MiB
CHILD = "memory"  # the argument that makes this script the process whose memory is measured


def main():
    print_machine()
    print("parametrisation: non-centred log-normal cl, v, ka, diagonal Omega; error proportional")
    per_call = cost()
    ratio = per_call[SIZES[1]] / per_call[SIZES[0]]
    rows = [(f"one subject, {n} doses, {n} samples", f"{per_call[n] * 1e6:.0f} µs", "") for n in SIZES]
    rows.append((f"ratio for {SIZES[1] / SIZES[0]:g} times the events", f"{ratio:.1f}", f"<= {LARGEST_RATIO:g}"))
    child = subprocess.run([sys.executable, __file__, CHILD], check=True, capture_output=True, text=True)
    imported, peak, seconds = (float(value) for value in child.stdout.split()[-3:])
    many = ", ".join(f"{count:,} {name}" for name, count in POPULATION.items())
    rows += [
        (f"{many} each: largest memory", f"{peak:.0f} MiB", f"< {LARGEST_MEMORY:g}"),
        ("of which the imports alone", f"{imported:.0f} MiB", ""),
        ("time of reading, building, compiling, one gradient", f"{seconds:.1f} s", ""),
    ]
    print(pd.DataFrame(rows, columns=["what", "seen", "wanted"]).to_string(index=False))
    return 0 if ratio <= LARGEST_RATIO and peak < LARGEST_MEMORY else 1


def population(subjects, samples, doses, seed=1):
    """An event table: doses every 12 h, samples at random times from the first dose to a day after the last."""
    rng = np.random.default_rng(seed)
    given = np.tile(12.0 * np.arange(doses), (subjects, 1))
    taken = np.sort(rng.uniform(0.1, 12.0 * doses + 12.0, (subjects, samples)), axis=1)
    each = []
    for times, what in (
        (given, {"DV": np.nan, "AMT": 100.0, "EVID": 1}),
        (taken, {"DV": rng.lognormal(0.5, 0.3, taken.size), "AMT": 0.0, "EVID": 0}),
    ):
        who = np.repeat(np.arange(1, subjects + 1), times.shape[1])
        each.append(pd.DataFrame({"ID": who, "TIME": times.ravel(), **what}))
    return pd.concat(each).sort_values(["ID", "TIME", "EVID"], ascending=[True, True, False], ignore_index=True)


def density(frame):
    """The density that nutpie samples, at a point; random effects where there are several subjects."""
    several = frame["ID"].nunique() > 1
    model = nb.Model(
        OneCompartment(absorption="first-order", flip_flop=True),
        *(f"{name} ~ 1 + (1|id)" if several else f"{name} ~ 1" for name in PARAMETERS),
        residual=nb.Proportional(),
        priors={name: prior for name, prior in PRIORS.items() if several or name != "omega_id"},
    )
    call, n = compiled(nb.build(model, nb.Dataset.from_nonmem(frame)))
    return Density(("all",), call, n).at({"all": np.full(n, 0.1)})


def cost(rounds=41, calls=100):
    """Median seconds of one evaluation by number of doses and samples; the sizes alternate."""
    evaluations = {n: density(population(1, n, n)) for n in SIZES}
    seen = {n: [] for n in SIZES}
    for _ in range(rounds):
        for n, evaluate in evaluations.items():
            start = time.perf_counter()
            for _ in range(calls):
                evaluate()
            seen[n].append((time.perf_counter() - start) / calls)
    return {n: float(np.median(times)) for n, times in seen.items()}


def memory():
    """Print the largest resident memory (MiB) after the imports and after one gradient, and the seconds in between."""
    before = largest_memory()
    start = time.perf_counter()
    value, gradient = density(population(**POPULATION))()
    if not (np.isfinite(value) and np.isfinite(gradient).all()):
        raise FloatingPointError("the log-density of the large population is not finite")
    print(before, largest_memory(), time.perf_counter() - start)


def largest_memory():
    """Largest resident memory of this process so far, MiB."""
    status = Path("/proc/self/status")
    if status.exists():  # Linux: there getrusage counts what the parent held when it started this process
        return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM")) / 1024
    import resource  # noqa: PLC0415 (not on Windows)

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if platform.system() == "Darwin" else 2**10)


if __name__ == "__main__":
    os.environ.setdefault("NUMBA_NUM_THREADS", "1")
    sys.exit(memory() if sys.argv[1:] == [CHILD] else main())
