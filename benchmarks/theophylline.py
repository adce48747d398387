"""Time of a fit of theophylline from a fresh process: import, pilot, compilation, sampling, `check`; and of a forecast.

Two processes: the first fills caches that are empty, the second is warm. 12 subjects, 132 records, one compartment,
oral, additive residual, diagonal Omega, 4 chains x (1000 + 1000).
"""

import json
import os
import subprocess
import sys
import tempfile

import results

CODE = """
import json, time, warnings
warnings.simplefilter("ignore")
start = time.perf_counter()
import nlmebayes as nb
from model_zoo import OneCompartment
data = nb.datasets.theophylline()
imported = time.perf_counter()
model = nb.Model(OneCompartment(absorption="first-order"), residual=nb.Additive())
tree = nb.fit(model, data.drop_sel(id="12"), random_seed=1, progressbar=False)
fitted = time.perf_counter()
nb.check(tree)
checked, used = time.perf_counter(), time.process_time()
table = nb.summary(tree)
patient = data.sel(id="12", time=[1.0, 9.03])
before = time.perf_counter()
nb.forecast(tree, patient, random_seed=1)
cold = time.perf_counter() - before
before = time.perf_counter()
nb.forecast(tree, patient, random_seed=2)
print(json.dumps({
    "import s": imported - start, "fit s": fitted - imported, "total s": fitted - start,
    "with check s": checked - start, "CPU s with check": used,
    "first forecast s": cold, "next forecast s": time.perf_counter() - before,
    "max R-hat": table["rhat"].max(), "min bulk ESS": table["ess_bulk"].min(),
}))
"""


def main():
    print(results.machine())
    rows = {}
    with tempfile.TemporaryDirectory() as folder:
        caches = {"NUMBA_CACHE_DIR": f"{folder}/numba", "PYTENSOR_FLAGS": f"base_compiledir={folder}/pytensor"}
        for run in ("first", "second"):
            found = subprocess.run(
                [sys.executable, "-c", CODE], check=True, capture_output=True, text=True, env=os.environ | caches
            )
            values = rows[run] = json.loads(found.stdout.splitlines()[-1])
            print(f"{run} process: " + ", ".join(f"{k} {v:.3g}" for k, v in values.items()))
    results.keep("first_fit", rows=rows)


if __name__ == "__main__":
    main()
