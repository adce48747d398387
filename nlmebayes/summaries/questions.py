"""A question about people who are in no data: what is varied, what stays where, whose random effects count."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import xarray as xr

from nlmebayes.data.dataset import AMOUNT
from nlmebayes.data.tidy import label
from nlmebayes.errors import ModelError
from nlmebayes.evaluation.evaluator import spread
from nlmebayes.evaluation.fitted import ESTIMATES, Fitted, fitted
from nlmebayes.inference.estimation import drawn, drawn_population
from nlmebayes.model.agreement import check_doses
from nlmebayes.summaries import people
from nlmebayes.summaries.predictions import Predictions
from nlmebayes.summaries.targets import Target, categories, target_of
from nlmebayes.summaries.variation import intervals

GROUPED = 400  # draws of the effects of groups about a maximum


@dataclass(frozen=True, eq=False)
class Question:
    """A target over ``x`` and ``by``, columns with the ``values`` of each, where others are as ``at`` says.

    ``template``: the dataset whose first subject's doses everybody has; ``everybody``: whether the answer is the mean
    over the people of the training data, each with the covariates of his own.
    """

    known: Fitted
    target: Target
    values: dict
    at: dict
    template: object
    everybody: bool = False

    def draws(self, groups, many, random_seed):
        """The target (draw, by, x), and the dicts of what everything stood at, (by, x)."""
        own, recorded = self._apart()
        persons, records = people.crossed(*own.items()), people.crossed(*recorded.items())
        every = [self._cases(person) for person in persons]
        cases = [case for each in every for case in each]
        outcomes = self.target.outcomes or (self._outcome,)
        one = people.subject_like(self.template, outcomes, records, self.target.outcome is not None)
        data = people.copies(one, cases)
        design = self.known.design(data)
        if self.target.outcome is not None:
            check_doses(self.known.model, design)
        population, columns = self.known.draws_of(self.template.outcomes), self._columns(data)
        some = spread(population, min(many, population.size))
        predictions = Predictions(self.known.model, design, some, self.target, self._kept(), columns, self._outcome)
        found = predictions.at(groups, np.random.default_rng(random_seed))
        starts = np.cumsum([0, *map(len, every)])
        found = np.add.reduceat(found.reshape(len(found), len(cases), -1), starts[:-1], axis=1)
        found = (found / np.diff(starts)[:, None]).reshape(len(found), -1)
        order, stood = self._order(own, recorded, len(records)), list(map(self._stood, every))
        return found[:, order], [[stood[k // len(records)] for k in row] for row in order.tolist()]

    @property
    def _outcome(self):
        return self.target.outcome or self.known.outcomes[0]

    @property
    def each(self):
        """A question for each category of an ordered outcome; else this one."""
        return [replace(self, target=target) for target in categories(self.known, self.target)]

    def _apart(self):
        """What is varied of a person and from record to record, by name."""
        read = people.covariates(self.known)
        inputs = people.inputs(self.known)
        own = {k: v for k, v in self.values.items() if k in read or k not in inputs}
        return own, {k: v for k, v in self.values.items() if k not in own}

    def _order(self, own, recorded, records):
        """Positions (by, x) of the records among those of all people."""
        names = list(self.values)
        shape = [len(self.values[name]) for name in names]
        place = np.indices(shape).reshape(len(names), -1)
        index = dict(zip(names, place, strict=True))
        of_person = np.ravel_multi_index([index[n] for n in own], [len(v) for v in own.values()]) if own else 0
        of_record = (
            np.ravel_multi_index([index[n] for n in recorded], [len(v) for v in recorded.values()]) if recorded else 0
        )
        order = np.asarray(of_person * records + of_record).reshape(shape)
        return order.T if len(names) == 2 else order[None]

    def _stood(self, cases):
        """Where everything stood on which the target depends, and that is the same of all of some people."""
        shown = available(self.known, self.target)
        first = {k: v for k, v in cases[0].items() if k in shown and k not in self.values}
        return {k: v for k, v in first.items() if all(case[k] == v for case in cases)}

    def _cases(self, person):
        """Every column of a person, or of everybody who is put in his place: as stated, else as usual or observed, in
        the groups that are stated."""
        known, data = self.known, self.known.training_data
        stated = self.at | person
        groups = {name: label(stated[name]) for name in data.levels if name in stated}
        here = pd.Series(True, index=data.observations.index)
        for name, value in groups.items():
            here &= data.observations[name] == value
        if not here.any():
            raise ModelError(f"no {' and '.join(f'{k} {v!r}' for k, v in groups.items())} in the training data")
        inner = max((data.levels.index(name) for name in groups), default=-1)
        first = data.observations[here].iloc[0]
        outer = {name: first[name] for name in data.levels[: inner + 1]} if groups else {}
        usual = {
            name: people.usual(known, name, self._outcome, here if groups else None)
            for name in self._read() if name not in {**stated, **outer, **self.values}
        }  # fmt: skip
        rest = people.observed(self.known, self._outcome, here) if self.everybody else [{}]
        return [usual | each | outer | stated | groups for each in rest]

    def _read(self):
        """Columns that need a value."""
        fixed = [n for f in self.known.training.formulas for n in f.columns[0]]
        inputs = people.inputs(self.known) if self._at_records else ()
        return tuple(dict.fromkeys([*fixed, *inputs]))

    @property
    def _at_records(self):
        return self.target.outcome is not None or any(n in people.inputs(self.known) for n in self._named)

    @property
    def _named(self):
        return self.target.calculation.names if self.target.calculation else ()

    def _kept(self):
        """Levels whose groups are stated."""
        data, stated = self.known.training_data, {*self.at, *self.values}
        inner = max((data.levels.index(name) for name in data.levels if name in stated), default=-1)
        stated |= set(data.levels[: inner + 1])
        keys = self.known.training.level_of.values()
        return tuple("_".join(key) for key in keys if stated.issuperset(key))

    def _columns(self, data):
        """Columns (record,) that the target reads."""
        frame = data.observations[data.observations["outcome"] == self._outcome]
        read = [name for name in self._named if name in frame.columns]
        for name in read:
            if not pd.api.types.is_numeric_dtype(frame[name]):
                raise ModelError(f"of: {name} is text, and arithmetic takes numbers")
        return {name: frame[name].to_numpy(float) for name in read}


def with_draws(known, columns=()):
    """A tree that was read, a `Fitted`; of a maximum with draws of its estimates, so that their errors are told, and of
    the effects of its groups where some of them are among the ``columns``."""
    if ESTIMATES not in known.tree.children:
        return known
    groups = {*known.training_data.levels, *(name for key in known.training.level_of.values() for name in key)}
    tree = drawn(known, chains=1, draws=GROUPED) if groups & set(columns) else drawn_population(known)
    return fitted(tree, known.model)


def available(known, target):
    """Columns on which a target depends, and those of groups."""
    data = known.training_data
    found = [c for c, names in people.covariates(known).items() if set(names) & set(target.parameters)]
    formulas = [f for f in known.training.formulas if f.parameter in target.parameters]
    found += [name for f in formulas for columns in f.columns for name in columns if name in data.levels]
    found += [name for f in formulas for name in f.columns[1]]
    found += [name for name in (target.calculation.names if target.calculation else ()) if name in data.observations]
    if target.outcome is not None:
        found += [*people.inputs(known), *((AMOUNT,) if known.model.structure.doses else ())]
    outer = [n for i, n in enumerate(data.levels) if any(m in found for m in data.levels[i:])]
    return tuple(dict.fromkeys([*found, *outer]))


def question(known, x, by, of, at, data, points, others="typical"):
    """A `Question`, of which every name exists and matters.

    Raises
    ------
    ModelError
        A column that the target does not depend on; several values of one that is not asked about.
    """
    training = known.training_data
    at_records = [*people.covariates(known), *people.inputs(known)]
    target = target_of(known, of, at_records)
    wanted, at = [name for name in (x, by) if name is not None], dict(at or {})
    allowed = available(known, target)
    for name in (*wanted, *at):
        if name not in allowed:
            raise ModelError(
                f"{target.name} does not depend on {name!r}; it depends on {', '.join(allowed) or 'nothing'}"
            )
    if len(set(wanted)) < len(wanted):
        raise ModelError(f"by={by!r} is x itself")
    outcome = target.outcome or known.outcomes[0]
    values = {}
    for i, name in enumerate(wanted):
        given = at.pop(name, None)
        given = [given] if isinstance(given, str | float) else given
        if given == []:
            raise ModelError(f"at: {name} has no values; leave it out, or say which")
        values[name] = given or people.values_of(known, name, outcome, points, lines=i > 0)
    for name, value in at.items():
        if isinstance(value, list):
            raise ModelError(f"at: one value of {name}, unless it is x or by; got {len(value)}")
    template = training if data is None else data
    if target.outcome is None:
        template = replace(template, doses=template.doses.iloc[:0], events=template.events.iloc[:0])
    elif known.model.structure.needs_doses and known.model.structure.doses and not len(template.doses):
        raise ModelError(
            f"{target.name} needs doses, and the training data have none; give data=, with a subject's doses"
        )
    return Question(known, target, values, at, template, others == "observed")


def table(found, cases, values, ci_prob):
    """A row for each place of draws (draw, by, x): what it is, the draws in numbers, and what else stood where."""
    flat = found.reshape(1, len(found), -1)
    numbers = intervals(xr.DataArray(flat, dims=("chain", "draw", "place")), ci_prob).reset_index(drop=True)
    own = [dict(zip(values, pair, strict=True)) for pair in _pairs(values)]
    first = pd.DataFrame(own)
    rest = pd.DataFrame([case for row in cases for case in row])
    return pd.concat([first, numbers, rest], axis=1)


def _pairs(values):
    """Values of each place in the order of draws (by, x)."""
    x, *by = values.values()
    return [(a, b) for b in by[0] for a in x] if by else [(a,) for a in x]
