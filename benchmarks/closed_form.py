"""One log-density with its gradient of a closed-form population model: this library beside Stan, in one process.

120 subjects, 6,947 concentrations and 960 oral doses, 120 of them to steady state (`Oral_1CPT.csv` of the R package
nlmixr2data). One compartment with first-order absorption; cl, v, ka log-normal, diagonal Omega, non-centred;
proportional error; the priors below. 367 unconstrained coordinates.

- ours: the C function that `nb.fit` makes of `nb.build(model, data)` for its sampler.
- Stan: `stan::model::gradient`, the function that its HMC calls, from a shared library compiled with the headers and
  the stanc of httpstan, which pystan installs (no STAN_THREADS, which would slow it). Two programs in `stan/`:
  superposition of the doses of each sample, as is customary, and sums of doses carried from dose to dose, as fast as
  we could make it; each as stanc and g++ are used by default (-O3), and with stanc --O1 and g++ -O3 -march=native.

Before anything is timed, all of them must agree at random points around the individual parameters that the data were
simulated with (columns CL, V, KA): differences of the log-density between points, and every coordinate of the gradient.
Then one call of each in turn, round after round, on one core; medians.

The table: SS = 99 means "not applicable" and becomes 0; records without dose and measurement (EVID 2) are left out;
times go on from the single to the repeated doses; a steady-state dose (SS = 1) resets the system to the steady state of
its interval.

Run: pip install pystan setuptools, in an environment of its own with any Python; then
    python benchmarks/closed_form.py FOLDER_OF_THE_TABLE FOLDER_OF_THAT_ENVIRONMENT
"""

import argparse
import ctypes
import hashlib
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
import results

import nlmebayes as nb
from model_zoo import OneCompartment
from nlmebayes.inference import compilation

PARAMETERS = ("cl", "v", "ka")
COLUMNS = ["ID", "TIME", "DV", "MDV", "AMT", "EVID", "SS", "II", "CMT"]
TYPICAL = {"cl": 5.0, "v": 70.0, "ka": 1.0}  # these priors stand in the Stan programs as well
PRIORS = {f"theta_{name}": nb.Prior("Normal", mu=np.log(TYPICAL[name]), sigma=0.5) for name in PARAMETERS} | {
    "omega_id": nb.Prior("HalfNormal", sigma=0.5),
    "sigma_dv_b": nb.Prior("HalfNormal", sigma=0.5),
}
FORMS = ("superposition", "recursion")
FLAGS = {"-O3": ([], ["-O3"]), "--O1, -O3 -march=native": (["--O1"], ["-O3", "-march=native"])}
TOLERANCE = 1e-8
BUSY = 1.3
DOUBLES = ctypes.POINTER(ctypes.c_double)

SHIM = """
#include "program.hpp"
#include <fstream>
#include <iostream>
#include <stan/io/json/json_data.hpp>
#include <stan/model/gradient.hpp>

extern "C" void* make(const char* path) {
  try {
    std::ifstream stream(path);
    stan::json::json_data data(stream);
    return &new_model(data, 1, &std::cerr);
  } catch (const std::exception& e) { std::cerr << e.what() << std::endl; return nullptr; }
}

extern "C" long dimension(void* model) { return static_cast<stan::model::model_base*>(model)->num_params_r(); }

extern "C" int density(void* model, long n, const double* x, double* gradient, double* value) {
  static Eigen::VectorXd at, slope;  // allocated once, as a sampler does
  at = Eigen::Map<const Eigen::VectorXd>(x, n);
  try {
    stan::model::gradient(*static_cast<stan::model::model_base*>(model), at, *value, slope, &std::cerr);
  } catch (const std::exception& e) { std::cerr << e.what() << std::endl; return 1; }
  Eigen::Map<Eigen::VectorXd>(gradient, n) = slope;
  return 0;
}
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder with Oral_1CPT.csv")
    parser.add_argument("stan", type=Path, help="environment (folder) with httpstan")
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--ordinary", action="store_true", help="steady-state doses given as ordinary ones")
    parser.add_argument("--no-ours", action="store_true", help="Stan alone")
    parser.add_argument("--build", type=Path, default=Path(tempfile.gettempdir()) / "nlmebayes-stan")
    given = parser.parse_args()

    path = given.data / "Oral_1CPT.csv"
    frame = events(path, given.ordinary)
    httpstan = next(given.stan.glob("lib/python*/site-packages/httpstan"), None)
    if httpstan is None:
        parser.error(f"no httpstan in {given.stan}: pip install pystan setuptools there")
    print_machine(httpstan)
    tables = stan_data(frame)
    print(f"data: {tables['superposition']['J']} subjects, {tables['superposition']['N']} samples, "
          f"{tables['recursion']['D']} doses ({int((frame['SS'] == 1).sum())} to steady state), "
          f"{tables['superposition']['M']} pairs of a sample and a dose before it")  # fmt: skip
    print("parametrisation: non-centred log-normal cl, v, ka, diagonal Omega; error proportional")
    centres = ", ".join(f"{value:g}" for value in TYPICAL.values())
    print(f"priors: theta ~ Normal(log({centres}), 0.5), omega ~ HalfNormal(0.5), sigma ~ HalfNormal(0.5)")

    densities = {}
    if not given.no_ours:
        densities["ours (nutpie, Numba)"] = ours(frame)
    for form in FORMS:
        for name, flags in FLAGS.items():
            densities[f"Stan {form}, {name}"] = stan(form, tables[form], httpstan, flags, given.build)
    where = points(path)
    agreed = agree(densities, where)
    table = pd.DataFrame(timed(densities, where[0], given.rounds)).T
    table["ratio"] = table["median ms"] / table["median ms"].iloc[0]
    print(table.to_string(float_format=lambda x: f"{x:.3f}"))
    results.keep("closed_form", rounds=given.rounds, rows=table.to_dict("index"))
    if not given.no_ours:
        best = table.iloc[1:]["median ms"].min()
        print(f"fastest Stan program / ours: {best / table['median ms'].iloc[0]:.2f}")
    if (table["median ms"] > BUSY * table["least"]).any():
        print(f"a median is more than {BUSY:g} times its minimum: the machine was busy, run it again")
    return 0 if agreed else 1


def events(path, ordinary=False):
    """The event table that both programs get."""
    frame = pd.read_csv(path)
    frame["SS"] = frame["SS"].replace(99, 0)
    frame = frame.loc[frame["EVID"].isin([0, 1]), COLUMNS].reset_index(drop=True)
    if ordinary:
        frame = frame.assign(SS=0, II=0)
    return frame


def stan_data(frame):
    """Data of the two Stan programs, from the same events."""
    samples, doses, pairs = [], [], []
    for j, (_, own) in enumerate(frame.groupby("ID", sort=False), start=1):
        active = []  # doses since the start or since the steady state
        for record in own.itertuples():
            if record.EVID == 1:
                steady = record.SS == 1
                gap = -1.0 if steady or not active else record.TIME - active[-1][0]
                active = [*([] if steady else active), (record.TIME, record.AMT, record.II if steady else 0.0)]
                doses.append((j, gap, record.AMT, active[-1][2]))
            elif not active:
                raise ValueError(f"subject {record.ID}: a sample before any dose, where the prediction is 0")
            else:
                since = record.TIME - active[-1][0]
                samples.append((j, record.DV, len(pairs) + 1, len(active), active[0][2], len(doses), since))
                pairs += [(record.TIME - t, amount) for t, amount, _ in active]
    subject, y, start, length, interval, last, since = (list(column) for column in zip(*samples, strict=True))
    of_dose, gap, dosed, steady = (list(column) for column in zip(*doses, strict=True))
    elapsed, amount = (list(column) for column in zip(*pairs, strict=True))
    common = {"N": len(y), "J": int(frame["ID"].nunique()), "y": y}
    count = np.bincount(subject, minlength=common["J"] + 1)[1:]
    return {
        "superposition": common | {
            "id": subject, "M": len(pairs), "start": start, "length": length, "elapsed": elapsed, "amount": amount,
            "interval": interval,
        },
        "recursion": common | {
            "D": len(doses), "last": last, "since": since, "subject": of_dose, "gap": gap, "amount": dosed,
            "interval": steady, "start": (1 + np.cumsum(count) - count).tolist(), "length": count.tolist(),
        },
    }  # fmt: skip


def points(path, count=5):
    """Random points of the unconstrained space, around the parameters that the data were simulated with.

    Blocks: theta, log omega, z (subject by subject), log sigma.
    """
    rng = np.random.default_rng(1)
    typical = np.log([TYPICAL[name] for name in PARAMETERS])
    individual = np.log(pd.read_csv(path).groupby("ID", sort=False)[[name.upper() for name in PARAMETERS]].first())
    found = []
    for _ in range(count):
        theta = typical + 0.1 * rng.standard_normal(3)
        omega = np.log(0.3) + 0.1 * rng.standard_normal(3)
        z = (individual.to_numpy() - theta) / np.exp(omega) + 0.1 * rng.standard_normal(individual.shape)
        sigma = np.log(0.25) + 0.1 * rng.standard_normal(1)
        found.append({"theta": theta, "omega": omega, "z": z.ravel(), "sigma": sigma})
    return found


class Density:
    """A log-density with gradient behind a C function; coordinates in the program's own order of blocks."""

    def __init__(self, order, call, n):
        self.order, self._call, self._n = order, call, n

    def at(self, point):
        """A function of nothing that evaluates at the point and returns (value, gradient by block)."""
        x = np.concatenate([point[name] for name in self.order])
        if len(x) != self._n:
            raise ValueError(f"{len(x)} coordinates for a density of {self._n}")
        gradient, value = np.empty_like(x), ctypes.c_double()
        call, n, where = self._call, len(x), x.ctypes.data_as(DOUBLES)
        slope, result = gradient.ctypes.data_as(DOUBLES), ctypes.pointer(value)

        def evaluate():
            if call(n, where, slope, result):
                raise FloatingPointError("no finite log-density")
            return value.value, gradient

        evaluate.alive = (x, gradient, value)
        return evaluate

    def blocks(self, point):
        """Value, and gradient as blocks by name."""
        value, gradient = self.at(point)()
        stops = np.cumsum([len(point[name]) for name in self.order])[:-1]
        return value, dict(zip(self.order, np.split(gradient.copy(), stops), strict=True))


def compiled(built):
    """(C function, number of coordinates) that `fit` gives to nutpie; called as (n, x, gradient, value)."""
    made = compilation.compiled(built, "numba", [])
    call, data = made.compiled_logp_func.ctypes, made.user_data.ctypes.data

    def density(n, x, gradient, value, _alive=made):
        return call(n, x, gradient, value, data)

    return density, made.n_dim


def ours(frame):
    """This library's density on the events."""
    if not frame["SS"].any():
        frame = frame.drop(columns=["SS", "II"])  # all of them 0
    data = nb.Dataset.from_nonmem(frame)
    model = nb.Model(
        OneCompartment(absorption="first-order", flip_flop=True), *(f"{name} ~ 1 + (1|id)" for name in PARAMETERS),
        residual=nb.Proportional(), priors=PRIORS,
    )  # fmt: skip
    start = time.perf_counter()
    built = nb.build(model, data)
    call, n = compiled(built)
    print(f"ours: built and compiled in {time.perf_counter() - start:.1f} s")
    order = dict.fromkeys(rv.name.split("_")[0] for rv in built.free_RVs)
    thetas = [rv.name for rv in built.free_RVs if rv.name.startswith("theta_")]
    effects, subjects = list(built.coords["id_effect"]), list(built.coords["id"])
    if thetas != [f"theta_{name}" for name in PARAMETERS] or effects != list(PARAMETERS):
        raise ValueError(f"the coordinates are in another order: {thetas}, {effects}")
    if subjects != [str(i) for i in frame["ID"].unique()]:
        raise ValueError("the subjects are in another order")
    return Density(tuple(order), call, n)


def stan(form, data, httpstan, flags, folder):
    """A Stan program's density, compiled unless it was before."""
    program = Path(__file__).parent / "stan" / f"one_compartment_oral_{form}.stan"
    key = hashlib.sha256((program.read_text() + SHIM + str(flags) + str(httpstan)).encode()).hexdigest()[:12]
    folder = folder / key
    library = folder / "density.so"
    if not library.exists():
        folder.mkdir(parents=True, exist_ok=True)
        start = time.perf_counter()
        translated = [f"--o={folder / 'program.hpp'}", program]
        subprocess.run([httpstan / "stanc", "--name", "program", *flags[0], *translated], check=True)
        (folder / "shim.cpp").write_text(SHIM)
        command = [
            "g++", "-std=c++17", *flags[1], "-w", "-fPIC", "-shared", "-D_REENTRANT", "-DBOOST_DISABLE_ASSERTS",
            "-D_GLIBCXX_USE_CXX11_ABI=0", f"-I{folder}", f"-I{httpstan / 'include'}", folder / "shim.cpp",
            f"-L{httpstan / 'lib'}", "-l:libtbb.so.2", f"-Wl,-rpath,{httpstan / 'lib'}", "-o", library,
        ]  # fmt: skip
        subprocess.run(command, check=True)
        print(f"Stan {form}: compiled in {time.perf_counter() - start:.0f} s")
    (folder / "data.json").write_text(json.dumps(data))
    loaded = ctypes.CDLL(str(library))
    loaded.make.restype, loaded.make.argtypes = ctypes.c_void_p, [ctypes.c_char_p]
    loaded.dimension.restype, loaded.dimension.argtypes = ctypes.c_long, [ctypes.c_void_p]
    loaded.density.argtypes = [ctypes.c_void_p, ctypes.c_long, DOUBLES, DOUBLES, DOUBLES]
    made = loaded.make(str(folder / "data.json").encode())
    if not made:
        raise ValueError(f"Stan refused the data of {program.name}")

    def density(n, x, gradient, value):
        return loaded.density(made, n, x, gradient, value)

    return Density(("theta", "omega", "z", "sigma"), density, loaded.dimension(made))


def agree(densities, where):
    """Print how far each is from the first; whether all are within the tolerance."""
    found = {name: [density.blocks(point) for point in where] for name, density in densities.items()}
    first, *others = found
    values = np.array([value for value, _ in found[first]])
    print(f"log-density of {first} at {len(where)} random points: " + ", ".join(f"{v:.6f}" for v in values))
    agreed = True
    for name in others:
        shift = np.array([value for value, _ in found[name]]) - values
        steps = np.abs(np.diff(shift)) / np.abs(np.diff(values))
        slopes = [
            np.abs(mine[block] / theirs[block] - 1).max()
            for (_, mine), (_, theirs) in zip(found[first], found[name], strict=True)
            for block in mine
        ]
        agreed &= max(*steps, *slopes) < TOLERANCE
        print(f"  {name}: constant {shift.mean():.6f}, relative difference of log-density steps {steps.max():.1e}, "
              f"of the worst gradient coordinate {max(slopes):.1e}")  # fmt: skip
    print("all agree" if agreed else f"NOT EQUAL to {TOLERANCE:g}: the times below compare different functions")
    return agreed


def timed(densities, point, rounds):
    """Median, quartiles and minimum of one evaluation in ms, one call of each in turn, on one core."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    calls = {name: density.at(point) for name, density in densities.items()}
    seen = {name: np.empty(rounds) for name in calls}
    for i in range(-5, rounds):  # five rounds to warm up
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            if i >= 0:
                seen[name][i] = (time.perf_counter() - start) * 1e3
    return {
        name: {
            "median ms": np.median(t), "quartile 1": np.quantile(t, 0.25), "quartile 3": np.quantile(t, 0.75),
            "least": t.min(),
        }
        for name, t in seen.items()
    }  # fmt: skip


def print_machine(httpstan=None):
    """Machine and versions."""
    names = ("nlmebayes", "pymc", "pytensor", "numba", "nutpie", "numpy")
    cpu = Path("/proc/cpuinfo")
    model = [line for line in cpu.read_text().splitlines() if line.startswith("model name")] if cpu.exists() else []
    chip = model[0].split(":")[1].strip() if model else platform.processor()
    print(f"machine: {platform.machine()}, {chip}, {os.cpu_count()} cores, Python {platform.python_version()}")
    print("versions: " + ", ".join(f"{name} {version(name)}" for name in names))
    if httpstan is not None:
        stanc = subprocess.run([httpstan / "stanc", "--version"], check=True, capture_output=True, text=True).stdout
        gxx = subprocess.run(["g++", "--version"], check=True, capture_output=True, text=True).stdout.splitlines()[0]
        package = next(httpstan.parent.glob("httpstan-*.dist-info")).name.removesuffix(".dist-info")
        print(f"Stan: {stanc.strip()}, {package}, {gxx}")


if __name__ == "__main__":
    sys.exit(main())
