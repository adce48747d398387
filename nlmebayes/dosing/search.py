"""`optimise`: the best amount, interval or infusion of a regimen, and what can be given next to it."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from scipy.optimize import brentq

from nlmebayes.arguments import NotNegative, Number, Positive, Share, Text, Tree, checked
from nlmebayes.dosing.future_covariates import Coming
from nlmebayes.dosing.prospect import Case, History, Occasions, prospect
from nlmebayes.dosing.recommendation import Loss, completed, doubted, evaluated, known, tabled
from nlmebayes.dosing.regimen import FOLLOW, NEW, Plan, Regimen, varied
from nlmebayes.dosing.targets import Target, Targets
from nlmebayes.errors import ModelError
from nlmebayes.model.model import Model
from nlmebayes.populations.dispensing import Dispensing

Optimum = Literal["in range", "loss", "at least", "at most"]
Varied = Literal["amount", "every", "duration", "rate"]
SURE = 0.98  # share of draws on the wrong side beyond which no better amount is looked for
GRID = 21  # values compared in a search without a root, and again around the best of them
TIMES = 4  # that this is done
CLOSE = 1e-6  # of the log loss decides between values that have the same probability
ROUNDING = 1e-11  # relative, of an exposure
NEAR = 1e-6  # relative, that a root is moved at most
FOLD = 2.0  # by which the bracket of a search grows, at most DOUBLINGS times
DOUBLINGS = 30


@checked
def optimise(
    forecast: Tree, regimen: Regimen | Plan, targets: Targets, *, optimum: Optimum = "in range",
    probability: Share | None = None, vary: Varied = "amount", between: tuple[Positive, ...] | None = None,
    given: Positive | list[NotNegative] | None = None, loss: Loss | None = None, model: Model | None = None,
    outcome: Text | None = None, history: History = FOLLOW, occasions: Occasions = NEW,
    covariates: Coming | None = None, now: Number | None = None, ci_prob: Share = 0.9,
) -> pd.DataFrame:  # fmt: skip
    """The best amount, interval or infusion of a regimen, among all there are and among those that can be given.

    Parameters
    ----------
    forecast, targets, loss, model, outcome, history, occasions, covariates, now, ci_prob
        As in `recommend`.
    regimen : Regimen or Plan
        What is not varied; of a plan the last part is varied. Its own amount is where the search starts.
    optimum : {"in range", "loss", "at least", "at most"}
        The largest ``p_all``; the least expected loss; P(exposure >= low) = ``probability``; P(exposure <= high) =
        ``probability``, of a single target.
    probability : float, optional
        Of the last two. With 0.5 the median exposure is the limit, and with a forecast of one draw the exposure itself.
    vary : {"amount", "every", "duration", "rate"}
        What is searched for.
    between : (float, float), optional
        Where to look; nothing beyond is given. Of amounts, by default as far as they change anything.
    given : float or sequence of float, optional
        Values that can be given: all multiples of a number, or a list such as ``range(250, 3001, 250)`` or `tablets`.
        By default, of amounts of a published model that states them, the multiples of its step.

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
    The smallest dose whose trough is above 0.5 mg/L with a probability of 80 %, in tablets of 25 mg:

    >>> import pandas as pd, nlmebayes as nb
    >>> from model_zoo import OneCompartment
    >>> tree = nb.population(OneCompartment(), theta={"cl": 3.0, "v": 40.0},
    ...                      omega={"sd": {"cl": 0.3, "v": 0.2}}, sigma={"b": 0.15})
    >>> records = pd.DataFrame({"id": "ann", "time": [0, 2, 8], "amt": [100, 0, 0], "dv": [None, 2.1, 0.9]})
    >>> forecast = nb.forecast(tree, nb.Dataset.from_nonmem(records, outcome="conc"), random_seed=1)
    >>> table = nb.optimise(forecast, nb.Regimen(50, start=12, every=12, doses=6), nb.Trough(0.5),
    ...                     optimum="at least", probability=0.8, given=25)
    >>> table[["regimen", "p_in", "rounded"]].round(2)
                    regimen  p_in  rounded
    0       75 every 12 x 6  0.84     True
    1       50 every 12 x 6  0.46     True
    2  71.4649 every 12 x 6  0.80    False
    """
    targets = [targets] if isinstance(targets, Target) else list(targets)
    aim = Aim(optimum, probability, loss or Loss(), tuple(targets))
    case = Case.of(forecast, model=model, outcome=outcome, history=history, occasions=occasions,
                   covariates=covariates)  # fmt: skip
    (regimen,) = completed(case, [regimen], now)
    if between is not None and (len(between) != 2 or not between[0] < between[1]):
        raise ModelError(f"optimise: between must be two values, the lower first; got {between}")
    search = Search(case, regimen, aim, vary, between)
    best = search.best()
    step = case.dispensing.step if vary == "amount" else None
    values = [best, *_neighbours(best, step if given is None else given, between, stated=given is not None)]
    plans = [varied(regimen, vary, value) for value in values]
    doubted(case, plans)
    each = [exposures for _, exposures in evaluated(case, plans, targets)]
    table = tabled(plans, targets, each, aim.loss, case.size, ci_prob)
    table["rounded"] = np.repeat([i > 0 for i in range(len(values))], len(targets))
    scores = np.repeat([aim.score(value, x) for value, x in zip(values, each, strict=True)], len(targets))
    order = np.lexsort((np.arange(len(table)), scores, ~table["rounded"]))
    return table.iloc[order].reset_index(drop=True)


def _neighbours(best, given, between, *, stated):
    """The values next to the best one that can be given, and lie where to look; ``stated`` by the user."""
    if given is None:
        return []
    low, high = between or (0.0, np.inf)
    each = Dispensing(given, source="given=").nearest(best) if isinstance(given, float) else given
    known = np.unique(np.asarray(list(each), dtype=float))
    known = known[(known >= low) & (known <= high)]
    if not known.size and stated:
        where = f" between {low:g} and {high:g}" if between else ""
        raise ModelError(f"optimise: given= holds no value{where}")
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
        if self.root != (self.probability is not None):
            raise ModelError("optimise: give probability= with 'at least' and 'at most', and with no other optimum")
        if self.root and len(self.targets) != 1:
            raise ModelError(f"optimise: {self.optimum!r} takes a single target; got {len(self.targets)}")
        if self.root and not np.isfinite(self.limit):
            raise ModelError(f"optimise: {self.optimum!r} needs a limit that is finite; {self.targets[0]} has none")
        if not self.root and not any(np.isfinite(target.high) for target in self.targets):
            raise ModelError("optimise: without an upper limit more is always better; take optimum='at least'")
        if not self.root and not any(target.low > 0 for target in self.targets):
            raise ModelError("optimise: without a lower limit less is always better; take optimum='at most'")

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
        gap = float(np.quantile(exposures[0], share)) - self.limit
        return (
            1.0 if gap == 0 and self.limit == self.targets[0].most else gap
        )  # no plateau of zeros where no more can be

    def reached(self, gap):
        """Whether the probability is at least as asked."""
        return gap >= 0 if self.optimum == "at least" else gap <= 0

    def safely(self, gap):
        """The same, whatever the rounding of another evaluation of the exposure."""
        slack = ROUNDING * abs(self.limit)
        return gap >= slack if self.optimum == "at least" else gap <= -slack

    def lost(self, exposures):
        """What is least where the search ends."""
        pairs = list(zip(exposures, self.targets, strict=True))
        if self.optimum == "loss":
            return float(np.mean(np.sum([self.loss.of(t, x) for x, t in pairs], axis=0)))
        together = np.all([t.met(x) for x, t in pairs], axis=0).mean()
        far = np.sum([Loss(kind="log").of(t, np.clip(x, 1e-30, 1e30)) for x, t in pairs], axis=0).mean()
        return float(CLOSE * far - together)

    def score(self, value, exposures):
        """By which values that can be given are ranked, least first: the smallest (or largest) one that does it."""
        if not self.root:
            return self.lost(exposures)
        gap = self.gap(exposures)
        return abs(gap) if self.reached(gap) else np.inf


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
            raise ModelError(f"optimise: between={low:g} and {high:g} is no range of positive values")
        exposures = self._view(high)
        return self._root(exposures, low, high) if self.aim.root else self._least(exposures, low, high)

    def _view(self, high):
        """A function of the varied value that gives exposures."""
        *first, last = self.plan.parts
        fixed = [part.amount for part in first]
        if self.vary != "amount" or last.rate is not None:
            return lambda value: self._direct(varied(self.plan, self.vary, value))
        view = prospect(self.case, self.plan, self.aim.targets, np.array([*fixed, high]))
        return lambda value: [known(x, self.plan) for x in view.exposures([*fixed, value])]

    def _direct(self, plan):
        return evaluated(self.case, [plan], self.aim.targets)[0][1]

    def _bracket(self):
        """Amounts so small, and so large, that nearly all draws are below, or above, what is wanted."""
        if self.vary != "amount":
            raise ModelError(f"optimise: say between which values {self.vary} may vary, between=(low, high)")
        start = self.plan.amount or 1.0
        exposures = self._view(start * FOLD)
        low = self._grown(exposures, start, 1 / FOLD, lambda t, x: (x < t.low).mean())
        high = self._grown(
            exposures, start, FOLD, lambda t, x: (x > t.high if np.isfinite(t.high) else x >= t.low).mean()
        )
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
            raise ModelError(
                f"optimise: no {self.vary} between {low:g} and {high:g} gives {self.aim.optimum} {self.aim.limit:g} "
                f"the probability {self.aim.probability:g}"
            )
        found = float(brentq(gap, low, high, rtol=1e-10))
        up, step = self.aim.reached(ends[1]), 1e-9
        while not self.aim.safely(gap(found)) and step < NEAR:  # the side of rounding on which the probability holds
            found, step = found * (1 + step if up else 1 - step), 4 * step
        return found

    def _least(self, exposures, low, high):
        """The best of a grid, then of finer ones around it; the middle of equally good ones."""
        for _ in range(TIMES):
            values = np.geomspace(low, high, GRID)
            lost = np.array([self.aim.lost(exposures(value)) for value in values])
            best = np.flatnonzero(lost <= lost.min() + 1e-12)
            place = best[len(best) // 2]
            found, low, high = values[place], values[max(best[0] - 1, 0)], values[min(best[-1] + 1, GRID - 1)]
        return float(found)
