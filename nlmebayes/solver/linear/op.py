"""PyTensor operations of the compiled solver: `Amounts`, and `AmountsPullback`, its gradient.

Nothing of a dataset or of a model is compiled in: topology, timeline and parameters are inputs, so that one compiled
kernel, kept on disk, serves every model and patient.
"""

import numpy as np
import pytensor.tensor as pt
from pytensor.gradient import DisconnectedType
from pytensor.graph.basic import Apply
from pytensor.graph.op import Op
from pytensor.link.numba.dispatch.basic import numba_njit, register_funcify_default_op_cache_key

from nlmebayes.solver.linear import network
from nlmebayes.solver.shared.kernel import VERSION, tensor
from nlmebayes.solver.shared.link import arrays, lend, linked, plain

CONSTANT = 9  # inputs before the parameters: topology and timeline
PARAMETERS = 4  # rates, fraction, lag, extra


class Amounts(Op):
    """Amounts of states at records, (draw, read, record), and what the gradient needs; see `network.amounts`."""

    __props__ = ()

    def make_node(self, *inputs):
        inputs = [tensor(x) for x in inputs]
        return Apply(self, inputs, [pt.tensor3(dtype="float64"), *(pt.matrix(dtype="float64") for _ in range(2))])

    def perform(self, node, inputs, outputs):
        for output, value in zip(outputs, network.amounts(*plain(inputs)), strict=True):
            output[0] = value

    def connection_pattern(self, node):
        return [[i >= CONSTANT, False, False] for i in range(len(node.inputs))]

    def pullback(self, inputs, outputs, cotangents):
        slopes = AmountsPullback()(*inputs, cotangents[0], *outputs[1:])
        return [DisconnectedType()() for _ in inputs[:CONSTANT]] + list(slopes)


class AmountsPullback(Op):
    """Gradient of `Amounts` in rates, fraction, lag and extra, given that in the amounts."""

    __props__ = ()

    def make_node(self, *inputs):
        inputs = [tensor(x) for x in inputs]
        return Apply(self, inputs, [pt.tensor3(dtype="float64") for _ in range(PARAMETERS)])

    def perform(self, node, inputs, outputs):
        for output, value in zip(outputs, network.pullback(*plain(inputs)), strict=True):
            output[0] = value

    def infer_shape(self, node, shapes):
        return shapes[CONSTANT : CONSTANT + PARAMETERS]


TYPES = "i2 i1 i1 i1 i2 f2 i2 f2 i2 f3 f3 f3 f3"  # of the inputs


@register_funcify_default_op_cache_key(Amounts)
def _numba_amounts(op, node, **kwargs):
    kernel, c = linked(network.amounts, arrays(TYPES)), np.ascontiguousarray

    @numba_njit
    def amounts(edges, routes, reads, kind, courses, records, of_record, doses, of_dose, rates, fraction, lag, extra):
        return kernel((
            lend(edges), lend(routes), lend(reads), lend(kind), lend(courses), lend(records), lend(of_record),
            lend(doses), lend(of_dose), c(rates), c(fraction), c(lag), c(extra),
        ))  # fmt: skip

    return amounts, VERSION


@register_funcify_default_op_cache_key(AmountsPullback)
def _numba_pullback(op, node, **kwargs):
    kernel, c = linked(network.pullback, arrays(f"{TYPES} f3 f2 f2")), np.ascontiguousarray

    @numba_njit
    def pullback(
        edges,
        routes,
        reads,
        kind,
        courses,
        records,
        of_record,
        doses,
        of_dose,
        rates,
        fraction,
        lag,
        extra,
        ybar,
        steps,
        tape,
    ):
        return kernel((
            lend(edges), lend(routes), lend(reads), lend(kind), lend(courses), lend(records), lend(of_record),
            lend(doses), lend(of_dose), c(rates), c(fraction), c(lag), c(extra), c(ybar), steps, tape,
        ))  # fmt: skip

    return pullback, VERSION
