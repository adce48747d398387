"""What a search of the likeliest population computes, counted: nothing twice."""

from collections import Counter

import numpy as np
import pandas as pd
import pytest

import nlmebayes as nb
from model_zoo import TwoCompartment
from nlmebayes.individuals import judging, placing
from nlmebayes.individuals.integral import Integral
from nlmebayes.inference import maximum

MODEL = nb.Model(TwoCompartment(absorption="first-order"), residual=nb.Proportional())
TRUTH = {"cl": 4.0, "v1": 70.0, "q": 4.0, "v2": 40.0, "ka": 1.0}


@pytest.fixture(scope="module")
def data():
    """Thirty people, some of whose five effects the samples leave open."""
    times = [0.5, 1.0, 2.0, 4.0, 8.0, 12.0, 24.0, 48.0]
    rows = [(i, t, 100.0 * (t == 0), int(t == 0)) for i in range(30) for t in (0.0, *times)]
    frame = pd.DataFrame(rows, columns=["ID", "TIME", "AMT", "EVID"]).assign(DV=1.0)
    values = {f"theta_{p.name}": [np.log(TRUTH[p.name])] for p in MODEL.parameters}
    values |= {"omega_id": [0.3] * 5, "sigma_dv_b": 0.1}
    drawn = nb.simulate(MODEL, nb.Dataset.from_nonmem(frame), draws=1, values=values, random_seed=1)
    frame.loc[frame["EVID"] == 0, "DV"] = drawn["prior_predictive"]["dv"].to_numpy().ravel()
    return nb.Dataset.from_nonmem(frame)


def test_a_search_computes_nothing_twice(data, monkeypatch):
    """Over drawn nodes: each population has its modes sought once and its hard groups integrated once, each set of
    nodes its predictions once, and quasi-random points are begun once a seed."""
    counts = {"modes": Counter(), "hard": Counter(), "nodes": Counter(), "points": Counter()}

    def counted(module, name, kind, key):
        function = getattr(module, name)

        def instead(*given, **named):
            counts[kind][key(*given)] += 1
            return function(*given, **named)

        monkeypatch.setattr(module, name, instead)

    counted(placing.Population, "place", "modes", lambda population, x, *_: x.tobytes())
    for module in (judging, maximum):
        counted(module, "alone", "hard", lambda population, data, x, i, *_: (x.tobytes(), int(i)))
    counted(Integral, "_predicted", "nodes", lambda integral, moved: integral.linear.tobytes())
    counted(placing, "Points", "points", lambda real, rng: rng.bit_generator.state["state"]["state"])  # by seed
    tree = nb.fit(MODEL, data, method="ml", random_seed=1)
    assert tree["marginal"].to_dataset()["error"].max() > 0 and counts["hard"]  # some groups are hard
    assert {kind: max(each.values()) for kind, each in counts.items()} == dict.fromkeys(counts, 1)
