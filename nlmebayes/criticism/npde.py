r"""Normalised prediction distribution errors: where an observation lies among what the model simulates in its place.

With K replicates of all records, :math:`y^{(k)}_{ij}` of record j of subject i,

.. math:: pd_{ij} = \frac1K \sum_k [y^{(k)}_{ij} < y_{ij}], \qquad npd_{ij} = \Phi^{-1}(pd_{ij})

and npde the same after observations and replicates of a subject have been decorrelated by the mean and covariance
(divisor K - 1) of its replicates. If the model is right both are standard normal; the decorrelated records of a subject
are uncorrelated, and independent where replicates are normal.
"""

import numpy as np
import pandas as pd
from scipy import special

from nlmebayes.arguments import Array, Integer, Number, Seed, Switch, Text, checked
from nlmebayes.criticism.decorrelation import by_cholesky
from nlmebayes.errors import ModelError

Labels = list[Text | Integer | Number]
BELOW, MEASURED, ABOVE = 1, 0, -1  # what CENS says of a record


@checked
def npde(
    observed: Array, simulated: Array, *, by: Labels | None = None, lloq: Array | None = None,
    uloq: Array | None = None, censored: Array | None = None, ties: Switch = True, random_seed: Seed | None = 0,
) -> pd.DataFrame:  # fmt: skip
    """Prediction discrepancies and prediction distribution errors of observations beside simulated ones.

    Parameters
    ----------
    observed : array (record,)
    simulated : array (replicate, record)
        More replicates than any subject has records; a thousand serve most data.
    by : list (record,), optional
        Label of each record's subject, whose records are decorrelated together; by default all are one's.
    lloq, uloq : float or array (record,), optional
        Limits of quantification of all records, measured or not.
    censored : array (record,), optional
        As CENS: 1 where the record is known to lie below ``lloq``, -1 above ``uloq``, 0 where it was measured. By
        default what lies beyond the limits is censored.
    ties : bool
        False spreads each share evenly over the 1/K that it stands for. In any case a share of 0 is taken for 1/(2K),
        and 1 for 1 - 1/(2K), or is drawn from the last 1/K.
    random_seed : int, optional

    Returns
    -------
    DataFrame
        One row per record: ``by``; ``epred`` the mean of the replicates; ``eres`` the observation minus it; ``ewres``
        the decorrelated observation; ``pd`` and ``npd``; ``pde`` and ``npde``; ``ycomp`` the observation, or what was
        imputed for it.

    Raises
    ------
    ModelError
        Shapes that do not fit; a subject with as many records as there are replicates; records that do not vary.

    Notes
    -----
    Of a censored record pd is drawn from U(0, P(y < lloq)), and the observation imputed from the replicates below the
    limit. Each replicate below its limit is imputed in the same way, so that observations and replicates have the same
    covariance. Source: Comets, Brendel and Mentré (2008), Comput. Methods Programs Biomed. 90, 154-166,
    doi:10.1016/j.cmpb.2007.12.002; of censored records Nguyen, Comets and Mentré (2012), J. Pharmacokinet.
    Pharmacodyn. 39, 499-518, doi:10.1007/s10928-012-9264-2; the rules of npde 3.

    Examples
    --------
    >>> import numpy as np, nlmebayes as nb
    >>> simulated = np.random.default_rng(1).standard_normal((1000, 4))
    >>> nb.npde([1.5, 1.0, -1.0, 0.5], simulated, by=["a", "a", "b", "b"])["npd"].round(1).tolist()
    [1.5, 1.0, -1.0, 0.5]
    """
    simulated = _replicates(observed, simulated)
    labels = _each(by if by is not None else ["all"] * len(observed), observed, "by")
    limits = [_limit(given, observed, name) for name, given in (("lloq", lloq), ("uloq", uloq))]
    flags = _flags(observed, *limits, censored)
    found = errors(observed, simulated, labels, flags, *limits, ties=ties, rng=np.random.default_rng(random_seed))
    return pd.DataFrame(({"by": labels} if by is not None else {}) | found)


def errors(observed, simulated, labels, flags, lloq=None, uloq=None, *, ties=True, rng):
    """Columns of `npde` of arrays that fit: flags (record,) as CENS, limits (record,) or None."""
    many, epred = len(simulated), simulated.mean(axis=0)
    discrepancy = (simulated < observed).mean(axis=0)
    if lloq is not None or uloq is not None:
        lloq, uloq = (np.full(len(observed), x) if y is None else y for x, y in ((-np.inf, lloq), (np.inf, uloq)))
        below, above = simulated < lloq, simulated > uloq
        ordered = np.sort(simulated, axis=0)
        observed, drawn = _imputed(observed, ordered, flags == BELOW, flags == ABOVE, below, above, rng)
        discrepancy = np.where(flags == MEASURED, discrepancy, drawn)
        simulated = _imputed(simulated, ordered, below, above, below, above, rng)[0]
    ewres, share = np.empty(len(observed)), np.empty(len(observed))
    for label, here in places(labels).items():
        ewres[here], share[here] = _decorrelated(observed[here], simulated[:, here], label)
    discrepancy, share = (inside(x, many, ties, rng) for x in (discrepancy, share))
    return {
        "epred": epred, "eres": observed - epred, "ewres": ewres, "pd": discrepancy, "npd": special.ndtri(discrepancy),
        "pde": share, "npde": special.ndtri(share), "ycomp": observed,
    }  # fmt: skip


def places(labels):
    """Positions of the records of each label, in order of appearance."""
    number, names = pd.factorize(np.asarray(labels, dtype=object))
    order = np.argsort(number, kind="stable")
    return dict(zip(names, np.split(order, np.cumsum(np.bincount(number))[:-1]), strict=True))


def inside(share, many, ties, rng):
    """Shares of so many replicates, none of them 0 or 1."""
    if ties:
        return np.clip(share, 0.5 / many, 1 - 0.5 / many)
    return np.minimum(share, 1 - 1 / many) + rng.random(share.shape) / many


def _imputed(y, ordered, low, high, below, above, rng):
    """y (..., record) with what is censored drawn from the replicates beyond the limit, and the shares drawn.

    ``ordered`` (replicate, record) are the replicates, the least first, ``below`` and ``above`` which are beyond.
    """
    many = len(ordered)
    shares = below.mean(axis=0), above.mean(axis=0)
    u = rng.random(y.shape)
    share = np.where(low, u * shares[0], np.where(high, 1 - (1 - u) * shares[1], 0.0))
    chosen = np.minimum((share * many).astype(int), many - 1)
    values = np.take_along_axis(ordered, np.atleast_2d(chosen), axis=0).reshape(y.shape)
    return np.where(low | high, values, y), share


def _decorrelated(y, simulated, label):
    """Decorrelated observations of a subject and the share of decorrelated replicates below each."""
    if len(simulated) <= simulated.shape[1]:
        raise ModelError(
            f"npde: {label} has {simulated.shape[1]} records and there are {len(simulated)} replicates; decorrelation "
            "needs more replicates than records, give more"
        )
    mean, covariance = simulated.mean(axis=0), np.atleast_2d(np.cov(simulated, rowvar=False))
    try:
        own, others = by_cholesky(y, mean, covariance), by_cholesky(simulated, mean, covariance)
    except ModelError as error:
        raise ModelError(f"npde: {label}: {error}") from None
    return own, (others < own).mean(axis=0)


def randomised(y, simulated, rng):
    """Shares of the replicates of each record below y (..., record), those that equal it counted by a random part.

    Of counts and categories it is a draw from U(F(y-), F(y)): Dunn and Smyth (1996), J. Comput. Graph. Stat. 5,
    236-244, doi:10.1080/10618600.1996.10474708.
    """
    many, every = len(simulated), np.atleast_2d(y)
    ordered, found = np.sort(simulated, axis=0), np.empty(every.shape)
    for r in range(every.shape[1]):
        low, high = (np.searchsorted(ordered[:, r], every[:, r], side=side) for side in ("left", "right"))
        found[:, r] = (low + rng.random(len(every)) * (high - low)) / many
    return np.clip(found, 0.5 / many, 1 - 0.5 / many).reshape(np.shape(y))


def _replicates(observed, simulated):
    if observed.ndim != 1 or not len(observed):
        raise ModelError(f"npde: observed must be (record,), of one record at least; its shape is {observed.shape}")
    if simulated.ndim != 2 or simulated.shape[1] != len(observed) or len(simulated) < 2:
        raise ModelError(
            f"npde: simulated must be (replicate, record) of {len(observed)} records; its shape is {simulated.shape}"
        )
    return simulated


def _each(values, observed, name):
    """A value for each record."""
    if np.shape(values) != observed.shape:
        raise ModelError(
            f"npde: {name} must have one value for each of {len(observed)} records; its shape is {np.shape(values)}"
        )
    return np.asarray(values, dtype=object if name == "by" else float)


def _limit(given, observed, name):
    """A limit for each record, or None."""
    if given is None:
        return None
    return _each(np.full(observed.shape, given) if given.ndim == 0 else given, observed, name)


def _flags(observed, lloq, uloq, censored):
    """What each record is, as CENS."""
    if censored is None:
        below, above = (np.zeros(len(observed), bool) if x is None else f(observed, x)
                        for x, f in ((lloq, np.less), (uloq, np.greater)))  # fmt: skip
        return np.where(below, BELOW, np.where(above, ABOVE, MEASURED))
    flags = _each(censored, observed, "censored")
    if not np.isin(flags, (BELOW, MEASURED, ABOVE)).all():
        raise ModelError("npde: censored must be 1 (below lloq), -1 (above uloq) or 0 (measured)")
    for kind, limit, name in ((BELOW, lloq, "lloq"), (ABOVE, uloq, "uloq")):
        if (flags == kind).any() and limit is None:
            raise ModelError(f"npde: censored records need their limit, which all records have; give {name}=")
    return flags
