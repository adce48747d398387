"""`DoseResponseNested`: formula, slopes, limits, the area over the logarithm of the dose, levels."""

import numpy as np
import pandas as pd
import pytest
from laws import curve, records, slopes, values
from mixed import agrees
from scipy.integrate import quad
from trees import stated

import nlmebayes as nb
from model_zoo import DoseResponseNested

STRUCTURE = DoseResponseNested()


def sigmoid(top, bottom, ec50, hill, dose):
    with np.errstate(divide="ignore"):
        return bottom + (top - bottom) / (1 + (dose / ec50) ** hill)


def test_the_curve_is_its_formula():
    found, expected = values(STRUCTURE, sigmoid)
    assert found == pytest.approx(expected, rel=1e-10)


def test_slopes_are_those_of_finite_differences():
    found, expected = slopes(STRUCTURE, sigmoid)
    assert found == pytest.approx(expected, rel=1e-4, abs=1e-6)


def test_records_are_reached_through_formulas_and_units():
    found, expected = records(STRUCTURE, sigmoid)
    assert found == pytest.approx(expected, rel=1e-10)


POINT = {"top": 1.0, "bottom": 0.2, "ec50": 0.5, "hill": 1.7}


def test_without_drug_all_live_and_far_above_the_rest_is_left():
    value, slope = curve(STRUCTURE)(**POINT, dose=[0.0, 0.5, 1e9])
    assert value == pytest.approx([1.0, 0.6, 0.2], abs=1e-12)
    assert all(np.isfinite(each).all() for name, each in slope.items() if name != "dose")


def test_the_unit_of_the_dose_does_not_matter():
    one, _ = curve(STRUCTURE)(**POINT, dose=[0.1, 0.5, 3.0])
    other, _ = curve(STRUCTURE)(**(POINT | {"ec50": 500.0}), dose=[100.0, 500.0, 3000.0])
    assert other == pytest.approx(one, rel=1e-12)


@pytest.mark.parametrize("change", [{}, {"hill": 0.3}, {"ec50": 1e-4}, {"ec50": 1e4, "hill": 8.0}])
def test_the_area_is_that_of_quadrature(change):
    p = POINT | change
    expected, _ = quad(lambda u: sigmoid(**p, dose=np.exp(u)), np.log(0.01), np.log(10), epsabs=1e-12, limit=200)
    assert STRUCTURE.auc(p, 0.01, 10) == pytest.approx(expected / np.log(1000), rel=1e-9)


def organoids(seed=1, patients=12):
    """Patients with two or three plates, eight doses each."""
    rng, doses = np.random.default_rng(seed), [0.0, *np.geomspace(0.01, 30, 7)]
    plates = [(patient, plate) for patient in range(patients) for plate in range(rng.integers(2, 4))]
    frame = pd.DataFrame([(*where, dose) for where in plates for dose in doses], columns=["patient", "plate", "dose"])
    levels = ("patient", "patient/plate")
    return nb.Dataset.from_frame(frame.assign(viability=1.0), outcome="viability", levels=levels, inputs=["dose"])


FORMULAS = ("top ~ 1", "bottom ~ 1", "ec50 ~ 1 + (1|patient/plate)", "hill ~ 1")
TRUTH = {
    "theta_top": [1.0], "theta_bottom": [0.2], "theta_ec50": [-0.7], "theta_hill": [0.4], "omega_patient": [0.9],
    "omega_plate": [0.25], "sigma_viability_a": 0.05,
}  # fmt: skip


def test_dose_in_plate_in_patient_is_found_again():
    """Every truth within 3 SDs, and the sensitivity of patients in its order."""
    data, model = organoids(), nb.Model(STRUCTURE, *FORMULAS)
    truth = stated(model, data, seed=2, **TRUTH)
    drawn = data.with_values(viability=truth["prior_predictive"]["viability"].to_numpy().ravel())
    tree = nb.fit(model, drawn, draws=200, tune=300, chains=2, random_seed=1, progressbar=False)
    known = {"top": 1.0, "bottom": 0.2, "ec50": np.exp(-0.7), "hill": np.exp(0.4), "sigma_viability_a": 0.05}
    agrees(tree, known | {"omega_patient ec50": 0.9, "omega_plate ec50": 0.25}, within=3)
    eta = {k: t["posterior"]["eta_patient"].sel(patient_effect="ec50") for k, t in (("fit", tree), ("true", truth))}
    ranks = nb.ranking(eta["fit"], largest_first=False)["rank"]
    assert np.corrcoef(ranks.loc[eta["true"]["patient"].to_numpy()], eta["true"].to_numpy().ravel())[0, 1] > 0.8


@pytest.mark.external
def test_gemcitabine_agrees_with_nlme(external):
    """nlme, ML: bottom and log10 EC50 random by organoid, top and log10 EC50 by plate; 951 wells, 22 organoids."""
    frame = pd.read_csv(f"{external}/organoid_pdac.csv").query("drug == 'GEM' and viability > 0")
    data = nb.Dataset.from_frame(
        frame.rename(columns={"file": "plate", "dose_uM": "dose"}), outcome="viability", inputs=["dose"],
        levels=("organoid", "plate"), duplicates="keep",
    )  # fmt: skip
    formulas = ("top ~ 1 + (1|plate)", "bottom ~ 1 + (1|organoid)", "ec50 ~ 1 + (1|organoid) + (1|plate)", "hill ~ 1")
    model = nb.Model(STRUCTURE, *formulas, typical={"ec50": 0.03})
    tree = nb.fit(model, data, draws=1000, random_seed=1, progressbar=False)
    printed = {"bottom": 0.2454693, "top": 0.9643428, "ec50": 10**-1.579764}
    printed |= {"omega_organoid bottom": 0.1794009, "omega_plate top": 0.1188083, "sigma_viability_a": 0.1313164}
    tens = np.log(10)  # nlme's EC50 is a logarithm to base 10
    agrees(tree, printed | {"omega_organoid ec50": 0.2370973 * tens, "omega_plate ec50": 0.308695 * tens}, within=0.8)
    hill = nb.summary(tree).set_index("quantity").loc["hill", "mean"]
    assert 2.0057034 < hill < 3.0966483  # its printed 95 % interval: the estimate, 2.55, is from a linearised model
