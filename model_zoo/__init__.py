"""Model classes, one per file, in folders by field; every class is here: ``from model_zoo import Emax``.

The folders are the registry: each module is imported and its `Structure` classes are exported.
"""

import importlib
import pkgutil

from nlmebayes import Structure


def _classes():
    for module in pkgutil.walk_packages(__path__, prefix=f"{__name__}."):
        if not module.ispkg:
            for value in vars(importlib.import_module(module.name)).values():
                if isinstance(value, type) and issubclass(value, Structure) and value.__module__ == module.name:
                    yield value.__name__, value


_found = dict(_classes())
globals().update(_found)
__all__ = sorted(_found)
