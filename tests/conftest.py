import matplotlib
import pytest

matplotlib.use("Agg")


def pytest_addoption(parser):
    parser.addoption("--external-data", default=None, help="folder with the datasets that may not be shipped")


@pytest.fixture(scope="session")
def external(request):
    folder = request.config.getoption("--external-data")
    if folder is None:
        pytest.fail("run these tests by name: pytest -m external --external-data=DIR")
    return folder
