r"""Random effects moved to where the data put them: the parametrisation "transport".

Near the pilot's estimate the log-likelihood of a group is about a parabola in its linear predictors l = X theta + eta,
-l' J l / 2 + h' l. Given the population of the current draw the effects eta = A u, with A A' = Omega, are then normal:

.. math:: u \sim N(P^{-1} r, P^{-1}), \qquad P = 1 + A' J A, \qquad r = A' (h - J X \theta)

With the Cholesky factor P = R R' the sampler moves z, u = R'^-1 (R^-1 r + z), whose density is corrected by the exact
Jacobian: the posterior is the same for any J and h. Without information z = u (non-centred); with much, z measures eta
in units of its own posterior (centred). After Papaspiliopoulos, Roberts and Sköld (2007), Stat. Sci. 22, 59-73; Kleppe
(2019), Stat. Comput. 29, 795-817; Osmundsen, Kleppe and Liesenfeld (2021), J. Comput. Graph. Stat. 30, 906-919.

Levels that are nested are treated together: what a subject's data say of its site is left when the subject's own
effects are integrated out, J - J A P^-1 A' J, summed over the subjects of the site.
"""

from dataclasses import dataclass

import numpy as np
import pymc as pm
import pytensor.tensor as pt

MOST = 8  # effects of a group, its outer levels included, that are written out


@dataclass(frozen=True, eq=False)
class Information:
    """What the data say of the effects of nested levels, from a pilot.

    ``levels``: names, outermost first; ``effects``: those of all of them, without repetition; of the groups of the
    innermost level: ``j`` (group, effect, effect), ``h`` (group, effect), and ``slope`` (group, effect, term) = J X for
    the terms of all parameters in their order; ``parents``: for each level but the innermost, the group of each group
    of the next inner one.
    """

    levels: tuple
    effects: tuple
    j: np.ndarray
    h: np.ndarray
    slope: np.ndarray
    parents: tuple

    def arrays(self):
        """Arrays by name that differ between datasets."""
        return {f"transport_{name}": getattr(self, name) for name in ("j", "h", "slope")}


class _Group:
    """What is known of the groups of a level: entries of J and h, a vector over groups each, on all effects."""

    def __init__(self, factor, own, j, h):
        self.own, self.j, self.h = own, j, h
        k = len(own)
        self.a = [[factor[i, m] for m in range(i + 1)] for i in range(k)]
        within = [
            [sum(j[own[i], own[m]] * self.a[m][n] for m in range(n, k)) for n in range(k)] for i in range(k)
        ]  # J A
        p = {
            (i, n): sum(self.a[m][i] * within[m][n] for m in range(i, k)) + (1.0 if i == n else 0.0)
            for i in range(k) for n in range(i + 1)
        }  # fmt: skip
        self.r = _cholesky(p, k)

    def message(self):
        """J and h that are left for the outer levels when the effects of this one are integrated out."""
        k, size = len(self.own), len(self.h)
        columns = [self._forward([self._back(self._row(e), i) for i in range(k)]) for e in range(size)]
        mean = self._forward([self._back([self.h[o] for o in self.own], i) for i in range(k)])
        h = [self.h[e] - sum(c * m for c, m in zip(columns[e], mean, strict=True)) for e in range(size)]
        j = {
            (e, f): self.j[e, f] - sum(a * b for a, b in zip(columns[e], columns[f], strict=True))
            for e in range(size) for f in range(size)
        }  # fmt: skip
        return j, h

    def effects(self, z):
        """Effects eta of the groups, a vector each, and the log-density that they have beyond that of ``z``."""
        k = len(self.own)
        w = self._forward([self._back([self.h[o] for o in self.own], i) for i in range(k)])
        w = [a + z[:, i] for i, a in enumerate(w)]
        u = [None] * k
        for i in reversed(range(k)):
            u[i] = (w[i] - sum(self.r[m, i] * u[m] for m in range(i + 1, k))) / self.r[i, i]
        eta = [sum(self.a[i][m] * u[m] for m in range(i + 1)) for i in range(k)]
        beyond = sum(0.5 * (z[:, i] ** 2 - u[i] ** 2) - pt.log(self.r[i, i]) for i in range(k))
        return eta, pt.sum(beyond)

    def _row(self, e):
        return [self.j[o, e] for o in self.own]

    def _back(self, x, i):
        """Row i of A' x."""
        return sum(self.a[m][i] * x[m] for m in range(i, len(self.own)))

    def _forward(self, b):
        """R^-1 b."""
        found = []
        for i in range(len(b)):
            found.append((b[i] - sum(self.r[i, m] * found[m] for m in range(i))) / self.r[i, i])
        return found


def _cholesky(p, k):
    r = {}
    for n in range(k):
        r[n, n] = pt.sqrt(p[n, n] - sum(r[n, m] ** 2 for m in range(n)))
        for i in range(n + 1, k):
            r[i, n] = (p[i, n] - sum(r[i, m] * r[n, m] for m in range(n))) / r[n, n]
    return r


def add_effects(information, levels, factors, theta):
    """Add the standardised effects of nested levels to the current PyMC model.

    ``levels``: the design's, by name; ``factors``: A of each, (effect, effect), by name; ``theta``: all fixed effects,
    (term,). Returns eta by level, (group, effect).
    """
    data = {name: pm.Data(name, value) for name, value in information.arrays().items()}
    j, slope = data["transport_j"], data["transport_slope"]
    size = len(information.effects)
    h = data["transport_h"] - (slope.reshape((-1, slope.shape[2])) @ theta).reshape((-1, size))
    entries = {(e, f): j[:, e, f] for e in range(size) for f in range(size)}
    vector = [h[:, e] for e in range(size)]
    groups = {}
    for position in reversed(range(len(information.levels))):
        name = information.levels[position]
        own = [information.effects.index(effect) for effect in levels[name].effects]
        groups[name] = _Group(factors[name], own, entries, vector)
        if position:
            parent, count = information.parents[position - 1], len(levels[information.levels[position - 1]].labels)
            entries, vector = _gathered(*groups[name].message(), parent, count)
    eta, inner = {}, None
    for position, name in enumerate(information.levels):
        group = groups[name]
        if inner is not None:
            group.h = _given(group, inner, information.parents[position - 1])
        z = pm.Normal(f"z_{name}", 0.0, 1.0, dims=(name, f"{name}_effect"))
        each, beyond = group.effects(z)
        pm.Potential(f"transport_{name}", beyond)
        eta[name] = pt.stack(each, axis=1)
        known = dict(zip(group.own, each, strict=True))
        if inner is not None:
            parent = information.parents[position - 1]
            known = {e: known.get(e, 0.0) + (inner[e][parent] if e in inner else 0.0) for e in {*known, *inner}}
        inner = known
    return eta


def _gathered(j, h, parent, count):
    """Sums over the groups of an outer level."""
    places = sorted({tuple(sorted(place)) for place in j})
    stacked = pt.stack([*(j[place] for place in places), *h], axis=1)
    total = pt.inc_subtensor(pt.zeros((count, len(places) + len(h)))[parent], stacked)
    entries = {}
    for k, (e, f) in enumerate(places):
        entries[e, f] = entries[f, e] = total[:, k]
    return entries, [total[:, len(places) + k] for k in range(len(h))]


def _given(group, outer, parent):
    """h of a level when the effects of the outer levels are known."""
    return [h - sum(group.j[e, f] * values[parent] for f, values in outer.items()) for e, h in enumerate(group.h)]
