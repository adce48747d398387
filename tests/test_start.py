"""Where chains start: subjects whose doses have units of their own, priors that exclude what the pilot found."""

import numpy as np
import pandas as pd
import pytest
from pytensor.link.c.op import COp

import nlmebayes as nb
from model_zoo import LinearMixed, OneCompartment
from nlmebayes.formula.design import resolve
from nlmebayes.inference import parametrisation
from nlmebayes.inference.gauss_newton import GaussNewton
from nlmebayes.inference.starts import initial_points, pilot, typical_start
from nlmebayes.model.build import assemble


@pytest.mark.parametrize("weight", [70.0, 65.0])
def test_effects_are_a_subjects_own_where_its_dose_has_another_covariate(weight):
    """That of the dose record is read by a unit without measurements."""
    subjects = np.arange(5)
    frame = pd.DataFrame({"id": np.repeat(subjects, 3), "time": np.tile([1.0, 4.0, 9.0], 5), "conc": 2.0, "wt": 70.0})
    doses = pd.DataFrame({"id": subjects, "time": 0.0, "amt": 100.0, "wt": weight})
    data = nb.Dataset.from_frame(frame, outcome="conc", time="time", levels="id", doses=doses)
    model = nb.Model(OneCompartment(absorption="first-order"), "cl ~ 1 + log(wt/70) + (1|id)")
    problem = GaussNewton(model, resolve(model, data))
    assert len(problem.subject) == (5 if weight == 70.0 else 10)
    assert problem.count == 5
    assert problem.of_column[problem.own].tolist() == np.repeat(subjects, 3).tolist()


def test_chains_start_where_a_bounded_prior_excludes_the_pilot():
    data = nb.datasets.dyestuff()
    prior = nb.Prior("TruncatedNormal", mu=1600.0, sigma=50.0, lower=1560.0)
    model = nb.Model(LinearMixed(), "mu ~ 1 + (1|Batch)", priors={"theta_mu": prior})
    design = resolve(model, data)
    found = pilot(model, design)
    assert found.theta["mu"][0] < 1560.0
    design, information, _ = parametrisation.settle(model, design, found)
    built, _ = assemble(model, design, information)
    density = built.compile_logp(mode="FAST_COMPILE")
    start = initial_points(built, design, found)(1)
    assert np.isfinite(start).all()
    names = [v.name for v in built.value_vars]
    sizes = [np.shape(built.initial_point(0)[name]) for name in names]
    parts = np.split(start, np.cumsum([int(np.prod(shape)) for shape in sizes])[:-1])
    point = {n: np.reshape(part, shape) for n, part, shape in zip(names, parts, sizes, strict=True)}
    assert np.isfinite(density(point))


def test_no_c_compiler_is_asked_for_the_loops_of_correlations(monkeypatch):
    """Of the transform to correlations, where chains start and where the prior is drawn from."""

    def asked(*args, **kwargs):
        raise AssertionError("an operation is compiled by a C compiler")

    monkeypatch.setattr(COp, "make_c_thunk", asked)
    model = nb.Model(LinearMixed(), "mu ~ 1 + Days + (1 + Days|Subject)")
    data = nb.datasets.sleepstudy()
    design = resolve(model, data)
    found = pilot(model, design)
    design, information, _ = parametrisation.settle(model, design, found)
    built, _ = assemble(model, design, information)
    assert np.isfinite(initial_points(built, design, found)(1)).all()
    drawn = nb.simulate(model, data, draws=2, random_seed=1)["prior"]["corr_Subject"].to_numpy()
    assert (abs(drawn[..., 0, 1]) < 1).all()


@pytest.mark.parametrize("unit", [1.0, 1e3, 1e-3])
def test_the_pooled_fit_finds_other_units(unit):
    """With additive error a prediction a thousand times too small is a mode of its own, of the mean."""
    times, rng = np.array([0.5, 1, 2, 4, 8, 12, 24]), np.random.default_rng(0)
    frame = pd.DataFrame({"id": np.repeat(np.arange(24), 7), "time": np.tile(times, 24)})
    mean = 100 * 1.5 / 30 / 1.4 * (np.exp(-0.1 * frame["time"]) - np.exp(-1.5 * frame["time"]))
    frame["conc"] = unit * mean * np.exp(rng.normal(0, 0.1, len(frame)))
    doses = pd.DataFrame({"id": np.arange(24), "time": 0.0, "amt": 100.0})
    data = nb.Dataset.from_frame(frame, outcome="conc", time="time", levels="id", doses=doses)
    model = nb.Model(OneCompartment(absorption="first-order"))
    found = typical_start(model, resolve(model, data))
    assert np.exp(found["theta_cl"]) * unit == pytest.approx(3.0, rel=0.1)
    assert np.exp(found["theta_v"]) * unit == pytest.approx(30.0, rel=0.1)
