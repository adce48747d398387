"""Graphs that are evaluated in NumPy, the inside of their loops too.

PyTensor's `FAST_COMPILE` hands that to a C compiler, half a second an operation, on machines that have one.
"""

from contextlib import contextmanager

from pytensor.compile.mode import FAST_COMPILE, Mode, predefined_linkers
from pytensor.link.vm import VMLinker

PROVING = (  # rewrites that ask of every factor what matrix it is: a quarter of the time, and none here is such a one
    "dot_diag_to_elemwise", "selection_dot_to_indexing", "local_abs_mul_unit", "local_sign_unit",
)  # fmt: skip


@contextmanager
def uncompiled():
    """Functions that are made meanwhile in PyTensor's `FAST_COMPILE` compile nothing."""
    usual = predefined_linkers["vm"]
    predefined_linkers["vm"] = VMLinker(use_cloop=False, c_thunks=False)
    try:
        yield
    finally:
        predefined_linkers["vm"] = usual


class Linker(VMLinker):
    """That of `FAST_COMPILE`, for graphs inside graphs as well."""

    @uncompiled()
    def make_all(self, *args, **kwargs):
        return super().make_all(*args, **kwargs)


UNCOMPILED = Mode(Linker(use_cloop=False, c_thunks=False), FAST_COMPILE.provided_optimizer).excluding(*PROVING)
