"""JSON that stands in a file: read with bounds, so that a bad one is an error in one line."""

import json

import numpy as np

from nlmebayes.files.errors import FileError

LONGEST = 50_000_000  # characters; the labels of a million subjects take 20 million
DEEPEST = 40  # lists and tables inside one another; a statement of a driven system has 10


def read_json(text, what):
    """The value of a JSON text.

    Parameters
    ----------
    text : str
    what : str
        What the text is, for the message: ``"the model statement of the tree"``.

    Raises
    ------
    FileError
        It is no text, no JSON, longer than `LONGEST` or deeper than `DEEPEST`.
    """
    if not isinstance(text, str):
        raise FileError(f"{what} is damaged: it is no text")
    if len(text) > LONGEST:
        raise FileError(f"{what} has {len(text)} characters; the most that is read is {LONGEST}")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FileError(f"{what} is damaged: it is no JSON ({error})") from error
    if depth(value) > DEEPEST:
        raise FileError(f"{what} is damaged: it is more than {DEEPEST} tables deep")
    return value


def depth(value):
    """How many lists and tables stand inside one another."""
    depth, layer = 0, [value]
    while layer := [x for x in layer if isinstance(x, dict | list)]:
        depth += 1
        layer = [inner for x in layer for inner in (x.values() if isinstance(x, dict) else x)]
    return depth


def finite(value):
    """Plain values that JSON takes: it has no infinity and no missing number, which become null."""
    if isinstance(value, dict):
        return {key: finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [finite(each) for each in value]
    if isinstance(value, float | np.floating):
        return float(value) if np.isfinite(value) else None
    return value.item() if isinstance(value, np.generic) else value
