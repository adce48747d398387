import matplotlib
import pytest

matplotlib.use("Agg")


def pytest_addoption(parser):
    parser.addoption("--external-data", default=None, help="folder with the datasets that may not be shipped")


def pytest_collection_modifyitems(items):
    """The tests of a file stay on one worker, which has compiled what they share; notebooks share nothing."""
    for item in items:
        if item.path.name != "test_notebooks.py":
            item.add_marker(pytest.mark.xdist_group(item.path.name))


@pytest.fixture(scope="session")
def external(request):
    folder = request.config.getoption("--external-data")
    if folder is None:
        pytest.fail("run these tests by name: pytest -m external --external-data=DIR")
    return folder
