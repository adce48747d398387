"""`residuals`: every residual of every record, in one table; docs/criticism.md says what each is."""

from dataclasses import replace

import numpy as np
import pandas as pd
from scipy import special

from nlmebayes.arguments import Count, Seed, Share, Tree, checked
from nlmebayes.criticism import limits
from nlmebayes.criticism.limits import Limit
from nlmebayes.criticism.linearised import Linearised, weighted
from nlmebayes.criticism.loo import loo_pit
from nlmebayes.criticism.npde import ABOVE, MEASURED, errors, inside, randomised
from nlmebayes.criticism.replicates import study_of
from nlmebayes.criticism.tad import since_dose_of
from nlmebayes.data.validate import RESERVED
from nlmebayes.errors import ModelError, warn
from nlmebayes.evaluation.evaluator import effects, spread
from nlmebayes.evaluation.fitted import fitted
from nlmebayes.evaluation.tails import tails
from nlmebayes.model.model import Data, Model
from nlmebayes.outcomes.hazards import SEEN, WITHIN

DRAWS = 1000  # of a posterior, from which bands and LOO-PIT are computed
OF_SIMULATION = ("EPRED", "ERES", "EWRES", "npd", "npde")
CONDITIONAL = {"IPRED", "IRES", "IWRES", "CWRES", "cox_snell", "martingale"}
COLUMNS = (
    "PRED", "RES", "WRES", "IPRED", "IPRED_eti_lb", "IPRED_eti_ub", "IRES", "IWRES", "CWRES", *OF_SIMULATION, "LOO_PIT",
    "LOO_khat", "npd_eti_lb", "npd_eti_ub", "cox_snell", "martingale",
)  # fmt: skip


@checked
def residuals(
    tree: Tree, data: Data | None = None, *, replicates: Count = 1000, lloq: Limit | None = None,
    uloq: Limit | None = None, populations: Count | None = None, ci_prob: Share = 0.9, random_seed: Seed | None = 0,
    model: Model | None = None,
) -> pd.DataFrame:  # fmt: skip
    """Every residual of every record.

    Parameters
    ----------
    tree : DataTree
        From `fit`, `forecast` or `population`.
    data : Dataset, optional
        By default those that the tree was made on. They may be new: then `population` serves external evaluation.
    replicates : int
        Studies that are simulated with other individuals; more than any subject has records.
    lloq, uloq : float, str or dict of outcome -> float or str, optional
        Limits of quantification of all records, a number or a column; by default what censored records have in common.
    populations : int, optional
        How many draws of a posterior have replicates of their own, for bands of npd; it takes so many times longer.
    ci_prob : float
        Of the bands of IPRED and npd over the draws of a posterior.
    random_seed : int, optional
    model : Model, optional
        That of the tree, where its structure cannot be imported again; by default the one stored in it.

    Returns
    -------
    DataFrame
        One row per record and outcome: ``row``, the levels, the time, ``outcome``, ``DV``, ``CENS`` (1 below, -1 above
        quantification, 0 measured), the covariates and inputs, ``tad`` (time after dose) and ``dose_number``; then

        ========================== =============================================================================
        PRED, RES, WRES            at no effects, under the mean of the posterior
        IPRED, IRES, IWRES, CWRES  at the conditional modes of the effects under that mean; FOCE with interaction
        IPRED_eti_lb, IPRED_eti_ub of the posterior of groups that the tree knows
        EPRED, ERES, EWRES         by simulation from the posterior, with new individuals
        npd, npde                  prediction discrepancies and prediction distribution errors, see `npde`
        npd_eti_lb, npd_eti_ub     of the npd of measurements under each of some ``populations``
        LOO_PIT, LOO_khat          share of the posterior predictive below a record, given all others; k-hat, above 0.7
                                   of which it is not to be trusted
        cox_snell, martingale      of times to an event: cumulative hazard at the time, and event minus it
        ========================== =============================================================================

        What a record does not have is missing: RES, IRES, IWRES, WRES and CWRES of a censored one; IWRES where the
        residual has no variance; WRES, CWRES and EWRES of counts and categories, whose npd are randomised quantile
        residuals; everything but PRED and IPRED (cumulative hazards), npd and the last two of times to an event.
        Predictions and the residuals from them are per trial and per unit of exposure.

    Raises
    ------
    ModelError
        Fewer replicates than records of a subject; limits that are not those of all records.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> from model_zoo import OneCompartment
    >>> model = nb.Model(OneCompartment("first-order"), residual=nb.Combined())
    >>> tree = nb.fit(model, nb.datasets.theophylline(), method="ml")
    >>> table = nb.residuals(tree, random_seed=1)
    >>> table[["id", "time", "DV", "PRED", "IPRED", "CWRES"]].round(1).head(3)
      id  time   DV  PRED  IPRED  CWRES
    0  1   0.0  0.7   0.0    0.0    2.9
    1  1   0.2  2.8   3.1    3.6   -1.3
    2  1   0.6  6.6   5.7    6.4    0.2
    """
    study = study_of(fitted(tree, model), data)
    rng = np.random.default_rng(random_seed)
    linearised = Linearised(study.model, study.design, study.middle)
    typical, modes = study.at(), study.at(linearised.effects(linearised.modes.u))
    places = {"WRES": linearised.typical, "CWRES": linearised.modes}
    weights = {name: weighted(linearised, place) for name, place in places.items()}
    lost = _lost(study, linearised.modes)
    simulated, posterior = study.replicated(replicates, rng), _posterior(study, rng)
    bands = _npd(study, populations, replicates, ci_prob, rng) if populations else {}
    tables = []
    for o in study.design.outcomes:
        residual, frame = study.model.residual_of(o.name), study.frame(o.name)
        found = {"PRED": typical[o.name], "IPRED": modes[o.name]}
        if residual.folds:
            found |= _event(o, modes[o.name], simulated[o.name], rng)
        else:
            flags, *limit = limits.quantified(o, frame, lloq, uloq)
            found |= {"CENS": flags} | _plain(residual, o, linearised, typical[o.name], modes[o.name])
            found |= {name: each[o.name] for name, each in weights.items() if o.name in each}
            found |= _simulated(residual, o, flags, limit, simulated[o.name], rng)
        found |= _bands(study, posterior, o, found["CENS"], ci_prob, rng) | bands.get(o.name, {})
        for name in CONDITIONAL & found.keys():
            found[name] = np.where(np.isin(o.subject_number, lost), np.nan, found[name])
        tables.append(_labelled(study.data, frame, found))
    return pd.concat(tables).sort_index(kind="stable").reset_index(drop=True)


def _lost(study, modes):
    """Numbers of the subjects without conditional modes, of whom a warning tells."""
    if modes.lost:
        names = {n: label for o in study.design.outcomes for n, label in zip(o.subject_number, o.subject, strict=True)}
        named = ", ".join(str(names[n]) for n in modes.lost if n in names)
        warn(
            f"residuals: the most probable effects of {study.data.subject} {named} were not found, and so no IPRED, "
            "IRES, IWRES and CWRES of theirs; look at their records"
        )
    return modes.lost


def _labelled(data, frame, found):
    """The table of an outcome: what a record is, then its residuals."""
    first = ["row", *data.levels, *filter(None, [data.time]), "outcome"]
    rest = [c for c in frame.columns if c not in RESERVED and c not in first]
    none = np.full(len(frame), np.nan)
    return pd.concat([
        frame[first].assign(DV=frame["value"], CENS=found["CENS"]),
        frame[rest].rename(columns={c: f"{c}_data" for c in rest if c in (*COLUMNS, "DV", "CENS")}),
        since_dose_of(data, frame),
        pd.DataFrame({c: found.get(c, none) for c in COLUMNS}, index=frame.index),
    ], axis=1)  # fmt: skip


def _plain(residual, o, linearised, typical, modes):
    """RES, IRES and IWRES of measurements that have a place on the scale of the prediction."""
    try:
        y = np.where(o.censored, np.nan, residual.of_one(o.values, o.columns))
    except ModelError:  # of an ordered category
        return {}
    found = {"RES": y - typical, "IRES": y - modes}
    try:
        each = linearised.compared(linearised.modes, o.name)
    except ModelError:  # no variance is known of it
        return found
    with np.errstate(all="ignore"):
        scaled = (each.y - each.f) / each.sd
    return found | {"IWRES": np.where(o.censored | ~np.isfinite(scaled), np.nan, scaled)}


def _simulated(residual, o, flags, limit, simulated, rng):
    """EPRED, ERES, EWRES, npd and npde of records that vary between replicates and were measured or censored."""
    found = {name: np.full(len(o.row), np.nan) for name in OF_SIMULATION}
    seen = np.isfinite(o.values) | o.censored
    varies = np.ptp(simulated, axis=0) > 0
    if (seen & ~varies).any():
        known = o.row[seen & ~varies]
        warn(
            f"residuals: {len(known)} records of {o.name} are the same in all replicates, so that they have no npd and "
            f"npde (row {known[0]})"
        )
    used = seen & varies
    try:
        y, every = (residual.of_one(x, o.columns) for x in (o.values, simulated))
    except ModelError:
        y, every = o.values, simulated
    else:
        found["EPRED"] = every.mean(axis=0)
        found["ERES"] = np.where(seen, y - found["EPRED"], np.nan)
    if not used.any():
        return found
    y, every = y[used], every[:, used]
    if residual.discrete:
        y, every = (special.ndtri(randomised(x, every, rng)) for x in (y, every))
    own = [None if x is None else x[used] for x in limit]
    each = errors(y, every, o.subject[used], flags[used], *own, rng=rng)
    found["npd"][used], found["npde"][used] = each["npd"], each["npde"]
    if not residual.discrete:
        found["EWRES"][used], found["ERES"][used] = each["ewres"], each["eres"]
    return found


def _event(o, hazard, simulated, rng):
    """What times to an event have: discrepancies, Cox-Snell and martingale residuals."""
    seen, many = o.nodes.seen, len(simulated)
    value, lower, upper = o.values, o.lower, o.upper
    exact, within, left = seen == SEEN, seen == WITHIN, o.censored & np.isposinf(upper)
    low = np.where(exact, randomised(value, simulated, rng), (simulated <= lower).mean(axis=0))
    high = np.where(exact, low, np.where(within, (simulated <= upper).mean(axis=0), 1.0))
    share = inside(low + rng.random(len(low)) * (high - low), many, True, rng)
    known = exact | within | left
    return {
        "CENS": np.where(left, ABOVE, MEASURED),
        "npd": np.where(known, special.ndtri(share), np.nan),
        "cox_snell": np.where(exact | left, hazard, np.nan),
        "martingale": np.where(exact | left, exact - hazard, np.nan),
    }


def _posterior(study, rng):
    """Draws of the posterior, predictions at the effects that it knows, and measurements around them; None of one draw,
    and where it knows none."""
    if study.draws.size < 2 or not any(here.any() for here in study.known().values()):
        return None
    draws = spread(study.draws, min(DRAWS, study.draws.size))
    f = study.predictions(draws, effects(study.design, draws, rng))
    return draws, f, study.measured(f, draws, rng)


def _bands(study, posterior, o, flags, ci_prob, rng):
    """IPRED_eti_lb, IPRED_eti_ub and LOO_PIT of the records whose groups the posterior knows."""
    if posterior is None:
        return {}
    draws, f, drawn = posterior
    low, high = np.quantile(o.read(f[o.name]), tails(ci_prob), axis=0)
    share, khat = loo_pit(study, o, draws, f[o.name], drawn[o.name], flags, rng)
    found = {"IPRED_eti_lb": low, "IPRED_eti_ub": high, "LOO_PIT": share, "LOO_khat": khat}
    return {name: np.where(study.known()[o.name], x, np.nan) for name, x in found.items()}


def _npd(study, populations, replicates, ci_prob, rng):
    """npd_eti_lb and npd_eti_ub by outcome, of measurements that are no counts: of npd under each of some draws."""
    measured = [
        o for o in study.design.outcomes
        if not (study.model.residual_of(o.name).folds or study.model.residual_of(o.name).discrete)
    ]  # fmt: skip
    every = {o.name: [] for o in measured}
    for b in range(populations):
        one = spread(study.draws, populations).take(np.array([b]))
        simulated = replace(study, draws=one).replicated(replicates, rng)
        for o in measured:
            every[o.name].append(inside((simulated[o.name] < o.values).mean(axis=0), replicates, True, rng))
    found = {}
    for o in measured:
        low, high = np.quantile(special.ndtri(every[o.name]), tails(ci_prob), axis=0)
        seen = np.isfinite(o.values) & ~o.censored
        found[o.name] = {"npd_eti_lb": np.where(seen, low, np.nan), "npd_eti_ub": np.where(seen, high, np.nan)}
    return found
