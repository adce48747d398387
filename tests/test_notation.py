"""`code` and `latex`: a model's statement as text that runs again, and in mathematical notation that is typeset."""

import dataclasses

import calls
import numpy as np
import pytest
import test_zoo
from matplotlib.mathtext import MathTextParser

import nlmebayes as nb
from model_zoo import Emax, LatentConstructs, OneCompartment
from nlmebayes.evaluation import nouns, storage
from nlmebayes.model import notation

TYPESET = MathTextParser("path").parse
RESIDUALS = [kind(**calls.CALLS.get(name, dict)()) for name, kind in nouns.residuals().items()]


def again(model):
    names = {}
    exec(nb.code(model), names)
    return names["model"]


def same(model):
    found = again(model)
    assert storage.statement(found) == storage.statement(model)
    assert found == model


@test_zoo.EACH
def test_the_code_of_every_class_and_option_gives_the_model(cls):
    for structure in test_zoo.variants(cls):
        same(nb.Model(structure, residual=nb.Additive()))


@test_zoo.EACH
def test_every_formula_of_every_class_is_typeset(cls):
    for structure in test_zoo.variants(cls)[:3]:
        for line in notation.lines(nb.Model(structure, residual=nb.Additive())):
            TYPESET(f"${line}$")


@pytest.mark.parametrize("residual", RESIDUALS, ids=str)
def test_every_residual_is_written_and_typeset_with_its_parts(residual):
    structure, name = (
        (LatentConstructs(link="logit"), "outcome") if residual.probability else (OneCompartment(), "conc")
    )
    same(nb.Model(structure, residual={name: residual}))
    text = residual.written("f", notation.word)
    TYPESET(f"${text}$")
    assert all(part in text for part in residual.priors(1.0))


def full():
    """A model that states everything."""
    return nb.Model(
        OneCompartment("first-order"), "cl ~ 1 + log(wt/70) + C(sex_1) + offset(log(z)) + (1|p|id) + (1|id:occ)",
        "v ~ 1 + s(age) + (1 + wt|p|id)", "ka ~ 1 + (1 + x||site)", "sigma_conc_a ~ 1 + wt",
        residual={"conc": nb.StudentT(), "pain%": nb.Combined("variance")},
        priors={"theta_cl": {"log(wt/70)": nb.Prior("Normal", mu=0.75, sigma=0.1)},
                "omega_id**2": nb.Prior("Gamma", alpha=2.0, beta=np.float64(3.0))},
        typical={"cl": (2.0, 0.5), "v": 30.0, "ka": 5.0}, links={"ka": nb.Logit(0.0, 9.0)}, inputs={"time": "hour_$"},
        parametrisation={("cl", "id"): "centred", "v": "noncentred"}, units={"time": "day"},
    )  # fmt: skip


def test_everything_that_a_model_states_comes_back():
    same(full())
    same(nb.Model(Emax(), fixed={"e0": 5.0}))


def test_everything_that_a_model_states_is_typeset_with_names_escaped():
    found = notation.lines(full())
    for line in found:
        TYPESET(f"${line}$")
    text = "\n".join(found)
    assert r"\log\,\mathrm{cl} = \theta_{\mathrm{cl}}" in text
    assert r"\mathrm{logit}\left(\frac{\mathrm{ka} - 0}{9 - 0}\right)" in text
    assert r"\mathrm{C(sex\_1)}" in text
    assert (
        r"\mathrm{pain\%} \sim \mathcal{N}\left(f_{\mathrm{pain\%}},\ (\sqrt{a^2 + b^2 f_{\mathrm{pain\%}}^2})^2\right)"
        in text
    )
    assert r"\Omega_{\mathrm{id}}" in text
    assert r"\eta^{(\mathrm{site})}_{\mathrm{ka},\,\mathrm{x}} \sim \mathcal{N}" in text


def test_with_data_the_levels_and_every_prior_are_told():
    text = nb.latex(nb.Model(OneCompartment(), residual=nb.Proportional()), calls.data())
    assert r"\log\,\mathrm{cl} = \theta_{\mathrm{cl}} + \eta^{(\mathrm{id})}_{\mathrm{cl}}" in text
    table = nb.priors(nb.Model(OneCompartment(), residual=nb.Proportional()), calls.data())
    assert sum(r"\sim \mathrm{" in line for line in text.splitlines()) == len(table)


@dataclasses.dataclass(frozen=True)
class Own(nb.Curve):
    """A structure of one's own: a line through the origin."""

    inputs = ("x",)
    parameters = (nb.Parameter("k"),)

    def curve(self, p, x):
        return p.k * x.x


def test_a_class_of_ones_own_is_imported_and_one_inside_a_function_is_refused():
    same(nb.Model(Own()))
    assert "from test_notation import Own" in nb.code(nb.Model(Own()))

    class Hidden(Own):
        pass

    with pytest.raises(nb.ModelError, match=r"code: .*Hidden is defined inside a function or a class"):
        nb.code(nb.Model(Hidden()))
    with pytest.raises(nb.ModelError, match="name='a b' is no name of a variable"):
        nb.code(nb.Model(Own()), name="a b")
