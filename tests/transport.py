"""A writer of SAS transport files, version 5, as TS-140 of the SAS Institute describes them."""

import struct
from fractions import Fraction

STAMP = "01JAN24:00:00:00"
LETTERS = "HEADER RECORD*******{:8}HEADER RECORD!!!!!!!{:30}  "


def ibm(x):
    """A number in eight bytes as IBM's mainframes hold it: sign and power of 16, then 14 hexadecimal places."""
    if x != x:
        return b"\x2e" + bytes(7)
    size, power = Fraction(abs(x)), 0
    while size >= 1:
        size, power = size / 16, power + 1
    while size and size < Fraction(1, 16):
        size, power = size * 16, power - 1
    return bytes([(x < 0) * 128 + (power + 64 if size else 0)]) + int(size * 16**14).to_bytes(7, "big")


def written(columns, formats=None, encoding="utf-8"):
    """The bytes of a file with columns, name -> cells: numbers (NaN is missing) or texts; ``formats`` are those of SAS,
    by name."""
    widths, fields, place = {}, b"", 0
    for i, (name, cells) in enumerate(columns.items(), 1):
        text = any(isinstance(cell, str) for cell in cells)
        widths[name] = max(len(cell.encode(encoding)) for cell in cells) if text else 8
        kind, form = (2 if text else 1), (formats or {}).get(name, "")
        fields += struct.pack(
            ">hhhh8s40s8shhh2s8shhl52s", kind, 0, widths[name], i, name.ljust(8).encode(), b" " * 40,
            form.ljust(8).encode(), 0, 0, 0, b"  ", b" " * 8, 0, 0, place, bytes(52),
        )  # fmt: skip
        place += widths[name]
    rows = zip(*columns.values(), strict=True)
    data = b"".join(
        cell.encode(encoding).ljust(width) if isinstance(cell, str) else ibm(cell)
        for row in rows for cell, width in zip(row, widths.values(), strict=True)
    )  # fmt: skip
    head = [
        LETTERS.format("LIBRARY", "0" * 30),
        "SAS     SAS     SASLIB  9.4     X64     ".ljust(64) + STAMP, STAMP.ljust(80),
        LETTERS.format("MEMBER", "0" * 17 + "1600000000140"), LETTERS.format("DSCRPTR", "0" * 30),
        "SAS     DATA    SASDATA 9.4     X64     ".ljust(64) + STAMP, STAMP.ljust(80),
        LETTERS.format("NAMESTR", f"000000{len(columns):04d}" + "0" * 20),
    ]  # fmt: skip
    padded = [part.ljust(-(-len(part) // 80) * 80) for part in (fields, data)]
    return "".join(head).encode() + padded[0] + LETTERS.format("OBS", "0" * 30).encode() + padded[1]
