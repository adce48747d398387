"""``nlmebayes design``: what a planned study will tell of a population, before it is run."""

from pathlib import Path

import matplotlib.pyplot as plt

import nlmebayes as nb
from nlmebayes.app.forecast import population
from nlmebayes.files import whole
from nlmebayes.words import StatementError, assignments, number

OWN = ("design*.png", "information.csv", "shrinkage.csv", "optimal.toml")
BOUNDS = "times=0.5:24"


def run(path, plan, say, *, method="fo", fixed=(), variances=False, power=None, wanted=0.8, optimise=(), step=(),
        out=None, force=False, seed=0):  # fmt: skip
    """Print the expected errors of a design, and write tables and pictures into the folder ``out`` where one is named.

    Parameters
    ----------
    path : path of a population
    plan : path of a design, as `Design.to_toml` writes it
    method, fixed, variances
        As in `information`.
    power : str, optional
        Parameter whose power is told, and the number of subjects for the power that is ``wanted``.
    optimise, step : sequence of str
        ``times=0.5:24``, what may change between which numbers, and ``times=0.5``, of what it is a multiple then; what
        is told is that of the best design.
    """
    tree, design, gains = population(path).tree, nb.Design.from_toml(Path(plan)), None
    if step and not optimise:
        raise StatementError("--step needs --optimise: it rounds what is sought")
    if optimise:
        best = nb.optimise_design(tree, design, free=_bounds(optimise), step=_steps(step), method=method, fixed=fixed,
                                  random_seed=seed)  # fmt: skip
        say(str(best))
        design, gains = best.rounded, best.sensitivity
    told = nb.information(tree, design, method=method, fixed=fixed, variances=variances, random_seed=seed)
    say(str(told))
    if power is not None:
        enough = told.subjects_for(power, wanted)
        say(f"power to tell {power} from 0: {100 * told.power(power):.0f} % with {told.subjects} subjects; "
            f"{100 * wanted:g} % with {enough}")  # fmt: skip
    if out is not None:
        with whole.folder(out, OWN, force=force) as folder:
            _write(folder, tree, design, told, gains, seed)
        say(f"Written to {out}: " + ", ".join(sorted(path.name for path in Path(out).iterdir())))


def _write(folder, tree, design, told, gains, seed):
    told.table.to_csv(folder / "information.csv")
    told.shrinkage.to_csv(folder / "shrinkage.csv")
    if gains is not None:
        design.to_toml(folder / "optimal.toml")
    outcomes = nb.training_dataset(tree).outcomes
    names = whole.names(outcomes)
    for outcome in outcomes:
        figure = nb.plot.design(tree, design, outcome=outcome, sensitivity=gains, random_seed=seed)
        figure.savefig(folder / ("design.png" if len(names) == 1 else f"design_{names[outcome]}.png"), dpi=120)
        plt.close(figure)


def _bounds(texts):
    """``{"times": (0.5, 24.0)}`` of ``["times=0.5:24"]``."""
    found = {}
    for name, text in assignments(texts, "--optimise", BOUNDS).items():
        low, sign, high = text.partition(":")
        if not sign:
            raise StatementError(f"--optimise {name}={text}: write --optimise {BOUNDS}")
        found[name] = tuple(number(part, f"--optimise {name}") for part in (low, high))
    return found


def _steps(texts):
    return {name: number(text, f"--step {name}") for name, text in assignments(texts, "--step", "times=0.5").items()}
