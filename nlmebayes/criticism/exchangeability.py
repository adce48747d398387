"""Are the random effects independent draws of one normal law, whatever else is known of their groups?

Each test is of the effects of one draw of the posterior by the SD that it has there, standard normal in a true model.
"""

import numpy as np
import pandas as pd

from nlmebayes.criticism.doubts import doubt
from nlmebayes.criticism.significance import explained, normal, orthonormal
from nlmebayes.criticism.unused import Column, of_formula, read_by
from nlmebayes.evaluation.fitted import Fitted
from nlmebayes.formula.grouping import contains

FEWEST = 8  # groups whose effects are tested
MOST = 5000  # of groups whose law is tested


def doubts(known: Fitted, draws, columns, mends):
    """Every `Doubt` on the random effects."""
    of_row = _units(known)
    for level in known.training.levels:
        if len(level.labels) < FEWEST or level.name == draws.drift:
            continue
        standard = draws.eta[level.name] / draws.omega[level.name][:, None]  # (draw, group, effect)
        yield from _laws(level, standard, mends)
        yield from _pairs(level, standard, mends)
        at = _time(known, level.of_unit[of_row])
        for k, effect in enumerate(level.effects):
            for column in _columns(known, level, effect, [*columns, *at], of_row):
                own = _of_groups(column, level.of_unit[of_row], len(level.labels))
                if own is not None:
                    yield from _follows(level, effect, standard[:, :, k], column, own, mends)


def _time(known, group):
    """The time, as a `Column`, where groups (row,) are parts of a subject, such as occasions."""
    data = known.training_data
    inside = pd.DataFrame({"subject": data.observations[data.subject].to_numpy(), "group": group}).drop_duplicates()
    if data.time is None or inside["group"].duplicated().any() or not inside["subject"].duplicated().any():
        return []
    return [Column(data.time, data.observations[data.time].to_numpy(dtype=float), False, True)]


def _units(known):
    """The unit of each row of the observations, (row,)."""
    found = np.empty(len(known.training_data.observations), dtype=int)
    for o in known.training.outcomes:
        found[(known.training_data.observations["outcome"] == o.name).to_numpy()] = o.unit
    return found


def _columns(known, level, effect, columns, of_row):
    """Columns that the formula of a parameter does not read, nor the structure; not those that groups of an outer level
    with the same effect have in common, where these tell more."""
    formula = next(f for f in known.training.formulas if f.parameter == effect.parameter)
    read = of_formula(formula) | read_by(known.model)
    outer = [other for other in known.training.levels
             if other is not level and effect in other.effects and contains(other, level)
             and len(other.labels) >= FEWEST]  # fmt: skip
    for column in columns:
        if column.name not in read and not any(_constant(column, other.of_unit[of_row]) for other in outer):
            yield column


def _constant(column, group):
    """Whether a column has one value in each group (row,)."""
    here = pd.DataFrame({"group": group, "x": column.values})[column.known]
    return bool((here.groupby("group")["x"].nunique() <= 1).all())


def _of_groups(column, group, count):
    """Values of a column by group, (group,): the one that it has there, or the mean of numbers; None of others."""
    here = pd.DataFrame({"group": group, "x": column.values})[column.known]
    if _constant(column, group):
        return here.groupby("group")["x"].first().reindex(range(count)).to_numpy()
    if column.labelled:
        return None
    return here.astype(float).groupby("group")["x"].mean().reindex(range(count)).to_numpy()


def _follows(level, effect, values, column, own, mends):
    """Whether effects (draw, group) differ by a column whose values are ``own`` (group,)."""
    here = np.flatnonzero(~pd.isna(own))
    x = own[here]
    if len(here) < FEWEST or not column.enough(x):
        return

    def sentence():
        line = _mended(effect, column, mends)
        lost = f" (known of {len(here)} of {len(own)})" if len(here) < len(own) else ""
        differs = "differ between the labels of" if column.labelled else "follow"
        mend = line or f"a term of {column.name} in its formula"
        return f"the effects of {effect.name} at level {level.name} {differs} {column.name}{lost}: {mend}"

    found = explained(values[:, here], column.line(x if column.labelled else x.astype(float)))
    name = f"{level.name} {effect.name}"
    yield from doubt(found, "effects by column", name, column.name, (name, column.name), sentence)


def _mended(effect, column, mends):
    """The formula of the parameter of an effect with a column in it, or None."""
    slope = effect.column != "Intercept"
    if column.many:
        found = mends.with_group(effect.parameter, column.factor, effect.column)
        if found:
            return found
    return mends.with_term(effect.parameter, f"{column.term}:{effect.column}" if slope else column.term)


def _laws(level, standard, mends):
    """Whether the effects are normal."""
    for k, effect in enumerate(level.effects):

        def sentence(effect=effect):
            return (
                f"the effects of {effect.name} at level {level.name} are not normal: look for groups among them (a "
                f"covariate that is not in the data), or take another link, links={{'{effect.parameter}': ...}}"
            )

        found = normal(standard[:, :MOST, k])
        name = f"{level.name} {effect.name}"
        yield from doubt(found, "law of effects", name, "normal", (name, "law"), sentence)


def _pairs(level, standard, mends):
    """Whether effects that the model takes for independent are correlated."""
    block = {k: i for i, each in enumerate(level.blocks) for k in each.effects if each.name}
    for i, one in enumerate(level.effects):
        for j, other in enumerate(level.effects[:i]):
            if i in block and block.get(i) == block.get(j):
                continue

            def sentence(one=one, other=other):
                lines = mends.with_correlation(level.name, other, one)
                mend = lines or "write their random effects with a common name, (1|p|group)"
                return f"the effects of {other.name} and {one.name} at level {level.name} are correlated: {mend}"

            basis = np.stack([orthonormal(x[:, None]) for x in standard[:, :, j]])
            found = explained(standard[:, :, i], basis)
            subject = (level.name, other.name, one.name)
            yield from doubt(found, "law of effects", f"{level.name} {one.name}", other.name, subject, sentence)
