"""The page at the bedside, request by request: who is answered, what is asked, and that it is what the library says."""

import httpx
import pytest
from bedsides import served

from nlmebayes.bedside import guard


@pytest.fixture(scope="module")
def service():
    with served() as service:
        yield service


@pytest.fixture(scope="module")
def here(service):
    """The address without its token."""
    return service.address.partition("/?")[0]


@pytest.fixture(scope="module")
def own(here):
    """What a browser says of a form of this page."""
    return {"origin": here, "sec-fetch-site": "same-origin"}


@pytest.fixture
def stranger(here):
    """A browser that knows nothing."""
    with httpx.Client(base_url=here, timeout=60) as client:
        yield client


@pytest.fixture
def page(service, here):
    """A browser after the address that was printed."""
    with httpx.Client(base_url=here, timeout=60) as client:
        assert client.get(service.address).status_code == 200
        yield client


def test_the_address_that_is_printed_gives_a_cookie_that_no_script_reads_and_no_site_sends(service, stranger):
    answer = stranger.get(service.address)
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie and "samesite=strict" in cookie and 'content="0;url=/"' in answer.text
    assert service.bedside.keys.token not in answer.text and "max-age" not in cookie


def test_what_a_browser_is_started_with_is_good_once(service, stranger):
    ticket = service.ticket
    assert stranger.get(ticket).status_code == 200
    stranger.cookies.clear()
    assert stranger.get(ticket).status_code == 403 and stranger.get(service.address).status_code == 200


@pytest.mark.parametrize("address", ["/", "/?token=", "/?token=guess", "/sheet/x", "/sheet/x/report.html", "/nothing"])
def test_without_the_token_nothing_is_answered(stranger, address):
    answer = stranger.get(address)
    assert answer.status_code == 403 and "whole address" in answer.text


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "10.0.0.1", "-"])
def test_another_name_of_this_machine_is_refused(page, host):
    assert page.get("/", headers={"host": host}).status_code == 400


FOREIGN = (
    {"origin": "http://evil.example"}, {"origin": "null"}, {}, {"origin": "http://127.0.0.1:3000"},
    {"origin": "HERE", "sec-fetch-site": "cross-site"}, {"origin": "HERE", "sec-fetch-site": "same-site"},
    {"sec-fetch-site": "none"}, {"origin": "http://localhost"},
)  # fmt: skip


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
def test_another_origin_changes_nothing(service, here, page, headers):
    before = len(service.bedside.sheets)
    said = {name: text.replace("HERE", here) for name, text in headers.items()}
    assert page.post("/", data={"do": "models"}, headers=said).status_code == 403
    assert len(service.bedside.sheets) == before


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_another_site_reads_nothing(page, site):
    assert page.get("/", headers={"sec-fetch-site": site}).status_code == 403


def test_every_answer_is_sealed(stranger, page, own):
    assert page.get("/").status_code == 200 and "no medical device" in page.get("/").text
    refused = stranger.get("/"), stranger.get("/", headers={"host": "evil.example"})
    for answer in (page.get("/"), page.get("/nothing"), page.get("/static/bedside.css"), *refused):
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["cache-control"] == "no-store" and answer.headers["x-frame-options"] == "DENY"
        assert not [name for name in answer.headers if name.startswith("access-control")]
    assert "unsafe" not in guard.HEADERS["Content-Security-Policy"]
    assert page.options("/", headers={"access-control-request-method": "POST"} | own).status_code == 405


def test_what_is_too_large_is_refused(page, own):
    assert page.post("/", files={"file": ("a.csv", b"x" * 1_500_000)}, headers=own).status_code == 413
    many = {f"doses.{i}.time": (None, "") for i in range(7000)}
    assert page.post("/", files=many, headers=own).status_code == 400


def test_a_fault_shows_no_traceback(page, monkeypatch):
    monkeypatch.setattr("nlmebayes.bedside.view.of", lambda *_: 1 / 0)
    answer = page.get("/")
    assert answer.status_code == 500 and "went wrong" in answer.text and "ZeroDivision" not in answer.text
