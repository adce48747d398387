"""How the kernels are compiled, and when what was compiled before is out of date."""

import hashlib
from pathlib import Path

import pytensor.tensor as pt
from numba import njit

from nlmebayes.data import ties
from nlmebayes.runtime.compiled import CacheFile

# Numba looks at the file of a function alone, but a kernel holds the code of those that it calls.
FILES = (Path(ties.__file__), *sorted(Path(__file__).parents[1].rglob("*.py")))
STAMP = hashlib.sha256(b"".join(p.read_bytes() for p in FILES)).hexdigest()

VERSION = int(STAMP[:12], 16)  # of the kernels: a compiled graph on disk holds their code


def tensor(x):
    """A PyTensor variable whose whole numbers are of 64 bits, as in the compiled kernels; PyMC keeps them in 32."""
    x = pt.as_tensor(x)
    return x.astype("int64") if x.dtype in ("int8", "int16", "int32") else x


def cached(function):
    """Compiled on first use and kept on disk until any file of the solver changes."""
    return _stamped(njit(cache=True, error_model="numpy")(function))


def inlined(function):
    """For what runs once a step: arrays passed to a function are counted, which costs more than the arithmetic."""
    return _stamped(njit(cache=True, error_model="numpy", inline="always")(function))


def _stamped(kernel):
    file = getattr(getattr(kernel, "_cache", None), "_cache_file", None)  # none with NUMBA_DISABLE_JIT=1
    if file is not None:
        file._source_stamp = STAMP
        file.__class__ = CacheFile
    return kernel
