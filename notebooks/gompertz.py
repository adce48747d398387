# ---
# jupyter:
#   gallery:
#     field: Oncology
#     question: What will this one do next?
#     asks: "What will a tumour be like a week from now, after four measurements?"
#     data: "simulated with stated truth"
#     answer: >-
#       Eight days after the last of four measurements 1300 to 3100 mm³, by the correlation of both rates (1800 were
#       measured)
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
# # Gompertz growth: tumours in mice

# %% [markdown]
# ## Question
#
# Tumours grow ever more slowly as they get larger. In the Gompertz model the relative growth rate starts at
# `alpha` and declines at the rate `beta`. How much do the two vary among animals, and how do they go
# together? And what will a tumour be like a week later, if we have measured it four times?

# %% [markdown]
# ## Data and source
#
# The data are simulated, so that the answer is known. The design follows such experiments: one million cells,
# about 1 mm³, are injected; the volume is measured every other day from day 4 to day 22, and most animals
# miss some days. The truth is near the typical values of the class. Vaghi et al. (2020), *PLoS Computational
# Biology* 16, e1007178, doi:10.1371/journal.pcbi.1007178, found that `alpha` and `beta` are strongly
# correlated among animals (R² above 0.92 in all of their groups); here the correlation of their logarithms is
# 0.96.

# %%
import numpy as np
import pandas as pd

import nlmebayes as nb
from model_zoo import Gompertz

rng = np.random.default_rng(1)
days = np.arange(4.0, 23.0, 2.0)
records = []
for mouse in range(1, 26):
    records += [(mouse, day) for day in np.sort(rng.choice(days, rng.integers(7, 11), replace=False))]
frame = pd.DataFrame(records, columns=["mouse", "day"]).assign(volume=1.0)
design = nb.Dataset.from_frame(frame, outcome="volume", time="day", levels="mouse", units={"volume": "mm³"})

# %% [markdown]
# ## Model
#
# The number of injected cells is known, so the prior of `v0` is narrow: 1 mm³, give or take a tenth. Without
# this a large start could not be told from fast early growth. `(1|p|mouse)` in both formulas gives `alpha`
# and `beta` a joint distribution with a correlation. The error of a volume measured with callipers is
# proportional to it.

# %%
model = nb.Model(
    Gompertz(),
    "v0 ~ 1",
    "alpha ~ 1 + (1|p|mouse)",
    "beta ~ 1 + (1|p|mouse)",
    residual=nb.Proportional(),
    typical={"v0": (1.0, 0.1), "alpha": (0.8, 0.3), "beta": (0.08, 0.3)},
    priors={"omega_mouse": nb.Prior("HalfNormal", sigma=0.3)},
)
print(model)

truth = pd.Series({
    "v0": 1.0, "alpha": 0.70, "beta": 0.07, "omega_mouse alpha": 0.15, "omega_mouse beta": 0.25,
    "corr_mouse alpha, beta": 0.96, "sigma_volume_b": 0.12,
})  # fmt: skip
values = {f"theta_{name}": [np.log(truth[name])] for name in ("v0", "alpha", "beta")}
values["omega_mouse"] = [truth["omega_mouse alpha"], truth["omega_mouse beta"]]
values["corr_mouse"] = [[1.0, truth["corr_mouse alpha, beta"]], [truth["corr_mouse alpha, beta"], 1.0]]
values["sigma_volume_b"] = truth["sigma_volume_b"]
studies = nb.simulate(model, design, values=values, draws=2, random_seed=1)  # the first is used
simulated = studies.isel(chain=0, draw=0)
data = design.with_values(volume=simulated["prior_predictive"]["volume"].to_numpy())
training = data.drop_sel(mouse="25")
print(data)

# %% [markdown]
# ## Prior check
#
# The volume is an exponential of `alpha / beta`, so modest scatter of the two becomes enormous scatter of the
# volume. With the default spread of 1 on the log scale the priors would allow tumours larger than the earth.
# We take such growth rates as known within a factor of about two, so the model states a spread of 0.3, for
# the typical values and for the animals. On the log scale of the picture the bands are still very wide; the
# data will narrow them. (A proportional error whose size is unknown also makes a few negative volumes, which
# a log scale cannot show.)

# %%
figure = nb.plot.prior(nb.simulate(model, training, random_seed=1), bins=10)
figure.axes[0].set_ylim(bottom=1)
figure.axes[0].set_yscale("log")

# %% [markdown]
# ## Fit

# %%
settings = dict(draws=1000, tune=1000, chains=4, random_seed=1)
tree = nb.fit(model, training, **settings)

# %% [markdown]
# ## Check
#
# Shrinkage near 0 confirms that every mouse is known from its own data. A few records have a large Pareto k, most
# of them the last of their mouse, which decide where its curve ends. The report names their rows.

# %%
print(nb.check(tree))

# %% [markdown]
# The truth is known, so compare. About nine in ten true values should lie inside of their 90 % intervals, and
# the strong correlation must be found.

# %%
table = nb.summary(tree).set_index("quantity")[["mean", "eti_lb", "eti_ub"]].assign(truth=truth)
table["inside"] = table["truth"].between(table["eti_lb"], table["eti_ub"])
print(table.round(3).to_string())

# %%
figure = nb.plot.fits(tree)
for axis in figure.axes:
    axis.set_yscale("log")

# %% [markdown]
# ## Forecast
#
# Mouse 25 is known by its first four measurements. A single tumour measured for a few days hardly tells
# `alpha` from `beta`; the correlation that the other mice have shown helps. The grey band is the population
# alone, blue the forecast, open circles the measurements kept back.

# %%
early = data.sel(mouse="25").observations["day"].tolist()[:4]
forecast = nb.forecast(tree, data.sel(mouse="25", day=early), random_seed=1)
held_out = data.sel(mouse="25").drop_sel(day=early)

later = held_out.observations
figure = nb.plot.forecast(forecast, times=np.linspace(3, 22, 96), held_out=held_out)
figure.axes[0].set_yscale("log")

# %%
predicted = nb.predict(forecast, held_out, random_seed=1)["posterior_predictive"]["volume"]
low, median, high = predicted.quantile([0.05, 0.5, 0.95], dim=("chain", "draw")).to_numpy()
table = later[["day", "value"]].assign(eti_lb=low, median=median, eti_ub=high)
table["inside"] = table["value"].between(low, high)
print(table.round(0).to_string(index=False))
print(f"{table['inside'].sum()} of {len(table)} measurements lie in their 90 % interval")

# %% [markdown]
# ## What could be wrong
#
# - Simulated data obey the model. Real tumours stop, shrink or ulcerate, and none of this is in the curve.
# - Animals are taken out of an experiment when their tumour is too large. The slow ones then dominate the
#   late days; that is harmless for a model of each animal's whole curve, but a picture of means by day would
#   mislead.
# - The size at injection is assumed to be known and the same for all. If cells die after the injection, `v0`
#   is a fiction and `alpha` takes the blame.
# - A normal error of 12 % of the volume is close to a log-normal one. With a larger error, `nb.LogNormal()`
#   would be the better choice, for volumes are positive.
# - Sizes far beyond the last day depend on `alpha / beta`, of which early measurements say little.
