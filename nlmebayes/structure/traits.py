"""What a structure is to the rest of the library: one record, which those that wrap a structure pass on whole."""

from collections.abc import Callable
from dataclasses import dataclass, fields

from nlmebayes.arguments import Text, checked
from nlmebayes.parameter.parameter import Parameter


@dataclass(frozen=True, eq=False)
class Traits:
    """All that is read of a structure beside its outcomes and its mathematics; classes give each under its own name.

    Attributes
    ----------
    parameters : tuple of Parameter
    inputs : tuple of str
        Columns of the data that the law reads at each observation; ``"time"`` is the dataset's time column.
    order : tuple of functions of the parameters
        Expressions that must be positive for the parameters to mean what they are called.
    formulas : tuple of str
        Formulas that the class declares of parameters that the model's statement gives none.
    linked : tuple of str
        Parameters whose links the structure itself reads, so that no model gives them another.
    scattered : str
        The residuals that its predictions take where they are no means of measurements: rates, probabilities, hazards.
    direct : tuple of str
        Parameters that are the predictions themselves.
    doses, needs_doses : bool
        Whether doses act on it, and whether nothing happens without one.
    fallible : bool
        Whether there may be parameters without a prediction, which is then missing.
    changing : bool
        Whether parameters may change within a subject.
    recordwise : bool
        Whether a prediction depends on what is known at its record alone, so that it can be asked for at any time.
    closed, breaks
        Of hazards: whether the cumulative one is given where ``x.cumulative`` is 1; times at which they jump or bend.
        Of a `System`: times at which a step ends, or a method of the parameters that gives them.
    superposed, boluses : bool
        Whether the effects of doses add up, and whether it takes boluses alone.
    states, dosed, routes
        Of compartments, see `Compartments`.
    origin, scales, nonnegative, period, tolerances
        Of differential equations, see `System`.
    mirror
        A method of p: other values of some parameters, by name, with which the predictions are the same; or None.
    backends : tuple of str
        Samplers' backends that can take it.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> from model_zoo import OneCompartment
    >>> OneCompartment("first-order").traits.states
    ('depot', 'central')
    """

    parameters: tuple[Parameter, ...]
    inputs: tuple
    order: tuple
    formulas: tuple
    linked: tuple
    scattered: str
    direct: tuple
    doses: bool
    needs_doses: bool
    fallible: bool
    changing: bool
    recordwise: bool
    closed: bool
    breaks: object
    superposed: bool
    boluses: bool
    states: tuple
    dosed: str | None
    routes: object
    origin: float | None
    scales: dict
    nonnegative: object
    period: object
    tolerances: tuple
    mirror: object
    backends: tuple


NAMES = tuple(field.name for field in fields(Traits))


@checked
def passed_on[Class: type](part: Text) -> Callable[[Class], Class]:
    """A class whose traits are those of its attribute ``part``, but for those that the class itself gives.

    Parameters
    ----------
    part : str
        Name of an attribute that holds a `Structure`.

    Returns
    -------
    function of a class
        A decorator.

    Raises
    ------
    ModelError
        An argument of another kind: it is named, with what it may be.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> from dataclasses import dataclass
    >>> from model_zoo import OneCompartment
    >>> @nb.passed_on("kinetics")
    ... @dataclass(frozen=True)
    ... class Wrapped:
    ...     kinetics: nb.Structure
    >>> Wrapped(OneCompartment()).states
    ('central',)
    """

    def decorate(cls):
        for name in NAMES:
            if name not in vars(cls):
                setattr(cls, name, property(lambda self, name=name: getattr(getattr(self, part).traits, name)))
        return cls

    return decorate
