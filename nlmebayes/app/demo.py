"""Theophylline end to end: read, fit, check, save, forecast a left-out patient, choose a dose."""

import numpy as np

import nlmebayes as nb
from nlmebayes.files import trees, whole

LEFT_OUT, SAMPLES = "12", (1.0, 9.03)  # the patient and the times (h) of the two samples it is forecast from


def run(structure, folder, say, *, draws=1000, tune=1000, chains=4, seed=1, progressbar=True):
    """Write figures, tables and the fitted tree into ``folder``; ``say`` reports each step.

    Parameters
    ----------
    structure : Structure
        A one-compartment model with first-order absorption.
    folder : pathlib.Path
    say : callable of str
    """
    data = nb.datasets.theophylline()
    say(str(data))
    model = nb.Model(
        structure, "cl ~ 1 + log(wt/70) + (1|id)", "v ~ 1 + log(wt/70) + (1|id)", "ka ~ 1 + (1|id)",
        residual=nb.Combined(),
    )  # fmt: skip
    say(f"\n{model}\n\nFitting 11 patients; patient {LEFT_OUT} is left out.")
    train, held_out = data.drop_sel(id=LEFT_OUT), data.sel(id=LEFT_OUT)
    tree = nb.fit(model, train, draws=draws, tune=tune, chains=chains, random_seed=seed, progressbar=progressbar)
    trees.save(tree, folder / "population.nc")
    report = nb.check(tree)
    say(f"\n{report}")
    with whole.file(folder / "check.txt", force=True) as file:
        file.write_text(f"{report}\n", encoding="utf-8")
    with whole.file(folder / "population.csv", force=True) as file:
        report.population.to_csv(file, index=False)
    patient = held_out.sel(time=list(SAMPLES))
    forecast = nb.forecast(tree, patient, random_seed=seed)
    inside, others = coverage(model, forecast, held_out, seed)
    say(
        f"\nPatient {LEFT_OUT}, forecast from samples at {SAMPLES[0]:g} and {SAMPLES[1]:g} h: {inside} of the {others} "
        "other samples lie in the 95 % band."
    )
    regimens = [nb.Regimen(mg, start=24, every=12, doses=6) for mg in range(100, 501, 50)]
    table = nb.recommend(forecast, regimens, nb.Trough(5, 10, time=96))
    with whole.file(folder / "regimens.csv", force=True) as file:
        table.to_csv(file, index=False)
    best = table.iloc[0]
    say(
        f"\nDose for a trough of 5 to 10 mg/L at 96 h: {best['regimen']} (mg, h): probability {best['p_in']:.2f} "
        f"(Monte Carlo error {best['mcse']:.2f}); below {best['p_below']:.2f}, above {best['p_above']:.2f}."
    )
    for name, figure in pictures(model, tree, forecast, table, held_out):
        with whole.file(folder / f"{name}.png", force=True) as file:
            figure.savefig(file, dpi=120, format="png")
    say(f"\nWritten to {folder}: " + ", ".join(sorted(path.name for path in folder.iterdir())))


def coverage(model, forecast, held_out, seed):
    """How many of the samples the forecast has not seen lie in its central 95 % band, and how many there are."""
    others = ~held_out.observations["time"].isin(SAMPLES).to_numpy()
    predicted = nb.predict(forecast, held_out, random_seed=seed)["posterior_predictive"]["conc"]
    low, high = predicted.quantile([0.025, 0.975], dim=("chain", "draw")).to_numpy()
    seen = held_out.observations["value"].to_numpy()
    return int(np.sum((seen >= low) & (seen <= high) & others)), int(others.sum())


def pictures(model, tree, forecast, table, held_out):
    """Name and figure, one after the other."""
    yield "prior", nb.plot.prior(nb.simulate(model, nb.datasets.theophylline(), random_seed=1))
    yield "fits", nb.plot.fits(tree)
    yield "vpc", nb.plot.vpc(tree)
    yield "forecast", nb.plot.forecast(forecast, np.linspace(0, 30, 121), held_out=held_out)
    yield "regimens", nb.plot.regimens(table)
