# ---
# jupyter:
#   gallery:
#     field: Clinical trials
#     question: Does it work, and for whom?
#     asks: "Who gains enough from a treatment to be worth its price?"
#     data: "simulated with stated truth"
#     answer: >-
#       Those of high risk: the same hazard ratio spares more events there, and the price is met from a score of 1 on
#       average, of 1.5 with a probability of 0.8
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
# # Who benefits? One hazard ratio, many benefits

# %% [markdown]
# ## Question
#
# A treatment multiplies the hazard of an event by the same factor in everyone. Some patients have a risk of 5 %, others
# one of 50 %. Who gains enough to be worth the price?

# %% [markdown]
# ## Data and source
#
# The data are simulated, so that the answer is known: a trial in sixteen centres. In each of them patients of five risk
# scores were treated or not, and the outcome is the fraction of a stratum with an event. The hazard ratio is 0.75. That
# trials should show the absolute benefit by risk is the proposal of Kent et al. (2010), *Trials* 11, 85,
# doi:10.1186/1745-6215-11-85. The last centre is put aside.

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import nlmebayes as nb
from model_zoo import TreatmentHeterogeneity

centres = [f"C{i:02d}" for i in range(1, 17)]
index = pd.MultiIndex.from_product([centres, [-2.0, -1.0, 0.0, 1.0, 2.0], [0.0, 1.0]])
frame = index.to_frame(index=False).set_axis(["centre", "score", "treated"], axis=1).assign(event=0.2)
units = {"event": "fraction"}
design = nb.Dataset.from_frame(frame, outcome="event", levels="centre", inputs=["treated"], units=units)

# %% [markdown]
# ## Model
#
# The risk without treatment depends on the score and on the centre; the hazard ratio on nothing. Fractions of many
# patients scatter about it by a few hundredths, which `Additive` says; of single patients it would be `Bernoulli`.

# %%
structure = TreatmentHeterogeneity(constant="hazard")
model = nb.Model(structure, "risk ~ 1 + score + (1|centre)", "ratio ~ 1", residual=nb.Additive())
truth = {"theta_risk": [-1.5, 0.7], "theta_ratio": [np.log(0.75)], "omega_centre": [0.3], "sigma_event_a": 0.025}
study = nb.simulate(model, design, values=truth, draws=1, random_seed=3)
data = design.with_values(event=study["prior_predictive"]["event"].to_numpy().ravel())
new = "C16"
training = data.drop_sel(centre=new)
print(model)

# %% [markdown]
# ## Prior check
#
# The scatter about a fraction is a normal law of a size that is not known yet: the bands go below 0 and above 1.

# %%
figure = nb.plot.prior(nb.simulate(model, training, random_seed=1), x="score")

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
# The truth: a hazard ratio of 0.75, a coefficient of the score of 0.7, an SD between centres of 0.3. The record with
# the large Pareto k is one stratum of one centre; among 150 that is no alarm.

# %% [markdown]
# ## Forecast
#
# First a patient of each score in a centre that is not in the trial, as records without a measurement; that centres
# differ is in the band. A treatment costs 1000, an event
# spared brings 0.6 QALYs, and 30 000 are paid for one.

# %%
scores = np.linspace(-2.5, 2.5, 21)
wanted = pd.DataFrame({"centre": "another", "score": scores, "treated": 0.0, "event": np.nan})
wanted = nb.Dataset.from_frame(wanted, outcome="event", levels="centre", inputs=["treated"], unmeasured="predict")
worth = structure.worth(nb.predict(tree, wanted, random_seed=1), cost=1000, gain=0.6, price=30_000)
print(worth.assign(score=scores).iloc[::4].round(3).to_string(index=False))

figure, axes = plt.subplots(1, 2, figsize=(7.6, 3.3), layout="constrained")
axes[0].fill_between(scores, worth["eti_lb"], worth["eti_ub"], alpha=0.25, linewidth=0, label="band of 90 %")
axes[0].plot(scores, worth["benefit"], label="mean")
axes[0].axhline(1000 / (0.6 * 30_000), color="grey", linestyle=":", label="worth the price")
axes[0].set(xlabel="risk score", ylabel="events spared per patient")
legend = axes[0].legend(frameon=False)
axes[1].plot(scores, worth["p_worth"])
axes[1].set(xlabel="risk score", ylabel="probability of a net benefit", ylim=(-0.02, 1.02))
for words, found in (("on average", worth["net"] > 0), ("with probability 0.8", worth["p_worth"] >= 0.8)):
    print(f"worth the price {words}: from a score of {scores[found.to_numpy()].min():.2f}")

# %% [markdown]
# The centre that was put aside: its untreated strata are known, the treated ones are forecast.

# %%
forecast = nb.forecast(tree, data.sel(centre=new, treated=0.0), random_seed=1)
held_out = data.sel(centre=new, treated=1.0)
later = held_out.observations
predicted = nb.predict(forecast, held_out, random_seed=1)["posterior_predictive"]["event"]
low, median, high = predicted.quantile([0.05, 0.5, 0.95], dim=("chain", "draw")).to_numpy()
figure, axis = plt.subplots(figsize=(4.6, 3.2), layout="constrained")
axis.fill_between(later["score"], low, high, alpha=0.25, linewidth=0, label="forecast, band of 90 %")
axis.plot(later["score"], median, label="median")
axis.plot(later["score"], later["value"], "o", color="black", fillstyle="none", label="kept back")
axis.set(xlabel="risk score", ylabel="events among the treated")
legend = axis.legend(frameon=False)
print(f"{later['value'].between(low, high).sum()} of {len(later)} measurements lie in their 90 % interval")

# %% [markdown]
# ## What could be wrong
#
# - The constant ratio is an assumption, and all of the table rests on it. `ratio ~ 1 + score` lets it depend on the
#   risk, and few trials are large enough to tell.
# - Hazard and odds ratios of one trial give other benefits at high risks: compare `constant="odds"`.
# - A scatter of constant size is right for strata of many patients; of few, a count of events is no measurement.
# - Costs and gains are numbers here. They are estimates, and their uncertainty belongs in the probability.
