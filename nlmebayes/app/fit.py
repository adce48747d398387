"""``nlmebayes fit``: read, fit, check, and leave everything that the run was and found in one folder."""

import json
import os
import warnings

import arviz_plots
import matplotlib.pyplot as plt

import nlmebayes as nb
from nlmebayes.app import statement
from nlmebayes.files import toml, trees, whole
from nlmebayes.reporting.document import today

READ_AS = "nlmebayes_data"  # attribute of the tree: how its data were read, for predict
OWN = (
    "fit.nc", "summary.csv", "check.txt", "priors.csv", "data.txt", "model.toml", "fits*.png", "vpc*.png", "ranks.png",
    "report.html",
)  # fmt: skip


def run(said, out, say, *, force=False, progressbar=True, report=True):
    """Fit what the statement says and write the results into the folder ``out``, whole or not at all.

    Parameters
    ----------
    said : dict
        Tables ``data``, ``model``, ``sampling``, see `nlmebayes.app.statement`.
    out : pathlib.Path
    say : callable of str
    report : bool
        Whether `nlmebayes.report` writes its file too.

    Raises
    ------
    StatementError, DataError, FormulaError, ModelError
    """
    with whole.folder(out, OWN, force=force) as folder:
        for difference in statement.differences(said):
            say(f"note: {difference}")
        data, model = statement.dataset(said.get("data", {})), statement.model(said.get("model", {}))
        full = statement.complete(said, model)
        with statement.refused():
            priors = nb.priors(model, data)
        say(f"{data}\n{model}")
        tree = _sample(model, data, full, say, progressbar)
        found = nb.check(tree)
        texts, tables = {"data": data, "check": found}, {"priors": priors, "summary": nb.summary(tree)}
        _write(folder, full, out, tree, texts, tables)
        _draw(folder, tree, data, say)
        if report:
            nb.report(tree, folder / "report.html", diagnosis=found, date=today())
        say("\n".join(["Findings:", *(f"  - {text}" for text in found.findings or ("none",))]))
    say(f"Written to {out}: " + ", ".join(sorted(path.name for path in out.iterdir())))


def _sample(model, data, full, say, progressbar):
    settings = dict(full["sampling"])
    drawn = settings.get("method", "nuts") == "nuts"
    shown = settings if drawn else {key: settings[key] for key in ("method", "seed")}
    say("Sampling: " * drawn + ", ".join(f"{key} {value}" for key, value in shown.items()))
    tree = nb.fit(model, data, random_seed=settings.pop("seed"), progressbar=progressbar, **settings)
    tree.attrs[READ_AS] = json.dumps({k: v for k, v in full["data"].items() if k not in statement.OF_THE_FILE})
    return tree


def _write(folder, full, out, tree, texts, tables):
    trees.save(tree, folder / "fit.nc")
    for name, text in texts.items():
        (folder / f"{name}.txt").write_text(f"{text}\n", encoding="utf-8")
    for name, table in tables.items():
        table.to_csv(folder / f"{name}.csv", index=False)
    paths = {key: _seen_from(out, full["data"][key]) for key in statement.PATHS if key in full["data"]}
    said = full | {"data": {**paths, **{k: v for k, v in full["data"].items() if k not in paths}}}
    (folder / "model.toml").write_text(toml.written(said), encoding="utf-8")


def _seen_from(folder, path):
    """The path from a folder, with forward slashes; absolute where the two are on different drives."""
    path, folder = path.resolve(), folder.resolve()
    return os.path.relpath(path, folder).replace(os.sep, "/") if path.anchor == folder.anchor else path.as_posix()


def _draw(folder, tree, data, say):
    several = len(data.outcomes) > 1
    for outcome, plain in whole.names(data.outcomes).items():
        for kind in ("fits", "vpc"):
            name = f"{kind}_{plain}" if several else kind
            try:
                figure = getattr(nb.plot, kind)(tree, outcome=outcome)
            except ValueError as error:  # such as no column to plot over
                say(f"note: no {name}.png: {error}")
                continue
            figure.savefig(folder / f"{name}.png", dpi=120)
            plt.close(figure)
    if tree["posterior"].sizes["chain"] > 1:  # ranks compare chains
        _ranks(folder, tree)


def _ranks(folder, tree):
    """Densities and ranks of the population by chain, of the chains that should agree."""
    names = [name for name in tree["posterior"].data_vars if name.startswith(("theta_", "omega_", "sigma_"))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it shows fewer variables than there are, and says so
        plots = arviz_plots.plot_rank_dist(tree, var_names=names, backend="matplotlib")
        plots.savefig(folder / "ranks.png", dpi=100)
    plt.close("all")
