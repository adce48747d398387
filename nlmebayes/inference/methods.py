"""What a fit may be asked for, known before anything that samples is imported."""

from typing import Literal

from nlmebayes.errors import ModelError

Backend = Literal["numba", "jax"]
Method = Literal["nuts", "map", "laplace", "pathfinder", "ml", "reml"]
MAXIMA = ("ml", "reml", "map")  # with the random effects integrated out: nothing is sampled


def check_approximable(method, backend):
    if method != "nuts" and backend != "numba":
        raise ModelError(f'method={method!r} takes backend="numba"')
