"""Patients whose posteriors have several modes, with exact answers:
``python tests/multimodal.py exact|again|report [NAME ...]``.

Six populations, 200 patients drawn from each. ``exact`` draws those patients that ``tests/multimodal/NAME.csv`` does
not have yet, and appends their samples and their exact posterior: nothing is climbed. 65,000 draws of the prior are
weighed; kernels around those that explain the samples, first tempered, then less so, are the next proposal, with a
fifth of the prior always among them (population Monte Carlo; Cappe, Guillin, Marin and Robert 2004, J. Comput. Graph.
Stat. 13, 907-929). It is done twice; ``error`` is what the two log evidences differ by. ``again`` repeats those whose
error is above 0.03 or with which the forecast does not agree (or ``--only`` some): on cells that are divided where
their mass is (three effects), or with 27 times as many prior draws and three times as many kernels and draws of them.
A thin ridge can be missed by both runs alike, so a small error is no proof. ``mode`` is the best log-density of 200
climbs from draws of the prior and of the posterior. ``report`` forecasts each by default and compares.
"""

import argparse
import csv
import json
import time
import warnings
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import special
from scipy.spatial import KDTree
from scipy.stats import qmc

import nlmebayes as nb
from model_zoo import MichaelisMenten, OneCompartment, TwoCompartment
from nlmebayes.evaluation.evaluator import evaluator
from nlmebayes.individuals.climbing import climb

FOLDER = Path(__file__).parent / "multimodal"
PATIENTS = 200
FIRST, KERNELS, EACH, LAST = 2**16, 100, 2**13, 2**15
MORE = 3  # times as many kernels and draws of what is repeated, and its cube of prior draws
CELLS = 60_000  # that are divided at once
PRIOR = 0.2  # share of the prior in every proposal
TAIL = 5
P_WITHIN, EVIDENCE_WITHIN, MEAN_WITHIN, OBJECTIVE_WITHIN = 0.03, 0.05, 0.1, 0.01
ERROR = 0.03  # of a log evidence, above which it is computed again


@dataclass(frozen=True)
class Population:
    """What patients are drawn from: ``times`` to choose from, and ``other``, the question whether a patient is in the
    other mode, of the parameters by name and the patient's times."""

    structure: object
    theta: dict
    omega: dict
    sigma: dict
    residual: object
    times: tuple
    other: object
    dose: float = 400.0
    outlier: float = 1.0

    @cached_property
    def tree(self):
        return nb.population(
            self.structure, theta=self.theta, omega={"sd": self.omega}, sigma=self.sigma, residual=self.residual
        )

    @cached_property
    def ready(self):
        return nb.forecaster(self.tree)

    def patient(self, times, values, label="p"):
        frame = pd.DataFrame({"id": label, "time": times, "conc": values})
        doses = pd.DataFrame({"id": [label], "time": 0.0, "amt": self.dose})
        return nb.Dataset.from_frame(frame, outcome="conc", time="time", levels="id", doses=doses)

    def drawn(self, number):
        """Times and values of the patient of a number, rounded to three digits as a laboratory prints them."""
        rng = np.random.default_rng([number, 7])
        times = np.sort(rng.choice(self.times, size=rng.integers(2, 6), replace=False))
        found = nb.predict(self.tree, self.patient(times, np.ones(len(times))), random_seed=number)
        values = found["posterior_predictive"]["conc"].to_numpy()[0, 0]
        values[rng.integers(len(values))] *= self.outlier
        return times, np.array([float(f"{max(v, 0.001):.3g}") for v in values])


def dual(p, t):
    return p["ka"] < p["ka2"]


def flipped(p, t):
    return p["ka"] < p["cl"] / p["v"]


EARLY = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 24.0)
POPULATIONS = {
    "lag": Population(
        OneCompartment("first-order", lag=True, flip_flop=True), {"cl": 3.0, "v": 40.0, "ka": 0.8, "tlag": 1.0},
        {"cl": 0.5, "v": 0.4, "ka": 0.7, "tlag": 0.8}, {"a": 0.1, "b": 0.1}, nb.Combined(), EARLY,
        lambda p, t: p["tlag"] > t[0],
    ),
    "flip_flop": Population(
        OneCompartment("first-order", flip_flop=True), {"cl": 5.0, "v": 50.0, "ka": 0.8},
        {"cl": 1.0, "v": 1.0, "ka": 1.0}, {"b": 0.2}, nb.Proportional(), EARLY, flipped, dose=500.0,
    ),
    "dual_absorption": Population(
        OneCompartment("parallel", flip_flop=True), {"cl": 4.0, "v": 40.0, "ka": 1.0, "ka2": 0.4, "fr": 0.6},
        {"cl": 0.4, "v": 0.4, "ka": 0.9, "ka2": 0.9, "fr": 1.0}, {"b": 0.12}, nb.Proportional(), EARLY, dual,
    ),
    "wide_omegas": Population(
        TwoCompartment(), {"cl": 3.0, "v1": 20.0, "q": 5.0, "v2": 40.0},
        {"cl": 1.2, "v1": 1.2, "q": 1.2, "v2": 1.2}, {"b": 0.15}, nb.Proportional(), EARLY,
        lambda p, t: p["v1"] > p["v2"],
    ),
    "equations": Population(
        MichaelisMenten("first-order"), {"vmax": 30.0, "km": 4.0, "v": 40.0, "ka": 0.6},
        {"vmax": 0.6, "km": 0.6, "v": 0.6, "ka": 1.0}, {"b": 0.15}, nb.Proportional(), EARLY,
        lambda p, t: p["ka"] < p["vmax"] / p["km"] / p["v"],
    ),
    "outlier": Population(
        OneCompartment("first-order", flip_flop=True), {"cl": 3.0, "v": 40.0, "ka": 0.8},
        {"cl": 0.6, "v": 0.6, "ka": 1.0}, {"a": 0.2, "nu": 2.5}, nb.StudentT(), EARLY, flipped, outlier=3.0,
    ),
}  # fmt: skip


# --- exact answers ----------------------------------------------------------------------------------------------------


def parameters(target, z):
    """Individual parameters by name, (row,), of z (row, column) under the one population."""
    which = np.zeros(len(z), dtype=int)
    population = target.population.take(which)
    phi, _, _ = evaluator(target.model, target.design)(population.theta, target.effects(z[:, None], which))
    return {name: np.broadcast_to(x, (len(z), 1))[:, 0] for name, x in phi.items()}


def log_normal(z):
    return -0.5 * (z**2 + np.log(2 * np.pi)).sum(axis=1)


class Kernels:
    """A proposal: Student t around places that explain the samples, shaped by their neighbours, and the prior."""

    def __init__(self, z, log_weight, rng, kernels):
        power = 1.0
        while True:
            weight = np.exp(power * (log_weight - log_weight.max()))
            weight /= weight.sum()
            if 1 / (weight**2).sum() >= 40 * z.shape[1] or power < 1e-3:
                break
            power *= 0.8
        self.power = power
        place = rng.choice(len(z), size=20 * kernels, p=weight)
        near = z[place]
        self.centre = near[rng.choice(len(near), size=kernels, replace=False)]
        _, index = KDTree(near).query(self.centre, k=200)
        around = near[index] - near[index].mean(axis=1, keepdims=True)
        cov = np.einsum("kni,knj->kij", around, around) / around.shape[1] + 1e-6 * np.eye(z.shape[1])
        self.factor = np.linalg.cholesky(0.7 * cov)

    def draw(self, n, rng):
        d = self.centre.shape[1]
        z = rng.standard_normal((n, d))
        kernel = rng.integers(len(self.centre), size=n)
        heavy = np.einsum("nij,nj->ni", self.factor[kernel], z) / np.sqrt(rng.chisquare(TAIL, n) / TAIL)[:, None]
        return np.where(rng.random(n)[:, None] < PRIOR, z, self.centre[kernel] + heavy)

    def log_density(self, z):
        d, found = z.shape[1], np.full(len(z), -np.inf)
        inverse = np.linalg.inv(self.factor)
        constant = special.gammaln((TAIL + d) / 2) - special.gammaln(TAIL / 2) - 0.5 * d * np.log(TAIL * np.pi)
        for centre, back in zip(self.centre, inverse, strict=True):
            square = (((z - centre) @ back.T) ** 2).sum(axis=1)
            part = constant + np.log(np.diag(back)).sum() - 0.5 * (TAIL + d) * np.log1p(square / TAIL)
            found = np.logaddexp(found, part)
        return np.logaddexp(np.log(PRIOR) + log_normal(z), np.log((1 - PRIOR) / len(self.centre)) + found)


def weighed(target, z, log_q):
    dense = np.concatenate(
        [target.log_density(x[:, None], np.zeros(len(x), dtype=int))[:, 0] for x in np.array_split(z, len(z) // 4096)]
    )
    return dense - log_q


def once(target, rng, more):
    """Draws and log weights of one run, with ``more`` times as many kernels and draws of them."""
    points = qmc.Sobol(target.size, seed=rng).random(FIRST * more**3)
    z = special.ndtri(np.clip(points, 1e-12, 1 - 1e-12))
    log_weight = weighed(target, z, log_normal(z))
    for _ in range(12):
        kernels = Kernels(z, log_weight, rng, KERNELS * more)
        z = kernels.draw(EACH * more, rng)
        log_weight = weighed(target, z, kernels.log_density(z))
        if kernels.power == 1.0:
            break
    kernels = Kernels(z, log_weight, rng, KERNELS * more)
    z = kernels.draw(LAST * more, rng)
    return z, weighed(target, z, kernels.log_density(z))


def on_cells(target):
    """Centres of cells, the logs of their masses, and how much the last division changes the log evidence: cubes of
    three effects, the heaviest of which are divided, again and again, until none of them matters."""
    edges, width = np.arange(-6.0, 6.0, 0.2), 0.2
    z = np.stack(np.meshgrid(edges, edges, edges), axis=-1).reshape(-1, 3) + width / 2
    kept, before = [], np.inf
    while True:
        mass = weighed(target, z, 0.0) + 3 * np.log(width)
        order = np.argsort(-mass)
        divided, left = order[:CELLS], order[CELLS:]
        total = np.logaddexp.reduce(np.concatenate([mass, *(m for _, m in kept)]))
        if abs(total - before) < 1e-3:
            kept.append((z, mass))
            return *(np.concatenate(x) for x in zip(*kept, strict=True)), abs(total - before)
        kept, before, width = [*kept, (z[left], mass[left])], total, width / 2
        corners = np.stack(np.meshgrid(*[[-width / 2, width / 2]] * 3), axis=-1).reshape(-1, 3)
        z = (z[divided, None] + corners).reshape(-1, 3)


def exact(population, number, times, values, more=1):
    """A row of the table."""
    _, target = population.ready.target(population.patient(times, values))
    runs = [once(target, np.random.default_rng([number, seed]), more) for seed in (1, 2)]
    each = [np.logaddexp.reduce(w) - np.log(len(w)) for _, w in runs]
    z, log_weight = (np.concatenate(x) for x in zip(*runs, strict=True))
    return row_of(population, number, times, values, z, log_weight - np.log(len(z)), abs(each[0] - each[1]))


def by_cells(population, number, times, values):
    """A row of the table of a population with three effects."""
    _, target = population.ready.target(population.patient(times, values))
    return row_of(population, number, times, values, *on_cells(target))


def row_of(population, number, times, values, z, log_mass, error):
    """A row of the table, from places whose masses have the evidence for sum."""
    _, target = population.ready.target(population.patient(times, values))
    evidence = np.logaddexp.reduce(log_mass)
    weight = np.exp(log_mass - evidence)
    mean = weight @ z
    sd = np.sqrt(weight @ (z - mean) ** 2)
    other = float(weight @ population.other(parameters(target, z), times))
    starts = z[np.random.default_rng(number).choice(len(z), size=PATIENTS, p=weight)]
    starts[::2] = np.random.default_rng(number).standard_normal((PATIENTS // 2, target.size))
    best = climb(target, starts[:, None], np.zeros(len(starts), dtype=int), 1e-3, 60).value.max()

    def several(x):
        return " ".join(f"{v:.4g}" for v in x)

    return {
        "patient": number, "times": several(times), "values": several(values),
        "log_evidence": f"{evidence:.4f}", "error": f"{error:.4f}",
        "size": f"{1 / (weight**2).sum():.0f}", "other": f"{other:.4f}", "mean": several(mean), "sd": several(sd),
        "mode": f"{best:.4f}",
    }  # fmt: skip


def known(name):
    """Rows of the table, or none."""
    path = FOLDER / f"{name}.csv"
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def complete(name, patients=PATIENTS):
    """Append the patients that are missing."""
    done = {int(row["patient"]) for row in known(name)}
    for number in range(patients):
        if number in done:
            continue
        row = exact(POPULATIONS[name], number, *POPULATIONS[name].drawn(number))
        with (FOLDER / f"{name}.csv").open("a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, row, lineterminator="\n")
            if not file.tell():
                writer.writeheader()
            writer.writerow(row)


def again(name, numbers_=()):
    """Repeat with more draws, or on cells where there are three effects, what is in doubt, or the patients stated."""
    rows, population = known(name), POPULATIONS[name]
    for i, row in enumerate(rows):
        if i in numbers_ or (not numbers_ and (float(row["error"]) > ERROR or not right(compared(name, row)))):
            asked = population, i, numbers(row["times"]), numbers(row["values"])
            new = by_cells(*asked) if len(numbers(row["mean"])) == 3 else exact(*asked, MORE)
            print(name, i, *(f"{k} {row[k]} {new[k]};" for k in ("log_evidence", "error", "other", "mean")), flush=True)
            rows[i] = new
            with (FOLDER / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, new, lineterminator="\n")
                writer.writeheader()
                writer.writerows(rows)


# --- forecasts beside them --------------------------------------------------------------------------------------------


def numbers(text):
    return np.array([float(x) for x in text.split()])


def compared(name, row, seed=1, **options):
    """What the forecast of a row of the table is off by: P(other mode), log evidence, means in posterior SDs, the
    objective of the mode; and the doubts that it says."""
    population = POPULATIONS[name]
    times = numbers(row["times"])
    patient = population.patient(times, numbers(row["values"]))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        start = time.process_time()
        tree = population.ready.forecast(patient, random_seed=seed, unusual="warn", **options)
        took = time.process_time() - start
    report, posterior = json.loads(tree.attrs["nlmebayes_forecast"]), tree["posterior"].to_dataset()
    phi = {p.name: posterior[p.name].to_numpy().ravel() for p in population.structure.parameters}
    mode, _ = population.ready.mode(patient)
    z = np.array(list(report["z_scores"].values()))
    return {
        "p": abs(population.other(phi, times).mean() - float(row["other"])),
        "evidence": report["log_evidence"] - float(row["log_evidence"]),
        "mean": np.abs((z - numbers(row["mean"])) / numbers(row["sd"])).max(),
        "mode": float(row["mode"]) - mode.value[0], "khat": report["khat"], "size": report["effective_sample_size"],
        "seconds": took, "doubts": [str(w.message) for w in said if "may be off" in str(w.message)],
    }  # fmt: skip


def right(found):
    return found["p"] < P_WITHIN and abs(found["evidence"]) < EVIDENCE_WITHIN and found["mean"] < MEAN_WITHIN


def table(name, first=0, most=PATIENTS, seed=1):
    """One line of the study's table, of the patients from number ``first`` up to ``most``."""
    found = [compared(name, row, seed) for row in known(name)[first:most]]
    good = np.array([right(x) for x in found])
    doubted = np.array([bool(x["doubts"]) for x in found])
    wrong = [(i, x) for i, x in enumerate(found) if not right(x)]
    for i, x in wrong:
        print("  wrong", first + i, {k: v if k == "doubts" else round(float(v), 3) for k, v in x.items()})
    for i, x in enumerate(found):
        if x["mode"] > OBJECTIVE_WITHIN:
            print("  worse mode", first + i, round(x["mode"], 4))
    return {
        "population": name, "patients": len(found), "right": good.mean(),
        "P": np.mean([x["p"] < P_WITHIN for x in found]),
        "evidence": np.mean([abs(x["evidence"]) < EVIDENCE_WITHIN for x in found]),
        "mean": np.mean([x["mean"] < MEAN_WITHIN for x in found]),
        "wrong, not doubted": int((~good & ~doubted).sum()), "right, doubted": (good & doubted).mean(),
        "mode": np.mean([x["mode"] < OBJECTIVE_WITHIN for x in found]),
        "ms": 1e3 * np.median([x["seconds"] for x in found]),
    }  # fmt: skip


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("exact", "again", "report"))
    parser.add_argument("names", nargs="*", default=list(POPULATIONS))
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--patients", type=int, default=PATIENTS)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", nargs="*", type=int, default=(), help="patients of again")
    chosen = parser.parse_args()
    for name in chosen.names:
        if chosen.what == "exact":
            complete(name, chosen.patients)
        elif chosen.what == "again":
            again(name, chosen.only)
        else:
            print(table(name, chosen.first, chosen.patients, chosen.seed), flush=True)


if __name__ == "__main__":
    main()
