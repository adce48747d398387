"""Work on many things, here or on the workers of a dask client, which the caller owns.

What all tasks need travels as it is and once: the bytes of a model and its data are a task of their own, which is
done again where a worker is lost with them. Each worker makes ready what it needs of them - reads a tree, compiles a
model - and keeps it by a hash of these bytes; nothing compiled is sent. As many tasks are asked for at a time as keep
the workers busy, whatever their number.

Things and results travel as bytes too: what dask itself takes out of its messages are arrays that cannot be written to
or do not stand where compiled code wants them.
"""

import hashlib
import importlib
import sys
import threading
import time
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Annotated
from uuid import uuid4

from nlmebayes.arguments import Kind
from nlmebayes.errors import ModelError, heard, warn

AHEAD, LEAST = 2, 8  # tasks asked for by thread of the workers, and at least, while none has come yet
LOOK = 1.0  # seconds after which workers are counted again
TRIES = 3  # times that dask gives a task up, each after it lost four workers at it
KEPT = 4  # things that a worker keeps ready
OWN, OTHERS = "nlmebayes", ("pymc", "pytensor", "nutpie", "numba", "numpy", "scipy")  # packages that results depend on


def _client(value):
    """A client of dask that waits for its answers."""
    if all(callable(getattr(value, name)) for name in ("submit", "nthreads")) and not value.asynchronous:
        return value
    raise TypeError


Client = Annotated[object, Kind("a client of dask, such as distributed.Client()", _client)]


class Lost(ModelError):
    """A task at which workers died again and again."""


@dataclass(frozen=True)
class Work:
    """What is done with each of many things: ``do(ready, item)``, with what ``make(*given)`` made ready.

    ``make`` and ``do`` are functions of a module, which may be `partial`; ``given`` is what travels.
    """

    make: Callable
    given: tuple
    do: Callable


def each(
    work: Work, items: Iterable, client: Client | None = None, *, ready: object = None, most: int | None = None,
    said: Callable | None = None,
) -> Iterator[tuple[int, object]]:  # fmt: skip
    """Positions of items and what is done with each: in their order here, as they are done with a client.

    Parameters
    ----------
    work : Work
    items : iterable
        Read as they are needed.
    client : optional
        Of dask. A task whose worker is lost is done again; a result is given once.
    ready : optional
        What `Work.make` makes, where it is there already.
    most : int, optional
        Tasks that are asked for at a time.
    said : callable, optional
        Called with a position and what `say` was told of it, while it is done.

    Raises
    ------
    Exception
        What an item raised. With a client `Lost` is the result of an item instead, not raised.
    """
    if client is None:
        ready = work.make(*work.given) if ready is None else ready
        for i, item in enumerate(items):
            yield i, work.do(ready, item)
        return
    asked = _Asked(client, work, most, said)
    try:
        yield from asked.results(enumerate(items))
    finally:
        asked.leave()


def in_order(results: Iterable[tuple[int, object]]) -> list:
    """What `each` gives, all of it, in the order of the items."""
    return [result for _, result in sorted(results, key=lambda pair: pair[0])]


def here():
    """A context in which xarray works in this process: where the user has made a client, it would ask the cluster for
    locks of what it writes, in memory too, of which no cluster knows."""
    dask = sys.modules.get("dask")
    return nullcontext() if dask is None else dask.config.set(scheduler="synchronous")


class _Asked:
    """Tasks of a client that are under way; workers come and go."""

    def __init__(self, client, work, most, said):
        self.distributed, self.client, self.most = importlib.import_module("distributed"), client, most
        self.looked, self.found = -LOOK, LEAST
        _check_versions(client)
        self.name, self.running = f"nlmebayes-{uuid4().hex}", {}
        self.done = self.distributed.as_completed(loop=client.loop)
        self.topic = None if said is None else self.name
        if self.topic:
            client.subscribe_topic(self.topic, lambda event: said(*event[1]))
        sent = _packed((work.make, work.given))
        digest = hashlib.sha256(sent).hexdigest()
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Sending large graph")
            parcel = client.submit(_parcel, sent, key=f"nlmebayes-{digest}")
        self.task = partial(client.submit, _done, work.do, digest, parcel, self.topic, pure=False)

    def results(self, items):
        """Positions of (position, item) pairs and their results, as they are done."""
        while True:
            for i, item in islice(items, max(0, self._room() - len(self.running))):
                self._ask(i, item)
            if not self.running:
                return
            yield from self._next()

    def _room(self):
        """How many tasks may be under way."""
        if time.monotonic() - self.looked > LOOK:
            self.found = max(LEAST, AHEAD * sum(self.client.nthreads().values()))
            self.looked = time.monotonic()
        return self.found if self.most is None else min(self.most, self.found)

    def _ask(self, i, item, tries=1):
        future = self.task(i, _packed(item), key=f"{self.name}-{i}-{tries}")
        self.running[future.key] = i, item, tries, future
        self.done.add(future)

    def _next(self):
        """The result of a task that is done, unless it is asked for again."""
        i, item, tries, future = self.running.pop(next(self.done).key)
        if future.status in ("cancelled", "lost"):
            raise ModelError("the cluster of dask is gone, or was told to cancel its tasks; ask again with another one")
        error = future.exception()
        if error is None:
            result, texts = _unpacked(future.result())
            for text in texts:
                warn(text)
            yield i, result
        elif not isinstance(error, self.distributed.scheduler.KilledWorker):
            raise error
        elif tries < TRIES:
            self._ask(i, item, tries + 1)
        else:
            yield i, Lost(f"the workers of dask died at it: {error}")

    def leave(self):
        """Cancel what is under way."""
        with suppress(OSError):  # of a cluster that is gone
            if self.running:
                self.client.cancel([future for *_, future in self.running.values()])
            if self.topic:
                self.client.unsubscribe_topic(self.topic)


def _check_versions(client):
    """Refuse workers with another version of the library, and warn of other versions of what results depend on."""
    found = client.get_versions(packages=[OWN, *OTHERS])
    ours = found["client"]["packages"]
    for address, worker in found["workers"].items():
        theirs = worker["packages"] if isinstance(worker, dict) else ours  # one that has just gone says nothing
        if theirs[OWN] != ours[OWN]:
            has = f"has {OWN} {theirs[OWN]}" if theirs[OWN] else f"has no {OWN}"
            raise ModelError(f"the worker {address} {has}, this process {ours[OWN]}; install the same on both")
        other = [f"{name} {theirs[name]} for {ours[name]}" for name in OTHERS if theirs[name] != ours[name]]
        if other:
            warn(f"the worker {address} has {', '.join(other)}: its draws may be others than those of this process")


def _packed(thing):
    return importlib.import_module("distributed").protocol.pickle.dumps(thing)


def _unpacked(sent):
    return importlib.import_module("distributed").protocol.pickle.loads(sent)


# On a worker


class _Ready:
    """What was made ready in this process, by a hash of what it was made of: the last few."""

    def __init__(self):
        self.lock, self.found, self.making = threading.Lock(), OrderedDict(), {}

    def of(self, digest, parcel):
        with self.lock:
            alone = self.making.setdefault(digest, threading.Lock())
        with alone:  # others may make something else meanwhile
            if digest not in self.found:
                make, given = _unpacked(parcel)
                self.found[digest] = make(*given)
            with self.lock:
                self.found.move_to_end(digest)
                while len(self.found) > KEPT:
                    self.making.pop(self.found.popitem(last=False)[0], None)
            return self.found[digest]


_READY = _Ready()
_SAYING = ContextVar("saying", default=None)


def _parcel(bytes_):
    return bytes_


def _done(do, digest, parcel, topic, i, item):
    """A result, and the warnings on the way to it, in bytes."""
    texts = []
    with heard(texts.append):
        token = _SAYING.set((topic, i))
        try:
            return _packed((do(_READY.of(digest, parcel), _unpacked(item)), texts))
        finally:
            _SAYING.reset(token)


def say(*what: object) -> None:
    """Tell whoever waits for this item how far it is."""
    topic, i = _SAYING.get() or (None, None)
    if topic is not None:
        importlib.import_module("distributed").get_worker().log_event(topic, (i, *what))


def abandoned() -> bool:
    """Whether nobody waits for this item any more: it was cancelled, or whoever asked for it has died."""
    if _SAYING.get() is None:
        return False
    worker = importlib.import_module("distributed").get_worker()
    task = worker.state.tasks.get(worker.get_current_task())
    return task is None or task.state == "cancelled"
