"""The zoo as the installation knows it: packages that register under the entry point ``nlmebayes.models``."""

from dataclasses import fields
from typing import Literal, get_args, get_origin

from nlmebayes.evaluation import nouns


def classes():
    """Zoo classes by name, over all registered packages."""
    return nouns.structures()


def variants(kind):
    """(option, instance): the default, then every other value of each switch or choice, one at a time."""
    yield "", kind()
    for option in fields(kind):
        listed = get_args(option.type) if get_origin(option.type) is Literal else ()
        values = (False, True) if option.type is bool else listed
        for value in values:
            if value != option.default:
                yield f"{option.name}={value!r}", kind(**{option.name: value})


def about(kind):
    """First line of the docstring."""
    return next(line.strip() for line in (kind.__doc__ or "").splitlines() if line.strip())


def rows(kind):
    """(parameter, unit, typical value, option that brings it) for each parameter of a zoo class."""
    seen = set()
    for option, law in variants(kind):
        for p in law.parameters:
            if p.name not in seen:
                seen.add(p.name)
                yield p.name, p.unit, "from the data" if p.typical is None else f"{p.typical:g}", option
