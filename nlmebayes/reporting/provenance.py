"""How a report was made, so that somebody else can make it again."""

import hashlib
import json
import platform
from importlib.metadata import version
from pathlib import PurePath

import pandas as pd

import nlmebayes
from nlmebayes.errors import ModelError
from nlmebayes.evaluation.fitted import said
from nlmebayes.evaluation.storage import FRAMES
from nlmebayes.files.versions import WRITTEN
from nlmebayes.model.source import code
from nlmebayes.reporting.blocks import Code, Points, Section, Words
from nlmebayes.reporting.tables import table

FIT = "nlmebayes_fit"  # attribute of a tree of a fit: its settings
LIBRARIES = ("pymc", "pytensor", "nutpie", "numba", "numpy", "scipy", "pandas", "xarray", "arviz", "matplotlib")
HASHED = (
    "SHA-256 of the data as they were fitted: of nb.training_dataset(tree), the frame's to_csv(index=False) in UTF-8. "
    "The report names no machine and no user, and the same fit gives the same file."
)


def section(known, doubts):
    """The section on how it was made."""
    blocks = [
        table(made_with(known), "made_with", "What it was made with."),
        table(hashes(known.training_data), "data_hashes", HASHED),
        Words("To make it again, read the data as they were read, state the model and fit it with the same seed:"),
        Code(again(known)),
    ]
    blocks += [Words("Warnings while this report was made:"), Points(tuple(doubts))] if doubts else []
    return Section("made", "How it was made", tuple(blocks))


def made_with(known):
    """Settings of the fit and versions, a row each."""
    fitted_by = said(known.tree, WRITTEN).get("version", "unknown")
    rows = {"data": source(known.training_data), "fitted by": f"nlmebayes {fitted_by}"}
    rows |= {name.replace("_", " "): _plain(value) for name, value in said(known.tree, FIT).items()}
    rows |= {"reported by": f"nlmebayes {nlmebayes.__version__}", "Python": platform.python_version()}
    rows["libraries"] = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    return pd.DataFrame({"What": list(rows), "Value": list(rows.values())})


def _plain(value):
    return f"{value:.6g}" if isinstance(value, float) else value if isinstance(value, str) else json.dumps(value)


def source(data):
    """Where the data are from, without the folders of somebody's machine."""
    path = PurePath(data.source)
    return path.name if path.is_absolute() else str(data.source)


def hashes(data):
    """SHA-256 of each frame of a dataset that has rows."""
    rows = []
    for name in FRAMES:
        frame = getattr(data, name)
        if len(frame):
            text = frame.to_csv(index=False, lineterminator="\n")
            rows.append({"Frame": name, "Rows": len(frame), "SHA-256": hashlib.sha256(text.encode()).hexdigest()})
    return pd.DataFrame(rows)


def again(known):
    """The statement as text, and the call that fits it."""
    try:
        stated = code(known.model)
    except ModelError as refusal:
        stated = f"# {refusal}\n"
    settings = said(known.tree, FIT)
    names = ("method", "draws", "tune", "chains", "random_seed")
    if settings.get("method") not in ("nuts", None):
        names = ("method", "draws", "random_seed") if "draws" in settings else ("method", "random_seed")
    given = ", ".join(f"{name}={settings[name]!r}" for name in names if settings.get(name) is not None)
    data = f"# data: {source(known.training_data)}, levels {known.training_data.levels}"
    return f"{stated}{data}\ntree = nb.fit(model, data{', ' if given else ''}{given})\n"
