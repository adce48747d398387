"""Population differential equations: one value with its gradient to all individual parameters.

The work: 100 subjects with 10 samples each after one dose; a two-compartment oral model with saturable elimination (3
states, 6 individual parameters, log-normal with a spread of 0.2); value and gradient of a sum of squares with respect
to the 600 log parameters. Ours as PyTensor's Numba mode compiles it, which is what nutpie calls. The largest relative
error of the predictions is against SciPy's DOP853 at a tolerance of 1e-11.

Then the same population with a third compartment that exchanges 1e4 and 1e6 times faster than the slowest process; with
10 times the subjects and 10 times the doses; and the memory of 1,000 subjects with 20 samples.

Run: python benchmarks/ode.py
Peers on the same work, one after another in the same run: programs that print milliseconds and error, each with the
Python of its own environment:
    python benchmarks/ode.py --peer ENV/bin/python PROGRAM [--peer ...]
The same and the stiff work by JAX and diffrax: python benchmarks/ode.py --jax
Growing populations by JAX, on an accelerator if there is one: python benchmarks/ode.py --jax-subjects 100 1000 10000
"""

import argparse
import importlib
import platform
import resource
import subprocess
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytensor
import pytensor.tensor as pt
import results
from scipy.integrate import solve_ivp

import nlmebayes as nb

TIMES = np.array([0.25, 0.5, 1, 2, 4, 6, 8, 12, 18, 24.0])  # h
TYPICAL = {"ka": 1.0, "vmax": 10.0, "km": 2.0, "v1": 10.0, "q": 2.0, "v2": 20.0}
DOSE = 100.0


class Saturable(nb.System):
    """Two compartments, oral, with saturable elimination."""

    states = ("gut", "central", "peripheral")
    parameters = tuple(nb.Parameter(name, "1", typical=value) for name, value in TYPICAL.items())

    def rhs(self, t, y, p):
        c1, c2 = y.central / p.v1, y.peripheral / p.v2
        between = p.q * (c1 - c2)
        return {
            "gut": -p.ka * y.gut,
            "central": p.ka * y.gut - p.vmax * c1 / (p.km + c1) - between,
            "peripheral": between,
        }

    def outcomes(self, t, y, p):
        return {"amount": y.central}


class Fast(Saturable):
    """The same with a compartment at the rates 1e4 and 1e6 times that of the slowest process, 0.1/h."""

    states = (*Saturable.states, "fast")
    ratio = 1e4

    def rhs(self, t, y, p):
        exchange = 0.1 * self.ratio * (0.2 * y.central - y.fast)
        slopes = super().rhs(t, y, p)
        return slopes | {"central": slopes["central"] - exchange, "fast": exchange}


class Faster(Fast):
    ratio = 1e6


def timeline(subjects, times, doses=1, interval=24.0):
    """Arrays of a population in which everybody gets the same doses and samples."""
    n = len(times) + 1
    one = np.arange(subjects)
    records = np.column_stack([np.r_[0.0, times], np.arange(1.0, n + 1)])
    places = np.column_stack([np.repeat(one, n), np.arange(subjects * n) - np.repeat(one, n) - 1])
    places[::n, 1] = -1
    given = np.array([[k * interval, 0.5, DOSE, 0.0, 0.0] for k in range(doses)])
    columns = [one * n, (one + 1) * n, one * doses, (one + 1) * doses, np.full(subjects, -1)]
    return {
        "timeline_courses": np.column_stack(columns), "timeline_records": np.tile(records, (subjects, 1)),
        "timeline_of_record": places, "timeline_doses": np.tile(given, (subjects, 1)),
        "timeline_of_dose": np.column_stack([np.repeat(one, doses), np.zeros(subjects * doses, dtype=int)]),
    }  # fmt: skip


def parameters(subjects=100, seed=1):
    """Log-normal individual parameters, (subject, parameter)."""
    spread = 0.2 * np.random.default_rng(seed).standard_normal((subjects, len(TYPICAL)))
    return np.exp(np.log(list(TYPICAL.values())) + spread)


def density(structure, arrays, target, mode="NUMBA"):
    """Compiled function of log parameters (parameter, subject): value, gradient, predictions."""
    log_p = pt.dmatrix("log_p")
    p = nb.Named(**{name: pt.exp(log_p[i]) for i, name in enumerate(TYPICAL)})
    y, _ = structure.amounts(p, {name: pt.constant(value) for name, value in arrays.items()}, ("central",))
    value = -0.5 * ((y[0] - target) ** 2).sum()
    return pytensor.function([log_p], [value, pytensor.grad(value, log_p), y[0]], mode=mode, trust_input=True)


def exact(structure, each, method="DOP853"):
    """Central amounts by SciPy, (subject, time)."""

    def one(p):
        named = nb.Named(**dict(zip(TYPICAL, p, strict=True)))

        def rhs(t, y):
            slopes = structure.rhs(t, nb.Named(**dict(zip(structure.states, y, strict=True))), named)
            return [slopes[state] for state in structure.states]

        start = [DOSE, *np.zeros(len(structure.states) - 1)]
        return solve_ivp(rhs, (0, 24), start, t_eval=TIMES, rtol=1e-11, atol=1e-12, method=method).y[1]

    return np.array([one(p) for p in each])


def timed(function, given, rounds):
    """Median and least milliseconds."""
    return together([function], given, rounds)[0]


def together(functions, given, rounds):
    """The same of several functions, in turn, so that what else the machine does falls on all."""
    each = np.empty((rounds, len(functions)))
    for times in each:
        for i, function in enumerate(functions):
            start = time.perf_counter()
            function(given)
            times[i] = 1e3 * (time.perf_counter() - start)
    return [(np.median(times), times.min()) for times in each.T]


def jax_rows(each, rounds):
    """The same by JAX and diffrax, every method."""
    importlib.import_module("nlmebayes.solver.ode.traced")
    log_p = np.ascontiguousarray(np.log(each).T)
    for kind, method in ((Saturable, "explicit"), (Saturable, "auto"), (Saturable, "stiff"), (Fast, "auto")):
        structure = kind(solver=method)
        arrays, text = timeline(len(each), TIMES), f"JAX, {kind.__name__}, {method}"
        target, wanted = np.ones(len(each) * len(TIMES)), exact(structure, each[:10], "Radau")
        jax_row(text, structure, arrays, target, log_p, rounds, wanted)


def jax_sizes(sizes, rounds):
    """Populations of growing size by JAX, on whatever device it finds, beside ours on one core."""
    importlib.import_module("nlmebayes.solver.ode.traced")
    devices = importlib.import_module("jax").devices()
    print(f"JAX {version('jax')}, diffrax {version('diffrax')} on {devices[0].device_kind}")
    for subjects in sizes:
        log_p, arrays = np.ascontiguousarray(np.log(parameters(subjects)).T), timeline(subjects, TIMES)
        target = np.ones(subjects * len(TIMES))
        found = density(Saturable(), arrays, target)
        median, least = timed(found, log_p, rounds)
        print(f"{subjects} subjects: ours {median:.1f} ms (least {least:.1f})")
        wanted = found(log_p)[2].reshape(subjects, -1)[:10]
        jax_row(f"{subjects} subjects: JAX", Saturable(solver="explicit"), arrays, target, log_p, rounds, wanted)


def jax_row(text, structure, arrays, target, log_p, rounds, wanted):
    """One line: time of value and gradient by JAX, and the largest relative error of the first subjects."""
    start = time.perf_counter()
    compute = density(structure, arrays, target, "JAX")
    found = np.asarray(compute(log_p)[2]).reshape(log_p.shape[1], -1)[: len(wanted)]
    took = time.perf_counter() - start
    median, least = timed(lambda given: [np.asarray(x) for x in compute(given)], log_p, rounds)
    print(f"{text}: value and gradient {median:.1f} ms (least {least:.1f}), largest relative error "
          f"{np.abs(found / wanted - 1).max():.1e}, compiled in {took:.0f} s", flush=True)  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--peer", nargs=2, action="append", default=[], metavar=("PYTHON", "PROGRAM"))
    parser.add_argument("--jax", action="store_true")
    parser.add_argument("--jax-subjects", type=int, nargs="+", metavar="N")
    given = parser.parse_args()
    names = ", ".join(f"{name} {version(name)}" for name in ("nlmebayes", "pytensor", "numba", "numpy"))
    print(f"machine: {platform.machine()}, Python {platform.python_version()}; {names}")

    if given.jax_subjects:
        jax_sizes(given.jax_subjects, min(given.rounds, 10))
        return

    each = parameters()
    log_p, truth = np.ascontiguousarray(np.log(each).T), exact(Saturable(), each)
    medians, ours, kept = {}, {}, {"rows": {}, "peers": {}, "stiff": {}, "larger": {}}
    for rtol in (1e-6, 2e-6, 1e-7):
        start = time.perf_counter()
        compute = density(Saturable(rtol=rtol, atol=rtol / 100), timeline(100, TIMES), 1.1 * truth.ravel())
        ours[rtol] = compute
        error = np.abs(compute(log_p)[2].reshape(truth.shape) / truth - 1).max()
        took = time.perf_counter() - start
        median, least = timed(compute, log_p, given.rounds)
        print(f"ours, rtol {rtol:g}: value and gradient {median:.2f} ms (least {least:.2f}), largest relative error "
              f"{error:.1e}, compiled in {took:.0f} s")  # fmt: skip
        medians[rtol] = median
        kept["rows"][f"rtol {rtol:g}"] = {"ms": median, "least": least, "error": error}
    plain = medians[1e-6]
    for python, program in given.peer:
        found = subprocess.run([python, program], capture_output=True, text=True, check=False)
        print(f"peer {program}: {found.stdout.strip() or found.stderr.strip()[-300:]}")
        kept["peers"][Path(program).stem] = found.stdout.strip()

    if given.jax:
        jax_rows(each, 10)

    for structure in (Fast(), Faster()):
        wanted = exact(structure, each[:10], "Radau")
        compute = density(structure, timeline(100, TIMES), 1.1 * truth.ravel())
        error = np.abs(compute(log_p)[2].reshape(truth.shape)[:10] / wanted - 1).max()
        (median, least), (beside, _) = together([compute, ours[1e-6]], log_p, given.rounds)
        print(f"stiff, {structure.ratio:g}: {median:.2f} ms (least {least:.2f}), {median / beside:.2f} times the "
              f"non-stiff one; largest relative error {error:.1e} against Radau")  # fmt: skip
        kept["stiff"][f"{structure.ratio:g}"] = {"ms": median, "ratio": median / beside, "error": error}

    for subjects, doses in ((1000, 1), (100, 10)):
        times = TIMES if doses == 1 else np.concatenate([24.0 * k + TIMES for k in range(doses)])
        many = np.ascontiguousarray(np.log(parameters(subjects)).T)
        compute = density(Saturable(), timeline(subjects, times, doses), np.ones(subjects * len(times)))
        median, _ = timed(compute, many, max(10, given.rounds // 10))
        kept["larger"][f"{subjects} subjects, {doses} doses"] = {"ms": median, "ratio": median / plain}
        print(f"{subjects} subjects, {doses} doses with 10 samples each: {median:.2f} ms, {median / plain:.1f} times")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    times = np.linspace(1, 24, 20)
    many = np.ascontiguousarray(np.log(parameters(1000)).T)
    density(Saturable(), timeline(1000, times), np.ones(20_000))(many)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"1,000 subjects, 20 samples: {after - before:.0f} MiB more than before (peak {after:.0f} MiB)")
    results.keep("ode", **kept, mib=after - before)


if __name__ == "__main__":
    main()
