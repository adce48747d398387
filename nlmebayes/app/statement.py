"""A whole run as tables: ``[data]``, ``[model]``, ``[sampling]``, from the command line, a TOML file or both.

The keys of ``[data]`` are the arguments of ``Dataset.from_nonmem`` and, for a tidy table, of ``Dataset.from_frame``,
those of ``[sampling]`` the arguments of ``fit``.
"""

import dataclasses
import inspect
import platform
import tomllib
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import get_type_hints

import nlmebayes as nb
from nlmebayes.app import zoo
from nlmebayes.evaluation import nouns
from nlmebayes.inference.methods import Method
from nlmebayes.words import StatementError, call, chosen, converted, hyphenated, number, refused, values_of

NOT_SAID = ("self", "cls", "data", "frame", "source")  # arguments of the readers that are no key of [data]
MODEL = (
    "name", "options", "formulas", "residual", "priors", "typical", "fixed", "links", "units", "inputs",
    "parametrisation",
)  # fmt: skip
TABLES = ("options", "priors", "typical", "fixed", "links", "units", "inputs")  # of [model]
SAMPLING = {
    "method": Method, "draws": int, "tune": int, "chains": int, "seed": int, "target_accept": float, "cores": int,
}  # fmt: skip
MOST = {"draws": 10_000_000, "tune": 10_000_000, "chains": 1000}
MADE_WITH = ("nlmebayes", "pymc", "pytensor", "nutpie", "numba", "numpy")
PATHS = ("file", "doses")
OF_THE_FILE = (
    *PATHS,
    "sha256",
    "unmeasured",
    "encoding",
)  # keys of [data] that hold for one file, not for the way it is read


def read(path):
    """The statement of a TOML file, its paths taken from the file's folder."""
    path = Path(path)
    if not path.is_file():
        raise StatementError(f"no file {str(path)!r}")
    try:
        said = tomllib.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise StatementError(f"{path.name} cannot be read as TOML: {error}") from error
    _check(said, path.name)
    data = said.get("data", {})
    return said | {"data": data | {key: path.parent / data[key] for key in PATHS if key in data}}


def _check(said, source):
    """Every section and key is known, and every section is a table."""
    known = {"data": ("file", "sha256", "tidy", *arguments()), "model": MODEL, "sampling": SAMPLING, "versions": None}
    for section, table in said.items():
        _exactly(section, known, "section", f" in {source}")
        if not isinstance(table, dict):
            raise StatementError(f"{source}: {section} is a section, written [{section}]")
        for key in table if known[section] else ():
            _exactly(key, known[section], "key", f" in [{section}] of {source}")
        for key in PATHS:
            if section == "data" and not isinstance(table.get(key, ""), str):
                raise StatementError(f"{source}: {key} in [data] is a path, in quotes; got {table[key]!r}")


def _exactly(word, known, what, where):
    if word not in known:
        raise StatementError(f"no {what} {word!r}{where}; write {chosen(word, known, what, where)!r}")


def _reader(tidy):
    return nb.Dataset.from_frame if tidy else nb.Dataset.from_nonmem


def arguments(tidy=None):
    """Names of what a reader takes, or both."""
    kinds = (False, True) if tidy is None else (tidy,)
    names = [name for kind in kinds for name in inspect.signature(_reader(kind)).parameters]
    return tuple(name for name in dict.fromkeys(names) if name not in NOT_SAID)


def merged(first, second):
    """``second`` over ``first``: table by table, formula by parameter; any other value replaces."""
    found = dict(first)
    for key, value in second.items():
        before = found.get(key)
        if isinstance(value, dict) and isinstance(before, dict):
            found[key] = merged(before, value)
        elif key == "formulas" and before:
            found[key] = list({_left(text): text for text in (*_listed(before), *value)}.values())
        else:
            found[key] = value
    if found.get("file") != first.get("file"):
        found.pop("sha256", None)  # it is that of the other file
    return found


def _left(formula):
    return str(formula).partition("~")[0].strip()


def _listed(value):
    return [value] if isinstance(value, str) else list(value)


def dataset(said):
    """The `Dataset` of a ``[data]`` table."""
    if "file" not in said:
        raise StatementError("no data: give the file, or file = in [data] of the TOML file")
    rest = {key: value for key, value in said.items() if key not in ("file", "sha256", "tidy")}
    tidy = said.get("tidy", bool(set(rest) & (set(arguments(True)) - set(arguments(False)))))
    if not isinstance(tidy, bool):
        raise StatementError(f"tidy is true or false; got {tidy!r}")
    for key in rest:
        if key not in arguments(tidy):
            kind, other = ("a tidy table", "an event table") if tidy else ("an event table", "a tidy table")
            takes = f"; {other} does" if key in arguments(not tidy) else ""
            raise StatementError(f"{kind} does not take {key!r}{takes}; it takes {', '.join(arguments(tidy))}")
    if tidy and "outcome" not in rest:
        raise StatementError("a tidy table needs the name of its outcome column: --outcome")
    given = {"levels": ("id",)} | {key: _argument(key, value, tidy) for key, value in rest.items()}
    with refused():
        return _reader(tidy)(said["file"], **given)


def _argument(key, value, tidy):
    """A value of ``[data]`` as the reader takes it."""
    if key == "doses":
        if not Path(value).is_file():
            raise StatementError(f"no file {str(value)!r}")
        return Path(value)
    if key == "outcome" and isinstance(value, dict):
        return {_code(code): name for code, name in value.items()}
    if key == "outcome" and not isinstance(value, str) and not tidy:
        if not isinstance(value, list) or not value:
            raise StatementError(f"outcome is a name, in quotes; got {value!r}")
        if len(value) > 1:
            raise StatementError("several outcomes of an event table are told apart by DVID: --outcome 1=conc,2=effect")
        return value[0]
    return tuple(value) if isinstance(value, list) else value


def _code(text):
    """A DVID: TOML's keys are texts, the column holds numbers or names."""
    try:
        return number(text, "DVID")
    except StatementError:
        return text


def digest(path):
    """SHA-256 of a file."""
    return sha256(Path(path).read_bytes()).hexdigest()


def model(said):
    """The `Model` of a ``[model]`` table."""
    if "name" not in said:
        raise StatementError(f"no model: give --model; there are {', '.join(zoo.classes())}")
    tables = {key: _table(said.get(key, {}), key) for key in TABLES}
    typical = {name: tuple(value) if isinstance(value, list) else value for name, value in tables["typical"].items()}
    with refused():
        return nb.Model(
            structure(said["name"], tables["options"]), *_listed(said.get("formulas", ())),
            residual=_residual(said.get("residual")), inputs=tables["inputs"], typical=typical,
            fixed=tables["fixed"], links=tables["links"], units=tables["units"],
            priors={name: prior(text, name) for name, text in tables["priors"].items()},
            parametrisation=said.get("parametrisation", "auto"),
        )  # fmt: skip


def _table(value, key):
    if not isinstance(value, dict):
        raise StatementError(f"{key} is a table, written [model.{key}]")
    return value


def structure(name, options):
    """An instance of a zoo class, by its name in any spelling and its options."""
    kinds = zoo.classes()
    kind = kinds[chosen(name, kinds, "model")]
    hints = get_type_hints(kind)
    types = {field.name: hints[field.name] for field in dataclasses.fields(kind)}
    listed = [f"{option} = {values_of(hint)}" for option, hint in types.items()]
    values = {}
    for word, value in options.items():
        option = chosen(word, types, "option", f" in {kind.__name__}", listed)
        values[option] = converted(value, types[option], f"option {option} of {kind.__name__}")
    return kind(**values)


def residuals():
    """Every residual by its name on the command line."""
    made = {hyphenated(kind.__name__): _made(kind) for kind in nouns.residuals().values()}
    return {name: each for name, each in made.items() if each} | {"combined-variance": nb.Combined("variance")}


def _made(kind):
    """A residual with its defaults, or None where it needs to be told more."""
    try:
        return kind()
    except nb.ModelError:
        return None


def _residual(said):
    """The residual, or those of outcomes; None of a statement that leaves it to the structure."""
    known = residuals()
    if said is None:
        return None
    if isinstance(said, dict):
        return {outcome: known[chosen(word, known, "residual")] for outcome, word in said.items()}
    return known[chosen(said, known, "residual")]


def prior(text, name):
    """The `Prior` of a text such as ``HalfNormal(sigma=0.3)``; of a table, one for each of its coefficients."""
    if isinstance(text, dict):
        return {label: prior(each, f"{name}[{label}]") for label, each in text.items()}
    family, values = call(str(text), f"prior of {name},")
    return nb.Prior(family, values)


def sampling(said):
    """Arguments of `fit`, all of them but the progress bar, with ``seed`` for ``random_seed``."""
    defaults = inspect.signature(nb.fit).parameters
    found = {key: defaults[key].default for key in ("draws", "tune", "chains")} | {"seed": 1}
    found |= {key: converted(value, SAMPLING[key], key) for key, value in said.items()}
    for key, most in MOST.items():
        if not 1 <= found[key] <= most:
            bound = "at least 1" if found[key] < 1 else f"at most {most:,}"
            raise StatementError(f"{key} must be {bound}, not {found[key]}")
    return found


def complete(said, model):
    """The statement with nothing left to defaults, and with what it was made by."""
    data = dict(said["data"]) | {"file": Path(said["data"]["file"]).resolve()}
    data = {"levels": ["id"]} | data | {"sha256": digest(data["file"])}
    stated = {
        "name": type(model.structure).__name__, "formulas": list(model.formulas), "residual": _named(model.residual),
        "parametrisation": model.parametrisation,
        "options": _options(model.structure),
        "priors": {name: _written(value) for name, value in model.priors.items()},
        "typical": model.typical, "links": model.links, "inputs": model.inputs,
    }  # fmt: skip
    stated = {key: value for key, value in stated.items() if value not in ({}, [])}
    return {"data": data, "model": stated, "sampling": sampling(said.get("sampling", {})), "versions": versions()}


def _written(prior):
    """The text of a prior, or one for each of its coefficients."""
    return {label: repr(each) for label, each in prior.items()} if isinstance(prior, dict) else repr(prior)


def _options(structure):
    """Options by name; None is what an option is that is not stated."""
    values = {field.name: getattr(structure, field.name) for field in dataclasses.fields(structure)}
    return {name: value for name, value in values.items() if value is not None}


def _named(residual):
    if isinstance(residual, dict):
        return {outcome: _named(each) for outcome, each in residual.items()}
    return next(name for name, each in residuals().items() if each == residual)


def versions():
    """Versions of what decides the draws."""
    return {"python": platform.python_version()} | {name: version(name) for name in MADE_WITH}


def differences(said):
    """What is not as it was when the statement was written, in words."""
    file, known = said.get("data", {}).get("file"), said.get("data", {}).get("sha256")
    if known and Path(file).is_file() and digest(file) != known:
        yield f"{Path(file).name} has changed since the statement was written"
    for name, now in versions().items():
        before = said.get("versions", {}).get(name, now)
        if before != now:
            yield f"the statement was written with {name} {before}, here is {now}: draws may differ"
