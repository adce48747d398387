"""What `priors` says a prior means, against intervals computed here."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import nlmebayes as nb
from model_zoo import HospitalProfile, LinearMixed, OneCompartment

Z = stats.norm.ppf(0.95)


def words(model, data):
    return nb.priors(model, data).set_index(["variable", "coordinate"])["means"].to_dict()


@pytest.fixture(scope="module")
def kinetic():
    formulas = "cl ~ 1 + log(wt/70) + (1|p|id)", "v ~ 1 + (1|p|id)", "ka ~ 1 + (1|id)"
    stated = {"cl": {"log(wt/70)": nb.Prior("Normal", mu=0.75, sigma=0.1)}}
    model = nb.Model(OneCompartment("first-order"), *formulas, residual=nb.Additive(), priors=stated)
    return words(model, nb.datasets.theophylline())


def test_a_value_has_its_unit_and_its_place(kinetic):
    low, high = 3 * np.exp([-Z, Z])
    wanted = f"cl between {low:.3g} and {high:.3g} L/h where its other columns are 0 (90 %)"
    assert kinetic["theta_cl", "Intercept"] == wanted
    assert kinetic["theta_ka", "Intercept"].startswith("ka between 0.29 and 7.77 1/h (90 %)")


def test_a_slope_is_said_over_the_range_of_its_column(kinetic):
    low, high = np.log(86.4 / 54.6) * (0.75 + 0.1 * np.array([-Z, Z]))
    assert (
        kinetic["theta_cl", "log(wt / 70)"] == f"log(cl) changes by {low:.3g} to {high:.3g} from wt 54.6 to 86.4 (90 %)"
    )


def test_spreads_correlations_and_scatter_are_said(kinetic):
    omega = 0.5 * stats.halfnorm.ppf([0.05, 0.95])
    cv = 100 * np.sqrt(np.expm1(omega**2))
    assert kinetic["omega_id", "cl"] == f"CV of cl between ids: {cv[0]:.3g} and {cv[1]:.3g} % (90 %)"
    r = 2 * stats.beta(2, 2).ppf(0.95) - 1  # eta 2, two effects
    assert kinetic["chol_corr_id_p", ""] == f"each correlation between {-r:.3g} and {r:.3g} (90 %)"
    assert kinetic["sigma_conc_a", ""].startswith("between 0.")


def test_categories_formulas_of_the_scatter_and_smooths():
    data = nb.datasets.glucose2()
    model = nb.Model(LinearMixed(), "mu ~ 1 + s(Time, k=5) + (1|Subject)", "sigma ~ 1 + center(Time)")
    found = words(model, data)
    assert found["theta_mu", "s(Time, k=5)[3]"] == ""
    assert found["sigma_glucose_a", "center(Time)"].startswith("its logarithm changes by ±")
    assert found["omega_Subject", "mu"].startswith("SD of mu between Subjects: ")


def test_a_category_in_full_is_a_value():
    frame = pd.DataFrame({"id": range(6), "arm": ["a", "b"] * 3, "y": [0, 1, 1, 0, 1, 1]})
    data = nb.Dataset.from_frame(frame, outcome="y", levels="id")
    found = words(nb.Model(HospitalProfile(), "risk ~ 0 + arm", residual=nb.Bernoulli()), data)
    low, high = 1 / (1 + np.exp(-(np.log(1 / 9) + 1.5 * np.array([-Z, Z]))))
    assert found["theta_risk", "arm[b]"] == f"risk between {low:.3g} and {high:.3g} (90 %)"
