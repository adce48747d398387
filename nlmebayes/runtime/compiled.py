"""Files of compiled kernels that several processes share: each kernel is compiled by one of them, the others wait."""

from pathlib import Path

from filelock import FileLock, Timeout
from numba.core.caching import IndexDataCacheFile

from nlmebayes.runtime import caches

WAIT = 120.0  # seconds for somebody else's compilation, after which one's own is begun


class CacheFile(IndexDataCacheFile):
    """Numba's files of one kernel.

    Numba looks for a kernel with `load`, and compiles and stores it with `save` where there is none; in between the
    kernel is locked, so that nobody compiles the same, nor writes another index at the same time. Damaged files are
    forgotten, and the kernel compiled anew.
    """

    def load(self, key):
        found = self._read(key)
        if found is None and self._locked():
            found = self._read(key)  # of somebody who had the lock
            if found is not None:
                self._unlock()
        return found

    def save(self, key, data):
        try:
            super().save(key, data)
        except caches.DAMAGE:
            self.flush()
            super().save(key, data)
        finally:
            self._unlock()

    def _read(self, key):
        try:
            return super().load(key)
        except caches.DAMAGE:
            caches.note(self._index_path)
            self.flush()
            return None

    def _locked(self):
        """Whether the lock is ours now; not in a folder that cannot be written, nor where one waited for too long."""
        try:
            Path(self._cache_path).mkdir(parents=True, exist_ok=True)
            self.lock = getattr(self, "lock", None) or FileLock(f"{self._index_path}.lock", thread_local=False)
            self.lock.acquire(timeout=WAIT)
        except (OSError, Timeout):
            return False
        return True

    def _unlock(self):
        if getattr(self, "lock", None) is not None:
            self.lock.release()
