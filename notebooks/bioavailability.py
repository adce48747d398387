# ---
# jupyter:
#   gallery:
#     field: Pharmacokinetics
#     question: How many samples, how many people?
#     asks: "How much of bioavailability differs between people, and how much from week to week?"
#     data: "simulated with stated truth"
#     answer: >-
#       About three quarters of the variance is between people; the rest asks for some 18 people in a study of
#       equivalence (11 to 29)
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
# # Bioavailability over occasions: whose variation is it?

# %% [markdown]
# ## Question
#
# Of a tablet a part reaches the blood, another part in another person, and another part in the same person next week.
# How much of the variation of bioavailability is between people, and how much from occasion to occasion? The first can
# be met by a dose for the person, the second cannot; and the second says how many people a study must have that is to
# show a generic tablet equivalent.

# %% [markdown]
# ## Data and source
#
# Simulated, so that the truth is known: sixteen people get 100 mg once as an injection and three times as a tablet, a
# week apart, with six samples each time. Without the injection bioavailability could not be told from a factor on
# clearance and volume. Between-occasion variability in this form: Karlsson and Sheiner (1993), *Journal of
# Pharmacokinetics and Biopharmaceutics* 21, 735-750. The truth:
#
# - clearance 5 L/h and volume 40 L, with log standard deviations of 0.25 and 0.15 between people; absorption 1 per
#   hour;
# - 60 % is absorbed; on the logit scale the standard deviation is 0.7 between people and 0.45 between occasions;
# - a residual of 8 %.
#
# Person 17 comes later: the injection and one tablet are known, and the other two tablets are asked for.

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import nlmebayes as nb
from model_zoo import OneCompartment

WEEK = 168.0
after = np.array([0.5, 1.5, 3.0, 6.0, 10.0, 16.0])
frame = pd.DataFrame([(i, o, (o - 1) * WEEK + t, t) for i in range(1, 18) for o in (1, 2, 3, 4) for t in after])
frame.columns = ["id", "occ", "time", "tad"]
doses = frame.drop_duplicates(["id", "occ"])[["id", "occ"]].assign(amt=100.0)
doses["time"] = (doses["occ"] - 1) * WEEK
doses["state"] = np.where(doses["occ"] == 1, "central", "depot")
roles = dict(levels=("id", "id/occ"), subject="id", time="time", inputs=["tad"], units={"conc": "mg/L"})
design = nb.Dataset.from_frame(frame.assign(conc=1.0), outcome="conc", doses=doses, **roles)  # to be simulated

# %% [markdown]
# ## Model
#
# `f` has a logit link, so that it stays between 0 and 1. `(1|id)` is what stays with a person, `(1|id:occ)` what
# changes from occasion to occasion. What is absorbed at an injection is no matter of `f`.

# %%
model = nb.Model(
    OneCompartment("first-order", bioavailability=True),
    "cl ~ 1 + (1|id)",
    "v ~ 1 + (1|id)",
    "ka ~ 1",
    "f ~ 1 + (1|id) + (1|id:occ)",
    residual=nb.Proportional(),
)
print(model)

truth = {
    "theta_cl": [np.log(5)], "theta_v": [np.log(40)], "theta_ka": [0.0], "theta_f": [np.log(0.6 / 0.4)],
    "omega_id": [0.25, 0.15, 0.7], "omega_occ": [0.45], "sigma_conc_b": 0.08,
}  # fmt: skip
drawn = nb.simulate(model, design, draws=1, values=truth, random_seed=2)
data = design.with_values(conc=drawn["prior_predictive"]["conc"].to_numpy().ravel())
training, person = data.drop_sel(id="17"), data.sel(id="17")
print(training)

# %% [markdown]
# ## Prior check
#
# The prior of the residual allows a scatter of the size of the concentration itself, so that simulated measurements
# fall below 0, where no concentration is; the data leave 8 % of it.

# %%
figure = nb.plot.prior(nb.simulate(model, training, random_seed=1), x="tad", bins=6)
figure.axes[0].set_yscale("symlog", linthresh=0.1)

# %% [markdown]
# ## Fit
#
# By maximum likelihood, with the effects of people and of occasions integrated out.

# %%
tree = nb.fit(model, training, method="ml")

# %% [markdown]
# ## Check
#
# The first finding says that this is a maximum, and no posterior; what follows takes its standard errors. Some
# records have a large Pareto k, for an occasion has an effect of its own and six records: leaving out one of them is
# no good test.

# %%
print(nb.check(tree))

# %%
true = {"cl": 5, "v": 40, "ka": 1, "f": 0.6, "omega_id cl": 0.25, "omega_id v": 0.15, "omega_id f": 0.7}
true |= {"omega_occ f": 0.45, "sigma_conc_b": 0.08}
found = nb.summary(tree).set_index("quantity")
print(found[["mean", "eti_lb", "eti_ub"]].assign(truth=pd.Series(true)).round(3).to_string())
own = drawn["prior"]["eta_id"].isel(chain=0, draw=0).sel(id=training.units["id"].unique()).std("id", ddof=1).to_series()
print(f"standard deviations of the sixteen people that were simulated: {own.round(2).to_dict()}")

# %% [markdown]
# The partition. On its own scale it is that of `f`; a concentration has the variation of clearance and volume in it
# too, and its part of the occasion changes with the time after the tablet.

# %%
draws = np.random.default_rng(1)


def positive(quantity):
    """Draws of a standard deviation, log-normal by its estimate and relative standard error."""
    mean, sd = found.loc[quantity, ["mean", "sd"]]
    return mean * np.exp(sd / mean * draws.standard_normal(4000))


between, within = positive("omega_id f") ** 2, positive("omega_occ f") ** 2
parts = {"between people": between / (between + within), "between occasions": within / (between + within)}
actual = {"between people": 0.7**2 / (0.7**2 + 0.45**2), "between occasions": 0.45**2 / (0.7**2 + 0.45**2)}
print("variance of logit f, shares (90 % interval)")
for name, share in parts.items():
    low, median, high = np.quantile(share, [0.05, 0.5, 0.95])
    print(f"  {name}: {median:.0%} ({low:.0%} to {high:.0%}); truth {actual[name]:.0%}")

shares = {}
for hours in (1.5, 6.0, 16.0):
    one = pd.DataFrame({"id": ["any"], "occ": [1], "time": [hours], "tad": [hours], "conc": [np.nan]})
    tablet = pd.DataFrame({"id": ["any"], "occ": [1], "time": [0.0], "amt": [100.0], "state": ["depot"]})
    one = nb.Dataset.from_frame(one, outcome="conc", doses=tablet, unmeasured="predict", **roles)
    shares[f"{hours:g} h"] = nb.intervals(nb.partition(tree, one, draws=2000, random_seed=1)["share"])["mean"]
print("variance of a concentration after a tablet, shares")
print(pd.DataFrame(shares).round(2).to_string())

# %% [markdown]
# Each line is a person, through the three tablets: the heights of the lines are the people, their slopes the occasions.

# %%
f = tree["posterior"]["f"].to_numpy().reshape(-1, 4)[:, 1:]
figure, axis = plt.subplots(figsize=(4.6, 3.6), layout="constrained")
axis.plot([1, 2, 3], f.T, "o-", color="#3b6ea5", alpha=0.5)
ticks = axis.set_xticks([1, 2, 3])
labels = axis.set(xlabel="tablet", ylabel="bioavailability (at the maximum)", ylim=(0, 1))

# %% [markdown]
# A generic tablet is called equivalent where the 90 % interval of the ratio of areas lies within 80 to 125 %. In a
# crossover each person has both tablets, so that what stays with a person drops out, and the standard deviation
# within people counts, of log f. For tablets that are truly alike and a power of 90 %, by the normal law: n = 2
# (1.645 + 1.645)² s² / log(1.25)².

# %%
logit, error = np.log(found.loc["f", "mean"] / (1 - found.loc["f", "mean"])), found.loc["f", "sd"]
logit = logit + error / (found.loc["f", "mean"] * (1 - found.loc["f", "mean"])) * draws.standard_normal(4000)
persons = logit[:, None] + np.sqrt(between)[:, None] * draws.standard_normal((1, 100))
tablets = persons[..., None] + np.sqrt(within)[:, None, None] * draws.standard_normal((1, 100, 40))
spread = np.sqrt(np.log1p(np.exp(-tablets)).var(axis=2).mean(axis=1))  # of log f of a person over tablets
people = np.ceil(2 * (2 * 1.645) ** 2 * spread**2 / np.log(1.25) ** 2)
low, median, high = np.quantile(spread, [0.05, 0.5, 0.95])
print(f"standard deviation of log f within people: {median:.2f} ({low:.2f} to {high:.2f})")
low, median, high = np.quantile(people, [0.05, 0.5, 0.95])
enough = np.quantile(people, 0.8)
print(f"people in the crossover: {median:.0f} ({low:.0f} to {high:.0f}); {enough:.0f} are enough with probability 0.8")

# %% [markdown]
# ## Forecast
#
# Person 17 after the injection and the first tablet. The person's own bioavailability is better known now; that of the
# next tablet has the occasion in it, which no sample so far can tell.

# %%
known = person.sel(occ=["17/1", "17/2"])
forecast = nb.forecast(tree, known, random_seed=1)
later = person.drop_sel(occ=["17/1", "17/2"])
next_time = nb.predict(forecast, later, random_seed=1)
absorbed = forecast["posterior"]["f"].sel(unit="17/2").quantile([0.05, 0.5, 0.95]).to_numpy()
coming = next_time["posterior"]["f"].sel(unit="17/3").quantile([0.05, 0.5, 0.95]).to_numpy()
for words, (low, median, high) in (("first tablet", absorbed), ("next tablet", coming)):
    print(f"bioavailability of the {words}: {median:.2f} ({low:.2f} to {high:.2f})")

# %%
records = later.observations
predicted = next_time["posterior_predictive"]["conc"]
low, median, high = predicted.quantile([0.05, 0.5, 0.95], dim=("chain", "draw")).to_numpy()
inside = records["value"].between(low, high)
print(f"{inside.sum()} of {len(inside)} samples lie in their 90 % interval")

grid = np.linspace(0.1, 16, 60)
course = pd.DataFrame({"id": 17, "occ": 3, "time": 2 * WEEK + grid, "tad": grid, "conc": np.nan})
course = nb.Dataset.from_frame(course, outcome="conc", doses=doses[doses["id"] == 17], unmeasured="predict", **roles)
course = nb.predict(forecast, course, random_seed=1)["posterior_predictive"]["conc"]
low, median, high = course.quantile([0.05, 0.5, 0.95], dim=("chain", "draw")).to_numpy()
figure, axis = plt.subplots(figsize=(5.6, 3.4), layout="constrained")
axis.fill_between(grid, low, high, color="#7fa7d1", alpha=0.4, linewidth=0, label="a measurement, band of 90 %")
axis.plot(grid, median, color="#3b6ea5", label="median")
for occasion, each in records.groupby("occ", observed=True):
    tablet = int(occasion.split("/")[1]) - 1
    axis.plot(each["tad"], each["value"], "o", fillstyle="none", label=f"tablet {tablet}, kept back")
axis.set(xlabel="time after the tablet (h)", ylabel="conc (mg/L)", ylim=(0, None))
legend = axis.legend(frameon=False)

# %% [markdown]
# ## What could be wrong
#
# - Clearance is the same on all occasions here. If it changes from week to week and the model does not say so, it is
#   counted as bioavailability; injections on two occasions would tell.
# - Three tablets each are few: neither standard deviation of `f` is known within a fifth, as the intervals say.
# - The number of people takes the two tablets for truly alike, and the within-person scatter of a concentration for
#   that of `f` alone; an area measured by few samples has more.
# - The absorption rate is the same for all. A meal moves it, and early samples would blame `f`.
