"""simulate and predict: populations, known and unknown groups, stored results."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import nlmebayes as nb
from model_zoo import Emax, LinearMixed, OneCompartment, ReliabilityICC
from nlmebayes.formula.design import resolve
from nlmebayes.inference.starts import typical_start

TRUTH = {"theta_mu": [3.0], "omega_site": [2.0], "omega_subject": [0.5], "sigma_y_a": 0.1}


@pytest.fixture(scope="module")
def nested():
    subject = np.repeat(np.arange(60), 3)
    frame = pd.DataFrame({"site": subject // 6, "subject": subject, "y": np.arange(180.0)})
    return nb.Dataset.from_frame(frame, outcome="y", levels=("site", "subject"))


def linear():
    return nb.Model(LinearMixed(), "mu ~ 1 + (1|site/subject)")


def test_simulated_effects_have_the_stated_spread(nested):
    prior = nb.simulate(linear(), nested, values=TRUTH, draws=200, random_seed=1)["prior"]
    for name, omega in (("eta_site", 2.0), ("eta_subject", 0.5)):
        eta = prior[name].to_numpy()
        assert eta.std() == pytest.approx(omega, rel=4 / np.sqrt(2 * eta.size))
    simulated = nb.simulate(linear(), nested, values=TRUTH, draws=200, random_seed=1)
    scatter = simulated["prior_predictive"]["y"] - simulated["prior"]["f_y"]
    assert float(scatter.std()) == pytest.approx(0.1, rel=4 / np.sqrt(2 * scatter.size))


def test_correlated_effects_have_the_stated_correlation(nested):
    data = nb.datasets.sleepstudy()
    model = nb.Model(LinearMixed(), "mu ~ 1 + Days + (1 + Days|Subject)")
    values = {"omega_Subject": [20.0, 5.0], "corr_Subject": [[1, -0.7], [-0.7, 1]]}
    eta = nb.simulate(model, data, values=values, draws=400, random_seed=2)["prior"]["eta_Subject"].to_numpy()
    found = np.corrcoef(eta.reshape(-1, 2).T)[0, 1]
    assert found == pytest.approx(-0.7, abs=4 * (1 - 0.49) / np.sqrt(400 * 18))


def test_prior_draws_come_from_the_tabulated_priors():
    data = nb.datasets.theophylline()
    model = nb.Model(OneCompartment(absorption="first-order"))
    prior = nb.simulate(model, data, draws=2000, random_seed=3)["prior"]
    assert float(prior["theta_cl"].mean()) == pytest.approx(np.log(3), abs=4 / np.sqrt(2000))
    assert float(prior["omega_id"].mean()) == pytest.approx(0.5 * np.sqrt(2 / np.pi), rel=0.05)


def test_values_must_name_population_variables(nested):
    with pytest.raises(nb.ModelError, match="no population variable 'theta_cl'; there are theta_mu"):
        nb.simulate(linear(), nested, values={"theta_cl": 1.0})


@pytest.fixture(scope="module")
def tree(nested):
    found = nb.simulate(linear(), nested, values=TRUTH, draws=300, random_seed=4)
    found["posterior"] = found["prior"]
    return found


def test_known_units_keep_their_draws_and_new_ones_are_drawn(tree, nested):
    frame = pd.DataFrame({"site": [0, 0, 99], "subject": [0, 500, 501], "y": [0.0, 0.0, 0.0]})
    new = nb.Dataset.from_frame(frame, outcome="y", levels=("site", "subject"))
    f = nb.predict(tree, new, random_seed=1)["posterior"]["f_y"].to_numpy()[0]
    known = tree["posterior"]["f_y"].to_numpy()[0, :, 0]
    np.testing.assert_allclose(f[:, 0], known, rtol=1e-12)
    site = tree["posterior"]["eta_site"].to_numpy()[0, :, 0, 0]
    assert (f[:, 1] - 3.0 - site).std() == pytest.approx(0.5, rel=0.2)  # a new subject at the known site 0
    assert (f[:, 2] - 3.0).std() == pytest.approx(np.hypot(2.0, 0.5), rel=0.2)  # at a new site


def test_redraw_makes_other_individuals(tree):
    f = nb.predict(tree, redraw=True, random_seed=1)["posterior"]["f_y"]
    assert abs(np.corrcoef(f[0, :, 0], tree["posterior"]["f_y"][0, :, 0])[0, 1]) < 4 / np.sqrt(300)


def test_the_seed_decides(tree):
    first, second = (nb.predict(tree, random_seed=9)["posterior_predictive"]["y"] for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_log_likelihood_is_that_of_the_residual(tree, nested):
    predicted = nb.predict(tree)
    z = (nested.observations["value"].to_numpy() - predicted["posterior"]["f_y"].to_numpy()) / 0.1
    by_hand = -0.5 * z**2 - np.log(0.1) - 0.5 * np.log(2 * np.pi)
    np.testing.assert_allclose(predicted["log_likelihood"]["y"], by_hand, rtol=1e-6)


def test_every_noun_survives_storage(tmp_path):
    """Structure options, formulas, residual options, priors with arrays, typical values, parametrisation."""
    data = nb.datasets.phenylbiguanide()
    model = nb.Model(
        Emax(sigmoid=True),
        "ec50 ~ 1 + Treatment + (1|p|Rabbit)",
        "emax ~ 1 + (1|p|Rabbit)",
        "e0 ~ 1",
        residual=nb.Combined("variance"),
        priors={"omega_Rabbit": nb.Prior("HalfNormal", sigma=np.array([0.3, 0.4]))},
        typical={"emax": (30.0, 0.5), "e0": (0.0, 3.0)},
        inputs={"concentration": "dose"},
        parametrisation={("ec50", "Rabbit"): "noncentred"},
    )
    tree = nb.simulate(model, data, draws=50, random_seed=1)
    tree["posterior"] = tree["prior"]
    tree.to_netcdf(tmp_path / "tree.nc")
    again = xr.open_datatree(tmp_path / "tree.nc").load()
    one, two = (nb.predict(t, random_seed=2)["posterior_predictive"]["deltaBP"] for t in (tree, again))
    np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(nb.predict(again, random_seed=2, model=model)["posterior_predictive"]["deltaBP"], two)


@dataclass(frozen=True)
class TwoOutcomes(nb.Curve):
    """mu and its double."""

    parameters = (nb.Parameter("mu", "u", typical=None, link="identity"),)
    outcomes = ("a", "b")

    def curve(self, p, x):
        return {"a": p.mu, "b": 2 * p.mu}


def test_two_outcomes_each_with_its_residual():
    """One law read at two outcomes' own records."""
    frame = pd.DataFrame(
        {"id": [1, 1, 2, 2], "day": [0.0, 1.0, 0.0, 1.0], "a": [1.0, 2, 3, np.nan], "b": [5.0, 6, 7, 8]}
    )
    data = nb.Dataset.from_frame(frame, outcome=("a", "b"), time="day", levels="id")
    model = nb.Model(TwoOutcomes(), "mu ~ 1 + (1|id)", residual={"a": nb.Additive(), "b": nb.StudentT()})
    with pytest.raises(nb.ModelError, match=r"LinearMixed\(\) predicts one outcome, and the data have a, b"):
        nb.build(nb.Model(LinearMixed()), data)
    tree = nb.simulate(model, data, draws=20, random_seed=1)
    assert tree["prior"].sizes["a_obs"] == 3 and tree["prior"].sizes["b_obs"] == 4
    assert {"sigma_a_a", "sigma_b_a", "sigma_b_nu"} <= set(tree["prior"].data_vars)
    with pytest.raises(nb.ModelError, match="no residual for outcome 'b'"):
        nb.build(nb.Model(TwoOutcomes(), residual={"a": nb.Additive()}), data)
    np.testing.assert_allclose(tree["prior"]["f_b"][0, :, 1], 2 * tree["prior"]["f_a"][0, :, 1], rtol=1e-14)


def test_records_without_a_density_are_named():
    data = nb.datasets.theophylline()
    model = nb.Model(OneCompartment(absorption="first-order"), residual=nb.Proportional())
    with pytest.raises(nb.ModelError, match=r"no density .* first row 1, where the prediction is 0"):
        nb.fit(model, data)
    with pytest.raises(nb.ModelError, match=r"row 12: conc = 0, to which LogNormal"):
        nb.build(nb.Model(OneCompartment(absorption="first-order"), residual=nb.LogNormal()), data)


def test_flat_priors_fit_but_are_not_simulated(nested):
    model = nb.Model(LinearMixed(), "mu ~ 1 + (1|site/subject)", priors={"theta_mu": nb.Prior("Flat")})
    with pytest.raises(nb.ModelError, match="the prior of theta_mu is flat"):
        nb.simulate(model, nested)
    assert nb.simulate(model, nested, values={"theta_mu": [1.0]}, draws=3)["prior"]["theta_mu"].shape == (1, 3, 1)
    assert typical_start(model, resolve(model, nested))["theta_mu"] == pytest.approx(89.5, rel=1e-3)


def test_what_is_given_in_the_wrong_place_is_named(nested):
    with pytest.raises(nb.ModelError, match=r"data must be a Dataset.*got a DataFrame"):
        nb.build(linear(), nested.observations)
    with pytest.raises(nb.ModelError, match=r"must be a Model.*got a LinearMixed"):
        nb.fit(LinearMixed(), nested)
    with pytest.raises(nb.ModelError, match="with a posterior; this one has the groups prior"):
        nb.predict(nb.simulate(linear(), nested, draws=2))


def test_settings_that_match_nothing_are_errors(nested):
    with pytest.raises(nb.ModelError, match="no parameter or level 'sit'; there are mu, site, subject"):
        nb.build(nb.Model(LinearMixed(), parametrisation={("mu", "sit"): "centred"}), nested)
    with pytest.raises(ValueError, match="prior HalfNormal: no parameter 'sgima'; it has sigma, tau"):
        nb.Prior("HalfNormal", sgima=1)
    with pytest.raises(nb.ModelError, match="prior of omega_subject: 2 values for 1 coordinates"):
        nb.priors(nb.Model(LinearMixed(), priors={"omega_subject": nb.Prior("HalfNormal", sigma=[1, 2])}), nested)
    with pytest.raises(nb.ModelError, match=r"theta_mu has the shape \(1,\); got \(2,\)"):
        nb.simulate(linear(), nested, values={"theta_mu": [1.0, 2.0]})


def test_a_correlation_may_be_overridden_by_the_name_in_the_posterior():
    priors = {"corr_Subject": nb.Prior("LKJCorr", eta=7.0)}
    model = nb.Model(LinearMixed(), "mu ~ 1 + Days + (1 + Days|Subject)", priors=priors)
    table = nb.priors(model, nb.datasets.sleepstudy()).set_index("variable")
    assert table.loc["chol_corr_Subject", "prior"] == "LKJCorr(n=2, eta=7)"
    start = typical_start(model, resolve(model, nb.datasets.sleepstudy()))
    assert set(start) == {"theta_mu", "sigma_Reaction_a"}


def test_a_model_of_many_outcomes_has_a_start():
    """NumPy adds no more than 32 terms at once, and the log-density has one for each parameter, scatter and outcome."""
    rng = np.random.default_rng(1)
    names = tuple(f"x{i}" for i in range(12))
    frame = pd.DataFrame(rng.normal(np.arange(12.0), 1.0, (20, 12)), columns=list(names)).assign(id=np.arange(20) // 2)
    data = nb.Dataset.from_frame(frame, outcome=names, levels="id", duplicates="keep")
    model = nb.Model(ReliabilityICC(names))
    start = typical_start(model, resolve(model, data))
    for name in names:
        assert start[f"theta_mu_{name}"] == pytest.approx(frame[name].mean(), abs=0.02)
        assert start[f"sigma_{name}_a"] == pytest.approx(frame[name].std(), rel=0.1)


def test_outcomes_whose_names_begin_alike_keep_their_own_residuals():
    frame = pd.DataFrame({"id": [1, 1, 2, 2], "conc": [1.0, 2, 3, 4], "conc_m": [5.0, 6, 7, 8]})
    data = nb.Dataset.from_frame(frame, outcome=("conc", "conc_m"), levels="id")

    @dataclass(frozen=True)
    class Both(nb.Curve):
        """Two outcomes of one mean."""

        parameters = (nb.Parameter("mu", "u", typical=1.0, spread=1.0, link="identity"),)
        outcomes = ("conc", "conc_m")

        def curve(self, p, x):
            return {"conc": p.mu, "conc_m": p.mu}

    values = {"sigma_conc_a": 0.1, "sigma_conc_m_a": 9.0}
    tree = nb.simulate(nb.Model(Both()), data, draws=200, values=values, random_seed=1)
    for name, sigma in (("conc", 0.1), ("conc_m", 9.0)):
        scatter = tree["prior_predictive"][name] - tree["prior"][f"f_{name}"]
        assert float(scatter.std()) == pytest.approx(sigma, rel=0.1)


def test_a_law_that_cannot_be_stored_is_refused_before_the_fit(nested):
    @dataclass
    class Loose(nb.Curve):
        """Not frozen."""

        parameters = (nb.Parameter("mu", "u", typical=None, link="identity"),)

        def curve(self, p, x):
            return p.mu

    with pytest.raises(nb.ModelError, match=r"Loose cannot be stored: .*dataclass\(frozen=True\)"):
        nb.fit(nb.Model(Loose()), nested)


def test_names_are_found_in_another_case():
    frame = pd.DataFrame({"ID": [1, 1, 1, 2, 2], "TIME": [0, 1, 5, 0, 2], "AMT": [100, 0, 0, 100, 0]})
    frame["DV"], frame["WT"] = [0, 4.5, 2.1, 0, 3.3], [70.0, 70, 70, 82, 82]
    data = nb.Dataset.from_nonmem(frame)
    model = nb.Model(OneCompartment(), "cl ~ 1 + log(wt/70) + (1|ID)", "v ~ 1 + (1|id)")
    built = nb.build(model, data)
    assert list(built.coords["cl_term"]) == ["Intercept", "log(wt / 70)"]
    assert list(built.coords["id_effect"]) == ["cl", "v"]


def test_sampling_coordinates_have_dims(nested):
    built = nb.build(linear(), nested)
    assert built.named_vars_to_dims["z_subject"] == ("subject", "subject_effect")


@pytest.mark.parametrize("rule", ["nocb", "locf"])
def test_a_prediction_does_not_depend_on_the_other_times_of_its_grid(rule):
    """The covariates of the past are those that were recorded, whether the grid has their times or not."""
    records = pd.DataFrame({"id": "a", "time": [10.0, 30.0, 48.0], "conc": [5.0, 4.0, 3.0], "crcl": [90.0, 90.0, 20.0]})
    doses = pd.DataFrame({"id": "a", "time": [0.0, 24.0], "amt": 100.0})
    options = {"outcome": "conc", "time": "time", "levels": "id", "doses": doses, "interpolation": rule}
    data = nb.Dataset.from_frame(records, **options)
    model = nb.Model(OneCompartment(), "cl ~ 1 + log(crcl/90)", "v ~ 1")
    values = {"theta_cl": [1.0, 1.0], "theta_v": [3.0], "sigma_conc_a": 1.0}

    def last(grid):
        tree = nb.simulate(model, data.over(time=grid), draws=1, values=values, random_seed=1)
        return float(tree["prior"]["f_conc"][0, 0, -1])

    # By hand: cl = e * crcl / 90; 20 holds from 30 (nocb) or 48 (locf) on.
    changed = 30.0 if rule == "nocb" else 48.0
    k = np.exp(1.0) / np.exp(3.0)
    left = [100 * np.exp(-k * (changed - t) - k * 20 / 90 * (60 - changed)) for t in (0.0, 24.0)]
    assert last([60.0]) == pytest.approx(sum(left) / np.exp(3.0), rel=1e-9)
    assert last([60.0]) == pytest.approx(last(np.linspace(0, 60, 121)), rel=1e-9)
    again = data.over(time=[50.0])
    assert float(nb.simulate(model, again.over(time=[60.0]), draws=1, values=values)["prior"]["f_conc"][0, 0, -1]) == (
        pytest.approx(last([60.0]), rel=1e-9)
    )
