# ---
# jupyter:
#   gallery:
#     field: Pharmacokinetics
#     question: How does it work?
#     asks: "What do concentrations of an antibody tell of the target that removes it?"
#     data: "simulated with stated truth"
#     answer: >-
#       How much target is made, and little of how fast it is lost: only that the two together bend the curve
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
# # Target-mediated disposition: an antibody that its target removes

# %% [markdown]
# ## Question
#
# An antibody binds its target, and the cell takes the two in and digests them. At high concentrations the target is
# full and this hardly shows; at low ones it is the fastest way out. Free antibody is measured after four doses: what
# do the concentrations alone tell of the target, and what can they not tell?

# %% [markdown]
# ## Data and source
#
# Simulated from the full model of Mager and Jusko (2001), *Journal of Pharmacokinetics and Pharmacodynamics* 28,
# 507-532, in which binding takes its time. Sixteen people get a bolus of 30, 100, 300 or 1000 nmol (150 mg of an
# antibody of 150 kDa); a seventeenth, with 300 nmol, comes later. Free antibody is measured nine times in eight
# weeks, from 0.1 nmol/L up; what is below is known to be below. The truth, round numbers for an antibody:
#
# - `cl` 0.2 L/day and `v` 3 L, with log standard deviations of 0.25 and 0.15 between people;
# - a receptor made at `ksyn` 1 nmol/L/day (0.3), with `kdeg` 0.2 per day: 5 nmol/L of it before the dose;
# - the complex is taken in at `kint` 0.5 per day; binding with `kon` 10 L/nmol/day and `koff` 1 per day;
# - a residual of 15 %.

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import nlmebayes as nb
from model_zoo import TargetMediatedDisposition

LIMIT = 0.1
times = [0.1, 1.0, 4.0, 7.0, 14.0, 21.0, 28.0, 42.0, 56.0]
people = np.arange(1, 18)
amounts = np.append(np.tile([30.0, 100.0, 300.0, 1000.0], 4), 300.0)
doses = pd.DataFrame({"id": people, "time": 0.0, "amt": amounts})
frame = pd.DataFrame({"id": np.repeat(people, len(times)), "time": np.tile(times, len(people))})
roles = dict(outcome="conc", time="time", levels="id", doses=doses, units={"conc": "nmol/L"})
design = nb.Dataset.from_frame(frame.assign(conc=1.0), **roles)  # to be simulated

varying = ("cl ~ 1 + (1|id)", "v ~ 1 + (1|id)", "ksyn ~ 1 + (1|id)", "kdeg ~ 1", "kint ~ 1")
full = nb.Model(TargetMediatedDisposition("full"), *varying, "kon ~ 1", "koff ~ 1", residual=nb.Proportional())
values = {"cl": 0.2, "v": 3, "ksyn": 1, "kdeg": 0.2, "kint": 0.5, "kon": 10, "koff": 1}
truth = {f"theta_{name}": [np.log(value)] for name, value in values.items()}
truth |= {"omega_id": [0.25, 0.15, 0.3], "sigma_conc_b": 0.15}
drawn = nb.simulate(full, design, draws=1, values=truth, random_seed=1)["prior_predictive"]
data = nb.Dataset.from_frame(frame.assign(conc=drawn["conc"].to_numpy().ravel()), lloq=LIMIT, **roles)
training, person = data.drop_sel(id="17"), data.sel(id="17")
print(training)

# %% [markdown]
# ## Model
#
# The fit does not use the law that made the data but its approximation (Gibiansky, Gibiansky, Kakkar and Ma 2008, the
# same journal 35, 573-591). Binding is over within hours and the samples are days apart, so the complex is taken to
# be at every time what its own balance asks for. Then `kon` and `koff` act only through one number,
#
#     kss = (koff + kint) / kon = 0.15 nmol/L
#
# This is a statement about the data too: no sample here is early enough to see the binding, so with the full model
# the posterior of `kon` would be its prior, and `koff` would follow it.

# %%
model = nb.Model(
    TargetMediatedDisposition("quasi-steady-state"), *varying, "kss ~ 1", residual=nb.Proportional(),
)  # fmt: skip
print(model)

# %% [markdown]
# ## Prior check
#
# Measurements below the limit stand at the limit.

# %%
figure = nb.plot.prior(nb.simulate(model, training, random_seed=1))
figure.axes[0].set_yscale("symlog", linthresh=LIMIT)

# %% [markdown]
# ## Fit

# %%
settings = dict(draws=1000, tune=1000, chains=4, random_seed=1)
tree = nb.fit(model, training, **settings)

# %% [markdown]
# ## Check

# %%
print(nb.check(tree))

# %%
true = values | {"kss": 0.15, "omega_id cl": 0.25, "omega_id v": 0.15, "omega_id ksyn": 0.3, "sigma_conc_b": 0.15}
table = nb.summary(tree).set_index("quantity")[["mean", "eti_lb", "eti_ub"]].assign(truth=pd.Series(true))
print(table.round(3).to_string())

# %% [markdown]
# How much a number was learnt shows beside its prior, whose standard deviation is 1 on the log scale. `cl`, `v` and
# `ksyn` are known well: a full target removes `ksyn` V nmol a day, whatever the other numbers. `kdeg` and `kint` show
# only in how much antibody the target takes up at first and where the curve bends, and `kss` only in the few samples
# near it. What the receptor does was not measured; `kdeg` and `kint` tell of it through the model alone.

# %%
posterior = tree["posterior"]
names = ["cl", "v", "ksyn", "kdeg", "kint", "kss"]
logs = pd.DataFrame({name: posterior[f"theta_{name}"].to_numpy().ravel() for name in names})
print(logs.corr().round(2).assign(sd=logs.std().round(2), prior_sd=1.0).to_string())

# %%
units = {parameter.name: parameter.unit for parameter in model.parameters}
figure, axes = plt.subplots(1, 3, figsize=(9, 3), layout="constrained")
for axis, (x, y) in zip(axes, (("ksyn", "kdeg"), ("kint", "kdeg"), ("kint", "kss")), strict=True):
    axis.scatter(np.exp(logs[x]), np.exp(logs[y]), s=4, alpha=0.3)
    axis.plot(values[x], true[y], "k*", markersize=12)
    axis.set(xlabel=f"{x} ({units[x]})", ylabel=f"{y} ({units[y]})", xscale="log", yscale="log")

# %% [markdown]
# One person of each dose. The curve is straight on the log scale while the target is full, and falls off where the
# antibody runs out; a higher dose comes to that point later, and a linear model cannot.

# %%
figure = nb.plot.fits(tree, subjects=["1", "2", "3", "4"])
for axis in figure.axes:
    axis.set(yscale="log", ylim=(0.01, 1000))

# %% [markdown]
# ## Forecast
#
# Person 17 got 300 nmol and was seen on days 1 and 7. When does the antibody run out?

# %%
visits = [1, 7]
forecast = nb.forecast(tree, person.sel(time=visits), random_seed=1)
held_out = person.drop_sel(time=visits)
figure = nb.plot.forecast(forecast, times=np.linspace(0.1, 56, 113), held_out=held_out)
figure.axes[0].set_yscale("symlog", linthresh=LIMIT)

# %% [markdown]
# A sample below the limit lies in its interval if the interval reaches below the limit.

# %%
later = held_out.observations
predicted = nb.predict(forecast, held_out, random_seed=1)["posterior_predictive"]["conc"]
low, median, high = predicted.quantile([0.05, 0.5, 0.95], dim=("chain", "draw")).to_numpy()
table = later[["time", "value"]].assign(below=later["lower"].notna(), eti_lb=low, median=median, eti_ub=high)
table["inside"] = np.where(table["below"], low < LIMIT, table["value"].between(low, high))
print(table.round(2).to_string(index=False))
print(f"{table['inside'].sum()} of {len(table)} samples lie in their 90 % interval")

# %% [markdown]
# ## What could be wrong
#
# - `kon` and `koff` cannot be told from these data, nor their ratio: `kss` holds `kint` too. Affinity measured in the
#   laboratory can enter as a prior, samples in the first hours as data.
# - The baseline of the receptor, ksyn / kdeg, is the model's word. Measure the receptor (the outcome `receptor`) if the
#   question is about it.
# - Right after a bolus the approximation has the target full already; a sample within minutes would be misfitted.
# - An antibody has a second compartment (`peripheral=True`). Without it, distribution in the first days would be
#   taken for binding; here it was simulated without.
# - Assays differ in what they measure, free or total antibody. The outcome here is the free one.
