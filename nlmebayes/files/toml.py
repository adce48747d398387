"""Write the TOML that a statement needs; `tomllib` reads it."""

import json
import re


def written(tables):
    """TOML text of ``{section: table}``: texts, numbers, booleans, lists and nested tables."""
    return "\n".join(line for name, table in tables.items() for line in _section((name,), table)).lstrip("\n") + "\n"


def document(said):
    """TOML text of a table: values on top, then tables, lists of tables as ``[[name]]``."""
    repeated = {k: v for k, v in said.items() if isinstance(v, list | tuple) and v and isinstance(v[0], dict)}
    tables = {k: v for k, v in said.items() if isinstance(v, dict)}
    lines = [f"{_key(k)} = {_value(v)}" for k, v in said.items() if k not in repeated and k not in tables]
    for name, rows in repeated.items():
        for row in rows:
            lines += [f"\n[[{_key(name)}]]", *(f"{_key(k)} = {_value(v)}" for k, v in row.items())]
    lines += [line for name, table in tables.items() for line in _section((name,), table)]
    return "\n".join(lines).lstrip("\n") + "\n"


def _section(path, table):
    values = {k: v for k, v in table.items() if not isinstance(v, dict)}
    tables = {k: v for k, v in table.items() if isinstance(v, dict)}
    if values or not tables:
        yield f"\n[{'.'.join(map(_key, path))}]"
    for key, value in values.items():
        yield f"{_key(key)} = {_value(value)}"
    for key, inner in tables.items():
        yield from _section((*path, key), inner)


def _key(key):
    return str(key) if re.fullmatch(r"[A-Za-z0-9_-]+", str(key)) else _text(str(key))


def _value(value):
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list | tuple):
        long = len(value) > 1 and all(isinstance(v, str) for v in value)
        inner = [_value(v) for v in value]
        return "[\n" + "".join(f"    {v},\n" for v in inner) + "]" if long else f"[{', '.join(inner)}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_key(k)} = {_value(v)}" for k, v in value.items()) + "}"
    return _text(str(value))


def _text(text):
    """A basic string: JSON's escapes are TOML's; TOML wants the delete character escaped too."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
