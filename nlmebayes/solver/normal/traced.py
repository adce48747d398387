"""The operations of `conjugate` for PyTensor's JAX backend; imported on request."""

import jax
import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular
from pytensor.link.jax.dispatch import jax_funcify

from nlmebayes.solver.normal.conjugate import EffectsPullback, Message, MessagePullback, NormalEffects


def _factored(own, a, j, h):
    """A, R (group, own, own) and y = R^-1 A' h (group, own, 1)."""
    a = jnp.tril(a)
    p = jnp.eye(len(own)) + a.T @ j[:, own][:, :, own] @ a
    r = jnp.linalg.cholesky(p)
    return a, r, solve_triangular(r, (h[:, own] @ a)[..., None], lower=True)


def _effects(own, a, j, h, z):
    a, r, y = _factored(own, a, j, h)
    u = solve_triangular(r, y + z[..., None], lower=True, trans=1)[..., 0]
    jacobian = jnp.log(jnp.diagonal(r, axis1=1, axis2=2)).sum()
    return u @ a.T, (0.5 * (z**2 - u**2).sum() - jacobian)[None]


def _message(own, a, j, h):
    a, r, y = _factored(own, a, j, h)
    x = solve_triangular(r, a.T @ j[:, own], lower=True)
    return j - x.transpose(0, 2, 1) @ x, h - (x.transpose(0, 2, 1) @ y)[..., 0]


def _pulled(function, count):
    def pullback(own, *inputs):
        _, slopes = jax.vjp(lambda *values: function(own, *values), *inputs[:count])
        return slopes(inputs[count:])

    return pullback


for _op, _function in (
    (NormalEffects, _effects), (EffectsPullback, _pulled(_effects, 4)), (Message, _message),
    (MessagePullback, _pulled(_message, 3)),
):  # fmt: skip
    jax_funcify.register(_op)(lambda op, node, _function=_function, **kwargs: _function)
