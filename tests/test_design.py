"""The formula language, stage resolve: terms against data, observed groups, and the state of the training design."""

import numpy as np
import pandas as pd
import pytest
from laws import OralResponse
from scipy.interpolate import BSpline

import nlmebayes as nb
from model_zoo import Emax, Gompertz, LinearMixed, OneCompartment
from nlmebayes.data.dataset import Dataset
from nlmebayes.data.validate import DataError
from nlmebayes.errors import ModelError
from nlmebayes.formula import FormulaError
from nlmebayes.formula.design import resolve
from nlmebayes.model.model import Model


def tidy(sites=2, subjects=2, records=3, **columns):
    """Subjects within sites, labelled uniquely, each at times 0, 1, ...; ``wt`` and ``genotype`` belong to subjects."""
    n = sites * subjects
    subject = np.repeat(np.arange(n), records)
    base = {
        "site": np.char.add("s", (subject // subjects).astype(str)),
        "subject": np.char.add("p", subject.astype(str)),
        "time": np.tile(np.arange(records, dtype=float), n),
        "y": np.random.default_rng(1).normal(size=n * records),
        "wt": 50.0 + 7.0 * subject,
        "genotype": np.array(["aa", "ab", "bb"])[subject % 3],
    }
    return pd.DataFrame(base | columns)


def read(frame=None, levels=("site", "subject"), **options):
    frame = tidy() if frame is None else frame
    return Dataset.from_frame(frame, **({"outcome": "y", "time": "time", "levels": levels} | options))


def design(*formulas, data=None, training=None, structure=None, **options):
    model = Model(structure or LinearMixed(), *formulas, **options)
    return resolve(model, read() if data is None else data, training)


def fixed(formula, **options):
    return design(formula, **options).fixed["mu"]


def levels(resolved):
    """What the levels hold: name -> (labels, effects, blocks as tuples of effect names)."""
    found = {}
    for level in resolved.levels:
        names = [effect.name for effect in level.effects]
        found[level.name] = (level.labels, names, [tuple(names[k] for k in b.effects) for b in level.blocks if b.name])
    return found


ORAL = OneCompartment("first-order")
BOLUS = pd.DataFrame({"site": ["s0"], "subject": ["p0"], "time": [0.0], "amt": [1.0]})


def oral(*formulas, **options):
    return design(*formulas, structure=ORAL, data=read(doses=BOLUS), **options)


# --- the fixed part --------------------------------------------------------------------------------------------------


def test_terms_are_evaluated_over_units():
    matrix = fixed("mu ~ 1 + log(wt/70) + C(genotype)")
    assert matrix.terms == ("Intercept", "log(wt / 70)", "C(genotype)[ab]", "C(genotype)[bb]")
    assert matrix.values[:, 1] == pytest.approx(np.log(np.array([50, 57, 64, 71]) / 70))
    assert matrix.values[:, 2:].tolist() == [[0, 0], [1, 0], [0, 1], [0, 0]]


def test_units_are_as_few_as_the_formulas_allow():
    assert len(design("mu ~ wt").units) == 4
    assert len(design("mu ~ time").units) == 12
    assert len(design("mu ~ 1", data=read(tidy(x=np.arange(12.0)))).units) == 4


def test_cell_means_have_one_column_per_category():
    matrix = fixed("mu ~ 0 + genotype")
    assert matrix.terms == ("genotype[aa]", "genotype[ab]", "genotype[bb]")
    assert (matrix.values.sum(axis=1) == 1).all()


@pytest.mark.parametrize("text", ["-1", "0", "1 - 1"])
def test_a_parameter_without_fixed_effects(text):
    resolved = design(f"mu ~ {text} + (1|subject)")
    assert resolved.fixed["mu"].values.shape == (4, 0)
    assert list(levels(resolved)) == ["subject"]


def test_offsets_are_added_and_have_no_coefficient():
    matrix = fixed("mu ~ 1 + offset(log(wt))")
    assert matrix.terms == ("Intercept",)
    assert matrix.offset == pytest.approx(np.log([50, 57, 64, 71]))


def test_offsets_add_up():
    data = read(tidy(dose=np.repeat([1.0, 2.0, 3.0, 4.0], 3)))
    assert fixed("mu ~ offset(wt) + offset(dose)", data=data).offset.tolist() == [51, 59, 67, 75]


def test_an_offset_alone_fixes_the_parameter():
    matrix = fixed("mu ~ 0 + offset(wt)")
    assert (matrix.terms, matrix.offset.tolist()) == ((), [50, 57, 64, 71])


def test_interactions_are_products():
    matrix = fixed("mu ~ 0 + wt:genotype")
    assert matrix.values.sum(axis=1).tolist() == [50, 57, 64, 71]
    assert (np.count_nonzero(matrix.values, axis=1) == 1).all()


def test_splines_are_those_of_scipy():
    weights = np.linspace(40, 110, 40)
    matrix = fixed("mu ~ 0 + bs(wt, df=5, center=False)", data=read(tidy(20, 2, 1, wt=weights)))
    knots = np.r_[[40.0] * 4, np.median(weights), [110.0] * 4]
    assert matrix.values == pytest.approx(BSpline.design_matrix(weights, knots, 3).toarray(), abs=1e-12)


def test_unused_categories_make_no_columns():
    frame = tidy(genotype=pd.Categorical(tidy()["genotype"], categories=["aa", "ab", "bb", "zz"]))
    assert fixed("mu ~ genotype", data=read(frame)).terms == ("Intercept", "genotype[ab]", "genotype[bb]")


def test_the_order_of_subjects_only_orders_the_units():
    frame = tidy()
    turned = frame.iloc[::-1]
    one, other = fixed("mu ~ center(wt) + genotype"), fixed("mu ~ center(wt) + genotype", data=read(turned, sort=True))
    assert one.terms == other.terms
    assert one.values == pytest.approx(other.values[::-1])


# --- new data are evaluated in the state of the training design ------------------------------------------------------

STATEFUL = [
    "center(wt)",
    "scale(wt)",
    "C(genotype)",
    "genotype",
    "bs(wt, df=4)",
    "poly(wt, 2)",
    "0 + genotype:wt",
    "offset(wt)",
]


@pytest.mark.parametrize("terms", STATEFUL)
def test_one_patient_is_evaluated_as_in_training(terms):
    data = read(tidy(3, 3))
    training = design(f"mu ~ {terms}", data=data)
    for i, label in enumerate(training.labels):
        new = design(f"mu ~ {terms}", data=data.sel(subject=label), training=training)
        assert new.fixed["mu"].values == pytest.approx(training.fixed["mu"].values[i : i + 1])
        assert new.fixed["mu"].offset == pytest.approx(training.fixed["mu"].offset[i : i + 1])


def test_slopes_of_random_effects_keep_their_state_too():
    data, formula = read(tidy(3, 3)), "mu ~ 1 + (1 + center(wt)|site)"
    training = design(formula, data=data)
    new = design(formula, data=data.sel(subject="s2/p8"), training=training)
    assert new.levels[0].z == pytest.approx(training.levels[0].z[-1:])


def test_numbers_outside_the_training_data():
    training = design("mu ~ center(wt) + log(wt)")
    new = design(data=read(tidy(1, 1, wt=[200.0] * 3)), training=training)
    assert new.fixed["mu"].values == pytest.approx(np.array([[1, 200 - 60.5, np.log(200)]]))


def test_the_formulas_are_those_of_the_training_design():
    training = design("mu ~ wt + (1|site)")
    new = design(data=read().sel(site="s1"), training=training)
    assert new.formulas == training.formulas


def test_a_single_new_patient_keeps_the_levels_of_the_training_design():
    data, formula = read(), "mu ~ 1 + (1|site/subject)"
    training = design(formula, data=data)
    new = design(formula, data=data.sel(subject="s1/p3"), training=training)
    assert {name: found[0] for name, found in levels(new).items()} == {"site": ("s1",), "subject": ("s1/p3",)}


def test_a_new_subject_in_a_known_batch_is_a_new_subject():
    """In training each batch has one subject; the two partitions are equal there, and only there."""
    frame = tidy(batch=np.repeat(["b0", "b1", "b2", "b3"], 3))
    formulas = ("cl ~ (1|batch)", "v ~ (1|subject)", "ka ~ 1")
    training = design(*formulas, structure=ORAL, data=read(frame, doses=BOLUS))
    patients = frame.assign(subject=frame["subject"].replace({"p1": "new"}), batch="b0").query("site == 's0'")
    found = design(*formulas, structure=ORAL, data=read(patients, doses=BOLUS), training=training)
    (level,) = [level for level in found.levels if "v" in [effect.name for effect in level.effects]]
    assert [level.labels[i] for i in level.of_unit] == ["s0/p0", "s0/new"]


def test_an_unseen_category_is_named():
    training = design("mu ~ C(genotype)")
    with pytest.raises(DataError, match=r"C\(genotype\).*zz"):
        design("mu ~ C(genotype)", data=read(tidy(1, 1, genotype="zz")), training=training)


def test_new_data_without_a_covariate_are_refused():
    training = design("mu ~ wt")
    with pytest.raises(FormulaError, match="no column 'wt' in the data"):
        design("mu ~ wt", data=read(tidy().drop(columns="wt")), training=training)


# --- levels: observed groups only ------------------------------------------------------------------------------------


def test_only_observed_groups_exist():
    data = read(tidy(sites=20, subjects=5, records=1))
    site, subject = design("mu ~ 1 + (1|site/subject)", data=data).levels
    assert (len(site.labels), len(subject.labels)) == (20, 100)
    assert subject.labels[-1] == "s19/p99"
    assert (site.of_unit == np.repeat(np.arange(20), 5)).all()


@pytest.mark.parametrize(
    "twin",
    [
        "(1|site) + (1|subject)",
        "(1|site) + (1|site:subject)",
        "(1|site) + (1|subject:site)",
        "(1|subject) + (1|site)",
    ],
)
def test_spellings_of_nested_levels_agree(twin):
    one, other = design("mu ~ 1 + (1|site/subject)"), design(f"mu ~ 1 + {twin}")
    assert levels(one) == levels(other)
    assert all((a.of_unit == b.of_unit).all() for a, b in zip(one.levels, other.levels, strict=True))


def test_subjects_numbered_within_sites_are_other_subjects():
    frame = tidy(subject=np.tile(np.repeat(["p0", "p1"], 3), 2))
    data = read(frame, levels=("site", "site/subject"))
    assert levels(design("mu ~ (1|site/subject)", data=data))["subject"][0] == ("s0/p0", "s0/p1", "s1/p0", "s1/p1")
    assert levels(design("mu ~ (1|subject)", data=data))["subject"][0] == ("s0/p0", "s0/p1", "s1/p0", "s1/p1")


@pytest.mark.parametrize("texts", [("(1|site/subject)", "(1|subject)"), ("(1|subject)", "(1|site/subject)")])
def test_equal_partitions_are_one_level_whichever_formula_comes_first(texts):
    data = read(doses=BOLUS.drop(columns="site"), levels="subject")
    found = design(f"cl ~ {texts[0]}", f"v ~ {texts[1]}", "ka ~ 1", structure=ORAL, data=data)
    assert {name: found[1] for name, found in levels(found).items() if len(found[0]) == 4} == {"subject": ["cl", "v"]}


def test_any_column_may_group_and_crossing_is_allowed():
    frame = tidy(rater=["r1", "r2", "r3"] * 4)
    found = levels(design("mu ~ 1 + (1|subject) + (1|rater)", data=read(frame)))
    assert found["rater"] == (("r1", "r2", "r3"), ["mu"], [])
    assert len(found["subject"][0]) == 4


def test_a_combination_of_columns_has_its_observed_members():
    assert levels(design("mu ~ (1|genotype:site)"))["genotype_site"][0] == ("aa/s0", "ab/s0", "bb/s1", "aa/s1")


def test_categories_may_group():
    frame = tidy(plot=pd.Categorical(np.repeat([1, 2, 3, 1], 3), categories=[3, 2, 1, 0]))
    level = design("mu ~ (1|plot)", data=read(frame)).levels[0]
    assert np.array(level.labels)[level.of_unit].tolist() == ["1", "2", "3", "1"]


@pytest.mark.parametrize(
    "numbers", [[1, 2, 3, 4], [20260101, 20260102, 20260103, 20260104], [0.1234561, 0.1234562, 3, 4]]
)
def test_groups_with_numbers_for_labels_stay_apart(numbers):
    level = design("mu ~ (1|batch)", data=read(tidy(batch=np.repeat(numbers, 3)))).levels[0]
    assert level.of_unit.tolist() == [0, 1, 2, 3]
    assert [float(label) for label in level.labels] == numbers


def test_renaming_groups_renames_labels_only():
    frame = tidy()
    renamed = frame.assign(subject=frame["subject"].map({"p0": "zoe", "p1": "yan", "p2": "xi", "p3": "wu"}))
    one, other = design("mu ~ (1|site/subject)").levels, design("mu ~ (1|site/subject)", data=read(renamed)).levels
    assert other[1].labels == ("s0/zoe", "s0/yan", "s1/xi", "s1/wu")
    assert (one[1].of_unit == other[1].of_unit).all()


# --- effects and blocks ----------------------------------------------------------------------------------------------


def test_slopes_scale_their_columns():
    level = design("mu ~ 1 + (1 + time|subject)").levels[0]
    assert [effect.name for effect in level.effects] == ["mu", "mu:time"]
    assert level.z.tolist() == [[1.0, t] for t in [0, 1, 2]] * 4


@pytest.mark.parametrize(
    ("term", "effects", "blocks"),
    [
        ("(1|subject)", ["mu"], []),
        ("(1 + time|subject)", ["mu", "mu:time"], [("mu", "mu:time")]),
        ("(time|subject)", ["mu", "mu:time"], [("mu", "mu:time")]),
        ("(1 + time|p|subject)", ["mu", "mu:time"], [("mu", "mu:time")]),
        ("(1 + time||subject)", ["mu", "mu:time"], []),
        ("(1|subject) + (0 + time|subject)", ["mu", "mu:time"], []),
        ("(0 + time|subject)", ["mu:time"], []),
        ("(0 + genotype||site)", ["mu:genotype[aa]", "mu:genotype[ab]", "mu:genotype[bb]"], []),
    ],
)
def test_effects_and_their_correlation(term, effects, blocks):
    ((_, found, correlated),) = levels(design(f"mu ~ 1 + {term}")).values()
    assert (found, correlated) == (effects, blocks)


def test_separate_terms_are_separate_blocks():
    data = read(tidy(x=np.arange(12.0) ** 2, z=np.arange(12.0) ** 3))
    ((_, _, blocks),) = levels(design("mu ~ 1 + (1 + time|subject) + (0 + x + z|subject)", data=data)).values()
    assert sorted(blocks) == [("mu", "mu:time"), ("mu:x", "mu:z")]


def test_a_shared_name_joins_effects_across_parameters():
    found = levels(oral("cl ~ (1|p|subject)", "v ~ (1 + wt|p|subject)", "ka ~ (1|subject)"))
    assert found["subject"][1:] == (["cl", "v", "v:wt", "ka"], [("cl", "v", "v:wt")])


def test_a_shared_name_joins_within_each_level():
    found = levels(oral("cl ~ (1|p|site/subject)", "v ~ (1|p|site/subject)", "ka ~ 1"))
    assert [found[name][2] for name in ("site", "subject")] == [[("cl", "v")], [("cl", "v")]]


def test_two_names_are_two_blocks():
    found = levels(oral("cl ~ (1 + wt|a|subject)", "v ~ (1|b|subject)", "ka ~ (1|b|subject)"))
    assert found["subject"][2] == [("cl", "cl:wt"), ("v", "ka")]


def test_a_shared_name_may_be_that_of_a_parameter():
    found = levels(oral("cl ~ (1 + wt|subject)", "v ~ (1|cl|subject)", "ka ~ (1|cl|subject)"))
    assert found["subject"][2] == [("cl", "cl:wt"), ("v", "ka")]


def test_parametrisations_make_blocks_of_their_own():
    found = oral("cl ~ (1|subject)", "v ~ (1|subject)", "ka ~ 1", parametrisation={"cl": "centred"}).levels[0]
    assert [(b.effects, b.parametrisation) for b in found.blocks] == [((0,), "centred"), ((1,), "auto")]


# --- default formulas ------------------------------------------------------------------------------------------------


def test_every_parameter_that_varies_gets_every_level():
    assert {name: found[1] for name, found in levels(oral()).items()} == {
        "site": ["cl", "v", "ka"], "subject": ["cl", "v", "ka"],
    }  # fmt: skip


def test_a_parameter_that_does_not_vary_gets_none():
    resolved = design(structure=Gompertz())
    assert resolved.formulas[0].text == "v0 ~ 1"
    assert levels(resolved)["subject"][1] == ["alpha", "beta"]


def test_a_stated_formula_stands_alone():
    assert levels(oral("cl ~ 1", "v ~ (1|subject)"))["site"][1] == ["ka"]


def test_defaults_leave_out_a_level_with_one_group():
    assert list(levels(design(data=read(tidy(sites=1, subjects=3))))) == ["subject"]
    assert levels(design(data=read(tidy(sites=1, subjects=1)))) == {}


# --- errors ----------------------------------------------------------------------------------------------------------

HAVE = "levels are site, subject; columns are time, wt, genotype"


@pytest.mark.parametrize(
    ("formula", "message"),
    [
        ("mu ~ age", f"no column 'age' in the data; {HAVE}"),
        ("mu ~ log(age/40)", f"no column 'age' in the data; {HAVE}"),
        ("mu ~ 1 + (age|subject)", f"no column 'age' in the data; {HAVE}"),
        ("mu ~ 1 + (1|ward)", f"no level or column 'ward' in the data; {HAVE}"),
        ("mu ~ 1 + (1|site/ward)", f"no level or column 'ward' in the data; {HAVE}"),
        ("mu ~ y", "no column 'y' in the data"),
        ("mu ~ value", "no column 'value' in the data"),
        ("mu ~ cube(wt)", "no function 'cube'"),
        ("mu ~ wt +* time", "cannot read"),
        ("mu ~ 2*wt", "2"),
        ("mu ~ wt|subject", r"\|"),
        ("mu ~ wt*(1|subject)", r"\(1\|subject\)"),
        ("mu ~ 1 ~ wt", "~"),
        ("mu ~ wt ~ time", "~"),
        ("mu ~ 1 + (0|subject)", r"\(0\|subject\)"),
        ("mu ~ 1 + (offset(wt)|subject)", "offset"),
        ("mu ~ 1 + (1|subject) + (1|subject)", "effect of Intercept on mu at level subject is twice"),
        ("mu ~ 1 + (1|site/subject) + (1|subject)", "effect of Intercept on mu at level subject is twice"),
        ("mu ~ 1 + (1|p|subject)", r"'p' is used once at level subject, for mu: .*\(1\|subject\)"),
    ],
)
def test_a_formula_that_does_not_fit_says_what_exists(formula, message):
    with pytest.raises(FormulaError, match=message):
        design(formula)


def test_a_shared_name_used_at_two_levels_is_used_once_at_each():
    with pytest.raises(FormulaError, match="'p' is used once at level site, for v"):
        oral("cl ~ (1|p|subject)", "v ~ (1|p|site)", "ka ~ 1")


def test_a_block_has_one_parametrisation():
    with pytest.raises(FormulaError, match="share 'p' at level subject must share a parametrisation"):
        oral("cl ~ (1|p|subject)", "v ~ (1|p|subject)", parametrisation={"cl": "centred", "v": "noncentred"})


def test_effects_that_share_a_correlation_take_the_parametrisation_that_one_has():
    blocks = oral("cl ~ (1|p|subject)", "v ~ (1|p|subject)", parametrisation={"cl": "centred"}).levels[-1].blocks
    assert [(b.effects, b.parametrisation) for b in blocks if b.name == "p"] == [((0, 1), "centred")]


def test_a_random_effect_needs_groups():
    with pytest.raises(
        FormulaError, match=r"\(1\|site\) has one group only \(s0\).*leave it out, e\.g\. 'mu ~ 1 \+ wt'"
    ):
        design("mu ~ wt + (1|site)", data=read(tidy(sites=1)))


def test_an_unknown_parameter_lists_those_of_the_structure():
    with pytest.raises(FormulaError, match="no parameter 'cL' in OneCompartment; its parameters are cl, v, ka"):
        Model(ORAL, "cL ~ 1")
    with pytest.raises(FormulaError, match="parameter 'cl' has two formulas"):
        Model(ORAL, "cl ~ 1", "cl ~ wt")


@pytest.mark.parametrize("formula", ["mu ~ wt", "mu ~ 1 + (wt|subject)", "mu ~ 1 + (1|wt)"])
def test_a_missing_covariate_is_named_by_row_and_column(formula):
    weights = np.repeat([50.0, np.nan, 60.0, 70.0], 3)
    with pytest.raises(DataError, match=r"row 4, column wt: is missing, and 'mu ~ .*' needs it"):
        design(formula, data=read(tidy(wt=weights)))


def test_a_missing_covariate_that_is_not_read_does_not_matter():
    assert len(design("mu ~ 1", data=read(tidy(wt=np.nan))).units) == 4


@pytest.mark.filterwarnings("ignore:divide by zero:RuntimeWarning")
def test_a_term_that_is_not_finite_names_its_unit():
    with pytest.raises(DataError, match=r"term log\(wt\) is not finite for site s0, subject s0/p1, wt 0\.0"):
        design("mu ~ log(wt)", data=read(tidy(wt=np.repeat([50.0, 0.0, 60.0, 70.0], 3))))


def test_a_superposition_needs_constant_parameters_and_a_state_that_is_carried_on_does_not():
    data = read(tidy(creatinine=np.arange(12.0)), doses=BOLUS)
    with pytest.raises(DataError, match=r"row 2, column creatinine: changes within subject s0/p0 from 0\.0 to 1\.0"):
        design("cl ~ creatinine", structure=OralResponse(), data=data)
    assert len(design("cl ~ creatinine", structure=ORAL, data=data).units) == 12
    assert len(design("cl ~ 1", structure=ORAL, data=data).units) == 4


def test_a_missing_input_says_how_to_name_it():
    with pytest.raises(DataError, match=r"needs the input 'concentration'.*inputs=\{'concentration': 'column'\}"):
        design(structure=Emax())
    with pytest.raises(ModelError, match="no input 'dose' in Emax; its inputs are concentration"):
        Model(Emax(), inputs={"dose": "wt"})


def test_an_input_with_a_gap_is_named_by_row_and_column():
    frame = tidy(concentration=[np.nan if i == 7 else float(i) for i in range(12)])
    with pytest.raises(DataError, match="row 8, column concentration: is missing"):
        design(structure=Emax(), data=read(frame))


def test_an_input_may_have_another_name():
    found = design(structure=Emax(), inputs={"concentration": "time"})
    assert found.outcomes[0].inputs["concentration"].tolist() == [0, 1, 2] * 4


# --- records ---------------------------------------------------------------------------------------------------------


def test_records_know_their_unit_and_the_doses_of_their_subject():
    resolved = oral("cl ~ wt")
    (observed,) = resolved.outcomes
    assert np.array(resolved.labels)[observed.unit].tolist() == observed.subject.tolist()
    doses = resolved.records[resolved.records["what"] == "dose"]
    assert (doses["subject"].tolist(), doses["amount"].tolist(), doses["unit"].tolist()) == ([0], [1.0], [0])
    assert observed.subject_number.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]
    assert observed.values.tolist() == read().observations["value"].tolist()


def test_labels_of_units_tell_them_apart():
    assert design("mu ~ 1").labels == ("s0/p0", "s0/p1", "s1/p2", "s1/p3")
    assert design("mu ~ time").labels[:2] == ("s0/p0 time=0", "s0/p0 time=1")
    late = design("mu ~ time", data=read(tidy(time=np.tile([20260101.0, 20260102.0, 20260103.0], 4)))).labels
    assert len(set(late)) == 12


# --- cases that people met -------------------------------------------------------------------------------------------


def test_a_level_in_other_capitals_is_the_same_for_a_patient_of_a_stated_population():
    structure, sd = OneCompartment(), {"ID": {"sd": {"cl": 0.3}}}
    tree = nb.population(structure, "cl ~ 1 + (1|ID)", theta={"cl": 3, "v": 30}, omega=sd, sigma={"b": 0.1})
    frame = pd.DataFrame({"ID": 1, "TIME": [0.0, 2.0], "AMT": [100.0, 0.0], "DV": [np.nan, 2.5], "EVID": [1, 0]})
    patient = nb.Dataset.from_nonmem(frame, outcome="conc")
    found = nb.forecast(tree, patient, random_seed=1)
    assert found["posterior"]["eta_ID"].shape[-2:] == (1, 1)


def test_new_data_have_the_levels_that_were_fitted():
    training = design("mu ~ 1 + (1|site/subject)")
    with pytest.raises(FormulaError, match=r"the data have the levels subject, .*declare the same levels"):
        design(data=read(levels=("subject",)), training=training)


def test_a_class_that_is_no_dataclass_is_printed():
    class Wash(nb.LinearSystem):
        states = ("central",)
        parameters = (nb.Parameter("k", "1/h", 0.1),)

        def flows(self, p):
            return {("central", None): p.k}

        def outcomes(self, t, y, p):
            return {"amount": y.central}

    assert str(Model(Wash())).startswith("Model: Wash()\n  k ~ 1")
