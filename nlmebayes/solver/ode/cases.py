"""Cases of a right-hand side, found in its graph: comparisons, kinks and staircases of the time or of the states.

Each becomes a number z that is held while a step is taken, so that the step is smooth, and a *margin* v, an expression
of the time, the states, the parameters and the z of cases inside it. A condition (z 1 or 0) holds while v >= 0 or
v <= 0, a staircase (z a whole number) while z <= v <= z + 1; where a step leaves that, it ends (see `events`).
"""

from collections import namedtuple

import pytensor.tensor as pt
from pytensor.graph.rewriting.utils import rewrite_graph
from pytensor.graph.traversal import ancestors, toposort
from pytensor.tensor import TensorVariable

from nlmebayes.solver.ode.expressions import ExpressionError, operation

CONDITION, STAIRCASE = range(2)
PERIODIC = ("Sin", "Cos", "Tan")

# The number that is held; which kind; its margin; and what it is at a point, if nothing is held.
Case = namedtuple("Case", "z kind margin natural")


def seamless(expression: TensorVariable) -> TensorVariable:
    """The expression, said to have neither jump nor kink although it is a comparison or an absolute value.

    For formulas that are written in cases to keep their digits: ``pt.switch(seamless(b >= 0), one, other)``.

    Parameters
    ----------
    expression : tensor
        A comparison, or an absolute value.

    Returns
    -------
    tensor
        The same one.

    Examples
    --------
    >>> import pytensor.tensor as pt, nlmebayes as nb
    >>> b = pt.dscalar("b")
    >>> float(pt.switch(nb.seamless(b >= 0), b, -b).eval({b: -2.0}))
    2.0
    """
    expression.tag.seamless = True
    return expression


def held(rates, moving, breaks=()):
    """The rates with every case held, and the cases, those inside others first.

    Parameters
    ----------
    rates : list of variables
    moving : list of variables
        What changes during a step: the time, which comes first, and the states. A case of parameters alone is none.
    breaks : iterable of variables
        Times at which steps end whatever the graph says.

    Raises
    ------
    ExpressionError
        A jump that cannot be followed: a number that is cut off to a whole one by its type.
    """
    found = []
    rates = rewrite_graph(rates, include=("merge",))
    now = {}
    for node in toposort(rates, blockers=list(moving)):
        given = [now.get(v, v) for v in node.inputs]
        out, name = node.outputs[0], operation(node)
        moves = not set(moving).isdisjoint(ancestors([out], blockers=moving))
        if moves and name == "Cast" and out.dtype.startswith(("int", "uint")) and "float" in node.inputs[0].dtype:
            raise ExpressionError(
                "a right-hand side casts a number to a whole one, whose jumps are not seen; use floor"
            )
        if moves and name in HELD and not getattr(out.tag, "seamless", False):
            now[out] = HELD[name](found, node.inputs, given).astype(out.dtype)
        elif any(a is not b for a, b in zip(given, node.inputs, strict=True)):
            now[out] = node.clone_with_new_inputs(given).outputs[0]
    for at in breaks:
        _condition(found, moving[0] - at, pt.ge(moving[0], at))
    return [now.get(rate, rate) for rate in rates], found


def pace(cases, moving):
    """How fast the angles of sines in the margins turn with the time alone, in radians; 0 without any."""
    total = pt.constant(0.0)
    for node in toposort([case.margin for case in cases], blockers=[*moving, *(case.z for case in cases)]):
        angle = node.inputs[0] if node.inputs else None
        if operation(node) in PERIODIC and set(ancestors([angle], blockers=moving)) & set(moving) == {moving[0]}:
            total = total + pt.abs(pt.grad(angle, moving[0]))
    return total


def _held(found, kind, margin, natural):
    z = pt.dscalar(f"z{len(found)}")
    found.append(Case(z, kind, pt.as_tensor(margin, dtype="float64"), pt.as_tensor(natural).astype("float64")))
    return z


def _condition(found, margin, natural):
    return pt.gt(_held(found, CONDITION, margin, natural), 0.5)


def _number(x):
    return x.astype("float64")


def _comparison(order, compare):
    def hold(found, before, now):
        return _condition(found, order * (_number(now[0]) - _number(now[1])), compare(*before))

    return hold


def _larger(order, compare):
    """The first of two if ``order`` times their difference is positive, else the second."""

    def hold(found, before, now):
        first = _condition(found, order * (_number(now[0]) - _number(now[1])), compare(*before))
        return pt.switch(first, now[0], now[1])

    return hold


def _absolute(found, before, now):
    return pt.switch(_condition(found, now[0], pt.ge(before[0], 0.0)), now[0], -now[0])


def _sign(found, before, now):
    above = _condition(found, now[0], pt.gt(before[0], 0.0))
    return _number(above) - _number(_condition(found, -now[0], pt.lt(before[0], 0.0)))


def _clip(found, before, now):
    inside = _larger(1, pt.ge)(found, before[:2], now[:2])
    return _larger(-1, pt.le)(found, (pt.maximum(*before[:2]), before[2]), (inside, now[2]))


def _floor(found, before, now):
    return _held(found, STAIRCASE, now[0], pt.floor(before[0]))


def _ceil(found, before, now):
    return -_held(found, STAIRCASE, -now[0], pt.floor(-before[0]))


def _modulus(found, before, now):
    turns = _held(found, STAIRCASE, now[0] / now[1], pt.floor(before[0] / before[1]))
    return now[0] - turns * now[1]


HELD = {
    "GT": _comparison(1, pt.gt), "GE": _comparison(1, pt.ge), "LT": _comparison(-1, pt.lt),
    "LE": _comparison(-1, pt.le), "Maximum": _larger(1, pt.ge), "Minimum": _larger(-1, pt.le), "Abs": _absolute,
    "Sign": _sign, "Clip": _clip, "Floor": _floor, "Ceil": _ceil, "Mod": _modulus,
}  # fmt: skip
