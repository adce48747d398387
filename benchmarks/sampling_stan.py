"""Stan on the populations of `sampling.py`, hand-written in both parametrisations: the peer's side.

Reads a JSON file of data and settings, samples, and writes the draws of the population as a .npz file. It runs in an
environment of its own (pip install pystan setuptools); `sampling.py --stan PYTHON` calls it.
"""

import json
import sys
import time

import numpy as np
import stan


def main(given, out):
    with open(given, encoding="utf-8") as file:
        work = json.load(file)
    with open(work["program"], encoding="utf-8") as file:
        program = file.read()
    data = work["data"]
    posterior = stan.build(program, data=data, random_seed=work["seed"])
    rng = np.random.default_rng(work["seed"])
    start = []
    for _ in range(work["chains"]):
        theta, omega = np.array(work["theta"]) + 0.05 * rng.standard_normal(3), np.array(work["omega"])
        z = 0.1 * rng.standard_normal((data["J"], 3))
        raw = theta + omega * z if data["centred"] else z
        start.append({"theta": theta.tolist(), "omega": omega.tolist(), "raw": raw.tolist(), "sigma": work["sigma"]})
    began = time.perf_counter()
    fit = posterior.sample(
        num_chains=work["chains"], num_warmup=work["draws"], num_samples=work["draws"], init=start, delta=work["accept"]
    )
    took = time.perf_counter() - began
    draws = {name: fit[name].reshape(-1, work["draws"], work["chains"]) for name in ("theta", "omega", "sigma")}
    np.savez(out, took=took, steps=fit["n_leapfrog__"], diverging=fit["divergent__"], **draws)


if __name__ == "__main__":
    main(*sys.argv[1:])
