"""Individual parameters, priors and parametrisations, checked by evaluating graphs; nothing is sampled."""

import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pymc as pm
import pytest
from scipy import stats

import nlmebayes as nb
from model_zoo import LinearMixed, OneCompartment
from nlmebayes.evaluation.prediction import evaluator
from nlmebayes.formula.design import resolve

MODE = "FAST_COMPILE"
pytestmark = pytest.mark.usefixtures("uncompiled_loops")


@pytest.fixture(scope="module")
def nested():
    """Three sites, seven subjects, three or four records each."""
    rng = np.random.default_rng(3)
    subject = np.repeat(np.arange(7), [3, 4, 3, 4, 3, 3, 4])
    site = np.array([0, 0, 0, 1, 1, 2, 2])[subject]
    frame = pd.DataFrame({"site": site, "subject": subject, "y": rng.normal(5, 2, 24), "x": rng.normal(0, 1, 24)})
    frame["sex"] = np.where(subject % 2, "f", "m")
    return nb.Dataset.from_frame(frame, outcome="y", levels=("site", "subject"))


def log_density(model, point):
    return float(model.compile_fn(model.logp(), mode=MODE)(point))


def random_point(model, seed=0):
    rng = np.random.default_rng(seed)
    return {name: rng.normal(0, 0.5, np.shape(value)) for name, value in model.initial_point(0).items()}


def test_individual_parameters_are_the_sentence(nested):
    """mu_u = X_u theta + sum over levels of Z_u eta, by hand."""
    model = nb.Model(LinearMixed(), "mu ~ 1 + x + sex + (1|site) + (1 + x|subject)")
    design = resolve(model, nested)
    rng = np.random.default_rng(0)
    theta = rng.normal(size=(5, 3))
    eta = {"site": rng.normal(size=(5, 3, 1)), "subject": rng.normal(size=(5, 7, 2))}
    phi, f, _ = evaluator(model, design)({"mu": theta}, eta)
    frame = nested.observations
    # formulae orders the categorical before the numeric term or after it; ask it.
    column = {"Intercept": np.ones(24), "x": frame["x"], "sex[m]": 1.0 * (frame["sex"] == "m")}
    fixed = sum(theta[:, [k]] * np.asarray(column[term]) for k, term in enumerate(design.fixed["mu"].terms))
    site, subject = frame["site"].astype(int), frame["subject"].str.split("/").str[-1].astype(int)
    by_hand = fixed + eta["site"][:, site, 0] + eta["subject"][:, subject, 0]
    by_hand = by_hand + eta["subject"][:, subject, 1] * frame["x"].to_numpy()
    np.testing.assert_allclose(f["y"], by_hand, rtol=1e-12)
    np.testing.assert_allclose(phi["mu"][:, design.outcomes[0].unit], by_hand, rtol=1e-12)


FORMULAS = {
    "one level": "mu ~ 1 + sex + (1|subject)",
    "nested": "mu ~ 1 + sex + (1|site/subject)",
    "correlated slope": "mu ~ 1 + x + (1 + x|subject)",
    "nested slopes": "mu ~ 1 + x + (1 + x|site/subject)",
    "no fixed effect": "mu ~ 0 + (1|subject)",
}


@pytest.mark.parametrize("formula", FORMULAS.values(), ids=FORMULAS)
def test_centred_is_noncentred_with_the_jacobian(nested, formula):
    """phi = location + chol(Omega) z, so the log-densities differ by log |det chol(Omega)| per group."""
    free = nb.build(nb.Model(LinearMixed(), formula), nested)
    tied = nb.build(nb.Model(LinearMixed(), formula, parametrisation="centred"), nested)
    point = random_point(free)
    eta = [v for v in free.named_vars if v.startswith("eta_")]
    outputs = free.replace_rvs_by_values([free[v] for v in [*eta, *_scales(free)]])
    values = free.compile_fn(outputs, inputs=free.value_vars, mode=MODE, on_unused_input="ignore")(point)
    values = dict(zip([*eta, *_scales(free)], values, strict=True))
    moved = {k: v for k, v in point.items() if not k.startswith("z_")}
    jacobian = 0.0
    for name in eta:
        level = name.removeprefix("eta_")
        corr = values.get(f"corr_{level}", np.eye(values[name].shape[1]))
        scale = values[f"omega_{level}"][:, None] * np.linalg.cholesky(corr)
        jacobian += len(values[name]) * np.log(np.abs(np.diag(scale))).sum()
        moved[f"phi_{level}"] = np.zeros_like(values[name])
    # eta = phi - location: solve for phi by evaluating the location at phi = 0, outermost level first.
    for name in eta:
        back = tied.replace_rvs_by_values([tied[name]])
        minus_location = tied.compile_fn(back, inputs=tied.value_vars, mode=MODE, on_unused_input="ignore")(moved)[0]
        moved[f"phi_{name.removeprefix('eta_')}"] = values[name] - minus_location
    assert log_density(tied, moved) == pytest.approx(log_density(free, point) - jacobian, rel=1e-10)


def _scales(model):
    return [v for v in model.named_vars if v.startswith(("omega_", "corr_"))]


def test_centred_location_holds_what_the_groups_share(nested):
    """A covariate of the subject belongs to its location, one that varies within it does not."""
    model = nb.build(nb.Model(LinearMixed(), "mu ~ 1 + sex + x + (1|subject)", parametrisation="centred"), nested)
    phi = model["phi_subject"].owner.inputs[-2]  # mean of the normal
    value = model.replace_rvs_by_values([phi])
    compute = model.compile_fn(value, inputs=model.value_vars, mode=MODE, on_unused_input="ignore")
    terms = list(model.coords["mu_term"])
    point = model.initial_point(0) | {
        "theta_mu": np.array([{"Intercept": 10, "sex[m]": 2, "x": 100}[t] for t in terms])
    }
    sex = nested.units["sex"].to_numpy()
    assert np.ravel(compute(point)[0]).tolist() == [12.0 if s == "m" else 10.0 for s in sex]


def test_the_log_density_is_that_of_the_statement(nested):
    """Priors, random effects and likelihood, summed by SciPy."""
    model = nb.Model(
        LinearMixed(),
        "mu ~ 1 + (1|subject)",
        priors={
            "theta_mu": nb.Prior("Normal", mu=5, sigma=3),
            "omega_subject": nb.Prior("HalfNormal", sigma=1.5),
            "sigma_y_a": nb.Prior("HalfNormal", sigma=2.0),
        },
    )
    built = nb.build(model, nested)
    z = np.random.default_rng(1).normal(size=(7, 1))
    theta, omega, sigma = 4.0, 0.8, 1.7
    point = {"theta_mu": np.array([theta]), "omega_subject_log__": np.log([omega]), "z_subject": z}
    point["sigma_y_a_log__"] = np.log(sigma)
    frame = nested.observations
    subject = frame["subject"].str.split("/").str[-1].astype(int)
    by_hand = stats.norm.logpdf(theta, 5, 3) + stats.norm.logpdf(z).sum()
    by_hand += stats.halfnorm.logpdf(omega, scale=1.5) + np.log(omega)
    by_hand += stats.halfnorm.logpdf(sigma, scale=2.0) + np.log(sigma)
    by_hand += stats.norm.logpdf(frame["value"], theta + omega * z[subject, 0], sigma).sum()
    # PyMC keeps log sqrt(2 pi) in single precision: a constant error of 2e-8 per term.
    assert log_density(built, point) == pytest.approx(by_hand, abs=2e-8 * 34)


GRADIENTS = {
    "correlated oral": (
        nb.Model(
            OneCompartment(absorption="first-order"), "cl ~ 1 + log(wt/70) + (1|p|id)", "v ~ 1 + (1|p|id)",
            residual=nb.Combined(),
        ),
        nb.datasets.theophylline,
    ),
    "centred oral": (
        nb.Model(
            OneCompartment(absorption="first-order"), residual=nb.Combined("variance"),
            parametrisation={"cl": "centred", "ka": "noncentred"},
        ),
        nb.datasets.theophylline,
    ),
    "slopes": (nb.Model(LinearMixed(), "mu ~ 1 + Days + (1 + Days|Subject)"), nb.datasets.sleepstudy),
    "centred nested": (nb.Model(LinearMixed(), parametrisation="centred"), nb.datasets.pastes),
}  # fmt: skip


@pytest.mark.parametrize(("model", "data"), GRADIENTS.values(), ids=GRADIENTS)
def test_gradient_equals_finite_differences(model, data):
    built = nb.build(model, data())
    function = built.logp_dlogp_function(ravel_inputs=True, mode=MODE)
    function.set_extra_values({})
    bijection = pm.blocking.DictToArrayBijection
    start = built.initial_point(0)
    origin = bijection.map({v.name: start[v.name] for v in built.value_vars})
    x = origin.data + np.random.default_rng(2).normal(0, 0.1, origin.data.shape)

    def value(at):
        return function(pm.blocking.RaveledVars(at, origin.point_map_info))[0]

    gradient = function(pm.blocking.RaveledVars(x, origin.point_map_info))[1]
    step = 1e-5 * np.maximum(1, np.abs(x))
    numeric = [(value(x + h * e) - value(x - h * e)) / (2 * h) for h, e in zip(step, np.eye(len(x)), strict=True)]
    np.testing.assert_allclose(gradient, numeric, rtol=1e-5, atol=1e-4 * np.abs(gradient).max() * 1e-2)


def test_overrides_meet_their_variable(nested):
    model = nb.Model(LinearMixed(), "mu ~ 1 + (1|subject)", priors={"omega_site": nb.Prior("HalfNormal", sigma=1)})
    with pytest.raises(nb.ModelError, match="no variable 'omega_site' in the graph; its free variables are theta_mu"):
        nb.build(model, nested)


def test_priors_are_tabulated_with_their_origin(nested):
    chosen = {"theta_mu": nb.Prior("Normal", mu={"Intercept": 1, "x": 0}, sigma=2)}
    table = nb.priors(nb.Model(LinearMixed(), "mu ~ 1 + x + (1|subject)", priors=chosen), nested)
    row = table.set_index(["variable", "coordinate"]).loc[("theta_mu", "Intercept")]
    assert row["prior"] == "Normal(mu=1, sigma=2)" and row["from"] == "model"
    assert set(table["variable"]) == {"theta_mu", "omega_subject", "sigma_y_a"}


def test_variable_order_is_the_same_in_every_process():
    """Whatever the order of sets."""
    code = (
        "import nlmebayes as nb\n"
        "from model_zoo import OneCompartment\n"
        "formulas = 'cl ~ 1 + (1|p|id)', 'v ~ 1 + (1|p|id)', 'ka ~ 1 + (1|id)'\n"
        "model = nb.Model(OneCompartment(absorption='first-order'), *formulas, parametrisation={'cl': 'centred'})\n"
        "print(nb.build(model, nb.datasets.theophylline()).named_vars.keys())\n"
    )
    said = [
        subprocess.Popen(
            [sys.executable, "-c", code], env=os.environ | {"PYTHONHASHSEED": seed}, stdout=subprocess.PIPE, text=True
        )
        for seed in ("1", "2", "3")
    ]
    names = {process.communicate()[0] for process in said}
    assert len(names) == 1 and "omega_id" in names.pop()


def test_order_constraint_keeps_ka_above_k():
    """The barrier costs nothing inside, and more than any likelihood gains on the other side."""
    data = nb.datasets.theophylline()
    kept = nb.build(nb.Model(OneCompartment(absorption="first-order")), data)
    free = nb.build(nb.Model(OneCompartment(absorption="first-order", flip_flop=True)), data)
    point = kept.initial_point(0)
    assert log_density(kept, point) == pytest.approx(log_density(free, point), abs=1e-9)
    flipped = point | {"theta_ka": np.log([0.02])}
    assert log_density(kept, flipped) < log_density(free, flipped) - 100


def test_model_statement_errors():
    with pytest.raises(nb.FormulaError, match="no parameter 'cL' in OneCompartment; its parameters are cl, v"):
        nb.Model(OneCompartment(), "cL ~ 1")
    with pytest.raises(nb.ModelError, match="an instance of a zoo class"):
        nb.Model(OneCompartment)
    with pytest.raises(nb.FormulaError, match="two formulas"):
        nb.Model(OneCompartment(), "cl ~ 1", "cl ~ 1 + (1|id)")
    with pytest.raises(nb.ModelError, match="no parametrisation 'center'"):
        nb.Model(OneCompartment(), parametrisation="center")
    with pytest.raises(nb.ModelError, match=r"OneCompartment.* needs doses"):
        nb.build(nb.Model(OneCompartment()), nb.datasets.cefamandole())
