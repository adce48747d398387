# ---
# jupyter:
#   gallery:
#     field: Pharmacodynamics
#     question: Which dose?
#     asks: "Which dose of a first-in-human study inhibits enough until the next one?"
#     data: "simulated with stated truth"
#     answer: >-
#       40 mg twice a day: with probability 0.99 at least four people in five are at or below 60 % (30 mg: 0.82)
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
# # Direct effect: which dose of a first-in-human study inhibits enough until the next one

# %% [markdown]
# ## Question
#
# An inhibitor of factor Xa is given to people for the first time, one dose each, in rising amounts. The activity of
# the enzyme follows the concentration without a delay. The drug shall be given twice a day: which dose keeps the
# activity at or below 60 % of normal at the end of twelve hours in four people out of five, and how sure is that?

# %% [markdown]
# ## Data and source
#
# Simulated, so that the truth is known; the design is that of studies of oral inhibitors of factor Xa, whose activity
# in plasma follows their concentration at once. Six groups of six get 1 to 40 mg by mouth. Concentration (mg/L) and
# activity (% of normal) are measured seven times in a day, the activity before the dose too. A 37th person is the new
# one. The truth:
#
# - clearance 5 L/h (log SD 0.25), volume 40 L (0.2), absorption 1 per hour;
# - activity 100 % without drug (0.1), at most the share 0.9 of it inhibited, half of that at 0.15 mg/L (0.3);
# - a residual of 12 % of the concentration, and of 4 points of the activity.

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import nlmebayes as nb
from model_zoo import DirectEffect, OneCompartment

times = [-0.5, 0.5, 1.0, 2.0, 4.0, 8.0, 12.0, 24.0]
people, rising = np.arange(1, 38), np.array([1.0, 2.5, 5.0, 10.0, 20.0, 40.0])
frame = pd.DataFrame({"id": np.repeat(people, len(times)), "time": np.tile(times, len(people)), "effect": 1.0})
frame["conc"] = np.where(frame["time"] > 0, 1.0, np.nan)  # both to be simulated
doses = pd.DataFrame({"id": people, "time": 0.0, "amt": np.append(np.repeat(rising, 6), 20.0)})
names, units = ["conc", "effect"], {"conc": "mg/L", "effect": "% of normal"}
design = nb.Dataset.from_frame(frame, outcome=names, time="time", levels="id", doses=doses, units=units)

# %% [markdown]
# ## Model
#
# One line states kinetics and effect: the concentration of one compartment after absorption, and an effect that is a
# share of the baseline, taken away from it without a delay:
#
#     effect = e0 (1 - imax C / (ic50 + C))
#
# The kinetics stay in closed form. Other laws are an option (`"sigmoid"`, `"linear"`, `"power"`, `"threshold"`), and so
# are other kinetics. What is known before: an activity near 100 %, and an enzyme that can be inhibited nearly whole.

# %%
model = nb.Model(
    DirectEffect(OneCompartment("first-order"), "emax", "proportional", "inhibits"),
    "cl ~ 1 + (1|id)",
    "v ~ 1 + (1|id)",
    "ka ~ 1",
    "e0 ~ 1 + (1|id)",
    "imax ~ 1",
    "ic50 ~ 1 + (1|id)",
    typical={"e0": (100.0, 0.2), "ic50": (0.2, 1.0), "cl": (5.0, 1.0), "v": (40.0, 1.0), "ka": (1.0, 0.7)},
    residual={"conc": nb.Proportional(), "effect": nb.Additive()},
)
print(model)

# %%
truth = {
    "theta_cl": [np.log(5)], "theta_v": [np.log(40)], "theta_ka": [0.0], "theta_e0": [np.log(100)],
    "theta_imax": [np.log(9)], "theta_ic50": [np.log(0.15)], "omega_id": [0.25, 0.2, 0.1, 0.3],
    "sigma_conc_b": 0.12, "sigma_effect_a": 4.0,
}  # fmt: skip
drawn = nb.simulate(model, design, draws=1, values=truth, random_seed=1)["prior_predictive"]
data = design.with_values(**{name: drawn[name].to_numpy().ravel() for name in names})
training, person = data.drop_sel(id="37"), data.sel(id="37")
print(training)

# %% [markdown]
# ## Prior check
#
# The priors expect an activity from next to nothing to well above normal, and hold what was measured.

# %%
figure = nb.plot.prior(nb.simulate(model, training, random_seed=1), outcome="effect")
limits = figure.axes[0].set_ylim(-50, 250)

# %% [markdown]
# ## Fit
#
# Both outcomes at once: an activity tells of the concentration at its time as well.

# %%
settings = dict(draws=1000, tune=1000, chains=4, random_seed=1)
tree = nb.fit(model, training, **settings)

# %% [markdown]
# ## Check
#
# Records with a large Pareto k are to be expected here: four effects of a person's own lean on some fifteen records, so
# leaving out one of them is no good test. The picture of the whole population below is the better one.

# %%
print(nb.check(tree))

# %%
true = {"cl": 5, "v": 40, "ka": 1, "e0": 100, "imax": 0.9, "ic50": 0.15, "sigma_conc_b": 0.12, "sigma_effect_a": 4}
true |= {"omega_id cl": 0.25, "omega_id v": 0.2, "omega_id e0": 0.1, "omega_id ic50": 0.3}
table = nb.summary(tree).set_index("quantity")[["mean", "eti_lb", "eti_ub"]].assign(truth=pd.Series(true))
print(table.round(3).to_string(na_rep=""))

# %% [markdown]
# Whether the effect is direct can be seen: against the concentration it runs along one line, on the way up as on the
# way down. A loop would ask for `EffectCompartment` (the drug is late at its site) or `IndirectResponse` (the drug acts
# on a rate). These people got 20 mg.

# %%
figure = nb.plot.hysteresis(tree, subjects=["25", "26", "27", "28"])
figure = nb.plot.vpc(tree, outcome="effect")

# %% [markdown]
# ## Forecast
#
# Person 37 was not in the fit. Of the first four hours after 20 mg two samples are known, and the activity before.

# %%
visits = [-0.5, 1.0, 4.0]
forecast = nb.forecast(tree, person.sel(time=visits), random_seed=1)
held_out = person.drop_sel(time=visits)
figure = nb.plot.forecast(forecast, times=np.linspace(0, 24, 97), held_out=held_out, outcome="effect")

# %%
later = held_out.observations
predicted = nb.predict(forecast, held_out, random_seed=1)["posterior_predictive"]
table = []
for outcome in names:
    low, median, high = predicted[outcome].quantile([0.05, 0.5, 0.95], dim=("chain", "draw")).to_numpy()
    each = later.loc[later["outcome"] == outcome, ["outcome", "time", "value"]]
    table.append(each.assign(eti_lb=low, median=median, eti_ub=high))
table = pd.concat(table)
table["inside"] = table["value"].between(table["eti_lb"], table["eti_ub"])
print(table.round(3).to_string(index=False))
print(f"{table['inside'].sum()} of {len(table)} measurements lie in their 90 % interval")

# %% [markdown]
# Now the dose, twice a day. In every draw of the posterior sixty new people get each amount for five days; the share of
# them at or below 60 % at the end of the last interval is what was asked for, and its spread over the draws is how
# sure we are. `sure` is the probability that the share is four fifths or more; bars are intervals of 90 %.

# %%
amounts, crowd = [10.0, 20.0, 30.0, 40.0, 60.0], 60
new = pd.DataFrame([(f"{amt:g} mg, {i}", amt) for amt in amounts for i in range(crowd)], columns=["id", "amt"])
arms = nb.Dataset.from_frame(
    new[["id"]].assign(time=120.0, conc=np.nan, effect=np.nan), outcome=names, time="time", levels="id",
    doses=new.assign(time=0.0, ii=12.0, addl=9), unmeasured="predict",
)  # fmt: skip
low_enough = nb.predict(tree, arms, random_seed=1)["posterior"]["f_effect"].to_numpy() <= 60
shares = low_enough.reshape(-1, len(amounts), crowd).mean(axis=2)
table = pd.DataFrame({"amount": amounts, "sure": (shares >= 0.8).mean(axis=0)})
table[["eti_lb", "median", "eti_ub"]] = np.quantile(shares, [0.05, 0.5, 0.95], axis=0).T
print(table.round(2).to_string(index=False))
enough = table.loc[table["sure"] >= 0.9, "amount"]
print(f"smallest of these doses that is sure at 0.9: {f'{enough.min():g} mg' if len(enough) else 'none'}")

# %%
figure, axis = plt.subplots(figsize=(5.6, 3.6), layout="constrained")
away = np.abs(table[["eti_lb", "eti_ub"]].sub(table["median"], axis=0)).T.to_numpy()
axis.errorbar(table["amount"], table["median"], away, fmt="o", color="#3b6ea5", capsize=3)
axis.axhline(0.8, color="grey", linestyle=":")
axis.axvline(rising.max(), color="grey", linewidth=0.8)
axis.annotate("largest dose given", (rising.max(), 0.03), (-4, 0), textcoords="offset points", ha="right", fontsize=8)
labels = axis.set(xlabel="dose twice a day (mg)", ylabel="share with enough inhibition", ylim=(0, 1))

# %% [markdown]
# ## What could be wrong
#
# - The data come from the model that was fitted; real ones never do.
# - Single doses were given, and repeated ones are predicted: that clearance stays what it is, and that no tolerance
#   develops, is an assumption. Nothing beyond the largest dose given is seen either, and bleeding, which limits the
#   dose from above, is no part of the model.
# - That all people can be inhibited by the same share at most is assumed; `imax` rests on the highest concentrations.
# - A share among sixty people has a spread of its own, at four fifths about 5 points, which makes the intervals a
#   little too wide; larger crowds take longer.
