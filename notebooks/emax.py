# ---
# jupyter:
#   gallery:
#     field: Pharmacodynamics
#     question: Does it work, and for whom?
#     asks: "How much of the effect of a dose does an antagonist take away?"
#     data: "real: phenylbiguanide"
#     answer: >-
#       The antagonist multiplies the dose of half the effect by 1.9 (1.5 to 2.6), which is far better known than how
#       rabbits differ
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
# # Sigmoid Emax: blood pressure, dose and an antagonist

# %% [markdown]
# ## Question
#
# Phenylbiguanide raises the blood pressure of rabbits. How much of the dose does an antagonist, MDL 72222,
# take away? In the language of the model: by which factor does it shift `ec50`, the dose of half the effect?
# And if we know the curve of a rabbit without the antagonist, how well can we forecast its curve with it?

# %% [markdown]
# ## Data and source
#
# Five rabbits were each given six doses (6.25 to 200 µg) in two runs, one after placebo and one after the
# antagonist; the change in blood pressure is in mmHg. Ludbrook (1994), *Cardiovascular Research* 28, 303-311;
# also Venables and Ripley (2002), *Modern Applied Statistics with S*, 4th ed., section 10.3. The data come
# with R's nlme as `PBG`. A run lies within a rabbit, so there are two levels. Rabbit 5 is put aside.

# %%
import numpy as np

import nlmebayes as nb
from model_zoo import Emax

data = nb.datasets.phenylbiguanide()
training = data.drop_sel(Rabbit="5")
print(data)

# %% [markdown]
# ## Model
#
# The effect rises from `e0` by at most `emax`, along an S on the axis of log dose whose steepness is `gamma`.
# Maximum and half-effect dose vary among rabbits and among the runs of a rabbit. The term
# `T(Treatment, "Placebo")` compares the antagonist with placebo; as `ec50` has a log link, its exponential is
# a factor on the dose.
#
# `typical` states what was known before, as a value and a spread on the log scale. The doses were chosen
# around the interesting range, so `ec50` is put near 50 µg, with the default spread of 1. A rise of several
# hundred mmHg cannot be survived, so the spread of `emax` is narrower.

# %%
model = nb.Model(
    Emax(sigmoid=True),
    "e0 ~ 1",
    "emax ~ 1 + (1|Rabbit/Run)",
    'ec50 ~ 1 + T(Treatment, "Placebo") + (1|Rabbit/Run)',
    "gamma ~ 1",
    inputs={"concentration": "dose"},
    typical={"emax": (50.0, 0.5), "ec50": 50.0, "gamma": (2.0, 0.7)},
    residual=nb.Additive(),
)
print(model)

# %% [markdown]
# ## Prior check
#
# The bands are what the priors alone expect: from no effect to a rise that would be fatal. The observed lines
# lie in the lower half of them, and nothing that could have been seen is excluded.

# %%
figure = nb.plot.prior(nb.simulate(model, training, random_seed=1), bins=6)
figure.axes[0].set_ylabel("change in blood pressure (mmHg)")
figure.axes[0].set_xscale("log")
ticks = figure.axes[0].set_xticks([10, 50, 200], ["10", "50", "200"])

# %% [markdown]
# ## Fit
#
# With so few rabbits a standard deviation among them may be close to 0, and there the posterior has a narrow
# neck. With a `target_accept` near 1 the sampler takes smaller steps and gets through.

# %%
settings = dict(draws=1000, tune=1000, chains=4, random_seed=1)
tree = nb.fit(model, training, target_accept=0.98, **settings)

# %% [markdown]
# ## Check
#
# Four rabbits say little about how rabbits differ: see the intervals of `omega_Rabbit`. The effect of the
# antagonist is far better known, for every rabbit is its own control. Many records have a large Pareto k,
# because a run of six doses has two effects of its own; leaving out one record is no good test here. (The
# unit of `ec50` in the table is that which the class declares; here it is µg.)

# %%
print(nb.check(tree))
shift = np.exp(tree["posterior"]["theta_ec50"].isel(ec50_term=1))
low, median, high = shift.quantile([0.05, 0.5, 0.95]).to_numpy()
print(f"the antagonist multiplies ec50 by {median:.1f} (90 % interval {low:.1f} to {high:.1f})")

# %%
figure = nb.plot.fits(tree)
for axis in figure.axes:
    axis.set_xscale("log")
    axis.set_xticks([10, 50, 200], ["10", "50", "200"])

# %% [markdown]
# ## Forecast
#
# Rabbit 5 was not in the fit. From its placebo run we forecast its run under the antagonist: the run's own
# deviation is new, the rabbit's is known from the six placebo samples, the shift from the other rabbits.
# Left: the run that was used. Right: the forecast, with the measurements kept back.

# %%
forecast = nb.forecast(tree, data.sel(Run="5/P5"), random_seed=1)
held_out = data.sel(Run="5/T5")
figure = nb.plot.fits(forecast, data.sel(Rabbit="5"))
for axis in figure.axes:
    axis.set_xscale("log")
    axis.set_xticks([10, 50, 200], ["10", "50", "200"])

# %%
later = held_out.observations
predicted = nb.predict(forecast, held_out, random_seed=1)["posterior_predictive"]["deltaBP"]
low, median, high = predicted.quantile([0.05, 0.5, 0.95], dim=("chain", "draw")).to_numpy()
table = later[["dose", "value"]].assign(eti_lb=low, median=median, eti_ub=high)
table["inside"] = table["value"].between(low, high)
print(table.round(1).to_string(index=False))
print(f"{table['inside'].sum()} of {len(table)} measurements lie in their 90 % interval")

# %% [markdown]
# ## What could be wrong
#
# - Under the antagonist the largest dose has not reached the plateau in every rabbit. That the antagonist
#   shifts the curve and leaves `emax` alone (competition) is an assumption of the model; give `emax` the same
#   term to question it.
# - The scatter of small effects looks smaller than that of large ones. A constant standard deviation makes
#   the bands at low doses too wide; `nb.Combined()` is the alternative.
# - Doses were given one after another, so an effect may carry over to the next. The model takes them as
#   independent.
# - Five rabbits: the scatter among them rests partly on the prior.
