"""Operations of PyTensor with code of their own where PyTensor's takes Numba seconds to compile.

A product of matrices takes 15, for its cases of strides and calls of BLAS; a sum 5, for its orders of loops; a fill, a
check of a shape and a split 1 to 3 each, for the text of their messages.
"""

import numpy as np
from pytensor.graph.basic import Apply
from pytensor.graph.op import Op
from pytensor.graph.rewriting.basic import dfs_rewriter, node_rewriter
from pytensor.link.numba.cache import compile_numba_function_src
from pytensor.link.numba.dispatch.basic import (
    default_hash_key_from_props,
    numba_njit,
    register_funcify_and_cache_key,
)
from pytensor.scalar.basic import float64
from pytensor.tensor.basic import Alloc, Split
from pytensor.tensor.math import Dot, Sum
from pytensor.tensor.rewriting.scalarize import ScalarCAReduce
from pytensor.tensor.shape import SpecifyShape
from pytensor.tensor.type_other import NoneTypeT

AFTER = 101.0  # all that PyTensor rewrites
PRODUCT = """\
def product(x, y):
    rows, inner, columns = x.shape[0], x.shape[1], y.shape[1]
    if y.shape[0] != inner:
        raise ValueError("the shapes of a matrix product do not agree")
    out = np.zeros((rows, columns))
    if columns == 1 and x.strides[0] > x.strides[1]:
        for i in range(rows):
            a = b = c = d = 0.0
            for k in range(0, inner - 3, 4):
                a += x[i, k] * y[k, 0]
                b += x[i, k + 1] * y[k + 1, 0]
                c += x[i, k + 2] * y[k + 2, 0]
                d += x[i, k + 3] * y[k + 3, 0]
            for k in range(inner - inner % 4, inner):
                a += x[i, k] * y[k, 0]
            out[i, 0] = (a + b) + (c + d)
    elif columns == 1:
        for k in range(inner):
            for i in range(rows):
                out[i, 0] += x[i, k] * y[k, 0]
    else:
        for i in range(rows):
            for k in range(inner):
                for j in range(columns):
                    out[i, j] += x[i, k] * y[k, j]
    return out
"""


def lowering(mode):
    """The mode, which ends with these operations in place of PyTensor's."""
    return mode.register((dfs_rewriter(_lowered), AFTER))


@node_rewriter([Alloc, Dot, ScalarCAReduce, SpecifyShape, Split, Sum])
def _lowered(fgraph, node):
    kind, ndim = type(node.op), getattr(node.inputs[0].type, "ndim", 0)
    double = all(getattr(x.type, "dtype", None) == "float64" for x in (*node.inputs, *node.outputs))
    if kind is Alloc and node.outputs[0].type.ndim > 0:
        return [Filled()(*node.inputs)]
    if kind is Dot and double:
        return [Product()(*node.inputs)]
    if kind is ScalarCAReduce and double and ndim > 0 and any(type(n.op) is Sum for n in node.op.fgraph.apply_nodes):
        return [Whole()(*node.inputs)]
    if kind is SpecifyShape:
        return [Specified()(*node.inputs)]
    if kind is Split and node.op.axis == 0:
        return Parts(node.op.len_splits, 0)(*node.inputs, return_list=True)
    if kind is Sum and double and ndim > 0:
        return [Total(axis=node.op.axis)(*node.inputs)]
    return None


def _written(kind):
    """A decorator of a function of a node of this kind that writes its code, by which it is found on disk."""

    def register(write):
        @register_funcify_and_cache_key(kind)
        def lowered(op, node, **kwargs):
            source = write(node)
            function = compile_numba_function_src(source, source[4 : source.index("(")], {"np": np})
            return numba_njit(function), default_hash_key_from_props(op, source=source)

        return write

    return register


class Filled(Alloc):
    """An array filled with another, which has length 1 in an axis or the same length."""


@_written(Filled)
def _filled(node):
    value, out = node.inputs[0].type, node.outputs[0].type
    sizes, before = [f"n{i}" for i in range(out.ndim)], out.ndim - value.ndim
    axes = [(f"value.shape[{i}]", sizes[before + i]) for i in range(value.ndim) if value.shape[i] != 1]
    place = ", ".join("0" if value.shape[i] == 1 else f"i{before + i}" for i in range(value.ndim))
    return (
        f"def filled(value, {', '.join(f'size{i}' for i in range(out.ndim))}):\n"
        f"    {', '.join(sizes)}, = {', '.join(f'size{i}.item()' for i in range(out.ndim))},\n"
        f"    if {' or '.join(f'{have} != {need}' for have, need in axes) or 'False'}:\n"
        "        raise ValueError('an array of the model cannot be filled with one of another shape')\n"
        f"    out = np.empty(({', '.join(sizes)},), dtype=np.{out.dtype})\n"
        f"    given = {'value' if value.ndim else 'np.asarray(value)'}\n"
        f"{_loops(sizes)}{'    ' * (out.ndim + 1)}out[{_place(range(out.ndim))}] = given[{place or '()'}]\n"
        "    return out\n"
    )


class Product(Dot):
    """Matrix product of doubles, (row, inner) and (inner, column), in an order that follows the memory of the first."""


@_written(Product)
def _product(node):
    return PRODUCT


class Whole(Op):
    """Sum of all doubles of an array, a number."""

    __props__ = ()

    def make_node(self, x):
        return Apply(self, [x], [float64()])

    def perform(self, node, inputs, outputs):
        outputs[0][0] = np.sum(inputs[0])


@_written(Whole)
def _whole(node):
    n = node.inputs[0].type.ndim
    loops = _loops(f"x.shape[{i}]" for i in range(n))
    return f"def whole(x):\n    out = 0.0\n{loops}{'    ' * (n + 1)}out += x[{_place(range(n))}]\n    return out\n"


class Total(Sum):
    """Sum of doubles over some axes, or all."""


@_written(Total)
def _total(node):
    n, axis = node.inputs[0].type.ndim, node.op.axis
    kept = [i for i in range(n) if axis is not None and i not in axis]
    return (
        f"def total(x):\n    out = np.zeros(({''.join(f'x.shape[{i}], ' for i in kept)}))\n"
        f"{_loops(f'x.shape[{i}]' for i in range(n))}"
        f"{'    ' * (n + 1)}out[{_place(kept) or '()'}] += x[{_place(range(n))}]\n"
        "    return out\n"
    )


class Specified(SpecifyShape):
    """The same array, of a shape that is checked."""


@_written(Specified)
def _specified(node):
    given = node.inputs[1:]
    wrong = [f"x.shape[{i}] != n{i}.item()" for i, n in enumerate(given) if not isinstance(n.type, NoneTypeT)]
    return (
        f"def specified(x, {', '.join(f'n{i}' for i in range(len(given)))}):\n"
        f"    if {' or '.join(wrong) or 'False'}:\n"
        "        raise ValueError('an array of the model has another shape than is specified')\n"
        "    return x\n"
    )


class Parts(Split):
    """Consecutive parts of an array along its first axis."""


@_written(Parts)
def _parts(node):
    n = node.op.len_splits
    ends = "".join(f"    e{i + 1} = e{i} + sizes[{i}]\n" for i in range(n))
    return (
        "def parts(x, sizes):\n"
        f"    if len(sizes) != {n} or min(sizes) < 0:\n"
        "        raise ValueError('the parts of an array are not as many as their sizes')\n"
        "    e0 = 0\n"
        f"{ends}"
        f"    if e{n} != x.shape[0]:\n"
        "        raise ValueError('the parts of an array do not add up to it')\n"
        f"    return {', '.join(f'x[e{i}:e{i + 1}]' for i in range(n))},\n"
    )


def _loops(sizes):
    """Heads of loops over ``i0``, ``i1`` and so on, one inside the other."""
    return "".join(f"{'    ' * (i + 1)}for i{i} in range({size}):\n" for i, size in enumerate(sizes))


def _place(axes):
    return ", ".join(f"i{i}" for i in axes)
