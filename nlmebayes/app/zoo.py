"""The zoo as the installation knows it: packages that register under the entry point ``nlmebayes.models``."""

from importlib.metadata import entry_points
from inspect import isabstract

import nlmebayes as nb


def classes():
    """Zoo classes by name, over all registered packages."""
    found = {}
    for entry in sorted(entry_points(group="nlmebayes.models"), key=lambda e: e.name):
        for name, value in sorted(vars(entry.load()).items()):
            if isinstance(value, type) and issubclass(value, nb.Structure) and not isabstract(value):
                found[name] = value
    return found


def rows(kind):
    """(class, what it is, parameter, unit, typical value) for each parameter of a zoo class."""
    law = kind()
    first = next(line for line in (kind.__doc__ or "").splitlines() if line.strip())
    for i, p in enumerate(law.parameters):
        typical = "from the data" if p.typical is None else f"{p.typical:g}"
        yield (kind.__name__ if i == 0 else "", first.strip() if i == 0 else "", p.name, p.unit, typical)
