# ---
# jupyter:
#   gallery:
#     picture: 2
#     field: Biology and behaviour
#     question: Does it work, and for whom?
#     asks: "Does the treatment work in every donor?"
#     data: "real: machines; simulated with stated truth"
#     answer: >-
#       In most donors, the less the older they are; a better machine is not better for each worker
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
# # Random slopes: does the treatment work in every donor?

# %% [markdown]
# ## Question
#
# Cells of thirty donors are stimulated or not. The response to the stimulus differs among donors. By how much, does
# the age of the donor explain it, and will the cells of the next donor respond?

# %% [markdown]
# ## Data and source
#
# The data are simulated, so that the answer is known: four wells of each donor, two of them stimulated, the
# logarithm of a cytokine. The effect of the stimulus is 1.0 at the age of 50, 0.35 less with every ten years, and has a
# standard deviation of 0.4 among donors of the same age. Cross-level interactions are those of Raudenbush and Bryk
# (2002), *Hierarchical Linear Models*, chapter 4. The last donor is put aside.

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import nlmebayes as nb
from model_zoo import RandomSlopes

rng = np.random.default_rng(8)
donors = pd.DataFrame({"donor": [f"D{i:02d}" for i in range(1, 31)], "decades": rng.uniform(-3, 3, 30).round(1)})
wells = pd.DataFrame({"well": [1.0, 2.0, 3.0, 4.0], "stimulus": [0.0, 1.0, 0.0, 1.0]})
frame = donors.merge(wells, how="cross").assign(cytokine=0.0)
design = nb.Dataset.from_frame(frame, outcome="cytokine", levels="donor")

# %% [markdown]
# ## Model
#
# `decades` is the age in decades from 50. The interaction of stimulus and age is the part of the slopes that age
# explains; what it leaves is the standard deviation of the slopes.

# %%
structure = RandomSlopes(group="donor", condition="stimulus", moderator="decades")
model = nb.Model(structure)
truth = {
    "theta_mu": [2.0, 1.0, 0.1, -0.35], "omega_donor": [0.6, 0.4], "corr_donor": [[1.0, 0.2], [0.2, 1.0]],
    "sigma_cytokine_a": 0.3,
}  # fmt: skip
study = nb.simulate(model, design, values=truth, draws=1, random_seed=6)
data = design.with_values(cytokine=study["prior_predictive"]["cytokine"].to_numpy().ravel())
new = "D30"
training = data.drop_sel(donor=new)
print(model)

# %% [markdown]
# ## Prior check

# %%
figure = nb.plot.prior(nb.simulate(model, training, random_seed=1), x="well")

# %% [markdown]
# ## Fit

# %%
settings = dict(draws=1000, tune=1000, chains=4, random_seed=1)
tree = nb.fit(model, training, **settings)

# %% [markdown]
# ## Check

# %%
print(nb.check(tree))
own = study["prior"]["eta_donor"].sel(donor_effect="mu:stimulus").to_numpy().ravel()[:-1]
print(f"SD of the slopes that were simulated, of donors of one age: {own.std(ddof=1):.2f}")

# %% [markdown]
# Records with a large Pareto k belong to donors whose two effects lean on four wells. The SD of the slopes (truth 0.4)
# comes out lower than that of the donors who happened to be drawn, and neither is known well from two wells of a kind.
#
# How much of the variance of the slopes the age explains, and how likely a new donor of each age responds.

# %%
share = structure.explained(tree, training.units["decades"])
print(nb.intervals(share.rename("explained")).round(2).to_string())

# %%
ages = np.linspace(-3, 3, 13)
slopes = {age: structure.slope(tree, moderator=age) for age in ages}
bands = pd.DataFrame({age: nb.intervals(each["average"]).iloc[0] for age, each in slopes.items()}).T
likely = [float(each["positive"].mean()) for each in slopes.values()]
figure, axes = plt.subplots(1, 2, figsize=(8.6, 3.4), layout="constrained")
axes[0].fill_between(50 + 10 * ages, bands["eti_lb"], bands["eti_ub"], alpha=0.25, linewidth=0, label="band of 90 %")
axes[0].plot(50 + 10 * ages, bands["mean"], label="mean")
axes[0].plot(50 + 10 * ages, 1.0 - 0.35 * ages, "k--", label="truth")
axes[0].axhline(0, color="grey", linewidth=0.8)
axes[0].set(xlabel="age (years)", ylabel="average effect on log cytokine")
legend = axes[0].legend(frameon=False)
axes[1].plot(50 + 10 * ages, likely)
labels = axes[1].set(xlabel="age (years)", ylabel="probability that a new donor responds", ylim=(0, 1.02))

# %%
figure = nb.plot.shrinkage(tree, effect="mu:stimulus")

# %% [markdown]
# ### On measured data: workers and machines
#
# Six workers, each three times on each brand of a machine (nlme's `Machines`; Milliken and Johnson 1992, *Analysis of
# Messy Data*, p. 285). Does brand B help every worker, against A? By restricted maximum likelihood.

# %%
machines = nb.datasets.table("machines").query("Machine != 'C'")
machines["brand"] = (machines["Machine"] == "B").astype(float)
machines = nb.Dataset.from_frame(
    machines[["Worker", "brand", "score"]], outcome="score", levels="Worker", duplicates="keep"
)
brands = RandomSlopes(group="Worker", condition="brand")
workers = nb.fit(nb.Model(brands), machines, method="reml", random_seed=1)
print(nb.summary(workers)[["quantity", "mean", "sd", "eti_lb", "eti_ub"]].round(2).to_string(index=False))
helps = brands.slope(workers)["positive"].item()
print(f"brand B is the better one for a new worker with probability {helps:.2f}, at the estimates")

# %% [markdown]
# On average B is better, by some standard errors, and workers differ in that by most of its size. The picture has the
# lines of the six: what is right on average need not be so for the next worker.

# %%
scores = machines.observations.groupby(["Worker", "brand"])["value"].mean().unstack()
figure, axis = plt.subplots(figsize=(3.6, 3.2), layout="constrained")
axis.plot([0, 1], scores.T, "o-", color="#3b6ea5", alpha=0.7)
axis.set_xticks([0, 1], ["A", "B"])
axis.set(xlabel="brand", ylabel="mean score of a worker", xlim=(-0.2, 1.2))
worse = (scores[1.0] < scores[0.0]).sum()
print(f"B is worse for {worse} of {len(scores)} workers by their means")

# %% [markdown]
# ## Forecast
#
# The donor who was put aside, by the first two wells.

# %%
early = [1.0, 2.0]
forecast = nb.forecast(tree, data.sel(donor=new, well=early), random_seed=1)
held_out = data.sel(donor=new).drop_sel(well=early)
later = held_out.observations
predicted = nb.predict(forecast, held_out, random_seed=1)["posterior_predictive"]["cytokine"]
low, median, high = predicted.quantile([0.05, 0.5, 0.95], dim=("chain", "draw")).to_numpy()
table = later[["well", "stimulus", "value"]].assign(eti_lb=low, median=median, eti_ub=high)
print(table.round(2).to_string(index=False))
print(f"{later['value'].between(low, high).sum()} of {len(later)} measurements lie in their 90 % interval")

# %% [markdown]
# ## What could be wrong
#
# - With two wells of each kind the slope of a donor alone is noise for the most part; the intervals of the
#   shrinkage picture say so.
# - The share explained is of these donors' ages: in a study of people of one age there would be nothing to explain.
# - Age was not given out at random: what goes with it may be the reason.
