"""Whether a structure predicts probabilities, as the families of shares and of 0 and 1 take them.

A prediction that is a probability whatever the parameters are still lies between 0 and 1 where these are far out.
"""

import numpy as np
import pytensor.tensor as pt

from nlmebayes.structure.compartments import Compartments
from nlmebayes.structure.curve import Curve
from nlmebayes.structure.structure import Named

PRIOR_SDS = 8.0  # prior SDs of a parameter from its typical value, on the link scale
LARGE = 1e6  # amount of a state


def impossible(structure, parameters, outcome):
    """A prediction of an outcome that is no probability, or None: of curves, and of what is read from states."""
    p = {each.name: values for each, values in zip(parameters, _far_out(parameters), strict=True)}
    n = 2 * len(parameters) + 1
    if isinstance(structure, Curve):
        f = _curve(structure, p, n, outcome)
    elif isinstance(structure, Compartments):
        y = {state: pt.constant(np.tile([0.0, LARGE], n)) for state in structure.states}
        p = {name: pt.repeat(values, 2) for name, values in p.items()}
        found = structure.outcomes(pt.ones(2 * n), Named(**y), Named(**p))
        f = found.get(outcome, next(iter(found.values())))
    else:
        return None
    values = np.asarray(pt.as_tensor(f).eval(mode="FAST_COMPILE"))
    wrong = values[(values < 0) | (values > 1)]
    return float(wrong[0]) if wrong.size else None


def _curve(structure, p, n, outcome):
    x = {f"{name}_{outcome}": pt.ones(n) for name in structure.inputs} | {f"unit_{outcome}": np.arange(n)}
    x |= {f"cumulative_{outcome}": pt.zeros(n)} if structure.closed else {}
    return structure.predict(Named(**p), Named(**x), (outcome,))[outcome]


def _far_out(parameters):
    """Values of each parameter (point,): typical ones, and each in turn moved both ways on its link scale."""
    middle = [0.0 if p.typical is None else float(p.scale.forward(p.typical)) for p in parameters]
    linear = np.tile(middle, (2 * len(parameters) + 1, 1))
    for i, p in enumerate(parameters):
        linear[1 + 2 * i : 3 + 2 * i, i] += PRIOR_SDS * (p.spread or p.scale.spread or 1.0) * np.array([-1.0, 1.0])
    return [p.scale.inverse(pt.constant(values)) for p, values in zip(parameters, linear.T, strict=True)]
