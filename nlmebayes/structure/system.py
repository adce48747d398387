"""`System`: ordinary differential equations under any dosing history."""

from abc import abstractmethod
from dataclasses import dataclass, replace
from functools import lru_cache
from types import MappingProxyType
from typing import Literal, get_args

import numpy as np
import pytensor.tensor as pt
from pytensor.graph.traversal import ancestors
from pytensor.tensor import TensorVariable

from nlmebayes.arguments import Count, Positive, Share
from nlmebayes.runtime.threads import in_turns
from nlmebayes.solver.ode import law
from nlmebayes.solver.ode.cases import held as hold
from nlmebayes.solver.ode.op import States
from nlmebayes.structure.compartments import Compartments, stacked
from nlmebayes.structure.structure import Named

Method = Literal["auto", "explicit", "stiff"]
CLOSER = 32  # steps in place of one, between two records, to see whether something was stepped over


@dataclass(frozen=True, kw_only=True)
class System(Compartments):
    r"""A system of ordinary differential equations.

    .. math:: y' = f(t, y, p) + r(t), \qquad y(t_0) = y_0(p)

    A subclass writes ``rhs(t, y, p)``: the slope of each state by name, plain PyTensor expressions of the numbers
    ``t``, ``y.<state>`` and ``p.<parameter>``. What doses put in, ``r``, is added by the solver: doses into a state are
    given by its name or position (CMT=1 is the first state); ``dosed`` (or else ``states[0]``) is the default;
    ``routes`` is as in `LinearSystem`. ``outcomes(t, y, p)`` says what is measured. An optional ``initial(p)`` gives
    the states at ``origin`` (time 0 if the records start later than that, else the first record; after a reset, at the
    reset); states that it does not name start at 0.

    The derivatives are symbolic and the equations are compiled, once per class and machine (a few seconds). Each
    subject is solved with its own adaptive steps; gradients are the exact derivative of the steps taken. Parameters may
    change in time: the states are carried on. A steady state (SS=1) is found by Newton's method; of slopes that
    read the time there is one where the class declares their ``period``. States that nothing depends on, such as urine,
    are collected from the dose record on.

    Where a slope jumps or bends (a comparison, ``pt.switch``, ``maximum``, ``minimum``, ``abs``, ``sign``, ``clip``,
    ``floor``, ``ceil`` or ``%`` of the time or of a state), a step ends, and gradients hold through it, unless
    `seamless` says that it does not. ``breaks``, times or a method of ``p`` that gives them, end steps too: for what is
    smooth and short.

    ``t``, ``y`` and ``p`` in `outcomes` are (record,) or (draw, record), in `initial` and `routes` ``p`` is (unit,) or
    (draw, unit); any consistent units will do.

    Parameters
    ----------
    rtol, atol : float
        Tolerances of the error of a step: sqrt(mean((error / (atol * size + rtol |y|))^2)) <= 1. The size of a state
        follows from the doses and the states of each course, so that units change nothing; ``scales``, a dict that a
        class may have, gives it instead.
    solver : {"auto", "explicit", "stiff"}
        Explicit Runge-Kutta steps of order 5 (Tsitouras 2011), linearly implicit ones of order 5 (Rodas5P, Steinebach
        2023), or each where it is better.
    max_steps : int
        Steps of a course of a subject beyond which the point counts as failed: it has no density, and its predictions
        are missing.
    min_steps : int
        Least number of steps between two records or doses.

    Raises
    ------
    ValueError
        A slope that is missing, or a state that does not exist, with the states that there are; an expression that
        cannot be compiled, with those that can.

    References
    ----------
    Tsitouras (2011), Comput. Math. Appl. 62, 770-775, doi:10.1016/j.camwa.2011.06.002; Steinebach (2023), BIT Numer.
    Math. 63, 27, doi:10.1007/s10543-023-00967-x; Hairer and Wanner (1996), Solving ODEs II, ch. IV.7.

    Examples
    --------
    Elimination that saturates:

    >>> import nlmebayes as nb
    >>> class Saturable(nb.System):
    ...     states, dosed = ("gut", "central"), "gut"
    ...     parameters = (nb.Parameter("ka", "1/h", 1.0), nb.Parameter("vmax", "mg/h", 10.0),
    ...                   nb.Parameter("km", "mg/L", 2.0), nb.Parameter("v", "L", 30.0))
    ...     def rhs(self, t, y, p):
    ...         c = y.central / p.v
    ...         return {"gut": -p.ka * y.gut, "central": p.ka * y.gut - p.vmax * c / (p.km + c)}
    ...     def outcomes(self, t, y, p):
    ...         return {"conc": y.central / p.v}
    >>> Saturable(rtol=1e-8).solver
    'auto'
    """

    rtol: Share = 1e-6
    atol: Positive = 1e-8
    solver: Method = "auto"
    max_steps: Count = 100_000
    min_steps: Count = 1

    superposed = False
    fallible = True
    origin = 0.0
    initial = None  # or a method of p: states at the origin, state -> (unit,) or (draw, unit)
    scales = MappingProxyType({})  # or a dict: the sizes of states, where those of a course will not do

    @property
    def tolerances(self):
        return self.rtol, self.atol, self.min_steps

    @property
    def needs_doses(self):
        return self.initial is None

    def tighter(self, factor: float) -> "System":
        """The same with tolerances that are smaller by a factor, and steps that see more of what happens between.

        Parameters
        ----------
        factor : float
            By which tolerances are multiplied, below 1.

        Returns
        -------
        System

        Examples
        --------
        >>> import nlmebayes as nb
        >>> from model_zoo import MichaelisMenten
        >>> MichaelisMenten().tighter(0.01).rtol
        9.999999999999999e-05
        """
        steps = {"min_steps": CLOSER * self.min_steps, "max_steps": CLOSER * self.max_steps}
        return replace(self, rtol=self.rtol / factor, atol=self.atol / factor, **steps)

    @abstractmethod
    def rhs(self, t: TensorVariable, y: Named, p: Named) -> dict[str, TensorVariable]:
        """Slopes of the states.

        Parameters
        ----------
        t : tensor
            Time.
        y : Named
            States.
        p : Named
            Parameters.

        Returns
        -------
        dict of str -> tensor

        Examples
        --------
        >>> import nlmebayes as nb
        >>> from model_zoo import TumourGrowth
        >>> TumourGrowth("exponential").rhs(0.0, nb.Named(size=100.0), nb.Named(y0=100.0, r=0.1))
        {'size': 10.0}
        """

    def amounts(self, p, x, read):
        first = next(iter(vars(p).values()))
        text, used, collecting, stops, kinds = _law(self)
        routes, inputs = self._inputs(p)
        given = self.initial(p) if self.initial else {}
        for state in given:
            self._number(state)
        initial = stacked([given.get(s) for s in self.states], first) if given else stacked([0.0], first)[:, :0]
        parameters = stacked([getattr(p, name) for name in used], first) if used else stacked([0.0], first)[:, :0]
        size = [self.atol * self.scales.get(state, -1.0) for state in self.states]
        tolerances = np.array([self.rtol, self.max_steps, get_args(Method).index(self.solver), *size])
        cases = [stops, max(self.min_steps, 1), *kinds]
        read, cases = (np.array(x, dtype=np.int64) for x in ([self._number(s) for s in read], cases))
        fixed = [routes, read, collecting, tolerances, cases]
        timeline = [x[f"timeline_{name}"] for name in ("courses", "records", "of_record", "doses", "of_dose")]
        y, failed, _ = States(text)(*fixed, *timeline, parameters, initial, *inputs)
        return (y, failed) if first.ndim == 2 else (y[0], failed[0])


@in_turns
@lru_cache(maxsize=64)
def _law(structure):
    """Source of the compiled law, the parameters that it uses, which states nothing depends on, whether records end its
    steps, and the kinds of its cases."""
    t = pt.dscalar("t")
    y = {state: pt.dscalar(state) for state in structure.states}
    p = {parameter.name: pt.dscalar(parameter.name) for parameter in structure.parameters}
    slopes = structure.rhs(t, Named(**y), Named(**p))
    if not isinstance(slopes, dict) or set(slopes) != set(structure.states):
        got = ", ".join(map(str, slopes)) if isinstance(slopes, dict) else type(slopes).__name__
        known = ", ".join(structure.states)
        raise ValueError(f"{structure.label}: rhs must return a dict with the slope of each of {known}; got {got}")
    moving, rates = [t, *y.values()], [pt.as_tensor(slopes[state], dtype="float64") for state in structure.states]
    stated = structure.breaks(Named(**p)) if callable(structure.breaks) else structure.breaks
    breaks = [pt.as_tensor(at, dtype="float64") for at in stated]
    found = set(ancestors([*rates, *breaks]))
    used = tuple(name for name, variable in p.items() if variable in found)
    rates, held = hold(rates, moving, breaks)
    text, alone = law.source(t, moving[1:], [p[name] for name in used], rates, held)
    return text, used, np.isin(np.arange(len(y)), alone), bool(held) or t in found, [case.kind for case in held]
