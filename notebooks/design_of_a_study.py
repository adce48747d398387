# ---
# jupyter:
#   gallery:
#     picture: 3
#     field: Clinical trials
#     question: How many samples, how many people?
#     asks: "What will a study tell, before it is run, and when should samples be taken?"
#     data: "none yet: a published population of warfarin"
#     answer: >-
#       Persons, occasions and assay part only with repeats on several occasions; expected errors say how many,
#       before the study
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
# # Designing a study: what will it tell, before it is run?

# %% [markdown]
# ## Question
#
# A model can part sources of variation only if the design lets it. How often must a person be sampled, and on how many
# occasions, before persons can be told from occasions and from the error of the assay? Does a biobank gain more from
# better harmonised sites or from more of them? How many subjects does a crossover need for a treatment that works
# differently in the second period? And when should samples be taken?

# %% [markdown]
# ## Data and source
#
# There are none yet: all that is needed is a population, published or guessed, and a plan. The population is warfarin
# after 70 mg by mouth, the example of Nyberg et al. (2015), *British Journal of Clinical Pharmacology* 79, 6-17, with
# which programs for optimal design compare themselves.

# %%
import numpy as np
import pandas as pd

import nlmebayes as nb
from model_zoo import LinearMixed, OneCompartment

oral = OneCompartment(absorption="first-order")
warfarin = nb.population(
    oral,
    theta={"cl": 0.15, "v": 8.0, "ka": 1.0},
    omega={"variance": {"cl": 0.07, "v": 0.02, "ka": 0.6}},
    sigma={"b": 0.1},
    about={"units": {"conc": "mg/L"}},
)
dose = {"time": 0, "amt": 70}
rich = nb.Design([nb.Arm(32, [0.5, 1, 2, 6, 24, 36, 72, 120], doses=dose)])
print(rich.table.drop(columns="doses").to_string())

# %% [markdown]
# ## Model
#
# The expected information of a design is the curvature that the likelihood will have on average; its inverse holds the
# squares of the expected standard errors. Programs linearise the model at the typical subject. Whether they then take
# variances for known while they look at fixed effects ("reduced", `"fo"`) or not (`"full"`) makes a threefold
# difference for `ka` here. Five hundred simulated and fitted studies say that the reduced one is right: docs/design.md
# has the table, `method="exact"` needs no linearisation.

# %%
told = {method: nb.information(warfarin, rich, method=method) for method in ("fo", "full")}
print(pd.DataFrame({method: each.table["rse"] for method, each in told.items()}).round(1))
print(told["fo"].shrinkage.round(1))

# %% [markdown]
# ### What can be parted?
#
# One sample a person cannot tell people from the error of the assay; a second one does. One occasion cannot tell people
# from occasions, whatever the number of samples; with two or three the same six samples a person can, at an error that
# says how many people it takes.


# %%
def parted(tree, design, *numbers):
    """Expected RSE (%) of some numbers, and the sentences."""
    found = nb.information(tree, design)
    for sentence in found.sentences:
        print("-", sentence)
    return found.table["rse"][list(numbers)].round(1)


assay = nb.population(
    nb.Model(LinearMixed(), "mu ~ 1 + (1|id)"),
    theta={"mu": 10.0},
    omega={"sd": {"mu": 1.0}},
    sigma={"a": 1.0},
    outcome="y",
)
samples = {n: nb.Design([nb.Arm(120 // n, inputs={"sample": np.arange(n) + 1.0})]) for n in (1, 2, 3)}
print(pd.DataFrame({n: parted(assay, plan, "omega_id mu", "sigma_y_a") for n, plan in samples.items()}))

# %%
varying = nb.population(
    OneCompartment(),
    "cl ~ 1 + (1|id) + (1|occ)",
    "v ~ 1 + (1|id)",
    theta={"cl": 3.75, "v": 72.8},
    omega={"id": {"sd": {"cl": 0.25, "v": 0.3}}, "occ": {"sd": {"cl": 0.3}}},
    sigma={"b": 0.2},
    levels=("id", "occ"),
)
visits = {1: [1, 4, 8, 16, 24, 48], 2: [1, 8, 48], 3: [2, 48]}
occasions = {}
for n, times in visits.items():
    starts = [336.0 * k for k in range(n)]
    doses = [{"time": start, "amt": 1000} for start in starts]
    arm = nb.Arm(40, [start + t for start in starts for t in times], doses=doses, occasions=starts)
    occasions[n] = nb.Design([arm])
print(pd.DataFrame({n: parted(varying, plan, "omega_id cl", "omega_occ cl") for n, plan in occasions.items()}))

# %% [markdown]
# ### A biobank: better sites or more of them?
#
# An exposure that is the same for all people of a site is compared between sites. Halving the variance between sites,
# by a common protocol, is worth as much as twice the sites with half the people in each; more people at the same sites
# hardly help.


# %%
def biobank(variance, sites, people):
    """Standard error of the exposure's effect, its power, and the number of people for 80 %."""
    tree = nb.population(
        nb.Model(LinearMixed(), "mu ~ 1 + exposed + (1|site) + (1|id)"),
        theta={"mu": {"Intercept": 5.0, "exposed": 0.3}},
        omega={"site": {"variance": {"mu": variance}}, "id": {"sd": {"mu": 0.6}}},
        sigma={"a": 0.5},
        outcome="y",
        levels=("site", "id"),
        reference={"exposed": 0.0},
    )
    arms = [
        nb.Arm(
            sites * people,
            inputs={"visit": [1.0, 2.0]},
            within={"site": [f"{name}{i}" for i in range(sites)]},
            covariates={"exposed": value},
            name=name,
        )
        for name, value in (("exposed", 1.0), ("other", 0.0))
    ]
    found = nb.information(tree, nb.Design(arms))
    effect = "mu: exposed"
    return found.table["se"][effect].round(3), round(found.power(effect), 2), found.subjects_for(effect)


plans = {
    "as it is": (0.09, 10, 50),
    "half the variance": (0.045, 10, 50),
    "twice the sites, half the people": (0.09, 20, 25),
    "twice the people": (0.09, 10, 100),
}
compared = pd.DataFrame(
    {name: biobank(*plan) for name, plan in plans.items()}, index=["SE", "power", "people for 80 %"]
)
print(compared.T)

# %% [markdown]
# ### A crossover: does the treatment work differently in the second period?
#
# With the sequences AB and BA the treatment is compared within people. Whether it differs between the periods is the
# same as a difference between the two sequences of people, and needs some thirty-five times as many (below). Four
# periods bring that question back within people.


# %%
def crossover(*sequences, n=20):
    """Information on a trial in which half of the subjects take each sequence."""
    count = len(sequences[0])
    model = nb.Model(LinearMixed(), "mu ~ 1 + treated * period + (1|id)")
    tree = nb.population(
        model,
        theta={"mu": {"Intercept": 4.0, "treated": 0.2, "period": 0.0, "treated:period": 0.2}},
        omega={"sd": {"mu": 0.4}},
        sigma={"a": 0.2},
        outcome="y",
        reference={"treated": 0.0, "period": 0.0},
    )
    periods = (np.arange(count) - (count - 1) / 2).tolist()
    arms = [
        nb.Arm(
            n,
            inputs={"replicate": [1.0]},
            occasions=count,
            by_occasion={"treated": [float(letter == "B") for letter in sequence], "period": periods},
            name=sequence,
        )
        for sequence in sequences
    ]
    return nb.information(tree, nb.Design(arms))


trials = {"AB, BA": crossover("AB", "BA"), "ABBA, BAAB": crossover("ABBA", "BAAB")}
for name, trial in trials.items():
    print(name, {effect: trial.subjects_for(effect) for effect in ("mu: treated", "mu: treated:period")})
figure = nb.plot.power(trials, "mu: treated:period")

# %% [markdown]
# ## Prior check
#
# The plan over the course that its subjects are expected to have. Samples that all lie where the course is flat, or
# below the limit of quantification, show here first.

# %%
figure = nb.plot.design(warfarin, rich)

# %% [markdown]
# ## Fit
#
# Four samples a person instead of eight: when? Times are exchanged until the determinant of the information grows no
# more, then rounded to half hours. What one more sample of everybody would add is drawn below the course. Then the
# study is run, on paper: measurements are drawn under the plan, and fitted.

# %%
begun = rich.but(times=[1, 2, 24, 120])
optimum = nb.optimise_design(warfarin, begun, free={"times": (0.5, 120.0)}, step={"times": 0.5}, starts=3)
print(optimum)
sparse = optimum.rounded
each = {"eight samples": told["fo"], "four, begun with": nb.information(warfarin, begun)}
each["four, the best"] = nb.information(warfarin, sparse)
table = pd.DataFrame({name: found.table["rse"] for name, found in each.items()}).T.round(1)
print(table.assign(efficiency=[round(found.efficiency(told["fo"]), 2) for found in each.values()]).to_string())
figure = nb.plot.design(warfarin, sparse, sensitivity=optimum.sensitivity)

# %%
planned = sparse.dataset(warfarin)
drawn = nb.predict(warfarin, planned, random_seed=3)["posterior_predictive"]["conc"]
study = sparse.measured(planned, conc=drawn.to_numpy().ravel())
new = "32"
training = study.drop_sel(id=new)
model = nb.Model(oral, residual=nb.Proportional())
tree = nb.fit(model, training, method="ml")
print(nb.summary(tree).set_index("quantity")[["mean", "sd", "rse_pct", "eti_lb", "eti_ub"]].round(3))

# %% [markdown]
# ## Check
#
# One study may be lucky. Many are drawn and fitted: bias, the SD of the estimates beside the expected error, how often
# the stated interval holds the truth. Ten are shown here; a study of a design takes a few hundred, and the errors of
# simulation (`*_mcse`) say when there are enough.

# %%
studies = nb.simulate_studies(warfarin, sparse, 10, progressbar=False)
found = studies.table[["truth", "bias_pct", "empirical_rse_pct", "empirical_rse_pct_mcse", "coverage"]]
print(found.assign(expected_rse_pct=nb.information(warfarin, sparse).table["rse"]).round(2).to_string())
figure = nb.plot.power({name: each[name] for name in ("eight samples", "four, the best")}, "cl", null=0.14)

# %% [markdown]
# ## Forecast
#
# The subject who was put aside, from the samples of the first seven hours. (The best plan has two at the same time,
# which is how it says that one more there tells most.)

# %%
subject = study.sel(id=new)
early = subject.observations["time"].tolist()[:2]
forecast = nb.forecast(tree, subject.sel(time=early), random_seed=1)
later = subject.drop_sel(time=early)
predicted = nb.predict(forecast, later, random_seed=1)["posterior_predictive"]["conc"]
low, high = predicted.quantile([0.05, 0.95], dim=("chain", "draw")).to_numpy()
inside = later.observations["value"].between(low, high)
print(f"{inside.sum()} of {len(inside)} measurements lie in their 90 % interval")

# %% [markdown]
# ## What could be wrong
#
# - The population that was taken for true. Draws of a fit's posterior (`information(draws=)`, `simulate_studies(draws=
#   True)`) carry its uncertainty.
# - An expected error is that of the fit of a model that is right. A wrong model has small errors, too.
# - A symmetric interval of few subjects: intervals of SDs hold the truth less often than they say.
# - People drop out, come late and forget doses.
