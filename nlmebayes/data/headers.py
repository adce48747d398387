"""Where the table in a text begins: titles of NONMEM's tables, comments, the names of the columns, their units."""

import csv
import re
from dataclasses import dataclass

import numpy as np
import pandas as pd

from nlmebayes.data.validate import DataError, fail

BLANKS = r"\s+"  # cells that are parted by blanks, however many
SEPARATORS = (",", "\t", ";", "|")
IGNORED = "#"  # with which a line begins that NONMEM leaves out by default
TITLE = re.compile(r"(?m)^[ \t]*TABLE NO\.[ \t]*(\d+).*\n?")
PAGE = 900  # records after which NONMEM repeats the title of a table and its names
MARKS = ("#", "C", "@")  # with which a line of names begins, so that NONMEM leaves it out
SEEN = 50  # lines by which the shape of a table is told
NAMELESS = "no name {}"  # of a column


@dataclass(frozen=True)
class Head:
    """The names of the columns, what parts the cells, the units beside the names, and whether NONMEM printed it."""

    names: tuple[str, ...]
    separator: str
    units: dict
    printed: bool = False


def beheaded(text, source, *, events, is_label):
    """`Head` of a text, and what follows it."""
    text, printed = _untitled(text, source)
    said, text = _said(text)
    header, body = _parted(text, source, events)
    separator = said or _separator(header)
    names = _named(_cells(header, separator), separator, body, source)
    once([name for name in names if name], source)
    names = tuple(name or NAMELESS.format(i) for i, name in enumerate(names, 1))
    units, body = _units(names, separator, body, is_label)
    return Head(names, separator, units, printed), body


def _untitled(text, source):
    """A table of NONMEM without its titles, and whether it is one; others as they are."""
    titles = list(TITLE.finditer(text))
    if not titles or text[: titles[0].start()].strip():
        return text, False
    ends = [*(title.start() for title in titles[1:]), len(text)]
    blocks = [text[title.end() : end].split("\n") for title, end in zip(titles, ends, strict=True)]
    heads = {(title[1], block[0].strip()) for title, block in zip(titles, blocks, strict=True)}
    full = all(sum(map(bool, map(str.strip, block[1:]))) == PAGE for block in blocks[:-1])
    if len(heads) > 1 or not full:
        raise DataError(
            f"{source} holds {len(blocks)} tables of NONMEM (TABLE NO.), such as replicates of a simulation; "
            "give one of them"
        )
    return "\n".join([blocks[0][0], *(line for block in blocks for line in block[1:])]), True


def _said(text):
    """The separator that Excel's ``sep=;`` says in the first line, if there is one, and the rest."""
    match = re.match(r"sep=([,;\t|])[ \t]*\n", text)
    return (match[1], text[match.end() :]) if match else ("", text)


def _parted(text, name, events):
    """The line with the names of the columns, and what follows it."""
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
        return [cell.strip() for cell in next(csv.reader([line.strip()], delimiter=" ", skipinitialspace=True), [])]
    return [cell.strip() for cell in next(csv.reader([line], delimiter=separator, skipinitialspace=True))]


def _named(names, separator, body, source):
    """A name for each cell of the lines: of the rows too where R wrote them, of what ends in a separator."""
    if np.isfinite(pd.to_numeric(pd.Series(names, dtype=object).replace(".", "0"), errors="coerce")).all():
        raise DataError(
            f"{source}: its first line holds numbers, "
            f"{(separator if len(separator) == 1 else ' ').join(names)[:40]!r}; "
            "write the names of the columns above it, those of $INPUT"
        )
    lines = [line for line in body.split("\n", SEEN)[:SEEN] if line.strip() and line.strip() != IGNORED]
    cells = [_cells(line.replace("\t", " ") if separator == BLANKS else line, separator) for line in lines]
    cells = [row for row in cells if not row[0].startswith(IGNORED)]
    counts = {len(row) for row in cells}
    if counts == {len(names) + 1} and not any(row[-1] for row in cells):
        return [*names, ""]
    quoted = separator != "," or all(line.startswith('"') for line in lines)  # else a decimal comma may part a cell
    if counts == {len(names) + 1} and len(cells) > 1 and quoted and _row_names([row[0] for row in cells]):
        return ["", *names]
    if counts and separator == BLANKS and names[0] in MARKS and counts == {len(names) - 1}:
        return names[1:]
    if cells and len(cells[0]) > len(names):  # pandas takes what is too much for labels of the rows
        raise DataError(f"{source}, row 1: has more cells than there are names of columns; correct the first line")
    if separator == BLANKS:
        _all_there(body, names, source)
    return names


def _all_there(body, names, source):
    """No line of cells that blanks part is short: its cells would stand below the wrong names."""
    lines = [line for line in body.split("\n") if line.strip()]
    for row, line in enumerate(lines, 1):
        if len(line.split()) < len(names) and not line.lstrip().startswith(IGNORED):
            problem = (
                "the line has fewer cells than the first one has names; write . for an empty one, and nothing above "
            )
            fail(source, row, names[-1], f"{problem}the names")


def _row_names(cells):
    """Whether cells are names of rows as R writes them: all different, and numbers in order where they are numbers."""
    numbers = pd.to_numeric(pd.Series(cells, dtype=object), errors="coerce")
    return len(set(cells)) == len(cells) and (numbers.isna().all() or (numbers.diff().dropna() == 1).all())


def _units(names, separator, body, is_label):
    """Units of the columns that the line below their names holds, and the lines below it.

    It is one if it holds no number, and its labels are empty or all that it holds is in brackets.
    """
    line, _, rest = body.partition("\n")
    cells = _cells(line, separator) if line.strip() else []
    held = dict(zip(names, cells, strict=False))
    texts = {name: cell for name, cell in held.items() if cell}
    number = pd.to_numeric(pd.Series([*texts.values()], dtype=object), errors="coerce").notna()
    labels = [cell for name, cell in held.items() if is_label(name)]
    bracketed = all(re.fullmatch(r"\(.*\)|\[.*\]", cell) for cell in texts.values())
    unlabelled = bool(labels) and not any(labels) and "." not in texts.values()
    if len(cells) != len(names) or not texts or number.any() or not rest.strip() or not (bracketed or unlabelled):
        return {}, body
    return {name: cell.strip("()[] ") for name, cell in texts.items()}, rest


def once(names, source):
    """No column stands twice."""
    twice = [name for i, name in enumerate(names) if name in names[:i]]
    if twice:
        raise DataError(f"{source}: column {twice[0]} occurs twice; leave one out, or rename it")
