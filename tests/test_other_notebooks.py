"""The other half of the notebooks run, in a file of its own: the tests of a file share a worker."""

import pytest
from test_notebooks import NOTEBOOKS, runs_to_a_forecast


@pytest.mark.filterwarnings("ignore:.*rare in this population")
@pytest.mark.parametrize("path", NOTEBOOKS[1::2], ids=lambda path: path.stem)
def test_runs_on_short_chains_to_a_forecast(path):
    runs_to_a_forecast(path)
