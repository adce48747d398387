# ---
# jupyter:
#   gallery:
#     field: Immunology
#     question: What will this one do next?
#     asks: "What do the first days of a CAR-T course say of its peak and of the cells that stay?"
#     data: "simulated with stated truth"
#     answer: >-
#       On day 8, before the peak is passed, it may be 12 000 to 425 000 copies/µg, on day 14 20 000 to 33 000; of the
#       cells that stay a sample on day 90 tells most
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
# # A CAR-T course from its first days

# %% [markdown]
# ## Question
#
# One infusion, and no dose to change after it: what remains is to know early how the course will go. What do the
# levels of the first five days, of the first eight, of two weeks say of the peak and of the cells that are left after
# three months? And when should the next blood be taken?

# %% [markdown]
# ## Data and source
#
# Simulated, in the manner of Stein et al. (2019), *CPT Pharmacometrics & Systems Pharmacology* 8, 285-295: fourteen
# patients and one who comes later, copies per µg of DNA on ten days, an error that is a factor of about 1.3, no
# number below 50. The truth: 6 copies at the start, expansion by 0.9 a day (log standard deviation 0.1) until day 9.3
# (0.15), contraction by 0.16 a day (0.3), 0.003 a day of the effectors become memory cells (0.5), which are lost at
# 0.005 a day.

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import nlmebayes as nb
from model_zoo import CarTExpansion

LIMIT = 50.0
days = [2.0, 5.0, 8.0, 11.0, 14.0, 21.0, 28.0, 60.0, 90.0, 180.0]
people = np.arange(1, 16)
frame = pd.DataFrame({"id": np.repeat(people, len(days)), "day": np.tile(days, len(people)), "level": 1.0})
roles = dict(outcome="level", time="day", levels="id", units={"level": "copies/µg"})
design = nb.Dataset.from_frame(frame, **roles)

# %% [markdown]
# ## Model
#
#     until tmax:  effector' = rho effector
#     then:        effector' = -(alpha + kem) effector      memory' = kem effector - beta memory

# %%
model = nb.Model(
    CarTExpansion(), "c0 ~ 1", "rho ~ 1 + (1|id)", "tmax ~ 1 + (1|id)", "alpha ~ 1 + (1|id)", "kem ~ 1 + (1|id)",
    "beta ~ 1",
    typical={"c0": (6.0, 0.3), "rho": (0.9, 0.3), "tmax": (9.3, 0.3), "alpha": (0.16, 0.5), "kem": (0.003, 0.7),
             "beta": (0.005, 0.5)},
    priors={"omega_id": nb.Prior("HalfNormal", sigma=0.4)},
    residual=nb.LogNormal(),
)  # fmt: skip
print(model)

# %%
truth = {
    "theta_c0": [np.log(6)], "theta_rho": [np.log(0.9)], "theta_tmax": [np.log(9.3)], "theta_alpha": [np.log(0.16)],
    "theta_kem": [np.log(0.003)], "theta_beta": [np.log(0.005)], "omega_id": [0.1, 0.15, 0.3, 0.5],
    "sigma_level_a": 0.25,
}  # fmt: skip
drawn = nb.simulate(model, design, draws=1, values=truth, random_seed=2)["prior_predictive"]
data = nb.Dataset.from_frame(frame.assign(level=drawn["level"].to_numpy().ravel()), lloq=LIMIT, **roles)
training, person = data.drop_sel(id="15"), data.sel(id="15")

# %% [markdown]
# ## Prior check
#
# Growth is exponential: moderate spreads of its rate and duration make numbers of cells that no body holds. The prior
# is wider than it need be, and the patients overrule it.

# %%
figure = nb.plot.prior(nb.simulate(model, training, draws=200, random_seed=1), bins=10)
figure.axes[0].set_yscale("log")

# %% [markdown]
# ## Fit

# %%
settings = dict(draws=1000, tune=1000, chains=4, random_seed=1)
tree = nb.fit(model, training, **settings)

# %% [markdown]
# ## Check
#
# Records with a large Pareto k: ten levels of a patient carry four effects, and the peak and the memory hang on few of
# them.

# %%
print(nb.check(tree))
figure = nb.plot.fits(tree, subjects=range(1, 9))
for axis in figure.axes:
    axis.set(yscale="log", ylim=(1, 1e7))

# %% [markdown]
# ## Forecast
#
# Three forecasts of the same patient, each with more days. Before the peak is passed, the peak itself is uncertain by
# a factor of many; after it, the fast decline is known, and the memory is what the population lets expect.

# %%
grid = np.linspace(1, 180, 180)
figure, axes = plt.subplots(1, 3, figsize=(10, 3.4), sharey=True, layout="constrained")
rows = []
for axis, known in zip(axes, (2, 3, 5), strict=True):
    forecast = nb.forecast(tree, person.sel(day=days[:known]), random_seed=1)
    curve = nb.predict(forecast, person.over(time=grid), random_seed=1)["posterior"]["f_level"]
    low, middle, high = curve.quantile([0.05, 0.5, 0.95], dim=("chain", "draw")).to_numpy()
    axis.fill_between(grid, low, high, color="#3b6ea5", alpha=0.2, linewidth=0, label="band of 90 %")
    axis.plot(grid, middle, color="#3b6ea5", label="median")
    seen = person.observations
    axis.plot(seen["day"][:known], seen["value"][:known], "o", color="black", label="used")
    axis.plot(seen["day"][known:], seen["value"][known:], "o", color="black", fillstyle="none", label="kept back")
    axis.axhline(LIMIT, color="grey", linestyle=":", label="limit")
    axis.set(yscale="log", ylim=(1, 1e7), xlabel="day", title=f"up to day {days[known - 1]:g}")
    peak, late = curve.max("level_obs"), curve.isel(level_obs=89)
    rows.append(
        {"up to day": days[known - 1], "peak from": float(peak.quantile(0.05)), "to": float(peak.quantile(0.95)),
         "above the limit on day 90": float((late > LIMIT).mean())}
    )  # fmt: skip
axes[0].set_ylabel("level (copies/µg)")
axes[-1].legend(frameon=False, ncols=2)
print(pd.DataFrame(rows).round(2).to_string(index=False))

# %%
held_out = person.drop_sel(day=days[:5])
predicted = nb.predict(forecast, held_out, random_seed=1)["posterior_predictive"]["level"]
low, median, high = predicted.quantile([0.05, 0.5, 0.95], dim=("chain", "draw")).to_numpy()
later = held_out.observations
censored = later["lower"].notna()
inside = np.where(censored, low < later["value"], later["value"].between(low, high))
shown = later[["day", "value"]].assign(censored=censored, eti_lb=low, median=median, eti_ub=high)
print(shown.round(1).to_string(index=False))
print(f"{inside.sum()} of {len(later)} levels lie in their 90 % interval")

# %% [markdown]
# Which day would tell most of the part of cells that become memory (`kem`)? Too early, the effectors hide them; a
# level below the limit says little more than that. The table is what is expected to be left of the uncertainty of log
# `kem`.

# %%
candidates = [16.0, 21.0, 28.0, 45.0, 60.0, 90.0, (28.0, 60.0)]
when = nb.next_sample(forecast, candidates, "kem", lloq=LIMIT, random_seed=1)
print(when.round(3).to_string(index=False))

# %% [markdown]
# ## What could be wrong
#
# - The smooth course of the model has no relapse: cells that meet their antigen again expand again.
# - Fourteen patients are few for the tails of a population; a patient who never expands is outside of it.
# - Early samples are below the limit in many, and then say little before the peak.
# - The best time for `kem` is not the best time for the clinic, where the peak decides about toxicity.
