r"""The Savage-Dickey ratio of an equality: posterior over prior density of a quantity at a point.

.. math:: BF_{01} = \frac{p(\psi = \psi_0 \mid y)}{p(\psi = \psi_0)}

It is the Bayes factor of the model with the quantity at the point, whose other priors are those given it, over the
model as it stands. The prior density is exact, and so only known for one coordinate with a prior of its own (any
one-to-one function of it, for the ratio is the same on every scale), and for sums of coordinates with Normal priors.
The posterior density is that of normal kernels about the draws, drawn towards their mean so that their variance is that
of the draws (West 1993, J. R. Stat. Soc. B 55, 409-422), on the scale on which the coordinate is unbounded: exact on
average where that posterior is normal. Kernels are as wide as narrower ones agree with (Lepski 1991, Theory Probab.
Appl. 35, 454-466), so that they blur no narrow mode and fill no valley.

Source: Dickey (1971), Ann. Math. Stat. 42, 204-223, doi:10.1214/aoms/1177693507; Verdinelli and Wasserman (1995), J.
Am. Stat. Assoc. 90, 614-618.
"""

import numpy as np
from arviz_stats import ess
from scipy import optimize, stats

from nlmebayes.errors import ModelError
from nlmebayes.evaluation import storage
from nlmebayes.evaluation.fitted import ESTIMATES
from nlmebayes.evaluation.log_priors import log_priors
from nlmebayes.parameter.laws import IMPROPER

BEYOND = 10  # draws that lie further out than the point, without which nobody knows the density there
ERROR = 0.3  # relative, of a posterior density that is told
GRID = 400  # places at which a function of one coordinate is followed
AFFINE = 1e-9
NARROWER = 5  # widths of kernels, each half of the one before
AGREED = 2  # errors of a narrow one from which a wider may differ


def savage_dickey(known, statement, coordinates):
    """The ratio of an equality, `statements.Statement`, over `Coordinate` by name.

    Raises
    ------
    ModelError
        The prior or posterior density at the point cannot be had; says why.
    """
    _has_a_prior(known)
    own = {(c.variable, c.label): c for c in coordinates.values()}
    if len(own) == 1:
        return _of_one(known, statement, coordinates, next(iter(own.values())))
    return _of_normals(known, statement, coordinates, own)


def _has_a_prior(known):
    model = known.model
    if storage.LAWS not in known.tree.attrs or ESTIMATES in known.tree.children:
        raise ModelError("hypothesis: = needs a posterior from fit, beside the priors under which it was drawn")
    if model.structure.order:
        names = ", ".join(gap.__name__ for gap in model.structure.order)
        raise ModelError(
            f"hypothesis: =: {model.structure.label} keeps the order {names}, so that no prior is the stated one, and "
            "its density is not known"
        )


def _law(known, coordinate):
    """The prior of a coordinate; None of a correlation, whose law is that of its matrix."""
    laws = storage.laws_of(known.tree, known.model, known.training)
    found = [law for law in laws if law.variable == coordinate.variable and law.coordinate == coordinate.label]
    name = f"{coordinate.variable}[{coordinate.label}]" if coordinate.label else coordinate.variable
    if not found:
        raise ModelError(f"hypothesis: =: the prior of {name} depends on other variables, so its density is not known")
    if found[0].prior.family in IMPROPER:
        raise ModelError(f"hypothesis: =: the prior of {name} is improper, so it has no density to compare with")
    return found[0]


def _beta(known, coordinate):
    """The law of (r + 1) / 2 of a correlation under LKJ (Lewandowski et al. 2009)."""
    stated = {law.variable: law for law in storage.laws_of(known.tree, known.model, known.training)}
    for level in known.training.levels:
        for block in level.blocks if coordinate.variable == f"corr_{level.name}" else ():
            names = [level.effects[k].name for k in block.effects]
            law = stated.get(f"chol_corr_{block.variable(level)}")
            if set(coordinate.label) <= set(names) and law is not None and law.prior.family == "LKJCorr":
                a = law.prior.parameters["eta"] + len(names) / 2 - 1
                return stats.beta(a, a)
    raise ModelError(f"hypothesis: =: the prior of {coordinate.variable}[{', '.join(coordinate.label)}] has no density")


def _prior(known, coordinate):
    """Bounds of a coordinate, and its log-density as a function of one value."""
    if isinstance(coordinate.label, tuple):
        beta = _beta(known, coordinate)
        return (-1.0, 1.0), lambda x: beta.logpdf((x + 1) / 2) - np.log(2)
    law = _law(known, coordinate)
    return law.bounds, lambda x: log_priors([law], np.full((1, 1, 1), x)).item()


def _of_one(known, statement, coordinates, coordinate):
    """Of a function of one coordinate."""
    bounds, log_prior = _prior(known, coordinate)

    def gap(x):
        return statement.quantity({name: c.natural(x) for name, c in coordinates.items()}) + np.zeros_like(x)

    point = _root(statement, gap, coordinate.draws, bounds)
    draws, at, slope = _unbounded(coordinate.draws, point, bounds)
    return float(_density(statement, draws, at) * np.exp(-log_prior(point)) / slope)


def _root(statement, gap, draws, bounds):
    """The only value of the coordinate at which both sides are equal."""
    free = _unbounded(draws, draws.mean(), bounds)[0]
    low, high, wide = free.min(), free.max(), max(np.ptp(free), 1e-6)
    places = _bounded(np.linspace(low - 20 * wide, high + 20 * wide, GRID), bounds)
    places = places[(places > bounds[0]) & (places < bounds[1])]
    values = gap(places)
    finite = np.isfinite(values)
    places, values = places[finite], values[finite]
    steps = np.diff(values)
    if not ((steps >= 0).all() or (steps <= 0).all()) or not steps.any():
        raise ModelError(f"hypothesis {statement.text!r}: its sides can be equal at several values of one coordinate")
    crossed = np.flatnonzero(np.diff(np.sign(values)))
    if not crossed.size or min(values[0] * values[-1], 0.0) == 0.0:
        raise ModelError(
            f"hypothesis {statement.text!r}: no value inside the range of its prior makes its sides equal (an SD of 0 "
            "is at its edge), or one so far from all draws that its density is not known"
        )
    return float(
        optimize.brentq(lambda x: gap(np.array(x)).item(), places[crossed[0]], places[crossed[0] + 1], xtol=1e-14)
    )


def _unbounded(draws, point, bounds):
    """Draws and a point on the scale on which a coordinate is unbounded, and the slope of the point there."""
    low, high = bounds
    if np.isfinite(low) and np.isfinite(high):
        wide = high - low
        draws, share = (draws - low) / wide, (point - low) / wide
        draws = np.clip(draws, 1e-300, 1 - 1e-16)
        return (
            np.log(draws) - np.log1p(-draws),
            np.log(share) - np.log1p(-share),
            wide * share * (1 - share),
        )
    if np.isfinite(low):
        return np.log(np.maximum(draws - low, 1e-300)), np.log(point - low), point - low
    if np.isfinite(high):
        return -np.log(np.maximum(high - draws, 1e-300)), -np.log(high - point), high - point
    return draws, point, 1.0


def _bounded(values, bounds):
    """Values back from the scale on which they are unbounded."""
    low, high = bounds
    with np.errstate(over="ignore"):
        if np.isfinite(low) and np.isfinite(high):
            return low + (high - low) / (1 + np.exp(-values))
        if np.isfinite(low):
            return low + np.exp(values)
        return high - np.exp(-values) if np.isfinite(high) else values


def _of_normals(known, statement, coordinates, own):
    """Of a sum of coordinates with Normal priors."""
    laws = {key: _law(known, c) if not isinstance(key[1], tuple) else None for key, c in own.items()}
    several = ", ".join(f"{v}[{x}]" if x else v for v, x in own)

    def quantity(values):
        named = {name: c.natural(values[c.variable, c.label]) for name, c in coordinates.items()}
        return statement.quantity(named)

    zero = quantity(dict.fromkeys(own, 0.0))
    weights = {key: quantity({k: float(k == key) for k in own}) - zero for key in own}
    draws = quantity({key: c.draws for key, c in own.items()})
    straight = zero + sum(weights[key] * c.draws for key, c in own.items())
    size = np.abs(zero) + sum(np.abs(weights[key] * c.draws) for key, c in own.items())
    affine = np.isfinite(draws).all() and (np.abs(draws - straight) <= AFFINE * size).all()
    normal = all(law and law.prior.family == "Normal" and not law.squared for law in laws.values())
    if not (affine and normal):
        raise ModelError(
            f"hypothesis {statement.text!r}: the prior of what is made of {several} is known only of sums of "
            "coordinates with Normal priors; compare on the scale on which they are, such as log(cl) with log(v)"
        )
    numbers = {key: law.prior.parameters for key, law in laws.items()}
    mean = zero + sum(weights[key] * p["mu"] for key, p in numbers.items())
    sd = np.sqrt(sum((weights[key] * p["sigma"]) ** 2 for key, p in numbers.items()))
    return float(_density(statement, draws, 0.0) / stats.norm(mean, sd).pdf(0.0))


def _density(statement, draws, at):
    """Density of draws (chain, draw) at a point."""
    flat = draws.ravel()
    beyond = min((flat < at).sum(), (flat > at).sum())
    if beyond < BEYOND:
        raise ModelError(
            f"hypothesis {statement.text!r}: {beyond} of {flat.size} draws lie beyond equality, so that the density "
            "there is not known; the data speak against it. Ask for the probability of a direction, or draw more"
        )
    mean, sd = flat.mean(), flat.std()
    found, error = [], []
    for width in flat.size**-0.2 / 2.0 ** np.arange(NARROWER):
        centres = mean + np.sqrt(1 - width**2) * (draws - mean)
        kernels = stats.norm.pdf(at, centres, width * sd)
        found.append(kernels.mean())
        error.append(kernels.std() / np.sqrt(float(ess(kernels, method="mean"))))
    found, error = np.array(found), np.array(error)
    agree = [(np.abs(found[k] - found[k:]) <= AGREED * error[k:]).all() for k in range(NARROWER)]
    widest = int(np.argmax(agree))
    if not error[widest] <= ERROR * found[widest]:
        raise ModelError(
            f"hypothesis {statement.text!r}: too few draws lie near equality to tell the density; draw more"
        )
    return found[widest]
