"""Kernels that processes share: what one compiles the others wait for, and no index is lost."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from nlmebayes.runtime import compiled
from nlmebayes.runtime.compiled import CacheFile


@pytest.fixture
def processes(tmp_path):
    """What two processes hold of one kernel."""
    return [CacheFile(str(tmp_path / "cache"), "kernel", "stamp") for _ in range(2)]


def test_one_compiles_and_the_other_waits(processes):
    one, other = processes
    assert one.load("float") is None
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(other.load, "float")
        one.save("float", "code")
        assert waiting.result(30) == "code"
    assert one.load("float") == "code"
    assert not one.lock.is_locked


def test_other_signatures_are_both_kept(processes):
    """Without a lock both would read an empty index, and the second one written would be all that is left."""
    one, other = processes
    assert one.load("float") is None
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(other.load, "int")
        one.save("float", "code of floats")
        assert waiting.result(30) is None
        pool.submit(other.save, "int", "code of ints").result(30)
    assert one.load("int") == "code of ints" and other.load("float") == "code of floats"


def test_nobody_waits_for_ever(processes, monkeypatch):
    one, other = processes
    assert one.load("float") is None
    monkeypatch.setattr(compiled, "WAIT", 0.01)
    assert other.load("float") is None
    other.save("float", "code")
    assert one.load("float") == "code"


def test_a_folder_that_cannot_be_written_has_no_lock(processes, monkeypatch):
    def refused(*_, **__):
        raise PermissionError

    monkeypatch.setattr(compiled.FileLock, "acquire", refused)
    assert processes[0].load("float") is None
