"""How often `check` finds what is wrong with a model, and how often it finds something in a true one.

Small studies are simulated, fitted by Laplace's approximation and checked. A case is a way to make the data and the
model that is fitted; what must be named is a part of a finding. Each outcome is a line of a file, so that a run that
was stopped goes on.

Run: python benchmarks/findings.py [CASE ...] [--studies 50] [--file findings.jsonl]
"""

import argparse
import json
import time
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd

import nlmebayes as nb
from model_zoo import LinearMixed, OneCompartment, TwoCompartment

SUBJECTS, TIMES = 40, np.array([0.5, 1.0, 2.0, 4.0, 8.0, 12.0, 24.0])
DOSE = 300.0


def columns(rng):
    """A study whose columns are a weight, an age, a sex, five centres, and the running number of each assay."""
    each = pd.DataFrame({
        "id": np.arange(SUBJECTS), "wt": np.exp(rng.normal(np.log(70), 0.25, SUBJECTS)).round(1),
        "age": rng.uniform(20, 80, SUBJECTS).round(), "sex": rng.choice(["f", "m"], SUBJECTS),
        "centre": rng.permutation(np.repeat(["A", "B", "C", "D", "E"], SUBJECTS // 5)),
    })  # fmt: skip
    frame = each.merge(pd.DataFrame({"time": TIMES}), how="cross")
    return frame.assign(run=rng.permutation(len(frame)) + 1.0)


def simulated(structure, formulas, residual, frame, rng, **values):
    """The frame with data of a model at stated values."""
    doses = pd.DataFrame({"id": np.arange(SUBJECTS), "time": 0.0, "amt": DOSE}) if structure.doses else None
    full = nb.Dataset.from_frame(frame.assign(y=1.0 + np.arange(len(frame))), outcome="y", time="time", levels="id",
                                 doses=doses)  # fmt: skip
    model = nb.Model(structure, *formulas, residual=residual)
    tree = nb.simulate(model, full, draws=1, values=values, random_seed=int(rng.integers(2**31)))
    return tree["prior_predictive"]["y"].to_numpy().ravel(), doses


def dataset(frame, y, doses, **options):
    return nb.Dataset.from_frame(frame.assign(y=y), outcome="y", time="time", levels="id", doses=doses, **options)


PK = ("cl ~ 1 + (1|id)", "v ~ 1 + (1|id)")
VALUES = {"theta_cl": [np.log(3.0)], "theta_v": [np.log(30.0)], "omega_id": [0.3, 0.2]}
BOLUS, PROPORTIONAL = OneCompartment(), nb.Proportional()


def kinetics(rng, truth=PK, residual=PROPORTIONAL, told=PROPORTIONAL, **values):
    """One compartment after a bolus: data by ``truth`` and ``residual``, the model that is fitted, with ``told``."""
    frame = columns(rng)
    y, doses = simulated(BOLUS, truth, residual, frame, rng, **VALUES, **values)
    return nb.Model(BOLUS, *PK, residual=told), dataset(frame, y, doses)


def true_kinetics(rng):
    return kinetics(rng, sigma_y_b=0.15)


def true_below(rng):
    """A fifth of the records lie below the limit of quantification, which the model knows."""
    frame = columns(rng)
    y, doses = simulated(BOLUS, PK, nb.Combined(), frame, rng, **VALUES, sigma_y_a=0.2, sigma_y_b=0.15)
    lloq = float(np.quantile(y, 0.2))
    return nb.Model(BOLUS, *PK, residual=nb.Combined()), dataset(frame, y, doses, lloq=lloq)


def true_growth(rng):
    """A line for each subject, whose intercept and slope are correlated."""
    frame, formula = columns(rng), "mu ~ 1 + time + (1 + time|id)"
    y, _ = simulated(LinearMixed(), (formula,), nb.Additive(), frame, rng, theta_mu=[10.0, 1.0], omega_id=[2.0, 0.2],
                     sigma_y_a=1.0)  # fmt: skip
    return nb.Model(LinearMixed(), formula), dataset(frame, y, None)


def true_counts(rng):
    """Counts whose rate differs between subjects."""
    frame, formula = columns(rng), "mu ~ 1 + (1|id)"
    full = dataset(frame, np.arange(len(frame)) % 7.0, None)
    model = nb.Model(LinearMixed(), formula, residual=nb.Poisson(), links={"mu": "log"}, typical={"mu": 2.0})
    values = {"theta_mu": [1.0], "omega_id": [0.5]}
    tree = nb.simulate(model, full, draws=1, values=values, random_seed=int(rng.integers(2**31)))
    return model, dataset(frame, tree["prior_predictive"]["y"].to_numpy().ravel().astype(float), None)


def memory(rng):
    """Errors whose correlation is 0.9 from one sample to the next."""
    return kinetics(rng, residual=nb.Autoregressive(PROPORTIONAL), sigma_y_b=0.15, sigma_y_rho=0.9)


def centre(rng):
    """Clearances that are twice as high in two of five centres."""
    twice = "cl ~ 1 + offset(log(2)*((centre == 'A') or (centre == 'B'))) + (1|id)"
    return kinetics(rng, truth=(twice, PK[1]), sigma_y_b=0.15)


def weight(rng):
    """Clearance and volume that follow the weight."""
    truth = ("cl ~ 1 + offset(0.75*log(wt/70)) + (1|id)", "v ~ 1 + offset(log(wt/70)) + (1|id)")
    return kinetics(rng, truth=truth, sigma_y_b=0.15)


def compartments(rng):
    """Two compartments, of which one is fitted."""
    truth = ("cl ~ 1 + (1|id)", "v1 ~ 1 + (1|id)", "q ~ 1", "v2 ~ 1")
    frame, structure = columns(rng), TwoCompartment()
    values = {"theta_cl": [np.log(3.0)], "theta_v1": [np.log(15.0)], "theta_q": [np.log(5.0)]}
    values |= {"theta_v2": [np.log(30.0)], "omega_id": [0.3, 0.2], "sigma_y_b": 0.15}
    y, doses = simulated(structure, truth, PROPORTIONAL, frame, rng, **values)
    return nb.Model(BOLUS, *PK, residual=PROPORTIONAL), dataset(frame, y, doses)


def proportional(rng):
    """Proportional errors that are taken for additive ones."""
    return kinetics(rng, sigma_y_b=0.2, told=nb.Additive())


def instrument(rng):
    """An instrument that reads a quarter more at the end of the study than at its beginning."""
    frame = columns(rng)
    y, doses = simulated(BOLUS, PK, PROPORTIONAL, frame, rng, **VALUES, sigma_y_b=0.15)
    y = y * (1 + 0.25 * frame["run"].to_numpy() / len(frame))
    return nb.Model(BOLUS, *PK, residual=PROPORTIONAL), dataset(frame, y, doses)


TRUE = [true_kinetics, true_below, true_growth, true_counts]
WRONG = {
    memory: "Autoregressive(", centre: "(1|centre)", weight: "log(wt/", compartments: "TwoCompartment(",
    proportional: "residual=nb.Combined()", instrument: "center(run)",
}  # fmt: skip


def outcome(case, seed):
    """What `check` says of one study."""
    rng = np.random.default_rng([seed, *case.__name__.encode()])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model, data = case(rng)
        begun = time.perf_counter()
        tree = nb.fit(model, data, method="laplace", draws=400, random_seed=seed, progressbar=False)
        fitted = time.perf_counter()
        report = nb.check(tree)
    found = report.tests[report.tests["p"] < 0.05]
    return {
        "case": case.__name__, "seed": seed, "alarm": len(found), "findings": list(report.findings),
        "tests": [f"{r.test}: {r.of} by {r.against}, {r.p:.2g}" for r in report.tests.head(4).itertuples()],
        "fit": round(fitted - begun, 2), "check": round(time.perf_counter() - fitted, 2),
    }  # fmt: skip


def summed(rows):
    """Prints how many studies of each case were found, or raised a false alarm."""
    studies = Counter(row["case"] for row in rows)
    for case, words in WRONG.items():
        own = [row for row in rows if row["case"] == case.__name__]
        named = sum(any(words in text for text in row["findings"]) for row in own)
        first = sum(words in next((t for t in row["findings"] if "(p = " in t), "") for row in own)
        if own:
            print(f"{case.__name__:14s} {words!r} named in {named} of {len(own)}, first in {first}")
    true = [row for row in rows if row["case"] in {case.__name__ for case in TRUE}]
    if true:
        print(f"false alarms: {sum(row['alarm'] > 0 for row in true)} of {len(true)}", dict(studies))
    print(f"check: median {np.median([row['check'] for row in rows]):.1f} s", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    cases = {case.__name__: case for case in (*TRUE, *WRONG)}
    parser.add_argument("cases", nargs="*", metavar="CASE", help=", ".join(cases))
    parser.add_argument("--studies", type=int, default=50)
    parser.add_argument("--file", type=Path, default=Path("findings.jsonl"))
    given = parser.parse_args()
    rows = [json.loads(line) for line in given.file.read_text().splitlines()] if given.file.exists() else []
    done = {(row["case"], row["seed"]) for row in rows}
    for seed in range(given.studies):
        for name in given.cases or cases:
            if (name, seed) not in done:
                rows.append(outcome(cases[name], seed))
                with given.file.open("a") as file:
                    file.write(json.dumps(rows[-1]) + "\n")
    summed(rows)


if __name__ == "__main__":
    main()
