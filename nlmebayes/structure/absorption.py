"""How a drug gets into the central compartment, and where it goes: parts that `LinearSystem` classes share."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from pytensor.tensor import TensorVariable

from nlmebayes.arguments import checked, whole
from nlmebayes.parameter.parameter import Parameter
from nlmebayes.structure.compartments import Route

if TYPE_CHECKING:
    from nlmebayes.structure.structure import Named

Kind = Literal["bolus", "first-order", "zero-order", "constant-rate", "sequential", "mixed", "parallel", "transit"]
Transits = Annotated[int, whole("a whole number from 0 to 100", 0, 100)]
_KA = Parameter("ka", "1/h", typical=1.5)
_DURATION = Parameter("dur", "h", typical=2.0)
_FRACTION = Parameter("fr", "fraction", typical=0.5, link="logit")


@checked
@dataclass(frozen=True)
class Absorption:
    r"""Inputs into the state ``"central"``.

    ============= ==================================================================== ==============
    kind          a dose into the default state                                        parameters
    ============= ==================================================================== ==============
    bolus         enters central as recorded: bolus or infusion
    first-order   leaves ``depot`` at rate ``ka``                                      ka
    zero-order    enters central over the duration ``dur`` (RATE=-2)                   dur
    constant-rate enters central at the rate ``r0`` (RATE=-1)                          r0
    sequential    enters ``depot`` over ``dur``, leaves it at ``ka``                   dur, ka
    mixed         the part ``fr`` by ``depot`` at ``ka``, the rest into central over   ka, fr, dur
                  ``dur``
    parallel      the part ``fr`` by ``depot`` at ``ka``, the rest by ``depot2`` at    ka, ka2, fr
                  ``ka2`` (slower)
    transit       passes ``transits + 1`` stages at rate (transits + 1) / ``mtt``      mtt, ka
                  before ``depot``: gamma-distributed delays of mean ``mtt``
    ============= ==================================================================== ==============

    A modelled duration or rate holds for every dose into the default state whose record gives no RATE, so for RATE=0
    as well as for -2 or -1; a dose with a RATE is an infusion at that rate.

    Parameters
    ----------
    kind : one of the above
    lag : bool
        Doses into the default state start ``tlag`` later.
    bioavailability : bool
        The fraction ``f`` of doses into the default state is absorbed (between 0 and 1, logit link).
    transits : int
        Number of transit compartments n of Savic et al., whose input to the depot is gamma-distributed.

    Raises
    ------
    ModelError
        An argument of another kind: it is named, with what it may be.

    References
    ----------
    Savic, Jonker, Kerbusch and Karlsson (2007), J. Pharmacokinet. Pharmacodyn. 34, 711-726,
    doi:10.1007/s10928-007-9066-0, for transit; Holford, Ambros and Stoeckel (1992), J. Pharmacokinet. Biopharm. 20,
    421-442, for mixed and sequential absorption.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> [p.name for p in nb.Absorption("mixed", lag=True).parameters]
    ['ka', 'fr', 'dur', 'tlag']
    """

    kind: Kind = "bolus"
    lag: bool = False
    bioavailability: bool = False
    transits: Transits = 3

    @property
    def states(self) -> tuple[str, ...]:
        """States before ``central``; the first state of the system is the default one of doses."""
        if self.kind == "transit":
            return (*(f"transit{i}" for i in range(1, self.transits + 2)), "depot")
        return {"parallel": ("depot", "depot2")}.get(self.kind, ("depot",) if self.first_order else ())

    @property
    def first_order(self) -> bool:
        """Whether doses leave a depot at the rate ``ka``."""
        return self.kind in ("first-order", "sequential", "mixed", "parallel", "transit")

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Those of the kind, then ``tlag`` and ``f`` where there are these."""
        own = {
            "bolus": (), "first-order": (_KA,), "zero-order": (_DURATION,), "sequential": (_DURATION, _KA),
            "constant-rate": (Parameter("r0", "mg/h", typical=50.0),), "mixed": (_KA, _FRACTION, _DURATION),
            "parallel": (_KA, Parameter("ka2", "1/h", typical=0.3), _FRACTION),
            "transit": (Parameter("mtt", "h", typical=1.0), _KA),
        }[self.kind]  # fmt: skip
        lag = (Parameter("tlag", "h", typical=0.5),) if self.lag else ()
        fraction = (Parameter("f", "fraction", typical=0.7, link="logit"),) if self.bioavailability else ()
        return (*own, *lag, *fraction)

    def flows(self, p: "Named") -> dict[tuple[str, str], TensorVariable]:
        """Flows up to ``central``.

        Parameters
        ----------
        p : Named
            (unit,) or (draw, unit) each.

        Returns
        -------
        dict of (str, str) -> tensor

        Examples
        --------
        >>> import nlmebayes as nb
        >>> nb.Absorption("first-order").flows(nb.Named(ka=1.5))
        {('depot', 'central'): 1.5}
        """
        found = {("depot", "central"): p.ka} if self.first_order else {}
        if self.kind == "parallel":
            found["depot2", "central"] = p.ka2
        if self.kind == "transit":
            ktr = (self.transits + 1) / p.mtt
            found |= {(a, b): ktr for a, b in zip(self.states, self.states[1:], strict=False)}
        return found

    def routes(self, p: "Named") -> dict[str, Route | tuple[Route, ...]]:
        """Routes of a dose into the default state.

        Parameters
        ----------
        p : Named
            (unit,) or (draw, unit) each.

        Returns
        -------
        dict of str -> Route or tuple of Route

        Examples
        --------
        >>> import nlmebayes as nb
        >>> nb.Absorption("zero-order").routes(nb.Named(dur=2.0))["central"].kind
        'duration'
        """
        lag = p.tlag if self.lag else None
        fraction = p.f if self.bioavailability else None

        def part(share):
            return share if fraction is None else share * fraction

        if self.kind == "mixed":
            first = Route("depot", part(p.fr), lag)
            return {"depot": (first, Route("central", part(1 - p.fr), lag, duration=p.dur))}
        if self.kind == "parallel":
            return {"depot": (Route("depot", part(p.fr), lag), Route("depot2", part(1 - p.fr), lag))}
        entry = (*self.states, "central")[0]
        duration = p.dur if self.kind in ("zero-order", "sequential") else None
        rate = p.r0 if self.kind == "constant-rate" else None
        return {entry: Route(entry, fraction, lag, duration=duration, rate=rate)}


@checked
@dataclass(frozen=True)
class Elimination:
    """Where the drug goes that leaves ``central`` at the rate k: out, into a metabolite, into collected urine.

    ``fe`` is the fraction that urine collects, ``fm`` the fraction of the rest that becomes the metabolite, which has
    the volume ``vm`` and the clearance ``clm``. Urine is collected from the start of the records, from a reset, or
    from a steady-state dose on.

    Parameters
    ----------
    metabolite, urine : bool
        Whether there is one.

    Raises
    ------
    ModelError
        An argument of another kind: it is named, with what it may be.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> nb.Elimination(metabolite=True, urine=True).states
    ('metabolite', 'urine')
    """

    metabolite: bool = False
    urine: bool = False

    @property
    def states(self) -> tuple[str, ...]:
        """``"metabolite"`` and ``"urine"``, where there are these."""
        return ("metabolite",) * self.metabolite + ("urine",) * self.urine

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """``fm``, ``clm`` and ``vm`` of a metabolite, ``fe`` of urine."""
        formed = (
            Parameter("fm", "fraction", typical=0.5, link="logit"), Parameter("clm", "L/h", typical=5.0),
            Parameter("vm", "L", typical=30.0),
        )  # fmt: skip
        return formed * self.metabolite + (Parameter("fe", "fraction", typical=0.3, link="logit"),) * self.urine

    def flows(self, p: "Named", k: TensorVariable) -> dict[tuple[str, str | None], TensorVariable]:
        """Flows from ``central``, which it leaves at the rate ``k``.

        Parameters
        ----------
        p : Named
            (unit,) or (draw, unit) each.
        k : tensor
            1/time.

        Returns
        -------
        dict of (str, str or None) -> tensor

        Examples
        --------
        >>> import nlmebayes as nb
        >>> nb.Elimination(urine=True).flows(nb.Named(fe=0.25), 0.4)
        {('central', None): 0.30000000000000004, ('central', 'urine'): 0.1}
        """
        rest, found = k, {}
        if self.urine:
            found["central", "urine"] = p.fe * k
            rest = (1 - p.fe) * k
        if self.metabolite:
            found |= {("central", "metabolite"): p.fm * rest, ("metabolite", None): p.clm / p.vm}
            rest = (1 - p.fm) * rest
        return {("central", None): rest} | found

    def outcomes(self, y: "Named", p: "Named") -> dict[str, TensorVariable]:
        """Predictions beside the concentration: that of the metabolite, the amount in urine.

        Parameters
        ----------
        y : Named
            Amounts by state, (record,) or (draw, record).
        p : Named
            Parameters there.

        Returns
        -------
        dict of str -> tensor

        Examples
        --------
        >>> import nlmebayes as nb
        >>> nb.Elimination(metabolite=True).outcomes(nb.Named(metabolite=60.0), nb.Named(vm=30.0))
        {'metabolite': 2.0}
        """
        found = {"metabolite": y.metabolite / p.vm} if self.metabolite else {}
        return found | ({"urine": y.urine} if self.urine else {})
