# ---
# jupyter:
#   gallery:
#     field: Oncology
#     question: How many samples, how many people?
#     asks: "Which imaging features can be measured twice, and how many scans are enough?"
#     picture: 2
#     data: "real: penicillin; simulated with stated truth"
#     answer: >-
#       Two of six features are reliable, with one scan; of a third the patients leave it open. Zones of penicillin
#       are, side by side on one plate (0.93), and less so on plates of their own (0.79)
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
# # Reliability: which imaging features can be measured twice?

# %% [markdown]
# ## Question
#
# Patients are scanned twice, some three times and some only once, and many features are computed from every scan.
# Which of them say more of the patient than of the scan, how large must a change be to be more than error, and how many
# scans must be averaged?

# %% [markdown]
# ## Data and source
#
# The data are simulated, so that the answer is known: twenty-five patients, one to three scans, six features whose
# reliabilities go from 0.30 to 0.95, every tenth value missing. The intraclass correlation is ICC(1,1) of Shrout and
# Fleiss (1979), *Psychological Bulletin* 86, 420-428, doi:10.1037/0033-2909.86.2.420. The last patient is put aside.

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import nlmebayes as nb
from model_zoo import LinearMixed, ReliabilityICC

rng = np.random.default_rng(2)
features = ("volume", "sphericity", "entropy", "contrast", "kurtosis", "busyness")
truth = pd.Series([0.95, 0.9, 0.8, 0.65, 0.5, 0.3], index=features)
frame = pd.DataFrame({"patient": np.repeat(np.arange(25), [*rng.integers(1, 4, 24), 3])})
frame["scan"] = frame.groupby("patient").cumcount() + 1.0
for name, icc in truth.items():
    own = rng.normal(0, np.sqrt(icc), 25)[frame["patient"]]
    frame[name] = own + rng.normal(0, np.sqrt(1 - icc), len(frame))
    frame.loc[rng.random(len(frame)) < 0.1, name] = np.nan
data = nb.Dataset.from_frame(frame, outcome=features, levels="patient")
new = "24"
training = data.drop_sel(patient=new)
print(data)

# %% [markdown]
# ## Model
#
# One level and one residual for each feature. The features are standardised, which makes the default priors fit all
# of them, and does not change a ratio of variances.

# %%
structure = ReliabilityICC(features)
model = nb.Model(structure)
print(model)

# %% [markdown]
# ## Prior check

# %%
figure = nb.plot.prior(nb.simulate(model, training, random_seed=1), x="scan", outcome="entropy")

# %% [markdown]
# ## Fit

# %%
settings = dict(draws=1000, tune=1000, chains=4, random_seed=1)
tree = nb.fit(model, training, **settings)

# %% [markdown]
# ## Check
#
# Many records have a large Pareto k: with one to three scans, a patient's effect is known from one or two others when
# a scan is left out, or from none. LOO of records is no measure of fit here; the predictive p-values are.

# %%
print(nb.check(tree))

# %% [markdown]
# `error` is the SD of a scan about its patient, `sdd` the smallest difference of two scans that is more than error, and
# `repeats` the number of scans whose average has a reliability of 0.9. One scan of volume or of sphericity is enough;
# of the others several would have to be averaged, and how many is not well known: see the intervals. Dotted: an ICC of
# 0.75, which is often called good. Only the two first features lie above it with their intervals; entropy is said to be
# worse than it is, by the accident of these patients.

# %%
table = structure.table(tree, wanted=0.9).assign(truth=truth)
print(table.round(2).to_string())
print(f"{table['truth'].between(table['eti_lb'], table['eti_ub']).sum()} of {len(table)} true ICCs are in the interval")

# %%
figure, axis = plt.subplots(figsize=(5.0, 3.0), layout="constrained")
place = np.arange(len(table))
axis.hlines(place, table["eti_lb"], table["eti_ub"])
axis.plot(table["icc"], place, "o", label="posterior")
axis.plot(table["truth"], place, "x", color="black", label="truth")
axis.axvline(0.75, color="grey", linestyle=":")
axis.set_yticks(place, table.index)
axis.set(xlabel="ICC", xlim=(0, 1))
legend = axis.legend(frameon=False)

# %%
figure = nb.plot.shrinkage(tree, effect="mu_entropy", outcome="entropy")

# %% [markdown]
# ### On measured data: an assay of penicillin
#
# Six samples of penicillin were each put on the same 24 plates, and the zone without bacteria measured (lme4's
# `Penicillin`; Davies and Goldsmith 1972, section 6.6). Samples and plates are crossed: a formula says so, and
# restricted maximum likelihood has what lme4 prints.

# %%
crossed = nb.Model(LinearMixed(), "mu ~ 1 + (1|plate) + (1|sample)")
penicillin = nb.fit(crossed, nb.datasets.penicillin(), method="reml", random_seed=1)
lme4 = pd.Series({"mu": 22.9722, "omega_plate mu": 0.8467, "omega_sample mu": 1.9316, "sigma_diameter_a": 0.5499})
table = nb.summary(penicillin).set_index("quantity")[["mean", "eti_lb", "eti_ub"]].assign(lme4=lme4)
print(table.round(3).to_string())

# %% [markdown]
# How reliable is one zone as a measure of its sample? That depends on the use. On plates of their own, the plate is a
# part of the error; compared on one plate, it is not.

# %%
sd = table["mean"]
sample, plate, rest = (sd[name] ** 2 for name in ("omega_sample mu", "omega_plate mu", "sigma_diameter_a"))
for use, error in {
    "each sample on a plate of its own": plate + rest,
    "samples side by side on one plate": rest,
}.items():
    print(f"{use}: ICC {sample / (sample + error):.2f}, smallest real difference {1.96 * np.sqrt(2 * error):.2f} mm")

# %% [markdown]
# ## Forecast
#
# A patient with one scan: what would the second and the third one show?

# %%
forecast = nb.forecast(tree, data.sel(patient=new, scan=1.0), random_seed=1)
held_out = data.sel(patient=new).drop_sel(scan=1.0)
predicted = nb.predict(forecast, held_out, random_seed=1)["posterior_predictive"]
inside = total = 0
for name in predicted:
    values = held_out.observations.query("outcome == @name")["value"]
    low, high = predicted[name].quantile([0.05, 0.95], dim=("chain", "draw")).to_numpy()
    inside, total = inside + values.between(low, high).sum(), total + len(values)
print(f"{inside} of {total} measurements lie in their 90 % interval")

# %% [markdown]
# ## What could be wrong
#
# - An ICC belongs to its population: the same error makes a lower one among patients who are alike.
# - Features are skewed, and their error often grows with their size. Take logarithms before, and look at the residuals.
# - Features of one patient are correlated, and here they are not: with the same name in each formula,
#   `(1|p|patient)`, they would be, at the price of a correlation for each pair.
