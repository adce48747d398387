"""Free variables of a PyMC model: default priors, those that override them, and the table of both."""

import numpy as np
import pymc as pm
import pytensor.tensor as pt

from nlmebayes.errors import ModelError
from nlmebayes.parameter.laws import SQUARED, Law, add_each
from nlmebayes.parameter.parameter import Prior, by_label, support


class Variables:
    """Adds free variables with their default prior or the one that overrides it, and remembers which."""

    def __init__(self, overrides):
        self.overrides = overrides
        self.aliases = {}
        self.laws = []
        self.rows = []

    def add(self, name, prior, dim, labels, transform=None):
        """Add a variable with its prior; one that is stated by coefficient leaves the others theirs. ``transform`` is
        what the sampler sees of it where it has no bounds."""
        laws = self._laws(name, prior, labels if dim else [""])
        self.laws += laws
        self.rows += [law.row for law in laws]
        return add_each(laws, dim, transform)

    def _laws(self, name, prior, labels):
        """The `Law` of every coordinate of a variable."""
        stated, squared = self._stated(name)
        if not isinstance(stated, dict):
            chosen = prior if stated is None else stated
            _within(name, chosen, prior, squared)
            each = chosen.each(labels, name)
            origin = "default" if stated is None else "model"
            return [Law(name, label, p, squared, origin) for label, p in zip(labels, each, strict=True)]
        stated, found = _known(name, stated, labels), []
        for label, usual in zip(labels, prior.each(labels, name), strict=True):
            own = stated.get(label)
            if own is not None:
                _within(f"{name}[{label}]", own, usual, squared)
            law = (usual, False, "default") if own is None else (own.alone(f"{name}[{label}]"), squared, "model")
            found.append(Law(name, label, *law))
        return found

    def _stated(self, name):
        """What is stated of a variable, and whether of its square; None where nothing is."""
        plain, square = self.overrides.get(name), self.overrides.get(f"{name}{SQUARED}")
        if plain is not None and square is not None:
            raise ModelError(f"priors: {name} and {name}{SQUARED} are one variable; state the prior of one of them")
        return (plain, False) if square is None else (square, True)

    def add_shrunk(self, name, prior, dim, labels, omega, index, transform):
        """Normal coefficients, those with an ``index`` from 0 around zero with the SD ``omega`` of that index."""
        laws, curved = self._laws(name, prior, labels), np.asarray(index) >= 0
        for law, shrunk, place in zip(laws, curved, index, strict=True):
            if law.prior.family != "Normal" or set(law.prior.parameters) != {"mu", "sigma"} or law.squared:
                raise ModelError(f"prior of {name}: coefficients beside a smooth are Normal; got {law.prior}")
            self.rows.append(law.row | ({"prior": f"Normal(mu=0, sigma={omega.name}[{place}])"} if shrunk else {}))
        self.laws += [law for law, shrunk in zip(laws, curved, strict=True) if not shrunk]
        mu, sigma = (np.array([law.prior.parameters[k] for law in laws]) for k in ("mu", "sigma"))
        scale = pt.switch(curved, omega[np.maximum(index, 0)], sigma)
        return pm.Normal(name, np.where(curved, 0.0, mu), scale, dims=dim, default_transform=transform)

    def add_correlation(self, level, block, n):
        """Cholesky factor of a correlation matrix; its prior may be given under either name, with or without ``n``."""
        name = f"chol_corr_{block}"
        plain = [k for k in (name.removeprefix("chol_"), f"corr_{level}") if k in self.overrides]
        if name not in self.overrides and plain:
            self.aliases[plain[0]] = name
            self.overrides = self.overrides | {name: self.overrides[plain[0]]}
        given = self.overrides.get(name)
        if given is not None and given.family == "LKJCorr":
            self.overrides = self.overrides | {name: Prior("LKJCorr", {"n": n, **given.parameters})}
        return self.add(name, Prior("LKJCorr", n=n, eta=2.0), None, ())

    def finish(self):
        """Every override must have met its variable."""
        names = list(dict.fromkeys(row["variable"] for row in self.rows))
        for name in self.overrides:
            if name.removesuffix(SQUARED) not in names and name not in self.aliases:
                raise ModelError(
                    f"priors: no variable {name!r} in the graph; its free variables are {', '.join(names)}"
                )


def by_variable(structure, priors):
    """Stated priors by variable; that of a parameter is one of its fixed effects."""
    names = {p.name: f"theta_{p.name}" for p in structure.parameters}
    twice = [name for name in names if name in priors and names[name] in priors]
    if twice:
        raise ModelError(f"priors: {twice[0]} and theta_{twice[0]} are one variable; state its prior once")
    return {names.get(name, name): dict(each) if isinstance(each, dict) else each for name, each in priors.items()}


def _within(name, chosen, default, squared=False):
    """Refuse a prior of values that the variable cannot have, such as a Normal of an SD."""
    (low, high), (lowest, highest) = support(chosen), support(default)
    if squared and lowest < 0:
        raise ModelError(f"prior of {name}{SQUARED}: {name} is no SD, so it has no variance; state the prior of {name}")
    if low < lowest or high > (highest**2 if squared else highest):
        what = f"{name}{SQUARED}" if squared else name
        raise ModelError(
            f"prior of {what}: {chosen} has values from {low:g} to {high:g}, and {name} lies between {lowest:g} and "
            f"{highest:g}; take one of these values, such as {default}"
        )


def _known(name, stated, labels):
    """What is stated by coefficient, of which every one exists."""
    if list(labels) == [""]:
        raise ModelError(f"prior of {name}: it is one number, so its prior is one: priors={{{name!r}: Prior(...)}}")
    found = by_label(stated, labels)
    for label in found:
        if label not in labels:
            raise ModelError(f"prior of {name}: no coefficient {label!r}; its coefficients are {', '.join(labels)}")
    return found
