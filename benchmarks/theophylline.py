"""Wall-clock time of a fit of theophylline from a fresh process: import, compilation, sampling; and of a forecast.

Two processes: the first fills Numba's cache, the second is warm. 12 subjects, 132 records, one-compartment oral,
additive residual, diagonal Omega, non-centred, 4 chains x (1000 + 1000).
"""

import json
import subprocess
import sys

import results

CODE = """
import json, time
start = time.perf_counter()
import nlmebayes as nb
from model_zoo import OneCompartment
data = nb.datasets.theophylline()
imported = time.perf_counter()
model = nb.Model(OneCompartment(absorption="first-order"), residual=nb.Additive())
tree = nb.fit(model, data.drop_sel(id="12"), random_seed=1, progressbar=False)
fitted = time.perf_counter()
table = nb.summary(tree)
patient = data.sel(id="12", time=[1.0, 9.03])
before = time.perf_counter()
nb.forecast(tree, patient, random_seed=1)
cold = time.perf_counter() - before
before = time.perf_counter()
nb.forecast(tree, patient, random_seed=2)
print(json.dumps({
    "import s": imported - start, "fit s": fitted - imported, "total s": fitted - start,
    "first forecast s": cold, "next forecast s": time.perf_counter() - before,
    "max R-hat": table["rhat"].max(), "min bulk ESS": table["ess_bulk"].min(),
}))
"""


def main():
    print(results.machine())
    rows = {}
    for run in ("first", "second"):
        found = subprocess.run([sys.executable, "-c", CODE], check=True, capture_output=True, text=True)
        values = rows[run] = json.loads(found.stdout.splitlines()[-1])
        print(f"{run} process: " + ", ".join(f"{k} {v:.3g}" for k, v in values.items()))
    results.keep("first_fit", rows=rows)


if __name__ == "__main__":
    main()
