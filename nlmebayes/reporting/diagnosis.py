"""Diagnosis in a report: what was found first, then what was looked at."""

from nlmebayes.reporting.blocks import Points, Section, Words
from nlmebayes.reporting.tables import HEADS, number, table

GOOD = (
    "Nothing was found. Looked at: convergence and effective sample size of every population quantity, divergences, "
    "mean, scatter and extremes of replicated data, independence and exchangeability of residuals and effects, "
    "influence of single records, agreement of prior and data, accuracy of solvers."
)
TABLES = {
    "predictive": "Posterior predictive p-values: the share of replicated data above the observed.",
    "tests": "Independence and exchangeability, of each kind what says most; p adjusted for all tests.",
    "loo": "PSIS-LOO of records, given the effects of their group: how well more records of the same groups are "
           "predicted.",
    "groups": "Groups left out, their random effects integrated out: how well new groups are predicted.",
    "parametrisation": "In what each random effect was sampled.",
}  # fmt: skip


P = {"tests": "p, adjusted", "loo": "Effective parameters", "groups": "Effective parameters"}


def section(found):
    """The section of a `Diagnosis`, or of the refusal to make one, a text."""
    if isinstance(found, str):
        return Section("diagnosis", "Diagnosis", (Words(f"There is no diagnosis: {found}."),))
    first = Points(found.findings, alert=True) if found.findings else Words(GOOD)
    blocks = [first, Words(_chains(found))]
    for name, caption in TABLES.items():
        frame = getattr(found, name)
        if len(frame):
            frame = frame.groupby("test", sort=False).head(1).reset_index(drop=True) if name == "tests" else frame
            blocks.append(table(frame, f"diagnosis_{name}", caption, _heads(name, frame)))
    return Section("diagnosis", "Diagnosis", tuple(blocks))


def _heads(name, frame):
    return {column: P.get(name, column) if column == "p" else HEADS.get(column, column) for column in frame}


def brief(found):
    """The diagnosis in a line."""
    if isinstance(found, str):
        return "none: " + found
    if found.findings:
        return f"{len(found.findings)} finding{'s' * (len(found.findings) > 1)}, see Diagnosis"
    return "nothing was found"


def _chains(found):
    rhat, ess = found.population["rhat"].max(), found.population[["ess_bulk", "ess_tail"]].min(axis=None)
    parts = [f"largest R-hat {number(rhat, 3)}"] if rhat == rhat else []
    parts += [f"smallest effective sample size {number(float(ess), 0)}"] if ess == ess else []
    words = "; ".join([*parts, f"{found.divergences} divergent draws"])
    return f"{words[0].upper()}{words[1:]}."
