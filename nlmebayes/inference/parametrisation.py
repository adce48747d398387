"""Which parametrisation each random effect is sampled in, and why.

Nested levels are transported (`transport`). What that does not cover is centred where the data of a group say more of
its effects than the population does, and non-centred elsewhere (Papaspiliopoulos, Roberts and Sköld 2007).
"""

from dataclasses import replace
from itertools import pairwise

import numpy as np

from nlmebayes.errors import ModelError
from nlmebayes.evaluation.measurement import log_precisions
from nlmebayes.formula.grouping import (
    AUTO,
    CENTRED,
    NONCENTRED,
    TRANSPORT,
    Block,
    columns_of,
    contains,
    parents,
    summed,
)
from nlmebayes.inference.pilot import marginal
from nlmebayes.model.transport import MOST, Information

STAND = (np.arange(16) + 0.5) / 16  # ranks of the predictions of an outcome that stand for all
ROOM = 100_000  # slopes of transported groups in the effects of levels beside them
CROSSED = "its groups are crossed with those of {other}"
MANY = f"more than {MOST} effects"
MIXED = "some of its effects are asked for in another parametrisation"


def settle(model, design, pilot):
    """The design with a parametrisation for every effect, the `Information` of what is transported or ``None``, and a
    table of both, a dict each: level, effect, parametrisation, why."""
    names = [p.name for p in model.parameters]
    levels, rows, told_of = [], [], {}
    for level, j in zip(design.levels, marginal(design, names, pilot.j.sum(axis=0), pilot.factor), strict=True):
        factor = pilot.factor[level.name]
        told_of[level.name] = np.einsum("gkk->gk", factor.T @ j @ factor).mean(axis=0)  # per that of the population
    chain, why = _chain(design)
    for level in design.levels:
        told = told_of[level.name]
        if level.name in chain:
            blocks = tuple(replace(block, parametrisation=TRANSPORT) for block in level.blocks)
        else:
            if any(block.parametrisation == TRANSPORT for block in level.blocks):
                raise ModelError(f"level {level.name} cannot be transported: {why[level.name]}")
            blocks = _merged(part for block in level.blocks for part in _chosen(block, told))
        levels.append(replace(level, blocks=blocks))
        for block in blocks:
            for k in block.effects:
                reason = f"the data say {told[k]:.2g} times what the population does"
                if level.name in why:
                    reason += f"; not transported: {why[level.name]}"
                rows.append({
                    "level": level.name, "effect": level.effects[k].name, "parametrisation": block.parametrisation,
                    "why": reason,
                })  # fmt: skip
    design = replace(design, levels=tuple(levels))
    return design, information(model, design, pilot), rows


def _chain(design):
    """Names of nested levels to transport, outermost first; and for the others why not."""
    chain, effects, why = [], set(), {}
    for level in sorted(design.levels, key=lambda v: -len(v.labels)):
        asked = {block.parametrisation for block in level.blocks}
        if not asked & {AUTO, TRANSPORT}:
            continue
        if asked - {AUTO, TRANSPORT}:
            why[level.name] = MIXED
        elif len(effects | set(level.effects)) > MOST:
            why[level.name] = MANY
        elif chain and not contains(level, chain[-1]):
            why[level.name] = CROSSED.format(other=chain[-1].name)
        else:
            chain.append(level)
            effects |= set(level.effects)
    return [level.name for level in reversed(chain)], why


def _merged(blocks):
    """Blocks without correlations in the same parametrisation are one."""
    found = {}
    for position, block in enumerate(blocks):
        key = (block.parametrisation, None if block.name is None else position)
        before = found.get(key)
        found[key] = block if before is None else replace(before, effects=tuple(sorted(before.effects + block.effects)))
    return tuple(found.values())


def _chosen(block, told):
    """A block in the better of the two other parametrisations; without correlations, effect by effect."""
    if block.parametrisation != AUTO:
        return [block]
    if block.name is not None:
        return [replace(block, parametrisation=CENTRED if told[list(block.effects)].mean() > 1 else NONCENTRED)]
    centred = tuple(k for k in block.effects if told[k] > 1)
    rest = tuple(k for k in block.effects if told[k] <= 1)
    return [Block(k, None, kind) for k, kind in ((centred, CENTRED), (rest, NONCENTRED)) if k]


def information(model, design, pilot):
    """The `Information` of the levels that a settled design transports; ``None`` if there are none."""
    chain = [v for v in design.levels if v.blocks[0].parametrisation == TRANSPORT]
    names = [p.name for p in model.parameters]
    if not chain:
        return None
    levels = sorted(chain, key=lambda level: len(level.labels))
    inner = levels[-1]
    effects = tuple(dict.fromkeys(effect for level in levels for effect in level.effects))
    z, places = columns_of(effects, levels), [names.index(effect.parameter) for effect in effects]
    known = np.stack([design.fixed[name].offset for name in names], axis=1)
    columns = [design.fixed[name].values for name in names]
    beside = _beside(design, chain, len(inner.labels))
    for level in design.levels:
        if level not in chain and level not in beside:
            for k, effect in enumerate(level.effects):
                known[:, names.index(effect.parameter)] += level.z[:, k] * pilot.eta[level.name][level.of_unit, k]
    h = (pilot.h - np.einsum("oupq,uq->oup", pilot.j, known))[:, :, places] * z
    j = z[:, :, None] * pilot.j[:, :, places][:, :, :, places] * z[:, None, :]
    terms = [pilot.j[:, :, places, i, None] * x[:, None, :] * z[:, :, None] for i, x in enumerate(columns)]
    for level in beside:
        x = [level.z[:, k, None] * np.eye(len(level.labels))[level.of_unit] for k in range(len(level.effects))]
        at = [names.index(effect.parameter) for effect in level.effects]
        each = [pilot.j[:, :, places, i, None] * v[:, None, :] * z[:, :, None] for i, v in zip(at, x, strict=True)]
        terms.append(np.stack(each, axis=4).reshape(*each[0].shape[:3], -1))  # (group, effect)
    j, h, slope = (
        np.stack([summed(each, inner.of_unit, len(inner.labels)) for each in values])
        for values in (j, h, np.concatenate(terms, axis=3))
    )
    outer = tuple(parents(*pair) for pair in pairwise(levels))
    return Information(
        tuple(level.name for level in levels), effects, tuple(level.name for level in beside), j, h, slope, outer,
        *_points(model, design, pilot),
    )  # fmt: skip


def _beside(design, chain, groups):
    """Levels that stand in no group of a transported one, as their effects are then known first; unless there are so
    many that their slopes take too much room: then their effects are taken as the pilot found them."""
    others = [v for v in design.levels if v not in chain and not any(contains(outer, v) for outer in chain)]
    size = groups * sum(len(v.labels) * len(v.effects) for v in others)
    return others if size <= ROOM else []


def _points(model, design, pilot):
    """Predictions that stand for all of an outcome, (outcome, point), and the log precision of measurements there."""
    f = np.stack([np.quantile(values, STAND) for values in pilot.f.values()])
    log_precision = [
        float(log_precisions(model.residual_of(o.name), at, pilot.sigma[o.name], o).mean())
        for o, at in zip(design.outcomes, f, strict=True)
    ]
    return f, np.array(log_precision)
