"""`Structure`, the abstract law: what its parameters are and how they give predictions."""

import dataclasses
from abc import ABC, abstractmethod
from types import MappingProxyType, SimpleNamespace
from typing import Any

from pytensor.tensor import TensorVariable

from nlmebayes.arguments import checked, kind_of, read
from nlmebayes.parameter.parameter import Parameter
from nlmebayes.structure.traits import NAMES, Traits


@checked
class Named(SimpleNamespace):
    """Values by name; asking for a name that is not there lists those that are.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> p = nb.Named(cl=3.0, v=30.0)
    >>> p.cl / p.v
    0.1
    """

    def __init__(self, /, **values):
        super().__init__(**values)

    def __getattr__(self, name):
        raise AttributeError(f"no {name!r} here; there are {', '.join(vars(self)) or 'none'}")


class Structure(ABC):
    """Parameters + doses + times -> prediction.

    A zoo class is a final subclass of `Curve`, `Superposition`, `LinearSystem` or `System`, usually a frozen dataclass
    whose fields are its options. All mathematics is written with PyTensor functions (``import pytensor.tensor as pt``)
    on whole arrays whose last axis runs over observations; a leading axis of draws may come before it.

    Attributes
    ----------
    parameters : tuple of Parameter
    inputs : tuple of str
        Columns of the data that the law reads at each observation; ``"time"`` is the dataset's time column.
    outcomes : tuple of str
        Names of what it predicts. Empty: one outcome, which takes its name from the data. (Of a system, a
        method that gives the predictions by name.)
    order : tuple of functions of the parameters
        Expressions that must be positive for the parameters to mean what they are called. They enter the posterior
        as soft barriers.
    formulas : tuple of str
        Formulas that the class declares of parameters that the model's statement gives none.
    scattered : str
        The residuals that its predictions take, such as ``"Poisson() or NegativeBinomial()"``, where they are no means
        of measurements. Empty: `Additive` where none is stated.
    direct : tuple of str
        Parameters that are the predictions themselves: on another link these may be probabilities or rates.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> from model_zoo import Emax
    >>> isinstance(Emax(), nb.Structure), [p.name for p in Emax().parameters]
    (True, ['e0', 'emax', 'ec50'])
    """

    parameters: tuple[Parameter, ...]
    inputs: tuple[str, ...] = ()
    outcomes: Any = ()  # tuple of str; of compartments a method
    order: tuple = ()
    formulas: tuple[str, ...] = ()
    linked: tuple[str, ...] = ()
    scattered: str = ""
    direct: tuple[str, ...] = ()
    # The other traits, see `Traits`; ``fallible``: a prediction that there is none of is NaN.
    breaks: Any
    states: tuple[str, ...]
    dosed: str | None
    routes: Any
    origin: float | None
    scales: Any
    nonnegative: Any
    period: Any
    tolerances: tuple
    mirror: Any
    doses, needs_doses, fallible, changing, recordwise = False, True, False, True, False
    closed, breaks = False, ()
    superposed, boluses, states, dosed, routes = False, False, (), None, None
    origin, scales, nonnegative, period, tolerances = None, MappingProxyType({}), (), None, ()
    mirror = None
    larger = None  # one that holds it, as it is written, to try where its curve has another shape than the data
    backends = ("numba", "jax")

    def __post_init__(self):
        """Options are read as their annotations say."""
        for option in dataclasses.fields(self):
            value = read(type(self).__name__, option.name, kind_of(option.type), getattr(self, option.name))
            object.__setattr__(self, option.name, value)

    @abstractmethod
    def arrays(self, design: Any) -> dict[str, tuple]:
        """NumPy arrays that `predict` needs, from the `Design`: name -> (array, dims, or None for unnamed ones).

        Parameters
        ----------
        design : formula.design.Design
            Of a dataset.

        Returns
        -------
        dict of str -> (array, tuple of str or None)

        Examples
        --------
        `build`, `predict` and all other verbs call it:

        >>> import nlmebayes as nb
        >>> from model_zoo import OneCompartment
        >>> from nlmebayes.formula.design import resolve
        >>> model = nb.Model(OneCompartment("first-order"))
        >>> time, dims = model.structure.arrays(resolve(model, nb.datasets.theophylline()))["time_conc"]
        >>> time.shape, dims
        ((132,), ('conc_obs',))
        """

    @abstractmethod
    def predict(self, p: Named, x: Named, outcomes: tuple[str, ...]) -> dict[str, TensorVariable]:
        """Predictions of ``outcomes`` at their records.

        Parameters
        ----------
        p : Named
            The individual parameters, (unit,) or (draw, unit) each.
        x : Named
            The tensors of `arrays`.
        outcomes : tuple of str
            Which are wanted.

        Returns
        -------
        dict of str -> tensor (record,) or (draw, record)

        Examples
        --------
        `build`, `predict` and all other verbs call it:

        >>> import pytensor.tensor as pt, nlmebayes as nb
        >>> from model_zoo import Gompertz
        >>> from nlmebayes.formula.design import resolve
        >>> model = nb.Model(Gompertz())
        >>> arrays = model.structure.arrays(resolve(model, nb.datasets.orange()))
        >>> sorted(arrays)
        ['time_circumference', 'unit_circumference']
        """

    @property
    def traits(self) -> Traits:
        """What it is to others, as one record."""
        return Traits(**{name: getattr(self, name) for name in NAMES})

    @property
    def label(self) -> str:
        """Class name with the options that are not the default, e.g. ``OneCompartment(absorption='first-order')``."""
        fields = (
            dataclasses.fields(self) if dataclasses.is_dataclass(self) else ()
        )  # a class of one's own may have none
        values = {f.name: (getattr(self, f.name), f.default) for f in fields if f.metadata.get("shown", True)}
        options = ", ".join(f"{name}={_option(value)}" for name, (value, default) in values.items() if value != default)
        return f"{type(self).__name__}({options})"


def _option(value):
    """A structure inside of another is written as it is alone."""
    return value.label if isinstance(value, Structure) else repr(value)


@checked
def unambiguous(structure: Structure) -> None:
    """Refuse a wrapper some of whose parameters or states have the names of others.

    Parameters
    ----------
    structure : Structure
        A wrapper of others.

    Raises
    ------
    ValueError
        Names those that there are twice.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> from model_zoo import EffectCompartment
    >>> nb.unambiguous(EffectCompartment())
    """
    for what in ("parameters", "states"):
        names = [getattr(each, "name", each) for each in getattr(structure, what)]
        twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
        if twice:
            raise ValueError(
                f"{structure.label}: two of its {what} are called {', '.join(twice)}; wrap a structure that has none"
            )
