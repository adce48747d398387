# ---
# jupyter:
#   gallery:
#     picture: 4
#     field: Pharmacokinetics
#     question: Which dose?
#     asks: "Which dose comes next, when a third more of it may give three times as much in the blood?"
#     picture: 4
#     data: "simulated with stated truth"
#     answer: >-
#       360 mg a day in place of 300: in range with probability 0.80, above it 0.16 (of 400 mg 0.75); whoever fears that
#       more gives 330 mg
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
# # Phenytoin: the next dose of a drug whose elimination saturates

# %% [markdown]
# ## Question
#
# A patient on 300 mg of phenytoin a day has 7 mg/L, and 10 to 20 are wanted. A third more of the dose gives how much
# more in the blood? With linear kinetics the answer would be a third; here it may be threefold. The dose must be
# found on the model, and not by proportion. And what is the risk?

# %% [markdown]
# ## Data and source
#
# Simulated: twenty adults with the parameters of Grasela et al. (1983), *Clinical Pharmacokinetics* 8, 355-364,
# `vmax` 415 mg a day and `km` 5.7 mg/L, log standard deviations 0.15 and 0.4, a volume of 45 L for all, a
# residual of 10 %. They take 200 or 300 mg a day for two weeks, then 50 or 100 mg more; levels are taken on days 7,
# 14 and 28. Slow-release capsules several times a day are nearly a constant input, so each day is one infusion of 24
# h.

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import nlmebayes as nb
from model_zoo import MichaelisMenten

people = np.arange(1, 21)
first = np.where(people % 2 == 1, 200.0, 300.0)
starts = pd.DataFrame({"id": people, "time": 0.0, "amt": first * 14, "duration": 14.0})
raised = starts.assign(time=14.0, amt=(first + np.where(people % 4 < 2, 50, 100)) * 14)
doses = pd.concat([starts, raised]).sort_values(["id", "time"])
frame = pd.DataFrame({"id": np.repeat(people, 3), "time": np.tile([7.0, 14.0, 28.0], len(people)), "conc": 1.0})
roles = dict(outcome="conc", time="time", levels="id", units={"time": "day", "conc": "mg/L", "amount": "mg"})
design = nb.Dataset.from_frame(frame, doses=doses, **roles)

# %% [markdown]
# ## Model
#
#     A' = R - vmax C / (km + C)          C = A / v
#
# A dose rate R below `vmax` leads to km R / (vmax - R); one above it leads nowhere, the level rises on and on. The
# class counts in hours; here all is said in days.

# %%
model = nb.Model(
    MichaelisMenten(), "vmax ~ 1 + (1|id)", "km ~ 1 + (1|id)", "v ~ 1",
    typical={"vmax": (400.0, 0.3), "km": (5.7, 0.5), "v": (45.0, 0.2)}, residual=nb.Proportional(),
    units={"time": "day"},
)  # fmt: skip
print(model)

# %%
truth = {
    "theta_vmax": [np.log(415.0)], "theta_km": [np.log(5.7)], "theta_v": [np.log(45.0)], "omega_id": [0.15, 0.4],
    "sigma_conc_b": 0.1,
}  # fmt: skip
drawn = nb.simulate(model, design, draws=1, values=truth, random_seed=3)
training = design.with_values(conc=drawn["prior_predictive"]["conc"].to_numpy().ravel())

# %% [markdown]
# ## Prior check

# %%
figure = nb.plot.prior(nb.simulate(model, training, draws=200, random_seed=1), bins=3)

# %% [markdown]
# ## Fit

# %%
settings = dict(draws=1000, tune=1000, chains=4, random_seed=1)
tree = nb.fit(model, training, **settings)

# %% [markdown]
# ## Check
#
# Three levels tell two effects of a person, so that one in five has a large Pareto k when it is left out; the report
# names them. The predictive p-values are the test here.

# %%
print(nb.check(tree))
figure = nb.plot.fits(tree, subjects=range(1, 9))

# %% [markdown]
# ## Forecast
#
# The patient takes 300 mg a day, and has 5.1 mg/L on day 5 and 7 mg/L on day 10. Two later levels on the same dose,
# 7.4 and 7.6 mg/L on days 15 and 20, are kept back.

# %%
taken = pd.DataFrame({"id": "new", "time": [0.0], "amt": [300.0 * 20], "duration": [20.0]})
levels = pd.DataFrame({"id": "new", "time": [5.0, 10.0, 15.0, 20.0], "conc": [5.1, 7.0, 7.4, 7.6]})
patient = nb.Dataset.from_frame(levels, doses=taken, **roles)
early, held_out = patient.sel(time=[5.0, 10.0]), patient.sel(time=[15.0, 20.0])
forecast = nb.forecast(tree, early, random_seed=1)
predicted = nb.predict(forecast, held_out, random_seed=1)["posterior_predictive"]["conc"]
low, high = predicted.quantile([0.05, 0.95], dim=("chain", "draw")).to_numpy()
seen = held_out.observations["value"].between(low, high)
print(f"{seen.sum()} of {len(seen)} levels lie in their 90 % interval")
figure = nb.plot.forecast(forecast, times=np.linspace(0.05, 20, 200), held_out=held_out)

# %% [markdown]
# From day 20 on, capsules of 30 and 100 mg make up the daily dose. The level four weeks later is the target. The
# model is evaluated for every dose, for nothing scales here.

# %%
month = dict(start=20, every=1, doses=28, duration=1)
amounts = [300.0, 330.0, 360.0, 400.0, 430.0, 460.0]
table = nb.recommend(forecast, nb.regimens(amounts, **month), nb.Trough(10, 20))
columns = ["amount", "p_below", "p_in", "p_above", "mcse", "eti_lb", "median", "eti_ub"]
print(table[columns].sort_values("amount").round(2).to_string(index=False))

# %% [markdown]
# Between a dose that changes little and one that poisons lie tens of milligrams. The curve of the median is what the
# proportion would have missed:

# %%
found = table.sort_values("amount")
figure, axis = plt.subplots(figsize=(4.8, 3.4), layout="constrained")
axis.fill_between(
    found["amount"], found["eti_lb"], found["eti_ub"], color="#3b6ea5", alpha=0.2, linewidth=0, label="90 %"
)
axis.plot(found["amount"], found["median"], "o-", color="#3b6ea5", label="model")
start = found.iloc[0]
axis.plot(found["amount"], start["median"] * found["amount"] / start["amount"], ":", color="black", label="proportion")
axis.axhspan(10, 20, color="#58a063", alpha=0.15, linewidth=0, label="wanted")
axis.set(xlabel="mg a day", ylabel="mg/L after four weeks", ylim=(0, 60))
legend = axis.legend(frameon=False)

# %% [markdown]
# Too much is worse than too little: a loss says by how much, and the dose that it prefers is lower. With a loading
# dose the new level comes at once instead of after weeks; a `Plan` is one regimen after the other.

# %%
careful = nb.Loss(below=1, above=5, kind="log")
table = nb.recommend(forecast, nb.regimens(amounts, **month), nb.Trough(10, 20), loss=careful)
print(table[["amount", "loss", "mcse_loss", "p_in", "p_above"]].round(3).to_string(index=False))
best = nb.Regimen(table["amount"].iloc[0], **month)
later = nb.Regimen(best.amount, start=21, every=1, doses=27, duration=1)
loaded = nb.Plan(nb.Regimen(600, start=20, duration=1), later)
figure = nb.plot.doses(forecast, [best, loaded], nb.Trough(10, 20), times=np.linspace(0.05, 48, 300))

# %% [markdown]
# ## What could be wrong
#
# - Close to `vmax` everything is sensitive: a missed capsule, another brand, an enzyme inducer.
# - Only the free tenth of phenytoin acts; with little albumin, the same total level is more. `Trough(1, 2, free=0.1)`
#   is of the free one, if the fraction is known.
# - Capsules are taken as a constant input; a level right after one is higher than the model says.
# - Twenty patients carry the population; the tail of `vmax` decides about harm, and they say little of it.
