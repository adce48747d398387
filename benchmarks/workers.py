"""What work on many workers costs: processor time of a patient, efficiency of two processes, a cost model.

Processor time, user and system, counts; it hardly depends on what else a machine does, the time on the clock does.

- patient: simulated patients with four samples of an oral one-compartment drug (closed form), and of one with saturable
  elimination (differential equations), under one published population and under 1,000 of its uncertainty; first a few
  patients to warm up. Modes are found for a hundred patients at once, the other methods take one at a time.
- efficiency: the same work in this process and on a `LocalCluster` of two processes with one thread each. Overhead is
  what client, scheduler and workers take beyond what this process takes alone, after each worker has done some; the
  efficiency is the one by the other, of the processors' time, and half the ratio of the times on the clock.
- fit: theophylline, 4 chains of 500 + 500 draws; every worker compiles or loads the model.
- cost: patients x seconds of each / efficiency, in core-hours, and hours on 2, 64 and 1,000 cores.

Run: python benchmarks/workers.py [--patients 400]
"""

import argparse
import os
import time

import numpy as np
import pandas as pd
from closed_form import print_machine
from distributed import Client, LocalCluster
from forecasting import Saturable

import nlmebayes as nb
from model_zoo import OneCompartment

TIMES, DOSES = (1.0, 3.0, 13.0, 22.0), (0.0, 12.0)
CORES, PATIENTS = (2, 64, 1000), (10**4, 10**6)
WARM = 4  # patients


def closed_form(draws):
    uncertainty = {"uncertainty": {"cl": 5.0, "v": 5.0, "ka": 10.0}, "draws": draws} if draws > 1 else {}
    return nb.population(
        OneCompartment("first-order"), theta={"cl": 3.0, "v": 30.0, "ka": 1.5}, random_seed=1,
        omega={"sd": {"cl": 0.3, "v": 0.2, "ka": 0.4}}, sigma={"b": 0.15}, **uncertainty,
    )  # fmt: skip


def equations(draws):
    theta = {p.name: p.typical for p in Saturable.parameters}
    uncertainty = {"uncertainty": {"vmax": 5.0, "v": 5.0}, "draws": draws} if draws > 1 else {}
    return nb.population(
        Saturable(), theta=theta, omega={"sd": {"vmax": 0.3, "v": 0.2}}, sigma={"b": 0.15}, random_seed=1, **uncertainty
    )  # fmt: skip


def patients(tree, n, seed=1):
    """Drawn from the population."""
    labels = [f"p{i}" for i in range(n)]
    rows = pd.DataFrame({"id": np.repeat(labels, len(TIMES)), "time": np.tile(TIMES, n), "conc": 1.0})
    doses = pd.DataFrame({"id": np.repeat(labels, len(DOSES)), "time": np.tile(DOSES, n), "amt": 300.0})
    data = nb.Dataset.from_frame(rows, outcome="conc", time="time", levels="id", doses=doses)
    drawn = nb.predict(tree, data, random_seed=seed)["posterior_predictive"]["conc"].to_numpy()[0, 0]
    return data.with_values(conc=np.maximum(drawn, 1e-3))


WORK = {  # name: population, draws of it, method, share of the patients that it is measured on
    "closed form, mode": (closed_form, 1, "map", 1.0),
    "closed form, Laplace's approximation": (closed_form, 1, "laplace", 0.25),
    "closed form, whole posterior under 1,000 populations": (closed_form, 1000, "importance", 0.1),
    "differential equations, mode": (equations, 1, "map", 0.25),
    "differential equations, whole posterior under 1,000 populations": (equations, 1000, "importance", 0.02),
}  # fmt: skip


def timed(function):
    """What it gives, and the seconds it took: of this process's processor time, and on the clock."""
    before, start = time.process_time(), time.perf_counter()
    found = function()
    return found, time.process_time() - before, time.perf_counter() - start


def spent(client):
    """Processor time of all workers so far, s."""
    return sum(client.run(time.process_time).values())


def forecasts(tree, data, method, client=None):
    return nb.forecast_each(tree, data, method=method, random_seed=1, unusual="warn", client=client)


def measured(name, count, client):
    """A row of the table."""
    population, draws, method, share = WORK[name]
    tree = population(draws)
    warm, data = patients(tree, WARM, seed=2), patients(tree, max(WARM, int(count * share)))
    forecasts(tree, warm, method)
    forecasts(tree, data, method, client)  # so that both workers have done some
    here, alone, clock = timed(lambda: forecasts(tree, data, method))
    before = spent(client)
    there, asked, clocks = timed(lambda: forecasts(tree, data, method, client))
    together = spent(client) - before + asked
    pd.testing.assert_frame_equal(here.table, there.table)
    n = data.observations["id"].nunique()
    return {
        "work": name, "patients": n, "CPU ms each": 1e3 * alone / n, "CPU ms each, 2 processes": 1e3 * together / n,
        "efficiency (CPU)": alone / together, "efficiency (clock)": clock / clocks / 2,
    }  # fmt: skip


def fit(client):
    """Rows of a fit: here, and by workers that compile it first and then have it."""
    model = nb.Model(OneCompartment("first-order"), residual=nb.Combined())
    data = nb.datasets.theophylline()
    options = {"draws": 500, "tune": 500, "chains": 4, "random_seed": 1, "progressbar": False}
    nb.fit(model, data, **options | {"draws": 10, "tune": 10})
    rows = []
    for name, given in (("here", None), ("2 workers, first time", client), ("2 workers, again", client)):
        before = spent(client)
        _, own, clock = timed(lambda given=given: nb.fit(model, data, client=given, **options))
        rows.append({"fit": name, "CPU s here": own, "CPU s of workers": spent(client) - before, "clock s": clock})
    return pd.DataFrame(rows)


def cost(table):
    """Core-hours, and hours on so many cores."""
    rows = []
    for _, row in table.iterrows():
        for n in PATIENTS:
            hours = n * row["CPU ms each, 2 processes"] / 3.6e6
            rows.append({"work": row["work"], "patients": f"{n:,}", "core-hours": hours}
                        | {f"h on {cores:,}": hours / cores for cores in CORES})  # fmt: skip
    return pd.DataFrame(rows)


def _shown(value):
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--patients", type=int, default=400)
    given = parser.parse_args()
    print_machine()
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster,
        Client(cluster) as client,
    ):
        client.wait_for_workers(2)
        before = spent(client)
        forecasts(closed_form(1), patients(closed_form(1), 2 * WARM), "laplace", client)
        print(f"a worker's start: {(spent(client) - before) / 2:.1f} s of CPU to import and to read a population")
        rows = []
        for name in WORK:
            rows.append(measured(name, given.patients, client))
            print(", ".join(f"{key}: {_shown(value)}" for key, value in rows[-1].items()), flush=True)
        table = pd.DataFrame(rows)
        for frame in (table, cost(table), fit(client)):
            print(frame.to_string(index=False, float_format=_shown), end="\n\n", flush=True)
        held = [worker["metrics"]["memory"] / 2**20 for worker in client.scheduler_info()["workers"].values()]
        print(f"memory of the workers at the end: {', '.join(f'{x:.0f}' for x in held)} MiB")
    print(f"load of this machine when it was done: {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
