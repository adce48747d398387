r"""P-values of numbers that a true model makes independent and standard normal, one for each draw of a posterior.

With the parameters that made the data drawn from the prior, a draw of the posterior and the data have the joint law
that the true parameters and the data have. So what is standard normal at the true parameters, :math:`(y - f) / w` or
:math:`\eta / \omega`, is standard normal at one draw (Johnson 2007, Bayesian Anal. 2, 719-734,
doi:10.1214/07-BA229; Yuan and Johnson 2012, Biometrics 68, 156-164, doi:10.1111/j.1541-0420.2011.01668.x), and each
draw has an exact p-value. Those of one posterior depend on each other; e times their geometric mean is a p-value
whatever their dependence (Vovk and Wang 2020, Biometrika 107, 791-808, doi:10.1093/biomet/asaa027).

Logarithms are kept, for the most important finding is that of the least p-value, which may be too small for a number.
"""

import numpy as np
from scipy import sparse, stats

LEAST = -700.0  # log p-values below it are all alike
SPARE = 3  # degrees of freedom that a regression leaves at least
CHANCE = np.log(0.05)  # of what clusters differ in
CLUSTERS = 10  # subjects from which on sums within them are compared


def merged(log_p):
    """Logarithm of one p-value from those of draws, (draw,), whatever their dependence."""
    return float(min(0.0, 1.0 + np.maximum(log_p, LEAST).mean()))


def orthonormal(columns):
    """Orthonormal columns (row, column) with the same span beside a constant; those that add nothing are dropped."""
    centred = columns - columns.mean(axis=0)
    left, size, _ = np.linalg.svd(centred, full_matrices=False)
    return left[:, size > 1e-8 * max(size.max(initial=0.0), 1e-300)]


def polynomials(x, degree):
    """Orthonormal polynomials of the ranks of x (row,), up to a degree, so that no value far out weighs more."""
    ranks = stats.rankdata(x)
    degree = min(degree, len(np.unique(ranks)) - 1)
    at = 2 * (ranks - ranks.min()) / max(np.ptp(ranks), 1e-300) - 1
    return orthonormal(np.polynomial.legendre.legvander(at, degree)[:, 1:])


def indicators(labels):
    """Orthonormal columns of groups (row,)."""
    return orthonormal((np.asarray(labels)[:, None] == np.unique(labels)).astype(float))


def explained(values, basis, clusters=None):
    """Logarithms of the p-values (draw,) of a regression of ``values`` (draw, row) on an orthonormal ``basis``, (row,
    column) or (draw, row, column), by the F test; and the shares explained.

    With ``clusters`` (row,) nothing is significant that Hotelling's test of their sums takes for chance, so that
    correlation within clusters does not pass for an effect.
    """
    q, n = basis.shape[-1], values.shape[1]
    if not q or n - q - 1 < SPARE:
        return None
    centred = values - values.mean(axis=1, keepdims=True)
    total = np.maximum((centred**2).sum(axis=1), 1e-300)
    of_basis = (np.matmul(centred[:, None], basis)[:, 0] ** 2).sum(axis=1)
    rest = np.maximum(total - of_basis, 1e-300)
    log_p = _of_f(of_basis / q / (rest / (n - q - 1)), q, n - q - 1)
    if clusters is not None and log_p.mean() < CHANCE and _between(centred, basis, clusters).mean() > CHANCE:
        log_p = np.zeros_like(log_p)
    return log_p, of_basis / total


def _between(values, basis, clusters):
    """Logarithms of the p-values (draw,) of Hotelling's test that the sums within clusters of ``values`` times each
    column have mean zero; the least of few clusters."""
    number = np.unique(clusters, return_inverse=True)[1]
    many, n, q = number.max() + 1, len(number), basis.shape[-1]
    if many < max(CLUSTERS, 2 * q + SPARE):
        return np.full(len(values), LEAST)
    summing = sparse.csr_array((np.ones(n), (number, np.arange(n))), shape=(many, n))
    t = np.array([
        _hotelling(summing @ (row[:, None] * columns))
        for row, columns in zip(values, np.broadcast_to(basis, (len(values), n, q)), strict=True)
    ])  # fmt: skip
    return _of_f((many - q) / (q * (many - 1)) * t, q, many - q)


def _hotelling(sums):
    """T squared of rows (cluster, column)."""
    spread = np.atleast_2d(np.cov(sums, rowvar=False))
    spread = spread + 1e-12 * np.trace(spread) * np.eye(len(spread))
    return len(sums) * sums.mean(axis=0) @ np.linalg.lstsq(spread, sums.mean(axis=0), rcond=None)[0]


def _of_f(ratio, over, under):
    """Logarithm of the tail of F."""
    with np.errstate(divide="ignore"):
        return np.maximum(stats.f.logsf(ratio, over, under), LEAST)


def serial(values, pairs, basis):
    """Logarithms of the p-values (draw,) of a positive correlation between the pairs (pair, 2) of rows next to each
    other, and the correlations, of ``values`` (draw, row) freed of an orthonormal ``basis`` (row, column).

    Moran's statistic with its mean and variance for independent normal values: Cliff and Ord (1981), Spatial
    Processes, ch. 2.
    """
    n, many = values.shape[1], len(pairs)
    basis = np.column_stack([np.full(n, n**-0.5), basis])
    rest = values - (values @ basis) @ basis.T
    free = n - basis.shape[1]
    one, other = pairs.T
    r = (rest[:, one] * rest[:, other]).sum(axis=1) / np.maximum((rest**2).sum(axis=1), 1e-300)
    mean = -(basis[one] * basis[other]).sum() / free
    z = (r - mean) / np.sqrt(many / (free * (free + 2)))
    return np.maximum(stats.norm.logsf(z), LEAST), r * n / many


def normal(values):
    """Logarithms of the p-values (draw,) of Shapiro and Wilk's test of ``values`` (draw, row), and its statistics."""
    found = [stats.shapiro(row) for row in values]
    with np.errstate(divide="ignore"):
        return np.maximum(np.log([each.pvalue for each in found]), LEAST), np.array([e.statistic for e in found])
