"""docs/validation.md: from its template, the result files of benchmarks/results, and what is counted in the tests.

Run ``python docs/make_validation.py`` after a study was run again, or the template was changed.
"""

import re
import sys
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from scipy import stats

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import recovery
import results
import test_event_scenarios
import test_system_events

import nlmebayes as nb

DOCS = Path(__file__).parent
PAGE = DOCS / "validation.md"
NAMES = {
    "cl": "CL, L/h", "v": "V, L", "ka": "ka, 1/h", "omega_id cl": "omega CL", "omega_id v": "omega V",
    "omega_id ka": "omega ka", "sigma_conc_a": "sigma, mg/L",
}  # fmt: skip
OMEGAS = [name for name in NAMES if name.startswith("omega")]


def column(rows, name):
    return {key: row[name] for key, row in rows.items()}


def excess(rows, ours, theirs):
    """By how many per cent ours lies above theirs, for each omega."""
    return [100 * (rows[name][ours] / rows[name][theirs] - 1) for name in OMEGAS]


def three(values):
    return ", ".join(f"{values[name]:.3f}" for name in OMEGAS)


def short(number):
    """3e-06 as 3e-6."""
    return re.sub(r"e\+?(-?)0*", r"e\1", number).replace("10000", "1e4")


def reached(n):
    """How many of n intervals of 90 % cover the truth with a probability of 99.9 %."""
    return int(stats.binom.ppf(0.001, n, 0.9))


def command(study):
    return f"`{study['command']}`" if study["command"] else "command not recorded"


def versions(study):
    return ", ".join(f"{name} {number}" for name, number in study["versions"].items())


def counted():
    """What the tests and tables of today have."""
    return {
        "scenarios": len(test_event_scenarios.SCENARIOS),
        "integrated": len(test_system_events.POSSIBLE),
        "replicates": recovery.REPLICATES,
        "records": {"theophylline": len(nb.datasets.theophylline().observations)},
    }


def page():
    """The text of the page."""
    studies = results.read()
    reader = Environment(
        loader=FileSystemLoader(DOCS / "templates"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    reader.filters |= {"column": column, "short": short}
    reader.globals |= {
        "by": lambda name: command(studies[name]), "command": command,
        "excess": excess, "three": three, "reached": reached, "versions": versions, "NAMES": NAMES, "studies": studies,
    }  # fmt: skip
    return reader.get_template("validation.md").render(**studies, **counted())


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
