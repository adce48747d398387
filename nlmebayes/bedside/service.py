"""Listening: the address that is printed, and to whom it answers."""

import ipaddress
import socket
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

import uvicorn

from nlmebayes.bedside import guard
from nlmebayes.bedside.server import Bedside
from nlmebayes.errors import ModelError

AT_ONCE = 100  # connections
BACKLOG = 32


@contextmanager
def listening(host, port, password=None, warm=True):
    """The address of the page, and a `uvicorn.Server` of it whose ``run`` serves until it is interrupted.

    Raises
    ------
    ModelError
        Not an address, one that others reach without a password, a short password, or one that cannot be had.
    """
    checked(host, password)
    with bound(host, port) as opened:
        keys = guard.Keys(opened.getsockname()[1], password)
        bedside = Bedside(keys, host)
        yield Service(bedside, opened, warm)


@dataclass(frozen=True, eq=False)
class Service:
    """A page that can be served, and the socket that it listens at."""

    bedside: Bedside
    opened: socket.socket
    warm: bool

    @property
    def address(self):
        """What is printed: with the token, unless a password is asked for."""
        return self._with(self.bedside.keys.token)

    @property
    def ticket(self):
        """What a browser is started with: the same, good once."""
        return self._with(self.bedside.keys.ticket())

    def _with(self, token):
        keys, host = self.bedside.keys, self.bedside.host
        name = f"[{host}]" if ":" in host else host
        return f"http://{name}:{keys.port}/" + ("" if keys.password else f"?token={token}")

    @cached_property
    def server(self):
        """The server; no address is written down."""
        settings = uvicorn.Config(
            self.bedside.app(self.warm), log_level="critical", access_log=False, server_header=False, date_header=False,
            limit_concurrency=AT_ONCE, proxy_headers=False, ws="none",
        )  # fmt: skip
        return uvicorn.Server(settings)

    def serve(self):
        """Serve until interrupted."""
        self.server.run(sockets=[self.opened])


def checked(host, password):
    """Refuse a host that is no address, or that other machines reach without a password."""
    if password is not None and len(password) < guard.SHORTEST:
        raise ModelError(f"a password has {guard.SHORTEST} letters at least")
    if host == "localhost":
        return
    try:
        local = ipaddress.ip_address(host).is_loopback
    except ValueError:
        raise ModelError(f"--host {host!r} is no address; write 127.0.0.1, or that of a network card") from None
    if not local and password is None:
        raise ModelError(f"other machines reach {host}: give a password, --password, or leave --host out")


@contextmanager
def bound(host, port):
    """A socket that listens."""
    kind = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(kind, socket.SOCK_STREAM) as opened:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            opened.bind((host, port))
        except (OSError, OverflowError) as error:
            raise ModelError(f"{host}, port {port}, cannot be had: {error}; take another --port") from None
        opened.listen(BACKLOG)
        yield opened
