"""A tree brings its design back exactly: every kind of column, every transform, through save, load and each verb."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import nlmebayes as nb
from model_zoo import OneCompartment
from nlmebayes.evaluation import storage
from nlmebayes.formula.design import resolve

N = 12
TEXTS = ["b", "a", "3+", "b", "c d", "a", "b", "3+", "c d", "a", "b", "3+"]
DECLARED = ["3+", "c d", "unused", "b", "a"]
WHOLE = [3, 1, 2, 3, 5, 1, 3, 2, 5, 1, 3, 2]
REAL = np.random.default_rng(5).lognormal(1.0, 0.5, N)
LABELS = {
    "text": TEXTS,
    "numpy text": np.array(TEXTS),
    "pandas text": pd.array(TEXTS, dtype="str"),
    "category": pd.Categorical(TEXTS, DECLARED),
    "ordered category": pd.Categorical(TEXTS, DECLARED, ordered=True),
    "category of whole numbers": pd.Categorical(WHOLE, [5, 3, 2, 9, 1]),
    "ordered category of numbers": pd.Categorical(np.array(WHOLE) / 2, [1.5, 0.5, 1.0, 2.5], ordered=True),
}
NUMBERS = {
    "real": REAL,
    "real of 32 bits": REAL.astype("float32"),
    "whole": WHOLE,
    "whole of 8 bits": np.array(WHOLE, dtype="int8"),
    "whole that may be missing": pd.array(WHOLE, dtype="Int64"),
    "text of numbers": [f"{x:.3f}" for x in REAL],
}
BOOLEAN = {"boolean": REAL > 3, "boolean that may be missing": pd.array(REAL > 3, dtype="boolean")}
OF_LABELS = ("x", "0 + x", "C(x)", "S(x)", "x:wt", "x*wt", "C(x, Sum):wt")
OF_NUMBERS = (
    "x", "log(x + 1)", "center(x)", "scale(x)", "center(log(x + 1)):wt", "poly(x, 2)", "poly(x, 2, raw=True)",
    "bs(x, df=4)", "cr(x, df=3)", "s(x, k=4)", "C(x > 2)", "I(x > 2)", "I(center(x)**2)", "x*wt", "offset(x / 9)",
    "I(maximum(x, scale(x)))",
)  # fmt: skip
OF_BOOLEANS = ("x", "C(x)", "x:wt", "I(1 - x)", "center(x)")
CASES = [
    *((kind, values, term) for kind, values in LABELS.items() for term in OF_LABELS),
    *((kind, values, term) for kind, values in NUMBERS.items() for term in OF_NUMBERS),
    *((kind, values, term) for kind, values in BOOLEAN.items() for term in OF_BOOLEANS),
]


def frame_of(values):
    subjects = pd.DataFrame({"id": [f"p{i}" for i in range(N)], "x": values, "wt": 50.0 + 3 * np.arange(N)})
    times = subjects.merge(pd.DataFrame({"time": [1.0, 6.0]}), how="cross")
    times["x"] = subjects["x"].repeat(2).array
    return times.assign(conc=np.tile([4.3, 2.0], N))


def read(frame, **options):
    doses = frame[["id"]].drop_duplicates().assign(time=0.0, amt=100.0, **options)
    return nb.Dataset.from_frame(frame, outcome="conc", levels="id", time="time", doses=doses)


def model_of(term):
    return nb.Model(OneCompartment(), f"cl ~ 1 + {term} + (1|id)", "v ~ 1", residual=nb.Proportional())


def same(one, other):
    """Bit for bit."""
    return (
        one.terms == other.terms
        and one.values.tobytes() == other.values.tobytes()
        and (one.offset == other.offset).all()
    )


@pytest.mark.parametrize(("kind", "values", "term"), CASES, ids=[f"{kind}: {term}" for kind, _, term in CASES])
def test_the_design_comes_back(kind, values, term):
    data = read(frame_of(values))
    model = model_of(term)
    design = resolve(model, data)
    assert design.fixed["cl"].values.any() or design.fixed["cl"].offset.any()
    tree = storage.attach(xr.DataTree(), model, data)
    again = resolve(model, storage.stored_dataset(tree))
    assert same(design.fixed["cl"], again.fixed["cl"])
    assert same(design.fixed["cl"], resolve(model, data, again).fixed["cl"])
    for i in (0, N - 1):
        one = resolve(model, data.sel(id=f"p{i}"), again).fixed["cl"]
        np.testing.assert_allclose(one.values, design.fixed["cl"].values[i : i + 1], rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(one.offset, design.fixed["cl"].offset[i : i + 1], rtol=1e-12)


ONE_EACH = [
    *((kind, values, "x*wt + C(x, Sum)") for kind, values in LABELS.items()),
    *((kind, values, "scale(x) + I(x > 2):wt + offset(log(x + 1) / 5)") for kind, values in NUMBERS.items()),
    *((kind, values, "x:wt") for kind, values in BOOLEAN.items()),
]


@pytest.mark.parametrize(("kind", "values", "term"), ONE_EACH, ids=[kind for kind, *_ in ONE_EACH])
def test_every_verb_sees_the_same_design_after_save_and_load(kind, values, term, tmp_path):
    data, model = read(frame_of(values)), model_of(term)
    fixed = resolve(model, data).fixed["cl"]
    theta = np.r_[1.1, np.linspace(-0.02, 0.02, fixed.values.shape[1] - 1)] / np.abs(fixed.values).max(axis=0)
    given = {"theta_cl": theta, "theta_v": [3.0], "omega_id": [0.2], "sigma_conc_b": 0.1}
    drawn = nb.simulate(model, data, draws=3, values=given, random_seed=1)["prior"].to_dataset()
    tree = xr.DataTree.from_dict({"posterior": drawn})
    storage.attach(tree, model, data)
    nb.save(tree, tmp_path / "fit.nc")
    back = nb.load(tmp_path / "fit.nc")
    eta = tree["posterior"]["eta_id"].to_numpy()[0, :, :, 0]
    found = nb.predict(tree, data, random_seed=2)
    expected = np.exp(theta @ fixed.values.T + fixed.offset + eta)
    np.testing.assert_allclose(found["posterior"]["cl"].to_numpy()[0], expected, rtol=1e-12)
    assert found["posterior"].equals(nb.predict(back, data, random_seed=2)["posterior"])
    new = frame_of(values).iloc[[0, 1]].assign(id="new", x=frame_of(values)["x"].astype(object).iloc[:2].array)
    patient = read(new)
    one, other = (nb.forecast(t, patient, random_seed=3) for t in (tree, back))
    assert one["posterior"].equals(other["posterior"])
    at_population = nb.predict(back, patient, random_seed=2)["posterior"]
    shifted = np.log(at_population["cl"].to_numpy()[0, :, 0]) - at_population["eta_id"].to_numpy()[0, :, 0, 0]
    np.testing.assert_allclose(shifted, theta @ fixed.values[0] + fixed.offset[0], rtol=1e-9, atol=1e-12)
    regimens = [nb.Regimen(mg, start=12, every=12, doses=2) for mg in (50, 100)]
    first, second = (nb.recommend(f, regimens, nb.Trough(0.5, 2, time=36)) for f in (one, other))
    pd.testing.assert_frame_equal(first, second)
