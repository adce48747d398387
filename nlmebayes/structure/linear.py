"""`LinearSystem`: compartments joined by first-order flows, solved in closed form under any dosing history."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from pytensor.tensor import TensorVariable

from nlmebayes.arguments import checked
from nlmebayes.solver.linear.op import Amounts
from nlmebayes.structure.compartments import Compartments, stacked
from nlmebayes.structure.stable import Expression

if TYPE_CHECKING:
    from nlmebayes.structure.structure import Named

MODES = 3  # most compartments that the modal solver takes


@checked
@dataclass(frozen=True, eq=False)
class Drive:
    """A flow whose source loses nothing by it, as an effect compartment that follows the plasma.

    Parameters
    ----------
    rate : expression
        1/time.

    Raises
    ------
    ModelError
        An argument of another kind: it is named, with what it may be.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> nb.Drive(0.5).rate
    array(0.5)
    """

    rate: Expression


class LinearSystem(Compartments):
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

    References
    ----------
    Jacquez (1996), Compartmental Analysis in Biology and Medicine, 3rd ed., ch. 4.

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

    backends = ("numba",)
    nonnegative = True  # as the closed form has it

    @abstractmethod
    def flows(self, p: "Named") -> dict[tuple[str, str | None], TensorVariable | Drive]:
        """Rates of the flows. A rate wrapped in `Drive` takes nothing from its source.

        Parameters
        ----------
        p : Named
            Parameters, (unit,) or (draw, unit) each.

        Returns
        -------
        dict of (str, str or None) -> tensor or Drive
            (source, target) -> (unit,) or (draw, unit); the target is ``None`` outside.

        Examples
        --------
        >>> import nlmebayes as nb
        >>> from model_zoo import OneCompartment
        >>> OneCompartment().flows(nb.Named(cl=3.0, v=30.0))
        {('central', None): array(0.1)}
        """

    def rhs(self, t: TensorVariable, y: "Named", p: "Named") -> dict[str, TensorVariable]:
        """Slopes of the states, a dict by name: the same law as a `System` would state it.

        Parameters
        ----------
        t : tensor
            Time.
        y : Named
            Amounts by state.
        p : Named
            Parameters by name.

        Returns
        -------
        dict of str -> tensor

        Examples
        --------
        >>> import nlmebayes as nb
        >>> from model_zoo import OneCompartment
        >>> OneCompartment().rhs(0.0, nb.Named(central=100.0), nb.Named(cl=3.0, v=30.0))
        {'central': np.float64(-10.0)}
        """
        slopes = dict.fromkeys(self.states, 0.0)
        for (source, target), rate in self.flows(p).items():
            flow = (rate.rate if isinstance(rate, Drive) else rate) * getattr(y, source)
            if not isinstance(rate, Drive):
                slopes[source] = slopes[source] - flow
            if target is not None:
                slopes[target] = slopes[target] + flow
        return slopes

    def amounts(self, p, x, read):
        first = next(iter(vars(p).values()))
        flows = self.flows(p)
        edges = [(*self._edge(key), int(isinstance(value, Drive))) for key, value in flows.items()]
        rates = stacked([v.rate if isinstance(v, Drive) else v for v in flows.values()], first)
        routes, inputs = self._inputs(p)
        topology = [
            np.array(edges, dtype=np.int64).reshape(-1, 3),
            routes,
            np.array([self._number(s) for s in read], dtype=np.int64),
            _kind(len(self.states), edges),
        ]
        timeline = [x[f"timeline_{name}"] for name in ("courses", "records", "of_record", "doses", "of_dose")]
        amounts, *_ = Amounts()(*topology, *timeline, rates, *inputs)
        return (amounts if first.ndim == 2 else amounts[0]), None

    def _edge(self, key):
        source, target = key
        return self._number(source), -1 if target is None else self._number(target)


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
