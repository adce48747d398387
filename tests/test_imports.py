"""What is imported on the way: quickly, and with everything afterwards as it was."""

import inspect
import subprocess
import sys

import pytest

from nlmebayes.runtime import imports


def test_callers_are_those_of_inspect_without_their_lines():
    found, usual = imports._callers(), inspect.stack()
    assert [(f.filename, f.function) for f in found] == [(f.filename, f.function) for f in usual]
    assert {f.code_context for f in found} == {None}


def test_inspect_is_as_it_was_afterwards_even_after_an_error():
    assert imports.imported("colorsys").__name__ == "colorsys"
    with pytest.raises(ModuleNotFoundError):
        imports.imported("nlmebayes.nonsense")
    assert inspect.stack is imports._STACK


def test_a_fit_imports_no_jax():
    code = "import sys, nlmebayes as nb; nb.fit, nb.check; sys.exit('jax.numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_jax_is_no_module_until_somebody_uses_it():
    """ArviZ leaves a lazy entry, which SciPy asks for its arrays."""
    code = """
import sys, nlmebayes as nb
nb.fit, nb.check
from scipy import special
special.logsumexp([0.0])
assert 'jax.numpy' not in sys.modules
from arviz_base import io_numpyro
assert io_numpyro.jax.numpy.ones(2).sum() == 2  # which imports it
assert io_numpyro.jax.device_get is sys.modules['jax'].device_get
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_maximum_imports_nothing_that_samples():
    code = """
import sys, nlmebayes as nb
from model_zoo import LinearMixed
nb.fit(nb.Model(LinearMixed(), 'mu ~ 1 + (1|Batch)'), nb.datasets.dyestuff(), method='ml')
sys.exit(bool({'nutpie', 'matplotlib.pyplot', 'jax.numpy', 'nlmebayes.inference.sampler'} & set(sys.modules)))
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
