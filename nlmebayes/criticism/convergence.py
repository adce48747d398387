"""Did the chains explore the posterior, and is it where the pilot expected it? Sentences for `check`."""

import numpy as np

from nlmebayes.evaluation.fitted import ESTIMATES, said
from nlmebayes.evaluation.weights import KHAT

RHAT, ESS = 1.01, 400  # Vehtari et al. 2021, Bayesian Anal. 16, 667-718
MIXED = 1.05  # R-hat above which nothing else is concluded from the draws
APART = 4  # SDs within a chain between the means of chains that sit in different modes
ENERGY = 0.3  # E-BFMI below which it is reported; Betancourt 2016, arXiv:1604.00695
HIGHEST = 0.99  # acceptance beyond which there is no higher one to advise
CROWD = 10  # divergences from which on it is asked where they lie
WORDS = {"ml": "maximum likelihood", "reml": "restricted maximum likelihood", "map": "the mode of the posterior"}
UNSURE = 0.1  # error of -2 log L that is named
OPEN = 300  # % of an estimate, its standard error
CONDITION = 1000  # of the correlations of estimates, beyond which they are ill-conditioned (NONMEM's usual limit)
STILL = 1e-9  # relative SD of the draws of a chain that does not move
SHIFTED = 4  # SDs between the pilot, or the prior, and the posterior that are reported


def mixed(population):
    """Whether chains agree well enough for anything else to be concluded from the draws of a summary."""
    return not population["rhat"].max() > MIXED


def findings(tree, design, population, divergences):
    """Sentences on the chains of a tree, its summary ``population`` and how many draws diverged."""
    yield from _approximated(tree)
    if ESTIMATES in tree.children:
        yield from _estimated(tree)
        return
    yield from _still(tree)
    yield from _convergence(population, divergences, tree, design)
    yield from _apart(tree, design)
    yield from _geometry(tree, design)
    yield from _piloted(tree, mixed(population))


def _approximated(tree):
    """What an approximation is worth."""
    settings = said(tree, "nlmebayes_fit")
    if settings.get("khat") is not None:
        khat = settings["khat"]
        use = "its draws are weighted to the posterior" if khat <= KHAT else "its draws are not those of the posterior"
        yield f"an approximation by {settings['method']}, k-hat {khat:.2f}: {use}. Before you report, fit with nuts"


def _estimated(tree):
    """What maximum likelihood leaves open."""
    told, about = tree[ESTIMATES].to_dataset(), said(tree, "nlmebayes_fit")
    yield (
        f"{WORDS[about['method']]}, -2 log L {about['minus2ll']:.2f}: one population with standard errors, no "
        "posterior; for probabilities, and where subjects are few, fit with nuts"
    )
    if not about["converged"]:
        yield f"the search of the maximum did not end in {about['rounds']} rounds: estimates are not the likeliest ones"
    if about["minus2ll_error"] > UNSURE:
        off = about["minus2ll_error"]
        yield f"-2 log L may be off by {off:.2g}: differences of that size between models say nothing"
    if about["boundary"]:
        yield (
            f"{', '.join(about['boundary'])}: the estimate is at its boundary 0, where Wald's standard error does not "
            "hold, and -2 log L falls by less than chi-square says; leave the effect out, or fit with nuts"
        )
    names = told["quantity"].to_numpy()[np.isnan(told["se"])]
    lost = [name for name in names if name not in about["boundary"]]
    if lost:
        yield f"no standard error of {', '.join(lost)}: the data leave a combination of the parameters open"
    open_ended = told["quantity"].to_numpy()[(told["rse"] > OPEN) & told["positive"]]
    if len(open_ended):
        yield (
            f"the standard error of {', '.join(open_ended)} is more than {OPEN / 100:g} times the estimate: the data "
            "leave it open, and the likelihood is flat there; leave that part out, or state priors (nuts, map)"
        )
    number = told.attrs["condition_number"]
    if number > CONDITION:
        yield (
            f"the condition number of the estimates is {number:.0f} (> {CONDITION}): some of them can hardly be told "
            "apart; look at their correlations in tree['estimates']"
        )


def _convergence(population, divergences, tree, design):
    worst = population.loc[population["rhat"].idxmax()] if population["rhat"].notna().any() else None
    if worst is not None and worst["rhat"] > RHAT:
        yield (
            f"R-hat of {worst['quantity']} is {worst['rhat']:.3f} (> {RHAT}): the chains disagree, so no number "
            "here can be trusted. Look at each chain: two modes (e.g. ka and cl/v exchanged) or too few draws"
        )
    least = population.loc[population["ess_bulk"].idxmin()]
    effects = {name for level in design.levels for e in level.effects for name in (e.name, e.parameter)}
    if least["ess_bulk"] < ESS and "sample_stats" in tree.children:
        varies = not effects.isdisjoint(least["quantity"].split())
        other = ", or another parametrisation (centred suits many samples per group, noncentred few)" if varies else ""
        yield f"ESS of {least['quantity']} is {least['ess_bulk']:.0f} (< {ESS}): take more draws{other}"
    tail = population.loc[population["ess_tail"].idxmin()] if population["ess_tail"].notna().any() else least
    if tail["ess_tail"] < ESS <= least["ess_bulk"] and "sample_stats" in tree.children:
        yield (
            f"ESS of the tails of {tail['quantity']} is {tail['ess_tail']:.0f} (< {ESS}): its interval is uncertain, "
            "as where the data bound it on one side only. Take more draws, or state a prior of what is known"
        )
    if divergences:
        total, accept = tree["sample_stats"]["diverging"].size, said(tree, "nlmebayes_fit").get("target_accept")
        other = "change the parametrisation of the level with the smallest omega" if effects else "state tighter priors"
        mend = other.capitalize() if (accept or 0) >= HIGHEST else f"Raise target_accept, or {other}"
        yield f"{divergences} of {total} draws diverged: the sampler missed a region. {mend}"


def _still(tree):
    """Chains that stayed where they started."""
    sizes = [
        (x.std("draw") / (np.abs(x).mean("draw") + 1e-300)).to_numpy().reshape(tree["posterior"].sizes["chain"], -1)
        for name, x in tree["posterior"].data_vars.items() if name.startswith("theta_")
    ]  # fmt: skip
    moved = np.concatenate(sizes, axis=1).max(axis=1) > STILL if sizes else np.ones(1, dtype=bool)
    if not moved.all():
        yield (
            f"chain {', '.join(map(str, np.flatnonzero(~moved)))} did not move: it started where steps are too long. "
            "Centre and scale covariates of a size far from 1, or fit with another random_seed"
        )


def _apart(tree, design):
    """Groups and effects whose chains do not overlap: they sit in different modes."""
    for level in design.levels:
        eta = tree["posterior"][f"eta_{level.name}"].to_numpy()  # (chain, draw, group, effect)
        mean = eta.mean(axis=1)
        away = np.ptp(mean, axis=0) / eta.std(axis=1).max(axis=0)  # (group, effect)
        for k, effect in enumerate(level.effects):
            groups = np.flatnonzero(away[:, k] > APART)
            if len(groups):
                who = ", ".join(level.labels[g] for g in groups[:8]) + (", ..." if len(groups) > 8 else "")
                worst = groups[np.argmax(away[groups, k])]
                means = ", ".join(f"{value:.2g}" for value in mean[:, worst, k])
                yield (
                    f"the chains sit in different modes of {effect.name} for {level.name} {who}: the mean eta of "
                    f"{level.labels[worst]} is {means}, chain by chain. Constrain the parameters (priors, the "
                    "structure's order), or leave out the chains with the lower log-density"
                )


def _geometry(tree, design):
    """Energy that changes too slowly, and divergences that crowd where an SD is small."""
    if "sample_stats" not in tree.children or "energy" not in tree["sample_stats"]:
        return
    energy = tree["sample_stats"]["energy"].to_numpy()
    moved = (np.diff(energy, axis=1) ** 2).mean(axis=1) / np.maximum(energy.var(axis=1), 1e-300)
    if (moved < ENERGY).any():
        yield (
            f"the energy moves slowly (E-BFMI {moved.min():.2f} < {ENERGY}): the posterior has a funnel or heavy "
            "tails. Give the SDs tighter priors"
            + (", or try another parametrisation" if any(v.startswith("eta_") for v in tree["posterior"]) else "")
        )
    diverging = tree["sample_stats"]["diverging"].to_numpy().astype(bool)
    if diverging.sum() < CROWD:
        return
    for level in design.levels:
        omega = tree["posterior"][f"omega_{level.name}"].to_numpy()
        for k, effect in enumerate(level.effects):
            small = omega[..., k] < np.quantile(omega[..., k], 0.1)
            if small[diverging].mean() > 0.5:
                yield (
                    f"most divergences lie where omega_{level.name} of {effect.name} is small: a funnel. The data "
                    f"hardly tell it from 0: leave the effect out, or give omega_{level.name} a prior away from 0"
                )


def _piloted(tree, converged):
    """Whether the pilot, which the parametrisation rests on, was near the posterior."""
    pilot = said(tree, "nlmebayes_pilot")
    if pilot.get("failure"):
        yield (
            f"the pilot failed ({pilot['failure']}): effects are as good as non-centred, and the chains started at the "
            "typical values"
        )
    for name, values in pilot.items():
        if name not in tree["posterior"] or not name.startswith("theta_"):
            continue
        drawn = tree["posterior"][name]
        away = np.abs(drawn.mean(("chain", "draw")).to_numpy() - values) / drawn.std(("chain", "draw")).to_numpy()
        if np.max(away, initial=0.0) > SHIFTED:
            words = (
                "so that the sampler was slower than it need be; its draws are right all the same"
                if converged
                else "which may be why the chains disagree"
            )
            yield (
                f"the pilot was {np.max(away):.1f} SDs from the posterior of {name}, {words}. Better typical values "
                "(typical=) would help"
            )
