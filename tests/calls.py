"""A valid call of every public function and class, and other values in the places of their arguments."""

import inspect
import warnings
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytensor.tensor as pt
from hypothesis import strategies as st

import nlmebayes as nb
from model_zoo import EffectCompartment, OneCompartment

REST = "*"  # the place of positional arguments of any number


@cache
def data():
    frame = pd.DataFrame({"id": [1, 1, 2, 2], "time": [1.0, 5.0] * 2, "conc": [9.0, 6.0, 9.5, 6.2], "wt": [70.0] * 4})
    doses = pd.DataFrame({"id": [1, 2], "time": 0.0, "amt": 100.0})
    return nb.Dataset.from_frame(frame, outcome="conc", time="time", levels="id", doses=doses)


@cache
def patient():
    frame = pd.DataFrame({"id": ["p"] * 2, "time": [1.0, 5.0], "conc": [9.0, 5.5], "wt": [70.0] * 2})
    doses = pd.DataFrame({"id": ["p"], "time": 0.0, "amt": 100.0})
    return nb.Dataset.from_frame(frame, outcome="conc", time="time", levels="id", doses=doses)


@cache
def later():
    frame = pd.DataFrame({"id": ["p"], "time": [20.0], "conc": [3.0], "wt": [70.0]})
    return nb.Dataset.from_frame(frame, outcome="conc", time="time", levels="id", unmeasured="predict")


def event_table():
    return pd.DataFrame({
        "ID": 1, "TIME": [0.0, 1.0, 5.0, 6.0], "AMT": [100.0, 0, 0, 0], "DV": [np.nan, 9.0, 6.0, 3.0],
        "DVID": [1, 1, 1, 2], "wt": 70.0, "crp": [1.0, 2.0, 3.0, 4.0],
    })  # fmt: skip


def doses():
    return pd.DataFrame({"id": [1, 2], "time": 0.0, "amt": 100.0})


def tidy_table():
    return pd.DataFrame({
        "id": [1, 1, 2, 2], "time": [1.0, 5.0] * 2, "conc": [9.0, 6.0, 9.5, 6.2], "wt": [70.0, 70.0, 80.0, 80.0],
        "crp": [1.0, 2.0, 3.0, 4.0], "below": [0, 1, 0, 0], "low": [np.nan, 1.0, np.nan, np.nan],
    })  # fmt: skip


def saved():
    """The path of a tree on disk, in the current folder."""
    path = Path("saved.nc")
    if not path.exists():
        nb.save(prior(), path)
    return path


@cache
def model():
    return nb.Model(OneCompartment(), "cl ~ 1 + (1|id)", "v ~ 1 + (1|id)", residual=nb.Combined())


@cache
def prior():
    values = {"theta_cl": [0.0], "theta_v": [np.log(10.0)], "omega_id": [0.2, 0.2], "sigma_conc_a": 0.3,
              "sigma_conc_b": 0.1}  # fmt: skip
    return nb.simulate(model(), data(), draws=30, values=values, random_seed=0)


@cache
def tree():
    """As a fit gives it: thirty draws."""
    found = prior().copy()
    found["posterior"] = found["prior"]
    return nb.predict(found, random_seed=0)


@cache
def weighed():
    """The same of a model that reads a weight."""
    stated = model().but(formulas=("cl ~ 1 + log(wt/70) + (1|id)", "v ~ 1 + (1|id)"))
    found = nb.simulate(stated, data(), draws=30, random_seed=0)
    found["posterior"] = found["prior"]
    return found


@cache
def forecast():
    return nb.forecast(tree(), patient(), draws=40, proposals=200, rounds=0, random_seed=1)


@cache
def comparison():
    return nb.compare({"a": tree(), "b": tree()}, match=False)


@cache
def loops():
    """A tree of two outcomes."""
    frame = pd.DataFrame({"id": [1, 1, 2, 2], "time": [1.0, 5.0] * 2, "conc": [9.0, 6.0] * 2, "effect": [3.0, 4.0] * 2})
    doses = pd.DataFrame({"id": [1, 2], "time": 0.0, "amt": 100.0})
    both = nb.Dataset.from_frame(frame, outcome=["conc", "effect"], time="time", levels="id", doses=doses)
    found = nb.simulate(nb.Model(EffectCompartment()), both, draws=5, random_seed=0)
    found["posterior"] = found["prior"]
    return found


@cache
def believed():
    """A population with its uncertainty."""
    return nb.population(OneCompartment(), theta={"cl": 3.0, "v": 40.0}, omega={"sd": {"cl": 0.3, "v": 0.2}},
                         sigma={"b": 0.15}, uncertainty={"cl": 10.0}, draws=20, random_seed=1)  # fmt: skip


@cache
def design():
    return nb.Design([nb.Arm(4, [1.0, 5.0, 12.0], doses={"time": 0.0, "amt": 100.0}, lloq=0.1)])


@cache
def table():
    return nb.recommend(forecast(), [nb.Regimen(100.0, start=24.0, every=12.0)], nb.Trough(1.0, 4.0))


def _plans():
    return [nb.Regimen(100.0, start=24.0, every=12.0, doses=2)]


def _after():
    return {"model": None, "outcome": "conc", "history": "follow", "occasions": "new", "covariates": None}


def _stated():
    return {
        "theta": {"cl": {"Intercept": 3.0, "log(wt/70)": 0.75}, "v": 40.0}, "sigma": {"b": 0.15}, "outcome": "conc",
        "omega": {"cv_percent": {"cl": 30, "v": 20}, "correlation": {"cl v": 0.3}}, "reference": {"wt": 70.0},
        "domain": {"wt": (40.0, 120.0)}, "uncertainty": {"cl": 10.0}, "draws": 20, "random_seed": 1,
        "levels": ("id",), "covariates": {"wt": {"mean": 70.0, "sd": 12.0}}, "residual": nb.Proportional(),
    }  # fmt: skip


CALLS = {
    # nouns
    "Parameter": lambda: {"name": "cl", "unit": "L/h", "typical": 2.0, "spread": 0.5, "link": "log", "varies": True},
    "Prior": lambda: {"family": "Normal", "mu": 0.0, "sigma": {"a": 1.0, "b": 2.0}},
    "Logit": lambda: {"lower": 0.0, "upper": 100.0},
    "Probit": lambda: {"lower": 0.0, "upper": 100.0},
    "Combined": lambda: {"form": "sd"},
    "Binomial": lambda: {"n": 10},
    "Poisson": lambda: {"exposure": 2.0},
    "NegativeBinomial": lambda: {"exposure": "years"},
    "ZeroInflated": lambda: {"counts": nb.Poisson()},
    "OrderedLogistic": lambda: {"categories": 4},
    "TimeToEvent": lambda: {"entry": "start", "nodes": 15},
    "Aggregate": lambda: {"residual": nb.Additive(), "n": "n", "error": "se"},
    "Autoregressive": lambda: {"residual": nb.Additive(), "within": "id", "over": "time", "unit": 2.0},
    "Model": lambda: {
        "structure": OneCompartment(), REST: ("cl ~ 1 + (1|id)",), "residual": nb.Additive(),
        "priors": {"theta_v": nb.Prior("Normal", mu=0.0, sigma=1.0)}, "inputs": {"time": "hour"},
        "parametrisation": {"cl": "centred"}, "typical": {"cl": (2.0, 0.5), "v": 30.0},
    },
    "curve": lambda: {"law": "a * exp(-k * time)", "a": nb.Parameter("a", "mg/L", typical=10.0), "k": 0.3},
    "FormulaCurve": lambda: {"text": "a * exp(-k * time)", "parameters": [nb.Parameter("a"), nb.Parameter("k")]},
    "FunctionCurve": lambda: dict(vars(nb.curve(lambda x, a, k: a * pt.exp(-k * x.time), a=1.0, k=0.3))),
    "Regimen": lambda: {"amount": 100.0, "start": 2.0, "every": 12.0, "doses": 3, "duration": 1.0, "salt": 0.8},
    "Plan": lambda: {REST: (nb.Regimen(300.0), nb.Regimen(100.0, start=12.0))},
    "Arm": lambda: {
        "n": 4, "times": [1.0, (5.0, 6.0)], "doses": {"time": 0.0, "amt": 100.0}, "covariates": {"wt": [70.0, 80.0]},
        "occasions": [0.0, 3.0], "by_occasion": {"treatment": ["A", "B"]}, "within": {"site": 2}, "name": "high",
        "lloq": {"conc": 0.1}, "uloq": 50.0, "inputs": {"fed": [0.0, 1.0]},
    },
    "Design": lambda: {"arms": design().arms},
    "information": lambda: {
        "tree": tree(), "design": design(), "method": "full", "fixed": ["sigma_conc_a"], "scale": "link",
        "variances": True, "draws": 3, "prior": None, "random_seed": 1, "model": model(),
    },
    "information_gain": lambda: {
        "tree": believed(), "design": design(), "studies": 2, "draws": 3, "random_seed": 1, "model": None,
    },
    "optimise_design": lambda: {
        "tree": tree(), "design": design(), "free": {"times": (0.5, 8.0)}, "budget": None, "criterion": "Ds",
        "of": ["cl"], "method": "fo", "fixed": ["sigma_conc_a"], "draws": None, "starts": 1, "step": {"times": 2.0},
        "random_seed": 1,
    },
    "Trough": lambda: {"low": 1.0, "high": 4.0, "weight": 2.0, "free": 0.5, "mic": 2.0, "time": 40.0},
    "AUC": lambda: {"low": 1.0, "high": 4.0, "start": 24.0, "end": 48.0, "dose": 0},
    "DailyAUC": lambda: {"low": 1.0, "high": 4.0, "day": 24.0},
    "AverageConcentration": lambda: {"low": 1.0, "high": 4.0, "dose": -1},
    "Peak": lambda: {"low": 1.0, "high": 4.0},
    "TimeAbove": lambda: {"low": 50.0, "mic": 2.0},
    "Loss": lambda: {"below": 1.0, "above": 3.0, "kind": "log"},
    # what structures are written with
    "Absorption": lambda: {"kind": "mixed", "lag": True, "bioavailability": False, "transits": 4},
    "Elimination": lambda: {"metabolite": True, "urine": False},
    "LatentCovariate": lambda: {
        "structure": OneCompartment(), "covariate": "alb", "on": ("cl",), "typical": 40.0, "spread": 5.0,
        "outcome": "conc",
    },
    "Route": lambda: {"state": "depot", "fraction": 0.5, "lag": pt.constant(1.0), "duration": None, "rate": 2.0},
    "Drive": lambda: {"rate": 0.5},
    "Disposition": lambda: {"volume": 10.0, "k10": 0.1, "exchange": ((0.1, 0.2),), "slow": 0.05},
    "bateman": lambda: {"a": 1.0, "b": 0.1, "t": pt.constant(2.0)},
    "decay_ratio": lambda: {"x": 0.5},
    "passed_on": lambda: {"part": "kinetics"},
    "unambiguous": lambda: {"structure": OneCompartment()},
    # data and files
    "Dataset.from_frame": lambda: {
        "units": {"time": "h", "conc": "mg/L"},
        "frame": tidy_table(), "outcome": ["conc"], "levels": ("id",), "time": "time", "covariates": ["wt"],
        "inputs": ("crp",), "doses": doses(), "amount": "amt", "subject": "id", "sort": True, "duplicates": "error",
        "unmeasured": "exclude", "censored": "below", "limit": "low", "lloq": {"conc": 0.1}, "uloq": 100.0,
        "blq": "M3", "interpolation": "nocb", "source": "study", "status": None, "complete": ["wt"],
        "columns": {"conc": "conc"}, "ignore": "conc.LT.0", "accept": "conc.GT.0", "missing": (), "encoding": "utf-8",
        "decimal": ".",
    },
    "Dataset.from_nonmem": lambda: {
        "units": {"time": "h"},
        "data": event_table(), "levels": ("id",), "outcome": {1: "conc", 2: "effect"}, "covariates": ["weight"],
        "inputs": ["crp"], "sort": False, "duplicates": "keep", "unmeasured": "exclude", "lloq": 0.1,
        "uloq": {"conc": 100.0}, "blq": "M4", "interpolation": "locf", "source": "study", "columns": {"wt": "weight"},
        "ignore": ["@", "DV.EQ.-1"], "accept": "TIME.GE.0", "missing": (), "encoding": "utf-8", "decimal": ".",
    },
    "Dataset.sel": lambda: {"id": "1", "time": [1.0, 5.0]},
    "Dataset.drop_sel": lambda: {"time": 1.0},
    "Dataset.over": lambda: {"time": [1.0, 2.0]},
    "Dataset.with_values": lambda: {"conc": [1.0, 2.0, 3.0, 4.0]},
    "datasets.describe": lambda: {"name": "theophylline"},
    "datasets.table": lambda: {"name": "theophylline"},
    "save": lambda: {"tree": prior(), "path": "tree.nc", "force": True},
    "load": lambda: {"path": saved()},
    "training_dataset": lambda: {"tree": tree()},
    # populations
    "population": lambda: {"model": OneCompartment(), **_stated()},
    "published": lambda: {"name": "vancomycin_goti_2018"},
    # a patient as entered
    "Case": lambda: {
        "models": ["vancomycin_goti_2018"], "label": "p", "patient": {"weight": "70 kg", "crcl": "65", "dial": "no"},
        "later": [{"time": "20", "crcl": "60"}], "doses": [{"time": "0", "amount": "1 g", "duration": "1 h"}],
        "samples": [{"time": "11", "value": "9 mg/L"}], "targets": ["trough 10-15"], "now": "12",
        "regimens": [{"amount": "1 g", "every": "12 h"}], "equation": "", "missing": "refuse", "next_sample": "14, 20",
        "late": "2 h", "seed": "3", "population": {},
    },
    "answer": lambda: {
        "case": nb.Case(models=["vancomycin_buelga_2005"], patient={"weight": "70 kg", "crcl": "65 mL/min"},
                        doses=[{"time": "0", "amount": "1 g", "duration": "1 h"}])
    },
    "read_case": lambda: {"path": nb.write_case(nb.Case(models=["a"]), Path("case.toml"), force=True)},
    "write_case": lambda: {"case": nb.Case(models=["a"]), "path": "case.toml", "force": True},
    "physiology.adjusted_weight": lambda: {"sex": "male", "weight": 90, "height": 180},
    "physiology.body_mass_index": lambda: {"weight": 90, "height": 180},
    "physiology.body_surface": lambda: {"weight": 90, "height": 180, "formula": "dubois"},
    "physiology.ckd_epi": lambda: {"age": 50, "sex": "female", "creatinine": 0.8, "unit": "mg/dL"},
    "physiology.cockcroft_gault": lambda: {"age": 50, "sex": "male", "weight": 70, "creatinine": 80, "unit": "umol/L"},
    "physiology.cockcroft_gault_weight": lambda: {"sex": "male", "weight": 90, "height": 180},
    "physiology.creatinine_clearance": lambda: {
        "equation": "ckd-epi 2021", "age": 50, "creatinine": 80, "sex": "male", "weight": 70, "height": 180,
        "unit": "umol/L",
    },
    "physiology.deindexed": lambda: {"rate": 90, "weight": 90, "height": 180},
    "physiology.fat_free_weight": lambda: {"age": 8, "sex": "male", "weight": 26, "height": 128},
    "physiology.glomerular_filtration": lambda: {"postmenstrual_age": 40, "weight": 3.5},
    "physiology.ideal_weight": lambda: {"sex": "female", "height": 160},
    "physiology.lean_weight": lambda: {"sex": "female", "weight": 60, "height": 160},
    "physiology.maturation": lambda: {"postmenstrual_age": 40, "half": 47.7, "hill": 3.4},
    "physiology.schwartz": lambda: {"age": 8, "height": 130, "creatinine": 50, "unit": "umol/L"},
    # verbs of data and models
    "build": lambda: {"model": model(), "data": data()},
    "priors": lambda: {"model": model(), "data": data()},
    "simulate": lambda: {
        "model": model(), "data": data(), "draws": 10, "values": {"theta_cl": [1.0]}, "random_seed": 3
    },
    "fit": lambda: {
        "model": model(), "data": data(), "draws": 10, "tune": 20, "chains": 2, "cores": 1, "random_seed": 3,
        "progressbar": False, "target_accept": 0.9, "backend": "numba", "method": "nuts", "maxdepth": 8, "client": None,
    },
    "sampler": lambda: {"model": model(), "data": data(), "backend": "numba"},
    "predict": lambda: {
        "model": None, "tree": tree(), "data": data(), "redraw": True, "random_seed": 3, "groups": "all",
    },
    "check": lambda: {"model": model(), "tree": tree()},
    "npde": lambda: {
        "observed": [1.0, 0.5], "simulated": [[1.0, 0.1], [0.2, 2.0], [0.5, 0.7], [3.0, 0.4]], "by": ["a", 2],
        "lloq": 0.3, "uloq": [5.0, 6.0], "censored": [0, 1], "ties": False, "random_seed": 3,
    },
    "effects": lambda: {
        "tree": weighed(), "x": "time", "by": "wt", "of": "conc", "groups": "average", "at": {"wt": [60.0, 70.0]},
        "others": "observed", "data": data(), "points": 3, "draws": 10, "ci_prob": 0.8, "random_seed": 1, "model": None,
    },
    "slopes": lambda: {
        "tree": weighed(), "x": "wt", "by": "id", "of": "cl", "groups": "new", "at": {"wt": [60.0, 70.0]},
        "others": "observed", "data": data(), "points": 3, "draws": 10, "ci_prob": 0.8, "random_seed": 1, "model": None,
    },
    "contrast": lambda: {
        "tree": weighed(), "x": "wt", "pairs": "all", "kind": "ratio", "by": "id", "of": "cl", "groups": "none",
        "at": {"wt": [60.0, 70.0]}, "others": "observed", "data": data(), "draws": 10, "ci_prob": 0.8, "random_seed": 1,
        "model": None,
    },
    "hypothesis": lambda: {
        "tree": weighed(), "statements": ["theta_cl[log(wt/70)] > 0", "cl between 1 and v"], "ci_prob": 0.8,
        "model": None,
    },
    "influence": lambda: {"tree": tree(), "draws": 200, "random_seed": 1, "model": None},
    "plot.influence": lambda: {"tree": tree(), "ax": None},
    "log_likelihood": lambda: {
        "tree": tree(), "data": data(), "at": {"theta_cl": [1.0]}, "draws": 10, "random_seed": 1, "model": None,
    },
    "residuals": lambda: {
        "tree": tree(), "data": None, "replicates": 50, "lloq": {"conc": 0.1}, "uloq": 1000.0, "ci_prob": 0.8,
        "random_seed": 3, "model": model(),
    },
    "vpc": lambda: {
        "tree": tree(), "data": None, "outcome": "conc", "x": "tad", "by": "wt", "bins": [0.0, 3.0, 9.0],
        "binning": "k-means", "correct": "variance", "logged": False, "percentiles": [10.0, 90.0], "ci_prob": 0.8,
        "replicates": 50, "lloq": {"conc": 0.1}, "uloq": 1000.0, "random_seed": 3, "model": model(),
    },
    "ppc": lambda: {
        "tree": tree(), "statistic": lambda rows: rows["DV"].max(), "data": None, "outcome": "conc", "replicates": 50,
        "lloq": 0.1, "uloq": {"conc": 1000.0}, "ci_prob": 0.8, "random_seed": 3, "model": model(),
    },
    "npc": lambda: {
        "tree": tree(), "data": None, "outcome": "conc", "by": ["wt"], "intervals": [0.0, 0.9], "replicates": 50,
        "lloq": 0.1, "uloq": {"conc": 1000.0}, "ci_prob": 0.8, "random_seed": 3, "model": model(),
    },
    "code": lambda: {"model": model(), "name": "stated"},
    "latex": lambda: {"model": model(), "data": data()},
    "to_frame": lambda: {
        "tree": tree(), "what": "predictions", "data": data(), "draws": 10, "ci_prob": 0.8, "random_seed": 3,
        "model": model(),
    },
    "write_table": lambda: {"frame": doses(), "path": "table.csv", "force": True},
    "report": lambda: {
        "tree": forecast(), "path": "report.html", "others": None, "diagnosis": None, "regimens": table(),
        "samples": None, "warned": ["late"], "title": "A patient", "date": "2020-01-02", "ci_prob": 0.8, "force": True,
        "model": model(),
    },
    "summary": lambda: {"tree": tree(), "model": model(), "ci_prob": 0.8},
    "pooling": lambda: {"tree": tree(), "level": "id", "effect": "cl", "outcome": "conc", "ci_prob": 0.8},
    "ranking": lambda: {
        "draws": tree()["posterior"]["cl"], "above": 1.0, "largest_first": True, "ci_prob": 0.8
    },
    "intervals": lambda: {"draws": tree()["posterior"]["cl"], "ci_prob": 0.9},
    "partition": lambda: {
        "tree": tree(), "data": data(), "outcome": "conc", "method": "delta", "draws": 10, "random_seed": 3
    },
    "new_unit": lambda: {"tree": tree(), "data": None, "outcome": "conc", "method": "delta", "draws": 10},
    # forecasts
    "forecaster": lambda: {"tree": tree(), "model": model()},
    "forecast": lambda: {
        "model": None, "tree": tree(), "patient": patient(), "method": "importance", "draws": 20, "proposals": 100,
        "rounds": 0, "random_seed": 3, "flatten": 1.5, "half_life": 24.0, "time_sd": 0.0, "missing": "refuse",
        "now": 30.0, "unusual": "error",
    },
    "forecast_each": lambda: {
        "model": None, "tree": tree(), "data": patient(), "method": "map", "random_seed": 3, "flatten": 1.5,
        "progressbar": False, "client": None,
    },
    "update": lambda: {
        "tree": forecast(), "patient": later(), "draws": 20, "proposals": 100, "rounds": 0, "random_seed": 3
    },
    "compare": lambda: {
        "trees": {"a": tree(), "b": tree()}, "by": "id", "draws": 30, "match": False, "refit": False, "maximum": False,
        "random_seed": 3, "client": None,
    },
    "average": lambda: {
        "trees": {"a": tree(), "b": tree()}, "patient": patient(), "prior": {"a": 0.7, "b": 0.3},
        "scheme": "evidence", "draws": 20, "proposals": 100, "rounds": 0, "random_seed": 3,
    },
    "retrospect": lambda: {
        "model": None, "tree": tree(), "data": patient(), "visit": "time", "most": 1, "draws": 20, "proposals": 100,
        "rounds": 0, "random_seed": 3, "ci_prob": 0.8, "method": "laplace", "progressbar": False, "client": None,
    },
    # doses
    "regimens": lambda: {
        "amounts": [100.0, 200.0], "every": (12.0, 24.0), "until": 96.0, "duration": 1.0, "start": 4.0
    },
    "tablets": lambda: {REST: (100.0, 250.0), "most": 3, "halves": True},
    "recommend": lambda: {
        "forecast": forecast(), "regimens": _plans(), "targets": nb.Trough(1.0, 4.0), "loss": nb.Loss(), "now": 10.0,
        "ci_prob": 0.8,
        **_after(),
    },
    "optimise": lambda: {
        "forecast": forecast(), "regimen": _plans()[0], "targets": nb.Trough(1.0, 4.0), "optimum": "at least",
        "probability": 0.5, "vary": "amount", "between": (1.0, 1000.0), "given": [100.0, 200.0], **_after(),
    },
    "next_sample": lambda: {
        "forecast": forecast(), "times": [26.0, (30.0, 36.0)], "of": "cl", "lloq": 0.1, "replicates": 20,
        "random_seed": 3, "plan": _plans()[0], **_after(),
    },
    # designs
    "simulate_studies": lambda: {
        "tree": tree(), "design": design(), "n": 2, "fit": lambda data: tree(), "draws": True, "without": None,
        "lloq": None, "uloq": None, "ci_prob": 0.8, "random_seed": 3, "file": None, "progressbar": False, "model": None,
        "client": None,
    },
    # pictures
    "plot.comparison": lambda: {"found": comparison(), "ci_prob": 0.8, "ax": None},
    "plot.design": lambda: {
        "tree": tree(), "design": design(), "outcome": "conc", "columns": 2, "ci_prob": 0.8, "random_seed": 3,
        "sensitivity": None, "ax": None, "model": None,
    },
    "plot.power": lambda: {
        "information": nb.information(tree(), design()), "parameter": "cl", "wanted": 0.9, "null": 1.0, "alpha": 0.1,
        "studies": (), "ax": None,
    },
    "plot.data": lambda: {"data": data(), "outcome": "conc", "x": "time", "by": "wt", "ax": None},
    "plot.gof": lambda: {
        "tree": tree(), "data": data(), "outcome": "conc", "replicates": 30, "ci_prob": 0.8, "random_seed": 1,
        "ax": None, "model": None,
    },
    "plot.etas": lambda: {
        "tree": tree(), "level": "id", "covariates": (), "ci_prob": 0.8, "ax": None, "model": None,
    },
    "plot.forest": lambda: {
        "tree": weighed(), "at": {"wt": [50.0, 90.0]}, "parameters": ["cl"], "reference": {"wt": 70.0},
        "exposure": "auc", "outcome": "conc", "lines": [0.8, 1.25], "ci_prob": 0.8, "ax": None, "model": None,
    },
    "plot.effects": lambda: {
        "tree": weighed(), "x": "wt", "by": "id", "of": "cl", "groups": "new", "at": {"wt": [60.0, 70.0]},
        "others": "observed", "data": data(), "points": 3, "draws": 10, "ci_prob": 0.8, "random_seed": 1, "ax": None,
        "model": None,
    },
    "plot.priors": lambda: {
        "tree": tree(), "variables": ["theta_*", "omega_id[cl]"], "ci_prob": 0.8, "ax": None, "model": None,
    },
    "plot.fits": lambda: {
        "model": None, "tree": tree(), "data": data(), "x": "time", "subjects": ["1"], "outcome": "conc", "columns": 2,
        "ci_prob": 0.8, "page": 1, "ax": None,
    },
    "plot.forecast": lambda: {
        "tree": forecast(), "times": [1.0, 2.0, 3.0], "x": "time", "held_out": later(), "outcome": "conc",
        "ci_prob": 0.8, "model": None, "ax": None,
    },
    "plot.hysteresis": lambda: {
        "model": None, "tree": loops(), "x": "conc", "y": "effect", "subjects": ["1"], "columns": 2, "ax": None,
    },
    "plot.vpc": lambda: {
        "model": None, "tree": tree(), "x": "time", "outcome": "conc", "bins": 2, "random_seed": 1, "ci_prob": 0.8,
        "by": ["wt"], "binning": "count", "correct": "prediction", "logged": True, "replicates": 30, "lloq": 0.1,
        "uloq": 1000.0, "log": "xy", "ax": None,
    },
    "plot.prior": lambda: {
        "tree": prior(), "x": "time", "outcome": "conc", "bins": 2, "ci_prob": 0.8, "by": ["wt"], "binning": "count",
        "ax": None,
    },
    "plot.shrinkage": lambda: {
        "tree": tree(), "level": "id", "effect": "cl", "outcome": "conc", "ci_prob": 0.8, "ax": None,
    },
    "plot.regimens": lambda: {"table": table(), "ax": None},
    "plot.doses": lambda: {
        "forecast": forecast(), "regimens": _plans(), "targets": nb.Trough(1.0, 4.0), "times": [24.0, 30.0],
        "columns": 1,
        "outcome": "conc", "history": "follow", "occasions": "new", "ci_prob": 0.8, "model": None,
        "ax": None,
    },
}  # fmt: skip


def public():
    """Every public function and class that can be called, by name; rooms such as ``plot``, and `Dataset`, by room and
    name."""
    for name in nb.__all__:
        value = getattr(nb, name)
        inner = [(name, value)]
        if inspect.ismodule(value):
            inner = [(f"{name}.{each}", getattr(value, each)) for each in value.__all__]
        if value is nb.Dataset:
            inner = [(f"{name}.{each}", getattr(data(), each)) for each in vars(value) if not each.startswith("_")]
        for path, each in inner:
            made = isinstance(each, type) and each.__eq__ is object.__eq__ and not hasattr(each.__init__, "__wrapped__")
            if made or (isinstance(each, type) and issubclass(each, Exception)):
                continue  # a result, which compares by identity and is made by a verb; a refusal
            if callable(each) and not inspect.isabstract(each):
                yield path, each


def called(function, given):
    """The result of a call."""
    given = dict(given)
    rest = given.pop(REST, ())
    first = {}
    for name, p in inspect.signature(function).parameters.items():
        if p.kind is p.POSITIONAL_ONLY or (rest and p.kind is p.POSITIONAL_OR_KEYWORD):
            first |= {name: given.pop(name)} if name in given else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return function(*first.values(), *rest, **given)


class Thing:
    """What no argument is."""


NONSENSE = (
    np.nan, -np.inf, Thing(), Thing, {1.0, 2.0}, b"text", 1j, [np.nan], ["text", None], {"text": Thing()}, {None: 1.0},
    pd.DataFrame({"a": [1.0]}), np.array([[np.nan]]), (Thing(),), np.datetime64("2020-01-01"),
)  # fmt: skip
DOUBTFUL = (
    None, 0, -1, 1, 2.5, 1e300, np.inf, True, "", "text", "a b", "id", [], (), {}, {"text": 1.0}, [1.0, 0.5],
    (3.0, 1.0),
    np.zeros(0), 10**30, -(10**30), 0.5,
)  # fmt: skip


def spellings(value):
    """The same value, written in other ways."""
    found = []
    if isinstance(value, bool):
        return [np.bool_(value)]
    if isinstance(value, int | float):
        found = [np.float64(value), np.array(value)]
        found += [int(value), np.int64(value), np.int32(value), np.float32(value)] if value == int(value) else []
        found += [float(value)]
    if isinstance(value, str):
        found = [np.str_(value)]
    if isinstance(value, list | tuple):
        found = [list(value), tuple(value)]
    if isinstance(value, dict):
        found = [dict(value)]
    return [*found, np.array(value)] if _numbers(value) else found


def _numbers(value):
    return isinstance(value, list) and bool(value) and all(isinstance(each, float) for each in value)


@st.composite
def inside(draw, value):
    """A value with another one somewhere inside, or without a part."""
    if isinstance(value, dict) and value:
        key = draw(st.sampled_from(list(value)))
        kind = draw(st.sampled_from(["drop", "rename", "replace"]))
        rest = {k: v for k, v in value.items() if k != key}
        if kind == "drop":
            return rest
        return rest | ({"nope": value[key]} if kind == "rename" else {key: draw(inside(value[key]))})
    if isinstance(value, list | tuple) and value:
        place = draw(st.integers(0, len(value) - 1))
        other = draw(inside(value[place]))
        return type(value)([*value[:place], other, *value[place + 1 :]])
    return draw(st.sampled_from(NONSENSE + DOUBTFUL))


KINDS = ("spelling", "nonsense", "nonsense", "doubtful", "inside", "inside", "unknown", "missing")


@dataclass(frozen=True)
class Call:
    """A call of which one argument, ``place``, is another than in the valid one; ``kind`` says what was done."""

    name: str
    kind: str
    place: str
    given: dict = field(repr=False)

    @property
    def value(self):
        return self.given.get(self.place)

    def __str__(self):
        return f"{self.name}({self.place}={self.value!r:.200}), {self.kind}"

    __repr__ = __str__


@st.composite
def mutations(draw, name, function):
    """A `Call` that is one step from the valid one."""
    given = CALLS[name]()
    known = [
        n for n, p in inspect.signature(function).parameters.items()
        if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    ]  # fmt: skip
    place = draw(st.sampled_from(list(dict.fromkeys([*given, *known]))))
    kind = draw(st.sampled_from([kind for kind in KINDS if place in given or kind not in ("spelling", "missing")]))
    if kind == "missing":
        return Call(name, kind, place, {k: v for k, v in given.items() if k != place})
    if kind == "unknown":
        place = "nope"
    elif kind == "spelling" and not spellings(given[place]):
        kind = "nonsense"
    value = draw({
        "spelling": st.sampled_from(spellings(given.get(place)) or [None]), "nonsense": st.sampled_from(NONSENSE),
        "doubtful": st.sampled_from(DOUBTFUL), "unknown": st.sampled_from(NONSENSE + DOUBTFUL),
        "inside": inside(given.get(place)),
    }[kind])  # fmt: skip
    if place == REST and not isinstance(value, tuple | list):
        value = (value,)
    return Call(name, kind, place, given | {place: value})
