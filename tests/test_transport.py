"""Effects moved to where the data put them: the law that they have, its density, and its derivatives."""

import importlib

import numpy as np
import pandas as pd
import pytensor
import pytensor.tensor as pt
import pytest
from pytensor.graph.traversal import ancestors
from scipy import integrate, stats

import nlmebayes as nb
from model_zoo import LinearMixed, OneCompartment
from nlmebayes.errors import ModelError
from nlmebayes.evaluation.measurement import distances, log_precisions
from nlmebayes.formula.design import resolve
from nlmebayes.inference import compilation, parametrisation, starts
from nlmebayes.model.build import assemble
from nlmebayes.solver.normal import conjugate

RNG = np.random.default_rng(1)
GROUPS, SIZE = 5, 4
OWN = np.array([2, 0, 3])


def case(own=OWN):
    root = RNG.normal(size=(GROUPS, SIZE, SIZE))
    a = np.tril(RNG.normal(size=(len(own), len(own))))
    a[np.diag_indices(len(own))] = np.exp(0.3 * RNG.normal(size=len(own)))
    return a, root @ root.transpose(0, 2, 1), RNG.normal(size=(GROUPS, SIZE)), RNG.normal(size=(GROUPS, len(own)))


def test_effects_are_draws_of_the_conditional_and_carry_its_jacobian():
    a, j, h, z = case()
    eta, beyond = conjugate.effects(OWN, a, j, h, z)
    total = 0.0
    for g in range(GROUPS):
        p = np.eye(3) + a.T @ j[g][np.ix_(OWN, OWN)] @ a
        mean, covariance = np.linalg.solve(p, a.T @ h[g][OWN]), np.linalg.inv(p)
        u = np.linalg.solve(a, eta[g])
        np.testing.assert_allclose((u - mean) @ p @ (u - mean), z[g] @ z[g], rtol=1e-10)
        total += stats.norm.logpdf(u).sum() - stats.norm.logpdf(z[g]).sum() + 0.5 * np.linalg.slogdet(covariance)[1]
    assert beyond[0] == pytest.approx(total, rel=1e-10)


def test_what_is_left_is_the_schur_complement():
    a, j, h, _ = case()
    left, vector = conjugate.message(OWN, a, j, h)
    for g in range(GROUPS):
        inner = np.linalg.inv(j[g][np.ix_(OWN, OWN)] + np.linalg.inv(a @ a.T))
        np.testing.assert_allclose(left[g], j[g] - j[g][:, OWN] @ inner @ j[g][OWN], atol=1e-9)
        np.testing.assert_allclose(vector[g], h[g] - j[g][:, OWN] @ inner @ h[g][OWN], atol=1e-9)


@pytest.mark.parametrize("own", [OWN, np.array([1])], ids=["three", "one"])
@pytest.mark.parametrize("op", [conjugate.NormalEffects(), conjugate.Message()], ids=["effects", "message"])
def test_slopes_are_those_of_differences(op, own):
    given = case(own)[: len(op.kinds.split()) - 1]
    inputs = [pt.tensor(dtype="float64", shape=x.shape) for x in given]
    outputs = op(own, *inputs)
    weights = [
        RNG.normal(size=x.eval(dict(zip(inputs, given, strict=True)), mode="FAST_COMPILE").shape) for x in outputs
    ]
    total = sum((w * x).sum() for w, x in zip(weights, outputs, strict=True))
    value = pytensor.function(inputs, total, mode="FAST_COMPILE")
    found = pytensor.function(inputs, pytensor.grad(total, inputs), mode="FAST_COMPILE")(*given)
    for i, slope in enumerate(found):
        way = RNG.normal(size=slope.shape)
        way = way + way.transpose(0, 2, 1) if i == 1 else np.tril(way) if i == 0 else way  # J symmetric, A triangular

        def at(e, i=i, way=way):
            return value(*(x + e * way if k == i else x for k, x in enumerate(given)))

        d = [(at(e) - at(-e)) / (2 * e) for e in (1e-2, 5e-3, 2.5e-3)]
        assert (slope * way).sum() == pytest.approx((64 * d[2] - 20 * d[1] + d[0]) / 45, rel=1e-7)


@pytest.mark.parametrize("mode", ["NUMBA", "JAX"])
@pytest.mark.parametrize("op", [conjugate.NormalEffects(), conjugate.Message()], ids=["effects", "message"])
def test_compiled_graphs_say_the_same(op, mode):
    if mode == "JAX":
        importlib.import_module("nlmebayes.solver.normal.traced")
    given = case()[: len(op.kinds.split()) - 1]
    inputs = [pt.tensor(dtype="float64", shape=(None,) * x.ndim) for x in given]
    outputs = op(OWN, *inputs)
    graph = [*outputs, *pytensor.grad(sum((x**2).sum() for x in outputs), inputs)]
    plain, compiled = (pytensor.function(inputs, graph, mode=mode)(*given) for mode in ("FAST_COMPILE", mode))
    for k, (one, other) in enumerate(zip(plain, compiled, strict=True)):
        other = np.asarray(other)
        if k == len(outputs) + 1:  # slopes in J, which is symmetric
            one, other = (x + x.transpose(0, 2, 1) for x in (one, other))
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)


# --- in a model ------------------------------------------------------------------------------------------------------

MODE = "FAST_COMPILE"
pytestmark = pytest.mark.usefixtures("uncompiled_loops")
FORMULAS = {
    "one level": "mu ~ 1 + sex + x + (1|subject)",
    "nested": "mu ~ 1 + sex + (1|site/subject)",
    "three levels": "mu ~ 1 + (1|site/subject/visit)",
    "correlated slope": "mu ~ 1 + x + (1 + x|subject)",
    "nested slopes": "mu ~ 1 + x + (1 + x|site) + (1 + x||subject)",
    "slope outside only": "mu ~ 1 + x + (0 + x|site) + (1|subject)",
    "offset": "mu ~ 1 + offset(x) + (1|subject)",
}
CROSSED = {
    "crossed": "mu ~ 1 + sex + (1|subject) + (1|batch)",
    "crossed slopes": "mu ~ 1 + x + (1|site/subject) + (1 + x|batch)",
}


@pytest.fixture(scope="module")
def nested():
    """Three sites, seven subjects, fourteen visits, three records each."""
    rng = np.random.default_rng(3)
    visit = np.repeat(np.arange(14), 3)
    subject, n = visit // 2, len(visit)
    site = np.array([0, 0, 0, 1, 1, 2, 2])[subject]
    frame = pd.DataFrame({"site": site, "subject": subject, "visit": visit, "x": rng.normal(0, 1, n)})
    frame["y"] = 5 + site + rng.normal(0, 1.5, 7)[subject] + rng.normal(0, 0.7, 14)[visit] + rng.normal(0, 0.8, n)
    frame["sex"], frame["batch"] = np.where(subject % 2, "f", "m"), np.arange(n) % 4
    return nb.Dataset.from_frame(frame, outcome="y", levels=("site", "subject", "visit"))


def settled(model, data):
    """The pilot, and the PyMC model in the parametrisation that follows."""
    design = resolve(model, data)
    found = starts.pilot(model, design)
    design, information, rows = parametrisation.settle(model, design, found)
    return found, design, rows, assemble(model, design, information)[0]


def random_point(built, seed=0):
    rng = np.random.default_rng(seed)
    return {name: rng.normal(0, 0.5, np.shape(value)) for name, value in built.initial_point(0).items()}


def values_of(built, names, point):
    outputs = built.replace_rvs_by_values([built[name] for name in names])
    compute = built.compile_fn(outputs, inputs=built.value_vars, mode=MODE, on_unused_input="ignore")
    return dict(zip(names, compute(point), strict=True))


@pytest.mark.parametrize("formula", FORMULAS.values(), ids=FORMULAS)
def test_of_a_normal_model_the_moved_effects_are_standard_normal(nested, formula):
    """The likelihood is the parabola that the pilot saw, more or less sharp, so given any population and residual
    z ~ Normal(0, 1), at every level."""
    _, _, _, built = settled(nb.Model(LinearMixed(), formula, parametrisation="transport"), nested)
    point = random_point(built)
    z = [v for v in built.free_RVs if v.name.startswith("z_")]
    slopes = built.compile_fn(built.dlogp(vars=z), mode=MODE)(point)
    np.testing.assert_allclose(slopes, -np.concatenate([np.ravel(point[v.name]) for v in z]), atol=1e-6)


@pytest.mark.parametrize("kind", ["centred", "noncentred"])
@pytest.mark.parametrize("formula", CROSSED.values(), ids=CROSSED)
def test_moved_effects_are_standard_normal_given_those_of_a_crossed_level(nested, formula, kind):
    """Whatever these are."""
    _, _, rows, built = settled(nb.Model(LinearMixed(), formula, parametrisation={"batch": kind}), nested)
    assert {row["parametrisation"] for row in rows} == {"transport", kind}
    point = random_point(built)
    z = [v for v in built.free_RVs if v.name in ("z_subject", "z_site")]
    slopes = built.compile_fn(built.dlogp(vars=z), mode=MODE)(point)
    np.testing.assert_allclose(slopes, -np.concatenate([np.ravel(point[v.name]) for v in z]), atol=1e-6)


@pytest.mark.parametrize("formula", (FORMULAS | CROSSED).values(), ids=FORMULAS | CROSSED)
def test_transported_is_noncentred_with_the_jacobian(nested, formula):
    model = nb.Model(
        LinearMixed(), formula, parametrisation={"batch": "noncentred"} if "batch" in formula else "transport"
    )
    _, design, rows, built = settled(model, nested)
    assert {row["parametrisation"] for row in rows} == {"transport", *(("noncentred",) if "batch" in formula else ())}
    free = nb.build(nb.Model(LinearMixed(), formula, parametrisation="noncentred"), nested)
    point = random_point(built)
    z = [name for name in point if name.startswith("z_")]
    scales = [v for v in built.named_vars if v.startswith(("omega_", "corr_"))]
    eta = [v for v in built.named_vars if v.startswith("eta_")]
    known = values_of(built, scales, point)

    def standardised(changed):
        found = values_of(built, eta, point | changed)
        u = {}
        for level in design.levels:
            corr = known.get(f"corr_{level.name}", np.eye(len(level.effects)))
            factor = known[f"omega_{level.name}"][:, None] * np.linalg.cholesky(corr)
            u[level.name] = np.linalg.solve(factor, found[f"eta_{level.name}"].T).T
        return u

    at = standardised({})
    columns = []
    for name in z:
        for i in range(point[name].size):
            moved = point[name].copy()
            moved.flat[i] += 1.0  # u is linear in z
            other = standardised({name: moved})
            columns.append(np.concatenate([np.ravel(other[k] - at[k]) for k in at]))
    jacobian = np.linalg.slogdet(np.array(columns))[1]
    plain = {name: value for name, value in point.items() if name not in z}
    plain |= {f"z_{name}": u for name, u in at.items()}
    one, other = (float(m.compile_fn(m.logp(), mode=MODE)(p)) for m, p in ((built, point), (free, plain)))
    assert one == pytest.approx(other + jacobian, rel=1e-9)


def test_what_is_not_nested_is_not_transported(nested):
    frame = nested.observations[["subject", "value"]].assign(batch=np.arange(42) % 4)
    data = nb.Dataset.from_frame(frame.rename(columns={"value": "y"}), outcome="y", levels=("subject",))
    _, _, rows, _ = settled(nb.Model(LinearMixed(), "mu ~ 1 + (1|subject) + (1|batch)"), data)
    by_level = {row["level"]: row for row in rows}
    assert by_level["subject"]["parametrisation"] == "transport"
    assert by_level["batch"]["parametrisation"] in ("centred", "noncentred")
    assert "crossed with those of subject" in by_level["batch"]["why"]
    asked = nb.Model(LinearMixed(), "mu ~ 1 + (1|subject) + (1|batch)", parametrisation={"batch": "transport"})
    with pytest.raises(ModelError, match="batch cannot be transported"):
        settled(asked, data)


def test_the_pilot_of_a_balanced_design_is_the_classical_estimate():
    """One-way layout (Dyestuff): the pilot's SDs are near the analysis of variance."""
    data = nb.datasets.dyestuff()
    found, *_ = settled(nb.Model(LinearMixed(), "mu ~ 1 + (1|Batch)"), data)
    values = data.observations.groupby("Batch", observed=True)["value"]
    within = values.var().mean()
    between = max(values.mean().var() - within / values.size().iloc[0], 0.0)
    assert found.theta["mu"][0] == pytest.approx(data.observations["value"].mean(), rel=1e-3)
    assert found.sigma["Yield"]["a"] == pytest.approx(np.sqrt(within), rel=0.05)
    assert found.factor["Batch"][0, 0] == pytest.approx(np.sqrt(between), rel=0.25)


def test_the_pilot_finds_a_subject_whose_concentrations_are_far_below_the_others():
    """Where a prediction is 1000 times too large a proportional likelihood hardly slopes; the pilot gets there."""
    times = np.array([1.0, 4.0, 8.0, 12.0, 24.0])
    rng = np.random.default_rng(5)
    cl, v = 3.0 * np.exp(0.2 * rng.normal(size=20)), 30.0 * np.exp(0.2 * rng.normal(size=20))
    cl[7] = 15.0
    conc = 300 / v[:, None] * np.exp(-np.outer(cl / v, times)) * (1 + 0.05 * rng.normal(size=(20, 5)))
    frame = pd.DataFrame({"id": np.repeat(np.arange(20), 5), "time": np.tile(times, 20), "y": conc.ravel()})
    doses = pd.DataFrame({"id": np.arange(20), "time": 0.0, "amt": 300.0})
    data = nb.Dataset.from_frame(frame, outcome="y", time="time", levels="id", doses=doses)
    model = nb.Model(OneCompartment(), residual=nb.Proportional())
    found = starts.pilot(model, resolve(model, data))
    assert found.sigma["y"]["b"] == pytest.approx(0.05, rel=0.2)
    np.testing.assert_allclose(found.theta["cl"] + found.eta["id"][:, 0], np.log(cl), atol=0.1)


@pytest.mark.parametrize("residual", [nb.Additive(), nb.Proportional(), nb.Combined(), nb.LogNormal()], ids=str)
def test_distance_is_the_integral_of_the_inverse_scatter(residual):
    names = list(residual.priors(1.0))
    parts = {name: value for name, value in zip(names, (0.3, 0.2), strict=False)}
    y, f = np.array([1.0, 40.0, 3.0, 2.5]), np.array([3.0, 0.5, 0.01, 2.5])
    frame = pd.DataFrame({"id": [1, 1, 2, 2], "time": np.arange(4.0), "y": y})
    data = nb.Dataset.from_frame(frame, outcome="y", time="time", levels="id")
    (observed,) = resolve(nb.Model(LinearMixed(), residual=residual), data).outcomes
    found = distances(residual, f, parts, observed)

    def inverse(x):
        return np.sqrt(2 * np.pi) * np.exp(log_precisions(residual, np.array([x]), parts)[0])

    expected = [integrate.quad(inverse, a, b, epsrel=1e-10)[0] for a, b in zip(f, y, strict=True)]
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-12)
    if isinstance(residual, nb.Proportional):
        np.testing.assert_allclose(found, np.log(y / f) / 0.3, rtol=1e-9, atol=1e-12)


def test_more_groups_than_lanes_are_those_of_their_parts():
    """150 groups, in blocks of 64 of which the last is not full, beside parts of 50."""
    rng, (a, *_) = np.random.default_rng(2), case()
    root = rng.normal(size=(150, SIZE, SIZE))
    j, h, z, bar = root @ root.transpose(0, 2, 1), *(rng.normal(size=(150, n)) for n in (SIZE, 3, 3))
    left = rng.normal(size=j.shape)
    for kernel, given, rest in (
        (conjugate.effects, (j, h, z), ()), (conjugate.effects_pullback, (j, h, z, bar), (np.array([1.3]),)),
        (conjugate.message, (j, h), ()), (conjugate.message_pullback, (j, h, left, h[::-1].copy()), ()),
    ):  # fmt: skip
        whole = kernel(OWN, a, *given, *rest)
        parts = [kernel(OWN, a, *(x[i : i + 50] for x in given), *rest) for i in (0, 50, 100)]
        for found, each in zip(whole, zip(*parts, strict=True), strict=True):
            expected = np.concatenate(each) if len(found) == 150 else sum(each)
            np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


def test_the_effects_are_computed_once_for_all_terms(nested):
    """PyMC copies the graph for each term of the log-density, and the slopes of copies would not be merged."""
    *_, built = settled(nb.Model(LinearMixed(), "mu ~ 1 + (1|subject)"), nested)
    merged = compilation._merged(built.logp)()
    nodes = {v.owner for v in ancestors([merged]) if v.owner and isinstance(v.owner.op, conjugate.NormalEffects)}
    assert len(nodes) == 1
