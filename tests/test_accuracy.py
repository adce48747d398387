"""A fit of a system, and what its report says of the solver."""

import json

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from test_system import BLOWS_UP, Saturable, blown

import nlmebayes as nb
from nlmebayes.formula.design import resolve
from nlmebayes.inference import accuracy
from nlmebayes.model.build import assemble

MODEL = nb.Model(
    Saturable(),
    "ka ~ 1", "vmax ~ 1 + (1|id)", "km ~ 1", "v ~ 1",
    residual=nb.Proportional(), typical={"ka": (1.0, 0.2), "vmax": (12.0, 0.2), "km": (3.0, 0.2), "v": (20.0, 0.2)},
    priors={"omega_id": nb.Prior("HalfNormal", sigma=0.2), "sigma_conc_b": nb.Prior("HalfNormal", sigma=0.1)},
)  # fmt: skip


def with_options(**options):
    return nb.Model(
        Saturable(**options), *MODEL.formulas, residual=MODEL.residual, typical=MODEL.typical, priors=MODEL.priors
    )


@pytest.fixture(scope="module")
def fitted():
    times = [1.0, 4.0, 12.0, 24.0]
    frame = pd.DataFrame({"id": np.repeat(range(8), 4), "time": np.tile(times, 8), "conc": 1.0})
    doses = pd.DataFrame({"id": range(8), "time": 0.0, "amt": 150.0})
    design = nb.Dataset.from_frame(frame, outcome="conc", time="time", levels="id", doses=doses)
    truth = {
        "theta_ka": [0.0], "theta_vmax": [np.log(12)], "theta_km": [np.log(3)], "theta_v": [np.log(20)],
        "omega_id": [0.2], "sigma_conc_b": 0.1,
    }  # fmt: skip
    drawn = nb.simulate(MODEL, design, draws=1, values=truth, random_seed=3)["prior_predictive"]["conc"]
    data = design.with_values(conc=drawn.to_numpy().ravel())
    return data, nb.fit(MODEL, data, draws=400, tune=300, chains=2, random_seed=1, progressbar=False)


def test_a_system_is_fitted_and_its_truth_is_within_reach(fitted):
    table = nb.summary(fitted[1]).set_index("quantity")
    for name, truth in {"ka": 1.0, "vmax": 12.0, "km": 3.0, "v": 20.0}.items():
        row = table.loc[name]
        assert abs(row["mean"] - truth) < 3 * row["sd"], name
    assert (table["rhat"] < 1.1).all()


def test_a_good_solver_is_not_mentioned(fitted):
    data, tree = fitted
    assert max(accuracy.tolerance(MODEL, resolve(MODEL, data), tree)) < 1e-3
    assert json.loads(tree.attrs["nlmebayes_solver"])["proposals"] == 0
    assert not [finding for finding in nb.check(tree).findings if "solver" in finding]


def test_a_loose_tolerance_is_reported_with_the_mend(fitted):
    data, tree = fitted
    loose = with_options(rtol=0.3, atol=1.0)
    found = list(accuracy.findings(loose, resolve(loose, data), tree))
    assert len(found) == 1
    assert "fit again with rtol=0.003, atol=0.01" in found[0]


@pytest.mark.filterwarnings("ignore:.*rare in this population")
def test_a_forecast_of_a_system_follows_its_patient(fitted):
    _, tree = fitted
    doses = pd.DataFrame({"id": ["new"], "time": 0.0, "amt": 150.0})
    means = []
    for conc in ([6.5, 5.0], [6.5, 1.5]):  # slow and fast elimination
        frame = pd.DataFrame({"id": "new", "time": [1.0, 12.0], "conc": conc})
        patient = nb.Dataset.from_frame(frame, outcome="conc", time="time", levels="id", doses=doses)
        forecast = nb.forecast(tree, patient, random_seed=1)
        means.append(float(forecast["posterior"]["vmax"].mean()))
    assert means[0] < 12.0 < means[1]


def test_proposals_without_a_solution_are_counted_by_unit_with_an_example():
    model = nb.Model(BLOWS_UP.cls(), typical={"k": 0.01})
    design = resolve(model, blown())
    built, _ = assemble(model, design)
    point = built.initial_point(random_seed=1)
    names = [v.name for v in built.value_vars]
    effect = next(name for name in names if name.startswith("z_"))

    def flat(k, z):
        values = {name: np.zeros_like(point[name]) for name in names} | {"theta_k": np.log([k])}
        values[effect] = np.reshape(z, np.shape(point[effect]))
        return np.concatenate([np.ravel(values[name]) for name in names])

    ends = np.array(
        [[flat(0.01, [0, 0]), flat(0.01, [0, 3.0]), np.full_like(flat(1, [0, 0]), np.nan), flat(1, [0, 0])]]
    )
    stats = xr.Dataset({
        "divergence_end": (("chain", "draw", "x"), ends), "diverging": (("chain", "draw"), [[True, True, False, True]])
    })  # fmt: skip
    found = json.loads(accuracy.failures(built, design, stats))
    assert found["proposals"] == 2
    assert found["units"] == {"2": 2, "1": 1}
    assert found["example"]["k"] == pytest.approx(0.01 * np.exp(3.0))
    both = json.loads(accuracy.together(json.dumps({"proposals": 0}), json.dumps(found)))
    assert both == found
    both = json.loads(accuracy.together(json.dumps(found), json.dumps(found)))
    assert (both["proposals"], both["units"], both["example"]) == (4, {"2": 4, "1": 2}, found["example"])
    tree = xr.DataTree()
    tree.attrs["nlmebayes_solver"] = json.dumps(found)
    first = next(iter(accuracy.findings(model, design, tree)))
    assert first.startswith("2 proposals of the sampler had no solution and were rejected, most often in 2 (2), 1 (1)")
