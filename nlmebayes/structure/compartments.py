"""`Compartments`: states with a dosing history; what `LinearSystem` and `System` share."""

from abc import abstractmethod
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pytensor.tensor as pt
from pytensor.graph.traversal import ancestors

from nlmebayes.arguments import Name, checked
from nlmebayes.structure.cycles import doses_of_cycles
from nlmebayes.structure.stable import Expression
from nlmebayes.structure.structure import Named, Structure
from nlmebayes.structure.timeline import expand


@checked
@dataclass(frozen=True, eq=False)
class Route:
    """What becomes of a dose: the part ``fraction`` of it enters ``state``, ``lag`` later.

    It enters at once, or as an infusion if the record gives a rate, or over a modelled ``duration`` (RATE=-2), or at a
    modelled ``rate`` (RATE=-1; one of the two at most). A modelled one holds for every dose of the route whose record
    gives no rate.

    Parameters
    ----------
    state : str
        Where it enters.
    fraction : expression, optional
        Which part; 1 by default.
    lag, duration, rate : expression, optional
        (unit,) or (draw, unit); no lag, and a bolus, by default.

    Raises
    ------
    ValueError
        A modelled duration beside a modelled rate.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> nb.Route("depot", fraction=0.7, duration=2.0).kind
    'duration'
    """

    state: Name
    fraction: Expression | None = None
    lag: Expression | None = None
    duration: Expression | None = None
    rate: Expression | None = None

    def __post_init__(self):
        if self.duration is not None and self.rate is not None:
            raise ValueError(f"Route into {self.state}: give a modelled duration or a modelled rate, not both")

    @property
    def kind(self) -> str:
        """``"duration"`` or ``"rate"`` where that is modelled, else ``"as given"``."""
        return "duration" if self.duration is not None else "rate" if self.rate is not None else "as given"


class Compartments(Structure):
    """States that take doses, are carried through time, and are read by the predictions; see its subclasses."""

    doses = True
    inputs = ("time",)
    states: tuple[str, ...]
    dosed = None  # the state that doses enter whose record names none; by default the first
    nonnegative = ()  # states that cannot be negative, or True for all
    routes = None  # or a method of p: what a dose into a state becomes, state -> `Route` or several of them
    superposed = True
    origin = None  # time at which the first course starts, if the first record comes later

    @abstractmethod
    def outcomes(self, t, y, p):
        """Predictions by outcome, from times, amounts ``y`` by state and parameters ``p``, all at the records."""

    def arrays(self, design):
        named = () if self.nonnegative is True else self.nonnegative
        for state in (*self.scales, *named, *([self.dosed] if self.dosed else ())):
            self._number(state)
        cycles = doses_of_cycles(self, design.records, design.source)
        timeline = expand(
            design.records.assign(cycle=cycles), self._entries(), design.interpolation, design.source,
            superposed=self.superposed, origin=self.origin,
        )  # fmt: skip
        found = {f"timeline_{name}": (value, None) for name, value in vars(timeline).items()}
        start = 0
        for o in design.outcomes:
            dims = (f"{o.name}_obs",)
            found |= {f"time_{o.name}": (o.inputs["time"], dims), f"unit_{o.name}": (o.unit, dims)}
            found[f"place_{o.name}"] = (start + np.arange(len(o.unit)), dims)
            start += len(o.unit)
        return found

    @abstractmethod
    def amounts(self, p, x, read):
        """Amounts of the states ``read`` at all records, (read, record) or (draw, read, record), and whether they are
        unknown there or ``None``, from parameters ``p`` and the tensors ``x`` of `arrays`, a dict."""

    def predict(self, p, x, outcomes):
        x = vars(x)
        read = self._read(outcomes)
        amounts, unknown = self.amounts(p, x, read)
        amounts = self._emptied(amounts, unknown, read)
        found = {}
        alone = sum(key.startswith("place_") for key in x) == 1  # no other outcome in the data
        for name in outcomes:
            own = slice(None) if alone else x[f"place_{name}"]
            here = amounts[..., own]
            unread = dict.fromkeys(self.states, pt.constant(np.nan))  # by the predictions of these outcomes
            y = Named(**unread | {state: here[..., i, :] for i, state in enumerate(read)})
            at_records = Named(**{key: value[..., x[f"unit_{name}"]] for key, value in vars(p).items()})
            value = self._outcome(self.outcomes(x[f"time_{name}"], y, at_records), name)
            # marked here and not in the amounts, so that gradients stay finite
            found[name] = value if unknown is None else pt.switch(unknown[..., own], np.nan, value)
        return found

    def _emptied(self, amounts, unknown, read):
        """Amounts, 0 where one that cannot be negative is within the solver's tolerance of it: the relative one, of the
        largest amount of its state. What is further below is left, since it is no rounding."""
        named = self.states if self.nonnegative is True else self.nonnegative
        here = [i for i, state in enumerate(read) if state in named]
        if not here or not self.tolerances:
            return amounts
        known = amounts if unknown is None else pt.switch(unknown[..., None, :], 0.0, amounts)
        size = pt.abs(known[..., here, :]).max(axis=-1, keepdims=True)
        some = amounts[..., here, :]
        rounded = (some < 0) & (some >= -self.tolerances[0] * size)
        return pt.set_subtensor(some, pt.switch(rounded, 0.0, some))

    def _inputs(self, p):
        """Routes as the solvers take them: the states that they enter, and (draw, route or none, unit) of the fraction,
        the lag, and the modelled rate or duration."""
        first = next(iter(vars(p).values()))
        routes = [route for _, each in self._routes(p) for route in each]
        values = (
            ([r.fraction for r in routes], 1.0), ([r.lag for r in routes], 0.0),
            ([r.rate if r.duration is None else r.duration for r in routes], 1.0),
        )  # fmt: skip
        none = stacked([0.0], first)[:, :0]
        states = np.array([self._number(r.state) for r in routes], dtype=np.int64)
        return states, [stacked(v, first, fill) if any(x is not None for x in v) else none for v, fill in values]

    def _number(self, state):
        if state not in self.states:
            raise ValueError(f"{self.label}: no state {state!r}; its states are {', '.join(self.states)}")
        return self.states.index(state)

    def _routes(self, p):
        """(name, routes) of every state that can be dosed, in the order of the states."""
        stated = self.routes(p) if self.routes else {}
        for name in (*stated, *self.states):
            self._number(name)
        for name in self.states:
            each = stated.get(name, Route(name))
            yield name, (each,) if isinstance(each, Route) else tuple(each)

    def _entries(self):
        """What `timeline.expand` reads: state label -> ((route, kind), ...)."""
        found, number = {}, 0
        for position, (name, each) in enumerate(self._routes(self._dummies()), start=1):
            rows = tuple((number + k, route.kind) for k, route in enumerate(each))
            found |= {name: rows, str(position): rows}
            number += len(each)
        return found | {None: found[self.dosed or self.states[0]]}

    def _dummies(self):
        return Named(**{p.name: pt.dvector(p.name) for p in self.parameters})

    def _read(self, outcomes):
        """States that the predictions of these outcomes depend on."""
        y, given = self._symbolic()
        used = set(ancestors([self._outcome(given, name) for name in outcomes]))
        return tuple(state for state in self.states if y[state] in used) or self.states[:1]

    def _symbolic(self):
        """Amounts by state and predictions by outcome, as expressions without values."""
        y = {state: pt.dvector(state) for state in self.states}
        return y, self.outcomes(pt.dvector("time"), Named(**y), self._dummies())

    @property
    def predicted(self):
        """Names of all outcomes."""
        return tuple(self._symbolic()[1])

    @staticmethod
    def _outcome(given, name):
        return given[name] if name in given else next(iter(given.values()))


@lru_cache(maxsize=64)
def outcome_names(structure):
    """Names of the outcomes of a structure; empty if it has one, which takes its name from the data."""
    if not isinstance(structure, Compartments):
        return structure.outcomes
    names = structure.predicted
    return names if len(names) > 1 else ()


def stacked(values, like, fill=0.0):
    """(draw, value, unit) of values (unit,), (draw, unit), scalar or None."""
    each = [pt.zeros_like(like) + (fill if value is None else value) for value in values]
    stacked = pt.stack(each, axis=-2)
    return stacked if stacked.ndim == 3 else stacked[None]
