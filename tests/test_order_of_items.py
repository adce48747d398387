"""The order of the items of a dict carries no meaning: models, populations and forecasts are the same either way."""

import numpy as np
import pandas as pd

import nlmebayes as nb
from model_zoo import IndirectResponse, OneCompartment


def backwards(given):
    """The same dict, its items and those of dicts in it from last to first."""
    return {k: backwards(v) if isinstance(v, dict) else v for k, v in reversed(given.items())}


def records(**columns):
    frame = pd.DataFrame({"id": np.repeat(["a", "b"], 3), "time": np.tile([1.0, 6, 24], 2), "wt": 60.0})
    doses = pd.DataFrame({"id": ["a", "b"], "time": 0.0, "amt": 100.0, "wt": 60.0})
    return nb.Dataset.from_frame(frame.assign(**columns), outcome=tuple(columns), time="time", levels="id", doses=doses)


SPREADS = {"cl": 0.3, "v": 0.5, "e0": 0.1, "kout": 0.2, "imax": 0.4, "ic50": 0.6}


def density(options):
    """Log-density of a model of two outcomes at its first point, by name."""
    model = nb.Model(IndirectResponse(), "cl ~ 1 + (1|p|id)", "v ~ 1 + (1|p|id)", **options)
    built = nb.build(model, records(conc=[3.0, 2, 1, 4, 3, 2], effect=[50.0, 40, 30, 60, 50, 40]))
    point = dict(sorted(built.initial_point().items()))
    return float(built.compile_logp(mode="FAST_COMPILE")(point)), {k: np.asarray(v).tolist() for k, v in point.items()}


def test_of_a_model():
    options = {
        "residual": {"conc": nb.Combined(), "effect": nb.Additive()},
        "priors": {
            "theta_cl": nb.Prior("Normal", mu=0.1, sigma=0.5), "theta_kout": nb.Prior("Normal", mu=-2.0, sigma=0.4),
            "omega_id": nb.Prior("HalfNormal", sigma=SPREADS),
            "sigma_effect_a": nb.Prior("HalfNormal", sigma=9.0), "sigma_conc_b": nb.Prior("HalfNormal", sigma=0.2),
        },
        "links": {"imax": "probit", "cl": "log"}, "typical": {"e0": 40.0, "kout": 0.1},
    }  # fmt: skip
    assert density(options) == density(backwards(options))


STATED = {
    "theta": {"cl": {"Intercept": 3.0, "log(wt / 70)": 0.75}, "v": 30.0, "ka": 1.5},
    "omega": {"sd": {"cl": 0.3, "v": 0.2}, "correlation": {"cl v": 0.5}}, "sigma": {"a": 0.1, "b": 0.2},
    "uncertainty": {"cl": 5.0, "v": 8.0}, "domain": {"wt": (40, 120)}, "reference": {"wt": 70.0},
}  # fmt: skip


def population(stated):
    model = nb.Model(
        OneCompartment("first-order"),
        "cl ~ 1 + log(wt / 70) + (1|p|id)",
        "v ~ 1 + (1|p|id)",
        "ka ~ 1",
        residual=nb.Combined(),
    )
    return nb.population(model, **stated, draws=50, random_seed=1)


def test_of_a_stated_population_and_a_forecast():
    one, other = population(STATED), population(backwards(STATED))
    patient = records(conc=[2.5, 1.8, 0.4, 3.0, 2.0, 1.0]).sel(id="a")
    for tree, again in ((one, other), *[[nb.forecast(x, patient, random_seed=1) for x in (one, other)]]):
        for name, values in tree["posterior"].data_vars.items():
            assert np.array_equal(values.to_numpy(), again["posterior"][name].sel(values.coords).to_numpy()), name
