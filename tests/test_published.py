"""Published models: what papers state, as trees."""

import json

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy.integrate import solve_ivp

import nlmebayes as nb
from model_zoo import CountGLMM, OneCompartment

STATED = {"theta": {"cl": 3.0, "v": 40.0}, "omega": {"sd": {"cl": 0.3, "v": 0.2}}, "sigma": {"b": 0.15}}


def of(tree, name):
    return tree["posterior"][name].to_numpy()[0, 0]


def patient(**columns):
    frame = pd.DataFrame({"id": "new", "time": [2.0, 10.0], "conc": [9.0, 6.0]} | columns)
    doses = pd.DataFrame({"id": ["new"], "time": 0.0, "amt": 400.0})
    return nb.Dataset.from_frame(frame, outcome="conc", time="time", levels="id", doses=doses)


@pytest.mark.parametrize(
    ("stated", "omega"),
    [
        ({"sd": {"cl": 0.3, "v": 0.2}}, (0.3, 0.2)),
        ({"variance": {"cl": 0.09}, "sd": {"v": 0.2}}, (0.3, 0.2)),
        ({"cv_percent": {"cl": 100.0, "v": 20.0}}, (np.sqrt(np.log(2)), 0.19804205)),
        ({"cv_percent_approximate": {"cl": 30.0, "v": 20.0}}, (0.3, 0.2)),
        ({"covariance": {"names": ["v", "cl"], "matrix": [[0.04, 0.03], [0.03, 0.09]]}}, (0.3, 0.2)),
        ({"covariance": {"names": ["v", "cl"], "matrix": [[0.04], [0.03, 0.09]]}}, (0.3, 0.2)),
        ({"sd": {"cl": 0.3, "v": 0.2}, "correlation": {"v cl": 0.5}}, (0.3, 0.2)),
    ],
)
def test_omega_in_every_way_that_papers_state_it(stated, omega):
    tree = nb.population(OneCompartment(), **STATED | {"omega": stated})
    assert of(tree, "omega_id") == pytest.approx(omega)
    if {"covariance", "correlation"} & set(stated):
        assert of(tree, "corr_id") == pytest.approx(np.array([[1, 0.5], [0.5, 1]]))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"omega": {"cl": 0.3}}, "'cl' is none of sd, variance, .* say what it is"),
        ({"omega": {"sd": {"cl": 0.3}, "variance": {"cl": 0.1}}}, "cl is stated twice"),
        ({"omega": {"sd": {"cl": -0.3}}}, "sd of cl must be a positive number; got -0.3"),
        (
            {"omega": {"sd": {"cl": 0.3, "v": 0.3}, "correlation": {"cl v": 1.2}}},
            "cl v must be a number between -1 and 1",
        ),
        ({"omega": {"covariance": {"names": ["cl"], "matrix": [[1, 2]]}}}, "must be 1 x 1 and symmetric"),
        ({"theta": {"cl": 3.0}}, "theta: v is not stated"),
        ({"theta": {"cl": 3.0, "v": 40.0, "ka": 1.0}}, "no parameter 'ka' in OneCompartment.*; it has cl, v"),
        ({"theta": {"cl": -3.0, "v": 40.0}}, r"cl -3 is outside \(0, inf\)"),
        ({"sigma": {"a": 0.1, "b": 0.2}}, "say what they are with residual="),
    ],
)
def test_what_is_not_said_is_not_guessed(changed, message):
    with pytest.raises(nb.ModelError, match=message):
        nb.population(OneCompartment(), **STATED | changed)


@pytest.mark.parametrize("sigma", [{}, {"a": 1.0}])
def test_a_population_of_rates_needs_a_residual_that_takes_them(sigma):
    with pytest.raises(nb.ModelError, match=r"CountGLMM\(\) needs residual=: Poisson"):
        nb.population(CountGLMM(), theta={"rate": 2.0}, omega={"sd": {"rate": 0.3}}, sigma=sigma)


def test_a_typical_value_is_on_the_natural_scale_and_covariates_on_that_of_the_link():
    theta = {"cl": {"Intercept": 3.0, "log(crcl/100)": 0.8, "dial": np.log(0.7)}, "v": 40.0}
    tree = nb.population(OneCompartment(), **STATED | {"theta": theta, "omega": {"sd": {"cl": 1e-9, "v": 1e-9}}})
    data = patient(crcl=50.0, dial=1.0)
    assert of(nb.predict(tree, data, random_seed=1), "cl") == pytest.approx(3.0 * 0.5**0.8 * 0.7)


def test_the_two_conventions_of_a_residual_and_variances():
    given = STATED | {"sigma": {"variance": {"a": 0.25, "b": 0.04}}, "residual": nb.Combined("variance")}
    tree = nb.population(OneCompartment(), **given)
    assert (of(tree, "sigma_conc_a"), of(tree, "sigma_conc_b")) == pytest.approx((0.5, 0.2))


def test_a_model_with_occasions_lag_and_bioavailability():
    structure = OneCompartment("first-order", lag=True, bioavailability=True)
    model = nb.Model(
        structure, "cl ~ 1 + offset(0.75 * log(wt/70)) + (1|id) + (1|occ)", "v ~ 1 + (1|id)", "ka ~ 1", "tlag ~ 1",
        "f ~ 1", residual=nb.Combined("sd"),
    )  # fmt: skip
    tree = nb.population(
        model, theta={"cl": 3.0, "v": 40.0, "ka": 1.0, "tlag": 0.3, "f": 0.8}, sigma={"a": 0.1, "b": 0.2},
        omega={"id": {"sd": {"cl": 0.3, "v": 0.2}}, "occ": {"variance": {"cl": 0.01}}},
    )  # fmt: skip
    frame = pd.DataFrame({
        "ID": 1, "OCC": [1, 1, 2, 2], "TIME": [0.0, 5.0, 24.0, 30.0], "AMT": [100.0, 0, 100.0, 0], "EVID": [1, 0, 1, 0],
        "DV": [np.nan, 1.0, np.nan, 1.0], "WT": 60.0,
    })  # fmt: skip
    data = nb.Dataset.from_nonmem(frame, levels=("id", "occ"), outcome="conc")
    found = nb.forecast(tree, data, random_seed=1)["posterior"]
    assert found.sizes["unit"] == 2 and float(found["eta_occ"].std()) == pytest.approx(0.1, rel=0.2)
    assert float(np.log(found["cl"].mean(("chain", "draw"))[0]) - np.log(found["cl"].mean(("chain", "draw"))[1])) < 0.1


def test_uncertainty_is_spread_over_draws():
    theta = {"cl": {"Intercept": 3.0, "log(wt/70)": 0.75}, "v": 40.0}
    given = STATED | {"theta": theta, "uncertainty": {"cl": {"Intercept": 10.0, "log(wt/70)": 20.0}}}
    tree = nb.population(OneCompartment(), **given, draws=4000, random_seed=1)
    assert tree["posterior"]["theta_cl"].std(("chain", "draw")).to_numpy() == pytest.approx([0.1, 0.15], rel=0.05)
    assert float(tree["posterior"]["theta_v"].std()) < 1e-12


def test_a_population_is_stored_and_reloaded(tmp_path):
    tree = nb.population(OneCompartment(), **STATED, about={"citation": "here"}, domain={"wt": (40, 120)})
    tree.to_netcdf(tmp_path / "population.nc")
    again = xr.open_datatree(tmp_path / "population.nc")
    assert json.loads(again.attrs["nlmebayes_published"]) == {"domain": {"wt": [40, 120]}, "citation": "here"}
    found = [nb.forecast(t, patient(), random_seed=1)["posterior"]["cl"].mean() for t in (tree, again)]
    assert float(found[0]) == float(found[1])


def test_a_category_has_its_reference():
    theta = {"cl": {"Intercept": 3.0, "sex[male]": 0.2}, "v": 40.0}
    none = {"sd": {"cl": 1e-9, "v": 1e-9}}
    stated = STATED | {"theta": theta, "omega": none, "reference": {"sex": ("female", "male")}}
    tree = nb.population(OneCompartment(), "cl ~ 1 + sex + (1|id)", **stated)
    found = [of(nb.predict(tree, patient(sex=sex), random_seed=1), "cl") for sex in ("female", "male")]
    assert found == pytest.approx([3.0, 3.0 * np.exp(0.2)])


@pytest.mark.parametrize("name", nb.published_names())
def test_a_published_model_has_a_source_and_its_numbers(name):
    tree = nb.published(name)
    about = json.loads(tree.attrs["nlmebayes_published"])
    assert about["citation"] and about["name"] and tree["posterior"].sizes["draw"] == 1


def test_published_models_are_found_by_name_and_can_be_changed():
    with pytest.raises(nb.ModelError, match=r"no published model 'aspirin'; there are .*vancomycin_goti_2018"):
        nb.published("aspirin")
    assert of(nb.published("vancomycin_goti_2018", sigma={"a": 1.0, "b": 0.1}), "sigma_conc_a") == 1.0


def test_the_variances_of_goti_are_the_printed_coefficients_of_variation():
    """39.8, 81.6 and 57.1 per cent, exactly converted."""
    printed = nb.published("vancomycin_goti_2018", omega={"id": {"cv_percent": {"cl": 39.8, "v1": 81.6, "v2": 57.1}}})
    assert of(nb.published("vancomycin_goti_2018"), "omega_id") == pytest.approx(of(printed, "omega_id"), rel=2e-3)


@pytest.mark.parametrize(
    ("name", "columns", "expected"),
    [
        ("vancomycin_thomson_2009", {"crcl": 100.0, "wt": 80.0},
         {"cl": 2.99 * (1 + 0.0154 * 34), "v1": 0.675 * 80, "q": 2.28, "v2": 0.732 * 80}),
        ("vancomycin_buelga_2005", {"crcl": 100.0, "wt": 80.0}, {"cl": 1.08 * 6.0, "v": 0.98 * 80}),
        ("phenobarbital_neonates_1985", {"wt": 1.2, "apgar_low": 1.0},
         {"cl": 0.00469555 * 1.2, "v": 0.984258 * 1.2 * 1.15892}),
        ("gentamicin_xuan_2003", {"crcl": 38.0, "wt": 63.0}, {"k10": 0.047 * 38 / (0.28 * 63), "v1": 0.28 * 63}),
        ("amikacin_burdet_2015", {"crcl": 50.0, "wt": 62.0, "pao2_fio2": 200.0},
         {"cl": 4.3 * (50 / 82) ** 0.7, "v1": 15.9 * (62 / 78) ** 0.9 * (200 / 169) ** 0.4, "q": 12.1, "v2": 21.4}),
        ("tobramycin_hennig_2008", {"wt": 35.0},
         {"cl": 6.37 * 0.5**0.75, "v1": 9.35, "q": 0.39 * 0.5**0.75, "v2": 0.66, "tlag": 0.4}),
        ("tacrolimus_woillard_2011", {"hct": 30.0, "cyp3a5": 1.0, "prograf": 1.0},
         {"cl": 42.4 * (30 / 35) ** -1.14, "v1": 486 * 0.29, "ka": 3.34 * 1.53, "mtt": 2 / (3.34 * 1.53)}),
    ],
)  # fmt: skip
def test_typical_values_are_what_the_equations_say(name, columns, expected):
    tree = nb.published(name)
    tree["posterior"]["omega_id"][:] = 1e-9
    found = nb.predict(tree, patient(**columns), random_seed=1)
    assert {k: float(of(found, k)[0]) for k in expected} == pytest.approx(expected)


def test_amikacin_of_posologyr():
    """tests/testthat at 4af150b: the mode of patient A, and the dose for 80 mg/L half an hour after an infusion."""
    frame = pd.DataFrame({"id": "A", "time": [1.0, 6.0], "conc": [58.0, 14.0], "crcl": 50.0, "wt": 62.0})
    frame["pao2_fio2"] = 169.0
    doses = pd.DataFrame({"id": ["A"], "time": 0.0, "amt": 2000.0, "duration": 0.5})
    data = nb.Dataset.from_frame(frame, outcome="conc", time="time", levels="id", doses=doses)
    tree = nb.published("amikacin_burdet_2015")
    forecast = nb.forecast(tree, data, method="map")
    eta = forecast["posterior"]["eta_id"].sel(id_effect=["cl", "v1", "v2", "q"]).to_numpy().ravel()
    assert eta == pytest.approx([0.449952188793169, 0.273058665, 0.70615858706, -0.138843327], abs=1e-4)
    peak = nb.Trough(80.0, time=35.0)
    table = nb.optimise(
        forecast, nb.Regimen(2000.0, start=34.0, duration=0.5), peak, optimum="at least", probability=0.5
    )
    assert table["amount"].iloc[0] == pytest.approx(2447.917, rel=1e-3)


def test_busulfan_of_choe_is_what_its_table_prints():
    """Table 2, of 65 kg: clearance 7.6 L/h, volume 32.2 L of men and 29.1 L of women."""
    tree = nb.published("busulfan_choe_2012", omega={"sd": {"cl": 1e-9, "v": 1e-9}})
    for male, volume in ((1.0, 32.2), (0.0, 29.1)):
        found = nb.predict(tree, patient(wt=65.0, male=male), random_seed=1)
        assert float(of(found, "cl")[0]) == pytest.approx(7.6, abs=0.05)
        assert float(of(found, "v")[0]) == pytest.approx(volume, abs=0.05)


def test_tacrolimus_passes_three_stages_of_one_rate():
    """4 mg of Advagraf, beside SciPy; the stages have the same rate in every patient, but for rounding."""
    tree = nb.published("tacrolimus_woillard_2011")
    times = np.array([0.5, 2.0, 8.0, 24.0])
    frame = pd.DataFrame({"id": "p", "time": times, "conc": 1.0, "hct": 40.0, "cyp3a5": 0.0, "prograf": 0.0})
    doses = pd.DataFrame({"id": ["p"], "time": 0.0, "amt": 4000.0})
    data = nb.Dataset.from_frame(frame, outcome="conc", time="time", levels="id", doses=doses)
    found = nb.predict(tree, data, random_seed=3)["posterior"]
    ka, cl, v1, q, v2 = (float(found[name][0, 0, 0]) for name in ("ka", "cl", "v1", "q", "v2"))
    assert float(found["mtt"][0, 0, 0]) == pytest.approx(2 / ka, rel=2e-3)

    def slope(t, y):
        out = (cl / v1 + q / v1) * y[3] - q / v2 * y[4]
        return [-ka * y[0], ka * (y[0] - y[1]), ka * (y[1] - y[2]), ka * y[2] - out, q / v1 * y[3] - q / v2 * y[4]]

    exactly = solve_ivp(slope, (0, 24), [4000.0, 0, 0, 0, 0], t_eval=times, rtol=1e-10, atol=1e-10).y[3] / v1
    assert found["f_conc"][0, 0].to_numpy() == pytest.approx(exactly, rel=5e-3)


def test_gentamicin_in_rates_is_gentamicin_in_clearance():
    """The mode that posologyr prints in its README for (cl, v, k12, k21), by a model in which k10 = cl / v varies."""
    frame = pd.DataFrame({"id": "p", "time": [1.0, 11.0], "conc": [9.0, 2.0], "crcl": 38.0, "wt": 63.0})
    doses = pd.DataFrame({"id": ["p"], "time": 0.0, "amt": 180.0, "duration": 0.5})
    data = nb.Dataset.from_frame(frame, outcome="conc", time="time", levels="id", doses=doses)
    mode, target = nb.forecaster(nb.published("gentamicin_xuan_2003")).mode(data)
    k10, k12, k21, v = target.effects(mode.z[:1, None], np.zeros(1, int))["id"][0, 0]
    assert (k10 + v, v, k12, k21) == pytest.approx((0.03701064, 0.001447308, 0.08904703, -0.04838898), abs=1e-5)


def test_vancomycin_of_goti_is_what_its_equations_say():
    """Cl = 4.5 (CRCL/120)^0.8 0.7^DIAL, V1 = 58.4 (WT/70) 0.5^DIAL, doi:10.1097/FTD.0000000000000490."""
    tree = nb.published("vancomycin_goti_2018", omega={"sd": {"cl": 1e-9, "v1": 1e-9, "v2": 1e-9}})
    found = nb.predict(tree, patient(crcl=65.0, wt=80.0, dial=1.0), random_seed=1)
    expected = (4.5 * (65 / 120) ** 0.8 * 0.7, 58.4 * 80 / 70 * 0.5, 6.5, 38.4)
    assert tuple(float(of(found, name)[0]) for name in ("cl", "v1", "q", "v2")) == pytest.approx(expected)


def test_where_a_transform_stands_is_not_guessed():
    given = STATED | {"theta": {"cl": {"Intercept": 3.0, "center(age)": 0.02}, "v": 40.0}}
    for domain in (None, {"age": (20.0, 90.0)}):
        with pytest.raises(nb.ModelError, match=r"center\(age\) in 'cl ~ .* state reference={'age': ...}"):
            nb.population(OneCompartment(), **given, domain=domain)
    known = nb.population(OneCompartment(), **given | {"omega": {"sd": {"cl": 1e-9}}}, reference={"age": 40.0})
    assert of(nb.predict(known, patient(age=55.0), random_seed=1), "cl") == pytest.approx(3 * np.exp(0.3))


@pytest.mark.parametrize("name", nb.published_names())
def test_a_published_range_has_finite_ends_or_is_said_to_be_missing(name):
    about = json.loads(nb.published(name).attrs["nlmebayes_published"])
    assert about["domain"] or "No range of covariates is stated" in about["note"]
    assert name != "vancomycin_goti_2018" or about["domain"]["crcl"] == [1.0, 150.0]
