"""What a document is made of. Every text in it is plain: the templates escape it, so that a label is never markup."""

from dataclasses import dataclass
from typing import ClassVar

import pandas as pd


@dataclass(frozen=True)
class Words:
    """A paragraph."""

    kind: ClassVar[str] = "words"
    text: str


@dataclass(frozen=True)
class Points:
    """A list; ``alert`` where it says what is wrong."""

    kind: ClassVar[str] = "points"
    items: tuple[str, ...]
    alert: bool = False


@dataclass(frozen=True)
class Code:
    """A text that a machine reads."""

    kind: ClassVar[str] = "code"
    text: str


@dataclass(frozen=True)
class Picture:
    """An image as a data URI, so that nothing is loaded; ``alt`` says it to those who do not see it."""

    kind: ClassVar[str] = "picture"
    uri: str
    alt: str
    caption: str


@dataclass(frozen=True)
class Formulas:
    """Formulas, one per line: pictures whose ``alt`` is LaTeX."""

    kind: ClassVar[str] = "formulas"
    lines: tuple[Picture, ...]


@dataclass(frozen=True)
class Column:
    """The head of a column, whether it holds numbers, and its cells as printed."""

    head: str
    numeric: bool
    cells: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Table:
    """A table as printed, and the ``frame`` behind it, which is written as ``<name>.csv``.

    ``heads``: by row, the heading that stands above it, or "".
    """

    kind: ClassVar[str] = "table"
    name: str
    caption: str
    columns: tuple[Column, ...]
    frame: pd.DataFrame
    heads: tuple[str, ...] = ()

    @property
    def rows(self):
        """Heading and cells of each row, a cell with its column."""
        cells = list(zip(*(column.cells for column in self.columns), strict=True))
        heads = self.heads or ("",) * len(cells)
        return [(head, list(zip(self.columns, row, strict=True))) for head, row in zip(heads, cells, strict=True)]


@dataclass(frozen=True)
class Section:
    """A heading and what stands below it; ``anchor`` is its place in the file."""

    anchor: str
    title: str
    blocks: tuple
