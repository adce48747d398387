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

from nlmebayes.solver.normal.conjugate import Message, NormalEffects

MOST = 12  # effects of a group, its outer levels included


@dataclass(frozen=True, eq=False)
class Information:
    """What the data say of the effects of nested levels, from a pilot.

    ``levels``: names, outermost first; ``effects``: those of all of them, without repetition; of each outcome and the
    groups of the innermost level: ``j`` (outcome, group, effect, effect), ``h`` (outcome, group, effect), and ``slope``
    (outcome, group, effect, column) = J X for the terms of all parameters in their order, then for the effects (group,
    effect) of the levels ``beside``, which are crossed with these; ``parents``: for each level but
    the innermost, the group of each group of the next inner one; ``f``: predictions that stand for all of an outcome,
    (outcome, point), and ``log_precision``: that of measurements there on average, (outcome,).
    """

    levels: tuple
    effects: tuple
    beside: tuple
    j: np.ndarray
    h: np.ndarray
    slope: np.ndarray
    parents: tuple
    f: np.ndarray
    log_precision: np.ndarray

    def arrays(self):
        """Arrays by name that differ between datasets."""
        return {f"transport_{name}": getattr(self, name) for name in ("j", "h", "slope")} | self.scatter()

    def scatter(self):
        """Those of the residuals."""
        return {"transport_f": self.f, "transport_log_precision": self.log_precision}


def add_effects(information, levels, factors, known, precisions):
    """Add the standardised effects of nested levels to the current PyMC model.

    ``levels``: the design's, by name; ``factors``: A of each, (effect, effect), by name; ``known``: all fixed effects
    and those of the levels beside, (column,); ``precisions``: of each outcome, by which its information is multiplied.
    Returns eta by level, (group, effect).
    """
    data = {name: fixed_data(f"transport_{name}", getattr(information, name)) for name in ("j", "h", "slope")}
    names = information.levels
    inner = data["h"] - (data["slope"] * known).sum(axis=3)
    inner = sum(precisions[k] * inner[k] for k in range(len(information.f)))
    whole = sum(precisions[k] * data["j"][k] for k in range(len(information.f)))
    own = {
        name: np.array([information.effects.index(e) for e in levels[name].effects], dtype=np.int64) for name in names
    }
    j, h = {names[-1]: whole}, {names[-1]: inner}
    for outer, name, parent in reversed(list(zip(names, names[1:], information.parents, strict=False))):
        left = Message()(own[name], factors[name], j[name], h[name])
        j[outer], h[outer] = (_summed(x, parent, len(levels[outer].labels)) for x in left)
    eta, known = {}, None  # effects of the outer levels, (group, effect) on all effects
    for name, parent in zip(names, (None, *information.parents), strict=True):
        if known is not None:
            known = known[parent]
            h[name] = h[name] - (j[name] * known[:, None, :]).sum(axis=2)
        z = pm.Normal(f"z_{name}", 0.0, 1.0, dims=(name, f"{name}_effect"))
        eta[name], log_ratio = NormalEffects()(own[name], factors[name], j[name], h[name], z)
        pm.Potential(f"transport_{name}", log_ratio[0])
        known = pt.zeros((len(levels[name].labels), len(information.effects))) if known is None else known
        known = pt.inc_subtensor(known[:, own[name]], eta[name])
    return eta


def fixed_data(name, value):
    """Data of the current PyMC model whose shape never changes."""
    return pt.specify_shape(pm.Data(name, value), value.shape)


def _summed(values, parent, count):
    """Sums over the groups of an outer level."""
    return pt.inc_subtensor(pt.zeros((count, *values.shape[1:]))[parent], values)
