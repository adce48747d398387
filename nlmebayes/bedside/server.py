"""The server of the page: what each address answers. Whatever computes does so in one thread, one case at a time."""

import asyncio
import logging
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache, cached_property

import anyio
from anyio.to_thread import run_sync
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from nlmebayes.bedside import consultation, guard, view
from nlmebayes.bedside.sheets import Sheets
from nlmebayes.cases import file

LARGEST = 1_000_000  # bytes of a request
FIELDS = 6_000  # of a form
WAITING = 20  # requests that may wait for the one that computes
DOCUMENT = {  # of the report, which brings its own style and nothing else
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'none'; base-uri 'none'; "
        "frame-ancestors 'none'"
    )
}
log = logging.getLogger(__name__)


class Worker:
    """One thread at a time for what computes, and a short queue in front of it."""

    def __init__(self):
        self.limiter = anyio.CapacityLimiter(1)

    async def run(self, function, *arguments):
        """The result of a function, computed in its turn."""
        if self.limiter.statistics().tasks_waiting >= WAITING:
            raise HTTPException(503, "Other cases are being computed; try again in a moment.")
        return await run_sync(function, *arguments, limiter=self.limiter)


@dataclass(frozen=True, eq=False)
class Bedside:
    """The page: its secrets, its sheets, and the worker."""

    keys: guard.Keys
    host: str
    sheets: Sheets = field(default_factory=Sheets)
    worker: Worker = field(default_factory=Worker)

    def app(self, warm=True):
        """The application, behind its guard."""
        routes = [
            Route("/", self.start, methods=["GET"]),
            Route("/", self.entered, methods=["POST"]),
            Route("/sheet/{name}", self.shown, methods=["GET"], name="sheet"),
            Route("/sheet/{name}/case.toml", self.saved, methods=["GET"]),
            Route("/sheet/{name}/report.html", self.report, methods=["GET"]),
            Route(guard.ENTRY, self.door, methods=["GET", "POST"]),
            Mount("/static", StaticFiles(packages=[("nlmebayes.bedside", "static")])),
        ]
        inner = Starlette(
            routes=routes, lifespan=self._warmed if warm else None, max_body_size=LARGEST,
            exception_handlers={HTTPException: refused, Exception: failed, ClientDisconnect: gone},
        )  # fmt: skip
        return guard.guarded(inner, self.keys, self.host)

    @asynccontextmanager
    async def _warmed(self, _):
        """Compute a case of nobody at first, so that the first patient need not wait."""
        task = asyncio.create_task(self.worker.run(consultation.warmed))
        yield
        task.cancel()

    async def start(self, request):
        """An empty page."""
        return page("page.html.j2", view.of(consultation.Sheet()))

    async def entered(self, request):
        """What was entered becomes a sheet, with its answer where one is asked for."""
        async with request.form(max_files=1, max_fields=FIELDS, max_part_size=LARGEST) as form:
            texts = [(key, value) for key, value in form.multi_items() if isinstance(value, str)]
            uploaded = form.get("file")
            there = uploaded is not None and not isinstance(uploaded, str) and uploaded.filename
            upload = (uploaded.filename, await uploaded.read()) if there else None
        before = self.sheets.get(dict(texts).get("sheet", ""))
        said = consultation.Said(texts, before, upload)
        try:
            sheet = await self.worker.run(consultation.consulted, said)
        except HTTPException as busy:
            sheet = consultation.kept(said, busy.detail)
        name = self.sheets.put(sheet)
        return RedirectResponse(f"/sheet/{name}#{sheet.place}", status_code=303)

    async def shown(self, request):
        """A sheet."""
        return page("page.html.j2", view.of(self.found(request), request.path_params["name"]))

    async def saved(self, request):
        """The case of a sheet as a file."""
        case = self.found(request).case
        if case is None:
            raise HTTPException(404, "There is no case on this page yet; compute it first.")
        return Response(file.written(case), media_type="application/toml", headers=attached("case.toml"))

    async def report(self, request):
        """The one-page report of a sheet, to be printed or saved."""
        sheet = self.found(request)
        if sheet.answer is None:
            raise HTTPException(404, "There is no answer on this page yet.")
        text = await self.worker.run(consultation.reported, sheet)
        wanted = attached("report.html") if "save" in request.query_params else {}
        return HTMLResponse(text, headers=DOCUMENT | wanted)

    async def door(self, request):
        """Where a password is asked for."""
        if self.keys.password is None:
            raise HTTPException(404, "There is no such page.")
        wrong = False
        if request.method == "POST":
            if await self._attempts.right(await guard.said_password(request)):
                return self.keys.given(RedirectResponse("/", status_code=303))
            wrong = True
        return page("door.html.j2", {"wrong": wrong}, 403 if wrong else 200)

    @cached_property
    def _attempts(self):
        return guard.Attempts(self.keys)

    def found(self, request):
        """The sheet of an address."""
        sheet = self.sheets.get(request.path_params["name"])
        if sheet is None:
            raise HTTPException(404, "This page is not kept any more. Enter the case anew, or open a saved one.")
        return sheet


@cache
def templates():
    """The templates; whatever they show is escaped."""
    return Environment(
        loader=PackageLoader("nlmebayes.bedside"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, auto_reload=False,
    )  # fmt: skip


def page(template, content, status=200):
    """A template with its content."""
    return HTMLResponse(templates().get_template(template).render(**content), status_code=status)


def attached(name):
    """The header of a file to be saved."""
    return {"Content-Disposition": f'attachment; filename="{name}"'}


async def refused(request, error):
    """A page of a request that cannot be answered."""
    return page("stopped.html.j2", {"said": error.detail}, error.status_code)


async def gone(request, error):
    """To somebody who does not listen any more."""
    return Response(status_code=400)


async def failed(request, error):
    """A page of a fault, which is written to the terminal and told to nobody else."""
    log.error("a request failed", exc_info=error)
    said = "Something went wrong in the program. What you entered is still in the page before; go back to it."
    return page("stopped.html.j2", {"said": said}, 500)
