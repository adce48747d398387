"""`recommend` and `optimise`: which regimen brings the exposures of a patient into range, with what probability."""

import warnings
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from scipy.optimize import brentq

from nlmebayes import chart, storage
from nlmebayes.model import ModelError
from nlmebayes.prospect import Case, prospect
from nlmebayes.regimen import FOLLOW, NEW, Plan, Regimen, kept, varied
from nlmebayes.targets import Target

SURE = 0.98  # share of draws on the wrong side beyond which no better amount is looked for
GRID = 21  # values compared in a search without a root, and again around the best of them
TIMES = 4  # that this is done
CLOSE = 1e-6  # of the log loss decides between values that have the same probability
FOLD = 2.0  # by which the bracket of a search grows, at most DOUBLINGS times
DOUBLINGS = 30


@dataclass(frozen=True)
class Loss:
    """What it costs to be outside of a target's range.

    ``kind="outside"``: ``below`` if the exposure E is below low, ``above`` if it is above high.
    ``"relative"``: below * (low - E) / low, above * (E - high) / high. ``"log"``: below * log(low / E),
    above * log(E / high). A target's loss is multiplied by its ``weight``; losses of several targets add up.

    Examples
    --------
    Too much is three times as bad as too little:

    >>> import nlmebayes as nb
    >>> nb.Loss(below=1.0, above=3.0).of(nb.Trough(10, 15), [8.0, 12.0, 20.0])
    array([1., 0., 3.])
    """

    below: float = 1.0
    above: float = 1.0
    kind: Literal["outside", "relative", "log"] = "outside"

    def __post_init__(self):
        if self.kind not in ("outside", "relative", "log"):
            raise ValueError(f"Loss: no kind {self.kind!r}; there are outside, relative, log")
        if not (self.below >= 0 and self.above >= 0):
            raise ValueError(f"Loss: below {self.below} and above {self.above} must not be negative")

    def of(self, target, exposure):
        """Loss of each exposure, (draw,)."""
        exposure = np.asarray(exposure, dtype=float)
        under, over = exposure < target.low, exposure > target.high
        if self.kind == "outside":
            return target.weight * (self.below * under + self.above * over)
        low, high = (limit if limit > 0 else 1.0 for limit in (target.low, target.high))
        with np.errstate(divide="ignore"):
            short, long = np.where(under, exposure / low, 1.0), np.where(over, exposure / high, 1.0)
            if self.kind == "log":
                short, long = 1 - np.log(np.maximum(short, 0)), 1 + np.log(long)
                return target.weight * (self.below * (short - 1) + self.above * (long - 1))
        return target.weight * (self.below * (1 - short) + self.above * (long - 1))


def recommend(
    forecast, regimens, targets, *, model=None, outcome=None, loss=None, history=FOLLOW, occasions=NEW, now=None
):
    """Probability that each regimen brings each exposure below, into and above its range.

    Exposures are those of the individual prediction (without residual error), over the draws of the forecast, so
    that uncertainty about the patient and about the population both count. The patient's past doses count.

    Parameters
    ----------
    forecast : DataTree
        From `forecast`.
    regimens : sequence of Regimen or Plan
        Future doses to compare; `regimens` makes them from amounts, intervals and durations.
    targets : Target or sequence of Target
        With several, ``p_all`` is the probability that every one is met at once.
    model : Model, optional
        By default the one stored in the forecast.
    outcome : str, optional
        Which outcome, if there are several.
    loss : Loss, optional
        Ranks the regimens by expected loss; without one, by ``p_all``.
    history : {"follow", "replace", "none"}
        What becomes of the recorded doses: all stay, and the regimen follows; those from its start on are replaced by
        it; or all are left out, as if the patient started anew.
    occasions : {"new", "last", "each"}
        Of a patient with occasions: the regimen is a new one, whose effects are drawn from the population; goes on with
        the last; or each of its doses begins another.
    now : float, optional
        A recorded dose after this time is refused.

    Returns
    -------
    DataFrame
        One row per regimen and target, the best regimen first: ``p_below``, ``p_in``, ``p_above`` with Monte Carlo
        errors ``mcse_below``, ``mcse``, ``mcse_above`` (from the forecast's effective sample size), quantiles of the
        exposure, ``p_all``, and the expected ``loss`` over all targets with ``mcse_loss``.

    Raises
    ------
    ModelError
        Not a forecast; a regimen that does not start after the last recorded dose, unless it replaces it; an unknown
        outcome or state. Amounts or targets that look like another unit are warnings.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> regimens = [nb.Regimen(mg, start=24, every=12, doses=6) for mg in (100, 200, 300)]
    >>> table = nb.recommend(forecast, regimens, nb.Trough(5, 10, time=96))  # doctest: +SKIP
    """
    plans = [regimens] if isinstance(regimens, Regimen | Plan) else list(regimens)
    targets = [targets] if isinstance(targets, Target) else list(targets)
    if not plans or not targets:
        raise ValueError("recommend: needs at least one regimen and one target")
    case = Case.of(forecast, model=model, outcome=outcome, history=history, occasions=occasions)
    check(case, storage.training_dataset(forecast), plans, now)
    each = [exposures for _, exposures in evaluated(case, plans, targets)]
    for target, column in zip(targets, zip(*each, strict=True), strict=True):
        doubt = chart.other_unit(target, [np.median(x) for x in column])
        if doubt:
            warnings.warn(doubt, stacklevel=2)
    return ranked(tabled(plans, targets, each, loss or Loss(), case.size), loss)


def check(case, training, plans, now):
    """Refuse plans that cannot be; warn of doubts about chart and plans."""
    late = None if now is None else chart.not_yet(case.patient, now)
    if late:
        raise ModelError(late)
    for plan in plans:
        kept(case.patient, plan, case.history)
        for part in plan.parts:
            _into_a_state(part, case.model.structure)
    for doubt in chart.doubts(training, case.patient, plans):
        warnings.warn(doubt, stacklevel=3)


def _into_a_state(part, structure):
    states = getattr(structure, "states", ())
    known = [*states, *map(str, range(1, len(states) + 1))]
    if part.state is not None and part.state not in known:
        raise ModelError(f"the regimen {part}: no state {part.state!r}; there are {', '.join(known) or 'none'}")


def evaluated(case, plans, targets):
    """(plan, exposures of each target) in the order of the plans; those that differ in amounts only share work."""
    groups = {}
    for plan in plans:
        groups.setdefault(_shape(plan), []).append(plan)
    found = {}
    for same in groups.values():
        amounts = {id(plan): [part.amount for part in plan.parts] for plan in same}
        largest = np.max(list(amounts.values()), axis=0) if len(same) > 1 else None
        view = prospect(case, same[0], targets, largest)
        found |= {id(plan): [_known(x, plan) for x in view.exposures(amounts[id(plan)])] for plan in same}
    return [(plan, found[id(plan)]) for plan in plans]


def _shape(plan):
    """All of a plan but its amounts."""
    return tuple((p.start, p.every, p.doses, p.infusion, p.state, p.salt, p.steady, p.rate) for p in plan.parts)


def _known(exposure, plan):
    """Exposures without a prediction, as of a steady state that is never reached, count as above every limit."""
    unknown = np.isnan(exposure)
    if unknown.any():
        warnings.warn(
            f"the regimen {plan} has no solution in {100 * unknown.mean():.2g} % of the draws, such as no steady "
            "state; they count as above",
            stacklevel=4,
        )
    return np.where(unknown, np.inf, exposure)


def tabled(plans, targets, exposures, loss, size):
    """One row per plan and target."""
    rows = []
    for plan, each in zip(plans, exposures, strict=True):
        inside = [(x >= t.low) & (x <= t.high) for x, t in zip(each, targets, strict=True)]
        lost = np.sum([loss.of(t, x) for x, t in zip(each, targets, strict=True)], axis=0)
        shared = {
            "p_all": float(np.all(inside, axis=0).mean()), "loss": float(lost.mean()),
            "mcse_loss": float(lost.std() / np.sqrt(size)) if np.isfinite(lost).all() else np.inf,
        }  # fmt: skip
        rows += [_row(plan, t, x, hit, size) | shared for t, x, hit in zip(targets, each, inside, strict=True)]
    return pd.DataFrame(rows)


def _row(plan, target, exposure, hit, size):
    method = "linear" if np.isfinite(exposure).all() else "inverted_cdf"
    low, median, high = np.quantile(exposure, [0.05, 0.5, 0.95], method=method)
    shares = {"below": (exposure < target.low).mean(), "in": hit.mean(), "above": (exposure > target.high).mean()}
    errors = {name: float(np.sqrt(max(p * (1 - p), 1 / size / 4) / size)) for name, p in shares.items()}
    return {
        "regimen": str(plan), "amount": plan.amount, "every": plan.every, "duration": plan.infusion,
        "target": str(target), **{f"p_{name}": float(p) for name, p in shares.items()},
        "mcse": errors["in"], "mcse_below": errors["below"], "mcse_above": errors["above"],
        "q05": float(low), "median": float(median), "q95": float(high),
    }  # fmt: skip


def ranked(table, loss=None):
    """The table with the best regimen first: least expected loss, or without a loss the largest ``p_all``."""
    by, up = ("loss", True) if loss is not None else ("p_all", False)
    return table.sort_values(by, ascending=up, kind="stable").reset_index(drop=True)


def optimise(
    forecast, regimen, targets, *, optimum="in range", probability=None, vary="amount", between=None, given=None,
    loss=None, model=None, outcome=None, history=FOLLOW, occasions=NEW, now=None,
):  # fmt: skip
    """The best amount, interval or infusion of a regimen, among all there are and among those that can be given.

    Parameters
    ----------
    forecast, targets, loss, model, outcome, history, occasions, now
        As in `recommend`.
    regimen : Regimen or Plan
        What is not varied; of a plan the last part is varied. Its own amount is where the search starts.
    optimum : {"in range", "loss", "at least", "at most"}
        The largest ``p_all``; the least expected loss; P(exposure >= low) = ``probability``; P(exposure <= high) =
        ``probability``, of a single target.
    probability : float, optional
        Of the last two. With 0.5 the median exposure is the limit, and with a forecast of one draw the exposure itself.
    vary : {"amount", "every", "duration", "rate"}
    between : (float, float), optional
        Where to look. Of amounts, by default as far as they change anything.
    given : sequence of float, optional
        Values that can be given, e.g. ``range(250, 3001, 250)`` or `tablets`.

    Returns
    -------
    DataFrame
        The table of `recommend`, with the column ``rounded``: the optimum and, with ``given``, its neighbours that can
        be given, the best of them first.

    Raises
    ------
    ValueError
        No value between the limits gives the probability.
    ModelError
        As in `recommend`.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> table = nb.optimise(forecast, nb.Regimen(1000, start=48, every=24), nb.AUC(400), optimum="at least",
    ...                     probability=0.8, given=range(250, 3001, 250))  # doctest: +SKIP
    """
    targets = [targets] if isinstance(targets, Target) else list(targets)
    aim = Aim(optimum, probability, loss or Loss(), tuple(targets))
    case = Case.of(forecast, model=model, outcome=outcome, history=history, occasions=occasions)
    check(case, storage.training_dataset(forecast), [regimen], now)
    if vary not in ("amount", "every", "duration", "rate"):
        raise ValueError(f"optimise: cannot vary {vary!r}; write amount, every, duration or rate")
    search = Search(case, regimen, aim, vary, between)
    best = search.best()
    values = [best, *_neighbours(best, given)]
    plans = [varied(regimen, vary, value) for value in values]
    each = [exposures for _, exposures in evaluated(case, plans, targets)]
    table = tabled(plans, targets, each, aim.loss, case.size)
    table["rounded"] = np.repeat([i > 0 for i in range(len(values))], len(targets))
    scores = np.repeat([aim.score(value, x) for value, x in zip(values, each, strict=True)], len(targets))
    order = np.lexsort((np.arange(len(table)), scores, ~table["rounded"]))
    return table.iloc[order].reset_index(drop=True)


def _neighbours(best, given):
    """The values next to the best one that can be given."""
    if given is None:
        return []
    known = np.unique(np.asarray(list(given), dtype=float))
    if not known.size:
        raise ValueError("optimise: given= holds no value")
    place = np.searchsorted(known, best)
    return list(known[max(0, place - 1) : place + 1])


@dataclass(frozen=True)
class Aim:
    """What a search is for; see `optimise`."""

    optimum: str
    probability: float | None
    loss: Loss
    targets: tuple

    def __post_init__(self):
        if self.optimum not in ("in range", "loss", "at least", "at most"):
            raise ValueError(f"optimise: no optimum {self.optimum!r}; there are in range, loss, at least, at most")
        if self.root != (self.probability is not None):
            raise ValueError("optimise: give probability= with 'at least' and 'at most', and with no other optimum")
        if self.root and not 0 < self.probability < 1:
            raise ValueError(f"optimise: the probability {self.probability} is not between 0 and 1")
        if self.root and len(self.targets) != 1:
            raise ValueError(f"optimise: {self.optimum!r} takes a single target; got {len(self.targets)}")
        if self.root and not np.isfinite(self.limit):
            raise ValueError(f"optimise: {self.optimum!r} needs a limit that is finite; {self.targets[0]} has none")

    @property
    def root(self):
        """Whether a probability is asked for, instead of the best of something."""
        return self.optimum in ("at least", "at most")

    @property
    def limit(self):
        """The limit that the probability is about."""
        return self.targets[0].low if self.optimum == "at least" else self.targets[0].high

    def gap(self, exposures):
        """What is zero where the probability is as asked: a quantile of the exposure minus the limit."""
        share = 1 - self.probability if self.optimum == "at least" else self.probability
        return float(np.quantile(exposures[0], share)) - self.limit

    def lost(self, exposures):
        """What is least where the search ends."""
        pairs = list(zip(exposures, self.targets, strict=True))
        if self.optimum == "loss":
            return float(np.mean(np.sum([self.loss.of(t, x) for x, t in pairs], axis=0)))
        together = np.all([(x >= t.low) & (x <= t.high) for x, t in pairs], axis=0).mean()
        far = np.sum([Loss(kind="log").of(t, np.clip(x, 1e-30, 1e30)) for x, t in pairs], axis=0).mean()
        return float(CLOSE * far - together)

    def score(self, value, exposures):
        """By which values that can be given are ranked, least first: the smallest (or largest) one that does it."""
        if not self.root:
            return self.lost(exposures)
        gap = self.gap(exposures)
        reached = gap >= -1e-9 * abs(self.limit) if self.optimum == "at least" else gap <= 1e-9 * abs(self.limit)
        return abs(gap) if reached else np.inf


@dataclass(frozen=True, eq=False)
class Search:
    """A search for the best value of one property of a plan."""

    case: Case
    plan: object
    aim: Aim
    vary: str
    between: tuple | None

    def best(self):
        """The best value."""
        low, high = self.between or self._bracket()
        if not 0 < low < high:
            raise ValueError(f"optimise: between={low:g} and {high:g} is no range of positive values")
        exposures = self._view(high)
        return self._root(exposures, low, high) if self.aim.root else self._least(exposures, low, high)

    def _view(self, high):
        """A function of the varied value that gives exposures."""
        *first, last = self.plan.parts
        fixed = [part.amount for part in first]
        if self.vary != "amount" or last.rate is not None:
            return lambda value: self._direct(varied(self.plan, self.vary, value))
        view = prospect(self.case, self.plan, self.aim.targets, np.array([*fixed, high]))
        return lambda value: [_known(x, self.plan) for x in view.exposures([*fixed, value])]

    def _direct(self, plan):
        return evaluated(self.case, [plan], self.aim.targets)[0][1]

    def _bracket(self):
        """Amounts so small, and so large, that nearly all draws are below, or above, what is wanted."""
        if self.vary != "amount":
            raise ValueError(f"optimise: say between which values {self.vary} may vary, between=(low, high)")
        start = self.plan.amount or 1.0
        exposures = self._view(start * FOLD)
        low = self._grown(exposures, start, 1 / FOLD, lambda t, x: (x < t.low).mean())
        high = self._grown(exposures, start, FOLD, lambda t, x: (x > (t.high if np.isfinite(t.high) else t.low)).mean())
        return min(low, start / FOLD), max(high, start * FOLD)

    def _grown(self, exposures, value, fold, share):
        for _ in range(DOUBLINGS):
            if any(share(t, x) >= SURE for t, x in zip(self.aim.targets, exposures(value), strict=True)):
                break
            value *= fold
        return value

    def _root(self, exposures, low, high):
        def gap(value):
            return self.aim.gap(exposures(value))

        ends = gap(low), gap(high)
        if ends[0] * ends[1] > 0:
            raise ValueError(
                f"optimise: no {self.vary} between {low:g} and {high:g} gives {self.aim.optimum} {self.aim.limit:g} "
                f"the probability {self.aim.probability:g}"
            )
        return float(brentq(gap, low, high, rtol=1e-8))

    def _least(self, exposures, low, high):
        """The best of a grid, then of finer ones around it; the middle of equally good ones."""
        for _ in range(TIMES):
            values = np.geomspace(low, high, GRID)
            lost = np.array([self.aim.lost(exposures(value)) for value in values])
            best = np.flatnonzero(lost <= lost.min() + 1e-12)
            place = best[len(best) // 2]
            found, low, high = values[place], values[max(best[0] - 1, 0)], values[min(best[-1] + 1, GRID - 1)]
        return float(found)
