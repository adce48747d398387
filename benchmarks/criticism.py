"""Seconds that `check`, residuals, npde and predictive checks take: 120 subjects, 2,000 records, 1,000 replicates.

Run: python benchmarks/criticism.py
"""

import time

import numpy as np
import pandas as pd

import nlmebayes as nb
from model_zoo import OneCompartment

SUBJECTS, RECORDS, REPLICATES = 120, 2000, 1000


def study():
    """Oral doses every 12 h, of which the subjects have 16 or 17 samples."""
    rng = np.random.default_rng(1)
    subject = np.sort(np.arange(RECORDS) % SUBJECTS)
    time_ = np.concatenate([np.sort(rng.uniform(0.5, 72, (subject == i).sum())) for i in range(SUBJECTS)])
    frame = pd.DataFrame({"id": subject, "time": time_, "y": 1.0, "sex": np.where(subject % 2, "m", "f")})
    doses = pd.DataFrame({"id": np.arange(SUBJECTS), "time": 0.0, "amt": 300.0, "addl": 5, "ii": 12.0})
    return nb.Dataset.from_frame(frame, outcome="y", time="time", levels="id", doses=doses)


def tree():
    """Populations around stated values, with data simulated from them."""
    data = study()
    structure = OneCompartment(absorption="first-order")
    model = nb.Model(structure, "cl ~ 1 + (1|p|id)", "v ~ 1 + (1|p|id)", "ka ~ 1 + (1|id)", residual=nb.Combined())
    values = {"theta_cl": [1.0], "theta_v": [3.4], "theta_ka": [0.3], "omega_id": [0.3, 0.2, 0.4]}
    values |= {"sigma_y_a": 0.1, "sigma_y_b": 0.15}
    first = nb.simulate(model, data, draws=1, values=values, random_seed=1)
    data = data.with_values(y=first["prior_predictive"]["y"].to_numpy().ravel())
    found = nb.simulate(model, data, draws=REPLICATES, values=values, random_seed=2)
    found["posterior"] = found["prior"].to_dataset()
    return found


def timed(name, verb):
    begun = time.perf_counter()
    verb()
    print(f"{name:28s} {time.perf_counter() - begun:6.2f} s")


def main():
    fit = tree()
    simulated = fit["prior_predictive"]["y"].to_numpy()[0]
    observations = nb.training_dataset(fit).observations
    y, by = observations["value"].to_numpy(), observations["id"].tolist()
    nb.residuals(fit, replicates=30)  # graphs and kernels are made once
    draws = nb.predict(fit, random_seed=1)
    timed("check", lambda: nb.check(draws))
    timed("npde of arrays", lambda: nb.npde(y, simulated, by=by))
    timed("npde, 20 % censored", lambda: nb.npde(y, simulated, by=by, lloq=float(np.quantile(y, 0.2))))
    timed("residuals", lambda: nb.residuals(fit, replicates=REPLICATES))
    timed("vpc", lambda: nb.vpc(fit, x="tad", replicates=REPLICATES))
    timed("vpc, corrected, stratified", lambda: nb.vpc(fit, by="sex", correct="variance", replicates=REPLICATES))


if __name__ == "__main__":
    main()
