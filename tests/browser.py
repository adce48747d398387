"""Chromium without a window: what it made of a page, what it asked of the network, and the pages that it prints."""

import json
import re
import shutil
import subprocess
from dataclasses import dataclass

NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
QUIET = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--host-resolver-rules=MAP * ~NOTFOUND",
)  # fmt: skip
OWN = "not an origin"  # of requests that no page makes
WAIT = 180  # seconds


def found():
    """The path of a browser, or None."""
    return next(filter(None, map(shutil.which, NAMES)), None)


@dataclass(frozen=True)
class Shown:
    """The document that a browser has in the end, what it wrote on its console, and the addresses that pages asked."""

    dom: str
    console: list
    asked: list


def opened(page, folder):
    """`Shown` of a file."""
    log = folder / "net.json"
    run = _run(page, folder, "--enable-logging=stderr", f"--log-net-log={log}", "--dump-dom")
    events = [event.get("params", {}) for event in json.loads(log.read_text(encoding="utf-8"))["events"]]
    asked = [p["url"] for p in events if "url" in p and p.get("initiator", OWN) != OWN]
    return Shown(run.stdout, re.findall(r"CONSOLE.*", run.stderr), asked)


def printed(page, folder):
    """How many pages the PDF of a file has."""
    file = folder / "page.pdf"
    _run(page, folder, "--no-pdf-header-footer", f"--print-to-pdf={file}")
    return len(re.findall(rb"/Type\s*/Page\b", file.read_bytes()))


def _run(page, folder, *options):
    command = [found(), *QUIET, f"--user-data-dir={folder / 'profile'}", *options, page.as_uri()]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=WAIT)
