"""What a class declares of its parameters, and what a model states in its place: formulas, values, links."""

from dataclasses import replace
from functools import lru_cache

from nlmebayes.errors import ModelError
from nlmebayes.formula import parse
from nlmebayes.outcomes.residual import Additive
from nlmebayes.parameter.parameter import LINKS


def assumed(structure, links):
    """The residual of a statement that has none, `Additive`; ``links`` by parameter.

    Raises
    ------
    ModelError
        What the structure predicts is no mean of measurements that scatter about it: a rate, a probability, a hazard.
    """
    if structure.scattered:
        raise ModelError(f"{structure.label} needs residual=: {structure.scattered}")
    for name in structure.direct:
        if links[name] != LINKS["identity"]:
            raise ModelError(
                f"{structure.label} with {name} on its {type(links[name]).__name__.lower()} link predicts what may be "
                "a probability or a rate: say residual=, Bernoulli() or Poisson(), or Additive() of measurements"
            )
    return Additive()


def declared(structure, formulas):
    """The formulas that a structure declares of the parameters that have none."""
    stated = [parse(text).parameter for text in formulas if isinstance(text, str)]
    return tuple(text for text in structure.formulas if parse(text).parameter not in stated)


def linked(structure, links, units=None):
    """The `Link` of every parameter by name, in other units, with those that ``links`` replace.

    Raises
    ------
    ModelError
        Of a parameter that there is not, or whose link the structure itself reads; a link that there is not.
    """
    found = {p.name: p.in_units(**(units or {})).scale for p in structure.parameters}
    for name, link in links.items():
        if name not in found:
            raise ModelError(f"links: no parameter {name!r} in {structure.label}; there are {', '.join(found)}")
        if name in structure.linked:
            raise ModelError(f"links: {structure.label} reads that of {name} itself; take a structure with another")
        if isinstance(link, str) and link not in LINKS:
            raise ModelError(f"links: no link {link!r} for {name}; there are {', '.join(LINKS)}, or e.g. Logit(0, 9)")
        found[name] = LINKS[link] if isinstance(link, str) else link
    return found


@lru_cache(maxsize=64)
def links_of(structure, links, units):
    """(name, `Link`) of every parameter; ``links`` are (name, link) that replace others, ``units`` (dimension, unit).
    Kept, for parameters of a structure take a millisecond to make."""
    return tuple(linked(structure, dict(links), dict(units)).items())


def constant(links, name, value):
    """The formula of a parameter that is known, on its natural scale."""
    if name not in links:
        raise ModelError(f"fixed: no parameter {name!r}; parameters are {', '.join(links)}")
    lower, upper = links[name].bounds
    if not lower < value < upper:
        raise ModelError(
            f"fixed: {name} = {value:g} is outside ({lower:g}, {upper:g}), the range of its "
            f"{type(links[name]).__name__.lower()} link; take an option of the structure without it, or another link"
        )
    there = f"log({value!r})" if links[name] == LINKS["log"] else repr(float(links[name].forward(value)))
    return f"{name} ~ 0 + offset({there})"


def with_typical(p, stated, link=None):
    """The parameter with another typical value, spread or link; scales on its old link are none on the new one."""
    if link is not None and link not in (p.link, p.scale):
        if stated is None and p.typical is None:
            raise ModelError(f"links: say where {p.name} is on its new scale, typical={{{p.name!r}: value}}")
        middle, spread = stated if isinstance(stated, tuple) else (p.typical if stated is None else stated, None)
        return replace(p, link=link, typical=middle, spread=spread, variation=None)
    if stated is None:
        return p
    middle, spread = stated if isinstance(stated, tuple) else (stated, p.spread)
    if spread is None and p.scale.spread is None:
        raise ModelError(
            f"typical value of {p.name}: its identity link needs a spread: typical={{{p.name!r}: ({middle}, SD)}}"
        )
    return replace(p, typical=middle, spread=spread)
