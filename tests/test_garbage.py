"""How often the garbage collector runs is that of before, whatever happens in between."""

import gc
import subprocess
import sys

import pytest

from nlmebayes.runtime.garbage import SELDOM, collected_seldom


@pytest.fixture
def often():
    before = gc.get_threshold()
    gc.set_threshold(700, 10, 9)
    yield (700, 10, 9)
    gc.set_threshold(*before)


def test_it_runs_seldom_within_and_as_before_after(often):
    assert collected_seldom(gc.get_threshold)() == (SELDOM, 10, 9)
    assert gc.get_threshold() == often


def test_an_error_leaves_it_as_it_was(often):
    with pytest.raises(ZeroDivisionError):
        collected_seldom(lambda: 1 / 0)()
    assert gc.get_threshold() == often


def test_somebody_who_has_turned_it_off_keeps_it_off(often):
    gc.set_threshold(0)
    assert collected_seldom(gc.get_threshold)()[0] == 0


OPEN = """
class Open:
    def __init__(self, path):
        self.file, self.itself = open(path, "wb"), self
        self.file.write(b"all of it")
left = Open({path!r})
"""


@pytest.mark.parametrize("ours", ["", "nlmebayes.runtime.garbage.left_at_the_end()"])
def test_what_a_user_left_open_is_written_when_his_process_ends(tmp_path, ours):
    """Its last round is left out in processes of our own alone, where nothing is left open."""
    path = tmp_path / "file"
    code = f"import nlmebayes\n{OPEN.format(path=str(path))}\n{ours}"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert path.read_bytes() == (b"" if ours else b"all of it")
