"""A fixture under which nothing may run: no import of a stranger's module, no process, no file outside the folder."""

import sys

import pytest

DONE = ("os.system", "os.exec", "os.posix_spawn", "os.fork", "subprocess.Popen", "pickle.find_class", "socket.connect")
SEEN = []  # what was done, by the audit of the interpreter
LISTEN = []
STRANGER = """
from pathlib import Path
Path({marker!r}).touch()
from model_zoo import OneCompartment
class Law(OneCompartment): pass
"""


def _audit(event, _):
    if LISTEN and event.startswith(DONE):
        SEEN.append(event)


sys.addaudithook(_audit)


@pytest.fixture
def untouched(tmp_path, monkeypatch):
    """A folder with a module that leaves a file when imported; afterwards nothing has run."""
    marker = tmp_path / "ran"
    (tmp_path / "stranger.py").write_text(STRANGER.format(marker=str(marker)), encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    before = {path for path in tmp_path.parent.iterdir()}
    SEEN.clear()
    LISTEN.append(True)
    yield tmp_path
    LISTEN.clear()
    assert SEEN == [] and not marker.exists()
    assert not {"stranger", "antigravity", "this"} & set(sys.modules)
    assert {path for path in tmp_path.parent.iterdir()} == before
