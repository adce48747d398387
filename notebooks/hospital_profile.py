# ---
# jupyter:
#   gallery:
#     picture: 3
#     field: Hospitals and public health
#     question: Which hospital, which site?
#     asks: "Which hospitals are worse than the average, and how sure is that?"
#     data: "real: cbpp; simulated with stated truth"
#     answer: >-
#       Ranks are far less certain than a league table says; of fifteen herds four are above the average with
#       probability 0.94 or more
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
# # Which hospitals are worse than the average?

# %% [markdown]
# ## Question
#
# Some hospitals see many readmissions, but small ones see many or few by chance. What is the rate of each, which
# rank has it, and how sure can one be that it is above the average of the system?

# %% [markdown]
# ## Data and source
#
# Simulated, so that the truth is known: 40 hospitals of very different size report the readmissions of eight
# quarters. The risk of the middle hospital is 0.15, and the SD between hospitals is 0.3 on the logit scale.

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import nlmebayes as nb
from model_zoo import HospitalProfile

rng = np.random.default_rng(5)
hospitals, quarters = 40, 8
size = rng.choice([8, 20, 60, 150], hospitals)
truth = 1 / (1 + np.exp(-(np.log(0.15 / 0.85) + rng.normal(0, 0.3, hospitals))))
frame = pd.DataFrame(
    {"hospital": np.repeat(np.arange(hospitals), quarters), "quarter": np.tile(np.arange(8), hospitals)}
)
frame["n"] = rng.poisson(size[frame["hospital"]]) + 1
frame["readmitted"] = rng.binomial(frame["n"], truth[frame["hospital"]])
data = nb.Dataset.from_frame(frame, outcome="readmitted", levels="hospital", inputs=("n", "quarter"))
training = data.drop_sel(hospital="0")
print(data)

# %% [markdown]
# ## Model
#
# `Binomial("n")` reads the number of patients from the column `n`. The risk of a hospital varies on the logit scale.

# %%
model = nb.Model(HospitalProfile(), "risk ~ 1 + (1|hospital)", residual=nb.Binomial("n"))
print(model)
print(nb.priors(model, training).to_string(index=False))

# %% [markdown]
# ## Prior check
#
# The default prior calls hospitals possible in which nearly nobody or nearly everybody comes back.

# %%
prior = nb.simulate(model, training, draws=200, random_seed=1)["prior"]["risk"]
figure, axis = plt.subplots()
axis.hist(prior.to_numpy().ravel(), bins=40)
label = axis.set(xlabel="risk of a hospital", ylabel="simulated hospitals")

# %% [markdown]
# ## Fit

# %%
settings = dict(draws=1000, tune=1000, chains=4, random_seed=1)
tree = nb.fit(model, training, **settings)

# %% [markdown]
# ## Check
#
# The truth was a risk of 0.15 and an SD of 0.3.

# %%
print(nb.check(tree))

# %% [markdown]
# Raw rates spread most where hospitals are small: the funnel. The estimates are drawn to the middle, small hospitals
# by more than large ones.

# %%
draws = tree["posterior"]["risk"].stack(sample=("chain", "draw")).to_numpy()
total = frame[frame["hospital"] > 0].groupby("hospital")[["readmitted", "n"]].sum().rename(index=str)
total = total.loc[tree["posterior"]["unit"].to_numpy()]
raw, middle = total["readmitted"] / total["n"], draws.mean()
figure, axis = plt.subplots()
axis.scatter(total["n"], raw, facecolors="none", edgecolors="black", label="raw")
axis.scatter(total["n"], draws.mean(axis=1), label="estimated")
patients = np.geomspace(total["n"].min(), total["n"].max(), 100)
chance = 1.645 * np.sqrt(middle * (1 - middle) / patients)
for limit, label in ((middle - chance, "90 % of raw rates, if all were alike"), (middle + chance, None)):
    axis.plot(patients, limit, color="grey", linestyle="--", label=label)
axis.set(xscale="log", xlabel="patients", ylabel="readmission rate")
legend = axis.legend(frameon=False)

# %% [markdown]
# Ranks are as uncertain as that: the table shows the ten hospitals that are most probably above the average of the
# system in the same draw.

# %%
table = nb.ranking(tree["posterior"]["risk"])
table = table.assign(n=total["n"], raw=raw, truth=pd.Series(truth).rename(index=str))
print(table.sort_values("p_above").tail(10).round(3).to_string())

# %%
figure, axis = plt.subplots()
table = table.sort_values("rank")
axis.hlines(np.arange(len(table)), table["rank_eti_lb"], table["rank_eti_ub"])
axis.plot(table["rank"], np.arange(len(table)), "o")
label = axis.set(xlabel="rank, 1 for the highest rate (90 % interval)", ylabel="hospitals in that order", yticks=[])

# %% [markdown]
# ### On measured data: herds
#
# Fifteen herds of cattle, new cases of pleuropneumonia among the animals at risk in four quarters (lme4's `cbpp`;
# Lesnoff et al. 2004, *Preventive Veterinary Medicine* 64, 27-40). A herd is a hospital here, and the quarter is the
# case mix. By maximum likelihood, beside lme4 with 25 nodes of quadrature (the intercept as the risk in the first
# quarter).

# %%
herd_model = nb.Model(HospitalProfile(), "risk ~ 1 + period + (1|herd)", residual=nb.Binomial("size"))
herds = nb.fit(herd_model, nb.datasets.cbpp(), method="ml", random_seed=1)
lme4 = {"risk": 1 / (1 + np.exp(1.3992)), "risk: period[2]": -0.9914, "risk: period[3]": -1.1278}
lme4 |= {"risk: period[4]": -1.5795, "omega_herd risk": 0.6475}
rows = nb.summary(herds).set_index("quantity")[["mean", "eti_lb", "eti_ub"]].assign(lme4=pd.Series(lme4))
print(rows.round(3).to_string())

# %% [markdown]
# Which herds are worse than the average herd, in the same quarters, and how surely? Each herd is forecast from its own
# cases, with the likeliest population as prior: what is not known of the population itself is left out, so that the
# probabilities are somewhat too sure.

# %%
cattle = nb.datasets.table("cbpp")
anew = cattle.assign(herd="herd " + cattle["herd"].astype(str), period=cattle["period"].astype("category"))
anew = nb.Dataset.from_frame(anew, outcome="incidence", levels="herd", inputs=["size"])
each = nb.forecast_each(herds, anew, method="importance", random_seed=1).trees
worse = pd.DataFrame({
    name: {"odds": float(np.exp(eta.median())), "eti_lb": float(np.exp(eta.quantile(0.05))),
           "eti_ub": float(np.exp(eta.quantile(0.95))), "p_above": float((eta > 0).mean())}
    for name, eta in ((name, found["posterior"]["eta_herd"].isel(herd_effect=0)) for name, found in each.items())
}).T.sort_values("odds")  # fmt: skip
print(worse.round(2).to_string())

# %%
figure, axis = plt.subplots(figsize=(4.8, 3.8), layout="constrained")
place = np.arange(len(worse))
axis.axvline(1, color="grey", linewidth=0.8)
axis.hlines(place, worse["eti_lb"], worse["eti_ub"])
axis.plot(worse["odds"], place, "o")
axis.set_yticks(place, worse.index)
axis.set(xlabel="odds of a new case, by the average herd's (90 % interval)", xscale="log")
axis.set_xticks([0.25, 0.5, 1, 2, 4], ["0.25", "0.5", "1", "2", "4"])
axis.minorticks_off()

# %% [markdown]
# ## Forecast
#
# Hospital 0 joins: its first four quarters are known, what will the next four bring? Its first quarter happened to be
# by far the worst (its true risk stands below), and a forecast from four quarters leans on it: more were expected to
# be readmitted than were.

# %%
early = data.sel(hospital="0").drop_sel(quarter=[4, 5, 6, 7])
forecast = nb.forecast(tree, early, random_seed=1)
later = data.sel(hospital="0", quarter=[4, 5, 6, 7])
predicted = nb.predict(forecast, later, random_seed=1)["posterior_predictive"]["readmitted"]
low, high = predicted.quantile([0.05, 0.95], dim=("chain", "draw")).to_numpy()
records = pd.concat([early.observations, later.observations.assign(eti_lb=low, eti_ub=high)])
print(records[["quarter", "n", "value", "eti_lb", "eti_ub"]].to_string(index=False, na_rep=""))
risk = forecast["posterior"]["risk"].quantile([0.05, 0.5, 0.95]).to_numpy()
print("risk: {1:.3f} ({0:.3f} to {2:.3f})".format(*risk) + f"; truth {truth[0]:.3f}")
inside = later.observations["value"].between(low, high)
print(f"{inside.sum()} of {len(inside)} quarters lie in their 90 % interval")

# %% [markdown]
# ## What could be wrong
#
# - Hospitals that take sicker patients are not worse: case mix belongs in the formula of `risk`.
# - Shrinkage protects small hospitals from blame by chance, and hides a small one that is truly bad.
# - Quarters of one hospital are taken as alike. `(1|hospital/quarter)` lets them differ.
