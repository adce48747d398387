"""``nlmebayes design``: what a planned study will tell of a population, before it is run."""

from pathlib import Path

import matplotlib.pyplot as plt

import nlmebayes as nb
from nlmebayes.app.forecast import population
from nlmebayes.files import whole

OWN = ("design.png", "information.csv", "shrinkage.csv")


def run(path, plan, say, *, method="fo", fixed=(), variances=False, power=None, wanted=0.8, out=None, force=False,
        seed=0):  # fmt: skip
    """Print the expected errors of a design, and write tables and a picture into the folder ``out`` where one is named.

    Parameters
    ----------
    path : path of a population
    plan : path of a design, as `Design.to_toml` writes it
    method, fixed, variances
        As in `information`.
    power : str, optional
        Parameter whose power is told, and the number of subjects for the power that is ``wanted``.
    """
    tree, design = population(path).tree, nb.Design.from_toml(Path(plan))
    told = nb.information(tree, design, method=method, fixed=fixed, variances=variances, random_seed=seed)
    say(str(told))
    if power is not None:
        enough = told.subjects_for(power, wanted)
        say(f"power to tell {power} from 0: {100 * told.power(power):.0f} % with {told.subjects} subjects; "
            f"{100 * wanted:g} % with {enough}")  # fmt: skip
    if out is None:
        return
    with whole.folder(out, OWN, force=force) as folder:
        told.table.to_csv(folder / "information.csv")
        told.shrinkage.to_csv(folder / "shrinkage.csv")
        outcomes = nb.training_dataset(tree).outcomes
        figure = nb.plot.design(tree, design, outcome=outcomes[0], random_seed=seed)
        figure.savefig(folder / "design.png", dpi=120)
        plt.close(figure)
    say(f"Written to {out}: " + ", ".join(sorted(OWN)))
