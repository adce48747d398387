"""Reports in a browser: all of it is there, nothing runs, nothing is asked of the network, and it prints.

Where no browser is found these tests are not run, and the end of the run says so (`conftest`).
"""

import browser
import calls
import numpy as np
import pandas as pd
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


def test_a_forecast_with_everything_prints_on_one_page(tmp_path):
    many = pd.DataFrame({"id": "p", "time": 12.0 * np.arange(8), "crcl": 60.0, "wt": 80.0, "dial": 0})
    doses = many.assign(amt=1000.0, rate=1000.0)
    records = many.assign(time=many["time"] + 11.5, conc=np.linspace(9.0, 14.0, 8))
    patient = nb.Dataset.from_frame(records, outcome="conc", time="time", levels="id", doses=doses)
    forecast = nb.forecast(nb.published("vancomycin_goti_2018"), patient, random_seed=1)
    plans = nb.regimens([500, 750, 1000, 1250], every=[8, 12], start=96, until=168, duration=1)
    given = {
        "regimens": nb.recommend(forecast, plans, [nb.Trough(10, 15), nb.DailyAUC(400, 600)]),
        "samples": nb.next_sample(forecast, [100, 104, 107], "cl", replicates=20),
        "warned": ["samples were taken while an infusion was running", "look at the times of doses and samples " * 3],
    }
    assert browser.printed(nb.report(forecast, tmp_path / "f.html", date="2020-01-02", **given), tmp_path) == 1


def test_a_page_that_asks_and_runs_is_seen(tmp_path):
    page = tmp_path / "bad.html"
    page.write_text('<img src="http://example.org/x.png"><script>console.log("runs")</script>', encoding="utf-8")
    shown = browser.opened(page, tmp_path)
    assert shown.asked == ["http://example.org/x.png"] and "runs" in shown.console[0]
