"""The formula language without data: scan, arithmetic, terms, parse. `test_formula_table` has what formulas mean."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nlmebayes.formula import FormulaError, GroupTerm, parse
from nlmebayes.formula.parse import spelling
from nlmebayes.formula.scan import scan

quick = settings(deadline=None, max_examples=200)

# --- scan ------------------------------------------------------------------------------------------------------------

SCANNED = [
    ("1 + x", ["1", "+", "x"]),
    ("log(wt/70)+a:b", ["log", "(", "wt", "/", "70", ")", "+", "a", ":", "b"]),
    ("(1||g)", ["(", "1", "||", "g", ")"]),
    ("1e-3*x**2", ["1e-3", "*", "x", "**", "2"]),
    (".5 >= 1.", [".5", ">=", "1."]),
    ("s.creat2 + größe", ["s.creat2", "+", "größe"]),
    ("`body weight` == 'a b'", ["body weight", "==", "'a b'"]),
    ("\tx\n", ["x"]),
]


@pytest.mark.parametrize(("text", "tokens"), SCANNED, ids=[text for text, _ in SCANNED])
def test_scan_uses_every_character(text, tokens):
    assert [token.text for token in scan(text)] == tokens


@quick
@given(st.text(max_size=40))
def test_scan_reads_a_text_whole_or_refuses_it(text):
    try:
        tokens = scan(text)
    except FormulaError:
        return
    gaps = [*zip([0, *(t.end for t in tokens)], [*(t.start for t in tokens), len(text)], strict=True)]
    assert all(not text[a:b].strip() for a, b in gaps)


# --- parse -----------------------------------------------------------------------------------------------------------


def groups(text):
    """The group terms as (effects, block, factors, correlated)."""
    return [(g.effects.text, g.block, g.factors, g.correlated) for g in parse(text).groups]


PARSED = [
    ("cl ~ 1", "1", []),
    ("cl~1+x", "1 + x", []),
    ("  cl ~ x  ", "1 + x", []),
    ("v.c ~ 0 + g", "0 + g", []),
    ("k_12 ~ - 1 + g", "0 + g", []),
    ("cl ~ a*b + a:c + offset(x)", "1 + a + b + a:b + a:c + offset(x)", []),
    ("cl ~ (1|id)", "1", [("1", None, ("id",), True)]),
    ("cl ~ 0 + (1|id)", "0", [("1", None, ("id",), True)]),
    ("cl ~ (1|id) + x", "1 + x", [("1", None, ("id",), True)]),
    ("cl ~ 1 + (1 | p | id)", "1", [("1", "p", ("id",), True)]),
    ("cl ~ 1 + (1|2|id)", "1", [("1", "2", ("id",), True)]),
    ("cl ~ 1 + (x|id)", "1", [("1 + x", None, ("id",), True)]),
    ("cl ~ 1 + (0 + x||id)", "1", [("0 + x", None, ("id",), False)]),
    ("cl ~ 1 + (log(x + 1)|p|id)", "1", [("1 + log(x + 1)", "p", ("id",), True)]),
    ("cl ~ 1 + (I((a > 1) | (b > 1))|id)", "1", [("1 + I((a > 1) | (b > 1))", None, ("id",), True)]),
    ("cl ~ 1 + (1|a:b)", "1", [("1", None, ("a", "b"), True)]),
    ("cl ~ 1 + (1|a) + (x|b)", "1", [("1", None, ("a",), True), ("1 + x", None, ("b",), True)]),
    ("cl ~ 1 + (1|p|a/b)", "1", [("1", "p", ("a",), True), ("1", "p", ("a", "b"), True)]),
    ("cl ~ (1|a / b / c)", "1", [("1", None, n, True) for n in [("a",), ("a", "b"), ("a", "b", "c")]]),
    ("cl ~ (1|a:b/c)", "1", [("1", None, n, True) for n in [("a", "b"), ("a", "b", "c")]]),
    ("cl ~ (1|a/b:c)", "1", [("1", None, n, True) for n in [("a",), ("a", "b", "c")]]),
    ("cl ~ (1|`my site`)", "1", [("1", None, ("my site",), True)]),
]


@pytest.mark.parametrize(("text", "fixed", "terms"), PARSED, ids=[text for text, *_ in PARSED])
def test_parse_takes_group_terms_out_of_the_fixed_part(text, fixed, terms):
    formula = parse(text)
    assert formula.parameter == text.split("~")[0].strip()
    assert formula.fixed.text == fixed
    assert groups(text) == terms


def test_nesting_with_a_slash_is_a_sum_of_combinations():
    assert groups("cl ~ (1|a/b)") == groups("cl ~ (1|a) + (1|a:b)")


def test_canonical_text_has_the_fixed_part_first_and_each_group_once():
    text = "cl~(1 | p | site / subject)+1 + x + log(wt/70)-x+(0 + x || id)"
    assert parse(text).text == "cl ~ 1 + log(wt / 70) + (1|p|site/subject) + (0 + x||id)"


def test_every_group_term_keeps_its_canonical_text():
    (one, other) = parse("cl ~ (1 | a / b)").groups
    assert one == GroupTerm(one.effects, None, ("a",), True, "(1|a/b)")
    assert other == GroupTerm(one.effects, None, ("a", "b"), True, "(1|a/b)")


def test_columns_are_those_that_are_read_and_those_that_group():
    formula = parse("cl ~ log(wt/s.creat) + C(arm, levels=['b', 'a']):`body fat` + (1 + age|site/id)")
    assert formula.columns == (("arm", "body fat", "s.creat", "wt", "age"), ("site", "id"))


def test_what_learns_from_the_data_is_known():
    (e,) = parse("cl ~ 0 + I(center(log(wt)) * scale(age))").fixed.expressions
    assert e.learns == (("center(log(wt))", ("wt",)), ("scale(age)", ("age",)))


@pytest.mark.parametrize(
    ("one", "other"), [("log(wt/70)", "log( wt / 70 )"), ("x:log(y)", "x : log(y)"), ("sex[M]", "sex [M]")]
)
def test_labels_of_terms_may_be_spelled_in_several_ways(one, other):
    assert spelling(one) == spelling(other)


# --- canonical text parses to itself ---------------------------------------------------------------------------------

NAMES = st.sampled_from(["a", "b2", "site", "x_1", "Days", "v.c", "`a b`"])
FIXED = st.one_of(
    NAMES,
    st.builds("log({}/70)".format, NAMES),
    st.builds("C({})".format, NAMES),
    st.builds("{}:log({})".format, NAMES, NAMES),
    st.builds("I({} - {})".format, NAMES, NAMES),
    st.builds("({} + sqrt({}))*exp({})".format, NAMES, NAMES, NAMES),
    st.builds("offset({})".format, NAMES),
)
EFFECTS = st.sampled_from(["1", "0 + x", "1 + x", "1+log(x)", "x - 1"])
PATHS = st.lists(NAMES, min_size=1, max_size=3, unique=True).flatmap(
    lambda names: st.lists(st.sampled_from("/:"), min_size=len(names), max_size=len(names)).map(
        lambda joints: "".join(f"{joint}{name}" for joint, name in zip(joints, names, strict=True))[1:]
    )
)
GROUPS = st.builds("({}{}{})".format, EFFECTS, st.sampled_from(["|", "||", "|p|", " | q | "]), PATHS)


@st.composite
def formulas(draw):
    """Formulas with any order of fixed and group terms; of the latter none is twice the same."""
    fixed = [draw(st.sampled_from([" + ", "+"])) + term for term in draw(st.lists(FIXED, max_size=4))]
    random = [" + " + term for term in draw(st.lists(GROUPS, max_size=3, unique_by=lambda g: g.replace(" ", "")))]
    return f"{draw(NAMES.filter(str.isidentifier))} ~ {draw(st.sampled_from('01'))}" + "".join(
        draw(st.permutations(fixed + random))
    )


@quick
@given(formulas())
def test_canonical_text_parses_to_itself(text):
    formula = parse(text)
    assert parse(formula.text) == formula


@quick
@given(formulas(), st.sampled_from([" ", "  ", "\n"]))
def test_space_around_terms_means_nothing(text, space):
    wide = text.replace(" + (", f"{space}+{space}(").replace("~", f"{space}~{space}")
    assert parse(wide) == parse(text)


# --- slips -----------------------------------------------------------------------------------------------------------

NO_FORMULA = "write it as 'parameter ~ terms'"
NO_GROUP = "write (1|group), (1 + x|group), (1 + x||group) or (1|p|group)"
MISSING = "without a sign; is a '+' missing?"
SLIPS = [
    ("cl", NO_FORMULA),
    ("", NO_FORMULA),
    ("~ 1", NO_FORMULA),
    ("2cl ~ 1", NO_FORMULA),
    ("log(cl) ~ 1", NO_FORMULA),
    ("cl v ~ 1", NO_FORMULA),
    ("cl ~ 1 ~ x", "'~' stands once"),
    ("cl ~", "a term is missing"),
    ("cl ~ 1 +", "a term is missing beside '+'"),
    ("cl ~ 1 + + x", "a term is missing beside '+'"),
    ("cl ~ x *", "a term is missing beside '*'"),
    ("cl ~ 1 + (x", "a bracket is not closed"),
    ("cl ~ log(x] + 1", "a bracket is closed that was not opened"),
    ("cl ~ 1 + (1|id", "a bracket is not closed"),
    ("cl ~ 1 + 1|id)", "a bracket is closed that was not opened"),
    ("cl ~ log(wt/70) dose", f"'dose' comes after ')' {MISSING}"),
    ("cl ~ wt dose", f"'dose' comes after 'wt' {MISSING}"),
    ("cl ~ offset(0.75*log(wt/70)) offset(0.8*log(crcl/100))", f"'offset' comes after ')' {MISSING}"),
    ("cl ~ (1 + wt dose|id)", MISSING),
    ("sigma ~ 1 wt", f"'wt' comes after '1' {MISSING}"),
    ("cl ~ 1e3*wt", "a number and a column: write I(1e3 * wt)"),
    ("cl ~ 2*wt", "write I(2 * wt)"),
    ("cl ~ 1*wt", "for arithmetic write I(1 * wt)"),
    ("cl ~ wt/70", "write I(wt/70), or log(wt/70) where it has an exponent"),
    ("cl ~ x + 2", "a constant is offset(2)"),
    ("cl ~ wt**2", "the power of a column is I(x**2)"),
    ("cl ~ log(wt)**0.75", "where a covariate has an exponent, that is the coefficient of its logarithm"),
    ("cl ~ (wt/70)^0.75", "cannot read '^' (character 9): a power is written **"),
    ("cl ~ (a + b)**99", "write a power from 1 to 9"),
    ("cl ~ wt*wt", "its square is I(wt**2)"),
    ("cl ~ wt:wt", "its square is I(wt**2)"),
    ("cl ~ a - b", "there is no term b before it that '-' could leave out; a difference of columns stands in a call"),
    ("cl ~ a - offset(log(b))", "write offset(-(log(b)))"),
    ("cl ~ a:offset(b)", "offset(b) stands alone in a sum"),
    ("cl ~ factor(sex)", "no function 'factor': write C(...)"),
    ("cl ~ np.log(wt)", "no function 'np.log': write log(...)"),
    ("cl ~ ln(wt)", "no function 'ln': write log(...)"),
    ("cl ~ Log(wt)", "no function 'Log': write log(...)"),
    ("cl ~ pow(wt, 2)", "a power is written x**2"),
    ("cl ~ log(wt, 2)", "log() takes 1 column and no options"),
    ("cl ~ log()", "log() takes 1 column"),
    ("cl ~ center(70)", "center() of which column?"),
    ("cl ~ bs(x, dof=3)", "bs() has no argument 'dof'; it has df, knots"),
    ("cl ~ bs(x, df=10**6)", "a number, a text or a list of them belongs"),
    ("cl ~ bs(x, df=1000000)", "df=1000000 must be a number above 0, at most 1000"),
    ("cl ~ poly(x, 3, 4, 5)", "poly() takes a column, degree, raw; got 4 arguments"),
    ("cl ~ I(poly(x, 2) * 2)", "poly(x, 2) stands alone as a term"),
    ("cl ~ log(C(x))", "C(x) stands alone as a term"),
    ("cl ~ Treatment(x)", "belongs into C()"),
    ("cl ~ C(x, Helmert)", "a number, a text or a list of them belongs"),
    ("cl ~ I(sex = 'F')", "I() takes 1 column and no options"),
    ("cl ~ I('F')", "'F' stands where a number or a column belongs"),
    ("cl ~ I(x if y else z)", "cannot read"),
    ("cl ~ I([x for x in y])", "cannot read"),
    ("cl ~ I(x.y.z())", "no function 'x.y.z'"),
    ("cl ~ I(x is 1)", "cannot read"),
    ("cl ~ I(x[0])", "is no arithmetic on columns"),
    ("cl ~ I(x, y)", "I() takes 1 column"),
    ("cl ~ I(True)", "True stands where a number or a column belongs"),
    ("cl ~ I(1_000 * x)", "cannot read 1_000: it is neither a number nor a name"),
    ("cl ~ 0x10 + x", "cannot read 0x10"),
    ("cl ~ x; y", "cannot read ';' (character 3)"),
    ("cl ~ x @ y", "cannot read '@'"),
    ("cl ~ x > 3", "comparisons and the like stand in I(...)"),
    ("cl ~ x\N{MULTIPLICATION SIGN}y", "a product is written '*'"),
    ("cl ~ C(x, levels=['a)", "a text is not closed"),
    ("cl ~ 1 - (1|id)", "a group term cannot be subtracted; leave (1|id) out instead"),
    ("cl ~ wt*(1|id)", "(1|id) stands alone in a sum"),
    ("cl ~ (1|id)*wt", "a '+' or '-' must follow it"),
    ("cl ~ wt|id", "'|' belongs into brackets"),
    ("cl ~ (1 + (1|a)|b)", "is a group term inside another"),
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
    ("cl ~ (s(x)|id)", "a smooth is no random effect"),
    ("cl ~ (offset(x)|id)", "does not vary among groups"),
    ("cl ~ s(x):s(y)", "is a product of smooths"),
    ("cl ~ I(" + "-" * 200 + "x)", "is nested more than 100 deep"),
    ("cl ~ " + "+".join(f"x{i}" for i in range(1200)), "has more than 1000 terms"),
    ("cl ~ (" + "+".join(f"x{i}" for i in range(40)) + ")**9", "has more than 1000 terms"),
    ("cl ~ " + "x" * 30_000, "a formula has at most 20000"),
]


@pytest.mark.parametrize(("text", "message"), SLIPS, ids=[text[:60] for text, _ in SLIPS])
def test_a_slip_is_quoted_with_the_mend(text, message):
    with pytest.raises(FormulaError) as caught:
        parse(text)
    said = str(caught.value)
    assert re.match(r"formula .*: ", said) and message in said
    assert "\n" not in said
