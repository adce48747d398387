"""How often each criterion picks the true of two models: a covariate, a random effect, a compartment more or less.

Studies of 40 subjects are simulated from the smaller and from the larger model by turns, both are fitted by maximum
likelihood, and each criterion picks one. With ``--laplace`` both are also fitted by Laplace's approximation, by whose
draws subjects and records are left out. Each study is a line of a file, so that a run that was stopped goes on. Where
the larger model has no maximum (parameters of a compartment that is not there), the likelihood that its search reached
stands for it.

Run: python benchmarks/criteria.py [CONTRAST ...] [--studies 100] [--laplace] [--file criteria.jsonl]
"""

import argparse
import json
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

import nlmebayes as nb
from model_zoo import OneCompartment, TwoCompartment
from nlmebayes.criticism import criteria
from nlmebayes.model.build import designed

SUBJECTS, TIMES = 40, np.array([0.5, 1.0, 2.0, 4.0, 8.0, 12.0, 24.0])
DOSE = 300.0
CRITERIA = criteria.CRITERIA
LEVEL = 0.05  # of the likelihood-ratio test
SMALL, LARGE = "small", "large"


@dataclass(frozen=True)
class Contrast:
    """A smaller and a larger model, and values of the population of the larger one; ``absent`` are the values under
    which it is the smaller one, and ``boundary`` says whether these are at an edge of what they can be."""

    small: nb.Model
    large: nb.Model
    values: dict
    absent: dict
    degrees: int
    boundary: bool = False


PROPORTIONAL = nb.Proportional()
V = "v ~ 1 + (1|id)"
TYPICAL = {"theta_v": [np.log(30.0)], "sigma_conc_b": 0.15}
CONTRASTS = {
    "covariate": Contrast(  # 2 log L about 4.5: an exponent of 0.4 among weights whose logarithms have the SD 0.25
        nb.Model(OneCompartment(), "cl ~ 1 + (1|id)", V, residual=PROPORTIONAL),
        nb.Model(OneCompartment(), "cl ~ 1 + log(wt/70) + (1|id)", V, residual=PROPORTIONAL),
        TYPICAL | {"theta_cl": [np.log(3.0), 0.4], "omega_id": [0.3, 0.2]},
        {"theta_cl": [np.log(3.0), 0.0]}, degrees=1,
    ),
    "effect": Contrast(
        nb.Model(OneCompartment(), "cl ~ 1 + (1|id)", "v ~ 1", residual=PROPORTIONAL),
        nb.Model(OneCompartment(), "cl ~ 1 + (1|id)", V, residual=PROPORTIONAL),
        TYPICAL | {"theta_cl": [np.log(3.0)], "omega_id": [0.3, 0.06]}, {"omega_id": [0.3, 1e-6]}, degrees=1,
        boundary=True,
    ),
    "compartment": Contrast(
        nb.Model(OneCompartment(), "cl ~ 1 + (1|id)", V, residual=PROPORTIONAL),
        nb.Model(TwoCompartment(), "cl ~ 1 + (1|id)", "v1 ~ 1 + (1|id)", "q ~ 1", "v2 ~ 1", residual=PROPORTIONAL),
        {"theta_cl": [np.log(3.0)], "theta_v1": [np.log(30.0)], "theta_q": [np.log(0.3)], "theta_v2": [np.log(8.0)],
         "omega_id": [0.3, 0.2], "sigma_conc_b": 0.15},
        {"theta_q": [np.log(1e-6)]}, degrees=2, boundary=True,
    ),
}  # fmt: skip


def study(contrast, truth, rng):
    """Data of one study."""
    each = pd.DataFrame({"id": np.arange(SUBJECTS), "wt": np.exp(rng.normal(np.log(70), 0.25, SUBJECTS)).round(1)})
    frame = each.merge(pd.DataFrame({"time": TIMES}), how="cross")
    doses = each.assign(time=0.0, amt=DOSE)

    def dataset(conc):
        return nb.Dataset.from_frame(frame.assign(conc=conc), outcome="conc", time="time", levels="id", doses=doses)

    values = contrast.values | (contrast.absent if truth == SMALL else {})
    data = dataset(1.0 + np.arange(len(frame)))
    seed = int(rng.integers(2**31))
    tree = nb.simulate(contrast.large, data, draws=1, values=values, random_seed=seed)
    return dataset(tree["prior_predictive"]["conc"].to_numpy().ravel())


def of_maximum(model, data, tree):
    """-2 log L and the criteria of a fit, as far as its search went."""
    minus2ll = json.loads(tree.attrs["nlmebayes_fit"])["minus2ll"]
    count = criteria.counted(model, designed(model, data), data.outcomes)
    return {"minus2ll": minus2ll} | criteria.criteria(minus2ll, count, SUBJECTS, len(data.observations))


def picked(contrast, data, laplace):
    """Which model each criterion picks, and the difference behind it: larger less smaller, in -2 log L or elpd."""
    models = {SMALL: contrast.small, LARGE: contrast.large}
    trees = {name: nb.fit(model, data, method="ml", progressbar=False) for name, model in models.items()}
    each = {name: of_maximum(models[name], data, tree) for name, tree in trees.items()}
    found = {name: each[LARGE][name] - each[SMALL][name] for name in ("minus2ll", *CRITERIA)}
    picks = {name: LARGE if found[name] < 0 else SMALL for name in CRITERIA}
    picks["test"] = LARGE if -found["minus2ll"] > stats.chi2(contrast.degrees).isf(LEVEL) else SMALL
    if laplace:
        trees = {name: nb.fit(model, data, method="laplace", draws=400, random_seed=1, progressbar=False)
                 for name, model in models.items()}  # fmt: skip
        rows = nb.compare(trees).differences.set_index("left out")
        for kind, name in (("id", "subjects"), ("record", "records")):
            sign = 1 if rows.loc[kind, "best"] == SMALL else -1
            found[name] = sign * float(rows.loc[kind, "difference"])
            picks[name] = LARGE if found[name] > 0 else SMALL
    return {"picks": picks, "differences": found}


def run(names, studies, laplace, path):
    """The studies that the file does not hold yet."""
    path.touch()
    done = {(line["contrast"], line["number"]) for line in map(json.loads, path.read_text().splitlines())
            if not laplace or "subjects" in line.get("picks", {})}  # fmt: skip
    for number in range(studies):
        for name in names:
            if (name, number) in done:
                continue
            start, truth = time.perf_counter(), (SMALL, LARGE)[number % 2]
            line = {"contrast": name, "number": number, "truth": truth}
            data = study(CONTRASTS[name], truth, np.random.default_rng([list(CONTRASTS).index(name), number]))
            try:
                line |= picked(CONTRASTS[name], data, laplace)
            except nb.ModelError as error:  # counted, not hidden
                line |= {"error": str(error)}
            line["seconds"] = round(time.perf_counter() - start, 2)
            with path.open("a") as file:
                file.write(json.dumps(line) + "\n")


def report(path):
    """Share of right picks, in %, by contrast, truth and criterion."""
    lines = {(line["contrast"], line["number"]): line for line in map(json.loads, path.read_text().splitlines())}
    rows = [
        {"contrast": line["contrast"], "truth": line["truth"], "criterion": name, "right": pick == line["truth"]}
        for line in lines.values() for name, pick in line.get("picks", {}).items()
    ]  # fmt: skip
    failed = [line for line in lines.values() if "error" in line]
    print(f"{len(lines)} studies, {len(failed)} of them without an answer")
    if rows:
        table = pd.DataFrame(rows).pivot_table(index="criterion", columns=["contrast", "truth"], values="right")
        print((100 * table).round(0).to_string())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("contrasts", nargs="*", default=list(CONTRASTS))
    parser.add_argument("--studies", type=int, default=100)
    parser.add_argument("--laplace", action="store_true")
    parser.add_argument("--file", type=Path, default=Path("criteria.jsonl"))
    given = parser.parse_args()
    warnings.simplefilter("ignore", UserWarning)
    run(given.contrasts, given.studies, given.laplace, given.file)
    report(given.file)
