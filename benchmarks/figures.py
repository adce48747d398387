"""What the code measures: lengths, circles, annotations, rooms; how often a verb parses a text and resolves data.

Run: python benchmarks/figures.py [--static]
"""

import argparse
import ast
import importlib
import sys
import warnings
from collections import Counter
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from statistics import median

import pandas as pd

import nlmebayes as nb
from model_zoo import OneCompartment

PACKAGE = Path(nb.__file__).parent
TREES = {p: ast.parse(p.read_text(encoding="utf-8")) for p in sorted(PACKAGE.rglob("*.py"))}
FUNCTIONS = [n for tree in TREES.values() for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)]


def body(function):
    """Lines of a function without its signature and its docstring."""
    first = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return function.end_lineno - first[0].lineno + 1 if first else 0


def share(values):
    values = sorted(values)
    return f"median {median(values):g}, p90 {values[int(0.9 * len(values))]}, max {values[-1]}"


def circles():
    """Modules that import each other in a circle."""
    names = {".".join(p.relative_to(PACKAGE.parent).with_suffix("").parts): p for p in TREES}
    graph = {}
    for name, path in names.items():
        found = [n for n in TREES[path].body if isinstance(n, ast.ImportFrom) and n.module]
        graph[name] = {d for n in found for a in n.names for d in (f"{n.module}.{a.name}", n.module) if d in names}
    try:
        return list(TopologicalSorter(graph).static_order()) and "none"
    except CycleError as error:
        return ", ".join(error.args[1])


def annotated(functions):
    arguments = [a for f in functions for a in (*f.args.posonlyargs, *f.args.args, *f.args.kwonlyargs)]
    arguments = [a for a in arguments if a.arg not in ("self", "cls")]
    return f"{100 * sum(a.annotation is not None for a in arguments) / len(arguments):.0f} % of {len(arguments)}"


def static():
    beside = sorted(p.stem for p in PACKAGE.glob("*.py"))
    print(f"modules beside the folders: {len(beside)} ({', '.join(beside)})")
    print(
        f"lines per file: {share([len(p.read_text(encoding='utf-8').splitlines()) for p in TREES])}; {len(TREES)} files"
    )
    print(f"lines per function: {share(map(body, FUNCTIONS))}; {len(FUNCTIONS)} functions")
    print(f"circles of imports: {circles()}")
    doors = [f for f in FUNCTIONS if any(isinstance(d, ast.Name) and d.id == "checked" for d in f.decorator_list)]
    print(f"annotated arguments: {annotated(FUNCTIONS)}; of verbs {annotated(doors)}")


class Counted:
    """How often a function of a module was called, and with how many distinct arguments."""

    def __init__(self, module, name, key):
        self.module, self.name, self.key, self.was = module, name, key, getattr(module, name)
        self.seen = []

    def __call__(self, *args, **given):
        self.seen.append(self.key(*args))
        return self.was(*args, **given)

    def told(self):
        count = Counter(self.seen)
        self.seen = []
        return f"{sum(count.values()):3d} of {len(count):2d} distinct"


def content(model, data, *rest):
    """What tells datasets apart: their records."""
    frames = (data.observations, data.doses)
    return tuple(int(pd.util.hash_pandas_object(f.astype(str), index=False).sum()) for f in frames)


def everywhere(name, replacement, was):
    """Put a function in the place of another in every module that has it."""
    for module in list(sys.modules.values()):
        if getattr(module, "__name__", "").startswith("nlmebayes") and vars(module).get(name) is was:
            setattr(module, name, replacement)


def counts():
    parse, design = (importlib.import_module(f"nlmebayes.formula.{name}") for name in ("parse", "design"))
    parsed, resolved = Counted(parse, "_formula", str), Counted(design, "resolve", content)
    for counted in (parsed, resolved):
        everywhere(counted.name, counted, counted.was)
    data = nb.datasets.theophylline()
    formulas = "cl ~ 1 + log(wt/70) + (1|p|id)", "v ~ 1 + log(wt/70) + (1|p|id)", "ka ~ 1 + (1|id)"
    train, patient = data.drop_sel(id="12"), data.sel(id="12", time=[1.0, 9.03])
    plans, target = [nb.Regimen(mg, start=24, every=12) for mg in (100, 200)], nb.Trough(5, 10)
    made = {}
    verbs = {
        "Model": lambda: nb.Model(OneCompartment(absorption="first-order"), *formulas, residual=nb.Combined()),
        "fit": lambda: nb.fit(made["Model"], train, draws=60, tune=120, chains=2, random_seed=1, progressbar=False),
        "check": lambda: nb.check(made["fit"]),
        "summary": lambda: nb.summary(made["fit"]),
        "predict": lambda: nb.predict(made["fit"], random_seed=1),
        "plot.vpc": lambda: nb.plot.vpc(made["fit"]),
        "forecast": lambda: nb.forecast(made["fit"], patient, random_seed=1),
        "plot.forecast": lambda: nb.plot.forecast(made["forecast"]),
        "recommend": lambda: nb.recommend(made["forecast"], plans, target),
    }
    print(f"{'verb':15}{'formulas parsed':>22}{'datasets resolved':>22}")
    for name, verb in verbs.items():
        made[name] = verb()
        print(f"{name:15}{parsed.told():>22}{resolved.told():>22}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--static", action="store_true", help="without running a fit")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    static()
    if not given.static:
        counts()


if __name__ == "__main__":
    main()
