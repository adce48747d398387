"""``nlmebayes compare``: which of several fits of the same data would predict new subjects, and by how much."""

from pathlib import Path

import matplotlib.pyplot as plt

import nlmebayes as nb
from nlmebayes.app.predict import opened
from nlmebayes.files import whole
from nlmebayes.words import StatementError

OWN = "comparison.txt", "table.csv", "differences.csv", "groups.csv", "comparison.png"


def run(paths, out, say, *, by=None, draws=400, refit=False, maximum=False, force=False, seed=1):
    """Compare fits and write what was found into the folder ``out``, whole or not at all.

    Parameters
    ----------
    paths : sequence of pathlib.Path
        Folders of ``nlmebayes fit``, or their ``fit.nc``; a model is called by its folder, or by the name of its file.
    by, draws, refit, maximum, seed
        As in `nlmebayes.compare`.
    """
    trees = trees_of(paths)
    with whole.folder(out, OWN, force=force) as folder:
        found = nb.compare(trees, by=by, draws=draws, refit=refit, maximum=maximum, random_seed=seed)
        say(str(found))
        _write(folder, found)
    say(f"Written to {out}: " + ", ".join(sorted(path.name for path in out.iterdir())))


def trees_of(paths):
    """Fits by name, of folders or files."""
    trees = {}
    for path in map(Path, paths):
        name = _called(path)
        if name in trees:
            raise StatementError(f"two fits are called {name!r}; rename a folder")
        trees[name] = opened(path / "fit.nc" if path.is_dir() else path)
    return trees


def _called(path):
    path = path.resolve()
    return path.parent.name if path.name == "fit.nc" else path.stem


def _write(folder, found):
    (folder / "comparison.txt").write_text(f"{found}\n", encoding="utf-8")
    found.table.to_csv(folder / "table.csv")
    found.differences.to_csv(folder / "differences.csv", index=False)
    found.by_group.to_csv(folder / "groups.csv", index=False)
    if len(found.differences):
        figure = nb.plot.comparison(found)
        figure.savefig(folder / "comparison.png", dpi=120)
        plt.close(figure)
