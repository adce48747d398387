"""`Structure`, the abstract law: what its parameters are and how they give predictions."""

from abc import ABC, abstractmethod
from types import SimpleNamespace

from nlmebayes.parameter import Parameter


class Named(SimpleNamespace):
    """Values by name; asking for a name that is not there lists those that are."""

    def __getattr__(self, name):
        raise AttributeError(f"no {name!r} here; there are {', '.join(vars(self)) or 'none'}")


class Structure(ABC):
    """Parameters + doses + times -> prediction.

    A zoo class is a final subclass of `Curve` or `Superposition`, usually a frozen dataclass whose
    fields are its options. All mathematics is written with PyTensor functions (``import pytensor.tensor as pt``) on
    whole arrays whose last axis runs over observations; a leading axis of draws may come before it.

    Attributes
    ----------
    parameters : tuple of Parameter
    inputs : tuple of str
        Columns of the data that the law reads at each observation; ``"time"`` is the dataset's time column.
    outcomes : tuple of str
        Names of what it predicts. Empty: one outcome, which takes its name from the data.
    order : tuple of functions of the parameters
        Expressions that must be positive for the parameters to mean what they are called. They enter the posterior
        as soft barriers.
    """

    parameters: tuple[Parameter, ...]
    inputs: tuple[str, ...] = ()
    outcomes: tuple[str, ...] = ()
    order: tuple = ()
    doses = False  # whether doses act on it
    state = False  # whether a state is carried on in time, so that a subject must be one unit for now

    @abstractmethod
    def arrays(self, observed):
        """NumPy arrays that `predict` needs, from the `ObservedOutcome` of one outcome.

        A dict from name to (array, last dimension); ``"obs"`` is the dimension of records, another name one of the
        structure's own, such as pairs of record and dose.
        """

    @abstractmethod
    def predict(self, p, x, outcome):
        """Prediction of ``outcome`` at its records: (record,) or (draw, record).

        ``p`` holds the individual parameters by name, (unit,) or (draw, unit) each; ``x`` the tensors of `arrays`.
        """

    @property
    def label(self):
        """Class name with its options, e.g. ``OneCompartment(absorption='first-order')``."""
        options = ", ".join(f"{k}={v!r}" for k, v in vars(self).items())
        return f"{type(self).__name__}({options})"
