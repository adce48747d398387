"""Reports in a browser: all of it is there, nothing runs, nothing is asked of the network, and it prints.

Where no browser is found these tests are not run, and the end of the run says so (`conftest`).
"""

import browser
import calls
import pytest

import nlmebayes as nb

pytestmark = pytest.mark.skipif(browser.found() is None, reason="no browser")


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """Of a fit, with a title that would like to run."""
    path = tmp_path_factory.mktemp("report") / "r.html"
    return nb.report(calls.tree(), path, title="<script>console.log(1)</script><img src='http://example.org/y'>")


def test_a_report_is_whole_and_silent(report, tmp_path):
    shown = browser.opened(report, tmp_path)
    assert shown.dom.count("<section") == 10 and "How it was made" in shown.dom and "</html>" in shown.dom
    assert (shown.console, shown.asked) == ([], [])


def test_a_report_prints(report, tmp_path):
    assert 4 <= browser.printed(report, tmp_path) <= 10


def test_a_forecast_prints_on_one_page(tmp_path):
    samples = nb.next_sample(calls.forecast(), [6.0, 10.0, 14.0], "cl", replicates=20)
    page = nb.report(calls.forecast(), tmp_path / "f.html", regimens=calls.table(), samples=samples, warned=["late"])
    assert browser.printed(page, tmp_path) == 1


def test_a_page_that_asks_and_runs_is_seen(tmp_path):
    page = tmp_path / "bad.html"
    page.write_text('<img src="http://example.org/x.png"><script>console.log("runs")</script>', encoding="utf-8")
    shown = browser.opened(page, tmp_path)
    assert shown.asked == ["http://example.org/x.png"] and "runs" in shown.console[0]
