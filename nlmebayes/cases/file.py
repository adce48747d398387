"""Case files: TOML that a person can read and write, whole or not at all."""

import re
import tomllib
from pathlib import Path

from nlmebayes.arguments import File, Switch, Text, checked
from nlmebayes.cases.case import Case
from nlmebayes.data.validate import DataError
from nlmebayes.files import toml, whole
from nlmebayes.files.errors import FileError
from nlmebayes.files.text import depth

LARGEST = 200_000  # bytes of a file
LONG_KEY = re.compile(
    r"(?:[^.=,\"'#{\n]*\.){50}"
)  # parts of a key: the time that tomllib takes grows with their square
DEEPEST = 8  # tables inside one another; a stated model has five


@checked
def read_case(path: File) -> Case:
    """The `Case` of a TOML file; nothing in it is run, and no other file is opened.

    Parameters
    ----------
    path : path
        A TOML file.

    Returns
    -------
    Case

    Raises
    ------
    FileError
        There is no such file, or it is too large.
    DataError
        It is no case; names what.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> path = nb.write_case(nb.Case(["vancomycin_goti_2018"], label="ann"), "patient.toml")
    >>> nb.read_case(path).label
    'ann'
    """
    try:
        with path.open("rb") as opened:
            content = opened.read(LARGEST + 1)
    except OSError as error:
        raise FileError(f"{path} cannot be read: {error.strerror or error}") from None
    return of_bytes(content, path.name)


def of_bytes(content, name="case"):
    """The `Case` of the bytes of a file, such as one that was uploaded."""
    if len(content) > LARGEST:
        raise FileError(f"{name} is larger than {LARGEST:,} bytes, the most that is read of a case")
    try:
        text = content.decode("utf-8-sig")
        if any(line.count(".") >= 50 and LONG_KEY.search(line) for line in text.splitlines()):
            raise DataError("a key of 50 parts or more; a case has none")
        said = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{name} cannot be read as TOML: {' '.join(str(error).split())}") from None
    if depth(said) > DEEPEST:
        raise DataError(f"{name}: tables are more than {DEEPEST} deep; a case is not")
    if "models" not in said:
        raise DataError(f"{name} is no case: it names no models, such as models = ['vancomycin_goti_2018']")
    return Case.of(said)


@checked
def write_case(case: Case, path: File, *, force: Switch = False) -> Path:
    """Write a `Case` as TOML, whole or not at all; `read_case` gives it back.

    Parameters
    ----------
    case : Case
    path : path
    force : bool
        Whether a file of that name is replaced.

    Returns
    -------
    Path

    Raises
    ------
    FileError
        A file stands there, and ``force`` is false, or it cannot be written.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> path = nb.write_case(nb.Case(["vancomycin_goti_2018"], label="ann"), "patient.toml")
    >>> print(path.read_text().splitlines()[0])
    models = ["vancomycin_goti_2018"]
    """
    with whole.file(path, force=force) as partial:
        partial.write_text(written(case), encoding="utf-8")
    return path


@checked
def written(case: Case) -> Text:
    """The TOML text of a case."""
    return toml.document(case.tables)
