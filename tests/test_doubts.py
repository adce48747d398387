"""What a fit says before it samples, and what it refuses: covariates far from 0, terms told apart by priors alone,
zeros that are predicted exactly."""

import numpy as np
import pandas as pd
import pytest

import nlmebayes as nb
from model_zoo import LinearMixed, OneCompartment
from nlmebayes.formula.design import resolve
from nlmebayes.inference import sampler
from nlmebayes.model.hierarchy import doubts


def study():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"id": np.repeat(np.arange(20), 4), "year": 2000.0 + rng.integers(0, 15, 80)})
    frame["kg"] = rng.normal(70, 12, 20)[frame["id"]]
    frame["lb"], frame["one"], frame["sex"] = 2.2046 * frame["kg"], 1.0, np.where(frame["id"] % 2, "f", "m")
    frame["y"] = 0.5 * (frame["year"] - 2007) + rng.normal(0, 1, 20)[frame["id"]] + rng.normal(0, 0.5, 80)
    return nb.Dataset.from_frame(frame, outcome="y", levels="id", duplicates="keep")


@pytest.mark.parametrize(("formula", "said"), [
    ("mu ~ 1 + year", "mu: year has mean 2007 and SD 4.2"),
    ("mu ~ 1 + kg", "mu: kg has mean 7"),
    ("mu ~ 1 + one", "mu: one is a combination of Intercept,"),
    ("mu ~ 1 + center(kg) + center(lb)", "mu: center(lb) is a combination of Intercept, center(kg),"),
    ("mu ~ 0 + year", None),
    ("mu ~ 1 + center(year) + sex", None),
    ("mu ~ 1 + log(kg/70)", None),
    ("mu ~ 1 + s(year, k=5)", None),
    ("mu ~ 0 + sex + sex:center(year)", None),
])  # fmt: skip
def test_fixed_effects_that_default_priors_do_not_suit_are_told(formula, said):
    model = nb.Model(LinearMixed(), f"{formula} + (1|id)")
    found = list(doubts(model, resolve(model, study())))
    assert [text[: len(said or "")] for text in found] == ([said] if said else [])


def test_a_stated_prior_is_believed():
    prior = nb.Prior("Normal", mu={"Intercept": -1000.0, "year": 0.0}, sigma={"Intercept": 500.0, "year": 1.0})
    model = nb.Model(LinearMixed(), "mu ~ 1 + year + (1|id)", priors={"theta_mu": prior})
    assert not list(doubts(model, resolve(model, study())))


def kinetics(before):
    """Samples of six subjects, the first of each before its dose, with the value ``before`` or one of these."""
    times, rng = [0.0, 1.0, 2.0, 4.0, 8.0, 24.0], np.random.default_rng(1)
    frame = pd.DataFrame({"id": np.repeat(np.arange(6), 6), "time": np.tile(times, 6)})
    mean = 5 * (np.exp(-0.1 * frame["time"]) - np.exp(-frame["time"]))
    frame["conc"] = np.where(frame["time"] == 0, before, mean * np.exp(rng.normal(0, 0.1, 36)))
    doses = pd.DataFrame({"id": np.arange(6), "time": 0.5, "amt": 100.0})
    return nb.Dataset.from_frame(frame, outcome="conc", time="time", levels="id", doses=doses)


def stop(*_, **__):
    raise InterruptedError


def test_a_fit_says_so_before_anything_is_compiled(monkeypatch):
    monkeypatch.setattr(sampler.compilation, "compiled", stop)
    model = nb.Model(LinearMixed(), "mu ~ 1 + year + (1|id)")
    with pytest.warns(UserWarning, match=r"write center\(year\)"), pytest.raises(InterruptedError):
        nb.fit(model, study())


@pytest.mark.parametrize("residual", [nb.Combined(), nb.Combined("variance")], ids=lambda r: r.form)
def test_zeros_before_the_dose_are_refused_where_they_would_leave_no_additive_error(residual, monkeypatch):
    monkeypatch.setattr(sampler.compilation, "compiled", stop)
    structure = OneCompartment(absorption="first-order")
    with pytest.raises(nb.ModelError, match="6 values of conc are 0 where the prediction is 0, first row 1:"):
        nb.fit(nb.Model(structure, residual=residual), kinetics(0.0))
    some = np.where(np.arange(36) == 6, 0.01, 0.0)  # as in theophylline: one that is no 0 tells the additive error
    for other, before in ((residual, 0.01), (residual, some), (nb.Additive(), 0.0)):
        with pytest.raises(InterruptedError):
            nb.fit(nb.Model(structure, residual=other), kinetics(before))
    with pytest.raises(nb.ModelError, match="6 values of conc have no density at the typical values, first row 1"):
        nb.fit(nb.Model(structure, residual=nb.Proportional()), kinetics(0.0))
