"""The log-density compiled for the sampler, by Numba, or by JAX for accelerators."""

import ctypes
import importlib
import warnings
from contextlib import contextmanager
from dataclasses import replace
from unittest import mock

import numpy as np
import nutpie
from pytensor import config
from pytensor.compile.builders import OpFromGraph
from pytensor.compile.mode import predefined_modes
from pytensor.compile.rewriting import inline_ofg_node
from pytensor.graph.fg import FunctionGraph
from pytensor.graph.rewriting.basic import MergeOptimizer, dfs_rewriter, node_rewriter
from pytensor.graph.rewriting.utils import rewrite_graph

from nlmebayes import callback
from nlmebayes.variables import ModelError

BACKENDS = {"numba": "initial_point_func", "jax": "_make_initial_points"}  # with nutpie's field of initial points
UNHEEDED = (  # warnings
    "PyTensor could not link to a BLAS",  # its C code evaluates the transform of a correlation matrix once, no more
    "Skipping Assert",  # JAX checks no shapes; those of a model follow from its design
    "Found dimension named 'sample'",  # which a level may be called
    "Found chain dimension to be longer",  # few draws are the user's wish
)


def prepare(backend, structure):
    """Make the backend ready for a structure.

    Raises
    ------
    ModelError
        There is no such backend, it is not installed, or it does not take the structure.
    """
    if backend not in BACKENDS:
        raise ModelError(f"no backend {backend!r}; there are {', '.join(BACKENDS)}")
    if backend == "numba":
        return
    if backend not in structure.backends:
        raise ModelError(
            f'{structure.label}: backend="jax" takes differential equations (System) and structures without a compiled '
            "solver, not linear compartments"
        )
    try:
        for module in ("nlmebayes.solver.traced", "nlmebayes.solver.ode.traced"):
            importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise ModelError(f'backend="jax" lacks {error.name}: pip install "nlmebayes[jax]"') from error


def compiled(built, backend, kept):
    """nutpie's model of a PyMC model, which stores the variables ``kept``; data stay data."""
    options = {"backend": backend, "freeze_model": False, "jitter_rvs": set(), "var_names": kept}
    try:
        merged = mock.patch.object(built, "logp", _merged(built.logp))
        with quietly(), _opened(), _rounded(), callback.called_by_address(), merged:
            return nutpie.compile_pymc_model(built, **options)
    except NotImplementedError as error:
        raise ModelError(f"backend={backend!r}: {error}") from error


def started(compiled, backend, initial):
    """The same with a function of initial points."""
    return replace(compiled, **{BACKENDS[backend]: initial})


def density(compiled):
    """The compiled log-density as a function of (coordinate,) that gives (value, gradient); minus infinity where there
    is none."""
    call, data, n = compiled.compiled_logp_func.ctypes, compiled.user_data.ctypes.data, compiled.n_dim

    def at(x):
        x, gradient, value = np.ascontiguousarray(x, dtype=float), np.zeros(n), np.zeros(1)
        failed = call(n, *(_pointer(array) for array in (x, gradient, value)), data)
        return (-np.inf, np.zeros(n)) if failed else (float(value[0]), gradient)

    return at


def expanded(compiled, x):
    """The variables that a compiled model stores, name -> (draw, ...), at points ``x`` (draw, coordinate)."""
    call, data, n = compiled.compiled_expand_func.ctypes, compiled.user_data.ctypes.data, compiled.n_dim
    found = np.empty((len(x), compiled.n_expanded))
    for row, out in zip(np.ascontiguousarray(x), found, strict=True):
        if call(n, compiled.n_expanded, _pointer(row), _pointer(out), data):
            raise ModelError("the variables of a draw could not be computed")
    parts = zip(*compiled.shape_info, strict=True)
    return {name: found[:, place].reshape(len(x), *shape) for name, place, shape in parts}


def _pointer(array):
    return array.ctypes.data_as(ctypes.POINTER(ctypes.c_double))


@contextmanager
def quietly():
    """Without the warnings that are `UNHEEDED`."""
    with warnings.catch_warnings():
        for beginning in UNHEEDED:
            warnings.filterwarnings("ignore", message=beginning)
        yield


def _merged(logp):
    """The log-density with what its terms compute in common computed once: PyMC gives each term a copy of its own, and
    the slopes of copies are never merged."""

    def merged(*args, **kwargs):
        density = rewrite_graph(logp(*args, **kwargs), include=("ShapeOpt", "canonicalize"))
        graph = FunctionGraph(outputs=[density], clone=False)
        MergeOptimizer().rewrite(graph)
        return graph.outputs[0]

    return merged


@node_rewriter([OpFromGraph])
def _inline(fgraph, node):
    return inline_ofg_node(node) if type(node.op) is OpFromGraph else False


def _rounded():
    """Every operation rounded as written: what is fused else differs between code just compiled and code from a cache,
    in the last digit, which is enough for other draws."""
    return config.change_flags(numba__fastmath=False)


@contextmanager
def _opened():
    """JAX with no graphs inside graphs: a constant that is passed to one is no constant there, and JAX must know the
    bounds of slices (in the gradient of `pt.pad`, which the transform of a correlation matrix has)."""
    usual = predefined_modes["JAX"]
    predefined_modes["JAX"] = usual.register((dfs_rewriter(_inline), -0.005))
    try:
        yield
    finally:
        predefined_modes["JAX"] = usual
