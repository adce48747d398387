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

from nlmebayes.solver.kernel import VERSION, cached
from nlmebayes.solver.link import arrays, linked, plain


@cached
def _factorise(a, j, own, r):
    """R of a group, (own, own), from its J."""
    k = len(own)
    for i in range(k):
        for n in range(i + 1):
            total = 1.0 if i == n else 0.0
            for m in range(i, k):
                inner = 0.0
                for q in range(n, k):
                    inner += j[own[m], own[q]] * a[q, n]
                total += a[m, i] * inner
            for m in range(n):
                total -= r[i, m] * r[n, m]
            r[i, n] = math.sqrt(total) if i == n else total / r[n, n]


@cached
def _projected(a, h, own, y):
    """A' h."""
    for i in range(len(own)):
        y[i] = 0.0
        for m in range(i, len(own)):
            y[i] += a[m, i] * h[own[m]]


@cached
def _forward(r, b):
    """R^-1 b, in place."""
    for i in range(len(b)):
        for m in range(i):
            b[i] -= r[i, m] * b[m]
        b[i] /= r[i, i]


@cached
def _backward(r, b):
    """R'^-1 b, in place."""
    for i in range(len(b) - 1, -1, -1):
        for m in range(i + 1, len(b)):
            b[i] -= r[m, i] * b[m]
        b[i] /= r[i, i]


@cached
def _unfactorise(a, j, own, r, rbar, s, abar, jbar):
    """Adjoint of `_factorise`: adds to ``abar`` and ``jbar``; ``rbar`` and ``s`` (own, own) are written to."""
    k = len(own)
    for i in range(k):
        for n in range(k):
            total = 0.0
            if n <= i:
                for m in range(i, k):
                    total += r[m, i] * rbar[m, n]
            s[i, n] = 0.5 * total if n == i else total
    for n in range(k):  # R'^-1 S, column by column
        _backward(r, s[:, n])
    for i in range(k):  # times R^-1: the transpose of R'^-1 S'
        _backward(r, s[i])
    for i in range(k):
        for n in range(k):
            rbar[i, n] = 0.5 * (s[i, n] + s[n, i])
    for i in range(k):
        for n in range(k):
            pa = 0.0  # Pbar A'
            for m in range(n + 1):
                pa += rbar[i, m] * a[n, m]
            for m in range(i, k):
                jbar[own[m], own[n]] += a[m, i] * pa
            if n <= i:
                for m in range(k):  # 2 J A Pbar
                    ja = 0.0
                    for q in range(m, k):
                        ja += j[own[i], own[q]] * a[q, m]
                    abar[i, n] += 2.0 * ja * rbar[m, n]


@cached
def effects(own, a, j, h, z):
    """eta (group, own) and the log-density of all u beyond that of ``z`` (group, own), (1,)."""
    k = len(own)
    eta, beyond, r, y = np.zeros(z.shape), np.zeros(1), np.zeros((k, k)), np.zeros(k)
    for g in range(len(z)):
        _factorise(a, j[g], own, r)
        _projected(a, h[g], own, y)
        _forward(r, y)
        for i in range(k):
            y[i] += z[g, i]
        _backward(r, y)
        for i in range(k):
            beyond[0] += 0.5 * (z[g, i] ** 2 - y[i] ** 2) - math.log(r[i, i])
            for m in range(i + 1):
                eta[g, i] += a[i, m] * y[m]
    return eta, beyond


@cached
def effects_pullback(own, a, j, h, z, etabar, beyondbar):
    """Adjoint of `effects`: slopes in ``a``, ``j``, ``h`` and ``z``."""
    k, b = len(own), beyondbar[0]
    abar, jbar, hbar, zbar = np.zeros(a.shape), np.zeros(j.shape), np.zeros(h.shape), np.zeros(z.shape)
    r, y, u, w = np.zeros((k, k)), np.zeros(k), np.zeros(k), np.zeros(k)
    rbar, s = np.zeros((k, k)), np.zeros((k, k))
    for g in range(len(z)):
        _factorise(a, j[g], own, r)
        _projected(a, h[g], own, y)
        _forward(r, y)
        for i in range(k):
            u[i] = y[i] + z[g, i]
        _backward(r, u)
        for m in range(k):
            w[m] = -b * u[m]
            for i in range(m, k):
                w[m] += a[i, m] * etabar[g, i]
                abar[i, m] += etabar[g, i] * u[m]
        _forward(r, w)
        for i in range(k):
            zbar[g, i] = b * z[g, i] + w[i]
            for n in range(k):
                rbar[i, n] = -u[i] * w[n] if n <= i else 0.0
            rbar[i, i] -= b / r[i, i]
        _unproject(a, j[g], h[g], own, r, y, w, rbar, s, abar, jbar[g], hbar[g])
    return abar, jbar, hbar, zbar


@cached
def _unproject(a, j, h, own, r, y, ybar, rbar, s, abar, jbar, hbar):
    """Adjoint of y = R^-1 A' h and of R."""
    _backward(r, ybar)
    for i in range(len(own)):
        for n in range(i + 1):
            rbar[i, n] -= ybar[i] * y[n]
        for m in range(i, len(own)):
            hbar[own[m]] += a[m, i] * ybar[i]
            abar[m, i] += h[own[m]] * ybar[i]
    _unfactorise(a, j, own, r, rbar, s, abar, jbar)


@cached
def _crossed(a, j, own, r, x):
    """X = R^-1 (J A)', (own, effect)."""
    for e in range(x.shape[1]):
        for i in range(len(own)):
            x[i, e] = 0.0
            for m in range(i, len(own)):
                x[i, e] += a[m, i] * j[own[m], e]
        _forward(r, x[:, e])


@cached
def message(own, a, j, h):
    """J (group, effect, effect) and h (group, effect) when the own effects are integrated out."""
    k, size = len(own), h.shape[1]
    left, vector = j.copy(), h.copy()
    r, y, x = np.zeros((k, k)), np.zeros(k), np.zeros((k, size))
    for g in range(len(h)):
        _factorise(a, j[g], own, r)
        _projected(a, h[g], own, y)
        _forward(r, y)
        _crossed(a, j[g], own, r, x)
        for e in range(size):
            for i in range(k):
                vector[g, e] -= x[i, e] * y[i]
                for f in range(size):
                    left[g, e, f] -= x[i, e] * x[i, f]
    return left, vector


@cached
def message_pullback(own, a, j, h, leftbar, vectorbar):
    """Adjoint of `message`: slopes in ``a``, ``j`` and ``h``."""
    k, size = len(own), h.shape[1]
    abar, jbar, hbar = np.zeros(a.shape), leftbar.copy(), vectorbar.copy()
    r, y, ybar, x, xbar = np.zeros((k, k)), np.zeros(k), np.zeros(k), np.zeros((k, size)), np.zeros((k, size))
    rbar, s = np.zeros((k, k)), np.zeros((k, k))
    for g in range(len(h)):
        _factorise(a, j[g], own, r)
        _projected(a, h[g], own, y)
        _forward(r, y)
        _crossed(a, j[g], own, r, x)
        for i in range(k):
            ybar[i] = 0.0
            for n in range(k):
                rbar[i, n] = 0.0
            for e in range(size):
                ybar[i] -= x[i, e] * vectorbar[g, e]
                xbar[i, e] = -y[i] * vectorbar[g, e]
                for f in range(size):
                    xbar[i, e] -= x[i, f] * (leftbar[g, e, f] + leftbar[g, f, e])
        for e in range(size):
            _backward(r, xbar[:, e])
            for i in range(k):
                for n in range(i + 1):
                    rbar[i, n] -= xbar[i, e] * x[n, e]
                for m in range(i, k):
                    abar[m, i] += j[g, own[m], e] * xbar[i, e]
                    jbar[g, own[m], e] += a[m, i] * xbar[i, e]
        _unproject(a, j[g], h[g], own, r, y, ybar, rbar, s, abar, jbar[g], hbar[g])
    return abar, jbar, hbar


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


class Effects(_Kernel):
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


for _cls in (Effects, EffectsPullback, Message, MessagePullback):
    _register(_cls)
