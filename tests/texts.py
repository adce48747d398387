"""An event table as text, and others that are one step from it."""

from hypothesis import strategies as st

NAMES = ("ID", "TIME", "AMT", "RATE", "ADDL", "II", "SS", "EVID", "DV", "MDV", "CMT", "CENS", "OCC", "WT", "SEX")
ROWS = (
    ("1", "0", "100", "50", "2", "12", "0", "1", ".", "1", "1", "0", "1", "70", "F"),
    ("1", "1.5", ".", ".", ".", ".", ".", "0", "9.1", "0", "2", "0", "1", "70", "F"),
    ("1", "30", ".", ".", ".", ".", ".", "0", "4.5", "0", "2", "1", "2", "70", "F"),
    ("2", "0", "80", "0", "0", "12", "1", "4", "", "1", "1", "0", "1", "82.5", "M"),
    ("2", "2", "", "", "", "", "", "0", "7", "0", "2", "0", "1", "82.5", "M"),
    ("2", "9", ".", ".", ".", ".", ".", "2", ".", "1", "2", "0", "1", "82.5", "M"),
)
MISSING = ("NA", "nan")  # that a file may write, as pandas reads it, and a frame may not
CELLS = (
    "", ".", *MISSING, "text", "-1", "-2", "0", "1", "2", "3", "1e300", "1e999", "-1e9", "inf", "007", "1.10", "1,5",
    "<0.5", "BLQ", "12:30", "25:61", "2020-01-02 10:00", "9999-01-01 10:00", '"', '"a,b"', "#1", "C", "a b", "'",
    "True", "1e19", "0x10", "1_000", "--", "1/2/2020", "\x00", "99999999999999999999", "100001", "2.5", "ID", "/",
    "1/2", "\N{GREEK SMALL LETTER MU}",
)  # fmt: skip
HEADERS = (
    "", "id", "TIME", "time", "row", "value", "outcome", "lower", "amount", "state", "DVID", "DATE", "DAT1", "LIMIT",
    "C", "CONT", "UNIT", "a/b", "7", " ", "#ID", '"', "Unnamed: 3", "CMT", "EVID", "SEX",
    "\N{GREEK SMALL LETTER MU}",
)  # fmt: skip
SEPARATORS = (",", ";", "\t", " ", "|", ", ", ",,")


@st.composite
def tables(draw):
    """The text of an event table with one thing changed."""
    rows = [list(NAMES), *map(list, ROWS)]
    n, i, j = len(ROWS), draw(st.integers(1, len(ROWS))), draw(st.integers(0, len(NAMES) - 1))
    kind = draw(st.sampled_from(["cell", "cell", "cell", "column", "header", "separator", "line", "text"]))
    separators = [","] * (n + 1)
    if kind == "cell":
        rows[i][j] = draw(st.sampled_from(CELLS))
    elif kind == "header":
        rows[0][j] = draw(st.sampled_from(HEADERS))
    elif kind == "column":
        how = draw(st.sampled_from(["drop", "twice", "all"]))
        cell = draw(st.sampled_from(CELLS))
        for k, row in enumerate(rows):
            row[j : j + 1] = {"drop": [], "twice": [row[j]] * 2, "all": [cell if k else row[j]]}[how]
    elif kind == "separator":
        one = draw(st.sampled_from(SEPARATORS))
        separators = draw(st.sampled_from([[one] * (n + 1), [*separators[:i], one, *separators[i + 1 :]]]))
    elif kind == "line":
        how = draw(st.sampled_from(["drop", "twice", "blank", "first", "header", "short", "long"]))
        row = rows[i]
        rows[i : i + 1] = {
            "drop": [], "twice": [row, row], "blank": [row, []], "first": [], "header": [rows[0], row],
            "short": [row[:j]], "long": [[*row, "1"]],
        }[how]  # fmt: skip
        rows = [row, *rows] if how == "first" else rows
        separators = [","] * len(rows)
    text = "\n".join(s.join(row) for s, row in zip(separators, rows, strict=True))
    if kind == "text":
        place = draw(st.integers(0, len(text)))
        text = (
            text[:place]
            + draw(st.sampled_from([*CELLS, "\r", "\n", "\n\n", "\ufeff"]))
            + text[place + draw(st.integers(0, 3)) :]
        )
    return text


def cells(text):
    """The cells of a text, empty for what a file may write for a missing one; None where lines differ in length, cells
    are quoted, truth values or parted otherwise, or a column has no name."""
    if any(sign in text for sign in ('"', "\r", "True")):
        return None
    rows = [line.split(",") for line in text.removeprefix("\ufeff").split("\n") if line.strip(", ")]
    if any(len(row) != len(rows[0]) for row in rows) or len(rows[0]) == 1 or not all(map(str.strip, rows[0])):
        return None
    return [["" if cell.strip() in MISSING else cell for cell in row] for row in rows]
