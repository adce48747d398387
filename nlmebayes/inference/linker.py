"""PyTensor's linker for Numba, by which a graph is compiled once.

PyTensor's own compiles the function of a graph, then one that does nothing but call it, into which LLVM takes the first
in whole and optimises it again: a third of the time. The second is what Numba finds on disk. Here the first is.
"""

from pytensor import config
from pytensor.compile.mode import Mode, predefined_modes
from pytensor.link.numba.cache import compile_numba_function_src
from pytensor.link.numba.dispatch.basic import numba_funcify_and_cache_key, numba_njit
from pytensor.link.numba.linker import NumbaLinker

from nlmebayes.inference.lowered import lowering


class SingleLinker(NumbaLinker):
    """Numba's linker without the function around that of the graph."""

    def fgraph_convert(self, fgraph, **kwargs):
        return numba_funcify_and_cache_key(fgraph)

    def jit_compile(self, fn_and_cache):
        function, key = fn_and_cache
        own = function.py_func
        if key is not None and config.numba__cache:
            mark = f"nlmebayes_{key}_fastmath{int(config.numba__fastmath)}"
            own = compile_numba_function_src(own.__source__, own.__name__, own.__globals__, cache_key=mark)
        return numba_njit(own, final_function=True, cache=key is not None)


def mode():
    """PyTensor's mode of Numba with this linker."""
    return lowering(Mode(linker=SingleLinker(), optimizer=predefined_modes["NUMBA"].provided_optimizer))
