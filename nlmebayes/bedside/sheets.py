"""What was entered on a page and what came of it, under a name that cannot be guessed.

Every answer is a sheet of its own, which does not change any more: two tabs that show the same address show the same
patient, whatever was asked in between, and none is reached from another. Old ones are forgotten.
"""

import secrets
import threading
import time
from collections import OrderedDict

MOST = 100  # sheets that are kept
OLDEST = 8 * 3600.0  # seconds after which a sheet is forgotten


class Sheets:
    """Sheets by name, the last ``MOST``, none older than ``oldest`` seconds."""

    def __init__(self, most=MOST, oldest=OLDEST, clock=time.monotonic):
        self.most, self.oldest, self.clock = most, oldest, clock
        self.lock, self.kept = threading.Lock(), OrderedDict()

    def __len__(self):
        return len(self.kept)

    def put(self, sheet):
        """Keep a sheet; its name."""
        name = secrets.token_urlsafe(16)
        with self.lock:
            self.kept[name] = (self.clock(), sheet)
            self._forget()
        return name

    def get(self, name):
        """The sheet of a name, or None of one that is not known any more."""
        with self.lock:
            self._forget()
            return self.kept.get(name, (None, None))[1]

    def _forget(self):
        while self.kept:
            made, _ = next(iter(self.kept.values()))
            if len(self.kept) <= self.most and self.clock() - made <= self.oldest:
                break
            self.kept.popitem(last=False)
