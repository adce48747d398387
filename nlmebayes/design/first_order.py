r"""Expected information of a design, to first order in the random effects.

With the predictions f of a block of records that hang together, their slopes G in the effects of all groups, and the
variances R of the measurements around them, y ~ N(f, V) with V = G Omega G' + R. The "reduced" matrix takes V for
known where theta is concerned, the "full" one takes its slopes in theta into account; both at no effects, or averaged
over places that effects are drawn to. Slopes of predictions are exact, and those of V in theta central differences.

Source: Retout, Mentré and Bruno (2002), Stat. Med. 21, 2623-2639, doi:10.1002/sim.1041; Nyberg et al. (2015), Br. J.
Clin. Pharmacol. 79, 6-17, doi:10.1111/bcp.12352.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse
from scipy.sparse import csgraph

from nlmebayes.criticism.linearised import Linearised
from nlmebayes.design.scatter import normal, scatter
from nlmebayes.errors import ModelError
from nlmebayes.inference.normal_law import information

STEP = 0.1  # of the step of a pilot, which is 1e-3 of the spread of a parameter
SIGMA = 1e-5  # step of the coordinate of a part of a residual
MOST = 1500  # records of a block


@dataclass(frozen=True, eq=False)
class Records:
    """All records at one place: predictions by outcome and (record,), slopes ``fixed`` (record, term) and ``random``
    (record, column), sparse, on the scale on which measurements are normal, and their variances ``r`` (record,)."""

    f: dict
    fixed: np.ndarray
    random: sparse.csr_array
    r: np.ndarray


class FirstOrder:
    """A model on the design of planned records.

    ``weight`` (record,): how many groups each record stands for; ``low`` and ``high`` by outcome: limits of
    quantification, beyond which records are expected to tell nothing.
    """

    def __init__(self, model, design, coordinates, population, weight, low, high):
        self.linearised = Linearised(model, design, population)
        self.model, self.design, self.problem = model, self.linearised.design, self.linearised.problem
        self.coordinates, self.weight = coordinates, weight
        self.low, self.high = (np.concatenate([each[o.name] for o in design.outcomes]) for each in (low, high))
        terms = self.problem.terms
        self.fixed, self.random = self.problem.matrix[:, :terms], self.problem.matrix[:, terms:]
        sizes = [np.sqrt((column.data**2).mean()) if column.nnz else 1.0 for column in self.fixed.tocsc().T]
        places = [self.problem.names.index(name) for name, _ in coordinates.theta]
        self.steps = STEP * self.problem.lengths[places] / np.array(sizes).reshape(-1)

    def check(self, method):
        """Refuse what cannot be right to first order."""
        for o in self.design.outcomes:
            residual = self.model.residual_of(o.name)
            if residual.folds or residual.correlated or (method != "fo" and not normal(residual)):
                raise ModelError(
                    f"information: {o.name}, {residual}, would be wrong to first order in the effects by "
                    f"method={method!r}; take method='exact'"
                )

    def linear(self, theta, eta):
        """Linear predictors (place, unit, parameter) of fixed effects (place, term) and of effects (place, column)."""
        found = (self.fixed @ theta.T + self.random @ eta.T).T
        return found.reshape(len(theta), *self.problem.offset.shape) + self.problem.offset

    def records(self, x, theta, eta):
        """`Records` at fixed effects (place, term) and effects (place, column) under a population."""
        sigma = self.coordinates.population(x[None]).sigma
        return [self._at(*each, sigma) for each in self.linearised.around(self.linear(theta, eta))]

    def _at(self, f, slopes, sigma):
        variances, scales = self._scattered(f, sigma)
        g = sparse.vstack([slopes[o.name] for o in self.design.outcomes]).tocsr()
        g = sparse.csr_array(g.multiply(scales[0][:, None]))
        return Records(f, (g @ self.fixed).toarray(), sparse.csr_array(g @ self.random), variances[0])

    def _scattered(self, f, sigma):
        """Variances and slopes of the scale, (sample, record) each, of predictions by outcome (record,)."""
        each = []
        for o in self.design.outcomes:
            parts = sigma.get(o.name, {})
            many = max([1, *(len(x) for x in parts.values())])
            each.append(scatter(self.model.residual_of(o.name), np.tile(f[o.name], (many, 1)), parts, o))
        many = max(len(r) for r, _ in each)
        return [np.concatenate([np.broadcast_to(x[k], (many, x[k].shape[1])) for x in each], axis=1) for k in (0, 1)]

    @cached_property
    def levels(self):
        """(level, where its columns start) of every level."""
        starts = np.cumsum([0, *(len(v.labels) * len(v.effects) for v in self.design.levels)])
        return list(zip(self.design.levels, starts, strict=False))

    @cached_property
    def blocks(self):
        """Records that hang together through effects, as arrays of their numbers."""
        units = np.concatenate([o.unit for o in self.design.outcomes])
        n = len(units)
        subject = self.linearised.problem.subject[units] if not self.model.structure.recordwise else np.arange(n)
        rows, places, count = [np.arange(n)], [subject], int(subject.max()) + 1
        for level in self.design.levels:
            rows.append(np.arange(n))
            places.append(count + level.of_unit[units])
            count += len(level.labels)
        graph = (np.ones(n * len(rows)), (np.concatenate(rows), n + np.concatenate(places)))
        which = csgraph.connected_components(sparse.coo_array(graph, (n + count,) * 2), directed=False)[1][:n]
        order = np.argsort(which, kind="stable")
        found = np.split(order, np.flatnonzero(np.diff(which[order])) + 1)
        if max(map(len, found)) > MOST:
            raise ModelError(
                f"information: {max(map(len, found))} records hang together, and at most {MOST} can be taken to first "
                "order; plan fewer of a group, or take method='exact'"
            )
        return found

    def matrix(self, x, method="fo", eta=None):
        """Information (coordinate, coordinate) of the whole design at coordinates x.

        Parameters
        ----------
        method : {"fo", "full"}
        eta : (place, column), optional
            Effects that the predictions are linearised at; the mean over places. By default none.
        """
        eta = np.zeros((1, self.random.shape[1])) if eta is None else eta
        total = np.zeros((self.coordinates.size,) * 2)
        for place in eta:
            prepared = self.prepared(x, method, place)
            total += sum(self.of_rows(block, prepared) for block in self.blocks)
        return total / len(eta)

    def prepared(self, x, method="fo", eta=None):
        """What the information of any records needs, at coordinates x and effects (column,): `Records`, the same at
        fixed effects a step up and down, and slopes of variances in the other coordinates."""
        terms = self.problem.terms
        eta = np.zeros(self.random.shape[1]) if eta is None else eta
        moves = np.diag(self.steps) if method == "full" else np.zeros((0, terms))
        theta = x[:terms] + np.concatenate([np.zeros((1, terms)), moves, -moves])
        here, *moved = self.records(x, theta, np.repeat(eta[None], len(theta), axis=0))
        up, down = moved[: len(moves)], moved[len(moves) :]
        return here, up, down, self._sigma(x, here), self._omega(x), self.informative(here)

    def of_rows(self, rows, prepared):
        """Information of records that hang together, by their numbers, times the groups that they stand for."""
        *prepared, informative = prepared
        kept = rows[informative[rows]]
        if not len(kept):
            return np.zeros((self.coordinates.size,) * 2)
        return self.weight[kept[0]] * self._of_block(kept, *prepared)

    def informative(self, here):
        """Whether each record is expected to tell something: it has a prediction between its limits, and scatters."""
        f = np.concatenate([here.f[o.name] for o in self.design.outcomes])
        with np.errstate(invalid="ignore"):
            beyond = (f < self.low) | (f > self.high)
        return ~beyond & np.isfinite(here.r) & (here.r > 0) & np.isfinite(here.fixed).all(axis=1)

    def _sigma(self, x, here):
        """Slopes of the logarithms of the variances of measurements in the coordinates of sigma, (record, own)."""
        places = np.arange(self.coordinates.size)[self.coordinates.of_sigma]
        if not len(places):
            return np.zeros((len(here.r), 0))
        moves = SIGMA * np.eye(len(x))[places]
        sigma = self.coordinates.population(np.concatenate([x + moves, x - moves])).sigma
        with np.errstate(all="ignore"):  # of records without scatter, which are left out
            both = np.log(self._scattered(here.f, sigma)[0])
            return (both[: len(places)] - both[len(places) :]).T / (2 * SIGMA)

    def _omega(self, x):
        """Omega by level, and its slopes in the coordinates of its factor: (level, slope) each."""
        factors = {name: a[0] for name, a in self.coordinates.factors(x[None]).items()}
        slopes = []
        for level, i, j in self.coordinates.factor:
            step = np.zeros_like(factors[level])
            step[i, j] = factors[level][i, i] if i == j else 1.0
            slopes.append((level, step @ factors[level].T + factors[level] @ step.T))
        return {name: a @ a.T for name, a in factors.items()}, slopes

    def _of_block(self, block, here, up, down, changes, omega):
        fixed, (omega, directions) = here.fixed[block], omega
        g = self._dense(here, block)
        r = here.r[block]
        variance = self._random(g, omega) + np.diag(r)
        moved = np.zeros((fixed.shape[1], len(block), len(block)))
        for k, (one, other) in enumerate(zip(up, down, strict=True)):
            both = [self._random(self._dense(each, block), omega) + np.diag(each.r[block]) for each in (one, other)]
            moved[k] = (both[0] - both[1]) / (2 * self.steps[k])
        bent = [_through(g[name], slope) for name, slope in directions]
        own = [np.diag(r * each) for each in changes[block].T]
        slopes = np.concatenate([fixed, np.zeros((len(block), len(bent) + len(own)))], axis=1)
        return information(slopes, variance, [*moved, *bent, *own])

    def _dense(self, here, block):
        """Slopes of the records of a block in the effects by level, (record, group, effect)."""
        own, found = here.random[block], {}
        for level, start in self.levels:
            k = len(level.effects)
            part = own[:, start : start + len(level.labels) * k].tocoo()
            groups, place = np.unique(part.col // k, return_inverse=True)
            found[level.name] = dense = np.zeros((len(block), max(1, len(groups)), k))
            dense[part.row, place, part.col % k] = part.data
        return found

    def _random(self, g, omega):
        return sum((_through(g[name], square) for name, square in omega.items()), np.zeros((1, 1)))

    def shrinkage(self, x):
        """Expected shrinkage of the variances by level, (effect,): that of the conditional law by that of the
        population, on average over groups, measurements and population known."""
        (here,) = self.records(x, x[None, : self.problem.terms], np.zeros((1, self.random.shape[1])))
        informative, (omega, _), sums = self.informative(here), self._omega(x), {}
        for block in self.blocks:
            kept, g = block[informative[block]], self._dense(here, block)
            inverse = np.linalg.inv(self._random(self._dense(here, kept), omega) + np.diag(here.r[kept]))
            for level, _ in self.levels:
                own = g[level.name][informative[block]] @ omega[level.name]
                explained = np.einsum("rge,rs,sge->ge", own, inverse, own)
                share = 1 - explained / np.diag(omega[level.name])
                total, many = sums.get(level.name, (0.0, 0.0))
                weight = self.weight[block[0]]
                sums[level.name] = total + weight * share.sum(axis=0), many + weight * len(share)
        return {name: total / many for name, (total, many) in sums.items()}


def _through(g, square):
    """Covariance of records through the effects of a level of covariance ``square``, (record, record)."""
    return np.einsum("rge,sge->rs", g @ square, g)
