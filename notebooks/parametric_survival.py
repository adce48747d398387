# ---
# jupyter:
#   gallery:
#     picture: 3
#     field: Clinical trials
#     question: Does it work, and for whom?
#     asks: "Does a treatment lower the hazard of death, and how much do centres differ?"
#     data: "real: pbc; simulated with stated truth"
#     answer: >-
#       The hazard ratio and the frailty come back; in liver disease bilirubin decides, and the drug shows no
#       benefit (0.90, 0.65 to 1.25)
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
# # Survival in a trial with many centres

# %% [markdown]
# ## Question
#
# Does a treatment lower the hazard of death, how much do centres differ, and what is to be expected of the
# patients of a centre that has just begun?

# %% [markdown]
# ## Data and source
#
# Simulated, so that the truth is known: 20 centres with 25 patients each, a Weibull hazard that grows with time
# (shape 1.4), a hazard ratio of 0.6 under treatment, and a frailty of each centre with SD 0.5. Follow-up ends
# between 2 and 8 years. `died` is 1 where the death was seen and 0 where the patient was alive at the end.

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import nlmebayes as nb
from model_zoo import ParametricSurvival

rng = np.random.default_rng(7)
n, centres = 500, 20
frame = pd.DataFrame({"patient": np.arange(n), "centre": np.arange(n) % centres, "treated": rng.integers(0, 2, n)})
rate = 0.12 * np.exp(np.log(0.6) * frame["treated"] + rng.normal(0, 0.5, centres)[frame["centre"]])
death, end = (rng.standard_exponential(n) / rate) ** (1 / 1.4), rng.uniform(2, 8, n)
frame = frame.assign(years=np.minimum(death, end), died=(death <= end).astype(int))
levels = ("centre", "patient")  # the new thing to come is a centre, so it is the subject of a forecast
data = nb.Dataset.from_frame(frame, outcome="years", levels=levels, subject="centre", status="died")
training = data.drop_sel(centre="0")
print(data)

# %% [markdown]
# ## Model
#
# A coefficient of `rate` is the logarithm of a hazard ratio, and a random effect of the centre on it a frailty.
# `TimeToEvent` says that the outcome is the time of an event: the likelihood is the hazard at a death, and the
# probability of having survived where follow-up ended.

# %%
model = nb.Model(
    ParametricSurvival("weibull"), "rate ~ 1 + treated + (1|centre)", "shape ~ 1", residual=nb.TimeToEvent()
)
print(model)
print(nb.priors(model, training).to_string(index=False))

# %% [markdown]
# ## Prior check
#
# The prior should leave room for trials in which nearly all die at once, and for those in which nobody does.

# %%
prior = nb.simulate(model, training, draws=200, random_seed=1)["prior"]
survived = np.exp(-prior["f_years"].mean("years_obs").to_numpy().ravel())
figure, axis = plt.subplots()
axis.hist(survived, bins=20)
label = axis.set(xlabel="about the share that survives follow-up", ylabel="simulated trials")

# %% [markdown]
# ## Fit

# %%
settings = dict(draws=1000, tune=1000, chains=4, random_seed=1)
tree = nb.fit(model, training, **settings)

# %% [markdown]
# ## Check
#
# The truth was: rate 0.12, a log hazard ratio of -0.51, shape 1.4, frailty 0.5. The rate comes out low and the shape
# high, at the ends of their intervals: a hazard that starts lower and rises more steeply has nearly the same deaths.

# %%
print(nb.check(tree))

# %% [markdown]
# `f_years` is the cumulative hazard of each patient at the end of follow-up. Where the model is right, these
# numbers are a censored sample of the standard exponential law (residuals of Cox and Snell), whose own cumulative
# hazard is a straight line.

# %%
seen = training.observations
hazard = tree["posterior"]["f_years"].mean(("chain", "draw")).to_numpy()
order = np.argsort(hazard)
died = np.isnan(seen["lower"].to_numpy())[order]
nelson_aalen = np.cumsum(died / np.arange(len(died), 0, -1))
figure, axis = plt.subplots()
axis.step(hazard[order], nelson_aalen, where="post")
axis.axline((0, 0), slope=1, color="grey", linestyle="--")
label = axis.set(xlabel="cumulative hazard of the model", ylabel="Nelson and Aalen's estimate of it")

# %% [markdown]
# ### On measured data: primary biliary cirrhosis
#
# The 312 randomised patients of a trial of D-penicillamine (R's `pbc`; Fleming and Harrington 1991, *Counting Processes
# and Survival Analysis*, appendix D): time to death, those who were transplanted or alive at the end censored. Which
# part of the risk is the state at the start, and which the treatment? By maximum likelihood.

# %%
liver = nb.datasets.table("pbc").query("trt.notna()").assign(years=lambda x: x["time"] / 365.25)
liver = liver.assign(dead=(liver["status"] == 2).astype(int), treated=(liver["trt"] == 1).astype(float))
columns = ["id", "years", "dead", "treated", "bili", "age", "edema"]
liver = nb.Dataset.from_frame(liver[columns], outcome="years", levels="id", status="dead")
risks = nb.Model(
    ParametricSurvival("weibull"), "rate ~ 1 + treated + log(bili) + I((age - 50) / 10) + edema", "shape ~ 1",
    residual=nb.TimeToEvent(),
)  # fmt: skip
deaths = nb.fit(risks, liver, method="ml", random_seed=1)
rows = nb.summary(deaths).set_index("quantity")[["mean", "eti_lb", "eti_ub"]]
ratios = np.exp(rows[rows.index.str.startswith("rate: ")])
ratios.index = ["treated", "bilirubin, by a factor of e", "ten years of age", "oedema"]
print("hazard ratios")
print(ratios.round(2).to_string())

# %% [markdown]
# The interval of the treatment holds 1 and a good deal on both sides: the trial shows no benefit, and does not
# exclude a moderate one. What decides is the bilirubin at the start. The picture has the survival of patients of
# fifty without oedema that the model says for three levels.

# %%
years = np.linspace(0, 10, 21)
of_whom = {"bili": [1.0, 3.0, 10.0], "treated": 0.0, "age": 50.0, "edema": 0.0}
alive = pd.concat(
    [nb.effects(deaths, "bili", at=of_whom, of=f"exp(-rate * {t}**shape)").assign(years=t) for t in years]
)
figure, axis = plt.subplots(figsize=(4.8, 3.2), layout="constrained")
for bilirubin, each in alive.groupby("bili"):
    (line,) = axis.plot(each["years"], each["median"], label=f"{bilirubin:g} mg/dL")
    axis.fill_between(each["years"], each["eti_lb"], each["eti_ub"], color=line.get_color(), alpha=0.2, linewidth=0)
axis.set(xlabel="years (bands of 90 %)", ylabel="probability to be alive, on placebo", ylim=(0, 1.02))
legend = axis.legend(frameon=False, title="bilirubin")
shown = alive.loc[alive["years"].isin([5.0, 10.0]), ["years", "bili", "median", "eti_lb", "eti_ub"]]
print(shown.round(2).to_string(index=False))

# %% [markdown]
# ## Forecast
#
# Centre 0 was put aside. Of its patients, 15 are known; what of the other ten? The forecast takes the trial as
# prior and the 15 as data.

# %%
known = [str(i) for i in range(0, 300, 20)]
known = [label for label in data.sel(centre="0").observations["patient"] if label.split("/")[1] in known]
forecast = nb.forecast(tree, data.sel(patient=known), random_seed=1)
rest = data.sel(centre="0").drop_sel(patient=known)
predicted = nb.predict(forecast, rest, random_seed=1)["posterior_predictive"]["years"]
low, high = predicted.quantile([0.05, 0.95], dim=("chain", "draw")).to_numpy()
later = rest.observations
figure, axis = plt.subplots()
place, alive = np.arange(len(later)), later["lower"].notna()
axis.vlines(place, low, high, color="grey", label="time of death, 90 % interval")
for label, those, filled in (("died", ~alive, "full"), ("alive at the end of follow-up", alive, "none")):
    axis.plot(place[those], later["value"][those], "o", color="black", fillstyle=filled, label=label)
axis.set(xlabel="patient of the new centre", ylabel="years", yscale="log")
axis.set_yticks([0.3, 1, 3, 10, 30], ["0.3", "1", "3", "10", "30"])
legend = axis.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, frameon=False)

# %% [markdown]
# Of a patient who was alive at the end it is known only that death came later, so the upper end decides.

# %%
inside = (later["value"] <= high) & (alive | (later["value"] >= low))
print(f"{inside.sum()} of {len(later)} patients lie in their 90 % interval")

# %% [markdown]
# ## What could be wrong
#
# - Proportional hazards: a treatment that helps only in the first year needs `breaks` and an effect on the ratios.
# - The frailty of a centre is told apart from the scatter of single lives only by many patients in each.
# - Beyond the longest follow-up nothing is known of the hazard. Simulated times go on with a constant one.
# - Censoring must say nothing of the patient: those who leave because they are ill need a model of their own.
