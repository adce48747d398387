"""`information`: what a design is expected to tell of a population."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
import pandas as pd

from nlmebayes.arguments import Count, Names, Seed, Switch, Tree, checked
from nlmebayes.criticism.replicates import Study, spread
from nlmebayes.design.design import Design, limits_of
from nlmebayes.design.exact import exact
from nlmebayes.design.expectation import DesignInformation
from nlmebayes.design.first_order import FirstOrder
from nlmebayes.design.numbers import numbers_of
from nlmebayes.design.planned import dataset_of, distinct, planned, subjects_of
from nlmebayes.design.setting import of_data
from nlmebayes.errors import ModelError
from nlmebayes.evaluation.evaluator import effects, middle
from nlmebayes.evaluation.fitted import Fitted, fitted
from nlmebayes.individuals.coordinates import coordinates
from nlmebayes.inference.parting import unparted
from nlmebayes.model.model import Model

SHOWN = 6  # times that are written out
REPLICATES = 400  # studies of which it is counted how many records lie beyond their limits
OFTEN = 0.1  # share of them that is told
PLACES = 100  # effects that are drawn to linearise at
Method = Literal["fo", "full", "foce", "exact"]
Variances = Switch | Literal["omega", "sigma"]


@checked
def information(
    tree: Tree, design: Design, *, method: Method = "fo", fixed: Names = (),
    scale: Literal["natural", "link"] = "natural", variances: Variances = False, draws: Count | None = None,
    prior: DesignInformation | None = None, random_seed: Seed = 0, model: Model | None = None,
) -> DesignInformation:  # fmt: skip
    """What a design is expected to tell of a population.

    Parameters
    ----------
    tree : DataTree
        From `fit` or `population`; its mean is the population that is taken for true.
    design : Design
    method : {"fo", "full", "foce", "exact"}
        To first order in the effects at none of them: "fo" takes variances for known where fixed effects are concerned
        (the reduced, block diagonal matrix of PFIM and PopED), "full" does not. "foce" linearises at effects that are
        drawn, and averages. "exact" is the mean outer product of the scores of the marginal likelihood over simulated
        subjects, of any structure, family and nesting, until each standard error is known to 2 %.
    fixed : names
        Numbers that are taken for known: ``"sigma_conc_a"``, ``"omega_id cl"``, or all that begin with ``"omega_id"``.
    scale : {"natural", "link"}
        Of typical values.
    variances : bool, "omega" or "sigma"
        Tell variances and covariances in the place of SDs and correlations; of the effects or of the residuals alone.
    draws : int, optional
        Of the population, evenly out of all of the tree, over which the criterion "ED" averages.
    prior : DesignInformation, optional
        That of a former study of the same model, which is added.
    random_seed : int
        Of covariates, times and effects that are drawn, and of the simulated subjects.
    model : Model, optional
        That of the tree, where its structure cannot be imported again.

    Returns
    -------
    DesignInformation
        Its ``table`` holds expected standard errors.

    Raises
    ------
    ModelError
        The design does not fit the model; a method that would tell something wrong, with the one that does not.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> from model_zoo import OneCompartment
    >>> tree = nb.population(OneCompartment(), theta={"cl": 4.0, "v": 50.0},
    ...                      omega={"sd": {"cl": 0.3, "v": 0.2}}, sigma={"b": 0.15})
    >>> told = nb.information(tree, nb.Design([nb.Arm(30, [1, 6, 24], doses={"time": 0, "amt": 100})]))
    >>> told.table["rse"].round(1).to_dict()["cl"]
    5.7
    """
    asked = Asked(fitted(tree, model), design, random_seed)
    return expected(asked, method, fixed, scale == "link", _variances(variances), draws, prior)


def _variances(variances):
    return (variances,) if isinstance(variances, str) else ("omega", "sigma") if variances else ()


def expected(asked, method, fixed=(), link=False, variances=(), draws=None, prior=None):
    """`DesignInformation` of what is `Asked`."""
    x = asked.x(middle(asked.population))
    more = 0.0 if prior is None else _former(prior, asked)
    numbers = asked.numbers(x, link=link, variances=variances)
    numbers.places(fixed)  # refused before anything is computed
    found = DesignInformation(
        method, numbers, np.zeros((len(x), len(x))), asked.plan.subjects, asked.plan.records, tuple(fixed),
        former=more, about=asked.about, doubts=asked.doubts,
    )  # fmt: skip
    some = [] if draws is None else spread(asked.population, draws)
    each = [asked.x(some.take(np.array([k]))) for k in range(draws or 0)]
    every = [(numbers, x), *((asked.numbers(at, link=link, variances=variances), at) for at in each)]
    if method == "exact":
        each = [exact(asked, at, own, found.free, more) for own, at in every]
        found = replace(found, error=each[0].error, remarks=(each[0].remark,))
        whole = [one.whole + more for one in each]
    else:
        whole = [asked.matrix(at, method) + more for _, at in every]
        found = replace(found, shrinkage=asked.shrinkage(x), remarks=asked.remarks(x))
    drawn = tuple((own, matrix) for (own, _), matrix in zip(every[1:], whole[1:], strict=True))
    return replace(found, whole=whole[0], drawn=drawn)


def _former(prior, asked):
    """The information of a former study on the same coordinates."""
    if prior.about != asked.about:
        raise ModelError(
            f"prior: it is about {', '.join(prior.numbers.names)}, and this model has other parameters; give the "
            "information of a study of the same model"
        )
    return prior.whole


@dataclass(frozen=True, eq=False)
class Asked:
    """A tree that was read, and a design, of which groups that are alike are looked at once."""

    known: Fitted
    plan: Design
    seed: int = 0

    @cached_property
    def setting(self):
        return of_data(self.known.training_data)

    @cached_property
    def population(self):
        """`Draws` of the tree."""
        if any(matrix.terms and any(matrix.smooths) for matrix in self.known.training.fixed.values()):
            raise ModelError("information: the model has a smooth s(), whose coefficients have a law of their own")
        return self.known.draws_of(self.setting.outcomes)

    @cached_property
    def subjects(self):
        return subjects_of(self.plan.arms, np.random.default_rng(self.seed), self.setting.prefix)

    @cached_property
    def data(self):
        """Planned data of the groups that differ, and how many groups are like each, by label."""
        kept, count = distinct(self.subjects)
        data = dataset_of(kept, self.setting)
        if any(level.name not in data.levels for level in self.known.design(data).levels):
            data = dataset_of(self.subjects, self.setting)  # groups by a column, which subjects may share
            count = dict.fromkeys(data.observations[data.levels[0]], 1)
        return data, count

    @cached_property
    def design(self):
        return self.known.design(self.data[0])

    @cached_property
    def coordinates(self):
        return coordinates(self.known.model, self.design)

    @property
    def about(self):
        """What the coordinates are."""
        return self.coordinates.theta, self.coordinates.factor, self.coordinates.sigma

    def x(self, population):
        """Coordinates of one population."""
        return self.coordinates.vector(population)[0]

    def numbers(self, x, **options):
        return numbers_of(self.known.model, self.design, self.coordinates, x, **options)

    @property
    def steps(self):
        """Steps of differences in the coordinates."""
        found = np.ones(self.coordinates.size)
        found[: len(self.first_order.steps)] = self.first_order.steps
        return found

    @cached_property
    def first_order(self):
        data, count = self.data
        low, high = (self._limits(data, word) for word in ("lloq", "uloq"))
        labels = self.design.units[self.design.nested[0]].to_numpy(object)
        weight = np.concatenate([[count[label] for label in labels[o.unit]] for o in self.design.outcomes])
        return FirstOrder(
            self.known.model, self.design, self.coordinates, middle(self.population), weight.astype(float), low, high
        )

    def _limits(self, data, word):
        limits = limits_of(self.plan.arms, data.observations, word).to_numpy()
        return {name: limits[(data.observations["outcome"] == name).to_numpy()] for name in data.outcomes}

    def matrix(self, x, method):
        """Information on the coordinates."""
        self.first_order.check(method)
        eta = self.drawn(x) if method == "foce" else None
        return self.first_order.matrix(x, "full" if method == "full" else "fo", eta)

    def drawn(self, x):
        """Effects (place, column) of the population at coordinates x."""
        rng, one = np.random.default_rng(self.seed), self.coordinates.population(x[None])
        eta = effects(self.design, one.take(np.zeros(PLACES, dtype=int)), rng)
        return np.concatenate([np.zeros((PLACES, 0)), *(eta[v.name].reshape(PLACES, -1) for v in self.design.levels)],
                              axis=1)  # fmt: skip

    def shrinkage(self, x):
        """Table by level and effect, in %."""
        found = self.first_order.shrinkage(x)
        rows = [(v.name, e.name, 100 * share) for v in self.design.levels
                for e, share in zip(v.effects, found[v.name], strict=True)]  # fmt: skip
        table = pd.DataFrame(rows, columns=["level", "effect", "variance"]).set_index(["level", "effect"])
        return table.assign(sd=100 * (1 - np.sqrt(1 - table["variance"] / 100)))[["sd", "variance"]]

    def remarks(self, x):
        """What else is done: records that tell nothing, or are taken for measured and often are not."""
        (here,) = self.first_order.records(x, x[None, : len(self.coordinates.theta)], self._nowhere)
        informative = self.first_order.informative(here)
        often = informative & (self._beyond(x) > OFTEN)
        return tuple(
            f"{which.sum()} of {len(informative)} records {words}: at {self._at(which)}"
            for which, words in (
                (~informative, "are expected beyond their limits of quantification, or without scatter, and tell "
                 "nothing to first order"),
                (often, f"lie beyond their limits of quantification in more than {100 * OFTEN:g} % of subjects, and "
                 "are taken for measured to first order: errors come out too small; method='exact' counts them"),
            ) if which.any()
        )  # fmt: skip

    def _at(self, which):
        """Times of some records in words."""
        times = np.concatenate([o.inputs.get("time", o.row) for o in self.design.outcomes])
        return ", ".join(f"{t:g}" for t in np.unique(times[which])[:SHOWN])

    def _beyond(self, x):
        """Share of simulated measurements of each record that lie beyond its limits, (record,)."""
        low, high = self.first_order.low, self.first_order.high
        if not (np.isfinite(low) | np.isfinite(high)).any():
            return np.zeros(len(low))
        one = replace(self.coordinates.population(x[None]), eta={}, groups={})
        study = Study(self.known.model, self.data[0], self.design, one)
        y = study.replicated(REPLICATES, np.random.default_rng(self.seed))
        y = np.concatenate([y[o.name] for o in self.design.outcomes], axis=1)
        return ((y < low) | (y > high)).mean(axis=0)

    @property
    def _nowhere(self):
        return np.zeros((1, self.first_order.random.shape[1]))

    def doubts(self):
        """Sentences on what the records cannot part."""
        rng = np.random.default_rng(self.seed)
        data = planned(self.plan.arms, self.setting, rng)
        one = middle(self.population)
        study = Study(self.known.model, data, self.known.design(data), replace(one, eta={}, groups={}))
        drawn = study.measured(
            study.predictions(study.draws, effects(study.design, study.draws, rng)), study.draws, rng
        )
        data = data.with_values(**{name: y[0] for name, y in drawn.items()})
        design = self.known.design(data)
        theta = {name: value[0] for name, value in one.theta.items()}
        sigma = {o: {part: value[0] for part, value in parts.items()} for o, parts in one.sigma.items()}
        return tuple(unparted(self.known.model, data, design, theta, sigma))
