# ---
# jupyter:
#   gallery:
#     field: Immunology
#     question: What will this one do next?
#     asks: "How low does an autoantibody fall after B cells are depleted, and when?"
#     data: "simulated with stated truth"
#     answer: >-
#       After a month this patient falls below 40 units within a year with probability one half, and if so about day
#       105 (68 to 195): the plateau is what a month cannot tell
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
# # Antibody decay: an autoantibody after B cells are depleted

# %% [markdown]
# ## Question
#
# A drug removes the B cells of patients with an autoantibody. No new plasma cells come, the short-lived ones are
# soon gone, and the titre falls; but long-lived plasma cells, which the drug does not reach, keep up a part of it.
# How large is that part, and how much does it differ between patients? After one month: when will this patient's
# titre be below 40 units, if ever?

# %% [markdown]
# ## Data and source
#
# Simulated, so that the truth is known. That antibody from short- and long-lived cells decays in two phases is the
# model of White et al. (2014), *Journal of Infectious Diseases* 210, 1115-1122; that titres last for years without
# B cells is the finding of Hammarlund et al. (2017), *Nature Communications* 8, 1781, in macaques. Sixteen patients
# are followed for half a year from the treatment, day 0; the last is the new patient. The truth:
#
# - a titre of 200 units before the treatment, which differs much between patients (log standard deviation 0.6);
# - a half-life of 21 days, that of IgG (0.15);
# - a plateau at 20 % of the first titre in the typical patient, from 5 to 50 % in others (logit standard
#   deviation 0.8);
# - an assay that repeats within 20 %.

# %%
import numpy as np
import pandas as pd

import nlmebayes as nb
from model_zoo import AntibodyDecay

days = [0.0, 14.0, 30.0, 60.0, 90.0, 135.0, 180.0]
patients = np.arange(1, 17)
frame = pd.DataFrame({"patient": np.repeat(patients, len(days)), "day": np.tile(days, len(patients)), "titre": 1.0})
design = nb.Dataset.from_frame(frame, outcome="titre", time="day", levels="patient", units={"titre": "units"})

# %% [markdown]
# ## Model
#
# A source and a sink. The titre is lost at the rate k = log(2) / `thalf`. Before the treatment the source makes up
# for that exactly; from day 0 on only its part `fr` is left:
#
#     titre' = k a0 fr - k titre          titre(0) = a0
#
# so the titre falls to the plateau `fr` `a0` with the half-life of the antibody. (With `long_lived=True` the rest of
# the source takes its time to die out too, and the fall begins gently.) The plateau is a fraction, so it has a logit
# link. A titre is positive and its error is a factor: a log-normal residual. That IgG has a half-life of about three
# weeks is known, and stated. The unit of the titre is that of the assay, so `a0` must be stated too.

# %%
model = nb.Model(
    AntibodyDecay(),
    "a0 ~ 1 + (1|patient)",
    "fr ~ 1 + (1|patient)",
    "thalf ~ 1 + (1|patient)",
    typical={"a0": (200.0, 1.0), "thalf": (21.0, 0.3)},
    residual=nb.LogNormal(),
)
print(model)

# %%
truth = {
    "theta_a0": [np.log(200)], "theta_fr": [np.log(0.2 / 0.8)], "theta_thalf": [np.log(21)],
    "omega_patient": [0.6, 0.8, 0.15], "sigma_titre_a": 0.2,
}  # fmt: skip
study = nb.simulate(model, design, draws=1, values=truth, random_seed=1)
data = design.with_values(titre=study["prior_predictive"]["titre"].to_numpy().ravel())
training, patient = data.drop_sel(patient="16"), data.sel(patient="16")
print(training)

# %% [markdown]
# ## Prior check
#
# The priors allow for titres that stay and titres that vanish; the simulated ones lie in the middle.

# %%
figure = nb.plot.prior(nb.simulate(model, training, random_seed=1), bins=7)
figure.axes[0].set_yscale("log")

# %% [markdown]
# ## Fit

# %%
settings = dict(draws=1000, tune=1000, chains=4, random_seed=1)
tree = nb.fit(model, training, **settings)

# %% [markdown]
# ## Check
#
# One record has a large Pareto k: a first titre that was measured lower than the next one. The start of this patient's
# curve leans on it.

# %%
print(nb.check(tree))

# %%
true = {"a0": 200, "fr": 0.2, "thalf": 21, "omega_patient a0": 0.6, "omega_patient fr": 0.8}
true |= {"omega_patient thalf": 0.15, "sigma_titre_a": 0.2}
table = nb.summary(tree).set_index("quantity")[["mean", "eti_lb", "eti_ub"]].assign(truth=pd.Series(true))
for name in ("a0", "fr", "thalf"):
    effects = study["prior"]["eta_patient"].sel(patient_effect=name).to_numpy().ravel()[:-1]
    table.loc[f"omega_patient {name}", "drawn"] = effects.std(ddof=1)
print(table.round(3).to_string(na_rep=""))

# %% [markdown]
# Where do patients differ? Clearly in the first titre and in the plateau, of which these fifteen were drawn more alike
# than the truth says (the column `drawn`, their own standard deviation), and the fit finds that. Whether half-lives
# differ at all is nearly open: its `omega_patient` has an interval that reaches down to about 0, and a patient's
# half-life is hardly told from the assay's scatter.

# %%
plateaus = tree["posterior"]["fr"].quantile([0.05, 0.5, 0.95], dim=("chain", "draw")).to_numpy()
for low, median, high in plateaus.T[np.argsort(plateaus[1])[[0, len(patients) // 2 - 1, -1]]]:
    print(f"plateau of a patient: {100 * median:.0f} % ({100 * low:.0f} to {100 * high:.0f}) of the first titre")

# %%
figure = nb.plot.fits(tree, subjects=["1", "2", "3", "4", "5", "6", "7", "8"])
for axis in figure.axes:
    axis.set_yscale("log")
figure = nb.plot.vpc(tree, bins=7)
figure.axes[0].set_yscale("log")

# %% [markdown]
# ## Forecast
#
# Patient 16 was not in the fit. Three titres are known, of the first month. Three weeks' half-life says how fast the
# titre falls now; where it will come to rest these titres hardly say, and the population has to. Dotted: 40 units.

# %%
known = [0, 14, 30]
forecast = nb.forecast(tree, patient.sel(day=known), random_seed=1)
held_out = patient.drop_sel(day=known)
figure = nb.plot.forecast(forecast, times=np.linspace(0, 180, 91), held_out=held_out)
figure.axes[0].axhline(40, color="black", linestyle=":")
figure.axes[0].set_yscale("log")

# %% [markdown]
# The first day on which the titre itself, not a measurement of it, is below 40 units, from each draw of the curve
# over a year. In some draws there is none, for the plateau is above: so there is a probability first, and a day
# only given that there is one.

# %%
grid = np.arange(0.0, 366.0)
curves = nb.predict(forecast, patient.over(day=grid), random_seed=1)["posterior"]["f_titre"].to_numpy()
below = curves.reshape(-1, len(grid)) < 40
reached = below.any(axis=1)
low, median, high = np.quantile(grid[below[reached].argmax(axis=1)], [0.05, 0.5, 0.95])
print(f"below 40 units within a year: probability {reached.mean():.2f}")
print(f"if so, on day {median:.0f} ({low:.0f} to {high:.0f})")

# %%
predicted = nb.predict(forecast, held_out, random_seed=1)["posterior_predictive"]["titre"]
low, median, high = predicted.quantile([0.05, 0.5, 0.95], dim=("chain", "draw")).to_numpy()
table = held_out.observations[["day", "value"]].assign(eti_lb=low, median=median, eti_ub=high)
table["inside"] = table["value"].between(low, high)
print(table.round(1).to_string(index=False))
print(f"{table['inside'].sum()} of {len(table)} measurements lie in their 90 % interval")

# %% [markdown]
# ## What could be wrong
#
# - The data come from the model that was fitted; real ones never do.
# - Half a year shows a plateau; years would show that it declines too, as long-lived cells die or B cells return.
#   A titre that rises again is outside of this model.
# - Treatment acts at once here. The drug takes time to remove B cells, and plasma cells that have just been formed
#   live for days: `long_lived=True` has that. The two half-lives cannot be told apart by their role, only by their
#   length: the curve is the same with both exchanged.
# - A slow fall may be a long half-life or a high plateau as long as the titre still falls. The prior on the
#   half-life decides what the first month says.
# - Titres are often dilution steps, and low ones are reported as below a limit: see `nb.Dataset` on censoring.
