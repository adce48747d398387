# ---
# jupyter:
#   gallery:
#     field: Ecology and growth
#     question: What will this one do next?
#     asks: "What do three measurements of a young tree say of its final size?"
#     data: "real: orange"
#     answer: >-
#       They narrow it from 104 to 285 mm to 142 to 193 mm; the last sizes are still below the plateau, so that the
#       final size remains an extrapolation
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
# # Logistic growth: the trunks of orange trees

# %% [markdown]
# ## Question
#
# Trees of one plantation grow along the same S, but some become thicker than others. How large is that
# difference, and how early can it be seen: what do three measurements of a young tree say about its final
# size?

# %% [markdown]
# ## Data and source
#
# Trunk circumference in mm of five orange trees, at seven ages in days since 31 December 1968: Draper and
# Smith (1998), *Applied Regression Analysis*, 3rd ed., exercise 24.N; analysed by Pinheiro and Bates (2000),
# *Mixed-Effects Models in S and S-PLUS*. The data come with R as `Orange`. Tree 5 is put aside as the new
# one.

# %%
import numpy as np

import nlmebayes as nb
from model_zoo import LogisticGrowth

data = nb.datasets.orange()
training = data.drop_sel(Tree="5")
print(data)

# %% [markdown]
# ## Model
#
# The circumference tends to `asym`, reaches half of it at age `xmid`, and `scal` sets how long the rise
# takes. Following Pinheiro and Bates only the asymptote varies among trees; four trees could not tell more.
# Its deviations are normal, in mm.

# %%
model = nb.Model(LogisticGrowth(), "asym ~ 1 + (1|Tree)", "xmid ~ 1", "scal ~ 1", residual=nb.Additive())
print(model)
print(nb.priors(model, training).to_string(index=False))

# %% [markdown]
# ## Prior check
#
# With four trees the prior of `omega_Tree`, a half-normal of scale 50 mm, matters. So look at what it
# implies: sizes from next to nothing to 40 cm are possible, and the observed lines are in the middle of the
# bands. (That the bands go below 0 is the residual, whose size is not known yet.)

# %%
figure = nb.plot.prior(nb.simulate(model, training, random_seed=1), bins=7)

# %% [markdown]
# ## Fit
#
# Four chains of 1000 draws each, after as many steps of warm-up. Four trees leave the scatter among trees so open that
# the posterior has a long tail there; shorter steps (`target_accept`) follow it.

# %%
settings = dict(draws=1000, tune=1000, chains=4, random_seed=1)
tree = nb.fit(model, training, target_accept=0.95, **settings)

# %% [markdown]
# ## Check
#
# Note the interval of `omega_Tree`: four trees leave the scatter among trees open within a factor of two or
# three. Everything that is said about a new tree has this uncertainty in it. The record with the large Pareto k is
# one date of one tree.

# %%
print(nb.check(tree))

# %%
figure = nb.plot.fits(tree, columns=2)

# %% [markdown]
# ## Forecast
#
# Tree 5 is known at 118, 484 and 664 days. The grey band is the forecast from the other four trees alone; the
# blue one has learnt from the three measurements (filled). The open circles are the four that were kept back.

# %%
early = [118, 484, 664]
forecast = nb.forecast(tree, data.sel(Tree="5", age=early), random_seed=1)
held_out = data.sel(Tree="5").drop_sel(age=early)

later = held_out.observations
figure = nb.plot.forecast(forecast, times=np.linspace(0, 1600, 81), held_out=held_out)

# %%
predicted = nb.predict(forecast, held_out, random_seed=1)["posterior_predictive"]["circumference"]
low, median, high = predicted.quantile([0.05, 0.5, 0.95], dim=("chain", "draw")).to_numpy()
table = later[["age", "value"]].assign(eti_lb=low, median=median, eti_ub=high)
table["inside"] = table["value"].between(low, high)
print(table.round(0).to_string(index=False))
print(f"{table['inside'].sum()} of {len(table)} measurements lie in their 90 % interval")

for group in ("prior", "posterior"):
    low, high = forecast[group]["asym"].quantile([0.05, 0.95]).to_numpy()
    print(f"90 % interval of the asymptote, {group}: {low:.0f} to {high:.0f} mm")

# %% [markdown]
# ## What could be wrong
#
# - All trees were measured on the same seven dates, and most residuals of one date have the same sign: a dry
#   or wet season moves all trees at once. The model takes the errors as independent, so its intervals are
#   somewhat too narrow.
# - Four trees are hardly a population. With another prior of `omega_Tree` the band of a new tree would be
#   another; try `priors={"omega_Tree": nb.Prior("HalfNormal", sigma=100)}`.
# - If trees differ in their pace as well as in their size, three early measurements mislead.
# - The last ages are not yet at the plateau, so `asym` is an extrapolation of the S.
