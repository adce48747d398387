"""Records of one subject made independent of one another: by Cholesky's triangle, and by the symmetric root.

Both give numbers of mean 0 and variance 1 from y of mean m and covariance V. They are not the same ones: Cholesky's
follow the order of the records, the symmetric root treats all alike.
"""

import numpy as np
from scipy.linalg import solve_triangular

from nlmebayes.errors import ModelError

LEAST = 1e-12  # eigenvalue of a correlation matrix below which records say the same


def by_cholesky(y, mean, covariance):
    r""":math:`L^{-1} (y - m)` with :math:`L L' = V`, of one or many y, (record,) or (many, record).

    Raises
    ------
    ModelError
        V is not positive definite.

    Source: Brendel et al. (2006), Pharm. Res. 23, 2036-2049, doi:10.1007/s11095-006-9067-5.
    """
    scale = _scale(covariance)
    try:
        triangle = np.linalg.cholesky(covariance / np.outer(scale, scale))
    except np.linalg.LinAlgError:
        raise _singular() from None
    if np.diag(triangle).min() ** 2 < LEAST:
        raise _singular()
    return solve_triangular(triangle, ((y - mean) / scale).T, lower=True).T


def by_symmetric_root(y, mean, covariance):
    r""":math:`V^{-1/2} (y - m)` with the symmetric root of V by its eigenvectors, (record,), as NONMEM takes it.

    Raises
    ------
    ModelError
        V is not positive definite.
    """
    values, vectors = np.linalg.eigh(covariance)
    scale = _scale(covariance)
    if np.linalg.eigvalsh(covariance / np.outer(scale, scale))[0] < LEAST or values[0] <= 0:
        raise _singular()
    return vectors @ ((vectors.T @ (y - mean)) / np.sqrt(values))


def _scale(covariance):
    """SD of each record."""
    variance = np.diag(covariance)
    if not (np.isfinite(covariance).all() and (variance > 0).all()):
        raise _singular()
    return np.sqrt(variance)


def _singular():
    return ModelError(
        "the records cannot be decorrelated, for some of them do not vary or follow from the others; leave out records "
        "that are known beforehand, and records that stand twice"
    )
