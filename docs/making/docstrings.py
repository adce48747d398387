"""Docstrings as Sphinx reads them: `Source:` begins a part of its own, |x| is an absolute value, examples stay."""

import inspect
import re

from sphinx.addnodes import pending_xref

BAR = re.compile(r"(?<![`\w|])[|](?=\w)|(?<=[\w)])[|](?=[\s)^/.,]|$)")  # of |x|, which is no substitution
SOURCE = re.compile(r"(Sources?): (.*)")


def parted(app, what, name, value, options, lines):
    example = False  # from >>> to the next empty line
    for at, line in enumerate(lines):
        example = bool(line.strip()) and (example or line.lstrip().startswith(">>>"))
        if not example and "`" not in line and "math::" not in line:
            lines[at] = BAR.sub(r"\|", line)
    for at, line in reversed(list(enumerate(lines))):
        if found := SOURCE.fullmatch(line):
            lines[at : at + 1] = ["", found[1], "-" * len(found[1]), found[2]]


def undocumented(app, what, name, value, skip, options):
    """Whether a member is left out: one that has no words of its own, but those of its type."""
    given = inspect.getdoc(value)
    return True if not given or given == inspect.getdoc(type(value)) or given == inspect.getdoc(str) else None


def plain(app, document):
    """Words of a type such as `optional` or `path` are no methods of these names."""
    for node in document.findall(pending_xref):
        if node.get("reftype") == "class" and node["reftarget"].islower():
            node.attributes.pop("refspecific", None)  # which searches the end of names


def setup(app):
    app.connect("doctree-read", plain)
    app.connect("autodoc-skip-member", undocumented)
    app.connect("autodoc-process-docstring", parted, priority=100)  # before napoleon
    return {"parallel_read_safe": True}
