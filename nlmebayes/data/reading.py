"""How a table is read, where it does not say so itself: options that both readers of a `Dataset` take."""

from dataclasses import dataclass, replace
from typing import Literal

import pandas as pd

from nlmebayes.arguments import Name, Names, Number


@dataclass(frozen=True)
class Reading:
    """What a user says of a table.

    Attributes
    ----------
    columns : dict
        Name in the table -> name that it is to have: ``{"conc": "DV"}``.
    ignore, accept : str or sequence of str
        NONMEM's ``IGNORE=`` and ``ACCEPT=``: a character with which the records begin that are left out (``"@"``: any
        letter), or conditions, ``"(BLQ.EQ.1, WT.GT.150)"``, of which one suffices. See `rules`.
    missing : float or sequence of float, optional
        Numbers that stand for a missing value, such as -99. ``()`` says that there are none.
    encoding : str
        Of a text file, or of the texts in one of SAS.
    decimal : {".", ","}, optional
        Of a text file; by default what its cells show.
    dates : {"dmy", "mdy"}, optional
        Whether the day or the month is first in dates that end in the year, 31.12.2026 or 12/31/2026; by default what
        they show, where some day is no month. See `clock`.
    """

    columns: dict[Name, Name] | None = None
    ignore: Names = ()
    accept: Names = ()
    missing: Number | tuple[Number, ...] | None = None
    encoding: Name = "utf-8"
    decimal: Literal[".", ","] | None = None
    dates: Literal["dmy", "mdy"] | None = None

    def named(self, name):
        """The name that a column of the table is to have."""
        return (self.columns or {}).get(name, name)

    def of_doses(self, doses):
        """The same of the doses beside a tidy table, whose rules are about its own records."""
        held = doses.columns if isinstance(doses, pd.DataFrame) else self.columns or {}
        columns = {old: new for old, new in (self.columns or {}).items() if old in held}
        return replace(self, columns=columns, ignore=(), accept=(), missing=None)


PLAIN = Reading()
