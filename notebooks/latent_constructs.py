# ---
# jupyter:
#   gallery:
#     field: Hospitals and public health
#     question: Does it work, and for whom?
#     asks: "Do fidelity to a programme and its adaptation help patients, and do they help each other?"
#     picture: 2
#     data: "simulated with stated truth"
#     answer: >-
#       Fidelity helps (0.39 per SD, 0.26 to 0.52), adaptation helps the faithful alone; averages of items draw all
#       effects towards zero, by a tenth here
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
# # Latent constructs: fidelity to a programme, its adaptation, and what they do together

# %% [markdown]
# ## Question
#
# A programme is brought into clinics. Providers follow it more or less closely (fidelity) and fit it more or less to
# their patients (adaptation). Neither can be measured by itself; each shows in several items of a questionnaire. Does
# fidelity help patients, does adaptation, and is adaptation good for those alone who are faithful too?

# %% [markdown]
# ## Data and source
#
# The data are simulated, so that the answer is known: 40 clinics with two to seven providers each, three items for
# either construct, one answer in twelve missing, and one outcome of each provider, the average of the patients. Clinics
# that adapt more are less faithful (correlation -0.4), and so are, a little, their providers. Both constructs help, and
# each helps more where the other is high. Items and outcome have an SD near 1. Levels of latent variables are those of
# Muthen (1994), *Sociological Methods & Research* 22, 376-398, doi:10.1177/0049124194022003006; products of two of them
# those of Kenny and Judd (1984), *Psychological Bulletin* 96, 201-210, doi:10.1037/0033-2909.96.1.201. The last clinic
# is put aside.

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import nlmebayes as nb
from model_zoo import LatentConstructs

structure = LatentConstructs(("fidelity =~ f1 + f2 + f3", "adaptation =~ a1 + a2 + a3"))
items = structure.outcomes[:-1]
rng = np.random.default_rng(5)
records = [(f"C{clinic:02d}", k + 1.0) for clinic in range(1, 41) for k in range(rng.integers(2, 8))]
frame = pd.DataFrame(records, columns=["clinic", "provider"]).assign(**dict.fromkeys(structure.outcomes, 0.0))
frame["number"] = frame["provider"]
frame[list(items)] = frame[list(items)].mask(rng.random((len(frame), len(items))) < 1 / 12)
design = nb.Dataset.from_frame(
    frame, outcome=structure.outcomes, levels=("clinic", "clinic/provider"), subject="clinic", duplicates="keep"
)

# %% [markdown]
# ## Model
#
# An item is its intercept, its loading times the construct, and an error of its own. The loadings of a construct
# average 1, so that it is measured in the unit of the average of its items. Constructs have no intercept, since the
# items have theirs. They differ among clinics and among the providers of a clinic, with a correlation at both levels;
# clinics differ in the outcome too, for reasons that are neither construct.

# %%
model = nb.Model(structure)
print(model)

loadings = dict(zip(items, [1.1, 0.8, 1.1, 1.1, 0.7, 1.2], strict=True))  # they average 1
truth = {f"theta_nu_{item}": [0.0] for item in items}
truth |= {f"theta_lambda_{item}": [np.log(loadings[item] / 1.1)] for item in ("f2", "f3", "a2", "a3")}
truth |= {"theta_base": [0.0]}
truth |= {"theta_effect_fidelity": [0.5], "theta_effect_adaptation": [0.3], "theta_joint_fidelity_adaptation": [0.4]}
truth |= {"omega_clinic": [0.5, 0.4, 0.25], "corr_clinic": [[1, -0.4, 0], [-0.4, 1, 0], [0, 0, 1]]}
truth |= {"omega_provider": [0.7, 0.7], "corr_provider": [[1, -0.2], [-0.2, 1]], "sigma_outcome_a": 0.6}
truth |= {f"sigma_{item}_a": 0.6 for item in items}
study = nb.simulate(model, design, values=truth, draws=1, random_seed=3)
data = design.with_values(**{k: v.to_numpy().ravel() for k, v in study["prior_predictive"].items()})
new = "C40"
training = data.drop_sel(clinic=new)
print(training)

# %% [markdown]
# ## Prior check

# %%
figure = nb.plot.prior(nb.simulate(model, training, random_seed=1), x="number", outcome="outcome")

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
# The records that the model leans on are items: a provider's effect is known from three of them, and much less without
# one. So LOO of an item is no measure of fit here; the predictive checks are.
#
# What the items say of each construct: its SD among providers, how much of its variance is between clinics, and the
# reliability of the average of its items.

# %%
known = structure.reliability(tree)
print(pd.concat({name: nb.intervals(known[name]).round(2) for name in known}).to_string())

# %% [markdown]
# The effects for one SD of a construct, beside the truth, and beside what one gets by averaging the items and
# regressing the outcome of providers on the averages, which the errors of the items draw towards zero.

# %%
sd = {"fidelity": np.hypot(0.5, 0.7), "adaptation": np.hypot(0.4, 0.7)}
expected = {"fidelity": 0.5 * sd["fidelity"], "adaptation": 0.3 * sd["adaptation"]}
expected["fidelity x adaptation"] = 0.4 * sd["fidelity"] * sd["adaptation"]

wide = training.observations.pivot_table(index="provider", columns="outcome", values="value", aggfunc="mean")
score = {name: wide[[*columns]].mean(axis=1) for name, columns in structure.items.items()}
score = {name: (values - values.mean()) / values.std() for name, values in score.items()}
score["fidelity x adaptation"] = score["fidelity"] * score["adaptation"]
kept = pd.DataFrame(score).assign(one=1.0, outcome=wide["outcome"]).dropna()
regression = np.linalg.lstsq(kept[[*expected, "one"]].to_numpy(), kept["outcome"].to_numpy())[0][:3]

table = nb.intervals(structure.effects(tree)).assign(truth=pd.Series(expected), averages=regression)
print(table.round(2).to_string())

# %% [markdown]
# The expected outcome over both constructs. At low fidelity adaptation does nothing or harm; at high fidelity it helps
# (bands: 90 %). So a clinic is to be brought to fidelity first.

# %%
grid = np.linspace(-2, 2, 41)
surface = structure.surface(tree, grid)
figure, axes = plt.subplots(1, 2, figsize=(8.2, 3.5), layout="constrained")
shown = axes[0].contourf(
    grid, grid, surface.mean(("chain", "draw")).to_numpy().T, levels=12, cmap="RdBu", vmin=-1.8, vmax=1.8
)
axes[0].set(xlabel="fidelity (SD)", ylabel="adaptation (SD)")
figure.colorbar(shown, ax=axes[0], label="expected outcome")
for at, colour in ((-1.0, "#c44e52"), (1.0, "#3b6ea5")):
    line = surface.sel(fidelity=at, method="nearest")
    low, middle, high = line.quantile([0.05, 0.5, 0.95], dim=("chain", "draw")).to_numpy()
    axes[1].fill_between(grid, low, high, color=colour, alpha=0.25, linewidth=0)
    axes[1].plot(grid, middle, color=colour, label=f"fidelity {at:+.0f} SD")
axes[1].set(xlabel="adaptation (SD)", ylabel="expected outcome")
legend = axes[1].legend(frameon=False)

# %% [markdown]
# Scores of clinics: the average of the items of a clinic, beside its construct in the model, both from the average of
# all. Clinics of few providers, and those with few answers, are drawn to it.

# %%
centred = wide - wide.mean()
figure, axes = plt.subplots(1, 2, figsize=(7.6, 3.4), layout="constrained")
for axis, (name, columns) in zip(axes, structure.items.items(), strict=True):
    each = centred[[*columns]].mean(axis=1)
    alone = each.groupby(each.index.str.split("/").str[0]).mean()
    drawn = tree["posterior"]["eta_clinic"].sel(clinic_effect=name)
    ranked = nb.ranking(drawn).loc[alone.index]
    axis.vlines(alone, ranked["eti_lb"], ranked["eti_ub"], color="#3b6ea5", alpha=0.4)
    axis.plot(alone, ranked["mean"], "o", color="#3b6ea5", markersize=4)
    axis.axline((0, 0), slope=1, color="grey", linestyle=":")
    axis.set(xlabel=f"{name} of a clinic, average of items", ylabel="in the model")

# %% [markdown]
# ## Forecast
#
# The clinic that was put aside: its providers have answered the items, their outcomes are still to come.

# %%
clinic = data.sel(clinic=new)
here = clinic.observations["outcome"] == "outcome"
later = clinic.observations.loc[here, "value"]
forecast = nb.forecast(tree, clinic.with_values(outcome=np.full(len(later), np.nan)), random_seed=1)
for name in structure.items:
    values = forecast["posterior"]["eta_clinic"].sel(clinic=new, clinic_effect=name)
    print(f"{name} of {new}: {float(values.mean()):.2f} (SD {float(values.std()):.2f})")
low, high = forecast["posterior_predictive"]["outcome"].quantile([0.05, 0.95], dim=("chain", "draw")).to_numpy()
print(f"{later.between(low, high).sum()} of {len(later)} measurements lie in their 90 % interval")

# %% [markdown]
# ## What could be wrong
#
# - Who answers all items in one sitting makes them alike for reasons that are no construct (common method variance). It
#   is in the constructs here, and in their correlation. A rating by an observer among the items would tell.
# - Items mean the same in every clinic: one intercept and one loading for all. `"nu_f2 ~ 1 + (1|clinic)"` lets the
#   clinics understand an item in their own ways, and `"lambda_f2 ~ 1 + region"` lets regions.
# - The sizes of constructs at the level of clinics rest on 39 clinics. With ten, the correlation there is that of the
#   prior, and what clinics differ in is hardly told from what their few providers do.
# - Clinics that are faithful may be better in other ways. `"base ~ 1 + (1|c|clinic)"` lets them be: the effects then
#   come from differences within clinics.
# - The product of two constructs is seen in the outcome only. A curve in one of them, which the model leaves out, looks
#   like it if the two are correlated.
# - Constructs and outcome are seen at once; that fidelity changes patients, and not patients fidelity, is assumed.
