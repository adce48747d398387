# ---
# jupyter:
#   gallery:
#     picture: 2
#     field: Biology and behaviour
#     question: Does it work, and for whom?
#     asks: "Does the expression of a gene differ between two arms, when thousands of cells come from a dozen patients?"
#     data: "real: epil; simulated with stated truth"
#     answer: >-
#       Cells taken for independent make discoveries of one in three genes that do not differ; seizures: 0.73 times as
#       many under progabide (0.57 to 0.93), and 0.98 if counts were independent
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
# # Counts of cells in patients

# %% [markdown]
# ## Question
#
# Does the expression of a gene differ between two arms, when thousands of cells come from a dozen patients? What
# happens to an analysis that takes the cells for independent?

# %% [markdown]
# ## Data and source
#
# Simulated, so that the truth is known: 16 patients in two arms with 20 cells each. Counts are negative binomial,
# with the size factor of the cell; patients differ with an SD of 0.4 on the log scale, and the arms by a factor of
# exp(1.2). Two hundred other genes do not differ between the arms.

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import nlmebayes as nb
from model_zoo import CountGLMM

rng = np.random.default_rng(2)
patients, cells = 16, 20
frame = pd.DataFrame({"patient": np.repeat(np.arange(patients), cells)})
frame["arm"] = frame["patient"] % 2
frame["size"] = rng.uniform(0.5, 2.0, len(frame))


def counted(effect):
    """Counts of a gene whose log rate differs by ``effect`` between the arms."""
    mean = 2 * frame["size"] * np.exp(effect * frame["arm"] + rng.normal(0, 0.4, patients)[frame["patient"]])
    return rng.negative_binomial(4, 4 / (4 + mean))


frame["count"] = counted(1.2)
data = nb.Dataset.from_frame(frame, outcome="count", levels="patient", inputs=("size",))
training = data.drop_sel(patient="0")
print(data)

# %% [markdown]
# ## Model

# %%
model = nb.Model(CountGLMM(), "rate ~ 1 + arm + (1|patient)", residual=nb.NegativeBinomial("size"))
print(model)
print(nb.priors(model, training).to_string(index=False))

# %% [markdown]
# ## Prior check

# %%
prior = nb.simulate(model, training, draws=200, random_seed=1)["prior"]["rate"]
figure, axis = plt.subplots()
axis.hist(np.log10(prior.to_numpy().ravel()), bins=40)
label = axis.set(xlabel="log10 rate of a patient", ylabel="simulated patients")

# %% [markdown]
# ## Fit

# %%
settings = dict(draws=1000, tune=1000, chains=4, random_seed=1)
tree = nb.fit(model, training, **settings)

# %% [markdown]
# ## Check
#
# The truth: rate 2, log ratio of the arms 1.2, SD between patients 0.4, dispersion a = 0.5 (size 4).

# %%
print(nb.check(tree))

# %% [markdown]
# The genes without a difference show what cells that are taken for independent do: the difference of the mean
# counts per size, over its standard error from the scatter of cells, or from the scatter of patients. One in
# twenty should lie beyond 2, or a few more, for the scatter of sixteen patients is itself not well known.

# %%
scores = {"cells": [], "patients": []}
for _ in range(200):
    each = frame.assign(y=counted(0.0) / frame["size"])
    for name, groups in (("cells", [each.index]), ("patients", ["patient"])):
        part = each.groupby(groups[0])[["arm", "y"]].mean().groupby("arm")["y"].agg(["mean", "var", "size"])
        scores[name].append(np.diff(part["mean"])[0] / np.sqrt((part["var"] / part["size"]).sum()))
for name, values in scores.items():
    print(f"{name}: {np.mean(np.abs(values) > 2):.0%} of 200 genes without a difference are discoveries")

# %%
figure, axis = plt.subplots()
axis.hist([scores["cells"], scores["patients"]], bins=25, label=["cells", "patients"])
axis.set(xlabel="difference over its standard error", ylabel="genes without a difference")
legend = axis.legend(frameon=False)

# %% [markdown]
# ### On measured data: seizures
#
# Fifty-nine epileptics on placebo or progabide, seizures counted in four periods of two weeks (`epil` of R's MASS;
# Thall and Vail 1990, *Biometrics* 46, 657-671). By maximum likelihood: all counts as if independent, with patients,
# and with patients and counts that scatter more than a Poisson law.

# %%
fixed = "rate ~ 1 + trt + lbase + lage + V4"
statements = {
    "independent counts": (fixed, nb.Poisson()),
    "patients": (f"{fixed} + (1|subject)", nb.Poisson()),
    "patients, negative binomial": (f"{fixed} + (1|subject)", nb.NegativeBinomial()),
}
seizures = {
    name: nb.fit(nb.Model(CountGLMM(), formula, residual=residual), nb.datasets.epil(), method="ml", random_seed=1)
    for name, (formula, residual) in statements.items()
}
effects = pd.DataFrame({
    name: nb.summary(each).set_index("quantity").loc["rate: trt[progabide]", ["mean", "eti_lb", "eti_ub"]].map(np.exp)
    for name, each in seizures.items()
}).T  # fmt: skip
print("rate of seizures under progabide, by that under placebo")
print(effects.round(2).to_string())
print(nb.compare(seizures))

# %% [markdown]
# Taken for independent, the counts say with a narrow interval that the drug does nothing: they let the few patients
# with most seizures decide. The criteria prefer patients by far, and counts that scatter beyond Poisson once more;
# with both, the typical patient has fewer seizures, by a factor that the interval leaves wide. (Which of the 59 the
# result hangs on: `nb.influence`.)

# %%
figure, axis = plt.subplots(figsize=(6.0, 2.2), layout="constrained")
axis.errorbar(
    effects["mean"], np.arange(3), xerr=[effects["mean"] - effects["eti_lb"], effects["eti_ub"] - effects["mean"]],
    fmt="o",
)  # fmt: skip
axis.axvline(1, color="grey", linewidth=0.8)
axis.set_yticks(np.arange(3), effects.index)
label = axis.set(xlabel="rate of seizures, progabide by placebo (90 % interval)", ylim=(-0.5, 2.5))

# %% [markdown]
# ## Forecast
#
# Patient 0 is new: ten cells are counted, ten are kept back.

# %%
own = frame[frame["patient"] == 0]
parts = (nb.Dataset.from_frame(part, outcome="count", levels="patient", inputs=("size",))
         for part in (own.iloc[:10], own.iloc[10:]))  # fmt: skip
known, kept = parts
forecast = nb.forecast(tree, known, random_seed=1)
predicted = nb.predict(forecast, kept, random_seed=1)["posterior_predictive"]["count"]
low, high = predicted.quantile([0.05, 0.95], dim=("chain", "draw")).to_numpy()
figure, axis = plt.subplots()
axis.vlines(np.arange(10), low, high, color="grey", label="forecast, 90 % interval")
axis.plot(kept.observations["value"], "o", color="black", label="counted")
axis.set(xlabel="cell that was kept back", ylabel="count", ylim=(-0.5, 1.3 * high.max()))
legend = axis.legend(frameon=False)
inside = kept.observations["value"].between(low, high)
print(f"{inside.sum()} of {len(inside)} cells lie in their 90 % interval")

# %% [markdown]
# ## What could be wrong
#
# - Sixteen patients say little about the SD between patients: its prior matters to the width of the interval.
# - Zeros beyond the negative binomial take `nb.ZeroInflated(nb.NegativeBinomial("size"))`.
# - A size factor is taken for known.
