# ---
# jupyter:
#   gallery:
#     picture: 2
#     field: Pharmacokinetics
#     question: Can I believe the model?
#     asks: "What would a referee ask of a model that seems to fit, and what does it answer?"
#     picture: 3
#     data: "real: quinidine, theophylline"
#     answer: >-
#       Protein that binds quinidine explains what residuals climb with; that no smaller concentrations were reported
#       stays open
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
# # Arguing with a model: residuals, predictive checks and a covariate that was left out

# %% [markdown]
# ## Question
#
# Quinidine was measured in routine care of 136 patients, two or three samples each, over days or months. A model
# without covariates fits: chains agree, the picture looks right. What would a referee ask, and what does the model
# answer? We start without covariates on purpose, let `check` say what is wrong, follow its advice, and ask again.
# A second set, theophylline in twelve volunteers with eleven samples each, shows the same tools on rich data.

# %% [markdown]
# ## Data and source
#
# Verme, Ludden, Clementi and Harris (1992), *Clinical Pharmacokinetics* 22, 468-480, as distributed with nlme of R.
# `glyco` is alpha-1 acid glycoprotein (g/L), the protein that binds quinidine; it changes within patients. One
# patient (number 78) is kept for a forecast.

# %%
import matplotlib.pyplot as plt
import numpy as np

import nlmebayes as nb
from model_zoo import OneCompartment

data = nb.datasets.quinidine()
training = data.drop_sel(id="78")
print(training)

# %% [markdown]
# ## Model
#
# One compartment with first-order absorption, a proportional error, random effects of clearance and volume. `ka` has
# none: most samples were taken long after the dose.

# %%
plain = nb.Model(
    OneCompartment("first-order"),
    "cl ~ 1 + (1|p|id)",
    "v ~ 1 + (1|p|id)",
    "ka ~ 1",
    typical={"cl": 12.0, "v": 250.0, "ka": 1.0},
    residual=nb.Proportional(),
)
print(plain)

# %% [markdown]
# ## Prior check
#
# Over the time after the last dose, since patients were in the study for very different times.

# %%
figure = nb.plot.prior(nb.simulate(plain, training, random_seed=1), x="tad", bins=6)
figure.axes[0].set(xlabel="time after dose (h)", ylabel="quinidine (mg/L)")

# %% [markdown]
# ## Fit

# %%
settings = dict(draws=1000, tune=1000, chains=4, random_seed=1)
tree = nb.fit(plain, training, **settings)

# %% [markdown]
# ## Check
#
# The visual predictive check first. Patients had different doses, so it is prediction-corrected, over the time after
# dose, in rolling windows instead of bins: each line is a percentile of the nearest sixth of the records. The band of a
# percentile holds 90 % of what studies of other patients would have shown. A few samples lie to the right of
# the picture.

# %%
figure = nb.plot.vpc(tree, x="tad", correct="prediction", binning="rolling", bins=6)
figure.axes[0].set(xlabel="time after dose (h)", ylabel="quinidine, prediction-corrected (mg/L)", xlim=(0, 30))

# %% [markdown]
# Nothing is alarming. The population looks right *on average*, and that is all that such a picture can say. The
# residuals say more: npde should be standard normal, whatever they are drawn against. Against time after dose they are;
# against the glycoprotein they climb.

# %%
residuals = nb.residuals(tree)
figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), sharey=True, layout="constrained")
for axis, column, label in zip(
    axes, ("tad", "glyco"), ("time after dose (h)", "alpha-1 acid glycoprotein (g/L)"), strict=True
):
    axis.plot(residuals[column], residuals["npde"], "o", markersize=3, color="grey")
    middle = residuals.groupby(residuals[column].rank(pct=True).mul(5).clip(upper=4.999).astype(int))
    axis.plot(middle[column].median(), middle["npde"].mean(), "o-", color="black", label="mean of each fifth")
    axis.axhspan(-1.96, 1.96, color="C0", alpha=0.12, label="95 % of a standard normal law")
    axis.set(xlabel=label)
axes[0].set_ylabel("npde")
legend = axes[0].legend(frameon=False)

# %% [markdown]
# `check` makes a test of it, with the posterior's own draws of the effects instead of shrunken means, and with as many
# tests in mind as it does. The first finding that is about the model names the covariate, and the line that mends it.

# %%
report = nb.check(tree)
print("\n".join(report.findings))

# %% [markdown]
# So clearance gets the glycoprotein, centred at 1.2 g/L. What is bound is not cleared, so a negative exponent is
# expected.

# %%
model = plain.but(formulas=("cl ~ 1 + log(glyco/1.2) + (1|p|id)", "v ~ 1 + (1|p|id)", "ka ~ 1"))
mended = nb.fit(model, training, **settings)
print(nb.summary(mended).round(3).to_string(index=False))
print("\n".join(nb.check(mended).findings))

# %% [markdown]
# The spread of clearance between patients is smaller, because a part of it has got a name. Two findings are left. Many
# records have a large Pareto k, since two or three samples of a patient carry two effects: leave out patients instead.
# And the model expects smaller concentrations than any that was reported. A laboratory may not have reported what lay
# below its limit; nobody wrote a limit down, so that this stays a question, and it is no matter of clearance.
#
# To see what became of the protein, ask for the statistic that you care about: here the rank correlation of
# concentrations with the glycoprotein, observed beside replicated.


# %%
def climb(rows):
    """Rank correlation of concentrations with the glycoprotein."""
    return rows["DV"].corr(rows["glyco"], method="spearman")


for name, each in (("plain", tree), ("with glycoprotein", mended)):
    print(name, nb.ppc(each, climb).round(3).to_dict("records"))

# %% [markdown]
# Rich data are criticised in the same way. Theophylline, oral, with the standard model: `CWRES` is NONMEM's, and rows
# beyond 3 are worth a look one by one: both are of the hours of absorption. The findings say the same in their way.
# Zeros before the dose neither scatter nor can be below 0, which a normal residual does not know, and real absorption
# is less regular than one rate, so that early samples scatter more and the curves lean on them.

# %%
volunteers = nb.datasets.theophylline()
oral = nb.Model(
    OneCompartment("first-order"), "cl ~ 1 + (1|p|id)", "v ~ 1 + (1|p|id)", "ka ~ 1 + (1|id)", residual=nb.Combined()
)
rich = nb.fit(oral, volunteers, **{**settings, "random_seed": 2})
table = nb.residuals(rich)
far = table[table["CWRES"].abs() > 3]
print(far[["id", "time", "PRED", "IPRED", "CWRES", "npde"]].round(2).to_string(index=False))
print("\n".join(nb.check(rich).findings))

# %% [markdown]
# ## Forecast
#
# Patient 78, who was in no fit: the first three of ten samples are known, and the later ones are forecast.

# %%
patient = data.sel(id="78")
times = np.sort(patient.observations["time"].unique())
forecast = nb.forecast(mended, patient.sel(time=list(times[:3])), random_seed=1)
later = patient.drop_sel(time=list(times[:3]))
figure = nb.plot.forecast(forecast, held_out=later)
predicted = nb.predict(forecast, later, random_seed=1)["posterior_predictive"]["conc"]
low, high = predicted.quantile([0.05, 0.95], dim=("chain", "draw")).to_numpy()
inside = (low <= later.observations["value"]) & (later.observations["value"] <= high)
print(f"{inside.sum()} of {len(later.observations)} samples lie in their 90 % interval")

# %% [markdown]
# ## What could be wrong
#
# - A finding names *a* mend, not the only one. The glycoprotein rises in inflammation and in heart failure, and
#   clearance falls in heart failure: a model with both may divide the effect between them.
# - Tests on what was seen after a fit, and then the same data fitted again, tell nothing about patients who were not
#   there. Keep some back, as here one, or compare by leaving out patients.
# - A test that finds nothing says that the data cannot tell, not that the model is right: with two samples each, the
#   absorption could be almost anything.
# - Doses were written down as prescribed. A dose that was missed looks like a fast clearance.
