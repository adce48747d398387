"""How a text file holds a table: what parts its cells, how it writes decimals, where the names of its columns stand."""

import bz2
import csv
import gzip
import lzma
import re
import zlib
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd

from nlmebayes.data.validate import DataError, codes, short, spelled_twice

BLANKS = r"\s+"  # cells that are parted by blanks, however many
OPENED = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
SEPARATORS = (",", "\t", ";")
IGNORED = "#"  # with which a line begins that NONMEM leaves out by default


def read_text(path, *, is_label, is_number, events):
    """The table of a text file, whose cells may be parted by commas, tabs, semicolons or blanks.

    Parameters
    ----------
    is_label, is_number : functions of the name of a column
        Whether its cells are labels, which are read as written: 01 and 1 differ, as 1E1 and 10, 1.1 and 1.10; whether
        they can be nothing but numbers.
    events : bool
        Whether it is a table for NONMEM: lines that begin with ``#`` are kept as rows of nothing but that, and one that
        holds the names of the columns may begin so.

    Returns
    -------
    frame : DataFrame
        Columns of whole numbers of which some begin with 0 are codes, and stay text (as in R's readr).
    spelled : dict
        Column of numbers -> a number that it writes in two ways, in words; they cannot be labels of groups.

    Raises
    ------
    DataError
        What cannot be read, and what to do.
    """
    header, body = _parted(_text(path), path.name, events)
    separator = _separator(header)
    names = _names(header, separator, path.name)
    decimal = _decimal(body, separator, path.name)
    if events and IGNORED in body:
        body = re.sub(rf"(?m)^[ \t]*{IGNORED}.*$", IGNORED, body)
    options = {"sep": separator, "decimal": decimal, "names": names, "header": None, "na_values": ["."],
               "skipinitialspace": True}  # fmt: skip
    labels = dict.fromkeys(filter(is_label, names), str)
    frame = _table(body, path.name, dtype=labels, **options)
    frame = frame.assign(**{name: frame[name].str.strip() for name in labels})
    freely = _written_freely(frame, body, is_number)
    if not freely:
        return frame, {}
    text = _table(body, path.name, dtype=str, usecols=freely, **options)
    text = text.assign(**{name: text[name].str.strip() for name in freely})
    coded = [name for name in freely if codes(text[name].dropna().unique())]
    return frame.assign(**text[coded]), spelled_twice(text[[name for name in freely if name not in coded]])


def _text(path):
    try:
        with OPENED.get(path.suffix, open)(path, "rb") as file:
            return file.read().decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        raise DataError(f"{path.name} cannot be read as text: {error.reason}; save it as UTF-8") from error
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise DataError(f"{path.name} cannot be read: {error}") from error


def _parted(text, name, events):
    """The line with the names of the columns, and what follows it."""
    if "TABLE NO." in text and re.search(r"(?m)^[ \t]*TABLE NO\.", text):
        raise DataError(
            f"{name} is an output of NONMEM (TABLE NO.), whose numbers are rounded; give the table that went in, or "
            "take out those lines and all but one line of names"
        )
    rest = text
    while rest:
        line, _, rest = rest.partition("\n")
        comment = events and line.lstrip().startswith(IGNORED)
        held = line.lstrip(" \t#") if comment else line
        if line.strip() and not (comment and "ID" not in _cells(held.upper(), _separator(held))):
            return held, rest
    raise DataError(f"{name} cannot be read as CSV: it holds no line with the names of columns")


def _separator(header):
    counts = {separator: header.count(separator) for separator in SEPARATORS}
    most = max(counts, key=counts.get)
    return most if counts[most] else BLANKS


def _cells(line, separator):
    if separator == BLANKS:
        return [cell.strip("\"'") for cell in line.split()]
    return [cell.strip() for cell in next(csv.reader([line], delimiter=separator, skipinitialspace=True))]


def _names(header, separator, source):
    names = [name or f"Unnamed: {i}" for i, name in enumerate(_cells(header, separator))]
    if np.isfinite(pd.to_numeric(pd.Series(names, dtype=object).replace(".", "0"), errors="coerce")).all():
        raise DataError(
            f"{source}: its first line holds numbers, {header.strip()[:40]!r}; write the names of the columns above "
            "it, those of $INPUT"
        )
    once(names, source)
    return names


def once(names, source):
    """No column stands twice."""
    twice = [name for i, name in enumerate(names) if name in names[:i]]
    if twice:
        raise DataError(f"{source}: column {twice[0]} occurs twice; leave one out, or rename it")


def _decimal(body, separator, source):
    """The sign before the decimals; a comma only where it does not part cells."""
    if separator == ",":
        return "."
    found = {sign: re.search(_cell(separator, rf"[-+]?\d*{re.escape(sign)}\d+"), body) for sign in ".,"}
    if all(found.values()):
        shown = " and ".join(match[0].strip(f'{separator[0]} "\n') for match in found.values())
        raise DataError(f"{source}: decimals are written with a point and with a comma ({shown}); use one of them")
    return "," if found[","] else "."


def _cell(separator, pattern):
    """A cell that holds nothing but the pattern."""
    edge = r"\s" if separator == BLANKS else separator
    return rf'(?m)(?:^|{edge})[ "]*{pattern}[ "]*(?:{edge}|$)'


def _table(body, source, **options):
    if not body.strip():
        return pd.DataFrame(columns=options["names"])
    try:
        frame = pd.read_csv(StringIO(body), **options)
    except ValueError as error:  # pandas' parser errors are ValueErrors
        raise DataError(f"{source} cannot be read as CSV: {str(error).strip()}") from error
    if not isinstance(frame.index, pd.RangeIndex):  # pandas takes what is too much for labels of the rows
        raise DataError(f"{source}, row 1: has more cells than there are names of columns; correct the first line")
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
