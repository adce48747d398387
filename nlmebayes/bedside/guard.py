"""Who may ask the page for anything: this browser, on a page of this server, after the address that it printed.

Sites that are open in the same browser can send requests to this machine. What stops them, each on its own:

- the `Host` must be a name of this server, so that no other name can be made to point here (DNS rebinding);
- what changes anything must come from a page of this server, by `Origin` and `Sec-Fetch-Site`;
- everything needs a cookie that no script can read and that no other site sends (`HttpOnly`, `SameSite=Strict`), which
  is given for the random token in the address, or for the password;
- no other origin is allowed to read an answer (there are no CORS headers), to frame it, or to keep it.
"""

import asyncio
import hmac
import ipaddress
import secrets
import socket
from contextlib import suppress
from dataclasses import dataclass, field
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse

SHORTEST = 12  # letters of a password
PAUSE = 1.0  # seconds between two wrong passwords, whoever sends them
ENTRY = "/enter"  # where a password is asked for
OPEN = (ENTRY, "/static/")  # what is shown to anybody: no patient is there
WELCOME = (  # a page of this server leads on, for the cookie is not sent where another site led here
    '<!DOCTYPE html><html lang="en"><meta charset="utf-8"><meta http-equiv="refresh" content="0;url=/">'
    '<link rel="icon" href="data:,"><title>At the bedside</title><p><a href="/">At the bedside</a></p></html>'
)
SAFE = ("GET", "HEAD")
LOCAL = ("127.0.0.1", "localhost", "::1")
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; form-action 'self'; "
        "frame-ancestors 'none'; base-uri 'none'"
    ),
    "Cache-Control": "no-store",
    "Referrer-Policy": "same-origin",  # "no-referrer" would make the browser hide the origin of its own forms
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


@dataclass(frozen=True)
class Keys:
    """The secrets of a run: the token of the address, the value of the cookie, the password if there is one."""

    port: int
    password: str | None = field(default=None, repr=False)
    token: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)
    cookie: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)
    tickets: set = field(default_factory=set, repr=False)

    def ticket(self):
        """A token that is good once: other users of a machine see what a browser is started with."""
        made = secrets.token_urlsafe(24)
        self.tickets.add(made)
        return made

    def open(self, said):
        """Whether a token opens the page; a ticket is used up."""
        used = said in self.tickets
        self.tickets.discard(said)
        return used or same(said, self.token)

    @property
    def name(self):
        """Of the cookie; cookies do not tell ports apart, and two servers may run."""
        return f"nlmebayes-{self.port}"

    def known(self, request):
        """Whether a request has the cookie."""
        return same(request.cookies.get(self.name, ""), self.cookie)

    def given(self, response):
        """The response with the cookie, which ends with the browser."""
        response.set_cookie(self.name, self.cookie, httponly=True, samesite="strict", path="/")
        return response


def same(said, meant):
    """Whether two texts are equal, in a time that does not tell how far they are."""
    return hmac.compare_digest(said.encode(), meant.encode())


def names(host):
    """Names under which a server that listens at ``host`` may be asked for."""
    own = {host, *LOCAL}
    if host not in LOCAL:
        own |= {socket.gethostname(), socket.getfqdn()}
    if host not in LOCAL and ipaddress.ip_address(host).is_unspecified:
        with suppress(OSError):  # a machine that does not know its own name
            own |= {found[4][0] for found in socket.getaddrinfo(socket.gethostname(), None)}
    return sorted(f"[{name}]" if ":" in name else name for name in own)


def guarded(app, keys, host):
    """The application behind all of these."""
    return Sealed(TrustedHostMiddleware(Gate(app, keys), allowed_hosts=names(host), www_redirect=False))


@dataclass(frozen=True)
class Sealed:
    """An application whose every answer has `HEADERS`, as far as it says nothing else itself."""

    app: object

    async def __call__(self, scope, receive, send):
        if scope["type"] == "websocket":
            return await send({"type": "websocket.close", "code": 1008})

        async def sealed(message):
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self.app(scope, receive, sealed)


@dataclass(frozen=True)
class Gate:
    """An application that only pages of this server may ask for anything, with the cookie."""

    app: object
    keys: Keys

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        request = Request(scope)
        answer = self.refused(request) or self.entered(request)
        await (answer or self.app)(scope, receive, send)

    def refused(self, request):
        """What is said to a request that comes from elsewhere, or None."""
        if request.method in SAFE and self.keys.password is None and "token" in request.query_params:
            return None  # the address that was printed, from wherever it is opened
        if foreign(request.headers, request.method):
            return PlainTextResponse("This page answers to itself only, not to other sites.", status_code=403)
        return None

    def entered(self, request):
        """Where somebody without the cookie is led, or None."""
        if self.keys.known(request) or request.url.path.startswith(OPEN):
            return self.plain(request) if "token" in request.query_params else None
        if self.keys.password is not None:
            return RedirectResponse(ENTRY, status_code=303)
        if request.method in SAFE and self.keys.open(request.query_params.get("token", "")):
            return self.keys.given(HTMLResponse(WELCOME))
        return PlainTextResponse(
            "Open the whole address that nlmebayes bedside printed, with its token.", status_code=403
        )

    def plain(self, request):
        """The same address without the token, which is needed once."""
        return RedirectResponse(request.url.path, status_code=303)


def foreign(headers: Headers, method):
    """Whether a request comes from a page of somebody else."""
    site = headers.get("sec-fetch-site")
    if site not in (None, "same-origin", "none"):
        return True
    if method in SAFE:
        return False
    origins = headers.getlist("origin")
    if not origins:
        return site != "same-origin"
    return any(origin.partition("://")[2] != headers.get("host") for origin in origins)


class Attempts:
    """Passwords that are tried, one after the other, with a pause after each wrong one."""

    def __init__(self, keys):
        self.keys, self.turn = keys, asyncio.Lock()

    async def right(self, said):
        """Whether it is the password."""
        async with self.turn:
            if self.keys.password is not None and same(said, self.keys.password):
                return True
            await asyncio.sleep(PAUSE)
            return False


async def said_password(request):
    """The password of a form."""
    body = (await request.body()).decode("utf-8", errors="replace")
    return parse_qs(body).get("password", [""])[0]
