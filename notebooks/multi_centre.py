# ---
# jupyter:
#   gallery:
#     picture: 2
#     field: Clinical trials
#     question: Which hospital, which site?
#     asks: "Does the treatment help at a site that was not in the trial?"
#     data: "simulated with stated truth"
#     answer: >-
#       By 4.4 mmHg on average (2.5 to 6.1), and at a new site with a probability of 0.94, for sites differ
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
# # Multi-centre trial: the patient at the site that is not in the trial

# %% [markdown]
# ## Question
#
# A treatment was compared with a control at eighteen sites. How large is its effect on average, how much does it
# differ from site to site, and how likely is it to help at a site that was not in the trial? And what is not known of
# the next patient there: is it the site, the patient, or our estimates?

# %% [markdown]
# ## Data and source
#
# The data are simulated, so that the answer is known: 8 to 40 patients a site in two arms, two visits each. Sites have
# a standard deviation of 3 mmHg in their level and 1.5 in the effect of the treatment (-5 on average), patients of
# the same site one of 8, two visits of a patient one of 5. The model is that of Fleiss (1986), *Controlled Clinical
# Trials* 7, 267-275, doi:10.1016/0197-2456(86)90034-5, with effects of patients.

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import nlmebayes as nb
from model_zoo import MultiCentre

rng = np.random.default_rng(1)
patients = pd.DataFrame({"site": np.repeat([f"S{i:02d}" for i in range(1, 19)], 2 * rng.integers(4, 21, 18))})
patients["patient"] = np.arange(len(patients))
patients["treatment"] = np.where(patients.index % 2, "active", "0 control")
frame = patients.merge(pd.DataFrame({"visit": [1.0, 2.0]}), how="cross").assign(pressure=150.0)
design = nb.Dataset.from_frame(frame, outcome="pressure", levels=("site", "patient"), units={"pressure": "mmHg"})

# %% [markdown]
# ## Model
#
# The class writes the formula from the names of the columns.

# %%
structure = MultiCentre(subject="patient")
model = nb.Model(structure)
truth = {
    "theta_mu": [150.0, -5.0], "omega_site": [3.0, 1.5], "corr_site": np.eye(2), "omega_patient": [8.0],
    "sigma_pressure_a": 5.0,
}  # fmt: skip
study = nb.simulate(model, design, values=truth, draws=1, random_seed=4)
data = design.with_values(pressure=study["prior_predictive"]["pressure"].to_numpy().ravel())
new = "S18"
training = data.drop_sel(site=new)
print(model)

# %% [markdown]
# ## Prior check

# %%
figure = nb.plot.prior(nb.simulate(model, training, random_seed=1), x="visit")

# %% [markdown]
# ## Fit

# %%
settings = dict(draws=1000, tune=1000, chains=4, random_seed=1)
tree = nb.fit(model, training, **settings)

# %% [markdown]
# ## Check
#
# A patient has two visits and an effect of his own, so that many records have a large Pareto k: leaving out one of two
# is no good test here.

# %%
print(nb.check(tree))

# %% [markdown]
# The effect of the treatment lowers the pressure, so below 0 is good. The average is well known; what a new site will
# see is less so.

# %%
effect = structure.effect(tree)
print(pd.concat([nb.intervals(effect[name]) for name in ("average", "spread")]).round(2).to_string())
print(f"the treatment lowers the pressure at a new site with probability {1 - float(effect['positive'].mean()):.3f}")

sites = nb.intervals(effect["by_site"]).sort_values("mean")
figure, axis = plt.subplots(figsize=(4.8, 3.8), layout="constrained")
place = np.arange(len(sites))
axis.axvline(0, color="grey", linewidth=0.8)
axis.axvspan(*effect["average"].quantile([0.05, 0.95]).to_numpy(), alpha=0.2, label="average, 90 % interval")
axis.hlines(place, sites["eti_lb"], sites["eti_ub"])
axis.plot(sites["mean"], place, "o", label="site, 90 % interval")
axis.set_yticks(place, sites.index)
axis.set(xlabel="effect of the treatment (mmHg)", ylim=(-1, len(sites) + 2.5))
legend = axis.legend(frameon=False, ncols=2, loc="upper center", fontsize="small")

# %%
figure = nb.plot.shrinkage(tree, "site", "mu")

# %% [markdown]
# ## Forecast
#
# The variance of the prediction for one patient: at the new site, and at a site of the trial, which brings its own
# effects and leaves the patient, the visit, and what is not known of that site yet (`estimates`).

# %%
someone = data.observations.iloc[[0]][["site", "patient", "treatment", "visit"]]
rows = {"new site": someone.assign(site="elsewhere", patient="next"), "site S01": someone.assign(patient="next")}
split = {}
for where, row in rows.items():
    row = row.assign(pressure=np.nan, treatment="active")
    patient = nb.Dataset.from_frame(row, outcome="pressure", levels=("site", "patient"), unmeasured="predict")
    split[where] = nb.new_unit(tree, patient)["variance"]
print(pd.DataFrame(split).round(2).to_string())

# %% [markdown]
# The site that was put aside: one of its patients after the first visit, and all of them without any.

# %%
site = data.sel(site=new)
someone = site.sel(patient=site.observations["patient"].iloc[0])
forecast = nb.forecast(tree, someone.sel(visit=1.0), random_seed=1)
second = nb.predict(forecast, someone.sel(visit=2.0), random_seed=1)["posterior_predictive"]["pressure"]
before = nb.predict(tree, someone.sel(visit=2.0), random_seed=1)["posterior_predictive"]["pressure"]
print(f"second visit: SD {float(before.std()):.1f} before the first one, {float(second.std()):.1f} after it")

predicted = nb.predict(tree, site, random_seed=1)["posterior_predictive"]["pressure"]
low, high = predicted.quantile([0.05, 0.95], dim=("chain", "draw")).to_numpy()
values = site.observations["value"]
print(f"{values.between(low, high).sum()} of {len(values)} measurements lie in their 90 % interval")

# %% [markdown]
# ## What could be wrong
#
# - A new site is taken as one of the same population. Sites of a trial are chosen, and the ones that join later seldom
#   resemble them.
# - The spread of the effect among sites is the number that the data know least, and the one that the prediction for a
#   new site rests on.
# - Patients at a site may be alike for reasons that a covariate would tell.
