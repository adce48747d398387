# ---
# jupyter:
#   gallery:
#     field: Pharmacokinetics
#     question: How does it work?
#     asks: "What do three samples per patient tell of elimination that saturates?"
#     data: "real: puromycin; simulated with stated truth"
#     answer: >-
#       Three samples tell the population, and of each patient `vmax` and `km` together rather than each; puromycin
#       raises the capacity by a third
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
# # Elimination that saturates: phenytoin from three samples per patient

# %% [markdown]
# ## Question
#
# The enzymes that remove phenytoin work near their capacity at the usual doses. A patient whose level is too low on
# 200 mg a day gets 300 mg: half as much again in, and then how much more in the blood? What can three samples per
# patient tell of the capacity (`vmax`) and of the concentration at half of it (`km`)?

# %% [markdown]
# ## Data and source
#
# Simulated, so that the truth is known. The typical values are those of Grasela, Sheiner and others (1983), *Clinical
# Pharmacokinetics* 8, 355-364, for an adult of 70 kg: `vmax` 415 mg a day (17.3 mg/h) and `km` 5.7 mg/L, which vary
# from patient to patient with coefficients of variation of 10 to 20 % and about 50 %. Sixteen patients start on
# 200 or 300 mg a day, in slow-release capsules; after two weeks it is 300 or 350 mg. Blood is taken on days 7, 14 and
# 28. Patient 17 comes later. The truth:
#
# - `vmax` 17.3 mg/h and `km` 5.7 mg/L, with log standard deviations of 0.15 and 0.4 between patients;
# - a volume of 45 L, the same for all; a residual of 10 %.
#
# Capsules several times a day, slowly absorbed, are nearly a constant input, and like the source we take the mean dose
# rate: each regimen is one infusion in the dose record. (Every dose can be written out instead, with `ii` and `addl`
# and `absorption="first-order"`; it takes far more computation and needs samples that tell `ka`.)

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import nlmebayes as nb
from model_zoo import Emax, MichaelisMenten

DAY = 24.0
people = np.arange(1, 18)
low = people % 2 == 1
starts = pd.DataFrame({"id": people, "time": 0.0, "amt": np.where(low, 200.0, 300.0) * 14, "duration": 14 * DAY})
raised = starts.assign(time=14 * DAY, amt=np.where(low, 300.0, 350.0) * 21, duration=21 * DAY)
doses = pd.concat([starts, raised]).sort_values(["id", "time"])
days = [7, 14, 28]
frame = pd.DataFrame({"id": np.repeat(people, 3), "time": np.tile(days, len(people)) * DAY})
extra = pd.DataFrame({"id": 17, "time": np.array([21, 35]) * DAY})
frame = pd.concat([frame, extra]).sort_values(["id", "time"])
roles = dict(outcome="conc", time="time", levels="id", units={"conc": "mg/L"})
design = nb.Dataset.from_frame(frame.assign(conc=1.0), doses=doses, **roles)

# %% [markdown]
# ## Model
#
#     A' = R - vmax C / (km + C)          C = A / v
#
# Far below `km` this is a clearance of vmax / km; far above it `vmax` mg per hour leave whatever the concentration.
# Where the dose rate R is below `vmax` the concentration settles at km R / (vmax - R), and close to `vmax` this is
# steep. It also takes long: weeks, not days. So nobody here is at a steady state for sure, and the model does not
# assume it. `v` does not vary from patient to patient; for that these data would not do.

# %%
model = nb.Model(
    MichaelisMenten(),
    "vmax ~ 1 + (1|id)",
    "km ~ 1 + (1|id)",
    "v ~ 1",
    residual=nb.Proportional(),
)
print(model)

# %%
truth = {
    "theta_vmax": [np.log(17.3)], "theta_km": [np.log(5.7)], "theta_v": [np.log(45)],
    "omega_id": [0.15, 0.4], "sigma_conc_b": 0.1,
}  # fmt: skip
drawn = nb.simulate(model, design, draws=1, values=truth, random_seed=1)["prior_predictive"]
data = design.with_values(conc=drawn["conc"].to_numpy().ravel())
training, patient = data.drop_sel(id="17"), data.sel(id="17")
print(training)

# %% [markdown]
# ## Prior check
#
# The prior allows a capacity below the dose rate, with concentrations that rise without end, and one far above it.
# Below 0 is the residual, whose size it leaves open.

# %%
prior = nb.simulate(model, training, random_seed=1)
figure = nb.plot.prior(prior)
figure.axes[0].set_yscale("symlog", linthresh=1)

# %% [markdown]
# ## Fit

# %%
settings = dict(draws=1000, tune=1000, chains=4, random_seed=1)
tree = nb.fit(model, training, **settings)

# %% [markdown]
# ## Check
#
# Records with a large Pareto k: three samples of a patient carry two effects, and leaving out one of them is no good
# test.

# %%
print(nb.check(tree))

# %%
true = {"vmax": 17.3, "km": 5.7, "v": 45, "omega_id vmax": 0.15, "omega_id km": 0.4, "sigma_conc_b": 0.1}
table = nb.summary(tree).set_index("quantity")[["mean", "eti_lb", "eti_ub"]].assign(truth=pd.Series(true))
print(table.round(3).to_string())

# %% [markdown]
# In one patient `vmax` and `km` are known together rather than each. A level fixes the rate of elimination there,
# vmax C / (km + C), and a larger capacity with a larger `km` gives the same rate: the more the
# samples lie at one concentration, the more so.
# Two dose rates per patient make two points on that curve, and these part the two numbers a
# little. The typical values are less entangled, for the patients' levels lie far apart.

# %%
posterior = tree["posterior"]
vmax, km = (np.exp(posterior[f"theta_{name}"].to_numpy().ravel()) for name in ("vmax", "km"))
each = {name: np.log(posterior[name].to_numpy()).reshape(len(vmax), -1) for name in ("vmax", "km")}
own = [np.corrcoef(a, b)[0, 1] for a, b in zip(each["vmax"].T, each["km"].T, strict=True)]
print(f"correlation of log vmax and log km: {np.corrcoef(np.log(vmax), np.log(km))[0, 1]:.2f} of the typical patient,")
print(f"{np.median(own):.2f} of a patient in the middle ({min(own):.2f} to {max(own):.2f})")

# %%
figure, (axis, curve) = plt.subplots(1, 2, figsize=(9, 3.5), layout="constrained")
axis.scatter(vmax, km, s=4, alpha=0.3)
axis.plot(17.3, 5.7, "k*", markersize=12, label="truth")
axis.set(xlabel="vmax (mg/h)", ylabel="km (mg/L)", title="typical patient")
legend = axis.legend(frameon=False)
c = np.linspace(0, 40, 81)
rates = np.quantile(vmax[:, None] * c / (km[:, None] + c), [0.05, 0.5, 0.95], axis=0) * DAY
curve.fill_between(c, rates[0], rates[2], alpha=0.3, linewidth=0, label="band of 90 %")
curve.plot(c, rates[1], label="median")
curve.plot(c, 17.3 * DAY * c / (5.7 + c), "k--", label="truth")
curve.set(xlabel="concentration (mg/L)", ylabel="elimination (mg a day)", title="its elimination")
legend = curve.legend(frameon=False)

# %% [markdown]
# What a dose needs is the curve on the right, and where the samples lie it is known better than either number.

# %%
figure = nb.plot.fits(tree, subjects=["1", "2", "3", "4"])
figure = nb.plot.vpc(tree)

# %% [markdown]
# ### On measured data: the law in a test tube
#
# The same law rules the initial rate of a reaction: rate = vmax C / (km + C), with C the substrate. R's `Puromycin` has
# the rates of an enzyme that was treated with puromycin and of one that was not (Treloar 1974; Bates and Watts 1988,
# *Nonlinear Regression Analysis and Its Applications*, appendix A1.3). Does the treatment change the capacity, or the
# affinity? In the words of the zoo this is `Emax` without a baseline, by maximum likelihood.

# %%
enzyme = nb.fit(
    nb.Model(
        Emax(), "e0 ~ 0 + offset(0)", 'emax ~ 1 + T(state, "untreated")', 'ec50 ~ 1 + T(state, "untreated")',
        inputs={"concentration": "conc"}, typical={"emax": (200.0, 0.5), "ec50": (0.05, 1.0)}, residual=nb.Additive(),
    ),
    nb.datasets.puromycin(), method="ml", random_seed=1,
)  # fmt: skip
rows = nb.summary(enzyme).set_index("quantity")[["mean", "eti_lb", "eti_ub"]]
print(rows.round(4).to_string())
for words, parameter in (("capacity", "emax"), ("km", "ec50")):
    factor, low, high = np.exp(rows.loc[[name for name in rows.index if name.startswith(f"{parameter}: ")]].iloc[0])
    print(f"treated, {words}: {factor:.2f} times that of the untreated enzyme ({low:.2f} to {high:.2f})")

# %%
figure, axis = plt.subplots(figsize=(4.8, 3.4), layout="constrained")
reaction, ppm = nb.datasets.puromycin().observations, np.linspace(0, 1.15, 200)
for state, values in reaction.groupby("state", observed=True):
    points = axis.plot(values["conc"], values["value"], "o", label=state)
    capacity, half = (enzyme["posterior"][name].squeeze().to_series()[state] for name in ("emax", "ec50"))
    axis.plot(ppm, capacity * ppm / (half + ppm), color=points[0].get_color())
axis.set(xlabel="substrate (ppm)", ylabel="rate (counts/min²)", ylim=(0, None))
legend = axis.legend(frameon=False, loc="lower right")

# %% [markdown]
# ## Forecast
#
# Patient 17 takes 200 mg a day. Two samples are known, from days 7 and 14, before the dose is raised to 300 mg. What
# follows from that for days 21 to 35?

# %%
known = [7 * DAY, 14 * DAY]
forecast = nb.forecast(tree, patient.sel(time=known), random_seed=1)
held_out = patient.drop_sel(time=known)
figure = nb.plot.forecast(forecast, times=np.linspace(0, 35 * DAY, 106), held_out=held_out)

# %%
later = held_out.observations
predicted = nb.predict(forecast, held_out, random_seed=1)["posterior_predictive"]["conc"]
low, median, high = predicted.quantile([0.05, 0.5, 0.95], dim=("chain", "draw")).to_numpy()
table = later[["time", "value"]].assign(day=later["time"] / DAY, eti_lb=low, median=median, eti_ub=high)
table["inside"] = table["value"].between(low, high)
print(table.round(2).to_string(index=False))
print(f"{table['inside'].sum()} of {len(table)} samples lie in their 90 % interval")

# %% [markdown]
# A linear drug would rise by half. Here the rise is expected to be larger, and the interval is wide and skewed:
# two samples at one dose leave open how close to the capacity 300 mg a day is. A sample a
# week after the change would tell.

# %%
before = patient.observations["value"].to_numpy()[1]
print(f"day 14: {before:.1f} mg/L; day 35: {median[-1]:.1f} mg/L ({low[-1]:.1f} to {high[-1]:.1f}) expected,")
print(f"{1.5 * before:.1f} mg/L if the drug were linear")

# %% [markdown]
# ## What could be wrong
#
# - The data come from the model that was fitted. In patients capsules are forgotten, and a forgotten one looks like
#   a larger capacity.
# - Weight and age are left out; the source found `vmax` to grow as weight to the power 0.6, and `km` to be smaller in
#   children.
# - Levels rise and fall within the day, by some mg/L with one tablet a day. The mean dose rate does not, and samples
#   that are all taken before the tablet would then make `vmax` look larger.
# - The volume shows only in how slowly levels rise.
# - With one dose rate per patient `vmax` and `km` of a patient could not be parted; the population and its priors
#   would decide.
# - A steady state was not assumed. If it is (SS=1), a patient whose dose rate is above `vmax` has none, and such
#   values count as impossible: an assumption, not a finding.
