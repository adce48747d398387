# ---
# jupyter:
#   gallery:
#     field: Ecology and growth
#     question: How does it work?
#     asks: "How fast does litter decay, and does it differ more among sites or among plots?"
#     picture: 4
#     data: "simulated with stated truth"
#     answer: >-
#       Sites differ more than plots (log SD 0.24 against 0.14, climate apart); decay is 1.67 times as fast with ten
#       degrees more (1.39 to 2.01), and climate explains 60 % of the variance of sites (23 to 80)
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
# # Litter decay: bags in plots in sites

# %% [markdown]
# ## Question
#
# Leaf litter is put out in mesh bags, and from time to time a bag is taken in and weighed. How fast does
# litter decay, and where is the variation: among sites, or among the plots of a site? Does the climate of a site say
# why, and what would warming by three degrees do? And when a new plot is set up in a known site, what will be left in
# it?

# %% [markdown]
# ## Data and source
#
# The data are simulated, so that the answer is known. The single exponential is that of Olson (1963), *Ecology* 44,
# 322-331, doi:10.2307/1932179. Twenty-four sites have between two and six plots, and each plot gave between four and
# nine bags at times of its own: the unequal design of field work. The outcome is the fraction of the mass that
# remains. Plots are numbered within their site, which `site/plot` says. Sites have a mean temperature and a moisture
# (precipitation by potential evaporation); that decay follows a Q10 and rises with moisture is the form of
# Meentemeyer (1978), *Ecology* 59, 465-472, doi:10.2307/1936576, and of many since. (Public litter data of this
# design may not be shipped; the tests compare with them, by name.)

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import nlmebayes as nb
from model_zoo import LitterDecay

rng = np.random.default_rng(1)
records = []
for site in range(1, 25):
    for plot in range(1, rng.integers(2, 7) + 1):
        years = np.sort(rng.choice(np.arange(0.25, 5.01, 0.25), rng.integers(4, 10), replace=False))
        records += [(f"S{site:02d}", plot, year) for year in years]
frame = pd.DataFrame(records, columns=["site", "plot", "year"]).assign(mass=0.5)
weather = np.random.default_rng(2)
climate = pd.DataFrame({"site": frame["site"].unique()})
climate["celsius"] = weather.uniform(2, 22, len(climate)).round(1)
climate["moisture"] = weather.uniform(0.3, 1.3, len(climate)).round(2)
frame = frame.merge(climate, on="site")
roles = dict(outcome="mass", time="year", levels=("site", "site/plot"), units={"mass": "fraction left"})
design = nb.Dataset.from_frame(frame, **roles)

# %% [markdown]
# ## Model
#
# One parameter, the decay rate `k` per year. `(1|site/plot)` lets its logarithm deviate by site and, within a site,
# by plot. The slope on the temperature, in tens of degrees, is the logarithm of Q10, the factor per 10 degrees; that
# on the logarithm of the moisture is an exponent. The intercept is the rate at 10 °C and moisture 1. The truth: 0.35
# per year there, Q10 of 2, an exponent of 0.5; what climate leaves has a standard deviation of 0.3 among sites and
# 0.15 among plots, and a bag scatters by 0.12 around its curve.

# %%
model = nb.Model(LitterDecay(), "k ~ 1 + I((celsius - 10) / 10) + log(moisture) + (1|site/plot)")
print(model)

truth = pd.Series({
    "k": 0.35, "k: I((celsius - 10) / 10)": np.log(2), "k: log(moisture)": 0.5, "omega_site k": 0.3,
    "omega_plot k": 0.15, "sigma_mass_a": 0.12,
})  # fmt: skip
values = {"theta_k": [np.log(truth["k"]), np.log(2), 0.5], "sigma_mass_a": truth["sigma_mass_a"]}
values |= {f"omega_{level}": [truth[f"omega_{level} k"]] for level in ("site", "plot")}
studies = nb.simulate(model, design, values=values, draws=2, random_seed=1)  # the first is used
simulated = studies.isel(chain=0, draw=0)
data = design.with_values(mass=simulated["prior_predictive"]["mass"].to_numpy())
new = "S03/1"
training = data.drop_sel(plot=new)
print(data)

# %% [markdown]
# ## Prior check
#
# With the prior of `k` around 0.3 per year, litter may be gone within a year or hardly change in five. The
# bands reach below 0 and above 1 only because the scatter of single bags is not known yet: its prior takes
# its scale from that of all bags.

# %%
figure = nb.plot.prior(nb.simulate(model, training, random_seed=1), bins=10)

# %% [markdown]
# ## Fit

# %%
settings = dict(draws=1000, tune=1000, chains=4, random_seed=1)
tree = nb.fit(model, training, **settings)

# %% [markdown]
# ## Check
#
# First convergence and fit; the effects of plots shrink more than those of sites, for a plot has few bags. A bag or two
# with a large Pareto k lie far off the curve of such a plot: its effect leans on them.

# %%
print(nb.check(tree))

# %% [markdown]
# Estimates beside the truth, and beside what the simulation happened to draw: the standard deviation of 24 sites drawn
# from a population is not that of the population, warm sites may by chance be slow ones, and what was drawn is all that
# the data can show. The scatter among plots is the hardest to see, for it must be told from that of a few noisy bags.

# %%
table = nb.summary(tree).set_index("quantity")[["mean", "eti_lb", "eti_ub"]].assign(truth=truth)
table["inside"] = table["truth"].between(table["eti_lb"], table["eti_ub"])
for level in ("site", "plot"):
    table.loc[f"omega_{level} k", "drawn"] = simulated["prior"][f"eta_{level}"].std(ddof=1).item()
of_site = simulated["prior"]["eta_site"].isel(site_effect=0).to_series()
there = climate.set_index("site").loc[of_site.index]
columns = np.column_stack([np.ones(len(there)), (there["celsius"] - 10) / 10, np.log(there["moisture"])])
slopes = values["theta_k"] + np.linalg.lstsq(columns, of_site.to_numpy(), rcond=None)[0]
table.loc[["k", "k: I((celsius - 10) / 10)", "k: log(moisture)"], "drawn"] = [np.exp(slopes[0]), *slopes[1:]]
print(table.round(3).to_string())

# %% [markdown]
# The rate of each plot can be compared too: fitted (with its 90 % interval) over true. Intervals should cross
# the diagonal nine times in ten; rates of plots with few bags are drawn towards those of their site.

# %%
units = tree["posterior"]["k"]
low, median, high = units.quantile([0.05, 0.5, 0.95], dim=("chain", "draw")).to_numpy()
actual = simulated["prior"]["k"].sel(unit=units["unit"]).to_numpy()
figure, axis = plt.subplots(figsize=(4.2, 4.2), layout="constrained")
axis.errorbar(actual, median, yerr=[median - low, high - median], fmt="o", markersize=3.5, linewidth=0.8)
axis.axline((truth["k"], truth["k"]), slope=1, color="black", linewidth=0.8)
axis.set(xlabel="true k (1/year)", ylabel="fitted k (1/year)")
inside = (low <= actual) & (actual <= high)
print(f"{inside.sum()} of {len(actual)} plots have their true rate in the interval")

# %%
figure = nb.plot.fits(tree)

# %% [markdown]
# Where is the variation in what a bag shows? Early all bags are alike, and late as well, when little is left; in
# between the rate of the site counts most. The split is by simulation, for the curve is no line.

# %%
shares = {}
for year in (0.5, 2.0, 5.0):
    bag = pd.DataFrame({"site": ["any"], "plot": [1], "year": [year], "celsius": 10.0, "moisture": 1.0, "mass": np.nan})
    bag = nb.Dataset.from_frame(bag, **roles, unmeasured="predict")
    shares[year] = nb.intervals(nb.partition(tree, bag, draws=100, random_seed=1)["share"])["mean"]
print(pd.DataFrame(shares).rename_axis(columns="years").round(3).to_string())

# %% [markdown]
# Does climate say why sites differ? The same model without it, by maximum likelihood, has all of the variance among
# sites in one number; with it a part has got names. The picture has the rate of each site, and the curve of Q10 at
# moisture 1.

# %%
plain = nb.fit(nb.Model(LitterDecay(), "k ~ 1 + (1|site/plot)"), training, method="ml", random_seed=1)
before = nb.summary(plain).set_index("quantity").loc["omega_site k", "mean"]
posterior = tree["posterior"]
left = posterior["omega_site"].isel(site_effect=0)
explained = 1 - left**2 / before**2
low, median, high = explained.quantile([0.05, 0.5, 0.95]).to_numpy()
print(f"of the variance among sites climate explains {median:.0%} ({low:.0%} to {high:.0%})")
theta = posterior["theta_k"].stack(sample=("chain", "draw")).transpose("sample", "k_term").to_numpy()
q10, exponent = np.exp(theta[:, 1]), theta[:, 2]
for words, x in (("Q10", q10), ("exponent of moisture", exponent), ("rate at 3 degrees more, by today's", q10**0.3)):
    low, median, high = np.quantile(x, [0.05, 0.5, 0.95])
    print(f"{words}: {median:.2f} ({low:.2f} to {high:.2f})")
k = np.exp(theta[:, 0])
for words, rate in (("today", k), ("3 degrees warmer", k * q10**0.3)):
    low, median, high = np.quantile(np.exp(-2 * rate), [0.05, 0.5, 0.95])
    print(f"left after two years at 10 °C and moisture 1, {words}: {median:.2f} ({low:.2f} to {high:.2f})")

degrees = np.linspace(2, 22, 41)
curves = np.exp(theta[:, [0]] + theta[:, [1]] * (degrees - 10) / 10)
low, median, high = np.quantile(curves, [0.05, 0.5, 0.95], axis=0)
sites = np.exp(posterior["eta_site"].isel(site_effect=0).mean(("chain", "draw"))).to_series()
places = climate.set_index("site").loc[sites.index]
adjusted = sites * np.exp(np.median(theta[:, 0]) + np.median(theta[:, 1]) * (places["celsius"] - 10) / 10)
figure, axis = plt.subplots(figsize=(4.8, 3.4), layout="constrained")
axis.fill_between(degrees, low, high, alpha=0.25, linewidth=0)
axis.plot(degrees, median, label="Q10 of the posterior")
axis.plot(degrees, 0.35 * 2 ** ((degrees - 10) / 10), "k--", label="truth")
axis.plot(places["celsius"], adjusted, "o", color="black", fillstyle="none", label="sites, at moisture 1")
axis.set(xlabel="mean temperature (°C)", ylabel="rate of decay (1/year)", yscale="log")
axis.set_yticks([0.1, 0.2, 0.5, 1.0], ["0.1", "0.2", "0.5", "1"])
axis.minorticks_off()
legend = axis.legend(frameon=False, fontsize="small")

# %% [markdown]
# Of litter that has a part which is quick to go and one which is slow, `LitterDecay(form="double")` has both: here is
# what the three forms say of the same time.

# %%
years = np.linspace(0, 8, 81)
p = {"k": 1.0, "a": 0.5, "k_slow": 0.1}
curves = {
    "single": np.exp(-0.35 * years),
    "asymptotic": p["a"] + (1 - p["a"]) * np.exp(-p["k"] * years),
    "double": p["a"] * np.exp(-p["k_slow"] * years) + (1 - p["a"]) * np.exp(-p["k"] * years),
}
figure, axis = plt.subplots(figsize=(4.6, 3.2), layout="constrained")
for form, mass in curves.items():
    at = {"k": 0.35} if form == "single" else p
    axis.plot(years, mass, label=f"{form}: a gram stays {LitterDecay(form=form).residence(at):.1f} years")
axis.set(xlabel="time (years)", ylabel="fraction of mass remaining", ylim=(0, 1.02))
legend = axis.legend(frameon=False, fontsize=8)

# %% [markdown]
# ## Forecast
#
# Plot 1 of site S03 was not in the fit, but the other plots of the site were. Its first two bags are known.
# The grey band is what is said without them. Even that makes use of the other plots; for a plot in an unknown
# site it would be wider.

# %%
early = data.sel(plot=new).observations["year"].tolist()[:2]
forecast = nb.forecast(tree, data.sel(plot=new, year=early), random_seed=1)
held_out = data.sel(plot=new).drop_sel(year=early)

later = held_out.observations
figure = nb.plot.forecast(forecast, times=np.linspace(0, 5, 51), held_out=held_out)

# %%
predicted = nb.predict(forecast, held_out, random_seed=1)["posterior_predictive"]["mass"]
low, median, high = predicted.quantile([0.05, 0.5, 0.95], dim=("chain", "draw")).to_numpy()
table = later[["year", "value"]].assign(eti_lb=low, median=median, eti_ub=high)
table["inside"] = table["value"].between(low, high)
print(table.round(2).to_string(index=False))
print(f"{table['inside'].sum()} of {len(table)} bags lie in their 90 % interval")

# %% [markdown]
# ## What could be wrong
#
# - A normal error of constant size gives some bags less than nothing, or more than was put out. Real bags do
#   gain weight by soil that gets in, but the scatter is smaller when nearly nothing is left.
# - Some litter hardly decays at all. `LitterDecay(form="asymptotic")` has a fraction that stays; on such data
#   the single exponential finds a rate that falls with the length of the study.
# - Sites with more plots count for somewhat more in the typical rate. That is right only if the number of
#   plots has nothing to do with the rate.
# - The rate is taken as constant through the year, though decay rests in winter and in drought.
# - Sites were not warmed: a Q10 among sites holds all that goes with temperature, and may not be what warming does. And
#   moisture and temperature of real sites go together.
