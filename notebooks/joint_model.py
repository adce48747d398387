# ---
# jupyter:
#   gallery:
#     picture: 3
#     field: Clinical trials
#     question: What will this one do next?
#     asks: "How strong is the tie between a failing marker and death, and what awaits this patient?"
#     data: "real: pbcseq; simulated with stated truth"
#     answer: >-
#       Twice the bilirubin is 2.4 times the hazard of death; the drug does not slow its rise
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
# # A failing marker and survival

# %% [markdown]
# ## Question
#
# A marker falls, faster in some patients than in others, and those in whom it is low die earlier. How strong is
# this tie, and what can be said of the survival of one patient from the first measurements?

# %% [markdown]
# ## Data and source
#
# Simulated, so that the truth is known: 150 patients, a marker measured every half year that starts at 6 (SD 2)
# and falls by 0.5 (SD 0.4) a year, by 0.3 less under treatment. The hazard is 0.15 per year at a marker of 5 and is
# multiplied by exp(-0.4) for every unit of the marker. Measurements end with death or after five years, so the
# patients who are measured late are those who do well.

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import nlmebayes as nb
from model_zoo import JointModel

rng = np.random.default_rng(11)
n, visits = 150, np.arange(0.0, 5.0, 0.5)
treated = rng.integers(0, 2, n)
level, slope = rng.normal(6, 2, n), rng.normal(-0.5, 0.4, n) + 0.3 * treated
fine = np.linspace(0, 5, 2001)
hazard = 0.15 * np.exp(-0.4 * (level[:, None] + slope[:, None] * fine - 5))
cumulative = np.cumsum(hazard, axis=1) * (fine[1] - fine[0])
reached = cumulative >= rng.standard_exponential(n)[:, None]
end = np.where(reached.any(axis=1), fine[reached.argmax(axis=1)], 5.0)
rows = [
    {"patient": i, "time": t, "treated": treated[i], "marker": level[i] + slope[i] * t + rng.normal(0, 0.6),
     "event": end[i] if t == 0 else np.nan, "died": int(reached[i].any())}
    for i in range(n) for t in visits[visits < end[i]]
]  # fmt: skip
frame = pd.DataFrame(rows)
roles = dict(outcome=("marker", "event"), levels="patient", time="time", status={"event": "died"})
data = nb.Dataset.from_frame(frame, **roles)
new = str(next(i for i in range(n) if end[i] == 5.0))
training = data.drop_sel(patient=new)
print(data)

# %% [markdown]
# ## Model
#
# The time of the event stands on one row of each patient; `died` says whether it was death or the end of
# follow-up. `reference` is the marker at which `rate` is the hazard.

# %%
model = nb.Model(
    JointModel(reference=5.0), "level ~ 1 + (1|p|patient)", "slope ~ 1 + treated + (1|p|patient)", "rate ~ 1",
    residual={"marker": nb.Additive(), "event": nb.TimeToEvent()}, typical={"level": (5.0, 5.0)},
)  # fmt: skip
print(model)
print(nb.priors(model, training).to_string(index=False))

# %% [markdown]
# ## Prior check
#
# Survival to the end of follow-up under the prior: anything is possible.

# %%
prior = nb.simulate(model, training, draws=100, random_seed=1)["prior"]
figure, axis = plt.subplots()
axis.hist(np.exp(-prior["f_event"]).mean("event_obs").to_numpy().ravel(), bins=20)
label = axis.set(xlabel="share that survives follow-up", ylabel="simulated studies")

# %% [markdown]
# ## Fit

# %%
settings = dict(draws=1000, tune=1000, chains=4, random_seed=1)
tree = nb.fit(model, training, **settings)

# %% [markdown]
# ## Check
#
# The truth: level 6, slope -0.5 and 0.3, rate 0.15, association -0.4, SDs 2 and 0.4, scatter 0.6. Records with a large
# Pareto k are of patients with few measurements, whose level and slope lean on each.

# %%
print(nb.check(tree))

# %%
seen = training.observations.query("outcome == 'event'")
total = tree["posterior"]["f_event"].mean(("chain", "draw")).to_numpy()
order = np.argsort(total)
died = np.isnan(seen["lower"].to_numpy())[order]
figure, axis = plt.subplots()
axis.step(total[order], np.cumsum(died / np.arange(len(died), 0, -1)), where="post")
axis.axline((0, 0), slope=1, color="grey", linestyle="--")
label = axis.set(xlabel="cumulative hazard of the model", ylabel="Nelson and Aalen's estimate of it")

# %% [markdown]
# ### On measured data: bilirubin and death
#
# The 312 randomised patients with primary biliary cirrhosis, 1945 measurements of bilirubin by visit (R's `pbcseq`;
# Murtaugh et al. 1994, *Hepatology* 20, 126-134). Here the marker rises, on the log scale, and the event is death;
# those who were transplanted or alive at the end are censored. By maximum likelihood, the two effects of a patient
# integrated out. Does D-penicillamine slow the rise, and how strong is the tie between the marker and death?

# %%
liver = nb.datasets.table("pbcseq").assign(year=lambda x: x["day"] / 365.25, marker=lambda x: np.log(x["bili"]))
liver["event"] = np.where(liver["day"] == 0, liver["futime"] / 365.25, np.nan)
liver["died"], liver["drug"] = (liver["status"] == 2).astype(int), liver["trt"]
liver = nb.Dataset.from_frame(
    liver[["id", "year", "marker", "event", "died", "drug"]],
    outcome=("marker", "event"), levels="id", time="year", status={"event": "died"},
)  # fmt: skip
rising = nb.Model(
    JointModel(reference=1.0), "level ~ 1 + (1|p|id)", "slope ~ 1 + drug + (1|p|id)", "rate ~ 1",
    residual={"marker": nb.Additive(), "event": nb.TimeToEvent()},
)  # fmt: skip
patients = nb.fit(rising, liver, method="ml", random_seed=1)
rows = nb.summary(patients).set_index("quantity")[["mean", "sd", "eti_lb", "eti_ub"]]
print(rows.round(3).to_string())
double = 2 ** rows.loc["association", ["mean", "eti_lb", "eti_ub"]]
print("twice the bilirubin: {:.1f} times the hazard of death ({:.1f} to {:.1f})".format(*double))
yearly = 100 * np.expm1(rows.loc["slope", ["mean", "eti_lb", "eti_ub"]])
print("bilirubin rises by {:.0f} % a year on placebo ({:.0f} to {:.0f})".format(*yearly))
changed = 100 * rows.loc["slope: drug", ["mean", "eti_lb", "eti_ub"]]
print("and under the drug by {:+.1f} points of log a year more ({:+.1f} to {:+.1f})".format(*changed))

# %% [markdown]
# The tie is strong, and the interval of the drug's effect on the slope lies about 0, narrow beside the slope. What
# the joint model does for the slope is told by the patients below: lines are red where the patient died, and end
# there (dots), and those are the ones that rise. A mean of those who are left would rise less than patients do.

# %%
figure, axis = plt.subplots(figsize=(5.4, 3.6), layout="constrained")
bilirubin = liver.observations.query("outcome == 'marker'")
ends = liver.observations.query("outcome == 'event'").set_index("id")
for person, each in bilirubin.groupby("id", sort=False):
    dead = np.isnan(ends.loc[person, "lower"])
    axis.plot(each["year"], np.exp(each["value"]), color="#c8553d" if dead else "#7fa7d1", linewidth=0.4, alpha=0.6)
    if dead:
        axis.plot(each["year"].iloc[-1], np.exp(each["value"].iloc[-1]), ".", color="#c8553d", markersize=3)
axis.set(xlabel="years", ylabel="bilirubin (mg/dL)", yscale="log")
axis.set_yticks([0.3, 1, 3, 10, 30], ["0.3", "1", "3", "10", "30"])
axis.minorticks_off()

# %% [markdown]
# ## Forecast
#
# One patient was put aside. After two years there are four measurements, and the patient is alive: both are data of
# the forecast.

# %%
own = frame[frame["patient"].astype(str) == new]
early = own[own["time"] < 2].assign(died=0, event=np.where(own.loc[own["time"] < 2, "time"] == 0, 2.0, np.nan))
patient = nb.Dataset.from_frame(early, **roles)
forecast = nb.forecast(tree, patient, random_seed=1)

# %% [markdown]
# The probability to live on, given that two years are over, from the cumulative hazard at later times.

# %%
times = np.linspace(2.0, 5.0, 13)
grid = pd.DataFrame({"patient": new, "time": times, "treated": early["treated"].iloc[0], "event": np.nan})
grid = nb.Dataset.from_frame(grid, outcome="event", levels="patient", time="time", unmeasured="predict")
later = nb.predict(forecast, grid, random_seed=1)["posterior"]["f_event"].to_numpy()[0]
survival = np.exp(later[:, :1] - later)
figure, axis = plt.subplots()
axis.plot(times, np.median(survival, axis=0), label="median")
axis.fill_between(times, *np.quantile(survival, [0.05, 0.95], axis=0), alpha=0.3, linewidth=0, label="band of 90 %")
axis.set(xlabel="years", ylabel="probability to be alive, of one who is at 2 years", ylim=(0, 1))
legend = axis.legend(frameon=False)

# %%
kept = data.sel(patient=new, outcome="marker").drop_sel(time=list(visits[visits < 2]))
predicted = nb.predict(forecast, kept, random_seed=1)["posterior_predictive"]["marker"]
low, high = predicted.quantile([0.05, 0.95], dim=("chain", "draw")).to_numpy()
inside = kept.observations["value"].between(low, high)
print(f"{inside.sum()} of {len(inside)} later measurements lie in their 90 % interval")

# %% [markdown]
# ## What could be wrong
#
# - The marker falls along a straight line. A curve takes another structure with the same two outcomes.
# - A constant baseline hazard: `breaks` lets it jump.
# - The association rests on the early deaths. Whether the current value, the slope or the effects of the individual
#   matter is a question for `association=` and for cross-validation, not for one fit.
# - Patients who leave for a reason that the marker does not know are taken for those who were lost by chance.
