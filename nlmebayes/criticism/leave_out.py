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

from nlmebayes.criticism.likelihoods import at_draws
from nlmebayes.errors import ModelError
from nlmebayes.evaluation.weights import KHAT, smoothed
from nlmebayes.individuals.nesting import ALL, nesting

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
    with np.errstate(all="ignore"):  # weights of 0, and those of a group that no draw explains
        weight, khat = smoothed(-log_density)
        each = np.log(weight) + log_density
    if np.isnan(weight).any():
        return np.nan, np.inf, np.zeros(len(log_density))
    elpd = logsumexp(each)
    return elpd, khat, np.exp(each - elpd) - weight


@dataclass(frozen=True, eq=False)
class Marginals:
    """log p(y_g | psi, y_-g) of groups of a level of the data, ``values`` (draw, group), at populations ``drawn``, and
    the largest ``error`` of the integrals behind each, (group,).

    ``holds``: the model's outermost groups that each group has records in, ``within``: the other way round.
    """

    level: str
    drawn: object
    holds: dict
    within: dict
    values: np.ndarray
    error: np.ndarray
    seed: int | None

    @property
    def groups(self):
        return tuple(self.holds)

    def whole_at(self, known, population):
        """Log-likelihoods by outermost group of the model, {label: (draw,)}, at other populations."""
        return at_draws(known, population, known.training_data, self.seed)[0]

    def of_group(self, known, group, population, whole, data=None):
        """log p(y_g | psi, y_-g) of one group at other populations, (draw,); ``whole`` are the log-likelihoods of its
        outermost groups there, and ``data`` hold these, by default all."""
        values = sum(whole[outer] for outer in self.holds[group])
        mates = [each for outer in self.holds[group] for each in self.within[outer]]
        if len(mates) == 1 or len(self.holds[group]) > 1:
            return values
        data = known.training_data if data is None else data
        return values - _without(known, data, self.level, [group], population, self.seed)[0][self.holds[group][0]]


def marginals(known, level, drawn, seed):
    """`Marginals` of the groups of a level of the data at populations from `likelihoods.population`.

    Raises
    ------
    ModelError
        Levels cross in a model whose integral is not exact, or groups of the level are no parts of what the model
        integrates together.
    """
    holds, within = {}, {}
    for outer, group in _parts(known, level):
        holds.setdefault(group, []).append(outer)
        within.setdefault(outer, []).append(group)
    if max(map(len, within.values())) > 1 and max(map(len, holds.values())) > 1:
        raise ModelError(
            f"groups of {level} neither hold those that the model integrates together nor lie within them; leave out "
            "groups of another level: by="
        )
    whole, error = at_draws(known, drawn, known.training_data, seed)
    if crossed(known.training) and error[ALL] > 0:
        raise ModelError(
            "levels that cross are integrated as one, here by nodes whose noise is larger than what one group of them "
            "says; compare by criteria of the maximum (maximum=True)"
        )
    if max(map(len, within.values())) == 1:
        values, off = ({g: sum(x[o] for o in outers) for g, outers in holds.items()} for x in (whole, error))
    else:
        values, off = _given_mates(known, level, within, drawn, seed, (whole, error))
    dense, error = np.stack([values[g] for g in holds], axis=1), np.array([off[g] for g in holds])
    return Marginals(level, drawn, holds, within, dense, error, seed)


def _given_mates(known, level, members, drawn, seed, found):
    """Of groups within outer ones: the outer group's likelihood over that without the group. The first members of all
    outer groups are left out together, then the second, ..."""
    (whole, error), values, off = found, {}, {}
    for turn in range(max(map(len, members.values()))):
        absent = {outer: groups[turn] for outer, groups in members.items() if turn < len(groups)}
        left, more = _without(known, known.training_data, level, list(absent.values()), drawn, seed)
        for outer, group in absent.items():
            alone = len(members[outer]) == 1
            values[group] = whole[outer] - (0.0 if alone else left[outer])
            off[group] = error[outer] + (0.0 if alone else more[outer])
    return values, off


def _without(known, data, level, groups, drawn, seed):
    """Log-likelihoods and errors by outermost group of data without some groups; nothing where none is left."""
    if data.observations[level].nunique() == len(groups):
        return {}, {}
    return at_draws(known, drawn, data.drop_sel(**{level: groups}), seed)


def _parts(known, level):
    """Pairs (outermost group of the model, group of a level of the data) that occur, in the order of the data."""
    design = known.training
    outer = outermost(design)
    here = np.unique(np.concatenate([o.unit for o in design.outcomes]))
    own = design.units[level].astype(str).to_numpy()
    return list(dict.fromkeys((outer[u], own[u]) for u in here))


def outermost(design):
    """Label of the group of each unit whose likelihood is one factor of the whole."""
    nest = nesting(design)
    return np.array(nest.labels, dtype=object)[nest.of_unit]


def crossed(design):
    """Whether levels cross, so that all groups are integrated as one."""
    return len(design.levels) > 1 and nesting(design).labels == (ALL,)
