"""Individual parameters, the links between their scale and the model's, and priors."""

import inspect
from abc import ABC, abstractmethod
from dataclasses import dataclass, field

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from scipy import special


class Link(ABC):
    """A smooth increasing map between the natural scale of a parameter and the whole real line.

    ``forward`` takes numbers to the link scale (NumPy); ``inverse`` takes tensors back (PyTensor).
    ``spread`` and ``variation`` are default prior scales, on the link scale, of a fixed effect and of omega.
    """

    spread: float | None = None
    variation: float | None = None
    bounds: tuple[float, float]

    @abstractmethod
    def forward(self, value):
        """Numbers of any shape on the link scale, from the natural one."""

    @abstractmethod
    def inverse(self, linear):
        """A tensor of any shape on the natural scale, from the link scale."""


@dataclass(frozen=True)
class Identity(Link):
    """phi = linear predictor. Its prior scales have the parameter's unit, so a `Parameter` must state them."""

    bounds = (-np.inf, np.inf)

    def forward(self, value):
        return np.asarray(value, dtype=float)

    def inverse(self, linear):
        return linear


@dataclass(frozen=True)
class Log(Link):
    """phi = exp(linear predictor): positive parameters, log-normal individuals."""

    spread = 1.0
    variation = 0.5
    bounds = (0.0, np.inf)

    def forward(self, value):
        return np.log(value)

    def inverse(self, linear):
        return pt.exp(linear)


@dataclass(frozen=True)
class Interval(Link):
    """Parameters between ``lower`` and ``upper``."""

    lower: float = 0.0
    upper: float = 1.0

    def __post_init__(self):
        if not -np.inf < self.lower < self.upper < np.inf:
            raise ValueError(f"{type(self).__name__}: ({self.lower}, {self.upper}) is no interval")

    @property
    def bounds(self):
        return (self.lower, self.upper)

    def _share(self, value):
        return (np.asarray(value) - self.lower) / (self.upper - self.lower)


@dataclass(frozen=True)
class Logit(Interval):
    """phi = lower + (upper - lower) / (1 + exp(-linear predictor)): parameters on an interval."""

    spread = 1.5
    variation = 1.0

    def forward(self, value):
        return special.logit(self._share(value))

    def inverse(self, linear):
        return self.lower + (self.upper - self.lower) * pt.sigmoid(linear)


@dataclass(frozen=True)
class Probit(Interval):
    """phi = lower + (upper - lower) Phi(linear predictor), with Phi the standard normal distribution function."""

    spread = 1.0
    variation = 0.6

    def forward(self, value):
        return special.ndtri(self._share(value))

    def inverse(self, linear):
        return self.lower + (self.upper - self.lower) * 0.5 * pt.erfc(-linear / np.sqrt(2.0))


LINKS = {"identity": Identity(), "log": Log(), "logit": Logit(), "probit": Probit()}


RESERVED = ("theta_", "omega_", "eta_", "corr_", "sigma_", "chol_corr_", "z_", "phi_", "f_")


@dataclass(frozen=True)
class Parameter:
    """One individual parameter of a structure, with its default prior.

    Parameters
    ----------
    name : str
        Name in formulas and in the posterior, e.g. ``"cl"``.
    unit : str
        Unit of the natural scale, e.g. ``"L/h"``.
    typical : float or None
        Typical value on the natural scale: centre of the default prior and start of the search. ``None``
        takes the mean of the outcome in the data, for structures without a scale of their own.
    spread : float or None
        Prior SD of the intercept on the link scale; by default the link's (1 for ``"log"``).
    link : str or Link
        ``"log"``, ``"identity"``, ``"logit"``, ``"probit"`` or a `Link` such as ``Logit(0, 100)``.
    variation : float or None
        Scale of the half-normal prior of omega on the link scale; by default the link's, or ``spread``.
    varies : bool
        Whether the default model gives it a random effect at every level.
    """

    name: str
    unit: str = ""
    typical: float | None = 1.0
    spread: float | None = None
    link: str | Link = "log"
    variation: float | None = None
    varies: bool = True

    def __post_init__(self):
        if not self.name.isidentifier():
            raise ValueError(f"parameter {self.name!r}: the name must be a Python name, such as cl")
        if self.name.startswith(RESERVED) or self.name == "sigma":
            raise ValueError(f"parameter {self.name}: names that start with {', '.join(RESERVED)} are the library's")
        if not isinstance(self.link, Link) and self.link not in LINKS:
            raise ValueError(f"parameter {self.name}: no link {self.link!r}; links are {', '.join(LINKS)}")
        for what in ("spread", "variation"):
            value = getattr(self, what)
            if value is not None and not value > 0:
                raise ValueError(f"parameter {self.name}: {what} {value} is not positive")
        if self.typical is None:
            return
        lower, upper = self.scale.bounds
        if not lower < self.typical < upper:
            raise ValueError(
                f"parameter {self.name}: typical value {self.typical} is outside ({lower}, {upper}), "
                f"the range of its {type(self.scale).__name__.lower()} link"
            )
        if self.spread is None and self.scale.spread is None:
            raise ValueError(f"parameter {self.name}: an identity link needs spread=, in {self.unit or 'its unit'}")

    @property
    def scale(self) -> Link:
        """The link object."""
        return LINKS[self.link] if isinstance(self.link, str) else self.link


FAMILIES = {  # PyMC's distributions of numbers, by name; those that run a function of the user are none
    name: kind
    for name, kind in ((name, getattr(pm.distributions, name)) for name in pm.distributions.__all__)
    if isinstance(kind, type) and issubclass(kind, pm.Continuous | pm.Discrete)
    if kind not in (pm.Continuous, pm.Discrete)
}


@dataclass(frozen=True, init=False)
class Prior:
    """A PyMC distribution by name, e.g. ``Prior("HalfNormal", sigma=0.5)``.

    A value may be a number, an array over the variable's coordinate, or a mapping from coordinate label to
    number, e.g. ``Prior("Normal", mu={"Intercept": 250, "Days": 0}, sigma={"Intercept": 100, "Days": 20})``.
    """

    family: str
    parameters: dict = field(hash=False)

    def __init__(self, family, /, parameters=None, **values):
        kind = FAMILIES.get(family) if isinstance(family, str) else None
        if kind is None:
            raise ValueError(f"no distribution {family!r} in PyMC that a prior may have, such as HalfNormal")
        object.__setattr__(self, "family", family)
        values = {**(parameters or {}), **values}
        arguments = inspect.signature(kind.dist).parameters.items()
        known = [k for k, p in arguments if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
        for name in values:
            if known and name not in known:
                raise ValueError(f"prior {family}: no parameter {name!r}; it has {', '.join(known)}")
            if isinstance(values[name], str):
                raise ValueError(f"prior {family}: {name} {values[name]!r} is a text; it takes numbers")
        plain = {k: v.tolist() if isinstance(v, np.ndarray | np.generic) else v for k, v in values.items()}
        object.__setattr__(self, "parameters", plain)

    def __repr__(self):
        return f"{self.family}({', '.join(f'{k}={v}' for k, v in self.parameters.items())})"

    def at(self, labels, name):
        """The parameters as arrays over ``labels``; a mapping must name every label."""
        return {key: _over(value, labels, f"{name}, {key}") for key, value in self.parameters.items()}

    def add(self, name, dims=None, labels=()):
        """Add the variable ``name`` to the current PyMC model."""
        return FAMILIES[self.family](name, **self.at(labels, name), dims=dims)


def _over(value, labels, what):
    if not isinstance(value, dict):
        return value
    missing = [label for label in labels if label not in value]
    unknown = [label for label in value if label not in labels]
    if missing or unknown:
        raise ValueError(
            f"prior of {what}: needs one value for each of {', '.join(map(str, labels))}; "
            + "; ".join(f"{w} {', '.join(x)}" for w, x in (("missing", missing), ("unknown", unknown)) if x)
        )
    return np.array([value[label] for label in labels], dtype=float)
