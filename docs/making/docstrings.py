"""Docstrings as Sphinx reads them: `Source:` begins a part of its own, and |x| is an absolute value."""

import re

BAR = re.compile(r"(?<![`\\w|])[|](?=\w)|(?<=[\w)])[|](?=[\s)^/.,]|$)")  # of |x|, which is no substitution
SOURCE = re.compile(r"(Sources?): (.*)")


def parted(app, what, name, value, options, lines):
    lines[:] = [line if "`" in line or "math::" in line else BAR.sub(r"\|", line) for line in lines]
    for at, line in reversed(list(enumerate(lines))):
        if found := SOURCE.fullmatch(line):
            lines[at : at + 1] = ["", found[1], "-" * len(found[1]), found[2]]


def setup(app):
    app.connect("autodoc-process-docstring", parted, priority=100)  # before napoleon
    return {"parallel_read_safe": True}
