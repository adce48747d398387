"""`LinearSystem`: compartments joined by first-order flows, solved in closed form under any dosing history."""

from abc import abstractmethod
from dataclasses import dataclass

import numpy as np
import pytensor.tensor as pt
from pytensor.graph.traversal import ancestors

from nlmebayes.solver.op import Amounts
from nlmebayes.structure.structure import Named, Structure
from nlmebayes.timeline import expand

MODES = 3  # most compartments that the modal solver takes


@dataclass(frozen=True, eq=False)
class Route:
    """What becomes of a dose: the part ``fraction`` of it enters ``state``, ``lag`` later.

    It enters at once, or as an infusion if the record gives a rate, or over a modelled ``duration`` (RATE=-2), or at a
    modelled ``rate`` (RATE=-1; one of the two at most). A modelled one holds for every dose of the route whose record
    gives no rate. All but the state are parameters, (unit,) or (draw, unit); ``None`` is 1, no lag, a bolus.
    """

    state: str
    fraction: object = None
    lag: object = None
    duration: object = None
    rate: object = None

    def __post_init__(self):
        if self.duration is not None and self.rate is not None:
            raise ValueError(f"Route into {self.state}: give a modelled duration or a modelled rate, not both")

    @property
    def kind(self):
        return "duration" if self.duration is not None else "rate" if self.rate is not None else "as given"


@dataclass(frozen=True, eq=False)
class Drive:
    """A flow whose source loses nothing by it, as an effect compartment that follows the plasma."""

    rate: object


class LinearSystem(Structure):
    """A network of compartments with first-order flows between them.

    .. math:: x'_i = \\sum_j k_{ji} x_j - k_i x_i + r_i(t)

    ``x`` amounts, ``k`` rates (1/time), ``r`` inputs. Parameters may change in time: the amounts are carried on. One
    central state with up to two peripherals and at most one depot is solved in its modes, any other network by matrix
    exponentials; gradients are exact in both. Doses into a state are given by its name or by its position (CMT=1 is
    the first state); ``states[0]`` is the default.

    What becomes of a dose is a method ``routes(p)`` of the subclass, where one is needed: state -> `Route` (a fraction,
    a lag, a modelled duration or rate), or several for a dose that is split; other states take doses as recorded.
    ``t`` and the amounts ``y.<state>`` in `outcomes` are (record,) or (draw, record), as the parameters are there; any
    consistent units will do. A state that does not exist is a ValueError that lists those that do.

    Source: Jacquez (1996), Compartmental Analysis in Biology and Medicine, 3rd ed., ch. 4.

    Examples
    --------
    A drug that the liver returns through the bile (enterohepatic circulation):

    >>> import nlmebayes as nb
    >>> class Recycled(nb.LinearSystem):
    ...     states = ("gut", "central", "bile")
    ...     parameters = (nb.Parameter("ka", "1/h", 1.0), nb.Parameter("cl", "L/h", 3.0), nb.Parameter("v", "L", 30.0),
    ...                   nb.Parameter("kb", "1/h", 0.05), nb.Parameter("kg", "1/h", 0.2))
    ...     def flows(self, p):
    ...         return {("gut", "central"): p.ka, ("central", None): p.cl / p.v, ("central", "bile"): p.kb,
    ...                 ("bile", "gut"): p.kg}
    ...     def outcomes(self, t, y, p):
    ...         return {"conc": y.central / p.v}
    >>> Recycled().states
    ('gut', 'central', 'bile')
    """

    doses = True
    inputs = ("time",)
    states: tuple[str, ...]
    routes = None  # or a method of p: what a dose into a state becomes, state -> `Route` or several of them

    @abstractmethod
    def flows(self, p):
        """Rates of the flows: (source, target) -> (unit,) or (draw, unit); the target is ``None`` outside.

        A rate wrapped in `Drive` takes nothing from its source.
        """

    @abstractmethod
    def outcomes(self, t, y, p):
        """Predictions by outcome, from times, amounts ``y`` by state and parameters ``p``, all at the records."""

    def arrays(self, design):
        timeline = expand(design.records, self._entries(), design.interpolation, design.source)
        found = {f"timeline_{name}": (value, None) for name, value in vars(timeline).items()}
        start = 0
        for o in design.outcomes:
            dims = (f"{o.name}_obs",)
            found |= {f"time_{o.name}": (o.inputs["time"], dims), f"unit_{o.name}": (o.unit, dims)}
            found[f"place_{o.name}"] = (start + np.arange(len(o.unit)), dims)
            start += len(o.unit)
        return found

    def predict(self, p, x, outcomes):
        x = vars(x)
        read = self._read(outcomes)
        amounts = self._amounts(p, x, read)
        found = {}
        for name in outcomes:
            here = amounts if len(outcomes) == 1 else amounts[..., x[f"place_{name}"]]
            unread = dict.fromkeys(self.states, pt.constant(np.nan))  # by the predictions of these outcomes
            y = Named(**unread | {state: here[..., i, :] for i, state in enumerate(read)})
            at_records = Named(**{key: value[..., x[f"unit_{name}"]] for key, value in vars(p).items()})
            found[name] = self._outcome(self.outcomes(x[f"time_{name}"], y, at_records), name)
        return found

    def _amounts(self, p, x, read):
        first = next(iter(vars(p).values()))
        flows = self.flows(p)
        edges = [(*self._edge(key), int(isinstance(value, Drive))) for key, value in flows.items()]
        rates = _stacked([v.rate if isinstance(v, Drive) else v for v in flows.values()], first)
        routes = [route for _, each in self._routes(p) for route in each]
        parameters = [rates] + [
            _stacked(values, first, fill) if any(v is not None for v in values) else pt.zeros_like(rates[:, :0])
            for values, fill in (
                ([r.fraction for r in routes], 1.0), ([r.lag for r in routes], 0.0),
                ([r.rate if r.duration is None else r.duration for r in routes], 1.0),
            )
        ]  # fmt: skip
        topology = [
            np.array(edges, dtype=np.int64).reshape(-1, 3),
            np.array([self._number(r.state) for r in routes], dtype=np.int64),
            np.array([self._number(s) for s in read], dtype=np.int64),
            _kind(len(self.states), edges),
        ]
        timeline = [x[f"timeline_{name}"] for name in ("courses", "records", "of_record", "doses", "of_dose")]
        amounts, _ = Amounts()(*topology, *timeline, *parameters)
        return amounts if first.ndim == 2 else amounts[0]

    def _edge(self, key):
        source, target = key
        return self._number(source), -1 if target is None else self._number(target)

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
        return found | {None: found[self.states[0]]}

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

    @staticmethod
    def _outcome(given, name):
        return given[name] if name in given else next(iter(given.values()))


def outcome_names(structure):
    """Names of the outcomes of a structure; empty if it has one, which takes its name from the data."""
    if not isinstance(structure, LinearSystem):
        return structure.outcomes
    names = tuple(structure._symbolic()[1])
    return names if len(names) > 1 else ()


def _stacked(values, like, fill=0.0):
    """(draw, value, unit) of values (unit,), (draw, unit), scalar or None."""
    each = [pt.zeros_like(like) + (fill if value is None else value) for value in values]
    stacked = pt.stack(each, axis=-2)
    return stacked if stacked.ndim == 3 else stacked[None]


def _kind(n, edges):
    """(states, depot, central, modes) for the solver; modes is 0 for a network that it must take as a whole.

    Modal: a central state, up to two peripherals right after it that exchange with it alone, at most one depot that
    flows into it alone, and nothing else.
    """
    dense = np.array([n, -1, 0, 0], dtype=np.int64)
    if any(kept for _, _, kept in edges) or len({edge[:2] for edge in edges}) < len(edges):
        return dense
    flows = {edge[:2] for edge in edges}
    for central in range(n):
        peripheral = [s for s in range(n) if {(s, central), (central, s)} <= flows]
        depots = [s for s in range(n) if s != central and s not in peripheral]
        wanted = {pair for s in peripheral for pair in ((s, central), (central, s))}
        wanted |= {(s, central) for s in depots}
        fits = peripheral == list(range(central + 1, central + 1 + len(peripheral)))
        if fits and len(depots) <= 1 and len(peripheral) < MODES and flows - {(central, -1)} == wanted:
            return np.array([n, depots[0] if depots else -1, central, 1 + len(peripheral)], dtype=np.int64)
    return dense
