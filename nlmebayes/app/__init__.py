"""Jobs behind the command line; each loads on first use, so that ``nlmebayes --help`` answers at once."""

from nlmebayes.runtime.imports import imported

_JOBS = (
    "arguments", "bedside", "case", "compare", "demo", "design", "fit", "forecast", "listing", "models", "predict",
    "report", "statement", "zoo",
)  # fmt: skip


def __getattr__(name):
    if name in _JOBS:
        return imported(f"nlmebayes.app.{name}")
    raise AttributeError(f"module 'nlmebayes.app' has no attribute {name!r}")
