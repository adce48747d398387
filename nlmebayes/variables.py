"""Free variables of a PyMC model: default priors, those that override them, and the table of both."""

import numpy as np
import pymc as pm
import pytensor.tensor as pt

from nlmebayes.errors import ModelError
from nlmebayes.parameter import Prior, support


class Variables:
    """Adds free variables with their default prior or the one that overrides it, and remembers which."""

    def __init__(self, overrides):
        self.overrides = overrides
        self.aliases = {}
        self.rows = []

    def add(self, name, prior, dim, labels):
        chosen = self.overrides.get(name, prior)
        _within(name, chosen, prior)
        origin = "model" if name in self.overrides else "default"
        for i, label in enumerate(labels if dim else [""]):
            values = {k: v if np.ndim(v) == 0 else _at(v, i, labels, name) for k, v in chosen.at(labels, name).items()}
            text = f"{chosen.family}({', '.join(f'{k}={v:g}' for k, v in values.items())})"
            self.rows.append({"variable": name, "coordinate": label, "prior": text, "from": origin})
        return chosen.add(name, dims=dim, labels=labels)

    def add_shrunk(self, name, prior, dim, labels, omega, index, transform):
        """Normal coefficients, those with an ``index`` from 0 around zero with the SD ``omega`` of that index."""
        chosen = self.overrides.get(name, prior)
        if chosen.family != "Normal":
            raise ModelError(f"prior of {name}: coefficients beside a smooth are Normal; got {chosen}")
        index, origin = np.asarray(index), "model" if name in self.overrides else "default"
        mu, sigma = (np.broadcast_to(chosen.at(labels, name)[k], len(labels)).astype(float) for k in ("mu", "sigma"))
        curved = index >= 0
        for label, place, m, s in zip(labels, index, mu, sigma, strict=True):
            text = f"Normal(mu=0, sigma={omega.name}[{place}])" if place >= 0 else f"Normal(mu={m:g}, sigma={s:g})"
            self.rows.append({"variable": name, "coordinate": label, "prior": text, "from": origin})
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
            if name not in names and name not in self.aliases:
                raise ModelError(
                    f"priors: no variable {name!r} in the graph; its free variables are {', '.join(names)}"
                )


def _within(name, chosen, default):
    """Refuse a prior of values that the variable cannot have, such as a Normal of an SD."""
    (low, high), (lowest, highest) = support(chosen), support(default)
    if low < lowest or high > highest:
        raise ModelError(
            f"prior of {name}: {chosen} has values from {low:g} to {high:g}, and {name} lies between {lowest:g} and "
            f"{highest:g}; take one of these values, such as {default}"
        )


def _at(values, i, labels, name):
    if len(values) != len(labels):
        raise ModelError(f"prior of {name}: {len(values)} values for {len(labels)} coordinates: {', '.join(labels)}")
    return values[i]
