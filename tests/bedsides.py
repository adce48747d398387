"""The page at the bedside, served in a thread."""

import threading
from contextlib import contextmanager

from nlmebayes.bedside import service


@contextmanager
def served(host="127.0.0.1", password=None):
    """A `Service` that answers."""
    with service.listening(host, 0, password, warm=False) as found:
        thread = threading.Thread(target=found.serve, daemon=True)
        thread.start()
        try:
            yield found
        finally:
            found.server.should_exit = True
            thread.join(30)
