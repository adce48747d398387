"""What a new user met: tables as they are typed, patients with little or odd data."""

import io
import json

import numpy as np
import pandas as pd
import pytest

import nlmebayes as nb
from model_zoo import EffectCompartment, Emax, OneCompartment


def table(text):
    """A frame as everyone reads it, with ``.`` as text."""
    return pd.read_csv(io.StringIO(text))


def test_a_dot_is_missing_in_a_frame_as_in_a_file():
    text = "ID,TIME,DV,AMT,EVID,OCC\n1,0,.,100,1,1\n1,1,2,.,0,1\n1,2,3,.,0,.\n"
    with pytest.raises(nb.DataError, match="row 3, column occ: the label is missing"):
        nb.Dataset.from_nonmem(table(text), levels=("id", "occ"))
    several = table("ID,TIME,DV,AMT,EVID,DVID\n1,0,.,100,1,.\n1,1,2,.,0,1\n1,2,3,.,0,2\n")
    assert nb.Dataset.from_nonmem(several, outcome={1: "conc", 2: "effect"}).outcomes == ("conc", "effect")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ID,TIME,DV,AMT,AMT,EVID\n1,0,.,100,1,1\n1,1,2,.,.,0\n", "column AMT occurs twice"),
        ("ID,TIME,DV,AMT,EVID,CONT\n1,0,.,100,1,1\n1,1,2,.,0,0\n", "row 1, column CONT: continued records"),
    ],
)
def test_what_nonmem_reads_otherwise_is_refused(tmp_path, text, message):
    path = tmp_path / "table.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(nb.DataError, match=message):
        nb.Dataset.from_nonmem(path)


def test_a_covariate_may_be_missing_at_first():
    frame = pd.DataFrame({"ID": 1, "TIME": [0.0, 1, 2, 3], "DV": [np.nan, 1, 2, 3], "AMT": [9.0, 0, 0, 0]})
    data = nb.Dataset.from_nonmem(frame.assign(WT=[np.nan, np.nan, 140, 70]))
    assert data.inputs == ("WT",)


def test_a_patient_with_doses_only_needs_times():
    frame = pd.DataFrame({"ID": [1], "TIME": [0.0], "DV": [np.nan], "AMT": [100.0], "EVID": [1]})
    with pytest.raises(nb.DataError, match="give times of interest as rows with EVID 0"):
        nb.Dataset.from_nonmem(frame, unmeasured="predict")


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda: OneCompartment("transit", transits=-1), "transits must be a whole number from 0 to 100; got -1"),
        (lambda: OneCompartment("transit", transits=2.5), "transits must be a whole number from 0 to 100; got 2.5"),
        (lambda: OneCompartment(lag="no"), "lag must be True or False; got 'no'"),
        (lambda: EffectCompartment(kinetics=Emax()), "kinetics must be a LinearSystem"),
    ],
)
def test_options_have_their_type(made, message):
    with pytest.raises(ValueError, match=message):
        made()


@pytest.fixture(scope="module")
def population():
    model = nb.Model(OneCompartment("first-order"), residual=nb.Proportional())
    tree = nb.simulate(model, nb.datasets.theophylline(), draws=200, random_seed=1)
    tree["posterior"] = tree["prior"].copy()
    return model, tree


def patient(times, values, **options):
    frame = pd.DataFrame(
        {"ID": "new", "TIME": [0.0, *times], "DV": [np.nan, *values], "AMT": [300.0] + [0.0] * len(times)}
    )
    return nb.Dataset.from_nonmem(frame, outcome="conc", sort=True, **options)


@pytest.mark.parametrize(("limit", "time"), [(0.3, 40.0), (5.0, 24.0), (0.05, 24.0)])
def test_a_patient_with_nothing_but_a_censored_sample_is_forecast(population, limit, time):
    _model, tree = population
    forecast = nb.forecast(tree, patient([time], [0.0], lloq=limit), random_seed=1)
    report = json.loads(forecast.attrs["nlmebayes_forecast"])
    before = (nb.predict(tree, patient([time], [0.0]), random_seed=2)["posterior_predictive"]["conc"] < limit).mean()
    assert report["khat"] < 0.7
    assert np.exp(report["log_evidence"]) == pytest.approx(float(before), abs=0.15)


def test_a_sample_before_the_dose_has_no_density_without_additive_scatter(population):
    _model, tree = population
    with pytest.raises(nb.ModelError, match="no proposal gives the patient's samples a finite density"):
        nb.forecast(tree, patient([-1.0, 4.0], [0.0, 5.0]), random_seed=1)


def test_a_regimen_into_a_state_that_does_not_exist(population):
    _model, tree = population
    forecast = nb.forecast(tree, patient([4.0], [5.0]), random_seed=1)
    with pytest.raises(nb.ModelError, match="no state 'gut'; there are depot, central, 1, 2"):
        nb.recommend(forecast, nb.Regimen(100.0, start=24.0, state="gut"), nb.Trough(1, 2, time=30.0))


def test_other_measurements_of_an_unknown_outcome():
    with pytest.raises(nb.DataError, match="with_values: no outcome 'cp'; there are conc"):
        nb.datasets.theophylline().with_values(cp=[1.0])
