"""A file that grows by a line for each study that is done, and knows of which simulation it is."""

import json
from dataclasses import dataclass
from pathlib import Path

from nlmebayes.errors import warn
from nlmebayes.files.errors import FileError
from nlmebayes.files.text import read_json

STAMP = "of"  # key of the first line: of which simulation the lines are


@dataclass(frozen=True)
class Ledger:
    """Lines of JSON, the first with what all were made of; without a ``path`` nothing is kept."""

    path: Path | None
    stamp: dict

    def begun(self):
        """The entries that are there, dicts; a new file gets its stamp, a line that was cut off is left out.

        Raises
        ------
        FileError
            The file is of something else, or damaged.
        """
        if self.path is None:
            return []
        try:
            text = self.path.read_text(encoding="utf-8") if self.path.exists() else ""
        except (OSError, ValueError) as error:
            raise FileError(f"{self.path} cannot be read: {error}") from None
        whole, _, cut = text.rpartition("\n")
        if cut:
            warn(f"{self.path}: its last line was cut off, and is done again")
            self.path.write_text(f"{whole}\n" if whole else "", encoding="utf-8")
        if not whole:
            self.add({STAMP: self.stamp})
            return []
        first, *entries = [read_json(line, f"{self.path}, line {i}") for i, line in enumerate(whole.split("\n"), 1)]
        self._check(first)
        for i, entry in enumerate(entries, 2):
            if not isinstance(entry, dict) or not {"study", "seconds"} <= entry.keys():
                raise FileError(f"{self.path}, line {i}, is damaged: it is of no study")
        return entries

    def add(self, entry):
        """Append an entry."""
        if self.path is None:
            return
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(entry) + "\n")
        except OSError as error:
            raise FileError(f"{self.path} is not written: {error.strerror or error}") from None

    def _check(self, first):
        theirs = first.get(STAMP) if isinstance(first, dict) else None
        if not isinstance(theirs, dict):
            raise FileError(f"{self.path} is no file of simulated studies; name another")
        other = [name for name in self.stamp if theirs.get(name) != self.stamp[name]]
        if other:
            raise FileError(f"{self.path} is of studies with another {', '.join(other)}; name another file")
