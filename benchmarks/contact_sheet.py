"""Every picture on one sheet: ``python benchmarks/contact_sheet.py OUT`` writes each as a PNG, and ``sheet.png``.

Fits are Laplace approximations, so that the whole takes a minute or two.
"""

import sys
import time
import warnings
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import nlmebayes as nb
from model_zoo import EffectCompartment, MultiCentre, OneCompartment, ParametricSurvival

matplotlib.use("Agg")
COLUMNS, WIDTH = 4, 4.0  # of the sheet; inches of a picture on it


def theophylline():
    """Twelve subjects after one oral dose: data, prior, fit, its checks, covariates, a forecast, regimens."""
    data = nb.datasets.theophylline()
    yield "data", nb.plot.data(data)
    yield "data_by_weight", nb.plot.data(data, by="wt")
    training = data.drop_sel(id="12")
    model = nb.Model(
        OneCompartment(absorption="first-order"), "cl ~ 1 + log(wt/70) + (1|id)", "v ~ 1 + log(wt/70) + (1|id)",
        "ka ~ 1 + (1|id)", residual=nb.Combined(),
    )  # fmt: skip
    yield "prior", nb.plot.prior(nb.simulate(model, training, random_seed=1), bins=11)
    tree = fitted(model, training)
    yield "fits", nb.plot.fits(tree)
    yield "vpc", nb.plot.vpc(tree, bins=11)
    yield "gof", nb.plot.gof(tree)
    yield "etas", nb.plot.etas(tree)
    yield "forest", nb.plot.forest(tree, {"wt": [50, 60, 80, 90]}, exposure="auc")
    yield "effects_on_a_parameter", nb.plot.effects(tree, "wt", of="cl")
    at = {"wt": [55, 85], "time": np.linspace(0, 24, 97).tolist()}
    yield "effects_over_time", nb.plot.effects(tree, "time", by="wt", at=at, groups="average")
    yield "priors", nb.plot.priors(tree)
    yield "shrinkage", nb.plot.shrinkage(tree, effect="ka")
    patient = data.sel(id="12")
    early = patient.observations["time"].iloc[[2, 5]].tolist()
    forecast = nb.forecast(tree, patient.sel(time=early), random_seed=1)
    yield "forecast", nb.plot.forecast(forecast, held_out=patient)
    plans = [nb.Regimen(amount, start=24.0, every=12.0, doses=6) for amount in (200.0, 300.0, 400.0)]
    targets = [nb.Trough(5.0, 12.0), nb.Peak(8.0, 20.0)]
    yield "regimens", nb.plot.regimens(nb.recommend(forecast, plans, targets))
    yield "doses", nb.plot.doses(forecast, plans[:2], targets)


def occasions():
    """Two occasions a week apart, infusions and a lag, some samples below quantification (case 20)."""
    rng = np.random.default_rng(2)
    times = np.array([0.5, 1.0, 1.5, 2.0, 4.0, 8.0, 12.0])
    frame = pd.DataFrame({"id": np.repeat(np.arange(1, 15), 14), "occ": np.tile(np.repeat([1, 2], 7), 14)})
    frame["time"] = np.tile(np.concatenate([times, 168 + times]), 14)
    doses = pd.DataFrame({"id": np.repeat(np.arange(1, 15), 2), "occ": [1, 2] * 14, "time": [0.0, 168.0] * 14})
    doses = doses.assign(amt=100.0, duration=1.0)
    frame["conc"] = 1.0
    options = {"time": "time", "levels": ["id", "id/occ"], "doses": doses, "subject": "id",
               "units": {"time": "h", "conc": "mg/L", "amount": "mg"}}  # fmt: skip
    data = nb.Dataset.from_frame(frame, outcome="conc", **options)
    model = nb.Model(OneCompartment(), "cl ~ 1 + (1|id) + (1|occ)", "v ~ 1 + (1|id)", residual=nb.Proportional())
    values = {"theta_cl": [np.log(4.0)], "theta_v": [np.log(15.0)], "omega_id": [0.3, 0.2], "omega_occ": [0.2]}
    drawn = nb.simulate(model, data, draws=1, values=values | {"sigma_conc_b": 0.15}, random_seed=3)
    frame["conc"] = drawn["prior_predictive"]["conc"].to_numpy().ravel() * np.exp(0.0 * rng.normal(size=len(frame)))
    data = nb.Dataset.from_frame(frame, outcome="conc", lloq=0.4, **options)
    yield "data_censored", nb.plot.data(data)
    tree = fitted(model, data)
    yield "fits_with_occasions", nb.plot.fits(tree)
    yield "fits_second_page", nb.plot.fits(tree, page=2)
    yield "vpc_censored", nb.plot.vpc(tree, x="tad", log="y")
    yield "gof_censored", nb.plot.gof(tree)


def effects():
    """A concentration and an effect that lags behind it."""
    times = np.array([0.5, 1, 2, 4, 8, 12, 24.0])
    frame = pd.DataFrame({"id": np.repeat(np.arange(4), 7), "time": np.tile(times, 4), "conc": 1.0, "effect": 1.0})
    doses = pd.DataFrame({"id": np.arange(4), "time": 0.0, "amt": 100.0})
    data = nb.Dataset.from_frame(
        frame, outcome=["conc", "effect"], time="time", levels="id", doses=doses,
        units={"time": "h", "conc": "mg/L", "effect": "mmHg"},
    )  # fmt: skip
    model = nb.Model(EffectCompartment())
    tree = nb.simulate(model, data, draws=50, random_seed=1)
    tree["posterior"] = tree["prior"]
    yield "hysteresis", nb.plot.hysteresis(tree)


def sites():
    """A yes or no at eight sites, under a drug or not."""
    rng = np.random.default_rng(4)
    frame = pd.DataFrame({"site": np.repeat(list("abcdefgh"), 30), "age": rng.normal(60, 12, 240).round()})
    frame["arm"] = np.where(np.arange(240) % 2, "drug", "placebo")
    effect = np.repeat(rng.normal(0, 0.8, 8), 30) + 0.9 * (np.arange(240) % 2) + 0.03 * (frame["age"] - 60)
    frame["well"] = (rng.random(240) < 1 / (1 + np.exp(-effect))).astype(float)
    data = nb.Dataset.from_frame(
        frame, outcome="well", levels="site", inputs="arm", duplicates="keep", units={"age": "years"}
    )
    model = nb.Model(
        MultiCentre(), "mu ~ 1 + arm * center(age) + (1 + arm|site)", links={"mu": "logit"}, typical={"mu": 0.5},
        residual=nb.Bernoulli(),
    )  # fmt: skip
    tree = fitted(model, data)
    yield "effects_of_arms", nb.plot.effects(tree, "age", by="arm")
    yield "effects_at_sites", nb.plot.effects(tree, "site", by="arm")


def survival():
    """Times to an event."""
    rng = np.random.default_rng(3)
    frame = pd.DataFrame({"id": np.arange(80), "time": rng.exponential(3, 80).round(1) + 0.1})
    frame["died"] = rng.random(80) < 0.7
    data = nb.Dataset.from_frame(frame, outcome="time", levels="id", status="died", units={"time": "years"})
    yield "survival", nb.plot.vpc(fitted(nb.Model(ParametricSurvival(), residual=nb.TimeToEvent()), data))


def planned():
    """Warfarin (Nyberg et al. 2015) in two arms, one with a window."""
    tree = nb.population(
        OneCompartment(absorption="first-order"), theta={"cl": 0.15, "v": 8.0, "ka": 1.0},
        omega={"variance": {"cl": 0.07, "v": 0.02, "ka": 0.6}}, sigma={"b": 0.1}, about={"units": {"conc": "mg/L"}},
    )  # fmt: skip
    single, loading = {"time": 0, "amt": 70}, {"time": 0, "amt": 70, "addl": 2, "ii": 24}
    arms = [nb.Arm(16, [0.5, 1, 2, (6, 12), 24, 36, 72, 120], doses=single, lloq=0.5),
            nb.Arm(16, [1, 24, 72, 120], doses=loading, name="loading")]  # fmt: skip
    design = nb.Design(arms)
    yield "design", nb.plot.design(tree, design)
    begun = nb.Design([arms[0].but(times=[1, 2, 24, 120])])
    best = nb.optimise_design(tree, begun, free={"times": (0.5, 120.0)}, step={"times": 0.5})
    yield "design_optimal", nb.plot.design(tree, best.rounded, sensitivity=best.sensitivity)
    each = {"both arms": nb.information(tree, design), "the first alone": nb.information(tree, nb.Design(arms[:1]))}
    yield "power", nb.plot.power(each, "ka", null=0.8)


def fitted(model, data):
    return nb.fit(model, data, method="laplace", random_seed=1)


def main(out):
    """Write every picture and the sheet of all of them."""
    out.mkdir(parents=True, exist_ok=True)
    made = []
    for study in (theophylline, occasions, effects, sites, survival, planned):
        start = time.perf_counter()
        for name, figure in study():
            figure.savefig(out / f"{name}.png", dpi=110)
            made.append((name, *figure.get_size_inches()))
            plt.close(figure)
        print(f"{study.__name__}: {time.perf_counter() - start:.0f} s")
    rows = -(-len(made) // COLUMNS)
    figure, axes = plt.subplots(rows, COLUMNS, figsize=(WIDTH * COLUMNS, WIDTH * rows), layout="constrained")
    for axis, (name, *_) in zip(axes.flat, made, strict=False):
        axis.imshow(plt.imread(out / f"{name}.png"))
        axis.set_title(name, fontsize=8)
    for axis in axes.flat:
        axis.axis("off")
    figure.savefig(out / "sheet.png", dpi=150)


if __name__ == "__main__":
    warnings.simplefilter("ignore", UserWarning)
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "contact_sheet"))
