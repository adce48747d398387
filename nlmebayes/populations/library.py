"""Published models that come with the library, a TOML file each in ``populations/``, and others written like them."""

import tomllib
from difflib import get_close_matches
from importlib.resources import files
from typing import TYPE_CHECKING, NamedTuple

from nlmebayes.arguments import File, Text, arguments, checked
from nlmebayes.errors import ModelError
from nlmebayes.evaluation import nouns
from nlmebayes.populations.dispensing import Dispensing
from nlmebayes.populations.stated import population

if TYPE_CHECKING:
    from nlmebayes.arguments import Tree

HOME = files("nlmebayes") / "populations"
ABOUT = ("name", "citation", "doi", "note", "units", "assay", "dispensing")
STATED = ("theta", "omega", "sigma", "outcome", "levels", "reference", "domain", "uncertainty", "covariates")
KEYS = (*ABOUT, "structure", "options", "formulas", "residual", *STATED)


@checked
def published(name: Text, **changes: object) -> "Tree":
    """A published model of the library by name, as `population` gives it; `published_names` lists them.

    ``changes`` replace arguments of `population`, e.g. ``sigma=`` for another assay.

    Parameters
    ----------
    name : str
        As `published_names` gives it.
    **changes
        Replace arguments of `population`, e.g. ``sigma=`` for another assay.

    Returns
    -------
    DataTree

    Raises
    ------
    ModelError
        Unknown name; lists those that exist. What `population` refuses.

    Examples
    --------
    >>> import json, nlmebayes as nb
    >>> json.loads(nb.published("vancomycin_goti_2018").attrs["nlmebayes_published"])["doi"]
    '10.1097/FTD.0000000000000490'
    """
    if name not in published_names():
        raise ModelError(f"no published model {name!r}{near(name)} there are {', '.join(published_names())}")
    return read_population(HOME / f"{name}.toml", **changes)


@checked
def published_names() -> tuple[str, ...]:
    """Names of the published models that come with the library.

    Returns
    -------
    tuple of str

    Examples
    --------
    >>> import nlmebayes as nb
    >>> "vancomycin_goti_2018" in nb.published_names()
    True
    """
    return tuple(sorted(path.name.removesuffix(".toml") for path in HOME.iterdir() if path.name.endswith(".toml")))


def near(name):
    """The published model that is spelled most alike, as a question, or a semicolon."""
    close = get_close_matches(name.lower().replace("-", "_"), published_names(), n=1)
    return f", did you mean {close[0]}?" if close else ";"


class Entry(NamedTuple):
    """A published model in words: its name, drug and patients, range of covariates, steps of doses, and source."""

    name: str
    title: str
    domain: str
    doses: str
    citation: str
    doi: str


def catalogue():
    """An `Entry` for every published model."""
    for name in published_names():
        said = tomllib.loads((HOME / f"{name}.toml").read_text(encoding="utf-8"))
        units = said.get("units", {})
        ranges = [_range(*each, units) for each in said.get("domain", {}).items()]
        given = Dispensing(**said.get("dispensing", {}), units=units)
        yield Entry(name, said["name"], "; ".join(ranges), str(given), said["citation"], said["doi"])


def _range(covariate, allowed, units):
    numbers = not isinstance(allowed[0], str)
    unit = f" {units[covariate]}" if covariate in units else ""
    return f"{covariate} " + (f"{allowed[0]:g} to {allowed[1]:g}{unit}" if numbers else ", ".join(allowed))


@checked
def read_population(path: File, **changes):
    """The population of a TOML file: arguments of `population` as keys, ``structure`` a class of the zoo by name.

    Raises
    ------
    ModelError
        Names the file, and what is missing in it, is of another type, or cannot be.
    """
    try:
        said = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read as TOML: {error}; name the file of a population") from None
    return of_tables(said, path.name, **changes)


def of_tables(said, source, **changes):
    """The population of the tables of such a file; ``source`` is what messages call it."""
    for key in said:
        if key not in KEYS:
            raise ModelError(f"{source}: no key {key!r}; there are {', '.join(KEYS)}")
    try:
        Dispensing(**arguments(Dispensing, **said.get("dispensing", {})))
        return _population(**{key: value for key, value in said.items() if key not in ABOUT},
                           about={key: said[key] for key in ABOUT if key in said}, changes=changes)  # fmt: skip
    except ValueError as error:
        raise type(error)(f"{source}: {error}") from None


@checked
def _population(
    structure: Text, about: dict, changes: dict, options: dict[Text, object] | None = None,
    formulas: tuple[Text, ...] = (), residual: dict[Text, object] | None = None, **stated,
):  # fmt: skip
    known = nouns.structures()
    if structure not in known:
        raise ModelError(f"no structure {structure!r} in the zoo; write the name of a class of model_zoo")
    made = nouns.made(known[structure], arguments(known[structure], **(options or {})), structure)
    found = {"about": about} | stated | ({"residual": _residual(**residual)} if residual else {}) | changes
    return population(made, *formulas, **found)


def _residual(kind=None, **options):
    """The residual of a table ``{kind = "Combined", form = "sd"}``, or of one such table by outcome."""
    if kind is not None:
        return nouns.residual({"kind": kind, **options}, "residual")
    for name, each in options.items():
        if not isinstance(each, dict) or "kind" not in each:
            raise ModelError(f'residual: {name} is {each!r}; write kind = "Combined", or a table with it by outcome')
    return {name: _residual(**each) for name, each in options.items()}
