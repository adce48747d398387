"""How published models state the spread of their random effects, and what it is as SDs and correlations.

    sd            omega
    variance      omega^2, as NONMEM prints it
    cv_percent    of a log-normal parameter: omega = sqrt(log(1 + (CV/100)^2)), exact
    cv_percent_approximate   omega = CV/100, the small-CV shortcut that many papers print
    covariance    {"names": [...], "matrix": [[...]]}, whole or the lower triangle
    correlation   {"cl v": 0.4}, beside any of the first four

Source of the conversions: the moments of a log-normal, CV^2 = exp(omega^2) - 1.
"""

from typing import Annotated

import numpy as np

from nlmebayes.arguments import Number, Positive, Text, kind_of, number, read
from nlmebayes.errors import ModelError

Correlation = Annotated[float, number("a number between -1 and 1, both excluded", -1.0, 1.0)]

KINDS = {
    "sd": lambda x: x,
    "variance": np.sqrt,
    "cv_percent": lambda x: np.sqrt(np.log1p((x / 100) ** 2)),
    "cv_percent_approximate": lambda x: x / 100,
}
MATRICES = ("covariance", "correlation")


def is_spread(stated):
    """Whether a table states the spread of one level, rather than that of several by name."""
    return bool(stated) and all(key in KINDS or key in MATRICES for key in stated)


def named(stated, level):
    """Names of the effects that a level's table states."""
    stated = _known(stated, level)
    found = [name for kind in KINDS for name in stated.get(kind, {})]
    found += _matrix_of(stated, level)[0]
    for name in found:
        if found.count(name) > 1:
            raise ModelError(f"omega of {level}: {name} is stated twice; state each effect once")
    return found


def joined(stated, level):
    """Names of the effects that correlate with another."""
    stated = _known(stated, level)
    names, matrix = _matrix_of(stated, level)
    apart = np.abs(matrix - np.diag(np.diag(matrix))).sum(axis=1) > 0 if names else []
    found = [name for name, together in zip(names, apart, strict=True) if together]
    return [*found, *(name for pair in stated.get("correlation", {}) for name in pair.split() if name not in found)]


def spread(stated, level, effects):
    """(omega, correlations) of the effects of a level, (effect,) and (effect, effect), in their order.

    Raises
    ------
    ModelError
        An effect that the model lacks or that is not stated, a number that is not positive, a matrix that is no
        covariance.
    """
    stated, names = _known(stated, level), named(stated, level)
    for name in names:
        if name not in effects:
            raise ModelError(f"omega of {level}: no effect {name!r} in the formulas; there are {', '.join(effects)}")
    missing = [name for name in effects if name not in names]
    if missing:
        raise ModelError(
            f"omega of {level}: {missing[0]} is not stated; state it, or write {missing[0]} without (1|{level})"
        )
    place = {name: i for i, name in enumerate(effects)}
    sd, corr = np.zeros(len(effects)), np.eye(len(effects))
    for kind, convert in KINDS.items():
        for name, value in stated.get(kind, {}).items():
            sd[place[name]] = convert(value)
    within, matrix = _matrix_of(stated, level)
    if within:
        k = [place[name] for name in within]
        sd[k] = np.sqrt(np.diag(matrix))
        corr[np.ix_(k, k)] = matrix / np.outer(sd[k], sd[k])
    for pair, value in stated.get("correlation", {}).items():
        i, j = (place.get(name) for name in (*pair.split(), None)[:2])
        if i is None or j is None or i == j:
            raise ModelError(f"omega of {level}: correlation {pair!r} names no two effects, as in 'cl v'")
        corr[i, j] = corr[j, i] = value
    if np.linalg.eigvalsh(corr).min() < 1e-10:
        raise ModelError(f"omega of {level}: the correlations are of no distribution (not positive definite)")
    return sd, corr


def _known(stated, level):
    """A level's table in its canonical spelling."""
    for key in stated:
        if key not in KINDS and key not in MATRICES:
            known = ", ".join((*KINDS, *MATRICES))
            raise ModelError(f"omega of {level}: no way to state it {key!r}; there are {known}")
    wanted = dict.fromkeys(KINDS, dict[Text, Positive]) | {"correlation": dict[Text, Correlation]}
    found = {key: read(f"omega of {level}", key, kind_of(wanted[key]), stated[key]) for key in stated if key in wanted}
    if "covariance" not in stated:
        return found
    both = read(f"omega of {level}", "covariance", kind_of(dict[Text, list[Text] | list[list[Number]]]),
                stated["covariance"])  # fmt: skip
    if set(both) != {"names", "matrix"}:
        keys = ", ".join(both) or "neither"
        raise ModelError(f"omega of {level}: covariance is stated by its names and its matrix; got {keys}")
    return found | {"covariance": both}


def _matrix_of(stated, level):
    """Names and covariance of the table ``covariance``."""
    if "covariance" not in stated:
        return [], np.zeros((0, 0))
    names, rows = stated["covariance"]["names"], stated["covariance"]["matrix"]
    lower = [list(row) for row in rows]
    n = len(names)
    if [len(row) for row in lower] == list(range(1, n + 1)):
        matrix = np.zeros((n, n))
        for i, row in enumerate(lower):
            matrix[i, : i + 1] = matrix[: i + 1, i] = row
    else:
        matrix = np.array(lower, dtype=float) if all(len(row) == n for row in lower) else np.zeros((0, 0))
    if matrix.shape != (n, n) or not np.allclose(matrix, matrix.T):
        raise ModelError(f"omega of {level}: covariance has {n} names; its matrix must be {n} x {n} and symmetric")
    if not (np.diag(matrix) > 0).all():
        raise ModelError(f"omega of {level}: a variance of covariance is not positive; leave out effects without one")
    return names, matrix
