# ---
# jupyter:
#   gallery:
#     field: Hospitals and public health
#     question: Which hospital, which site?
#     asks: "How much of the variation is between biobanks, and what would it buy to halve it?"
#     picture: 2
#     data: "real: dyestuff; simulated with stated truth"
#     answer: >-
#       A third of the variance lies between houses (0.18 to 0.55); with half of that, five or six houses would do for
#       ten
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
# # Variance components: house effects of biobanks

# %% [markdown]
# ## Question
#
# Twelve biobanks measure the same analyte. How much of the variation is between the houses - their tubes, delays and
# centrifuges - and how much between people? What would it buy to halve the variance between houses: a more precise
# mean, or the same precision from fewer sites?

# %% [markdown]
# ## Data and source
#
# The data are simulated, so that the answer is known: potassium in mmol/L of 8 to 30 people in each of twelve
# houses, with a standard deviation of 0.25 between houses and 0.40 within. The model is the one-way layout of Searle,
# Casella and McCulloch (1992), *Variance Components*, doi:10.1002/9780470316856. The last house is put aside.

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import nlmebayes as nb
from model_zoo import VarianceComponents

rng = np.random.default_rng(5)
frame = pd.DataFrame({"house": np.repeat([f"H{i:02d}" for i in range(1, 13)], rng.integers(8, 31, 12))})
frame["person"] = frame.groupby("house").cumcount() + 1.0
design = nb.Dataset.from_frame(
    frame.assign(potassium=4.0), outcome="potassium", levels="house", units={"potassium": "mmol/L"}
)

# %% [markdown]
# ## Model
#
# The class asks for no formula: the default model has an effect at every level of the data, here the house.

# %%
structure = VarianceComponents()
model = nb.Model(structure)
truth = {"theta_mu": [4.2], "omega_house": [0.25], "sigma_potassium_a": 0.40}
study = nb.simulate(model, design, values=truth, draws=1, random_seed=2)
data = design.with_values(potassium=study["prior_predictive"]["potassium"].to_numpy().ravel())
new = "H12"
training = data.drop_sel(house=new)
print(model)
print(data)

# %% [markdown]
# ## Prior check
#
# The priors of both standard deviations reach to that of all measurements together.

# %%
print(nb.priors(model, training).to_string(index=False))
figure = nb.plot.prior(nb.simulate(model, training, random_seed=1), x="person", bins=4)

# %% [markdown]
# ## Fit

# %%
settings = dict(draws=1000, tune=1000, chains=4, random_seed=1)
tree = nb.fit(model, training, **settings)

# %% [markdown]
# ## Check

# %%
print(nb.check(tree))

# %% [markdown]
# The split of the variance, draw by draw. The intraclass correlation has a wide interval: eleven houses say little of
# a variance between houses, however many people they have. The design effect says what the houses cost: so many
# times larger is the variance of the overall mean than that of as many independent people.

# %%
split = nb.partition(tree)
print(nb.intervals(split["variance"]).round(3).to_string())
print(nb.intervals(split["icc"]).round(3).to_string())
print(pd.concat([nb.intervals(split[name]) for name in ("design_effect", "effective_size")]).round(1).to_string())

# %% [markdown]
# Each house alone, and in the model: houses with few people are drawn further towards the others.

# %%
figure = nb.plot.shrinkage(tree)

# %% [markdown]
# The future study has ten houses with 20 people each. With half of the variance between houses its mean has a smaller
# standard error - or the old one from fewer houses (`sites_then`): that is what tubes and transport may cost. The band
# of the picture is an interval of 90 %.

# %%
gain = structure.gain(tree, sites=10, each=20, factor=0.5)
print(pd.concat([nb.intervals(gain[name]) for name in gain]).round(3).to_string())

factors = np.linspace(0, 1, 11)
curves = [nb.intervals(structure.gain(tree, 10, 20, factor=f)["sites_then"]).iloc[0] for f in factors]
figure, axis = plt.subplots(figsize=(4.6, 3.4), layout="constrained")
axis.fill_between(factors, [c["eti_lb"] for c in curves], [c["eti_ub"] for c in curves], alpha=0.25, linewidth=0)
axis.plot(factors, [c["mean"] for c in curves])
axis.set(xlabel="variance between houses, of today's", ylabel="houses for the same precision", ylim=(0, 10.5))

# %% [markdown]
# ### On measured data: batches of an intermediate
#
# Six batches of an intermediate product, five preparations of a dyestuff from each: Davies and Goldsmith (1972),
# *Statistical Methods in Research and Production*, section 6.4 (lme4's `Dyestuff`). The same class, by restricted
# maximum likelihood (`method="reml"`), beside what lme4 prints.

# %%
dyestuff = nb.fit(nb.Model(structure), nb.datasets.dyestuff(), method="reml", random_seed=1)
lme4 = pd.Series({"mu": 1527.5, "omega_Batch mu": 42.0006, "sigma_Yield_a": 49.5101})
table = nb.summary(dyestuff).set_index("quantity")[["mean", "eti_lb", "eti_ub"]].assign(lme4=lme4)
print(table.round(2).to_string())

# %% [markdown]
# Which plan makes the mean yield most precise, if thirty preparations can be made? Preparations of one batch repeat the
# deviation of the batch. So more batches with fewer preparations each are better, and the standard error says by how
# much, at the estimates.

# %%
plans = {
    (sites, 30 // sites): structure.gain(dyestuff, sites, 30 // sites)["se"].item() for sites in (3, 6, 10, 15, 30)
}
plans = pd.DataFrame([(*plan, se) for plan, se in plans.items()], columns=["batches", "of each", "standard error (g)"])
print(plans.round(1).to_string(index=False))

# %% [markdown]
# ## Forecast
#
# Of the house that was put aside, four people are known. The grey band is what is said of it without them.

# %%
early = [1.0, 2.0, 3.0, 4.0]
forecast = nb.forecast(tree, data.sel(house=new, person=early), random_seed=1)
held_out = data.sel(house=new).drop_sel(person=early)
later = held_out.observations
figure = nb.plot.forecast(forecast, times=later["person"].to_numpy(), x="person", held_out=held_out)

# %%
predicted = nb.predict(forecast, held_out, random_seed=1)["posterior_predictive"]["potassium"]
low, high = predicted.quantile([0.05, 0.95], dim=("chain", "draw")).to_numpy()
print(f"{later['value'].between(low, high).sum()} of {len(later)} measurements lie in their 90 % interval")

# %% [markdown]
# ## What could be wrong
#
# - The variance between houses is known from eleven of them: its posterior leans on the prior more than any other
#   number here. Look at it under a prior half and twice as wide.
# - Houses may differ because their people do. Without a covariate, or samples that were sent around, difference of
#   people and difference of handling are the same number.
# - The mean alone is compared. A house that scatters more than others needs a residual that differs by house.
