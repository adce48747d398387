"""The likelihood of all individuals about linear predictors: slopes, Gauss-Newton curvature, steps of all effects."""

import numpy as np
from scipy import sparse
from scipy.sparse import linalg

from nlmebayes.evaluation.evaluator import predictor
from nlmebayes.evaluation.measurement import distances, log_density, one, slopes
from nlmebayes.model.hierarchy import centre, scale_of_data, variation

LENGTHS = np.array([1.0, 0.5, 0.2, 0.05, 0.0])  # of a step
OUTLYING = 3.0  # scatters from its prediction, beyond which a measurement draws by its distance


class GaussNewton:
    """A model on a design as numbers x: all fixed effects, then the standardised effects u of each level, eta = A u."""

    def __init__(self, model, design, prior=None):
        self.model, self.design = model, design
        self.names = [p.name for p in model.parameters]
        self.predict = predictor(model, design)
        scale = scale_of_data(model, design)
        by_name = {p.name: p for p in model.parameters}
        self.lengths = np.array([1e-3 * centre(p, scale)[1] for p in model.parameters])
        self.variation = {v.name: np.array(variation(v, by_name, scale)) for v in design.levels}
        self.offset = np.stack([design.fixed[name].offset for name in self.names], axis=1)
        self.terms = sum(len(design.fixed[name].terms) for name in self.names)
        self.matrix = self._matrix()
        none = {name: (np.zeros(len(design.fixed[name].terms)),) * 2 for name in self.names}
        each = [(none | (prior or {}))[name] for name in self.names]
        self.mean = np.concatenate([mean for mean, _ in each] + [np.zeros(self._effects)])
        self.precision = np.concatenate([precision for _, precision in each] + [np.ones(self._effects)])
        self._subjects()

    @property
    def _effects(self):
        return self.matrix.shape[1] - self.terms

    def _matrix(self):
        """Sparse (unit and parameter, fixed and random effect)."""
        design, rows, blocks = self.design, len(self.names), []
        at = np.arange(len(design.labels)) * rows
        size = len(at) * rows
        for i, name in enumerate(self.names):
            r, c = np.nonzero(design.fixed[name].values)
            values = design.fixed[name].values[r, c]
            blocks.append(sparse.coo_matrix((values, (at[r] + i, c)), (size, len(design.fixed[name].terms))))
        for level in design.levels:
            k = len(level.effects)
            r = np.concatenate([at + self.names.index(e.parameter) for e in level.effects])
            c = np.concatenate([level.of_unit * k + m for m in range(k)])
            blocks.append(sparse.coo_matrix((level.z.T.ravel(), (r, c)), (size, len(level.labels) * k)))
        return sparse.hstack(blocks).tocsr()

    def _subjects(self):
        """Subject of each unit, and of each column of x or -1; columns of effects that belong to one subject alone."""
        design = self.design
        self.subject = np.zeros(len(design.labels), dtype=int)
        if design.records is not None:  # doses may have units of their own
            self.subject[design.records["unit"]] = design.records["subject"]
        for o in design.outcomes if design.records is None else ():
            self.subject[o.unit] = o.subject_number
        self.count = int(self.subject.max()) + 1
        parts = [np.full(self.terms, -1)]
        for level in design.levels:
            low, high = np.full(len(level.labels), self.count), np.full(len(level.labels), -1)
            np.minimum.at(low, level.of_unit, self.subject)
            np.maximum.at(high, level.of_unit, self.subject)
            parts.append(np.repeat(np.where(low == high, low, -1), len(level.effects)))
        self.of_column = np.concatenate(parts)
        self.own = self.of_column >= 0

    def fixed(self, x):
        ends = np.cumsum([len(self.design.fixed[name].terms) for name in self.names])[:-1]
        return dict(zip(self.names, np.split(x[: self.terms], ends), strict=True))

    def effects(self, x, factor):
        """eta by level, (group, effect)."""
        found, rest = {}, x[self.terms :]
        for level in self.design.levels:
            size = len(level.labels) * len(level.effects)
            found[level.name] = rest[:size].reshape(len(level.labels), -1) @ factor[level.name].T
            rest = rest[size:]
        return found

    def standardised(self, x, eta, factor):
        """x with these effects under a new factor."""
        parts = [np.linalg.solve(factor[level.name], eta[level.name].T).T.ravel() for level in self.design.levels]
        return np.concatenate([x[: self.terms], *parts])

    def scaled(self, factor):
        """Slopes of the linear predictors in x, sparse (unit and parameter, column)."""
        parts = [sparse.eye(self.terms)]
        parts += [sparse.kron(sparse.eye(len(level.labels)), factor[level.name]) for level in self.design.levels]
        return (self.matrix @ sparse.block_diag(parts)).tocsr()

    def linear(self, x, factor):
        """Linear predictors, (draw, unit, parameter), of x (draw, column)."""
        return (self.scaled(factor) @ x.T).T.reshape(len(x), *self.offset.shape) + self.offset

    def density(self, observed, f, sigma):
        with np.errstate(all="ignore"):
            return slopes(
                self.model.residual_of(observed.name), f, sigma[observed.name], observed, self.design.positive
            )

    def densities(self, observed, f, sigma):
        """Log-densities alone, (draw, record)."""
        with np.errstate(all="ignore"):
            return log_density(
                self.model.residual_of(observed.name), f, one(sigma[observed.name]), observed, self.design.positive
            )

    def distance(self, observed, f, sigma):
        with np.errstate(all="ignore"):
            return distances(
                self.model.residual_of(observed.name), f, sigma[observed.name], observed, self.design.positive
            )

    def log_density(self, x, factor, sigma):
        """By subject, (draw, subject): of measurements and of its own effects; and of the rest, (draw,)."""
        f, order = self.predict(np.ascontiguousarray(self.linear(x, factor).transpose(0, 2, 1)))
        quadratic = -0.5 * self.precision * (x - self.mean) ** 2
        found = np.zeros((len(x), self.count))
        dense = {o.name: self.densities(o, f[o.name], sigma) for o in self.design.outcomes}
        for d in range(len(x)):
            found[d] += np.bincount(self.subject, order[d], self.count)
            found[d] += np.bincount(self.of_column[self.own], quadratic[d, self.own], self.count)
            for o in self.design.outcomes:
                found[d] += np.bincount(self.subject[o.unit], dense[o.name][d], self.count)
        return np.where(np.isnan(found), -np.inf, found), quadratic[:, ~self.own].sum(axis=1)

    def derivatives(self, x, factor, sigma, *, drawn=True):
        """Information (outcome, unit, parameter, parameter) and slope (outcome, unit, parameter) of the log-likelihood
        in the linear predictors; and by outcome the predictions and their derivatives (record, parameter).

        ``drawn``: measurements that are `OUTLYING` off draw their predictions in proportion to the distance; the
        likelihood itself hardly slopes where a prediction with proportional scatter is many times too large.
        """
        return self.around(self.linear(x[None], factor), sigma, drawn=drawn)

    def around(self, linear, sigma, *, drawn=False):
        """`derivatives` on average over linear predictors (draw, unit, parameter); those that are ``drawn`` are one."""
        draws, units, n = linear.shape
        rows = np.concatenate([np.zeros((1, n)), np.diag(self.lengths), -np.diag(self.lengths)])
        moved = (linear[:, None] + rows[:, None]).reshape(-1, units, n)
        f, _ = self.predict(np.ascontiguousarray(moved.transpose(0, 2, 1)))
        outcomes, each = self.design.outcomes, {}
        j, slope = np.zeros((len(outcomes), units, n, n)), np.zeros((len(outcomes), units, n))
        for k, o in enumerate(outcomes):
            here = f[o.name].reshape(draws, len(rows), -1)
            g = (here[:, 1 : n + 1] - here[:, n + 1 :]) / (2 * self.lengths[:, None])  # (draw, parameter, record)
            _, s, w = self.density(o, here[:, 0], sigma)
            if drawn:
                away = self.distance(o, here[0, 0], sigma)
                s = np.where(np.abs(away) > OUTLYING, np.sqrt(w) * away, s)
            solved = np.isfinite(g).all(axis=1)
            g, known = np.where(solved[:, None], g, 0.0), np.isfinite(s) & np.isfinite(w) & solved
            s, w = np.where(known, s, 0.0), np.where(known, w, 0.0)  # of planned records nothing is known but slopes
            sums = sparse.csr_array((np.ones(len(o.unit)), (np.arange(len(o.unit)), o.unit)), (len(o.unit), units))
            slope[k] = ((g * s[:, None]).mean(axis=0) @ sums).T
            products = np.einsum("dnr,dmr,dr->nmr", g, g, w, optimize=True) / draws
            j[k] = (products.reshape(n * n, -1) @ sums).T.reshape(units, n, n)
            each[o.name] = here[:, 0].mean(axis=0), g.mean(axis=0).T
        return j, slope, each

    def step(self, x, factor, j, slope, columns):
        """Gauss-Newton step of the chosen columns, (column,), and the covariance of the fixed effects among them."""
        change = np.zeros(len(x))
        if not columns.any():
            return change, np.zeros((self.terms, self.terms))
        j, slope = j.sum(axis=0), slope.sum(axis=0)
        d = self.scaled(factor)[:, columns]
        blocks = sparse.bsr_matrix((j, np.arange(len(j)), np.arange(len(j) + 1)))
        hessian = d.T @ blocks @ d + sparse.diags(self.precision[columns])
        solver = linalg.splu(hessian.tocsc(), permc_spec="MMD_AT_PLUS_A")
        change[columns] = solver.solve(d.T @ slope.ravel() - (self.precision * (x - self.mean))[columns])
        if not columns[: self.terms].all() or not self.terms:
            return change, np.zeros((self.terms, self.terms))
        return change, solver.solve(np.eye(columns.sum(), self.terms))[: self.terms]

    def best(self, x, factor, sigma, change):
        """x after the best part of a step: one part for all, or one for each subject if only its own effects move."""
        tried = x + LENGTHS[:, None] * change
        own, rest = self.log_density(tried, factor, sigma)
        if change[~self.own].any():
            return tried[np.argmax(own.sum(axis=1) + rest)]
        return self.chosen(tried, own)

    def chosen(self, tried, own):
        """Of several x that differ in the subjects' own effects, the best for each subject."""
        best = np.argmax(own, axis=0)
        found = tried[-1].copy()
        found[self.own] = tried[best[self.of_column[self.own]], np.flatnonzero(self.own)]
        return found
