"""Quick approximations of the posterior on the sampler's unconstrained scale.

Its mode, a normal law there (Laplace), and the best normal law on the way to it (Pathfinder). They see the same density
as the sampler, with effects moved to where the data put them: the mode is about that of the population with the effects
integrated out, and a normal law is close where the sampler does well. Draws are weighted by the exact density and
Pareto-smoothed (Vehtari et al. 2024, JMLR 25(72)); k-hat says how far they can be trusted.
"""

from dataclasses import dataclass

import numpy as np
from scipy import linalg, optimize

from nlmebayes.errors import ModelError
from nlmebayes.evaluation.weights import KHAT, smoothed, systematic

METHODS = ("map", "laplace", "pathfinder")
MOST = 3000  # coordinates of a normal law with all its correlations
STEPS = 1000  # of a search for the mode
MEMORY = 6  # steps that a curvature is estimated from
TRIED = 8  # draws that an approximation on the way to the mode is judged by
LENGTH = 1e-4  # of a difference of gradients


@dataclass(frozen=True, eq=False)
class Found:
    """Draws (draw, coordinate), not weighted; k-hat of their weights, ``nan`` for a mode; log-density at the mode."""

    draws: np.ndarray
    khat: float
    log_density: float


def found(density, starts, method, draws, rng):
    """Draws of an approximation.

    Parameters
    ----------
    density : function of (coordinate,) that gives (log-density, its gradient); minus infinity where there is none
    starts : list of (coordinate,), one for each search
    method : {"map", "laplace", "pathfinder"}
    draws : int

    Returns
    -------
    Found

    Raises
    ------
    ModelError
        No such method; no finite density at a start; too many coordinates for ``"laplace"``.
    """
    if method not in METHODS:
        raise ModelError(f"no method {method!r}; there are nuts, {', '.join(METHODS)}")
    paths = [_path(density, start) for start in starts]
    best = max(paths, key=lambda path: path[2])
    if method == "map":
        return Found(best[0][-1][None], np.nan, best[2])
    if method == "laplace":
        each = [_normal(density, best[0][-1], rng, draws * len(paths))]
    else:
        each = [_along(density, path, rng, draws) for path in paths]
    x, log_weight = (np.concatenate(parts) for parts in zip(*each, strict=True))
    return Found(*_resampled(x, log_weight, draws, rng), best[2])


def _path(density, start):
    """Places (step, coordinate) that a search of the mode passes, their gradients, and the log-density of the last."""
    log_density, slope = density(start)
    if not np.isfinite(log_density):
        raise ModelError("no finite density where the search for the mode starts; look at the priors")
    trail, tried = [(start, slope)], {}  # the slopes of this step's places, of which one is passed

    def negative(x):
        value, slope = density(x)
        tried[x.tobytes()] = slope
        return (-value, -slope) if np.isfinite(value) else (1e300, np.zeros_like(x))

    def passed(intermediate_result):
        x = intermediate_result.x.copy()
        trail.append((x, tried[x.tobytes()]))
        tried.clear()

    end = optimize.minimize(
        negative, start, jac=True, method="L-BFGS-B", callback=passed,
        options={"maxiter": STEPS, "maxfun": 4 * STEPS, "ftol": 1e-12, "gtol": 1e-5, "maxcor": 20},
    )  # fmt: skip
    return np.array([x for x, _ in trail]), np.array([g for _, g in trail]), -end.fun


def _normal(density, mode, rng, draws):
    """Draws of the normal law with the curvature of the mode, and their log-weights."""
    n = len(mode)
    if n > MOST:
        raise ModelError(f'method="laplace" takes up to {MOST} coordinates, not {n}: take method="pathfinder"')
    hessian = np.empty((n, n))
    for i in range(n):
        step = LENGTH * np.eye(1, n, i)[0]
        hessian[i] = (density(mode - step)[1] - density(mode + step)[1]) / (2 * LENGTH)
    unit = 1 / np.sqrt(np.maximum(np.abs(np.diag(hessian)), 1e-300))  # of each coordinate, so that all are alike
    values, vectors = linalg.eigh((hessian + hessian.T) / 2 * unit[:, None] * unit)
    root = unit[:, None] * vectors / np.sqrt(np.maximum(values, 1e-4 * values.max()))
    z = rng.standard_normal((draws, n))
    return _weighed(density, mode + z @ root.T, -0.5 * (z**2).sum(axis=1))


def _weighed(density, x, log_q):
    """Draws and their log-weights."""
    return x, np.array([density(row)[0] for row in x]) - log_q


def _along(density, path, rng, draws):
    """Draws of the best normal law along a path, by the evidence bound of each, and their log-weights.

    Pathfinder: Zhang, Carpenter, Gelman and Vehtari (2022), JMLR 23(306), 1-49.
    """
    places, slopes, _ = path
    alpha, pairs, best, bound = np.ones(places.shape[1]), [], None, -np.inf
    for place, slope, s, y in zip(
        places[1:], slopes[1:], np.diff(places, axis=0), -np.diff(slopes, axis=0), strict=True
    ):
        if s @ y > 1e-12 * (y @ y) > 0:
            alpha = _diagonal(alpha, s, y)
            pairs = [*pairs, (s, y)][-MEMORY:]
        if not pairs:
            continue
        law = _LowRankNormal(place, slope, alpha, pairs)
        value = _weighed(density, *law.drawn(rng, TRIED))[1].mean()
        if value > bound:
            best, bound = law, value
    if best is None:
        raise ModelError('method="pathfinder" found no normal law with a finite density; take method="nuts"')
    return _weighed(density, *best.drawn(rng, draws))


def _diagonal(alpha, s, y):
    """The diagonal of the inverse curvature after another step (Gilbert and Lemaréchal 1989)."""
    a, b, c = y @ (alpha * y), y @ s, s @ (s / alpha)
    return 1 / (a / (b * alpha) + y**2 / b - a * s**2 / (b * c * alpha**2))


class _LowRankNormal:
    """A normal law whose covariance is a diagonal and a product of a few columns: of steps and changes of the slope."""

    def __init__(self, place, slope, alpha, pairs):
        s, y = (np.array(each).T for each in zip(*pairs, strict=True))
        inner = np.triu(s.T @ y)
        inverse = linalg.solve_triangular(inner, np.eye(len(pairs)))
        low = inverse.T @ (np.diag(np.diag(inner)) + y.T @ (alpha[:, None] * y)) @ inverse
        gamma = np.block([[np.zeros_like(low), -inverse], [-inverse.T, low]])
        beta = np.hstack([alpha[:, None] * y, s])
        self.root, self.q, r = np.sqrt(alpha), *np.linalg.qr(beta / np.sqrt(alpha)[:, None])
        values, vectors = linalg.eigh(np.eye(len(r)) + r @ gamma @ r.T)
        self.values, self.vectors = np.maximum(values, 1e-12), vectors
        self.mean = place + alpha * slope + beta @ (gamma @ (beta.T @ slope))
        self.log_size = 0.5 * np.log(self.values).sum() + np.log(self.root).sum()

    def drawn(self, rng, n):
        """Draws and their log-densities, but for a constant."""
        z = rng.standard_normal((n, len(self.mean)))
        part = z @ self.q
        moved = (part @ self.vectors * np.sqrt(self.values)) @ self.vectors.T - part
        x = self.mean + (z + moved @ self.q.T) * self.root
        return x, -0.5 * (z**2).sum(axis=1) - self.log_size


def _resampled(x, log_weight, draws, rng):
    """Draws by weight where k-hat allows it, else as they are; and k-hat."""
    log_weight = np.where(np.isfinite(log_weight), log_weight, -np.inf)
    if not np.isfinite(log_weight).any():
        raise ModelError("no draw of the approximation has a finite density; take method='nuts'")
    weight, khat = smoothed(np.maximum(log_weight, log_weight.max() - 700))
    if khat > KHAT:
        weight = np.isfinite(log_weight) / np.isfinite(log_weight).sum()
    return x[systematic(weight, draws, rng)], khat
