"""Other parameters of a mammillary model whose curve after oral doses is the same: rates that can be exchanged.

With rates lambda_i of the disposition, rates z_j at which its peripherals return the drug, and an absorption of rate
ka, the Laplace transform of the concentration is

    D / V  ka  prod_j (s + z_j) / ((s + ka) prod_i (s + lambda_i))

so ka can be exchanged with the rate of disposition that lies between the same two z, V being scaled (Godfrey 1983,
Compartmental Models and Their Application, ch. 6). Of two parallel absorptions either one can, as long as the part of
the first stays between 0 and 1.
"""

import numpy as np


def mirrors(structure, p):
    """Individual parameters (unit,) by name that give the same curve as ``p``: a dict for each place.

    The structure's parameters are, with clearances, cl, v, and q, v of each peripheral; with rates k10, and k1j, kj1 of
    each, v; with half-lives these, the shares of the phases, v.
    """
    values = [getattr(p, q.name) for q in structure.disposition_parameters()[structure.parametrisation]]
    rates, zeros, volume = _spectrum(structure.parametrisation, values)
    if structure.absorption != "parallel":
        rate, rates = _exchanged(p.ka, rates, zeros)
        return [{"ka": rate} | _named(structure, rates, zeros, volume * rate / p.ka)]
    return [_of_two(structure, p, which, rates, zeros, volume) for which in ("ka", "ka2")]


def _of_two(structure, p, which, rates, zeros, volume):
    """With one of two absorption rates exchanged; the faster is the first."""
    rate, rates = _exchanged(getattr(p, which), rates, zeros)
    other = p.ka2 if which == "ka" else p.ka
    fast, slow = np.maximum(rate, other), np.minimum(rate, other)
    gain = fast * slow / (p.ka * p.ka2)
    part = ((p.fr * p.ka + (1 - p.fr) * p.ka2) * gain - slow) / np.maximum(fast - slow, 1e-12 * fast)
    return {"ka": fast, "ka2": slow, "fr": np.clip(part, 1e-3, 1 - 1e-3)} | _named(
        structure, rates, zeros, volume * gain
    )


def _exchanged(ka, rates, zeros):
    """The rate of disposition that takes the place of ``ka`` (unit,), and rates (rate, unit) with ``ka`` in its."""
    which = (zeros > ka).sum(axis=0)[None]
    rate = np.take_along_axis(rates, which, axis=0)[0]
    rates = rates.copy()
    np.put_along_axis(rates, which, ka[None], axis=0)
    return rate, rates


def _spectrum(parametrisation, values):
    """Rates of the disposition, and those of return, (rate, unit), fastest first; and the volume (unit,)."""
    if parametrisation == "half-lives":
        many = len(values) // 2
        rates, shares, left = np.log(2) / np.stack(values[:many]), [], 1.0
        for part in values[many:-1]:
            shares.append(left * part)
            left = left * (1 - part)
        return rates, _zeros(rates, np.stack([*shares, left + 0 * rates[0]])), values[-1]
    if parametrisation == "rates":
        k10, exchange, volume = values[0], values[1:-1], values[-1]
        out, back = np.stack([k10, *exchange[::2]])[1:], np.stack([k10, *exchange[1::2]])[1:]
    else:
        cl, volume, exchange = values[0], values[1], values[2:]
        k10, flows = cl / volume, np.stack([cl, *exchange[::2]])[1:]
        out, back = flows / volume, flows / np.stack([cl, *exchange[1::2]])[1:]
    matrix = np.zeros((len(volume), len(out) + 1, len(out) + 1))
    matrix[:, 0, 0] = k10 + out.sum(axis=0)
    for j in range(len(out)):
        matrix[:, j + 1, j + 1] = back[j]
        matrix[:, 0, j + 1] = matrix[:, j + 1, 0] = np.sqrt(out[j] * back[j])
    return np.linalg.eigvalsh(matrix).T[::-1], -np.sort(-back, axis=0), volume


def _zeros(rates, shares):
    """Those of sum_i share_i / (s + rate_i), with the sign changed, (rate, unit)."""
    each = [_polynomial(np.delete(rates, i, axis=0)) * shares[i] for i in range(len(rates))]
    found = [np.sort(-np.roots(c).real)[::-1] for c in np.sum(each, axis=0).T]
    return np.array(found).reshape(rates.shape[1], len(rates) - 1).T


def _polynomial(rates):
    """Coefficients, highest power first, of prod (s + rate), (coefficient, unit)."""
    return np.array([np.atleast_1d(np.poly(-each)) for each in rates.T]).T


def _named(structure, rates, zeros, volume):
    """Parameters of the disposition by name."""
    rates = -np.sort(-rates, axis=0)
    k10 = rates.prod(axis=0) / zeros.prod(axis=0)
    out = []
    for j, z in enumerate(zeros):
        apart = (np.delete(zeros, j, axis=0) - z).prod(axis=0)
        out.append(-(rates - z).prod(axis=0) / (z * apart))
    exchange = list(zip(out, zeros, strict=True))
    if structure.parametrisation == "rates":
        values = [k10, *(x for each in exchange for x in each), volume]
    elif structure.parametrisation == "clearance":
        values = [k10 * volume, volume, *(x for k, z in exchange for x in (k * volume, k * volume / z))]
    else:
        values = [*(np.log(2) / rates), *_parts(rates, zeros), volume]
    names = [q.name for q in structure.disposition_parameters()[structure.parametrisation]]
    return dict(zip(names, values, strict=True))


def _parts(rates, zeros):
    """The share of each phase, but the last, in what those before it leave."""
    left, found = 1.0, []
    for i, rate in enumerate(rates[:-1]):
        share = (zeros - rate).prod(axis=0) / (np.delete(rates, i, axis=0) - rate).prod(axis=0)
        found.append(share / left)
        left = left - share
    return found
