"""What stopped one of many fits or forecasts, in words, where the others go on."""

from nlmebayes.data.validate import DataError
from nlmebayes.errors import ModelError
from nlmebayes.formula import FormulaError

REFUSED = (ModelError, DataError, FormulaError)


def why(error):
    """What the library refuses in its own words; anything else with its kind."""
    return str(error) if isinstance(error, REFUSED) else f"{type(error).__name__}: {error}"
