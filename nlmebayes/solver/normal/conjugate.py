r"""Normal effects given normal information on them, for groups of a few effects each; and their adjoints.

A group has information J on some effects and a vector h: a log-likelihood -l' J l / 2 + h' l. Those of them that are
its ``own`` are eta = A u with u ~ Normal(0, 1) a priori. With P = 1 + A' J A = R R' and y = R^-1 A' h

- `effects` gives eta for u = R'^-1 (y + z), and the log-density of u beyond that of z, Jacobian included;
- `message` gives what is left for the other effects when u is integrated out: J - X' X and h - X' y, X = R^-1 (J A)'.

The adjoint of a Cholesky factor is that of Murray (2016), arXiv:1602.07527.
"""

import math

import numpy as np
import pytensor.tensor as pt
from pytensor.gradient import DisconnectedType
from pytensor.graph.basic import Apply
from pytensor.graph.op import Op
from pytensor.link.numba.dispatch.basic import numba_njit, register_funcify_default_op_cache_key

from nlmebayes.solver.shared import lanes
from nlmebayes.solver.shared.kernel import VERSION, cached
from nlmebayes.solver.shared.lanes import LANES, add, add_scaled, multiply, subtract
from nlmebayes.solver.shared.link import arrays, keep, lend, linked, plain


@cached
def _factorise(a, j, own, ja, r, inverse):
    """J A of the own effects and R, both (own, own, lane), and the inverses of R's diagonal, (own, lane)."""
    k = len(own)
    ja[:] = 0.0
    r[:] = 0.0
    for i in range(k):
        for n in range(k):
            for q in range(n, k):
                add_scaled(ja[i, n], a[q, n], j[own[i], own[q]])
    for i in range(k):
        r[i, i] += 1.0
        for n in range(i + 1):
            for m in range(i, k):
                add_scaled(r[i, n], a[m, i], ja[m, n])
            for m in range(n):
                subtract(r[i, n], r[i, m], r[n, m])
            if n < i:
                multiply(r[i, n], inverse[n])
        for g in range(r.shape[2]):
            r[i, i, g] = math.sqrt(r[i, i, g])
            inverse[i, g] = 1.0 / r[i, i, g]


@cached
def _projected(a, h, own, y):
    """A' h."""
    y[:] = 0.0
    for i in range(len(own)):
        for m in range(i, len(own)):
            add_scaled(y[i], a[m, i], h[own[m]])


@cached
def _forward(r, inverse, b):
    """R^-1 b, in place."""
    for i in range(len(b)):
        for m in range(i):
            subtract(b[i], r[i, m], b[m])
        multiply(b[i], inverse[i])


@cached
def _backward(r, inverse, b):
    """R'^-1 b, in place."""
    for i in range(len(b) - 1, -1, -1):
        for m in range(i + 1, len(b)):
            subtract(b[i], r[m, i], b[m])
        multiply(b[i], inverse[i])


@cached
def _unfactorise(a, own, ja, r, inverse, rbar, s, abar, jbar):
    """Adjoint of `_factorise`: adds to ``abar`` (own, own, lane) and ``jbar``; ``rbar`` and ``s`` are written to."""
    k = len(own)
    s[:] = 0.0
    for n in range(k):  # S' = tril(R' Rbar)' with its diagonal halved
        for i in range(n, k):
            for m in range(i, k):
                add(s[n, i], r[m, i], rbar[m, n])
        s[n, n] *= 0.5
    for n in range(k):  # R'^-1 S, column by column
        _backward(r, inverse, s[n])
    for i in range(k):
        for n in range(k):
            rbar[i, n] = s[n, i]
    for i in range(k):  # times R^-1: the transpose of R'^-1 S'
        _backward(r, inverse, rbar[i])
    for i in range(k):
        for n in range(i + 1):  # Pbar
            rbar[i, n] = 0.5 * (rbar[i, n] + rbar[n, i])
            rbar[n, i] = rbar[i, n]
    s[:] = 0.0
    for i in range(k):
        for n in range(k):
            for m in range(n + 1):  # Pbar A'
                add_scaled(s[i, n], a[n, m], rbar[i, m])
            for m in range(i, k):
                add_scaled(jbar[own[m], own[n]], a[m, i], s[i, n])
            if n <= i:
                for m in range(k):  # 2 J A Pbar
                    add(abar[i, n], ja[i, m], rbar[m, n])
                    add(abar[i, n], ja[i, m], rbar[m, n])


@cached
def _unproject(a, h, own, ja, r, inverse, y, ybar, rbar, s, abar, jbar, hbar):
    """Adjoint of y = R^-1 A' h and of R."""
    _backward(r, inverse, ybar)
    for i in range(len(own)):
        for n in range(i + 1):
            subtract(rbar[i, n], ybar[i], y[n])
        for m in range(i, len(own)):
            add_scaled(hbar[own[m]], a[m, i], ybar[i])
            add(abar[m, i], h[own[m]], ybar[i])
    _unfactorise(a, own, ja, r, inverse, rbar, s, abar, jbar)


@cached
def _given(own, a, j, h, start, jl, hl, ja, r, inverse, y):
    """Of the groups from ``start`` on: J, h, what `_factorise` gives, and y."""
    lanes.load(lanes.flat(j), start, lanes.rows(jl))
    lanes.load(h, start, hl)
    _factorise(a, jl, own, ja, r, inverse)
    _projected(a, hl, own, y)
    _forward(r, inverse, y)


@cached
def _rooms(place, k, size, many):
    """Arrays for `_given`, cut from ``place``, and what is left of it."""
    jl, place = lanes.block(place, size, size, many)
    hl, place = lanes.column(place, size, many)
    ja, place = lanes.block(place, k, k, many)
    r, place = lanes.block(place, k, k, many)
    inverse, place = lanes.column(place, k, many)
    y, place = lanes.column(place, k, many)
    return jl, hl, ja, r, inverse, y, place


@cached
def _place(k, size, many):
    """Room for the arrays of a kernel."""
    return np.empty(2 * many * (size * size + size + 3 * k * k + 4 * k + size * k))


@cached
def effects(own, a, j, h, z):
    """eta (group, own) and the log-density of all u beyond that of ``z`` (group, own), (1,)."""
    k, many = len(own), min(LANES, len(z))
    eta, beyond, owner, product = np.empty(z.shape), np.zeros(1), _place(k, h.shape[1], many), np.empty(many)
    jl, hl, ja, r, inverse, u, place = _rooms(lend(owner), k, h.shape[1], many)
    zl, place = lanes.column(place, k, many)
    el, place = lanes.column(place, k, many)
    for start in range(0, len(z), many):
        _given(own, a, j, h, start, jl, hl, ja, r, inverse, u)
        lanes.load(z, start, zl)
        u += zl
        _backward(r, inverse, u)
        product[:] = 1.0
        el[:] = 0.0
        for i in range(k):
            multiply(product, r[i, i])
            for m in range(i + 1):
                add_scaled(el[i], a[i, m], u[m])
            for g in range(many):
                beyond[0] += 0.5 * (zl[i, g] ** 2 - u[i, g] ** 2)
        for g in range(many):
            beyond[0] -= math.log(product[g])
        lanes.store(el, start, eta)
    keep(owner)
    return eta, beyond


@cached
def effects_pullback(own, a, j, h, z, etabar, beyondbar):
    """Adjoint of `effects`: slopes in ``a``, ``j``, ``h`` and ``z``."""
    k, size, many, b = len(own), h.shape[1], min(LANES, len(z)), beyondbar[0]
    jbar, hbar, zbar, owner = np.empty(j.shape), np.empty(h.shape), np.empty(z.shape), _place(k, size, many)
    jl, hl, ja, r, inverse, y, place = _rooms(lend(owner), k, size, many)
    jbl, hbl, rbar, s, el, zl, place = _rooms(place, k, size, many)
    u, place = lanes.column(place, k, many)
    w, place = lanes.column(place, k, many)
    abar, place = lanes.block(place, k, k, many)
    abar[:] = 0.0
    for start in range(0, len(z), many):
        _given(own, a, j, h, start, jl, hl, ja, r, inverse, y)
        lanes.load(z, start, zl)
        lanes.load(etabar, start, el)
        u[:] = y + zl
        _backward(r, inverse, u)
        w[:] = -b * u
        for m in range(k):
            for i in range(m, k):
                add_scaled(w[m], a[i, m], el[i])
                add(abar[i, m], el[i], u[m])
        _forward(r, inverse, w)
        zl[:] = b * zl + w
        lanes.store(zl, start, zbar)
        for i in range(k):
            rbar[i] = 0.0
            for n in range(i + 1):
                subtract(rbar[i, n], u[i], w[n])
            add_scaled(rbar[i, i], -b, inverse[i])
        jbl[:] = 0.0
        hbl[:] = 0.0
        _unproject(a, hl, own, ja, r, inverse, y, w, rbar, s, abar, jbl, hbl)
        lanes.store(lanes.rows(jbl), start, lanes.flat(jbar))
        lanes.store(hbl, start, hbar)
    slopes = abar.sum(axis=2)
    keep(owner)
    return slopes, jbar, hbar, zbar


@cached
def _crossed(a, j, own, r, inverse, x):
    """X = R^-1 (J A)', (effect, own, lane)."""
    x[:] = 0.0
    for e in range(len(x)):
        for i in range(len(own)):
            for m in range(i, len(own)):
                add_scaled(x[e, i], a[m, i], j[own[m], e])
        _forward(r, inverse, x[e])


@cached
def message(own, a, j, h):
    """J (group, effect, effect) and h (group, effect) when the own effects are integrated out."""
    k, size, many = len(own), h.shape[1], min(LANES, len(h))
    left, vector, owner = np.empty(j.shape), np.empty(h.shape), _place(k, size, many)
    jl, hl, ja, r, inverse, y, place = _rooms(lend(owner), k, size, many)
    x, place = lanes.block(place, size, k, many)
    for start in range(0, len(h), many):
        _given(own, a, j, h, start, jl, hl, ja, r, inverse, y)
        _crossed(a, jl, own, r, inverse, x)
        for e in range(size):
            for i in range(k):
                subtract(hl[e], x[e, i], y[i])
                for f in range(size):
                    subtract(jl[e, f], x[e, i], x[f, i])
        lanes.store(lanes.rows(jl), start, lanes.flat(left))
        lanes.store(hl, start, vector)
    keep(owner)
    return left, vector


@cached
def message_pullback(own, a, j, h, leftbar, vectorbar):
    """Adjoint of `message`: slopes in ``a``, ``j`` and ``h``."""
    k, size, many = len(own), h.shape[1], min(LANES, len(h))
    jbar, hbar, owner = np.empty(j.shape), np.empty(h.shape), _place(k, size, many)
    jl, hl, ja, r, inverse, y, place = _rooms(lend(owner), k, size, many)
    jbl, hbl, rbar, s, _, ybar, place = _rooms(place, k, size, many)
    x, place = lanes.block(place, size, k, many)
    xbar, place = lanes.block(place, size, k, many)
    abar, place = lanes.block(place, k, k, many)
    abar[:] = 0.0
    for start in range(0, len(h), many):
        _given(own, a, j, h, start, jl, hl, ja, r, inverse, y)
        _crossed(a, jl, own, r, inverse, x)
        lanes.load(lanes.flat(leftbar), start, lanes.rows(jbl))
        lanes.load(vectorbar, start, hbl)
        ybar[:] = 0.0
        xbar[:] = 0.0
        rbar[:] = 0.0
        for e in range(size):
            for i in range(k):
                subtract(ybar[i], x[e, i], hbl[e])
                subtract(xbar[e, i], y[i], hbl[e])
                for f in range(size):
                    subtract(xbar[e, i], x[f, i], jbl[e, f])
                    subtract(xbar[e, i], x[f, i], jbl[f, e])
        for e in range(size):
            _backward(r, inverse, xbar[e])
            for i in range(k):
                for n in range(i + 1):
                    subtract(rbar[i, n], xbar[e, i], x[e, n])
                for m in range(i, k):
                    add(abar[m, i], jl[own[m], e], xbar[e, i])
                    add_scaled(jbl[own[m], e], a[m, i], xbar[e, i])
        _unproject(a, hl, own, ja, r, inverse, y, ybar, rbar, s, abar, jbl, hbl)
        lanes.store(lanes.rows(jbl), start, lanes.flat(jbar))
        lanes.store(hbl, start, hbar)
    slopes = abar.sum(axis=2)
    keep(owner)
    return slopes, jbar, hbar


class _Kernel(Op):
    """A kernel of arrays of doubles whose first argument is ``own``."""

    __props__ = ()

    def make_node(self, *inputs):
        own, *rest = [pt.as_tensor(x) for x in inputs]
        inputs = [own.astype("int64"), *(x.astype("float64") for x in rest)]
        return Apply(self, inputs, [pt.tensor(dtype="float64", shape=(None,) * n) for n in self.ranks])

    def connection_pattern(self, node):
        return [[i > 0] * len(node.outputs) for i in range(len(node.inputs))]

    def perform(self, node, inputs, outputs):
        for output, value in zip(outputs, self.kernel(*plain(inputs)), strict=True):
            output[0] = value


class EffectsPullback(_Kernel):
    kernel, kinds, ranks = staticmethod(effects_pullback), "i1 f2 f3 f2 f2 f2 f1", (2, 3, 2, 2)


class NormalEffects(_Kernel):
    """See `effects`."""

    kernel, kinds, ranks = staticmethod(effects), "i1 f2 f3 f2 f2", (2, 1)

    def pullback(self, inputs, outputs, cotangents):
        return _slopes(EffectsPullback(), inputs, outputs, cotangents)


class MessagePullback(_Kernel):
    kernel, kinds, ranks = staticmethod(message_pullback), "i1 f2 f3 f2 f3 f2", (2, 3, 2)


class Message(_Kernel):
    """See `message`."""

    kernel, kinds, ranks = staticmethod(message), "i1 f2 f3 f2", (3, 2)

    def pullback(self, inputs, outputs, cotangents):
        return _slopes(MessagePullback(), inputs, outputs, cotangents)


def _slopes(op, inputs, outputs, cotangents):
    given = [
        output.zeros_like() if isinstance(bar.type, DisconnectedType) else bar
        for bar, output in zip(cotangents, outputs, strict=True)
    ]
    return [DisconnectedType()(), *op(*inputs, *given)]


def _register(cls):
    @register_funcify_default_op_cache_key(cls)
    def funcify(op, node, **kwargs):
        names = [f"x{i}" for i in range(len(node.inputs))]
        each = ", ".join(f"np.ascontiguousarray({name})" for name in names)
        code = f"def call({', '.join(names)}):\n    return kernel(({each},))\n"
        env = {"np": np, "kernel": linked(cls.kernel, arrays(cls.kinds))}
        exec(code, env)
        return numba_njit(env["call"]), VERSION


for _cls in (NormalEffects, EffectsPullback, Message, MessagePullback):
    _register(_cls)
