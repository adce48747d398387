"""Last stage: ``"cl ~ 1 + log(wt/70) + C(genotype) + (1|p|site/subject)"`` as a `Formula`.

Stages: *scan* makes tokens, *arithmetic* reads the arguments of calls, *terms* the sums, *parse* takes the group terms
out, because only observed groups are wanted and because ``|p|`` joins effects across parameters. All that can be said
without data is said here; `nlmebayes.formula.design` resolves a formula against a dataset.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from nlmebayes.formula.scan import NAME, FormulaError, is_sign, outside, scan, written
from nlmebayes.formula.terms import Reader, Terms, spelled


@dataclass(frozen=True)
class GroupTerm:
    """Random effects ``(effects | block | factors)``: what varies, with what it correlates, among which groups."""

    effects: Terms
    block: str | None
    factors: tuple[str, ...]
    correlated: bool
    text: str


@dataclass(frozen=True)
class Formula:
    """One parsed formula: the parameter, its fixed part and its group terms."""

    parameter: str
    fixed: Terms
    groups: tuple[GroupTerm, ...]
    text: str

    @property
    def parts(self):
        """The sums of fixed and of random effects."""
        return (self.fixed, *(group.effects for group in self.groups))

    @property
    def constant(self):
        """Whether it is a number, with nothing to be found out."""
        return not (self.fixed.intercept or self.fixed.products or self.groups or self.columns[0])

    @property
    def columns(self):
        """Names of the columns that the sums read, in order, and those that group, apart."""
        read = dict.fromkeys(name for part in self.parts for name in part.columns)
        return tuple(read), tuple(dict.fromkeys(name for group in self.groups for name in group.factors))


@lru_cache(maxsize=4096)
def parse(text):
    """Parse ``"parameter ~ terms"`` into a `Formula`.

    Raises
    ------
    FormulaError
        What cannot be read, with the mend.
    """
    try:
        return _formula(text)
    except FormulaError as error:
        shown = text if len(text) <= 200 else f"{text[:200]}..."
        raise FormulaError(f"formula {shown!r}: {error}") from None


@lru_cache(maxsize=4096)
def spelling(label):
    """The label of a term without what may be written in several ways: ``"log(wt/70)"`` is ``"log(wt / 70)"``."""
    try:
        (product,) = _sum(scan(label)).products
        return ":".join(f.text for f in product)
    except (FormulaError, ValueError):  # with a category, sex[M], or no term at all
        return "".join(label.split())


def _formula(text):
    left, tilde, right = text.partition("~")
    name = left.strip()
    if not tilde or not re.fullmatch(NAME, name):
        raise FormulaError("write it as 'parameter ~ terms', e.g. 'cl ~ 1 + (1|id)'")
    tokens, groups = scan(right), []
    if any(is_sign(tokens, i, "~") for i in outside(tokens)):
        raise FormulaError("'~' stands once, after the parameter")
    fixed = _sum(tokens, lambda tokens, shown: groups.extend(_group_terms(tokens, shown)))
    shown = dict.fromkeys(group.text for group in groups)
    return Formula(name, fixed, tuple(groups), f"{name} ~ " + " + ".join([fixed.text, *shown]))


def _sum(tokens, group=None):
    found = Reader(tokens, group or _no_group).sum().finished
    for product in found.products:
        smooths = [f.text for f in product if f.function == "s"]
        if len(smooths) > 1:
            raise FormulaError(f"{':'.join(smooths)} is a product of smooths, which have no penalty here")
    return found


def _no_group(tokens, shown):
    raise FormulaError(f"{shown} is a group term inside another")


def _group_terms(tokens, shown):
    """The group terms of what stands inside one bracket."""
    parts, uncorrelated = _split(tokens)
    if len(parts) not in (2, 3) or not all(parts) or (uncorrelated and len(parts) == 3):
        raise FormulaError(f"cannot read {shown}; write (1|group), (1 + x|group), (1 + x||group) or (1|p|group)")
    block = spelled(parts[1]) if len(parts) == 3 else None
    if block is not None and (len(parts[1]) > 1 or not re.fullmatch(r"\w+", block)):
        raise FormulaError(f"the middle of {shown} must be a short name, e.g. (1|p|group)")
    steps = _steps(parts[-1], shown)
    effects = _sum(parts[0])
    if any(e.function == "s" for e in effects.expressions):
        raise FormulaError("a smooth is no random effect; write s(x):group for a smooth of each group")
    if effects.offsets:
        raise FormulaError(f"{effects.offsets[0].text} does not vary among groups: an offset stands outside {shown}")
    path = "/".join(":".join(map(written, step)) for step in steps)
    bar = "||" if uncorrelated else f"|{block}|" if block else "|"
    canonical = f"({effects.text}{bar}{path})"
    return [GroupTerm(effects, block, names, not uncorrelated, canonical) for names in _nesting(steps)]


def _split(tokens):
    """The parts between bars, and whether one of the bars is double."""
    bars = [i for i in outside(tokens) if is_sign(tokens, i, "|", "||")]
    edges = [-1, *bars, len(tokens)]
    return [tokens[a + 1 : b] for a, b in pairwise(edges)], any(tokens[i].text == "||" for i in bars)


def _steps(tokens, shown):
    """Names of groups, joined by ':' inside a step and by '/' between steps."""
    steps = [[]]
    for i, token in enumerate(tokens):
        if i % 2 == 0 and token.kind == "name":
            steps[-1].append(token.text)
        elif i % 2 == 1 and is_sign(tokens, i, "/"):
            steps.append([])
        elif not (i % 2 == 1 and is_sign(tokens, i, ":")):
            break
    else:
        if len(tokens) % 2 == 1:
            return steps
    raise FormulaError(f"the groups of {shown} must be names joined by '/' (nested) or ':' (combined)")


def _nesting(steps):
    """``a/b/c`` means groups a, a:b and a:b:c; ``a:b`` means the combinations only."""
    path = []
    for step in steps:
        path.extend(step)
        yield tuple(path)
