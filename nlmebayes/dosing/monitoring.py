"""`next_sample`: when the next sample of a patient says most.

Preposterior analysis over the draws of a forecast (Raiffa and Schlaifer 1961, Applied Statistical Decision Theory,
ch. 4): a sample y at a candidate time is simulated from some of the draws, each draw i is weighted by
p(y | f_i, sigma_i), and the variance of the quantity of interest under these weights is averaged over the samples.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from nlmebayes.arguments import Count, NotNegative, Number, Seed, Text, Tree, checked
from nlmebayes.dosing import regimen
from nlmebayes.dosing.future_covariates import Coming
from nlmebayes.dosing.prospect import Case, History, Occasions, course, only, prospect
from nlmebayes.dosing.recommendation import completed
from nlmebayes.dosing.targets import Target
from nlmebayes.errors import ModelError
from nlmebayes.evaluation.fitted import REPORT, fitted
from nlmebayes.evaluation.measurement import log_density, measure
from nlmebayes.evaluation.prediction import predicted
from nlmebayes.model.model import Model


@dataclass(frozen=True, eq=False)
class SimulatedSamples:
    """Simulated measurements; one below the limit of quantification lies between -inf and it."""

    values: np.ndarray
    lower: np.ndarray
    upper: np.ndarray

    @classmethod
    def of(cls, values, lloq):
        below = values < (-np.inf if lloq is None else lloq)
        return cls(np.where(below, lloq, values), np.where(below, -np.inf, np.nan), np.where(below, lloq, np.nan))

    @property
    def censored(self):
        return ~np.isnan(self.lower)


@checked
def next_sample(
    forecast: Tree, times: list[Number | list[Number]], of: Text | Target, *,
    plan: regimen.Regimen | regimen.Plan | None = None, model: Model | None = None, outcome: Text | None = None,
    lloq: NotNegative | None = None, replicates: Count = 400, history: History = regimen.FOLLOW,
    occasions: Occasions = regimen.NEW, covariates: Coming | None = None, random_seed: Seed | None = None,
) -> pd.DataFrame:  # fmt: skip
    """How much a sample at each of some times is expected to say of a parameter or an exposure.

    Parameters
    ----------
    forecast : DataTree
        From `forecast`.
    times : sequence of float or of tuples of float
        Candidates; a tuple is several samples together. A sample at the time of a planned dose is taken before it.
    of : str or Target
        An individual parameter by name, or an exposure under the ``plan``. Parameters are taken on their link scale,
        exposures as logarithms if they are positive, so that an SD is about a coefficient of variation.
    plan : Regimen or Plan, optional
        Doses to come.
    lloq : float, optional
        A sample below it will say no more than that.
    replicates : int
        Simulated samples per time.
    random_seed : int, optional
        Of the simulated samples.
    model, outcome, history, occasions, covariates
        As in `recommend`.

    Returns
    -------
    DataFrame
        One row per candidate, the best first: ``time``, ``sd_now``, ``sd_after`` (root of the expected variance), its
        Monte Carlo error ``mcse`` from the number of simulated samples, ``reduction`` (of the SD, in percent), and
        ``draws``, the median effective number of draws under a simulated sample: below 20 the sample says more than
        the draws of the forecast can tell.

    Raises
    ------
    ModelError
        Not a forecast; no such parameter or outcome, or several outcomes and none chosen; an exposure without a plan.

    Examples
    --------
    >>> import pandas as pd, nlmebayes as nb
    >>> from model_zoo import OneCompartment
    >>> tree = nb.population(OneCompartment(), theta={"cl": 3.0, "v": 40.0},
    ...                      omega={"sd": {"cl": 0.3, "v": 0.2}}, sigma={"b": 0.15})
    >>> records = pd.DataFrame({"id": "ann", "time": [0, 2, 8], "amt": [100, 0, 0], "dv": [None, 2.1, 0.9]})
    >>> forecast = nb.forecast(tree, nb.Dataset.from_nonmem(records, outcome="conc"), random_seed=1)
    >>> table = nb.next_sample(forecast, [9, 12, 24, (9, 24)], "cl", random_seed=1)
    >>> table[["time", "sd_now", "sd_after"]].round(2)
              time  sd_now  sd_after
    0  (9.0, 24.0)     0.2      0.07
    1         24.0     0.2      0.08
    2         12.0     0.2      0.11
    3          9.0     0.2      0.14
    """
    if REPORT not in forecast.attrs:
        raise ModelError("next_sample needs the tree of one patient, from forecast")
    candidates = [np.atleast_1d(np.asarray(time, dtype=float)) for time in times]
    if not candidates or not all(each.size for each in candidates):
        raise ModelError("next_sample: give times, which are numbers")
    known = fitted(forecast, model)
    model, patient = known.model, known.data
    outcome = only(patient, outcome)
    every = np.unique(np.concatenate(candidates))
    case = None
    if plan is None and covariates:
        raise ModelError("next_sample: covariates to come need the doses to come, plan=")
    if plan is not None:
        case = Case.read(known, outcome, history, occasions, covariates)
        (plan,) = completed(case, [plan])
    value = _quantity(of, forecast, model, case, plan)
    f = _curve(known, outcome, every) if case is None else _planned(case, plan, every)
    if model.residual_of(outcome).correlated:
        raise ModelError(
            f"next_sample: {model.residual_of(outcome)} says what a sample of {outcome} tells beside the last ones, "
            "which it does not know"
        )
    sigma = known.draws_of(patient.outcomes).sigma[outcome]
    view = _View(model.residual_of(outcome), f, sigma, value, patient.blq == "M4", lloq, replicates, random_seed)
    rows = [view.row(each, np.searchsorted(every, each)) for each in candidates]
    return pd.DataFrame(rows).sort_values("sd_after", kind="stable").reset_index(drop=True)


def _quantity(of, forecast, model, case, plan):
    """What is to be known, (draw,)."""
    if isinstance(of, Target):
        if case is None:
            raise ModelError(f"next_sample: the exposure {of} needs the doses to come, plan=")
        value = prospect(case, plan, [of]).exposures([part.amount for part in plan.parts])[0]
        return np.log(value) if (value > 0).all() else value
    known = {p.name: p for p in model.parameters}
    if of not in known:
        raise ModelError(f"no parameter {of!r} in {model.structure.label}; its parameters are {', '.join(known)}")
    if of not in forecast["posterior"]:
        raise ModelError(f"next_sample: the tree is damaged: its posterior has no {of}; forecast anew")
    values = forecast["posterior"][of].to_numpy()  # of the last unit, which is what holds now
    return known[of].scale.forward(values.reshape(-1, values.shape[-1])[:, -1])


def _curve(known, outcome, times):
    """Predictions (draw, time) under the doses recorded."""
    wanted = np.unique(times)
    grid = known.data.over(time=wanted)
    f = predicted(known, grid, random_seed=0)["posterior"][f"f_{outcome}"].to_numpy()
    return f.reshape(-1, f.shape[-1])[:, np.searchsorted(wanted, times)]


def _planned(case, plan, times):
    found = course(case, plan, times)
    return found.predicted([part.amount for part in plan.parts])[:, : len(times)]


@dataclass(frozen=True, eq=False)
class _View:
    """Draws of a forecast: predictions (draw, time), parts of the residual, and the quantity (draw,)."""

    residual: object
    f: np.ndarray
    sigma: dict
    value: np.ndarray
    positive: bool
    lloq: float | None
    replicates: int
    random_seed: int | None

    def row(self, times, places):
        """One candidate: samples at ``times``, which are at ``places`` of the predictions."""
        rng = np.random.default_rng(0 if self.random_seed is None else self.random_seed)  # the same at every time
        n = len(self.f)
        chosen = rng.permutation(n)[: self.replicates]
        log_weight = np.zeros((n, len(chosen)))
        for place in places:
            sigma = {part: values[chosen] for part, values in self.sigma.items()}
            y = measure(self.residual, self.f[chosen, place, None], sigma, rng, self.positive)[:, 0]
            f = np.broadcast_to(self.f[:, place, None], log_weight.shape).copy()
            log_weight += log_density(self.residual, f, self.sigma, SimulatedSamples.of(y, self.lloq), self.positive)
        log_weight[chosen, np.arange(len(chosen))] = -np.inf  # the draw that made the sample is not told of it
        return self._summary(times, log_weight)

    def _summary(self, times, log_weight):
        possible = np.isfinite(log_weight).any(axis=0)
        log_weight = log_weight[:, possible]
        weight = np.exp(log_weight - log_weight.max(axis=0))
        weight /= weight.sum(axis=0)
        deviation = self.value - self.value.mean()
        variance = np.maximum(deviation**2 @ weight - (deviation @ weight) ** 2, 0.0)
        after, now = np.sqrt(variance.mean()), self.value.std()
        return {
            "time": float(times[0]) if len(times) == 1 else tuple(map(float, times)),
            "sd_now": float(now), "sd_after": float(after),
            "mcse": float(variance.std() / np.sqrt(len(variance)) / (2 * after)) if after > 0 else 0.0,
            "reduction": float(100 * (1 - after / now)) if now > 0 else 0.0,
            "draws": float(np.median(1 / (weight**2).sum(axis=0))),
        }  # fmt: skip
