"""The tables of a report as a Word document, with the headings, words and findings around them."""

import re
from importlib import import_module

from nlmebayes.files.errors import FileError

SMALL = 8  # points of the cells of a table
UNPRINTED = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")  # what XML cannot hold


def library():
    """The package ``docx``, an extra.

    Raises
    ------
    FileError
        It is not there.
    """
    try:
        return import_module("docx")
    except ImportError as error:
        raise FileError(
            "a Word file needs a package that is not there: pip install 'nlmebayes[word]'; or write .html, or a folder "
            "with the tables as CSV"
        ) from error


def written(path, title, date, sections):
    """Write the tables of `Section`\\ s to a file, without pictures and formulas."""
    docx = library()
    document = docx.Document()
    _lying(document.sections[0], docx.enum.section.WD_ORIENT.LANDSCAPE)
    document.core_properties.title, document.core_properties.author = _plain(title), ""
    document.add_heading(_plain(title), 0)
    if date:
        document.add_paragraph(_plain(date))
    for section in sections:
        blocks = [(ADDED[block.kind], block) for block in section.blocks if block.kind in ADDED]
        if blocks:
            document.add_heading(_plain(section.title), 1)
        for add, block in blocks:
            add(document, block, docx)
    document.save(path)


def _lying(page, landscape):
    page.orientation, page.page_width, page.page_height = landscape, page.page_height, page.page_width


def _plain(text):
    """A text without the characters that no XML holds."""
    return UNPRINTED.sub("\N{REPLACEMENT CHARACTER}", text)


def _words(document, block, _):
    document.add_paragraph(_plain(block.text))


def _points(document, block, _):
    for item in block.items:
        document.add_paragraph(_plain(item), style="List Bullet")


def _table(document, block, docx):
    document.add_paragraph(_plain(block.caption), style="Caption")
    rows = [[(column, column.head) for column in block.columns]]
    bold = [True]
    for head, cells in block.rows:
        rows += [[(block.columns[0], head)]] * bool(head) + [cells]
        bold += [True] * bool(head) + [False]
    made = document.add_table(len(rows), len(block.columns), style="Table Grid")
    for row, cells, strong in zip(made.rows, rows, bold, strict=True):
        for place, (column, text) in zip(row.cells, cells, strict=False):
            run = place.paragraphs[0].add_run(_plain(text))
            run.bold, run.font.size = strong, docx.shared.Pt(SMALL)
            if column.numeric:
                place.paragraphs[0].alignment = docx.enum.text.WD_ALIGN_PARAGRAPH.RIGHT
        if len(cells) < len(block.columns):
            row.cells[0].merge(row.cells[-1])
    document.add_paragraph()


ADDED = {"words": _words, "points": _points, "table": _table}
