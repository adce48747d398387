"""Default priors of coefficients: what a column holds beside the others, and the right value of Glucose2."""

import numpy as np
import pandas as pd
import pytensor.tensor as pt
import pytest
from scipy import optimize, stats

import nlmebayes as nb
from model_zoo import CountGLMM, HospitalProfile, LinearMixed, OneCompartment
from nlmebayes.formula import coefficients
from nlmebayes.formula.design import resolve
from nlmebayes.inference.starts import initial_points, pilot
from nlmebayes.model.build import designed
from nlmebayes.model.hierarchy import Scale, fixed_prior, scale_of_data

QUARTIC = "mu ~ 1 + Time + I(Time**2) + I(Time**3) + I(Time**4) + (1|Subject) + (1|Date)"


def defaults(model, data):
    """Means and SDs of the default prior of the fixed effects of the first parameter, by term."""
    design, (p, *_) = resolve(model, data), model.parameters
    prior = fixed_prior(p, design.fixed[p.name], scale_of_data(model, design))
    return prior.parameters["mu"], prior.parameters["sigma"]


def linear(formula, frame, **columns):
    data = nb.Dataset.from_frame(frame.assign(**columns), outcome="y", levels="id", duplicates="keep")
    return nb.Model(LinearMixed(), f"mu ~ {formula} + (1|id)"), data


def study():
    rng = np.random.default_rng(3)
    frame = pd.DataFrame({"id": np.repeat(np.arange(30), 4), "x": rng.normal(7.0, 2.0, 120), "u": rng.normal(size=120)})
    frame["arm"], frame["sex"] = np.repeat(["a", "b", "c"], 40), np.where(frame["id"] % 3, "f", "m")
    frame["y"] = 50 + 3 * frame["x"] + rng.normal(size=120)
    return frame


def left(values, k):
    """Root mean square of the residual of a column on the others, by least squares."""
    others = np.delete(values, k, axis=1)
    return np.sqrt(np.mean((values[:, k] - others @ np.linalg.lstsq(others, values[:, k])[0]) ** 2))


def test_what_is_apart_is_the_residual_of_a_regression():
    t = np.linspace(0, 5, 40)
    values = np.column_stack([t**k * 10.0 ** (3 * k) for k in range(5)])
    wanted = [left(values / np.abs(values).max(axis=0), k) for k in range(5)] * np.abs(values).max(axis=0)
    assert coefficients.apart(values) == pytest.approx(wanted, rel=1e-8)


def test_a_combination_of_columns_has_its_own_spread_and_the_others_theirs():
    x, u = np.random.default_rng(1).normal(size=(2, 50))
    one = np.ones(50)
    found = coefficients.apart(np.column_stack([one, x, u, x + 2 * u, 7 * one, 0 * one]))
    assert found[:3] == pytest.approx(coefficients.apart(np.column_stack([one, x, u])), rel=1e-12)
    assert found[3:] == pytest.approx([(x + 2 * u).std(), 1.0, 1.0], rel=1e-12)


def restricted(x, y, groups):
    """Restricted maximum likelihood by its definition: X'V^-1 X, X'V^-1 y and the residual SD."""
    z = np.hstack([pd.get_dummies(g).to_numpy(float) for g in groups])
    of = np.repeat(np.arange(len(groups)), [len(np.unique(g)) for g in groups])

    def parts(log_sd):
        *omega, sigma = np.exp(2 * log_sd)
        core = np.diag(sigma / np.array(omega)[of]) + z.T @ z  # Woodbury
        inverse = (np.eye(len(y)) - z @ np.linalg.solve(core, z.T)) / sigma
        size = len(y) * np.log(sigma) + np.linalg.slogdet(core)[1] - np.log(sigma / np.array(omega)[of]).sum()
        information = x.T @ inverse @ x
        return information, x.T @ inverse @ y, size, inverse

    def height(log_sd):
        information, moment, size, inverse = parts(log_sd)
        return (
            y @ inverse @ y - moment @ np.linalg.solve(information, moment) + size + np.linalg.slogdet(information)[1]
        )

    best = optimize.minimize(height, np.log([0.4] * len(groups) + [0.8]), method="Nelder-Mead").x
    information, moment, _, _ = parts(best)
    return information, moment, np.exp(best[-1])


def test_raw_powers_of_glucose2_are_not_overridden():
    """REML: Time 0.865 (SE 0.066), sigma 0.780; under the SDs of the columns alone the posterior had 0.379."""
    data = nb.datasets.glucose2()
    model = nb.Model(LinearMixed(), QUARTIC)
    (x,), y = (m.values for m in resolve(model, data).fixed.values()), data.observations["value"].to_numpy()
    size = np.abs(x).max(axis=0)
    groups = [pd.factorize(data.observations[name])[0] for name in ("Subject", "Date")]
    information, moment, sigma = restricted(x / size, y, groups)
    theta, se = np.linalg.solve(information, moment), np.sqrt(np.diag(np.linalg.inv(information)))
    assert [theta[1] / size[1], se[1] / size[1], sigma] == pytest.approx([0.865, 0.066, 0.780], abs=5e-4)
    mean, sd = (size * list(values.values()) for values in defaults(model, data))
    posterior = np.linalg.solve(information + np.diag(sd**-2), moment + mean / sd**2)
    assert ((posterior - theta) / se) == pytest.approx(np.zeros(5), abs=0.05)


@pytest.mark.parametrize("unit", [1e-6, 1e6])
def test_units_of_a_column_change_nothing_on_any_link(unit):
    frame = study().assign(y=lambda f: (f["y"] > 70).astype(float))
    data, scaled = (
        nb.Dataset.from_frame(f, outcome="y", levels="id", duplicates="keep")
        for f in (frame, frame.assign(x=unit * frame["x"]))
    )
    for structure, name, kind in ((HospitalProfile(), "risk", nb.Bernoulli()), (CountGLMM(), "rate", nb.Poisson())):
        model = nb.Model(structure, f"{name} ~ 1 + x + u", residual=kind)
        one, other = defaults(model, data)[1], defaults(model, scaled)[1]
        assert other["x"] * unit == pytest.approx(one["x"], rel=5e-3) and other["u"] == one["u"]


def test_levels_of_a_factor_are_values_and_contrasts_are_differences():
    model, data = linear("0 + arm + sex + u", study())
    mean, _ = defaults(model, data)
    y = data.observations["value"].mean()
    assert mean == {"arm[a]": pytest.approx(y, rel=1e-3), "arm[b]": mean["arm[a]"], "arm[c]": mean["arm[a]"],
                    "sex[m]": 0.0, "u": 0.0}  # fmt: skip
    model = nb.Model(CountGLMM(), "rate ~ 0 + arm + sex", residual=nb.Poisson())
    assert defaults(model, data)[1] == dict.fromkeys(["arm[a]", "arm[b]", "arm[c]", "sex[m]"], 2.0)


def test_a_slope_without_a_level_may_make_the_level():
    frame = study().assign(y=lambda f: 1000 + f["u"], x=lambda f: f["x"] / 10)
    model, data = linear("0 + x", frame)
    _, sd = defaults(model, data)
    assert sd["x"] > 1000 / np.sqrt((frame["x"] ** 2).mean())


def test_an_offset_is_part_of_the_mean_of_the_data():
    frame = study().assign(z=lambda f: f["y"] - 5)
    model, data = linear("1 + offset(z)", frame)
    mean, _ = defaults(model, data)
    assert mean["Intercept"] == pytest.approx(5.0, abs=0.1)
    model, data = linear("0 + offset(z) + u", frame)
    scale = Scale(frame["y"].mean(), frame["y"].std(ddof=0))
    assert fixed_prior(model.parameters[0], resolve(model, data).fixed["mu"], scale).parameters["mu"] == {"u": 0.0}


def test_a_declared_typical_value_is_one_at_the_reference():
    data = nb.datasets.theophylline()
    model = nb.Model(OneCompartment("first-order"), "cl ~ 1 + log(wt/70)")
    mean, sd = defaults(model, data)
    assert (mean["Intercept"], sd["Intercept"]) == (pytest.approx(np.log(3.0)), 1.0)
    weight = np.log(data.observations.groupby("id")["wt"].first() / 70)
    assert sd["log(wt / 70)"] == pytest.approx(1 / weight.std(ddof=0), rel=5e-3)


def test_scales_of_omega_suit_their_link():
    """The median SD of individuals is that of the logistic law; the range of slopes is that of their columns."""
    model, data = linear("1 + x + (1 + x|arm)", study())
    table = nb.priors(model, data).set_index(["variable", "coordinate"])["prior"]
    x, sd = data.observations["x"], data.observations["value"].std(ddof=0)
    omega = [float(table["omega_arm", name].split("=")[1][:-1]) for name in ("mu", "mu:x")]
    assert omega == pytest.approx([sd * np.hypot(1, x.mean() / x.std(ddof=0)), sd / x.std(ddof=0)], rel=5e-3)
    assert nb.Logit().variation * 0.67449 == pytest.approx(np.pi / np.sqrt(3), rel=1e-5)


def test_columns_that_go_together_are_turned_and_others_are_not():
    model, data = linear("1 + x + u", study())
    (x,) = (m.values for m in resolve(model, data).fixed.values())
    assert coefficients.turned(x, np.ones(3)) is None
    far = x + np.array([0.0, 1000.0, 0.0])
    law = coefficients.turned(far, np.array([9.0, 3.0, 1.0]))
    precision = np.linalg.inv(law.matrix).T @ far.T @ far @ np.linalg.inv(law.matrix)  # of the coordinates
    assert np.linalg.cond(precision / np.sqrt(np.outer(np.diag(precision), np.diag(precision)))) < 1.1
    assert np.linalg.norm(law.matrix * [9.0, 3.0, 1.0], axis=1) == pytest.approx([9.0, 3.0, 1.0])
    theta = np.array([0.3, -2.0, 1.0])
    assert law.backward(law.forward(theta)) == pytest.approx(theta, rel=1e-9)
    wanted = -np.linalg.slogdet(law.matrix)[1]
    assert law.log_jac_det(pt.as_tensor(theta)).sum().eval(mode="FAST_COMPILE") == pytest.approx(wanted, rel=1e-12)


def test_a_turned_graph_has_the_density_of_the_plain_one():
    frame = study().assign(x=lambda f: f["x"] + 1000)
    stated = {"mu": nb.Prior("Normal", mu=0.0, sigma=50.0)}
    model, data = linear("1 + x + u", frame)
    built = nb.build(model.but(priors=stated), data)
    law, theta = built.rvs_to_transforms[built["theta_mu"]], np.array([1.0, 0.05, -0.3])
    assert isinstance(law, coefficients.Turned)
    point = built.initial_point() | {"theta_mu_turned__": law.matrix @ theta}
    height = built.compile_logp(vars=built["theta_mu"], jacobian=False, mode="FAST_COMPILE")(point)
    assert height == pytest.approx(stats.norm(0, 50).logpdf(theta).sum(), rel=1e-7)


def test_chains_start_around_the_pilot_in_turned_coordinates():
    model, data = linear("1 + x", study().assign(x=lambda f: f["x"] + 1000))
    design = designed(model, data)
    found, built = pilot(model, design), nb.build(model, data)
    law = built.rvs_to_transforms[built["theta_mu"]]
    place = [v.name for v in built.free_RVs].index("theta_mu")
    assert place == 0
    start = initial_points(built, design, found)
    drawn = np.stack([start(seed)[:2] for seed in range(2000)]) @ law.inverse.T
    scaled = (drawn - found.theta["mu"]) @ np.linalg.inv(np.linalg.cholesky(found.covariance)).T
    assert np.cov(scaled.T) == pytest.approx(0.25 * np.eye(2), abs=0.03)
