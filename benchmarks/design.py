"""What designs tell, as expected and as simulated: ``python benchmarks/design.py FOLDER [PART ...]``.

- ``warfarin``: 500 studies of 32 subjects with 8 samples each (Nyberg et al. 2015, doi:10.1111/bcp.12352) beside the
  reduced, the full, the FOCE and the exact information: which convention is right?
- ``sentences``: one sample a person cannot part IIV from RUV; one occasion cannot part IOV from IIV; two and three can.
- ``biobank``: halving the variance between sites against more sites. ``crossover``: subjects for a treatment-by-period
  question, beside the closed forms.

Studies are kept in FOLDER, a line each: what was interrupted goes on. Tables are those of docs/design.md.
"""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # matrices are small: threads cost twice the time

import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

import nlmebayes as nb
from model_zoo import LinearMixed, OneCompartment

ORAL = OneCompartment(absorption="first-order")
MANY, SOME, FEW = 500, 60, 20  # studies
METHODS = ("fo", "full", "foce", "exact")


def warfarin(folder):
    """Empirical RSE beside that of each information, in %."""
    tree = nb.population(
        ORAL, theta={"cl": 0.15, "v": 8.0, "ka": 1.0}, omega={"variance": {"cl": 0.07, "v": 0.02, "ka": 0.6}},
        sigma={"b": 0.1},
    )  # fmt: skip
    design = nb.Design([nb.Arm(32, [0.5, 1, 2, 6, 24, 36, 72, 120], doses={"time": 0, "amt": 70})])
    found = nb.simulate_studies(tree, design, MANY, file=folder / "warfarin.jsonl")
    table = found.table
    columns = {"simulated": table["empirical_rse_pct"].round(2), "error": table["empirical_rse_pct_mcse"].round(2)}
    for method in METHODS:
        start = time.perf_counter()
        told = nb.information(tree, design, method=method).table["rse"]
        print(f"{method}: {time.perf_counter() - start:.2f} s")
        columns[method] = told.round(2)
        away = (table["empirical_rse_pct"] - told) / table["empirical_rse_pct_mcse"]
        columns[f"{method}, errors off"] = away.round(1).map("{:+.1f}".format)
    columns |= {"bias %": table["bias_pct"].round(2), "coverage of 90 %": (100 * table["coverage"]).round(1)}
    whole, fitted = found.n
    print(f"{fitted} of {whole} studies fitted, {np.median(list(found.seconds.values())):.2f} s each\n")
    show(pd.DataFrame(columns).rename_axis("parameter"))


def sentences(folder):
    """Variation that a design can part, and at what RSE."""
    rows = []
    model = nb.Model(LinearMixed(), "mu ~ 1 + (1|id)")
    tree = nb.population(model, theta={"mu": 10.0}, omega={"sd": {"mu": 1.0}}, sigma={"a": 1.0}, outcome="y")
    for samples in (1, 2, 3):
        design = nb.Design([nb.Arm(120 // samples, inputs={"sample": np.arange(samples) + 1.0})])
        rows.append(parted(folder, f"{samples} samples each", tree, design, ["omega_id mu", "sigma_y_a"], SOME))
    show(pd.DataFrame(rows).set_index("design"))
    rows, tree = [], nb.population(
        OneCompartment(), "cl ~ 1 + (1|id) + (1|occ)", "v ~ 1 + (1|id)", theta={"cl": 3.75, "v": 72.8},
        sigma={"b": 0.2}, levels=("id", "occ"),
        omega={"id": {"variance": {"cl": 0.0625, "v": 0.09}}, "occ": {"variance": {"cl": 0.09}}},
    )  # fmt: skip
    for starts, times in (([0], [1, 4, 8, 16, 24, 48]), ([0, 336], [1, 8, 48]), ([0, 336, 672], [2, 48])):
        every = [start + t for start in starts for t in times]
        doses = [{"time": start, "amt": 1000} for start in starts]
        design = nb.Design([nb.Arm(40, every, doses=doses, occasions=starts)])
        rows.append(parted(folder, f"{len(starts)} occasions", tree, design, ["omega_id cl", "omega_occ cl"], FEW))
    show(pd.DataFrame(rows).set_index("design"))


def parted(folder, name, tree, design, pair, many):
    """Expected RSE of a pair of SDs, that of simulated studies with its error, and how many could not be fitted."""
    told = nb.information(tree, design)
    found = nb.simulate_studies(tree, design, many, file=folder / f"{name.replace(' ', '_')}.jsonl")
    row = {"design": f"{name}, {design.subjects} people"}
    for number in pair:
        row[f"{number}"] = f"{told.table['rse'][number]:.1f}"
        row[f"{number}, simulated"] = "-"
        if found.n[1] > 1:
            part = found.table.loc[number]
            spread = f"{part['empirical_rse_pct']:.1f} ± {part['empirical_rse_pct_mcse']:.1f}"
            row[f"{number}, simulated"] = f"{spread}, bias {part['bias_pct']:+.0f}"
    at_zero = found.table["boundary"].reindex(pair).max() if found.n[1] else np.nan
    print(f"\n{row['design']}:", *(told.sentences or ["all can be told"]), *found.reasons.items(), sep="\n  ")
    return row | {"not fitted, %": round(100 * found.failed[0]), "an SD at 0, %": str(np.round(100 * at_zero))}


def biobank(folder):
    """Standard error and power for an exposure that is the same within a site."""
    model = nb.Model(LinearMixed(), "mu ~ 1 + exposed + (1|site) + (1|id)")
    law = partial(nb.population, model, theta={"mu": {"Intercept": 5.0, "exposed": 0.3}}, sigma={"a": 0.5}, outcome="y",
                  levels=("site", "id"), reference={"exposed": 0.0})  # fmt: skip
    rows = []
    for name, variance, sites, people in (
        ("as it is", 0.09, 10, 50), ("half the variance between sites", 0.045, 10, 50),
        ("twice the sites", 0.09, 20, 50), ("twice the sites, half the people in each", 0.09, 20, 25),
        ("twice the people in each site", 0.09, 10, 100),
    ):  # fmt: skip
        tree = law(omega={"site": {"variance": {"mu": variance}}, "id": {"sd": {"mu": 0.6}}})
        told = nb.information(tree, sited(sites, people))
        exact = np.sqrt(2 * (variance + (0.36 + 0.25 / 2) / people) / sites)
        rows.append({
            "design": name, "sites": 2 * sites, "people": 2 * sites * people,
            "SE": told.table["se"]["mu: exposed"].round(4), "closed form": exact.round(4),
            "power %": round(100 * told.power("mu: exposed")),
            "people for 80 %": told.subjects_for("mu: exposed"),
        })  # fmt: skip
    show(pd.DataFrame(rows).set_index("design"))


def sited(sites, people):
    """Two arms of sites, everybody measured twice."""
    measured = {"visit": [1.0, 2.0]}
    return nb.Design([
        nb.Arm(sites * people, inputs=measured, within={"site": [f"{arm}{i}" for i in range(sites)]},
               covariates={"exposed": float(arm == "exposed")}, name=arm)
        for arm in ("exposed", "other")
    ])  # fmt: skip


def crossover(folder):
    """Subjects for the effect of a treatment, and for whether it differs between the periods."""
    rows = []
    for sequences in (("AB", "BA"), ("ABBA", "BAAB"), ("ABAB", "BABA")):
        design = crossed(sequences, 20)
        tree = trial(len(sequences[0]))
        told = nb.information(tree, design)
        numbers = ["mu: treated", "mu: treated:period"]
        row = {"sequences": ", ".join(sequences)}
        for number in numbers:
            row[f"SE of {number}, {design.subjects} people"] = told.table["se"][number].round(4)
            row[f"people for 80 %, {number}"] = told.subjects_for(number)
        rows.append(row)
    show(pd.DataFrame(rows).set_index("sequences"))
    within, between = 2 * 0.2**2 / 40, 4 * (4 * 0.4**2 + 2 * 0.2**2) / 40
    print(f"closed form, AB and BA: treatment {np.sqrt(within):.4f}, by period {np.sqrt(between):.4f}")
    print("simulated, AB and BA:")
    found = nb.simulate_studies(trial(2), crossed(("AB", "BA"), 20), 2 * SOME, file=folder / "crossover.jsonl")
    print(found.table.loc[numbers, ["empirical_se", "empirical_se_mcse", "stated_se", "coverage"]].round(4))
    for number in numbers:
        print(number, found.power(number).round(3).to_dict("records"))


def trial(periods):
    """Effects of the treatment (0.2) and of its difference between periods (0.2 from the first to the next), period in
    which 0 is the middle."""
    model = nb.Model(LinearMixed(), "mu ~ 1 + treated * period + (1|id)")
    theta = {"Intercept": 4.0, "treated": 0.2, "period": 0.0, "treated:period": 0.2}
    return nb.population(
        model, theta={"mu": theta}, omega={"sd": {"mu": 0.4}}, sigma={"a": 0.2}, outcome="y",
        reference={"treated": 0.0, "period": 0.0},
    )  # fmt: skip


def crossed(sequences, n):
    """An arm for each sequence, a record in each period."""
    periods = (np.arange(len(sequences[0])) - (len(sequences[0]) - 1) / 2).tolist()
    return nb.Design([
        nb.Arm(n, inputs={"replicate": [1.0]}, occasions=len(sequence), name=sequence,
               by_occasion={"treated": [float(letter == "B") for letter in sequence], "period": periods})
        for sequence in sequences
    ])  # fmt: skip


def show(table):
    """As a table of markdown."""
    rows = [[table.index.name, *table.columns], ["---"] * (1 + len(table.columns))]
    rows += [[name, *row] for name, row in zip(table.index, table.astype(object).to_numpy(), strict=True)]
    print("\n".join("| " + " | ".join(map(str, row)) + " |" for row in rows))


def main(folder, parts):
    folder.mkdir(parents=True, exist_ok=True)
    for part in (warfarin, sentences, biobank, crossover):
        if not parts or part.__name__ in parts:
            print(f"\n## {part.__name__}")
            part(folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
