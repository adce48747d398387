# ---
# jupyter:
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
# # Tumour growth inhibition: which schedule for the same dose

# %% [markdown]
# ## Question
#
# Mice with a tumour get an anticancer drug or nothing. How potent is the drug, how long do damaged cells take to
# die, and does it matter in which schedule the same total dose is given?

# %% [markdown]
# ## Data and source
#
# Simulated, so that the truth is known; model and setting are those of Simeoni et al. (2004), *Cancer Research*
# 64, 1094-1101. Eighteen mice are measured on seven days: six are controls, six get 60 mg/kg and six 120 mg/kg on
# days 0, 4 and 8. A nineteenth, treated mouse is the new one. Kinetics are known from other mice: clearance 20
# L/kg/day and volume 10 L/kg, a half-life of 8 hours. The truth:
#
# - 100 mm³ on day 0 (log standard deviation 0.2), growth by 0.27 per day (0.15), later by 250 mm³ per day;
# - potency `k2` 0.15 L/mg/day (0.25), `k1` 0.9 per day; an error of 10 %.

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import nlmebayes as nb
from model_zoo import OneCompartment, TumourGrowthInhibition

days = [0.0, 3.0, 6.0, 9.0, 12.0, 16.0, 20.0]
mice = np.arange(1, 20)
amounts = np.array([0.0, 60.0, 120.0])[mice % 3]
amounts[-1] = 120.0
frame = pd.DataFrame({"mouse": np.repeat(mice, len(days)), "day": np.tile(days, len(mice))})
frame = frame.assign(cl_hat=20.0, v_hat=10.0)
doses = pd.DataFrame({"mouse": mice, "day": 0.0, "amt": amounts, "addl": 2, "ii": 4.0}).query("amt > 0")
roles = dict(outcome="size", time="day", levels="mouse")
design = nb.Dataset.from_frame(frame.assign(size=1.0), doses=doses, **roles)  # to be simulated

# %% [markdown]
# ## Model
#
# Drug at the concentration C damages cycling cells x1 at the rate `k2` C. Damaged cells pass three stages at the
# rate `k1` and die; until then they count:
#
#     x1' = growth - k2 C x1    x2' = k2 C x1 - k1 x2    x3' = k1 (x2 - x3)    x4' = k1 (x3 - x4)
#
# Growth is exponential at the rate `lambda0`, and linear by `lambda1` once the tumour is large. All rates are per
# day, those of the kinetics too. Known individual values are offsets without an intercept.

# %%
model = nb.Model(
    TumourGrowthInhibition(OneCompartment()),
    "cl ~ 0 + offset(log(cl_hat))",
    "v ~ 0 + offset(log(v_hat))",
    "y0 ~ 1 + (1|mouse)",
    "lambda0 ~ 1 + (1|mouse)",
    "lambda1 ~ 1",
    "k1 ~ 1",
    "k2 ~ 1 + (1|mouse)",
    typical={"y0": (100.0, 0.5), "lambda0": (0.3, 0.5), "lambda1": (300.0, 0.7), "k1": (1.0, 0.5), "k2": (0.2, 1.0)},
    priors={"omega_mouse": nb.Prior("HalfNormal", sigma=0.3)},
    residual=nb.Proportional(),
)
print(model)

truth = {
    "theta_y0": [np.log(100)], "theta_lambda0": [np.log(0.27)], "theta_lambda1": [np.log(250)],
    "theta_k1": [np.log(0.9)], "theta_k2": [np.log(0.15)], "omega_mouse": [0.2, 0.15, 0.25], "sigma_size_b": 0.1,
}  # fmt: skip
drawn = nb.simulate(model, design, draws=1, values=truth, random_seed=1)["prior_predictive"]
data = design.with_values(size=drawn["size"].to_numpy().ravel())
training, new = data.drop_sel(mouse="19"), data.sel(mouse="19")
print(training)

# %% [markdown]
# ## Prior check

# %%
figure = nb.plot.prior(nb.simulate(model, training, draws=200, random_seed=1))
figure.axes[0].set(yscale="log", ylim=(0.1, 1e5), xlabel="day", ylabel="size (mm³)")

# %% [markdown]
# ## Fit
#
# Controls and treated mice at once: without controls a potent drug in a fast tumour could not be told from a weak
# one in a slow tumour.

# %%
settings = dict(draws=1000, tune=1000, chains=4, random_seed=1)
tree = nb.fit(model, training, **settings)

# %% [markdown]
# ## Check
#
# Six of the eighteen mice got no drug and say nothing about how `k2` varies.

# %%
print(nb.check(tree))

# %%
true = {"y0": 100, "lambda0": 0.27, "lambda1": 250, "k1": 0.9, "k2": 0.15, "sigma_size_b": 0.1}
true |= {"omega_mouse y0": 0.2, "omega_mouse lambda0": 0.15, "omega_mouse k2": 0.25}
table = nb.summary(tree).set_index("quantity")[["mean", "eti_lb", "eti_ub"]].assign(truth=pd.Series(true))
print(table.round(3).to_string())
threshold = np.exp(tree["posterior"]["theta_lambda0"] - tree["posterior"]["theta_k2"].to_numpy()).to_numpy()
low, median, high = np.quantile(threshold, [0.05, 0.5, 0.95])
print(f"concentration that stops the typical tumour: {median:.2f} ({low:.2f} to {high:.2f}) mg/L; truth 1.80 mg/L")

# %%
figure = nb.plot.fits(tree, subjects=range(1, 10), columns=3)

# %% [markdown]
# ## Forecast
#
# Mouse 19 got 120 mg/kg three times. Known are its first three measurements, while it is under treatment.

# %%
early = [0.0, 3.0, 6.0]
forecast = nb.forecast(tree, new.sel(day=early), random_seed=1)
held_out = new.drop_sel(day=early)
figure = nb.plot.forecast(forecast, times=np.linspace(0, 20, 81), held_out=held_out)
figure.axes[0].set(xlabel="day", ylabel="size (mm³)")

# %%
later = held_out.observations
predicted = nb.predict(forecast, held_out, random_seed=1)["posterior_predictive"]["size"]
low, median, high = predicted.quantile([0.05, 0.5, 0.95], dim=("chain", "draw")).to_numpy()
table = later[["day", "value"]].assign(eti_lb=low, median=median, eti_ub=high)
table["inside"] = table["value"].between(low, high)
print(table.round(0).to_string(index=False))
print(f"{table['inside'].sum()} of {len(table)} measurements lie in their 90 % interval")

# %% [markdown]
# Now the schedules: 360 mg/kg in all, to mice that have not been seen. How large are their tumours on day 28, and
# what is the highest concentration, the price? The mice of an arm are drawn from the population of each draw.

# %%
schedules = {"360 once": (360.0, 1, 0.0), "120 every 4 days": (120.0, 3, 4.0), "120 every 8 days": (120.0, 3, 8.0),
             "30 every day": (30.0, 12, 1.0)}  # fmt: skip
given = pd.DataFrame(
    [{"mouse": name, "day": 0.0, "amt": amt, "addl": n - 1, "ii": ii} for name, (amt, n, ii) in schedules.items()]
)
grid = np.linspace(0, 28, 57)
arms = pd.DataFrame([(name, day) for name in schedules for day in grid], columns=["mouse", "day"])
arms = nb.Dataset.from_frame(
    arms.assign(size=np.nan, cl_hat=20.0, v_hat=10.0), doses=given, unmeasured="predict", **roles
)
curves = nb.predict(tree, arms, random_seed=1)["posterior"]["f_size"].to_numpy()
curves = curves.reshape(-1, len(schedules), len(grid))
figure, axis = plt.subplots(figsize=(6.4, 4.0), layout="constrained")
for i, (name, (amt, n, ii)) in enumerate(schedules.items()):
    axis.plot(grid, np.median(curves[:, i], axis=0), label=name)
    low, median, high = np.quantile(curves[:, i, -1], [0.05, 0.5, 0.95])
    peak = amt / 10 * sum(np.exp(-2.0 * ii * k) for k in range(n))
    print(f"{name:>16}: {median:.0f} ({low:.0f} to {high:.0f}) mm³ on day 28; highest concentration {peak:.1f} mg/L")
axis.set(xlabel="day", ylabel="size (mm³), median mouse", yscale="log")
legend = axis.legend(frameon=False)

# %% [markdown]
# ## What could be wrong
#
# - Cells are damaged in proportion to the concentration, so during exponential growth what counts is the area under
#   the curve, which is that of the total dose: the schedules differ little in the end, and the gentle ones have
#   the lower peaks. That is the assumption, not a finding: a drug that acts above a threshold, or saturates, would
#   rank them otherwise, and to see it one needs arms with different schedules.
# - Tumours do not become resistant here, and the last cell never dies: a small tumour always grows again.
# - `k1` rests on how fast sizes respond after the first dose. Measurements every third day see a delay of
#   3 / `k1`, three days, just so.
# - Kinetics were taken as known and the same in all mice. Their scatter is in that of `k2` here.
