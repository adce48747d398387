"""Structures: parameters + doses + times -> prediction. All names for whoever writes one, found together.

Names load on first use. They are those of `nlmebayes` itself: ``nb.structure.System is nb.System``.
"""

from nlmebayes.runtime.imports import imported

HOME = {  # the modules of this room and their public names
    "absorption": ("Absorption", "Elimination"),
    "covariate": ("LatentCovariate",),
    "curve": ("Curve",),
    "stable": ("bateman", "decay_ratio"),
    "compartments": ("Route",),
    "driven": ("Driven",),
    "hazard": ("Hazard",),
    "linear_predictor": ("LinearPredictor",),
    "linear": ("Drive", "LinearSystem"),
    "system": ("System",),
    "mammillary": ("Disposition", "Mammillary"),
    "structure": ("Named", "Structure", "unambiguous"),
    "superposition": ("Superposition",),
    "traits": ("Traits", "passed_on"),
}
BELOW = {  # what a class needs beside them
    "parameter.parameter": ("Identity", "Link", "Log", "Logit", "Parameter", "Prior", "Probit"),
    "solver.ode.cases": ("seamless",),
}
_MODULE = {name: f"structure.{module}" for module, names in HOME.items() for name in names}
_MODULE |= {name: module for module, names in BELOW.items() for name in names}
__all__ = sorted(_MODULE)


def __getattr__(name):
    if name not in _MODULE:
        raise AttributeError(f"nb.structure has no {name!r}; it has {', '.join(__all__)}")
    value = getattr(imported(f"nlmebayes.{_MODULE[name]}"), name)
    globals()[name] = value
    return value


def __dir__():
    return sorted([*globals(), *__all__])
