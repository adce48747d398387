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
