"""Tables that pandas reads from files of other programs: Excel, OpenDocument, Parquet."""

import pandas as pd

from nlmebayes.data.validate import DataError


def read_workbook(path):
    """The table of a file by its suffix, whose cells are numbers, texts and dates already; None of a text file.

    Raises
    ------
    DataError
        It needs a package that is not there, holds several sheets, or cannot be read.
    """
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        return None
    try:
        return reader(path)
    except ImportError as error:
        raise DataError(
            f"{path.name}: reading {path.suffix} needs a package that is not there: pip install 'nlmebayes[excel]'; or "
            "save the sheet as CSV"
        ) from error
    except DataError:
        raise
    except Exception as error:  # whatever the packages raise of a damaged file
        raise DataError(f"{path.name} cannot be read: {' '.join(str(error).split())}") from error


def _sheet(path):
    """The one sheet that is not empty."""
    sheets = pd.read_excel(path, sheet_name=None, na_values=["."], dtype=object)  # a label 01 that is text stays text
    held = {name: frame.infer_objects() for name, frame in sheets.items() if not frame.empty}
    if len(held) != 1:
        names = ", ".join(map(repr, held)) or "none"
        raise DataError(
            f"{path.name}: sheets that hold a table: {names}; give one: pd.read_excel({path.name!r}, sheet_name=...)"
        )
    return next(iter(held.values()))


READERS = {".xlsx": _sheet, ".xls": _sheet, ".xlsm": _sheet, ".ods": _sheet, ".parquet": pd.read_parquet}
