"""Parameters that are known, and parameters on another link than their class declares."""

import numpy as np
import pandas as pd
import pytest

import nlmebayes as nb
from model_zoo import Emax, LinearMixed, OneCompartment
from nlmebayes.app import arguments, statement
from nlmebayes.evaluation import storage


def boluses():
    frame = pd.DataFrame({"ID": np.repeat(["a", "b"], 3), "TIME": [0.0, 1.0, 6.0] * 2, "AMT": [100.0, 0, 0] * 2})
    return nb.Dataset.from_nonmem(frame.assign(EVID=[1, 0, 0] * 2, DV=[np.nan, 2.0, 1.0] * 2), outcome="conc")


KNOWN = nb.Model(OneCompartment(), "cl ~ 1 + (1|id)", fixed={"v": 40.0}, residual=nb.Proportional())


def test_a_fixed_parameter_is_no_variable_and_stays_in_predictions():
    built = nb.build(KNOWN, boluses())
    assert {v.name for v in built.free_RVs} == {"theta_cl", "omega_id", "z_id", "sigma_conc_b"}
    tree = nb.simulate(KNOWN, boluses(), draws=5, random_seed=1)
    np.testing.assert_allclose(tree["prior"]["v"], 40.0, rtol=1e-14)
    cl = tree["prior"]["cl"].to_numpy()[0]
    exact = 100 / 40 * np.exp(-np.repeat(cl, 2, axis=1) / 40 * np.array([1.0, 6.0, 1.0, 6.0]))
    np.testing.assert_allclose(tree["prior"]["f_conc"][0], exact, rtol=1e-12)


def test_a_fixed_parameter_is_told_and_kept(tmp_path):
    assert KNOWN.fixed == ("v",) and "v ~ 0 + offset(log(40.0))   [log link, L, fixed]" in repr(KNOWN)
    tree = nb.simulate(KNOWN, boluses(), draws=20, random_seed=1)
    tree["posterior"] = tree["prior"].copy()
    nb.save(tree, tmp_path / "tree.nc")
    again = nb.load(tmp_path / "tree.nc")
    assert storage.stored_model(again) == KNOWN
    row = nb.summary(again).set_index("quantity").loc["v (fixed)"]
    assert row["mean"] == pytest.approx(40.0) and np.isnan(row["sd"])
    predicted = nb.predict(again, boluses(), random_seed=1)["posterior"]
    np.testing.assert_allclose(predicted["v"], 40.0, rtol=1e-14)


def test_a_fixed_parameter_of_a_statement():
    said = arguments.said({"model": "OneCompartment", "fixed": ["v=40"], "link": ["cl=identity"],
                           "typical": ["cl=3,1"], "data": "x.csv"})  # fmt: skip
    model = statement.model(said["model"])
    assert model.fixed == ("v",) and dict(model.scales)["cl"] == nb.Identity()
    whole = {"name": "OneCompartment", "formulas": list(model.formulas), "links": model.links, "typical": model.typical}
    assert statement.model(whole) == model


def test_another_value_of_a_fixed_parameter():
    assert KNOWN.but(fixed={"v": 20.0}).formulas == ("cl ~ 1 + (1|id)", "v ~ 0 + offset(log(20.0))")
    assert KNOWN.but(residual=nb.Additive()).fixed == ("v",)
    with pytest.raises(nb.ModelError, match="v is fixed, and its link is another now: state its value anew"):
        KNOWN.but(links={"v": "identity"}, typical={"v": (40.0, 9.0)})
    there = KNOWN.but(links={"v": "identity"}, typical={"v": (40.0, 9.0)}, fixed={"v": 40.0})
    assert there.formulas[1] == "v ~ 0 + offset(40.0)"


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        ({"fixed": {"vv": 1.0}}, "fixed: no parameter 'vv'; parameters are cl, v"),
        ({"fixed": {"v": 0.0}}, r"fixed: v = 0 is outside \(0, inf\), the range of its log link"),
        ({"fixed": {"cl": 1.0}}, "'cl' has two formulas, or is fixed beside one"),
        ({"fixed": {"v": "1"}}, "fixed of v must be a finite number"),
        ({"links": {"vv": "log"}}, "links: no parameter 'vv' in OneCompartment"),
        ({"links": {"v": "loglog"}}, "no link 'loglog' for v; there are identity, log, logit, probit"),
        ({"links": {"v": "logit"}}, r"typical value .* is outside \(0, 1\)"),
        ({"links": {"v": "identity"}}, "an identity link needs spread="),
    ],
)
def test_what_cannot_be_fixed_or_linked(stated, message):
    with pytest.raises((nb.ModelError, nb.FormulaError), match=message):
        nb.Model(OneCompartment(), "cl ~ 1 + (1|id)", **stated)


def doses():
    frame = pd.DataFrame({"id": np.repeat(["a", "b"], 4), "concentration": [0.0, 1.0, 5.0, 20.0] * 2, "y": 30.0})
    return nb.Dataset.from_frame(frame, outcome="y", levels="id")


def test_a_link_of_a_zoo_class_is_replaced():
    model = nb.Model(Emax(), links={"e0": "log"}, typical={"e0": 2.0})
    table = nb.priors(model, doses()).set_index("variable")
    assert table.loc["theta_e0", "prior"] == f"Normal(mu={np.log(2.0):g}, sigma=1)"
    tree = nb.simulate(model, doses(), draws=50, random_seed=1)
    e0 = tree["prior"]["e0"].to_numpy()[0]
    linear = tree["prior"]["theta_e0"].to_numpy()[0] + tree["prior"]["eta_id"].sel(id_effect="e0").to_numpy()[0]
    np.testing.assert_allclose(e0, np.exp(linear), rtol=1e-12)
    np.testing.assert_allclose(tree["prior"]["f_y"].to_numpy()[0, :, [0, 4]].T, e0, rtol=1e-12)
    assert "[log link, effect]" in repr(model) and storage.revive(storage.plain(model)) == model
    on_percent = nb.Model(Emax(), links={"e0": nb.Logit(0, 100)}, typical={"e0": (2.0, 0.5)})
    assert storage.revive(storage.plain(on_percent)) == on_percent and on_percent.parameters[0].spread == 0.5
    assert "links" not in storage.statement(nb.Model(Emax()))  # trees written before are read


def test_a_link_needs_to_know_where_the_parameter_is():
    with pytest.raises(nb.ModelError, match=r"links: say where mu is on its new scale, typical=\{'mu': value\}"):
        nb.Model(LinearMixed(), links={"mu": "log"}, residual=nb.Poisson())


@pytest.mark.parametrize("link", ["logit", "probit", "log", nb.Logit(0, 100)])
def test_a_prediction_on_another_link_needs_a_residual(link):
    """It was `Additive` without a word, of a probability and of a rate."""
    stated = {"links": {"mu": link}, "typical": {"mu": 0.3}}
    said = "LinearMixed.. with mu on its .* link predicts what may be a probability or a rate: say residual="
    for asked in (lambda: nb.Model(LinearMixed(), **stated), lambda: nb.Model(LinearMixed()).but(**stated)):
        with pytest.raises(nb.ModelError, match=said):
            asked()
    wrapped = nb.LatentCovariate(LinearMixed(), "age", ("mu",), 50.0, 10.0)
    assert wrapped.direct == ("mu",) and nb.Model(wrapped).residual == nb.Additive()
    model = nb.Model(LinearMixed(), residual=nb.Additive(), **stated)
    assert "residual=nb.Additive()" in nb.code(model) and model.but(parametrisation="centred").residual == nb.Additive()
    assert "residual" not in nb.code(nb.Model(LinearMixed(), links={"mu": "identity"}))


def test_a_link_in_a_structure_that_wraps_another():
    wrapped = nb.LatentCovariate(OneCompartment(), "wt", ("cl",), 70.0, 15.0)
    model = nb.Model(wrapped, links={"v": "identity"}, typical={"v": (40.0, 10.0)})
    assert dict(model.scales)["v"] == nb.Identity() and dict(model.scales)["cl"] == nb.Log()
    with pytest.raises(nb.ModelError, match="reads that of cl itself; take a structure with another"):
        nb.Model(wrapped, links={"cl": "identity"}, typical={"cl": (3.0, 1.0)})


def test_doses_for_a_model_with_another_link():
    """Clearance is normal: AUC = dose / clearance, of the forecast's own draws and of the population."""
    model = nb.Model(OneCompartment(), "cl ~ 1 + (1|id)", links={"cl": "identity"}, typical={"cl": (3.0, 1.0)},
                     fixed={"v": 40.0}, residual=nb.Proportional())  # fmt: skip
    tree = nb.population(model, theta={"cl": 3.0}, omega={"sd": {"cl": 0.5}}, sigma={"b": 0.1})
    with pytest.raises(nb.ModelError, match="theta of v: 50 is a typical value, and by its formula v is known"):
        nb.population(model, theta={"cl": 3.0, "v": 50.0}, omega={"sd": {"cl": 0.5}}, sigma={"b": 0.1})
    patient = boluses().sel(id="a")
    forecast = nb.forecast(tree, patient.with_values(conc=[2.3, 1.6]), draws=2000, random_seed=1)
    regimen = nb.Regimen(300.0, start=24.0, every=12.0, steady=True)
    found = nb.recommend(forecast, regimen, nb.AUC(50, 200))
    cl = forecast["posterior"]["cl"].to_numpy()[0, :, -1]
    assert found["median"][0] == pytest.approx(np.median(300 / cl), rel=1e-9)
    prior = forecast["prior"]["cl"].to_numpy()[0, :, -1]
    assert (prior.mean(), prior.std()) == (pytest.approx(3.0, abs=0.05), pytest.approx(0.5, abs=0.03))
    assert nb.next_sample(forecast, [30.0], "cl")["sd_now"][0] == pytest.approx(cl.std(), rel=1e-6)
