"""Individual parameters, the links between their scale and the model's, and priors."""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
import pymc as pm
import pytensor.tensor as pt
from pymc.logprob.utils import CheckParameterValue
from pytensor.graph.traversal import ancestors
from pytensor.tensor import TensorVariable
from scipy import special, stats

from nlmebayes.arguments import Kind, Number, Positive, Switch, Text, checked, read, text
from nlmebayes.errors import ModelError
from nlmebayes.parameter.units import converted

EVEN = 1 / stats.halfnorm.median()  # scale of a half-normal law with median 1


class Link(ABC):
    """A smooth increasing map between the natural scale of a parameter and the whole real line.

    ``forward`` takes numbers to the link scale (NumPy); ``inverse`` takes tensors back (PyTensor).
    ``spread`` and ``variation`` are default prior scales, on the link scale, of a fixed effect and of omega. Between
    bounds the median of omega is the SD of the link's own law (1 of a normal, 1.81 of a logistic one), which spreads
    individuals evenly over the interval; half of the variance of an answer is then the person's.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> float(nb.Parameter("f", typical=0.7, link="logit").scale.forward(0.5))
    0.0
    """

    spread: float | None = None
    variation: float | None = None
    bounds: tuple[float, float]

    @abstractmethod
    def forward(self, value: np.ndarray) -> np.ndarray:
        """Numbers of any shape on the link scale, from the natural one.

        Parameters
        ----------
        value : array
            On the natural scale.

        Returns
        -------
        array

        Examples
        --------
        >>> import nlmebayes as nb
        >>> float(nb.Log().forward(1.0))
        0.0
        """

    @abstractmethod
    def inverse(self, linear: TensorVariable) -> TensorVariable:
        """A tensor of any shape on the natural scale, from the link scale.

        Parameters
        ----------
        linear : tensor or array
            On the link scale.

        Returns
        -------
        tensor

        Examples
        --------
        >>> import nlmebayes as nb
        >>> float(nb.Logit(0, 100).inverse(0.0).eval())
        50.0
        """

    def in_unit(self, factor: float) -> "Link":
        """The link of values that are so many times as large.

        Parameters
        ----------
        factor : float
            New numbers per old one.

        Returns
        -------
        Link

        Examples
        --------
        >>> import nlmebayes as nb
        >>> nb.Logit(0, 1).in_unit(100)
        Logit(lower=0.0, upper=100.0)
        """
        return self

    def written(self, symbol: str) -> str:
        r"""A value on the link scale, in LaTeX.

        Parameters
        ----------
        symbol : str
            What is on the natural scale.

        Returns
        -------
        str

        Examples
        --------
        >>> import nlmebayes as nb
        >>> print(nb.Log().written("cl"))
        \log\,cl
        """
        return rf"\mathrm{{{type(self).__name__.lower()}}}\left({symbol}\right)"


@checked
@dataclass(frozen=True)
class Identity(Link):
    """phi = linear predictor. Its prior scales have the parameter's unit, so a `Parameter` must state them.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> nb.Parameter("e0", "mmHg", typical=80.0, spread=20.0, link="identity").scale
    Identity()
    """

    bounds = (-np.inf, np.inf)

    def forward(self, value):
        return np.asarray(value, dtype=float)

    def inverse(self, linear):
        return linear

    def written(self, symbol):
        return symbol


@checked
@dataclass(frozen=True)
class Log(Link):
    """phi = exp(linear predictor): positive parameters, log-normal individuals.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> nb.Parameter("cl", "L/h", typical=3.0).scale
    Log()
    """

    spread = 1.0
    variation = 0.5
    bounds = (0.0, np.inf)

    def forward(self, value):
        return np.log(value)

    def inverse(self, linear):
        return pt.exp(linear)

    def written(self, symbol):
        return rf"\log\,{symbol}"


@dataclass(frozen=True)
class Interval(Link):
    """Parameters between ``lower`` and ``upper``."""

    lower: Number = 0.0
    upper: Number = 1.0

    def __post_init__(self):
        if not self.lower < self.upper:
            raise ModelError(
                f"{type(self).__name__}: lower={self.lower:g}, upper={self.upper:g} is no interval; the lower is first"
            )

    @property
    def bounds(self):
        return (self.lower, self.upper)

    def in_unit(self, factor):
        return replace(self, lower=self.lower * factor, upper=self.upper * factor)

    def written(self, symbol):
        name, (low, high) = type(self).__name__.lower(), self.bounds
        share = symbol if (low, high) == (0, 1) else rf"\frac{{{symbol} - {low:g}}}{{{high:g} - {low:g}}}"
        return rf"\mathrm{{{name}}}\left({share}\right)"

    def _share(self, value):
        return (np.asarray(value) - self.lower) / (self.upper - self.lower)


@checked
@dataclass(frozen=True)
class Logit(Interval):
    """phi = lower + (upper - lower) / (1 + exp(-linear predictor)): parameters on an interval.

    Parameters
    ----------
    lower, upper : float
        Bounds, in the unit of the parameter.

    Raises
    ------
    ModelError
        Bounds that are no interval.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> float(nb.Logit(0, 100).forward(50.0))
    0.0
    """

    spread = 1.5
    variation = EVEN * np.pi / np.sqrt(3)

    def forward(self, value):
        return special.logit(self._share(value))

    def inverse(self, linear):
        return self.lower + (self.upper - self.lower) * pt.sigmoid(linear)


@checked
@dataclass(frozen=True)
class Probit(Interval):
    """phi = lower + (upper - lower) Phi(linear predictor), with Phi the standard normal distribution function.

    Parameters
    ----------
    lower, upper : float
        Bounds, in the unit of the parameter.

    Raises
    ------
    ModelError
        Bounds that are no interval.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> float(nb.Probit().forward(0.975).round(2))
    1.96
    """

    spread = 1.0
    variation = EVEN

    def forward(self, value):
        return special.ndtri(self._share(value))

    def inverse(self, linear):
        return self.lower + (self.upper - self.lower) * 0.5 * pt.erfc(-linear / np.sqrt(2.0))


LINKS = {"identity": Identity(), "log": Log(), "logit": Logit(), "probit": Probit()}


RESERVED = ("theta_", "omega_", "eta_", "corr_", "sigma_", "chol_corr_", "z_", "phi_", "f_")


@checked
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

    Raises
    ------
    ModelError
        A name that is none or the library's own, an unknown link, a typical value outside of its range, an identity
        link
        without a spread.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> nb.Parameter("cl", "L/h", typical=3.0, spread=0.5).unit
    'L/h'
    """

    name: Text
    unit: Text = ""
    typical: Number | None = 1.0
    spread: Positive | None = None
    link: Text | Link = "log"
    variation: Positive | None = None
    varies: Switch = True

    def __post_init__(self):
        if not self.name.isidentifier():
            raise ModelError(f"parameter {self.name!r}: the name must be a Python name, such as cl")
        if self.name.startswith(RESERVED) or self.name == "sigma":
            raise ModelError(f"parameter {self.name}: names that start with {', '.join(RESERVED)} are the library's")
        if not isinstance(self.link, Link) and self.link not in LINKS:
            raise ModelError(f"parameter {self.name}: no link {self.link!r}; links are {', '.join(LINKS)}")
        if self.typical is None:
            return
        lower, upper = self.scale.bounds
        if not lower < self.typical < upper:
            raise ModelError(
                f"parameter {self.name}: typical value {self.typical:g} is outside ({lower:g}, {upper:g}), "
                f"the range of its {type(self.scale).__name__.lower()} link"
            )
        if self.spread is None and self.scale.spread is None:
            raise ModelError(f"parameter {self.name}: an identity link needs spread=, in {self.unit or 'its unit'}")

    @property
    def scale(self) -> Link:
        """The link object."""
        return LINKS[self.link] if isinstance(self.link, str) else self.link

    def in_units(self, **units: Text) -> "Parameter":
        """The same parameter in other units: its typical value, and what its link has in that unit.

        Parameters
        ----------
        **units : str
            By dimension, ``time``, ``amount`` or ``volume``: ``time="day"``.

        Returns
        -------
        Parameter

        Raises
        ------
        ModelError
            No such dimension or unit, or a unit of the parameter that cannot be read.

        Examples
        --------
        >>> import nlmebayes as nb
        >>> changed = nb.Parameter("ka", "1/h", typical=1.5).in_units(time="day")
        >>> changed.typical, changed.unit
        (36.0, '1/day')
        """
        found = self
        for dimension, unit in units.items():
            written, factor, _ = converted(found.unit, dimension, unit)
            scales = 1.0 if found.scale.spread else factor  # those of an identity link have the unit
            typical, spread, variation = (
                value and value * size
                for value, size in ((found.typical, factor), (found.spread, scales), (found.variation, scales))
            )
            link = found.link if factor == 1.0 else found.scale.in_unit(factor)
            found = replace(found, unit=written, typical=typical, spread=spread, variation=variation, link=link)
        return found


FAMILIES = {  # PyMC's distributions of numbers, by name; those that run a function of the user are none
    name: kind
    for name, kind in ((name, getattr(pm.distributions, name)) for name in pm.distributions.__all__)
    if isinstance(kind, type) and issubclass(kind, pm.Continuous | pm.Discrete)
    if kind not in (pm.Continuous, pm.Discrete)
}


@checked
@dataclass(frozen=True, init=False)
class Prior:
    """A PyMC distribution by name, e.g. ``Prior("HalfNormal", sigma=0.5)``.

    A value may be a number, an array over the variable's coordinate, or a mapping from coordinate label to
    number, e.g. ``Prior("Normal", mu={"Intercept": 250, "Days": 0}, sigma={"Intercept": 100, "Days": 20})``.

    Parameters
    ----------
    family : str
        Name of a continuous distribution of PyMC.
    parameters : dict, optional
        Its parameters by name; the same as keywords.
    **values : number, array or dict of label -> number
        Its parameters.

    Raises
    ------
    ModelError
        No such distribution or parameter, one of whole numbers, a value that is none.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> nb.Prior("HalfNormal", sigma=0.5)
    HalfNormal(sigma=0.5)

    In a model it replaces the default prior of a variable:

    >>> from model_zoo import Emax
    >>> model = nb.Model(Emax(), priors={"theta_emax": nb.Prior("Normal", mu=4.0, sigma=0.5)})
    >>> model.priors["theta_emax"]
    Normal(mu=4.0, sigma=0.5)
    """

    family: str
    parameters: dict = field(hash=False)

    def __init__(self, family: Text, /, parameters: dict | None = None, **values):
        kind = FAMILIES.get(family)
        if kind is None:
            raise ModelError(
                f"no distribution {family!r} in PyMC that a prior may have; write its name, such as "
                "Prior('HalfNormal', sigma=0.5)"
            )
        if issubclass(kind, pm.Discrete):
            raise ModelError(
                f"prior {family}: its values are whole numbers, and every variable of a model is continuous"
            )
        object.__setattr__(self, "family", family)
        values = {**(parameters or {}), **values}
        arguments = inspect.signature(kind.dist).parameters.items()
        known = [k for k, p in arguments if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
        for name in values:
            if known and name not in known:
                raise ModelError(f"prior {family}: no parameter {name!r}; it has {', '.join(known)}")
        plain = {name: read(f"prior {family}", name, NUMBERS, value) for name, value in values.items()}
        object.__setattr__(self, "parameters", plain)

    def check(self, name: str) -> None:
        """Refuse parameters that PyMC gives no density, such as an SD of zero.

        Parameters
        ----------
        name : str
            Of the variable, for the message.

        Raises
        ------
        ModelError
            Says what PyMC asks of them.

        Examples
        --------
        >>> import nlmebayes as nb
        >>> nb.Prior("HalfNormal", sigma=-1.0).check("omega_id")
        Traceback (most recent call last):
            ...
        nlmebayes.errors.ModelError: prior of omega_id: HalfNormal(sigma=-1.0) is no distribution, which has sigma > 0
        """
        for condition, words in _conditions(self):
            if not condition.eval(mode="FAST_COMPILE").all():
                raise ModelError(f"prior of {name}: {self} is no distribution, which has {words}")

    def __repr__(self):
        return f"{self.family}({', '.join(f'{k}={v}' for k, v in self.parameters.items())})"

    def at(self, labels: Sequence[str], name: str) -> dict[str, Any]:
        """The parameters as arrays over ``labels``; a mapping must name every label.

        Parameters
        ----------
        labels : sequence of str
            Of the variable's coordinate.
        name : str
            Of the variable, for messages.

        Returns
        -------
        dict of parameter -> number or array (label,)

        Raises
        ------
        ModelError
            A mapping with other labels.

        Examples
        --------
        >>> import nlmebayes as nb
        >>> nb.Prior("Normal", mu={"Intercept": 250, "Days": 0}, sigma=1.0).at(["Intercept", "Days"], "theta_mu")
        {'mu': array([250.,   0.]), 'sigma': 1.0}
        """
        return {key: _over(value, labels, f"{name}, {key}") for key, value in self.parameters.items()}

    def each(self, labels: Sequence[str], name: str) -> "list[Prior]":
        """The priors of the coordinates of a variable, each with numbers of its own.

        Parameters
        ----------
        labels, name
            As in `at`.

        Returns
        -------
        list of Prior

        Raises
        ------
        ModelError
            Other labels, or another number of values.

        Examples
        --------
        >>> import nlmebayes as nb
        >>> nb.Prior("Normal", mu={"Intercept": 250, "Days": 0}, sigma=1.0).each(["Intercept", "Days"], "theta_mu")
        [Normal(mu=250.0, sigma=1.0), Normal(mu=0.0, sigma=1.0)]
        """
        values = self.at(labels, name)
        for value in values.values():
            if np.ndim(value) and len(value) != len(labels):
                words = ", ".join(map(str, labels))
                raise ModelError(f"prior of {name}: {len(value)} values for {len(labels)} coordinates: {words}")
        return [
            Prior(self.family, {k: v if np.ndim(v) == 0 else float(v[i]) for k, v in values.items()})
            for i in range(len(labels))
        ]

    def alone(self, name: str) -> "Prior":
        """This prior, of one number; one of several is refused.

        Parameters
        ----------
        name : str
            Of the variable, for the message.

        Returns
        -------
        Prior

        Raises
        ------
        ModelError
            It is of several numbers.

        Examples
        --------
        >>> import nlmebayes as nb
        >>> nb.Prior("HalfNormal", sigma=0.5).alone("sigma_conc_b")
        HalfNormal(sigma=0.5)
        """
        if any(np.ndim(value) or isinstance(value, dict) for value in self.parameters.values()):
            raise ModelError(f"prior of {name}: it is one number; got {self}")
        return self

    def of(self, **options: Any) -> TensorVariable:
        """A PyMC variable outside of a model.

        Parameters
        ----------
        **options
            Of PyMC's ``dist``, such as ``shape``.

        Returns
        -------
        TensorVariable

        Examples
        --------
        >>> import pymc as pm, nlmebayes as nb
        >>> pm.draw(nb.Prior("HalfNormal", sigma=0.5).of(shape=3), random_seed=1).shape
        (3,)
        """
        return FAMILIES[self.family].dist(**self.parameters, **options)

    def add(
        self, name: str, dims: tuple[str, ...] | None = None, labels: Sequence[str] = (), **options: Any
    ) -> TensorVariable:
        """Add the variable ``name`` to the current PyMC model.

        Parameters
        ----------
        name : str
            Of the variable.
        dims : tuple of str, optional
            Its dimensions in the model.
        labels : sequence of str
            Of its coordinate, for values by label.
        **options
            Of the PyMC distribution.

        Returns
        -------
        TensorVariable

        Raises
        ------
        ModelError
            As `at`.

        Examples
        --------
        >>> import pymc as pm, nlmebayes as nb
        >>> with pm.Model() as model:
        ...     variable = nb.Prior("HalfNormal", sigma=0.5).add("omega")
        >>> [each.name for each in model.free_RVs]
        ['omega']
        """
        return FAMILIES[self.family](name, **self.at(labels, name), dims=dims, **options)


def _plain(value):
    """Numbers: one, a list of them, or by label; None is what PyMC takes it for."""
    if value is None:
        return None
    if isinstance(value, dict):
        return {text(label): _plain(each) for label, each in value.items()}
    array = np.asarray(value)
    if isinstance(value, pd.DataFrame) or array.dtype.kind not in "iuf" or not np.isfinite(array).all():
        raise ValueError
    return array.tolist()


NUMBERS = Kind("a number, a list of numbers, or a dict of coefficient -> number", _plain)


def _distribution(prior):
    """The PyMC variable of a prior; values by label in their order."""
    values = {k: np.array(list(v.values())) if isinstance(v, dict) else v for k, v in prior.parameters.items()}
    try:
        return getattr(pm, prior.family).dist(**values)
    except (TypeError, ValueError, NotImplementedError) as error:
        text = " ".join(str(error).split())
        raise ModelError(f"prior {prior}: PyMC does not take it: {text}; correct its parameters") from None


def _conditions(prior):
    """What PyMC asks of the parameters of a prior: expressions, with words for them."""
    if issubclass(getattr(pm, prior.family), pm.LKJCorr):  # the number of effects is not stated
        return
    variable = _distribution(prior)
    for node in ancestors([pm.logp(variable, variable.type())]):
        if node.owner and isinstance(node.owner.op, CheckParameterValue):
            yield from ((condition, node.owner.op.msg) for condition in node.owner.inputs[1:])


def support(prior):
    """Least and largest value that a prior can have."""
    kind = getattr(pm, prior.family)
    known = {pm.distributions.continuous.PositiveContinuous: (0.0, np.inf),
             pm.distributions.continuous.UnitContinuous: (0.0, 1.0)}  # fmt: skip
    found = next((bounds for base, bounds in known.items() if issubclass(kind, base)), (-np.inf, np.inf))
    if not issubclass(kind, pm.distributions.continuous.BoundedContinuous) or issubclass(kind, pm.LKJCorr):
        return found
    inputs, places = _distribution(prior).owner.inputs, kind.bound_args_indices
    ends = zip(found, places, (np.min, np.max), strict=True)
    return tuple(end if k is None else float(least(inputs[k].eval(mode="FAST_COMPILE"))) for end, k, least in ends)


def by_label(values, labels):
    """A dict by label in the labels' own spelling: ``log(wt/70)`` is ``log(wt / 70)``."""
    known = {"".join(str(label).split()): label for label in labels}
    return {name if name in labels else known.get("".join(name.split()), name): x for name, x in values.items()}


def _over(value, labels, what):
    if not isinstance(value, dict):
        return value
    value = by_label(value, labels)
    missing = [label for label in labels if label not in value]
    unknown = [label for label in value if label not in labels]
    if missing or unknown:
        raise ModelError(
            f"prior of {what}: needs one value for each of {', '.join(map(str, labels))}; "
            + "; ".join(f"{w} {', '.join(x)}" for w, x in (("missing", missing), ("unknown", unknown)) if x)
        )
    return np.array([value[label] for label in labels], dtype=float)
