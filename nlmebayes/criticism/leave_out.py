r"""Groups left out one by one, with their random effects integrated out: elpd by importance sampling.

.. math::
    elpd_g = \log \int p(y_g | \psi, y_{-g}) \, p(\psi | y_{-g}) d\psi, \qquad
    w_s \propto 1 / p(y_g | \psi_s, y_{-g})

psi are the population's parameters, draws of them those of the posterior of all data, weights Pareto-smoothed
(Vehtari et al. 2024, JMLR 25(72)). Of outermost groups p(y_g | psi, y_-g) is the marginal likelihood L_g; of a subject
within a site it is L(site) / L(site without the subject), given its site-mates.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp

from nlmebayes.errors import ModelError
from nlmebayes.evaluation.weights import KHAT, smoothed
from nlmebayes.individuals.likelihood import MARGINAL, log_likelihood
from nlmebayes.individuals.nesting import ALL

PSIS, MATCHED, REFITTED = "psis", "moment matching", "refit"


@dataclass(frozen=True, eq=False)
class LeftOut:
    """elpd of each group of a ``level``, with the k-hat of its weights and ``how`` it was found, (group,) each.

    ``log_likelihood`` (draw, group) is log p(y_g | psi, y_-g), ``influence`` (draw, group) what each draw adds to the
    Monte Carlo error.
    """

    level: str
    groups: tuple
    elpd: np.ndarray
    khat: np.ndarray
    how: np.ndarray
    log_likelihood: np.ndarray
    influence: np.ndarray

    @property
    def total(self):
        """Sum of elpd."""
        return float(self.elpd.sum())

    @property
    def se(self):
        """Its standard error, from the spread between groups."""
        return summed_error(self.elpd)

    @property
    def mcse(self):
        """Its Monte Carlo error, of the draws."""
        return float(np.sqrt((self.influence.sum(axis=1) ** 2).sum()))

    @property
    def p(self):
        """Effective number of parameters: how much better data are predicted that were not left out."""
        return float((logsumexp(self.log_likelihood, axis=0) - np.log(len(self.log_likelihood)) - self.elpd).sum())

    @property
    def worst(self):
        """Positions of groups whose elpd is not sure: k-hat above what so many draws bear."""
        return np.flatnonzero((self.khat > bearable(len(self.log_likelihood))) & (self.how != REFITTED))

    def replaced(self, at, elpd, khat, how, influence=0.0):
        """The same, with another estimate for the group at ``at``."""
        parts = {"elpd": elpd, "khat": khat, "how": how}
        changed = {name: getattr(self, name).copy() for name in parts}
        for name, value in parts.items():
            changed[name][at] = value
        noise = self.influence.copy()
        noise[:, at] = influence
        return LeftOut(self.level, self.groups, **changed, log_likelihood=self.log_likelihood, influence=noise)


def bearable(draws):
    """k-hat up to which so many draws bear importance sampling: min(1 - 1 / log10 S, 0.7)."""
    return min(1 - 1 / np.log10(draws), KHAT) if draws > 10 else -np.inf


def summed_error(x):
    """Standard error of a sum of independent terms, from their spread; unknown of one."""
    return float(np.sqrt(len(x)) * x.std(ddof=1)) if len(x) > 1 else np.nan


def left_out(level, groups, log_density):
    """`LeftOut` from log p(y_g | psi, y_-g), (draw, group)."""
    each = [_importance(x) for x in log_density.T]
    elpd, khat, influence = (np.array(part) for part in zip(*each, strict=True))
    how = np.full(len(groups), PSIS, dtype=object)
    return LeftOut(level, tuple(groups), elpd, khat, how, log_density, influence.T)


def _importance(log_density):
    """elpd, k-hat and influence (draw,) of one group."""
    if not np.isfinite(log_density).all():  # a draw under which the group cannot be
        return -np.inf, np.inf, np.zeros(len(log_density))
    weight, khat = smoothed(-log_density)
    top = log_density.max()
    elpd = top + np.log(weight @ np.exp(log_density - top))
    return elpd, khat, weight * np.expm1(log_density - elpd)


def marginals(known, level, draws, seed):
    """log p(y_g | psi, y_-g) of the groups of a level of the data, (groups, (draw, group)), at draws of a posterior.

    Raises
    ------
    ModelError
        Levels cross, or groups of the level are no parts of what the model integrates together.
    """
    whole = _likelihoods(known, known.training_data, draws, seed)
    parts = _parts(known, level)
    if tuple(whole) == (ALL,):
        raise ModelError(
            "levels that cross are one group, none of which can be left out by weights; compare by criteria of the "
            "maximum (maximum=True), or fit folds"
        )
    inside = {}
    for outer, group in parts:
        inside.setdefault(group, []).append(outer)
    if all(len([g for o, g in parts if o == outer]) == 1 for outer in whole):
        return tuple(inside), np.stack([sum(whole[o] for o in outers) for outers in inside.values()], axis=1)
    if any(len(outers) > 1 for outers in inside.values()):
        raise ModelError(
            f"groups of {level} neither hold those that the model integrates together nor lie within them; leave out "
            "groups of another level: by="
        )
    return _given_mates(known, level, parts, whole, draws, seed)


def _given_mates(known, level, parts, whole, draws, seed):
    """Of groups within outer ones: the outer group's likelihood over that without the group. The first members of all
    outer groups are left out together, then the second, ..."""
    members = {}
    for outer, group in parts:
        members.setdefault(outer, []).append(group)
    found = {}
    for turn in range(max(map(len, members.values()))):
        absent = {outer: groups[turn] for outer, groups in members.items() if turn < len(groups)}
        rest = known.training_data
        alone = [outer for outer in absent if len(members[outer]) == 1]
        if len(absent) < len(parts):
            rest = rest.drop_sel(**{level: list(absent.values())})
            left = _likelihoods(known, rest, draws, seed)
        for outer, group in absent.items():
            found[group] = whole[outer] - (0.0 if outer in alone else left[outer])
    groups = tuple(dict.fromkeys(group for _, group in parts))
    return groups, np.stack([found[group] for group in groups], axis=1)


def _likelihoods(known, data, draws, seed):
    """Marginal log-likelihood by outermost group of the model, {label: (draw,)}."""
    found = log_likelihood(known.tree, data, draws=draws, random_seed=seed, model=known.model)
    values = found["log_likelihood"][MARGINAL].stack(sample=("chain", "draw"), create_index=False)
    (dim,) = (d for d in values.dims if d != "sample")
    each = values.transpose(dim, "sample").to_numpy()
    return dict(zip(values[dim].to_numpy().tolist(), each, strict=True))


def _parts(known, level):
    """Pairs (outermost group of the model, group of a level of the data) that occur, in the order of the data."""
    design = known.training
    outer = outermost(design)
    here = np.unique(np.concatenate([o.unit for o in design.outcomes]))
    own = design.units[level].astype(str).to_numpy()
    return list(dict.fromkeys((outer[u], own[u]) for u in here))


def outermost(design):
    """Label of the outermost group of each unit: of the model's outermost level, or of the data's where it has none."""
    levels = sorted(design.levels, key=lambda level: len(level.labels))
    if not levels:
        return design.units[design.nested[0]].astype(str).to_numpy()
    return np.array(levels[0].labels, dtype=object)[levels[0].of_unit]
