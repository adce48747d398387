"""Time of a forecast after a warm-up: ``python benchmarks/forecasting.py [--nuts]``.

Best of several runs, of a patient with two samples of vancomycin under 1,000 population draws, and of a patient with
five samples of a drug with saturable elimination (three states, differential equations). "chart" is what reading the
patient's records takes, "mode" the search on a chart that has been read, "forecast" the whole verb with its tree.
"""

import argparse
import time

import numpy as np
import pandas as pd
import results
from scipy import optimize

import nlmebayes as nb
from nlmebayes.individuals import particles
from nlmebayes.individuals.modes import QUICK, modes


def best(function, times=15):
    """Milliseconds of the quickest of several runs."""
    function()
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        function()
        taken.append(time.perf_counter() - start)
    return 1e3 * min(taken)


class Saturable(nb.System):
    """Three states: gut, central, peripheral; Michaelis-Menten elimination."""

    states, dosed = ("gut", "central", "peripheral"), "gut"
    parameters = tuple(
        nb.Parameter(name, unit, typical=value)
        for name, unit, value in (
            ("ka", "1/h", 1.0), ("vmax", "mg/h", 30.0), ("km", "mg/L", 4.0), ("v", "L", 40.0), ("q", "L/h", 5.0),
            ("v2", "L", 40.0),
        )
    )  # fmt: skip

    def rhs(self, t, y, p):
        c, back = y.central / p.v, y.peripheral / p.v2
        gone = p.vmax * c / (p.km + c)
        return {
            "gut": -p.ka * y.gut, "central": p.ka * y.gut - gone - p.q * (c - back), "peripheral": p.q * (c - back),
        }  # fmt: skip

    def outcomes(self, t, y, p):
        return {"conc": y.central / p.v}


def patient(times, values, doses, **covariates):
    frame = pd.DataFrame({"id": "p", "time": times, "conc": values} | covariates)
    given = pd.DataFrame(doses, columns=["time", "amt", "duration"]).assign(id="p", **covariates)
    return nb.Dataset.from_frame(frame, outcome="conc", time="time", levels="id", doses=given)


def closed_form():
    """Vancomycin of Goti 2018 with standard errors of 5 to 10 per cent: 1,000 populations."""
    tree = nb.published("vancomycin_goti_2018", uncertainty={"cl": 5.0, "v1": 8.0, "v2": 10.0}, draws=1000)
    covariates = {"crcl": 65.0, "wt": 70.0, "dial": 0.0}
    return tree, patient([13.0, 48.0], [12.0, 9.5], [(0.0, 2000.0, 2.0), (24.2, 1000.0, 2.0)], **covariates)


def equations():
    theta = {p.name: p.typical for p in Saturable.parameters}
    spread = {"sd": dict.fromkeys(("ka", "vmax", "km", "v"), 0.3)}
    uncertainty = {"vmax": 5.0, "v": 5.0}
    tree = nb.population(Saturable(), theta=theta, omega=spread, sigma={"b": 0.15}, uncertainty=uncertainty, draws=1000)
    doses = [(0.0, 400.0, 0.0), (24.0, 400.0, 0.0)]
    return tree, patient([1.0, 4.0, 8.0, 24.0, 30.0], [4.0, 5.0, 3.6, 0.9, 4.4], doses)


def by_scipy(target):
    """The same objective by BFGS from the population, one place, numerical slopes."""
    which = np.zeros(1, dtype=int)
    return optimize.minimize(lambda z: -target.log_density(z[None, None], which)[0, 0], np.zeros(target.size))


def report(name, tree, chart, nuts):
    ready = nb.forecaster(tree)
    target, central = ready.target(chart)
    rng = np.random.default_rng(1)
    rows = {
        "chart": best(lambda: ready.target(chart)),
        "mode": best(lambda: modes(central, last=QUICK)),
        "SciPy BFGS, one start": best(lambda: by_scipy(central), 5),
        "importance, 4000 particles": best(lambda: particles.importance(target, central, 4000, 0, 0, rng)),
        "forecast map": best(lambda: ready.forecast(chart, method="map", random_seed=1)),
        "forecast importance": best(lambda: ready.forecast(chart, method="importance", random_seed=1)),
    }
    if nuts:
        rows["forecast nuts, after compilation"] = best(lambda: ready.forecast(chart, method="nuts", random_seed=1), 2)
    for what, milliseconds in rows.items():
        print(f"{name:12s} {what:34s} {milliseconds:9.1f} ms")
    print(f"{name:12s} mode: ours {modes(central).value[0]:.9f}, SciPy {-by_scipy(central).fun:.9f}")
    return rows


def batch(tree, n=500):
    rng, ids = np.random.default_rng(1), [f"p{i}" for i in range(n)]
    covariates = {"crcl": np.repeat(rng.uniform(30, 120, n), 2), "wt": 70.0, "dial": 0.0}
    times, values = np.tile([13.0, 48.0], n), rng.lognormal(2.3, 0.4, 2 * n)
    frame = pd.DataFrame({"id": np.repeat(ids, 2), "time": times, "conc": values} | covariates)
    doses = pd.DataFrame({"id": np.repeat(ids, 2), "time": np.tile([0.0, 24.2], n), "amt": 1500.0, "duration": 2.0})
    data = nb.Dataset.from_frame(frame, outcome="conc", time="time", levels="id", doses=doses)
    rate = n / best(lambda: nb.forecast_each(tree, data), 3) * 1e3
    print(f"batch        {rate:.0f} patients a second, map")
    return rate


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--nuts", action="store_true")
    nuts = parser.parse_args().nuts
    cases = {"closed form": closed_form(), "equations": equations()}
    rows = {name: report(name, *case, nuts) for name, case in cases.items()}
    results.keep("forecasting", rows=rows, rate=batch(cases["closed form"][0]))


if __name__ == "__main__":
    main()
