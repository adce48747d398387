"""The formula language, stages scan and parse; `test_design` has the stage resolve."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nlmebayes.formula import FormulaError, GroupTerm, parse, scan

quick = settings(deadline=None, max_examples=200)

# --- scan ------------------------------------------------------------------------------------------------------------

SCANNED = [
    ("1", [("+", "1")]),
    ("1 + x", [("+", "1"), ("+", "x")]),
    ("+ x", [("+", "x")]),
    ("-1 + x", [("-", "1"), ("+", "x")]),
    ("x - 1", [("+", "x"), ("-", "1")]),
    ("log(wt/70) + a:b", [("+", "log(wt/70)"), ("+", "a:b")]),
    ("I(x - 1) + {y + 2}", [("+", "I(x - 1)"), ("+", "{y + 2}")]),
    ("C(g, levels=['u-v', 'w']) + x", [("+", "C(g, levels=['u-v', 'w'])"), ("+", "x")]),
    ("1 + (1 + x|g) - z", [("+", "1"), ("+", "(1 + x|g)"), ("-", "z")]),
    ("f(g(x + 1) - 2)*z", [("+", "f(g(x + 1) - 2)*z")]),
]


@pytest.mark.parametrize(("right", "terms"), SCANNED, ids=[right for right, _ in SCANNED])
def test_scan_splits_at_top_level_signs_only(right, terms):
    assert scan(right, right) == terms


@pytest.mark.parametrize(
    ("right", "message"),
    [
        ("1 + (x", "a bracket is not closed"),
        ("f(x[1) + {2", "a bracket is not closed"),
        ("1) + x", "a bracket is closed that was not opened"),
        ("1 + + x", "a term is missing beside '[+]'"),
        ("1 + x -", "a term is missing beside"),
        ("", "a term is missing beside"),
        ("  ", "a term is missing beside"),
    ],
)
def test_scan_says_what_is_missing(right, message):
    with pytest.raises(FormulaError, match=f"^formula 'the whole text': {message}"):
        scan(right, "the whole text")


# --- parse -----------------------------------------------------------------------------------------------------------


def groups(text):
    """The group terms as (effects, block, factors, correlated)."""
    return [(g.effects, g.block, g.factors, g.correlated) for g in parse(text).groups]


PARSED = [
    ("cl ~ 1", "1", []),
    ("cl~1+x", "1 + x", []),
    ("  cl ~ x  ", "x", []),
    ("v.c ~ 0 + g", "0 + g", []),
    ("k_12 ~ - 1 + g", "- 1 + g", []),
    ("cl ~ a*b + a:c + offset(x)", "a*b + a:c + offset(x)", []),
    ("cl ~ (1|id)", "1", [("1", None, ("id",), True)]),
    ("cl ~ 0 + (1|id)", "0", [("1", None, ("id",), True)]),
    ("cl ~ (1|id) + x", "x", [("1", None, ("id",), True)]),
    ("cl ~ 1 + (1 | p | id)", "1", [("1", "p", ("id",), True)]),
    ("cl ~ 1 + (1|2|id)", "1", [("1", "2", ("id",), True)]),
    ("cl ~ 1 + (1 + x|id)", "1", [("1 + x", None, ("id",), True)]),
    ("cl ~ 1 + (0 + x||id)", "1", [("0 + x", None, ("id",), False)]),
    ("cl ~ 1 + (log(x + 1)|p|id)", "1", [("log(x + 1)", "p", ("id",), True)]),
    ("cl ~ 1 + (1|a:b)", "1", [("1", None, ("a", "b"), True)]),
    ("cl ~ 1 + (1|a) + (x|b)", "1", [("1", None, ("a",), True), ("x", None, ("b",), True)]),
    ("cl ~ 1 + (1|p|a/b)", "1", [("1", "p", ("a",), True), ("1", "p", ("a", "b"), True)]),
    ("cl ~ (1|a / b / c)", "1", [("1", None, n, True) for n in [("a",), ("a", "b"), ("a", "b", "c")]]),
    ("cl ~ (1|a:b/c)", "1", [("1", None, n, True) for n in [("a", "b"), ("a", "b", "c")]]),
    ("cl ~ (1|a/b:c)", "1", [("1", None, n, True) for n in [("a",), ("a", "b", "c")]]),
]


@pytest.mark.parametrize(("text", "fixed", "terms"), PARSED, ids=[text for text, *_ in PARSED])
def test_parse_takes_group_terms_out_of_the_fixed_part(text, fixed, terms):
    formula = parse(text)
    assert formula.parameter == text.split("~")[0].strip()
    assert formula.fixed == fixed
    assert groups(text) == terms


def test_nesting_with_a_slash_is_a_sum_of_combinations():
    assert groups("cl ~ (1|a/b)") == groups("cl ~ (1|a) + (1|a:b)")


def test_canonical_text_has_the_fixed_part_first_and_each_group_once():
    text = "cl~(1 | p | site / subject)+1 + log(wt/70)-x+(0 + x || id)"
    assert parse(text).text == "cl ~ 1 + log(wt/70) - x + (1|p|site/subject) + (0 + x||id)"


def test_every_group_term_keeps_its_canonical_text():
    assert parse("cl ~ (1 | a / b)").groups == (
        GroupTerm("1", None, ("a",), True, "(1|a/b)"),
        GroupTerm("1", None, ("a", "b"), True, "(1|a/b)"),
    )


NO_FORMULA = "write it as 'parameter ~ terms'"
NO_GROUP = "write (1|group), (1 + x|group), (1 + x||group) or (1|p|group)"
BAD = [
    ("cl", NO_FORMULA),
    ("", NO_FORMULA),
    ("~ 1", NO_FORMULA),
    ("2cl ~ 1", NO_FORMULA),
    ("log(cl) ~ 1", NO_FORMULA),
    ("cl v ~ 1", NO_FORMULA),
    ("cl ~", "a term is missing"),
    ("cl ~ 1 +", "a term is missing"),
    ("cl ~ 1 + (1|id", "a bracket is not closed"),
    ("cl ~ 1 + 1|id)", "a bracket is closed that was not opened"),
    ("cl ~ 1 - (1|id)", "a group term cannot be subtracted; leave (1|id) out instead"),
    ("cl ~ (|id)", f"cannot read (|id); {NO_GROUP}"),
    ("cl ~ (1|)", f"cannot read (1|); {NO_GROUP}"),
    ("cl ~ (1|a|b|c)", f"cannot read (1|a|b|c); {NO_GROUP}"),
    ("cl ~ (1|p||id)", f"cannot read (1|p||id); {NO_GROUP}"),
    ("cl ~ (1|||id)", "cannot read"),
    ("cl ~ (1|p q|id)", "the middle of (1|p q|id) must be a short name"),
    ("cl ~ (1|a + b)", "must be names joined by '/' (nested) or ':' (combined)"),
    ("cl ~ (1|C(g))", "must be names joined by '/' (nested) or ':' (combined)"),
    ("cl ~ (1|a//b)", "must be names joined by '/' (nested) or ':' (combined)"),
    ("cl ~ (1|a/)", "must be names joined by '/' (nested) or ':' (combined)"),
    ("cl ~ ((1|id))", "must be names joined by '/' (nested) or ':' (combined)"),
]


@pytest.mark.parametrize(("text", "message"), BAD, ids=[text for text, _ in BAD])
def test_a_bad_formula_is_quoted_with_the_mend(text, message):
    with pytest.raises(FormulaError, match=f"^{re.escape(f'formula {text!r}: ')}.*{re.escape(message)}"):
        parse(text)


# --- canonical text parses to itself ---------------------------------------------------------------------------------

NAMES = st.sampled_from(["a", "b2", "site", "x_1", "Days", "v.c"])
FIXED = st.one_of(
    NAMES,
    st.builds("log({}/70)".format, NAMES),
    st.builds("C({})".format, NAMES),
    st.builds("{}:{}".format, NAMES, NAMES),
    st.builds("I({} - {})".format, NAMES, NAMES),
)
EFFECTS = st.sampled_from(["1", "0 + x", "1 + x", "1+log(x)", "x - 1"])
PATHS = st.lists(NAMES, min_size=1, max_size=3, unique=True).flatmap(
    lambda names: st.lists(st.sampled_from("/:"), min_size=len(names), max_size=len(names)).map(
        lambda joints: "".join(f"{joint}{name}" for joint, name in zip(joints, names, strict=True))[1:]
    )
)
GROUPS = st.builds("({}{}{})".format, EFFECTS, st.sampled_from(["|", "||", "|p|", " | q | "]), PATHS)
SIGNS = st.sampled_from([" + ", "+", " - ", "-"])


@st.composite
def formulas(draw):
    """Formulas with any order of fixed and group terms; the latter are never subtracted, nor twice the same."""
    fixed = [draw(SIGNS) + term for term in draw(st.lists(FIXED, max_size=4))]
    random = [" + " + term for term in draw(st.lists(GROUPS, max_size=3, unique_by=lambda g: g.replace(" ", "")))]
    return f"{draw(NAMES)} ~ {draw(st.sampled_from('01'))}" + "".join(draw(st.permutations(fixed + random)))


@quick
@given(formulas())
def test_canonical_text_parses_to_itself(text):
    formula = parse(text)
    assert parse(formula.text) == formula


@quick
@given(formulas())
def test_nothing_is_lost_between_scan_and_parse(text):
    terms = [term for _, term in scan(text.partition("~")[2], text)]
    formula = parse(text)
    assert len(scan(formula.fixed, text)) + len(dict.fromkeys(g.text for g in formula.groups)) == len(terms)


@quick
@given(formulas(), st.sampled_from([" ", "  ", "\n"]))
def test_space_around_terms_means_nothing(text, space):
    wide = text.replace(" + (", f"{space}+{space}(").replace("~", f"{space}~{space}")
    assert parse(wide) == parse(text)
