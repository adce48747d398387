"""Effects moved to where the data put them: the law that they have, its density, and its derivatives."""

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from scipy import stats

from nlmebayes.solver import conjugate

RNG = np.random.default_rng(1)
GROUPS, SIZE = 5, 4
OWN = np.array([2, 0, 3])


def case(own=OWN):
    root = RNG.normal(size=(GROUPS, SIZE, SIZE))
    a = np.tril(RNG.normal(size=(len(own), len(own))))
    a[np.diag_indices(len(own))] = np.exp(0.3 * RNG.normal(size=len(own)))
    return a, root @ root.transpose(0, 2, 1), RNG.normal(size=(GROUPS, SIZE)), RNG.normal(size=(GROUPS, len(own)))


def test_effects_are_draws_of_the_conditional_and_carry_its_jacobian():
    a, j, h, z = case()
    eta, beyond = conjugate.effects(OWN, a, j, h, z)
    total = 0.0
    for g in range(GROUPS):
        p = np.eye(3) + a.T @ j[g][np.ix_(OWN, OWN)] @ a
        mean, covariance = np.linalg.solve(p, a.T @ h[g][OWN]), np.linalg.inv(p)
        u = np.linalg.solve(a, eta[g])
        np.testing.assert_allclose((u - mean) @ p @ (u - mean), z[g] @ z[g], rtol=1e-10)
        total += stats.norm.logpdf(u).sum() - stats.norm.logpdf(z[g]).sum() + 0.5 * np.linalg.slogdet(covariance)[1]
    assert beyond[0] == pytest.approx(total, rel=1e-10)


def test_what_is_left_is_the_schur_complement():
    a, j, h, _ = case()
    left, vector = conjugate.message(OWN, a, j, h)
    for g in range(GROUPS):
        inner = np.linalg.inv(j[g][np.ix_(OWN, OWN)] + np.linalg.inv(a @ a.T))
        np.testing.assert_allclose(left[g], j[g] - j[g][:, OWN] @ inner @ j[g][OWN], atol=1e-9)
        np.testing.assert_allclose(vector[g], h[g] - j[g][:, OWN] @ inner @ h[g][OWN], atol=1e-9)


@pytest.mark.parametrize("own", [OWN, np.array([1])], ids=["three", "one"])
@pytest.mark.parametrize("op", [conjugate.Effects(), conjugate.Message()], ids=["effects", "message"])
def test_slopes_are_those_of_differences(op, own):
    given = case(own)[: len(op.kinds.split()) - 1]
    inputs = [pt.tensor(dtype="float64", shape=x.shape) for x in given]
    outputs = op(own, *inputs)
    weights = [
        RNG.normal(size=x.eval(dict(zip(inputs, given, strict=True)), mode="FAST_COMPILE").shape) for x in outputs
    ]
    total = sum((w * x).sum() for w, x in zip(weights, outputs, strict=True))
    value = pytensor.function(inputs, total, mode="FAST_COMPILE")
    found = pytensor.function(inputs, pytensor.grad(total, inputs), mode="FAST_COMPILE")(*given)
    for i, slope in enumerate(found):
        way = RNG.normal(size=slope.shape)
        way = way + way.transpose(0, 2, 1) if i == 1 else np.tril(way) if i == 0 else way  # J symmetric, A triangular

        def at(e, i=i, way=way):
            return value(*(x + e * way if k == i else x for k, x in enumerate(given)))

        d = [(at(e) - at(-e)) / (2 * e) for e in (1e-2, 5e-3, 2.5e-3)]
        assert (slope * way).sum() == pytest.approx((64 * d[2] - 20 * d[1] + d[0]) / 45, rel=1e-7)


@pytest.mark.parametrize("op", [conjugate.Effects(), conjugate.Message()], ids=["effects", "message"])
def test_compiled_graphs_say_the_same(op):
    given = case()[: len(op.kinds.split()) - 1]
    inputs = [pt.tensor(dtype="float64", shape=(None,) * x.ndim) for x in given]
    outputs = op(OWN, *inputs)
    graph = [*outputs, *pytensor.grad(sum((x**2).sum() for x in outputs), inputs)]
    plain, compiled = (pytensor.function(inputs, graph, mode=mode)(*given) for mode in ("FAST_COMPILE", "NUMBA"))
    for one, other in zip(plain, compiled, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)
