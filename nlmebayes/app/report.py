"""``nlmebayes report``: a fit or a forecast as one HTML file."""

from pathlib import Path

import nlmebayes as nb
from nlmebayes.app.compare import trees_of
from nlmebayes.app.predict import opened
from nlmebayes.reporting.document import today
from nlmebayes.words import StatementError

RESULTS = "fit.nc", "forecast.nc"  # of a folder of ``nlmebayes fit``, of ``nlmebayes forecast``


def run(path, out, say, *, others=(), title=None, word=False, force=False):
    """Write the report of a fit or a forecast.

    Parameters
    ----------
    path : pathlib.Path
        A folder of ``nlmebayes fit`` or ``nlmebayes forecast``, or a NetCDF file.
    out : pathlib.Path
        A file that ends in ``.html``, or a folder, which gets the tables too, or one that ends in ``.docx``.
    others : sequence of pathlib.Path
        Fits to compare it with, called by their folders.
    word : bool
        Whether the tables are written as a Word document too.
    """
    tree = opened(_file(Path(path)))
    compared = trees_of(others) or None
    path = nb.report(tree, out, others=compared, title=title, date=today(), word=word, force=force)
    say(f"Written to {path}")


def _file(path):
    if not path.is_dir():
        return path
    found = [path / name for name in RESULTS if (path / name).is_file()]
    if not found:
        raise StatementError(f"the folder {path} holds no {' and no '.join(RESULTS)}; name one of nlmebayes fit")
    return found[0]
