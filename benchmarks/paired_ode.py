"""`benchmarks/ode.py` before and after a change, in turn: the ratio of times, with its upper 90 % bound.

Two processes, each with the package of its own checkout, evaluate the same value and gradient one after the other, in
alternating order; each time is the least of five. The bound is that of the median ratio, by bootstrap.

Run: python benchmarks/paired_ode.py OTHER_CHECKOUT [--rounds 150]
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import ode
import results

OWN = Path(__file__).resolve().parent.parent
ROUNDS_OF = {"non-stiff": 1.0, "stiff, 1e4": 0.4, "ten doses": 0.25}  # share of the rounds


def works():
    """Compiled functions by name."""
    days = np.concatenate([24.0 * k + ode.TIMES for k in range(10)])
    given = {
        "non-stiff": (ode.Saturable(), ode.timeline(100, ode.TIMES)),
        "stiff, 1e4": (ode.Fast(), ode.timeline(100, ode.TIMES)),
        "ten doses": (ode.Saturable(), ode.timeline(100, days, 10)),
    }
    return {
        name: ode.density(structure, arrays, np.ones((arrays["timeline_of_record"][:, 1] >= 0).sum()))
        for name, (structure, arrays) in given.items()
    }


def work():
    """Answer each name with milliseconds."""
    found, log_p = works(), np.ascontiguousarray(np.log(ode.parameters()).T)
    print("ready", flush=True)
    for line in sys.stdin:
        times = []
        for _ in range(5):
            start = time.perf_counter()
            found[line.strip()](log_p)
            times.append(time.perf_counter() - start)
        print(1e3 * min(times), flush=True)


def worker(checkout):
    command = [sys.executable, str(OWN / "benchmarks" / "paired_ode.py"), "--work"]
    own = os.environ | {"PYTHONPATH": str(checkout)}
    process = subprocess.Popen(command, env=own, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    if process.stdout.readline().strip() != "ready":
        raise SystemExit(f"the work of {checkout} does not start")
    return process


def ask(process, name):
    process.stdin.write(name + "\n")
    process.stdin.flush()
    return float(process.stdout.readline())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("other", nargs="?", type=Path)
    parser.add_argument("--rounds", type=int, default=150)
    parser.add_argument("--work", action="store_true")
    given = parser.parse_args()
    if given.work:
        work()
        return
    before, after, rng = worker(given.other.resolve()), worker(OWN), np.random.default_rng(1)
    rows = {}
    for name, share in ROUNDS_OF.items():
        times = []
        for i in range(int(share * given.rounds)):
            pair = [ask(process, name) for process in ((before, after) if i % 2 else (after, before))]
            times.append(pair if i % 2 else pair[::-1])
        times = np.array(times)
        ratio = times[:, 1] / times[:, 0]
        bound = np.quantile([np.median(rng.choice(ratio, len(ratio))) for _ in range(2000)], 0.9)
        rows[name] = {"ratio": float(np.median(ratio)), "bound": float(bound), "pairs": len(ratio)}
        print(f"{name}: {np.median(times[:, 0]):.2f} ms before, {np.median(times[:, 1]):.2f} ms after; ratio "
              f"{np.median(ratio):.3f}, upper 90 % bound {bound:.3f} ({len(ratio)} pairs)", flush=True)  # fmt: skip
    results.keep("paired_ode", rows=rows)


if __name__ == "__main__":
    main()
