"""`curve`: a nonlinear function as a structure, without a class: from a formula, which is stored, or from Python."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated

import numpy as np
import pytensor.tensor as pt

from nlmebayes.arguments import Kind, Name, Number, Text, checked
from nlmebayes.errors import ModelError
from nlmebayes.formula.calculation import read
from nlmebayes.formula.scan import FormulaError
from nlmebayes.parameter.parameter import Parameter
from nlmebayes.runtime.threads import in_turns
from nlmebayes.structure.curve import Curve

PLACES = np.array([0.0, 0.3, 1.0, 2.7, 8.0])  # of inputs, at which a function is told from others
DIGITS = 6
_FUNCTIONS = {}  # parameters, inputs, outcomes and values of a `FunctionCurve` -> the function
SILENT = {"shown": False}


def _function(value):
    if not callable(value) or isinstance(value, type):
        raise TypeError
    return value


Function = Annotated[Callable, Kind("a function, such as lambda x, a, k: a * pt.exp(-k * x.time)", _function)]


@checked
def curve(law: Text | Function, /, **parameters: Parameter | Number) -> "FormulaCurve | FunctionCurve":
    r"""A `Curve` from one formula, without a class.

    Parameters
    ----------
    law : str or function
        Arithmetic on parameters and inputs, ``"a * (1 - exp(-k * time))"``: names that are no parameters are inputs,
        columns of the data. It is part of the model's statement, so a file with the fit can be read anywhere. Or a
        function of the inputs and of the parameters by name, written with PyTensor, ``lambda x, a, k: a * (1 -
        pt.exp(-k * x.time))``, which gives the prediction, or several in a dict by outcome. No file holds it: another
        process needs ``model=`` with the same function.
    **parameters : Parameter or float
        Each with its name. A number is the typical value of a positive parameter with a log link; whatever else is
        said by a `Parameter`, such as its unit, its link and how far typical values may lie apart.

    Returns
    -------
    FormulaCurve or FunctionCurve
        A structure, for `Model`.

    Raises
    ------
    FormulaError, ModelError
        What is no arithmetic; a parameter that is missing, or not in the formula; a function that fails.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> nb.curve("a * (1 - exp(-k * time))", a=nb.Parameter("a", "mg/L", typical=10.0), k=0.3).inputs
    ('time',)
    """
    if not parameters:
        raise ModelError(
            "curve: name its parameters, each with a typical value: curve('a * exp(-k * time)', a=10, k=0.3)"
        )
    own = tuple(_parameter(name, value) for name, value in parameters.items())
    return FormulaCurve(law, own) if isinstance(law, str) else _traced(law, own)


def _parameter(name, value):
    """A parameter of a name; a number is the typical value of one with a log link."""
    if isinstance(value, Parameter):
        if value.name != name:
            raise ModelError(f"curve: {name} is given a Parameter that is called {value.name!r}; give it the same name")
        return value
    if value <= 0:
        raise ModelError(
            f"curve: {name}={value:g} is not positive, as the logarithm wants it; say its link and how far typical "
            f"values may lie apart: {name}=nb.Parameter({name!r}, typical={value:g}, spread=1.0, link='identity')"
        )
    return Parameter(name, typical=value)


@checked
@dataclass(frozen=True)
class FormulaCurve(Curve):
    """f = the value of a text, which `curve` reads.

    Parameters
    ----------
    text : str
        Arithmetic on names.
    parameters : tuple of Parameter
        What is none of them is an input.

    Raises
    ------
    FormulaError
        What is no arithmetic.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> nb.FormulaCurve("a * exp(-k * time)", [nb.Parameter("a"), nb.Parameter("k")]).inputs
    ('time',)
    """

    text: Text
    parameters: tuple[Parameter, ...] = field(metadata=SILENT)

    def __post_init__(self):
        names, known = [p.name for p in self.parameters], read(self.text).names
        for name in names:
            if name not in known:
                raise FormulaError(f"{self.text!r}: there is no {name!r}; it has {', '.join(known) or 'no names'}")
        if len(set(names)) < len(names):
            raise ModelError(f"{self.text!r}: two of its parameters have one name; there are {', '.join(names)}")

    @property
    def inputs(self):
        own = [p.name for p in self.parameters]
        return tuple(name for name in read(self.text).names if name not in own)

    def curve(self, p, x):
        return read(self.text).on_tensors(vars(p) | vars(x))


@checked
@dataclass(frozen=True)
class FunctionCurve(Curve):
    """f = the value of a function of Python, which `curve` makes one of.

    Parameters
    ----------
    parameters, inputs, outcomes
        As of every structure.
    values : tuple of str
        Of the function at some places, by which it is told from others.

    Raises
    ------
    ModelError
        An argument of another kind.

    Examples
    --------
    >>> import pytensor.tensor as pt, nlmebayes as nb
    >>> nb.curve(lambda x, a, k: a * pt.exp(-k * x.time), a=1.0, k=0.3).inputs
    ('time',)
    """

    parameters: tuple[Parameter, ...] = field(metadata=SILENT)
    inputs: tuple[Name, ...] = ()
    outcomes: tuple[Name, ...] = ()
    values: tuple[Text, ...] = field(default=(), metadata=SILENT)

    def __post_init__(self):
        if self._key not in _FUNCTIONS:
            raise ModelError(
                "the structure was made by nb.curve of a function, which no file holds, and this process knows none "
                "with its parameters, inputs, outcomes and values: give model=, with the same function, or write the "
                "curve as a formula"
            )

    @property
    def _key(self):
        return self.parameters, self.inputs, self.outcomes, self.values

    def curve(self, p, x):
        return _FUNCTIONS[self._key](x, **vars(p))


class _Recorder:
    """Inputs of any name, which are remembered."""

    def __init__(self):
        self.__dict__["asked"] = {}

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return self.asked.setdefault(name, pt.dvector(name))


def _apart(p, i):
    """Values of a parameter on its link scale, at which a function is told from others; no two go together."""
    middle = 1.0 if p.typical is None else float(p.scale.forward(p.typical))
    return middle + (p.spread or p.scale.spread or 1.0) * np.sin(1.7 * np.arange(len(PLACES)) + i)


@in_turns
def _traced(function, parameters):
    """The `FunctionCurve` of a function, tried once."""
    names = [p.name for p in parameters]
    try:
        _, *wanted = inspect.signature(function).parameters
    except ValueError:
        raise ModelError(
            "curve: write the function as lambda x, a, k: ..., x the inputs and then the parameters"
        ) from None
    if set(wanted) != set(names):
        raise ModelError(
            f"curve: the function has the parameters {', '.join(wanted) or 'none'} after its inputs, and given are "
            f"{', '.join(names)}"
        )
    x = _Recorder()
    given = {p.name: p.scale.inverse(pt.as_tensor(_apart(p, i))) for i, p in enumerate(parameters)}
    try:
        found = function(x, **given)
        several = found if isinstance(found, dict) else {"": found}
        inputs = {tensor: PLACES + 0.1 * i for i, tensor in enumerate(x.asked.values())}
        values = [(pt.as_tensor(f) + pt.zeros(len(PLACES))).eval(inputs, mode="FAST_COMPILE", on_unused_input="ignore")
                  for f in several.values()]  # fmt: skip
    except Exception as error:  # whatever somebody's own function raises
        text = " ".join(str(error).split())
        raise ModelError(
            f"curve: the function fails, {type(error).__name__}: {text[:200]}; write it for tensors, with import "
            "pytensor.tensor as pt"
        ) from error
    told = tuple(f"{v:.{DIGITS}g}" for v in np.ravel(values))
    outcomes = tuple(several) if isinstance(found, dict) else ()
    _FUNCTIONS[parameters, tuple(x.asked), outcomes, told] = function
    return FunctionCurve(parameters, tuple(x.asked), outcomes, told)
