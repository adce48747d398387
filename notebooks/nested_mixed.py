# ---
# jupyter:
#   gallery:
#     field: Biology and behaviour
#     question: How many samples, how many people?
#     asks: "How many mice, neurons and trials are needed?"
#     picture: 2
#     data: "real: pastes, ratpupweight; simulated with stated truth"
#     answer: >-
#       One or two neurons in each mouse, some ten trials of each, and all else into more mice; 322 pups in litters are
#       worth 56 to 71 for the effect of a dose
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
# # Nested data: how many mice, neurons and trials?

# %% [markdown]
# ## Question
#
# A neuron is recorded in several trials, and each animal has several neurons. Where is the variation, how many
# independent measurements is the lot worth, and where should the next hour of work go: another animal, another
# neuron, or another trial?

# %% [markdown]
# ## Data and source
#
# The data are simulated, so that the answer is known: fourteen mice with two to six neurons each, of three to eight
# trials, unequal throughout. The outcome is a response in Hz with standard deviations of 2.0 among mice, 1.5 among the
# neurons of a mouse, and 3.0 among trials. Aarts et al. (2014), *Nature Neuroscience* 17, 491-496,
# doi:10.1038/nn.3648, tell how often such nests are left out, and what becomes of the tests.

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import nlmebayes as nb
from model_zoo import NestedMixed

rng = np.random.default_rng(3)
records = []
for mouse in range(1, 15):
    for neuron in range(1, rng.integers(2, 7) + 1):
        records += [(f"M{mouse:02d}", neuron, float(trial)) for trial in range(1, rng.integers(3, 9) + 1)]
frame = pd.DataFrame(records, columns=["mouse", "neuron", "trial"]).assign(rate=12.0)
design = nb.Dataset.from_frame(
    frame, outcome="rate", levels=("mouse", "mouse/neuron"), subject="mouse", units={"rate": "Hz"}
)

# %% [markdown]
# ## Model
#
# The default model of the class is the nest: an effect at every level of the data.

# %%
structure = NestedMixed()
model = nb.Model(structure)
truth = {"theta_mu": [12.0], "omega_mouse": [2.0], "omega_neuron": [1.5], "sigma_rate_a": 3.0}
study = nb.simulate(model, design, values=truth, draws=1, random_seed=3)
data = design.with_values(rate=study["prior_predictive"]["rate"].to_numpy().ravel())
new = "M14"
training = data.drop_sel(mouse=new)
print(data)

# %% [markdown]
# ## Prior check

# %%
figure = nb.plot.prior(nb.simulate(model, training, random_seed=1), x="trial")

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
# Two records of one mouse have the correlation `icc` of the mouse, two of one neuron that of the neuron. The design
# effect is far above one: the effective size is the number of independent trials whose mean would be as precise,
# and a t test on all trials pretends to have many more.

# %%
split = nb.partition(tree)
for name in ("share", "icc"):
    print(nb.intervals(split[name]).round(3).to_string())
size = nb.intervals(split["effective_size"]).round(1)
print(f"{len(training.observations)} trials, worth as many independent ones as in this line\n{size.to_string()}")

# %%
share = split["share"].stack(sample=("chain", "draw")).transpose("source", "sample").to_numpy()
figure, axis = plt.subplots(figsize=(4.6, 3.0), layout="constrained")
axis.violinplot(list(share), orientation="horizontal", showextrema=False, showmedians=True)
axis.set_yticks([1, 2, 3], split["source"].to_numpy())
axis.set(xlabel="share of the variance", xlim=(0, 1))

# %%
figure = nb.plot.shrinkage(tree, "mouse")

# %% [markdown]
# Where does the money go? A mouse costs 200, a neuron in it 40, a trial 1. The best numbers inside each mouse and each
# neuron follow from the variances, and are as uncertain as they are. The line `mouse` is the number of neurons in a
# mouse, the line `neuron` that of trials of a neuron: the next hour goes into trials of the neurons at hand until there
# are some ten of each, then into another mouse, and hardly ever into a third neuron.

# %%
print(nb.intervals(structure.allocation(tree, 200, 40, 1)).round(1).to_string())

# %% [markdown]
# ### On measured data: paste in casks, and pups in litters
#
# Ten deliveries of a paste, three casks of each, two tests of each cask (lme4's `Pastes`; Davies and Goldsmith 1972,
# *Statistical Methods in Research and Production*, section 6.5): by restricted maximum likelihood, beside what lme4
# prints. A delivery costs 100 to sample, a cask 10, a test 5.

# %%
pastes = nb.fit(nb.Model(structure), nb.datasets.pastes(), method="reml", random_seed=1)
lme4 = pd.Series({"mu": 60.0533, "omega_batch mu": 1.2874, "omega_cask mu": 2.9041, "sigma_strength_a": 0.8234})
table = nb.summary(pastes).set_index("quantity")[["mean", "eti_lb", "eti_ub"]].assign(lme4=lme4)
print(table.round(3).to_string())
print(structure.allocation(pastes, 100, 10, 5).squeeze().to_series().round(1).to_string())

# %% [markdown]
# The second test of a cask is nearly wasted; a further cask is not. And the litter is a cage: 322 pups of 27 mothers
# on control, low or high dose of a compound (nlme's `RatPupWeight`; Dempster et al. 1984, *Applied Statistics* 33,
# 203-214). Is the dose known as well as from 322 pups? The standard errors with and without the litter say it.

# %%
fixed = 'mu ~ 1 + T(Treatment, "Control") + sex + Lsize'
pups = nb.datasets.ratpupweight()
errors = {}
for name, formula, method in (
    ("pups as if independent", fixed, "ml"),
    ("pups in litters", f"{fixed} + (1|Litter)", "reml"),
):
    litters = nb.fit(nb.Model(structure, formula), pups, method=method, random_seed=1)
    errors[name] = nb.summary(litters).set_index("quantity")[["mean", "sd"]]
table = pd.concat(errors, axis=1)
print(table.round(3).to_string(na_rep=""))
rows = [name for name in table.index if "Treatment" in name]
inflated = (table[("pups in litters", "sd")] / table[("pups as if independent", "sd")])[rows] ** 2
count = len(pups.observations)
worth = f"{count / inflated.max():.0f} to {count / inflated.min():.0f}"
print(f"for the effect of the dose {count} pups are worth {worth} independent ones")

# %% [markdown]
# No: a litter has one dose, so that litters count and not pups. Males and females are compared within litters, and
# there the litter sharpens the answer.

# %% [markdown]
# ## Forecast
#
# A new mouse, of whose neurons the first three trials each are known. Without them the variance of the prediction is
# split among what is not known of the population, the mouse, the neuron and the trial.

# %%
print(nb.new_unit(tree).round(3).to_string())
early = [1.0, 2.0, 3.0]
forecast = nb.forecast(tree, data.sel(mouse=new, trial=early), random_seed=1)
held_out = data.sel(mouse=new).drop_sel(trial=early)
predicted = nb.predict(forecast, held_out, random_seed=1)["posterior_predictive"]["rate"]
low, median, high = predicted.quantile([0.05, 0.5, 0.95], dim=("chain", "draw")).to_numpy()
later = held_out.observations
figure, axis = plt.subplots(figsize=(5.2, 3.0), layout="constrained")
place = np.arange(1, len(later) + 1)
axis.vlines(place, low, high, alpha=0.5, label="forecast, interval of 90 %")
axis.plot(place, later["value"], "o", color="black", fillstyle="none", label="measured")
axis.set(xlabel="trial that was kept back", ylabel="rate (Hz)")
legend = figure.legend(loc="outside upper center", ncols=2, frameon=False)
print(f"{later['value'].between(low, high).sum()} of {len(later)} measurements lie in their 90 % interval")

# %% [markdown]
# ## What could be wrong
#
# - Trials of a neuron follow each other. If neighbours are alike the residual is not independent, and the effective
#   size is smaller still.
# - The allocation takes costs and variances as known and says nothing of the least number of mice that a claim about
#   mice needs.
# - Fourteen mice tell the variance among mice roughly: compare the intervals of the three shares.
