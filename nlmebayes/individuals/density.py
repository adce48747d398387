"""The log-density that a forecast explores, for one patient under many populations or many patients under one.

What is unknown of a patient are the standardised effects z of the groups that the tree does not know, eta = chol(Omega)
z. With the linear predictors l = b + B z of its units, the density of z given population s is

    log p(z, y | s)  =  sum over records  w log p(y | f(l), sigma_s)  -  z' z / 2  -  m log(2 pi) / 2

plus the barriers of the order constraints. Arrays of z are (row, subject, column): each row belongs to one population,
and subjects with fewer columns than others are padded with zeros.
"""

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
from scipy import sparse

from nlmebayes.errors import ModelError
from nlmebayes.evaluation.evaluator import Draws, predictor
from nlmebayes.evaluation.imputation import Imputed
from nlmebayes.evaluation.measurement import gradients, log_density, whitening
from nlmebayes.formula.design import Design, ObservedOutcome
from nlmebayes.model.model import Model

LOG_2PI = np.log(2 * np.pi)


class Samples(NamedTuple):
    """The measured records of one outcome: positions of their predictions, the records, the weights of their
    log-densities, sums by subject, the mean size of a measurement.

    Where sampling times are uncertain, each stands once for every node of its time: ``starts`` are the first nodes and
    ``log_weight`` the weights of all.
    """

    name: str
    places: np.ndarray
    records: ObservedOutcome
    weights: np.ndarray
    sums: sparse.csr_array
    size: float
    starts: np.ndarray | None = None
    log_weight: np.ndarray | None = None

    @property
    def first(self):
        """One place of each sample."""
        return np.arange(len(self.places)) if self.starts is None else self.starts

    def drawn(self, f, rng):
        """Predictions (row, sample) of predictions (row, place), each at a node drawn by its weight."""
        if self.starts is None:
            return f
        edges = np.add.reduceat(np.exp(self.log_weight), self.starts).cumsum()
        below = np.cumsum(np.exp(self.log_weight))
        start = edges - np.diff(edges, prepend=0.0)
        point = start + np.diff(edges, prepend=0.0) * rng.random((len(f), len(edges)))
        place = np.minimum(np.searchsorted(below, point), np.append(self.starts[1:], len(below)) - 1)
        return np.take_along_axis(f, place, axis=1)

    def counted(self, dense):
        """What log-densities (row, place) add to the sum, and how much their slopes count, of a place each."""
        if self.starts is None:
            return dense * self.weights, self.weights
        every = np.diff(np.append(self.starts, len(self.places)))
        with np.errstate(all="ignore"):
            each = dense + self.log_weight
            most = np.repeat(np.maximum.reduceat(each, self.starts, axis=1), every, axis=1)
            share = np.exp(each - most)
            total = np.repeat(np.add.reduceat(share, self.starts, axis=1), every, axis=1)
            share = share / total * self.weights
            return share * (most + np.log(total)), share


@dataclass(frozen=True, eq=False)
class Density:
    """A model, the design of the patients, the populations, the unknown groups of each level, the level of patients.

    ``unknown``: (level, positions of its unknown groups); ``weights``: by outcome the weight of each record's
    log-density, 1 where nothing is said; ``nodes``: by outcome the `sampling_times.TimeNodes`, and then ``plain`` is
    the design without them, with its unknown groups.
    """

    model: Model
    design: Design
    population: Draws
    unknown: tuple
    subject: str
    weights: dict
    drift: str | None = None  # the level whose effects are a random walk from group to group of a subject
    nodes: dict = field(default_factory=dict)
    plain: tuple | None = None
    imputed: Imputed | None = None  # covariates that differ between populations

    reported: Design | None = None  # that of the results, where times to an event are records and not their nodes
    ordered: bool = True  # whether the order constraints of the structure hold individuals back

    @cached_property
    def recorded(self):
        """The target with sampling times as they were recorded."""
        if self.plain is None:
            return self
        design, unknown = self.plain
        return replace(self, design=design, reported=design, unknown=unknown, nodes={}, plain=None)

    @cached_property
    def judged(self):
        """Those of `observed` whose records can be compared with what the population expects: not event times."""
        nodes = [o.name for o in self.reported.outcomes if o.nodes is not None]
        return [samples for samples in self.observed if samples.name not in nodes]

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
    def moves(self):
        """By level, what each number in z does: group, effect, subject, column of every group that it moves."""
        found = {level.name: [] for level, _ in self.unknown}
        for level, g, j, subject, column in self.columns:
            found[level.name] += [(h, j, subject, column) for h in self._moved(level, g)]
        return {name: np.array(each, dtype=int).reshape(-1, 4).T for name, each in found.items()}

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
        members = {level.name: _members(level) for level, _ in self.unknown}
        for level, _ in self.unknown:
            groups, j, _, column = self.moves[level.name]
            units = np.concatenate([np.zeros(0, dtype=int), *(members[level.name][g] for g in groups)])
            j, column = (np.repeat(x, [len(members[level.name][g]) for g in groups]) for x in (j, column))
            for k, effect in enumerate(level.effects):
                moved = chol[level.name][:, k, j] * level.z[units, k]
                found[:, names.index(effect.parameter), units, column] += moved
        return found

    @cached_property
    def predict(self):
        """Predictions by outcome and barriers of linear predictors; see `evaluation.predictor`."""
        return predictor(self.model, self.design)

    @cached_property
    def observed(self):
        """`Samples` of each outcome that has any."""
        found = []
        number = {label: i for i, label in enumerate(self.labels)}
        for o in self.design.outcomes:
            places = seen = np.flatnonzero(np.isfinite(o.values) | o.censored)
            if not len(seen):
                continue
            starts = log_weight = None
            if o.name in self.nodes:
                known = self.nodes[o.name]
                places, seen, log_weight = known.place, known.sample, known.log_weight
                starts = np.flatnonzero(np.diff(seen, prepend=-1))
            records = o.at(seen)
            owner = np.array([number[label] for label in records.subject], dtype=int)
            sums = sparse.csr_array(
                (np.ones(len(owner)), (np.arange(len(owner)), owner)), (len(owner), len(self.labels))
            )
            weights = self.weights.get(o.name, np.ones(len(o.values)))[seen]
            finite = np.abs(records.values[np.isfinite(records.values)])
            size = finite.mean() if len(finite) else 1.0
            found.append(Samples(o.name, places, records, weights, sums, size, starts, log_weight))
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
        if not self.ordered:
            return np.zeros((len(order), len(self.labels)))
        if len(self.labels) == 1:
            return order.sum(axis=1, keepdims=True)
        found = np.zeros((len(order), len(self.labels)))
        np.add.at(found, (slice(None), self.of_unit), order)
        return found

    def densities(self, samples, f, which):
        """Log-densities of an entry of `observed` at predictions, (row, place)."""
        residual, sigma = self._scatter(samples, which)
        with np.errstate(all="ignore"):
            return log_density(residual, f, sigma, samples.records, self.design.positive)

    def scattered(self, samples, f, sigma):
        """The same with the parts of the residual of one population, whichever the target's are."""
        with np.errstate(all="ignore"):
            return log_density(self.model.residual_of(samples.name), f, sigma, samples.records, self.design.positive)

    def gradients(self, samples, f, which):
        """The same of correlated records, and the slopes of the sum of each row, (row, place)."""
        residual, sigma = self._scatter(samples, which)
        with np.errstate(all="ignore"):
            return gradients(residual, f, sigma, samples.records)

    def slopes(self, samples, f, which):
        """Slopes of the sum of the log-densities of each row in the predictions, (row, place)."""
        if samples.records.series is not None:
            return self.gradients(samples, f, which)[1]
        h = 1e-4 * (np.abs(f) + 1e-3 * np.abs(f).mean() + 1e-12)
        up, down = (self.densities(samples, x, which) for x in (f + h, f - h))
        return (up - down) / (2 * h) * samples.counted((up + down) / 2)[1]

    def whitened(self, samples, f, which, dense, g):
        """Slopes g (row, column, place) of predictions, whitened as `measurement.whitening` says."""
        residual, sigma = self._scatter(samples, which)
        before = samples.records.columns["before"].astype(int)
        with np.errstate(all="ignore"):
            own, other = whitening(residual, f, sigma, samples.records, dense)
            found = own[:, None] * g + other[:, None] * g[..., before]
        return np.where(np.isfinite(found), found, 0.0)

    def _scatter(self, samples, which):
        """The residual of samples and its parts by row."""
        sigma = self.population.sigma.get(samples.name, {})
        return self.model.residual_of(samples.name), {
            part: x[which if len(x) > 1 else np.zeros_like(which)] for part, x in sigma.items()
        }

    def total(self, f, order, z, which):
        """Log-density by subject, (row, subject), of predictions and barriers from `at`."""
        found = order - 0.5 * (z**2 + LOG_2PI * self.real).sum(axis=2)
        for samples in self.observed:
            dense, _ = samples.counted(self.densities(samples, f[samples.name][:, samples.places], which))
            found = found + (dense.sum(axis=1, keepdims=True) if len(self.labels) == 1 else dense @ samples.sums)
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
        for level, _ in self.unknown:
            groups, j, subject, column = self.moves[level.name]
            own = np.zeros_like(found[level.name])
            np.add.at(own, (slice(None), groups, j), z[:, subject, column])
            found[level.name] += own @ self.population.cholesky(level.name)[which].swapaxes(1, 2)
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


def _members(level):
    """Units of each group of a level."""
    ends = np.cumsum(np.bincount(level.of_unit, minlength=len(level.labels)))[:-1]
    return np.split(np.argsort(level.of_unit, kind="stable"), ends)
