"""Tables that pandas reads from files of other programs: Excel, OpenDocument, Parquet, SAS transport."""

import pandas as pd

from nlmebayes.data.validate import OTHER_LETTERS, DataError


def read_workbook(path, encoding):
    """The table of a file by its suffix, whose cells are numbers, texts and dates already; None of a text file.

    Raises
    ------
    DataError
        It needs a package that is not there, holds several sheets, has other letters than ``encoding``, or cannot
        be read.
    """
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        return None
    try:
        return reader(path, encoding)
    except ImportError as error:
        raise DataError(
            f"{path.name}: reading {path.suffix} needs a package that is not there: pip install 'nlmebayes[excel]'; or "
            "save the sheet as CSV"
        ) from error
    except DataError:
        raise
    except UnicodeError as error:
        raise DataError(f"{path.name} cannot be read as text: {error.reason}; {OTHER_LETTERS}") from error
    except Exception as error:  # whatever the packages raise of a damaged file
        raise DataError(f"{path.name} cannot be read: {' '.join(str(error).split())}") from error


def _sheet(path, _):
    """The one sheet that is not empty."""
    sheets = pd.read_excel(path, sheet_name=None, na_values=["."], dtype=object)  # a label 01 that is text stays text
    held = {name: frame.infer_objects() for name, frame in sheets.items() if not frame.empty}
    if len(held) != 1:
        names = ", ".join(map(repr, held)) or "none"
        raise DataError(
            f"{path.name}: sheets that hold a table: {names}; give one: pd.read_excel({path.name!r}, sheet_name=...)"
        )
    return next(iter(held.values()))


def _transport(path, encoding):
    """A file of SAS transport (XPORT, version 5), whose numbers are dates and times where their format says so."""
    whole = path.read_bytes()
    if whole.count(MEMBER) > 1:
        raise DataError(f"{path.name} holds several tables; write one of them to a file of its own")
    with pd.read_sas(path, format="xport", encoding=encoding, iterator=True) as reader:
        formats = {field["name"].decode(): field["nform"].decode().strip() for field in reader.fields}
        reader.nobs = _records(whole[reader.record_start :], reader.record_length)
        frame = reader.read().replace({ZERO: 0.0, "": None})
    return frame.assign(**{name: FORMATS[form](frame[name]) for name, form in formats.items() if form in FORMATS})


def _records(body, length):
    """How many records of some bytes there are: the file is filled up to cards of 80 with blanks, of which pandas takes
    some for those in the last record."""
    many = len(body) // length
    while many and not body[(many - 1) * length : many * length].strip(b" ") and len(body) - (many - 1) * length < CARD:
        many -= 1
    return many


def _calendar(unit):
    """A reader of days or seconds since SAS began to count."""
    return lambda numbers: pd.to_datetime(numbers, unit=unit, origin=SAS)


def _of_the_day(seconds):
    """Seconds since midnight, or until it, as hh:mm:ss."""
    return pd.Series([None if s != s else _clock(round(s, 6)) for s in seconds], index=seconds.index, dtype=object)


def _clock(seconds):
    minutes, rest = divmod(abs(seconds), 60)
    return f"{'-' * (seconds < 0)}{minutes // 60:02.0f}:{minutes % 60:02.0f}:{rest:09.6f}"


CARD = 80  # bytes
MEMBER = b"HEADER RECORD*******MEMBER  HEADER RECORD"
ZERO = 2.0**-260  # as which pandas reads the 0 of such a file, the least number that it may hold
SAS = "1960-01-01"
SEPARATORS = ("", *"BCDNPS")  # last letter of the formats of days: which sign parts them
DAYS = ("DATE", "WORDDATE", "WORDDATX", "WEEKDATE", "WEEKDATX", "NLDATE", "EURDFDD", "EURDFDE", "E8601DA", "B8601DA")
DAYS += ("IS8601DA", *(f"{order}{sign}" for order in ("DDMMYY", "MMDDYY", "YYMMDD") for sign in SEPARATORS))
MOMENTS = ("DATETIME", "DATEAMPM", "MDYAMPM", "NLDATM", "NLDATMS", "EURDFDT", "IS8601DT")
MOMENTS += tuple(f"{form}8601D{zone}" for form in "EB" for zone in "TZN")
CLOCKS = ("TIME", "TIMEAMPM", "HHMM", "HOUR", "MMSS", "TOD", "NLTIME", "NLTIMAP", "IS8601TM")
CLOCKS += tuple(f"{form}8601T{zone}" for form in "EB" for zone in "MZ")
FORMATS = dict.fromkeys(DAYS, _calendar("D")) | dict.fromkeys(MOMENTS, _calendar("s"))
FORMATS |= dict.fromkeys(CLOCKS, _of_the_day)  # by their names in SAS
READERS = dict.fromkeys((".xlsx", ".xls", ".xlsm", ".ods"), _sheet) | {
    ".parquet": lambda path, _: pd.read_parquet(path), ".xpt": _transport,
}  # fmt: skip
