"""A text file as a table: its letters, how it writes decimals, which of its columns are text."""

import bz2
import gzip
import lzma
import re
import zlib
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd

from nlmebayes.data.headers import BLANKS, IGNORED, beheaded
from nlmebayes.data.reading import PLAIN
from nlmebayes.data.rules import beginning, characters
from nlmebayes.data.validate import OTHER_LETTERS, DataError, codes, short, spelled_twice

OPENED = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
MARKED = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16", b"\xef\xbb\xbf": "utf-8-sig"}  # by their first bytes
PRINTED = "NONMEM printed its numbers with five digits"
LARGEST = 99999  # of the labels that five digits tell apart


def read_text(path, *, is_label, is_number, events, reading=PLAIN):
    """The table of a text file, whose cells may be parted by commas, tabs, semicolons or blanks.

    Parameters
    ----------
    is_label, is_number : functions of the name of a column
        Whether its cells are labels, which are read as written: 01 and 1 differ, as 1E1 and 10, 1.1 and 1.10; whether
        they can be nothing but numbers.
    events : bool
        Whether it is a table for NONMEM: lines that begin with ``#`` are kept as rows of nothing but that, and one that
        holds the names of the columns may begin so.
    reading : Reading

    Returns
    -------
    frame : DataFrame
        Columns of whole numbers of which some begin with 0 are codes, and stay text (as in R's readr).
    spelled : dict
        Column of numbers -> a number that it writes in two ways, in words; they cannot be labels of groups.
    head : Head
    decimal : str

    Raises
    ------
    DataError
        What cannot be read, and what to do.
    """
    text = _text(path, reading.encoding)
    head, body = beheaded(text, path.name, events=events, is_label=lambda name: is_label(reading.named(name)))
    names = list(head.names)
    marks = (IGNORED * events, *characters(reading.ignore))
    if any(marks):
        body = re.sub(rf"(?m)^[ \t\"']*{beginning(filter(None, marks))}.*$", IGNORED, body)
    decimal = reading.decimal or _decimal(body, head.separator, path.name)
    options = {"sep": head.separator, "decimal": decimal, "names": names, "header": None, "na_values": ["."],
               "skipinitialspace": True}  # fmt: skip
    labels = {} if head.printed else dict.fromkeys((name for name in names if is_label(reading.named(name))), str)
    frame = _table(body, path.name, dtype=labels, **options)
    if head.printed:
        _told_apart([name for name in names if is_label(reading.named(name))], frame, path.name)
    frame = frame.assign(**{name: frame[name].str.strip() for name in labels})
    freely = [] if head.printed else _written_freely(frame, body, lambda name: is_number(reading.named(name)))
    if not freely:
        return frame, {}, head, decimal
    text = _table(body, path.name, dtype=str, usecols=freely, **options)
    text = text.assign(**{name: text[name].str.strip() for name in freely})
    coded = [name for name in freely if codes(text[name].dropna().unique())]
    twice = spelled_twice(text[[name for name in freely if name not in coded]])
    return frame.assign(**text[coded]), twice, head, decimal


def _text(path, encoding):
    try:
        with OPENED.get(path.suffix, open)(path, "rb") as file:
            found = file.read()
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise DataError(f"{path.name} cannot be read: {error}") from error
    marked = MARKED.get(found[:2]) or MARKED.get(found[:3])
    try:
        return found.decode(marked or encoding).replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeError as error:
        raise DataError(
            f"{path.name} cannot be read as text: {error.reason}; {OTHER_LETTERS}, or save it as UTF-8"
        ) from error
    except LookupError as error:
        raise DataError(f"no encoding {encoding!r}; write one such as 'utf-8', 'cp1252' or 'latin-1'") from error


def _told_apart(labels, frame, source):
    """Five digits tell all labels apart."""
    for name in labels:
        if pd.api.types.is_numeric_dtype(frame[name]) and (frame[name].abs() > LARGEST).any():
            raise DataError(f"{source}, column {name}: {PRINTED}, which tell no labels above {LARGEST} apart; "
                            "give the table that went in")  # fmt: skip


def _decimal(body, separator, source):
    """The sign before the decimals; a comma only where it does not part cells."""
    if separator == ",":
        return "."
    found = {sign: re.search(_cell(separator, rf"[-+]?\d*{re.escape(sign)}\d+"), body) for sign in ".,"}
    shown = {sign: match[0].strip(f'{separator[0]} "\n') for sign, match in found.items() if match}
    if len(shown) == 2:
        raise DataError(
            f"{source}: decimals are written with a point and with a comma ({' and '.join(shown.values())}); use one "
            "of them, or say which, decimal=',' or '.'"
        )
    sign = "," if found[","] else "."
    if found[sign] and separator in (";" if sign == "." else (";", "\t", BLANKS)):
        _no_thousands(body, separator, sign, shown[sign], source)
    return sign


def _no_thousands(body, separator, sign, shown, source):
    """Some number with the sign is none that may have thousands before it: 1,234."""
    sign = re.escape(sign)
    end = rf"[ \"]*(?:{r'\s' if separator == BLANKS else separator}|$)"
    if not re.search(_cell(separator, rf"(?![-+]?[1-9]\d{{0,2}}{sign}\d{{3}}{end})[-+]?\d*{sign}\d+"), body):
        raise DataError(
            f"{source}: {shown} may be thousands or have three decimals, as all numbers with that sign; say which sign "
            "is before decimals, decimal=',' or '.'"
        )


def _cell(separator, pattern):
    """A cell that holds nothing but the pattern."""
    edge = r"\s" if separator == BLANKS else re.escape(separator)
    return rf'(?m)(?:^|{edge})[ "]*{pattern}[ "]*(?:{edge}|$)'


def _table(body, source, **options):
    if not body.strip():
        return pd.DataFrame(columns=options["names"])
    try:
        frame = pd.read_csv(StringIO(body), **options)
    except ValueError as error:  # pandas' parser errors are ValueErrors
        raise DataError(f"{source} cannot be read as CSV: {str(error).strip()}") from error
    return frame


def _written_freely(frame, body, is_number):
    """Columns whose cells, read as equal numbers, may be written differently: 1.1 and 1.10, 1E1 and 10, 1 and 01."""
    numbers = [name for name in frame.columns if not is_number(name) and pd.api.types.is_numeric_dtype(frame[name])]
    whole = [name for name in numbers if pd.api.types.is_integer_dtype(frame[name])]
    return [name for name in numbers if name not in whole] if not (whole and _holds_leading_zeros(body)) else numbers


def _holds_leading_zeros(body):
    """Whether some cell, or word in one, begins with 0 and another digit."""
    letters = np.frombuffer(body.encode(), dtype=np.uint8)
    digit = (letters >= ord("0")) & (letters <= ord("9"))
    edge = np.append(True, np.isin(letters, list(b'\n\t ,;"+-')))
    return bool((edge[:-2] & (letters[:-1] == ord("0")) & digit[1:]).any())


def existing(data, name):
    """The path of a file that is there."""
    try:
        path = Path(data)
        there = path.is_file()
    except (TypeError, ValueError, OSError) as error:
        raise DataError(
            f"{name}: give a DataFrame or the path of a CSV file; got {type(data).__name__} {short(data)}"
        ) from error
    if not there:
        raise DataError(f"{name}: no file {str(path)!r}")
    return path
