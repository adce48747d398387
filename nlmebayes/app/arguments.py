"""The statement that the options of a command make; what is not given is not in it."""

from nlmebayes.data.below import WRITTEN
from nlmebayes.words import StatementError, assignments, number, one_or_each

# Options that are keys of [data] under the same name, and those that are keys of [sampling].
DATA = (
    "tidy",
    "time",
    "doses",
    "amount",
    "subject",
    "sort",
    "duplicates",
    "interpolation",
    "blq",
    "encoding",
    "decimal",
    "dates",
)
SAMPLING = ("method", "draws", "tune", "chains", "cores", "seed", "target_accept")


def said(given):
    """Tables ``data``, ``model``, ``sampling`` from the options of the command line by name."""
    options = {
        "name": given.get("model"),
        "options": assignments(given.get("option"), "--option"),
        "formulas": list(given.get("formula") or ()),
        "residual": one_or_each(given.get("residual"), "--residual", "OUTCOME=KIND"),
        "priors": _priors(assignments(given.get("prior"), "--prior", "'omega_id=HalfNormal(sigma=0.3)'")),
        "typical": {k: _typical(k, v) for k, v in assignments(given.get("typical"), "--typical").items()},
        "fixed": {k: number(v, f"--fixed {k}") for k, v in assignments(given.get("fixed"), "--fixed").items()},
        "links": assignments(given.get("link"), "--link", "NAME=LINK"),
        "inputs": assignments([text for text in given.get("input") or () if "=" in text], "--input", "INPUT=COLUMN"),
        "parametrisation": one_or_each(given.get("parametrisation"), "--parametrisation", "NAME=KIND"),
    }
    settings = {key: given.get(key) for key in SAMPLING}
    tables = {"data": data(given), "model": _given(options), "sampling": _given(settings)}
    return {section: table for section, table in tables.items() if table}


def data(given):
    """The ``[data]`` table."""
    columns = [text for text in given.get("input") or () if "=" not in text]
    return _given(
        {"file": given.get("data")}
        | {key: given.get(key) for key in DATA}
        | {"levels": list(given.get("level") or ()), "covariates": list(given.get("covariate") or ())}
        | {key: list(given.get(key) or ()) for key in ("ignore", "accept", "missing")}
        | {"columns": assignments(given.get("column"), "--column", "OLD=NEW")}
        | {"inputs": columns, "outcome": _outcome(given.get("outcome")), "lloq": _lloq(given.get("lloq"))}
    )


def _given(table):
    return {key: value for key, value in table.items() if value is not None and value not in ([], {}, ())}


def _priors(texts):
    """``{"cl": {"wt": text}}`` of ``{"cl[wt]": text}``; others as they are."""
    found = {}
    for name, text in texts.items():
        variable, bracket, label = name.partition("[")
        if bracket and not label.endswith("]"):
            raise StatementError(f"--prior {name}={text}: write --prior 'cl[wt]=Normal(mu=0, sigma=1)'; a coefficient "
                                 "whose name has '=' stands in a file")  # fmt: skip
        if variable in found and not (bracket and isinstance(found[variable], dict)):
            raise StatementError(f"--prior states {variable!r} and its coefficients; state one of them")
        if bracket:
            found.setdefault(variable, {})[label[:-1]] = text
        else:
            found[variable] = text
    return found


def _typical(name, text):
    """A number, or two: the typical value and its spread on the link scale."""
    values = [number(part, f"--typical {name}") for part in text.split(",")]
    if len(values) > 2:
        raise StatementError(f"--typical {name}={text}: write NAME=VALUE or NAME=VALUE,SPREAD")
    return values if len(values) == 2 else values[0]


def _outcome(texts):
    """Names, or ``{DVID: name}``."""
    parts = [part for text in texts or () for part in (text.split(",") if "=" in text else [text])]
    if any("=" in part for part in parts):
        return assignments(parts, "--outcome", "DVID=NAME")
    return parts[0] if len(parts) == 1 else parts


def _lloq(texts):
    """A number for all outcomes, ``{outcome: number}``, or ``"<"``."""
    found = one_or_each(texts, "--lloq", "OUTCOME=LIMIT")
    if isinstance(found, dict):
        return {outcome: number(text, f"--lloq {outcome}") for outcome, text in found.items()}
    return found if found == WRITTEN["lloq"] else number(found, "--lloq")
