import gc
from pathlib import Path

import browser
import matplotlib
import pytest
from hypothesis import settings
from untouched import untouched  # noqa: F401 (a fixture)

matplotlib.use("Agg")
gc.set_threshold(50_000)  # most of what tests make are graphs, which live on

# The suite draws the same examples in every run; new ones are looked for with --hypothesis-profile=default.
settings.register_profile("suite", derandomize=True)
settings.load_profile("suite")


def pytest_addoption(parser):
    parser.addoption("--external-data", default=None, help="folder with the datasets that may not be shipped")


def pytest_terminal_summary(terminalreporter):
    if browser.found() is None:
        terminalreporter.section("reports in a browser: NOT TESTED", sep="!")
        terminalreporter.write_line(
            "No browser was found, so tests/test_browser.py and tests/test_bedside_browser.py were not run: that "
            "reports load nothing and print, the page at the bedside is used by keyboard, by readers, on phones.\n"
            "Debian: apt-get install chromium"
        )


@pytest.fixture
def uncompiled_loops():
    """For graphs with correlations: the inside of their loops takes a C compiler half a second an operation."""
    # here, since the process that hands out tests needs no PyTensor
    from nlmebayes.runtime.uncompiled import uncompiled  # noqa: PLC0415

    with uncompiled():
        yield


@pytest.fixture(scope="session")
def external(request):
    folder = request.config.getoption("--external-data")
    if folder is None:
        pytest.fail("run these tests by name: pytest -m external --external-data=DIR")
    return folder


@pytest.fixture(scope="session")
def reference(external):
    """The folder of verified numbers beside the data that may not be shipped."""
    return Path(external).resolve().parents[1] / "reference"
