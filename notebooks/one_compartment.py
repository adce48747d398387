# ---
# jupyter:
#   gallery:
#     picture: 4
#     field: Pharmacokinetics
#     question: Which dose?
#     asks: "Which dose of theophylline suits this patient, after two samples?"
#     data: "real: theophylline"
#     answer: >-
#       300 mg every 12 hours: trough and mean are in their ranges together with probability 0.75, with 250 mg 0.71
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
# # One compartment: theophylline after an oral dose

# %% [markdown]
# ## Question
#
# Twelve people swallowed one dose of theophylline, and their serum was sampled for a day. How do clearance,
# volume and absorption differ from person to person, and how much of that does body weight explain? And then
# the question of the ward: of a new patient we have two samples. Which dose will keep this patient in the
# wanted range?

# %% [markdown]
# ## Data and source
#
# The study is by R. Upton; the data were published in Boeckmann, Sheiner and Beal (1994), *NONMEM Users
# Guide: Part V*, and come with R as `Theoph`. Concentrations are in mg/L, times in hours, weights in kg. The
# doses, 3 to 6 mg per kg, are stored as amounts in mg at time 0. We put the last person aside as the new
# patient.

# %%
import numpy as np

import nlmebayes as nb
from model_zoo import OneCompartment

data = nb.datasets.theophylline()
training = data.drop_sel(id="12")
print(data)

# %% [markdown]
# ## Model
#
# Absorption and elimination are of first order. Clearance `cl` and volume `v` are apparent (CL/F and V/F),
# because an oral study cannot tell how much of the dose was absorbed. Both may depend on weight: `log(wt/70)`
# makes the intercept the value of a 70 kg person and its coefficient the allometric exponent. `(1|p|id)`
# appears in both formulas, so the deviations of a person's clearance and volume may be correlated. The
# scatter of a measurement grows with the concentration but does not vanish at 0, hence the combined residual:
# its SD is a + b f. Two epsilons in NONMEM add variances instead, which is `nb.Combined("variance")`; its a and b
# are not to be compared with those here.

# %%
model = nb.Model(
    OneCompartment(absorption="first-order"),
    "cl ~ 1 + log(wt/70) + (1|p|id)",
    "v ~ 1 + log(wt/70) + (1|p|id)",
    "ka ~ 1 + (1|id)",
    residual=nb.Combined(),
)
print(model)

# %% [markdown]
# ## Prior check
#
# Before the data are used, the model should make curves that a pharmacologist finds possible: not only the
# right ones, but none that are absurd. The picture lays the observed percentiles over what the priors alone
# predict. The bands should contain the lines and be much wider than they are, and should not reach
# concentrations a hundred times too high. That they go below 0 is the additive part of the residual, whose
# size is not known yet.

# %%
figure = nb.plot.prior(nb.simulate(model, training, random_seed=1), bins=11)

# %% [markdown]
# ## Fit
#
# Four chains of 1000 draws each. They start near a quick fit of typical values, which keeps them out of the
# mirror solution in which absorption and elimination change places.

# %%
settings = dict(draws=1000, tune=1000, chains=4, random_seed=1)
tree = nb.fit(model, training, **settings)

# %% [markdown]
# ## Check
#
# First the numbers: R-hat near 1 and no divergences mean that the chains agree. The predictive p-values
# compare mean, scatter and extremes of replicated data with the observed ones; values near 0 or 1 are a
# misfit. There is one here, in the smallest values: most samples at time 0 were recorded as 0, while a normal
# residual scatters to both sides. That these zeros do not scatter at all is also why the scatter of residuals seems
# to grow with the prediction; but without them it is still larger early than late, for real absorption is less
# regular than one rate. Most records with a large Pareto k are of those first hours too. None of this matters much
# for clearance and volume, which the later samples decide. The exponents of weight have wide intervals, for eleven
# people of similar weight say little about them.

# %%
print(nb.check(tree))

# %% [markdown]
# Then the pictures. Each panel shows one person's samples over the fitted curve with its 50 and 90 % bands;
# the dashed lines hold 90 % of new measurements.

# %%
figure = nb.plot.fits(tree)

# %% [markdown]
# In the visual predictive check every replicate has new people. The observed percentiles should run inside
# the bands.

# %%
figure = nb.plot.vpc(tree, bins=11)

# %% [markdown]
# ## Forecast
#
# Person 12 was not in the fit. We pretend to know the dose, the weight and two samples, one near the peak and
# one at five hours, and forecast the rest of the day. The grey band is what the population alone would have
# said; the blue one has learnt from the two samples (filled). The open circles are the samples that were kept
# back.

# %%
early = [1, 5.07]
forecast = nb.forecast(tree, data.sel(id="12", time=early), random_seed=1)
held_out = data.sel(id="12").drop_sel(time=early)

later = held_out.observations
figure = nb.plot.forecast(forecast, times=np.linspace(0, 25, 101), held_out=held_out)

# %%
predicted = nb.predict(forecast, held_out, random_seed=1)["posterior_predictive"]["conc"]
low, median, high = predicted.quantile([0.05, 0.5, 0.95], dim=("chain", "draw")).to_numpy()
table = later[["time", "value"]].assign(eti_lb=low, median=median, eti_ub=high)
table["inside"] = table["value"].between(low, high)
print(table.round(2).to_string(index=False))
print(f"{table['inside'].sum()} of {len(table)} samples lie in their 90 % interval")

# %% [markdown]
# Now the dose. From 24 h on, this patient shall take a tablet every 12 h, and on the fourth day the lowest
# concentration shall be at least 5 and at most 10 mg/L, and the mean over the interval, its area divided by
# 12 h, between 8 and 14 mg/L. `p_in` is the probability of one target, `p_all` that of both at once; `mcse`
# is the simulation error of `p_in`. The ranges are an example, not a guideline. The first row is the answer; the
# next dose is nearly as good, and errs to the other side.

# %%
regimens = [nb.Regimen(mg, start=24, every=12, doses=6) for mg in (150, 200, 250, 300, 350, 400)]
targets = [nb.Trough(5, 10, time=96), nb.AUC(8 * 12, 14 * 12, start=84, end=96)]
choice = nb.recommend(forecast, regimens, targets, model=model)
columns = ["amount", "target", "p_below", "p_in", "p_above", "mcse", "median", "p_all"]
print(choice[columns].round(2).to_string(index=False))
figure = nb.plot.regimens(choice)

# %% [markdown]
# ## What could be wrong
#
# - Eleven people of one study are a small population. The standard deviations between people, and with them
#   every band for a new patient, are uncertain; a patient unlike them (a child, a smoker, an ill liver) is
#   outside of what the model knows.
# - Absorption begins at once in the model. If it starts with a delay, the first half hour is forecast too
#   high; with food or slow-release tablets the first hours look different altogether.
# - One compartment is a simplification: look for samples that leave the bands in the same direction at the
#   same hour.
# - The forecast assumes that clearance stays what it was on the first day, and that tablets are taken on
#   time.
