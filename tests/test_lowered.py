"""Operations with code of their own beside NumPy's, whatever the order of memory; wrong shapes are refused."""

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest

from nlmebayes.inference import lowered
from nlmebayes.inference.linker import mode

RNG = np.random.default_rng(1)


def compiled(inputs, outputs):
    return pytensor.function(inputs, outputs, mode=mode())


def kinds(function):
    return {type(node.op) for node in function.maker.fgraph.apply_nodes}


def with_strides(x):
    """The same numbers in C order, in Fortran's, and as every second of a larger array, both ways."""
    apart = np.zeros((2 * x.shape[0], 3 * x.shape[1]))
    apart[::2, ::3] = x
    return x, np.asfortranarray(x), apart[::2, ::3], x[::-1, ::-1][::-1, ::-1]


@pytest.mark.parametrize("inner", [0, 1, 3, 4, 7, 8])
def test_products_of_any_strides_are_those_of_numpy(product, inner):
    for columns in (0, 1, 3):
        x, y = RNG.standard_normal((5, inner)), RNG.standard_normal((inner, columns))
        for a, b in zip(with_strides(x), with_strides(y), strict=True):
            assert product(a, b) == pytest.approx(x @ y, rel=1e-13, abs=1e-13)


@pytest.fixture(scope="module")
def product():
    x, y = pt.matrix("x"), pt.matrix("y")
    function = compiled([x, y], x @ y)
    assert lowered.Product in kinds(function)
    return function


def test_shapes_of_a_product_must_agree(product):
    with pytest.raises(ValueError, match="do not agree"):
        product(np.ones((3, 2)), np.ones((3, 2)))


@pytest.mark.parametrize("axis", [None, 0, 1, (0, 2)], ids=str)
def test_sums(axis):
    x = pt.tensor3("x")
    function = compiled([x], x.sum(axis=axis))
    assert kinds(function) & {lowered.Total, lowered.Whole}
    values = RNG.standard_normal((3, 4, 5)).transpose(2, 0, 1)
    assert function(values) == pytest.approx(values.sum(axis=axis), rel=1e-13)
    assert not np.any(function(values[:0, :0]))


@pytest.mark.parametrize("shape", [(), (1,), (None,), (None, 1), (1, None), (2, 1, 1)], ids=str)
def test_fills_broadcast(shape):
    x, n = pt.tensor("x", shape=shape), pt.lscalar("n")
    function = compiled([x, n], pt.alloc(x, 2, 3, n))
    assert lowered.Filled in kinds(function)
    of = {None: 4, 1: 1, 2: 2}
    values = RNG.standard_normal([3 if i == 0 and shape == (None, 1) else of[size] for i, size in enumerate(shape)])
    assert (function(values, 4) == np.broadcast_to(values, (2, 3, 4))).all()
    if None in shape and shape[-1] is None:
        with pytest.raises(ValueError, match="another shape"):
            function(values, 5)


def test_whole_numbers_are_filled_and_summed_as_such():
    n = pt.lscalar("n")
    assert compiled([n], pt.alloc(np.int64(7), n).sum())(3) == 21


def test_parts_and_shapes():
    x, sizes = pt.vector("x"), pt.lvector("sizes")
    function = compiled([x, sizes], [*pt.split(x, sizes, n_splits=3), pt.specify_shape(x, 6)])
    assert compiled([x], pt.specify_shape(x[:, None], (None, 1)).sum())(np.arange(3.0)) == 3.0
    assert {lowered.Parts, lowered.Specified} <= kinds(function)
    values = np.arange(6.0)
    a, b, c, same = function(values, [1, 0, 5])
    assert [a.tolist(), b.tolist(), c.tolist()] == [[0.0], [], [1.0, 2.0, 3.0, 4.0, 5.0]] and (same == values).all()
    for wrong in ([1, 2, 4], [1, 2], [-1, 2, 5]):
        with pytest.raises(ValueError, match="parts"):
            function(values, wrong)
    with pytest.raises(ValueError, match="another shape"):
        function(np.arange(5.0), [1, 0, 4])
