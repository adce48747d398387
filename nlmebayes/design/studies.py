"""`simulate_studies`: many studies drawn from a population and fitted, the judge of what a design was said to tell."""

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Literal

import numpy as np
from rich.progress import track

from nlmebayes.arguments import Count, File, Kind, Limit, Name, Seed, Share, Switch, Text, Tree, checked
from nlmebayes.design import estimates
from nlmebayes.design.design import Design
from nlmebayes.design.estimates import LIKELIEST
from nlmebayes.design.ledger import Ledger
from nlmebayes.design.performance import Studies, spelled
from nlmebayes.design.simulation import Plan, drawable, drawn, plan_of, simulated
from nlmebayes.errors import ModelError, warn
from nlmebayes.evaluation import storage
from nlmebayes.evaluation.fitted import Fitted, fitted
from nlmebayes.evaluation.refusals import why
from nlmebayes.inference.estimation import refuse_smooths
from nlmebayes.inference.parting import unparted
from nlmebayes.model.model import Data, Model
from nlmebayes.runtime.spread import Client, Lost, Work, each


def _callable(value):
    if not callable(value):
        raise TypeError
    return value


Fitting = Annotated[Callable, Kind("a function of a Dataset that gives a tree", _callable)]
Limits = Limit | Name | dict[Name, Limit] | None


@checked
def simulate_studies(
    tree: Tree, design: Design | Data, n: Count = 100, *, fit: Literal["ml", "map", "laplace", "nuts"] | Fitting = "ml",
    draws: Switch = False, without: dict[Text, Model] | None = None, lloq: Limits = None, uloq: Limits = None,
    ci_prob: Share = 0.9, random_seed: Seed = 0, file: File | None = None, progressbar: Switch = True,
    client: Client | None = None, model: Model | None = None,
) -> Studies:  # fmt: skip
    """Draw ``n`` studies from a population, fit each, and compare what was estimated with what was true.

    Every study has other individuals. One that cannot be fitted stops no other; `Studies.failures` says why.
    Interrupted (Ctrl-C, the stop button), it returns the studies so far with a warning.

    Parameters
    ----------
    tree : DataTree
        From `fit` or `population`. Its mean population is the truth.
    design : Design or Dataset
        Who is measured when, under which doses; the measurements of a dataset are not read.
    n : int
        Number of studies.
    fit : {"ml", "map", "laplace", "nuts"} or function
        Maximum likelihood (or the most probable population), searched for from the truth: what is judged is the design,
        not the search. Others fit each study as `fit` does; a function takes a `Dataset` and gives a tree.
    draws : bool
        Each study has one of the draws of the tree's population as its truth, instead of their mean.
    without : dict of quantity -> Model, optional
        Smaller models without a parameter, for likelihood-ratio tests of it: ``{"cl: log(wt/70)": model}``.
    lloq, uloq : float, str or dict, optional
        Limits of quantification of a `Dataset`, as in `Dataset.from_frame`; a `Design` has its own.
    ci_prob : float
        Probability of the stated intervals, of which the coverage is counted.
    random_seed : int
        Study k is the same whatever ``n``.
    file : path, optional
        Gets a line for each study that is done; another call with the same arguments goes on from there.
    progressbar : bool
    client : distributed.Client, optional
        Whose workers simulate and fit, after ``pip install "nlmebayes[dask]"``: the same studies as in this process.
        One whose worker is lost is done again; one at which workers die again and again is a failure, not in the file.
    model : Model, optional
        That of the tree, where its structure cannot be imported again; by default the one stored in it.

    Returns
    -------
    Studies

    Raises
    ------
    ModelError, DataError, FormulaError
        The design does not fit the model.
    FileError
        The file is of other studies.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> from model_zoo import LinearMixed
    >>> model = nb.Model(LinearMixed(), "mu ~ 1 + (1|id)")
    >>> tree = nb.population(model, theta={"mu": 10.0}, omega={"sd": {"mu": 1.0}}, sigma={"a": 1.0}, outcome="y")
    >>> design = nb.Design([nb.Arm(30, inputs={"sample": [1, 2, 3]})])
    >>> nb.simulate_studies(tree, design, 4, progressbar=False)
    Studies(4 of 4 studies fitted; .table, .power(quantity), .failed, .reasons)
    """
    known = fitted(tree, model)
    given = design, lloq, uloq, fit, draws, without or {}, ci_prob, random_seed
    study = _simulation(tree, known.model, *given)
    for doubt in study.doubts():
        warn(f"simulate_studies: {doubt}")
    ledger = Ledger(file, study.stamp)
    entries = {entry["study"]: entry for entry in ledger.begun()}
    left = [i for i in range(n) if i not in entries]
    done = each(Work(_simulation, (tree, known.model, *given), _entry), left, client, ready=study)
    try:
        for k, entry in track(done, "Studies", n, completed=n - len(left), disable=not progressbar):
            i = left[k]
            entries[i] = _lost(i, entry) if isinstance(entry, Lost) else entry
            if not isinstance(entry, Lost):
                ledger.add(entry)
    except KeyboardInterrupt:
        warn(f"simulate_studies: interrupted; {len(entries)} of {n} studies are done")
    found = Studies.of([entries[i] for i in sorted(entries) if i < n], study.subjects, ci_prob)
    if found.failures:
        reason, count = next(iter(found.reasons.items()))
        warn(
            f"simulate_studies: {len(found.failures)} of {len(found.seconds)} studies could not be fitted and are not "
            f"in the table; {count} of them: {reason}"
        )
    return found


def _simulation(tree, model, design, lloq, uloq, *settings):
    """Of the arguments of `simulate_studies`."""
    known = fitted(tree, model)
    return _Simulation(known, plan_of(known, design, lloq, uloq), *settings)


def _entry(study, i):
    return study.entry(i)


def _lost(i, error):
    """An entry of a study at which workers died."""
    return {"study": i, "seconds": 0.0, "failure": why(error)}


@dataclass(frozen=True, eq=False)
class _Simulation:
    """Everything that the studies share."""

    known: Fitted
    plan: Plan
    fit: object
    each: bool
    without: dict
    ci_prob: float
    seed: int

    def __post_init__(self):
        if self.without and self.fit != "ml":
            raise ModelError("simulate_studies: likelihood-ratio tests, without=, need fit='ml'")
        if self.fit in LIKELIEST:
            refuse_smooths(self.first.design)
        elif isinstance(self.fit, str):
            estimates.same_meaning(self.known.model, self.first)
        for smaller in self.smaller.values():
            estimates.nested(smaller, self.known, self.first)

    @cached_property
    def first(self):
        """Individuals of study 0, not measured: what cannot be simulated is refused here."""
        return drawn(self.known, self.plan, self.population, np.random.default_rng([self.seed, 0]))

    @cached_property
    def smaller(self):
        """The smaller models by quantity, as the table spells it."""
        names = estimates.truth(self.known.model, self.first).index
        return {spelled(name, names, "without="): smaller for name, smaller in self.without.items()}

    @cached_property
    def population(self):
        """`Draws` of which each study gets one."""
        return drawable(self.known, each=self.each)

    @property
    def subjects(self):
        """How many each study has."""
        data = self.first.data
        return data.observations[data.subject].nunique()

    def doubts(self):
        """Sentences on what the records cannot part; none where the first study cannot be simulated."""
        try:
            study = self.study(0)
        except ModelError:  # told of the study
            return ()
        theta = {name: value[0] for name, value in study.population.theta.items()}
        sigma = {o: {part: value[0] for part, value in parts.items()} for o, parts in study.population.sigma.items()}
        return unparted(self.known.model, study.data, study.design, theta, sigma)

    @cached_property
    def errors(self):
        """About the standard errors of the fixed effects; None where the first study has none."""
        try:
            return estimates.standard_errors(self.known.model, self.study(0))
        except Exception:  # what is wrong with it is said of the study
            return None

    @property
    def stamp(self):
        """Of what the studies are, in a few words and hashes."""
        parts = {
            "model": storage.statement(self.known.model), "population": _numbers(self.population),
            "design": self.plan.words,
            "smaller model": {name: storage.statement(x) for name, x in self.smaller.items()},
        }  # fmt: skip
        fit = self.fit if isinstance(self.fit, str) else getattr(self.fit, "__qualname__", str(type(self.fit)))
        return {"fit": fit, "random_seed": self.seed, "ci_prob": self.ci_prob} | {
            name: hashlib.sha256(json.dumps(x, default=str).encode()).hexdigest()[:16] for name, x in parts.items()
        }

    def study(self, i):
        """The `Simulated` study number i."""
        return simulated(self.known, self.plan, self.population, np.random.default_rng([self.seed, i]))

    def entry(self, i):
        """What is found of study i, as JSON has it."""
        began = time.perf_counter()
        try:
            study = self.study(i)
            table, more = self._estimated(study, i)
            told = {"truth": estimates.truth(self.known.model, study)} | dict(table.items())
            found = {name: _listed(x.reindex(told["truth"].index)) for name, x in told.items()}
            found |= {"quantity": list(told["truth"].index)} | more
        except Exception as error:  # whatever it is, the next study is fitted
            found = {"failure": why(error)}
        return {"study": i, "seconds": round(time.perf_counter() - began, 3)} | found

    def _estimated(self, study, i):
        """A table by quantity, and likelihood ratios."""
        model = self.known.model
        if callable(self.fit):
            return estimates.of_tree(self.fit(study.data), None, self.ci_prob), {}
        if self.fit not in LIKELIEST:
            return estimates.sampled(model, study, self.fit, self.seed + i, self.ci_prob), {}
        best, table = estimates.likeliest(model, study, self.fit, self.errors, self.ci_prob)
        tests = {
            name: _ratio(best, estimates.smaller_maximum(x, self.known, study)) for name, x in self.smaller.items()
        }
        return table, {"ratios": tests} if tests else {}


def _ratio(best, smaller):
    """Twice the difference of the log-likelihoods, and that of the numbers of parameters."""
    return [2 * float(best.value.sum() - smaller.value.sum()), len(best.x) - len(smaller.x)]


def _listed(values):
    return [None if np.isnan(x) else float(x) for x in values]


def _numbers(draws):
    """Those of a population, as JSON has them."""
    parts = {"theta": draws.theta, "omega": draws.omega, "corr": draws.corr} | draws.sigma
    return {name: {k: v.tolist() for k, v in each.items()} for name, each in parts.items()}
