# ---
# jupyter:
#   gallery:
#     field: Oncology
#     question: Can I believe the model?
#     asks: "How large would these tumours become, and do the data tell it at all?"
#     data: "simulated with stated truth"
#     answer: >-
#       Six days tell the growth rate within a tenth, and of the size at the end hardly more than was believed before:
#       1900 to 14 000 mm³
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
# # Tumour growth: what early measurements cannot tell

# %% [markdown]
# ## Question
#
# Tumours of mice are measured for six days, then the experiment ends. A Gompertz curve fits them well. How
# large would they become? The carrying capacity `k` is a parameter of the curve, so the fit returns a number for
# it. Does it come from the data?

# %% [markdown]
# ## Data and source
#
# Simulated, so that the truth is known; the law is among those that Benzekry et al. (2014), *PLoS Computational
# Biology* 10, e1003800, compared on two kinds of tumours of mice. Twelve mice are measured every other day from
# day 0 to 6, with an error of 15 %; a thirteenth is followed to day 30. The truth:
#
# - an initial size of 30 mm³ with a log standard deviation of 0.2 between mice;
# - `r`, the rate at which the logarithm approaches its end, 0.07 per day, and a carrying capacity of 6000 mm³,
#   the same for all: one line of cells in inbred mice.

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import nlmebayes as nb
from model_zoo import TumourGrowth

early, late = np.arange(0.0, 7.0, 2.0), np.arange(10.0, 31.0, 4.0)
records = [(mouse, day) for mouse in range(1, 13) for day in early]
records += [(13, day) for day in [*early, *late]]
frame = pd.DataFrame(records, columns=["mouse", "day"]).assign(size=1.0)
design = nb.Dataset.from_frame(frame, outcome="size", time="day", levels="mouse", units={"size": "mm³"})

# %% [markdown]
# ## Model
#
#     size' = r size log(k / size)
#
# The relative growth rate is `r log(k / size)`. While the size is far below `k`, a larger `k` with a smaller `r`
# gives nearly the same rate: the logarithm of `k` changes little, and `r` makes up for it. Only the bend of the
# curve tells the two apart. The prior says 5000 mm³, give or take a factor of 2, for `k`, and 0.08 per day (a
# factor of 1.6) for `r`.

# %%
model = nb.Model(
    TumourGrowth("gompertz"),
    "y0 ~ 1 + (1|mouse)",
    "r ~ 1",
    "k ~ 1",
    typical={"y0": (30.0, 0.5), "r": (0.08, 0.5), "k": (5000.0, 0.7)},
    priors={"omega_mouse": nb.Prior("HalfNormal", sigma=0.3)},
    residual=nb.Proportional(),
)
print(model)

truth = {
    "theta_y0": [np.log(30)], "theta_r": [np.log(0.07)], "theta_k": [np.log(6000)], "omega_mouse": [0.2],
    "sigma_size_b": 0.15,
}  # fmt: skip
drawn = nb.simulate(model, design, draws=1, values=truth, random_seed=2)["prior_predictive"]
data = design.with_values(size=drawn["size"].to_numpy().ravel())
training, new = data.drop_sel(mouse="13"), data.sel(mouse="13")
print(training)

# %% [markdown]
# ## Prior check
#
# The largest tumour of the twelve stays far below any capacity that the prior finds likely. That is the trouble
# to come.

# %%
prior = nb.simulate(model, training, random_seed=1)
figure = nb.plot.prior(prior)
figure.axes[0].set(yscale="log", ylim=(1, 1e5))
print(f"largest measurement {training.observations['value'].max():.0f} mm³; the truth of k is 6000 mm³")

# %% [markdown]
# ## Fit

# %%
settings = dict(draws=1000, tune=1000, chains=4, random_seed=1)
tree = nb.fit(model, training, **settings)

# %% [markdown]
# ## Check
#
# The curves fit well, and the chains are good. The one finding is what this page is about: most of the prior's standard
# deviation of `theta_k` is left.

# %%
report = nb.check(tree)
print(report)

# %%
figure = nb.plot.fits(tree, subjects=range(1, 9))

# %%
true = {"y0": 30, "r": 0.07, "k": 6000, "omega_mouse y0": 0.2, "sigma_size_b": 0.15}
table = nb.summary(tree).set_index("quantity")[["mean", "eti_lb", "eti_ub"]].assign(truth=pd.Series(true))
print(table.round(3).to_string())

# %% [markdown]
# Prior and posterior of `k`, and `k` with `r`. The posterior is a ridge: along it the growth rate at the sizes
# that were seen, `r log(k / size)`, hardly changes. That rate is known, `k` is not. The data cut a little off the
# left end, for they would have shown the bend of a small capacity; the rest is the prior's. Such a `k` is no result:
# report the rate, and that the size at the end was not seen.

# %%
posterior = tree["posterior"]
log_k, log_r = (posterior[f"theta_{name}"].to_numpy().ravel() for name in ("k", "r"))
log_k_before = prior["prior"]["theta_k"].to_numpy().ravel()
figure, axes = plt.subplots(1, 2, figsize=(8.4, 3.6), layout="constrained")
edges = np.linspace(np.log(5000) - 2.5, np.log(5000) + 2.5, 25)
for values, label, colour in ((log_k_before, "prior", "grey"), (log_k, "posterior", "#3b6ea5")):
    axes[0].hist(values, bins=edges, density=True, alpha=0.5, color=colour, label=label)
axes[0].axvline(np.log(6000), color="black", linestyle=":", label="truth")
axes[0].set(xlabel="log k", ylabel="density")
axes[0].legend(frameon=False)
axes[1].plot(log_k, log_r, ".", color="#3b6ea5", alpha=0.3)
axes[1].plot(np.log(6000), np.log(0.07), "k+", markersize=12)
axes[1].set(xlabel="log k", ylabel="log r")
rate = np.exp(log_r) * (log_k - np.log(100))
for name, values, true_value in (("k", np.exp(log_k), 6000), ("rate at 100 mm³", rate, 0.07 * np.log(60))):
    low, median, high = np.quantile(values, [0.05, 0.5, 0.95])
    print(f"{name}: {median:.4g} ({low:.4g} to {high:.4g}), a factor of {high / low:.2f}; truth {true_value:.4g}")
print(f"correlation of log k and log r: {np.corrcoef(log_k, log_r)[0, 1]:.2f}")
print(f"posterior SD of log k per prior SD: {log_k.std() / log_k_before.std():.2f}")

# %% [markdown]
# ## Forecast
#
# Mouse 13 is known from the same six days. The forecast to day 30 carries all that is not known of `k`: its
# band opens where the curves of the ridge part.

# %%
forecast = nb.forecast(tree, new.sel(day=early), random_seed=1)
held_out = new.drop_sel(day=early)
figure = nb.plot.forecast(forecast, times=np.linspace(0, 30, 91), held_out=held_out)
figure.axes[0].set_ylim(0, 8000)

# %%
later = held_out.observations
predicted = nb.predict(forecast, held_out, random_seed=1)["posterior_predictive"]["size"]
low, median, high = predicted.quantile([0.05, 0.5, 0.95], dim=("chain", "draw")).to_numpy()
table = later[["day", "value"]].assign(eti_lb=low, median=median, eti_ub=high)
table["inside"] = table["value"].between(low, high)
print(table.round(0).to_string(index=False))
print(f"{table['inside'].sum()} of {len(table)} measurements lie in their 90 % interval")

# %% [markdown]
# What would late data tell? One mouse followed to the end, given to the same posterior as a new patient, moves
# the population's `k` at once (the forecast weighs the draws of the population too).

# %%
followed = nb.forecast(tree, new, random_seed=1)
for words, values in (("before", log_k), ("after mouse 13 to day 30", followed["posterior"]["theta_k"].to_numpy())):
    low, median, high = np.exp(np.quantile(values, [0.05, 0.5, 0.95]))
    print(f"k {words}: {median:.0f} ({low:.0f} to {high:.0f}) mm³")

# %% [markdown]
# ## What could be wrong
#
# - That one late mouse speaks for all holds because `r` and `k` were modelled as the same for all. With capacities
#   that differ between mice, one mouse tells one capacity; and of six days nothing would tell so.
# - The law was known to be Gompertz'. Exponential, logistic or Simeoni's law (`TumourGrowth("simeoni")`) fit
#   six days nearly as well and end elsewhere: the law adds to the uncertainty of what comes later.
# - A forecast beyond the data was honest here because the prior of `k` was a reasonable one. With a prior that
#   is narrow and wrong the same fit would look as good and forecast badly.
# - Animals leave an experiment when their tumour is large, so late sizes are those of slow tumours.
