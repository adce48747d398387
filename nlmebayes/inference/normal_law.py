r"""What records tell that are normal together: the expected information of y ~ N(f, V),

.. math:: M_{ab} = \partial_a f' V^{-1} \partial_b f +
    \tfrac12 \operatorname{tr} (V^{-1} \partial_a V \, V^{-1} \partial_b V)

Source: Magnus and Neudecker (1988), Matrix Differential Calculus, section 15.
"""

import numpy as np


def information(slopes, variance, changes):
    """Expected information (number, number) of records on numbers that move them.

    Parameters
    ----------
    slopes : (record, number)
        Of the means.
    variance : (record, record)
    changes : (number, record, record)
        Slopes of the variance.

    Raises
    ------
    LinAlgError
        Nothing scatters.
    """
    inverse = np.linalg.inv(variance)
    products = inverse @ np.asarray(changes, dtype=float).reshape(slopes.shape[1], *variance.shape)
    traces = np.einsum("aij,bji->ab", products, products, optimize=True)
    return slopes.T @ inverse @ slopes + 0.5 * traces
