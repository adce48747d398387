"""The log-density compiled for the sampler, by Numba, or by JAX for accelerators."""

import contextlib
import ctypes
import importlib
import inspect
import threading
from dataclasses import replace

import numpy as np
from numba import cfunc
from pymc.initial_point import make_initial_point_fn
from pytensor import config
from pytensor.compile.builders import OpFromGraph
from pytensor.compile.mode import predefined_modes
from pytensor.compile.rewriting import inline_ofg_node
from pytensor.graph.fg import FunctionGraph
from pytensor.graph.rewriting.basic import MergeOptimizer, dfs_rewriter, node_rewriter
from pytensor.graph.rewriting.utils import rewrite_graph
from pytensor.link.numba.cache import NUMBA_CACHE_PATH

from nlmebayes.errors import ModelError
from nlmebayes.inference import callback, linker
from nlmebayes.inference.nuts import PyNutsSettings, compile_pymc, nutpie
from nlmebayes.runtime import caches
from nlmebayes.runtime.quiet import quietly
from nlmebayes.runtime.threads import in_turns

BACKENDS = {"numba": "initial_point_func", "jax": "_make_initial_points"}  # with nutpie's field of initial points
OWN = ("blocking", "save_warmup", "store_unconstrained", "return_raw_trace", "zarr_store", "seed")  # set by `fit`
OPTIONS = tuple(inspect.signature(nutpie.sample).parameters)  # of nutpie, beside the settings of the sampler


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
        for module in ("nlmebayes.solver.normal.traced", "nlmebayes.solver.ode.traced"):
            importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise ModelError(f'backend="jax" lacks {error.name}: pip install "nlmebayes[jax]"') from error


@in_turns
@caches.rebuilt(lambda: NUMBA_CACHE_PATH)
def compiled(built, backend, kept):
    """nutpie's model of a PyMC model, which stores the variables ``kept``; data stay data."""
    try:
        with quietly(), _rounded(), _merging(built):
            return _by_numba(built, kept) if backend == "numba" else _by_jax(built, kept)
    except NotImplementedError as error:
        raise ModelError(f"backend={backend!r}: {error}") from error


def _by_jax(built, kept):
    with _opened():
        return nutpie.compile_pymc_model(built, backend="jax", freeze_model=False, jitter_rvs=set(), var_names=kept)


def _by_numba(built, kept):
    """What nutpie's `compile_pymc_model` gives, with the callbacks of `callback` in place of its own.

    `tests/test_nutpie.py` holds what is relied on of nutpie.
    """
    initial = make_initial_point_fn(model=built, jitter_rvs=set(), return_transformed=True)
    n_dim, n_expanded, density, expansion, initial, about, transformed = compile_pymc._make_functions(
        built, mode=linker.mode(), compute_grad=True, join_expanded=True, pymc_initial_point_fn=_one_by_one(initial),
        var_names=kept,
    )  # fmt: skip
    variables = dict.fromkeys([*density.get_shared(), *expansion.get_shared()])
    keys = {variable: f"shared{i}" for i, variable in enumerate(variables)}
    data = {key: np.array(variable.get_value(), order="C", copy=True) for variable, key in keys.items()}
    for values in data.values():
        values.flags.writeable = False
    record = compile_pymc.make_user_data(keys, data)
    called = [
        cfunc(signature)(function)
        for function, signature in (
            callback.density(n_dim, density.vm.jit_fn, record, [keys[v] for v in density.get_shared()], data),
            callback.expansion(
                n_dim, n_expanded, expansion.vm.jit_fn, record, [keys[v] for v in expansion.get_shared()], data
            ),
        )
    ]
    dims, coords = compile_pymc._prepare_dims_and_coords(built, about, transformed)
    return compile_pymc.CompiledPyMCModel(
        compiled_logp_func=called[0], compiled_expand_func=called[1], initial_point_func=initial, shared_data=data,
        shared_var_keys=keys, user_data=record, n_expanded=n_expanded, shape_info=about, logp_func=density,
        expand_func=expansion, reparameterized_names=transformed, dims=dims, _n_dim=n_dim, _coords=coords,
        _shapes={name: tuple(shape) for name, _, shape in zip(*about, strict=True)},
    )  # fmt: skip


def _one_by_one(function):
    """For the sampler's threads, which ask for starting points all at once."""
    lock = threading.Lock()

    def locked(*args):
        with lock:
            return function(*args)

    return locked


def check_options(options, function):
    """Refuse options that nutpie does not have, or has for other values, and those that are not the user's; what they
    may be is what ``function`` takes beside them."""
    for name in OWN:
        if name in options:
            raise ModelError(f"{name}= is set by fit; leave it out")
    settings = PyNutsSettings.Diag(0)
    for name, value in options.items():
        if name in OPTIONS:
            continue
        try:
            settings.update({name: value})
        except AttributeError:
            known = [each for each in inspect.signature(function).parameters if each not in ("self", "options")]
            raise ModelError(
                f"fit: no argument {name!r}; its arguments are {', '.join(known)}, and options of nutpie"
            ) from None
        except (TypeError, ValueError, OverflowError) as error:
            raise ModelError(f"fit: nutpie does not take {name}={value!r}: {error}; give another value") from None


def sampled(model, most=None, **options):
    """What ``nutpie.sample`` gives; Ctrl-C ends it with the draws so far.

    With ``most``, None where all draws were made and more than that have diverged.
    """
    with quietly():
        return judged(nutpie.sample(model, **options), most)


def judged(found, most):
    """What was sampled, or None where all draws were made and more than so ``most``, if that is given, diverged."""
    if most is None:
        return found
    stats = found["sample_stats"]
    ended = np.isfinite(stats["logp"].to_numpy()).all()
    return None if ended and stats["diverging"].sum() > most else found


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


@contextlib.contextmanager
def _merging(built):
    """A model whose `logp` is `_merged`; no other model sees it."""
    built.logp = _merged(built.logp)
    try:
        yield
    finally:
        del built.logp


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
    in the last digit, which is enough for other draws. Where each was made, which takes a fifteenth of the time, is not
    noted."""
    return config.change_flags(numba__fastmath=False, traceback__limit=0)


@contextlib.contextmanager
def _opened():
    """JAX with no graphs inside graphs: a constant that is passed to one is no constant there, and JAX must know the
    bounds of slices (in the gradient of `pt.pad`, which the transform of a correlation matrix has)."""
    usual = predefined_modes["JAX"]
    predefined_modes["JAX"] = usual.register((dfs_rewriter(_inline), -0.005))
    try:
        yield
    finally:
        predefined_modes["JAX"] = usual
