"""``nlmebayes bedside``: a page for one patient, served to the browser of this machine."""

import importlib
import webbrowser

from nlmebayes.words import StatementError

PROMISE = "Nothing leaves this machine, and nothing is stored unless you save it. Ctrl+C ends it."
NEEDED = ("starlette", "uvicorn", "multipart")


def run(say, *, host="127.0.0.1", port=0, password=None, browser=True):
    """Serve the page until it is interrupted.

    Parameters
    ----------
    host : str
        Address to listen at; one that other machines reach needs a password.
    port : int
        0 takes a free one.
    browser : bool
        Whether the page is opened in a browser.

    Raises
    ------
    StatementError
        What the page needs is not installed; it would be open to others without a password; the port is taken.
    """
    service = _service()
    with service.listening(host, port, password) as page:
        say(f"The page: {page.address}\n{PROMISE}")
        if browser:
            webbrowser.open(page.ticket)
        page.serve()


def _service():
    try:
        return importlib.import_module("nlmebayes.bedside.service")
    except ModuleNotFoundError as error:
        if error.name.partition(".")[0] not in NEEDED:
            raise
        raise StatementError(
            f"the page needs {error.name}, which is not there: pip install 'nlmebayes[bedside]'"
        ) from None
