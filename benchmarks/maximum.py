"""Maximum likelihood beside published fits: wall time of a fresh process, and the exact likelihood at both estimates.

Printed objective values of other programs are approximations of their own (FOCEI linearises, SAEM's is one of several),
so every population is judged by the same marginal likelihood, that of `log_likelihood`: -2 log L without n log 2 pi, at
our estimates and at theirs. Data: Oral_1CPT.csv and Bolus_1CPTMM.csv of nlmixr2data (120 subjects), theophylline and
phenobarbital; and a simulated study of five effects, which has its truth beside it. Published: NONMEM 7.4.3 and
nlmixr2 4.0 of nlmixr2test, nlme 3.1, exact quadrature for theophylline.

Run: python benchmarks/maximum.py FOLDER [CASE ...]; each case in a process of its own, and once before in another, so
that what is kept on disk is there.
"""

import argparse
import json
import os
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

import nlmebayes as nb
from model_zoo import MichaelisMenten, OneCompartment, TwoCompartment
from nlmebayes.runtime.imports import imported

estimation = imported("nlmebayes.inference.estimation")  # as `fit` does

COLUMNS = ["ID", "TIME", "DV", "AMT", "EVID", "MDV"]
ORAL = nb.Model(OneCompartment(absorption="first-order"), residual=nb.Proportional())
SATURABLE = nb.Model(MichaelisMenten(), residual=nb.Proportional())
THEOPHYLLINE = nb.Model(OneCompartment(absorption="first-order"), residual=nb.Additive())
TWO = nb.Model(TwoCompartment(absorption="first-order"), residual=nb.Proportional())
TIMES = [0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 10.0, 12.0, 16.0, 20.0, 24.0, 36.0, 48.0, 60.0, 72.0]
TRUE = ([np.log(x) for x in (4.0, 70.0, 4.0, 40.0, 1.0)], [0.3] * 5, 0.1)
CASES = {  # data, query, model, published: program -> (theta on the link scale, omega SD, scale of the residual)
    "oral, single dose": ("Oral_1CPT", "SD == 1 and EVID != 2", ORAL, {
        "NONMEM FOCEI": ([1.3901, 4.1928, -0.026632], np.sqrt([0.06425, 0.07515, 0.1038]), 0.19861),
        "nlmixr2 FOCEI": ([1.3939, 4.1912, -0.0223], np.sqrt([0.0649, 0.0768, 0.1038]), 0.1983),
        "nlmixr2 SAEM": ([1.3825, 4.1899, -0.0115], np.sqrt([0.0648, 0.0752, 0.1067]), 0.1983),
    }),
    "oral, all doses": ("Oral_1CPT", "EVID != 2", ORAL, {
        "NONMEM FOCEI": ([1.39, 4.2031, -0.0045566], np.sqrt([0.06788, 0.07785, 0.1106]), 0.19805),
        "nlmixr2 SAEM": ([1.3879, 4.2027, 0.0047], np.sqrt([0.0678, 0.0777, 0.1119]), 0.1979),
    }),
    "saturable, single dose": ("Bolus_1CPTMM", "SD == 1 and EVID != 2", SATURABLE, {
        "NONMEM FOCEI": ([6.827, 5.3932, 4.1838], np.sqrt([0.09054, 0.07959, 0.08888]), 0.19873),
        "nlmixr2 FOCEI": ([6.8355, 5.4129, 4.1834], np.sqrt([0.0899, 0.0990, 0.0915]), 0.1986),
        "nlmixr2 SAEM": ([6.8538, 5.4542, 4.1797], np.sqrt([0.0885, 0.0940, 0.0893]), 0.1985),
    }),
    "saturable, all doses": ("Bolus_1CPTMM", "EVID != 2", SATURABLE, {
        "NONMEM FOCEI": ([6.9041, 5.5355, 4.1796], np.sqrt([0.08962, 0.09425, 0.08991]), 0.20115),
        "nlmixr2 SAEM": ([6.9101, 5.5562, 4.1789], np.sqrt([0.0922, 0.0928, 0.0901]), 0.2011),
    }),
    "theophylline": (None, "theophylline", THEOPHYLLINE, {
        "exact quadrature": (np.log([2.7477, 31.6255, 1.5790]), [0.2660, 0.1337, 0.6276], 0.7380),
    }),
    "phenobarbital": (None, "phenobarbital", nb.Model(OneCompartment(), residual=nb.Additive()), {
        "nlme": ([-5.093242, 0.342534], [0.44021, 0.45044], 2.79274),
    }),
    "two compartments, simulated": (None, "simulated", TWO, {"the truth": TRUE}),
}  # fmt: skip


def simulated(people=120):
    """One oral dose of 100 and 19 samples each."""
    rows = [(i, t, 100.0 * (t == 0), int(t == 0)) for i in range(people) for t in (0.0, *TIMES)]
    frame = pd.DataFrame(rows, columns=["ID", "TIME", "AMT", "EVID"]).assign(DV=1.0)
    theta, omega, b = TRUE
    values = {f"theta_{p.name}": [x] for p, x in zip(TWO.parameters, theta, strict=True)}
    values |= {"omega_id": omega, "sigma_dv_b": b}
    drawn = nb.simulate(TWO, nb.Dataset.from_nonmem(frame), draws=1, values=values, random_seed=1)
    frame.loc[frame["EVID"] == 0, "DV"] = drawn["prior_predictive"]["dv"].to_numpy().ravel()
    return nb.Dataset.from_nonmem(frame)


def read(folder, name, query):
    if query == "simulated":
        return simulated()
    if name is None:
        data = getattr(nb.datasets, query)()
        return data.drop_sel(time=0.0) if query == "theophylline" else data
    frame = pd.read_csv(Path(folder, f"{name}.csv")).query(query)
    extra = [c for c in ("SS", "II", "CMT") if c in frame]
    frame = frame[COLUMNS + extra]
    return nb.Dataset.from_nonmem(frame.assign(SS=frame["SS"].replace(99, 0)) if "SS" in frame else frame)


def run(folder, case):
    """What one case gives, as a dict."""
    name, query, model, published = CASES[case]
    begun = time.process_time()
    data = read(folder, name, query)
    making = time.process_time() - begun if query == "simulated" else 0.0  # is no part of a fit
    pilot, used = estimation.pilot, []

    def timed(*given):
        found = pilot(*given)
        used.append(time.process_time())
        return found

    estimation.pilot = timed
    start = time.process_time()
    tree = nb.fit(model, data, method="ml", progressbar=False)
    end = time.process_time()
    constant = len(data.observations) * np.log(2 * np.pi)
    about = json.loads(tree.attrs["nlmebayes_fit"])
    names = [p.name for p in model.parameters]
    (sigma,) = [v for v in tree["posterior"] if v.startswith("sigma_")]
    own = np.array([float(tree["posterior"][f"theta_{p}"].squeeze()) for p in names])
    row = tree["estimates"]
    error = np.array([float(row["se"].sel(quantity=p) / row["value"].sel(quantity=p)) for p in names])
    found = {"case": case, "pilot_s": used[0] - start, "after_s": end - used[0], "ofv": about["minus2ll"] - constant}
    found |= {"fitted_s": end - making, "load": os.getloadavg()[0]}
    found |= {"error": about["minus2ll_error"], "rounds": about["rounds"]}
    for program, (theta, omega, scale) in published.items():
        at = {f"theta_{p}": [x] for p, x in zip(names, theta, strict=True)} | {"omega_id": omega, sigma: scale}
        told = nb.log_likelihood(tree, at=at)["log_likelihood"]["marginal"]
        apart = float(np.abs((own - theta) / error).max())
        found[program] = {"ofv": -2 * float(told.sum()) - constant, "largest_difference_se": apart}
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("cases", nargs="*", default=list(CASES))
    parser.add_argument("--cold", action="store_true", help="no run before, for what is on disk")
    parser.add_argument("--here", action="store_true", help="run in this process")
    given = parser.parse_args()
    if given.here:
        warnings.simplefilter("ignore")
        print(json.dumps(run(given.folder, given.cases[0])))
        return
    for case in given.cases:
        for _ in range(1 if given.cold else 2):
            start = time.perf_counter()
            done = subprocess.run(
                [sys.executable, __file__, str(given.folder), case, "--here"], capture_output=True, text=True
            )
            wall = time.perf_counter() - start
        if done.returncode:
            print(case, done.stderr.strip().splitlines()[-1])
            continue
        found = json.loads(done.stdout.splitlines()[-1])
        print(f"{case}: OFV {found['ofv']:.2f} (error {found['error']:.2g}), {found['rounds']} rounds; CPU: pilot "
              f"{found['pilot_s']:.1f} s, after it {found['after_s']:.1f} s, the process until then "
              f"{found['fitted_s']:.1f} s; wall, with {len(CASES[case][3])} evaluations, {wall:.1f} s at a "
              f"load of {found['load']:.0f} on {os.cpu_count()} cores")  # fmt: skip
        for program in CASES[case][3]:
            told = found[program]
            print(f"    at {program}'s estimates {told['ofv']:.2f}; theta apart by up to "
                  f"{told['largest_difference_se']:.2f} SE")  # fmt: skip


if __name__ == "__main__":
    main()
