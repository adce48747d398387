# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Five minutes: from an event table to a dose
#
# Twelve people swallowed theophylline once, and their serum was sampled for a day. Eleven of them make a population; of
# the twelfth we take two samples, and ask which dose keeps this person within 5 to 10 mg/L.
#
# ## A table, and a model in six lines
#
# A table says who, when, how much, and what was seen. `nb.Dataset.from_nonmem("theophylline.csv")` reads a file of your
# own.

# %%
import nlmebayes as nb
from model_zoo import OneCompartment

data = nb.datasets.theophylline()
figure = nb.plot.data(data, by="wt")

# %% [markdown]
# The model is a structure, a formula for each of its parameters, and a residual. Effects that share the letter `p` are
# correlated; formulas are on the log scale, so that the coefficient of `log(wt/70)` is an exponent.

# %%
model = nb.Model(
    OneCompartment(absorption="first-order"),
    "cl ~ 1 + log(wt/70) + (1|p|id)",
    "v  ~ 1 + log(wt/70) + (1|p|id)",
    "ka ~ 1 + (1|id)",
    residual=nb.Combined(),
)
train, patient = data.drop_sel(id="12"), data.sel(id="12", time=[1.0, 9.03])

# %% [markdown]
# ## Fit, and argue
#
# `check` says in words whether the sampler converged, and whether the model describes the data.

# %%
tree = nb.fit(model, train, random_seed=1, progressbar=False)
print(nb.check(tree))

# %%
figure = nb.plot.fits(tree)

# %% [markdown]
# ## A new patient, from two samples
#
# The population is the prior, the two samples are the data. What was kept back is drawn beside the forecast.

# %%
forecast = nb.forecast(tree, patient, random_seed=1)
figure = nb.plot.forecast(forecast, held_out=data.sel(id="12"))

# %% [markdown]
# ## The dose
#
# For each regimen: the probability that the trough at 96 h is below, within and above 5 to 10 mg/L.

# %%
regimens = [nb.Regimen(mg, start=24, every=12, doses=6) for mg in range(100, 501, 50)]
table = nb.recommend(forecast, regimens, nb.Trough(5, 10, time=96))
print(table[["regimen", "p_below", "p_in", "p_above", "median"]].round(2).to_string(index=False))

# %%
figure = nb.plot.regimens(table)

# %% [markdown]
# ## Where next
#
# - The same analysis with its questions: [one compartment](gallery/one_compartment.ipynb); a drug with a target area:
#   [vancomycin](gallery/vancomycin_dosing.ipynb).
# - [Your own equation](gallery/write_your_own_model.ipynb); [all models](zoo/index.md); [the guides](guides.md).
# - Save and load: `nb.save(tree, "population.nc")`, `nb.load("population.nc")`. A report: `nb.report(tree, "a.html")`.
