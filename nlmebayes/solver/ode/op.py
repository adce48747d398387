"""PyTensor operations of a compiled law: `States`, and `StatesPullback`, its gradient.

The law alone is compiled in; timeline, tolerances and parameters are inputs.
"""

import numpy as np
import pytensor.tensor as pt
from numba import types
from pytensor.gradient import DisconnectedType
from pytensor.graph.basic import Apply
from pytensor.graph.op import Op
from pytensor.link.numba.dispatch.basic import numba_njit, register_funcify_default_op_cache_key

from nlmebayes.solver.ode import courses
from nlmebayes.solver.ode.call import FUNCTIONS, address_of
from nlmebayes.solver.ode.law import addresses, located
from nlmebayes.solver.shared.kernel import VERSION, tensor
from nlmebayes.solver.shared.link import arrays, lend, linked, plain

FIXED = "routes, reads, collecting, tol, cases, courses, records, of_record, doses, of_dose"
PARAMETERS = "parameters, initial, fraction, lag, extra"
CONSTANT, VARIABLE = len(FIXED.split(",")), len(PARAMETERS.split(","))


class States(Op):
    """States at records, (draw, read, record), which records failed (draw, record), and a tape for the gradient."""

    __props__ = ("text",)

    def __init__(self, text):
        self.text = text

    def make_node(self, *inputs):
        inputs = [tensor(x) for x in inputs]
        kinds = [pt.tensor3(dtype="float64"), pt.matrix(dtype="bool"), pt.matrix(dtype="float64")]
        return Apply(self, inputs, kinds)

    def perform(self, node, inputs, outputs):
        for output, value in zip(outputs, courses.states(located(self.text), *plain(inputs)), strict=True):
            output[0] = value

    def connection_pattern(self, node):
        return [[i >= CONSTANT, False, False] for i in range(len(node.inputs))]

    def pullback(self, inputs, outputs, cotangents):
        slopes = StatesPullback(self.text)(*inputs, cotangents[0], outputs[2])
        return [DisconnectedType()() for _ in range(CONSTANT)] + list(slopes)


class StatesPullback(Op):
    """Gradient of `States` in parameters, initial states, fraction, lag and extra, given that in the states."""

    __props__ = ("text",)

    def __init__(self, text):
        self.text = text

    def make_node(self, *inputs):
        inputs = [tensor(x) for x in inputs]
        return Apply(self, inputs, [pt.tensor3(dtype="float64") for _ in range(VARIABLE)])

    def perform(self, node, inputs, outputs):
        for output, value in zip(outputs, courses.pullback(located(self.text), *plain(inputs)), strict=True):
            output[0] = value

    def infer_shape(self, node, shapes):
        return shapes[CONSTANT : CONSTANT + VARIABLE]


TYPES = "i1 i1 b1 f1 i1 i2 f2 i2 f2 i2"  # of `FIXED`
LAW = types.UniTuple(types.int64, len(FUNCTIONS))


def _called(kernel, text, arguments, kinds):
    """A function that PyTensor compiles in: the kernel, called by name, on arrays of one kind; its law likewise."""
    located(text)
    names, fixed = arguments.split(", "), FIXED.split(", ")
    each = (f"lend({name})" if name in fixed else f"np.ascontiguousarray({name})" for name in names)
    code = f"def call({arguments}):\n    return kernel((({addresses(text)}), {', '.join(each)}))\n"
    signature = (LAW, *arrays(kinds))
    env = {"np": np, "kernel": linked(kernel, signature), "address_of": address_of, "lend": lend}
    exec(code, env)
    return numba_njit(env["call"])


@register_funcify_default_op_cache_key(States)
def _numba_states(op, node, **kwargs):
    return _called(courses.states, op.text, f"{FIXED}, {PARAMETERS}", f"{TYPES} f3 f3 f3 f3 f3"), VERSION


@register_funcify_default_op_cache_key(StatesPullback)
def _numba_pullback(op, node, **kwargs):
    arguments = f"{FIXED}, {PARAMETERS}, ybar, tape"
    return _called(courses.pullback, op.text, arguments, f"{TYPES} f3 f3 f3 f3 f3 f3 f2"), VERSION
