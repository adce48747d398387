"""`Structure`, the abstract law: what its parameters are and how they give predictions."""

import dataclasses
from abc import ABC, abstractmethod
from types import SimpleNamespace
from typing import Literal, get_args, get_origin

from nlmebayes.parameter import Parameter


class Named(SimpleNamespace):
    """Values by name; asking for a name that is not there lists those that are."""

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
    """

    parameters: tuple[Parameter, ...]
    inputs: tuple[str, ...] = ()
    outcomes: tuple[str, ...] = ()
    order: tuple = ()
    formulas: tuple[str, ...] = ()
    doses = False  # whether doses act on it
    needs_doses = True  # of those on which doses act: whether nothing happens without one
    fallible = False  # whether there may be parameters without a prediction, which is then NaN
    changing = True  # whether parameters may change within a subject
    closed = False  # of hazards: whether it gives the cumulative hazard where ``x.cumulative`` is 1
    breaks: tuple = ()  # times at which a hazard jumps or bends, or at which steps of a system end

    def __post_init__(self):
        """Options that are a choice (``Literal``) are one of their values, the others of their type."""
        for option in dataclasses.fields(self):
            value, name = getattr(self, option.name), type(self).__name__
            known = get_args(option.type) if get_origin(option.type) is Literal else ()
            if known and value not in known:
                raise ValueError(f"{name}: no {option.name} {value!r}; there are {', '.join(map(str, known))}")
            if isinstance(option.type, type) and not isinstance(value, option.type):
                raise ValueError(f"{name}: {option.name} must be of type {option.type.__name__}; got {value!r}")
            if option.type is int and value < 0:
                raise ValueError(f"{name}: {option.name} {value} is negative")

    @abstractmethod
    def arrays(self, design):
        """NumPy arrays that `predict` needs, from the `Design`: name -> (array, dims, or None for unnamed ones)."""

    @abstractmethod
    def predict(self, p, x, outcomes):
        """Predictions of ``outcomes`` at their records, a dict by name: (record,) or (draw, record) each.

        ``p`` holds the individual parameters by name, (unit,) or (draw, unit) each; ``x`` the tensors of `arrays`.
        """

    @property
    def label(self):
        """Class name with the options that are not the default, e.g. ``OneCompartment(absorption='first-order')``."""
        values = {f.name: (getattr(self, f.name), f.default) for f in dataclasses.fields(self)}
        options = ", ".join(f"{name}={value!r}" for name, (value, default) in values.items() if value != default)
        return f"{type(self).__name__}({options})"
