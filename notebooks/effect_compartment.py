# ---
# jupyter:
#   gallery:
#     field: Pharmacodynamics
#     question: How does it work?
#     asks: "How late is the effect, and which concentration gives half of it?"
#     data: "simulated with stated truth"
#     answer: >-
#       The effect peaks two to five hours after the concentration, by person; half of it comes at 1 mg/L (0.85 to 1.15)
#       at its site
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
# # Effect compartment: an effect that lags behind the concentration

# %% [markdown]
# ## Question
#
# During an infusion the effect is smaller than at the same concentration after it: plotted against the
# concentration, the effect runs through a loop, not along a line. The drug has to reach the place where it acts.
# How slowly does it get there (`ke0`), and which concentration there gives half of the effect (`ec50`)? When does
# the effect peak? And what do two visits tell of a new patient?

# %% [markdown]
# ## Data and source
#
# Simulated, so that the truth is known; the model is that of Sheiner, Stanski, Vozeh, Miller and Ham (1979),
# *Clinical Pharmacology and Therapeutics* 25, 358-371. Twenty people get 50 or 150 mg over two hours.
# Concentration (mg/L) and effect (say, percent of a scale) are measured nine times in a day; a twenty-first
# person is the new patient. The truth:
#
# - clearance 5 L/h and volume 30 L, with log standard deviations of 0.25 and 0.2 between people;
# - `ke0` 0.4 per hour (0.3); a baseline of 10, at most 60 on top of it; `ec50` 1 mg/L (0.3);
# - a residual of 10 % of the concentration, and of 2 units of the effect.

# %%
import numpy as np
import pandas as pd

import nlmebayes as nb
from model_zoo import EffectCompartment, OneCompartment

times = [0.5, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 24.0]
people = np.arange(1, 22)
frame = pd.DataFrame({"id": np.repeat(people, len(times)), "time": np.tile(times, len(people))})
doses = pd.DataFrame({"id": people, "time": 0.0, "amt": np.where(people % 2 == 1, 150.0, 50.0), "duration": 2.0})
names = ["conc", "effect"]
design = nb.Dataset.from_frame(
    frame.assign(conc=1.0, effect=1.0),  # to be simulated
    outcome=names, time="time", levels="id", doses=doses, units={"conc": "mg/L", "effect": "%"},
)  # fmt: skip

# %% [markdown]
# ## Model
#
# The concentration C is that of one compartment. The effect site follows it at the rate `ke0` and takes nothing
# from it, and the effect is a function of the concentration Ce there, without a delay of its own:
#
#     Ce' = ke0 (C - Ce)          effect = e0 + emax Ce / (ec50 + Ce)
#
# log(2) / `ke0` is the time in which the site makes up half of its distance to a constant concentration. A `ke0`
# far above the other rates means no delay, and then the effect cannot say how far above it is. Each outcome has
# its residual. The baseline `e0` is known from before the dose in such studies; we state it as about 10.

# %%
model = nb.Model(
    EffectCompartment(OneCompartment()),
    "cl ~ 1 + (1|id)",
    "v ~ 1 + (1|id)",
    "ke0 ~ 1 + (1|id)",
    "e0 ~ 1",
    "emax ~ 1",
    "ec50 ~ 1 + (1|id)",
    typical={"e0": (10.0, 5.0), "ec50": 2.0},
    residual={"conc": nb.Proportional(), "effect": nb.Additive()},
)
print(model)

# %%
truth = {
    "theta_cl": [np.log(5)], "theta_v": [np.log(30)], "theta_ke0": [np.log(0.4)], "theta_e0": [10.0],
    "theta_emax": [np.log(60)], "theta_ec50": [np.log(1)], "omega_id": [0.25, 0.2, 0.3, 0.3],
    "sigma_conc_b": 0.1, "sigma_effect_a": 2.0,
}  # fmt: skip
drawn = nb.simulate(model, design, draws=1, values=truth, random_seed=1)["prior_predictive"]
measured = {name: drawn[name].to_numpy().ravel() for name in names}
data = design.with_values(**measured)
training, person = data.drop_sel(id="21"), data.sel(id="21")
print(training)

# %% [markdown]
# ## Prior check
#
# One picture for each outcome, on axes that are logarithmic away from 0. The bands are wider than what was measured and
# hold it; that they reach below 0 is the scatter, whose size is not known yet.

# %%
prior = nb.simulate(model, training, random_seed=1)
figure = nb.plot.prior(prior, outcome="conc")
figure.axes[0].set_yscale("symlog", linthresh=0.01)
figure = nb.plot.prior(prior, outcome="effect")
figure.axes[0].set_yscale("symlog", linthresh=10)

# %% [markdown]
# ## Fit
#
# Both outcomes at once: the effect then has its say about the kinetics, and what is not known of the kinetics
# gets into the uncertainty of `ke0`.

# %%
settings = dict(draws=1000, tune=1000, chains=4, random_seed=1)
tree = nb.fit(model, training, **settings)

# %% [markdown]
# The other custom is two steps: fit the kinetics, write down each person's clearance and volume as if they had
# been measured, and fit the effect alone, given these. A wrong model of the effect cannot spoil the kinetics
# then; but the second step does not know that the first was uncertain. In a formula a known individual value is
# an offset without an intercept: `cl ~ 0 + offset(log(cl_hat))`. As the first step we take the values of the
# joint fit, which the concentrations decide.

# %%
fitted = tree["posterior"]
first_step = pd.DataFrame(
    {f"{name}_hat": np.exp(np.log(fitted[name]).mean(("chain", "draw"))).to_numpy() for name in ("cl", "v")},
    index=fitted["unit"].to_numpy().astype(int),
)
second = nb.Dataset.from_frame(
    frame.assign(effect=measured["effect"]).query("id != 21").join(first_step, on="id"),
    outcome="effect", time="time", levels="id", doses=doses[doses["id"] != 21], units={"effect": "%"},
)  # fmt: skip
given = nb.Model(
    EffectCompartment(OneCompartment()),
    "cl ~ 0 + offset(log(cl_hat))",
    "v ~ 0 + offset(log(v_hat))",
    "ke0 ~ 1 + (1|id)",
    "e0 ~ 1",
    "emax ~ 1",
    "ec50 ~ 1 + (1|id)",
    typical={"e0": (10.0, 5.0), "ec50": 2.0},
    residual=nb.Additive(),
)
tree_of_effect = nb.fit(given, second, **settings)

# %% [markdown]
# ## Check
#
# The records with a large Pareto k are most of them last concentrations of a person, near nothing, which decide a
# clearance: LOO of single records is no good test of four effects by person.

# %%
print(nb.check(tree))

# %% [markdown]
# The truth beside both fits. The two-step intervals differ little here, because nine samples per person fix the
# kinetics well; with one or two samples per person they would be too narrow.

# %%
true = {"cl": 5, "v": 30, "ke0": 0.4, "e0": 10, "emax": 60, "ec50": 1, "omega_id cl": 0.25, "omega_id v": 0.2}
true |= {"omega_id ke0": 0.3, "omega_id ec50": 0.3, "sigma_conc_b": 0.1, "sigma_effect_a": 2.0}
both = [
    nb.summary(each).set_index("quantity")[["mean", "eti_lb", "eti_ub"]].add_suffix(suffix)
    for each, suffix in ((tree, ""), (tree_of_effect, ", two steps"))
]
table = both[0].assign(truth=pd.Series(true)).join(both[1])
print(table.round(3).to_string(na_rep=""))

# %% [markdown]
# `emax` and `ec50` are known together rather than each: a larger maximum with a larger `ec50` is nearly the same curve.
# Here doses of 150 mg come near the maximum, and the correlation is moderate.

# %%
emax = np.exp(fitted["theta_emax"].to_numpy().ravel())
ec50 = np.exp(fitted["theta_ec50"].to_numpy().ravel())
print(f"correlation of log emax and log ec50: {np.corrcoef(np.log(emax), np.log(ec50))[0, 1]:.2f}")

# %% [markdown]
# The loop: effect against concentration, in the order of time. It runs counter-clockwise, because the effect is
# late. (A clockwise loop would mean tolerance.)

# %%
figure = nb.plot.hysteresis(tree, subjects=["1", "2", "3", "4"])

# %%
figure = nb.plot.fits(tree, outcome="effect", subjects=["1", "2", "3", "4"])
figure = nb.plot.vpc(tree, outcome="effect")

# %% [markdown]
# What `ke0` means for the clock: the concentration peaks when the infusion ends, at two hours, and the effect
# later. By how much, person by person, from their curves on a fine grid:

# %%
grid = np.linspace(1, 8, 71)


def delays(tree, data):
    """Draws of the time from the end of the infusion to the peak of the effect, (draw, person)."""
    curves = nb.predict(tree, data.over(time=grid), random_seed=1)["posterior"]["f_effect"].to_numpy()
    return grid[curves.reshape(-1, data.observations["id"].nunique(), len(grid)).argmax(axis=2)] - 2


late = np.median(delays(tree, training), axis=0)
half = np.quantile(np.log(2) / np.exp(fitted["theta_ke0"].to_numpy()), [0.05, 0.5, 0.95])
of_truth = np.log(2) / true["ke0"]
print(f"half-time of equilibration: {half[1]:.2f} h ({half[0]:.2f} to {half[2]:.2f}); truth {of_truth:.2f} h")
print(f"the effect peaks {late.min():.1f} to {late.max():.1f} h after the infusion, by person")

# %% [markdown]
# ## Forecast
#
# Person 21 was not in the fit. Two visits are known, at one and at eight hours, each with a blood sample and a
# measured effect. An effect that is weak early may come from a slow site or from an insensitive one; the later
# visit tells them apart, and for what it leaves open the population says which is likelier. (Samples of one person err
# together: more of them may lie outside of their intervals than one in ten, and fewer of others.)

# %%
visits = [1, 8]
forecast = nb.forecast(tree, person.sel(time=visits), random_seed=1)
held_out = person.drop_sel(time=visits)
for outcome in names:
    figure = nb.plot.forecast(forecast, times=np.linspace(0, 24, 97), held_out=held_out, outcome=outcome)

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

# %%
low, median, high = np.quantile(delays(forecast, person)[:, 0], [0.05, 0.5, 0.95])
print(f"this person's effect peaks {median:.1f} h ({low:.1f} to {high:.1f}) after the infusion")

# %% [markdown]
# ## What could be wrong
#
# - The data come from the model that was fitted; real ones never do. A loop can also come from an active
#   metabolite, from tolerance, or from a response that builds up slowly (an indirect response, in which the drug
#   acts at once on a rate). These differ in their answer to another dose: the peak of an effect compartment comes
#   at the same time whatever the dose.
# - Only doses that reach near the maximum can tell `emax` from `ec50`.
# - The effect was taken as unbounded with a normal residual; a score from 0 to 100 is neither.
# - The two-step fit took its first step from the joint fit. With a fit of the concentrations alone the values
#   would be much the same here, and not when concentrations are few.
