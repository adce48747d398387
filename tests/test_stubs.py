"""Type checkers see every public name where it is."""

import pytest
import stubs


@pytest.mark.parametrize("path", stubs.STUBS, ids=lambda path: path.parent.name)
def test_stubs_hold_the_names_that_load_on_first_use(path):
    assert path.read_text(encoding="utf-8") == stubs.STUBS[path](), "run: python tests/stubs.py"
    assert (path.parent / "py.typed").is_file()
