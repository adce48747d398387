"""The zoo as the installation knows it: packages that register under the entry point ``nlmebayes.models``."""

import inspect
import re
from dataclasses import fields
from typing import Literal, get_args, get_origin

from nlmebayes.evaluation import nouns
from nlmebayes.words import chosen


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


def lines():
    """Every class with its options and parameters."""
    for name, kind in classes().items():
        options = ", ".join(option for option, _ in variants(kind) if option)
        yield f"\n{name}: {about(kind)}"
        yield from [f"    options: {options}"] if options else []
        yield from table(kind)


def table(kind):
    """The parameters of a class, one line each."""
    for parameter, unit, typical, option in rows(kind):
        yield f"    {parameter:<6} {typical:>13} {unit:<9}" + (f" with {option}" if option else "")


def facts(kind):
    """(what, in words) of a zoo class: its options, what it reads and predicts, the formulas that it declares."""
    law, options = kind(), [option for option, _ in variants(kind) if option]
    held = {
        "Options": options, "Inputs": law.inputs, "Outcomes": () if callable(law.outcomes) else law.outcomes,
        "States": law.states, "Formulas": law.formulas,
    }  # fmt: skip
    return [(what, ", ".join(map(str, each))) for what, each in held.items() if each]


def files(kind):
    """(what, path) of the notebook and the test that belong to a class of our own zoo."""
    package, _, module = kind.__module__.rpartition(".")
    ours = package.split(".")[0] == "model_zoo"
    return [("Notebook", f"notebooks/{module}.py"), ("Test", f"tests/test_{module}.py")] if ours else []


def told(name):
    """All about one class, by its name in any spelling: what its docstring says, equations included, its options and
    parameters, what it reads and predicts, the formulas that it declares, its notebook and its test.

    Raises
    ------
    StatementError
        There is no such class.
    """
    known = classes()
    kind = known[chosen(name, known, "model")]
    yield f"{kind.__name__}\n"
    yield re.sub(r"(?m)^\.\. math::\s*", "", inspect.getdoc(kind))
    yield "\nParameters, with unit and typical value"
    yield from table(kind)
    yield from (f"{what}: {each}" for what, each in [*facts(kind), *files(kind)])
