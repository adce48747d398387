# ---
# jupyter:
#   gallery:
#     field: Biology and behaviour
#     question: What will this one do next?
#     asks: "How much slower do people react with each night of too little sleep, and how will a new person?"
#     data: "real: sleepstudy"
#     answer: >-
#       About 10 ms slower a day on average, from hardly any to twice that by person; four days narrow the next six
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
# # Linear mixed model: reaction time without sleep

# %% [markdown]
# ## Question
#
# How much slower do people react with every night of too little sleep, and how different are they in this?
# Then a new person: after four days of measurements, what do we know of the next six?

# %% [markdown]
# ## Data and source
#
# Eighteen people spent three hours in bed per night, and their mean reaction time, in ms, was measured every
# day: Belenky et al. (2003), *Journal of Sleep Research* 12, 1-12. The data come with lme4 as `sleepstudy`.
# Days 0 and 1 were adaptation and training and day 2 the baseline, after which the restriction began; like
# most analyses we use all ten days. The last person, 372, is put aside as the new one.

# %%
import numpy as np
import pandas as pd

import nlmebayes as nb
from model_zoo import LinearMixed

data = nb.datasets.sleepstudy()
training = data.drop_sel(Subject="372")
print(data)

# %% [markdown]
# ## Model
#
# The linear mixed model is the simplest structure: the parameter `mu` is itself the prediction, so its
# formula says everything. Each person has an intercept (reaction time at day 0) and a slope (ms per day),
# which may be correlated.

# %%
model = nb.Model(LinearMixed(), "mu ~ 1 + Days + (1 + Days|Subject)")
print(model)
print(nb.priors(model, training).to_string(index=False))

# %% [markdown]
# ## Prior check
#
# The default priors take their scale from the mean and the scatter of the measurements. They should leave
# room for far more than was seen: in the picture the observed lines should lie well inside of wide bands.
# Some of the simulated times are negative. That would be a fault of a prior meant to be informative; here the
# data easily overrule it.

# %%
figure = nb.plot.prior(nb.simulate(model, training, random_seed=1), bins=10)

# %% [markdown]
# ## Fit
#
# Four chains of 1000 draws each, after as many steps of warm-up.

# %%
settings = dict(draws=1000, tune=1000, chains=4, random_seed=1)
tree = nb.fit(model, training, **settings)

# %% [markdown]
# ## Check
#
# R-hat near 1 and no divergences say that the chains agree. Shrinkage is modest: ten days per person say a
# lot about each. Records with a large Pareto k are single days on which a person was much quicker or slower
# than the line. Days in a row are alike beyond the line, as the first finding says: a residual that remembers
# (`nb.Autoregressive`) would say so. We stay with the model that lme4 has, to compare; see the end.

# %%
print(nb.check(tree))

# %% [markdown]
# An independent fit exists: Bates, Mächler, Bolker and Walker (2015), *Journal of Statistical Software*
# 67(1), doi:10.18637/jss.v067.i01, give the estimates of lme4 (REML) for all eighteen people. With one person
# fewer and with priors the numbers cannot be the same, but they should be close, and the published ones
# inside of the intervals.

# %%
lme4 = {"mu": 251.405, "mu: Days": 10.467, "omega_Subject mu": 24.740, "omega_Subject mu:Days": 5.922}
lme4 |= {"corr_Subject mu, mu:Days": 0.066, "sigma_Reaction_a": 25.592}
table = nb.summary(tree).set_index("quantity")[["mean", "eti_lb", "eti_ub"]].assign(lme4=pd.Series(lme4))
print(table.round(2).to_string())

# %% [markdown]
# The panels show the first twelve people: straight lines, of different slope, are a fair description of most
# of them.

# %%
figure = nb.plot.fits(tree)

# %%
figure = nb.plot.vpc(tree, bins=10)

# %% [markdown]
# ## Forecast
#
# Person 372 is known by days 0 to 3 only. The grey band is the forecast from the population alone, blue what
# the four days make of it; the open circles are the six days that were kept back.

# %%
early = [0, 1, 2, 3]
forecast = nb.forecast(tree, data.sel(Subject="372", Days=early), random_seed=1)
held_out = data.sel(Subject="372").drop_sel(Days=early)

later = held_out.observations
figure = nb.plot.forecast(forecast, times=np.linspace(0, 9, 46), held_out=held_out)

# %%
predicted = nb.predict(forecast, held_out, random_seed=1)["posterior_predictive"]["Reaction"]
low, median, high = predicted.quantile([0.05, 0.5, 0.95], dim=("chain", "draw")).to_numpy()
table = later[["Days", "value"]].assign(eti_lb=low, median=median, eti_ub=high)
table["inside"] = table["value"].between(low, high)
print(table.round(1).to_string(index=False))
print(f"{table['inside'].sum()} of {len(table)} measurements lie in their 90 % interval")

# %% [markdown]
# ## What could be wrong
#
# - A straight line has no reason to hold beyond day 9: reaction times cannot grow for ever. And the first two
#   days belong to practice, not to loss of sleep.
# - Some people have a day far off their line. `nb.StudentT()` as residual would let such days count for less.
# - Days in a row are alike (see the findings). With `nb.Autoregressive(over="Days")` the typical line stays as it
#   is, and a part of what is called scatter among people here becomes memory of the days before.
# - The scatter is taken as the same for everyone, though some panels are far quieter than others.
# - Six days of one person are no test of the intervals. Leave out every person in turn before trusting them.
