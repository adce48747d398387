"""Where chains start: subjects whose doses have units of their own, priors that exclude what the pilot found."""

import numpy as np
import pandas as pd
import pytest

import nlmebayes as nb
from model_zoo import LinearMixed, OneCompartment
from nlmebayes import parametrisation
from nlmebayes.design import resolve
from nlmebayes.model import assemble
from nlmebayes.pilot import Problem
from nlmebayes.start import initial_points, pilot


@pytest.mark.parametrize("weight", [70.0, 65.0])
def test_effects_are_a_subjects_own_where_its_dose_has_another_covariate(weight):
    """That of the dose record is read by a unit without measurements."""
    subjects = np.arange(5)
    frame = pd.DataFrame({"id": np.repeat(subjects, 3), "time": np.tile([1.0, 4.0, 9.0], 5), "conc": 2.0, "wt": 70.0})
    doses = pd.DataFrame({"id": subjects, "time": 0.0, "amt": 100.0, "wt": weight})
    data = nb.Dataset.from_frame(frame, outcome="conc", time="time", levels="id", doses=doses)
    model = nb.Model(OneCompartment(absorption="first-order"), "cl ~ 1 + log(wt/70) + (1|id)")
    problem = Problem(model, resolve(model, data))
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
    density = built.compile_logp()
    start = initial_points(built, design, found)(1)
    assert np.isfinite(start).all()
    names = [v.name for v in built.value_vars]
    sizes = [np.shape(built.initial_point(0)[name]) for name in names]
    parts = np.split(start, np.cumsum([int(np.prod(shape)) for shape in sizes])[:-1])
    point = {n: np.reshape(part, shape) for n, part, shape in zip(names, parts, sizes, strict=True)}
    assert np.isfinite(density(point))
