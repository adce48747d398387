# ---
# jupyter:
#   gallery:
#     field: Pharmacokinetics
#     question: Which dose?
#     asks: "What can six patients with two samples tell, with adults and a trial's means beside them?"
#     data: "simulated with stated truth"
#     answer: >-
#       Clearance 0.55 to 0.85 of that of adults of the same size; a trial's printed means narrow it to 0.54 to
#       0.75, and the dose of a child of 20 kg to 25 mg (21 to 29), not the 39 mg of its size
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
# # A rare disease: six children, two samples each, and what is known from elsewhere

# %% [markdown]
# ## Question
#
# A drug is known in adults. In a rare disease of children it may be cleared more slowly, by a factor that decides the
# dose; six children could be sampled, twice each, and of two of them one sample was lost. There is a published trial of
# twelve others, of which only means are printed. What do the six say alone; what with the adults as prior; what all
# three together? And which dose follows?

# %% [markdown]
# ## Data and source
#
# Simulated, so that the truth is known. Twenty adults get 100 mg as a bolus and are sampled six times; six children
# of 10 to 30 kg get 2 mg/kg, with two samples; the trial prints the mean concentration of twelve children of 20 kg
# after 40 mg at 1, 4 and 8 h, with standard errors. Borrowing of strength for such trials is reviewed by Hampson,
# Whitehead, Eleftheriou and Brogan (2014), *Statistics in Medicine* 33, 4186-4201. The truth:
#
# - clearance 6 L/h and volume 30 L at 70 kg, with the exponents 0.75 and 1, log standard deviations of 0.3 and 0.15;
# - the disease lowers clearance by the factor 0.6; a residual of 15 %.

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import nlmebayes as nb
from model_zoo import OneCompartment

rng = np.random.default_rng(4)
adults = pd.DataFrame({"id": [f"A{i:02d}" for i in range(1, 21)], "wt": rng.normal(75, 12, 20).round(0)})
adults = adults.assign(sick=0.0, amt=100.0)
children = pd.DataFrame({"id": [f"C{i}" for i in range(1, 8)], "wt": [11.0, 14.0, 17.0, 21.0, 25.0, 30.0, 19.0]})
children = children.assign(sick=1.0, amt=2 * children["wt"])  # C7 comes later
trial = pd.DataFrame({"id": [f"T{i:02d}" for i in range(1, 13)], "wt": 20.0, "sick": 1.0, "amt": 40.0})


def planned(people, times):
    """Records to be simulated, ``times`` for each or the same for all."""
    frame = people[["id", "wt", "sick"]].merge(pd.DataFrame({"time": times}), how="cross").assign(conc=1.0)
    return frame


pairs = {
    "C1": (1.0, 6.0),
    "C2": (2.0, 8.0),
    "C3": (0.5, 5.0),
    "C4": (1.5, 7.0),
    "C5": (3.0,),
    "C6": (4.0,),
    "C7": (2.0, 6.0),
}
sampled = pd.DataFrame([(child, time) for child, times in pairs.items() for time in times], columns=["id", "time"])
sampled = sampled.merge(children[["id", "wt", "sick"]], on="id").assign(conc=1.0)
everyone = pd.concat([planned(adults, [0.5, 1, 2, 4, 8, 12]), sampled, planned(trial, [1.0, 4.0, 8.0])])
doses = pd.concat([adults, children, trial])[["id", "amt"]].assign(time=0.0)
roles = dict(outcome="conc", time="time", levels="id", units={"conc": "mg/L"})
design = nb.Dataset.from_frame(everyone, doses=doses, **roles)

# %% [markdown]
# ## Model
#
# The statement is the same for all: size by the usual exponents, and a coefficient `sick`, the logarithm of the factor
# by which the disease changes clearance.

# %%
statement = dict(residual=nb.Proportional(), typical={"cl": (5.0, 1.0), "v": (35.0, 1.0)})
cl, v = "cl ~ 1 + offset(0.75 * log(wt/70))", "v ~ 1 + offset(log(wt/70)) + (1|id)"
whole = nb.Model(OneCompartment(), f"{cl} + sick + (1|id)", v, **statement)
truth = {
    "theta_cl": [np.log(6), np.log(0.6)], "theta_v": [np.log(30)], "omega_id": [0.3, 0.15], "sigma_conc_b": 0.15,
}  # fmt: skip
drawn = nb.simulate(whole, design, draws=1, values=truth, random_seed=5)["prior_predictive"]
simulated = design.with_values(conc=drawn["conc"].to_numpy().ravel())
records = simulated.observations.rename(columns={"value": "conc"})[["id", "time", "wt", "sick", "conc"]]


def study(people, frame=records):
    """The dataset of some people, with their doses."""
    own = frame[frame["id"].isin(people)]
    return nb.Dataset.from_frame(own, doses=doses[doses["id"].isin(people)], **roles)


six = [f"C{i}" for i in range(1, 7)]
of_adults, of_six, person = study(adults["id"]), study(six), study(["C7"])
print(of_six)

# %% [markdown]
# Of the trial only means are kept, each with its standard error: one record stands for twelve children. `single` is 0
# for such a record, so that it has no effect of an individual (`0 + single` in the formulas): a mean of twelve is the
# typical child's, but for what its standard error says. The residual is that of one person where no error is given.

# %%
printed = records[records["id"].isin(trial["id"])].groupby("time")["conc"].agg(["mean", "sem"]).reset_index()
printed = printed.assign(id="trial", wt=20.0, sick=1.0, single=0.0).rename(columns={"mean": "conc", "sem": "se"})
print(printed[["time", "conc", "se"]].round(3).to_string(index=False))
persons = records[~records["id"].isin([*trial["id"], "C7"])].assign(single=1.0, se=np.nan)
given = pd.concat([doses[doses["id"].isin(persons["id"])], pd.DataFrame([{"id": "trial", "amt": 40.0, "time": 0.0}])])
joined = pd.concat([persons, printed])[["id", "time", "wt", "sick", "single", "se", "conc"]]
training = nb.Dataset.from_frame(joined, doses=given, inputs=["se"], **roles)
model = nb.Model(
    OneCompartment(), f"{cl} + sick + (0 + single|id)", v.replace("1|id", "0 + single|id"),
    **statement | {"residual": nb.Aggregate(nb.Proportional(), error="se")},
)  # fmt: skip
print(model)

# %% [markdown]
# ## Prior check
#
# Concentrations below 0 are the residual's, whose size the prior leaves open.

# %%
edges = [0, 0.8, 1.6, 3.5, 7.5, 10, 13]  # every bin with persons enough
figure = nb.plot.prior(nb.simulate(model, training, random_seed=1), bins=edges)
figure.axes[0].set_yscale("symlog", linthresh=0.1)

# %% [markdown]
# ## Fit
#
# First the parts. The adults by maximum likelihood; the six alone, by the same, with clearance at their size as the
# question; and the six with the adults as prior. That prior is the adults' estimates with their standard errors:
# normal laws of the typical values, log-normal ones of the standard deviations and the residual. Clearance alone gets
# a wider one, with a standard deviation of 0.5 more: a factor of the disease between 0.44 and 2.3 would surprise
# nobody. (A column `sick` beside the intercept would be 1 for all six, and priors alone would tell the two apart.
# `"map"` is the most probable population under the priors.)

# %%
adult = nb.Model(OneCompartment(), f"{cl} + (1|id)", v, **statement)
old = nb.fit(adult, of_adults, method="ml", random_seed=1)
alone = nb.fit(nb.Model(OneCompartment(), f"{cl} + (1|id)", v.replace(" + (1|id)", ""), **statement), of_six,
               method="ml", random_seed=1)  # fmt: skip
estimates = {name: nb.summary(each).set_index("quantity") for name, each in {"adults": old, "six alone": alone}.items()}
print(pd.concat({name: each[["mean", "sd"]] for name, each in estimates.items()}, axis=1).round(3).to_string(na_rep=""))


def log_normal(quantity):
    """The prior of a positive quantity that the adults' estimate and its relative standard error are."""
    mean, sd = estimates["adults"].loc[quantity, ["mean", "sd"]]
    return nb.Prior("LogNormal", mu=float(np.log(mean)), sigma=float(sd / mean))


def normal(quantity, more=0.0):
    """The prior of a typical value on its log link; ``more`` is the SD of what may be different in children."""
    mean, sd = estimates["adults"].loc[quantity, ["mean", "sd"]]
    return nb.Prior("Normal", mu=float(np.log(mean)), sigma=float(np.hypot(sd / mean, more)))


DISEASE = 0.5  # prior SD of the logarithm of what the disease does to clearance
from_adults = {
    "cl": {"Intercept": normal("cl", DISEASE)}, "v": {"Intercept": normal("v")},
    "omega_id": {"cl": log_normal("omega_id cl"), "v": log_normal("omega_id v")},
    "sigma_conc_b": log_normal("sigma_conc_b"),
}  # fmt: skip
borrowed = nb.fit(adult.but(priors=from_adults), of_six, method="map", random_seed=1)

# %% [markdown]
# And all of it in one statement, by maximum likelihood again: twenty adults, six children, three means.

# %%
tree = nb.fit(model, training, method="ml")

# %% [markdown]
# ## Check
#
# The first finding says that this is a maximum; standard errors take the place of a posterior. Records with a large
# Pareto k are those of persons with few samples, whose own effects lean on each.

# %%
print(nb.check(tree))

# %%
true = {
    "cl": 6,
    "cl: sick": np.log(0.6),
    "v": 30,
    "omega_id cl:single": 0.3,
    "omega_id v:single": 0.15,
    "sigma_conc_b": 0.15,
}
table = nb.summary(tree).set_index("quantity")[["mean", "eti_lb", "eti_ub"]].assign(truth=pd.Series(true))
print(table.round(3).to_string(na_rep=""))

# %% [markdown]
# The factor of the disease, by four ways. Alone the six tell a clearance, and only beside the adults is it a factor.
# (The standard errors of the two then add up as squares.)

# %%
estimates["six, adults as prior"] = nb.summary(borrowed).set_index("quantity")
log = {
    name: (np.log(each.loc["cl", "mean"]), each.loc["cl", "sd"] / each.loc["cl", "mean"])
    for name, each in estimates.items()
}
ways = {
    name: (log[name][0] - log["adults"][0], np.hypot(log[name][1], log["adults"][1]))
    for name in ("six alone", "six, adults as prior")
}
factors = {name: np.exp(mean + 1.645 * sd * np.array([-1, 0, 1])) for name, (mean, sd) in ways.items()}
sick = nb.summary(tree).set_index("quantity").loc["cl: sick", ["mean", "eti_lb", "eti_ub"]]
factors["all in one"] = np.exp(sick[["eti_lb", "mean", "eti_ub"]].to_numpy(dtype=float))
for name, (low, middle, high) in factors.items():
    print(f"{name}: clearance {middle:.2f} times that of adults of the same size ({low:.2f} to {high:.2f})")
print(f"truth: {np.exp(truth['theta_cl'][1]):.2f}")

figure, axis = plt.subplots(figsize=(5.6, 2.2), layout="constrained")
for place, (low, middle, high) in zip((2, 1, 0), factors.values(), strict=True):
    axis.errorbar(middle, place, xerr=[[middle - low], [high - middle]], fmt="o", color="#3b6ea5")
axis.axvline(np.exp(truth["theta_cl"][1]), color="black", linestyle=":")
axis.set_yticks([2, 1, 0], factors)
labels = axis.set(xlabel="clearance, times that of adults (90 % intervals; dotted: truth)", ylim=(-0.5, 2.5))

# %% [markdown]
# The adults as prior hardly narrow the factor, which was left open on purpose; what they lend are the volume, the
# spread between people and the scatter (the table of the fits above: alone, the spread is known within a half, if at
# all). The three printed means narrow it most, since they stand for twelve more children.

# %% [markdown]
# The dose for a child of 20 kg that has the exposure of an adult of 70 kg on 100 mg, by all three sources; and what a
# dose by weight alone, as if the disease did nothing, would have given.

# %%
naive = 100 * (20 / 70) ** 0.75
low, middle, high = naive * factors["all in one"]
print(
    f"dose for the exposure of an adult on 100 mg: {middle:.0f} mg ({low:.0f} to {high:.0f}); truth {naive * 0.6:.0f}"
)
over = naive / np.array([high, middle, low])
print("by size alone {:.0f} mg, an exposure {:.2f} times the target ({:.2f} to {:.2f})".format(naive, *over[[1, 0, 2]]))

# %% [markdown]
# ## Forecast
#
# A seventh child, of whom there is one sample. It tells little of clearance; the second sample, kept back, lies just
# above its interval, as one in ten does.

# %%
early, late = person.sel(time=[2.0]), person.sel(time=[6.0])
as_trained = {"inputs": ["se"], **roles}
of_seventh = [
    nb.Dataset.from_frame(
        each.observations.rename(columns={"value": "conc"}).assign(single=1.0, se=np.nan)[list(joined.columns)],
        doses=doses[doses["id"] == "C7"], **as_trained,
    )
    for each in (early, late)
]  # fmt: skip
forecast = nb.forecast(tree, of_seventh[0], random_seed=1)
for name, group in (("before the sample", "prior"), ("after it", "posterior")):
    low, middle, high = forecast[group]["cl"].quantile([0.05, 0.5, 0.95]).to_numpy()
    print(f"clearance {name}: {middle:.2f} L/h ({low:.2f} to {high:.2f})")
predicted = nb.predict(forecast, of_seventh[1], random_seed=1)["posterior_predictive"]["conc"]
low, high = predicted.quantile([0.05, 0.95], dim=("chain", "draw")).to_numpy()
inside = of_seventh[1].observations["value"].between(low, high)
print(f"{inside.sum()} of {len(inside)} samples lie in their 90 % interval")

# %%
figure = nb.plot.forecast(forecast, times=np.linspace(0.1, 8, 60), held_out=of_seventh[1])

# %% [markdown]
# ## What could be wrong
#
# - That children differ from adults by size and disease only is an assumption, and what is borrowed rests on it. Age
#   (maturation) would look like the disease here, for no healthy child was sampled.
# - A mean of concentrations is not the concentration of the typical child: where the spread is large and samples are
#   late, it lies above. With a log standard deviation of 0.3 at 8 h that is some percents.
# - The lost samples were lost by accident. Samples that are missing because a child was too ill are another matter.
# - A prior from adults that contradicts the children would be seen in `check` (power scaling), if there were more of
#   them; six give it little to see.
# - All three sources count by their size. A trial that one trusts less needs a larger error, which is to be said
#   before.
