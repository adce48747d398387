"""The parameters of a fit in a report."""

from nlmebayes.evaluation.fitted import ESTIMATES
from nlmebayes.reporting.blocks import Section, Words
from nlmebayes.reporting.tables import HEADS, table
from nlmebayes.summaries.summary import shrinkage, summarised

SHOWN = (
    "quantity", "unit", "mean", "sd", "rse_pct", "eti_lb", "eti_ub", "cv_pct", "shrinkage_pct", "rhat", "ess_bulk",
)  # fmt: skip
TYPICAL = "Typical values: random effects 0, covariates at their reference, in the units of the parameters"
COVARIATES = "Effects of covariates, on the scale of the link"
SPREAD = "Differences between groups: SDs (omega) and correlations, on the scale of the link"
SCATTER = "Residuals: SDs"
NOTES = (
    "RSE: posterior SD in percent of the mean. CV: 100·√(exp(ω²) − 1), where the link is a logarithm. Shrinkage: "
    "100·(1 − SD of the individual means / ω), high where a subject's records say little of him. R-hat is 1 where "
    "chains agree; ESS is how many independent draws they are worth."
)
WALD = "Estimates of maximum likelihood with standard errors and Wald's intervals."


def section(known, ci_prob):
    """The section with all parameters of the population."""
    frame = summarised(known, ci_prob)
    pulled = _pulled(known)
    frame["shrinkage_pct"] = [pulled.get(name, float("nan")) for name in frame["quantity"]]
    groups = [_group(name) for name in frame["quantity"]]
    order = sorted(range(len(frame)), key=lambda i: (TYPICAL, COVARIATES, SPREAD, SCATTER).index(groups[i]))
    frame, groups = frame.iloc[order].reset_index(drop=True), [groups[i] for i in order]
    heads = {name: HEADS.get(name, name) for name in SHOWN}
    estimated = ESTIMATES in known.tree.children
    heads |= {"mean": "Estimate", "sd": "SE"} if estimated else {}
    caption = WALD if estimated else f"Posterior means, SDs and equal-tailed {100 * ci_prob:g} % intervals."
    found = table(frame, "parameters", caption, heads, ci_prob, groups)
    return Section("parameters", "Parameters", (found, Words(NOTES)))


def _pulled(known):
    """Shrinkage by the name of the SD."""
    if any(f"eta_{level.name}" not in known.posterior for level in known.training.levels):
        return {}
    rows = shrinkage(known.tree, known.training).to_dict("records")
    return {f"omega_{row['level']} {row['effect']}": row["shrinkage_pct"] for row in rows}


def _group(quantity):
    if quantity.startswith("sigma_"):
        return SCATTER
    if quantity.startswith(("omega", "corr_")):
        return SPREAD
    return COVARIATES if ": " in quantity else TYPICAL
