"""`code`: a model's statement as Python text that gives an equal model when it is run."""

import dataclasses
import sys

import numpy as np

import nlmebayes
from nlmebayes.arguments import checked
from nlmebayes.errors import ModelError
from nlmebayes.model.declared import assumed
from nlmebayes.model.model import Model
from nlmebayes.parameter.parameter import Prior

INDENT = "    "
WIDTH = 110  # of a line
DEFAULTS = {"parametrisation": "auto"}  # of a model; others are empty


@checked
def code(model: Model, *, name: str = "model") -> str:
    """The statement of a model as Python text that gives an equal one when it is run.

    Options and arguments that are the default are left out; formulas that the class declares and values of ``fixed=``
    are among the formulas. Of a class that was defined in the notebook itself there is no import.

    Parameters
    ----------
    model : Model
    name : str
        Of the variable in the text.

    Returns
    -------
    str

    Raises
    ------
    ModelError
        A class inside a function, which no text can import.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> from model_zoo import Emax
    >>> print(nb.code(nb.Model(Emax(sigmoid=True), "e0 ~ 1", residual=nb.Proportional())))
    import nlmebayes as nb
    from model_zoo import Emax
    <BLANKLINE>
    model = nb.Model(
        Emax(sigmoid=True),
        'e0 ~ 1',
        residual=nb.Proportional(),
    )
    <BLANKLINE>
    """
    if not name.isidentifier():
        raise ModelError(f"code: name={name!r} is no name of a variable")
    imports = {}
    stated = [_value(model.structure, imports), *(repr(text) for text in model.formulas)]
    defaults = DEFAULTS | {"residual": _assumed(model)}
    for field in dataclasses.fields(model):
        value = getattr(model, field.name)
        if field.name not in ("structure", "formulas") and value != defaults.get(field.name, {}):
            stated.append(f"{field.name}={_value(value, imports)}")
    lines = [
        "import nlmebayes as nb",
        *(f"from {module} import {', '.join(sorted(names))}" for module, names in sorted(imports.items())),
    ]
    return "\n".join([*lines, "", f"{name} = nb.Model(", *(f"{INDENT}{each}," for each in stated), ")", ""])


def _assumed(model):
    """The residual that the model has where none is stated, or None: it needs one."""
    try:
        return assumed(model.structure, dict(model.scales))
    except ModelError:
        return None


def _value(value, imports):
    """A value as Python text; classes that it needs are added to ``imports``, module -> names."""
    if isinstance(value, Prior):
        return _call(value, value.parameters, imports, repr(value.family))
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_value(k, imports)}: {_value(v, imports)}" for k, v in value.items()) + "}"
    if isinstance(value, tuple | list):
        inside = ", ".join(_value(each, imports) for each in value)
        return f"[{inside}]" if isinstance(value, list) else f"({inside}{',' * (len(value) == 1)})"
    if isinstance(value, np.ndarray | np.generic):
        return _value(value.tolist(), imports)
    if isinstance(value, float) and not np.isfinite(value):
        return f"float({str(value)!r})"
    if isinstance(value, str | int | float | bool | None):
        return repr(value)
    return _call(value, _stated(value), imports)


def _stated(noun):
    """Options of a structure, a residual or a link that are not the default."""
    if not dataclasses.is_dataclass(noun):
        return vars(noun)
    defaults = {f.name: f.default for f in dataclasses.fields(noun) if f.init}
    return {name: getattr(noun, name) for name, default in defaults.items() if getattr(noun, name) != default}


def _call(noun, options, imports, *first):
    given = [*first, *(f"{name}={_value(value, imports)}" for name, value in options.items())]
    return f"{_named(type(noun), imports)}({', '.join(given)})"


def _named(kind, imports):
    """How a class is written, which may need an import."""
    name, module = kind.__qualname__, kind.__module__
    top = module.partition(".")[0]
    if top == "nlmebayes" and name in nlmebayes.__all__:
        return f"nb.{name}"
    if not name.isidentifier():
        raise ModelError(f"code: {name} is defined inside a function or a class; define it in a module")
    if module != "__main__":
        imports.setdefault(top if getattr(sys.modules.get(top), name, None) is kind else module, set()).add(name)
    return name
