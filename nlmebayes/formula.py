"""The formula language: ``"cl ~ 1 + log(wt/70) + C(genotype) + (1|p|site/subject)"``.

Stages: *scan* splits the right-hand side at its top-level signs, *parse* makes a `Formula` of it. The fixed part
is left as text, for formulae to evaluate; group terms are taken out here, because only observed groups are wanted
and because ``|p|`` joins effects across parameters. `nlmebayes.design` resolves both against a dataset.
"""

import re
from dataclasses import dataclass

NAME = r"[A-Za-z_][A-Za-z0-9_.]*"


class FormulaError(ValueError):
    """A formula that cannot be read, or that names something that does not exist."""


@dataclass(frozen=True)
class GroupTerm:
    """Random effects ``(effects | block | factors)``: what varies, with what it correlates, among which groups."""

    effects: str
    block: str | None
    factors: tuple[str, ...]
    correlated: bool
    text: str


@dataclass(frozen=True)
class Formula:
    """One parsed formula: the parameter, its fixed part (formulae's syntax) and its group terms."""

    parameter: str
    fixed: str
    groups: tuple[GroupTerm, ...]
    text: str


def parse(text):
    """Parse ``"parameter ~ terms"`` into a `Formula`."""
    left, tilde, right = text.partition("~")
    name = left.strip()
    if "~" in right:
        raise FormulaError(f"formula {text!r}: '~' stands once, after the parameter")
    if not tilde or not re.fullmatch(NAME, name):
        raise FormulaError(f"formula {text!r}: write it as 'parameter ~ terms', e.g. 'cl ~ 1 + (1|id)'")
    fixed, groups = [], []
    for sign, term in scan(right, text):
        if _is_group(term):
            if sign == "-":
                raise FormulaError(f"formula {text!r}: a group term cannot be subtracted; leave {term} out instead")
            groups.extend(_group_terms(term, text))
        elif "|" in term:
            raise FormulaError(f"formula {text!r}: cannot read {term}; a group term stands alone, e.g. + (1|group)")
        else:
            fixed.append(f"{sign} {term}")
    joined = " ".join(fixed).removeprefix("+ ") or "1"
    return Formula(name, joined, tuple(groups), f"{name} ~ " + " ".join([joined, *(f"+ {g}" for g in _texts(groups))]))


def scan(right, text):
    """Split at top-level + and -: a list of (sign, term)."""
    terms, sign, depth, start = [], "+", 0, 0
    for i, character in enumerate(right + "+"):
        depth += (character in "([{") - (character in ")]}")
        if depth < 0:
            raise FormulaError(f"formula {text!r}: a bracket is closed that was not opened")
        if character in "+-" and depth == 0:
            term = right[start:i].strip()
            if term:
                terms.append((sign, term))
            elif terms or i == len(right):
                raise FormulaError(f"formula {text!r}: a term is missing beside '{character if terms else sign}'")
            sign, start = character, i + 1
    if depth > 0:
        raise FormulaError(f"formula {text!r}: a bracket is not closed")
    return terms


def _is_group(term):
    return term.startswith("(") and term.endswith(")") and "|" in term


def _texts(groups):
    return dict.fromkeys(group.text for group in groups)


def _group_terms(term, text):
    parts = [part.strip() for part in term[1:-1].replace("||", "|\0|").split("|")]
    uncorrelated = "\0" in parts
    parts = [part for part in parts if part != "\0"]
    if len(parts) not in (2, 3) or not all(parts) or (uncorrelated and len(parts) == 3):
        raise FormulaError(
            f"formula {text!r}: cannot read {term}; write (1|group), (1 + x|group), (1 + x||group) or (1|p|group)"
        )
    effects, factors = parts[0], parts[-1]
    block = parts[1] if len(parts) == 3 else None
    if block is not None and not re.fullmatch(r"[A-Za-z0-9_]+", block):
        raise FormulaError(f"formula {text!r}: the middle of {term} must be a short name, e.g. (1|p|group)")
    if not re.fullmatch(rf"{NAME}(\s*[/:]\s*{NAME})*", factors):
        raise FormulaError(
            f"formula {text!r}: the groups of {term} must be names joined by '/' (nested) or ':' (combined)"
        )
    canonical = f"({effects}{'||' if uncorrelated else f'|{block}|' if block else '|'}{re.sub(r'\s+', '', factors)})"
    return [GroupTerm(effects, block, names, not uncorrelated, canonical) for names in _nesting(factors)]


def _nesting(factors):
    """``a/b/c`` means groups a, a:b and a:b:c; ``a:b`` means the combinations only."""
    path = []
    for step in factors.split("/"):
        path.extend(name.strip() for name in step.split(":"))
        yield tuple(path)
