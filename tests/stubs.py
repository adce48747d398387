"""Stubs for type checkers of the packages whose names load on first use: ``python tests/stubs.py`` writes them."""

from pathlib import Path

import model_zoo
import nlmebayes as nb

ROOT = Path(__file__).parent.parent


def library():
    """The text of ``nlmebayes/__init__.pyi``."""
    rooms = ((*place.rpartition("."), name) for name, place in nb._ROOMS.items())
    lines = [f"from nlmebayes{'.' * bool(home)}{home} import {module} as {name}" for home, _, module, name in rooms]
    lines += [f"from nlmebayes.{home} import {name} as {name}" for home, names in nb._HOME.items() for name in names]
    return "\n".join(["# Written by tests/stubs.py", *sorted(lines), "", "__version__: str", "__all__: list[str]", ""])


def zoo():
    """The text of ``model_zoo/__init__.pyi``."""
    lines = [f"from {getattr(model_zoo, name).__module__} import {name} as {name}" for name in model_zoo.__all__]
    return "\n".join(["# Written by tests/stubs.py", *sorted(lines), "", "__all__: list[str]", ""])


STUBS = {ROOT / "nlmebayes" / "__init__.pyi": library, ROOT / "model_zoo" / "__init__.pyi": zoo}

if __name__ == "__main__":
    for path, text in STUBS.items():
        path.write_text(text(), encoding="utf-8")
