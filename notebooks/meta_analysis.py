# ---
# jupyter:
#   gallery:
#     field: Clinical trials
#     question: Which dose?
#     asks: "What will a trial of another dose show, after fifteen published ones?"
#     data: "simulated with stated truth"
#     answer: >-
#       A trial of 20 mg would show 17 points less pain than its placebo arm (14 to 20.5): 15 or more with probability
#       0.90
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
# # Model-based meta-analysis: one dose-response from many studies

# %% [markdown]
# ## Question
#
# Fifteen published trials of a drug have arms at different doses, with placebo and without, and of two of them we have
# the patients. What is the dose-response, how much do studies differ, and what would a trial of 20 mg show - for which
# a placebo arm has just been read out?

# %% [markdown]
# ## Data and source
#
# The data are simulated, so that the answer is known: the change of a pain score under placebo is -10 and varies among
# studies with a standard deviation of 3, the drug adds up to -25, half of it at 8 mg, with a standard deviation of 4
# among studies. A patient scatters by 20, the mean of an arm by that over the root of its size. Such analyses are
# reviewed by Mandema et al. (2011), *Clinical Pharmacology & Therapeutics* 90, 766-769, doi:10.1038/clpt.2011.242.

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import nlmebayes as nb
from model_zoo import MetaAnalysis

rng = np.random.default_rng(4)
records = []
for study in range(1, 16):
    doses = [0.0, *rng.choice([2.5, 5.0, 10.0, 20.0, 40.0], rng.integers(1, 4), replace=False)]
    for dose in sorted(doses):
        size = int(rng.integers(20, 121))
        patients = study in (3, 9)  # whose patients are known
        records += [(f"T{study:02d}", dose, 1)] * (size if patients else 0) or [(f"T{study:02d}", dose, size)]
frame = pd.DataFrame(records, columns=["study", "dose", "n"]).assign(pain=-10.0)
columns = dict(outcome="pain", levels="study", inputs=["dose", "n"], duplicates="keep")
columns |= dict(units={"pain": "points", "dose": "mg"})
design = nb.Dataset.from_frame(frame, **columns)
print(f"{(frame['n'] > 1).sum()} arms, {(frame['n'] == 1).sum()} patients")

# %% [markdown]
# ## Model
#
# Placebo and the largest effect differ among studies. The residual is that of one patient; a record of n patients
# scatters by it over the root of n, so that means and patients stand in one model.

# %%
model = nb.Model(
    MetaAnalysis(law="dose"), "e0 ~ 1 + (1|study)", "emax ~ 1 + (1|study)", "ed50 ~ 1",
    residual=nb.Aggregate(n="n"), typical={"emax": (0.0, 30.0)},
    priors={"omega_study": nb.Prior("HalfNormal", sigma=5.0)},
)  # fmt: skip
truth = {
    "theta_e0": [-10.0], "theta_emax": [-25.0], "theta_ed50": [np.log(8.0)], "omega_study": [3.0, 4.0],
    "sigma_pain_a": 20.0,
}  # fmt: skip
study = nb.simulate(model, design, values=truth, draws=1, random_seed=2)
data = design.with_values(pain=study["prior_predictive"]["pain"].to_numpy().ravel())
new = "T15"
training = data.drop_sel(study=new)
print(model)

# %% [markdown]
# ## Prior check
#
# Patients and arms are in one picture. At 5 mg there are arms alone, whose means scatter less.

# %%
figure = nb.plot.prior(nb.simulate(model, training, random_seed=1), x="dose")

# %% [markdown]
# ## Fit

# %%
settings = dict(draws=1000, tune=1000, chains=4, random_seed=1)
tree = nb.fit(model, training, target_accept=0.95, **settings)

# %% [markdown]
# ## Check
#
# Records with a large Pareto k are arms of studies that have few: the effects of the study rest on them. The elpd of
# studies left out has an enormous standard error because two of them have hundreds of records and the others a few.

# %%
print(nb.check(tree))

# %%
table = nb.summary(tree).set_index("quantity")[["mean", "eti_lb", "eti_ub"]]
known = {"e0": -10.0, "emax": -25.0, "ed50": 8.0, "omega_study e0": 3.0, "omega_study emax": 4.0, "sigma_pain_a": 20.0}
print(table.assign(truth=pd.Series(known)).round(2).to_string())

# %% [markdown]
# The curve of the typical study and the band of a new one, over the arms; the area of a circle is its size.

# %%
doses = np.linspace(0, 45, 46)
grid = pd.DataFrame({"study": "next", "dose": doses, "n": 1, "pain": np.nan})
grid = nb.Dataset.from_frame(grid, **columns, unmeasured="predict")
curve = nb.predict(tree, grid, random_seed=1)["posterior"]["f_pain"]
low, median, high = curve.quantile([0.05, 0.5, 0.95], dim=("chain", "draw")).to_numpy()
arms = training.observations.groupby(["study", "dose"]).agg(mean=("value", "mean"), n=("n", "sum")).reset_index()
figure, axis = plt.subplots(figsize=(5.2, 3.6), layout="constrained")
axis.fill_between(doses, low, high, alpha=0.25, linewidth=0, label="a new study, band of 90 %")
axis.plot(doses, median, label="median")
axis.scatter(arms["dose"], arms["mean"], s=arms["n"], facecolors="none", edgecolors="black", label="arms")
axis.set(xlabel="dose (mg)", ylabel="change of the pain score (points)")
legend = axis.legend(frameon=False)

# %%
figure = nb.plot.shrinkage(tree, "study", "e0")

# %% [markdown]
# ## Forecast
#
# Of the last study only the placebo arm is known: what will its other arms show? (The smaller dose did better than its
# interval; of two arms one lies outside of an interval of 90 % in every fifth study.)

# %%
placebo = [0.0]
forecast = nb.forecast(tree, data.sel(study=new, dose=placebo), random_seed=1)
held_out = data.sel(study=new).drop_sel(dose=placebo)
later = held_out.observations
predicted = nb.predict(forecast, held_out, random_seed=1)["posterior_predictive"]["pain"]
low, median, high = predicted.quantile([0.05, 0.5, 0.95], dim=("chain", "draw")).to_numpy()
print(later[["dose", "n", "value"]].assign(eti_lb=low, median=median, eti_ub=high).round(1).to_string(index=False))
print(f"{later['value'].between(low, high).sum()} of {len(later)} measurements lie in their 90 % interval")

# %% [markdown]
# The question was that of 20 mg. The difference from its own placebo arm is what the trial will be judged by; if 15
# points are what matters to patients, the trial is worth making with the probability below. The picture is of true
# means in this study; arms scatter about them by their size.

# %%
dense = pd.DataFrame({"study": new, "dose": doses, "n": 1, "pain": np.nan})
dense = nb.Dataset.from_frame(dense, **columns, unmeasured="predict")
here = nb.predict(forecast, dense, random_seed=1)["posterior"]["f_pain"].stack(sample=("chain", "draw")).to_numpy()
gain = here[doses == 20.0].ravel() - here[0]
low, median, high = np.quantile(gain, [0.05, 0.5, 0.95])
print(f"20 mg less placebo: {median:.1f} ({low:.1f} to {high:.1f}) points")
print(f"15 points or more below placebo: probability {(gain < -15).mean():.2f}")
low, median, high = np.quantile(here, [0.05, 0.5, 0.95], axis=1)
figure, axis = plt.subplots(figsize=(5.2, 3.6), layout="constrained")
axis.fill_between(doses, low, high, alpha=0.25, linewidth=0, label="mean of this study, band of 90 %")
axis.plot(doses, median, label="median")
seen = data.sel(study=new).observations
for label, part, filled in (("placebo arm, known", seen[seen["dose"] == 0], "full"), ("arms kept back", later, "none")):
    axis.plot(part["dose"], part["value"], "o", color="black", fillstyle=filled, label=label)
axis.axvline(20, color="grey", linestyle=":")
axis.set(xlabel="dose (mg)", ylabel="change of the pain score (points)")
legend = axis.legend(frameon=False)

# %% [markdown]
# ## What could be wrong
#
# - Studies that were not published are not a random part of those that were made.
# - The scatter of patients is the same in all studies; where standard errors are printed they may take its place:
#   `nb.Aggregate(None, error="se")`.
# - Largest effect and dose of half of it are told apart by high doses only. Look at their correlation.
# - A curve through the means of studies is not that of their patients, if both differ in the dose they need.
