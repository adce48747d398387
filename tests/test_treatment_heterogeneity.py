"""`TreatmentHeterogeneity`: formulas, benefit, worth, and simulated strata."""

import numpy as np
import pandas as pd
import pytest
from laws import curve, records, values
from mixed import agrees
from scipy import special
from trees import stated

import nlmebayes as nb
from model_zoo import TreatmentHeterogeneity


def hazard(risk, ratio, treated):
    return 1 - (1 - risk) ** (ratio**treated)


def odds(risk, ratio, treated):
    return special.expit(special.logit(risk) + treated * np.log(ratio))


EVERY = pytest.mark.parametrize(
    ("structure", "law"),
    [(TreatmentHeterogeneity(), hazard), (TreatmentHeterogeneity("odds"), odds)],
    ids=["hazard", "odds"],
)


@EVERY
def test_the_curve_is_its_formula(structure, law):
    found, expected = values(structure, law)
    assert found == pytest.approx(expected, rel=1e-8, abs=1e-300)


@EVERY
def test_slopes_are_those_of_finite_differences(structure, law):
    point = {
        "risk": np.array([0.05, 0.3, 0.8]),
        "ratio": np.array([0.5, 0.8, 1.6]),
        "treated": np.array([1.0, 0.0, 1.0]),
    }
    _, found = curve(structure)(**point)
    for name in ("risk", "ratio"):
        up, down = (law(**(point | {name: point[name] + h})) for h in (1e-6, -1e-6))
        assert found[name] == pytest.approx((up - down) / 2e-6, rel=1e-6, abs=1e-9)


@EVERY
def test_benefit_is_the_difference_of_the_two_arms(structure, law):
    risk, ratio = np.array([0.01, 0.1, 0.5, 0.9]), 0.7
    expected = law(risk, ratio, 0) - law(risk, ratio, 1)
    assert structure.benefit({"risk": risk, "ratio": ratio}) == pytest.approx(expected, rel=1e-12)


@EVERY
def test_a_ratio_of_one_brings_nothing(structure, law):
    assert structure.benefit({"risk": np.array([0.1, 0.9]), "ratio": 1.0}) == pytest.approx([0.0, 0.0], abs=1e-15)


def test_ratios_of_small_risks_are_ratios_of_risks():
    """Of rare events, hazard, odds and risk ratios are one: the benefit is risk (1 - ratio)."""
    for structure in (TreatmentHeterogeneity(), TreatmentHeterogeneity("odds")):
        assert structure.benefit({"risk": 1e-6, "ratio": 0.7}) == pytest.approx(0.3e-6, rel=1e-5)


def strata(centres=12, patients=400):
    """Fractions of patients with an event, by centre, arm and risk group."""
    frame = pd.MultiIndex.from_product(
        [range(centres), [-1.0, 0.0, 1.0], [0.0, 1.0]], names=["centre", "score", "treated"]
    ).to_frame(index=False)
    return nb.Dataset.from_frame(frame.assign(event=0.2), outcome="event", levels="centre", inputs=["treated"])


STRUCTURE = TreatmentHeterogeneity()
MODEL = nb.Model(STRUCTURE, "risk ~ 1 + score + (1|centre)", "ratio ~ 1", residual=nb.Additive())
TRUTH = {"theta_risk": [-1.4, 0.9], "theta_ratio": [np.log(0.7)], "omega_centre": [0.3], "sigma_event_a": 0.02}


def test_what_a_treatment_is_worth_by_hand():
    table = STRUCTURE.worth(stated(MODEL, strata(), **TRUTH), cost=1000.0, gain=2.0, price=20_000.0)
    benefit = hazard(table["risk"], 0.7, 0) - hazard(table["risk"], 0.7, 1)
    assert table["benefit"].to_numpy() == pytest.approx(benefit.to_numpy(), rel=1e-9)
    assert table["nnt"].to_numpy() == pytest.approx(1 / benefit.to_numpy(), rel=1e-9)
    assert table["icer"].to_numpy() == pytest.approx(500 / benefit.to_numpy(), rel=1e-9)
    assert table["net"].to_numpy() == pytest.approx(40_000 * benefit.to_numpy() - 1000, rel=1e-9)
    assert (table["p_worth"] == (table["net"] > 0)).all()
    assert table.sort_values("risk")["benefit"].is_monotonic_increasing


def test_a_harmful_treatment_spares_nobody():
    tree = stated(MODEL, strata(), **(TRUTH | {"theta_ratio": [0.3]}))
    table = STRUCTURE.worth(tree, cost=1000.0, gain=2.0, price=20_000.0)
    assert np.isinf(table["nnt"]).all() and (table["p_worth"] == 0).all()


def test_ratio_and_risks_of_simulated_strata_are_found_again():
    data = strata()
    drawn = stated(MODEL, data, seed=3, **TRUTH)["prior_predictive"]["event"].to_numpy().ravel()
    tree = nb.fit(MODEL, data.with_values(event=drawn), draws=250, tune=400, chains=2, random_seed=1, progressbar=False)
    known = {"risk": special.expit(-1.4), "risk: score": 0.9, "ratio": 0.7, "omega_centre risk": 0.3}
    agrees(tree, known | {"sigma_event_a": 0.02}, within=3)


@EVERY
def test_records_are_reached_through_formulas_and_units(structure, law):
    found, expected = records(structure, law)
    assert found == pytest.approx(expected, rel=1e-8)
