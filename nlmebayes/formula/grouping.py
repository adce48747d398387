"""Group terms resolved against the units of a dataset: `Level`, `Block`, `Effect`.

A grouping is named by the columns that say it all, so that it means the same in new data. Only observed groups exist.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from nlmebayes.data.tidy import label, own_labels
from nlmebayes.data.validate import DataError
from nlmebayes.formula import FormulaError
from nlmebayes.formula.functions import FACTORS

CENTRED, NONCENTRED, TRANSPORT, AUTO = PARAMETRISATIONS = "centred", "noncentred", "transport", "auto"


@dataclass(frozen=True)
class Effect:
    """A random effect: of which parameter, on which column of the design (``Intercept`` or a slope)."""

    parameter: str
    column: str

    @property
    def name(self):
        return self.parameter if self.column == "Intercept" else f"{self.parameter}:{self.column}"


@dataclass(frozen=True)
class Block:
    """Effects of one level that share a correlation (``name``) or a parametrisation."""

    effects: tuple[int, ...]
    name: str | None
    parametrisation: str

    def variable(self, level):
        """Name of its variables, from that of its level."""
        return level.name if len(level.blocks) == 1 else f"{level.name}_{self.name or self.parametrisation}"


@dataclass(frozen=True, eq=False)
class Level:
    """The random effects of one grouping: ``of_unit`` gives each unit's group, ``z`` the column each effect scales."""

    name: str
    labels: tuple[str, ...]
    of_unit: np.ndarray
    effects: tuple[Effect, ...]
    blocks: tuple[Block, ...]
    z: np.ndarray  # (unit, effect)


def columns_of(effects, levels):
    """Columns of the design of effects that belong to any of the levels, (unit, effect)."""
    column = {effect: level.z[:, k] for level in levels for k, effect in enumerate(level.effects)}
    return np.stack([column[effect] for effect in effects], axis=1)


def contains(outer, inner):
    """Whether every group of ``inner`` lies in one group of ``outer``."""
    return len(set(zip(inner.of_unit.tolist(), outer.of_unit.tolist(), strict=True))) == len(inner.labels)


def parents(outer, inner):
    """The group of ``outer`` in which each group of ``inner`` lies."""
    found = np.zeros(len(inner.labels), dtype=int)
    found[inner.of_unit] = outer.of_unit
    return found


def summed(values, of, count):
    """Sums over groups of ``values`` (unit, ...), where ``of`` is the group of each."""
    total = np.zeros((count, *values.shape[1:]))
    np.add.at(total, of, values)
    return total


def group_terms(model, data, units, formulas, random, training):
    """One `Level` per distinct grouping of the units, in the order of the data's levels, then of appearance."""
    asked = dict.fromkeys(_innermost(term.factors, data.levels) for f in formulas for term in f.groups)
    level_of = training.level_of if training else {key: _canonical(key, asked, units, data.levels) for key in asked}
    groupings, terms, columns = {}, {}, {}
    _written_once([n for f in formulas for e in f.fixed.expressions if e.function in FACTORS for n in e.columns], data)
    for f, spelled in zip(formulas, training.formulas if training else formulas, strict=True):
        for term, named in zip(f.groups, spelled.groups, strict=True):
            here = dict(zip(named.factors, term.factors, strict=True))  # names of the training data -> of these
            key = _known(level_of, _innermost(term.factors, data.levels), here, f, data)
            columns[key] = tuple(here[name] for name in key)
            _written_once(columns[key], data)
            labels = _grouping(columns[key], units)
            groupings[key] = labels = _known_by(key[0], columns[key], labels, units, data, training)
            if training is None and labels.nunique() == 1:
                raise FormulaError(
                    f"formula {f.text!r}: {term.text} has one group only ({labels.iloc[0]}), so its SD cannot be "
                    f"estimated; leave it out, e.g. '{f.parameter} ~ {f.fixed}'"
                )
            terms.setdefault(key, []).append((f, term, random[f.parameter, term.effects.text]))
    place = {name: i for i, name in enumerate(data.levels)}
    order = sorted(groupings, key=lambda key: place.get(columns[key][0], len(place)))
    levels = tuple(_level(model, "_".join(key), groupings[key], terms[key]) for key in order)
    if training is None:
        _told_apart(levels)
    return levels, level_of


def _known(level_of, inner, here, formula, data):
    """The level of a group term; new data have the levels of the training data, perhaps in capitals."""
    there = {column: name for name, column in here.items()}
    key = tuple(there[column] for column in inner)
    if key not in level_of:
        raise FormulaError(
            f"formula {formula.text!r}: the data have the levels {', '.join(data.levels)}, in which {':'.join(key)} is "
            f"none of the groups that were fitted, {', '.join(':'.join(k) for k in level_of)}; declare the same levels"
        )
    return level_of[key]


def _written_once(columns, data):
    """No column of labels was read as numbers of which one is written in two ways."""
    for name in (name for name in columns if name in data.spelled):
        raise DataError(
            f"{data.source}, column {name}: {data.spelled[name]} were read as one number, and would be one group; "
            f"if they are two, write them with a letter, or make {name} a level; if they are one, write it in one way"
        )


def _grouping(key, units):
    """Label of each unit's group."""
    columns = [[str(label(value)) for value in units[column].tolist()] for column in key]
    return pd.Series(["/".join(parts) for parts in zip(*columns, strict=True)], dtype=object)


def _known_by(there, columns, labels, units, data, training):
    """The labels, in which one whose own label the training data know in another group has the label from there: a
    patient who is in another centre now."""
    if training is None or len(columns) > 1 or columns[0] not in data.unique or there not in training.unique:
        return labels
    trained = training.units
    known = dict(zip(own_labels(trained, training.nested, there), trained[there], strict=True))
    own = own_labels(units, data.levels, columns[0])
    return pd.Series([known.get(name, path) for name, path in zip(own, labels, strict=True)], dtype=object)


def _canonical(key, asked, units, levels):
    """The part of a group term's columns that says it all: ``site:subject`` is ``subject`` if labels are unique."""
    parts = [(name,) for name in levels if name in key] + [k for k in asked if set(k) < set(key)]
    for part in parts:
        if _same(_grouping(part, units), _grouping(key, units)):
            return part
    return key


def _same(one, other):
    """Whether two groupings are the same partition."""
    pairs = len(set(zip(one.tolist(), other.tolist(), strict=True)))
    return pairs == one.nunique() == other.nunique()


def _told_apart(levels):
    """No effect stands at two levels with the same groups."""
    for i, one in enumerate(levels):
        for other in levels[i + 1 :]:
            twice = [e.name for e in one.effects if e in other.effects]
            if twice and _same(pd.Series(one.of_unit), pd.Series(other.of_unit)):
                raise FormulaError(
                    f"levels {one.name} and {other.name} have the same groups in these data, so the effects of both on "
                    f"{twice[0]} cannot be told apart; leave one out"
                )


def _innermost(factors, levels):
    """Drop a level that contains another level of the same term: ``site:subject`` is ``subject``."""
    inner = max((levels.index(f) for f in factors if f in levels), default=-1)
    kept = [f for f in factors if f not in levels or levels.index(f) == inner]
    return tuple(dict.fromkeys(kept))


def _level(model, name, grouping, terms):
    effects, z, members = [], [], {}
    for position, (f, term, matrix) in enumerate(terms):
        if not matrix.terms or matrix.offset.any():
            raise FormulaError(f"formula {f.text!r}: {term.text} has no effect that could vary; write 1 or a covariate")
        for column, text in enumerate(matrix.terms):
            effect = Effect(f.parameter, text)
            if effect in effects:
                raise FormulaError(
                    f"formula {f.text!r}: the effect of {text} on {f.parameter} at level {name} is twice"
                )
            alone = None if len(matrix.terms) == 1 or not term.correlated else (f.parameter, position)
            key = (term.block, None) if term.block else alone
            members.setdefault((key, model.parametrisation_of(f.parameter, name)), []).append(len(effects))
            effects.append(effect)
            z.append(matrix.values[:, column])
    labels = tuple(dict.fromkeys(grouping))
    place = {text: i for i, text in enumerate(labels)}
    return Level(
        name, labels, grouping.map(place).to_numpy(dtype=int), tuple(effects), _blocks(name, effects, members),
        np.stack(z, axis=1),
    )  # fmt: skip


def _blocks(level, effects, members):
    """Blocks in the order of their first effect; names are unique. Of effects that share a correlation, those without a
    parametrisation of their own take that of the others."""
    for key in [key for key, kind in members if key is not None and kind == AUTO]:
        others = [kind for other, kind in members if other == key and kind != AUTO]
        if len(others) == 1:
            both = sorted(members.pop((key, AUTO)) + members[key, others[0]])
            members[key, others[0]] = both
    members = dict(sorted(members.items(), key=lambda item: item[1][0]))
    keys = [key for key, _ in members if key is not None]
    blocks = []
    for (key, parametrisation), positions in members.items():
        if key is not None and keys.count(key) > 1:
            raise FormulaError(f"the effects that share '{key[0]}' at level {level} must share a parametrisation")
        if key is not None and len(positions) == 1:
            e = effects[positions[0]]
            raise FormulaError(
                f"'{key[0]}' is used once at level {level}, for {e.name}: nothing to correlate with. Use (1|{level}), "
                f"or give another effect at that level the same '{key[0]}'"
            )
        taken = {block.name for block in blocks}
        name = key and next(n for n in (key[0], *(f"{key[0]}{i}" for i in range(2, 99))) if n not in taken)
        blocks.append(Block(tuple(positions), name, parametrisation))
    return tuple(blocks)
