"""The log-density that a forecast explores, for one patient under many populations or many patients under one.

What is unknown of a patient are the standardised effects z of the groups that the tree does not know, eta = chol(Omega)
z. With the linear predictors l = b + B z of its units, the density of z given population s is

    log p(z, y | s)  =  sum over records  w log p(y | f(l), sigma_s)  -  z' z / 2  -  m log(2 pi) / 2

plus the barriers of the order constraints. Arrays of z are (row, subject, column): each row belongs to one population,
and subjects with fewer columns than others are padded with zeros.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse

from nlmebayes.design import Design
from nlmebayes.evaluation import Draws, log_density, predictor
from nlmebayes.model import Model, ModelError

LOG_2PI = np.log(2 * np.pi)


@dataclass(frozen=True, eq=False)
class Target:
    """A model, the design of the patients, the populations, the unknown groups of each level, the level of patients.

    ``unknown``: (level, positions of its unknown groups); ``weights``: by outcome the weight of each record's
    log-density, 1 where nothing is said.
    """

    model: Model
    design: Design
    population: Draws
    unknown: tuple
    subject: str
    weights: dict
    drift: str | None = None  # the level whose effects are a random walk from group to group of a subject
    reported: Design | None = None  # that of the results, where times to an event are records and not their nodes

    @cached_property
    def judged(self):
        """Entries of `observed` whose records can be compared with what the population expects: not event times."""
        nodes = [o.name for o in self.reported.outcomes if o.nodes is not None]
        return [records for records in self.observed if records[0] not in nodes]

    @cached_property
    def labels(self):
        """Labels of the subjects."""
        return tuple(dict.fromkeys(self.design.units[self.subject]))

    @cached_property
    def of_unit(self):
        """Number of the subject of each unit."""
        number = {label: i for i, label in enumerate(self.labels)}
        return np.array([number[label] for label in self.design.units[self.subject]])

    @cached_property
    def columns(self):
        """(level, group, effect, subject, column) of every number in z."""
        found, used = [], np.zeros(len(self.labels), dtype=int)
        for level, new in self.unknown:
            for g in new:
                owners = np.unique(self.of_unit[level.of_unit == g])
                if len(owners) > 1:
                    raise ModelError(
                        f"{level.name} {level.labels[g]} is not known to the tree and has several of {self.subject}; "
                        "forecast them one at a time"
                    )
                for k in range(len(level.effects)):
                    found.append((level, g, k, owners[0], used[owners[0]]))
                    used[owners[0]] += 1
        return found

    @cached_property
    def size(self):
        """Most columns of a subject."""
        return int(max((column + 1 for *_, column in self.columns), default=0))

    @cached_property
    def real(self):
        """(subject, column): which columns are no padding."""
        found = np.zeros((len(self.labels), self.size), dtype=bool)
        for *_, subject, column in self.columns:
            found[subject, column] = True
        return found

    @cached_property
    def base(self):
        """Linear predictors of z = 0, (population, parameter, unit)."""
        population, design = self.population, self.design
        names = [p.name for p in self.model.structure.parameters]
        found = np.stack(
            [population.theta[n] @ design.fixed[n].values.T + design.fixed[n].offset for n in names], axis=1
        )
        for level, new in self.unknown:
            place = {label: i for i, label in enumerate(population.groups.get(level.name, ()))}
            known = [g for g in range(len(level.labels)) if g not in set(new)]
            for g in known:
                units = np.flatnonzero(level.of_unit == g)
                for k, effect in enumerate(level.effects):
                    eta = population.eta[level.name][:, place[level.labels[g]], k]
                    found[:, names.index(effect.parameter), units] += eta[:, None] * level.z[units, k]
        return found

    @cached_property
    def loads(self):
        """B, (population, parameter, unit, column): slopes of the linear predictors in the columns of their subject."""
        names = [p.name for p in self.model.structure.parameters]
        found = np.zeros((*self.base.shape, self.size))
        chol = {level.name: self.population.cholesky(level.name) for level, _ in self.unknown}
        for level, g, j, subject, column in self.columns:
            units = np.flatnonzero(np.isin(level.of_unit, self._moved(level, g)) & (self.of_unit == subject))
            for k, effect in enumerate(level.effects):
                factor = chol[level.name][:, k, j]
                found[:, names.index(effect.parameter), units, column] += factor[:, None] * level.z[units, k]
        return found

    @cached_property
    def predict(self):
        """Predictions by outcome and barriers of linear predictors; see `evaluation.predictor`."""
        return predictor(self.model, self.design)

    @cached_property
    def observed(self):
        """(outcome, positions of its measured records, those records, their weights, sums by subject)."""
        found = []
        number = {label: i for i, label in enumerate(self.labels)}
        for o in self.design.outcomes:
            seen = np.flatnonzero(np.isfinite(o.values) | o.censored)
            if not len(seen):
                continue
            records = o.at(seen)
            owner = np.array([number[label] for label in records.subject], dtype=int)
            sums = sparse.csr_array(
                (np.ones(len(owner)), (np.arange(len(owner)), owner)), (len(owner), len(self.labels))
            )
            found.append((o.name, seen, records, self.weights.get(o.name, np.ones(len(o.values)))[seen], sums))
        return found

    def linear(self, z, which):
        """Linear predictors (row, parameter, unit)."""
        own = z[:, self.of_unit]
        if len(self.base) == 1:
            return self.base + np.einsum("puc,ruc->rpu", self.loads[0], own)
        return self.base[which] + np.einsum("rpuc,ruc->rpu", self.loads[which], own)

    def at(self, z, which):
        """Predictions by outcome at all records, (row, record), and barriers by subject, (row, subject)."""
        f, order = self.predict(self.linear(z, which))
        return f, self._by_subject(order)

    def _by_subject(self, order):
        if len(self.labels) == 1:
            return order.sum(axis=1, keepdims=True)
        found = np.zeros((len(order), len(self.labels)))
        np.add.at(found, (slice(None), self.of_unit), order)
        return found

    def densities(self, records, f, which):
        """Weighted log-densities of an entry of `observed` at the predictions of its records, (row, record)."""
        name, _, values, weights, _ = records
        sigma = {part: x[which if len(x) > 1 else np.zeros_like(which)] for part, x in self._sigma(name).items()}
        with np.errstate(all="ignore"):
            return log_density(self.model.residual_of(name), f, sigma, values, self.design.positive) * weights

    def _sigma(self, name):
        return self.population.sigma.get(name, {})

    def total(self, f, order, z, which):
        """Log-density by subject, (row, subject), of predictions and barriers from `at`."""
        found = order - 0.5 * (z**2 + LOG_2PI * self.real).sum(axis=2)
        for records in self.observed:
            dense = self.densities(records, f[records[0]][:, records[1]], which)
            found = found + (dense.sum(axis=1, keepdims=True) if len(self.labels) == 1 else dense @ records[4])
        return np.where(np.isnan(found), -np.inf, found)

    def log_density(self, z, which):
        """(row, subject) of z (row, subject, column) under the populations ``which`` (row,)."""
        f, order = self.at(z, which)
        return self.total(f, order, z, which)

    def effects(self, z, which):
        """eta by level, (row, group, effect)."""
        found = {}
        for level, _ in self.unknown:
            place = {label: i for i, label in enumerate(self.population.groups.get(level.name, ()))}
            found[level.name] = value = np.zeros((len(z), len(level.labels), len(level.effects)))
            for g, label in enumerate(level.labels):
                if label in place:
                    value[:, g] = self.population.eta[level.name][which, place[label]]
        chol = {level.name: self.population.cholesky(level.name)[which] for level, _ in self.unknown}
        for level, g, j, subject, column in self.columns:
            for moved in self._moved(level, g):
                found[level.name][:, moved] += chol[level.name][:, :, j] * z[:, subject, column, None]
        return found

    def steps(self, level, g):
        """How many steps of the prior the effects of group g are the sum of: one, but in a random walk."""
        return sum(g in self._moved(level, h) for h in range(len(level.labels)))

    def _moved(self, level, g):
        """Groups that a step at group g moves: itself, and in a random walk all later ones of its subject."""
        if level.name != self.drift:
            return [g]
        owner = self.of_unit[np.argmax(level.of_unit == g)]
        own = [h for h in range(len(level.labels)) if self.of_unit[np.argmax(level.of_unit == h)] == owner]
        return [h for h in own if h >= g]
