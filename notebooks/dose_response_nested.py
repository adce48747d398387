# ---
# jupyter:
#   gallery:
#     picture: 2
#     field: Oncology
#     question: Does it work, and for whom?
#     asks: "Whose tumour is sensitive, when plates of the same line disagree?"
#     data: "real: dnase; simulated with stated truth"
#     answer: >-
#       The most sensitive of 19 patients has rank 1 to 10, for plates and lines of one patient disagree; a common
#       calibration of an assay errs by a tenth
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Dose response of organoids: whose tumour is sensitive?

# %% [markdown]
# ## Question
#
# Organoids of a patient's tumour are grown as lines, plated, and given a drug at nine doses. Which patients are
# sensitive, and how sure is that when plates of the same line disagree?

# %% [markdown]
# ## Data and source
#
# The data are simulated, so that the answer is known (public screens of this kind may not be shipped; the tests
# compare with one, by name): twenty patients with one or two lines, each on one to three plates. The EC50 varies by a
# factor of e^0.8 among patients, e^0.3 among lines and e^0.25 among plates; plates differ in their level, patients in
# the part that survives. Curve and summaries are those of Fallahi-Sichani et al. (2013), *Nature Chemical Biology* 9,
# 708-714, doi:10.1038/nchembio.1337.

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import nlmebayes as nb
from model_zoo import DoseResponseNested

rng = np.random.default_rng(11)
doses = np.round([0.0, *np.geomspace(0.01, 30, 8)], 3)
records = []
for patient in range(1, 21):
    for line in "ab"[: rng.integers(1, 3)]:
        records += [(f"P{patient:02d}", line, plate, dose) for plate in range(rng.integers(1, 4)) for dose in doses]
frame = pd.DataFrame(records, columns=["patient", "line", "plate", "dose"]).assign(viability=1.0)
levels = ("patient", "patient/line", "patient/line/plate")
units = {"viability": "of control", "dose": "umol/L"}
design = nb.Dataset.from_frame(
    frame, outcome="viability", levels=levels, inputs=["dose"], subject="patient", units=units
)

# %% [markdown]
# ## Model
#
# EC50 at every level, the resistant part by patient, the level by plate.

# %%
structure = DoseResponseNested()
model = nb.Model(
    structure,
    "top ~ 1 + (1|plate)", "bottom ~ 1 + (1|patient)", "ec50 ~ 1 + (1|patient/line/plate)", "hill ~ 1",
)  # fmt: skip
truth = {
    "theta_top": [1.0], "theta_bottom": [0.15], "theta_ec50": [np.log(0.4)], "theta_hill": [np.log(1.3)],
    "omega_patient": [0.08, 0.8], "omega_line": [0.3], "omega_plate": [0.06, 0.25], "sigma_viability_a": 0.06,
}  # fmt: skip
study = nb.simulate(model, design, values=truth, draws=1, random_seed=5)
data = design.with_values(viability=study["prior_predictive"]["viability"].to_numpy().ravel())
new = "P20"
training = data.drop_sel(patient=new)
print(model)

# %% [markdown]
# ## Prior check

# %%
figure = nb.plot.prior(nb.simulate(model, training, random_seed=1), x="dose", bins=9)
figure.axes[0].set_xscale("symlog", linthresh=0.01)

# %% [markdown]
# ## Fit

# %%
settings = dict(draws=1000, tune=1000, chains=4, random_seed=1)
tree = nb.fit(model, training, **settings)

# %% [markdown]
# ## Check
#
# Records with a large Pareto k are of plates: nine doses carry a level and an EC50 of their own. The truth: EC50 0.4,
# log SDs of 0.8 among patients, 0.3 among lines and 0.25 among plates.

# %%
print(nb.check(tree))
own = np.log(0.4) + study["prior"]["eta_patient"].sel(patient_effect="ec50").to_numpy().ravel()[:-1]
print(f"of the patients that were drawn: EC50 {np.exp(own.mean()):.2f}, log SD {own.std(ddof=1):.2f}")

# %% [markdown]
# The variance of a viability depends on the dose: near the EC50 it is that of the EC50 of the patient, at high doses
# that of the resistant part, without drug that of the plate. The split is by simulation, for the curve is no line.

# %%
shares = {}
for dose in (0.0, 0.4, 30.0):
    row = training.observations.iloc[[0]].assign(dose=dose, viability=np.nan, line="a", plate="0")
    one = nb.Dataset.from_frame(
        row[["patient", "line", "plate", "dose", "viability"]], outcome="viability", levels=levels, inputs=["dose"],
        unmeasured="predict",
    )  # fmt: skip
    shares[f"{dose} umol/L"] = nb.intervals(nb.partition(tree, one, draws=100, random_seed=1)["share"])["mean"]
print(pd.DataFrame(shares).round(3).to_string())

# %% [markdown]
# Patients by their EC50 (that of a typical line and plate), with the ranks that the data allow, and the truth.

# %%
eta = tree["posterior"]["eta_patient"].sel(patient_effect="ec50")
ranks = nb.ranking(eta, above=0.0, largest_first=False)
print(ranks[["mean", "rank", "rank_eti_lb", "rank_eti_ub", "p_first"]].round(2).head(8).to_string())

typical = tree["posterior"]["theta_ec50"].sel(ec50_term="Intercept")
ec50 = np.exp(typical + eta).quantile([0.05, 0.5, 0.95], dim=("chain", "draw")).sel(patient=ranks.index)
actual = 0.4 * np.exp(study["prior"]["eta_patient"].sel(patient_effect="ec50", patient=ranks.index)).to_numpy().ravel()
low, median, high = ec50.to_numpy()
figure, axis = plt.subplots(figsize=(4.8, 4.2), layout="constrained")
place = np.arange(len(ranks))
axis.hlines(place, low, high)
axis.plot(median, place, "o", label="median, 90 % interval")
axis.plot(actual, place, "x", color="black", label="truth")
axis.set_yticks(place, ranks.index)
axis.set(xlabel="EC50 (umol/L)", xscale="log")
axis.set_xticks([0.1, 0.2, 0.5, 1], ["0.1", "0.2", "0.5", "1"])
legend = axis.legend(frameon=False, loc="lower right")

# %%
figure = nb.plot.fits(tree, x="dose")
figure.axes[0].set_xscale("symlog", linthresh=0.01)

# %% [markdown]
# The area under the curve sums it up for each plate, for every draw.

# %%
auc = structure.auc(tree["posterior"], 0.01, 30.0)
print(nb.intervals(auc).round(3).head(6).to_string())

# %% [markdown]
# ### On measured data: eleven runs of an assay
#
# An ELISA for DNase was run eleven times with known concentrations, in duplicate (R's `DNase`; Davidian and Giltinan
# 1995, *Nonlinear Models for Repeated Measurement Data*, section 5.2.4). A run is a plate, and the optical density
# rises where viability falls, so that `bottom` is the density of a saturated well. By maximum likelihood.

# %%
assay = nb.Model(
    structure, "top ~ 1", "bottom ~ 1 + (1|Run)", "ec50 ~ 1 + (1|Run)", "hill ~ 1", inputs={"dose": "conc"},
    typical={"top": (0.0, 0.2), "bottom": (2.0, 1.0), "ec50": (4.0, 1.0)}, residual=nb.Additive(),
)  # fmt: skip
runs = nb.fit(assay, nb.datasets.dnase(), method="ml", random_seed=1)
print(nb.summary(runs)[["quantity", "mean", "sd", "eti_lb", "eti_ub"]].round(4).to_string(index=False))

# %% [markdown]
# Must each run have its own calibration curve? A density of 1 is read as a concentration by the curve of each run, and
# by the typical curve. (EC50 is in ng/mL here.)

# %%
found = runs["posterior"].to_dataset().squeeze()


def read_at(density, top, bottom, ec50, hill):
    """Concentration (ng/mL) whose optical density is ``density``."""
    return ec50 * ((density - top) / (bottom - density)) ** (1 / hill)


read = read_at(1.0, *(found[name] for name in ("top", "bottom", "ec50", "hill"))).to_numpy()
typical = [float(found[f"theta_{name}"].item()) for name in ("top", "bottom", "ec50", "hill")]
typical = read_at(1.0, *typical[:2], *np.exp(typical[2:]))
print(
    f"a density of 1 is {typical:.2f} ng/mL by the typical curve, {read.min():.2f} to {read.max():.2f} by the runs' own"
)
print(f"a common curve would be wrong by up to {100 * np.abs(typical / read - 1).max():.0f} %")
figure = nb.plot.fits(runs, x="conc", columns=4)
for axis in figure.axes:
    axis.set_xscale("log")

# %% [markdown]
# ## Forecast
#
# A new patient, of whose plates the lowest doses are known: what do the higher ones do?

# %%
early = doses[:6].tolist()
forecast = nb.forecast(tree, data.sel(patient=new, dose=early), random_seed=1)
held_out = data.sel(patient=new).drop_sel(dose=early)
later = held_out.observations
predicted = nb.predict(forecast, held_out, random_seed=1)["posterior_predictive"]["viability"]
low, median, high = predicted.quantile([0.05, 0.5, 0.95], dim=("chain", "draw")).to_numpy()
print(f"{later['value'].between(low, high).sum()} of {len(later)} measurements lie in their 90 % interval")

seen = data.sel(patient=new, dose=early).observations
plates = later["plate"].unique()
figure, axes = plt.subplots(1, len(plates), figsize=(2.2 + 2.2 * len(plates), 3.2), sharey=True, layout="constrained")
for axis, plate in zip(np.atleast_1d(axes), plates, strict=True):
    of_plate, known = (later["plate"] == plate).to_numpy(), seen[seen["plate"] == plate]
    axis.errorbar(
        later["dose"][of_plate], median[of_plate], [(median - low)[of_plate], (high - median)[of_plate]], fmt="_",
        color="#3b6ea5", label="forecast, 90 % interval",
    )  # fmt: skip
    axis.plot(known["dose"], known["value"], "o", color="black", label="known")
    kept = later[of_plate]
    axis.plot(kept["dose"], kept["value"], "o", color="black", fillstyle="none", label="kept back")
    axis.set(xlabel="dose (umol/L)", title=f"plate {plate}", xlim=(-0.002, 60))
    axis.set_xscale("symlog", linthresh=0.01)
np.atleast_1d(axes)[0].set_ylabel("viability (of control)")
handles, labels = np.atleast_1d(axes)[0].get_legend_handles_labels()
legend = figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)

# %% [markdown]
# ## What could be wrong
#
# - A curve that has not come down at the highest dose does not tell EC50 from the resistant part; look at the
#   correlation of the two before you name a patient resistant.
# - Wells of a plate share its errors beyond level and EC50 (edges, pipetting), and a few are far off: `nb.StudentT()`.
# - The slope is the same for all. Where it is not, it would vary by patient: `hill ~ 1 + (1|patient)`.
