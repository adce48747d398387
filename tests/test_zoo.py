"""The contract that every class of the zoo keeps."""

import ast
import dataclasses
import inspect
import re
from itertools import combinations, product

import numpy as np
import pytest
from laws import parameter_names

import model_zoo
from nlmebayes.app import statement
from nlmebayes.errors import ModelError
from nlmebayes.model.model import Model
from nlmebayes.outcomes.counts import Poisson
from nlmebayes.outcomes.residual import Additive
from nlmebayes.parameter.parameter import Link
from nlmebayes.structure.curve import Curve
from nlmebayes.structure.linear import LinearSystem
from nlmebayes.structure.mammillary import Mammillary
from nlmebayes.structure.structure import Named, Structure
from nlmebayes.structure.superposition import Superposition
from nlmebayes.structure.system import System
from nlmebayes.words import StatementError

ZOO = [getattr(model_zoo, name) for name in model_zoo.__all__]
EACH = pytest.mark.parametrize("cls", ZOO, ids=lambda cls: cls.__name__)
DIMENSIONLESS = {"gamma"}  # exponents


def choices(cls, option):
    """Values of an option: both of a switch; those that its docstring lists in braces; of a part, or of names of
    columns, the default."""
    if option.type in (bool, "bool"):
        return (False, True)
    if isinstance(option.default, Structure) or option.type in (str, tuple[str, ...]):
        return (option.default,)
    listed = re.search(rf"^ *{option.name} : {{(.+)}}$", cls.__doc__, re.MULTILINE)
    assert listed, f"{cls.__name__}: no line '{option.name} : {{...}}' in its docstring"
    return [ast.literal_eval(value.strip()) for value in listed[1].split(",")]


def variants(cls):
    """Every combination of two of its options, the others at their defaults."""
    solvers = {field.name for field in dataclasses.fields(System)}
    options = {f.name: choices(cls, f) for f in dataclasses.fields(cls) if f.name not in solvers}
    found = {cls(): None}
    for pair in combinations(options, min(2, len(options))):
        for values in product(*(options[name] for name in pair)):
            found[cls(**dict(zip(pair, values, strict=True)))] = None
    return list(found)


def test_the_zoo_exports_its_classes_flat():
    assert {"OneCompartment", "Emax", "Gompertz", "LogisticGrowth", "LinearMixed", "LitterDecay"} <= set(
        model_zoo.__all__
    )


@EACH
def test_the_zoo_is_final(cls):
    (base,) = cls.__bases__
    assert inspect.isabstract(base)
    assert base.__module__.startswith("nlmebayes.")
    assert not inspect.isabstract(cls)
    assert not cls.__subclasses__()


@EACH
def test_no_concrete_method_is_overridden(cls):
    inherited = {name: value for base in reversed(cls.__mro__[1:-1]) for name, value in vars(base).items()}
    own = [name for name in vars(cls) if not name.startswith("__") and name in inherited]
    replaced = [name for name in own if inspect.isfunction(inherited[name]) or isinstance(inherited[name], property)]
    assert [name for name in replaced if not getattr(inherited[name], "__isabstractmethod__", False)] == []


@EACH
def test_structures_are_frozen_values(cls):
    assert cls() == cls()
    assert hash(cls()) == hash(cls())
    with pytest.raises(dataclasses.FrozenInstanceError):
        cls().anything = 1


@EACH
def test_the_docstring_says_formula_symbols_and_source(cls):
    assert ".. math::" in cls.__doc__
    assert "References\n" in cls.__doc__
    assert cls.__doc__.splitlines()[0].endswith(".")
    for structure in variants(cls):
        assert [p.name for p in structure.parameters if f"``{p.name}``" not in cls.__doc__] == []


@EACH
def test_parameters_have_units_and_reachable_typical_values(cls):
    for structure in variants(cls):
        names = parameter_names(structure)
        assert names == list(dict.fromkeys(names))
        for p in structure.parameters:
            assert p.unit or p.name in DIMENSIONLESS, f"{p.name} has no unit"
            assert isinstance(p.scale, Link)
            assert p.typical is None or np.isfinite(p.scale.forward(p.typical))


@EACH
def test_the_default_is_among_the_variants_and_labels_tell_them_apart(cls):
    labels = [structure.label for structure in variants(cls)]
    assert cls().label in labels
    assert len(set(labels)) == len(labels)


@EACH
def test_what_an_order_keeps_positive_is_positive_at_the_typical_values(cls):
    for structure in variants(cls):
        typical = Named(**{p.name: p.typical for p in structure.parameters})
        names = [gap.__name__ for gap in structure.order]
        assert names == list(dict.fromkeys(names))
        assert all(gap(typical).eval(mode="FAST_COMPILE") > 0 for gap in structure.order)


@EACH
def test_a_model_of_the_class_alone_prints_itself(cls):
    for structure in variants(cls):
        text = repr(Model(structure, residual=Additive()))
        assert structure.label in text
        assert [p.name for p in structure.parameters if not re.search(rf"^  {p.name} ~ [01]", text, re.M)] == []


@EACH
def test_the_class_lies_in_a_file_of_its_own_name(cls):
    stem = cls.__module__.rpartition(".")[2]
    assert stem.replace("_", "") == cls.__name__.lower()
    assert [c for c in ZOO if c.__module__ == cls.__module__] == [cls]


@pytest.mark.parametrize("abstract", [Structure, Curve, Superposition, LinearSystem, Mammillary])
def test_structures_without_a_law_cannot_be_made(abstract):
    with pytest.raises(TypeError, match="abstract"):
        abstract()


def test_a_name_that_is_not_there_lists_those_that_are():
    with pytest.raises(AttributeError, match="no 'clearance' here; there are cl, v"):
        _ = Named(cl=1.0, v=2.0).clearance


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("CountGLMM", "Poisson"), ("HospitalProfile", "Binomial"), ("TreatmentHeterogeneity", "Bernoulli"),
        ("ParametricSurvival", "TimeToEvent"), ("JointModel", "TimeToEvent"), ("TrajectoryPredictor", "Bernoulli"),
    ],
)  # fmt: skip
def test_what_is_no_mean_of_measurements_needs_a_residual(name, said):
    with pytest.raises(ModelError, match=rf"{name}\(.*\) needs residual=: .*{said}\("):
        Model(getattr(model_zoo, name)())
    with pytest.raises(ModelError, match=r"needs residual=: .*'outcome': Bernoulli\("):
        Model(model_zoo.LatentConstructs(link="logit"))
    assert Model(model_zoo.LatentConstructs()).residual == Additive()


def test_the_residual_that_is_assumed_of_one_structure_is_not_that_of_another():
    assert Model(model_zoo.LinearMixed()).but(structure=model_zoo.Emax()).residual == Additive()
    with pytest.raises(ModelError, match=r"CountGLMM.* needs residual=: Poisson"):
        Model(model_zoo.LinearMixed()).but(structure=model_zoo.CountGLMM())
    with pytest.raises(StatementError, match=r"CountGLMM.* needs residual=: Poisson"):
        statement.model({"name": "count-glmm"})
    assert statement.model({"name": "count-glmm", "residual": "poisson"}).residual == Poisson()
