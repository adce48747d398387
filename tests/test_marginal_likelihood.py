"""`log_likelihood` beside the judge of `quadrature`: every kind of outcome and of levels, to 0.05 of -2 log L."""

import numpy as np
import pytest
from quadrature import CASES, MONOLIX, OneWay, certain, linear_by_group
from trees import stated

import nlmebayes as nb
from model_zoo import CountGLMM, HospitalProfile, LinearMixed, MichaelisMenten, OneCompartment, ParametricSurvival

WITHIN = 0.05  # of -2 log L of a data set
ORAL = OneCompartment("first-order", flip_flop=True)  # without the barrier between rates, which is no density


def bolus(structure, *formulas):
    return nb.Model(structure, *formulas, residual=nb.Proportional())


MODELS = {
    "additive": nb.Model(ORAL, residual=nb.Additive()),
    "proportional": nb.Model(ORAL, residual=nb.Proportional()),
    "combined": nb.Model(ORAL, residual=nb.Combined()),
    "log-normal": nb.Model(ORAL, residual=nb.LogNormal()),
    "below quantification": nb.Model(ORAL, residual=nb.Combined()),
    "saturable": bolus(MichaelisMenten(), "vmax ~ 1 + (1|id)", "km ~ 1", "v ~ 1 + (1|id)"),
    "nested": bolus(OneCompartment(), "cl ~ 1 + (1|site) + (1|id)", "v ~ 1 + (1|id)"),
    "logistic": nb.Model(HospitalProfile(), "risk ~ 1 + x + (1|id)", residual=nb.Bernoulli()),
    "poisson": nb.Model(CountGLMM(), "rate ~ 1 + x + (1 + x|id)", residual=nb.Poisson()),
    "ordinal": nb.Model(LinearMixed(), "mu ~ 1 + x + (1|id)", residual=nb.OrderedLogistic(4)),
    "weibull": nb.Model(ParametricSurvival(), "rate ~ 1 + x + (1|id)", residual=nb.TimeToEvent()),
    "crossed": nb.Model(CountGLMM(), "rate ~ 1 + (1|plate) + (1|rater)", residual=nb.Poisson()),
}
LEVELS = {"nested": ("site", "id"), "crossed": "plate", "weibull": ("id", "person")}
OUTCOME = {"logistic": "y", "poisson": "y", "ordinal": "y", "weibull": "event", "crossed": "y"}


def dataset(name, case):
    dosed = case.doses is not None
    return nb.Dataset.from_frame(
        case.frame, outcome=OUTCOME.get(name, "conc"), levels=LEVELS.get(name, "id"), doses=case.doses,
        time="time" if dosed else None, **case.options,
    )  # fmt: skip


def by_group(tree, **options):
    """The marginal log-likelihood by group of a tree of one draw, {label: value}."""
    found = nb.log_likelihood(tree, random_seed=1, **options)
    (values,) = found["log_likelihood"].data_vars.values()
    level = next(d for d in values.dims if d not in ("chain", "draw"))
    assert values.sizes["chain"] == values.sizes["draw"] == 1
    return dict(zip(values[level].to_numpy().tolist(), values[0, 0].to_numpy().tolist(), strict=True))


@pytest.mark.parametrize("name", CASES)
def test_every_kind_agrees_with_quadrature(name):
    case, exact = certain(name)
    found = by_group(stated(MODELS[name], dataset(name, case), **case.values))
    assert list(found) == list(exact)
    assert 2 * sum(abs(found[g] - exact[g]) for g in exact) < WITHIN


def test_subjects_of_theophylline_are_those_of_monolix():
    frame = nb.datasets.theophylline().observations
    doses = frame.drop_duplicates("id").assign(time=-120.0, amt=lambda x: x["dose"] * x["wt"], addl=5, ii=24.0)
    frame = frame[frame["time"] > 0].rename(columns={"value": "conc"})[["id", "time", "conc"]]
    data = nb.Dataset.from_frame(
        frame, outcome="conc", time="time", levels="id", doses=doses[["id", "time", "amt", "addl", "ii"]]
    )
    ka, v, cl = MONOLIX["typical"]
    model = nb.Model(ORAL, "cl ~ 1 + (1|id)", "v ~ 1 + (1|id)", "ka ~ 1 + (1|id)", residual=nb.Proportional())
    omega = dict(zip(("ka", "v", "cl"), MONOLIX["omega"], strict=True))
    tree = stated(
        model, data, theta_cl=[np.log(cl)], theta_v=[np.log(v)], theta_ka=[np.log(ka)],
        omega_id=[omega[name] for name in ("cl", "v", "ka")], sigma_conc_b=MONOLIX["b"],
    )  # fmt: skip
    found = by_group(tree)
    assert [-2 * found[str(k)] for k in range(1, 13)] == pytest.approx(MONOLIX["minus2ll"], abs=0.005)


def test_a_linear_mixed_model_is_exact():
    frame = nb.datasets.table("dyestuff")
    y = np.stack([rows.to_numpy() for _, rows in frame.groupby("Batch")["Yield"]])
    mu, tau, sigma = OneWay(y).draws(1, seed=2)
    data = nb.datasets.dyestuff()
    name, level = data.outcomes[0], data.levels[0]
    tree = stated(
        nb.Model(LinearMixed(), f"mu ~ 1 + (1|{level})"), data,
        **{"theta_mu": mu, f"omega_{level}": tau, f"sigma_{name}_a": sigma[0]},
    )  # fmt: skip
    assert list(by_group(tree).values()) == pytest.approx(OneWay(y).log_likelihood(mu, tau, sigma)[0], abs=1e-6)


def test_crossed_levels_of_penicillin_are_exact():
    data = nb.datasets.penicillin()
    frame = data.observations
    values = {"theta_mu": [22.97], "omega_plate": [0.85], "omega_sample": [1.77], "sigma_diameter_a": 0.55}
    tree = stated(nb.Model(LinearMixed(), "mu ~ 1 + (1|plate) + (1|sample)"), data, **values)
    y, levels = frame["value"].to_numpy(), [(frame["plate"].to_numpy(), 0.85), (frame["sample"].to_numpy(), 1.77)]
    exact = linear_by_group(y, None, np.full(len(y), 22.97), levels, 0.55)
    assert by_group(tree) == pytest.approx(exact, abs=1e-3)
