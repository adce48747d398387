"""How often the garbage collector runs is that of before, whatever happens in between."""

import gc

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
